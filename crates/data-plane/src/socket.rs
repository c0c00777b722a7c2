//! A TCP connection whose small reads and writes go to the kernel directly.
//!
//! The system's library makes each such call a point at which a thread can be cancelled, which costs as much as a tenth of
//! the call and is of no use here.

use std::io::{self, IoSlice};
use std::net::TcpStream as StdStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A connection that the event loop watches.
#[derive(Debug)]
pub(crate) struct Socket(TcpStream);

impl Socket {
    /// A connection that does not block, watched from now on.
    pub(crate) fn watch(stream: StdStream) -> io::Result<Self> {
        TcpStream::from_std(stream).map(Self)
    }

    /// Whether the event loop may have heard of something that the peer has sent, or of its end.
    pub(crate) fn may_have_news(&self) -> bool {
        self.0.try_io(Interest::READABLE, || Ok(())).is_ok()
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs a call that moves bytes. One that moves fewer than there were is over for now: the event loop is told to wait for
/// more, as if the call had been made once more and refused.
fn call(
    stream: &TcpStream,
    interest: Interest,
    wanted: usize,
    call: impl FnOnce() -> rustix::io::Result<usize>,
) -> Option<io::Result<usize>> {
    let mut moved = None;
    let outcome = stream.try_io(interest, || {
        let count = call()?;
        moved = Some(count);
        if count > 0 && count < wanted { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    });
    match (moved, outcome) {
        (Some(count), _) => Some(Ok(count)),
        (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
        (None, outcome) => Some(outcome),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &mut self.get_mut().0;
        if buffer.initialized().len() < buffer.capacity() {
            // To clear memory for a large read costs more than is won.
            return Pin::new(stream).poll_read(context, buffer);
        }
        let room = buffer.initialize_unfilled();
        let wanted = room.len();
        loop {
            ready!(stream.poll_read_ready(context))?;
            let read = || rustix::net::recv(&*stream, &mut *room, RecvFlags::empty()).map(|(_, count)| count);
            if let Some(read) = call(stream, Interest::READABLE, wanted, read) {
                buffer.advance(read?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = &self.get_mut().0;
        loop {
            ready!(stream.poll_write_ready(context))?;
            let write = || rustix::net::send(stream, bytes, SendFlags::NOSIGNAL);
            if let Some(written) = call(stream, Interest::WRITABLE, bytes.len(), write) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TCP keeps nothing back here.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}
