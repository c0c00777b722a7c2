//! Keeps what was used over a restart: an append-only file, written by a thread of its own.
//!
//! A counter that has changed is written within [`WRITE_INTERVAL`], with all that happened to it meanwhile in one line.
//! What is written survives the end of the process however it comes; what the machine loses with its power is up to
//! [`SYNC_INTERVAL`] more. Requests never wait for any of it. A clean end writes everything.
//!
//! The file is rewritten when it is opened and when it has grown to several times what it holds. A line that was not
//! written whole lacks its end and is overlooked.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::memory::Usages;
use crate::usage::Counter;

/// How long counts may wait until they are written.
const WRITE_INTERVAL: Duration = Duration::from_millis(20);
/// How long what is written may wait until it is on the disk.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// The smallest file that is rewritten while it is open, in bytes.
const REWRITE_MIN: u64 = 16 * 1024 * 1024;

const NAME: &str = "usage.journal";

/// One day of one counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) day: u32,
    pub(crate) used: u64,
    pub(crate) remaining: u64,
    /// The first day of the quota's period.
    pub(crate) period: u32,
    /// What was added to the limit in that period.
    pub(crate) extra: i64,
}

/// What was kept: by plan and key, the days in order.
pub(crate) type Kept = BTreeMap<(String, String), Vec<Record>>;

/// Where changed counters are announced; of counters in memory alone, nowhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Option<Sender<Message>>);

#[derive(Debug)]
pub(crate) enum Message {
    Changed(Arc<Counter>),
    /// Write the file anew: something was dropped.
    Rewrite,
    /// Write everything now, then tell.
    Flush(SyncSender<()>),
    End,
}

impl Journal {
    pub(crate) fn changed(&self, counter: Arc<Counter>) {
        self.send(Message::Changed(counter));
    }

    pub(crate) fn rewrite(&self) {
        self.send(Message::Rewrite);
    }

    /// Returns when everything that was announced is written.
    pub(crate) fn wait(&self) {
        let (done, wait) = sync_channel(1);
        self.send(Message::Flush(done));
        // An error means that there is no writer, or no more.
        let _ = wait.recv();
    }

    fn send(&self, message: Message) {
        if let Some(sender) = &self.0 {
            // The writer ends last, with the process.
            let _ = sender.send(message);
        }
    }
}

/// The thread that writes; ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) journal: Journal,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.journal.send(Message::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// Reads what a directory keeps.
///
/// # Errors
/// If the file is there and cannot be read.
pub(crate) fn read(dir: &Path) -> io::Result<Kept> {
    let path = dir.join(NAME);
    let text = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    };
    let (kept, unreadable) = parse(&String::from_utf8_lossy(&text));
    if unreadable > 0 {
        tracing::warn!(path = %path.display(), lines = unreadable, "lines that were not written whole are overlooked");
    }
    Ok(kept)
}

fn parse(text: &str) -> (Kept, usize) {
    let (mut kept, mut unreadable) = (BTreeMap::<(String, String), BTreeMap<u32, Record>>::new(), 0);
    for line in text.split_inclusive('\n') {
        match parse_line(line) {
            Some((plan, key, record)) => {
                let days = kept.entry((plan.to_owned(), key.to_owned())).or_default();
                days.insert(record.day, record);
            }
            None => unreadable += 1,
        }
    }
    (kept.into_iter().map(|(name, days)| (name, days.into_values().collect())).collect(), unreadable)
}

fn parse_line(line: &str) -> Option<(&str, &str, Record)> {
    let mut parts = line.strip_suffix(" .\n")?.split(' ');
    let (plan, key) = (parts.next()?, parts.next()?);
    let mut number = || parts.next()?.parse::<i64>().ok();
    let record = Record {
        day: number()?.try_into().ok()?,
        used: number()?.try_into().ok()?,
        remaining: number()?.try_into().ok()?,
        period: number()?.try_into().ok()?,
        extra: number()?,
    };
    parts.next().is_none().then_some((plan, key, record))
}

/// Without the machinery of formatting: where each request has another key, this is done for each request.
fn write_line(text: &mut String, counter: &Counter, record: &Record) {
    let &Record { day, used, remaining, period, extra } = record;
    let mut number = itoa::Buffer::new();
    text.push_str(&counter.plan.id);
    text.push(' ');
    text.push_str(&counter.key);
    for unsigned in [day.into(), used, remaining, period.into()] {
        text.push(' ');
        text.push_str(number.format(unsigned));
    }
    text.push(' ');
    text.push_str(number.format(extra));
    text.push_str(" .\n");
}

