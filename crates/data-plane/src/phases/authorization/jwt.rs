//! Issuers of tokens: where their keys are, and keys fetched once for all workers.
//!
//! Keys are fetched when they are first needed, again after an hour, and again for a token that names a key nobody
//! knows, but never more often than every few seconds: otherwise whoever invents key ids would have us flood the issuer.
//! While the issuer is out of reach its last keys go on for a while; then tokens are refused.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use http::Method;
use serde_json::{Map, Value};
use stagedoor_http::{Body, Headers, RequestHead, Version};
use tokio::sync::Mutex;

use super::remembered::OwnerId;
use super::token::{Algorithm, PublicKey, TokenError, Unverified, check_times};
use crate::forward::Waits;
use crate::upstream::{Scheme, Upstream};
use crate::worker::Worker;

/// AWS's limits for an issuer's documents.
const DOCUMENT_BYTES_MAX: u64 = 150_000;
const FETCH_TIME_MAX: Duration = Duration::from_millis(1500);
/// How old keys may get before they are fetched again.
const FRESH_FOR: Duration = Duration::from_secs(60 * 60);
/// How old they may get at all, while the issuer is out of reach. AWS keeps keys for two hours.
const GOOD_FOR: Duration = Duration::from_secs(2 * 60 * 60);
/// The least time between two fetches.
const FETCH_INTERVAL: Duration = Duration::from_secs(5);

/// The claims of a token that has been verified.
pub type Claims = Arc<Map<String, Value>>;

/// An issuer of tokens.
#[derive(Debug)]
pub struct Issuer {
    /// What tokens have to have as `iss`.
    pub name: Box<str>,
    location: Location,
    algorithms: Box<[Algorithm]>,
    /// How old keys may get, while the issuer is out of reach.
    good_for: Duration,
    owner: OwnerId,
    keys: ArcSwapOption<Keys>,
    last_fetch: Mutex<Option<(Instant, Result<(), String>)>>,
}

/// Where an issuer's keys are.
#[derive(Debug)]
enum Location {
    /// There.
    KeySet(String),
    /// Where its discovery document says.
    Discovery(String),
}

#[derive(Debug)]
struct Keys {
    keys: Vec<PublicKey>,
    since: Instant,
}

impl Issuer {
    /// An issuer that publishes a discovery document (OpenID Connect Discovery 1.0 §4).
    ///
    /// # Errors
    /// A sentence if its address may not be used: https, or http on a loopback address.
    pub fn discovered(name: &str, algorithms: &[Algorithm]) -> Result<Self, String> {
        let document = discovery_document(name);
        address(&document)?;
        Ok(Self::new(name, Location::Discovery(document), algorithms))
    }

    /// An issuer whose key set is at this address.
    ///
    /// # Errors
    /// As [`Issuer::discovered`].
    pub fn with_key_set(name: &str, key_set: &str, algorithms: &[Algorithm]) -> Result<Self, String> {
        address(key_set)?;
        Ok(Self::new(name, Location::KeySet(key_set.to_owned()), algorithms))
    }

    fn new(name: &str, location: Location, algorithms: &[Algorithm]) -> Self {
        Self {
            name: name.into(),
            location,
            algorithms: algorithms.into(),
            good_for: GOOD_FOR,
            owner: OwnerId::unique(),
            keys: ArcSwapOption::empty(),
            last_fetch: Mutex::new(None),
        }
    }

    /// The same issuer, whose keys are used for no longer than an hour (as the developer guide says of REST APIs), and whose
    /// tokens are remembered with those of others: a token names the one that has issued it.
    #[must_use]
    pub fn among_others(self, owner: OwnerId) -> Self {
        Self { good_for: FRESH_FOR, owner, ..self }
    }

    /// The claims of a token of this issuer that holds now: signature, `exp`, `nbf`, `iat` and `iss` are good. Verified
    /// tokens are remembered until they run out.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify(&self, worker: &Rc<Worker>, token: &str) -> Result<Claims, TokenError> {
        if let Some(claims) = worker.tokens.get(self.owner, token) {
            return Ok(claims);
        }
        let unverified = Unverified::parse(token)?;
        // Nobody has keys fetched for a token that they could not bear out.
        unverified.check_algorithm(&self.algorithms)?;
        let keys = self.keys_for(worker, &unverified.key_id).await?;
        let good_until = keys.since + self.good_for;
        let claims = unverified.verify(&keys.keys, &self.algorithms)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let expires = check_times(&claims, now.as_secs())?;
        if claims.get("iss").and_then(Value::as_str) != Some(&*self.name) {
            return Err(TokenError::Issuer);
        }
        let claims = Arc::new(claims);
        let left = Duration::from_secs(expires).saturating_sub(now);
        if let Some(until) = Instant::now().checked_add(left.min(GOOD_FOR)) {
            worker.tokens.put(self.owner, token, Arc::clone(&claims), until.min(good_until));
        }
        Ok(claims)
    }

    /// Keys that are good, and fresh as far as the issuer can be reached; with the key of this id if it has one.
    async fn keys_for(&self, worker: &Rc<Worker>, key_id: &str) -> Result<Arc<Keys>, TokenError> {
        let good = || self.keys.load_full().filter(|keys| keys.since.elapsed() < self.good_for);
        let satisfies = |keys: &Arc<Keys>| keys.since.elapsed() < FRESH_FOR && keys.has(key_id);
        if let Some(keys) = good().filter(satisfies) {
            return Ok(keys);
        }
        // Whoever comes meanwhile waits here, and then finds what was fetched.
        let mut last = self.last_fetch.lock().await;
        if let Some(keys) = good().filter(satisfies) {
            return Ok(keys);
        }
        let may_fetch = last.as_ref().is_none_or(|(at, _)| at.elapsed() >= FETCH_INTERVAL);
        if may_fetch {
            // It takes much room, and is seldom needed.
            let fetched = Box::pin(self.fetch(worker)).await;
            if let Err(error) = &fetched {
                tracing::warn!(issuer = &*self.name, %error, "the keys of an issuer of tokens could not be fetched");
            }
            *last = Some((Instant::now(), fetched.as_ref().map(|_| ()).map_err(Clone::clone)));
            if let Ok(keys) = fetched {
                self.keys.store(Some(Arc::new(Keys { keys, since: Instant::now() })));
            }
        }
        let failure = last.as_ref().and_then(|(_, outcome)| outcome.as_ref().err().cloned());
        match (good(), failure) {
            (Some(keys), _) => Ok(keys),
            (None, failure) => Err(TokenError::NoKeys(failure.unwrap_or_else(|| "no keys yet".to_owned()))),
        }
    }

    async fn fetch(&self, worker: &Rc<Worker>) -> Result<Vec<PublicKey>, String> {
        let key_set = match &self.location {
            Location::KeySet(url) => url.clone(),
            Location::Discovery(url) => {
                discover(worker, &self.name, url).await.map_err(|error| error.to_string())?
            }
        };
        let keys = get(worker, &key_set).await.map_err(|error| error.to_string())?;
        PublicKey::read_set(&keys).ok_or_else(|| format!("{key_set} is no key set"))
    }
}

