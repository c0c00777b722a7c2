//! What policies decide, whoever asks: a request, a call of `@connections`, or `stagedoor explain`, which so cannot say
//! anything else than what a request meets.

use percent_encoding::percent_decode_str;
use stagedoor_policy::{Combination, Decision, Denial, Explanation, Policy, Request, Verdict};

/// What a policy says to a request. Several spellings of a path lead to one method, and what denies one of them is meant
/// to deny all. Where a path has dot segments, backends may take it for another one, which then has to be allowed as well.
#[must_use]
pub fn judge(policy: &Policy, request: &Request<'_>) -> Verdict {
    let asked = policy.evaluate(request);
    match deciding(policy, request, asked) {
        Some(spelling) => policy.evaluate(&Request { resource: &spelling, ..*request }),
        None => asked,
    }
}

/// The same, with what each statement has to say.
#[must_use]
pub fn explain(policy: &Policy, request: &Request<'_>) -> Explanation {
    let spelling = deciding(policy, request, policy.evaluate(request));
    policy.explain(&Request { resource: spelling.as_deref().unwrap_or(request.resource), ..*request })
}

/// The spelling of a request's resource that decides, where it is not the request's own; `asked` is what the policy says to
/// that.
fn deciding(policy: &Policy, request: &Request<'_>, asked: Verdict) -> Option<String> {
    if asked.decision == Decision::ExplicitDeny {
        return None;
    }
    let says = |resource: &str| policy.evaluate(&Request { resource, ..*request }).decision;
    let plain = plain_spelling(request.resource);
    let resolved = without_dots(plain.as_deref().unwrap_or(request.resource));
    let last = resolved.as_deref().or(plain.as_deref()).unwrap_or(request.resource);
    let bare = without_parameters_of_path(last);
    let spellings = || [&plain, &resolved, &bare].into_iter().flatten();
    if let Some(denied) = spellings().find(|spelling| says(spelling) == Decision::ExplicitDeny) {
        return Some(denied.clone());
    }
    // What `NotResource` lists is not to be reached by another spelling either.
    let excepts = asked.statement.is_some_and(|statement| policy.excepts_resources(statement));
    if asked.decision == Decision::Allow
        && excepts
        && let Some(excepted) = spellings().find(|spelling| says(spelling) != Decision::Allow)
    {
        return Some(excepted.clone());
    }
    resolved.filter(|resolved| asked.decision == Decision::Allow && says(resolved) != Decision::Allow)
}

/// Whether a resource's policy lets somebody unknown pass where nobody else is asked. A resource without a policy is open.
///
/// # Errors
/// [`Denial`] if not.
pub fn alone(resource: Option<Verdict>) -> Result<(), Denial> {
    match resource.map(|verdict| verdict.decision) {
        None | Some(Decision::Allow) => Ok(()),
        Some(Decision::ExplicitDeny) => Err(Denial::ExplicitByResource),
        Some(Decision::ImplicitDeny) => Err(Denial::ImplicitByResource),
    }
}

/// Whether a resource's policy lets an authorizer function be asked, whose own policy may allow in its place.
///
/// # Errors
/// [`Denial`] if the resource's policy denies.
pub fn before_a_function(resource: Option<Verdict>) -> Result<(), Denial> {
    match resource.map(|verdict| verdict.decision) {
        Some(Decision::ExplicitDeny) => Err(Denial::ExplicitByResource),
        None | Some(Decision::Allow | Decision::ImplicitDeny) => Ok(()),
    }
}

/// How the policies of a signer and of a resource are joined.
#[must_use]
pub fn combination(of_signer: &str, of_resource: &str) -> Combination {
    if of_signer == of_resource { Combination::SameAccount } else { Combination::CrossAccount }
}

/// A method's ARN as it would be without encoded letters and needless slashes; nothing if it is so already.
fn plain_spelling(arn: &str) -> Option<String> {
    let mut parts = arn.splitn(6, ':');
    if parts.nth(2) != Some("execute-api") {
        return None;
    }
    // API, stage and method stand before the path.
    let path = parts.nth(2)?.splitn(4, '/').nth(3)?;
    let is_plain =
        !path.contains('%') && !path.contains("//") && !path.starts_with('/') && !path.ends_with('/');
    if is_plain {
        return None;
    }
    let before = arn.strip_suffix(path)?;
    // Decoded first: slashes may be encoded too.
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let segments: Vec<_> = decoded.split('/').filter(|segment| !segment.is_empty()).collect();
    Some(format!("{before}{}", segments.join("/")))
}

