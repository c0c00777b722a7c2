//! YAML as AWS's exports are laid out: texts in double quotation marks, names plain where they can be, lists at the
//! level of what they belong to.

use serde_json::Value;

/// A document as text.
pub(crate) fn print(value: &Value) -> String {
    let mut text = "---".to_owned();
    member(value, 0, &mut text);
    text.push('\n');
    text
}

/// What stands behind `name:` or `---`.
fn member(value: &Value, depth: usize, to: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            to.push('\n');
            object(members, depth, to);
        }
        Value::Array(items) if !items.is_empty() => {
            to.push('\n');
            // A list stands at the level of the name that it belongs to.
            list(items, depth.saturating_sub(1), to);
        }
        scalar => {
            to.push(' ');
            leaf(scalar, to);
        }
    }
}

fn object(members: &serde_json::Map<String, Value>, depth: usize, to: &mut String) {
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            to.push('\n');
            indent(depth, to);
        } else if to.ends_with('\n') {
            indent(depth, to);
        }
        if is_plain(name) {
            to.push_str(name);
        } else {
            quoted(name, to);
        }
        to.push(':');
        member(value, depth + 1, to);
    }
}

fn list(items: &[Value], depth: usize, to: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            to.push('\n');
            indent(depth, to);
        } else if to.ends_with('\n') {
            indent(depth, to);
        }
        to.push_str("- ");
        match item {
            Value::Object(members) if !members.is_empty() => object(members, depth + 1, to),
            Value::Array(inner) if !inner.is_empty() => list(inner, depth + 1, to),
            scalar => leaf(scalar, to),
        }
    }
}

fn leaf(value: &Value, to: &mut String) {
    match value {
        Value::String(text) => quoted(text, to),
        Value::Object(_) => to.push_str("{}"),
        Value::Array(_) => to.push_str("[]"),
        other => to.push_str(&other.to_string()),
    }
}

fn indent(depth: usize, to: &mut String) {
    to.extend(std::iter::repeat_n("  ", depth));
}

/// JSON's quotation is YAML's, except for a few characters that YAML takes for line ends or refuses.
fn quoted(text: &str, to: &mut String) {
    let json = Value::String(text.to_owned()).to_string();
    for letter in json.chars() {
        match letter {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                to.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            other => to.push(other),
        }
    }
}

/// Whether a name can stand without quotation marks and remain text.
fn is_plain(name: &str) -> bool {
    let inside = |letter: char| letter.is_ascii_alphanumeric() || "/_-.{}+$".contains(letter);
    let first = |letter: char| letter.is_ascii_alphabetic() || "/_$".contains(letter);
    // What YAML 1.1 or 1.2 reads as something else than text.
    let word = matches!(
        name.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    name.chars().next().is_some_and(first) && name.chars().all(inside) && !word
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use stagedoor_openapi::Document;

    fn check(value: Value, expected: &str) {
        assert_eq!(print(&value), expected);
    }

    #[test]
    fn as_aws_lays_it_out() {
        let document = json!({
            "swagger": "2.0",
            "schemes": ["https"],
            "paths": {"/{id}": {"get": {"responses": {"200": {"description": "d"}}, "security": [{"k": []}]}}},
            "empty": {},
        });
        let expected = concat!(
            "---\nswagger: \"2.0\"\nschemes:\n- \"https\"\npaths:\n  /{id}:\n    get:\n      responses:\n        ",
            "\"200\":\n          description: \"d\"\n      security:\n      - k: []\nempty: {}\n"
        );
        check(document, expected);
        check(
            json!([[1, [2]], {"a": [{"b": null, "c": 1}]}]),
            "---\n- - 1\n  - - 2\n- a:\n  - b: null\n    c: 1\n",
        );
        check(
            json!({"yes": true, "4\\d{2}": "a\nb\u{85}"}),
            "---\n\"yes\": true\n\"4\\\\d{2}\": \"a\\nb\\u0085\"\n",
        );
    }

    proptest! {
        #[test]
        fn reads_back(value in crate::exports::tests::any_value()) {
            let read = Document::parse(&print(&value)).unwrap().to_json();
            prop_assert_eq!(read, value);
        }
    }
}
