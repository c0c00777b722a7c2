//! The configuration file.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use stagedoor_control_plane::Quotas;
use stagedoor_data_plane::backends::VpcLinkTargets;
use stagedoor_data_plane::cache_budget::CacheBudget;
use stagedoor_data_plane::domains::{Network, VpcEndpoint, VpcEndpoints};
use stagedoor_data_plane::logs::LogDestinations;
use stagedoor_data_plane::phases::integration::streaming::StreamLimits;
use stagedoor_data_plane::plan::aws_services::AwsServices;
use stagedoor_data_plane::websocket::WebSocketLimits;
use stagedoor_shared_state::Limit;
use stagedoor_wire::Credential;

use crate::acme::ConfiguredAcme;
use crate::issuers::ConfiguredAuthorizers;
use crate::memory;
use crate::remote_lambda::{Endpoint, LambdaEndpoint};
use crate::vpc_links::ConfiguredVpcLink;

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
    /// How functions run.
    pub(crate) functions: ConfiguredFunctions,
    /// Where functions run that are not known here.
    pub(crate) lambda_endpoints: Vec<LambdaEndpoint>,
    /// How AWS's services are called.
    pub(crate) aws: Aws,
    /// Where user pools are, by their ids, instead of at AWS: the address that their ids are appended to.
    pub(crate) user_pools: BTreeMap<String, String>,
    /// What authorizers may name.
    pub(crate) authorizers: ConfiguredAuthorizers,
    /// How much there may be of what; AWS's defaults where it says nothing.
    pub(crate) quotas: Quotas,
    /// Where the X-Ray daemon listens. Without it, where X-Ray's own clients look.
    pub(crate) xray_daemon: Option<SocketAddr>,
    /// Files for the logs of stages. What none of them names goes to standard output.
    pub(crate) log_destinations: Vec<LogDestination>,
    /// Where VPC links lead.
    pub(crate) vpc_links: Vec<ConfiguredVpcLink>,
    /// How fast all APIs together may be called. Not limited by default: AWS's limit, 10,000 a second and 5,000 at
    /// once, is what its own service takes from an account.
    pub(crate) account_throttle: Option<AccountThrottle>,
    /// Where API traffic is served encrypted.
    pub(crate) https: Option<Https>,
    /// The certificates that custom domain names name by their ARNs.
    pub(crate) certificates: Vec<ConfiguredCertificate>,
    /// The authority that gives certificates to custom domain names whose own are in no files.
    pub(crate) acme: Option<ConfiguredAcme>,
    /// The truststores that custom domain names with mutual TLS name by their URIs.
    pub(crate) truststores: Vec<ConfiguredTruststore>,
    /// The VPC endpoints that private APIs are reached through.
    pub(crate) vpc_endpoints: Vec<ConfiguredVpcEndpoint>,
    /// What connections of WebSocket APIs may do; AWS's limits where it says nothing.
    pub(crate) websocket: ConfiguredWebSocket,
    /// What the caches of all stages may hold.
    pub(crate) cache: ConfiguredCache,
    /// How long answers may stream (`responseTransferMode: STREAM`); AWS's limits where it says nothing.
    pub(crate) streams: ConfiguredStreams,
}

/// How functions run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfiguredFunctions {
    /// The user that functions run as, by name or number. The gateway's own if it is absent.
    user: Option<String>,
}

impl ConfiguredFunctions {
    /// The numbers of the user and of its group.
    ///
    /// # Errors
    /// A sentence: there is no such user, or the gateway may not become one.
    pub(crate) fn user(&self) -> Result<Option<(u32, u32)>, String> {
        let Some(user) = &self.user else { return Ok(None) };
        if !cfg!(target_os = "linux") {
            return Err("functions.user needs Linux".to_owned());
        }
        if !rustix::process::geteuid().is_root() {
            return Err(format!(
                "functions.user is {user:?}, and only root can run functions as another user"
            ));
        }
        let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let of_line = |line: &str| {
            let mut fields = line.split(':');
            let (name, number, group) = (fields.next()?, fields.nth(1)?, fields.next()?);
            let ids = (number.parse().ok()?, group.parse().ok()?);
            (name == user || number == user).then_some(ids)
        };
        // A number needs no name: containers have none.
        let number = || user.parse().ok().map(|number| (number, number));
        let ids = known.lines().find_map(of_line).or_else(number);
        match ids {
            None => Err(format!("functions.user is {user:?}, and there is no such user")),
            Some((0, _)) => Err("functions.user is root, which is no other user".to_owned()),
            ids => Ok(ids),
        }
    }
}

