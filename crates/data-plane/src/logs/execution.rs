//! The execution log of a request, in AWS's words: what came in, what went to the integration, what came back and what
//! became of it.
//!
//! Phases write it where a method's settings ask for it, or `TestInvokeMethod` does. Writing costs time and memory; a
//! request without one pays for one comparison at each place.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use stagedoor_http::Header;
use stagedoor_shapes::apigateway::MethodSetting;
use time::OffsetDateTime;
use time::macros::format_description;

use super::{Targets, push_in_line};
use crate::exchange::Exchange;
use crate::websocket::event::EventKind;

/// AWS's events hold so many bytes of text, and say so when something is missing (seen in published logs).
const EVENT_BYTES_MAX: usize = 1024;
/// What is shown of a secret: its last characters.
const SHOWN_OF_SECRET: usize = 6;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Why requests fail.
    Error,
    /// What happens to every request.
    Info,
}

/// A method's execution log, as its stage sets it.
#[derive(Clone, Debug)]
pub struct ExecutionLogSettings {
    level: Level,
    /// Whether parameters, headers and bodies are written.
    data: bool,
    /// Where to. `TestInvokeMethod` gets it in its answer instead.
    targets: Option<Targets>,
}

impl ExecutionLogSettings {
    /// What a stage sets; nothing if it logs nothing.
    #[must_use]
    pub fn compile(setting: Option<&MethodSetting>, targets: &Targets) -> Option<Self> {
        let setting = setting?;
        let level = match setting.logging_level.as_deref() {
            Some("ERROR") => Level::Error,
            Some("INFO") => Level::Info,
            _ => return None,
        };
        let data = setting.data_trace_enabled == Some(true);
        Some(Self { level, data, targets: Some(targets.clone()) })
    }

    /// Everything, for `TestInvokeMethod`.
    #[must_use]
    pub fn test() -> Self {
        Self { level: Level::Info, data: true, targets: None }
    }

    /// An empty log.
    #[must_use]
    pub fn begin(&self) -> ExecutionLog {
        ExecutionLog { settings: self.clone(), entries: Vec::new() }
    }
}

/// The log of one request.
#[derive(Debug)]
pub struct ExecutionLog {
    settings: ExecutionLogSettings,
    entries: Vec<(SystemTime, String)>,
}

impl ExecutionLog {
    fn push(&mut self, mut text: String) {
        if text.len() > EVENT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(EVENT_BYTES_MAX));
            text.push_str(" [TRUNCATED]");
        }
        self.entries.push((SystemTime::now(), text));
    }

    /// The text that `TestInvokeMethod` answers.
    #[must_use]
    pub fn to_test_log(&self, request_id: &str) -> String {
        let mut log = format!("Execution log for request {request_id}\n");
        for (time, text) in &self.entries {
            log.push_str(&test_time(*time));
            log.push_str(" : ");
            log.push_str(text);
            log.push('\n');
        }
        log
    }
}

