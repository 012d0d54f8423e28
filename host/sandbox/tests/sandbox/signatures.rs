//! Signatures: with keys, only what one of them signed serves, and only for as long as the key is trusted.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use catalyst_sandbox::{Sandbox, Settings};
use minisign::KeyPair;

use crate::fixtures::{asks, folder, guest, limits, rebuilt};

fn pair() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().expect("a key pair")
}

fn sign(pair: &KeyPair, bytes: &[u8], comment: &str) -> String {
    let signed = minisign::sign(None, &pair.sk, Cursor::new(bytes), Some(comment), None);
    signed.expect("a signature").into_string()
}

fn trust(file: &Path, pairs: &[&KeyPair]) {
    let boxes = pairs.iter().map(|pair| pair.pk.to_box().expect("a public key").into_string());
    std::fs::write(file, boxes.collect::<Vec<_>>().join("\n")).expect("a file of keys");
}

struct Scene {
    dir: tempfile::TempDir,
    keys: tempfile::TempDir,
    sandbox: Arc<Sandbox>,
    good: Vec<u8>,
}

impl Scene {
    fn new(trusted: &[&KeyPair]) -> Self {
        let good = guest("by_request");
        let (dir, keys) = (folder(&[("p.wasm", &good)]), tempfile::tempdir().expect("a folder"));
        trust(&keys.path().join("keys"), trusted);
        let settings =
            Settings { limits: limits().into(), keys: Some(keys.path().join("keys")), ..Settings::default() };
        Self { dir, keys, sandbox: Sandbox::new(settings).expect("a sandbox"), good }
    }

    fn signature(&self, text: &str) {
        std::fs::write(self.dir.path().join("p.wasm.minisig"), text).expect("a signature");
    }

    /// Whether it serves, and what is said where it was not loaded.
    async fn load(&self) -> (bool, String) {
        let mut report = self.sandbox.load_folder(self.dir.path()).await;
        (!report.serving.is_empty(), report.failures.pop().map(|failure| failure.error).unwrap_or_default())
    }
}

#[tokio::test]
async fn only_what_a_trusted_key_signed_serves() {
    let (ours, theirs) = (pair(), pair());
    let scene = Scene::new(&[&pair(), &ours]);
    assert_eq!(
        scene.load().await,
        (false, "is not signed: p.wasm.minisig is not there, and only signed plugins serve".into())
    );

    let sound = sign(&ours, &scene.good, "reviewed in May");
    for (text, words) in [
        (sign(&theirs, &scene.good, "x"), "a key that is not trusted here"),
        (sign(&ours, &rebuilt(&scene.good), "x"), "was changed after it was signed"),
        (sound.replace("reviewed in May", "reviewed in Mai"), "was changed after it was signed"),
        (sound.lines().take(2).collect::<Vec<_>>().join("\n"), "not in minisign's form"),
        (String::new(), "not in minisign's form"),
        ("x".repeat(5_000), "larger than 4096 bytes"),
    ] {
        scene.signature(&text);
        let (serves, error) = scene.load().await;
        assert!(
            !serves && error.starts_with("has a signature that does not hold: ") && error.contains(words),
            "{error}"
        );
    }

    scene.signature(&sound);
    assert_eq!(scene.load().await, (true, String::new()));
    let provider = scene.sandbox.provider("hostile").expect("it serves");
    let signer = provider.signer().expect("it is signed");
    assert_eq!((signer.key.as_str(), signer.comment.as_str()), (ours.pk.to_base64().as_str(), "reviewed in May"));
    assert_eq!(provider.validate(&asks("behave")).await.expect("an answer").len(), 1);
}

#[tokio::test]
async fn nothing_reads_an_unsigned_component_as_webassembly() {
    let scene = Scene::new(&[&pair()]);
    std::fs::write(scene.dir.path().join("p.wasm"), "no component at all").expect("a file");
    assert!(scene.load().await.1.starts_with("is not signed"));
}

#[tokio::test]
async fn a_bad_new_file_leaves_the_signed_one_and_a_key_that_is_taken_back_ends_it() {
    let (ours, others) = (pair(), pair());
    let scene = Scene::new(&[&ours]);
    scene.signature(&sign(&ours, &scene.good, "x"));
    assert!(scene.load().await.0);

    // The component came before its signature: what was signed goes on.
    std::fs::write(scene.dir.path().join("p.wasm"), rebuilt(&scene.good)).expect("a file");
    let (serves, error) = scene.load().await;
    assert!(serves && error.contains("was changed after it was signed"), "{error}");

    // Keys that cannot be read let nothing new in, and end nothing.
    std::fs::write(scene.keys.path().join("keys"), "no key\n").expect("a file of keys");
    let (serves, error) = scene.load().await;
    assert!(serves && error.contains("line 1: not a public key of minisign; no plugin is loaded"), "{error}");

    trust(&scene.keys.path().join("keys"), &[&others]);
    let (serves, error) = scene.load().await;
    assert!(!serves && error.contains("a key that is not trusted here"), "{error}");
}
