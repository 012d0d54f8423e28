//! States that dead runs leave, whole and damaged, over states that are kept, whole and damaged.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

fn state(lineage: &str, serial: u64) -> String {
    format!(r#"{{"version":4,"lineage":"{lineage}","serial":{serial},"resources":[]}}"#)
}

struct TakenIn {
    result: Result<Vec<String>, String>,
    kept: Option<String>,
    /// Names of what is left of the left-over state in its work folder, and of what was set aside.
    left: Vec<String>,
}

const ASIDE: &str = ".set-aside/0707070707070707.errored.tfstate.1";

/// Names of the files in a work folder, and of those that were set aside, sorted.
fn left_in(folder: &Path, id: &DeploymentId) -> Vec<String> {
    let names = |inside: &str, before: &'static str| {
        let entries = std::fs::read_dir(folder.join(inside)).into_iter().flatten();
        entries.map(move |entry| format!("{before}{}", entry.unwrap().file_name().into_string().unwrap()))
    };
    let mut all: Vec<String> = names(id.as_str(), "").chain(names(".set-aside", ".set-aside/")).collect();
    all.sort();
    all
}

/// Takes in what `leave` leaves over `kept`.
async fn take_in(leave: impl FnOnce(&Path), kept: Option<&str>) -> TakenIn {
    let (store, id) = (StateStore::default(), DeploymentId::from_bytes([7; 8]));
    let folder = tempfile::tempdir().unwrap();
    let work = WorkRoot::open(folder.path()).unwrap().folder(&id).unwrap();
    leave(&work.path().join("errored.tfstate"));
    if let Some(kept) = kept {
        store.with(|s| s.states.insert(id.clone(), kept.as_bytes().to_vec()));
    }
    let result = leftover::tidy(&store, &HeldStates::default(), &id, Some(&work)).await;
    let kept = store.with(|s| s.states.get(&id).map(|state| String::from_utf8(state.clone()).unwrap()));
    TakenIn { result, kept, left: left_in(folder.path(), &id) }
}

async fn taken_in(left: &str, kept: Option<&str>) -> TakenIn {
    take_in(|path| std::fs::write(path, left).unwrap(), kept).await
}

#[tokio::test]
async fn only_a_newer_state_of_the_same_lineage_is_taken_in() {
    let (old, new) = (state("a", 1), state("a", 2));
    for (left, kept, expect) in [
        (&new, None, &new),
        (&new, Some(old.as_str()), &new),
        (&old, Some(new.as_str()), &new),
        (&new, Some(new.as_str()), &new),
        (&new, Some(""), &new),
    ] {
        let TakenIn { result, kept: now, left: files } = taken_in(left, kept).await;
        assert_eq!((now.as_ref(), files), (Some(expect), Vec::new()), "{left} over {kept:?}");
        // An empty kept state is damaged as well, and said to be.
        assert_eq!(result.unwrap().len(), usize::from(kept == Some("")), "{left} over {kept:?}");
    }
}

