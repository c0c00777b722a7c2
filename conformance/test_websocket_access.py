"""Who may connect to a WebSocket API and how often; and what is logged and counted of it."""

import json
import re
import subprocess

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import requests
from authorization import function
from harness import ACCOUNT, REGION, binary, eventually, lambda_uri
from sockets import SocketApi
from test_http_api_traffic import new_function  # noqa: F401
from test_websocket_traffic import ID, error

AUTHORIZER = """
def handler(event, context):
    token = event.get("queryStringParameters", {}).get("token")
    if token == "nobody":
        raise Exception("Unauthorized")
    effect = "Allow" if token == "yes" else "Deny"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    return {"principalId": "ann", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            "context": {"arn": event["methodArn"], "type": event["type"], "n": 7,
                        "seen": ",".join(sorted(event)),
                        "connection": ",".join(event["headers"][n] for n in ("Connection", "content-length", "Upgrade")),
                        "event": event["requestContext"]["eventType"]},
            "usageIdentifierKey": event["headers"].get("X-Usage")}
"""
ECHO = "exports.handler = async (event) => ({statusCode: 200, body: JSON.stringify(event.requestContext)})"


@pytest.fixture
def api(gateway):
    return SocketApi(gateway)


def authorizer(api, source=("route.request.querystring.token",)):
    arn = function(api.gateway, "authorizer", AUTHORIZER)
    made = api.client.create_authorizer(
        ApiId=api.id, Name="a", AuthorizerType="REQUEST", AuthorizerUri=lambda_uri(arn), IdentitySource=list(source)
    )
    return {"AuthorizationType": "CUSTOM", "AuthorizerId": made["AuthorizerId"]}


class TestAuthorizers:
    def test_a_function_decides_and_is_heard_of_later(self, api, new_function):  # noqa: F811
        api.mock("$connect", route=authorizer(api))
        api.function("$default", new_function(ECHO), two_way=True)
        with api.connect(api.url(query="?token=yes")) as link:
            for _ in range(2):
                context = json.loads(api.ask(link, "x"))["authorizer"]
                assert context["principalId"] == "ann" and context["event"] == "CONNECT" and context["type"] == "REQUEST"
                assert context["connection"] == "upgrade,0,websocket"
                assert context["arn"] == f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/dev/$connect"
                assert context["seen"] == (
                    "headers,methodArn,multiValueHeaders,multiValueQueryStringParameters,queryStringParameters,"
                    "requestContext,stageVariables,type"
                )
                assert isinstance(context["integrationLatency"], int)

    @pytest.mark.parametrize(
        ("query", "status", "kind", "message"),
        [
            ("?token=no", 403, "AccessDeniedException", "User is not authorized to access this resource.*"),
            ("?token=nobody", 401, "UnauthorizedException", "Unauthorized"),
            ("", 401, "UnauthorizedException", "Unauthorized"),
        ],
    )
    def test_refusals(self, api, query, status, kind, message):
        api.mock("$connect", route=authorizer(api))
        answer = api.refused(api.url(query=query))
        assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (status, kind)
        assert error(message).fullmatch(answer.body.decode()), answer.body

    @pytest.mark.parametrize(("length", "status"), [(8 * 1024, 101), (8 * 1024 + 1, 500)])
    def test_an_answer_has_8_kb(self, api, length, status):
        code = """
import json
def handler(event, context):
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*"}
    answer = {"principalId": "ann", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}, "context": {"a": ""}}
    answer["context"]["a"] = "x" * (LENGTH - len(json.dumps(answer)))
    return answer
"""
        arn = function(api.gateway, "authorizer", code.replace("LENGTH", str(length)))
        made = api.client.create_authorizer(ApiId=api.id, Name="a", AuthorizerType="REQUEST", AuthorizerUri=lambda_uri(arn),
                                            IdentitySource=[])  # fmt: skip
        api.mock("$connect", route={"AuthorizationType": "CUSTOM", "AuthorizerId": made["AuthorizerId"]})
        api.mock("$default", answer="$context.authorizer.a.length()")
        if status == 101:
            with api.connect() as link:
                assert int(api.ask(link, "x")) > 7 * 1024
        else:
            answer = api.refused()
            assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (500, "AuthorizerConfigurationException")

    def test_signatures(self, api, tmp_path):
        api.mock("$connect", route={"AuthorizationType": "AWS_IAM"})
        api.mock("$default", answer="$context.identity.userArn")
        document = tmp_path / "policy.json"
        arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/dev/$connect"
        statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": arn}
        document.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

        def key(name, *arguments):
            command = [binary(), "credentials", "create", name, *arguments, "--data", api.gateway.data]
            return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=20).stdout)

        def url(key):
            request = botocore.awsrequest.AWSRequest(method="GET", url=api.url().replace("ws:", "http:"))
            credentials = botocore.credentials.Credentials(key["AccessKeyId"], key["SecretAccessKey"])
            botocore.auth.SigV4QueryAuth(credentials, "execute-api", REGION).add_auth(request)
            return request.url.replace("http:", "ws:")

        may, may_not = key("may", "--policy", document), key("maynot")

        def kind(key):
            try:
                return api.refused(url(key)).headers["x-amzn-ErrorType"]
            except AssertionError:
                return "taken"

        eventually(lambda: (kind(may), kind(may_not)) == ("taken", "AccessDeniedException"), what="the new keys")
        with api.connect(url(may)) as link:
            assert api.ask(link, "x").endswith(":user/may")
        assert api.refused().headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"


