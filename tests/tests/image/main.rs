//! The container image: what Containerfile says, what `scripts/image.sh` lays out with which bills of materials, and the last stage
//! built from that and run.
//!
//! The stages before it start from images of a registry, which no test here reaches; they run the same scripts.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bills;

use catalyst_tests::host::built;
use catalyst_tests::tools;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A day in 2026, for time stamps.
const EPOCH: &str = "1790000000";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Instructions and their arguments, continued lines joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let whole = lines.join("\n").replace("\\\n", " ");
    let lines = whole.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (word, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no instruction: {line}"));
            (word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

fn arguments<'a>(all: &'a [(String, String)], word: &str) -> Vec<&'a str> {
    all.iter().filter(|(one, _)| one == word).map(|(_, rest)| rest.as_str()).collect()
}

#[test]
fn the_containerfile_is_pinned_and_its_last_stage_is_bare() {
    let all = instructions(&read("Containerfile"));
    let known = ["ARG", "FROM", "COPY", "ENV", "WORKDIR", "RUN", "USER", "EXPOSE", "ENTRYPOINT", "CMD"];
    assert!(all.iter().all(|(word, _)| known.contains(&word.as_str())), "{all:?}");
    let bases: Vec<&str> = arguments(&all, "ARG").into_iter().filter(|arg| arg.contains('/')).collect();
    let (rust, go) = (read("rust-toolchain.toml"), read("tests/tools/tofu/go.mod"));
    let rust = rust.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(bases.contains(&format!("RUST=docker.io/library/rust:{rust}-bookworm").as_str()), "{bases:?}");
    let wanted = go.lines().find_map(|line| line.strip_prefix("go ")).unwrap();
    let version = |text: &str| text.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
    let has = bases.iter().find_map(|base| base.strip_prefix("GO=docker.io/library/golang:")).unwrap();
    assert!(version(has.split('-').next().unwrap()) >= version(wanted), "{has} builds no {wanted}");

    let stages = arguments(&all, "FROM");
    assert_eq!(*stages.last().unwrap(), "scratch");
    let names: Vec<&str> = stages.iter().filter_map(|stage| stage.split(" AS ").nth(1)).collect();
    for copied in arguments(&all, "COPY") {
        if let Some(from) = copied.strip_prefix("--from=") {
            assert!(names.contains(&from.split(' ').next().unwrap()), "{copied}");
        }
    }
    let last = all.iter().rposition(|(word, _)| word == "FROM").unwrap();
    let last = &all[last..];
    assert!(arguments(last, "RUN").is_empty(), "nothing can be run in a stage without a shell");
    assert_eq!(arguments(last, "USER"), ["65534:65534"]);
    let entry: Vec<String> = serde_json::from_str(arguments(last, "ENTRYPOINT")[0]).unwrap();
    assert_eq!(entry, ["/usr/local/bin/catalyst"]);
}

#[test]
fn what_the_build_stage_runs_is_there_and_what_it_must_not_copy_is_left_out() {
    let all = instructions(&read("Containerfile"));
    let scripts: Vec<&str> = arguments(&all, "RUN")
        .into_iter()
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with("scripts/"))
        .collect();
    assert_eq!(scripts, ["scripts/image.sh"]);
    let makefile = read("Makefile");
    for script in scripts {
        assert_ne!(fs::metadata(root().join(script)).unwrap().permissions().mode() & 0o111, 0, "{script}");
        assert!(makefile.contains(&format!("@{script}")), "no target makes what {script} does");
    }
    let left_out = read(".containerignore");
    assert!(["target", ".git"].iter().all(|name| left_out.lines().any(|line| line == *name)), "{left_out}");
}

