//! A part of the index of API keys: records one behind the other in one piece of memory, and where each begins, in the order
//! of the hashes of their values.
//!
//! There may be a million keys, so a key has no allocation of its own, and finding one touches three places: the hashes,
//! its record, and its counters once it has some.
//!
//! A record: a byte that says whether the key is enabled, the lengths of its value and its id and the number of its plans,
//! a byte each, then the plans' slots, four bytes each, the value and the id.

use std::sync::{Arc, OnceLock};

use super::Members;

/// How many bytes come before a record's plans.
const HEAD: usize = 4;
const SLOT: usize = size_of::<u32>();

/// Keys whose hashes fall into one part of the index.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// What is left of the hashes, and where the records begin.
    entries: Box<[(u32, u32)]>,
    records: Box<[u8]>,
    /// The counters of each key, made when it is first used.
    members: Box<[OnceLock<Arc<Members>>]>,
}

/// A key in its shard.
#[derive(Clone, Copy)]
pub(super) struct Record<'s> {
    pub(super) enabled: bool,
    plans: &'s [u8],
    pub(super) value: &'s str,
    pub(super) id: &'s str,
}

impl<'s> Record<'s> {
    fn read(records: &'s [u8], at: u32) -> Option<Self> {
        let bytes = records.get(usize::try_from(at).ok()?..)?;
        let (&[enabled, value, id, plans], bytes) = bytes.split_first_chunk::<HEAD>()?;
        let (plans, bytes) = bytes.split_at_checked(usize::from(plans) * SLOT)?;
        let (value, bytes) = bytes.split_at_checked(usize::from(value))?;
        let id = bytes.get(..usize::from(id))?;
        let [value, id] = [value, id].map(|text| std::str::from_utf8(text).unwrap_or_default());
        Some(Self { enabled: enabled == 1, plans, value, id })
    }

    /// Appends a key; nothing if a part of it is longer than it can be.
    fn write(records: &mut Vec<u8>, id: &str, value: &str, enabled: bool, plans: &[u32]) -> Option<u32> {
        let at = u32::try_from(records.len()).ok()?;
        let length = |length| u8::try_from(length).ok();
        let head = [u8::from(enabled), length(value.len())?, length(id.len())?, length(plans.len())?];
        records.extend(head);
        records.extend(plans.iter().flat_map(|plan| plan.to_le_bytes()));
        records.extend(value.bytes().chain(id.bytes()));
        Some(at)
    }

    /// The slots of its plans.
    pub(super) fn plans(&self) -> impl Iterator<Item = u32> + use<'s> {
        self.plans.as_chunks::<SLOT>().0.iter().map(|slot| u32::from_le_bytes(*slot))
    }

    /// All of its bytes.
    fn length(&self) -> usize {
        HEAD + self.plans.len() + self.value.len() + self.id.len()
    }
}

impl Shard {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where the key with a value is.
    pub(super) fn find(&self, hash: u32, value: &str) -> Option<(usize, Record<'_>)> {
        let first = place(&self.entries, hash);
        let same = self.entries.iter().enumerate().skip(first).take_while(|(_, (known, _))| *known == hash);
        let mut records =
            same.filter_map(|(at, (_, begin))| Some((at, Record::read(&self.records, *begin)?)));
        records.find(|(_, record)| record.value == value)
    }

    /// The key at a place that [`Shard::find`] gave.
    pub(super) fn at(&self, at: usize) -> Option<Record<'_>> {
        Record::read(&self.records, self.entries.get(at)?.1)
    }

    /// The counters of the key at a place.
    pub(super) fn members(&self, at: usize) -> Option<&OnceLock<Arc<Members>>> {
        self.members.get(at)
    }
}

/// Where the keys with a hash begin, or would. Hashes are spread evenly, so that the place can be told from the hash
/// itself, but for a few steps: among many keys that touches less memory than halving the shard would.
fn place(entries: &[(u32, u32)], hash: u32) -> usize {
    let guess = (u64::from(hash) * entries.len() as u64) >> 32;
    let mut at = usize::try_from(guess).unwrap_or(0);
    while at > 0 && entries.get(at - 1).is_some_and(|(known, _)| *known >= hash) {
        at -= 1;
    }
    while entries.get(at).is_some_and(|(known, _)| *known < hash) {
        at += 1;
    }
    at
}

/// A shard being changed.
pub(super) struct OpenShard {
    before: Arc<Shard>,
    entries: Vec<(u32, u32)>,
    /// The records of the shard before, and those that have come since. Some may belong to no entry any more.
    records: Vec<u8>,
}

impl OpenShard {
    /// Begins with a shard.
    pub(super) fn new(before: &Arc<Shard>) -> Self {
        Self {
            before: Arc::clone(before),
            entries: before.entries.to_vec(),
            records: before.records.to_vec(),
        }
    }

    fn position(&self, hash: u32, value: &str) -> Result<usize, usize> {
        let first = self.entries.partition_point(|(known, _)| *known < hash);
        let same = self.entries.iter().enumerate().skip(first).take_while(|(_, (known, _))| *known == hash);
        let is_it = |begin| Record::read(&self.records, begin).is_some_and(|record| record.value == value);
        let mut found = same.filter(|(_, (_, begin))| is_it(*begin));
        found.next().map(|(at, _)| at).ok_or(first)
    }

    /// Adds a key or replaces it.
    pub(super) fn set(&mut self, hash: u32, id: &str, value: &str, enabled: bool, plans: &[u32]) {
        let position = self.position(hash, value);
        // What is longer than it can be nobody could send.
        let Some(begin) = Record::write(&mut self.records, id, value, enabled, plans) else { return };
        match position {
            Ok(at) => {
                if let Some((_, known)) = self.entries.get_mut(at) {
                    *known = begin;
                }
            }
            Err(at) => self.entries.insert(at, (hash, begin)),
        }
    }

    /// Removes the key with a value, if it is there.
    pub(super) fn remove(&mut self, hash: u32, value: &str) {
        if let Ok(at) = self.position(hash, value) {
            self.entries.remove(at);
        }
    }

    /// The shard, in no more memory than it needs. Keys that are as they were keep their counters.
    pub(super) fn close(self) -> Shard {
        let read = |begin| Record::read(&self.records, begin);
        let length = self.entries.iter().filter_map(|(_, begin)| Some(read(*begin)?.length())).sum();
        let mut records = Vec::with_capacity(length);
        let mut entries = Vec::with_capacity(self.entries.len());
        let mut members = Vec::with_capacity(self.entries.len());
        for &(hash, begin) in &self.entries {
            let from = usize::try_from(begin).unwrap_or(usize::MAX);
            let bytes = read(begin).and_then(|record| self.records.get(from..from + record.length()));
            let (Some(bytes), Ok(at)) = (bytes, u32::try_from(records.len())) else { continue };
            records.extend_from_slice(bytes);
            entries.push((hash, at));
            let is_new = from >= self.before.records.len();
            let known = self.before.entries.binary_search_by_key(&(hash, begin), |entry| *entry);
            let kept = known.ok().filter(|_| !is_new).and_then(|at| self.before.members(at));
            members.push(kept.cloned().unwrap_or_default());
        }
        Shard { entries: entries.into(), records: records.into(), members: members.into() }
    }
}
