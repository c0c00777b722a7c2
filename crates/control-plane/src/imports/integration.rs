//! Integrations and their responses.

use stagedoor_openapi::{
    DocPath, Integration as Definition, IntegrationResponse as ResponseDefinition, Operation,
};
use stagedoor_shapes::apigateway::{
    ConnectionType, ContentHandlingStrategy, Integration, IntegrationResponse, IntegrationType, TlsConfig,
};

use super::apply::Import;

/// The bounds and the default of an integration's timeout, in milliseconds.
const TIMEOUT_MS_MIN: i64 = 50;
const TIMEOUT_MS_MAX: i64 = 29_000;

impl Import<'_> {
    pub(super) fn integration(
        &mut self,
        path: &str,
        operation: &Operation,
        definition: &Definition,
        namespace: &str,
    ) -> Option<Integration> {
        let at = &definition.at;
        let what =
            format!("Unable to put integration on '{}' for resource at path '{path}'", operation.method);
        let where_ = format!("of resource '{path}' and method '{}'", operation.method);
        if definition.kind.is_none() {
            self.fail(at, format!("{what}: an integration needs a 'type'"));
        }
        let kind: IntegrationType = self.upper(definition.kind.as_ref(), &at.child("type"), &what)?;
        let connection: Option<ConnectionType> =
            self.upper(definition.connection_type.as_ref(), &at.child("connectionType"), &what);
        let transfer =
            self.upper(definition.response_transfer_mode.as_ref(), &at.child("responseTransferMode"), &what);
        let handling = self.content_handling(definition.content_handling.as_ref(), at, &what);
        let passthrough = definition
            .passthrough_behavior
            .as_ref()
            .map_or("WHEN_NO_MATCH".to_owned(), |text| text.to_ascii_uppercase());
        if !matches!(passthrough.as_str(), "WHEN_NO_MATCH" | "WHEN_NO_TEMPLATES" | "NEVER") {
            let message = format!("{what}: passthroughBehavior is when_no_match, when_no_templates or never");
            self.fail(&at.child("passthroughBehavior"), message);
        }
        if !matches!(kind, IntegrationType::Mock) && definition.uri.as_deref().is_none_or(str::is_empty) {
            self.fail(at, format!("{what}: the integration needs a 'uri'"));
        }
        if !matches!(kind, IntegrationType::Mock) && definition.http_method.is_none() {
            self.fail(at, format!("{what}: Enumeration value for HttpMethod must be non-empty"));
        }
        let is_http = matches!(kind, IntegrationType::Http | IntegrationType::HttpProxy);
        let timeout = self.timeout(definition, &what);
        let mut integration = Integration {
            type_: Some(kind),
            http_method: definition.http_method.as_ref().map(|method| {
                match method.to_ascii_uppercase().as_str() {
                    "X-AMAZON-APIGATEWAY-ANY-METHOD" => "ANY".to_owned(),
                    upper => upper.to_owned(),
                }
            }),
            uri: definition.uri.as_ref().map(|uri| self.fill(uri)),
            // AWS names the ordinary connection for HTTP, and only there.
            connection_type: connection.or(is_http.then_some(ConnectionType::Internet)),
            connection_id: definition.connection_id.clone(),
            credentials: definition.credentials.as_ref().map(|arn| self.fill(arn)),
            request_parameters: self.strings(
                &definition.request_parameters,
                &at.child("requestParameters"),
                "requestParameters",
                &where_,
            ),
            request_templates: self.strings(
                &definition.request_templates,
                &at.child("requestTemplates"),
                "requestTemplates",
                &where_,
            ),
            passthrough_behavior: Some(passthrough),
            content_handling: handling,
            timeout_in_millis: Some(timeout),
            cache_namespace: Some(definition.cache_namespace.clone().unwrap_or_else(|| namespace.to_owned())),
            cache_key_parameters: Some(definition.cache_key_parameters.clone()),
            integration_responses: None,
            tls_config: definition
                .insecure_skip_verification
                .map(|skip| TlsConfig { insecure_skip_verification: Some(skip) }),
            response_transfer_mode: transfer,
            integration_target: definition.integration_target.clone(),
        };
        for (pattern, response) in &definition.responses {
            let answer = self.integration_response(path, operation, pattern, response);
            let Some(code) = answer.status_code.clone() else { continue };
            if integration
                .integration_responses
                .get_or_insert_default()
                .insert(code.clone(), answer)
                .is_some()
            {
                let message =
                    format!("two integration responses have the status code {code}; the last one is kept");
                self.warn(&response.at, message);
            }
        }
        Some(integration)
    }

    fn integration_response(
        &mut self,
        path: &str,
        operation: &Operation,
        pattern: &str,
        definition: &ResponseDefinition,
    ) -> IntegrationResponse {
        let at = &definition.at;
        let what = format!(
            "Unable to put integration response on '{}' for resource at path '{path}'",
            operation.method
        );
        let where_ = format!("of resource '{path}' and method '{}'", operation.method);
        let handling = self.content_handling(definition.content_handling.as_ref(), at, &what);
        if let Some(code) = &definition.status_code
            && !matches!(code.as_bytes(), [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'])
        {
            self.fail(&at.child("statusCode"), format!("{what}: '{code}' is no status code"));
        }
        let parameters = self.strings(
            &definition.response_parameters,
            &at.child("responseParameters"),
            "responseParameters",
            &where_,
        );
        let templates = self.strings(
            &definition.response_templates,
            &at.child("responseTemplates"),
            "responseTemplates",
            &where_,
        );
        IntegrationResponse {
            status_code: definition.status_code.clone(),
            selection_pattern: (pattern != "default").then(|| pattern.to_owned()),
            response_parameters: parameters,
            response_templates: templates,
            content_handling: handling,
        }
    }

    fn content_handling(
        &mut self,
        text: Option<&String>,
        at: &DocPath,
        what: &str,
    ) -> Option<ContentHandlingStrategy> {
        self.upper(text, &at.child("contentHandling"), what)
    }

    fn timeout(&mut self, definition: &Definition, what: &str) -> i32 {
        let timeout = definition.timeout_ms.unwrap_or(TIMEOUT_MS_MAX);
        if !(TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX).contains(&timeout) {
            let at = definition.at.child("timeoutInMillis");
            self.fail(&at, format!("{what}: Timeout should be between 50 ms and 29000 ms"));
        }
        i32::try_from(timeout.clamp(TIMEOUT_MS_MIN, TIMEOUT_MS_MAX)).unwrap_or_default()
    }
}
