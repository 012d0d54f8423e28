//! What `wit-bindgen` makes of the contract. The records are re-exported as the SDK's own types; authors see no more of it. It is the
//! contract 1.0, which is frozen, unless the feature `contract-1-1` asks for the one that grows.
#![allow(unsafe_code, missing_docs, clippy::all, reason = "generated code, and not the same on every target")]

#[cfg(not(feature = "contract-1-1"))]
wit_bindgen::generate!({
    path: "../../wit/provisioner-1.0",
    world: "provisioner",
    pub_export_macro: true,
    export_macro_name: "export_bindings",
    default_bindings_module: "catalyst_plugin_sdk::bindings",
    additional_derives: [PartialEq, Eq, serde::Serialize, serde::Deserialize],
});

#[cfg(feature = "contract-1-1")]
wit_bindgen::generate!({
    path: "../../wit/provisioner-1.1",
    world: "provisioner-with-leftovers",
    pub_export_macro: true,
    export_macro_name: "export_bindings",
    default_bindings_module: "catalyst_plugin_sdk::bindings",
    additional_derives: [PartialEq, Eq, serde::Serialize, serde::Deserialize],
});
