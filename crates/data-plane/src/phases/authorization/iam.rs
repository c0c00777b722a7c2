//! IAM: requests signed with Signature Version 4, in headers or presigned, and what the signer's policies allow. REST APIs
//! take Signature Version 4A too, HTTP APIs do not (found out by others at AWS).
//!
//! The order of the checks is AWS's: a signature is there and whole, its key is known, it holds for this request, its
//! session has not run out, and then the policies. Nothing of a request is believed before its signature has been
//! verified over the bytes that came in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use stagedoor_http::Header;
use stagedoor_policy::{Caller, Decision, Denial, Policy, Verdict, combine};
use stagedoor_sigv4::{Credential, Expected, Incomplete, Presented, Reading, Request, VerifyError};
use time::OffsetDateTime;

use super::keys::Signer;
use super::{INVOKE, decide, denied, denied_action, evaluate_action, explain, method_arn, stage_arn};
use crate::exchange::{Exchange, RequestBody};
use crate::gateway_response::Fault;
use crate::phases::content_encoding;

/// The action that a request to `@connections` is, as policies are asked about it.
const MANAGE: &str = "execute-api:manageconnections";
/// The signing name of API traffic.
const SERVICE: &str = "execute-api";

/// Whoever may sign requests, by access key id.
#[derive(Debug, Default)]
pub struct Principals(HashMap<Box<str>, Arc<AccessKey>>);

/// A key and whose it is.
#[derive(Debug)]
pub struct AccessKey {
    /// The key. Its secret half is never shown.
    pub credential: Credential,
    /// When a temporary key runs out.
    pub expires_at: Option<SystemTime>,
    /// When a temporary key was given out: `aws:TokenIssueTime`.
    pub issued_at: Option<SystemTime>,
    /// Whose it is.
    pub identity: Arc<Identity>,
}

/// A user, a role's session or an account's root.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The account, twelve digits.
    pub account_id: Box<str>,
    /// `$context.identity.userArn`: the user's ARN, or the session's.
    pub arn: Box<str>,
    /// `aws:PrincipalArn`: the user's ARN, or the role's.
    pub principal_arn: Box<str>,
    /// `$context.identity.user` and `aws:userid`: `AIDA…`, or `AROA…:session`.
    pub user_id: Box<str>,
    /// `aws:username`; a role's session has none.
    pub user_name: Option<Box<str>>,
    /// `aws:PrincipalType`: `User`, `AssumedRole` or `Account`.
    pub kind: &'static str,
    /// `aws:PrincipalTag/*`, names in lower case.
    pub tags: BTreeMap<String, String>,
    /// All of its policies.
    pub policy: Policy,
}

impl Identity {
    /// A user, a role's session or an account's root, by its ARN and what else is known of it.
    ///
    /// # Errors
    /// A sentence if the ARN is none of these.
    pub fn new(
        arn: &str,
        user_id: &str,
        tags: impl IntoIterator<Item = (String, String)>,
        policy: Policy,
    ) -> Result<Self, String> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let (partition, account, resource) = match parts.as_slice() {
            ["arn", partition, "iam" | "sts", "", account, resource] if account.len() == 12 => {
                (*partition, *account, *resource)
            }
            _ => return Err(NO_IDENTITY.to_owned()),
        };
        let mut user_id = user_id;
        let (principal_arn, user_name, kind) = match resource.split_once('/') {
            Some(("user", path)) => (arn.to_owned(), path.rsplit('/').next(), "User"),
            Some(("assumed-role", rest)) => {
                let role =
                    rest.split_once('/').ok_or("a role's session has the form assumed-role/ROLE/SESSION")?.0;
                (format!("arn:{partition}:iam::{account}:role/{role}"), None, "AssumedRole")
            }
            None if resource == "root" => {
                user_id = account;
                (arn.to_owned(), None, "Account")
            }
            _ => return Err(NO_IDENTITY.to_owned()),
        };
        Ok(Self {
            account_id: account.into(),
            arn: arn.into(),
            principal_arn: principal_arn.into(),
            user_id: user_id.into(),
            user_name: user_name.map(Into::into),
            kind,
            tags: tags.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
            policy,
        })
    }

    /// The caller that policies are asked about: a session goes by its own ARN and by its role's.
    pub fn as_caller<T>(&self, use_it: impl FnOnce(Caller<'_>) -> T) -> T {
        let arns = [&*self.arn, &*self.principal_arn];
        let arns = if self.arn == self.principal_arn { arns.get(..1) } else { arns.get(..) };
        use_it(Caller::Known { account: &self.account_id, arns: arns.unwrap_or_default() })
    }
}

