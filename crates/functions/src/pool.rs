//! The processes of one function and the invocations that wait for them.
//!
//! Callers on any thread take the [`Seat`] of an idle process (the one used last, so that the others can age and go), under
//! a lock that is held for a few instructions, and put it back when they are done. Without an idle one they queue, and a
//! further process is started once waiting has lasted longer than [`PATIENCE`] and the queue moves too slowly to be gone
//! within [`QUEUE_TICKS`] of it: with fast handlers a few processes serve many callers, with slow ones there is soon one
//! for each, as on Lambda. Where processes only take turns on the same cores (`contention`), no more are added, and only
//! some of those that are there are used: the same work costs less then, because less has to be fetched into caches. And
//! where handlers are quick besides, a process is sent several events at once (`ahead`).

mod generations;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::ahead::{self, Pace};
use crate::config::FunctionConfig;
use crate::contention::{self, Contention};
use crate::error::InvokeError;
use crate::fingerprint::{self, Fingerprint};
use crate::functions::Shared;
use crate::link::Link;
use crate::outcome::{InitFailure, InvocationOutput};
use crate::process::{self, Role};
use crate::reply::Reply;
use crate::seat::Seat;
use crate::turn::{Event, Outcome, Turn};

/// How long an invocation waits for a busy process before another is started.
const PATIENCE: Duration = Duration::from_millis(10);
/// In how many times [`PATIENCE`] a queue has to be worked off at its present pace for no process to be added.
const QUEUE_TICKS: usize = 5;
/// How long no process is added after one failed to start while others serve.
const GROWTH_PAUSE: Duration = Duration::from_secs(1);
/// How often use alone makes the pool look at its files, where the file system reports no changes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// An invocation on its way to a process.
pub(crate) struct Job {
    pub(crate) request_id: String,
    pub(crate) payload: Bytes,
    pub(crate) invoked_arn: Option<String>,
    pub(crate) client_context: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) log_tail: bool,
    pub(crate) queued: Instant,
    /// How many processes ended without having read it.
    pub(crate) attempts: u8,
    pub(crate) reply: Reply,
    pub(crate) permit: Permit,
}

impl Job {
    /// Whether its event may be sent to a process that has not answered an earlier one. The log of an invocation that its
    /// caller wants to see has to be its own alone.
    fn may_be_sent_ahead(&self) -> bool {
        !self.log_tail && self.attempts == 0 && self.payload.len() <= ahead::EVENT_BYTES_MAX
    }

    /// Answers the caller, if he still waits.
    pub(crate) fn finish(self, result: Result<InvocationOutput, InvokeError>) {
        // First, so that a caller who comes again at once finds his place free.
        drop(self.permit);
        self.reply.send(result);
    }
}

/// One place in the function's concurrency.
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a process is told.
pub(crate) enum Command {
    /// Run this: to one that keeps its connections to itself.
    Work(Box<Job>),
    /// An invocation has begun: see to its limits.
    Watch,
    /// Its connection is closed, so it has ended or has to.
    Closed,
    /// A candidate is accepted.
    Serve,
    /// End, unless busy.
    Leave,
    /// End.
    Die,
}

/// Both ends of what a process is told.
pub(crate) type Orders = (mpsc::UnboundedSender<Command>, mpsc::UnboundedReceiver<Command>);

struct Live {
    orders: mpsc::UnboundedSender<Command>,
    generation: u64,
    ready: bool,
    /// Known once it has started.
    pid: Option<u32>,
}

/// Somebody who waits for a process.
pub(crate) struct Waiter {
    seat: oneshot::Sender<Result<Seat, Refused>>,
    since: Instant,
    home: ThreadId,
    /// Made only where a process may be sent it together with others.
    event: Option<Box<Event>>,
}

impl Waiter {
    pub(crate) fn event(&self) -> Option<&Event> {
        self.event.as_deref()
    }

    /// The event if it may be sent together with others that this thread sends.
    pub(crate) fn sendable(&self) -> Option<&Event> {
        self.event().filter(|_| self.home == thread::current().id() && !self.seat.is_closed())
    }
}

/// Why there is no process.
#[derive(Debug)]
pub(crate) enum Refused {
    /// None gets ready.
    Start(Arc<InitFailure>),
    ShuttingDown,
}

