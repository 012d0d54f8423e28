//! What OpenTofu says when it cannot keep its state. It speaks to a person at its own command line: of a file in the current folder and
//! of commands that nobody can give here. The host keeps the state and goes on from it, so that is what is said.

use catalyst_domain::provider::Diagnostic;

const NOT_SAVED: &str = "Failed to save state";
const NOT_KEPT: &str = "Failed to persist state to backend";
const NO_COPY: &str = "Failed to create local state file";
/// Diagnostics whose first paragraph says what happened, and the others what to do with OpenTofu's own commands.
const OF_THE_LOCK: [&str; 2] = ["Error acquiring the state lock", "Error releasing the state lock"];

/// How OpenTofu begins to ask that its lock file be put under version control.
const LOCK_FILE_MESSAGES: [&str; 2] =
    ["OpenTofu has created a lock file", "OpenTofu has made some changes to the provider dependency selections"];

/// The same diagnostic without what leads a reader nowhere.
pub(super) fn in_our_words(mut diagnostic: Diagnostic) -> Diagnostic {
    let detail = match diagnostic.summary.as_str() {
        // The other words are the address of a backend that ends with the run.
        NOT_SAVED => "the host did not take it in time",
        NOT_KEPT => "the host holds the newest state that it was handed, and the next retry or destroy goes on from it",
        NO_COPY => "there is no copy of the state in the work folder of this run",
        summary if OF_THE_LOCK.contains(&summary) => {
            diagnostic.detail.split("\n\n").next().map(str::trim).unwrap_or_default()
        }
        _ => return diagnostic,
    };
    diagnostic.detail = detail.to_owned();
    diagnostic
}

/// Whether a message of progress is about the lock file of providers, which lies in the work folder of the run and is the host's to
/// keep.
pub(super) fn is_about_lock_file(message: &str) -> bool {
    LOCK_FILE_MESSAGES.iter().any(|begin| message.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_and_no_command_is_named_that_a_reader_does_not_have() {
        let said = |summary: &str, detail: &str| {
            let diagnostic = Diagnostic { summary: summary.into(), detail: detail.into(), address: None };
            in_our_words(diagnostic).detail
        };
        let detail = "the state has been written to the file \"errored.tfstate\" in the current working directory.\n\nRunning \
                      \"tofu apply\" again … use the following command:\n    tofu state push errored.tfstate\n";
        for summary in [NOT_SAVED, NOT_KEPT, NO_COPY] {
            let ours = said(summary, detail);
            assert!(!ours.contains("tfstate") && !ours.contains("tofu ") && !ours.is_empty(), "{ours}");
        }
        let lock = "Error message: Unexpected HTTP response code 503\n\nOpenTofu acquires a state lock … \"-lock=false\"\nflag";
        assert_eq!(said(OF_THE_LOCK[0], lock), "Error message: Unexpected HTTP response code 503");
        assert_eq!(said("no stock", "in r1\n\ntry r2"), "in r1\n\ntry r2");
        assert!(is_about_lock_file(
            "OpenTofu has created a lock file .terraform.lock.hcl to record the provider selections"
        ));
        assert!(!is_about_lock_file("OpenTofu has been successfully initialized!"));
    }
}
