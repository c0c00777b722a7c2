//! A stage's access log: one line for each request, in a format of the API's owner.
//!
//! The format is text with `$context` variables, split up when the stage is compiled. A variable without a value is
//! written as `-`.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;
use stagedoor_http::{Body, BodyError, BodyStream};

use super::{Targets, push_number};
use crate::context::ContextVariable;
use crate::exchange::Exchange;
use crate::worker::Worker;

/// A stage's access log, compiled.
#[derive(Debug)]
pub struct AccessLog {
    targets: Targets,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Literal(Box<str>),
    Value(ContextVariable),
    /// `responseLength`, which is known when the response has been sent.
    Length,
    /// `responseLatency`.
    Latency,
    /// `dataProcessed`, of HTTP APIs: the bytes of both bodies.
    DataProcessed,
    /// `integration.latency` and `integrationLatency`, which for a response that streams end with it.
    IntegrationLatency,
    /// `integration.timeToFirstContent`, of a response that streams.
    FirstContent,
    /// A variable that does not exist.
    Unknown,
}

impl AccessLog {
    /// Splits a format. Whether AWS takes it has been checked when it was set.
    #[must_use]
    pub fn compile(format: &str, targets: impl Into<Targets>) -> Self {
        let mut pieces = Vec::new();
        let mut rest = format.strip_suffix('\n').unwrap_or(format);
        rest = rest.strip_suffix('\r').unwrap_or(rest);
        let mut literal = String::new();
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            let Some((name, after)) = split_variable(from) else {
                literal.push('$');
                rest = from.strip_prefix('$').unwrap_or_default();
                continue;
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            pieces.push(match name {
                "responseLength" => Piece::Length,
                "responseLatency" => Piece::Latency,
                "dataProcessed" => Piece::DataProcessed,
                "integration.latency" | "integrationLatency" => Piece::IntegrationLatency,
                "integration.timeToFirstContent" => Piece::FirstContent,
                name => ContextVariable::parse(name).map_or(Piece::Unknown, Piece::Value),
            });
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        Self { targets: targets.into(), pieces }
    }

    /// Whether a header of the request is shown.
    #[must_use]
    pub fn uses_request_headers(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Value(variable) if variable.uses_request_headers()))
    }

    /// Whether the bytes of the request's body have to be counted.
    #[must_use]
    pub fn counts_requests(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::DataProcessed))
    }

    /// Logs a request: now, or when a body that streams, or whose length is not known yet, has been sent.
    pub fn log(&self, exchange: &Exchange<'_>, body: Body) -> Body {
        let is_head = exchange.head.method == http::Method::HEAD;
        let streams = exchange.method().is_some_and(|method| method.integration.streams());
        let length = if is_head { Some(0) } else { body.remaining() };
        let mut ends = Ends::of(exchange, length.unwrap_or_default());
        let stream = match (body, length) {
            (Body::Stream(stream), None) => stream,
            (Body::Stream(stream), Some(1..)) if streams => stream,
            (body, _) => {
                exchange.worker.log(&self.targets, 1, |line| {
                    self.write(line, exchange, |line, hole| hole.fill(line, &ends));
                    line.push(b'\n');
                });
                return body;
            }
        };
        ends.response = 0;
        ends.streams = streams;
        let mut text = Vec::with_capacity(256);
        let mut holes = SmallVec::new();
        self.write(&mut text, exchange, |line, hole| holes.push((line.len(), hole)));
        Body::Stream(Box::new(LoggedBody {
            stream,
            ends,
            worker: Rc::clone(exchange.worker),
            targets: self.targets.clone(),
            text,
            holes,
        }))
    }

    fn write(&self, line: &mut Vec<u8>, exchange: &Exchange<'_>, mut hole: impl FnMut(&mut Vec<u8>, Hole)) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => line.extend_from_slice(text.as_bytes()),
                Piece::Value(variable) => match variable.shown(exchange) {
                    Some(value) => value.write_in_line(line),
                    None => line.push(b'-'),
                },
                Piece::Length => hole(line, Hole::Length),
                Piece::Latency => hole(line, Hole::Latency),
                Piece::DataProcessed => hole(line, Hole::DataProcessed),
                Piece::IntegrationLatency => hole(line, Hole::IntegrationLatency),
                Piece::FirstContent => hole(line, Hole::FirstContent),
                Piece::Unknown => line.push(b'-'),
            }
        }
    }
}

/// A value that the end of the response decides.
#[derive(Clone, Copy)]
enum Hole {
    Length,
    Latency,
    DataProcessed,
    IntegrationLatency,
    FirstContent,
}

/// What is known when a response ends.
struct Ends {
    /// Bytes of the request's body, where they are counted.
    request: Option<Rc<Cell<u64>>>,
    /// Bytes of the response's.
    response: u64,
    /// When the request came in.
    started: Instant,
    /// When the integration was called, and how long its answer took to begin.
    integration: (Option<Instant>, Option<Duration>),
    /// Whether the answer is handed on as it comes.
    streams: bool,
    /// When the first of it came.
    first: Option<Instant>,
}

