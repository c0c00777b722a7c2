//! The CORS configuration of an HTTP API, with every header value ready to be sent.

use bytes::Bytes;
use stagedoor_shapes::apigatewayv2::Cors as Shape;

/// What browsers of other origins may do.
#[derive(Debug)]
pub struct Cors {
    any_origin: bool,
    any_http: bool,
    any_https: bool,
    origins: Vec<Box<str>>,
    /// Headers of the answer to a preflight beside the origin.
    pub preflight: Vec<(&'static str, Bytes)>,
    /// Headers of other answers beside the origin.
    pub actual: Vec<(&'static str, Bytes)>,
}

impl Cors {
    /// Compiles a configuration.
    #[must_use]
    pub fn compile(shape: &Shape) -> Self {
        let origins = shape.allow_origins.as_deref().unwrap_or_default();
        let named = |name: &str| origins.iter().any(|origin| origin == name);
        let list = |names: &Option<Vec<String>>| {
            let names = names.as_deref().filter(|names| !names.is_empty())?;
            Some(Bytes::from(names.join(",")))
        };
        // AWS tells names of headers in lower case, however they were configured.
        let headers = |names: &Option<Vec<String>>| list(names).map(|it| it.to_ascii_lowercase().into());
        let credentials = (shape.allow_credentials == Some(true)).then_some(Bytes::from_static(b"true"));
        let kept = |headers: Vec<(&'static str, Option<Bytes>)>| {
            headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
        };
        Self {
            any_origin: named("*"),
            any_http: named("http://*"),
            any_https: named("https://*"),
            origins: origins.iter().map(|origin| origin.as_str().into()).collect(),
            preflight: kept(vec![
                ("access-control-allow-methods", list(&shape.allow_methods)),
                ("access-control-allow-headers", headers(&shape.allow_headers)),
                ("access-control-max-age", shape.max_age.map(|age| Bytes::from(age.to_string()))),
                ("access-control-allow-credentials", credentials.clone()),
            ]),
            actual: kept(vec![
                ("access-control-expose-headers", headers(&shape.expose_headers)),
                ("access-control-allow-credentials", credentials),
            ]),
        }
    }

    /// The value of `access-control-allow-origin` for an origin; nothing if it is not allowed.
    #[must_use]
    pub fn allowed_origin(&self, origin: &Bytes) -> Option<Bytes> {
        if self.any_origin {
            return Some(Bytes::from_static(b"*"));
        }
        let begins =
            |scheme: &[u8]| origin.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme));
        let allowed = self.any_http && begins(b"http://")
            || self.any_https && begins(b"https://")
            || self.origins.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin));
        allowed.then(|| origin.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let check = |allowed: &[&str], origin: &'static str, expected: Option<&str>| {
            let origins = allowed.iter().map(|text| (*text).to_owned()).collect();
            let cors = Cors::compile(&Shape { allow_origins: Some(origins), ..Shape::default() });
            let found = cors.allowed_origin(&Bytes::from_static(origin.as_bytes()));
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{origin} {allowed:?}");
        };
        check(&["*"], "https://a.test", Some("*"));
        check(&["https://a.test"], "https://a.test", Some("https://a.test"));
        check(&["https://a.test"], "https://b.test", None);
        check(&["https://a.test"], "https://a.test.evil", None);
        check(&["http://*"], "http://x:81", Some("http://x:81"));
        check(&["http://*"], "https://x", None);
        check(&["https://*"], "https://x", Some("https://x"));
        check(&[], "https://x", None);
    }
}
