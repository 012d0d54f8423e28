//! What `wit-bindgen` makes of the contract. The records are re-exported as the SDK's own types; authors see no more of it.
#![allow(unsafe_code, missing_docs, clippy::all, reason = "generated code, and not the same on every target")]

wit_bindgen::generate!({
    path: "../../wit/provisioner-1.0",
    world: "provisioner",
    pub_export_macro: true,
    export_macro_name: "export_bindings",
    default_bindings_module: "catalyst_plugin_sdk::bindings",
    additional_derives: [PartialEq, Eq, serde::Serialize, serde::Deserialize],
});
