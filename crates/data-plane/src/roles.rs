//! Whose keys a call of AWS is signed with (`credentials`): a role's, the caller's or the gateway's own.
//!
//! A role's keys come from STS and are kept, for all workers together, until shortly before they run out. Requests
//! find them without a lock; new ones are asked for while the old still hold, so that a request waits for STS only when
//! there are none. Whoever waits for the same role shares one question, and its failure.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Method, StatusCode};
use stagedoor_http::Body;
use stagedoor_sigv4::Credential;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::forward::Waits;
use crate::phases::transformation::encode_query;
use crate::plan::aws_services::AwsService;
use crate::service_request::ServiceRequest;
use crate::worker::Worker;

/// The name that API Gateway gives its sessions, as it shows in the ARNs of who called.
const SESSION_NAME: &str = "BackplaneAssumeRoleSession";
/// How long a session is asked for, in seconds, as API Gateway does.
const SESSION_SECONDS: &str = "3600";
/// How long STS may take.
const ASK_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest answer of STS that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// How long before its end a session is replaced, at most.
const REFRESH_BEFORE: Duration = Duration::from_secs(300);
/// How long a replacement that failed waits for its next attempt, while the old session still holds.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// Whose keys sign.
#[derive(Clone, Debug, Default)]
pub enum Signer {
    /// The gateway's own.
    #[default]
    Gateway,
    /// A session's of a role.
    Role(Arc<Role>),
    /// Those that the client's request is signed with (`arn:aws:iam::*:user/*`).
    Caller,
}

/// The roles that plans name, so that what one plan has asked for is kept for the next.
#[derive(Debug)]
pub struct Roles {
    sts: AwsService,
    known: Mutex<HashMap<Box<str>, Weak<Role>>>,
}

/// A role.
#[derive(Debug)]
pub struct Role {
    arn: Box<str>,
    sts: AwsService,
    session: ArcSwapOption<Session>,
    /// Held by who asks; what failed last, and when.
    asking: tokio::sync::Mutex<Option<(Instant, RoleError)>>,
    replacing: AtomicBool,
}

/// Temporary keys.
#[derive(Debug, PartialEq)]
struct Session {
    credential: Arc<Credential>,
    /// From when on they are to be replaced.
    replace_at: SystemTime,
    /// Until when a request may be signed with them: a moment before they run out, because it travels.
    usable_until: SystemTime,
}

/// Why a role could not be assumed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("API Gateway does not have permission to assume the provided role {arn}: {reason}")]
pub struct RoleError {
    /// The role.
    pub arn: Box<str>,
    /// What STS said, or why it could not be asked.
    pub reason: Box<str>,
}

impl Roles {
    /// No roles yet. `sts` is where they are asked for.
    #[must_use]
    pub fn new(sts: AwsService) -> Self {
        Self { sts, known: Mutex::default() }
    }

    /// A role, the same one for all who name it.
    #[must_use]
    pub fn get(&self, arn: &str) -> Arc<Role> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(role) = known.get(arn).and_then(Weak::upgrade) {
            return role;
        }
        known.retain(|_, role| role.strong_count() > 0);
        let role = Arc::new(Role {
            arn: arn.into(),
            sts: self.sts.clone(),
            session: ArcSwapOption::empty(),
            asking: tokio::sync::Mutex::default(),
            replacing: AtomicBool::new(false),
        });
        known.insert(arn.into(), Arc::downgrade(&role));
        role
    }
}

