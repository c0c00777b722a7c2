//! The extensions at the top level of a document.

use crate::Kind;
use crate::definition::{
    ApiDefinition, ApiKeySource, DocumentationPart, EndpointConfiguration, GatewayResponse, RequestValidator,
};
use crate::names::{self, PREFIX, Spot};
use crate::place::Place;
use crate::read::Reader;

impl<'a> Reader<'a> {
    pub(super) fn root_extensions(&mut self, root: &Place<'a>, definition: &mut ApiDefinition) {
        let name = |short: &str| format!("{PREFIX}{short}");
        definition.api_key_source = self.api_key_source(root);
        definition.binary_media_types = self.strings(root, &name("binary-media-types"));
        definition.minimum_compression_size = self.integer(root, &name("minimum-compression-size"));
        definition.endpoint_access_mode = self.text(root, &name("endpoint-access-mode"));
        definition.security_policy = self.text(root, &name("security-policy"));
        definition.request_validator = self.text(root, &name("request-validator"));
        if let Some(place) = root.get(&name("endpoint-configuration")) {
            definition.endpoint_configuration = self.endpoint_configuration(&place);
        }
        if let Some(place) = root.get(&name("policy")) {
            if place.map().is_some() || place.is_string() {
                definition.policy = Some(place.node.to_json());
            } else {
                self.fail(&place, "a policy is an object, or a string with one in JSON".to_owned());
            }
        }
        if let Some(place) = root.get(&name("cors")) {
            let message = "this extension is for HTTP APIs; give a REST API OPTIONS methods instead";
            self.warn(Kind::NotApplied, &place, message.to_owned());
        }
        self.gateway_responses(root, definition);
        self.request_validators(root, definition);
        self.documentation(root, definition);
        self.tags(root);
    }

    fn api_key_source(&mut self, root: &Place<'a>) -> Option<ApiKeySource> {
        let name = format!("{PREFIX}api-key-source");
        let text = self.text(root, &name)?;
        match text.to_ascii_uppercase().as_str() {
            "HEADER" => Some(ApiKeySource::Header),
            "AUTHORIZER" => Some(ApiKeySource::Authorizer),
            _ => {
                if let Some(place) = root.get(&name) {
                    self.fail(
                        &place,
                        format!("an API key comes from HEADER or AUTHORIZER, not from '{text}'"),
                    );
                }
                None
            }
        }
    }

    pub(super) fn endpoint_configuration(&mut self, place: &Place<'a>) -> Option<EndpointConfiguration> {
        if place.map().is_none() {
            self.fail(place, "an endpoint configuration has to be an object".to_owned());
            return None;
        }
        self.check_members(place, "an endpoint configuration", names::ENDPOINT_CONFIGURATION, None);
        Some(EndpointConfiguration {
            at: place.path.clone(),
            types: self.strings(place, "types"),
            vpc_endpoint_ids: self.strings(place, "vpcEndpointIds"),
            ip_address_type: self.text(place, "ipAddressType"),
            disable_execute_api_endpoint: self.boolean(place, "disableExecuteApiEndpoint"),
        })
    }

    fn gateway_responses(&mut self, root: &Place<'a>, definition: &mut ApiDefinition) {
        for (kind, place) in self.object(root, &format!("{PREFIX}gateway-responses")) {
            if !names::GATEWAY_RESPONSE_TYPES.contains(&kind) {
                let message = names::unknown_member(
                    kind,
                    "the list of gateway responses",
                    names::GATEWAY_RESPONSE_TYPES,
                );
                self.warn(Kind::UnknownName, &place, message);
                continue;
            }
            self.check_members(&place, "a gateway response", names::GATEWAY_RESPONSE, None);
            let response = GatewayResponse {
                at: place.path.clone(),
                status_code: self.text(&place, "statusCode"),
                response_parameters: self.values(&place, "responseParameters"),
                response_templates: self.values(&place, "responseTemplates"),
            };
            definition.gateway_responses.insert(kind.to_owned(), response);
        }
    }

    fn request_validators(&mut self, root: &Place<'a>, definition: &mut ApiDefinition) {
        for (name, place) in self.object(root, &format!("{PREFIX}request-validators")) {
            self.check_members(&place, "a request validator", names::REQUEST_VALIDATOR, None);
            let validator = RequestValidator {
                at: place.path.clone(),
                body: self.boolean(&place, "validateRequestBody").unwrap_or(false),
                parameters: self.boolean(&place, "validateRequestParameters").unwrap_or(false),
            };
            definition.request_validators.insert(name.to_owned(), validator);
        }
    }

    fn documentation(&mut self, root: &Place<'a>, definition: &mut ApiDefinition) {
        let Some(documentation) = root.get(&format!("{PREFIX}documentation")) else { return };
        self.check_members(&documentation, "the documentation", names::DOCUMENTATION, None);
        definition.documentation_version = self.text(&documentation, "version");
        let parts: Vec<_> =
            documentation.get("documentationParts").map(|list| list.items().collect()).unwrap_or_default();
        for place in parts {
            let mut part = DocumentationPart { at: place.path.clone(), ..DocumentationPart::default() };
            if let Some(location) = place.get("location") {
                self.check_members(
                    &location,
                    "a documentation part's location",
                    names::DOCUMENTATION_LOCATION,
                    None,
                );
                for (name, member) in location.members() {
                    part.location.extend(member.text().map(|text| (name.to_owned(), text)));
                }
            }
            if !part.location.contains_key("type") {
                self.fail(&place, "a documentation part needs a 'location' with a 'type'".to_owned());
            }
            part.properties = place.get("properties").map(|place| place.node.to_json()).unwrap_or_default();
            definition.documentation_parts.push(part);
        }
    }

    /// A REST API takes no tags from a document; those that are meant as AWS's tags are worth a word.
    fn tags(&mut self, root: &Place<'a>) {
        let tags: Vec<_> = root.get("tags").map(|list| list.items().collect()).unwrap_or_default();
        for tag in tags {
            self.check_spot(&tag, Spot::Tag);
            if let Some(value) = tag.get(&format!("{PREFIX}tag-value")) {
                let message = "tags of a document are for HTTP APIs; tag a REST API with TagResource";
                self.warn(Kind::NotApplied, &value, message.to_owned());
            }
        }
    }
}
