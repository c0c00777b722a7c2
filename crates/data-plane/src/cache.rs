//! The responses that a stage keeps for a while: its cache cluster.
//!
//! One cache a stage, shared by all workers. A hit takes no lock; what it costs is the copy of a short list of headers
//! and a counter per body. Everything kept is copied out of network buffers first, because a few bytes of a response
//! would hold on to a whole buffer and the cache's size would say nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use moka::Expiry;
use moka::sync::Cache;
use stagedoor_http::{Body, Header, Headers, ResponseHead};
use stagedoor_shapes::apigateway::CacheClusterSize;

use crate::cache_budget::{CacheBudget, Share};

/// The largest body that AWS caches, in bytes.
pub const BODY_BYTES_MAX: u64 = 1_048_576;

/// What an entry takes beside its own bytes, in bytes: the cache's bookkeeping, generously.
const ENTRY_BYTES: usize = 256;

/// What a response is kept under. Made so that what the parts separate is never the same, see
/// [`crate::plan::caching`].
pub type Key = Box<[u8]>;

/// The cache of one stage.
#[derive(Debug)]
pub struct StageCache {
    entries: Cache<Key, Arc<CachedResponse>>,
    size: CacheClusterSize,
    generation: u64,
    budget: Arc<CacheBudget>,
}

/// A response as it is kept.
#[derive(Debug)]
pub struct CachedResponse {
    status: StatusCode,
    headers: Vec<Header>,
    body: Bytes,
    /// Whether the response told the trace's id, which each request has its own of.
    traced: bool,
    time_to_live: Duration,
    /// What it takes of the memory of all caches. Its body has it too, wherever that is on its way to a client.
    share: Arc<Share>,
}

/// A body that is kept.
struct KeptBody {
    bytes: Box<[u8]>,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for KeptBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The headers that differ from request to request and are written anew.
const OF_THE_REQUEST: [&str; 3] = ["x-amzn-RequestId", "x-amz-apigw-id", "X-Amzn-Trace-Id"];

struct TimeToLive;

impl Expiry<Key, Arc<CachedResponse>> for TimeToLive {
    fn expire_after_create(&self, _: &Key, response: &Arc<CachedResponse>, _: Instant) -> Option<Duration> {
        Some(response.time_to_live)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        response: &Arc<CachedResponse>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(response.time_to_live)
    }
}

impl StageCache {
    /// An empty cache of a cluster's size, or of all that caches may have if that is less. Caches of different generations
    /// share nothing: a flush makes a new one.
    #[must_use]
    pub fn new(size: CacheClusterSize, generation: u64, budget: &Arc<CacheBudget>) -> Arc<Self> {
        let entries = Cache::builder()
            .max_capacity(bytes_of(size).min(budget.bytes_max()))
            .weigher(|_: &Key, response: &Arc<CachedResponse>| {
                u32::try_from(response.share.bytes()).unwrap_or(u32::MAX)
            })
            .expire_after(TimeToLive)
            .build();
        let cache = Arc::new(Self { entries, size, generation, budget: Arc::clone(budget) });
        budget.join(&cache);
        cache
    }

    /// The cluster's size.
    #[must_use]
    pub fn size(&self) -> CacheClusterSize {
        self.size
    }

    /// Which of the stage's caches this is: each flush begins another.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The response kept under a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Arc<CachedResponse>> {
        self.entries.get(key)
    }

