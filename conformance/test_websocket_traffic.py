"""The traffic of WebSocket APIs: handshakes, routes, messages both ways, and the end of connections."""

import json
import re

import pytest
from harness import eventually
from sockets import SocketApi
from test_http_api_traffic import new_function  # noqa: F401
from websockets.exceptions import ConnectionClosed

ID = r"[A-Za-z0-9+/_-]{15}="
# Keeps every event as a line of a file.
KEEP = """
const fs = require("fs");
exports.handler = async (event) => {
  fs.appendFileSync(process.env.EVENTS, JSON.stringify(event) + "\\n");
  return {statusCode: 200, body: JSON.stringify(event)};
};
"""


@pytest.fixture
def api(gateway):
    return SocketApi(gateway)


@pytest.fixture
def events(tmp_path):
    """The events that a function has kept, and the environment that has it keep them."""
    path = tmp_path / "events"
    path.touch()

    class Events:
        environment = {"Variables": {"EVENTS": str(path)}}

        def all(self):
            return [json.loads(line) for line in path.read_text().splitlines()]

        def of(self, kind):
            return [event for event in self.all() if event["requestContext"]["eventType"] == kind]

        def wait(self, kind, count=1):
            eventually(lambda: len(self.of(kind)) >= count, 10, f"{count} {kind} events")
            return self.of(kind)

    return Events()


def error(message):
    return re.compile(rf'\{{"message": "{message}", "connectionId":"{ID}", "requestId":"{ID}"\}}')


class TestRoutes:
    def test_messages_go_where_the_expression_says(self, api):
        api.mock("$connect")
        for key in ["join", "7", "true", "$default"]:
            api.mock(key, answer=f'{{"route":"{key.strip("$")}"}}')
        api.deployed()
        with api.connect() as link:
            for action, route in [("join", "join"), (7, "7"), (True, "true"), ("else", "default"), (None, "default")]:
                assert json.loads(api.ask(link, {"action": action}))["route"] == route, action
            # Nobody reaches the routes of connecting and disconnecting by their names.
            for action in ["$connect", "$disconnect", "$default"]:
                assert json.loads(api.ask(link, {"action": action}))["route"] == "default", action

    def test_what_is_no_json_goes_to_default(self, api):
        api.mock("join", answer="join")
        api.mock("$default", answer="default")
        with api.connect() as link:
            for text in ["", "text", "[1]", '"join"', "{", '{"other":"join"}']:
                assert api.ask(link, text) == "default", text

    @pytest.mark.parametrize(
        ("selection", "message", "route"),
        [
            ("$request.body.a.b", {"a": {"b": "x"}}, "x"),
            ("${request.body.v}-beta", {"v": 2}, "2-beta"),
            ("$request.body.a[1]", {"a": ["no", "yes"]}, "yes"),
            ("${request.body.a}/${request.body.b}", {"a": "1", "b": "2"}, "1/2"),
            ("\\$default", {"a": 1}, "$default"),
            # What a variable says is no expression.
            ("$request.body.a", {"a": "$request.body.b", "b": "no"}, "$request.body.b"),
            ("$request.body.a", {"a": "${context.stage}"}, "${context.stage}"),
        ],
    )
    def test_expressions(self, gateway, selection, message, route):
        api = SocketApi(gateway, selection=selection)
        api.mock("other", answer="other")
        api.mock(route, answer="this one")
        with api.connect() as link:
            assert api.ask(link, message) == "this one"

    def test_no_route_is_forbidden(self, api):
        api.mock("join", answer="join")
        with api.connect() as link:
            assert error("Forbidden").fullmatch(api.ask(link, {"action": "leave"}))
            assert api.ask(link, {"action": "join"}) == "join"

    def test_one_way_routes_answer_nothing(self, api):
        api.mock("quiet", answer="never seen", two_way=False)
        api.mock("loud", answer="seen")
        with api.connect() as link:
            link.send('{"action":"quiet"}')
            assert api.ask(link, {"action": "loud"}) == "seen"

    def test_the_answers_keep_the_order(self, api):
        api.mock("$default", answer="$input.body")
        with api.connect() as link:
            for number in range(500):
                link.send(f"message {number}")
            assert [link.recv(timeout=20) for _ in range(500)] == [f"message {number}" for number in range(500)]


