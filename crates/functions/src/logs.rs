//! What a function prints: line by line to `tracing` (target `function`), and the last 4 KB for callers that ask.
//!
//! Output and errors share one pipe, which keeps their order. Whoever hands over a result empties it before: what was
//! printed before the result is in the log before it. In between the task of the process does ([`Output`]). Memory and
//! log volume are bounded however much a function prints.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::net::unix::pipe::Receiver;

/// How much of the log a caller gets, in bytes.
const TAIL_BYTES: usize = 4096;
/// The longest line that is logged in one piece, in bytes (the largest event of AWS's logs).
const LINE_BYTES_MAX: usize = 256 * 1024;
/// How much one invocation may log, in bytes; the rest is counted and thrown away.
const INVOCATION_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(crate) struct Logs {
    pipe: Arc<File>,
    function: String,
    request_id: String,
    chunk: Box<[u8]>,
    line: Vec<u8>,
    tail: VecDeque<u8>,
    logged: usize,
    dropped: usize,
    reported: bool,
}

/// The other end of the pipe.
pub(crate) struct Outputs {
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

/// Tells when there is output.
pub(crate) struct Output(Receiver);

impl Output {
    /// Waits until there is output. Ends with an error when there will be none again.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// Has `logs` take what is there, at most `bytes_max`.
    pub(crate) fn drain_into(&self, logs: &mut Logs, bytes_max: usize) -> Drained {
        logs.drain_from(|chunk| self.0.try_read(chunk), bytes_max)
    }
}

/// How far a pipe has been emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// There may be more.
    Partly,
    Empty,
    /// The other end is closed.
    Closed,
}

impl Logs {
    pub(crate) fn new(function: &str) -> io::Result<(Self, Output, Outputs)> {
        let (reader, writer) = io::pipe()?;
        let pipe = OwnedFd::from(reader);
        // Which also has both read without blocking.
        let output = Output(Receiver::from_owned_fd(pipe.try_clone()?)?);
        let outputs = Outputs { stdout: writer.try_clone()?.into(), stderr: writer.into() };
        let logs = Self {
            pipe: Arc::new(File::from(pipe)),
            function: function.to_owned(),
            request_id: String::new(),
            chunk: vec![0; 16 * 1024].into_boxed_slice(),
            line: Vec::new(),
            tail: VecDeque::new(),
            logged: 0,
            dropped: 0,
            reported: false,
        };
        Ok((logs, output, outputs))
    }

    /// Begins the log of an invocation. Lambda's own lines are written only if somebody will see them: `reported` says
    /// whether a caller will.
    pub(crate) fn begin(&mut self, request_id: &str, version: &str, reported: bool) {
        self.request_id.clear();
        self.request_id.push_str(request_id);
        self.tail.clear();
        self.logged = 0;
        self.reported = reported || tracing::enabled!(target: "function", tracing::Level::DEBUG);
        if self.reported {
            self.platform(format_args!("START RequestId: {request_id} Version: {version}"));
        }
    }

