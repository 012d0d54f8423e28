//! A stranger's component before anybody trusts it: what judges it holds its compiler to the same limits as a host does.

use super::{Ran, command, component, plugin, ran, repository, text};
use catalyst_tests::components::compile_bomb;
use catalyst_tests::host::built;
use serde_json::json;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// For the clock of a compiler that is stopped after a second and a half, on a machine that does other things as well.
const SOON: Duration = Duration::from_secs(45);

/// A folder with a bomb, and the limits that it is held to.
fn folder(limits: &serde_json::Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/bomb.wasm"), compile_bomb()).unwrap();
    std::fs::write(folder.path().join("limits.json"), json!({"default": limits}).to_string()).unwrap();
    folder
}

fn bomb(folder: &Path) -> String {
    text(&folder.join("plugins/bomb.wasm"))
}

/// A command under the limits of a folder; nothing that was compiled before helps it.
fn limited(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = command();
    command.env("CATALYST_PLUGIN_LIMITS", folder.join("limits.json")).env("CATALYST_CACHE_DIR", folder.join("cache"));
    let begun = Instant::now();
    let ran = ran(&command.args(arguments).output().unwrap());
    assert!(begun.elapsed() < SOON, "{arguments:?} took {:?}", begun.elapsed());
    ran
}

#[test]
fn every_command_ends_with_the_words_of_the_limit_that_a_compile_bomb_ran_into() {
    let folder = folder(&json!({"compile_timeout_ms": 1500, "component_bytes": 67_108_864}));
    let (bomb, cases) = (bomb(folder.path()), text(&repository("plugins/template/rust/cases")));
    let words = "could not be compiled within 1500 ms";
    for arguments in [
        vec!["inspect", &bomb],
        vec!["render", &bomb, "--out", "/nowhere", "--request", "-"],
        vec!["test", &bomb, &cases],
        vec!["bench", &bomb],
    ] {
        let refused = limited(folder.path(), &arguments);
        let said = &refused.ended(1).stderr;
        assert!(said.contains("bomb.wasm would not be loaded: it ") && said.contains(words), "{arguments:?}: {said}");
    }
    let checked = limited(folder.path(), &["check", &bomb, "--json"]).ended(1).json();
    assert_eq!(checked["rules"][0]["reasons"][0], format!("it {words}"));
    let told = limited(folder.path(), &["inspect", &bomb, "--json"]);
    let error = told.ended(1).json()["error"].as_str().unwrap().to_owned();
    assert!(error.ends_with(words) && told.stderr.is_empty(), "{error}: {}", told.stderr);
}

#[test]
fn a_bomb_that_takes_memory_is_stopped_as_well_and_so_it_is_where_a_folder_is_rendered_from() {
    let folder = folder(&json!({"compile_memory_bytes": 268_435_456, "component_bytes": 67_108_864}));
    let words = "could not be compiled within 268435456 bytes of memory";
    let refused = limited(folder.path(), &["inspect", &bomb(folder.path())]);
    assert!(refused.ended(1).stderr.contains(words), "{}", refused.stderr);

    let mut render = Command::new(built("release/catalyst"));
    let request = repository("scripts/rehearsal.json");
    render.arg("render").arg(request).arg("--out").arg(folder.path().join("out")).env_clear();
    render
        .env("CATALYST_PLUGINS_DIR", folder.path().join("plugins"))
        .env("CATALYST_CACHE_DIR", folder.path().join("c"));
    let refused = ran(&render.env("CATALYST_PLUGIN_LIMITS", folder.path().join("limits.json")).output().unwrap());
    let said = &refused.ended(1).stderr;
    assert!(said.contains(&format!("bomb.wasm was not loaded: it {words}")), "{said}");
}

/// A process that is ended with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How much a process offers itself to a kernel that is short of memory.
fn score(pid: &str) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).ok()?.trim().to_owned())
}

/// The children of all threads.
fn children(pid: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    threads.flat_map(|thread| of(thread).split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn a_kernel_that_is_short_of_memory_ends_the_compiler_before_who_started_it() {
    let folder = folder(&json!({"compile_timeout_ms": 30_000, "component_bytes": 67_108_864}));
    let mut command = command();
    command.env("CATALYST_PLUGIN_LIMITS", folder.path().join("limits.json"));
    command.env("CATALYST_CACHE_DIR", folder.path().join("cache")).args(["inspect", &bomb(folder.path())]);
    let parent = Guard(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begun = Instant::now();
    while !children(parent.0.id()).iter().any(|child| score(child).as_deref() == Some("1000")) {
        assert!(begun.elapsed() < SOON, "no compiler with the score 1000 was seen");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(score(&parent.0.id().to_string()), score("self"), "who started it stays as it was");
}

#[test]
fn with_json_an_error_is_an_object_on_standard_output_with_its_exit_status() {
    let rehearsal = component("rehearsal");
    let folder = tempfile::tempdir().unwrap();
    let broken = text(&folder.path().join("broken.wasm"));
    std::fs::write(&broken, "(component)").unwrap();
    for (arguments, code, words) in [
        (vec!["inspect", "/no/such.wasm"], 2, "/no/such.wasm: No such file"),
        (vec!["inspect", &broken], 1, "broken.wasm would not be loaded: it "),
        (vec!["render", &broken, "--request", "-", "--out", "/nowhere"], 1, "broken.wasm would not be loaded: it "),
        (vec!["render", &rehearsal, "--request", "/no/such.json", "--out", "/nowhere"], 2, "/no/such.json"),
        (vec!["test", &rehearsal, "/no/such"], 2, "/no/such: No such file"),
        (vec!["bench", &rehearsal, "--request", "/no/such.json"], 2, "/no/such.json"),
        (vec!["check", "/no/such.wasm"], 2, "/no/such.wasm"),
        (vec!["new", "no name"], 2, "no name"),
    ] {
        let arguments = [arguments, vec!["--json"]].concat();
        let refused = plugin(&arguments);
        let told = refused.ended(code).json();
        let error = told["error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "{arguments:?}: {told}");
        assert_eq!(told.as_object().unwrap().len(), 1, "{told}");
        assert_eq!(refused.stderr, "", "{arguments:?}");
    }
}
