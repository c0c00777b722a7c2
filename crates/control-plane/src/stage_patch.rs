//! What `UpdateStage` does to a stage.
//!
//! Its paths are older than every other noun's and follow rules of their own: a path that is none of the stage's
//! members is taken for a method setting, `/{resource path}/{method}/{setting}`, where the resource path may hold
//! slashes, escaped or not.

use std::collections::BTreeMap;
use std::str::FromStr;

use stagedoor_shapes::apigateway::{
    AccessLogSettings, CacheClusterSize, MethodSetting, Op, PatchOperation, Stage,
    UnauthorizedCacheControlHeaderStrategy,
};

use crate::control_plane::bad_request;
use crate::methods::HTTP_METHODS;
use crate::patch::unescape;
use crate::stages;
use crate::{ApiError, access_log, canary};

/// The settings of methods, as AWS lists them.
const METHOD_SETTINGS: &str = ".../metrics/enabled, .../logging/dataTrace, .../logging/loglevel,\
     .../throttling/burstLimit, .../throttling/rateLimit, .../caching/ttlInSeconds, .../caching/enabled, \
     .../caching/dataEncrypted, .../caching/requireAuthorizationForCacheControl, \
     .../caching/unauthorizedCacheControlHeaderStrategy";

/// AWS's list of the paths, with AWS's missing commas.
const PATHS: &str = "/deploymentId, /description, /cacheClusterEnabled, /cacheClusterSize, /clientCertificateId, \
/accessLogSettings, /accessLogSettings/destinationArn, /accessLogSettings/format, \
/{resourcePath}/{httpMethod}/metrics/enabled, /{resourcePath}/{httpMethod}/logging/dataTrace, \
/{resourcePath}/{httpMethod}/logging/loglevel, \
/{resourcePath}/{httpMethod}/throttling/burstLimit/{resourcePath}/{httpMethod}/throttling/rateLimit/{resourcePath}/\
{httpMethod}/caching/ttlInSeconds, /{resourcePath}/{httpMethod}/caching/enabled, \
/{resourcePath}/{httpMethod}/caching/dataEncrypted, \
/{resourcePath}/{httpMethod}/caching/requireAuthorizationForCacheControl, \
/{resourcePath}/{httpMethod}/caching/unauthorizedCacheControlHeaderStrategy, /*/*/metrics/enabled, \
/*/*/logging/dataTrace, /*/*/logging/loglevel, /*/*/throttling/burstLimit /*/*/throttling/rateLimit \
/*/*/caching/ttlInSeconds, /*/*/caching/enabled, /*/*/caching/dataEncrypted, \
/*/*/caching/requireAuthorizationForCacheControl, /*/*/caching/unauthorizedCacheControlHeaderStrategy, \
/variables/{variable_name}, /tracingEnabled";

/// The longest time that a response is kept in a stage's cache, in seconds.
const TTL_MAX: i32 = 3600;

/// The setting that holds for every method without one of its own.
const EVERY_METHOD: &str = "*/*";

/// Applies one operation.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message for a path or a value that AWS refuses.
pub(crate) fn apply(stage: &mut Stage, operation: &PatchOperation) -> Result<(), ApiError> {
    let path = operation.path.as_deref().unwrap_or("null");
    let value = operation.value.as_deref().unwrap_or_default();
    if let (Some(op), Some(setting)) = (operation.op, path.strip_prefix("/canarySettings/"))
        && !matches!(op, Op::Replace | Op::Copy)
        && canary::is_known(setting)
    {
        if op == Op::Remove && canary::remove_override(stage, setting) {
            return Ok(());
        }
        return bad_request(format!("Invalid {op} operation with path: {path}"));
    }
    match (operation.op, path.strip_prefix('/')) {
        (Some(Op::Add | Op::Replace), Some(path)) => set(stage, path, value),
        (Some(Op::Remove), Some(path)) => remove(stage, path),
        (Some(Op::Copy), Some(_)) => canary::promote(stage, operation),
        _ => unknown(path),
    }
}

