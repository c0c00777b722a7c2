//! The Lambda Runtime API (2018-06-01): what a function's process says, as calls for the task that drives the process.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
//!
//! It serves `bootstrap` executables, over loopback TCP and to any HTTP/1.1 client; our own bootstraps speak a shorter
//! protocol (`link`). A process is trusted no further than its own function: whatever it
//! sends costs a bounded amount of memory.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use crate::outcome::{self, RESULT_BYTES_MAX, STREAM_BYTES_MAX};

const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// The longest line of a trailer, in bytes: it may hold a stack trace.
const TRAILER_BYTES_MAX: usize = 256 * 1024;
/// How much is read at a time, in bytes.
const READ_BYTES: usize = 32 * 1024;
const PREFIX: &str = "/2018-06-01/runtime/";

/// What a process says.
pub(crate) struct Call {
    pub(crate) kind: CallKind,
    /// Where the answer goes; closed once the connection is gone.
    pub(crate) answer: oneshot::Sender<Answer>,
}

pub(crate) enum CallKind {
    /// Ready for the next event.
    Next,
    /// The result of an invocation; none if it was larger than a result may be.
    Response { request_id: String, body: Option<Bytes> },
    /// The result of an invocation begins, and more of it comes while the function works.
    Stream { request_id: String, content_type: Option<String> },
    /// A streamed result has ended, with an error if the function failed on the way.
    StreamEnd { request_id: String, error: Option<Bytes> },
    /// An invocation failed.
    Error { request_id: String, body: Bytes },
    /// The process cannot serve at all.
    InitError { body: Bytes },
    /// The connection broke while the process had not read all that was sent.
    Unread,
}

pub(crate) enum Answer {
    /// Head and body of the next event.
    Event { head: String, payload: Bytes },
    /// Where the pieces of a streamed result go; none if the caller wants it whole.
    Stream(Option<mpsc::Sender<Bytes>>),
    /// 202.
    Accepted,
    /// An error in the Runtime API's form.
    Refused { status: u16, kind: &'static str, message: String },
}

/// Serves one connection until it closes.
pub(crate) async fn serve<S>(stream: S, calls: mpsc::Sender<Call>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection { stream, buffer: BytesMut::with_capacity(8 * 1024) };
    let Err(error) = connection.serve(&calls).await else { return };
    // The kernel resets a connection that is closed with unread bytes, by which an event that was never seen is told
    // from one whose handler ended the process.
    if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
        let (answer, _) = oneshot::channel();
        let _ = calls.send(Call { kind: CallKind::Unread, answer }).await;
    } else {
        tracing::debug!(target: "function", %error, "a Runtime API connection broke");
    }
}

