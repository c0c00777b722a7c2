"""What imports and models refuse, in AWS's words, and what becomes of base paths and modes."""

import json

import pytest
from harness import REGION, lambda_uri
from test_protocol import error_of

ANSWER = {"responses": {}, "x-amazon-apigateway-integration": {
    "type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'}}}  # fmt: skip


def document(paths=None, **members):
    return {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": paths or {}, **members}


def body_of(found):
    return json.dumps(found).encode()


def refused(call, **parameters):
    error = error_of(call, **parameters)["Error"]
    return error["Code"], error["Message"]


def test_references_that_leave_the_document(gateway):
    client = gateway.client()
    for target, kind in (("./pet.yaml#/Pet", "RELATIVE"), ("https://example.com/pet.json", "URL")):
        found = document(components={"schemas": {"Pet": {"type": "object", "properties": {"a": {"$ref": target}}}}})
        assert refused(client.import_rest_api, body=body_of(found)) == (
            "BadRequestException",
            "Errors found during import:\n\tUnable to create model for 'Pet': Invalid model specified: Validation Result: "
            "warnings : [], errors : [Model reference must be in canonical form]\n"
            f"Additionally, these warnings were found:\n\tParse issue: Unable to load {kind} ref: {target} path: .",
        )
    assert client.get_rest_apis()["items"] == []


def test_references_to_nothing_are_warned_of(gateway):
    client = gateway.client()
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Gone"}}}
    found = document({"/a": {"get": {**ANSWER, "responses": {"200": {"description": "d", "content": content}}}}})
    message = "Reference to model 'Gone' not found. Ignoring."
    assert client.import_rest_api(body=body_of(found))["warnings"] == [message]
    code, text = refused(client.import_rest_api, body=body_of(found), failOnWarnings=True)
    assert (code, text) == ("BadRequestException", f"Warnings found during import:\n\t{message}")


def test_what_cannot_be_read_is_told_as_aws_tells_it(gateway):
    client = gateway.client()
    integration = {"type": "mock", "uri": {"Fn::Sub": "x"}}
    malformed = document({"/x/{y}": {"get": {"responses": {}, "x-amazon-apigateway-integration": integration}}})
    message = "Unable to parse API definition because of a malformed integration at path /x/{y}."
    assert refused(client.import_rest_api, body=body_of(malformed)) == ("BadRequestException", message)
    assert refused(client.put_rest_api, restApiId=gateway.rest_api().id, body=body_of(malformed))[1] == message
    for text in ("{", "a: [", "openapi: 3.1.0\ninfo: {title: t}\npaths: {}", "swagger: '2.0'\npaths: {}", "\xff", "[]"):
        body = text.encode("latin-1")
        assert refused(client.import_rest_api, body=body) == ("BadRequestException", "Invalid OpenAPI input."), text
    # A mistake that is in no integration is told first.
    malformed["paths"]["/z"] = {"get": []}
    assert refused(client.import_rest_api, body=body_of(malformed))[1] == "Invalid OpenAPI input."


def errors_of(client, found):
    code, text = refused(client.import_rest_api, body=body_of(found))
    assert code == "BadRequestException"
    first, *lines = text.split("\n")
    assert first == "Errors found during import:", text
    return [line.removeprefix("\t") for line in lines]


def test_models_are_held_to_the_rules_of_create_model(gateway):
    client = gateway.client()
    invalid = "Unable to create model for '{}': Invalid model specified: Validation Result: warnings : [], errors : [{}]"

    def check(schemas, *expected):
        oas = document(components={"schemas": schemas})
        swagger = {"swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {}, "definitions": schemas}
        assert errors_of(client, oas) == errors_of(client, swagger) == list(expected)

    unsupported = 'Invalid model schema specified. Unsupported keyword(s): ["{}"]'
    for keyword, value in {"example": 1, "nullable": True, "discriminator": "a", "readOnly": True, "xml": {"name": "a"}}.items():
        nested = {"type": "object", "properties": {"a": {"items": [{"type": "string", keyword: value}]}}}
        check({"P": nested}, invalid.format("P", unsupported.format(keyword)))
    check({"P": {"type": "objekt"}}, invalid.format("P", "Invalid model schema specified"))
    check({"P": {"required": []}}, invalid.format("P", "Invalid model schema specified"))
    check({"A_b": {}}, "Unable to create model for 'A_b': Model name must be alphanumeric: A_b")
    definitions = "#/components/schemas/"
    schemas = {"A": {"properties": {"x": {"$ref": definitions + "A_b"}, "y": {"$ref": definitions + "A_c"}}}, "A_b": {}, "A_c": {}}
    assert errors_of(client, document(components={"schemas": schemas})) == [
        invalid.format("A", "Invalid model specified: A_b, Invalid model specified: A_c"),
        "Unable to create model for 'A_b': Model name must be alphanumeric: A_b",
        "Unable to create model for 'A_c': Model name must be alphanumeric: A_c",
    ]
    # Whatever uses such a model finds none.
    content = {"application/json": {"schema": {"$ref": definitions + "P"}}}
    post = {**ANSWER, "requestBody": {"content": content}}
    assert errors_of(client, document({"/search": {"post": post}}, components={"schemas": {"P": {"example": 1}}})) == [
        invalid.format("P", unsupported.format("example")),
        "Unable to put method 'POST' on resource at path '/search': Invalid model identifier specified: null",
        "Additionally, these warnings were found:",
        "Reference to model 'P' not found. Ignoring.",
    ]
    get = {**ANSWER, "responses": {"200": {"description": "d", "content": content}}}
    assert errors_of(client, document({"/search": {"get": get}}, components={"schemas": {"P": {"example": 1}}})) == [
        invalid.format("P", unsupported.format("example")),
        "Additionally, these warnings were found:",
        "Reference to model 'P' not found. Ignoring.",
        "Reference to model 'P' not found. Ignoring.",
        "Invalid format for model application/json for method GET",
    ]
    # Vendors' own members are none of the model's.
    made = client.import_rest_api(body=body_of(document(components={"schemas": {"P": {"x-go-type": "P"}}})), failOnWarnings=True)
    assert json.loads(client.get_model(restApiId=made["id"], modelName="P")["schema"]) == {}


AUTHORIZER = {"type": "token", "authorizerUri": lambda_uri("arn:aws:lambda:us-east-1:000000000000:function:f")}
PUT = "Unable to put {} on 'GET' for resource at path '/a/{{b}}': {}"
METHOD = "Unable to put method 'GET' on resource at path '/a/{{b}}': {}"
MAPPING = "Invalid mapping expression specified: Validation Result: warnings : [], errors : [{}]"
NAMES = MAPPING.format("Parameter name should match the following regular expression: ^[a-zA-Z0-9:._$-]+$")


def query(name):
    return {"name": name, "in": "query", "schema": {"type": "string"}}


# What a method or its integration has, and what an import says of it: what the calls that it stands for say.
WRONG = [
    ({"parameters": [query("filter[a]")]}, {}, METHOD.format(NAMES)),
    ({"parameters": [query("b")]}, {}, METHOD.format("Parameter names must be unique across querystring, header and path")),
    ({"responses": {"999": {"description": "d"}}}, {},
     "Unable to put method response on '999' for method 'GET' for resource at path '/a/{b}': Invalid HTTP status code "
     "specified: 999"),
    ({"x-amazon-apigateway-request-validator": "x"}, {}, METHOD.format("Invalid Request Validator identifier specified")),
    ({}, {"requestParameters": {"integration.request.header.x": "method.request.header.y"}},
     PUT.format("integration", MAPPING.format("Invalid mapping expression parameter specified: method.request.header.y"))),
    ({}, {"requestParameters": {"x": "'y'"}},
     PUT.format("integration", MAPPING.format("Invalid mapping expression specified: x"))),
    ({}, {"cacheKeyParameters": ["method.request.header.y"]}, PUT.format("integration", "Invalid cache key parameter specified")),
    ({}, {"timeoutInMillis": 1}, PUT.format("integration", "Timeout should be between 50 ms and 29000 ms")),
    ({}, {"type": "http"}, PUT.format("integration", "Enumeration value for HttpMethod must be non-empty")),
    ({}, {"type": "http", "httpMethod": "GET", "uri": "x"}, PUT.format("integration", "Invalid HTTP endpoint specified for URI")),
    ({}, {"passthroughBehavior": "x"}, PUT.format(
        "integration", "Invalid passthrough behavior specified. Valid options are WHEN_NO_MATCH,WHEN_NO_TEMPLATES,NEVER")),
    ({}, {"type": "aws", "httpMethod": "POST", "uri": AUTHORIZER["authorizerUri"], "credentials": "arn:aws:iam::*:user/*"},
     PUT.format("integration", "AWS_IAM Auth type is required for AWS integrations with identity forwarding specified")),
    ({}, {"responses": {"default": {"statusCode": "999"}}},
     PUT.format("integration response", "Invalid HTTP status code specified: 999")),
    ({}, {"responses": {"(": {"statusCode": "200"}}}, PUT.format("integration response", "Invalid regex pattern specified")),
    ({}, {"responses": {"default": {"statusCode": "200", "responseParameters": {"method.response.header.X": "'x'"}}}},
     PUT.format("integration response", MAPPING.format("No method response exists for method."))),
    ({"responses": {"200": {"description": "d"}}},
     {"responses": {"default": {"statusCode": "200", "responseParameters": {"method.response.header.X": "'x'"}}}},
     PUT.format("integration response",
                MAPPING.format("Invalid mapping expression parameter specified: method.response.header.X"))),
]  # fmt: skip


@pytest.mark.parametrize(("of_method", "of_integration", "message"), WRONG, ids=range(len(WRONG)))
def test_methods_are_held_to_the_rules_of_single_calls(gateway, of_method, of_integration, message):
    integration = {**ANSWER["x-amazon-apigateway-integration"], **of_integration}
    found = document({"/a/{b}": {"get": {"responses": {}, **of_method, "x-amazon-apigateway-integration": integration}}})
    client = gateway.client()
    assert errors_of(client, found) == [message]
    assert client.get_rest_apis()["items"] == []


def test_what_stands_beside_the_paths_is_held_to_the_rules_of_single_calls(gateway):
    client = gateway.client()

    def scheme(**authorizer):
        extension = {**AUTHORIZER, **authorizer}
        return {"a": {"type": "apiKey", "name": "T", "in": "header", "x-amazon-apigateway-authorizer": extension}}

    def check(found, message):
        assert errors_of(client, document(**found)) == [message]

    def of_authorizer(**authorizer):
        return {"components": {"securitySchemes": scheme(**authorizer)}}

    check(of_authorizer(authorizerResultTtlInSeconds=9999),
          "Unable to create authorizer 'a': Authorizer result TTL outside allowable range. TTL must be between 0 and 3600 seconds.")
    check(of_authorizer(authorizerUri="x"),
          "Unable to create authorizer 'a': Invalid Authorizer URI: x. Authorizer URI should be a valid API Gateway ARN that "
          "represents a Lambda function invocation.")
    check(of_authorizer(type="cognito_user_pools"), "Unable to create authorizer 'a': ProviderARNs cannot be empty")
    responses = "x-amazon-apigateway-gateway-responses"
    check({responses: {"THROTTLED": {"statusCode": 999}}}, "Unable to put gateway response 'THROTTLED': Invalid status code specified")
    check({responses: {"THROTTLED": {"responseParameters": {"x": "'y'"}}}},
          "Unable to put gateway response 'THROTTLED': " + MAPPING.format("Invalid mapping expression specified: x"))
    part = "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and the end."
    check({"paths": {"/a b": {}}}, f"Unable to create resource at path '/a b': {part}")
    sibling = "A sibling ({a}) of this resource already has a variable path part -- only one is allowed"
    check({"paths": {"/{a}": {}, "/{b}": {}}}, f"Unable to create resource at path '/{{b}}': {sibling}")


def test_what_aws_warns_of(gateway):
    """The words are those that users have seen, and `failOnWarnings` refuses what has any."""
    client = gateway.client()

    def check(found, *expected):
        made = client.import_rest_api(body=body_of(found))
        assert made["warnings"] == list(expected)
        code, text = refused(client.import_rest_api, body=body_of(found), failOnWarnings=True)
        lines = "".join(f"\n\t{one}" for one in expected)
        assert (code, text) == ("BadRequestException", f"Warnings found during import:{lines}")
        return made["id"]

    def method(**members):
        return document({"/a": {"post": {**ANSWER, **members}}})

    check(method(responses={"default": {"description": "d"}}),
          "API Gateway does not support Swagger's 'default' method response (found on 'POST /a')")
    content = {"application/json": {"schema": {"type": "string"}}}
    api = check(method(responses={"201": {"description": "d", "content": content}}),
                "Unsupported model type 'StringSchema' in 201 response to method 'POST /a'. Ignoring.")
    root, a = client.get_resources(restApiId=api)["items"]
    assert "responseModels" not in client.get_method_response(restApiId=api, resourceId=a["id"], httpMethod="POST", statusCode="201")
    check(method(parameters=[{"name": "email", "in": "cookie"}]), "Parameter type cookie for parameter email not supported. Ignoring.")
    check(document(components={"securitySchemes": {"o": {"type": "oauth2"}}}),
          "Unsupported security definition type 'oauth2' for 'o'. Ignoring.")
    check(document(components={"invalid_key_will_warn": "a"}),
          "Parse issue: attribute components.invalid_key_will_warn is unexpected")
    check(document({"/a": {"gett": {}, "post": {**ANSWER, "sumary": "s"}}}, oops=1),
          "Parse issue: attribute paths.'/a'.gett is unexpected", "Parse issue: attribute paths.'/a'(post).sumary is unexpected",
          "Parse issue: attribute oops is unexpected")
    check(document(servers=[{"url": "https://a.example.com"}, {"url": "https://b.example.com"}]),
          "More than one server provided. Ignoring all but the first for defining endpoint configuration")
    for integration, kind in (({}, "null"), ({"type": "mokc"}, "mokc")):
        api = check(method(**{"x-amazon-apigateway-integration": integration}),
                    f"Unknown integration type '{kind}' for 'POST /a'. Ignoring.")
        root, a = client.get_resources(restApiId=api)["items"]
        assert "methodIntegration" not in client.get_method(restApiId=api, resourceId=a["id"], httpMethod="POST")
    promised = document({"/a": {"get": ANSWER, "post": {**ANSWER, "security": [{"p": []}]}}}, components={"securitySchemes": {
        "p": {"type": "apiKey", "name": "T", "in": "header", "x-amazon-apigateway-authtype": "oauth2"}}})  # fmt: skip
    api = check(promised, "Unable to create authorizer from security definition: 'p'. Extension x-amazon-apigateway-authorizer is "
                          "required. Any methods with security: 'p' will not be created. If this security definition is not a "
                          "custom authorizer, remove the x-amazon-apigateway-authtype extension and it will be ignored.")  # fmt: skip
    root, a = client.get_resources(restApiId=api)["items"]
    assert list(a["resourceMethods"]) == ["GET"]
    templates = {**ANSWER["x-amazon-apigateway-integration"], "requestTemplates": {"text/plain": {"a": 1}}}
    check(method(**{"x-amazon-apigateway-integration": templates}),
          "Invalid format for 'requestTemplates'. Expected type string for property 'text/plain' of resource '/a' and method "
          "'POST' but got '{\"a\":1}'")


def test_names_that_nothing_knows_refuse_no_import(gateway):
    """AWS drops them in silence; here they are named as well."""
    client = gateway.client()
    integration = {**ANSWER["x-amazon-apigateway-integration"], "tiemoutInMillis": 60}
    found = document({"/a": {"get": {"responses": {}, "x-amazon-apigateway-integration": integration}}})
    for options in ({}, {"failOnWarnings": True}):
        (warning,) = client.import_rest_api(body=body_of(found), **options)["warnings"]
        assert "did you mean 'timeoutInMillis'?" in warning


def test_templates_that_cannot_be_read_refuse_an_import(gateway):
    client = gateway.client()
    for place in ("requestTemplates", "responseTemplates"):
        integration = json.loads(json.dumps(ANSWER["x-amazon-apigateway-integration"]))
        at = integration if place == "requestTemplates" else integration.setdefault("responses", {}).setdefault("default", {"statusCode": "200"})
        at[place] = {"application/json": "#set($a = 1)\n#if($a"}
        found = document({"/a": {"get": {"responses": {}, "x-amazon-apigateway-integration": integration}}})
        (message,) = errors_of(client, found)
        what = "integration" if place == "requestTemplates" else "integration response"
        assert message.startswith(f"Unable to put {what} on 'GET' for resource at path '/a': template for application/json: ")
        assert "at line 2, column " in message


def test_how_schemas_are_laid_out(gateway):
    """As SAM's integration tests saw it, and as AWS's exports have it."""
    client = gateway.client()
    schema = {"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "string"}, "b": {}}}
    made = client.import_rest_api(body=body_of(document(components={"schemas": {"P": schema}})))
    found = client.get_model(restApiId=made["id"], modelName="P")["schema"]
    assert found == (
        '{\n  "type" : "object",\n  "required" : [ "a", "b" ],\n  "properties" : {\n'
        '    "a" : {\n      "type" : "string"\n    },\n    "b" : { }\n  }\n}'
    )


def test_models_that_refer_to_each_other_in_a_circle(gateway):
    client = gateway.client()
    ref = {"$ref": "#/components/schemas/{}"}
    schemas = {one: {"type": "object", "properties": {"x": {"$ref": ref["$ref"].format(other)}}} for one, other in ("AB", "BA")}
    api = client.import_rest_api(body=body_of(document(components={"schemas": schemas})), failOnWarnings=True)["id"]
    schema = json.loads(client.get_model(restApiId=api, modelName="A")["schema"])
    assert schema["properties"]["x"]["$ref"] == f"https://apigateway.amazonaws.com/restapis/{api}/models/B"


@pytest.mark.parametrize(
    ("option", "paths"),
    [("ignore", ["/", "/a"]), ("prepend", ["/", "/one", "/one/two", "/one/two/a"]), ("split", ["/", "/two", "/two/a"])],
)
def test_base_paths(gateway, option, paths):
    client = gateway.client()
    swagger = {"swagger": "2.0", "info": {"title": "t", "version": "1"}, "basePath": "/one/two", "paths": {"/a": {"get": ANSWER}}}
    server = document({"/a": {"get": ANSWER}}, servers=[{"url": "https://example.com/{basePath}",
                                                         "variables": {"basePath": {"default": "one/two"}}}])  # fmt: skip
    for found in (swagger, server):
        api = client.import_rest_api(body=body_of(found), parameters={"basepath": option})["id"]
        assert [one["path"] for one in client.get_resources(restApiId=api)["items"]] == paths
    assert refused(client.import_rest_api, body=body_of(swagger), parameters={"basepath": "x"})[0] == "BadRequestException"


def test_merge_and_overwrite(gateway):
    client = gateway.client()
    schemas = {name: {"type": "object", "title": name} for name in ("Old", "Both")}
    first = document({"/old": {"get": ANSWER}, "/both": {"get": ANSWER}}, components={"schemas": schemas})
    api = client.import_rest_api(body=body_of(first))["id"]

    def state():
        resources = client.get_resources(restApiId=api)["items"]
        methods = {one["path"]: sorted(one.get("resourceMethods", {})) for one in resources}
        return methods, sorted(one["name"] for one in client.get_models(restApiId=api)["items"]), {
            one["path"]: one["id"] for one in resources
        }  # fmt: skip

    ids = state()[2]
    second = document({"/both": {"post": ANSWER}, "/new": {"get": ANSWER}}, components={"schemas": {
        "Both": {"type": "object", "title": "changed"}, "New": {"type": "object"}}})  # fmt: skip
    client.put_rest_api(restApiId=api, mode="merge", body=body_of(second))
    methods, models, merged = state()
    assert methods == {"/": [], "/both": ["GET", "POST"], "/new": ["GET"], "/old": ["GET"]}
    assert models == ["Both", "New", "Old"]
    assert (merged["/both"], merged["/old"]) == (ids["/both"], ids["/old"])
    assert json.loads(client.get_model(restApiId=api, modelName="Both")["schema"])["title"] == "changed"
    client.put_rest_api(restApiId=api, mode="overwrite", body=body_of(second))
    methods, models, _ = state()
    assert methods == {"/": [], "/both": ["POST"], "/new": ["GET"]}
    assert models == ["Both", "New"]


def test_functions_that_are_none(gateway):
    client = gateway.client()
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/nothing/invocations"
    found = document({"/": {"x-amazon-apigateway-any-method": {"responses": {}, "x-amazon-apigateway-integration": {
        "type": "aws_proxy", "httpMethod": "POST", "uri": uri}}}})  # fmt: skip
    code, text = refused(client.import_rest_api, body=body_of(found))
    expected = "Unable to put integration on 'ANY' for resource at path '/': Invalid function ARN or invalid uri"
    assert (code, text) == ("BadRequestException", f"Errors found during import:\n\t{expected}")


def test_authorizers_that_cannot_be(gateway):
    """What CreateAuthorizer refuses an import refuses as well."""
    client = gateway.client()
    good = {"type": "token", "authorizerUri": lambda_uri(f"arn:aws:lambda:{REGION}:000000000000:function:f")}

    def imported(**changes):
        scheme = {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "custom",
                  "x-amazon-apigateway-authorizer": good | changes}  # fmt: skip
        body = body_of(document({"/": {"get": ANSWER}}, components={"securitySchemes": {"guard": scheme}}))
        code, text = refused(client.import_rest_api, body=body)
        assert code == "BadRequestException" and text.startswith("Errors found during import:\n\t"), text
        return text

    assert "Invalid token source expression: method.request.querystring.a." in imported(identitySource="method.request.querystring.a")
    assert "Invalid request identity source expression: a." in imported(type="request", identitySource="a")
    assert "Invalid Authorizer URI: arn:aws:sns:x." in imported(authorizerUri="arn:aws:sns:x")
    assert "Invalid regex pattern specified" in imported(identityValidationExpression="(")
    assert "TTL must be between 0 and 3600 seconds." in imported(authorizerResultTtlInSeconds=3601)
    assert "Invalid ARN specified in the request" in imported(type="cognito_user_pools", providerARNs=["arn:aws:cognito-idp:x"])
    assert "ProviderARNs cannot be empty" in imported(type="cognito_user_pools")
    assert client.get_rest_apis()["items"] == []


def test_model_schemas(gateway):
    client, api = gateway.client(), gateway.rest_api()

    def errors(schema, name="M"):
        code, text = refused(client.create_model, restApiId=api.id, name=name, contentType="application/json",
                             schema=json.dumps(schema))  # fmt: skip
        assert code == "BadRequestException"
        return text.removeprefix("Invalid model specified: Validation Result: warnings : [], errors : ")

    assert errors({"type": "String"}) == "[Invalid model schema specified]"
    assert errors({"required": []}) == "[Invalid model schema specified]"
    assert errors({"properties": {"a": {"type": "string", "example": "x"}}}) == (
        '[Invalid model schema specified. Unsupported keyword(s): ["example"]]'
    )
    assert errors({"$ref": "https://example.com/x.json"}) == "[Model reference must be in canonical form]"
    base = f"https://apigateway.amazonaws.com/restapis/{api.id}/models/"
    assert errors({"items": {"$ref": base + "Gone"}}) == "[Invalid model specified: Gone]"
    client.create_model(restApiId=api.id, name="M", contentType="application/json",
                        schema=json.dumps({"items": {"$ref": base + "Empty"}}))  # fmt: skip
    change = [{"op": "replace", "path": "/schema", "value": '{"type": "x"}'}]
    assert refused(client.update_model, restApiId=api.id, modelName="M", patchOperations=change)[0] == "BadRequestException"
    # What is no JSON is not looked into.
    client.create_model(restApiId=api.id, name="X", contentType="application/xml", schema="<a/>")
