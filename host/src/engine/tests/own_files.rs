//! A run has files of its own only: what a person set for an OpenTofu of theirs is not met, and what one run wrote, no other runs.

use super::confined::landlock;
use super::real::{module, tofu};
use super::*;
use std::os::unix::fs::{PermissionsExt as _, symlink};

const ARCH: &str = if cfg!(target_arch = "x86_64") { "linux_amd64" } else { "linux_arm64" };
const USES_SPY: &str = "terraform {\n  required_providers {\n    spy = {\n      source = \"acme/spy\"\n      version = \"1.0.0\"\n    }\n  }\n}\n\
                        variable \"name\" {}\nvariable \"deployment_id\" {}\nvariable \"token\" {}\nresource \"spy_thing\" \"a\" {}\n";

/// Settings, plugins and passwords of a person, all of which would change or break a run that met them.
fn settings_of_a_person(home: &Path) {
    let plugins = home.join(".terraform.d/plugins/registry.opentofu.org/acme/spy/1.0.0").join(ARCH);
    std::fs::create_dir_all(&plugins).unwrap();
    std::fs::write(home.join(".terraform.d/credentials.tfrc.json"), "no json").unwrap();
    for name in [".tofurc", ".terraformrc"] {
        std::fs::write(home.join(name), "plugin_cache_dir = \"/nowhere\"\nunknown_key {").unwrap();
    }
    std::fs::write(home.join(".netrc"), "machine example.com login a password b\n").unwrap();
}

#[tokio::test]
async fn what_a_person_set_for_an_opentofu_of_theirs_neither_helps_nor_hurts() {
    landlock();
    for confine in [Confine::Auto, Confine::Off] {
        let bench = Bench::new(&tofu(), |s| {
            s.confine = confine;
            settings_of_a_person(s.workdir.parent().unwrap());
            for (name, value) in
                [("TF_LOG", "trace"), ("TF_CLI_ARGS", "-destroy"), ("TF_WORKSPACE", "theirs"), ("TF_INPUT", "1")]
            {
                s.pass_env.push((name.into(), value.into()));
            }
        })
        .await;
        let (result, seen) = bench.apply(&module("output \"a\" { value = var.name }\n")).await;
        result.unwrap();
        for word in [
            "tofurc",
            "terraformrc",
            "terraform.d",
            "netrc",
            "permission denied",
            "CLI config",
            "TRACE",
            "plugin cache",
        ] {
            assert!(
                !lines(&seen).iter().any(|(_, text)| text.to_lowercase().contains(&word.to_lowercase())),
                "{word}: {seen:?}"
            );
        }
        // The provider that lies in that home folder is not found.
        let error = bench.apply(USES_SPY).await.0.unwrap_err();
        assert_eq!(error.step, RunStep::Init, "{error:?}");
    }
}

#[tokio::test]
async fn a_run_has_folders_of_its_own_and_leaves_none() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("tofu");
    let text = "#!/bin/sh\ncase $1 in\nversion) echo '{\"terraform_version\":\"1.12.0\"}' ;;\n\
                apply) for d in \"$HOME\" \"$TMPDIR\" \"$TF_DATA_DIR\"; do echo x >\"$d/x\" && stat -c '%a %n' \"$d\"; done ;;\n\
                output) echo '{}' ;;\nesac\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let bench = Bench::new(&script, |_| {}).await;
    let mut folders = Vec::new();
    for _ in 0..2 {
        let (result, seen) = bench.apply("").await;
        result.unwrap();
        let said: Vec<String> = lines(&seen).iter().map(|(_, text)| (*text).to_owned()).collect();
        assert_eq!(said.len(), 3, "{said:?}");
        for line in &said {
            let (mode, path) = line.split_once(' ').unwrap();
            assert_eq!(mode, "700", "{line}");
            assert_ne!(Path::new(path), bench.folder.path(), "the host's own home");
            assert!(!Path::new(path).exists(), "{line} stays");
        }
        folders.push(said);
    }
    assert_ne!(folders[0][1], folders[1][1], "temporary files of two runs meet");
}

