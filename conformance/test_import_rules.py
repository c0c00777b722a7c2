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
    assert "Gone" in errors({"items": {"$ref": base + "Gone"}})
    client.create_model(restApiId=api.id, name="M", contentType="application/json",
                        schema=json.dumps({"items": {"$ref": base + "Empty"}}))  # fmt: skip
    change = [{"op": "replace", "path": "/schema", "value": '{"type": "x"}'}]
    assert refused(client.update_model, restApiId=api.id, modelName="M", patchOperations=change)[0] == "BadRequestException"
    # What is no JSON is not looked into.
    client.create_model(restApiId=api.id, name="X", contentType="application/xml", schema="<a/>")
