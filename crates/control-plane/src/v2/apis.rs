//! HTTP and WebSocket APIs themselves, and what quick create makes with them.

use stagedoor_shapes::apigatewayv2::{
    Api, Cors, CreateApiRequest, DeleteApiRequest, DeleteCorsConfigurationRequest, GetApiRequest,
    GetApisRequest, GetApisResponse, Integration, IpAddressType, ProtocolType, ResetAuthorizersCacheRequest,
    Route, Stage, UpdateApiRequest,
};
use stagedoor_shapes::snapshot::INTEGRATION_TARGET;

use super::keys::{self, Kind};
use super::{V2, all, is_http, members, page_of, route_key, updated_within, websocket};
use crate::control_plane::{bad_request, required, whole_seconds};
use crate::page::by_date;
use crate::rest_apis::new_id;
use crate::tx::Tx;
use crate::{ApiError, api_mappings, tags, usage_plans};

/// What AWS fills in where an HTTP API says nothing; the only value it takes there.
const HTTP_SELECTION: &str = "$request.method $request.path";
const KEY_SELECTION: &str = "$request.header.x-api-key";
const MAX_AGE_MAX: i32 = 86_400;

impl V2<'_> {
    /// `CreateApi`. With a `target` it also makes a route, an integration and a stage that deploys itself.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for settings that AWS refuses, [`ApiError::Conflict`] if a custom id is taken.
    pub fn create_api(&self, input: CreateApiRequest) -> Result<Api, ApiError> {
        let protocol = input.protocol_type.unwrap_or(ProtocolType::Http);
        let api = Api {
            name: input.name,
            description: input.description.filter(|text| !text.is_empty()),
            version: input.version,
            protocol_type: Some(protocol),
            route_selection_expression: input.route_selection_expression,
            api_key_selection_expression: input.api_key_selection_expression,
            cors_configuration: input.cors_configuration,
            disable_schema_validation: input.disable_schema_validation,
            disable_execute_api_endpoint: input.disable_execute_api_endpoint,
            ip_address_type: input.ip_address_type,
            tags: input.tags,
            ..Api::default()
        };
        let quick = input.target.as_deref().filter(|target| !target.is_empty());
        if protocol == ProtocolType::Websocket
            && (quick.is_some() || input.route_key.is_some() || input.credentials_arn.is_some())
        {
            return bad_request("Quick create is only supported for HTTP protocol APIs");
        }
        if quick.is_none() && (input.route_key.is_some() || input.credentials_arn.is_some()) {
            return bad_request("Target must be specified when routeKey or credentialsArn is specified");
        }
        self.0.transact(|tx| {
            let api = self.new_api(tx, api.clone())?;
            let id = required(&api.api_id);
            if let Some(target) = quick {
                let key = input.route_key.as_deref().unwrap_or(route_key::DEFAULT);
                self.quick_create(tx, &api, key, target, input.credentials_arn.as_deref())?;
                self.redeploy(tx, id)?;
            }
            // AWS tells of tags that are not there in every other answer.
            Ok(Api { tags: api.tags.clone().filter(|tags| !tags.is_empty()), ..answer(api) })
        })
    }

    /// Completes a new API and writes it: its id, its dates and AWS's defaults.
    pub(super) fn new_api(&self, tx: &Tx, mut api: Api) -> Result<Api, ApiError> {
        tags::check(api.tags.as_ref())?;
        if api.api_id.is_none() {
            api.api_id = Some(new_id(tx, api.tags.as_ref())?);
        }
        api.created_date = None;
        self.fill_in(&mut api);
        check(&api)?;
        check_cors_of(&api)?;
        tx.put(&keys::api(required(&api.api_id)), &api)?;
        Ok(api)
    }

    /// What AWS fills in.
    pub(super) fn fill_in(&self, api: &mut Api) {
        api.api_endpoint = Some(self.endpoint(required(&api.api_id), api.protocol_type));
        api.created_date.get_or_insert(self.0.now());
        api.api_key_selection_expression.get_or_insert_with(|| KEY_SELECTION.to_owned());
        api.disable_execute_api_endpoint.get_or_insert(false);
        api.ip_address_type.get_or_insert(IpAddressType::Ipv4);
        if is_http(api) {
            api.route_selection_expression.get_or_insert_with(|| HTTP_SELECTION.to_owned());
        }
        api.tags.get_or_insert_default();
    }

    fn endpoint(&self, id: &str, protocol: Option<ProtocolType>) -> String {
        let scheme = if protocol == Some(ProtocolType::Websocket) { "wss" } else { "https" };
        format!("{scheme}://{id}.execute-api.{}.amazonaws.com", self.0.settings.region)
    }

    /// A route to a URL or a function, and the `$default` stage, all of them managed by API Gateway.
    fn quick_create(
        &self,
        tx: &Tx,
        api: &Api,
        key: &str,
        target: &str,
        credentials: Option<&str>,
    ) -> Result<(), ApiError> {
        let api_id = required(&api.api_id);
        route_key::check(key)?;
        let integration = Integration {
            integration_id: Some(members::unused(tx, api_id, Kind::Integration)?),
            api_gateway_managed: Some(true),
            credentials_arn: credentials.map(str::to_owned),
            ..quick_integration(target)?
        };
        super::integrations::check(tx, api, &integration)?;
        let id = required(&integration.integration_id);
        tx.put(&keys::one(api_id, Kind::Integration, id), &integration)?;
        let route = Route {
            route_id: Some(members::unused(tx, api_id, Kind::Route)?),
            api_gateway_managed: Some(true),
            api_key_required: Some(false),
            authorization_type: Some(stagedoor_shapes::apigatewayv2::AuthorizationType::None),
            route_key: Some(key.to_owned()),
            target: Some(format!("{INTEGRATION_TARGET}{id}")),
            ..Route::default()
        };
        tx.put(&keys::one(api_id, Kind::Route, required(&route.route_id)), &route)?;
        let stage = Stage {
            api_gateway_managed: Some(true),
            auto_deploy: Some(true),
            ..self.new_stage(route_key::DEFAULT, true)
        };
        tx.put(&keys::one(api_id, Kind::Stage, route_key::DEFAULT), &stage)
    }

    /// `GetApi`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API.
    pub fn get_api(&self, input: GetApiRequest) -> Result<Api, ApiError> {
        self.0.read(|tx| self.api(tx, required(&input.api_id)).map(answer))
    }

    /// `GetApis`, in the order in which they were made.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_apis(&self, input: GetApisRequest) -> Result<GetApisResponse, ApiError> {
        let apis: Vec<Api> = self.0.read(|tx| tx.top_level(keys::APIS))?;
        let mut apis: Vec<_> = apis
            .into_iter()
            .map(|api| (by_date(api.created_date, required(&api.api_id)), answer(api)))
            .collect();
        apis.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (items, next_token) = page_of(apis, input.next_token.as_deref(), input.max_results.as_deref())?;
        Ok(GetApisResponse { items, next_token })
    }

    /// `UpdateApi`. A CORS configuration keeps what the update does not have of it; `target`, `routeKey` and `credentialsArn` change what quick create has made.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API, [`ApiError::BadRequest`] for settings that AWS refuses.
    pub fn update_api(&self, input: UpdateApiRequest) -> Result<Api, ApiError> {
        let id = required(&input.api_id);
        self.0.transact(|tx| {
            let mut api: Api = updated_within(&self.api(tx, id)?, &input, "corsConfiguration")?;
            drop_blanks(api.cors_configuration.as_mut());
            api.description = api.description.filter(|text| !text.is_empty());
            check(&api)?;
            if input.cors_configuration.is_some() {
                check_cors_of(&api)?;
            }
            tx.put(&keys::api(id), &api)?;
            if input.target.is_some() || input.route_key.is_some() || input.credentials_arn.is_some() {
                self.update_quick(tx, &api, &input)?;
            }
            self.redeploy(tx, id)?;
            Ok(answer(api))
        })
    }

    fn update_quick(&self, tx: &Tx, api: &Api, input: &UpdateApiRequest) -> Result<(), ApiError> {
        let id = required(&api.api_id);
        let routes: Vec<Route> = all(tx, id, Kind::Route)?;
        let managed = |flag: Option<bool>| flag == Some(true);
        let Some(mut route) = routes.into_iter().find(|route| managed(route.api_gateway_managed)) else {
            return bad_request("Quick create update is only supported for APIs made by quick create");
        };
        if let Some(key) = &input.route_key {
            route_key::check(key)?;
            route.route_key = Some(key.clone());
            super::routes::check_unique(tx, id, &route)?;
            tx.put(&keys::one(id, Kind::Route, required(&route.route_id)), &route)?;
        }
        let integrations: Vec<Integration> = all(tx, id, Kind::Integration)?;
        let integration =
            integrations.into_iter().find(|integration| managed(integration.api_gateway_managed));
        let Some(mut integration) = integration else { return Ok(()) };
        if let Some(target) = &input.target {
            // AWS's model has a target change the URI and the type, and what is said elsewhere of the integration stays.
            let new = quick_integration(target)?;
            if integration.integration_type != new.integration_type {
                integration.integration_method = new.integration_method;
                integration.payload_format_version = new.payload_format_version;
            }
            integration.integration_type = new.integration_type;
            integration.integration_uri = new.integration_uri;
        }
        if input.credentials_arn.is_some() {
            integration.credentials_arn = input.credentials_arn.clone().filter(|arn| !arn.is_empty());
        }
        super::integrations::check(tx, api, &integration)?;
        tx.put(&keys::one(id, Kind::Integration, required(&integration.integration_id)), &integration)
    }

    /// `DeleteApi`, with everything that belongs to it.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API.
    pub fn delete_api(&self, input: DeleteApiRequest) -> Result<(), ApiError> {
        let id = required(&input.api_id);
        self.0.transact(|tx| {
            self.api(tx, id)?;
            api_mappings::check_unmapped_v2(tx, id, None)?;
            tx.delete(&keys::api(id));
            usage_plans::forget_stages(tx, id, None)?;
            tx.delete_all(&keys::within(id))
        })
    }

    /// `DeleteCorsConfiguration`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API.
    pub fn delete_cors_configuration(&self, input: DeleteCorsConfigurationRequest) -> Result<(), ApiError> {
        let id = required(&input.api_id);
        self.0.transact(|tx| {
            let mut api = self.api(tx, id)?;
            api.cors_configuration = None;
            tx.put(&keys::api(id), &api)?;
            self.redeploy(tx, id)
        })
    }

    /// `ResetAuthorizersCache`: the stage is published anew, with nothing remembered.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API or stage.
    pub fn reset_authorizers_cache(&self, input: ResetAuthorizersCacheRequest) -> Result<(), ApiError> {
        let (api, name) = (required(&input.api_id), required(&input.stage_name));
        self.0.transact(|tx| {
            let mut stage: Stage = self.find(tx, api, Kind::Stage, name)?;
            // A stage that has changed is compiled again, and what its authorizers remember belongs to what was
            // compiled before.
            let before = stage.last_updated_date.unwrap_or_default();
            stage.last_updated_date = Some(self.0.now().max(before + 0.001));
            tx.put(&keys::one(api, Kind::Stage, name), &stage)
        })
    }
}

