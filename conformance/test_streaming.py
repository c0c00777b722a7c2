"""responseTransferMode STREAM: what reaches the client before the rest is made, and what is refused."""

import base64
import io
import threading
import time
import zipfile

import pytest
import requests
from botocore.exceptions import ClientError
from harness import REGION, body_json, eventually
from origin import read_head

HANDLER = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const go = event.queryStringParameters || {};
  if (go.fail === 'before') throw new Error('no answer');
  if (go.raw) { stream.write(Buffer.from(go.raw, 'base64')); stream.end(); return; }
  const metadata = {
    statusCode: 201,
    headers: {'Content-Type': 'text/plain', 'X-Own': event.httpMethod},
    multiValueHeaders: {'X-Many': ['1', '2']},
    cookies: ['a=1', 'b=2'],
  };
  stream = awslambda.HttpResponseStream.from(stream, metadata);
  stream.write('first ');
  if (go.wait) await new Promise(resolve => setTimeout(resolve, Number(go.wait)));
  if (go.bytes) for (let left = Number(go.bytes); left > 0; left -= 65536) stream.write('x'.repeat(65536));
  stream.write('last');
  stream.end();
});
"""


def streaming_uri(arn):
    return f"arn:aws:apigateway:{REGION}:lambda:path/2021-11-15/functions/{arn}/response-streaming-invocations"


class TestHttpProxy:
    def api(self, gateway, url, **options):
        api = gateway.rest_api(**options)
        api.proxy("GET", "/", url, responseTransferMode="STREAM")
        api.deploy()
        return api

    def test_first_bytes_come_first(self, gateway, raw_origin):
        go_on = threading.Event()

        def play(link):
            read_head(link)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            link.sendall(b"5\r\nfirst\r\n")
            assert go_on.wait(20)
            link.sendall(b"4\r\nlast\r\n0\r\n\r\n")

        # Neither a cache nor compression holds a stream back.
        api = self.api(gateway, raw_origin(play).url, minimumCompressionSize=0)
        with api.call("GET", "/", stream=True, headers={"Accept-Encoding": "gzip"}) as answer:
            assert "Content-Encoding" not in answer.headers
            assert answer.raw.read(5) == b"first" and not go_on.is_set()
            go_on.set()
            assert answer.raw.read() == b"last"

    def test_more_than_10_megabytes(self, gateway, echo):
        size = 12_000_000
        api = self.api(gateway, f"{echo.url}/bytes/{size}")
        assert len(api.call("GET", "/").content) == size
        patch = [{"op": "replace", "path": "/responseTransferMode", "value": "BUFFERED"}]
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET"}
        api.client.update_integration(**where, patchOperations=patch)
        api.deploy()
        assert api.call("GET", "/").status_code == 500

    def test_a_backends_own_coding_is_its_own_business(self, gateway, raw_origin):
        def play(link):
            read_head(link)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: x-own\r\nContent-Length: 2\r\n\r\n\x01\x02")

        answer = self.api(gateway, raw_origin(play).url).call("GET", "/", stream=True)
        assert answer.headers["Content-Encoding"] == "x-own"
        assert answer.raw.read(decode_content=False) == b"\x01\x02"

    def test_streams_are_not_cached(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy("GET", "/", echo.url, responseTransferMode="STREAM")
        api.deploy(cacheClusterEnabled=True)
        patch = [{"op": "replace", "path": "/*/*/caching/enabled", "value": "true"}]
        api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)
        before = len(echo.seen)
        assert [api.call("GET", "/").status_code for _ in range(2)] == [200, 200]
        assert len(echo.seen) == before + 2


class TestFunction:
    @pytest.fixture
    def api(self, gateway, tmp_path):
        """A streaming function behind GET /."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as code:
            code.writestr("index.js", HANDLER)
        functions = gateway.client("lambda")
        arn = functions.create_function(
            FunctionName="streams",
            Runtime="nodejs22.x",
            Role="arn:aws:iam::000000000000:role/any",
            Handler="index.handler",
            Timeout=30,
            Code={"ZipFile": archive.getvalue()},
        )["FunctionArn"]
        functions.add_permission(
            FunctionName="streams", StatementId="all", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
        )
        api = gateway.rest_api()
        api.proxy("GET", "/", streaming_uri(arn), kind="AWS_PROXY", responseTransferMode="STREAM", timeoutInMillis=60_000)
        api.deploy()
        return api

    def test_status_headers_cookies_and_body(self, api):
        answer = api.call("GET", "/")
        assert (answer.status_code, answer.text) == (201, "first last"), answer.text
        assert (answer.headers["X-Own"], answer.headers["Content-Type"]) == ("GET", "text/plain")
        assert answer.raw.headers.getlist("X-Many") == ["1", "2"]
        assert answer.raw.headers.getlist("Set-Cookie") == ["a=1", "b=2"]
        assert "x-amzn-RequestId" in answer.headers and "X-Amzn-Trace-Id" in answer.headers

    def test_first_bytes_come_first(self, api):
        api.call("GET", "/")
        with api.call("GET", "/?wait=3000", stream=True) as answer:
            began = time.monotonic()
            assert answer.raw.read(6) == b"first "
            assert time.monotonic() - began < 2
            assert answer.raw.read() == b"last"

    def test_more_than_10_megabytes(self, api):
        assert len(api.call("GET", f"/?bytes={12 * 1024 * 1024}").content) == 12 * 1024 * 1024 + 10

    @pytest.mark.parametrize(
        "raw",
        [
            b'{"statusCode": 200}',  # no delimiter
            b"text" + bytes(8),
            b"[]" + bytes(8),
            b'{"body": "x"}' + bytes(8),
            b'{"statusCode": 99}' + bytes(8),
            b'{"cookies": "a"}' + bytes(8),
            b'{"other": 1}' + bytes(8),
            b" " * 20_000 + bytes(8),
        ],
    )
    def test_malformed_answers(self, api, raw):
        answer = api.call("GET", "/", params={"raw": base64.b64encode(raw).decode()})
        assert (answer.status_code, body_json(answer)) == (502, {"message": "Internal server error"})

    def test_failure_before_the_first_byte(self, api):
        answer = api.call("GET", "/?fail=before")
        assert (answer.status_code, body_json(answer)) == (502, {"message": "Internal server error"})


