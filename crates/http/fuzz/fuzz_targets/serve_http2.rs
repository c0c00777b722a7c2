//! A connection takes any bytes, however they arrive, and writes nothing but whole frames.

#![no_main]

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use stagedoor_http::http2::Connection;
use stagedoor_http::{Body, Headers, RequestHead, ResponseHead};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Gives the input in pieces, with a pause after each, and keeps what is written.
struct Pipe {
    input: Vec<u8>,
    at: usize,
    piece: usize,
    pauses: bool,
    output: Rc<RefCell<Vec<u8>>>,
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pauses = !self.pauses;
        if self.pauses {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let end = self.input.len().min(self.at + self.piece.min(room.remaining()));
        room.put_slice(&self.input[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = bytes.len().min(self.piece * 100);
        self.output.borrow_mut().extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Answers with the fields and the body of the request; some requests never have an answer.
async fn handle(head: RequestHead, body: Body) -> (ResponseHead, Body) {
    assert!(head.target.as_str().starts_with('/') || head.target.as_str() == "*");
    for header in &head.headers {
        assert!(stagedoor_http::is_valid_name(&header.name) && stagedoor_http::is_valid_value(&header.value));
    }
    match head.target.as_str().len() % 4 {
        0 => std::future::pending().await,
        1 => (ResponseHead { status: http::StatusCode::OK, headers: head.headers }, "short".into()),
        2 => {
            let body = body.collect(1000).await.unwrap_or_default();
            (ResponseHead { status: http::StatusCode::OK, headers: Headers::new() }, body.into())
        }
        _ => (ResponseHead { status: http::StatusCode::NOT_FOUND, headers: head.headers }, body),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, bytes)) = input.split_first() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let output = Rc::new(RefCell::new(Vec::new()));
    let input = if first & 0x80 == 0 { [PREFACE, bytes].concat() } else { bytes.to_vec() };
    let piece = usize::from(first & 0x7f) * 8 + 1;
    let pipe = Pipe { input, at: 0, piece, pauses: false, output: Rc::clone(&output) };
    let mut connection = Connection::new(pipe, Bytes::new(), handle);
    let mut context = Context::from_waker(Waker::noop());
    let polls = 2 * (bytes.len() / piece + 10);
    for poll in 0..polls {
        if poll == polls / 2 {
            connection.shut_down();
        }
        if connection.poll(&mut context).is_ready() || connection.look().is_err() {
            break;
        }
    }
    let output = output.borrow();
    let mut rest = &output[..];
    while let Some(head) = rest.first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        assert!(length <= 1 << 24 && head[3] <= 9);
        // The last one may not have been written to its end.
        rest = rest.get(9 + length..).unwrap_or_default();
    }
});
