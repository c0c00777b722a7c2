//! `TestInvokeMethod` and `TestInvokeAuthorizer`: one method or authorizer of a definition that is not deployed, run
//! through the same code as traffic. What else the control plane has to ask the world runs here too: where issuers of
//! tokens have their keys.
//!
//! Tests run on a worker of their own, which takes no connections, so that a slow one delays nobody's requests.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use serde_json::{Map, Value};
use stagedoor_http::{Body, Headers, RequestHead, ResponseHead, Version};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::exchange::Exchange;
use crate::logs::execution::{ExecutionLogSettings, response_headers};
use crate::phases::authorization;
use crate::phases::authorization::jwt::{self, DocumentError};
use crate::phases::authorization::rest_jwt::as_json;
use crate::pipeline;
use crate::plan::{MAX_PAYLOAD_BYTES, Plan};
use crate::worker::{ConnectionInfo, Services, TlsConnection, Worker};

/// The stage that AWS shows to functions and templates.
pub const STAGE: &str = "test-invoke-stage";
/// What AWS shows instead of a client's address and key.
const SOURCE_IP: &str = "test-invoke-source-ip";
const API_KEY: &str = "test-invoke-api-key";
const API_KEY_ID: &str = "test-invoke-api-key-id";
/// How long AWS waits for a response that streams.
const STREAM_TIME_MAX: Duration = Duration::from_secs(35);
/// How much of it AWS waits for.
const STREAM_BYTES_MAX: usize = 1 << 20;

/// One call.
#[derive(Clone, Debug)]
pub struct MethodTest {
    /// The HTTP method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The headers, one after the other.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Variables of `$context` that have these values instead of their own (`additionalContext`).
    pub context: BTreeMap<String, String>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct MethodTestAnswer {
    /// The status.
    pub status: u16,
    /// The headers, without those that AWS shows to clients only.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The execution log.
    pub log: String,
    /// How long it took.
    pub latency: Duration,
}

/// Runs tests.
pub struct Tester(mpsc::UnboundedSender<Job>);

/// What an authorizer said.
#[derive(Clone, Debug)]
pub struct AuthorizerTestAnswer {
    /// The status that a client would get on the authorizer's account.
    pub status: u16,
    /// Who the caller is.
    pub principal_id: Option<String>,
    /// The policy of an authorizer function's answer.
    pub policy: Option<String>,
    /// The claims of a token.
    pub claims: Option<Map<String, Value>>,
    /// The execution log.
    pub log: String,
    /// How long it took.
    pub latency: Duration,
}

enum Job {
    Method(Plan, MethodTest, oneshot::Sender<MethodTestAnswer>),
    Authorizer(Plan, MethodTest, oneshot::Sender<AuthorizerTestAnswer>),
    Issuer(String, oneshot::Sender<Result<String, DocumentError>>),
}

impl Tester {
    /// Starts the worker for tests. It ends when this is dropped.
    ///
    /// # Errors
    /// What the system says if there can be no thread.
    pub fn start(services: Arc<Services>) -> io::Result<Self> {
        let (sender, jobs) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("test-invoke".to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, serve(Worker::new(services, 0), jobs));
        })?;
        Ok(Self(sender))
    }

    /// Who asks issuers from this worker.
    #[must_use]
    pub fn issuers(&self) -> IssuerClient {
        IssuerClient(self.0.clone())
    }

    /// Runs a method of a plan that holds no other. Blocks until it has answered; nothing if the worker is gone.
    #[must_use]
    pub fn run(&self, plan: Plan, test: MethodTest) -> Option<MethodTestAnswer> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Job::Method(plan, test, answer)).ok()?;
        answered.blocking_recv().ok()
    }

    /// Asks the authorizer of a plan's only method. Blocks until it has answered; nothing if the worker is gone.
    #[must_use]
    pub fn run_authorizer(&self, plan: Plan, test: MethodTest) -> Option<AuthorizerTestAnswer> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Job::Authorizer(plan, test, answer)).ok()?;
        answered.blocking_recv().ok()
    }
}