/// A provider that tries to put a program of its own in the place of one that other runs start.
fn plant_swapper(bench: &Bench, cache: &Path) -> PathBuf {
    let package = bench.folder.path().join("mirror/registry.opentofu.org/acme/spy/1.0.0").join(ARCH);
    std::fs::create_dir_all(&package).unwrap();
    let evil = bench.folder.path().join("evil");
    let cached = cache.join("registry.opentofu.org/acme/spy/1.0.0").join(ARCH);
    let script = format!(
        "#!/bin/sh\nexec 2>/dev/null\nln -sfn '{evil}' '{cached}'\nrm -rf '{cached}'\necho x >'{cache}/planted'\n\
         echo x >'{cached}/terraform-provider-spy_v1.0.0'\necho tried >.terraform.lock.hcl\nexit 1\n",
        evil = evil.display(),
        cached = cached.display(),
        cache = cache.display(),
    );
    let file = package.join("terraform-provider-spy_v1.0.0");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    cached
}

/// Lets a hostile provider run, and says whether the cache is as it was, as another run would find it.
async fn cache_after_an_attack(confine: Confine) -> bool {
    let bench = Bench::new(&tofu(), |s| {
        s.confine = confine;
        s.plugin_cache_dir = Some(s.workdir.with_file_name("cache"));
        s.provider_mirror = Some(s.workdir.with_file_name("mirror"));
        std::fs::create_dir(s.workdir.with_file_name("mirror")).unwrap();
    })
    .await;
    let cache = bench.folder.path().join("cache");
    let cached = plant_swapper(&bench, &cache);
    let error = bench.apply(USES_SPY).await.0.unwrap_err();
    assert_eq!(error.step, RunStep::Plan, "{error:?}");
    let left = std::fs::read_to_string(bench.work().join(".terraform.lock.hcl"));
    assert_eq!(left.unwrap_or_default(), "tried\n", "the provider did not run: {error:?}");
    let file = cached.join("terraform-provider-spy_v1.0.0");
    let is_whole = std::fs::read_to_string(file).is_ok_and(|text| text.contains("echo tried"));
    is_whole && !cache.join("planted").exists()
}

#[tokio::test]
async fn no_run_changes_what_another_takes_out_of_the_cache_of_providers() {
    landlock();
    assert!(!cache_after_an_attack(Confine::Off).await, "without confinement the attack works");
    assert!(cache_after_an_attack(Confine::Auto).await, "a provider changed the cache");
}

#[tokio::test]
async fn what_an_earlier_run_left_in_its_data_folder_is_not_met_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let bench = Bench::new(&tofu(), |s| {
        s.plugin_cache_dir = Some(cache.clone());
        s.provider_mirror = Some(s.workdir.with_file_name("mirror"));
        std::fs::create_dir(s.workdir.with_file_name("mirror")).unwrap();
    })
    .await;
    // A link by which `init`, which may write the cache, would write where it leads.
    let data = bench.work().join(".terraform");
    std::fs::create_dir_all(data.join("providers")).unwrap();
    symlink(&cache, data.join("providers/registry.opentofu.org")).unwrap();
    let cached = plant_swapper(&bench, &cache);
    bench.apply(USES_SPY).await.0.unwrap_err();
    assert!(!data.exists(), "it is not even kept");
    assert!(cached.read_link().unwrap().starts_with(bench.folder.path().join("mirror")), "{:?}", cached.read_link());
}

#[tokio::test]
async fn lines_about_how_the_host_is_set_up_reach_no_user() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("tofu");
    let text = r#"#!/bin/sh
case $1 in
version) echo '{"terraform_version":"1.12.0"}' ;;
apply)
  echo '{"@level":"warn","@message":"Warning: Provider development overrides are in effect","type":"diagnostic","diagnostic":{"severity":"warning","summary":"Provider development overrides are in effect"}}'
  echo '{"@level":"warn","@message":"Warning: Incomplete lock file information for providers","type":"diagnostic","diagnostic":{"severity":"warning","summary":"Incomplete lock file information for providers"}}'
  echo '{"@level":"warn","@message":"Warning: Deprecated","type":"diagnostic","diagnostic":{"severity":"warning","summary":"Deprecated"}}' ;;
output) echo '{}' ;;
esac
"#;
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let bench = Bench::new(&script, |_| {}).await;
    let (result, seen) = bench.apply("").await;
    result.unwrap();
    assert_eq!(lines(&seen), [(Level::Warn, "Warning: Deprecated")]);
}

pub(super) const REGISTRY_TOKEN: &str = "t0ken-of-a-registry";