/// Takes away lists of a CORS configuration that an update has emptied.
fn drop_blanks(cors: Option<&mut Cors>) {
    let Some(cors) = cors else { return };
    let lists =
        [&mut cors.allow_headers, &mut cors.allow_methods, &mut cors.allow_origins, &mut cors.expose_headers];
    for list in lists {
        list.take_if(|list| list.is_empty());
    }
}

/// An API as it is answered.
pub(super) fn answer(mut api: Api) -> Api {
    api.created_date = whole_seconds(api.created_date);
    api
}

/// The integration for a quick create's target: a URL, or the ARN of a function.
fn quick_integration(target: &str) -> Result<Integration, ApiError> {
    use stagedoor_shapes::apigatewayv2::{ConnectionType, IntegrationType};
    let (kind, method, version) = match target {
        url if url.starts_with("http://") || url.starts_with("https://") => {
            (IntegrationType::HttpProxy, "ANY", "1.0")
        }
        arn if arn.starts_with("arn:") && super::integrations::is_function(arn) => {
            (IntegrationType::AwsProxy, "POST", "2.0")
        }
        _ => {
            return bad_request(
                "Invalid target specified: it has to be a URL or the ARN of a Lambda function",
            );
        }
    };
    Ok(Integration {
        connection_type: Some(ConnectionType::Internet),
        integration_type: Some(kind),
        integration_method: Some(method.to_owned()),
        integration_uri: Some(target.to_owned()),
        payload_format_version: Some(version.to_owned()),
        timeout_in_millis: Some(super::integrations::HTTP_TIMEOUT_MAX),
        ..Integration::default()
    })
}

