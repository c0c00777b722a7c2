//! `serve` and `up`: everything started in order, and ended in the opposite one.

use std::future::Future;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, setrlimit};
use stagedoor_control_plane::{ControlPlane, Settings};
use stagedoor_data_plane::acme::Challenges;
use stagedoor_data_plane::backends::health;
use stagedoor_data_plane::clients::Clients;
use stagedoor_data_plane::listener::{self, ListenError, Listener};
use stagedoor_data_plane::logs::LogWriter;
use stagedoor_data_plane::metrics::Metrics;
use stagedoor_data_plane::plan::CompileSettings;
use stagedoor_data_plane::published::{self, Retired};
use stagedoor_data_plane::test_invoke::Tester;
use stagedoor_data_plane::websocket::WebSockets;
use stagedoor_data_plane::worker::{self, Services};
use stagedoor_functions::{ApiSettings, LambdaApi};
use stagedoor_shared_state::{Counters, Limit, MemoryCounters};
use stagedoor_store::RedbStore;
use stagedoor_templates::Problem;
use stagedoor_wire::{Wire, WireSettings};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::acme::{Acme, Certificates};
use crate::check::CompileCheck;
use crate::cli::ServeOptions;
use crate::config::{AccountThrottle, Config};
use crate::control::Control;
use crate::domains::{self, ConfiguredTruststores, DomainBuilder};
use crate::issuers::AskedIssuers;
use crate::principals::PrincipalsFile;
use crate::publisher::{self, Publisher};
use crate::secrets::KeyFile;
use crate::tester::PipelineTester;
use crate::{data_folder, lambda, up, usage};

/// How long requests in flight may take to finish once the process has been asked to end.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

/// Why the gateway could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(String),
    /// An address cannot be listened on.
    #[error("{0}. {advice}Choose another address with --listen, --control or `listen` of the configuration file.", advice = advice(.0))]
    Listen(#[from] ListenError),
    /// The store cannot be used.
    #[error("{0}")]
    Store(String),
    /// The definitions are wrong.
    #[error("{} in the definitions", if .0.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", .0.len()) })]
    Definitions(Vec<Problem>),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What may be the matter with an address.
fn advice(error: &ListenError) -> &'static str {
    match error.source.kind() {
        std::io::ErrorKind::AddrInUse => "Is another process using it? ",
        std::io::ErrorKind::AddrNotAvailable => "No network interface of this machine has it. ",
        std::io::ErrorKind::PermissionDenied => "Ports below 1024 are for root alone. ",
        _ => "",
    }
}

impl Failure {
    /// See `stagedoor --help`.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Other(_) => 1,
            Self::Config(_) => 2,
            Self::Listen(_) => 3,
            Self::Store(_) => 4,
            Self::Definitions(_) => 5,
        })
    }
}

/// Serves until the process is asked to end. With a project, its definitions are applied and kept applied.
pub(crate) fn run(options: &ServeOptions, project: Option<&Path>) -> Result<(), Failure> {
    let config = options
        .config
        .as_deref()
        .map_or_else(|| Ok(Config::default()), Config::read)
        .map_err(Failure::Config)?;
    if config.credentials.is_empty() && !options.control.ip().is_loopback() {
        return Err(Failure::Config(format!(
            "--control {} can be reached from other machines, so it needs credentials. Put [[credentials]] with \
             access_key_id and secret_access_key into a file and name it with --config, or listen on 127.0.0.1.",
            options.control
        )));
    }
    if options.listen == options.control && options.listen.port() != 0 {
        return Err(Failure::Config(format!(
            "--listen and --control are both {}: API traffic and control-plane calls need an address each",
            options.listen
        )));
    }
    domains::check_default(&config).map_err(Failure::Config)?;
    let config = Arc::new(config);
    shield();
    take_all_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_start(give_way)
        .build()
        .map_err(|error| Failure::Other(format!("the event loop could not start: {error}")))?;
    let handle = runtime.handle().clone();
    let outcome = runtime.block_on(serve(options, &config, project, handle));
    // Blocking work that is still running belongs to nobody any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Keeps functions, which run as the same user, from reading the gateway's memory and environment in `/proc`: both hold
/// secrets. It also means that the gateway leaves no core dump.
fn shield() {
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "functions may read the gateway's memory");
    }
}

