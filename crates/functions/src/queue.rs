//! Asynchronous events that are accepted and not placed yet, kept over the end of the gateway however it comes: an
//! append-only file of JSON lines, written by a thread of its own.
//!
//! An event is accepted once its line is on the disk; those that come in together share the wait for it. That it has been
//! tried, or is done, is written soon afterwards, so after a crash an event may be placed a second time, as on Lambda.
//! Invocations whose callers wait for a result have nothing to do with any of it.
//!
//! The file is rewritten when it is opened and when it has grown to several times what it holds. A line that was not
//! written whole lacks its end and is overlooked: nobody was told that its event is accepted.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// The smallest file that is rewritten while it is open, in bytes.
const REWRITE_MIN: u64 = 16 * 1024 * 1024;
/// An emptied file of this size is cut short at once, in bytes.
const EMPTY_MAX: u64 = 1024 * 1024;

/// An event as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// As it was invoked: name, partial ARN or ARN, with or without a version or alias.
    pub(crate) function: String,
    pub(crate) request_id: String,
    #[serde(with = "base64_bytes")]
    pub(crate) payload: Bytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_context: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<String>,
    /// In ms since 1970.
    pub(crate) accepted_at: u64,
    /// How often it has been tried.
    pub(crate) attempts: u8,
}

mod base64_bytes {
    use super::{Bytes, STANDARD};
    use base64::Engine as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Bytes::from).map_err(serde::de::Error::custom)
    }
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// An event is accepted, under a number that no other line of the file has for another one.
    Accepted(u64, Event),
    /// It has been tried so often.
    Tried(u64, u8),
    /// It is placed, or given up.
    Done(u64),
}

/// What the thread is told.
enum Message {
    /// A line for an event, and who waits until it is on the disk.
    Accept(u64, Vec<u8>, oneshot::Sender<io::Result<()>>),
    Note(Line),
    End,
}

/// Where events are kept; without a file, nowhere.
#[derive(Default)]
pub(crate) struct Queue {
    sender: Option<mpsc::Sender<Message>>,
    next: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// An event's place in the queue.
pub(crate) struct Ticket {
    queue: Arc<Queue>,
    number: u64,
}

impl Queue {
    /// Opens a file, and gives what is left in it.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<(u64, Event)>)> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let left = read(path).map_err(named)?;
        let next = left.keys().last().map_or(0, |last| last + 1);
        let file = QueueFile::create(path, &left).map_err(named)?;
        let (sender, messages) = mpsc::channel();
        let thread =
            thread::Builder::new().name("event-queue".to_owned()).spawn(move || file.follow(&messages))?;
        let queue =
            Self { sender: Some(sender), next: AtomicU64::new(next), thread: Mutex::new(Some(thread)) };
        Ok((queue, left.into_iter().collect()))
    }

    /// Whether events outlive the gateway.
    pub(crate) fn keeps(&self) -> bool {
        self.sender.is_some()
    }

    /// Keeps an event. It is on the disk when the future is ready.
    ///
    /// # Errors
    /// If it could not be written.
    pub(crate) async fn accept(self: &Arc<Self>, event: Event) -> io::Result<Ticket> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket { queue: Arc::clone(self), number };
        let Some(sender) = &self.sender else { return Ok(ticket) };
        let line = line(&Line::Accepted(number, event))?;
        let (told, written) = oneshot::channel();
        let ended = || io::Error::other("the queue is closed");
        sender.send(Message::Accept(number, line, told)).map_err(|_| ended())?;
        written.await.map_err(|_| ended())??;
        Ok(ticket)
    }

    /// The place of an event that was left in the file.
    pub(crate) fn ticket(self: &Arc<Self>, number: u64) -> Ticket {
        Ticket { queue: Arc::clone(self), number }
    }

    fn note(&self, line: Line) {
        if let Some(sender) = &self.sender {
            // The thread ends after all invocations have.
            let _ = sender.send(Message::Note(line));
        }
    }

    /// Ends it when everything is written.
    pub(crate) fn finish(&self) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(Message::End);
        }
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Ticket {
    /// The event has been tried so often.
    pub(crate) fn tried(&self, attempts: u8) {
        self.queue.note(Line::Tried(self.number, attempts));
    }

    /// The event is placed, or given up.
    pub(crate) fn done(&self) {
        self.queue.note(Line::Done(self.number));
    }
}

fn line(line: &Line) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn read(path: &Path) -> io::Result<BTreeMap<u64, Event>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let (left, unreadable) = parse(&bytes);
    if unreadable > 0 {
        tracing::warn!(path = %path.display(), lines = unreadable, "lines that were not written whole are overlooked");
    }
    Ok(left)
}

/// The events that are not done, and how many lines say nothing.
fn parse(bytes: &[u8]) -> (BTreeMap<u64, Event>, usize) {
    let (mut left, mut unreadable) = (BTreeMap::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let whole = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
        match whole {
            Some(Line::Accepted(number, event)) => _ = left.insert(number, event),
            Some(Line::Tried(number, attempts)) => {
                if let Some(event) = left.get_mut(&number) {
                    event.attempts = attempts;
                }
            }
            Some(Line::Done(number)) => _ = left.remove(&number),
            None => unreadable += 1,
        }
    }
    (left, unreadable)
}

