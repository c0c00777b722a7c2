"""What Terraform's AWS provider does with each `aws_apigatewayv2_*` resource of HTTP APIs, call by call: create, read
after write, the update it sends for changed attributes, read, delete in reverse order, and NotFound afterwards, on which
the provider relies.

The order of calls and the members they have follow the provider's behaviour; the provider itself is not needed.
"""

import json

import pytest
from harness import ACCOUNT, REGION
from test_operations import without_metadata
from test_protocol import error_of
from test_terraform import gone, part_of

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
KEY_SELECTION = {"ApiKeySelectionExpression": "$request.header.x-api-key"}
ROUTE_SELECTION = {"RouteSelectionExpression": "$request.method $request.path"}


@pytest.fixture
def client(gateway):
    return gateway.client("apigatewayv2")


@pytest.fixture
def api(client):
    return client.create_api(Name="tf", ProtocolType="HTTP", **KEY_SELECTION, **ROUTE_SELECTION)["ApiId"]


@pytest.fixture
def integration(client, api):
    return client.create_integration(
        ApiId=api, IntegrationType="HTTP_PROXY", IntegrationMethod="ANY", IntegrationUri="http://127.0.0.1:1",
        ConnectionType="INTERNET", PassthroughBehavior="WHEN_NO_MATCH", PayloadFormatVersion="1.0",
    )["IntegrationId"]  # fmt: skip


def test_api(client):
    cors = {"AllowCredentials": False, "AllowHeaders": ["Authorization"], "AllowMethods": ["GET", "put"], "AllowOrigins": ["https://www.example.com"],
            "ExposeHeaders": ["x-api-id"], "MaxAge": 300}  # fmt: skip
    made = client.create_api(
        Name="tf", ProtocolType="HTTP", Tags={"a": "1"}, Description="d", Version="v1", DisableExecuteApiEndpoint=True,
        CorsConfiguration=cors, **KEY_SELECTION, **ROUTE_SELECTION,
    )  # fmt: skip
    where = {"ApiId": made["ApiId"]}
    found = client.get_api(**where)
    part_of({"Name": "tf", "Description": "d", "Version": "v1", "DisableExecuteApiEndpoint": True, "CorsConfiguration": cors,
             "Tags": {"a": "1"}, "ProtocolType": "HTTP", "IpAddressType": "ipv4", **KEY_SELECTION, **ROUTE_SELECTION}, found)  # fmt: skip
    # The provider sends empty lists for what is not set any more, and empty text for what is removed.
    fewer = {"AllowCredentials": True, "AllowHeaders": [], "AllowMethods": ["*"], "AllowOrigins": ["HTTP://WWW.EXAMPLE.ORG"],
             "ExposeHeaders": [], "MaxAge": 0}  # fmt: skip
    client.update_api(**where, CorsConfiguration=fewer, Description="", Version="", Name="tf2", DisableExecuteApiEndpoint=False)
    found = client.get_api(**where)
    shown = found["CorsConfiguration"]
    part_of({"AllowCredentials": True, "AllowMethods": ["*"], "AllowOrigins": ["HTTP://WWW.EXAMPLE.ORG"]}, shown)
    assert not shown.get("AllowHeaders") and not shown.get("ExposeHeaders") and not shown.get("MaxAge")
    assert not found.get("Description") and not found.get("Version")
    part_of({"Name": "tf2", "DisableExecuteApiEndpoint": False}, found)
    client.delete_cors_configuration(**where)
    assert "CorsConfiguration" not in client.get_api(**where)
    arn = f"arn:aws:apigateway:{REGION}::/apis/{made['ApiId']}"
    client.untag_resource(ResourceArn=arn, TagKeys=["a"])
    client.tag_resource(ResourceArn=arn, Tags={"b": "2"})
    assert client.get_api(**where)["Tags"] == {"b": "2"}
    client.delete_api(**where)
    gone(client.get_api, **where)
    gone(client.delete_api, **where)


