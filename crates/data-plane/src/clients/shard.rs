//! A part of the index of API keys: records one behind the other in one piece of memory, and where each begins, in the order
//! of the hashes of their values.
//!
//! There may be a million keys, so a key has no allocation of its own, and a request with one touches as few places as can
//! be, since none of them is in the processor's caches: the hashes, its record, its counters' place and its counters.
//!
//! A record: a byte that says whether the key is enabled, the lengths of its value and its id and the number of its plans,
//! a byte each, where its counters begin and its plans' slots, four bytes each, the value and the id. It does not cross
//! a line of memory that it could have within one.

use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use super::Member;

/// How many bytes come before a record's plans.
const HEAD: usize = 4 + SLOT;
const SLOT: usize = size_of::<u32>();
/// How many bytes a processor fetches at once.
const LINE: usize = 64;

/// Keys whose hashes fall into one part of the index.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// What is left of the hashes, and where the records begin.
    entries: Box<[(u32, u32)]>,
    /// Not boxed: it must not move, or the lines were others.
    records: Vec<u8>,
    /// The counters of each key in each of its plans, made when they are first used.
    members: Box<[OnceLock<Member>]>,
}

/// A key in its shard.
#[derive(Clone, Copy)]
pub(super) struct Record<'s> {
    pub(super) enabled: bool,
    /// Where in the shard its counters begin.
    members: u32,
    plans: &'s [u8],
    pub(super) value: &'s str,
    pub(super) id: &'s str,
}

impl<'s> Record<'s> {
    fn read(records: &'s [u8], at: u32) -> Option<Self> {
        let bytes = records.get(usize::try_from(at).ok()?..)?;
        let (&[enabled, value, id, plans, m0, m1, m2, m3], bytes) = bytes.split_first_chunk::<HEAD>()?;
        let (plans, bytes) = bytes.split_at_checked(usize::from(plans) * SLOT)?;
        let (value, bytes) = bytes.split_at_checked(usize::from(value))?;
        let id = bytes.get(..usize::from(id))?;
        let [value, id] = [value, id].map(|text| std::str::from_utf8(text).unwrap_or_default());
        Some(Self { enabled: enabled == 1, members: u32::from_le_bytes([m0, m1, m2, m3]), plans, value, id })
    }

    /// Appends a key; nothing if a part of it is longer than it can be.
    fn write(
        records: &mut Vec<u8>,
        id: &str,
        value: &str,
        enabled: bool,
        plans: &[u32],
        members: u32,
    ) -> Option<u32> {
        let at = u32::try_from(records.len()).ok()?;
        let length = |length| u8::try_from(length).ok();
        let head = [u8::from(enabled), length(value.len())?, length(id.len())?, length(plans.len())?];
        records.extend(head);
        records.extend(members.to_le_bytes());
        records.extend(plans.iter().flat_map(|plan| plan.to_le_bytes()));
        records.extend(value.bytes().chain(id.bytes()));
        Some(at)
    }

    /// The slots of its plans.
    pub(super) fn plans(&self) -> impl Iterator<Item = u32> + use<'s> {
        self.plans.as_chunks::<SLOT>().0.iter().map(|slot| u32::from_le_bytes(*slot))
    }

    /// Where the counters of one of its plans are.
    fn member(&self, index: usize) -> usize {
        usize::try_from(self.members).map_or(usize::MAX, |members| members.saturating_add(index))
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

    /// Where the record of the key with a value is.
    pub(super) fn find(&self, hash: u32, value: &str) -> Option<(u32, Record<'_>)> {
        let first = place(&self.entries, hash);
        let same = self.entries.iter().skip(first).take_while(|(known, _)| *known == hash);
        let mut records = same.filter_map(|&(_, at)| Some((at, self.at(at)?)));
        records.find(|(_, record)| record.value == value)
    }

    /// The key at a place that [`Shard::find`] gave.
    pub(super) fn at(&self, at: u32) -> Option<Record<'_>> {
        Record::read(&self.records, at)
    }

    /// The counters of a key in one of its plans.
    pub(super) fn member(&self, key: &Record<'_>, index: usize) -> Option<&OnceLock<Member>> {
        self.members.get(key.member(index))
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
        let is_it = |begin| self.read(begin).is_some_and(|record| record.value == value);
        let mut found = same.filter(|(_, (_, begin))| is_it(*begin));
        found.next().map(|(at, _)| at).ok_or(first)
    }

    /// Adds a key or replaces it.
    pub(super) fn set(&mut self, hash: u32, id: &str, value: &str, enabled: bool, plans: &[u32]) {
        let position = self.position(hash, value);
        // What is longer than it can be nobody could send.
        let Some(begin) = Record::write(&mut self.records, id, value, enabled, plans, 0) else { return };
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

    /// The shard, in hardly more memory than it needs. Keys that are as they were keep their counters.
    pub(super) fn close(self) -> Shard {
        let keys = self.entries.iter().filter_map(|&(hash, begin)| Some((hash, begin, self.read(begin)?)));
        let end = keys.clone().fold(0, |end, (_, _, key)| begin_in_line(end, key.length()) + key.length());
        let mut records = Vec::<u8>::with_capacity(end + LINE);
        let first = records.as_ptr().align_offset(LINE).min(LINE);
        records.resize(first, 0);
        let mut entries = Vec::with_capacity(self.entries.len());
        let mut members = Vec::with_capacity(self.before.members.len());
        for (hash, begin, key) in keys {
            records.resize(first + begin_in_line(records.len() - first, key.length()), 0);
            let slots: SmallVec<[u32; 4]> = key.plans().collect();
            let own = u32::try_from(members.len()).unwrap_or(u32::MAX);
            let Some(at) = Record::write(&mut records, key.id, key.value, key.enabled, &slots, own) else {
                continue;
            };
            entries.push((hash, at));
            let is_new = usize::try_from(begin).is_ok_and(|begin| begin >= self.before.records.len());
            members.extend((0..slots.len()).map(|index| {
                let known = self.before.member(&key, index).filter(|_| !is_new);
                known.cloned().unwrap_or_default()
            }));
        }
        Shard { entries: entries.into(), records, members: members.into() }
    }

    fn read(&self, begin: u32) -> Option<Record<'_>> {
        Record::read(&self.records, begin)
    }
}

/// Where a record of some length begins that comes after others: at once, or with the next line, if it fits into that and not
/// into the rest of this one.
fn begin_in_line(end: usize, length: usize) -> usize {
    let rest = end.next_multiple_of(LINE) - end;
    if length <= LINE && length > rest { end + rest } else { end }
}
