//! Measures what a call costs on top of the handler: `cargo run --release -p stagedoor-functions --example warm`.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stagedoor_functions::{FunctionConfig, Functions, Invocation, Settings};

const EVENT: &str =
    r#"{"resource":"/users","path":"/users","httpMethod":"GET","headers":{"accept":"*/*"},"body":null}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let code = tempfile::tempdir()?;
    std::fs::write(code.path().join("app.mjs"), "export const handler = async (event) => event;\n")?;
    std::fs::write(code.path().join("app.py"), "def handler(event, context):\n    return event\n")?;
    let mut out = std::io::stdout();
    for runtime in ["nodejs20.x", "python3.12"] {
        let functions = Functions::new(Settings::default())?;
        functions.put(FunctionConfig::new("echo", runtime.parse()?, "app.handler", code.path()))?;
        let call = || {
            let payload = Bytes::from_static(EVENT.as_bytes());
            functions.call(Invocation { function: "echo".to_owned(), payload, ..Invocation::default() })
        };
        // The first start of a runtime also looks for its interpreter; a second function shows the usual cold start.
        let start = Instant::now();
        call().await?;
        let first = start.elapsed();
        functions.remove("echo", None);
        functions.put(FunctionConfig::new("echo", runtime.parse()?, "app.handler", code.path()))?;
        let start = Instant::now();
        call().await?;
        let cold = start.elapsed();
        for _ in 0..2_000 {
            call().await?;
        }
        let mut times = Vec::new();
        for _ in 0..5_000 {
            let start = Instant::now();
            call().await?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        let start = Instant::now();
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let functions = functions.clone();
            callers.spawn(async move {
                let mut done = 0_u32;
                while start.elapsed() < Duration::from_secs(3) {
                    let payload = Bytes::from_static(EVENT.as_bytes());
                    let call = Invocation { function: "echo".to_owned(), payload, ..Invocation::default() };
                    done += u32::from(functions.call(call).await.is_ok());
                }
                done
            });
        }
        let done: u32 = callers.join_all().await.into_iter().sum();
        writeln!(
            out,
            "{runtime}: first {first:?}, cold {cold:?}, warm p50 {:?} p99 {:?}; 64 callers {:.0} calls/s",
            at(50),
            at(99),
            f64::from(done) / start.elapsed().as_secs_f64()
        )?;
        functions.shutdown().await;
    }
    Ok(())
}
