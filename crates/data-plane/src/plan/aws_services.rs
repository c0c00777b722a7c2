//! Where AWS's services are, and who the gateway is to them: what service integrations of all kinds of APIs share.
//!
//! A service is asked at the endpoint that is configured for it, as AWS's own tools configure it
//! (`AWS_ENDPOINT_URL_SQS`, `AWS_ENDPOINT_URL`), or else at AWS.

use std::collections::BTreeMap;
use std::sync::Arc;

use stagedoor_sigv4::Credential;

use super::uri::replace_stage_variables;
use crate::roles::{Role, Roles, Signer};
use crate::upstream::Upstream;

/// The services of AWS that integrations may call.
#[derive(Clone, Debug, Default)]
pub struct AwsServices {
    /// Endpoints by service, named as AWS names them in variables: `SQS`, `EVENTBRIDGE`, `KINESIS`, `SFN`, `APPCONFIG`.
    pub endpoints: BTreeMap<String, String>,
    /// The endpoint of services that have none of their own there.
    pub endpoint: Option<String>,
    /// What requests are signed with.
    pub credential: Option<Credential>,
    /// The roles that are assumed; none if all calls are signed with the gateway's own keys.
    pub roles: Option<Arc<Roles>>,
}

/// What stands for the caller's own credentials in `credentials`.
const CALLER: &str = ":iam::*:user/*";

/// A service in a region, found at deployment.
#[derive(Clone, Debug)]
pub struct AwsService {
    /// Where it is.
    pub upstream: Upstream,
    /// What stands before every path there; empty or without a slash at its end.
    pub path: Box<str>,
    /// The name that signatures are scoped to.
    pub signing_name: Box<str>,
    /// The region that signatures are scoped to.
    pub region: Box<str>,
    /// The gateway's own keys.
    pub credential: Credential,
    /// Whose keys requests are signed with.
    pub signer: Signer,
}

impl AwsServices {
    /// Reads the variables that AWS's own tools read.
    #[must_use]
    pub fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Self {
        let mut services = Self::default();
        let (mut id, mut secret, mut token) = (None, None, None);
        for (name, value) in variables.filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "AWS_ACCESS_KEY_ID" => id = Some(value),
                "AWS_SECRET_ACCESS_KEY" => secret = Some(value),
                "AWS_SESSION_TOKEN" => token = Some(value),
                "AWS_ENDPOINT_URL" => services.endpoint = Some(value),
                name => {
                    if let Some(service) = name.strip_prefix("AWS_ENDPOINT_URL_") {
                        services.endpoints.insert(service.to_owned(), value);
                    }
                }
            }
        }
        if let (Some(access_key_id), Some(secret_access_key)) = (id, secret) {
            services.credential = Some(Credential { access_key_id, secret_access_key, session_token: token });
        }
        services
    }

    /// From now on, `credentials` say who signs: roles are assumed at STS, in this region.
    ///
    /// # Errors
    /// A sentence if STS cannot be asked.
    pub fn assume_roles(&mut self, region: &str) -> Result<(), String> {
        self.roles = Some(Arc::new(Roles::new(self.find("STS", "sts", "sts", region)?)));
        Ok(())
    }

    /// Who signs a call, as the `credentials` of an integration or authorizer say; none if the stage lacks a variable
    /// that they name.
    #[must_use]
    pub fn signer(&self, credentials: Option<&str>, variables: &BTreeMap<String, String>) -> Option<Signer> {
        let (Some(roles), Some(credentials)) = (&self.roles, credentials.filter(|text| !text.is_empty()))
        else {
            return Some(Signer::Gateway);
        };
        match replace_stage_variables(credentials, variables) {
            (_, true) => None,
            (arn, false) if arn.starts_with("arn:") && arn.ends_with(CALLER) => Some(Signer::Caller),
            (arn, false) => Some(Signer::Role(roles.get(&arn))),
        }
    }

    /// The role that calls an authorizer's function, if one does.
    ///
    /// # Errors
    /// A sentence if the stage lacks a variable that it is named by.
    pub fn role(
        &self,
        credentials: Option<&str>,
        variables: &BTreeMap<String, String>,
    ) -> Result<Option<Arc<Role>>, String> {
        match self.signer(credentials, variables) {
            Some(Signer::Role(role)) => Ok(Some(role)),
            Some(Signer::Gateway | Signer::Caller) => Ok(None),
            None => Err("the stage lacks a variable that the role's ARN names".to_owned()),
        }
    }

    /// Whether a service is asked at another address than AWS's.
    #[must_use]
    pub fn is_elsewhere(&self, name: &str) -> bool {
        self.endpoints.contains_key(name) || self.endpoint.is_some()
    }

    /// Finds a service. `name` is its name in variables, `host` what stands before the region in its name at AWS.
    ///
    /// # Errors
    /// A sentence if the endpoint is no URL, or if it is AWS and there are no keys to sign with.
    pub fn find(
        &self,
        name: &str,
        host: &str,
        signing_name: &str,
        region: &str,
    ) -> Result<AwsService, String> {
        let configured = self.endpoints.get(name).or(self.endpoint.as_ref());
        let credential = match (&self.credential, configured) {
            (Some(credential), _) => credential.clone(),
            // What stands in for AWS takes any key.
            (None, Some(_)) => Credential {
                access_key_id: "test".to_owned(),
                secret_access_key: "test".to_owned(),
                session_token: None,
            },
            (None, None) => {
                return Err(format!(
                    "calls to AWS's {host} have to be signed: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                     AWS_ENDPOINT_URL_{name} to call something else"
                ));
            }
        };
        let (at_aws, region) = at_aws(host, region);
        let (upstream, path) = Upstream::parse(configured.unwrap_or(&at_aws))
            .map_err(|error| format!("AWS_ENDPOINT_URL_{name}: {error}"))?;
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let (path, signing_name, region) = (path.into(), signing_name.into(), region.into());
        Ok(AwsService { upstream, path, signing_name, region, credential, signer: Signer::Gateway })
    }
}