class TestKeysAndThrottles:
    def plan(self, api, **options):
        client = api.gateway.client()
        key = client.create_api_key(name="k", enabled=True, value="k" * 24)["id"]
        stages = [{"apiId": api.id, "stage": "dev"}]
        plan = client.create_usage_plan(name="p", apiStages=stages, **options)["id"]
        client.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
        return {"x-api-key": "k" * 24}

    def test_keys_of_handshakes_and_messages(self, api):
        api.mock("$connect", route={"ApiKeyRequired": True})
        api.mock("$default", answer="in", route={"ApiKeyRequired": True})
        key = self.plan(api)
        for headers in [{}, {"x-api-key": "unknown" * 4}]:
            answer = api.refused(additional_headers=headers)
            assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (403, "ForbiddenException")
            assert error("Forbidden").fullmatch(answer.body.decode())
        with api.connect(additional_headers=key) as link:
            assert api.ask(link, "x") == "in"

    def test_a_message_without_a_key(self, api):
        api.mock("$default", answer="in", route={"ApiKeyRequired": True})
        with api.connect() as link:
            assert error("Forbidden").fullmatch(api.ask(link, "x"))

    def test_keys_of_authorizers(self, gateway):
        api = SocketApi(gateway, ApiKeySelectionExpression="$context.authorizer.usageIdentifierKey")
        api.mock("$connect", route={"ApiKeyRequired": True, **authorizer(api)})
        key = self.plan(api)["x-api-key"]
        with api.connect(api.url(query="?token=yes"), additional_headers={"X-Usage": key}):
            pass
        assert api.refused(api.url(query="?token=yes"), additional_headers={"X-Usage": "x"}).status_code == 403

    def test_quotas(self, api):
        api.mock("$connect", route={"ApiKeyRequired": True})
        key = self.plan(api, quota={"limit": 2, "period": "DAY"})
        for _ in range(2):
            with api.connect(additional_headers=key):
                pass
        answer = api.refused(additional_headers=key)
        assert answer.status_code == 429 and error("Limit Exceeded").fullmatch(answer.body.decode())

    def test_throttles_of_routes(self, gateway):
        none = {"ThrottlingRateLimit": 0.0, "ThrottlingBurstLimit": 0}
        api = SocketApi(gateway)
        api.mock("slow", answer="slow")
        api.client.update_stage(ApiId=api.id, StageName="dev", RouteSettings={"slow": none})
        api.mock("$default", answer="default")
        with api.connect() as link:
            assert error("Too Many Requests").fullmatch(api.ask(link, {"action": "slow"}))
            assert api.ask(link, "x") == "default"

    def test_throttles_of_handshakes(self, gateway):
        api = SocketApi(gateway, settings={"DefaultRouteSettings": {"ThrottlingRateLimit": 0.01, "ThrottlingBurstLimit": 1}})
        api.mock("$connect")
        with api.connect():
            pass
        assert api.refused().status_code == 429

    def test_new_connections_a_second(self, new_gateway, tmp_path):
        config = tmp_path / "config.toml"
        config.write_text("[websocket]\nconnections_per_second = 2\n")
        api = SocketApi(new_gateway("--config", str(config)).start())
        api.mock("$default", answer="x")
        for _ in range(2):
            with api.connect():
                pass
        answer = api.refused()
        assert answer.status_code == 429 and error("Too Many Requests").fullmatch(answer.body.decode())