/// The memory of stages' caches.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfiguredCache {
    /// Of all stages together, in bytes. A quarter of the memory there is if it is absent.
    bytes_max: Option<u64>,
}

impl ConfiguredCache {
    pub(crate) fn budget(self) -> Arc<CacheBudget> {
        CacheBudget::new(self.bytes_max.unwrap_or_else(|| memory::bytes() / 4))
    }
}

/// Limits of answers that stream.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfiguredStreams {
    /// How long an answer may take altogether, from the request's arrival.
    lifetime_seconds_max: Option<u32>,
    /// How long the next byte is waited for, in regional and private APIs.
    idle_seconds_max: Option<u32>,
    /// The same in edge-optimized ones.
    edge_idle_seconds_max: Option<u32>,
}

impl ConfiguredStreams {
    pub(crate) fn limits(self) -> StreamLimits {
        let defaults = StreamLimits::default();
        let time = |seconds: Option<u32>, default: Duration| {
            seconds.map_or(default, |seconds| Duration::from_secs(seconds.into()))
        };
        StreamLimits {
            lifetime_max: time(self.lifetime_seconds_max, defaults.lifetime_max),
            idle_time_max: time(self.idle_seconds_max, defaults.idle_time_max),
            edge_idle_time_max: time(self.edge_idle_seconds_max, defaults.edge_idle_time_max),
        }
    }

    fn check(self) -> Result<(), String> {
        let given = [self.lifetime_seconds_max, self.idle_seconds_max, self.edge_idle_seconds_max];
        match given.into_iter().flatten().all(|seconds| (1..=900).contains(&seconds)) {
            true => Ok(()),
            // No integration may stream longer.
            false => Err("[streams] has limits from 1 to 900 seconds".to_owned()),
        }
    }
}

/// How AWS's services are called. Where they are, and the gateway's own keys, the environment says.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Aws {
    /// Whether `credentials` of integrations and authorizers are what calls are made with. Where it is not said, they are
    /// if STS has an address of its own.
    assume_roles: Option<bool>,
}

/// Limits of WebSocket connections.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfiguredWebSocket {
    /// The longest message, in bytes.
    message_bytes_max: Option<usize>,
    /// The longest frame, in bytes.
    frame_bytes_max: Option<usize>,
    /// How long a connection may be idle.
    idle_seconds_max: Option<u32>,
    /// How long a connection may be open.
    lifetime_seconds_max: Option<u32>,
    /// How many connections may be made in a second.
    connections_per_second: Option<u32>,
    /// The longest URL of a handshake, in characters.
    url_characters_max: Option<usize>,
    /// How many bytes may wait for a client that reads slowly.
    queue_bytes_max: Option<usize>,
}

impl ConfiguredWebSocket {
    pub(crate) fn limits(self) -> WebSocketLimits {
        let defaults = WebSocketLimits::default();
        let time = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let rate = self.connections_per_second.map(|count| Limit { rate: count.into(), burst: count });
        WebSocketLimits {
            message_bytes_max: self.message_bytes_max.unwrap_or(defaults.message_bytes_max),
            frame_bytes_max: self.frame_bytes_max.unwrap_or(defaults.frame_bytes_max),
            idle_time_max: time(self.idle_seconds_max).unwrap_or(defaults.idle_time_max),
            lifetime_max: time(self.lifetime_seconds_max).unwrap_or(defaults.lifetime_max),
            connections_per_second: rate.unwrap_or(defaults.connections_per_second),
            url_characters_max: self.url_characters_max.unwrap_or(defaults.url_characters_max),
            queue_bytes_max: self.queue_bytes_max.unwrap_or(defaults.queue_bytes_max),
        }
    }

    fn check(self) -> Result<(), String> {
        let sizes =
            [self.message_bytes_max, self.frame_bytes_max, self.url_characters_max, self.queue_bytes_max];
        let counts = [self.idle_seconds_max, self.lifetime_seconds_max, self.connections_per_second];
        match sizes.contains(&Some(0)) || counts.contains(&Some(0)) {
            true => Err("[websocket] has limits of at least 1".to_owned()),
            false => Ok(()),
        }
    }
}