class TestFunctions:
    def test_events(self, api, new_function, events):  # noqa: F811
        arn = new_function(KEEP, Environment=events.environment)
        for key in ["$connect", "$disconnect"]:
            api.function(key, arn)
        api.function("echo", arn, two_way=True)
        api.deployed()
        with api.connect(api.url(query="?room=a&room=b"), additional_headers={"X-Mine": "1"}) as link:
            message = json.loads(api.ask(link, {"action": "echo"}))
            second = json.loads(api.ask(link, {"action": "echo"}))
        connected, ended = events.wait("CONNECT")[0], events.wait("DISCONNECT")[0]

        assert connected["headers"]["X-Mine"] == "1" and connected["multiValueHeaders"]["X-Mine"] == ["1"]
        assert connected["headers"]["Sec-WebSocket-Version"] == "13" and "Upgrade" not in connected["headers"]
        assert connected["queryStringParameters"] == {"room": "b"}
        assert connected["multiValueQueryStringParameters"] == {"room": ["a", "b"]}
        assert set(message) == {"requestContext", "body", "isBase64Encoded"}
        assert (message["body"], message["isBase64Encoded"]) == ('{"action": "echo"}', False)
        assert ended["headers"] == {
            "Host": f"{api.id}.execute-api.localhost", "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""
        }  # fmt: skip

        common = {
            "eventType", "extendedRequestId", "requestTime", "messageDirection", "stage", "connectedAt", "identity",
            "requestTimeEpoch", "requestId", "domainName", "connectionId", "apiId", "routeKey",
        }  # fmt: skip
        contexts = [event["requestContext"] for event in (connected, message, second, ended)]
        own = [set(), {"messageId"}, {"messageId"}, {"disconnectStatusCode", "disconnectReason"}]
        routes = ["$connect", "echo", "echo", "$disconnect"]
        for context, members, route in zip(contexts, own, routes, strict=True):
            assert set(context) == common | members
            assert context["routeKey"] == route
            assert context["requestId"] == context["extendedRequestId"]
            assert (context["apiId"], context["stage"], context["messageDirection"]) == (api.id, "dev", "IN")
            assert context["domainName"] == f"{api.id}.execute-api.localhost"
            assert context["connectionId"] == contexts[0]["connectionId"]
            assert context["connectedAt"] == contexts[0]["connectedAt"] <= context["requestTimeEpoch"]
            assert context["identity"]["sourceIp"] == "127.0.0.1" and "Python" in context["identity"]["userAgent"]
            for name in ("connectionId", "requestId", "messageId"):
                assert name not in context or re.fullmatch(ID, context[name])
        assert len({context["requestId"] for context in contexts}) == 4
        assert message["requestContext"]["messageId"] != second["requestContext"]["messageId"]

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("exports.handler = async () => { throw new Error('no') }", "Internal server error"),
            ("exports.handler = async () => 'no response'", "Internal server error"),
            ("exports.handler = async () => {}", "Internal server error"),
        ],
    )
    def test_failures_become_error_frames(self, api, new_function, code, message):  # noqa: F811
        api.function("bad", new_function(code))
        api.mock("good", answer="good")
        with api.connect() as link:
            assert error(message).fullmatch(api.ask(link, {"action": "bad"}))
            assert api.ask(link, {"action": "good"}) == "good"

    def test_time_runs_out(self, api, new_function):  # noqa: F811
        code = "exports.handler = () => new Promise(() => setTimeout(() => {}, 20000))"
        api.function("slow", new_function(code, Timeout=30), TimeoutInMillis=300)
        with api.connect() as link:
            assert error("Endpoint request timed out").fullmatch(api.ask(link, {"action": "slow"}))

    def test_no_permission(self, api, new_function):  # noqa: F811
        api.function("closed", new_function("exports.handler = async () => ({statusCode: 200})", source=None))
        with api.connect() as link:
            assert error("Internal server error").fullmatch(api.ask(link, {"action": "closed"}))

    def test_permissions_name_the_route(self, api, new_function):  # noqa: F811
        answer = "exports.handler = async () => ({statusCode: 200, body: 'yes'})"
        api.function("yes", new_function(answer, source=f"{api.id}/dev/yes"), two_way=True)
        api.function("no", new_function(answer, source=f"{api.id}/dev/yes"), two_way=True)
        with api.connect() as link:
            assert api.ask(link, {"action": "yes"}) == "yes"
            assert error("Internal server error").fullmatch(api.ask(link, {"action": "no"}))


