"""Settings that AWS was seen to refuse, and its words, after deployments that other people published.

Each row is a call, what it is given, and the words; every refusal of these is a `BadRequestException` but for those that
say otherwise.
"""

import json

import botocore.exceptions
import pytest
from harness import ACCOUNT, REGION
from test_protocol import signed

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
INVOCATION = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g"
STREAM = f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream"
BALANCER = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/net/n/0123456789abcdef"
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/11111111-2222-3333-4444-555555555555"
ELSEWHERE = CERTIFICATE.replace(REGION, "ap-southeast-2")
BAD = "BadRequestException"
MAPPING = "Invalid mapping expression specified: Validation Result: warnings : [], errors : [{}]"
ONLY_PROXIES = (
    " are currently not supported for this API protocol type. This is because the API may only be configured with proxy "
    "integration at this time."
)
IDENTITY = (
    "Invalid request identity source expression: {}. The sources must be separated by comma, and each source must be "
    "either a {}, matching '{}.request.querystring|header.[a-zA-Z0-9._-]+', or a stage variable, matching "
    "'stageVariables.[a-zA-Z0-9._-]+', or a context parameter, matching 'context.[a-zA-Z0-9._-]+'"
)
TTL = "Authorizer result TTL outside allowable range. TTL must be between 0 and 3600 seconds."
FORMAT = "Access Log format must include either $context.requestId or $context.extendedRequestId : '$context.stage'"


def check(rows):
    """Every row is refused as it says; all that are not are told at once."""
    wrong = []
    for call, parameters, words, *code in rows:
        expected = (code[0] if code else BAD, words)
        try:
            told = call(**parameters)
            told.pop("ResponseMetadata", None)
        except botocore.exceptions.ClientError as error:
            told = (error.response["Error"]["Code"], error.response["Error"]["Message"])
        if told != expected:
            wrong.append(f"{call.__name__} {parameters}\n  expected {expected}\n  told     {told}")
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def v2(gateway):
    return gateway.client("apigatewayv2")


@pytest.fixture
def http(v2):
    return v2.create_api(Name="http", ProtocolType="HTTP")["ApiId"]