fn unknown<T>(path: &str) -> Result<T, ApiError> {
    bad_request(format!("Invalid method setting path: {path}. Must be one of: [{PATHS}]"))
}

fn set(stage: &mut Stage, path: &str, value: &str) -> Result<(), ApiError> {
    let text = Some(value.to_owned()).filter(|value| !value.is_empty());
    match path {
        "deploymentId" => stage.deployment_id = text,
        "description" => stage.description = text,
        "documentationVersion" => stage.documentation_version = text,
        "clientCertificateId" => stage.client_certificate_id = text,
        "tracingEnabled" => stage.tracing_enabled = Some(truth(value)),
        "cacheClusterEnabled" => stages::set_cache_cluster(stage, Some(truth(value)), None),
        "cacheClusterSize" => match CacheClusterSize::from_str(value) {
            Ok(size) => stages::set_cache_cluster(stage, None, Some(size)),
            Err(_) => return bad_request(format!("Invalid cache cluster size specified: {value}")),
        },
        _ => match path.split_once('/') {
            Some(("variables", name)) => {
                let mut variables = stage.variables.take().unwrap_or_default();
                variables.insert(unescape(name), value.to_owned());
                stages::check_variables(&variables)?;
                stage.variables = Some(variables);
            }
            Some(("canarySettings", setting)) => {
                if !canary::replace(stage, setting, value)? {
                    return unknown(&format!("/{path}"));
                }
            }
            _ if path == "accessLogSettings" || path.starts_with("accessLogSettings/") => {
                return set_access_log(stage, path, text);
            }
            _ => return set_method(stage, path, value),
        },
    }
    Ok(())
}

fn set_access_log(stage: &mut Stage, path: &str, value: Option<String>) -> Result<(), ApiError> {
    let settings = stage.access_log_settings.get_or_insert_with(AccessLogSettings::default);
    let member = match path {
        "accessLogSettings/destinationArn" => &mut settings.destination_arn,
        "accessLogSettings/format" => &mut settings.format,
        _ => {
            return bad_request(
                "Invalid accessLogSettings path. Must be one of : [/accessLogSettings/destinationArn, \
                 /accessLogSettings/format]",
            );
        }
    };
    let Some(value) = value else { return bad_request("Access Log value must not be empty") };
    match path {
        "accessLogSettings/format" => access_log::check_format(&value)?,
        _ => access_log::check_destination(&value)?,
    }
    *member = Some(value);
    Ok(())
}

fn remove(stage: &mut Stage, path: &str) -> Result<(), ApiError> {
    match path {
        "accessLogSettings" => stage.access_log_settings = None,
        "canarySettings" => stage.canary_settings = None,
        "variables" => stage.variables = None,
        _ => {
            if let Some(name) = path.strip_prefix("variables/") {
                let variables = stage.variables.get_or_insert_default();
                variables.remove(&unescape(name));
                stage.variables = stage.variables.take().filter(|variables| !variables.is_empty());
                return Ok(());
            }
            let settings = stage.method_settings.get_or_insert_default();
            if settings.remove(&setting_key(settings, path)).is_none() {
                // The space at the end is AWS's.
                return bad_request(format!(
                    "Cannot remove method setting {path} because there is no method setting for this method "
                ));
            }
        }
    }
    Ok(())
}

/// The key of a method's settings, which is the path as it was written, as AWS shows it: `pets/{id}/GET` and
/// `~1pets~1{id}/GET` are keys both. A method that has settings keeps their key, however it is written now.
fn setting_key(settings: &BTreeMap<String, MethodSetting>, path: &str) -> String {
    let named = method_named(path);
    match settings.keys().find(|key| method_named(key) == named) {
        Some(key) if !settings.contains_key(path) => key.clone(),
        _ => path.to_owned(),
    }
}

/// The path of a resource without its first slash, and the method.
fn method_named(key: &str) -> (String, &str) {
    let (resource, method) = key.rsplit_once('/').unwrap_or((key, ""));
    let resource = unescape(resource);
    (resource.strip_prefix('/').unwrap_or(&resource).to_owned(), method)
}

