"""WebSocket APIs over TLS and by custom domain names: handshakes, messages and `@connections`."""

import json
import socket
import ssl

import boto3
import botocore.config
import pytest
from authorization import function
from harness import REGION, eventually
from sockets import SocketApi
from test_connections import ANY
from test_custom_domains import Authority, Served, certified
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

NAME = "ws.example.com"
CONTEXT = '{"domain":"$context.domainName","stage":"$context.stage","id":"$context.connectionId"}'
ECHO = """
import json

def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event["requestContext"])}
"""


@pytest.fixture
def served(new_gateway, tmp_path):
    return Served(new_gateway, tmp_path).start()


def mapped(gateway, key="v1", name=NAME):
    """An API that a path of a custom domain leads to."""
    api = SocketApi(gateway)
    api.mock("$connect")
    api.mock("$default", answer=CONTEXT)
    api.client.create_api_mapping(DomainName=name, ApiId=api.id, Stage=api.stage, **({"ApiMappingKey": key} if key else {}))
    return api.deployed()


def secure(served, api, url, **options):
    """A connection to the HTTPS listener, whatever the host's name resolves to."""
    context = ssl.create_default_context(cafile=served.authority.certificate)
    if certificate := options.pop("certificate", None):
        context.load_cert_chain(*certificate)
    link = socket.create_connection(("127.0.0.1", served.port), 10)
    return api.connect(url, ssl=context, sock=link, **options)


def plain(api, url, **options):
    """A connection to the traffic listener under another host's name."""
    link = socket.create_connection(("127.0.0.1", api.gateway.traffic_port), 10)
    return api.connect(url, sock=link, **options)


def manager(endpoint, host=None, **options):
    client = boto3.session.Session().client(
        "apigatewaymanagementapi", endpoint_url=endpoint, region_name=REGION, aws_access_key_id=ANY["AccessKeyId"],
        aws_secret_access_key=ANY["SecretAccessKey"], config=botocore.config.Config(retries={"max_attempts": 0}), **options,
    )  # fmt: skip
    if host:
        # Before it is signed: the name does not resolve, and the signature covers it.
        client.meta.events.register("before-sign", lambda request, **_: request.headers.add_header("Host", host))
    return client


class TestTls:
    def test_by_the_apis_own_name(self, served):
        api = SocketApi(served.gateway)
        api.mock("$default", answer="$input.body")
        host = f"{api.id}.execute-api.localhost"
        with secure(served, api, f"wss://{host}:{served.port}/dev") as link:
            for text in "x", "é" * 1000, "y" * 30_000:
                assert api.ask(link, text) == text
            # Several TLS records and frames at once, both ways.
            for number in range(200):
                link.send(f"{number} " + "z" * 1000)
            assert [int(link.recv(timeout=20).split()[0]) for _ in range(200)] == list(range(200))
            link.send(b"binary")
            with pytest.raises(ConnectionClosed):
                link.recv(timeout=20)
            assert link.protocol.close_rcvd.code == 1003

    @pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
    def test_by_a_custom_domain(self, served):
        served.domain(NAME)
        api = mapped(served.gateway)
        api.function("echo", function(served.gateway, "echo", ECHO), two_way=True)
        with secure(served, api, f"wss://{NAME}:{served.port}/v1?x=1") as link:
            seen = json.loads(api.ask(link, "x"))
            assert (seen["domain"], seen["stage"]) == (NAME, "dev")
            context = json.loads(api.ask(link, {"action": "echo"}))
            assert (context["domainName"], context["stage"], context["apiId"]) == (NAME, "dev", api.id)
            client = manager(f"https://127.0.0.1:{served.port}/v1", NAME, verify=False)
            client.post_to_connection(ConnectionId=seen["id"], Data=b"pushed")
            assert link.recv(timeout=10) == "pushed"

    def test_mutual_tls(self, served):
        clients = Authority(served.folder, "trust")
        served.domain(NAME, mutualTlsAuthentication={"truststoreUri": "s3://bucket/trust.pem"})
        api = mapped(served.gateway, key=None)
        url = f"wss://{NAME}:{served.port}/"
        with secure(served, api, url, certificate=clients.issue("alice")) as link:
            assert json.loads(api.ask(link, "x"))["domain"] == NAME
        with pytest.raises(InvalidStatus, match="403"):
            secure(served, api, url, certificate=served.authority.issue("eve"))
        # A connection whose certificate is trusted no longer neither says nor hears anything more.
        alice = clients.issue("alice")
        with secure(served, api, url, certificate=alice) as talks, secure(served, api, url, certificate=alice) as hears:
            assert json.loads(api.ask(talks, "x"))["domain"] == NAME
            where = {"ConnectionId": json.loads(api.ask(hears, "x"))["id"]}
            own = manager(f"{served.gateway.traffic}/dev", f"{api.id}.execute-api.localhost")
            (served.folder / "trust.pem").write_bytes(served.authority.certificate.read_bytes())

            def shut_out():
                try:
                    return api.ask(talks, "x") and False
                except ConnectionClosed as closed:
                    return closed.rcvd.code == 1008

            eventually(shut_out, 20, "the new truststore")
            own.post_to_connection(**where, Data=b"secret")
            with pytest.raises(ConnectionClosed) as closed:
                hears.recv(timeout=20)
            assert closed.value.rcvd.code == 1008
        # Without a certificate there is no handshake to answer; how a client sees that depends on what comes first.
        with pytest.raises((ConnectionClosed, InvalidMessage, OSError)):
            secure(served, api, url)


