//! What a confined OpenTofu, and a provider that it starts, can reach. On a kernel without Landlock these say so and fail:
//! there is nothing to show there, and a silent pass would be a lie.

use super::real::{module, tofu};
use super::*;
use crate::engine::supervise::{Layer, kernel_has};
use std::os::unix::fs::PermissionsExt as _;

/// Where a hostile provider leaves what it got, in its work folder.
/// What a run leaves to the next one is all that can be read after it.
const LOOT: &str = ".terraform.lock.hcl";

pub(super) fn landlock() {
    let has = |layer| kernel_has(layer).is_ok();
    assert!(has(Layer::Files) && has(Layer::Scopes), "this kernel lacks Landlock, so it cannot be shown on it");
}

/// An engine whose host keeps a secret file beside the work folders.
async fn bench(confine: Confine) -> (Bench, PathBuf) {
    let bench = Bench::new(&tofu(), |s| {
        s.confine = confine;
        s.provider_mirror = Some(s.workdir.with_file_name("mirror"));
        std::fs::create_dir(s.workdir.with_file_name("mirror")).unwrap();
    })
    .await;
    let secret = bench.folder.path().join("kubeconfig");
    std::fs::write(&secret, "the-hosts-own").unwrap();
    (bench, secret)
}

fn reading(path: &Path) -> String {
    // A template, so that only its evaluation knows what is read.
    format!(
        "output \"x\" {{ value = templatefile(\"${{path.module}}/a.tftpl\", {{ path = \"{}\" }}) }}\n",
        path.display()
    )
}

async fn read_through_a_template(confine: Confine) -> Result<Outputs, RunError> {
    let (bench, secret) = bench(confine).await;
    let mut run = bench.run("");
    run.bundle = bundle(&[("main.tf", &reading(&secret)), ("a.tftpl", "${file(path)}")]);
    run.bundle.variables.clear();
    run.bundle.secret_variables.clear();
    run.bundle.deployment_id_variable = None;
    let (sender, mut receiver) = mpsc::channel(1024);
    let drain = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
    let result = bench.engine.apply_alone(run, sender, CancellationToken::new()).await;
    drain.await.unwrap();
    result
}

#[tokio::test]
async fn a_file_read_that_a_template_hides_is_stopped() {
    landlock();
    let open = read_through_a_template(Confine::Off).await.unwrap();
    assert!(open.public_json.contains("the-hosts-own"), "without confinement the attack works: {open:?}");
    let error = read_through_a_template(Confine::Auto).await.unwrap_err();
    assert_eq!(error.step, RunStep::Plan, "{error:?}");
    assert!(format!("{error:?}").contains("permission denied"), "{error:?}");
}

