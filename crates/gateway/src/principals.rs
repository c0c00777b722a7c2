//! The users and roles whose requests `AWS_IAM` methods take: a file in the data folder, followed while it is edited.
//!
//! Signature Version 4 needs the secret half of a key itself, so secrets are kept encrypted (see [`crate::secrets`]), each
//! bound to the id of its access key.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagedoor_data_plane::phases::authorization::iam::{AccessKey, Identity, Principals};
use stagedoor_policy::{Kind, Policy};
use stagedoor_sigv4::Credential;

use crate::config::Config;
use crate::secrets::{KeyFile, SecretBox, replace_private};

/// How often the file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// The end of the year 9999: no later time can be written as policies write it.
const SECONDS_MAX: u64 = 253_402_300_799;

/// What the file holds. It may be edited by hand, but for the encrypted parts.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Document {
    /// Everybody.
    pub(crate) principals: Vec<Principal>,
}

/// A user, or a session of a role.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Principal {
    /// `arn:aws:iam::ACCOUNT:user/NAME` or `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    pub(crate) arn: String,
    /// `AIDA…` or `AROA…`.
    pub(crate) user_id: String,
    /// Policy documents.
    #[serde(default)]
    pub(crate) policies: Vec<Value>,
    /// Tags, as `aws:PrincipalTag` shows them.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// Its keys.
    #[serde(default)]
    pub(crate) access_keys: Vec<StoredKey>,
}

/// A key as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StoredKey {
    /// `AKIA…`, or `ASIA…` for a session.
    pub(crate) access_key_id: String,
    /// The secret half, encrypted.
    pub(crate) encrypted_secret: String,
    /// The token that comes with a session's key, encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encrypted_session_token: Option<String>,
    /// When a session ends, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<u64>,
    /// When a session began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issued_at: Option<u64>,
}

/// Where principals are kept.
#[derive(Clone, Debug)]
pub(crate) struct PrincipalsFile {
    path: PathBuf,
    /// The key that secrets are encrypted with.
    pub(crate) key: KeyFile,
}

impl PrincipalsFile {
    /// In this data folder.
    pub(crate) fn in_folder(data: &Path) -> Self {
        Self { path: data.join("principals.json"), key: KeyFile::in_folder(data) }
    }

    /// What the file holds; nothing if there is none.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(crate) fn read(&self) -> Result<Document, String> {
        match fs::read(&self.path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", self.path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Document::default()),
            Err(error) => Err(format!("cannot read {}: {error}", self.path.display())),
        }
    }

    /// Changes the file. Whoever else changes it at the same time waits, so that no change is lost.
    ///
    /// # Errors
    /// A sentence, the change's own or one that names the file.
    pub(crate) fn update<T>(
        &self,
        change: impl FnOnce(&mut Document) -> Result<T, String>,
    ) -> Result<T, String> {
        let path = self.path.with_extension("lock");
        let failed = |error: std::io::Error| format!("cannot lock {}: {error}", path.display());
        if let Some(folder) = path.parent() {
            crate::data_folder::make(folder)?;
        }
        // Let go when it is closed.
        let mut options = fs::OpenOptions::new();
        let lock = options.create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut document = self.read()?;
        let changed = change(&mut document)?;
        self.write(&document)?;
        Ok(changed)
    }

    /// Writes the file anew, whole or not at all.
    fn write(&self, document: &Document) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(document).map_err(|error| error.to_string())?;
        replace_private(&self.path, &text)
    }

    /// Whoever may sign: the file's principals, and the configured keys, which belong to the account's root.
    ///
    /// # Errors
    /// A sentence that says what in the file is wrong.
    fn load(&self, config: &Config) -> Result<Principals, String> {
        let document = self.read()?;
        let mut keys = root_keys(config)?;
        if document.principals.iter().any(|principal| !principal.access_keys.is_empty()) {
            let secrets = self.key.open()?;
            for principal in &document.principals {
                let wrong = |error: String| format!("{}: {}: {error}", self.path.display(), principal.arn);
                keys.extend(principal.keys(&secrets).map_err(wrong)?);
            }
        }
        Ok(Principals::new(keys))
    }

    /// Loads the file now, and again whenever it has changed. A file that cannot be read leaves what was loaded before.
    ///
    /// # Errors
    /// A sentence if it cannot be read now.
    pub(crate) fn follow(
        self,
        config: Arc<Config>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Arc<ArcSwap<Principals>>, String> {
        let mut seen = self.stamp();
        let current = Arc::new(ArcSwap::from_pointee(self.load(&config)?));
        let served = Arc::clone(&current);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                let stamp = self.stamp();
                if stamp == seen {
                    continue;
                }
                seen = stamp;
                match self.load(&config) {
                    Ok(principals) => {
                        tracing::info!(
                            keys = principals.len(),
                            "the principals that may sign requests have changed"
                        );
                        served.store(Arc::new(principals));
                    }
                    Err(error) => tracing::error!(%error, "principals not loaded; those from before stay"),
                }
            }
        });
        Ok(current)
    }

    /// Differs whenever the file was written.
    fn stamp(&self) -> Option<(u64, i64, i64, u64)> {
        let metadata = fs::metadata(&self.path).ok()?;
        Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
    }
}

