"""Settings that AWS refuses, in its words: those that recorded answers, its documentation and its users have shown."""

import pytest
from harness import REGION, lambda_uri
from test_protocol import error_of

URI = lambda_uri(f"arn:aws:lambda:{REGION}:000000000000:function:f")
CERTIFICATE = f"arn:aws:acm:{REGION}:000000000000:certificate/a"
BALANCER = f"arn:aws:elasticloadbalancing:{REGION}:000000000000:loadbalancer/net/a/b"
MAPPING = "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression "
AUTHORIZER = {"name": "a", "type": "TOKEN", "authorizerUri": URI, "identitySource": "method.request.header.A"}
POOL = {"name": "a", "type": "COGNITO_USER_POOLS", "identitySource": "method.request.header.A",
        "providerARNs": [f"arn:aws:cognito-idp:{REGION}:000000000000:userpool/{REGION}_Local"]}  # fmt: skip
HTTP = {"type": "HTTP", "integrationHttpMethod": "GET", "uri": "https://example.com"}

# Operation: what is wrong with it, and what AWS says. {api} and {resource} stand for the test's own.
REFUSED = [
    ("create_authorizer", AUTHORIZER | {"authorizerResultTtlInSeconds": 3601},
     "Authorizer result TTL outside allowable range. TTL must be between 0 and 3600 seconds."),
    ("create_authorizer", {"name": "a", "type": "TOKEN", "authorizerUri": URI}, "IdentitySource cannot be empty"),
    ("create_authorizer", {"name": "a", "type": "REQUEST", "authorizerUri": URI},
     "Identity source must be set if authorizer caching is enabled (TTL is greater than 0)"),
    ("create_authorizer", {"name": "a", "type": "REQUEST", "authorizerUri": URI, "identitySource": " , "},
     "Identity source must be set if authorizer caching is enabled (TTL is greater than 0)"),
    ("create_authorizer", AUTHORIZER | {"identitySource": "method.request.querystring.a"},
     "Invalid token source expression: method.request.querystring.a. The source must be a method request header, matching "
     "'method.request.header.[a-zA-Z0-9._-]+'."),
    ("create_authorizer", AUTHORIZER | {"identitySource": "method.request.header."},
     "Invalid token source expression: method.request.header.. The source must be a method request header, matching "
     "'method.request.header.[a-zA-Z0-9._-]+'."),
    ("create_authorizer", AUTHORIZER | {"type": "REQUEST", "identitySource": "header.A"},
     "Invalid request identity source expression: header.A. The sources must be separated by comma, and each source must be "
     "either a method request parameter, matching 'method.request.querystring|header.[a-zA-Z0-9._-]+', or a stage variable, "
     "matching 'stageVariables.[a-zA-Z0-9._-]+', or a context parameter, matching 'context.[a-zA-Z0-9._-]+'"),
    ("create_authorizer", AUTHORIZER | {"authorizerUri": URI.replace(f"gateway:{REGION}", "gateway:region")},
     f"Invalid Authorizer URI: {URI.replace(f'gateway:{REGION}', 'gateway:region')}. Authorizer URI should be a valid API "
     "Gateway ARN that represents a Lambda function invocation."),
    ("create_authorizer", AUTHORIZER | {"identityValidationExpression": "("}, "Invalid regex pattern specified"),
    ("create_authorizer", AUTHORIZER | {"authorizerCredentials": "role"}, "Invalid ARN specified in the request"),
    ("create_authorizer", POOL | {"identitySource": "method.request.querystring.a"},
     "Invalid token source expression: method.request.querystring.a. The source must be a method request header, matching "
     "'method.request.header.[a-zA-Z0-9._-]+'."),
    ("create_authorizer", POOL | {"providerARNs": ["arn:aws:cognito-idp:nowhere"]}, "Invalid ARN specified in the request"),
    ("create_authorizer", {"name": "a", "type": "COGNITO_USER_POOLS", "identitySource": "method.request.header.A"},
     "ProviderARNs cannot be empty"),
    ("put_method", {"authorizationType": "NONE", "authorizationScopes": ["a"]},
     "Invalid Method authorization type specified. Authorization Scopes are only valid for COGNITO_USER_POOLS authorization "
     "type"),
    ("put_method", {"authorizationType": "NONE", "requestParameters": {"page": True}}, MAPPING + "specified: page]"),
    ("put_method", {"authorizationType": "NONE", "requestParameters": {"method.request.cookie.a": False}},
     MAPPING + "specified: method.request.cookie.a]"),
    ("put_integration", HTTP | {"connectionType": "VPC_LINK"},
     "ConnectionId should be set to the vpcLinkId or stage variable on connection type VPC_LINK"),
    ("put_integration", HTTP | {"credentials": "role"}, "Invalid ARN specified in the request"),
    ("put_integration", HTTP | {"cacheKeyParameters": ["method.request.querystring.a"]},
     "Invalid cache key parameter specified"),
    ("put_integration", HTTP | {"timeoutInMillis": 49}, "Timeout should be between 50 ms and 29000 ms"),
    ("put_integration_response", {"statusCode": "200", "selectionPattern": "("}, "Invalid regex pattern specified"),
    ("put_integration", {"type": "HTTP_PROXY", "integrationHttpMethod": "ANY", "connectionType": "VPC_LINK", "connectionId": "a"},
     "Invalid integration URI specified"),
    ("put_integration_response", {"statusCode": "404", "responseParameters": {"method.response.header.A": "'a'"}},
     "Invalid mapping expression specified: Validation Result: warnings : [], errors : [No method response exists for method.]"),
    ("create_usage_plan", {"name": "a", "apiStages": [{"stage": "dev"}]},
     "Invalid API Stage {api: %s, stage: %s} specified for usageplan %s"),
    ("update_stage", ("/*/*/accessLogSettings/format", "a"),
     "Invalid method setting path: accessLogSettings/format. Must be one of: [.../metrics/enabled, .../logging/dataTrace, "
     ".../logging/loglevel,.../throttling/burstLimit, .../throttling/rateLimit, .../caching/ttlInSeconds, .../caching/enabled, "
     ".../caching/dataEncrypted, .../caching/requireAuthorizationForCacheControl, "
     ".../caching/unauthorizedCacheControlHeaderStrategy]"),
    ("create_model", {"name": "a-b", "contentType": "application/json", "schema": "{}"}, "Model name must be alphanumeric: a-b"),
    ("create_model", {"name": "a", "contentType": "json", "schema": "{}"}, "Validation Result: warnings : [], errors : [Invalid content type specified: json]"),
    ("create_model", {"name": "a", "contentType": "application/json", "schema": '{"type": "String"}'},
     "Invalid model specified: Validation Result: warnings : [], errors : [Invalid model schema specified]"),
    ("create_stage", {"stageName": "a", "variables": {"a-b": "c"}},
     "Invalid stage variable name: a-b. Please use names with only word characters."),
    ("create_stage", {"stageName": "a", "variables": {"a": "<"}},
     "Invalid stage variable value of key a.  Please use values with alphanumeric characters and the symbols ' ', -', '.', "
     "'_', ':', '/', '?', '&', '=', and ','."),
    ("create_stage", {"stageName": "a.b"}, "Stage name only allows a-zA-Z0-9_"),
    ("update_stage", ("/*/*/caching/ttlInSeconds", "3601"),
     "Invalid time-to-live setting, must be an integer no greater than 3600"),
    ("update_stage", ("/accessLogSettings/destinationArn", f"arn:aws:firehose:{REGION}:1:deliverystream/logs"),
     "Kinesis Firehose delivery stream name must begin with the characters 'amazon-apigateway-': 'deliverystream/logs'"),
    ("update_stage", ("/accessLogSettings/destinationArn", "arn:aws:s3:::logs"),
     "Invalid ARN specified in the request. The ARN must be a valid CloudWatch Logs log group or Kinesis Data Firehose "
     "delivery stream ARN."),
    ("create_documentation_part", {"location": {"type": "API", "path": "/"}, "properties": '{"a": "b"}'},
     "[Location type: API cannot have path, method, statusCode or name defined.]"),
    ("create_vpc_link", {"name": "a", "targetArns": [BALANCER, BALANCER]}, "More than one target arn specified for vpc link."),
    ("create_domain_name", {"domainName": "b.example.com"}, "A certificate was not provided for the endpoint type EDGE."),
    ("create_domain_name", {"domainName": "b.example.com", "endpointConfiguration": {"types": ["REGIONAL"]}},
     "A certificate was not provided for the endpoint type REGIONAL."),
    ("create_domain_name", {"domainName": "b.example.com", "regionalCertificateArn": CERTIFICATE},
     "Cannot import certificates for REGIONAL while EDGE is active."),
    ("create_domain_name",
     {"domainName": "b.example.com", "certificateArn": CERTIFICATE, "endpointConfiguration": {"types": ["REGIONAL"]}},
     "Cannot import certificates for EDGE while REGIONAL is active."),
    ("create_usage_plan", {"name": "a", "quota": {"limit": 1, "offset": 7, "period": "WEEK"}},
     "Usage Plan quota offset must be between 0 and 6 inclusive in the WEEK period"),
    ("create_usage_plan", {"name": "a", "quota": {"limit": 0, "period": "DAY"}},
     "Usage Plan quota limit must be a non-negative numeric"),
    ("create_rest_api", {"name": "a", "endpointConfiguration": {"types": ["REGIONAL"], "vpcEndpointIds": ["vpce-1"]}},
     "VPCEndpoints can only be specified with PRIVATE apis."),
    ("create_rest_api", {"name": "a", "policy": "{"},
     "Invalid policy document. Please check the policy syntax and ensure that Principals are valid."),
]  # fmt: skip


