//! Text for a person. What a plugin says goes through here too, so control characters never reach a terminal.
//!
//! Colours are always written; the stream that prints the page takes them out where there is no terminal or `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};

/// Widest label of a field.
const LABEL: usize = 15;

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it is.
    Plain,
    /// A heading.
    Head,
    /// A detail.
    Dim,
    /// Something is well.
    Good,
    /// Something is to be looked at.
    Warn,
    /// Something is not well.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Head => Style::new().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// Lines so far.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// One line.
    pub(super) fn line(&mut self, tone: Tone, text: &str) {
        let style = tone.style();
        self.0.push_str(&format!("{style}{}{style:#}\n", plain(text)));
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.0.push('\n');
    }

    /// A label and its value.
    pub(super) fn field(&mut self, label: &str, value: &str) {
        let style = Tone::Dim.style();
        self.0.push_str(&format!("  {style}{label:<LABEL$}{style:#} {}\n", plain(value)));
    }

    /// A verdict word, a name, and what there is to say of it.
    pub(super) fn verdict(&mut self, tone: Tone, word: &str, name: &str, detail: &str) {
        let style = tone.style();
        let rest = format!("{:<LABEL$} {}", plain(name), plain(detail));
        self.0.push_str(&format!("  {style}{word:<7}{style:#} {}\n", rest.trim_end()));
    }

    /// The page with its colours.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// One line without control characters and without those that turn the direction of text.
pub(super) fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_cannot_draw_on_the_terminal() {
        let mut page = Page::default();
        page.field("name", "evil\u{1b}[2J\r\nid\u{202e}x");
        assert!(!page.0.contains("\u{1b}[2J"), "{:?}", page.0);
        assert_eq!(page.0.matches('\n').count(), 1);
        assert!(!page.0.contains('\u{202e}'));
    }
}
