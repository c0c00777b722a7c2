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
        "/pets": {"get": backend(echo.url + "/list", payloadFormatVersion="1.0") | {"operationId": "List"}},
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
            "authorizerResultTtlInSeconds": "60", "enableSimpleResponses": True,
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


def test_the_issuer_of_an_openid_connect_scheme(client):
    """As the developer guide has it: the scheme's own address names the issuer."""
    url = "https://issuer.test/pool/.well-known/openid-configuration"
    extension = {"type": "jwt", "identitySource": "$request.header.Authorization", "jwtConfiguration": {"audience": ["a"]}}
    scheme = {"type": "openIdConnect", "openIdConnectUrl": url, "x-amazon-apigateway-authorizer": extension}
    paths = {"/a": {"get": backend("http://127.0.0.1:1") | {"security": [{"open": ["s"]}]}}}
    made = client.import_api(Body=document(paths, components={"securitySchemes": {"open": scheme}}), FailOnWarnings=True)
    (authorizer,) = client.get_authorizers(ApiId=made["ApiId"])["Items"]
    assert authorizer["JwtConfiguration"] == {"Audience": ["a"], "Issuer": "https://issuer.test/pool"}


def test_there_and_back(gateway, client, echo):
    api = HttpApi(gateway, stage="dev", CorsConfiguration={"AllowOrigins": ["*"], "AllowHeaders": ["x"]}, Version="7",
                  Description="d", DisableExecuteApiEndpoint=True, IpAddressType="dualstack", Tags={"a": "b"})  # fmt: skip
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


@pytest.mark.parametrize("place", ["server", "root"])
def test_ip_address_types(client, place):
    def body(kind):
        name, paths = "x-amazon-apigateway-endpoint-configuration", {"/a": {"get": backend("http://127.0.0.1:1")}}
        holder = {name: {"ipAddressType": kind}} if kind else {}
        return document(paths, **(holder if place == "root" else {"servers": [{"url": "https://a.test", **holder}]}))

    made = client.import_api(Body=body("dualstack"))
    api = made["ApiId"]
    assert made["IpAddressType"] == "dualstack" and client.import_api(Body=body(None))["IpAddressType"] == "ipv4"
    exported = json.loads(client.export_api(ApiId=api, Specification="OAS30", OutputType="JSON")["body"].read())
    assert exported["servers"][0]["x-amazon-apigateway-endpoint-configuration"] == {"ipAddressType": "dualstack"}
    # A document that says nothing of it leaves it.
    for kind, shown in (None, "dualstack"), ("ipv4", "ipv4"), ("dualstack", "dualstack"):
        assert client.reimport_api(ApiId=api, Body=body(kind))["IpAddressType"] == shown
    refused(client.import_api, "BadRequestException", "x-amazon-apigateway-endpoint-configuration: ipAddressType", Body=body("ipv6"))


def test_what_is_refused(client):
    fine = {"/a": {"get": backend("http://127.0.0.1:1")}}
    for body, message in [
        ("{", "Invalid OpenAPI input"),
        (json.dumps({"swagger": "2.0", "info": {"title": "t"}, "paths": fine}), "Only OpenAPI 3.0"),
        (json.dumps({"openapi": "3.1.0", "info": {"title": "t"}, "paths": fine}), "Only OpenAPI 3.0"),
        (json.dumps({"openapi": "3.0.1", "info": {"title": "t"}}), "'paths' is missing"),
        (document({"/a": {"get": {**fine["/a"]["get"], "security": [{"x": []}]}}}), "'x' is not defined"),
        (document({"/a": {"get": {**fine["/a"]["get"], "security": [{"x": []}, {"y": []}]}}}), "not several"),
        (document(fine, **{"x-amazon-apigateway-cors": {"allowOrigins": "x"}}), "x-amazon-apigateway-cors"),
    ]:
        refused(client.import_api, "BadRequestException", message, Body=body)
    assert client.get_apis()["Items"] == []
    made = client.import_api(Body=document(fine))
    refused(client.import_api, "BadRequestException", "basepath", Body=document(fine), Basepath="x")
    refused(client.reimport_api, "NotFoundException", "Invalid API identifier", ApiId="absent1234", Body=document(fine))
    wrong = {"ApiId": made["ApiId"], "Specification": "OAS31", "OutputType": "JSON"}
    refused(client.export_api, "BadRequestException", "OAS30", **wrong)
    wrong = {"ApiId": "absent1234", "Specification": "OAS30", "OutputType": "JSON"}
    refused(client.export_api, "NotFoundException", "Invalid API identifier", **wrong)


