//! One request on its way through the pipeline, with everything the phases learn about it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use stagedoor_http::{Body, BodyError, BodyStream, Headers, RequestHead, ResponseHead, clock};
use stagedoor_policy::Verdict;
use stagedoor_shapes::apigateway::EndpointType;

use crate::clients::Client;

use crate::document::{Document, LastDocument};
use crate::domains::VpcEndpoint;
use crate::edge::{Target, Via};
use crate::gateway_response::Fault;
use crate::ids;
use crate::phases::authorization::iam::AccessKey;
use crate::phases::caching::CacheTurn;
use crate::phases::transformation::{IntegrationAnswer, IntegrationRequest};
use crate::plan::{MAX_PAYLOAD_BYTES, MethodPlan, Plan, ResourcePlan, Route};
use crate::record::{ClientCertRecord, Record};
use crate::vtl::{Parameters, TemplateScope};
use crate::websocket::event::SocketEvent;
use crate::worker::{ConnectionInfo, Worker};
use crate::xray::Trace;

/// One request and its answer.
pub struct Exchange<'a> {
    /// The worker that serves it.
    pub worker: &'a Rc<Worker>,
    /// The connection it came in on.
    pub connection: &'a ConnectionInfo,
    /// The stage it is for.
    pub plan: &'a Plan,
    /// The resource and method, once they are found.
    pub route: Option<Route<'a>>,
    /// The request. An integration that streams takes its headers with it, see [`Plan::keeps_request_headers`].
    pub head: RequestHead,
    /// Where in the target the path below the stage stands, still encoded.
    pub path: Range<usize>,
    /// The request's body.
    pub body: RequestBody,
    /// Whether nothing was left to arrive when the request began.
    pub came_whole: bool,
    /// `$context.requestId`.
    pub request_id: Bytes,
    /// `$context.extendedRequestId`, if it is another than that.
    extended_id: Option<Bytes>,
    /// When the request came in, for latencies.
    pub started: Instant,
    /// When the request came in, by the clock on the wall.
    pub received_at: SystemTime,
    /// What the resource policy says to somebody unknown, once it was asked.
    pub resource_verdict: Option<Verdict>,
    /// The API key that the request has, once it is known, and its usage plan.
    pub client: Option<Client>,
    /// Whose signature the request has, once it was verified.
    pub caller: Option<Arc<AccessKey>>,
    /// The method that came in, where `X-HTTP-Method-Override` has changed it since.
    pub overridden_method: Option<http::Method>,
    /// What goes to the integration, where it is not the client's own request.
    pub integration_request: IntegrationRequest,
    /// What came back from the integration, until it is turned into the response.
    pub integration_answer: Option<IntegrationAnswer>,
    /// The host that a mapping of an HTTP API has made for the backend.
    pub mapped_host: Option<Bytes>,
    /// The path that a mapping of an HTTP API has made.
    pub mapped_path: Option<String>,
    /// The query that a mapping of an HTTP API has made, encoded.
    pub mapped_query: Option<String>,
    /// Whether it is a browser's preflight, to an HTTP API with CORS headers of its own.
    pub is_preflight: bool,
    /// The client's `Host` where a mapping could change it: in HTTP APIs.
    pub original_host: Option<Bytes>,
    /// What goes to the client.
    pub response: Option<(ResponseHead, Body)>,
    /// What went wrong, once something has.
    pub fault: Option<Fault>,
    /// What the phases decided, and on what.
    pub record: Record,
    /// Whether this is a call of `TestInvokeMethod` rather than traffic.
    pub is_test: bool,
    /// What a test says that variables of `$context` are. Empty for traffic.
    pub additional_context: BTreeMap<String, String>,
    /// What mapping templates see and leave behind for each other.
    pub templates: Option<TemplateScope>,
    /// What templates are told of the request's parameters, once one has asked.
    pub(crate) template_parameters: Option<Rc<Parameters>>,
    /// What the request has to do with the stage's cache.
    pub cache_turn: Option<CacheTurn<'a>>,
    /// Whether it came by a custom domain name, so that its path has no stage before it.
    pub by_domain: bool,
    /// What it is an event of, in WebSocket APIs.
    pub socket: Option<SocketEvent>,
    /// What the last body that was read as JSON says.
    pub(crate) last_document: LastDocument,
    trace: OnceCell<Trace>,
    trace_id: OnceCell<Bytes>,
    query: OnceCell<Vec<(String, String)>>,
}

/// A request's body, read or unread.
pub enum RequestBody {
    /// Still arriving.
    Unread(Body),
    /// At hand.
    Whole(Bytes),
}

