"""Which template is chosen, what passes without one, and the two tables that convert text and binary."""

import base64
import json

import pytest
from harness import body_json
from origin import read_head

BINARY = bytes(range(256))
BASE64 = base64.b64encode(BINARY)


def backend(raw_origin, body=b"{}", media_type="application/json"):
    """Remembers the bodies it gets, and answers with this one."""
    bodies = []

    def play(link):
        head, rest = read_head(link)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(rest) < int(fields.get(b"content-length", 0)):
            rest += link.recv(65536)
        bodies.append(rest)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        link.sendall(head.encode() + body)

    return raw_origin(play), bodies


def api_of(gateway, uri, request=None, response=None, binary=(), kind="HTTP"):
    api = gateway.rest_api(binaryMediaTypes=list(binary))
    api.proxy("POST", "/", uri, kind=kind, **(request or {}))
    where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
    api.client.put_method_response(**where, statusCode="200")
    api.client.put_integration_response(**where, statusCode="200", **(response or {}))
    api.deploy()
    return api


def handling(value):
    return {"contentHandling": value} if value else {}


class TestRequests:
    """The nine rows of the developer guide, and what fails."""

    @pytest.mark.parametrize(
        "sent, media_type, binary, conversion, expected",
        [
            (b"text \xc3\xa9", "text/plain", (), None, b"text \xc3\xa9"),
            (BASE64, "text/plain", (), "CONVERT_TO_BINARY", BINARY),
            (BASE64, "text/plain", (), "CONVERT_TO_TEXT", BASE64),
            (b"text", "text/plain", ("image/png",), None, b"text"),
            (BASE64, "text/plain", ("image/png",), "CONVERT_TO_BINARY", BINARY),
            (BASE64, "text/plain", ("image/png",), "CONVERT_TO_TEXT", BASE64),
            (BINARY, "image/png", ("image/png",), None, BINARY),
            (BINARY, "image/png", ("image/png",), "CONVERT_TO_BINARY", BINARY),
            (BINARY, "image/png", ("image/png",), "CONVERT_TO_TEXT", BASE64),
            (BINARY, "image/png", ("image/*",), "CONVERT_TO_TEXT", BASE64),
            (BINARY, "image/png", ("*/*",), None, BINARY),
            (b"\xff", "text/plain", (), None, "\ufffd".encode()),
        ],
    )
    def test_row(self, gateway, raw_origin, sent, media_type, binary, conversion, expected):
        origin, bodies = backend(raw_origin)
        api = api_of(gateway, origin.url, handling(conversion), binary=binary)
        assert api.call("POST", "/", data=sent, headers={"Content-Type": media_type}).status_code == 200
        assert bodies == [expected]

    @pytest.mark.parametrize("sent", [b"no base64!", b"YWI", b"\xff\xfe"])
    def test_what_is_no_base64(self, gateway, raw_origin, sent):
        origin, bodies = backend(raw_origin)
        api = api_of(gateway, origin.url, handling("CONVERT_TO_BINARY"))
        answer = api.call("POST", "/", data=sent, headers={"Content-Type": "text/plain"})
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})
        assert answer.headers["x-amzn-ErrorType"] == "InternalServerErrorException" and not bodies

    def test_a_template_sees_binary_as_base64(self, gateway, raw_origin):
        origin, bodies = backend(raw_origin)
        template = {"requestTemplates": {"image/png": '{"data": "$input.body"}'}, **handling("CONVERT_TO_TEXT")}
        api = api_of(gateway, origin.url, template, binary=["image/png"])
        api.call("POST", "/", data=BINARY, headers={"Content-Type": "image/png"})
        assert json.loads(bodies[0]) == {"data": BASE64.decode()}


class TestResponses:
    """The fifteen rows, for a backend that answers with text (base64) or binary."""

    @pytest.mark.parametrize(
        "answered, accept, binary, conversion, expected",
        [
            ("text", "text/plain", False, None, BASE64),
            ("text", "text/plain", False, "CONVERT_TO_BINARY", BINARY),
            ("text", "text/plain", False, "CONVERT_TO_TEXT", BASE64),
            ("text", "text/plain", True, None, BASE64),
            ("text", "text/plain", True, "CONVERT_TO_BINARY", BINARY),
            ("text", "text/plain", True, "CONVERT_TO_TEXT", BASE64),
            ("text", "image/png", True, None, BINARY),
            ("text", "image/png", True, "CONVERT_TO_BINARY", BINARY),
            ("text", "image/png", True, "CONVERT_TO_TEXT", BASE64),
            ("binary", "text/plain", True, None, BASE64),
            ("binary", "text/plain", True, "CONVERT_TO_BINARY", BINARY),
            ("binary", "text/plain", True, "CONVERT_TO_TEXT", BASE64),
            ("binary", "image/png", True, None, BINARY),
            ("binary", "image/png", True, "CONVERT_TO_BINARY", BINARY),
            ("binary", "image/png", True, "CONVERT_TO_TEXT", BASE64),
            # Only the first type that a client accepts counts.
            ("binary", "image/png, text/plain", True, None, BINARY),
            ("binary", "text/html, image/png", True, None, BASE64),
        ],
    )
    def test_row(self, gateway, raw_origin, answered, accept, binary, conversion, expected):
        body, media_type = (BASE64, "text/plain") if answered == "text" else (BINARY, "image/png")
        origin, _ = backend(raw_origin, body, media_type)
        api = api_of(gateway, origin.url, response=handling(conversion), binary=["image/png"] if binary else [])
        answer = api.call("POST", "/", headers={"Accept": accept})
        assert (answer.status_code, answer.content) == (200, expected)

    def test_what_is_no_base64(self, gateway, raw_origin):
        origin, _ = backend(raw_origin, b"no base64!", "text/plain")
        api = api_of(gateway, origin.url, response=handling("CONVERT_TO_BINARY"))
        answer = api.call("POST", "/")
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})


