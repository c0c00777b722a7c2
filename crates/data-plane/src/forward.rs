//! This worker's connections to backends, and how a request is sent over one.
//!
//! A connection is taken from the pool, or made, for one request at a time, and comes back when the answer's body has
//! ended. Nothing watches idle connections: whether one is still good is looked at when it is taken. One on which the server
//! has sent something that nobody asked for is not: it would be taken for the answer to the next request, of another client.
//! The event loop may not have heard yet, in this turn, that the server has closed a connection. So for a request that may
//! not be sent twice the system itself is asked.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use stagedoor_http::client::{ClientConnection, Recycle, SendError};
use stagedoor_http::{Body, BodyError, BodyStream, RequestHead, ResponseHead, clock};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::fast_map::FastMap;
use crate::kept_body::keep;
use crate::socket::Socket;
use crate::timers::Timers;
use crate::tls;
use crate::upstream::{CertificateCheck, Scheme, Upstream, UpstreamError};
use crate::worker::Worker;

/// Idle connections kept for one backend by one worker.
const IDLE_MAX: usize = 256;
/// How long a client may take to send a body all in all, while a backend waits for it.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// An idle connection is closed when so many sweeps, one every ten seconds, have found it idle. That is below the usual
/// limits of servers (60 s and more), so that they rarely close one under us.
const SWEEPS_MAX: u8 = 5;

/// Idle connections by backend.
#[derive(Default)]
pub(crate) struct Pool {
    slots: RefCell<FastMap<Upstream, Rc<Slot>>>,
}

/// The idle connections of one backend. Whoever has one out holds the slot too, and so finds the way back without a
/// second look-up.
#[derive(Default)]
struct Slot(RefCell<Vec<Idle>>);

struct Idle {
    connection: ClientConnection<Stream>,
    /// How many sweeps have found it idle. It costs less than to note the time whenever a connection comes back.
    swept: u8,
}

impl Pool {
    fn slot(&self, upstream: &Upstream) -> Rc<Slot> {
        let mut slots = self.slots.borrow_mut();
        if let Some(slot) = slots.get(upstream) {
            return Rc::clone(slot);
        }
        Rc::clone(slots.entry(upstream.clone()).or_default())
    }

    /// Closes connections that have been idle for too long. The worker calls it every ten seconds.
    pub(crate) fn sweep(&self) {
        self.slots.borrow_mut().retain(|_, slot| {
            let mut idle = slot.0.borrow_mut();
            idle.retain_mut(|idle| {
                idle.swept += 1;
                idle.swept <= SWEEPS_MAX
            });
            !idle.is_empty() || Rc::strong_count(slot) > 1
        });
    }
}

impl Slot {
    /// The connection that was used last and is still good, as far as the event loop knows; as far as the system knows, if
    /// it has to be `certain`.
    fn take(&self, certain: bool) -> Option<ClientConnection<Stream>> {
        let mut idle = self.0.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop() {
            if connection.is_usable(Stream::may_have_news) && (!certain || connection.stream().is_silent()) {
                return Some(connection);
            }
        }
        None
    }
}

/// Brings a connection back to its slot.
struct Return(Rc<Slot>);

impl Recycle<Stream> for Return {
    fn recycle(&mut self, connection: ClientConnection<Stream>) {
        let mut idle = self.0.0.borrow_mut();
        if idle.len() < IDLE_MAX {
            idle.push(Idle { connection, swept: 0 });
        }
    }
}

/// How long a backend is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits<'t> {
    /// The timers of whoever waits.
    pub(crate) timers: &'t Timers,
    /// When the call began: now, as the caller has read the clock.
    pub(crate) began: Instant,
    /// How long the answer's header section may take.
    pub(crate) head_max: Duration,
    /// How long each piece of its body may take then.
    pub(crate) piece_max: Duration,
}

impl<'t> Waits<'t> {
    /// From now on.
    pub(crate) fn from_now(timers: &'t Timers, head_max: Duration, piece_max: Duration) -> Self {
        Self { timers, began: clock::now(), head_max, piece_max }
    }
}