def test_api_with_a_body(client):
    """The provider makes the API, imports the body over it, and sets again what the configuration says itself."""
    operation = {"x-amazon-apigateway-integration": {"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "http://127.0.0.1:1", "payloadFormatVersion": "1.0"}}
    body = {"openapi": "3.0.1", "info": {"title": "of the body", "version": "1.0", "description": "of the body"},
            "paths": {"/test": {"get": operation}}, "x-amazon-apigateway-cors": {"allowOrigins": ["https://a.test"]},
            "tags": [{"name": "ofbody", "x-amazon-apigateway-tag-value": "1"}]}  # fmt: skip
    made = client.create_api(Name="tf", ProtocolType="HTTP", Tags={"a": "1"}, **KEY_SELECTION, **ROUTE_SELECTION)
    where = {"ApiId": made["ApiId"]}
    assert client.reimport_api(**where, Body=json.dumps(body), FailOnWarnings=True)["ApiId"] == made["ApiId"]
    client.delete_cors_configuration(**where)
    client.update_api(**where, Name="tf", Description="", Version="")
    found = client.get_api(**where)
    assert found["Name"] == "tf" and not found.get("Description") and "CorsConfiguration" not in found
    assert [route["RouteKey"] for route in client.get_routes(**where)["Items"]] == ["GET /test"]
    body["paths"] = {"/update": {"get": operation}}
    client.reimport_api(**where, Body=json.dumps(body))
    assert [route["RouteKey"] for route in client.get_routes(**where)["Items"]] == ["GET /update"]
    exported = client.export_api(**where, Specification="OAS30", OutputType="JSON")["body"].read()
    assert list(json.loads(exported)["paths"]) == ["/update"]


def test_quick_create(client):
    made = client.create_api(Name="tf", ProtocolType="HTTP", Target="http://www.example.com/", RouteKey="GET /pets", **KEY_SELECTION)
    found = client.get_api(ApiId=made["ApiId"])
    assert not {"Target", "RouteKey", "CredentialsArn"} & set(found)
    part_of({"Name": "tf", **ROUTE_SELECTION}, found)


def test_http_integration(client, api, integration):
    where = {"ApiId": api, "IntegrationId": integration}
    found = client.get_integration(**where)
    part_of({"ConnectionType": "INTERNET", "IntegrationMethod": "ANY", "PayloadFormatVersion": "1.0", "TimeoutInMillis": 30000}, found)
    assert not {"PassthroughBehavior", "RequestParameters", "ResponseParameters", "TlsConfig", "Description"} & set(found)
    sent = {
        "IntegrationType": "HTTP_PROXY", "Description": "d", "IntegrationMethod": "GET", "IntegrationUri": "http://127.0.0.1:2", "TimeoutInMillis": 5000,
        "RequestParameters": {"append:header.a": "1", "overwrite:path": "$request.path"},
        "ResponseParameters": {"403": {"append:header.auth": "$context.authorizer.authorizerResponse"}, "500": {"overwrite:statuscode": "503"}},
    }  # fmt: skip
    client.update_integration(**where, **sent)
    part_of(sent, client.get_integration(**where))
    # What is gone comes with an empty value, and what stays comes again.
    client.update_integration(
        **where, IntegrationType="HTTP_PROXY", RequestParameters={"append:header.a": "", "overwrite:path": "$request.path"},
        ResponseParameters={"403": {}, "500": {"overwrite:statuscode": "503"}}, Description="",
    )  # fmt: skip
    found = client.get_integration(**where)
    part_of({"RequestParameters": {"overwrite:path": "$request.path"}, "ResponseParameters": {"500": {"overwrite:statuscode": "503"}}}, found)
    assert not found.get("Description")
    client.delete_integration(**where)
    gone(client.get_integration, **where)
    gone(client.delete_integration, **where)


def test_function_integration(client, api):
    made = client.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=FUNCTION, ConnectionType="INTERNET", PayloadFormatVersion="2.0",
        PassthroughBehavior="WHEN_NO_MATCH",
    )  # fmt: skip
    where = {"ApiId": api, "IntegrationId": made["IntegrationId"]}
    found = client.get_integration(**where)
    part_of({"IntegrationMethod": "POST", "PayloadFormatVersion": "2.0", "IntegrationUri": FUNCTION, "TimeoutInMillis": 30000}, found)
    client.update_integration(**where, IntegrationType="AWS_PROXY", PayloadFormatVersion="1.0", CredentialsArn="arn:aws:iam::0:role/x")
    part_of({"PayloadFormatVersion": "1.0", "CredentialsArn": "arn:aws:iam::0:role/x"}, client.get_integration(**where))


def test_service_integration(client, api):
    sent = {"IntegrationType": "AWS_PROXY", "IntegrationSubtype": "SQS-SendMessage", "CredentialsArn": "arn:aws:iam::0:role/x",
            "PayloadFormatVersion": "1.0", "ConnectionType": "INTERNET", "TimeoutInMillis": 29001,
            "RequestParameters": {"QueueUrl": "$request.header.queueUrl", "MessageBody": "$request.body.message"}}  # fmt: skip
    where = {"ApiId": api, "IntegrationId": client.create_integration(ApiId=api, **sent)["IntegrationId"]}
    found = client.get_integration(**where)
    part_of(sent, found)
    assert "IntegrationMethod" not in found and "IntegrationUri" not in found
    changed = {"MessageBody": "$request.body.message", "DelaySeconds": "4", "QueueUrl": "$request.header.queueUrl"}
    again = {"IntegrationType": "AWS_PROXY", "IntegrationSubtype": "SQS-SendMessage", "RequestParameters": changed}
    part_of(again, client.update_integration(**where, **again))


def test_private_integration(client, api):
    link = client.create_vpc_link(Name="tf", SecurityGroupIds=[], SubnetIds=["subnet-1"], Tags={"a": "1"})["VpcLinkId"]
    assert client.get_vpc_link(VpcLinkId=link)["VpcLinkStatus"] == "AVAILABLE"
    listener = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:listener/app/a/b/c"
    sent = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET", "ConnectionType": "VPC_LINK", "ConnectionId": link,
            "IntegrationUri": listener, "PayloadFormatVersion": "1.0", "TlsConfig": {"ServerNameToVerify": "www.example.com"}}  # fmt: skip
    where = {"ApiId": api, "IntegrationId": client.create_integration(ApiId=api, **sent)["IntegrationId"]}
    part_of(sent, client.get_integration(**where))
    client.update_integration(**where, IntegrationType="HTTP_PROXY", TlsConfig={"ServerNameToVerify": "www.example.org"})
    assert client.get_integration(**where)["TlsConfig"] == {"ServerNameToVerify": "www.example.org"}
    client.update_integration(**where, IntegrationType="HTTP_PROXY", TlsConfig={})
    assert "TlsConfig" not in client.get_integration(**where)
    for uri in f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/a/b", "http://a.test":
        message = error_of(client.update_integration, **where, IntegrationUri=uri)["Error"]["Message"]
        assert message == (
            "For VpcLink VPC_LINK, integration uri should be a valid ELB listener ARN or a valid Cloud Map service ARN."
        )
    client.delete_integration(**where)
    part_of({"Name": "renamed"}, client.update_vpc_link(VpcLinkId=link, Name="renamed"))
    client.delete_vpc_link(VpcLinkId=link)
    gone(client.get_vpc_link, VpcLinkId=link)


