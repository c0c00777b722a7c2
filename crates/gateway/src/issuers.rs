//! Whether the issuers that authorizers name can be had, and where their keys are: the control plane asks, a worker fetches.
//!
//! AWS takes none that it cannot ask. Here whoever has no network can work on all the same: an issuer that answers without
//! a discovery document is refused, and one that does not answer at all is taken, unless the configuration says otherwise.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::Deserialize;
use stagedoor_control_plane::{Issuers, KeySets, Refused};
use stagedoor_data_plane::phases::authorization::jwt::DocumentError;
use stagedoor_data_plane::test_invoke::IssuerClient;
use stagedoor_data_plane::upstream::Upstream;

use crate::token;

/// The section `[authorizers]` of the configuration file.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfiguredAuthorizers {
    /// Which issuers authorizers may name.
    pub(crate) issuer_discovery: Discovery,
}

/// Which issuers authorizers may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Discovery {
    /// All but those that answer without a discovery document.
    #[default]
    IfReachable,
    /// Those that answer with one, as at AWS.
    Required,
    /// All: nobody is asked.
    Off,
}

/// Asks as the configuration says.
pub(crate) struct AskedIssuers {
    pub(crate) client: IssuerClient,
    pub(crate) discovery: Discovery,
    /// Where the built-in issuer is: it need not be asked, and cannot be before the listener is there.
    pub(crate) control: SocketAddr,
}

impl Issuers for AskedIssuers {
    fn ask(&self, issuers: &BTreeSet<&str>) -> KeySets {
        let is_asked = |issuer: &&str| self.discovery != Discovery::Off && !self.is_built_in(issuer);
        let (asked, taken): (Vec<&str>, Vec<&str>) = issuers.iter().copied().partition(is_asked);
        let answers = asked.iter().zip(self.client.ask(&asked)).map(|(issuer, answer)| {
            let error = match answer {
                Ok(key_set) => return ((*issuer).to_owned(), Ok(Some(key_set))),
                Err(error) => error,
            };
            let is_taken =
                self.discovery == Discovery::IfReachable && matches!(error, DocumentError::OutOfReach(_));
            match is_taken {
                true => tracing::warn!(issuer, %error, "an issuer of tokens is out of reach and not known to be one"),
                false => tracing::info!(issuer, %error, "an issuer of tokens is refused"),
            }
            ((*issuer).to_owned(), if is_taken { Ok(None) } else { Err(Refused) })
        });
        answers.chain(taken.into_iter().map(|issuer| (issuer.to_owned(), Ok(None)))).collect()
    }
}

impl AskedIssuers {
    fn is_built_in(&self, issuer: &str) -> bool {
        let Ok((upstream, path)) = Upstream::parse(issuer) else { return false };
        let is_here = &*upstream.host == "localhost"
            || upstream.host.parse().is_ok_and(|host: std::net::IpAddr| {
                host == self.control.ip() || (host.is_loopback() && self.control.ip().is_unspecified())
            });
        is_here && upstream.port == self.control.port() && path.starts_with(token::PATH)
    }
}
