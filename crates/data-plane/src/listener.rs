//! Workers and what they listen on.
//!
//! Each worker binds its own socket to each address (`SO_REUSEPORT`), so that the kernel spreads connections over the
//! workers and no thread hands one to another.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::{libc, setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use stagedoor_websocket::code;

use crate::accept::Acceptor;
use crate::connection::{self, Listening};
use crate::domains::VpcEndpoint;
use crate::handshake;
use crate::worker::{ConnectionInfo, Fallback, Services, Worker};

sockopt_impl!(
    /// `TCP_DEFER_ACCEPT`, in seconds.
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    i32
);

const BACKLOG: i32 = 4096;
/// How long a connection may wait for its first bytes before it is handed over without them.
const DEFER_SECONDS: i32 = 1;
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How many tasks may go on before the system is asked for news. What is done in one turn is done together (see
/// `stagedoor_http::turn`), so a turn has to have room for what many connections do.
const POLLS_PER_TURN: u32 = 512;
/// How long accepting pauses when the process or the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the log is told of that.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// An address to listen on.
pub struct Listener {
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Who answers what is not API traffic. Without one it is refused.
    pub fallback: Option<Arc<dyn Fallback>>,
    /// Whether its connections are encrypted, with the settings that are published.
    pub tls: bool,
    /// The VPC endpoint that its clients come through, whatever their address.
    pub vpc_endpoint: Option<Arc<VpcEndpoint>>,
}

impl Listener {
    /// A plain listener.
    #[must_use]
    pub fn plain(address: SocketAddr, fallback: Option<Arc<dyn Fallback>>) -> Self {
        Self { address, fallback, tls: false, vpc_endpoint: None }
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Running workers.
pub struct Workers {
    addresses: Vec<SocketAddr>,
    drain: watch::Sender<Option<Duration>>,
    threads: Vec<JoinHandle<()>>,
}

/// Binds all addresses and starts `count` workers on them.
///
/// # Errors
/// [`ListenError`] if an address is in use or not ours; nothing has been started then.
pub fn start(
    services: &Arc<Services>,
    listeners: Vec<Listener>,
    count: usize,
) -> Result<Workers, ListenError> {
    let mut addresses = Vec::with_capacity(listeners.len());
    let mut sockets: Vec<Vec<_>> = (0..count.max(1)).map(|_| Vec::new()).collect();
    for listener in listeners {
        let mut address = listener.address;
        let failed = |source| ListenError { address: listener.address, source };
        // A socket that shares its port would be let in beside another process that shares it too. One that does not
        // share finds out whether the port is free.
        if address.port() != 0 {
            drop(bind(address, false).map_err(failed)?);
        }
        for worker in &mut sockets {
            let socket = bind(address, true).map_err(failed)?;
            address = socket.local_addr().map_err(failed)?;
            let listening = Settings {
                fallback: listener.fallback.clone(),
                tls: listener.tls,
                vpc_endpoint: listener.vpc_endpoint.clone(),
            };
            worker.push((socket, address, listening));
        }
        addresses.push(address);
    }
    let (drain, draining) = watch::channel(None);
    let mut threads = Vec::with_capacity(sockets.len());
    for (number, sockets) in sockets.into_iter().enumerate() {
        let (services, draining) = (Arc::clone(services), draining.clone());
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || run(services, number, sockets, draining))
            .map_err(|source| ListenError {
                address: addresses.first().copied().unwrap_or_else(unbound),
                source,
            })?;
        threads.push(thread);
    }
    Ok(Workers { addresses, drain, threads })
}

fn unbound() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

impl Workers {
    /// The addresses that are listened on, in the order of the listeners given.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops accepting, lets requests in flight finish for at most `limit`, and ends the workers. Blocks until then.
    pub fn drain(self, limit: Duration) {
        self.drain.send_replace(Some(limit));
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended in a panic");
            }
        }
    }
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    // Accepted connections inherit it, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    // Clients speak first, in HTTP as in TLS. So a connection is taken when its first bytes are there: they can be read at
    // once, and the event loop need not be told to wait for them. One that stays silent is handed over after this time.
    nix::sys::socket::setsockopt(&socket, DeferAccept, &DEFER_SECONDS)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

type Bound = (StdListener, SocketAddr, Settings);

/// What a listener's connections have in common, before they belong to a worker.
struct Settings {
    fallback: Option<Arc<dyn Fallback>>,
    tls: bool,
    vpc_endpoint: Option<Arc<VpcEndpoint>>,
}

fn run(
    services: Arc<Services>,
    number: usize,
    sockets: Vec<Bound>,
    mut draining: watch::Receiver<Option<Duration>>,
) {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().event_interval(POLLS_PER_TURN);
    let runtime = match builder.build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a worker could not start");
            return;
        }
    };
    runtime.block_on(async move {
        let worker = Worker::new(services, number);
        let mut accepting = Vec::with_capacity(sockets.len());
        for (socket, address, settings) in sockets {
            match Acceptor::new(socket) {
                Ok(acceptor) => {
                    let Settings { fallback, tls, vpc_endpoint } = settings;
                    let listening = Rc::new(Listening { fallback, tls, vpc_endpoint });
                    let accept = accept(Rc::clone(&worker), acceptor, address, listening);
                    accepting.push(tokio::task::spawn_local(accept));
                }
                Err(error) => tracing::error!(%error, %address, "a worker could not listen"),
            }
        }
        let sweep = tokio::task::spawn_local(sweep(Rc::clone(&worker)));
        let limit =
            draining.wait_for(Option::is_some).await.ok().and_then(|limit| *limit).unwrap_or_default();
        for task in accepting {
            task.abort();
            let _ = task.await;
        }
        worker.drain.begin();
        let connections = &worker.services.websockets.connections;
        connections.close_all(code::GOING_AWAY, "Going away", |_| true);
        if tokio::time::timeout(limit, worker.drain.finished()).await.is_err() {
            tracing::warn!("connections that did not finish within {limit:?} were closed");
        }
        worker.logs.flush();
        sweep.abort();
    });
}

async fn accept(worker: Rc<Worker>, acceptor: Acceptor, local: SocketAddr, listening: Rc<Listening>) {
    let mut told: Option<Instant> = None;
    loop {
        match acceptor.accept().await {
            Ok((stream, peer)) => {
                let (worker, listening) = (Rc::clone(&worker), Rc::clone(&listening));
                let of_client = || worker.services.vpc_endpoints.of_client(peer.ip());
                let vpc_endpoint = listening.vpc_endpoint.clone().or_else(of_client);
                let mut info = ConnectionInfo::new(peer, local, vpc_endpoint);
                info.is_at_vpc_endpoint = listening.vpc_endpoint.is_some();
                if listening.tls {
                    tokio::task::spawn_local(handshake::serve(worker, listening, stream, info));
                } else {
                    // In a box: the runtime moves what it is handed several times, and a connection's state is large.
                    tokio::task::spawn_local(Box::pin(connection::serve(worker, listening, stream, info)));
                }
            }
            // The client gave up before its turn came.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // It goes on until somebody closes something, and is not told each time.
                if told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL) {
                    told = Some(Instant::now());
                    tracing::error!(%error, "connections cannot be accepted; those who connect wait");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn sweep(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        worker.pool.sweep();
        worker.grants.sweep();
        worker.tokens.sweep();
    }
}
