//! A process that does one operation of the store, and what must be true of the folder afterwards.

use catalyst_tests::storage::{Op, copy, files, view};
use catalyst_tests::strace::{Order, Point, Target, Tracer, points};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// An operation, the folder before it, and what is seen before and after it.
pub struct Subject {
    pub op: Op,
    pub before: Value,
    pub after: Value,
    /// Files after a clean start before and after the operation.
    pub files_before: Vec<String>,
    pub files_after: Vec<String>,
    /// Every storage call that it makes.
    pub points: Vec<Point>,
    template: tempfile::TempDir,
}

/// How a traced process ended.
#[derive(Debug)]
pub struct Ended {
    /// SIGKILL, if that was it.
    pub killed: bool,
    /// One outcome for each time that the operation came to an end.
    pub outcomes: Vec<Outcome>,
}

#[derive(Debug)]
pub struct Outcome {
    pub error: Option<String>,
    pub unusable: Option<String>,
    pub view: Value,
}

impl Subject {
    /// Prepares the folder, and does the operation once with nobody in its way.
    pub async fn new(op: Op) -> Self {
        let template = tempfile::tempdir().unwrap();
        op.prepare(template.path()).await;
        let mut subject = Self {
            op,
            before: Value::Null,
            after: Value::Null,
            files_before: Vec::new(),
            files_after: Vec::new(),
            points: Vec::new(),
            template,
        };
        let folder = subject.folder();
        (subject.before, subject.files_before) = subject.reopened(folder.path()).await;

        let folder = subject.folder();
        let log = tempfile::NamedTempFile::new().unwrap();
        let ended = subject.run(folder.path(), &Order::Watch { log: log.path() }, "blind");
        assert!(matches!(ended.outcomes.as_slice(), [Outcome { error: None, unusable: None, .. }]), "{ended:?}");
        subject.points = points(log.path(), None);
        (subject.after, subject.files_after) = subject.reopened(folder.path()).await;
        assert!(op.opens() || subject.before != subject.after, "{op:?} changes nothing that is seen");
        subject
    }

    /// A fresh copy of the folder.
    pub fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        copy(self.template.path(), folder.path());
        folder
    }

    /// Does the operation in a process of its own, under a tracer. `how` is handed to it.
    pub fn run(&self, folder: &Path, order: &Order<'_>, how: &str) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_catalyst-storage-op"));
        command.arg(folder).arg(format!("{:?}", self.op)).arg(how);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let thread = line(&mut said).unwrap_or_else(|| panic!("{:?} did not begin", self.op));
        let tracer = Tracer::attach(&Target::Thread(thread.parse().unwrap()), order);
        let ended = finish(&mut child, &mut said);
        tracer.gone();
        ended
    }

    /// What a new process sees and leaves.
    pub async fn reopened(&self, folder: &Path) -> (Value, Vec<String>) {
        let store = self.op.open(folder).unwrap();
        assert!(catalyst_store::Store::unusable(&*store).is_none(), "{:?}", self.op);
        let seen = view(&*store).await;
        drop(store);
        (seen, files(folder))
    }

    /// Checks a folder after the end of a process: whole, clean, and of use. `sure` tells that the operation must not,
    /// or must, have happened.
    pub async fn check(&self, folder: &Path, sure: Option<&Value>, context: &str) {
        let (seen, files) = self.reopened(folder).await;
        let expected = sure.map_or_else(|| vec![&self.before, &self.after], |view| vec![view]);
        assert!(
            expected.contains(&&seen),
            "{context}: a restart shows\n{seen:#}\nbut before it was\n{:#}\nand after\n{:#}",
            self.before,
            self.after
        );
        let lost: Vec<_> =
            self.files_before.iter().filter(|f| self.files_after.contains(f) && !files.contains(f)).collect();
        assert!(lost.is_empty(), "{context}: lost {lost:?}");
        if self.op.opens() || seen == self.after {
            let stray = self.stray(&files);
            assert!(stray.is_empty(), "{context}: a start leaves {stray:?}");
            return;
        }
        let store = self.op.open(folder).unwrap();
        self.op.perform(&*store).await.unwrap_or_else(|error| panic!("{context}: it cannot be done again: {error}"));
        assert_eq!(view(&*store).await, self.after, "{context}: done again it is another thing");
        drop(store);
        let (seen, files) = self.reopened(folder).await;
        assert_eq!(seen, self.after, "{context}: done again it does not last");
        assert_eq!(files, self.files_after, "{context}: done again it leaves other files");
    }

    // Files that a start must have removed. In a state's folder the next write does that.
    fn stray<'a>(&self, files: &'a [String]) -> Vec<&'a String> {
        let known = |file: &String| self.files_before.contains(file) || self.files_after.contains(file);
        let left_for_later = |file: &String| file.starts_with("state/") && file.ends_with(".tmp");
        files.iter().filter(|file| !known(file) && !left_for_later(file)).collect()
    }
}

fn finish(child: &mut Child, said: &mut BufReader<ChildStdout>) -> Ended {
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut outcomes = Vec::new();
    while let Some(line) = line(said) {
        let mut outcome: Value = serde_json::from_str(&line).unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (error, unusable) = (text(&outcome["error"]), text(&outcome["unusable"]));
        outcomes.push(Outcome { error, unusable, view: outcome["view"].take() });
    }
    let status = child.wait().unwrap();
    let killed = status.signal() == Some(9);
    assert!(killed || status.success(), "{status}");
    Ended { killed, outcomes }
}

fn line(from: &mut BufReader<ChildStdout>) -> Option<String> {
    let mut line = String::new();
    let bytes = from.read_line(&mut line).unwrap();
    (bytes > 0 && line.ends_with('\n')).then(|| line.trim_end().to_owned())
}