/// A connection of a process, and what has been read of it too early.
struct Connection<S> {
    stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn serve(&mut self, calls: &mpsc::Sender<Call>) -> io::Result<()> {
        loop {
            let Some(head) = self.head().await? else { return Ok(()) };
            if head.expects_continue {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            let answer = match head.call() {
                Some(Said::Stream(request_id)) => {
                    let content_type = head.content_type.clone();
                    self.streamed(head.length, request_id, content_type, calls).await?
                }
                Some(said) => {
                    let (body, _) = self.whole(head.length).await?;
                    self.ask(calls, said.with(body)).await?
                }
                None => {
                    self.whole(head.length).await?;
                    Some(unknown(&head))
                }
            };
            let Some(answer) = answer else { return Ok(()) };
            self.answer(answer).await?;
            if !head.keep_alive {
                return Ok(());
            }
        }
    }

    /// Tells the process's task, and waits for its answer; none once either side is gone.
    async fn ask(&mut self, calls: &mpsc::Sender<Call>, kind: CallKind) -> io::Result<Option<Answer>> {
        let (answer, answered) = oneshot::channel();
        if calls.send(Call { kind, answer }).await.is_err() {
            return Ok(None);
        }
        self.wait(answered).await
    }

    /// Waits for the answer, which for `next` may take hours, and ends when the peer goes away: an event must not be lost
    /// to a closed connection.
    async fn wait(&mut self, mut answered: oneshot::Receiver<Answer>) -> io::Result<Option<Answer>> {
        loop {
            // What is pipelined behind the request is kept, but no more of it is read than one head.
            if self.buffer.len() >= HEAD_BYTES_MAX {
                return Ok(answered.await.ok());
            }
            tokio::select! {
                biased;
                answer = &mut answered => return Ok(answer.ok()),
                read = self.stream.read_buf(&mut self.buffer) => if read? == 0 { return Ok(None) },
            }
        }
    }

    /// Hands over a result piece by piece.
    async fn streamed(
        &mut self,
        length: Length,
        request_id: String,
        content_type: Option<String>,
        calls: &mpsc::Sender<Call>,
    ) -> io::Result<Option<Answer>> {
        let (answer, answered) = oneshot::channel();
        let kind = CallKind::Stream { request_id: request_id.clone(), content_type };
        if calls.send(Call { kind, answer }).await.is_err() {
            return Ok(None);
        }
        let sink = match answered.await {
            Ok(Answer::Stream(sink)) => sink,
            Ok(refused) => {
                self.whole(length).await?;
                return Ok(Some(refused));
            }
            Err(_) => return Ok(None),
        };
        let Some(sink) = sink else {
            let (body, error) = self.whole(length).await?;
            let kind = match error {
                Some(error) => CallKind::Error { request_id, body: error },
                None => CallKind::Response { request_id, body },
            };
            return self.ask(calls, kind).await;
        };
        let mut reader = BodyReader::new(length);
        let mut sent = 0_u64;
        while let Some(piece) = reader.next(self).await? {
            sent = sent.saturating_add(piece.len() as u64);
            // A caller who has gone is no reason to disturb the function.
            if sent <= STREAM_BYTES_MAX {
                let _ = sink.send(piece).await;
            }
        }
        drop(sink);
        let too_large = (sent > STREAM_BYTES_MAX).then(outcome::result_too_large);
        let error = reader.error().or(too_large);
        self.ask(calls, CallKind::StreamEnd { request_id, error }).await
    }

    /// Reads a body as far as it may be kept, and throws the rest away; none if it was too large. The second is the error
    /// in its trailers.
    async fn whole(&mut self, length: Length) -> io::Result<(Option<Bytes>, Option<Bytes>)> {
        let mut reader = BodyReader::new(length);
        let mut first = Bytes::new();
        let mut more = BytesMut::new();
        let mut size = 0;
        while let Some(piece) = reader.next(self).await? {
            size += piece.len();
            if size > RESULT_BYTES_MAX {
                (first, more) = (Bytes::new(), BytesMut::new());
            } else if first.is_empty() {
                first = piece;
            } else {
                if more.is_empty() {
                    more.reserve(reader.expected().min(RESULT_BYTES_MAX) + first.len() + piece.len());
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&piece);
            }
        }
        let body = if more.is_empty() { first } else { more.freeze() };
        Ok(((size <= RESULT_BYTES_MAX).then_some(body), reader.error()))
    }

    async fn answer(&mut self, answer: Answer) -> io::Result<()> {
        let stream = &mut self.stream;
        match answer {
            Answer::Event { head, payload } if payload.len() <= 64 * 1024 => {
                let mut message = head.into_bytes();
                message.extend_from_slice(&payload);
                stream.write_all(&message).await
            }
            Answer::Event { head, payload } => {
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&payload).await
            }
            Answer::Accepted | Answer::Stream(_) => {
                let message = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
                stream.write_all(message.as_bytes()).await
            }
            Answer::Refused { status, kind, message } => {
                let body = serde_json::json!({ "errorMessage": message, "errorType": kind }).to_string();
                let head = format!(
                    "HTTP/1.1 {status} {kind}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await
            }
        }
    }

    /// The next request's head; none when the process has closed the connection between two requests.
    async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some((size, head)) = parse_head(&self.buffer).map_err(malformed)? {
                self.buffer.advance(size);
                return Ok(Some(head));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.buffer.capacity() - self.buffer.len() < 4096 {
            self.buffer.reserve(READ_BYTES);
        }
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Some of the next bytes, at most `max`.
    async fn some(&mut self, max: u64) -> io::Result<Bytes> {
        if self.buffer.is_empty() {
            self.more().await?;
        }
        let size = usize::try_from(max).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(self.buffer.split_to(size).freeze())
    }

    /// A line without its end.
    async fn line(&mut self, bytes_max: usize) -> io::Result<BytesMut> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.truncate(end - 1);
                }
                return Ok(line);
            }
            if self.buffer.len() >= bytes_max {
                return Err(malformed("an endless line"));
            }
            self.more().await?;
        }
    }
}

fn unknown(head: &Head) -> Answer {
    Answer::Refused {
        status: 404,
        kind: "NotFound",
        message: format!("there is no {} {}", head.method, head.path),
    }
}

/// What a request's head says; the body is still to come.
enum Said {
    Next,
    InitError,
    Response(String),
    Stream(String),
    Error(String),
}

impl Said {
    fn with(self, body: Option<Bytes>) -> CallKind {
        match self {
            Self::Next => CallKind::Next,
            Self::InitError => CallKind::InitError { body: body.unwrap_or_default() },
            Self::Error(request_id) => CallKind::Error { request_id, body: body.unwrap_or_default() },
            Self::Response(request_id) | Self::Stream(request_id) => CallKind::Response { request_id, body },
        }
    }
}

