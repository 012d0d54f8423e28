//! `tofu validate` of the real OpenTofu on modules that it knows, and where it cannot be asked.

use super::real::tofu;
use super::*;

const BUDGET: Duration = Duration::from_secs(60);

async fn asked(change: impl FnOnce(&mut Settings), main: &str) -> Validation {
    let folder = tempfile::tempdir().unwrap();
    validate(settings(&tofu(), folder.path(), change), &bundle(&[("main.tf", main)]), BUDGET).await
}

#[tokio::test]
async fn a_module_is_valid_or_its_faults_are_named_by_file_and_line() {
    let good = "terraform {\n  required_version = \">= 1.6.0\"\n}\nresource \"terraform_data\" \"a\" {}\n";
    assert_eq!(asked(|_| {}, good).await, Validation::Valid);
    for (bad, place, words) in [
        ("locals {\n  a = var.none\n}\n", "main.tf:2", "undeclared input variable"),
        ("resource \"terraform_data\" \"a\" {\n  inputs = 1\n}\n", "main.tf:2", "Unsupported argument"),
        // Found by `init` already, which names no place of the second.
        ("variable \"a\" {}\nvariable \"a\" {}\n", "main.tf:2", "Duplicate variable declaration"),
        ("module \"x\" {\n  source = \"./none\"\n}\n", "", "Unreadable module directory"),
        // Nor does `validate` of a cycle.
        ("locals {\n  a = local.b\n  b = local.a\n}\noutput \"c\" { value = local.a }\n", "", "Cycle"),
    ] {
        let answer = asked(|_| {}, bad).await;
        let Validation::Invalid(faults) = &answer else { panic!("{bad}: {answer:?}") };
        assert!(faults.iter().any(|fault| fault.place == place && fault.text.contains(words)), "{bad}: {faults:?}");
    }
}

#[tokio::test]
async fn where_opentofu_cannot_be_asked_the_module_is_not_to_blame() {
    let foreign = "terraform {\n  required_providers {\n    cloud = {\n      source  = \"acme/cloud\"\n      version = \"1.0.0\"\n    }\n  }\n}\n\
                   resource \"cloud_server\" \"a\" {}\n";
    let mirror = tempfile::tempdir().unwrap();
    let answer = asked(|settings| settings.provider_mirror = Some(mirror.path().to_owned()), foreign).await;
    let Validation::NotTried(why) = &answer else { panic!("{answer:?}") };
    assert!(why.starts_with("`tofu init` failed: ") && why.contains("acme/cloud"), "{why}");

    let answer = asked(|settings| settings.tofu_bin = "/no/such/tofu".into(), foreign).await;
    let Validation::NotTried(why) = &answer else { panic!("{answer:?}") };
    assert!(why.starts_with("OpenTofu cannot be run as /no/such/tofu"), "{why}");
}
