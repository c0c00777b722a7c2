//! Connections from clients, taken from the kernel with as few calls to it as possible.
//!
//! A connection is taken when its first bytes are there. One that brings its request along, gets its answer and is closed
//! never needs the event loop. So the event loop hears of a stream only once it has to be waited for; for clients that connect
//! anew for each request this saves two system calls of six.

use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::SocketFlags;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::socket::Socket;

/// The most that the first read takes. What is read is copied once: that costs less than clearing the memory that it
/// could be read into.
const FIRST_READ_BYTES_MAX: usize = 4 * 1024;

/// A socket that clients connect to.
pub(crate) struct Acceptor(AsyncFd<StdListener>);

impl Acceptor {
    /// Over a socket that does not block.
    #[expect(deprecated, reason = "what took its place is `unsafe`, for types whose descriptor may change")]
    pub(crate) fn new(socket: StdListener) -> io::Result<Self> {
        AsyncFd::with_interest(socket, Interest::READABLE).map(Self)
    }

    /// The next connection. Dropping the future loses none.
    pub(crate) async fn accept(&self) -> io::Result<(ClientStream, SocketAddr)> {
        self.0.async_io(Interest::READABLE, accept).await
    }
}

fn accept(socket: &StdListener) -> io::Result<(ClientStream, SocketAddr)> {
    let (fd, peer) = rustix::net::acceptfrom_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer =
        peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((ClientStream::Unwatched { stream: Some(StdStream::from(fd)), has_read: false }, peer))
}

/// A connection from a client.
#[derive(Debug)]
pub(crate) enum ClientStream {
    /// The event loop does not know it.
    Unwatched {
        /// `None` if it could not be handed to the event loop.
        stream: Option<StdStream>,
        /// Whether the first read is over. A second one is better waited for.
        has_read: bool,
    },
    /// The event loop watches it.
    Watched(Socket),
}

impl ClientStream {
    fn watched(&mut self) -> io::Result<Pin<&mut Socket>> {
        if let Self::Unwatched { stream, .. } = self {
            let stream = stream.take().ok_or(io::ErrorKind::NotConnected)?;
            *self = Self::Watched(Socket::watch(stream)?);
        }
        match self {
            Self::Watched(stream) => Ok(Pin::new(stream)),
            Self::Unwatched { .. } => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes while the event loop does not have to be asked; `None` if it has to be.
    fn write_unwatched(
        &self,
        write: impl FnOnce(&StdStream) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let Self::Unwatched { stream: Some(stream), .. } = self else { return None };
        Some(write(stream)).filter(|written| !would_block(written))
    }
}

fn would_block(result: &io::Result<usize>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Self::Unwatched { stream: Some(stream), has_read: has_read @ false } = this {
            *has_read = true;
            let mut room = [const { MaybeUninit::uninit() }; FIRST_READ_BYTES_MAX];
            let room = room.get_mut(..buffer.remaining().min(FIRST_READ_BYTES_MAX)).unwrap_or_default();
            match rustix::io::read(&*stream, room) {
                Ok((read, _)) => {
                    buffer.put_slice(read);
                    return Poll::Ready(Ok(()));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        this.watched()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.write_unwatched(|mut stream| stream.write(bytes)) {
            Some(written) => Poll::Ready(written),
            None => this.watched()?.poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.write_unwatched(|mut stream| stream.write_vectored(slices)) {
            Some(written) => Poll::Ready(written),
            None => this.watched()?.poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TCP keeps nothing back here.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unwatched { stream: Some(stream), .. } => Poll::Ready(stream.shutdown(Shutdown::Write)),
            Self::Unwatched { .. } => Poll::Ready(Ok(())),
            Self::Watched(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (Acceptor, StdStream) {
        let socket = StdListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let client = StdStream::connect(socket.local_addr().unwrap()).unwrap();
        (Acceptor::new(socket).unwrap(), client)
    }

    #[tokio::test]
    async fn a_request_that_is_there_is_answered_without_the_event_loop() {
        let (acceptor, mut client) = pair();
        client.write_all(b"hello").unwrap();
        let (mut stream, peer) = acceptor.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let mut buffer = [0; 5];
        stream.read_exact(&mut buffer).await.unwrap();
        stream.write_all(b"HELLO").await.unwrap();
        assert!(matches!(stream, ClientStream::Unwatched { .. }));
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!((&buffer, answer.as_str()), (b"hello", "HELLO"));
    }

    #[tokio::test]
    async fn what_has_to_be_waited_for_is_waited_for() {
        let (acceptor, mut client) = pair();
        let (mut stream, _) = acceptor.accept().await.unwrap();
        let writer = std::thread::spawn(move || {
            client.write_all(&[b'x'; 100_000]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            answer.len()
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), 100_000);
        // More than the socket's buffers hold, so that a write has to wait.
        stream.write_all(&vec![b'y'; 20_000_000]).await.unwrap();
        assert!(matches!(stream, ClientStream::Watched(_)));
        drop(stream);
        assert_eq!(tokio::task::spawn_blocking(|| writer.join().unwrap()).await.unwrap(), 20_000_000);
    }
}
