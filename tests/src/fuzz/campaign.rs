//! One campaign on one target: the corpus first, then inputs that are new or changed, until the budget is spent or a rule breaks.

use super::minimize::minimize;
use super::mutate::mutate;
use super::{MAX_INPUT_BYTES, Random, Target, Verdict, corpus};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Inputs that are checked together: enough that another process is kept busy.
const BATCH: usize = 64;
/// Endings that a campaign keeps inputs of. A target with more has endings that say too much.
const MOST_ENDINGS: usize = 2_000;
/// Longest input that is kept in bytes: a corpus is read by people and at every start.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// Checks for making one small that is kept: there are hundreds, and some checks ask another program.
const KEPT_CHECKS: usize = 60;
/// Checks for making one small that breaks a rule: a person reads it.
const BROKEN_CHECKS: usize = 3_000;

/// When a campaign ends.
#[derive(Debug, Clone, Copy)]
pub enum Budget {
    /// After this time.
    Time(Duration),
    /// After this many inputs beyond the corpus.
    Inputs(usize),
}

/// What a campaign needs to be told.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Where all choices come from.
    pub seed: u64,
    /// When it ends.
    pub budget: Budget,
    /// Whether inputs are made by the target's generator alone, without changes.
    pub generated_only: bool,
    /// Where new inputs are kept; nowhere where there is no folder.
    pub cache: Option<&'a Path>,
}

/// An input that breaks a rule.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The target.
    pub target: &'static str,
    /// The rule, and how it is broken.
    pub why: String,
    /// The smallest input that was found.
    pub input: Vec<u8>,
    /// Where that was written; nowhere where there was no folder.
    pub file: Option<PathBuf>,
    /// The seed of the campaign.
    pub seed: u64,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.target, self.why)?;
        writeln!(f, "the input, made small ({} bytes, seed {}):", self.input.len(), self.seed)?;
        writeln!(f, "{}", self.input.escape_ascii())?;
        match &self.file {
            Some(file) => write!(f, "once more: scripts/fuzz.sh --replay {} {}", file.display(), self.target),
            None => write!(f, "once more: scripts/fuzz.sh --seed {} {}", self.seed, self.target),
        }
    }
}

/// What came of a campaign.
#[derive(Debug)]
pub struct Report {
    /// The target.
    pub target: &'static str,
    /// Inputs that were checked.
    pub inputs: usize,
    /// How long it took.
    pub took: Duration,
    /// How often each ending came.
    pub endings: BTreeMap<String, usize>,
    /// Files of inputs with an ending that was new.
    pub kept: Vec<PathBuf>,
    /// The first broken rule.
    pub failure: Option<Failure>,
}

impl Report {
    /// Inputs in a second.
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let inputs = self.inputs as f64;
        inputs / self.took.as_secs_f64().max(0.001)
    }
}

/// Runs a campaign.
///
/// # Errors
/// When the other reader cannot be asked, or a file cannot be read or written.
pub fn run(target: &mut dyn Target, plan: Plan<'_>) -> anyhow::Result<Report> {
    let mut campaign =
        Campaign { target, plan, random: Random::new(plan.seed), began: Instant::now(), known: Vec::new() };
    campaign.run()
}

struct Campaign<'a> {
    target: &'a mut dyn Target,
    plan: Plan<'a>,
    random: Random,
    began: Instant,
    known: Vec<Vec<u8>>,
}

impl Campaign<'_> {
    fn run(&mut self) -> anyhow::Result<Report> {
        let mut report = Report {
            target: self.target.name(),
            inputs: 0,
            took: Duration::ZERO,
            endings: BTreeMap::new(),
            kept: Vec::new(),
            failure: None,
        };
        self.known = corpus::read(&corpus::committed(), self.target)?.into_iter().map(|kept| kept.input).collect();
        if let Some(cache) = self.plan.cache {
            self.known.extend(corpus::read(cache, self.target)?.into_iter().map(|kept| kept.input));
        }
        let first = self.known.clone();
        self.take(&first, false, &mut report)?;
        let from_corpus = report.inputs;
        while report.failure.is_none() && !self.is_spent(report.inputs - from_corpus) {
            let batch: Vec<Vec<u8>> = (0..self.batch_size(report.inputs - from_corpus)).map(|_| self.next()).collect();
            self.take(&batch, true, &mut report)?;
        }
        report.took = self.began.elapsed();
        Ok(report)
    }

    fn is_spent(&self, done: usize) -> bool {
        match self.plan.budget {
            Budget::Time(time) => self.began.elapsed() >= time,
            Budget::Inputs(inputs) => done >= inputs,
        }
    }

    fn batch_size(&self, done: usize) -> usize {
        match self.plan.budget {
            Budget::Time(_) => BATCH,
            Budget::Inputs(inputs) => (inputs - done).min(BATCH),
        }
    }

    fn next(&mut self) -> Vec<u8> {
        if self.plan.generated_only {
            return self.target.generate(&mut self.random);
        }
        let other =
            if self.known.is_empty() { Vec::new() } else { self.known[self.random.below(self.known.len())].clone() };
        let mut input = match self.random.below(4) {
            0 | 1 => return self.target.generate(&mut self.random),
            2 => self.target.generate(&mut self.random),
            _ => other.clone(),
        };
        input = mutate(&input, &other, self.target.dictionary(), &mut self.random);
        input.truncate(MAX_INPUT_BYTES);
        input
    }

    fn take(&mut self, inputs: &[Vec<u8>], keep: bool, report: &mut Report) -> anyhow::Result<()> {
        let verdicts = self.target.check(inputs)?;
        for (input, verdict) in inputs.iter().zip(verdicts) {
            report.inputs += 1;
            match verdict {
                Verdict::Broken(why) => {
                    report.failure = Some(self.failure(input, why)?);
                    return Ok(());
                }
                Verdict::Holds(ending) => {
                    let is_new = !report.endings.contains_key(&ending);
                    if is_new && keep && report.endings.len() < MOST_ENDINGS {
                        self.keep(input, &ending, report)?;
                    }
                    *report.endings.entry(ending).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, input: &[u8], ending: &str, report: &mut Report) -> anyhow::Result<()> {
        let target = &mut *self.target;
        // Short runs have no time for it, and throw it away.
        let small = match self.plan.cache {
            Some(_) => minimize(input, KEPT_CHECKS, |smaller| {
                let verdict = target.check(&[smaller.to_vec()])?.pop();
                Ok(matches!(verdict, Some(Verdict::Holds(same)) if same == ending))
            })?,
            None => input.to_vec(),
        };
        if small.len() > MAX_KEPT_BYTES {
            return Ok(());
        }
        if let Some(cache) = self.plan.cache {
            report.kept.push(corpus::write(cache, self.target, "", &small)?);
        }
        self.known.push(small);
        Ok(())
    }

    fn failure(&mut self, input: &[u8], why: String) -> anyhow::Result<Failure> {
        let target = &mut *self.target;
        let kind = super::ending(&why);
        let input = minimize(input, BROKEN_CHECKS, |smaller| {
            let verdict = target.check(&[smaller.to_vec()])?.pop();
            Ok(matches!(verdict, Some(Verdict::Broken(other)) if super::ending(&other) == kind))
        })?;
        let file = self.plan.cache.map(|cache| corpus::write(cache, self.target, "broken-", &input)).transpose()?;
        let why = match self.target.check(std::slice::from_ref(&input))?.pop() {
            Some(Verdict::Broken(smaller)) => smaller,
            _ => why,
        };
        Ok(Failure { target: self.target.name(), why, input, file, seed: self.plan.seed })
    }
}
