//! The connections that are open, found by their ids from any worker: whoever pushes to a connection or closes it may
//! serve on another one.
//!
//! A connection belongs to the worker that accepted it, and only its own task touches its socket. What others want of it
//! they leave in its mailbox, and wake the task. The mailbox takes memory only while something is in it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::ids;

/// So many that two workers seldom want the same one.
const SHARDS: usize = 64;

/// A connection's id: sixteen characters of base64 that end in `=`, such as `L0SM9cOFvHcCIhw=`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId([u8; 16]);

impl ConnectionId {
    /// A new one, in letters that addresses may have, as AWS's are.
    #[must_use]
    pub fn unique() -> Self {
        let mut id = Self::parse_bytes(&ids::extended_request_id()).unwrap_or(Self([b'='; 16]));
        for letter in &mut id.0 {
            *letter = match *letter {
                b'+' => b'-',
                b'/' => b'_',
                other => other,
            };
        }
        id
    }

    /// Reads one. What has another form is nobody's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_bytes(text.as_bytes())
    }

    fn parse_bytes(text: &[u8]) -> Option<Self> {
        let id: [u8; 16] = text.try_into().ok()?;
        id.is_ascii().then_some(Self(id))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

type Shard = Mutex<HashMap<ConnectionId, Arc<Handle>>>;

/// All open connections.
#[derive(Debug)]
pub struct Connections {
    shards: Box<[Shard]>,
    hasher: RandomState,
    open: AtomicUsize,
}

impl Default for Connections {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), open: AtomicUsize::new(0) }
    }
}