fn set_method(stage: &mut Stage, path: &str, value: &str) -> Result<(), ApiError> {
    let mut parts = path.rsplitn(3, '/');
    let (name, group, method) = (parts.next(), parts.next(), parts.next());
    let (Some(name), Some(group), Some(method)) = (name, group, method) else {
        return unknown(&format!("/{path}"));
    };
    let verb = method.rsplit_once('/').map(|(_, verb)| verb);
    if !verb.is_some_and(|verb| verb == "*" || HTTP_METHODS.contains(&verb)) {
        return unknown(&format!("/{path}"));
    }
    let settings = stage.method_settings.get_or_insert_default();
    // A method that gets its first own setting starts from what held for it until now.
    let inherited = settings.get(EVERY_METHOD).cloned().unwrap_or_else(defaults);
    let key = setting_key(settings, method);
    let mut setting = settings.get(&key).cloned().unwrap_or(inherited);
    match (group, name) {
        ("metrics", "enabled") => setting.metrics_enabled = Some(truth(value)),
        ("logging", "dataTrace") => setting.data_trace_enabled = Some(truth(value)),
        ("logging", "loglevel") => {
            let level = value.to_ascii_uppercase();
            if !["OFF", "ERROR", "INFO"].contains(&level.as_str()) {
                return bad_request(format!(
                    "Invalid logging level specified: {value}. Valid options are OFF,ERROR,INFO"
                ));
            }
            setting.logging_level = Some(level);
        }
        // -1 stands for no limit of its own.
        ("throttling", "burstLimit") => {
            setting.throttling_burst_limit = Some(number(path, value, -1, i32::MAX)?)
        }
        ("throttling", "rateLimit") => {
            setting.throttling_rate_limit = Some(number(path, value, -1.0, f64::MAX)?)
        }
        ("caching", "ttlInSeconds") => match value.parse::<i32>() {
            Ok(seconds @ 0..=TTL_MAX) => setting.cache_ttl_in_seconds = Some(seconds),
            _ => {
                return bad_request(format!(
                    "Invalid time-to-live setting, must be an integer no greater than {TTL_MAX}"
                ));
            }
        },
        ("caching", "enabled") => setting.caching_enabled = Some(truth(value)),
        ("caching", "dataEncrypted") => setting.cache_data_encrypted = Some(truth(value)),
        ("caching", "requireAuthorizationForCacheControl") => {
            setting.require_authorization_for_cache_control = Some(truth(value));
        }
        ("caching", "unauthorizedCacheControlHeaderStrategy") => {
            match UnauthorizedCacheControlHeaderStrategy::from_str(value) {
                Ok(strategy) => setting.unauthorized_cache_control_header_strategy = Some(strategy),
                Err(error) => return bad_request(format!("Invalid value for /{path}: {error}")),
            }
        }
        _ => {
            return bad_request(format!(
                "Invalid method setting path: {group}/{name}. Must be one of: [{METHOD_SETTINGS}]"
            ));
        }
    }
    settings.insert(key, setting);
    Ok(())
}

pub(crate) fn defaults() -> MethodSetting {
    MethodSetting {
        metrics_enabled: Some(false),
        logging_level: None,
        data_trace_enabled: Some(false),
        throttling_burst_limit: Some(5000),
        throttling_rate_limit: Some(10_000.0),
        caching_enabled: Some(false),
        cache_ttl_in_seconds: Some(300),
        cache_data_encrypted: Some(false),
        require_authorization_for_cache_control: Some(true),
        unauthorized_cache_control_header_strategy: Some(
            UnauthorizedCacheControlHeaderStrategy::SucceedWithResponseHeader,
        ),
    }
}