/// Starts the writer. `usages` is what the file is rewritten from.
///
/// # Errors
/// If the thread cannot be started.
pub(crate) fn start(
    dir: &Path,
    usages: impl FnOnce(&Journal) -> Arc<Usages>,
) -> io::Result<(Writer, Arc<Usages>)> {
    let (sender, receiver) = channel();
    let journal = Journal(Some(sender));
    let usages = usages(&journal);
    let mut file =
        JournalFile { path: dir.join(NAME), usages: Arc::downgrade(&usages), ..JournalFile::default() };
    file.rewrite()?;
    let thread =
        std::thread::Builder::new().name("usage-journal".to_owned()).spawn(move || file.follow(&receiver))?;
    Ok((Writer { journal, thread: Mutex::new(Some(thread)) }, usages))
}

#[derive(Default)]
struct JournalFile {
    path: PathBuf,
    usages: Weak<Usages>,
    file: Option<File>,
    length: u64,
    /// Its length when it was last written anew.
    length_whole: u64,
    synced_at: Option<Instant>,
    /// Something is written and not on the disk yet.
    unsynced: bool,
    failing: bool,
}

impl JournalFile {
    fn follow(mut self, messages: &Receiver<Message>) {
        let mut text = String::new();
        loop {
            let first = if self.unsynced {
                match messages.recv_timeout(SYNC_INTERVAL) {
                    Ok(message) => Some(message),
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => None,
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return self.sync(),
                }
            } else {
                match messages.recv() {
                    Ok(message) => Some(message),
                    Err(_) => return,
                }
            };
            let Some(first) = first else {
                self.sync();
                continue;
            };
            if matches!(first, Message::Changed(_)) {
                std::thread::sleep(WRITE_INTERVAL);
            }
            text.clear();
            let (mut rewrite, mut waiting, mut end) = (false, Vec::new(), false);
            for message in std::iter::once(first).chain(messages.try_iter()) {
                match message {
                    Message::Changed(counter) => {
                        counter.unwritten(|record| write_line(&mut text, &counter, record));
                    }
                    Message::Rewrite => rewrite = true,
                    Message::Flush(done) => waiting.push(done),
                    Message::End => end = true,
                }
            }
            let grown = self.length > REWRITE_MIN.max(self.length_whole * 4);
            let outcome = if rewrite || grown { self.rewrite() } else { self.append(&text) };
            self.report(outcome);
            let due = self.synced_at.is_none_or(|at| at.elapsed() >= SYNC_INTERVAL);
            if end || due || !waiting.is_empty() {
                self.sync();
            }
            // Dropping a sender of one that waits ends its wait just as well.
            drop(waiting);
            if end {
                return;
            }
        }
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if self.failing {
            // What failed to be written then is in no file.
            return self.rewrite();
        }
        if let Some(file) = &mut self.file {
            file.write_all(text.as_bytes())?;
        }
        self.length += text.len() as u64;
        self.unsynced = true;
        Ok(())
    }

    /// Writes everything into a new file and puts it in the place of the old one.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = String::new();
        if let Some(usages) = self.usages.upgrade() {
            for counter in usages.all() {
                for record in counter.all() {
                    if record != Record::default() {
                        write_line(&mut text, &counter, &record);
                    }
                }
            }
        } else {
            return Ok(());
        }
        let fresh = self.path.with_extension("journal.new");
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", fresh.display()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&fresh).map_err(at)?;
        file.write_all(text.as_bytes()).map_err(at)?;
        file.sync_data().map_err(at)?;
        std::fs::rename(&fresh, &self.path)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        self.length = text.len() as u64;
        self.length_whole = self.length;
        self.unsynced = false;
        Ok(())
    }

    fn sync(&mut self) {
        self.synced_at = Some(Instant::now());
        if std::mem::take(&mut self.unsynced)
            && let Some(file) = &self.file
        {
            let outcome = file.sync_data();
            self.report(outcome);
        }
    }

    fn report(&mut self, outcome: io::Result<()>) {
        let failing = outcome.is_err();
        if let Err(error) = outcome
            && !self.failing
        {
            tracing::error!(path = %self.path.display(), %error, "what API keys use cannot be kept; it is counted all the same");
        }
        self.failing = failing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_that_are_not_whole_are_overlooked() {
        let whole = "p k 5 1 9 5 0 .\np k 5 2 8 5 0 .\np k 6 1 0 6 -3 .\n";
        let record = |day, used, remaining, extra| Record { day, used, remaining, period: day, extra };
        let expected =
            Kept::from([(("p".into(), "k".into()), vec![record(5, 2, 8, 0), record(6, 1, 0, -3)])]);
        assert_eq!(parse(whole), (expected.clone(), 0));
        for torn in ["p k 6 2 0 6 -3 ", "p k 6 2", "p", "p k 6 2 0 6 -3 .", "x y z\n"] {
            assert_eq!(parse(&format!("{whole}{torn}")), (expected.clone(), 1), "{torn}");
        }
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "[a-z0-9. \n-]{0,80}") {
            let (kept, unreadable) = parse(&text);
            prop_assert!(kept.len() + unreadable <= text.len());
        }
    }
}
