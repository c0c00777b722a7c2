//! One call of a function: handed to its processes, or, if nobody waits for it, tried until it is placed.
//!
//! An asynchronous event is tried again after failures and while the function has no place for it, until it is too old. What
//! no attempt could place becomes a dead letter.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::dead_letter::{Condition, Letter};
use crate::error::InvokeError;
use crate::functions::{AsyncConfig, Invocation, Shared};
use crate::outcome::InvocationOutput;
use crate::pool::{Job, Pool};
use crate::queue::{Event, Ticket};
use crate::reply::Reply;

/// How long an asynchronous invocation that found no place waits at first, and at most, as on Lambda.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);
const THROTTLED_PAUSE_MAX: Duration = Duration::from_secs(300);
/// How many bytes of events may wait for attempts; more are refused.
const ASYNC_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A call whose function has been found.
pub(crate) struct QueuedCall {
    pub(crate) pool: Arc<Pool>,
    pub(crate) invocation: Invocation,
    pub(crate) invoked_arn: Option<String>,
    pub(crate) request_id: String,
    pub(crate) accepted_at: SystemTime,
    /// How often an asynchronous event has been tried.
    pub(crate) attempts: u8,
}

impl QueuedCall {
    /// An asynchronous event as it is kept.
    pub(crate) fn event(&self) -> Event {
        let accepted_at = self.accepted_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Event {
            function: self.invocation.function.clone(),
            request_id: self.request_id.clone(),
            payload: self.invocation.payload.clone(),
            client_context: self.invocation.client_context.clone(),
            trace_id: self.invocation.trace_id.clone(),
            accepted_at: u64::try_from(accepted_at).unwrap_or(u64::MAX),
            attempts: self.attempts,
        }
    }

    /// The answer to a call whose result nobody waits for.
    pub(crate) fn accepted(&self) -> InvocationOutput {
        InvocationOutput {
            payload: Bytes::new(),
            function_error: None,
            executed_version: self.pool.config.version.clone(),
            log_tail: None,
        }
    }

    pub(crate) fn send(&self, reply: Reply) -> Result<(), InvokeError> {
        let job = Job {
            request_id: self.request_id.clone(),
            payload: self.invocation.payload.clone(),
            invoked_arn: self.invoked_arn.clone(),
            client_context: self.invocation.client_context.clone(),
            trace_id: self.invocation.trace_id.clone(),
            log_tail: self.invocation.log_tail,
            queued: Instant::now(),
            attempts: 0,
            reply,
            permit: self.pool.permit()?,
        };
        self.pool.shared.handle.spawn(Arc::clone(&self.pool).run(job));
        Ok(())
    }

    /// Runs it on the thread that waits.
    pub(crate) fn run_here(
        self,
    ) -> Result<impl Future<Output = Result<InvocationOutput, InvokeError>> + Send + use<>, InvokeError> {
        let job = Job {
            request_id: self.request_id,
            payload: self.invocation.payload,
            invoked_arn: self.invoked_arn,
            client_context: self.invocation.client_context,
            trace_id: self.invocation.trace_id,
            log_tail: self.invocation.log_tail,
            queued: Instant::now(),
            attempts: 0,
            reply: Reply::Later,
            permit: self.pool.permit()?,
        };
        Ok(self.pool.call(job))
    }

