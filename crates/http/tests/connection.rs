//! Both sides of an HTTP/1.1 connection, driven byte by byte through an in-memory pipe.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use http::{Method, StatusCode};
use stagedoor_http::client::{ClientConnection, Recycle, SendError};
use stagedoor_http::server::{Incoming, IncomingError, ServerConnection};
use stagedoor_http::{Body, Headers, RequestHead, ResponseHead, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn ok(fields: &[(&'static str, &'static str)]) -> ResponseHead {
    let mut headers = Headers::new();
    headers.append("Date", "d");
    fields.iter().for_each(|&(name, value)| headers.append(name, value));
    ResponseHead { status: StatusCode::OK, headers }
}

async fn next(server: &mut ServerConnection<DuplexStream>) -> Result<Incoming, IncomingError> {
    poll_fn(|context| server.poll_next(context)).await
}

async fn request(server: &mut ServerConnection<DuplexStream>) -> (RequestHead, Body) {
    match next(server).await {
        Ok(Incoming::Request(head, body)) => (head, body),
        Ok(_) => panic!("no request"),
        Err(error) => panic!("{error}"),
    }
}

/// Answers every request with its own body until the connection closes, and gives all that the client received.
fn echo(wire: &str) -> String {
    run(async {
        let (mut client, server) = duplex(1 << 16);
        client.write_all(wire.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut server = ServerConnection::new(server);
        loop {
            let (response, body) = match next(&mut server).await {
                Ok(Incoming::Request(head, body)) => {
                    let named = head.headers.iter().find(|header| header.is("x-name")).cloned();
                    let body = body.collect(1000).await.unwrap_or_else(|error| error.to_string().into());
                    let mut response = ok(&[]);
                    response.headers.extend(named);
                    (response, Body::from(body))
                }
                Err(IncomingError::Head(error)) => (ok(&[]), error.to_string().into()),
                Ok(_) | Err(_) => break,
            };
            if !server.respond(response, body).await.unwrap() {
                break;
            }
        }
        drop(server);
        let mut received = String::new();
        client.read_to_string(&mut received).await.unwrap();
        received.replace("HTTP/1.1 200 OK\r\nDate: d\r\n", "> ").replace("\r\n", "|")
    })
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let wire = "POST / HTTP/1.1\r\nHost: a\r\nX-NaMe: v\r\nContent-Length: 3\r\n\r\nabc\
                POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n\
                GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n";
    let expected = "> X-NaMe: v|Content-Length: 3|Connection: keep-alive||abc\
                    > Content-Length: 2|Connection: keep-alive||de\
                    > Content-Length: 0|Connection: close||";
    assert_eq!(echo(wire), expected);
}

#[test]
fn an_ambiguous_request_is_answered_and_ends_the_connection() {
    let wire = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n\
                GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let expected = "> Content-Length: 71|Connection: close||malformed message head: both Content-Length and Transfer-Encoding";
    assert!(echo(wire).starts_with("> Content-Length: "), "{}", echo(wire));
    assert_eq!(echo(wire).split_once("||").unwrap().1, expected.split_once("||").unwrap().1);
    assert!(!echo(wire).contains("smuggled"));
}

#[test]
fn a_body_with_wrong_chunks_ends_the_connection() {
    let wire = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let received = echo(wire);
    assert!(received.contains("Connection: close||the body is not framed as HTTP asks"), "{received}");
    assert_eq!(received.matches("> ").count(), 1);
}

#[test]
fn a_client_that_waits_is_told_to_continue_once_the_body_is_read() {
    run(async {
        let (mut client, server) = duplex(1 << 16);
        let mut server = ServerConnection::new(server);
        client
            .write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            .await
            .unwrap();
        let (_, body) = request(&mut server).await;
        let reading = body.collect(10);
        let sending = async {
            let mut told = [0; 25];
            client.read_exact(&mut told).await.unwrap();
            assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
            client.write_all(b"ok").await.unwrap();
        };
        let (body, ()) = tokio::join!(reading, sending);
        assert_eq!(body.unwrap(), "ok");
        assert!(server.respond(ok(&[]), Body::Empty).await.unwrap());
    });
}

#[test]
fn a_client_that_waits_and_is_answered_at_once_loses_the_connection() {
    run(async {
        let (mut client, server) = duplex(1 << 16);
        let mut server = ServerConnection::new(server);
        client
            .write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            .await
            .unwrap();
        let (_, body) = request(&mut server).await;
        drop(body);
        assert!(!server.respond(ok(&[]), Body::Empty).await.unwrap());
    });
}

#[test]
fn an_interim_status_never_ends_an_exchange() {
    run(async {
        let (mut client, server) = duplex(1 << 16);
        let mut server = ServerConnection::new(server);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let _ = request(&mut server).await;
        let head = ResponseHead { status: StatusCode::SWITCHING_PROTOCOLS, headers: Headers::new() };
        assert!(!server.respond(head, Body::Empty).await.unwrap());
        drop(server);
        let mut received = String::new();
        client.read_to_string(&mut received).await.unwrap();
        assert!(received.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{received}");
        assert!(received.ends_with("Content-Length: 0\r\nConnection: close\r\n\r\n"), "{received}");
    });
}

/// Keeps what comes back.
#[derive(Clone, Default)]
struct Kept(Rc<RefCell<Option<ClientConnection<DuplexStream>>>>);

impl Recycle<DuplexStream> for Kept {
    fn recycle(&mut self, connection: ClientConnection<DuplexStream>) {
        *self.0.borrow_mut() = Some(connection);
    }
}

fn get() -> RequestHead {
    let mut headers = Headers::new();
    headers.append("Host", "h");
    RequestHead { method: Method::GET, target: "/".into(), version: Version::Http11, headers }
}

/// What a client makes of an answer: the body, and whether the connection came back.
fn answer(wire: &'static str) -> Result<(String, bool), String> {
    run(async {
        let (client, mut server) = duplex(1 << 16);
        let kept = Kept::default();
        let head = get();
        let send = ClientConnection::new(client).send(&head, Body::Empty, kept.clone());
        let serve = async move {
            let mut request = [0; 27];
            server.read_exact(&mut request).await.unwrap();
            assert_eq!(&request, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            for byte in wire.as_bytes().chunks(7) {
                // The client may have heard enough.
                let _ = server.write_all(byte).await;
                tokio::task::yield_now().await;
            }
        };
        let (answer, ()) = tokio::join!(send, serve);
        let (_, body) = answer.map_err(|error| error.to_string())?;
        let body = body.collect(1000).await.map_err(|error| error.to_string())?;
        let kept = kept.0.borrow().is_some();
        Ok((String::from_utf8_lossy(&body).into_owned(), kept))
    })
}

fn check(wire: &'static str, expected: Result<(&str, bool), &str>) {
    let expected = expected.map(|(body, kept)| (body.to_owned(), kept)).map_err(str::to_owned);
    assert_eq!(answer(wire), expected, "{wire:?}");
}

#[test]
fn answers_end_where_they_say_and_give_the_connection_back() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Ok(("abc", true)));
    check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok(("", true)));
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Ok(("abc", true)));
    check("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", Ok(("abc", false)));
    check("HTTP/1.1 200 OK\r\n\r\nabc", Ok(("abc", false)));
    check("HTTP/1.1 204 No Content\r\n\r\n", Ok(("", true)));
    // Bytes that belong to no answer make a connection unfit for the next request.
    check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1", Ok(("abc", false)));
}

