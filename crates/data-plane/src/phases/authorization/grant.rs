//! What an authorizer function's answer says: read once, remembered, and asked again for each request.
//!
//! The core is the same for all kinds of APIs. REST APIs know the policy format alone and make text of the context's
//! values; HTTP APIs know simple answers as well and keep the values as they are.

use serde_json::{Map, Value};
use stagedoor_policy::{Kind, Policy};

use crate::lambda::LambdaAnswer;

/// The longest resource in a returned policy, in characters.
const RESOURCE_CHARS_MAX: usize = 512;
/// The longest answer of a WebSocket API's authorizer function, in bytes.
const SOCKET_ANSWER_BYTES_MAX: usize = 8 * 1024;

/// What an authorizer function decided about an identity.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What the identity may call.
    pub access: Access,
    /// `$context.authorizer.principalId`.
    pub principal_id: Option<Box<str>>,
    /// `$context.authorizer.*`.
    pub context: Map<String, Value>,
    /// The API key that the request counts for, where the API takes it from the authorizer.
    pub usage_identifier_key: Option<Box<str>>,
}

/// What an identity may call.
#[derive(Clone, Debug)]
pub enum Access {
    /// What the policy allows.
    Policy(Policy),
    /// All or nothing.
    Simple(bool),
}

/// Why there is no grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizerError {
    /// The caller is not known: an identity source is missing or does not look right, or the function said so.
    Unauthorized(String),
    /// The function failed.
    Failed(String),
    /// The function answered something that is no answer.
    Malformed(String),
    /// The function could not be called.
    Refused {
        /// What Lambda gave for a status, if it was asked.
        status: Option<u16>,
        /// Why.
        reason: String,
    },
    /// The function did not answer in time.
    Failure(String),
}

impl AuthorizerError {
    /// The status that calling the function had; none if it had none.
    #[must_use]
    pub fn integration_status(&self) -> Option<u16> {
        match self {
            Self::Unauthorized(_) | Self::Failed(_) | Self::Malformed(_) => Some(200),
            Self::Refused { status, .. } => *status,
            Self::Failure(_) => None,
        }
    }
}

impl Grant {
    /// Reads the answer of a REST API's authorizer.
    ///
    /// # Errors
    /// [`AuthorizerError`]; nothing that fails may be remembered.
    pub fn read_rest(answer: &LambdaAnswer) -> Result<Self, AuthorizerError> {
        let mut grant = Self::read_policy(answer)?;
        let mut context = Map::new();
        for (name, value) in std::mem::take(&mut grant.context) {
            let text = match value {
                Value::String(text) => text,
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Null => continue,
                Value::Array(_) | Value::Object(_) => {
                    return Err(malformed(format!("context.{name} is an object or an array")));
                }
            };
            context.insert(name, Value::String(text));
        }
        Ok(Self { context, ..grant })
    }

    /// Reads the answer of a WebSocket API's authorizer, which may be 8 KB long.
    ///
    /// # Errors
    /// [`AuthorizerError`].
    pub fn read_socket(answer: &LambdaAnswer) -> Result<Self, AuthorizerError> {
        if answer.payload.len() > SOCKET_ANSWER_BYTES_MAX {
            return Err(malformed(format!("it is longer than {SOCKET_ANSWER_BYTES_MAX} bytes")));
        }
        Self::read_rest(answer)
    }

    /// Reads an answer that holds a policy; the context's values stay as they are.
    ///
    /// # Errors
    /// [`AuthorizerError`]; nothing that fails may be remembered.
    pub fn read_policy(answer: &LambdaAnswer) -> Result<Self, AuthorizerError> {
        let mut answer = object(answer)?;
        let principal_id = match answer.get("principalId") {
            Some(Value::String(id)) => id.as_str().into(),
            Some(id @ (Value::Number(_) | Value::Bool(_))) => id.to_string().into(),
            _ => return Err(malformed("there is no principalId")),
        };
        let document = answer.get("policyDocument").ok_or_else(|| malformed("there is no policyDocument"))?;
        let policy = returned_policy(document).map_err(malformed)?;
        let usage_identifier_key = match answer.get("usageIdentifierKey") {
            None | Some(Value::Null) => None,
            Some(Value::String(key)) => Some(key.as_str().into()),
            Some(_) => return Err(malformed("usageIdentifierKey is no text")),
        };
        Ok(Self {
            access: Access::Policy(policy),
            principal_id: Some(principal_id),
            context: context(&mut answer)?,
            usage_identifier_key,
        })
    }

    /// Reads a simple answer, as functions of HTTP APIs may give it.
    ///
    /// # Errors
    /// [`AuthorizerError`]; nothing that fails may be remembered.
    pub fn read_simple(answer: &LambdaAnswer) -> Result<Self, AuthorizerError> {
        let mut answer = object(answer)?;
        // Text that says "true" is none of it: AWS wants the truth value itself.
        let is_authorized = match answer.get("isAuthorized") {
            Some(Value::Bool(is_authorized)) => is_authorized,
            Some(_) => return Err(malformed("isAuthorized is no truth value")),
            None => return Err(malformed("Simple response did not include 'isAuthorized'")),
        };
        let access = Access::Simple(*is_authorized);
        Ok(Self { access, principal_id: None, context: context(&mut answer)?, usage_identifier_key: None })
    }
}