#[derive(Default)]
struct State {
    live: HashMap<u64, Live>,
    /// The one used last is the last.
    idle: Vec<Seat>,
    /// How many seats are neither idle nor with a process that is not ready; those of foreign executables only on their
    /// way.
    in_use: usize,
    contention: Contention,
    pace: Pace,
    waiting: VecDeque<Waiter>,
    next_id: u64,
    generation: u64,
    /// The files of the generation; none if they are not watched.
    fingerprint: Option<Fingerprint>,
    /// Content that failed to start, so that it is reported once.
    broken: Option<u64>,
    growing: bool,
    /// Invocations that processes have taken from the queue since it was last looked at.
    taken: usize,
    growth_paused: Option<Instant>,
    looked: Option<Instant>,
    retired: bool,
    closed: bool,
    #[cfg(test)]
    sent_ahead: usize,
}

pub(crate) struct Pool {
    pub(crate) config: FunctionConfig,
    pub(crate) shared: Arc<Shared>,
    pub(crate) changed: Arc<Notify>,
    in_flight: Arc<AtomicUsize>,
    state: Mutex<State>,
}

impl Pool {
    pub(crate) fn new(config: FunctionConfig, shared: Arc<Shared>) -> Arc<Self> {
        let mut state = State::default();
        let mut dirs = Vec::new();
        if config.watch {
            let (fingerprint, found) = fingerprint::take(&config.code, config.runtime);
            state.fingerprint = Some(fingerprint);
            dirs = found;
        }
        let pool = Arc::new(Self {
            config,
            shared,
            changed: Arc::new(Notify::new()),
            in_flight: Arc::default(),
            state: Mutex::new(state),
        });
        if pool.config.watch {
            pool.shared.watcher.watch(&pool.config.code, pool.config.runtime, &dirs, &pool.changed);
            pool.shared.handle.spawn(generations::follow(Arc::downgrade(&pool), Arc::clone(&pool.changed)));
        }
        pool
    }

