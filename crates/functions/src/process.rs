//! One process of a function: started, watched, and killed with its children.
//!
//! A process has one owner, the task in [`run`]. With our own bootstraps it only sees to the start and to the limits, while
//! invocations talk to the process themselves (`turn`). A foreign executable is driven here through the Runtime API: it is
//! either starting, idle, busy with one invocation, or finishing (the result is out, and the runtime has yet to ask for
//! the next event). Every way out of that task ends in the same place: the group is killed, and an invocation that is
//! still open is answered.

use std::ffi::OsString;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use crate::config::{FunctionConfig, Runtime};
use crate::environment::{Instance, environment};
use crate::guardian::{self, Group};
use crate::interpreter::command_line;
use crate::link::{Frame, Link};
use crate::logs::{Drained, Logs, Output};
use crate::outcome::{self, InitFailure};
use crate::pool::{Command as Order, Job, Orders, Pool};
use crate::resident;
use crate::runtime_api::{self, Answer, Call, CallKind};
use crate::seat::{Desk, Seat};
use crate::turn::{self, ATTEMPTS_MAX, DRAIN_BYTES};

/// How long the initialisation may take on top of the function's timeout. Lambda gives it 10 s, and then the
/// invocation's own time for a second try.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// How often the memory of a busy process is looked at.
const MEMORY_CHECK: Duration = Duration::from_millis(100);
/// How long a process that has closed its connection has to end by itself. Python closes it early in its own end.
const CLOSING: Duration = Duration::from_secs(2);
/// How long the end of a process's output and connection is waited for once it has exited: its children may hold both.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// After how many looks at the memory of a process that is not busy then its memory is checked as well.
const LOOKS_MAX: u32 = 10;

/// What a starting process is to do once it is ready.
pub(crate) enum Role {
    /// Serve at once.
    Serve,
    /// Wait to be accepted: the code is new, and the old still serves.
    Candidate(oneshot::Sender<Result<(), InitFailure>>),
}

/// How a process came to its end.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// Not wanted any more.
    Retired,
    Exited(ExitStatus),
    /// The time of the initialisation or of the invocation is over.
    TimedOut,
    OutOfMemory,
    InitError(Bytes),
}

enum State {
    Starting(Option<Role>),
    /// Ready, and waiting for acceptance.
    Parked(Line),
    /// Invocations talk to it themselves.
    Seated,
    Idle(oneshot::Sender<Answer>),
    Busy(Box<Job>),
    Finishing,
}

/// How a process that is ready is talked to.
enum Line {
    /// One of our own bootstraps.
    Own(Link),
    /// What the Runtime API answers to `next`.
    Foreign(oneshot::Sender<Answer>),
}

struct Process {
    id: u64,
    pool: Arc<Pool>,
    child: Child,
    pid: u32,
    log_stream: String,
    group: Group,
    desk: Arc<Desk>,
    output: Output,
    /// Until the process is ready.
    link: Option<Link>,
    calls: mpsc::Receiver<Call>,
    orders: mpsc::UnboundedReceiver<Order>,
    state: State,
    started: Instant,
    /// When the state must have changed.
    deadline: Instant,
    invoked: Instant,
    memory_checked: Instant,
    /// When the limits of an invocation on the process's own line are looked at next; none while there is none.
    look: Option<Instant>,
    looks: u32,
    /// The process closed its connection before it had read the event.
    event_unread: bool,
    /// Starting takes a core; only so many processes do it at a time.
    start_permit: Option<OwnedSemaphorePermit>,
}

/// Runs one process from its start to its end.
pub(crate) async fn run(
    id: u64,
    pool: Arc<Pool>,
    role: Role,
    orders: Orders,
    start_permit: Option<OwnedSemaphorePermit>,
) {
    match start(id, &pool, orders).await {
        Ok(mut process) => {
            process.state = State::Starting(Some(role));
            process.start_permit = start_permit;
            let end = process.drive().await;
            process.end(end).await;
        }
        Err(error) => {
            pool.gone(id);
            let failure = error;
            tracing::error!(target: "function", function = pool.config.name, "cannot start: {}", failure.summary());
            match role {
                Role::Serve => pool.start_failed(failure).await,
                Role::Candidate(told) => drop(told.send(Err(failure))),
            }
        }
    }
}

