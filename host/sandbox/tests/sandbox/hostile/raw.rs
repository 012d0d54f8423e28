//! Guests written by hand: a core module of which every export is known to the byte, encoded as a component of the contract.
//!
//! A guest in Rust goes through generated glue that keeps the rules of the canonical ABI. These break them.

use catalyst_sandbox::Function;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract, and the part of WASI that hand-written guests misuse.
const WORLD: &str = r#"
package hostile:guest;
world raw {
    include catalyst:provisioner/provisioner@1.0.0;
    import wasi:io/poll@0.2.6;
    import wasi:clocks/monotonic-clock@0.2.6;
    import wasi:random/random@0.2.6;
}
package wasi:io@0.2.6 {
    interface poll {
        resource pollable { ready: func() -> bool; block: func(); }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }
}
package wasi:clocks@0.2.6 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.6.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }
}
package wasi:random@0.2.6 {
    interface random { get-random-bytes: func(len: u64) -> list<u8>; }
}
"#;

/// The interface of the exports.
const CLOUD: &str = "catalyst:provisioner/cloud@1.0.0";

/// Zeros, which read as empty lists, empty texts and the first case of everything.
pub const ZEROS: u32 = 16;

/// An error without words, where an answer is a result.
pub const ERROR: u32 = 512;

/// Where laid-out values begin.
const VALUES: u32 = 1024;

/// Where memory is given out: behind all values.
const HEAP: u32 = 2 * 65536;

/// Parameters of each export as the canonical ABI flattens them. All give the address of their result.
fn parameters(function: Function) -> &'static str {
    match function {
        Function::Describe => "",
        Function::Validate | Function::Render | Function::Estimate => "(param i32)",
        Function::ReadOutputs | Function::CredentialProbe | Function::JudgeCredentials => "(param i32 i32)",
        Function::Diagnose => "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32)",
        Function::LeftoverProbe | Function::JudgeLeftovers => panic!("contract 1.0 has no such export"),
    }
}

pub const EXPORTS: [Function; 8] = [
    Function::Describe,
    Function::Validate,
    Function::Render,
    Function::ReadOutputs,
    Function::Diagnose,
    Function::Estimate,
    Function::CredentialProbe,
    Function::JudgeCredentials,
];

/// A guest in the making. It behaves until something is spoilt.
pub struct Raw {
    id: &'static str,
    /// JSON Schema of its settings.
    pub schema: String,
    imports: &'static str,
    fields: String,
    realloc: &'static str,
    spoilt: Vec<(Function, String)>,
    values: Vec<u8>,
    beside: Vec<u8>,
}