/// Asks issuers of tokens for their discovery documents, from the worker for tests.
#[derive(Clone, Debug)]
pub struct IssuerClient(mpsc::UnboundedSender<Job>);

impl IssuerClient {
    /// Asks these issuers, all at once. Answers each with where its keys are. Blocks, no longer than one may take.
    #[must_use]
    pub fn ask(&self, issuers: &[&str]) -> Vec<Result<String, DocumentError>> {
        let ask = |issuer: &&str| {
            let (answer, answered) = oneshot::channel();
            // A worker that is gone drops what it is sent, which ends the wait.
            _ = self.0.send(Job::Issuer((*issuer).to_owned(), answer));
            answered
        };
        let asked: Vec<_> = issuers.iter().map(ask).collect();
        let gone = |_| Err(DocumentError::OutOfReach("the worker is gone".to_owned()));
        asked.into_iter().map(|answered| answered.blocking_recv().unwrap_or_else(gone)).collect()
    }
}

async fn serve(worker: Rc<Worker>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(job) = jobs.recv().await {
        let worker = Rc::clone(&worker);
        tokio::task::spawn_local(async move {
            // Whoever asked may have given up.
            match job {
                Job::Method(plan, test, answer) => _ = answer.send(run(&worker, &plan, test).await),
                Job::Authorizer(plan, test, answer) => {
                    _ = answer.send(run_authorizer(&worker, &plan, test).await);
                }
                Job::Issuer(issuer, answer) => _ = answer.send(jwt::ask(&worker, &issuer).await),
            }
        });
    }
}

/// Connections that tests pretend to come in on.
fn connection() -> ConnectionInfo {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut connection = ConnectionInfo::new(nowhere, nowhere, None);
    connection.tls = Some(TlsConnection::assumed(None, &[]));
    connection
}

fn exchange<'x>(
    worker: &'x Rc<Worker>,
    connection: &'x ConnectionInfo,
    plan: &'x Plan,
    test: MethodTest,
) -> Exchange<'x> {
    let mut headers = Headers::with_capacity(test.headers.len());
    for (name, value) in test.headers {
        headers.append(name, value);
    }
    let head =
        RequestHead { method: test.method, target: test.target.into(), version: Version::Http11, headers };
    let path = 0..head.path().len();
    let mut exchange = Exchange::new(worker, connection, plan, path, head, Body::from(test.body));
    exchange.is_test = true;
    exchange.additional_context = named(test.context);
    // A path that is not the method's leaves its parameters without values.
    exchange.route = plan.route(&exchange.head.method, exchange.path()).or_else(|| plan.only_route());
    exchange.record.log = Some(Box::new(ExecutionLogSettings::test().begin()));
    let identity = exchange.record.identity_mut();
    identity.api_key = Some(API_KEY.into());
    identity.api_key_id = Some(API_KEY_ID.into());
    for member in [&mut identity.account_id, &mut identity.caller, &mut identity.user] {
        *member = Some(plan.account_id.clone());
    }
    identity.user_arn = Some(format!("arn:aws:iam::{}:root", plan.account_id).into());
    let members = [
        ("identity.accountId", &mut identity.account_id),
        ("identity.apiKey", &mut identity.api_key),
        ("identity.apiKeyId", &mut identity.api_key_id),
        ("identity.caller", &mut identity.caller),
        ("identity.user", &mut identity.user),
        ("identity.userArn", &mut identity.user_arn),
    ];
    for (name, member) in members {
        if let Some(value) = exchange.additional_context.get(name) {
            *member = Some(value.as_str().into());
        }
    }
    exchange
}

/// The variables by their names without `$context.` or `context.` before them, as they stand in identity sources.
fn named(context: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let bare = |name: String| {
        let name = name.strip_prefix('$').unwrap_or(&name);
        name.strip_prefix("context.").unwrap_or(name).to_owned()
    };
    context.into_iter().map(|(name, value)| (bare(name), value)).collect()
}

