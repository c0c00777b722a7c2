//! The embedded store: one file, written through redb.
//!
//! Writers that come at the same time share one commit, because what a commit costs is the wait for the disk: the
//! first writer to get the turn takes everybody's transactions, checks each against what the ones before it wrote,
//! and makes them durable together.
//!
//! After a failed write (a full disk) the engine accepts nothing more, so the file is opened anew: once there is
//! room again the store works again, without a restart.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
};
use stagedoor_control_plane::store::{
    CommitError, Revision, Snapshot, Store, StoreError, Transaction, Versioned,
};
use tokio::sync::watch;

use crate::open::{self, META, REVISION, engine};

/// The definitions: each key with the revision that wrote it and its value.
const DATA: TableDefinition<'static, &str, (u64, &[u8])> = TableDefinition::new("data");
/// The change feed: each commit's revision with the keys that it wrote.
const FEED: TableDefinition<'static, (u64, &str), ()> = TableDefinition::new("feed");
/// Key in [`META`]: changes up to and with this revision have been dropped from the feed.
const FEED_FLOOR: &str = "feed-floor";

/// How many changes the feed keeps. A follower that lags further reads everything instead.
const FEED_MAX: u64 = 10_000;

/// Definitions in one file, `stagedoor.redb` in a data directory.
pub struct RedbStore {
    path: PathBuf,
    /// `None` after a failure, until it can be opened again.
    database: RwLock<Option<Database>>,
    waiting: Mutex<Vec<Arc<Pending>>>,
    turn: Mutex<()>,
    newest: watch::Sender<Revision>,
    _claim: Option<File>,
}

/// A transaction that waits for its commit.
struct Pending {
    transaction: Transaction,
    outcome: Mutex<Option<Result<Revision, CommitError>>>,
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RedbStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Opens the store in `dir`; the directory and the store are made if they are not there.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] if the file is no store, is damaged, has a newer format or is used by another process,
    /// [`StoreError::Io`] if it cannot be read and written. A file that is refused is left byte for byte as it was.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let opened = open::open(dir)?;
        let revision = revision_of(&opened.database).map_err(|error| engine(&opened.path, error))?;
        Ok(Self {
            path: opened.path,
            database: RwLock::new(Some(opened.database)),
            waiting: Mutex::default(),
            turn: Mutex::default(),
            newest: watch::Sender::new(revision),
            _claim: opened._claim,
        })
    }

    /// Runs something on the database, and opens it anew first if a failure has closed it.
    fn with_database<T>(&self, run: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let result = {
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
            database.as_ref().map(&run)
        };
        match result {
            Some(Ok(value)) => Ok(value),
            Some(Err(redb::Error::PreviousIo | redb::Error::DatabaseClosed)) | None => {
                self.reopen()?;
                let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
                let database =
                    database.as_ref().ok_or_else(|| StoreError::Engine("the store is closed".to_owned()))?;
                run(database).map_err(|error| engine(&self.path, error))
            }
            Some(Err(error)) => Err(engine(&self.path, error)),
        }
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old handle holds the lock on the file, so it has to go first.
        drop(place.take());
        let database = open::open_file(&self.path)?;
        let revision = revision_of(&database).map_err(|error| engine(&self.path, error))?;
        *place = Some(database);
        self.newest.send_if_modified(|newest| std::mem::replace(newest, revision) != revision);
        Ok(())
    }

    /// Commits what is waiting, in one durable write.
    fn commit_all(&self, batch: &[Arc<Pending>]) {
        let outcomes = self.with_database(|database| write(database, batch));
        match outcomes {
            Ok(outcomes) => {
                let newest = outcomes.iter().flatten().max().copied();
                for (pending, outcome) in batch.iter().zip(outcomes) {
                    *lock(&pending.outcome) = Some(outcome.ok_or(CommitError::Conflict));
                }
                if let Some(newest) = newest {
                    self.newest.send_replace(newest);
                }
            }
            Err(error) => {
                // The engine refuses even to read from now on. If this fails too, the next use tries again.
                self.reopen().ok();
                for pending in batch {
                    *lock(&pending.outcome) = Some(Err(CommitError::Store(copy(&error))));
                }
            }
        }
    }
}

impl Store for RedbStore {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let view = self.with_database(|database| {
            let transaction = database.begin_read()?;
            let revision =
                transaction.open_table(META)?.get(REVISION)?.map_or(0, |revision| revision.value());
            let data = match transaction.open_table(DATA) {
                Ok(table) => Some(table),
                Err(redb::TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(error.into()),
            };
            Ok((revision, data))
        });
        let (revision, data) = view?;
        Ok(Box::new(RedbSnapshot { path: self.path.clone(), revision, data }))
    }

