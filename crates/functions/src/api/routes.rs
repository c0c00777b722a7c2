//! Which operation a request is, by AWS's method and path.

use std::collections::BTreeMap;

use http::Request;
use percent_encoding::percent_decode_str;

use super::respond::ApiError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    AddPermission,
    CreateAlias,
    CreateFunction,
    DeleteAlias,
    DeleteFunction,
    DeleteFunctionConcurrency,
    DeleteFunctionEventInvokeConfig,
    DeleteLayerVersion,
    GetAccountSettings,
    GetAlias,
    GetFunction,
    GetFunctionCodeSigningConfig,
    GetFunctionConcurrency,
    GetFunctionConfiguration,
    GetFunctionEventInvokeConfig,
    GetLayerVersion,
    GetLayerVersionByArn,
    GetPolicy,
    Invoke,
    InvokeWithResponseStream,
    ListAliases,
    ListFunctionEventInvokeConfigs,
    ListFunctions,
    ListLayerVersions,
    ListLayers,
    ListTags,
    ListVersionsByFunction,
    PublishLayerVersion,
    PublishVersion,
    PutFunctionConcurrency,
    PutFunctionEventInvokeConfig,
    RemovePermission,
    TagResource,
    UntagResource,
    UpdateAlias,
    UpdateFunctionCode,
    UpdateFunctionConfiguration,
    UpdateFunctionEventInvokeConfig,
}

/// A request as far as its line tells.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) operation: Operation,
    /// The labels of the path, decoded: the function (or the ARN) and, where there is one, the alias or statement.
    labels: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    /// Every `tagKeys` of the query.
    pub(super) tag_keys: Vec<String>,
    /// The host and port that the client asks.
    pub(super) host: String,
}

impl Route {
    /// The function, or the ARN of a tagged one.
    pub(super) fn name(&self) -> &str {
        self.labels.first().map_or("", String::as_str)
    }

    /// The alias or the statement.
    pub(super) fn second(&self) -> &str {
        self.labels.get(1).map_or("", String::as_str)
    }
}

/// Lambda's paths begin with the date of an API version.
pub(super) fn is_lambda(path: &str) -> bool {
    let mut segments = path.trim_start_matches('/').splitn(3, '/');
    let (Some(date), Some(noun)) = (segments.next(), segments.next()) else { return false };
    let nouns = [
        "functions",
        "tags",
        "layers",
        "event-source-mappings",
        "event-source-mappings-by-arn",
        "code-signing-configs",
        "account-settings",
        "durable-executions",
        "capacity-providers",
    ];
    // API Gateway v1 and v2 have neither.
    date.len() == 10
        && date
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
        && nouns.contains(&noun)
}

