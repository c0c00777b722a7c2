//! What shows in AWS's answers of the language that its services are written in.

/// The order in which AWS lists the values of an enumeration: that of a hash table of 32 places, which all recorded
/// messages agree with. Larger sets grow the table.
pub(crate) fn set_order<'a>(values: &[&'a str]) -> Vec<&'a str> {
    let mut places: u32 = 32;
    // A table is three quarters full at most.
    while values.len() * 4 > places as usize * 3 {
        places *= 2;
    }
    // Of values at the same place the later one is listed first.
    let mut ordered: Vec<&str> = values.iter().rev().copied().collect();
    ordered.sort_by_key(|value| hash(value) & (places - 1));
    ordered
}

fn hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// The class that a JSON value is read into.
pub(crate) fn class(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Bool(_) => "class java.lang.Boolean",
        serde_json::Value::Number(_) => "class com.amazon.coral.value.json.numbers.TruncatingBigNumber",
        _ => "class java.lang.String",
    }
}

/// A value as a message shows it.
pub(crate) fn show(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => {
            let items: Vec<String> = items.iter().map(show).collect();
            format!("[{}]", items.join(", "))
        }
        serde_json::Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}={}", show(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_values_in_recorded_order() {
        let check = |values: &[&str], expected: &str| assert_eq!(set_order(values).join(", "), expected);
        check(&["REGIONAL", "EDGE", "PRIVATE"], "PRIVATE, EDGE, REGIONAL");
        check(&["ipv4", "dualstack"], "ipv4, dualstack");
        check(&["HTTP", "AWS", "MOCK", "HTTP_PROXY", "AWS_PROXY"], "HTTP, MOCK, AWS_PROXY, HTTP_PROXY, AWS");
        check(
            &["add", "remove", "replace", "move", "copy", "test"],
            "add, remove, move, test, replace, copy",
        );
        check(
            stagedoor_shapes::apigateway::DocumentationPartType::NAMES,
            "RESPONSE_BODY, RESPONSE, METHOD, MODEL, AUTHORIZER, RESPONSE_HEADER, RESOURCE, PATH_PARAMETER, \
             REQUEST_BODY, QUERY_PARAMETER, API, REQUEST_HEADER",
        );
    }
}
