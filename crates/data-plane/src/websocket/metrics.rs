//! What is counted of WebSocket APIs: CloudWatch's metrics, and what AWS meters them by.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::event::EventKind;
use crate::exchange::Exchange;
use crate::metrics::{Histogram, Labels, add, write_histogram};
use crate::phase::Phase;

/// What one metered message holds at most: a longer one counts as several.
const METERED_BYTES: usize = 32 * 1024;

/// The numbers of a stage or route of a WebSocket API.
#[derive(Debug)]
pub struct SocketSeries(Box<[Slot]>);

/// One worker's numbers, which it alone writes. Aligned so that no two workers write to the same line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    connects: AtomicU64,
    messages: AtomicU64,
    client_errors: AtomicU64,
    execution_errors: AtomicU64,
    integration_errors: AtomicU64,
    message_units: AtomicU64,
    connection_minutes: AtomicU64,
    integration_latency: Histogram,
}

type Counter = fn(&Slot) -> &AtomicU64;

const COUNTERS: [(&str, &str, Counter); 7] = [
    ("connect_count", "Handshakes that $connect's integration was asked about (ConnectCount).", |slot| {
        &slot.connects
    }),
    ("message_count", "Messages from and to clients (MessageCount).", |slot| &slot.messages),
    ("client_error", "Events refused before the integration, with 4XX (ClientError).", |slot| {
        &slot.client_errors
    }),
    ("execution_error", "Calls of integrations that failed (ExecutionError).", |slot| &slot.execution_errors),
    ("integration_error", "Answers of integrations with 4XX or 5XX (IntegrationError).", |slot| {
        &slot.integration_errors
    }),
    ("message_units", "Messages from and to clients, in begun 32 KiB.", |slot| &slot.message_units),
    ("connection_minutes", "Minutes that connections were open, counted when they end.", |slot| {
        &slot.connection_minutes
    }),
];

impl SocketSeries {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Slot::default()).collect())
    }

    fn add(&self, worker: usize, counter: Counter, count: u64) {
        if let Some(slot) = self.0.get(worker) {
            add(counter(slot), count);
        }
    }

    /// Counts a message from or to a client.
    pub(crate) fn message(&self, worker: usize, bytes: usize) {
        self.add(worker, |slot| &slot.messages, 1);
        self.add(worker, |slot| &slot.message_units, bytes.div_ceil(METERED_BYTES).max(1) as u64);
    }

    /// Counts a connection that has ended.
    pub(crate) fn ended(&self, worker: usize, open_for: Duration) {
        self.add(worker, |slot| &slot.connection_minutes, open_for.as_secs().div_ceil(60).max(1));
    }

    /// Counts what became of an event.
    pub(crate) fn event(&self, worker: usize, exchange: &Exchange<'_>) {
        let asked = exchange.record.steps.iter().any(|step| step.phase == Phase::Integration);
        let is_connect = exchange.socket.as_ref().is_some_and(|it| matches!(it.kind, EventKind::Connect));
        if asked && is_connect {
            self.add(worker, |slot| &slot.connects, 1);
        }
        match &exchange.fault {
            Some(_) if asked => self.add(worker, |slot| &slot.execution_errors, 1),
            Some(fault) if fault.status().is_client_error() => {
                self.add(worker, |slot| &slot.client_errors, 1)
            }
            Some(_) => self.add(worker, |slot| &slot.execution_errors, 1),
            None => {}
        }
        let integration = &exchange.record.integration;
        if integration.status.is_some_and(|status| status >= 400) {
            self.add(worker, |slot| &slot.integration_errors, 1);
        }
        if let Some(latency) = integration.latency
            && let Some(slot) = self.0.get(worker)
        {
            slot.integration_latency.add(latency);
        }
    }
}

/// Writes series in Prometheus's text format.
pub(crate) fn write<'s>(
    text: &mut String,
    prefix: &str,
    series: impl Iterator<Item = (&'s Labels, &'s SocketSeries)> + Clone,
) {
    if series.clone().next().is_none() {
        return;
    }
    for (name, help, counter) in COUNTERS {
        let _ = writeln!(text, "# HELP {prefix}_{name}_total {help}\n# TYPE {prefix}_{name}_total counter");
        for (labels, series) in series.clone() {
            let sum: u64 = series.0.iter().map(|slot| counter(slot).load(Relaxed)).sum();
            let _ = writeln!(text, "{prefix}_{name}_total{{{labels}}} {sum}");
        }
    }
    let name = format!("{prefix}_integration_latency_milliseconds");
    let help = "From calling the integration to its answer (IntegrationLatency).";
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
    for (labels, series) in series {
        let timers: Vec<&Histogram> = series.0.iter().map(|slot| &slot.integration_latency).collect();
        write_histogram(text, &name, labels, &timers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_metered_in_begun_pieces() {
        let (api_name, api_id, stage) = ("n".into(), "a".into(), "s".into());
        let labels = Labels { api_name, api_id, stage, is_http_api: false, method: None };
        let check = |lengths: &[usize], expected: u64| {
            let series = SocketSeries::new(3);
            for (worker, length) in lengths.iter().enumerate() {
                series.message(worker, *length);
            }
            let mut text = String::new();
            write(&mut text, "p", [(&labels, &series)].into_iter());
            let line = format!("p_message_units_total{{{labels}}} {expected}\n");
            assert!(text.contains(&line), "{line}{text}");
            assert!(text.contains(&format!("p_message_count_total{{{labels}}} {}\n", lengths.len())));
        };
        check(&[0], 1);
        check(&[32 * 1024, 32 * 1024 + 1], 3);
        check(&[128 * 1024, 1, 1], 6);
    }

    #[test]
    fn a_begun_minute_is_a_minute() {
        let series = SocketSeries::new(1);
        for seconds in [0, 60, 61] {
            series.ended(0, Duration::from_secs(seconds));
        }
        assert_eq!(series.0[0].connection_minutes.load(Relaxed), 4);
    }
}
