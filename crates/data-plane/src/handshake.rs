//! The TLS handshake of a client's connection. Which certificate and which rules hold is decided by the name that the
//! client asks for, with the settings that are published at that moment.

use std::rc::Rc;
use std::time::Duration;

use crate::accept::ClientStream;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::LazyConfigAcceptor;

use crate::connection::{self, Listening};
use crate::edge;
use crate::worker::{ConnectionInfo, TlsConnection, Worker};

/// How long a handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// A fatal alert: no certificate for the name that was asked for (RFC 6066, `unrecognized_name`).
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

/// Shakes hands, and serves the connection until it closes.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    listening: Rc<Listening>,
    stream: ClientStream,
    mut info: ConnectionInfo,
) {
    let handshake = tokio::time::timeout(HANDSHAKE_TIME_MAX, shake(&worker, stream, &info));
    match handshake.await {
        Ok(Ok((stream, tls))) => {
            info.tls = Some(tls);
            connection::serve(worker, listening, stream, info).await;
        }
        Ok(Err(error)) => tracing::debug!(peer = %info.peer, %error, "no TLS connection"),
        Err(_) => tracing::debug!(peer = %info.peer, "the TLS handshake took too long"),
    }
}

type Encrypted = tokio_rustls::server::TlsStream<ClientStream>;

async fn shake(
    worker: &Worker,
    stream: ClientStream,
    info: &ConnectionInfo,
) -> std::io::Result<(Encrypted, TlsConnection)> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    if let Some(challenge) = worker.services.challenges.find(&start.client_hello()) {
        let mut stream = start.into_stream(challenge).await?;
        stream.shutdown().await?;
        return Err(std::io::Error::other("a certificate authority was shown that the name is served here"));
    }
    let config = {
        let hello = start.client_hello();
        let endpoint = info.vpc_endpoint.as_ref().map(|endpoint| endpoint.id.as_str());
        let published = worker.view.load();
        let policy = hello.server_name().and_then(|name| edge::security_policy(&published, name));
        published.domains.tls(hello.server_name(), endpoint, policy)
    };
    let Some(config) = config else {
        let mut stream = start.io;
        stream.write_all(UNRECOGNIZED_NAME).await?;
        return Err(std::io::Error::other("there is no certificate for the name"));
    };
    let stream = start.into_stream(config).await?;
    let (_, session) = stream.get_ref();
    let tls = TlsConnection::new(session, session.server_name());
    Ok((stream, tls))
}