/// A file for the log lines that a stage sends to an ARN.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogDestination {
    /// The ARN as a stage's `accessLogSettings` name it, in which `*` stands for any text.
    arn: String,
    file: PathBuf,
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

/// An HTTPS listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Https {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The certificate of hosts that are no custom domain names, in PEM, with its chain. Without one a self-signed
    /// certificate is made at each start.
    certificate: Option<PathBuf>,
    /// Its private key.
    key: Option<PathBuf>,
}

impl Https {
    /// The default certificate's files.
    pub(crate) fn files(&self) -> Option<PemFiles> {
        Some(PemFiles { certificate: self.certificate.clone()?, key: self.key.clone()? })
    }
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PemFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The files behind a certificate's ARN.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfiguredCertificate {
    arn: String,
    /// PEM: the certificate with its chain.
    certificate: PathBuf,
    /// PEM.
    key: PathBuf,
}

/// The file behind a truststore's URI.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfiguredTruststore {
    /// `s3://bucket/key`.
    uri: String,
    /// The object's version; any if it is absent.
    version: Option<String>,
    /// PEM.
    file: PathBuf,
}

/// A VPC endpoint: a listener of its own, networks that clients come from, or both.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfiguredVpcEndpoint {
    /// `vpce-…`.
    pub(crate) id: String,
    /// `vpc-…`.
    pub(crate) vpc: Option<String>,
    /// Where its clients connect without TLS.
    pub(crate) listen: Option<SocketAddr>,
    /// Where they connect with TLS. Needs `[https]`, whose certificate serves hosts that are no custom domain names.
    pub(crate) listen_https: Option<SocketAddr>,
    /// Networks that its clients come from, whichever listener they use.
    #[serde(default)]
    sources: Vec<String>,
}

