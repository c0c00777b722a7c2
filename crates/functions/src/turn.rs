//! One invocation of one process, from its event to its result, on the thread that invokes.
//!
//! A turn that is given up half-way (its caller has gone) goes on by itself in the functions' own event loop, because the
//! process goes on too: only then is it free again.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::FunctionConfig;
use crate::error::InvokeError;
use crate::link::{self, Frame};
use crate::outcome::{self, InvocationOutput, RESULT_BYTES_MAX, STREAM_BYTES_MAX};
use crate::pool::{Command, Job, Pool, Waiter};
use crate::process::End;
use crate::reply::Reply;
use crate::resident::memory_kib;
use crate::seat::{Desk, Seat};

/// How much output is taken in before a result is handed over, in bytes.
pub(crate) const DRAIN_BYTES: usize = 1024 * 1024;
/// How many processes may end before they have read an event until that is its answer.
pub(crate) const ATTEMPTS_MAX: u8 = 3;

/// How long a result that has been said aside may lie there, at most.
const LOOK_ASIDE: Duration = Duration::from_millis(1);

/// The signal that ends a process whatever it does.
const SIGKILL: i32 = 9;

/// What became of an invocation.
pub(crate) enum Outcome {
    /// It has a result.
    Finished(Box<Job>, Result<InvocationOutput, InvokeError>),
    /// The process ended before it had read the event: another may have it.
    Again(Box<Job>),
}

/// An invocation at work.
pub(crate) struct Turn {
    pool: Arc<Pool>,
    /// Both there until the turn has come to its end.
    held: Option<(Seat, Box<Job>)>,
    /// What is left of its event, and of those that are sent with it.
    unsent: VecDeque<Bytes>,
    began: Instant,
    /// Where the pieces of a streamed result go; none for a caller who wants it whole.
    sink: Option<mpsc::Sender<Bytes>>,
    pieces: BytesMut,
    streamed: u64,
    /// What the caller gets once the handler is done; he has it already unless he waits for this turn itself.
    ended: Option<InvocationOutput>,
    /// Its caller has gone.
    alone: bool,
    /// The process was being ended before this began.
    doomed: bool,
}

impl Turn {
    pub(crate) fn new(pool: &Arc<Pool>, mut seat: Seat, job: Box<Job>) -> Self {
        let now = Instant::now();
        let config = &pool.config;
        let sent = seat.sent.take().is_some();
        // A handler whose event was sent before may have begun, whatever becomes of the process.
        let doomed = !seat.desk.begin(now) && !sent;
        seat.desk.logs().begin(&job.request_id, &config.version, job.log_tail);
        let unsent = if sent { VecDeque::new() } else { events(&seat, &job, config) };
        Self {
            pool: Arc::clone(pool),
            unsent,
            held: Some((seat, job)),
            began: now,
            sink: None,
            pieces: BytesMut::new(),
            streamed: 0,
            ended: None,
            alone: false,
            doomed,
        }
    }

    /// Runs it to its end. None only if it has come to its end already.
    pub(crate) async fn run(mut self) -> Option<Outcome> {
        let (mut result, mut unread): (Option<InvocationOutput>, _) = (None, false);
        if self.doomed || self.send().await.is_err() {
            unread = true;
        } else {
            while result.is_none() {
                match self.next().await {
                    Ok(Frame::Unread) => {
                        unread = true;
                        break;
                    }
                    Ok(Frame::GivenBack) => {
                        let ahead = self.held.as_mut().map(|(seat, _)| std::mem::take(&mut seat.ahead));
                        self.pool.wait_again(ahead.unwrap_or_default());
                    }
                    Ok(frame) => result = self.on_frame(frame).await,
                    Err(error) => {
                        // The kernel resets a connection that is closed with unread bytes, by which an event that was
                        // never seen is told from one whose handler ended the process.
                        unread = error.kind() == std::io::ErrorKind::ConnectionReset;
                        break;
                    }
                }
            }
        }
        match result {
            Some(output) => {
                let (seat, job) = self.held.take()?;
                let is_usable = seat.desk.finish();
                // Those whose events the process has see to its end themselves.
                if is_usable || !seat.ahead.is_empty() {
                    self.pool.give_back(seat, Some(self.began.elapsed()));
                } else {
                    self.pool.lose();
                }
                Some(Outcome::Finished(job, Ok(output)))
            }
            None => {
                let end = self.end().await?;
                let (mut seat, job) = self.held.take()?;
                self.pool.wait_again(std::mem::take(&mut seat.ahead));
                self.pool.lose();
                Some(self.lost(&seat.desk, job, &end, unread))
            }
        }
    }

