//! Real Node, Python and shell handlers: results, context, environment, and each failure as Lambda reports it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod common;

use std::time::{Duration, Instant};

use common::{Bench, alive, invocation, tail, until, write};
use serde_json::{Value, json};
use stagedoor_functions::{ConfigError, InvocationType, InvokeError, RESULT_BYTES_MAX, Settings};

const NODE: &str = r#"
import { spawn } from 'node:child_process';
export const echo = async (event) => event;
export const context = async (event, context) => ({ ...context, left: context.getRemainingTimeInMillis(),
  env: process.env, cwd: process.cwd(), stdin: await new Promise((done) => process.stdin.on('data', () => {}).on('end', () => done('empty'))) });
export const boom = async () => { console.log('before', { a: 1 }); throw new TypeError('no\nway'); };
export const hang = async () => new Promise((done) => setTimeout(done, 60000));
export const spin = async () => { for (;;); };
export const exit = async (event) => process.exit(event.status);
export const kill = async (event) => { process.kill(process.pid, event.signal); await new Promise((done) => setTimeout(done, 60000)); };
export const big = async (event) => 'x'.repeat(event.size);
export const pid = async (event) => { await new Promise((done) => setTimeout(done, event.wait ?? 0)); return process.pid; };
export const children = async () => { const child = spawn('sleep', ['1000']); return [process.pid, child.pid]; };
export const spawnAndHang = async (event) => { const child = spawn('sleep', ['1000']);
  (await import('node:fs')).writeFileSync(event.file, `${process.pid} ${child.pid}`); return new Promise((done) => setTimeout(done, 60000)); };
export const detach = async (event) => { const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  (await import('node:fs')).writeFileSync(event.file, `${process.pid} ${child.pid}`); process.exit(0); };
export const flood = async (event) => { const line = 'y'.repeat(1023) + '\n';
  for (let i = 0; i < event.kib; i += 1) process.stdout.write(line); return 'done'; };
export const endless = async (event) => { for (let i = 0; i < event.kib; i += 1) process.stdout.write('z'.repeat(1024)); return 'done'; };
export const eat = async () => { const kept = []; for (;;) { kept.push(Buffer.alloc(1 << 24, 1)); await new Promise((done) => setTimeout(done, 5)); } };
export const late = async () => { setTimeout(() => { throw new Error('late'); }, 5); return new Promise((done) => setTimeout(done, 60000)); };
export const rejected = async () => { Promise.reject(new Error('lost')); return new Promise((done) => setTimeout(done, 60000)); };
export const circular = async () => { const a = {}; a.a = a; return a; };
export const nothing = async () => {};
export const meet = async (event) => { const fs = await import('node:fs'); fs.writeFileSync(`${event.dir}/${process.pid}`, '');
  while (fs.readdirSync(event.dir).length < event.count) await new Promise((done) => setTimeout(done, 5)); };
export const number = 7;
"#;

const COMMON_JS: &str = r#"
exports.back = (event, context, callback) => { setTimeout(() => callback(null, event), 5); };
exports.fails = (event, context, callback) => callback(new RangeError('far'));
exports.text = (event, context, callback) => callback('plain');
exports.waits = (event, context, callback) => { callback(null, 'early'); setTimeout(() => { exports.after = true; }, 30); };
exports.after = false;
exports.now = (event, context, callback) => { context.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 1000); callback(null, exports.after); };
exports.done = (event, context) => context.succeed({ done: true });
exports.silent = () => {};
exports.nested = { deep: { handler: async () => 'deep' } };
"#;

const PYTHON: &str = r#"
import json, logging, os, sys, time
def echo(event, context):
    return event
def context(event, context):
    return {"id": context.aws_request_id, "arn": context.invoked_function_arn, "name": context.function_name,
            "version": context.function_version, "memory": context.memory_limit_in_mb, "group": context.log_group_name,
            "left": context.get_remaining_time_in_millis(), "client": context.client_context.custom if context.client_context else None,
            "env": dict(os.environ)}
def boom(event, context):
    print("before")
    logging.getLogger().warning("warned")
    raise ValueError("no way")
def hang(event, context):
    time.sleep(60)
def leave(event, context):
    sys.exit(event["status"])
def odd(event, context):
    return object()
"#;

async fn node() -> Bench {
    let bench = Bench::new(&[("app.mjs", NODE), ("old.js", COMMON_JS)]);
    for name in NODE.lines().filter_map(|line| line.strip_prefix("export const ")) {
        let name = name.split(' ').next().unwrap();
        bench.put(name, "nodejs20.x", &format!("app.{name}"));
    }
    bench
}

