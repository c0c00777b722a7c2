//! Authorizer functions: called once for an identity, whoever and however many ask at the same time.
//!
//! [`LambdaAuthorizer`] knows nothing of the kind of API: it is given the identity's key, the event to send and how to
//! read the answer. What a worker has found out it remembers for itself; what it has not is asked for across all workers
//! at once, and only that takes a lock.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::grant::{AuthorizerError, Grant};
use super::remembered::{OwnerId, make_room};
use crate::ids;
use crate::lambda::{LambdaAnswer, LambdaCall};
use crate::roles::{Role, RoleError};
use crate::worker::Worker;

/// Grants that all workers together keep for one authorizer.
const GRANTS_MAX: usize = 65_536;

/// An authorizer function.
#[derive(Debug)]
pub struct LambdaAuthorizer {
    function_arn: Arc<str>,
    source_arn: Option<String>,
    role: Option<Arc<Role>>,
    timeout: Duration,
    time_to_live: Duration,
    owner: OwnerId,
    shared: Arc<Mutex<HashMap<Box<str>, Slot>>>,
}

/// How an answer becomes a grant: [`Grant::read_rest`] and its sisters.
pub type Reader = fn(&LambdaAnswer) -> Result<Grant, AuthorizerError>;

type Outcome = Result<Arc<Grant>, AuthorizerError>;

#[derive(Debug)]
enum Slot {
    /// Somebody is asking. Empty until the answer is there; closed without one if it never will be.
    Asking(watch::Receiver<Option<Outcome>>),
    Known(Arc<Grant>, Instant),
}

impl LambdaAuthorizer {
    /// `source_arn` is what the function's resource policy is asked about; none if a role calls it. `role` is one that is
    /// assumed for that.
    ///
    /// An authorizer that remembers grants for `time_to_live`; for zero it asks every time.
    #[must_use]
    pub fn new(
        function_arn: Arc<str>,
        source_arn: Option<String>,
        role: Option<Arc<Role>>,
        timeout: Duration,
        time_to_live: Duration,
    ) -> Self {
        let (owner, shared) = (OwnerId::unique(), Arc::default());
        Self { function_arn, source_arn, role, timeout, time_to_live, owner, shared }
    }

    /// Whether grants are remembered.
    #[must_use]
    pub fn remembers(&self) -> bool {
        !self.time_to_live.is_zero()
    }

    /// The grant for an identity.
    ///
    /// `key` has to tell identities apart, see [`super::remembered::key_of`]; `event` is made only if the function has to
    /// be called, and is told the id of the call. Callers that ask for one key at the same time share one call.
    ///
    /// # Errors
    /// [`AuthorizerError`]. Errors are not remembered.
    pub async fn grant(
        &self,
        worker: &Rc<Worker>,
        key: &str,
        trace_id: Option<String>,
        event: impl FnOnce(&str) -> Bytes,
        read: Reader,
    ) -> Outcome {
        if !self.remembers() {
            let call = self.call(event, trace_id);
            return ask(worker, call, self.role.as_ref(), self.timeout, read).await;
        }
        if let Some(grant) = worker.grants.get(self.owner, key) {
            return Ok(grant);
        }
        let mut event = Some(event);
        loop {
            let mut answer = match self.join(key) {
                Joined::Known(grant, until) => {
                    worker.grants.put(self.owner, key, Arc::clone(&grant), until);
                    return Ok(grant);
                }
                Joined::Waiting(answer) => answer,
                Joined::Asking(sender, answer) => {
                    let Some(event) = event.take() else {
                        return Err(AuthorizerError::Failure("the function's answer was lost".to_owned()));
                    };
                    let call = self.call(event, trace_id.clone());
                    let asked = Asked {
                        key: key.into(),
                        shared: Arc::clone(&self.shared),
                        time_to_live: self.time_to_live,
                        sender: Some(sender),
                    };
                    let (worker, role, timeout) = (Rc::clone(worker), self.role.clone(), self.timeout);
                    // On its own, because who asks first may go away while others still wait.
                    tokio::task::spawn_local(async move {
                        asked.finish(ask(&worker, call, role.as_ref(), timeout, read).await);
                    });
                    answer
                }
            };
            // Closed without an answer: the worker that asked has ended. Somebody else asks.
            let Ok(outcome) = answer.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) else {
                continue;
            };
            return outcome.unwrap_or_else(|| Err(AuthorizerError::Failure("no answer".to_owned())));
        }
    }

    /// Calls the function for a test: what it answered, unread.
    ///
    /// # Errors
    /// [`AuthorizerError`] if it could not be called or did not answer in time.
    pub async fn test(
        &self,
        worker: &Rc<Worker>,
        payload: Bytes,
        trace_id: Option<String>,
    ) -> Result<LambdaAnswer, AuthorizerError> {
        let call = self.call(|_| payload, trace_id);
        invoke(worker, call, self.role.as_ref(), self.timeout).await
    }

    /// The function's ARN.
    #[must_use]
    pub fn function_arn(&self) -> &str {
        &self.function_arn
    }

    fn call(&self, event: impl FnOnce(&str) -> Bytes, trace_id: Option<String>) -> LambdaCall {
        let request_id = String::from_utf8_lossy(&ids::request_id()).into_owned();
        LambdaCall {
            function_arn: Arc::clone(&self.function_arn),
            payload: event(&request_id),
            request_id,
            asynchronous: false,
            trace_id,
            source_arn: self.source_arn.clone(),
            credential: None,
        }
    }

    fn join(&self, key: &str) -> Joined {
        let mut shared = lock(&self.shared);
        match shared.get(key) {
            Some(Slot::Known(grant, until)) if *until > Instant::now() => {
                return Joined::Known(Arc::clone(grant), *until);
            }
            Some(Slot::Asking(answer)) if answer.has_changed().is_ok() => {
                return Joined::Waiting(answer.clone());
            }
            _ => {}
        }
        let (sender, answer) = watch::channel(None);
        make_room(&mut shared, GRANTS_MAX, |slot| match slot {
            Slot::Known(_, until) => *until,
            Slot::Asking(_) => Instant::now() + Duration::from_secs(1),
        });
        shared.insert(key.into(), Slot::Asking(answer.clone()));
        Joined::Asking(sender, answer)
    }
}

