"""Codings of payloads: requests that come coded, responses that go coded, and what hostile ones cost."""

import gzip
import json
import zlib

import pytest
import requests
from harness import body_json


def coded(coding, data):
    return {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[coding](data)


def raw_get(api, path="/", accept="gzip", **headers):
    """The response as it is on the wire: (headers, body), not decoded."""
    answer = api.call("GET", path, headers={"Accept-Encoding": accept, **headers}, stream=True)
    body = answer.raw.read(decode_content=False)
    return answer.headers, body


def resident_kilobytes(gateway):
    status = open(f"/proc/{gateway.process.pid}/status").read()
    return int(status.split("VmRSS:")[1].split()[0])


class TestResponses:
    TEXT = "text that repeats itself, " * 100

    @pytest.fixture
    def api(self, gateway):
        api = gateway.rest_api(minimumCompressionSize=1000)
        api.mock("GET", "/", self.TEXT)
        api.mock("GET", "/small", "x" * 999)
        api.mock("GET", "/exact", "x" * 1000)
        api.mock("GET", "/empty", "")
        api.deploy()
        return api

    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            ("gzip", "gzip"),
            ("deflate", "deflate"),
            ("GZIP", "gzip"),
            ("gzip, deflate, br", "gzip"),
            ("deflate;q=1.0, gzip;q=0.5", "deflate"),
            ("br;q=0.5, gzip", "gzip"),
            ("br, gzip", None),  # the one it likes best is not supported
            ("identity", None),
            ("gzip;q=0", None),
            ("*", None),
        ],
    )
    def test_the_best_liked_coding(self, api, accept, expected):
        headers, body = raw_get(api, accept=accept)
        assert headers.get("Content-Encoding") == expected
        undone = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[expected](body)
        assert undone.decode() == self.TEXT
        assert int(headers["Content-Length"]) == len(body)
        assert (len(body) < 200) == (expected is not None)

    def test_size_decides(self, api):
        for path, expected in (("/small", None), ("/exact", "gzip"), ("/empty", None)):
            assert raw_get(api, path)[0].get("Content-Encoding") == expected, path

    def test_without_the_setting_nothing_is_coded(self, gateway):
        api = gateway.rest_api()
        api.mock("GET", "/", self.TEXT)
        api.deploy()
        assert "Content-Encoding" not in raw_get(api)[0]
        api.client.update_rest_api(
            restApiId=api.id, patchOperations=[{"op": "replace", "path": "/minimumCompressionSize", "value": "0"}]
        )
        assert "Content-Encoding" not in raw_get(api)[0], "not deployed yet"
        api.deploy()
        headers, body = raw_get(api)
        assert headers["Content-Encoding"] == "gzip" and gzip.decompress(body).decode() == self.TEXT

    def test_streams_of_known_and_unknown_length(self, gateway, echo, raw_origin):
        def play(link):
            link.recv(65536)
            link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (b"a" * 600, b"b" * 600):
                link.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            link.sendall(b"0\r\n\r\n")

        def short(link):
            link.recv(65536)
            link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n\r\n")

        api = gateway.rest_api(minimumCompressionSize=1000)
        api.proxy("GET", "/known", echo.url + "/bytes/5000000")
        api.proxy("GET", "/unknown", raw_origin(play).url)
        api.proxy("GET", "/short", raw_origin(short).url)
        api.deploy()
        headers, body = raw_get(api, "/known")
        assert headers["Content-Encoding"] == "gzip" and gzip.decompress(body) == bytes(5_000_000)
        headers, body = raw_get(api, "/unknown")
        assert headers["Content-Encoding"] == "gzip" and gzip.decompress(body) == b"a" * 600 + b"b" * 600
        headers, body = raw_get(api, "/short")
        assert "Content-Encoding" not in headers and body == b"short"

    def test_a_cached_response_is_coded_for_each_client(self, gateway):
        api = gateway.rest_api(minimumCompressionSize=0)
        api.mock("GET", "/", "$context.requestId")
        api.deploy(cacheClusterEnabled=True)
        patch = [{"op": "replace", "path": "/*/*/caching/enabled", "value": "true"}]
        api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)
        (_, one), (_, two), (_, plain) = (raw_get(api, accept=accept) for accept in ("gzip", "deflate", "identity"))
        assert gzip.decompress(one) == zlib.decompress(two) == plain


