//! The Lambda API (2015-03-31) over [`crate::Functions`], as far as it is built: requests in, responses out, whoever
//! carries them. Functions and their code live in a directory and are there again after a restart.
//!
//! One JSON document per function is replaced atomically with each change, under one lock for all: changes are rare, and
//! invocations do not pass through it.

mod code;
mod constraints;
mod event_invoke;
mod event_stream;
mod invoke;
mod layers;
mod model;
mod operations;
mod respond;
mod routes;
mod sharing;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};

use crate::config::FunctionRef;
use crate::error::SetupError;
use crate::functions::Functions;
use model::Record;
pub use respond::ApiBody;
use respond::ApiError;
use routes::{Operation, Route};

/// Where functions are kept and what their ARNs say.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// The directory of the functions; made if it is not there.
    pub data: PathBuf,
    /// Twelve digits.
    pub account: String,
    /// Such as `us-east-1`.
    pub region: String,
}

/// Answers the Lambda API. Cheap to clone.
#[derive(Clone)]
pub struct LambdaApi {
    inner: Arc<Inner>,
}

struct Inner {
    functions: Functions,
    settings: ApiSettings,
    records: Mutex<BTreeMap<String, Record>>,
}

impl LambdaApi {
    /// Reads the functions in the directory and registers them. A document that cannot be read stops it and stays
    /// untouched; code that is gone only leaves its function unavailable.
    pub fn open(functions: Functions, settings: ApiSettings) -> Result<Self, SetupError> {
        let records = model::load(&settings.data)
            .map_err(|source| SetupError { what: "the stored functions cannot be read", source })?;
        let api = Self { inner: Arc::new(Inner { functions, settings, records: Mutex::new(records) }) };
        for record in api.records().values() {
            if let Err(error) = api.register(record) {
                tracing::warn!(target: "function", "a stored function is not available: {}", error.message);
            }
        }
        Ok(api)
    }

    /// Whether a request with this path is one of the Lambda API.
    pub fn serves(path: &str) -> bool {
        routes::is_lambda(path)
    }

    /// Answers one request. The future may be awaited on any runtime.
    pub fn handle(&self, request: Request<Bytes>) -> impl Future<Output = Response<ApiBody>> + Send + use<> {
        let api = self.clone();
        async move {
            let answer = match routes::route(request.method(), request.uri()) {
                Err(error) => Err(error),
                Ok(route) if route.operation == Operation::Invoke => api.invoke(&route, &request).await,
                Ok(route) if route.operation == Operation::InvokeWithResponseStream => {
                    api.invoke_with_response_stream(&route, &request).await
                }
                Ok(route) => {
                    // Files are read and written, and archives unpacked.
                    let handle = api.inner.functions.handle().clone();
                    let work = handle.spawn_blocking(move || api.operate(&route, request.body()));
                    work.await.unwrap_or_else(|error| Err(ApiError::service(&error.to_string())))
                }
            };
            respond::response(answer)
        }
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.inner.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The function that a path names; its own qualifier, or the one of the query.
    fn reference<'a>(&self, route: &'a Route) -> Result<FunctionRef<'a>, ApiError> {
        let text = route.name();
        let mut reference = FunctionRef::parse(text).ok_or_else(|| {
            ApiError::validation(text, "functionName", "Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?")
        })?;
        if let Some(qualifier) = route.query.get("Qualifier") {
            if reference.qualifier.is_some_and(|own| own != qualifier) {
                return Err(ApiError::parameter(
                    "The derived qualifier from the function name does not match the specified qualifier.",
                ));
            }
            reference.qualifier = Some(qualifier);
        }
        Ok(reference)
    }

    fn arn(&self, name: &str) -> String {
        let ApiSettings { region, account, .. } = &self.inner.settings;
        format!("arn:aws:lambda:{region}:{account}:function:{name}")
    }

    fn not_found(&self, reference: FunctionRef<'_>) -> ApiError {
        let mut arn = self.arn(reference.name);
        if let Some(qualifier) = reference.qualifier {
            arn.push(':');
            arn.push_str(qualifier);
        }
        ApiError::new(404, "ResourceNotFoundException", &format!("Function not found: {arn}"))
    }
}
