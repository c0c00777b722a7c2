"""`apigatewayv2` through boto3 for WebSocket APIs: every noun made, read, listed, changed and removed, with AWS's defaults;
and what is said to a call that cannot be. The defaults are those that Terraform's acceptance tests expect of AWS."""

import json

import pytest
from harness import REGION, lambda_uri
from test_http_api_nouns import gone, refused
from test_operations import without_metadata
from test_protocol import signed

FUNCTION = lambda_uri(f"arn:aws:lambda:{REGION}:000000000000:function:f")
TABLE = f"arn:aws:apigateway:{REGION}:dynamodb:action/PutItem"
ROLE = "arn:aws:iam::000000000000:role/r"
SCHEMA = json.dumps({"type": "object", "properties": {"a": {"type": "string"}}})


@pytest.fixture
def client(gateway):
    return gateway.client("apigatewayv2")


@pytest.fixture
def api(client):
    made = client.create_api(Name="ws", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
    return made["ApiId"]


@pytest.fixture
def http_api(client):
    return client.create_api(Name="http", ProtocolType="HTTP")["ApiId"]


def mock(client, api):
    return client.create_integration(ApiId=api, IntegrationType="MOCK")["IntegrationId"]


def test_apis(client):
    options = {"Name": "chat", "ProtocolType": "WEBSOCKET", "RouteSelectionExpression": "${request.body.a}-$request.body.b"}
    made = client.create_api(**options, DisableSchemaValidation=True)
    assert made["ApiEndpoint"] == f"wss://{made['ApiId']}.execute-api.{REGION}.amazonaws.com"
    assert made["ApiKeySelectionExpression"] == "$request.header.x-api-key"
    assert (made["DisableSchemaValidation"], made["DisableExecuteApiEndpoint"]) == (True, False)
    where = {"ApiId": made["ApiId"]}
    key = "$context.authorizer.usageIdentifierKey"
    changed = client.update_api(**where, ApiKeySelectionExpression=key, RouteSelectionExpression="\\$default")
    assert (changed["ApiKeySelectionExpression"], changed["RouteSelectionExpression"]) == (key, "\\$default")
    assert without_metadata(client.get_api(**where)) == without_metadata(changed)
    create = client.create_api
    message = "Invalid routeSelectionExpression"
    refused(create, "BadRequestException", message, Name="x", ProtocolType="WEBSOCKET")
    refused(client.update_api, "BadRequestException", message, **where, RouteSelectionExpression="${request.body.a")
    refused(client.update_api, "BadRequestException", "apiKeySelection", **where, ApiKeySelectionExpression="$x")
    cors = {"AllowOrigins": ["*"]}
    message = "Cors is not supported for WEBSOCKET protocolType"
    refused(create, "BadRequestException", message, **options, CorsConfiguration=cors)
    message = "Quick create is only supported for HTTP protocol APIs"
    refused(create, "BadRequestException", message, **options, Target="http://127.0.0.1:1")
    refused(client.export_api, "BadRequestException", "HTTP", **where, Specification="OAS30", OutputType="JSON")
    body = json.dumps({"openapi": "3.0.1", "info": {"title": "x", "version": "1"}, "paths": {}})
    refused(client.reimport_api, "BadRequestException", "HTTP APIs", **where, Body=body)


def test_routes(client, api):
    target = f"integrations/{mock(client, api)}"
    made = client.create_route(ApiId=api, RouteKey="$default", Target=target)
    where = {"ApiId": api, "RouteId": made["RouteId"]}
    assert (made["AuthorizationType"], made["ApiKeyRequired"]) == ("NONE", False)
    changed = client.update_route(
        **where, RouteKey="say", OperationName="GET", RouteResponseSelectionExpression="$default",
        RequestParameters={"route.request.querystring.a": {"Required": True}, "route.request.header.B": {"Required": False}},
    )  # fmt: skip
    assert changed["RouteResponseSelectionExpression"] == "$default"
    assert changed["RequestParameters"]["route.request.querystring.a"] == {"Required": True}
    assert without_metadata(client.get_route(**where)) == without_metadata(changed)
    client.delete_route_request_parameter(**where, RequestParameterKey="route.request.querystring.a")
    assert list(client.get_route(**where)["RequestParameters"]) == ["route.request.header.B"]
    freed = client.update_route(**where, RouteResponseSelectionExpression="", OperationName="")
    assert "RouteResponseSelectionExpression" not in freed and "OperationName" not in freed
    create = client.create_route
    message = "Route with key say already exists for this API"
    refused(create, "ConflictException", message, ApiId=api, RouteKey="say")
    message = "Currently, authorization is restricted to the $connect route only"
    for kind in "AWS_IAM", "CUSTOM", "JWT":
        refused(create, "BadRequestException", message, ApiId=api, RouteKey="x", AuthorizationType=kind)
    refused(create, "BadRequestException", "Invalid authorizer ID", ApiId=api, RouteKey="$connect", AuthorizationType="CUSTOM")
    message = "Currently, only $default is supported"
    refused(create, "BadRequestException", message, ApiId=api, RouteKey="x", RouteResponseSelectionExpression="200")
    message = "Invalid mapping expression specified: route.request.body.a"
    wrong = {"route.request.body.a": {"Required": True}}
    refused(create, "BadRequestException", message, ApiId=api, RouteKey="x", RequestParameters=wrong)
    message = "Invalid model name specified: absent"
    refused(create, "BadRequestException", message, ApiId=api, RouteKey="x", RequestModels={"x": "absent"})
    message = "Invalid modelSelectionExpression"
    refused(create, "BadRequestException", message, ApiId=api, RouteKey="x", ModelSelectionExpression="${")
    gone(create, "Invalid Integration identifier", ApiId=api, RouteKey="x", Target="integrations/absent")
    iam = client.create_route(ApiId=api, RouteKey="$connect", AuthorizationType="AWS_IAM", ApiKeyRequired=True)
    assert (iam["AuthorizationType"], iam["ApiKeyRequired"]) == ("AWS_IAM", True)
    client.delete_route(**where)
    gone(client.get_route, "Invalid Route identifier", **where)


def test_defaults_of_integrations(client, api):
    status, error = "${integration.response.statuscode}", "${integration.response.body.errorMessage}"
    http = {"IntegrationMethod": "GET", "IntegrationUri": "http://a.test"}
    for kind, options, method, selection in [
        ("MOCK", {}, None, status),
        ("HTTP", http, "GET", status),
        ("HTTP_PROXY", http, "GET", None),
        ("AWS", {"IntegrationUri": FUNCTION}, "POST", error),
        ("AWS", {"IntegrationUri": TABLE, "IntegrationMethod": "POST", "CredentialsArn": ROLE}, "POST", status),
        ("AWS_PROXY", {"IntegrationUri": FUNCTION}, "POST", None),
    ]:
        made = client.create_integration(ApiId=api, IntegrationType=kind, **options)
        assert made.get("IntegrationMethod") == method, kind
        assert made.get("IntegrationResponseSelectionExpression") == selection, kind
        assert (made["ConnectionType"], made["TimeoutInMillis"]) == ("INTERNET", 29000)
        assert (made["PassthroughBehavior"], made["PayloadFormatVersion"]) == ("WHEN_NO_MATCH", "1.0")
        found = client.get_integration(ApiId=api, IntegrationId=made["IntegrationId"])
        assert without_metadata(found) == without_metadata(made)


def test_integrations(client, api, gateway):
    create = client.create_integration
    made = create(
        ApiId=api, IntegrationType="HTTP", ContentHandlingStrategy="CONVERT_TO_TEXT", Description="d",
        IntegrationMethod="GET", IntegrationUri="http://a.test", TemplateSelectionExpression="$request.body.name",
        TimeoutInMillis=28999, RequestParameters={"integration.request.querystring.stage": "'value1'"},
        RequestTemplates={"application/json": ""},
    )  # fmt: skip
    # AWS answers an empty template as none.
    assert made["RequestTemplates"] == {"application/json": None}
    where = {"ApiId": api, "IntegrationId": made["IntegrationId"]}
    changed = client.update_integration(
        **where, ContentHandlingStrategy="CONVERT_TO_BINARY", PassthroughBehavior="NEVER", TimeoutInMillis=51,
        RequestParameters={"integration.request.querystring.stage": "",
                           "integration.request.header.authToken": "route.request.querystring.authToken",
                           "integration.request.path.op": "route.request.body.op"},
        RequestTemplates={"application/json": "#set($a = 1)", "$default": "{}"},
    )  # fmt: skip
    assert "integration.request.querystring.stage" not in changed["RequestParameters"]
    assert changed["RequestTemplates"]["$default"] == "{}"
    assert len(client.get_integrations(ApiId=api)["Items"]) == 1
    http = {"ApiId": api, "IntegrationType": "HTTP", "IntegrationMethod": "GET", "IntegrationUri": "http://a.test"}
    function = {"ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationUri": FUNCTION}
    for wrong, message in [
        ({**http, "TimeoutInMillis": 29001}, "Timeout should be between 50 ms and 29000 ms"),
        ({**http, "IntegrationUri": "a.test"}, "Invalid HTTP endpoint specified for URI"),
        ({**http, "IntegrationMethod": "GOT"}, "Invalid HttpMethod specified"),
        ({"ApiId": api, "IntegrationType": "HTTP", "IntegrationUri": "http://a.test"}, "HttpMethod must be non-empty"),
        ({**http, "TemplateSelectionExpression": "${x"}, "Invalid templateSelectionExpression"),
        ({**http, "RequestParameters": {"append:header.x": "'x'"}}, "Invalid mapping expression specified: append:header.x"),
        ({**http, "RequestParameters": {"integration.request.header.x": "x"}}, "Invalid mapping expression specified: x"),
        ({**http, "ResponseParameters": {"200": {"append:header.x": "x"}}}, "ResponseParameters"),
        ({**http, "TlsConfig": {"ServerNameToVerify": "a.test"}}, "TlsConfig"),
        ({**http, "ConnectionType": "VPC_LINK"}, "ConnectionId must be set to vpcLinkId for ConnectionType VPC_LINK"),
        ({**http, "ConnectionType": "VPC_LINK", "ConnectionId": "absent"}, "Invalid Vpc Link identifier specified absent"),
        ({**function, "PayloadFormatVersion": "2.0"}, "Unsupported PayloadFormatVersion: 2.0"),
        ({**function, "IntegrationMethod": "GET"}, "HttpMethod must be POST for AWS_PROXY IntegrationType"),
        ({**function, "IntegrationUri": TABLE}, "currently only supports Lambda function"),
        ({**function, "IntegrationSubtype": "SQS-SendMessage"}, "IntegrationSubtype"),
        ({"ApiId": api, "IntegrationType": "AWS", "IntegrationUri": TABLE, "IntegrationMethod": "POST"}, "Role ARN must be"),
        ({"ApiId": api, "IntegrationType": "AWS", "IntegrationUri": "x", "IntegrationMethod": "POST"}, "Invalid ARN"),
    ]:
        refused(create, "BadRequestException", message, **wrong)
    # A private integration goes through the kind of link that REST APIs use.
    newer = client.create_vpc_link(Name="v2", SubnetIds=["s"])["VpcLinkId"]
    wrong = {**http, "ConnectionType": "VPC_LINK", "ConnectionId": newer}
    refused(create, "BadRequestException", "Invalid Vpc Link identifier", **wrong)
    balancer = f"arn:aws:elasticloadbalancing:{REGION}:000000000000:loadbalancer/net/n/1"
    link = gateway.client().create_vpc_link(name="v1", targetArns=[balancer])["id"]
    private = create(**{**http, "IntegrationType": "HTTP_PROXY"}, ConnectionType="VPC_LINK", ConnectionId=link)
    assert (private["ConnectionType"], private["ConnectionId"]) == ("VPC_LINK", link)
    client.create_route(ApiId=api, RouteKey="x", Target=f"integrations/{made['IntegrationId']}")
    refused(client.delete_integration, "ConflictException", "referenced by existing Routes", **where)


def test_authorizers(client, api):
    options = {"ApiId": api, "AuthorizerType": "REQUEST", "Name": "a", "AuthorizerUri": FUNCTION}
    made = client.create_authorizer(**options, IdentitySource=["route.request.header.Auth"])
    for absent in "AuthorizerPayloadFormatVersion", "AuthorizerResultTtlInSeconds", "EnableSimpleResponses":
        assert absent not in made
    where = {"ApiId": api, "AuthorizerId": made["AuthorizerId"]}
    sources = ["route.request.querystring.Name", "stageVariables.a", "context.b"]
    assert client.update_authorizer(**where, IdentitySource=sources)["IdentitySource"] == sources
    assert client.update_authorizer(**where, IdentitySource=[])["IdentitySource"] == []
    route = client.create_route(ApiId=api, RouteKey="$connect", AuthorizationType="CUSTOM", AuthorizerId=made["AuthorizerId"])
    refused(client.delete_authorizer, "ConflictException", "referenced by existing Routes", **where)
    freed = client.update_route(ApiId=api, RouteId=route["RouteId"], AuthorizationType="NONE")
    assert "AuthorizerId" not in freed
    client.delete_authorizer(**where)
    gone(client.get_authorizer, "Invalid Authorizer identifier", **where)
    options["IdentitySource"] = []
    jwt = {"Issuer": "https://issuer.test", "Audience": ["a"]}
    for wrong, message in [
        ({"AuthorizerType": "JWT"}, "Only REQUEST authorizer type is supported on WEBSOCKET protocol Apis."),
        ({"AuthorizerResultTtlInSeconds": 0}, "AuthorizerResultTtlInSeconds cannot be set for WEBSOCKET protocol Apis."),
        ({"AuthorizerPayloadFormatVersion": "1.0"}, "AuthorizerPayloadFormatVersion"),
        ({"EnableSimpleResponses": True}, "EnableSimpleResponses"),
        ({"JwtConfiguration": jwt}, "JwtConfiguration"),
        ({"AuthorizerUri": "arn:aws:lambda:x"}, "Invalid Authorizer URI"),
        ({"IdentitySource": ["$request.header.A"]}, "Invalid request identity source expression: $request.header.A"),
    ]:
        refused(client.create_authorizer, "BadRequestException", message, **{**options, **wrong})


def test_models(client, api, http_api):
    made = client.create_model(ApiId=api, Name="Pet", Schema=SCHEMA)
    where = {"ApiId": api, "ModelId": made["ModelId"]}
    assert made["ContentType"] == "application/json"
    assert client.update_model(**where, Description="d")["Description"] == "d"
    assert client.get_model(**where)["Schema"] == SCHEMA
    assert '"a"' in client.get_model_template(**where)["Value"]
    assert len(client.get_models(ApiId=api)["Items"]) == 1
    create = client.create_model
    refused(create, "ConflictException", "Pet", ApiId=api, Name="Pet", Schema=SCHEMA)
    refused(create, "BadRequestException", "Invalid model schema specified", ApiId=api, Name="Other", Schema="{")
    refused(create, "BadRequestException", 'keyword(s): ["x"]', ApiId=api, Name="Other", Schema='{"x": 1}')
    refused(create, "BadRequestException", "Model name must be alphanumeric: a-b", ApiId=api, Name="a-b", Schema=SCHEMA)
    message = "Currently, Models are not permitted for APIs with a protocol type of HTTP"
    refused(create, "BadRequestException", message, ApiId=http_api, Name="Pet", Schema=SCHEMA)
    reference = f"https://apigateway.amazonaws.com/restapis/{api}/models/Pet"
    other = create(ApiId=api, Name="Pets", Schema=json.dumps({"type": "array", "items": {"$ref": reference}}))
    assert '"a"' in client.get_model_template(ApiId=api, ModelId=other["ModelId"])["Value"]
    route = client.create_route(
        ApiId=api, RouteKey="$default", ModelSelectionExpression="action", RequestModels={"test": "Pet"}
    )
    assert route["RequestModels"] == {"test": "Pet"}
    refused(client.delete_model, "ConflictException", "Cannot delete model 'Pet'", **where)
    client.update_route(ApiId=api, RouteId=route["RouteId"], RequestModels={})
    client.delete_model(**where)
    for call in client.get_model, client.get_model_template, client.delete_model, client.update_model:
        gone(call, "Invalid Model identifier", **where)


def test_responses(client, api, http_api):
    client.create_model(ApiId=api, Name="Pet", Schema=SCHEMA)
    route = client.create_route(ApiId=api, RouteKey="say")["RouteId"]
    where = {"ApiId": api, "RouteId": route}
    made = client.create_route_response(**where, RouteResponseKey="$default", ResponseModels={"x": "Pet"})
    one = {**where, "RouteResponseId": made["RouteResponseId"]}
    assert without_metadata(client.get_route_response(**one)) == without_metadata(made)
    assert client.update_route_response(**one, ModelSelectionExpression="x")["ModelSelectionExpression"] == "x"
    assert len(client.get_route_responses(**where)["Items"]) == 1
    create = client.create_route_response
    message = "Currently, only $default is supported as a RouteResponseKey."
    refused(create, "BadRequestException", message, **where, RouteResponseKey="other")
    refused(create, "ConflictException", "already exists", **where, RouteResponseKey="$default")
    wrong = {"RouteResponseKey": "$default", "ResponseModels": {"x": "absent"}}
    refused(create, "BadRequestException", "Invalid model name specified: absent", **where, **wrong)
    client.delete_route_response(**one)
    for call in client.get_route_response, client.delete_route_response, client.update_route_response:
        gone(call, "Invalid RouteResponse identifier", **one)

    where = {"ApiId": api, "IntegrationId": mock(client, api)}
    options = {"ContentHandlingStrategy": "CONVERT_TO_TEXT", "TemplateSelectionExpression": "$request.body.name"}
    made = client.create_integration_response(
        **where, IntegrationResponseKey="/2\\d\\d/", ResponseTemplates={"application/json": ""}, **options
    )
    one = {**where, "IntegrationResponseId": made["IntegrationResponseId"]}
    assert made["ResponseTemplates"] == {"application/json": None}
    assert without_metadata(client.get_integration_response(**one)) == without_metadata(made)
    mapped = {"route.response.header.x": "integration.response.header.y"}
    changed = client.update_integration_response(**one, IntegrationResponseKey="$default", ResponseParameters=mapped)
    assert (changed["IntegrationResponseKey"], changed["ResponseParameters"]) == ("$default", mapped)
    assert len(client.get_integration_responses(**where)["Items"]) == 1
    create = client.create_integration_response
    refused(create, "BadRequestException", "response key", **where, IntegrationResponseKey="200")
    refused(create, "ConflictException", "already exists", **where, IntegrationResponseKey="$default")
    wrong = {"IntegrationResponseKey": "/4/", "ResponseParameters": {"x": "'y'"}}
    refused(create, "BadRequestException", "Invalid mapping expression specified: x", **where, **wrong)
    client.delete_integration_response(**one)
    for call in client.get_integration_response, client.delete_integration_response, client.update_integration_response:
        gone(call, "Invalid IntegrationResponse identifier", **one)

    own = client.create_route(ApiId=http_api, RouteKey="GET /")["RouteId"]
    message = "RouteResponses are currently not supported for this API protocol type."
    where = {"ApiId": http_api, "RouteId": own, "RouteResponseKey": "$default"}
    refused(client.create_route_response, "BadRequestException", message, **where)
    proxy = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "ANY", "IntegrationUri": "http://127.0.0.1:1"}
    own = client.create_integration(ApiId=http_api, **proxy)["IntegrationId"]
    message = (
        "IntegrationResponses are currently not supported for this API protocol type. This is because the API may only be "
        "configured with proxy integration at this time."
    )
    where = {"ApiId": http_api, "IntegrationId": own, "IntegrationResponseKey": "$default"}
    refused(client.create_integration_response, "BadRequestException", message, **where)


