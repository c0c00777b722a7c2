//! Metrics, in the terms of CloudWatch's namespace `AWS/ApiGateway`, for Prometheus to fetch.
//!
//! Each worker counts in numbers of its own, side by side with those of others but never in the same cache line. They
//! are added up when somebody asks. A stage's numbers outlive its plans: publishing a new plan continues them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use stagedoor_http::{Body, BodyError, BodyStream};

use crate::exchange::Exchange;
use crate::record::CacheUse;
use crate::websocket;
use crate::websocket::metrics::SocketSeries;

/// The upper ends of the histograms' buckets, in milliseconds.
const BUCKETS_MS: [u64; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000];

/// What stands behind a stage's name where its canary's requests are counted apart, as in the names of log groups.
pub const CANARY_SUFFIX: &str = "/Canary";

/// The numbers of all stages, and of the methods that have numbers of their own.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    series: Mutex<BTreeMap<Labels, Arc<Series>>>,
    sockets: Mutex<BTreeMap<Labels, Arc<SocketSeries>>>,
}

/// What a series counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// The API's name, CloudWatch's dimension `ApiName`.
    pub api_name: String,
    /// The API's id.
    pub api_id: String,
    /// The stage.
    pub stage: String,
    /// Whether it is an HTTP API, which counts bytes and has no cache.
    pub is_http_api: bool,
    /// Method and resource path, or no method and the key of a WebSocket API's route, for a method that `metrics/enabled` is set for.
    pub method: Option<(String, String)>,
}

/// The numbers of a stage or method.
#[derive(Debug)]
pub struct Series(Box<[Slot]>);

/// One worker's numbers, which it alone writes ([`add`]). Aligned so that no two workers write to the same line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    count: AtomicU64,
    client_errors: AtomicU64,
    server_errors: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
    bytes: AtomicU64,
    latency: Histogram,
    integration_latency: Histogram,
}

#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// How many were over the bucket before and not over this one; the last has those over all.
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    sum_us: AtomicU64,
}

/// Which APIs have a number.
enum Of {
    All,
    Rest,
    Http,
}

impl Of {
    fn shows(&self, labels: &Labels) -> bool {
        match self {
            Self::All => true,
            Self::Rest => !labels.is_http_api,
            Self::Http => labels.is_http_api,
        }
    }
}

type Counter = fn(&Slot) -> &AtomicU64;

const COUNTERS: [(&str, &str, Of, Counter); 6] = [
    ("count", "Requests (CloudWatch's Count).", Of::All, |slot| &slot.count),
    ("4xxerror", "Responses of 400 to 499 (4XXError).", Of::All, |slot| &slot.client_errors),
    ("5xxerror", "Responses of 500 to 599 (5XXError).", Of::All, |slot| &slot.server_errors),
    ("cache_hit_count", "Responses from the cache (CacheHitCount).", Of::Rest, |slot| &slot.cache_hits),
    ("cache_miss_count", "Requests that the cache had no response for (CacheMissCount).", Of::Rest, |slot| {
        &slot.cache_misses
    }),
    ("data_processed", "Bytes of bodies of requests and responses (DataProcessed).", Of::Http, |slot| {
        &slot.bytes
    }),
];

