//! Which API and stage a request is for, told by its host and path.
//!
//! API traffic is `{api-id}.execute-api.{anything}` with the stage as the first path segment, or on any host
//! `/_aws/execute-api/{api-id}/{stage}/…`. An API or stage that does not exist answers as AWS does, 403 `Forbidden`:
//! AWS resolves every name below `execute-api`, so an unknown id is no reason for a 404 there either.
//!
//! A custom domain name is told by the whole host; its rules and mappings say where the request goes. On a domain with
//! mutual TLS nothing is answered before the client's certificate is known to be trusted.

use std::ops::Range;
use std::rc::Rc;

use stagedoor_http::RequestHead;
use stagedoor_policy::{ContextKeys, Values};
use stagedoor_shapes::apigateway::{EndpointType, SecurityPolicy};

use crate::client_certificate::ClientCertificate;
use crate::domains::Domain;
use crate::plan::Plan;
use crate::plan::http_api::DEFAULT_STAGE;
use crate::published::{Published, PublishedApi};
use crate::worker::{ConnectionInfo, TlsConnection};

/// The path under which API traffic is served on any host.
const PATH_STYLE: &str = "/_aws/execute-api/";

/// What stands between a private API's id and the number of a VPC endpoint in a host name.
const VPC_ENDPOINT: &str = "-vpce-";

/// Where a request belongs.
#[derive(Debug)]
pub enum Edge<'p> {
    /// To a stage of an API.
    Api(Target<'p>),
    /// To an API or stage that is not served, or not to this client.
    Refused,
    /// To a custom domain's health check.
    Healthy,
    /// To an HTTP API, and to nothing that it serves.
    NotFound,
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
    /// The custom domain that the request came by.
    pub via: Option<Via<'p>>,
}

/// How a custom domain sent a request to its stage.
#[derive(Debug)]
pub struct Via<'p> {
    /// The path of the mapping that matched.
    pub base_path: Option<&'p str>,
    /// The id of the routing rule that matched.
    pub rule_id: Option<&'p str>,
    /// The domain's ARN, if it is private.
    pub domain_arn: Option<&'p str>,
    /// The client's certificate, if the domain asks for one. It is trusted.
    pub client_certificate: Option<Rc<ClientCertificate>>,
}

/// Finds out where a request belongs.
#[must_use]
pub fn resolve<'p>(published: &'p Published, head: &RequestHead, connection: &ConnectionInfo) -> Edge<'p> {
    let path = head.path();
    let host_id = head.headers.get("host").and_then(|host| api_id_of_host(host));
    // Only other hosts have to be known whole.
    let host = || head.headers.get_str("host").map(without_port);
    let vpc_endpoint = connection.vpc_endpoint.as_deref();
    if host_id.is_none()
        && let Some(host) = host()
        && let Some(domain) = published.domains.find(host, vpc_endpoint.map(|endpoint| &*endpoint.id))
    {
        // Public names resolve to public addresses, also for clients within a VPC; at the endpoint itself nobody is.
        if domain.private_to.is_none() && connection.is_at_vpc_endpoint {
            return Edge::Refused;
        }
        return through_domain(published, domain, host, head, connection).unwrap_or(Edge::Refused);
    }
    // Behind a VPC endpoint's own name, a header says which API is meant.
    let named_id = vpc_endpoint.and_then(|_| head.headers.get_str("x-apigw-api-id"));
    if let (Some(named), Some(of_host)) = (named_id, host_id)
        && find(published, &of_host.to_ascii_lowercase()).is_some()
        && !bare_id(named).eq_ignore_ascii_case(bare_id(of_host))
    {
        // What was signed for one API, by its host, would reach another.
        return Edge::Refused;
    }
    let (id, after_id) = if let Some(id) = named_id.or(host_id) {
        (id, path)
    } else if let Some(rest) = path.strip_prefix(PATH_STYLE) {
        rest.split_at(rest.find('/').unwrap_or(rest.len()))
    } else {
        return Edge::NotApiTraffic;
    };
    // Names of hosts have no case, ids have: the spelling is changed only where it found nothing.
    let found = find(published, id).or_else(|| find(published, &host_id?.to_ascii_lowercase()));
    let Some(api) = found else {
        return Edge::Refused;
    };
    if api.is_http {
        if vpc_endpoint.is_some() {
            return Edge::Refused;
        }
        let default_by_name = host_id.is_none();
        return find_stage(api, path, after_id, default_by_name).map_or(Edge::NotFound, Edge::Api);
    }
    if api.endpoint_disabled || (api.strict && !is_made_for(host(), connection)) {
        return Edge::Refused;
    }
    let after_id = after_id.trim_start_matches('/');
    let stage_end = after_id.find('/').unwrap_or(after_id.len());
    let (stage, below) = after_id.split_at(stage_end);
    let Some(plan) = api.stages.get(stage) else { return Edge::Refused };
    // The names of default endpoints lead clients within a VPC to its endpoint, which leads to private APIs alone.
    let is_reached = match plan.endpoint_type {
        EndpointType::Private => reaches_private(id, connection),
        _ => vpc_endpoint.is_none(),
    };
    if !is_reached {
        return Edge::Refused;
    }
    Edge::Api(Target { plan, path: path.len() - below.len()..path.len(), via: None })
}

