//! HTTP/2 connections: when they end, and how their requests are answered.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use stagedoor_http::http2::Connection;
use stagedoor_http::{Body, RequestHead, ResponseHead};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connection::{self, BODY_WAIT_MAX, IDLE_TIME_MAX, Listening};
use crate::forward::limit_waits;
use crate::untaken::{Bodies, LOOK_INTERVAL};
use crate::websocket::upgrade::Outcome;
use crate::worker::{ConnectionInfo, Worker};

pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    listening: Rc<Listening>,
    stream: S,
    read: Bytes,
    info: ConnectionInfo,
) {
    let info = Rc::new(info);
    let bodies = Rc::new(Bodies::default());
    let mut connection = Connection::new(stream, read, |head, body| {
        answer(Rc::clone(&worker), Rc::clone(&listening), Rc::clone(&info), Rc::clone(&bodies), head, body)
    });
    let mut drained = pin!(worker.drain.begins());
    let mut draining = worker.drain.has_begun();
    if draining {
        connection.shut_down();
    }
    let mut look = pin!(tokio::time::sleep(LOOK_INTERVAL));
    // How many requests there had been when there was one for the last time, as far as looks show.
    let (mut requests, mut since) = (0, Instant::now());
    let served = std::future::poll_fn(|context| {
        let mut ends = !draining && drained.as_mut().poll(context).is_ready();
        while look.as_mut().poll(context).is_ready() {
            connection.look()?;
            let now = Instant::now();
            let is_sending = bodies.give_up();
            if connection.in_flight() > 0 || connection.requests() != requests {
                (requests, since) = (connection.requests(), now);
            }
            // Answers that are still being sent do not count: closing waits for them.
            let is_idle = connection.in_flight() == 0 && now.duration_since(since) >= IDLE_TIME_MAX;
            if draining && is_idle && !is_sending {
                // What is left are streams that the client does not take.
                return Poll::Ready(Ok(()));
            }
            ends |= is_idle;
            look.as_mut().reset((now + LOOK_INTERVAL).into());
        }
        if !draining && ends {
            draining = true;
            connection.shut_down();
        }
        connection.poll(context)
    });
    // The connection sees to it that others have their turn. What its requests have in common is no reason to hold one up.
    if let Err(error) = tokio::task::unconstrained(served).await {
        tracing::debug!(peer = %info.peer, %error, "HTTP/2 connection ended");
    }
}

async fn answer(
    worker: Rc<Worker>,
    listening: Rc<Listening>,
    info: Rc<ConnectionInfo>,
    bodies: Rc<Bodies>,
    head: RequestHead,
    body: Body,
) -> (ResponseHead, Body) {
    let body = limit_waits(body, BODY_WAIT_MAX);
    let (head, body) = match connection::answer(&worker, &listening, &info, head, body).await {
        Outcome::Response(head, body) => (head, body),
        // Only a request of HTTP/1.1 is upgraded.
        Outcome::Upgrade(..) => crate::pipeline::refuse_unknown(),
    };
    (head, bodies.watch(body))
}