impl Metrics {
    /// Numbers for so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { workers: workers.max(1), series: Mutex::default(), sockets: Mutex::default() })
    }

    /// The numbers of a stage or method; new ones if there were none.
    #[must_use]
    pub fn series(&self, labels: Labels) -> Arc<Series> {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Series((0..self.workers).map(|_| Slot::default()).collect()));
        Arc::clone(series.entry(labels).or_insert_with(new))
    }

    /// The same of a WebSocket API.
    #[must_use]
    pub fn socket_series(&self, labels: Labels) -> Arc<SocketSeries> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sockets.entry(labels).or_insert_with(|| Arc::new(SocketSeries::new(self.workers))))
    }

    /// Numbers that nobody is shown.
    #[must_use]
    pub(crate) fn unlisted(&self) -> Arc<Series> {
        Arc::new(Series(Box::default()))
    }

    /// Forgets what belongs to no plan any more.
    pub fn forget_unused(&self) {
        self.keep(|_| true);
    }

    /// Forgets what belongs to no plan any more, and what is not to be kept.
    pub fn keep(&self, is_kept: impl Fn(&Labels) -> bool) {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.retain(|labels, series| Arc::strong_count(series) > 1 && is_kept(labels));
        drop(series);
        // An open connection still counts in its numbers after its stage is gone: nobody is shown them.
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.retain(|labels, series| Arc::strong_count(series) > 1 && is_kept(labels));
    }

    /// All numbers in Prometheus's text format.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let series: Vec<_> = {
            let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
            series.iter().map(|(labels, series)| (labels.clone(), Arc::clone(series))).collect()
        };
        let mut text = String::new();
        for (prefix, of_methods) in [("aws_apigateway", false), ("aws_apigateway_method", true)] {
            let series: Vec<_> =
                series.iter().filter(|(labels, _)| labels.method.is_some() == of_methods).collect();
            if series.is_empty() {
                continue;
            }
            for (name, help, of, counter) in COUNTERS {
                let mut shown = series.iter().filter(|(labels, _)| of.shows(labels)).peekable();
                if shown.peek().is_none() {
                    continue;
                }
                let _ = writeln!(
                    text,
                    "# HELP {prefix}_{name}_total {help}\n# TYPE {prefix}_{name}_total counter"
                );
                for (labels, series) in shown {
                    let sum = series.sum(counter);
                    let _ = writeln!(text, "{prefix}_{name}_total{{{labels}}} {sum}");
                }
            }
            type Timer = fn(&Slot) -> &Histogram;
            let timers: [(&str, &str, Timer); 2] = [
                ("latency", "From a request's arrival to its response (Latency).", |slot| &slot.latency),
                (
                    "integration_latency",
                    "From calling the integration to its answer (IntegrationLatency).",
                    |slot| &slot.integration_latency,
                ),
            ];
            for (name, help, timer) in timers {
                let name = format!("{prefix}_{name}_milliseconds");
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
                for (labels, series) in &series {
                    series.write_histogram(&mut text, &name, labels, timer);
                }
            }
        }
        let sockets: Vec<_> = {
            let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
            sockets.iter().map(|(labels, series)| (labels.clone(), Arc::clone(series))).collect()
        };
        for (prefix, of_routes) in
            [("aws_apigateway_websocket", false), ("aws_apigateway_websocket_route", true)]
        {
            let shown = sockets.iter().filter(|(labels, _)| labels.method.is_some() == of_routes);
            websocket::metrics::write(&mut text, prefix, shown.map(|(labels, series)| (labels, &**series)));
        }
        text
    }
}

impl Series {
    /// Counts a request that has been answered, in the numbers of the worker that answered it. Nobody else may.
    pub fn count(&self, worker: usize, exchange: &Exchange<'_>) {
        let Some(slot) = self.0.get(worker) else { return };
        let record = &exchange.record;
        add(&slot.count, 1);
        match record.response.status {
            400..=499 => add(&slot.client_errors, 1),
            500..=599 => add(&slot.server_errors, 1),
            _ => {}
        }
        match record.cache {
            CacheUse::Hit => add(&slot.cache_hits, 1),
            CacheUse::Miss => add(&slot.cache_misses, 1),
            CacheUse::Unused | CacheUse::Bypassed => {}
        }
        slot.latency.add(record.response.latency.unwrap_or_default());
        if let Some(latency) = record.integration.latency {
            slot.integration_latency.add(latency);
        }
    }

    fn add_bytes(&self, worker: usize, bytes: u64) {
        if let Some(slot) = self.0.get(worker) {
            add(&slot.bytes, bytes);
        }
    }

    fn sum(&self, counter: Counter) -> u64 {
        self.0.iter().map(|slot| counter(slot).load(Relaxed)).sum()
    }

    fn write_histogram(
        &self,
        text: &mut String,
        name: &str,
        labels: &Labels,
        timer: fn(&Slot) -> &Histogram,
    ) {
        let timers: Vec<&Histogram> = self.0.iter().map(timer).collect();
        write_histogram(text, name, labels, &timers);
    }
}

/// Writes the histograms of all workers as one.
pub(crate) fn write_histogram(text: &mut String, name: &str, labels: &Labels, timers: &[&Histogram]) {
    let mut count = 0_u64;
    let ends = BUCKETS_MS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
    for (index, end) in ends.enumerate() {
        let bucket = timers.iter().filter_map(|timer| timer.buckets.get(index));
        count += bucket.map(|bucket| bucket.load(Relaxed)).sum::<u64>();
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{end}\"}} {count}");
    }
    let sum: u64 = timers.iter().map(|timer| timer.sum_us.load(Relaxed)).sum();
    let _ = writeln!(text, "{name}_sum{{{labels}}} {}", Duration::from_micros(sum).as_secs_f64() * 1000.0);
    let _ = writeln!(text, "{name}_count{{{labels}}} {count}");
}

impl Histogram {
    /// Only the worker that the numbers are of may add to them.
    pub(crate) fn add(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let index = BUCKETS_MS.iter().position(|end| us <= end * 1000).unwrap_or(BUCKETS_MS.len());
        if let Some(bucket) = self.buckets.get(index) {
            add(bucket, 1);
        }
        add(&self.sum_us, us);
    }
}

/// Adds to a number that one thread alone writes. Others may read it meanwhile. It costs less than an atomic addition, of
/// which a request would need five.
pub(crate) fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Relaxed).wrapping_add(more), Relaxed);
}

