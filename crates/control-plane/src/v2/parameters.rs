//! Parameter mappings of HTTP APIs as far as a definition shows whether they can be: which parameter is changed and how,
//! and what the parameters of a first-class service integration are.
//!
//! Sources: the developer guide's pages "Transform API requests and responses" and "Integration subtype reference".

use std::collections::BTreeMap;

use crate::ApiError;
use crate::control_plane::bad_request;

/// A first-class service integration: its subtype, the parameters that it needs, and those that it may have.
pub(super) struct Subtype {
    pub(super) name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

pub(super) const SUBTYPES: &[Subtype] = &[
    Subtype {
        name: "EventBridge-PutEvents",
        required: &["Detail", "DetailType", "Source"],
        optional: &["Time", "EventBusName", "Resources", "Region", "TraceHeader"],
    },
    Subtype {
        name: "SQS-SendMessage",
        required: &["QueueUrl", "MessageBody"],
        optional: &[
            "DelaySeconds",
            "MessageAttributes",
            "MessageDeduplicationId",
            "MessageGroupId",
            "MessageSystemAttributes",
            "Region",
        ],
    },
    Subtype {
        name: "SQS-ReceiveMessage",
        required: &["QueueUrl"],
        optional: &[
            "AttributeNames",
            "AttributeName",
            "MaxNumberOfMessages",
            "MessageAttributeNames",
            "ReceiveRequestAttemptId",
            "VisibilityTimeout",
            "WaitTimeSeconds",
            "Region",
        ],
    },
    Subtype { name: "SQS-DeleteMessage", required: &["ReceiptHandle", "QueueUrl"], optional: &["Region"] },
    Subtype { name: "SQS-PurgeQueue", required: &["QueueUrl"], optional: &["Region"] },
    Subtype {
        name: "AppConfig-GetConfiguration",
        required: &["Application", "Environment", "Configuration", "ClientId"],
        optional: &["ClientConfigurationVersion", "Region"],
    },
    Subtype {
        name: "Kinesis-PutRecord",
        required: &["StreamName", "Data", "PartitionKey"],
        optional: &["SequenceNumberForOrdering", "ExplicitHashKey", "Region"],
    },
    Subtype {
        name: "StepFunctions-StartExecution",
        required: &["StateMachineArn"],
        optional: &["Name", "Input", "Region"],
    },
    Subtype {
        name: "StepFunctions-StartSyncExecution",
        required: &["StateMachineArn"],
        optional: &["Name", "Input", "Region", "TraceHeader"],
    },
    Subtype {
        name: "StepFunctions-StopExecution",
        required: &["ExecutionArn"],
        optional: &["Cause", "Error", "Region"],
    },
];

/// Parameters of services that are no text: AWS takes no constant for them.
const STRUCTURES: [&str; 2] = ["MessageAttributes", "MessageSystemAttributes"];

impl Subtype {
    /// Finds a subtype by its name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        SUBTYPES.iter().find(|subtype| subtype.name == name)
    }

    /// Checks the parameters of an integration of this subtype.
    pub(super) fn check(&self, parameters: Option<&BTreeMap<String, String>>) -> Result<(), ApiError> {
        let given = |name: &str| parameters.is_some_and(|parameters| parameters.contains_key(name));
        if !self.required.iter().all(|name| given(name)) {
            return bad_request(format!(
                "Operation: {} requires enabling passthrough, or defining all of the following parameters in the parameter \
                 mapping: [{}]",
                self.name,
                self.required.join(", ")
            ));
        }
        for (name, source) in parameters.into_iter().flatten() {
            if !self.required.iter().chain(self.optional).any(|known| known == name) {
                return bad_request(format!("Parameter: {name} does not fit schema of {}", self.name));
            }
            let is_reference = references(source).next().is_some();
            if !is_source(source, "request.") || (STRUCTURES.contains(&name.as_str()) && !is_reference) {
                return bad_request(format!(
                    "Invalid selection expression specified: Validation Result: warnings : [], errors : [Invalid source: \
                     {source} specified for destination: {name}]"
                ));
            }
        }
        Ok(())
    }
}