class TestConnecting:
    def test_without_a_connect_route_everybody_may(self, api):
        api.mock("$default", answer="hello")
        with api.connect() as link:
            assert api.ask(link, "x") == "hello"

    @pytest.mark.parametrize("status", [400, 401, 403, 500, 302])
    def test_a_function_refuses(self, api, new_function, status):  # noqa: F811
        api.function("$connect", new_function(f"exports.handler = async () => ({{statusCode: {status}}})"))
        assert api.refused().status_code == status

    @pytest.mark.parametrize("code", ["async () => { throw new Error('no') }", "async () => 'text'"])
    def test_a_function_fails(self, api, new_function, code):  # noqa: F811
        api.function("$connect", new_function(f"exports.handler = {code}"))
        answer = api.refused()
        assert answer.status_code == 502
        assert error("Internal server error").fullmatch(answer.body.decode())

    def test_a_function_does_not_answer(self, api, new_function):  # noqa: F811
        code = "exports.handler = () => new Promise(() => setTimeout(() => {}, 20000))"
        api.function("$connect", new_function(code, Timeout=30), TimeoutInMillis=300)
        assert api.refused().status_code == 504

    def test_subprotocols_are_chosen_by_the_function(self, api, new_function):  # noqa: F811
        code = "exports.handler = async () => ({statusCode: 200, headers: {'Sec-WebSocket-Protocol': 'two'}})"
        api.function("$connect", new_function(code))
        with api.connect(subprotocols=["one", "two"]) as link:
            assert link.subprotocol == "two"
        with api.connect() as link:
            assert link.subprotocol is None

    def test_by_path_and_on_the_control_listener(self, api):
        api.mock("$default", answer="hello")
        control = api.gateway.control.removeprefix("http://")
        for base in [f"127.0.0.1:{api.gateway.traffic_port}", control]:
            with api.connect(f"ws://{base}/_aws/execute-api/{api.id}/dev") as link:
                assert api.ask(link, "x") == "hello"

    @pytest.mark.parametrize("path", ["/dev/below", "/other", ""])
    def test_unknown_addresses_are_forbidden(self, api, path):
        api.mock("$default", answer="hello")
        url = api.url().removesuffix("/dev") + path
        assert api.refused(url).status_code == 403

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"Upgrade": "h2c"}, 426),
            ({"Connection": "keep-alive"}, 426),
            ({"Sec-WebSocket-Version": "8"}, 426),
            ({"Sec-WebSocket-Key": "short"}, 400),
        ],
    )
    def test_what_is_no_handshake(self, api, change, status):
        api.mock("$default", answer="hello")
        headers = {
            "Host": f"{api.id}.execute-api.localhost", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **change,
        }  # fmt: skip
        head = "GET /dev HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        answer = api.gateway.raw((head + "Connection: close\r\n\r\n").encode())
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer


class TestEnding:
    @pytest.mark.parametrize(
        ("close", "expected"),
        [
            ({"code": 1000}, (1000, "Connection Closed Normally")),
            ({"code": 4001, "reason": "bored"}, (4001, "bored")),
        ],
    )
    def test_codes_and_reasons(self, api, new_function, events, close, expected):  # noqa: F811
        api.function("$disconnect", new_function(KEEP, Environment=events.environment))
        with api.connect() as link:
            link.close(**close)
            assert link.protocol.close_rcvd.code == close["code"]
        context = events.wait("DISCONNECT")[0]["requestContext"]
        assert (context["disconnectStatusCode"], context["disconnectReason"]) == expected

    def test_a_client_vanishes(self, api, new_function, events):  # noqa: F811
        api.function("$disconnect", new_function(KEEP, Environment=events.environment))
        with api.connect() as link:
            link.socket.shutdown(2)
            assert events.wait("DISCONNECT")[0]["requestContext"]["disconnectStatusCode"] == 1006

    def test_what_came_before_the_end_is_answered_first(self, api, new_function, events):  # noqa: F811
        arn = new_function(KEEP, Environment=events.environment)
        api.function("$disconnect", arn)
        api.function("$default", arn)
        with api.connect() as link:
            for number in range(5):
                link.send(str(number))
        events.wait("DISCONNECT")
        kinds = [event["requestContext"]["eventType"] for event in events.all()]
        assert kinds == ["MESSAGE"] * 5 + ["DISCONNECT"]
        assert [event["body"] for event in events.of("MESSAGE")] == list("01234")

    def test_the_gateway_ends(self, api, new_function, events):  # noqa: F811
        api.function("$disconnect", new_function(KEEP, Environment=events.environment))
        with api.connect() as link:
            api.gateway.terminate()
            with pytest.raises(ConnectionClosed):
                link.recv(timeout=20)
            assert link.protocol.close_rcvd.code == 1001
        assert events.of("DISCONNECT")[0]["requestContext"]["disconnectStatusCode"] == 1001