    async fn send(&mut self) -> std::io::Result<()> {
        let Some((Seat { desk, link: Some(link), .. }, _)) = &mut self.held else { return Err(ended()) };
        let ends = desk.ends();
        if desk.end().is_some() {
            return Err(ended());
        }
        tokio::select! {
            biased;
            sent = link.send(&mut self.unsent) => sent,
            () = ends => Err(ended()),
        }
    }

    /// The next thing that the process says.
    async fn next(&mut self) -> std::io::Result<Frame> {
        let Some((Seat { desk, link: Some(link), ahead, .. }, _)) = &mut self.held else {
            return Err(ended());
        };
        loop {
            if let Some(frame) = link.frame()? {
                return Ok(frame);
            }
            let ends = desk.ends();
            if desk.end().is_some() {
                // What it said before it ended still counts.
                let more = link.read_now();
                if link.read_aside()? || more {
                    continue;
                }
                return Err(ended());
            }
            let is_followed = !ahead.is_empty();
            let read = tokio::select! {
                biased;
                read = link.read() => read,
                () = ends => Ok(()),
                // Made only where it is waited for: `select!` evaluates what stands here in any case.
                () = async { tokio::time::sleep(LOOK_ASIDE).await }, if is_followed => Ok(()),
            };
            // What was said aside was said before.
            let said_aside = is_followed && link.read_aside()?;
            if !said_aside {
                read?;
            }
        }
    }

    fn output(&self, payload: Bytes, failed: bool) -> Option<InvocationOutput> {
        let (seat, job) = self.held.as_ref()?;
        Some(output(&seat.desk, &self.pool.config, job, payload, failed, self.began))
    }

    /// The result if the process is done.
    async fn on_frame(&mut self, frame: Frame) -> Option<InvocationOutput> {
        match frame {
            Frame::Result(body) => self.output(body, false),
            Frame::Error(body) | Frame::Broken(body) => self.output(body, true),
            Frame::TooLarge => self.output(outcome::result_too_large(), true),
            Frame::Begin(content_type) => {
                let (_, job) = self.held.as_mut()?;
                self.sink = job.reply.begin_stream(&self.pool.config.version, Some(content_type));
                None
            }
            Frame::Piece(piece) => {
                self.streamed = self.streamed.saturating_add(piece.len() as u64);
                match &self.sink {
                    // A caller who has gone is no reason to disturb the function.
                    Some(sink) if self.streamed <= STREAM_BYTES_MAX => drop(sink.send(piece).await),
                    None if self.streamed <= RESULT_BYTES_MAX as u64 => self.pieces.extend_from_slice(&piece),
                    None => self.pieces.clear(),
                    Some(_) => {}
                }
                None
            }
            Frame::End => {
                let limit = if self.sink.is_some() { STREAM_BYTES_MAX } else { RESULT_BYTES_MAX as u64 };
                let (payload, failed) = match self.streamed > limit {
                    true => (outcome::result_too_large(), true),
                    false => (std::mem::take(&mut self.pieces).freeze(), false),
                };
                let output = self.output(payload, failed)?;
                self.sink = None;
                // The caller need not wait until the handler has tidied up.
                let (_, job) = self.held.as_mut()?;
                std::mem::replace(&mut job.reply, Reply::Later).send(Ok(output.clone()));
                self.ended = Some(output);
                None
            }
            Frame::Ready => self.ended.take(),
            // Nothing that belongs here.
            Frame::InitError(_) | Frame::Unread | Frame::GivenBack => None,
        }
    }

    /// How the process ended; it does, because its connection has.
    async fn end(&self) -> Option<End> {
        let (seat, _) = self.held.as_ref()?;
        let _ = seat.desk.orders.send(Command::Closed);
        Some(seat.desk.wait_for_end().await)
    }

