"""Text and binary payloads: every row of the developer guide's two tables, and which template or passthrough applies."""

import base64

import pytest
from harness import body_json
from origin import read_head

TEXT, BINARY = "CONVERT_TO_TEXT", "CONVERT_TO_BINARY"
IMAGE = ["image/png"]
BASE64, BYTES = b"YWI=", b"\xff\x00\xfe"
ENCODED = base64.b64encode(BYTES)


def api_with(gateway, url, kind="HTTP", handling=None, types=None, response=None, **options):
    api = gateway.rest_api(**({"binaryMediaTypes": types} if types else {}))
    if handling:
        options["contentHandling"] = handling
    api.proxy("POST", "/", url, kind=kind, **options)
    if kind != "HTTP_PROXY":
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST", "statusCode": "200"}
        api.client.put_method_response(**where)
        api.client.put_integration_response(**where, **(response or {}))
    api.deploy()
    return api


class TestRequests:
    @pytest.mark.parametrize("kind", ["HTTP", "HTTP_PROXY"])
    @pytest.mark.parametrize(
        ("body", "content_type", "types", "handling", "expected"),
        [
            (BASE64, "image/png", None, None, BASE64),
            (BASE64, "image/png", None, BINARY, b"ab"),
            (BASE64, "image/png", None, TEXT, BASE64),
            (BASE64, "text/plain", IMAGE, None, BASE64),
            (BASE64, "text/plain", IMAGE, BINARY, b"ab"),
            (BASE64, "text/plain", IMAGE, TEXT, BASE64),
            (BYTES, "image/png", IMAGE, None, BYTES),
            (BYTES, "image/png", IMAGE, BINARY, BYTES),
            (BYTES, "image/png", IMAGE, TEXT, ENCODED),
        ],
    )
    def test_rows(self, gateway, echo, kind, body, content_type, types, handling, expected):
        api = api_with(gateway, echo.url, kind, handling, types)
        assert api.call("POST", "/", data=body, headers={"Content-Type": content_type}).status_code == 200
        assert echo.seen[-1][3] == expected

    @pytest.mark.parametrize("kind", ["HTTP", "HTTP_PROXY"])
    def test_no_base64(self, gateway, echo, kind):
        api = api_with(gateway, echo.url, kind, BINARY)
        answer = api.call("POST", "/", data=b"no base64!", headers={"Content-Type": "text/plain"})
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})
        assert not [request for request in echo.seen if request[0] == "POST"]

    def test_a_template_sees_binary_as_base64(self, gateway, echo):
        template = {"image/png": '{"data": "$input.body"}'}
        api = api_with(gateway, echo.url, handling=TEXT, types=IMAGE, requestTemplates=template)
        api.call("POST", "/", data=BYTES, headers={"Content-Type": "image/png"})
        assert echo.seen[-1][3] == b'{"data": "%s"}' % ENCODED


class TestResponses:
    @pytest.fixture
    def origin(self, raw_origin):
        def play(link):
            head, _ = read_head(link)
            kind, body = (b"image/png", BYTES) if b" /binary" in head else (b"text/plain", BASE64)
            if b" /ascii" in head:
                kind, body = b"image/png", BASE64
            if b" /wrong" in head:
                body = b"no base64!"
            link.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (kind, len(body), body)
            )

        return raw_origin(play)

    def call(self, gateway, origin, payload, accept, types, handling):
        response = {"contentHandling": handling} if handling else {}
        api = api_with(gateway, f"{origin.url}/{payload}", types=types, response=response)
        return api.call("POST", "/", headers={"Accept": accept})

    @pytest.mark.parametrize(
        ("payload", "accept", "types", "handling", "expected"),
        [
            ("text", "text/plain", None, None, BASE64),
            ("ascii", "text/plain", None, None, BASE64),
            ("text", "text/plain", None, BINARY, b"ab"),
            ("ascii", "text/plain", None, BINARY, b"ab"),
            ("text", "text/plain", None, TEXT, BASE64),
            ("ascii", "text/plain", None, TEXT, BASE64),
            ("text", "text/plain", IMAGE, None, BASE64),
            ("text", "text/plain", IMAGE, BINARY, b"ab"),
            ("text", "text/plain", IMAGE, TEXT, BASE64),
            ("text", "image/png", IMAGE, None, b"ab"),
            ("text", "image/png", IMAGE, BINARY, b"ab"),
            ("text", "image/png", IMAGE, TEXT, BASE64),
            ("binary", "text/plain", IMAGE, None, ENCODED),
            ("binary", "text/plain", IMAGE, BINARY, BYTES),
            ("binary", "text/plain", IMAGE, TEXT, ENCODED),
            ("binary", "image/png", IMAGE, None, BYTES),
            ("binary", "image/png", IMAGE, BINARY, BYTES),
            ("binary", "image/png", IMAGE, TEXT, ENCODED),
            # Only the first type counts.
            ("binary", "image/png, text/plain", IMAGE, None, BYTES),
            ("binary", "text/html, image/png", IMAGE, None, ENCODED),
        ],
    )
    def test_rows(self, gateway, origin, payload, accept, types, handling, expected):
        answer = self.call(gateway, origin, payload, accept, types, handling)
        assert (answer.status_code, answer.content) == (200, expected)

    @pytest.mark.parametrize(("accept", "handling"), [("text/plain", BINARY), ("image/png", None)])
    def test_no_base64(self, gateway, origin, accept, handling):
        answer = self.call(gateway, origin, "wrong", accept, IMAGE, handling)
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})


class TestPassthrough:
    JSON = {"application/json": "template"}

    @pytest.mark.parametrize(
        ("behavior", "templates", "content_type", "expected"),
        [
            ("WHEN_NO_MATCH", JSON, "application/json", "template"),
            ("WHEN_NO_MATCH", JSON, "text/plain", "body"),
            ("WHEN_NO_MATCH", {}, "text/plain", "body"),
            ("WHEN_NO_TEMPLATES", JSON, "application/json", "template"),
            ("WHEN_NO_TEMPLATES", JSON, "text/plain", None),
            ("WHEN_NO_TEMPLATES", {}, "text/plain", "body"),
            ("NEVER", JSON, "application/json", "template"),
            ("NEVER", JSON, "text/plain", None),
            ("NEVER", {}, "text/plain", None),
            # Without a Content-Type it is application/json, and parameters do not count.
            ("NEVER", JSON, None, "template"),
            ("NEVER", JSON, "Application/JSON; charset=utf-8", "template"),
        ],
    )
    def test_rows(self, gateway, echo, behavior, templates, content_type, expected):
        api = api_with(gateway, echo.url, requestTemplates=templates, passthroughBehavior=behavior)
        headers = {"Content-Type": content_type} if content_type else {}
        answer = api.call("POST", "/", data=b"body", headers=headers)
        if expected is None:
            assert (answer.status_code, body_json(answer)) == (415, {"message": "Unsupported Media Type"})
        else:
            assert (answer.status_code, body_json(answer)["body"]) == (200, expected)
