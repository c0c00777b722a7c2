"""MOCK, HTTP, HTTP_PROXY and AWS_PROXY: what an upstream is sent, and what its answer becomes."""

import json
import threading
import time
from pathlib import Path

import pytest
import requests
from harness import REGION, body_json, eventually, free_port, lambda_uri
from origin import read_head


class TestMock:
    def test_status_headers_and_body(self, gateway):
        api = gateway.rest_api()
        api.mock("GET", "/", '{"made": "up"}', status="201", headers={"X-Made": "up"})
        api.deploy()
        answer = api.call("GET", "/")
        assert (answer.status_code, answer.headers["X-Made"], answer.text) == (201, "up", '{"made": "up"}')
        assert answer.headers["Content-Type"] == "application/json"

    def test_template_sees_the_request(self, gateway):
        api = gateway.rest_api()
        template = '#set($n = $input.params("n"))$context.httpMethod $context.resourcePath $context.stage $n'
        api.mock("GET", "/thing/{n}", template)
        api.deploy()
        assert api.call("GET", "/thing/42").text == "GET /thing/{n} test 42"

    def test_selection_by_status(self, gateway):
        api = gateway.rest_api()
        api.mock("GET", "/", "fine")
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET"}
        template = '{"statusCode": #if($input.params("bad") == "1")400#{else}200#end}'
        patch = [{"op": "replace", "path": "/requestTemplates/application~1json", "value": template}]
        api.client.update_integration(**where, patchOperations=patch)
        api.client.put_method_response(**where, statusCode="400")
        api.client.put_integration_response(
            **where, statusCode="400", selectionPattern="4\\d\\d", responseTemplates={"application/json": "bad"}
        )
        api.deploy()
        answers = [api.call("GET", path) for path in ("/", "/?bad=1")]
        assert [(answer.status_code, answer.text) for answer in answers] == [(200, "fine"), (400, "bad")]

    @pytest.mark.parametrize("template", ['{"statusCode": -1000}', '{"statusCode": 0}', "{ statusCode: 299 }", "{'statusCode': 200,}"])
    def test_any_integer_in_what_resembles_json_is_a_status(self, gateway, template):
        """CDK writes it without quotes. What no pattern fits gets the default response."""
        api, _ = self.templated(gateway, template)
        assert (api.call("GET", "/").status_code, api.call("GET", "/").text) == (200, "default")

    @pytest.mark.parametrize(
        "template, words",
        [
            ("no object", "Unable to parse statusCode"),
            ('{"statusCode": 200', "Unable to parse statusCode"),
            ('{"status": 200}', "statusCode should be an integer which defined in request template"),
            ('{"statusCode": "200"}', "statusCode should be an integer which defined in request template"),
            ('{"statusCode": 200.5}', "statusCode should be an integer which defined in request template"),
        ],
    )
    def test_without_a_status_code_it_is_our_error(self, gateway, template, words):
        api, where = self.templated(gateway, template)
        answer = api.call("GET", "/")
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})
        log = api.client.test_invoke_method(**where)["log"]
        assert f" : Execution failed due to configuration error: {words}\n" in log

    def templated(self, gateway, template):
        api = gateway.rest_api()
        api.mock("GET", "/", "default")
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET"}
        patch = [{"op": "replace", "path": "/requestTemplates/application~1json", "value": template}]
        api.client.update_integration(**where, patchOperations=patch)
        api.deploy()
        return api, where