impl Principal {
    fn keys(&self, secrets: &SecretBox) -> Result<Vec<AccessKey>, String> {
        let identity = Arc::new(self.identity()?);
        let keys = self.access_keys.iter().map(|key| {
            let id = &key.access_key_id;
            let token = key.encrypted_session_token.as_deref();
            let time = |seconds: Option<u64>| {
                let time = |seconds| match seconds {
                    0..=SECONDS_MAX => Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
                    _ => Err(format!("{id}: {seconds} is no time in seconds since 1970")),
                };
                seconds.map(time).transpose()
            };
            Ok(AccessKey {
                credential: Credential {
                    access_key_id: id.clone(),
                    secret_access_key: secrets.open(id, &key.encrypted_secret)?,
                    session_token: token.map(|token| secrets.open(id, token)).transpose()?,
                },
                expires_at: time(key.expires_at)?,
                issued_at: time(key.issued_at)?,
                identity: Arc::clone(&identity),
            })
        });
        keys.collect()
    }

    /// Who it is, with all of its policies.
    ///
    /// # Errors
    /// A sentence if its ARN or a policy cannot be read.
    pub(crate) fn identity(&self) -> Result<Identity, String> {
        let policies: Result<Vec<Policy>, String> = self
            .policies
            .iter()
            .map(|document| Policy::from_value(document, Kind::Identity).map_err(|error| error.to_string()))
            .collect();
        if self.arn.ends_with(":root") {
            return Err("an account's root has the keys of the configuration file".to_owned());
        }
        Identity::new(&self.arn, &self.user_id, self.tags.clone(), Policy::merge(policies?))
    }
}

/// The keys that control-plane calls are signed with. Root may do everything.
fn root_keys(config: &Config) -> Result<Vec<AccessKey>, String> {
    const EVERYTHING: &str =
        r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    let arn = format!("arn:aws:iam::{}:root", config.account_id);
    let policy = Policy::parse(EVERYTHING, Kind::Identity).map_err(|error| error.to_string())?;
    let identity = Arc::new(Identity::new(&arn, "", [], policy)?);
    let keys = config.wire_credentials().into_iter().map(|credential| AccessKey {
        credential,
        expires_at: None,
        issued_at: None,
        identity: Arc::clone(&identity),
    });
    Ok(keys.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(arn: &str) -> Principal {
        Principal {
            arn: arn.to_owned(),
            user_id: "AIDA1".to_owned(),
            policies: Vec::new(),
            tags: BTreeMap::new(),
            access_keys: Vec::new(),
        }
    }

    #[test]
    fn times_that_cannot_be_written_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = KeyFile::in_folder(folder.path()).open_or_make().unwrap();
        let check = |seconds: u64, expected: bool| {
            let mut principal = principal("arn:aws:iam::111111111111:user/ann");
            principal.access_keys.push(StoredKey {
                access_key_id: "AKIA1".to_owned(),
                encrypted_secret: secrets.seal("AKIA1", "secret").unwrap(),
                encrypted_session_token: None,
                expires_at: None,
                issued_at: Some(seconds),
            });
            assert_eq!(principal.keys(&secrets).is_ok(), expected, "{seconds}");
        };
        check(0, true);
        check(1_700_000_000, true);
        // Milliseconds, and more than a clock can hold.
        check(1_700_000_000_000, false);
        check(u64::MAX, false);
    }

    #[test]
    fn arns_say_who_it_is() {
        let check = |arn: &str, expected: Option<(&str, &str, Option<&str>)>| {
            let principal = principal(arn);
            let identity = principal.identity().ok();
            let found = identity
                .as_ref()
                .map(|identity| (&*identity.principal_arn, identity.kind, identity.user_name.as_deref()));
            assert_eq!(found, expected, "{arn}");
        };
        let user = "arn:aws:iam::111111111111:user/team/ann";
        check(user, Some((user, "User", Some("ann"))));
        let role = "arn:aws:iam::111111111111:role/admin";
        check("arn:aws:sts::111111111111:assumed-role/admin/me", Some((role, "AssumedRole", None)));
        for wrong in [
            "ann",
            "arn:aws:iam::1:user/x",
            "arn:aws:iam::111111111111:root",
            "arn:aws:sts::111111111111:assumed-role/x",
        ] {
            check(wrong, None);
        }
    }
}