/// Gives out memory upwards and never takes it back.
const BUMP: &str = "
    (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    global.get $next
    (global.set $next (i32.add (global.get $next) (local.get 3)))";

impl Raw {
    pub fn new() -> Self {
        Self::called("hostile")
    }

    pub fn called(id: &'static str) -> Self {
        let (fields, spoilt, values, beside) = Default::default();
        Self { id, schema: "{}".into(), imports: "", fields, realloc: BUMP, spoilt, values, beside }
    }

    /// Core imports.
    pub fn imports(mut self, text: &'static str) -> Self {
        self.imports = text;
        self
    }

    /// Further fields of the module: memories, tables, functions, a start.
    pub fn fields(mut self, text: &str) -> Self {
        self.fields.push_str(text);
        self
    }

    /// A second module of the component, instantiated several times behind the first.
    pub fn beside(mut self, module: &str, instances: u8) -> Self {
        let module = wat::parse_str(module).expect("a module");
        // Each instance: of the module with index 1, without arguments (core instances in the binary format of the component model).
        let each = [0, 1, 0].repeat(usize::from(instances));
        self.beside = [section(1, &module), section(2, &[&[instances], each.as_slice()].concat())].concat();
        self
    }

    /// The body of the allocator: old address, old size, alignment, new size.
    pub fn realloc(mut self, body: &'static str) -> Self {
        self.realloc = body;
        self
    }

    /// The body of an export.
    pub fn body(mut self, function: Function, body: impl Into<String>) -> Self {
        self.spoilt.push((function, body.into()));
        self
    }

    /// An export that gives the value at an address.
    pub fn gives(self, function: Function, address: u32) -> Self {
        self.body(function, format!("i32.const {}", address.cast_signed()))
    }

    /// Lays bytes out and gives their address.
    pub fn bytes(&mut self, bytes: &[u8]) -> u32 {
        let at = VALUES + u32::try_from(self.values.len()).expect("small");
        self.values.extend_from_slice(bytes);
        self.values.resize(self.values.len().next_multiple_of(8), 0);
        assert!(VALUES as usize + self.values.len() < HEAP as usize, "no room before the heap");
        at
    }

    /// Lays 32-bit fields out.
    pub fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.bytes(&bytes)
    }

    /// Lays a text out: address and length.
    pub fn text(&mut self, text: &str) -> [u32; 2] {
        let length = u32::try_from(text.len()).expect("short");
        [self.bytes(text.as_bytes()), length]
    }

    /// Lays out a list of one finding with this message.
    pub fn finding(&mut self, message: [u32; 2], severity: u32) -> u32 {
        let [at, length] = message;
        let one = self.words(&[0, 0, 0, 0, at, length, severity]);
        self.words(&[one, 1])
    }

    /// Lays out one probe as an answer: method, URL, one header.
    pub fn probe(&mut self, url: &str, header: &str, value: &str) -> u32 {
        let (method, url, header, value) = (self.text("GET"), self.text(url), self.text(header), self.text(value));
        let headers = self.words(&[header, value].concat());
        let probe = self.words(&[&method, &url, &[headers, 1], &[0; 3][..]].concat());
        self.words(&[0, probe, 1])
    }

    fn description(&mut self) -> u32 {
        let schema = self.schema.clone();
        let (id, name, version) = (self.text(self.id), self.text("A hostile cloud"), self.text("0.1.0"));
        let (schema, host) = (self.text(&schema), self.text("api.cloud.example"));
        let hosts = self.words(&host);
        let (secrets, bearer_and_catalogue) = ([0; 4], [0; 11]);
        let parts: [&[u32]; 7] = [&id, &name, &version, &secrets, &bearer_and_catalogue, &[32_768], &schema];
        self.words(&[parts.concat(), vec![hosts, 1]].concat())
    }

    /// The core module's text.
    fn module(&mut self) -> String {
        let description = self.description();
        let mut exports = String::new();
        for function in EXPORTS {
            let at = match function {
                Function::Describe => description,
                Function::Validate | Function::Diagnose | Function::JudgeCredentials => ZEROS,
                _ => ERROR,
            };
            let spoilt = self.spoilt.iter().find(|(spoilt, _)| *spoilt == function);
            let body = spoilt.map_or_else(|| format!("i32.const {at}"), |(_, body)| body.clone());
            let parameters = parameters(function);
            exports += &format!("(func (export \"{CLOUD}#{function}\") {parameters} (result i32) {body})\n");
        }
        let values: String = self.values.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            "(module {} (memory $main (export \"memory\") 64) (global $next (mut i32) (i32.const {HEAP}))
             (data (memory $main) (i32.const {ERROR}) \"\\01\") (data (memory $main) (i32.const {VALUES}) \"{values}\")
             (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) {})
             {} {exports})",
            self.imports, self.realloc, self.fields
        )
    }

    /// The component.
    pub fn build(mut self) -> Vec<u8> {
        let text = self.module();
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut resolve = Resolve::default();
        resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/provisioner-1.0")).expect("the contract");
        let package = resolve.push_str("raw.wit", WORLD).expect("the world");
        let world = resolve.select_world(&[package], Some("raw")).expect("the world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("types");
        let mut encoder = ComponentEncoder::default();
        // What is wrong with it is the sandbox's to find.
        encoder.validate(false).module(&module).expect("a module of the world");
        [encoder.encode().expect("a component"), self.beside].concat()
    }
}

/// One section of a component's binary form.
pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let (mut bytes, mut length) = (vec![id], content.len());
    loop {
        let low = u8::try_from(length & 0x7f).expect("seven bits");
        length >>= 7;
        bytes.push(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            break;
        }
    }
    [bytes, content.to_vec()].concat()
}