    /// Tries an asynchronous event until it is placed, too old, or has failed too often. An event that finds no place in
    /// the function's concurrency has not been tried.
    pub(crate) async fn send_until_it_works(self, config: AsyncConfig, held: Held, ticket: Ticket) {
        // The clock of the wall, because an event may be older than the process.
        let age = || self.accepted_at.elapsed().unwrap_or_default();
        let (mut attempts, mut throttled) = (self.attempts, THROTTLED_PAUSE);
        if age() > config.age_max {
            let problem = "it is too old";
            self.give_up(Condition::EventAgeExceeded, attempts, problem, None, held, ticket).await;
            return;
        }
        loop {
            let mut left = Left { call: &self, shared: &held.shared, attempts, open: true };
            let (reply, answer) = oneshot::channel();
            let outcome = match self.send(Reply::Whole(reply)) {
                Ok(()) => answer.await.unwrap_or(Err(InvokeError::ShuttingDown)),
                Err(error) => Err(error),
            };
            let (problem, response, pause) = match outcome {
                Ok(InvocationOutput { function_error: None, .. }) => {
                    left.open = false;
                    ticket.done();
                    return;
                }
                // At once: no other thread will do it any more. What is kept is tried by the next process.
                Err(InvokeError::ShuttingDown) => {
                    left.open = false;
                    if !held.shared.queue.keeps() {
                        self.write_letter(&held.shared, Condition::RetriesExhausted, attempts, None);
                    }
                    return;
                }
                Err(error @ InvokeError::TooManyRequests) => {
                    let pause = throttled;
                    throttled = (throttled * 2).min(THROTTLED_PAUSE_MAX);
                    (error.to_string(), None, pause)
                }
                failed => {
                    let pauses = self.pool.shared.settings.retry_pauses;
                    let more = pauses.get(usize::from(attempts)).filter(|_| attempts < config.retries_max);
                    attempts += 1;
                    let pause = more.copied().unwrap_or(Duration::MAX);
                    match failed {
                        Ok(output) => {
                            let text = String::from_utf8_lossy(&output.payload).into_owned();
                            (text, Some(output.payload), pause)
                        }
                        Err(error) => (error.to_string(), None, pause),
                    }
                }
            };
            let ages = pause < Duration::MAX && age() + pause > config.age_max;
            left.attempts = attempts;
            if pause == Duration::MAX || ages {
                let condition = if ages { Condition::EventAgeExceeded } else { Condition::RetriesExhausted };
                left.open = false;
                drop(left);
                self.give_up(condition, attempts, &problem, response, held, ticket).await;
                return;
            }
            ticket.tried(attempts);
            tokio::time::sleep(pause).await;
        }
    }

    fn write_letter(&self, shared: &Shared, condition: Condition, attempts: u8, response: Option<&[u8]>) {
        let config = &self.pool.config;
        let function_arn = match &self.invoked_arn {
            Some(arn) => arn.clone(),
            None => format!("{}:{}", config.arn, config.version),
        };
        shared.dead_letters.add(&Letter {
            request_id: &self.request_id,
            function_arn,
            condition,
            attempts: attempts.into(),
            payload: &self.invocation.payload,
            executed_version: &config.version,
            response,
        });
    }

    async fn give_up(
        self,
        condition: Condition,
        attempts: u8,
        problem: &str,
        response: Option<Bytes>,
        held: Held,
        ticket: Ticket,
    ) {
        let (function, request_id) = (&self.pool.config.name, &self.request_id);
        tracing::error!(target: "function", function, request_id, "the event is given up: {problem}");
        let write = move || {
            self.write_letter(&held.shared, condition, attempts, response.as_deref());
            ticket.done();
        };
        // It fails only if the process ends, and then there is nothing to be done.
        let _ = tokio::task::spawn_blocking(write).await;
    }
}

/// An event that is not placed yet. When the functions' event loop ends under it and nothing keeps it, it is written to
/// the dead letters, for nobody will try it again.
struct Left<'c> {
    call: &'c QueuedCall,
    shared: &'c Shared,
    attempts: u8,
    open: bool,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if self.open && self.shared.ending.load(Ordering::Relaxed) && !self.shared.queue.keeps() {
            self.call.write_letter(self.shared, Condition::RetriesExhausted, self.attempts, None);
        }
    }
}

/// The room that an asynchronous event takes in memory.
pub(crate) struct Held {
    shared: Arc<Shared>,
    size: usize,
}

impl Held {
    pub(crate) fn take(shared: &Arc<Shared>, size: usize) -> Result<Self, InvokeError> {
        let before = shared.async_bytes.fetch_add(size, Ordering::Relaxed);
        let held = Self { shared: Arc::clone(shared), size };
        if before + size > ASYNC_BYTES_MAX { Err(InvokeError::TooManyRequests) } else { Ok(held) }
    }

    /// The room of an event that was accepted before, whatever there is.
    pub(crate) fn keep(shared: &Arc<Shared>, size: usize) -> Self {
        shared.async_bytes.fetch_add(size, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), size }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.async_bytes.fetch_sub(self.size, Ordering::Relaxed);
    }
}