impl Ends {
    fn of(exchange: &Exchange<'_>, response: u64) -> Self {
        let integration = &exchange.record.integration;
        Self {
            request: exchange.record.received.clone(),
            response,
            started: exchange.started,
            integration: (integration.began, integration.latency),
            streams: false,
            first: None,
        }
    }
}

impl Hole {
    fn fill(self, line: &mut Vec<u8>, ends: &Ends) {
        let (began, latency) = ends.integration;
        let value = match self {
            Self::Length => Some(ends.response),
            Self::Latency => Some(milliseconds(ends.started.elapsed())),
            Self::DataProcessed => ends.request.as_ref().map(|request| request.get() + ends.response),
            Self::IntegrationLatency => {
                let whole = began.filter(|_| ends.streams).map(|began| began.elapsed());
                whole.or(latency).map(milliseconds)
            }
            Self::FirstContent => ends
                .first
                .zip(began)
                .map(|(first, began)| milliseconds(first.saturating_duration_since(began))),
        };
        match value {
            Some(value) => push_number(line, value),
            None => line.push(b'-'),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `$context.name` or `${context.name}` at the beginning of a text: the name, and what follows. The names of claims may have
/// colons within (`cognito:groups`), as formats of AWS's users show.
fn split_variable(from: &str) -> Option<(&str, &str)> {
    if let Some(braced) = from.strip_prefix("${context.") {
        return braced.split_once('}');
    }
    let name = from.strip_prefix("$context.")?;
    let is_claim = name.starts_with("authorizer.claims.");
    let mut end = 0;
    for (at, character) in name.char_indices() {
        let next = at + character.len_utf8();
        let colon = is_claim
            && character == ':'
            && name.get(next..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
        if !(character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-') || colon) {
            break;
        }
        end = next;
    }
    let name_end = name.get(..end)?.trim_end_matches('.').len();
    let (name, after) = name.split_at(name_end);
    (!name.is_empty()).then_some((name, after))
}

/// A response's body that is counted as it is sent. The line is written when it ends, or when the client is gone.
struct LoggedBody {
    stream: Box<dyn BodyStream>,
    ends: Ends,
    worker: Rc<Worker>,
    targets: Targets,
    text: Vec<u8>,
    holes: SmallVec<[(usize, Hole); 2]>,
}

impl BodyStream for LoggedBody {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let chunk = self.stream.poll_chunk(context);
        if let Poll::Ready(Some(Ok(bytes))) = &chunk {
            self.ends.response += bytes.len() as u64;
            if self.ends.streams && self.ends.first.is_none() {
                self.ends.first = Some(Instant::now());
            }
        }
        chunk
    }

    fn remaining(&self) -> Option<u64> {
        self.stream.remaining()
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let Self { ends, text, holes, .. } = self;
        self.worker.log(&self.targets, 1, |line| {
            let mut written = 0;
            for (at, hole) in holes.iter() {
                line.extend_from_slice(text.get(written..*at).unwrap_or_default());
                hole.fill(line, ends);
                written = *at;
            }
            line.extend_from_slice(text.get(written..).unwrap_or_default());
            line.push(b'\n');
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::logs::Target;

    fn check(format: &str, expected: &str) {
        let log = AccessLog::compile(format, Arc::new(Target::Stdout));
        let shown: String = log
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.to_string(),
                Piece::Value(_) => "<value>".to_owned(),
                Piece::Length => "<length>".to_owned(),
                Piece::Latency => "<latency>".to_owned(),
                Piece::DataProcessed => "<data>".to_owned(),
                Piece::IntegrationLatency => "<integration>".to_owned(),
                Piece::FirstContent => "<first>".to_owned(),
                Piece::Unknown => "<->".to_owned(),
            })
            .collect();
        assert_eq!(shown, expected, "{format}");
    }

    #[test]
    fn formats() {
        check("$context.requestId", "<value>");
        check("$context.requestId\n", "<value>");
        check("$context.requestId\r\n", "<value>");
        check("at $context.requestTime. ${context.status}s", "at <value>. <value>s");
        check("$context.responseLength,$context.responseLatency,", "<length>,<latency>,");
        check("$context.dataProcessed", "<data>");
        check("$context.integrationLatency $context.integration.latency", "<integration> <integration>");
        check("$context.integration.timeToFirstContent", "<first>");
        check("$context.nothing $context.authorizer.claims.sub", "<-> <value>");
        check("$context.authorizer.claims.cognito:groups: $context.status:200", "<value>: <value>:200");
        check("$context.authorizer.claims.sub:$context.status", "<value>:<value>");
        check(
            "$input.body $stageVariables.x 5$ $context. $context",
            "$input.body $stageVariables.x 5$ $context. $context",
        );
        check(r#"{"id":"$context.requestId","n":$context.status}"#, r#"{"id":"<value>","n":<value>}"#);
    }

    proptest::proptest! {
        #[test]
        fn any_format_is_compiled(format in "[${}a-z. ]{0,10}(\\$context\\.)?\\PC{0,20}") {
            let _ = AccessLog::compile(&format, Arc::new(Target::Stdout));
        }
    }
}
