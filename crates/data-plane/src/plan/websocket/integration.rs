//! The integrations of WebSocket APIs: those of REST APIs, but that templates and mappings are chosen in another way.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use stagedoor_shapes::apigatewayv2::{ConnectionType, Integration as Shape, IntegrationType};

use super::Scope;
use super::mapping::sources;
use crate::backends::Backends;
use crate::plan::aws_services::AwsService;
use crate::plan::aws_uri::{self, Asked, AwsIntegration};
use crate::plan::integration::{
    HttpEndpoint, HttpIntegration, Integration, LambdaFunction, LambdaIntegration, LambdaSource,
    MockIntegration, RequestTransformation, ResponseTransformation,
};
use crate::plan::mapping::Source;
use crate::plan::uri::{UriTemplate, function_arn, replace_stage_variables};
use crate::roles::Signer;

/// AWS's longest time for an integration, and the time when none is set, in milliseconds.
const TIMEOUT_MS_MAX: i32 = 29_000;

const NO_VARIABLE: &str = "the stage lacks a variable that the integration's URI names";

impl Scope<'_> {
    pub(super) fn integration(&self, shape: &Shape, key: &str) -> Result<Integration, String> {
        if shape.integration_subtype.is_some() {
            return Err("integrationSubtype is for HTTP APIs".to_owned());
        }
        // Templates and mappings of WebSocket APIs have phases of their own.
        let (request, responses) = (RequestTransformation::nothing(), ResponseTransformation::nothing());
        let uri = shape.integration_uri.as_deref().unwrap_or_default();
        let (uri, missing) = replace_stage_variables(uri, self.variables);
        let is_function = || aws_uri::service_name(&uri).is_none_or(|service| service == "lambda");
        match shape.integration_type {
            Some(IntegrationType::Mock) => {
                Ok(Integration::Mock(Box::new(MockIntegration { request, responses })))
            }
            _ if missing => Ok(Integration::Broken(NO_VARIABLE)),
            Some(IntegrationType::AwsProxy) => {
                Ok(Integration::SocketFunction(Box::new(self.function(shape, &uri, key)?)))
            }
            Some(IntegrationType::Aws) if is_function() => {
                let function = self.function(shape, &uri, key)?;
                // Expressions may name any, also where messages of the API get no response.
                let lambda = LambdaIntegration { function, request, responses, reads_headers: true };
                Ok(Integration::Lambda(Box::new(lambda)))
            }
            Some(IntegrationType::Aws) => {
                let paths = path_sources(shape, self.variables)?;
                let paths = paths.iter().map(|(name, source)| (name.as_str(), source.clone())).collect();
                let Asked { service, uri, target } = aws_uri::compile(&uri, &paths, &self.settings.aws)?;
                let service = AwsService { signer: self.signer(shape)?, ..service };
                let (method, timeout) = (http_method(shape)?, timeout(shape));
                let service = AwsIntegration { service, uri, target, method, timeout, request, responses };
                Ok(Integration::Aws(Box::new(service)))
            }
            Some(IntegrationType::Http | IntegrationType::HttpProxy) => {
                let endpoint = self.endpoint(shape, &uri)?;
                Ok(Integration::Http(Box::new(HttpIntegration { endpoint, request, responses })))
            }
            None => Err("the integration has no type".to_owned()),
        }
    }

    fn function(&self, shape: &Shape, uri: &str, key: &str) -> Result<LambdaFunction, String> {
        let by_role = shape.credentials_arn.as_deref().is_some_and(|role| !role.is_empty());
        let source = (!by_role).then(|| LambdaSource {
            before_method: format!(
                "arn:aws:execute-api:{}:{}:{}/{}/",
                self.settings.region, self.settings.account_id, self.labels.api_id, self.labels.stage,
            )
            .into(),
            path: key.into(),
        });
        let (arn, signer, timeout) = (function_arn(uri)?, self.signer(shape)?, timeout(shape));
        Ok(LambdaFunction { arn, source, signer, timeout, streams: false })
    }

    fn signer(&self, shape: &Shape) -> Result<Signer, String> {
        let signer = self.settings.aws.signer(shape.credentials_arn.as_deref(), self.variables);
        signer.ok_or_else(|| "the stage lacks a variable that the role's ARN names".to_owned())
    }

    fn endpoint(&self, shape: &Shape, uri: &str) -> Result<HttpEndpoint, String> {
        let paths = path_sources(shape, self.variables)?;
        let paths: BTreeMap<&str, Source> =
            paths.iter().map(|(name, source)| (name.as_str(), source.clone())).collect();
        let uri = UriTemplate::parse(uri, &paths)?;
        let backends = if shape.connection_type == Some(ConnectionType::VpcLink) {
            Some(self.backends(shape, &uri)?)
        } else {
            None
        };
        // Without one there is nothing to ask with: a message has no method of its own.
        let method = Some(http_method(shape)?.unwrap_or(Method::POST));
        Ok(HttpEndpoint { uri, backends, method, timeout: timeout(shape) })
    }

    /// The targets of the VPC link.
    fn backends(&self, shape: &Shape, uri: &UriTemplate) -> Result<Backends, String> {
        let id = shape.connection_id.as_deref().unwrap_or_default();
        let (id, missing) = replace_stage_variables(id, self.variables);
        if missing {
            return Err("the stage lacks a variable that the VPC link's id names".to_owned());
        }
        let name = self.snapshot.vpc_link_names.get(&*id);
        let name = name.ok_or_else(|| format!("there is no VPC link {id:?}"))?;
        let targets = [&*id, name].into_iter().find_map(|key| self.settings.vpc_links.get(key));
        targets.map(|targets| Backends::new(&uri.upstream, targets)).ok_or_else(|| {
            format!(
                "nobody said where the VPC link {name:?} ({id}) leads. Put [[vpc_links]] with name = {name:?} and \
                 targets = [\"HOST:PORT\"] into the configuration file"
            )
        })
    }
}

/// The values of the URI's path parameters.
fn path_sources(
    shape: &Shape,
    variables: &BTreeMap<String, String>,
) -> Result<Vec<(String, Source)>, String> {
    let all = sources(shape.request_parameters.as_ref(), variables)?;
    Ok(all
        .into_iter()
        .filter(|(place, ..)| *place == "path")
        .map(|(_, name, source)| (name, source))
        .collect())
}

fn http_method(shape: &Shape) -> Result<Option<Method>, String> {
    match shape.integration_method.as_deref() {
        None | Some("ANY" | "") => Ok(None),
        Some(name) => {
            Method::from_bytes(name.as_bytes()).map(Some).map_err(|_| format!("{name:?} is no HTTP method"))
        }
    }
}

fn timeout(shape: &Shape) -> Duration {
    let milliseconds = shape.timeout_in_millis.filter(|&value| value > 0).unwrap_or(TIMEOUT_MS_MAX);
    Duration::from_millis(milliseconds.unsigned_abs().into())
}
