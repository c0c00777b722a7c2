//! Which events a process is sent together with another.
//!
//! A process works on one event at a time, as on Lambda. But where processes only take turns on the cores (`contention`)
//! and handlers take less time than it takes to change between gateway and process, most of the time goes into changing.
//! Then those that wait have their events sent with the one before, and the process finds the next one when it is done.
//!
//! What is sent ahead may have to wait for a handler that takes longer than the others did. So a process whose handler
//! waits for something gives back what it has not begun, and what a process that has ended did not begin goes to another.
//! Only one that computes, for longer than handlers did so far, holds up those few behind it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pool::Waiter;

/// The largest event that is sent with others, in bytes.
pub(crate) const EVENT_BYTES_MAX: usize = 4 * 1024;
/// How many are sent with one: enough that changing between gateway and process costs each a little only, and so few that
/// they fit into a socket.
const AHEAD_MAX: usize = 15;
/// How long handlers take that are quick.
const QUICK: Duration = Duration::from_micros(300);
/// The share of the last one in what is known of all, as a shift: 1/16.
const SHARE: u32 = 4;

/// How long a core has worked for an invocation lately: where processes take turns, each waits for the others' besides.
#[derive(Default)]
pub(crate) struct Pace {
    nanos: Option<u64>,
}

impl Pace {
    pub(crate) fn learn(&mut self, work: Duration) {
        let took = u64::try_from(work.as_nanos()).unwrap_or(u64::MAX);
        self.nanos = Some(match self.nanos {
            None => took,
            Some(known) => known - (known >> SHARE) + (took >> SHARE),
        });
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.nanos.is_some_and(|nanos| u128::from(nanos) <= QUICK.as_nanos())
    }
}

