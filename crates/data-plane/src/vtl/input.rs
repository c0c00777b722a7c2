//! `$input`: the message that a template transforms.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;

use bytes::Bytes;
use serde_json::Value as Json;
use stagedoor_http::Headers;
use stagedoor_velocity::{List, Map, Object, RenderError, Value, json_text};

use super::json_path;
use crate::document::{self, Document};

/// The client's parameters, which templates of both directions see.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    pub(super) path: Vec<(String, String)>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Headers,
}

/// `$input` for one template.
#[derive(Debug)]
pub(super) struct Input {
    parameters: Rc<Parameters>,
    body: Bytes,
    /// The body as JSON, if somebody has parsed it before.
    known: Option<Rc<Document>>,
    /// The same, once the template has asked.
    document: OnceCell<Rc<Document>>,
}

impl Input {
    pub(super) fn new(parameters: Rc<Parameters>, body: Bytes, known: Option<Rc<Document>>) -> Self {
        Self { parameters, body, known, document: OnceCell::new() }
    }

    /// The body as JSON, if the template has asked for it.
    pub(super) fn known_document(&self) -> Option<(&Bytes, &Rc<Document>)> {
        self.document.get().map(|document| (&self.body, document))
    }

    /// Why the body could not be read as JSON, if it was asked for and could not.
    pub(super) fn parse_error(&self) -> Option<String> {
        self.document.get()?.as_ref().as_ref().err().cloned()
    }

    /// AWS shows `{}` where there is no body (recorded, in both directions).
    fn text(&self) -> Value {
        if self.body.is_empty() {
            Value::from("{}")
        } else {
            Value::from(&*String::from_utf8_lossy(&self.body))
        }
    }

    fn document(&self) -> Result<&Json, RenderError> {
        let parsed = self.document.get_or_init(|| {
            if self.body.is_empty() {
                return Rc::new(Ok(Json::Object(serde_json::Map::new())));
            }
            self.known.clone().unwrap_or_else(|| Rc::new(document::parse_leniently(&self.body)))
        });
        parsed.as_ref().as_ref().map_err(|error| RenderError::host(format!("the body is no JSON: {error}")))
    }

    fn find(&self, path: &Value) -> Result<Option<Cow<'_, Json>>, RenderError> {
        let path = path.to_text();
        let failed = |error: String| RenderError::host(format!("{path}: {error}"));
        json_path::parsed(&path).map_err(failed)?.read_all(self.document()?).map_err(failed)
    }

    /// One parameter: from the path, else the query, else the headers, else nothing but an empty text.
    fn parameter(&self, name: &str) -> Value {
        let last = |pairs: &[(String, String)]| {
            pairs
                .iter()
                .rfind(|(candidate, _)| candidate == name)
                .map(|(_, value)| Value::from(value.as_str()))
        };
        let header = || {
            let header = self.parameters.headers.iter().rfind(|header| header.is(name))?;
            Some(Value::from(&*header.value_str()))
        };
        let found = last(&self.parameters.path).or_else(|| last(&self.parameters.query)).or_else(header);
        found.unwrap_or_else(|| Value::from(""))
    }

    fn all_parameters(&self) -> Value {
        let map = |pairs: &[(String, String)]| {
            let entries = pairs.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str())));
            Value::Map(entries.collect::<Map>())
        };
        let headers = self.parameters.headers.iter();
        let headers = headers.map(|header| (header.name_str(), Value::from(&*header.value_str())));
        let all = [
            ("path", map(&self.parameters.path)),
            ("querystring", map(&self.parameters.query)),
            ("header", Value::Map(headers.collect::<Map>())),
        ];
        Value::Map(all.into_iter().collect::<Map>())
    }
}

impl Object for Input {
    fn property(&self, name: &str) -> Option<Value> {
        (name == "body").then(|| self.text())
    }