/// Checks the request parameters of a proxy integration.
pub(super) fn check_request(parameters: &BTreeMap<String, String>) -> Result<(), ApiError> {
    for (target, source) in parameters {
        let (action, place) = target.split_once(':').unwrap_or(("", target));
        let fits = match place.split_once('.') {
            Some(("header", name)) => {
                check_header(name)?;
                is_change(action)
            }
            Some(("querystring", name)) => !name.is_empty() && is_change(action),
            None => place == "path" && action == "overwrite",
            Some(_) => false,
        };
        if !fits {
            return invalid(&format!("Invalid Request Actioned Parameter destination specified: {target}"));
        }
        check_source(source, target, "request.")?;
    }
    Ok(())
}

/// Checks the response parameters for one status.
pub(super) fn check_response(status: &str, parameters: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if !status.parse::<u16>().is_ok_and(|status| (200..600).contains(&status)) {
        return invalid(&format!("Status Code {status} is not valid."));
    }
    for (target, source) in parameters {
        let (action, place) = target.split_once(':').unwrap_or(("", target));
        let fits = match place.split_once('.') {
            Some(("header", name)) => {
                check_header(name)?;
                is_change(action)
            }
            None if place.eq_ignore_ascii_case("statuscode") && action == "overwrite" => {
                check_status(source)?;
                true
            }
            None => false,
            Some(_) => false,
        };
        if !fits {
            return invalid(&format!("Invalid Response Actioned Parameter destination specified: {target}"));
        }
        check_source(source, target, "response.")?;
    }
    Ok(())
}

fn is_change(action: &str) -> bool {
    matches!(action, "append" | "overwrite" | "remove")
}

fn check_source(source: &str, target: &str, side: &str) -> Result<(), ApiError> {
    match is_source(source, side) {
        true => Ok(()),
        false => invalid(&format!("Invalid source: {source} specified for destination: {target}")),
    }
}

/// Whether a value can be read: constants, and references to `side`, which is `request.` or `response.`.
fn is_source(source: &str, side: &str) -> bool {
    let place = source.trim_start_matches("${").trim_start_matches('$');
    let is_other_side = ["request.", "response."]
        .iter()
        .any(|known| place.starts_with(known) && source.starts_with('$') && *known != side);
    // Paths into bodies neither look for something at any depth nor filter.
    !is_other_side
        && references(source).all(is_reference)
        && !body_paths(source).any(|path| path.starts_with('.') || path.contains("..") || path.contains("[?"))
}

/// Whether a name that begins as a part of the request or of the answer is one.
fn is_reference(name: &str) -> bool {
    let Some((side, place)) =
        name.split_once('.').filter(|(side, _)| matches!(*side, "request" | "response"))
    else {
        return true;
    };
    match place.split_once('.') {
        None => place == "body" || side == "request" && place == "path",
        Some((_, "")) => false,
        Some(("header" | "body", _)) => true,
        Some((place, _)) => side == "request" && matches!(place, "querystring" | "path"),
    }
}

/// The paths into bodies that a source has.
fn body_paths(source: &str) -> impl Iterator<Item = &str> {
    references(source).filter_map(|name| {
        ["request.body.", "response.body."].iter().find_map(|side| name.strip_prefix(*side))
    })
}

/// The names that a source has: after `$`, if it is a reference as a whole, and in each `${…}`.
fn references(source: &str) -> impl Iterator<Item = &str> {
    let whole = source.strip_prefix('$').filter(|name| !name.starts_with('{'));
    let parts = source.split("${").skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name));
    whole.into_iter().chain(parts)
}

/// A status is a number of three digits where it is not read from somewhere.
fn check_status(source: &str) -> Result<(), ApiError> {
    let reads = source.contains('$');
    let number = source.parse::<u16>();
    match reads || number.is_ok_and(|status| (200..600).contains(&status)) {
        true => Ok(()),
        false => invalid(&format!("Invalid mapping expression specified: {source}")),
    }
}

