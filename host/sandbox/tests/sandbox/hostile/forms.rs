//! Files that are no plugin of this host, or want to be more than one.

use super::kinds::{End, Fear, Guest, fear};
use super::raw::{Raw, section};

fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).unwrap_or_else(|error| panic!("{error}"))
}

/// Nothing but a word of the contract.
fn bare() -> Vec<u8> {
    text(r#"(component (import "catalyst:provisioner/log@1.0.0" (instance)))"#)
}

/// The contract's version in the names of a component, changed in place.
fn of_version(other: &[u8; 6]) -> Vec<u8> {
    let mut bytes = Raw::new().build();
    let (package, version) = (b"catalyst:provisioner/", b"@1.0.0");
    let names: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(package)).collect();
    for name in names {
        let end = (name + 60).min(bytes.len() - version.len());
        if let Some(at) = (name..end).find(|at| bytes[*at..].starts_with(version)) {
            bytes[at..at + version.len()].copy_from_slice(other);
        }
    }
    bytes
}

/// Every export is there, and `validate` has another type.
fn other_types() -> Vec<u8> {
    text(
        r#"(component
            (import "catalyst:provisioner/log@1.0.0" (instance))
            (core module $m (func (export "validate") (result i32) i32.const 7))
            (core instance $i (instantiate $m))
            (func $f (result u32) (canon lift (core func $i "validate")))
            (instance $cloud (export "describe" (func $f)) (export "validate" (func $f)))
            (export "catalyst:provisioner/cloud@1.0.0" (instance $cloud)))"#,
    )
}

/// A plugin with a settings schema of its own.
fn of_schema(schema: &str) -> Vec<u8> {
    let mut raw = Raw::new();
    raw.schema = schema.to_owned();
    raw.build()
}