impl ConfiguredVpcEndpoint {
    /// The endpoint in the data plane's terms.
    pub(crate) fn endpoint(&self) -> Arc<VpcEndpoint> {
        Arc::new(VpcEndpoint { id: self.id.clone(), vpc: self.vpc.clone() })
    }
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
            functions: ConfiguredFunctions::default(),
            lambda_endpoints: Vec::new(),
            aws: Aws::default(),
            user_pools: BTreeMap::new(),
            authorizers: ConfiguredAuthorizers::default(),
            quotas: Quotas::default(),
            xray_daemon: None,
            log_destinations: Vec::new(),
            vpc_links: Vec::new(),
            account_throttle: None,
            https: None,
            certificates: Vec::new(),
            acme: None,
            truststores: Vec::new(),
            vpc_endpoints: Vec::new(),
            websocket: ConfiguredWebSocket::default(),
            cache: ConfiguredCache::default(),
            streams: ConfiguredStreams::default(),
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
        let mut config = Self::parse(&text).map_err(|error| format!("{name}: {error}"))?;
        config.anchor(path.parent().unwrap_or(Path::new(".")));
        Ok(config)
    }

    /// Reads the paths of files as relative to the configuration file's folder.
    fn anchor(&mut self, folder: &Path) {
        let https = self.https.iter_mut().flat_map(|https| [&mut https.certificate, &mut https.key]);
        let certificates = self.certificates.iter_mut().flat_map(|of| [&mut of.certificate, &mut of.key]);
        let truststores = self.truststores.iter_mut().map(|truststore| &mut truststore.file);
        let links =
            self.vpc_links.iter_mut().flat_map(|link| [&mut link.client_certificate, &mut link.client_key]);
        let root = self.acme.iter_mut().filter_map(|acme| acme.root.as_mut());
        for path in https.flatten().chain(root).chain(certificates).chain(truststores).chain(links.flatten())
        {
            *path = folder.join(&*path);
        }
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
        for link in &config.vpc_links {
            link.settings().map_err(|error| format!("vpc_links: {:?}: {error}", link.name))?;
        }
        if let Some(AccountThrottle { rate_limit, burst_limit }) = config.account_throttle
            && !(rate_limit.is_finite() && rate_limit >= 0.0 && i32::try_from(burst_limit).is_ok())
        {
            return Err("account_throttle needs a rate_limit and a burst_limit of at least 0".to_owned());
        }
        config.websocket.check()?;
        config.streams.check()?;
        if let Some(https) = &config.https
            && https.certificate.is_some() != https.key.is_some()
        {
            return Err("[https] needs both certificate and key, or neither".to_owned());
        }
        if let Some(acme) = &config.acme {
            if config.https.is_none() {
                return Err("[acme] needs [https]: the authority asks the HTTPS listener".to_owned());
            }
            if !acme.directory.starts_with("https://") {
                return Err(format!(
                    "[acme] directory has to begin with https://, unlike {:?}",
                    acme.directory
                ));
            }
            if !acme.terms_of_service_agreed {
                return Err("[acme] needs terms_of_service_agreed = true: read the authority's terms first"
                    .to_owned());
            }
        }
        for truststore in &config.truststores {
            if !truststore.uri.starts_with("s3://") {
                return Err(format!(
                    "a truststore's uri is one such as s3://bucket/key, not {:?}",
                    truststore.uri
                ));
            }
        }
        for endpoint in &config.vpc_endpoints {
            if !endpoint.id.starts_with("vpce-") {
                return Err(format!("a VPC endpoint's id begins with vpce-, unlike {:?}", endpoint.id));
            }
            if endpoint.listen_https.is_some() && config.https.is_none() {
                return Err(format!("{}: listen_https needs [https]", endpoint.id));
            }
            if endpoint.listen.is_none() && endpoint.listen_https.is_none() && endpoint.sources.is_empty() {
                return Err(format!("{}: a VPC endpoint needs listen, listen_https or sources", endpoint.id));
            }
        }
        config.networks()?;
        Ok(config)
    }

    fn networks(&self) -> Result<Vec<(Network, Arc<VpcEndpoint>)>, String> {
        let of = |endpoint: &ConfiguredVpcEndpoint| {
            let shared = endpoint.endpoint();
            let networks = endpoint.sources.iter().map(|source| Network::parse(source));
            networks.map(|network| Ok((network?, Arc::clone(&shared)))).collect::<Vec<Result<_, String>>>()
        };
        self.vpc_endpoints.iter().flat_map(of).collect()
    }

    /// The VPC endpoints by the networks of their clients.
    pub(crate) fn vpc_endpoints(&self) -> VpcEndpoints {
        // They have been read once already, when the file was.
        VpcEndpoints::new(self.networks().unwrap_or_default())
    }

    /// The files of a certificate.
    pub(crate) fn certificate(&self, arn: &str) -> Option<PemFiles> {
        let found = self.certificates.iter().find(|certificate| certificate.arn == arn)?;
        Some(PemFiles { certificate: found.certificate.clone(), key: found.key.clone() })
    }

    /// The file of a truststore.
    ///
    /// # Errors
    /// A sentence if there is none.
    pub(crate) fn truststore(&self, uri: &str, version: Option<&str>) -> Result<&Path, String> {
        let of_uri = || self.truststores.iter().filter(|truststore| truststore.uri == uri);
        let exact = of_uri().find(|truststore| version.is_some() && truststore.version.as_deref() == version);
        let any = || of_uri().find(|truststore| truststore.version.is_none() || version.is_none());
        exact.or_else(any).map(|truststore| &*truststore.file).ok_or_else(|| {
            format!(
                "The truststore {uri} cannot be read: the configuration has no [[truststores]] with this uri{}",
                version.map(|version| format!(" and the version {version}")).unwrap_or_default()
            )
        })
    }

    /// Every file that is looked at again while the gateway runs.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let https = self.https.iter().filter_map(Https::files).map(|files| [files.certificate, files.key]);
        let certificates = self.certificates.iter().map(|of| [of.certificate.clone(), of.key.clone()]);
        let truststores = self.truststores.iter().map(|truststore| truststore.file.clone());
        https.chain(certificates).flatten().chain(truststores).collect()
    }

    /// The files that hold secrets.
    pub(crate) fn secret_files(&self) -> Vec<PathBuf> {
        let https = self.https.iter().filter_map(|https| https.key.clone());
        let certificates = self.certificates.iter().map(|of| of.key.clone());
        let links = self.vpc_links.iter().filter_map(|link| link.client_key.clone());
        https.chain(certificates).chain(links).collect()
    }

    /// Where the X-Ray daemon listens: as the file says, or `AWS_XRAY_DAEMON_ADDRESS`, or on this machine.
    pub(crate) fn xray_daemon(&self) -> SocketAddr {
        let named = || std::env::var("AWS_XRAY_DAEMON_ADDRESS").ok()?.parse().ok();
        self.xray_daemon.or_else(named).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 2000)))
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
            let group = link.group().map_err(|error| format!("vpc_links: {name:?}: {error}"))?;
            if links.insert(link.name.clone(), group).is_some() {
                return Err(format!("vpc_links: {name:?} is there twice"));
            }
        }
        Ok(Arc::new(links))
    }

    /// AWS's services, as the environment and the file say.
    ///
    /// # Errors
    /// A sentence if roles are to be assumed and STS cannot be asked.
    pub(crate) fn aws_services(
        &self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<AwsServices, String> {
        let mut services = AwsServices::from_environment(variables);
        if self.aws.assume_roles.unwrap_or_else(|| services.endpoints.contains_key("STS")) {
            services.assume_roles(&self.region).map_err(|error| format!("[aws] assume_roles: {error}"))?;
        }
        Ok(services)
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
        check("xray_daemon = '127.0.0.1:2000'", Ok(0));
        check("xray_daemon = 'daemon'", Err("invalid socket address"));
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
        check("[aws]\nassume_roles = true", Ok(0));
        check("[aws]\nassume_roles = 'yes'", Err("assume_roles"));
        check("[aws]\nassume_role = true", Err("unknown field `assume_role`"));
        let endpoint = "[[lambda_endpoints]]\npattern = 'arn:aws:lambda:*:*:function:*'\n";
        check(&format!("{endpoint}url = 'http://127.0.0.1:3001'"), Ok(0));
        check(endpoint, Err("AWS itself, which needs access_key_id"));
        check(&format!("{endpoint}access_key_id = 'a'"), Err("lambda_endpoints need both"));
        check(&format!("{endpoint}uri = 'x'"), Err("unknown field `uri`"));
        check("[https]\nlisten = '127.0.0.1:8443'", Ok(0));
        check("[https]\nlisten = 'x'", Err("listen = 'x'"));
        check("[https]\nlisten = '127.0.0.1:8443'\nkey = 'a'", Err("both certificate and key"));
        let acme = "[https]\nlisten = '127.0.0.1:8443'\n[acme]\ndirectory = 'https://a/directory'\n";
        check(&format!("{acme}terms_of_service_agreed = true"), Ok(0));
        check(acme, Err("terms_of_service_agreed = true"));
        check(&acme.replace("https://", "http://"), Err("has to begin with https://"));
        check("[acme]\ndirectory = 'https://a'", Err("[acme] needs [https]"));
        check("[[truststores]]\nuri = '/a'\nfile = 'b'", Err("such as s3://bucket/key"));
        check("[[vpc_endpoints]]\nid = 'vpce-1'\nsources = ['10.0.0.0/8']", Ok(0));
        check("[[vpc_endpoints]]\nid = 'vpce-1'\nsources = ['10.0.0.0/80']", Err("is no network"));
        check("[[vpc_endpoints]]\nid = 'vpce-1'", Err("needs listen"));
        check("[[vpc_endpoints]]\nid = 'x'\nlisten = '127.0.0.1:1'", Err("begins with vpce-"));
        check("[[vpc_endpoints]]\nid = 'vpce-1'\nlisten_https = '127.0.0.1:1'", Err("needs [https]"));
    }

    #[test]
    fn whether_roles_are_assumed() {
        let check = |text: &str, variables: &[(&str, &str)], expected: Result<bool, &str>| {
            let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            match (Config::parse(text).unwrap().aws_services(owned), expected) {
                (Ok(services), Ok(assumed)) => assert_eq!(services.roles.is_some(), assumed, "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        };
        let all = [("AWS_ENDPOINT_URL", "http://127.0.0.1:5000")];
        let sts = [("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:5000")];
        check("", &[], Ok(false));
        check("", &all, Ok(false));
        check("", &sts, Ok(true));
        check("[aws]\nassume_roles = false", &sts, Ok(false));
        check("[aws]\nassume_roles = true", &all, Ok(true));
        check("[aws]\nassume_roles = true", &[], Err("set AWS_ACCESS_KEY_ID"));
    }
}
