//! Heredocs, whose end is not the same for every parser.

use std::collections::BTreeSet;

use hcl_edit::structure::Body;
use hcl_edit::template::{ForTemplateExpr, HeredocTemplate};
use hcl_edit::visit::{self, Visit};

use super::Unread;
use crate::policy::quoted;

/// Different heredoc markers of one file. Each costs a look at the whole text.
const MARKERS: usize = 32;

/// Where a heredoc ends is read in more than one way, so its marker may stand at its two ends and nowhere else.
pub(super) fn are_plain(text: &str, body: &Body) -> Result<(), Unread> {
    let mut markers = Markers::default();
    markers.visit_body(body);
    if markers.0.len() > MARKERS {
        return Err((None, format!("more than {MARKERS} different heredoc markers")));
    }
    for marker in &markers.0 {
        let mut open = false;
        for (index, line) in text.lines().enumerate() {
            let times = line.matches(marker.as_str()).count();
            let begins = ["<<", "<<-"].iter().any(|begin| line.ends_with(&format!("{begin}{marker}")));
            let in_place = if open { line.trim() == marker } else { begins };
            if times > 1 || (times == 1 && !in_place) {
                return Err((
                    Some(index + 1),
                    format!("the heredoc's marker {} stands at other places too", quoted(marker)),
                ));
            }
            open ^= times == 1;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Markers(BTreeSet<String>);

impl Visit for Markers {
    fn visit_heredoc_template(&mut self, node: &HeredocTemplate) {
        self.0.insert(node.delimiter.as_str().to_owned());
        visit::visit_heredoc_template(self, node);
    }

    // The library's own walk leaves this expression out.
    fn visit_for_template_expr(&mut self, node: &ForTemplateExpr) {
        self.visit_expr(&node.collection_expr);
        visit::visit_for_template_expr(self, node);
    }
}
