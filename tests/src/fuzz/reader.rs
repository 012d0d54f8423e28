//! Another program that reads the same texts, kept running: questions go to it in groups, one answer comes back for each.

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// How questions are told apart on the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Four bytes of length, big-endian, before each.
    Length,
    /// A line each.
    Lines,
}

/// A running reader.
pub struct Reader {
    name: String,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    framing: Framing,
}

impl Reader {
    /// Starts one of `tests/tools`.
    ///
    /// # Errors
    /// When it cannot be got or started.
    pub fn start(tool: &str, arguments: &[&str], framing: Framing) -> anyhow::Result<Self> {
        let program = crate::tools::path(tool)?;
        let mut child = Command::new(&program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let questions = child.stdin.take();
        let answers = child.stdout.take().context("no pipe of answers")?;
        Ok(Self { name: tool.to_owned(), child, questions, answers: BufReader::new(answers), framing })
    }

    /// The answers to questions, in order.
    ///
    /// # Errors
    /// When the reader ends, or an answer is not of the expected shape.
    pub fn ask<T: DeserializeOwned>(&mut self, questions: &[Vec<u8>]) -> anyhow::Result<Vec<T>> {
        let mut framed = Vec::new();
        for question in questions {
            if self.framing == Framing::Length {
                framed.extend(u32::try_from(question.len())?.to_be_bytes());
            }
            framed.extend_from_slice(question);
            if self.framing == Framing::Lines {
                framed.push(b'\n');
            }
        }
        let mut pipe = self.questions.take().context("the reader was ended")?;
        // From another thread: a pipe holds less than many answers, and each side would wait for the other.
        let writer = std::thread::spawn(move || pipe.write_all(&framed).and_then(|()| pipe.flush()).map(|()| pipe));
        let mut given = Vec::with_capacity(questions.len());
        for _ in questions {
            let mut line = String::new();
            self.answers.read_line(&mut line)?;
            ensure!(!line.is_empty(), "{} ended: its words stand above", self.name);
            given.push(serde_json::from_str(&line).with_context(|| format!("an answer of {}: {line}", self.name))?);
        }
        let written = writer.join().map_err(|_| anyhow::anyhow!("writing to {} panicked", self.name))?;
        self.questions = Some(written.with_context(|| format!("writing to {}", self.name))?);
        Ok(given)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.questions = None;
        let _status = self.child.wait();
    }
}