impl Worker {
    /// Sends a request to a backend and gives its answer as soon as the header section is there. `head.target` is
    /// what the backend is asked for; `head.headers` go out as they are, in order, without those that frame the body
    /// (`Content-Length`, `Transfer-Encoding`, `Connection`), which are written from the body itself. The body of the
    /// answer streams.
    ///
    /// # Errors
    /// [`UpstreamError`], also if it takes longer than `waits` says. AWS calls a backend when it has the whole request, so the time that a `sender` takes to send
    /// its body ([`watched`]) does not count. A body that is at hand has none.
    pub(crate) async fn forward(
        self: &Rc<Self>,
        upstream: &Upstream,
        head: &RequestHead,
        body: Body,
        sender: Option<&Sender>,
        waits: Waits<'_>,
    ) -> Result<(ResponseHead, Body), UpstreamError> {
        let mut answer = pin!(self.exchange(upstream, head, body));
        let mut deadline = waits.began + waits.head_max;
        loop {
            if let Some(answered) = waits.timers.until(deadline, answer.as_mut()).await {
                let (head, body) = answered?;
                return Ok((head, limit_waits(body, waits.piece_max)));
            }
            let left = sender.map_or(Duration::ZERO, |sender| sender.left_of(waits.head_max));
            if left.is_zero() || waits.began.elapsed() >= UPLOAD_TIME_MAX {
                return Err(UpstreamError::Timeout(waits.head_max));
            }
            deadline = Instant::now() + left;
        }
    }

    async fn exchange(
        self: &Rc<Self>,
        upstream: &Upstream,
        head: &RequestHead,
        mut body: Body,
    ) -> Result<(ResponseHead, Body), UpstreamError> {
        let slot = self.pool.slot(upstream);
        let give_back = || Return(Rc::clone(&slot));
        // A server may close an idle connection at the moment it is used again. What is safe to repeat is then sent
        // once more, on a new connection.
        let may_be_repeated = is_idempotent(&head.method);
        if let Some(connection) = slot.take(!may_be_repeated) {
            let again = may_be_repeated.then(|| {
                let (first, again) = keep(std::mem::take(&mut body));
                body = first;
                again
            });
            let sent = connection.send(head, body, give_back()).await;
            let is_closed = matches!(sent, Err(SendError::Closed));
            match again.and_then(|again| again.body()).filter(|_| is_closed) {
                Some(again) => body = again,
                None => return sent.map_err(refusal),
            }
        }
        // It takes much room, and is seldom needed.
        let connection = Box::pin(self.connect(upstream)).await?;
        connection.send(head, body, give_back()).await.map_err(refusal)
    }

    async fn connect(&self, upstream: &Upstream) -> Result<ClientConnection<Stream>, UpstreamError> {
        let refused = |source| UpstreamError::Connect { authority: upstream.authority.clone(), source };
        let (host, port) = upstream.address();
        let tcp = TcpStream::connect((host, port)).await.map_err(refused)?;
        tcp.set_nodelay(true).map_err(refused)?;
        let stream = match upstream.scheme {
            Scheme::Http => Stream::Plain(tcp.into()),
            Scheme::Https => {
                let failed =
                    |reason: String| UpstreamError::Tls { authority: upstream.authority.clone(), reason };
                let name = ServerName::try_from(upstream.host.to_string())
                    .map_err(|error| failed(error.to_string()))?;
                let connector = self.services.tls.connector(upstream).map_err(failed)?;
                let tls =
                    connector.connect(name, tcp.into()).await.map_err(|error| failed(error.to_string()))?;
                Stream::Tls(Box::new(tls))
            }
        };
        Ok(ClientConnection::new(stream))
    }
}

fn refusal(error: SendError) -> UpstreamError {
    match error {
        SendError::Closed => UpstreamError::Closed,
        SendError::Io(error) => UpstreamError::Broken(error),
        SendError::Head(error) => UpstreamError::Protocol(error.to_string()),
        SendError::RequestBody(error) => UpstreamError::RequestBody(error),
    }
}

/// RFC 9110 §9.2.2.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE
    )
}