@pytest.fixture
def served(gateway):
    """A client, and what operations on parts of an API need: the API's id, a resource without a method, a deployment."""
    client, api = gateway.client(), gateway.rest_api()
    api.mock("GET", "/", "x")
    api.deploy()
    at = {"restApiId": api.id}
    free = client.create_resource(**at, parentId=api.resource("/"), pathPart="free")["id"]
    deployment = client.get_deployments(**at)["items"][0]["id"]
    return client, at, {"resourceId": api.resource("/"), "httpMethod": "GET"}, free, deployment


def test_settings_that_cannot_be(served):
    client, at, method, free, deployment = served
    wrong = []
    for operation, settings, expected in REFUSED:
        whole = operation in ("create_vpc_link", "create_domain_name", "create_usage_plan", "create_rest_api")
        parameters = {} if whole else dict(at)
        if operation == "put_method":
            parameters |= {"resourceId": free, "httpMethod": "GET"}
        elif operation.startswith("put_integration"):
            parameters |= method
        elif operation == "create_stage":
            parameters["deploymentId"] = deployment
        if operation == "update_stage":
            path, value = settings
            settings = {"stageName": "test", "patchOperations": [{"op": "replace", "path": path, "value": value}]}
        error = error_of(getattr(client, operation), **parameters, **settings)["Error"]
        if (error["Code"], error["Message"]) != ("BadRequestException", expected):
            wrong.append(f"{operation} {settings}: {error['Code']}: {error['Message']!r} where {expected!r} was expected")
    assert not wrong, "\n".join(wrong)