/// Takes those from the queue whose events are sent with another's, where so many processes share the queue.
pub(crate) fn choose(waiting: &mut VecDeque<Waiter>, processes: usize) -> VecDeque<Waiter> {
    let fair = waiting.len() / processes.max(1);
    let sendable =
        waiting.iter().take(fair.min(AHEAD_MAX)).take_while(|waiter| waiter.sendable().is_some()).count();
    waiting.drain(..sendable).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use serde_json::{Value, json};
    use tokio::task::JoinSet;

    use super::*;
    use crate::{FunctionConfig, Functions, Invocation, Settings};

    /// Each event says what its handler does. `seen` counts handlers that have begun.
    const HANDLER: &str = r"
        const fs = require('node:fs');
        exports.handler = async (event, context) => {
          fs.appendFileSync(`${__dirname}/seen`, `${event.number}\n`);
          if (event.does === 'wait') await new Promise((done) => setTimeout(done, 30));
          if (event.does === 'compute') for (const until = Date.now() + 30; Date.now() < until;);
          if (event.does === 'throw') throw new Error(`no ${event.number}`);
          if (event.does === 'exit') process.exit(3);
          if (event.does === 'crash') {
            Promise.reject(new Error('left behind'));
            await new Promise((done) => setTimeout(done, 1000));
          }
          if (event.does === 'hang') for (;;);
          const more = event.does === 'big' ? 'x'.repeat(100000) : '';
          return { number: event.number, id: context.awsRequestId, trace: process.env._X_AMZN_TRACE_ID, more };
        };
    ";

    /// Calls a function once for each of `does`, all at once, and checks every answer.
    async fn check(does: &[&str], callers_gone: &[usize]) {
        let code = tempfile::tempdir().unwrap();
        std::fs::write(code.path().join("app.js"), HANDLER).unwrap();
        let functions = Functions::new(Settings { processes_max: 1, ..Settings::default() }).unwrap();
        let mut config = FunctionConfig::new("f", "nodejs20.x".parse().unwrap(), "app.handler", code.path());
        config.timeout = Duration::from_secs(1);
        config.watch = false;
        functions.put(config).unwrap();
        let pool = functions.find("f", None).unwrap();
        pool.expect_quick_handlers();
        let asked = Arc::new(AtomicUsize::new(0));
        let mut calls = JoinSet::new();
        for (number, does) in does.iter().enumerate() {
            let payload = Bytes::from(json!({"number": number, "does": does}).to_string());
            let invocation = Invocation {
                function: "f".to_owned(),
                payload,
                request_id: Some(format!("r-{number}")),
                trace_id: Some(format!("t-{number}")),
                ..Invocation::default()
            };
            let call = functions.call(invocation);
            let gone = callers_gone.contains(&number);
            let asked = Arc::clone(&asked);
            calls.spawn(async move {
                asked.fetch_add(1, Ordering::Relaxed);
                if gone {
                    // Long enough for its event to have been sent.
                    let _ = tokio::time::timeout(Duration::from_millis(10), call).await;
                    return (number, None);
                }
                (number, Some(call.await.unwrap()))
            });
        }
        let answers: BTreeMap<usize, _> = calls.join_all().await.into_iter().collect();
        assert_eq!(asked.load(Ordering::Relaxed), does.len());
        for (number, does) in does.iter().enumerate() {
            let Some(output) = &answers[&number] else { continue };
            let answer: Value = serde_json::from_slice(&output.payload).unwrap();
            match *does {
                "throw" => assert_eq!(answer["errorMessage"], format!("no {number}")),
                "crash" => assert_eq!(answer["errorType"], "Runtime.UnhandledPromiseRejection", "{answer}"),
                "exit" => assert_eq!(answer["errorType"], "Runtime.ExitError", "{answer}"),
                "hang" => assert_eq!(answer["errorType"], "Sandbox.Timedout", "{answer}"),
                _ => {
                    assert_eq!(answer["number"], number, "{answer}");
                    assert_eq!(answer["id"], format!("r-{number}"));
                    assert_eq!(answer["trace"], format!("t-{number}"));
                    assert_eq!(
                        answer["more"].as_str().unwrap().len(),
                        if *does == "big" { 100_000 } else { 0 }
                    );
                }
            }
        }
        assert!(pool.expect_quick_handlers() > 0, "no event was sent ahead");
        // Each handler began once, whatever became of the process and of its caller.
        let seen = std::fs::read_to_string(code.path().join("seen")).unwrap();
        let mut seen: Vec<usize> = seen.lines().map(|line| line.parse().unwrap()).collect();
        seen.sort_unstable();
        let called: Vec<usize> = (0..does.len()).filter(|number| !callers_gone.contains(number)).collect();
        seen.retain(|number| !callers_gone.contains(number));
        assert_eq!(seen, called);
        functions.shutdown().await;
    }

    #[tokio::test]
    async fn events_that_are_sent_together_are_answered_apart() {
        check(&["answer"; 40], &[]).await;
    }

    #[tokio::test]
    async fn handlers_that_wait_or_compute_hold_up_nobody_for_good() {
        let does =
            ["answer", "answer", "wait", "answer", "compute", "answer", "answer", "answer", "wait", "wait"];
        check(&does.repeat(3), &[]).await;
    }

    #[tokio::test]
    async fn failures_and_large_answers_concern_their_own_event_alone() {
        let does = ["answer", "throw", "answer", "answer", "big", "answer", "big", "big", "throw", "answer"];
        check(&does.repeat(3), &[]).await;
    }

    #[tokio::test]
    async fn a_process_that_ends_takes_one_event_with_it() {
        let does = [
            "answer", "answer", "answer", "exit", "answer", "answer", "answer", "answer", "answer", "answer",
        ];
        check(&does.repeat(2), &[]).await;
        let does = ["answer", "answer", "crash", "answer", "answer", "answer", "answer", "crash", "answer"];
        check(&does.repeat(2), &[]).await;
        check(&["answer", "answer", "answer", "hang", "answer", "answer", "answer"], &[]).await;
    }

    #[tokio::test]
    async fn callers_who_go_take_nobody_with_them() {
        let does = ["answer", "compute", "answer", "answer", "answer", "wait", "answer", "answer", "answer"];
        check(&does.repeat(3), &[2, 3, 5, 11, 20]).await;
    }

    #[test]
    fn one_slow_invocation_among_quick_ones_is_remembered() {
        let mut pace = Pace::default();
        let mut check = |micros, quick| {
            pace.learn(Duration::from_micros(micros));
            assert_eq!(pace.is_quick(), quick, "after {micros} µs");
        };
        check(50, true);
        check(3000, true);
        check(3000, false);
        check(50, false);
    }
}
