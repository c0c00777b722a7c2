//! Decides a request, and says why.

use std::fmt;

use crate::document::{Policy, Sense, Statement};
use crate::pattern::Pattern;
use crate::principal::{Caller, Named};
use crate::{ContextKeys, condition::Condition};

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub caller: Caller<'a>,
    /// What is to be done, in lower case: `execute-api:invoke`.
    pub action: &'a str,
    /// With what: an ARN.
    pub resource: &'a str,
    /// Everything conditions and variables may ask for.
    pub keys: &'a dyn ContextKeys,
}

/// What a policy says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allow,
    /// A statement denies it.
    ExplicitDeny,
    /// No statement allows it.
    ImplicitDeny,
}

/// A decision and the statement that it hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// Which statement made it, counted from 0; none for an implicit deny.
    pub statement: Option<usize>,
    /// Allowed by statements that name the caller's account alone. Such a statement leaves it to the account's own
    /// policies.
    pub by_account: bool,
}

/// Why a statement does not apply: the first of its elements that does not fit.
#[derive(Clone, Copy)]
enum Mismatch<'p> {
    Principal,
    Action,
    Resource,
    Variable,
    Condition(&'p Condition),
}

impl Policy {
    /// Decides a request.
    #[must_use]
    pub fn evaluate(&self, request: &Request<'_>) -> Verdict {
        let mut verdict = Verdict { decision: Decision::ImplicitDeny, statement: None, by_account: false };
        for (index, statement) in self.statements.iter().enumerate() {
            let settled = statement.allows && verdict.decision == Decision::Allow && !verdict.by_account;
            if settled {
                continue;
            }
            let Ok(named) = statement.applies(request) else { continue };
            if !statement.allows {
                return Verdict {
                    decision: Decision::ExplicitDeny,
                    statement: Some(index),
                    by_account: false,
                };
            }
            let by_account = named == Named::ByAccount;
            if verdict.decision != Decision::Allow || !by_account {
                verdict = Verdict { decision: Decision::Allow, statement: Some(index), by_account };
            }
        }
        verdict
    }

    /// Decides a request and says of each statement why it applies or does not.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let statements = self.statements.iter().map(|statement| StatementOutcome {
            sid: statement.sid.as_deref().map(str::to_owned),
            allows: statement.allows,
            outcome: match statement.applies(request) {
                Ok(_) => Outcome::Applies,
                Err(mismatch) => Outcome::DoesNotApply(mismatch.to_string()),
            },
            conditions: statement.conditions.iter().map(ToString::to_string).collect(),
        });
        Explanation { verdict: self.evaluate(request), statements: statements.collect() }
    }
}

impl Statement {
    fn applies(&self, request: &Request<'_>) -> Result<Named, Mismatch<'_>> {
        let named = match &self.principals {
            None => Named::Itself,
            Some((Sense::Listed, principals)) => principals.name(request.caller),
            Some((Sense::Rest, principals)) if self.allows => match principals.name(request.caller) {
                Named::Not => Named::Itself,
                _ => Named::Not,
            },
            Some((Sense::Rest, principals)) if principals.names_whole(request.caller) => Named::Not,
            Some((Sense::Rest, _)) => Named::Itself,
        };
        if named == Named::Not {
            return Err(Mismatch::Principal);
        }
        if !self.fits(&self.actions, request.action, request.keys)? {
            return Err(Mismatch::Action);
        }
        if !self.fits(&self.resources, request.resource, request.keys)? {
            return Err(Mismatch::Resource);
        }
        match self.conditions.iter().find(|condition| !condition.holds(request.keys, self.allows)) {
            Some(condition) => Err(Mismatch::Condition(condition)),
            None => Ok(named),
        }
    }

    /// A variable without a value matches nothing. Turned around it would match everything, so a statement that allows
    /// does not apply then.
    fn fits(
        &self,
        (sense, patterns): &(Sense, Vec<Pattern>),
        text: &str,
        keys: &dyn ContextKeys,
    ) -> Result<bool, Mismatch<'_>> {
        let mut listed = false;
        for pattern in patterns {
            match pattern.matches(text, keys) {
                Some(matches) => listed |= matches,
                None if *sense == Sense::Rest && self.allows => return Err(Mismatch::Variable),
                None => {}
            }
            if listed {
                break;
            }
        }
        Ok(listed == (*sense == Sense::Listed))
    }
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal => f.write_str("its principals do not include the caller"),
            Self::Action => f.write_str("its actions do not include the action"),
            Self::Resource => f.write_str("its resources do not include the resource"),
            Self::Variable => f.write_str("a policy variable in it has no value in this request"),
            Self::Condition(condition) => write!(f, "its condition {condition} does not hold"),
        }
    }
}