class TestCustomDomains:
    @pytest.fixture
    def api(self, gateway):
        certified(gateway, NAME)
        return mapped(gateway)

    @pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1?token=x"])
    def test_the_mappings_path_and_no_stage(self, api, path):
        with plain(api, f"ws://{NAME}{path}") as link:
            seen = json.loads(api.ask(link, "x"))
        assert (seen["domain"], seen["stage"]) == (NAME, "dev")

    @pytest.mark.parametrize("path", ["/v1/below", "/v1/dev", "/dev", "/v2", "/"])
    def test_other_paths_are_forbidden(self, api, path):
        link = socket.create_connection(("127.0.0.1", api.gateway.traffic_port), 10)
        assert api.refused(f"ws://{NAME}{path}", sock=link).status_code == 403

    def test_the_apis_own_name_can_be_switched_off(self, api):
        api.client.update_api(ApiId=api.id, DisableExecuteApiEndpoint=True)
        assert api.refused().status_code == 403
        with plain(api, f"ws://{NAME}/v1") as link:
            assert json.loads(api.ask(link, "x"))["domain"] == NAME

    def test_connections_are_managed_by_either_name(self, api):
        by_domain = manager(f"{api.gateway.traffic}/v1", NAME)
        by_id = manager(f"{api.gateway.traffic}/dev", f"{api.id}.execute-api.localhost")
        for connect in lambda: plain(api, f"ws://{NAME}/v1"), api.connect:
            with connect() as link:
                where = {"ConnectionId": json.loads(api.ask(link, "x"))["id"]}
                for client in by_domain, by_id:
                    client.post_to_connection(**where, Data=b"pushed")
                    assert link.recv(timeout=10) == "pushed"
                    assert client.get_connection(**where)["Identity"]["SourceIp"] == "127.0.0.1"
                by_domain.delete_connection(**where)
                with pytest.raises(ConnectionClosed):
                    link.recv(timeout=10)
                for client in by_domain, by_id:
                    with pytest.raises(client.exceptions.GoneException):
                        client.post_to_connection(**where, Data=b"late")

    def test_connections_of_another_api_on_the_domain_are_gone(self, api):
        other = mapped(api.gateway, "other")
        with plain(api, f"ws://{NAME}/v1") as link:
            where = {"ConnectionId": json.loads(api.ask(link, "x"))["id"]}
            client = manager(f"{api.gateway.traffic}/other", NAME)
            with pytest.raises(client.exceptions.GoneException):
                client.post_to_connection(**where, Data=b"x")
            with plain(other, f"ws://{NAME}/other") as link:
                where = {"ConnectionId": json.loads(other.ask(link, "x"))["id"]}
                assert client.get_connection(**where)


def test_a_domain_leads_to_websocket_apis_or_to_others(gateway):
    certified(gateway, NAME)
    client, rest = gateway.client("apigatewayv2"), gateway.rest_api()
    rest.mock("GET", "/", "x")
    rest.deploy()
    api = SocketApi(gateway)
    api.mock("$default")
    api.deployed()
    action = {"InvokeApi": {"ApiId": rest.id, "Stage": "test"}}
    rule = {"DomainName": NAME, "Priority": 1, "Conditions": [], "Actions": [action]}
    socket_mapping = {"DomainName": NAME, "ApiId": api.id, "Stage": api.stage, "ApiMappingKey": "s"}
    made = client.create_routing_rule(**rule)
    with pytest.raises(client.exceptions.BadRequestException, match="cannot lead to WebSocket APIs"):
        client.create_api_mapping(**socket_mapping)
    client.delete_routing_rule(DomainName=NAME, RoutingRuleId=made["RoutingRuleId"])
    client.create_api_mapping(**socket_mapping)
    with pytest.raises(client.exceptions.BadRequestException, match="has no routing rules"):
        client.create_routing_rule(**rule)
    with pytest.raises(client.exceptions.BadRequestException, match="cannot lead to WebSocket APIs"):
        client.create_api_mapping(**socket_mapping | {"ApiId": rest.id, "Stage": "test", "ApiMappingKey": "r"})


class TestUrls:
    """The longest URL of a handshake."""

    def lengths(self, api, most):
        scheme = len("wss://") - len("ws://")
        short = api.url(query="?")
        fits = short + "x" * (most - scheme - len(short))
        with api.connect(fits) as link:
            assert json.loads(api.ask(link, "x"))["stage"] == "dev"
        return api.refused(fits + "x")

    def make(self, gateway):
        api = SocketApi(gateway)
        api.mock("$connect")
        api.mock("$default", answer=CONTEXT)
        return api.deployed()

    def test_aws_limit(self, gateway):
        answer = self.lengths(self.make(gateway), 4096)
        body = json.loads(answer.body)
        assert (answer.status_code, body["message"]) == (414, "Request URI too long")
        assert set(body) == {"message", "connectionId", "requestId"}

    def test_it_can_be_raised(self, new_gateway, tmp_path):
        config = tmp_path / "config.toml"
        config.write_text("[websocket]\nurl_characters_max = 6000\n")
        api = self.make(new_gateway("--config", str(config)).start())
        assert self.lengths(api, 6000).status_code == 414
