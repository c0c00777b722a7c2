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
mod names;
mod operations;
mod paging;
mod respond;
mod routes;
mod sharing;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    /// Archives that may be fetched, by the secret in their addresses, and since when.
    offered: Mutex<BTreeMap<String, (Instant, PathBuf)>>,
}

/// The path below which archives are fetched. No signature is asked for: the address is the secret, as AWS's is.
const ARCHIVES: &str = "/_stagedoor/archives/";
/// How long an archive may be fetched after its address has been told, as at AWS.
const OFFER_TIME: Duration = Duration::from_secs(600);
/// How many archives may be fetched at a time.
const OFFERS_MAX: usize = 10_000;

impl LambdaApi {
    /// Reads the functions in the directory and registers them. A document that cannot be read stops it and stays
    /// untouched; code that is gone only leaves its function unavailable.
    pub fn open(functions: Functions, settings: ApiSettings) -> Result<Self, SetupError> {
        let records = model::load(&settings.data)
            .map_err(|source| SetupError { what: "the stored functions cannot be read", source })?;
        let (records, offered) = (Mutex::new(records), Mutex::default());
        let api = Self { inner: Arc::new(Inner { functions, settings, records, offered }) };
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

    /// The archive that a path leads to, if it is one of those that [`Self::handle`] has told.
    pub fn archive(&self, path: &str) -> Option<PathBuf> {
        let offered = self.inner.offered.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, archive) = offered.get(path.strip_prefix(ARCHIVES)?)?;
        (since.elapsed() < OFFER_TIME).then(|| archive.clone())
    }

    /// Whether a path is one of archives.
    pub fn serves_archive(path: &str) -> bool {
        path.starts_with(ARCHIVES)
    }

    /// Where a client fetches an archive that it has asked this host for.
    fn offer(&self, host: &str, archive: &Path) -> String {
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let address = format!("http://{host}{ARCHIVES}{secret}");
        let mut offered = self.inner.offered.lock().unwrap_or_else(PoisonError::into_inner);
        offered.retain(|_, (since, _)| since.elapsed() < OFFER_TIME);
        if offered.len() < OFFERS_MAX {
            offered.insert(secret, (Instant::now(), archive.to_owned()));
        }
        address
    }

    /// What is told of where code is: the address of its archive, or its directory if that is its author's own.
    fn location(&self, route: &Route, code: &code::Code) -> String {
        match code.archive() {
            Some(archive) => self.offer(&route.host, &archive),
            None => format!("file://{}", code.dir.display()),
        }
    }

    /// Answers one request. The future may be awaited on any runtime.
    pub fn handle(&self, request: Request<Bytes>) -> impl Future<Output = Response<ApiBody>> + Send + use<> {
        let api = self.clone();
        async move {
            let answer = match routes::route(&request) {
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
        self.in_region(text)?;
        let named = names::checked(text, route.operation)?;
        let mut reference = FunctionRef { name: named.name, qualifier: named.qualifier };
        if let Some(qualifier) = route.query.get("Qualifier") {
            constraints::qualifier(qualifier)?;
            if reference.qualifier.is_some_and(|own| own != qualifier) {
                return Err(ApiError::parameter(
                    "The derived qualifier from the function name does not match the specified qualifier.",
                ));
            }
            reference.qualifier = Some(qualifier);
        }
        Ok(reference)
    }

    /// Functions of other regions are not here, whatever else is said of them.
    fn in_region(&self, text: &str) -> Result<(), ApiError> {
        let region = names::take_apart(text).and_then(|named| named.region);
        match region.filter(|region| *region != self.inner.settings.region) {
            None => Ok(()),
            Some(other) => Err(ApiError::not_found(&format!(
                "Functions from '{other}' are not reachable in this region ('{}')",
                self.inner.settings.region
            ))),
        }
    }

    fn qualified_arn(&self, name: &str, qualifier: Option<&str>) -> String {
        let mut arn = self.arn(name);
        if let Some(qualifier) = qualifier {
            arn.push(':');
            arn.push_str(qualifier);
        }
        arn
    }

    fn arn(&self, name: &str) -> String {
        let ApiSettings { region, account, .. } = &self.inner.settings;
        format!("arn:aws:lambda:{region}:{account}:function:{name}")
    }

    fn not_found(&self, reference: FunctionRef<'_>) -> ApiError {
        let arn = self.qualified_arn(reference.name, reference.qualifier);
        ApiError::not_found(&format!("Function not found: {arn}"))
    }
}
