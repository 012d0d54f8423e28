//! Component files that tests put before a host: other bytes of the same plugin, one that no compiler should be let loose on, and the
//! list of those that may serve.

use std::path::Path;

/// Writes the `plugins.lock` of a folder, at once: a pin of every component that lies there, then these lines.
pub fn lock(folder: &Path, lines: &[&str]) {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".wasm"))
        .collect();
    names.sort_unstable();
    let pin = |name: &String| {
        let digest = ring::digest::digest(&ring::digest::SHA256, &std::fs::read(folder.join(name)).unwrap());
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}  {name}\n")
    };
    let text: String = names.iter().map(pin).chain(lines.iter().map(|line| format!("{line}\n"))).collect();
    std::fs::write(folder.join(".new"), text).unwrap();
    std::fs::rename(folder.join(".new"), folder.join("plugins.lock")).unwrap();
}

/// The same plugin with other bytes: a custom section at its end changes nothing but the digest.
pub fn rebuilt(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0, 3, 1, b'x', 0]].concat()
}

/// The same component with one text replaced by another of the same length, wherever it stands.
///
/// # Panics
/// When it does not stand there.
pub fn edited(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, seen)| *seen == from.as_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{from} does not stand in the component");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// A component of some megabytes that keeps a compiler busy for minutes: functions of hundreds of thousands of blocks, in each
/// of which values meet.
pub fn compile_bomb() -> Vec<u8> {
    const FUNCTIONS: usize = 6;
    const BLOCKS: usize = 400_000;
    // block; local.get 0; br_if 0; local.get 1; local.get 0; i32.add; local.set 1; end
    let block: &[u8] = &[0x02, 0x40, 0x20, 0x00, 0x0d, 0x00, 0x20, 0x01, 0x20, 0x00, 0x6a, 0x21, 0x01, 0x0b];
    // One group of one local of type i32.
    let body = [&[0x01, 0x01, 0x7f][..], &block.repeat(BLOCKS), &[0x0b]].concat();
    let bodies = [leb(body.len()), body].concat().repeat(FUNCTIONS);
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 1, 0x7f, 0]),
        section(3, &[leb(FUNCTIONS), vec![0; FUNCTIONS]].concat()),
        section(10, &[leb(FUNCTIONS), bodies].concat()),
    ]
    .concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], leb(content.len()), content.to_vec()].concat()
}
