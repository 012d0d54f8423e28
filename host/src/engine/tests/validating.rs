//! `tofu validate` of the real OpenTofu on modules that it knows, and where it cannot be asked.

use super::own_files::{REGISTRY_TOKEN, operators_settings};
use super::real::tofu;
use super::scripted::Script;
use super::*;
use std::os::unix::fs::PermissionsExt as _;

const BUDGET: Duration = Duration::from_secs(60);

async fn asked(change: impl FnOnce(&mut Settings), main: &str) -> Validation {
    // Whether a module is valid does not depend on the layers of this machine.
    validated(&tofu(), change, main, WithoutConfinement::Run).await.validation
}

async fn validated(
    tofu: &Path,
    change: impl FnOnce(&mut Settings),
    main: &str,
    without: WithoutConfinement,
) -> Validated {
    let folder = tempfile::tempdir().unwrap();
    validate(settings(tofu, folder.path(), change), &bundle(&[("main.tf", main)]), BUDGET, without).await
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

#[tokio::test]
async fn where_nothing_confines_them_providers_are_started_only_where_a_person_says_so() {
    let started = tempfile::tempdir().unwrap();
    let log = started.path().join("log");
    let text = format!("echo validate >>'{}'; echo '{{\"valid\":true,\"diagnostics\":[]}}'", log.display());
    let script = Script::new("validate", &text);
    let off = |settings: &mut Settings| settings.confine = Confine::Off;
    let refused = validated(&script.path(), off, "", WithoutConfinement::Refuse).await;
    let Validation::NotConfined(why) = &refused.validation else { panic!("{refused:?}") };
    assert_eq!((why.as_str(), refused.providers), ("CATALYST_TOFU_CONFINE is off", ProviderRun::NotRun));
    assert!(!log.exists(), "it was run");
    let run = validated(&script.path(), off, "", WithoutConfinement::Run).await;
    assert_eq!(run, Validated { validation: Validation::Valid, providers: ProviderRun::Unconfined });
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "validate\n");
}

#[tokio::test]
async fn behind_the_layers_providers_are_started_without_a_word_of_a_person() {
    super::confined::landlock();
    let good = "resource \"terraform_data\" \"a\" {}\n";
    let run = validated(&tofu(), |s| s.confine = Confine::Require, good, WithoutConfinement::Refuse).await;
    assert_eq!(run, Validated { validation: Validation::Valid, providers: ProviderRun::Confined });
}

#[tokio::test]
async fn the_operators_settings_of_opentofu_are_gone_before_a_provider_of_the_module_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = operators_settings(folder.path(), "direct {}");
    let seen = folder.path().join("seen");
    let script = folder.path().join("tofu");
    let text = format!(
        "#!/bin/sh\ncase $1 in\nversion) echo '{{\"terraform_version\":\"1.12.0\"}}' ;;\n*) echo \"$1: \
         $(cat \"$TF_CLI_CONFIG_FILE\" | grep -c {REGISTRY_TOKEN}) \
         $(grep -rl {REGISTRY_TOKEN} . \"$TF_DATA_DIR\" \"$HOME\" \"$TMPDIR\" | wc -l)\" >>'{}'\n\
         echo '{{\"valid\":true,\"diagnostics\":[]}}' ;;\nesac\n",
        seen.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let change = |s: &mut Settings| s.pass_env.push(("TF_CLI_CONFIG_FILE".into(), file.clone().into()));
    let run = validated(&script, change, "", WithoutConfinement::Run).await;
    assert_eq!(run.validation, Validation::Valid);
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "init: 1 1\nvalidate: 0 0\n");
}