def test_documentation_of_a_place_that_has_some(served):
    client, at, *_ = served
    for location, shown in (
        ({"type": "API"}, "type 'API'"),
        ({"type": "METHOD", "path": "/", "method": "GET"}, "type 'METHOD', path '/', method 'GET'"),
    ):
        part = {"location": location, "properties": '{"description": "d"}'}
        client.create_documentation_part(**at, **part)
        error = error_of(client.create_documentation_part, **at, **part)["Error"]
        message = f"Documentation part already exists for the specified location: {shown}."
        assert (error["Code"], error["Message"]) == ("ConflictException", message)


@pytest.mark.parametrize(
    "path, value, expected",
    [
        ("/identitySource", "method.request.querystring.a", "Invalid token source expression: method.request.querystring.a. The"),
        ("/identitySource", "", "IdentitySource cannot be empty"),
        ("/identityValidationExpression", "[", "Invalid regex pattern specified"),
        ("/authorizerUri", "arn:aws:lambda:us-east-1:000000000000:function:f", "Invalid Authorizer URI: arn:aws:lambda:us-east-1:"),
        ("/authorizerResultTtlInSeconds", "3601", "Authorizer result TTL outside allowable range."),
        ("/authorizerCredentials", "role", "Invalid ARN specified in the request"),
        ("/type", "REQUEST", None),
    ],
)
def test_updates_of_authorizers_are_held_to_the_same_rules(gateway, path, value, expected):
    client, api = gateway.client(), gateway.rest_api()
    where = {"restApiId": api.id, "authorizerId": client.create_authorizer(restApiId=api.id, **AUTHORIZER)["id"]}
    patch = [{"op": "replace", "path": path, "value": value}]
    if expected is None:
        assert client.update_authorizer(**where, patchOperations=patch)["type"] == value
        return
    before = client.get_authorizer(**where)
    error = error_of(client.update_authorizer, **where, patchOperations=patch)["Error"]
    assert error["Code"] == "BadRequestException" and error["Message"].startswith(expected), error
    after = client.get_authorizer(**where)
    assert {**before, "ResponseMetadata": 0} == {**after, "ResponseMetadata": 0}


def test_names_of_authorizers_differ(gateway):
    client, api = gateway.client(), gateway.rest_api()
    first = client.create_authorizer(restApiId=api.id, **AUTHORIZER)
    other = client.create_authorizer(restApiId=api.id, **AUTHORIZER | {"name": "b"})["id"]
    message = "Authorizer name must be unique. Authorizer a already exists in this RestApi."
    rename = [{"op": "replace", "path": "/name", "value": "a"}]
    for call, arguments in (
        (client.create_authorizer, AUTHORIZER),
        (client.update_authorizer, {"authorizerId": other, "patchOperations": rename}),
    ):
        error = error_of(call, restApiId=api.id, **arguments)["Error"]
        assert (error["Code"], error["Message"]) == ("ConflictException", message)
    # The same name again is no other one.
    client.update_authorizer(restApiId=api.id, authorizerId=first["id"], patchOperations=rename)


