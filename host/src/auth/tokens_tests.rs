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
    let tokens = Tokens::open(path).unwrap();
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
    assert!(matches!(parse("# nobody\n"), Err(TokensError::Empty)));
    let many: String = (0..=MOST).map(|n| format!("n{n} read sha256:{n:064x}\n")).collect();
    assert!(matches!(parse(&many), Err(TokensError::TooMany)));
}

#[tokio::test]
async fn a_changed_file_counts_and_a_broken_one_changes_nothing() {
    let (old, new) = (mint().unwrap(), mint().unwrap());
    let (_folder, path) = file(&line("ops", Scopes::ALL, &old).unwrap());
    let tokens = Tokens::open(path.clone()).unwrap();
    for broken in ["", "ops admin"] {
        std::fs::write(&path, broken).unwrap();
        tokens.reload_if_changed();
        assert!(scopes(&tokens, &old).await.is_some(), "{broken:?}");
    }
    std::fs::remove_file(&path).unwrap();
    tokens.reload_if_changed();
    assert!(scopes(&tokens, &old).await.is_some(), "a file that is gone");
    std::fs::write(&path, line("ops", Scopes::of(&[crate::auth::Scope::Read]), &new).unwrap()).unwrap();
    tokens.reload_if_changed();
    assert!(scopes(&tokens, &old).await.is_none());
    assert_eq!(scopes(&tokens, &new).await, Some(("ops".to_owned(), "read".to_owned())));
}