#[tokio::test]
async fn node_gets_events_and_context() {
    let bench = node().await;
    let event = json!({"a": [1, "ü", null], "b": {"c": true}});
    assert_eq!(bench.call("echo", event.clone()).await, event);
    assert_eq!(bench.call("nothing", json!({})).await, Value::Null);
    assert_eq!(bench.call("big", json!({"size": 5_000_000})).await.as_str().map(str::len), Some(5_000_000));
    let large = json!({"text": "x".repeat(5_000_000)});
    assert_eq!(bench.call("echo", large.clone()).await, large);

    let mut call = invocation("arn:aws:lambda:us-east-1:000000000000:function:context:$LATEST", &json!({}));
    call.request_id = Some("r-7".to_owned());
    call.trace_id = Some("Root=1-2-3".to_owned());
    call.client_context = Some(r#"{"custom":{"a":1}}"#.to_owned());
    let output = bench.functions.invoke(call).await.unwrap();
    let seen: Value = serde_json::from_slice(&output.payload).unwrap();
    assert_eq!(seen["awsRequestId"], "r-7");
    assert_eq!(seen["functionName"], "context");
    assert_eq!(seen["functionVersion"], "$LATEST");
    assert_eq!(seen["invokedFunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:context:$LATEST");
    assert_eq!(seen["memoryLimitInMB"], "128");
    assert_eq!(seen["logGroupName"], "/aws/lambda/context");
    assert_eq!(seen["clientContext"]["custom"]["a"], 1);
    assert_eq!(seen["callbackWaitsForEmptyEventLoop"], true);
    assert_eq!(seen["stdin"], "empty");
    let left = seen["left"].as_u64().unwrap();
    assert!((2000..=3000).contains(&left), "{left}");
    assert_eq!(output.executed_version, "$LATEST");

    let env = seen["env"].as_object().unwrap();
    assert_eq!(env["_X_AMZN_TRACE_ID"], "Root=1-2-3");
    assert_eq!(env["_HANDLER"], "app.context");
    assert_eq!(env["AWS_REGION"], "us-east-1");
    assert_eq!(env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "128");
    assert_eq!(env["TZ"], ":UTC");
    assert_eq!(env["LAMBDA_TASK_ROOT"], seen["cwd"]);
    assert_eq!(env["AWS_EXECUTION_ENV"], "AWS_Lambda_nodejs20.x");
}

#[tokio::test]
async fn nothing_of_the_gateways_environment_reaches_a_function() {
    // Every test runs with these; a gateway would have its credentials there.
    let own: Vec<_> =
        std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("CARGO")).collect();
    assert!(!own.is_empty());
    let bench = node().await;
    let seen = bench.call("context", json!({})).await;
    let env = seen["env"].as_object().unwrap();
    assert!(own.iter().all(|name| !env.contains_key(name)), "{env:?}");
    let home = std::env::var("HOME").unwrap_or_default();
    assert_ne!(env["HOME"], Value::from(home));
}

#[tokio::test]
async fn callbacks_wait_for_the_event_loop_as_on_lambda() {
    let bench = Bench::new(&[("old.js", COMMON_JS)]);
    for name in ["back", "fails", "text", "done", "silent", "nested"] {
        let handler =
            if name == "nested" { "old.nested.deep.handler".to_owned() } else { format!("old.{name}") };
        bench.put(name, "nodejs20.x", &handler);
    }
    assert_eq!(bench.call("back", json!({"a": 1})).await, json!({"a": 1}));
    assert_eq!(bench.call("done", json!({})).await, json!({"done": true}));
    assert_eq!(bench.call("silent", json!({})).await, Value::Null);
    assert_eq!(bench.call("nested", json!({})).await, "deep");
    let (error, _) = bench.failure("fails", json!({})).await;
    assert_eq!((&error["errorType"], &error["errorMessage"]), (&json!("RangeError"), &json!("far")));
    let (error, _) = bench.failure("text", json!({})).await;
    assert_eq!(error, json!({"errorType": "string", "errorMessage": "plain", "trace": []}));
    // `waits` answers once its timer has fired, and `now` at once although its timer never ends.
    bench.put("both", "nodejs20.x", "old.waits");
    let start = Instant::now();
    assert_eq!(bench.call("both", json!({})).await, "early");
    assert!(start.elapsed() >= Duration::from_millis(30));
    bench.put("now", "nodejs20.x", "old.now");
    assert_eq!(bench.call("now", json!({})).await, false);
}

#[tokio::test]
async fn node_errors_have_lambdas_form() {
    let bench = node().await;
    let (error, log) = bench.failure("boom", json!({})).await;
    assert_eq!((&error["errorType"], &error["errorMessage"]), (&json!("TypeError"), &json!("no\nway")));
    assert_eq!(error["trace"][0], "TypeError: no");
    assert!(error["trace"].to_string().contains("/var/task/app.mjs:"), "{error}");
    assert!(log.starts_with("START RequestId: r-1 Version: $LATEST\n"), "{log}");
    assert!(log.contains("\tr-1\tINFO\tbefore { a: 1 }\n"), "{log}");
    assert!(log.contains("\tr-1\tERROR\tInvoke Error \t{"), "{log}");
    assert!(log.contains("END RequestId: r-1\nREPORT RequestId: r-1\tDuration: "), "{log}");
    assert!(log.contains("Init Duration: "), "{log}");

    let (error, _) = bench.failure("late", json!({})).await;
    assert_eq!(error["errorMessage"], "late");
    let (error, _) = bench.failure("rejected", json!({})).await;
    assert_eq!(error["errorType"], "Runtime.UnhandledPromiseRejection");
    assert_eq!(error["errorMessage"], "Error: lost");
    let (error, _) = bench.failure("circular", json!({})).await;
    assert_eq!(error["errorType"], "Runtime.MarshalError");
    // And after all of that it still works.
    assert_eq!(bench.call("echo", json!(1)).await, json!(1));
}

#[tokio::test]
async fn the_ends_of_a_process_are_told_as_lambda_tells_them() {
    let bench = node().await;
    let told = |reason: &str| json!({"errorType": "Runtime.ExitError", "errorMessage": format!("RequestId: r-1 Error: {reason}")});
    assert_eq!(
        bench.failure("exit", json!({"status": 1})).await.0,
        told("Runtime exited with error: exit status 1")
    );
    assert_eq!(
        bench.failure("exit", json!({"status": 0})).await.0,
        told("Runtime exited without providing a reason")
    );
    assert_eq!(
        bench.failure("kill", json!({"signal": "SIGKILL"})).await.0,
        told("Runtime exited with error: signal: killed")
    );
    assert_eq!(
        bench.failure("kill", json!({"signal": "SIGSEGV"})).await.0,
        told("Runtime exited with error: signal: segmentation fault")
    );
    let (error, _) = bench.failure("big", json!({"size": RESULT_BYTES_MAX + 1})).await;
    assert_eq!(
        error,
        json!({"errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
            "errorType": "Function.ResponseSizeTooLarge"})
    );
    // The process survives a result that is too large.
    assert_eq!(bench.call("big", json!({"size": 1})).await, "x");
    let (error, _) = bench.failure("eat", json!({})).await;
    assert_eq!(error["errorType"], "Runtime.OutOfMemory");
}

#[tokio::test]
async fn a_timeout_kills_the_process_and_its_children() {
    let bench = node().await;
    for name in ["hang", "spin", "spawnAndHang"] {
        let mut config = bench.config(name, "nodejs20.x", &format!("app.{name}"));
        config.timeout = Duration::from_secs(1);
        bench.functions.put(config).unwrap();
    }
    let told = json!({"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: r-1 Error: Task timed out after 1.00 seconds"});
    let (error, log) = bench.failure("hang", json!({})).await;
    assert_eq!(error, told);
    assert!(log.contains("Task timed out after 1.00 seconds"), "{log}");
    assert_eq!(bench.failure("spin", json!({})).await.0, told);
    let file = bench.code.path().join("node_modules");
    std::fs::create_dir(&file).unwrap();
    let file = file.join("pids");
    assert_eq!(bench.failure("spawnAndHang", json!({"file": file})).await.0, told);
    let pids = std::fs::read_to_string(file).unwrap();
    for pid in pids.split(' ') {
        let pid = pid.parse().unwrap();
        until("the process is gone", || !alive(pid)).await;
    }
}

#[tokio::test]
async fn a_detached_child_ends_with_its_process() {
    let bench = node().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    bench.failure("detach", json!({"file": file})).await;
    for pid in std::fs::read_to_string(file).unwrap().split(' ') {
        let pid = pid.parse().unwrap();
        until("the process is gone", || !alive(pid)).await;
    }
}

#[tokio::test]
async fn a_process_that_was_killed_while_idle_costs_no_call() {
    let bench = node().await;
    for _ in 0..20 {
        let pid = bench.call("pid", json!({})).await.as_u64().unwrap();
        let status = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(status.success());
        assert_ne!(bench.call("pid", json!({})).await.as_u64().unwrap(), pid);
    }
}

#[tokio::test]
async fn shutting_down_leaves_no_process() {
    let bench = node().await;
    let pids = bench.call("children", json!({})).await;
    let pids: Vec<_> = pids.as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()).collect();
    assert!(pids.iter().all(|pid| alive(*pid)));
    bench.functions.shutdown().await;
    for pid in pids {
        until("the process is gone", || !alive(pid)).await;
    }
    assert!(matches!(bench.raw("children", &json!({})).await, Err(InvokeError::NotFound(_))));
}