    /// Keeps a copy of a response for `time_to_live`, in the place of what was there, if the caches have room for it.
    pub fn put(&self, key: Key, head: &ResponseHead, body: &Bytes, time_to_live: Duration) {
        let headers = || head.headers.iter().filter(is_kept);
        let length: usize = headers().map(|header| header.name.len() + header.value.len()).sum();
        let bytes = ENTRY_BYTES + key.len() + length + headers().count() * size_of::<Header>() + body.len();
        let Some(share) = self.budget.take(bytes as u64).map(Arc::new) else { return };
        let kept = KeptBody { bytes: Box::from(&body[..]), _share: Arc::clone(&share) };
        let replaced = self.entries.get(&key);
        let mut buffer = BytesMut::with_capacity(length);
        let copies = headers().map(|header| {
            buffer.extend_from_slice(&header.name);
            let name = buffer.split().freeze();
            buffer.extend_from_slice(&header.value);
            Header { name, value: buffer.split().freeze() }
        });
        let response = CachedResponse {
            status: head.status,
            headers: copies.collect(),
            body: Bytes::from_owner(kept),
            traced: head.headers.contains("x-amzn-trace-id"),
            time_to_live,
            share,
        };
        self.entries.insert(key, Arc::new(response));
        if let Some(replaced) = replaced {
            replaced.share.leaves();
        }
    }

    /// The budget that it takes its memory from.
    #[must_use]
    pub fn budget(&self) -> &Arc<CacheBudget> {
        &self.budget
    }

    /// How many bytes it holds, as far as it knows by now.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }

    /// Lets go of what has expired or been replaced.
    pub(crate) fn tidy(&self) {
        self.entries.run_pending_tasks();
    }

    /// Gives up responses of so many bytes, or all there are: any, whichever come first.
    pub(crate) fn give_up(&self, bytes: u64) {
        let mut given = 0;
        for (key, _) in &self.entries {
            if given >= bytes {
                break;
            }
            if let Some(response) = self.entries.remove(&*key) {
                given += response.share.bytes();
                response.share.leaves();
            }
        }
        self.tidy();
    }
}

/// Whether a header is the same for every request.
fn is_kept(header: &&Header) -> bool {
    !OF_THE_REQUEST.iter().any(|name| header.is(name))
}

impl CachedResponse {
    /// The response for a request with these ids.
    #[must_use]
    pub fn response(
        &self,
        request_id: Bytes,
        extended_request_id: Bytes,
        trace_id: &Bytes,
    ) -> (ResponseHead, Body) {
        let mut headers = Headers::with_capacity(self.headers.len() + 4);
        let [id_name, extended_name, trace_name] = OF_THE_REQUEST;
        headers.append(id_name, request_id);
        headers.append(extended_name, extended_request_id);
        if self.traced {
            headers.append(trace_name, trace_id.clone());
        }
        headers.extend(self.headers.iter().cloned());
        (ResponseHead { status: self.status, headers }, self.body.clone().into())
    }
}