/// Whether a connection was made for a host.
fn is_made_for(host: Option<&str>, connection: &ConnectionInfo) -> bool {
    let made_for = connection.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
    made_for.zip(host).is_some_and(|(made_for, host)| made_for.eq_ignore_ascii_case(host))
}

/// The security policy of the API that a host names.
#[must_use]
pub fn security_policy(published: &Published, host: &str) -> Option<SecurityPolicy> {
    let id = api_id_of_host(host.as_bytes())?;
    let api = find(published, id).or_else(|| find(published, &id.to_ascii_lowercase()))?;
    api.security_policy
}

/// Whether a client may see a private API at all: it has to come through a VPC endpoint, and if the host names one,
/// through that one. Whom the API's policy admits is decided later.
fn reaches_private(id: &str, connection: &ConnectionInfo) -> bool {
    let Some(endpoint) = &connection.vpc_endpoint else { return false };
    let named = id.find(VPC_ENDPOINT).and_then(|at| id.get(at + 1..));
    named.is_none_or(|named| named.eq_ignore_ascii_case(&endpoint.id))
}

/// What a private domain's policy may ask about a request.
impl ContextKeys for ConnectionInfo {
    fn values(&self, key: &str) -> Values<'_> {
        let endpoint = self.vpc_endpoint.as_deref();
        match key {
            "aws:sourcevpce" => Values::from_option(endpoint.map(|endpoint| endpoint.id.as_str().into())),
            "aws:sourcevpc" => {
                Values::from_option(endpoint.and_then(|endpoint| Some(endpoint.vpc.as_deref()?.into())))
            }
            "aws:vpcsourceip" => Values::One(self.peer.ip().to_canonical().to_string().into()),
            "aws:securetransport" => Values::One(if self.tls.is_some() { "true" } else { "false" }.into()),
            _ => Values::Absent,
        }
    }
}

