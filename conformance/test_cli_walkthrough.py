"""The API of the README, built by hand with the AWS CLI and with awslocal, then called with curl."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import REGION, ROOT, eventually

TOOLS = Path(sys.executable).parent


@pytest.fixture(params=["aws", "awslocal"])
def cli(request, gateway, monkeypatch):
    """Runs one CLI command against the gateway and returns its output, parsed."""
    if request.param == "aws":
        command = [TOOLS / "aws", "--endpoint-url", gateway.control]
    else:
        # awslocal looks for LocalStack on port 4566, where the gateway is by default; this is its way to say otherwise.
        monkeypatch.setenv("AWS_ENDPOINT_URL", gateway.control)
        monkeypatch.setenv("DISABLE_DEPRECATION_NOTICE", "1")
        command = [TOOLS / "awslocal"]

    def run(*arguments, fails=False):
        done = subprocess.run(
            [*map(str, command), "--region", REGION, "--output", "json", "apigateway", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if fails:
            assert done.returncode != 0, done.stdout
            return done.stderr
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_walkthrough(gateway, cli):
    api = cli("create-rest-api", "--name", "shop")
    assert api["name"] == "shop" and len(api["id"]) == 10
    root = api["rootResourceId"]
    assert [item["path"] for item in cli("get-resources", "--rest-api-id", api["id"])["items"]] == ["/"]

    hello = cli("create-resource", "--rest-api-id", api["id"], "--parent-id", root, "--path-part", "hello")
    assert hello == {"id": hello["id"], "parentId": root, "pathPart": "hello", "path": "/hello"}

    where = ["--rest-api-id", api["id"], "--resource-id", hello["id"], "--http-method", "GET"]
    method = cli("put-method", *where, "--authorization-type", "NONE")
    assert method == {"httpMethod": "GET", "authorizationType": "NONE", "apiKeyRequired": False}
    integration = cli(
        "put-integration",
        *where,
        "--type",
        "MOCK",
        "--request-templates",
        '{"application/json":"{\\"statusCode\\": 200}"}',
    )
    assert integration["type"] == "MOCK" and integration["timeoutInMillis"] == 29000
    assert cli("put-method-response", *where, "--status-code", "200") == {"statusCode": "200"}
    templates = {"application/json": '{"hello": "$input.params(\'name\')"}'}
    answer = cli(
        "put-integration-response", *where, "--status-code", "200", "--response-templates", json.dumps(templates)
    )
    assert answer == {"statusCode": "200", "responseTemplates": templates}

    deployment = cli("create-deployment", "--rest-api-id", api["id"], "--description", "first")
    stage = cli("create-stage", "--rest-api-id", api["id"], "--stage-name", "dev", "--deployment-id", deployment["id"])
    assert (stage["stageName"], stage["deploymentId"]) == ("dev", deployment["id"])

    url = f"http://{api['id']}.execute-api.localhost:{gateway.traffic_port}/dev/hello?name=world"
    eventually(lambda: json.loads(curl(url)) == {"hello": "world"}, 5, "the deployed answer")
    by_path = f"{gateway.traffic}/_aws/execute-api/{api['id']}/dev/hello?name=you"
    assert json.loads(curl(by_path)) == {"hello": "you"}
    assert curl("-o", "/dev/null", "-w", "%{http_code}", url.replace("hello", "absent")) == "403"

    # create-deployment with a stage name makes the stage at once.
    cli("create-deployment", "--rest-api-id", api["id"], "--stage-name", "prod")
    eventually(lambda: json.loads(curl(url.replace("/dev/", "/prod/"))) == {"hello": "world"}, 5)
    assert {item["stageName"] for item in cli("get-stages", "--rest-api-id", api["id"])["item"]} == {"dev", "prod"}

    assert cli("delete-rest-api", "--rest-api-id", api["id"]) is None
    refused = cli("get-rest-api", "--rest-api-id", api["id"], fails=True)
    assert "(NotFoundException)" in refused and f"Invalid API identifier specified 000000000000:{api['id']}" in refused


def test_import_rest_api(gateway, cli, tmp_path):
    document = {
        "openapi": "3.0.1",
        "info": {"title": "imported", "version": "1"},
        "paths": {
            "/ping": {
                "get": {
                    "responses": {"200": {"description": "pong"}},
                    "x-amazon-apigateway-integration": {
                        "type": "mock",
                        "requestTemplates": {"application/json": '{"statusCode": 200}'},
                        "responses": {
                            "default": {"statusCode": "200", "responseTemplates": {"application/json": "pong"}}
                        },
                    },
                }
            }
        },
    }
    path = tmp_path / "api.json"
    path.write_text(json.dumps(document))
    api = cli("import-rest-api", "--body", f"file://{path}")
    assert api["name"] == "imported"
    cli("create-deployment", "--rest-api-id", api["id"], "--stage-name", "dev")
    url = f"http://{api['id']}.execute-api.localhost:{gateway.traffic_port}/dev/ping"
    eventually(lambda: curl(url) == "pong", 5)


def test_the_readme(gateway):
    """The block of README.md, word for word but for the ports."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    (script,) = [block for block in blocks if "create-rest-api" in block]
    for port, ours in ("4566", gateway.control_port), ("8080", gateway.traffic_port):
        assert f":{port}" in script
        script = script.replace(f":{port}", f":{ours}")
    path = f"{TOOLS}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = re.search(r"^curl .*# (\{.*\})$", script, re.M)[1]
    assert json.loads(done.stdout.strip().splitlines()[-1]) == json.loads(expected)
