//! What a destroy says at its end: what it did not look at, and what it saw and did not remove.

use catalyst_domain::RemainingResource;

/// Resources named in one sentence; the entries before it name all.
const NAMED: usize = 20;

/// What is known beside OpenTofu's state.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// What was not looked at, each with the reason.
    pub(super) not_looked_at: Vec<String>,
    /// What is still in the cloud.
    pub(super) remaining: Vec<RemainingResource>,
}

/// The last words of a destroy that ended well. `head` is a sentence without an end.
pub(super) fn last_words(head: &str, looked: &Looked) -> String {
    let mut sentences = vec![head.to_owned()];
    if !looked.not_looked_at.is_empty() {
        sentences.push(format!("Not looked at: {}", looked.not_looked_at.join("; ")));
    }
    sentences.extend(still_there(&looked.remaining).map(|names| format!("{names}; remove it there")));
    sentences.join(". ")
}

/// The error of a destroy that failed, with what may be in its way.
pub(super) fn with_remaining(error: String, looked: &Looked) -> String {
    let way =
        "what is attached to a network or a server keeps it from being removed: remove it there, then destroy again";
    match still_there(&looked.remaining) {
        Some(names) => format!("{error}. {names}; {way}"),
        None => error,
    }
}

fn still_there(remaining: &[RemainingResource]) -> Option<String> {
    let mut names: Vec<String> = remaining.iter().take(NAMED).map(ToString::to_string).collect();
    if let more @ 1.. = remaining.len().saturating_sub(NAMED) {
        names.push(format!("and {more} more"));
    }
    (!names.is_empty()).then(|| format!("Still in the cloud: {}", names.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(number: usize) -> RemainingResource {
        RemainingResource::new("volume", &format!("pvc-{number}"), &number.to_string(), "no yes")
    }

    #[test]
    fn t6_the_last_words_promise_no_more_than_was_looked_at() {
        let head = "what this deployment made is removed";
        assert_eq!(last_words(head, &Looked::default()), head);
        let not_looked_at = vec!["its cluster (no answer)".to_owned(), "its cloud (no API)".to_owned()];
        let looked = Looked { not_looked_at, remaining: vec![volume(1), volume(2)] };
        assert_eq!(
            last_words(head, &looked),
            "what this deployment made is removed. Not looked at: its cluster (no answer); its cloud (no API). Still in the cloud: \
             volume pvc-1 (1): no yes; volume pvc-2 (2): no yes; remove it there"
        );
    }

    #[test]
    fn t6_a_failed_destroy_names_what_is_in_its_way_within_bounds() {
        let error = || "tofu destroy: the network is in use".to_owned();
        assert_eq!(with_remaining(error(), &Looked::default()), error());
        let looked = Looked { remaining: (0..NAMED + 2).map(volume).collect(), ..Looked::default() };
        let text = with_remaining(error(), &looked);
        assert!(
            text.starts_with("tofu destroy: the network is in use. Still in the cloud: volume pvc-0 (0)"),
            "{text}"
        );
        assert!(
            text.contains("pvc-19 (19): no yes; and 2 more; what is attached") && !text.contains("pvc-20"),
            "{text}"
        );
    }
}
