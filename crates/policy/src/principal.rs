//! Who calls, and the `Principal` of a statement.

use serde_json::Value;

/// Who makes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller<'a> {
    /// Nobody that is known.
    Anonymous,
    /// A user or a role's session.
    Known {
        /// The account, twelve digits.
        account: &'a str,
        /// Every ARN the caller goes by: a user's own; a session's own and its role's.
        arns: &'a [&'a str],
    },
}

/// The principals that a statement names.
#[derive(Clone, Debug)]
pub(crate) enum Principals {
    /// `*`, or `{"AWS": "*"}`.
    Everyone,
    /// These.
    Listed(Vec<Listed>),
}

#[derive(Clone, Debug)]
pub(crate) enum Listed {
    Everyone,
    /// An account, by number or by its root's ARN: whatever belongs to it, once its own policies allow it as well.
    Account(Box<str>),
    /// A user, role or session.
    Arn(Box<str>),
    /// A service, an identity provider or a canonical user: none of them calls an API here.
    Other,
}

/// How a caller is named by a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Not at all.
    Not,
    /// By its account.
    ByAccount,
    /// By itself, or as one of everybody.
    Itself,
}

impl Principals {
    /// Reads the element; nothing if it is malformed.
    pub(crate) fn parse(value: &Value) -> Option<Self> {
        if value == "*" {
            return Some(Self::Everyone);
        }
        let mut listed = Vec::new();
        for (kind, names) in value.as_object().filter(|kinds| !kinds.is_empty())? {
            let names = match names {
                Value::Array(names) if !names.is_empty() => names.as_slice(),
                name @ Value::String(_) => std::slice::from_ref(name),
                _ => return None,
            };
            for name in names {
                let name = name.as_str().filter(|name| !name.is_empty())?;
                listed.push(match kind.as_str() {
                    "AWS" => aws(name)?,
                    "Service" | "Federated" | "CanonicalUser" => Listed::Other,
                    _ => return None,
                });
            }
        }
        Some(Self::Listed(listed))
    }

    /// How the element names a caller.
    pub(crate) fn name(&self, caller: Caller<'_>) -> Named {
        let Self::Listed(listed) = self else { return Named::Itself };
        let named = listed.iter().map(|entry| entry.names(caller));
        named.fold(Named::Not, |best, next| match (best, next) {
            (Named::Itself, _) | (_, Named::Itself) => Named::Itself,
            (Named::ByAccount, _) | (_, Named::ByAccount) => Named::ByAccount,
            _ => Named::Not,
        })
    }

    /// Whether the element names everything the caller goes by, its account included. AWS asks for that before it lets
    /// somebody out of a `Deny` with `NotPrincipal`.
    pub(crate) fn names_whole(&self, caller: Caller<'_>) -> bool {
        let Self::Listed(listed) = self else { return true };
        if listed.iter().any(|entry| matches!(entry, Listed::Everyone)) {
            return true;
        }
        let Caller::Known { account, arns } = caller else { return false };
        let has_account =
            listed.iter().any(|entry| matches!(entry, Listed::Account(own) if **own == *account));
        has_account
            && arns
                .iter()
                .all(|arn| listed.iter().any(|entry| matches!(entry, Listed::Arn(own) if **own == **arn)))
    }
}

impl Listed {
    fn names(&self, caller: Caller<'_>) -> Named {
        match (self, caller) {
            (Self::Everyone, _) => Named::Itself,
            (Self::Account(own), Caller::Known { account, .. }) if **own == *account => Named::ByAccount,
            (Self::Arn(own), Caller::Known { arns, .. }) if arns.contains(&&**own) => Named::Itself,
            _ => Named::Not,
        }
    }
}

fn aws(name: &str) -> Option<Listed> {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if name == "*" {
        return Some(Listed::Everyone);
    }
    if is_account(name) {
        return Some(Listed::Account(name.into()));
    }
    // A part of a name cannot be a wildcard.
    if name.contains(['*', '?']) {
        return None;
    }
    let parts: Vec<&str> = name.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "iam", "", account, "root"] if is_account(account) => {
            Some(Listed::Account((*account).into()))
        }
        ["arn", _, "iam" | "sts", "", account, resource] if is_account(account) && !resource.is_empty() => {
            Some(Listed::Arn(name.into()))
        }
        // The id of a user or role that AWS shows once it has been deleted.
        [id] if id.starts_with("AIDA") || id.starts_with("AROA") => Some(Listed::Other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ANN: Caller<'_> =
        Caller::Known { account: "111111111111", arns: &["arn:aws:iam::111111111111:user/ann"] };

    #[test]
    fn callers_are_named() {
        let check = |element: Value, caller, expected| {
            assert_eq!(Principals::parse(&element).unwrap().name(caller), expected, "{element}");
        };
        check(json!("*"), Caller::Anonymous, Named::Itself);
        check(json!({"AWS": "*"}), Caller::Anonymous, Named::Itself);
        check(json!({"AWS": "111111111111"}), ANN, Named::ByAccount);
        check(json!({"AWS": "arn:aws:iam::111111111111:root"}), ANN, Named::ByAccount);
        check(json!({"AWS": "arn:aws:iam::111111111111:root"}), Caller::Anonymous, Named::Not);
        check(json!({"AWS": ["222222222222", "arn:aws:iam::111111111111:user/ann"]}), ANN, Named::Itself);
        check(json!({"AWS": "arn:aws:iam::111111111111:user/bob"}), ANN, Named::Not);
        check(json!({"Service": "lambda.amazonaws.com"}), ANN, Named::Not);
    }

    #[test]
    fn malformed_principals_are_refused() {
        for element in [
            json!("ann"),
            json!({}),
            json!([]),
            json!({"AWS": []}),
            json!({"AWS": "arn:aws:iam::111111111111:user/*"}),
            json!({"AWS": "nobody"}),
            json!({"GCP": "*"}),
            json!({"AWS": 5}),
        ] {
            assert!(Principals::parse(&element).is_none(), "{element}");
        }
    }
}
