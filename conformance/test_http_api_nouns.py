"""`apigatewayv2` through boto3: every noun of HTTP APIs made, read, listed, changed, removed; and what is
said to a call that cannot be."""

import json
import subprocess

import pytest
from harness import REGION, ROOT
from test_operations import without_metadata
from test_protocol import error_of, signed

FUNCTION = f"arn:aws:lambda:{REGION}:000000000000:function:f"
LISTENER = f"arn:aws:elasticloadbalancing:{REGION}:000000000000:listener/app/a/b/c"


@pytest.fixture
def client(gateway):
    return gateway.client("apigatewayv2")


@pytest.fixture
def api(client):
    return client.create_api(Name="api", ProtocolType="HTTP")["ApiId"]


def refused(call, code, message, **parameters):
    error = error_of(call, **parameters)["Error"]
    assert error["Code"] == code, error
    assert message in error["Message"], error


def gone(call, message, **parameters):
    refused(call, "NotFoundException", message, **parameters)


def url_integration(client, api, **options):
    options = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "ANY", "IntegrationUri": "http://127.0.0.1:1", **options}
    return client.create_integration(ApiId=api, **options)["IntegrationId"]


def test_apis(client):
    made = client.create_api(Name="one", ProtocolType="HTTP", Description="d", Version="v", Tags={"a": "b"})
    assert made["ApiEndpoint"] == f"https://{made['ApiId']}.execute-api.{REGION}.amazonaws.com"
    assert made["RouteSelectionExpression"] == "$request.method $request.path"
    assert made["ApiKeySelectionExpression"] == "$request.header.x-api-key"
    assert (made["DisableExecuteApiEndpoint"], made["IpAddressType"], made["Tags"]) == (False, "ipv4", {"a": "b"})
    assert without_metadata(client.get_api(ApiId=made["ApiId"])) == without_metadata(made)
    changed = client.update_api(ApiId=made["ApiId"], Name="two", Description="", DisableExecuteApiEndpoint=True)
    assert (changed["Name"], changed["DisableExecuteApiEndpoint"], changed["Version"]) == ("two", True, "v")
    assert "Description" not in changed
    assert [item["ApiId"] for item in client.get_apis()["Items"]] == [made["ApiId"]]
    client.delete_api(ApiId=made["ApiId"])
    gone(client.get_api, f"Invalid API identifier specified 000000000000:{made['ApiId']}", ApiId=made["ApiId"])
    gone(client.delete_api, "Invalid API identifier", ApiId=made["ApiId"])
    gone(client.update_api, "Invalid API identifier", ApiId=made["ApiId"], Name="x")
    refused(client.create_api, "BadRequestException", "Invalid API name specified", Name=" ", ProtocolType="HTTP")
    message = 'Route selection expression is currently limited to "${request.method} ${request.path}"'
    wrong = {"RouteSelectionExpression": "$request.body.action"}
    refused(client.create_api, "BadRequestException", message, Name="x", ProtocolType="HTTP", **wrong)
    refused(client.get_apis, "BadRequestException", "maxResults", MaxResults="many")


def test_lengths(client, api):
    """Those that the API reference tells with the names of its types."""

    def longer(name, most):
        return f"'{name}' failed to satisfy constraint: Member must have length less than or equal to {most}"

    made = client.update_api(ApiId=api, Name="n" * 128, Description="d" * 1024, Version="v" * 64)
    assert (len(made["Name"]), len(made["Description"]), len(made["Version"])) == (128, 1024, 64)
    for name, most in ("Name", 128), ("Description", 1024), ("Version", 64):
        message = longer(name.lower(), most)
        refused(client.update_api, "BadRequestException", message, ApiId=api, **{name: "x" * (most + 1)})
    message = longer("operationName", 64)
    refused(client.create_route, "BadRequestException", message, ApiId=api, RouteKey="GET /", OperationName="x" * 65)
    uri = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET", "IntegrationUri": "http://a.test/" + "x" * 2048}
    refused(client.create_integration, "BadRequestException", longer("integrationUri", 2048), ApiId=api, **uri)
    # Formats of access logs have AWS's quota of three kilobytes instead.
    log = {"DestinationArn": f"arn:aws:logs:{REGION}:000000000000:log-group:g", "Format": "$context.requestId " + "x" * 2000}
    made = client.create_stage(ApiId=api, StageName="s", AccessLogSettings=log)
    assert made["AccessLogSettings"] == log


def test_pages(client):
    made = [client.create_api(Name=f"a{number}", ProtocolType="HTTP")["ApiId"] for number in range(5)]
    first = client.get_apis(MaxResults="2")
    assert [item["ApiId"] for item in first["Items"]] == made[:2]
    pages = list(client.get_paginator("get_apis").paginate(PaginationConfig={"PageSize": 2}))
    assert [item["ApiId"] for page in pages for item in page["Items"]] == made
    assert "NextToken" not in pages[-1]


