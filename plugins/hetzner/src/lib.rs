//! Hetzner Cloud as a provider plugin.