class TestProxies:
    """HTTP_PROXY: a payload passes as it is, unless its answer and the client differ about what is binary."""

    def proxied(self, gateway, raw_origin, body, media_type, binary):
        origin, bodies = backend(raw_origin, body, media_type)
        api = gateway.rest_api(binaryMediaTypes=list(binary))
        api.proxy("POST", "/", origin.url)
        api.deploy()
        return api, bodies

    @pytest.mark.parametrize(
        "answered, accept, binary, expected",
        [
            ("binary", "image/png", ["image/png"], BINARY),
            ("binary", "text/html", ["image/png"], BASE64),
            ("binary", "image/png;q=0.9, text/html", ["image/*"], BINARY),
            ("text", "text/html", ["image/png"], BASE64),
            ("text", "image/png", ["image/png"], BINARY),
            ("binary", "text/html", ["*/*"], BINARY),
            ("binary", "text/html", [], BINARY),
        ],
    )
    def test_answers(self, gateway, raw_origin, answered, accept, binary, expected):
        body, media_type = (BASE64, "text/plain") if answered == "text" else (BINARY, "image/png")
        api, _ = self.proxied(gateway, raw_origin, body, media_type, binary)
        answer = api.call("POST", "/", headers={"Accept": accept})
        assert (answer.status_code, answer.content) == (200, expected)
        assert int(answer.headers["Content-Length"]) == len(expected)

    def test_an_answer_that_is_no_base64(self, gateway, raw_origin):
        api, _ = self.proxied(gateway, raw_origin, b"no base64!", "text/plain", ["image/png"])
        answer = api.call("POST", "/", headers={"Accept": "image/png"})
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})

    @pytest.mark.parametrize("binary", [[], ["image/png"], ["*/*"]])
    def test_requests(self, gateway, raw_origin, binary):
        api, bodies = self.proxied(gateway, raw_origin, b"{}", "application/json", binary)
        for media_type in "image/png", "text/plain":
            api.call("POST", "/", data=BINARY, headers={"Content-Type": media_type})
        assert bodies == [BINARY, BINARY]


class TestPassthrough:
    # Content type of the request; what each mode does with it where a template for application/json is there.
    CASES = {
        "WHEN_NO_MATCH": {"application/json": "mapped", None: "mapped", "application/xml": "passed"},
        "WHEN_NO_TEMPLATES": {"application/json": "mapped", None: "mapped", "application/xml": 415},
        "NEVER": {"application/json": "mapped", None: "mapped", "application/xml": 415},
    }

    @pytest.mark.parametrize("mode", CASES)
    @pytest.mark.parametrize("with_template", [True, False])
    def test_mode(self, gateway, raw_origin, mode, with_template):
        origin, bodies = backend(raw_origin)
        templates = {"requestTemplates": {"application/json": "mapped"}} if with_template else {}
        api = api_of(gateway, origin.url, {"passthroughBehavior": mode, **templates})
        for media_type, expected in self.CASES[mode].items():
            if not with_template:
                expected = 415 if mode == "NEVER" else "passed"
            headers = {"Content-Type": media_type} if media_type else {}
            answer = api.call("POST", "/", data=b"passed", headers=headers)
            if expected == 415:
                assert (answer.status_code, body_json(answer)) == (415, {"message": "Unsupported Media Type"}), media_type
                assert answer.headers["x-amzn-ErrorType"] == "BadRequestException"
            else:
                assert (answer.status_code, bodies.pop()) == (200, expected.encode()), media_type
            assert not bodies

    def test_parameters_and_case_of_a_media_type(self, gateway, raw_origin):
        origin, bodies = backend(raw_origin)
        api = api_of(gateway, origin.url, {"requestTemplates": {"application/json": "mapped"}, "passthroughBehavior": "NEVER"})
        for media_type in "application/json; charset=utf-8", "Application/JSON":
            assert api.call("POST", "/", data=b"x", headers={"Content-Type": media_type}).status_code == 200
        assert bodies == [b"mapped"] * 2


class TestResponseTemplates:
    def api(self, gateway, **templates):
        api = gateway.rest_api()
        api.mock("GET", "/", "unused")
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET"}
        names = {name.replace("_", "/"): text for name, text in templates.items()}
        api.client.put_integration_response(**where, statusCode="200", responseTemplates=names)
        api.deploy()
        return api

    def test_accept_chooses(self, gateway):
        api = self.api(gateway, application_json="json", application_xml="xml", text_html="html")
        for accept, expected in {
            "application/xml": "xml", "text/html": "html", "application/json": "json", "*/*": "json", "image/png": "json",
            "text/html;level=1": "html", "application/xml, text/html": "xml", "image/png, text/html": "json",
        }.items():  # fmt: skip
            answer = api.call("GET", "/", headers={"Accept": accept})
            assert answer.text == expected, accept
        assert api.call("GET", "/", headers={"Accept": "text/html"}).headers["Content-Type"] == "text/html"

    def test_without_one_for_json_the_first(self, gateway):
        api = self.api(gateway, application_xml="xml")
        answer = api.call("GET", "/", headers={"Accept": "application/json"})
        assert (answer.text, answer.headers["Content-Type"]) == ("xml", "application/xml")