class TestFindings:
    """What an import leaves out and says so, with the API made all the same."""

    @pytest.mark.parametrize(
        "integration, message",
        [
            ({"type": "AWS"}, "Currently, an API with a protocol type of HTTP may only be associated with proxy integrations "
             "(AWS_PROXY, HTTP_PROXY)"),
            ({"uri": "nowhere"}, "Invalid HTTP endpoint specified for URI"),
            ({"type": "AWS_PROXY", "httpMethod": "POST", "uri": FUNCTION, "payloadFormatVersion": "1"}, "Unsupported PayloadFormatVersion: 1"),
            ({"payloadFormatVersion": 1.0}, "Unsupported PayloadFormatVersion: 1"),
            ({"timeoutInMillis": 20}, "Timeout should be between 50 ms and 30000 ms"),
        ],
    )  # fmt: skip
    def test_integrations(self, client, integration, message):
        operation = backend("http://127.0.0.1:1")
        operation["x-amazon-apigateway-integration"] |= integration
        body = document({"/pets": {"get": operation}})
        warning = f"Unable to create integration for resource at path 'GET /pets': {message}. Ignoring."
        message = f"Warnings found during import:\n\t{warning}"
        refused(client.import_api, "BadRequestException", message, Body=body, FailOnWarnings=True)
        assert client.get_apis()["Items"] == []
        made = client.import_api(Body=body)
        assert made["Warnings"] == [warning]
        (route,) = client.get_routes(ApiId=made["ApiId"])["Items"]
        assert route["RouteKey"] == "GET /pets" and "Target" not in route
        assert client.get_integrations(ApiId=made["ApiId"])["Items"] == []
        refused(client.reimport_api, "BadRequestException", message, ApiId=made["ApiId"], Body=body, FailOnWarnings=True)

    def test_versions_in_yaml(self, client):
        """The AWS CLI's example has a number with a fraction, which JSON would lose."""
        for version, warnings in (1.0, 0), (1, 1):
            paths = {"/a": {"get": backend("http://127.0.0.1:1", payloadFormatVersion=version)}}
            body = f"openapi: 3.0.1\ninfo: {{title: t}}\npaths: {json.dumps(paths)}\n"
            assert len(client.import_api(Body=body).get("Warnings", [])) == warnings

    def test_authorizers(self, client):
        """A route whose authorizer cannot be made is not made either: it would be open."""
        jwt = {"type": "jwt", "identitySource": "$request.header.Authorization"}
        schemes = {
            "issuer": {**jwt, "jwtConfiguration": {"issuer": "nowhere", "audience": ["a"]}},
            "kind": {"type": "token"},
            "when": {"type": "request", "authorizerUri": FUNCTION, "authorizerResultTtlInSeconds": "soon"},
            "nobody": {**jwt, "jwtConfiguration": {"audience": ["a"]}},
            "fine": {**jwt, "jwtConfiguration": {"issuer": "https://issuer.test", "audience": ["a"]}},
        }
        schemes = {name: {"type": "oauth2", "x-amazon-apigateway-authorizer": it} for name, it in schemes.items()}
        paths = {f"/{name}": {"get": backend("http://127.0.0.1:1") | {"security": [{name: []}]}} for name in schemes}
        made = client.import_api(Body=document(paths, components={"securitySchemes": schemes}))
        assert keys(client, made["ApiId"]) == ["GET /fine"]
        assert [it["Name"] for it in client.get_authorizers(ApiId=made["ApiId"])["Items"]] == ["fine"]
        warnings = "\n".join(made["Warnings"])
        message = "Unable to create Authorizer 'issuer': Invalid issuer: Issuer is not a valid URL for JWT Authorizer. Ignoring."
        assert message in warnings and "Unable to create Authorizer 'kind'" in warnings
        message = "Unable to create Authorizer 'nobody': Invalid issuer: Issuer can not be empty for JWT Authorizer. Ignoring."
        assert message in made["Warnings"]
        message = "Unable to create Authorizer 'when': authorizerResultTtlInSeconds has to be a whole number. Ignoring."
        assert message in made["Warnings"]
        for name, kind in ("issuer", "JWT"), ("kind", "CUSTOM"):
            assert (
                f"Unable to put method 'GET' on resource at path '/{name}': Invalid authorizer definition. Setting the "
                f"authorization type to {kind} requires a valid authorizer. Ignoring."
            ) in made["Warnings"]

    def test_what_http_apis_have_no_use_for(self, client):
        operation = {**backend("http://127.0.0.1:1"), "requestBody": {"content": {}}, "operationId": "x", "responses": {"200": {"description": "d"}},
                     "parameters": [{"name": "a", "in": "query"}]}  # fmt: skip
        told = client.import_api(Body=document({"/pets": {"post": operation}}, components={"schemas": {"a": {}}}))
        assert "Warnings" not in told and told["ImportInfo"] == [
            "components: key [schemas] will be ignored by API Gateway",
            "paths./pets.post: key [parameters] will be ignored by API Gateway",
            "paths./pets.post: key [requestBody] will be ignored by API Gateway",
            "paths./pets.post: key [responses] will be ignored by API Gateway",
        ]

    def test_what_only_rest_apis_have(self, client):
        """An API whose policy is left out is open, and templates that are left out make nothing; the import says so."""
        operation = backend("http://127.0.0.1:1", requestTemplates={}, passthroughBehavior="never")
        operation["x-amazon-apigateway-request-validator"] = "all"
        shared = {"unused": backend("http://127.0.0.1:1", contentHandling="CONVERT_TO_TEXT")["x-amazon-apigateway-integration"]}
        told = client.import_api(
            Body=document({"/pets": {"get": operation}}, components={"x-amazon-apigateway-integrations": shared},
                          **{"x-amazon-apigateway-policy": {}, "x-amazon-apigateway-importexport-version": "1.0"}),
            FailOnWarnings=True,
        )  # fmt: skip
        place, extension = "paths./pets.get", "x-amazon-apigateway-integration"
        assert told["ImportInfo"] == [
            f"{at}key [{name}] will be ignored by API Gateway"
            for at, name in [
                ("", "x-amazon-apigateway-policy"),
                (f"{place}: ", "x-amazon-apigateway-request-validator"),
                (f"{place}.{extension}: ", "requestTemplates"),
                (f"{place}.{extension}: ", "passthroughBehavior"),
                (f"components.{extension}s.unused: ", "contentHandling"),
            ]
        ]

    def test_a_schema_that_is_not_there(self, client):
        """Terraform's own tests have an import fail with it."""
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Absent"}}}
        operation = {**backend("http://127.0.0.1:1"), "responses": {"200": {"description": "d", "content": content}}}
        body = document({"/update": {"get": operation}})
        warning = (
            "Parse issue: attribute paths.'/update'(get).responses.200.content.schema.#/components/schemas/Absent is missing"
        )
        assert client.import_api(Body=body)["Warnings"] == [warning]
        message = f"Warnings found during import:\n\t{warning}"
        refused(client.import_api, "BadRequestException", message, Body=body, FailOnWarnings=True)

    def test_cors_is_held_to_its_rules(self, client):
        paths = {"/a": {"get": backend("http://127.0.0.1:1")}}
        api = client.import_api(Body=document(paths))["ApiId"]
        wrong = document(paths, **{"x-amazon-apigateway-cors": {"allowOrigins": ["*"], "allowCredentials": True}})
        message = "allow-credentials is not supported if 'allow-origin' is *"
        refused(client.import_api, "BadRequestException", message, Body=wrong)
        refused(client.reimport_api, "BadRequestException", message, ApiId=api, Body=wrong)