enum Joined {
    Known(Arc<Grant>, Instant),
    Waiting(watch::Receiver<Option<Outcome>>),
    Asking(watch::Sender<Option<Outcome>>, watch::Receiver<Option<Outcome>>),
}

/// A call under way, for everybody who waits for it.
struct Asked {
    key: Box<str>,
    shared: Arc<Mutex<HashMap<Box<str>, Slot>>>,
    time_to_live: Duration,
    sender: Option<watch::Sender<Option<Outcome>>>,
}

impl Asked {
    fn finish(mut self, outcome: Outcome) {
        let Some(sender) = self.sender.take() else { return };
        let mut shared = lock(&self.shared);
        match &outcome {
            Ok(grant) => {
                let known = Slot::Known(Arc::clone(grant), Instant::now() + self.time_to_live);
                shared.insert(self.key.clone(), known);
            }
            Err(_) => _ = shared.remove(&self.key),
        }
        drop(shared);
        sender.send_replace(Some(outcome));
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.sender.take().is_some() {
            lock(&self.shared).remove(&self.key);
        }
    }
}

/// A thread that panicked while it held the lock has left the map whole: each change to it is one call.
fn lock(shared: &Mutex<HashMap<Box<str>, Slot>>) -> MutexGuard<'_, HashMap<Box<str>, Slot>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask(
    worker: &Rc<Worker>,
    call: LambdaCall,
    role: Option<&Arc<Role>>,
    timeout: Duration,
    read: Reader,
) -> Outcome {
    invoke(worker, call, role, timeout).await.and_then(|answer| read(&answer).map(Arc::new))
}

async fn invoke(
    worker: &Rc<Worker>,
    mut call: LambdaCall,
    role: Option<&Arc<Role>>,
    timeout: Duration,
) -> Result<LambdaAnswer, AuthorizerError> {
    if let Some(role) = role {
        let credential = role.credential(worker).await;
        let refused = |error: RoleError| AuthorizerError::Refused { status: None, reason: error.to_string() };
        call.credential = Some(credential.map_err(refused)?);
    }
    let answer = worker.services.lambda.invoke(call);
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(AuthorizerError::Refused { status: error.status(), reason: error.to_string() }),
        Err(_) => {
            let timeout_ms = timeout.as_millis();
            Err(AuthorizerError::Failure(format!("the authorizer did not answer within {timeout_ms} ms")))
        }
    }
}