/// A method's ARN as it would be for whoever resolves the dot segments of its path; nothing if there are none.
fn without_dots(arn: &str) -> Option<String> {
    if !arn.contains("/.") && !arn.contains('\\') {
        return None;
    }
    let path = arn.splitn(6, ':').nth(5)?.splitn(4, '/').nth(3)?;
    Some(format!("{}{}", arn.strip_suffix(path)?, resolved(path)?.0))
}

/// A method's ARN as it would be for whoever looks at no parameters of segments (`/admin;x`); nothing if there are none.
fn without_parameters_of_path(arn: &str) -> Option<String> {
    if !arn.contains(';') || arn.split(':').nth(2) != Some("execute-api") {
        return None;
    }
    let path = arn.splitn(6, ':').nth(5)?.splitn(4, '/').nth(3)?;
    Some(format!("{}{}", arn.strip_suffix(path)?, without_parameters(path)?))
}

/// A decoded path without the parameters of its segments (RFC 3986, section 3.3); nothing if there are none.
fn without_parameters(path: &str) -> Option<String> {
    if !path.contains(';') {
        return None;
    }
    let names: Vec<_> =
        path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    Some(names.join("/"))
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// There.
    At(String),
    /// Out of the stage.
    Outside,
}

/// Where a request's path, below its stage, leads whoever decodes it, resolves its dot segments and looks at no parameters
/// of segments; nothing if it has neither.
#[must_use]
pub fn leads_to(path: &str) -> Option<Place> {
    // Nearly every path is told by this. Without a way out in the middle many bytes are looked at at once.
    if !path.bytes().fold(false, |special, byte| special | matches!(byte, b'.' | b'%' | b'\\' | b';')) {
        return None;
    }
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let Some((resolved, is_inside)) = resolved(&decoded) else {
        return without_parameters(&decoded).map(Place::At);
    };
    if !is_inside {
        return Some(Place::Outside);
    }
    Some(Place::At(format!("/{}", without_parameters(&resolved).unwrap_or(resolved))))
}

/// A decoded path without its dot segments (RFC 3986, section 5.2.4), and whether none of them leads above its beginning;
/// nothing if there are none. Some servers look at no parameters of segments (`..;x`), and take `\` for `/`.
fn resolved(path: &str) -> Option<(String, bool)> {
    let segments = || path.split(['/', '\\']).map(|segment| (segment, segment.split(';').next()));
    if !segments().any(|(_, name)| matches!(name, Some("." | ".."))) {
        return None;
    }
    let (mut kept, mut is_inside) = (Vec::new(), true);
    for (segment, name) in segments() {
        match name {
            // Those between two slashes are no segments to whoever takes the two for one.
            Some("" | ".") => {}
            Some("..") => is_inside &= kept.pop().is_some(),
            _ => kept.push(segment),
        }
    }
    Some((kept.join("/"), is_inside))
}

#[cfg(test)]
mod tests {
    use stagedoor_policy::{Caller, Kind};

    use super::*;

    #[test]
    fn spellings_of_a_path_are_one() {
        let check = |path: &str, expected: Option<&str>| {
            let arn = |path: &str| format!("arn:aws:execute-api:r:123456789012:a/s/GET/{path}");
            assert_eq!(plain_spelling(&arn(path)), expected.map(arn), "{path}");
        };
        check("admin", None);
        check("", None);
        check("a:b/c", None);
        check("%61dmin", Some("admin"));
        check("/admin", Some("admin"));
        check("admin/", Some("admin"));
        check("a//b/%2e%2E/", Some("a/b/.."));
        check("a%2Fb", Some("a/b"));
        check("/", Some(""));
        assert_eq!(plain_spelling("arn:aws:s3:::bucket/a//%61"), None);
        assert_eq!(plain_spelling("arn:aws:execute-api:r:1:a/s/$connect"), None);
        assert_eq!(plain_spelling("*"), None);
    }

    #[test]
    fn paths_with_dots_are_resolved() {
        let check = |path: &str, expected: Option<&str>| {
            let arn = |path: &str| format!("arn:aws:execute-api:r:123456789012:a/s/GET/{path}");
            assert_eq!(without_dots(&arn(path)), expected.map(arn), "{path}");
        };
        check("a/b", None);
        check("a/.b", None);
        check("a/...", None);
        check("open/../admin", Some("admin"));
        check("a/./b/../../c", Some("c"));
        check("../../admin", Some("admin"));
        check("a/..", Some(""));
        check("open/..;a=b/admin", Some("admin"));
        check("open\\..\\admin", Some("admin"));
        check("a;b/..c;d", None);
    }

