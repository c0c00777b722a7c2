//! How much memory this process may use.

use std::path::Path;

/// What is assumed where the system does not tell: 4 GiB.
const UNKNOWN: u64 = 4 << 30;

/// The machine's memory in bytes, or the limit of the process's control group if that is lower.
pub(crate) fn bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    machine.unwrap_or(UNKNOWN).min(group_limit(Path::new("/sys/fs/cgroup")).unwrap_or(u64::MAX))
}

/// `MemTotal` of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// A container sees its own group at the root; both versions of control groups are looked for. No limit is written as
/// `max`, or as a number that no machine has.
fn group_limit(root: &Path) -> Option<u64> {
    ["memory.max", "memory/memory.limit_in_bytes"].iter().find_map(|file| {
        let text = std::fs::read_to_string(root.join(file)).ok()?;
        text.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(total(text), expected, "{text:?}");
        check("MemTotal:       16384 kB\nMemFree:        1 kB\n", Some(16 << 20));
        check("MemFree:        1 kB\n", None);
        check("MemTotal:       many kB\n", None);
        check("", None);
    }

    #[test]
    fn the_groups_limit() {
        let folder = tempfile::tempdir().unwrap();
        let check = |file: &str, text: &str, expected: Option<u64>| {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            assert_eq!(group_limit(folder.path()), expected, "{file} {text:?}");
        };
        check("memory/memory.limit_in_bytes", "1048576\n", Some(1 << 20));
        check("memory.max", "2097152\n", Some(2 << 20));
        check("memory.max", "max\n", Some(1 << 20));
        assert!(bytes() > 0);
    }
}
