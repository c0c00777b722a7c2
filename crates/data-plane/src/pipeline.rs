//! The way of a request through a stage.
//!
//! The order of the phases is written here and nowhere else. A method is compiled to the phases it needs, and each
//! phase either lets the request go on or ends it with a [`Fault`], which becomes a response in one place.

use std::rc::Rc;
use std::time::Instant;

use stagedoor_http::{Body, RequestHead, ResponseHead, clock};

use crate::edge::Target;
use crate::exchange::{Exchange, RequestBody};
use crate::gateway_response::Fault;
use crate::ids;
use crate::logs::access::AccessLog;
use crate::logs::execution::{self, response_headers, text_of};
use crate::metrics;
use crate::phase::Phase;
use crate::phases;
use crate::phases::content_encoding::Coding;
use crate::plan::integration::Integration;
use crate::plan::{MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES};
use crate::record::{Decision, Record, ResponseRecord};
use crate::worker::{ConnectionInfo, Worker};

/// The phases of a REST API's request, after its method was found:
///
/// 1. the resource policy, whose explicit denials come before an authorizer function is asked; a user pool is asked before
///    it, and a signature together with it;
/// 2. the signature, and what its signer's policies and the resource policy together allow;
/// 3. the authorizer, so that nobody learns from validation what an API expects who may not call it;
/// 4. the API key, which an authorizer may have named;
/// 5. throttles and quotas, which depend on the key's usage plan, and protect all that follows;
/// 6. validation, before anything is spent on a request that must fail;
/// 7. a look into the stage's cache, which only requests that may be answered get to see;
/// 8. the request's transformation, which may read the body that validation has already read;
/// 9. the integration;
/// 10. the transformation of its answer, which sees what the request's templates left behind;
/// 11. the cache, which keeps the response as the client gets it, before it is given a coding.
pub const REST: &[Phase] = &[
    Phase::ResourcePolicy,
    Phase::Authentication,
    Phase::Authorizer,
    Phase::ApiKey,
    Phase::Throttle,
    Phase::Validation,
    Phase::CacheLookup,
    Phase::RequestTransformation,
    Phase::Integration,
    Phase::ResponseTransformation,
    Phase::CacheStore,
];

/// The phases of an HTTP API's request, after its route was found:
///
/// 1. the signature, and what its signer's policies allow;
/// 2. the authorizer;
/// 3. throttles, which protect all that follows;
/// 4. the mapping of its parameters, which the integration is to see;
/// 5. the integration;
/// 6. the mapping of its answer's parameters.
pub const HTTP: &[Phase] = &[
    Phase::Authentication,
    Phase::Authorizer,
    Phase::Throttle,
    Phase::RequestParameters,
    Phase::Integration,
    Phase::ResponseParameters,
];

/// The phases of a WebSocket API's event, after its route was found. A handshake may go through all of them; a message
/// and the end of a connection are never authorised:
///
/// 1. the signature, and what its signer's policies allow;
/// 2. the authorizer;
/// 3. the API key, which an authorizer may have named;
/// 4. throttles, which depend on the key's usage plan, and protect all that follows;
/// 5. validation;
/// 6. the message's transformation;
/// 7. the integration;
/// 8. the transformation of its answer.
pub const WEBSOCKET: &[Phase] = &[
    Phase::Authentication,
    Phase::Authorizer,
    Phase::ApiKey,
    Phase::Throttle,
    Phase::Validation,
    Phase::RouteRequest,
    Phase::Integration,
    Phase::RouteResponse,
];

/// The answer to a request that is for no API, or for an API or stage that is not served.
#[must_use]
pub fn refuse_unknown() -> (ResponseHead, Body) {
    Fault::forbidden_response(ids::request_id(), ids::extended_request_id())
}