def test_links_in_use_stay(new_gateway, tmp_path, echo):
    """A VPC link is there until no stage leads to it."""
    port = echo.url.rsplit(":", 1)[1].strip("/")
    (tmp_path / "config.toml").write_text(f'[[vpc_links]]\nname = "l"\ntargets = ["127.0.0.1:{port}"]\n')
    gateway = new_gateway("--config", str(tmp_path / "config.toml")).start()
    client, api = gateway.client(), gateway.rest_api()
    link = client.create_vpc_link(name="l", targetArns=[BALANCER])["id"]
    api.proxy("GET", "/", "http://example.com", connectionType="VPC_LINK", connectionId=link)
    api.proxy("POST", "/", "http://example.com", connectionType="VPC_LINK", connectionId=link)
    api.deploy()
    error = error_of(client.delete_vpc_link, vpcLinkId=link)["Error"]
    places = ", ".join(f"{api.id}:{method}:{api.resource('/')}:test" for method in ("GET", "POST"))
    message = f"Cannot delete vpc link. Vpc link '{link}', is referenced in [{places}] in format of [RESTApiId:Method:Resource:Stage]."
    assert (error["Code"], error["Message"]) == ("BadRequestException", message)
    client.delete_stage(restApiId=api.id, stageName="test")
    client.delete_vpc_link(vpcLinkId=link)
    assert client.get_vpc_links()["items"] == []


def test_links_that_routes_lead_to_stay(gateway):
    """Links of the first kind are WebSocket APIs' as well, those of the second are HTTP APIs'."""
    v1, v2 = gateway.client(), gateway.client("apigatewayv2")
    older = v1.create_vpc_link(name="l", targetArns=[BALANCER])["id"]
    newer = v2.create_vpc_link(Name="l", SubnetIds=["subnet-1"])["VpcLinkId"]
    private = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET", "ConnectionType": "VPC_LINK"}
    listener = BALANCER.replace("loadbalancer", "listener")
    for protocol, key, link, uri, delete in (
        ("WEBSOCKET", "$connect", older, "http://example.com", lambda: v1.delete_vpc_link(vpcLinkId=older)),
        ("HTTP", "ANY /a", newer, listener, lambda: v2.delete_vpc_link(VpcLinkId=newer)),
    ):
        expression = {"RouteSelectionExpression": "$request.body.action"} if protocol == "WEBSOCKET" else {}
        api = v2.create_api(Name="a", ProtocolType=protocol, **expression)["ApiId"]
        integration = v2.create_integration(ApiId=api, ConnectionId=link, IntegrationUri=uri, **private)["IntegrationId"]
        route = v2.create_route(ApiId=api, RouteKey=key, Target=f"integrations/{integration}")["RouteId"]
        error = error_of(delete)["Error"]
        place = f"{key.split()[0]}:{route}"
        message = f"Cannot delete vpc link. Vpc link '{link}', is referenced in [{place}] in format of [Method:Resource]."
        assert (error["Code"], error["Message"]) == ("BadRequestException", message)
        v2.delete_route(ApiId=api, RouteId=route)
        delete()


def test_certificates_are_where_their_domains_are(new_gateway, tmp_path):
    (tmp_path / "config.toml").write_text('region = "eu-west-1"\n')
    client = new_gateway("--config", str(tmp_path / "config.toml")).start().client()
    there, edge = CERTIFICATE.replace(REGION, "eu-west-1"), CERTIFICATE.replace(REGION, "us-east-1")
    regional, private = {"types": ["REGIONAL"]}, {"types": ["PRIVATE"]}
    for arn, region, member, endpoint in (
        (there, "us-east-1", "certificateArn", {"types": ["EDGE"]}),
        (edge, "eu-west-1", "regionalCertificateArn", regional),
        (edge, "eu-west-1", "certificateArn", private),
    ):
        options = {"domainName": "b.example.com", "endpointConfiguration": endpoint}
        error = error_of(client.create_domain_name, **options, **{member: arn})["Error"]
        message = f"Invalid certificate ARN: {arn}. Certificate must be in '{region}'."
        assert (error["Code"], error["Message"]) == ("BadRequestException", message)
        client.create_domain_name(**options, **{member: edge if arn == there else there})
        if endpoint == regional:
            change = [{"op": "replace", "path": "/regionalCertificateArn", "value": edge}]
            assert error_of(client.update_domain_name, domainName="b.example.com", patchOperations=change)["Error"]["Message"] == message
        if endpoint != private:
            client.delete_domain_name(domainName="b.example.com")
