//! A plugin's words as people may see them, in a terminal, a log or a browser.
//!
//! Control characters move a cursor or forge lines; direction controls make a text read otherwise than it is (Unicode TR 36,
//! "Bidirectional Text Spoofing"). A finding may quote a request that holds such characters, so they are made visible instead
//! of refusing the whole answer.

use catalyst_domain::Finding;
use catalyst_domain::provider::{Advice, Bundle, Estimate, LeftoverSearch, Verdict};

/// Whether a character is seen, and nothing but seen. Lines and tabs are.
pub(crate) fn is_plain(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => false,
        c => !c.is_control(),
    }
}

/// Shows every other character as a replacement character.
pub(crate) fn clean(text: &mut String) {
    if !text.chars().all(is_plain) {
        *text = text.chars().map(|c| if is_plain(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
    }
}

pub(crate) fn findings(findings: &mut Vec<Finding>) {
    for finding in findings {
        [&mut finding.pointer, &mut finding.code, &mut finding.message].into_iter().for_each(clean);
    }
}

/// Its warnings; files and variables are no words.
pub(crate) fn rendered(rendered: &mut Result<Bundle, Vec<Finding>>) {
    match rendered {
        Ok(bundle) => bundle.warnings.iter_mut().for_each(clean),
        Err(list) => findings(list),
    }
}

pub(crate) fn advice(advice: &mut Advice) {
    [&mut advice.what_happened, &mut advice.what_to_do].into_iter().for_each(clean);
    for alternative in &mut advice.alternatives {
        clean(&mut alternative.reason);
        [&mut alternative.region, &mut alternative.machine_type].into_iter().flatten().for_each(clean);
    }
}

pub(crate) fn estimate(estimate: &mut Estimate) {
    [&mut estimate.currency, &mut estimate.as_of].into_iter().for_each(clean);
    estimate.lines.iter_mut().map(|line| &mut line.label).chain(&mut estimate.unknown).for_each(clean);
}

pub(crate) fn leftovers(search: &mut LeftoverSearch) {
    for found in &mut search.found {
        [&mut found.kind, &mut found.name, &mut found.id, &mut found.reason].into_iter().for_each(clean);
    }
    search.not_searched.iter_mut().for_each(clean);
}

pub(crate) fn verdict(verdict: &mut Verdict) {
    let (Verdict::Accepted(text) | Verdict::Rejected(text) | Verdict::Unreachable(text)) = verdict;
    clean(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_shown() {
        for (text, shown) in [
            ("zwei\nZeilen\tü 東 مرحبا", "zwei\nZeilen\tü 東 مرحبا"),
            ("\u{1b}[2J\r\u{7}\u{9b}", "\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}"),
            ("a\u{202e}b\u{2066}c\u{2028}d", "a\u{fffd}b\u{fffd}c\u{fffd}d"),
        ] {
            let mut changed = text.to_owned();
            clean(&mut changed);
            assert_eq!(changed, shown);
        }
    }
}