/// Where an event's line is in the file.
#[derive(Clone, Copy)]
struct Kept {
    at: u64,
    length: usize,
    attempts: u8,
}

struct QueueFile {
    path: PathBuf,
    file: File,
    length: u64,
    kept: BTreeMap<u64, Kept>,
    kept_bytes: u64,
    failing: bool,
    /// Lines about events that could not be written yet: no more than there are events.
    unwritten: Vec<u8>,
}

impl QueueFile {
    /// A new file of these events, in the place of the old one.
    fn create(path: &Path, events: &BTreeMap<u64, Event>) -> io::Result<Self> {
        let mut file = Self {
            path: path.to_owned(),
            file: begin(path)?,
            length: 0,
            kept: BTreeMap::new(),
            kept_bytes: 0,
            failing: false,
            unwritten: Vec::new(),
        };
        for (number, event) in events {
            let bytes = line(&Line::Accepted(*number, event.clone()))?;
            file.append(&bytes)?;
            file.remember(*number, bytes.len(), 0);
        }
        file.put_in_place()?;
        Ok(file)
    }

    fn follow(mut self, messages: &mpsc::Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            if self.write(std::iter::once(first).chain(messages.try_iter())) {
                return;
            }
        }
    }

    /// Writes what has come in, and tells those who wait. True if there will be no more.
    fn write(&mut self, batch: impl Iterator<Item = Message>) -> bool {
        let (mut end, mut waiting) = (false, Vec::new());
        let before = self.length;
        let mut outcome = Ok(());
        let mut text = self.unwritten.clone();
        let mut numbers = Vec::new();
        for message in batch {
            match message {
                Message::Accept(number, bytes, told) => {
                    numbers.push((number, text.len(), bytes.len()));
                    text.extend_from_slice(&bytes);
                    waiting.push(told);
                }
                Message::Note(note) => {
                    self.heed(&note);
                    // Numbers alone: that cannot fail.
                    let note = line(&note).unwrap_or_default();
                    text.extend_from_slice(&note);
                    self.unwritten.extend(note);
                }
                Message::End => end = true,
            }
        }
        if !text.is_empty() {
            outcome = self.append(&text);
        }
        if outcome.is_ok() && !waiting.is_empty() {
            outcome = self.file.sync_data();
        }
        match &outcome {
            Ok(()) => {
                self.unwritten.clear();
                for (number, at, length) in numbers {
                    self.kept.insert(number, Kept { at: before + at as u64, length, attempts: 0 });
                    self.kept_bytes += length as u64;
                }
            }
            // What was not accepted must not be there after a restart, nor what was half written.
            Err(_) => self.length = self.file.set_len(before).map_or(self.length, |()| before),
        }
        for told in waiting {
            let copy = match &outcome {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            // Who no longer waits need not be told: what is kept is tried all the same.
            let _ = told.send(copy);
        }
        let shrunk = self.shrink();
        self.report(outcome.and(shrunk));
        end
    }

    fn heed(&mut self, note: &Line) {
        match note {
            Line::Accepted(..) => {}
            Line::Tried(number, attempts) => {
                if let Some(kept) = self.kept.get_mut(number) {
                    kept.attempts = *attempts;
                }
            }
            Line::Done(number) => {
                if let Some(kept) = self.kept.remove(number) {
                    self.kept_bytes -= kept.length as u64;
                }
            }
        }
    }

    /// Writes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The line that was written last is that of an event.
    fn remember(&mut self, number: u64, length: usize, attempts: u8) {
        let at = self.length - length as u64;
        self.kept.insert(number, Kept { at, length, attempts });
        self.kept_bytes += length as u64;
    }

    fn shrink(&mut self) -> io::Result<()> {
        if self.kept.is_empty() && self.length > EMPTY_MAX {
            self.file.set_len(0)?;
            self.length = 0;
        }
        if self.length <= REWRITE_MIN.max(self.kept_bytes * 4) {
            return Ok(());
        }
        let mut fresh = Self {
            path: self.path.clone(),
            file: begin(&self.path)?,
            length: 0,
            kept: BTreeMap::new(),
            kept_bytes: 0,
            failing: self.failing,
            unwritten: Vec::new(),
        };
        for (number, kept) in &self.kept {
            let mut bytes = vec![0; kept.length];
            self.file.read_exact_at(&mut bytes, kept.at)?;
            fresh.append(&bytes)?;
            fresh.remember(*number, kept.length, kept.attempts);
            if kept.attempts > 0 {
                fresh.append(&line(&Line::Tried(*number, kept.attempts))?)?;
            }
        }
        fresh.put_in_place()?;
        *self = fresh;
        Ok(())
    }

    fn put_in_place(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.sync_data()?;
        std::fs::rename(unfinished(&self.path), &self.path)?;
        // The name, too, has to outlive the machine's power. It is there already, so that nothing but this is at stake; some
        // file systems cannot do it.
        let folder = self.path.parent().map(File::open);
        if let Some(Err(error)) = folder.map(|folder| folder.and_then(|folder| folder.sync_all())) {
            tracing::warn!(path = %self.path.display(), %error, "the name of the file of events may not outlive a power failure");
        }
        Ok(())
    }

    fn report(&mut self, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => self.failing = false,
            Err(error) => {
                if !self.failing {
                    tracing::error!(
                        path = %self.path.display(), %error, "the file of asynchronous events cannot be written"
                    );
                }
                self.failing = true;
            }
        }
    }
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// A new file beside the one whose place it is to take.
fn begin(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600).open(unfinished(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(id: &str) -> Event {
        Event {
            function: "f:live".to_owned(),
            request_id: id.to_owned(),
            payload: Bytes::from(format!("{{\"n\":\n\"{id}\"}}")),
            accepted_at: 17,
            ..Event::default()
        }
    }

    fn ids(events: &[(u64, Event)]) -> Vec<(&str, u8)> {
        events.iter().map(|(_, event)| (event.request_id.as_str(), event.attempts)).collect()
    }

    #[tokio::test]
    async fn what_is_not_done_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/events.jsonl");
        let (queue, left) = Queue::open(&path).unwrap();
        assert_eq!(left, []);
        let queue = Arc::new(queue);
        let first = queue.accept(event("1")).await.unwrap();
        let second = queue.accept(event("2")).await.unwrap();
        let third = queue.accept(event("3")).await.unwrap();
        first.done();
        second.tried(1);
        drop((first, second, third, queue));
        for _ in 0..2 {
            let (_queue, left) = Queue::open(&path).unwrap();
            assert_eq!(ids(&left), [("2", 1), ("3", 0)]);
            assert_eq!(left.first().unwrap().1, Event { attempts: 1, ..event("2") });
        }
        let (queue, left) = Queue::open(&path).unwrap();
        let queue = Arc::new(queue);
        left.iter().for_each(|(number, _)| queue.ticket(*number).done());
        queue.accept(event("4")).await.unwrap();
        drop(queue);
        assert_eq!(ids(&Queue::open(&path).unwrap().1), [("4", 0)]);
    }

    /// A disk that is full for a while, as a file that cannot be written.
    #[test]
    fn what_became_of_events_is_written_once_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut file = QueueFile::create(&path, &BTreeMap::new()).unwrap();
        let accept = |file: &mut QueueFile, number: u64, more: Vec<Message>| {
            let (told, answer) = oneshot::channel();
            let bytes = line(&Line::Accepted(number, event(&number.to_string()))).unwrap();
            file.write(more.into_iter().chain([Message::Accept(number, bytes, told)]));
            answer.blocking_recv().unwrap().is_ok()
        };
        assert!(accept(&mut file, 1, Vec::new()) && accept(&mut file, 2, Vec::new()));
        let writable = std::mem::replace(&mut file.file, File::open(&path).unwrap());
        let placed = vec![Message::Note(Line::Done(1)), Message::Note(Line::Tried(2, 1))];
        assert!(!accept(&mut file, 3, placed));
        file.file = writable;
        assert!(accept(&mut file, 4, Vec::new()));
        drop(file);
        assert_eq!(ids(&Queue::open(&path).unwrap().1), [("2", 1), ("4", 0)]);
    }

    #[tokio::test]
    async fn the_file_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let queue = Arc::new(Queue::open(&path).unwrap().0);
        let large = Event { payload: Bytes::from(vec![b'x'; 400_000]), ..event("large") };
        let stays = queue.accept(event("stays")).await.unwrap();
        stays.tried(2);
        for _ in 0..60 {
            queue.accept(large.clone()).await.unwrap().done();
        }
        queue.accept(event("last")).await.unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length < REWRITE_MIN + 1_000_000, "{length}");
        drop((stays, queue));
        assert_eq!(ids(&Queue::open(&path).unwrap().1), [("stays", 2), ("last", 0)]);
    }

    #[test]
    fn lines_that_are_not_whole_are_overlooked() {
        let whole =
            [line(&Line::Accepted(7, event("7"))).unwrap(), line(&Line::Tried(7, 2)).unwrap()].concat();
        for torn in ["{\"accepted\":[8,{\"function\"", "{\"done\":7}", "{\"done\":7", "x\n"] {
            let (left, unreadable) = parse(&[&whole[..], torn.as_bytes()].concat());
            assert_eq!((left.len(), unreadable), (1, 1), "{torn}");
            assert_eq!(left.get(&7).unwrap().attempts, 2);
        }
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "(\\{\"done\":7\\}\n|\\{\"tried\":\\[7,1\\]\\}|\n|\\PC){0,20}") {
            let (left, _) = parse(text.as_bytes());
            prop_assert!(left.is_empty());
        }
    }
}
