//! The end of all tasks. A disk that hangs holds a task for ever, and must not hold the process: whatever was on its way to such
//! a disk is as after a crash, which the next start knows how to take up.

use super::Driver;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// Longest time in which states are written that no disk took until then.
const LAST_WRITES: Duration = Duration::from_secs(5);

impl Driver {
    /// Ends all tasks: OpenTofu gets its signal and its grace, and what happened is recorded. Those that have not ended within
    /// that time are left where they stand.
    pub async fn drain(&self, within: Duration) {
        self.stop.cancel();
        let left = ended(&self.tasks, within).await;
        // Memory ends with the process. A disk that does not answer holds that up no longer than the tasks.
        if tokio::time::timeout(LAST_WRITES, self.engine.write_held_states()).await.is_err() {
            tracing::error!(
                "the disk does not take the states that are held in memory; they are lost with this process"
            );
        }
        if left > 0 {
            let within = within.as_secs();
            tracing::error!(
                tasks = left,
                "work did not end within {within} s, as where a disk does not answer: it is left as in a crash"
            );
        }
    }
}

/// Takes no new task, waits for the others, and says how many have not ended in time.
async fn ended(tasks: &TaskTracker, within: Duration) -> usize {
    tasks.close();
    match tokio::time::timeout(within, tasks.wait()).await {
        Ok(()) => 0,
        Err(_) => tasks.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn a_write_that_never_ends_holds_up_the_end_for_a_bounded_time_and_others_are_waited_for() {
        let tasks = TaskTracker::new();
        tasks.spawn(async { tokio::time::sleep(Duration::from_millis(50)).await });
        assert_eq!(ended(&tasks, Duration::from_secs(10)).await, 0);
        // A disk that hangs holds a thread, as here the channel does.
        let (answer, disk) = std::sync::mpsc::channel::<()>();
        tasks.spawn(async { tokio::task::spawn_blocking(move || disk.recv()).await });
        tasks.spawn(async { tokio::time::sleep(Duration::from_millis(50)).await });
        let begun = Instant::now();
        assert_eq!(ended(&tasks, Duration::from_millis(300)).await, 1);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(answer);
        assert_eq!(ended(&tasks, Duration::from_secs(10)).await, 0);
    }
}
