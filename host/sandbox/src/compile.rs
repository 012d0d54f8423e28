//! From a component to machine code, here or apart.
//!
//! A component of a few kilobytes can keep the compiler busy for minutes or make it take all memory, and the engine
//! does not count that as a fault of its own. A host that serves therefore compiles in a child process with limits. How
//! such a child is started is not known here: a [`Compiler`] does it, and the child does its work with [`compile`].

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::{self, Allocator};
use crate::error::LoadError;
use crate::limits::Limits;

/// Where components become machine code.
#[derive(Debug, Clone, Default)]
pub enum Compile {
    /// In this process, without a limit: for tests, whose components are their own.
    #[default]
    Here,
    /// In a process apart.
    Apart(Arc<dyn Compiler>),
}

/// What machine code is made for: it runs only in an engine with the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// How that engine gives out memory.
    pub allocator: Allocator,
    /// The largest memory of one of its instances, in bytes.
    pub memory_bytes: usize,
    /// Whether that engine counts.
    pub counting: Counting,
}

/// Whether an engine counts the instructions of its guests, which takes a part of their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// It serves.
    Off,
    /// It measures ([`crate::Measure`]).
    On,
}

/// Compiles apart from this process.
#[async_trait]
pub trait Compiler: fmt::Debug + Send + Sync {
    /// Gives what [`compile`] gave in a process of the same program, within the limits of time and memory.
    ///
    /// The host runs this code unchecked, so an implementation hands on only what its own child wrote.
    ///
    /// # Errors
    /// When there is no machine code, and why.
    async fn compile(&self, component: Vec<u8>, target: Target, limits: &Limits) -> Result<Vec<u8>, CompileError>;
}

/// Why there is no machine code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The compiler refused the component; in its words.
    #[error("is not a valid component: {0}")]
    Invalid(String),
    /// It took too long.
    #[error("could not be compiled within {limit_ms} ms")]
    Timeout {
        /// The limit on the clock.
        limit_ms: u128,
    },
    /// It took too much memory.
    #[error("could not be compiled within {limit_bytes} bytes of memory")]
    Memory {
        /// The limit.
        limit_bytes: u64,
    },
    /// The compiler could not do its work; perhaps no fault of the component.
    #[error("could not be compiled: {0}")]
    Broken(String),
}

/// Compiles a component for a host's engine: the whole work of a process apart. It starts no such engine, so it needs
/// none of its address space.
///
/// # Errors
/// What is wrong with the component, in the compiler's words.
pub fn compile(component: &[u8], target: Target) -> Result<Vec<u8>, String> {
    let engine = engine::compiler(target).map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(component).map_err(|error| format!("{error:#}"))
}

impl Compile {
    /// Machine code of a component and its form for the cache.
    pub(crate) async fn run(
        &self,
        engine: &Engine,
        target: Target,
        limits: &Limits,
        bytes: Vec<u8>,
    ) -> Result<(Component, Vec<u8>), LoadError> {
        let engine = engine.clone();
        let code = match self {
            Self::Here => None,
            Self::Apart(compiler) => Some(compiler.compile(bytes.clone(), target, limits).await?),
        };
        let finish = move || match code {
            Some(code) => Ok((trusted(&engine, &code)?, code)),
            None => here(&engine, &bytes),
        };
        let stopped = |error| CompileError::Broken(format!("the compiler stopped: {error}"));
        Ok(tokio::task::spawn_blocking(finish).await.map_err(stopped)??)
    }
}

fn here(engine: &Engine, bytes: &[u8]) -> Result<(Component, Vec<u8>), CompileError> {
    let component =
        Component::from_binary(engine, bytes).map_err(|error| CompileError::Invalid(format!("{error:#}")))?;
    let code = component.serialize().map_err(|error| CompileError::Broken(format!("{error:#}")))?;
    Ok((component, code))
}

fn trusted(engine: &Engine, code: &[u8]) -> Result<Component, CompileError> {
    #[expect(unsafe_code, reason = "the only way to take code that was compiled apart")]
    // SAFETY: a `Compiler` gives only what `compile` wrote in a child of this host, the same program, through a pipe
    // that nobody else holds; the engine checks that its settings and version are ours. A component that could make the
    // compiler write other code could do so in this process as well.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|error| CompileError::Broken(format!("the code of the compiler does not fit: {error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Settings;

    /// Compiles apart in name only: what is shown is that the code fits.
    #[derive(Debug)]
    struct Thread;

    #[async_trait]
    impl Compiler for Thread {
        async fn compile(&self, component: Vec<u8>, target: Target, _: &Limits) -> Result<Vec<u8>, CompileError> {
            compile(&component, target).map_err(CompileError::Invalid)
        }
    }

    #[tokio::test]
    async fn code_compiled_apart_fits_both_kinds_of_engine_and_faults_are_the_same_words() {
        let good = wat::parse_str("(component (core module $m (memory 1)) (core instance (instantiate $m)))").unwrap();
        let bad = wat::parse_str("(component (core module (memory i64 1)))").unwrap();
        for allocator in [Allocator::Pooling, Allocator::OnDemand] {
            let limits = Settings::default().limits;
            let (engine, target) = engine::start_as(allocator, &limits).unwrap();
            let common = limits.of("");
            let apart = Compile::Apart(Arc::new(Thread));
            assert!(apart.run(&engine, target, common, good.clone()).await.is_ok(), "{allocator:?}");
            let mut words = Vec::new();
            for way in [Compile::Here, apart] {
                words.push(way.run(&engine, target, common, bad.clone()).await.err().unwrap().to_string());
            }
            assert!(words[0].starts_with("is not a valid component: "), "{words:?}");
            assert_eq!(words[0], words[1]);
        }
    }

    #[tokio::test]
    async fn code_for_another_engine_is_refused() {
        let limits = Settings::default().limits;
        let (engine, target) = engine::start_as(Allocator::OnDemand, &limits).unwrap();
        let code = compile(&wat::parse_str("(component)").unwrap(), Target { memory_bytes: 65_536, ..target }).unwrap();
        assert!(trusted(&engine, &code).is_err_and(|error| error.to_string().contains("does not fit")));
    }
}
