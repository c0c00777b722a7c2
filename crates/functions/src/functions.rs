//! All functions of a gateway: registered, found by name or ARN, invoked.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::call::{Held, QueuedCall};
use crate::config::{FunctionConfig, FunctionRef, LATEST};
use crate::dead_letter::DeadLetters;
use crate::error::{ConfigError, InvokeError, SetupError};
use crate::guardian::Guardian;
use crate::interpreter::Interpreters;
use crate::outcome::{ASYNC_EVENT_BYTES_MAX, EVENT_BYTES_MAX, InvocationOutput};
use crate::permission::Permission;
use crate::pool::Pool;
use crate::queue::{Event, Queue};
use crate::reply::{Reply, StreamedOutput};
use crate::walls::Walls;
use crate::watch::Watcher;

/// What holds for all functions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most processes of one function. More concurrent invocations than that wait for one of them.
    pub processes_max: usize,
    /// How many processes of a function stay however long they are idle.
    pub processes_min: usize,
    /// How long an idle process is kept.
    pub idle_timeout: Duration,
    /// The most open files of one process (Lambda's limit is 1,024).
    pub open_files_max: u32,
    /// When an asynchronous invocation that failed is tried again.
    pub retry_pauses: [Duration; 2],
    /// The file that asynchronous events are written to when no attempt could place them.
    pub dead_letters: Option<PathBuf>,
    /// The file that asynchronous events are kept in until they are placed; without one they are gone with the process.
    pub events: Option<PathBuf>,
    /// Variables that every function gets, such as `AWS_ENDPOINT_URL` and credentials that are no secret. A function's
    /// own win over them.
    pub environment: BTreeMap<String, String>,
    /// The program that puts up the walls around a process: it calls [`crate::launch`] when its first argument is
    /// [`crate::LAUNCH`]. Without one, functions see and may do what the gateway's user does.
    pub launcher: Option<PathBuf>,
    /// Files and directories that hold secrets: no function sees them, where the machine allows that.
    pub hidden: Vec<PathBuf>,
    /// The user and the group that functions run as; none for the gateway's own. Needs root and a launcher.
    pub user: Option<(u32, u32)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            processes_max: 64,
            processes_min: 0,
            idle_timeout: Duration::from_secs(300),
            open_files_max: 1024,
            retry_pauses: [Duration::from_secs(60), Duration::from_secs(120)],
            dead_letters: None,
            events: None,
            environment: BTreeMap::new(),
            launcher: None,
            hidden: Vec::new(),
            user: None,
        }
    }
}

/// Whether the caller waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvocationType {
    /// The caller waits for the result.
    #[default]
    RequestResponse,
    /// The caller goes on at once; the function is tried up to three times.
    Event,
    /// Nothing runs; the answer tells whether it could.
    DryRun,
}

/// One call of a function.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// Name, partial ARN or ARN, with or without a version or alias.
    pub function: String,
    /// The event: JSON. Nothing is taken as `{}`.
    pub payload: Bytes,
    /// Made up where there is none.
    pub request_id: Option<String>,
    /// The client context as JSON.
    pub client_context: Option<String>,
    /// `X-Amzn-Trace-Id`.
    pub trace_id: Option<String>,
    /// Whether the answer carries the end of the log.
    pub log_tail: bool,
    /// The caller's ARN where API Gateway calls for a method: the function's resource policy has to allow it.
    pub source_arn: Option<String>,
    /// Whether the caller waits.
    pub invocation_type: InvocationType,
}

/// How asynchronous events of a function are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncConfig {
    /// How often a failed event is tried again: 0 to 2.
    pub retries_max: u8,
    /// How old an event may be when it is tried.
    pub age_max: Duration,
}

impl Default for AsyncConfig {
    fn default() -> Self {
        Self { retries_max: 2, age_max: Duration::from_secs(21_600) }
    }
}

/// What the processes and pools of all functions share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) private: PathBuf,
    pub(crate) guardian: Arc<Guardian>,
    pub(crate) walls: Walls,
    pub(crate) handle: Handle,
    pub(crate) starts: Arc<Semaphore>,
    pub(crate) starts_max: usize,
    pub(crate) watcher: Watcher,
    pub(crate) interpreters: Interpreters,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) queue: Arc<Queue>,
    /// Bytes of asynchronous events under way.
    pub(crate) async_bytes: AtomicUsize,
    /// The functions' event loop is about to end.
    pub(crate) ending: AtomicBool,
}

/// Permissions by qualifier; the empty one is the function itself.
type Policies = BTreeMap<String, Vec<Permission>>;

