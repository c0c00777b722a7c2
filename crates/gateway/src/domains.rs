//! Custom domain names, from the store's definitions and the configuration's files to what is served.
//!
//! Certificates and truststores are files that somebody else renews. A file that cannot be used, perhaps because it is
//! being written, leaves in place what was read before; a domain that never had a certificate is not served with
//! another's, and one whose truststore never could be read trusts nobody.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use stagedoor_control_plane::Truststores;
use stagedoor_control_plane::served_domains::{ServedDomain, ServedRule};
use stagedoor_data_plane::client_certificate::Truststore;
use stagedoor_data_plane::domains::{Domain, DomainPolicy, Domains, Glob, PathMapping, Rule};
use stagedoor_data_plane::rustls::ServerConfig;
use stagedoor_data_plane::server_tls::{Identity, server_config};
use stagedoor_policy::{Kind, Policy};
use stagedoor_shapes::apigateway::{DomainName, EndpointAccessMode, SecurityPolicy};
use tokio::sync::Notify;

use crate::acme::{Certificates, can_be_certified};
use crate::config::{Config, Https, PemFiles};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Begins the names of the settings that belong to no domain. No domain's name begins so.
const DEFAULT: &str = "=";

/// The most that AWS takes as a truststore, in bytes.
const TRUSTSTORE_BYTES_MAX: usize = 1_000_000;

/// Makes what is served of custom domain names.
pub(crate) struct DomainBuilder {
    config: Arc<Config>,
    /// Certificates of an authority, if one is configured.
    acme: Option<Certificates>,
    /// TLS settings with what they were made of, by domain; the default ones by their policy, after [`DEFAULT`].
    tls: HashMap<String, (Source, Arc<ServerConfig>)>,
    /// Truststores with the bytes they were read from, by URI and version.
    truststores: HashMap<(String, Option<String>), Read>,
}

type Read = (Vec<u8>, Arc<Truststore>);

/// What TLS settings are made of: whenever it is the same, so are they, and sessions stay resumable.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    /// Certificate and key; none for a self-signed one.
    files: Option<(Vec<u8>, Vec<u8>)>,
    policy: SecurityPolicy,
    mutual: bool,
}

impl DomainBuilder {
    pub(crate) fn new(config: Arc<Config>, acme: Option<Certificates>) -> Self {
        Self { config, acme, tls: HashMap::new(), truststores: HashMap::new() }
    }

    /// The index of these domains.
    pub(crate) fn build(&mut self, served: Vec<ServedDomain>) -> Domains {
        let mut domains = Domains::default();
        if let Some(https) = self.config.https.clone() {
            let names = vec!["localhost".to_owned(), "*.execute-api.localhost".to_owned()];
            for policy in SecurityPolicy::VALUES {
                let identity = format!("{DEFAULT}{policy}");
                if let Some(tls) = self.settings(&identity, https.files(), names.clone(), *policy, false) {
                    domains.default_tls.insert(*policy, tls);
                }
            }
        }
        let known: Vec<String> = served.iter().map(|served| served.identity.clone()).collect();
        self.tls.retain(|identity, _| identity.starts_with(DEFAULT) || known.contains(identity));
        if let Some(acme) = &self.acme {
            let lacks_files = |domain: &DomainName| {
                let public = domain.domain_name_id.is_none();
                let name = domain.domain_name.as_deref().filter(|name| public && can_be_certified(name));
                name.filter(|_| self.named_files(domain).is_none()).map(str::to_owned)
            };
            acme.want(served.iter().filter_map(|served| lacks_files(&served.domain)).collect());
        }
        for served in served {
            domains.insert(self.domain(served));
        }
        domains
    }