/// AWS's rules for an API.
pub(super) fn check(api: &Api) -> Result<(), ApiError> {
    if api.name.as_deref().is_none_or(|name| name.trim().is_empty()) {
        return bad_request("Invalid API name specified");
    }
    let selection = api.route_selection_expression.as_deref();
    if is_http(api) {
        let key_selection = api.api_key_selection_expression.as_deref();
        if key_selection.is_some_and(|expression| expression != KEY_SELECTION) {
            return bad_request("API key selection expression is not supported for HTTP protocol APIs");
        }
        // The second form is how AWS answers it.
        if selection.is_some_and(|text| text != HTTP_SELECTION && text != "${request.method} ${request.path}")
        {
            return bad_request(
                "Route selection expression is currently limited to \"${request.method} ${request.path}\"",
            );
        }
        if api.disable_schema_validation == Some(true) {
            return bad_request("disableSchemaValidation is only supported for WebSocket APIs");
        }
        return Ok(());
    }
    websocket::check_api(api)
}

/// Whether AWS takes an API's CORS configuration. Asked when it is given: what was taken once stays.
pub(super) fn check_cors_of(api: &Api) -> Result<(), ApiError> {
    match &api.cors_configuration {
        Some(cors) if is_http(api) => check_cors(cors),
        _ => Ok(()),
    }
}

