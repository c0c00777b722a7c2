//! Edits under load, broken edits, and what is left when the gateway is killed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Bench, alive, until, write};
use serde_json::{Value, json};
use stagedoor_functions::Settings;

fn node(version: u32) -> String {
    format!("export const handler = async () => {version};\n")
}

fn python(version: u32) -> String {
    format!("def handler(event, context):\n    return {version}\n")
}

async fn until_it_answers(bench: &Bench, name: &str, expected: u32) -> Duration {
    let start = Instant::now();
    loop {
        let answer = bench.call(name, json!({})).await;
        if answer == expected {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "still {answer}, not {expected}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Edits while four callers loop: no call may fail, and each edit shows.
async fn edit_under_load(file: &str, runtime: &str, source: fn(u32) -> String, broken: &str) {
    let bench = Bench::new(&[(file, &source(0))]);
    bench.put("edited", runtime, "app.handler");
    until_it_answers(&bench, "edited", 0).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let functions = bench.functions.clone();
        let stopped = stopped.clone();
        callers.spawn(async move {
            let mut calls = 0_u64;
            while !*stopped.borrow() {
                let output = functions.invoke(common::invocation("edited", &json!({}))).await.unwrap();
                assert_eq!(output.function_error, None, "{}", String::from_utf8_lossy(&output.payload));
                calls += 1;
            }
            calls
        });
    }
    let mut slowest = Duration::ZERO;
    for version in 1..=10 {
        if version % 3 == 0 {
            // Half of a file, and then the whole one.
            write(bench.code.path(), file, broken);
            tokio::time::timeout(Duration::from_millis(200), std::future::pending::<()>()).await.unwrap_err();
        }
        write(bench.code.path(), file, &source(version));
        slowest = slowest.max(until_it_answers(&bench, "edited", version).await);
    }
    stop.send(true).unwrap();
    let mut calls = 0;
    while let Some(done) = callers.join_next().await {
        calls += done.unwrap();
    }
    assert!(calls > 100, "{calls}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editing_a_node_handler_fails_no_call() {
    edit_under_load("app.mjs", "nodejs20.x", node, "export const handler = async () => {").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editing_a_python_handler_fails_no_call() {
    edit_under_load("app.py", "python3.12", python, "def handler(event, context):\n    return (").await;
}

#[tokio::test]
async fn a_broken_edit_keeps_the_last_good_code_and_a_new_directory_is_watched() {
    let bench = Bench::new(&[("app.mjs", &node(1))]);
    bench.put("edited", "nodejs20.x", "app.handler");
    until_it_answers(&bench, "edited", 1).await;
    for broken in ["export const handler = ;", "import './missing.mjs';", "throw new Error('x');", ""] {
        write(bench.code.path(), "app.mjs", broken);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            assert_eq!(bench.call("edited", json!({})).await, 1);
        }
    }
    write(bench.code.path(), "lib/part.mjs", "export const part = 5;\n");
    write(
        bench.code.path(),
        "app.mjs",
        "import { part } from './lib/part.mjs';\nexport const handler = async () => part;\n",
    );
    until_it_answers(&bench, "edited", 5).await;
    write(bench.code.path(), "lib/part.mjs", "export const part = 6;\n");
    until_it_answers(&bench, "edited", 6).await;
}

/// What a process keeps while it lives: its number and how often it was called.
async fn state(bench: &Bench, name: &str) -> (u64, u64) {
    let answer = bench.call(name, json!({})).await;
    (answer[0].as_u64().unwrap(), answer[1].as_u64().unwrap())
}

#[tokio::test]
async fn only_a_functions_own_files_restart_it() {
    let node = "import { step } from './lib/step.mjs';\nlet calls = 0;\n\
        export const handler = async () => [process.pid, calls += step];\n";
    let python = "import os, step\ncalls = 0\ndef handler(event, context):\n    global calls\n    calls += step.STEP\n    \
        return [os.getpid(), calls]\n";
    let bench = Bench::new(&[
        ("users.mjs", node),
        ("lib/step.mjs", "export const step = 1;\n"),
        ("orders.py", python),
        ("step.py", "STEP = 1\n"),
        ("openapi.yaml", "openapi: 3.0.1\n"),
    ]);
    bench.put("users", "nodejs20.x", "users.handler");
    bench.put("orders", "python3.12", "orders.handler");
    let (users, orders) = (state(&bench, "users").await, state(&bench, "orders").await);
    for (name, text) in [
        ("openapi.yaml", "openapi: 3.0.3\n"),
        ("notes.txt", "remember\n"),
        ("README.md", "read\n"),
        (".users.mjs.swp", "swap"),
        ("orders.py~", "old"),
    ] {
        write(bench.code.path(), name, text);
    }
    // The other language's own edit shows that the watcher is through with those before it.
    write(bench.code.path(), "step.py", "STEP = 10\n");
    let pid = orders.0;
    while state(&bench, "orders").await.0 == pid {}
    assert_eq!(state(&bench, "users").await, (users.0, users.1 + 1));
    let orders = state(&bench, "orders").await;
    write(bench.code.path(), "lib/step.mjs", "export const step = 10;\n");
    while state(&bench, "users").await.0 == users.0 {}
    assert_eq!(state(&bench, "orders").await, (orders.0, orders.1 + 10));
    write(bench.code.path(), "users.mjs", "export const handler = async () => 2;\n");
    until_it_answers(&bench, "users", 2).await;
    assert_eq!(state(&bench, "orders").await, (orders.0, orders.1 + 20));
}

/// Python takes a compiled file for current if the second and the size are the same.
#[tokio::test]
async fn two_edits_of_one_length_in_one_second_both_take_effect() {
    let module = |value: u32| format!("VALUE = {value}\n");
    let bench = Bench::new(&[
        ("app.py", "import part\ndef handler(event, context):\n    return part.VALUE\n"),
        ("part.py", &module(1)),
    ]);
    bench.put("edited", "python3.12", "app.handler");
    until_it_answers(&bench, "edited", 1).await;
    // Always the same second, and one that is too new however slow this machine is.
    let second = std::time::SystemTime::now() + Duration::from_secs(60);
    for value in [2, 3] {
        write(bench.code.path(), "part.py", &module(value));
        let file = std::fs::File::options().write(true).open(bench.code.path().join("part.py")).unwrap();
        file.set_modified(second).unwrap();
        until_it_answers(&bench, "edited", value).await;
    }
}

#[tokio::test]
async fn a_call_under_way_finishes_on_the_code_it_began_with() {
    let slow = "export const handler = async (event) => { await new Promise((done) => setTimeout(done, event.wait ?? 0)); return 1; };\n";
    let bench = Bench::new(&[("app.mjs", slow)]);
    bench.put("edited", "nodejs20.x", "app.handler");
    until_it_answers(&bench, "edited", 1).await;
    let under_way = bench.functions.invoke(common::invocation("edited", &json!({"wait": 1500})));
    write(bench.code.path(), "app.mjs", &node(2));
    until_it_answers(&bench, "edited", 2).await;
    assert_eq!(under_way.await.unwrap().payload, "1");
}

#[tokio::test]
async fn a_new_configuration_replaces_the_old_one() {
    let bench = Bench::new(&[("app.mjs", "export const handler = async () => process.env.NAME ?? null;\n")]);
    bench.put("named", "nodejs20.x", "app.handler");
    assert_eq!(bench.call("named", json!({})).await, Value::Null);
    let mut config = bench.config("named", "nodejs20.x", "app.handler");
    config.environment.insert("NAME".to_owned(), "new".to_owned());
    bench.functions.put(config.clone()).unwrap();
    assert_eq!(bench.call("named", json!({})).await, "new");
    config.environment.clear();
    config.version = "1".to_owned();
    bench.functions.put(config).unwrap();
    bench.functions.set_alias("named", "live", Some("1"));
    assert_eq!(bench.call("named:live", json!({})).await, Value::Null);
    assert_eq!(bench.call("named", json!({})).await, "new");
    assert!(bench.functions.remove("named", None));
    assert!(bench.functions.get("named").is_none());
}

#[tokio::test]
async fn idle_processes_go() {
    let settings = Settings { idle_timeout: Duration::from_millis(100), ..Settings::default() };
    let bench = Bench::with(settings, &[("app.mjs", "export const handler = async () => process.pid;\n")]);
    bench.put("brief", "nodejs20.x", "app.handler");
    let pid = bench.call("brief", json!({})).await.as_u64().unwrap();
    until("the idle process is gone", || !alive(pid)).await;
    assert_ne!(bench.call("brief", json!({})).await.as_u64().unwrap(), pid);
}

#[tokio::test]
async fn shutting_down_waits_for_nothing() {
    let bench = Bench::new(&[("app.mjs", &node(1)), ("app.py", &python(2))]);
    bench.put("node", "nodejs20.x", "app.handler");
    bench.put("python", "python3.12", "app.handler");
    until_it_answers(&bench, "node", 1).await;
    until_it_answers(&bench, "python", 2).await;
    let start = Instant::now();
    bench.functions.shutdown().await;
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
}

/// Runs as a gateway of its own when the variable is set, and is killed by the test below.
#[tokio::test]
async fn killing_the_gateway_leaves_no_process() {
    const ROLE: &str = "STAGEDOOR_TEST_GATEWAY";
    const HANDLER: &str = "import { spawn } from 'node:child_process';\n\
        export const handler = async () => { const child = spawn('sleep', ['1000']); console.log('running');\n\
        process.stderr.write('\\n'); setTimeout(() => { for (;;); }, 10);\n\
        (await import('node:fs')).writeFileSync(process.env.FILE, `${process.pid} ${child.pid} ${process.env.HOME}`);\n\
        return new Promise(() => {}); };\n";
    if let Ok(file) = std::env::var(ROLE) {
        let bench = Bench::new(&[("app.mjs", HANDLER)]);
        let mut config = bench.config("stays", "nodejs20.x", "app.handler");
        config.timeout = Duration::from_secs(600);
        config.environment.insert("FILE".to_owned(), file);
        bench.functions.put(config).unwrap();
        println!("ready");
        let _ = bench.raw("stays", &json!({})).await;
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let mut gateway = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killing_the_gateway_leaves_no_process", "--nocapture"])
        .env(ROLE, &file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(gateway.stdout.take().unwrap());
    assert!(output.lines().map_while(Result::ok).any(|line| line.contains("ready")));
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    until("the function runs", || read().split(' ').count() == 3).await;
    let text = read();
    let parts: Vec<_> = text.split(' ').collect();
    let pids: Vec<u64> = parts[..2].iter().map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| alive(*pid)));
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    for pid in pids {
        until("the process is gone", || !alive(pid)).await;
    }
    until("the temporary files are gone", || !std::path::Path::new(parts[2]).exists()).await;
}