def test_the_length_of_ids(client, api):
    """As in the outputs that AWS and its users publish."""
    integration = url_integration(client, api)
    route = client.create_route(ApiId=api, RouteKey="GET /a")["RouteId"]
    deployment = client.create_deployment(ApiId=api)["DeploymentId"]
    assert [len(one) for one in (api, integration, route, deployment)] == [10, 7, 7, 6]


def test_an_id_of_ones_own(client, gateway):
    assert client.create_api(Name="x", ProtocolType="HTTP", Tags={"_custom_id_": "mine"})["ApiId"] == "mine"
    refused(client.create_api, "ConflictException", "mine", Name="y", ProtocolType="HTTP", Tags={"_custom_id_": "mine"})
    refused(gateway.client().create_rest_api, "ConflictException", "mine", name="z", tags={"_custom_id_": "mine"})


def test_wire_form(gateway):
    made = signed(gateway, "POST", "/v2/apis", {"name": "wire", "protocolType": "HTTP"})
    assert made.status_code == 201
    assert made.json()["createdDate"].endswith("Z")
    assert signed(gateway, "GET", "/v2/apis").json()["items"][0]["apiId"] == made.json()["apiId"]
    assert signed(gateway, "DELETE", f"/v2/apis/{made.json()['apiId']}").status_code == 204
    nameless = signed(gateway, "POST", "/v2/apis", {"protocolType": "HTTP"})
    assert (nameless.status_code, nameless.json()["message"]) == (400, "Invalid API name specified")


def test_quick_create(client):
    api = client.create_api(Name="q", ProtocolType="HTTP", Target="http://127.0.0.1:1/x", RouteKey="GET /a")["ApiId"]
    (route,) = client.get_routes(ApiId=api)["Items"]
    (integration,) = client.get_integrations(ApiId=api)["Items"]
    (stage,) = client.get_stages(ApiId=api)["Items"]
    assert (route["RouteKey"], route["ApiGatewayManaged"]) == ("GET /a", True)
    assert route["Target"] == f"integrations/{integration['IntegrationId']}"
    assert (integration["IntegrationType"], integration["IntegrationMethod"]) == ("HTTP_PROXY", "ANY")
    assert (integration["PayloadFormatVersion"], integration["TimeoutInMillis"]) == ("1.0", 30000)
    assert (stage["StageName"], stage["AutoDeploy"], stage["ApiGatewayManaged"]) == ("$default", True, True)
    # A target changes the URI and the type, and with another type what belongs to that; the rest stays.
    own = {"TimeoutInMillis": 500, "Description": "d", "RequestParameters": {"append:header.x": "y"}}
    where = {"ApiId": api, "IntegrationId": integration["IntegrationId"]}
    client.update_integration(**where, **own, IntegrationMethod="GET")
    client.update_api(ApiId=api, Target="http://127.0.0.1:1/y")
    shown = client.get_integration(**where)
    assert (shown["IntegrationUri"], shown["IntegrationMethod"]) == ("http://127.0.0.1:1/y", "GET")
    assert shown == shown | own and shown["ApiGatewayManaged"]
    client.update_api(ApiId=api, Target=FUNCTION, RouteKey="$default")
    (integration,) = client.get_integrations(ApiId=api)["Items"]
    assert (integration["IntegrationType"], integration["PayloadFormatVersion"]) == ("AWS_PROXY", "2.0")
    assert integration["IntegrationMethod"] == "POST" and integration == integration | own
    client.update_integration(**where, PayloadFormatVersion="1.0")
    client.update_api(ApiId=api, Target=FUNCTION)
    assert client.get_integration(**where)["PayloadFormatVersion"] == "1.0"
    assert client.get_routes(ApiId=api)["Items"][0]["RouteKey"] == "$default"
    refused(client.delete_route, "BadRequestException", "managed", ApiId=api, RouteId=route["RouteId"])
    refused(client.update_route, "BadRequestException", "managed", ApiId=api, RouteId=route["RouteId"], RouteKey="GET /b")
    named = client.update_route(ApiId=api, RouteId=route["RouteId"], OperationName="all", RouteKey="$default")
    assert (named["OperationName"], named["ApiGatewayManaged"]) == ("all", True)
    refused(client.delete_integration, "BadRequestException", "managed", **where)
    refused(client.create_api, "BadRequestException", "Target", Name="x", ProtocolType="HTTP", RouteKey="GET /")
    for target in "nowhere", "arn:aws:sqs:us-east-1:0:lambda":
        refused(client.create_api, "BadRequestException", "target", Name="x", ProtocolType="HTTP", Target=target)
    refused(client.create_api, "BadRequestException", "Invalid ARN specified in the request", Name="x", ProtocolType="HTTP",
            Target=FUNCTION, CredentialsArn="x")  # fmt: skip


