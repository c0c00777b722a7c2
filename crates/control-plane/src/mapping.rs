//! Parameter mappings: where a parameter of one message comes from in another.

use std::collections::BTreeMap;

use crate::ApiError;
use crate::control_plane::bad_request;
use crate::methods::invalid_mapping;

/// Checks one entry of an integration's `requestParameters`.
///
/// # Errors
/// [`ApiError::BadRequest`] if the name or the expression is none, or names a parameter that the method has not.
pub(crate) fn check_request(
    name: &str,
    expression: &str,
    declared: Option<&BTreeMap<String, bool>>,
) -> Result<(), ApiError> {
    if !in_place(name, "integration.request.", &["header", "querystring", "path"]) {
        return invalid_mapping(name);
    }
    if let Some(place) = expression.strip_prefix("method.request.") {
        if is_body(place) {
            return Ok(());
        }
        let places = ["header", "querystring", "path", "multivalueheader", "multivaluequerystring"];
        if !in_place(expression, "method.request.", &places) {
            return invalid_mapping(expression);
        }
        // What is declared is declared once, as a single value.
        let single = expression.replacen("method.request.multivalue", "method.request.", 1);
        return match declared.is_some_and(|declared| declared.contains_key(&single)) {
            true => Ok(()),
            false => undeclared(expression),
        };
    }
    check_common(expression)
}

/// Checks one entry of an integration response's `responseParameters`.
///
/// # Errors
/// [`ApiError::BadRequest`] if the name or the expression is none, or the method response has no such header.
pub(crate) fn check_response(
    name: &str,
    expression: &str,
    declared: Option<&BTreeMap<String, bool>>,
) -> Result<(), ApiError> {
    if !in_place(name, "method.response.", &["header"]) {
        return invalid_mapping(name);
    }
    if !declared.is_some_and(|declared| declared.contains_key(name)) {
        return undeclared(name);
    }
    if let Some(place) = expression.strip_prefix("integration.response.") {
        let fits =
            is_body(place) || in_place(expression, "integration.response.", &["header", "multivalueheader"]);
        return if fits { Ok(()) } else { invalid_mapping(expression) };
    }
    check_common(expression)
}

/// Checks one entry of a gateway response's `responseParameters`.
///
/// # Errors
/// [`ApiError::BadRequest`] if the name or the expression is none.
pub(crate) fn check_gateway_response(name: &str, expression: &str) -> Result<(), ApiError> {
    if name.strip_prefix("gatewayresponse.header.").is_none_or(str::is_empty) {
        return invalid_mapping(name);
    }
    let places = ["header", "querystring", "path", "multivalueheader", "multivaluequerystring"];
    if in_place(expression, "method.request.", &places) {
        return Ok(());
    }
    check_common(expression)
}

/// What may stand on the right anywhere: a literal in quotes, the context, a stage variable.
pub(crate) fn check_common(expression: &str) -> Result<(), ApiError> {
    let literal = expression.len() >= 2 && expression.starts_with('\'') && expression.ends_with('\'');
    let named = |prefix: &str| expression.strip_prefix(prefix).is_some_and(|name| !name.is_empty());
    if literal || named("context.") || named("stageVariables.") {
        Ok(())
    } else {
        invalid_mapping(expression)
    }
}

/// Whether what stands after `request.` or `response.` is the body or a part of it.
pub(crate) fn is_body(place: &str) -> bool {
    place == "body" || place.starts_with("body.") || place.starts_with("body[")
}

/// Whether a text is a prefix, one of some places, and a name there.
pub(crate) fn in_place(text: &str, prefix: &str, places: &[&str]) -> bool {
    let place = text.strip_prefix(prefix).and_then(|rest| rest.split_once('.'));
    place.is_some_and(|(place, name)| places.contains(&place) && !name.is_empty())
}

/// AWS's answer to a parameter that is not there, or cannot be.
pub(crate) fn undeclared<T>(parameter: &str) -> Result<T, ApiError> {
    bad_request(format!(
        "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression \
         parameter specified: {parameter}]"
    ))
}
