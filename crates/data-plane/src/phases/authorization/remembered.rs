//! What has been found out about callers, remembered for a while by each worker for itself: a request that finds its
//! answer here takes no lock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use stagedoor_http::clock;

use crate::fast_map::FastMap;

/// Entries of one owner that a worker keeps. Past that, what has run out goes, and if nothing has, everything: finding
/// it out again costs one call each.
const ENTRIES_MAX: usize = 4096;

/// Tells owners apart; a stage that is compiled anew forgets what its predecessor knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerId(u64);

impl OwnerId {
    /// An id that no other owner has.
    #[must_use]
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

type Entries<T, S> = HashMap<Box<str>, (T, Instant), S>;

/// Values by owner and key, each until its own time.
pub struct Remembered<T, S = RandomState> {
    owners: RefCell<FastMap<OwnerId, Entries<T, S>>>,
}

/// Hashes keys by their ends, for tokens that have been verified: a signature tells them apart as well as the whole
/// does, and nobody can have many with the same end remembered who cannot sign.
#[derive(Clone, Debug, Default)]
pub struct ByEnd(RandomState);

impl BuildHasher for ByEnd {
    type Hasher = EndHasher<<RandomState as BuildHasher>::Hasher>;

    fn build_hasher(&self) -> Self::Hasher {
        EndHasher(self.0.build_hasher())
    }
}

/// Bytes of a key that count.
const END_BYTES: usize = 32;

/// Hands on the end of what it is given.
#[derive(Debug)]
pub struct EndHasher<H>(H);

impl<H: Hasher> Hasher for EndHasher<H> {
    fn write(&mut self, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(END_BYTES);
        self.0.write(bytes.get(skipped..).unwrap_or_default());
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

impl<T, S> Default for Remembered<T, S> {
    fn default() -> Self {
        Self { owners: RefCell::default() }
    }
}

impl<T: Clone, S: BuildHasher + Default> Remembered<T, S> {
    /// What is remembered under this key, if its time has not run out. The caller has just read the clock
    /// ([`clock::now`]).
    #[must_use]
    pub fn get(&self, owner: OwnerId, key: &str) -> Option<T> {
        let owners = self.owners.borrow();
        let (value, until) = owners.get(&owner)?.get(key)?;
        (*until > clock::last()).then(|| value.clone())
    }

    /// Remembers a value until then.
    pub fn put(&self, owner: OwnerId, key: &str, value: T, until: Instant) {
        let mut owners = self.owners.borrow_mut();
        let entries = owners.entry(owner).or_default();
        make_room(entries, ENTRIES_MAX, |(_, until)| *until);
        entries.insert(key.into(), (value, until));
    }

    /// Forgets what has run out.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.owners.borrow_mut().retain(|_, entries| {
            entries.retain(|_, (_, until)| *until > now);
            !entries.is_empty()
        });
    }
}

/// Makes sure that one more entry fits.
pub(super) fn make_room<V, S>(
    entries: &mut HashMap<Box<str>, V, S>,
    max: usize,
    until: impl Fn(&V) -> Instant,
) {
    if entries.len() >= max {
        let now = Instant::now();
        entries.retain(|_, value| until(value) > now);
    }
    if entries.len() >= max {
        entries.clear();
    }
}

/// Keys that are longer are remembered by their hash: clients choose them, and many long ones would take much memory.
const KEY_BYTES_MAX: usize = 256;

/// Joins the parts of an identity to one key. Each is written with its length, so that no two identities share a key
/// however their parts are cut.
#[must_use]
pub fn key_of<'k>(parts: impl IntoIterator<Item = &'k str>) -> String {
    let mut key = String::with_capacity(64);
    for part in parts {
        key.push_str(&part.len().to_string());
        key.push(':');
        key.push_str(part);
    }
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    // Other keys begin with a digit.
    format!("#{}", URL_SAFE_NO_PAD.encode(digest(&SHA256, key.as_bytes())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn values_last_until_their_time_and_belong_to_their_owner() {
        let remembered = Remembered::<_, ByEnd>::default();
        let (one, other) = (OwnerId::unique(), OwnerId::unique());
        let later = Instant::now() + Duration::from_secs(60);
        remembered.put(one, "a", 1, later);
        remembered.put(one, "b", 2, Instant::now());
        let found = [(one, "a"), (one, "b"), (other, "a")].map(|(owner, key)| remembered.get(owner, key));
        assert_eq!(found, [Some(1), None, None]);
        remembered.sweep();
        assert_eq!(remembered.owners.borrow()[&one].len(), 1);
    }

    #[test]
    fn keys_with_one_end_are_told_apart() {
        let (remembered, owner) = (Remembered::<_, ByEnd>::default(), OwnerId::unique());
        let later = Instant::now() + Duration::from_secs(60);
        let keys = ["a", "b"].map(|start| format!("{start}{}", "x".repeat(END_BYTES)));
        for key in &keys {
            remembered.put(owner, key, key.clone(), later);
        }
        assert_eq!(
            keys.each_ref().map(|key| remembered.get(owner, key)),
            keys.each_ref().map(|key| Some(key.clone()))
        );
    }

    #[test]
    fn there_is_a_limit() {
        let remembered: Remembered<_> = Remembered::default();
        let (owner, later) = (OwnerId::unique(), Instant::now() + Duration::from_secs(60));
        for number in 0..=ENTRIES_MAX {
            remembered.put(owner, &number.to_string(), number, later);
        }
        assert!(remembered.owners.borrow()[&owner].len() <= ENTRIES_MAX);
        assert_eq!(remembered.get(owner, &ENTRIES_MAX.to_string()), Some(ENTRIES_MAX));
    }

    #[test]
    fn long_keys_are_short_and_told_apart() {
        let long = "x".repeat(10_000);
        let keys = [key_of([&*long]), key_of([&long[1..]]), key_of([&*long, ""]), key_of(["", &*long])];
        for (at, key) in keys.iter().enumerate() {
            assert!(key.len() < 64 && keys.iter().skip(at + 1).all(|other| other != key), "{key}");
        }
        assert_eq!(key_of([&*long]), keys[0]);
    }

    proptest::proptest! {
        #[test]
        fn different_identities_have_different_keys(
            left in proptest::collection::vec("[0-9:a]{0,4}", 0..4),
            right in proptest::collection::vec("[0-9:a]{0,4}", 0..4),
        ) {
            let same = key_of(left.iter().map(String::as_str)) == key_of(right.iter().map(String::as_str));
            assert_eq!(same, left == right);
        }
    }
}
