//! How much memory this process may use.

use std::path::{Path, PathBuf};

/// What is assumed where the system does not tell: 4 GiB.
const UNKNOWN: u64 = 4 << 30;

/// The machine's memory in bytes, or the limit of the process's control group if that is lower.
pub(crate) fn bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_limit(Path::new("/sys/fs/cgroup"), &own);
    machine.unwrap_or(UNKNOWN).min(group.unwrap_or(u64::MAX))
}

/// `MemTotal` of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The lowest limit of the process's group and those around it, given what `/proc/self/cgroup` says. Both versions of
/// control groups are looked for; a container sees its own at the root. No limit is written as `max`, or as a number that
/// no machine has.
fn group_limit(root: &Path, own: &str) -> Option<u64> {
    let read = |path: PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let versions = [("", "0::/", "memory.max"), ("memory", ":memory:/", "memory.limit_in_bytes")];
    let files = versions.into_iter().flat_map(|(folder, before, file)| {
        let group = own.lines().find_map(|line| line.split_once(before)).map_or("", |(_, group)| group);
        // The last of them is the root's own.
        Path::new(group).ancestors().map(move |group| root.join(folder).join(group).join(file))
    });
    files.filter_map(read).min()
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
            let own = "4:memory:/old/group\n1:name=x:/y\n0::/system.slice/gateway.service\n";
            assert_eq!(group_limit(folder.path(), own), expected, "{file} {text:?}");
        };
        check("memory.max", "max\n", None);
        check("memory/memory.limit_in_bytes", "9437184\n", Some(9 << 20));
        check("memory/old/memory.limit_in_bytes", "8912896\n", Some(8_912_896));
        check("memory.max", "8388608\n", Some(8 << 20));
        check("system.slice/memory.max", "4194304\n", Some(4 << 20));
        check("system.slice/gateway.service/memory.max", "max\n", Some(4 << 20));
        check("system.slice/gateway.service/memory.max", "1048576\n", Some(1 << 20));
        check("other.slice/memory.max", "1\n", Some(1 << 20));
        assert!(bytes() > 0);
    }
}