#[derive(Default)]
struct Entry {
    versions: BTreeMap<String, Arc<Pool>>,
    aliases: BTreeMap<String, Alias>,
    /// None for a function that everything in the gateway may call: one of a project.
    policies: Option<Policies>,
    /// By qualifier, as with policies.
    async_configs: BTreeMap<String, AsyncConfig>,
}

struct Alias {
    version: String,
    /// Another version, and its share of the invocations: 0 to 1.
    other: Option<(String, f64)>,
}

impl Entry {
    fn version(&self, qualifier: &str) -> Option<Arc<Pool>> {
        let version = match self.aliases.get(qualifier) {
            None => qualifier,
            Some(Alias { version, other: None }) => version,
            Some(Alias { version, other: Some((other, share)) }) => {
                // The first bits of a random identifier serve as a random number.
                let chance = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
                if chance < *share { other } else { version }
            }
        };
        self.versions.get(version).cloned()
    }

    fn permits(&self, qualifier: Option<&str>, source_arn: &str) -> bool {
        self.policies.as_ref().is_none_or(|policies| {
            let permissions = policies.get(qualifier.unwrap_or_default());
            permissions.into_iter().flatten().any(|permission| permission.allows(source_arn))
        })
    }
}

struct Inner {
    shared: Arc<Shared>,
    registry: RwLock<HashMap<String, Entry>>,
    /// What an earlier process has left in the queue, until it is resumed.
    left: Mutex<Vec<(u64, Event)>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    // Deleted after the thread has ended, and by the guardian if this never runs.
    _private: tempfile::TempDir,
}

/// All functions. Cheap to clone; the last clone to go takes the processes with it.
#[derive(Clone)]
pub struct Functions {
    inner: Arc<Inner>,
}

