//! Access logs and execution logs: where they go, and how they get there without a request waiting for it.
//!
//! A worker collects lines in memory of its own ([`LogBuffer`]) and hands them over in batches; one thread
//! ([`LogWriter`]) writes them. What it cannot write fast enough is dropped, counted and reported: a slow disk must not
//! slow requests down, nor fill the memory.

pub mod access;
mod buffer;
pub mod execution;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use buffer::LogBuffer;
pub use writer::LogWriter;

/// Where lines are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// The end of a file.
    File(PathBuf),
}

/// Where the lines of a stage are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// All of them.
    pub stage: Arc<Target>,
    /// Those of its canary's requests, once more.
    pub canary: Option<Arc<Target>>,
}

impl From<Arc<Target>> for Targets {
    fn from(stage: Arc<Target>) -> Self {
        Self { stage, canary: None }
    }
}

/// Which destination's lines go where, told by ARN.
#[derive(Clone, Debug, Default)]
pub struct LogDestinations(Vec<(String, Arc<Target>)>);

impl LogDestinations {
    /// Destinations by ARN, in which `*` stands for any text, and the files of their lines. The first that fits counts.
    #[must_use]
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a Path)>) -> Self {
        let files = files.into_iter();
        Self(files.map(|(arn, file)| (arn.to_owned(), Arc::new(Target::File(file.to_owned())))).collect())
    }

    /// Where lines for this ARN go: what no destination names goes to standard output.
    #[must_use]
    pub fn find(&self, arn: &str) -> Arc<Target> {
        self.named(arn).unwrap_or_else(|| Arc::new(Target::Stdout))
    }

    /// The first destination that fits an ARN.
    fn named(&self, arn: &str) -> Option<Arc<Target>> {
        let arn = bare(arn);
        let mut fitting = self
            .0
            .iter()
            .filter(|(pattern, _)| fits(pattern, arn) || pattern.strip_suffix(":*") == Some(arn));
        fitting.next().map(|(_, target)| Arc::clone(target))
    }

    /// Where the lines of a canary's requests go that a stage's go to this ARN. AWS reports them twice, to the stage's log
    /// group and to one of their own, whose name has `/Canary` behind the stage's. Nothing is written twice to one file,
    /// nor to standard output because no destination names the second.
    #[must_use]
    pub fn of_canary(&self, arn: &str) -> Targets {
        let stage = self.find(arn);
        let is_group = arn.contains(":log-group:");
        let canary = if is_group { self.named(&format!("{}/Canary", bare(arn))) } else { None };
        Targets { canary: canary.filter(|canary| *canary != stage), stage }
    }

    /// Where the execution log of a WebSocket API's stage goes.
    #[must_use]
    pub fn websocket_log(&self, region: &str, account: &str, api: &str, stage: &str) -> Targets {
        self.find(&format!("arn:aws:logs:{region}:{account}:log-group:/aws/apigateway/{api}/{stage}")).into()
    }
}

/// The ARN of the log group in which AWS keeps the execution log of a stage.
#[must_use]
pub fn execution_log_arn(region: &str, account: &str, api: &str, stage: &str) -> String {
    format!("arn:aws:logs:{region}:{account}:log-group:API-Gateway-Execution-Logs_{api}/{stage}")
}

/// A log group's ARN without the `:*` at its end, with which CloudWatch shows it.
fn bare(arn: &str) -> &str {
    arn.strip_suffix(":*").unwrap_or(arn)
}

/// Whether a text fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    true
}

/// Appends a number in decimal.
pub(crate) fn push_number(line: &mut Vec<u8>, number: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends text as a part of one line: what would end the line is written as an escape.
pub(crate) fn push_in_line(line: &mut Vec<u8>, text: &str) {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return line.extend_from_slice(text.as_bytes());
    }
    for byte in text.bytes() {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            byte => line.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_found_by_arn() {
        let destinations = LogDestinations::new([
            ("arn:aws:logs:us-east-1:1:log-group:exact", Path::new("exact.log")),
            ("arn:aws:logs:*:*:log-group:API-Gateway-*/prod", Path::new("prod.log")),
            ("arn:aws:logs:eu-central-1:*", Path::new("eu.log")),
            ("arn:aws:logs:us-east-1:1:log-group:shown:*", Path::new("shown.log")),
            ("*firehose*", Path::new("firehose.log")),
        ]);
        let check = |arn: &str, expected: Option<&str>| {
            let expected = expected.map_or(Target::Stdout, |file| Target::File(file.into()));
            assert_eq!(*destinations.find(arn), expected, "{arn}");
        };
        check("arn:aws:logs:us-east-1:1:log-group:exact", Some("exact.log"));
        check("arn:aws:logs:us-east-1:1:log-group:exact:*", Some("exact.log"));
        check("arn:aws:logs:us-east-1:1:log-group:exactly", None);
        check("arn:aws:logs:eu-west-1:2:log-group:API-Gateway-Execution-Logs_abc/prod", Some("prod.log"));
        check("arn:aws:logs:eu-west-1:2:log-group:API-Gateway-Execution-Logs_abc/production", None);
        check("arn:aws:logs:eu-central-1:1:log-group:any", Some("eu.log"));
        check("arn:aws:logs:us-east-1:1:log-group:shown", Some("shown.log"));
        check("arn:aws:firehose:us-east-1:1:deliverystream/amazon-apigateway-x", Some("firehose.log"));
        check(&execution_log_arn("eu-west-1", "2", "abc", "prod"), Some("prod.log"));
    }

    #[test]
    fn a_canary_has_a_group_of_its_own() {
        let destinations = LogDestinations::new([
            ("*:log-group:own/Canary", Path::new("canary.log")),
            ("*:log-group:own", Path::new("own.log")),
            ("*:log-group:alone/Canary", Path::new("canary.log")),
            ("*:log-group:both*", Path::new("both.log")),
            ("*:log-group:stage", Path::new("stage.log")),
            ("*:firehose:*", Path::new("firehose.log")),
        ]);
        let file = |name: &str| Target::File(name.into());
        let check = |arn: &str, stage: Target, canary: Option<Target>| {
            let targets = destinations.of_canary(&format!("arn:aws:{arn}"));
            assert_eq!((&*targets.stage, targets.canary.as_deref()), (&stage, canary.as_ref()), "{arn}");
        };
        check("logs:eu-west-1:1:log-group:own", file("own.log"), Some(file("canary.log")));
        check("logs:eu-west-1:1:log-group:own:*", file("own.log"), Some(file("canary.log")));
        check("logs:eu-west-1:1:log-group:alone", Target::Stdout, Some(file("canary.log")));
        check("logs:eu-west-1:1:log-group:both", file("both.log"), None);
        check("logs:eu-west-1:1:log-group:stage", file("stage.log"), None);
        check("logs:eu-west-1:1:log-group:none", Target::Stdout, None);
        check("firehose:eu-west-1:1:deliverystream/amazon-apigateway-x", file("firehose.log"), None);
    }

    #[test]
    fn nothing_ends_a_line_before_its_end() {
        let mut line = Vec::new();
        push_in_line(&mut line, "a\r\nb");
        assert_eq!(line, b"a\\r\\nb");
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_is_tried(pattern in "[a*]{0,8}", text in "[ab]{0,8}") {
            let reference = regex::Regex::new(&format!("^{}$", pattern.replace('*', ".*"))).unwrap();
            proptest::prop_assert_eq!(fits(&pattern, &text), reference.is_match(&text));
        }
    }
}
