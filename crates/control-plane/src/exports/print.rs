//! JSON as AWS's exports are laid out: two blanks a level, a blank on both sides of a colon, lists on one line.

use serde_json::Value;

/// A document as text.
pub(crate) fn print(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

/// Documents are as deep as imports allow, so the depth of this recursion is bounded as well.
fn write(value: &Value, depth: usize, to: &mut String) {
    match value {
        Value::Object(members) if members.is_empty() => to.push_str("{ }"),
        Value::Object(members) => {
            to.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                to.push_str(if index == 0 { "\n" } else { ",\n" });
                indent(depth + 1, to);
                to.push_str(&Value::String(name.clone()).to_string());
                to.push_str(" : ");
                write(value, depth + 1, to);
            }
            to.push('\n');
            indent(depth, to);
            to.push('}');
        }
        Value::Array(items) if items.is_empty() => to.push_str("[ ]"),
        Value::Array(items) => {
            to.push_str("[ ");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    to.push_str(", ");
                }
                write(item, depth, to);
            }
            to.push_str(" ]");
        }
        scalar => to.push_str(&scalar.to_string()),
    }
}

fn indent(depth: usize, to: &mut String) {
    to.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(value: Value, expected: &str) {
        assert_eq!(print(&value), expected);
    }

    #[test]
    fn as_aws_lays_it_out() {
        check(json!({"a": {}, "b": [], "c": 1}), "{\n  \"a\" : { },\n  \"b\" : [ ],\n  \"c\" : 1\n}");
        check(json!({"a": [{"b": "x\n"}, "y"]}), "{\n  \"a\" : [ {\n    \"b\" : \"x\\n\"\n  }, \"y\" ]\n}");
    }

    proptest! {
        #[test]
        fn reads_back(value in crate::exports::tests::any_value()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&print(&value)).unwrap(), value);
        }
    }
}