/// A request's body that is counted as it is read.
struct CountedBody {
    stream: Box<dyn BodyStream>,
    count: Rc<Cell<u64>>,
}

impl BodyStream for CountedBody {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let chunk = self.stream.poll_chunk(context);
        if let Poll::Ready(Some(Ok(bytes))) = &chunk {
            self.count.set(self.count.get() + bytes.len() as u64);
        }
        chunk
    }

    fn remaining(&self) -> Option<u64> {
        self.stream.remaining()
    }
}

impl<'a> Exchange<'a> {
    /// Begins a request.
    #[must_use]
    pub fn new(
        worker: &'a Rc<Worker>,
        connection: &'a ConnectionInfo,
        plan: &'a Plan,
        path: Range<usize>,
        head: RequestHead,
        body: Body,
    ) -> Self {
        let (request_id, extended_id) = match plan.http_api {
            // HTTP APIs have one id for a request, of the form that REST APIs have as a second.
            Some(_) => (ids::extended_request_id(), None),
            None => {
                let sent_id = head.headers.get("x-amzn-requestid");
                (sent_id.map_or_else(ids::request_id, ids::request_id_from), Some(ids::extended_request_id()))
            }
        };
        let started = clock::now();
        Self {
            worker,
            connection,
            plan,
            route: None,
            head,
            path,
            came_whole: !matches!(body, Body::Stream(_)),
            body: RequestBody::Unread(body),
            request_id,
            extended_id,
            started,
            received_at: clock::on_the_wall(started),
            resource_verdict: None,
            client: None,
            caller: None,
            overridden_method: None,
            integration_request: IntegrationRequest::default(),
            integration_answer: None,
            mapped_host: None,
            mapped_path: None,
            mapped_query: None,
            is_preflight: false,
            original_host: None,
            response: None,
            fault: None,
            record: Record::default(),
            is_test: false,
            additional_context: BTreeMap::new(),
            templates: None,
            template_parameters: None,
            cache_turn: None,
            by_domain: false,
            socket: None,
            last_document: LastDocument::default(),
            trace: OnceCell::new(),
            trace_id: OnceCell::new(),
            query: OnceCell::new(),
        }
    }

    /// `$context.extendedRequestId`.
    #[must_use]
    pub fn extended_request_id(&self) -> &Bytes {
        self.extended_id.as_ref().unwrap_or(&self.request_id)
    }

    /// Makes the extended id the only one, as events of WebSocket APIs have it.
    pub(crate) fn keep_one_id(&mut self) {
        if let Some(id) = self.extended_id.take() {
            self.request_id = id;
        }
    }

