//! Addresses of OpenTofu providers.

/// Registry of an address that names none.
pub const DEFAULT_REGISTRY: &str = "registry.opentofu.org";

/// A full address as people write it: without the registry, where that is the default one.
pub fn short_address(address: &str) -> &str {
    address.strip_prefix(DEFAULT_REGISTRY).and_then(|rest| rest.strip_prefix('/')).unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_registry_is_left_out() {
        for (address, short) in [
            ("registry.opentofu.org/acme/cloud", "acme/cloud"),
            ("registry.opentofu.org.example/acme/cloud", "registry.opentofu.org.example/acme/cloud"),
            ("mirror.example/acme/cloud", "mirror.example/acme/cloud"),
            ("acme/cloud", "acme/cloud"),
        ] {
            assert_eq!(short_address(address), short);
        }
    }
}