#[tokio::test]
async fn output_without_end_is_bounded() {
    let bench = node().await;
    let mut call = invocation("flood", &json!({"kib": 200 * 1024}));
    call.log_tail = true;
    let before = resident_kib();
    bench
        .functions
        .put({
            let mut config = bench.config("flood", "nodejs20.x", "app.flood");
            config.timeout = Duration::from_secs(60);
            config
        })
        .unwrap();
    bench
        .functions
        .put({
            let mut config = bench.config("endless", "nodejs20.x", "app.endless");
            config.timeout = Duration::from_secs(60);
            config
        })
        .unwrap();
    let output = bench.functions.invoke(call).await.unwrap();
    assert_eq!(output.payload, "\"done\"");
    assert!(tail(&output).len() <= 4096);
    assert_eq!(bench.call("endless", json!({"kib": 100 * 1024})).await, "done");
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 50 * 1024, "grew by {grown} KiB");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn slow_calls_run_side_by_side_and_concurrency_is_held() {
    let bench = node().await;
    let mut config = bench.config("meet", "nodejs20.x", "app.meet");
    config.timeout = Duration::from_secs(60);
    bench.functions.put(config).unwrap();
    // Each call waits until there are five of them.
    let dir = tempfile::tempdir().unwrap();
    let event = json!({"dir": dir.path(), "count": 5});
    let calls: Vec<_> = (0..5).map(|_| bench.functions.invoke(invocation("meet", &event))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().function_error, None);
    }

    let mut config = bench.config("narrow", "nodejs20.x", "app.pid");
    config.concurrency = 2;
    bench.functions.put(config).unwrap();
    let first = bench.functions.invoke(invocation("narrow", &json!({"wait": 300})));
    let second = bench.functions.invoke(invocation("narrow", &json!({"wait": 300})));
    let third = bench.functions.invoke(invocation("narrow", &json!({}))).await;
    assert!(matches!(third, Err(InvokeError::TooManyRequests)), "{third:?}");
    first.await.unwrap();
    second.await.unwrap();
    bench.call("narrow", json!({})).await;
}