#[tokio::test]
async fn a_left_over_state_that_cannot_be_used_is_set_aside_and_stops_nothing() {
    let kept = state("a", 3);
    type Leave = Box<dyn FnOnce(&Path)>;
    let write = |text: &'static [u8]| -> Leave { Box::new(move |path: &Path| std::fs::write(path, text).unwrap()) };
    let mut damages: Vec<(&str, Leave)> = vec![
        ("it is empty", write(b"")),
        ("it is cut or no JSON", write(b"{\"version\":4,\"serial\":")),
        ("it is cut or no JSON", write(b"\xff\xfe\0binary")),
        ("it is no state of OpenTofu", write(b"{\"lineage\":\"a\",\"serial\":9}")),
        ("it is no state of OpenTofu", write(b"{\"version\":4,\"resources\":[],\"lineage\":7,\"serial\":9}")),
        ("it is no plain file", Box::new(|path: &Path| std::fs::create_dir_all(path.join("deep")).unwrap())),
        ("it is no plain file", Box::new(|path: &Path| std::os::unix::fs::symlink("/etc/hosts", path).unwrap())),
        ("of lineage b", write(br#"{"version":4,"lineage":"b","serial":9,"resources":[]}"#)),
    ];
    if !rustix::process::geteuid().is_root() {
        damages.push((
            "denied",
            Box::new(|path: &Path| {
                std::fs::write(path, state("a", 4)).unwrap();
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap();
            }),
        ));
    }
    for (why, leave) in damages {
        let TakenIn { result, kept: now, left } = take_in(leave, Some(&kept)).await;
        let notices = result.unwrap();
        assert_eq!((now.as_ref(), left), (Some(&kept), vec![ASIDE.to_owned()]), "{why}");
        let [notice] = notices.as_slice() else { panic!("{why}: {notices:?}") };
        assert!(notice.contains(why) && notice.contains(ASIDE), "{why}: {notice}");
        assert!(notice.contains("CATALYST_TOFU_WORKDIR"), "{notice}");
    }
}

#[tokio::test]
async fn a_damaged_kept_state_is_set_aside_and_the_left_over_one_takes_its_place() {
    let new = state("a", 2);
    let TakenIn { result, kept, left } = taken_in(&new, Some("{\"serial\":")).await;
    let notices = result.unwrap();
    assert_eq!((kept.as_ref(), left.len(), notices.len()), (Some(&new), 0, 1), "{notices:?}");
    assert!(notices[0].contains("00000001.tfstate.1") && notices[0].contains("CATALYST_STATE_DIR"), "{notices:?}");
    // Both are damaged: the deployment goes on from nothing, and both are named.
    let TakenIn { result, kept, left } = taken_in("{\"serial\":", Some("{")).await;
    assert_eq!((kept, left, result.unwrap().len()), (None, vec![ASIDE.to_owned()], 2));
}

#[tokio::test]
async fn nothing_that_was_set_aside_is_overwritten_or_cleared_away_by_a_run() {
    let (store, id) = (StateStore::default(), DeploymentId::from_bytes([7; 8]));
    let folder = tempfile::tempdir().unwrap();
    let root = WorkRoot::open(folder.path()).unwrap();
    let work = root.folder(&id).unwrap();
    for number in 1..=3 {
        std::fs::write(work.path().join("errored.tfstate"), format!("damaged {number}")).unwrap();
        leftover::tidy(&store, &HeldStates::default(), &id, Some(&work)).await.unwrap();
        work.stage(&bundle(&[("main.tf", "1")])).unwrap();
        work.remove_leftovers().unwrap();
    }
    let aside = |number: u32| folder.path().join(format!(".set-aside/{id}.errored.tfstate.{number}"));
    let read = |number| std::fs::read_to_string(aside(number)).unwrap();
    assert_eq!([1, 2, 3].map(read), ["damaged 1", "damaged 2", "damaged 3"]);
    assert!(!work.has_leftovers().unwrap() && root.has_aside(&id).unwrap());
    let other = DeploymentId::from_bytes([8; 8]);
    assert!(!root.has_aside(&other).unwrap());
    root.remove_whole(&other).unwrap();
    root.remove(&id).unwrap();
    assert!(!work.path().exists());
    assert_eq!([1, 2, 3].map(read), ["damaged 1", "damaged 2", "damaged 3"]);
    root.remove_whole(&id).unwrap();
    assert!(!root.has_aside(&id).unwrap() && !aside(1).exists());
}

#[test]
fn however_often_a_run_leaves_what_cannot_be_used_it_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let root = WorkRoot::open(folder.path()).unwrap();
    let id = DeploymentId::from_bytes([7; 8]);
    let work = root.folder(&id).unwrap();
    for number in 1..=102 {
        // A folder takes no other's place by a rename alone.
        std::fs::create_dir_all(work.path().join(format!("errored.tfstate/{number}"))).unwrap();
        work.set_errored_state_aside().unwrap();
    }
    let kept = folder.path().join(".set-aside");
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 100);
    assert!(kept.join(format!("{id}.errored.tfstate.1/1")).exists(), "the first ones stay");
    assert!(kept.join(format!("{id}.errored.tfstate.100/102")).exists(), "and so does the newest");
}

