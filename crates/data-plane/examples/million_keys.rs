//! What API keys weigh, and what finding one costs, among ten and among many.
//!
//! `cargo run --release -p stagedoor-data-plane --example million_keys [KEYS]`

use std::hint::black_box;
use std::time::Instant;

use stagedoor_data_plane::clients::{Clients, ClientsBuilder};
use stagedoor_shapes::apigateway::{ApiStage, UsagePlan};

fn main() {
    let many = std::env::args().nth(1).and_then(|keys| keys.parse().ok()).unwrap_or(1_000_000);
    for keys in [10, many] {
        let before = resident_mib();
        let began = Instant::now();
        let clients = load(keys);
        let took = began.elapsed();
        let weight = resident_mib() - before;
        let began = Instant::now();
        let changed = change(&clients);
        let change_took = began.elapsed();
        println!(
            "{keys} keys: built in {:.2} s, {weight:.0} MiB; one lookup {:.0} ns; one change {:.0} µs",
            took.as_secs_f64(),
            lookup_nanoseconds(&changed, keys),
            change_took.as_secs_f64() * 1e6
        );
    }
}

/// 40 characters, as the values that AWS makes.
fn value(number: usize) -> String {
    format!("stagedoor-benchmark-{number:020}")
}

fn load(keys: usize) -> Clients {
    let stage = ApiStage { api_id: Some("a1b2c3d4e5".into()), stage: Some("dev".into()), throttle: None };
    let plan = UsagePlan { id: Some("p1".into()), api_stages: Some(vec![stage]), ..UsagePlan::default() };
    let mut builder = ClientsBuilder::new(&Clients::default());
    builder.set_plan(&plan);
    for number in 0..keys {
        builder.set_key(&format!("{number:010}"), &value(number), true, ["p1"]);
    }
    builder.finish()
}

fn change(clients: &Clients) -> Clients {
    let mut builder = ClientsBuilder::new(clients);
    builder.set_key("0000000000", &value(0), true, ["p1"]);
    builder.finish()
}

fn lookup_nanoseconds(clients: &Clients, keys: usize) -> f64 {
    const LOOKUPS: usize = 200_000;
    // In an order that the caches do not foresee.
    let values: Vec<String> = (0..LOOKUPS).map(|step| value(step.wrapping_mul(7_919_777) % keys)).collect();
    let began = Instant::now();
    for value in &values {
        assert!(black_box(clients.find(value, "a1b2c3d4e5", "dev")).is_some());
    }
    began.elapsed().as_secs_f64() * 1e9 / LOOKUPS as f64
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
