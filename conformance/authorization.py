"""What the tests of authorization share: functions made through the Lambda API, and an API behind an authorizer."""

import io
import zipfile

from harness import body_json, lambda_uri

# Answers by what the token says, so that one function does for all tests. It counts its calls in a file.
AUTHORIZER = """
import json, os

def handler(event, context):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(json.dumps(event) + "\\n")
    token = event.get("authorizationToken") or (event.get("headers") or {}).get("X-Token") or "allow"
    if token == "unauthorized":
        raise Exception("Unauthorized")
    if token == "fail":
        raise Exception("something else")
    if token == "garbage":
        return "text"
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*"}
    if token == "deny":
        statement["Effect"] = "Deny"
    elif token == "elsewhere":
        statement["Resource"] = "arn:aws:execute-api:*:*:*/*/GET/other"
    elif token == "only-a":
        statement["Resource"] = event["methodArn"].rsplit("/", 1)[0] + "/a"
    answer = {"principalId": "user-" + token, "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
    answer["context"] = {"text": "x", "number": 1, "truth": True}
    if token == "long":
        statement["Resource"] = "arn:aws:execute-api:*:*:*/" + "x" * 500
    if token == "bad-context":
        answer["context"] = {"list": []}
    if token == "no-principal":
        del answer["principalId"]
    return answer
"""


def function(gateway, name, code, **environment):
    """Makes a Python function and returns its ARN."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", code)
    made = gateway.client("lambda").create_function(
        FunctionName=name, Runtime="python3.12", Handler="index.handler", Role="arn:aws:iam::000000000000:role/x",
        Code={"ZipFile": packed.getvalue()}, Environment={"Variables": environment}, Timeout=20,
    )  # fmt: skip
    gateway.client("lambda").add_permission(
        FunctionName=name, StatementId="gateway", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    return made["FunctionArn"]


class Guarded:
    """An API whose GET /a and GET /b are behind an authorizer function."""

    def __init__(self, gateway, tmp_path, kind="TOKEN", template=None, policy=None, **options):
        self.calls_path = tmp_path / "calls"
        self.calls_path.touch()
        arn = function(gateway, "authorizer", AUTHORIZER, CALLS=str(self.calls_path))
        self.api = gateway.rest_api(**({"policy": policy} if policy else {}))
        source = "method.request.header.Authorization" if kind == "TOKEN" else "method.request.header.X-Token"
        options = {"identitySource": source, **options}
        self.authorizer = self.api.client.create_authorizer(
            restApiId=self.api.id, name="authorizer", type=kind, authorizerUri=lambda_uri(arn), **options
        )["id"]
        for path in "/a", "/b":
            self.api.mock("GET", path, template or f"fine{path}")
            patch = [{"op": "replace", "path": "/authorizationType", "value": "CUSTOM"},
                     {"op": "replace", "path": "/authorizerId", "value": self.authorizer}]  # fmt: skip
            self.api.client.update_method(
                restApiId=self.api.id, resourceId=self.api.resource(path), httpMethod="GET", patchOperations=patch
            )
        self.api.deploy()

    def get(self, path="/a", **headers):
        return self.api.call("GET", path, headers=headers)

    def answer(self, path="/a", **headers):
        answer = self.get(path, **headers)
        return answer.status_code, answer.text if answer.status_code == 200 else body_json(answer)

    def calls(self):
        return self.calls_path.read_text().splitlines()
