//! What an API may be kept with and not be deployed with: AWS's own rules, and settings that nothing acts on, of which a
//! stage that served as if they were not set would be worse than a refusal. One line each.
//!
//! What decides how a single request is served (authorization, API keys, throttling, caching and the like) is refused
//! by the compiler of the data plane instead, which knows best what it can do.

use stagedoor_shapes::apigateway::{EndpointType, RestApi, Stage};

use std::borrow::Cow;

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request};
use crate::tx::Tx;
use crate::{integrations, v2, vpc_links};
use stagedoor_shapes::snapshot::RestApiSnapshot;

type Rule<T> = (fn(&T) -> bool, &'static str);

const API: &[Rule<RestApi>] = &[
    // AWS's own rule: without a policy nobody could call it.
    (
        |api| is_private(api) && api.policy.as_deref().is_none_or(str::is_empty),
        "Private REST API doesn't have a resource policy attached to it",
    ),
];

const CALLER_AND_POLICY: &str = "Caller provided credentials not allowed when resource policy is set";

fn is_private(api: &RestApi) -> bool {
    let types = api.endpoint_configuration.as_ref().and_then(|endpoint| endpoint.types.as_deref());
    types.is_some_and(|types| types.contains(&EndpointType::Private))
}

/// What of an API nothing acts on yet.
fn unsupported(api: &RestApi) -> Vec<String> {
    API.iter().filter(|(is_set, _)| is_set(api)).map(|(_, message)| (*message).to_owned()).collect()
}

/// Whether a method passes its caller's credentials on in an API with a resource policy, which AWS deploys neither.
fn passes_callers_on(snapshot: &RestApiSnapshot) -> bool {
    let methods = snapshot.resources.iter().flat_map(|resource| resource.resource_methods.iter().flatten());
    let mut integrations = methods.filter_map(|(_, method)| method.method_integration.as_ref());
    snapshot.rest_api.policy.as_deref().is_some_and(|policy| !policy.is_empty())
        && integrations.any(|integration| integrations::is_caller(integration.credentials.as_deref()))
}

impl ControlPlane {
    /// Refuses to deploy what cannot be served as it is defined.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] with everything that was found.
    pub(crate) fn check_deployable(
        &self,
        snapshot: &RestApiSnapshot,
        stage: Option<&Stage>,
    ) -> Result<(), ApiError> {
        // AWS's own words stand alone.
        if let [message, ..] = unsupported(&snapshot.rest_api).as_slice() {
            return bad_request(message);
        }
        let mut whole = Cow::Borrowed(snapshot);
        if vpc_links::are_used(snapshot) {
            whole.to_mut().vpc_links = self.read(vpc_links::by_id)?;
            let links = |tx: &Tx| Ok(v2::vpc_links::names(tx.scan(v2::vpc_links::ALL)?.into_values()));
            whole.to_mut().vpc_link_names = self.read(links)?;
        }
        let found = self.undeployable(&whole, stage);
        match found.as_slice() {
            [] => Ok(()),
            [only] if only == CALLER_AND_POLICY => bad_request(only),
            _ => bad_request(format!("This cannot be deployed: {}", found.join("; "))),
        }
    }

    /// What keeps an API from being served as it is defined, one sentence each.
    pub(crate) fn undeployable(&self, snapshot: &RestApiSnapshot, stage: Option<&Stage>) -> Vec<String> {
        let mut found = unsupported(&snapshot.rest_api);
        if passes_callers_on(snapshot) {
            found.push(CALLER_AND_POLICY.to_owned());
        }
        if let Err(errors) = self.settings.deployment_check.check(snapshot, stage) {
            found.extend(errors);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use stagedoor_shapes::apigateway::EndpointConfiguration;

    use super::*;

    #[test]
    fn only_what_is_set_is_refused() {
        assert_eq!(unsupported(&RestApi::default()), [""; 0]);
        let types = Some(vec![EndpointType::Private]);
        let endpoint_configuration =
            Some(EndpointConfiguration { types, ..EndpointConfiguration::default() });
        let api = RestApi { endpoint_configuration, ..RestApi::default() };
        assert_eq!(unsupported(&api), ["Private REST API doesn't have a resource policy attached to it"]);
    }
}