#[tokio::test]
async fn more_callers_than_processes_wait_for_their_turn() {
    let settings = Settings { processes_max: 2, ..Settings::default() };
    let bench = Bench::with(settings, &[("app.mjs", NODE)]);
    bench.put("pid", "nodejs20.x", "app.pid");
    let calls: Vec<_> =
        (0..20).map(|_| bench.functions.invoke(invocation("pid", &json!({"wait": 20})))).collect();
    let mut pids = Vec::new();
    for call in calls {
        pids.push(call.await.unwrap().payload);
    }
    pids.sort();
    pids.dedup();
    assert!(pids.len() <= 2, "{pids:?}");
}

#[tokio::test]
async fn what_cannot_be_invoked_is_refused() {
    let bench = node().await;
    let missing = bench.raw("unknown", &json!({})).await;
    assert!(matches!(missing, Err(InvokeError::NotFound(_))), "{missing:?}");
    let missing = bench.raw("echo:7", &json!({})).await;
    assert!(matches!(missing, Err(InvokeError::NotFound(_))), "{missing:?}");
    let large = bench.raw("echo", &json!("x".repeat(6_291_456))).await;
    assert!(matches!(large, Err(InvokeError::PayloadTooLarge { limit: 6_291_456 })), "{large:?}");
    let config = bench.config("lost", "nodejs20.x", "lost.handler");
    let refused = bench.functions.put(config).unwrap_err();
    assert!(matches!(refused, ConfigError::HandlerFile { .. }), "{refused}");
    let mut call = invocation("exit", &json!({"status": 1}));
    call.invocation_type = InvocationType::DryRun;
    assert_eq!(bench.functions.invoke(call).await.unwrap().payload, "");
}

#[tokio::test]
async fn what_a_handler_stores_for_one_request_does_not_reach_the_next() {
    const STORES: &str = r#"
const { AsyncLocalStorage } = require('node:async_hooks');
const store = new AsyncLocalStorage();
exports.handler = async (event) => { const before = store.getStore() ?? null; store.enterWith(event); await null; return before; };
"#;
    let bench = Bench::new(&[("app.js", STORES)]);
    bench.put("stores", "nodejs20.x", "app.handler");
    // At once, and in a burst, where one process takes one event after the other.
    let calls: Vec<_> =
        (0..200).map(|number| bench.functions.invoke(invocation("stores", &json!(number)))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().payload, "null");
    }
}

#[tokio::test]
async fn work_that_a_handler_leaves_behind_goes_on_with_later_events() {
    const LEAVES: &str = r#"
let fired = 0;
exports.handler = async () => { setTimeout(() => { fired += 1; }, 20); return fired; };
"#;
    let settings = Settings { processes_max: 1, ..Settings::default() };
    let bench = Bench::with(settings, &[("app.js", LEAVES)]);
    bench.put("leaves", "nodejs20.x", "app.handler");
    bench.call("leaves", json!({})).await;
    let start = Instant::now();
    while bench.call("leaves", json!({})).await == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "the timer never fires");
    }
}