fn log_of(exchange: &mut Exchange<'_>) -> String {
    let request_id = String::from_utf8_lossy(&exchange.request_id).into_owned();
    exchange.record.log.take().map(|log| log.to_test_log(&request_id)).unwrap_or_default()
}

async fn run_authorizer(worker: &Rc<Worker>, plan: &Plan, test: MethodTest) -> AuthorizerTestAnswer {
    let connection = connection();
    let mut exchange = exchange(worker, &connection, plan, test);
    let outcome = authorization::test(&mut exchange).await;
    let latency = exchange.started.elapsed();
    let (status, policy) = match outcome {
        Ok(policy) => (200, policy),
        Err(fault) => (fault.status().as_u16(), None),
    };
    let log = log_of(&mut exchange);
    let record = exchange.record.authorizer.take().filter(|_| status == 200).unwrap_or_default();
    let principal_id = record.principal_id.map(String::from);
    let text = |(name, claim): (&String, &Value)| (name.clone(), Value::String(as_json(claim)));
    let verified = record.verified.map(|claims| claims.iter().map(text).collect());
    let claims = record.claims.or(verified);
    AuthorizerTestAnswer { status, principal_id, policy, claims, log, latency }
}

async fn run(worker: &Rc<Worker>, plan: &Plan, test: MethodTest) -> MethodTestAnswer {
    let connection = connection();
    let mut exchange = exchange(worker, &connection, plan, test);
    if exchange.method().is_some_and(|method| method.integration.streams()) {
        return run_streaming(exchange).await;
    }
    let (head, body) = pipeline::answer(&mut exchange).await;
    let latency = exchange.started.elapsed();
    let log = log_of(&mut exchange);
    let headers = shown(&exchange, &head);
    // A body that breaks off is shown as far as AWS would: not at all.
    let body = body.collect(MAX_PAYLOAD_BYTES).await.unwrap_or_default();
    MethodTestAnswer { status: head.status.as_u16(), headers, body, log, latency }
}

/// A method whose response streams is shown as far as it has come when it ends, or after a while or enough of it, and has no
/// execution log (developer guide).
async fn run_streaming(mut exchange: Exchange<'_>) -> MethodTestAnswer {
    exchange.record.log = None;
    let end = tokio::time::Instant::from_std(exchange.started + STREAM_TIME_MAX);
    let answer = tokio::time::timeout_at(end, pipeline::answer(&mut exchange)).await;
    let Ok((head, mut body)) = answer else {
        let (headers, body, log) = (Vec::new(), Bytes::new(), String::new());
        return MethodTestAnswer { status: 0, headers, body, log, latency: exchange.started.elapsed() };
    };
    let mut shown_body = BytesMut::new();
    while shown_body.len() <= STREAM_BYTES_MAX {
        match tokio::time::timeout_at(end, body.chunk()).await {
            Ok(Some(Ok(piece))) => shown_body.extend_from_slice(&piece),
            _ => break,
        }
    }
    MethodTestAnswer {
        status: head.status.as_u16(),
        headers: shown(&exchange, &head),
        body: shown_body.freeze(),
        log: String::new(),
        latency: exchange.started.elapsed(),
    }
}

/// The headers that a test shows.
fn shown(exchange: &Exchange<'_>, head: &ResponseHead) -> Vec<(String, String)> {
    response_headers(&head.headers)
        .filter(|header| !(exchange.answers_with_own_text() && header.is("content-type")))
        .map(|header| (header.name_str().to_owned(), header.value_str().into_owned()))
        .collect()
}

impl Exchange<'_> {
    /// `$context.identity.sourceIp`: the client's address.
    #[must_use]
    pub fn source_ip(&self) -> String {
        if self.is_test {
            return self
                .additional_context
                .get("identity.sourceIp")
                .map_or(SOURCE_IP, String::as_str)
                .to_owned();
        }
        String::from_utf8_lossy(self.connection.peer_ip()).into_owned()
    }

    /// Whether the answer is a gateway response that the API has left as it is.
    fn answers_with_own_text(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| !self.plan.gateway_responses.has_template(fault.kind))
    }
}
