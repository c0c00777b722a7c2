"""Every noun's life through boto3: made, read, listed, changed, removed; and what AWS says once it is gone.

A test is skipped while docs/conformance.md says that an operation it needs is not built, and runs from the day it is.
"""

import json

import botocore.exceptions
import pytest
from harness import REGION
from test_protocol import error_of, operations


def needs(*names, service="apigateway"):
    table = operations()
    absent = [name for name in names if not table[service, name]]
    return pytest.mark.skipif(bool(absent), reason=f"not built: {', '.join(absent)}")


@pytest.fixture
def api(gateway):
    return gateway.rest_api()


def replace(path, value):
    return [{"op": "replace", "path": path, "value": value}]


def gone(call, message, **parameters):
    response = error_of(call, **parameters)
    assert (response["Error"]["Code"], response["Error"]["Message"]) == ("NotFoundException", message)


def without_metadata(response):
    return {name: value for name, value in response.items() if name != "ResponseMetadata"}


@needs("CreateRestApi", "GetRestApi", "GetRestApis", "UpdateRestApi", "DeleteRestApi")
def test_rest_apis(gateway):
    client = gateway.client()
    made = client.create_rest_api(name="one", description="d", version="v1", binaryMediaTypes=["image/png"])
    assert (made["name"], made["description"], made["version"], made["binaryMediaTypes"]) == (
        "one", "d", "v1", ["image/png"],
    )  # fmt: skip
    # AWS shows no tags in the first answer where none were given, and an empty map from then on.
    assert without_metadata(client.get_rest_api(restApiId=made["id"])) == without_metadata(made) | {"tags": {}}
    patch = [*replace("/name", "two"), {"op": "add", "path": "/binaryMediaTypes/a~1b"},
             {"op": "remove", "path": "/binaryMediaTypes/image~1png"}]  # fmt: skip
    changed = client.update_rest_api(restApiId=made["id"], patchOperations=patch)
    assert (changed["name"], changed["binaryMediaTypes"]) == ("two", ["a/b"])
    assert [item["id"] for item in client.get_rest_apis()["items"]] == [made["id"]]
    client.delete_rest_api(restApiId=made["id"])
    gone(client.get_rest_api, f"Invalid API identifier specified 000000000000:{made['id']}", restApiId=made["id"])


@needs("CreateResource", "GetResource", "GetResources", "UpdateResource", "DeleteResource")
def test_resources(api):
    client = api.client
    child = api.resource("/a/b")
    found = client.get_resource(restApiId=api.id, resourceId=child)
    assert (found["path"], found["pathPart"], found["parentId"]) == ("/a/b", "b", api.resource("/a"))
    moved = client.update_resource(restApiId=api.id, resourceId=child, patchOperations=replace("/pathPart", "c"))
    assert moved["path"] == "/a/c"
    moved = client.update_resource(
        restApiId=api.id, resourceId=child, patchOperations=replace("/parentId", api.resources["/"])
    )
    assert moved["path"] == "/c"
    listed = client.get_resources(restApiId=api.id)["items"]
    assert {item["path"] for item in listed} == {"/", "/a", "/c"}
    client.delete_resource(restApiId=api.id, resourceId=child)
    gone(client.get_resource, "Invalid Resource identifier specified", restApiId=api.id, resourceId=child)
    root = error_of(client.delete_resource, restApiId=api.id, resourceId=api.resources["/"])
    assert root["Error"]["Code"] == "BadRequestException"


@needs("PutMethod", "GetMethod", "UpdateMethod", "DeleteMethod")
def test_methods(api):
    client, where = api.client, {"restApiId": api.id, "resourceId": api.resources["/"], "httpMethod": "GET"}
    made = client.put_method(
        **where, authorizationType="NONE", operationName="list", requestParameters={"method.request.header.A": True}
    )
    assert without_metadata(made) == without_metadata(client.get_method(**where))
    changed = client.update_method(**where, patchOperations=replace("/operationName", "other"))
    assert changed["operationName"] == "other"
    again = error_of(client.put_method, **where, authorizationType="NONE")
    assert again["Error"]["Code"] == "ConflictException"
    client.delete_method(**where)
    gone(client.get_method, "Invalid Method identifier specified", **where)