/// A provider is a program: this one is a script that looks around instead of serving.
fn plant_provider(bench: &Bench, secret: &Path) {
    let arch = if cfg!(target_arch = "x86_64") { "linux_amd64" } else { "linux_arm64" };
    let folder = bench.folder.path().join("mirror/registry.opentofu.org/acme/spy/1.0.0").join(arch);
    std::fs::create_dir_all(&folder).unwrap();
    let script = format!(
        "#!/bin/sh\nexec 2>/dev/null\n\
         try() {{ name=$1; shift; if \"$@\" >/dev/null 2>&1; then echo \"$name yes\"; else echo \"$name no\"; fi; }}\n\
         {{\n\
         try own-folder sh -c 'echo x >mine && cat mine'\n\
         try secret cat '{secret}'\n\
         try overwrite sh -c ': >\"{secret}\"'\n\
         try other-folder ls '{other}'\n\
         try shadow cat /etc/shadow\n\
         try environ cat /proc/$PPID/environ\n\
         try home ls \"$HOME\"\n\
         try write sh -c 'echo x >\"{beside}/planted\"'\n\
         try temporary sh -c 'echo x >\"$TMPDIR/x\"'\n\
         try tmp sh -c 'echo x >/tmp/catalyst-confinement-test'\n\
         try signal kill -0 {host}\n\
         try certificates ls /etc/ssl/certs\n\
         }} >{LOOT}\nexit 1\n",
        secret = secret.display(),
        other = bench.folder.path().display(),
        beside = bench.folder.path().join("work").display(),
        host = std::process::id(),
    );
    let file = folder.join("terraform-provider-spy_v1.0.0");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn loot(confine: Confine) -> HashMap<String, String> {
    let (bench, secret) = bench(confine).await;
    plant_provider(&bench, &secret);
    let module = "terraform {\n  required_providers {\n    spy = {\n      source = \"acme/spy\"\n      version = \"1.0.0\"\n    }\n  }\n}\n\
                  variable \"name\" {}\nvariable \"deployment_id\" {}\nvariable \"token\" {}\nresource \"spy_thing\" \"a\" {}\n";
    let error = bench.apply(module).await.0.unwrap_err();
    let text = std::fs::read_to_string(bench.work().join(LOOT));
    let text = text.unwrap_or_else(|_| panic!("the provider did not run: {error:?}"));
    text.lines().map(|line| line.split_once(' ').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[tokio::test]
async fn a_declared_provider_reaches_its_own_files_only() {
    landlock();
    let confined = loot(Confine::Auto).await;
    let open = loot(Confine::Off).await;
    for free in ["own-folder", "temporary", "home", "certificates"] {
        assert_eq!(confined[free], "yes", "{free}: {confined:?}");
    }
    for closed in ["secret", "overwrite", "other-folder", "shadow", "environ", "write", "tmp", "signal"] {
        assert_eq!(confined[closed], "no", "{closed}: {confined:?}");
    }
    // The attack is real: without confinement it gets what any process of this user gets.
    for got in ["secret", "overwrite", "other-folder", "environ", "home", "write", "tmp", "signal"] {
        assert_eq!(open[got], "yes", "{got}: {open:?}");
    }
    let _ = std::fs::remove_file("/tmp/catalyst-confinement-test");
}

#[tokio::test]
async fn the_host_itself_stays_free_and_temporary_folders_go() {
    landlock();
    let (bench, secret) = bench(Confine::Auto).await;
    let temporary = bench.folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let engine = Engine::new(
        settings(&tofu(), bench.folder.path(), |s| s.pass_env.push(("TMPDIR".into(), temporary.clone().into()))),
        bench.store.clone(),
    );
    let bench = Bench { engine: engine.await.unwrap(), ..bench };
    bench.apply(&module("")).await.0.unwrap();
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "the-hosts-own");
    // Also from the very threads that start processes.
    let listed = tokio::process::Command::new("ls").arg(bench.folder.path()).output().await.unwrap();
    assert!(listed.status.success());
}

#[tokio::test]
async fn a_binary_that_is_not_there_is_told_with_where_it_was_looked_for_and_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    for (binary, words) in [
        (folder.path().join("tofu"), "there is no such file; CATALYST_TOFU_BIN names it; get OpenTofu"),
        (PathBuf::from("no-such-tofu"), "it was looked for in the folders of PATH (/usr/bin:/bin); get OpenTofu"),
        (plain, "is no program that this user may run; CATALYST_TOFU_BIN names it; get OpenTofu"),
    ] {
        for confine in [Confine::Auto, Confine::Require, Confine::Off] {
            let settings = settings(&binary, folder.path(), |s| s.confine = confine);
            let error = Engine::new(settings, Arc::new(StateStore::default())).await.err().unwrap().to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.contains("https://opentofu.org/") && error.ends_with("by CATALYST_TOFU_BIN"), "{error}");
            assert!(!error.contains("CONFINE") && !error.contains("confined"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_binary_that_needs_more_is_named_at_start() {
    landlock();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("tofu");
    let text = format!("#!/bin/sh\nexec '{}/real' \"$@\"\n", folder.path().display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let settings = settings(&script, folder.path(), |s| s.confine = Confine::Auto);
    let error = Engine::new(settings, Arc::new(StateStore::default())).await.err().unwrap().to_string();
    assert!(error.contains("CATALYST_TOFU_CONFINE=off"), "{error}");
}