/// AWS's rules for `corsConfiguration`.
fn check_cors(cors: &Cors) -> Result<(), ApiError> {
    for origin in cors.allow_origins.iter().flatten() {
        let host = origin
            .split_once("://")
            .filter(|(scheme, _)| ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme)));
        let valid = host.is_some_and(|(_, host)| match host {
            "*" => true,
            host => !host.is_empty() && !host.contains(['/', '*']),
        });
        if origin != "*" && !valid {
            return bad_request(format!("Invalid format for origin {origin}"));
        }
        if origin == "*" && cors.allow_credentials == Some(true) {
            return bad_request("allow-credentials is not supported if 'allow-origin' is *");
        }
    }
    const METHODS: [&str; 8] = ["*", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    for method in cors.allow_methods.iter().flatten() {
        if !METHODS.iter().any(|known| known.eq_ignore_ascii_case(method)) {
            return bad_request(format!("Invalid HTTP method specified in the CORS configuration: {method}"));
        }
    }
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    for header in cors.allow_headers.iter().chain(&cors.expose_headers).flatten() {
        if !is_token(header) {
            return bad_request(format!("Invalid header specified in the CORS configuration: {header}"));
        }
    }
    match cors.max_age {
        Some(age) if !(-1..=MAX_AGE_MAX).contains(&age) => {
            bad_request(format!("Invalid maxAge specified: it must be between -1 and {MAX_AGE_MAX}"))
        }
        _ => Ok(()),
    }
}
