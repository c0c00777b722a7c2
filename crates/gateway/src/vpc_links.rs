//! What the configuration file says of VPC links: where they lead, and how their targets are used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use stagedoor_data_plane::backends::group::{self, Group, Policy};
use stagedoor_data_plane::backends::health::Check;
use stagedoor_data_plane::server_tls::Identity;
use stagedoor_data_plane::tls::ClientTls;
use stagedoor_data_plane::upstream::Target;

/// The targets of one VPC link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfiguredVpcLink {
    /// The link's name, its id, or the ARN of the load balancer that it has for a target.
    pub(crate) name: String,
    /// `HOST:PORT`, one or more.
    targets: Vec<String>,
    /// How one is chosen.
    #[serde(default)]
    policy: ConfiguredPolicy,
    /// To how many more targets a request goes that failed at one.
    retries: Option<usize>,
    /// Requests under way at one target at once.
    max_requests: Option<usize>,
    /// Failures in a row that eject a target.
    eject_after: Option<u32>,
    /// How long the first ejection lasts.
    eject_seconds: Option<f64>,
    /// Active checks.
    health_check: Option<ConfiguredCheck>,
    /// The certificate that targets are shown, in PEM, with its chain.
    pub(crate) client_certificate: Option<PathBuf>,
    /// Its private key.
    pub(crate) client_key: Option<PathBuf>,
}

/// How a link's target is chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ConfiguredPolicy {
    #[default]
    RoundRobin,
    LeastConnections,
}

/// Active checks of a link's targets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfiguredCheck {
    path: Option<String>,
    #[serde(default)]
    https: bool,
    interval_seconds: Option<f64>,
    timeout_seconds: Option<f64>,
    healthy_after: Option<u32>,
    unhealthy_after: Option<u32>,
}

impl ConfiguredCheck {
    fn check(&self) -> Result<Check, String> {
        let path = self.path.as_deref();
        let visible = |path: &str| path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        if path.is_some_and(|path| !visible(path)) {
            return Err("the path of a health check begins with a slash and has no spaces".to_owned());
        }
        if self.https && path.is_none() {
            return Err("a health check with https needs a path".to_owned());
        }
        Ok(Check {
            path: path.map(Into::into),
            https: self.https,
            interval: seconds(self.interval_seconds, 30.0)?,
            timeout: seconds(self.timeout_seconds, 6.0)?,
            healthy_after: self.healthy_after.unwrap_or(5).max(1),
            unhealthy_after: self.unhealthy_after.unwrap_or(2).max(1),
        })
    }
}

/// A time that is not nothing.
fn seconds(given: Option<f64>, default: f64) -> Result<Duration, String> {
    let given = given.unwrap_or(default);
    let time = Duration::try_from_secs_f64(given).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| format!("{given} is no number of seconds above 0"))
}

impl ConfiguredVpcLink {
    /// What is configured of the link's targets.
    ///
    /// # Errors
    /// A sentence that says what is wrong, also with the files of its certificate.
    pub(crate) fn group(&self) -> Result<Arc<Group>, String> {
        let (targets, settings) = self.settings()?;
        Ok(Group::new(&self.name, targets, group::Settings { client: self.client()?, ..settings }))
    }

    /// The same without the certificate, whose files are not looked at.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn settings(&self) -> Result<(Vec<Target>, group::Settings), String> {
        let targets: Result<Vec<_>, String> = self.targets.iter().map(|target| target.parse()).collect();
        let targets = targets?;
        if targets.is_empty() {
            return Err("needs targets, such as [\"10.0.0.1:8080\"]".to_owned());
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            return Err("client_certificate and client_key belong together".to_owned());
        }
        let defaults = group::Settings::default();
        let settings = group::Settings {
            policy: match self.policy {
                ConfiguredPolicy::RoundRobin => Policy::RoundRobin,
                ConfiguredPolicy::LeastConnections => Policy::LeastConnections,
            },
            retries: self.retries.unwrap_or(defaults.retries),
            max_requests: self.max_requests.unwrap_or(defaults.max_requests).max(1),
            eject_after: self.eject_after.unwrap_or(defaults.eject_after).max(1),
            eject_for: seconds(self.eject_seconds, defaults.eject_for.as_secs_f64())?,
            check: self.health_check.as_ref().map(ConfiguredCheck::check).transpose()?,
            client: None,
        };
        Ok((targets, settings))
    }

    fn client(&self) -> Result<Option<Arc<ClientTls>>, String> {
        let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) else {
            return Ok(None);
        };
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let identity = Identity::from_pem(&read(certificate)?, &read(key)?)?;
        Ok(Some(Arc::new(ClientTls::new(self.name.clone(), identity))))
    }
}
