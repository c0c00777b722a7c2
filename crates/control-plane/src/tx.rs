//! One operation's view of the store: what it reads is recorded, what it writes is kept back until the end.
//!
//! A read sees the operation's own writes. Everything that was read is part of the commit, so two operations that
//! depend on each other never both succeed on the same state; the second runs again on the new one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ApiError;
use crate::store::{Snapshot, Transaction};

/// A transaction being put together.
pub(crate) struct Tx {
    snapshot: Box<dyn Snapshot>,
    // Reading records what was read, and callers may hold several results at once.
    record: RefCell<Transaction>,
}

impl Tx {
    pub(crate) fn new(snapshot: Box<dyn Snapshot>) -> Self {
        Self { snapshot, record: RefCell::default() }
    }

    /// The store as it was when this began. For answers only: nothing that is read there is recorded.
    pub(crate) fn view(&self) -> &dyn Snapshot {
        &*self.snapshot
    }

    /// What is to be committed.
    pub(crate) fn finish(self) -> Transaction {
        self.record.into_inner()
    }

    /// What is found in the keys that it has given values so far.
    pub(crate) fn written<T: Ord>(&self, find: impl Fn(&str) -> Option<T>) -> BTreeSet<T> {
        let record = self.record.borrow();
        record.writes.iter().filter(|(_, value)| value.is_some()).filter_map(|(key, _)| find(key)).collect()
    }

    /// The value under a key, or `None`.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ApiError> {
        let mut record = self.record.borrow_mut();
        if let Some(written) = record.writes.get(key) {
            return written.as_deref().map(|bytes| decode(key, bytes)).transpose();
        }
        let found = self.snapshot.get(key)?;
        record.reads.insert(key.to_owned(), found.as_ref().map(|found| found.revision));
        found.map(|found| decode(key, &found.value)).transpose()
    }

    /// Whether there is a value under a key.
    pub(crate) fn exists(&self, key: &str) -> Result<bool, ApiError> {
        let mut record = self.record.borrow_mut();
        if let Some(written) = record.writes.get(key) {
            return Ok(written.is_some());
        }
        let found = self.snapshot.get(key)?.map(|found| found.revision);
        record.reads.insert(key.to_owned(), found);
        Ok(found.is_some())
    }

    /// All keys that start with a prefix, with their values, in key order. Nothing may be added to or removed from
    /// them until the commit, so that a rule about all of them (such as sibling names) holds.
    pub(crate) fn scan<T: DeserializeOwned>(&self, prefix: &str) -> Result<BTreeMap<String, T>, ApiError> {
        let entries = self.raw(prefix)?;
        entries.into_iter().map(|(key, value)| Ok((key.clone(), decode(&key, &value)?))).collect()
    }

    /// The same without the values.
    pub(crate) fn keys(&self, prefix: &str) -> Result<Vec<String>, ApiError> {
        Ok(self.raw(prefix)?.into_keys().collect())
    }

    fn raw(&self, prefix: &str) -> Result<BTreeMap<String, Vec<u8>>, ApiError> {
        let mut record = self.record.borrow_mut();
        let found = self.snapshot.scan(prefix, None, usize::MAX)?;
        let seen = found.iter().map(|(key, entry)| (key.clone(), entry.revision)).collect();
        record.scans.insert(prefix.to_owned(), seen);
        let mut entries: BTreeMap<_, _> = found.into_iter().map(|(key, entry)| (key, entry.value)).collect();
        let written = record.writes.range::<str, _>((Included(prefix), Unbounded));
        for (key, value) in written.take_while(|(key, _)| key.starts_with(prefix)) {
            match value {
                Some(value) => drop(entries.insert(key.clone(), value.clone())),
                None => drop(entries.remove(key)),
            }
        }
        Ok(entries)
    }

    /// The values directly below a prefix that has children below each of them, such as `restapis/`. For answers
    /// only: it records nothing, so no rule may rest on it.
    pub(crate) fn top_level<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, ApiError> {
        let mut found = Vec::new();
        let mut after = prefix.to_owned();
        while let Some((key, entry)) = self.snapshot.scan(prefix, Some(&after), 1)?.into_iter().next() {
            // The next character after `/`, so that everything below the key is passed over.
            after = format!("{key}/\u{10ffff}");
            found.push(decode(&key, &entry.value)?);
        }
        Ok(found)
    }

    /// Writes a value. What is there already, even if this transaction has deleted it since, is not written again, so that
    /// followers see real changes alone.
    pub(crate) fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), ApiError> {
        let bytes =
            serde_json::to_vec(value).map_err(|error| ApiError::Internal(format!("{key}: {error}")))?;
        let mut record = self.record.borrow_mut();
        let unchanged = !matches!(record.writes.get(key), Some(Some(_)))
            && self.snapshot.get(key)?.is_some_and(|found| {
                let same = found.value == bytes;
                if same {
                    record.reads.insert(key.to_owned(), Some(found.revision));
                }
                same
            });
        match unchanged {
            true => drop(record.writes.remove(key)),
            false => drop(record.writes.insert(key.to_owned(), Some(bytes))),
        }
        Ok(())
    }

    /// Writes a value anew even where nothing about it has changed, for those who follow changes.
    pub(crate) fn rewrite<T: Serialize>(&self, key: &str, value: &T) -> Result<(), ApiError> {
        let bytes =
            serde_json::to_vec(value).map_err(|error| ApiError::Internal(format!("{key}: {error}")))?;
        self.record.borrow_mut().writes.insert(key.to_owned(), Some(bytes));
        Ok(())
    }

    /// Deletes a key, if it is there.
    pub(crate) fn delete(&self, key: &str) {
        self.record.borrow_mut().writes.insert(key.to_owned(), None);
    }

    /// Deletes every key that starts with a prefix.
    pub(crate) fn delete_all(&self, prefix: &str) -> Result<(), ApiError> {
        for key in self.keys(prefix)? {
            self.delete(&key);
        }
        // What this very transaction wrote below the prefix is gone too, and was never anywhere else.
        let mut record = self.record.borrow_mut();
        let written: Vec<String> = record
            .writes
            .range::<str, _>((Excluded(prefix), Unbounded))
            .map(|(key, _)| key.clone())
            .take_while(|key| key.starts_with(prefix))
            .collect();
        for key in written {
            record.writes.insert(key, None);
        }
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::Internal(format!("the store's value under {key} is damaged: {error}")))
}
