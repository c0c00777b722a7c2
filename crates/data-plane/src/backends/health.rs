//! Active checks of a VPC link's targets, as load balancers make them: a connection, or a request whose status has to
//! be from 200 to 399. Certificates are not checked, as load balancers do not check them either.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

use super::VpcLinkTargets;
use super::group::Group;
use crate::tls::{ClientTls, unverified_connector};
use crate::upstream::{CertificateCheck, Target};

/// A status line is not longer than what is read of an answer.
const READ_MAX: u64 = 512;

/// How targets are checked.
#[derive(Clone, Debug)]
pub struct Check {
    /// What is asked for; without it a connection is enough.
    pub path: Option<Box<str>>,
    /// Whether it is asked for over TLS.
    pub https: bool,
    /// From the end of one check to the next.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Successes in a row that make a target healthy.
    pub healthy_after: u32,
    /// Failures in a row that make it unhealthy.
    pub unhealthy_after: u32,
}

/// Checks all targets for as long as the runtime lives.
///
/// # Errors
/// A sentence if TLS cannot be set up.
pub fn start(links: &VpcLinkTargets, runtime: &Handle) -> Result<(), String> {
    for group in links.values() {
        let Some(check) = group.settings().check.clone() else { continue };
        let client = group.settings().client.as_deref();
        let tls = if check.https { Some(connector(client)?) } else { None };
        for (index, target) in group.targets().enumerate() {
            let watched =
                Watched { group: Arc::clone(group), index, target: target.clone(), check: check.clone() };
            runtime.spawn(watch(watched, tls.clone()));
        }
    }
    Ok(())
}

fn connector(client: Option<&ClientTls>) -> Result<TlsConnector, String> {
    client.map_or_else(|| unverified_connector(None), |client| client.connector(CertificateCheck::None))
}

struct Watched {
    group: Arc<Group>,
    index: usize,
    target: Target,
    check: Check,
}

async fn watch(watched: Watched, tls: Option<TlsConnector>) {
    let Watched { group, index, target, check } = watched;
    let (mut healthy, mut against) = (true, 0);
    loop {
        let result = tokio::time::timeout(check.timeout, ask(&target, &check, tls.as_ref())).await;
        let passed = matches!(result, Ok(Ok(true)));
        against = if passed == healthy { 0 } else { against + 1 };
        let needed = if healthy { check.unhealthy_after } else { check.healthy_after };
        if against >= needed {
            (healthy, against) = (passed, 0);
            group.set_healthy(index, healthy);
            let state = if healthy { "healthy" } else { "unhealthy" };
            tracing::warn!("VPC link {}: {}:{} is {state}", group.name(), target.host, target.port);
        }
        tokio::time::sleep(check.interval).await;
    }
}

async fn ask(target: &Target, check: &Check, tls: Option<&TlsConnector>) -> io::Result<bool> {
    let stream = TcpStream::connect((&*target.host, target.port)).await?;
    match tls {
        None => status(stream, target, check.path.as_deref()).await,
        Some(tls) => {
            let name = ServerName::try_from(target.host.to_string()).map_err(io::Error::other)?;
            status(tls.connect(name, stream).await?, target, check.path.as_deref()).await
        }
    }
}

async fn status(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    target: &Target,
    path: Option<&str>,
) -> io::Result<bool> {
    let Some(path) = path else { return Ok(true) };
    let Target { host, port } = target;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: Stagedoor-HealthCheck\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (mut line, mut answer) = (Vec::new(), stream.take(READ_MAX));
    while !line.contains(&b'\n') && answer.read_buf(&mut line).await? > 0 {}
    Ok(passes(&line))
}

/// Whether an answer begins with a status line that tells of health.
fn passes(answer: &[u8]) -> bool {
    let code = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "));
    code.is_some_and(|code| matches!(code, [b'2' | b'3', b'0'..=b'9', b'0'..=b'9', b' ' | b'\r' | b'\n', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        let check =
            |answer: &str, expected: bool| assert_eq!(passes(answer.as_bytes()), expected, "{answer}");
        check("HTTP/1.1 200 OK\r\n", true);
        check("HTTP/1.0 302\r\n", true);
        check("HTTP/1.1 404 Not Found\r\n", false);
        check("HTTP/1.1 2000\r\n", false);
        check("HTTP/1.1 20", false);
        check("SSH-2.0", false);
        check("", false);
    }
}