class TestLogs:
    FORMAT = (
        "$context.eventType $context.routeKey $context.connectionId $context.messageId $context.status $context.requestId "
        "$context.connectedAt $context.error.message $context.integration.status $context.identity.sourceIp $context.stage"
    )

    @pytest.fixture
    def logged(self, new_gateway):
        gateway = new_gateway()
        config = gateway.work / "stagedoor.toml"
        config.write_text(f"[[log_destinations]]\narn = 'arn:aws:logs:*'\nfile = '{gateway.work}/log'\n")
        gateway.arguments = ["--config", str(config)]
        gateway.log_file = gateway.work / "log"
        return gateway.start()

    def lines(self, gateway, count):
        found = eventually(lambda: len(gateway.log_file.read_text().splitlines()) >= count, what=f"{count} lines")
        assert found
        return gateway.log_file.read_text().splitlines()

    def test_access_logs(self, logged, new_function):  # noqa: F811
        group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:access"
        api = SocketApi(logged, settings={"AccessLogSettings": {"DestinationArn": group, "Format": self.FORMAT}})
        api.mock("$connect")
        api.mock("$disconnect")
        api.mock("good", answer="x")
        with api.connect() as link:
            api.ask(link, {"action": "good"})
            api.ask(link, {"action": "bad"})
        lines = self.lines(logged, 4)
        shape = rf"(\w+) (\S+) ({ID}) (\S+) (\d+) ({ID}) (\d{{13}}) (.*) (\S+) 127\.0\.0\.1 dev"
        found = [re.fullmatch(shape, line).groups() for line in lines]
        assert [(kind, route, status, message) for kind, route, _, _, status, _, _, message, _ in found] == [
            ("CONNECT", "$connect", "200", "-"), ("MESSAGE", "good", "200", "-"), ("MESSAGE", "-", "403", "Forbidden"),
            ("DISCONNECT", "$disconnect", "200", "-"),
        ]  # fmt: skip
        assert len({one[2] for one in found}) == 1 and len({one[6] for one in found}) == 1
        assert [bool(re.fullmatch(ID, one[3])) for one in found] == [False, True, True, False]

    def test_execution_logs(self, logged):
        settings = {"LoggingLevel": "INFO", "DataTraceEnabled": True}
        api = SocketApi(logged, settings={"DefaultRouteSettings": settings})
        api.mock("$connect")
        api.mock("$default", answer="x")
        with api.connect() as link:
            api.ask(link, "hello")
        text = "\n".join(self.lines(logged, 10))
        for part in [
            "WebSocket Request Route: [$connect]", f"is connecting to WebSocket API [{api.id}].",
            "WebSocket Request Route: [$default]", "Request body before transformations: hello",
            "API Key  authorized because route '$connect' does not require API Key.", "Successfully completed execution",
        ]:  # fmt: skip
            assert part in text, part

    def test_metrics(self, gateway, new_function):  # noqa: F811
        api = SocketApi(gateway, settings={"DefaultRouteSettings": {"DetailedMetricsEnabled": True}})
        api.mock("$connect")
        api.mock("good", answer="x" * 100)
        api.function("bad", new_function("exports.handler = async () => { throw new Error('no') }"))
        api.function("four", new_function("exports.handler = async () => ({statusCode: 400})"))
        with api.connect() as link:
            for action in ["good", "bad", "none"]:
                api.ask(link, {"action": action})
            api.ask(link, {"action": "good", "long": "x" * 30000})
            link.send('{"action": "four"}')
            api.ask(link, {"action": "good"})

        def value(name, route=None):
            text = requests.get(gateway.control + "/_stagedoor/metrics", timeout=10).text
            prefix = "aws_apigateway_websocket_" + ("route_" if route else "")
            found = [line for line in text.splitlines() if line.startswith(f"{prefix}{name}_total{{") and api.id in line]
            if route:
                found = [line for line in found if f'route="{route}"' in line]
            return int(found[0].split()[-1])

        eventually(lambda: value("connection_minutes") == 1, what="the connection's minute")
        expected = {
            "connect_count": 1, "message_count": 11, "message_units": 11, "client_error": 1, "execution_error": 1,
            "integration_error": 1,
        }  # fmt: skip
        assert {name: value(name) for name in expected} == expected
        assert value("message_count", "good") == 3 and value("execution_error", "bad") == 1
