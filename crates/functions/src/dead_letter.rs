//! Where asynchronous events end up that no attempt could place: a file of one JSON record a line, each in the form that
//! Lambda sends to a destination for failures.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// The largest file, in bytes; a full one is set aside once, under the same name with `.1` behind it.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why an event was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    RetriesExhausted,
    EventAgeExceeded,
}

/// An event that was given up.
pub(crate) struct Letter<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) function_arn: String,
    pub(crate) condition: Condition,
    /// How many attempts were made.
    pub(crate) attempts: u32,
    pub(crate) payload: &'a [u8],
    pub(crate) executed_version: &'a str,
    /// What the function answered, if it ran.
    pub(crate) response: Option<&'a [u8]>,
}

/// The file, if there is one.
#[derive(Default)]
pub(crate) struct DeadLetters {
    path: Option<PathBuf>,
    writing: Mutex<()>,
}

impl DeadLetters {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, writing: Mutex::new(()) }
    }

    /// Adds one record; blocks on the file.
    pub(crate) fn add(&self, letter: &Letter<'_>) {
        let Some(path) = &self.path else { return };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = append(path, &record(letter)) {
            tracing::error!(
                target: "function", %error, request_id = letter.request_id,
                "an event that was given up could not be written to {}", path.display()
            );
        }
    }
}

fn record(letter: &Letter<'_>) -> Value {
    let parsed = |bytes: &[u8]| {
        serde_json::from_slice(bytes)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(bytes).into_owned()))
    };
    let condition = match letter.condition {
        Condition::RetriesExhausted => "RetriesExhausted",
        Condition::EventAgeExceeded => "EventAgeExceeded",
    };
    let mut record = json!({
        "version": "1.0",
        "timestamp": timestamp(),
        "requestContext": {
            "requestId": letter.request_id,
            "functionArn": letter.function_arn,
            "condition": condition,
            "approximateInvokeCount": letter.attempts,
        },
        "requestPayload": parsed(letter.payload),
    });
    if let (Some(response), Some(fields)) = (letter.response, record.as_object_mut()) {
        let context = json!({
            "statusCode": 200, "executedVersion": letter.executed_version, "functionError": "Unhandled",
        });
        fields.insert("responseContext".to_owned(), context);
        fields.insert("responsePayload".to_owned(), parsed(response));
    }
    record
}

fn timestamp() -> String {
    let now = time::OffsetDateTime::now_utc();
    format!(
        "{}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        now.millisecond()
    )
}

fn append(path: &Path, record: &Value) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() >= FILE_BYTES_MAX) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".1");
        std::fs::rename(path, aside)?;
    }
    let mut line = record.to_string();
    line.push('\n');
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?.write_all(line.as_bytes())
}
