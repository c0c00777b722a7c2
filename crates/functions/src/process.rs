//! One process of a function: started, driven through the Runtime API, watched, and killed with its children.
//!
//! A process has one owner, the task in [`run`]. It is either starting, idle, busy with one invocation, or finishing (the
//! result is out, and the runtime has yet to ask for the next event). Every way out of that task ends in the same place:
//! the group is killed, and an invocation that is still open is answered.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::net::{TcpListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use crate::config::{FunctionConfig, Runtime};
use crate::environment::{Instance, environment};
use crate::guardian::{self, Group};
use crate::interpreter::command_line;
use crate::logs::Logs;
use crate::outcome::{self, InitFailure, InvocationOutput};
use crate::pool::{Command as Order, Job, Pool, Turn};
use crate::runtime_api::{self, Answer, Call, CallKind};

/// How long the initialisation may take on top of the function's timeout. Lambda gives it 10 s, and then the
/// invocation's own time for a second try.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// How often the memory of a busy process is looked at.
const MEMORY_CHECK: Duration = Duration::from_millis(100);
/// How long the end of a process's output and connection is waited for once it has exited: its children may hold both.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How much output is taken in before a result is handed over, in bytes.
const DRAIN_BYTES: usize = 1024 * 1024;

/// How many processes may end before they have read an event until that is its answer.
const ATTEMPTS_MAX: u8 = 3;

/// What a starting process is to do once it is ready.
pub(crate) enum Role {
    /// Serve at once.
    Serve,
    /// Wait to be accepted: the code is new, and the old still serves.
    Candidate(oneshot::Sender<Result<(), InitFailure>>),
}

/// How a process came to its end.
enum End {
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
    Parked(oneshot::Sender<Answer>),
    Idle(oneshot::Sender<Answer>),
    Busy(Box<Job>),
    Finishing,
}

struct Process {
    id: u64,
    pool: Arc<Pool>,
    child: Child,
    pid: u32,
    log_stream: String,
    group: Group,
    logs: Logs,
    calls: mpsc::Receiver<Call>,
    orders: mpsc::UnboundedReceiver<Order>,
    state: State,
    started: Instant,
    /// When the state must have changed.
    deadline: Instant,
    invoked: Instant,
    memory_checked: Instant,
    init_time: Option<Duration>,
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
    orders: mpsc::UnboundedReceiver<Order>,
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
            let failure = InitFailure::NotStarted(error.to_string());
            tracing::error!(target: "function", function = pool.config.name, "cannot start: {error}");
            match role {
                Role::Serve => pool.start_failed(&failure),
                Role::Candidate(told) => drop(told.send(Err(failure))),
            }
        }
    }
}

