"""What WebSocket APIs call, and how messages and answers are transformed on the way."""

import json

import pytest
from harness import REGION, eventually, lambda_uri
from origin import EchoServer
from sockets import SocketApi
from test_http_api_traffic import new_function  # noqa: F401
from test_vpc_links import link as vpc_link
from test_websocket_traffic import error

CONTEXT = '{"id":"$context.connectionId","event":"$context.eventType","route":"$context.routeKey","text":$input.json("$.text")}'


@pytest.fixture
def api(gateway):
    return SocketApi(gateway)


def respond(api, integration, key="$default", **options):
    api.client.create_integration_response(
        ApiId=api.id, IntegrationId=integration, IntegrationResponseKey=key, **options
    )


class TestHttp:
    def test_a_proxy_gets_the_message_and_its_answer_goes_back(self, api, echo):
        options = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "PUT", "IntegrationUri": echo.url + "/in"}
        mapped = {
            "integration.request.header.connectionId": "context.connectionId",
            "integration.request.header.x-static": "'fixed'",
            "integration.request.querystring.action": "route.request.body.action",
        }
        integration = api.integration(RequestParameters=mapped, **options)
        api.route("$default", integration, two_way=True)
        with api.connect() as link:
            seen = json.loads(api.ask(link, {"action": "go", "n": 1}))
        assert (seen["method"], seen["path"], seen["query"]) == ("PUT", "/in", {"action": ["go"]})
        assert json.loads(seen["body"]) == {"action": "go", "n": 1}
        headers = seen["headers"]
        assert headers["x-static"] == "fixed" and len(headers["connectionid"]) == 16

    def test_a_proxy_sees_the_handshake(self, api, echo):
        options = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET", "IntegrationUri": echo.url + "/in"}
        api.route("$connect", api.integration(**options))
        with api.connect(api.url(query="?room=a"), additional_headers={"X-Mine": "1"}):
            pass
        method, path, headers, _ = echo.seen[-1]
        assert (method, path, dict(headers)["X-Mine"]) == ("GET", "/in?room=a", "1")

    def test_a_backend_refuses_a_handshake(self, api, echo):
        options = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET", "IntegrationUri": echo.url + "/status/403"}
        api.route("$connect", api.integration(**options))
        assert api.refused().status_code == 403

    def test_templates_both_ways(self, api, echo):
        integration = api.integration(
            IntegrationType="HTTP", IntegrationMethod="POST", IntegrationUri=echo.url + "/in",
            TemplateSelectionExpression="${request.body.kind}",
            RequestTemplates={"long": '{"long":$input.json("$.text")}', "$default": '{"other":$input.json("$.text")}'},
        )  # fmt: skip
        respond(api, integration, ResponseTemplates={"$default": "answered: $input.path('$.body')"})
        api.route("$default", integration, two_way=True)
        with api.connect() as link:
            assert api.ask(link, {"kind": "long", "text": "x"}) == 'answered: {"long":"x"}'
            assert api.ask(link, {"kind": "short", "text": "x"}) == 'answered: {"other":"x"}'

    def test_the_status_chooses_the_response(self, api, echo):
        integration = api.integration(
            IntegrationType="HTTP", IntegrationMethod="GET", IntegrationUri=echo.url + "/status/{code}",
            RequestParameters={"integration.request.path.code": "route.request.body.code"},
        )  # fmt: skip
        respond(api, integration, r"/2\d\d/", ResponseTemplates={"$default": "good"})
        respond(api, integration, "/404/", ResponseTemplates={"$default": "gone"})
        respond(api, integration, ResponseTemplates={"$default": "bad"})
        api.route("$default", integration, two_way=True)
        with api.connect() as link:
            for code, answer in [(200, "good"), (201, "good"), (404, "gone"), (500, "bad")]:
                assert api.ask(link, {"code": code}) == answer, code

    def test_nobody_listens(self, api):
        options = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET", "IntegrationUri": "http://127.0.0.1:9/"}
        integration = api.integration(**options)
        api.route("$default", integration)
        with api.connect() as link:
            assert error("Network error communicating with endpoint").fullmatch(api.ask(link, "x"))

    @pytest.mark.parametrize("kind", ["HTTP_PROXY", "HTTP"])
    def test_private_backends(self, new_gateway, tmp_path, kind):
        target = EchoServer()
        config = tmp_path / "config.toml"
        config.write_text(f'[[vpc_links]]\nname = "internal"\ntargets = ["127.0.0.1:{target.server_port}"]\n')
        gateway = new_gateway("--config", str(config)).start()
        api = SocketApi(gateway)
        integration = api.integration(
            IntegrationType=kind, IntegrationMethod="POST", IntegrationUri="http://orders.internal/in",
            ConnectionType="VPC_LINK", ConnectionId=vpc_link(gateway),
        )  # fmt: skip
        api.route("$default", integration, two_way=True)
        with api.connect() as link:
            assert json.loads(api.ask(link, "hello"))["body"] == "hello"
        target.close()


