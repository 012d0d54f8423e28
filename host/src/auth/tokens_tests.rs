//! The file of tokens: its lines, its changes, and who is let in meanwhile.

use super::*;
use crate::auth::token::mint;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

async fn scopes(tokens: &Tokens, token: &SecretValue) -> Option<(String, String)> {
    let caller = tokens.identify(token, Standing::Good).await.ok()?;
    Some((caller.subject, caller.scopes.to_string()))
}

#[tokio::test]
async fn a_line_that_was_made_lets_its_token_in_and_no_other() {
    let (one, two) = (mint().unwrap(), mint().unwrap());
    let ops = line("ops@example", Scopes::ALL, &one).unwrap();
    let ci = line("ci", Scopes::parse("create,read").unwrap(), &two).unwrap();
    assert!(!ops.contains(one.expose()));
    let (_folder, path) = file(&format!("# people\n\n  {ops}  \n{ci}\n"));
    let tokens = Tokens::open(path, GRACE).unwrap();
    assert_eq!(scopes(&tokens, &one).await.unwrap().0, "ops@example");
    assert_eq!(scopes(&tokens, &two).await, Some(("ci".to_owned(), "read,create".to_owned())));
    let digest = ops.rsplit(':').next().unwrap().to_owned();
    for wrong in [
        mint().unwrap(),
        SecretValue::new(digest),
        SecretValue::new("é"),
        SecretValue::new("x".repeat(LARGEST as usize)),
    ] {
        assert!(matches!(tokens.identify(&wrong, Standing::Good).await, Err(Fault::Wrong(_))));
    }
}

#[test]
fn a_line_that_breaks_a_rule_is_named_by_its_number_and_without_its_text() {
    let digest = "0".repeat(64);
    for (line, rule) in [
        ("ops admin".to_owned(), "name, scopes and a digest"),
        (format!("o/ps admin sha256:{digest}"), "a name must be"),
        (format!("{} admin sha256:{digest}", "n".repeat(65)), "a name must be"),
        (format!("ops root sha256:{digest}"), "scopes must be"),
        (format!("ops admin {digest}"), "sha256:"),
        (format!("ops admin sha256:{}", &digest[1..]), "64 hex digits"),
        (format!("first read sha256:{}", "1".repeat(64)), "a name must not come twice"),
        (format!("other read sha256:{}", "f".repeat(64)), "a token must not come twice"),
    ] {
        let text = format!("first read sha256:{}\n{line}\n", "f".repeat(64));
        let error = parse(&text).err().unwrap().to_string();
        assert!(error.starts_with("line 2: ") && error.contains(rule), "{line}: {error}");
        assert!(!error.contains(&digest[1..]), "{error}");
    }
    let many: String = (0..=MOST).map(|n| format!("n{n} read sha256:{n:064x}\n")).collect();
    assert!(matches!(parse(&many), Err(TokensError::TooMany)));
}

fn one(name: &str, token: &SecretValue) -> String {
    line(name, Scopes::ALL, token).unwrap()
}

#[tokio::test]
async fn a_changed_file_counts_and_one_without_a_token_lets_nobody_in_at_once() {
    let (old, new) = (mint().unwrap(), mint().unwrap());
    let (_folder, path) = file(&one("ops", &old));
    let tokens = Tokens::open(path.clone(), GRACE).unwrap();
    std::fs::write(&path, line("ops", Scopes::of(&[crate::auth::Scope::Read]), &new).unwrap()).unwrap();
    tokens.reload_if_changed();
    assert!(scopes(&tokens, &old).await.is_none());
    assert_eq!(scopes(&tokens, &new).await, Some(("ops".to_owned(), "read".to_owned())));
    for nobody in ["# nobody\n", ""] {
        std::fs::write(&path, one("ops", &old)).unwrap();
        tokens.reload_if_changed();
        assert!(scopes(&tokens, &old).await.is_some());
        std::fs::write(&path, nobody).unwrap();
        tokens.reload_if_changed();
        let refused = tokens.identify(&old, Standing::Good).await;
        assert!(matches!(refused, Err(Fault::Wrong(_))), "{nobody:?}: {refused:?}");
        assert_eq!(tokens.trouble(), None, "it is a list like others");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_leaves_its_last_list_for_a_while_and_then_lets_nobody_in() {
    let token = mint().unwrap();
    let good = one("ops", &token);
    let (_folder, path) = file(&good);
    let grace = Duration::from_millis(200);
    let tokens = Tokens::open(path.clone(), grace).unwrap();
    for broken in [Some("ops admin"), None] {
        match broken {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        tokens.reload_if_changed();
        assert!(scopes(&tokens, &token).await.is_some(), "{broken:?}: a moment without a file is normal");
        assert!(matches!(tokens.trouble(), Some(Trouble::Lasting(_))), "{broken:?}");
        std::thread::sleep(grace);
        tokens.reload_if_changed();
        let Err(Fault::Blind(why)) = tokens.identify(&token, Standing::Good).await else { panic!("{broken:?}") };
        assert!(why.contains("the file of tokens cannot be used"), "{why}");
        assert!(matches!(tokens.trouble(), Some(Trouble::Blind(_))), "{broken:?}");
        std::fs::write(&path, &good).unwrap();
        tokens.reload_if_changed();
        assert!(scopes(&tokens, &token).await.is_some(), "{broken:?}: it heals by itself");
        assert_eq!(tokens.trouble(), None);
    }
    // Faults that follow on each other are one time without a list.
    std::fs::write(&path, "ops admin").unwrap();
    tokens.reload_if_changed();
    std::thread::sleep(grace);
    std::fs::remove_file(&path).unwrap();
    tokens.reload_if_changed();
    assert!(scopes(&tokens, &token).await.is_none());
}

#[tokio::test]
async fn a_secret_that_is_swapped_by_a_link_as_kubernetes_does_is_followed() {
    let (old, new) = (mint().unwrap(), mint().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, token) in [("v1", &old), ("v2", &new)] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("tokens"), one("ops", token)).unwrap();
    }
    let turn = |to: &str| {
        std::os::unix::fs::symlink(to, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    turn("v1");
    std::os::unix::fs::symlink("..data/tokens", at("tokens")).unwrap();
    let tokens = Tokens::open(at("tokens"), GRACE).unwrap();
    assert!(scopes(&tokens, &old).await.is_some());
    turn("v2");
    tokens.reload_if_changed();
    assert!(scopes(&tokens, &old).await.is_none() && scopes(&tokens, &new).await.is_some());
}

#[test]
fn the_mode_of_a_mounted_secret_is_closed_enough_and_others_are_told() {
    for (mode, too_open) in
        [(0o600, false), (0o400, false), (0o440, false), (0o640, false), (0o660, true), (0o644, true), (0o604, true)]
    {
        assert_eq!(is_too_open(0o100_000 | mode), too_open, "{mode:o}");
    }
}
