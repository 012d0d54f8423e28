//! Changes of a kubeconfig as a tree.

use super::NAMES;
use super::document::{Tree, cluster, harm, odd_server, user};
use crate::fuzz::Random;

type Entries = Vec<(String, Tree)>;

/// Scalars that YAML parsers give different types.
const TYPED: [&str; 36] = [
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
    "true",
    "True",
    "~",
    "null",
    "Null",
    "",
    "0x10",
    "0o17",
    "017",
    "0b11",
    "1e3",
    "1E3",
    "1_000",
    "12:30:45",
    "1:30",
    "2001-01-01",
    "2001-12-14t21:59:43.10-05:00",
    ".inf",
    "-.INF",
    ".nan",
    "+1",
    "-0",
    "1.",
    ".5",
    "!!str 1",
    "!!int '1'",
    "!!binary QQ==",
    "!!null ''",
    "!x y",
    "=",
];

/// Makes one change at a random place.
pub(super) fn change(root: &mut Tree, random: &mut Random) {
    match random.below(16) {
        0 => in_map(root, random, |map, random| random.shuffle(map)),
        1 | 2 => in_map(root, random, twice),
        3..=5 => in_map(root, random, |map, random| {
            let (mut key, value) = harm(random);
            if random.one_in(4) {
                key = other_case(&key, random);
            }
            let at = random.below(map.len() + 1);
            map.insert(at, (key, value));
        }),
        6 => in_map(root, random, |map, random| {
            let at = random.below(map.len());
            if let Some((key, _)) = map.get_mut(at) {
                *key = other_case(key, random);
            }
        }),
        7 => in_map(root, random, |map, random| {
            let key = random.pick(&[
                "unknown",
                "extensions",
                "",
                " ",
                "server ",
                "\u{2028}",
                "a: b",
                "1",
                "true",
                "=",
                "ex\u{65}c\u{200b}",
                "disable-compression",
            ]);
            let at = random.below(map.len() + 1);
            map.insert(at, (key.to_owned(), Tree::Raw(random.pick(&TYPED).to_owned())));
        }),
        8 => in_map(root, random, merge),
        9 => in_map(root, random, anchored),
        10 => in_map(root, random, |map, random| {
            let at = random.below(map.len());
            if let Some((_, value)) = map.get_mut(at) {
                *value = Tree::Raw(random.pick(&TYPED).to_owned());
            }
        }),
        11 => in_map(root, random, |map, random| {
            let at = random.below(map.len());
            if at < map.len() {
                map.remove(at);
            }
        }),
        12 => another_entry(root, random),
        13 => in_map(root, random, |map, random| {
            let at = random.below(map.len());
            if let Some((key, value)) = map.get_mut(at) {
                *value = match key.as_str() {
                    "server" => Tree::Text(odd_server(random)),
                    _ => Tree::text(random.pick(&NAMES)),
                };
            }
        }),
        14 => extended(root, random),
        _ => in_map(root, random, |map, random| {
            let at = random.below(map.len());
            if let Some((_, value)) = map.get_mut(at) {
                *value = if random.one_in(2) { deep(random) } else { Tree::Text("x".repeat(1 + random.below(20_000))) };
            }
        }),
    }
}

/// Lets a function change one of the mappings.
fn in_map(tree: &mut Tree, random: &mut Random, change: impl FnOnce(&mut Entries, &mut Random)) {
    let count = count(tree);
    let mut left = random.below(count);
    if let Some(map) = nth(tree, &mut left) {
        change(map, random);
    }
}

fn count(tree: &Tree) -> usize {
    match tree {
        Tree::Map(entries) => 1 + entries.iter().map(|(_, value)| count(value)).sum::<usize>(),
        Tree::List(list) => list.iter().map(count).sum(),
        Tree::Text(_) | Tree::Data(_) | Tree::Raw(_) => 0,
    }
}

fn nth<'a>(tree: &'a mut Tree, left: &mut usize) -> Option<&'a mut Entries> {
    match tree {
        Tree::Map(entries) => {
            if *left == 0 {
                return Some(entries);
            }
            *left -= 1;
            entries.iter_mut().find_map(|(_, value)| nth(value, left))
        }
        Tree::List(list) => list.iter_mut().find_map(|one| nth(one, left)),
        Tree::Text(_) | Tree::Data(_) | Tree::Raw(_) => None,
    }
}

fn twice(map: &mut Entries, random: &mut Random) {
    let from = random.below(map.len());
    let Some((key, value)) = map.get(from).cloned() else { return };
    let value = match random.below(3) {
        0 => value,
        1 => Tree::text("other"),
        _ => harm(random).1,
    };
    let at = random.below(map.len() + 1);
    map.insert(at, (key, value));
}

fn merge(map: &mut Entries, random: &mut Random) {
    let merged = Tree::Map(vec![harm(random), ("server".to_owned(), Tree::text("https://198.51.100.66:6443"))]);
    let wrapped = match random.below(4) {
        0 => Tree::Map(vec![("user".to_owned(), merged)]),
        1 => Tree::Map(vec![("cluster".to_owned(), merged)]),
        2 => Tree::List(vec![merged]),
        _ => merged,
    };
    let key = random.pick(&["<<", "!!merge <<", "\"<<\"", "!!str <<"]);
    let at = random.below(map.len() + 1);
    map.insert(at, (key.to_owned(), wrapped));
}

fn anchored(map: &mut Entries, random: &mut Random) {
    let at = random.below(map.len());
    let name = random.pick(&["a", "default", "1", "a:b"]);
    if let Some((_, value)) = map.get_mut(at) {
        *value = Tree::Raw(if random.one_in(2) { format!("&{name} x") } else { format!("*{name}") });
    }
}

fn another_entry(root: &mut Tree, random: &mut Random) {
    let Tree::Map(entries) = root else { return };
    let (list, inner) = [("clusters", "cluster"), ("users", "user"), ("contexts", "context")][random.below(3)];
    let name = random.pick(&["default", "other", "edge-01"]);
    let value = match inner {
        "cluster" => cluster(random),
        "user" => user(random),
        _ => Tree::map([("cluster", Tree::text(name)), ("user", Tree::text(name))]),
    };
    let mut entry = Tree::map([(inner, value), ("name", Tree::text(name))]);
    if random.one_in(3) {
        in_map(&mut entry, random, |map, random| map.push(harm(random)));
    }
    for (key, value) in entries {
        if let (true, Tree::List(list)) = (key == list, value) {
            let at = random.below(list.len() + 1);
            list.insert(at, entry.clone());
        }
    }
}

fn extended(root: &mut Tree, random: &mut Random) {
    let extension = Tree::map([("name", Tree::text("x")), ("extension", harm(random).1)]);
    in_map(root, random, |map, _| map.push(("extensions".to_owned(), Tree::List(vec![extension]))));
}

fn deep(random: &mut Random) -> Tree {
    let mut tree = Tree::text("x");
    for _ in 0..random.below(200) {
        tree = if random.one_in(2) { Tree::List(vec![tree]) } else { Tree::map([("a", tree)]) };
    }
    tree
}

fn other_case(key: &str, random: &mut Random) -> String {
    match random.below(4) {
        0 => key.to_uppercase(),
        1 => {
            let mut letters = key.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        }
        // Both fold to a letter of ASCII where Unicode's rules are followed.
        2 => key.replacen('k', "\u{212a}", 1),
        _ => key.replacen('s', "\u{17f}", 1),
    }
}
