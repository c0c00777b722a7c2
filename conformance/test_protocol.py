"""REST-JSON as AWS's SDKs speak it: the wire below the SDK, errors, pages, tags, times."""

import json
import re
import time

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions
import pytest
import requests
from harness import REGION, ROOT


def signed(gateway, method, path, body=None, service="apigateway", headers=None):
    """A signed request and its answer, without an SDK in between."""
    data = None if body is None else json.dumps(body) if not isinstance(body, (str, bytes)) else body
    request = botocore.awsrequest.AWSRequest(
        method, gateway.control + path, {"Content-Type": "application/json", **(headers or {})}, data
    )
    keys = botocore.credentials.Credentials("test", "test")
    botocore.auth.SigV4Auth(keys, service, REGION).add_auth(request)
    return requests.request(method, gateway.control + path, data=data, headers=dict(request.headers), timeout=10)


def error_of(call, *arguments, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call(*arguments, **parameters)
    return refused.value.response


def test_wire_form_of_answers(gateway):
    made = signed(gateway, "POST", "/restapis", {"name": "wire", "tags": {"a": "b"}})
    assert made.status_code == 201 and made.headers["Content-Type"] == "application/json"
    assert made.headers["x-amzn-RequestId"]
    body = made.json()
    assert isinstance(body["createdDate"], (int, float)) and abs(body["createdDate"] - time.time()) < 60
    assert body["tags"] == {"a": "b"} and body["apiKeySource"] == "HEADER"
    assert body["endpointConfiguration"]["types"] == ["EDGE"]
    listed = signed(gateway, "GET", "/restapis").json()
    assert [item["id"] for item in listed["item"]] == [body["id"]] and "items" not in listed
    deleted = signed(gateway, "DELETE", f"/restapis/{body['id']}")
    assert (deleted.status_code, deleted.content) == (202, b"")


def test_wire_form_of_errors(gateway):
    answer = signed(gateway, "GET", "/restapis/absent1234")
    assert answer.status_code == 404
    assert answer.headers["x-amzn-ErrorType"].split(":")[0] == "NotFoundException"
    assert answer.json() == {"message": "Invalid API identifier specified 000000000000:absent1234"}
    assert answer.headers["x-amzn-RequestId"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff"])
def test_a_body_that_is_no_object(gateway, body):
    answer = signed(gateway, "POST", "/restapis", body)
    assert answer.status_code == 400
    assert answer.headers["x-amzn-ErrorType"].split(":")[0] in ("SerializationException", "BadRequestException")


def test_pages(gateway):
    client = gateway.client()
    made = [client.create_rest_api(name=f"page{number}")["id"] for number in range(30)]
    first = client.get_rest_apis(limit=7)
    assert len(first["items"]) == 7 and first["position"]
    second = client.get_rest_apis(limit=7, position=first["position"])
    assert not {item["id"] for item in first["items"]} & {item["id"] for item in second["items"]}
    pages = list(client.get_paginator("get_rest_apis").paginate(PaginationConfig={"PageSize": 7}))
    assert [len(page["items"]) for page in pages] == [7, 7, 7, 7, 2]
    assert sorted(item["id"] for page in pages for item in page["items"]) == sorted(made)
    assert "position" not in pages[-1]
    assert len(client.get_rest_apis()["items"]) == 25  # AWS's page where no limit is given


def test_page_position_that_is_nonsense(gateway):
    gateway.rest_api()
    response = error_of(gateway.client().get_rest_apis, position="nonsense!")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_enum_violation_in_the_words_of_aws(gateway):
    api = gateway.rest_api()
    api.method("GET", "/")
    response = error_of(
        api.client.put_integration, restApiId=api.id, resourceId=api.resource("/"), httpMethod="GET",
        type="HTTPS_PROXY", uri="http://example.com", integrationHttpMethod="GET",
    )  # fmt: skip
    assert response["Error"]["Code"] == "ValidationException"
    assert response["Error"]["Message"] == (
        "1 validation error detected: Value 'HTTPS_PROXY' at 'putIntegrationInput.type' failed to satisfy constraint: "
        "Member must satisfy enum value set: [HTTP, MOCK, AWS_PROXY, HTTP_PROXY, AWS]"
    )


def test_pattern_violation_in_the_words_of_aws(gateway):
    api = gateway.rest_api()
    api.mock("GET", "/", "x")
    response = error_of(
        api.client.get_integration_response, restApiId=api.id, resourceId=api.resource("/"), httpMethod="GET",
        statusCode="wrong",
    )  # fmt: skip
    assert response["Error"]["Message"] == (
        "1 validation error detected: Value 'wrong' at 'statusCode' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [1-5]\\d\\d"
    )


def test_missing_required_member(gateway):
    answer = signed(gateway, "POST", "/restapis", {})
    assert answer.status_code == 400 and "name" in answer.json()["message"].lower()


def test_sibling_and_greedy_rules(gateway):
    api = gateway.rest_api()
    api.resource("/{proxy+}")
    create = api.client.create_resource
    refused = error_of(create, restApiId=api.id, parentId=api.resources["/"], pathPart="{id}")
    assert refused["Error"]["Message"] == (
        "A sibling ({proxy+}) of this resource already has a variable path part -- only one is allowed"
    )
    refused = error_of(create, restApiId=api.id, parentId=api.resources["/{proxy+}"], pathPart="child")
    assert refused["Error"]["Message"] == "Cannot create a child of a resource with a greedy path variable: {proxy+}"
    refused = error_of(create, restApiId=api.id, parentId="absent", pathPart="child")
    assert refused["Error"] == {"Code": "NotFoundException", "Message": "Invalid Resource identifier specified"}


def test_patch_paths(gateway):
    api = gateway.rest_api("before")
    update = api.client.update_rest_api
    changed = update(restApiId=api.id, patchOperations=[{"op": "replace", "path": "/name", "value": "after"}])
    assert changed["name"] == "after" == api.client.get_rest_api(restApiId=api.id)["name"]
    refused = error_of(update, restApiId=api.id, patchOperations=[{"op": "replace", "path": "/nonsense", "value": "x"}])
    assert refused["Error"]["Code"] == "BadRequestException" and "/nonsense" in refused["Error"]["Message"]
    assert api.client.get_rest_api(restApiId=api.id)["name"] == "after"


def test_tags_by_arn(gateway):
    api = gateway.rest_api("tagged", tags={"first": "1"})
    api.mock("GET", "/", "x")
    api.deploy("dev")
    for arn, before in (
        (f"arn:aws:apigateway:{REGION}::/restapis/{api.id}", {"first": "1"}),
        (f"arn:aws:apigateway:{REGION}::/restapis/{api.id}/stages/dev", {}),
    ):
        client = gateway.client()
        assert client.get_tags(resourceArn=arn).get("tags", {}) == before
        client.tag_resource(resourceArn=arn, tags={"team": "a b/c", "other": ""})
        assert client.get_tags(resourceArn=arn)["tags"] == before | {"team": "a b/c", "other": ""}
        client.untag_resource(resourceArn=arn, tagKeys=["team", "first"])
        assert client.get_tags(resourceArn=arn)["tags"] == {"other": ""}
    assert client.get_rest_api(restApiId=api.id)["tags"] == {"other": ""}


def test_custom_id_by_tag(gateway):
    made = gateway.client().create_rest_api(name="named", tags={"_custom_id_": "myownapi"})
    assert made["id"] == "myownapi"
    refused = error_of(gateway.client().create_rest_api, name="again", tags={"_custom_id_": "myownapi"})
    assert refused["ResponseMetadata"]["HTTPStatusCode"] in (400, 409)


def operations():
    """What docs/conformance.md says of each operation: {(service, operation): whether it is built}."""
    service, table = None, {}
    for line in (ROOT / "docs/conformance.md").read_text().splitlines():
        if heading := re.match(r"## .*`(\w+)`", line):
            service = heading[1]
        elif service and (row := re.match(r"\| ([A-Z]\w+) \|.*\| (yes|no)\b[^|]*\|$", line)):
            table[service, row[1]] = row[2] == "yes"
    assert len(table) == 230, "docs/conformance.md does not list every operation"
    return table


def test_an_operation_that_is_not_built_says_so(gateway):
    model = gateway.client().meta.service_model
    absent = [name for (service, name), built in operations().items() if service == "apigateway" and not built]
    if not absent:
        pytest.skip("every operation is built")
    called = 0
    for name in absent:
        http = model.operation_model(name).http
        path = re.sub(r"\{[^}]*\}", "x1", http["requestUri"])
        answer = signed(gateway, http["method"], path, {} if http["method"] != "GET" else None)
        assert answer.status_code == 501, (name, answer.status_code, answer.text)
        assert name in answer.json()["message"] and answer.headers["x-amzn-ErrorType"], name
        called += 1
    assert called


def test_every_operation_of_every_service_is_routed(gateway):
    """No operation is unknown: each is built, or answers 501 with its name, or refuses the made-up input."""
    for service in "apigateway", "apigatewayv2", "apigatewaymanagementapi":
        model = gateway.client(service).meta.service_model
        for name in model.operation_names:
            http = model.operation_model(name).http
            path = re.sub(r"\{[^}]*\}", "x1", http["requestUri"])
            answer = signed(gateway, http["method"], path, {} if http["method"] in ("POST", "PUT", "PATCH") else None)
            if answer.status_code >= 400:
                assert answer.headers.get("x-amzn-ErrorType"), (name, answer.status_code, answer.text)
                assert answer.json().get("message") or answer.json().get("Message"), (name, answer.text)
                assert answer.headers["x-amzn-ErrorType"] not in ("UnknownOperationException",), name
                assert answer.status_code != 500, (name, answer.text)


def test_unknown_paths(gateway):
    answer = signed(gateway, "GET", "/no/such/operation")
    assert answer.status_code in (403, 404) and answer.headers.get("x-amzn-ErrorType")


def test_second_version_spells_differently(gateway):
    """v2 says `items`, `apiId` and `nextToken` where v1 says `item`, `id` and `position`; its errors look alike."""
    answer = signed(gateway, "GET", "/v2/apis")
    if answer.status_code == 501:
        assert "GetApis" in answer.json()["message"]
    else:
        assert answer.json() == {"items": []}
    response = error_of(gateway.client("apigatewayv2").get_api, ApiId="absent1234")
    assert response["ResponseMetadata"]["HTTPStatusCode"] in (404, 501)
    assert response["Error"]["Message"]


def test_any_access_key_and_clock_skew(gateway):
    """A loopback control address without configured credentials takes any key, and start-up says so."""
    client = boto3.client(
        "apigateway", endpoint_url=gateway.control, region_name="eu-west-1",
        aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="any", aws_session_token="token",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    client.get_rest_apis()
    assert "credential" in gateway.log().lower() or "access key" in gateway.log().lower(), gateway.log()


def test_health_and_unknown_internal_paths(gateway):
    assert requests.get(gateway.control + "/_stagedoor/health", timeout=5).status_code == 200
    assert requests.get(gateway.control + "/_stagedoor/nonsense", timeout=5).status_code == 404
    # The traffic port serves API traffic alone.
    assert requests.get(gateway.traffic + "/restapis", timeout=5).status_code in (403, 404)
