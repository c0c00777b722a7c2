//! Events of the file system, as a nudge to the functions whose code they concern. Directories are watched one by one, so
//! that a `node_modules` with thousands of them costs nothing. Where watching fails, edits still take effect: a function in
//! use looks at its files every second.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::config::Runtime;
use crate::fingerprint;

/// A function's code, and whom to nudge about it.
struct Root {
    path: PathBuf,
    runtime: Runtime,
    changed: Arc<Notify>,
}

type Roots = Arc<Mutex<Vec<Root>>>;

struct Watched {
    watcher: Option<RecommendedWatcher>,
    dirs: HashSet<PathBuf>,
}

pub(crate) struct Watcher {
    roots: Roots,
    watched: Mutex<Watched>,
}

impl Watcher {
    pub(crate) fn new() -> Self {
        Self { roots: Roots::default(), watched: Mutex::new(Watched { watcher: None, dirs: HashSet::new() }) }
    }

    /// Nudges `changed` from now on when something below `path` changes that matters to functions of `runtime`. `dirs` are
    /// the directories there.
    pub(crate) fn watch(&self, path: &Path, runtime: Runtime, dirs: &[PathBuf], changed: &Arc<Notify>) {
        {
            let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
            if !roots.iter().any(|root| Arc::ptr_eq(&root.changed, changed)) {
                roots.push(Root { path: path.to_owned(), runtime, changed: Arc::clone(changed) });
            }
        }
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // Made on first use: a gateway without functions starts no thread for it.
        if watched.watcher.is_none() {
            watched.watcher = start(&self.roots);
        }
        for dir in dirs {
            if watched.dirs.contains(dir) {
                continue;
            }
            let Some(watcher) = watched.watcher.as_mut() else { return };
            match watcher.watch(dir, RecursiveMode::NonRecursive) {
                Ok(()) => drop(watched.dirs.insert(dir.clone())),
                Err(error) => {
                    tracing::warn!(
                        target: "function", %error,
                        "{} cannot be watched; edits take effect a second later", dir.display()
                    );
                    return;
                }
            }
        }
    }

    /// Nudges `changed` no more.
    pub(crate) fn forget(&self, changed: &Arc<Notify>) {
        // The lock on the roots ends here: the watcher's thread takes it too, and `unwatch` waits for that thread.
        let roots = {
            let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
            roots.retain(|root| !Arc::ptr_eq(&root.changed, changed));
            roots.iter().map(|root| root.path.clone()).collect::<Vec<_>>()
        };
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let unused: Vec<_> = watched
            .dirs
            .iter()
            .filter(|dir| !roots.iter().any(|root| dir.starts_with(root)))
            .cloned()
            .collect();
        for dir in unused {
            watched.dirs.remove(&dir);
            if let Some(watcher) = watched.watcher.as_mut() {
                // A directory that was deleted is not watched any more anyway.
                let _ = watcher.unwatch(&dir);
            }
        }
    }
}

fn start(roots: &Roots) -> Option<RecommendedWatcher> {
    let roots = Arc::clone(roots);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let roots = roots.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
            Ok(event) => {
                for root in roots.iter() {
                    if event.paths.iter().any(|path| fingerprint::matters(&root.path, root.runtime, path)) {
                        root.changed.notify_one();
                    }
                }
            }
            // Events were lost: everyone looks for himself.
            Err(_) => roots.iter().for_each(|root| root.changed.notify_one()),
        }
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(target: "function", %error, "files cannot be watched; edits take effect a second later");
            None
        }
    }
}
