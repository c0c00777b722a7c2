//! REST APIs through HTTP/2.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a test may fail loudly, and uses a part of what tests share"
)]

mod support;

use std::future::poll_fn;

use bytes::Bytes;
use serde_json::json;
use support::{Api, one_method};
use tokio::net::TcpStream;

/// Sends a body whatever is answered meanwhile; gives the status, and how much of the body the server let through.
fn post(api: &Api, length: usize) -> (u16, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(api.address()).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post("http://abc.execute-api.localhost/dev/x")
            .header("content-length", length)
            .body(())
            .unwrap();
        let (response, mut body) = client.send_request(request, false).unwrap();
        let status = response.await.unwrap().status().as_u16();
        let mut sent = 0;
        while sent < length {
            body.reserve_capacity(length - sent);
            let Some(Ok(capacity)) = poll_fn(|context| body.poll_capacity(context)).await else { break };
            let piece = Bytes::from(vec![b'x'; capacity]);
            sent += capacity;
            if body.send_data(piece, sent == length).is_err() {
                break;
            }
        }
        (status, sent)
    })
}

#[test]
fn a_refused_body_can_be_sent_to_its_end() {
    // Nothing listens there, and nothing has to.
    let backend = json!({"type": "HTTP_PROXY", "httpMethod": "ANY", "uri": "http://127.0.0.1:1/"});
    let api = Api::serve(&one_method(backend));
    let over = 10 * 1024 * 1024 + 1;
    assert_eq!(post(&api, over), (413, over));
    // There is an end to what is read and dropped.
    let (status, sent) = post(&api, 10 * over);
    assert_eq!(status, 413);
    assert!(sent < 5 * over, "{sent}");
}
