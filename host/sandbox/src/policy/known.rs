//! The short way for what was looked at before. A plugin's module is the same at every render but for its templates, and
//! reading it takes longer than rendering it.
//!
//! It only ever says "this passes", and only where [`super::check`] would say so too: the verdict on configuration is a
//! pure function of its bytes, which are compared one by one; arguments of providers, which depend on more, are judged for each
//! bundle; and a template that does no more than place values has
//! nothing for a rule to look at. Whatever is not as plain as that goes the long way.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use catalyst_domain::provider::{Bundle, BundleFile};

use super::arguments::{self, Argument};
use super::source::{self, is_configuration};
use super::{Allowance, BYTES, Findings, Read, Refused, Terms, read_all};

/// The module that one plugin rendered last, once it was admitted. One descriptor goes with it.
#[derive(Default)]
pub(crate) struct Known(ArcSwapOption<Module>);

struct Module {
    /// All files in their order; of a configuration file its bytes too.
    files: Vec<(String, Option<Vec<u8>>)>,
    /// Files that the configuration evaluates as templates.
    templates: BTreeSet<String>,
    /// Arguments in its `provider` blocks.
    arguments: Vec<Argument>,
}

impl Known {
    /// Whether a fresh render passes without being read.
    pub(crate) fn admits(&self, bundle: &Bundle, terms: Terms<'_>) -> bool {
        self.0.load().as_ref().is_some_and(|module| module.fits(bundle) && module.sets_granted(bundle, terms))
    }

    /// Reads a fresh render, and remembers its module if it passes.
    ///
    /// # Errors
    /// As [`super::check`].
    pub(crate) fn check(&self, bundle: &Bundle, terms: Terms<'_>) -> Result<(), Refused> {
        let Read { templates, arguments } = read_all(bundle, Allowance::Rendered(terms))?;
        let bytes = |file: &BundleFile| is_configuration(&file.path).then(|| file.content.clone());
        let files = bundle.files.iter().map(|file| (file.path.clone(), bytes(file))).collect();
        self.0.store(Some(Arc::new(Module { files, templates, arguments })));
        Ok(())
    }
}

impl Module {
    fn sets_granted(&self, bundle: &Bundle, terms: Terms<'_>) -> bool {
        let mut found = Findings::default();
        arguments::check(&self.arguments, bundle, Allowance::Rendered(terms), &mut found);
        found.verdict(()).is_ok()
    }

    fn fits(&self, bundle: &Bundle) -> bool {
        let same = |((path, bytes), file): (&(String, Option<Vec<u8>>), &BundleFile)| {
            let plain = || !self.templates.contains(path) || only_places_values(&file.content);
            *path == file.path && bytes.as_ref().is_none_or(|bytes| *bytes == file.content) && plain()
        };
        self.files.len() == bundle.files.len()
            && bundle.files.iter().map(|file| file.content.len()).sum::<usize>() <= BYTES
            && crate::check::files(bundle).is_ok()
            && self.files.iter().zip(&bundle.files).all(same)
    }
}

/// Whether a template is text, escapes and `${name}`, and nothing else. `false` is "not known".
pub(super) fn only_places_values(content: &[u8]) -> bool {
    let Ok(text) = source::text(content) else { return false };
    let bytes = text.as_bytes();
    let is_ascii = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_none_or(u8::is_ascii);
    let mut from = 0;
    while let Some(found) = text[from..].find('{') {
        let at = from + found;
        from = at + 1;
        let before = |steps: usize| at.checked_sub(steps).map(|at| bytes[at]);
        let Some(mark @ (b'$' | b'%')) = before(1) else { continue };
        let passes = if before(2) == Some(mark) {
            // OpenTofu looks for escapes grapheme by grapheme, so a neighbour may hide one.
            is_ascii(at.checked_sub(3)) && is_ascii(Some(from))
        } else {
            mark == b'$' && is_name(&bytes[from..])
        };
        if !passes {
            return false;
        }
    }
    true
}

