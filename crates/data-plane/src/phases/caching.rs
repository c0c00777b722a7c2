//! The stage's cache: asked before the integration is called, and told afterwards.

use bytes::{Bytes, BytesMut};
use stagedoor_http::{Body, BodyError, BodyStream};
use stagedoor_shapes::apigateway::UnauthorizedCacheControlHeaderStrategy as Strategy;
use std::collections::VecDeque;
use std::task::{Context, Poll};

use crate::cache::{BODY_BYTES_MAX, Key};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::authorization;
use crate::plan::caching::CacheRules;
use crate::record::CacheUse;

/// Tells a client that its wish for a fresh response was not heard.
const WARNING: &str =
    "199 API-Gateway \"Cache-Control: max-age=0 was ignored, the caller may not invalidate the cache\"";

/// The permission that a client needs for a fresh response, in lower case as policies are asked.
const INVALIDATE: &str = "execute-api:invalidatecache";

/// What a request has to do with the cache, once its key is known.
#[derive(Debug)]
pub struct CacheTurn<'a> {
    key: Key,
    rules: &'a CacheRules,
    /// Whether the client asked for a fresh response and may not.
    warns: bool,
}

/// Asks the cache. If it has the response, that is the answer, and later phases have nothing to do.
///
/// # Errors
/// 403 for a client that may not ask for a fresh response, where the stage says so.
pub async fn lookup(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let (plan, Some(method)) = (exchange.plan, exchange.method()) else { return Ok(()) };
    let (Some(cache), Some(caching)) = (&plan.cache, &method.caching) else { return Ok(()) };
    let Some(rules) = caching.rules(&exchange.head.method) else { return Ok(()) };
    if caching.needs_body() {
        exchange.whole_body().await?;
    }
    let mut turn = CacheTurn { key: caching.key(exchange), rules, warns: false };
    if wants_fresh(exchange) {
        if !rules.needs_authorization || authorization::may(exchange, INVALIDATE) {
            exchange.record.cache = CacheUse::Bypassed;
            exchange.cache_turn = Some(turn);
            return Ok(());
        }
        match rules.unauthorized {
            Strategy::FailWith403 => return Err(Fault::cache_invalidation_denied()),
            Strategy::SucceedWithResponseHeader => turn.warns = true,
            Strategy::SucceedWithoutResponseHeader => {}
        }
    }
    match cache.get(&turn.key) {
        Some(kept) => {
            exchange.record.cache = CacheUse::Hit;
            exchange.drop_body().await?;
            let ids = (exchange.request_id.clone(), exchange.extended_request_id().clone());
            let mut response = kept.response(ids.0, ids.1, exchange.trace_id());
            if turn.warns {
                response.0.headers.append("Warning", WARNING);
            }
            exchange.response = Some(response);
        }
        None => {
            exchange.record.cache = CacheUse::Miss;
            exchange.cache_turn = Some(turn);
        }
    }
    Ok(())
}

/// Keeps the response for those who ask next.
///
/// # Errors
/// 504 or 500 if the response's body breaks off while it is read.
pub async fn store(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let Some(turn) = exchange.cache_turn.take() else { return Ok(()) };
    let Some((mut head, body)) = exchange.response.take() else { return Ok(()) };
    let body = match gather(body, BODY_BYTES_MAX).await.map_err(broken)? {
        Gathered::Whole(body) => {
            if let Some(cache) = &exchange.plan.cache {
                cache.put(turn.key, &head, &body, turn.rules.time_to_live);
            }
            body.into()
        }
        Gathered::More(body) => body,
    };
    if turn.warns {
        head.headers.append("Warning", WARNING);
    }
    exchange.response = Some((head, body));
    Ok(())
}

pub(crate) fn broken(error: BodyError) -> Fault {
    match error {
        BodyError::TimedOut => Fault::integration_timeout(error.to_string()),
        BodyError::TooLarge { .. } => {
            Fault::configuration("the integration's answer is larger than 10,485,760 bytes")
        }
        error => Fault::integration_failure(error.to_string()),
    }
}

/// `Cache-Control: max-age=0`, alone or among other directives.
fn wants_fresh(exchange: &Exchange<'_>) -> bool {
    let mut values = exchange.head.headers.get_all("cache-control");
    values.any(|value| {
        value.split(|&byte| byte == b',').any(|directive| {
            let mut parts = directive.splitn(2, |&byte| byte == b'=');
            let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            name.trim_ascii().eq_ignore_ascii_case(b"max-age") && value.trim_ascii() == b"0"
        })
    })
}

/// A body that was read up to a limit.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// It ended.
    Whole(Bytes),
    /// There is more; this is all of it, beginning included.
    More(Body),
}

/// Reads a body as far as `limit` bytes.
///
/// # Errors
/// The body's own.
pub(crate) async fn gather(mut body: Body, limit: u64) -> Result<Gathered, BodyError> {
    if body.remaining().is_some_and(|length| length > limit) {
        return Ok(Gathered::More(body));
    }
    if let Body::Full(bytes) = body {
        return Ok(Gathered::Whole(bytes));
    }
    let (mut pieces, mut length) = (VecDeque::new(), 0);
    while let Some(piece) = body.chunk().await.transpose()? {
        length += piece.len() as u64;
        pieces.push_back(piece);
        if length > limit {
            return Ok(Gathered::More(Body::Stream(Box::new(Begun { pieces, rest: body }))));
        }
    }
    if let (1, Some(only)) = (pieces.len(), pieces.front()) {
        return Ok(Gathered::Whole(only.clone()));
    }
    let mut whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    Ok(Gathered::Whole(whole.freeze()))
}

/// A body whose first pieces have been read.
struct Begun {
    pieces: VecDeque<Bytes>,
    rest: Body,
}

impl BodyStream for Begun {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(piece))),
            None => self.rest.poll_chunk(context),
        }
    }

    fn remaining(&self) -> Option<u64> {
        let read: u64 = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        self.rest.remaining().map(|rest| rest + read)
    }
}