/// A custom domain's way to a stage; `None` refuses the request.
fn through_domain<'p>(
    published: &'p Published,
    domain: &'p Domain,
    host: &str,
    head: &RequestHead,
    connection: &ConnectionInfo,
) -> Option<Edge<'p>> {
    let endpoint = connection.vpc_endpoint.as_ref().map(|endpoint| &*endpoint.id);
    // A connection made for one name brings neither the certificate nor the rules of another.
    let made_for = |tls: &TlsConnection| {
        let name = tls.server_name.as_deref()?;
        published.domains.find(name, endpoint).filter(|found| std::ptr::eq(*found, domain))
    };
    if domain.strict && !is_made_for(Some(host), connection) {
        return None;
    }
    let client_certificate = match &domain.mutual_tls {
        None => None,
        Some(truststore) => {
            let tls = connection.tls.as_ref()?;
            made_for(tls)?;
            let certificate = tls.client_certificate(truststore);
            let refused = |reason: &String| {
                tracing::info!(domain = &*domain.name, peer = %connection.peer, "Access denied. Reason: {reason}");
            };
            Some(certificate.inspect_err(refused).ok()?)
        }
    };
    if domain.private_to.is_some() && !domain.policy.as_ref()?.admits(connection) {
        return None;
    }
    let path = head.path();
    if matches!(path, "/ping" | "/sping") {
        return Some(Edge::Healthy);
    }
    let way = domain.route(head)?;
    let rest = path.get(way.base_length..)?;
    let (stage, below) = match way.stage {
        Some(stage) => (stage, rest),
        None => {
            let rest = rest.trim_start_matches('/');
            rest.split_at(rest.find('/').unwrap_or(rest.len()))
        }
    };
    let plan = published.apis.get(way.api_id)?.stages.get(stage)?;
    // Private APIs stand behind private domains, and nothing else does.
    if (plan.endpoint_type == EndpointType::Private) != domain.private_to.is_some() {
        return None;
    }
    let own_policy = domain.policy.as_ref().filter(|_| domain.private_to.is_some());
    let domain_arn = own_policy.map(|policy| policy.arn.as_str());
    let via = Via { base_path: way.base_path, rule_id: way.rule_id, domain_arn, client_certificate };
    Some(Edge::Api(Target { plan, path: path.len() - below.len()..path.len(), via: Some(via) }))
}

/// The stage of an HTTP API: the one that the path begins with, or `$default` for the whole path. Where an address
/// cannot do without a stage, `$default` may be named too.
fn find_stage<'p>(
    api: &'p PublishedApi,
    path: &str,
    after_id: &str,
    default_by_name: bool,
) -> Option<Target<'p>> {
    if api.endpoint_disabled {
        return None;
    }
    let after_slash = after_id.strip_prefix('/').unwrap_or(after_id);
    let stage_end = after_slash.find('/').unwrap_or(after_slash.len());
    let (stage, below) = after_slash.split_at(stage_end);
    let named = api.stages.get(stage).filter(|_| default_by_name || stage != DEFAULT_STAGE);
    let (plan, below) = match named {
        Some(plan) => (plan, below),
        None => (api.stages.get(DEFAULT_STAGE)?, after_id),
    };
    Some(Target { plan, path: path.len() - below.len()..path.len(), via: None })
}

fn find<'p>(published: &'p Published, id: &str) -> Option<&'p PublishedApi> {
    published.apis.get(id).or_else(|| {
        // A private API's host name carries the id of a VPC endpoint after the API's own.
        published.apis.get(id.split_once(VPC_ENDPOINT)?.0)
    })
}

/// An API's id without that of a VPC endpoint.
fn bare_id(id: &str) -> &str {
    id.split_once(VPC_ENDPOINT).map_or(id, |(id, _)| id)
}

/// A host without its port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a request names its API in its path rather than by its host.
pub(crate) fn is_by_path(head: &RequestHead) -> bool {
    let host_id = head.headers.get("host").and_then(|host| api_id_of_host(host));
    head.path().starts_with(PATH_STYLE) && host_id.is_none()
}

/// The API id in a host name, if it is one of ours.
fn api_id_of_host(host: &[u8]) -> Option<&str> {
    const LABEL: &[u8] = b"execute-api";
    let (id, rest) = host.split_at_checked(memchr::memchr(b'.', host)?)?;
    let rest = rest.get(1..)?;
    let label = rest.get(..LABEL.len())?;
    let ends = matches!(rest.get(LABEL.len()), None | Some(b'.' | b':'));
    let is_api = ends && (label == LABEL || label.eq_ignore_ascii_case(LABEL)) && !id.is_empty();
    std::str::from_utf8(id).ok().filter(|_| is_api)
}

#[cfg(test)]
mod tests {
    use crate::fast_map::FastMap;
    use std::sync::Arc;

    use http::Method;
    use stagedoor_http::{Headers, Version};

    use super::*;
    use crate::domains::{Domains, PathMapping, VpcEndpoint};