def test_cors_configuration(client, api):
    cors = {"AllowOrigins": ["https://a.test", "http://*"], "AllowMethods": ["GET", "*"], "AllowHeaders": ["x-a"],
            "ExposeHeaders": ["x-b"], "MaxAge": 60, "AllowCredentials": True}  # fmt: skip
    assert client.update_api(ApiId=api, CorsConfiguration=cors)["CorsConfiguration"] == cors
    client.delete_cors_configuration(ApiId=api)
    assert "CorsConfiguration" not in client.get_api(ApiId=api)
    gone(client.delete_cors_configuration, "Invalid API identifier", ApiId="absent1234")
    for wrong, message in [
        ({"AllowOrigins": ["*"], "AllowCredentials": True}, "allow-credentials is not supported if 'allow-origin' is *"),
        ({"AllowOrigins": ["a.test"]}, "Invalid format for origin a.test"),
        ({"AllowOrigins": ["chrome-extension://abc"]}, "Invalid format for origin chrome-extension://abc"),
        ({"AllowOrigins": ["https://a.test/path"]}, "Invalid format for origin https://a.test/path"),
        ({"AllowOrigins": ["https://*.a.test"]}, "Invalid format for origin https://*.a.test"),
        ({"AllowMethods": ["FETCH"]}, "method"),
        ({"AllowHeaders": ["a b"]}, "header"),
        ({"MaxAge": 86401}, "Invalid maxAge specified: it must be between -1 and 86400"),
    ]:
        refused(client.update_api, "BadRequestException", message, ApiId=api, CorsConfiguration=wrong)
    kept = {"AllowOrigins": ["HTTP://WWW.EXAMPLE.ORG"], "AllowMethods": ["put", "delete"]}
    assert client.update_api(ApiId=api, CorsConfiguration=kept)["CorsConfiguration"] == kept
    # As in the AWS CLI's example: what an update does not have stays. An empty list takes one away.
    merged = client.update_api(ApiId=api, CorsConfiguration={"AllowOrigins": ["https://b.test"], "AllowCredentials": False})
    assert merged["CorsConfiguration"] == kept | {"AllowOrigins": ["https://b.test"], "AllowCredentials": False}
    emptied = client.update_api(ApiId=api, CorsConfiguration={"AllowMethods": []})["CorsConfiguration"]
    assert emptied == {"AllowOrigins": ["https://b.test"], "AllowCredentials": False}


def test_tags_that_are_not_there(client):
    """Of APIs all answers tell of them but that of CreateApi, of domain names GetDomainName alone, as the AWS CLI shows it."""
    api = client.create_api(Name="a", ProtocolType="HTTP")
    at = {"ApiId": api["ApiId"]}
    assert "Tags" not in api and client.get_api(**at)["Tags"] == client.update_api(**at, Name="b")["Tags"] == {}
    assert client.get_apis()["Items"][0]["Tags"] == client.create_stage(**at, StageName="s")["Tags"] == {}
    certificate = [{"CertificateArn": "arn:aws:acm:us-east-1:000000000000:certificate/1"}]
    name = {"DomainName": "tags.example.com"}
    assert "Tags" not in client.create_domain_name(**name, DomainNameConfigurations=certificate)
    assert client.get_domain_name(**name)["Tags"] == {}
    (listed,) = client.get_domain_names()["Items"]
    assert "Tags" not in listed and "Tags" not in client.update_domain_name(**name, DomainNameConfigurations=certificate)


def test_default_route_settings(client, api):
    """What a call does not have of them stays, and detailed metrics are always told."""
    at = {"ApiId": api, "StageName": "s"}
    made = client.create_stage(**at, DefaultRouteSettings={"ThrottlingBurstLimit": 5})["DefaultRouteSettings"]
    assert made == {"DetailedMetricsEnabled": False, "ThrottlingBurstLimit": 5}
    changed = client.update_stage(**at, DefaultRouteSettings={"ThrottlingRateLimit": 2.0})["DefaultRouteSettings"]
    assert changed == made | {"ThrottlingRateLimit": 2.0}


def test_an_authorizer_that_nothing_asks(client, api):
    """Without a type that asks one, a route has none."""
    made = client.create_route(ApiId=api, RouteKey="GET /", AuthorizerId="absent")
    changed = client.update_route(ApiId=api, RouteId=made["RouteId"], AuthorizerId="absent")
    assert "AuthorizerId" not in made and "AuthorizerId" not in changed


def test_the_order_of_deployments(client, api):
    client.create_route(ApiId=api, RouteKey="GET /", Target=f"integrations/{url_integration(client, api)}")
    made = [client.create_deployment(ApiId=api)["DeploymentId"] for _ in range(3)]
    assert [item["DeploymentId"] for item in client.get_deployments(ApiId=api)["Items"]] == made[::-1]
    pages = client.get_paginator("get_deployments").paginate(ApiId=api, PaginationConfig={"PageSize": 1})
    assert [item["DeploymentId"] for page in pages for item in page["Items"]] == made[::-1]