/// Settings of an operator with a password, a cache that is not there, a provider of their own, which lies in `folder`, and one more block.
pub(super) fn operators_settings(folder: &Path, more: &str) -> PathBuf {
    let build = folder.join("build");
    let text = format!(
        "plugin_cache_dir = \"/nowhere\"\ncredentials \"registry.example\" {{\n  token = \"{REGISTRY_TOKEN}\"\n}}\n\
         provider_installation {{\n  dev_overrides {{\n    \"acme/spy\" = \"{build}\"\n  }}\n  \
         {more}\n}}\n",
        build = build.display()
    );
    let file = folder.join("operator.tofurc");
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn the_operators_settings_of_opentofu_are_there_for_init_alone() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("tofu");
    let text = format!(
        "#!/bin/sh\ncase $1 in\nversion) echo '{{\"terraform_version\":\"1.12.0\"}}' ;;\noutput) echo '{{}}' ;;\n\
         *) echo \"$1: $(grep -c {REGISTRY_TOKEN} \"$TF_CLI_CONFIG_FILE\") $(grep -c acme/spy \"$TF_CLI_CONFIG_FILE\") \
         $(grep -rl {REGISTRY_TOKEN} . \"$TF_DATA_DIR\" | wc -l) ${{TF_PLUGIN_CACHE_DIR##*/}}\" ;;\nesac\n"
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (registries, mirror) = ("direct {}", "filesystem_mirror {\n    path = \"/mirror\"\n  }");
    // What another run links anew is shared by none: two runs with a folder of packages would meet in the cache.
    let caches = [
        (None, registries, "cache"),
        (Some("of-the-host"), registries, "of-the-host"),
        (Some("of-the-host"), mirror, "cache"),
    ];
    for (cache, more, named) in caches {
        let file = operators_settings(folder.path(), more);
        let bench = Bench::new(&script, |s| {
            s.pass_env.push(("TF_CLI_CONFIG_FILE".into(), file.clone().into()));
            s.plugin_cache_dir = cache.map(|name| s.workdir.with_file_name(name));
        })
        .await;
        let (result, seen) = bench.apply("").await;
        result.unwrap();
        let said: Vec<&str> = lines(&seen).into_iter().map(|(_, text)| text).collect();
        let init = format!("init: 1 1 1 {named}");
        assert_eq!(said, [init.as_str(), "plan: 0 1 0", "apply: 0 1 0"]);
        // Who takes it away later stops runs, in words: without it they would go elsewhere.
        std::fs::remove_file(&file).unwrap();
        let error = bench.apply("").await.0.unwrap_err();
        assert_eq!(error.kind, RunErrorKind::Staging);
        assert!(error.reason.contains("TF_CLI_CONFIG_FILE"), "{error}");
    }
}

#[tokio::test]
async fn a_provider_finds_no_password_of_the_operators_settings_and_is_taken_from_where_they_say() {
    landlock();
    let mut settings_file = PathBuf::new();
    let bench = Bench::new(&tofu(), |s| {
        let folder = s.workdir.parent().unwrap();
        let mirror = format!("filesystem_mirror {{\n    path = \"{}/build/mirror\"\n  }}", folder.display());
        settings_file = operators_settings(folder, &mirror);
        s.pass_env.push(("TF_CLI_CONFIG_FILE".into(), settings_file.clone().into()));
        let package = folder.join("build/mirror/registry.opentofu.org/acme/spy/1.0.0").join(ARCH);
        std::fs::create_dir_all(&package).unwrap();
        let spy = format!(
            "#!/bin/sh\nexec 2>/dev/null\nloot=$(echo \"$0\"; cat \"$TF_CLI_CONFIG_FILE\" '{}'; \
             grep -rh '{}' . \"$HOME\" \"$TF_DATA_DIR\" \"$TMPDIR\")\n\
             echo \"$loot\" >.terraform.lock.hcl\nexit 1\n",
            settings_file.display(),
            // The script is installed, so it must not have the word itself.
            REGISTRY_TOKEN.replace('-', ".")
        );
        for file in [package.join("terraform-provider-spy_v1.0.0"), folder.join("build/terraform-provider-spy")] {
            std::fs::write(&file, &spy).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    })
    .await;
    let (result, seen) = bench.apply(USES_SPY).await;
    let error = result.unwrap_err();
    assert_eq!(error.step, RunStep::Plan, "{error:?}");
    let loot = std::fs::read_to_string(bench.work().join(".terraform.lock.hcl")).unwrap_or_default();
    let tried = loot.lines().next().unwrap_or_default();
    assert!(tried.ends_with("build/terraform-provider-spy"), "{loot}: {error:?}");
    assert!(loot.contains("acme/spy"), "{loot}");
    for text in [loot, format!("{error:?}{seen:?}")] {
        assert!(!text.contains(REGISTRY_TOKEN), "{text}");
    }
    assert!(!has_line(&seen, "plugin cache") && !has_line(&seen, "/nowhere"), "{seen:?}");
}