pub const FEARS: &[Fear] = &[
    fear("text format", Guest::Made(|| b"(component)".to_vec()), End::Refused, "is not a binary WebAssembly component"),
    fear("an empty file", Guest::Made(Vec::new), End::Refused, "is not a binary WebAssembly component"),
    fear(
        "precompiled bytes",
        Guest::Made(|| wasmtime::Engine::default().precompile_component(&Raw::new().build()).expect("machine code")),
        End::Refused,
        "is precompiled machine code, which is never accepted",
    ),
    fear("a core module", Guest::Made(|| text("(module)")), End::Refused, "is a core WebAssembly module"),
    fear(
        "a file that is too large",
        Guest::Made(|| [Raw::new().build(), vec![0; 33 * 1024 * 1024]].concat()),
        End::Refused,
        "is larger than 33554432 bytes",
    ),
    fear(
        "bytes behind the end",
        Guest::Made(|| [Raw::new().build(), b"#!/bin/sh".to_vec()].concat()),
        End::Refused,
        "is not a valid component",
    ),
    fear("forbidden import", Guest::Built("opens_socket"), End::Refused, "imports wasi:sockets/"),
    fear(
        "forbidden import by a new name",
        Guest::Made(|| text(r#"(component (import "acme:host/shell@1.0.0" (instance)))"#)),
        End::Refused,
        "imports acme:host/shell@1.0.0, which no plugin gets",
    ),
    fear("wrong types", Guest::Made(other_types), End::Refused, "does not fit the provisioner world"),
    fear("missing exports", Guest::Made(bare), End::Refused, "does not fit the provisioner world"),
    fear("stale version", Guest::Made(|| of_version(b"@0.0.9")), End::Refused, "implements catalyst:provisioner 0.0.9"),
    fear(
        "a version to come",
        Guest::Made(|| of_version(b"@7.0.0")),
        End::Refused,
        "implements catalyst:provisioner 7.0.0",
    ),
    fear("another world", Guest::Made(|| text("(component)")), End::Refused, "implements another world"),
    fear("lies about its id", Guest::Built("lies_about_itself"), End::Refused, "describes itself wrongly: the id"),
    fear(
        "ten thousand core instances",
        Guest::Made(|| {
            let instances = "(core instance (instantiate $m))".repeat(10_000);
            text(&format!("(component (core module $m (memory 0)) {instances})"))
        }),
        End::Refused,
        "is not a valid component",
    ),
    fear(
        "ten thousand exports",
        Guest::Made(|| {
            let exports: String = (0..10_000).map(|n| format!("(export \"e{n}\" (instance $log))")).collect();
            text(&format!("(component (import \"catalyst:provisioner/log@1.0.0\" (instance $log)) {exports})"))
        }),
        End::Refused,
        "is not a valid component: failed to parse WebAssembly module: instances count exceeds limit of 1000",
    ),
    fear(
        "components in components",
        Guest::Made(|| {
            let empty = b"\0asm\x0d\0\x01\0";
            (0..2000).fold(empty.to_vec(), |inner, _| [empty.to_vec(), section(4, &inner)].concat())
        }),
        End::Refused,
        "implements another world",
    ),
    fear(
        "an alias of what is not there",
        Guest::Made(|| b"\0asm\x0d\0\x01\0\x06\x05\x01\x03\x02\xff\x01".to_vec()),
        End::Refused,
        "is not a valid component",
    ),
    fear(
        "a schema of brackets",
        Guest::Made(|| of_schema(&format!("{{\"a\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000)))),
        End::Refused,
        "describes itself wrongly: the settings schema is not a JSON object",
    ),
    fear(
        "a schema that is none",
        Guest::Made(|| of_schema(r#"{"properties":{"size":{"type":"strnig"}}}"#)),
        End::Refused,
        "describes itself wrongly: the settings schema is no JSON Schema 2020-12: ",
    ),
    fear(
        "a schema from elsewhere",
        Guest::Made(|| of_schema(r#"{"$ref":"http://127.0.0.1:1/schema"}"#)),
        End::Refused,
        "describes itself wrongly: a $ref of the settings schema is not to a place in it",
    ),
    fear(
        "a schema that refers to itself",
        Guest::Made(|| of_schema(r##"{"properties":{"size":{"$ref":"#"}}}"##)),
        End::Refused,
        "describes itself wrongly: the settings schema refers to itself",
    ),
    fear(
        "a schema that doubles with each reference",
        Guest::Made(|| {
            let twice = |n: usize| {
                format!(r##""d{n}":{{"allOf":[{{"$ref":"#/$defs/d{0}"}},{{"$ref":"#/$defs/d{0}"}}]}},"##, n + 1)
            };
            let all: String = (0..25).map(twice).collect();
            of_schema(&format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{all}"d25":true}}}}"##))
        }),
        End::Refused,
        "describes itself wrongly: the settings schema has more than 2000 subschemas",
    ),
    fear(
        "a schema whose names multiply with its references",
        Guest::Made(|| {
            let names: Vec<String> = (0..1_000).map(|n| format!("\"n{n}\"")).collect();
            let references = vec![r##"{"$ref":"#/$defs/r"}"##; 900].join(",");
            let names = names.join(",");
            of_schema(&format!(r##"{{"$defs":{{"r":{{"required":[{names}]}}}},"allOf":[{references}]}}"##))
        }),
        End::Refused,
        "describes itself wrongly: the settings schema has more than 2000 subschemas",
    ),
    fear(
        "a pattern that compiles to gigabytes",
        Guest::Made(|| of_schema(r#"{"properties":{"size":{"pattern":"((a{1,999}){1,999}){1,999}"}}}"#)),
        End::Refused,
        "describes itself wrongly: the settings schema is no JSON Schema 2020-12: ",
    ),
    fear(
        "memories of 64 bits",
        Guest::Made(|| text("(component (core module (memory i64 1)))")),
        End::Refused,
        "is not a valid component",
    ),
    fear(
        "threads",
        Guest::Made(|| text("(component (core module (memory 1 1 shared)))")),
        End::Refused,
        "is not a valid component",
    ),
];
