//! `x-amazon-apigateway-integration`.

use indexmap::IndexMap;

use crate::Kind;
use crate::definition::{Integration, IntegrationResponse};
use crate::names;
use crate::place::Place;
use crate::read::Reader;

/// Members that only HTTP APIs have. `payloadFormatVersion` is not among them: AWS takes it for REST APIs in silence.
const HTTP_API_ONLY: &[&str] = &["description", "integrationSubtype", "responseParameters"];

impl<'a> Reader<'a> {
    /// An integration; what is wrong with how it is written is told apart from other mistakes.
    pub(super) fn read_integration(&mut self, place: &Place<'a>) -> Option<Integration> {
        let noted = self.noted();
        let integration = self.integration(place);
        self.blame_integration(noted, place);
        integration
    }

    fn integration(&mut self, place: &Place<'a>) -> Option<Integration> {
        let place = &self.follow(place)?;
        if place.map().is_none() {
            self.fail(
                place,
                format!("an integration has to be an object, and this is {}", place.node.type_name()),
            );
            return None;
        }
        self.check_members(place, "an integration", names::INTEGRATION, None);
        for name in HTTP_API_ONLY {
            if let Some(member) = place.get(name) {
                self.warn(
                    Kind::NotApplied,
                    &member,
                    format!("'{name}' is for HTTP APIs; a REST API does not have it"),
                );
            }
        }
        let mut insecure_skip_verification = None;
        if let Some(tls) = place.get("tlsConfig") {
            self.check_members(&tls, "tlsConfig", names::TLS_CONFIG, None);
            insecure_skip_verification = self.boolean(&tls, "insecureSkipVerification");
            if let Some(member) = tls.get("serverNameToVerify") {
                let message = "'serverNameToVerify' is for HTTP APIs; a REST API does not have it";
                self.warn(Kind::NotApplied, &member, message.to_owned());
            }
        }
        Some(Integration {
            at: place.path.clone(),
            kind: self.text(place, "type"),
            uri: self.text(place, "uri"),
            http_method: self.text(place, "httpMethod"),
            credentials: self.text(place, "credentials"),
            connection_type: self.text(place, "connectionType"),
            connection_id: self.text(place, "connectionId"),
            integration_target: self.text(place, "integrationTarget"),
            passthrough_behavior: self.text(place, "passthroughBehavior"),
            content_handling: self.text(place, "contentHandling"),
            response_transfer_mode: self.text(place, "responseTransferMode"),
            timeout_ms: self.integer(place, "timeoutInMillis"),
            cache_namespace: self.text(place, "cacheNamespace"),
            cache_key_parameters: self.strings(place, "cacheKeyParameters").unwrap_or_default(),
            request_parameters: self.values(place, "requestParameters"),
            request_templates: self.values(place, "requestTemplates"),
            responses: self.integration_responses(place),
            insecure_skip_verification,
        })
    }

    fn integration_responses(&mut self, place: &Place<'a>) -> IndexMap<String, IntegrationResponse> {
        let mut responses = IndexMap::new();
        for (pattern, place) in self.object(place, "responses") {
            self.check_members(&place, "an integration response", names::INTEGRATION_RESPONSE, None);
            let status_code = self.text(&place, "statusCode");
            let response = IntegrationResponse {
                at: place.path.clone(),
                status_code,
                content_handling: self.text(&place, "contentHandling"),
                response_parameters: self.values(&place, "responseParameters"),
                response_templates: self.values(&place, "responseTemplates"),
            };
            responses.insert(pattern.to_owned(), response);
        }
        responses
    }

    /// The members of an object as JSON; their types are for whoever applies them to check.
    pub(super) fn values(&mut self, place: &Place<'a>, name: &str) -> IndexMap<String, serde_json::Value> {
        let members = self.object(place, name).into_iter();
        members.map(|(name, member)| (name.to_owned(), member.node.to_json())).collect()
    }
}