#[derive(Clone, Copy)]
enum Length {
    Fixed(u64),
    Chunked,
}

struct Head {
    method: String,
    path: String,
    length: Length,
    keep_alive: bool,
    expects_continue: bool,
    /// `Lambda-Runtime-Function-Response-Mode: streaming`.
    streams: bool,
    content_type: Option<String>,
}

impl Head {
    fn call(&self) -> Option<Said> {
        let rest = self.path.strip_prefix(PREFIX)?;
        let mut segments = rest.split('/');
        let place = (segments.next(), segments.next(), segments.next(), segments.next());
        match (self.method.as_str(), place) {
            ("GET", (Some("invocation"), Some("next"), None, None)) => Some(Said::Next),
            ("POST", (Some("init"), Some("error"), None, None)) => Some(Said::InitError),
            ("POST", (Some("invocation"), Some(id), Some("response"), None)) if self.streams => {
                Some(Said::Stream(id.to_owned()))
            }
            ("POST", (Some("invocation"), Some(id), Some("response"), None)) => {
                Some(Said::Response(id.to_owned()))
            }
            ("POST", (Some("invocation"), Some(id), Some("error"), None)) => Some(Said::Error(id.to_owned())),
            _ => None,
        }
    }
}

/// Reads a head if the buffer holds a whole one.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let size = match request.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("a request head over 16 KB"),
        Err(_) => return Err("a malformed request head"),
    };
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        length: Length::Fixed(0),
        keep_alive: request.version == Some(1),
        expects_continue: false,
        streams: false,
        content_type: None,
    };
    for field in request.headers.iter() {
        let value = str::from_utf8(field.value).map(str::trim).unwrap_or_default();
        let named = |name: &str| field.name.eq_ignore_ascii_case(name);
        if named("content-length") && matches!(head.length, Length::Fixed(_)) {
            head.length = Length::Fixed(value.parse().map_err(|_| "a malformed Content-Length")?);
        } else if named("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            head.length = Length::Chunked;
        } else if named("transfer-encoding") {
            return Err("an unknown Transfer-Encoding");
        } else if named("connection") && value.eq_ignore_ascii_case("close") {
            head.keep_alive = false;
        } else if named("expect") && value.eq_ignore_ascii_case("100-continue") {
            head.expects_continue = true;
        } else if named("lambda-runtime-function-response-mode") {
            head.streams = value.eq_ignore_ascii_case("streaming");
        } else if named("content-type") {
            head.content_type = Some(value.to_owned());
        }
    }
    Ok(Some((size, head)))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// How far a body has been read.
enum Place {
    Fixed(u64),
    BeforeChunk,
    Chunk(u64),
    Done,
}

struct BodyReader {
    place: Place,
    /// `Lambda-Runtime-Function-Error-Type` and `-Body` of the trailers.
    error_type: Option<String>,
    error_body: Option<Bytes>,
}

impl BodyReader {
    fn new(length: Length) -> Self {
        let place = match length {
            Length::Fixed(size) => Place::Fixed(size),
            Length::Chunked => Place::BeforeChunk,
        };
        Self { place, error_type: None, error_body: None }
    }

    /// How much is known to come, in bytes.
    fn expected(&self) -> usize {
        match self.place {
            Place::Fixed(left) | Place::Chunk(left) => usize::try_from(left).unwrap_or(usize::MAX),
            Place::BeforeChunk | Place::Done => 0,
        }
    }

