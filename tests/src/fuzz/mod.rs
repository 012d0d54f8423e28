//! Fuzzing of whatever reads what strangers write, and differential tests where two parsers judge one text.
//!
//! A target makes inputs from a seed and checks them: by the rules that must hold for any input, and where another program acts
//! on the same text, by that program's own reader. The same targets run for a second each in `make test`, for ten minutes in
//! `make fuzz`, and for a given number of inputs on demand. There is no coverage feedback: an input is kept when it comes to an
//! outcome that no input had before.

pub mod campaign;
pub mod corpus;
pub mod kubeconfigs;
pub mod minimize;
pub mod modules;
pub mod mutate;
pub mod random;
pub mod reader;
pub mod targets;

pub use campaign::{Budget, Failure, Report, run};
pub use random::Random;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Longest input in bytes: large enough for every limit but those on size itself, which have tests of their own.
pub const MAX_INPUT_BYTES: usize = 64 * 1024;

/// What came of one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every rule holds; how it ended, in few words. An ending that is new makes the input worth keeping.
    Holds(String),
    /// A rule is broken, and how.
    Broken(String),
}

/// One reader under test.
pub trait Target {
    /// Its name, which is that of its folder in the corpus.
    fn name(&self) -> &'static str;

    /// Pieces of text that mean something to the reader, for mutations.
    fn dictionary(&self) -> &'static [&'static str];

    /// A new input.
    fn generate(&self, random: &mut Random) -> Vec<u8>;

    /// Checks inputs; gives as many verdicts, in order.
    ///
    /// # Errors
    /// When the other reader cannot be asked.
    fn check(&mut self, inputs: &[Vec<u8>]) -> anyhow::Result<Vec<Verdict>>;
}

/// A target that needs nothing but a function.
pub struct Pure {
    /// See [`Target::name`].
    pub name: &'static str,
    /// See [`Target::dictionary`].
    pub dictionary: &'static [&'static str],
    /// See [`Target::generate`].
    pub generate: fn(&mut Random) -> Vec<u8>,
    /// Checks one input.
    pub check: fn(&[u8]) -> Verdict,
}

impl Target for Pure {
    fn name(&self) -> &'static str {
        self.name
    }

    fn dictionary(&self) -> &'static [&'static str] {
        self.dictionary
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        (self.generate)(random)
    }

    fn check(&mut self, inputs: &[Vec<u8>]) -> anyhow::Result<Vec<Verdict>> {
        Ok(inputs.iter().map(|input| caught(|| (self.check)(input))).collect())
    }
}

/// A verdict, where a panic breaks a rule.
pub fn caught(check: impl FnOnce() -> Verdict) -> Verdict {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Verdict::Broken(format!("it panics: {}", text.unwrap_or("without a text")))
    })
}

/// Words of an error without what differs from input to input, so that like endings are one.
pub fn ending(words: &str) -> String {
    let mut short = String::new();
    let mut quoted = false;
    for c in words.chars().take(200) {
        match c {
            '"' | '`' | '\'' => quoted = !quoted,
            _ if quoted => {}
            c if c.is_ascii_digit() => {
                if !short.ends_with('0') {
                    short.push('0');
                }
            }
            c => short.push(c),
        }
    }
    short
}
