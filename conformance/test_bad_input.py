"""Input that is wrong, and upstreams that are: each has one clear answer, and nothing else comes to harm."""

import io
import json
import os
import re
import socket
import threading
import zipfile

import botocore.exceptions
import pytest
import requests
from harness import binary, body_json, eventually, receive_all
from origin import read_head

PAYLOAD_BYTES_MAX = 10 * 1024 * 1024
HEAD_BYTES_MAX = 10_240


@pytest.fixture
def api(gateway, echo):
    api = gateway.rest_api()
    api.mock("GET", "/", "fine")
    api.proxy("ANY", "/echo", echo.url)
    api.proxy("POST", "/count", echo.url + "/count")
    api.deploy()
    api.host = f"{api.id}.execute-api.localhost"
    yield api
    # Whatever was sent, the gateway goes on.
    assert api.call("GET", "/").text == "fine"


def statuses(received):
    """Of all responses in these bytes; no body in this file holds a status line."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", received)]


POST = "POST /test/echo HTTP/1.1\r\nHost: {host}\r\n"
SMUGGLED = "GET /test/echo?smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"
REFUSED = {
    "length-and-chunked": POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked-and-length": POST + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two-lengths": POST + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "list-of-lengths": POST + "Content-Length: 0, 5\r\n\r\n" + SMUGGLED,
    "negative-length": POST + "Content-Length: -1\r\n\r\n" + SMUGGLED,
    "signed-length": POST + "Content-Length: +5\r\n\r\nabcde" + SMUGGLED,
    "hex-length": POST + "Content-Length: 0x5\r\n\r\nabcde" + SMUGGLED,
    "huge-length": POST + "Content-Length: 99999999999999999999999\r\n\r\n" + SMUGGLED,
    "unknown-coding": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked-not-last": POST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "space-before-colon": POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "folded-line": POST + "X-Folded: a\r\n b\r\n\r\n" + SMUGGLED,
    "folded-coding": POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two-hosts": POST + "Host: other\r\n\r\n" + SMUGGLED,
    "no-host": "GET /test/echo HTTP/1.1\r\n\r\n" + SMUGGLED,
    "bare-line-feeds": "GET /test/echo HTTP/1.1\nHost: {host}\n\n" + SMUGGLED,
    "nul-in-value": POST + "X-Nul: a\0b\r\n\r\n" + SMUGGLED,
    "return-in-value": POST + "X-Return: a\rb\r\n\r\n" + SMUGGLED,
    "nul-in-target": "GET /test/ec\0ho HTTP/1.1\r\nHost: {host}\r\n\r\n" + SMUGGLED,
    "space-in-name": POST + "X Name: a\r\n\r\n" + SMUGGLED,
    "no-version": "GET /test/echo\r\nHost: {host}\r\n\r\n" + SMUGGLED,
    "no-request-line": "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 hello over TLS \r\n\r\n",
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_conflicting_or_malformed_heads(api, echo, name):
    received = api.gateway.raw(REFUSED[name].format(host=api.host).encode("latin-1"), 5)
    assert len(found := statuses(received)) == 1 and found[0] in (400, 413, 501), received[:300]
    assert not [path for _, path, _, _ in echo.seen if "smuggled" in path], "the hidden request went through"


@pytest.mark.parametrize(
    "chunks",
    ["zz\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "5\nhello\n0\n\n",
     "0x5\r\nhello\r\n0\r\n\r\n", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n"],
)  # fmt: skip
def test_bad_chunks(api, echo, chunks):
    request = (POST + "Transfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED).format(host=api.host)
    received = api.gateway.raw(request.encode(), 5)
    assert statuses(received) in ([400], [413]), received[:300]
    assert not [path for _, path, _, _ in echo.seen if "smuggled" in path]


def test_bad_chunk_after_good_ones(api, echo):
    """The upstream may have begun to read: what it gets must not look like a whole body."""
    chunks = "5\r\nhello\r\nnot-a-size\r\n0\r\n\r\n"
    received = api.gateway.raw((POST + "Transfer-Encoding: chunked\r\n\r\n" + chunks).format(host=api.host).encode(), 5)
    assert statuses(received) != [200], received[:300]
    assert not [body for _, _, _, body in echo.seen if body], "a broken body was passed on as a whole one"


def test_pipelined_requests_are_answered_in_order(api):
    one = f"GET /test/ HTTP/1.1\r\nHost: {api.host}\r\n\r\n"
    two = f"POST /test/echo?second HTTP/1.1\r\nHost: {api.host}\r\nContent-Length: 3\r\n\r\nabc"
    last = f"GET /test/ HTTP/1.1\r\nHost: {api.host}\r\nConnection: close\r\n\r\n"
    received = api.gateway.raw((one + two + last).encode(), 5)
    assert statuses(received) == [200, 200, 200], received
    assert received.index(b"fine") < received.index(b"second") < received.rindex(b"fine")


def test_absolute_form_and_lower_case_names(api):
    request = f"GET http://{api.host}/test/ HTTP/1.1\r\nhost: {api.host}\r\nconnection: close\r\n\r\n"
    assert statuses(api.gateway.raw(request.encode(), 5)) == [200]


def head_of(api, size):
    """A request whose line and headers take exactly this many bytes."""
    start = f"GET /test/ HTTP/1.1\r\nHost: {api.host}\r\nConnection: close\r\nX-Filler: "
    return (start + "a" * (size - len(start) - 4) + "\r\n\r\n").encode()


def test_head_size_limit(api):
    assert statuses(api.gateway.raw(head_of(api, HEAD_BYTES_MAX - 200), 5)) == [200]
    for size in HEAD_BYTES_MAX + 200, 100_000, 1_000_000:
        try:
            received = api.gateway.raw(head_of(api, size), 5)
        except ConnectionError:
            continue  # it stopped reading early, which is as good
        assert statuses(received) in ([431], []), (size, received[:300])
        assert not received or b'"HTTP header is larger than 10240 bytes."' in received


def test_many_headers(api):
    lines = "".join(f"X-{number}: v\r\n" for number in range(700))
    received = api.gateway.raw(
        f"GET /test/ HTTP/1.1\r\nHost: {api.host}\r\n{lines}Connection: close\r\n\r\n".encode(), 5
    )
    assert statuses(received)[0] in (200, 400, 431)


def test_body_at_and_over_the_limit(api):
    whole = api.call("POST", "/count", data=b"a" * PAYLOAD_BYTES_MAX)
    assert (whole.status_code, whole.text) == (200, str(PAYLOAD_BYTES_MAX))
    answer = api.call("POST", "/echo", data=b"a" * (PAYLOAD_BYTES_MAX + 1))
    assert answer.status_code == 413 and set(body_json(answer)) == {"message"}


def test_chunked_body_over_the_limit(api, echo):
    with socket.create_connection(("127.0.0.1", api.gateway.traffic_port), timeout=10) as link:
        link.sendall((POST + "Transfer-Encoding: chunked\r\n\r\n").format(host=api.host).encode())
        piece = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        try:
            for _ in range(200):
                link.sendall(piece)
            link.sendall(b"0\r\n\r\n")
        except ConnectionError:
            pass  # it answered and stopped reading
        received = receive_all(link, 10)
    assert statuses(received) in ([413], []), received[:300]
    assert not [body for _, _, _, body in echo.seen if len(body) > PAYLOAD_BYTES_MAX]


def test_announced_length_over_the_limit_is_refused_at_once(api):
    head = (POST + f"Content-Length: {PAYLOAD_BYTES_MAX + 1}\r\n\r\n").format(host=api.host)
    assert statuses(api.gateway.raw(head.encode(), 5)) == [413]


def test_body_that_ends_early(api, echo):
    with socket.create_connection(("127.0.0.1", api.gateway.traffic_port), timeout=10) as link:
        link.sendall((POST + "Content-Length: 100\r\n\r\nhello").format(host=api.host).encode())
        link.shutdown(socket.SHUT_WR)
        assert statuses(receive_all(link, 5)) in ([], [400])
    # Bodies stream, so the start may have reached the backend, but never as a request that looks whole.
    for _, _, headers, body in echo.seen:
        assert body != b"hello" or {k.lower(): v for k, v in dict(headers).items()}["content-length"] == "100"


@pytest.mark.parametrize(
    "target, expected",
    [("/test/%", (400, 403)), ("/test/%zz", (400, 403)), ("/test/%00", (400, 403)), ("/test/../test/", (400, 403)),
     ("/test/" + "a/" * 2000, (403,)), ("*", (400, 403, 404)), ("test", (400,))],
)  # fmt: skip
def test_odd_targets(api, target, expected):
    received = api.gateway.raw(f"GET {target} HTTP/1.1\r\nHost: {api.host}\r\nConnection: close\r\n\r\n".encode(), 5)
    assert statuses(received)[0] in expected, received[:300]


@pytest.mark.parametrize("host", ["", "a b", "x/y", "x@y", "[::1", "a.execute-api", ".execute-api.localhost", "é"])
def test_odd_hosts(api, host):
    request = f"GET /test/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert statuses(api.gateway.raw(request.encode("latin-1"), 5))[0] in (400, 403, 404)


class TestUpstreams:
    """What an upstream does wrong reaches the client as an error, or as a cut connection, never as a whole answer."""

    def proxied(self, gateway, raw_origin, answer):
        def play(link):
            read_head(link)
            link.sendall(answer)

        api = gateway.rest_api()
        api.proxy("GET", "/", raw_origin(play).url)
        api.mock("GET", "/fine", "fine")
        api.deploy()
        return api

    def received(self, api):
        request = f"GET /test/ HTTP/1.1\r\nHost: {api.id}.execute-api.localhost\r\nConnection: close\r\n\r\n"
        found = api.gateway.raw(request.encode(), 10)
        assert api.call("GET", "/fine").text == "fine"
        return found

    def test_dies_within_a_length(self, gateway, raw_origin):
        api = self.proxied(gateway, raw_origin, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        with pytest.raises(requests.RequestException):
            api.call("GET", "/")
        found = self.received(api)
        assert statuses(found) == [200] and found.endswith(b"hello")
        assert b"ontent-Length: 100" in found

    def test_dies_within_chunks(self, gateway, raw_origin):
        api = self.proxied(gateway, raw_origin, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        with pytest.raises(requests.RequestException):
            api.call("GET", "/")
        found = self.received(api)
        assert statuses(found) == [200] and not found.endswith(b"0\r\n\r\n")

    @pytest.mark.parametrize(
        "answer",
        [b"", b"HTTP/1.1 200", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
         b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
         b"HTTP/1.1 999999 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"],
    )  # fmt: skip
    def test_has_no_proper_head(self, gateway, raw_origin, answer):
        found = self.received(self.proxied(gateway, raw_origin, answer))
        assert statuses(found) in ([502], [504]), found[:300]
        assert b'{"message"' in found

    def test_answers_too_early_and_goes_on(self, gateway, raw_origin):
        """Bytes after an answer belong to nobody: the next request must not get them."""
        more = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
        api = self.proxied(gateway, raw_origin, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright" + more)
        with requests.Session() as session:
            session.headers["Host"] = f"{api.id}.execute-api.localhost"
            for _ in range(10):
                assert session.get(gateway.traffic + "/test/", timeout=10).text == "right"

    def test_interim_answers_are_no_answer(self, gateway, raw_origin):
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        api = self.proxied(gateway, raw_origin, interim + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal")
        assert statuses(self.received(api))[-1] == 200
        assert api.call("GET", "/").text == "final"

    def test_no_length_ends_with_the_connection(self, gateway, raw_origin):
        api = self.proxied(gateway, raw_origin, b"HTTP/1.1 200 OK\r\n\r\nall of it")
        assert api.call("GET", "/").text == "all of it"


class TestControlPlane:
    """Definitions that are wrong are refused with AWS's words and change nothing."""

    @pytest.mark.parametrize("document", [b"", b"{", b"[]", b"\xff\xfe", b"just text", b'{"swagger": "1.2"}',
                                          b'{"openapi": "3.0.1"}', b"a: [unclosed", b"a: &x [*x, *x]"])  # fmt: skip
    def test_malformed_documents(self, gateway, document):
        client = gateway.client()
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            client.import_rest_api(body=document)
        # An empty body is refused before anybody looks for a document in it.
        assert refused.value.response["Error"]["Code"] in ("BadRequestException", "ValidationException")
        assert refused.value.response["Error"]["Message"]
        assert client.get_rest_apis()["items"] == []

    def document(self, **changes):
        mock = {"type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'},
                "responses": {"default": {"statusCode": "200"}}}  # fmt: skip
        method = {"responses": {"200": {"description": "ok"}}, "x-amazon-apigateway-integration": mock}
        document = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {"/a": {"get": method}}}
        return document | changes

    def test_unknown_extension_is_told(self, gateway):
        document = self.document(**{"x-amazon-apigateway-nonsense": {"a": 1}})
        client = gateway.client()
        made = client.import_rest_api(body=json.dumps(document).encode())
        assert any("x-amazon-apigateway-nonsense" in warning for warning in made.get("warnings", ())), made
        # AWS says nothing of it, so it is nothing to fail on; what AWS warns of is.
        client.import_rest_api(body=json.dumps(document).encode(), failOnWarnings=True)
        document["paths"]["/a"]["get"]["x-amazon-apigateway-integration"]["type"] = "nonsense"
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            client.import_rest_api(body=json.dumps(document).encode(), failOnWarnings=True)
        assert refused.value.response["Error"]["Code"] == "BadRequestException"
        assert len(client.get_rest_apis()["items"]) == 2

    def test_circular_references_end(self, gateway):
        node = {
            "type": "object",
            "properties": {"next": {"$ref": "#/components/schemas/Node"}, "v": {"type": "string"}},
        }
        made = gateway.client().import_rest_api(
            body=json.dumps(self.document(components={"schemas": {"Node": node}})).encode()
        )
        models = gateway.client().get_models(restApiId=made["id"])["items"]
        assert "Node" in {model["name"] for model in models}

    def test_references_to_nothing_or_themselves(self, gateway):
        for path in {"$ref": "#/paths/~1a"}, {"$ref": "#/nowhere"}, {"$ref": "file:///etc/passwd"}:
            try:
                made = gateway.client().import_rest_api(body=json.dumps(self.document(paths={"/a": path})).encode())
            except botocore.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "BadRequestException"
            else:
                assert made.get("warnings"), made
                assert "root:" not in json.dumps(made, default=str)

    def test_deep_nesting(self, gateway):
        for document in b"[" * 200_000, b'{"a":' * 200_000, b"- " * 50_000, b"{" * 100_000:
            with pytest.raises(botocore.exceptions.ClientError) as refused:
                gateway.client().import_rest_api(body=document)
            assert refused.value.response["Error"]["Code"] == "BadRequestException"
        assert gateway.process.poll() is None

    def test_raw_nonsense(self, gateway):
        for data in (
            b"\0" * 1000,
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /restapis HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{{{",
        ):
            received = gateway.raw(data, 1, port=gateway.control_port)
            assert not statuses(received) or 400 <= statuses(received)[0] < 600, received[:300]
        assert gateway.healthy()

    def test_who_names_no_known_key_may_not_send_much(self, new_gateway, tmp_path):
        """Bodies are read whole before a signature can be verified: up to 80 MB, which strangers should not have kept."""
        (tmp_path / "stagedoor.toml").write_text('[[credentials]]\naccess_key_id = "test"\nsecret_access_key = "test"\n')
        gateway = new_gateway("--config", str(tmp_path / "stagedoor.toml")).start()

        def send(length, *headers, query=""):
            lines = "\r\n".join([f"POST /restapis{query} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {length}", *headers])
            return gateway.raw(f"{lines}\r\n\r\n".encode() + bytes(min(length, 100)), 2, port=gateway.control_port)

        signed = "Authorization: AWS4-HMAC-SHA256 Credential=%s/20260101/us-east-1/apigateway/aws4_request, SignedHeaders=host, Signature=0"
        for headers in [], [signed % "stranger"], [signed % "test2"], ["Authorization: test"]:
            # What is longer is refused in the same words, unread.
            for length in 100, 2_000_000:
                assert statuses(send(length, *headers)) == [403], headers
        assert statuses(send(2_000_000, query="?X-Amz-Credential=stranger%2F20260101")) == [403]
        # These may; the rest of the body is waited for.
        for options in {"headers": [signed % "test"]}, {"query": "?X-Amz-Credential=test%2F20260101"}:
            assert send(2_000_000, *options.pop("headers", []), **options) == b""
        assert statuses(send(90_000_000, signed % "test")) == [413]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.js", "exports.handler = async () => 'ok'; //" + os.urandom(1_000_000).hex())
        options = {"Runtime": "nodejs20.x", "Handler": "index.handler", "Role": "arn:aws:iam::000000000000:role/any"}
        gateway.client("lambda").create_function(FunctionName="f", Code={"ZipFile": packed.getvalue()}, **options)

    def test_what_cannot_work_is_refused_at_deployment(self, gateway):
        api = gateway.rest_api()
        api.mock("GET", "/", "fine")
        api.deploy()
        patch = [{"op": "replace", "path": "/responseTemplates/application~1json", "value": "#if($x) never closed"}]
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET", "statusCode": "200"}
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            api.client.update_integration_response(**where, patchOperations=patch)
            api.client.create_deployment(restApiId=api.id, stageName="test")
        assert refused.value.response["Error"]["Code"] == "BadRequestException"
        assert api.call("GET", "/").text == "fine"


class TestStart:
    @pytest.mark.parametrize("which", ["traffic_port", "control_port"])
    def test_port_taken_by_another_program(self, new_gateway, which):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            gateway = new_gateway()
            setattr(gateway, which, taken.getsockname()[1])
            code, _, stderr = gateway.run_to_end()
        assert code == 3 and str(getattr(gateway, which)) in stderr and "in use" in stderr, stderr

    @pytest.mark.parametrize("which", ["traffic_port", "control_port"])
    def test_port_taken_by_another_gateway(self, new_gateway, which):
        """Workers share a port among themselves, which must not let a second gateway take half of the traffic."""
        first, second = new_gateway().start(), new_gateway()
        setattr(second, which, getattr(first, which))
        code, _, stderr = second.run_to_end()
        assert code == 3 and str(getattr(first, which)) in stderr and "in use" in stderr, stderr
        assert first.healthy()

    @pytest.mark.parametrize(
        "arguments", [["--listen", "nonsense"], ["--no-such-flag"], ["--workers", "0"], ["--log-format", "xml"]]
    )
    def test_bad_arguments_are_usage_errors(self, new_gateway, arguments):
        gateway = new_gateway()
        gateway.command_line = lambda: [str(binary()), "serve", *arguments]
        code, _, stderr = gateway.run_to_end()
        assert code == 2 and arguments[0] in stderr, (code, stderr)

    def test_open_control_address_needs_credentials(self, new_gateway):
        gateway = new_gateway()
        line = gateway.command_line()
        gateway.command_line = lambda: [part.replace(f"127.0.0.1:{gateway.control_port}", f"0.0.0.0:{gateway.control_port}")
                                        for part in line]  # fmt: skip
        code, _, stderr = gateway.run_to_end()
        assert code == 2 and "credential" in stderr.lower(), stderr


def test_slow_heads_do_not_hold_others_up(api):
    """Many half-sent requests cost nobody else anything."""
    links = []
    try:
        for _ in range(200):
            link = socket.create_connection(("127.0.0.1", api.gateway.traffic_port), timeout=5)
            link.sendall(b"GET /test/ HTTP/1.1\r\nHost: ")
            links.append(link)
        eventually(lambda: api.call("GET", "/", timeout=5).text == "fine", 5)
    finally:
        for link in links:
            link.close()


def test_answers_that_nobody_reads_are_kept_back(api):
    """Many requests at once, until neither side takes more: then the answers come whole."""
    many, long = 5_000, "a" * 4000
    api.mock("GET", "/long", long)
    api.deploy()
    request = f"GET /test/long HTTP/1.1\r\nHost: {api.host}\r\nX-Long: {long}\r\n\r\n"
    everything = (request * many + request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).encode()
    with socket.create_connection(("127.0.0.1", api.gateway.traffic_port), timeout=2) as link:
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < len(everything):
                sent += link.send(everything[sent:])
        link.settimeout(60)
        rest = threading.Thread(target=link.sendall, args=(everything[sent:],))
        rest.start()
        received = receive_all(link, 60)
        rest.join(60)
    assert statuses(received) == [200] * (many + 1)
    assert received.count(long.encode()) == many + 1


class TestOpenFiles:
    """Each connection is an open file, of which a process may have only so many."""

    @pytest.fixture
    def limited(self, new_gateway):
        def make(limit):
            gateway = new_gateway()
            line = gateway.command_line()
            gateway.command_line = lambda: ["prlimit", f"--nofile={limit}", *line]
            api = gateway.start().rest_api()
            api.mock("GET", "/", "fine")
            api.deploy()
            links = []
            for _ in range(300):
                links.append(socket.create_connection(("127.0.0.1", gateway.traffic_port), timeout=5))
            return gateway, api, links

        return make

    def test_all_that_the_system_allows_are_used(self, limited):
        _, api, links = limited("120:4096")
        assert api.call("GET", "/", timeout=10).text == "fine"
        for link in links:
            link.close()

    def test_who_connects_waits_while_there_are_none(self, limited):
        gateway, api, links = limited("120:120")
        eventually(lambda: "connections cannot be accepted" in gateway.log(), 10, "a line in the log")
        for link in links:
            link.close()
        assert api.call("GET", "/", timeout=20).text == "fine"
        # Each worker says so once a minute, and not for each connection.
        assert gateway.log().count("connections cannot be accepted") <= 2 * os.cpu_count()
