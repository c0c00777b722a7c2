//! Compares this engine with Velocity itself, byte for byte.
//!
//! It needs `java`, `javac` and Velocity 1.7 (Debian: `default-jdk-headless`, `velocity`), and says so and passes if
//! they are not installed. `VELOCITY_CLASSPATH` names the jars if they are elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use stagedoor_velocity::{Context, Map, Template, Value};

/// What came out: the output, or that it was refused.
type Answer = Result<String, String>;

struct Oracle {
    classpath: String,
    classes: tempfile::TempDir,
}

impl Oracle {
    fn find() -> Option<Self> {
        let jars = ["velocity", "commons-collections3", "commons-lang"];
        let default = jars.map(|jar| format!("/usr/share/java/{jar}.jar")).join(":");
        let classpath = std::env::var("VELOCITY_CLASSPATH").unwrap_or(default);
        if let Some(missing) = classpath.split(':').find(|jar| !Path::new(jar).exists()) {
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
        Some(Self { classpath, classes })
    }

    fn answers(&self, templates: &[String]) -> Vec<Answer> {
        let input = self.classes.path().join("input");
        let mut file = fs::File::create(&input).unwrap();
        for template in templates {
            writeln!(file, "{}", STANDARD.encode(template)).unwrap();
        }
        let classpath = format!("{}:{}", self.classpath, self.classes.path().display());
        let output = Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-cp", &classpath, "Runner"])
            .stdin(fs::File::open(&input).unwrap())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let decode = |text: &str| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        let answers: Vec<Answer> = text
            .lines()
            .map(|line| match line.split_once(' ') {
                Some(("ok", output)) => Ok(decode(output)),
                Some(("error", message)) => Err(decode(message)),
                _ => panic!("an answer out of protocol: {line}"),
            })
            .collect();
        assert_eq!(answers.len(), templates.len(), "the runner ended early");
        answers
    }
}

fn context() -> Context {
    let mut context = Context::new();
    for (name, text) in [("text", "Hello World"), ("s", "str"), ("empty", ""), ("wide", "Grüße 😀 你好")]
    {
        context.set(name, text);
    }
    context.set("n", 5);
    context.set("zero", 0);
    context.set("big", 3_000_000_000_i64);
    context.set("d", 2.5);
    context.set("yes", true);
    context.set("no", false);
    context.set("list", Value::list(vec!["a".into(), "b".into(), "c".into()]));
    context.set("numbers", Value::list(vec![3.into(), 1.into(), 2.into()]));
    let inner: Map = [("deep", Value::from("x"))].into_iter().collect();
    let map: Map = [
        ("k", Value::from("v")),
        ("n", 1.into()),
        ("map", Value::Map(inner)),
        ("list", Value::list(vec![1.into(), "two".into()])),
    ]
    .into_iter()
    .collect();
    context.set("map", Value::Map(map));
    let pet = |name: &str| {
        let price = f64::from(u8::try_from(name.len()).unwrap()) * 10.5;
        Value::Map([("name", Value::from(name)), ("price", price.into())].into_iter().collect())
    };
    context.set("pets", Value::list(vec![pet("cat"), pet("dog"), pet("bird")]));
    context
}

fn ours(template: &str) -> Answer {
    let parsed = Template::parse(template).map_err(|error| error.to_string())?;
    parsed.render(&mut context()).map_err(|error| error.to_string())
}

/// Every difference, printed as the template, Velocity's answer and ours.
fn compare(oracle: &Oracle, templates: &[String]) -> Vec<String> {
    let answers = oracle.answers(templates);
    let differs = |theirs: &Answer, ours: &Answer| match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => theirs != ours,
        (Err(_), Err(_)) => false,
        // Arguments that no such method takes: reflection throws where here the method does not exist.
        (Err(message), Ok(_)) => ![
            "IllegalArgumentException",
            "NullPointerException",
            "ClassCastException",
            "argument type mismatch",
        ]
        .iter()
        .any(|reflection| message.contains(reflection)),
        // Lists and maps are no keys here.
        (Ok(_), Err(message)) => !message.contains("cannot be a key"),
    };
    let pairs = templates.iter().zip(answers);
    let pairs = pairs.map(|(template, theirs)| (template, theirs, ours(template)));
    let different = pairs.filter(|(_, theirs, ours)| differs(theirs, ours));
    different
        .map(|(template, theirs, ours)| format!("{template:?}\n  theirs {theirs:?}\n  ours   {ours:?}"))
        .collect()
}

/// The templates of a file, separated by lines of `----`.
fn cases(text: &str) -> Vec<String> {
    text.split("\n----\n").map(str::to_owned).collect()
}

#[test]
fn written_templates_render_as_in_velocity() {
    let Some(oracle) = Oracle::find() else { return };
    let mut templates = Vec::new();
    for entry in fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oracle")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "vtl") {
            templates.extend(cases(&fs::read_to_string(path).unwrap()));
        }
    }
    // One case per line there: each line is a template of its own, in which \n is a line end.
    let lines = include_str!("oracle/lines.txt").lines();
    templates.extend(lines.map(|line| line.replace("\\n", "\n").replace("\\t", "\t")));
    let differences = compare(&oracle, &templates);
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        templates.len(),
        differences.join("\n")
    );
}

/// Pieces that, put together at random, are often templates and often nearly so.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(include_str!("oracle/pieces.txt").lines().collect::<Vec<_>>());
    fixed.prop_map(|piece| piece.replace("\\n", "\n").replace("\\t", "\t"))
}

#[test]
fn generated_templates_render_as_in_velocity() {
    let Some(oracle) = Oracle::find() else { return };
    let cases = std::env::var("ORACLE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1500);
    // A fixed seed, or one from outside: a failure in one run is a failure in the next.
    let seed = std::env::var("ORACLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u8);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = prop::collection::vec(piece(), 1..9).prop_map(|pieces| pieces.concat());
    let templates: Vec<String> =
        (0..cases).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let differences = compare(&oracle, &templates);
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        templates.len(),
        differences.join("\n")
    );
}

/// Calls of methods with arguments that mostly fit.
fn call() -> impl Strategy<Value = String> {
    let receivers =
        vec!["$text", "$wide", "$s", "$empty", "$n", "$big", "$d", "$yes", "$list", "$numbers", "$map"];
    let methods = include_str!("oracle/methods.txt").lines().collect::<Vec<_>>();
    let arguments = include_str!("oracle/arguments.txt").lines().collect::<Vec<_>>();
    let arguments = prop::collection::vec(prop::sample::select(arguments), 0..3);
    (prop::sample::select(receivers), prop::sample::select(methods), arguments).prop_map(
        |(receiver, method, arguments)| {
            let call = format!("{receiver}.{method}({})", arguments.join(", "));
            format!("{call}|#if({call})T#{{else}}F#end|{receiver}")
        },
    )
}

#[test]
fn methods_do_as_in_java() {
    let Some(oracle) = Oracle::find() else { return };
    let cases = std::env::var("ORACLE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3000);
    let seed = std::env::var("ORACLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u8);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let templates: Vec<String> =
        (0..cases).map(|_| call().new_tree(&mut runner).unwrap().current()).collect();
    let differences = compare(&oracle, &templates);
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        templates.len(),
        differences.join("\n")
    );
}
