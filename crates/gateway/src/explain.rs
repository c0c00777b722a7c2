//! `stagedoor explain`: says which statement of which policy decides a request, and why the others do not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use stagedoor_data_plane::plan::authorization;
use stagedoor_policy::{
    Caller, Combination, Decision, Denial, Explanation, Kind, Policy, Request, Verdict, combine,
};

/// What is to be explained.
#[derive(Debug, Args)]
pub(crate) struct ExplainOptions {
    /// A file with the API's resource policy.
    #[arg(long, value_name = "FILE")]
    resource_policy: Option<PathBuf>,
    /// A file with a policy of the caller, or one that an authorizer function returned; may be repeated.
    #[arg(long = "identity-policy", value_name = "FILE")]
    identity_policies: Vec<PathBuf>,
    /// The method: arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH.
    #[arg(long, value_name = "ARN")]
    resource: String,
    /// The caller; anonymous unless given.
    #[arg(long, value_name = "ARN")]
    caller: Option<String>,
    /// A condition key of the request, such as aws:SourceIp=192.0.2.1; may be repeated.
    #[arg(long = "key", value_name = "NAME=VALUE")]
    keys: Vec<String>,
    /// The action.
    #[arg(long, default_value = "execute-api:Invoke")]
    action: String,
}

/// Decides and gives what is to be printed, and whether the request would pass.
///
/// # Errors
/// A sentence that names the file or argument that cannot be used.
pub(crate) fn run(options: &ExplainOptions) -> Result<(String, bool), String> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in &options.keys {
        let (name, value) =
            key.split_once('=').ok_or_else(|| format!("write --key {key:?} as NAME=VALUE"))?;
        keys.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
    }
    let arns: Vec<&str> = options.caller.iter().map(String::as_str).collect();
    let caller = match arns.first() {
        Some(arn) => Caller::Known { account: account(arn)?, arns: &arns },
        None => Caller::Anonymous,
    };
    let action = options.action.to_ascii_lowercase();
    let request = Request { caller, action: &action, resource: &options.resource, keys: &keys };
    let resource = match &options.resource_policy {
        Some(path) => Some(read_resource_policy(path, &options.resource)?.explain(&request)),
        None => None,
    };
    let has_identity = !options.identity_policies.is_empty();
    let policies: Result<Vec<Policy>, String> =
        options.identity_policies.iter().map(|path| read(path, Kind::Returned)).collect();
    let identity = Policy::merge(policies?).explain(&request);
    let mut text = String::new();
    let mut show = |title: &str, explanation: &Explanation| text.push_str(&format!("{title}: {explanation}"));
    if let Some(resource) = &resource {
        show("resource policy", resource);
    }
    if has_identity || options.caller.is_some() {
        show("identity policies", &identity);
    }
    let by_resource = resource.as_ref().map(|explanation| explanation.verdict);
    let how = match &options.caller {
        Some(caller) if account(caller)? != account(&options.resource)? => Combination::CrossAccount,
        _ => Combination::SameAccount,
    };
    let outcome = if has_identity || options.caller.is_some() {
        combine(how, identity.verdict, by_resource)
    } else {
        alone(by_resource)
    };
    text.push_str(match outcome {
        Ok(()) => "the request passes",
        Err(Denial::ExplicitByResource) => "refused: with an explicit deny in a resource-based policy",
        Err(Denial::ExplicitByIdentity) => "refused: with an explicit deny in an identity-based policy",
        Err(Denial::ImplicitByResource) => "refused: because no resource-based policy allows the action",
        Err(Denial::ImplicitByIdentity) => "refused: because no identity-based policy allows the action",
    });
    Ok((text, outcome.is_ok()))
}

/// A method that asks nobody who it is needs a resource policy that allows, if there is one.
fn alone(resource: Option<Verdict>) -> Result<(), Denial> {
    match resource.map(|verdict| verdict.decision) {
        None | Some(Decision::Allow) => Ok(()),
        Some(Decision::ExplicitDeny) => Err(Denial::ExplicitByResource),
        Some(Decision::ImplicitDeny) => Err(Denial::ImplicitByResource),
    }
}

fn account(arn: &str) -> Result<&str, String> {
    arn.split(':').nth(4).ok_or_else(|| format!("{arn:?} is no ARN"))
}

/// Reads an API's policy, which may write `execute-api:/…` for what is below the API.
fn read_resource_policy(path: &Path, method: &str) -> Result<Policy, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let api_arn = method.split_once('/').map_or(method, |(api, _)| api);
    let text = stagedoor_control_plane::spelled_out_policy(&text, api_arn).unwrap_or(text);
    authorization::read_resource_policy(&text).map_err(|error| format!("{name}: {error}"))
}

fn read(path: &Path, kind: Kind) -> Result<Policy, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    Policy::parse(&text, kind).map_err(|error| format!("{name}: {error}"))
}
