//! Reads a policy document.

use serde_json::{Map, Value};

use crate::condition::Condition;
use crate::pattern::{Pattern, Reading};
use crate::principal::Principals;

/// What a policy belongs to, which decides what has to stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Belongs to a user or role: no statement names a principal.
    Identity,
    /// Belongs to a resource: each statement names its principals.
    Resource,
    /// What a Lambda authorizer returned: as an identity's, but with few of the checks that IAM makes of those, because
    /// none of them saw it.
    Returned,
}

/// Why a document is no policy, in AWS's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

const SYNTAX: Malformed = Malformed("Syntax errors in policy.");

/// A policy, compiled.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub(crate) statements: Vec<Statement>,
}

/// One statement.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) allows: bool,
    /// Absent where the policy belongs to an identity.
    pub(crate) principals: Option<(Sense, Principals)>,
    /// In lower case: actions have none.
    pub(crate) actions: (Sense, Vec<Pattern>),
    pub(crate) resources: (Sense, Vec<Pattern>),
    pub(crate) conditions: Vec<Condition>,
}

/// Whether an element applies to what it lists, or to all the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sense {
    Listed,
    Rest,
}

impl Policy {
    /// Reads a policy from JSON.
    ///
    /// # Errors
    /// [`Malformed`], in IAM's words.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, Malformed> {
        Self::from_value(&serde_json::from_str(text).map_err(|_| SYNTAX)?, kind)
    }

    /// The same from JSON that has been read already.
    ///
    /// # Errors
    /// [`Malformed`], in IAM's words.
    pub fn from_value(document: &Value, kind: Kind) -> Result<Self, Malformed> {
        let document = document.as_object().ok_or(SYNTAX)?;
        if kind != Kind::Returned
            && document.keys().any(|key| !matches!(key.as_str(), "Version" | "Id" | "Statement"))
        {
            return Err(SYNTAX);
        }
        let variables = match document.get("Version").map(Value::as_str) {
            Some(Some("2012-10-17")) => true,
            None | Some(Some("2008-10-17")) => false,
            Some(_) => return Err(Malformed("The policy must contain a valid version string.")),
        };
        let statements = match document.get("Statement") {
            Some(Value::Array(statements)) => statements.as_slice(),
            Some(statement @ Value::Object(_)) => std::slice::from_ref(statement),
            _ => return Err(SYNTAX),
        };
        if statements.is_empty() && kind != Kind::Returned {
            return Err(SYNTAX);
        }
        let statements: Result<Vec<Statement>, Malformed> =
            statements.iter().map(|statement| Statement::parse(statement, kind, variables)).collect();
        let statements = statements?;
        for (at, statement) in statements.iter().enumerate() {
            let same = |other: &Statement| other.sid.is_some() && other.sid == statement.sid;
            if kind != Kind::Returned && statements.iter().take(at).any(same) {
                return Err(Malformed("Statement IDs (SID) in a single policy must be unique."));
            }
        }
        Ok(Self { statements })
    }

    /// One policy that says what all of these say.
    pub fn merge(policies: impl IntoIterator<Item = Self>) -> Self {
        Self { statements: policies.into_iter().flat_map(|policy| policy.statements).collect() }
    }

    /// How many statements it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether a statement, counted from 0, applies to all resources but those that it lists.
    #[must_use]
    pub fn excepts_resources(&self, statement: usize) -> bool {
        self.statements.get(statement).is_some_and(|statement| statement.resources.0 == Sense::Rest)
    }

    /// Whether it has no statement.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }
}