async fn start(id: u64, pool: &Arc<Pool>, orders: mpsc::UnboundedReceiver<Order>) -> io::Result<Process> {
    let (config, shared) = (&pool.config, &pool.shared);
    let (logs, outputs) = Logs::new(&config.name)?;
    let (calls_in, calls) = mpsc::channel(4);
    // The connection of our own bootstraps is inherited; any other executable is told a port.
    let (inherited, runtime_api) = match config.runtime {
        Runtime::Provided(_) => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?.to_string();
            tokio::spawn(accept(listener, calls_in));
            (Stdio::null(), address)
        }
        Runtime::Node(_) | Runtime::Python(_) => {
            let (ours, theirs) = StdUnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let stream = UnixStream::from_std(ours)?;
            tokio::spawn(runtime_api::serve(stream, calls_in));
            // Lambda's own value, which only tells libraries that they run there.
            (Stdio::from(OwnedFd::from(theirs)), "127.0.0.1:9001".to_owned())
        }
    };
    let log_stream = log_stream(&config.version);
    let instance = Instance { log_stream: &log_stream, runtime_api: &runtime_api, private: &shared.private };
    // The shell sets limits that hold from the first instruction, moves the connection off standard input, and becomes the
    // program.
    let moved = match config.runtime {
        Runtime::Provided(_) => "",
        _ => "3<&0 </dev/null",
    };
    let script = format!(
        "ulimit -c 0; ulimit -n {} 2>/dev/null; ulimit -d {} 2>/dev/null; exec \"$@\" {moved}",
        shared.settings.open_files_max,
        data_kib_max(config.memory_mb),
    );
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg("stagedoor-function").args(command_line(config, shared).await?);
    command.env_clear().envs(environment(config, &shared.settings.environment, &instance));
    command.current_dir(&config.code);
    command.stdin(inherited).stdout(outputs.stdout).stderr(outputs.stderr);
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
        logs,
        calls,
        orders,
        state: State::Finishing,
        started: now,
        deadline: now + INIT_LIMIT + config.timeout,
        invoked: now,
        memory_checked: now,
        init_time: None,
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
                Some(order) = self.orders.recv() => self.on_order(order),
                _ = self.logs.readable(), if output_open => {
                    output_open = self.logs.drain(64 * 1024);
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

    fn next_look(&self) -> Instant {
        match self.state {
            State::Busy(_) => self.deadline.min(self.memory_checked.max(self.invoked) + MEMORY_CHECK),
            _ => self.deadline,
        }
    }

    fn on_time(&mut self) -> Option<End> {
        let now = Instant::now();
        if now >= self.deadline {
            return match self.state {
                State::Starting(_) | State::Busy(_) => Some(End::TimedOut),
                State::Finishing | State::Parked(_) => Some(End::Retired),
                State::Idle(_) if self.pool.reap(self.id) => Some(End::Retired),
                State::Idle(_) => {
                    self.deadline = now + self.pool.shared.settings.idle_timeout;
                    None
                }
            };
        }
        self.look_at_memory(now)
    }

    fn look_at_memory(&mut self, now: Instant) -> Option<End> {
        self.memory_checked = now;
        let resident = memory_kib(self.pid, "VmRSS:")?;
        (resident > u64::from(self.pool.config.memory_mb) * 1024).then_some(End::OutOfMemory)
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
            State::Starting(role) => {
                let took = self.started.elapsed();
                self.init_time = Some(took);
                self.start_permit = None;
                self.logs.drain(DRAIN_BYTES);
                self.logs.finish();
                tracing::debug!(target: "function", function = self.pool.config.name, "ready after {took:?}");
                if let Some(Role::Candidate(told)) = role {
                    self.state = State::Parked(answer);
                    self.deadline = Instant::now() + INIT_LIMIT;
                    return told.send(Ok(())).is_err().then_some(End::Retired);
                }
                self.pool.ready(self.id);
            }
            State::Busy(job) => {
                let payload = outcome::no_response(&job.request_id);
                self.answer(*job, payload, true);
            }
            State::Parked(_) => {
                self.state = State::Parked(answer);
                return None;
            }
            // A runtime may come back on a new connection.
            State::Idle(_) => {
                self.state = State::Idle(answer);
                return None;
            }
            State::Finishing => {}
        }
        self.serve_next(answer)
    }

    fn serve_next(&mut self, answer: oneshot::Sender<Answer>) -> Option<End> {
        match self.pool.next(self.id) {
            Turn::Work(job) => self.begin(*job, answer),
            Turn::Idle => {
                self.deadline = Instant::now() + self.pool.shared.settings.idle_timeout;
                self.state = State::Idle(answer);
                None
            }
            Turn::Leave => Some(End::Retired),
        }
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
            Order::Serve => match std::mem::replace(&mut self.state, State::Finishing) {
                State::Parked(answer) => self.serve_next(answer),
                other => {
                    self.state = other;
                    None
                }
            },
            Order::Leave => match self.state {
                State::Busy(_) | State::Finishing => None,
                _ => Some(End::Retired),
            },
            Order::Die => Some(End::Retired),
        }
    }

    fn begin(&mut self, job: Job, answer: oneshot::Sender<Answer>) -> Option<End> {
        let now = Instant::now();
        let timeout = self.pool.config.timeout;
        self.invoked = now;
        self.deadline = now + timeout;
        self.logs.drain(DRAIN_BYTES);
        self.logs.finish();
        self.logs.begin(&job.request_id, &self.pool.config.version);
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
        self.logs.drain(DRAIN_BYTES);
        self.logs.finish();
        let id = &job.request_id;
        if job.log_tail || tracing::enabled!(target: "function", tracing::Level::DEBUG) {
            let duration = self.invoked.elapsed().as_secs_f64() * 1000.0;
            let used = memory_kib(self.pid, "VmHWM:").unwrap_or_default().div_ceil(1024);
            let init = self.init_time.take().map_or_else(String::new, |time| {
                format!("Init Duration: {:.2} ms\t", time.as_secs_f64() * 1000.0)
            });
            self.logs.platform(format_args!("END RequestId: {id}"));
            self.logs.platform(format_args!(
                "REPORT RequestId: {id}\tDuration: {duration:.2} ms\tBilled Duration: {:.0} ms\t\
                 Memory Size: {} MB\tMax Memory Used: {used} MB\t{init}",
                duration.ceil(),
                self.pool.config.memory_mb,
            ));
        }
        let output = InvocationOutput {
            payload,
            function_error: failed.then(|| "Unhandled".to_owned()),
            executed_version: self.pool.config.version.clone(),
            log_tail: job.log_tail.then(|| self.logs.tail()),
        };
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
        }
        self.logs.drain(DRAIN_BYTES);
        self.logs.finish();
        let pool = Arc::clone(&self.pool);
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
                    _ => pool.start_failed(&failure),
                }
            }
            _ => {}
        }
        pool.revive();
    }

    fn fail(&mut self, job: Job, end: &End) {
        let id = job.request_id.clone();
        let payload = match end {
            End::TimedOut => {
                let seconds = self.pool.config.timeout.as_secs_f64();
                self.logs.platform(format_args!("{id} Task timed out after {seconds:.2} seconds"));
                outcome::timed_out(&id, self.pool.config.timeout)
            }
            End::OutOfMemory => outcome::out_of_memory(&id),
            End::Exited(status) => outcome::exited(&id, *status),
            End::Retired | End::InitError(_) => {
                job.finish(Err(crate::InvokeError::ShuttingDown));
                return;
            }
        };
        tracing::error!(
            target: "function", function = self.pool.config.name, request_id = id,
            "{}", String::from_utf8_lossy(&payload)
        );
        self.logs.platform(format_args!("{}", String::from_utf8_lossy(&payload)));
        self.answer(job, payload, true);
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
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: {}\r\n\
         Lambda-Runtime-Deadline-Ms: {}\r\nLambda-Runtime-Invoked-Function-Arn: {}\r\nContent-Length: {}\r\n",
        job.request_id,
        (now + timeout).as_millis(),
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

/// A field of `/proc/<pid>/status` in KiB; none where there is no such file.
fn memory_kib(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