async fn start(id: u64, pool: &Arc<Pool>, (told, orders): Orders) -> Result<Process, InitFailure> {
    let (config, shared) = (&pool.config, &pool.shared);
    let (logs, output, outputs) = Logs::new(&config.name)?;
    let (calls_in, calls) = mpsc::channel(4);
    let (mut link, mut stdout) = (None, outputs.stdout);
    // The connections of our own bootstraps are inherited; any other executable is told a port. The shell, which sets limits
    // that hold from the first instruction, moves them off the standard streams and becomes the program.
    let moved = match config.runtime {
        Runtime::Provided(_) => "",
        Runtime::Python(_) => "3<&0 </dev/null",
        Runtime::Node(_) => "3<&0 4>&1 </dev/null >&2",
    };
    let (inherited, runtime_api) = match config.runtime {
        Runtime::Provided(_) => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?.to_string();
            tokio::spawn(accept(listener, calls_in));
            (Stdio::null(), address)
        }
        Runtime::Node(_) | Runtime::Python(_) => {
            let (ours, theirs) = StdUnixStream::pair()?;
            let mut aside = None;
            if matches!(config.runtime, Runtime::Node(_)) {
                let (ours, theirs) = StdUnixStream::pair()?;
                aside = Some(ours);
                stdout = Stdio::from(OwnedFd::from(theirs));
            }
            link = Some(Link::new(ours, aside)?);
            // Lambda's own value, which only tells libraries that they run there.
            (Stdio::from(OwnedFd::from(theirs)), "127.0.0.1:9001".to_owned())
        }
    };
    let log_stream = log_stream(&config.version);
    let instance = Instance {
        log_stream: &log_stream,
        runtime_api: &runtime_api,
        private: &shared.private,
        has_opt: shared.walls.has_opt(),
    };
    let script = format!(
        "ulimit -c 0; ulimit -n {} 2>/dev/null; ulimit -d {} 2>/dev/null; exec \"$@\" {moved}",
        shared.settings.open_files_max,
        data_kib_max(config.memory_mb),
    );
    let mut program: Vec<OsString> =
        ["/bin/sh", "-c", &script, "stagedoor-function"].map(OsString::from).into();
    program.extend(command_line(config, shared).await?);
    let variables = environment(config, &shared.settings.environment, &instance);
    let mut command =
        Command::from(shared.walls.command(program, variables, &config.code, &config.layers)?);
    command.stdin(inherited).stdout(stdout).stderr(outputs.stderr);
    command.process_group(0).kill_on_drop(true);
    let child = command.spawn()?;
    // The command holds our copies of the child's ends; with them open, nothing would ever see the child's end.
    drop(command);
    let pid = child.id().ok_or_else(|| io::Error::other("the process ended at once"))?;
    let group = Group::new(pid, Arc::clone(&shared.guardian));
    let now = Instant::now();
    Ok(Process {
        id,
        pool: Arc::clone(pool),
        child,
        pid,
        log_stream,
        group,
        desk: Desk::new(id, pid, told, logs),
        output,
        link,
        calls,
        orders,
        state: State::Finishing,
        started: now,
        deadline: now + INIT_LIMIT + config.timeout,
        invoked: now,
        memory_checked: now,
        look: None,
        looks: 0,
        event_unread: false,
        start_permit: None,
    })
}

/// A second line behind the watch over resident memory, for a process that grows faster than it is looked at.
fn data_kib_max(memory_mb: u32) -> u64 {
    (u64::from(memory_mb) * 2 + 1024) * 1024
}