impl Exchange<'_> {
    /// Whether parameters, headers and bodies are to be written.
    #[must_use]
    pub fn logs_data(&self) -> bool {
        self.record.log.as_ref().is_some_and(|log| log.settings.data && log.settings.level == Level::Info)
    }

    /// Whether what happens to the request is to be written.
    #[must_use]
    pub fn logs_info(&self) -> bool {
        self.record.log.as_ref().is_some_and(|log| log.settings.level == Level::Info)
    }

    /// Writes what happens to the request.
    pub fn log_info(&mut self, text: impl FnOnce(&Self) -> String) {
        self.log_at(Level::Info, text);
    }

    /// Writes why the request fails.
    pub fn log_error(&mut self, text: impl FnOnce(&Self) -> String) {
        self.log_at(Level::Error, text);
    }

    fn log_at(&mut self, level: Level, text: impl FnOnce(&Self) -> String) {
        if self.record.log.as_ref().is_some_and(|log| level <= log.settings.level) {
            let text = text(self);
            if let Some(log) = &mut self.record.log {
                log.push(text);
            }
        }
    }

    /// Writes a part of the request or an answer.
    pub fn log_data(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.logs_data() {
            self.log_info(text);
        }
    }

    /// What every execution begins with.
    pub(crate) fn log_start(&mut self) {
        if self.record.log.is_none() {
            return;
        }
        let id = String::from_utf8_lossy(&self.request_id).into_owned();
        if !self.is_test {
            self.log_usage_plan(&id);
        }
        self.log_info(|_| format!("Starting execution for request: {id}"));
        if self.socket.is_some() {
            return self.log_socket_start();
        }
        self.log_info(|x| {
            let path = x.path();
            let path = if path.is_empty() { "/" } else { path };
            format!("HTTP Method: {}, Resource Path: {path}", x.head.method)
        });
        self.log_data(|x| format!("Method request path: {}", map(x.path_parameters())));
        self.log_data(|x| {
            let query = x.query().iter().map(|(name, value)| (name.as_str(), value.as_str()));
            format!("Method request query string: {}", map(query))
        });
        self.log_data(|x| format!("Method request headers: {}", headers(x.head.headers.iter())));
        self.log_data(|x| format!("Method request body before transformations: {}", text_of(&x.read_body())));
    }

    /// What the execution of a WebSocket API's route begins with.
    fn log_socket_start(&mut self) {
        self.log_info(|x| {
            format!("WebSocket Request Route: [{}]", x.resource().map_or("", |route| &route.route_key))
        });
        let Some(socket) = self.socket.clone() else { return };
        let id = socket.id;
        match socket.kind {
            EventKind::Connect => {
                self.log_info(|x| {
                    let (agent, api) = (x.header("user-agent").unwrap_or("null".into()), &x.plan.api_id);
                    let address = x.source_ip();
                    format!(
                        "Client [UserAgent: {agent}, SourceIp: {address}] is connecting to WebSocket API [{api}]."
                    )
                });
                self.log_data(|x| {
                    let query = x.query().iter().map(|(name, value)| (name.as_str(), value.as_str()));
                    format!("Request query string: {}", map(query))
                });
                self.log_data(|x| format!("Request headers: {}", headers(x.head.headers.iter())));
            }
            EventKind::Message { id: message } => {
                self.log_info(|x| {
                    let (message, api) = (String::from_utf8_lossy(&message), &x.plan.api_id);
                    format!("Client [Connection Id: {id}] sent message [{message}] to WebSocket API [{api}].")
                });
                self.log_data(|x| format!("Request body before transformations: {}", text_of(&x.read_body())));
            }
            EventKind::Disconnect { status, reason } => self.log_info(|x| {
                let api = &x.plan.api_id;
                format!("Client [Connection Id: {id}] disconnected from API [{api}] with status code {status} and reason [{reason}].")
            }),
        }
    }

    fn log_usage_plan(&mut self, id: &str) {
        let extended = String::from_utf8_lossy(self.extended_request_id()).into_owned();
        self.log_info(|_| format!("Extended Request Id: {extended}"));
        let key = self.record.identity.as_ref().and_then(|identity| identity.api_key.as_deref());
        let key = key.map(hidden).unwrap_or_default();
        let stage = format!("{}/{}", self.plan.api_id, self.plan.stage);
        self.log_info(|_| {
            format!("Verifying Usage Plan for request: {id}. API Key: {key} API Stage: {stage}")
        });
        if key.is_empty() {
            self.log_info(|x| {
                let resource = x.resource().map_or("", |resource| &resource.path);
                let method = x.method().map_or("", |method| &method.name);
                let what = match x.socket {
                    Some(_) => format!("route '{resource}'"),
                    None => format!("method '{method} {resource}'"),
                };
                format!(
                    "API Key  authorized because {what} does not require API Key. Request will not contribute to \
                     throttle or quota limits"
                )
            });
        }
        self.log_info(|_| format!("Usage Plan check succeeded for API Key {key} and API Stage {stage}"));
    }

    /// Writes why the request failed, if it did, and the end. What is left goes to the log's destination.
    pub(crate) fn log_end(&mut self, status: u16) {
        if self.record.log.is_none() {
            return;
        }
        match &self.fault {
            Some(fault) => {
                let text = fault.execution_log_text();
                self.log_error(|_| text);
                self.log_error(|_| format!("Method completed with status: {status}"));
            }
            None => {
                self.log_info(|_| "Successfully completed execution".to_owned());
                self.log_info(|_| format!("Method completed with status: {status}"));
            }
        }
        if self.is_test {
            return;
        }
        if let Some(id) = self.record.integration.request_id.clone() {
            self.log_info(|_| format!("AWS Integration Endpoint RequestId : {id}"));
        }
        self.log_info(|x| format!("X-ray Tracing ID : {}", String::from_utf8_lossy(x.trace_id())));
        let Some(log) = self.record.log.take() else { return };
        let Some(targets) = &log.settings.targets else { return };
        let id = String::from_utf8_lossy(&self.request_id);
        self.worker.log(targets, log.entries.len() as u64, |lines| {
            for (time, text) in &log.entries {
                let head = format!("{} ({id}) ", event_time(*time));
                lines.extend_from_slice(head.as_bytes());
                push_in_line(lines, text);
                lines.push(b'\n');
            }
        });
    }
}

