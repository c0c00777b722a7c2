//! All functions of a gateway: registered, found by name or ARN, invoked.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::config::{FunctionConfig, FunctionRef, LATEST};
use crate::error::{ConfigError, InvokeError, SetupError};
use crate::guardian::Guardian;
use crate::interpreter::Interpreters;
use crate::outcome::{ASYNC_EVENT_BYTES_MAX, EVENT_BYTES_MAX, InvocationOutput};
use crate::pool::{Job, Pool};
use crate::watch::Watcher;

/// When an asynchronous invocation that failed is tried again, as on Lambda.
const ASYNC_RETRIES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

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
    /// Variables that every function gets, such as `AWS_ENDPOINT_URL` and credentials that are no secret. A function's
    /// own win over them.
    pub environment: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            processes_max: 64,
            processes_min: 0,
            idle_timeout: Duration::from_secs(300),
            open_files_max: 1024,
            environment: BTreeMap::new(),
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
    /// Whether the caller waits.
    pub invocation_type: InvocationType,
}

/// What the processes and pools of all functions share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) private: PathBuf,
    pub(crate) guardian: Arc<Guardian>,
    pub(crate) handle: Handle,
    pub(crate) starts: Arc<Semaphore>,
    pub(crate) starts_max: usize,
    pub(crate) watcher: Watcher,
    pub(crate) interpreters: Interpreters,
}

#[derive(Default)]
struct Entry {
    versions: BTreeMap<String, Arc<Pool>>,
    aliases: BTreeMap<String, String>,
}

struct Inner {
    shared: Arc<Shared>,
    registry: RwLock<HashMap<String, Entry>>,
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
        let guardian = Guardian::start(private.path()).map_err(failed("/bin/sh cannot be started"))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (handle, thread) = start_thread(stopped).map_err(failed("no thread can be started"))?;
        let starts_max = thread::available_parallelism().map_or(2, usize::from).max(2);
        let shared = Arc::new(Shared {
            settings,
            // Functions see this path as their home; a link in it would make their stack traces unreadable.
            private: private.path().canonicalize().map_err(failed("the temporary directory is gone"))?,
            guardian,
            handle,
            starts: Arc::new(Semaphore::new(starts_max)),
            starts_max,
            watcher: Watcher::new(),
            interpreters: Interpreters::default(),
        });
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                registry: RwLock::default(),
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
        let mut registry = self.inner.registry.write().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = registry.get_mut(name) else { return };
        match version {
            Some(version) => drop(entry.aliases.insert(alias.to_owned(), version.to_owned())),
            None => drop(entry.aliases.remove(alias)),
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

    fn find(&self, name: &str, qualifier: Option<&str>) -> Option<Arc<Pool>> {
        let registry = self.inner.registry.read().unwrap_or_else(PoisonError::into_inner);
        let entry = registry.get(name)?;
        let qualifier = qualifier.unwrap_or(LATEST);
        let version = entry.aliases.get(qualifier).map_or(qualifier, String::as_str);
        entry.versions.get(version).cloned()
    }

    /// Starts a process of a function ahead of its first invocation. False if there is no such function.
    pub fn warm(&self, function: &str) -> bool {
        let pool = FunctionRef::parse(function).and_then(|found| self.find(found.name, found.qualifier));
        pool.inspect(Pool::warm).is_some()
    }

    /// Invokes a function. It is on its way when this returns; the future only waits, on any runtime, and dropping it
    /// gives up waiting. What a function gets wrong is part of the output.
    pub fn invoke(
        &self,
        invocation: Invocation,
    ) -> impl Future<Output = Result<InvocationOutput, InvokeError>> + Send + use<> {
        let submitted = self.submit(invocation);
        async move {
            match submitted? {
                Submitted::Waiting(answer) => answer.await.unwrap_or(Err(InvokeError::ShuttingDown)),
                Submitted::Accepted(output) => Ok(output),
            }
        }
    }

    fn submit(&self, mut invocation: Invocation) -> Result<Submitted, InvokeError> {
        let not_found = || InvokeError::NotFound(invocation.function.clone());
        let reference = FunctionRef::parse(&invocation.function).ok_or_else(not_found)?;
        let pool = self.find(reference.name, reference.qualifier).ok_or_else(not_found)?;
        let limit = match invocation.invocation_type {
            InvocationType::Event => ASYNC_EVENT_BYTES_MAX,
            InvocationType::RequestResponse | InvocationType::DryRun => EVENT_BYTES_MAX,
        };
        if invocation.payload.len() > limit {
            return Err(InvokeError::PayloadTooLarge { limit });
        }
        if invocation.payload.is_empty() {
            invocation.payload = Bytes::from_static(b"{}");
        }
        let accepted = InvocationOutput {
            payload: Bytes::new(),
            function_error: None,
            executed_version: pool.config.version.clone(),
            log_tail: None,
        };
        let invoked_arn = reference.qualifier.map(|qualifier| format!("{}:{qualifier}", pool.config.arn));
        let request_id = invocation.request_id.take().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let call = QueuedCall { pool, invocation, invoked_arn, request_id };
        match call.invocation.invocation_type {
            InvocationType::DryRun => Ok(Submitted::Accepted(accepted)),
            InvocationType::RequestResponse => call.send().map(Submitted::Waiting),
            InvocationType::Event => {
                self.inner.shared.handle.spawn(call.send_until_it_works());
                Ok(Submitted::Accepted(accepted))
            }
        }
    }

    /// The functions' own runtime, for work that must not hold up a caller's.
    pub(crate) fn handle(&self) -> &Handle {
        &self.inner.shared.handle
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
    Accepted(InvocationOutput),
}

struct QueuedCall {
    pool: Arc<Pool>,
    invocation: Invocation,
    invoked_arn: Option<String>,
    request_id: String,
}

impl QueuedCall {
    fn send(&self) -> Result<oneshot::Receiver<Result<InvocationOutput, InvokeError>>, InvokeError> {
        let (reply, answer) = oneshot::channel();
        self.pool.dispatch(Job {
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
        });
        Ok(answer)
    }

    async fn send_until_it_works(self) {
        for pause in ASYNC_RETRIES.into_iter().map(Some).chain([None]) {
            let outcome = match self.send() {
                Ok(answer) => answer.await.unwrap_or(Err(InvokeError::ShuttingDown)),
                Err(error) => Err(error),
            };
            let problem = match outcome {
                Ok(InvocationOutput { function_error: None, .. }) => return,
                Ok(output) => String::from_utf8_lossy(&output.payload).into_owned(),
                Err(error) => error.to_string(),
            };
            let (function, request_id) = (&self.pool.config.name, &self.request_id);
            let Some(pause) = pause else {
                tracing::error!(target: "function", function, request_id, "the event is given up: {problem}");
                return;
            };
            tokio::time::sleep(pause).await;
        }
    }
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
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = stop.send(());
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}