@pytest.fixture
def socket(v2):
    return v2.create_api(Name="socket", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")["ApiId"]


def test_apis_and_domain_names(v2):
    def api(words, kind="HTTP", **more):
        return v2.create_api, {"Name": "n", "ProtocolType": kind, **more}, words

    def domain(words, name="a.example.com", arn=CERTIFICATE, endpoint="REGIONAL"):
        configuration = {"CertificateArn": arn, "EndpointType": endpoint}
        return v2.create_domain_name, {"DomainName": name, "DomainNameConfigurations": [configuration]}, words

    origins = {"AllowCredentials": True, "AllowOrigins": ["*"]}
    check([
        api("Invalid API name specified", Name=""),
        api("allow-credentials is not supported if 'allow-origin' is *", CorsConfiguration=origins),
        api(
            'Route selection expression is currently limited to "${request.method} ${request.path}"',
            RouteSelectionExpression="$request.body.kind",
        ),
        api("Invalid routeSelectionExpression", "WEBSOCKET"),
        api(
            "Cors is not supported for WEBSOCKET protocolType",
            "WEBSOCKET",
            RouteSelectionExpression="$request.body.kind",
            CorsConfiguration={"AllowOrigins": ["https://a.example"]},
        ),
        domain(f"Invalid certificate ARN: {ELSEWHERE}. Certificate must be in '{REGION}'.", arn=ELSEWHERE),
        domain("EDGE endpoint type is not supported for APIGatewayV2 domainName", endpoint="EDGE"),
        domain("Domain names cannot contain an underscore character", name="a_b.example.com"),
        (v2.create_vpc_link, {"Name": "n", "SubnetIds": []}, "SubnetIds for a vpc link cannot be empty"),
    ])  # fmt: skip


def test_authorizers_of_http_apis(v2, http, socket):
    header = ["$request.header.Authorization"]
    issuer = {"Issuer": "https://issuer.example", "Audience": ["a"]}

    def made(words, kind, api=http, **more):
        return v2.create_authorizer, {"ApiId": api, "Name": "n", "AuthorizerType": kind, "IdentitySource": header, **more}, words

    def jwt(words, **configuration):
        return made(words, "JWT", JwtConfiguration={**issuer, **configuration})

    def request(words, **more):
        return made(words, "REQUEST", **{"AuthorizerUri": INVOCATION, "AuthorizerPayloadFormatVersion": "2.0", **more})

    def of_socket(words, kind="REQUEST", **more):
        return made(words, kind, socket, **{"AuthorizerUri": INVOCATION, **more})

    place = "header.Authorization"
    no_place = (
        f"Invalid identity source expression: {place}. The source must be a request header, request querystring, stage "
        "variable or context parameter"
    )
    check([
        made("JwtConfiguration must not be null for JWT Authorizer", "JWT"),
        jwt("Audience list must have at least 1 item for JWT Authorizer", Audience=[]),
        jwt("Invalid issuer: Issuer is not a valid URL for JWT Authorizer", Issuer="http://issuer.example"),
        request(
            "Identity source must be set if authorizer caching is enabled (TTL is greater than 0)",
            IdentitySource=[],
            AuthorizerResultTtlInSeconds=5,
        ),
        request(TTL, AuthorizerResultTtlInSeconds=3601),
        request(no_place, IdentitySource=[place]),
        request("AuthorizerUri is a required field in an Authorizer", AuthorizerUri=""),
        request(
            'EnableSimpleResponses can only be set for AuthorizerPayloadFormatVersion "2.0".',
            AuthorizerPayloadFormatVersion="1.0",
            EnableSimpleResponses=True,
        ),
        made(
            "AuthorizerPayloadFormatVersion is a required parameter for REQUEST authorizer",
            "REQUEST",
            AuthorizerUri=INVOCATION,
        ),
        of_socket(
            "Invalid authorizer type. Only REQUEST authorizer type is supported on WEBSOCKET protocol Apis.",
            "JWT",
            JwtConfiguration=issuer,
        ),
        of_socket(IDENTITY.format(header[0], "request parameter", "route")),
    ])  # fmt: skip


def test_an_authorizer_without_a_type(gateway, http):
    without = {"name": "n", "identitySource": ["$request.header.Authorization"]}
    told = signed(gateway, "POST", f"/v2/apis/{http}/authorizers", without)
    assert (told.status_code, told.headers["x-amzn-ErrorType"]) == (400, BAD)
    assert told.json()["message"] == "Invalid request input. CreateAuthorizer input is missing authorizer type."


def test_integrations(v2, http, socket):
    def made(words, kind, api=http, **more):
        return v2.create_integration, {"ApiId": api, "IntegrationType": kind, **more}, words

    def url(words, **more):
        more = {"IntegrationMethod": "GET", "IntegrationUri": "http://a.example", "PayloadFormatVersion": "1.0", **more}
        return made(words, "HTTP_PROXY", **{name: value for name, value in more.items() if value is not None})

    def function(words, version, api=http):
        return made(words, "AWS_PROXY", api, IntegrationUri=FUNCTION, PayloadFormatVersion=version)

    def service(words, subtype="SQS-SendMessage", **more):
        more = {"CredentialsArn": ROLE, "PayloadFormatVersion": "1.0", "IntegrationSubtype": subtype, **more}
        return made(words, "AWS_PROXY", **{name: value for name, value in more.items() if value is not None})

    message = {"QueueUrl": "$request.header.queue", "MessageBody": "$request.body"}
    check([
        function("Unsupported PayloadFormatVersion: 3.0", "3.0"),
        function("Unsupported PayloadFormatVersion: 2.0", "2.0", socket),
        url("HttpMethod parameter method must be specified for integrationType HTTPPROXY", IntegrationMethod=None),
        url("PayloadFormatVersion 2.0 is not supported for integration of type HTTP_PROXY", PayloadFormatVersion="2.0"),
        service(
            "Role ARN must be specified for AWS integration configuration with Subtype: SQS-SendMessage",
            RequestParameters=message,
            CredentialsArn=None,
        ),
        service("Operation: SQS-SendMessages is not supported.", "SQS-SendMessages", RequestParameters=message),
        service("Operation: SQS-SendMessage is not supported.", RequestParameters=message, PayloadFormatVersion="2.0"),
        service(
            "Operation: SQS-SendMessage requires enabling passthrough, or defining all of the following parameters in the "
            "parameter mapping: [QueueUrl, MessageBody]",
            RequestParameters={"MessageBody": "$request.body"},
        ),
        service(
            "Operation: EventBridge-PutEvents requires enabling passthrough, or defining all of the following parameters in "
            "the parameter mapping: [Detail, DetailType, Source]",
            "EventBridge-PutEvents",
            RequestParameters={"Detail": "$request.body"},
        ),
        url("Timeout should be between 50 ms and 30000 ms", TimeoutInMillis=30001),
        made(
            "Timeout should be between 50 ms and 29000 ms", "AWS_PROXY", socket, IntegrationUri=INVOCATION, TimeoutInMillis=29001
        ),
        url("ConnectionId must be set to vpcLinkId for ConnectionType VPC_LINK", ConnectionType="VPC_LINK"),
        url(MAPPING.format("Invalid Request Actioned Parameter destination specified: put:header.a"),
            RequestParameters={"put:header.a": "b"}),
        url(MAPPING.format("Invalid Response Actioned Parameter destination specified: put:header.a"),
            ResponseParameters={"200": {"put:header.a": "b"}}),
        url(MAPPING.format("Status Code 600 is not valid."), ResponseParameters={"600": {"append:header.a": "b"}}),
        url("For VpcLink VPC_LINK, integration uri should be a valid ELB listener ARN or a valid Cloud Map service ARN.",
            ConnectionType="VPC_LINK", ConnectionId="absent", IntegrationUri=BALANCER),
    ])  # fmt: skip


def test_routes_stages_models_and_responses(v2, http, socket):
    def route(words, key="GET /", api=http, **more):
        return v2.create_route, {"ApiId": api, "RouteKey": key, **more}, words

    def stage(words, *code, **more):
        return v2.create_stage, {"ApiId": http, "StageName": "s", **more}, words, *code

    def log(words, arn=LOGS, line="$context.requestId"):
        return stage(words, AccessLogSettings={"DestinationArn": arn, "Format": line})

    def model(words, api, name):
        return v2.create_model, {"ApiId": api, "Name": name, "Schema": "{}", "ContentType": "application/json"}, words

    uri = {"IntegrationMethod": "GET", "IntegrationUri": "http://a.example"}
    integration = v2.create_integration(ApiId=http, IntegrationType="HTTP_PROXY", PayloadFormatVersion="1.0", **uri)
    integration = {"ApiId": http, "IntegrationId": integration["IntegrationId"]}
    kept = {"ApiId": http, "RouteId": v2.create_route(ApiId=http, RouteKey="GET /kept")["RouteId"]}
    two_way = {"ApiId": socket, "RouteId": v2.create_route(ApiId=socket, RouteKey="$default")["RouteId"]}
    not_a_key = (
        "The provided route key is not formatted properly for HTTP protocol. Format should be "
        '"[HTTP METHOD] /[RESOURCE PATH]" or "$default"'
    )
    no_authorizer = "Invalid authorizer ID specified. Setting the authorization type to JWT requires a valid JWT authorizer."
    check([
        route(not_a_key, "FETCH /"),
        route(not_a_key, "TRACE /"),
        route("ApiKeyRequired is not currently supported for HTTP APIs. Please set ApiKeyRequired to false for route null",
              ApiKeyRequired=True),
        route("Invalid Route authorization type specified. Authorization Scopes are only valid for COGNITO_USER_POOLS and "
              "JWT authorization types", AuthorizationScopes=["a"]),
        route(no_authorizer, AuthorizationType="JWT"),
        route(no_authorizer, AuthorizationType="JWT", AuthorizerId="abc123"),
        route("Unexpected or malformed target in route null. Correct format should be integrations/<integration_id>.",
              Target="abc123"),
        route("Currently, authorization is restricted to the $connect route only", "a", socket, AuthorizationType="AWS_IAM"),
        stage("Stage name only allows a-zA-Z0-9_", StageName="a b"),
        stage("Unable to find Route by key GET /none within the provided RouteSettings", "NotFoundException",
              RouteSettings={"GET /none": {"ThrottlingRateLimit": 1}}),
        log("Access log destination must only contain characters a-z, A-Z, 0-9, '_', '-', '/', '.': "
            "'deliverystream/amazon-apigateway-a'", f"{STREAM}/amazon-apigateway-a"),
        log(f"The following errors are found in Access Log Format: {FORMAT}", line="$context.stage"),
        model("Model name must be alphanumeric: a-b", socket, "a-b"),
        model("Currently, Models are not permitted for APIs with a protocol type of HTTP", http, "M"),
        (v2.create_integration_response, {**integration, "IntegrationResponseKey": "$default"},
         "IntegrationResponses" + ONLY_PROXIES),
        (v2.create_route_response, {**kept, "RouteResponseKey": "$default"}, "RouteResponses" + ONLY_PROXIES),
        (v2.create_route_response, {**two_way, "RouteResponseKey": "/200/"},
         "Currently, only $default is supported as a RouteResponseKey. The creation of the RouteResponse with a key of "
         "$default will indicate to API Gateway that this Route is intended to handle two-way communication."),
    ])  # fmt: skip


def test_rest_apis_and_domain_names(gateway):
    v1 = gateway.client()

    def api(words, **more):
        return v1.create_rest_api, {"name": "n", **more}, words

    def domain(words, kind, **more):
        return v1.create_domain_name, {"domainName": "a.example.com", "endpointConfiguration": {"types": [kind]}, **more}, words

    enhanced = {"securityPolicy": "SecurityPolicy_TLS13_1_3_2025_09"}
    no_mode = "Endpoint access mode is required for the specified security policy"
    store = {"truststoreUri": "s3://bucket/store.pem"}
    check([
        api("VPCEndpoints can only be specified with PRIVATE apis.",
            endpointConfiguration={"types": ["REGIONAL"], "vpcEndpointIds": ["vpce-0123456789abcdef0"]}),
        api("Invalid minimum compression size, must be between 0 and 10485760", minimumCompressionSize=10485761),
        *(api("Invalid policy document. Please check the policy syntax and ensure that Principals are valid.", policy=policy)
          for policy in ("{}", '"words"', "words")),
        domain("Cannot import certificates for REGIONAL while EDGE is active.", "EDGE", regionalCertificateArn=CERTIFICATE),
        domain("Cannot import certificates for EDGE while REGIONAL is active.", "REGIONAL", certificateArn=CERTIFICATE),
        domain(f"Invalid certificate ARN: {ELSEWHERE}. Certificate must be in '{REGION}'.", "REGIONAL",
               regionalCertificateArn=ELSEWHERE),
        domain("Trailing period should be omitted from domain name", "REGIONAL", regionalCertificateArn=CERTIFICATE,
               domainName="a.example.com."),
        domain(no_mode, "REGIONAL", regionalCertificateArn=CERTIFICATE, **enhanced),
        api(no_mode, endpointConfiguration={"types": ["REGIONAL"]}, **enhanced),
        domain("Mutual TLS authentication is only supported with TLS 1.2.", "REGIONAL", regionalCertificateArn=CERTIFICATE,
               securityPolicy="TLS_1_0", mutualTlsAuthentication=store),
        (v1.create_vpc_link, {"name": "n", "targetArns": [BALANCER, BALANCER + "0"]},
         "More than one target arn specified for vpc link."),
        (v1.create_api_key, {"name": "n", "value": "k" * 19}, "API Key value should be at least 20 characters"),
    ])  # fmt: skip


def test_members_of_rest_apis(gateway):
    api = gateway.rest_api()
    v1, where = api.client, {"restApiId": api.id}
    api.resource("/papers/{a}/{b}")
    papers = api.resource("/papers/{a}")

    def authorizer(words, kind, **more):
        return v1.create_authorizer, {**where, "name": "n", "type": kind, **more}, words

    def function(words, **more):
        source = "method.request.header.A"
        return authorizer(words, "REQUEST", **{"authorizerUri": INVOCATION, "identitySource": source, **more})

    def model(words, name="M", schema="{}", content="application/json"):
        return v1.create_model, {**where, "name": name, "schema": schema, "contentType": content}, words

    check([
        (v1.create_deployment, where, "The REST API doesn't contain any methods"),
        function(TTL, authorizerResultTtlInSeconds=3601),
        function(f"Invalid Authorizer URI: {FUNCTION}. Authorizer URI should be a valid API Gateway ARN that represents a "
                 "Lambda function invocation.", authorizerUri=FUNCTION),
        function(IDENTITY.format("header.A", "method request parameter", "method"), identitySource="header.A"),
        authorizer("ProviderARNs cannot be empty", "COGNITO_USER_POOLS", identitySource="method.request.header.A"),
        authorizer("IdentitySource cannot be empty", "TOKEN", authorizerUri=INVOCATION),
        (v1.create_documentation_part, {**where, "location": {"type": "API", "path": "/"}, "properties": '{"a": "b"}'},
         "[Location type: API cannot have path, method, statusCode or name defined.]"),
        (v1.put_gateway_response, {**where, "responseType": "DEFAULT_4XX", "statusCode": "600"},
         "1 validation error detected: Value '600' at 'putGatewayResponseInput.statusCode' failed to satisfy constraint: "
         "Member must satisfy regular expression pattern: [1-5]\\d\\d", "ValidationException"),
        model("Validation Result: warnings : [], errors : [Invalid content type specified: text]", content="text"),
        model("Model name must be alphanumeric: a-b", "a-b"),
        model("Invalid model specified: Validation Result: warnings : [], errors : [Invalid model schema specified]",
              schema=json.dumps({"type": "thing"})),
        (v1.create_resource, {**where, "parentId": api.resource("/notes/{userId}"), "pathPart": "{userId}"},
         "An ancestor of this resource has the same variable name as this one: {userId}"),
        (v1.create_resource, {**where, "parentId": api.resource("/notes/{userId}/a"), "pathPart": "{userId+}"},
         "An ancestor of this resource has the same variable name as this one: {userId+}"),
        (v1.update_resource, {**where, "resourceId": papers, "patchOperations": [
            {"op": "replace", "path": "/pathPart", "value": "{b}"}]},
         "An ancestor of this resource has the same variable name as this one: {b}"),
        (v1.create_resource, {**where, "parentId": api.resource("/"), "pathPart": "a b!"},
         "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning "
         "and the end."),
    ])  # fmt: skip


def test_methods_and_integrations_of_rest_apis(gateway):
    api = gateway.rest_api()
    v1, where = api.client, {"restApiId": api.id, "resourceId": api.resource("/a")}
    api.method("GET", "/a")

    def method(words, verb="POST", kind="NONE", **more):
        return v1.put_method, {**where, "httpMethod": verb, "authorizationType": kind, **more}, words

    def integration(words, kind="HTTP_PROXY", **more):
        more = {"integrationHttpMethod": "GET", "uri": "http://a.example", **more}
        more = {name: value for name, value in more.items() if value is not None}
        return v1.put_integration, {**where, "httpMethod": "GET", "type": kind, **more}, words

    check([
        method("Invalid Method authorization type specified. Authorization Scopes are only valid for COGNITO_USER_POOLS "
               "authorization type", authorizationScopes=["a"]),
        method("Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a "
               "valid authorizer.", kind="COGNITO_USER_POOLS"),
        method("Invalid HttpMethod specified. Valid options are GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY", "TRACE"),
        method(MAPPING.format("Invalid mapping expression specified: method.request.body.a"),
               requestParameters={"method.request.body.a": True}),
        integration("AWS ARN for integration must contain path or action", "AWS",
                    uri=f"arn:aws:sqs:{REGION}:{ACCOUNT}:q", credentials=ROLE),
        integration("AWS ARN for integration must contain path or action", "AWS", uri=FUNCTION),
        integration("Invalid ARN specified in the request", "MOCK", credentials="r"),
        integration("Invalid cache key parameter specified", cacheKeyParameters=["method.request.header.none"]),
        integration("Invalid ARN specified in the request", credentials="r"),
        *(integration("Enumeration value for HttpMethod must be non-empty", kind, integrationHttpMethod=None, uri=uri)
          for kind, uri in [("HTTP", "http://a.example"), ("HTTP_PROXY", "http://a.example"),
                            ("AWS", INVOCATION), ("AWS_PROXY", INVOCATION)]),
        integration("Invalid HTTP endpoint specified for URI", uri="a.example"),
        integration(MAPPING.format("Invalid mapping expression specified: plain"),
                    requestParameters={"integration.request.header.a": "plain"}),
        integration("Timeout should be between 50 ms and 29000 ms", timeoutInMillis=29001),
        integration("ConnectionId should be set to the vpcLinkId or stage variable on connection type VPC_LINK",
                    connectionType="VPC_LINK"),
    ])  # fmt: skip
    api.mock("GET", "/b", "x")
    elsewhere = {"restApiId": api.id, "resourceId": api.resource("/b"), "httpMethod": "GET", "statusCode": "200"}
    check([(v1.put_integration_response, {**elsewhere, "selectionPattern": "["}, "Invalid regex pattern specified")])


def test_stages_and_usage_plans(gateway):
    api = gateway.rest_api()
    api.mock("GET", "/a", "x")
    v1 = api.client
    deployment = v1.create_deployment(restApiId=api.id, stageName="s")["id"]

    def stage(words, **more):
        return v1.create_stage, {"restApiId": api.id, "stageName": "t", "deploymentId": deployment, **more}, words

    def setting(words, path, value):
        patch = [{"op": "replace", "path": path, "value": value}]
        return v1.update_stage, {"restApiId": api.id, "stageName": "s", "patchOperations": patch}, words

    def plan(words, *code, **more):
        return v1.create_usage_plan, {"name": "n", **more}, words, *code

    stream = "deliverystream/other"
    served = {"apiId": api.id, "stage": "s", "throttle": {"nothing": {"rateLimit": 1, "burstLimit": 1}}}
    check([
        stage("Stage name only allows a-zA-Z0-9_", stageName="a b"),
        stage("Invalid stage variable name: a-b. Please use names with only word characters.", variables={"a-b": "c"}),
        stage("Invalid stage variable value of key a.  Please use values with alphanumeric characters and the symbols ' ', "
              "-', '.', '_', ':', '/', '?', '&', '=', and ','.", variables={"a": "b!"}),
        setting(FORMAT, "/accessLogSettings/format", "$context.stage"),
        setting("Invalid ARN specified in the request. The ARN must be a valid CloudWatch Logs log group or Kinesis Data "
                "Firehose delivery stream ARN.", "/accessLogSettings/destinationArn", f"arn:aws:s3:{REGION}:{ACCOUNT}:b"),
        setting(f"Kinesis Firehose delivery stream name must begin with the characters 'amazon-apigateway-': '{stream}'",
                "/accessLogSettings/destinationArn", f"{STREAM}/other"),
        setting("Invalid time-to-live setting, must be an integer no greater than 3600", "/*/*/caching/ttlInSeconds", "3601"),
        plan(f"API Stage not found: {api.id}:none", "NotFoundException", apiStages=[{"apiId": api.id, "stage": "none"}]),
        plan("Usage Plan quota limit must be a non-negative numeric", quota={"limit": 0, "period": "DAY"}),
        plan("Usage Plan quota offset must be between 0 and 6 inclusive in the WEEK period",
             quota={"limit": 1, "offset": 7, "period": "WEEK"}),
        plan("Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]", quota={"limit": 1}),
        plan("Invalid method {resourcePath: nothing,method: } specified", apiStages=[served]),
    ])  # fmt: skip
    for path in "/*/FETCH/metrics/enabled", "a/GET/metrics/enabled":
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            call, parameters, _ = setting("", path, "true")
            call(**parameters)
        assert f"Invalid method setting path: {path}. Must be one of: [/deploymentId, " in str(refused.value)
