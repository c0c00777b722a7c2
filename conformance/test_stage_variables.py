"""Stages and their variables: what they may be called, how many there may be, and everywhere that AWS resolves them."""

import botocore.exceptions
import pytest
from harness import body_json, lambda_uri
from test_functions import ROLE, create


def refused(api, code="BadRequestException", **options):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        api.client.create_deployment(restApiId=api.id, **options)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


@pytest.fixture
def api(gateway):
    api = gateway.rest_api()
    api.mock("GET", "/", "$stageVariables.v")
    return api


@pytest.mark.parametrize("name", ["a", "A-1_b", "9" * 128])
def test_stage_names(api, name):
    api.client.create_deployment(restApiId=api.id, stageName=name, variables={"v": "here"})
    assert api.call("GET", "/", stage=name).text == "here"


@pytest.mark.parametrize("name", ["a.b", "a b", "a/b", "\u00e4", "9" * 129])
def test_what_is_no_stage_name(api, name):
    assert refused(api, stageName=name)


def test_variables_and_their_limits(api):
    largest = {f"v{number}": "x" for number in range(98)} | {"n" * 64: "x", "v": "y" * 512}
    api.deploy(variables=largest)
    assert api.call("GET", "/").text == "y" * 512
    assert "stage variables" in refused(api, "LimitExceededException", stageName="b", variables=largest | {"more": "x"})
    for name, value in ("n" * 65, "x"), ("v", "y" * 513), ("a-b", "x"), ("v", "<x>"), ("v", ""):
        assert refused(api, stageName="b", variables={name: value})
    patch = [{"op": "replace", "path": "/variables/more", "value": "x"}]
    with pytest.raises(botocore.exceptions.ClientError):
        api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)


def test_a_changed_variable_needs_no_deployment(api):
    api.deploy(variables={"v": "one"})
    patch = [{"op": "replace", "path": "/variables/v", "value": "two"}]
    api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)
    assert api.call("GET", "/").text == "two"


def test_in_the_parts_of_a_uri_and_in_mappings(gateway, echo):
    api = gateway.rest_api()
    port = echo.url.rpartition(":")[2]
    for kind in "HTTP_PROXY", "HTTP":
        path = f"/{kind.lower()}"
        api.proxy("GET", path, "http://${stageVariables.host}:${stageVariables.port}/${stageVariables.path}?q=${stageVariables.q}", kind=kind,
                  requestParameters={"integration.request.header.X-V": "stageVariables.q"})  # fmt: skip
    where = {"restApiId": api.id, "resourceId": api.resource("/http"), "httpMethod": "GET"}
    api.client.put_method_response(**where, statusCode="200", responseParameters={"method.response.header.X-V": False})
    api.client.put_integration_response(
        **where, statusCode="200", responseParameters={"method.response.header.X-V": "stageVariables.q"}
    )
    api.deploy(variables={"host": "127.0.0.1", "port": port, "path": "a/b", "q": "1"})
    for path in "/http_proxy", "/http":
        answer = api.call("GET", path)
        seen = body_json(answer)
        assert (seen["path"], seen["query"], seen["headers"]["x-v"]) == ("/a/b", {"q": ["1"]}, "1"), path
    assert answer.headers["X-V"] == "1"


def test_the_name_the_alias_and_the_role_of_a_function(gateway):
    client = gateway.client("lambda")
    create(gateway, "first")
    arn = create(gateway, "second")
    client.create_alias(FunctionName="second", Name="live", FunctionVersion=client.publish_version(FunctionName="second")["Version"])
    api = gateway.rest_api()
    uri = lambda_uri(arn.replace("second", "${stageVariables.name}:${stageVariables.alias}"))
    api.proxy("GET", "/", uri, kind="AWS_PROXY", credentials=ROLE.replace("any", "${stageVariables.role}"))
    api.deploy(variables={"name": "second", "alias": "live", "role": "any"})
    found = body_json(api.call("GET", "/"))
    assert found["arn"].endswith(":second:live") and found["version"] == "1"
    assert found["event"]["stageVariables"] == {"name": "second", "alias": "live", "role": "any"}
    patch = [{"op": "remove", "path": "/variables/alias"}]
    api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)
    assert api.call("GET", "/").status_code == 500


def test_a_deployment_is_a_snapshot(api):
    api.deploy(variables={"v": "here"})
    where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET"}
    api.client.put_integration_response(**where, statusCode="200", responseTemplates={"application/json": "changed"})
    api.client.put_gateway_response(restApiId=api.id, responseType="MISSING_AUTHENTICATION_TOKEN", statusCode="404")
    assert api.call("GET", "/").text == "here" and api.call("GET", "/nothing").status_code == 403
    api.deploy()
    assert api.call("GET", "/").text == "changed" and api.call("GET", "/nothing").status_code == 404
