//! The work folder: what is written, and what is refused.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn root(folder: &TempDir) -> WorkRoot {
    WorkRoot::open(&folder.path().join("a/work")).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn files_are_for_the_owner_only_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let (root, id) = (root(&folder), DeploymentId::from_bytes([1; 8]));
    let work = root.folder(&id).unwrap();
    let mut first =
        bundle(&[("main.tf", "1"), ("old.tf", "1"), ("x/y/node.tftpl", "t"), (".terraform.lock.hcl", "# l")]);
    first.files[2].mode = 0o777;
    work.stage(&first).unwrap();
    // As the release before left it: a run has a folder of its own for that now.
    std::fs::create_dir_all(work.path().join(".terraform/providers")).unwrap();
    std::fs::write(work.path().join("errored.tfstate"), "{}").unwrap();
    work.stage(&bundle(&[("main.tf", "2")])).unwrap();
    let mut names: Vec<String> =
        std::fs::read_dir(work.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expect = [".terraform.lock.hcl", "catalyst_backend_override.tf", "errored.tfstate", "main.tf"];
    assert_eq!(names, expect);
    work.stage(&first).unwrap();
    assert_eq!(mode(work.path()), 0o700);
    assert_eq!(mode(&folder.path().join("a/work")), 0o700);
    assert_eq!(mode(&work.path().join("main.tf")), 0o600);
    assert_eq!(mode(&work.path().join("x/y")), 0o700);
    assert_eq!(mode(&work.path().join("x/y/node.tftpl")), 0o700);
}

#[test]
fn hostile_paths_and_names_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let work = root(&folder).folder(&DeploymentId::from_bytes([1; 8])).unwrap();
    for bad in [
        "",
        "../x",
        "/etc/x",
        "a/../../x",
        "a//b",
        "./a",
        "a/",
        "a\0b",
        "a\nb",
        ".terraform/x",
        "terraform.tfstate",
        "a/terraform.tfstate.d",
        "catalyst.auto.tfvars.json",
        "catalyst.tfplan",
        "catalyst_backend_override.tf",
        "override.tf",
        "z_override.tf.json",
        "z_override.tofu",
    ] {
        assert!(work.stage(&bundle(&[(bad, "x")])).is_err(), "{bad:?}");
    }
    assert!(work.stage(&bundle(&[("main.tf", "1"), ("main.tf", "2")])).is_err(), "a name twice");
}

#[test]
fn a_link_does_not_lead_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (root, id) = (root(&folder), DeploymentId::from_bytes([1; 8]));
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, folder.path().join("a/work").join(id.as_str())).unwrap();
    assert!(root.folder(&id).is_err());
    std::fs::remove_file(folder.path().join("a/work").join(id.as_str())).unwrap();
    let work = root.folder(&id).unwrap();
    std::os::unix::fs::symlink(&outside, work.path().join("sub")).unwrap();
    work.stage(&bundle(&[("sub/main.tf", "x")])).unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!work.path().join("sub").is_symlink());
}

#[test]
fn variables_hold_what_is_known_and_leave_out_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (root, id) = (root(&folder), DeploymentId::from_bytes([1; 8]));
    let work = root.folder(&id).unwrap();
    let mut bundle = bundle(&[]);
    bundle.secret_variables.push(SecretVariable { secret: "absent".into(), variable: "absent".into() });
    bundle.variables.insert("token".into(), "placeholder".into());
    let mut secrets = Secrets::default();
    secrets.insert("cloud-token", SecretValue::new(SENTINEL));
    assert!(work.leftover(&bundle.secret_variables).unwrap().is_none());
    work.write_variables(&id, &bundle, &secrets, false).unwrap();
    let file = work.path().join("catalyst.auto.tfvars.json");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written, serde_json::json!({"name": "acme", "token": SENTINEL, "deployment_id": "0101010101010101"}));
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&work.path().join(stage::PLAN_FILE)), 0o600);
    assert_eq!(work.leftover(&bundle.secret_variables).unwrap().unwrap().names(), ["cloud-token"]);
    work.remove_secrets().unwrap();
    assert!(!file.exists() && work.leftover(&bundle.secret_variables).unwrap().is_none());
}

