//! HTTP/2 connections, by hyper: names are lower case in HTTP/2, so nothing is lost by going through `http`'s types.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use stagedoor_http::encode::is_framing_field;
use stagedoor_http::{Body, BodyError, BodyStream, Headers, RequestHead, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::{self, BODY_WAIT_MAX, IDLE_TIME_MAX, Listening};
use crate::forward::limit_waits;
use crate::untaken::{Bodies, LOOK_INTERVAL};
use crate::websocket::upgrade::Outcome;
use crate::worker::{ConnectionInfo, Worker};

/// Requests that one connection may have under way.
const CONCURRENT_STREAMS_MAX: u32 = 128;
/// A head that is larger is refused by the protocol; the gateway's own limit is lower and has an answer.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// Of a request body that nothing reads any more, so much is read and dropped: what AWS takes, and some.
const DRAIN_BYTES_MAX: usize = 12 * 1024 * 1024;
/// How long that may take.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Headers whose values never come again. They are written as never indexed: in the table of header compression they would
/// drive out what does come again, and each would be compared with all before it (RFC 7541 section 7.1.3).
const UNIQUE: [&str; 4] = ["apigw-requestid", "x-amzn-requestid", "x-amz-apigw-id", "x-amzn-trace-id"];

pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    listening: Rc<Listening>,
    stream: S,
    read: Bytes,
    info: ConnectionInfo,
) {
    let io = TokioIo::new(Rewound { read, stream });
    let info = Rc::new(info);
    let activity = Rc::new(Activity::default());
    let service = service_fn(|request| {
        let (worker, listening, info) = (Rc::clone(&worker), Rc::clone(&listening), Rc::clone(&info));
        let under_way = UnderWay::new(&activity);
        // In a box: hyper and the executor move what they are handed several times, and a request's state is large.
        Box::pin(async move {
            let response = answer(&worker, &listening, &info, request).await;
            Ok::<_, Infallible>(response.map(|body| under_way.0.bodies.watch(body)))
        })
    });
    let mut connection = pin!(
        hyper::server::conn::http2::Builder::new(OnThisThread)
            .timer(TokioTimer::new())
            .max_concurrent_streams(CONCURRENT_STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .adaptive_window(true)
            .serve_connection(io, service)
    );
    let mut drained = pin!(worker.drain.begins());
    let mut draining = worker.drain.has_begun();
    if draining {
        connection.as_mut().graceful_shutdown();
    }
    let mut look = pin!(tokio::time::sleep(LOOK_INTERVAL));
    let result = std::future::poll_fn(|context| {
        let mut ends = !draining && drained.as_mut().poll(context).is_ready();
        while look.as_mut().poll(context).is_ready() {
            let is_sending = activity.bodies.give_up();
            let is_idle = activity.is_idle();
            if draining && is_idle && !is_sending {
                // What is left are streams that the client does not take.
                return Poll::Ready(Ok(()));
            }
            ends |= is_idle;
            look.as_mut().reset((Instant::now() + LOOK_INTERVAL).into());
        }
        if !draining && ends {
            draining = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context)
    })
    .await;
    if let Err(error) = result {
        tracing::debug!(peer = %info.peer, %error, "HTTP/2 connection ended");
    }
}

/// What goes on on a connection.
struct Activity {
    under_way: Cell<usize>,
    /// When the last request was answered.
    since: Cell<Instant>,
    bodies: Bodies,
}

impl Default for Activity {
    fn default() -> Self {
        Self { under_way: Cell::default(), since: Cell::new(Instant::now()), bodies: Bodies::default() }
    }
}

impl Activity {
    /// Whether there has been no request for as long as a connection may be without. Answers that are still being sent
    /// do not count: closing waits for them.
    fn is_idle(&self) -> bool {
        self.under_way.get() == 0 && self.since.get().elapsed() >= IDLE_TIME_MAX
    }
}

/// A request that is not answered yet.
struct UnderWay(Rc<Activity>);

impl UnderWay {
    fn new(activity: &Rc<Activity>) -> Self {
        activity.under_way.set(activity.under_way.get() + 1);
        Self(Rc::clone(activity))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
        self.0.since.set(Instant::now());
    }
}

async fn answer(
    worker: &Rc<Worker>,
    listening: &Listening,
    info: &ConnectionInfo,
    request: http::Request<Incoming>,
) -> http::Response<Body> {
    let (parts, body) = request.into_parts();
    let headers = fields(&parts);
    let target = parts.uri.path_and_query().map_or_else(|| "/".into(), |target| target.as_str().to_owned());
    let head = RequestHead { method: parts.method, target: target.into(), version: Version::Http2, headers };
    let unread = (!body.is_end_stream()).then(|| Rc::new(RefCell::new(body)));
    let body = match &unread {
        None => Body::Empty,
        Some(unread) => limit_waits(Body::Stream(Box::new(RequestBody(Rc::clone(unread)))), BODY_WAIT_MAX),
    };
    let is_head = head.method == http::Method::HEAD;
    let (head, body) = match connection::answer(worker, listening, info, head, body).await {
        Outcome::Response(head, body) => (head, body),
        // Only a request of HTTP/1.1 is upgraded.
        Outcome::Upgrade(..) => crate::pipeline::refuse_unknown(),
    };
    if let Some(unread) = unread.and_then(Rc::into_inner) {
        drop_rest(unread.into_inner());
    }
    let left_out = if is_head { body.remaining().filter(|length| *length > 0) } else { None };
    let mut response = http::Response::new(if is_head { Body::Empty } else { body });
    response.headers_mut().reserve(head.headers.len());
    // An interim status would not be the answer; HTTP/1.1 has the same guard where it writes a head.
    *response.status_mut() =
        if head.status.is_informational() { StatusCode::INTERNAL_SERVER_ERROR } else { head.status };
    for header in &head.headers {
        let keep = !is_framing_field(header) || (is_head && header.is("content-length"));
        if !keep {
            continue;
        }
        let value = HeaderValue::from_maybe_shared(header.value.clone());
        if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(&header.name), value) {
            value.set_sensitive(UNIQUE.iter().any(|unique| header.is(unique)));
            response.headers_mut().append(name, value);
        }
    }
    if let Some(length) = left_out {
        response.headers_mut().entry(http::header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    response
}

/// The header fields of a request, with its authority as `Host`. They share one allocation. Clients send cookies one by one
/// in HTTP/2, to everybody else they are one field (RFC 9113 section 8.2.3).
fn fields(parts: &http::request::Parts) -> Headers {
    let cookie = cookies(parts);
    let cookie = cookie.as_deref();
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = authority.or_else(|| parts.headers.get(http::header::HOST).map(HeaderValue::as_bytes));
    let all = || {
        let others = parts.headers.iter().filter(|(name, _)| *name != http::header::HOST);
        let mut joined = cookie;
        let others = others.filter_map(move |(name, value)| match cookie {
            Some(_) if *name == http::header::COOKIE => Some((name.as_str(), joined.take()?)),
            _ => Some((name.as_str(), value.as_bytes())),
        });
        host.map(|host| ("Host", host)).into_iter().chain(others)
    };
    let length = all().map(|(name, value)| name.len() + value.len()).sum();
    let mut text = BytesMut::with_capacity(length);
    for (name, value) in all() {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(value);
    }
    let mut text = text.freeze();
    let mut headers = Headers::with_capacity(parts.headers.len() + 1);
    for (name, value) in all() {
        headers.append(text.split_to(name.len()), text.split_to(value.len()));
    }
    headers
}

/// All cookies in one, if there are several.
fn cookies(parts: &http::request::Parts) -> Option<Vec<u8>> {
    let all = parts.headers.get_all(http::header::COOKIE);
    all.iter().nth(1)?;
    Some(all.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]))
}

/// Reads and drops what the client still sends, for a while: a stream that is reset while its request is being sent
/// is an error to clients, who then do not show the answer that came before.
fn drop_rest(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tokio::task::spawn_local(async move {
        let reading = async {
            let mut left = DRAIN_BYTES_MAX;
            while let Some(Ok(frame)) =
                std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
            {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(length) else { return };
                left = rest;
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME_MAX, reading).await;
    });
}

/// The body of a request, as a stream of ours. It is shared so that what the handler leaves unread can be dropped.
struct RequestBody(Rc<RefCell<Incoming>>);

impl BodyStream for RequestBody {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut body = self.0.borrow_mut();
        loop {
            return Poll::Ready(match std::task::ready!(Pin::new(&mut *body).poll_frame(context)) {
                None => None,
                Some(Err(error)) => Some(Err(BodyError::Source(error.to_string()))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.has_remaining() => Some(Ok(data)),
                    // Trailers, and empty frames.
                    _ => continue,
                },
            });
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.0.borrow().size_hint().exact()
    }
}

/// Runs hyper's tasks on the worker's own thread.
#[derive(Clone, Copy)]
struct OnThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// A stream of which some bytes have been read already.
struct Rewound<S> {
    read: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