#[tokio::test]
async fn what_a_run_writes_under_such_a_name_is_never_taken_for_a_state_that_was_set_aside() {
    let (store, id) = (StateStore::default(), DeploymentId::from_bytes([7; 8]));
    let folder = tempfile::tempdir().unwrap();
    let root = WorkRoot::open(folder.path()).unwrap();
    let work = root.folder(&id).unwrap();
    let plant = || {
        for name in ["errored.tfstate.1", "errored.tfstate.1000", ".set-aside"] {
            std::fs::write(work.path().join(name), "a token in plain").unwrap();
        }
        std::fs::create_dir(work.path().join("errored.tfstate.2")).unwrap();
    };
    plant();
    assert!(!root.has_aside(&id).unwrap() && work.has_leftovers().unwrap());
    work.remove_leftovers().unwrap();
    assert_eq!(left_in(folder.path(), &id), Vec::<String>::new());
    plant();
    // One that is set aside for good takes no notice of them, and goes out of the run's reach.
    std::fs::write(work.path().join("errored.tfstate"), "damaged").unwrap();
    leftover::tidy(&store, &HeldStates::default(), &id, Some(&work)).await.unwrap();
    work.stage(&bundle(&[("main.tf", "1")])).unwrap();
    assert_eq!(left_in(folder.path(), &id), [ASIDE, "catalyst_backend_override.tf", "main.tf"]);
    assert_eq!(std::fs::read_to_string(folder.path().join(ASIDE)).unwrap(), "damaged");
}

#[test]
fn a_folder_that_a_run_closed_is_set_aside_as_well() {
    let place = tempfile::tempdir().unwrap();
    as_a_user(place.path(), || {
        let id = DeploymentId::from_bytes([7; 8]);
        let root = WorkRoot::open(&place.path().join("work")).unwrap();
        let work = root.folder(&id).unwrap();
        let closed = work.path().join("errored.tfstate");
        std::fs::create_dir_all(closed.join("deep")).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
        assert_eq!(work.set_errored_state_aside().unwrap(), ASIDE);
        assert!(root.has_aside(&id).unwrap() && !work.has_errored_state());
    });
}

#[test]
fn whatever_stands_in_the_place_of_a_file_or_folder_of_a_run_goes_or_gets_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = WorkRoot::open(folder.path()).unwrap();
    let id = DeploymentId::from_bytes([7; 8]);
    for name in [id.as_str(), ".runs", ".made"] {
        std::fs::write(folder.path().join(name), "a file").unwrap();
    }
    assert!(root.existing(&id).unwrap().is_none() && root.with_run_folder().unwrap().is_empty());
    let work = root.folder(&id).unwrap();
    root.reserve_spool(&id).unwrap();
    root.make_run_folder(&id, &["home"]).unwrap();
    for name in [id.as_str(), ".runs", ".made"] {
        assert_eq!(std::fs::read_to_string(folder.path().join(format!("{name}.1"))).unwrap(), "a file", "{name}");
    }
    for name in ["catalyst.auto.tfvars.json", "catalyst.tfplan", ".terraform.lock.hcl", "main.tf"] {
        std::fs::create_dir_all(work.path().join(name).join("deep")).unwrap();
    }
    assert!(work.leftover(&[]).unwrap().is_none());
    work.remove_secrets().unwrap();
    assert!(work.stage(&bundle(&[("main.tf", "1")])).unwrap().is_none());
    std::fs::write(work.path().join(".terraform.lock.hcl"), "provider \"a/b\" {\n").unwrap();
    let notice = work.stage(&bundle(&[("main.tf", "1")])).unwrap().unwrap();
    assert!(notice.starts_with(".terraform.lock.hcl") && notice.contains("cut or damaged"), "{notice}");
}