/// Lays the image out, and packs it as the build stage hands it on.
fn lay_out(folder: &Path) -> PathBuf {
    let image = folder.join("image");
    let mut command = Command::new(root().join("scripts/image.sh"));
    command.arg(&image).env("IMAGE_BINARY", built("release/catalyst")).env("SOURCE_DATE_EPOCH", EPOCH);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", words(&output));
    let packed = folder.join("root.tar");
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--numeric-owner", "--format=gnu", "-cf"]).arg(&packed).arg("-C").arg(&image).arg(".");
    assert!(tar.status().unwrap().success());
    packed
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[test]
fn the_layout_is_whole_and_the_same_twice() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (lay_out(one.path()), lay_out(two.path()));
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap(), "two layouts differ");
    let image = one.path().join("image");
    for path in [
        "usr/local/bin/catalyst",
        "usr/local/bin/catalyst-dns",
        "usr/local/bin/tofu",
        "plugins/hetzner.wasm",
        "plugins/rehearsal.wasm",
        "plugins/plugins.lock",
        "etc/ssl/certs/ca-certificates.crt",
        "etc/passwd",
    ] {
        assert!(fs::metadata(image.join(path)).is_ok_and(|known| known.len() > 0), "{path}");
    }
    bills::cover(&image);
    assert_eq!(fs::read_link(image.join("usr/local/bin/catalyst-dns")).unwrap(), Path::new("catalyst"));
    assert_eq!(fs::metadata(image.join("var/lib/catalyst")).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(image.join("tmp")).unwrap().mode() & 0o7777, 0o1777);
    assert!(!image.join("bin").exists() && !image.join("usr/bin").exists(), "there is a shell, or room for one");
}

/// Buildah with storage of its own.
fn buildah(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(tools::path("buildah").unwrap());
    let at = |name: &str| folder.join(name).display().to_string();
    command.args(["--storage-driver", "vfs", "--root", &at("storage"), "--runroot", &at("run")]);
    command.env("BUILDAH_ISOLATION", "chroot").current_dir(folder).args(arguments).output().unwrap()
}

#[test]
fn the_last_stage_is_built_from_the_layout_and_runs_without_root() {
    let folder = tempfile::tempdir().unwrap();
    let packed = lay_out(folder.path());
    fs::create_dir(folder.path().join("context")).unwrap();
    fs::rename(packed, folder.path().join("context/root.tar")).unwrap();
    let text = read("Containerfile");
    let last = text.split("\n\n").find(|stage| stage.starts_with("FROM scratch")).unwrap();
    // The stage before it, without the registry: what it makes, as it makes it.
    fs::write(folder.path().join("Containerfile"), format!("FROM scratch AS build\nADD root.tar /image/\n{last}"))
        .unwrap();
    let did = |arguments: &[&str]| {
        let output = buildah(folder.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    did(&["bud", "--timestamp", EPOCH, "--file", "Containerfile", "--tag", "catalyst", "context"]);
    let image: Value = serde_json::from_str(&did(&["inspect", "--type", "image", "catalyst"])).unwrap();
    assert_eq!(image["OCIv1"]["config"]["User"], "65534:65534");
    assert_eq!(image["OCIv1"]["config"]["Cmd"], serde_json::json!(["serve"]));

    let container = did(&["from", "--pull-never", "localhost/catalyst"]);
    let run = |command: &[&str]| {
        let mut all = vec!["run", "--env", "CATALYST_PROVIDER_MIRROR=/providers", container.trim(), "--"];
        all.extend(command);
        buildah(folder.path(), &all)
    };
    let doctor = run(&["/usr/local/bin/catalyst", "doctor", "--json"]);
    let said: Value = serde_json::from_slice(&doctor.stdout).unwrap_or_else(|_| panic!("{}", words(&doctor)));
    let findings = said["findings"].as_array().unwrap();
    for check in [
        "user",
        "records",
        "kubeconfigs",
        "states",
        "work folders",
        "tofu",
        "cache",
        "plugins",
        "plugin pins",
        "mirror",
        "trust store",
    ] {
        let of: Vec<&Value> = findings.iter().filter(|one| one["check"] == check).collect();
        assert!(!of.is_empty() && of.iter().all(|one| one["verdict"] == "ok"), "{check}: {of:#?}");
    }
    let hook = words(&run(&["/usr/local/bin/catalyst-dns"]));
    assert!(hook.contains("DYNADOT_API_KEY is required"), "{hook}");
}
