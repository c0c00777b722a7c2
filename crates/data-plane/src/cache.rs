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
    bytes: u32,
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
    /// An empty cache of a cluster's size. Caches of different generations share nothing: a flush makes a new one.
    #[must_use]
    pub fn new(size: CacheClusterSize, generation: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(bytes_of(size))
            .weigher(|key: &Key, response: &Arc<CachedResponse>| {
                response.bytes.saturating_add(u32::try_from(key.len()).unwrap_or(u32::MAX))
            })
            .expire_after(TimeToLive)
            .build();
        Self { entries, size, generation }
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

    /// Keeps a response, in the place of what was there.
    pub fn put(&self, key: Key, response: CachedResponse) {
        self.entries.insert(key, Arc::new(response));
    }
}

impl CachedResponse {
    /// A copy of a response, to be kept for `time_to_live`.
    #[must_use]
    pub fn new(head: &ResponseHead, body: &Bytes, time_to_live: Duration) -> Self {
        let is_own = |header: &&Header| !OF_THE_REQUEST.iter().any(|name| header.is(name));
        let traced = head.headers.contains("x-amzn-trace-id");
        let length: usize = head.headers.iter().map(|header| header.name.len() + header.value.len()).sum();
        let mut buffer = BytesMut::with_capacity(length);
        let mut headers = Vec::with_capacity(head.headers.len());
        for header in head.headers.iter().filter(is_own) {
            buffer.extend_from_slice(&header.name);
            let name = buffer.split().freeze();
            buffer.extend_from_slice(&header.value);
            headers.push(Header { name, value: buffer.split().freeze() });
        }
        let bytes = ENTRY_BYTES + length + headers.len() * size_of::<Header>() + body.len();
        Self {
            status: head.status,
            headers,
            body: Bytes::copy_from_slice(body),
            traced,
            time_to_live,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        }
    }

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

    fn response(body: &'static str, time_to_live: Duration) -> CachedResponse {
        let mut headers = Headers::new();
        headers.append("x-amzn-RequestId", "one");
        headers.append("x-amz-apigw-id", "two");
        headers.append("X-Amzn-Trace-Id", "Root=three");
        headers.append("Content-Type", "text/plain");
        let head = ResponseHead { status: StatusCode::OK, headers };
        CachedResponse::new(&head, &Bytes::from_static(body.as_bytes()), time_to_live)
    }

    #[test]
    fn ids_belong_to_the_request_that_is_answered() {
        let kept = response("body", Duration::from_secs(1));
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
        let cache = StageCache::new(CacheClusterSize::V0_5, 7);
        cache.put(Box::from(&b"key"[..]), response("kept", Duration::from_secs(3600)));
        cache.put(Box::from(&b"short"[..]), response("gone", Duration::from_millis(1)));
        assert!(cache.get(b"key").is_some() && cache.get(b"ke").is_none());
        std::thread::sleep(Duration::from_millis(5));
        assert!(cache.get(b"short").is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let cache = StageCache::new(CacheClusterSize::V0_5, 0);
        let body = Bytes::from(vec![0; 1 << 20]);
        let head = ResponseHead { status: StatusCode::OK, headers: Headers::new() };
        // One body is shared by all entries here; what counts is what the cache believes it holds.
        let one = CachedResponse::new(&head, &body, Duration::from_secs(3600));
        for number in 0..1000_u32 {
            let kept = CachedResponse { body: one.body.clone(), headers: Vec::new(), ..one };
            cache.put(Box::from(number.to_be_bytes()), kept);
        }
        cache.entries.run_pending_tasks();
        assert!(cache.entries.weighted_size() <= bytes_of(CacheClusterSize::V0_5));
        assert!(cache.entries.entry_count() > 400);
    }
}