impl Role {
    /// The keys of a session.
    ///
    /// # Errors
    /// [`RoleError`] if STS denies it or cannot be reached.
    pub(crate) async fn credential(
        self: &Arc<Self>,
        worker: &Rc<Worker>,
    ) -> Result<Arc<Credential>, RoleError> {
        if let Some(session) = self.usable() {
            if SystemTime::now() >= session.replace_at {
                self.replace(worker);
            }
            return Ok(Arc::clone(&session.credential));
        }
        let came = Instant::now();
        let mut failed = self.asking.lock().await;
        if let Some(session) = self.usable() {
            return Ok(Arc::clone(&session.credential));
        }
        if let Some((at, error)) = &*failed
            && *at >= came
        {
            return Err(error.clone());
        }
        match self.ask(worker).await {
            Ok(session) => {
                let credential = Arc::clone(&session.credential);
                self.session.store(Some(Arc::new(session)));
                *failed = None;
                Ok(credential)
            }
            Err(error) => {
                tracing::error!(role = &*self.arn, "{error}");
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn usable(&self) -> Option<Arc<Session>> {
        self.session.load_full().filter(|session| SystemTime::now() < session.usable_until)
    }

    /// Asks for a new session while the old one still holds.
    fn replace(self: &Arc<Self>, worker: &Rc<Worker>) {
        if self.replacing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (replacing, worker) = (Replacing(Arc::clone(self)), Rc::clone(worker));
        tokio::task::spawn_local(async move {
            let role = &replacing.0;
            match role.ask(&worker).await {
                Ok(session) => role.session.store(Some(Arc::new(session))),
                Err(error) => {
                    tracing::warn!(role = &*role.arn, "the session's keys could not be replaced: {error}");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        });
    }

    async fn ask(&self, worker: &Rc<Worker>) -> Result<Session, RoleError> {
        let failed = |reason: String| RoleError { arn: self.arn.clone(), reason: reason.into() };
        let form = [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", &*self.arn),
            ("RoleSessionName", SESSION_NAME),
            ("DurationSeconds", SESSION_SECONDS),
        ];
        let request = ServiceRequest {
            method: Method::POST,
            path: "/".to_owned(),
            query: String::new(),
            headers: vec![(
                "Content-Type".to_owned(),
                "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
            )],
            body: Bytes::from(encode_query(form.into_iter())),
        };
        let head = request.signed(&self.sts, &self.sts.credential, OffsetDateTime::now_utc());
        let body = Body::from(request.body);
        let asked = async {
            let waits = Waits::from_now(&worker.timers, ASK_TIME_MAX, ASK_TIME_MAX);
            let answered = worker.forward(&self.sts.upstream, &head, body, None, waits).await;
            let (head, body) = answered.map_err(|error| failed(format!("STS cannot be asked: {error}")))?;
            let body = body.collect(ANSWER_BYTES_MAX).await;
            Ok((head.status, body.map_err(|error| failed(format!("STS broke off: {error}")))?))
        };
        let answered = tokio::time::timeout(ASK_TIME_MAX, asked).await;
        let (status, body) = answered
            .unwrap_or_else(|_| Err(failed(format!("STS did not answer within {ASK_TIME_MAX:?}"))))?;
        read(status, &String::from_utf8_lossy(&body), SystemTime::now()).map_err(failed)
    }
}

/// A replacement under way, which ends however it ends.
struct Replacing(Arc<Role>);

impl Drop for Replacing {
    fn drop(&mut self) {
        self.0.replacing.store(false, Ordering::Release);
    }
}

/// The answer to `AssumeRole`.
fn read(status: StatusCode, answer: &str, now: SystemTime) -> Result<Session, String> {
    if status != StatusCode::OK {
        let message = element(answer, "Message");
        return Err(match (element(answer, "Code"), message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            _ => format!("STS answered {status}"),
        });
    }
    let part = |name: &str| {
        element(answer, name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| format!("the answer of STS has no {name}"))
    };
    let expiration = part("Expiration")?;
    let ends = OffsetDateTime::parse(&expiration, &Rfc3339)
        .map_err(|_| format!("the answer of STS has the Expiration {expiration:?}, which is no time"))?;
    let ends = SystemTime::from(ends);
    let lasts = ends.duration_since(now).map_err(|_| "STS gave keys that have run out".to_owned())?;
    let before = REFRESH_BEFORE.min(lasts / 3);
    Ok(Session {
        credential: Arc::new(Credential {
            access_key_id: part("AccessKeyId")?,
            secret_access_key: part("SecretAccessKey")?,
            session_token: Some(part("SessionToken")?),
        }),
        replace_at: ends - before,
        usable_until: ends - before / 10,
    })
}

/// The text of the first element of this name, which has no attributes and none within.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    let plain =
        entities.iter().fold(text.trim().to_owned(), |text, (entity, plain)| text.replace(entity, plain));
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(expiration: &str) -> String {
        format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
             <SessionToken>\n t&amp;lt;/+= </SessionToken><SecretAccessKey>s</SecretAccessKey>\
             <Expiration>{expiration}</Expiration><AccessKeyId>ASIA</AccessKeyId></Credentials>\
             </AssumeRoleResult></AssumeRoleResponse>"
        )
    }

    #[test]
    fn answers() {
        let check = |status: u16, answer: &str, expected: Result<(u64, u64), &str>| {
            let found = read(StatusCode::from_u16(status).unwrap(), answer, SystemTime::UNIX_EPOCH);
            let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            match (found, expected) {
                (Ok(session), Ok(times)) => {
                    assert_eq!((seconds(session.replace_at), seconds(session.usable_until)), times);
                    let keys = &session.credential;
                    assert_eq!((&*keys.access_key_id, &*keys.secret_access_key), ("ASIA", "s"));
                    assert_eq!(keys.session_token.as_deref(), Some("t&lt;/+="));
                }
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (found, _) => panic!("{found:?}"),
            }
        };
        check(200, &answer("1970-01-01T01:00:00Z"), Ok((3300, 3570)));
        check(200, &answer("1970-01-01T00:00:30.000Z"), Ok((20, 29)));
        check(200, &answer("1969-12-31T23:59:59Z"), Err("have run out"));
        check(200, &answer("soon"), Err("\"soon\""));
        check(200, "<Expiration>1970-01-01T01:00:00Z</Expiration>", Err("no AccessKeyId"));
        check(200, "{}", Err("no Expiration"));
        let denied = "<Error><Code>AccessDenied</Code><Message>User is not authorized</Message></Error>";
        check(403, denied, Err("AccessDenied: User is not authorized"));
        check(503, "", Err("STS answered 503"));
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_or_refused(answer in "(<Expiration>|</Expiration>|<AccessKeyId>|&amp;|\\PC){0,20}") {
            let _ = read(StatusCode::OK, &answer, SystemTime::UNIX_EPOCH);
        }
    }
}