#[test]
fn what_a_killed_run_left_goes_and_a_state_that_was_not_taken_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (root, id) = (root(&folder), DeploymentId::from_bytes([1; 8]));
    let work = root.folder(&id).unwrap();
    let put = |name: &str| {
        let path = work.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, SENTINEL).unwrap();
    };
    let names = |path: &Path| {
        let mut names: Vec<String> =
            std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    work.stage(&bundle(&[("main.tf", "1"), ("x/node.tftpl", "t"), (".terraform.lock.hcl", "# l")])).unwrap();
    put("errored.tfstate");
    assert!(work.has_errored_state());
    // The module, what OpenTofu makes, and whatever else a provider gave a name to.
    for name in [
        "",
        "catalyst.auto.tfvars.json",
        "catalyst.tfplan",
        ".terraform/terraform.tfstate",
        ".terraform/providers/p",
        "terraform.tfstate.backup",
        "crash.1.log",
        "anything",
        "home/anything",
    ] {
        if !name.is_empty() {
            put(name);
        }
        assert!(work.has_leftovers().unwrap(), "{name}");
        assert_eq!(root.those(WorkFolder::has_leftovers).unwrap(), std::slice::from_ref(&id), "{name}");
        work.remove_leftovers().unwrap();
        assert!(!work.has_leftovers().unwrap(), "{name}");
        assert_eq!(names(work.path()), [".terraform.lock.hcl", "errored.tfstate"], "{name}");
    }
    // Nor does a link in the place of a folder keep anything there.
    for target in ["/", ".", ".terraform"] {
        std::os::unix::fs::symlink(target, work.path().join(".terraform")).unwrap();
        put("catalyst.tfplan");
        work.remove_leftovers().unwrap();
        assert_eq!(names(work.path()), [".terraform.lock.hcl", "errored.tfstate"], "{target}");
    }
    // A link in the place of a kept file is none, and leads nowhere.
    std::fs::remove_file(work.path().join(".terraform.lock.hcl")).unwrap();
    std::os::unix::fs::symlink("errored.tfstate", work.path().join(".terraform.lock.hcl")).unwrap();
    work.remove_leftovers().unwrap();
    assert_eq!(names(work.path()), ["errored.tfstate"]);
    assert_eq!(root.those(|folder| Ok(folder.has_errored_state())).unwrap(), [id]);
}

#[test]
fn a_folder_that_a_run_closed_keeps_neither_its_secrets_nor_the_next_run_out() {
    let folder = tempfile::tempdir().unwrap();
    let (root, id) = (root(&folder), DeploymentId::from_bytes([1; 8]));
    let given = bundle(&[("main.tf", "1")]);
    for mode in [0o500, 0o000] {
        let work = root.folder(&id).unwrap();
        work.stage(&given).unwrap();
        work.write_variables(&id, &given, &Secrets::default(), false).unwrap();
        std::fs::set_permissions(work.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        as_a_user(folder.path(), || {
            work.remove_secrets().unwrap();
            root.existing(&id).unwrap().unwrap().remove_leftovers().unwrap();
            root.folder(&id).unwrap().stage(&given).unwrap();
        });
        assert!(!work.path().join("catalyst.auto.tfvars.json").exists());
    }
}

#[test]
fn a_mirror_with_a_template_in_its_path_stays_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let work = root(&folder).folder(&DeploymentId::from_bytes([1; 8])).unwrap();
    let file = work.write_settings(Some(Path::new("/mirror/${x}\"")), &[]).unwrap();
    assert!(std::fs::read_to_string(file).unwrap().contains(r#"path = "/mirror/$${x}\""#));
    let file = work.write_settings(None, &[]).unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "provider_installation {\n  direct {}\n}\n");
}

#[test]
fn a_work_folder_that_cannot_be_read_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(&folder);
    let ids = [1, 2, 3].map(|number| DeploymentId::from_bytes([number; 8]));
    ids.iter().for_each(|id| drop(root.folder(id).unwrap()));
    let bad = |work: &WorkFolder| work.path().ends_with(ids[1].as_str());
    let mut found =
        root.those(|work| if bad(work) { Err(std::io::Error::other("permission denied")) } else { Ok(true) }).unwrap();
    found.sort();
    assert_eq!(found, [ids[0].clone(), ids[2].clone()]);
}

#[test]
fn what_a_run_put_in_the_place_of_a_file_holds_nobody_up_and_goes_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let work = root(&folder).folder(&DeploymentId::from_bytes([1; 8])).unwrap();
    let state = work.path().join("errored.tfstate");
    let pipe = |path: &Path| rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
    let folder_there = |path: &Path| std::fs::create_dir(path).unwrap();
    let link = |path: &Path| std::os::unix::fs::symlink("/etc/hosts", path).unwrap();
    type Put = fn(&Path);
    for (what, put) in [("pipe", pipe as Put), ("folder", folder_there), ("link", link)] {
        for name in ["errored.tfstate", "catalyst.auto.tfvars.json", ".terraform.lock.hcl"] {
            put(&work.path().join(name));
        }
        assert!(work.errored_state().unwrap().is_none(), "{what}");
        assert!(work.leftover(&[]).unwrap().is_none(), "{what}");
        work.stage(&bundle(&[("main.tf", "1")])).unwrap();
        assert!(std::fs::symlink_metadata(&state).is_err(), "{what} stays");
    }
}
