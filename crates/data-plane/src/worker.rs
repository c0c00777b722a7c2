//! One worker: a thread with its own event loop, its own connections from clients and its own to backends.
//!
//! A request never leaves the worker that accepted it, so nothing here needs a lock or is `Send`.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::acme::Challenges;
use arc_swap::ArcSwap;
use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ProtocolVersion};
use stagedoor_http::{Body, BodyError, BodyStream, RequestHead};
use stagedoor_shared_state::{Bucket, Counters, Limit};
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc};

use crate::client_certificate::{ClientCertificate, Truststore};
use crate::clients::CurrentClients;
use crate::domains::{VpcEndpoint, VpcEndpoints};
use crate::forward::{Pool, UpstreamTls};
use crate::lambda::LambdaInvoker;
use crate::logs::{LogBuffer, LogWriter};
use crate::phases::authorization::grant::Grant;
use crate::phases::authorization::iam::Principals;
use crate::phases::authorization::jwt::Claims;
use crate::phases::authorization::remembered::{ByEnd, Remembered};
use crate::phases::integration::streaming::StreamLimits;
use crate::published::{Current, Retired, View};
use crate::timers::Timers;
use crate::websocket::WebSockets;
use crate::xray::Tracer;

/// What all workers share: set up once, at start.
pub struct Services {
    /// What is being served.
    pub current: Current,
    /// What frees what is not served any more.
    pub retired: Retired,
    /// API keys and usage plans.
    pub clients: CurrentClients,
    /// What counts requests.
    pub counters: Arc<dyn Counters>,
    /// How fast all of the account's APIs may be called together, if that is limited.
    pub account: Option<AccountThrottle>,
    /// Where Lambda functions run.
    pub lambda: Arc<dyn LambdaInvoker>,
    /// TLS towards backends.
    pub tls: UpstreamTls,
    /// Writes log lines; without one, stages log nothing.
    pub logs: Option<Arc<LogWriter>>,
    /// The VPC endpoints that clients may come through.
    pub vpc_endpoints: VpcEndpoints,
    /// Whoever may sign requests.
    pub principals: Arc<ArcSwap<Principals>>,
    /// Whether clients on this machine may sign requests to `@connections` with a key that nobody knows, as they may sign
    /// control-plane calls where no credentials are configured.
    pub takes_any_local_key: bool,
    /// Where the X-Ray daemon listens; without one, traced stages send no segments.
    pub xray_daemon: Option<SocketAddr>,
    /// The connections of WebSocket APIs, and what they may do.
    pub websockets: WebSockets,
    /// How long answers may stream.
    pub streams: StreamLimits,
    /// What certificate authorities are shown that ask whether a name is served here.
    pub challenges: Challenges,
}

/// How fast all of an account's APIs may be called together.
pub struct AccountThrottle {
    /// The limit.
    pub limit: Limit,
    /// What holds it.
    pub bucket: Arc<dyn Bucket>,
}

/// How large a body may be.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    /// In bytes.
    pub bytes_max: u64,
    /// Whether a request with a larger body is handled without it: it is going to be refused in any case.
    pub is_refused_anyway: bool,
}

/// Answers what is not API traffic, on listeners that have such a thing: the control plane.
pub trait Fallback: Send + Sync {
    /// How large the body of a request may be. It is read whole before anybody knows whether the request may be made at
    /// all.
    fn body_limit(&self, head: &RequestHead) -> BodyLimit;

    /// Answers a request whose body has been read whole.
    fn handle(
        &self,
        request: http::Request<Bytes>,
        connection: &ConnectionInfo,
    ) -> Pin<Box<dyn Future<Output = http::Response<FallbackBody>> + Send>>;
}

/// The body of a fallback's answer.
pub enum FallbackBody {
    /// All of it, at hand.
    Full(Bytes),
    /// Pieces as they come; it ends when the sender is gone.
    Stream(mpsc::Receiver<Bytes>),
}

