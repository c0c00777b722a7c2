"""What Terraform's AWS provider does with each `aws_api_gateway_*` resource, call by call: create, read after write, a
patch for each changed attribute, read, delete in reverse order, and NotFound afterwards, on which the provider relies.

The order of calls and the paths of patches follow the provider's behaviour; the provider itself is not needed.
"""

import json

import pytest
from harness import ACCOUNT, REGION, eventually, lambda_uri
from test_operations import needs
from test_protocol import error_of

FUNCTION = lambda_uri(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f")
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
                                                   "Resource": "execute-api:/*"}]}  # fmt: skip


def ops(*changes):
    """Patch operations from (op, path, value) or (op, path)."""
    return [dict(zip(("op", "path", "value"), change, strict=False)) for change in changes]


def replaced(**members):
    return ops(*(("replace", f"/{name}", value) for name, value in members.items()))


def part_of(expected, found):
    """Asserts that what is expected is in what was read; members that were not asked for may be there."""
    assert {name: found.get(name) for name in expected} == expected


def gone(call, **where):
    assert error_of(call, **where)["Error"]["Code"] == "NotFoundException"


@pytest.fixture
def client(gateway):
    return gateway.client()


@pytest.fixture
def api(client):
    return client.create_rest_api(name="tf", endpointConfiguration={"types": ["REGIONAL"]})


def root_of(client, api):
    pages = client.get_paginator("get_resources").paginate(restApiId=api)
    return next(item["id"] for page in pages for item in page["items"] if item["path"] == "/")


def test_rest_api(client):
    api = client.create_rest_api(
        name="tf", description="d", apiKeySource="HEADER", binaryMediaTypes=["image/png"], minimumCompressionSize=10,
        disableExecuteApiEndpoint=False, endpointConfiguration={"types": ["REGIONAL"]}, tags={"a": "1"},
    )["id"]  # fmt: skip
    where = {"restApiId": api}
    found = client.get_rest_api(**where)
    part_of({"name": "tf", "description": "d", "apiKeySource": "HEADER", "binaryMediaTypes": ["image/png"],
             "minimumCompressionSize": 10, "disableExecuteApiEndpoint": False, "tags": {"a": "1"}}, found)  # fmt: skip
    assert found["rootResourceId"] == root_of(client, api)
    arn = f"arn:aws:apigateway:{REGION}::/restapis/{api}"
    assert client.get_tags(resourceArn=arn)["tags"] == {"a": "1"}
    client.update_rest_api(**where, patchOperations=[
        *replaced(name="two", description="e", apiKeySource="AUTHORIZER", disableExecuteApiEndpoint="true"),
        *ops(("remove", "/binaryMediaTypes/image~1png"), ("add", "/binaryMediaTypes/application~1zip")),
        *ops(("replace", "/minimumCompressionSize", "0"), ("replace", "/endpointConfiguration/types/0", "EDGE")),
    ])  # fmt: skip
    client.untag_resource(resourceArn=arn, tagKeys=["a"])
    client.tag_resource(resourceArn=arn, tags={"b": "2"})
    found = client.get_rest_api(**where)
    part_of({"name": "two", "description": "e", "apiKeySource": "AUTHORIZER", "disableExecuteApiEndpoint": True,
             "binaryMediaTypes": ["application/zip"], "minimumCompressionSize": 0, "tags": {"b": "2"}}, found)  # fmt: skip
    assert found["endpointConfiguration"]["types"] == ["EDGE"]
    # Compression is switched off with an empty value.
    client.update_rest_api(**where, patchOperations=ops(("replace", "/minimumCompressionSize", "")))
    assert "minimumCompressionSize" not in client.get_rest_api(**where)
    client.delete_rest_api(**where)
    gone(client.get_rest_api, **where)


