//! Which API and stage a request is for, told by its host and path.
//!
//! API traffic is `{api-id}.execute-api.{anything}` with the stage as the first path segment, or on any host
//! `/_aws/execute-api/{api-id}/{stage}/…`. An API or stage that does not exist answers as AWS does, 403 `Forbidden`:
//! AWS resolves every name below `execute-api`, so an unknown id is no reason for a 404 there either.

use std::ops::Range;

use stagedoor_http::RequestHead;

use crate::plan::Plan;
use crate::published::{Published, PublishedApi};

/// The path under which API traffic is served on any host.
const PATH_STYLE: &str = "/_aws/execute-api/";

/// Where a request belongs.
#[derive(Debug)]
pub enum Edge<'p> {
    /// To a stage of an API.
    Api(Target<'p>),
    /// To an API or stage that is not served.
    Refused,
    /// Not to an API.
    NotApiTraffic,
}

/// The stage a request is for.
#[derive(Debug)]
pub struct Target<'p> {
    /// The compiled stage.
    pub plan: &'p Plan,
    /// Where in the request's target the path below the stage stands: `/users` of `/dev/users?x=y`. May be empty.
    pub path: Range<usize>,
}

/// Finds out where a request belongs.
#[must_use]
pub fn resolve<'p>(published: &'p Published, head: &RequestHead) -> Edge<'p> {
    let path = head.path();
    let host_id = head.headers.get_str("host").and_then(api_id_of_host);
    let (id, after_id) = if let Some(id) = host_id {
        (id, path)
    } else if let Some(rest) = path.strip_prefix(PATH_STYLE) {
        match rest.split_once('/') {
            Some((id, after)) => (id, after),
            None => (rest, ""),
        }
    } else {
        return Edge::NotApiTraffic;
    };
    // Names of hosts have no case, ids have: the spelling is changed only where it found nothing.
    let found = find(published, id).or_else(|| find(published, &host_id?.to_ascii_lowercase()));
    let Some(api) = found else {
        return Edge::Refused;
    };
    if api.endpoint_disabled {
        return Edge::Refused;
    }
    let after_id = after_id.trim_start_matches('/');
    let stage_end = after_id.find('/').unwrap_or(after_id.len());
    let (stage, below) = after_id.split_at(stage_end);
    let Some(plan) = api.stages.get(stage) else { return Edge::Refused };
    Edge::Api(Target { plan, path: path.len() - below.len()..path.len() })
}

fn find<'p>(published: &'p Published, id: &str) -> Option<&'p PublishedApi> {
    published.apis.get(id).or_else(|| {
        // A private API's host name carries the id of a VPC endpoint after the API's own.
        published.apis.get(id.split_once("-vpce-")?.0)
    })
}

/// The API id in a host name, if it is one of ours.
fn api_id_of_host(host: &str) -> Option<&str> {
    const LABEL: &str = "execute-api";
    let (id, rest) = host.split_once('.')?;
    let label = rest.get(..LABEL.len())?;
    let ends = matches!(rest.as_bytes().get(LABEL.len()), None | Some(b'.' | b':'));
    (ends && label.eq_ignore_ascii_case(LABEL) && !id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use http::Method;
    use stagedoor_http::{Headers, Version};

    use super::*;

    fn check(host: &str, target: &str, expected: &str) {
        let stages = HashMap::from([("dev".to_owned(), Arc::new(Plan::empty("abc", "dev")))]);
        let open = PublishedApi { endpoint_disabled: false, stages: stages.clone() };
        let closed = PublishedApi { endpoint_disabled: true, stages };
        let apis = [("abc".into(), open), ("closed".into(), closed)];
        let published = Published { apis: HashMap::from(apis) };
        let mut headers = Headers::new();
        headers.append("Host", host.to_owned());
        let head = RequestHead {
            method: Method::GET,
            target: target.to_owned().into(),
            version: Version::Http11,
            headers,
        };
        let found = match resolve(&published, &head) {
            Edge::Api(found) => format!("{} {:?}", found.plan.stage, &target[found.path]),
            Edge::Refused => "refused".to_owned(),
            Edge::NotApiTraffic => "other".to_owned(),
        };
        assert_eq!(found, expected, "{host} {target}");
    }

    #[test]
    fn by_host() {
        check("abc.execute-api.localhost:8080", "/dev/users?a=/b", r#"dev "/users""#);
        check("abc.execute-api.us-east-1.amazonaws.com", "/dev", r#"dev """#);
        check("abc.EXECUTE-API", "/dev/", r#"dev "/""#);
        check("ABC.Execute-API.localhost", "/dev/a", r#"dev "/a""#);
        check("Abc-VPCE-0123.execute-api.x", "/dev/a", r#"dev "/a""#);
        check("ABC.execute-api.x", "/DEV", "refused");
        check("abc.execute-api.x", "//dev//a//b/", r#"dev "//a//b/""#);
        check("abc-vpce-0123.execute-api.x", "/dev/a", r#"dev "/a""#);
        check("abc.execute-api.x", "/other/users", "refused");
        check("abc.execute-api.x", "/", "refused");
        check("nope.execute-api.x", "/dev", "refused");
        check("closed.execute-api.x", "/dev", "refused");
        check("abc.execute-apis.x", "/dev", "other");
        check(".execute-api.x", "/dev", "other");
        check("localhost", "/dev", "other");
    }

    #[test]
    fn by_path() {
        check("localhost", "/_aws/execute-api/abc/dev/users/1?q", r#"dev "/users/1""#);
        check("localhost", "/_aws/execute-api/abc/dev", r#"dev """#);
        check("localhost", "/_aws/execute-api/abc", "refused");
        check("localhost", "/_aws/execute-api/nope/dev", "refused");
        check("localhost", "/_aws/execute-api/ABC/dev", "refused");
        check("localhost", "/_aws/execute-api", "other");
    }
}
