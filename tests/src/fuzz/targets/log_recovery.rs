//! A log as a crash or somebody left it: it is read up to its damage or refused, never made up, and can be gone on with.

use super::record_json::{Volume, record};
use crate::fuzz::{Random, Target, Verdict, caught};
use catalyst_domain::{Entry, Level, Timestamp};
use catalyst_store::Store;

const PIECES: &[&str] = &[
    "{\"n\":1,",
    "\"time\":\"2026-01-01T00:00:00Z\",",
    "\"phase\":\"tofu\",",
    "\"level\":\"info\",",
    "\"message\":\"x\"}",
    "\n",
    "{}",
    "{\"n\":2",
    "\0",
    "\u{feff}",
    "\r\n",
    "null",
];

struct LogRecovery {
    runtime: tokio::runtime::Runtime,
}

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(Box::new(LogRecovery { runtime }))
}

fn line(number: u64, message: &str) -> String {
    let mut entry = serde_json::to_value(entry(message)).unwrap_or_default();
    entry["n"] = number.into();
    format!("{entry}\n")
}

fn entry(message: &str) -> Entry {
    Entry::new(Timestamp::UNIX_EPOCH, "tofu", Level::Info, message)
}

impl Target for LogRecovery {
    fn name(&self) -> &'static str {
        "log-recovery"
    }

    fn dictionary(&self) -> &'static [&'static str] {
        PIECES
    }

    /// Lines that count up, in most cases, with a torn end now and then.
    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let mut text = String::new();
        let mut number = 0;
        for _ in 0..random.below(6) {
            number += if random.one_in(8) { random.below(3) as u64 } else { 1 };
            text.push_str(&line(number, random.pick(&["one", "\u{e4}", "a \"b\"", ""])));
        }
        let mut bytes = text.into_bytes();
        if random.one_in(2) {
            bytes.truncate(random.below(bytes.len() + 1));
        }
        bytes
    }

    fn check(&mut self, inputs: &[Vec<u8>]) -> anyhow::Result<Vec<Verdict>> {
        Ok(inputs.iter().map(|input| caught(|| self.runtime.block_on(one(input)))).collect())
    }
}

async fn one(input: &[u8]) -> Verdict {
    let record = record();
    let volume = Volume::new();
    volume.plant(&format!("{}.json", record.id), &serde_json::to_vec(&record).unwrap_or_default());
    volume.plant(&format!("{}.log.jsonl", record.id), input);
    let store = volume.open();
    let count = match store.count(&record.id).await {
        Ok(count) => count,
        Err(error) => return Verdict::Holds(crate::fuzz::ending(&error.to_string())),
    };
    let Ok(entries) = store.read(&record.id, 0, 10_000).await else {
        return Verdict::Broken("counted, but not read".to_owned());
    };
    let numbers_run = entries.iter().zip(1..).all(|(numbered, number)| numbered.number == number);
    if entries.len() as u64 != count || !numbers_run {
        return Verdict::Broken(format!("{count} are counted and {} are read", entries.len()));
    }
    let text = String::from_utf8_lossy(input);
    for numbered in &entries {
        let stands =
            text.lines().any(|line| serde_json::from_str::<Entry>(line).is_ok_and(|entry| entry == numbered.entry));
        if !stands {
            return Verdict::Broken(format!("entry {} stands in no line", numbered.number));
        }
    }
    // What follows has the next number, and survives another start.
    let appended = match store.append(&record.id, vec![entry("next")]).await {
        Ok(appended) => appended,
        Err(error) => return Verdict::Broken(format!("nothing can be added: {error}")),
    };
    drop(store);
    let again = volume.open().read(&record.id, 0, 10_000).await.unwrap_or_default();
    let last = again.last().map(|numbered| (numbered.number, numbered.entry.message.clone()));
    if appended != count + 1 || last != Some((count + 1, "next".to_owned())) {
        return Verdict::Broken(format!("after {count} entries the next is {appended}, and {last:?} at another start"));
    }
    Verdict::Holds(format!("{} entries{}", count.min(3), if input.ends_with(b"\n") { "" } else { ", torn" }))
}