def test_routes(client, api):
    target = f"integrations/{url_integration(client, api)}"
    made = client.create_route(ApiId=api, RouteKey="GET /pets/{id}", OperationName="get", Target=target)
    where = {"ApiId": api, "RouteId": made["RouteId"]}
    assert (made["AuthorizationType"], made["ApiKeyRequired"]) == ("NONE", False)
    assert without_metadata(client.get_route(**where)) == without_metadata(made)
    assert client.update_route(**where, RouteKey="ANY /{proxy+}")["RouteKey"] == "ANY /{proxy+}"
    assert [item["RouteId"] for item in client.get_routes(ApiId=api)["Items"]] == [made["RouteId"]]
    create = client.create_route
    message = "Route with key ANY /{proxy+} already exists for this API"
    refused(create, "ConflictException", message, ApiId=api, RouteKey="ANY /{proxy+}")
    for key in "pets", "get /pets", "TRACE /pets", "GET pets", "GET  /pets", "$connect":
        message = (
            "The provided route key is not formatted properly for HTTP protocol. Format should be "
            '"[HTTP METHOD] /[RESOURCE PATH]" or "$default"'
        )
        refused(create, "BadRequestException", message, ApiId=api, RouteKey=key)
    message = (
        "One or more path parts appear to be invalid. Parts are validated against this regular expression: "
        r"^(\{[\w.:-]+\+?\}|[a-zA-Z0-9.:_-]+)$"
    )
    for path in "/{id}.json", "/a{b}", "/{}", "/a//b", "/*", "/a~b":
        refused(create, "BadRequestException", message, ApiId=api, RouteKey=f"GET {path}")
    gone(create, "Invalid Integration identifier", ApiId=api, RouteKey="GET /", Target="integrations/absent")
    message = "Invalid authorizer ID specified. Setting the authorization type to JWT requires a valid JWT authorizer."
    refused(create, "BadRequestException", message, ApiId=api, RouteKey="GET /", AuthorizationType="JWT")
    wrong = {"AuthorizationType": "JWT", "AuthorizerId": "absent"}
    refused(create, "BadRequestException", message, ApiId=api, RouteKey="GET /", **wrong)
    message = (
        "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a valid "
        "authorizer."
    )
    refused(create, "BadRequestException", message, ApiId=api, RouteKey="GET /", **wrong | {"AuthorizationType": "CUSTOM"})
    message = "Unexpected or malformed target in route null. Correct format should be integrations/<integration_id>."
    refused(create, "BadRequestException", message, ApiId=api, RouteKey="GET /", Target="absent")
    message = "Authorization Scopes are only valid for COGNITO_USER_POOLS and JWT authorization type"
    refused(create, "BadRequestException", message, ApiId=api, RouteKey="GET /", AuthorizationScopes=["a"])
    message = f"Unexpected or malformed target in route {where['RouteId']}. Correct format"
    refused(client.update_route, "BadRequestException", message, **where, Target="absent")
    message = "ApiKeyRequired is not currently supported for HTTP APIs. Please set ApiKeyRequired to false for route "
    refused(create, "BadRequestException", message + "null", ApiId=api, RouteKey="GET /", ApiKeyRequired=True)
    refused(client.update_route, "BadRequestException", message + where["RouteId"], **where, ApiKeyRequired=True)
    refused(client.delete_route_request_parameter, "NotFoundException", "x", **where, RequestParameterKey="x")
    client.delete_route(**where)
    gone(client.get_route, "Invalid Route identifier", **where)
    gone(client.update_route, "Invalid Route identifier", **where, RouteKey="GET /")
    gone(client.delete_route, "Invalid Route identifier", **where)
    gone(client.get_routes, "Invalid API identifier", ApiId="absent1234")