    fn domain(&mut self, served: ServedDomain) -> Domain {
        let ServedDomain { identity, domain, rules, mappings, vpc_endpoints } = served;
        let name = domain.domain_name.clone().unwrap_or_default();
        let policy = domain.security_policy.unwrap_or(SecurityPolicy::Tls1_2);
        let mutual_tls = domain.mutual_tls_authentication.as_ref().map(|mutual| {
            let uri = mutual.truststore_uri.clone().unwrap_or_default();
            self.truststore(&name, uri, mutual.truststore_version.clone())
        });
        let tls = if self.config.https.is_some() {
            let certified = || self.acme.as_ref().filter(|_| domain.domain_name_id.is_none())?.files(&name);
            let named = self.named_files(&domain).or_else(certified);
            self.settings(&identity, named, vec![name.clone()], policy, mutual_tls.is_some())
        } else {
            None
        };
        Domain {
            name,
            private_to: domain.domain_name_id.is_some().then_some(vpc_endpoints),
            policy: domain.policy.as_deref().and_then(|text| self.policy(&identity, text)),
            strict: domain.endpoint_access_mode == Some(EndpointAccessMode::Strict),
            mutual_tls,
            tls,
            rules: rules.into_iter().filter_map(rule).collect(),
            mappings: mappings
                .into_iter()
                .map(|mapping| PathMapping {
                    path: mapping.path,
                    api_id: mapping.api_id,
                    stage: mapping.stage.filter(|stage| !stage.is_empty()),
                })
                .collect(),
        }
    }

    /// The files that the configuration has for a domain's certificate.
    fn named_files(&self, domain: &DomainName) -> Option<PemFiles> {
        let arns = [&domain.regional_certificate_arn, &domain.certificate_arn];
        arns.into_iter().flatten().find_map(|arn| self.config.certificate(arn))
    }

    /// A private domain's policy; one that cannot be read lets nobody in.
    fn policy(&self, identity: &str, text: &str) -> Option<DomainPolicy> {
        let (region, account) = (&self.config.region, &self.config.account_id);
        let arn = format!("arn:aws:execute-api:{region}:{account}:/domainnames/{identity}");
        match Policy::parse(text, Kind::Resource) {
            Ok(policy) => Some(DomainPolicy { policy, arn }),
            Err(error) => {
                tracing::error!(domain = identity, %error, "the policy cannot be read: nobody is let in");
                None
            }
        }
    }

    /// The TLS settings for a domain: made anew if what they are made of has changed.
    fn settings(
        &mut self,
        identity: &str,
        files: Option<PemFiles>,
        names: Vec<String>,
        policy: SecurityPolicy,
        mutual: bool,
    ) -> Option<Arc<ServerConfig>> {
        let before = self.tls.get(identity);
        let read = |files: &PemFiles| Ok::<_, String>((bytes(&files.certificate)?, bytes(&files.key)?));
        let source = match files.as_ref().map(read).transpose() {
            Ok(files) => Source { files, policy, mutual },
            Err(reason) => {
                tracing::error!(domain = shown(identity), "no new certificate: {reason}");
                return self.unless_weaker(identity, policy, mutual);
            }
        };
        if let Some((known, settings)) = before
            && *known == source
        {
            return Some(Arc::clone(settings));
        }
        let made = match &source.files {
            Some((certificate, key)) => Identity::from_pem(certificate, key),
            None => {
                if !identity.starts_with(DEFAULT) {
                    tracing::warn!(
                        domain = identity,
                        "no certificate is configured for it: it is served with a self-signed one. Map its certificate \
                         ARN to files with [[certificates]], or name an authority with [acme]."
                    );
                }
                Identity::self_signed(names)
            }
        };
        match made.and_then(|made| server_config(made, policy, mutual)) {
            Ok(settings) => {
                self.tls.insert(identity.to_owned(), (source, Arc::clone(&settings)));
                Some(settings)
            }
            Err(reason) => {
                tracing::error!(domain = shown(identity), "no new certificate: {reason}");
                self.unless_weaker(identity, policy, mutual)
            }
        }
    }

    /// The settings of before, as long as they ask no less of clients than the domain does now.
    fn unless_weaker(
        &self,
        identity: &str,
        policy: SecurityPolicy,
        mutual: bool,
    ) -> Option<Arc<ServerConfig>> {
        let (known, settings) = self.tls.get(identity)?;
        (known.policy == policy && known.mutual == mutual).then(|| Arc::clone(settings))
    }

