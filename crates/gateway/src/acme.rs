//! Certificates of custom domain names from a certificate authority that speaks ACME (RFC 8555), such as Let's Encrypt.
//!
//! They are for public names whose certificates the configuration does not map to files. A name is proven with
//! `tls-alpn-01`, so the HTTPS listener has to be reached at port 443 of the name. Keys never leave the data folder; a
//! certificate is renewed once a third of its time is left. What fails is tried again later and later, and the certificate
//! of before is served on.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use serde::{Deserialize, Serialize};
use stagedoor_data_plane::acme::Challenges;
use stagedoor_data_plane::server_tls::Identity;
use tokio::sync::{Notify, watch};

use crate::config::PemFiles;
use crate::secrets::replace_private;

/// How often certificates are looked at, whether they have to be renewed.
const LOOK_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How long to wait after a failure: the first time, and at most.
const RETRY_MIN: Duration = Duration::from_secs(60);
const RETRY_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an authority may take for an answer to become known.
const ORDER_TIME_MAX: Duration = Duration::from_secs(120);

/// The section `[acme]` of the configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfiguredAcme {
    /// The authority's directory, such as `https://acme-v02.api.letsencrypt.org/directory`.
    pub(crate) directory: String,
    /// Where the authority may write to, such as `mailto:ops@example.com`.
    #[serde(default)]
    pub(crate) contact: Vec<String>,
    /// That the authority's terms of service are agreed to; nothing is asked for otherwise.
    #[serde(default)]
    pub(crate) terms_of_service_agreed: bool,
    /// A certificate in PEM to trust the authority by, if it is not one that the machine trusts.
    pub(crate) root: Option<PathBuf>,
}

/// Where certificates are kept, and who is told which are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    folder: PathBuf,
    wanted: watch::Sender<BTreeSet<String>>,
}

impl Certificates {
    /// Those of one authority, in this data folder: with another authority an account is worth nothing, and a
    /// certificate not the same.
    pub(crate) fn of(data: &Path, directory: &str) -> Self {
        let name = directory
            .trim_start_matches("https://")
            .replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        Self { folder: data.join("acme").join(name), wanted: watch::Sender::default() }
    }

    /// The files of a name's certificate, if it has one.
    pub(crate) fn files(&self, name: &str) -> Option<PemFiles> {
        let files = self.paths(name);
        (files.certificate.exists() && files.key.exists()).then_some(files)
    }

    /// Asks for certificates for these names, and no others.
    pub(crate) fn want(&self, names: BTreeSet<String>) {
        self.wanted.send_if_modified(|wanted| {
            let is_new = *wanted != names;
            *wanted = names;
            is_new
        });
    }

    fn paths(&self, name: &str) -> PemFiles {
        // Names of domains hold letters, digits, dots and hyphens: the control plane takes no others.
        let file = |kind: &str| self.folder.join(format!("{name}.{kind}"));
        PemFiles { certificate: file("pem"), key: file("key") }
    }
}

/// Whether an authority can be asked about a name. Proving a wildcard takes a record in the DNS.
pub(crate) fn can_be_certified(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    name.contains('.') && !name.starts_with('.') && !name.contains("..") && name.bytes().all(allowed)
}

/// Gets and renews certificates.
pub(crate) struct Acme {
    pub(crate) config: ConfiguredAcme,
    pub(crate) certificates: Certificates,
    pub(crate) challenges: Challenges,
    /// Told whenever there is a new certificate.
    pub(crate) changed: Arc<Notify>,
}

