//! Custom domain names being served: one immutable index, from a host name to the stages behind it.
//!
//! It is published together with the plans. A mapping names an API and a stage, not a plan, so that deployments and
//! mappings change independently; what it names is looked up with each request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use stagedoor_http::RequestHead;
use stagedoor_policy::{Caller, ContextKeys, Decision, Policy, Request};
use stagedoor_shapes::apigateway::SecurityPolicy;

use crate::client_certificate::Truststore;
use crate::fast_map::FastMap;

/// All custom domain names, by host.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    exact: FastMap<String, Arc<Domain>>,
    /// `*.example.com` under `example.com`.
    wildcard: FastMap<String, Arc<Domain>>,
    /// Private domains; several may have one name, each for VPC endpoints of its own.
    private: FastMap<String, Vec<Arc<Domain>>>,
    /// The TLS settings of connections that ask for no domain of ours: `execute-api` hosts, by their API's policy, and
    /// names that are unknown.
    pub default_tls: HashMap<SecurityPolicy, Arc<ServerConfig>>,
}

/// A custom domain name.
#[derive(Debug, Default)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// The VPC endpoints it is reached through, if it is private.
    pub private_to: Option<Vec<String>>,
    /// What a private one's policy says; without one nobody is let in.
    pub policy: Option<DomainPolicy>,
    /// Whether only connections that were made for this very name are answered (`endpointAccessMode` STRICT).
    pub strict: bool,
    /// What clients have to be trusted by, if they have to show certificates.
    pub mutual_tls: Option<Arc<Truststore>>,
    /// How connections for this name are encrypted.
    pub tls: Option<Arc<ServerConfig>>,
    /// Rules in the order in which they are asked, before the mappings.
    pub rules: Vec<Rule>,
    /// Mappings, longest path first ([`Domain::sort`]).
    pub mappings: Vec<PathMapping>,
}

/// The policy of a private domain.
#[derive(Debug)]
pub struct DomainPolicy {
    /// The policy.
    pub policy: Policy,
    /// The ARN that stands for the domain, and with a path below it for what is asked for.
    pub arn: String,
}

impl DomainPolicy {
    /// Whether a request may pass. Clients are anonymous here; who they are is asked by the API behind.
    #[must_use]
    pub fn admits(&self, keys: &dyn ContextKeys) -> bool {
        let below = format!("{}/", self.arn);
        let decisions = [self.arn.as_str(), &below].map(|resource| {
            let request = Request { caller: Caller::Anonymous, action: "execute-api:invoke", resource, keys };
            self.policy.evaluate(&request).decision
        });
        !decisions.contains(&Decision::ExplicitDeny) && decisions.contains(&Decision::Allow)
    }
}

/// A routing rule.
#[derive(Debug, Default)]
pub struct Rule {
    /// `$context.customDomain.routingRuleIdMatched`.
    pub id: String,
    /// Each has to match; any of its alternatives is enough.
    pub headers: Vec<Vec<(String, Glob)>>,
    /// Paths of whole segments, one of which has to match; none for any path.
    pub base_paths: Vec<String>,
    /// Where the request goes.
    pub api_id: String,
    /// The stage it goes to.
    pub stage: String,
    /// Whether the API sees the path without the base path.
    pub strip_base_path: bool,
}

/// A mapping of a path.
#[derive(Debug, Default)]
pub struct PathMapping {
    /// Whole segments without slashes around them; empty for what nothing else matches.
    pub path: String,
    /// Where requests go.
    pub api_id: String,
    /// The stage they go to; without one it is the path's next segment.
    pub stage: Option<String>,
}

/// A pattern for the value of a header: text with a star before it, behind it, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    open_start: bool,
    open_end: bool,
}

impl Glob {
    /// Reads a pattern.
    #[must_use]
    pub fn parse(glob: &str) -> Self {
        let (open_start, rest) = glob.strip_prefix('*').map_or((false, glob), |rest| (true, rest));
        let (open_end, text) = rest.strip_suffix('*').map_or((false, rest), |text| (true, text));
        // A lone star is open at both ends.
        Self { text: text.to_owned(), open_start, open_end: open_end || (open_start && text.is_empty()) }
    }