#[test]
fn broken_answers_are_errors() {
    check("", Err("the server closed the connection before it answered"));
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        Err("the sender closed the connection before the body was complete"),
    );
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        Err("malformed message head: both Content-Length and Transfer-Encoding"),
    );
    check(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        Err("malformed message head: an unasked switch of protocols"),
    );
    check("SSH-2.0-x\r\n\r\n", Err("the protocol version is not supported"));
}

#[test]
fn a_streamed_body_is_chunked_and_an_early_answer_is_heard() {
    run(async {
        // The pipe is smaller than the body, so the upload cannot end before the answer is read.
        let (client, mut server) = duplex(64);
        let (mut outer, inner) = duplex(1 << 16);
        outer.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        outer.write_all(format!("3e8\r\n{}\r\n", "x".repeat(1000)).as_bytes()).await.unwrap();
        let mut inbound = ServerConnection::new(inner);
        let (mut head, body) = request(&mut inbound).await;
        head.headers.remove("transfer-encoding");
        let send = ClientConnection::new(client).send(&head, body, Kept::default());
        let serve = async {
            let mut start = [0; 60];
            server.read_exact(&mut start).await.unwrap();
            assert!(start.starts_with(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
            server.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
        };
        let (answer, ()) = tokio::join!(send, serve);
        let (head, body) = answer.unwrap_or_else(|error: SendError| panic!("{error}"));
        assert_eq!(head.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(body.collect(10).await.unwrap(), Bytes::from_static(b"no"));
    });
}

#[test]
fn a_client_that_stops_reading_loses_the_connection() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = duplex(64);
        let mut server = ServerConnection::new(server);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let _ = request(&mut server).await;
        let body = |length| Bytes::from(vec![b'x'; length]).into();
        // What is short is written while the next request is waited for.
        assert!(server.respond(ok(&[]), body(1000)).await.unwrap());
        assert!(next(&mut server).await.is_err());
        assert!(server.respond(ok(&[]), body(10_000)).await.is_err());
    });
}

#[test]
fn a_response_is_written_whatever_is_left_of_the_requests_body() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = duplex(64);
        let mut server = ServerConnection::new(server);
        let begun = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab";
        client.write_all(begun).await.unwrap();
        let _ = request(&mut server).await;
        assert!(server.respond(ok(&[]), Bytes::from(vec![b'x'; 1000]).into()).await.unwrap());
        let ask = async {
            let mut answer = Vec::new();
            while !answer.ends_with(&[b'x'; 1000]) {
                assert!(client.read_buf(&mut answer).await.unwrap() > 0);
            }
            client.write_all(b"cdGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        };
        let ((head, _), ()) = tokio::join!(request(&mut server), ask);
        assert_eq!(head.target.as_str(), "/2");
    });
}