    /// Whether somebody sees Lambda's own lines of this invocation.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported
    }

    /// A line of Lambda's own, which goes to the debug log and to the tail.
    pub(crate) fn platform(&mut self, line: std::fmt::Arguments<'_>) {
        let text = line.to_string();
        tracing::debug!(target: "function", function = self.function, request_id = self.request_id, "{text}");
        self.keep(text.as_bytes());
    }

    /// Reads what is there, at most `bytes_max`.
    pub(crate) fn drain(&mut self, bytes_max: usize) -> Drained {
        let pipe = Arc::clone(&self.pipe);
        self.drain_from(|chunk| (&*pipe).read(chunk), bytes_max)
    }

    fn drain_from(&mut self, read: impl Fn(&mut [u8]) -> io::Result<usize>, bytes_max: usize) -> Drained {
        let mut taken = 0;
        while taken < bytes_max {
            match read(&mut self.chunk) {
                Ok(0) => {
                    self.end_line();
                    return Drained::Closed;
                }
                Ok(size) => {
                    taken += size;
                    let chunk = std::mem::take(&mut self.chunk);
                    self.split(chunk.get(..size).unwrap_or_default());
                    self.chunk = chunk;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Drained::Empty,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Drained::Closed,
            }
        }
        Drained::Partly
    }

    /// Ends the log of an invocation: an unfinished line counts.
    pub(crate) fn finish(&mut self) {
        self.end_line();
        if self.dropped > 0 {
            tracing::warn!(
                target: "function", function = self.function, request_id = self.request_id,
                "the invocation printed {} bytes more than the {INVOCATION_BYTES_MAX} that are logged", self.dropped
            );
            self.dropped = 0;
        }
    }

    /// The last 4 KB in base64.
    pub(crate) fn tail(&mut self) -> String {
        STANDARD.encode(self.tail.make_contiguous())
    }

    fn split(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = bytes.split_at(end);
            self.extend(head);
            self.end_line();
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.extend(bytes);
    }

    fn extend(&mut self, mut bytes: &[u8]) {
        while self.line.len() + bytes.len() > LINE_BYTES_MAX {
            let (head, rest) = bytes.split_at(LINE_BYTES_MAX - self.line.len());
            self.line.extend_from_slice(head);
            self.end_line();
            bytes = rest;
        }
        self.line.extend_from_slice(bytes);
    }

    fn end_line(&mut self) {
        if self.line.is_empty() {
            return;
        }
        let mut line = std::mem::take(&mut self.line);
        self.keep(&line);
        if self.logged + line.len() > INVOCATION_BYTES_MAX {
            self.dropped += line.len();
        } else {
            self.logged += line.len();
            self.emit(&String::from_utf8_lossy(&line));
        }
        line.clear();
        line.shrink_to(8 * 1024);
        self.line = line;
    }

    fn keep(&mut self, line: &[u8]) {
        let kept = line.get(line.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
        self.tail.extend(kept.iter().copied().chain([b'\n']));
        let excess = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..excess);
    }

    fn emit(&self, line: &str) {
        let Line { level, text, request_id } = Line::of(line);
        // The runtimes write a line break inside of a message as a carriage return.
        let text = text.trim_end_matches('\r').replace('\r', "\n");
        // The runtime knows better whose line it is: it may have begun with the next event.
        let (function, request_id) = (self.function.as_str(), request_id.unwrap_or(&self.request_id));
        match level {
            "ERROR" | "CRITICAL" | "FATAL" => {
                tracing::error!(target: "function", function, request_id, "{text}");
            }
            "WARN" | "WARNING" => tracing::warn!(target: "function", function, request_id, "{text}"),
            "DEBUG" | "TRACE" => tracing::debug!(target: "function", function, request_id, "{text}"),
            _ => tracing::info!(target: "function", function, request_id, "{text}"),
        }
    }
}

/// A line that a function has printed.
#[derive(Debug, PartialEq, Eq)]
struct Line<'l> {
    level: &'l str,
    text: &'l str,
    /// Of the invocation that printed it, if it says so.
    request_id: Option<&'l str>,
}

impl<'l> Line<'l> {
    /// Takes Lambda's prefix off a line (time and request id stand in the log anyway), and its level from it:
    /// `<time>\t<request id>\t<LEVEL>\t<text>` from Node, `[<LEVEL>]\t<time>\t<request id>\t<text>` from Python.
    fn of(line: &'l str) -> Self {
        let mut parts = line.splitn(4, '\t');
        if let (Some(first), Some(second), Some(third), Some(text)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            if let Some(level) = first.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                return Self { level, text, request_id: known(third) };
            }
            if first.ends_with('Z') && third.bytes().all(|byte| byte.is_ascii_uppercase()) {
                return Self { level: third, text, request_id: known(second) };
            }
        }
        match line.strip_prefix("[ERROR] ") {
            Some(text) => Self { level: "ERROR", text, request_id: None },
            None => Self { level: "INFO", text: line, request_id: None },
        }
    }
}

/// A request id, which neither runtime has outside of invocations.
fn known(request_id: &str) -> Option<&str> {
    (!matches!(request_id, "" | "undefined")).then_some(request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, (level, text, request_id): (&str, &str, Option<&str>)) {
        assert_eq!(Line::of(line), Line { level, text, request_id });
    }

    #[test]
    fn levels_are_found_in_lambdas_lines() {
        check("2026-01-01T00:00:00.000Z\tr-1\tWARN\ta\tb", ("WARN", "a\tb", Some("r-1")));
        check("2026-01-01T00:00:00.000Z\tundefined\tINFO\ta", ("INFO", "a", None));
        check("[WARNING]\t2026-01-01T00:00:00.000Z\tr-1\ta", ("WARNING", "a", Some("r-1")));
        check("[ERROR] ValueError: x", ("ERROR", "ValueError: x", None));
        check("a\tb\tc\td", ("INFO", "a\tb\tc\td", None));
        check("plain", ("INFO", "plain", None));
    }
}
