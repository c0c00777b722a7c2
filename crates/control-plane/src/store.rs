//! Where definitions are kept: an ordered map of keys to values with transactions, and a feed of what changed.
//!
//! The rules read a [`Snapshot`], note what they read and what they want written in a [`Transaction`], and commit
//! it: the commit holds only if nothing that was read has changed since, so concurrent writers never lose an
//! update. Implementations are synchronous, because the control plane runs on threads that may block.
//!
//! Keys are UTF-8 paths, such as `restapis/a1b2c3d4e5/resources/x1y2z3`; values are JSON.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// Counts commits. A store that has never been written is at revision 0.
pub type Revision = u64;

/// A value and the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The revision of the commit that wrote it.
    pub revision: Revision,
    /// The value.
    pub value: Vec<u8>,
}

/// A store of definitions.
pub trait Store: Send + Sync + 'static {
    /// A consistent view of everything as it is now.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// Writes all of a transaction or nothing. What is acknowledged survives a crash.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if something that was read has changed: read again and retry.
    fn commit(&self, transaction: &Transaction) -> Result<Revision, CommitError>;

    /// The newest revision; it changes after each commit, here or on another node.
    fn watch(&self) -> watch::Receiver<Revision>;

    /// The keys that changed after `revision`, each once, with the revision that changed it last; `None` if the
    /// feed no longer reaches back that far, so that the caller has to look at everything.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn changes_since(&self, revision: Revision) -> Result<Option<Vec<(String, Revision)>>, StoreError>;
}

/// A consistent view of a store at one revision.
pub trait Snapshot {
    /// The revision that this view shows.
    fn revision(&self) -> Revision;

    /// The value under a key.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError>;

    /// Up to `limit` entries whose key starts with `prefix` and is greater than `after`, in key order.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Versioned)>, StoreError>;

    /// How many entries have a key that starts with `prefix`.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn count(&self, prefix: &str) -> Result<usize, StoreError>;
}

/// What was read and what is to be written.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// Keys that were read, each with the revision of its value, or `None` where there was no value.
    pub reads: BTreeMap<String, Option<Revision>>,
    /// Prefixes that were read as a whole, each with the keys and revisions that were there.
    pub scans: BTreeMap<String, Vec<(String, Revision)>>,
    /// Keys to write, each with its new value, or `None` to delete it.
    pub writes: BTreeMap<String, Option<Vec<u8>>>,
}

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused, for example because the disk is full or the directory is read-only.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, and on which path.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there and is not a store that this version can read. It has been left as it was.
    #[error("{0}")]
    Unusable(String),
    /// The storage engine failed.
    #[error("the store failed: {0}")]
    Engine(String),
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Something that was read has been changed since.
    #[error("the definitions were changed by another writer at the same time")]
    Conflict,
    /// The store failed; nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
