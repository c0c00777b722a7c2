//! Constraints of Lambda's model on members that are kept as they are given.

use std::collections::BTreeMap;

use super::respond::ApiError;
use crate::config::Runtime;

/// The processors that Lambda has.
pub(super) const ARCHITECTURES: [&str; 2] = ["x86_64", "arm64"];

/// The runtimes that Lambda has or had, whether they are run here or not: what a layer may name.
pub(super) const RUNTIMES: [&str; 45] = [
    "nodejs",
    "nodejs4.3",
    "nodejs6.10",
    "nodejs8.10",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs16.x",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "java8",
    "java8.al2",
    "java11",
    "java17",
    "java21",
    "java25",
    "python2.7",
    "python3.6",
    "python3.7",
    "python3.8",
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "nodejs4.3-edge",
    "go1.x",
    "ruby2.5",
    "ruby2.7",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "provided",
    "provided.al2",
    "provided.al2023",
];

/// The pattern of a role's ARN.
const ROLE: &str = "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+";

/// The runtimes that AWS takes for new functions, and 18 of Node.
const AT_AWS: [&str; 26] = [
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "java8.al2",
    "java11",
    "java17",
    "java21",
    "java25",
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "go1.x",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
    "provided",
    "provided.al2",
    "provided.al2023",
];

/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn role(value: &str) -> Result<(), ApiError> {
    let fits = || {
        let rest = value.strip_prefix("arn:")?;
        let (partition, rest) = rest.split_once(":iam::")?;
        let (account, name) = rest.split_once(":role")?;
        let is_partition = partition.is_empty()
            || partition
                .strip_prefix("aws")
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'));
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let name = name.strip_prefix('/').unwrap_or(name);
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte));
        (is_partition && is_account && is_name).then_some(())
    };
    matching(fits().is_some(), value, "role", ROLE)
}

/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn statement_id(value: &str) -> Result<(), ApiError> {
    if value.len() > 100 {
        return Err(ApiError::validation(
            value,
            "statementId",
            "Member must have length less than or equal to 100",
        ));
    }
    matching(is_identifier(value), value, "statementId", "([a-zA-Z0-9-_]+)")
}

/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn action(value: &str) -> Result<(), ApiError> {
    let name = value.strip_prefix("lambda:").unwrap_or("?");
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    matching(value == "*" || name == "*" || is_name, value, "action", "(lambda:[*]|lambda:[a-zA-Z]+|[*])")
}

/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn principal(value: &str) -> Result<(), ApiError> {
    matching(!value.is_empty() && !value.contains(char::is_whitespace), value, "principal", "[^\\s]+")?;
    let is_account = value.len() == 12 && value.bytes().all(|byte| byte.is_ascii_digit());
    let is_service =
        [".amazonaws.com", ".amazonaws.com.cn", ".amazon.com"].iter().any(|end| value.ends_with(end));
    if value == "*" || value.starts_with("arn:") || is_account || is_service {
        return Ok(());
    }
    Err(ApiError::parameter("The provided principal was invalid. Please check the principal and try again."))
}

/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn alias_name(value: &str) -> Result<(), ApiError> {
    if value.len() > 128 {
        return Err(ApiError::validation(value, "name", "Member must have length less than or equal to 128"));
    }
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    matching(is_identifier(value) && !is_number, value, "name", "(?!^[0-9]+$)([a-zA-Z0-9-_]+)")
}

/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn description(value: &str) -> Result<(), ApiError> {
    if value.chars().count() > 256 {
        return Err(ApiError::validation(
            value,
            "description",
            "Member must have length less than or equal to 256",
        ));
    }
    Ok(())
}

/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn one_of(value: &str, member: &str, known: &[&str]) -> Result<(), ApiError> {
    if known.contains(&value) {
        return Ok(());
    }
    let constraint = format!("Member must satisfy enum value set: [{}]", known.join(", "));
    Err(ApiError::validation(value, member, &constraint))
}

/// # Errors
/// `ValidationException` in AWS's words. Values of variables may be secrets, so none is told.
pub(super) fn variable(name: &str) -> Result<(), ApiError> {
    let mut bytes = name.bytes();
    let fits = name.len() > 1
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // Reserved ones are refused by their name.
    if fits || matches!(name, "_HANDLER" | "_X_AMZN_TRACE_ID") {
        return Ok(());
    }
    Err(ApiError::new(
        400,
        "ValidationException",
        "1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy \
         constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]",
    ))
}

/// # Errors
/// The words of AWS for a runtime that there is not; another refusal for one that is not run here.
pub(super) fn runtime(value: &str) -> Result<(), ApiError> {
    let Err(error) = value.parse::<Runtime>() else { return Ok(()) };
    if AT_AWS.contains(&value) {
        return Err(ApiError::new(501, "NotImplementedException", &error.to_string()));
    }
    Err(ApiError::parameter(&format!(
        "Value {value} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{}] or be a valid ARN",
        AT_AWS.join(", ")
    )))
}