/// Why a document of an issuer cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// There was no answer in time.
    #[error("{0}")]
    OutOfReach(String),
    /// The answer, or the address, is none that an issuer may have.
    #[error("{0}")]
    Wrong(String),
}

/// Asks an issuer for its discovery document. Answers where its keys are.
///
/// # Errors
/// [`DocumentError`], after [`FETCH_TIME_MAX`] at the latest.
pub async fn ask(worker: &Rc<Worker>, issuer: &str) -> Result<String, DocumentError> {
    discover(worker, issuer, &discovery_document(issuer)).await
}

/// Where an issuer has its discovery document.
fn discovery_document(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

async fn discover(worker: &Rc<Worker>, issuer: &str, url: &str) -> Result<String, DocumentError> {
    let answer = get(worker, url).await?;
    let wrong = |what: &str| DocumentError::Wrong(format!("{url} {what}"));
    let document: Value =
        serde_json::from_slice(&answer).map_err(|error| wrong(&format!("is no JSON: {error}")))?;
    // Else one issuer could speak for another.
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(wrong("is of another issuer"));
    }
    let key_set = document.get("jwks_uri").and_then(Value::as_str);
    let key_set = key_set.ok_or_else(|| wrong("names no jwks_uri"))?;
    let (of_keys, _) = address(key_set).map_err(DocumentError::Wrong)?;
    // Else who sits between the gateway and the keys could put in keys of his own.
    if of_keys.scheme != Scheme::Https && url.starts_with("https://") {
        return Err(wrong(&format!("names a jwks_uri that is not https: {key_set}")));
    }
    Ok(key_set.to_owned())
}

impl Keys {
    fn has(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| key.is(key_id))
    }
}

/// An address that keys may come from: https, or http on this machine.
fn address(url: &str) -> Result<(Upstream, String), String> {
    let (upstream, rest) = Upstream::parse(url).map_err(|error| error.to_string())?;
    let is_here = &*upstream.host == "localhost"
        || upstream.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if upstream.scheme == Scheme::Http && !is_here {
        return Err(format!("{url} is neither https nor on a loopback address"));
    }
    let target = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    Ok((upstream, target))
}

async fn get(worker: &Rc<Worker>, url: &str) -> Result<bytes::Bytes, DocumentError> {
    let (upstream, target) = address(url).map_err(DocumentError::Wrong)?;
    let mut headers = Headers::with_capacity(2);
    headers.append("Host", upstream.authority.to_string());
    headers.append("Accept", "application/json");
    let head = RequestHead { method: Method::GET, target: target.into(), version: Version::Http11, headers };
    let answer = async {
        let (head, body) = worker
            .forward(
                &upstream,
                &head,
                Body::Empty,
                None,
                Waits::from_now(&worker.timers, FETCH_TIME_MAX, FETCH_TIME_MAX),
            )
            .await
            .map_err(|error| DocumentError::OutOfReach(format!("{url}: {error}")))?;
        if head.status.is_server_error() {
            // It is said by what stands before an issuer as well, while that is not there.
            return Err(DocumentError::OutOfReach(format!("{url} answered {}", head.status)));
        }
        if !head.status.is_success() {
            return Err(DocumentError::Wrong(format!("{url} answered {}", head.status)));
        }
        let body = body.collect(DOCUMENT_BYTES_MAX).await;
        body.map_err(|error| DocumentError::Wrong(format!("{url}: {error}")))
    };
    let late = |_| DocumentError::OutOfReach(format!("{url} did not answer in time"));
    tokio::time::timeout(FETCH_TIME_MAX, answer).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        let check = |url: &str, fine: bool| assert_eq!(address(url).is_ok(), fine, "{url}");
        check("https://issuer.example/keys", true);
        check("http://127.0.0.1:9229/pool", true);
        check("http://[::1]/", true);
        check("http://localhost:1", true);
        check("http://issuer.example/", false);
        check("http://127.0.0.1.example.org/", false);
        check("http://localhost.example.org/", false);
        check("file:///etc/passwd", false);
    }
}
