//! The template engine against the real `tofu console`: same text from the original and from the rendered template.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at once")]

use catalyst_plugin_sdk::bundle::fill;
use catalyst_plugin_sdk::template::{EvalError, Template, Value, Variables};
use catalyst_plugin_sdk::testing::{Case, hostile_text, templatefile};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// What a hole is filled with at apply: also text that would be live, were it read as a template.
const FILLINGS: [(&str, &str); 3] =
    [("token", "s3cr3t"), ("address", "192.0.2.1"), ("odd", "{x} ${token} %{if} \"\\ $")];

fn fill_hole(name: &str) -> String {
    FILLINGS.iter().find(|(hole, _)| *hole == name).map(|(_, text)| (*text).to_owned()).unwrap()
}

fn variables(word: &str, other: &str, flag: bool, count: i64) -> Variables {
    let list: Value = [word, other, "end"].into_iter().collect();
    Variables::new()
        .with("word", word)
        .with("other", other)
        .with("flag", flag)
        .with("count", count)
        .with("list", list)
        .with("empty", Value::List(Vec::new()))
        .with_hole("token", 6)
        .with_hole("address", 15)
        .with_hole("odd", 64)
}

/// Asks OpenTofu for every original and every rendered template at once and compares all three texts.
fn check(templates: &[(String, Variables)]) {
    let mut cases = Vec::new();
    let mut ours = Vec::new();
    for (text, variables) in templates {
        let template: Template = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        // As a component does it, from the compiled form.
        let filled = fill("template", &template.to_bytes().unwrap(), variables)
            .unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let values = variables.to_json(fill_hole);
        let rendered = filled.to_template().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        cases.push(Case { template: text.clone(), variables: values.clone() });
        cases.push(Case { template: rendered, variables: values });
        ours.push(filled.with_values(fill_hole));
    }
    let answers = templatefile(&cases).unwrap();
    for (index, (text, _)) in templates.iter().enumerate() {
        let [original, rendered] = [&answers[2 * index], &answers[2 * index + 1]].map(|b| String::from_utf8_lossy(b));
        assert_eq!(rendered, original, "rendered {:?} from {text:?}", cases[2 * index + 1].template);
        assert_eq!(ours[index], original, "our own text of {text:?}");
    }
}

/// Marks that open something, or only look like it.
const ESCAPES: &[&str] = &[
    "",
    "plain",
    "a$${word}%%{if}",
    "$$${word}",
    "$$$${word}",
    "%%%{x",
    "$ % $$ %%",
    "tail $",
    "tail %",
    "$$",
    "$%%{",
    "%$${",
    "$${$${word}${word}",
    "$${~ word}",
    "${\"$\"}${token}",
    "${token}${address}",
    "%${token}",
    "$%${token}",
    "${odd}{${odd}",
];

/// Marks that take white space with them, and directives.
const DIRECTIVES: &[&str] = &[
    "a\n\n   %{~ if flag ~}\n\n  b\n%{ endif ~}\n c",
    "a\n   \n%{~ if true }X%{ endif }",
    "a  ${~ word ~}  \n  b",
    "a\r\n  %{~ if true ~}\r\n b\r\n%{ endif ~}\r\nc\r\n",
    "a \n\n${~ word}",
    "%{ if true ~}\n  %{ if true ~}\nA\n  %{ endif ~}\n%{ endif ~}\nB",
    "${word ~}\n\nb",
    "a\u{a0}${~ word}",
    "x%{ if false }a%{ else }b%{ endif }",
    "x %{~ if flag ~} a %{~ else ~} b %{~ endif ~} y",
    "%{~ for v in empty ~} s %{~ endfor ~}  \n t",
    "%{ for i, v in list ~}\n${i}=${v}\n%{ endfor ~}\nz",
    "%{ for k, v in {b=1,a=word} ~}\n${k}=${v}\n%{ endfor ~}\nz",
];

/// Functions, operators and what they are applied to.
const EXPRESSIONS: &[&str] = &[
    "${jsonencode({b=[1,true,null,word],\"a <>&\"=other, \"n\" = {}})}",
    "${jsonencode(jsonencode(list))}",
    "${base64encode(word)}",
    "${indent(2, \"a\\nb\\n\\nc\")}",
    "${join(\",\", list, [1, true])}",
    "${contains(list, word)}${contains(list, \"nope\")}${length(list)}${length(\"abc\")}${length(empty)}",
    "${lower(\"aBC\")}${upper(\"aBc\")}${trimspace(\"  x \")}${tostring(true)}${tostring(3)}",
    "${replace(\"a.b.c\", \".\", \"-\")}${format(\"%s-%02d-%d-%v-%%\", \"a\", 3, 12, true)}",
    "${flag ? token : \"\"}",
    "${flag ? 1 : \"x\"}",
    "${jsonencode(flag ? 1 : \"x\")}",
    "${\"a ${word} b\"}${\"\\u00e9\\t\\\"\"}",
    "${word == \"v\"}${1 == \"1\"}${count > 2}${count <= 2}",
    "${(count + 3) - 1}",
    "${(flag && !flag) || true || false}",
    "%{ if \"true\" }yes%{ endif }",
    "${list[0]}${{a = 1}.a}",
    "e\u{301}${base64encode(\"e\\u0301\")}",
    "\u{600}$${word}$${\u{301}x} %%{\u{301} $\u{301}{",
];