def test_a_shared_integration_that_cannot_be_made_is_told_for_each_of_its_routes(client):
    name = "x-amazon-apigateway-integration"
    for shape in {"type": "mock"}, {"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "no address"}:
        shared = {"get": {name: {"$ref": f"#/components/{name}s/one"}}}
        body = document({"/a": shared, "/b": shared}, components={f"{name}s": {"one": shape}})
        made = client.import_api(Body=body)
        told = [line for line in made["Warnings"] if line.startswith("Unable to create integration")]
        assert len(told) == 2 and "/a'" in told[0] and "/b'" in told[1], made["Warnings"]


def test_integrations_that_no_route_uses(client):
    """They are made, exported, and made again."""
    link = {"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "http://127.0.0.1:1", "timeoutInMillis": 77}
    components = {"x-amazon-apigateway-integrations": {"spare": link}}
    made = client.import_api(Body=document({"/a": {"get": backend("http://127.0.0.1:1")}}, components=components))
    spare = [it for it in client.get_integrations(ApiId=made["ApiId"])["Items"] if it["TimeoutInMillis"] == 77]
    assert len(spare) == 1 and "Warnings" not in made
    exported = client.export_api(ApiId=made["ApiId"], Specification="OAS30", OutputType="JSON")["body"].read().decode()
    name = f"unusedIntegration_{spare[0]['IntegrationId']}"
    assert list(json.loads(exported)["components"]["x-amazon-apigateway-integrations"]) == [name]
    again = client.import_api(Body=exported)["ApiId"]
    assert sorted(it["TimeoutInMillis"] for it in client.get_integrations(ApiId=again)["Items"]) == [77, 30000]


def test_the_form_of_an_export(client):
    """Members and their order as in exports that users of AWS have published, printed as AWS prints them."""
    cors = {"AllowOrigins": ["*"], "AllowMethods": ["GET"], "AllowHeaders": ["x"], "ExposeHeaders": ["y"], "MaxAge": 5}
    api = client.create_api(Name="n", ProtocolType="HTTP", Description="d", CorsConfiguration=cors, Tags={"t": "v"})
    id = api["ApiId"]
    authorizer = client.create_authorizer(
        ApiId=id, AuthorizerType="JWT", Name="jwt", IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": "https://issuer.test", "Audience": ["a"]},
    )["AuthorizerId"]  # fmt: skip
    function = client.create_integration(
        ApiId=id, IntegrationType="AWS_PROXY", IntegrationUri=FUNCTION, PayloadFormatVersion="2.0"
    )["IntegrationId"]  # fmt: skip
    url = client.create_integration(
        ApiId=id, IntegrationType="HTTP_PROXY", IntegrationUri="http://127.0.0.1:1", IntegrationMethod="ANY", TimeoutInMillis=500,
        RequestParameters={"append:header.x": "y"}, ResponseParameters={"404": {"overwrite:statuscode": "200"}},
    )["IntegrationId"]  # fmt: skip
    iam = client.create_integration(
        ApiId=id, IntegrationType="AWS_PROXY", IntegrationSubtype="SQS-PurgeQueue", PayloadFormatVersion="1.0",
        CredentialsArn="arn:aws:iam::0:role/x", RequestParameters={"QueueUrl": "q"},
    )["IntegrationId"]  # fmt: skip
    guard = {"AuthorizationType": "JWT", "AuthorizerId": authorizer, "AuthorizationScopes": ["s"]}
    client.create_route(ApiId=id, RouteKey="GET /a/{proxy+}", Target=f"integrations/{url}", **guard)
    client.create_route(ApiId=id, RouteKey="POST /b", Target=f"integrations/{iam}", AuthorizationType="AWS_IAM")
    client.create_route(ApiId=id, RouteKey="$default", Target=f"integrations/{function}")

    def exported(**options):
        return client.export_api(ApiId=id, Specification="OAS30", OutputType="JSON", **options)["body"].read().decode()

    created = client.get_api(ApiId=id)["CreatedDate"].strftime("%Y-%m-%d %H:%M:%SUTC")
    text = exported()
    any_method, integration = "x-amazon-apigateway-any-method", "x-amazon-apigateway-integration"
    expected = {
        "openapi": "3.0.1",
        "info": {"title": "n", "description": "d", "version": created},
        "servers": [{"url": f"{api['ApiEndpoint']}/{{basePath}}", "variables": {"basePath": {"default": ""}}}],
        "tags": [{"name": "t", "x-amazon-apigateway-tag-value": "v"}],
        "paths": {
            "/$default": {
                any_method: {
                    "isDefaultRoute": True,
                    "responses": {"default": {"description": "Default response for $default"}},
                    integration: {
                        "payloadFormatVersion": "2.0", "type": "aws_proxy", "httpMethod": "POST", "uri": FUNCTION,
                        "connectionType": "INTERNET",
                    },
                }
            },
            "/a/{proxy+}": {
                "get": {
                    "responses": {"default": {"description": "Default response for GET /a/{proxy+}"}},
                    "security": [{"jwt": ["s"]}],
                    integration: {
                        "responseParameters": {"404": {"overwrite:statuscode": "200"}},
                        "requestParameters": {"append:header.x": "y"},
                        "payloadFormatVersion": "1.0", "type": "http_proxy", "httpMethod": "ANY", "uri": "http://127.0.0.1:1",
                        "connectionType": "INTERNET", "timeoutInMillis": 500,
                    },
                },
                "parameters": [
                    {"name": "proxy+", "in": "path", "description": "Generated path parameter for proxy+", "required": True,
                     "schema": {"type": "string"}}
                ],
            },
            "/b": {
                "post": {
                    "responses": {"default": {"description": "Default response for POST /b"}},
                    "x-amazon-apigateway-auth": {"type": "AWS_IAM"},
                    integration: {
                        "integrationSubtype": "SQS-PurgeQueue", "credentials": "arn:aws:iam::0:role/x",
                        "requestParameters": {"QueueUrl": "q"}, "payloadFormatVersion": "1.0", "type": "aws_proxy",
                        "connectionType": "INTERNET",
                    },
                }
            },
        },
        "components": {
            "securitySchemes": {
                "jwt": {
                    "type": "oauth2", "flows": {},
                    "x-amazon-apigateway-authorizer": {
                        "identitySource": "$request.header.Authorization",
                        "jwtConfiguration": {"audience": ["a"], "issuer": "https://issuer.test"}, "type": "jwt",
                    },
                }
            }
        },
        "x-amazon-apigateway-cors": {
            "allowMethods": ["GET"], "allowHeaders": ["x"], "exposeHeaders": ["y"], "maxAge": 5, "allowOrigins": ["*"],
        },
        "x-amazon-apigateway-importexport-version": "1.0",
    }  # fmt: skip
    assert json.dumps(json.loads(text)) == json.dumps(expected)
    assert '"openapi" : "3.0.1"' in text and '"flows" : { }' in text and '"allowMethods" : [ "GET" ]' in text
    # Without extensions there is no word for routes of any method.
    client.create_route(ApiId=id, RouteKey="ANY /c/{x}")
    client.create_route(ApiId=id, RouteKey="ANY /b")
    assert any_method in json.loads(exported())["paths"]["/c/{x}"]
    bare = json.loads(exported(IncludeExtensions=False))
    assert "x-amazon" not in json.dumps(bare)
    assert {path: set(item) for path, item in bare["paths"].items()} == {"/a/{proxy+}": {"get", "parameters"}, "/b": {"post"}}
    for route in client.get_routes(ApiId=id)["Items"]:
        if route["RouteKey"].startswith("ANY"):
            client.delete_route(ApiId=id, RouteId=route["RouteId"])
    # A stage is exported as it was deployed.
    client.create_stage(ApiId=id, StageName="dev", AutoDeploy=True)
    server = json.loads(exported(StageName="dev", ExportVersion="1.0"))["servers"][0]
    assert server["variables"] == {"basePath": {"default": "/dev"}}
    client.update_api(ApiId=id, Version="7", DisableExecuteApiEndpoint=True)
    changed = json.loads(exported())
    assert changed["info"]["version"] == "7"
    assert changed["servers"][0]["x-amazon-apigateway-endpoint-configuration"] == {"disableExecuteApiEndpoint": True}
    again = client.import_api(Body=exported())["ApiId"]
    assert keys(client, again) == ["$default", "GET /a/{proxy+}", "POST /b"]
    guards = {route["RouteKey"]: route["AuthorizationType"] for route in client.get_routes(ApiId=again)["Items"]}
    assert guards == {"$default": "NONE", "GET /a/{proxy+}": "JWT", "POST /b": "AWS_IAM"}


def test_what_sam_makes_of_a_template(gateway, client, echo):
    """The body that AWS's SAM writes for `AWS::Serverless::HttpApi`: a default route without a slash, versions as numbers,
    lists of identity sources, signatures, and a route that is open though the API has a default authorizer."""
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"
    function = {"type": "aws_proxy", "httpMethod": "POST", "payloadFormatVersion": "2.0", "uri": uri}

    def operation(*security, **members):
        return {"x-amazon-apigateway-integration": function, "responses": {}, **members, "security": list(security)}

    parameters = [{"in": "path", "name": "proxy+", "required": True}]
    paths = {
        "/basic": {"get": operation({"LambdaAuth": []}), "post": operation({"OpenIdAuth": ["scope1", "scope2"]})},
        "/open": {"get": operation({"NONE": []})},
        "/{proxy+}": {
            "options": {"x-amazon-apigateway-integration": function, "responses": {}, "parameters": parameters},
            "x-amazon-apigateway-any-method": operation({"AWS_IAM": []}, parameters=parameters),
        },
        "$default": {"x-amazon-apigateway-any-method": operation({"LambdaAuth": []}, isDefaultRoute=True)},
    }
    schemes = {
        "LambdaAuth": {"type": "apiKey", "name": "Unused", "in": "header", "x-amazon-apigateway-authorizer": {
            "type": "request", "authorizerUri": uri, "authorizerCredentials": "arn:aws:iam::0:role/x",
            "identitySource": ["$context.contextVar", "$request.header.Authorization", "$request.querystring.petId"],
            "authorizerResultTtlInSeconds": 60, "authorizerPayloadFormatVersion": 2.0, "enableSimpleResponses": True}},
        "OpenIdAuth": {"type": "openIdConnect", "x-amazon-apigateway-authorizer": {
            "type": "jwt", "identitySource": "$request.querystring.param", "openIdConnectUrl": "https://issuer.test/v1/connect",
            "jwtConfiguration": {"audience": ["MyApi"], "issuer": "https://issuer.test/v1/connect/oidc"}}},
        "AWS_IAM": {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4"},
    }  # fmt: skip
    body = {
        "openapi": "3.0.1", "info": {"title": "stack"}, "paths": paths, "components": {"securitySchemes": schemes},
        "tags": [{"name": "httpapi:createdBy", "x-amazon-apigateway-tag-value": "SAM"}],
        "x-amazon-apigateway-cors": {"allowHeaders": ["X-Amz-Date"], "allowMethods": ["*"], "allowOrigins": ["*"]},
    }  # fmt: skip
    made = client.import_api(Body=json.dumps(body), FailOnWarnings=True)
    assert made["Tags"] == {"httpapi:createdBy": "SAM"} and "Version" not in made
    routes = {route["RouteKey"]: route["AuthorizationType"] for route in client.get_routes(ApiId=made["ApiId"])["Items"]}
    assert routes == {
        "GET /basic": "CUSTOM", "POST /basic": "JWT", "GET /open": "NONE", "OPTIONS /{proxy+}": "NONE", "ANY /{proxy+}": "AWS_IAM",
        "$default": "CUSTOM",
    }  # fmt: skip
    (authorizer,) = [it for it in client.get_authorizers(ApiId=made["ApiId"])["Items"] if it["Name"] == "LambdaAuth"]
    assert (authorizer["AuthorizerPayloadFormatVersion"], authorizer["AuthorizerResultTtlInSeconds"]) == ("2.0", 60)
    assert authorizer["IdentitySource"] == ["$context.contextVar", "$request.header.Authorization", "$request.querystring.petId"]
    exported = client.export_api(ApiId=made["ApiId"], Specification="OAS30", OutputType="YAML")["body"].read().decode()
    again = client.import_api(Body=exported)["ApiId"]
    assert {route["RouteKey"]: route["AuthorizationType"] for route in client.get_routes(ApiId=again)["Items"]} == routes