fn truth(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

fn number<T: FromStr + PartialOrd>(path: &str, value: &str, min: T, max: T) -> Result<T, ApiError> {
    match value.parse::<T>() {
        Ok(number) if number >= min && number <= max => Ok(number),
        _ => bad_request(format!("Invalid value for /{path}: {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patched(stage: &mut Stage, op: Op, path: &str, value: &str) -> String {
        let operation = PatchOperation {
            op: Some(op),
            path: Some(path.to_owned()),
            value: Some(value.to_owned()),
            ..PatchOperation::default()
        };
        apply(stage, &operation).map_or_else(|error| error.to_string(), |()| "done".to_owned())
    }

    fn check(op: Op, path: &str, value: &str, expected: &str) {
        let found = patched(&mut Stage::default(), op, path, value);
        assert!(found.starts_with(expected), "{found}");
    }

    #[test]
    fn paths_are_refused_as_aws_refuses_them() {
        let unknown =
            "Invalid method setting path: /documentation_version. Must be one of: [/deploymentId, /descri";
        check(Op::Replace, "/documentation_version", "123", unknown);
        check(Op::Replace, "/tags/tag1", "v", "Invalid method setting path: /tags/tag1. Must be one of: [");
        let access_log =
            "Invalid accessLogSettings path. Must be one of : [/accessLogSettings/destinationArn, /acc";
        check(Op::Add, "/accessLogSettings", "test", access_log);
        check(Op::Replace, "/accessLogSettings/*", "test", access_log);
        check(Op::Replace, "/accessLogSettings/format", "", "Access Log value must not be empty");
        for path in ["*/*", "accessLogSettings/randomValue", "accessLogSettings/destinationArn"] {
            let expected =
                format!("Cannot remove method setting {path} because there is no method setting for this");
            check(Op::Remove, &format!("/{path}"), "", &expected);
        }
    }

    #[test]
    fn a_method_starts_from_what_held_for_every_method() {
        let mut stage = Stage::default();
        for (path, value) in [("/*/*/caching/enabled", "true"), ("/test/GET/throttling/burstLimit", "124")] {
            assert_eq!(patched(&mut stage, Op::Replace, path, value), "done");
        }
        let settings = stage.method_settings.unwrap();
        assert_eq!(settings["test/GET"].caching_enabled, Some(true));
        assert_eq!(settings["test/GET"].throttling_burst_limit, Some(124));
        assert_eq!(settings["*/*"].throttling_burst_limit, Some(5000));
    }

    #[test]
    fn resource_paths_may_be_escaped_or_not() {
        let mut stage = Stage::default();
        for path in ["/pets/{id}/GET", "/pets~1{id}/GET", "/~1pets~1{id}/GET", "/~1/ANY"] {
            assert_eq!(patched(&mut stage, Op::Replace, &format!("{path}/metrics/enabled"), "true"), "done");
        }
        assert_eq!(patched(&mut stage, Op::Replace, "/~1pets~1{id}/PUT/metrics/enabled", "true"), "done");
        let shown = ["pets/{id}/GET", "~1/ANY", "~1pets~1{id}/PUT"];
        assert!(stage.method_settings.as_ref().unwrap().keys().eq(shown));
        assert_eq!(patched(&mut stage, Op::Remove, "/~1pets~1{id}/GET", ""), "done");
        assert_eq!(stage.method_settings.unwrap().len(), 2);
    }

    proptest! {
        #[test]
        fn any_path_is_taken_or_refused(path in "[/~01a-zGET*{}+]{0,30}", value in ".{0,8}", op in 0usize..6) {
            patched(&mut Stage::default(), Op::VALUES[op], &path, &value);
        }

        #[test]
        fn what_is_set_can_be_removed(resource in "(/[a-z{}]{1,4}){1,3}") {
            let mut stage = Stage::default();
            let path = format!("/{}/GET", resource.replace('/', "~1"));
            prop_assert_eq!(patched(&mut stage, Op::Replace, &format!("{path}/caching/enabled"), "true"), "done");
            let shown = format!("{}/GET", resource.replace('/', "~1"));
            prop_assert!(stage.method_settings.as_ref().unwrap().contains_key(&shown));
            prop_assert_eq!(patched(&mut stage, Op::Remove, &path, ""), "done");
            prop_assert_eq!(stage.method_settings.unwrap().len(), 0);
        }
    }
}