/// TLS towards backends. The system's trust store is read when it is first needed: reading it takes longer than all
/// the rest of a start.
#[derive(Default)]
pub struct UpstreamTls {
    verified: OnceLock<Result<tokio_rustls::TlsConnector, String>>,
    nameless: OnceLock<Result<tokio_rustls::TlsConnector, String>>,
    unverified: OnceLock<Result<tokio_rustls::TlsConnector, String>>,
}

impl UpstreamTls {
    fn connector(&self, upstream: &Upstream) -> Result<tokio_rustls::TlsConnector, String> {
        if let Some(client) = &upstream.client {
            return client.connector(upstream.certificate);
        }
        let connector = match upstream.certificate {
            CertificateCheck::Full => &self.verified,
            CertificateCheck::Issuer => &self.nameless,
            CertificateCheck::None => &self.unverified,
        };
        connector.get_or_init(|| tls::connector_for(upstream.certificate, None)).clone()
    }
}

/// A connection's bytes, encrypted or not.
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// Whether the event loop may have heard of something that the server has sent, or of its end.
    fn may_have_news(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.may_have_news(),
            Self::Tls(stream) => stream.get_ref().0.may_have_news(),
        }
    }

    /// Whether the server has neither closed the connection nor sent anything, by a look at the socket itself.
    fn is_silent(&self) -> bool {
        let socket = match self {
            Self::Plain(stream) => SockRef::from(stream),
            Self::Tls(stream) => SockRef::from(stream.get_ref().0),
        };
        let looked = socket.peek(&mut [std::mem::MaybeUninit::uninit()]);
        looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// How far the sender of a body is.
#[derive(Clone)]
pub(crate) struct Sender(Rc<Cell<Progress>>);

#[derive(Clone, Copy)]
struct Progress {
    /// When the last piece came.
    last: Instant,
    /// Whether it is the sender that is waited for.
    is_awaited: bool,
}

impl Sender {
    /// Since when it is not the sender that is waited for.
    pub(crate) fn done_since(&self) -> Instant {
        let Progress { last, is_awaited } = self.0.get();
        if is_awaited { Instant::now() } else { last }
    }

    /// What is left of a time that begins when the sender has done its part. How long each piece may take is limited where
    /// the body comes from.
    fn left_of(&self, limit: Duration) -> Duration {
        limit.saturating_sub(self.done_since().elapsed())
    }
}

/// A body that tells how far its sender is.
struct WatchedBody {
    body: Body,
    sender: Sender,
}

/// The body, and how far its sender is, if it does not stand there whole.
pub(crate) fn watched(body: Body) -> (Body, Option<Sender>) {
    match body {
        Body::Stream(_) => {
            let sender = Sender(Rc::new(Cell::new(Progress { last: Instant::now(), is_awaited: false })));
            (Body::Stream(Box::new(WatchedBody { body, sender: sender.clone() })), Some(sender))
        }
        at_hand => (at_hand, None),
    }
}

impl BodyStream for WatchedBody {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let polled = self.body.poll_chunk(context);
        let last = if polled.is_ready() { Instant::now() } else { self.sender.0.get().last };
        self.sender.0.set(Progress { last, is_awaited: polled.is_pending() });
        polled
    }

    fn remaining(&self) -> Option<u64> {
        self.body.remaining()
    }
}

/// A body whose next piece is waited for only so long. A stream that never has to be waited for sets no timer.
struct TimedBody {
    body: Body,
    wait_max: Duration,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

pub(crate) fn limit_waits(body: Body, wait_max: Duration) -> Body {
    match body {
        Body::Stream(_) => Body::Stream(Box::new(TimedBody { body, wait_max, timer: None })),
        at_hand => at_hand,
    }
}

impl BodyStream for TimedBody {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Poll::Ready(chunk) = self.body.poll_chunk(context) {
            self.timer = None;
            return Poll::Ready(chunk);
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.wait_max)));
        timer.as_mut().poll(context).map(|()| Some(Err(BodyError::TimedOut)))
    }

    fn remaining(&self) -> Option<u64> {
        self.body.remaining()
    }
}
