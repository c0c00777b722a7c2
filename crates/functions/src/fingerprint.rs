//! What state the code is in, told from the files themselves: events of the file system only say when to look.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::config::Runtime;

/// Directories that hold no code of the function's author, and may be huge.
const IGNORED: [&str; 5] = ["node_modules", "__pycache__", ".git", ".venv", ".stagedoor"];
/// The endings of texts that no runtime runs. A log that the gateway writes to beside the code would reload without end.
const PROSE: [&str; 3] = ["log", "md", "txt"];
/// A project's own documents, which describe the API and often stand beside the code.
const DOCUMENT_STEMS: [&str; 2] = ["openapi", "swagger"];
const DOCUMENT_ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// What belongs to the other language where functions of both share a directory.
const NODE_ENDINGS: [&str; 8] = ["js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx"];
const PYTHON_ENDINGS: [&str; 2] = ["py", "pyi"];
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

/// Whether a change below `root` at `path` matters to a function of this runtime.
pub(crate) fn matters(root: &Path, runtime: Runtime, path: &Path) -> bool {
    path.strip_prefix(root).is_ok_and(|inner| {
        !inner.components().any(|part| ignored(part.as_os_str())) && may_be_code(runtime, path)
    })
}

fn ignored(name: &std::ffi::OsStr) -> bool {
    IGNORED.iter().any(|other| name == *other)
}

/// Whether a function of this runtime may consist of a file of this name, or read it: anything but what is known to be
/// something else. A file left in costs a restart, and one left out an edit that shows no effect.
fn may_be_code(runtime: Runtime, path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return true };
    if is_of_an_editor(name) {
        return false;
    }
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    if PROSE.contains(&ending) || (DOCUMENT_STEMS.contains(&stem) && DOCUMENT_ENDINGS.contains(&ending)) {
        return false;
    }
    match runtime {
        Runtime::Node(_) => !PYTHON_ENDINGS.contains(&ending),
        Runtime::Python(_) => {
            let manifest = name == "package.json" || name == "package-lock.json";
            !NODE_ENDINGS.contains(&ending) && !manifest
        }
        Runtime::Provided(_) => true,
    }
}

/// Backups, locks and swap files of Emacs, Vim and their kin; `4913` is how Vim tries whether it can write.
fn is_of_an_editor(name: &str) -> bool {
    let swap = [".swp", ".swo", ".swx"].iter().any(|ending| name.ends_with(ending));
    name.ends_with('~')
        || name == "4913"
        || name.starts_with(".#")
        || (name.starts_with('.') && swap)
        || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
}

fn walk(root: &Path, runtime: Runtime) -> Walk {
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
            } else if metadata.is_file() && may_be_code(runtime, &path) {
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
pub(crate) fn stat(root: &Path, runtime: Runtime) -> u64 {
    walk(root, runtime).hasher.finish()
}

/// The whole fingerprint of what a function of this runtime may consist of, and the directories to watch.
pub(crate) fn take(root: &Path, runtime: Runtime) -> (Fingerprint, Vec<PathBuf>) {
    let walk = walk(root, runtime);
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
            take(dir.path(), Runtime::Node(22)).0.content
        };
        let first = write("a.mjs", "1");
        let second = write("a.mjs", "2");
        assert_ne!(first, second);
        assert_eq!(write("a.mjs", "1"), first);
        assert_eq!(write("node_modules/x/index.js", "1"), first);
        assert_ne!(write("lib/b.mjs", "1"), first);
    }

    #[test]
    fn what_may_be_code() {
        let check = |path: &str, node: bool, python: bool, provided: bool| {
            let runtimes = [Runtime::Node(22), Runtime::Python(12), Runtime::Provided("provided")];
            let found = runtimes.map(|runtime| matters(Path::new("/code"), runtime, Path::new(path)));
            assert_eq!(found, [node, python, provided], "{path}");
        };
        check("/code/lib/b.mjs", true, false, true);
        check("/code/lib/b.ts", true, false, true);
        check("/code/app.py", false, true, true);
        check("/code/package.json", true, false, true);
        for both in
            ["/code/data.json", "/code/openapi.mjs.yaml", "/code/bootstrap", "/code/lib", "/code/.env"]
        {
            check(both, true, true, true);
        }
        check("/code/openapi.mjs", true, false, true);
        let neither = [
            "/code/openapi.yaml",
            "/code/swagger.json",
            "/code/README.md",
            "/code/notes.txt",
            "/code/up.log",
            "/code/app.py~",
            "/code/.app.mjs.swp",
            "/code/#app.mjs#",
            "/code/.#app.mjs",
            "/code/4913",
            "/code/node_modules/x/index.js",
            "/code/lib/__pycache__/app.cpython-312.pyc",
            "/code/.venv/lib/x.py",
            "/elsewhere/app.mjs",
        ];
        for path in neither {
            check(path, false, false, false);
        }
    }
}
