//! Resource policies as API Gateway keeps and answers them. What they allow is decided where requests are served.

use serde_json::{Map, Value};
use stagedoor_policy::{Kind, Policy};

use crate::ApiError;

/// The members of a policy and of its statements, in the order in which AWS writes them.
const ORDER: [&str; 12] = [
    "Version",
    "Id",
    "Statement",
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// A policy as it is kept: on one line, with `execute-api:/…` spelled out as the API's own ARN, accounts as the ARNs of
/// their roots, a list of one as that one, and members in AWS's order.
///
/// # Errors
/// [`ApiError::BadRequest`] if it is no policy.
pub fn stored(policy: &str, api_arn: &str) -> Result<String, ApiError> {
    let invalid = || {
        ApiError::BadRequest(
            "Invalid policy document. Please check the policy syntax and ensure that Principals are valid."
                .to_owned(),
        )
    };
    let mut policy: Value = serde_json::from_str(policy).map_err(|_| invalid())?;
    let statements = policy.get_mut("Statement").ok_or_else(invalid)?;
    let statements = match statements {
        Value::Array(statements) => statements.iter_mut().collect(),
        statement => vec![statement],
    };
    for statement in statements {
        let statement = statement.as_object_mut().ok_or_else(invalid)?;
        let has_effect = matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny"));
        if !has_effect {
            return Err(invalid());
        }
        for name in ["Resource", "NotResource"] {
            match statement.get_mut(name) {
                Some(Value::String(resource)) => *resource = expanded(resource, api_arn),
                Some(Value::Array(resources)) => {
                    for resource in resources {
                        if let Value::String(resource) = resource {
                            *resource = expanded(resource, api_arn);
                        }
                    }
                }
                _ => {}
            }
        }
        for name in ["Action", "NotAction", "Resource", "NotResource"] {
            statement.get_mut(name).map(unlisted);
        }
        for name in ["Principal", "NotPrincipal"] {
            let kinds = statement.get_mut(name).and_then(Value::as_object_mut);
            for (kind, values) in kinds.into_iter().flatten() {
                unlisted(values);
                if kind == "AWS" {
                    accounts_spelled_out(values, api_arn);
                }
            }
        }
        in_order(statement);
    }
    policy.as_object_mut().map(in_order);
    Policy::from_value(&policy, Kind::Resource).map_err(|_| invalid())?;
    Ok(policy.to_string())
}

/// A list of one is kept as that one.
fn unlisted(value: &mut Value) {
    if let Some([one]) = value.as_array_mut().map(Vec::as_mut_slice) {
        *value = one.take();
    }
}

/// The id of an account is kept as the ARN of its root.
fn accounts_spelled_out(values: &mut Value, api_arn: &str) {
    let partition = api_arn.split(':').nth(1).unwrap_or("aws");
    let values = match values {
        Value::Array(values) => values.as_mut_slice(),
        value => std::slice::from_mut(value),
    };
    for value in values {
        if let Value::String(text) = value
            && text.len() == 12
            && text.bytes().all(|byte| byte.is_ascii_digit())
        {
            *text = format!("arn:{partition}:iam::{text}:root");
        }
    }
}

fn in_order(members: &mut Map<String, Value>) {
    let mut found: Vec<_> = std::mem::take(members).into_iter().collect();
    found.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
    members.extend(found);
}

fn expanded(resource: &str, api_arn: &str) -> String {
    match resource.strip_prefix("execute-api:") {
        Some(rest) => format!("{api_arn}{}{rest}", if rest.starts_with('/') { "" } else { "/" }),
        None => resource.to_owned(),
    }
}

/// A policy as it is answered: AWS escapes it as if it stood inside another JSON string, once more than needed, and the
/// slashes too.
pub(crate) fn answered(policy: &str) -> String {
    let quoted = Value::String(policy.to_owned()).to_string();
    quoted.trim_start_matches('"').strip_suffix('"').unwrap_or(&quoted).replace('/', "\\/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &str, expected: &str) {
        let found = match stored(policy, "arn:aws:execute-api:r:a:api") {
            Ok(found) => found,
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn policies_are_completed() {
        check(
            r#"{ "Statement": [{"Action": "*", "Effect": "Allow", "Resource": "execute-api:/*", "Principal": "*"}], "Version": "2012-10-17" }"#,
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:"#,
        );
        check(
            r#"{"Statement": {"Effect": "Deny", "Resource": ["execute-api:/dev/GET/a"], "Action": "*", "Principal": "*"}}"#,
            "r:a:api/dev/GET/a",
        );
        check(
            r#"{"Statement": {"Effect": "Deny", "Resource": "*", "Action": "*", "Principal": {"AWS": ["111111111111"]}}}"#,
            r#""Principal":{"AWS":"arn:aws:iam::111111111111:root"}"#,
        );
        check(
            r#"{"Statement": {"Effect": "Allow", "Resource": ["*"], "Action": ["*"], "Principal": {"AWS": ["*"]}}}"#,
            r#""Principal":{"AWS":"*"},"Action":"*","Resource":"*""#,
        );
        let nobody =
            r#"{"Statement": [{"Effect": "Allow", "Resource": "*", "Action": "*", "Principal": "x"}]}"#;
        for wrong in
            ["", "{}", "[]", nobody, r#"{"Statement": [1]}"#, r#"{"Statement": [{"Effect": "Perhaps"}]}"#]
        {
            check(wrong, "Invalid policy document");
        }
    }

    #[test]
    fn answers_escape_once_more() {
        assert_eq!(answered(r#"{"a":"b/c"}"#), r#"{\"a\":\"b\/c\"}"#);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_policy_or_refused(text in r#"[\[\]{}":,a-zA-Z]{0,40}"#) {
            if let Ok(found) = stored(&text, "arn") {
                // What is kept is a policy again.
                assert_eq!(stored(&found, "arn").unwrap(), found);
            }
        }
    }
}