#[tokio::test]
async fn a_caller_who_gives_up_leaves_the_process_to_finish() {
    let settings = Settings { processes_max: 1, ..Settings::default() };
    let bench = Bench::with(settings, &[("app.mjs", NODE)]);
    bench.put("pid", "nodejs20.x", "app.pid");
    let pid = bench.call("pid", json!({})).await;
    let slow = bench.functions.call(invocation("pid", &json!({"wait": 200})));
    assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    // Whoever waits in the queue and gives up gets no process that others then lack.
    let queued = bench.functions.call(invocation("pid", &json!({})));
    assert!(tokio::time::timeout(Duration::from_millis(20), queued).await.is_err());
    assert_eq!(bench.functions.call(invocation("pid", &json!({}))).await.unwrap().payload, pid.to_string());
}

#[tokio::test]
async fn an_asynchronous_call_returns_at_once_and_runs() {
    let bench = node().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let mut call = invocation("spawnAndHang", &json!({"file": file}));
    call.invocation_type = InvocationType::Event;
    assert_eq!(bench.functions.invoke(call).await.unwrap().payload, "");
    until("the function ran", || file.exists()).await;
}

#[tokio::test]
async fn python_gets_events_and_context() {
    let bench = Bench::new(&[("app.py", PYTHON)]);
    for name in ["echo", "context", "boom", "hang", "leave", "odd"] {
        bench.put(name, "python3.12", &format!("app.{name}"));
    }
    let event = json!({"a": [1, "ü", null], "text": "x".repeat(1_000_000)});
    assert_eq!(bench.call("echo", event.clone()).await, event);
    let mut call = invocation("context", &json!({}));
    call.client_context = Some(r#"{"custom":{"a":1}}"#.to_owned());
    call.request_id = Some("r-9".to_owned());
    let output = bench.functions.invoke(call).await.unwrap();
    let seen: Value = serde_json::from_slice(&output.payload).unwrap();
    assert_eq!(seen["id"], "r-9");
    assert_eq!(seen["arn"], "arn:aws:lambda:us-east-1:000000000000:function:context");
    assert_eq!((&seen["name"], &seen["version"]), (&json!("context"), &json!("$LATEST")));
    assert_eq!(seen["client"], json!({"a": 1}));
    assert!(!seen["env"].as_object().unwrap().keys().any(|name| name.starts_with("CARGO")));

    let (error, log) = bench.failure("boom", json!({})).await;
    assert_eq!(
        error,
        json!({"errorMessage": "no way", "errorType": "ValueError", "requestId": "r-1",
            "stackTrace": ["  File \"/var/task/app.py\", line 13, in boom\n    raise ValueError(\"no way\")\n"]})
    );
    assert!(log.contains("before\n"), "{log}");
    assert!(log.contains("[WARNING]\t"), "{log}");
    assert!(log.contains("[ERROR] ValueError: no way\rTraceback"), "{log}");
    let (error, _) = bench.failure("leave", json!({"status": 3})).await;
    assert_eq!(error["errorMessage"], "RequestId: r-1 Error: Runtime exited with error: exit status 3");
    let (error, _) = bench.failure("odd", json!({})).await;
    assert_eq!(error["errorType"], "Runtime.MarshalError");
    assert!(!bench.code.path().join("__pycache__").exists());
}

#[tokio::test]
async fn python_returns_the_numbers_of_dynamodb() {
    let source = "from decimal import Decimal\ndef handler(event, context):\n    return [Decimal('2.5'), Decimal('12')]\n";
    let bench = Bench::new(&[("app.py", source)]);
    bench.put("f", "python3.12", "app.handler");
    assert_eq!(bench.call("f", json!({})).await, json!([2.5, 12]));
}

#[tokio::test]
async fn failures_to_start_answer_the_first_call() {
    let bench = Bench::new(&[
        ("syntax.mjs", "export const handler = async (event) => {\n  return {;\n};\n"),
        ("nested.mjs", "import './syntax.mjs';\nexport const handler = async () => 1;\n"),
        ("common.js", "exports.handler = async () => {\n  return {;\n};\n"),
        ("throws.js", "throw new Error('at start');\n"),
        ("imports.mjs", "import 'not-there';\nexport const handler = async () => 1;\n"),
        ("empty.mjs", "export const number = 7;\n"),
        ("exits.js", "process.exit(7);\n"),
        ("syntax.py", "def handler(event, context):\n    return {;\n"),
        ("throws.py", "raise ValueError('at start')\n"),
        ("imports.py", "import not_there\n"),
        ("empty.py", "number = 7\n"),
    ]);
    let check = async |name: &str, runtime: &str, kind: &str, part: &str| {
        bench.put(name, runtime, &format!("{name}.handler"));
        for _ in 0..2 {
            let (error, _) = bench.failure(name, json!({})).await;
            assert_eq!(error["errorType"], kind, "{name} {error}");
            assert!(error["errorMessage"].as_str().unwrap().contains(part), "{name} {error}");
        }
    };
    check("syntax", "nodejs20.x", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected token ';'").await;
    check("nested", "nodejs20.x", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected token ';'").await;
    check("common", "nodejs20.x", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected token ';'").await;
    bench.put("syntax", "nodejs20.x", "syntax.handler");
    for (name, place) in [("syntax", "syntax.mjs:2"), ("nested", "syntax.mjs:2"), ("common", "common.js:2")] {
        let (error, _) = bench.failure(name, json!({})).await;
        assert_eq!(error["trace"][1], format!("    at /var/task/{place}"), "{error}");
    }
    check("throws", "nodejs20.x", "Error", "at start").await;
    check("imports", "nodejs20.x", "Runtime.ImportModuleError", "not-there").await;
    check("empty", "nodejs20.x", "Runtime.HandlerNotFound", "empty.handler is undefined or not exported")
        .await;
    // The frames of the runtime itself are none of the author's business.
    let (error, log) = bench.failure("empty", json!({})).await;
    let expected = json!(["Runtime.HandlerNotFound: empty.handler is undefined or not exported"]);
    assert_eq!(error["trace"], expected);
    assert!(!log.contains("node.cjs"), "{log}");
    check(
        "exits",
        "nodejs20.x",
        "Runtime.ExitError",
        "RequestId: r-1 Error: Runtime exited with error: exit status 7",
    )
    .await;
    check("syntax", "python3.12", "Runtime.UserCodeSyntaxError", "Syntax error in module 'syntax'").await;
    check("throws", "python3.12", "ValueError", "at start").await;
    check(
        "imports",
        "python3.12",
        "Runtime.ImportModuleError",
        "Unable to import module 'imports': No module named 'not_there'",
    )
    .await;
    check("empty", "python3.12", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'empty'")
        .await;
}

#[tokio::test]
async fn events_that_wait_for_another_attempt_become_dead_letters_when_the_gateway_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (letters, seen) = (dir.path().join("letters.jsonl"), dir.path().join("seen"));
    let settings = Settings { dead_letters: Some(letters.clone()), ..Settings::default() };
    let source = "exports.handler = async (event) => { require('fs').writeFileSync(event.file, ''); throw new Error('no'); };";
    let bench = Bench::with(settings, &[("app.js", source)]);
    bench.put("fails", "nodejs20.x", "app.handler");
    let mut call = invocation("fails", &json!({"file": seen}));
    call.invocation_type = InvocationType::Event;
    bench.functions.invoke(call).await.unwrap();
    until("it has been tried", || seen.exists()).await;
    bench.functions.shutdown().await;
    let letter: Value = serde_json::from_str(&std::fs::read_to_string(letters).unwrap()).unwrap();
    assert_eq!(letter["requestPayload"]["file"], json!(seen));
    assert_eq!(letter["requestContext"]["condition"], "RetriesExhausted");
}

#[tokio::test]
async fn what_an_invocation_leaves_behind_harms_no_other() {
    let source = "exports.handler = async () => { Promise.reject(new Error('lost')); return 1; };\n";
    let bench = Bench::new(&[("app.js", source)]);
    bench.put("careless", "nodejs20.x", "app.handler");
    for _ in 0..20 {
        assert_eq!(bench.call("careless", json!({})).await, 1);
    }
}

#[tokio::test]
async fn packages_beside_the_handler_are_found() {
    let bench = Bench::new(&[
        ("node_modules/common/index.js", "exports.word = 'common';\n"),
        ("node_modules/modern/package.json", r#"{"type": "module", "exports": "./main.js"}"#),
        ("node_modules/modern/main.js", "export const word = 'modern';\n"),
        (
            "app.mjs",
            "import common from 'common';\nimport { word } from 'modern';\nexport const handler = async () => [common.word, word];\n",
        ),
        ("pack/__init__.py", "from .inner import WORD\n"),
        ("pack/inner.py", "WORD = 'packed'\n"),
        ("app.py", "import pack\ndef handler(event, context):\n    return pack.WORD\n"),
    ]);
    bench.put("n", "nodejs20.x", "app.handler");
    bench.put("p", "python3.12", "app.handler");
    assert_eq!(bench.call("n", json!({})).await, json!(["common", "modern"]));
    assert_eq!(bench.call("p", json!({})).await, "packed");
}

#[tokio::test]
async fn typescript_runs_where_node_runs_it_and_is_explained_elsewhere() {
    let asked =
        std::process::Command::new("node").args(["-p", "process.features.typescript"]).output().unwrap();
    let runs = String::from_utf8(asked.stdout).unwrap().trim() == "strip";
    let source = "type Event = { n: number };\nexport const handler = async (event: Event): Promise<number> => event.n + 1;\n";
    let bench = Bench::new(&[("app.mts", source)]);
    bench.put("typed", "nodejs20.x", "app.handler");
    if runs {
        assert_eq!(bench.call("typed", json!({"n": 1})).await, 2);
    } else {
        let (error, _) = bench.failure("typed", json!({"n": 1})).await;
        assert_eq!(error["errorType"], "Runtime.ImportModuleError");
        let message = error["errorMessage"].as_str().unwrap();
        assert!(message.contains("use Node 22.18 or newer, or compile it to .js"), "{message}");
    }
}

#[tokio::test]
async fn a_bootstrap_speaks_the_runtime_api() {
    const BOOTSTRAP: &str = r#"#!/usr/bin/env python3
import http.client, json, os, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def send(method, path, body=None, **options):
    api.request(method, "/2018-06-01/runtime" + path, body, **options)
    answer = api.getresponse()
    return answer.headers, answer.read()
while True:
    headers, body = send("GET", "/invocation/next")
    event = json.loads(body)
    place = "/invocation/" + headers["Lambda-Runtime-Aws-Request-Id"]
    if event == "fail":
        send("POST", place + "/error", json.dumps({"errorType": "Own", "errorMessage": "told"}))
    elif event == "slow":
        time.sleep(0.1)
        send("POST", place + "/response", "1")
    elif event == "chunked":
        send("POST", place + "/response", iter([b'"in', b' parts"']), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    else:
        send("POST", place + "/response", json.dumps([event, os.environ["_HANDLER"]]))
"#;
    let bench = Bench::new(&[("bootstrap", BOOTSTRAP)]);
    bench.put("own", "provided.al2023", "any.thing");
    for _ in 0..3 {
        assert_eq!(bench.call("own", json!("hi")).await, json!(["hi", "any.thing"]));
        assert_eq!(bench.call("own", json!("chunked")).await, "in parts");
        let (error, _) = bench.failure("own", json!("fail")).await;
        assert_eq!(error, json!({"errorType": "Own", "errorMessage": "told"}));
    }
    // However many calls there were, callers who wait get processes.
    for _ in 0..40 {
        bench.call("own", json!("hi")).await;
    }
    let calls: Vec<_> = (0..20).map(|_| bench.functions.invoke(invocation("own", &json!("slow")))).collect();
    for call in calls {
        let answered = tokio::time::timeout(Duration::from_secs(20), call).await;
        assert_eq!(answered.unwrap().unwrap().payload, "1");
    }
    write(bench.code.path(), "bootstrap", "#!/bin/sh\necho starting; exit 3\n");
    bench.functions.remove("own", None);
    bench.put("own", "provided.al2023", "any.thing");
    let (error, _) = bench.failure("own", json!({})).await;
    assert_eq!(error["errorType"], "Runtime.ExitError");
}

const PUSHERS: (&str, &str) = (
    r#"
import { Agent, request } from 'node:https';
const agent = new Agent({ timeout: 5000 });
export const push = (event) => new Promise((done) => {
  const options = { host: event.to ?? event.requestContext.domainName, path: '/dev/x', method: 'POST', agent };
  request(options, (answer) => answer.on('data', (text) => done(String(text)))).on('error', (error) => done(error.code)).end('m');
});
"#,
    r#"
import http.client
def push(event, context):
    link = http.client.HTTPSConnection(event.get("to") or event["requestContext"]["domainName"], timeout=5)
    try:
        link.request("POST", "/dev/x", "m")
        return link.getresponse().read().decode()
    except OSError as error:
        return type(error).__name__
"#,
);

/// Answers each request with its first line and its host.
async fn gateway() -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut link, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                let length = link.read(&mut buffer).await.unwrap_or_default();
                let text = String::from_utf8_lossy(&buffer[..length]).to_lowercase();
                let line = text.lines().next().unwrap_or_default().to_owned();
                let host = text.lines().find(|line| line.starts_with("host:")).unwrap_or_default().to_owned();
                let body = format!("{line}|{host}");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = link.write_all(format!("{head}{body}").as_bytes()).await;
                while link.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
            });
        }
    });
    address
}