class TestAws:
    def test_a_function_behind_templates(self, api, new_function):  # noqa: F811
        code = """exports.handler = async (event) => {
            if (event.text === "fail") throw new Error("it failed");
            return {got: event};
        }"""
        integration = api.integration(
            IntegrationType="AWS", IntegrationUri=lambda_uri(new_function(code)), RequestTemplates={"$default": CONTEXT}
        )
        respond(api, integration, ResponseTemplates={"$default": "ok $input.path('$.got.text') $input.path('$.got.event')"})
        respond(api, integration, "/.*failed/", ResponseTemplates={"$default": "failed: $input.path('$.errorMessage')"})
        api.route("$default", integration, two_way=True)
        with api.connect() as link:
            assert api.ask(link, {"text": "x"}) == "ok x MESSAGE"
            assert api.ask(link, {"text": "fail"}) == "failed: it failed"

    def test_a_service(self, new_gateway, moto, aws):
        api = SocketApi(new_gateway(env={"AWS_ENDPOINT_URL": moto}).start())
        queue = aws("sqs").create_queue(QueueName="socket")["QueueUrl"]
        integration = api.integration(
            IntegrationType="AWS", IntegrationMethod="POST", CredentialsArn="arn:aws:iam::000000000000:role/gateway",
            IntegrationUri=f"arn:aws:apigateway:{REGION}:sqs:path/123456789012/socket",
            RequestParameters={"integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"},
            RequestTemplates={"application/json": "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"},
        )  # fmt: skip
        api.route("$default", integration)
        with api.connect() as link:
            link.send("a message & more")
            found = eventually(lambda: aws("sqs").receive_message(QueueUrl=queue).get("Messages"), what="the message")
        assert found[0]["Body"] == "a message & more"


class TestTemplates:
    def test_what_templates_see(self, gateway):
        api = SocketApi(gateway, variables={"color": "red"})
        api.mock("$connect")
        api.mock("$default", answer=CONTEXT + " $stageVariables.color $context.stage $context.messageId.length()")
        with api.connect() as link:
            seen, rest = api.ask(link, {"text": "x"}).rsplit("}", 1)
        assert json.loads(seen + "}") == {
            "id": json.loads(seen + "}")["id"], "event": "MESSAGE", "route": "$default", "text": "x"
        }  # fmt: skip
        assert rest == " red dev 16"

    @pytest.mark.parametrize(
        ("behavior", "templates", "passes"),
        [
            ("NEVER", {"other": "x"}, False),
            ("NEVER", {}, False),
            ("WHEN_NO_TEMPLATES", {"other": "x"}, False),
            ("WHEN_NO_TEMPLATES", {}, True),
            ("WHEN_NO_MATCH", {"other": "x"}, True),
        ],
    )
    def test_what_no_template_fits(self, api, echo, behavior, templates, passes):
        integration = api.integration(
            IntegrationType="HTTP", IntegrationMethod="POST", IntegrationUri=echo.url, PassthroughBehavior=behavior,
            RequestTemplates=templates, TemplateSelectionExpression="none",
        )  # fmt: skip
        api.route("$default", integration, two_way=True)
        with api.connect() as link:
            answer = api.ask(link, "hello")
        if passes:
            assert json.loads(answer)["body"] == "hello"
        else:
            assert error("Unsupported Media Type").fullmatch(answer)

    def test_a_template_that_fails(self, api):
        api.mock("$default", templates={"200": "#foreach($i in [1..20]) $util.parseJson('{') #end{\"statusCode\":200}"})
        with api.connect() as link:
            assert error("Internal server error").fullmatch(api.ask(link, "x"))

    def test_a_mock_refuses_a_handshake(self, api):
        api.mock("$connect", templates={"200": '{"statusCode":#if($input.params("ok") == "1")200#{else}403#end}'})
        with api.connect(api.url(query="?ok=1")):
            pass
        assert api.refused().status_code == 403


class TestValidation:
    def model(self, api, name, required):
        schema = {"$schema": "http://json-schema.org/draft-04/schema#", "type": "object", "required": [required]}
        api.client.create_model(ApiId=api.id, Name=name, ContentType="application/json", Schema=json.dumps(schema))

    def test_models_by_expression(self, api):
        self.model(api, "Join", "room")
        self.model(api, "Any", "action")
        route = {"ModelSelectionExpression": "$request.body.kind", "RequestModels": {"join": "Join", "$default": "Any"}}
        api.mock("$default", answer="fits", route=route)
        with api.connect() as link:
            assert api.ask(link, {"kind": "join", "room": 1}) == "fits"
            assert error("Invalid request body").fullmatch(api.ask(link, {"kind": "join"}))
            assert api.ask(link, {"action": "x"}) == "fits"
            assert error("Invalid request body").fullmatch(api.ask(link, {"kind": "other"}))
            assert error("Invalid request body").fullmatch(api.ask(link, "text"))

    def test_proxies_too_and_no_model_at_all(self, api, echo):
        self.model(api, "Join", "room")
        integration = api.integration(IntegrationType="HTTP_PROXY", IntegrationMethod="POST", IntegrationUri=echo.url)
        models = {"ModelSelectionExpression": "$request.body.kind", "RequestModels": {"join": "Join"}}
        api.route("$default", integration, two_way=True, **models)
        with api.connect() as link:
            assert json.loads(api.ask(link, {"kind": "join", "room": 1}))["method"] == "POST"
            for message in {"kind": "join"}, {"kind": "other", "room": 1}, {"room": 1}, "text":
                assert error("Invalid request body").fullmatch(api.ask(link, message))

    def test_parameters_of_handshakes(self, api):
        names = ["route.request.querystring.room", "route.request.header.X-Token"]
        api.mock("$connect", route={"RequestParameters": {name: {"Required": True} for name in names}})
        with api.connect(api.url(query="?room=1"), additional_headers={"X-Token": "t"}):
            pass
        answer = api.refused(api.url(query="?room="))
        assert answer.status_code == 400
        assert error(r"Missing required request parameters: \[X-Token, room\]").fullmatch(answer.body.decode())
