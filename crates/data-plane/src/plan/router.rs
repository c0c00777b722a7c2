//! The tree of resources, and how a path finds its method in it.
//!
//! At every level a literal segment comes before `{name}`, and `{name}` before `{name+}`. A branch that leads nowhere
//! is left again, and *nowhere* includes a resource without the request's method: AWS serves `OPTIONS /test` from
//! `/{proxy+}` if `/test` has no OPTIONS (recorded; some sources say otherwise). [`Router::find`] is the only place
//! that decides this.

use std::ops::Range;

use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use crate::fast_map::FastMap;

/// Where the path parameters stand in the path, in the order of their names in the resource's path.
pub type Captures = SmallVec<[Range<usize>; 4]>;

/// A tree of resources; `R` names a resource.
#[derive(Debug)]
pub struct Router<R> {
    root: Node<R>,
}

#[derive(Debug)]
struct Node<R> {
    resource: Option<R>,
    literal: FastMap<Box<str>, Node<R>>,
    variable: Option<Box<Node<R>>>,
    greedy: Option<R>,
}

impl<R> Default for Node<R> {
    fn default() -> Self {
        Self { resource: None, literal: FastMap::default(), variable: None, greedy: None }
    }
}

impl<R> Default for Router<R> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<R: Copy> Router<R> {
    /// Adds a resource by its path, such as `/users/{userId}` or `/{proxy+}`, and gives its parameters' names.
    ///
    /// # Errors
    /// A sentence if the path cannot be part of a tree.
    pub fn add(&mut self, path: &str, resource: R) -> Result<Vec<Box<str>>, String> {
        let mut names = Vec::new();
        let mut node = &mut self.root;
        let mut segments = path.split('/').filter(|segment| !segment.is_empty()).peekable();
        while let Some(segment) = segments.next() {
            let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
                node = node.literal.entry(segment.into()).or_default();
                continue;
            };
            let Some(name) = name.strip_suffix('+') else {
                names.push(name.into());
                node = node.variable.get_or_insert_default();
                continue;
            };
            if segments.peek().is_some() {
                return Err(format!("{segment} is greedy and must be the last part of {path}"));
            }
            names.push(name.into());
            if node.greedy.replace(resource).is_some() {
                return Err(format!("{path} has a sibling that is greedy too"));
            }
            return Ok(names);
        }
        match node.resource.replace(resource) {
            None => Ok(names),
            Some(_) => Err(format!("{path} is there twice")),
        }
    }

    /// Finds the resource for an encoded path for which `accept` gives something, which is whether it has the method.
    /// Slashes before the first segment and after the last do not count.
    pub fn find<T>(&self, path: &str, mut accept: impl FnMut(R) -> Option<T>) -> Option<(T, Captures)> {
        let begin = path.len() - path.trim_start_matches('/').len();
        let end = path.trim_end_matches('/').len().max(begin);
        let mut captures = Captures::new();
        let found = self.root.find(path, begin..end, &mut captures, &mut accept)?;
        Some((found, captures))
    }
}

impl<R: Copy> Node<R> {
    /// Depth first; a literal, a variable and a greedy child at each level bound the work to 2 to the power of the
    /// tree's depth, however long the path is.
    fn find<T>(
        &self,
        path: &str,
        rest: Range<usize>,
        captures: &mut Captures,
        accept: &mut impl FnMut(R) -> Option<T>,
    ) -> Option<T> {
        let text = path.get(rest.clone())?;
        if text.is_empty() {
            return accept(self.resource?);
        }
        let length = memchr::memchr(b'/', text.as_bytes()).unwrap_or(text.len());
        let segment = text.get(..length)?;
        let after = (rest.start + length + 1).min(rest.end)..rest.end;
        if let Some(child) = self.literal(segment)
            && let Some(found) = child.find(path, after.clone(), captures, accept)
        {
            return Some(found);
        }
        if let Some(child) = &self.variable
            && !segment.is_empty()
        {
            captures.push(rest.start..rest.start + length);
            if let Some(found) = child.find(path, after, captures, accept) {
                return Some(found);
            }
            captures.pop();
        }
        let found = accept(self.greedy?)?;
        captures.push(rest);
        Some(found)
    }

