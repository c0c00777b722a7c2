//! The connection of our own bootstraps: an inherited socket, and messages as short as can be.
//!
//! A process that has just answered waits for its next event in a blocking read, so a warm call costs it one read and
//! one write, and no turn of an event loop. Foreign executables speak the Runtime API instead (`runtime_api`).
//!
//! An event: the lengths of its head and of its payload, how many events follow it at once (32 bits each), when it has to
//! be done (64 bits, in ms since 1970; all little endian), the head (lines: request id, function ARN, trace id, client
//! context) and the payload. What a process says: one letter, the length of what follows (32 bits, little endian), and
//! that. The letters stand in [`Link::frame`].
//!
//! **Several events.** A process may be sent several at once, which it works on one after the other (`ahead`). What it
//! says about any but the last goes to a second socket, which nobody waits for: the gateway is not woken for each answer,
//! and those that are there are not lost if the process dies. Whatever is there was said before anything on the first.
//!
//! A process is trusted no further than its own function: whatever it sends costs a bounded amount of memory.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::thread::{self, ThreadId};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::outcome::RESULT_BYTES_MAX;

/// The letter and the length.
const FRAME_HEAD_BYTES: usize = 5;
/// The longest `Content-Type` that is taken, in bytes.
const CONTENT_TYPE_BYTES_MAX: usize = 8 * 1024;
/// How much is read at a time, at least, in bytes.
const READ_BYTES: usize = 8 * 1024;
/// How much a process may say aside between two readings, in bytes; more than such a socket holds.
const ASIDE_BYTES_MAX: usize = 1024 * 1024;
/// How many pieces are sent at a time: those of sixteen events.
const PIECES_MAX: usize = 48;

/// What a process says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The handler is loaded, or done with an invocation whose streamed result has ended.
    Ready,
    /// The handler could not be loaded: JSON.
    InitError(Bytes),
    /// The result: JSON.
    Result(Bytes),
    /// A result, or an error, that is larger than it may be. It has been thrown away.
    TooLarge,
    /// The invocation failed: JSON.
    Error(Bytes),
    /// A streamed result begins; its `Content-Type`.
    Begin(String),
    /// A part of it.
    Piece(Bytes),
    /// It has ended.
    End,
    /// It has broken off: JSON.
    Broken(Bytes),
    /// The process ends on account of something earlier, and its handler has not seen the event.
    Unread,
    /// The handler takes its time, and the process has forgotten the events that follow.
    GivenBack,
}

/// Where in what a process says we are.
#[derive(Clone, Copy)]
enum Place {
    Head,
    Whole { letter: u8, length: usize },
    Piece { left: usize },
    Skipped { left: usize },
}

/// The gateway's end of a process's socket, and what has been read of it too early.
pub(crate) struct Link {
    stream: UnixStream,
    /// The thread whose event loop watches it.
    home: ThreadId,
    said: Said,
    aside: Option<(StdUnixStream, Said)>,
}

/// What has been read of one socket, and not been used.
struct Said {
    place: Place,
    buffer: BytesMut,
}

impl Said {
    fn new() -> Self {
        Self { place: Place::Head, buffer: BytesMut::new() }
    }

    fn frame(&mut self) -> io::Result<Option<Frame>> {
        parse(&mut self.place, &mut self.buffer)
    }
}

impl Link {
    /// Watches a socket in the event loop of this thread. Only with a second one, for what is said aside, may the process
    /// be sent several events at once.
    pub(crate) fn new(socket: StdUnixStream, aside: Option<StdUnixStream>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        if let Some(aside) = &aside {
            aside.set_nonblocking(true)?;
        }
        Ok(Self {
            stream: UnixStream::from_std(socket)?,
            home: thread::current().id(),
            said: Said::new(),
            aside: aside.map(|socket| (socket, Said::new())),
        })
    }

    /// Whether the process may be sent several events at once.
    pub(crate) fn takes_several(&self) -> bool {
        self.aside.is_some()
    }

    /// Whether this thread's event loop watches it.
    pub(crate) fn is_at_home(&self) -> bool {
        self.home == thread::current().id()
    }

    /// Has this thread's event loop watch it from now on: what arrives need not cross threads then.
    pub(crate) fn move_here(self) -> io::Result<Self> {
        if self.is_at_home() {
            return Ok(self);
        }
        let stream = UnixStream::from_std(self.stream.into_std()?)?;
        Ok(Self { stream, home: thread::current().id(), ..self })
    }