/// A decision, statement by statement.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The decision.
    pub verdict: Verdict,
    /// What each statement had to say, in order.
    pub statements: Vec<StatementOutcome>,
}

/// What one statement had to say.
#[derive(Clone, Debug)]
pub struct StatementOutcome {
    /// Its id, if it has one.
    pub sid: Option<String>,
    /// Whether its effect is `Allow`.
    pub allows: bool,
    /// Whether it applies.
    pub outcome: Outcome,
    /// Its conditions.
    pub conditions: Vec<String>,
}

impl fmt::Display for StatementOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sid) = &self.sid {
            write!(f, "{sid:?} ")?;
        }
        f.write_str(if self.allows { "(Allow) " } else { "(Deny) " })?;
        match &self.outcome {
            Outcome::DoesNotApply(why) => write!(f, "does not apply: {why}"),
            Outcome::Applies if self.conditions.is_empty() => f.write_str("applies"),
            Outcome::Applies => write!(f, "applies, for {} holds", self.conditions.join(" and ")),
        }
    }
}

/// Whether a statement applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    Applies,
    /// It does not, for this reason.
    DoesNotApply(String),
}

impl Explanation {
    /// The decision in one line: the statement that made it or, where none did, why each does not apply.
    #[must_use]
    pub fn brief(&self) -> String {
        let numbered = |index: usize| {
            let outcome = self.statements.get(index).map(ToString::to_string).unwrap_or_default();
            format!("statement {} {outcome}", index + 1)
        };
        match (self.verdict.decision, self.verdict.statement) {
            (Decision::Allow, Some(index)) => format!("allowed: {}", numbered(index)),
            (Decision::ExplicitDeny, Some(index)) => format!("explicitly denied: {}", numbered(index)),
            _ => {
                let reasons: Vec<String> = (0..self.statements.len()).map(numbered).collect();
                format!("denied, because no statement allows it: {}", reasons.join("; "))
            }
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statement = |index: Option<usize>| {
            index.map_or(String::new(), |index| format!(" by statement {}", index + 1))
        };
        match self.verdict.decision {
            Decision::Allow => writeln!(f, "allowed{}", statement(self.verdict.statement))?,
            Decision::ExplicitDeny => writeln!(f, "explicitly denied{}", statement(self.verdict.statement))?,
            Decision::ImplicitDeny => writeln!(f, "denied, because no statement allows it")?,
        }
        for (index, outcome) in self.statements.iter().enumerate() {
            writeln!(f, "  statement {} {outcome}", index + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::Kind;

    fn explain(statements: Value, kind: Kind) -> Explanation {
        let keys = BTreeMap::from([("aws:username".to_owned(), vec!["ann".to_owned()])]);
        let policy = json!({"Version": "2012-10-17", "Statement": statements});
        let caller = Caller::Known { account: "111111111111", arns: &["arn:aws:iam::111111111111:user/ann"] };
        let resource = "arn:aws:execute-api:us-east-1:1:api/dev/GET/a/b";
        let request = Request { caller, action: "execute-api:invoke", resource, keys: &keys };
        Policy::from_value(&policy, kind).expect("the policy is well-formed").explain(&request)
    }

    fn check(statements: Value, expected: Decision) {
        assert_eq!(explain(statements.clone(), Kind::Identity).verdict.decision, expected, "{statements}");
    }

    #[test]
    fn statements_apply_or_not() {
        use Decision::{Allow, ExplicitDeny, ImplicitDeny};
        let all = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        check(json!([all]), Allow);
        check(json!([all, {"Effect": "Deny", "Action": "EXECUTE-api:*", "Resource": "*"}]), ExplicitDeny);
        check(json!([all, {"Effect": "Deny", "NotAction": "execute-api:*", "Resource": "*"}]), Allow);
        check(json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}), ImplicitDeny);
        let on = |resource: &str| json!({"Effect": "Allow", "Action": "*", "Resource": resource});
        check(on("arn:aws:execute-api:*:*:*"), Allow);
        check(on("arn:aws:execute-api:us-east-1:*:api/*/GET/*"), Allow);
        check(on("arn:aws:execute-api:us-east-1:1:api/dev/GET/a"), ImplicitDeny);
        check(on("arn:aws:execute-api"), Allow);
        let not_on = |effect: &str, resource: &str| json!([all, {"Effect": effect, "Action": "*", "NotResource": resource}]);
        check(not_on("Deny", "arn:aws:execute-api:*:*:api/*"), Allow);
        check(not_on("Deny", "arn:aws:execute-api:*:*:other/*"), ExplicitDeny);
        check(not_on("Deny", "arn:aws:execute-api:*:*:api/${aws:nobody}/*"), ExplicitDeny);
        let open = json!({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::${aws:nobody}"});
        check(open, ImplicitDeny);
    }

    #[test]
    fn principals_of_resource_policies() {
        use Decision::{Allow, ExplicitDeny, ImplicitDeny};
        let check = |name: &str, effect: &str, principal: Value, expected: Decision, by_account: bool| {
            let all = json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"});
            let own = json!({"Effect": effect, name: principal, "Action": "*", "Resource": "*"});
            let statements = if effect == "Deny" { json!([all, own]) } else { json!([own]) };
            let verdict = explain(statements, Kind::Resource).verdict;
            assert_eq!((verdict.decision, verdict.by_account), (expected, by_account), "{name} {principal}");
        };
        let (account, ann) = ("arn:aws:iam::111111111111:root", "arn:aws:iam::111111111111:user/ann");
        check("Principal", "Allow", json!({"AWS": ann}), Allow, false);
        check("Principal", "Allow", json!({"AWS": account}), Allow, true);
        check("Principal", "Deny", json!({"AWS": account}), ExplicitDeny, false);
        check("Principal", "Allow", json!({"AWS": "222222222222"}), ImplicitDeny, false);
        check("NotPrincipal", "Deny", json!({"AWS": ann}), ExplicitDeny, false);
        check("NotPrincipal", "Deny", json!({"AWS": [ann, account]}), Allow, false);
        check("NotPrincipal", "Allow", json!({"AWS": ann}), ImplicitDeny, false);
        check("NotPrincipal", "Allow", json!({"AWS": "222222222222"}), Allow, false);
    }

    #[test]
    fn explanations_name_statement_and_condition() {
        let text = explain(
            json!([
                {"Sid": "bob", "Effect": "Allow", "Action": "*", "Resource": "*",
                 "Condition": {"StringEquals": {"aws:username": "bob"}}},
                {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:execute-api"},
            ]),
            Kind::Identity,
        );
        assert_eq!(text.brief(), "explicitly denied: statement 2 (Deny) applies");
        let text = text.to_string();
        let expected = "explicitly denied by statement 2\n  \
            statement 1 \"bob\" (Allow) does not apply: its condition StringEquals aws:username \"bob\" does not hold\n  \
            statement 2 (Deny) applies\n";
        assert_eq!(text, expected);
        let check = |user: &str, expected: &str| {
            let condition = json!({"StringEquals": {"aws:username": user}});
            let statement =
                json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition});
            assert_eq!(explain(statement, Kind::Identity).brief(), expected);
        };
        check("ann", "allowed: statement 1 (Allow) applies, for StringEquals aws:username \"ann\" holds");
        check(
            "bob",
            "denied, because no statement allows it: statement 1 (Allow) does not apply: its condition StringEquals \
             aws:username \"bob\" does not hold",
        );
    }
}
