//! A client that is cheap enough to hold 100,000 WebSocket connections: what `benches/websocket` measures servers with.
//!
//! `load hold PORT PATH COUNT,COUNT…` opens more and more connections and times messages on a few of them;
//! `load cycle PORT PATH COUNT` connects, sends, and disconnects; `load push PORT PATH COUNT MESSAGES` opens connections,
//! prints what each is told first (its id), and reads one HTTP request for each from its standard input, which it then
//! posts in turn. Between its steps it prints a line and waits for one, so that whoever runs it can look at the server.
//! Everything happens on one thread and on loopback addresses; a server that answers anything else than what it is
//! expected to answer ends the program.

#![allow(
    clippy::indexing_slicing,
    reason = "what a server answers that is not as expected may end this program in any way"
)]

use std::io::{self, BufRead as _, Error, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

const TEXT: &[u8] = br#"{"action":"echo","text":"hello hello hello"}"#;
/// How many connections are made at the same time.
const AT_ONCE: usize = 64;
/// The client's addresses, so that none runs out of ports.
const ADDRESSES: usize = 16;
/// How many connections messages are timed on, and how many messages.
const ACTIVE: usize = 100;
const ECHOES: usize = 20_000;
/// How many connections requests are posted on.
const POSTERS: usize = 16;

#[derive(Clone)]
struct Server {
    port: u16,
    path: Arc<str>,
}

impl Server {
    /// Makes a connection, from one of several addresses.
    async fn connect(&self, number: usize) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        let address = Ipv4Addr::new(127, 0, 1, u8::try_from(number % ADDRESSES).unwrap_or_default() + 1);
        socket.bind(SocketAddr::from((address, 0)))?;
        let mut link = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).await?;
        link.set_nodelay(true)?;
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: load/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.path, self.port
        );
        link.write_all(head.as_bytes()).await?;
        answered(&mut link, b"HTTP/1.1 101 ").await?;
        Ok(link)
    }

    async fn connect_many(&self, numbers: std::ops::Range<usize>) -> io::Result<Vec<TcpStream>> {
        let (mut links, mut running) = (Vec::with_capacity(numbers.len()), JoinSet::new());
        for number in numbers {
            if running.len() == AT_ONCE {
                links.push(joined(&mut running).await?);
            }
            let server = self.clone();
            running.spawn(async move { server.connect(number).await });
        }
        while !running.is_empty() {
            links.push(joined(&mut running).await?);
        }
        Ok(links)
    }
}

async fn joined<T: 'static>(running: &mut JoinSet<io::Result<T>>) -> io::Result<T> {
    running.join_next().await.ok_or_else(|| Error::other("nothing runs"))?.map_err(Error::other)?
}

/// Reads the head of an answer without a body.
async fn answered(link: &mut TcpStream, expected: &[u8]) -> io::Result<()> {
    let (mut head, mut length) = ([0; 2048], 0);
    while !head[..length].ends_with(b"\r\n\r\n") {
        let read = link.read(&mut head[length..]).await?;
        if read == 0 {
            return Err(Error::other(format!("ended after {:?}", String::from_utf8_lossy(&head[..length]))));
        }
        length += read;
    }
    if !head.starts_with(expected) {
        return Err(Error::other(format!("answered {:?}", String::from_utf8_lossy(&head[..length]))));
    }
    Ok(())
}

async fn send(link: &mut TcpStream, opcode: u8, payload: &[u8]) -> io::Result<()> {
    // A key of zeros masks nothing.
    let length =
        u8::try_from(payload.len()).ok().filter(|length| *length < 126).ok_or(io::ErrorKind::InvalidInput)?;
    let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    link.write_all(&frame).await
}

