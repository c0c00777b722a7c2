//! Security schemes, authorizers and who asks for them.

use crate::Kind;
use crate::definition::{ApiDefinition, AuthorizerExtension, Dialect, Requirement, SecurityScheme};
use crate::names::{self, PREFIX, Spot};
use crate::place::Place;
use crate::read::Reader;

/// Members that only HTTP APIs have. `enableSimpleResponses: false` says what a REST API does anyway.
const HTTP_API_ONLY: &[&str] =
    &["authorizerPayloadFormatVersion", "enableSimpleResponses", "openIdConnectUrl"];

impl<'a> Reader<'a> {
    pub(super) fn security_schemes(&mut self, root: &Place<'a>, definition: &mut ApiDefinition) {
        let schemes = match self.dialect {
            Dialect::Swagger2 => self.object(root, "securityDefinitions"),
            Dialect::OpenApi3 => match root.get("components") {
                Some(components) => self.object(&components, "securitySchemes"),
                None => Vec::new(),
            },
        };
        for (name, place) in schemes {
            let Some(place) = self.follow(&place) else { continue };
            self.check_spot(&place, Spot::SecurityScheme);
            let scheme = SecurityScheme {
                at: place.path.clone(),
                kind: self.text(&place, "type"),
                name: self.text(&place, "name"),
                location: self.text(&place, "in"),
                auth_type: self.text(&place, &format!("{PREFIX}authtype")),
                authorizer: place.get(&format!("{PREFIX}authorizer")).map(|place| self.authorizer(&place)),
            };
            self.check_scheme(name, &scheme, &place);
            definition.security_schemes.insert(name.to_owned(), scheme);
        }
        definition.security = root.get("security").map(|security| self.requirements(&security));
    }

    /// Notes schemes that ask nothing of a caller, in AWS's words.
    fn check_scheme(&mut self, name: &str, scheme: &SecurityScheme, place: &Place<'a>) {
        let kind = scheme.kind.as_deref().unwrap_or("null");
        if scheme.promises_authorizer() {
            let message = format!(
                "Unable to create authorizer from security definition: '{name}'. Extension x-amazon-apigateway-authorizer \
                 is required. Any methods with security: '{name}' will not be created. If this security definition is \
                 not a custom authorizer, remove the x-amazon-apigateway-authtype extension and it will be ignored."
            );
            self.warn_as_aws(Kind::NotApplied, place, message);
        } else if scheme.authorizer.is_none() && scheme.auth_type.is_none() && kind != "apiKey" {
            let message = format!("Unsupported security definition type '{kind}' for '{name}'. Ignoring.");
            self.warn_as_aws(Kind::NotApplied, place, message);
        }
    }

    fn authorizer(&mut self, place: &Place<'a>) -> AuthorizerExtension {
        self.check_members(place, "an authorizer", names::AUTHORIZER, None);
        for name in HTTP_API_ONLY {
            if let Some(member) = place.get(name).filter(|member| member.text().as_deref() != Some("false")) {
                self.warn(
                    Kind::NotApplied,
                    &member,
                    format!("'{name}' is for HTTP APIs; a REST API does not have it"),
                );
            }
        }
        AuthorizerExtension {
            at: place.path.clone(),
            kind: self.text(place, "type"),
            uri: self.text(place, "authorizerUri"),
            credentials: self.text(place, "authorizerCredentials"),
            // SAM writes a list for HTTP APIs.
            identity_source: match place.get("identitySource").is_some_and(|member| member.is_list()) {
                true => self.strings(place, "identitySource").map(|sources| sources.join(",")),
                false => self.text(place, "identitySource"),
            },
            identity_validation_expression: self.text(place, "identityValidationExpression"),
            result_ttl_seconds: self.integer(place, "authorizerResultTtlInSeconds"),
            provider_arns: self.strings(place, "providerARNs").unwrap_or_default(),
            jwt_configuration: place.get("jwtConfiguration").map(|member| member.node.to_json()),
        }
    }

    /// Alternatives, each a list of what has to be satisfied together.
    pub(super) fn requirements(&mut self, security: &Place<'a>) -> Vec<Vec<Requirement>> {
        let mut alternatives = Vec::new();
        if !security.is_list() && !security.is_null() {
            self.fail(security, "'security' has to be a list".to_owned());
        }
        for item in security.items() {
            let mut together = Vec::new();
            for (scheme, place) in item.members() {
                let scopes = self.strings(&item, scheme).unwrap_or_default();
                together.push(Requirement { at: place.path, scheme: scheme.to_owned(), scopes });
            }
            alternatives.push(together);
        }
        alternatives
    }
}
