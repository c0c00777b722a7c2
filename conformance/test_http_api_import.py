"""ImportApi, ReimportApi and ExportApi: the developer guide's document, what is refused, and the way there and back."""

import json

import pytest
import requests
from harness import REGION, body_json
from test_http_api_nouns import refused
from test_http_api_traffic import HttpApi

FUNCTION = f"arn:aws:lambda:{REGION}:000000000000:function:f"


@pytest.fixture
def client(gateway):
    return gateway.client("apigatewayv2")


def document(paths, **members):
    return json.dumps({"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": paths, **members})


def backend(uri, **members):
    return {"x-amazon-apigateway-integration": {"type": "http_proxy", "httpMethod": "ANY", "uri": uri, **members}}


def keys(client, api):
    return sorted(route["RouteKey"] for route in client.get_routes(ApiId=api)["Items"])


def test_an_imported_api_serves(gateway, client, echo):
    paths = {
        "/pets": {"get": backend(echo.url + "/list", payloadFormatVersion=1.0) | {"operationId": "List"}},
        "/pets/{id}": {"x-amazon-apigateway-any-method": backend(echo.url + "/{id}")},
        "/$default": {"x-amazon-apigateway-any-method": backend(echo.url + "/rest")},
    }
    cors = {"allowOrigins": ["https://a.test"], "allowMethods": ["GET"], "maxAge": 5}
    tags = [{"name": "x", "x-amazon-apigateway-tag-value": "y"}]
    made = client.import_api(Body=document(paths, **{"x-amazon-apigateway-cors": cors, "tags": tags}))
    api = made["ApiId"]
    assert (made["Name"], made["Version"], made["ProtocolType"], made["Tags"]) == ("t", "1", "HTTP", {"x": "y"})
    assert made["CorsConfiguration"] == {"AllowOrigins": ["https://a.test"], "AllowMethods": ["GET"], "MaxAge": 5}
    assert keys(client, api) == ["$default", "ANY /pets/{id}", "GET /pets"]
    client.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    for path, asked in [("/pets", "/list"), ("/pets/7", "/7"), ("/x", "/rest")]:
        assert body_json(get(gateway, api, path))["path"] == asked
    again = client.reimport_api(ApiId=api, Body=document({"/pets": {"get": backend(echo.url + "/new")}}))
    assert again["ApiId"] == api and "CorsConfiguration" not in again
    assert keys(client, api) == ["GET /pets"]
    assert len(client.get_integrations(ApiId=api)["Items"]) == 1
    assert body_json(get(gateway, api, "/pets"))["path"] == "/new"


def get(gateway, api, path):
    return requests.get(f"{gateway.traffic}/_aws/execute-api/{api}{path}", timeout=10)


@pytest.mark.parametrize("basepath, key", [("ignore", "GET /a"), ("prepend", "GET /v1/x/a"), ("split", "GET /x/a")])
def test_base_paths(client, basepath, key):
    servers = [{"url": "https://a.test/{basePath}", "variables": {"basePath": {"default": "/v1/x"}}}]
    body = document({"/a": {"get": backend("http://127.0.0.1:1")}}, servers=servers)
    assert keys(client, client.import_api(Body=body, Basepath=basepath)["ApiId"]) == [key]


def test_authorizers_and_shared_integrations(client):
    schemes = {
        "jwt": {"type": "oauth2", "x-amazon-apigateway-authorizer": {
            "type": "jwt", "identitySource": "$request.header.Authorization",
            "jwtConfiguration": {"issuer": "https://issuer.test", "audience": ["a", "b"]}}},
        "function": {"type": "apiKey", "in": "header", "name": "token", "x-amazon-apigateway-authorizer": {
            "type": "request", "authorizerUri": FUNCTION, "authorizerPayloadFormatVersion": "2.0",
            "authorizerResultTtlInSeconds": 60, "enableSimpleResponses": True,
            "identitySource": "$request.header.token"}},
        "iam": {"type": "apiKey", "in": "header", "name": "Authorization", "x-amazon-apigateway-authtype": "awsSigv4"},
    }  # fmt: skip
    shared = {"x-amazon-apigateway-integration": {"$ref": "#/components/x-amazon-apigateway-integrations/one"}}
    components = {
        "securitySchemes": schemes,
        "x-amazon-apigateway-integrations": {
            "one": {"type": "AWS_PROXY", "uri": FUNCTION, "httpMethod": "POST", "payloadFormatVersion": "2.0"}
        },
    }
    paths = {
        "/a": {"get": {**shared, "security": [{"jwt": ["s1", "s2"]}]}, "put": {**shared, "security": [{"function": []}]}},
        "/b": {"post": {**shared, "security": [{"iam": []}]}},
    }
    first = client.import_api(Body=document(paths, components=components))["ApiId"]

    def shown(api):
        """The API without what is made up for each: ids."""
        integrations = {it.pop("IntegrationId"): it for it in client.get_integrations(ApiId=api)["Items"]}
        authorizers = {it.pop("AuthorizerId"): it for it in client.get_authorizers(ApiId=api)["Items"]}
        routes = []
        for route in client.get_routes(ApiId=api)["Items"]:
            del route["RouteId"]
            route["Target"] = integrations[route["Target"].split("/")[1]]
            route["AuthorizerId"] = authorizers.get(route.get("AuthorizerId"))
            routes.append(route)
        return len(integrations), sorted(routes, key=lambda route: route["RouteKey"])

    count, routes = shown(first)
    assert count == 1
    assert [(route["RouteKey"], route["AuthorizationType"]) for route in routes] == [
        ("GET /a", "JWT"), ("POST /b", "AWS_IAM"), ("PUT /a", "CUSTOM"),
    ]  # fmt: skip
    assert routes[0]["AuthorizationScopes"] == ["s1", "s2"]
    assert routes[0]["AuthorizerId"]["JwtConfiguration"] == {"Audience": ["a", "b"], "Issuer": "https://issuer.test"}
    assert routes[2]["AuthorizerId"]["AuthorizerResultTtlInSeconds"] == 60
    for kind in "JSON", "YAML":
        exported = client.export_api(ApiId=first, Specification="OAS30", OutputType=kind)["body"].read().decode()
        assert exported.startswith("{" if kind == "JSON" else "---")
        assert shown(client.import_api(Body=exported)["ApiId"]) == (count, routes)
    bare = client.export_api(ApiId=first, Specification="OAS30", OutputType="JSON", IncludeExtensions=False)["body"].read()
    assert b"x-amazon" not in bare and list(json.loads(bare)["paths"]) == ["/a", "/b"]