    /// Sends what is left, and takes it off. May be dropped and called again.
    pub(crate) async fn send(&mut self, unsent: &mut VecDeque<Bytes>) -> io::Result<()> {
        loop {
            while unsent.front().is_some_and(Bytes::is_empty) {
                unsent.pop_front();
            }
            if unsent.is_empty() {
                return Ok(());
            }
            let mut pieces = [io::IoSlice::new(&[]); PIECES_MAX];
            for (place, piece) in pieces.iter_mut().zip(unsent.iter()) {
                *place = io::IoSlice::new(piece);
            }
            let mut sent = self.stream.write_vectored(&pieces).await?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            while let Some(piece) = unsent.front_mut() {
                let of_piece = sent.min(piece.len());
                piece.advance(of_piece);
                sent -= of_piece;
                if !piece.is_empty() {
                    break;
                }
                unsent.pop_front();
            }
        }
    }

    /// Waits for more, and keeps it; an error at the end.
    pub(crate) async fn read(&mut self) -> io::Result<()> {
        let Said { place, buffer } = &mut self.said;
        let wanted = match *place {
            Place::Whole { length, .. } => length.saturating_sub(buffer.len()),
            _ => 0,
        };
        buffer.reserve(wanted.max(READ_BYTES));
        let size = self.stream.read_buf(buffer).await?;
        if size == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Keeps what is there, without waiting. False if there is nothing.
    ///
    /// The system is asked itself: the event loop may not have heard yet of what a process said last.
    pub(crate) fn read_now(&mut self) -> bool {
        let mut part = [0; READ_BYTES];
        loop {
            match rustix::io::read(&self.stream, &mut part) {
                Ok(size) => {
                    self.said.buffer.extend_from_slice(part.get(..size).unwrap_or_default());
                    return size > 0;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Keeps what has been said aside, without waiting. False if there is nothing.
    pub(crate) fn read_aside(&mut self) -> io::Result<bool> {
        let Some((socket, said)) = &mut self.aside else { return Ok(false) };
        let (mut chunk, mut taken) = ([0; READ_BYTES], 0);
        loop {
            match socket.read(&mut chunk) {
                Ok(0) => break,
                Ok(size) => {
                    said.buffer.extend_from_slice(chunk.get(..size).unwrap_or_default());
                    taken += size;
                    if taken > ASIDE_BYTES_MAX {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "a process says too much"));
                    }
                    // Whole messages are written at a time, so a part of one is no more than a chunk's.
                    if size < chunk.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        Ok(taken > 0)
    }

    /// The next message, if it has been read; pieces of a stream as far as they have been.
    pub(crate) fn frame(&mut self) -> io::Result<Option<Frame>> {
        if let Some((_, said)) = &mut self.aside
            && !said.buffer.is_empty()
            && let Some(frame) = said.frame()?
        {
            return Ok(Some(frame));
        }
        self.said.frame()
    }
}

fn parse(place: &mut Place, buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
    loop {
        match *place {
            Place::Head => {
                let Some((&[letter, a, b, c, d], _)) = buffer.split_first_chunk::<FRAME_HEAD_BYTES>() else {
                    return Ok(None);
                };
                buffer.advance(FRAME_HEAD_BYTES);
                let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                *place = match letter {
                    b'P' => Place::Piece { left: length },
                    b'S' | b'E' | b'X' | b'I' if length > RESULT_BYTES_MAX => Place::Skipped { left: length },
                    b'S' | b'E' | b'X' | b'I' => Place::Whole { letter, length },
                    b'C' if length <= CONTENT_TYPE_BYTES_MAX => Place::Whole { letter, length },
                    b'R' | b'F' | b'U' | b'G' if length == 0 => Place::Whole { letter, length },
                    _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "no message of a bootstrap")),
                };
            }
            Place::Whole { letter, length } => {
                if buffer.len() < length {
                    return Ok(None);
                }
                let content = buffer.split_to(length).freeze();
                *place = Place::Head;
                return Ok(Some(match letter {
                    b'S' => Frame::Result(content),
                    b'E' => Frame::Error(content),
                    b'X' => Frame::Broken(content),
                    b'I' => Frame::InitError(content),
                    b'C' => Frame::Begin(String::from_utf8_lossy(&content).into_owned()),
                    b'R' => Frame::Ready,
                    b'U' => Frame::Unread,
                    b'G' => Frame::GivenBack,
                    _ => Frame::End,
                }));
            }
            Place::Piece { left: 0 } => *place = Place::Head,
            Place::Piece { left } => {
                if buffer.is_empty() {
                    return Ok(None);
                }
                let piece = buffer.split_to(left.min(buffer.len())).freeze();
                *place = Place::Piece { left: left - piece.len() };
                return Ok(Some(Frame::Piece(piece)));
            }
            Place::Skipped { left: 0 } => {
                *place = Place::Head;
                return Ok(Some(Frame::TooLarge));
            }
            Place::Skipped { left } => {
                if buffer.is_empty() {
                    return Ok(None);
                }
                let skipped = left.min(buffer.len());
                buffer.advance(skipped);
                *place = Place::Skipped { left: left - skipped };
            }
        }
    }
}

/// The lines of an event's head.
pub(crate) fn event_lines(lines: [&str; 4]) -> Bytes {
    let mut head = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
    for line in lines {
        // A line break in a value would be a line of its own.
        if line.bytes().any(|byte| byte.is_ascii_control()) {
            head.extend(line.bytes().filter(|byte| !byte.is_ascii_control()));
        } else {
            head.extend_from_slice(line.as_bytes());
        }
        head.push(b'\n');
    }
    head.into()
}

/// What stands before an event's head. `following` is how many events are sent behind it.
pub(crate) fn event_start(lines: &Bytes, payload: &Bytes, following: usize, deadline_ms: u64) -> Bytes {
    // Events are at most 6 MB.
    let [head, payload, following] = [lines.len(), payload.len(), following]
        .map(|number| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    let start = [head.as_slice(), &payload, &following, &deadline_ms.to_le_bytes()].concat();
    start.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads messages that arrive in parts of `step` bytes.
    fn read(bytes: &[u8], step: usize) -> Result<Vec<Frame>, io::ErrorKind> {
        let (mut place, mut buffer, mut found) = (Place::Head, BytesMut::new(), Vec::new());
        for part in bytes.chunks(step) {
            buffer.extend_from_slice(part);
            while let Some(frame) = parse(&mut place, &mut buffer).map_err(|error| error.kind())? {
                found.push(frame);
            }
        }
        Ok(found)
    }

    fn message(letter: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![letter];
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn messages_are_read() {
        let said = [
            message(b'R', b""),
            message(b'S', b"{}"),
            message(b'E', b"no"),
            message(b'C', b"a/b"),
            message(b'P', b"xy"),
            message(b'P', b""),
            message(b'F', b""),
            message(b'I', b"i"),
            message(b'X', b"x"),
            message(b'U', b""),
            message(b'G', b""),
        ]
        .concat();
        let expected = [
            Frame::Ready,
            Frame::Result("{}".into()),
            Frame::Error("no".into()),
            Frame::Begin("a/b".to_owned()),
            Frame::Piece("xy".into()),
            Frame::End,
            Frame::InitError("i".into()),
            Frame::Broken("x".into()),
            Frame::Unread,
            Frame::GivenBack,
        ];
        assert_eq!(read(&said, 1000).unwrap(), expected);
        for strange in [message(b'Z', b""), message(b'R', b"x"), message(b'C', &[b'x'; 10_000])] {
            assert_eq!(read(&strange, 1000), Err(io::ErrorKind::InvalidData));
        }
    }

    /// The event loop has no turn between the two, and so goes on believing that there is nothing.
    #[tokio::test]
    async fn what_was_said_last_is_read_though_the_event_loop_has_not_heard_of_it() {
        use std::io::Write as _;
        let (ours, mut theirs) = StdUnixStream::pair().unwrap();
        let mut link = Link::new(ours, None).unwrap();
        let waited = tokio::time::timeout(std::time::Duration::from_millis(20), link.read()).await;
        assert!(waited.is_err());
        theirs.write_all(&message(b'S', b"{}")).unwrap();
        drop(theirs);
        assert!(link.read_now());
        assert_eq!(link.frame().unwrap(), Some(Frame::Result("{}".into())));
        assert!(!link.read_now());
    }

    #[test]
    fn what_is_too_large_is_thrown_away() {
        let said = [message(b'S', &vec![b'x'; RESULT_BYTES_MAX + 1]), message(b'S', b"{}")].concat();
        assert_eq!(read(&said, 4096).unwrap(), [Frame::TooLarge, Frame::Result("{}".into())]);
    }

    #[test]
    fn the_head_of_an_event_is_lines() {
        let lines = event_lines(["r-1", "arn", "", "{\"a\":\n1}"]);
        assert_eq!(&lines[..], b"r-1\narn\n\n{\"a\":1}\n");
        let start = event_start(&lines, &"{}?".into(), 2, 258);
        assert_eq!(&start[..], b"\x11\0\0\0\x03\0\0\0\x02\0\0\0\x02\x01\0\0\0\0\0\0");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_parts_say_the_same(
            bytes in proptest::collection::vec(prop_oneof![Just(b'S'), Just(b'E'), Just(0), any::<u8>()], 0..200),
            step in 1_usize..20,
        ) {
            let shown = |found: Result<Vec<Frame>, _>| found.map(|frames| {
                let whole = frames.into_iter().filter(|frame| !matches!(frame, Frame::Piece(_)));
                whole.collect::<Vec<_>>()
            });
            prop_assert_eq!(shown(read(&bytes, step)), shown(read(&bytes, 1000)));
        }
    }
}
