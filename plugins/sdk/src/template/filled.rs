//! Text with holes, and its form as a template in which only the holes are left.

use super::value::normalised;

/// An evaluated template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole { name: String, max_bytes: u32 },
}

/// Room that a text gets beyond its first piece, in bytes.
const PIECE_BYTES: usize = 4096;

/// Text that OpenTofu's own reader would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// OpenTofu stops to see interpolations after a carriage return on its own.
    #[error("the text has a carriage return without a line feed")]
    LoneCarriageReturn,
    /// OpenTofu drops it.
    #[error("the text begins with a byte order mark")]
    ByteOrderMark,
}

impl Filled {
    pub(super) fn push_text(&mut self, more: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push_str(more),
            _ if more.is_empty() => {}
            _ => {
                // Room to grow: a text is put together of many pieces.
                let mut text = String::with_capacity(more.len() + PIECE_BYTES);
                text.push_str(more);
                self.parts.push(Part::Text(text));
            }
        }
    }

    pub(super) fn push_hole(&mut self, name: String, max_bytes: u32) {
        self.parts.push(Part::Hole { name, max_bytes });
    }

    pub(super) fn first_hole(&self) -> Option<&str> {
        self.parts.iter().find_map(|part| match part {
            Part::Hole { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    pub(super) fn into_text(self) -> String {
        let texts = self.parts.into_iter().map(|part| match part {
            Part::Text(text) => text,
            Part::Hole { .. } => String::new(),
        });
        texts.collect()
    }

    pub(super) fn normalise(&mut self) {
        for part in &mut self.parts {
            if let Part::Text(text) = part {
                *text = normalised(std::mem::take(text));
            }
        }
    }

    /// Names of the holes that are left, each once, in order of appearance.
    pub fn holes(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for part in &self.parts {
            if let Part::Hole { name, .. } = part
                && !names.contains(&name.as_str())
            {
                names.push(name.as_str());
            }
        }
        names
    }

    /// Upper bound of the text in bytes once every hole is filled.
    pub fn max_bytes(&self) -> u32 {
        let bytes = self.parts.iter().map(|part| match part {
            Part::Text(text) => u32::try_from(text.len()).unwrap_or(u32::MAX),
            Part::Hole { max_bytes, .. } => *max_bytes,
        });
        bytes.fold(0, u32::saturating_add)
    }

    /// The text with each hole replaced by what `value` gives for its name.
    pub fn with_values(&self, value: impl Fn(&str) -> String) -> String {
        let texts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Hole { name, .. } => value(name),
        });
        texts.collect()
    }

    /// A `.tftpl` whose only live parts are the holes.
    ///
    /// # Errors
    /// When the text holds something that `templatefile()` would not give back as it is.
    pub fn to_template(&self) -> Result<String, Unsafe> {
        let lengths = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Hole { name, .. } => name.len(),
        });
        // Room for the marks of holes and some escapes.
        let mut out = String::with_capacity(lengths.sum::<usize>() + 1024);
        for part in &self.parts {
            match part {
                Part::Text(text) => write_literal(&mut out, text)?,
                Part::Hole { name, .. } => {
                    quote_trailing_dollars(&mut out);
                    out.push_str("${");
                    out.push_str(name);
                    out.push('}');
                }
            }
        }
        Ok(out)
    }
}

fn write_literal(out: &mut String, text: &str) -> Result<(), Unsafe> {
    if out.is_empty() && text.starts_with('\u{feff}') {
        return Err(Unsafe::ByteOrderMark);
    }
    // Whole stretches are copied: most of user data is plain text, and this is most of a render's work.
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'{', b'\r', rest.as_bytes()) {
        let (before, marked) = rest.split_at(at);
        out.push_str(before);
        rest = &marked[1..];
        if marked.starts_with('\r') {
            if !rest.starts_with('\n') {
                return Err(Unsafe::LoneCarriageReturn);
            }
            out.push('\r');
        } else if out.ends_with(['$', '%']) {
            escape_brace(out, rest.chars().next());
        } else {
            out.push('{');
        }
    }
    out.push_str(rest);
    Ok(())
}

/// Escapes the `{` that would open an interpolation or a directive with the mark that `out` ends in.
fn escape_brace(out: &mut String, next: Option<char>) {
    let Some(mark) = out.pop() else { return };
    // OpenTofu looks for escapes grapheme by grapheme, so a neighbour that joins with the mark or the brace hides them.
    let before = out.chars().next_back();
    let alone = before.is_none_or(|c| c.is_ascii()) && next.is_none_or(|c| c.is_ascii());
    // Three marks in a row are read in two ways, and the host refuses them.
    if alone && before != Some(mark) {
        out.extend([mark, mark, '{']);
    } else {
        quote_trailing_dollars(out);
        push_quoted(out, mark);
        out.push('{');
    }
}

/// A literal `$` right before an interpolation would escape it.
fn quote_trailing_dollars(out: &mut String) {
    let kept = out.trim_end_matches('$').len();
    let dollars = out.len() - kept;
    out.truncate(kept);
    for _ in 0..dollars {
        push_quoted(out, '$');
    }
}

fn push_quoted(out: &mut String, mark: char) {
    out.push_str("${\"");
    out.push(mark);
    out.push_str("\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_three_marks_in_a_row_are_left_before_a_brace() {
        for text in ["$${", "$$${", "$$$$${a}", "%%{", "%%%{ if }", "%$${", "$%%{", "{$${"] {
            let mut filled = Filled::default();
            filled.push_text(text);
            filled.push_hole("hole".into(), 4);
            let template = filled.to_template().unwrap();
            assert!(!template.contains("$$${") && !template.contains("%%%{"), "{text}: {template}");
        }
    }
}
