//! Small changes of an input: of bytes, of lines, and by pieces that mean something to the reader.

use super::{MAX_INPUT_BYTES, Random};

/// Changes an input up to four times.
pub fn mutate(input: &[u8], other: &[u8], dictionary: &[&str], random: &mut Random) -> Vec<u8> {
    let mut changed = input.to_vec();
    for _ in 0..=random.below(4) {
        once(&mut changed, other, dictionary, random);
    }
    changed.truncate(MAX_INPUT_BYTES);
    changed
}

fn once(input: &mut Vec<u8>, other: &[u8], dictionary: &[&str], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(10) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.byte(),
        2 => {
            let end = (at + 1 + random.below(16)).min(input.len());
            input.drain(at.min(end)..end);
        }
        3 => {
            let end = (at + 1 + random.below(64)).min(input.len());
            let piece = input[at.min(end)..end].to_vec();
            insert(input, at, &piece);
        }
        4 => swap_lines(input, random),
        5 => copy_line(input, random),
        6 if !other.is_empty() => {
            let from = random.below(other.len());
            let end = (from + 1 + random.below(256)).min(other.len());
            insert(input, at, &other[from..end]);
        }
        7 if at < input.len() => input[at] = input[at].to_ascii_uppercase(),
        _ if !dictionary.is_empty() => {
            let piece = random.pick(dictionary);
            insert(input, at, piece.as_bytes());
        }
        _ => insert(input, at, &[random.byte()]),
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}

fn lines(input: &[u8]) -> Vec<Vec<u8>> {
    input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn swap_lines(input: &mut Vec<u8>, random: &mut Random) {
    let mut lines = lines(input);
    if lines.len() > 1 {
        let (one, other) = (random.below(lines.len()), random.below(lines.len()));
        lines.swap(one, other);
        *input = lines.concat();
    }
}

fn copy_line(input: &mut Vec<u8>, random: &mut Random) {
    let mut lines = lines(input);
    if !lines.is_empty() {
        let (from, to) = (random.below(lines.len()), random.below(lines.len() + 1));
        lines.insert(to, lines[from].clone());
        *input = lines.concat();
    }
}
