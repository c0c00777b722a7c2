//! X-Ray: which requests are traced, the trace header that goes on, and the segment that tells of a request.
//!
//! Segments go to an X-Ray daemon, or whatever speaks its protocol (OpenTelemetry's collector does), as UDP datagrams:
//! nobody waits for them, and where nobody listens they are lost, as with AWS's own clients.

use std::cell::Cell;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value, json};

use crate::exchange::Exchange;
use crate::ids;
use crate::plan::integration::Integration;

/// What precedes a segment in a datagram.
const HEADER: &str = "{\"format\": \"json\", \"version\": 1}\n";
/// Of the requests after the first of a second, one in so many is traced: X-Ray's default rule, 5 %.
const ONE_IN: u64 = 20;

/// A worker's way to the daemon, and its share of what is sampled.
pub(crate) struct Tracer {
    socket: Option<UdpSocket>,
    daemon: Option<SocketAddr>,
    /// The second in which a request was last traced for being the first.
    first_of_second: Cell<u64>,
}

/// How a request takes part in a trace.
#[derive(Debug)]
pub struct Trace {
    /// `1-5759e988-bd862e3fe1be46a994272793`.
    root: String,
    /// The segment of whoever called, if that is traced.
    parent: Option<String>,
    /// The segment of this request.
    id: String,
    /// Whether it is recorded.
    pub(crate) is_sampled: bool,
}

impl Tracer {
    pub(crate) fn new(daemon: Option<SocketAddr>) -> Self {
        let socket = daemon.and_then(|daemon| {
            let any = match daemon {
                SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            };
            let socket = UdpSocket::bind(any).ok()?;
            socket.set_nonblocking(true).ok()?;
            Some(socket)
        });
        Self { socket, daemon, first_of_second: Cell::new(0) }
    }

    fn samples(&self, second: u64) -> bool {
        self.first_of_second.replace(second) != second || ids::random().is_multiple_of(ONE_IN)
    }

    /// Tells the daemon of a request that has been answered.
    pub(crate) fn send(&self, exchange: &Exchange<'_>, trace: &Trace) {
        if let (Some(socket), Some(daemon)) = (&self.socket, self.daemon) {
            let datagram = format!("{HEADER}{}", segment(exchange, trace));
            // Lost, if the daemon is not there or too slow.
            let _ = socket.send_to(datagram.as_bytes(), daemon);
        }
    }
}