def test_integrations(client, api):
    create = client.create_integration
    made = create(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=FUNCTION, PayloadFormatVersion="2.0", Description="d",
        RequestParameters={"append:header.x": "$request.path", "overwrite:path": "/x"},
        ResponseParameters={"404": {"overwrite:statuscode": "200"}, "500": {"append:header.e": "1"}},
    )  # fmt: skip
    where = {"ApiId": api, "IntegrationId": made["IntegrationId"]}
    assert (made["ConnectionType"], made["IntegrationMethod"], made["TimeoutInMillis"]) == ("INTERNET", "POST", 30000)
    assert without_metadata(client.get_integration(**where)) == without_metadata(made)
    changed = client.update_integration(
        **where, RequestParameters={"append:header.x": "", "append:header.y": "2"}, ResponseParameters={"404": {}}
    )
    assert changed["RequestParameters"] == {"append:header.y": "2", "overwrite:path": "/x"}
    assert changed["ResponseParameters"] == {"500": {"append:header.e": "1"}}
    # AWS takes ANY for a function too, and shows it.
    assert client.update_integration(**where, IntegrationMethod="ANY")["IntegrationMethod"] == "ANY"
    assert len(client.get_integrations(ApiId=api)["Items"]) == 1
    route = client.create_route(ApiId=api, RouteKey="GET /", Target=f"integrations/{made['IntegrationId']}")["RouteId"]
    refused(client.delete_integration, "ConflictException", "referenced by existing Routes", **where)
    client.delete_route(ApiId=api, RouteId=route)
    client.delete_integration(**where)
    gone(client.get_integration, "Invalid Integration identifier", **where)
    gone(client.update_integration, "Invalid Integration identifier", **where)
    gone(client.delete_integration, "Invalid Integration identifier", **where)
    http = {"ApiId": api, "IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET", "IntegrationUri": "http://a.test"}
    # As Terraform sends it, and AWS does not give it back.
    assert "PassthroughBehavior" not in create(**http, PassthroughBehavior="WHEN_NO_MATCH")
    function = {"ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationUri": FUNCTION, "PayloadFormatVersion": "2.0"}
    for credentials in "arn:aws:iam::000000000000:role/x", "arn:aws:iam::*:user/*", "${stageVariables.role}":
        assert create(**function, CredentialsArn=credentials)["CredentialsArn"] == credentials
    invocation = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"
    for uri in invocation, FUNCTION + ":${stageVariables.alias}", "${stageVariables.function}":
        assert create(**function | {"IntegrationUri": uri})["IntegrationUri"] == uri
    service = {
        "ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationSubtype": "SQS-SendMessage",
        "PayloadFormatVersion": "1.0", "CredentialsArn": "arn:aws:iam::0:role/x",
    }  # fmt: skip
    for wrong, message in [
        (
            {**http, "IntegrationType": "HTTP"},
            "Currently, an API with a protocol type of HTTP may only be associated with proxy integrations (AWS_PROXY, "
            "HTTP_PROXY)",
        ),
        ({**http, "TimeoutInMillis": 30001}, "Timeout should be between 50 ms and 30000 ms"),
        ({**http, "PayloadFormatVersion": "2.0"}, "PayloadFormatVersion 2.0 is not supported for integration of type HTTP_PROXY"),
        ({**http, "PayloadFormatVersion": "3.0"}, "Unsupported PayloadFormatVersion: 3.0"),
        ({**http, "IntegrationUri": "a.test"}, "Invalid HTTP endpoint specified for URI"),
        ({**http, "IntegrationUri": "https://"}, "Invalid HTTP endpoint specified for URI"),
        ({**http, "IntegrationUri": "http://a b"}, "Invalid HTTP endpoint specified for URI"),
        ({**http, "RequestParameters": {"append:header.x": "$request.nothing.y"}}, "[Invalid source: $request.nothing.y specified for destination: append:header.x]"),
        (
            {**http, "IntegrationType": "AWS_PROXY", "IntegrationMethod": "GET", "IntegrationUri": FUNCTION, "PayloadFormatVersion": "2.0"},
            "HttpMethod must be POST for AWS_PROXY IntegrationType",
        ),
        ({**http, "IntegrationMethod": "FETCH"}, "Invalid HTTP method specified"),
        ({**function, "CredentialsArn": "x"}, "Invalid ARN specified in the request"),
        (
            {**function, "IntegrationUri": "arn:aws:sqs:us-east-1:0:lambda"},
            "Invalid Lambda function ARN specified for the integration: arn:aws:sqs:us-east-1:0:lambda",
        ),
        (
            {name: value for name, value in http.items() if name != "IntegrationMethod"},
            "HttpMethod parameter method must be specified for integrationType HTTPPROXY",
        ),
        ({**http, "ConnectionType": "VPC_LINK"}, "ConnectionId must be set to vpcLinkId for ConnectionType VPC_LINK"),
        (
            {**http, "ConnectionType": "VPC_LINK", "ConnectionId": "absent", "IntegrationUri": LISTENER},
            "Invalid Vpc Link identifier specified absent",
        ),
        ({**http, "RequestTemplates": {"a/b": "x"}}, "requestTemplates"),
        (
            {**http, "RequestParameters": {"append:header.Connection": "x"}},
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Operations on header "
            "connection are restricted]",
        ),
        (
            {**http, "ResponseParameters": {"200": {"append:querystring.x": "x"}}},
            "Invalid Response Actioned Parameter destination specified: append:querystring.x",
        ),
        ({**http, "ResponseParameters": {"2xx": {"append:header.x": "x"}}}, "Status Code 2xx is not valid"),
        (
            {"ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationUri": FUNCTION},
            "PayloadFormatVersion is a required parameter for integration with type AWS_PROXY",
        ),
        (
            {"ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationUri": FUNCTION, "PayloadFormatVersion": "1"},
            "Unsupported PayloadFormatVersion: 1",
        ),
        (
            {**service, "RequestParameters": {"QueueUrl": "q", "MessageBody": "b", "MessageAttributes": '{"a": {}}'}},
            'Invalid selection expression specified: Validation Result: warnings : [], errors : [Invalid source: {"a": {}} '
            "specified for destination: MessageAttributes]",
        ),
        ({**service, "IntegrationSubtype": "DynamoDB-PutItem"}, "Operation: DynamoDB-PutItem is not supported."),
        ({**service, "PayloadFormatVersion": "2.0"}, "Operation: SQS-SendMessage is not supported."),
        (
            {name: value for name, value in service.items() if name != "CredentialsArn"},
            "Role ARN must be specified for AWS integration configuration with Subtype: SQS-SendMessage",
        ),
        (
            service,
            "Operation: SQS-SendMessage requires enabling passthrough, or defining all of the following parameters in the "
            "parameter mapping: [QueueUrl, MessageBody]",
        ),
    ]:  # fmt: skip
        refused(create, "BadRequestException", message, **wrong)


