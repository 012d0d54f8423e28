//! Which files serve, which do not, and what is said of them.

use catalyst_sandbox::{Limits, Sandbox, Settings};
use sha2::{Digest as _, Sha256};

use crate::fixtures::{asks, brisk, edited, folder, guest, limits, rebuilt, refusal, sandbox};

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("a component's text")
}

#[tokio::test]
async fn what_is_not_a_binary_component_is_told_apart() {
    assert!(refusal(b"(component)").await.contains("not a binary WebAssembly component"));
    assert!(refusal(b"").await.contains("not a binary WebAssembly component"));
    assert!(refusal(b"\0asm\x01\0\0\0").await.contains("core WebAssembly module"));
    let whole = guest("by_request");
    for keep in [6, 100, whole.len() / 2, whole.len() - 1] {
        let text = refusal(&whole[..keep]).await;
        assert!(text.contains("not a valid component"), "{keep}: {text}");
    }
}

#[tokio::test]
async fn machine_code_is_never_taken_from_a_folder() {
    let engine = wasmtime::Engine::default();
    let code = engine.precompile_component(&guest("by_request")).expect("machine code");
    assert!(refusal(&code).await.contains("precompiled machine code, which is never accepted"));
}

#[tokio::test]
async fn forbidden_imports_are_named() {
    let text = refusal(&guest("opens_socket")).await;
    assert!(text.contains("imports wasi:sockets/") && text.contains("no plugin gets"), "{text}");
    for import in ["wasi:http/outgoing-handler@0.2.6", "acme:host/shell@1.0.0"] {
        let text = refusal(&component(&format!(r#"(component (import "{import}" (instance)))"#))).await;
        assert!(text.contains(import), "{text}");
    }
}

#[tokio::test]
async fn other_worlds_and_versions_are_refused() {
    assert!(refusal(&component("(component)")).await.contains("another world"));
    let bare = component(r#"(component (import "catalyst:provisioner/log@1.0.0" (instance)))"#);
    assert!(refusal(&bare).await.contains("does not fit the provisioner world"));
    let mut newer = guest("by_request");
    let (from, to) = (b"catalyst:provisioner/", b"@0.7.0");
    let starts: Vec<usize> =
        newer.windows(from.len()).enumerate().filter(|(_, w)| w == from).map(|(at, _)| at).collect();
    for start in starts {
        let tail = &newer[start..(start + 60).min(newer.len())];
        if let Some(at) = tail.windows(to.len()).position(|window| window == b"@1.0.0") {
            newer[start + at..start + at + to.len()].copy_from_slice(to);
        }
    }
    let text = refusal(&newer).await;
    assert!(text.contains("catalyst:provisioner 0.7.0"), "{text}");
}

#[tokio::test]
async fn what_is_switched_off_does_not_compile() {
    for (what, text) in [
        ("memory64", "(component (core module (memory i64 1)))"),
        ("threads", "(component (core module (memory 1 1 shared)))"),
        (
            "relaxed SIMD",
            "(component (core module (func (param v128 v128 v128) (result v128)
            (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))))",
        ),
        ("garbage collection", "(component (core module (type (struct (field i32)))))"),
        ("component async", "(component (type (future u8)))"),
        ("exceptions", "(component (core module (tag) (func (throw 0))))"),
    ] {
        assert!(refusal(&component(text)).await.contains("not a valid component"), "{what}");
    }
}

#[tokio::test]
async fn size_and_memory_are_bounded_at_load() {
    let small = sandbox(Limits { component_bytes: 1000, ..Limits::default() });
    let report = small.load_folder(folder(&[("big.wasm", &guest("by_request"))]).path()).await;
    assert!(report.failures[0].error.contains("larger than 1000 bytes"), "{:?}", report.failures);

    let narrow = sandbox(Limits { memory_bytes: 256 * 1024, ..Limits::default() });
    let report = narrow.load_folder(folder(&[("big.wasm", &guest("by_request"))]).path()).await;
    let text = &report.failures[0].error;
    assert!(text.contains("memory"), "{text}");
}

#[tokio::test]
async fn a_guest_that_cannot_say_who_it_is_does_not_serve() {
    for name in ["looping_start", "looping_describe"] {
        let text = refusal(&guest(name)).await;
        assert!(text.contains("plugin one.wasm: describe did not end within 800 ms"), "{name}: {text}");
    }
    assert!(refusal(&guest("lies_about_itself")).await.contains("describes itself wrongly: the id"));
}

#[tokio::test]
async fn the_others_serve() {
    let good = guest("by_request");
    let sandbox = sandbox(brisk());
    let dir = folder(&[
        ("a-loop.wasm", &guest("looping_start")),
        ("b-socket.wasm", &guest("opens_socket")),
        ("c-good.wasm", &good),
        ("e-cut.wasm", &good[..good.len() / 3]),
        ("notes.txt", b"not looked at"),
    ]);
    let report = sandbox.load_folder(dir.path()).await;
    let failed: Vec<&str> = report.failures.iter().map(|failure| failure.file.as_str()).collect();
    assert_eq!(failed, ["a-loop.wasm", "b-socket.wasm", "e-cut.wasm"]);
    assert_eq!(sandbox.failures().len(), 3);
    let provider = sandbox.provider("hostile").expect("the good one serves");
    assert_eq!(provider.file_name(), "c-good.wasm");
    assert_eq!(provider.validate(&asks("behave")).await.expect("an answer").len(), 1);
    assert!(sandbox.provider("other").is_none());
}

#[tokio::test]
async fn who_serves_an_id_keeps_it_and_of_two_newcomers_neither_gets_it() {
    let good = guest("by_request");
    let running = sandbox(limits());
    let dir = folder(&[("m.wasm", &good)]);
    running.load_folder(dir.path()).await;
    for twin in ["a-first.wasm", "z-last.wasm"] {
        std::fs::write(dir.path().join(twin), rebuilt(&good)).expect("a file");
    }
    for _ in 0..2 {
        let report = running.load_folder(dir.path()).await;
        let failed: Vec<&str> = report.failures.iter().map(|failure| failure.file.as_str()).collect();
        assert_eq!(failed, ["a-first.wasm", "z-last.wasm"]);
        let told = "has the provider id hostile, which m.wasm already has";
        assert!(report.failures.iter().all(|failure| failure.error == told), "{:?}", report.failures);
        assert_eq!(running.provider("hostile").expect("it serves").file_name(), "m.wasm");
    }

    // Nor does a twin get it when that file goes bad.
    std::fs::write(dir.path().join("m.wasm"), b"broken").expect("a file");
    let report = running.load_folder(dir.path()).await;
    assert_eq!(running.provider("hostile").expect("it serves").digest(), hex::encode(Sha256::digest(&good)));
    assert_eq!(report.failures.iter().map(|failure| failure.previous_serves).collect::<Vec<_>>(), [false, true, false]);
    std::fs::write(dir.path().join("m.wasm"), &good).expect("a file");

    // A start that finds all three cannot know which is meant.
    let started = sandbox(limits());
    let report = started.load_folder(dir.path()).await;
    assert!(report.serving.is_empty());
    let told: Vec<&str> = report.failures.iter().map(|failure| failure.error.as_str()).collect();
    assert!(told[1].contains("provider id hostile, and so has a-first.wasm and z-last.wasm: none of them"), "{told:?}");

    for twin in ["a-first.wasm", "z-last.wasm"] {
        std::fs::remove_file(dir.path().join(twin)).expect("gone");
    }
    assert!(started.load_folder(dir.path()).await.failures.is_empty());
    assert_eq!(started.provider("hostile").expect("it serves").file_name(), "m.wasm");
}

#[tokio::test]
async fn a_twin_that_was_compiled_before_has_no_better_claim_at_a_start() {
    let (good, cache) = (guest("by_request"), tempfile::tempdir().expect("a folder"));
    let dir = folder(&[("m.wasm", &good)]);
    let start = || {
        let settings =
            Settings { cache_dir: Some(cache.path().to_owned()), limits: limits().into(), ..Settings::default() };
        Sandbox::new(settings).expect("a sandbox")
    };
    let first = start();
    first.load_folder(dir.path()).await;
    std::fs::write(dir.path().join("a-twin.wasm"), rebuilt(&good)).expect("a file");
    assert_eq!(first.load_folder(dir.path()).await.failures[0].file, "a-twin.wasm");
    // Only the twin would be found in the cache.
    std::fs::write(dir.path().join("m.wasm"), rebuilt(&rebuilt(&good))).expect("a file");
    let report = start().load_folder(dir.path()).await;
    assert!(report.serving.is_empty() && report.failures.len() == 2, "{report:?}");
}

#[tokio::test]
async fn two_updates_that_claim_one_id_get_it_neither_and_leave_what_served() {
    let good = guest("by_request");
    let (other, third) = (edited(&good, "hostile", "another"), edited(&good, "hostile", "thirdly"));
    let running = sandbox(limits());
    let dir = folder(&[("a.wasm", &good), ("b.wasm", &other)]);
    running.load_folder(dir.path()).await;
    std::fs::write(dir.path().join("a.wasm"), &third).expect("a file");
    std::fs::write(dir.path().join("b.wasm"), rebuilt(&third)).expect("a file");
    running.load_folder(dir.path()).await;
    let report = running.load_folder(dir.path()).await;
    assert!(running.provider("thirdly").is_none(), "{report:?}");
    assert!(running.provider("hostile").is_some() && running.provider("another").is_some(), "{report:?}");
    assert!(report.failures.iter().all(|failure| failure.previous_serves), "{report:?}");
}

#[tokio::test]
async fn trouble_of_a_disk_ends_nobody_and_gives_no_id_away() {
    let good = guest("by_request");
    let running = sandbox(limits());
    let dir = folder(&[("m.wasm", &good)]);
    running.load_folder(dir.path()).await;
    std::fs::write(dir.path().join("a-twin.wasm"), rebuilt(&good)).expect("a file");
    // A link to itself: what the file is cannot be told.
    std::fs::remove_file(dir.path().join("m.wasm")).expect("gone");
    std::os::unix::fs::symlink("m.wasm", dir.path().join("m.wasm")).expect("a link");
    let report = running.load_folder(dir.path()).await;
    assert_eq!(running.provider("hostile").expect("it serves").file_name(), "m.wasm");
    assert!(report.failures[1].error.contains("cannot be read") && report.failures[1].previous_serves, "{report:?}");
}

#[tokio::test]
async fn a_bad_new_file_leaves_the_old_one_serving() {
    let good = guest("by_request");
    let sandbox = sandbox(brisk());
    let dir = folder(&[("p.wasm", &good)]);
    sandbox.load_folder(dir.path()).await;
    let first = sandbox.provider("hostile").expect("it serves");

    let same = sandbox.load_folder(dir.path()).await;
    assert!(std::sync::Arc::ptr_eq(&first, &same.serving[0]), "an unchanged file is not loaded again");

    std::fs::write(dir.path().join("p.wasm"), b"broken").expect("a file");
    let report = sandbox.load_folder(dir.path()).await;
    assert!(report.failures[0].previous_serves);
    assert_eq!(sandbox.provider("hostile").expect("it still serves").digest(), first.digest());

    std::fs::remove_file(dir.path().join("p.wasm")).expect("gone");
    sandbox.load_folder(dir.path()).await;
    assert!(sandbox.provider("hostile").is_none(), "a file that is gone ends its plugin");
    assert_eq!(first.validate(&asks("behave")).await.expect("a call in flight goes on").len(), 1);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_a_failure() {
    let report = sandbox(brisk()).load_folder(std::path::Path::new("no/such/folder")).await;
    assert!(report.failures[0].error.contains("cannot be read"), "{:?}", report.failures);
}
