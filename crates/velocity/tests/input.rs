//! How an embedder makes `$input` and `$context` out of this crate and `stagedoor-jsonpath`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::OnceCell;
use std::rc::Rc;

use serde_json::json;
use stagedoor_jsonpath::Path;
use stagedoor_velocity::{Context, Map, Object, RenderError, Template, Util, Value};

/// `$input` for one request. The body is parsed when a template first asks for it.
#[derive(Debug)]
struct Input {
    body: String,
    parsed: OnceCell<serde_json::Value>,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    header: Vec<(String, String)>,
}

impl Input {
    fn document(&self) -> &serde_json::Value {
        self.parsed.get_or_init(|| serde_json::from_str(&self.body).unwrap_or_default())
    }

    fn read(&self, path: &str) -> Result<Option<serde_json::Value>, RenderError> {
        let path = Path::parse(path).map_err(|error| RenderError::host(error.to_string()))?;
        let found = path.read(self.document()).map_err(|error| RenderError::host(error.to_string()))?;
        Ok(found.map(std::borrow::Cow::into_owned))
    }

    fn param(&self, name: &str) -> Value {
        let places = [&self.path, &self.query, &self.header];
        let found = places.iter().flat_map(|place| place.iter()).find(|(key, _)| key == name);
        Value::from(found.map_or("", |(_, value)| value))
    }

    fn params(&self) -> Value {
        let map = |place: &[(String, String)]| {
            Value::Map(place.iter().map(|(key, value)| (key.as_str(), Value::from(value.as_str()))).collect())
        };
        let places = [("path", &self.path), ("querystring", &self.query), ("header", &self.header)];
        Value::Map(places.into_iter().map(|(name, place)| (name, map(place))).collect::<Map>())
    }
}

impl Object for Input {
    fn property(&self, name: &str) -> Option<Value> {
        (name == "body").then(|| Value::from(self.body.as_str()))
    }

    fn call(&self, method: &str, arguments: &[Value]) -> Option<Result<Value, RenderError>> {
        Some(match (method, arguments) {
            ("json", [Value::String(path)]) => self
                .read(path)
                .map(|found| Value::from(found.map_or_else(|| "\"\"".to_owned(), |json| json.to_string()))),
            ("path", [Value::String(path)]) => {
                self.read(path).map(|found| found.map_or(Value::Null, |json| Value::from_json(&json)))
            }
            ("params", []) => Ok(self.params()),
            ("params", [Value::String(name)]) => Ok(self.param(name)),
            _ => return None,
        })
    }
}

/// `$context`, with maps where a template may set what the gateway reads afterwards.
#[derive(Debug, Default)]
struct RequestContext {
    response_override: Map,
}

impl Object for RequestContext {
    fn property(&self, name: &str) -> Option<Value> {
        match name {
            "requestId" => Some("id-1".into()),
            "responseOverride" => Some(Value::Map(self.response_override.clone())),
            // AWS prints nothing for a property that is not there.
            _ => Some("".into()),
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn request() -> (Context, Rc<RequestContext>) {
    let input = Input {
        body: json!({"pets": [{"name": "cat", "price": 5}, {"name": "d'og", "price": 7.5}], "note": "say \"hi\""})
            .to_string(),
        parsed: OnceCell::new(),
        path: pairs(&[("id", "7")]),
        query: pairs(&[("id", "8"), ("page", "2")]),
        header: pairs(&[("Accept", "*/*")]),
    };
    let state = Rc::new(RequestContext::default());
    state.response_override.insert("header", Value::Map(Map::new()));
    let mut context = Context::new();
    context.set("input", Value::object(input));
    context.set("context", Value::shared(&state));
    context.set("util", Value::object(Util));
    (context, state)
}

fn check(template: &str, expected: &str) {
    let (mut context, _) = request();
    assert_eq!(Template::parse(template).unwrap().render(&mut context).unwrap(), expected, "{template}");
}

#[test]
fn input_reads_the_body_and_the_parameters() {
    check("$input.json('$.pets[0]')", r#"{"name":"cat","price":5}"#);
    check("$input.json('$.none')", "\"\"");
    check("$input.path('$.pets').size()", "2");
    check("$input.path('$.pets[1].price')", "7.5");
    check("$input.path('$.none')", "$input.path('$.none')");
    check("$input.params('id') $input.params('page') [$input.params('none')]", "7 2 []");
    check("$input.params().querystring.page $input.params().header.get('Accept')", "2 */*");
    check("$input.params()", "{path={id=7}, querystring={id=8, page=2}, header={Accept=*/*}}");
    check(
        "$input.path('$')",
        r#"{pets=[{"name":"cat","price":5},{"name":"d'og","price":7.5}], note=say "hi"}"#,
    );
}

#[test]
fn the_pass_through_template_of_the_guide_renders() {
    check(
        r#"#set($allParams = $input.params())
{
"params" : {
#foreach($type in $allParams.keySet())
    #set($params = $allParams.get($type))
"$type" : {
    #foreach($paramName in $params.keySet())
    "$paramName" : "$util.escapeJavaScript($params.get($paramName))"
        #if($foreach.hasNext),#end
    #end
}
    #if($foreach.hasNext),#end
#end
}, "id": "$context.requestId", "none": "$context.none"}"#,
        "{\n\"params\" : {\n\"path\" : {\n        \"id\" : \"7\"\n            }\n    ,\"querystring\" : {\n        \
         \"id\" : \"8\"\n        ,        \"page\" : \"2\"\n            }\n    ,\"header\" : {\n        \"Accept\" : \
         \"*\\/*\"\n            }\n    }, \"id\": \"id-1\", \"none\": \"\"}",
    );
}

#[test]
fn lists_are_transformed() {
    check(
        r##"#set($root = $input.path('$'))
[#foreach($pet in $root.pets){"n": "$util.escapeJavaScript($pet.name).replaceAll("\\'", "'")", "p": $pet.price}#if($foreach.hasNext), #end#end]"##,
        r#"[{"n": "cat", "p": 5}, {"n": "d'og", "p": 7.5}]"#,
    );
}

#[test]
fn what_a_template_overrides_reaches_the_embedder() {
    let (mut context, state) = request();
    let template =
        "#set($context.responseOverride.status = 400)#set($context.responseOverride.header.foo = \"bar\")";
    assert_eq!(Template::parse(template).unwrap().render(&mut context).unwrap(), "");
    assert_eq!(state.response_override.get("status").and_then(|status| status.as_i64()), Some(400));
    assert_eq!(
        Value::Map(state.response_override.clone()).to_json(),
        json!({"header": {"foo": "bar"}, "status": 400})
    );
}