    #[test]
    fn paths_lead_somewhere() {
        let check = |path: &str, expected: Option<&str>| {
            let expected = expected.map(|path| match path {
                "" => Place::Outside,
                path => Place::At(path.to_owned()),
            });
            assert_eq!(leads_to(path), expected, "{path}");
        };
        check("/a/b.c", None);
        check("/.well-known/a%20b", None);
        check("", None);
        check("/open/../admin", Some("/admin"));
        check("/open/%2e%2E%2fadmin", Some("/admin"));
        check("/./admin", Some("/admin"));
        check("/open\\..\\admin", Some("/admin"));
        check("/open/..;x/admin/", Some("/admin"));
        check("/admin;x=/..;y/b", Some("/b"));
        check("/admin;x=1/b;", Some("/admin/b"));
        check("/admin%3Bx", Some("/admin"));
        check("/a/..", Some("/"));
        check("/..", Some(""));
        check("/a/../../prod/a", Some(""));
        check("/%2e%2e/prod", Some(""));
    }

    #[test]
    fn what_leads_elsewhere_has_to_be_allowed_there_too() {
        let policy = |statements: serde_json::Value| {
            let document = serde_json::json!({"Version": "2012-10-17", "Statement": statements});
            Policy::from_value(&document, Kind::Returned).unwrap()
        };
        let statement = |effect: &str, path: &str| {
            serde_json::json!({"Effect": effect, "Action": "*",
                "Resource": format!("arn:aws:execute-api:r:123456789012:a/s/GET/{path}")})
        };
        let check = |policy: &Policy, path: &str, expected: Decision| {
            let resource = format!("arn:aws:execute-api:r:123456789012:a/s/GET/{path}");
            let request = Request {
                caller: Caller::Anonymous,
                action: "execute-api:invoke",
                resource: &resource,
                keys: &(),
            };
            assert_eq!(judge(policy, &request).decision, expected, "{path}");
            assert_eq!(explain(policy, &request).verdict.decision, expected, "{path}");
        };
        let open = policy(serde_json::json!([statement("Allow", "open/*")]));
        check(&open, "open/a", Decision::Allow);
        check(&open, "open/a/../b", Decision::Allow);
        check(&open, "open//b/", Decision::Allow);
        check(&open, "open/../admin", Decision::ImplicitDeny);
        check(&open, "open/%2e%2E/admin", Decision::ImplicitDeny);
        check(&open, "open/..%3Bx/admin", Decision::ImplicitDeny);
        check(&open, "open%5C..%5cadmin", Decision::ImplicitDeny);
        check(&open, "open/x%5C..%5c..%5cadmin", Decision::ImplicitDeny);
        check(&open, "admin/../open/a", Decision::ImplicitDeny);
        check(&open, "open/%2F../admin", Decision::ImplicitDeny);
        check(&open, "open%5C%5C..%5Cadmin", Decision::ImplicitDeny);
        let closed = policy(serde_json::json!([statement("Allow", "*"), statement("Deny", "admin")]));
        check(&closed, "open/../admin", Decision::ExplicitDeny);
        check(&closed, "open/..%2fadmin/", Decision::ExplicitDeny);
        check(&closed, "%61dmin", Decision::ExplicitDeny);
        check(&closed, "%2F%2Fadmin", Decision::ExplicitDeny);
        check(&closed, "admin;x=1", Decision::ExplicitDeny);
        check(&closed, "open/../%61dmin%3B/", Decision::ExplicitDeny);
        check(&closed, "open;admin", Decision::Allow);
        check(&closed, "admin/../open", Decision::Allow);
        let but = policy(serde_json::json!([{"Effect": "Allow", "Action": "*",
            "NotResource": "arn:aws:execute-api:r:123456789012:a/s/GET/admin"}]));
        check(&but, "open", Decision::Allow);
        check(&but, "%6fpen//", Decision::Allow);
        check(&but, "admin", Decision::ImplicitDeny);
        check(&but, "%61dmin", Decision::ImplicitDeny);
        check(&but, "/admin/", Decision::ImplicitDeny);
        check(&but, "open/..%2Fadmin", Decision::ImplicitDeny);
        check(&but, "admin;x", Decision::ImplicitDeny);
    }
}
