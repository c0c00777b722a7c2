//! Who may invoke a function: its resource policy, as far as `AddPermission` can write one.
//!
//! AWS evaluates the policy for callers that are services; API Gateway is the only such caller here. A statement is read
//! once, when the function is registered, so that a call compares texts and parses nothing.

use serde_json::Value;

/// The service that calls on behalf of a method or an authorizer.
const API_GATEWAY: &str = "apigateway.amazonaws.com";

/// What one statement asks of a call by API Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permission {
    /// The pattern that the caller's ARN must fit.
    source_arn: Option<String>,
    source_account: Option<String>,
}

impl Permission {
    /// Reads a statement; none if it does not concern API Gateway's calls.
    pub(crate) fn from_statement(statement: &Value) -> Option<Self> {
        let action = statement.get("Action")?.as_str()?;
        if !glob(&action.to_ascii_lowercase(), "lambda:invokefunction") {
            return None;
        }
        let principal = statement.get("Principal")?;
        let named = match principal {
            Value::String(any) => any == "*",
            other => other.get("Service").and_then(Value::as_str) == Some(API_GATEWAY),
        };
        if !named {
            return None;
        }
        let mut permission = Self::default();
        for (operator, keys) in statement.get("Condition").and_then(Value::as_object).into_iter().flatten() {
            for (key, value) in keys.as_object().into_iter().flatten() {
                let value = value.as_str().map(str::to_owned);
                match (operator.as_str(), key.to_ascii_lowercase().as_str()) {
                    ("ArnLike", "aws:sourcearn") => permission.source_arn = value,
                    ("StringEquals", "aws:sourceaccount") => permission.source_account = value,
                    // A service that calls belongs to no organisation and brings no token: never true for it.
                    _ => return None,
                }
            }
        }
        Some(permission)
    }

    /// Whether a call from this ARN fits.
    pub(crate) fn allows(&self, caller: &str) -> bool {
        let account = caller.split(':').nth(4).unwrap_or_default();
        self.source_arn.as_deref().is_none_or(|pattern| arn_like(pattern, caller))
            && self.source_account.as_deref().is_none_or(|wanted| wanted == account)
    }
}

/// `ArnLike`: each of the six parts by itself, so that `*` does not reach over a colon before the last part.
///
/// An empty account or region in the pattern fits any: Terraform writes ARNs without an account when it is told not to
/// ask for it (`skip_requesting_account_id`), which it never is in front of AWS.
fn arn_like(pattern: &str, arn: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.splitn(6, ':'), arn.splitn(6, ':'));
    for at in 0..6 {
        let (Some(pattern), Some(part)) = (patterns.next(), parts.next()) else { return false };
        let open = pattern.is_empty() && (at == 3 || at == 4);
        if !open && !glob(pattern, part) {
            return false;
        }
    }
    true
}

/// `*` stands for any text, `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == byte => {
                at += 1;
                seen += 1;
            }
            _ => match &mut star {
                Some((place, taken)) => {
                    *taken += 1;
                    at = *place + 1;
                    seen = *taken;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const CALLER: &str = "arn:aws:execute-api:us-east-1:000000000000:abc123/prod/GET/pets/{id}";

    fn check(principal: Value, action: &str, condition: Value, expected: bool) {
        let statement = json!({
            "Sid": "s", "Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition,
        });
        let allowed = Permission::from_statement(&statement).is_some_and(|found| found.allows(CALLER));
        assert_eq!(allowed, expected, "{statement}");
    }

    #[test]
    fn statements_allow_what_aws_would_allow() {
        let gateway = || json!({ "Service": "apigateway.amazonaws.com" });
        let invoke = "lambda:InvokeFunction";
        check(gateway(), invoke, json!({}), true);
        check(json!("*"), "lambda:*", json!({}), true);
        check(json!({ "Service": "s3.amazonaws.com" }), invoke, json!({}), false);
        check(json!({ "AWS": "arn:aws:iam::000000000000:root" }), invoke, json!({}), false);
        check(gateway(), "lambda:GetFunction", json!({}), false);
        check(gateway(), "lambda:InvokeFunctionUrl", json!({}), false);
        check(gateway(), invoke, json!({ "StringEquals": { "AWS:SourceAccount": "000000000000" } }), true);
        check(gateway(), invoke, json!({ "StringEquals": { "AWS:SourceAccount": "111111111111" } }), false);
        check(gateway(), invoke, json!({ "StringEquals": { "aws:PrincipalOrgID": "o-1" } }), false);
        for (pattern, expected) in [
            ("arn:aws:execute-api:us-east-1:000000000000:abc123/*/*", true),
            ("arn:aws:execute-api:us-east-1:000000000000:abc123/*/GET/pets/*", true),
            ("arn:aws:execute-api:us-east-1:000000000000:abc123/prod/GET/pets/{id}", true),
            ("arn:aws:execute-api:us-east-1:000000000000:abc123/*/POST/pets/*", false),
            ("arn:aws:execute-api:us-east-1:000000000000:other/*", false),
            ("arn:aws:execute-api:us-east-1:111111111111:abc123/*", false),
            ("arn:aws:execute-api:us-east-1::abc123/*", true),
            ("arn:aws:*", false),
            ("*", false),
        ] {
            check(gateway(), invoke, json!({ "ArnLike": { "AWS:SourceArn": pattern } }), expected);
        }
    }

    proptest! {
        #[test]
        fn a_text_fits_itself_and_a_star(text in "[a-z/:]{0,20}") {
            prop_assert!(glob(&text, &text));
            prop_assert!(glob("*", &text));
            let starred = format!("*{}*", text.get(1..2).unwrap_or_default());
            prop_assert!(glob(&starred, &text));
        }

        #[test]
        fn any_pattern_ends(pattern in "[ab*?]{0,12}", text in "[ab]{0,12}") {
            // The same by recursion, which is slow and plain.
            fn plain(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => plain(rest, text) || text.split_first().is_some_and(|(_, t)| plain(pattern, t)),
                    (Some((p, rest)), Some((t, left))) => (*p == b'?' || p == t) && plain(rest, left),
                    _ => false,
                }
            }
            prop_assert_eq!(glob(&pattern, &text), plain(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