@pytest.mark.parametrize(
    "name",
    ["access-control-allow-origin", "apigw-requestid", "Authorization", "Connection", "Content-Encoding", "Content-Length",
     "Content-Location", "Forwarded", "Keep-Alive", "Origin", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailers",
     "Transfer-Encoding", "Upgrade", "x-amz-date", "x-amzn-trace-id", "X-Forwarded-For", "Via"],
)  # fmt: skip
def test_reserved_headers(client, api, name):
    """The developer guide's list."""
    message = (
        "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Operations on header "
        f"{name.lower()} are restricted]"
    )
    where = {"ApiId": api, "IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET", "IntegrationUri": "http://a.test"}
    for action in "append", "overwrite", "remove":
        mapping = {f"{action}:header.{name}": "'x'"}
        refused(client.create_integration, "BadRequestException", message, **where, RequestParameters=mapping)
        refused(client.create_integration, "BadRequestException", message, **where, ResponseParameters={"200": mapping})


def test_authorizers(client, api):
    jwt = {"ApiId": api, "AuthorizerType": "JWT", "Name": "j", "IdentitySource": ["$request.header.Authorization"],
           "JwtConfiguration": {"Issuer": "https://issuer.test", "Audience": ["a"]}}  # fmt: skip
    made = client.create_authorizer(**jwt)
    where = {"ApiId": api, "AuthorizerId": made["AuthorizerId"]}
    assert without_metadata(client.get_authorizer(**where)) == without_metadata(made)
    assert client.update_authorizer(**where, Name="k")["Name"] == "k"
    assert [item["Name"] for item in client.get_authorizers(ApiId=api)["Items"]] == ["k"]
    route = client.create_route(
        ApiId=api, RouteKey="GET /", AuthorizationType="JWT", AuthorizerId=made["AuthorizerId"], AuthorizationScopes=["s"]
    )
    refused(client.delete_authorizer, "ConflictException", "referenced by existing Routes", **where)
    freed = client.update_route(ApiId=api, RouteId=route["RouteId"], AuthorizationType="NONE")
    assert "AuthorizerId" not in freed and "AuthorizationScopes" not in freed
    client.delete_authorizer(**where)
    gone(client.get_authorizer, "Invalid Authorizer identifier", **where)
    gone(client.update_authorizer, "Invalid Authorizer identifier", **where, Name="x")
    gone(client.delete_authorizer, "Invalid Authorizer identifier", **where)
    request = {"ApiId": api, "AuthorizerType": "REQUEST", "Name": "r", "AuthorizerUri": FUNCTION, "IdentitySource": []}
    for wrong, message in [
        (
            {**jwt, "JwtConfiguration": {"Issuer": "issuer", "Audience": ["a"]}},
            "Invalid issuer: Issuer is not a valid URL for JWT Authorizer",
        ),
        (
            {name: value for name, value in jwt.items() if name != "JwtConfiguration"},
            "JwtConfiguration must not be null for JWT Authorizer",
        ),
        ({**jwt, "JwtConfiguration": {"Issuer": "https://issuer.test"}}, "Audience"),
        *(({**jwt, "IdentitySource": [source]}, f"Invalid identity source expression: {source}")
          for source in ("Authorization", "$request.header.", "$request.header.a b", "$request.body.a", "$context.identity.sourceIp")),
        *(({**jwt, name: value}, f"{name} is only supported for REQUEST authorizers")
          for name, value in (("AuthorizerUri", FUNCTION), ("AuthorizerPayloadFormatVersion", "2.0"),
                              ("AuthorizerResultTtlInSeconds", 60), ("EnableSimpleResponses", True),
                              ("AuthorizerCredentialsArn", "arn:aws:iam::0:role/x"))),
        (
            {name: value for name, value in request.items() if name != "AuthorizerUri"},
            "AuthorizerUri is a required field in an Authorizer",
        ),
        ({**request, "AuthorizerPayloadFormatVersion": "3.0"}, "AuthorizerPayloadFormatVersion 3.0 is not supported"),
        (request, "AuthorizerPayloadFormatVersion is a required parameter for REQUEST authorizer"),
        (
            {**request, "AuthorizerPayloadFormatVersion": "1.0", "EnableSimpleResponses": True},
            'EnableSimpleResponses can only be set for AuthorizerPayloadFormatVersion "2.0".',
        ),
        ({**request, "AuthorizerPayloadFormatVersion": "2.0", "AuthorizerResultTtlInSeconds": 5},
         "Identity source must be set if authorizer caching is enabled (TTL is greater than 0)"),
        ({**request, "AuthorizerPayloadFormatVersion": "2.0", "AuthorizerResultTtlInSeconds": 3601},
         "Authorizer result TTL outside allowable range. TTL must be between 0 and 3600 seconds."),
    ]:  # fmt: skip
        refused(client.create_authorizer, "BadRequestException", message, **wrong)


