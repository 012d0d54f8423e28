//! What a settings schema may be: JSON Schema 2020-12 whose cost is known before it is compiled.
//!
//! The host asks it about every request, so a schema that refers to itself, that grows when its references are written out, or
//! that looks elsewhere would make its component's requests the host's work. Each is refused here, before the compiler sees it.

use serde_json::{Map, Value};

use super::Checked;

/// The one dialect, as `$schema` names it.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Subschemas, and values that they list, each reference written out. The largest of this repository counts 42.
const SUBSCHEMAS: usize = 2_000;
/// Bytes of text that count as one value more, in a schema as in settings: errors hold copies of it.
pub(crate) const TEXT_PER_VALUE: usize = 128;
/// Subschemas within each other, references followed.
const DEPTH: usize = 64;
/// Regular expressions, each of which is compiled.
const PATTERNS: usize = 64;
/// Bytes of one regular expression.
const PATTERN: usize = 1_024;

/// What a schema costs, references written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SchemaCost {
    /// Subschemas, and the values that they list; at least one.
    pub(crate) subschemas: usize,
    /// Regular expressions.
    pub(crate) patterns: usize,
}

/// Checks a schema.
///
/// # Errors
/// The rule that it breaks; else what it costs.
pub(crate) fn schema(root: &Value) -> Result<SchemaCost, String> {
    let Value::Object(object) = root else { return Err("the settings schema is not a JSON object".into()) };
    match object.get("$schema") {
        None => {}
        Some(Value::String(dialect)) if dialect.trim_end_matches('#') == DIALECT => {}
        Some(_) => return Err(format!("the settings schema is of another dialect than {DIALECT}")),
    }
    let mut walk = Walk { root, subschemas: 0, patterns: 0, names: 0, open: Vec::new() };
    walk.schema(root, 0)?;
    Ok(SchemaCost { subschemas: walk.subschemas, patterns: walk.patterns })
}

struct Walk<'a> {
    root: &'a Value,
    subschemas: usize,
    patterns: usize,
    /// Bytes of the names that lead to the subschema.
    names: usize,
    /// References that are being followed.
    open: Vec<String>,
}

impl Walk<'_> {
    fn schema(&mut self, schema: &Value, depth: usize) -> Checked {
        // The compiler gives each a path of its own.
        self.count(1 + self.names / TEXT_PER_VALUE)?;
        if depth > DEPTH {
            return Err(format!("the settings schema has more than {DEPTH} subschemas within each other"));
        }
        // `true` and `false`; what is neither, the meta-schema refuses.
        let Value::Object(keywords) = schema else { return Ok(()) };
        keywords.iter().try_for_each(|(keyword, value)| self.keyword(keyword, value, depth))
    }

    fn keyword(&mut self, keyword: &str, value: &Value, depth: usize) -> Checked {
        match (keyword, value) {
            ("$ref", Value::String(reference)) => self.reference(reference, depth),
            ("$dynamicRef" | "$dynamicAnchor" | "$recursiveRef", _) => {
                Err(format!("the settings schema has {keyword}; a $ref to a place in it is what is taken"))
            }
            // Each asks again what is below it, so within each other they would cost without bound.
            ("unevaluatedItems" | "unevaluatedProperties", _) if depth > 0 => Err(format!(
                "the settings schema has {keyword} below its root; additionalProperties and items are what is taken there"
            )),
            ("$id", _) if depth > 0 => Err("the settings schema has an $id below its root".into()),
            // Each name is an error of its own, and each error about one of the others holds a copy of what it lists.
            ("required" | "dependentRequired" | "enum" | "const", listed) => self.count(values_in(listed, 0)),
            ("not", schema) => {
                self.count(values_in(schema, 0))?;
                self.schema(schema, depth + 1)
            }
            ("pattern", Value::String(pattern)) => self.pattern(pattern),
            ("patternProperties", Value::Object(schemas)) => {
                schemas.keys().try_for_each(|pattern| self.pattern(pattern))?;
                self.each(schemas, depth)
            }
            // "dependencies" and "additionalItems" are of earlier dialects, and compiled all the same.
            ("dependencies", Value::Object(either)) => either.iter().try_for_each(|(name, either)| match either {
                Value::Array(_) => self.count(values_in(either, 0)),
                schema => self.named(name, schema, depth),
            }),
            ("properties" | "dependentSchemas" | "$defs" | "definitions", Value::Object(schemas)) => {
                self.each(schemas, depth)
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter().try_for_each(|schema| self.schema(schema, depth + 1))
            }
            (
                "items"
                | "additionalItems"
                | "contains"
                | "additionalProperties"
                | "unevaluatedItems"
                | "unevaluatedProperties"
                | "propertyNames"
                | "if"
                | "then"
                | "else"
                | "contentSchema",
                schema,
            ) => self.schema(schema, depth + 1),
            _ => Ok(()),
        }
    }

    fn each(&mut self, schemas: &Map<String, Value>, depth: usize) -> Checked {
        schemas.iter().try_for_each(|(name, schema)| self.named(name, schema, depth))
    }

    fn named(&mut self, name: &str, schema: &Value, depth: usize) -> Checked {
        self.names += name.len();
        self.schema(schema, depth + 1)?;
        self.names -= name.len();
        Ok(())
    }

    fn count(&mut self, more: usize) -> Checked {
        self.subschemas += more;
        if self.subschemas > SUBSCHEMAS {
            return Err(format!(
                "the settings schema has more than {SUBSCHEMAS} subschemas and listed values, references written out"
            ));
        }
        Ok(())
    }

    fn pattern(&mut self, pattern: &str) -> Checked {
        self.patterns += 1;
        if pattern.len() > PATTERN {
            return Err(format!("a pattern of the settings schema is longer than {PATTERN} bytes"));
        }
        self.count(pattern.len() / TEXT_PER_VALUE)?;
        if self.patterns > PATTERNS {
            return Err(format!("the settings schema has more than {PATTERNS} patterns, references written out"));
        }
        if let Some(part) = part_without_bound(pattern) {
            return Err(format!(
                "a pattern of the settings schema has {part}, for which there is no engine whose time grows with the text alone"
            ));
        }
        Ok(())
    }

    fn reference(&mut self, reference: &str, depth: usize) -> Checked {
        let Some(place) = reference.strip_prefix('#').filter(|place| place.is_empty() || place.starts_with('/')) else {
            return Err("a $ref of the settings schema is not to a place in it, such as #/$defs/name".into());
        };
        if place.is_empty() || self.open.iter().any(|open| open == place) {
            return Err("the settings schema refers to itself".into());
        }
        // `%` would have two readings.
        let root = self.root;
        let Some(target) = root.pointer(place).filter(|_| !place.contains('%')) else {
            return Err("a $ref of the settings schema leads to nothing in it".into());
        };
        self.open.push(place.to_owned());
        self.named(place, target, depth)?;
        self.open.pop();
        Ok(())
    }
}