/// Takes as many open files as the process may have: each connection is one, and what a shell gives by itself (1,024 as a
/// rule) is for programs that wait with `select`. Functions have a limit of their own.
fn take_all_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, ?limit, "the number of open files stays as it is");
    }
}

/// Lowers the calling thread's priority: calls that change definitions, and the compiling of plans, give way to traffic
/// where both want the same core.
fn give_way() {
    const NICE: i32 = 10;
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "a thread of the control plane keeps the priority of traffic");
    }
}

/// Frees plans that are not served any more, away from the workers, until the last worker is gone.
fn free_retired() -> std::io::Result<Retired> {
    let (retired, old) = mpsc::channel();
    std::thread::Builder::new().name("retired-plans".to_owned()).spawn(move || {
        give_way();
        old.into_iter().for_each(drop);
    })?;
    Ok(retired)
}

async fn serve(
    options: &ServeOptions,
    config: &Arc<Config>,
    project: Option<&Path>,
    runtime: Handle,
) -> Result<(), Failure> {
    let mut end = End::new()?;
    let made = match config.functions.user().map_err(Failure::Config)? {
        Some((_, group)) => data_folder::make_for_group(&options.data, group),
        None => data_folder::make(&options.data),
    };
    made.map_err(Failure::Store)?;
    let store = RedbStore::open(&options.data).map_err(|error| Failure::Store(error.to_string()))?;
    let count = options.workers.map_or_else(cores, usize::from);
    let metrics = Metrics::new(count);
    let vpc_links = config.vpc_link_targets().map_err(Failure::Config)?;
    health::start(&vpc_links, &runtime).map_err(Failure::Config)?;
    let cache_budget = config.cache.budget();
    let compile = CompileSettings {
        account_id: config.account_id.clone(),
        region: config.region.clone(),
        log_destinations: config.log_destinations().map_err(Failure::Config)?,
        metrics: Arc::clone(&metrics),
        vpc_links,
        has_account_throttle: config.account_throttle.is_some(),
        user_pools: config.user_pools.clone(),
        aws: config.aws_services(std::env::vars()).map_err(Failure::Config)?,
        cache_budget: Arc::clone(&cache_budget),
    };
    // What is compiled to be thrown away counts in nothing that is shown, and takes no tokens.
    let trial = CompileSettings { metrics: Metrics::new(1), has_account_throttle: false, ..compile.clone() };
    let logs = LogWriter::start()
        .map_err(|error| Failure::Other(format!("the log writer could not start: {error}")))?;
    let functions = lambda::start(options, config, project.is_some())?;
    let counters: Arc<dyn Counters> =
        Arc::new(MemoryCounters::open(&options.data).map_err(|error| Failure::Store(error.to_string()))?);
    let current = published::nothing_published();
    let clients = Clients::none();
    let principals = PrincipalsFile::in_folder(&options.data)
        .follow(Arc::clone(config), &runtime)
        .map_err(Failure::Config)?;
    let services = Arc::new(Services {
        current: Arc::clone(&current),
        retired: free_retired().map_err(|error| {
            Failure::Other(format!("the thread that frees plans could not start: {error}"))
        })?,
        clients: Arc::clone(&clients),
        counters: Arc::clone(&counters),
        account: config.account_throttle.map(|limit| worker::AccountThrottle {
            limit: Limit { rate: limit.rate_limit, burst: limit.burst_limit },
            bucket: counters.bucket("account"),
        }),
        lambda: Arc::new(lambda::Invoker {
            functions: functions.clone(),
            endpoints: config.remote_lambda().map_err(Failure::Config)?.into_iter().map(Arc::new).collect(),
        }),
        tls: Default::default(),
        vpc_endpoints: config.vpc_endpoints(),
        logs: Some(Arc::clone(&logs)),
        principals,
        takes_any_local_key: config.credentials.is_empty(),
        xray_daemon: Some(config.xray_daemon()),
        websockets: WebSockets::new(config.websocket.limits(), &*counters),
        streams: config.streams.limits(),
        challenges: Challenges::default(),
    });
    let tester = Tester::start(Arc::clone(&services))
        .map_err(|error| Failure::Other(format!("the worker for tests could not start: {error}")))?;
    let issuers = AskedIssuers {
        client: tester.issuers(),
        discovery: config.authorizers.issuer_discovery,
        control: options.control,
    };
    let meter = usage::Meter { counters: Arc::clone(&counters), runtime: runtime.clone() };
    let defaults = Settings::default();
    let settings = Settings {
        account_id: config.account_id.clone(),
        region: config.region.clone(),
        traffic_url: Some(local_url(options.listen)),
        quotas: config.quotas.clone(),
        deployment_check: Arc::new(CompileCheck(trial.clone())),
        method_tester: Arc::new(PipelineTester { tester, settings: trial }),
        issuers: Arc::new(issuers),
        truststores: Arc::new(ConfiguredTruststores(Arc::clone(config))),
        secrets: Arc::new(KeyFile::in_folder(&options.data)),
        usage: Arc::new(meter),
        account_throttle: match config.account_throttle {
            Some(AccountThrottle { rate_limit, burst_limit }) => {
                (rate_limit, i32::try_from(burst_limit).unwrap_or(i32::MAX))
            }
            None => defaults.account_throttle,
        },
        ..defaults
    };
    let control_plane = Arc::new(ControlPlane::new(Arc::new(store), settings));
    control_plane.encrypt_private_keys().map_err(|error| Failure::Store(error.to_string()))?;
    let lambda = LambdaApi::open(
        functions.clone(),
        ApiSettings {
            data: options.data.join("functions"),
            account: config.account_id.clone(),
            region: config.region.clone(),
        },
    )
    .map_err(|error| Failure::Store(error.to_string()))?;

    // A mistake in the definitions is found before anything is served.
    let project = project
        .map(|path| up::load(path, config, &functions, None))
        .transpose()
        .map_err(Failure::Definitions)?;

    let target = publisher::Target {
        current,
        clients,
        counters: Arc::clone(&counters),
        services: Arc::clone(&services),
    };
    let files_changed = Arc::new(Notify::new());
    let certificates = config.acme.as_ref().map(|acme| Certificates::of(&options.data, &acme.directory));
    let domains = DomainBuilder::new(Arc::clone(config), certificates.clone());
    let (publisher, mut follow) =
        Publisher::start(Arc::clone(&control_plane), target, compile, domains, Arc::clone(&files_changed))
            .map_err(|error| Failure::Store(error.to_string()))?;
    runtime.spawn(publisher.follow());
    if let (Some(config), Some(certificates)) = (config.acme.clone(), certificates) {
        let (challenges, changed) = (services.challenges.clone(), Arc::clone(&files_changed));
        runtime.spawn(Acme { config, certificates, challenges, changed }.run());
    }
    runtime.spawn(domains::watch_files(Arc::clone(config), files_changed));

    let wire = Wire::new(
        Arc::clone(&control_plane),
        WireSettings { credentials: config.wire_credentials(), region: None },
    );
    let control = Control {
        wire: Arc::new(wire),
        lambda,
        follow: follow.clone(),
        runtime: runtime.clone(),
        metrics,
        cache_budget,
        data: options.data.clone(),
        logs: Arc::clone(&logs),
    };
    let mut listeners = vec![
        Listener::plain(options.listen, None),
        Listener::plain(options.control, Some(Arc::new(control))),
    ];
    listeners.extend(configured_listeners(config));

    // The project is applied before the first request can come in.
    let applied = match &project {
        Some(project) => {
            Some(up::apply(project, &control_plane, &functions).await.map_err(Failure::Definitions)?)
        }
        None => None,
    };
    follow.caught_up().await;
    functions.resume();
    let workers = listener::start(&services, listeners, count)?;
    let (traffic, control) = match workers.addresses() {
        [traffic, control, ..] => (*traffic, *control),
        _ => return Err(Failure::Other("a listener is missing".to_owned())),
    };
    tracing::info!("API traffic on http://{traffic}");
    tracing::info!("AWS control-plane calls on http://{control}");
    if let Some(https) = &config.https {
        tracing::info!("API traffic on https://{}", https.listen);
    }
    if config.credentials.is_empty() {
        tracing::info!("no credentials are configured: {control} accepts any access key");
    }
    let watching = applied.zip(project).map(|(applied, project)| {
        up::print(&applied, traffic);
        runtime.spawn(up::watch(project, Arc::clone(&control_plane), functions.clone(), follow.clone()))
    });

    let rotating = runtime.spawn(end.reopen_logs(Arc::clone(&logs)));

    end.asked().await;
    rotating.abort();
    tracing::info!("ending: requests in flight have {} s to finish", DRAIN_TIME_MAX.as_secs());
    if let Some(watching) = watching {
        watching.abort();
    }
    let drained = runtime.spawn_blocking(move || workers.drain(DRAIN_TIME_MAX));
    tokio::select! {
        _ = drained => {}
        () = end.asked() => tracing::warn!("asked again: ending at once"),
    }
    // Workers and tasks may outlive this; what they have counted must not be lost with them.
    let flushed = runtime.spawn_blocking(move || counters.flush()).await;
    if let Err(error) = flushed {
        tracing::error!(%error, "what API keys have used may not have been kept");
    }
    functions.shutdown().await;
    // The workers have handed over their last lines.
    let written = runtime.spawn_blocking(move || logs.finish());
    if written.await.is_err() {
        tracing::error!("the last log lines may not have been written");
    }
    Ok(())
}