impl Acme {
    /// Does so for as long as the process lives.
    pub(crate) async fn run(self) {
        let mut wanted = self.certificates.wanted.subscribe();
        let mut failures: HashMap<String, (Instant, Duration)> = HashMap::new();
        loop {
            let names = wanted.borrow_and_update().clone();
            failures.retain(|name, _| names.contains(name));
            let mut pause = LOOK_INTERVAL;
            for name in names {
                let waits =
                    failures.get(&name).map(|(until, _)| until.saturating_duration_since(Instant::now()));
                if let Some(left) = waits.filter(|left| !left.is_zero()) {
                    pause = pause.min(left);
                    continue;
                }
                if !self.is_due(&name) {
                    continue;
                }
                match self.certify(&name).await {
                    Ok(()) => {
                        tracing::info!(domain = name, "there is a new certificate");
                        failures.remove(&name);
                        self.changed.notify_one();
                    }
                    Err(error) => {
                        let waited = failures.get(&name).map_or(RETRY_MIN / 2, |(_, waited)| *waited);
                        let wait = (waited * 2).min(RETRY_MAX);
                        tracing::error!(domain = name, %error, retry_seconds = wait.as_secs(), "no new certificate");
                        failures.insert(name, (Instant::now() + wait, wait));
                        pause = pause.min(wait);
                    }
                }
            }
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether a name has no certificate, or one of which less than a third of its time is left.
    fn is_due(&self, name: &str) -> bool {
        let Some(files) = self.certificates.files(name) else { return true };
        let read = || {
            let (certificate, key) = (std::fs::read(files.certificate).ok()?, std::fs::read(files.key).ok()?);
            Identity::from_pem(&certificate, &key).ok()?.validity().ok()
        };
        let Some((from, until)) = read() else { return true };
        let whole = until.duration_since(from).unwrap_or_default();
        until.duration_since(SystemTime::now()).unwrap_or_default() < whole / 3
    }

    async fn certify(&self, name: &str) -> Result<(), String> {
        let outcome = tokio::time::timeout(ORDER_TIME_MAX, self.order(name)).await;
        self.challenges.remove(name);
        let (certificate, key) = outcome.map_err(|_| "the authority took too long".to_owned())??;
        // A certificate that its key does not fit would shut the domain.
        Identity::from_pem(certificate.as_bytes(), key.as_bytes())?;
        let paths = self.certificates.paths(name);
        replace_private(&paths.key, key.as_bytes())?;
        replace_private(&paths.certificate, certificate.as_bytes())
    }

    /// A certificate for a name, and its key.
    async fn order(&self, name: &str) -> Result<(String, String), String> {
        let failed = |error: instant_acme::Error| error.to_string();
        let account = self.account().await?;
        let identifiers = [Identifier::Dns(name.to_owned())];
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await.map_err(failed)?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(failed)?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(format!("the authorization of the name is {status:?}")),
            }
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge = challenge.ok_or("the authority does not offer tls-alpn-01")?;
            self.challenges.set(name, challenge.key_authorization().digest().as_ref())?;
            challenge.set_ready().await.map_err(failed)?;
        }
        let patience = RetryPolicy::default().timeout(ORDER_TIME_MAX);
        match order.poll_ready(&patience).await.map_err(failed)? {
            OrderStatus::Ready => {}
            status => {
                return Err(format!("the authority could not see that the name is served here ({status:?})"));
            }
        }
        let key = order.finalize().await.map_err(failed)?;
        let certificate = order.poll_certificate(&patience).await.map_err(failed)?;
        Ok((certificate, key))
    }

    /// The account with the authority, made at the first time.
    async fn account(&self) -> Result<Account, String> {
        let failed = |error: instant_acme::Error| error.to_string();
        let ConfiguredAcme { directory, contact, terms_of_service_agreed, root } = &self.config;
        let builder = match root {
            Some(root) => Account::builder_with_root(root),
            None => Account::builder(),
        };
        let builder = builder.map_err(failed)?;
        let path = self.certificates.folder.join("account.json");
        let reachable: Vec<&str> = contact.iter().map(String::as_str).collect();
        if let Ok(text) = std::fs::read(&path) {
            let mut kept: Kept =
                serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            let account = builder.from_credentials(kept.credentials()?).await.map_err(failed)?;
            if kept.contact != *contact {
                account.update_contacts(&reachable).await.map_err(failed)?;
                kept.contact.clone_from(contact);
                kept.write(&path)?;
            }
            return Ok(account);
        }
        let new = NewAccount {
            contact: &reachable,
            terms_of_service_agreed: *terms_of_service_agreed,
            only_return_existing: false,
        };
        let (account, credentials) = builder.create(&new, directory.clone(), None).await.map_err(failed)?;
        std::fs::create_dir_all(&self.certificates.folder)
            .map_err(|error| format!("cannot make {}: {error}", self.certificates.folder.display()))?;
        let credentials = serde_json::to_value(credentials).map_err(|error| error.to_string())?;
        Kept { contact: contact.clone(), credentials }.write(&path)?;
        Ok(account)
    }
}

/// The account as it is kept.
#[derive(Deserialize, Serialize)]
struct Kept {
    /// What the authority was told.
    contact: Vec<String>,
    credentials: serde_json::Value,
}

impl Kept {
    fn credentials(&self) -> Result<AccountCredentials, String> {
        serde_json::from_value(self.credentials.clone()).map_err(|error| error.to_string())
    }

    fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        replace_private(path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_have_folders_of_their_own() {
        let check = |directory: &str, expected: &str| {
            assert_eq!(
                Certificates::of(Path::new("/data"), directory).folder,
                Path::new("/data/acme").join(expected)
            );
        };
        check("https://acme-v02.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org-directory");
        check("https://127.0.0.1:14000/dir", "127.0.0.1-14000-dir");
        check("https://a/../b", "a-..-b");
    }

    #[test]
    fn names_that_can_be_certified() {
        let check = |name: &str, expected: bool| assert_eq!(can_be_certified(name), expected, "{name}");
        check("api.example.com", true);
        check("*.example.com", false);
        check("localhost", false);
        check("../example.com", false);
        check("a/b.example.com", false);
        check("", false);
    }
}