/// Named like Lambda's: the day, the version, and 32 hexadecimal digits.
fn log_stream(version: &str) -> String {
    let date = time::OffsetDateTime::now_utc().date();
    let unique = uuid::Uuid::new_v4().simple();
    format!("{}/{:02}/{:02}/[{version}]{unique}", date.year(), u8::from(date.month()), date.day())
}

async fn accept(listener: TcpListener, calls: mpsc::Sender<Call>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let _ = stream.set_nodelay(true);
                tokio::spawn(runtime_api::serve(stream, calls.clone()));
            }
            () = calls.closed() => return,
        }
    }
}

impl Process {
    /// Until the process has come to its end, or is not wanted any more.
    async fn drive(&mut self) -> End {
        let timer = tokio::time::sleep_until(self.next_look());
        tokio::pin!(timer);
        let mut output_open = true;
        loop {
            let look = self.next_look();
            // Moving a timer later is left for when it fires: warm calls would move it twice each.
            if look < timer.deadline() {
                timer.as_mut().reset(look);
            }
            let ended = tokio::select! {
                biased;
                Some(call) = self.calls.recv() => self.on_call(call),
                said = first_words(&mut self.link), if self.link.is_some() => self.on_first_words(said),
                Some(order) = self.orders.recv() => match order {
                    Order::Closed => Some(self.last_words().await),
                    order => self.on_order(order),
                },
                _ = self.output.readable(), if output_open => {
                    let drained = self.output.drain_into(&mut self.desk.logs(), 64 * 1024);
                    output_open = drained != Drained::Closed;
                    None
                }
                status = self.child.wait() => Some(match status {
                    Ok(status) => End::Exited(status),
                    Err(_) => End::Retired,
                }),
                () = &mut timer => {
                    let ended = self.on_time();
                    timer.as_mut().reset(self.next_look());
                    ended
                }
            };
            if let Some(end) = ended {
                return end;
            }
        }
    }