    /// Takes all handlers for quick ones that compute, and gives how many events have been sent ahead.
    #[cfg(test)]
    pub(crate) fn expect_quick_handlers(&self) -> usize {
        let mut state = self.lock();
        state.contention = Contention::computing(1);
        state.pace = Pace::default();
        state.pace.learn(Duration::from_micros(1));
        state.sent_ahead
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the function's concurrency.
    pub(crate) fn permit(&self) -> Result<Permit, InvokeError> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(&self.in_flight));
        if before >= self.config.concurrency { Err(InvokeError::TooManyRequests) } else { Ok(permit) }
    }

    /// Takes a place for what runs already.
    fn permit_late(&self) -> Permit {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Permit(Arc::clone(&self.in_flight))
    }

    /// Runs an invocation and tells its caller.
    pub(crate) async fn run(self: Arc<Self>, job: Job) {
        if let Some((job, result)) = self.attend(job).await {
            job.finish(result);
        }
    }

    /// Runs an invocation and gives its result. Dropping this gives up waiting: the function goes on.
    pub(crate) async fn call(self: Arc<Self>, mut job: Job) -> Result<InvocationOutput, InvokeError> {
        if !self.config.runtime.is_foreign() {
            let attended = self.attend(job).await;
            return attended.map_or(Err(InvokeError::ShuttingDown), |(_, result)| result);
        }
        let (reply, answer) = oneshot::channel();
        job.reply = Reply::Whole(reply);
        self.run(job).await;
        answer.await.unwrap_or(Err(InvokeError::ShuttingDown))
    }

    /// Takes an invocation to its result; none where the task of a process answers it.
    async fn attend(self: &Arc<Self>, job: Job) -> Option<(Box<Job>, Result<InvocationOutput, InvokeError>)> {
        let mut job = Box::new(job);
        loop {
            let mut seat = match self.seat(&job).await {
                Ok(seat) => seat,
                Err(refused) => {
                    let result = self.refuse(&job, &refused);
                    return Some((job, result));
                }
            };
            // A caller who gave up while he waited needs no invocation, if it has not begun.
            if job.reply.is_closed() && seat.sent.is_none() {
                self.give_back(seat, None);
                return None;
            }
            let Some(link) = seat.link.take() else {
                let sent = seat.desk.orders.send(Command::Work(job));
                // The task of the process gives a seat of its own for each invocation; this one is used up.
                self.lose();
                match sent {
                    Err(mpsc::error::SendError(Command::Work(back))) => job = back,
                    _ => return None,
                }
                continue;
            };
            match link.move_here() {
                Ok(link) => seat.link = Some(link),
                Err(_) => {
                    let _ = seat.desk.orders.send(Command::Closed);
                    self.lose();
                    continue;
                }
            }
            match Turn::new(self, seat, job).run().await? {
                Outcome::Finished(job, result) => return Some((job, result)),
                Outcome::Again(back) => job = back,
            }
        }
    }

    /// Takes a process that is idle, or waits for one.
    async fn seat(self: &Arc<Self>, job: &Job) -> Result<Seat, Refused> {
        let waiting = {
            let mut state = self.lock();
            if state.closed {
                return Err(Refused::ShuttingDown);
            }
            if self.config.watch && state.looked.is_none_or(|at| job.queued - at > LOOK_INTERVAL) {
                state.looked = Some(job.queued);
                self.changed.notify_one();
            }
            if state.waiting.is_empty()
                && state.in_use < state.contention.in_use_max
                && let Some(seat) = take_idle(&mut state.idle)
            {
                state.in_use += 1;
                return Ok(seat);
            }
            let (seat, given) = oneshot::channel();
            let event = (state.contention.is_computing() && state.pace.is_quick() && job.may_be_sent_ahead())
                .then(|| Box::new(Event::new(job, &self.config)));
            let waiter = Waiter { seat, since: job.queued, home: thread::current().id(), event };
            // What another process has lost has waited before.
            if job.attempts > 0 {
                state.waiting.push_front(waiter);
            } else {
                state.waiting.push_back(waiter);
            }
            self.grow(&mut state);
            Waiting { given, pool: self }
        };
        waiting.until_given().await
    }

    /// Puts a process back that can take its next invocation, or hands it to who waits for one. `took` is how long the one
    /// before has taken.
    pub(crate) fn give_back(self: &Arc<Self>, seat: Seat, took: Option<Duration>) {
        let mut state = self.lock();
        if let Some(took) = took {
            let work = state.contention.work_of(took, state.in_use);
            state.pace.learn(work);
        }
        state.in_use = state.in_use.saturating_sub(1);
        self.place(&mut state, seat);
    }

    /// The seat of a process has gone with it.
    pub(crate) fn lose(self: &Arc<Self>) {
        let mut state = self.lock();
        state.in_use = state.in_use.saturating_sub(1);
        self.hand_out(&mut state);
    }

    /// Hands idle processes to those who wait, as many as may be used.
    fn hand_out(self: &Arc<Self>, state: &mut State) {
        while state.in_use < state.contention.in_use_max
            && !state.waiting.is_empty()
            && let Some(seat) = take_idle(&mut state.idle)
        {
            self.place(state, seat);
        }
    }

    /// Queues those again whose events a process was sent and did not begin.
    pub(crate) fn wait_again(self: &Arc<Self>, ahead: VecDeque<Waiter>) {
        if ahead.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.closed {
            for waiter in ahead {
                drop(waiter.seat.send(Err(Refused::ShuttingDown)));
            }
            return;
        }
        for mut waiter in ahead.into_iter().rev() {
            // The next process has it alone.
            waiter.event = None;
            state.waiting.push_front(waiter);
        }
        self.hand_out(&mut state);
        if !state.waiting.is_empty() {
            self.grow(&mut state);
        }
    }

    /// Adds a process that can take its first invocation.
    pub(crate) fn give(self: &Arc<Self>, seat: Seat) {
        self.place(&mut self.lock(), seat);
    }

    fn place(self: &Arc<Self>, state: &mut State, mut seat: Seat) {
        // Whatever becomes of the process, those whose events it has come next.
        if let Some(Waiter { seat: next, event, .. }) = seat.ahead.pop_front() {
            state.in_use += 1;
            #[cfg(test)]
            {
                state.sent_ahead += 1;
            }
            seat.sent = Some(event.map(|event| event.request_id).unwrap_or_default());
            if let Err(Ok(back)) = next.send(Ok(seat)) {
                self.finish_alone(back);
            }
            return;
        }
        let current = state.generation;
        let wanted = state.live.get(&seat.desk.id).is_some_and(|process| process.generation == current);
        while wanted
            && state.in_use < state.contention.in_use_max
            && let Some(waiter) = state.waiting.pop_front()
        {
            if waiter.sendable().is_some() && seat.link.as_ref().is_some_and(Link::takes_several) {
                seat.ahead = ahead::choose(&mut state.waiting, state.in_use + 1);
            }
            match waiter.seat.send(Ok(seat)) {
                Ok(()) => {
                    state.taken += 1;
                    state.in_use += 1;
                    return;
                }
                Err(Ok(back)) => seat = back,
                // What is sent is what comes back.
                Err(Err(_)) => return,
            }
            for waiter in std::mem::take(&mut seat.ahead).into_iter().rev() {
                state.waiting.push_front(waiter);
            }
        }
        if wanted && (!state.retired || !state.waiting.is_empty()) {
            state.idle.push(seat);
        } else {
            let _ = seat.desk.orders.send(Command::Leave);
        }
    }

    /// Sees to the end of an invocation whose event a process has, and whose caller has gone.
    fn finish_alone(self: &Arc<Self>, seat: Seat) {
        let job = Job {
            request_id: seat.sent.clone().unwrap_or_default(),
            payload: Bytes::new(),
            invoked_arn: None,
            client_context: None,
            trace_id: None,
            log_tail: false,
            queued: Instant::now(),
            attempts: u8::MAX,
            reply: Reply::Later,
            permit: self.permit_late(),
        };
        let pool = Arc::clone(self);
        self.shared.handle.spawn(async move {
            let mut seat = seat;
            seat.link = match seat.link.take().map(Link::move_here) {
                Some(Ok(link)) => Some(link),
                _ => None,
            };
            drop(Turn::new(&pool, seat, Box::new(job)).run().await);
        });
    }

    /// Takes back an invocation that did not reach its process.
    pub(crate) fn take_back(self: &Arc<Self>, job: Job) {
        self.shared.handle.spawn(Arc::clone(self).run(job));
    }

    /// The result where there is no process.
    fn refuse(&self, job: &Job, refused: &Refused) -> Result<InvocationOutput, InvokeError> {
        match refused {
            Refused::ShuttingDown => Err(InvokeError::ShuttingDown),
            Refused::Start(failure) => match &**failure {
                InitFailure::NotStarted(reason) => {
                    Err(InvokeError::Start { function: self.config.name.clone(), reason: reason.clone() })
                }
                reported => Ok(InvocationOutput {
                    payload: reported.payload(&job.request_id),
                    function_error: Some("Unhandled".to_owned()),
                    executed_version: self.config.version.clone(),
                    log_tail: job.log_tail.then(String::new),
                }),
            },
        }
    }

    /// Starts a process if there is none at all.
    pub(crate) fn warm(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.live.is_empty() {
            self.start_one(&mut state);
        }
    }

    fn grow(self: &Arc<Self>, state: &mut State) {
        if state.live.is_empty() {
            self.start_one(state);
        } else if !state.growing {
            state.growing = true;
            state.taken = 0;
            self.shared.handle.spawn(Arc::clone(self).keep_growing());
        }
    }

    async fn keep_growing(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PATIENCE).await;
            // What the kernel tells takes longer than callers should wait for the lock.
            let seen = self.pids_to_look_at().map(|pids| contention::look_at(&pids));
            let mut state = self.lock();
            // Callers who gave up need no process.
            state.waiting.retain(|waiter| !waiter.seat.is_closed());
            let Some(waited) = state.waiting.front().map(|first| first.since.elapsed()) else {
                state.growing = false;
                return;
            };
            if let Some(seen) = seen {
                let in_use = state.in_use;
                state.contention.learn(&seen, in_use);
                // There may be room for more now.
                self.hand_out(&mut state);
            }
            let taken = std::mem::take(&mut state.taken);
            let starting = state.live.values().filter(|process| !process.ready).count();
            let paused = state.growth_paused.is_some_and(|until| Instant::now() < until);
            if waited >= PATIENCE
                && taken * QUEUE_TICKS < state.waiting.len()
                && !paused
                && state.live.len() < self.shared.settings.processes_max.min(state.contention.in_use_max)
                && starting < state.waiting.len()
                && starting < self.shared.starts_max
            {
                self.start_one(&mut state);
            }
        }
    }

    /// The processes, if it is time to look at what they do.
    fn pids_to_look_at(&self) -> Option<Vec<u32>> {
        let state = self.lock();
        state.contention.is_due().then(|| state.live.values().filter_map(|process| process.pid).collect())
    }

    fn enlist(state: &mut State, generation: u64) -> (u64, Orders) {
        let (orders, received) = mpsc::unbounded_channel();
        let id = state.next_id;
        state.next_id += 1;
        state.live.insert(id, Live { orders: orders.clone(), generation, ready: false, pid: None });
        (id, (orders, received))
    }

    fn start_one(self: &Arc<Self>, state: &mut State) {
        let (id, orders) = Self::enlist(state, state.generation);
        let pool = Arc::clone(self);
        self.shared.handle.spawn(async move {
            let permit = Arc::clone(&pool.shared.starts).acquire_owned().await.ok();
            if pool.settle_generation(id).await {
                process::run(id, pool, Role::Serve, orders, permit).await;
            }
        });
    }

    /// A process has started, perhaps as a candidate.
    pub(crate) fn started(&self, id: u64, pid: u32) {
        if let Some(process) = self.lock().live.get_mut(&id) {
            process.pid = Some(pid);
        }
    }

    /// A process is ready for its first invocation.
    pub(crate) fn ready(&self, id: u64) {
        if let Some(process) = self.lock().live.get_mut(&id) {
            process.ready = true;
        }
    }

    /// Whether a process that has been idle for long may go.
    pub(crate) fn reap(&self, id: u64) -> bool {
        let mut state = self.lock();
        let ready = state.live.values().filter(|process| process.ready).count();
        if ready <= self.shared.settings.processes_min {
            return false;
        }
        let before = state.idle.len();
        state.idle.retain(|seat| seat.desk.id != id);
        // An invocation may be on its way to it.
        state.idle.len() < before
    }

    /// A process has ended, or is about to.
    pub(crate) fn gone(&self, id: u64) {
        let mut state = self.lock();
        state.live.remove(&id);
        state.idle.retain(|seat| seat.desk.id != id);
    }

    /// Starts a process for invocations that wait while none is left.
    pub(crate) fn revive(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.waiting.is_empty() {
            self.grow(&mut state);
        }
    }

    /// A process did not get ready. While others serve, that is a line in the log; else it is the answer to all who waited
    /// for it.
    pub(crate) async fn start_failed(self: &Arc<Self>, failure: InitFailure) {
        tracing::error!(target: "function", function = self.config.name, "cannot start: {}", failure.summary());
        let (waiting, known) = {
            let mut state = self.lock();
            if !state.live.is_empty() {
                state.growth_paused = Some(Instant::now() + GROWTH_PAUSE);
                self.changed.notify_one();
                return;
            }
            (std::mem::take(&mut state.waiting), state.fingerprint.as_ref().map(|known| known.stat))
        };
        // The file may have been read half-written: then there is a second try, and the files decide how many. Looking at
        // many files takes long, so nothing else waits for it.
        if let Some(known) = known {
            let (root, runtime) = (self.config.code.clone(), self.config.runtime);
            let stat = tokio::task::spawn_blocking(move || fingerprint::stat(&root, runtime)).await;
            if stat.is_ok_and(|stat| stat != known) {
                let mut state = self.lock();
                if !state.closed {
                    waiting.into_iter().rev().for_each(|waiter| state.waiting.push_front(waiter));
                }
                drop(state);
                self.revive();
                return;
            }
        }
        let failure = Arc::new(failure);
        for waiter in waiting {
            drop(waiter.seat.send(Err(Refused::Start(Arc::clone(&failure)))));
        }
    }

    /// Serves what has come in, then nothing more: another pool has taken the function's place.
    pub(crate) fn retire(&self) {
        let mut state = self.lock();
        state.retired = true;
        for seat in std::mem::take(&mut state.idle) {
            let _ = seat.desk.orders.send(Command::Leave);
        }
        drop(state);
        self.shared.watcher.forget(&self.changed);
        self.changed.notify_one();
    }

    /// Ends everything at once.
    pub(crate) fn close(&self) {
        self.retire();
        let mut state = self.lock();
        state.closed = true;
        for process in state.live.values() {
            let _ = process.orders.send(Command::Die);
        }
        for waiter in std::mem::take(&mut state.waiting) {
            drop(waiter.seat.send(Err(Refused::ShuttingDown)));
        }
    }
}

/// The idle process that this thread's event loop watches and that was used last, or else any.
fn take_idle(idle: &mut Vec<Seat>) -> Option<Seat> {
    let at_home = |seat: &Seat| seat.link.as_ref().is_none_or(Link::is_at_home);
    let place = idle.iter().rposition(at_home).or_else(|| idle.len().checked_sub(1))?;
    Some(idle.remove(place))
}

/// A place in the queue. A process that is given to one who no longer waits is given to another.
struct Waiting<'p> {
    given: oneshot::Receiver<Result<Seat, Refused>>,
    pool: &'p Arc<Pool>,
}

impl Waiting<'_> {
    async fn until_given(mut self) -> Result<Seat, Refused> {
        (&mut self.given).await.unwrap_or(Err(Refused::ShuttingDown))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.given.close();
        if let Ok(Ok(seat)) = self.given.try_recv() {
            if seat.sent.is_some() {
                self.pool.finish_alone(seat);
            } else {
                self.pool.give_back(seat, None);
            }
        }
    }
}