    fn check(host: &str, target: &str, expected: &str) {
        let stages = FastMap::from_iter([("dev".to_owned(), Arc::new(Plan::empty("abc", "dev")))]);
        let open = PublishedApi { stages: stages.clone(), ..PublishedApi::default() };
        let closed = PublishedApi { endpoint_disabled: true, stages, ..PublishedApi::default() };
        let named = |name: &str| (name.to_owned(), Arc::new(Plan::empty("http", name)));
        let http = |stages| PublishedApi { is_http: true, stages, ..PublishedApi::default() };
        let apis = [
            ("abc".into(), open),
            ("closed".into(), closed),
            ("http".into(), http(FastMap::from_iter([named("dev"), named("$default")]))),
            ("named".into(), http(FastMap::from_iter([named("dev")]))),
        ];
        let mut domains = Domains::default();
        let mapping = |path: &str, stage: Option<&str>| PathMapping {
            path: path.into(),
            api_id: "closed".into(),
            stage: stage.map(str::to_owned),
        };
        domains.insert(Domain {
            name: "api.example.com".into(),
            mappings: vec![mapping("v1", Some("dev")), mapping("all", None)],
            ..Domain::default()
        });
        domains.insert(Domain { name: "strict.example.com".into(), strict: true, ..Domain::default() });
        let published = Published { apis: FastMap::from_iter(apis), domains: Arc::new(domains) };
        let mut headers = Headers::new();
        headers.append("Host", host.to_owned());
        let head = RequestHead {
            method: Method::GET,
            target: target.to_owned().into(),
            version: Version::Http11,
            headers,
        };
        let connection = ConnectionInfo::new(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into(), None);
        let found = match resolve(&published, &head, &connection) {
            Edge::Healthy => "healthy".to_owned(),
            Edge::Api(found) => format!("{} {:?}", found.plan.stage, &target[found.path]),
            Edge::Refused => "refused".to_owned(),
            Edge::NotFound => "not found".to_owned(),
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
    fn http_apis() {
        check("http.execute-api.x", "/dev/users", r#"dev "/users""#);
        check("http.execute-api.x", "/dev", r#"dev """#);
        check("http.execute-api.x", "/users?a", r#"$default "/users""#);
        check("http.execute-api.x", "/", r#"$default "/""#);
        check("http.execute-api.x", "/$default/a", r#"$default "/$default/a""#);
        check("http.execute-api.x", "//dev/a", r#"$default "//dev/a""#);
        check("named.execute-api.x", "/dev/a", r#"dev "/a""#);
        check("named.execute-api.x", "/users", "not found");
        check("localhost", "/_aws/execute-api/http/dev/a", r#"dev "/a""#);
        check("localhost", "/_aws/execute-api/http/$default/a", r#"$default "/a""#);
        check("localhost", "/_aws/execute-api/http/a/b", r#"$default "/a/b""#);
        check("localhost", "/_aws/execute-api/http", r#"$default """#);
    }

    #[test]
    fn by_custom_domain() {
        // An API whose own address is switched off is reached this way alone.
        check("api.example.com:8443", "/v1/users?a", r#"dev "/users""#);
        check("API.example.com", "/v1", r#"dev """#);
        check("api.example.com", "/all/dev/users", r#"dev "/users""#);
        check("api.example.com", "/all/other/users", "refused");
        check("api.example.com", "/v2", "refused");
        check("api.example.com", "/ping", "healthy");
        check("api.example.com", "/sping", "healthy");
        check("api.example.com", "/ping/x", "refused");
        check("strict.example.com", "/ping", "refused");
        check("other.example.com", "/v1", "other");
    }

    #[test]
    fn private_domains_and_apis_are_reached_through_their_endpoints() {
        let private = |id: &str| {
            let mut plan = Plan::empty(id, "dev");
            plan.endpoint_type = EndpointType::Private;
            let stages = FastMap::from_iter([("dev".to_owned(), Arc::new(plan))]);
            (id.to_owned(), PublishedApi { stages, ..PublishedApi::default() })
        };
        let policy = r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:r:a:/d/*"},
            {"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:r:a:/d/*",
             "Condition":{"StringEquals":{"aws:SourceVpce":"vpce-2"}}}]}"#;
        let policy = stagedoor_policy::Policy::parse(policy, stagedoor_policy::Kind::Resource).unwrap();
        let mapping = || PathMapping { path: String::new(), api_id: "abc".into(), stage: Some("dev".into()) };
        let mut domains = Domains::default();
        domains.insert(Domain {
            name: "in.example.com".into(),
            private_to: Some(vec!["vpce-1".into(), "vpce-2".into()]),
            policy: Some(crate::domains::DomainPolicy { policy, arn: "arn:aws:execute-api:r:a:/d".into() }),
            mappings: vec![mapping()],
            ..Domain::default()
        });
        let to_public = PathMapping { api_id: "public".into(), ..mapping() };
        domains.insert(Domain {
            name: "public.example.com".into(),
            mappings: vec![to_public],
            ..Domain::default()
        });
        domains.insert(Domain {
            name: "out.example.com".into(),
            mappings: vec![mapping()],
            ..Domain::default()
        });
        let public = |id: &str, is_http: bool| {
            let stages = FastMap::from_iter([("dev".to_owned(), Arc::new(Plan::empty(id, "dev")))]);
            (id.to_owned(), PublishedApi { is_http, stages, ..PublishedApi::default() })
        };
        let apis = FastMap::from_iter([private("abc"), public("public", false), public("http", true)]);
        let published = Published { apis, domains: Arc::new(domains) };
        let check = |host: &str, endpoint: Option<&str>, named: Option<&str>, expected: &str| {
            let mut headers = Headers::new();
            headers.append("Host", host.to_owned());
            if let Some(named) = named {
                headers.append("x-apigw-api-id", named.to_owned());
            }
            let target = "/dev/a".into();
            let head = RequestHead { method: Method::GET, target, version: Version::Http11, headers };
            let id = endpoint.map(|given| given.strip_prefix("listener ").unwrap_or(given));
            let endpoint_ = id.map(|id| Arc::new(VpcEndpoint { id: id.to_owned(), vpc: None }));
            let (peer, local) = (([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 2).into());
            let mut connection = ConnectionInfo::new(peer, local, endpoint_);
            connection.is_at_vpc_endpoint = id != endpoint;
            let found = match resolve(&published, &head, &connection) {
                Edge::Api(_) => "served",
                Edge::Refused => "refused",
                Edge::Healthy | Edge::NotFound | Edge::NotApiTraffic => "other",
            };
            assert_eq!(found, expected, "{host} {endpoint:?}");
        };
        check("public.execute-api.x", None, None, "served");
        check("public.execute-api.x", Some("vpce-1"), None, "refused");
        check("public-vpce-1.execute-api.x", Some("vpce-1"), None, "refused");
        check("vpce-1.execute-api.x", Some("vpce-1"), Some("public"), "refused");
        check("http.execute-api.x", None, None, "served");
        check("http.execute-api.x", Some("vpce-1"), None, "refused");
        check("abc.execute-api.x", None, None, "refused");
        check("abc.execute-api.x", Some("vpce-1"), None, "served");
        check("abc-vpce-1.execute-api.x", Some("vpce-1"), None, "served");
        check("abc-vpce-1.execute-api.x", Some("vpce-2"), None, "refused");
        check("abc-vpce-1.execute-api.x", None, None, "refused");
        check("vpce-1.execute-api.x", Some("vpce-1"), Some("abc"), "served");
        check("vpce-1.execute-api.x", None, Some("abc"), "refused");
        check("abc-vpce-1.execute-api.x", Some("vpce-1"), Some("abc"), "served");
        check("public.execute-api.x", Some("vpce-1"), Some("abc"), "refused");
        check("PUBLIC-vpce-1.execute-api.x", Some("vpce-1"), Some("abc"), "refused");
        check("in.example.com", Some("vpce-1"), None, "served");
        check("in.example.com", Some("vpce-2"), None, "refused");
        check("in.example.com", Some("vpce-3"), None, "other");
        check("in.example.com", None, None, "other");
        check("out.example.com", Some("vpce-1"), None, "refused");
        // Clients within a VPC reach public names as everybody does, but not at the endpoint itself.
        check("public.example.com", Some("vpce-1"), None, "served");
        check("public.example.com", Some("listener vpce-1"), None, "refused");
        check("in.example.com", Some("listener vpce-1"), None, "served");
        check("abc.execute-api.x", Some("listener vpce-1"), None, "served");
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
