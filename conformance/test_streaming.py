"""responseTransferMode STREAM: what reaches the client before the rest is made, and what is refused."""

import base64
import io
import threading
import time
import zipfile

import pytest
from botocore.exceptions import ClientError
from harness import REGION, body_json
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
