//! What an invocation gives back, and the failures that Lambda itself reports (timeouts, crashes, sizes), word for word.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

/// The largest event of a synchronous invocation, in bytes.
pub const EVENT_BYTES_MAX: usize = 6_291_456;
/// The largest event of an asynchronous invocation, in bytes.
pub const ASYNC_EVENT_BYTES_MAX: usize = 1_048_576;
/// The largest result of a function, in bytes: 6 MB and room for Lambda's own envelope.
pub const RESULT_BYTES_MAX: usize = 6_291_556;

/// The largest streamed result of a function, in bytes.
pub(crate) const STREAM_BYTES_MAX: u64 = 200 * 1024 * 1024;

/// What a function gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationOutput {
    /// The result, or the description of the error: JSON.
    pub payload: Bytes,
    /// `Unhandled` if the function failed.
    pub function_error: Option<String>,
    /// The version that ran.
    pub executed_version: String,
    /// The last 4 KB of the log in base64, if it was asked for.
    pub log_tail: Option<String>,
}

/// Why a process did not come as far as asking for its first event.
#[derive(Clone, Debug)]
pub(crate) enum InitFailure {
    /// The runtime said why (`/init/error`).
    Reported(Bytes),
    /// The process ended.
    Exited(ExitStatus),
    /// It took longer than an initialisation may take.
    TimedOut(Duration),
    /// It could not be started.
    NotStarted(String),
    /// The function has no program that could be started.
    NoProgram(String),
}

impl From<std::io::Error> for InitFailure {
    fn from(error: std::io::Error) -> Self {
        Self::NotStarted(error.to_string())
    }
}

impl InitFailure {
    /// The payload for one of the invocations that waited for the process.
    pub(crate) fn payload(&self, request_id: &str) -> Bytes {
        match self {
            // Python's runtime names no request at that time; whoever waited is told his own.
            Self::Reported(body) => match serde_json::from_slice::<Value>(body) {
                Ok(Value::Object(mut fields)) => {
                    if let Some(id) = fields.get_mut("requestId") {
                        *id = Value::from(request_id);
                    }
                    Value::Object(fields).to_string().into()
                }
                _ => body.clone(),
            },
            Self::Exited(status) => exited(request_id, *status),
            Self::TimedOut(limit) => timed_out(request_id, *limit),
            Self::NotStarted(reason) | Self::NoProgram(reason) => {
                error("Runtime.InvalidEntrypoint", &format!("RequestId: {request_id} Error: {reason}"))
            }
        }
    }

    /// One line for the log.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Reported(body) => {
                let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
                let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
                let frames = value.get("stackTrace").or_else(|| value.get("trace")).and_then(Value::as_array);
                let place = frames
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(|frame| frame.split_whitespace().collect::<Vec<_>>().join(" "))
                    .find(|frame| frame.contains("/var/task"));
                match place {
                    Some(place) => format!("{}: {} ({place})", text("errorType"), text("errorMessage")),
                    None => format!("{}: {}", text("errorType"), text("errorMessage")),
                }
            }
            Self::Exited(status) => format!("Runtime.ExitError: {}", exit_reason(*status)),
            Self::TimedOut(limit) => format!("the initialisation took longer than {} s", limit.as_secs_f64()),
            Self::NotStarted(reason) | Self::NoProgram(reason) => reason.clone(),
        }
    }
}

fn error(kind: &str, message: &str) -> Bytes {
    json!({ "errorType": kind, "errorMessage": message }).to_string().into()
}

/// The payload after the function's timeout.
pub(crate) fn timed_out(request_id: &str, limit: Duration) -> Bytes {
    let seconds = limit.as_secs_f64();
    error(
        "Sandbox.Timedout",
        &format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds"),
    )
}

/// The payload after the process ended during an invocation.
pub(crate) fn exited(request_id: &str, status: ExitStatus) -> Bytes {
    error("Runtime.ExitError", &format!("RequestId: {request_id} Error: {}", exit_reason(status)))
}

/// The payload after the process outgrew its memory.
pub(crate) fn out_of_memory(request_id: &str) -> Bytes {
    let message = format!("RequestId: {request_id} Error: Runtime exited with error: signal: killed");
    error("Runtime.OutOfMemory", &message)
}

/// The payload in place of a result that is too large.
pub(crate) fn result_too_large() -> Bytes {
    let message =
        format!("Response payload size exceeded maximum allowed payload size ({RESULT_BYTES_MAX} bytes).");
    json!({ "errorMessage": message, "errorType": "Function.ResponseSizeTooLarge" }).to_string().into()
}

/// The payload when the runtime asks for the next event without having answered the last.
pub(crate) fn no_response(request_id: &str) -> Bytes {
    let message =
        format!("RequestId: {request_id} Error: the runtime asked for the next event without an answer");
    error("Runtime.InvalidResponse", &message)
}

/// How Lambda words the end of a process.
pub(crate) fn exit_reason(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(signal)) => {
            let dumped = if status.core_dumped() { " (core dumped)" } else { "" };
            format!("Runtime exited with error: signal: {}{dumped}", signal_name(signal))
        }
        (None, None) => "Runtime exited without providing a reason".to_owned(),
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        other => return format!("signal {other}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &Bytes, expected: Value) {
        assert_eq!(serde_json::from_slice::<Value>(payload).unwrap(), expected);
    }

    #[test]
    fn failures_are_worded_as_lambda_words_them() {
        check(
            &timed_out("r-1", Duration::from_secs(3)),
            json!({"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: r-1 Error: Task timed out after 3.00 seconds"}),
        );
        check(
            &exited("r-1", ExitStatus::from_raw(1 << 8)),
            json!({"errorType": "Runtime.ExitError", "errorMessage": "RequestId: r-1 Error: Runtime exited with error: exit status 1"}),
        );
        check(
            &exited("r-1", ExitStatus::from_raw(9)),
            json!({"errorType": "Runtime.ExitError", "errorMessage": "RequestId: r-1 Error: Runtime exited with error: signal: killed"}),
        );
        check(
            &exited("r-1", ExitStatus::from_raw(0)),
            json!({"errorType": "Runtime.ExitError", "errorMessage": "RequestId: r-1 Error: Runtime exited without providing a reason"}),
        );
        check(
            &InitFailure::Reported(Bytes::from_static(br#"{"errorType":"X","requestId":""}"#)).payload("r-1"),
            json!({"errorType": "X", "requestId": "r-1"}),
        );
    }

    #[test]
    fn a_failure_to_start_names_the_place() {
        let body = json!({"errorType": "Runtime.UserCodeSyntaxError", "errorMessage": "bad",
            "stackTrace": ["  File \"/var/task/app.py\" Line 3\n    def\n"]});
        let failure = InitFailure::Reported(body.to_string().into());
        assert_eq!(
            failure.summary(),
            "Runtime.UserCodeSyntaxError: bad (File \"/var/task/app.py\" Line 3 def)"
        );
    }
}