    /// The next piece, which is never empty; none at the end.
    async fn next<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
    ) -> io::Result<Option<Bytes>> {
        loop {
            match &mut self.place {
                Place::Done | Place::Fixed(0) => {
                    self.place = Place::Done;
                    return Ok(None);
                }
                Place::Chunk(0) => {
                    if !connection.line(HEAD_BYTES_MAX).await?.is_empty() {
                        return Err(malformed("a chunk without its end"));
                    }
                    self.place = Place::BeforeChunk;
                }
                Place::Fixed(left) | Place::Chunk(left) => {
                    let piece = connection.some(*left).await?;
                    *left -= piece.len() as u64;
                    return Ok(Some(piece));
                }
                Place::BeforeChunk => {
                    let size = chunk_size(&connection.line(HEAD_BYTES_MAX).await?).map_err(malformed)?;
                    if size > 0 {
                        self.place = Place::Chunk(size);
                        continue;
                    }
                    for _ in 0..HEADERS_MAX {
                        let line = connection.line(TRAILER_BYTES_MAX).await?;
                        if line.is_empty() {
                            self.place = Place::Done;
                            return Ok(None);
                        }
                        self.trailer(&line);
                    }
                    return Err(malformed("trailers without end"));
                }
            }
        }
    }

    fn trailer(&mut self, line: &[u8]) {
        let Some((name, value)) = str::from_utf8(line).ok().and_then(|line| line.split_once(':')) else {
            return;
        };
        if name.eq_ignore_ascii_case("lambda-runtime-function-error-type") {
            self.error_type = Some(value.trim().to_owned());
        } else if name.eq_ignore_ascii_case("lambda-runtime-function-error-body") {
            self.error_body = STANDARD.decode(value.trim()).ok().map(Bytes::from);
        }
    }

    /// The error of a function that failed while it streamed.
    fn error(&mut self) -> Option<Bytes> {
        let body = self.error_body.take();
        let kind = self.error_type.take();
        body.or_else(|| kind.map(|kind| serde_json::json!({ "errorType": kind }).to_string().into()))
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = str::from_utf8(digits).map_err(|_| "a malformed chunk size")?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("a malformed chunk size");
    }
    u64::from_str_radix(text, 16).map_err(|_| "a chunk size out of range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = Result<(String, String, Option<Vec<u8>>, Option<Vec<u8>>), io::ErrorKind>;

    async fn request<S: AsyncRead + AsyncWrite + Unpin>(
        connection: &mut Connection<S>,
    ) -> io::Result<Option<(String, String, Option<Vec<u8>>, Option<Vec<u8>>)>> {
        let Some(head) = connection.head().await? else { return Ok(None) };
        let (body, error) = connection.whole(head.length).await?;
        Ok(Some((head.method, head.path, body.map(Vec::from), error.map(Vec::from))))
    }

    fn read(bytes: &[u8]) -> Vec<Read> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::io::join(bytes, tokio::io::sink());
            let mut connection = Connection { stream, buffer: BytesMut::new() };
            let mut found = Vec::new();
            loop {
                match request(&mut connection).await {
                    Ok(Some(request)) => found.push(Ok(request)),
                    Ok(None) => return found,
                    Err(error) => {
                        found.push(Err(error.kind()));
                        return found;
                    }
                }
            }
        })
    }

    fn check(bytes: &str, expected: &[(&str, &str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(method, path, body)| {
                Ok(((*method).to_owned(), (*path).to_owned(), Some(body.as_bytes().to_vec()), None))
            })
            .collect();
        assert_eq!(read(bytes.as_bytes()), expected);
    }

    #[test]
    fn requests_are_read_with_their_bodies() {
        check("GET /n HTTP/1.1\r\n\r\n", &[("GET", "/n", "")]);
        check(
            "POST /r HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /n HTTP/1.1\r\n\r\n",
            &[("POST", "/r", "hi"), ("GET", "/n", "")],
        );
        check(
            "POST /r HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=1\r\n yo\r\n0\r\nA: b\r\n\r\n",
            &[("POST", "/r", "hi yo")],
        );
        assert_eq!(
            read(b"POST /r HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            [Err(io::ErrorKind::InvalidData)]
        );
        assert_eq!(read(b"GET /n HT"), [Err(io::ErrorKind::UnexpectedEof)]);
    }

    #[test]
    fn the_error_of_a_stream_stands_in_its_trailers() {
        let found = read(
            b"POST /r HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\
              Lambda-Runtime-Function-Error-Type: E\r\nLambda-Runtime-Function-Error-Body: e30=\r\n\r\n",
        );
        let expected = ("POST".to_owned(), "/r".to_owned(), Some(b"hi".to_vec()), Some(b"{}".to_vec()));
        assert_eq!(found, [Ok(expected)]);
    }

    #[test]
    fn a_result_that_is_too_large_is_thrown_away() {
        let mut bytes =
            format!("POST /r HTTP/1.1\r\nContent-Length: {}\r\n\r\n", RESULT_BYTES_MAX + 1).into_bytes();
        bytes.resize(bytes.len() + RESULT_BYTES_MAX + 1, b'x');
        bytes.extend_from_slice(b"GET /n HTTP/1.1\r\n\r\n");
        let found = read(&bytes);
        assert_eq!(found[0], Ok(("POST".to_owned(), "/r".to_owned(), None, None)));
        assert_eq!(found.len(), 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }

        #[test]
        fn any_body_comes_through_in_any_chunks(parts in proptest::collection::vec("[a-z]{1,50}", 0..6)) {
            let mut bytes = "POST /r HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
            for part in &parts {
                bytes += &format!("{:x}\r\n{part}\r\n", part.len());
            }
            bytes += "0\r\n\r\n";
            check(&bytes, &[("POST", "/r", &parts.concat())]);
        }
    }
}
