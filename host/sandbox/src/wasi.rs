//! The deterministic part of WASI 0.2, interface by interface.
//!
//! A standard library imports these whether a plugin needs them or not. Here clocks stand still, random numbers are the
//! same in each call, the environment is empty, there is no folder, and what is printed goes to the trace. Only streams
//! and pollables come from `wasmtime-wasi-io`: they act on handles of the store and nothing else. File functions come
//! from `wasmtime-wasi` with an empty list of folders, so no handle can ever be had.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
use wasmtime_wasi_io::bindings::wasi::io as wasi_io;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::streams::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, StreamError, StreamResult,
};

use crate::guest_log::{GuestLog, Stream};
use crate::state::{CallState, lock};

/// What both clocks show, in seconds: 2020-01-01T00:00:00Z, a date that no one takes for now.
const FIXED_SECONDS: u64 = 1_577_836_800;

/// Resolution of a clock that never moves.
const RESOLUTION_NANOS: u32 = 1;

/// Random bytes that a guest gets at once: a hash seed needs sixteen.
const RANDOM_BYTES: u64 = 64 * 1024;

/// What a guest may write to a stream at once.
const WRITE_BYTES: usize = 4096;

/// A guest ended itself. Found again by type when a call's error is classified.
#[derive(Debug, thiserror::Error)]
#[error("the plugin called exit")]
pub(crate) struct GuestExit;

struct Handles;

impl HasData for Handles {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links every interface that `imports` allows.
pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasi_io::error::add_to_linker::<CallState, Handles>(linker, |s| &mut s.table)?;
    wasi_io::poll::add_to_linker::<CallState, Handles>(linker, |s| &mut s.table)?;
    wasi_io::streams::add_to_linker::<CallState, Handles>(linker, |s| &mut s.table)?;

    type Own = HasSelf<CallState>;
    clocks::wall_clock::add_to_linker::<CallState, Own>(linker, |s| s)?;
    clocks::monotonic_clock::add_to_linker::<CallState, Own>(linker, |s| s)?;
    random::random::add_to_linker::<CallState, Own>(linker, |s| s)?;
    random::insecure::add_to_linker::<CallState, Own>(linker, |s| s)?;
    random::insecure_seed::add_to_linker::<CallState, Own>(linker, |s| s)?;
    cli::environment::add_to_linker::<CallState, Own>(linker, |s| s)?;
    cli::exit::add_to_linker::<CallState, Own>(linker, |s| s)?;
    cli::stdin::add_to_linker::<CallState, Own>(linker, |s| s)?;
    cli::stdout::add_to_linker::<CallState, Own>(linker, |s| s)?;
    cli::stderr::add_to_linker::<CallState, Own>(linker, |s| s)?;
    cli::terminal_input::add_to_linker::<CallState, Own>(linker, |s| s)?;
    cli::terminal_output::add_to_linker::<CallState, Own>(linker, |s| s)?;
    cli::terminal_stdin::add_to_linker::<CallState, Own>(linker, |s| s)?;
    cli::terminal_stdout::add_to_linker::<CallState, Own>(linker, |s| s)?;
    cli::terminal_stderr::add_to_linker::<CallState, Own>(linker, |s| s)?;
    filesystem::preopens::add_to_linker::<CallState, Own>(linker, |s| s)?;
    filesystem::types::add_to_linker::<CallState, WasiFilesystem>(linker, |s| WasiFilesystemCtxView {
        ctx: &mut s.files,
        table: &mut s.table,
    })
}

impl clocks::wall_clock::Host for CallState {
    fn now(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        Ok(clocks::wall_clock::Datetime { seconds: FIXED_SECONDS, nanoseconds: 0 })
    }

    fn resolution(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        Ok(clocks::wall_clock::Datetime { seconds: 0, nanoseconds: RESOLUTION_NANOS })
    }
}

impl clocks::monotonic_clock::Host for CallState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(FIXED_SECONDS)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::from(RESOLUTION_NANOS))
    }

    fn subscribe_instant(&mut self, _when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        at_once(&mut self.table)
    }

    fn subscribe_duration(&mut self, _nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        at_once(&mut self.table)
    }
}

/// A wait that is over at once: where no time passes, waiting can't be told from not waiting.
fn at_once(table: &mut ResourceTable) -> wasmtime::Result<Resource<DynPollable>> {
    let over = table.push(Over)?;
    subscribe(table, over)
}

struct Over;

#[async_trait::async_trait]
impl Pollable for Over {
    async fn ready(&mut self) {}
}

impl CallState {
    /// Next of the call's random numbers: SplitMix64, of public domain (Steele, Lea, Flood 2014).
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > RANDOM_BYTES {
            wasmtime::bail!("asked for more than {RANDOM_BYTES} random bytes at once");
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < len {
            bytes.extend_from_slice(&self.next_random().to_le_bytes());
        }
        bytes.truncate(usize::try_from(len)?);
        Ok(bytes)
    }
}

impl random::random::Host for CallState {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.next_random())
    }
}

impl random::insecure::Host for CallState {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.next_random())
    }
}

impl random::insecure_seed::Host for CallState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.next_random(), self.next_random()))
    }
}

impl cli::environment::Host for CallState {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl cli::exit::Host for CallState {
    fn exit(&mut self, _status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(GuestExit.into())
    }

    fn exit_with_code(&mut self, _code: u8) -> wasmtime::Result<()> {
        Err(GuestExit.into())
    }
}

/// Standard input: always at its end.
struct Closed;

#[async_trait::async_trait]
impl Pollable for Closed {
    async fn ready(&mut self) {}
}

impl InputStream for Closed {
    fn read(&mut self, _size: usize) -> StreamResult<Bytes> {
        Err(StreamError::Closed)
    }
}

/// Standard output or error: lines of the trace.
struct ToTrace {
    stream: Stream,
    log: Arc<Mutex<GuestLog>>,
}

#[async_trait::async_trait]
impl Pollable for ToTrace {
    async fn ready(&mut self) {}
}

impl OutputStream for ToTrace {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        lock(&self.log).bytes(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl CallState {
    fn output(&mut self, stream: Stream) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(ToTrace { stream, log: self.log() });
        Ok(self.table.push(stream)?)
    }
}

impl cli::stdin::Host for CallState {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(Closed);
        Ok(self.table.push(stream)?)
    }
}

impl cli::stdout::Host for CallState {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.output(Stream::Out)
    }
}

impl cli::stderr::Host for CallState {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.output(Stream::Err)
    }
}

type TerminalInput = cli::terminal_input::TerminalInput;
type TerminalOutput = cli::terminal_output::TerminalOutput;

impl cli::terminal_input::Host for CallState {}

impl cli::terminal_input::HostTerminalInput for CallState {
    fn drop(&mut self, handle: Resource<TerminalInput>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl cli::terminal_output::Host for CallState {}

impl cli::terminal_output::HostTerminalOutput for CallState {
    fn drop(&mut self, handle: Resource<TerminalOutput>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl cli::terminal_stdin::Host for CallState {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<TerminalInput>>> {
        Ok(None)
    }
}

impl cli::terminal_stdout::Host for CallState {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<TerminalOutput>>> {
        Ok(None)
    }
}

impl cli::terminal_stderr::Host for CallState {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<TerminalOutput>>> {
        Ok(None)
    }
}

impl filesystem::preopens::Host for CallState {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        Ok(Vec::new())
    }
}
