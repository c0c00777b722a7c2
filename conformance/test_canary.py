"""Canary deployments: what the control plane says of them (recorded), and who gets which share of the traffic."""

import re

import pytest
import requests
from botocore.exceptions import ClientError
from harness import ACCOUNT, REGION, body_json, eventually

TEMPLATE = """{"deployment": "%s", "var": "$stageVariables.testVar", "own": "$stageVariables.noStageVar",
"kept": "$stageVariables.defaultVar", "isCanary": "$context.isCanaryRequest"}"""


@pytest.fixture
def api(gateway):
    """An API whose answer tells the deployment; `api.redeploy` freezes another text and returns the deployment's id."""
    api = gateway.rest_api()
    api.mock("GET", "/", TEMPLATE % "first")

    def redeploy(text, **options):
        api.client.update_integration_response(
            restApiId=api.id,
            resourceId=api.resource("/"),
            httpMethod="GET",
            statusCode="200",
            patchOperations=[
                {"op": "replace", "path": "/responseTemplates/application~1json", "value": TEMPLATE % text}
            ],
        )
        return api.client.create_deployment(restApiId=api.id, **options)["id"]

    def update(stage, *operations):
        patch = [dict(zip(("op", "path", "value"), operation, strict=False)) for operation in operations]
        for operation in patch:
            if operation["op"] == "copy":
                operation["from"] = operation.pop("value")
        return api.client.update_stage(restApiId=api.id, stageName=stage, patchOperations=patch)

    api.redeploy, api.update = redeploy, update
    return api


def refused(call, message):
    with pytest.raises(ClientError) as error:
        call()
    assert error.value.response["Error"]["Code"] == "BadRequestException"
    assert error.value.response["Error"]["Message"].startswith(message), error.value