    fn matches(&self, value: &[u8]) -> bool {
        let text = self.text.as_bytes();
        match (self.open_start, self.open_end) {
            (false, false) => value == text,
            (false, true) => value.starts_with(text),
            (true, false) => value.ends_with(text),
            (true, true) => memchr::memmem::find(value, text).is_some(),
        }
    }
}

/// Where a domain sends a request.
#[derive(Clone, Copy, Debug)]
pub struct Way<'p> {
    /// The API.
    pub api_id: &'p str,
    /// The stage; without one it is the first segment of the rest.
    pub stage: Option<&'p str>,
    /// How many bytes of the path are the base path, with its slash.
    pub base_length: usize,
    /// The mapping's path, if a mapping matched.
    pub base_path: Option<&'p str>,
    /// The rule's id, if a rule matched.
    pub rule_id: Option<&'p str>,
}

impl Domains {
    /// Puts a domain into the index.
    pub fn insert(&mut self, mut domain: Domain) {
        domain.sort();
        let domain = Arc::new(domain);
        if domain.private_to.is_some() {
            self.private.entry(domain.name.clone()).or_default().push(domain);
        } else if let Some(parent) = domain.name.strip_prefix("*.") {
            self.wildcard.insert(parent.to_owned(), Arc::clone(&domain));
        } else {
            self.exact.insert(domain.name.clone(), domain);
        }
    }

    /// Whether there are no custom domains at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty() && self.private.is_empty()
    }

    /// The domain of a host name, without port and in any case, as it is seen from a VPC endpoint or from outside.
    #[must_use]
    pub fn find(&self, host: &str, vpc_endpoint: Option<&str>) -> Option<&Domain> {
        if self.is_empty() {
            return None;
        }
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.find_lower(&host.to_ascii_lowercase(), vpc_endpoint);
        }
        self.find_lower(host, vpc_endpoint)
    }

    fn find_lower(&self, host: &str, vpc_endpoint: Option<&str>) -> Option<&Domain> {
        if let Some(endpoint) = vpc_endpoint {
            let reached = |domain: &&Arc<Domain>| {
                domain.private_to.iter().flatten().any(|associated| associated == endpoint)
            };
            if let Some(domain) = self.private.get(host).and_then(|same| same.iter().find(reached)) {
                return Some(domain);
            }
        }
        let wildcard = || self.wildcard.get(host.split_once('.')?.1);
        self.exact.get(host).or_else(wildcard).map(|domain| &**domain)
    }

    /// The TLS settings for a name that a client asks for; `policy` is that of the API that the name stands for, if it
    /// stands for one.
    #[must_use]
    pub fn tls(
        &self,
        server_name: Option<&str>,
        vpc_endpoint: Option<&str>,
        policy: Option<SecurityPolicy>,
    ) -> Option<Arc<ServerConfig>> {
        let domain = server_name.and_then(|name| self.find(name, vpc_endpoint));
        match domain {
            // A domain whose certificate cannot be used is not served with another's.
            Some(domain) => domain.tls.clone(),
            None => self.default_tls.get(&policy.unwrap_or(SecurityPolicy::Tls1_2)).cloned(),
        }
    }
}

impl Domain {
    /// Brings the mappings into the order in which they are asked.
    fn sort(&mut self) {
        self.mappings.sort_by_key(|mapping| std::cmp::Reverse(mapping.path.len()));
    }

    /// Where a request goes.
    #[must_use]
    pub fn route(&self, head: &RequestHead) -> Option<Way<'_>> {
        let path = head.path();
        let by_rule = self.rules.iter().find_map(|rule| {
            let has = |(name, glob): &(String, Glob)| {
                head.headers.iter().any(|header| header.is(name) && glob.matches(&header.value))
            };
            if !rule.headers.iter().all(|any| any.iter().any(has)) {
                return None;
            }
            let base = if rule.base_paths.is_empty() {
                0
            } else {
                let lengths = rule.base_paths.iter().filter_map(|base| prefix_length(path, base));
                lengths.max()?
            };
            Some(Way {
                api_id: &rule.api_id,
                stage: Some(&rule.stage),
                base_length: if rule.strip_base_path { base } else { 0 },
                base_path: None,
                rule_id: Some(&rule.id),
            })
        });
        by_rule.or_else(|| {
            self.mappings.iter().find_map(|mapping| {
                Some(Way {
                    api_id: &mapping.api_id,
                    stage: mapping.stage.as_deref(),
                    base_length: prefix_length(path, &mapping.path)?,
                    base_path: Some(if mapping.path.is_empty() { "(none)" } else { &mapping.path }),
                    rule_id: None,
                })
            })
        })
    }
}