impl Functions {
    /// No functions yet. Their processes belong to a thread of their own, so that they outlive any caller's runtime.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let failed = |what| move |source| SetupError { what, source };
        let private = tempfile::Builder::new()
            .prefix("stagedoor-")
            .tempdir()
            .map_err(failed("no temporary directory can be made"))?;
        let write = |name: &str, text: &str| std::fs::write(private.path().join(name), text);
        write("node.cjs", include_str!("bootstrap/node.cjs")).map_err(failed("a file cannot be written"))?;
        write("python.py", include_str!("bootstrap/python.py"))
            .map_err(failed("a file cannot be written"))?;
        write("node-path.mjs", include_str!("bootstrap/node-path.mjs"))
            .map_err(failed("a file cannot be written"))?;
        let guardian = Guardian::start(private.path()).map_err(failed("/bin/sh cannot be started"))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (handle, thread) = start_thread(stopped).map_err(failed("no thread can be started"))?;
        let dead_letters = DeadLetters::new(settings.dead_letters.clone());
        let (queue, left) = match &settings.events {
            Some(path) => Queue::open(path).map_err(failed("the queue of events cannot be opened"))?,
            None => (Queue::default(), Vec::new()),
        };
        if let Some((user, group)) = settings.user {
            // Bootstraps are read, and caches written, by functions.
            std::os::unix::fs::chown(private.path(), Some(user), Some(group))
                .map_err(failed("the functions' directory cannot be given to their user"))?;
        }
        let walls = Walls::find(&settings);
        let starts_max = thread::available_parallelism().map_or(2, usize::from).max(2);
        let shared = Arc::new(Shared {
            settings,
            // Functions see this path as their home; a link in it would make their stack traces unreadable.
            private: private.path().canonicalize().map_err(failed("the temporary directory is gone"))?,
            guardian,
            walls,
            handle,
            starts: Arc::new(Semaphore::new(starts_max)),
            starts_max,
            watcher: Watcher::new(),
            interpreters: Interpreters::default(),
            dead_letters,
            queue: Arc::new(queue),
            async_bytes: AtomicUsize::new(0),
            ending: AtomicBool::new(false),
        });
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                registry: RwLock::default(),
                left: Mutex::new(left),
                stop: Mutex::new(Some(stop)),
                thread: Mutex::new(Some(thread)),
                _private: private,
            }),
        })
    }

    /// Registers a function, or a version of it, or replaces it: invocations from now on get the new one, those under way
    /// finish on the old. The handler's file must exist; an unchanged function is left alone.
    pub fn put(&self, mut config: FunctionConfig) -> Result<(), ConfigError> {
        config.check()?;
        config.handler_file()?;
        self.register(config);
        Ok(())
    }

    /// Whether [`Functions::put`] would replace a function that serves by one that does not start. Nothing is replaced.
    ///
    /// # Errors
    /// A sentence that says why it does not start. One that takes the place of nothing, or of nothing that works, is not tried.
    pub fn try_out(
        &self,
        mut config: FunctionConfig,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let checked = config.check().and_then(|()| config.handler_file().map(drop));
        let serving = self.find(&config.name, Some(&config.version));
        let trial = serving.filter(|pool| pool.config != config && pool.serves()).map(|_| {
            config.watch = false;
            Pool::new(config, Arc::clone(&self.inner.shared))
        });
        async move {
            checked.map_err(|error| error.to_string())?;
            match trial {
                Some(pool) => pool.try_out().await,
                None => Ok(()),
            }
        }
    }

    /// The same without a look at the handler's file: on Lambda, a function without one is told when it is invoked.
    pub(crate) fn put_as_deployed(&self, mut config: FunctionConfig) -> Result<(), ConfigError> {
        config.check()?;
        self.register(config);
        Ok(())
    }

    fn register(&self, config: FunctionConfig) {
        if self.find(&config.name, Some(&config.version)).is_some_and(|pool| pool.config == config) {
            return;
        }
        let pool = Pool::new(config, Arc::clone(&self.inner.shared));
        let replaced = {
            let mut registry = self.inner.registry.write().unwrap_or_else(PoisonError::into_inner);
            let entry = registry.entry(pool.config.name.clone()).or_default();
            entry.versions.insert(pool.config.version.clone(), pool)
        };
        if let Some(replaced) = replaced {
            replaced.retire();
        }
    }

    /// Lets an alias of a function stand for a version; none takes the alias away.
    pub fn set_alias(&self, name: &str, alias: &str, version: Option<&str>) {
        self.set_weighted_alias(name, alias, version, None);
    }

    /// The same, with a second version and its share of the invocations.
    pub(crate) fn set_weighted_alias(
        &self,
        name: &str,
        alias: &str,
        version: Option<&str>,
        other: Option<(&str, f64)>,
    ) {
        let mut registry = self.inner.registry.write().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = registry.get_mut(name) else { return };
        match version {
            Some(version) => {
                let other = other.map(|(other, share)| (other.to_owned(), share));
                entry.aliases.insert(alias.to_owned(), Alias { version: version.to_owned(), other });
            }
            None => drop(entry.aliases.remove(alias)),
        }
    }

    /// Who may call a function on behalf of API Gateway, by statements of its resource policies; and how its
    /// asynchronous events are treated. Both by qualifier, the empty one for the function itself.
    pub(crate) fn set_rules(
        &self,
        name: &str,
        statements: &BTreeMap<String, Vec<serde_json::Value>>,
        async_configs: BTreeMap<String, AsyncConfig>,
    ) {
        let permissions = |statements: &Vec<serde_json::Value>| {
            statements.iter().filter_map(Permission::from_statement).collect()
        };
        let policies =
            statements.iter().map(|(qualifier, list)| (qualifier.clone(), permissions(list))).collect();
        let mut registry = self.inner.registry.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = registry.get_mut(name) {
            entry.policies = Some(policies);
            entry.async_configs = async_configs;
        }
    }

    /// Takes a function away with all of its versions, or one version. Invocations under way finish. False if there was
    /// none.
    pub fn remove(&self, name: &str, version: Option<&str>) -> bool {
        let removed = {
            let mut registry = self.inner.registry.write().unwrap_or_else(PoisonError::into_inner);
            match version {
                None => registry.remove(name).map(|entry| entry.versions).unwrap_or_default(),
                Some(version) => registry
                    .get_mut(name)
                    .and_then(|entry| entry.versions.remove_entry(version))
                    .into_iter()
                    .collect(),
            }
        };
        removed.values().for_each(|pool| pool.retire());
        !removed.is_empty()
    }

    /// All functions and versions, by name.
    pub fn list(&self) -> Vec<FunctionConfig> {
        let registry = self.inner.registry.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = registry
            .values()
            .flat_map(|entry| entry.versions.values().map(|pool| pool.config.clone()))
            .collect();
        all.sort_unstable_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        all
    }

    /// One function, by any form of its name.
    pub fn get(&self, function: &str) -> Option<FunctionConfig> {
        let reference = FunctionRef::parse(function)?;
        Some(self.find(reference.name, reference.qualifier)?.config.clone())
    }

    /// Whether a function of that name is here, in whatever version.
    pub fn knows(&self, function: &str) -> bool {
        let registry = self.inner.registry.read().unwrap_or_else(PoisonError::into_inner);
        FunctionRef::parse(function).is_some_and(|reference| registry.contains_key(reference.name))
    }

    pub(crate) fn find(&self, name: &str, qualifier: Option<&str>) -> Option<Arc<Pool>> {
        let registry = self.inner.registry.read().unwrap_or_else(PoisonError::into_inner);
        registry.get(name)?.version(qualifier.unwrap_or(LATEST))
    }

    /// The processes that an invocation goes to, if its caller may call them.
    fn find_for<'a>(
        &self,
        invocation: &'a Invocation,
    ) -> Result<(FunctionRef<'a>, Arc<Pool>, AsyncConfig), InvokeError> {
        let not_found = || InvokeError::NotFound(invocation.function.clone());
        let reference = FunctionRef::parse(&invocation.function).ok_or_else(not_found)?;
        let registry = self.inner.registry.read().unwrap_or_else(PoisonError::into_inner);
        let entry = registry.get(reference.name).ok_or_else(not_found)?;
        let pool = entry.version(reference.qualifier.unwrap_or(LATEST)).ok_or_else(not_found)?;
        if let Some(source) = &invocation.source_arn
            && !entry.permits(reference.qualifier, source)
        {
            return Err(InvokeError::NotPermitted(invocation.function.clone()));
        }
        let config = entry.async_configs.get(reference.qualifier.unwrap_or_default()).copied();
        Ok((reference, pool, config.unwrap_or_default()))
    }

    /// Starts a process of a function ahead of its first invocation. False if there is no such function.
    pub fn warm(&self, function: &str) -> bool {
        let pool = FunctionRef::parse(function).and_then(|found| self.find(found.name, found.qualifier));
        pool.inspect(Pool::warm).is_some()
    }

    /// Invokes a function. It is on its way when this returns; the future only waits, on any runtime, and dropping it
    /// gives up waiting. What a function gets wrong is part of the output.
    ///
    /// A caller that waits on the same thread anyway does better with [`Functions::call`].
    pub fn invoke(
        &self,
        invocation: Invocation,
    ) -> impl Future<Output = Result<InvocationOutput, InvokeError>> + Send + use<> {
        let submitted = self.submit(invocation);
        async move {
            match submitted? {
                Submitted::Waiting(answer) => answer.await.unwrap_or(Err(InvokeError::ShuttingDown)),
                Submitted::Queued(accepted) => accepted.await.unwrap_or(Err(InvokeError::ShuttingDown)),
                Submitted::Accepted(output) => Ok(output),
            }
        }
    }

    /// Invokes a function while its future is waited for, on the thread that waits: nothing is handed to other threads.
    /// Dropping the future gives up waiting.
    pub fn call(
        &self,
        invocation: Invocation,
    ) -> impl Future<Output = Result<InvocationOutput, InvokeError>> + Send + use<> {
        enum Way<H, S> {
            Here(H),
            Spawned(S),
        }
        let way = match invocation.invocation_type {
            InvocationType::RequestResponse => {
                Way::Here(self.prepare(invocation).and_then(|(call, _)| call.run_here()))
            }
            _ => Way::Spawned(self.invoke(invocation)),
        };
        async move {
            match way {
                Way::Here(call) => call?.await,
                Way::Spawned(accepted) => accepted.await,
            }
        }
    }

    /// Invokes a function whose result is given as it comes. Otherwise as [`Functions::invoke`].
    pub fn invoke_streaming(
        &self,
        invocation: Invocation,
    ) -> impl Future<Output = Result<StreamedOutput, InvokeError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let submitted =
            self.prepare(invocation).and_then(|(call, _)| match call.invocation.invocation_type {
                InvocationType::DryRun => Ok(Some(call.accepted())),
                _ => call.send(Reply::Stream(reply)).map(|()| None),
            });
        async move {
            match submitted? {
                Some(accepted) => Ok(StreamedOutput::Whole(accepted)),
                None => answer.await.unwrap_or(Err(InvokeError::ShuttingDown)),
            }
        }
    }

    fn prepare(&self, mut invocation: Invocation) -> Result<(QueuedCall, AsyncConfig), InvokeError> {
        let (reference, pool, config) = self.find_for(&invocation)?;
        let limit = match invocation.invocation_type {
            InvocationType::Event => ASYNC_EVENT_BYTES_MAX,
            InvocationType::RequestResponse | InvocationType::DryRun => EVENT_BYTES_MAX,
        };
        if invocation.payload.len() > limit {
            let size = invocation.payload.len();
            return Err(match invocation.invocation_type {
                InvocationType::Event => InvokeError::EventTooLarge { size, limit },
                _ => InvokeError::PayloadTooLarge { limit },
            });
        }
        let invoked_arn = reference.qualifier.map(|qualifier| format!("{}:{qualifier}", pool.config.arn));
        if invocation.payload.is_empty() {
            invocation.payload = Bytes::from_static(b"{}");
        }
        let request_id = invocation.request_id.take().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let (accepted_at, attempts) = (SystemTime::now(), 0);
        Ok((QueuedCall { pool, invocation, invoked_arn, request_id, accepted_at, attempts }, config))
    }

    /// Goes on with the asynchronous events that an earlier process has left. Functions have to be registered before.
    pub fn resume(&self) {
        let left = std::mem::take(&mut *self.inner.left.lock().unwrap_or_else(PoisonError::into_inner));
        if !left.is_empty() {
            tracing::info!(target: "function", events = left.len(), "going on with events that were queued before");
        }
        for (number, event) in left {
            let ticket = self.inner.shared.queue.ticket(number);
            let (accepted_at, attempts) =
                (UNIX_EPOCH + Duration::from_millis(event.accepted_at), event.attempts);
            let (function, request_id) = (event.function.clone(), event.request_id.clone());
            let invocation = Invocation {
                function: event.function,
                payload: event.payload,
                request_id: Some(event.request_id),
                client_context: event.client_context,
                trace_id: event.trace_id,
                invocation_type: InvocationType::Event,
                // Whoever sent it was allowed to when it was accepted.
                source_arn: None,
                log_tail: false,
            };
            let shared = &self.inner.shared;
            let size = invocation.payload.len();
            match self.prepare(invocation) {
                Ok((call, config)) => {
                    let call = QueuedCall { accepted_at, attempts, ..call };
                    shared.handle.spawn(call.send_until_it_works(config, Held::keep(shared, size), ticket));
                }
                Err(error) => {
                    // As on Lambda, an event does not outlive its function.
                    tracing::error!(target: "function", function, request_id, "the event is given up: {error}");
                    ticket.done();
                }
            }
        }
    }

    fn submit(&self, invocation: Invocation) -> Result<Submitted, InvokeError> {
        let (call, config) = self.prepare(invocation)?;
        match call.invocation.invocation_type {
            InvocationType::DryRun => Ok(Submitted::Accepted(call.accepted())),
            InvocationType::RequestResponse => {
                let (reply, answer) = oneshot::channel();
                call.send(Reply::Whole(reply)).map(|()| Submitted::Waiting(answer))
            }
            InvocationType::Event => {
                let shared = Arc::clone(&self.inner.shared);
                let held = Held::take(&shared, call.invocation.payload.len())?;
                let (told, accepted) = oneshot::channel();
                // On its own: an event that is kept is tried, whether or not its caller still waits.
                let queued = async move {
                    match shared.queue.accept(call.event()).await {
                        Ok(ticket) => {
                            let _ = told.send(Ok(call.accepted()));
                            call.send_until_it_works(config, held, ticket).await;
                        }
                        Err(error) => _ = told.send(Err(InvokeError::NotQueued(error.to_string()))),
                    }
                };
                self.inner.shared.handle.spawn(queued);
                Ok(Submitted::Queued(accepted))
            }
        }
    }

    /// The functions' own runtime, for work that must not hold up a caller's.
    pub(crate) fn handle(&self) -> &Handle {
        &self.inner.shared.handle
    }

    /// Runs work that belongs to an invocation on the functions' own runtime.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.shared.handle.spawn(work);
    }

    /// Ends all processes. Invocations under way are lost: let them finish first.
    pub async fn shutdown(&self) {
        let pools: Vec<_> = {
            let mut registry = self.inner.registry.write().unwrap_or_else(PoisonError::into_inner);
            registry.drain().flat_map(|(_, entry)| entry.versions.into_values()).collect()
        };
        pools.iter().for_each(|pool| pool.close());
        let inner = Arc::clone(&self.inner);
        let _ = tokio::task::spawn_blocking(move || inner.stop()).await;
    }
}

enum Submitted {
    Waiting(oneshot::Receiver<Result<InvocationOutput, InvokeError>>),
    /// Ready once it is kept.
    Queued(oneshot::Receiver<Result<InvocationOutput, InvokeError>>),
    Accepted(InvocationOutput),
}

fn start_thread(stopped: oneshot::Receiver<()>) -> io::Result<(Handle, thread::JoinHandle<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let thread = thread::Builder::new().name("stagedoor-functions".to_owned()).spawn(move || {
        runtime.block_on(async {
            let _ = stopped.await;
        });
        // Dropping the runtime drops the tasks, and each takes its process with it.
    })?;
    Ok((handle, thread))
}

impl Inner {
    fn stop(&self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = stop.send(());
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
        self.shared.queue.finish();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}
