"""Which members AWS's answers have, after the outputs in its developer guide and in the AWS CLI's reference."""

import json

import pytest
from harness import ACCOUNT, REGION

CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/11111111-2222-3333-4444-555555555555"
OTHER = CERTIFICATE[:-1] + "6"


def members(answer):
    return set(answer) - {"ResponseMetadata"}


@pytest.fixture
def stage(gateway):
    api = gateway.rest_api()
    for path in ("/", "/pets", "/pets/{id}"):
        api.mock("GET", path, "x")
    api.deploy()
    where = {"restApiId": api.id, "stageName": "test"}

    def patched(op, path, value=None):
        patch = {"op": op, "path": path} | ({"value": value} if value else {})
        return api.client.update_stage(**where, patchOperations=[patch])["methodSettings"]

    return api, patched


def test_settings_of_methods_have_the_keys_that_were_written(stage):
    """A resource's path may be written with its slashes escaped or not, and is shown as it was written."""
    _, patched = stage
    assert patched("replace", "/~1pets/GET/logging/dataTrace", "false") == {
        "~1pets/GET": {
            "metricsEnabled": False, "dataTraceEnabled": False, "throttlingBurstLimit": 5000,
            "throttlingRateLimit": 10000.0, "cachingEnabled": False, "cacheTtlInSeconds": 300, "cacheDataEncrypted": False,
            "requireAuthorizationForCacheControl": True,
            "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER",
        }
    }  # fmt: skip
    assert set(patched("replace", "/~1pets~1{id}/GET/metrics/enabled", "true")) == {"~1pets/GET", "~1pets~1{id}/GET"}
    # Another way of writing the same method is no other method.
    assert patched("replace", "/pets/{id}/GET/throttling/burstLimit", "7")["~1pets~1{id}/GET"]["throttlingBurstLimit"] == 7
    assert set(patched("remove", "/~1pets/GET")) == {"~1pets~1{id}/GET"}
    assert set(patched("remove", "/pets/{id}/GET")) == set()


@pytest.mark.parametrize("key", ["/~1pets/GET", "/pets/GET"])
def test_settings_hold_however_their_method_was_written(stage, key):
    api, patched = stage
    patched("replace", f"{key}/throttling/rateLimit", "0")
    patched("replace", f"{key}/throttling/burstLimit", "0")
    assert api.call("GET", "/pets").status_code == 429
    assert api.call("GET", "/pets/1").status_code == 200


def test_custom_domain_names_tell_when_their_certificate_came(gateway):
    """Regional and private ones as well as edge-optimized ones."""
    client = gateway.client()
    regional = {"domainName", "domainNameArn", "certificateUploadDate", "regionalDomainName", "regionalHostedZoneId",
                "regionalCertificateArn", "endpointConfiguration", "domainNameStatus", "securityPolicy", "routingMode"}  # fmt: skip
    name = {"domainName": "regional.example.com"}
    made = client.create_domain_name(**name, regionalCertificateArn=CERTIFICATE, endpointConfiguration={"types": ["REGIONAL"]})
    assert members(made) == regional
    changed = client.update_domain_name(
        **name, patchOperations=[{"op": "replace", "path": "/regionalCertificateArn", "value": OTHER}]
    )
    assert members(changed) == regional | {"tags"} and changed["certificateUploadDate"] >= made["certificateUploadDate"]
    made = client.create_domain_name(
        domainName="private.example.com", certificateArn=CERTIFICATE, endpointConfiguration={"types": ["PRIVATE"]}
    )
    assert members(made) == {
        "domainName", "domainNameId", "domainNameArn", "certificateArn", "certificateUploadDate", "endpointConfiguration",
        "domainNameStatus", "securityPolicy", "routingMode",
    }  # fmt: skip


def test_a_security_policy_comes_with_the_status_of_the_api(gateway):
    client = gateway.client()
    plain = {"id", "name", "createdDate", "apiKeySource", "endpointConfiguration", "disableExecuteApiEndpoint", "rootResourceId"}
    assert members(client.create_rest_api(name="a")) == plain
    made = client.create_rest_api(
        name="a",
        endpointConfiguration={"types": ["REGIONAL"]},
        securityPolicy="SecurityPolicy_TLS13_1_3_2025_09",
        endpointAccessMode="BASIC",
    )
    assert members(made) == plain | {"securityPolicy", "endpointAccessMode", "apiStatus"} and made["apiStatus"] == "AVAILABLE"


def test_user_pools_have_no_time_to_live(gateway):
    """Whatever was given: only an authorizer's function is asked less often with one."""
    api = gateway.rest_api()
    pool = f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_abc"
    made = api.client.create_authorizer(
        restApiId=api.id,
        name="a",
        type="COGNITO_USER_POOLS",
        providerARNs=[pool],
        identitySource="method.request.header.Authorization",
        authorizerResultTtlInSeconds=300,
    )
    assert members(made) == {"id", "name", "type", "providerARNs", "authType", "identitySource"}


def test_mock_integrations_keep_what_they_have_a_use_for(gateway):
    api = gateway.rest_api()
    api.method("GET", "/")
    where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET", "type": "MOCK"}
    kept = {"type", "passthroughBehavior", "timeoutInMillis", "cacheNamespace", "cacheKeyParameters"}
    made = api.client.put_integration(
        **where, integrationHttpMethod="GET", uri="x", connectionType="INTERNET", tlsConfig={"insecureSkipVerification": True}
    )
    assert members(made) == kept
    with pytest.raises(api.client.exceptions.BadRequestException, match="STREAM is only supported"):
        api.client.put_integration(**where, responseTransferMode="STREAM")


def test_templates_of_models(gateway):
    """What stands for an array is a loop, and which array of the input it is about is left to the reader."""
    api = gateway.rest_api()
    item = {"type": "object", "properties": {"age": {"type": "integer"}, "name": {"type": "string"}}}
    schema = json.dumps({"type": "array", "items": item})
    api.client.create_model(restApiId=api.id, name="People", contentType="application/json", schema=schema)

    def template(name):
        return api.client.get_model_template(restApiId=api.id, modelName=name)["value"]

    start = "#set($inputRoot = $input.path('$'))\n"
    assert template("Empty") == start + "{ }"
    assert template("People") == (
        start + "[\n##TODO: Update this foreach loop to reference array from input json\n#foreach($elem in $inputRoot.TODO)\n"
        ' {\n  "age" : 42,\n  "name" : "foo"\n} \n#if($foreach.hasNext),#end\n#end\n]'
    )