    fn truststore(&mut self, domain: &str, uri: String, version: Option<String>) -> Arc<Truststore> {
        let key = (uri, version);
        let read = self.config.truststore(&key.0, key.1.as_deref()).and_then(bytes);
        let known = self.truststores.get(&key);
        let made = read.and_then(|found| match known {
            Some((before, store)) if *before == found => Ok((found, Arc::clone(store))),
            _ => truststore(&found).map(|(store, _)| (found, Arc::new(store))),
        });
        match made {
            Ok((found, store)) => {
                self.truststores.insert(key, (found, Arc::clone(&store)));
                store
            }
            Err(reason) => {
                tracing::error!(domain, "no new truststore: {reason}");
                known.map_or_else(|| Arc::new(Truststore::nobody()), |(_, store)| Arc::clone(store))
            }
        }
    }
}

/// Whether the certificate for hosts that are no domains can be used. There is nothing of before that could go on.
///
/// # Errors
/// A sentence that names the setting and the file.
pub(crate) fn check_default(config: &Config) -> Result<(), String> {
    let Some(files) = config.https.as_ref().and_then(Https::files) else { return Ok(()) };
    let read = bytes(&files.certificate).and_then(|certificate| Ok((certificate, bytes(&files.key)?)));
    let (certificate, key) =
        read.map_err(|reason| format!("[https] needs its certificate and key: {reason}"))?;
    let usable = Identity::from_pem(&certificate, &key).map(drop);
    usable.map_err(|reason| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        format!("[https] cannot use {certificate} with {key}: {reason}")
    })
}

/// How the log names what TLS settings are for.
fn shown(identity: &str) -> &str {
    if identity.starts_with(DEFAULT) { "hosts that are no custom domain" } else { identity }
}

fn bytes(path: impl AsRef<Path>) -> Result<Vec<u8>, String> {
    let path = path.as_ref();
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn truststore(pem: &[u8]) -> Result<(Truststore, Vec<String>), String> {
    if pem.len() > TRUSTSTORE_BYTES_MAX {
        return Err(format!("the truststore is larger than {TRUSTSTORE_BYTES_MAX} bytes"));
    }
    Truststore::read(pem)
}

fn rule(served: ServedRule) -> Option<Rule> {
    let target = served.actions.into_iter().find_map(|action| action.invoke_api)?;
    let (mut headers, mut base_paths) = (Vec::new(), Vec::new());
    for condition in served.conditions {
        if let Some(given) = condition.match_headers {
            let any = given.any_of.unwrap_or_default().into_iter().map(|value| {
                (value.header.unwrap_or_default(), Glob::parse(&value.value_glob.unwrap_or_default()))
            });
            headers.push(any.collect());
        }
        if let Some(given) = condition.match_base_paths {
            base_paths.extend(given.any_of.unwrap_or_default());
        }
    }
    Some(Rule {
        id: served.id,
        headers,
        base_paths,
        api_id: target.api_id.unwrap_or_default(),
        stage: target.stage.unwrap_or_default(),
        strip_base_path: target.strip_base_path.unwrap_or_default(),
    })
}

/// Finds truststores by the configuration.
pub(crate) struct ConfiguredTruststores(pub(crate) Arc<Config>);

impl Truststores for ConfiguredTruststores {
    fn inspect(&self, uri: &str, version: Option<&str>) -> Result<Vec<String>, String> {
        let read = self.0.truststore(uri, version).and_then(bytes).and_then(|pem| truststore(&pem));
        read.map(|(_, warnings)| warnings)
    }
}

type Stamp = Vec<Option<(SystemTime, u64)>>;

/// Tells whenever one of the files has changed, for as long as the process lives. Files are looked at rather than
/// watched, because what renews certificates often swaps a link somewhere above them.
pub(crate) async fn watch_files(config: Arc<Config>, changed: Arc<Notify>) {
    let files: Arc<[PathBuf]> = config.files().into();
    if files.is_empty() {
        return;
    }
    let look = |files: Arc<[PathBuf]>| tokio::task::spawn_blocking(move || stamp(&files));
    let Ok(mut before) = look(Arc::clone(&files)).await else { return };
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let Ok(now) = look(Arc::clone(&files)).await else { return };
        if now != before {
            before = now;
            changed.notify_one();
        }
    }
}

fn stamp(files: &[PathBuf]) -> Stamp {
    let of = |path: &PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.len()))
    };
    files.iter().map(of).collect()
}