def test_route_and_authorizers(client, api, integration):
    jwt = {"AuthorizerType": "JWT", "Name": "jwt", "IdentitySource": ["$request.header.Authorization"],
           "JwtConfiguration": {"Audience": ["test"], "Issuer": "https://issuer.test/p"}}  # fmt: skip
    one = {"ApiId": api, "AuthorizerId": client.create_authorizer(ApiId=api, **jwt)["AuthorizerId"]}
    part_of(jwt, client.get_authorizer(**one))
    # The provider sets 300 seconds itself where there is an identity source.
    request = {"AuthorizerType": "REQUEST", "Name": "request", "AuthorizerUri": FUNCTION, "AuthorizerPayloadFormatVersion": "2.0",
               "AuthorizerResultTtlInSeconds": 300, "EnableSimpleResponses": True, "IdentitySource": ["$request.header.Auth"],
               "AuthorizerCredentialsArn": "arn:aws:iam::0:role/x"}  # fmt: skip
    other = {"ApiId": api, "AuthorizerId": client.create_authorizer(ApiId=api, **request)["AuthorizerId"]}
    part_of(request, client.get_authorizer(**other))
    changed = {"AuthorizerResultTtlInSeconds": 0, "EnableSimpleResponses": False, "IdentitySource": ["$request.querystring.User", "$context.routeKey"]}
    part_of(changed, client.update_authorizer(**other, **changed))
    changed = {"JwtConfiguration": {"Audience": ["test", "testing"], "Issuer": "https://issuer.test/p"}}
    part_of(changed, client.update_authorizer(**one, **changed))

    sent = {"RouteKey": "GET /a", "ApiKeyRequired": False, "AuthorizationType": "JWT", "AuthorizerId": one["AuthorizerId"],
            "AuthorizationScopes": ["user.id", "user.email"], "Target": f"integrations/{integration}", "OperationName": "GetA"}  # fmt: skip
    route = {"ApiId": api, "RouteId": client.create_route(ApiId=api, **sent)["RouteId"]}
    found = client.get_route(**route)
    part_of(sent, found)
    assert not {"ModelSelectionExpression", "RequestModels", "RequestParameters", "RouteResponseSelectionExpression"} & set(found)
    assert error_of(client.delete_authorizer, **one)["Error"]["Code"] == "ConflictException"
    client.update_route(**route, AuthorizationScopes=["user.email"])
    assert client.get_route(**route)["AuthorizationScopes"] == ["user.email"]
    part_of({"AuthorizerId": other["AuthorizerId"]}, client.update_route(
        **route, AuthorizationType="CUSTOM", AuthorizerId=other["AuthorizerId"], AuthorizationScopes=[]))  # fmt: skip
    client.update_route(**route, AuthorizationType="NONE", AuthorizerId="", RouteKey="ANY /b", OperationName="")
    found = client.get_route(**route)
    part_of({"AuthorizationType": "NONE", "RouteKey": "ANY /b"}, found)
    assert not found.get("AuthorizerId") and not found.get("AuthorizationScopes") and not found.get("OperationName")
    client.delete_route(**route)
    gone(client.get_route, **route)
    gone(client.delete_route, **route)
    for where in one, other:
        client.delete_authorizer(**where)
        gone(client.get_authorizer, **where)
        gone(client.delete_authorizer, **where)


