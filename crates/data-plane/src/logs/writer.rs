//! The thread that writes log lines.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Target;

/// Lines that wait to be written may take this much memory. More are dropped.
const QUEUED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How often a file's name is looked at, to notice that the file was renamed or deleted.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often dropped lines and files that cannot be written are reported at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

enum Message {
    Lines { target: Arc<Target>, text: Vec<u8>, count: u64 },
    Reopen,
    End,
}

/// Writes lines on a thread of its own.
pub struct LogWriter {
    sender: Sender<Message>,
    queued: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system says if it can start no thread.
    pub fn start() -> io::Result<Arc<Self>> {
        let (sender, receiver) = channel();
        let (queued, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let state = State {
            queued: Arc::clone(&queued),
            dropped: Arc::clone(&dropped),
            files: HashMap::new(),
            reported: 0,
            reported_at: None,
        };
        let thread =
            std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || state.run(&receiver))?;
        Ok(Arc::new(Self { sender, queued, dropped, thread: Mutex::new(Some(thread)) }))
    }

    /// Hands lines over; each ends in a newline. They are dropped if too many wait already.
    pub fn send(&self, target: Arc<Target>, text: Vec<u8>, count: u64) {
        let length = text.len();
        if self.queued.fetch_add(length, Ordering::Relaxed) + length > QUEUED_BYTES_MAX {
            self.queued.fetch_sub(length, Ordering::Relaxed);
            self.dropped.fetch_add(count, Ordering::Relaxed);
            return;
        }
        if self.sender.send(Message::Lines { target, text, count }).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Lines that were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Closes all files and opens them again when there is something to write: after they were renamed, and others
    /// shall take their place.
    pub fn reopen(&self) {
        let _ = self.sender.send(Message::Reopen);
    }

    /// Writes what waits, and ends the thread. Blocks until then.
    pub fn finish(&self) {
        let _ = self.sender.send(Message::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log writer ended in a panic");
        }
    }
}

struct Open {
    file: File,
    checked: Instant,
}

struct State {
    queued: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
    files: HashMap<Arc<Target>, Open>,
    /// How many dropped lines have been reported.
    reported: u64,
    reported_at: Option<Instant>,
}

impl State {
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            match message {
                Message::Lines { target, text, count } => {
                    if let Err(error) = self.write(&target, &text) {
                        self.files.remove(&target);
                        self.dropped.fetch_add(count, Ordering::Relaxed);
                        self.report(Some((&target, &error)));
                    }
                    self.queued.fetch_sub(text.len(), Ordering::Relaxed);
                    self.report(None);
                }
                Message::Reopen => self.files.clear(),
                Message::End => break,
            }
        }
        self.reported_at = None;
        self.report(None);
    }

    fn write(&mut self, target: &Arc<Target>, text: &[u8]) -> io::Result<()> {
        let path = match &**target {
            Target::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text)?;
                return out.flush();
            }
            Target::File(path) => path,
        };
        if self.files.get_mut(target).is_some_and(|open| !open.is_current(path)) {
            self.files.remove(target);
        }
        if !self.files.contains_key(target) {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            self.files.insert(Arc::clone(target), Open { file, checked: Instant::now() });
        }
        match self.files.get_mut(target) {
            Some(open) => open.file.write_all(text),
            None => Ok(()),
        }
    }

    /// Says what could not be written, but not for every line of it.
    fn report(&mut self, failed: Option<(&Target, &io::Error)>) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped == self.reported || self.reported_at.is_some_and(|at| at.elapsed() < REPORT_INTERVAL) {
            return;
        }
        let lines = dropped - self.reported;
        match failed {
            Some((target, error)) => {
                tracing::error!(?target, %error, lines, "log lines could not be written")
            }
            None => {
                tracing::error!(lines, "log lines were dropped: they came faster than they could be written")
            }
        }
        self.reported = dropped;
        self.reported_at = Some(Instant::now());
    }
}

impl Open {
    /// Whether the name still means this file.
    fn is_current(&mut self, path: &Path) -> bool {
        if self.checked.elapsed() < CHECK_INTERVAL {
            return true;
        }
        self.checked = Instant::now();
        match (self.file.metadata(), std::fs::metadata(path)) {
            (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("stagedoor-logs-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn lines_are_written_in_order_and_all_of_them_at_the_end() {
        let folder = temporary();
        let target = Arc::new(Target::File(folder.join("a.log")));
        let writer = LogWriter::start().unwrap();
        for number in 0..1000 {
            writer.send(Arc::clone(&target), format!("{number}\n").into_bytes(), 1);
        }
        writer.finish();
        let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
        assert_eq!(std::fs::read_to_string(folder.join("a.log")).unwrap(), expected);
        assert_eq!((writer.dropped(), writer.queued.load(Ordering::Relaxed)), (0, 0));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_renamed_file_gets_a_successor() {
        let folder = temporary();
        let (name, old) = (folder.join("a.log"), folder.join("a.log.1"));
        let target = Arc::new(Target::File(name.clone()));
        let writer = LogWriter::start().unwrap();
        writer.send(Arc::clone(&target), b"before\n".to_vec(), 1);
        while std::fs::read(&name).unwrap_or_default().is_empty() {
            std::thread::yield_now();
        }
        std::fs::rename(&name, &old).unwrap();
        writer.reopen();
        writer.send(target, b"after\n".to_vec(), 1);
        writer.finish();
        assert_eq!(std::fs::read(old).unwrap(), b"before\n");
        assert_eq!(std::fs::read(name).unwrap(), b"after\n");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let writer = LogWriter::start().unwrap();
        writer.send(Arc::new(Target::File("/nonexistent/a.log".into())), b"a\nb\n".to_vec(), 2);
        writer.send(Arc::new(Target::Stdout), vec![b'x'; QUEUED_BYTES_MAX + 1], 3);
        writer.finish();
        assert_eq!(writer.dropped(), 5);
    }
}