/// Reads one short frame.
async fn receive(link: &mut TcpStream) -> io::Result<([u8; 128], usize)> {
    let mut frame = [0; 128];
    let mut length = 0;
    loop {
        let read = link.read(&mut frame[length..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += read;
        if length >= 2 && usize::from(frame[1]) + 2 <= length {
            return Ok((frame, length));
        }
    }
}

async fn echo(link: &mut TcpStream) -> io::Result<()> {
    send(link, 1, TEXT).await?;
    let (frame, length) = receive(link).await?;
    if frame[0] != 0x81 || &frame[2..length] != TEXT {
        return Err(Error::other(format!("echoed {:?}", String::from_utf8_lossy(&frame[..length]))));
    }
    Ok(())
}

/// Tells how far things are, and waits to be told to go on.
fn step(text: &str) -> io::Result<()> {
    println!("{text}");
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

async fn hold(server: Server, counts: &[usize]) -> io::Result<()> {
    let mut links: Vec<TcpStream> = Vec::new();
    for count in counts {
        let begun = Instant::now();
        let new = server.connect_many(links.len()..*count).await?;
        let rate = new.len() as f64 / begun.elapsed().as_secs_f64();
        links.extend(new);
        let stride = (links.len() / ACTIVE).max(1);
        let mut times = Vec::with_capacity(ECHOES);
        for number in 0..ECHOES {
            let at = number % ACTIVE * stride;
            let link = links.get_mut(at).ok_or(io::ErrorKind::NotFound)?;
            let begun = Instant::now();
            echo(link).await?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let share = |part: f64| microseconds(times[((times.len() - 1) as f64 * part) as usize]);
        step(&format!("{} {rate:.0} {:.1} {:.1} {:.1}", links.len(), share(0.5), share(0.99), share(0.999)))?;
    }
    Ok(())
}

async fn cycle(server: Server, count: usize) -> io::Result<()> {
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..count {
        if running.len() == AT_ONCE {
            joined(&mut running).await?;
        }
        let server = server.clone();
        running.spawn(async move {
            let mut link = server.connect(number).await?;
            echo(&mut link).await?;
            // Every second one ends as it should, the others just end.
            if number % 2 == 0 {
                send(&mut link, 8, &[]).await?;
                receive(&mut link).await?;
            }
            Ok(())
        });
    }
    while !running.is_empty() {
        joined(&mut running).await?;
    }
    step(&format!("{:.0}", count as f64 / begun.elapsed().as_secs_f64()))
}

async fn push(server: Server, count: usize, messages: usize) -> io::Result<()> {
    let mut links = server.connect_many(0..count).await?;
    for link in &mut links {
        send(link, 1, TEXT).await?;
        let (frame, length) = receive(link).await?;
        println!("{}", String::from_utf8_lossy(&frame[2..length]));
    }
    println!();
    let mut requests = String::new();
    for _ in 0..count {
        let mut length = String::new();
        io::stdin().lock().read_line(&mut length)?;
        let mut request = vec![0; length.trim().parse().map_err(Error::other)?];
        io::stdin().lock().read_exact(&mut request)?;
        requests.push_str(&String::from_utf8(request).map_err(Error::other)?);
        requests.push('\0');
    }
    let requests: Arc<[Box<[u8]>]> =
        requests.split_terminator('\0').map(|request| request.as_bytes().into()).collect();
    let received = Arc::new(AtomicUsize::new(0));
    let mut readers = JoinSet::new();
    for mut link in links {
        let received = Arc::clone(&received);
        readers.spawn(async move {
            let (mut buffer, mut waiting) = ([0; 512], 0);
            loop {
                let read = link.read(&mut buffer[waiting..]).await?;
                if read == 0 {
                    return io::Result::Ok(());
                }
                waiting += read;
                // Every message is as long as the first.
                let whole = usize::from(buffer[1]) + 2;
                received.fetch_add(waiting / whole, Relaxed);
                let rest = waiting % whole;
                buffer.copy_within(waiting - rest..waiting, 0);
                waiting = rest;
            }
        });
    }
    step("ready")?;
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut posters = JoinSet::new();
    for _ in 0..POSTERS {
        let (next, requests) = (Arc::clone(&next), Arc::clone(&requests));
        let mut link = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).await?;
        link.set_nodelay(true)?;
        posters.spawn(async move {
            loop {
                let number = next.fetch_add(1, Relaxed);
                let request = requests.get(number % requests.len()).filter(|_| number < messages);
                let Some(request) = request else { return io::Result::Ok(()) };
                link.write_all(request).await?;
                answered(&mut link, b"HTTP/1.1 200 ").await?;
            }
        });
    }
    while !posters.is_empty() {
        joined(&mut posters).await?;
    }
    while received.load(Relaxed) < messages {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    step(&format!("{:.0}", messages as f64 / begun.elapsed().as_secs_f64()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().map_err(Error::other);
    let [what, port, path, count, rest @ ..] = &arguments[..] else {
        return Err(Error::other("usage: load hold|cycle|push PORT PATH COUNT [MESSAGES]"));
    };
    let server = Server { port: port.parse().map_err(Error::other)?, path: (*path).into() };
    match (*what, rest) {
        ("hold", []) => {
            let counts = count.split(',').map(number).collect::<io::Result<Vec<usize>>>()?;
            hold(server, &counts).await
        }
        ("cycle", []) => cycle(server, number(count)?).await,
        ("push", [messages]) => push(server, number(count)?, number(messages)?).await,
        _ => Err(Error::other("what is hold, cycle or push")),
    }
}