def test_rest_api_with_a_body(client):
    body = {
        "openapi": "3.0.1",
        "info": {"title": "from the body", "version": "1"},
        "paths": {"/a": {"get": {"responses": {}, "x-amazon-apigateway-integration": {
            "type": "http_proxy", "httpMethod": "GET", "uri": "http://127.0.0.1:1/"}}}},
    }  # fmt: skip
    api = client.create_rest_api(name="tf")["id"]
    client.put_rest_api(restApiId=api, mode="overwrite", body=json.dumps(body).encode(), failOnWarnings=False)
    # The provider's own attributes win over the document's.
    client.update_rest_api(restApiId=api, patchOperations=replaced(name="tf"))
    assert client.get_rest_api(restApiId=api)["name"] == "tf"
    root = root_of(client, api)
    body["paths"]["/b"] = body["paths"].pop("/a")
    client.put_rest_api(restApiId=api, mode="overwrite", body=json.dumps(body).encode(), failOnWarnings=True)
    assert [item["path"] for item in client.get_resources(restApiId=api)["items"]] == ["/", "/b"]
    assert root_of(client, api) == root
    client.delete_rest_api(restApiId=api)


def test_rest_api_policy(client, api):
    where = {"restApiId": api["id"]}
    client.update_rest_api(**where, patchOperations=replaced(policy=json.dumps(POLICY)))
    # The provider reads the policy as the inside of a JSON string.
    read = json.loads(json.loads('"' + client.get_rest_api(**where)["policy"] + '"'))
    assert read["Statement"][0]["Effect"] == "Allow"
    client.update_rest_api(**where, patchOperations=replaced(policy=""))
    assert not client.get_rest_api(**where).get("policy")


def test_resource(client, api):
    where = {"restApiId": api["id"]}
    root = root_of(client, api["id"])
    parent = client.create_resource(**where, parentId=root, pathPart="parent")["id"]
    made = client.create_resource(**where, parentId=parent, pathPart="child")["id"]
    part_of({"parentId": parent, "pathPart": "child", "path": "/parent/child"},
            client.get_resource(**where, resourceId=made))  # fmt: skip
    client.update_resource(**where, resourceId=made, patchOperations=replaced(pathPart="other", parentId=root))
    part_of({"parentId": root, "path": "/other"}, client.get_resource(**where, resourceId=made))
    client.delete_resource(**where, resourceId=made)
    gone(client.get_resource, **where, resourceId=made)
    client.delete_resource(**where, resourceId=parent)


