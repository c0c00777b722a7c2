"""boto3 drives an API through its whole life: create → deploy → call → update → redeploy → delete."""

import botocore.exceptions
import pytest
from harness import body_json, eventually


def test_whole_life(gateway, echo):
    client = gateway.client()
    api = gateway.rest_api("life", description="first")
    api.mock("GET", "/greeting", '{"greeting": "hello"}')
    api.proxy("ANY", "/backend", echo.url + "/from-gateway")
    api.deploy("dev")

    answer = api.call("GET", "/greeting", stage="dev")
    assert (answer.status_code, body_json(answer)) == (200, {"greeting": "hello"})
    assert body_json(api.call("PUT", "/backend", stage="dev", data="x"))["method"] == "PUT"

    # An edit is invisible until it is deployed.
    where = {"restApiId": api.id, "resourceId": api.resource("/greeting"), "httpMethod": "GET"}
    patch = [{"op": "replace", "path": "/responseTemplates/application~1json", "value": '{"greeting": "goodbye"}'}]
    client.update_integration_response(**where, statusCode="200", patchOperations=patch)
    api.mock("GET", "/new", "{}")
    for _ in range(20):
        assert body_json(api.call("GET", "/greeting", stage="dev")) == {"greeting": "hello"}
        assert api.call("GET", "/new", stage="dev").status_code == 403

    api.deploy("dev")
    eventually(lambda: body_json(api.call("GET", "/greeting", stage="dev")) == {"greeting": "goodbye"}, 5)
    assert api.call("GET", "/new", stage="dev").status_code == 200

    client.delete_rest_api(restApiId=api.id)
    eventually(lambda: api.call("GET", "/greeting", stage="dev").status_code == 403, 5)
    with pytest.raises(client.exceptions.NotFoundException) as refused:
        client.get_rest_api(restApiId=api.id)
    assert refused.value.response["Error"]["Message"] == f"Invalid API identifier specified 000000000000:{api.id}"


def test_stages_hold_their_own_deployment(gateway):
    client, api = gateway.client(), gateway.rest_api()
    api.mock("GET", "/", "one")
    first = api.deploy("prod")
    api.client.update_integration_response(
        restApiId=api.id,
        resourceId=api.resource("/"),
        httpMethod="GET",
        statusCode="200",
        patchOperations=[{"op": "replace", "path": "/responseTemplates/application~1json", "value": "two"}],
    )
    second = api.deploy("dev")
    assert api.call("GET", "/", stage="prod").text == "one"
    assert api.call("GET", "/", stage="dev").text == "two"

    # A stage moves to another deployment, forward and back, by a patch.
    for deployment, text in (second, "two"), (first, "one"):
        patch = [{"op": "replace", "path": "/deploymentId", "value": deployment}]
        client.update_stage(restApiId=api.id, stageName="prod", patchOperations=patch)
        eventually(lambda: api.call("GET", "/", stage="prod").text == text, 5)

    with pytest.raises(client.exceptions.BadRequestException) as refused:
        client.delete_deployment(restApiId=api.id, deploymentId=first)
    assert "Active stages pointing to this deployment must be moved or deleted" in str(refused.value)
    client.delete_stage(restApiId=api.id, stageName="prod")
    eventually(lambda: api.call("GET", "/", stage="prod").status_code == 403, 5)
    client.delete_deployment(restApiId=api.id, deploymentId=first)
    assert api.call("GET", "/", stage="dev").text == "two"


def test_create_stage_on_a_deployment(gateway):
    client, api = gateway.client(), gateway.rest_api()
    api.mock("GET", "/", "here")
    deployment = client.create_deployment(restApiId=api.id)["id"]
    stage = client.create_stage(restApiId=api.id, stageName="qa", deploymentId=deployment, variables={"a": "b"})
    assert (stage["stageName"], stage["deploymentId"], stage["variables"]) == ("qa", deployment, {"a": "b"})
    eventually(lambda: api.call("GET", "/", stage="qa").text == "here", 5)


def test_stage_variables_reach_the_integration(gateway, echo):
    client, api = gateway.client(), gateway.rest_api()
    api.proxy("GET", "/", echo.url.replace("127.0.0.1", "${stageVariables.host}") + "/${stageVariables.part}")
    api.deploy("dev", variables={"host": "127.0.0.1", "part": "one"})
    eventually(lambda: body_json(api.call("GET", "/", stage="dev"))["path"] == "/one", 5)
    patch = [{"op": "replace", "path": "/variables/part", "value": "two"}]
    client.update_stage(restApiId=api.id, stageName="dev", patchOperations=patch)
    eventually(lambda: body_json(api.call("GET", "/", stage="dev"))["path"] == "/two", 5)


def test_deploying_nothing_is_refused(gateway):
    client, api = gateway.client(), gateway.rest_api()
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        client.create_deployment(restApiId=api.id, stageName="dev")
    assert refused.value.response["Error"]["Message"] == "The REST API doesn't contain any methods"
    api.method("GET", "/")
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        client.create_deployment(restApiId=api.id, stageName="dev")
    assert refused.value.response["Error"]["Message"] == "No integration defined for method"


def test_definitions_survive_a_restart(gateway):
    api = gateway.rest_api("kept")
    api.mock("GET", "/kept", "still here")
    api.deploy("dev")
    assert gateway.terminate() == 0
    gateway.start()
    eventually(lambda: api.call("GET", "/kept", stage="dev").text == "still here", 2)
    assert gateway.client().get_rest_api(restApiId=api.id)["name"] == "kept"