impl Statement {
    fn parse(statement: &Value, kind: Kind, variables: bool) -> Result<Self, Malformed> {
        let statement = statement.as_object().ok_or(SYNTAX)?;
        let known = |key: &String| {
            matches!(
                key.as_str(),
                "Sid"
                    | "Effect"
                    | "Principal"
                    | "NotPrincipal"
                    | "Action"
                    | "NotAction"
                    | "Resource"
                    | "NotResource"
                    | "Condition"
            )
        };
        // What is not known is left alone in an answer of a function, unless it is meant for something that is: a
        // `condition` that nobody reads would allow more than its author wanted.
        let meant = |key: &String| {
            let key = key.to_ascii_lowercase();
            let key = key.strip_suffix('s').unwrap_or(&key);
            ["condition", "resource", "notresource", "action", "notaction", "effect"].contains(&key)
        };
        if !statement.keys().all(|key| known(key) || (kind == Kind::Returned && !meant(key))) {
            return Err(SYNTAX);
        }
        let sid = match statement.get("Sid") {
            None | Some(Value::Null) => None,
            Some(sid) => Some(sid.as_str().ok_or(SYNTAX)?).filter(|sid| !sid.is_empty()).map(Into::into),
        };
        let allows = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(SYNTAX),
        };
        let reading = Reading { wildcards: true, variables, any_case: false };
        let (sense, actions) = listed(statement, "Action", "NotAction")?
            .ok_or(Malformed("Policy statement must contain actions."))?;
        let mut compiled = Vec::with_capacity(actions.len());
        for action in actions {
            check_action(action, kind)?;
            let any_case = Reading { any_case: true, variables: false, ..reading };
            compiled.push(Pattern::parse(action, any_case).ok_or(SYNTAX)?);
        }
        let actions = (sense, compiled);
        let (sense, resources) = listed(statement, "Resource", "NotResource")?
            .ok_or(Malformed("Policy statement must contain resources."))?;
        let mut compiled = Vec::with_capacity(resources.len());
        for resource in resources {
            if resource != "*" && kind != Kind::Returned && !resource.starts_with("arn:") {
                return Err(Malformed("Resource must be in ARN format or \"*\"."));
            }
            compiled.push(Pattern::parse(&completed(resource), reading).ok_or(SYNTAX)?);
        }
        let resources = (sense, compiled);
        let principals = Self::principals(statement, kind)?;
        let conditions = match statement.get("Condition") {
            None | Some(Value::Null) => Vec::new(),
            Some(condition) => Condition::parse_all(condition, variables).ok_or(SYNTAX)?,
        };
        Ok(Self { sid, allows, principals, actions, resources, conditions })
    }

    fn principals(
        statement: &Map<String, Value>,
        kind: Kind,
    ) -> Result<Option<(Sense, Principals)>, Malformed> {
        let (sense, element) = match (statement.get("Principal"), statement.get("NotPrincipal")) {
            (None, None) if kind == Kind::Resource => {
                return Err(Malformed("Missing required field Principal"));
            }
            (None, None) => return Ok(None),
            // API Gateway looks at no principal in what its own authorizer returned: the caller is the principal.
            _ if kind == Kind::Returned => return Ok(None),
            _ if kind == Kind::Identity => {
                return Err(Malformed("Policy document should not specify a principal."));
            }
            (Some(element), None) => (Sense::Listed, element),
            (None, Some(element)) => (Sense::Rest, element),
            (Some(_), Some(_)) => return Err(SYNTAX),
        };
        let principals = Principals::parse(element).ok_or(Malformed("Invalid principal in policy."))?;
        Ok(Some((sense, principals)))
    }
}

/// What an element lists, which may stand alone or in a list; one of the two has to be there, and only one.
fn listed<'s>(
    statement: &'s Map<String, Value>,
    plain: &str,
    negated: &str,
) -> Result<Option<(Sense, Vec<&'s str>)>, Malformed> {
    let (sense, element) = match (statement.get(plain), statement.get(negated)) {
        (Some(element), None) => (Sense::Listed, element),
        (None, Some(element)) => (Sense::Rest, element),
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(SYNTAX),
    };
    let entries = match element {
        Value::Array(entries) => entries.as_slice(),
        entry => std::slice::from_ref(entry),
    };
    if entries.is_empty() {
        return Ok(None);
    }
    let texts: Option<Vec<&str>> = entries.iter().map(Value::as_str).collect();
    Ok(Some((sense, texts.ok_or(SYNTAX)?)))
}