def test_stages(client, api):
    made = client.create_stage(ApiId=api, StageName="dev", StageVariables={"a": "1", "b": "2"}, Tags={"x": "y"})
    assert ("AutoDeploy" in made, made["DefaultRouteSettings"]) == (False, {"DetailedMetricsEnabled": False})
    assert (made["RouteSettings"], "DeploymentId" in made) == ({}, False)
    where = {"ApiId": api, "StageName": "dev"}
    assert without_metadata(client.get_stage(**where)) == without_metadata(made)
    changed = client.update_stage(**where, Description="d", StageVariables={"a": "", "c": "3"})
    assert changed["StageVariables"] == {"b": "2", "c": "3"}
    assert [item["StageName"] for item in client.get_stages(ApiId=api)["Items"]] == ["dev"]
    client.create_route(ApiId=api, RouteKey="GET /")
    client.update_stage(**where, RouteSettings={"GET /": {"DetailedMetricsEnabled": False}})
    client.delete_route_settings(**where, RouteKey="GET /")
    gone(client.delete_route_settings, "Unable to find Route by key GET /", **where, RouteKey="GET /")
    log = {"DestinationArn": f"arn:aws:logs:{REGION}:000000000000:log-group:g", "Format": "$context.requestId"}
    assert client.update_stage(**where, AccessLogSettings=log)["AccessLogSettings"] == log
    message = "Access Log format must include either $context.requestId or $context.extendedRequestId"
    refused(client.update_stage, "BadRequestException", message, **where, AccessLogSettings=log | {"Format": "$context.routeKey"})
    message = "The following context variables are not supported: [$context.identity.apiKey, $context.request.header.x-a]"
    wrong = log | {"Format": "$context.requestId $context.identity.apiKey $context.authorizer.x $context.request.header.x-a"}
    refused(client.update_stage, "BadRequestException", message, **where, AccessLogSettings=wrong)
    refused(client.create_stage, "BadRequestException", message, ApiId=api, StageName="x", AccessLogSettings=wrong)
    refused(client.update_stage, "BadRequestException", "", **where, AccessLogSettings=log | {"DestinationArn": "x"})
    for resource in "log-group:g:*", "deliverystream/amazon-apigateway-x":
        wrong = log | {"DestinationArn": f"arn:aws:{'logs' if ':' in resource else 'firehose'}:{REGION}:000000000000:{resource}"}
        message = f"Access log destination must only contain characters a-z, A-Z, 0-9, '_', '-', '/', '.': '{resource}'"
        refused(client.update_stage, "BadRequestException", message, **where, AccessLogSettings=wrong)
    assert client.get_stage(**where)["AccessLogSettings"] == log
    client.delete_access_log_settings(**where)
    assert "AccessLogSettings" not in client.get_stage(**where)
    client.update_stage(**where, AccessLogSettings=log)
    assert "AccessLogSettings" not in client.update_stage(**where, AccessLogSettings={})
    client.reset_authorizers_cache(**where)
    refused(client.create_stage, "ConflictException", "Stage already exists", **where)
    refused(client.create_stage, "BadRequestException", "Stage name only allows a-zA-Z0-9_", ApiId=api, StageName="a.b")
    assert client.create_stage(ApiId=api, StageName="a-b")["StageName"] == "a-b"
    gone(client.create_stage, "Deployment identifier", ApiId=api, StageName="x", DeploymentId="absent")
    key = "GET /absent"
    message = "Unable to find Route by key GET /absent within the provided RouteSettings"
    gone(client.update_stage, message, **where, RouteSettings={key: {"ThrottlingRateLimit": 1.0}})
    message = "Execution logs are not supported on protocolType HTTP"
    settings = {"LoggingLevel": "INFO"}
    refused(client.update_stage, "BadRequestException", message, **where, DefaultRouteSettings=settings)
    client.delete_stage(**where)
    absent = "Invalid stage identifier specified"
    for call in client.get_stage, client.delete_stage, client.reset_authorizers_cache, client.update_stage,\
            client.delete_access_log_settings:  # fmt: skip
        gone(call, absent, **where)
    gone(client.delete_route_settings, absent, **where, RouteKey="GET /")