/// How much of a path a base path of whole segments takes, with the slash before it; `None` if it does not match.
fn prefix_length(path: &str, base: &str) -> Option<usize> {
    if base.is_empty() {
        return Some(0);
    }
    let rest = path.strip_prefix('/')?.strip_prefix(base)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(1 + base.len())
}

/// A VPC endpoint as this machine has it: a listener, or networks that clients come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcEndpoint {
    /// `aws:SourceVpce`.
    pub id: String,
    /// `aws:SourceVpc`.
    pub vpc: Option<String>,
}

/// The VPC endpoints that this machine has.
#[derive(Clone, Debug, Default)]
pub struct VpcEndpoints {
    /// Networks with the endpoint that their clients come through; the narrowest network decides.
    networks: Vec<(Network, Arc<VpcEndpoint>)>,
}

/// An address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    prefix: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8` or a single address.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no network such as 10.0.0.0/8");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (offset, bits_max) = if address.is_ipv4() { (96, 32) } else { (0, 128) };
        let prefix = match prefix {
            Some(prefix) => prefix.parse::<u8>().map_err(|_| wrong())?,
            None => bits_max,
        };
        if prefix > bits_max {
            return Err(wrong());
        }
        Ok(Self { address: bits(address), prefix: prefix + offset })
    }

    fn contains(self, address: u128) -> bool {
        let mask = if self.prefix == 0 { 0 } else { u128::MAX << (128 - u32::from(self.prefix)) };
        address & mask == self.address & mask
    }
}