class TestRules:
    def put(self, gateway, kind, **options):
        api = gateway.rest_api()
        api.proxy("GET", "/", "http://127.0.0.1:1", kind=kind, **options)
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET"}
        return api.client.get_integration(**where)["timeoutInMillis"]

    @pytest.mark.parametrize(
        ("mode", "timeout", "message"),
        [
            ("BUFFERED", 49, "Timeout should be between 50 ms and 29000 ms"),
            ("BUFFERED", 50, None),
            ("BUFFERED", 29_000, None),
            ("STREAM", 49, "Timeout should be between 50 ms and 900000 ms"),
            ("STREAM", 900_000, None),
            ("STREAM", 900_001, "Timeout should be between 50 ms and 900000 ms"),
        ],
    )
    def test_timeouts(self, gateway, mode, timeout, message):
        options = {"responseTransferMode": mode, "timeoutInMillis": timeout}
        if message is None:
            assert self.put(gateway, "HTTP_PROXY", **options) == timeout
            return
        with pytest.raises(ClientError) as error:
            self.put(gateway, "HTTP_PROXY", **options)
        assert error.value.response["Error"]["Message"] == message

    def test_only_proxies_stream(self, gateway):
        with pytest.raises(ClientError, match="only supported for HTTP_PROXY and AWS_PROXY"):
            self.put(gateway, "HTTP", responseTransferMode="STREAM")

    def test_a_timeout_ends_a_call(self, gateway, raw_origin):
        def play(link):
            read_head(link)
            link.recv(1)

        for mode in "BUFFERED", "STREAM":
            api = gateway.rest_api()
            api.proxy("GET", "/", raw_origin(play).url, responseTransferMode=mode, timeoutInMillis=50)
            api.deploy()
            answer = api.call("GET", "/")
            assert (answer.status_code, body_json(answer)) == (504, {"message": "Endpoint request timed out"})