/// Values in a value, itself and keys counted, and one more for every [`TEXT_PER_VALUE`] bytes of a text, and of the path to each value: an error
/// holds it. The path to `value` has `path` bytes.
pub(crate) fn values_in(value: &Value, path: usize) -> usize {
    let itself = 1 + path / TEXT_PER_VALUE;
    match value {
        Value::String(text) => itself + text.len() / TEXT_PER_VALUE,
        // An index has a digit at least.
        Value::Array(items) => itself + items.iter().map(|item| values_in(item, path + 2)).sum::<usize>(),
        Value::Object(object) => {
            let of_key = |(key, inner): (&String, &Value)| {
                let path = path + 1 + key.len();
                1 + path / TEXT_PER_VALUE + values_in(inner, path)
            };
            itself + object.iter().map(of_key).sum::<usize>()
        }
        _ => itself,
    }
}

/// The part of a regular expression that can only be matched by trying. The compiler refuses what this does not see; it only has no
/// words for it.
fn part_without_bound(pattern: &str) -> Option<&'static str> {
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '\\' => {
                let escaped = after.chars().next();
                if !in_class && escaped.is_some_and(|c| matches!(c, '1'..='9' | 'k')) {
                    return Some("a back-reference");
                }
                rest = after.get(escaped.map_or(0, char::len_utf8)..).unwrap_or_default();
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class && ["?=", "?!", "?<=", "?<!"].iter().any(|look| after.starts_with(look)) => {
                return Some("a look-around");
            }
            _ => {}
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_can_only_be_matched_by_trying_is_refused_by_its_name() {
        for (pattern, part) in [
            ("^(?=a)a$", Some("a look-around")),
            ("(?<!a)b", Some("a look-around")),
            (r"(a|aa)+\1", Some("a back-reference")),
            (r"(?<n>a)\k<n>", Some("a back-reference")),
            (r"^\\1\(?=$", None),
            (r"^[(?=\1]+$", None),
            (r"^(?:a)(?<n>b)\]$", None),
        ] {
            assert_eq!(part_without_bound(pattern), part, "{pattern}");
            assert_eq!(schema(&json!({"pattern": pattern})).is_err(), part.is_some(), "{pattern}");
            assert_eq!(schema(&json!({"patternProperties": {pattern: {}}})).is_err(), part.is_some(), "{pattern}");
        }
    }

    #[test]
    fn a_schema_of_known_cost_passes() {
        for (good, subschemas) in [
            (json!({}), 1),
            (json!({"$schema": DIALECT, "properties": {"a": {"type": "string"}, "b": true}}), 3),
            (
                json!({"$id": "https://acme.example/settings", "$defs": {"s": {"type": "string"}},
                    "properties": {"a": {"$ref": "#/$defs/s"}, "b": {"$ref": "#/$defs/s"}}}),
                6,
            ),
            // Names of properties, and values, are no keywords.
            (json!({"properties": {"$ref": {"type": "string"}, "$id": {}}, "default": {"$ref": "#"}}), 3),
        ] {
            assert_eq!(schema(&good).map(|cost| cost.subschemas), Ok(subschemas), "{good}");
        }
    }

    #[test]
    fn what_a_schema_lists_counts_as_its_subschemas_do() {
        for (good, count) in [
            (json!({"required": ["a", "b"]}), 4),
            (json!({"enum": [1, "a", [true]]}), 6),
            (json!({"const": {"a": 1}}), 4),
            (json!({"dependentRequired": {"a": ["b"]}}), 5),
            (json!({"dependencies": {"a": ["b"], "c": {}}}), 4),
            (json!({"not": {"type": "string"}}), 5),
            (json!({"const": "x".repeat(TEXT_PER_VALUE)}), 3),
            (json!({"pattern": "x".repeat(TEXT_PER_VALUE)}), 2),
            (json!({"$defs": {"r": {"required": ["a"]}}, "allOf": [{"$ref": "#/$defs/r"}, {"$ref": "#/$defs/r"}]}), 12),
        ] {
            assert_eq!(schema(&good).map(|cost| cost.subschemas), Ok(count), "{good}");
        }
        let names: Vec<String> = (0..700).map(|n| format!("n{n}")).collect();
        let text = "x".repeat(700 * TEXT_PER_VALUE);
        for listing in [
            json!({"required": names}),
            json!({"enum": names}),
            json!({"enum": [text]}),
            json!({"const": names}),
            json!({"dependentRequired": {"a": names}}),
            json!({"dependencies": {"a": names}}),
            json!({"not": {"description": text}}),
        ] {
            let of =
                |count: usize| json!({"$defs": {"r": listing}, "allOf": vec![json!({"$ref": "#/$defs/r"}); count]});
            assert!(schema(&of(1)).is_ok());
            let why = schema(&of(2)).expect_err("three lists of 700");
            assert!(why.contains("more than 2000 subschemas and listed values"), "{why}");
        }
    }

    #[test]
    fn the_names_that_lead_to_a_subschema_count() {
        let below = |name: &str| {
            let inner: Map<String, Value> = (0..20).map(|n| (format!("p{n}"), json!({}))).collect();
            json!({"properties": {name: {"properties": inner}}, "dependencies": {name: {}}})
        };
        assert_eq!(schema(&below("x")).map(|cost| cost.subschemas), Ok(23));
        let why = schema(&below(&"x".repeat(100 * TEXT_PER_VALUE))).expect_err("22 paths of 100 units");
        assert!(why.contains("more than 2000 subschemas"), "{why}");
        let name = "x".repeat(100 * TEXT_PER_VALUE);
        let reference = json!({"$ref": format!("#/$defs/{name}")});
        let by_reference = json!({"$defs": {name: {}}, "allOf": vec![reference; 20]});
        assert!(schema(&by_reference).is_err_and(|why| why.contains("more than 2000 subschemas")));
    }

    #[test]
    fn what_would_cost_without_end_or_look_elsewhere_is_refused() {
        let doubling: Map<String, Value> = (0..20)
            .map(|n| {
                let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
                (format!("d{n}"), json!({"allOf": [next, next]}))
            })
            .chain([("d20".to_owned(), json!({}))])
            .collect();
        let mut deep = json!({});
        for _ in 0..80 {
            deep = json!({"items": deep});
        }
        let patterns = |count: usize| -> Value {
            (0..count).map(|n| (format!("p{n}"), json!({"pattern": "^a$"}))).collect::<Map<_, _>>().into()
        };
        for (bad, rule) in [
            (json!([]), "not a JSON object"),
            (json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "another dialect"),
            (json!({"$ref": "#"}), "refers to itself"),
            (json!({"properties": {"a": {"$ref": "#/properties/a"}}}), "refers to itself"),
            (
                json!({"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
                "refers to itself",
            ),
            (json!({"$defs": doubling, "$ref": "#/$defs/d0"}), "more than 2000 subschemas"),
            (deep, "within each other"),
            (json!({"allOf": [{"unevaluatedProperties": {}}]}), "unevaluatedProperties below its root"),
            (json!({"$ref": "https://evil.example/schema"}), "not to a place in it"),
            (json!({"items": {"$ref": "file:///etc/passwd"}}), "not to a place in it"),
            (json!({"$ref": "#name"}), "not to a place in it"),
            (json!({"$ref": "#/$defs/none"}), "leads to nothing"),
            (json!({"dependencies": {"a": {"$ref": "#"}}}), "refers to itself"),
            (json!({"additionalItems": {"$ref": "#"}}), "refers to itself"),
            (json!({"$dynamicRef": "#a"}), "has $dynamicRef"),
            (json!({"properties": {"a": {"$id": "https://evil.example/"}}}), "an $id below its root"),
            (json!({"pattern": "a".repeat(1_025)}), "longer than 1024 bytes"),
            (json!({"properties": patterns(65)}), "more than 64 patterns"),
        ] {
            let why = schema(&bad).expect_err(rule);
            assert!(why.contains(rule), "{why} lacks {rule}");
        }
        assert!(schema(&json!({"properties": patterns(64)})).is_ok());
    }
}