class TestControlPlane:
    def test_stage_with_a_canary(self, api):
        first, second = api.redeploy("first"), api.redeploy("second")
        canary = {"deploymentId": second, "percentTraffic": 50, "stageVariableOverrides": {"testVar": "canary"}}
        where = {"restApiId": api.id, "stageName": "dev"}
        made = api.client.create_stage(
            **where, deploymentId=first, variables={"testVar": "default"}, canarySettings=canary
        )
        assert made["canarySettings"] == {**canary, "percentTraffic": 50.0, "useStageCache": False}
        assert made["deploymentId"] == first
        changed = api.update("dev", ("replace", "/canarySettings/stageVariableOverrides/testVar", "updated"))
        assert changed["canarySettings"]["stageVariableOverrides"] == {"testVar": "updated"}
        api.update("dev", ("replace", "/canarySettings/stageVariableOverrides/other", "b"))
        changed = api.update("dev", ("remove", "/canarySettings/stageVariableOverrides/testVar"))
        assert changed["canarySettings"]["stageVariableOverrides"] == {"other": "b"}
        assert "canarySettings" not in api.update("dev", ("remove", "/canarySettings"))
        assert "canarySettings" not in api.client.get_stage(**where)

    def test_defaults_when_the_first_setting_is_patched(self, api):
        first, second = api.redeploy("first", stageName="dev"), api.redeploy("second")
        changed = api.update("dev", ("replace", "/canarySettings/deploymentId", second))
        assert changed["canarySettings"] == {"deploymentId": second, "percentTraffic": 0.0, "useStageCache": False}
        api.update("dev", ("remove", "/canarySettings"))
        changed = api.update("dev", ("replace", "/canarySettings/percentTraffic", "50"))
        assert changed["canarySettings"] == {"deploymentId": first, "percentTraffic": 50.0, "useStageCache": False}

    def test_deployment_as_canary(self, api):
        first = api.redeploy("first", stageName="dev")
        second = api.redeploy("second", stageName="dev", canarySettings={"percentTraffic": 50})
        stage = api.client.get_stage(restApiId=api.id, stageName="dev")
        assert (stage["deploymentId"], stage["canarySettings"]["deploymentId"]) == (first, second)
        where = {"restApiId": api.id, "deploymentId": second}
        message = "Active stages pointing to this deployment must be moved or deleted"
        refused(lambda: api.client.delete_deployment(**where), message)
        api.update("dev", ("remove", "/canarySettings"))
        api.client.delete_deployment(**where)

    def test_what_is_refused(self, api):
        deploy = "Invalid deployment content specified."
        canary = {"percentTraffic": 50}
        refused(
            lambda: api.redeploy("x", canarySettings=canary),
            f"{deploy}Non null and non empty stageName must be provided for canary deployment. Provided value is null",
        )
        refused(
            lambda: api.redeploy("x", stageName="non-existing", canarySettings=canary),
            f"{deploy}Stage non-existing must already be created before making a canary release deployment",
        )
        first = api.redeploy("first", stageName="dev")
        path = "Invalid method setting path: /canarySettings"
        refused(lambda: api.update("dev", ("replace", "/canarySettings", "test")), path + ". Must be one of: [/depl")
        refused(lambda: api.update("dev", ("replace", "/canarySettings/badPath", "x")), path + "/badPath. Must be one")
        for setting in "stageVariableOverrides", "badPath":
            refused(
                lambda setting=setting: api.update("dev", ("remove", f"/canarySettings/{setting}")),
                f"Cannot remove method setting canarySettings/{setting} because there is no method setting for this method ",
            )
        refused(
            lambda: api.update("dev", ("add", "/canarySettings/deploymentId", first)),
            "Invalid add operation with path: /canarySettings/deploymentId",
        )
        refused(
            lambda: api.update("dev", ("replace", "/canarySettings/deploymentId", "deploy")),
            "Deployment id does not exist",
        )
        refused(
            lambda: api.client.create_stage(
                restApiId=api.id, stageName="dev3", deploymentId=first, canarySettings={"deploymentId": "deploy"}
            ),
            "Deployment id does not exist",
        )
        for percent in "-0.1", "100.1", "many":
            refused(lambda p=percent: api.update("dev", ("replace", "/canarySettings/percentTraffic", p)), "Invalid per")
        refused(
            lambda: api.update("dev", ("copy", "/canarySettings/stageVariableOverrides", "/variables")),
            "Invalid copy operation with path: /canarySettings/stageVariableOverrides and from /variables. Valid "
            "copy:path are [/deploymentId, /variables] and valid copy:from are [/canarySettings/deploymentId, "
            "/canarySettings/stageVariableOverrides]",
        )
        refused(
            lambda: api.update("dev", ("copy", "/deploymentId", "/canarySettings/deploymentId")),
            "Promotion not available. Canary does not exist.",
        )
        assert "canarySettings" not in api.client.get_stage(restApiId=api.id, stageName="dev")

    def test_another_deployment_waits_until_the_canary_is_gone(self, api):
        api.redeploy("first", stageName="dev")
        api.redeploy("second", stageName="dev", canarySettings={"percentTraffic": 50})
        refused(lambda: api.redeploy("third", stageName="dev"), "Invalid deployment content specified.Non canary deployment not supported on stage dev because Canary is enabled. "
            "Provide CanarySettings in deploymentInput.")
        api.update("dev", ("remove", "/canarySettings"))
        api.redeploy("third", stageName="dev")
        assert body_json(api.call("GET", "/", "dev"))["deployment"] == "third"


class TestTraffic:
    def test_both_deployments_and_their_variables(self, api):
        api.redeploy("first", stageName="dev", variables={"testVar": "default", "defaultVar": "default"})
        expected = {"deployment": "first", "var": "default", "own": "", "kept": "default", "isCanary": ""}
        assert body_json(api.call("GET", "/", "dev")) == expected
        overrides = {"testVar": "canary", "noStageVar": "canary"}
        api.redeploy(
            "second", stageName="dev", canarySettings={"percentTraffic": 0, "stageVariableOverrides": overrides}
        )
        assert body_json(api.call("GET", "/", "dev")) == {**expected, "isCanary": "false"}
        api.update("dev", ("replace", "/canarySettings/percentTraffic", "100.0"))
        canary = {"deployment": "second", "var": "canary", "own": "canary", "kept": "default", "isCanary": "true"}
        assert body_json(api.call("GET", "/", "dev")) == canary

        promoted = api.update(
            "dev",
            ("replace", "/canarySettings/percentTraffic", "0.0"),
            ("copy", "/variables", "/canarySettings/stageVariableOverrides"),
            ("copy", "/deploymentId", "/canarySettings/deploymentId"),
        )
        assert promoted["deploymentId"] == promoted["canarySettings"]["deploymentId"]
        assert promoted["variables"] == {"testVar": "canary", "noStageVar": "canary", "defaultVar": "default"}
        assert body_json(api.call("GET", "/", "dev")) == {**canary, "isCanary": "false"}
        api.update("dev", ("remove", "/canarySettings"))
        assert body_json(api.call("GET", "/", "dev")) == {**canary, "isCanary": ""}

    def test_share_over_10000_calls(self, gateway, api):
        api.redeploy("first", stageName="dev")
        api.redeploy("second", stageName="dev", canarySettings={"percentTraffic": 20})
        head = f"GET /dev/ HTTP/1.1\r\nHost: {api.id}.execute-api.localhost\r\n"
        calls, connections, canaries = 10_000, 20, 0
        for _ in range(connections):
            each = calls // connections
            requests = f"{head}\r\n".encode() * (each - 1) + f"{head}Connection: close\r\n\r\n".encode()
            answers = gateway.raw(requests, seconds=60)
            assert answers.count(b"HTTP/1.1 200") == each
            canaries += answers.count(b'"isCanary": "true"')
        # Four standard deviations of a fair draw are 160.
        assert abs(canaries - calls * 0.2) < 160, canaries


