//! What the log of a deployment says was created and was not removed since: where a state is lost, it is all that tells.

use catalyst_domain::{DeploymentId, phase};
use catalyst_store::Store;
use std::collections::BTreeMap;

/// Entries of one read.
const PAGE: usize = 1_000;

/// Ids by address.
///
/// # Errors
/// The log cannot be read; in words.
pub(super) async fn by_log(store: &dyn Store, id: &DeploymentId) -> Result<BTreeMap<String, String>, String> {
    let (mut created, mut after) = (BTreeMap::new(), 0);
    loop {
        let page = store.read(id, after, PAGE).await.map_err(|error| error.to_string())?;
        let Some(last) = page.last() else { return Ok(created) };
        after = last.number;
        for numbered in page.iter().filter(|numbered| numbered.entry.phase == phase::TOFU) {
            take(&numbered.entry.message, &mut created);
        }
    }
}

/// One line of OpenTofu, such as `type.name[0]: Creation complete after 2s [id=4711]`.
fn take(line: &str, created: &mut BTreeMap<String, String>) {
    if let Some((address, rest)) = line.split_once(": Creation complete") {
        let id = rest.split_once("[id=").and_then(|(_, id)| id.strip_suffix(']')).unwrap_or_default();
        created.insert(address.to_owned(), id.to_owned());
    } else if let Some((address, _)) = line.split_once(": Destruction complete") {
        created.remove(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_since_does_not_count() {
        let mut created = BTreeMap::new();
        for line in [
            "t.a: Creating...",
            "t.a: Creation complete after 1s [id=1]",
            "t.b[\"x: y\"]: Creation complete after 12m3s [id=2]",
            "t.c: Creation complete after 0s [id=3]",
            "t.c: Destruction complete after 1s",
            "t.d: Creation complete after 0s [id=4]",
            "t.d: Destruction complete after 0s",
            "t.d: Creation complete after 0s [id=5]",
            "t.e: Creation complete after 0s",
            // One that was replaced, of which only the older object went.
            "t.a (deposed object 1234abcd): Destruction complete after 1s",
        ] {
            take(line, &mut created);
        }
        let expect = [("t.a", "1"), ("t.b[\"x: y\"]", "2"), ("t.d", "5"), ("t.e", "")];
        assert_eq!(created, expect.map(|(address, id)| (address.to_owned(), id.to_owned())).into());
    }
}