/// A body as text.
pub(crate) fn text_of(body: &Bytes) -> Cow<'_, str> {
    // Only the beginning is shown.
    String::from_utf8_lossy(body.get(..EVENT_BYTES_MAX + 4).unwrap_or(body))
}

/// Pairs as Java shows a map: `{a=1, b=2}`. Values of one name are joined.
pub(crate) fn map<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let mut joined: Vec<(&str, Cow<'_, str>)> = Vec::new();
    for (name, value) in pairs {
        match joined.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => {
                let values = values.to_mut();
                values.push(',');
                values.push_str(value);
            }
            None => joined.push((name, Cow::Borrowed(value))),
        }
    }
    let pairs: Vec<_> = joined.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Headers as [`map`] shows them, without the secrets in them.
pub(crate) fn headers<'h>(headers: impl Iterator<Item = &'h Header>) -> String {
    let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = headers
        .map(|header| {
            let secrets = ["authorization", "x-api-key", "x-amz-security-token"];
            let is_secret = secrets.iter().any(|secret| header.is(secret));
            let value = header.value_str();
            let value = if is_secret { Cow::Owned(hidden(&value)) } else { value };
            (header.name_str().into(), value)
        })
        .collect();
    map(pairs.iter().map(|(name, value)| (&**name, &**value)))
}

/// The headers of a response, without those that the gateway adds last.
pub(crate) fn response_headers(all: &stagedoor_http::Headers) -> impl Iterator<Item = &Header> {
    let own = |header: &&Header| header.is("x-amzn-requestid") || header.is("x-amz-apigw-id");
    let trace = |header: &&Header| header.is("x-amzn-trace-id");
    let first = all.iter().filter(move |header| !own(header) && !trace(header));
    first.chain(all.iter().filter(trace))
}

/// A secret with all but its end starred out.
pub(crate) fn hidden(secret: &str) -> String {
    let length = secret.chars().count();
    let starred = length.saturating_sub(SHOWN_OF_SECRET);
    // Of a short one nothing is shown.
    if starred == 0 {
        return "*".repeat(length);
    }
    let shown: String = secret.chars().skip(starred).collect();
    format!("{}{shown}", "*".repeat(starred))
}

/// `Thu Oct 20 10:36:41 UTC 2022`.
fn test_time(time: SystemTime) -> String {
    let format = format_description!(
        "[weekday repr:short] [month repr:short] [day] [hour]:[minute]:[second] UTC [year]"
    );
    OffsetDateTime::from(time).format(format).unwrap_or_default()
}

/// `2017-06-05T13:57:47.369Z`.
fn event_time(time: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(time).format(format).unwrap_or_default()
}

/// Where Lambda takes an invocation.
pub(crate) fn lambda_uri(region: &str, arn: &str) -> String {
    format!("https://lambda.{region}.amazonaws.com/2015-03-31/functions/{arn}/invocations")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_666_262_201_369);
        assert_eq!(test_time(time), "Thu Oct 20 10:36:41 UTC 2022");
        assert_eq!(event_time(time), "2022-10-20T10:36:41.369Z");
    }

    #[test]
    fn maps() {
        assert_eq!(map(std::iter::empty()), "{}");
        assert_eq!(map([("a", "1"), ("b", ""), ("a", "2")].into_iter()), "{a=1,2, b=}");
    }

    #[test]
    fn secrets() {
        let check = |secret: &str, expected: &str| assert_eq!(hidden(secret), expected);
        check("", "");
        check("abc", "***");
        check("abcdef", "******");
        check("abcdefg", "*bcdefg");
        check("ééééééé", "*éééééé");
    }

    #[test]
    fn long_events_are_cut() {
        let mut log = ExecutionLogSettings::test().begin();
        log.push("x".repeat(1024));
        log.push("x".repeat(1025));
        log.push("é".repeat(1000));
        let text = log.to_test_log("id");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Execution log for request id");
        assert!(lines[1].ends_with(&format!(" : {}", "x".repeat(1024))));
        assert!(lines[2].ends_with(&format!(" : {} [TRUNCATED]", "x".repeat(1024))));
        assert!(lines[3].ends_with(&format!(" : {} [TRUNCATED]", "é".repeat(512))));
    }
}
