//! A served API, an HTTP backend and a client, for tests that go through real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use stagedoor_data_plane::cache_budget::CacheBudget;
use stagedoor_data_plane::clients::Clients;
use stagedoor_data_plane::fast_map::FastMap;
use stagedoor_data_plane::forward::UpstreamTls;
use stagedoor_data_plane::lambda::{LambdaAnswer, LambdaCall, LambdaError, LambdaFuture, LambdaInvoker};
use stagedoor_data_plane::listener::{self, Listener, Workers};
use stagedoor_data_plane::logs::LogDestinations;
use stagedoor_data_plane::metrics::Metrics;
use stagedoor_data_plane::plan::{self, CompileSettings, PlanError};
use stagedoor_data_plane::published::{Published, PublishedApi, nothing_published};
use stagedoor_data_plane::websocket::{WebSocketLimits, WebSockets};
use stagedoor_data_plane::worker::Services;
use stagedoor_shared_state::MemoryCounters;

/// An API `abc` with a stage `dev`, being served.
pub(crate) struct Api {
    address: SocketAddr,
    workers: Option<Workers>,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (candidate, value) = line.split_once(':')?;
            candidate.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Compiles a definition, given as the members of a snapshot, with the stage's variables.
pub(crate) fn compile(definition: &Value, stage: &Value) -> Result<plan::Plan, Vec<PlanError>> {
    let mut api = json!({"id": "abc", "name": "test", "endpointConfiguration": {"types": ["REGIONAL"]}});
    for (name, value) in definition["restApi"].as_object().into_iter().flatten() {
        api[name] = value.clone();
    }
    let snapshot = json!({
        "rest_api": api,
        "resources": definition["resources"],
        "models": definition.get("models").unwrap_or(&json!([])),
        "request_validators": definition.get("validators").unwrap_or(&json!([])),
        "gateway_responses": definition.get("gatewayResponses").unwrap_or(&json!([])),
    });
    let mut whole_stage = json!({"stageName": "dev", "deploymentId": "dep123"});
    for (name, value) in stage.as_object().into_iter().flatten() {
        whole_stage[name] = value.clone();
    }
    let settings = CompileSettings {
        account_id: "111111111111".into(),
        region: "us-east-1".into(),
        log_destinations: LogDestinations::default(),
        metrics: Metrics::new(1),
        vpc_links: Default::default(),
        has_account_throttle: false,
        user_pools: Default::default(),
        aws: Default::default(),
        cache_budget: CacheBudget::new(1 << 20),
    };
    let snapshot = serde_json::from_value(snapshot).unwrap();
    plan::compile(&snapshot, &serde_json::from_value(whole_stage).unwrap(), &settings)
}

/// A definition with one method, `ANY /{proxy+}`, and this integration.
pub(crate) fn one_method(integration: Value) -> Value {
    let method = json!({"httpMethod": "ANY", "authorizationType": "NONE", "methodIntegration": integration});
    json!({"resources": [{"id": "res1", "path": "/{proxy+}", "resourceMethods": {"ANY": method}}]})
}

impl Api {
    pub(crate) fn serve(definition: &Value) -> Self {
        Self::serve_stage(definition, &json!({}), |_| Ok(Bytes::from_static(b"{}")))
    }