def test_stages(client, api, gateway):
    made = client.create_stage(ApiId=api, StageName="dev")
    off = {"DataTraceEnabled": False, "DetailedMetricsEnabled": False, "LoggingLevel": "OFF"}
    assert ("AutoDeploy" in made, made["DefaultRouteSettings"]) == (False, off)
    assert (made["RouteSettings"], "DeploymentId" in made) == ({}, False)
    where = {"ApiId": api, "StageName": "dev"}
    settings = {"DataTraceEnabled": True, "DetailedMetricsEnabled": True, "LoggingLevel": "ERROR",
                "ThrottlingBurstLimit": 2222, "ThrottlingRateLimit": 8888.0}  # fmt: skip
    assert client.update_stage(**where, DefaultRouteSettings=settings)["DefaultRouteSettings"] == settings
    client.create_route(ApiId=api, RouteKey="$connect")
    changed = client.update_stage(**where, RouteSettings={"$connect": settings})
    assert changed["RouteSettings"] == {"$connect": settings}
    client.delete_route_settings(**where, RouteKey="$connect")
    assert client.get_stage(**where)["RouteSettings"] == {}
    message = "Unable to find Route by key absent within the provided RouteSettings"
    gone(client.update_stage, message, **where, RouteSettings={"absent": settings})
    certificate = gateway.client().generate_client_certificate()["clientCertificateId"]
    assert client.update_stage(**where, ClientCertificateId=certificate)["ClientCertificateId"] == certificate
    message = "Invalid Client Certificate ID specified"
    refused(client.update_stage, "BadRequestException", message, **where, ClientCertificateId="absent")
    refused(client.create_stage, "BadRequestException", "Stage name", ApiId=api, StageName="$default")
    client.delete_stage(**where)
    gone(client.get_stage, "Invalid stage identifier specified", **where)


