//! How long a usual mapping template takes: 20 lines with one `#foreach` over 20 items.
//!
//! Run it with `cargo run --release -p stagedoor-velocity --example render_speed`.

use std::hint::black_box;
use std::time::Instant;

use stagedoor_velocity::{Context, Template, Util, Value};

const TEMPLATE: &str = r#"#set($root = $input)
#set($total = 0)
{
  "operation": "$root.operation",
  "requestId": "$root.requestId",
  "source": "$!root.source",
  "customer": {
    "name": "$util.escapeJavaScript($root.customer.name)",
    "city": "$root.customer.city.toUpperCase()"
  },
  "items": [
#foreach($item in $root.items)
    #set($total = $total + $item.price)
    {"id": "$item.id", "price": $item.price, "sold": #if($item.price > 10)true#{else}false#end}#if($foreach.hasNext),#end

#end
  ],
  "count": $root.items.size(),
  "total": $total
}
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let items: Vec<_> =
        (0..20).map(|id| serde_json::json!({"id": format!("item-{id}"), "price": id})).collect();
    let body = serde_json::json!({
        "operation": "order", "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "items": items,
        "customer": {"name": "Jane O'Neil", "city": "Berlin"},
    });
    let template = Template::parse(TEMPLATE)?;
    let input = Value::from_json(&body);
    let util = Value::object(Util);
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        const RUNS: u32 = 2000;
        let begun = Instant::now();
        for _ in 0..RUNS {
            let mut context = Context::new();
            context.set("input", input.clone());
            context.set("util", util.clone());
            black_box(template.render(&mut context)?);
        }
        best = best.min(begun.elapsed().as_secs_f64() / f64::from(RUNS) * 1e6);
    }
    println!("{best:.1} µs a rendering");
    Ok(())
}