impl Connections {
    /// The connection with this id, if it belongs to this stage of this API.
    #[must_use]
    pub fn find(&self, api_id: &str, stage: &str, id: &str) -> Option<Arc<Handle>> {
        let id = ConnectionId::parse(id)?;
        let found = lock(self.shard(id)?).get(&id).map(Arc::clone)?;
        (*found.api_id == *api_id && *found.stage == *stage).then_some(found)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has every connection closed that is open now and fits.
    pub fn close_all(&self, status: u16, reason: &'static str, fits: impl Fn(&Handle) -> bool) {
        for shard in &self.shards {
            let handles: Vec<_> =
                lock(shard).values().filter(|handle| fits(handle)).map(Arc::clone).collect();
            for handle in handles {
                handle.close(status, reason);
            }
        }
    }

    pub(crate) fn insert(&self, handle: Arc<Handle>) {
        if let Some(shard) = self.shard(handle.id)
            && lock(shard).insert(handle.id, handle).is_none()
        {
            self.open.fetch_add(1, Relaxed);
        }
    }

    /// Forgets a connection, which takes nothing from then on.
    pub(crate) fn remove(&self, handle: &Handle) {
        handle.shut();
        if let Some(shard) = self.shard(handle.id) {
            let mut shard = lock(shard);
            if shard.remove(&handle.id).is_some() {
                self.open.fetch_sub(1, Relaxed);
            }
            // What many connections needed at once is not kept for ever.
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
    }

    fn shard(&self, id: ConnectionId) -> Option<&Shard> {
        let hash = self.hasher.hash_one(id);
        self.shards.get(usize::try_from(hash % SHARDS as u64).unwrap_or_default())
    }
}

/// A thread that panicked while it held a lock has left everything whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What everybody may know of a connection and do to it.
pub struct Handle {
    /// Its id.
    pub id: ConnectionId,
    /// The API it is connected to.
    pub api_id: Box<str>,
    /// The stage it is connected to.
    pub stage: Box<str>,
    /// The client's address.
    pub source_ip: IpAddr,
    /// What the client calls itself.
    pub user_agent: Option<Bytes>,
    /// When its handshake began.
    pub connected_at: SystemTime,
    last_active_ms: AtomicU64,
    /// How many bytes may wait to be sent.
    queue_bytes_max: usize,
    mailbox: Mutex<Mailbox>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("id", &self.id).field("api_id", &self.api_id).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Mailbox {
    messages: VecDeque<Bytes>,
    /// Those in the mailbox and those that the task has taken and not written yet.
    bytes: usize,
    close: Option<(u16, &'static str)>,
    is_shut: bool,
    waker: Option<Waker>,
}

/// What somebody left for a connection.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A message for the client.
    Message(Bytes),
    /// It is to close.
    Close(u16, &'static str),
}

/// Why a message is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The connection is closed or closing.
    #[error("the connection is gone")]
    Gone,
    /// The client does not read as fast as it is sent to.
    #[error("too much waits for the client already")]
    Full,
}

/// What `GetConnection` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionDetails {
    /// When its handshake began.
    pub connected_at: SystemTime,
    /// When the last message came or went.
    pub last_active_at: SystemTime,
    /// The client's address.
    pub source_ip: IpAddr,
    /// What the client calls itself; empty if it does not.
    pub user_agent: String,
}

impl Handle {
    pub(crate) fn new(
        id: ConnectionId,
        (api_id, stage): (&str, &str),
        source_ip: IpAddr,
        user_agent: Option<Bytes>,
        connected_at: SystemTime,
        queue_bytes_max: usize,
    ) -> Self {
        Self {
            id,
            api_id: api_id.into(),
            stage: stage.into(),
            source_ip,
            user_agent,
            connected_at,
            last_active_ms: AtomicU64::new(epoch_ms(connected_at)),
            queue_bytes_max,
            mailbox: Mutex::default(),
        }
    }

    /// Sends the client a text message: from any thread, without waiting for it to be written.
    ///
    /// # Errors
    /// [`PostError`]; nothing is sent then.
    pub fn post(&self, message: Bytes) -> Result<(), PostError> {
        let mut mailbox = lock(&self.mailbox);
        if mailbox.is_shut || mailbox.close.is_some() {
            return Err(PostError::Gone);
        }
        // One message is always taken, however long it is.
        if mailbox.bytes > 0 && mailbox.bytes + message.len() > self.queue_bytes_max {
            return Err(PostError::Full);
        }
        mailbox.bytes += message.len();
        mailbox.messages.push_back(message);
        wake(mailbox);
        self.touch();
        Ok(())
    }

    /// Closes the connection with a status, after what was posted before. From any thread.
    pub fn close(&self, status: u16, reason: &'static str) {
        let mut mailbox = lock(&self.mailbox);
        mailbox.close.get_or_insert((status, reason));
        wake(mailbox);
    }

    /// What `GetConnection` tells.
    #[must_use]
    pub fn details(&self) -> ConnectionDetails {
        let user_agent = self.user_agent.as_ref().map(|agent| String::from_utf8_lossy(agent).into_owned());
        ConnectionDetails {
            connected_at: self.connected_at,
            last_active_at: SystemTime::UNIX_EPOCH + Duration::from_millis(self.last_active_ms.load(Relaxed)),
            source_ip: self.source_ip,
            user_agent: user_agent.unwrap_or_default(),
        }
    }

    /// Notes that a message came or went.
    pub(crate) fn touch(&self) {
        self.last_active_ms.store(epoch_ms(SystemTime::now()), Relaxed);
    }

    /// The next thing that somebody left. With none, the task is woken when there is one.
    pub(crate) fn next_mail(&self, context: &Context<'_>) -> Option<Mail> {
        let mut mailbox = lock(&self.mailbox);
        if let Some(message) = mailbox.messages.pop_front() {
            return Some(Mail::Message(message));
        }
        if mailbox.messages.capacity() > 0 {
            mailbox.messages = VecDeque::new();
        }
        if let Some((status, reason)) = mailbox.close {
            return Some(Mail::Close(status, reason));
        }
        if mailbox.waker.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            mailbox.waker = Some(context.waker().clone());
        }
        None
    }

    /// Notes that so much of what was taken has been written.
    pub(crate) fn sent(&self, bytes: usize) {
        let mut mailbox = lock(&self.mailbox);
        mailbox.bytes = mailbox.bytes.saturating_sub(bytes);
    }

    /// Takes nothing any more.
    fn shut(&self) {
        *lock(&self.mailbox) = Mailbox { is_shut: true, ..Mailbox::default() };
    }
}

/// Wakes a connection's task after the mailbox has been let go, so that it does not wait for that.
fn wake(mut mailbox: MutexGuard<'_, Mailbox>) {
    let waker = mailbox.waker.take();
    drop(mailbox);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn epoch_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(api: &str, stage: &str) -> Arc<Handle> {
        let id = ConnectionId::unique();
        let peer = IpAddr::from([127, 0, 0, 1]);
        Arc::new(Handle::new(id, (api, stage), peer, None, SystemTime::UNIX_EPOCH, 10))
    }

    #[test]
    fn connections_are_found_by_those_they_belong_to() {
        let connections = Connections::default();
        let handles: Vec<_> = (0..1000).map(|_| handle("a", "dev")).collect();
        for handle in &handles {
            connections.insert(Arc::clone(handle));
        }
        assert_eq!(connections.len(), 1000);
        let id = handles[7].id.to_string();
        let check = |api: &str, stage: &str, id: &str, expected: bool| {
            assert_eq!(connections.find(api, stage, id).is_some(), expected, "{api} {stage} {id}");
        };
        check("a", "dev", &id, true);
        check("b", "dev", &id, false);
        check("a", "prod", &id, false);
        check("a", "dev", "L0SM9cOFvHcCIhw=", false);
        check("a", "dev", "", false);
        for handle in &handles {
            connections.remove(handle);
        }
        check("a", "dev", &id, false);
        assert!(connections.is_empty());
        assert_eq!(handles[7].post(Bytes::new()), Err(PostError::Gone));
    }

    #[test]
    fn a_mailbox_is_bounded_and_keeps_the_order() {
        let handle = handle("a", "dev");
        let context = Context::from_waker(Waker::noop());
        let post = |text: &'static str| handle.post(Bytes::from_static(text.as_bytes()));
        assert_eq!(post("longer than all that may wait"), Ok(()));
        assert_eq!(post("x"), Err(PostError::Full));
        assert!(matches!(handle.next_mail(&context), Some(Mail::Message(text)) if text.len() == 29));
        assert_eq!(post("x"), Err(PostError::Full));
        handle.sent(29);
        assert_eq!((post("x"), post("y")), (Ok(()), Ok(())));
        handle.close(1000, "");
        handle.close(1001, "");
        assert_eq!(post("z"), Err(PostError::Gone));
        assert!(matches!(handle.next_mail(&context), Some(Mail::Message(text)) if text == "x"));
        assert!(matches!(handle.next_mail(&context), Some(Mail::Message(text)) if text == "y"));
        assert!(matches!(handle.next_mail(&context), Some(Mail::Close(1000, ""))));
    }
}
