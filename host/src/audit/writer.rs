//! The one thread that writes the file. Lines that come while it syncs are written and synced together.

use super::AuditError;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Lines on their way: as many as there may be requests at once that change something.
const QUEUE: usize = 1_024;

/// Longest time for a line: volumes over a network sync in a second or two when they are busy, and who asks for something
/// has long given up by then.
const DEADLINE: Duration = Duration::from_secs(10);

type Done = oneshot::Sender<Result<(), AuditError>>;

/// Something to do.
pub enum Job {
    /// A line, and whom to tell that it is on disk.
    Line(String, Option<Done>),
    /// Whom to tell that everything before it is.
    Barrier(Done),
    /// The file was moved away.
    Reopen,
}

/// The way to the thread.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
    state: Arc<State>,
}

struct State {
    trouble: Mutex<Option<AuditError>>,
    lost: AtomicU64,
    /// The thread is at the disk.
    busy: Mutex<Option<Busy>>,
    deadline: Duration,
}

struct Busy {
    since: Instant,
    /// Somebody whose line is there, or behind it, has given up.
    given_up: bool,
}

/// The words for a disk that is stuck.
pub fn does_not_answer(within: Duration) -> AuditError {
    AuditError(format!("the disk did not answer within {} s", within.as_secs_f32()))
}