@needs("PutMethodResponse", "GetMethodResponse", "UpdateMethodResponse", "DeleteMethodResponse")
def test_method_responses(api):
    client, where = api.client, {"restApiId": api.id, "resourceId": api.resources["/"], "httpMethod": "GET"}
    client.put_method(**where, authorizationType="NONE")
    where["statusCode"] = "200"
    client.put_method_response(**where, responseParameters={"method.response.header.A": False})
    patch = [{"op": "add", "path": "/responseParameters/method.response.header.B", "value": "true"}]
    changed = client.update_method_response(**where, patchOperations=patch)
    assert changed["responseParameters"] == {"method.response.header.A": False, "method.response.header.B": True}
    assert client.get_method_response(**where)["responseParameters"] == changed["responseParameters"]
    client.delete_method_response(**where)
    gone(client.get_method_response, "Invalid Response status code specified", **where)


@needs("PutIntegration", "GetIntegration", "UpdateIntegration", "DeleteIntegration")
def test_integrations(api):
    client, where = api.client, {"restApiId": api.id, "resourceId": api.resources["/"], "httpMethod": "GET"}
    client.put_method(**where, authorizationType="NONE")
    made = client.put_integration(
        **where, type="HTTP_PROXY", uri="http://127.0.0.1:1/a", integrationHttpMethod="GET", timeoutInMillis=1000
    )
    assert (made["type"], made["uri"], made["timeoutInMillis"]) == ("HTTP_PROXY", "http://127.0.0.1:1/a", 1000)
    assert made["cacheNamespace"] == api.resources["/"] and made["passthroughBehavior"] == "WHEN_NO_MATCH"
    changed = client.update_integration(**where, patchOperations=replace("/uri", "http://127.0.0.1:2/b"))
    assert changed["uri"] == "http://127.0.0.1:2/b" == client.get_integration(**where)["uri"]
    client.delete_integration(**where)
    gone(client.get_integration, "Invalid Integration identifier specified", **where)


@needs("PutIntegrationResponse", "GetIntegrationResponse", "UpdateIntegrationResponse", "DeleteIntegrationResponse")
def test_integration_responses(api):
    api.mock("GET", "/", "text")
    client, where = api.client, {"restApiId": api.id, "resourceId": api.resources["/"], "httpMethod": "GET"}
    where["statusCode"] = "200"
    patch = replace("/responseTemplates/application~1json", "other") + replace("/selectionPattern", "2..")
    changed = client.update_integration_response(**where, patchOperations=patch)
    assert changed["responseTemplates"] == {"application/json": "other"} and changed["selectionPattern"] == "2.."
    assert without_metadata(client.get_integration_response(**where)) == without_metadata(changed)
    client.delete_integration_response(**where)
    gone(client.get_integration_response, "Invalid Response status code specified", **where)


@needs("CreateDeployment", "GetDeployment", "GetDeployments", "UpdateDeployment", "DeleteDeployment")
def test_deployments(api):
    api.mock("GET", "/", "text")
    client = api.client
    made = client.create_deployment(restApiId=api.id, description="first")
    where = {"restApiId": api.id, "deploymentId": made["id"]}
    assert client.get_deployment(**where)["description"] == "first"
    assert client.update_deployment(**where, patchOperations=replace("/description", "x"))["description"] == "x"
    assert [item["id"] for item in client.get_deployments(restApiId=api.id)["items"]] == [made["id"]]
    client.delete_deployment(**where)
    gone(client.get_deployment, "Invalid Deployment identifier specified", **where)


@needs("CreateStage", "GetStage", "GetStages", "UpdateStage", "DeleteStage")
def test_stages(api):
    api.mock("GET", "/", "text")
    client = api.client
    deployment = client.create_deployment(restApiId=api.id)["id"]
    where = {"restApiId": api.id, "stageName": "dev"}
    client.create_stage(**where, deploymentId=deployment, description="d", variables={"a": "1"})
    patch = [*replace("/variables/a", "2"), *replace("/variables/b", "3"), *replace("/description", "e")]
    changed = client.update_stage(**where, patchOperations=patch)
    assert (changed["variables"], changed["description"]) == ({"a": "2", "b": "3"}, "e")
    client.update_stage(**where, patchOperations=[{"op": "remove", "path": "/variables/b"}])
    assert client.get_stage(**where)["variables"] == {"a": "2"}
    assert [item["stageName"] for item in client.get_stages(restApiId=api.id)["item"]] == ["dev"]
    again = error_of(client.create_stage, **where, deploymentId=deployment)
    assert (again["Error"]["Code"], again["Error"]["Message"]) == ("ConflictException", "Stage already exists")
    client.delete_stage(**where)
    gone(client.get_stage, "Invalid stage identifier specified", **where)