/// Counts the bytes of an HTTP API's request and of its answer: now, or when an answer that is still arriving has been sent.
pub(crate) fn count_bytes(exchange: &Exchange<'_>, body: Body) -> Body {
    let plan = exchange.plan;
    let method = exchange.method().and_then(|method| method.metrics.as_ref());
    let received = exchange.record.received.as_ref();
    match body {
        Body::Stream(stream) if exchange.head.method != http::Method::HEAD => {
            Body::Stream(Box::new(MeteredBody {
                stream,
                sent: 0,
                received: received.cloned(),
                series: (Arc::clone(&plan.metrics), method.cloned()),
                worker: exchange.worker.number,
            }))
        }
        body => {
            let is_sent = exchange.head.method != http::Method::HEAD;
            let sent = body.remaining().filter(|_| is_sent).unwrap_or_default();
            let bytes = sent + received.map_or(0, |received| received.get());
            plan.metrics.add_bytes(exchange.worker.number, bytes);
            if let Some(series) = method {
                series.add_bytes(exchange.worker.number, bytes);
            }
            body
        }
    }
}

/// An answer whose bytes are counted when it ends, on the worker that sends it.
struct MeteredBody {
    stream: Box<dyn BodyStream>,
    sent: u64,
    received: Option<Rc<Cell<u64>>>,
    /// The stage's, and the route's if it has its own.
    series: (Arc<Series>, Option<Arc<Series>>),
    worker: usize,
}

impl BodyStream for MeteredBody {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let chunk = self.stream.poll_chunk(context);
        if let Poll::Ready(Some(Ok(bytes))) = &chunk {
            self.sent += bytes.len() as u64;
        }
        chunk
    }

    fn remaining(&self) -> Option<u64> {
        self.stream.remaining()
    }
}

impl Drop for MeteredBody {
    fn drop(&mut self) {
        let bytes = self.sent + self.received.as_ref().map_or(0, |received| received.get());
        self.series.0.add_bytes(self.worker, bytes);
        if let Some(series) = &self.series.1 {
            series.add_bytes(self.worker, bytes);
        }
    }
}

impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Escaped(&self.api_name);
        write!(f, "api_name=\"{name}\",api_id=\"{}\",stage=\"{}\"", self.api_id, self.stage)?;
        match &self.method {
            Some((method, route)) if method.is_empty() => write!(f, ",route=\"{}\"", Escaped(route)),
            Some((method, resource)) => {
                write!(f, ",method=\"{method}\",resource=\"{}\"", Escaped(resource))
            }
            None => Ok(()),
        }
    }
}

/// A label's value as Prometheus quotes it.
struct Escaped<'t>(&'t str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str, method: Option<(&str, &str)>) -> Labels {
        Labels {
            api_name: name.to_owned(),
            api_id: "abc".to_owned(),
            stage: "dev".to_owned(),
            is_http_api: false,
            method: method.map(|(method, resource)| (method.to_owned(), resource.to_owned())),
        }
    }

    #[test]
    fn numbers_of_all_workers_are_added() {
        let metrics = Metrics::new(2);
        let series = metrics.series(labels("a \"b\"", None));
        for (worker, ms) in [(0, 1), (1, 7), (1, 40_000)] {
            add(&series.0[worker].count, 1);
            series.0[worker].latency.add(Duration::from_millis(ms));
        }
        let text = metrics.to_prometheus();
        let check = |line: &str| assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        let of = r#"api_name="a \"b\"",api_id="abc",stage="dev""#;
        check(&format!("aws_apigateway_count_total{{{of}}} 3"));
        check(&format!("aws_apigateway_latency_milliseconds_bucket{{{of},le=\"1\"}} 1"));
        check(&format!("aws_apigateway_latency_milliseconds_bucket{{{of},le=\"10\"}} 2"));
        check(&format!("aws_apigateway_latency_milliseconds_bucket{{{of},le=\"30000\"}} 2"));
        check(&format!("aws_apigateway_latency_milliseconds_bucket{{{of},le=\"+Inf\"}} 3"));
        check(&format!("aws_apigateway_latency_milliseconds_sum{{{of}}} 40008"));
        check(&format!("aws_apigateway_latency_milliseconds_count{{{of}}} 3"));
        check("# TYPE aws_apigateway_4xxerror_total counter");
        assert!(!text.contains("aws_apigateway_method"));
    }

    #[test]
    fn numbers_continue_as_long_as_a_plan_has_them() {
        let metrics = Metrics::new(1);
        let series = metrics.series(labels("a", Some(("GET", "/x"))));
        add(&series.0[0].count, 1);
        metrics.forget_unused();
        let again = metrics.series(labels("a", Some(("GET", "/x"))));
        assert!(Arc::ptr_eq(&series, &again));
        let of = r#"api_name="a",api_id="abc",stage="dev",method="GET",resource="/x""#;
        assert!(metrics.to_prometheus().contains(&format!("aws_apigateway_method_count_total{{{of}}} 1\n")));
        drop((series, again));
        metrics.forget_unused();
        assert_eq!(metrics.to_prometheus(), "");
    }
}
