"""Bodies that are made to hurt: each has an answer of AWS's, in bounded time and memory, and others go on being served."""

import gzip
import json
import time

import pytest
from harness import body_json

SECONDS_MAX = 10
DEEP = {
    "arrays": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "never-closed": b"[" * 1_000_000,
}
NUMBERS = [b"1e999999", b"-1e999999", b"9" * 100_000, b"0." + b"9" * 100_000, b"1e-999999", b"123456789012345678901234567890"]
BAD_TEXT = [b'"\xff\xfe"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\\ud800"', b'{"a\xff": 1}', b'"\0"']
BACKTRACKING = "^(a+)+$"


@pytest.fixture
def api(gateway, echo):
    """`/model`: validated; `/template`: read by a template; `/mapped`: read by a mapping."""
    api = gateway.rest_api()
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"s": {"type": "string", "pattern": BACKTRACKING}}}
    api.client.create_model(restApiId=api.id, name="M", contentType="application/json", schema=json.dumps(schema))
    validator = api.client.create_request_validator(restApiId=api.id, name="v", validateRequestBody=True)["id"]
    api.mock("POST", "/model", "fine")
    where = {"restApiId": api.id, "resourceId": api.resource("/model"), "httpMethod": "POST"}
    patches = [
        {"op": "replace", "path": "/requestValidatorId", "value": validator},
        {"op": "add", "path": "/requestModels/application~1json", "value": "M"},
    ]
    api.client.update_method(**where, patchOperations=patches)
    for path, integration in {
        "/template": {"requestTemplates": {"application/json": "$input.json('$') $input.path('$..a') $input.path('$.s').matches('(a+)+b')"}},
        "/mapped": {"requestParameters": {"integration.request.querystring.a": "method.request.body.a"}},
    }.items():
        api.proxy("POST", path, echo.url + "/count", kind="HTTP", **integration)
        where = {"restApiId": api.id, "resourceId": api.resource(path), "httpMethod": "POST"}
        api.client.put_method_response(**where, statusCode="200")
        api.client.put_integration_response(**where, statusCode="200")
    api.deploy()
    yield api
    assert api.call("POST", "/model", data=b"{}").text == "fine"


def answered(api, path, data, **options):
    begun = time.monotonic()
    answer = api.call("POST", path, data=data, **options)
    assert time.monotonic() - begun < SECONDS_MAX, (path, data[:100])
    return answer


@pytest.mark.parametrize("name", DEEP)
def test_deep_json(api, name):
    answer = answered(api, "/model", DEEP[name])
    assert (answer.status_code, body_json(answer)) == (400, {"message": "Invalid request body"})
    answer = answered(api, "/template", DEEP[name])
    assert answer.status_code == 400 and "Could not parse request body into json" in answer.text
    answer = answered(api, "/mapped", DEEP[name])
    assert (answer.status_code, body_json(answer)) == (400, {"message": "Invalid JSON in request body"})


def test_as_deep_as_may_be(api):
    """Jayway's parser reads 400 levels."""
    for path in "/model", "/template", "/mapped":
        assert answered(api, path, b"[" * 400 + b"]" * 400).status_code == 200, path
        assert answered(api, path, b'{"a":' * 400 + b"1" + b"}" * 400).status_code == 200, path


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12].decode())
def test_huge_numbers(api, number):
    for path in "/model", "/template", "/mapped":
        answer = answered(api, path, b'{"a": %s}' % number)
        assert answer.status_code in (200, 400), (path, answer.status_code)
        assert answer.status_code == 200 or set(body_json(answer)) == {"message"}


@pytest.mark.parametrize("text", BAD_TEXT, ids=repr)
def test_text_that_is_no_unicode(api, text):
    for path in "/model", "/template", "/mapped":
        answer = answered(api, path, text)
        assert answer.status_code in (200, 400), (path, answer.status_code)
        assert answer.status_code == 200 or set(body_json(answer)) == {"message"}