class TestRequests:
    @pytest.fixture
    def api(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy("POST", "/proxy", echo.url)
        where = {"restApiId": api.id, "resourceId": api.resource("/http"), "httpMethod": "POST"}
        api.proxy("POST", "/http", echo.url, kind="HTTP", requestTemplates={"application/json": "$input.json('$.a')"})
        api.client.put_method_response(**where, statusCode="200")
        api.client.put_integration_response(**where, statusCode="200")
        api.deploy()
        return api

    @pytest.mark.parametrize("path", ["/proxy", "/http"])
    @pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
    def test_coded_payloads_arrive_plain(self, api, path, coding):
        body = json.dumps({"a": {"b": "c" * 50_000}})
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        sent = body_json(api.call("POST", path, data=coded(coding, body.encode()), headers=headers))
        assert json.loads(sent["body"]) == (json.loads(body) if path == "/proxy" else json.loads(body)["a"])
        assert "content-encoding" not in sent["headers"]

    @pytest.mark.parametrize("path", ["/proxy", "/http"])
    @pytest.mark.parametrize(
        ("coding", "body"),
        [
            ("br", b"text"),
            ("gzip, deflate", b"text"),
            ("gzip", b'{"a": 1}'),
            ("deflate", b'{"a": 1}'),
            ("gzip", gzip.compress(bytes(50_000))[:-20]),
            ("gzip", gzip.compress(b"text")[:10] + b"\xff" * 40),
        ],
    )
    def test_what_is_not_coded_as_it_says(self, api, path, coding, body):
        answer = api.call(
            "POST", path, data=body, headers={"Content-Encoding": coding, "Content-Type": "application/json"}
        )
        assert (answer.status_code, body_json(answer)) == (415, {"message": "Unsupported Media Type"})

    @pytest.mark.parametrize("path", ["/proxy", "/http"])
    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    def test_a_bomb_is_too_large(self, api, path, coding):
        bomb = coded(coding, bytes(50_000_000))
        assert len(bomb) < 100_000
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        answer = api.call("POST", path, data=bomb, headers=headers)
        assert (answer.status_code, body_json(answer)) == (413, {"message": "Request Too Long"})

    def test_bombs_take_no_memory(self, api, gateway):
        def resident():
            return resident_kilobytes(gateway)

        bomb = gzip.compress(bytes(100_000_000))
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}

        def send(times):
            for _ in range(times):
                assert api.call("POST", "/http", data=bomb, headers=headers).status_code == 413

        begun = resident()
        send(24)  # every worker has had its largest buffers now
        before = resident()
        send(48)
        # One decoded bomb is 100 MB, and a payload may be 10 MB: what is held does not grow with their number.
        assert resident() - before < 60_000
        assert resident() - begun < 200_000


class TestBombsOfBackends:
    """Answers that are small on the wire, and larger than a payload may be."""

    @pytest.fixture
    def api(self, gateway, raw_origin):
        bombs = {coding: coded(coding, bytes(100_000_000)) for coding in ("gzip", "deflate")}

        def play(link):
            head = link.recv(65536)
            coding = "gzip" if b"gzip" in head.split(b"\r\n")[0] else "deflate"
            bomb = bombs[coding]
            link.sendall(
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n"
                f"Content-Length: {len(bomb)}\r\nConnection: close\r\n\r\n".encode()
                + bomb
            )

        api, url = gateway.rest_api(), raw_origin(play).url
        for coding in bombs:
            api.proxy("GET", f"/proxy/{coding}", f"{url}/{coding}")
            api.proxy("GET", f"/stream/{coding}", f"{url}/{coding}", responseTransferMode="STREAM")
            api.proxy("GET", f"/http/{coding}", f"{url}/{coding}", kind="HTTP")
            where = {"restApiId": api.id, "resourceId": api.resource(f"/http/{coding}"), "httpMethod": "GET"}
            api.client.put_method_response(**where, statusCode="200")
            api.client.put_integration_response(
                **where, statusCode="200", responseTemplates={"application/json": "$input.json('$')"}
            )
        api.deploy()
        api.bombs = bombs
        return api

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    def test_what_is_read_whole_fails(self, api, coding):
        answer = api.call("GET", f"/http/{coding}")
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    def test_what_is_passed_on_breaks_off(self, api, coding):
        received = 0
        with api.call("GET", f"/proxy/{coding}", stream=True) as answer, pytest.raises(requests.RequestException):
            for piece in answer.iter_content(65536):
                received += len(piece)
        assert received <= 10 * 1024 * 1024

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    def test_what_streams_is_not_decoded(self, api, coding):
        headers, body = raw_get(api, f"/stream/{coding}")
        assert headers["Content-Encoding"] == coding and body == api.bombs[coding]

    def test_they_take_no_memory(self, api, gateway):
        def send(times):
            for _ in range(times):
                assert api.call("GET", "/http/gzip").status_code == 500

        begun = resident_kilobytes(gateway)
        send(12)
        before = resident_kilobytes(gateway)
        send(24)
        assert resident_kilobytes(gateway) - before < 60_000
        assert resident_kilobytes(gateway) - begun < 200_000
