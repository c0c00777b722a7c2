//! The configuration file.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use stagedoor_control_plane::Quotas;
use stagedoor_data_plane::backends::VpcLinkTargets;
use stagedoor_data_plane::logs::LogDestinations;
use stagedoor_wire::Credential;

use crate::remote_lambda::{Endpoint, LambdaEndpoint};

/// What the configuration file can say. Unknown keys are errors: a misspelt setting must not go unnoticed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The region in ARNs and host names.
    pub(crate) region: String,
    /// The account in ARNs: twelve digits.
    pub(crate) account_id: String,
    /// The keys that control-plane calls have to be signed with.
    pub(crate) credentials: Vec<ConfiguredCredential>,
    /// Where functions run that are not known here.
    pub(crate) lambda_endpoints: Vec<LambdaEndpoint>,
    /// How much there may be of what; AWS's defaults where it says nothing.
    pub(crate) quotas: Quotas,
    /// Files for the logs of stages. What none of them names goes to standard output.
    pub(crate) log_destinations: Vec<LogDestination>,
    /// Where VPC links lead.
    pub(crate) vpc_links: Vec<ConfiguredVpcLink>,
    /// How fast all APIs together may be called. Not limited by default: AWS's limit, 10,000 a second and 5,000 at
    /// once, is what its own service takes from an account.
    pub(crate) account_throttle: Option<AccountThrottle>,
}

/// A file for the log lines that a stage sends to an ARN.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogDestination {
    /// The ARN as a stage's `accessLogSettings` name it, in which `*` stands for any text.
    arn: String,
    file: PathBuf,
}

/// The targets of one VPC link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfiguredVpcLink {
    /// The link's name, its id, or the ARN of the load balancer that it has for a target.
    name: String,
    /// `HOST:PORT`, one or more.
    targets: Vec<String>,
}

/// A limit for all APIs together.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountThrottle {
    /// Requests a second.
    pub(crate) rate_limit: f64,
    /// Requests at once.
    pub(crate) burst_limit: u32,
}