@needs("CreateModel", "GetModel", "GetModels", "UpdateModel", "DeleteModel")
def test_models(api):
    client, schema = api.client, {"type": "object", "properties": {"a": {"type": "string"}}}
    where = {"restApiId": api.id, "modelName": "Thing"}
    made = client.create_model(
        restApiId=api.id, name="Thing", contentType="application/json", schema=json.dumps(schema)
    )
    assert made["name"] == "Thing" and json.loads(client.get_model(**where)["schema"]) == schema
    assert {item["name"] for item in client.get_models(restApiId=api.id)["items"]} == {"Thing", "Empty", "Error"}
    assert client.update_model(**where, patchOperations=replace("/description", "x"))["description"] == "x"
    client.delete_model(**where)
    gone(client.get_model, "Invalid model name specified: Thing", **where)


@needs("GetModelTemplate", "CreateModel")
def test_model_template(api):
    schema = json.dumps({"type": "object", "properties": {"a": {"type": "string"}}})
    api.client.create_model(restApiId=api.id, name="Thing", contentType="application/json", schema=schema)
    assert api.client.get_model_template(restApiId=api.id, modelName="Thing")["value"]


@needs("CreateRequestValidator", "GetRequestValidator", "GetRequestValidators", "UpdateRequestValidator",
       "DeleteRequestValidator")  # fmt: skip
def test_request_validators(api):
    client = api.client
    made = client.create_request_validator(restApiId=api.id, name="all", validateRequestBody=True)
    where = {"restApiId": api.id, "requestValidatorId": made["id"]}
    changed = client.update_request_validator(**where, patchOperations=replace("/validateRequestParameters", "true"))
    assert changed["validateRequestBody"] is True and changed["validateRequestParameters"] is True
    assert without_metadata(client.get_request_validator(**where)) == without_metadata(changed)
    assert [item["id"] for item in client.get_request_validators(restApiId=api.id)["items"]] == [made["id"]]
    client.delete_request_validator(**where)
    gone(client.get_request_validator, "Invalid Request Validator identifier specified", **where)


@needs("CreateAuthorizer", "GetAuthorizer", "GetAuthorizers", "UpdateAuthorizer", "DeleteAuthorizer")
def test_authorizers(api):
    client = api.client
    arn = f"arn:aws:lambda:{REGION}:000000000000:function:f"
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}/invocations"
    made = client.create_authorizer(
        restApiId=api.id,
        name="a",
        type="TOKEN",
        authorizerUri=uri,
        identitySource="method.request.header.Authorization",
    )
    where = {"restApiId": api.id, "authorizerId": made["id"]}
    assert client.update_authorizer(**where, patchOperations=replace("/name", "b"))["name"] == "b"
    assert client.get_authorizer(**where)["name"] == "b"
    assert [item["id"] for item in client.get_authorizers(restApiId=api.id)["items"]] == [made["id"]]
    client.delete_authorizer(**where)
    gone(client.get_authorizer, "Invalid Authorizer identifier specified", **where)


@needs("PutGatewayResponse", "GetGatewayResponse", "GetGatewayResponses", "UpdateGatewayResponse",
       "DeleteGatewayResponse")  # fmt: skip
def test_gateway_responses(api):
    client, where = api.client, {"restApiId": api.id, "responseType": "MISSING_AUTHENTICATION_TOKEN"}
    api.mock("GET", "/", "text")
    client.put_gateway_response(
        **where, statusCode="404", responseTemplates={"application/json": '{"not": "here"}'},
        responseParameters={"gatewayresponse.header.X-Own": "'yes'"},
    )  # fmt: skip
    assert client.get_gateway_response(**where)["statusCode"] == "404"
    assert client.update_gateway_response(**where, patchOperations=replace("/statusCode", "410"))["statusCode"] == "410"
    assert len(client.get_gateway_responses(restApiId=api.id, limit=100)["items"]) >= 20
    api.deploy()
    answer = api.call("GET", "/absent")
    assert (answer.status_code, answer.text, answer.headers["X-Own"]) == (410, '{"not": "here"}', "yes")
    client.delete_gateway_response(**where)
    assert client.get_gateway_response(**where)["defaultResponse"] is True


@needs("CreateDocumentationPart", "GetDocumentationPart", "GetDocumentationParts", "UpdateDocumentationPart",
       "DeleteDocumentationPart", "ImportDocumentationParts")  # fmt: skip