/// The address of a listener as a client on this machine would write it.
fn local_url(listen: std::net::SocketAddr) -> String {
    let port = listen.port();
    if listen.ip().is_unspecified() { format!("http://127.0.0.1:{port}") } else { format!("http://{listen}") }
}

/// The listeners that only a configuration file can ask for.
fn configured_listeners(config: &Config) -> Vec<Listener> {
    let mut listeners = Vec::new();
    if let Some(https) = &config.https {
        listeners.push(Listener { tls: true, ..Listener::plain(https.listen, None) });
    }
    for endpoint in &config.vpc_endpoints {
        let addresses = [(endpoint.listen, false), (endpoint.listen_https, true)];
        for (address, tls) in addresses.into_iter().filter_map(|(address, tls)| Some((address?, tls))) {
            let vpc_endpoint = Some(endpoint.endpoint());
            listeners.push(Listener { tls, vpc_endpoint, ..Listener::plain(address, None) });
        }
    }
    listeners
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The signals that ask the process to end.
struct End {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: Option<tokio::signal::unix::Signal>,
}

impl End {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::Other(format!("signals cannot be received: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: Some(listen(SignalKind::hangup())?),
        })
    }

    /// SIGHUP: log files have been renamed, and others take their place.
    fn reopen_logs(&mut self, logs: Arc<LogWriter>) -> impl Future<Output = ()> + use<> {
        let hang_up = self.hang_up.take();
        async move {
            let Some(mut hang_up) = hang_up else { return };
            while hang_up.recv().await.is_some() {
                logs.reopen();
            }
        }
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