/// `https://{domainName}` of an event is the gateway, as code written for AWS takes it to be.
#[tokio::test]
async fn the_host_that_an_event_of_a_websocket_api_names_is_the_gateway() {
    let environment = [("_STAGEDOOR_GATEWAY".to_owned(), gateway().await.to_string())].into();
    let settings = Settings { environment, ..Settings::default() };
    let bench = Bench::with(settings, &[("n.mjs", PUSHERS.0), ("p.py", PUSHERS.1)]);
    bench.put("n", "nodejs20.x", "n.push");
    bench.put("p", "python3.11", "p.push");
    let host = "abc.execute-api.invalid";
    for (name, fails) in [("n", "ENOTFOUND"), ("p", "gaierror")] {
        // Names of events that are none of a WebSocket API are the client's word alone.
        let event = json!({"requestContext": {"domainName": host}});
        assert_eq!(bench.call(name, event).await, fails, "{name}");
        let event = json!({"requestContext": {"domainName": host, "connectionId": "c="}});
        let expected = format!("post /dev/x http/1.1|host: {host}");
        assert_eq!(bench.call(name, event.clone()).await, expected, "{name}");
        assert_eq!(bench.call(name, event).await, expected, "{name}");
        let elsewhere =
            json!({"to": "other.invalid", "requestContext": {"domainName": host, "connectionId": "c="}});
        assert_eq!(bench.call(name, elsewhere).await, fails, "{name}");
    }
}

