//! How long it takes to hold a JSON body of about 1 KB to a model: reading the body, and every check of its schema.
//!
//! `cargo run --release -p stagedoor-data-plane --example validation_speed`

use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use serde_json::json;
use stagedoor_data_plane::cache_budget::CacheBudget;
use stagedoor_data_plane::document;
use stagedoor_data_plane::logs::LogDestinations;
use stagedoor_data_plane::metrics::Metrics;
use stagedoor_data_plane::plan::{self, CompileSettings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "required": ["customer", "items", "currency"],
        "properties": {
            "customer": {"type": "string", "pattern": "^[a-z0-9-]{4,40}$"},
            "currency": {"enum": ["EUR", "USD", "GBP"]},
            "note": {"type": "string", "maxLength": 400},
            "items": {"type": "array", "minItems": 1, "maxItems": 50, "items": {
                "type": "object",
                "required": ["id", "quantity", "price"],
                "properties": {
                    "id": {"type": "string", "minLength": 3},
                    "quantity": {"type": "integer", "minimum": 1},
                    "price": {"type": "number", "minimum": 0},
                },
            }},
        },
    });
    let method = json!({
        "httpMethod": "POST",
        "authorizationType": "NONE",
        "requestValidatorId": "v1",
        "requestModels": {"application/json": "Order"},
        "methodIntegration": {"type": "MOCK", "integrationResponses": {}},
    });
    let snapshot = serde_json::from_value(json!({
        "rest_api": {"id": "abc", "name": "speed"},
        "resources": [{"id": "r1", "path": "/orders", "resourceMethods": {"POST": method}}],
        "models": [{"id": "m1", "name": "Order", "contentType": "application/json", "schema": schema.to_string()}],
        "request_validators": [{"id": "v1", "name": "body", "validateRequestBody": true}],
        "gateway_responses": [],
    }))?;
    let stage = serde_json::from_value(json!({"stageName": "dev", "deploymentId": "d1"}))?;
    let settings = CompileSettings {
        account_id: "111111111111".to_owned(),
        region: "us-east-1".to_owned(),
        log_destinations: LogDestinations::default(),
        metrics: Metrics::new(1),
        vpc_links: Default::default(),
        has_account_throttle: false,
        user_pools: Default::default(),
        aws: Default::default(),
        cache_budget: CacheBudget::new(1 << 20),
    };
    let plan = plan::compile(&snapshot, &stage, &settings).map_err(|errors| format!("{errors:?}"))?;
    let route = plan.route(&http::Method::POST, "/orders").ok_or("no route")?;
    let validation = route.method.validation.as_ref().ok_or("nothing is validated")?;

    let items: Vec<_> =
        (0..16).map(|n| json!({"id": format!("item-{n:04}"), "quantity": n + 1, "price": 9.95})).collect();
    let body = json!({"customer": "jane-doe", "currency": "EUR", "note": "x".repeat(150), "items": items});
    let body = body.to_string();
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        const RUNS: u32 = 5000;
        let begun = Instant::now();
        for _ in 0..RUNS {
            let document = || Rc::new(document::parse(black_box(body.as_bytes())));
            let wrong = black_box(validation.check_body("application/json", document));
            if let Some(wrong) = wrong {
                return Err(wrong.into());
            }
        }
        best = best.min(begun.elapsed().as_secs_f64() / f64::from(RUNS) * 1e6);
    }
    println!("{best:.2} µs a body of {} bytes", body.len());
    Ok(())
}
