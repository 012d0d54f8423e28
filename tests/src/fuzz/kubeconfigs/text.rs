//! Changes of a kubeconfig as a text: what is around the document, how lines end, and how it is encoded.

use crate::fuzz::Random;

const HARM: &str =
    "users:\n- name: default\n  user:\n    exec: {apiVersion: client.authentication.k8s.io/v1, command: id}\n";

/// Changes a written document, in most cases not at all.
pub(super) fn change(mut text: String, random: &mut Random) -> Vec<u8> {
    if random.one_in(2) {
        return text.into_bytes();
    }
    for _ in 0..=random.below(2) {
        text = once(text, random);
    }
    match random.below(20) {
        0 => [vec![0xef, 0xbb, 0xbf], text.into_bytes()].concat(),
        1 => [vec![0xff, 0xfe], text.encode_utf16().flat_map(u16::to_le_bytes).collect()].concat(),
        2 => [vec![0xfe, 0xff], text.encode_utf16().flat_map(u16::to_be_bytes).collect()].concat(),
        3 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        _ => text.into_bytes(),
    }
}

fn once(text: String, random: &mut Random) -> String {
    match random.below(18) {
        0 => text.replace('\n', "\r\n"),
        1 => text.replace('\n', "\r"),
        2 => text.replace('\n', random.pick(&["\u{85}", "\u{2028}", "\u{2029}"])),
        3 => insert(
            &text,
            random.pick(&["\u{85}", "\u{2028}", "\u{2029}", "\u{feff}", "\0", "\u{7f}", "\u{a0}", "\u{200b}"]),
            random,
        ),
        4 => hidden(&text, random),
        5 => text.replacen("  ", "\t", 1 + random.below(3)),
        6 => comment(&text, random),
        7 => format!(
            "{text}{}",
            random.pick(&[
                "# by k3s\n",
                "#",
                "\n\n",
                "# caf\u{e9}\n",
                "# \u{85}exec: x\n",
                " # x\n",
                "#a\r\n",
                "#\tx",
                "# \u{2028}users: []\n"
            ])
        ),
        8 => format!(
            "{}{text}",
            random.pick(&[
                "%YAML 1.1\n---\n",
                "%YAML 1.2\n---\n",
                "%YAML 9.9\n---\n",
                "%TAG ! tag:yaml.org,2002:\n---\n",
                "%X y\n---\n"
            ])
        ),
        9 => format!("---\n{text}"),
        10 => format!("{text}{}", random.pick(&["...\n", "...\n---\n", "---\n", "...\nx\n", "--- x\n"])),
        11 => format!("{text}---\n{HARM}"),
        12 => format!("{HARM}---\n{text}"),
        13 => format!("{text}{HARM}"),
        14 => format!("# before\n\n{text}"),
        15 => text.replacen('\n', "\n\n \n", 1),
        16 => text.replace(": ", random.pick(&[":  ", ":\t", " : "])),
        _ => text.trim_end().to_owned(),
    }
}

fn insert(text: &str, piece: &str, random: &mut Random) -> String {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    format!("{}{piece}{}", &text[..at], &text[at..])
}

/// Lines that are there for parsers to which another sign ends a line, and a comment for the others.
fn hidden(text: &str, random: &mut Random) -> String {
    let end = random.pick(&["\u{85}", "\u{2028}", "\u{2029}", "\r"]);
    let lines = HARM.replace('\n', end);
    let at = text.match_indices('\n').map(|(at, _)| at).nth(random.below(8)).unwrap_or_default();
    format!("{} #{end}{lines}{}", &text[..at], &text[at..])
}

fn comment(text: &str, random: &mut Random) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let at = random.below(lines.len() + 1);
    let said = random.pick(&["# a comment\n", "  # a comment\n", "#\n", "# x: &a !!y\n", "\t# tab\n"]);
    format!("{}{said}{}", lines[..at].concat(), lines[at..].concat())
}