def test_a_deployment_needs_a_route(client, api):
    message = "At least one route is required before deploying the Api"
    refused(client.create_deployment, "BadRequestException", message, ApiId=api)
    stage = client.create_stage(ApiId=api, StageName="dev", AutoDeploy=True)
    assert "DeploymentId" not in stage and message in stage["LastDeploymentStatusMessage"]


def test_wire_form(gateway):
    body = {"name": "wire", "protocolType": "WEBSOCKET", "routeSelectionExpression": "$request.body.action"}
    made = signed(gateway, "POST", "/v2/apis", body)
    assert made.status_code == 201
    assert made.json()["apiEndpoint"].startswith("wss://")


def test_usage_plans(client, api, http_api, gateway):
    plans = gateway.client()
    client.create_stage(ApiId=api, StageName="dev")
    plan = plans.create_usage_plan(name="p", apiStages=[{"apiId": api, "stage": "dev"}])
    assert plan["apiStages"] == [{"apiId": api, "stage": "dev"}]
    client.create_stage(ApiId=http_api, StageName="dev")
    wrong = [{"apiId": http_api, "stage": "dev"}]
    no_http = "Usage plans are not allowed for HTTP Apis"
    refused(plans.create_usage_plan, "BadRequestException", no_http, name="p", apiStages=wrong)
    wrong = [{"apiId": api, "stage": "dev", "throttle": {"say": {"rateLimit": 1.0, "burstLimit": 1}}}]
    refused(plans.create_usage_plan, "BadRequestException", "Invalid method", name="p", apiStages=wrong)
    client.delete_stage(ApiId=api, StageName="dev")
    assert not plans.get_usage_plan(usagePlanId=plan["id"]).get("apiStages")