const NO_IDENTITY: &str = "this is no ARN of a user or a role's session";

impl AccessKey {
    /// Whoever signs with it, as policies see it.
    #[must_use]
    pub fn signer(&self) -> Signer<'_> {
        Signer {
            identity: &self.identity,
            issued_at: self.issued_at,
            is_temporary: self.credential.session_token.is_some(),
        }
    }
}

impl Principals {
    /// From keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = AccessKey>) -> Self {
        let keyed = keys.into_iter().map(|key| (key.credential.access_key_id.as_str().into(), Arc::new(key)));
        Self(keyed.collect())
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody can sign.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A key by its id.
    #[must_use]
    pub fn get(&self, access_key_id: &str) -> Option<&Arc<AccessKey>> {
        self.0.get(access_key_id)
    }
}

/// The answer to a request for a method that is not there. AWS takes it for a signed one: without a signature there is an
/// authentication token missing, and an `Authorization` that is none is told so.
pub(in crate::phases) fn no_method(exchange: &Exchange<'_>) -> Fault {
    if exchange.header("authorization").is_none() {
        return Fault::missing_authentication_token();
    }
    match with_request(exchange, &[], Presented::find_any) {
        Err(Incomplete(message)) => Fault::incomplete_signature(message),
        Ok(_) => Fault::missing_authentication_token(),
    }
}

/// Verifies the signature of a request and asks the policies.
///
/// # Errors
/// 403, in AWS's words.
pub(super) async fn run(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let arn = method_arn(exchange)?;
    let identity = verify(exchange).await?;
    content_encoding::after_signature(exchange);
    tell(exchange, &identity, &arn);
    authorize(exchange, &identity, &arn)
}

/// Verifies the signature of a request about a connection, and asks the signer's policies. AWS names no single connection
/// in what it says of a refusal.
///
/// # Errors
/// 403, in AWS's words.
pub(super) async fn manage_connections(exchange: &mut Exchange<'_>, connection: &str) -> Result<(), Fault> {
    let services = &exchange.worker.services;
    if services.takes_any_local_key && exchange.connection.peer.ip().to_canonical().is_loopback() {
        let found = with_request(exchange, &[], Presented::find_any);
        if let Ok(Some(presented)) = found
            && services.principals.load().get(&presented.access_key_id).is_none()
        {
            return Ok(());
        }
    }
    let identity = verify(exchange).await?;
    let place = format!("{}/{}/@connections", stage_arn(exchange), exchange.received_method());
    let asked = joined(exchange, &identity, MANAGE, &format!("{place}/{connection}"));
    asked.map_err(|denial| {
        let shown = format!("{place}/{{connectionId}}");
        denied_action(denial, &identity.arn, "execute-api:ManageConnections", &shown)
    })
}

