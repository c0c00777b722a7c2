//! `stagedoor explain`: says which statement of which policy decides a request, and why the others do not. It asks the same
//! code as requests do, with the keys of a request that come from who signed it, when, and where.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use stagedoor_data_plane::phases::authorization::iam::Identity;
use stagedoor_data_plane::phases::authorization::keys::{Signer, of_signer, of_time};
use stagedoor_data_plane::phases::authorization::{decide, denial_message, function_denial_message, grant};
use stagedoor_data_plane::plan::authorization;
use stagedoor_policy::{
    Caller, Combination, ContextKeys, Denial, Explanation, Kind, Policy, Request, Values, combine,
};

use crate::principals::PrincipalsFile;

/// What is to be explained.
#[derive(Debug, Args)]
pub(crate) struct ExplainOptions {
    /// A file with the API's resource policy.
    #[arg(long, value_name = "FILE")]
    resource_policy: Option<PathBuf>,
    /// A file with a policy of the caller, or, without a caller, one that an authorizer function returned; may be repeated.
    #[arg(long = "identity-policy", value_name = "FILE")]
    identity_policies: Vec<PathBuf>,
    /// The method: arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH.
    #[arg(long, value_name = "ARN")]
    resource: String,
    /// Who signed the request: the ARN of a user, a role's session or an account's root; nobody unless given.
    #[arg(long, value_name = "ARN")]
    caller: Option<String>,
    /// A data folder, whose file of principals tells the caller's policies, id and tags.
    #[arg(long, value_name = "FOLDER", requires = "caller")]
    data: Option<PathBuf>,
    /// A condition key of the request, such as aws:SourceIp=192.0.2.1; may be repeated. Keys of the caller and of the time
    /// are known without it.
    #[arg(long = "key", value_name = "NAME=VALUE")]
    keys: Vec<String>,
    /// The action.
    #[arg(long, default_value = "execute-api:Invoke")]
    action: String,
}

/// Keys that only a request's connection and headers tell.
const OF_THE_REQUEST: [&str; 8] = [
    "aws:SourceIp",
    "aws:VpcSourceIp",
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:UserAgent",
    "aws:Referer",
    "aws:SecureTransport",
    "execute-api:viaDomainArn",
];

/// The keys of a request that is only thought of.
struct Keys<'k> {
    given: BTreeMap<String, Vec<String>>,
    /// Keys of the request that a policy has asked for and nobody has given.
    missing: RefCell<BTreeSet<&'static str>>,
    signer: Option<Signer<'k>>,
    now: SystemTime,
    region: &'k str,
}

impl ContextKeys for Keys<'_> {
    fn values(&self, key: &str) -> Values<'_> {
        match ContextKeys::values(&self.given, key) {
            Values::Absent if key == "aws:requestedregion" => Values::One(Cow::Borrowed(self.region)),
            Values::Absent => {
                let missing = OF_THE_REQUEST.iter().find(|name| name.eq_ignore_ascii_case(key));
                self.missing.borrow_mut().extend(missing);
                of_time(self.now, key).unwrap_or_else(|| of_signer(self.signer, key))
            }
            given => given,
        }
    }
}

