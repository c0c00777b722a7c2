//! A byte stream with what has been read from it and not yet used.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The least room that a read gets.
const READ_BYTES_MIN: usize = 4 * 1024;
/// What a read gets that is after the head of a message, which seldom is longer.
const HEAD_READ_BYTES_MAX: usize = 8 * 1024;
/// How long a peer may take none of what is written to it. One that reads slowly keeps its connection; one that has
/// stopped reading does not hold it for ever.
const WRITE_STALL_MAX: Duration = Duration::from_secs(60);

thread_local! {
    /// What heads are read into, on all of a thread's connections: this memory stays in the processor's caches, and
    /// connections that wait hold none.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

#[derive(Debug)]
pub(crate) struct Transport<S> {
    pub(crate) io: S,
    pub(crate) buffer: BytesMut,
    /// What is to be written next, from `written` on.
    pub(crate) out: Vec<u8>,
    written: usize,
    /// Whether that waits for the end of the turn.
    pub(crate) is_queued: bool,
    /// Whose task has to be told what comes of that.
    pub(crate) waker: Option<Waker>,
    /// Runs while a write waits for the peer.
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Transport<S> {
    pub(crate) fn new(io: S) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            out: Vec::new(),
            written: 0,
            is_queued: false,
            waker: None,
            write_timer: None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    /// Reads once, with a head in mind. Zero means that the peer has closed its side.
    pub(crate) fn poll_fill_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = SCRATCH.take();
        if scratch.is_empty() {
            scratch = vec![0; HEAD_READ_BYTES_MAX];
        }
        let mut room = ReadBuf::new(&mut scratch);
        let polled = Pin::new(&mut self.io).poll_read(context, &mut room);
        let length = room.filled().len();
        self.buffer.extend_from_slice(room.filled());
        SCRATCH.set(scratch);
        ready!(polled)?;
        Poll::Ready(Ok(length))
    }

    /// Reads once, into room for at least `wanted` bytes. Zero means that the peer has closed its side.
    pub(crate) fn poll_fill(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let wanted = wanted.max(READ_BYTES_MIN);
        if self.buffer.capacity() - self.buffer.len() < wanted {
            self.buffer.reserve(wanted);
        }
        // The future keeps nothing between polls, so a new one each time is the same read.
        pin!(self.io.read_buf(&mut self.buffer)).poll(context)
    }

    /// Whether something is left to write that nobody is going to write at the end of the turn.
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.out.is_empty() && !self.is_queued
    }

    /// Writes what is in `out`, then `more`, until nothing remains.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        more: &mut impl Buf,
    ) -> Poll<io::Result<()>> {
        loop {
            let left = self.out.get(self.written..).unwrap_or_default();
            let in_out = left.len();
            let bytes = Buf::chain(left, &mut *more);
            let mut slices = [IoSlice::new(&[]); 4];
            let count = bytes.chunks_vectored(&mut slices);
            let io = Pin::new(&mut self.io);
            let written = match slices.get(..count).unwrap_or_default() {
                [] => {
                    ready!(io.poll_flush(context))?;
                    self.out.clear();
                    self.written = 0;
                    return Poll::Ready(Ok(()));
                }
                // A plain write is the cheaper system call.
                [only] => io.poll_write(context, only),
                several => io.poll_write_vectored(context, several),
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    let of_out = written.min(in_out);
                    self.written += of_out;
                    more.advance(written - of_out);
                    self.write_timer = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL_MAX)));
                    return timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
    }

    /// Notes whose task queues something.
    pub(crate) fn queued_by(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// Writes what is in `out` because the turn is at its end, and gives the waker of the task that had it written. Whatever
    /// prevents it is met once more by that task, which is woken for that.
    pub(crate) fn write_queued(&mut self) -> Option<Waker> {
        self.is_queued = false;
        let waker = self.waker.take()?;
        if let Poll::Ready(Err(_)) = self.poll_write(&mut Context::from_waker(&waker), &mut &[][..]) {
            waker.wake_by_ref();
        }
        Some(waker)
    }
}
