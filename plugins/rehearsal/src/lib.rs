//! A cloud that costs nothing: real OpenTofu, built-in resources only.
