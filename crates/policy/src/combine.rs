//! An identity's policies and a resource's policy, joined by AWS's tables.
//!
//! In one account either may allow (table A of "How API Gateway resource policies affect authorization workflow"),
//! between accounts both have to (table B). An explicit deny anywhere decides.

use crate::evaluate::{Decision, Verdict};

/// How the two are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// Caller and resource belong to one account.
    SameAccount,
    /// They do not.
    CrossAccount,
}

/// Which policy refused, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// A statement of the resource's policy denies.
    ExplicitByResource,
    /// A statement of the identity's policies denies.
    ExplicitByIdentity,
    /// The resource's policy does not allow, and would have to.
    ImplicitByResource,
    /// The identity's policies do not allow, and would have to.
    ImplicitByIdentity,
}

/// Decides; `resource` is `None` for a resource without a policy.
///
/// # Errors
/// [`Denial`] if the request may not pass.
pub fn combine(how: Combination, identity: Verdict, resource: Option<Verdict>) -> Result<(), Denial> {
    if resource.is_some_and(|resource| resource.decision == Decision::ExplicitDeny) {
        return Err(Denial::ExplicitByResource);
    }
    if identity.decision == Decision::ExplicitDeny {
        return Err(Denial::ExplicitByIdentity);
    }
    let by_identity = identity.decision == Decision::Allow;
    let by_resource = resource.is_some_and(|resource| resource.decision == Decision::Allow);
    match how {
        // A statement that names an account hands the decision over to it: its own policies still have to allow.
        Combination::SameAccount => {
            let directly = by_resource && resource.is_some_and(|resource| !resource.by_account);
            if by_identity || directly { Ok(()) } else { Err(Denial::ImplicitByIdentity) }
        }
        Combination::CrossAccount => match (by_identity, by_resource) {
            (true, true) => Ok(()),
            (_, false) => Err(Denial::ImplicitByResource),
            (false, true) => Err(Denial::ImplicitByIdentity),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables() {
        use Decision::{Allow, ExplicitDeny, ImplicitDeny};
        let verdict = |decision| Verdict { decision, statement: None, by_account: false };
        let check = |identity, resource, same: bool, cross: bool| {
            let pass = |how| combine(how, verdict(identity), Some(verdict(resource))).is_ok();
            assert_eq!(
                (pass(Combination::SameAccount), pass(Combination::CrossAccount)),
                (same, cross),
                "{identity:?} {resource:?}"
            );
        };
        check(Allow, Allow, true, true);
        check(Allow, ImplicitDeny, true, false);
        check(Allow, ExplicitDeny, false, false);
        check(ImplicitDeny, Allow, true, false);
        check(ImplicitDeny, ImplicitDeny, false, false);
        check(ImplicitDeny, ExplicitDeny, false, false);
        check(ExplicitDeny, Allow, false, false);
        check(ExplicitDeny, ImplicitDeny, false, false);
        check(ExplicitDeny, ExplicitDeny, false, false);
    }

    #[test]
    fn naming_an_account_only_hands_over() {
        let resource = Verdict { decision: Decision::Allow, statement: Some(0), by_account: true };
        let nothing = Verdict { decision: Decision::ImplicitDeny, statement: None, by_account: false };
        assert!(combine(Combination::SameAccount, nothing, Some(resource)).is_err());
        let allowed = Verdict { decision: Decision::Allow, ..nothing };
        assert!(combine(Combination::SameAccount, allowed, Some(resource)).is_ok());
        assert!(combine(Combination::CrossAccount, allowed, Some(resource)).is_ok());
        assert!(combine(Combination::CrossAccount, allowed, None).is_err());
    }
}