/// Serves a request of a stage.
pub async fn serve(
    worker: &Rc<Worker>,
    connection: &ConnectionInfo,
    target: Target<'_>,
    head: RequestHead,
    body: Body,
) -> (ResponseHead, Body) {
    let plan = target.plan.choose(|| worker.roll());
    let mut exchange = Exchange::new(worker, connection, plan, target.path.clone(), head, body);
    exchange.note_way(&target);
    if plan.is_traced {
        // While the client's header is there.
        exchange.trace();
    }
    let (head, body) = answer(&mut exchange).await;
    if plan.is_traced && exchange.trace().is_sampled {
        worker.tracer.send(&exchange, exchange.trace());
    }
    if let Some(fault) = exchange.fault.as_ref().filter(|fault| fault.is_misconfiguration()) {
        // AWS tells the client nothing but 500 or 502; whoever wrote the API has to find the reason here.
        tracing::warn!(
            target: "request",
            api = &*exchange.plan.api_id,
            stage = &*exchange.plan.stage,
            method = exchange.head.method.as_str(),
            path = exchange.path(),
            status = head.status.as_u16(),
            request_id = std::str::from_utf8(&exchange.request_id).unwrap_or_default(),
            reason = fault.reason_to_log(),
            "the API's own configuration or function made the request fail",
        );
    }
    plan.metrics.count(worker.number, &exchange);
    if let Some(metrics) = &plan.canary_metrics {
        metrics.count(worker.number, &exchange);
    }
    if let Some(metrics) = exchange.method().and_then(|method| method.metrics.as_ref()) {
        metrics.count(worker.number, &exchange);
    }
    let body = match exchange.plan.http_api {
        Some(_) => metrics::count_bytes(&exchange, body),
        None => body,
    };
    let body = match &exchange.plan.access_log {
        Some(log) => log.log(&exchange, body),
        None => body,
    };
    // The one place where a request ends: the access log, metrics and traces are written from the exchange here.
    tracing::debug!(
        target: "request",
        api = &*exchange.plan.api_id,
        stage = &*exchange.plan.stage,
        method = exchange.head.method.as_str(),
        path = exchange.path(),
        status = head.status.as_u16(),
        request_id = std::str::from_utf8(&exchange.request_id).unwrap_or_default(),
        latency_ms = u64::try_from(exchange.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        reason = exchange.fault.as_ref().map(Fault::reason_to_log),
    );
    (head, body)
}

/// Runs the phases. A failure becomes a gateway response here.
pub(crate) async fn answer(exchange: &mut Exchange<'_>) -> (ResponseHead, Body) {
    let origin = exchange.plan.http_api.as_ref().and_then(|_| begin_http(exchange));
    // Read now: an integration may take the headers with it.
    let coding = exchange
        .plan
        .compression_bytes_min
        .and_then(|bytes_min| Some((phases::compression::preferred(&exchange.head.headers)?, bytes_min)));
    let outcome = match run(exchange).await {
        Ok(response) => {
            if let Body::Empty | Body::Full(_) = &response.1 {
                exchange.log_data(|_| {
                    let text = match &response.1 {
                        Body::Full(bytes) => text_of(bytes),
                        Body::Empty | Body::Stream(_) => "".into(),
                    };
                    format!("Method response body after transformations: {text}")
                });
            }
            exchange.log_data(|_| {
                let shown = execution::headers(response_headers(&response.0.headers));
                format!("Method response headers: {shown}")
            });
            code(exchange, coding, response).await
        }
        Err(fault) => Err(fault),
    };
    let (mut head, body) = match outcome {
        Ok(response) => response,
        Err(fault) if exchange.plan.http_api.is_some() => {
            let response = phases::http_api::fault::respond(&fault);
            exchange.fault = Some(fault);
            response
        }
        Err(fault) => {
            exchange.fault = Some(fault);
            exchange.plan.gateway_responses.respond(exchange)
        }
    };
    if let Some(http_api) = &exchange.plan.http_api {
        if let Some(cors) = &http_api.cors {
            phases::http_api::cors::apply(&mut head.headers, origin.as_ref(), cors, exchange.is_preflight);
        }
        // A backend that is such an API itself has one of its own.
        head.headers.set("apigw-requestid", exchange.request_id.clone());
    }
    let status = head.status.as_u16();
    let latency = answered_at(exchange, &body).saturating_duration_since(exchange.started);
    let length = body.remaining();
    exchange.record.response = ResponseRecord { status, latency: Some(latency), length };
    exchange.log_end(status);
    (head, body)
}

/// When a request is answered that is answered now: as its backend did, if the answer was handed on at once.
fn answered_at(exchange: &Exchange<'_>, body: &Body) -> Instant {
    let Record { integration, log, steps, .. } = &exchange.record;
    let is_last = steps.last().is_some_and(|step| step.phase == Phase::Integration) && log.is_none();
    let hands_on = || match exchange.method()?.integration {
        Integration::HttpApiBackend(_) => Some(true),
        Integration::HttpProxy(_) => {
            Some(exchange.plan.binary_media_types.is_empty() && exchange.plan.compression_bytes_min.is_none())
        }
        _ => None,
    };
    match (body, integration.began.zip(integration.latency)) {
        (Body::Full(_), Some((began, took))) if is_last && hands_on() == Some(true) => began + took,
        _ => clock::now(),
    }
}

/// Gives a response the coding that the client likes best, where the API has its responses coded.
async fn code(
    exchange: &Exchange<'_>,
    coding: Option<(Coding, u64)>,
    (mut head, body): (ResponseHead, Body),
) -> Result<(ResponseHead, Body), Fault> {
    let streams = exchange.method().is_some_and(|method| method.integration.streams());
    let Some((coding, bytes_min)) = coding.filter(|_| !streams) else { return Ok((head, body)) };
    let body = phases::compression::compress(coding, bytes_min, &mut head, body).await;
    Ok((head, body.map_err(phases::caching::broken)?))
}

/// Notes what HTTP APIs need of a request after its headers are gone: its origin, which is given back, and its host.
fn begin_http(exchange: &mut Exchange<'_>) -> Option<bytes::Bytes> {
    exchange.original_host = exchange.head.headers.get("host").cloned();
    let is_shown = || exchange.plan.access_log.as_ref().is_some_and(AccessLog::counts_requests);
    if !matches!(exchange.body, RequestBody::Unread(Body::Empty)) || is_shown() {
        exchange.count_request_body();
    }
    let cors = exchange.plan.http_api.as_ref()?.cors.as_ref();
    exchange.is_preflight = cors.is_some() && phases::http_api::cors::is_preflight(exchange);
    cors.and_then(|_| exchange.head.headers.get("origin").cloned())
}

/// Runs the phases of a request.
///
/// # Errors
/// What ended it before its time.
pub(crate) async fn run(exchange: &mut Exchange<'_>) -> Result<(ResponseHead, Body), Fault> {
    if counted_bytes(exchange) > MAX_HEADER_BYTES {
        return Err(Fault::headers_too_large());
    }
    if let RequestBody::Unread(body) = &exchange.body
        && body.remaining().is_some_and(|length| length > MAX_PAYLOAD_BYTES)
    {
        return Err(Fault::request_too_large());
    }
    let coding = phases::content_encoding::of_request(exchange)?;
    if exchange.route.is_none() {
        match phases::routing::run(exchange) {
            // Nobody but the gateway takes it.
            Err(_) if exchange.is_preflight => return Ok(phases::http_api::cors::answer_preflight()),
            routed => routed?,
        }
    }
    phases::content_encoding::undo_request(exchange, coding)?;
    run_phases(exchange).await
}

/// The bytes of a request's head that AWS limits: of all header fields, or, in HTTP APIs, of the request line and the values
/// of header fields.
fn counted_bytes(exchange: &Exchange<'_>) -> usize {
    let head = &exchange.head;
    if exchange.plan.http_api.is_some() {
        let line = head.method.as_str().len() + head.target.as_str().len() + " HTTP/1.1 ".len();
        return line + head.headers.iter().map(|header| header.value.len()).sum::<usize>();
    }
    // A field takes its name, its value, a colon, a space and a line end.
    head.headers.iter().map(|header| header.name.len() + header.value.len() + 4).sum()
}

/// Runs the phases of an exchange whose route is known.
///
/// # Errors
/// What ended it before its time.
pub(crate) async fn run_phases(exchange: &mut Exchange<'_>) -> Result<(ResponseHead, Body), Fault> {
    let Some(method) = exchange.method() else { return Err(Fault::missing_authentication_token()) };
    if let Some(log) = &method.execution_log {
        exchange.record.log = Some(Box::new(log.begin()));
    }
    let mut has_started = false;
    for &phase in &method.phases {
        if !has_started && phase.is_execution() {
            has_started = true;
            if exchange.logs_data() {
                exchange.whole_body().await?;
            }
            exchange.log_start();
        }
        let outcome = match phase {
            Phase::ResourcePolicy => phases::authorization::resource_policy(exchange),
            Phase::Authentication => phases::authorization::authentication(exchange).await,
            Phase::Authorizer => phases::authorization::authorizer(exchange).await,
            Phase::ApiKey => phases::api_key::run(exchange),
            Phase::Throttle => phases::throttle::run(exchange).await,
            Phase::Validation => phases::validation::run(exchange).await,
            Phase::CacheLookup => phases::caching::lookup(exchange).await,
            Phase::RequestTransformation => phases::transformation::request(exchange).await,
            Phase::Integration => phases::integration::run(exchange).await,
            Phase::ResponseTransformation => phases::transformation::response(exchange),
            Phase::RequestParameters => phases::http_api::parameters::request(exchange).await,
            Phase::ResponseParameters => phases::http_api::parameters::response(exchange).await,
            Phase::RouteRequest => phases::websocket::request(exchange),
            Phase::RouteResponse => phases::websocket::response(exchange),
            Phase::CacheStore => phases::caching::store(exchange).await,
        };
        let answered = phase == Phase::CacheLookup && exchange.response.is_some();
        let decision = match &outcome {
            Ok(()) if answered => Decision::Answered,
            Ok(()) => Decision::Continued,
            Err(_) => Decision::Refused,
        };
        exchange.record.step(phase, decision);
        outcome?;
        if answered {
            break;
        }
    }
    exchange.response.take().ok_or_else(|| Fault::internal("no phase made a response"))
}