/// Values that would be live, were they read as templates.
const HOSTILE: &[&str] = &[
    "v",
    "${file(\"/etc/shadow\")}",
    "%{if}",
    "$",
    "%",
    "$$",
    "%%",
    "{",
    "${",
    "\\",
    "\"",
    "e\u{301}",
    "\u{600}$",
    "\u{301}",
    "<>&\u{2028}",
    "",
];

#[test]
fn chosen_templates_mean_the_same_to_opentofu() {
    let mut templates = Vec::new();
    for (index, text) in [ESCAPES, DIRECTIVES, EXPRESSIONS].concat().into_iter().enumerate() {
        let word = HOSTILE[index % HOSTILE.len()];
        templates.push((text.to_owned(), variables("v", word, true, 3)));
        templates.push((text.to_owned(), variables(word, "o", false, 1)));
    }
    check(&templates);
}

fn template_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "$",
        "%",
        "$$",
        "%%",
        "$${",
        "%%{",
        " ",
        "\n",
        "\r\n",
        "  ",
        "text",
        "{",
        "}",
        "é",
        "\u{301}",
        "\u{600}",
        "\\",
        "\"",
        "${word}",
        "${other}",
        "${~ word ~}",
        "${token}",
        "${address}",
        "${odd}",
        "${~ token}",
        "${token ~}",
        "%{ if flag }A%{ endif }",
        "%{ if flag ~}\n  B ${token}\n%{ endif ~}\n",
        "  %{~ if !flag ~}\n C$%{ else }\n$%{~ endif ~}\n",
        "%{ for v in list ~}\n- ${v}$\n%{ endfor ~}\n",
        "${jsonencode(list)}",
        "${base64encode(word)}",
        "${indent(4, word)}",
    ]);
    prop::collection::vec(piece, 0..14)
        .prop_map(|pieces| pieces.concat())
        // `$` before `{` or an interpolation is an escape or an opening; the joins that open one are not templates.
        .prop_filter("a template", |text| text.parse::<Template>().is_ok())
}

#[test]
fn generated_templates_and_values_mean_the_same_to_opentofu() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let case = (template_text(), hostile_text(), hostile_text(), any::<bool>(), 0..5_i64);
    let templates: Vec<(String, Variables)> = (0..400)
        .map(|_| {
            let (text, word, other, flag, count) = case.new_tree(&mut runner).unwrap().current();
            (text, variables(&word, &other, flag, count))
        })
        .collect();
    check(&templates);
}

#[test]
fn nothing_is_computed_on_a_hole() {
    let texts = [
        "${base64encode(token)}",
        "${jsonencode({a=token})}",
        "${\"Bearer ${token}\"}",
        "${token == \"\"}",
        "%{ if token }x%{ endif }",
        "%{ for c in token }x%{ endfor }",
        "${indent(2, token)}",
        "${join(\",\", [token])}",
        "${length(token)}",
        "${token.x}",
        "${!token}",
        "${tostring(token)}",
    ];
    for text in texts {
        let template: Template = text.parse().unwrap();
        let error = template.fill(&variables("", "", true, 0)).unwrap_err();
        assert!(matches!(&error, EvalError::ComputedHole { hole, .. } if hole == "token"), "{text}: {error}");
    }
    let missing: Template = "${nobody}".parse().unwrap();
    assert_eq!(missing.fill(&Variables::new()), Err(EvalError::UnknownVariable("nobody".to_owned())));
}

#[test]
fn what_the_engine_would_not_do_exactly_is_refused_when_compiled() {
    let refused = [
        ("${1.5}", "whole numbers"),
        ("${md5(word)}", "`md5` is not supplied"),
        ("${[for x in list : x]}", "`for`"),
        ("${1 + 2 - 3}", "parentheses"),
        ("${list[*].a}", "splat"),
        ("a\rb", "carriage return"),
        ("${lower()}", "0 arguments"),
        ("\u{feff}x", "byte order"),
        ("$\r\n${~ x}", "whitespace mark"),
        ("${<<A\nx\nA\n}", "heredoc"),
        ("%{ if x }", "not a template"),
        ("${x", "not a template"),
    ];
    for (text, words) in refused {
        let error = text.parse::<Template>().unwrap_err().to_string();
        assert!(error.contains(words), "{text:?}: {error}");
    }
    let carriage_return = Variables::new().with("word", "a\rb");
    let filled = "${word}".parse::<Template>().unwrap().fill(&carriage_return).unwrap();
    assert!(filled.to_template().is_err());
}

#[test]
fn the_budget_counts_every_hole_at_its_longest() {
    let filled = "é${token}${address}".parse::<Template>().unwrap().fill(&variables("", "", true, 0)).unwrap();
    assert_eq!(filled.max_bytes(), 2 + 6 + 15);
    assert_eq!(filled.holes(), ["token", "address"]);
}