impl Writer {
    /// Opens the file and starts the thread, which ends with the last handle.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let log = Log::open(&path)?;
        Self::start(path, log, DEADLINE)
    }

    pub(super) fn start(path: PathBuf, log: Log, deadline: Duration) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (trouble, lost, busy) = Default::default();
        let state = Arc::new(State { trouble, lost, busy, deadline });
        let shared = state.clone();
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || run(path, log, jobs, &shared))?;
        Ok(Self { queue, state })
    }

    /// Hands a job over, once there is room.
    pub async fn send(&self, job: Job) {
        // Fails only when the thread is gone; whoever waits for it then learns so.
        let _ = self.queue.send(job).await;
    }

    /// Hands a job over if there is room.
    pub fn try_send(&self, job: Job) {
        if self.queue.try_send(job).is_err() {
            self.has_lost(1);
        }
    }

    /// Counts lines that were not even tried.
    pub fn has_lost(&self, lines: u64) {
        self.state.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Longest time for a line.
    pub fn deadline(&self) -> Duration {
        self.state.deadline
    }

    /// Whether the disk holds the thread longer than it may.
    pub fn stuck(&self) -> Option<AuditError> {
        let busy = self.state.busy();
        let late = busy.as_ref().is_some_and(|busy| busy.given_up || busy.since.elapsed() >= self.state.deadline);
        late.then(|| does_not_answer(self.state.deadline))
    }

    /// A line was not on disk in time.
    pub fn gave_up(&self) {
        // Where the thread is done by now, it is well again.
        if let Some(busy) = self.state.busy().as_mut() {
            busy.given_up = true;
        }
    }

    /// Why the last line could not be written, or why the next one could not.
    pub fn unusable(&self) -> Option<AuditError> {
        self.stuck().or_else(|| self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// As after a line that the disk had no room for.
    #[cfg(test)]
    pub fn is_in_trouble(&self) {
        *self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(AuditError("no room".to_owned()));
    }

    /// Lines that could not be written.
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }
}

fn run(path: PathBuf, mut file: Log, mut jobs: mpsc::Receiver<Job>, state: &State) {
    let mut jobs_now = Vec::with_capacity(QUEUE);
    while jobs.blocking_recv_many(&mut jobs_now, QUEUE) > 0 {
        let mut batch = Batch::default();
        for job in jobs_now.drain(..) {
            match job {
                Job::Line(line, done) => batch.add(&line, done),
                Job::Barrier(done) => batch.waiting.push(done),
                Job::Reopen => {
                    std::mem::take(&mut batch).write(&mut file, state);
                    match state.at_the_disk(|| Log::open(&path)) {
                        Ok(fresh) => {
                            file = fresh;
                            *state.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                        }
                        Err(error) => {
                            tracing::error!(%error, "the audit log cannot be opened again; the old file goes on")
                        }
                    }
                }
            }
        }
        batch.write(&mut file, state);
    }
}

impl State {
    /// Does something that may take as long as the disk wants.
    fn at_the_disk<T>(&self, work: impl FnOnce() -> T) -> T {
        *self.busy() = Some(Busy { since: Instant::now(), given_up: false });
        let done = work();
        *self.busy() = None;
        done
    }

    fn busy(&self) -> MutexGuard<'_, Option<Busy>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines that are synced together.
#[derive(Default)]
struct Batch {
    text: String,
    lines: u64,
    waiting: Vec<Done>,
}

impl Batch {
    fn add(&mut self, line: &str, done: Option<Done>) {
        self.text.push_str(line);
        self.lines += 1;
        self.waiting.extend(done);
    }

    fn write(self, file: &mut Log, state: &State) {
        if self.lines == 0 {
            // Each line before was synced when it was written.
            self.waiting.into_iter().for_each(|done| drop(done.send(Ok(()))));
            return;
        }
        // What came of it is known before the disk counts as free: in between nobody would know of any trouble.
        let outcome = state.at_the_disk(|| {
            let outcome = file.append(self.text.as_bytes()).map_err(|error| AuditError(error.to_string()));
            *state.trouble.lock().unwrap_or_else(PoisonError::into_inner) = outcome.clone().err();
            outcome
        });
        if let Err(error) = &outcome {
            state.lost.fetch_add(self.lines, Ordering::Relaxed);
            tracing::error!(%error, lines = self.lines, "lines of the audit log are lost");
        }
        for done in self.waiting {
            // Who does not wait any more needs no word.
            let _ = done.send(outcome.clone());
        }
    }
}

/// The file at its end.
pub(super) struct Log {
    file: File,
    /// The last write ended in the middle of a line.
    torn: bool,
    /// A sync failed: what is on disk is unknown, and a second sync would not tell.
    unknown: bool,
    /// What the next syncs fail with.
    #[cfg(test)]
    sync_faults: Vec<io::ErrorKind>,
}

impl Log {
    /// Over a file that is open already.
    #[cfg(test)]
    pub(super) fn over(file: File) -> Self {
        Self { file, torn: false, unknown: false, sync_faults: Vec::new() }
    }

    fn open(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), make)?;
        let mut file = File::options().create(true).append(true).read(true).mode(0o600).open(path)?;
        let torn = !ends_with_a_line(&mut file)?;
        file.sync_all()?;
        // So that a new file is there after a crash.
        if let Some(folder) = folder {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self {
            file,
            torn,
            unknown: false,
            #[cfg(test)]
            sync_faults: Vec::new(),
        })
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if self.unknown {
            return Err(io::Error::other("an earlier sync failed; restart the host once the disk is in order"));
        }
        let mut whole = Vec::with_capacity(text.len() + 1);
        if self.torn {
            whole.push(b'\n');
        }
        whole.extend_from_slice(text);
        let (acknowledged, was_torn) = (self.file.metadata()?.len(), self.torn);
        self.torn = true;
        self.file.write_all(&whole)?;
        self.torn = false;
        let Err(error) = self.sync() else { return Ok(()) };
        if is_full(&error) && self.cut_back(acknowledged).is_ok() {
            self.torn = was_torn;
            return Err(error);
        }
        self.unknown = true;
        Err(io::Error::other(format!("a sync failed ({error}); restart the host once the disk is in order")))
    }

    /// Takes back lines that there was no room to sync. What is before them was synced with an earlier line.
    fn cut_back(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.sync()
    }

    fn sync(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if let Some(fault) = self.sync_faults.pop() {
            return Err(fault.into());
        }
        self.file.sync_data()
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes a folder that is not there, for its user only, so that it is there after a crash, too.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    above.map_or(Ok(()), make)?;
    DirBuilder::new().mode(0o700).create(folder)?;
    above.map_or(Ok(()), |above| File::open(above)?.sync_all())
}

fn ends_with_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last[0] == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_written_is_said_and_what_can_be_heals() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "").unwrap();
        // A file that takes nothing, as a disk that is full.
        let writer = Writer::start(path.clone(), Log::over(File::open(&path).unwrap()), DEADLINE).unwrap();
        let write = async |text: &str| {
            let (done, written) = oneshot::channel();
            writer.send(Job::Line(text.to_owned(), Some(done))).await;
            written.await.unwrap()
        };
        let error = write("a\n").await.unwrap_err();
        assert_eq!((writer.unusable(), writer.lost()), (Some(error), 1));
        writer.send(Job::Reopen).await;
        write("b\n").await.unwrap();
        assert_eq!((writer.unusable(), writer.lost()), (None, 1));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "b\n");
    }

    #[test]
    fn a_folder_that_is_not_there_is_made_for_its_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/log");
        Log::open(&path).unwrap().append(b"a\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n");
        for made in ["a", "a/b"] {
            let mode = std::fs::metadata(folder.path().join(made)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{made}");
        }
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(Log::open(&folder.path().join("file/log")).is_err());
    }

    #[test]
    fn after_a_write_that_broke_off_a_line_begins_anew_and_after_a_sync_that_failed_nothing_is_promised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "half").unwrap();
        let mut log = Log::open(&path).unwrap();
        log.append(b"a\n").unwrap();
        log.append(b"b\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "half\na\nb\n");
        log.unknown = true;
        assert!(log.append(b"c\n").is_err());
    }

    #[test]
    fn lines_that_there_is_no_room_to_sync_are_taken_back_and_others_are_written_when_there_is() {
        use io::ErrorKind::{Other, QuotaExceeded, StorageFull};
        for (faults, heals) in [
            (vec![StorageFull], true),
            (vec![QuotaExceeded], true),
            (vec![StorageFull, StorageFull], false),
            (vec![Other], false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let mut log = Log::open(&path).unwrap();
            log.append(b"a\n").unwrap();
            log.sync_faults.clone_from(&faults);
            let error = log.append(b"b\n").unwrap_err();
            assert_eq!(error.to_string().contains("restart"), !heals, "{faults:?}: {error}");
            assert_eq!(log.append(b"c\n").is_ok(), heals, "{faults:?}");
            if heals {
                assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nc\n", "{faults:?}");
            }
        }
    }
}