/// IPv4 addresses in their IPv6 form, so that both compare alike.
fn bits(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl VpcEndpoints {
    /// The endpoints by the networks that their clients come from.
    #[must_use]
    pub fn new(mut networks: Vec<(Network, Arc<VpcEndpoint>)>) -> Self {
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix));
        Self { networks }
    }

    /// The endpoint that a client comes through.
    #[must_use]
    pub fn of_client(&self, client: IpAddr) -> Option<Arc<VpcEndpoint>> {
        if self.networks.is_empty() {
            return None;
        }
        let client = bits(client);
        let found = self.networks.iter().find(|(network, _)| network.contains(client));
        found.map(|(_, endpoint)| Arc::clone(endpoint))
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;
    use stagedoor_http::{Headers, Version};

    use super::*;

    fn mapping(path: &str, api: &str) -> PathMapping {
        PathMapping { path: path.into(), api_id: api.into(), stage: Some("s".into()) }
    }

    fn rule(id: &str, headers: &[(&str, &str)], base: &[&str], strip: bool) -> Rule {
        Rule {
            id: id.into(),
            headers: headers
                .iter()
                .map(|(name, glob)| vec![((*name).to_owned(), Glob::parse(glob))])
                .collect(),
            base_paths: base.iter().map(|base| (*base).to_owned()).collect(),
            api_id: id.into(),
            stage: "s".into(),
            strip_base_path: strip,
        }
    }

    fn check(domain: Domain, target: &str, headers: &[(&str, &str)], expected: &str) {
        let mut domain = domain;
        domain.sort();
        let mut sent = Headers::new();
        for (name, value) in headers {
            sent.append((*name).to_owned(), (*value).to_owned());
        }
        let head = RequestHead {
            method: Method::GET,
            target: target.to_owned().into(),
            version: Version::Http11,
            headers: sent,
        };
        let found = domain.route(&head).map(|way| format!("{} {}", way.api_id, &target[way.base_length..]));
        assert_eq!(found.as_deref().unwrap_or("none"), expected, "{target}");
    }

    #[test]
    fn the_longest_path_of_whole_segments_wins() {
        // The developer guide's table.
        let domain = || Domain {
            mappings: vec![
                mapping("", "1"),
                mapping("orders/v1/items", "2"),
                mapping("orders/v2/items", "3"),
                mapping("orders/v2/items/categories", "4"),
            ],
            ..Domain::default()
        };
        check(domain(), "/orders/v1/items", &[], "2 ");
        check(domain(), "/orders/v2/items", &[], "3 ");
        check(domain(), "/orders/v1/items/123", &[], "2 /123");
        check(domain(), "/orders/v2/items/categories/5", &[], "4 /5");
        check(domain(), "/customers", &[], "1 /customers");
        check(domain(), "/orders/v1/itemsX", &[], "1 /orders/v1/itemsX");
        check(domain(), "/orders/v1/items?x=/y", &[], "2 ?x=/y");
        check(Domain { mappings: vec![mapping("a", "1")], ..Domain::default() }, "/b", &[], "none");
    }

    #[test]
    fn rules_come_before_mappings() {
        let domain = || Domain {
            rules: vec![
                rule("both", &[("X-Version", "beta*"), ("hello", "World")], &[], false),
                rule("path", &[], &["users", "people/all"], true),
                rule("kept", &[("a", "*z")], &["orders"], false),
            ],
            mappings: vec![mapping("", "mapped")],
            ..Domain::default()
        };
        check(domain(), "/a", &[("x-version", "beta2"), ("Hello", "World")], "both /a");
        check(domain(), "/a", &[("x-version", "beta2")], "mapped /a");
        check(domain(), "/a", &[("x-version", "beta2"), ("hello", "world")], "mapped /a");
        check(domain(), "/users/1", &[], "path /1");
        check(domain(), "/people/all", &[], "path ");
        check(domain(), "/Users/1", &[], "mapped /Users/1");
        check(domain(), "/usersx", &[], "mapped /usersx");
        check(domain(), "/orders/1", &[("a", "xyz")], "kept /orders/1");
    }

    #[test]
    fn globs() {
        let check = |glob: &str, value: &str, expected: bool| {
            assert_eq!(Glob::parse(glob).matches(value.as_bytes()), expected, "{glob} {value}");
        };
        check("a*", "alpha", true);
        check("a*", "beta", false);
        check("*a", "alpha", true);
        check("*a", "users", false);
        check("*v*", "development", true);
        check("*v*", "beta", false);
        check("*", "", true);
        check("*", "x", true);
        check("A", "a", false);
    }

    #[test]
    fn hosts_are_found_whatever_their_case() {
        let mut domains = Domains::default();
        let named = |name: &str| Domain { name: name.into(), ..Domain::default() };
        domains.insert(named("api.example.com"));
        domains.insert(named("*.example.com"));
        domains.insert(Domain { private_to: Some(vec!["vpce-1".into()]), ..named("api.example.com") });
        domains.insert(Domain { private_to: Some(vec!["vpce-2".into()]), ..named("in.example.org") });
        let check = |host: &str, endpoint: Option<&str>, expected: &str| {
            let found = domains.find(host, endpoint);
            let found = found.map_or("none".to_owned(), |d| format!("{} {}", d.name, d.private_to.is_some()));
            assert_eq!(found, expected, "{host}");
        };
        check("API.example.com", None, "api.example.com false");
        check("b.example.com", None, "*.example.com false");
        check("a.b.example.com", None, "none");
        check("example.com", None, "none");
        check("api.example.com", Some("vpce-1"), "api.example.com true");
        check("api.example.com", Some("vpce-2"), "api.example.com false");
        check("in.example.org", None, "none");
        check("in.example.org", Some("vpce-1"), "none");
        check("in.example.org", Some("vpce-2"), "in.example.org true");
    }

    #[test]
    fn networks_hold_their_clients() {
        let check = |network: &str, client: &str, expected: bool| {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(bits(client.parse().unwrap())), expected, "{client}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/8", "::ffff:10.0.0.1", true);
        check("0.0.0.0/0", "192.0.2.1", true);
        check("0.0.0.0/0", "fd00::1", false);
        check("::/0", "192.0.2.1", true);
        check("fd00::/8", "fd12::1", true);
        check("127.0.0.1", "127.0.0.2", false);
        for wrong in ["", "10.0.0.0/33", "x/8", "::/129", "10.0.0.0/-1"] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_network_is_read_or_refused(text in "[0-9a-f:./]{0,20}") {
            let _ = Network::parse(&text);
        }

        #[test]
        fn a_base_path_ends_between_segments(path in "/[a-b/]{0,8}", base in "[a-b]{1,2}(/[a-b]{1,2}){0,2}") {
            if let Some(length) = prefix_length(&path, &base) {
                prop_assert_eq!(&path[1..length], &base);
                prop_assert!(path.len() == length || path.as_bytes()[length] == b'/');
            }
        }
    }
}
