//! Does one operation of the store when it is told to, and says how it ended and what the store shows then.
//!
//! `catalyst-storage-op <folder> <operation> [again | blind]`: once more after a failure, or without looking afterwards. All
//! system calls of the store come from one thread, whose id is printed first: a tracer that attaches to it sees them and no
//! others.
#![expect(clippy::print_stdout, reason = "its words are its result")]

use anyhow::Context;
use catalyst_store::{FileStore, Store};
use catalyst_tests::storage::{Op, view};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().context("no folder is named")?);
    let op = arguments.next().as_deref().and_then(Op::named).context("no operation is named")?;
    let how = arguments.next().unwrap_or_default();
    // Only where the system asks for it does this do anything.
    let _may_be_traced = rustix::process::set_ptracer(rustix::process::PTracer::Any);
    // Without an IO driver: its wake-ups are writes, which a fault would swallow.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::from_secs(600))
        .build()?;
    runtime.block_on(run(&root, op, &how))
}

async fn run(root: &Path, op: Op, how: &str) -> anyhow::Result<()> {
    let thread = spawn_blocking(nix::unistd::gettid).await?;
    let open = || {
        let root = root.to_owned();
        spawn_blocking(move || op.open(&root))
    };
    let mut store: Option<Arc<FileStore>> = None;
    if !op.opens() {
        store = Some(open().await??);
        op.arrange(root);
    }
    println!("{thread}");
    let mut go = String::new();
    std::io::stdin().read_line(&mut go)?;
    for _ in 0..if how == "again" { 2 } else { 1 } {
        let result = match &store {
            Some(store) => op.perform(&**store).await,
            None => match open().await? {
                Ok(opened) => {
                    store = Some(opened);
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            },
        };
        let unusable = store.as_ref().and_then(|store| store.unusable()).map(|error| error.to_string());
        let seen = match &store {
            Some(store) if how != "blind" => view(&**store).await,
            _ => json!(null),
        };
        let done = result.is_ok();
        println!("{}", json!({"error": result.err(), "unusable": unusable, "view": seen}));
        if done {
            break;
        }
    }
    Ok(())
}
