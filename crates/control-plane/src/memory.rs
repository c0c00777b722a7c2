//! A store in memory: nothing survives the process. For tests, and for tools that only need the rules.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::store::{CommitError, Revision, Snapshot, Store, StoreError, Transaction, Versioned};

/// How many changes the feed keeps.
const FEED_MAX: usize = 10_000;

/// Definitions in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    newest: watch::Sender<Revision>,
}

#[derive(Debug, Default)]
struct State {
    revision: Revision,
    // Snapshots share the map; a commit copies it only while one is held.
    data: Arc<BTreeMap<String, Versioned>>,
    feed: BTreeMap<(Revision, String), ()>,
    feed_floor: Revision,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let state = self.state();
        Ok(Box::new(MemorySnapshot { revision: state.revision, data: Arc::clone(&state.data) }))
    }

    fn commit(&self, transaction: &Transaction) -> Result<Revision, CommitError> {
        let mut state = self.state();
        let view = MemorySnapshot { revision: state.revision, data: Arc::clone(&state.data) };
        for (key, revision) in &transaction.reads {
            if view.data.get(key).map(|entry| entry.revision) != *revision {
                return Err(CommitError::Conflict);
            }
        }
        for (prefix, seen) in &transaction.scans {
            let now =
                view.scan(prefix, None, usize::MAX)?.into_iter().map(|(key, entry)| (key, entry.revision));
            if !now.eq(seen.iter().cloned()) {
                return Err(CommitError::Conflict);
            }
        }
        drop(view);
        state.revision += 1;
        let revision = state.revision;
        for (key, value) in &transaction.writes {
            let data = Arc::make_mut(&mut state.data);
            match value {
                Some(value) => drop(data.insert(key.clone(), Versioned { revision, value: value.clone() })),
                None => drop(data.remove(key)),
            }
            state.feed.insert((revision, key.clone()), ());
        }
        while state.feed.len() > FEED_MAX {
            if let Some(((dropped, _), ())) = state.feed.pop_first() {
                state.feed_floor = dropped;
            }
        }
        drop(state);
        self.newest.send_replace(revision);
        Ok(revision)
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    fn changes_since(&self, revision: Revision) -> Result<Option<Vec<(String, Revision)>>, StoreError> {
        let state = self.state();
        if revision < state.feed_floor {
            return Ok(None);
        }
        let changes = state.feed.range((revision.saturating_add(1), String::new())..);
        let latest: BTreeMap<String, Revision> =
            changes.map(|((revision, key), ())| (key.clone(), *revision)).collect();
        Ok(Some(latest.into_iter().collect()))
    }
}

struct MemorySnapshot {
    revision: Revision,
    data: Arc<BTreeMap<String, Versioned>>,
}

impl Snapshot for MemorySnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        Ok(self.data.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Versioned)>, StoreError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let start = after.filter(|after| *after >= prefix).map_or(Included(prefix), Excluded);
        let found =
            self.data.range::<str, _>((start, Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.take(limit).map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }

    fn count(&self, prefix: &str) -> Result<usize, StoreError> {
        use std::ops::Bound::{Included, Unbounded};
        let found = self.data.range::<str, _>((Included(prefix), Unbounded));
        Ok(found.take_while(|(key, _)| key.starts_with(prefix)).count())
    }
}
