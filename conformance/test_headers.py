"""Which headers the gateway adds, drops and renames, by the kind of integration."""

import json
import re
import subprocess

import pytest
from harness import body_json, lambda_uri
from origin import read_head
from test_functions import ROLE, create

OWN = ("x-amzn-RequestId", "x-amz-apigw-id")
DROPPED = ("Content-MD5", "Max-Forwards", "Proxy-Authenticate", "Server", "TE", "Trailer", "Upgrade", "WWW-Authenticate")


@pytest.fixture
def function(gateway):
    """A proxied function that answers with the headers that it is sent as a body, and the event's as its own."""
    source = "exports.handler = async (event) => ({statusCode: 200, headers: JSON.parse(event.body || '{}'), body: JSON.stringify(event.headers)});"
    arn = create(gateway, "f", source)
    api = gateway.rest_api()
    api.proxy("POST", "/", lambda_uri(arn), kind="AWS_PROXY", credentials=ROLE)
    api.deploy()
    return api


def test_a_function_is_not_shown_what_belongs_to_the_connection(function):
    seen = body_json(function.call("POST", "/", headers={name: "mine" for name in DROPPED} | {"X-Kept": "kept"}))
    names = {name.lower() for name in seen}
    assert not {name.lower() for name in DROPPED} & names and "content-length" not in names and "connection" not in names
    assert seen["X-Kept"] == "kept" and seen["X-Forwarded-Proto"] == "http"
    assert {"x-forwarded-for", "x-forwarded-port", "x-amzn-trace-id", "host"} <= names


def test_what_a_function_may_not_set_is_renamed_or_dropped(function):
    sent = {"Date": "mine", "Server": "mine", "Content-Length": "7", "Connection": "mine", "Transfer-Encoding": "mine",
            "WWW-Authenticate": "Basic", "X-Kept": "kept"}  # fmt: skip
    answer = function.call("POST", "/", data=json.dumps(sent))
    assert answer.status_code == 200
    for name in "Date", "Server", "Content-Length", "Connection":
        assert answer.headers[f"x-amzn-Remapped-{name}"] == sent[name] and answer.headers.get(name) != sent[name], name
    assert "mine" not in answer.headers.get("Transfer-Encoding", "") and answer.headers["X-Kept"] == "kept"
    assert answer.headers["X-Amzn-Trace-Id"].startswith("Root=")


def test_who_tells_a_trace_id(gateway, echo):
    api = gateway.rest_api()
    api.mock("GET", "/mock", "fine")
    api.proxy("GET", "/proxy", echo.url)
    api.proxy("GET", "/http", echo.url, kind="HTTP")
    where = {"restApiId": api.id, "resourceId": api.resource("/http"), "httpMethod": "GET"}
    api.client.put_method_response(**where, statusCode="200")
    api.client.put_integration_response(**where, statusCode="200")
    api.deploy()
    for path, told in {"/http": True, "/mock": False, "/proxy": False, "/nowhere": False}.items():
        headers = api.call("GET", path).headers
        assert ("X-Amzn-Trace-Id" in headers) == told, path
        assert all(headers[name] for name in OWN), path


def test_a_backends_own_request_id_is_renamed(gateway, raw_origin):
    def play(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: theirs\r\nX-Amzn-Trace-Id: theirs\r\nContent-Length: 0\r\n\r\n")

    api = gateway.rest_api()
    api.proxy("GET", "/", raw_origin(play).url)
    api.deploy()
    headers = api.call("GET", "/").headers
    assert (headers["x-amzn-Remapped-x-amzn-RequestId"], headers["X-Amzn-Trace-Id"]) == ("theirs", "theirs")
    assert len(headers["x-amzn-RequestId"]) == 36


def test_an_unmatched_status_gets_the_default_response_and_a_proxy_keeps_it(gateway, echo):
    api = gateway.rest_api()
    for kind in "HTTP", "HTTP_PROXY":
        api.proxy("GET", f"/{kind}", echo.url + "/status/400", kind=kind)
    where = {"restApiId": api.id, "resourceId": api.resource("/HTTP"), "httpMethod": "GET"}
    api.client.put_method_response(**where, statusCode="200")
    api.client.put_integration_response(**where, statusCode="200")
    api.deploy()
    assert [api.call("GET", path).status_code for path in ("/HTTP", "/HTTP_PROXY")] == [200, 400]


def test_a_client_may_choose_the_request_id_if_it_is_one(gateway):
    api = gateway.rest_api()
    api.mock("GET", "/", "$context.requestId")
    api.deploy()
    chosen = "0a1b2c3d-1111-4222-8333-444455556666"
    answer = api.call("GET", "/", headers={"x-amzn-requestid": chosen})
    assert (answer.text, answer.headers["x-amzn-RequestId"]) == (chosen, chosen)


@pytest.mark.parametrize("sent", ["mine", "0a1b2c3d-1111-4222-8333-44445555666", "0a1b2c3d111142228333444455556666"])
def test_a_request_id_that_is_none_is_replaced(gateway, sent):
    api = gateway.rest_api()
    api.mock("GET", "/", "$context.requestId")
    api.deploy()
    answer = api.call("GET", "/", headers={"x-amzn-RequestId": sent})
    assert answer.text == answer.headers["x-amzn-RequestId"] == "UUID_REPLACED_INVALID_REQUEST_ID"


def test_a_backend_in_parts_keeps_several_values(gateway, raw_origin):
    def play(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close\r\n\r\nok")

    api = gateway.rest_api()
    api.proxy("GET", "/", raw_origin(play).url)
    api.deploy()
    assert api.call("GET", "/").raw.headers.getlist("Set-Cookie") == ["a=1", "b=2"]


def test_an_answer_to_head_tells_no_length_that_get_would_not_have(gateway, raw_origin):
    api = gateway.rest_api()
    api.proxy("HEAD", "/unknown", raw_origin(lambda link: read_head(link) and link.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")).url)
    api.mock("HEAD", "/mock", "four")
    api.deploy()
    assert "Content-Length" not in api.call("HEAD", "/unknown").headers
    assert api.call("HEAD", "/mock").headers["Content-Length"] == "4"
    host = f"Host: {api.id}.execute-api.localhost"
    for path, lengths in ("/unknown", []), ("/mock", ["content-length: 4"]):
        asked = ["curl", "-sS", "-I", "--http2-prior-knowledge", "-H", host, f"{gateway.traffic}/test{path}"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout
        assert re.findall(r"content-length: \d+", told) == lengths, told


@pytest.mark.parametrize("path, length", [("/bytes/1234", "1234"), ("/bytes/0", "0")])
def test_an_answer_to_head_tells_the_length_of_the_body_that_is_not_there(gateway, echo, path, length):
    api = gateway.rest_api()
    api.proxy("HEAD", "/", f"{echo.url}{path}")
    api.deploy()
    headers = api.call("HEAD", "/").headers
    assert (headers["Content-Length"], headers["x-amzn-Remapped-Content-Length"]) == (length, length)