/// Reads the policy of an answer.
///
/// # Errors
/// What is wrong with it.
pub fn returned_policy(document: &Value) -> Result<Policy, String> {
    if longest_resource(document) > RESOURCE_CHARS_MAX {
        return Err(format!("a resource of the policy is longer than {RESOURCE_CHARS_MAX} characters"));
    }
    Policy::from_value(document, Kind::Returned).map_err(|error| format!("policyDocument: {error}"))
}

fn object(answer: &LambdaAnswer) -> Result<Map<String, Value>, AuthorizerError> {
    let read = serde_json::from_slice::<Value>(&answer.payload);
    if let Some(kind) = &answer.function_error {
        let message = read.as_ref().ok().and_then(|error| error.get("errorMessage")?.as_str());
        // This one word, and no other, is how a function says 401.
        return Err(match message {
            Some("Unauthorized") => AuthorizerError::Unauthorized("the function said so".to_owned()),
            message => AuthorizerError::Failed(format!(
                "the authorizer function failed ({kind}): {}",
                message.unwrap_or("no message")
            )),
        });
    }
    match read {
        Ok(Value::Object(answer)) => Ok(answer),
        _ => Err(malformed("it is no JSON object")),
    }
}

fn context(answer: &mut Map<String, Value>) -> Result<Map<String, Value>, AuthorizerError> {
    match answer.remove("context") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(context)) => Ok(context),
        Some(_) => Err(malformed("context is no object")),
    }
}

fn longest_resource(document: &Value) -> usize {
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(statement) => std::slice::from_ref(statement),
        None => &[],
    };
    let resources = statements.iter().flat_map(|statement| {
        let elements = ["Resource", "NotResource"].into_iter().filter_map(|name| statement.get(name));
        elements.flat_map(|element| match element {
            Value::Array(resources) => resources.as_slice(),
            resource => std::slice::from_ref(resource),
        })
    });
    resources.filter_map(Value::as_str).map(|resource| resource.chars().count()).max().unwrap_or(0)
}

fn malformed(detail: impl std::fmt::Display) -> AuthorizerError {
    AuthorizerError::Malformed(detail.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(payload: &Value, function_error: Option<&str>) -> LambdaAnswer {
        let function_error = function_error.map(str::to_owned);
        LambdaAnswer { payload: payload.to_string().into(), function_error, executed_version: String::new() }
    }

    fn with(name: &str, value: Value) -> Value {
        let statement = json!({"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"});
        let policy = json!({"Version": "2012-10-17", "Statement": [statement]});
        let mut answer = json!({"principalId": "ann", "policyDocument": policy});
        answer[name] = value;
        answer
    }

    fn check(payload: Value, expected: &str) {
        let shown = match Grant::read_rest(&answer(&payload, None)) {
            Ok(grant) => Value::Object(grant.context).to_string(),
            Err(AuthorizerError::Malformed(error)) => error,
            Err(other) => format!("{other:?}"),
        };
        assert!(shown.contains(expected), "{payload}: {shown}");
    }

    #[test]
    fn answers_of_rest_authorizers() {
        check(
            with("context", json!({"a": "x", "b": 1, "c": true, "d": null})),
            r#"{"a":"x","b":"1","c":"true"}"#,
        );
        check(with("context", Value::Null), "{}");
        check(with("context", json!({"a": {}})), "context.a is an object or an array");
        check(with("context", json!({"a": []})), "context.a is an object or an array");
        check(with("context", json!("text")), "context is no object");
        check(with("principalId", Value::Null), "there is no principalId");
        check(with("principalId", json!(7)), "{}");
        check(with("policyDocument", Value::Null), "Syntax errors in policy.");
        check(with("policyDocument", json!("{}")), "Syntax errors in policy.");
        check(with("usageIdentifierKey", json!(1)), "usageIdentifierKey is no text");
        let long = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "x".repeat(513)}]});
        check(with("policyDocument", long), "longer than 512 characters");
        check(json!("text"), "no JSON object");
        check(Value::Null, "no JSON object");
    }

    #[test]
    fn failures_of_functions() {
        let check = |message: Value, unauthorized: bool| {
            let failed = answer(&json!({"errorMessage": message}), Some("Unhandled"));
            let error = Grant::read_rest(&failed).unwrap_err();
            assert_eq!(matches!(error, AuthorizerError::Unauthorized(_)), unauthorized, "{message}");
        };
        check(json!("Unauthorized"), true);
        check(json!("unauthorized"), false);
        check(json!("Unauthorized: no token"), false);
        check(Value::Null, false);
    }

    #[test]
    fn simple_answers() {
        let check = |payload: Value, expected: Option<bool>| {
            let found = Grant::read_simple(&answer(&payload, None)).ok().map(|grant| match grant.access {
                Access::Simple(is_authorized) => is_authorized,
                Access::Policy(_) => panic!("a simple answer holds no policy"),
            });
            assert_eq!(found, expected, "{payload}");
        };
        check(json!({"isAuthorized": true}), Some(true));
        check(json!({"isAuthorized": false, "context": {"a": [1]}}), Some(false));
        check(json!({"isAuthorized": "true"}), None);
        check(json!({"isAuthorized": 1}), None);
        check(json!({}), None);
        check(json!(true), None);
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_or_refused(payload in r#"[\[\]{}":,a-zA-Z]{0,60}"#) {
            let answer = LambdaAnswer { payload: payload.into(), function_error: None, executed_version: String::new() };
            let _ = (Grant::read_rest(&answer), Grant::read_simple(&answer));
        }
    }
}
