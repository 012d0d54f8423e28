//! Everything that is wrong with one request, from all who look at it: each fault once, and nothing that cannot be judged
//! because something else is wrong.

use super::Request;
use crate::finding::{Finding, MAX_FINDINGS, limit, mask, sort_by_contract};
use crate::secrets::Secrets;

/// Keys that stand for a key of the first region where a request names no regions.
const SINGULAR: [(&str, &str); 4] = [
    ("/region", "/regions/0/cloudRegion"),
    ("/controlPlaneSize", "/regions/0/controlPlaneSize"),
    ("/workerSize", "/regions/0/workerSize"),
    ("/workerCount", "/regions/0/workerCount"),
];

/// Findings that are gathered; an answer has far fewer, and each is held against all others.
const MOST_GATHERED: usize = 1_000;

/// Findings on one request, gathered from the host's rules and from its provider.
#[derive(Debug, Default)]
pub struct GatheredFindings {
    /// Fields that could not be read.
    wrong_types: Vec<Finding>,
    /// All others.
    rest: Vec<Finding>,
}

impl GatheredFindings {
    /// Begins with the fields that could not be read. Of these nothing else is said.
    pub fn new(wrong_types: Vec<Finding>) -> Self {
        // No answer names more, and each is held against all others.
        let wrong_types = wrong_types.into_iter().take(MAX_FINDINGS).collect();
        Self { wrong_types, rest: Vec::new() }
    }

    /// Adds what the host found. What rests on a field that could not be read is left out.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        let Self { wrong_types, rest } = self;
        let room = MOST_GATHERED.saturating_sub(rest.len());
        rest.extend(findings.into_iter().filter(|finding| !is_unread(wrong_types, &finding.pointer)).take(room));
    }

    /// Adds what the host's own rules say of a request.
    pub fn add_rules(&mut self, request: &Request) {
        self.add(super::validate(request));
    }

    /// Adds what the provider found, but for fields that the host refuses already: it says those in its own words.
    pub fn add_of_provider(&mut self, findings: Vec<Finding>) {
        let refused: Vec<String> = self.rest.iter().filter(|f| f.is_error()).map(|f| f.pointer.clone()).collect();
        let is_refused = |pointer: &str| {
            refused.iter().any(|outer| !outer.is_empty() && (is_within(pointer, outer) || is_same(pointer, outer)))
        };
        let new: Vec<Finding> = findings
            .into_iter()
            .filter(|finding| !is_unread(&self.wrong_types, &finding.pointer) && !is_refused(&finding.pointer))
            .filter(|finding| !self.rest.iter().any(|f| f.pointer == finding.pointer && f.code == finding.code))
            .collect();
        self.rest.extend(new);
    }

    /// Adds those findings whose place has no error yet.
    pub fn add_where_nothing_is_said(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            if !self.rest.iter().any(|known| known.is_error() && known.pointer == finding.pointer) {
                self.add([finding]);
            }
        }
    }

    /// Whether a finding refuses the request.
    pub fn has_errors(&self) -> bool {
        !self.wrong_types.is_empty() || self.rest.iter().any(Finding::is_error)
    }

    /// Pointers of the fields that could not be read, which a provider is given blank. Where the first region is one of them, or
    /// lies in one, so are the keys that stand for it.
    pub fn unread(&self) -> Vec<String> {
        let own = self.wrong_types.iter().map(|wrong| wrong.pointer.clone());
        let stands_for = |(key, slot): &(&str, &str)| {
            let lost = self.wrong_types.iter().any(|wrong| wrong.pointer != *slot && is_within(slot, &wrong.pointer));
            lost.then(|| (*key).to_owned())
        };
        own.chain(SINGULAR.iter().filter_map(stands_for)).collect()
    }

    /// All of them: fields that could not be read first, then the others in the contract's order, without the values of
    /// `secrets`, and within the bounds of an answer.
    pub fn finish(mut self, secrets: &Secrets) -> Vec<Finding> {
        sort_by_contract(&mut self.rest);
        let mut all = self.wrong_types;
        all.append(&mut self.rest);
        mask(&mut all, secrets);
        limit(&mut all);
        all
    }
}