def test_there_and_back(gateway, client, echo):
    api = HttpApi(gateway, stage="dev", CorsConfiguration={"AllowOrigins": ["*"], "AllowHeaders": ["x"]}, Version="7",
                  Description="d", DisableExecuteApiEndpoint=True, Tags={"a": "b"})  # fmt: skip
    mappings = {"RequestParameters": {"append:header.x": "y"}, "ResponseParameters": {"404": {"overwrite:statuscode": "200"}}}
    api.backend("GET /a/{id}", echo.url, **mappings, TimeoutInMillis=500)
    api.backend("$default", echo.url)

    def shown(id):
        whole = client.get_api(ApiId=id)
        for name in "ApiId", "ApiEndpoint", "CreatedDate", "ResponseMetadata":
            del whole[name]
        integrations = client.get_integrations(ApiId=id)["Items"]
        for integration in integrations:
            del integration["IntegrationId"]
        return whole, keys(client, id), sorted(integrations, key=str)

    exported = client.export_api(ApiId=api.id, Specification="OAS30", OutputType="YAML", StageName="dev")["body"].read()
    assert shown(client.import_api(Body=exported.decode())["ApiId"]) == shown(api.id)
    api.backend("GET /later", echo.url)
    latest = json.loads(client.export_api(ApiId=api.id, Specification="OAS30", OutputType="JSON")["body"].read())
    assert "/later" in latest["paths"] and latest["x-amazon-apigateway-importexport-version"] == "1.0"


def test_what_is_refused(client):
    fine = {"/a": {"get": backend("http://127.0.0.1:1")}}
    for body, message in [
        ("{", "Invalid OpenAPI input"),
        (json.dumps({"swagger": "2.0", "info": {"title": "t"}, "paths": fine}), "Only OpenAPI 3.0"),
        (json.dumps({"openapi": "3.0.1", "info": {"title": "t"}}), "'paths' is missing"),
        (document({"/a": {"get": backend("nowhere")}}), "Invalid HTTP endpoint specified for URI"),
        (document({"/a": {"get": {**fine["/a"]["get"], "security": [{"x": []}]}}}), "'x' is not defined"),
        (document({"/a": {"get": {**fine["/a"]["get"], "security": [{"x": []}, {"y": []}]}}}), "not several"),
        (document(fine, **{"x-amazon-apigateway-cors": {"allowOrigins": "x"}}), "x-amazon-apigateway-cors"),
    ]:
        refused(client.import_api, "BadRequestException", message, Body=body)
    assert client.get_apis()["Items"] == []
    warned = document({"/a": {"get": backend("http://127.0.0.1:1", type="AWS")}})
    refused(client.import_api, "BadRequestException", "Warnings found during import", Body=warned, FailOnWarnings=True)
    made = client.import_api(Body=warned)
    assert "HTTP APIs have Lambda proxy and HTTP proxy integrations only" in made["Warnings"][0]
    told = client.import_api(Body=document({"/a": {"get": {**fine["/a"]["get"], "requestBody": {"content": {}}}}}))
    assert "request bodies" in told["ImportInfo"][0] and "Warnings" not in told
    refused(client.import_api, "BadRequestException", "basepath", Body=document(fine), Basepath="x")
    refused(client.reimport_api, "NotFoundException", "Invalid API identifier", ApiId="absent1234", Body=document(fine))
    wrong = {"ApiId": made["ApiId"], "Specification": "OAS31", "OutputType": "JSON"}
    refused(client.export_api, "BadRequestException", "OAS30", **wrong)
    wrong = {"ApiId": "absent1234", "Specification": "OAS30", "OutputType": "JSON"}
    refused(client.export_api, "NotFoundException", "Invalid API identifier", **wrong)