    fn commit(&self, transaction: &Transaction) -> Result<Revision, CommitError> {
        let pending = Arc::new(Pending { transaction: transaction.clone(), outcome: Mutex::default() });
        lock(&self.waiting).push(Arc::clone(&pending));
        let turn = lock(&self.turn);
        // Whoever had the turn before may have committed ours together with theirs.
        if let Some(outcome) = lock(&pending.outcome).take() {
            return outcome;
        }
        let batch = std::mem::take(&mut *lock(&self.waiting));
        self.commit_all(&batch);
        drop(turn);
        lock(&pending.outcome).take().unwrap_or_else(|| {
            Err(CommitError::Store(StoreError::Engine("a commit was left undone".to_owned())))
        })
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    fn changes_since(&self, revision: Revision) -> Result<Option<Vec<(String, Revision)>>, StoreError> {
        self.with_database(|database| {
            let transaction = database.begin_read()?;
            let floor = transaction.open_table(META)?.get(FEED_FLOOR)?.map_or(0, |floor| floor.value());
            if revision < floor {
                return Ok(None);
            }
            let feed = match transaction.open_table(FEED) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Some(Vec::new())),
                Err(error) => return Err(error.into()),
            };
            let mut latest = std::collections::BTreeMap::new();
            for change in feed.range((revision.saturating_add(1), "")..)? {
                let (change, ()) = change.map(|(key, _)| (key, ()))?;
                let (revision, key) = change.value();
                latest.insert(key.to_owned(), revision);
            }
            Ok(Some(latest.into_iter().collect()))
        })
    }
}

fn revision_of(database: &Database) -> Result<Revision, redb::Error> {
    let transaction = database.begin_read()?;
    Ok(transaction.open_table(META)?.get(REVISION)?.map_or(0, |revision| revision.value()))
}

/// Writes a batch; for each transaction its revision, or `None` if what it read has changed.
fn write(database: &Database, batch: &[Arc<Pending>]) -> Result<Vec<Option<Revision>>, redb::Error> {
    let transaction = database.begin_write()?;
    let mut outcomes = Vec::with_capacity(batch.len());
    {
        let mut meta = transaction.open_table(META)?;
        let mut data = transaction.open_table(DATA)?;
        let mut feed = transaction.open_table(FEED)?;
        let mut revision = meta.get(REVISION)?.map_or(0, |revision| revision.value());
        for pending in batch {
            if !holds(&data, &pending.transaction)? {
                outcomes.push(None);
                continue;
            }
            revision += 1;
            for (key, value) in &pending.transaction.writes {
                match value {
                    Some(value) => drop(data.insert(key.as_str(), (revision, value.as_slice()))?),
                    None => drop(data.remove(key.as_str())?),
                }
                feed.insert((revision, key.as_str()), ())?;
            }
            outcomes.push(Some(revision));
        }
        meta.insert(REVISION, revision)?;
        let mut floor = None;
        while feed.len()? > FEED_MAX {
            floor = feed.pop_first()?.map(|(key, _)| key.value().0);
        }
        if let Some(floor) = floor {
            meta.insert(FEED_FLOOR, floor)?;
        }
    }
    if outcomes.iter().any(Option::is_some) {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok(outcomes)
}

/// Whether everything that a transaction has read is still as it was.
fn holds(data: &Table<'_, &str, (u64, &[u8])>, transaction: &Transaction) -> Result<bool, redb::Error> {
    for (key, revision) in &transaction.reads {
        if data.get(key.as_str())?.map(|entry| entry.value().0) != *revision {
            return Ok(false);
        }
    }
    for (prefix, seen) in &transaction.scans {
        let mut seen = seen.iter();
        for entry in data.range(prefix.as_str()..)? {
            let (key, value) = entry?;
            if !key.value().starts_with(prefix.as_str()) {
                break;
            }
            match seen.next() {
                Some((seen, revision)) if seen == key.value() && *revision == value.value().0 => {}
                _ => return Ok(false),
            }
        }
        if seen.next().is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

struct RedbSnapshot {
    path: PathBuf,
    revision: Revision,
    /// `None` as long as nothing has ever been written.
    data: Option<ReadOnlyTable<&'static str, (u64, &'static [u8])>>,
}

impl Snapshot for RedbSnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let Some(data) = &self.data else { return Ok(None) };
        let entry = data.get(key).map_err(|error| engine(&self.path, error.into()))?;
        Ok(entry.map(|entry| versioned(entry.value())))
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Versioned)>, StoreError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let Some(data) = &self.data else { return Ok(Vec::new()) };
        let start = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        let read = || -> Result<Vec<(String, Versioned)>, redb::StorageError> {
            let mut found = Vec::new();
            for entry in data.range::<&str>((start, Unbounded))? {
                let (key, value) = entry?;
                if found.len() == limit || !key.value().starts_with(prefix) {
                    break;
                }
                found.push((key.value().to_owned(), versioned(value.value())));
            }
            Ok(found)
        };
        read().map_err(|error| engine(&self.path, error.into()))
    }

    fn count(&self, prefix: &str) -> Result<usize, StoreError> {
        let Some(data) = &self.data else { return Ok(0) };
        let read = || -> Result<usize, redb::StorageError> {
            let mut count = 0;
            for entry in data.range(prefix..)? {
                if !entry?.0.value().starts_with(prefix) {
                    break;
                }
                count += 1;
            }
            Ok(count)
        };
        read().map_err(|error| engine(&self.path, error.into()))
    }
}

fn versioned((revision, value): (u64, &[u8])) -> Versioned {
    Versioned { revision, value: value.to_owned() }
}

/// The same error for each transaction of a batch that failed.
fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Io { what, source } => StoreError::Io {
            what: what.clone(),
            source: std::io::Error::new(source.kind(), source.to_string()),
        },
        StoreError::Unusable(text) => StoreError::Unusable(text.clone()),
        StoreError::Engine(text) => StoreError::Engine(text.clone()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
