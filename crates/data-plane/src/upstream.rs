//! Where requests are forwarded to: the address of an HTTP backend, parsed at deployment. The connections to it are
//! in [`crate::forward`].

use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use stagedoor_http::BodyError;

use crate::tls::ClientTls;

/// How a backend is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1 over TCP.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
}

/// A backend: everything about its URL that is known at deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// How to speak to it.
    pub scheme: Scheme,
    /// Host name or address, without brackets.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// What goes into the `Host` header: the host, and the port where it is not the scheme's own.
    pub authority: ByteString,
    /// Where the connection is made to, if not to that host and port: a target of a VPC link.
    pub target: Option<Target>,
    /// How its certificate is checked.
    pub certificate: CertificateCheck,
    /// The certificate that the gateway shows it (the stage's `clientCertificateId`).
    pub client: Option<Arc<ClientTls>>,
}

/// How a backend's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CertificateCheck {
    /// Issuer, dates and name.
    #[default]
    Full,
    /// Issuer and dates: private integrations whose `tlsConfig` names no server. No name is asked for either.
    Issuer,
    /// Not at all (`tlsConfig.insecureSkipVerification`).
    None,
}

/// The address tells nearly all backends apart, and this is done for each request.
impl Hash for Upstream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Host name or address, without brackets.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
}

impl FromStr for Target {
    type Err = String;

    /// Reads `host:port`; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is no host and port, such as 10.0.0.1:8080");
        let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
        let port = port.parse().ok().filter(|&port| port != 0).ok_or_else(malformed)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
            None if !host.is_empty() && !host.contains([':', '/', '@', '[', ']', ' ']) => host,
            _ => return Err(malformed()),
        };
        Ok(Self { host: host.into(), port })
    }
}

/// A URL that cannot be an integration endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid HTTP endpoint specified for URI: {0}")]
pub struct InvalidUpstream(pub String);

impl Upstream {
    /// The host and port that a connection is made to.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        self.target.as_ref().map_or((&self.host, self.port), |target| (&target.host, target.port))
    }

    /// Splits `http://host[:port]/path?query` into the backend and the rest, which starts with `/` or is empty.
    ///
    /// # Errors
    /// [`InvalidUpstream`] if the scheme is neither http nor https, or the authority is malformed.
    pub fn parse(url: &str) -> Result<(Self, &str), InvalidUpstream> {
        let invalid = || InvalidUpstream(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(invalid()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let parsed: http::uri::Authority = authority.parse().map_err(|_| invalid())?;
        if parsed.host().is_empty() || authority.contains('@') {
            return Err(invalid());
        }
        let default_port = match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        let port = match parsed.port() {
            Some(port) => port.as_str().parse().map_err(|_| invalid())?,
            // A port that is no number of a port counts as none there.
            None if parsed.as_str().len() > parsed.host().len() => return Err(invalid()),
            None => default_port,
        };
        let authority =
            if port == default_port { parsed.host().to_owned() } else { format!("{}:{port}", parsed.host()) };
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']');
        Ok((
            Self {
                scheme,
                host: host.into(),
                port,
                authority: authority.into(),
                target: None,
                certificate: CertificateCheck::Full,
                client: None,
            },
            rest,
        ))
    }
}

/// Why a backend gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection could be made.
    #[error("cannot connect to {authority}: {source}")]
    Connect {
        /// Host and port.
        authority: ByteString,
        /// What the system said.
        source: std::io::Error,
    },
    /// TLS could not be agreed on.
    #[error("TLS with {authority} failed: {reason}")]
    Tls {
        /// Host and port.
        authority: ByteString,
        /// What rustls said.
        reason: String,
    },
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It closed the connection before it answered.
    #[error("the backend closed the connection before it answered")]
    Closed,
    /// The connection failed when it had begun to answer.
    #[error("the connection failed: {0}")]
    Broken(std::io::Error),
    /// No target of the VPC link may have one more request.
    #[error("every target of the VPC link has as many requests as it may have")]
    Overloaded,
    /// Its answer is not HTTP.
    #[error("the backend's answer is not HTTP/1.1: {0}")]
    Protocol(String),
    /// The client's request body could not be read to its end.
    #[error("the request body could not be read: {0}")]
    RequestBody(BodyError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Option<(&str, u16, &str, &str)>) {
        let parsed = Upstream::parse(url).ok();
        let parsed = parsed.as_ref().map(|(u, rest)| (&*u.host, u.port, &*u.authority, *rest));
        assert_eq!(parsed, expected, "{url}");
    }

    #[test]
    fn targets() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let parsed = text.parse::<Target>().ok();
            assert_eq!(parsed.as_ref().map(|target| (&*target.host, target.port)), expected, "{text}");
        };
        check("10.0.0.1:80", Some(("10.0.0.1", 80)));
        check("orders.internal:8080", Some(("orders.internal", 8080)));
        check("[::1]:81", Some(("::1", 81)));
        check("::1:81", None);
        check("[a]:81", None);
        check("a", None);
        check("a:0", None);
        check("http://a:80", None);
        check(":80", None);
    }

    #[test]
    fn urls_become_backends() {
        check("http://a.b/c?d", Some(("a.b", 80, "a.b", "/c?d")));
        check("HTTPS://a:443?d", Some(("a", 443, "a", "?d")));
        check("http://a:8080", Some(("a", 8080, "a:8080", "")));
        check("http://[::1]:81/x", Some(("::1", 81, "[::1]:81", "/x")));
        check("ftp://a/", None);
        check("http:///x", None);
        check("http://user@a/", None);
        check("http://a:99999/", None);
        check("a/b", None);
    }
}