    /// The path below the stage, still encoded: `/users/1`, or nothing for the stage itself.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.path().get(self.path.clone()).unwrap_or_default()
    }

    /// Notes which way the request came.
    pub(crate) fn note_way(&mut self, target: &Target<'_>) {
        if let Some(via) = &target.via {
            self.came_by_domain(via);
        }
        if let Some(endpoint) = self.vpc_endpoint() {
            let identity = self.record.identity_mut();
            identity.vpce_id = Some(endpoint.id.as_str().into());
            identity.vpc_id = endpoint.vpc.as_deref().map(Into::into);
        }
    }

    /// The VPC endpoint that the request came through. Public APIs are reached by none.
    #[must_use]
    pub fn vpc_endpoint(&self) -> Option<&'a VpcEndpoint> {
        let endpoint = self.connection.vpc_endpoint.as_deref();
        endpoint.filter(|_| self.plan.endpoint_type == EndpointType::Private)
    }

    /// Notes what a custom domain knows of the request.
    pub fn came_by_domain(&mut self, via: &Via<'_>) {
        self.by_domain = true;
        self.record.base_path = via.base_path.map(Into::into);
        self.record.routing_rule = via.rule_id.map(Into::into);
        self.record.domain_arn = via.domain_arn.map(Into::into);
        if let Some(certificate) = &via.client_certificate {
            self.record.identity_mut().client_cert = Some(Box::new(ClientCertRecord {
                pem: certificate.pem.as_str().into(),
                subject_dn: certificate.subject_dn.as_str().into(),
                issuer_dn: certificate.issuer_dn.as_str().into(),
                serial_number: certificate.serial_number.as_str().into(),
                not_before: certificate.not_before.as_str().into(),
                not_after: certificate.not_after.as_str().into(),
            }));
        }
    }

    /// `$context.path`: the path with the stage before it; behind a custom domain, REST APIs show the path as the client
    /// sent it, HTTP APIs the stage all the same and no base path (users report it). A test has no stage.
    #[must_use]
    pub fn path_with_stage(&self) -> String {
        if self.by_domain && self.plan.http_api.is_none() {
            return self.head.path().to_owned();
        }
        if self.is_test {
            return self.path().to_owned();
        }
        match &self.plan.http_api {
            Some(http_api) if http_api.at_root => self.path().to_owned(),
            _ => format!("/{}{}", self.plan.stage, self.path()),
        }
    }

    /// The method that came in.
    #[must_use]
    pub fn received_method(&self) -> &str {
        self.overridden_method.as_ref().unwrap_or(&self.head.method).as_str()
    }

    /// The method's plan, once it is found.
    #[must_use]
    pub fn method(&self) -> Option<&'a MethodPlan> {
        self.route.as_ref().map(|route| route.method)
    }

    /// The resource's plan, once it is found.
    #[must_use]
    pub fn resource(&self) -> Option<&'a ResourcePlan> {
        self.route.as_ref().map(|route| route.resource)
    }

    /// The path parameters by name, still encoded: AWS hands them on as they stand in the path.
    pub fn path_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let path = self.path();
        self.route.iter().flat_map(move |route| {
            let names = route.resource.parameters.iter().map(|name| &**name);
            names.zip(route.captures.iter().map(|range| path.get(range.clone()).unwrap_or_default()))
        })
    }

    /// One path parameter, still encoded.
    #[must_use]
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.path_parameters().find(|(candidate, _)| *candidate == name).map(|(_, value)| value)
    }

    /// The query's parameters in order, decoded. `;` separates parameters as `&` does.
    #[must_use]
    pub fn query(&self) -> &[(String, String)] {
        self.query.get_or_init(|| parse_query(self.head.query().unwrap_or_default()))
    }

    /// One query parameter; of several values, the last.
    #[must_use]
    pub fn query_parameter(&self, name: &str) -> Option<&str> {
        self.query().iter().rev().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// One request header; of several values, the last.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.head.headers.iter().rfind(|header| header.is(name)).map(stagedoor_http::Header::value_str)
    }

    /// The media type of the request's body: its `Content-Type` without parameters, `application/json` if it has none.
    #[must_use]
    pub fn content_type(&self) -> Cow<'_, str> {
        media_type(self.head.headers.get_str("content-type"))
    }

    /// The first media type that the client accepts, without parameters, `application/json` if it names none.
    /// AWS looks at no other.
    #[must_use]
    pub fn accepted_type(&self) -> Cow<'_, str> {
        media_type(self.head.headers.get_str("accept").and_then(|list| list.split(',').next()))
    }

    /// The value of `X-Amzn-Trace-Id` to hand on: the client's, or a new one.
    #[must_use]
    pub fn trace_id(&self) -> &Bytes {
        if self.plan.is_traced && !self.is_test {
            return self.trace_id.get_or_init(|| self.trace().header().into());
        }
        self.trace_id.get_or_init(|| match self.head.headers.get("x-amzn-trace-id") {
            Some(sent) if memchr::memmem::find(sent, b"Root=").is_some() => sent.clone(),
            _ => {
                let since = self.received_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                ids::trace_id(since.as_secs())
            }
        })
    }

    /// The request's part in a trace. Asked for only where the stage is traced, and first while the request's headers
    /// are there.
    pub(crate) fn trace(&self) -> &Trace {
        self.trace.get_or_init(|| {
            let sent = self.head.headers.get_str("x-amzn-trace-id");
            Trace::begin(sent, &self.worker.tracer, self.received_at)
        })
    }

    /// The body in one piece; it is read on the first call.
    ///
    /// # Errors
    /// A [`Fault`] if it is too large or breaks off.
    pub async fn whole_body(&mut self) -> Result<Bytes, Fault> {
        if let RequestBody::Unread(body) = &mut self.body {
            let body = std::mem::take(body);
            let bytes = body.collect(MAX_PAYLOAD_BYTES).await.map_err(|error| match error {
                BodyError::TooLarge { .. } => Fault::request_too_large(),
                BodyError::Undecodable(detail) => Fault::undecodable_body(detail),
                error => Fault::client_gone(error),
            })?;
            self.body = RequestBody::Whole(bytes);
        }
        Ok(self.read_body())
    }

    /// Counts the bytes of the request's body from here on.
    pub fn count_request_body(&mut self) {
        let count = Rc::new(Cell::new(0));
        match &mut self.body {
            RequestBody::Unread(body) => match std::mem::take(body) {
                Body::Stream(stream) => {
                    *body = Body::Stream(Box::new(CountedBody { stream, count: Rc::clone(&count) }));
                }
                whole => {
                    count.set(whole.remaining().unwrap_or_default());
                    *body = whole;
                }
            },
            RequestBody::Whole(bytes) => count.set(bytes.len() as u64),
        }
        self.record.received = Some(count);
    }

    /// Reads a body that nothing wants, and keeps none of it: one that is too large or malformed fails the request
    /// all the same. Costs nothing where there is no body.
    ///
    /// # Errors
    /// A [`Fault`] if it is too large or breaks off.
    pub async fn drop_body(&mut self) -> Result<(), Fault> {
        let RequestBody::Unread(body) = &mut self.body else { return Ok(()) };
        let mut length = 0;
        while let Some(chunk) = body.chunk().await {
            let chunk = chunk.map_err(|error| match error {
                BodyError::Undecodable(detail) => Fault::undecodable_body(detail),
                error => Fault::client_gone(error),
            })?;
            length += chunk.len() as u64;
            if length > MAX_PAYLOAD_BYTES {
                return Err(Fault::request_too_large());
            }
        }
        Ok(())
    }

    /// The body, if a phase has read it; empty otherwise.
    #[must_use]
    pub fn read_body(&self) -> Bytes {
        match &self.body {
            RequestBody::Whole(bytes) => bytes.clone(),
            RequestBody::Unread(_) => Bytes::new(),
        }
    }

    /// A body of this exchange, as JSON: parsed once for all who ask one after the other.
    #[must_use]
    pub fn document(&self, body: &Bytes) -> Rc<Document> {
        self.last_document.of(body)
    }

    /// The same as mappings read it, to which nearly everything is JSON.
    #[must_use]
    pub fn lenient_document(&self, body: &Bytes) -> Rc<Document> {
        self.last_document.leniently(body)
    }

    /// The body for an integration that hands it on.
    #[must_use]
    pub fn take_body(&mut self) -> Body {
        match std::mem::replace(&mut self.body, RequestBody::Whole(Bytes::new())) {
            RequestBody::Unread(body) => body,
            RequestBody::Whole(bytes) => bytes.into(),
        }
    }

    /// The request's headers for an integration that hands them on.
    #[must_use]
    pub fn take_headers(&mut self) -> Headers {
        if self.plan.keeps_request_headers {
            self.head.headers.clone()
        } else {
            std::mem::take(&mut self.head.headers)
        }
    }
}

