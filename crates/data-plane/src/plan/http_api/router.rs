//! How an HTTP API finds the route for a request: a full match first, then the longest greedy one, then `$default`.
//!
//! Among full matches a literal segment comes before a variable one, and at the same path a route for the method before
//! one for `ANY`. A path that has no route for the method is no match. Other than in REST APIs a slash at the end counts:
//! `/pets/` is not `/pets`, but it is `/pets/{proxy+}` with nothing for the parameter, and `/` is `/{proxy+}`.

use std::ops::Range;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::fast_map::FastMap;
use crate::plan::router::Captures;

/// The routes of an API; each is a number.
#[derive(Debug, Default)]
pub struct Router {
    root: Node,
    default: Option<usize>,
}

#[derive(Debug, Default)]
struct Node {
    here: Choice,
    greedy: Choice,
    literal: FastMap<Box<str>, Node>,
    variable: Option<Box<Node>>,
}

/// The routes at one path, by method.
#[derive(Debug, Default)]
struct Choice {
    methods: Vec<(Method, usize)>,
    any: Option<usize>,
}

impl Choice {
    fn for_method(&self, method: &Method) -> Option<usize> {
        self.methods.iter().find(|(own, _)| own == method).map(|(_, route)| *route).or(self.any)
    }
}

impl Router {
    /// Adds a route by its key, and gives the names of its path's parameters.
    ///
    /// # Errors
    /// A sentence if the key cannot be one, or is there already.
    pub fn add(&mut self, key: &str, route: usize) -> Result<Vec<Box<str>>, String> {
        let again = || format!("the route {key} is there twice");
        if key == "$default" {
            return match self.default.replace(route) {
                None => Ok(Vec::new()),
                Some(_) => Err(again()),
            };
        }
        let parts = key.split_once(' ').and_then(|(method, path)| Some((method, path.strip_prefix('/')?)));
        let (method, path) = parts.ok_or_else(|| format!("{key:?} is no route key"))?;
        let mut names = Vec::new();
        let mut node = &mut self.root;
        let mut greedy = false;
        for segment in path.split('/') {
            if greedy {
                return Err(format!("{key:?} goes on after a greedy parameter"));
            }
            let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
                node = node.literal.entry(segment.into()).or_default();
                continue;
            };
            names.push(name.trim_end_matches('+').into());
            greedy = name.ends_with('+');
            if !greedy {
                node = node.variable.get_or_insert_default();
            }
        }
        let choice = if greedy { &mut node.greedy } else { &mut node.here };
        if method == "ANY" {
            return match choice.any.replace(route) {
                None => Ok(names),
                Some(_) => Err(again()),
            };
        }
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("{key:?} has no method"))?;
        if choice.methods.iter().any(|(own, _)| *own == method) {
            return Err(again());
        }
        choice.methods.push((method, route));
        Ok(names)
    }

    /// Finds the route for a method and an encoded path.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> Option<(usize, Captures)> {
        // A stage may be asked for without anything behind it. More than one slash are as one here, as AWS was seen to do.
        let begin = path.len() - path.trim_start_matches('/').len();
        let mut captures = Captures::new();
        if let Some(route) = self.root.find(method, path, begin..path.len(), false, &mut captures) {
            return Some((route, captures));
        }
        captures.clear();
        if let Some(route) = self.root.find(method, path, begin..path.len(), true, &mut captures) {
            return Some((route, captures));
        }
        Some((self.default?, Captures::new()))
    }
}

impl Node {
    /// Depth first, so that what is more specific is found before what is less.
    fn find(
        &self,
        method: &Method,
        path: &str,
        rest: Range<usize>,
        greedy: bool,
        captures: &mut Captures,
    ) -> Option<usize> {
        let text = path.get(rest.clone())?;
        let length = memchr::memchr(b'/', text.as_bytes()).unwrap_or(text.len());
        let segment = text.get(..length)?;
        let after = (length < text.len()).then(|| rest.start + length + 1..rest.end);
        let below = |node: &Self, captures: &mut Captures| match (&after, greedy) {
            (Some(after), _) => node.find(method, path, after.clone(), greedy, captures),
            (None, false) => node.here.for_method(method),
            (None, true) => None,
        };
        if let Some(node) = self.literal(segment)
            && let Some(route) = below(node, captures)
        {
            return Some(route);
        }
        if let Some(node) = &self.variable
            && !segment.is_empty()
        {
            captures.push(rest.start..rest.start + length);
            if let Some(route) = below(node, captures) {
                return Some(route);
            }
            captures.pop();
        }
        if !greedy {
            return None;
        }
        let route = self.greedy.for_method(method)?;
        captures.push(rest);
        Some(route)
    }