impl From<Bytes> for FallbackBody {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl From<FallbackBody> for Body {
    fn from(body: FallbackBody) -> Self {
        match body {
            FallbackBody::Full(bytes) => bytes.into(),
            FallbackBody::Stream(pieces) => Self::Stream(Box::new(Pieces(pieces))),
        }
    }
}

struct Pieces(mpsc::Receiver<Bytes>);

impl BodyStream for Pieces {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.0.poll_recv(context).map(|piece| piece.map(Ok))
    }

    fn remaining(&self) -> Option<u64> {
        None
    }
}

/// A worker's own state.
pub struct Worker {
    /// What all workers share.
    pub services: Arc<Services>,
    /// What is being served, as this worker sees it.
    pub view: View,
    /// What authorizer functions decided about callers.
    pub grants: Remembered<Arc<Grant>>,
    /// Tokens that were verified.
    pub tokens: Remembered<Claims, ByEnd>,
    pub(crate) pool: Pool,
    pub(crate) timers: Timers,
    pub(crate) logs: LogBuffer,
    pub(crate) tracer: Tracer,
    /// Which of the workers it is, from 0.
    pub(crate) number: usize,
    pub(crate) drain: Drain,
    dice: Cell<u64>,
    /// What WebSocket connections read into and write from: their own memory holds only what is left over.
    pub(crate) read_buffer: RefCell<Vec<u8>>,
    pub(crate) write_buffer: RefCell<Vec<u8>>,
}

impl Worker {
    /// A worker without connections.
    #[must_use]
    pub fn new(services: Arc<Services>, number: usize) -> Rc<Self> {
        let view = View::new(Arc::clone(&services.current), services.retired.clone());
        // Without the system's randomness, workers merely roll the same numbers.
        let dice = Cell::new(getrandom::u64().unwrap_or_default());
        let logs = LogBuffer::new(services.logs.clone());
        let tracer = Tracer::new(services.xray_daemon);
        Rc::new(Self {
            services,
            view,
            grants: Remembered::default(),
            tokens: Remembered::default(),
            pool: Pool::default(),
            timers: Timers::default(),
            logs,
            tracer,
            number,
            drain: Drain::default(),
            dice,
            read_buffer: RefCell::default(),
            write_buffer: RefCell::default(),
        })
    }

    /// A number from 0 to below 1, evenly spread (SplitMix64). Nobody must rely on it as a secret.
    pub(crate) fn roll(&self) -> f64 {
        let state = self.dice.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.dice.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper 53 bits are what a double can tell apart.
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The way to a clean end: connections between two requests close at once, the others after their response.
#[derive(Default)]
pub(crate) struct Drain {
    begun: Cell<bool>,
    begin: Notify,
    open: Cell<usize>,
    all_closed: Notify,
}

impl Drain {
    pub(crate) fn begin(&self) {
        self.begun.set(true);
        self.begin.notify_waiters();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Ready once draining has begun, if it had not when this was called.
    pub(crate) fn begins(&self) -> tokio::sync::futures::Notified<'_> {
        self.begin.notified()
    }

    /// Ready once no connection is open.
    pub(crate) async fn finished(&self) {
        while self.open.get() > 0 {
            self.all_closed.notified().await;
        }
    }
}

/// Counts a connection as open for as long as it lives.
pub(crate) struct OpenConnection(Rc<Worker>);

impl OpenConnection {
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        worker.drain.open.update(|open| open + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.drain.open.update(|open| open.saturating_sub(1));
        if self.0.drain.open.get() == 0 {
            // A permit is kept if nobody waits yet, so the wake-up cannot be missed.
            self.0.drain.all_closed.notify_one();
        }
    }
}

/// The connection a request came in on.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address of the listener.
    pub local: SocketAddr,
    /// What its handshake told, if it is encrypted.
    pub tls: Option<TlsConnection>,
    /// The VPC endpoint that it came through.
    pub vpc_endpoint: Option<Arc<VpcEndpoint>>,
    /// Whether it came to that endpoint's own listener, and so to nothing else.
    pub is_at_vpc_endpoint: bool,
    peer_ip: OnceCell<Bytes>,
    local_ip: OnceCell<Bytes>,
    /// What limits how long its requests take.
    pub(crate) timers: Timers,
    /// The last host that was asked for, and what backends of HTTP APIs were told of the way a request came.
    pub(crate) forwarded: RefCell<Option<(Bytes, Bytes)>>,
}

impl ConnectionInfo {
    /// A connection without encryption.
    #[must_use]
    pub fn new(peer: SocketAddr, local: SocketAddr, vpc_endpoint: Option<Arc<VpcEndpoint>>) -> Self {
        Self {
            peer,
            local,
            tls: None,
            vpc_endpoint,
            is_at_vpc_endpoint: false,
            peer_ip: OnceCell::new(),
            local_ip: OnceCell::new(),
            timers: Timers::default(),
            forwarded: RefCell::default(),
        }
    }

