//! The control plane itself: what its operations share.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use stagedoor_shapes::apigateway::Stage;
use stagedoor_shapes::apigatewayv2;
use stagedoor_shapes::snapshot::{ApiSnapshot, RestApiSnapshot};

use crate::ApiError;
use crate::api_key_lists::KeyCount;
use crate::default_endpoint;
use crate::issuers::{AnyIssuer, Issuers};
use crate::quotas::Quotas;
use crate::store::{CommitError, Revision, Store};
use crate::test_invoke::{MethodTester, NoTester};
use crate::tx::Tx;
use crate::usage::{NoTraffic, UsageMeter};

/// Finds out whether an API can be served. The data plane's compiler stands behind it.
pub trait DeploymentCheck: Send + Sync {
    /// Compiles a snapshot as it would be served, in a stage or in any.
    ///
    /// # Errors
    /// Everything that cannot work, one sentence each, naming the resource and method.
    fn check(&self, snapshot: &RestApiSnapshot, stage: Option<&Stage>) -> Result<(), Vec<String>>;

    /// The same for HTTP and WebSocket APIs.
    ///
    /// # Errors
    /// Everything that cannot work, one sentence each, naming the route.
    fn check_v2(
        &self,
        snapshot: &ApiSnapshot,
        stage: Option<&apigatewayv2::Stage>,
    ) -> Result<(), Vec<String>>;

    /// What is wrong with a mapping template, with the line, the column and the text where it is.
    fn template_error(&self, template: &str) -> Option<String> {
        let _ = template;
        None
    }

    /// Whether a selection pattern of an integration response can be used.
    fn is_pattern(&self, pattern: &str) -> bool {
        let _ = pattern;
        true
    }
}

/// A check that finds nothing, for tests and tools that serve no traffic.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCheck;

impl DeploymentCheck for NoCheck {
    fn check(&self, _: &RestApiSnapshot, _: Option<&Stage>) -> Result<(), Vec<String>> {
        Ok(())
    }

    fn check_v2(&self, _: &ApiSnapshot, _: Option<&apigatewayv2::Stage>) -> Result<(), Vec<String>> {
        Ok(())
    }
}

/// Finds the truststores that custom domain names with mutual TLS name by `s3://` URIs.
pub trait Truststores: Send + Sync {
    /// Reads a truststore, of a version or the newest one.
    ///
    /// # Errors
    /// A sentence for the caller if there is none, or none that can be read. What is wrong with single certificates
    /// comes back as warnings.
    fn inspect(&self, uri: &str, version: Option<&str>) -> Result<Vec<String>, String>;
}

/// No truststores at all: mutual TLS is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTruststores;

impl Truststores for NoTruststores {
    fn inspect(&self, uri: &str, _: Option<&str>) -> Result<Vec<String>, String> {
        Err(format!("The truststore {uri} cannot be read: no truststores are configured"))
    }
}

/// Encrypts what is kept and must not be read by whoever comes by the store.
pub trait Secrets: Send + Sync {
    /// Encrypts a secret that belongs to what has this name.
    ///
    /// # Errors
    /// A sentence that says why it cannot be.
    fn seal(&self, name: &str, secret: &str) -> Result<String, String>;

    /// Decrypts it.
    ///
    /// # Errors
    /// A sentence that says why it cannot be.
    fn open(&self, name: &str, sealed: &str) -> Result<String, String>;
}

/// Keeps secrets as they are: for stores that are gone with the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenSecrets;

impl Secrets for OpenSecrets {
    fn seal(&self, _: &str, secret: &str) -> Result<String, String> {
        Ok(secret.to_owned())
    }

    fn open(&self, _: &str, sealed: &str) -> Result<String, String> {
        Ok(sealed.to_owned())
    }
}