class TestLimits:
    """AWS's limits of a stream, which configuration makes shorter here."""

    @pytest.fixture
    def gateway(self, new_gateway):
        gateway = new_gateway()
        config = gateway.work / "stagedoor.toml"
        config.write_text("[streams]\nlifetime_seconds_max = 4\nidle_seconds_max = 2\nedge_idle_seconds_max = 1\n")
        gateway.arguments = ["--config", str(config)]
        return gateway.start()

    def stream(self, gateway, raw_origin, pause, kind, **options):
        """The seconds until a stream of a piece each `pause` breaks off, and its pieces."""
        done = threading.Event()

        def play(link):
            read_head(link)
            link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not done.is_set():
                link.sendall(b"5\r\npiece\r\n")
                done.wait(pause)

        api = gateway.rest_api(endpointConfiguration={"types": [kind]})
        api.proxy("GET", "/", raw_origin(play).url, responseTransferMode="STREAM", **options)
        api.deploy()
        began, pieces = time.monotonic(), b""
        try:
            with api.call("GET", "/", stream=True) as answer:
                assert answer.status_code == 200
                with pytest.raises(requests.RequestException):
                    for piece in answer.iter_content(5):
                        pieces += piece
        finally:
            done.set()
        return time.monotonic() - began, pieces.count(b"piece")

    def test_idle(self, gateway, raw_origin):
        times = {}
        for kind, seconds in ("REGIONAL", 2), ("EDGE", 1):
            times[kind], pieces = self.stream(gateway, raw_origin, 30, kind)
            assert pieces == 1 and seconds <= times[kind] < 20, (kind, times)
        assert times["EDGE"] < times["REGIONAL"]

    def test_lifetime(self, gateway, raw_origin):
        took, pieces = self.stream(gateway, raw_origin, 0.5, "REGIONAL")
        assert 2 <= pieces <= 9 and 4 <= took < 20, took

    def test_the_integrations_timeout_limits_all_of_it(self, gateway, raw_origin):
        took, pieces = self.stream(gateway, raw_origin, 0.2, "REGIONAL", timeoutInMillis=1000)
        assert 2 <= pieces <= 6 and 1 <= took < 4, took

    @pytest.mark.parametrize("limit", ["idle_seconds_max = 0", "lifetime_seconds_max = 901"])
    def test_limits_of_nothing_and_above_all_others_are_refused(self, new_gateway, limit):
        gateway = new_gateway()
        config = gateway.work / "stagedoor.toml"
        config.write_text(f"[streams]\n{limit}\n")
        gateway.arguments = ["--config", str(config)]
        code, _, stderr = gateway.run_to_end()
        assert code == 2 and "[streams] has limits from 1 to 900 seconds" in stderr


class TestWhatIsTold:
    """Of a stream: in the access log when it has ended, and by TestInvokeMethod, as far as it waits."""

    def slow(self, raw_origin, **pauses):
        """A backend that makes these pauses before its headers, its first bytes and its last."""

        def play(link):
            read_head(link)
            time.sleep(pauses.get("headers", 0))
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n")
            time.sleep(pauses.get("first", 0))
            link.sendall(b"first")
            time.sleep(pauses.get("last", 0))
            link.sendall(b" last")

        return raw_origin(play).url

    def test_access_log(self, new_gateway, raw_origin):
        gateway = new_gateway()
        config, log = gateway.work / "stagedoor.toml", gateway.work / "access.log"
        config.write_text(f"[[log_destinations]]\narn = '*'\nfile = '{log}'\n")
        gateway.arguments = ["--config", str(config)]
        gateway.start()
        url = self.slow(raw_origin, headers=0.1, first=0.2, last=0.3)
        api = gateway.rest_api()
        api.proxy("GET", "/stream", url, responseTransferMode="STREAM")
        api.proxy("GET", "/whole", url)
        api.deploy()
        names = [
            "resourcePath", "integration.responseTransferMode", "integration.timeToAllHeaders",
            "integration.timeToFirstContent", "integration.latency", "integrationLatency", "responseLength",
        ]  # fmt: skip
        patch = [
            {"op": "replace", "path": f"/accessLogSettings/{name}", "value": value}
            for name, value in {
                "destinationArn": f"arn:aws:logs:{REGION}:000000000000:log-group:a",
                "format": " ".join(f"$context.{name}" for name in ["requestId", *names]),
            }.items()
        ]
        api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)
        for path in "/stream", "/whole":
            assert api.call("GET", path).text == "first last"
        lines = eventually(lambda: (found := log.read_text().splitlines()) and len(found) == 2 and found)
        found = {fields[0]: fields[1:] for _, *fields in (line.split() for line in lines)}
        mode, headers, first, latency, same, length = found["/stream"]
        assert (mode, latency, length) == ("STREAMED", same, "10")
        headers, first, latency = int(headers), int(first), int(latency)
        assert headers >= 100 and first - headers >= 190 and latency - first >= 290, found
        mode, headers, first, latency, same, length = found["/whole"]
        assert (mode, first, latency, length) == ("BUFFERED", "-", same, "10")

    def invoke(self, gateway, url):
        api = gateway.rest_api()
        api.proxy("GET", "/", url, responseTransferMode="STREAM")
        return api.client.test_invoke_method(restApiId=api.id, resourceId=api.resource("/"), httpMethod="GET")

    def test_a_test_waits_for_the_end(self, gateway, raw_origin):
        told = self.invoke(gateway, self.slow(raw_origin, first=0.1, last=0.1))
        assert (told["status"], told["body"], told["headers"]["Content-Type"]) == (200, "first last", "text/plain")
        assert told.get("log", "") == "" and told["latency"] >= 200

    def test_a_test_waits_for_a_megabyte(self, gateway, raw_origin):
        def play(link):
            read_head(link)
            link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                link.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

        body = self.invoke(gateway, raw_origin(play).url)["body"]
        assert 1 << 20 < len(body) < 2 << 20 and set(body) == {"x"}