    /// What a process has told with its exit that has closed its connection. It may only have closed the connection, but
    /// then it is of no use.
    async fn last_words(&mut self) -> End {
        let status = match tokio::time::timeout(CLOSING, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.group.kill();
                self.child.wait().await
            }
        };
        status.map_or(End::Retired, End::Exited)
    }

    fn on_first_words(&mut self, said: io::Result<Frame>) -> Option<End> {
        let link = self.link.take();
        match said {
            Ok(Frame::Ready) => self.on_ready(Line::Own(link?)),
            Ok(Frame::InitError(body)) => Some(End::InitError(body)),
            // It is about to end, or talks nonsense.
            Ok(_) | Err(_) => {
                let _ = self.desk.orders.send(Order::Closed);
                None
            }
        }
    }

    fn next_look(&self) -> Instant {
        match self.state {
            State::Busy(_) => self.deadline.min(self.memory_checked.max(self.invoked) + MEMORY_CHECK),
            State::Seated => self.look.unwrap_or(self.deadline),
            _ => self.deadline,
        }
    }

    fn on_time(&mut self) -> Option<End> {
        let now = Instant::now();
        if matches!(self.state, State::Seated) {
            return self.on_look(now);
        }
        if now >= self.deadline {
            return match self.state {
                State::Starting(_) | State::Busy(_) => Some(End::TimedOut),
                State::Finishing | State::Parked(_) | State::Seated => Some(End::Retired),
                State::Idle(_) => self.reap(now),
            };
        }
        self.look_at_memory(now)
    }

    fn reap(&mut self, now: Instant) -> Option<End> {
        self.deadline = now + self.pool.shared.settings.idle_timeout;
        self.pool.reap(self.id).then_some(End::Retired)
    }

    /// Sees to the limits of what runs, without having been told when it began and ended.
    fn on_look(&mut self, now: Instant) -> Option<End> {
        let (busy, used) = {
            let mut clock = self.desk.clock();
            let used = std::mem::take(&mut clock.used);
            clock.watched = clock.busy.is_some() || used;
            (clock.busy, used)
        };
        if used {
            self.deadline = now + self.pool.shared.settings.idle_timeout;
        }
        let Some(began) = busy else {
            self.look = used.then(|| now + MEMORY_CHECK);
            self.looks += 1;
            if used && self.looks >= LOOKS_MAX {
                return self.look_at_memory(now);
            }
            return if now >= self.deadline { self.reap(now) } else { None };
        };
        let deadline = began + self.pool.config.timeout;
        if now >= deadline {
            // The result may have come in this very moment, and the process may serve the next one.
            if self.desk.doom_if_busy_since(began) {
                return Some(End::TimedOut);
            }
            self.look = Some(now + MEMORY_CHECK);
            return None;
        }
        self.look = Some(deadline.min(now + MEMORY_CHECK));
        self.look_at_memory(now)
    }

    fn look_at_memory(&mut self, now: Instant) -> Option<End> {
        self.memory_checked = now;
        self.looks = 0;
        resident::above(self.pid, u64::from(self.pool.config.memory_mb) * 1024)?;
        self.desk.doom();
        Some(End::OutOfMemory)
    }

    fn on_call(&mut self, call: Call) -> Option<End> {
        let Call { kind, answer } = call;
        match kind {
            CallKind::Next => return self.on_next(answer),
            CallKind::Response { request_id, body } => {
                let Some(job) = self.take_job(&request_id) else {
                    let _ = answer.send(unknown_invocation());
                    return None;
                };
                match body {
                    Some(body) => {
                        let _ = answer.send(Answer::Accepted);
                        self.answer(*job, body, false);
                    }
                    None => {
                        let _ = answer.send(Answer::Refused {
                            status: 413,
                            kind: "RequestEntityTooLarge",
                            message: format!(
                                "Exceeded maximum allowed payload size ({} bytes).",
                                outcome::RESULT_BYTES_MAX
                            ),
                        });
                        self.answer(*job, outcome::result_too_large(), true);
                    }
                }
            }
            CallKind::Error { request_id, body } => {
                let Some(job) = self.take_job(&request_id) else {
                    let _ = answer.send(unknown_invocation());
                    return None;
                };
                let _ = answer.send(Answer::Accepted);
                self.answer(*job, body, true);
            }
            CallKind::Stream { request_id, content_type } => {
                let begun = match &mut self.state {
                    State::Busy(job) if job.request_id == request_id => {
                        Answer::Stream(job.reply.begin_stream(&self.pool.config.version, content_type))
                    }
                    _ => unknown_invocation(),
                };
                let _ = answer.send(begun);
            }
            CallKind::StreamEnd { request_id, error } => {
                let Some(job) = self.take_job(&request_id) else {
                    let _ = answer.send(unknown_invocation());
                    return None;
                };
                let _ = answer.send(Answer::Accepted);
                let failed = error.is_some();
                self.answer(*job, error.unwrap_or_default(), failed);
            }
            CallKind::Unread => self.event_unread = true,
            CallKind::InitError { body } => {
                let _ = answer.send(Answer::Accepted);
                if matches!(self.state, State::Starting(_)) {
                    return Some(End::InitError(body));
                }
            }
        }
        None
    }

    fn on_next(&mut self, answer: oneshot::Sender<Answer>) -> Option<End> {
        match std::mem::replace(&mut self.state, State::Finishing) {
            starting @ State::Starting(_) => {
                self.state = starting;
                return self.on_ready(Line::Foreign(answer));
            }
            State::Busy(job) => {
                let payload = outcome::no_response(&job.request_id);
                self.answer(*job, payload, true);
            }
            State::Parked(_) => {
                self.state = State::Parked(Line::Foreign(answer));
                return None;
            }
            // A runtime may come back on a new connection.
            State::Idle(_) => {
                self.state = State::Idle(answer);
                return None;
            }
            State::Finishing | State::Seated => {}
        }
        self.serve(Line::Foreign(answer));
        None
    }

    fn on_ready(&mut self, line: Line) -> Option<End> {
        let State::Starting(role) = std::mem::replace(&mut self.state, State::Finishing) else { return None };
        let took = self.started.elapsed();
        self.desk.clock().init_time = Some(took);
        self.start_permit = None;
        {
            let mut logs = self.desk.logs();
            logs.drain(DRAIN_BYTES);
            logs.finish();
        }
        tracing::debug!(target: "function", function = self.pool.config.name, "ready after {took:?}");
        self.pool.started(self.id, self.desk.pid);
        if let Some(Role::Candidate(told)) = role {
            self.state = State::Parked(line);
            self.deadline = Instant::now() + INIT_LIMIT;
            return told.send(Ok(())).is_err().then_some(End::Retired);
        }
        self.pool.ready(self.id);
        self.serve(line);
        None
    }

    /// Lets invocations have the process.
    fn serve(&mut self, line: Line) {
        self.deadline = Instant::now() + self.pool.shared.settings.idle_timeout;
        let link = match line {
            Line::Own(link) => {
                self.state = State::Seated;
                self.look = None;
                Some(link)
            }
            Line::Foreign(answer) => {
                self.state = State::Idle(answer);
                None
            }
        };
        self.pool.give(Seat::new(Arc::clone(&self.desk), link));
    }

    fn on_order(&mut self, order: Order) -> Option<End> {
        match order {
            Order::Work(job) => {
                // A process that died a moment ago costs its next caller nothing.
                if let Ok(Some(status)) = self.child.try_wait() {
                    self.pool.take_back(*job);
                    return Some(End::Exited(status));
                }
                match std::mem::replace(&mut self.state, State::Finishing) {
                    State::Idle(answer) => self.begin(*job, answer),
                    other => {
                        self.state = other;
                        self.pool.take_back(*job);
                        None
                    }
                }
            }
            Order::Watch => {
                self.look = Some(Instant::now() + MEMORY_CHECK.min(self.pool.config.timeout));
                None
            }
            Order::Serve => {
                match std::mem::replace(&mut self.state, State::Finishing) {
                    State::Parked(line) => self.serve(line),
                    other => self.state = other,
                }
                None
            }
            Order::Leave => match self.state {
                State::Busy(_) | State::Finishing => None,
                _ => Some(End::Retired),
            },
            Order::Die | Order::Closed => Some(End::Retired),
        }
    }

    fn begin(&mut self, job: Job, answer: oneshot::Sender<Answer>) -> Option<End> {
        let now = Instant::now();
        let timeout = self.pool.config.timeout;
        self.invoked = now;
        self.deadline = now + timeout;
        {
            let mut logs = self.desk.logs();
            logs.drain(DRAIN_BYTES);
            logs.finish();
            logs.begin(&job.request_id, &self.pool.config.version, job.log_tail);
        }
        let head = event_head(&job, timeout, &self.pool.config);
        let payload = job.payload.clone();
        // The connection may have closed in this moment: the process is about to end, and the job is not lost.
        if answer.send(Answer::Event { head, payload }).is_err() {
            self.pool.take_back(job);
            return Some(End::Retired);
        }
        self.state = State::Busy(Box::new(job));
        if now.duration_since(self.memory_checked) > MEMORY_CHECK * 10 {
            return self.look_at_memory(now);
        }
        None
    }

    fn take_job(&mut self, request_id: &str) -> Option<Box<Job>> {
        match std::mem::replace(&mut self.state, State::Finishing) {
            State::Busy(job) if job.request_id == request_id => Some(job),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Answers the caller, with the log of the invocation complete.
    fn answer(&mut self, job: Job, payload: Bytes, failed: bool) {
        let output = turn::output(&self.desk, &self.pool.config, &job, payload, failed, self.invoked);
        job.finish(Ok(output));
    }

    /// Answers what is open and leaves nothing behind.
    async fn end(mut self, end: End) {
        if !matches!(end, End::Exited(_)) {
            self.group.kill();
        }
        let marker = format!("AWS_LAMBDA_LOG_STREAM_NAME={}", self.log_stream);
        tokio::task::spawn_blocking(move || guardian::kill_detached(&marker));
        // Nothing new arrives from here on; what the process said before it ended still counts.
        self.pool.gone(self.id);
        self.orders.close();
        while let Ok(order) = self.orders.try_recv() {
            if let Order::Work(job) = order {
                self.pool.take_back(*job);
            }
        }
        let mut end = end;
        if let End::Exited(_) = end {
            let last = tokio::time::timeout(LAST_WORDS, async {
                while let Some(call) = self.calls.recv().await {
                    if matches!(call.kind, CallKind::Next) {
                        continue;
                    }
                    if let Some(end) = self.on_call(call) {
                        return Some(end);
                    }
                }
                None
            });
            if let Ok(Some(reported)) = last.await {
                end = reported;
            }
            if self.link.is_some()
                && let Ok(Ok(Frame::InitError(body))) =
                    tokio::time::timeout(LAST_WORDS, first_words(&mut self.link)).await
            {
                end = End::InitError(body);
            }
        }
        {
            let mut logs = self.desk.logs();
            logs.drain(DRAIN_BYTES);
            logs.finish();
        }
        let pool = Arc::clone(&self.pool);
        self.desk.set_end(end.clone());
        match std::mem::replace(&mut self.state, State::Finishing) {
            // Nobody has seen the event, so another process may have it.
            State::Busy(mut job)
                if self.event_unread && matches!(end, End::Exited(_)) && job.attempts < ATTEMPTS_MAX =>
            {
                job.attempts += 1;
                pool.take_back(*job);
            }
            State::Busy(job) => self.fail(*job, &end),
            State::Starting(role) => {
                let failure = match end {
                    End::InitError(body) => InitFailure::Reported(body),
                    End::Exited(status) => InitFailure::Exited(status),
                    End::TimedOut => InitFailure::TimedOut(pool.config.timeout),
                    End::OutOfMemory | End::Retired => {
                        InitFailure::NotStarted("the process was ended".to_owned())
                    }
                };
                match role {
                    Some(Role::Candidate(told)) => drop(told.send(Err(failure))),
                    _ => pool.start_failed(failure).await,
                }
            }
            _ => {}
        }
        pool.revive();
    }

    fn fail(&mut self, job: Job, end: &End) {
        match turn::failure(&self.desk, &self.pool.config, &job.request_id, end) {
            Some(payload) => self.answer(job, payload, true),
            None => job.finish(Err(crate::InvokeError::ShuttingDown)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whoever still talks to the process waits for this.
        self.desk.set_end(End::Retired);
    }
}

/// The first thing that one of our own bootstraps says.
async fn first_words(link: &mut Option<Link>) -> io::Result<Frame> {
    let Some(link) = link else { return std::future::pending().await };
    loop {
        if let Some(frame) = link.frame()? {
            return Ok(frame);
        }
        link.read().await?;
    }
}

fn unknown_invocation() -> Answer {
    Answer::Refused {
        status: 400,
        kind: "InvalidRequestID",
        message: "there is no such invocation under way".to_owned(),
    }
}

fn event_head(job: &Job, timeout: Duration, config: &FunctionConfig) -> String {
    let mut head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: {}\r\n\
         Lambda-Runtime-Deadline-Ms: {}\r\nLambda-Runtime-Invoked-Function-Arn: {}\r\nContent-Length: {}\r\n",
        job.request_id,
        turn::deadline_ms(timeout),
        job.invoked_arn.as_deref().unwrap_or(&config.arn),
        job.payload.len(),
    );
    let optional =
        [("Lambda-Runtime-Trace-Id", &job.trace_id), ("Lambda-Runtime-Client-Context", &job.client_context)];
    for (name, value) in optional {
        if let Some(value) = value {
            head.push_str(name);
            head.push_str(": ");
            // A line break in a value would be a header of its own.
            head.extend(value.chars().filter(|c| !c.is_control()));
            head.push_str("\r\n");
        }
    }
    head.push_str("\r\n");
    head
}
