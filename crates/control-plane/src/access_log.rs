//! What AWS takes as a stage's access log.

use crate::ApiError;
use crate::control_plane::bad_request;

/// AWS's limit, in bytes.
const FORMAT_BYTES_MAX: usize = 3 * 1024;

/// Checks a format: text on one line that shows an id of the request. Names that mean nothing are allowed, and are
/// logged as `-`.
///
/// # Errors
/// [`ApiError::BadRequest`]. AWS's words for the size are not known.
pub(crate) fn check_format(format: &str) -> Result<(), ApiError> {
    let line = format.strip_suffix('\n').unwrap_or(format);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains(['\n', '\r']) {
        return bad_request(format!(
            "Access Log format must be single line, new line character is allowed only at end of the format: \
             '{format}'"
        ));
    }
    if !shows(format, "requestId") && !shows(format, "extendedRequestId") {
        return bad_request(format!(
            "Access Log format must include either $context.requestId or $context.extendedRequestId : '{format}'"
        ));
    }
    if format.len() > FORMAT_BYTES_MAX {
        return bad_request(format!("Access Log format must not be longer than {FORMAT_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// Checks a format of a stage of the newer service.
///
/// # Errors
/// [`ApiError::BadRequest`].
pub(crate) fn check_format_v2(format: &str) -> Result<(), ApiError> {
    check_format(format)
        .or_else(|error| bad_request(format!("The following errors are found in Access Log Format: {error}")))
}

/// Checks that a stage of an HTTP API has no variable that HTTP APIs do not have, such as a header of the request.
///
/// # Errors
/// [`ApiError::BadRequest`] that names each.
pub(crate) fn check_variables_http(format: &str) -> Result<(), ApiError> {
    let unknown: Vec<&str> = variables(format)
        .filter(|(_, name)| !HTTP_VARIABLES.contains(name) && !name.starts_with("authorizer."))
        .map(|(whole, _)| whole)
        .collect();
    match unknown.is_empty() {
        true => Ok(()),
        false => {
            let unknown = unknown.join(", ");
            bad_request(format!("The following context variables are not supported: [{unknown}]"))
        }
    }
}

/// The developer guide's, and `resourcePath`, which published formats have though it has no value.
const HTTP_VARIABLES: [&str; 49] = [
    "accountId",
    "apiId",
    "awsEndpointRequestId",
    "awsEndpointRequestId2",
    "customDomain.basePathMatched",
    "dataProcessed",
    "domainName",
    "domainPrefix",
    "error.message",
    "error.messageString",
    "error.responseType",
    "extendedRequestId",
    "httpMethod",
    "identity.accountId",
    "identity.caller",
    "identity.clientCert.clientCertPem",
    "identity.clientCert.issuerDN",
    "identity.clientCert.serialNumber",
    "identity.clientCert.subjectDN",
    "identity.clientCert.validity.notAfter",
    "identity.clientCert.validity.notBefore",
    "identity.cognitoAuthenticationProvider",
    "identity.cognitoAuthenticationType",
    "identity.cognitoIdentityId",
    "identity.cognitoIdentityPoolId",
    "identity.principalOrgId",
    "identity.sourceIp",
    "identity.user",
    "identity.userAgent",
    "identity.userArn",
    "integration.error",
    "integration.integrationStatus",
    "integration.latency",
    "integration.requestId",
    "integration.status",
    "integrationErrorMessage",
    "integrationLatency",
    "integrationStatus",
    "path",
    "protocol",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "resourcePath",
    "responseLatency",
    "responseLength",
    "routeKey",
    "stage",
    "status",
];

/// The variables of a format, each as it is written and by its name.
fn variables(format: &str) -> impl Iterator<Item = (&str, &str)> {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let starts = format.match_indices('$').filter_map(|(at, _)| format.get(at..));
    starts.filter_map(move |from| {
        let braced = from.strip_prefix("${context.").and_then(|rest| rest.split_once('}'));
        let name = match (braced, from.strip_prefix("$context.")) {
            (Some((name, _)), _) => return Some((from.get(.."${context.}".len() + name.len())?, name)),
            (None, rest) => rest?,
        };
        let end = name.find(|c| !part_of_name(c)).unwrap_or(name.len());
        let name = name.get(..end)?.trim_end_matches('.');
        (!name.is_empty()).then_some((from.get(.."$context.".len() + name.len())?, name))
    })
}

/// Whether a format has this variable.
fn shows(format: &str, name: &str) -> bool {
    let (plain, braced) = (format!("$context.{name}"), format!("${{context.{name}}}"));
    let is_whole = |(at, found): (usize, &str)| {
        let after = format.get(at + found.len()..).unwrap_or_default();
        let part_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let mut rest = after.chars();
        match rest.next() {
            // A full stop at the end belongs to the sentence around the name.
            Some('.') => !rest.next().is_some_and(part_of_name),
            other => !other.is_some_and(part_of_name),
        }
    };
    format.contains(&braced) || format.match_indices(&plain).any(is_whole)
}

/// Checks a destination of a REST API's stage: a log group, or a Firehose stream, whose name has to begin with
/// `amazon-apigateway-`.
///
/// # Errors
/// [`ApiError::BadRequest`].
pub(crate) fn check_destination(arn: &str) -> Result<(), ApiError> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "logs", _, _, resource]
            if resource.strip_prefix("log-group:").is_some_and(|name| !name.is_empty()) =>
        {
            check_log_group(resource)
        }
        ["arn", _, "firehose", _, _, resource]
            if resource.starts_with("deliverystream/amazon-apigateway-") =>
        {
            Ok(())
        }
        ["arn", _, "firehose", _, _, resource] if resource.starts_with("deliverystream/") => {
            bad_request(format!(
                "Kinesis Firehose delivery stream name must begin with the characters 'amazon-apigateway-': '{resource}'"
            ))
        }
        _ => bad_request(
            "Invalid ARN specified in the request. The ARN must be a valid CloudWatch Logs log group or Kinesis Data \
             Firehose delivery stream ARN.",
        ),
    }
}

/// Checks a destination of a stage of the newer service, which has log groups alone.
///
/// # Errors
/// [`ApiError::BadRequest`].
pub(crate) fn check_destination_v2(arn: &str) -> Result<(), ApiError> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, _, _, _, resource] => check_log_group(resource),
        _ => check_destination(arn),
    }
}