fn media_type(header: Option<&str>) -> Cow<'_, str> {
    let essence = header.and_then(|value| value.split(';').next()).map(str::trim).unwrap_or_default();
    if essence.is_empty() {
        Cow::Borrowed("application/json")
    } else if essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(essence.to_ascii_lowercase())
    } else {
        Cow::Borrowed(essence)
    }
}

pub(crate) fn parse_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let spaced =
            if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    query
        .split(['&', ';'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let check = |query: &str, expected: &[(&str, &str)]| {
            let found = parse_query(query);
            let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{query}");
        };
        check("", &[]);
        check("a=1&a=2", &[("a", "1"), ("a", "2")]);
        check("a=1;b=2&&c", &[("a", "1"), ("b", "2"), ("c", "")]);
        check(
            "email=test%2Balias@x.org&plus=a+b&w=foo%20bar",
            &[("email", "test+alias@x.org"), ("plus", "a b"), ("w", "foo bar")],
        );
        check(
            "when=2023-06-12T18:05:10+00:00&e==&%zz=%ff",
            &[("when", "2023-06-12T18:05:10 00:00"), ("e", "="), ("%zz", "\u{fffd}")],
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_is_decoded(pairs in proptest::collection::vec(("[^\\x00]{0,8}", ".{0,8}"), 0..5)) {
            use crate::phases::transformation::encode_query;
            let pairs: Vec<(String, String)> = pairs;
            let encoded = encode_query(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            proptest::prop_assert_eq!(parse_query(&encoded), pairs);
        }

        #[test]
        fn any_query_is_read(query in "[&;=+%a-f0-9\\PC]{0,40}") {
            proptest::prop_assert!(parse_query(&query).len() <= query.len());
        }
    }

    #[test]
    fn media_types() {
        let check = |header: Option<&str>, expected: &str| assert_eq!(media_type(header), expected);
        check(None, "application/json");
        check(Some(""), "application/json");
        check(Some("Application/XML; charset=utf-8"), "application/xml");
        check(Some("*/*;q=0.8"), "*/*");
    }
}
