//! The only place that knows WebAssembly: loads, limits and calls provider plugins.