fn check_action(action: &str, kind: Kind) -> Result<(), Malformed> {
    if action == "*" || kind == Kind::Returned {
        return Ok(());
    }
    let Some((vendor, name)) = action.split_once(':') else {
        return Err(Malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."));
    };
    if name.contains(':') {
        return Err(Malformed("Actions/Condition can contain only one colon."));
    }
    let is_vendor = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if vendor.is_empty() || name.is_empty() || !vendor.bytes().all(is_vendor) {
        return Err(Malformed("Vendor is not valid"));
    }
    Ok(())
}

/// An ARN that lacks some of its six parts stands for all of them.
fn completed(resource: &str) -> String {
    let parts = resource.split(':').count();
    let missing = if resource.starts_with("arn:") { 6_usize.saturating_sub(parts) } else { 0 };
    // What ends with a wildcard already stands for all that follows.
    if missing == 0 || resource.ends_with('*') {
        resource.to_owned()
    } else {
        resource.to_owned() + &":*".repeat(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, statement: &str, expected: &str) {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#);
        let found = Policy::parse(&text, kind).map_or_else(|error| error.to_string(), |_| "fine".to_owned());
        assert_eq!(found, expected, "{statement}");
    }

    #[test]
    fn identity_policies() {
        let check = |statement: &str, expected: &str| check(Kind::Identity, statement, expected);
        check(r#"{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}"#, "fine");
        check(r#"{"Effect": "Deny", "NotAction": ["s3:*", "*"], "NotResource": "arn:aws:s3"}"#, "fine");
        check(r#"{"Effect": "allow", "Action": "*", "Resource": "*"}"#, "Syntax errors in policy.");
        check(r#"{"Effect": "Allow", "Resource": "*"}"#, "Policy statement must contain actions.");
        check(r#"{"Effect": "Allow", "Action": "*"}"#, "Policy statement must contain resources.");
        check(
            r#"{"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}"#,
            "Syntax errors in policy.",
        );
        check(
            r#"{"Effect": "Allow", "Action": "Invoke", "Resource": "*"}"#,
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        );
        check(
            r#"{"Effect": "Allow", "Action": "a:b:c", "Resource": "*"}"#,
            "Actions/Condition can contain only one colon.",
        );
        check(
            r#"{"Effect": "Allow", "Action": "*", "Resource": "x"}"#,
            "Resource must be in ARN format or \"*\".",
        );
        check(
            r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}"#,
            "Policy document should not specify a principal.",
        );
        check(
            r#"{"Sid": "a", "Effect": "Allow", "Action": "*", "Resource": "*"},
               {"Sid": "a", "Effect": "Allow", "Action": "*", "Resource": "*"}"#,
            "Statement IDs (SID) in a single policy must be unique.",
        );
        check(
            r#"{"Effect": "Allow", "Action": "*", "Resource": "arn:${", "X": 1}"#,
            "Syntax errors in policy.",
        );
        check(r#"{"Effect": "Allow", "Action": "*", "Resource": "arn:${"}"#, "Syntax errors in policy.");
        check("", "Syntax errors in policy.");
    }

    #[test]
    fn resource_and_returned_policies() {
        let statement = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
        check(Kind::Resource, statement, "Missing required field Principal");
        check(Kind::Returned, statement, "fine");
        check(Kind::Returned, "", "fine");
        let with = |name: &str| statement.replace("}", &format!(", {name:?}: {{}}}}"));
        check(Kind::Returned, &with("comment"), "fine");
        check(Kind::Identity, &with("comment"), "Syntax errors in policy.");
        for name in ["condition", "Conditions", "CONDITION", "resources", "notAction"] {
            check(Kind::Returned, &with(name), "Syntax errors in policy.");
        }
        let named = r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": {"AWS": "x*"}}"#;
        check(Kind::Resource, named, "Invalid principal in policy.");
    }

    #[test]
    fn versions() {
        let check = |text: &str, fine: bool| {
            assert_eq!(Policy::parse(text, Kind::Returned).is_ok(), fine, "{text}");
        };
        check(r#"{"Statement": []}"#, true);
        check(r#"{"Version": "2008-10-17", "Statement": []}"#, true);
        check(r#"{"Version": "2013-10-17", "Statement": []}"#, false);
        check(r#"{"Version": 1, "Statement": []}"#, false);
        check("[]", false);
        check("", false);
    }

    #[test]
    fn short_arns_are_completed() {
        let check = |given: &str, expected: &str| assert_eq!(completed(given), expected);
        check("*", "*");
        check("arn:aws:execute-api:*", "arn:aws:execute-api:*");
        check("arn:aws:execute-api", "arn:aws:execute-api:*:*:*");
        check("arn:aws:execute-api:r:1:api/dev", "arn:aws:execute-api:r:1:api/dev");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_policy_or_refused(text in r#"[\[\]{}":,*?$a-zA-Z]{0,60}"#) {
            for kind in [Kind::Identity, Kind::Resource, Kind::Returned] {
                let _ = Policy::parse(&text, kind);
                check_anything(&text, kind);
            }
        }
    }

    fn check_anything(text: &str, kind: Kind) {
        let statement = serde_json::json!({"Effect": "Allow", "Action": text, "Resource": text,
            "Condition": {"StringLike": {text: text}}});
        let _ =
            Policy::from_value(&serde_json::json!({"Version": "2012-10-17", "Statement": statement}), kind);
    }
}
