//! Whether the processes of a function stand in each other's way.
//!
//! A handler that waits for something else leaves its core to others, and then one process for each invocation is right.
//! Where handlers compute, processes beyond the number of cores only wait for their turn. The kernel tells both apart: for
//! each process it counts the time on a core and the time in the queue for one.

use std::time::Duration;

use tokio::time::Instant;

/// How often it is looked at while callers wait.
const INTERVAL: Duration = Duration::from_millis(100);
/// The share of their busy time that processes spend on a core, or in the queue for one, from which on they compute, and
/// below which they do not any more.
///
/// Both are low because a process is also busy while its result waits for the gateway to read it.
const COMPUTES: f64 = 0.25;
const WAITS: f64 = 0.12;
/// How many processes are used for each core where they compute, so that the cores have enough to do even if only a
/// quarter of the time is spent on them.
const PROCESSES_PER_CORE: usize = 4;

pub(crate) struct Contention {
    /// How many processes may be in use at the same time.
    pub(crate) in_use_max: usize,
    /// The same where they compute.
    computing_max: usize,
    last: Option<(Instant, Vec<(u32, u64)>)>,
}

impl Default for Contention {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { in_use_max: usize::MAX, computing_max: cores * PROCESSES_PER_CORE, last: None }
    }
}

impl Contention {
    /// Whether it is time to look.
    pub(crate) fn is_due(&self) -> bool {
        self.last.as_ref().is_none_or(|(at, _)| at.elapsed() >= INTERVAL)
    }

    /// Compares what the kernel says of processes, of which so many are busy, with what it said last.
    pub(crate) fn look(&mut self, pids: &[u32], in_use: usize) {
        let now = Instant::now();
        let found: Vec<_> = pids.iter().filter_map(|pid| Some((*pid, scheduled_ns(*pid)?))).collect();
        if let Some((at, before)) = &self.last
            && at.elapsed() < INTERVAL * 10
        {
            let spent = found.iter().filter_map(|(pid, now)| {
                let (_, then) = before.iter().find(|(other, _)| other == pid)?;
                Some(now.saturating_sub(*then) as f64)
            });
            let share = spent.sum::<f64>() / (at.elapsed().as_nanos() as f64 * in_use.max(1) as f64);
            self.in_use_max = decide(share, self.in_use_max, self.computing_max);
        }
        self.last = Some((now, found));
    }
}

fn decide(share: f64, in_use_max: usize, computing_max: usize) -> usize {
    if share >= COMPUTES {
        computing_max
    } else if share < WAITS {
        usize::MAX
    } else {
        in_use_max
    }
}

/// How long the main thread of a process was on a core or wanted to be; none where the kernel does not tell.
fn scheduled_ns(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let mut fields = text.split_whitespace();
    let on_core: u64 = fields.next()?.parse().ok()?;
    let in_queue: u64 = fields.next()?.parse().ok()?;
    on_core.checked_add(in_queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_compute_are_limited_until_they_wait() {
        let check = |share, before, expected| assert_eq!(decide(share, before, 4), expected);
        check(1.0, usize::MAX, 4);
        check(0.2, usize::MAX, usize::MAX);
        check(0.2, 4, 4);
        check(0.1, 4, usize::MAX);
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        if cfg!(target_os = "linux") {
            assert!(scheduled_ns(std::process::id()).is_some());
        }
    }
}
