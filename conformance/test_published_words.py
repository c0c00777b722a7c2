"""Words and members of `apigateway`'s answers, after answers of AWS that LocalStack's authors published."""

import json

import pytest
from harness import ACCOUNT, REGION
from test_lambda_answers import says

SCHEMA = json.dumps({"title": "T", "type": "object"})


@pytest.fixture
def api(gateway):
    return gateway.rest_api()


def test_a_model_that_methods_refer_to(api):
    client, where = api.client, {"restApiId": api.id}
    client.create_model(**where, name="Pet", contentType="application/json", schema=SCHEMA)

    def kept_for(place):
        words = f"Cannot delete model 'Pet', is referenced in method request: {place}"
        says("ConflictException", words, client.delete_model, **where, modelName="Pet")

    api.method("ANY", "/", requestModels={"application/json": "Pet"})
    kept_for("//ANY")
    api.method("GET", "/pets", requestModels={"application/json": "Pet"})
    kept_for("/pets/GET")
    patch = [{"op": "remove", "path": "/requestModels/application~1json"}]
    client.update_method(**where, resourceId=api.resource("/pets"), httpMethod="GET", patchOperations=patch)
    kept_for("//ANY")


def test_documentation_parts_of_no_api(api):
    part = api.client.create_documentation_part(restApiId=api.id, location={"type": "API"}, properties='{"a": "b"}')["id"]
    elsewhere = {"restApiId": "none", "documentationPartId": part}
    words = f"Invalid API identifier specified {ACCOUNT}:none"
    says("NotFoundException", words, api.client.delete_documentation_part, **elsewhere)
    words = "Invalid Documentation part identifier specified"
    says("NotFoundException", words, api.client.get_documentation_part, **elsewhere)


def test_how_a_policy_is_laid_out(api):
    """As SAM's integration tests saw it: members in one order, accounts as ARNs, quotes and slashes escaped."""
    statement = {
        "Action": "execute-api:Invoke", "Resource": ["execute-api:/Prod/GET/get"], "Principal": {"AWS": [ACCOUNT]}, "Effect": "Allow",
    }  # fmt: skip
    policy = json.dumps({"Statement": [statement], "Version": "2012-10-17"})
    patch = [{"op": "replace", "path": "/policy", "value": policy}]
    assert api.client.update_rest_api(restApiId=api.id, patchOperations=patch)["policy"] == (
        r'{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::'
        rf'{ACCOUNT}:root\"}},\"Action\":\"execute-api:Invoke\",\"Resource\":\"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}'
        r'\/Prod\/GET\/get\"}]}'
    )


def test_lists_of_one_in_a_policy(api):
    statement = {
        "Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["execute-api:Invoke"], "Resource": ["execute-api:/*"],
    }  # fmt: skip
    more = {**statement, "Resource": ["execute-api:/a", "execute-api:/b"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement, more]})
    patch = [{"op": "replace", "path": "/policy", "value": policy}]
    kept = api.client.update_rest_api(restApiId=api.id, patchOperations=patch)["policy"]
    arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/"
    first, second = json.loads(json.loads(f'"{kept}"'))["Statement"]
    assert first == {
        "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "execute-api:Invoke", "Resource": arn + "*",
    }  # fmt: skip
    assert second["Resource"] == [arn + "a", arn + "b"]