    fn literal(&self, segment: &str) -> Option<&Self> {
        if self.literal.is_empty() {
            return None;
        }
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

    /// Resources as `METHODS path`, where METHODS are single letters.
    fn router(resources: &[&'static str]) -> Router<&'static str> {
        let mut router = Router::default();
        for resource in resources {
            router.add(resource.split_once(' ').unwrap().1, *resource).unwrap();
        }
        router
    }

    fn find(router: &Router<&'static str>, method: char, path: &str) -> String {
        let accept = |resource: &'static str| {
            let (methods, path) = resource.split_once(' ').unwrap();
            methods.contains(method).then_some(path)
        };
        match router.find(path, accept) {
            None => "none".to_owned(),
            Some((found, captures)) => {
                let captures: Vec<_> = captures.into_iter().map(|range| &path[range]).collect();
                format!("{found} {captures:?}")
            }
        }
    }

    #[test]
    fn precedence() {
        let check = |method: char, path: &str, expected: &str| {
            let router = router(&[
                "G /",
                "G /users",
                "GP /users/{id}",
                "G /users/me",
                "G /users/{id}/orders",
                "P /test",
                "G /test/any",
                "GO /{proxy+}",
            ]);
            assert_eq!(find(&router, method, path), expected, "{method} {path}");
        };
        check('G', "", "/ []");
        check('G', "/", "/ []");
        check('G', "/users", "/users []");
        check('G', "/users/", "/users []");
        check('G', "//users", "/users []");
        check('G', "/users/me", "/users/me []");
        check('G', "/users/%6de", "/users/me []");
        check('P', "/users/me", r#"/users/{id} ["me"]"#);
        check('G', "/users/7", r#"/users/{id} ["7"]"#);
        check('G', "/users/a%2Fb", r#"/users/{id} ["a%2Fb"]"#);
        check('G', "/users/me/orders", r#"/users/{id}/orders ["me"]"#);
        check('G', "/users/7/x", r#"/{proxy+} ["users/7/x"]"#);
        check('G', "/users//x", r#"/{proxy+} ["users//x"]"#);
        check('G', "/a/b//c/", r#"/{proxy+} ["a/b//c"]"#);
        check('O', "/test", r#"/{proxy+} ["test"]"#);
        check('P', "/test", "/test []");
        check('P', "/other", "none");
        check('O', "/", "none");
    }

    #[test]
    fn impossible_trees() {
        let check = |paths: &[&str], expected: bool| {
            let mut router = Router::default();
            let fits = paths.iter().all(|path| router.add(path, ()).is_ok());
            assert_eq!(fits, expected, "{paths:?}");
        };
        check(&["/", "/a", "/a/{b}", "/{c}"], true);
        check(&["/a", "/a"], false);
        check(&["/{a+}/b"], false);
        check(&["/{a+}", "/{b+}"], false);
    }

    /// The same decision without a tree: of all resources that fit, the one whose first differing segment is stronger.
    fn naive(resources: &[&'static str], method: char, path: &str) -> String {
        let segments: Vec<_> = path.trim_matches('/').split('/').collect();
        let segments = if path.trim_matches('/').is_empty() { vec![] } else { segments };
        let fits = |resource: &'static str| {
            let (methods, template) = resource.split_once(' ').unwrap();
            let parts: Vec<_> = template.split('/').filter(|part| !part.is_empty()).collect();
            let mut strength = Vec::new();
            for (index, part) in parts.iter().enumerate() {
                let segment = segments.get(index)?;
                strength.push(match part {
                    part if part.ends_with("+}") => {
                        return methods.contains(method).then(|| [strength, vec![2]].concat());
                    }
                    part if part.starts_with('{') && !segment.is_empty() => 1,
                    part if part == segment => 0,
                    _ => return None,
                });
            }
            (segments.len() == parts.len() && methods.contains(method)).then_some(strength)
        };
        let best = resources.iter().filter_map(|resource| Some((fits(resource)?, resource))).min();
        best.map_or("none".to_owned(), |(_, resource)| resource.split_once(' ').unwrap().1.to_owned())
    }

    proptest! {
        #[test]
        fn the_tree_decides_as_the_rules_do(
            chosen in proptest::sample::subsequence(vec![
                "G /", "G /a", "P /a", "G /a/b", "P /a/{x}", "G /a/{x}/c", "G /a/{x+}", "P /{y}", "G /{y}/b",
                "G /{y}/{z}", "P /{y}/{z}/c", "GP /{w+}", "G /{y}/b/{v+}",
            ], 0..13),
            segments in proptest::collection::vec(proptest::sample::select(vec!["a", "b", "c", "d", ""]), 0..5),
            method in proptest::sample::select(vec!['G', 'P']),
        ) {
            let mut paths = std::collections::HashSet::new();
            let chosen: Vec<_> = chosen.into_iter().filter(|r| paths.insert(r.split_once(' ').unwrap().1)).collect();
            let path = format!("/{}", segments.join("/"));
            let found = find(&router(&chosen), method, &path);
            prop_assert_eq!(found.split(" [").next().unwrap(), naive(&chosen, method, &path), "{} in {:?}", path, chosen);
        }
    }
}
