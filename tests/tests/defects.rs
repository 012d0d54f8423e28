//! `docs/defects.md` against the sources: every entry has its row, every test that a row names is there, and every test
//! that carries a tag stands in its row.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Groups, their last number, and the numbers that need no row, such as those of low severity.
const ENTRIES: &[(char, u32, &[u32])] = &[
    ('A', 17, &[]),
    ('B', 5, &[]),
    ('C', 10, &[7]),
    ('D', 9, &[8]),
    ('E', 6, &[2, 3]),
    ('F', 14, &[8, 12]),
    ('G', 18, &[14, 16]),
    ('H', 19, &[5, 6, 10, 12, 13, 14, 15, 17]),
    ('I', 5, &[2, 3, 4, 5]),
    // Those of the field that have no row yet.
    ('T', 18, &[]),
];

/// Rows that name no test yet. It only goes down.
const MISSING: usize = 0;

/// Folders with Rust of ours.
const FOLDERS: &[&str] = &["host", "plugins", "tests"];

struct Row {
    tag: String,
    severity: String,
    /// Test by file.
    tests: BTreeSet<(String, String)>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("docs/defects.md")).unwrap();
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let lines = text.lines().filter(|line| line.starts_with("| ") && line.contains('-') && !line.starts_with("| tag"));
    lines
        .map(|line| {
            let cells = cells(line);
            let [tag, severity, _, tests] = cells.as_slice() else { panic!("no row of four: {line}") };
            Row { tag: tag.clone(), severity: severity.clone(), tests: named(tests) }
        })
        .collect()
}

/// `file`: `test`, `test`; `file`: …
fn named(cell: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for part in cell.split(';').filter(|part| part.contains('`')) {
        let quoted: Vec<&str> = part.split('`').skip(1).step_by(2).collect();
        let (file, tests) = quoted.split_first().unwrap();
        found.extend(tests.iter().map(|test| ((*file).to_owned(), (*test).to_owned())));
    }
    found
}

/// Every test of the sources by file: functions right behind a test attribute.
fn tests() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(root()).unwrap().display().to_string();
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(functions(&text).into_iter().map(|test| (file.clone(), test)));
            }
        }
    }
    found
}

fn functions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))
            && std::mem::take(&mut is_test)
        {
            found.extend(name.split('(').next().map(str::to_owned));
        }
    }
    found
}

/// Tags at the beginning of a test's name: `c6_c7_…` has two.
fn tags(test: &str) -> Vec<String> {
    let tag = |part: &&str| {
        let (group, number) = part.split_at_checked(1).unwrap_or_default();
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        digits && ENTRIES.iter().any(|(known, ..)| group == known.to_ascii_lowercase().to_string())
    };
    test.split('_').take_while(tag).map(|part| format!("{}-{}", part[..1].to_uppercase(), &part[1..])).collect()
}

#[test]
fn every_entry_has_one_row_with_a_severity() {
    let mut wanted = BTreeSet::new();
    for (group, last, low) in ENTRIES {
        wanted.extend((1..=*last).filter(|number| !low.contains(number)).map(|number| format!("{group}-{number}")));
    }
    let rows = rows();
    let found: BTreeSet<String> = rows.iter().map(|row| row.tag.clone()).collect();
    assert_eq!(found, wanted);
    assert_eq!(rows.len(), found.len(), "an entry has two rows");
    assert!(rows.iter().all(|row| ["C", "H", "M", "L"].contains(&row.severity.as_str())));
    assert_eq!(rows.iter().filter(|row| row.tests.is_empty()).count(), MISSING, "rows without a test");
}

#[test]
fn every_test_that_is_named_is_there_and_carries_the_tag() {
    let tests = tests();
    for row in rows() {
        for test in &row.tests {
            assert!(tests.contains(test), "{}: {} has no test {}", row.tag, test.0, test.1);
            assert!(tags(&test.1).contains(&row.tag), "{} does not carry {}", test.1, row.tag);
        }
    }
}

#[test]
fn every_test_with_a_tag_stands_in_its_row() {
    let rows: BTreeMap<String, Row> = rows().into_iter().map(|row| (row.tag.clone(), row)).collect();
    for test in tests() {
        for tag in tags(&test.1) {
            let listed = rows.get(&tag).is_none_or(|row| row.tests.contains(&test));
            assert!(listed, "docs/defects.md: {tag} does not name {} in {}", test.1, test.0);
        }
    }
}

#[test]
fn tags_are_read_from_names() {
    assert_eq!(tags("c6_c7_generations_count"), ["C-6", "C-7"]);
    assert_eq!(tags("a16_of_many"), ["A-16"]);
    assert!(tags("a_kubeconfig_8").is_empty() && tags("h_1").is_empty() && tags("z3_x").is_empty());
    assert_eq!(
        functions("#[test]\nfn a1_x() {}\nfn b() {}\n#[tokio::test(flavor = \"x\")]\nasync fn c2_y() {}"),
        ["a1_x", "c2_y"]
    );
}