pub(super) fn route<B>(request: &Request<B>) -> Result<Route, ApiError> {
    let (method, uri) = (request.method(), request.uri());
    let header = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = header.or_else(|| uri.authority().map(|authority| authority.as_str()));
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut query = BTreeMap::new();
    let mut tag_keys = Vec::new();
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(&value.replace('+', " ")));
        if name == "tagKeys" {
            tag_keys.push(value);
        } else {
            query.insert(name, value);
        }
    }
    let segments: Vec<_> = uri.path().trim_matches('/').split('/').collect();
    let (operation, labels): (Operation, &[&str]) = match (method.as_str(), segments.as_slice()) {
        ("POST", ["2015-03-31", "functions"]) => (Operation::CreateFunction, &[]),
        ("GET", ["2015-03-31", "functions"]) => (Operation::ListFunctions, &[]),
        ("GET", ["2015-03-31", "functions", name]) => (Operation::GetFunction, &[*name]),
        ("DELETE", ["2015-03-31", "functions", name]) => (Operation::DeleteFunction, &[*name]),
        ("GET", ["2015-03-31", "functions", name, "configuration"]) => {
            (Operation::GetFunctionConfiguration, &[*name])
        }
        ("PUT", ["2015-03-31", "functions", name, "configuration"]) => {
            (Operation::UpdateFunctionConfiguration, &[*name])
        }
        ("PUT", ["2015-03-31", "functions", name, "code"]) => (Operation::UpdateFunctionCode, &[*name]),
        ("POST", ["2015-03-31", "functions", name, "invocations"]) => (Operation::Invoke, &[*name]),
        ("POST", ["2021-11-15", "functions", name, "response-streaming-invocations"]) => {
            (Operation::InvokeWithResponseStream, &[*name])
        }
        ("POST", ["2015-03-31", "functions", name, "policy"]) => (Operation::AddPermission, &[*name]),
        ("GET", ["2015-03-31", "functions", name, "policy"]) => (Operation::GetPolicy, &[*name]),
        ("DELETE", ["2015-03-31", "functions", name, "policy", statement]) => {
            (Operation::RemovePermission, &[*name, *statement])
        }
        ("POST", ["2015-03-31", "functions", name, "versions"]) => (Operation::PublishVersion, &[*name]),
        ("GET", ["2015-03-31", "functions", name, "versions"]) => {
            (Operation::ListVersionsByFunction, &[*name])
        }
        ("POST", ["2015-03-31", "functions", name, "aliases"]) => (Operation::CreateAlias, &[*name]),
        ("GET", ["2015-03-31", "functions", name, "aliases"]) => (Operation::ListAliases, &[*name]),
        ("GET", ["2015-03-31", "functions", name, "aliases", alias]) => {
            (Operation::GetAlias, &[*name, *alias])
        }
        ("PUT", ["2015-03-31", "functions", name, "aliases", alias]) => {
            (Operation::UpdateAlias, &[*name, *alias])
        }
        ("DELETE", ["2015-03-31", "functions", name, "aliases", alias]) => {
            (Operation::DeleteAlias, &[*name, *alias])
        }
        ("GET", ["2016-08-19", "account-settings"]) => (Operation::GetAccountSettings, &[]),
        ("POST", ["2018-10-31", "layers", name, "versions"]) => (Operation::PublishLayerVersion, &[*name]),
        ("GET", ["2018-10-31", "layers", name, "versions"]) => (Operation::ListLayerVersions, &[*name]),
        ("GET", ["2018-10-31", "layers", name, "versions", number]) => {
            (Operation::GetLayerVersion, &[*name, *number])
        }
        ("DELETE", ["2018-10-31", "layers", name, "versions", number]) => {
            (Operation::DeleteLayerVersion, &[*name, *number])
        }
        ("GET", ["2018-10-31", "layers"]) if query.contains_key("Arn") => {
            (Operation::GetLayerVersionByArn, &[])
        }
        ("GET", ["2018-10-31", "layers"]) => (Operation::ListLayers, &[]),
        ("PUT", ["2019-09-25", "functions", name, "event-invoke-config"]) => {
            (Operation::PutFunctionEventInvokeConfig, &[*name])
        }
        ("POST", ["2019-09-25", "functions", name, "event-invoke-config"]) => {
            (Operation::UpdateFunctionEventInvokeConfig, &[*name])
        }
        ("GET", ["2019-09-25", "functions", name, "event-invoke-config"]) => {
            (Operation::GetFunctionEventInvokeConfig, &[*name])
        }
        ("DELETE", ["2019-09-25", "functions", name, "event-invoke-config"]) => {
            (Operation::DeleteFunctionEventInvokeConfig, &[*name])
        }
        ("GET", ["2019-09-25", "functions", name, "event-invoke-config", "list"]) => {
            (Operation::ListFunctionEventInvokeConfigs, &[*name])
        }
        ("PUT", ["2017-10-31", "functions", name, "concurrency"]) => {
            (Operation::PutFunctionConcurrency, &[*name])
        }
        ("DELETE", ["2017-10-31", "functions", name, "concurrency"]) => {
            (Operation::DeleteFunctionConcurrency, &[*name])
        }
        ("GET", ["2019-09-30", "functions", name, "concurrency"]) => {
            (Operation::GetFunctionConcurrency, &[*name])
        }
        ("GET", ["2020-06-30", "functions", name, "code-signing-config"]) => {
            (Operation::GetFunctionCodeSigningConfig, &[*name])
        }
        ("GET", ["2017-03-31", "tags", arn]) => (Operation::ListTags, &[*arn]),
        ("POST", ["2017-03-31", "tags", arn]) => (Operation::TagResource, &[*arn]),
        ("DELETE", ["2017-03-31", "tags", arn]) => (Operation::UntagResource, &[*arn]),
        (method, segments) => return Err(ApiError::not_built(&unbuilt(method, segments))),
    };
    Ok(Route {
        operation,
        labels: labels.iter().map(|label| decode(label)).collect(),
        query,
        tag_keys,
        host: host.unwrap_or("localhost").to_owned(),
    })
}

/// The name of an operation that is not built, where its path tells.
fn unbuilt(method: &str, segments: &[&str]) -> String {
    let name = match (method, segments) {
        ("POST", [_, "functions", _, "invoke-async"]) => "InvokeAsync",
        ("POST", [_, "functions", _, "url"]) => "CreateFunctionUrlConfig",
        ("GET", [_, "functions", _, "url"]) => "GetFunctionUrlConfig",
        ("PUT", [_, "functions", _, "provisioned-concurrency"]) => "PutProvisionedConcurrencyConfig",
        ("GET", [_, "functions", _, "provisioned-concurrency"]) => "GetProvisionedConcurrencyConfig",
        ("GET", [_, "functions", _, "runtime-management-config"]) => "GetRuntimeManagementConfig",
        ("PUT", [_, "functions", _, "runtime-management-config"]) => "PutRuntimeManagementConfig",
        ("POST", [_, "event-source-mappings"]) => "CreateEventSourceMapping",
        ("GET", [_, "event-source-mappings"]) => "ListEventSourceMappings",
        ("POST", [_, "layers", _, "versions", _, "policy"]) => "AddLayerVersionPermission",
        ("GET", [_, "layers", _, "versions", _, "policy"]) => "GetLayerVersionPolicy",
        (method, segments) => return format!("{method} /{}", segments.join("/")),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(method: &str, uri: &str, expected: Option<(Operation, &str)>) {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let found = route(&request).ok();
        assert_eq!(found.as_ref().map(|route| (route.operation, route.name())), expected, "{uri}");
    }

    #[test]
    fn operations_are_known_by_their_paths() {
        check("POST", "/2015-03-31/functions", Some((Operation::CreateFunction, "")));
        check("GET", "/2015-03-31/functions/?MaxItems=5", Some((Operation::ListFunctions, "")));
        check(
            "POST",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aa/invocations",
            Some((Operation::Invoke, "arn:aws:lambda:us-east-1:000000000000:function:a")),
        );
        check("GET", "/2015-03-31/layers", None);
        assert!(is_lambda("/2015-03-31/functions/a"));
        assert!(!is_lambda("/restapis/a"));
        assert!(!is_lambda("/v2/apis"));
    }

    proptest! {
        #[test]
        fn any_path_is_routed_or_refused(path in "[/a-z0-9%.~-]{0,60}") {
            if let Ok(request) = Request::builder().uri(format!("/{path}")).body(()) {
                let _ = route(&request);
                let _ = is_lambda(&path);
            }
        }
    }
}