/// A service's address at AWS, and the region that its signatures are scoped to: a few services are the same for all
/// regions.
fn at_aws<'r>(host: &str, region: &'r str) -> (String, &'r str) {
    const GLOBAL: [&str; 4] = ["iam", "route53", "cloudfront", "organizations"];
    match (GLOBAL.contains(&host), region.starts_with("cn-")) {
        (true, false) => (format!("https://{host}.amazonaws.com"), "us-east-1"),
        (true, true) => (format!("https://{host}.cn-north-1.amazonaws.com.cn"), "cn-north-1"),
        (false, true) => (format!("https://{host}.{region}.amazonaws.com.cn"), region),
        (false, false) => (format!("https://{host}.{region}.amazonaws.com"), region),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let check = |variables: &[(&str, &str)], expected: Result<(&str, &str, &str), &str>| {
            let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let found = AwsServices::from_environment(owned).find("SQS", "sqs", "sqs", "eu-west-1");
            let found = found
                .as_ref()
                .map(|it| (&*it.upstream.authority, &*it.path, it.credential.access_key_id.as_str()));
            match (found, expected) {
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (found, expected) => assert_eq!(found.ok(), expected.ok(), "{variables:?}"),
            }
        };
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        check(&keys, Ok(("sqs.eu-west-1.amazonaws.com", "", "a")));
        check(&[("AWS_ENDPOINT_URL", "http://x:1/y/")], Ok(("x:1", "/y", "test")));
        check(
            &[("AWS_ENDPOINT_URL", "http://x"), ("AWS_ENDPOINT_URL_SQS", "http://z")],
            Ok(("z", "", "test")),
        );
        check(&[("AWS_ENDPOINT_URL_KINESIS", "http://x")], Err("AWS_ACCESS_KEY_ID"));
        check(&[("AWS_ENDPOINT_URL_SQS", "x")], Err("AWS_ENDPOINT_URL_SQS"));
    }
}
