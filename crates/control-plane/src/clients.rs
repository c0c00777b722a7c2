//! API keys and usage plans for those who serve traffic: all of them, and which have changed.

use std::collections::{BTreeSet, VecDeque};

use serde::Deserialize;
use stagedoor_shapes::apigateway::UsagePlan;

use crate::keys;
use crate::store::{Revision, Snapshot};
use crate::{ApiError, ControlPlane};

/// How many entries are read from the store at once. There may be a million keys, which do not fit twice.
const BATCH: usize = 4096;

/// A key as far as traffic is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientKey {
    /// Its id.
    pub id: String,
    /// Its value.
    pub value: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// The ids of its plans.
    pub plans: Vec<String>,
}

/// What has changed, each as it is now.
#[derive(Debug, Default)]
pub struct ClientChanges {
    /// Plans by id; `None` for one that is gone.
    pub plans: Vec<(String, Option<UsagePlan>)>,
    /// Keys by value; `None` for one that is gone.
    pub keys: Vec<(String, Option<ClientKey>)>,
    /// The ids of keys that are gone.
    pub gone: BTreeSet<String>,
}

impl ClientChanges {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty() && self.keys.is_empty() && self.gone.is_empty()
    }
}

/// What of a stored key is needed here.
#[derive(Deserialize)]
struct Stored {
    id: String,
    value: String,
    #[serde(default)]
    enabled: bool,
}

impl ControlPlane {
    /// The keys and plans that have changed after a revision; `None` if all have to be looked at.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read.
    pub fn clients_changed_since(&self, revision: Revision) -> Result<Option<ClientChanges>, ApiError> {
        let Some(feed) = self.store().changes_since(revision)? else { return Ok(None) };
        let (mut plans, mut ids, mut values) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (key, _) in &feed {
            if let Some(id) = key.strip_prefix(keys::USAGE_PLANS) {
                plans.insert(id);
            } else if let Some(id) = key.strip_prefix(keys::API_KEYS) {
                ids.insert(id);
            } else if let Some(value) = key.strip_prefix(keys::API_KEY_VALUES) {
                values.insert(value.to_owned());
            } else if let Some((id, _)) =
                key.strip_prefix(keys::KEY_PLANS).and_then(|rest| rest.split_once('/'))
            {
                ids.insert(id);
            }
        }
        let mut changes = ClientChanges::default();
        if plans.is_empty() && ids.is_empty() && values.is_empty() {
            return Ok(Some(changes));
        }
        let view = self.store().snapshot()?;
        for id in plans {
            changes.plans.push((id.to_owned(), read(&*view, &keys::usage_plan(id))?));
        }
        for id in ids {
            match read::<Stored>(&*view, &keys::api_key(id))? {
                Some(key) => drop(values.insert(key.value)),
                None => drop(changes.gone.insert(id.to_owned())),
            }
        }
        for value in values {
            let id: Option<String> = read(&*view, &keys::api_key_value(&value))?;
            let stored = match id {
                Some(id) => read::<Stored>(&*view, &keys::api_key(&id))?,
                None => None,
            };
            let key = stored.map(|stored| with_plans(&*view, stored)).transpose()?;
            changes.keys.push((value, key));
        }
        Ok(Some(changes))
    }

    /// All plans.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read.
    pub fn usage_plans(&self) -> Result<Vec<UsagePlan>, ApiError> {
        self.read(|tx| Ok(tx.scan::<UsagePlan>(keys::USAGE_PLANS)?.into_values().collect()))
    }

    /// Hands every key to `each`, without holding all of them.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read.
    pub fn each_client_key(&self, mut each: impl FnMut(ClientKey)) -> Result<(), ApiError> {
        let view = self.store().snapshot()?;
        let mut stored = Batches::new(&*view, keys::API_KEYS);
        // Both are in the order of the keys' ids.
        let mut members = Batches::new(&*view, keys::KEY_PLANS).peekable();
        while let Some(entry) = stored.next().transpose()? {
            let stored: Stored = decode(&entry.0, &entry.1)?;
            let mut plans = Vec::new();
            while let Some(Ok((member, _))) = members.peek() {
                let Some((id, plan)) = member.split_once('/') else { break };
                if id > stored.id.as_str() {
                    break;
                }
                if id == stored.id {
                    plans.push(plan.to_owned());
                }
                members.next();
            }
            if let Some(Err(_)) = members.peek() {
                members.next().transpose()?;
            }
            each(ClientKey { id: stored.id, value: stored.value, enabled: stored.enabled, plans });
        }
        Ok(())
    }

    /// Whether there is a key with an id.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read.
    pub fn has_api_key(&self, id: &str) -> Result<bool, ApiError> {
        self.read(|tx| tx.exists(&keys::api_key(id)))
    }
}

fn with_plans(view: &dyn Snapshot, stored: Stored) -> Result<ClientKey, ApiError> {
    let prefix = keys::key_plans(&stored.id);
    let members = view.scan(&prefix, None, usize::MAX)?;
    let plans = members.iter().filter_map(|(key, _)| key.strip_prefix(&prefix)).map(str::to_owned);
    let plans = plans.collect();
    Ok(ClientKey { id: stored.id, value: stored.value, enabled: stored.enabled, plans })
}

fn read<T: serde::de::DeserializeOwned>(view: &dyn Snapshot, key: &str) -> Result<Option<T>, ApiError> {
    view.get(key)?.map(|found| decode(key, &found.value)).transpose()
}

fn decode<T: serde::de::DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::Internal(format!("the store's value under {key} is damaged: {error}")))
}

/// What stands below a prefix, read a batch at a time.
struct Batches<'v> {
    view: &'v dyn Snapshot,
    prefix: &'static str,
    batch: VecDeque<(String, Vec<u8>)>,
    after: Option<String>,
    ended: bool,
}

impl<'v> Batches<'v> {
    fn new(view: &'v dyn Snapshot, prefix: &'static str) -> Self {
        Self { view, prefix, batch: VecDeque::new(), after: None, ended: false }
    }
}

impl Iterator for Batches<'_> {
    /// The key below the prefix, and the value.
    type Item = Result<(String, Vec<u8>), ApiError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.batch.is_empty() && !self.ended {
            match self.view.scan(self.prefix, self.after.as_deref(), BATCH) {
                Ok(found) => {
                    self.ended = found.len() < BATCH;
                    self.after = found.last().map(|(key, _)| key.clone());
                    self.batch = found
                        .into_iter()
                        .map(|(key, entry)| {
                            let below = key.strip_prefix(self.prefix).unwrap_or(&key).to_owned();
                            (below, entry.value)
                        })
                        .collect();
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            }
        }
        self.batch.pop_front().map(Ok)
    }
}