impl Trace {
    /// A request's part in the trace that its client's header names, or in a new one.
    pub(crate) fn begin(sent: Option<&str>, tracer: &Tracer, received_at: SystemTime) -> Self {
        let field = |name: &str| {
            let mut fields = sent?.split(';').filter_map(|field| field.trim().split_once('='));
            fields.find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        let second = received_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let new = || String::from_utf8_lossy(&ids::trace_id(second)).trim_start_matches("Root=").to_owned();
        Self {
            root: field("Root").filter(|root| is_trace_id(root)).map_or_else(new, str::to_owned),
            parent: field("Parent").filter(|parent| is_segment_id(parent)).map(str::to_owned),
            id: segment_id(),
            is_sampled: match field("Sampled") {
                Some("1") => true,
                Some("0") => false,
                _ => tracer.samples(second),
            },
        }
    }

    /// The header for whoever is called.
    pub(crate) fn header(&self) -> String {
        format!("Root={};Parent={};Sampled={}", self.root, self.id, u8::from(self.is_sampled))
    }
}

fn segment_id() -> String {
    format!("{:016x}", ids::random())
}

fn is_segment_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_trace_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex =
        |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(parts.as_slice(), ["1", time, id] if is_hex(time, 8) && is_hex(id, 24))
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The segment of a stage, with a subsegment for the call of its integration.
fn segment(exchange: &Exchange<'_>, trace: &Trace) -> Value {
    let (plan, record) = (exchange.plan, &exchange.record);
    let began = exchange.received_at;
    let at = |instant: Instant| began + instant.saturating_duration_since(exchange.started);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let status = record.response.status;
    let host = exchange.domain_name().unwrap_or_default();
    let mut segment = json!({
        "name": format!("{}/{}", plan.api_name, plan.stage),
        "id": trace.id,
        "trace_id": trace.root,
        "start_time": seconds(began),
        "end_time": seconds(began + record.response.latency.unwrap_or_default()),
        "origin": "AWS::ApiGateway::Stage",
        "resource_arn": format!(
            "arn:aws:apigateway:{}::/restapis/{}/stages/{}",
            plan.region, plan.api_id, plan.stage
        ),
        "http": {
            "request": {
                "method": exchange.head.method.as_str(),
                "url": format!("https://{host}{}", exchange.path_with_stage()),
                "client_ip": exchange.source_ip(),
            },
            "response": {"status": status},
        },
        "aws": {"api_gateway": {
            "account_id": &*plan.account_id,
            "rest_api_id": &*plan.api_id,
            "stage": &*plan.stage,
            "request_id": text(&exchange.request_id),
        }},
        "annotations": {"aws:api_id": &*plan.api_id, "aws:api_stage": &*plan.stage},
        "metadata": {"default": {
            "request_id": text(&exchange.request_id),
            "extended_request_id": text(exchange.extended_request_id()),
        }},
    });
    let metadata = segment.pointer_mut("/metadata/default").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata.filter(|_| !record.policies.is_empty()) {
        let policies =
            record.policies.iter().map(|(name, why)| ((*name).to_owned(), Value::from(why.as_str())));
        metadata.insert("policies".to_owned(), policies.collect());
    }
    let Some(members) = segment.as_object_mut() else { return segment };
    if let Some(parent) = &trace.parent {
        members.insert("parent_id".to_owned(), parent.as_str().into());
    }
    members.extend(flags(status));
    if let (Some(started), Some(latency)) = (record.integration.began, record.integration.latency) {
        let call = subsegment(exchange, at(started), latency);
        members.insert("subsegments".to_owned(), Value::Array(vec![call]));
    }
    segment
}

fn subsegment(exchange: &Exchange<'_>, began: SystemTime, latency: Duration) -> Value {
    let record = &exchange.record.integration;
    let status = record.service_status.or(record.status);
    let (name, namespace) = match exchange.method().map(|method| &method.integration) {
        Some(Integration::Http(http)) => (&*http.endpoint.uri.upstream.authority, "remote"),
        Some(Integration::HttpProxy(proxy)) => (&*proxy.endpoint.uri.upstream.authority, "remote"),
        Some(Integration::Aws(service)) => (&*service.service.signing_name, "aws"),
        _ => ("Lambda", "aws"),
    };
    let mut subsegment = json!({
        "id": segment_id(),
        "name": name,
        "start_time": seconds(began),
        "end_time": seconds(began + latency),
        "namespace": namespace,
    });
    let Some(members) = subsegment.as_object_mut() else { return subsegment };
    match status {
        Some(status) => {
            members.insert("http".to_owned(), json!({"response": {"status": status}}));
            members.extend(flags(status));
        }
        None => _ = members.insert("fault".to_owned(), true.into()),
    }
    subsegment
}

/// X-Ray's words for statuses that are no success.
fn flags(status: u16) -> Map<String, Value> {
    let names: &[&str] = match status {
        429 => &["error", "throttle"],
        400..=499 => &["error"],
        500..=599 => &["fault"],
        _ => &[],
    };
    names.iter().map(|name| ((*name).to_owned(), Value::Bool(true))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sent: &str, expected: Option<(&str, Option<&str>, bool)>) {
        let trace = Trace::begin(Some(sent), &Tracer::new(None), SystemTime::now());
        match expected {
            Some((root, parent, sampled)) => {
                assert_eq!((trace.root.as_str(), trace.parent.as_deref()), (root, parent), "{sent}");
                assert_eq!(trace.is_sampled, sampled, "{sent}");
                let header = format!("Root={root};Parent={};Sampled={}", trace.id, u8::from(sampled));
                assert_eq!(trace.header(), header);
            }
            None => {
                assert!(is_trace_id(&trace.root) && !sent.contains(&trace.root), "{sent}");
                assert!(trace.is_sampled, "the first of a second");
            }
        }
    }

    #[test]
    fn headers_of_clients() {
        let root = "1-5759e988-bd862e3fe1be46a994272793";
        check(&format!("Root={root};Sampled=0"), Some((root, None, false)));
        let parent = "53995c3f42cd8ad8";
        check(&format!("Root={root}; Parent={parent}; Sampled=1"), Some((root, Some(parent), true)));
        check(&format!("Root={root};Parent=x"), Some((root, None, true)));
        check("Root=2-5759e988-bd862e3fe1be46a994272793", None);
        check("Root=1-\"}", None);
        check("", None);
    }

    #[test]
    fn the_first_of_a_second_is_sampled_and_few_others() {
        let tracer = Tracer::new(None);
        assert!(tracer.samples(1) && tracer.samples(2));
        let others = (0..10_000).filter(|_| tracer.samples(2)).count();
        assert!((300..700).contains(&others), "{others}");
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read(sent in "(Root=|Parent=|Sampled=|;|1-|[0-9a-f]{8}|\\PC){0,12}") {
            let header = Trace::begin(Some(&sent), &Tracer::new(None), SystemTime::now()).header();
            proptest::prop_assert_eq!(header.matches(';').count(), 2);
        }
    }
}