def test_documentation_parts(api):
    client = api.client
    made = client.create_documentation_part(restApiId=api.id, location={"type": "API"}, properties='{"a": 1}')
    where = {"restApiId": api.id, "documentationPartId": made["id"]}
    changed = client.update_documentation_part(**where, patchOperations=replace("/properties", '{"a": 2}'))
    assert changed["properties"] == '{"a": 2}' == client.get_documentation_part(**where)["properties"]
    assert [item["id"] for item in client.get_documentation_parts(restApiId=api.id)["items"]] == [made["id"]]
    parts = {"documentationParts": [{"location": {"type": "RESOURCE", "path": "/"}, "properties": {"b": 1}}]}
    document = {"openapi": "3.0.0", "info": {"title": "t", "version": "1"}, "paths": {}}
    document["x-amazon-apigateway-documentation"] = parts
    imported = client.import_documentation_parts(restApiId=api.id, mode="merge", body=json.dumps(document).encode())
    assert len(imported["ids"]) == 1
    client.delete_documentation_part(**where)
    gone(client.get_documentation_part, "Invalid Documentation part identifier specified", **where)


@needs("CreateDocumentationVersion", "GetDocumentationVersion", "GetDocumentationVersions",
       "UpdateDocumentationVersion", "DeleteDocumentationVersion")  # fmt: skip
def test_documentation_versions(api):
    client, where = api.client, {"restApiId": api.id, "documentationVersion": "v1"}
    client.create_documentation_part(restApiId=api.id, location={"type": "API"}, properties='{"a": 1}')
    client.create_documentation_version(**where, description="first")
    assert client.get_documentation_version(**where)["description"] == "first"
    changed = client.update_documentation_version(**where, patchOperations=replace("/description", "x"))
    assert changed["description"] == "x"
    assert [item["version"] for item in client.get_documentation_versions(restApiId=api.id)["items"]] == ["v1"]
    client.delete_documentation_version(**where)
    assert client.get_documentation_versions(restApiId=api.id)["items"] == []


@needs("GetAccount", "UpdateAccount")
def test_account(gateway):
    client = gateway.client()
    assert client.get_account()["throttleSettings"] == {"burstLimit": 5000, "rateLimit": 10000.0}
    role = "arn:aws:iam::000000000000:role/logs"
    assert client.update_account(patchOperations=replace("/cloudwatchRoleArn", role))["cloudwatchRoleArn"] == role


@needs("CreateVpcLink", "GetVpcLink", "GetVpcLinks", "UpdateVpcLink", "DeleteVpcLink")
def test_vpc_links(gateway):
    client = gateway.client()
    arn = f"arn:aws:elasticloadbalancing:{REGION}:000000000000:loadbalancer/net/n/0123456789abcdef"
    made = client.create_vpc_link(name="link", targetArns=[arn])
    assert client.get_vpc_link(vpcLinkId=made["id"])["targetArns"] == [arn]
    assert client.update_vpc_link(vpcLinkId=made["id"], patchOperations=replace("/name", "x"))["name"] == "x"
    assert [item["id"] for item in client.get_vpc_links()["items"]] == [made["id"]]
    client.delete_vpc_link(vpcLinkId=made["id"])
    gone(client.get_vpc_link, "Invalid Vpc Link identifier specified", vpcLinkId=made["id"])


DOCUMENT = {
    "openapi": "3.0.1",
    "info": {"title": "imported", "version": "1"},
    "paths": {
        "/pets/{id}": {
            "get": {
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {"200": {"description": "ok"}},
                "x-amazon-apigateway-integration": {
                    "type": "mock",
                    "requestTemplates": {"application/json": '{"statusCode": 200}'},
                    "responses": {"default": {"statusCode": "200", "responseTemplates": {"application/json": "$input.params('id')"}}},
                },
            }
        }
    },
    "components": {"schemas": {"Pet": {"type": "object", "properties": {"name": {"type": "string"}}}}},
}  # fmt: skip