def test_method_integration_and_responses(client, api):
    at = {"restApiId": api["id"]}
    root = root_of(client, api["id"])
    where = {**at, "resourceId": root, "httpMethod": "POST"}
    answer = {**where, "statusCode": "200"}
    validator = client.create_request_validator(**at, name="v", validateRequestBody=True)["id"]

    client.put_method(**where, authorizationType="NONE", apiKeyRequired=False, operationName="op",
                      requestModels={"application/json": "Empty"}, requestParameters={"method.request.header.A": True})  # fmt: skip
    part_of({"authorizationType": "NONE", "apiKeyRequired": False, "operationName": "op",
             "requestModels": {"application/json": "Empty"}, "requestParameters": {"method.request.header.A": True}},
            client.get_method(**where))  # fmt: skip
    client.update_method(**where, patchOperations=[
        *ops(("remove", "/requestModels/application~1json"), ("add", "/requestModels/text~1xml", "Error")),
        *ops(("replace", "/requestParameters/method.request.header.A", "false"),
             ("add", "/requestParameters/method.request.querystring.q", "true")),
        *replaced(requestValidatorId=validator, apiKeyRequired="true", operationName="other"),
    ])  # fmt: skip
    part_of({"requestModels": {"text/xml": "Error"}, "requestValidatorId": validator, "apiKeyRequired": True,
             "requestParameters": {"method.request.header.A": False, "method.request.querystring.q": True}},
            client.get_method(**where))  # fmt: skip

    client.put_integration(**where, type="HTTP", integrationHttpMethod="POST", uri="http://127.0.0.1:1/",
                           passthroughBehavior="WHEN_NO_MATCH", timeoutInMillis=29000, connectionType="INTERNET",
                           requestTemplates={"application/json": ""}, cacheKeyParameters=[], cacheNamespace="n",
                           requestParameters={"integration.request.header.X": "'x'"})  # fmt: skip
    part_of({"type": "HTTP", "httpMethod": "POST", "connectionType": "INTERNET", "timeoutInMillis": 29000,
             "cacheNamespace": "n", "cacheKeyParameters": [], "passthroughBehavior": "WHEN_NO_MATCH"},
            client.get_integration(**where))  # fmt: skip
    client.update_integration(**where, patchOperations=[
        *ops(("replace", "/requestTemplates/application~1json", "{}"), ("add", "/requestTemplates/text~1xml", "<a/>")),
        *ops(("remove", "/requestParameters/integration.request.header.X"),
             ("add", "/requestParameters/integration.request.header.Y", "method.request.header.A")),
        *ops(("add", "/cacheKeyParameters/method.request.querystring.q")),
        *replaced(cacheNamespace="m", timeoutInMillis="1000", passthroughBehavior="NEVER", uri="http://127.0.0.1:2/",
                  contentHandling="CONVERT_TO_TEXT"),
    ])  # fmt: skip
    part_of({"requestTemplates": {"application/json": "{}", "text/xml": "<a/>"}, "cacheNamespace": "m",
             "requestParameters": {"integration.request.header.Y": "method.request.header.A"}, "timeoutInMillis": 1000,
             "cacheKeyParameters": ["method.request.querystring.q"], "passthroughBehavior": "NEVER",
             "uri": "http://127.0.0.1:2/", "contentHandling": "CONVERT_TO_TEXT"}, client.get_integration(**where))  # fmt: skip

    client.put_method_response(**answer, responseModels={"application/json": "Empty"},
                               responseParameters={"method.response.header.A": True})  # fmt: skip
    client.update_method_response(**answer, patchOperations=ops(
        ("replace", "/responseModels/application~1json", "Error"), ("remove", "/responseParameters/method.response.header.A"),
        ("add", "/responseParameters/method.response.header.B", "false")))  # fmt: skip
    part_of({"responseModels": {"application/json": "Error"}, "responseParameters": {"method.response.header.B": False}},
            client.get_method_response(**answer))  # fmt: skip

    # An integration response is put anew when it changes.
    for pattern in ("", "2.*"):
        client.put_integration_response(**answer, selectionPattern=pattern, responseTemplates={"application/json": "x"},
                                        responseParameters={"method.response.header.B": "'b'"})  # fmt: skip
        part_of({"selectionPattern": pattern, "responseTemplates": {"application/json": "x"}},
                client.get_integration_response(**answer))  # fmt: skip

    for delete, read, key in (
        (client.delete_integration_response, client.get_integration_response, answer),
        (client.delete_method_response, client.get_method_response, answer),
        (client.delete_integration, client.get_integration, where),
        (client.delete_method, client.get_method, where),
    ):
        delete(**key)
        gone(read, **key)


def test_model_and_request_validator(client, api):
    at = {"restApiId": api["id"]}
    client.create_model(**at, name="M", contentType="application/json", schema='{"type":"object"}', description="d")
    client.update_model(**at, modelName="M", patchOperations=replaced(description="e", schema='{"type":"string"}'))
    part_of({"name": "M", "description": "e", "schema": '{"type":"string"}', "contentType": "application/json"},
            client.get_model(**at, modelName="M"))  # fmt: skip
    client.delete_model(**at, modelName="M")
    gone(client.get_model, **at, modelName="M")
    made = client.create_request_validator(**at, name="v", validateRequestBody=False, validateRequestParameters=False)["id"]
    client.update_request_validator(**at, requestValidatorId=made, patchOperations=replaced(
        name="w", validateRequestBody="true", validateRequestParameters="true"))  # fmt: skip
    part_of({"name": "w", "validateRequestBody": True, "validateRequestParameters": True},
            client.get_request_validator(**at, requestValidatorId=made))  # fmt: skip
    client.delete_request_validator(**at, requestValidatorId=made)
    gone(client.get_request_validator, **at, requestValidatorId=made)