def test_stage_and_deployment(client, api, integration):
    client.create_route(ApiId=api, RouteKey="GET /first", Target=f"integrations/{integration}")
    client.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{integration}")
    deployment = client.create_deployment(ApiId=api, Description="d")["DeploymentId"]
    at = {"ApiId": api, "DeploymentId": deployment}
    part_of({"DeploymentStatus": "DEPLOYED", "AutoDeployed": False, "Description": "d"}, client.get_deployment(**at))
    where = {"ApiId": api, "StageName": "tf"}
    client.create_stage(**where, AutoDeploy=False, Tags={"a": "1"})
    found = client.get_stage(**where)
    # No logging level: HTTP APIs have none, and the provider would see a change in one.
    assert found["DefaultRouteSettings"] == {"DetailedMetricsEnabled": False}
    part_of({"AutoDeploy": False, "RouteSettings": {}, "StageVariables": {}, "Tags": {"a": "1"}}, found)
    log = {"DestinationArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g", "Format": "$context.requestId"}
    settings = {"DetailedMetricsEnabled": True, "ThrottlingBurstLimit": 2222, "ThrottlingRateLimit": 8888.0}
    client.update_stage(
        **where, AccessLogSettings=log, DeploymentId=deployment, Description="d", DefaultRouteSettings=settings,
        StageVariables={"one": "1", "two": "2"}, RouteSettings={"$default": settings, "GET /first": settings},
    )  # fmt: skip
    part_of({"AccessLogSettings": log, "DeploymentId": deployment, "Description": "d", "DefaultRouteSettings": settings,
             "StageVariables": {"one": "1", "two": "2"}, "RouteSettings": {"$default": settings, "GET /first": settings}},
            client.get_stage(**where))  # fmt: skip
    # Settings that are gone are deleted one by one; one that is gone already is nothing to the provider.
    client.delete_route_settings(**where, RouteKey="GET /first")
    gone(client.delete_route_settings, **where, RouteKey="GET /first")
    # Without throttling in the configuration the provider sends zeros, with which AWS serves nothing.
    zeros = {"DetailedMetricsEnabled": False, "ThrottlingBurstLimit": 0, "ThrottlingRateLimit": 0.0}
    client.update_stage(
        **where, AccessLogSettings={}, Description="", DefaultRouteSettings=zeros, StageVariables={"one": "", "three": "3"},
        RouteSettings={"$default": zeros},
    )  # fmt: skip
    found = client.get_stage(**where)
    part_of({"StageVariables": {"two": "2", "three": "3"}, "DefaultRouteSettings": zeros, "RouteSettings": {"$default": zeros}}, found)
    assert "AccessLogSettings" not in found and not found.get("Description")
    assert error_of(client.delete_deployment, **at)["Error"]["Code"] == "BadRequestException"
    client.update_stage(**where, AutoDeploy=True)
    client.delete_stage(**where)
    gone(client.get_stage, **where)
    gone(client.delete_stage, **where)
    client.delete_deployment(**at)
    gone(client.get_deployment, **at)


