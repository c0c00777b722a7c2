//! What state the code is in, told from the files themselves: events of the file system only say when to look.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Directories that hold no code of the function's author, and may be huge.
const IGNORED: [&str; 5] = ["node_modules", "__pycache__", ".git", ".venv", ".stagedoor"];
/// More files than this are not watched one by one.
const FILES_MAX: usize = 20_000;
/// Up to this many bytes are compared by content, more by time and size only.
const CONTENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The state of a code directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Names, sizes and times: quick to compare.
    pub(crate) stat: u64,
    /// Names and contents: what decides.
    pub(crate) content: u64,
}

struct Walk {
    hasher: DefaultHasher,
    files: Vec<PathBuf>,
    dirs: Vec<PathBuf>,
    bytes: u64,
}

/// Whether a change below `root` at `path` matters.
pub(crate) fn matters(root: &Path, path: &Path) -> bool {
    path.strip_prefix(root).is_ok_and(|inner| !inner.components().any(|part| ignored(part.as_os_str())))
}

fn ignored(name: &std::ffi::OsStr) -> bool {
    IGNORED.iter().any(|other| name == *other)
}

fn walk(root: &Path) -> Walk {
    let mut walk = Walk { hasher: DefaultHasher::new(), files: Vec::new(), dirs: Vec::new(), bytes: 0 };
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_unstable_by_key(std::fs::DirEntry::file_name);
        walk.dirs.push(dir);
        for entry in entries {
            if ignored(&entry.file_name()) || walk.files.len() >= FILES_MAX {
                continue;
            }
            let path = entry.path();
            // A link to a file is followed, a link to a directory is not: it could lead back.
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            if metadata.is_dir() {
                if !is_link {
                    pending.push(path);
                }
            } else if metadata.is_file() {
                let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                (&path, metadata.len(), modified).hash(&mut walk.hasher);
                walk.bytes += metadata.len();
                walk.files.push(path);
            }
        }
    }
    walk
}

/// Names, sizes and times alone.
pub(crate) fn stat(root: &Path) -> u64 {
    walk(root).hasher.finish()
}

/// The whole fingerprint, and the directories to watch.
pub(crate) fn take(root: &Path) -> (Fingerprint, Vec<PathBuf>) {
    let walk = walk(root);
    let stat = walk.hasher.finish();
    let mut content = stat;
    if walk.bytes <= CONTENT_BYTES_MAX {
        let mut hasher = DefaultHasher::new();
        for file in &walk.files {
            (file, std::fs::read(file).ok()).hash(&mut hasher);
        }
        content = hasher.finish();
    }
    (Fingerprint { stat, content }, walk.dirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_content_shows_and_other_files_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            take(dir.path()).0.content
        };
        let first = write("a.mjs", "1");
        let second = write("a.mjs", "2");
        assert_ne!(first, second);
        assert_eq!(write("a.mjs", "1"), first);
        assert_eq!(write("node_modules/x/index.js", "1"), first);
        assert_ne!(write("lib/b.mjs", "1"), first);
        assert!(matters(dir.path(), &dir.path().join("lib/b.mjs")));
        assert!(!matters(dir.path(), &dir.path().join("node_modules/x/index.js")));
    }
}
