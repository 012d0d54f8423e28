//! What happens beside a node's commands: units that they start, lines that they log, the amount that they print.

use super::machine::{Machine, OUTPUT, Spawn};
use super::node::{Boot, BootError, Ran, Step, io_error};
use super::units::{self, Start};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Largest output of all commands together in bytes; a script that floods is stopped.
pub(super) const MAX_OUTPUT: u64 = 16 * 1024 * 1024;
/// Part of the output that the report keeps, in bytes: its end, where errors stand.
const REPORTED_OUTPUT: u64 = 64 * 1024;
/// Read from one log at a time, in bytes.
const MAX_TAIL: u64 = 256 * 1024;
/// How often requests of `systemctl` and new log lines are looked for.
const TICK: Duration = Duration::from_millis(50);
/// What a timer waits before it starts a failed service again. Real ones wait minutes; here somebody looks on.
const TIMER_PAUSE: Duration = Duration::from_secs(1);

/// Looks after what happens beside the commands: units, log lines, the amount of output.
pub(super) struct Follow<'a> {
    boot: &'a Boot,
    machine: &'a Machine,
    units: JoinSet<(PathBuf, io::Result<Ran>)>,
    pub(super) units_over: Vec<Ran>,
    /// Services that their timers start again, and when.
    due: Vec<(Instant, String)>,
    tails: BTreeMap<PathBuf, Tail>,
}

impl<'a> Follow<'a> {
    pub(super) fn new(boot: &'a Boot, machine: &'a Machine) -> Self {
        Self { boot, machine, units: JoinSet::new(), units_over: Vec::new(), due: Vec::new(), tails: BTreeMap::new() }
    }

    /// Until the commands and all units have ended.
    pub(super) async fn until_over(&mut self) -> Result<(), BootError> {
        let mut over = false;
        loop {
            self.start_units().map_err(|source| io_error("read requests for units", source))?;
            while let Some(joined) = self.units.try_join_next() {
                let Ok((answer, ran)) = joined else { continue };
                self.answer(&answer, ran)?;
            }
            self.tell_lines();
            let output = std::fs::metadata(self.boot.root.join(OUTPUT)).map_or(0, |meta| meta.len());
            if output > MAX_OUTPUT {
                return Err(BootError::TooMuchOutput);
            }
            // One more round after the commands, for what they asked for last.
            if over && self.units.is_empty() && self.due.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = self.machine.commands_over.notified(), if !over => over = true,
                () = sleep(TICK) => {}
            }
        }
    }

    fn start_units(&mut self) -> io::Result<()> {
        let mut requests: Vec<PathBuf> = std::fs::read_dir(self.machine.stubs.units())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "start"))
            .collect();
        requests.sort();
        for request in requests {
            std::fs::remove_file(&request)?;
            let name = request.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let unit = name.rsplit_once('.').map_or(name.as_str(), |(unit, _pid)| unit).to_owned();
            self.start_unit(unit, request.with_extension("exit"))?;
        }
        let now = Instant::now();
        for (_, unit) in self.due.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            if self.timer(&unit).exists() {
                let answer = self.machine.stubs.units().join(format!("{unit}.timer.exit"));
                self.start_unit(unit, answer)?;
            }
        }
        Ok(())
    }

    fn start_unit(&mut self, unit: String, answer: PathBuf) -> io::Result<()> {
        let spawn = self.machine.spawn.clone();
        match units::read(&self.boot.root, &unit) {
            Start::Nothing(why) => {
                self.boot.tell(Step::Unit(format!("{unit} is not run: {why}")));
                std::fs::write(&answer, "0\n")?;
            }
            Start::Run(programs) => {
                self.boot.tell(Step::Unit(format!("{unit} started")));
                self.units.spawn(async move { (answer, run_unit(spawn, unit, programs).await) });
            }
        }
        Ok(())
    }

    /// There while the timer of a service runs.
    fn timer(&self, unit: &str) -> PathBuf {
        self.machine.stubs.units().join(unit).with_extension("timer")
    }

    fn answer(&mut self, answer: &Path, ran: io::Result<Ran>) -> Result<(), BootError> {
        let ran = ran.map_err(|source| io_error("run a unit", source))?;
        // Moved into place, so that who waits never reads half of it.
        let draft = answer.with_extension("draft");
        let written =
            std::fs::write(&draft, format!("{}\n", ran.status)).and_then(|()| std::fs::rename(&draft, answer));
        written.map_err(|source| io_error("answer systemctl", source))?;
        self.boot.tell(Step::Ended(ran.clone()));
        if ran.status != 0 && self.timer(&ran.what).exists() {
            self.boot.tell(Step::Unit(format!("{} failed; its timer starts it again", ran.what)));
            self.due.push((Instant::now() + TIMER_PAUSE, ran.what.clone()));
        }
        self.units_over.push(ran);
        Ok(())
    }

    fn tell_lines(&mut self) {
        let calls = self.machine.stubs.calls();
        for line in self.tails.entry(calls.clone()).or_default().lines(&calls) {
            self.boot.tell(Step::Called(line));
        }
        let Ok(logs) = std::fs::read_dir(self.boot.root.join("var/log")) else { return };
        for path in logs.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_file() {
                for line in self.tails.entry(path.clone()).or_default().lines(&path) {
                    self.boot.tell(Step::Logged(line));
                }
            }
        }
    }
}

async fn run_unit(spawn: Spawn, unit: String, programs: Vec<Vec<String>>) -> io::Result<Ran> {
    let mut status = 0;
    for words in programs {
        status = spawn.run(&words).await?;
        if status != 0 {
            break;
        }
    }
    Ok(Ran { what: unit, status })
}

/// Reads the lines that were added to a file.
#[derive(Default)]
pub(super) struct Tail {
    at: u64,
}

impl Tail {
    pub(super) fn lines(&mut self, path: &Path) -> Vec<String> {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = std::fs::File::open(path)?;
            file.seek(SeekFrom::Start(self.at))?;
            let mut bytes = Vec::new();
            file.take(MAX_TAIL).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let Ok(mut bytes) = read() else { return Vec::new() };
        // Half a line waits, unless it is longer than what is read at a time.
        let full = bytes.len() as u64 == MAX_TAIL;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(if full { bytes.len() } else { 0 }, |at| at + 1);
        bytes.truncate(end);
        self.at += end as u64;
        String::from_utf8_lossy(&bytes).lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

/// The end of a file, as text; nothing when there is none.
pub(super) fn read_end(path: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(REPORTED_OUTPUT)))?;
        let mut bytes = Vec::new();
        file.take(REPORTED_OUTPUT).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_log_is_told_line_by_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        let mut tail = Tail::default();
        let mut add = |text: &str| {
            file.write_all(text.as_bytes()).unwrap();
            tail.lines(&path)
        };
        assert_eq!(add("one\ntw"), ["one"]);
        assert_eq!(add("o"), Vec::<String>::new());
        assert_eq!(add("\nthree\n"), ["two", "three"]);
    }

    #[test]
    fn a_line_without_end_is_told_in_parts() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![b'x'; MAX_TAIL as usize + 1]).unwrap();
        let mut tail = Tail::default();
        assert_eq!(tail.lines(file.path()).len(), 1);
        assert_eq!(tail.lines(file.path()), Vec::<String>::new());
    }
}