def test_authorizer(client, api):
    at = {"restApiId": api["id"]}
    made = client.create_authorizer(**at, name="a", type="TOKEN", authorizerUri=FUNCTION, authorizerResultTtlInSeconds=300,
                                    identitySource="method.request.header.Authorization")["id"]  # fmt: skip
    where = {**at, "authorizerId": made}
    part_of({"name": "a", "type": "TOKEN", "authorizerUri": FUNCTION, "authorizerResultTtlInSeconds": 300,
             "identitySource": "method.request.header.Authorization"}, client.get_authorizer(**where))  # fmt: skip
    role = f"arn:aws:iam::{ACCOUNT}:role/r"
    client.update_authorizer(**where, patchOperations=replaced(
        name="b", authorizerResultTtlInSeconds="10", identityValidationExpression="^x$", authorizerCredentials=role,
        identitySource="method.request.header.Token"))  # fmt: skip
    part_of({"name": "b", "authorizerResultTtlInSeconds": 10, "identityValidationExpression": "^x$",
             "authorizerCredentials": role, "identitySource": "method.request.header.Token"},
            client.get_authorizer(**where))  # fmt: skip
    client.delete_authorizer(**where)
    gone(client.get_authorizer, **where)
    arns = [f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_{name}" for name in "ab"]
    pool = client.create_authorizer(**at, name="p", type="COGNITO_USER_POOLS", providerARNs=arns[:1],
                                    identitySource="method.request.header.Authorization")["id"]  # fmt: skip
    client.update_authorizer(**at, authorizerId=pool, patchOperations=ops(
        ("add", "/providerARNs", arns[1]), ("remove", "/providerARNs", arns[0])))  # fmt: skip
    assert client.get_authorizer(**at, authorizerId=pool)["providerARNs"] == arns[1:]
    client.delete_authorizer(**at, authorizerId=pool)


def deployable(client, api):
    where = {"restApiId": api, "resourceId": root_of(client, api), "httpMethod": "GET"}
    client.put_method(**where, authorizationType="NONE")
    client.put_integration(**where, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'})


def test_deployment_and_stage(client, api):
    at = {"restApiId": api["id"]}
    deployable(client, api["id"])
    first = client.create_deployment(**at, description="one")["id"]
    part_of({"description": "one"}, client.get_deployment(**at, deploymentId=first))
    client.update_deployment(**at, deploymentId=first, patchOperations=replaced(description="two"))
    part_of({"description": "two"}, client.get_deployment(**at, deploymentId=first))

    client.create_stage(**at, stageName="s", deploymentId=first, description="d", variables={"a": "1", "b": "2"},
                        tracingEnabled=False, tags={"t": "1"})  # fmt: skip
    stage = {**at, "stageName": "s"}
    part_of({"deploymentId": first, "description": "d", "variables": {"a": "1", "b": "2"}, "tags": {"t": "1"}},
            client.get_stage(**stage))  # fmt: skip
    # create_before_destroy: the new deployment is there before the stage moves, and then the old one goes.
    second = client.create_deployment(**at)["id"]
    client.update_stage(**stage, patchOperations=[
        *replaced(deploymentId=second, description="e"),
        *ops(("replace", "/variables/a", "3"), ("remove", "/variables/b")),
    ])  # fmt: skip
    part_of({"deploymentId": second, "description": "e", "variables": {"a": "3"}}, client.get_stage(**stage))
    arn = f"arn:aws:apigateway:{REGION}::/restapis/{api['id']}/stages/s"
    client.tag_resource(resourceArn=arn, tags={"u": "2"})
    assert client.get_stage(**stage)["tags"] == {"t": "1", "u": "2"}
    client.delete_deployment(**at, deploymentId=first)
    gone(client.get_deployment, **at, deploymentId=first)
    refused = error_of(client.delete_deployment, **at, deploymentId=second)["Error"]
    assert refused["Message"] == "Active stages pointing to this deployment must be moved or deleted"
    client.delete_stage(**stage)
    gone(client.get_stage, **stage)
    client.delete_deployment(**at, deploymentId=second)


def test_gateway_response(client, api):
    where = {"restApiId": api["id"], "responseType": "UNAUTHORIZED"}
    for code in ("401", "403"):
        client.put_gateway_response(**where, statusCode=code, responseTemplates={"application/json": "{}"},
                                    responseParameters={"gatewayresponse.header.A": "'a'"})  # fmt: skip
        part_of({"statusCode": code, "responseTemplates": {"application/json": "{}"}, "defaultResponse": False},
                client.get_gateway_response(**where))  # fmt: skip
    client.delete_gateway_response(**where)
    # What is left is AWS's default, which the provider takes for absence.
    assert client.get_gateway_response(**where)["defaultResponse"] is True


def test_documentation(client, api):
    at = {"restApiId": api["id"]}
    part = client.create_documentation_part(
        **at, location={"type": "METHOD", "path": "/", "method": "GET"}, properties='{"description":"a"}')["id"]  # fmt: skip
    client.update_documentation_part(**at, documentationPartId=part, patchOperations=replaced(properties='{"description":"b"}'))
    part_of({"properties": '{"description":"b"}'}, client.get_documentation_part(**at, documentationPartId=part))
    client.create_documentation_version(**at, documentationVersion="1", description="d")
    client.update_documentation_version(**at, documentationVersion="1", patchOperations=replaced(description="e"))
    part_of({"version": "1", "description": "e"}, client.get_documentation_version(**at, documentationVersion="1"))
    client.delete_documentation_version(**at, documentationVersion="1")
    gone(client.get_documentation_version, **at, documentationVersion="1")
    client.delete_documentation_part(**at, documentationPartId=part)
    gone(client.get_documentation_part, **at, documentationPartId=part)


def test_vpc_link(client):
    arn = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/net/n/0123456789abcdef"
    made = client.create_vpc_link(name="l", targetArns=[arn], description="d", tags={"a": "1"})["id"]
    eventually(lambda: client.get_vpc_link(vpcLinkId=made)["status"] != "PENDING")
    client.update_vpc_link(vpcLinkId=made, patchOperations=replaced(name="m", description="e"))
    part_of({"name": "m", "description": "e", "targetArns": [arn], "tags": {"a": "1"}}, client.get_vpc_link(vpcLinkId=made))
    client.delete_vpc_link(vpcLinkId=made)
    eventually(lambda: gone(client.get_vpc_link, vpcLinkId=made) is None)


def test_account(client):
    role = f"arn:aws:iam::{ACCOUNT}:role/logs"
    client.update_account(patchOperations=replaced(cloudwatchRoleArn=role))
    part_of({"cloudwatchRoleArn": role}, client.get_account())
    client.update_account(patchOperations=replaced(cloudwatchRoleArn=""))
    assert not client.get_account().get("cloudwatchRoleArn")


@needs("CreateApiKey", "GetApiKey", "UpdateApiKey", "DeleteApiKey", "CreateUsagePlan", "GetUsagePlan", "UpdateUsagePlan",
       "DeleteUsagePlan", "CreateUsagePlanKey", "GetUsagePlanKey", "DeleteUsagePlanKey")  # fmt: skip
def test_api_key_and_usage_plan(client, api):
    deployable(client, api["id"])
    client.create_deployment(restApiId=api["id"], stageName="s")
    key = client.create_api_key(name="k", description="d", enabled=True, generateDistinctId=True, tags={"a": "1"})["id"]
    found = client.get_api_key(apiKey=key, includeValue=True)
    part_of({"name": "k", "description": "d", "enabled": True, "tags": {"a": "1"}}, found)
    assert len(found["value"]) >= 20
    client.update_api_key(apiKey=key, patchOperations=replaced(name="l", description="e", enabled="false"))
    part_of({"name": "l", "description": "e", "enabled": False}, client.get_api_key(apiKey=key, includeValue=True))

    stage = {"apiId": api["id"], "stage": "s"}
    plan = client.create_usage_plan(name="p", description="d", apiStages=[stage], tags={"a": "1"},
                                    quota={"limit": 10, "offset": 1, "period": "WEEK"},
                                    throttle={"burstLimit": 5, "rateLimit": 2.5})["id"]  # fmt: skip
    client.update_usage_plan(usagePlanId=plan, patchOperations=ops(("add", "/productCode", "code")))
    part_of({"name": "p", "productCode": "code", "apiStages": [stage], "throttle": {"burstLimit": 5, "rateLimit": 2.5},
             "quota": {"limit": 10, "offset": 1, "period": "WEEK"}}, client.get_usage_plan(usagePlanId=plan))  # fmt: skip
    client.update_usage_plan(usagePlanId=plan, patchOperations=[
        *replaced(name="q", description="e", productCode="other"),
        *ops(("replace", "/throttle/rateLimit", "9.5"), ("replace", "/throttle/burstLimit", "20")),
        *ops(("replace", "/quota/limit", "11"), ("replace", "/quota/offset", "0"), ("replace", "/quota/period", "MONTH")),
        *ops(("remove", "/apiStages", f"{api['id']}:s"), ("add", "/apiStages", f"{api['id']}:s")),
    ])  # fmt: skip
    part_of({"name": "q", "productCode": "other", "throttle": {"burstLimit": 20, "rateLimit": 9.5},
             "quota": {"limit": 11, "offset": 0, "period": "MONTH"}}, client.get_usage_plan(usagePlanId=plan))  # fmt: skip

    member = {"usagePlanId": plan, "keyId": key}
    client.create_usage_plan_key(**member, keyType="API_KEY")
    part_of({"id": key, "type": "API_KEY", "name": "l"}, client.get_usage_plan_key(**member))
    client.delete_usage_plan_key(**member)
    gone(client.get_usage_plan_key, **member)
    client.update_usage_plan(usagePlanId=plan, patchOperations=ops(("remove", "/apiStages", f"{api['id']}:s")))
    client.delete_usage_plan(usagePlanId=plan)
    gone(client.get_usage_plan, usagePlanId=plan)
    client.delete_api_key(apiKey=key)
    gone(client.get_api_key, apiKey=key)


@needs("GenerateClientCertificate", "GetClientCertificate", "UpdateClientCertificate", "DeleteClientCertificate")
def test_client_certificate(client):
    made = client.generate_client_certificate(description="d", tags={"a": "1"})["clientCertificateId"]
    found = client.get_client_certificate(clientCertificateId=made)
    part_of({"description": "d", "tags": {"a": "1"}}, found)
    assert found["pemEncodedCertificate"].startswith("-----BEGIN CERTIFICATE-----")
    client.update_client_certificate(clientCertificateId=made, patchOperations=replaced(description="e"))
    part_of({"description": "e"}, client.get_client_certificate(clientCertificateId=made))
    client.delete_client_certificate(clientCertificateId=made)
    gone(client.get_client_certificate, clientCertificateId=made)


@needs("CreateDomainName", "GetDomainName", "UpdateDomainName", "DeleteDomainName", "CreateBasePathMapping",
       "GetBasePathMapping", "UpdateBasePathMapping", "DeleteBasePathMapping")  # fmt: skip
def test_domain_name_and_base_path_mapping(client, api):
    deployable(client, api["id"])
    client.create_deployment(restApiId=api["id"], stageName="s")
    certificate = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/01234567-89ab-cdef-0123-456789abcdef"
    name = "tf.example.com"
    client.create_domain_name(domainName=name, regionalCertificateArn=certificate, securityPolicy="TLS_1_2",
                              endpointConfiguration={"types": ["REGIONAL"]}, tags={"a": "1"})  # fmt: skip
    found = client.get_domain_name(domainName=name)
    part_of({"domainName": name, "regionalCertificateArn": certificate, "securityPolicy": "TLS_1_2"}, found)
    client.create_base_path_mapping(domainName=name, basePath="b", restApiId=api["id"], stage="s")
    part_of({"basePath": "b", "restApiId": api["id"], "stage": "s"},
            client.get_base_path_mapping(domainName=name, basePath="b"))  # fmt: skip
    client.update_base_path_mapping(domainName=name, basePath="b", patchOperations=replaced(basePath="c"))
    part_of({"basePath": "c"}, client.get_base_path_mapping(domainName=name, basePath="c"))
    client.delete_base_path_mapping(domainName=name, basePath="c")
    gone(client.get_base_path_mapping, domainName=name, basePath="c")
    client.delete_domain_name(domainName=name)
    gone(client.get_domain_name, domainName=name)