#[tokio::test]
async fn what_an_invocation_leaves_behind_does_not_fail_the_next_that_already_waits() {
    // The first leaves a rejection behind while the second waits for the same process, and begins at once.
    let source = "exports.handler = async (event) => {\n\
                  if (event.careless) Promise.reject(new Error('lost'));\n\
                  else await new Promise((done) => setTimeout(done, 3));\n\
                  return 1; };\n";
    let settings = Settings { processes_max: 1, ..Settings::default() };
    let bench = Bench::with(settings, &[("app.js", source)]);
    bench.put("careless", "nodejs20.x", "app.handler");
    for _ in 0..15 {
        let first = bench.call("careless", json!({"careless": true}));
        let second = bench.call("careless", json!({}));
        assert_eq!(tokio::join!(first, second), (json!(1), json!(1)));
    }
}

#[tokio::test]
async fn events_that_wait_for_another_attempt_are_kept_for_the_next_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let (letters, seen) = (dir.path().join("letters.jsonl"), dir.path().join("seen"));
    let settings = || Settings {
        dead_letters: Some(letters.clone()),
        events: Some(dir.path().join("events.jsonl")),
        ..Settings::default()
    };
    let source = "exports.handler = async (event, context) => {\n\
                  require('fs').appendFileSync(event.file, `${context.awsRequestId} ${context.invokedFunctionArn}\\n`);\n\
                  if (event.fails) throw new Error('no'); };";
    let lines = || std::fs::read_to_string(&seen).unwrap_or_default();
    let bench = Bench::with(settings(), &[("app.js", source)]);
    bench.put("fails", "nodejs20.x", "app.handler");
    for fails in [true, false] {
        let mut call = invocation("fails:$LATEST", &json!({"file": seen, "fails": fails}));
        call.invocation_type = InvocationType::Event;
        bench.functions.invoke(call).await.unwrap();
    }
    until("both have been tried", || lines().lines().count() == 2).await;
    bench.functions.shutdown().await;
    drop(bench);
    // What is placed is gone, what failed is tried once more, as the same invocation.
    let bench = Bench::with(settings(), &[("app.js", source)]);
    bench.put("fails", "nodejs20.x", "app.handler");
    bench.functions.resume();
    until("the one that failed is tried again", || lines().lines().count() == 3).await;
    bench.functions.shutdown().await;
    let lines = lines();
    let [first, second, third] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
    assert!(third == first || third == second, "{lines}");
    assert!(third.ends_with(":fails:$LATEST"), "{lines}");
    assert!(!letters.exists());
}

