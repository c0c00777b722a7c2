//! From method, path and query to an operation.
//!
//! Paths are matched as they travel, still encoded: clients send a slash inside a label, as in an ARN, as `%2F`.

use crate::{input::parameters, service::Service};
use stagedoor_shapes::Operation;

/// One operation at its path.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) service: Service,
    pub(crate) operation: &'static Operation,
    /// The names of the labels, in the order of the path.
    pub(crate) labels: Vec<&'static str>,
    /// The parameter that has to be in the query, such as `mode=import`.
    pub(crate) query: Option<(&'static str, &'static str)>,
}

/// All operations of all services.
pub(crate) struct Router {
    // At one place of a path operations name their labels differently, which the tree does not allow, so it knows
    // them by position and each route keeps its own names.
    tree: matchit::Router<Vec<Route>>,
}

/// A request's operation, and the encoded values of its labels.
pub(crate) struct Matched<'r, 'p> {
    pub(crate) route: &'r Route,
    pub(crate) values: Vec<&'p str>,
}

impl Router {
    pub(crate) fn new() -> Self {
        let mut paths: Vec<(String, Vec<Route>)> = Vec::new();
        for service in Service::ALL {
            for operation in service.operations() {
                let (path, query) = operation.uri.split_once('?').unwrap_or((operation.uri, ""));
                let (pattern, labels) = positional(path);
                let query = query.split_once('=');
                let route = Route { service, operation, labels, query };
                match paths.iter_mut().find(|(known, _)| *known == pattern) {
                    Some((_, routes)) => routes.push(route),
                    None => paths.push((pattern, vec![route])),
                }
            }
        }
        let mut tree = matchit::Router::new();
        for (pattern, mut routes) in paths {
            // What asks for a parameter is more specific than what does not.
            routes.sort_by_key(|route| route.query.is_none());
            let inserted = tree.insert(pattern.as_str(), routes);
            // The table is generated and a test inserts all of it, so this never says anything.
            if let Err(error) = inserted {
                tracing::error!(%pattern, %error, "operations at this path cannot be reached");
            }
        }
        Self { tree }
    }

    /// The operation that a request means, if there is one.
    pub(crate) fn find<'r, 'p>(
        &'r self,
        method: &str,
        path: &'p str,
        query: &str,
    ) -> Option<Matched<'r, 'p>> {
        let found = self.tree.at(path).ok()?;
        let route = found.value.iter().find(|route| {
            route.operation.method == method
                && route.query.is_none_or(|(name, value)| {
                    parameters(query).any(|(key, given)| key == name && given == value)
                })
        })?;
        Some(Matched { route, values: found.params.iter().map(|(_, value)| value).collect() })
    }
}

/// `/restapis/{restapi_id}` → `/restapis/{0}` and the names of the labels; `{name+}` takes the rest of the path.
fn positional(path: &'static str) -> (String, Vec<&'static str>) {
    let mut labels = Vec::new();
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| {
            let Some(label) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
                return segment.to_owned();
            };
            let position = labels.len();
            match label.strip_suffix('+') {
                Some(greedy) => {
                    labels.push(greedy);
                    format!("{{*{position}}}")
                }
                None => {
                    labels.push(label);
                    format!("{{{position}}}")
                }
            }
        })
        .collect();
    (segments.join("/"), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, target: &str, expected: Option<(&str, &[&str])>) {
        let router = Router::new();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let found = router.find(method, path, query);
        let found = found.as_ref().map(|found| (found.route.operation.name, found.values.as_slice()));
        assert_eq!(found, expected, "{method} {target}");
    }

    #[test]
    fn finds_operations() {
        check("POST", "/restapis", Some(("CreateRestApi", &[])));
        check("POST", "/restapis?mode=import", Some(("ImportRestApi", &[])));
        check("POST", "/restapis?failonwarnings=true&mode=import", Some(("ImportRestApi", &[])));
        check("PUT", "/restapis/a1?mode=merge", Some(("PutRestApi", &["a1"])));
        check("POST", "/apikeys?mode=import&format=csv", Some(("ImportApiKeys", &[])));
        check("GET", "/restapis/a/resources/b/methods/GET", Some(("GetMethod", &["a", "b", "GET"])));
        check("GET", "/tags/arn%3Aaws%2Fx", Some(("GetTags", &["arn%3Aaws%2Fx"])));
        check("GET", "/v2/tags/arn%3Aaws%2Fx", Some(("GetTags", &["arn%3Aaws%2Fx"])));
        check("DELETE", "/restapis/a/stages/dev/cache/data", Some(("FlushStageCache", &["a", "dev"])));
        check("POST", "/v2/apis", Some(("CreateApi", &[])));
        check("PUT", "/v2/apis", Some(("ImportApi", &[])));
        check("POST", "/@connections/abc%3D", Some(("PostToConnection", &["abc%3D"])));
        check("GET", "/", None);
        check("PATCH", "/restapis", None);
        check("GET", "/restapis/a/nothing", None);
    }

    #[test]
    fn every_operation_is_reached() {
        let router = Router::new();
        for service in Service::ALL {
            for operation in service.operations() {
                let (path, query) = operation.uri.split_once('?').unwrap_or((operation.uri, ""));
                let found =
                    router.find(operation.method, path, query).map(|found| found.route.operation.name);
                assert_eq!(found, Some(operation.name), "{}", operation.uri);
            }
        }
    }
}