@needs("ImportRestApi", "PutRestApi")
def test_imports(gateway):
    client = gateway.client()
    made = client.import_rest_api(body=json.dumps(DOCUMENT).encode(), parameters={"basepath": "ignore"})
    assert made["name"] == "imported"
    resources = client.get_resources(restApiId=made["id"])["items"]
    assert {item["path"] for item in resources} == {"/", "/pets", "/pets/{id}"}
    merged = DOCUMENT | {"paths": {"/more": DOCUMENT["paths"]["/pets/{id}"] | {}}}
    merged["paths"]["/more"] = {"get": {**merged["paths"]["/more"]["get"], "parameters": []}}
    client.put_rest_api(restApiId=made["id"], mode="merge", body=json.dumps(merged).encode())
    resources = client.get_resources(restApiId=made["id"])["items"]
    assert {item["path"] for item in resources} == {"/", "/pets", "/pets/{id}", "/more"}
    client.put_rest_api(restApiId=made["id"], mode="overwrite", body=json.dumps(merged).encode())
    resources = client.get_resources(restApiId=made["id"])["items"]
    assert {item["path"] for item in resources} == {"/", "/more"}
    assert {item["name"] for item in client.get_models(restApiId=made["id"])["items"]} >= {"Pet"}


@needs("GetExport")
def test_export(api):
    api.mock("GET", "/", "text")
    api.deploy("dev")
    for kind in "oas30", "swagger":
        answer = api.client.get_export(
            restApiId=api.id, stageName="dev", exportType=kind, parameters={"extensions": "integrations"}
        )
        document = json.loads(answer["body"].read())
        assert "x-amazon-apigateway-integration" in document["paths"]["/"]["get"]


@needs("TestInvokeMethod")
def test_test_invoke_method(api):
    api.mock("GET", "/a", '{"n": "$input.params("n")"}')
    answer = api.client.test_invoke_method(
        restApiId=api.id, resourceId=api.resource("/a"), httpMethod="GET", pathWithQueryString="/a?n=5"
    )
    assert (answer["status"], json.loads(answer["body"])) == (200, {"n": "5"})
    assert "Successfully completed execution" in answer["log"]


@needs("GetSdkTypes", "GetSdkType")
def test_sdk_types(gateway):
    client = gateway.client()
    names = {item["id"] for item in client.get_sdk_types()["items"]}
    assert names >= {"java", "javascript", "android", "objectivec", "swift", "ruby"}
    assert client.get_sdk_type(id="ruby")["id"] == "ruby"


@needs("FlushStageCache", "FlushStageAuthorizersCache")
def test_flushing(api):
    api.mock("GET", "/", "text")
    api.deploy("dev")
    api.client.flush_stage_cache(restApiId=api.id, stageName="dev")
    api.client.flush_stage_authorizers_cache(restApiId=api.id, stageName="dev")


@needs("GenerateClientCertificate", "GetClientCertificate", "GetClientCertificates", "UpdateClientCertificate",
       "DeleteClientCertificate")  # fmt: skip
def test_client_certificates(gateway):
    client = gateway.client()
    made = client.generate_client_certificate(description="d")
    where = {"clientCertificateId": made["clientCertificateId"]}
    assert client.get_client_certificate(**where)["pemEncodedCertificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert client.update_client_certificate(**where, patchOperations=replace("/description", "x"))["description"] == "x"
    assert len(client.get_client_certificates()["items"]) == 1
    client.delete_client_certificate(**where)
    assert client.get_client_certificates()["items"] == []


@needs("CreateApiKey", "GetApiKey", "GetApiKeys", "UpdateApiKey", "DeleteApiKey")
def test_api_keys(gateway):
    client = gateway.client()
    made = client.create_api_key(name="k", enabled=True)
    assert len(made["value"]) >= 20
    assert client.get_api_key(apiKey=made["id"], includeValue=True)["value"] == made["value"]
    assert "value" not in client.get_api_keys()["items"][0]
    assert client.update_api_key(apiKey=made["id"], patchOperations=replace("/enabled", "false"))["enabled"] is False
    client.delete_api_key(apiKey=made["id"])
    with pytest.raises(botocore.exceptions.ClientError, match="NotFoundException"):
        client.get_api_key(apiKey=made["id"])


@needs("CreateUsagePlan", "GetUsagePlan", "GetUsagePlans", "UpdateUsagePlan", "DeleteUsagePlan")
def test_usage_plans(gateway):
    client = gateway.client()
    made = client.create_usage_plan(name="p", quota={"limit": 10, "period": "DAY"})
    assert client.get_usage_plan(usagePlanId=made["id"])["quota"]["limit"] == 10
    assert client.update_usage_plan(usagePlanId=made["id"], patchOperations=replace("/name", "q"))["name"] == "q"
    assert [item["id"] for item in client.get_usage_plans()["items"]] == [made["id"]]
    client.delete_usage_plan(usagePlanId=made["id"])
    gone(client.get_usage_plan, "Invalid Usage Plan ID specified", usagePlanId=made["id"])
