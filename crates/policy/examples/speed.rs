//! How long a policy of 50 statements takes to decide: `cargo run --release -p stagedoor-policy --example speed`.

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Instant;

use stagedoor_policy::{Caller, ContextKeys, Kind, Policy, Request, Values};

struct Keys;

impl ContextKeys for Keys {
    fn values(&self, key: &str) -> Values<'_> {
        match key {
            "aws:sourceip" => Values::One(Cow::Borrowed("203.0.113.9")),
            "aws:username" => Values::One(Cow::Borrowed("ann")),
            _ => Values::Absent,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let statements: Vec<serde_json::Value> = (0..50)
        .map(|at| {
            serde_json::json!({
                "Effect": if at == 49 { "Allow" } else { "Deny" },
                "Action": "execute-api:Invoke",
                "Resource": if at == 49 { "*".to_owned() } else { format!("arn:aws:execute-api:*:*:*/dev/*/orders{at}/*") },
                "Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "203.0.113.0/24"]}},
            })
        })
        .collect();
    let policy = serde_json::json!({"Version": "2012-10-17", "Statement": statements});
    let policy = Policy::from_value(&policy, Kind::Identity)?;
    let request = Request {
        caller: Caller::Anonymous,
        action: "execute-api:invoke",
        resource: "arn:aws:execute-api:us-east-1:111111111111:a1b2c3d4e5/dev/GET/orders/42/items",
        keys: &Keys,
    };
    let rounds = 100_000_u32;
    let start = Instant::now();
    for _ in 0..rounds {
        black_box(policy.evaluate(black_box(&request)));
    }
    println!("{} statements: {:?} a decision", policy.len(), start.elapsed() / rounds);
    Ok(())
}