class TestLogs:
    """What AWS reports of a canary's requests: to the stage's log groups, and to groups of their own."""

    GROUPS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"

    @pytest.fixture
    def gateway(self, new_gateway):
        gateway = new_gateway()
        config = gateway.work / "stagedoor.toml"
        destinations = {
            "*:log-group:access/Canary": "canary-access.log",
            "*:log-group:access": "access.log",
            "*:log-group:API-Gateway-Execution-Logs_*/dev/Canary": "canary-execution.log",
            "*:log-group:API-Gateway-Execution-Logs_*/dev": "execution.log",
            "*:log-group:shared*": "shared.log",
        }
        config.write_text(
            "".join(f"[[log_destinations]]\narn = '{arn}'\nfile = '{file}'\n" for arn, file in destinations.items())
        )
        gateway.arguments = ["--config", str(config)]
        return gateway.start()

    @pytest.fixture
    def api(self, api):
        api.redeploy("first", stageName="dev")
        api.redeploy("second", stageName="dev", canarySettings={"percentTraffic": 0})
        return api

    def log(self, api, group="access"):
        form = "$context.requestId $context.isCanaryRequest"
        api.update(
            "dev",
            ("replace", "/accessLogSettings/destinationArn", f"{self.GROUPS}:{group}"),
            ("replace", "/accessLogSettings/format", form),
            ("replace", "/*/*/logging/loglevel", "INFO"),
        )

    def calls(self, api):
        """A request of the stage's and one of its canary's: their ids."""
        ids = []
        for percent in "0.0", "100.0":
            api.update("dev", ("replace", "/canarySettings/percentTraffic", percent))
            ids.append(api.call("GET", "/", "dev").headers["x-amzn-RequestId"])
        return ids

    def test_a_canary_has_groups_of_its_own(self, gateway, api):
        self.log(api)
        own, canary = self.calls(api)
        read = lambda name: (gateway.work / name).read_text()  # noqa: E731
        eventually(lambda: canary in read("canary-access.log") and canary in read("canary-execution.log"))
        assert read("access.log").splitlines() == [f"{own} false", f"{canary} true"]
        assert read("canary-access.log").splitlines() == [f"{canary} true"]
        assert own in read("execution.log") and canary in read("execution.log")
        assert own not in read("canary-execution.log")
        lines = [line for line in read("execution.log").splitlines() if canary in line]
        assert read("canary-execution.log").splitlines() == lines and len(lines) > 3

    def test_nothing_is_written_twice_to_one_file(self, gateway, api):
        self.log(api, "shared")
        own, canary = self.calls(api)
        eventually(lambda: canary in (gateway.work / "shared.log").read_text())
        assert (gateway.work / "shared.log").read_text().splitlines() == [f"{own} false", f"{canary} true"]

    def test_metrics(self, gateway, api):
        self.calls(api)
        self.calls(api)
        text = requests.get(gateway.control + "/_stagedoor/metrics", timeout=5).text
        counts = dict(re.findall(r'aws_apigateway_count_total{[^}]*stage="([^"]+)"[^}]*} (\d+)', text))
        assert counts == {"dev": "4", "dev/Canary": "2"}
        api.update("dev", ("remove", "/canarySettings"))
        api.client.delete_stage(restApiId=api.id, stageName="dev")
        assert "aws_apigateway_count_total{" not in requests.get(gateway.control + "/_stagedoor/metrics", timeout=5).text