    fn literal(&self, segment: &str) -> Option<&Self> {
        self.literal.get(segment).or_else(|| {
            let decoded = segment.contains('%').then(|| percent_decode_str(segment).decode_utf8().ok())??;
            self.literal.get(&*decoded)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn router(keys: &[&str]) -> Router {
        let mut router = Router::default();
        for (index, key) in keys.iter().enumerate() {
            router.add(key, index).unwrap();
        }
        router
    }

    fn find(keys: &[&str], method: &str, path: &str) -> String {
        match router(keys).find(&method.parse().unwrap(), path) {
            None => "none".to_owned(),
            Some((route, captures)) => {
                let captures: Vec<_> = captures.into_iter().map(|range| &path[range]).collect();
                format!("{} {captures:?}", keys[route])
            }
        }
    }

    #[test]
    fn precedence() {
        // The example of the developer guide, and some.
        let keys = [
            "GET /pets/dog/1",
            "GET /pets/dog/{id}",
            "GET /pets/{proxy+}",
            "ANY /{proxy+}",
            "POST /pets/dog/{id}",
            "ANY /{a}/cat",
            "GET /",
            "$default",
        ];
        let check = |method: &str, path: &str, expected: &str| {
            assert_eq!(find(&keys, method, path), expected, "{method} {path}");
        };
        check("GET", "/pets/dog/1", "GET /pets/dog/1 []");
        check("POST", "/pets/dog/1", r#"POST /pets/dog/{id} ["1"]"#);
        check("GET", "/pets/dog/2", r#"GET /pets/dog/{id} ["2"]"#);
        check("GET", "/pets/cat/1", r#"GET /pets/{proxy+} ["cat/1"]"#);
        check("GET", "/pets/cat", r#"ANY /{a}/cat ["pets"]"#);
        check("POST", "/test/5", r#"ANY /{proxy+} ["test/5"]"#);
        check("PUT", "/pets/dog/1", r#"ANY /{proxy+} ["pets/dog/1"]"#);
        check("GET", "/", "GET / []");
        check("GET", "", "GET / []");
        check("POST", "/", r#"ANY /{proxy+} [""]"#);
        check("POST", "", r#"ANY /{proxy+} [""]"#);
        check("GET", "/pets/", r#"GET /pets/{proxy+} [""]"#);
        check("GET", "/%70ets/dog/1", "GET /pets/dog/1 []");
        check("GET", "//pets/dog/1", "GET /pets/dog/1 []");
        check("GET", "///", "GET / []");
        check("POST", "//test", r#"ANY /{proxy+} ["test"]"#);
        check("GET", "/pets//dog", r#"GET /pets/{proxy+} ["/dog"]"#);
        assert_eq!(find(&["GET /a"], "GET", "/a/"), "none");
        assert_eq!(find(&["GET /a/"], "GET", "/a/"), "GET /a/ []");
        assert_eq!(find(&["GET /{a}"], "GET", "/"), "none");
        assert_eq!(find(&["GET /a/{b+}"], "GET", "/a"), "none");
        assert_eq!(find(&["GET /a", "ANY /a"], "GET", "/a"), "GET /a []");
        assert_eq!(find(&["GET /a", "ANY /a"], "PUT", "/a"), "ANY /a []");
    }

    #[test]
    fn impossible_keys() {
        let check = |keys: &[&str], fits: bool| {
            let mut router = Router::default();
            assert_eq!(keys.iter().all(|key| router.add(key, 0).is_ok()), fits, "{keys:?}");
        };
        check(&["GET /{a}", "PUT /{b}", "$default"], true);
        check(&["GET /{a}", "GET /{b}"], false);
        check(&["$default", "$default"], false);
        check(&["ANY /x", "ANY /x"], false);
        check(&["GET /{a+}/b"], false);
        check(&["GET"], false);
        check(&["GET a"], false);
    }

    /// The same decision without a tree.
    fn naive(keys: &[&str], method: &str, path: &str) -> String {
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let fits = |key: &&str| {
            let (own, template) = key.split_once(' ')?;
            if own != "ANY" && own != method {
                return None;
            }
            let parts: Vec<_> = template.split('/').skip(1).collect();
            let mut strength = Vec::new();
            for (index, part) in parts.iter().enumerate() {
                let segment = segments.get(index)?;
                if part.ends_with("+}") {
                    strength.push(2);
                    return Some((true, strength, own == "ANY"));
                }
                strength.push(match part {
                    part if part.starts_with('{') && !segment.is_empty() => 1,
                    part if part == segment => 0,
                    _ => return None,
                });
            }
            (segments.len() == parts.len()).then_some((false, strength, own == "ANY"))
        };
        let best = keys.iter().filter_map(|key| Some((fits(key)?, key))).min();
        best.map_or("none".to_owned(), |(_, key)| (*key).to_owned())
    }

    proptest! {
        #[test]
        fn the_tree_decides_as_the_rules_do(
            keys in proptest::sample::subsequence(vec![
                "GET /", "GET /a", "PUT /a", "ANY /a/b", "PUT /a/{x}", "GET /a/{x}/c", "GET /a/{x+}", "PUT /{y}",
                "GET /{y}/b", "ANY /{y}/{z}", "PUT /{y}/{z}/c", "ANY /{w+}", "GET /{y}/b/{v+}", "PUT /a/",
            ], 0..14),
            segments in proptest::collection::vec(proptest::sample::select(vec!["a", "b", "c", "d", ""]), 0..5),
            method in proptest::sample::select(vec!["GET", "PUT"]),
        ) {
            let path = format!("/{}", segments.join("/"));
            let found = find(&keys, method, &path);
            prop_assert_eq!(found.split(" [").next().unwrap(), naive(&keys, method, &path), "{} in {:?}", path, keys);
        }
    }
}