def test_settings_of_routes_that_are_gone(client, api):
    """They can be deleted one by one, and do not stand in the way of other deletions."""
    log = {"DestinationArn": f"arn:aws:logs:{REGION}:000000000000:log-group:g", "Format": "$context.requestId"}
    routes = {key: client.create_route(ApiId=api, RouteKey=key)["RouteId"] for key in ("GET /a", "GET /b")}
    where = {"ApiId": api, "StageName": "dev"}
    settings = {key: {"DetailedMetricsEnabled": False} for key in routes}
    client.create_stage(**where, RouteSettings=settings, AccessLogSettings=log)
    for route in routes.values():
        client.delete_route(ApiId=api, RouteId=route)
    gone(client.update_stage, "Unable to find Route by key GET /a", **where, Description="d")
    client.delete_access_log_settings(**where)
    for key in routes:
        client.delete_route_settings(**where, RouteKey=key)
    stage = client.update_stage(**where, Description="d")
    assert stage["RouteSettings"] == {} and "AccessLogSettings" not in stage


def test_usage_plans_are_not_for_http_apis(client, api, gateway):
    client.create_stage(ApiId=api, StageName="dev")
    stages = [{"apiId": api, "stage": "dev"}]
    message = "Usage plans are not allowed for HTTP Apis"
    refused(gateway.client("apigateway").create_usage_plan, "BadRequestException", message, name="p", apiStages=stages)


def test_tags(client, api):
    client.create_stage(ApiId=api, StageName="dev")
    link = client.create_vpc_link(Name="l", SubnetIds=["s"])["VpcLinkId"]
    for path in f"apis/{api}", f"apis/{api}/stages/dev", f"vpclinks/{link}":
        arn = f"arn:aws:apigateway:{REGION}::/{path}"
        client.tag_resource(ResourceArn=arn, Tags={"a": "1", "b": "2"})
        client.untag_resource(ResourceArn=arn, TagKeys=["a"])
        assert client.get_tags(ResourceArn=arn)["Tags"] == {"b": "2"}
    arn = f"arn:aws:apigateway:{REGION}::/apis/absent1234"
    gone(client.get_tags, "Invalid API identifier", ResourceArn=arn)
    gone(client.untag_resource, "Invalid API identifier", ResourceArn=arn, TagKeys=["a"])
    refused(client.tag_resource, "BadRequestException", "ARN", ResourceArn="x", Tags={"a": "b"})


def test_vpc_links(client):
    made = client.create_vpc_link(Name="l", SubnetIds=["subnet-1"], SecurityGroupIds=["sg-1"])
    where = {"VpcLinkId": made["VpcLinkId"]}
    assert (made["VpcLinkStatus"], made["VpcLinkVersion"]) == ("PENDING", "V2")
    assert client.get_vpc_link(**where)["VpcLinkStatus"] == "AVAILABLE"
    assert client.update_vpc_link(**where, Name="m")["Name"] == "m"
    assert [item["Name"] for item in client.get_vpc_links()["Items"]] == ["m"]
    refused(client.create_vpc_link, "BadRequestException", "SubnetIds for a vpc link cannot be empty", Name="x", SubnetIds=[])
    client.delete_vpc_link(**where)
    gone(client.get_vpc_link, "Invalid VpcLink identifier", **where)
    gone(client.delete_vpc_link, "Invalid VpcLink identifier", **where)
    gone(client.update_vpc_link, "Invalid VpcLink identifier", **where, Name="x")


def test_deployments_that_cannot_be(client, api):
    message = "Unable to deploy API because no routes exist in this API"
    refused(client.create_deployment, "BadRequestException", message, ApiId=api)
    where = {"ApiId": api, "DeploymentId": "absent"}
    for call in client.get_deployment, client.update_deployment, client.delete_deployment:
        gone(call, "Invalid Deployment identifier", **where)
    gone(client.get_deployments, "Invalid API identifier", ApiId="absent1234")


def test_the_command_line(gateway):
    """The AWS CLI speaks the same protocol with its own spelling."""
    command = [str(ROOT / ".venv/bin/aws"), "--endpoint-url", gateway.control, "apigatewayv2"]

    def aws(*arguments, ok=True):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0) == ok, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else done.stderr

    api = aws("create-api", "--name", "cli", "--protocol-type", "HTTP")["ApiId"]
    integration = aws(
        "create-integration", "--api-id", api, "--integration-type", "HTTP_PROXY", "--integration-method", "ANY",
        "--integration-uri", "http://127.0.0.1:1", "--payload-format-version", "1.0",
        "--request-parameters", '{"append:header.header1": "$context.requestId"}',
    )["IntegrationId"]  # fmt: skip
    aws("create-route", "--api-id", api, "--route-key", "GET /a", "--target", f"integrations/{integration}")
    assert [route["RouteKey"] for route in aws("get-routes", "--api-id", api)["Items"]] == ["GET /a"]
    assert "ConflictException" in aws("create-route", "--api-id", api, "--route-key", "GET /a", ok=False)