def test_domain_name_and_mapping(client, api):
    certificate = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/c"
    regional = {"CertificateArn": certificate, "EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2"}
    edge = regional | {"EndpointType": "EDGE"}
    error = error_of(client.create_domain_name, DomainName="tf.example.com", DomainNameConfigurations=[edge])["Error"]
    assert error["Message"] == "EDGE endpoint type is not supported for APIGatewayV2 domainName"
    client.create_domain_name(DomainName="tf.example.com", DomainNameConfigurations=[regional], Tags={"a": "1"})
    where = {"DomainName": "tf.example.com"}
    found = client.get_domain_name(**where)
    (configuration,) = found["DomainNameConfigurations"]
    part_of(regional | {"DomainNameStatus": "AVAILABLE", "IpAddressType": "ipv4"}, configuration)
    assert configuration["ApiGatewayDomainName"] and configuration["HostedZoneId"]
    part_of({"ApiMappingSelectionExpression": "$request.basepath", "Tags": {"a": "1"}}, found)
    client.create_stage(ApiId=api, StageName="one")
    client.create_stage(ApiId=api, StageName="two")
    sent = {"ApiId": api, "Stage": "one", "ApiMappingKey": "v1/orders"}
    mapping = {**where, "ApiMappingId": client.create_api_mapping(**where, **sent)["ApiMappingId"]}
    part_of(sent, client.get_api_mapping(**mapping))
    again = error_of(client.create_api_mapping, **where, **sent)["Error"]
    assert (again["Code"], again["Message"]) == ("ConflictException", "ApiMapping key already exists for this domain name")
    client.update_api_mapping(**mapping, ApiId=api, Stage="two", ApiMappingKey="")
    found = client.get_api_mapping(**mapping)
    assert found["Stage"] == "two" and not found.get("ApiMappingKey")
    client.delete_api_mapping(**mapping)
    gone(client.get_api_mapping, **mapping)
    gone(client.delete_api_mapping, **mapping)
    client.delete_domain_name(**where)
    gone(client.get_domain_name, **where)
    gone(client.delete_domain_name, **where)


def test_a_plan_after_an_apply_is_empty(client, api, integration):
    """What was read once reads the same again, member by member, so that no plan shows a change."""
    client.create_route(ApiId=api, RouteKey="GET /", Target=f"integrations/{integration}")
    client.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    reads = [
        lambda: client.get_api(ApiId=api), lambda: client.get_integrations(ApiId=api), lambda: client.get_routes(ApiId=api),
        lambda: client.get_stage(ApiId=api, StageName="$default"), lambda: client.get_deployments(ApiId=api),
    ]  # fmt: skip
    first = [without_metadata(read()) for read in reads]
    assert [without_metadata(read()) for read in reads] == first