class TestHttpProxy:
    def test_request_passes_as_it_is(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy("ANY", "/", echo.url + "/base")
        api.deploy()
        answer = api.call("POST", "/?a=1&a=2&b=", data="text", headers={"X-Own": "mine", "User-Agent": "tester"})
        sent = body_json(answer)
        assert (sent["method"], sent["path"], sent["body"]) == ("POST", "/base", "text")
        assert sent["query"] == {"a": ["1", "2"], "b": [""]}
        assert sent["headers"]["x-own"] == "mine" and sent["headers"]["user-agent"] == "tester"
        assert sent["headers"]["x-amzn-apigateway-api-id"] == api.id
        assert sent["headers"]["host"] == echo.url.removeprefix("http://")
        assert (answer.headers["X-Origin"], answer.headers["Content-Type"]) == ("echo", "application/json")
        assert "x-amzn-Remapped-Server" in answer.headers and "Server" not in answer.headers

    def test_status_is_kept(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy(
            "GET",
            "/{status}",
            echo.url + "/status/{status}",
            method_options={"requestParameters": {"method.request.path.status": True}},
            requestParameters={"integration.request.path.status": "method.request.path.status"},
        )
        api.deploy()
        for status in 200, 204, 302, 400, 404, 418, 500, 503:
            assert api.call("GET", f"/{status}", allow_redirects=False).status_code == status

    def test_downloads_stream(self, gateway, raw_origin):
        """The client has the first bytes while the upstream still holds the rest back."""
        go_on = threading.Event()

        def play(link):
            read_head(link)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
            assert go_on.wait(20)
            link.sendall(b"later")

        api = gateway.rest_api()
        api.proxy("GET", "/", raw_origin(play).url)
        api.deploy()
        with api.call("GET", "/", stream=True) as answer:
            assert answer.raw.read(5) == b"first"
            assert not go_on.is_set()
            go_on.set()
            assert answer.raw.read(5) == b"later"

    def test_uploads_stream(self, gateway, raw_origin):
        """The upstream has the first bytes before the client sends the rest."""
        arrived = threading.Event()

        def play(link):
            _, data = read_head(link)
            while b"first" not in data:
                data += link.recv(65536)
            arrived.set()
            while b"later" not in data:
                data += link.recv(65536)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

        def body():
            yield b"first"
            assert arrived.wait(20), "the gateway kept the body back"
            yield b"later"

        api = gateway.rest_api()
        api.proxy("POST", "/", raw_origin(play).url)
        api.deploy()
        assert api.call("POST", "/", data=body()).text == "done"

    @pytest.mark.parametrize("chunks", [[b"whole"], [b"wh", b"ol", b"e"], []])
    def test_a_body_that_is_there_is_sent_with_its_length(self, gateway, echo, chunks):
        """However the client frames it: AWS tells every backend the length."""
        api = gateway.rest_api()
        api.proxy("POST", "/", echo.url)
        api.deploy()
        coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in chunks) + b"0\r\n\r\n"
        head = f"POST /test/ HTTP/1.1\r\nHost: {api.id}.execute-api.localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert gateway.raw(head.encode() + coded).startswith(b"HTTP/1.1 200")
        told = {name.lower(): value for name, value in echo.seen[-1][2]}
        text = b"".join(chunks)
        assert echo.seen[-1][3] == text and told["content-length"] == str(len(text)) and "transfer-encoding" not in told

    def test_large_bodies_both_ways(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy("GET", "/", echo.url + "/bytes/9000000")
        api.proxy("PUT", "/", echo.url)
        api.deploy()
        assert api.call("GET", "/").content == bytes(9_000_000)
        text = "0123456789" * 900_000
        assert body_json(api.call("PUT", "/", data=text))["body"] == text

    def test_memory_is_flat_while_streaming(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy("GET", "/", echo.url + "/bytes/8000000")
        api.deploy()

        def resident():
            with open(f"/proc/{gateway.process.pid}/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

        api.call("GET", "/")
        before = resident()
        for _ in range(20):
            with api.call("GET", "/", stream=True) as answer:
                assert sum(len(piece) for piece in answer.iter_content(65536)) == 8_000_000
        assert resident() - before < 6_000_000

    def test_connection_to_upstream_is_kept(self, gateway, raw_origin):
        connections = []

        def play(link):
            connections.append(link)
            while read_head(link)[0]:
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        api = gateway.rest_api()
        api.proxy("GET", "/", raw_origin(play).url)
        api.deploy()
        with requests.Session() as session:  # one client connection, so one worker and its pool
            session.headers["Host"] = f"{api.id}.execute-api.localhost"
            for _ in range(50):
                assert session.get(gateway.traffic + "/test/", timeout=10).text == "ok"
        assert len(connections) <= 3

    def test_stale_kept_connection_is_not_an_error(self, gateway, raw_origin):
        """An upstream that closes after each answer, without saying so, costs no request."""

        def play(link):
            read_head(link)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        api = gateway.rest_api()
        api.proxy("GET", "/", raw_origin(play).url)
        api.deploy()
        with requests.Session() as session:
            session.headers["Host"] = f"{api.id}.execute-api.localhost"
            answers = [session.get(gateway.traffic + "/test/", timeout=10) for _ in range(100)]
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, "ok")}

    def test_timeout(self, gateway, raw_origin):
        api = gateway.rest_api()
        api.proxy("GET", "/", raw_origin(lambda link: link.recv(65536) and link.recv(1)).url, timeoutInMillis=200)
        api.deploy()
        begun = time.monotonic()
        answer = api.call("GET", "/")
        assert (answer.status_code, body_json(answer)) == (504, {"message": "Endpoint request timed out"})
        assert 0.15 < time.monotonic() - begun < 5

    def test_nobody_listens(self, gateway):
        api = gateway.rest_api()
        api.proxy("GET", "/", f"http://127.0.0.1:{free_port()}/")
        api.deploy()
        answer = api.call("GET", "/")
        assert answer.status_code == 504 and set(body_json(answer)) == {"message"}
        assert answer.headers["x-amzn-ErrorType"]

    def test_hop_by_hop_headers_stay(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy("POST", "/", echo.url)
        api.deploy()
        sent = {
            "Expect-Not": "x",
            "TE": "trailers",
            "Max-Forwards": "3",
            "Server": "me",
            "WWW-Authenticate": "no",
            "Proxy-Authenticate": "no",
            "Trailer": "x-t",
            "Upgrade": "h9",
            "Connection": "keep-alive",
        }
        got = body_json(api.call("POST", "/", data="x", headers=sent))["headers"]
        assert got["expect-not"] == "x"
        for name in "te", "max-forwards", "server", "www-authenticate", "proxy-authenticate", "trailer", "upgrade":
            assert name not in got, name


class TestHttp:
    def test_templates_both_ways(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy(
            "POST",
            "/",
            echo.url,
            kind="HTTP",
            requestTemplates={"application/json": '{"wrapped": $input.json("$.inner")}'},
        )
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
        api.client.put_method_response(**where, statusCode="200")
        api.client.put_integration_response(
            **where,
            statusCode="200",
            responseTemplates={
                "application/json": '{"sent": $input.json("$.body"), "to": "$input.path(\'$.method\')"}'
            },
        )
        api.deploy()
        answer = api.call("POST", "/", json={"inner": {"a": 1}})
        assert json.loads(body_json(answer)["sent"]) == {"wrapped": {"a": 1}}
        assert body_json(answer)["to"] == "POST"

    def test_status_picks_the_response(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy("GET", "/", echo.url + "/status/404", kind="HTTP")
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET"}
        for status, pattern in ("200", None), ("410", "404"):
            api.client.put_method_response(**where, statusCode=status)
            options = {"selectionPattern": pattern} if pattern else {}
            api.client.put_integration_response(
                **where, statusCode=status, responseTemplates={"application/json": "gone " + status}, **options
            )
        api.deploy()
        assert (api.call("GET", "/").status_code, api.call("GET", "/").text) == (410, "gone 410")

    def test_unmapped_content_type_is_415(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy(
            "POST", "/", echo.url, kind="HTTP", passthroughBehavior="NEVER", requestTemplates={"application/json": "{}"}
        )
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
        api.client.put_method_response(**where, statusCode="200")
        api.client.put_integration_response(**where, statusCode="200")
        api.deploy()
        answer = api.call("POST", "/", data="<a/>", headers={"Content-Type": "text/xml"})
        assert (answer.status_code, body_json(answer)) == (415, {"message": "Unsupported Media Type"})


NODE = """export const handler = async (event, context) => {
  if (event.path === '/throw') throw new Error('on purpose');
  if (event.path === '/exit') process.exit(3);
  if (event.path === '/slow') await new Promise((done) => setTimeout(done, 5000));
  if (event.path === '/bad') return 'a bare string';
  return {statusCode: 201, headers: {'X-From': 'node'}, multiValueHeaders: {'X-Many': ['a', 'b']},
          body: JSON.stringify({event, id: context.awsRequestId, name: context.functionName,
                                left: context.getRemainingTimeInMillis(), memory: context.memoryLimitInMB,
                                setting: process.env.SETTING})};
};
"""
PYTHON = """import json, os, base64
def handler(event, context):
    if event["path"] == "/throw":
        raise ValueError("on purpose")
    if event["path"] == "/exit":
        os._exit(3)
    if event["path"] == "/slow":
        import time; time.sleep(5)
    if event["path"] == "/bad":
        return "a bare string"
    return {"statusCode": 201, "headers": {"X-From": "python"}, "multiValueHeaders": {"X-Many": ["a", "b"]},
            "body": json.dumps({"event": event, "id": context.aws_request_id, "name": context.function_name,
                                "left": context.get_remaining_time_in_millis(),
                                "memory": context.memory_limit_in_mb, "setting": os.environ.get("SETTING")})}
"""
SOURCES = {"nodejs": ("index.mjs", NODE), "python": ("index.py", PYTHON)}
DEFINITION = """openapi: 3.0.1
info: {title: functions, version: "1"}
x-stagedoor-functions:
  under-test: {runtime: RUNTIME, handler: index.handler, timeout: 2, memory: 256, environment: {SETTING: "on"}}
x-stagedoor-stages: {test: {}}
paths:
  /{proxy+}:
    x-amazon-apigateway-any-method:
      responses: {}
      x-amazon-apigateway-integration: {type: aws_proxy, httpMethod: POST, uri: "FUNCTION"}
"""
FUNCTION = lambda_uri("arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:function:under-test")


class Served:
    """The API of a project, by `call`."""

    def __init__(self, new_gateway, folder, runtime, source=None):
        self.language = runtime.removesuffix("js")
        self.name, usual = SOURCES[runtime]
        self.path = folder / self.name
        self.path.write_text(source or usual)
        text = DEFINITION.replace("RUNTIME", runtime).replace("FUNCTION", FUNCTION.replace(REGION, "${AWS::Region}"))
        (folder / "openapi.yaml").write_text(text)
        self.gateway = new_gateway(str(folder), command="up").start()
        self.id = self.gateway.client().get_rest_apis()["items"][0]["id"]

    def call(self, method, path, **options):
        return self.gateway.call(method, self.id, "test", path, **options)


@pytest.fixture(params=sorted(SOURCES))
def function(request, new_gateway, tmp_path):
    """A function in each language, behind ANY /{proxy+}."""
    return Served(new_gateway, tmp_path, request.param)


class TestLambda:
    def test_event_and_answer(self, function):
        answer = function.call("POST", "/a/b?x=1&x=2", data="body", headers={"X-Own": "mine"})
        told = body_json(answer)
        event = told["event"]
        assert (answer.status_code, answer.headers["X-From"]) == (201, function.language)
        assert answer.headers["X-Many"] == "a, b"
        assert (event["resource"], event["path"], event["httpMethod"]) == ("/{proxy+}", "/a/b", "POST")
        assert event["queryStringParameters"] == {"x": "2"}
        assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
        assert event["pathParameters"] == {"proxy": "a/b"} and event["stageVariables"] is None
        assert event["headers"]["X-Own"] == "mine" and event["multiValueHeaders"]["X-Own"] == ["mine"]
        assert (event["body"], event["isBase64Encoded"]) == ("body", False)
        context = event["requestContext"]
        assert (context["stage"], context["resourcePath"], context["apiId"]) == ("test", "/{proxy+}", function.id)
        assert context["path"] == "/test/a/b" and context["identity"]["sourceIp"] == "127.0.0.1"
        assert (told["name"], told["setting"], int(told["memory"])) == ("under-test", "on", 256)
        assert told["id"] and 0 < told["left"] <= 2000

    @pytest.mark.parametrize("path", ["/throw", "/exit", "/bad"])
    def test_failures_are_502_and_the_next_call_works(self, function, path):
        answer = function.call("GET", path)
        assert (answer.status_code, body_json(answer)) == (502, {"message": "Internal server error"})
        assert function.call("GET", "/fine").status_code == 201

    def test_timeout_then_recovery(self, function):
        assert function.call("GET", "/fine").status_code == 201  # its start is not what is measured
        begun = time.monotonic()
        answer = function.call("GET", "/slow")
        assert answer.status_code in (502, 504) and 1.5 < time.monotonic() - begun < 4.5
        assert function.call("GET", "/fine").status_code == 201

    def test_concurrent_calls(self, function):
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(function.call("GET", "/x"))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [201] * 16
        assert len({body_json(answer)["id"] for answer in answers}) == 16


def test_a_function_that_does_not_exist(gateway):
    api = gateway.rest_api()
    api.proxy("GET", "/", lambda_uri("arn:aws:lambda:us-east-1:000000000000:function:nobody"), kind="AWS_PROXY")
    api.deploy()
    answer = api.call("GET", "/")
    assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})


@pytest.mark.parametrize("runtime", sorted(SOURCES))
def test_a_handler_that_never_started_is_mended_by_an_edit(new_gateway, tmp_path, runtime):
    api = Served(new_gateway, tmp_path, runtime, source="this is (no program")
    answer = api.call("GET", "/fine")
    assert (answer.status_code, body_json(answer)) == (502, {"message": "Internal server error"})
    assert api.name in api.gateway.log()
    api.path.write_text(SOURCES[runtime][1])
    eventually(lambda: api.call("GET", "/fine").status_code == 201, 10)


def test_logs_carry_the_request_id(new_gateway, tmp_path):
    source = """export const handler = async (event, context) => {
      console.log('said by the handler', context.awsRequestId);
      return {statusCode: 200, body: context.awsRequestId};
    };"""
    api = Served(new_gateway, tmp_path, "nodejs", source)
    request_id = api.call("GET", "/a").text
    line = eventually(lambda: next(line for line in api.gateway.log().splitlines() if "said by the handler" in line), 5)
    assert line.count(request_id) == 2 and "under-test" in line, line


def test_a_bootstrap_of_any_kind(new_gateway, tmp_path):
    """An executable named bootstrap that speaks the Runtime API: here a shell script with curl."""
    path = tmp_path / "bootstrap"
    path.write_text("""#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while :; do
  id=$(curl -sS -D - -o /dev/null $api/next | tr -d '\\r' | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: //p')
  curl -sS -o /dev/null -d '{"statusCode": 200, "body": "from a shell"}' $api/$id/response
done
""")
    path.chmod(0o755)
    text = DEFINITION.replace("runtime: RUNTIME, handler: index.handler", "runtime: provided")
    (tmp_path / "openapi.yaml").write_text(text.replace("FUNCTION", FUNCTION.replace(REGION, "${AWS::Region}")))
    gateway = new_gateway(str(tmp_path), command="up").start()
    api = gateway.client().get_rest_apis()["items"][0]["id"]
    for _ in range(3):
        assert gateway.call("GET", api, "test", "/a").text == "from a shell"


def test_common_js(new_gateway, tmp_path):
    (tmp_path / "index.cjs").write_text("exports.handler = async () => ({statusCode: 200, body: 'CommonJS'});")
    text = DEFINITION.replace("RUNTIME", "nodejs").replace("FUNCTION", FUNCTION.replace(REGION, "${AWS::Region}"))
    (tmp_path / "openapi.yaml").write_text(text)
    gateway = new_gateway(str(tmp_path), command="up").start()
    api = gateway.client().get_rest_apis()["items"][0]["id"]
    assert gateway.call("GET", api, "test", "/a").text == "CommonJS"


def test_functions_end_with_the_gateway(new_gateway, tmp_path):
    for how in "terminate", "kill":
        folder = tmp_path / how
        folder.mkdir()
        source = "export const handler = async () => ({statusCode: 200, body: String(process.pid)});"
        api = Served(new_gateway, folder, "nodejs", source)
        pid = int(api.call("GET", "/a").text)
        assert Path(f"/proc/{pid}").exists()
        getattr(api.gateway, how)()
        eventually(lambda: not running(pid), 5, "the end of the function's process")


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