/// Whether this begins with a plain name and the end of an interpolation.
fn is_name(rest: &[u8]) -> bool {
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    rest.get(length) == Some(&b'}') && rest[..length].first().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{PINNED, Plain, bundle};

    const MAIN: (&str, &str) = (
        "main.tf",
        "locals {\n  a = templatefile(\"${path.module}/a.tftpl\", {})\n  b = file(\"${path.module}/b\")\n}\n",
    );

    fn known() -> Known {
        let known = Known::default();
        let first = bundle(&[PINNED, MAIN, ("a.tftpl", "${x}"), ("b", "${file(\"/x\")}")]);
        assert!(!known.admits(&first, Plain::new().terms()), "nothing is known before it was read");
        known.check(&first, Plain::new().terms()).expect("passes");
        assert!(known.admits(&first, Plain::new().terms()));
        known
    }

    #[test]
    fn another_text_of_a_template_passes_unread_only_where_it_places_values() {
        let known = known();
        let with = |text: &str| bundle(&[PINNED, MAIN, ("a.tftpl", text), ("b", "anything ${")]);
        for plain in ["", "a\n", "${x}${_y1}", "$${file(\"/etc/shadow\")} %%{ if }", "{ $ % }", "é ${x}é"] {
            assert!(known.admits(&with(plain), Plain::new().terms()), "{plain}");
            assert!(known.check(&with(plain), Plain::new().terms()).is_ok(), "{plain}");
        }
        let odd = [
            "${file(\"/etc/shadow\")}",
            "%{ if x }a%{ endif }",
            "${ x }",
            "${x.y}",
            "${\"$\"}",
            "${1}",
            "${}",
            "${x",
            "$$${x}",
            "%%%{ if",
            "é$${file(\"/x\")}",
            "$${\u{301}",
            "\r",
            "\u{7f}",
            "${x-y}",
            "${x~}",
        ];
        for text in odd {
            assert!(!known.admits(&with(text), Plain::new().terms()), "{text}");
        }
    }

    #[test]
    fn another_byte_of_configuration_another_path_and_another_file_are_read() {
        let known = known();
        let more = format!("{}# more\n", MAIN.1);
        for other in [
            bundle(&[PINNED, ("main.tf", &more), ("a.tftpl", "${x}"), ("b", "")]),
            bundle(&[PINNED, MAIN, ("a.tftpl", "${x}"), ("c", "")]),
            bundle(&[PINNED, MAIN, ("a.tftpl", "${x}"), ("b", ""), ("more.tf", "")]),
            bundle(&[PINNED, MAIN, ("a.tftpl", "${x}")]),
            bundle(&[PINNED, MAIN, ("b", ""), ("a.tftpl", "${x}")]),
            bundle(&[PINNED, MAIN, ("a.tftpl", &"a".repeat(BYTES)), ("b", "")]),
        ] {
            assert!(
                !known.admits(&other, Plain::new().terms()),
                "{:?}",
                other.files.iter().map(|file| &file.path).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn what_was_refused_is_not_remembered() {
        let known = known();
        let hostile = bundle(&[PINNED, ("main.tf", "resource \"null_resource\" \"x\" {\n}\n")]);
        assert!(known.check(&hostile, Plain::new().terms()).is_err());
        assert!(!known.admits(&hostile, Plain::new().terms()));
    }

    /// Everything that templates are made of, in every order: the short way never passes what the long way refuses.
    #[test]
    fn the_short_way_passes_nothing_that_the_long_way_refuses() {
        let known = known();
        let pieces =
            ["$", "%", "{", "}", "${x}", "${file(\"/x\")}", "%{ if true }", "%{ endif }", "\u{301}", "a", "\""];
        let mut passed = 0;
        for number in 0..pieces.len().pow(4) {
            let text: String =
                (0..4_u32).map(|place| pieces[number / pieces.len().pow(place) % pieces.len()]).collect();
            let one = bundle(&[PINNED, MAIN, ("a.tftpl", &text), ("b", "")]);
            if known.admits(&one, Plain::new().terms()) {
                passed += 1;
                assert!(read_all(&one, Allowance::Rendered(Plain::new().terms())).is_ok(), "{text}");
            }
        }
        assert!(passed > 1_000, "{passed}");
    }
}