def test_a_pattern_that_steps_back(api):
    data = json.dumps({"s": "a" * 200_000 + "!"}).encode()
    answer = answered(api, "/model", data)
    assert (answer.status_code, body_json(answer)) == (400, {"message": "Invalid request body"})
    assert answered(api, "/template", data).status_code == 200


def test_a_pattern_that_steps_back_over_an_error_message(gateway, raw_origin):
    """The one selection pattern that needs it gives up."""
    api = gateway.rest_api()
    template = '{"statusCode": 200}'
    api.mock("POST", "/", "default")
    where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
    api.client.put_method_response(**where, statusCode="400")
    api.client.put_integration_response(**where, statusCode="400", selectionPattern=r"(?:(\d+)+)(?!0)\1x")
    api.deploy()
    assert template and answered(api, "/", b"").text == "default"


@pytest.mark.parametrize("path", ["/model", "/template", "/mapped"])
def test_compressed_bombs(api, path):
    bomb = gzip.compress(b" " * (200 * 1024 * 1024), 9)
    answer = answered(api, path, bomb, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert (answer.status_code, body_json(answer)) == (413, {"message": "Request Too Long"})


@pytest.mark.parametrize("path", ["/model", "/template", "/mapped"])
def test_many_keys(api, path):
    data = json.dumps({f"k{number}": number for number in range(200_000)}).encode()
    assert answered(api, path, data).status_code in (200, 400, 500)


class TestPatterns:
    """Regular expressions of templates that no linear engine knows."""

    def api(self, gateway, template):
        api = gateway.rest_api()
        api.mock("GET", "/fine", "fine")
        api.mock("POST", "/", "")
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
        # A MOCK's answer has no body: what the request's template makes is told by an override.
        value = f"#set($context.responseOverride.header.X-Made = {template})" + '{"statusCode": 200}'
        patch = [{"op": "replace", "path": "/requestTemplates/application~1json", "value": value}]
        api.client.update_integration(**where, patchOperations=patch)
        api.deploy()
        return api

    @pytest.mark.parametrize(
        "template, body, expected",
        [
            (r"""$input.path('$.s').replaceAll("(?<!\\)'", "q")""", {"s": "it's \\'x"}, "itqs \\'x"),
            (r"""$input.path('$.s').replaceAll('(?<=\d)(?=(\d{3})+$)', ',')""", {"s": "1234567"}, "1,234,567"),
            (r"""$input.path('$.s').matches('(?!admin).*')""", {"s": "administrator"}, "false"),
            (r"""$input.path('$.s').matches('(.+)-\1')""", {"s": "ab-ab"}, "true"),
            (r"""$input.path('$.s').split('(?=[A-Z])').size()""", {"s": "camelCaseText"}, "3"),
            (r"""$input.json("$.list[?(@.a =~ /x(?!y).*/)].a")""", {"list": [{"a": "xy"}, {"a": "xz"}]}, '["xz"]'),
        ],
    )
    def test_look_around_and_back_references(self, gateway, template, body, expected):
        answer = self.api(gateway, template).call("POST", "/", json=body)
        assert (answer.status_code, answer.headers.get("X-Made")) == (200, expected), answer.text

    @pytest.mark.parametrize(
        "template",
        [
            "$input.path('$.s').matches('((?=a)a+)+b')",
            "$input.path('$.s').replaceAll('((?!c)a+)+b', 'x')",
            "$input.path('$.s').split('(a*)*\\1b')",
            "$input.json('$.l[?(@.s =~ /((?=a)a+)+b/)]')",
        ],
    )
    def test_more_steps_than_allowed(self, gateway, template):
        api = self.api(gateway, template)
        for length in 100, 10_000, 1_000_000:
            text = "a" * length
            answer = answered(api, "/", json.dumps({"s": text, "l": [{"s": text}]}).encode())
            assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})
        assert api.call("GET", "/fine").text == "fine"
