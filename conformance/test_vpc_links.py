"""Private integrations: VPC links whose targets the configuration file names."""

import pytest
from botocore.exceptions import ClientError
from harness import body_json
from origin import EchoServer

ARN = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/net/internal/50dc6c495c0c9188"
ALB = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/internal/50dc6c495c0c9188"


@pytest.fixture
def targets():
    servers = [EchoServer(), EchoServer()]
    yield servers
    for server in servers:
        server.close()


@pytest.fixture
def linked(new_gateway, tmp_path, targets):
    """Starts a gateway that knows where a link of this name leads."""

    def start(name):
        addresses = ", ".join(f'"127.0.0.1:{server.server_port}"' for server in targets)
        config = tmp_path / "config.toml"
        config.write_text(f'[[vpc_links]]\nname = "{name}"\ntargets = [{addresses}]\n')
        return new_gateway("--config", str(config)).start()

    return start


def link(gateway, name="internal"):
    return gateway.client().create_vpc_link(name=name, targetArns=[ARN])["id"]


@pytest.mark.parametrize("called", ["internal", ARN])
@pytest.mark.parametrize("kind", ["HTTP_PROXY", "HTTP"])
def test_requests_go_to_the_targets_in_turn(linked, targets, called, kind):
    gateway = linked(called)
    api = gateway.rest_api()
    uri = "http://orders.internal/base/{id}"
    api.proxy(
        "GET",
        "/{id}",
        uri,
        kind=kind,
        connectionType="VPC_LINK",
        connectionId=link(gateway),
        method_options={"requestParameters": {"method.request.path.id": True}},
        requestParameters={"integration.request.path.id": "method.request.path.id"},
    )
    if kind == "HTTP":
        where = {"restApiId": api.id, "resourceId": api.resource("/{id}"), "httpMethod": "GET", "statusCode": "200"}
        api.client.put_method_response(**where)
        api.client.put_integration_response(**where)
    api.deploy()
    for number in range(4):
        sent = body_json(api.call("GET", f"/{number}"))
        assert (sent["path"], sent["headers"]["host"]) == (f"/base/{number}", "orders.internal")
    assert [len(server.seen) for server in targets] == [2, 2]


def test_a_stage_variable_names_the_link(linked, targets):
    gateway = linked("internal")
    api = gateway.rest_api()
    options = {"connectionType": "VPC_LINK", "connectionId": "${stageVariables.link}"}
    api.proxy("GET", "/", "http://orders.internal/", **options)
    api.deploy(variables={"link": link(gateway)})
    assert body_json(api.call("GET", "/"))["headers"]["host"] == "orders.internal"
    api.deploy("without")
    assert api.call("GET", "/", "without").status_code == 500


@pytest.mark.parametrize("called", ["internal", ALB])
def test_a_link_of_the_second_kind_leads_to_the_load_balancer_of_the_integration(linked, targets, called):
    gateway = linked(called)
    created = gateway.client("apigatewayv2").create_vpc_link(Name="internal", SubnetIds=["subnet-1"])["VpcLinkId"]
    api = gateway.rest_api()
    options = {"connectionType": "VPC_LINK", "connectionId": created, "integrationTarget": ALB}
    api.proxy("GET", "/", "http://orders.internal:8000/base", **options)
    api.deploy()
    sent = [body_json(api.call("GET", "/")) for _ in range(2)]
    assert [(one["path"], one["headers"]["host"]) for one in sent] == [("/base", "orders.internal:8000")] * 2
    assert [len(server.seen) for server in targets] == [1, 1]
    assert api.client.get_integration(
        restApiId=api.id, resourceId=api.resource("/"), httpMethod="GET"
    )["integrationTarget"] == ALB


def test_load_balancers_that_cannot_be_are_refused(linked):
    gateway = linked("internal")
    second = gateway.client("apigatewayv2").create_vpc_link(Name="internal", SubnetIds=["subnet-1"])["VpcLinkId"]
    first = link(gateway)
    for options, message in (
        ({"connectionType": "VPC_LINK", "connectionId": second}, "integrationTarget has to name a load balancer"),
        ({"connectionType": "VPC_LINK", "connectionId": second, "integrationTarget": "orders"}, "has to be the ARN"),
        ({"connectionType": "VPC_LINK", "connectionId": first, "integrationTarget": ALB}, "needs a VPC link V2"),
        ({"integrationTarget": ALB}, "integrationTarget needs connectionType VPC_LINK"),
    ):
        api = gateway.rest_api()
        api.proxy("GET", "/", "http://orders.internal/", **options)
        with pytest.raises(ClientError) as error:
            api.client.create_deployment(restApiId=api.id, stageName="test")
        assert message in error.value.response["Error"]["Message"]


def test_links_that_lead_nowhere_are_refused(linked):
    gateway = linked("internal")
    for connection, message in (("abc123", "there is no VPC link"), (link(gateway, "other"), "[[vpc_links]]")):
        api = gateway.rest_api()
        api.proxy("GET", "/", "http://orders.internal/", connectionType="VPC_LINK", connectionId=connection)
        with pytest.raises(ClientError) as error:
            api.client.create_deployment(restApiId=api.id, stageName="test")
        assert message in error.value.response["Error"]["Message"]


def test_configurations_that_cannot_be(new_gateway, tmp_path):
    for line, message in (
        ("targets = ['http://a']", "is no host and port"),
        ("targets = []", "needs targets"),
        ("", "missing field `targets`"),
    ):
        config = tmp_path / "config.toml"
        config.write_text(f"[[vpc_links]]\nname = 'a'\n{line}\n")
        code, _, errors = new_gateway("--config", str(config)).run_to_end()
        assert code == 2 and message in errors, errors