/// Whether a finding speaks of a field that could not be read.
fn is_unread(wrong_types: &[Finding], pointer: &str) -> bool {
    let slot = SINGULAR.iter().find(|(key, _)| *key == pointer).map(|(_, slot)| *slot);
    wrong_types
        .iter()
        .any(|wrong| is_within(pointer, &wrong.pointer) || slot.is_some_and(|slot| is_within(slot, &wrong.pointer)))
}

/// Whether one pointer is the singular key that stands for the other.
fn is_same(one: &str, other: &str) -> bool {
    SINGULAR.iter().any(|(key, slot)| (one, other) == (*key, *slot) || (other, one) == (*key, *slot))
}

/// Whether a pointer leads to the same place as another, or to one inside it.
fn is_within(pointer: &str, outer: &str) -> bool {
    pointer.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(pointers: &[&str]) -> Vec<Finding> {
        pointers.iter().map(|pointer| Finding::error(*pointer, "x", *pointer)).collect()
    }

    fn pointers(gathered: GatheredFindings) -> Vec<String> {
        gathered.finish(&Secrets::default()).into_iter().map(|finding| finding.pointer).collect()
    }

    #[test]
    fn what_is_gathered_is_bounded_and_still_refuses() {
        let many = |start: usize, end: usize| -> Vec<Finding> {
            (start..end).map(|index| Finding::error(format!("/regions/{index}"), "x", "x")).collect()
        };
        let mut gathered = GatheredFindings::new(many(0, 65_000));
        gathered.add(many(70_000, 77_000));
        assert_eq!((gathered.wrong_types.len(), gathered.rest.len()), (MAX_FINDINGS, MOST_GATHERED));
        assert!(gathered.has_errors() && gathered.finish(&Secrets::default()).len() <= MAX_FINDINGS);
    }

    #[test]
    fn host_and_provider_are_named_at_once_and_each_fault_once() {
        let mut gathered = GatheredFindings::new(errors(&["/orgName"]));
        gathered.add(errors(&["/sovereignFQDN", "/orgName"]));
        gathered.add_of_provider(errors(&["/regions/0/cloudRegion", "/sovereignFQDN", "/orgName", "/networks/3"]));
        gathered.add_where_nothing_is_said(errors(&["/networks", "/regions/0/cloudRegion"]));
        assert!(gathered.has_errors());
        assert_eq!(
            pointers(gathered),
            ["/orgName", "/regions/0/cloudRegion", "/networks/3", "/networks", "/sovereignFQDN"]
        );
    }

    #[test]
    fn what_the_host_refuses_whole_the_provider_does_not_judge_in_part() {
        let mut gathered = GatheredFindings::default();
        gathered.add(errors(&["/networks", ""]));
        gathered.add([Finding::warning("/image", "remark", "a remark refuses nothing")]);
        gathered.add_of_provider(errors(&["/networks/0", "/networks2", "/image"]));
        let found = pointers(gathered);
        assert!(!found.contains(&"/networks/0".to_owned()), "{found:?}");
        assert!(found.contains(&"/networks2".to_owned()) && found.contains(&"/image".to_owned()), "{found:?}");
    }

    #[test]
    fn a_region_that_could_not_be_read_is_missing_nowhere_else() {
        for (wrong, blank) in [
            ("/regions", vec!["/regions", "/region", "/controlPlaneSize", "/workerSize", "/workerCount"]),
            ("/regions/0", vec!["/regions/0", "/region", "/controlPlaneSize", "/workerSize", "/workerCount"]),
            ("/regions/0/cloudRegion", vec!["/regions/0/cloudRegion"]),
            ("/regions/1", vec!["/regions/1"]),
        ] {
            let mut gathered = GatheredFindings::new(errors(&[wrong]));
            assert_eq!(gathered.unread(), blank, "{wrong}");
            gathered.add(errors(&["/region"]));
            let named = pointers(gathered).contains(&"/region".to_owned());
            assert_eq!(named, wrong == "/regions/1", "{wrong}");
        }
    }
}
