"""What may be patched: a path that is none, and operations that AWS does not have, for every noun of the REST API service.

AWS has three ways of refusing, depending on the age of the noun: a list of the paths, a list of the operations, or
neither. `move` and `test` are in AWS's model and work nowhere; `copy` promotes canaries of stages.
"""

import pytest
from harness import REGION
from test_protocol import error_of

# Noun: AWS's list of what `replace` takes, where it lists paths.
LISTING = {
    "account": "/cloudwatchRoleArn",
    "api_key": "/description, /enabled, /name, /customerId",
    "authorizer": "/name, /type, /authorizerUri, /authorizerCredentials, /authorizerResultTtlInSeconds, /authType, "
                  "/identitySource, /identityValidationExpression, /providerARNs",
    "base_path_mapping": "/basePath, /restapiId, /stage, /restApiId",
    "client_certificate": "/description",
    "deployment": "/description",
    "documentation_part": "/properties",
    "documentation_version": "/description",
    "model": "/description, /schema",
    "request_validator": "/name, /validateRequestParameters, /validateRequestBody",
    "resource": "/parentId, /pathPart",
    "usage": "/remaining",
    "vpc_link": "/name, /description",
}  # fmt: skip
# Noun: a path of which AWS says what may be done to it, and what that is.
TERSE = {
    "rest_api": ("/name", "replace"),
    "method": ("/operationName", "replace"),
    "method_response": ("/responseModels/application~1json", "add, replace, remove"),
    "integration": ("/uri", "replace"),
    "integration_response": ("/selectionPattern", "replace"),
}


@pytest.fixture
def nouns(gateway):
    """Each noun's parameters for its update."""
    client, api = gateway.client(), gateway.rest_api()
    api.mock("GET", "/", "x")
    api.deploy()
    at = {"restApiId": api.id}
    method = {**at, "resourceId": api.resource("/"), "httpMethod": "GET"}
    pool = f"arn:aws:cognito-idp:{REGION}:000000000000:userpool/{REGION}_a"
    authorizer = client.create_authorizer(
        **at, name="a", type="COGNITO_USER_POOLS", providerARNs=[pool], identitySource="method.request.header.A"
    )["id"]
    part = client.create_documentation_part(**at, location={"type": "API"}, properties='{"description": "d"}')["id"]
    client.create_documentation_version(**at, documentationVersion="1")
    validator = client.create_request_validator(**at, name="v")["id"]
    child = client.create_resource(**at, parentId=api.resource("/"), pathPart="a")["id"]
    key, plan = client.create_api_key(name="k")["id"], client.create_usage_plan(name="p")["id"]
    client.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    certificate = client.generate_client_certificate()["clientCertificateId"]
    balancer = f"arn:aws:elasticloadbalancing:{REGION}:000000000000:loadbalancer/net/a/b"
    link = client.create_vpc_link(name="l", targetArns=[balancer])["id"]
    domain = {"domainName": "api.example.com"}
    client.create_domain_name(**domain, certificateArn=f"arn:aws:acm:{REGION}:000000000000:certificate/a")
    client.create_base_path_mapping(**domain, restApiId=api.id, basePath="v1")
    return client, {
        "account": {},
        "api_key": {"apiKey": key},
        "authorizer": {**at, "authorizerId": authorizer},
        "base_path_mapping": {**domain, "basePath": "v1"},
        "client_certificate": {"clientCertificateId": certificate},
        "deployment": {**at, "deploymentId": client.get_deployments(**at)["items"][0]["id"]},
        "documentation_part": {**at, "documentationPartId": part},
        "documentation_version": {**at, "documentationVersion": "1"},
        "domain_name": domain,
        "gateway_response": {**at, "responseType": "DEFAULT_4XX"},
        "integration": method,
        "integration_response": {**method, "statusCode": "200"},
        "method": method,
        "method_response": {**method, "statusCode": "200"},
        "model": {**at, "modelName": "Empty"},
        "request_validator": {**at, "requestValidatorId": validator},
        "resource": {**at, "resourceId": child},
        "rest_api": at,
        "stage": {**at, "stageName": "test"},
        "usage": {"usagePlanId": plan, "keyId": key},
        "usage_plan": {"usagePlanId": plan},
        "vpc_link": {"vpcLinkId": link},
    }


def test_paths_and_operations_that_are_none(nouns):
    client, parameters = nouns
    wrong = []

    def check(noun, op, path, expected, **more):
        patch = {"op": op, "path": path, **more}
        response = error_of(getattr(client, f"update_{noun}"), **parameters[noun], patchOperations=[patch])
        code, message = response["Error"]["Code"], response["Error"]["Message"]
        if code != "BadRequestException" or not message.startswith(expected):
            wrong.append(f"{noun} {patch}: {code}: {message!r} where {expected!r} was expected")

    for noun in parameters:
        for op, more in ("replace", {"value": "v"}), ("copy", {"from": "/y"}), ("move", {"from": "/y"}), ("test", {}):
            if noun == "stage":
                start = "Invalid copy operation with path: /x and from /y." if op == "copy" else "Invalid method setting"
                check(noun, op, "/x", start, **more)
                continue
            if noun in TERSE or noun == "gateway_response":
                check(noun, op, "/x", "Invalid patch path /x", **more)
                continue
            end = f" Must be one of: [{LISTING.get(noun, '/')}" if op == "replace" else " Please choose supported operations"
            check(noun, op, "/x", f"Invalid patch path  '/x' specified for op '{op}'.{end}", **more)
    for noun, (path, operations) in TERSE.items():
        check(noun, "move", path, f"Invalid patch operation specified. Must be one of: [{operations}]", **{"from": "/y"})
    assert not wrong, "\n".join(wrong)


def test_nothing_is_done_if_one_operation_is_refused(nouns):
    client, parameters = nouns
    good, bad = {"op": "replace", "path": "/name", "value": "new"}, {"op": "replace", "path": "/x", "value": "y"}
    for noun in ("api_key", "rest_api", "usage_plan", "vpc_link", "authorizer", "request_validator"):
        before = getattr(client, f"get_{noun}")(**parameters[noun])["name"]
        error_of(getattr(client, f"update_{noun}"), **parameters[noun], patchOperations=[good, bad])
        assert getattr(client, f"get_{noun}")(**parameters[noun])["name"] == before != "new"