/// Verifies the signature of a request; whose it is.
async fn verify(exchange: &mut Exchange<'_>) -> Result<Arc<Identity>, Fault> {
    let find = if exchange.plan.http_api.is_some() { Presented::find } else { Presented::find_any };
    let (found, covers_body, is_chunked) =
        with_request(exchange, &[], |request| (find(request), request.covers_body(), request.is_chunked()));
    let mut presented = match found {
        Ok(Some(presented)) => presented,
        Ok(None) => return Err(Fault::missing_authentication_token()),
        Err(Incomplete(message)) => return Err(Fault::incomplete_signature(message)),
    };
    // A signature is good for one spelling of path and query wherever others would lead elsewhere.
    presented.reading = match exchange.plan.http_api {
        // Routes of HTTP APIs tell empty segments apart, resources of REST APIs do not.
        Some(_) => Reading::Segments,
        None => Reading::Dots,
    };
    let is_signed =
        |name: &str| presented.signed_headers.iter().any(|signed| signed.eq_ignore_ascii_case(name));
    let principals = exchange.worker.services.principals.load_full();
    let Some(key) = principals.get(&presented.access_key_id).map(Arc::clone) else {
        return Err(Fault::unrecognized_client());
    };
    // Else whoever has a presigned address could call another method with it.
    if exchange.overridden_method.is_some() && !is_signed("x-http-method-override") {
        return Err(Fault::incomplete_signature(
            "'X-HTTP-Method-Override' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ));
    }
    // What is no text is verified as if it were another one.
    let is_text = |header: &Header| std::str::from_utf8(&header.value).is_ok();
    if exchange.head.headers.iter().any(|header| is_signed(header.name_str()) && !is_text(header)) {
        return Err(Fault::invalid_signature(VerifyError::Mismatch.to_string()));
    }
    let body = if covers_body { exchange.whole_body().await? } else { Bytes::new() };
    let region = exchange.plan.region.clone();
    let now = OffsetDateTime::from(exchange.received_at);
    let expected = Expected { region: Some(&region), service: SERVICE, now };
    let verified = with_request(exchange, &body, |request| {
        let verified = match is_chunked {
            true => presented.verify_chunks(request, &key.credential, &expected).map(Some),
            false => presented.verify(request, &key.credential, &expected).map(|()| None),
        };
        verified.map_err(|error| {
            let explained =
                matches!(error, VerifyError::Mismatch).then(|| presented.canonical_forms(request));
            (error, explained)
        })
    });
    let opened = verified.map_err(|(error, explained)| match error {
        VerifyError::Token => Fault::unrecognized_client(),
        error => Fault::invalid_signature(format!("{error}{}", explained.unwrap_or_default())),
    })?;
    if let Some(opened) = opened {
        exchange.body = RequestBody::Whole(opened.into());
        exchange.head.headers.remove("content-encoding");
    }
    if key.expires_at.is_some_and(|until| until <= exchange.received_at) {
        return Err(Fault::expired_token());
    }
    let identity = Arc::clone(&key.identity);
    let known = exchange.record.identity_mut();
    known.access_key = Some(key.credential.access_key_id.as_str().into());
    known.account_id = Some(identity.account_id.clone());
    known.caller = Some(identity.user_id.clone());
    known.user = Some(identity.user_id.clone());
    known.user_arn = Some(identity.arn.clone());
    exchange.caller = Some(key);
    Ok(identity)
}

/// Tells logs and traces what the policies say.
fn tell(exchange: &mut Exchange<'_>, identity: &Identity, arn: &str) {
    identity.as_caller(|caller| {
        explain(exchange, "identity policies", &identity.policy, caller, arn);
        if let Some(policy) = &exchange.plan.resource_policy {
            explain(exchange, "resource policy", policy, caller, arn);
        }
    });
}

/// Whether whoever signed the request may do this with its method too. Nobody may who did not sign.
pub(super) fn may(exchange: &Exchange<'_>, action: &str) -> bool {
    let Some(key) = &exchange.caller else { return false };
    method_arn(exchange).is_ok_and(|arn| joined(exchange, &key.identity, action, &arn).is_ok())
}

/// Joins the identity's policies and the resource's.
fn authorize(exchange: &Exchange<'_>, identity: &Identity, arn: &str) -> Result<(), Fault> {
    joined(exchange, identity, INVOKE, arn).map_err(|denial| denied(denial, &identity.arn, arn))
}

fn joined(exchange: &Exchange<'_>, identity: &Identity, action: &str, arn: &str) -> Result<(), Denial> {
    identity.as_caller(|caller| {
        let asked = |policy: &Policy| evaluate_action(policy, exchange, caller, action, arn);
        let by_resource = exchange.plan.resource_policy.as_ref().map(asked);
        decide(exchange, identity, asked(&identity.policy), by_resource)
    })
}

fn decide(
    exchange: &Exchange<'_>,
    identity: &Identity,
    by_identity: Verdict,
    by_resource: Option<Verdict>,
) -> Result<(), Denial> {
    let how = decide::combination(&identity.account_id, &exchange.plan.account_id);
    debug_assert!(by_identity.decision != Decision::Allow || by_identity.statement.is_some());
    combine(how, by_identity, by_resource)
}

/// The request as the signature's algorithm sees it.
fn with_request<T>(exchange: &Exchange<'_>, body: &[u8], use_it: impl FnOnce(&Request<'_>) -> T) -> T {
    let values: Vec<_> =
        exchange.head.headers.iter().map(|header| (header.name_str(), header.value_str())).collect();
    let headers: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, &**value)).collect();
    use_it(&Request {
        method: exchange.received_method(),
        path: exchange.head.path(),
        query: exchange.head.query().unwrap_or_default(),
        headers: headers.into(),
        body,
    })
}