    fn call(&self, method: &str, arguments: &[Value]) -> Option<Result<Value, RenderError>> {
        match (method, arguments) {
            ("body", []) => Some(Ok(self.text())),
            ("json", [path]) => Some(self.find(path).map(|found| {
                // What is not there is an empty text, as JSON.
                Value::from(found.map_or_else(|| "\"\"".to_owned(), |found| json_text(&found)))
            })),
            ("path", [path]) => {
                Some(self.find(path).map(|found| found.as_deref().map_or(Value::Null, Value::from_json)))
            }
            ("params", []) => Some(Ok(self.all_parameters())),
            ("params", [name]) => Some(Ok(match name {
                Value::List(names) => Value::List(List::new(
                    names.items().iter().map(|name| self.parameter(&name.to_text())).collect(),
                )),
                name => self.parameter(&name.to_text()),
            })),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use stagedoor_velocity::{Context, Template};

    use super::*;

    fn check(template: &str, body: &str, expected: &str) {
        let mut headers = Headers::new();
        headers.append("X-A", "h1");
        headers.append("name", "h2");
        let pairs =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let parameters = Parameters {
            path: pairs(&[("id", "p1")]),
            query: pairs(&[("id", "q1"), ("name", "q2"), ("name", "q3")]),
            headers,
        };
        let input = Rc::new(Input::new(Rc::new(parameters), Bytes::from(body.to_owned()), None));
        let mut context = Context::new();
        context.print_missing_as_empty();
        context.set("input", Value::shared(&input));
        let text = Template::parse(template).unwrap().render(&mut context);
        assert_eq!(text.unwrap_or_else(|error| format!("failed: {error}")), expected, "{template} of {body}");
    }

    #[test]
    fn parameters_in_their_order() {
        check(
            "$input.params('id') $input.params('name') $input.params('x-a') [$input.params('no')]",
            "",
            "p1 q3 h1 []",
        );
        check("$input.params().querystring.name $input.params().get('header').get('X-A')", "", "q3 h1");
        check("#foreach($kind in $input.params().keySet())$kind #end", "", "path querystring header ");
    }

    /// Recorded: what is null is nothing when printed, and equal to null and to the empty text.
    #[test]
    fn what_is_null() {
        let template = r##"#set($result = $input.path("$.json.listValue")){"body": $result, "nested": $result.nested, "isNull": #if( $result == $null )"true"#else"false"#end, "isEmptyString": #if( $result == "" )"true"#else"false"#end}"##;
        let null = r#"{"body": , "nested": , "isNull": "true", "isEmptyString": "true"}"#;
        check(template, r#"{"json":{"listValue":null}}"#, null);
        check(template, r#"{"json":null}"#, null);
        let empty = r#"{"body": [], "nested": , "isNull": "false", "isEmptyString": "false"}"#;
        check(template, r#"{"json":{"listValue":[]}}"#, empty);
        check("$input.body.testAccess", r#"{"some":"value"}"#, "");
    }

    #[test]
    fn bodies() {
        check("$input.body", "", "{}");
        check("$input.body", "some raw data", "some raw data");
        check("$input.json('$')", "{ \"a\": [1, \"x\"] }", r#"{"a":[1,"x"]}"#);
        check("$input.json('$.a')", "{ \"a\": [1, \"x\"] }", r#"[1,"x"]"#);
        check("$input.json('$.b')", "{}", "\"\"");
        // A form is a text.
        check("$input.json('$') $input.path('$.a')", "a=1&b=%22", "\"a=1&b=%22\" ");
        check("$input.json('$')", "{a: 'it', b: 2015-03-31,}", r#"{"a":"it","b":"2015-03-31"}"#);
        check("$input.json('$') $input.path('$')", r#""\ud800""#, "\"?\" ?");
        check("$input.json('$.a') $input.path('$.a')", r#"{"a":1e30}"#, "1.0E30 1.0E30");
        check("$input.path('$.a.b').c", r#"{"a":{"b":{"c":7}}}"#, "7");
        check("$input.path('$')", r#"{"foo":"bar"}"#, "{foo=bar}");
        check("$input.path('$.a')", r#"{"a":[{"foo":"bar"}]}"#, r#"[{"foo":"bar"}]"#);
    }
}