    /// Serves a definition; `function` is what Lambda functions do: an error is the function's own.
    pub(crate) fn serve_stage(
        definition: &Value,
        stage: &Value,
        function: impl Fn(&[u8]) -> Result<Bytes, Bytes> + Send + Sync + 'static,
    ) -> Self {
        let plan = compile(definition, stage).unwrap_or_else(|errors| panic!("{errors:#?}"));
        let stages = FastMap::from_iter([("dev".to_owned(), Arc::new(plan))]);
        let api = PublishedApi { stages, ..PublishedApi::default() };
        let current = nothing_published();
        current.store(Arc::new(Published {
            apis: FastMap::from_iter([("abc".to_owned(), api)]),
            ..Published::default()
        }));
        let lambda = Arc::new(Functions(Box::new(function)));
        let services = Arc::new(Services {
            current,
            retired: std::sync::mpsc::channel().0,
            clients: Clients::none(),
            counters: Arc::new(MemoryCounters::forgetful()),
            account: None,
            lambda,
            tls: UpstreamTls::default(),
            vpc_endpoints: Default::default(),
            logs: None,
            principals: Arc::default(),
            takes_any_local_key: false,
            xray_daemon: None,
            websockets: WebSockets::new(WebSocketLimits::default(), &MemoryCounters::forgetful()),
            streams: Default::default(),
            challenges: stagedoor_data_plane::acme::Challenges::default(),
        });
        let listener = Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)), None);
        let workers = listener::start(&services, vec![listener], 1).unwrap();
        Self { address: workers.addresses()[0], workers: Some(workers) }
    }

    /// Where it is served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request by its start line and headers (`GET /users\nAccept: text/plain`) and a body.
    pub(crate) fn send(&self, head: &str, body: &[u8]) -> Response {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (start, headers) = head.split_once('\n').unwrap_or((head, ""));
        let (method, path) = start.split_once(' ').unwrap();
        let mut request = format!("{method} /dev{path} HTTP/1.1\r\nHost: abc.execute-api.localhost:8080\r\n");
        for line in headers.lines().filter(|line| !line.is_empty()) {
            request.push_str(&format!("{line}\r\n"));
        }
        if !body.is_empty() && !headers.to_ascii_lowercase().contains("transfer-encoding") {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        // The server may answer and close before it has read all of a large body.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        parse_response(&answer)
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&self, bytes: &[u8]) -> Response {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        parse_response(&answer)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send(&format!("GET {path}"), b"")
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            workers.drain(Duration::from_millis(10));
        }
    }
}

fn parse_response(answer: &[u8]) -> Response {
    let text = String::from_utf8_lossy(answer);
    let end =
        answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut response = Response { status, head, body: answer[end + 4..].to_vec() };
    if response.header("transfer-encoding").is_some() {
        response.body = decode_chunks(&response.body);
    }
    response
}

fn decode_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let Some(chunk) = rest.get(line + 2..line + 2 + length) else { break };
        body.extend_from_slice(chunk);
        rest = &rest[line + 2 + length..];
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
    body
}

type Function = Box<dyn Fn(&[u8]) -> Result<Bytes, Bytes> + Send + Sync>;

struct Functions(Function);

impl LambdaInvoker for Functions {
    fn invoke(&self, call: LambdaCall) -> LambdaFuture {
        let answer = match &*call.function_arn {
            arn if arn.ends_with(":missing") => Err(LambdaError::NotFound(Arc::clone(&call.function_arn))),
            _ => Ok(match (self.0)(&call.payload) {
                Ok(payload) => {
                    LambdaAnswer { payload, function_error: None, executed_version: "$LATEST".to_owned() }
                }
                Err(payload) => LambdaAnswer {
                    payload,
                    function_error: Some("Unhandled".to_owned()),
                    executed_version: "$LATEST".to_owned(),
                },
            }),
        };
        let sleeps = call.function_arn.ends_with(":slow");
        Box::pin(async move {
            if sleeps {
                std::future::pending::<()>().await;
            }
            answer
        })
    }
}

/// An HTTP backend that gives every connection the same answer and reports what it was sent.
pub(crate) struct Origin {
    address: SocketAddr,
    requests: Receiver<String>,
}

impl Origin {
    /// `answer` is the response's bytes; with none the connection is closed, and with `None` it is left open.
    pub(crate) fn start(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&mut stream);
                match answer {
                    Some(answer) => {
                        let _ = stream.write_all(answer.as_bytes());
                        // Closed before the request is told of, so that a test that has heard of it knows the rest.
                        drop(stream);
                    }
                    None => open.push(stream),
                }
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The last request, as it stood on the wire.
    pub(crate) fn request(&self) -> String {
        self.requests.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }
}

/// The value of a header in a request's text.
pub(crate) fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    request.lines().skip(1).take_while(|line| !line.is_empty()).find_map(|line| {
        let (candidate, value) = line.split_once(':')?;
        candidate.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").map_or(0, |value| value.parse().unwrap());
            let chunked = header(head, "transfer-encoding").is_some();
            if (!chunked && body.len() >= length) || (chunked && body.ends_with("0\r\n\r\n")) {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
        }
    }
}
