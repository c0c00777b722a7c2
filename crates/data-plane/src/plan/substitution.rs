//! Text with `$context`, `$stageVariables` and request parameters in it, as gateway responses use it: names are
//! replaced by values and nothing else happens (no Velocity).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::mapping::Source;
use crate::context::ContextVariable;
use crate::exchange::Exchange;

/// Text, split at the names.
#[derive(Clone, Debug, Default)]
pub struct Substitution(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Literal(Box<str>),
    Value(Source),
    /// A value that is escaped for a JSON text.
    Escaped(Source),
}

impl Substitution {
    /// Splits a template: `{"message":$context.error.messageString}`. Names may stand in braces. A name that means
    /// nothing is left as it stands.
    #[must_use]
    pub fn template(text: &str, variables: &BTreeMap<String, String>) -> Self {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            let (name, after) = split_reference(from);
            match source_of(name, variables) {
                Some(source) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
                    }
                    // Users put it into quotes, although it has quotes in it, and get JSON from AWS.
                    let is_detail = name == "context.error.validationErrorString";
                    pieces.push(if is_detail { Piece::Escaped(source) } else { Piece::Value(source) });
                    rest = after;
                }
                None => {
                    literal.push('$');
                    rest = from.strip_prefix('$').unwrap_or_default();
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        Self(pieces)
    }

    /// A mapping's single source: `'text'`, `method.request.header.x`, `context.x`, `stageVariables.x`.
    ///
    /// # Errors
    /// A sentence if it is none of these.
    pub fn mapping(source: &str, variables: &BTreeMap<String, String>) -> Result<Self, String> {
        Ok(Self(vec![Piece::Value(Source::parse(source, variables)?)]))
    }

    /// Whether a header of the request is shown.
    #[must_use]
    pub fn uses_request_headers(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Value(Source::Header(_) | Source::Context(_))))
    }

    /// The text for a request; what has no value is left out.
    #[must_use]
    pub fn render(&self, exchange: &Exchange<'_>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Value(source) => {
                    text.push_str(&source.value(exchange).unwrap_or(Cow::Borrowed("")));
                }
                Piece::Escaped(source) => {
                    let value = source.value(exchange).unwrap_or(Cow::Borrowed(""));
                    let quoted = serde_json::Value::from(&*value).to_string();
                    let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                    text.push_str(inside.unwrap_or_default());
                }
            }
        }
        text
    }
}

/// Splits `$a.b-c.d, rest` or `${a.b} rest`, which begin with the dollar sign, after the name.
fn split_reference(from: &str) -> (&str, &str) {
    let after_dollar = from.strip_prefix('$').unwrap_or(from);
    if let Some(braced) = after_dollar.strip_prefix('{')
        && let Some((name, after)) = braced.split_once('}')
    {
        return (name, after);
    }
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let end = after_dollar.find(|c| !part_of_name(c)).unwrap_or(after_dollar.len());
    let (name, _) = after_dollar.split_at(end);
    // A full stop at the end belongs to the sentence around it.
    let name = name.trim_end_matches('.');
    (name, after_dollar.get(name.len()..).unwrap_or_default())
}

fn source_of(name: &str, variables: &BTreeMap<String, String>) -> Option<Source> {
    if let Some(variable) = name.strip_prefix("context.") {
        return ContextVariable::parse(variable).map(Source::Context);
    }
    let known = name.starts_with("stageVariables.") || name.starts_with("method.request.");
    known.then(|| Source::parse(name, variables).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let variables = BTreeMap::from([("color".to_owned(), "red".to_owned())]);
        let shown: String = Substitution::template(text, &variables)
            .0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.to_string(),
                Piece::Value(Source::Static(text)) => format!("<{text}>"),
                Piece::Value(_) | Piece::Escaped(_) => "<value>".to_owned(),
            })
            .collect();
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn templates() {
        check(r#"{"message":$context.error.messageString}"#, r#"{"message":<value>}"#);
        check(
            r#"{"m":"$context.error.message","t":"${context.error.responseType}"}"#,
            r#"{"m":"<value>","t":"<value>"}"#,
        );
        check("at $stageVariables.color.", "at <red>.");
        check("$method.request.header.X-Id!", "<value>!");
        check("5$ and $$ and $unknown and $context.nothing", "5$ and $$ and $unknown and $context.nothing");
        check("", "");
        check("${", "${");
    }

    proptest::proptest! {
        #[test]
        fn text_without_known_names_stays(text in "[${}a-z. é]{0,30}") {
            check(&text, &text);
        }
    }
}