/// Decides and gives what is to be printed, and whether the request would pass.
///
/// # Errors
/// A sentence that names the file or argument that cannot be used.
pub(crate) fn run(options: &ExplainOptions) -> Result<(String, bool), String> {
    let method: Vec<&str> = options.resource.splitn(6, ':').collect();
    let ["arn", _, _, region, account, _] = method.as_slice() else {
        return Err(format!("{:?} is no ARN", options.resource));
    };
    let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in &options.keys {
        let (name, value) =
            key.split_once('=').ok_or_else(|| format!("write --key {key:?} as NAME=VALUE"))?;
        given.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
    }
    let identity = options.caller.as_deref().map(|arn| identity(options, arn)).transpose()?;
    let now = SystemTime::now();
    let signer = identity.as_ref().map(|identity| {
        let is_temporary = identity.kind == "AssumedRole";
        Signer { identity, issued_at: is_temporary.then_some(now), is_temporary }
    });
    let keys = Keys { given, missing: RefCell::default(), signer, now, region };
    let action = options.action.to_ascii_lowercase();
    let explained = |policy: &Policy| {
        let ask = |caller: Caller<'_>| {
            let request = Request { caller, action: &action, resource: &options.resource, keys: &keys };
            decide::explain(policy, &request)
        };
        match &identity {
            Some(identity) => identity.as_caller(ask),
            None => ask(Caller::Anonymous),
        }
    };
    let resource = match &options.resource_policy {
        Some(path) => Some(explained(&read_resource_policy(path, &options.resource)?)),
        None => None,
    };
    let mut text = String::new();
    let mut show = |title: &str, explanation: &Explanation| text.push_str(&format!("{title}: {explanation}"));
    if let Some(resource) = &resource {
        show("resource policy", resource);
    }
    let by_resource = resource.as_ref().map(|explanation| explanation.verdict);
    let outcome = match &identity {
        Some(identity) => {
            let own = explained(&identity.policy);
            show("identity policies", &own);
            combine(decide::combination(&identity.account_id, account), own.verdict, by_resource)
        }
        None if options.identity_policies.is_empty() => decide::alone(by_resource),
        None => {
            let returned: Result<Vec<Policy>, String> =
                options.identity_policies.iter().map(|path| read(path, grant::returned_policy)).collect();
            let returned = explained(&Policy::merge(returned?));
            show("authorizer's policy", &returned);
            decide::before_a_function(by_resource)
                .and_then(|()| combine(Combination::SameAccount, returned.verdict, by_resource))
        }
    };
    for name in &*keys.missing.borrow() {
        text.push_str(&format!("no value was given for {name}: say --key {name}=… if the request has one\n"));
    }
    match outcome {
        Ok(()) => text.push_str("the request passes"),
        Err(denial) => {
            let is_function = options.caller.is_none() && !options.identity_policies.is_empty();
            let who = options.caller.as_deref().unwrap_or("anonymous");
            let message = match is_function {
                true => function_denial_message(denial, &options.resource),
                false => denial_message(denial, who, &options.action, &options.resource),
            };
            text.push_str(&format!("{message}\n"));
            text.push_str(match denial {
                Denial::ExplicitByResource => "refused: with an explicit deny in a resource-based policy",
                Denial::ExplicitByIdentity => "refused: with an explicit deny in an identity-based policy",
                Denial::ImplicitByResource => "refused: because no resource-based policy allows the action",
                Denial::ImplicitByIdentity => "refused: because no identity-based policy allows the action",
            });
        }
    }
    Ok((text, outcome.is_ok()))
}

/// The caller, with the policies of the files and, where a data folder is given, with what its principals file knows.
fn identity(options: &ExplainOptions, arn: &str) -> Result<Identity, String> {
    let read_policy =
        |document: &_| Policy::from_value(document, Kind::Identity).map_err(|error| error.to_string());
    let policies: Result<Vec<Policy>, String> =
        options.identity_policies.iter().map(|path| read(path, read_policy)).collect();
    let policy = Policy::merge(policies?);
    let wrong = |error: String| format!("{arn}: {error}");
    let Some(data) = &options.data else { return Identity::new(arn, "", [], policy).map_err(wrong) };
    let known = PrincipalsFile::in_folder(data).read()?.principals;
    let found = known.iter().find(|principal| principal.arn == arn);
    let found = found.ok_or_else(|| format!("{arn}: {} has no such principal", data.display()))?;
    let identity = found.identity().map_err(wrong)?;
    Ok(Identity { policy: Policy::merge([identity.policy.clone(), policy]), ..identity })
}

/// Reads an API's policy, which may write `execute-api:/…` for what is below the API.
fn read_resource_policy(path: &Path, method: &str) -> Result<Policy, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let api_arn = method.split_once('/').map_or(method, |(api, _)| api);
    let text = stagedoor_control_plane::spelled_out_policy(&text, api_arn).unwrap_or(text);
    authorization::read_resource_policy(&text).map_err(|error| format!("{name}: {error}"))
}

fn read(
    path: &Path,
    policy: impl Fn(&serde_json::Value) -> Result<Policy, String>,
) -> Result<Policy, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let document = serde_json::from_str(&text).map_err(|_| format!("{name}: Syntax errors in policy."))?;
    policy(&document).map_err(|error| format!("{name}: {error}"))
}