    /// The client's address as text, without its port. It is written once for all of a connection's requests.
    #[must_use]
    pub fn peer_ip(&self) -> &Bytes {
        self.peer_ip.get_or_init(|| self.peer.ip().to_canonical().to_string().into())
    }

    /// The listener's address as text, without its port.
    #[must_use]
    pub fn local_ip(&self) -> &Bytes {
        self.local_ip.get_or_init(|| self.local.ip().to_canonical().to_string().into())
    }
}

/// The client's certificate if it is trusted, or why it is not.
type Trust = Result<Rc<ClientCertificate>, String>;

/// A truststore and what it said.
type Asked = (Arc<Truststore>, Trust);

/// What the handshake of a connection told.
#[derive(Clone)]
pub struct TlsConnection {
    /// The name the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The client's certificate and those that came with it, if the domain asks for one.
    pub client_chain: Arc<[CertificateDer<'static>]>,
    /// What was agreed on.
    agreed: Option<(ProtocolVersion, CipherSuite)>,
    /// The truststore that was asked last, and what it said. It is asked again when there is a newer one, and when the
    /// certificate has come to its end.
    trusted: Rc<RefCell<Option<Asked>>>,
}

impl std::fmt::Debug for TlsConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsConnection").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl TlsConnection {
    /// What a handshake told.
    #[must_use]
    pub fn new(session: &rustls::CommonState, server_name: Option<&str>) -> Self {
        let agreed = session.protocol_version().zip(session.negotiated_cipher_suite());
        let chain = session.peer_certificates().unwrap_or_default();
        Self {
            agreed: agreed.map(|(version, suite)| (version, suite.suite())),
            ..Self::assumed(server_name, chain)
        }
    }

    /// A connection without a handshake, such as that of a test.
    #[must_use]
    pub fn assumed(server_name: Option<&str>, client_chain: &[CertificateDer<'_>]) -> Self {
        Self {
            agreed: None,
            server_name: server_name.map(|name| name.to_ascii_lowercase().into()),
            client_chain: client_chain.iter().map(|der| der.clone().into_owned()).collect(),
            trusted: Rc::default(),
        }
    }

    /// `$context.tlsVersion`: such as `TLSv1.3`.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        Some(self.agreed?.0.as_str()?.replace('_', "."))
    }

    /// `$context.cipherSuite`: its name at IANA.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<String> {
        // rustls tells the suites of TLS 1.3 by a name of its own.
        Some(self.agreed?.1.as_str()?.replacen("TLS13_", "TLS_", 1))
    }

    /// The client's certificate, if the truststore trusts it.
    ///
    /// # Errors
    /// Why it does not.
    pub fn client_certificate(&self, truststore: &Arc<Truststore>) -> Trust {
        let mut trusted = self.trusted.borrow_mut();
        let holds = |answer: &Trust| {
            answer.as_ref().map_or(true, |own| own.ends_at >= OffsetDateTime::now_utc().unix_timestamp())
        };
        match &*trusted {
            Some((asked, answer)) if Arc::ptr_eq(asked, truststore) && holds(answer) => answer.clone(),
            _ => {
                let read = |_| match self.client_chain.first() {
                    Some(own) => ClientCertificate::read(own).map(Rc::new),
                    None => Err("no client certificate".to_owned()),
                };
                let answer = truststore.check(&self.client_chain).and_then(read);
                *trusted = Some((Arc::clone(truststore), answer.clone()));
                answer
            }
        }
    }
}
