//! What is kept of an answer, and how much.

use super::*;
use serde_json::json;

const SHAPE: Shape = Shape::Keys(&[
    ("text", Shape::Plain),
    ("list", Shape::Each(2, &Shape::Keys(&[("id", Shape::Plain)]))),
    ("either", Shape::PlainOr(&Shape::Keys(&[("id", Shape::Plain)]))),
    ("marker", Shape::Keys(&[])),
]);

fn kept(text: &str) -> Value {
    read(text.as_bytes(), &SHAPE, &Room::new()).unwrap()
}

#[test]
fn only_the_named_keys_are_kept_and_only_so_many_elements() {
    let text = r#"{"other": {"a": [1, {"b": 2}]}, "text": "x", "list": [{"id": 1, "more": [2]}, {}, {"id": 3}], "marker": {"a": 1}}"#;
    assert_eq!(kept(text), json!({"text": "x", "list": [{"id": 1}, {}], "marker": {}}));
    assert_eq!(kept(r#"{"text": 7, "either": "x"}"#), json!({"text": 7, "either": "x"}));
    assert_eq!(kept(r#"{"text": true, "either": {"id": -1, "x": 2}}"#), json!({"text": true, "either": {"id": -1}}));
}

#[test]
fn a_value_of_another_type_is_as_one_that_is_not_there() {
    let text = r#"{"text": [{"a": 1}], "list": {"a": 1}, "either": [1], "marker": "x"}"#;
    assert_eq!(kept(text), json!({"text": null, "list": null, "either": null, "marker": null}));
    for text in ["7", "null", "[[[]]]", "\"x\""] {
        assert_eq!(kept(text), Value::Null, "{text}");
    }
    for text in ["", "{", "{} {}", r#"{"text": "#] {
        assert!(read(text.as_bytes(), &SHAPE, &Room::new()).is_err(), "{text}");
    }
}

#[test]
fn texts_are_cut_at_a_character() {
    let long = format!("x{}", "é".repeat(MAX_KEPT_TEXT));
    let Value::String(text) = kept(&json!({"text": long}).to_string())["text"].take() else { panic!("a text") };
    assert!(long.starts_with(&text) && (MAX_KEPT_TEXT - 1..=MAX_KEPT_TEXT).contains(&text.len()), "{}", text.len());
}

#[test]
fn what_is_kept_of_one_answer_is_bounded_in_values_and_in_bytes() {
    const ALL: Shape = Shape::Each(usize::MAX, &Shape::Plain);
    let room = Room::new();
    let fits = vec![0; MAX_VALUES - 1];
    assert_eq!(read(json!(fits).to_string().as_bytes(), &ALL, &room).unwrap(), json!(fits));
    assert!(!room.is_short());
    read(b"[0]", &ALL, &room).unwrap();
    assert!(room.is_short(), "the room is that of all that is read into it");
    // A list of values of another type is no way around it.
    const OTHERS: Shape = Shape::Each(usize::MAX, &Shape::Keys(&[]));
    for element in ["0", "null", "\"\"", "[]", "true"] {
        let room = Room::new();
        let text = format!("[{element}{}]", format!(",{element}").repeat(2 * MAX_VALUES));
        let kept = read(text.as_bytes(), &OTHERS, &room).unwrap();
        assert!(room.is_short() && kept.as_array().unwrap().len() <= MAX_VALUES, "{element}");
    }
    let room = Room::new();
    let names = vec!["x".repeat(MAX_NAME); MAX_NAMES / MAX_NAME + 1];
    let kept = read(json!(names).to_string().as_bytes(), &ALL, &room).unwrap();
    let bytes: usize = kept.as_array().unwrap().iter().filter_map(Value::as_str).map(str::len).sum();
    assert!(room.is_short() && bytes == MAX_NAMES, "{bytes}");
}

#[test]
fn messages_are_left_blank_where_there_is_no_more_room_for_them_and_names_are_not() {
    const ALL: Shape = Shape::Each(usize::MAX, &Shape::Plain);
    let room = Room::new();
    let mut texts = vec!["x".repeat(MAX_KEPT_TEXT); MAX_TEXTS / MAX_KEPT_TEXT + 1];
    texts.push("name".to_owned());
    let kept = read(json!(texts).to_string().as_bytes(), &ALL, &room).unwrap();
    let kept: Vec<&str> = kept.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let bytes: usize = kept.iter().map(|text| text.len()).sum();
    assert!(!room.is_short() && bytes == MAX_TEXTS + 4, "{bytes}");
    assert_eq!((kept.len(), kept[kept.len() - 2..].to_vec()), (texts.len(), vec!["", "name"]));
}

#[test]
fn elements_that_do_not_pass_take_no_room() {
    const ODD: Shape = Shape::EachThat(3, &Shape::Plain, |value| value.as_u64().is_some_and(|number| number % 2 == 1));
    let room = Room::new();
    let text = format!("[{}1,2,3]", "0,".repeat(2 * MAX_VALUES));
    assert_eq!(read(text.as_bytes(), &ODD, &room).unwrap(), json!([1, 3]));
    assert!(!room.is_short() && room.left()[0] == MAX_VALUES - 3, "{room:?}");
    assert_eq!(read(b"[1,3,5,7]", &ODD, &room).unwrap(), json!([1, 3, 5]));
}

#[test]
fn an_object_tells_its_metadata_leniently() {
    const OBJECT: Shape = Shape::Keys(&[METADATA]);
    let object = ClusterObject::of(
        &json!({"metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 3, "finalizers": ["x"],
            "creationTimestamp": "2026-01-02T03:04:05Z", "managedFields": [{"time": "2026-01-02T03:04:06Z"}, {"time": 7}]}}),
        &OBJECT,
    );
    assert_eq!(
        (object.name(), object.namespace(), object.uid(), object.generation()),
        ("a", Some("n"), Some("u"), Some(3))
    );
    assert!(object.has_finalizer("x") && !object.has_finalizer("y") && !object.is_leaving());
    assert_eq!(object.times().count(), 2);
    let strange =
        ClusterObject::of(&json!({"metadata": {"name": [], "uid": "", "generation": "x", "finalizers": 7}}), &OBJECT);
    assert_eq!((strange.name(), strange.uid(), strange.generation()), ("", None, None));
    assert!(!strange.has_finalizer("x") && strange.times().count() == 0);
}