/// One access key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfiguredCredential {
    access_key_id: String,
    secret_access_key: String,
    #[serde(default)]
    session_token: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            credentials: Vec::new(),
            lambda_endpoints: Vec::new(),
            quotas: Quotas::default(),
            log_destinations: Vec::new(),
            vpc_links: Vec::new(),
            account_throttle: None,
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence that names the file and, for a wrong value, the line.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
        Self::parse(&text).map_err(|error| format!("{name}: {error}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        if config.account_id.len() != 12 || !config.account_id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("account_id must be twelve digits, not {:?}", config.account_id));
        }
        let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if config.region.is_empty() || !config.region.bytes().all(is_region) {
            return Err(format!("region must be one such as us-east-1, not {:?}", config.region));
        }
        if config
            .credentials
            .iter()
            .any(|key| key.access_key_id.is_empty() || key.secret_access_key.is_empty())
        {
            return Err("credentials need both access_key_id and secret_access_key".to_owned());
        }
        config.remote_lambda()?;
        if config.log_destinations.iter().any(|to| to.arn.is_empty() || to.file.as_os_str().is_empty()) {
            return Err("log_destinations need both arn and file".to_owned());
        }
        config.vpc_link_targets()?;
        if let Some(AccountThrottle { rate_limit, burst_limit }) = config.account_throttle
            && !(rate_limit.is_finite() && rate_limit >= 0.0 && i32::try_from(burst_limit).is_ok())
        {
            return Err("account_throttle needs a rate_limit and a burst_limit of at least 0".to_owned());
        }
        Ok(config)
    }

    /// Where the logs of stages are written.
    ///
    /// # Errors
    /// A sentence that names a file that cannot be written.
    pub(crate) fn log_destinations(&self) -> Result<LogDestinations, String> {
        for LogDestination { file, .. } in &self.log_destinations {
            let opened = OpenOptions::new().create(true).append(true).open(file);
            opened.map_err(|error| format!("log_destinations: cannot write {}: {error}", file.display()))?;
        }
        let files = self.log_destinations.iter().map(|to| (to.arn.as_str(), to.file.as_path()));
        Ok(LogDestinations::new(files))
    }

    /// The targets of VPC links, by what each link is called here.
    ///
    /// # Errors
    /// A sentence that names the link.
    pub(crate) fn vpc_link_targets(&self) -> Result<VpcLinkTargets, String> {
        let mut links = BTreeMap::new();
        for link in &self.vpc_links {
            let name = &link.name;
            let targets: Result<Vec<_>, String> = link.targets.iter().map(|target| target.parse()).collect();
            let targets = targets.map_err(|error| format!("vpc_links: {name:?}: {error}"))?;
            if targets.is_empty() {
                return Err(format!("vpc_links: {name:?} needs targets, such as [\"10.0.0.1:8080\"]"));
            }
            if links.insert(name.clone(), targets).is_some() {
                return Err(format!("vpc_links: {name:?} is there twice"));
            }
        }
        Ok(Arc::new(links))
    }

    /// Where functions run that are not known here, in the order of the file.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub(crate) fn remote_lambda(&self) -> Result<Vec<Endpoint>, String> {
        self.lambda_endpoints.iter().map(Endpoint::configured).collect()
    }

    /// The access keys, as the protocol wants them.
    pub(crate) fn wire_credentials(&self) -> Vec<Credential> {
        self.credentials
            .iter()
            .map(|key| Credential {
                access_key_id: key.access_key_id.clone(),
                secret_access_key: key.secret_access_key.clone(),
                session_token: key.session_token.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<usize, &str>) {
        match (Config::parse(text), expected) {
            (Ok(config), Ok(keys)) => assert_eq!(config.credentials.len(), keys, "{text}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (other, _) => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_a_file_may_say() {
        check("", Ok(0));
        check("region = 'eu-west-1'\n[[credentials]]\naccess_key_id = 'a'\nsecret_access_key = 'b'", Ok(1));
        check("[[log_destinations]]\narn = 'arn:aws:logs:*'\nfile = 'access.log'", Ok(0));
        check("[[log_destinations]]\narn = ''\nfile = 'a'", Err("log_destinations need both"));
        check("[[log_destinations]]\narn = 'a'", Err("missing field `file`"));
        check("regoin = 'eu-west-1'", Err("unknown field `regoin`"));
        check("account_id = '12'", Err("account_id must be twelve digits"));
        check("[quotas]\nresources_per_api = 300\nstages_per_api = 20", Ok(0));
        check("[quotas]\nstages = 20", Err("unknown field `stages`"));
        check("region = ''", Err("region must be"));
        check("[[credentials]]\naccess_key_id = ''\nsecret_access_key = 'b'", Err("credentials need both"));
        check("[[vpc_links]]\nname = 'a'\ntargets = ['10.0.0.1:80', '[::1]:81']", Ok(0));
        check("[[vpc_links]]\nname = 'a'\ntargets = ['http://a']", Err("is no host and port"));
        check("[[vpc_links]]\nname = 'a'\ntargets = []", Err("needs targets"));
        check("[account_throttle]\nrate_limit = 0.5\nburst_limit = 1", Ok(0));
        check("[account_throttle]\nrate_limit = -1.0\nburst_limit = 1", Err("account_throttle needs"));
        check("[account_throttle]\nrate_limit = 1.0", Err("missing field `burst_limit`"));
        check("[[credentials]]\naccess_key_id = 'a'", Err("missing field `secret_access_key`"));
        let endpoint = "[[lambda_endpoints]]\npattern = 'arn:aws:lambda:*:*:function:*'\n";
        check(&format!("{endpoint}url = 'http://127.0.0.1:3001'"), Ok(0));
        check(endpoint, Err("AWS itself, which needs access_key_id"));
        check(&format!("{endpoint}access_key_id = 'a'"), Err("lambda_endpoints need both"));
        check(&format!("{endpoint}uri = 'x'"), Err("unknown field `uri`"));
    }
}
