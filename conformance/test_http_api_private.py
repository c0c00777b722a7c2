"""HTTP APIs' private integrations (VPC links), and HTTP APIs behind custom domain names."""

import json
import ssl

import pytest
from botocore.exceptions import ClientError
from harness import body_json
from origin import EchoServer
from test_custom_domains import Authority, Served, host_call
from test_http_api_traffic import HttpApi

LISTENER = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/internal/50dc6c495c0c9188/0467ef3c8400ae65"


@pytest.fixture
def targets():
    servers = [EchoServer(), EchoServer()]
    yield servers
    for server in servers:
        server.close()


def start(new_gateway, tmp_path, name, servers, env=None):
    addresses = ", ".join(f'"127.0.0.1:{server.server_port}"' for server in servers)
    config = tmp_path / "config.toml"
    config.write_text(f'[[vpc_links]]\nname = "{name}"\ntargets = [{addresses}]\n')
    return new_gateway("--config", str(config), env=env or {}).start()


def link(api, name="internal"):
    return api.client.create_vpc_link(Name=name, SubnetIds=["subnet-1"])["VpcLinkId"]


def private(api, key, **options):
    return api.backend(key, LISTENER, ConnectionType="VPC_LINK", **options)


@pytest.mark.parametrize("called", ["internal", LISTENER])
@pytest.mark.parametrize("stage", ["$default", "dev"])
def test_the_path_goes_on_with_its_stage(new_gateway, tmp_path, targets, called, stage):
    gateway = start(new_gateway, tmp_path, called, targets)
    api = HttpApi(gateway, stage=stage)
    id = link(api)
    private(api, "GET /pets/{id}", ConnectionId=id)
    private(api, "GET /bare/{id}", ConnectionId=id, RequestParameters={"overwrite:path": "$request.path"})
    private(api, "GET /other", ConnectionId=id, RequestParameters={"overwrite:path": "/x y", "overwrite:header.host": "h.test"})
    begin = "" if stage == "$default" else "/dev"
    for number in range(4):
        sent = body_json(api.call("GET", f"{begin}/pets/{number}%20x?a=b"))
        assert (sent["path"], sent["query"], sent["headers"]["host"]) == (
            f"{begin}/pets/{number}%20x", {"a": ["b"]}, f"{api.id}.execute-api.localhost:{gateway.traffic_port}"
        )  # fmt: skip
    assert [len(server.seen) for server in targets] == [2, 2]
    sent = body_json(api.call("GET", f"{begin}/bare/1?a=b"))
    assert (sent["path"], sent["query"]) == ("/bare/1", {"a": ["b"]})
    sent = body_json(api.call("GET", f"{begin}/other"))
    assert (sent["path"], sent["headers"]["host"]) == ("/x%20y", "h.test")


def test_a_link_that_leads_nowhere_is_told_at_deployment(gateway, echo):
    api = HttpApi(gateway)
    route = api.backend("GET /", echo.url)
    private(api, "GET /a", ConnectionId=link(api))
    message = api.client.get_stage(ApiId=api.id, StageName="$default")["LastDeploymentStatusMessage"]
    assert "Deployment attempt failed" in message and "[[vpc_links]]" in message
    assert api.call("GET", "/").status_code == 200
    assert route
    with pytest.raises(ClientError, match="Invalid Vpc Link"):
        private(api, "GET /b", ConnectionId="absent")


def test_a_stage_variable_names_the_link(new_gateway, tmp_path, targets):
    gateway = start(new_gateway, tmp_path, "internal", targets)
    api = HttpApi(gateway)
    api.client.update_stage(ApiId=api.id, StageName="$default", StageVariables={"link": link(api)})
    private(api, "GET /", ConnectionId="${stageVariables.link}")
    assert body_json(api.call("GET", "/"))["path"] == "/"