#[tokio::test]
async fn events_that_are_too_old_or_whose_function_is_gone_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (events, letters) = (dir.path().join("events.jsonl"), dir.path().join("letters.jsonl"));
    let settings =
        Settings { dead_letters: Some(letters.clone()), events: Some(events.clone()), ..Settings::default() };
    let event = |number: u8, function: &str| {
        let event = json!({"function": function, "request_id": format!("r-{number}"), "payload": "e30=",
                           "accepted_at": 1000, "attempts": 1});
        json!({ "accepted": [number, event] }).to_string() + "\n"
    };
    std::fs::write(&events, event(0, "old") + &event(1, "gone")).unwrap();
    let bench =
        Bench::with(settings, &[("app.js", "exports.handler = async () => { throw new Error('ran'); };")]);
    bench.put("old", "nodejs20.x", "app.handler");
    bench.functions.resume();
    until("both are done", || std::fs::read_to_string(&events).unwrap().matches("done").count() == 2).await;
    let letters = std::fs::read_to_string(letters).unwrap();
    let letter: Value = serde_json::from_str(&letters).unwrap();
    let told = &letter["requestContext"];
    assert_eq!(told["requestId"], "r-0");
    assert_eq!(
        (&told["condition"], &told["approximateInvokeCount"]),
        (&json!("EventAgeExceeded"), &json!(1))
    );
    bench.functions.shutdown().await;
}