/// A log group as an ARN names it. Those that CloudWatch Logs shows end with `:*`, which AWS does not take here.
fn check_log_group(resource: &str) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/.".contains(&byte);
    let fits = |name: &str| !name.is_empty() && name.bytes().all(allowed);
    match resource.strip_prefix("log-group:").is_some_and(fits) {
        true => Ok(()),
        false => bad_request(format!(
            "Access log destination must only contain characters a-z, A-Z, 0-9, '_', '-', '/', '.': '{resource}'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(result: Result<(), ApiError>, expected: &str) {
        let found = result.map_or_else(|error| error.to_string(), |()| "taken".to_owned());
        assert!(found.starts_with(expected), "{found}");
    }

    #[test]
    fn formats() {
        check(check_format("$context.requestId"), "taken");
        check(check_format("id=${context.requestId}\n"), "taken");
        check(check_format("at $context.extendedRequestId.\r\n"), "taken");
        check(
            check_format("$context.requestIds $context.requestId-x $context.requestId.x"),
            "Access Log format must include",
        );
        check(
            check_format("$context.status $input.body"),
            "Access Log format must include either $context.requestId or",
        );
        check(
            check_format("$context.requestId\n$context.status"),
            "Access Log format must be single line, new line",
        );
        check(check_format("$context.requestId\n\n"), "Access Log format must be single line, new line");
        check(
            check_format(&format!("$context.requestId{}", " ".repeat(3 * 1024))),
            "Access Log format must not be longer",
        );
    }

    #[test]
    fn variables_of_http_apis() {
        check(
            check_variables_http("$context.requestId|${context.status} $context.authorizer.claims.a:b."),
            "taken",
        );
        check(check_variables_http("$context.status. $context $context. $input.x $$context.stage"), "taken");
        check(
            check_variables_http("$context.requestId ${context.xrayTraceId} $context.request.header.X-A."),
            "The following context variables are not supported: [${context.xrayTraceId}, $context.request.header.X-A]",
        );
    }

    #[test]
    fn destinations() {
        check(check_destination("arn:aws:logs:us-east-1:111111111111:log-group:name"), "taken");
        check(
            check_destination("arn:aws:logs:us-east-1:111111111111:log-group:name:*"),
            "Access log destination must only contain characters a-z, A-Z, 0-9, '_', '-', '/', '.': 'log-group:name:*'",
        );
        check(check_destination_v2("arn:aws-cn:logs:cn-north-1:1:log-group:/aws/x"), "taken");
        check(
            check_destination_v2("arn:aws:firehose:us-east-1:1:deliverystream/amazon-apigateway-x"),
            "Access log destination must only contain characters a-z, A-Z, 0-9, '_', '-', '/', '.': 'deliverystream/",
        );
        check(check_destination_v2("x"), "Invalid ARN specified in the request.");
        check(check_destination("arn:aws-cn:logs:cn-north-1:1:log-group:/aws/x"), "taken");
        check(check_destination("arn:aws:firehose:us-east-1:1:deliverystream/amazon-apigateway-x"), "taken");
        check(
            check_destination("arn:aws:firehose:us-east-1:1:deliverystream/x"),
            "Kinesis Firehose delivery stream name must begin",
        );
        check(
            check_destination("arn:aws:logs:us-east-1:1:log-group:"),
            "Invalid ARN specified in the request",
        );
        check(check_destination("stdout"), "Invalid ARN specified in the request");
    }

    proptest! {
        #[test]
        fn any_value_is_taken_or_refused(text in "(arn:)?[a-z:$.{}\\n-]{0,30}(\\$context\\.requestId)?\\PC{0,8}") {
            let _ = check_format(&text);
            let _ = check_variables_http(&text);
            let _ = check_destination(&text);
        }
    }
}