def test_the_name_to_verify(new_gateway, tmp_path):
    """Over TLS, with the certificate held against `serverNameToVerify`, which is also the name asked for."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("backend", "orders.internal")
    context, names = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _, name, __: names.append(name)
    server = EchoServer()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    try:
        gateway = start(new_gateway, tmp_path, "internal", [server], {"SSL_CERT_FILE": str(authority.certificate)})
        api = HttpApi(gateway)
        id = link(api)
        private(api, "GET /right", ConnectionId=id, TlsConfig={"ServerNameToVerify": "orders.internal"})
        private(api, "GET /wrong", ConnectionId=id, TlsConfig={"ServerNameToVerify": "other.internal"})
        private(api, "GET /unnamed", ConnectionId=id, TlsConfig={})
        assert body_json(api.call("GET", "/right"))["path"] == "/right"
        answer = api.call("GET", "/wrong")
        assert (answer.status_code, body_json(answer)) == (503, {"message": "Service Unavailable"})
        # A configuration without a name is TLS all the same; then any name will do, and none is asked for.
        assert body_json(api.call("GET", "/unnamed"))["path"] == "/unnamed"
        assert names == ["orders.internal", "other.internal", None]
    finally:
        server.close()


class TestDomains:
    def map(self, served, api, name="api.example.com", key="", stage="$default"):
        served.v2.create_api_mapping(DomainName=name, ApiId=api.id, Stage=stage, ApiMappingKey=key)

    @pytest.fixture
    def served(self, new_gateway, tmp_path):
        return Served(new_gateway, tmp_path).start()

    def test_mappings(self, served, echo, new_function_of):
        served.domain("api.example.com")
        gateway = served.gateway
        root, below = HttpApi(gateway), HttpApi(gateway, stage="dev")
        root.backend("$default", echo.url + "/root")
        below.backend("GET /pets", echo.url + "/pets")
        arn = new_function_of(gateway)
        below.function("GET /event/{id}", arn)
        below.function("GET /older/{id}", arn, "1.0")
        self.map(served, root)
        self.map(served, below, key="v1/shop", stage="dev")
        call = lambda path, **options: host_call(gateway, "api.example.com", path, **options)  # noqa: E731
        assert body_json(call("/anything"))["path"] == "/root"
        assert body_json(call("/v1/shop/pets"))["path"] == "/pets"
        answer = call("/v1/shop/nothing")
        assert (answer.status_code, body_json(answer)) == (404, {"message": "Not Found"})
        event = body_json(call("/v1/shop/event/7"))
        # As users report of AWS: the stage stands in the path all the same, and the mapping does not.
        assert (event["rawPath"], event["requestContext"]["stage"]) == ("/dev/event/7", "dev")
        assert event["requestContext"]["http"]["path"] == "/dev/event/7"
        assert (event["requestContext"]["domainName"], event["requestContext"]["domainPrefix"]) == ("api.example.com", "api")
        assert (event["pathParameters"], event["routeKey"]) == ({"id": "7"}, "GET /event/{id}")
        # Only format 1.0 shows the mapping, as the developer guide says.
        event = body_json(call("/v1/shop/older/7"))
        assert (event["path"], event["requestContext"]["path"]) == ("/v1/shop/older/7", "/v1/shop/older/7")
        # As users report: nothing behind the mapping is shown as nothing.
        root.function("GET /", arn)
        self.map(served, root, key="here")
        assert [body_json(call(path))["rawPath"] for path in ("/here", "/here/", "/")] == ["", "/", "/"]
        # The API's own address may be closed; the domain stays.
        below.client.update_api(ApiId=below.id, DisableExecuteApiEndpoint=True)
        answer = below.call("GET", "/dev/pets")
        assert (answer.status_code, body_json(answer)) == (404, {"message": "Not Found"})
        assert call("/v1/shop/pets").status_code == 200
        assert call("/ping").status_code == 200

    @pytest.fixture
    def new_function_of(self):
        from authorization import function

        echo = "import json\ndef handler(event, context):\n    return {'statusCode': 200, 'body': json.dumps(event)}\n"
        return lambda gateway: function(gateway, "echo", echo)

    def test_clients_certificates(self, served, new_function_of):
        """Mutual TLS: functions see whose certificate came, in both formats."""
        certificate, key = served.authority.issue("client")
        (served.folder / "trust.pem").write_bytes(served.authority.certificate.read_bytes())
        served.domain("mtls.example.com", mutualTlsAuthentication={"truststoreUri": "s3://bucket/trust.pem"})
        api = HttpApi(served.gateway)
        api.function("GET /", new_function_of(served.gateway))
        self.map(served, api, "mtls.example.com")
        status, _, body = served.curl("mtls.example.com", "/", "--cert", certificate, "--key", key)
        assert status == 200, body
        shown = json.loads(body)["requestContext"]["authentication"]["clientCert"]
        assert sorted(shown) == ["clientCertPem", "issuerDN", "serialNumber", "subjectDN", "validity"]
        assert "CN=client" in shown["subjectDN"] and "CN=authority" in shown["issuerDN"]
        assert sorted(shown["validity"]) == ["notAfter", "notBefore"]
