"""Request validators and models: which requests a method refuses, and in which words."""

import json

import botocore.exceptions
import pytest
from harness import body_json

DRAFT4 = "http://json-schema.org/draft-04/schema#"


class Checked:
    """An API with one method, its validator and its models."""

    def __init__(self, gateway, verb="POST", path="/", parameters=None, models=None, body=True, of_parameters=True, schemas=()):
        self.api, self.client = gateway.rest_api(), gateway.client()
        for name, schema in dict(schemas).items():
            text = json.dumps(schema).replace("API_ID", self.api.id)
            self.client.create_model(restApiId=self.api.id, name=name, contentType="application/json", schema=text)
        validator = self.client.create_request_validator(
            restApiId=self.api.id, name="v", validateRequestBody=body, validateRequestParameters=of_parameters
        )["id"]
        self.client.put_method(
            restApiId=self.api.id, resourceId=self.api.resource(path), httpMethod=verb, authorizationType="NONE",
            requestValidatorId=validator, requestParameters=parameters or {}, requestModels=models or {},
        )  # fmt: skip
        where = {"restApiId": self.api.id, "resourceId": self.api.resource(path), "httpMethod": verb}
        self.client.put_integration(**where, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'})
        self.client.put_method_response(**where, statusCode="200")
        self.client.put_integration_response(**where, statusCode="200", responseTemplates={"application/json": "fine"})
        self.api.deploy()

    def answer(self, data=None, verb="POST", path="/", **headers):
        answer = self.api.call(verb, path, data=data, headers=headers)
        return answer.text if answer.status_code == 200 else (answer.status_code, body_json(answer)["message"])

    def fits(self, document, **headers):
        data = document if isinstance(document, (bytes, str)) else json.dumps(document)
        found = self.answer(data, **headers)
        assert found in ("fine", (400, "Invalid request body")), found
        return found == "fine"


def missing(*names):
    return 400, f"Missing required request parameters: [{', '.join(names)}]"


class TestParameters:
    PARAMETERS = {
        "method.request.path.issuer": True,
        "method.request.querystring.qs1": True,
        "method.request.header.x-header-param": True,
        "method.request.header.optional": False,
    }

    def test_all_that_are_missing_in_one_message(self, gateway):
        api = Checked(gateway, path="/{issuer}", parameters=self.PARAMETERS)
        assert api.answer(path="/a") == missing("x-header-param", "qs1")
        assert api.answer(path="/a?qs1=1") == missing("x-header-param")
        assert api.answer(path="/a?qs1=1", **{"X-Header-Param": "1"}) == "fine"

    @pytest.mark.parametrize("blank", ["", " ", "\t"])
    def test_blank_is_missing(self, gateway, blank):
        api = Checked(gateway, path="/{issuer}", parameters=self.PARAMETERS)
        query = {"": "", " ": "%20", "\t": "%09"}[blank]
        assert api.answer(path=f"/a?qs1={query}", **{"x-header-param": "1"}) == missing("qs1")
        assert api.answer(path="/a?qs1=1", **{"x-header-param": blank.strip()}) == missing("x-header-param")

    @pytest.mark.parametrize("verb", ["GET", "HEAD", "POST", "DELETE", "PATCH", "PUT"])
    def test_any_checks_every_method(self, gateway, verb):
        api = Checked(gateway, verb="ANY", parameters={"method.request.querystring.q": True})
        assert api.api.call(verb, "/").status_code == 400
        assert api.api.call(verb, "/?q=1").status_code == 200

    def test_head_is_checked_as_any_other(self, gateway):
        api = Checked(gateway, verb="HEAD", parameters={"method.request.querystring.q": True})
        answers = [api.api.call("HEAD", path) for path in ("/", "/?q=1")]
        assert [(answer.status_code, answer.text) for answer in answers] == [(400, ""), (200, "")]

    def test_names_of_headers_ignore_case_and_those_of_queries_do_not(self, gateway):
        api = Checked(gateway, parameters={"method.request.header.X-A": True, "method.request.querystring.q": True})
        assert api.answer(path="/?Q=1", **{"x-a": "1"}) == missing("q")

    def test_headers_that_the_gateway_adds_are_there(self, gateway):
        required = {f"method.request.header.{name}": True for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Amzn-Trace-Id")}
        assert Checked(gateway, parameters=required).answer("{}") == "fine"

    def test_only_what_the_validator_says(self, gateway):
        api = Checked(gateway, parameters={"method.request.querystring.q": True}, of_parameters=False)
        assert api.answer() == "fine"

    def test_parameters_come_before_the_body(self, gateway):
        schemas = {"Thing": {"$schema": DRAFT4, "type": "object"}}
        api = Checked(gateway, parameters={"method.request.querystring.q": True},
                      models={"application/json": "Thing"}, schemas=schemas)  # fmt: skip
        assert api.answer("no JSON") == missing("q")
        assert api.answer("no JSON", path="/?q=1") == (400, "Invalid request body")


class TestBodies:
    def checked(self, gateway, schema, **more):
        return Checked(gateway, models={"application/json": "Thing"}, schemas={"Thing": {"$schema": DRAFT4, **schema}} | more)

    def test_types_and_bounds_of_draft_4(self, gateway):
        api = self.checked(gateway, {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
                "price": {"type": "number", "multipleOf": 0.5},
                "name": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
                "kind": {"enum": ["a", "b"]},
                "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2, "uniqueItems": True},
                "one": {"oneOf": [{"type": "string"}, {"type": "boolean"}]},
            },
            "additionalProperties": False,
        })  # fmt: skip
        for good in {"id": 2}, {"id": 2, "price": 1.5}, {"id": 2, "name": "ab"}, {"id": 2, "tags": ["a", "b"]}, {"id": 2, "one": True}:
            assert api.fits(good), good
        for bad in ({}, [], 7, "text", {"id": 1}, {"id": "2"}, {"id": 2, "price": 0.3}, {"id": 2, "name": "a"},
                    {"id": 2, "name": "AB"}, {"id": 2, "kind": "c"}, {"id": 2, "tags": ["a", "a"]},
                    {"id": 2, "tags": ["a", "b", "c"]}, {"id": 2, "one": 1}, {"id": 2, "more": 1}):  # fmt: skip
            assert not api.fits(bad), bad
        for bad in "", "{", "\xff", "{'id': 2}", '{"id": 2} {}':
            assert not api.fits(bad), bad

    def test_formats(self, gateway):
        formats = ("date-time", "email", "hostname", "ipv4", "ipv6", "regex", "uri", "uuid", "date", "int32", "own")
        api = self.checked(gateway, {"properties": {name: {"format": name} for name in formats}})
        good = {"date-time": "2015-03-31T12:00:00.5Z", "email": "a@example.org", "hostname": "example.org", "ipv4": "10.0.0.1",
                "ipv6": "::1", "regex": "a+", "uri": "https://example.org/a", "uuid": "123e4567-e89b-12d3-a456-426614174000",
                "date": "any", "int32": "any", "own": "any"}  # fmt: skip
        assert api.fits(good)
        for name in formats[:8]:
            assert not api.fits({name: "( no such thing"}), name
            assert api.fits({name: 7}), name

    def test_models_refer_to_each_other_by_url(self, gateway):
        url = "https://apigateway.amazonaws.com/restapis/API_ID/models"
        schemas = {
            "Leaf": {"$schema": DRAFT4, "type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            "Thing": {"$schema": DRAFT4, "type": "object", "properties": {"leaves": {"type": "array", "items": {"$ref": f"{url}/Leaf"}}}},
        }  # fmt: skip
        api = Checked(gateway, models={"application/json": "Thing"}, schemas=schemas)
        assert api.fits({"leaves": [{"name": "a"}]})
        assert not api.fits({"leaves": [{"name": 1}]})

    def test_a_model_of_itself(self, gateway):
        api = self.checked(gateway, {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False})
        assert api.fits({"next": {"next": {}}})
        assert not api.fits({"next": {"next": {"other": 1}}})

    def test_definitions_within_a_model(self, gateway):
        api = self.checked(gateway, {"$ref": "#/definitions/A", "definitions": {"A": {"type": "array"}}})
        assert api.fits([]) and not api.fits({})

    def test_the_media_type_chooses_the_model(self, gateway):
        api, sent = self.checked(gateway, {"type": "array"}), '{"statusCode": 200}'
        assert not api.fits(sent) and not api.fits(sent, **{"Content-Type": "application/json; charset=utf-8"})
        # No model for this one; and no template, so that the mock reads the body as it is.
        assert api.fits(sent, **{"Content-Type": "application/vnd.other+json"})

    def test_one_model_for_all_media_types(self, gateway):
        schema = {"type": "object", "required": ["statusCode"]}
        api = Checked(gateway, models={"$default": "Any"}, schemas={"Any": schema})
        for media_type in "application/json", "text/plain", "application/vnd.other+json":
            assert not api.fits('{"x": 1}', **{"Content-Type": media_type}), media_type
        assert api.fits('{"statusCode": 200}', **{"Content-Type": "application/vnd.other+json"})

    def test_no_content_type_is_json(self, gateway):
        api = self.checked(gateway, {"type": "object"})
        assert api.fits(b"{}") and not api.fits(b"[]")

    def test_the_empty_model_takes_any_object(self, gateway):
        api = Checked(gateway, models={"application/json": "Empty"})
        assert api.fits("{}") and api.fits('{"a": [1]}')

    def test_without_the_flag_nothing_is_checked(self, gateway):
        schemas = {"Thing": {"$schema": DRAFT4, "type": "object"}}
        api = Checked(gateway, models={"application/json": "Thing"}, schemas=schemas, body=False)
        assert api.fits("[]")

    def test_any_and_its_body(self, gateway):
        schemas = {"Thing": {"$schema": DRAFT4, "type": "object"}}
        api = Checked(gateway, verb="ANY", models={"application/json": "Thing"}, schemas=schemas)
        assert api.fits("{}") and not api.fits("[]")
        assert api.answer("[]", verb="PUT") == (400, "Invalid request body")

    def test_a_schema_that_is_none(self, gateway):
        api = gateway.rest_api()
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            api.client.create_model(restApiId=api.id, name="Bad", contentType="application/json", schema="{")
        assert refused.value.response["Error"]["Code"] == "BadRequestException"
