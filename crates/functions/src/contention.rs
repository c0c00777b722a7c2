//! Whether more processes of a function would get more done.
//!
//! A handler that waits for something else leaves its core to others, and then one process for each invocation is right.
//! Where handlers compute, or have answered and wait for the gateway, further processes only take turns on the same cores.
//! The kernel tells the cases apart: what a process waits in (`/proc/PID/syscall`), if it waits at all.

use std::time::Duration;

use tokio::time::Instant;

/// How often it is looked at while callers wait.
const INTERVAL: Duration = Duration::from_millis(50);
/// The share of busy processes that wait for something of their own, from which on there may be any number of them, and
/// below which there may not any more.
const WAITS: f64 = 0.5;
const COMPUTES: f64 = 0.25;
/// How many processes are used for each core where they compute: one has its turn while another waits for the gateway.
const PROCESSES_PER_CORE: usize = 2;

pub(crate) struct Contention {
    /// How many processes may be in use at the same time.
    pub(crate) in_use_max: usize,
    cores: usize,
    looked: Option<Instant>,
    /// What was seen, each look counting half as much as the one after it.
    waiting: f64,
    busy: f64,
}

impl Default for Contention {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { in_use_max: usize::MAX, cores, looked: None, waiting: 0.0, busy: 0.0 }
    }
}

impl Contention {
    /// So many, for good.
    #[cfg(test)]
    pub(crate) fn computing(in_use_max: usize) -> Self {
        let never = Instant::now() + Duration::from_secs(3600);
        Self { in_use_max, looked: Some(never), ..Self::default() }
    }

    /// Whether it is time to look.
    pub(crate) fn is_due(&self) -> bool {
        self.looked.is_none_or(|at| at.elapsed() >= INTERVAL)
    }

    /// How long a core worked for an invocation that took so long while so many processes were in use, if they compute.
    pub(crate) fn work_of(&self, took: Duration, in_use: usize) -> Duration {
        let sharing = in_use.div_ceil(self.cores).max(1);
        took / u32::try_from(sharing).unwrap_or(u32::MAX)
    }

    /// Whether processes only take turns on the cores.
    pub(crate) fn is_computing(&self) -> bool {
        self.in_use_max != usize::MAX
    }

    /// Learns what processes do, see [`look_at`], of which so many are in use.
    pub(crate) fn learn(&mut self, states: &[bool], in_use: usize) {
        self.looked = Some(Instant::now());
        if states.is_empty() || in_use == 0 {
            return;
        }
        self.waiting = self.waiting / 2.0 + states.iter().filter(|waits| **waits).count() as f64;
        self.busy = self.busy / 2.0 + in_use as f64;
        self.in_use_max = decide(self.waiting / self.busy, self.in_use_max, self.cores * PROCESSES_PER_CORE);
    }
}

fn decide(waiting_share: f64, in_use_max: usize, computing_max: usize) -> usize {
    if waiting_share < COMPUTES {
        computing_max
    } else if waiting_share >= WAITS {
        usize::MAX
    } else {
        in_use_max
    }
}

/// Which of these processes wait for anything but the gateway, as far as the kernel tells.
pub(crate) fn look_at(pids: &[u32]) -> Vec<bool> {
    pids.iter().filter_map(|pid| waits_for_its_own(*pid)).collect()
}

fn waits_for_its_own(pid: u32) -> Option<bool> {
    read_state(&std::fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?)
}

/// `running`, or the number of a system call and its arguments. The gateway is file descriptor 3.
fn read_state(text: &str) -> Option<bool> {
    let mut fields = text.split_whitespace();
    match fields.next()? {
        "running" => Some(false),
        _ => Some(fields.next() != Some("0x3")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_compute_are_limited_until_they_wait() {
        let check = |share, before, expected| assert_eq!(decide(share, before, 4), expected);
        check(0.0, usize::MAX, 4);
        check(0.3, usize::MAX, usize::MAX);
        check(0.3, 4, 4);
        check(0.9, 4, usize::MAX);
    }

    #[test]
    fn states_are_told_apart() {
        let check = |text, expected| assert_eq!(read_state(text), expected);
        check("running\n", Some(false));
        check("0 0x3 0x7f00 0x10000 0x0 0x0 0x0 0x7ffc 0x7f11\n", Some(false));
        check("232 0xd 0x7ffc 0x400 0x5 0x0 0x8 0x7ffc 0x7f11\n", Some(true));
        check("", None);
    }
}
