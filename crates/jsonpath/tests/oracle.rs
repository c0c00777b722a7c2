//! Compares this implementation with Jayway's own, version 2.0.0.
//!
//! It needs `java`, `javac` and Jayway's jars (Debian: `default-jdk-headless`, `libjsonpath-java`), and says so and
//! passes if they are not installed. `JSONPATH_CLASSPATH` names the jars if they are elsewhere.
//!
//! A path that Jayway refuses when it parses it and one that leads nowhere both count as no result here, because
//! version 2.0.0 finds many mistakes only when it meets a fitting document.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::Write;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use stagedoor_jsonpath::Path;

/// The result, or why there is none.
type Answer = Result<Value, String>;

const DOCUMENT: &str = include_str!("oracle/document.json");

/// Jayway's answers to lines for its runner: a document and paths, or documents alone.
fn answers(lines: &[&str], arguments: &[&str]) -> Option<Vec<Answer>> {
    let jars = ["json-path", "json-smart", "accessors-smart", "asm", "slf4j-api", "slf4j-nop"];
    let default = jars.map(|jar| format!("/usr/share/java/{jar}.jar")).join(":");
    let classpath = std::env::var("JSONPATH_CLASSPATH").unwrap_or(default);
    if let Some(missing) = classpath.split(':').find(|jar| !FilePath::new(jar).exists()) {
        println!("skipped: {missing} is not installed");
        return None;
    }
    let classes = tempfile::tempdir().unwrap();
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/Runner.java");
    let mut javac = Command::new("javac");
    match javac.arg("-cp").arg(&classpath).arg("-d").arg(classes.path()).arg(source).status() {
        Ok(status) => assert!(status.success(), "the runner does not compile"),
        Err(error) => {
            println!("skipped: javac cannot be run: {error}");
            return None;
        }
    }
    let input = classes.path().join("input");
    let mut file = fs::File::create(&input).unwrap();
    for line in lines {
        writeln!(file, "{}", STANDARD.encode(line)).unwrap();
    }
    let classpath = format!("{classpath}:{}", classes.path().display());
    let output = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-cp", &classpath, "Runner"])
        .args(arguments)
        .stdin(fs::File::open(&input).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let decode = |text: &str| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
    let answer = |line: &str| match line.split_once(' ') {
        Some(("ok", json)) => {
            // What is no number is printed as it is called, and read as nothing here.
            let json = decode(json);
            let read =
                serde_json::from_str(&json).or_else(|_| serde_json::from_str(&json.replace("NaN", "null")));
            Ok(read.unwrap_or_else(|error| panic!("{json}: {error}")))
        }
        Some(("error", message)) => Err(decode(message)),
        _ => panic!("an answer out of protocol: {line}"),
    };
    let answers: Vec<Answer> = text.lines().map(answer).collect();
    let asked = if arguments.is_empty() { lines.len() - 1 } else { lines.len() };
    assert_eq!(answers.len(), asked, "the runner ended early");
    Some(answers)
}

fn ours(path: &str, document: &Value) -> Answer {
    let path = Path::parse(path).map_err(|error| error.to_string())?;
    let value = path.read(document).map_err(|error| error.to_string())?;
    value.map(std::borrow::Cow::into_owned).ok_or_else(|| "no result".to_owned())
}

fn compare(paths: &[String]) {
    let lines: Vec<_> = std::iter::once(DOCUMENT).chain(paths.iter().map(String::as_str)).collect();
    let Some(answers) = answers(&lines, &[]) else { return };
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut differences = Vec::new();
    let text = Value::to_string;
    for (path, theirs) in paths.iter().zip(&answers) {
        let ours = ours(path, &document);
        let same = match (theirs, &ours) {
            // The order of names counts, so the texts are compared.
            (Ok(theirs), Ok(ours)) => text(theirs) == text(ours),
            (Err(_), Err(_)) => true,
            (Err(message), Ok(Value::Array(_))) => is_strict(message),
            _ => false,
        };
        if !same {
            differences.push(format!("{path}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        paths.len(),
        differences.join("\n")
    );
}

/// Version 2.0.0 gives up at the first place that a later part of the path does not fit; later versions pass it by.
fn is_strict(message: &str) -> bool {
    [
        "not found in path",
        "can only be applied to arrays",
        "can not be applied to primitives",
        "path leafs",
        "No results",
        "Index out of bounds",
        "Missing property",
    ]
    .iter()
    .any(|strict| message.contains(strict))
}

#[test]
fn written_paths_read_as_in_jayway() {
    compare(&include_str!("oracle/paths.txt").lines().map(str::to_owned).collect::<Vec<_>>());
}

/// Pieces that, put together at random, are paths.
fn step() -> impl Strategy<Value = &'static str> {
    prop::sample::select(include_str!("oracle/steps.txt").lines().collect::<Vec<_>>())
}

fn generated(strategy: impl Strategy<Value = String>) -> Vec<String> {
    let cases = std::env::var("ORACLE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3000);
    let seed = std::env::var("ORACLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u8);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..cases).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn generated_paths_read_as_in_jayway() {
    let steps = prop::collection::vec(step(), 1..6);
    compare(&generated(steps.prop_map(|steps| format!("${}", steps.concat()))));
}

/// Pieces of documents, most of which are none when they are put together at random.
const PIECES: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\"a\"",
    "\"b\":",
    "'c'",
    "'d':",
    "e",
    "f:",
    "1",
    "-",
    "2.5",
    "1e3",
    "E",
    "007",
    ".5",
    "+",
    "true",
    "false",
    "null",
    "nul",
    "NaN",
    "\"",
    "'",
    "\\",
    "\\n",
    "\\u00e9",
    "\\ud83d\\ude00",
    "\\x41",
    "\\q",
    "\t",
    "\u{7f}",
    "é",
    "~",
    "&",
    "=",
    "%",
    "\"it's\"",
    "2015-03-31",
];

/// What resembles JSON is read as Jayway reads it, and everything else refused.
#[test]
fn documents_read_as_in_jayway() {
    let written = include_str!("oracle/documents.txt").lines().map(str::to_owned);
    let pieces = prop::collection::vec(prop::sample::select(&PIECES[..]), 1..12);
    let documents: Vec<String> =
        written.chain(generated(pieces.prop_map(|pieces| pieces.concat()))).collect();
    let lines: Vec<_> = documents.iter().map(String::as_str).collect();
    let Some(answers) = answers(&lines, &["documents"]) else { return };
    let mut differences = Vec::new();
    // What is beyond a double's range is nothing to json-smart.
    let text =
        |value: &Value| value.to_string().replace("1.7976931348623157e+308", "null").replace("-null", "null");
    for (document, theirs) in documents.iter().zip(&answers) {
        let ours = stagedoor_jsonpath::json::read_leniently(document.as_bytes());
        let same = match (theirs, &ours) {
            // The order of names counts, so the texts are compared.
            (Ok(theirs), Ok(ours)) => text(theirs) == text(ours),
            // Jayway refuses these before or after its parser sees them.
            (Err(_), Err(_)) => true,
            (Err(message), Ok(_)) => message.contains("can not be null"),
            _ => false,
        };
        if !same {
            differences.push(format!("{document}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
    }
    let (count, all) = (differences.len(), documents.len());
    assert!(differences.is_empty(), "{count} of {all} differ:\n{}", differences.join("\n"));
}
