//! How much memory a function uses: its process and those that it has started.
//!
//! All of it is in `/proc`; where there is none, nothing is known and nothing is limited here.

use std::path::Path;

/// How many processes of a function are looked at. It has no more that are of use to it.
const PROCESSES_MAX: usize = 1024;

/// Resident memory in KiB, if it is more than `limit_kib`.
pub(crate) fn above(pid: u32, limit_kib: u64) -> Option<u64> {
    let own = memory_kib(pid, "VmRSS:")?;
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&member) = family.get(at).filter(|_| at < PROCESSES_MAX) {
        family.extend(children(member));
        at += 1;
    }
    let others = family.get(1..).unwrap_or_default();
    let sum = own + others.iter().filter_map(|pid| memory_kib(*pid, "RssAnon:")).sum::<u64>();
    if sum <= limit_kib {
        return None;
    }
    if others.is_empty() {
        return Some(sum);
    }
    // What processes share counts once. That takes the kernel long to tell, and is asked for in case of need alone.
    let shared: u64 = family.iter().filter_map(|pid| proportional_kib(*pid)).sum();
    Some(if shared > 0 { shared } else { sum }).filter(|sum| *sum > limit_kib)
}

/// A field of `/proc/<pid>/status` in KiB; none where there is no such file.
pub(crate) fn memory_kib(pid: u32, field: &str) -> Option<u64> {
    field_kib(Path::new(&format!("/proc/{pid}/status")), field)
}

fn proportional_kib(pid: u32) -> Option<u64> {
    field_kib(Path::new(&format!("/proc/{pid}/smaps_rollup")), "Pss:")
}

fn field_kib(file: &Path, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Each thread knows those that it has started.
fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let started = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    started
        .flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_count_and_what_is_shared_counts_once() {
        let own = std::process::id();
        assert!(above(own, 1).is_some());
        assert_eq!(above(own, u64::MAX), None);
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(children(own).contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn nobody_uses_nothing() {
        assert_eq!(above(0, 0), None);
        assert!(children(0).is_empty());
    }
}