/// AWS names its clusters by their memory in gigabytes.
fn bytes_of(size: CacheClusterSize) -> u64 {
    const MEGABYTE: u64 = 1 << 20;
    let tenths_of_gigabytes = match size {
        CacheClusterSize::V0_5 => 5,
        CacheClusterSize::V1_6 => 16,
        CacheClusterSize::V6_1 => 61,
        CacheClusterSize::V13_5 => 135,
        CacheClusterSize::V28_4 => 284,
        CacheClusterSize::V58_2 => 582,
        CacheClusterSize::V118 => 1180,
        CacheClusterSize::V237 => 2370,
    };
    tenths_of_gigabytes * 1024 * MEGABYTE / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn put(cache: &StageCache, key: &[u8], body: &[u8], time_to_live: Duration) {
        let mut headers = Headers::new();
        headers.append("x-amzn-RequestId", "one");
        headers.append("x-amz-apigw-id", "two");
        headers.append("X-Amzn-Trace-Id", "Root=three");
        headers.append("Content-Type", "text/plain");
        let head = ResponseHead { status: StatusCode::OK, headers };
        cache.put(Box::from(key), &head, &Bytes::copy_from_slice(body), time_to_live);
    }

    fn cache(budget: &Arc<CacheBudget>) -> Arc<StageCache> {
        StageCache::new(CacheClusterSize::V0_5, 0, budget)
    }

    #[test]
    fn ids_belong_to_the_request_that_is_answered() {
        let cache = cache(&CacheBudget::new(10_000));
        put(&cache, b"key", b"body", HOUR);
        let kept = cache.get(b"key").unwrap();
        let (head, body) = kept.response("a".into(), "b".into(), &Bytes::from_static(b"c"));
        let shown: Vec<_> = head
            .headers
            .iter()
            .map(|header| format!("{}={}", header.name_str(), header.value_str()))
            .collect();
        assert_eq!(
            shown,
            ["x-amzn-RequestId=a", "x-amz-apigw-id=b", "X-Amzn-Trace-Id=c", "Content-Type=text/plain"]
        );
        assert_eq!(body.remaining(), Some(4));
    }

    #[test]
    fn entries_are_found_by_their_whole_key_until_their_time_is_over() {
        let cache = cache(&CacheBudget::new(10_000));
        put(&cache, b"key", b"kept", HOUR);
        put(&cache, b"short", b"gone", Duration::from_millis(1));
        assert!(cache.get(b"key").is_some() && cache.get(b"ke").is_none());
        let begun = std::time::Instant::now();
        while cache.get(b"short").is_some() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is kept for longer than its time");
            std::thread::yield_now();
        }
        assert!(cache.get(b"key").is_some());
    }

    #[test]
    fn a_stage_keeps_to_its_size() {
        let cache = cache(&CacheBudget::new(u64::MAX));
        // Entries that only claim to be large.
        for number in 0..1000_u32 {
            let share = Arc::new(cache.budget.take(1 << 20).unwrap());
            let (headers, body) = (Vec::new(), Bytes::new());
            let (status, time_to_live) = (StatusCode::OK, HOUR);
            let kept = CachedResponse { status, headers, body, traced: false, time_to_live, share };
            cache.entries.insert(Box::from(number.to_be_bytes()), Arc::new(kept));
        }
        cache.tidy();
        assert!(cache.bytes() <= bytes_of(CacheClusterSize::V0_5));
        assert!(cache.entries.entry_count() > 400);
    }

    #[test]
    fn all_stages_keep_to_their_budget() {
        const MAX: u64 = 1 << 20;
        let budget = CacheBudget::new(MAX);
        let (old, new) = (cache(&budget), cache(&budget));
        let body = vec![0; 10_000];
        let fill = |cache: &StageCache| {
            for number in 0..500_u32 {
                put(cache, &number.to_be_bytes(), &body, HOUR);
                assert!(budget.bytes() <= MAX);
            }
        };
        fill(&old);
        assert!(budget.bytes() > MAX / 2, "{}", budget.bytes());
        fill(&new);
        old.tidy();
        new.tidy();
        // The one that was there first has made room for the other.
        let counts = || (old.entries.entry_count(), new.entries.entry_count());
        assert!(counts().0 > 10 && counts().1 > 40, "{:?}", counts());
        // What is too large for all of it goes nowhere, and takes nothing from others.
        let before = counts();
        put(&new, b"large", &vec![0; 2 << 20], HOUR);
        assert_eq!(counts(), before);
    }

    #[test]
    fn what_is_given_up_comes_back() {
        let budget = CacheBudget::new(1 << 20);
        let first = cache(&budget);
        put(&first, b"key", &[0; 600_000], HOUR);
        let kept = first.get(b"key").unwrap();
        let (_, held) = kept.response("a".into(), "b".into(), &Bytes::new());
        drop((first, kept));
        // Somebody has it still, so it counts.
        assert!(budget.bytes() > 600_000);
        drop(held);
        let second = cache(&budget);
        let came_back = (0..10_000).any(|_| {
            put(&second, b"key", b"", HOUR);
            second.give_up(1);
            budget.bytes() < 600_000
        });
        assert!(came_back, "{} bytes are still taken", budget.bytes());
    }
}