/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn log_group(value: &str) -> Result<(), ApiError> {
    if value.len() > 512 {
        let constraint = "Member must have length less than or equal to 512";
        return Err(ApiError::validation(value, "loggingConfig.logGroup", constraint));
    }
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte);
    let fits = !value.is_empty() && value.bytes().all(is_known);
    matching(fits, value, "loggingConfig.logGroup", "[\\.\\-_/#A-Za-z0-9]+")
}

/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn architectures(values: &[String]) -> Result<(), ApiError> {
    let refused =
        |constraint| ApiError::validation(&format!("[{}]", values.join(", ")), "architectures", constraint);
    if values.len() > 1 {
        return Err(refused("Member must have length less than or equal to 1"));
    }
    if values.iter().any(|value| !ARCHITECTURES.contains(&value.as_str())) {
        return Err(refused(
            "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]",
        ));
    }
    Ok(())
}

/// What a layer says it fits.
///
/// # Errors
/// `ValidationException` in AWS's words, one for both members.
pub(super) fn compatible(runtimes: &[String], architectures: &[String]) -> Result<(), ApiError> {
    let mut wrong = Vec::new();
    let unknown = |values: &[String], known: &[&str]| values.iter().any(|one| !known.contains(&one.as_str()));
    if unknown(runtimes, &RUNTIMES) {
        wrong.push(format!(
            "Value '[{}]' at 'compatibleRuntimes' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
            runtimes.join(", "),
            RUNTIMES.join(", ")
        ));
    }
    if unknown(architectures, &ARCHITECTURES) {
        wrong.push(format!(
            "Value '[{}]' at 'compatibleArchitectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64]]",
            architectures.join(", ")
        ));
    }
    let errors = match wrong.len() {
        0 => return Ok(()),
        1 => "1 validation error".to_owned(),
        count => format!("{count} validation errors"),
    };
    Err(ApiError::new(400, "ValidationException", &format!("{errors} detected: {}", wrong.join("; "))))
}

/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn qualifier(value: &str) -> Result<(), ApiError> {
    let fits = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"$_-".contains(&byte));
    matching(fits, value, "qualifier", "(|[a-zA-Z0-9$_-]+)")
}

/// All tags of a function.
///
/// # Errors
/// `InvalidParameterValueException` if they are more than AWS's 50.
pub(super) fn tags(tags: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError> {
    if tags.len() > 50 {
        return Err(ApiError::parameter("Number of tags exceeds resource tag limit."));
    }
    Ok(tags)
}

/// What has tags is named by its ARN.
///
/// # Errors
/// `ValidationException` in AWS's words.
pub(super) fn taggable(arn: &str) -> Result<(), ApiError> {
    let pattern = "arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})";
    let whole = |named: &super::names::Named<'_>| named.region.is_some() && named.account.is_some();
    let fits = arn.starts_with("arn:aws") && super::names::take_apart(arn).as_ref().is_some_and(whole);
    matching(fits, arn, "resource", pattern)
}

fn is_identifier(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn matching(fits: bool, value: &str, member: &str, pattern: &str) -> Result<(), ApiError> {
    if fits {
        return Ok(());
    }
    let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
    Err(ApiError::validation(value, member, &constraint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(constraint: fn(&str) -> Result<(), ApiError>, fitting: &[&str], others: &[&str]) {
        for value in fitting {
            assert!(constraint(value).is_ok(), "{value}");
        }
        for value in others {
            assert!(constraint(value).is_err(), "{value}");
        }
    }

    #[test]
    fn patterns() {
        check(
            role,
            &["arn:aws:iam::000000000000:role/r", "arn:aws-us-gov:iam::000000000000:role/a/b+c"],
            &[
                "",
                "r",
                "arn:aws:iam::0:role/r",
                "arn:aws:iam::000000000000:role/",
                "arn:aws:iam::000000000000:user/r",
            ],
        );
        check(statement_id, &["a-1_B"], &["", "a b", "a.b", &"x".repeat(101)]);
        check(
            action,
            &["*", "lambda:*", "lambda:InvokeFunction"],
            &["", "lambda:", "s3:Get", "lambda:Invoke*"],
        );
        check(
            principal,
            &["*", "s3.amazonaws.com", "000000000000", "arn:aws:iam::000000000000:root"],
            &["", "a b", "a.b", "1"],
        );
        check(qualifier, &["", "live", "$LATEST", "a-$-b"], &["a?b", "a b"]);
        check(alias_name, &["live", "v-1", "1a"], &["", "1", "a.b", &"x".repeat(129)]);
        check(description, &["", &"é".repeat(256)], &[&"x".repeat(257)]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_fits_or_not(text in "(arn:aws)?(:iam::)?(000000000000)?(:role)?\\PC{0,10}") {
            for constraint in [role, statement_id, action, principal, qualifier, alias_name, description] {
                let _ = constraint(&text);
            }
        }
    }
}
