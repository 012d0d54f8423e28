//! A viewer as a browser is one: it follows the stream, and connects again from its last number when the stream breaks.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a viewer saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Number and entry of each frame, in the order of arrival.
    pub entries: Vec<(u64, Value)>,
    /// State of the `done` frame.
    pub done: Option<Value>,
}

/// A viewer in a thread of its own.
pub struct Viewer {
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<()>,
}

impl Viewer {
    /// Follows a deployment until `done`, for at most `limit`.
    pub fn follow(address: &str, id: &str, limit: Duration) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (shared, url) = (seen.clone(), format!("http://{address}/api/v1/deployments/{id}/logs"));
        let thread = std::thread::spawn(move || {
            let until = Instant::now() + limit;
            while Instant::now() < until && shared.lock().unwrap().done.is_none() {
                if read(&url, &shared).is_err() {
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        });
        Self { seen, thread }
    }

    /// What was seen so far.
    pub fn so_far(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for `done`.
    pub fn finish(self) -> Seen {
        self.thread.join().unwrap();
        let seen = self.seen.lock().unwrap().clone();
        assert!(
            seen.done.is_some(),
            "the stream never said done; last entries: {:?}",
            seen.entries.iter().rev().take(5)
        );
        seen
    }
}

fn read(url: &str, seen: &Mutex<Seen>) -> Result<(), Box<dyn std::error::Error>> {
    let agent =
        ureq::Agent::config_builder().timeout_recv_body(Some(Duration::from_secs(40))).proxy(None).build().new_agent();
    let last = seen.lock().unwrap().entries.last().map_or(0, |(number, _)| *number);
    let response = agent.get(url).header("last-event-id", last.to_string()).call()?;
    let (mut number, mut event) = (0, String::new());
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        let line = line?;
        if let Some(id) = line.strip_prefix("id: ") {
            number = id.parse()?;
        } else if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut event);
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data: Value = serde_json::from_str(data)?;
            let mut seen = seen.lock().unwrap();
            if event == "done" {
                assert!(seen.done.is_none(), "done came twice");
                seen.done = Some(data);
                return Ok(());
            }
            seen.entries.push((number, data));
        }
    }
    Ok(())
}