fn check_header(name: &str) -> Result<(), ApiError> {
    const NAMES: [&str; 19] = [
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-location",
        "forwarded",
        "keep-alive",
        "origin",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "via",
        "host",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    ];
    const PREFIXES: [&str; 4] = ["access-control-", "apigw-", "x-amz-", "x-amzn-"];
    let lower = name.to_ascii_lowercase();
    // `Host` is not in the guide's list and may be set; AWS names it a restricted header only for removal.
    let reserved = NAMES.contains(&lower.as_str()) && lower != "host"
        || PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    if reserved {
        return invalid(&format!("Operations on header {lower} are restricted"));
    }
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !name.is_empty() && name.bytes().all(token) {
        true => Ok(()),
        false => invalid(&format!("Invalid header name specified: {name}")),
    }
}

fn invalid<T>(error: &str) -> Result<T, ApiError> {
    bad_request(format!(
        "Invalid mapping expression specified: Validation Result: warnings : [], errors : [{error}]"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn request_parameters() {
        let check = |name: &str, value: &str, fits: bool| {
            assert_eq!(check_request(&one(name, value)).is_ok(), fits, "{name} {value}");
        };
        check("append:header.x", "$request.header.y", true);
        check("overwrite:querystring.q", "'static'", true);
        check("remove:header.X-Y", "''", true);
        check("overwrite:path", "/pets/${request.path.id}", true);
        check("append:path", "x", false);
        check("header.x", "y", false);
        check("append:header.Authorization", "y", false);
        check("append:header.X-Amz-Date", "y", false);
        check("append:header.x", "$response.body.y", false);
        check("append:header.x", "$request.body.a[0].b", true);
        check("append:header.x", "$request.body.a..b", false);
        check("append:header.x", "$request.body..b", false);
        check("append:header.X-Forwarded-For", "y", false);
        check("append:header.X-Forwarded-Port", "y", true);
        check("append:header.x", "a-${request.body.a[?(@.b)]}", false);
        check("append:header.x", "$request.body", true);
        check("append:header.x", "$request.nothing.y", false);
        check("append:header.x", "a-${request.header.}", false);
        check("append:header.x", "$requested", true);
        check("append:header.x", "request.nothing.y", true);
        check("overwrite:statuscode", "200", false);
    }

    #[test]
    fn response_parameters() {
        let check = |status: &str, name: &str, value: &str, fits: bool| {
            assert_eq!(check_response(status, &one(name, value)).is_ok(), fits, "{status} {name} {value}");
        };
        check("500", "overwrite:statuscode", "403", true);
        check("500", "overwrite:statuscode", "$response.header.s", true);
        check("500", "overwrite:statuscode", "600", false);
        check("500", "overwrite:statuscode", "none", false);
        check("404", "append:header.error", "$stageVariables.x", true);
        check("404", "append:header.error", "$response.body.x", true);
        check("404", "append:header.error", "$request.body.x", false);
        check("4xx", "append:header.error", "x", false);
        check("200", "append:header.Via", "x", false);
        check("200", "append:statuscode", "200", false);
    }

    #[test]
    fn service_parameters() {
        let queue = Subtype::find("SQS-PurgeQueue").unwrap();
        assert!(queue.check(Some(&one("QueueUrl", "x"))).is_ok());
        assert!(queue.check(None).is_err());
        let mut more = one("QueueUrl", "x");
        more.insert("Body".to_owned(), "x".to_owned());
        assert!(queue.check(Some(&more)).is_err());
        let send = |attributes: &str| {
            let mut parameters = one("QueueUrl", "x");
            parameters.insert("MessageBody".to_owned(), "$request.body".to_owned());
            parameters.insert("MessageAttributes".to_owned(), attributes.to_owned());
            Subtype::find("SQS-SendMessage").unwrap().check(Some(&parameters)).is_ok()
        };
        assert!(send("$request.body.attributes"));
        assert!(send(r#"{"a": {"DataType": "String", "StringValue": "${request.path}"}}"#));
        assert!(!send(r#"{"a": {"DataType": "String", "StringValue": "b"}}"#));
        assert!(!send("$request.nothing.a"));
        assert!(Subtype::find("DynamoDB-PutItem").is_none());
    }
}
