//! HTTP/2 connections: with another implementation as their client, and frame by frame.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::StatusCode;
use stagedoor_http::http2::{Connection, ConnectionError};
use stagedoor_http::{Body, BodyError, BodyStream, Headers, RequestHead, ResponseHead};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> ResponseHead {
    let mut headers = Headers::new();
    fields.iter().for_each(|&(name, value)| headers.append(name, value));
    ResponseHead { status: StatusCode::from_u16(status).unwrap(), headers }
}

/// Serves a connection while a client does what it does; gives what came of both.
async fn with_server<T, F: Future<Output = (ResponseHead, Body)>>(
    handle: impl FnMut(RequestHead, Body) -> F,
    client: impl AsyncFnOnce(DuplexStream) -> T,
) -> (T, Option<Result<(), ConnectionError>>) {
    let (near, far) = duplex(1 << 16);
    let mut connection = Connection::new(far, Bytes::new(), handle);
    let mut client = pin!(client(near));
    let mut served = None;
    let told = poll_fn(|context| {
        if served.is_none()
            && let Poll::Ready(result) = connection.poll(context)
        {
            served = Some(result);
        }
        client.as_mut().poll(context)
    });
    (told.await, served)
}

/// The same with a client that speaks the protocol.
fn serve<T, F: Future<Output = (ResponseHead, Body)>>(
    handle: impl FnMut(RequestHead, Body) -> F,
    client: impl AsyncFnOnce(SendRequest<Bytes>) -> T,
) -> T {
    run(async {
        let spoken = with_server(handle, async |stream| {
            let (send, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            client(send).await
        });
        spoken.await.0
    })
}

fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> http::Request<()> {
    let mut request = http::Request::builder().method(method).uri(format!("http://h:1{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

async fn read(response: http::Response<h2::RecvStream>) -> Result<Vec<u8>, h2::Error> {
    let (mut body, mut all) = (response.into_body(), Vec::new());
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

async fn send(stream: &mut h2::SendStream<Bytes>, mut bytes: Bytes, is_end: bool) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(Ok(capacity)) => {
                let piece = bytes.split_to(capacity);
                stream.send_data(piece, is_end && bytes.is_empty())?;
            }
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Says what came: the head, and how long the body was.
async fn describe(head: RequestHead, body: Body) -> (ResponseHead, Body) {
    let fields = head.headers.iter().map(|header| format!("{}={}", header.name_str(), header.value_str()));
    let fields: Vec<_> = fields.collect();
    let said = body.remaining();
    let length = body.collect(u64::MAX).await.map(|body| body.len());
    let target = head.target.as_str().to_owned();
    let text = format!("{} {target} {} {said:?} {length:?}", head.method, fields.join("|"));
    (answer(200, &[("Content-Type", "text/plain"), ("Connection", "close"), ("Upgrade", "x")]), text.into())
}

#[test]
fn requests_are_decoded_and_answers_encoded() {
    serve(describe, async |mut client| {
        let mut check = async |request: http::Request<()>, body: &[&'static str], expected: &str| {
            let (response, mut stream) = client.send_request(request, body.is_empty()).unwrap();
            for (at, piece) in body.iter().enumerate() {
                stream.send_data(Bytes::from_static(piece.as_bytes()), at + 1 == body.len()).unwrap();
            }
            let response = response.await.unwrap();
            let names: Vec<_> = response.headers().keys().map(http::HeaderName::as_str).collect();
            assert_eq!(names, ["content-type", "date", "content-length"]);
            assert_eq!(response.status(), 200);
            assert_eq!(String::from_utf8(read(response).await.unwrap()).unwrap(), expected);
        };
        let get = || request("GET", "/a?b", &[("x-a", "1"), ("cookie", "a=1"), ("cookie", "b=2")]);
        for _ in 0..5 {
            check(get(), &[], "GET /a?b Host=h:1|x-a=1|cookie=a=1; b=2 Some(0) Ok(0)").await;
        }
        check(request("POST", "/", &[]), &["abc", "de"], "POST / Host=h:1 Some(5) Ok(5)").await;
        let long = [("content-length", "5")];
        check(request("PUT", "/", &long), &["abcde"], "PUT / Host=h:1|content-length=5 Some(5) Ok(5)").await;
    });
}

#[test]
fn answers_without_a_body() {
    let handle = async |head: RequestHead, _: Body| {
        let status = head.path().trim_start_matches('/').parse().unwrap();
        (answer(status, &[("Date", "d")]), Body::from("text"))
    };
    serve(handle, async |mut client| {
        let mut check = async |method: &str, path: &str, status: u16, length: Option<&str>, body: &str| {
            let (response, _) = client.send_request(request(method, path, &[]), true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), status);
            let said = response.headers().get("content-length").map(|length| length.to_str().unwrap());
            assert_eq!(said, length, "{method} {path}");
            assert_eq!(read(response).await.unwrap(), body.as_bytes());
        };
        check("GET", "/200", 200, Some("4"), "text").await;
        check("HEAD", "/200", 200, Some("4"), "").await;
        check("GET", "/204", 204, None, "").await;
        check("GET", "/304", 304, None, "").await;
        check("GET", "/404", 404, Some("4"), "text").await;
        // To the client it would promise another answer.
        check("GET", "/103", 500, Some("4"), "text").await;
    });
}

#[test]
fn bodies_are_longer_than_windows_both_ways() {
    const LENGTH: usize = 3_000_000;
    let echo = async |_: RequestHead, body: Body| (answer(200, &[]), body);
    serve(echo, async |client| {
        let once = async |fill: u8| {
            let mut client = client.clone().ready().await.unwrap();
            let (response, mut stream) = client.send_request(request("POST", "/", &[]), false).unwrap();
            let sent = send(&mut stream, vec![fill; LENGTH].into(), true);
            let received = async { read(response.await.unwrap()).await.unwrap() };
            let (sent, received) = tokio::join!(sent, received);
            sent.unwrap();
            assert_eq!(received.len(), LENGTH);
            assert!(received.iter().all(|byte| *byte == fill));
        };
        tokio::join!(once(1), once(2), once(3), once(4), once(5));
    });
}

/// Counts those that live.
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_request_that_is_cancelled_is_not_handled_any_more() {
    let alive = Rc::new(Cell::new(0));
    let handle = |head: RequestHead, _| {
        let alive = Alive::new(&alive);
        async move {
            if head.path() == "/slow" {
                pending::<()>().await;
            }
            drop(alive);
            (answer(200, &[]), Body::Empty)
        }
    };
    serve(handle, async |mut client| {
        for _ in 0..20 {
            let (response, mut stream) = client.send_request(request("GET", "/slow", &[]), true).unwrap();
            until(|| alive.get() == 1).await;
            stream.send_reset(h2::Reason::CANCEL);
            drop(response);
            until(|| alive.get() == 0).await;
        }
        let (response, _) = client.send_request(request("GET", "/", &[]), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
}

#[test]
fn a_body_that_is_read_elsewhere_breaks_off_with_the_connection() {
    run(async {
        let (near, far) = duplex(1 << 16);
        let body = RefCell::new(None);
        let handle = |_: RequestHead, given: Body| {
            *body.borrow_mut() = Some(given);
            pending()
        };
        let mut connection = Connection::new(far, Bytes::new(), handle);
        let client = async {
            let (mut client, link) = h2::client::handshake(near).await.unwrap();
            tokio::spawn(link);
            let _sending = client.send_request(request("POST", "/", &[]), false).unwrap();
            until(|| body.borrow().is_some()).await;
        };
        tokio::select! {
            _ = poll_fn(|context| connection.poll(context)) => panic!("it has ended"),
            () = client => {}
        }
        drop(connection);
        let chunk = body.take().unwrap().chunk().await;
        assert!(matches!(chunk, Some(Err(BodyError::Incomplete))));
    });
}

#[test]
fn a_body_that_nobody_wants_is_dropped_for_a_while() {
    let handle = async |_: RequestHead, _: Body| (answer(413, &[]), Body::from("too long"));
    serve(handle, async |mut client| {
        let mut check = async |length: usize| {
            let (response, mut stream) = client.send_request(request("POST", "/", &[]), false).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), 413);
            let sent = send(&mut stream, vec![0; length].into(), true).await;
            let reset = poll_fn(|context| Poll::Ready(stream.poll_reset(context))).await;
            assert_eq!(read(response).await.unwrap(), b"too long");
            (sent.map_err(|error| error.reason()), reset.is_ready())
        };
        assert_eq!(check(11_000_000).await, (Ok(()), false));
        // Not without end.
        assert_eq!(check(30_000_000).await.0, Ok(()));
        // And not for ever.
        let (response, mut stream) = client.send_request(request("POST", "/", &[]), false).unwrap();
        assert_eq!(response.await.unwrap().status(), 413);
        let reset = poll_fn(|context| stream.poll_reset(context)).await;
        assert_eq!(reset.unwrap(), h2::Reason::NO_ERROR);
    });
}

#[test]
fn a_body_is_asked_for_no_more_than_the_client_takes() {
    struct Endless(Rc<Cell<usize>>);
    impl BodyStream for Endless {
        fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
            self.0.set(self.0.get() + 10_000);
            Poll::Ready(Some(Ok(vec![0; 10_000].into())))
        }
        fn remaining(&self) -> Option<u64> {
            None
        }
    }
    let asked = Rc::new(Cell::new(0));
    let handle = async |_: RequestHead, _: Body| {
        (answer(200, &[]), Body::Stream(Box::new(Endless(Rc::clone(&asked)))))
    };
    serve(handle, async |mut client| {
        let (response, _) = client.send_request(request("GET", "/", &[]), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut received = 0;
        while received < 65_535 {
            received += body.data().await.unwrap().unwrap().len();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((received, asked.get()), (65_535, 70_000));
        body.flow_control().release_capacity(50_000).unwrap();
        body.data().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(asked.get(), 120_000);
    });
}

#[test]
fn a_body_that_is_not_what_was_said_breaks_off() {
    struct Wrong(Option<Result<Bytes, BodyError>>, u64);
    impl BodyStream for Wrong {
        fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
            Poll::Ready(self.0.take())
        }
        fn remaining(&self) -> Option<u64> {
            Some(self.1)
        }
    }
    let handle = async |head: RequestHead, _: Body| {
        let body = match head.path() {
            "/failed" => Wrong(Some(Err(BodyError::Incomplete)), 5),
            "/short" => Wrong(Some(Ok(Bytes::from_static(b"abc"))), 5),
            _ => Wrong(Some(Ok(Bytes::from_static(b"abcdefgh"))), 5),
        };
        (answer(200, &[]), Body::Stream(Box::new(body)))
    };
    serve(handle, async |mut client| {
        for path in ["/failed", "/short", "/long"] {
            let (response, _) = client.send_request(request("GET", path, &[]), true).unwrap();
            let error = match response.await {
                Ok(response) => read(response).await.unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}");
        }
    });
}

#[test]
fn a_head_that_is_too_large_has_an_answer() {
    serve(describe, async |mut client| {
        let long = "x".repeat(70_000);
        let (response, _) = client.send_request(request("GET", "/", &[("x", &long)]), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 431);
        let (response, _) = client.send_request(request("GET", "/", &[]), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
}

#[test]
fn what_is_under_way_ends_before_the_connection() {
    run(async {
        let (near, far) = duplex(1 << 16);
        let go = Rc::new(tokio::sync::Notify::new());
        let handle = |_: RequestHead, _: Body| {
            let go = Rc::clone(&go);
            async move {
                go.notified().await;
                (answer(200, &[]), Body::from("text"))
            }
        };
        let connection = RefCell::new(Connection::new(far, Bytes::new(), handle));
        let client = async {
            let (mut client, link) = h2::client::handshake(near).await.unwrap();
            let link = tokio::spawn(link);
            let (first, _) = client.send_request(request("GET", "/", &[]), true).unwrap();
            until(|| connection.borrow().in_flight() == 1).await;
            connection.borrow_mut().shut_down();
            // It has come to know when it may send no more.
            while client.clone().ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            go.notify_one();
            assert_eq!(read(first.await.unwrap()).await.unwrap(), b"text");
            link.await.unwrap().unwrap();
        };
        // Both are one task, so what `shut_down` has to say is said when the client has waited.
        let served = poll_fn(|context| connection.borrow_mut().poll(context));
        let (served, ()) = tokio::join!(served, client);
        served.unwrap();
    });
}

#[test]
fn a_client_that_says_nothing_is_asked_and_then_left() {
    run(async {
        let (mut near, far) = duplex(1 << 16);
        let mut connection = Connection::new(far, Bytes::new(), describe);
        near.write_all(&hello()).await.unwrap();
        let mut looks = Vec::new();
        for _ in 0..11 {
            // What there is to say is said once others have had their turn.
            for _ in 0..3 {
                let polled = poll_fn(|context| Poll::Ready(connection.poll(context))).await;
                assert!(polled.is_pending());
            }
            let mut bytes = vec![0; 1 << 16];
            let length = tokio::time::timeout(Duration::from_secs(1), near.read(&mut bytes)).await;
            let frames = show(&bytes[..length.map_or(0, Result::unwrap)]);
            if looks.len() == 4 {
                // An answer is enough.
                near.write_all(&frame(6, 1, 0, b"is there")).await.unwrap();
            }
            looks.push(match connection.look() {
                Ok(()) => frames,
                Err(error) => error.to_string(),
            });
        }
        let expected = ["PING is there", "", "", "", "", "PING is there", "the client does not answer"];
        assert_eq!(looks[4..], expected);
    });
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn hello() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, b"")].concat()
}

/// What a server's frames say that is not part of an answer.
fn show(mut bytes: &[u8]) -> String {
    let mut shown = Vec::new();
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let (kind, flags, stream) = (bytes[3], bytes[4], bytes[8]);
        let payload = &bytes[9..9 + length];
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match kind {
            1 => shown.push(format!("HEADERS {stream}")),
            3 => shown.push(format!("RST_STREAM {stream} {}", payload[3])),
            6 if flags == 0 => shown.push(format!("PING {}", text(payload))),
            6 => shown.push(format!("PONG {}", text(payload))),
            7 => {
                let last = u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
                shown.push(format!("GOAWAY {last} {}", payload[7]));
            }
            _ => {}
        }
        bytes = &bytes[9 + length..];
    }
    shown.join(", ")
}

/// A request without a body in four fields of the static table, and one with.
const BLOCK: &[u8] = b"\x82\x84\x86\x41\x01h";

fn get(stream: u32) -> Vec<u8> {
    frame(1, 5, stream, BLOCK)
}

fn post(stream: u32) -> Vec<u8> {
    frame(1, 4, stream, b"\x83\x84\x86\x41\x01h")
}

/// What the server says to these frames, up to the answer of a ping behind them.
fn check(frames: &[Vec<u8>], expected: &str) {
    let never = async |_: RequestHead, body: Body| {
        // The body is not given away, and there is never an answer.
        let _body = body;
        pending().await
    };
    let (told, _) = run(with_server(never, async |mut stream: DuplexStream| {
        let wire = [hello(), frames.concat(), frame(6, 0, 0, b"the end.")].concat();
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let mut told = Vec::new();
        let write = async {
            // The server may have had enough before.
            let _ = writer.write_all(&wire).await;
            pending::<()>().await;
        };
        let read = async {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = reader.read(&mut buffer).await {
                told.extend_from_slice(&buffer[..length]);
                if show(&told).ends_with("PONG the end.") {
                    break;
                }
            }
        };
        tokio::select! { () = write => {}, () = read => {} }
        show(&told)
    }));
    assert_eq!(told.trim_end_matches("PONG the end.").trim_end_matches(", "), expected, "{frames:02x?}");
}

#[test]
fn what_is_well_is_let_be() {
    check(&[], "");
    check(&[get(1), post(3), get(7)], "");
    // Priorities, and what nobody knows.
    check(&[frame(2, 0, 1, b"\0\0\0\x03\x10"), frame(0x42, 0xff, 9, b"?"), get(1)], "");
    check(&[frame(1, 0x25, 1, &[b"\0\0\0\0\x10", BLOCK].concat())], "");
    // Padding; a block in pieces; trailers.
    check(&[frame(1, 0xd, 1, &[b"\x02", BLOCK, b"\0\0"].concat()), get(3)], "");
    check(&[frame(1, 1, 1, &BLOCK[..3]), frame(9, 0, 1, &BLOCK[3..4]), frame(9, 4, 1, &BLOCK[4..])], "");
    check(&[post(1), frame(0, 8, 1, b"\x02abc\0\0"), frame(1, 5, 1, b"\x40\x01a\x01b"), get(3)], "");
    check(&[post(1), frame(8, 0, 1, b"\0\0\0\x01"), frame(8, 0, 0, b"\0\0\0\x01")], "");
    check(&[get(1), frame(3, 0, 1, b"\0\0\0\x08"), frame(8, 0, 1, b"\0\0\0\x01"), get(3)], "");
    check(
        &[frame(4, 0, 0, b"\0\x01\0\0\0\0\0\x02\0\0\0\0\x12\x34\0\0\0\0"), frame(4, 1, 0, b""), get(1)],
        "",
    );
}

#[test]
fn streams_that_break_the_rules_end() {
    let (malformed, closed, window) = ("RST_STREAM 1 1", "RST_STREAM 1 5", "RST_STREAM 1 3");
    // No path, a name in upper case, a pseudo-header behind a field, HTTP/1.1's `connection`.
    check(&[frame(1, 5, 1, b"\x82\x86"), get(3)], malformed);
    check(&[frame(1, 5, 1, &[BLOCK, b"\0\x01A\x01b"].concat()), get(3)], malformed);
    check(&[frame(1, 5, 1, &[BLOCK, b"\0\x01a\x01b\x85"].concat()), get(3)], malformed);
    check(&[frame(1, 5, 1, &[BLOCK, b"\0\x0aconnection\x01b"].concat()), get(3)], malformed);
    // It depends on itself.
    check(&[frame(1, 0x25, 1, &[b"\0\0\0\x01\x10", BLOCK].concat()), get(3)], malformed);
    // More and less than `content-length`, with a body and without.
    let of_two = frame(1, 4, 1, b"\x83\x84\x86\x41\x01h\x0f\x0d\x012");
    check(&[of_two.clone(), frame(0, 0, 1, b"abc")], malformed);
    check(&[of_two.clone(), frame(0, 1, 1, b"a")], malformed);
    check(&[of_two.clone(), frame(0, 1, 1, b"ab")], "");
    check(&[of_two, frame(1, 5, 1, b"")], malformed);
    check(&[frame(1, 5, 1, b"\x83\x84\x86\x41\x01h\x0f\x0d\x012")], malformed);
    // Trailers that do not end the stream, or have a pseudo-header.
    check(&[post(1), frame(1, 4, 1, b"")], malformed);
    check(&[post(1), frame(1, 5, 1, b"\x84")], malformed);
    check(&[get(1), frame(0, 0, 1, b"a")], closed);
    check(&[get(1), frame(1, 5, 1, b"")], closed);
    check(&[post(1), frame(8, 0, 1, b"\0\0\0\0")], malformed);
    check(&[post(1), frame(8, 0, 1, b"\x7f\xff\xff\xff")], window);
    // What is still under way when the client is told is let be.
    check(&[get(1), frame(0, 0, 1, b"a"), frame(0, 0, 1, b"a"), frame(1, 5, 1, b"")], closed);
    let mut too_many: Vec<_> = (0..130).map(|number| get(number * 2 + 1)).collect();
    check(&too_many, "RST_STREAM 1 7, RST_STREAM 3 7");
    too_many.truncate(128);
    check(&too_many, "");
    let too_much = [vec![post(1)], vec![frame(0, 0, 1, &[0; 16_384]); 33]].concat();
    check(&too_much, window);
}

#[test]
fn connections_that_break_the_rules_end() {
    let goaway = |last: u32, code: u32| format!("GOAWAY {last} {code}");
    let (protocol, size, flow) = (goaway(0, 1), goaway(0, 6), goaway(0, 3));
    check(&[frame(0, 0, 1, b"")], &protocol);
    check(&[frame(0, 0, 0, b"")], &protocol);
    check(&[frame(1, 5, 0, BLOCK)], &protocol);
    check(&[frame(1, 5, 2, BLOCK)], &protocol);
    check(&[frame(3, 0, 1, b"\0\0\0\0")], &protocol);
    check(&[frame(5, 0, 1, b"")], &protocol);
    check(&[frame(8, 0, 1, b"\0\0\0\x01")], &protocol);
    check(&[frame(8, 0, 0, b"\0\0\0\0")], &protocol);
    check(&[frame(9, 0, 1, b"")], &protocol);
    check(&[frame(1, 1, 1, b""), get(3)], &protocol);
    check(&[frame(1, 1, 1, b""), frame(9, 4, 3, BLOCK)], &protocol);
    check(&[frame(1, 0xd, 1, b"\x05abc")], &protocol);
    check(&[frame(4, 0, 1, b"")], &protocol);
    check(&[frame(6, 0, 1, b"12345678")], &protocol);
    check(&[frame(7, 0, 1, b"12345678")], &protocol);
    check(&[frame(2, 0, 0, b"12345")], &protocol);
    check(&[frame(4, 0, 0, b"\0\x02\0\0\0\x02")], &protocol);
    check(&[frame(4, 0, 0, b"\0\x05\0\0\0\x02")], &protocol);
    check(&[frame(4, 0, 0, b"\0\x05\x01\0\0\0")], &protocol);
    check(&[frame(4, 0, 0, b"\0\x04\x80\0\0\0")], &flow);
    check(&[frame(8, 0, 0, b"\x7f\xff\xff\xff")], &flow);
    check(&[get(1), frame(8, 0, 1, b"\0\0\0\x01"), frame(4, 0, 0, b"\0\x04\x7f\xff\xff\xff")], &goaway(1, 3));
    check(&[frame(4, 1, 0, b"123456")], &size);
    check(&[frame(4, 0, 0, b"12345")], &size);
    check(&[frame(6, 0, 0, b"1234567")], &size);
    check(&[frame(7, 0, 0, b"1234567")], &size);
    check(&[frame(8, 0, 0, b"123")], &size);
    check(&[frame(2, 0, 1, b"123")], &size);
    check(&[get(1), frame(3, 0, 1, b"123")], &goaway(1, 6));
    check(&[get(1), frame(0, 0, 1, &[0; 16_385])], &goaway(1, 6));
    // A field of no table, and a table that is too large.
    check(&[frame(1, 5, 1, b"\xbe")], &goaway(0, 9));
    check(&[frame(1, 5, 1, b"\x3f\xe2\x1f")], &goaway(0, 9));
    // Streams that are over.
    check(&[get(1), frame(3, 0, 1, b"\0\0\0\x08"), get(1)], &goaway(1, 5));
    check(&[get(3), get(1)], &goaway(3, 5));
    // More than all streams together may send.
    let data = |stream| vec![frame(0, 0, stream, &[0; 16_384]); 32];
    let too_much = [vec![post(1), post(3), post(5)], data(1), data(3), data(5)].concat();
    check(&too_much, &goaway(5, 3));
}

#[test]
fn floods_end_the_connection() {
    let calm = |last: u32| format!("GOAWAY {last} 11");
    let many = |frame: Vec<u8>| vec![frame; 20_000];
    let ends = |frames: &[Vec<u8>], last: u32| {
        let never = async |_: RequestHead, body: Body| {
            let _body = body;
            pending().await
        };
        let (told, served) = run(with_server(never, async |stream: DuplexStream| {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let wire = [hello(), frames.concat()].concat();
            let write = tokio::spawn(async move { writer.write_all(&wire).await.is_ok() });
            let mut told = Vec::new();
            reader.read_to_end(&mut told).await.unwrap();
            drop(reader);
            write.abort();
            show(&told)
        }));
        assert!(told.ends_with(&calm(last)), "{}", &told[told.len().saturating_sub(99)..]);
        // The client may be gone before the server is.
        assert!(matches!(served, None | Some(Err(ConnectionError::Violation { .. }))));
    };
    ends(&many(frame(6, 0, 0, b"12345678")), 0);
    ends(&many(frame(4, 0, 0, b"\0\x03\0\0\0\x01")), 0);
    ends(&many(frame(2, 0, 1, b"\0\0\0\x03\x10")), 0);
    ends(&many(frame(0x42, 0, 0, b"")), 0);
    ends(&[vec![post(1)], many(frame(0, 0, 1, b""))].concat(), 1);
    ends(&[vec![frame(1, 0, 1, BLOCK)], many(frame(9, 0, 1, b""))].concat(), 0);
    ends(&[vec![frame(1, 0, 1, BLOCK)], vec![frame(9, 0, 1, &[0; 16_384]); 8]].concat(), 0);
    let resets = |number: u32| [get(number * 2 + 1), frame(3, 0, number * 2 + 1, b"\0\0\0\x08")].concat();
    ends(&(0..1000).map(resets).collect::<Vec<_>>(), 401);
    let malformed = |number: u32| frame(1, 5, number * 2 + 1, b"\x82");
    ends(&(0..1000).map(malformed).collect::<Vec<_>>(), 401);
}