    /// The answer of a process that has ended on the way.
    fn lost(&mut self, desk: &Desk, mut job: Box<Job>, end: &End, unread: bool) -> Outcome {
        // The result was whole before.
        if let Some(output) = self.ended.take() {
            return Outcome::Finished(job, Ok(output));
        }
        // What an earlier invocation has done to the process is no answer to this one.
        let spared = self.doomed || matches!(end, End::Exited(_) | End::Retired | End::OutOfMemory);
        if unread && spared && job.attempts < ATTEMPTS_MAX {
            job.attempts += 1;
            return Outcome::Again(job);
        }
        // One whose result came in the very moment in which its time was over may have taken this one's process with it.
        let killed = End::Exited(ExitStatus::from_raw(SIGKILL));
        let is_late = self.began.elapsed() >= self.pool.config.timeout;
        let end = if matches!(end, End::TimedOut) && !is_late { &killed } else { end };
        match failure(desk, &self.pool.config, &job.request_id, end) {
            Some(payload) => {
                let output = output(desk, &self.pool.config, &job, payload, true, self.began);
                Outcome::Finished(job, Ok(output))
            }
            None => Outcome::Finished(job, Err(InvokeError::ShuttingDown)),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some((seat, job)) = self.held.take() else { return };
        if self.alone {
            return;
        }
        let pool = Arc::clone(&self.pool);
        let rest = Self {
            pool: Arc::clone(&pool),
            held: Some((seat, job)),
            unsent: std::mem::take(&mut self.unsent),
            began: self.began,
            sink: self.sink.take(),
            pieces: std::mem::take(&mut self.pieces),
            streamed: self.streamed,
            ended: self.ended.take(),
            alone: true,
            doomed: self.doomed,
        };
        pool.shared.handle.spawn(async move {
            // Nobody waits for it; an event that no process has read is not for another to read.
            drop(rest.run().await);
        });
    }
}

fn ended() -> std::io::Error {
    std::io::ErrorKind::BrokenPipe.into()
}

/// The payload for an invocation whose process came to its end; none if the gateway itself ended it.
pub(crate) fn failure(desk: &Desk, config: &FunctionConfig, id: &str, end: &End) -> Option<Bytes> {
    let mut logs = desk.logs();
    let payload = match end {
        End::TimedOut => {
            let seconds = config.timeout.as_secs_f64();
            logs.platform(format_args!("{id} Task timed out after {seconds:.2} seconds"));
            outcome::timed_out(id, config.timeout)
        }
        End::OutOfMemory => outcome::out_of_memory(id),
        End::Exited(status) => outcome::exited(id, *status),
        End::Retired | End::InitError(_) => return None,
    };
    let text = String::from_utf8_lossy(&payload);
    tracing::error!(target: "function", function = config.name, request_id = id, "{text}");
    logs.platform(format_args!("{text}"));
    drop(text);
    Some(payload)
}

/// What the caller gets, with the log of the invocation complete.
pub(crate) fn output(
    desk: &Desk,
    config: &FunctionConfig,
    job: &Job,
    payload: Bytes,
    failed: bool,
    began: Instant,
) -> InvocationOutput {
    let mut logs = desk.logs();
    logs.drain(DRAIN_BYTES);
    logs.finish();
    if logs.is_reported() {
        let id = &job.request_id;
        let duration = began.elapsed().as_secs_f64() * 1000.0;
        let used = memory_kib(desk.pid, "VmHWM:").unwrap_or_default().div_ceil(1024);
        let init = desk.clock().init_time.take();
        let init = init.map_or_else(String::new, |time| {
            format!("Init Duration: {:.2} ms\t", time.as_secs_f64() * 1000.0)
        });
        logs.platform(format_args!("END RequestId: {id}"));
        logs.platform(format_args!(
            "REPORT RequestId: {id}\tDuration: {duration:.2} ms\tBilled Duration: {:.0} ms\t\
             Memory Size: {} MB\tMax Memory Used: {used} MB\t{init}",
            duration.ceil(),
            config.memory_mb,
        ));
    }
    InvocationOutput {
        payload,
        function_error: failed.then(|| "Unhandled".to_owned()),
        executed_version: config.version.clone(),
        log_tail: job.log_tail.then(|| logs.tail()),
    }
}

/// An event and those that are sent with it.
fn events(seat: &Seat, job: &Job, config: &FunctionConfig) -> VecDeque<Bytes> {
    let mut following = seat.ahead.len();
    let deadline = u64::try_from(deadline_ms(config.timeout)).unwrap_or(u64::MAX);
    let mut unsent = VecDeque::with_capacity(3 * (1 + following));
    let own = (event_lines(job, config), job.payload.clone());
    let others = seat.ahead.iter().filter_map(Waiter::event);
    for (lines, payload) in
        std::iter::once(own).chain(others.map(|other| (other.lines.clone(), other.payload.clone())))
    {
        unsent.extend([link::event_start(&lines, &payload, following, deadline), lines, payload]);
        following = following.saturating_sub(1);
    }
    unsent
}

fn event_lines(job: &Job, config: &FunctionConfig) -> Bytes {
    link::event_lines([
        job.request_id.as_str(),
        job.invoked_arn.as_deref().unwrap_or(&config.arn),
        job.trace_id.as_deref().unwrap_or_default(),
        job.client_context.as_deref().unwrap_or_default(),
    ])
}

/// What a process is sent with the event of another.
pub(crate) struct Event {
    pub(crate) request_id: String,
    lines: Bytes,
    payload: Bytes,
}

impl Event {
    pub(crate) fn new(job: &Job, config: &FunctionConfig) -> Self {
        let (lines, payload) = (event_lines(job, config), job.payload.clone());
        Self { request_id: job.request_id.clone(), lines, payload }
    }
}

/// When an invocation that begins now has to be done, in ms since 1970.
pub(crate) fn deadline_ms(timeout: Duration) -> u128 {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + timeout).as_millis()
}
