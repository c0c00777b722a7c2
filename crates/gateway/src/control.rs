//! What the control listener answers beside API traffic: AWS's calls, and a few addresses of our own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use stagedoor_data_plane::cache_budget::CacheBudget;
use stagedoor_data_plane::logs::LogWriter;
use stagedoor_data_plane::metrics::Metrics;
use stagedoor_data_plane::worker::{BodyLimit, ConnectionInfo, Fallback, FallbackBody};
use stagedoor_functions::{ApiBody, LambdaApi};
use stagedoor_http::RequestHead;
use stagedoor_wire::Wire;
use tokio::runtime::Handle;

use crate::publisher::Follow;
use crate::token::{self, Issuer};

/// Paths below this are ours, not AWS's.
const OWN: &str = "/_stagedoor/";

/// The largest request body: a function's code of 50 MB in base64, and some.
const BODY_BYTES_MAX: u64 = 80 * 1024 * 1024;
/// The largest one of a request that names no key of ours. It will be refused, but for what needs no signature, and that
/// needs no body.
const UNSIGNED_BODY_BYTES_MAX: u64 = 1024 * 1024;

/// Answers control-plane calls on the process's main runtime, so that a worker only waits for them.
pub(crate) struct Control {
    pub(crate) wire: Arc<Wire>,
    pub(crate) lambda: LambdaApi,
    pub(crate) follow: Follow,
    pub(crate) runtime: Handle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cache_budget: Arc<CacheBudget>,
    /// Where the built-in issuer's key is.
    pub(crate) data: std::path::PathBuf,
    pub(crate) logs: Arc<LogWriter>,
}

type Answer = Pin<Box<dyn Future<Output = Response<FallbackBody>> + Send>>;

/// The archive of a function or a layer that an address has been told of.
fn archive_answer(archive: Option<&std::path::Path>, path: &str) -> Response<Bytes> {
    match archive.map(std::fs::read) {
        Some(Ok(bytes)) => {
            let mut response = Response::new(Bytes::from(bytes));
            let kind = header::HeaderValue::from_static("application/zip");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        _ => {
            let message = format!("There is nothing at {path}, or no longer");
            json(StatusCode::NOT_FOUND, &serde_json::json!({ "message": message }))
        }
    }
}

impl Fallback for Control {
    fn body_limit(&self, head: &RequestHead) -> BodyLimit {
        let authorization = head.headers.get_str("authorization").unwrap_or_default();
        match self.wire.knows_signer(authorization, head.target.as_str()) {
            true => BodyLimit { bytes_max: BODY_BYTES_MAX, is_refused_anyway: false },
            false => BodyLimit { bytes_max: UNSIGNED_BODY_BYTES_MAX, is_refused_anyway: true },
        }
    }

    fn handle(&self, request: Request<Bytes>, _connection: &ConnectionInfo) -> Answer {
        let path = request.uri().path();
        if LambdaApi::serves_archive(path) {
            let archive = self.lambda.archive(path);
            let path = path.to_owned();
            let answer = self.runtime.spawn_blocking(move || archive_answer(archive.as_deref(), &path));
            return Box::pin(async move {
                let response = answer.await.unwrap_or_else(|error| failed(&error));
                response.map(FallbackBody::from)
            });
        }
        if path.starts_with(OWN) {
            let response = self.own(&request);
            return Box::pin(async move { response.map(FallbackBody::from) });
        }
        if LambdaApi::serves(path) {
            if let Some(refused) = self.wire.refuse_unsigned(&request, "lambda") {
                return Box::pin(async move { refused.map(FallbackBody::from) });
            }
            let answer = self.runtime.spawn(self.lambda.handle(request));
            return Box::pin(async move {
                match answer.await {
                    Ok(response) => response.map(|body| match body {
                        ApiBody::Full(bytes) => FallbackBody::Full(bytes),
                        ApiBody::Stream(pieces) => FallbackBody::Stream(pieces),
                    }),
                    Err(error) => failed(&error).map(FallbackBody::from),
                }
            });
        }
        let (wire, mut follow) = (Arc::clone(&self.wire), self.follow.clone());
        let writes = request.method() != Method::GET;
        let answer = self.runtime.spawn_blocking(move || wire.handle(request));
        Box::pin(async move {
            let response = answer.await.unwrap_or_else(|error| failed(&error));
            if writes {
                // Whoever deploys and calls at once must meet what was deployed.
                follow.caught_up().await;
            }
            response.map(FallbackBody::from)
        })
    }
}

impl Control {
    fn own(&self, request: &Request<Bytes>) -> Response<Bytes> {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/_stagedoor/health") => json(
                StatusCode::OK,
                &serde_json::json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }),
            ),
            (&Method::GET | &Method::HEAD, "/_stagedoor/metrics") => self.metrics(),
            (&Method::GET | &Method::HEAD, path) if path.starts_with(token::PATH) => self.issuer(request),
            (_, path) => json(
                StatusCode::NOT_FOUND,
                &serde_json::json!({ "message": format!("There is nothing at {path}") }),
            ),
        }
    }

    /// The built-in issuer's documents. Its key is made when it is first asked for.
    fn issuer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let host =
            request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        match Issuer::open(&self.data) {
            Ok(issuer) => match issuer.document(request.uri().path(), host) {
                Some(document) => json(StatusCode::OK, &document),
                None => json(
                    StatusCode::NOT_FOUND,
                    &serde_json::json!({ "message": "There is no such document" }),
                ),
            },
            Err(error) => {
                tracing::error!(%error, "the built-in issuer has no key");
                json(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    &serde_json::json!({ "message": "Internal server error" }),
                )
            }
        }
    }

    fn metrics(&self) -> Response<Bytes> {
        let mut text = self.metrics.to_prometheus();
        let dropped = self.logs.dropped();
        text.push_str(
            "# HELP stagedoor_log_lines_dropped_total Lines of access and execution logs that could not be written.\n\
             # TYPE stagedoor_log_lines_dropped_total counter\n",
        );
        text.push_str(&format!("stagedoor_log_lines_dropped_total {dropped}\n"));
        let budget = &self.cache_budget;
        for (name, help, bytes) in [
            ("stagedoor_cache_bytes", "What the caches of all stages hold.", budget.bytes()),
            ("stagedoor_cache_bytes_max", "What they may hold.", budget.bytes_max()),
        ] {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {bytes}\n"));
        }
        let mut response = Response::new(text.into());
        let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn failed(error: &tokio::task::JoinError) -> Response<Bytes> {
    tracing::error!(%error, "a control-plane call ended in a panic");
    json(StatusCode::INTERNAL_SERVER_ERROR, &serde_json::json!({ "message": "Internal server error" }))
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
