//! The Lambda Runtime API (2018-06-01): what a function's process says, as calls for the task that drives the process.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
//!
//! The same code serves our own bootstraps (one inherited socket, requests pipelined) and foreign `bootstrap`
//! executables (loopback TCP, any HTTP/1.1 client). A process is trusted no further than its own function: whatever it
//! sends costs a bounded amount of memory.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use crate::outcome::RESULT_BYTES_MAX;

const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
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
    let Err(error) = serve_requests(stream, &calls).await else { return };
    // The kernel resets a connection that is closed with unread bytes, by which an event that was never seen is told
    // from one whose handler ended the process.
    if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
        let (answer, _) = oneshot::channel();
        let _ = calls.send(Call { kind: CallKind::Unread, answer }).await;
    } else {
        tracing::debug!(target: "function", %error, "a Runtime API connection broke");
    }
}

async fn serve_requests<S>(mut stream: S, calls: &mpsc::Sender<Call>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = BytesMut::with_capacity(8 * 1024);
    loop {
        let Some(request) = read_request(&mut stream, &mut buffer).await? else { return Ok(()) };
        let answer = match request.call() {
            Ok(kind) => {
                let (answer, answered) = oneshot::channel();
                if calls.send(Call { kind, answer }).await.is_err() {
                    return Ok(());
                }
                match wait(&mut stream, &mut buffer, answered).await? {
                    Some(answer) => answer,
                    None => return Ok(()),
                }
            }
            Err(refused) => refused,
        };
        write_answer(&mut stream, answer).await?;
        if !request.keep_alive {
            return Ok(());
        }
    }
}

/// Waits for the answer, which for `next` may take hours, and ends when the peer goes away: an event must not be lost to
/// a closed connection.
async fn wait<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    mut answered: oneshot::Receiver<Answer>,
) -> io::Result<Option<Answer>> {
    loop {
        // What is pipelined behind the request is kept, but no more of it is read than one head.
        if buffer.len() >= HEAD_BYTES_MAX {
            return Ok(answered.await.ok());
        }
        tokio::select! {
            biased;
            answer = &mut answered => return Ok(answer.ok()),
            read = stream.read_buf(buffer) => if read? == 0 { return Ok(None) },
        }
    }
}

async fn write_answer<S: AsyncWrite + Unpin>(stream: &mut S, answer: Answer) -> io::Result<()> {
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
        Answer::Accepted => {
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

struct Request {
    method: String,
    path: String,
    body: Bytes,
    /// The body was larger than a result may be, and was thrown away.
    too_large: bool,
    keep_alive: bool,
}

impl Request {
    fn call(&self) -> Result<CallKind, Answer> {
        let unknown = || Answer::Refused {
            status: 404,
            kind: "NotFound",
            message: format!("there is no {} {}", self.method, self.path),
        };
        let rest = self.path.strip_prefix(PREFIX).ok_or_else(unknown)?;
        let mut segments = rest.split('/');
        let place = (segments.next(), segments.next(), segments.next(), segments.next());
        match (self.method.as_str(), place) {
            ("GET", (Some("invocation"), Some("next"), None, None)) => Ok(CallKind::Next),
            ("POST", (Some("init"), Some("error"), None, None)) => {
                Ok(CallKind::InitError { body: self.body.clone() })
            }
            ("POST", (Some("invocation"), Some(id), Some("response"), None)) => Ok(CallKind::Response {
                request_id: id.to_owned(),
                body: (!self.too_large).then(|| self.body.clone()),
            }),
            ("POST", (Some("invocation"), Some(id), Some("error"), None)) => {
                Ok(CallKind::Error { request_id: id.to_owned(), body: self.body.clone() })
            }
            _ => Err(unknown()),
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
        }
    }
    Ok(Some((size, head)))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> io::Result<()> {
    if stream.read_buf(buffer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

async fn read_request<S>(stream: &mut S, buffer: &mut BytesMut) -> io::Result<Option<Request>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head = loop {
        if let Some((size, head)) = parse_head(buffer).map_err(malformed)? {
            buffer.advance(size);
            break head;
        }
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    };
    if head.expects_continue {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let mut body = Collected::default();
    match head.length {
        Length::Fixed(size) => body.take(stream, buffer, size).await?,
        Length::Chunked => loop {
            let size = chunk_size(&line(stream, buffer).await?).map_err(malformed)?;
            if size == 0 {
                // Trailers end with an empty line.
                while !line(stream, buffer).await?.is_empty() {}
                break;
            }
            body.take(stream, buffer, size).await?;
            if !line(stream, buffer).await?.is_empty() {
                return Err(malformed("a chunk without its end"));
            }
        },
    }
    let Head { method, path, keep_alive, .. } = head;
    Ok(Some(Request { method, path, keep_alive, too_large: body.too_large, body: body.kept.freeze() }))
}

/// A body as far as it may be kept; the rest is read and thrown away.
#[derive(Default)]
struct Collected {
    kept: BytesMut,
    too_large: bool,
}

impl Collected {
    async fn take<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        buffer: &mut BytesMut,
        size: u64,
    ) -> io::Result<()> {
        if size > (RESULT_BYTES_MAX - self.kept.len()) as u64 {
            self.too_large = true;
        }
        let mut left = size;
        while left > 0 {
            if buffer.is_empty() {
                more(stream, buffer).await?;
            }
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            if self.too_large {
                buffer.advance(part);
            } else if self.kept.is_empty() && part as u64 == size {
                self.kept = buffer.split_to(part);
            } else {
                self.kept.extend_from_slice(&buffer.split_to(part));
            }
            left -= part as u64;
        }
        Ok(())
    }
}

/// A line without its end.
async fn line<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> io::Result<BytesMut> {
    loop {
        if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let mut line = buffer.split_to(end + 1);
            line.truncate(end);
            if line.last() == Some(&b'\r') {
                line.truncate(end - 1);
            }
            return Ok(line);
        }
        if buffer.len() >= HEAD_BYTES_MAX {
            return Err(malformed("an endless line"));
        }
        more(stream, buffer).await?;
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

    type Read = Result<(String, String, Vec<u8>, bool), io::ErrorKind>;

    fn read(bytes: &[u8]) -> Vec<Read> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut stream = tokio::io::join(bytes, tokio::io::sink());
            let mut buffer = BytesMut::new();
            let mut found = Vec::new();
            loop {
                match read_request(&mut stream, &mut buffer).await {
                    Ok(Some(request)) => found.push(Ok((
                        request.method,
                        request.path,
                        request.body.to_vec(),
                        request.too_large,
                    ))),
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
                Ok(((*method).to_owned(), (*path).to_owned(), body.as_bytes().to_vec(), false))
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
    fn a_result_that_is_too_large_is_thrown_away() {
        let mut bytes =
            format!("POST /r HTTP/1.1\r\nContent-Length: {}\r\n\r\n", RESULT_BYTES_MAX + 1).into_bytes();
        bytes.resize(bytes.len() + RESULT_BYTES_MAX + 1, b'x');
        bytes.extend_from_slice(b"GET /n HTTP/1.1\r\n\r\n");
        let found = read(&bytes);
        assert_eq!(found[0], Ok(("POST".to_owned(), "/r".to_owned(), Vec::new(), true)));
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