/// What an operation needs to know about where it runs.
#[derive(Clone)]
pub struct Settings {
    /// The account in ARNs and messages.
    pub account_id: String,
    /// The region in ARNs.
    pub region: String,
    /// Where traffic is answered, such as `http://127.0.0.1:8080`, for clients that are generated; AWS's own addresses
    /// without it.
    pub traffic_url: Option<String>,
    /// How much there may be of what.
    pub quotas: Quotas,
    /// Asked before anything is deployed.
    pub deployment_check: Arc<dyn DeploymentCheck>,
    /// Asked about the issuers that authorizers name.
    pub issuers: Arc<dyn Issuers>,
    /// Where truststores are found.
    pub truststores: Arc<dyn Truststores>,
    /// Encrypts private keys.
    pub secrets: Arc<dyn Secrets>,
    /// Calls the methods that are tested.
    pub method_tester: Arc<dyn MethodTester>,
    /// Asked what API keys have used.
    pub usage: Arc<dyn UsageMeter>,
    /// How fast all APIs of the account may be called together, as `GetAccount` shows it: a second, and at once.
    pub account_throttle: (f64, i32),
    /// The time, in seconds since 1970.
    pub now: fn() -> f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account_id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            traffic_url: None,
            quotas: Quotas::default(),
            deployment_check: Arc::new(NoCheck),
            issuers: Arc::new(AnyIssuer),
            truststores: Arc::new(NoTruststores),
            secrets: Arc::new(OpenSecrets),
            method_tester: Arc::new(NoTester),
            usage: Arc::new(NoTraffic),
            account_throttle: (10_000.0, 5_000),
            now: || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64()),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("account_id", &self.account_id)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// API Gateway's operations over a store. Each is a method named like the operation, in its noun's file.
///
/// Inputs have passed the constraints of AWS's model; the rules that go beyond them are checked here. A member that
/// the model requires and that is missing all the same is treated as empty.
pub struct ControlPlane {
    store: Arc<dyn Store>,
    pub(crate) settings: Settings,
    /// Shared by operations at their first attempt, and held alone by one that has lost a race: its second attempt
    /// cannot lose to anything in this process.
    turns: RwLock<()>,
    pub(crate) key_count: KeyCount,
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ControlPlane").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// How often an operation is run before it answers that others were faster. Only other nodes on the same store can
/// make a second attempt fail.
const ATTEMPTS_MAX: u32 = 50;

impl ControlPlane {
    /// A control plane over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, settings: Settings) -> Self {
        Self { store, settings, turns: RwLock::default(), key_count: KeyCount::default() }
    }

    /// The store that holds the definitions.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Runs an operation that may write, and runs it again if what it read was changed meanwhile. The closure must
    /// have no effect but its answer and its writes.
    pub(crate) fn transact<T>(&self, operation: impl Fn(&Tx) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let shared = self.turns.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = self.attempt_once(&operation)? {
            return Ok(answer);
        }
        drop(shared);
        let _alone = self.turns.write().unwrap_or_else(PoisonError::into_inner);
        for _ in 1..ATTEMPTS_MAX {
            if let Some(answer) = self.attempt_once(&operation)? {
                return Ok(answer);
            }
        }
        Err(CommitError::Conflict.into())
    }

    /// Runs an operation and commits what it wrote; `None` if what it read was changed meanwhile.
    fn attempt_once<T>(&self, operation: impl Fn(&Tx) -> Result<T, ApiError>) -> Result<Option<T>, ApiError> {
        let tx = Tx::new(self.store.snapshot()?);
        let answer = operation(&tx)?;
        default_endpoint::settle(&tx)?;
        let transaction = tx.finish();
        if transaction.writes.is_empty() {
            return Ok(Some(answer));
        }
        match self.store.commit(&transaction) {
            Ok(_) => Ok(Some(answer)),
            Err(CommitError::Conflict) => Ok(None),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// Runs an operation that only reads.
    pub(crate) fn read<T>(&self, operation: impl FnOnce(&Tx) -> Result<T, ApiError>) -> Result<T, ApiError> {
        operation(&Tx::new(self.store.snapshot()?))
    }

    /// The time, in seconds since 1970, to the millisecond. What is answered is cut to whole seconds (see
    /// [`whole_seconds`]); the rest keeps the order in which things were made.
    pub(crate) fn now(&self) -> f64 {
        ((self.settings.now)() * 1000.0).round() / 1000.0
    }

    /// AWS's answer to an API that is not there.
    pub(crate) fn no_such_api(&self, id: &str) -> ApiError {
        ApiError::NotFound(format!("Invalid API identifier specified {}:{id}", self.settings.account_id))
    }

    /// The newest revision of the definitions.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read.
    pub fn revision(&self) -> Result<Revision, ApiError> {
        Ok(self.store.snapshot()?.revision())
    }
}

/// A date as AWS answers it.
pub(crate) fn whole_seconds(date: Option<f64>) -> Option<f64> {
    date.map(f64::floor)
}

/// A required member of an input. The wire has checked that it is there.
pub(crate) fn required(member: &Option<String>) -> &str {
    member.as_deref().unwrap_or_default()
}

pub(crate) fn bad_request<T>(message: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::BadRequest(message.into()))
}

pub(crate) fn not_found<T>(message: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::NotFound(message.into()))
}

pub(crate) fn conflict<T>(message: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::Conflict(message.into()))
}
