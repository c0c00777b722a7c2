"""Execution logs, metrics per stage and method, and TestInvokeMethod, whose log is the same text."""

import io
import json
import re
import zipfile

import botocore.exceptions
import pytest
import requests
from harness import ACCOUNT, REGION, eventually, lambda_uri

FUNCTION = """
exports.handler = async event => {
    if (event.path === "/broken") throw new Error("no such pet");
    if (event.path === "/malformed") return {wrong: 1};
    return {statusCode: 201, headers: {"X-Pet": "cat"}, body: JSON.stringify(event)};
};
"""


@pytest.fixture
def logging_gateway(new_gateway):
    gateway = new_gateway()
    config = gateway.work / "stagedoor.toml"
    config.write_text(
        f"[[log_destinations]]\narn = 'arn:aws:logs:*:log-group:API-Gateway-Execution-Logs_*/test'\n"
        f"file = '{gateway.work}/execution.log'\n"
    )
    gateway.arguments = ["--config", str(config)]
    gateway.execution_log = gateway.work / "execution.log"
    return gateway.start()


def set_methods(api, **settings):
    patch = [{"op": "replace", "path": f"/*/*/{name.replace('_', '/')}", "value": value} for name, value in settings.items()]
    api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)


def events(gateway, request_id, last):
    """The texts of a request's events, once the last is there."""
    pattern = re.compile(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z \({request_id}\) (.*)")

    def found():
        texts = [match[1] for line in gateway.execution_log.read_text().splitlines() if (match := pattern.fullmatch(line))]
        return texts if texts and texts[-1].startswith(last) else None

    return eventually(found, what="the request's events")


GUARD = """
exports.handler = async event => {
    const who = event.authorizationToken || event.headers["X-Who"];
    if (who === "nobody") throw "Unauthorized";
    if (who === "broken") return {principalId: "x"};
    const Statement = [{Action: "execute-api:Invoke", Effect: "Deny", Resource: event.methodArn}];
    return {principalId: "ann-the-caller", policyDocument: {Version: "2012-10-17", Statement}};
};
"""


def function_arn(gateway, name="pets", code=FUNCTION):
    """A new function that API Gateway may call."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("index.js", code)
    made = gateway.client("lambda").create_function(
        FunctionName=name, Runtime="nodejs22.x", Handler="index.handler", Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Code={"ZipFile": archive.getvalue()},
    )  # fmt: skip
    gateway.client("lambda").add_permission(
        FunctionName=name, StatementId="gateway", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    return made["FunctionArn"]


class TestExecutionLog:
    def test_whole_requests(self, logging_gateway, echo):
        api = logging_gateway.rest_api()
        api.proxy("POST", "/pets/{id}", echo.url + "/status/202")
        api.deploy()
        set_methods(api, logging_loglevel="INFO", logging_dataTrace="true")
        headers = {"X-Api-Key": "0123456789abcdef", "Content-Type": "text/plain", "X-A": "1"}
        answer = api.call("POST", "/pets/7?q=x", headers=headers, data="line 1\nline 2")
        request_id = answer.headers["x-amzn-RequestId"]
        texts = events(logging_gateway, request_id, "X-ray Tracing ID")
        assert texts[:7] == [
            f"Extended Request Id: {answer.headers['x-amz-apigw-id']}",
            f"Verifying Usage Plan for request: {request_id}. API Key:  API Stage: {api.id}/test",
            "API Key  authorized because method 'POST /pets/{id}' does not require API Key. Request will not contribute to "
            "throttle or quota limits",
            f"Usage Plan check succeeded for API Key  and API Stage {api.id}/test",
            f"Starting execution for request: {request_id}",
            "HTTP Method: POST, Resource Path: /pets/7",
            "Method request path: {id=7}",
        ]
        assert texts[7] == "Method request query string: {q=x}"
        assert texts[8].startswith("Method request headers: {") and "X-A=1" in texts[8]
        assert "X-Api-Key=**********abcdef" in texts[8]
        assert texts[9] == r"Method request body before transformations: line 1\nline 2"
        assert texts[10] == f"Endpoint request URI: {echo.url}/status/202?q=x"
        assert texts[11].startswith("Endpoint request headers: {")
        assert texts[12] == r"Endpoint request body after transformations: line 1\nline 2"
        assert texts[13] == f"Sending request to {echo.url}/status/202?q=x"
        assert re.fullmatch(r"Received response. Status: 202, Integration latency: \d+ ms", texts[14])
        assert texts[15].startswith("Endpoint response headers: {") and "X-Origin=echo" in texts[15]
        assert texts[16].startswith('Endpoint response body before transformations: {"method": "POST"')
        assert texts[17].startswith('Method response body after transformations: {"method": "POST"')
        assert texts[18].startswith("Method response headers: {") and "X-Origin=echo" in texts[18]
        assert texts[19:21] == ["Successfully completed execution", "Method completed with status: 202"]
        assert texts[21].startswith("X-ray Tracing ID : Root=1-")

    def test_without_data(self, logging_gateway, echo):
        api = logging_gateway.rest_api()
        api.proxy("GET", "/", echo.url)
        api.deploy()
        set_methods(api, logging_loglevel="INFO")
        answer = api.call("GET", "/")
        texts = events(logging_gateway, answer.headers["x-amzn-RequestId"], "X-ray Tracing ID")
        assert [text.split(":")[0] for text in texts[4:-1]] == [
            "Starting execution for request", "HTTP Method", "Sending request to http", "Received response. Status",
            "Successfully completed execution", "Method completed with status",
        ]  # fmt: skip

    def test_errors_only(self, logging_gateway, echo):
        api = logging_gateway.rest_api()
        api.proxy("GET", "/", echo.url)
        api.proxy("GET", "/closed", "http://127.0.0.1:1/")
        api.deploy()
        set_methods(api, logging_loglevel="ERROR", logging_dataTrace="true")
        fine, failed = api.call("GET", "/"), api.call("GET", "/closed")
        texts = events(logging_gateway, failed.headers["x-amzn-RequestId"], "Method completed")
        assert texts == [
            "Execution failed due to a network error communicating with endpoint",
            "Method completed with status: 504",
        ]
        assert fine.headers["x-amzn-RequestId"] not in logging_gateway.execution_log.read_text()

    def test_off(self, logging_gateway, echo):
        api = logging_gateway.rest_api()
        api.proxy("GET", "/", echo.url)
        api.deploy()
        set_methods(api, logging_loglevel="OFF", logging_dataTrace="true")
        assert api.call("GET", "/").status_code == 200
        assert logging_gateway.terminate() == 0
        assert logging_gateway.execution_log.read_text() == ""


class TestTestInvokeMethod:
    def invoke(self, api, path, method="GET", **options):
        return api.client.test_invoke_method(
            restApiId=api.id, resourceId=api.resource(path), httpMethod=method, **options
        )

    @staticmethod
    def parse(answer):
        first, *lines = answer["log"].splitlines()
        request_id = re.fullmatch(r"Execution log for request ([0-9a-f-]{36})", first)[1]
        pattern = re.compile(r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d UTC \d{4} : (.*)")
        texts = [pattern.fullmatch(line)[1] for line in lines]
        assert texts[0].startswith("Starting ") and texts[0].endswith(f" for request: {request_id}")
        return texts

    def test_a_function_that_is_not_deployed(self, gateway):
        api = gateway.rest_api()
        arn = function_arn(gateway)
        for path in ("/pets/{id}", "/broken", "/malformed"):
            api.proxy("GET", path, lambda_uri(arn), kind="AWS_PROXY")
        answer = self.invoke(
            api, "/pets/{id}", pathWithQueryString="/pets/7?q=x", headers={"X-A": "1"},
            multiValueHeaders={"X-B": ["2", "3"]}, stageVariables={"color": "red"}, body="",
        )  # fmt: skip
        assert answer["status"] == 201 and answer["latency"] >= 0
        assert answer["headers"]["X-Pet"] == "cat" and answer["multiValueHeaders"]["X-Pet"] == ["cat"]
        assert answer["headers"]["X-Amzn-Trace-Id"].startswith("Root=1-")
        assert not {"x-amzn-RequestId", "x-amz-apigw-id"} & set(answer["headers"])
        event = json.loads(answer["body"])
        assert event["pathParameters"] == {"id": "7"} and event["queryStringParameters"] == {"q": "x"}
        assert event["stageVariables"] == {"color": "red"}
        assert event["multiValueHeaders"]["X-B"] == ["2", "3"] and event["headers"]["X-A"] == "1"
        context = event["requestContext"]
        assert (context["stage"], context["path"]) == ("test-invoke-stage", "/pets/7")
        assert (context["domainPrefix"], context["domainName"]) == ("testPrefix", "testPrefix.testDomainName")
        identity = context["identity"]
        assert (identity["apiKey"], identity["apiKeyId"]) == ("test-invoke-api-key", "test-invoke-api-key-id")
        assert identity["sourceIp"] == "test-invoke-source-ip"
        assert identity["userArn"] == f"arn:aws:iam::{ACCOUNT}:root"
        texts = self.parse(answer)
        uri = f"https://lambda.{REGION}.amazonaws.com/2015-03-31/functions/{arn}/invocations"
        assert f"Endpoint request URI: {uri}" in texts and f"Sending request to {uri}" in texts
        (headers,) = [text for text in texts if text.startswith("Endpoint request headers: {X-Amz-Date=")]
        source = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/test-invoke-stage/GET/pets/{{id}}"
        assert f"X-Amz-Source-Arn={source}" in headers
        (event,) = [text for text in texts if text.startswith("Endpoint request body after transformations: ")]
        assert len(event) == 1024 + len(" [TRUNCATED]") and event.endswith(" [TRUNCATED]")
        assert texts[-2:] == ["Successfully completed execution", "Method completed with status: 201"]

    def test_functions_that_fail(self, gateway):
        api = gateway.rest_api()
        arn = function_arn(gateway)
        for path in ("/broken", "/malformed"):
            api.proxy("GET", path, lambda_uri(arn), kind="AWS_PROXY")
        api.proxy("GET", "/missing", lambda_uri(arn.replace(":pets", ":cats")), kind="AWS_PROXY")
        broken = self.invoke(api, "/broken")
        assert broken["status"] == 502 and broken["body"] == '{"message": "Internal server error"}'
        assert broken["headers"] == {"x-amzn-ErrorType": "InternalServerErrorException"}
        assert re.fullmatch(
            "Lambda execution failed with status 200 due to customer function error: no such pet. Lambda request id: "
            "[0-9a-f-]{36}",
            self.parse(broken)[-2],
        )
        expected = {"/malformed": ("Malformed Lambda proxy response", 502), "/missing": ("Invalid permissions on Lambda function", 500)}
        for path, (text, status) in expected.items():
            answer = self.invoke(api, path)
            assert answer["status"] == status
            assert self.parse(answer)[-2] == f"Execution failed due to configuration error: {text}"

    def test_who_may_call_is_not_asked(self, gateway):
        api = gateway.rest_api()
        api.mock("GET", "/", "open")
        patch = [
            {"op": "replace", "path": "/authorizationType", "value": "AWS_IAM"},
            {"op": "replace", "path": "/apiKeyRequired", "value": "true"},
        ]
        api.client.update_method(restApiId=api.id, resourceId=api.resource("/"), httpMethod="GET", patchOperations=patch)
        answer = self.invoke(api, "/")
        assert (answer["status"], answer["body"]) == (200, "open")

    def test_validation_and_selection(self, gateway):
        api = gateway.rest_api()
        api.mock("POST", "/", "fine")
        client, where = api.client, {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
        client.create_model(
            restApiId=api.id, name="Note", contentType="application/json",
            schema='{"type": "object", "required": ["NoteId"]}',
        )  # fmt: skip
        validator = client.create_request_validator(restApiId=api.id, name="body", validateRequestBody=True)["id"]
        patch = [
            {"op": "add", "path": "/requestModels/application~1json", "value": "Note"},
            {"op": "replace", "path": "/requestValidatorId", "value": validator},
        ]
        client.update_method(**where, patchOperations=patch)
        answer = self.invoke(api, "/", "POST", body="{}")
        assert answer["status"] == 400 and answer["body"] == '{"message": "Invalid request body"}'
        assert answer["headers"] == {"x-amzn-ErrorType": "BadRequestException"}
        texts = self.parse(answer)
        assert texts[-2].startswith("Request body does not match model schema for content type application/json: [")
        assert texts[-1] == "Method completed with status: 400"
        answer = self.invoke(api, "/", "POST", body='{"NoteId": 1}')
        assert answer["status"] == 200
        assert "Request validation succeeded for content type application/json" in self.parse(answer)
        # No response fits any more.
        client.delete_integration_response(**where, statusCode="200")
        answer = self.invoke(api, "/", "POST", body='{"NoteId": 1}')
        assert answer["status"] == 500
        assert self.parse(answer)[-2].startswith(
            "Execution failed due to configuration error: No match for output mapping and no default output mapping "
            "configured. Endpoint Response Status Code: 200"
        )

    def test_what_cannot_be_called(self, gateway):
        api = gateway.rest_api()
        api.method("GET", "/")
        for options, code, message in [
            ({"resourceId": "none"}, "NotFoundException", "Invalid Resource identifier specified"),
            ({"httpMethod": "PUT"}, "NotFoundException", "Invalid Method identifier specified"),
            ({}, "BadRequestException", "No integration defined for method"),
        ]:
            with pytest.raises(botocore.exceptions.ClientError) as error:
                api.client.test_invoke_method(
                    **{"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET", **options}
                )
            assert error.value.response["Error"]["Code"] == code
            assert message in error.value.response["Error"]["Message"]


class TestTestInvokeAuthorizer:
    def authorizer(self, gateway, api, kind="TOKEN", source="method.request.header.Authorization", code=GUARD, **options):
        arn = function_arn(gateway, "guard", code)
        return api.client.create_authorizer(
            restApiId=api.id, name="guard", type=kind, identitySource=source, authorizerUri=lambda_uri(arn), **options
        )["id"]

    def test_what_a_function_says(self, gateway):
        api = gateway.rest_api()
        guard = self.authorizer(gateway, api)
        answer = api.client.test_invoke_authorizer(
            restApiId=api.id, authorizerId=guard, headers={"Authorization": "secret-token"}, pathWithQueryString="/pets"
        )
        assert (answer["clientStatus"], answer["principalId"]) == (200, "ann-the-caller")
        assert json.loads(answer["policy"])["Statement"][0]["Effect"] == "Deny"  # told, and held against nothing
        texts = TestTestInvokeMethod.parse(answer)
        assert texts[0].startswith(f"Starting authorizer: {guard} for request: ")
        assert texts[1] == "Incoming identity: ******-token"
        assert texts[2].startswith(f"Endpoint request URI: https://lambda.{REGION}.amazonaws.com/2015-03-31/functions/arn:")
        event = json.loads(texts[3].removeprefix("Endpoint request body after transformations: "))
        arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/ESTestInvoke-stage/GET/pets"
        assert event == {"type": "TOKEN", "methodArn": arn, "authorizationToken": "secret-token"}
        assert texts[4].startswith("Sending request to https://lambda.")
        assert texts[5].startswith('Authorizer result body before parsing: {"principalId":"ann-the-caller"')
        assert texts[6:] == [
            "Using valid authorizer policy for principal: ********caller", "Successfully completed authorizer execution",
        ]  # fmt: skip

    def test_refusals_and_failures(self, gateway):
        api = gateway.rest_api()
        guard = self.authorizer(gateway, api, "REQUEST", "method.request.header.X-Who")

        def ask(**headers):
            answer = api.client.test_invoke_authorizer(restApiId=api.id, authorizerId=guard, headers=headers)
            assert "principalId" not in answer and "policy" not in answer
            return answer["clientStatus"], TestTestInvokeMethod.parse(answer)

        status, texts = ask()
        assert status == 401 and texts[-1].startswith("Unauthorized request: ")
        status, texts = ask(**{"X-Who": "nobody"})
        assert status == 401 and texts[1] == "Incoming identity: {method.request.header.X-Who=******}"
        status, texts = ask(**{"X-Who": "broken"})
        assert status == 500 and texts[-1] == "AuthorizerConfigurationException"
        assert texts[-2].startswith("Execution failed due to configuration error: ")

    def test_additional_context(self, gateway):
        api = gateway.rest_api()
        sources = "context.identity.sourceIp,context.identity.accountId,context.httpMethod"
        told = """exports.handler = async ({requestContext: {identity}}) =>
            ({principalId: identity.sourceIp + " " + identity.accountId, policyDocument: {Statement: []}});"""
        guard = self.authorizer(gateway, api, "REQUEST", sources, told, authorizerResultTtlInSeconds=300)
        asked = {"restApiId": api.id, "authorizerId": guard, "headers": {"X-Who": "ann"}}
        context = {"context.identity.sourceIp": "192.0.2.7", "$context.identity.accountId": "111122223333"}
        answer = api.client.test_invoke_authorizer(**asked, additionalContext=context)
        assert (answer["clientStatus"], answer.get("principalId")) == (200, "192.0.2.7 111122223333"), answer
        # A source that is said to be empty is as good as missing.
        answer = api.client.test_invoke_authorizer(**asked, additionalContext={"httpMethod": ""})
        assert answer["clientStatus"] == 401, answer

    def test_what_cannot_be_asked(self, gateway):
        api = gateway.rest_api()
        with pytest.raises(botocore.exceptions.ClientError) as error:
            api.client.test_invoke_authorizer(restApiId=api.id, authorizerId="none00")
        assert error.value.response["Error"] == {
            "Code": "NotFoundException", "Message": "Invalid Authorizer identifier specified",
        }  # fmt: skip


class TestMetrics:
    def samples(self, gateway):
        answer = requests.get(gateway.control + "/_stagedoor/metrics", timeout=10)
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def test_counts_of_a_stage_and_a_method(self, gateway, echo):
        api = gateway.rest_api(name='pets "and" more')
        api.proxy("GET", "/pets/{id}", echo.url + "/status/418")
        api.mock("GET", "/", "x")
        api.proxy("GET", "/closed", "http://127.0.0.1:1/")
        api.deploy()
        patch = [{"op": "replace", "path": "/pets~1{id}/GET/metrics/enabled", "value": "true"}]
        of = f'api_name="pets \\"and\\" more",api_id="{api.id}",stage="test"'
        before = self.samples(gateway)
        api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)
        for path in ("/", "/pets/1", "/pets/2", "/none", "/closed"):
            api.call("GET", path)
        now = self.samples(gateway)

        def grown(name):
            return now[f"{name}{{{of}}}"] - before.get(f"{name}{{{of}}}", 0)

        assert grown("aws_apigateway_count_total") == 5
        assert grown("aws_apigateway_4xxerror_total") == 3
        assert grown("aws_apigateway_5xxerror_total") == 1
        assert grown("aws_apigateway_latency_milliseconds_count") == 5
        assert grown("aws_apigateway_integration_latency_milliseconds_count") == 3
        assert grown("aws_apigateway_latency_milliseconds_sum") > 0
        method = f'{of},method="GET",resource="/pets/{{id}}"'
        assert now[f"aws_apigateway_method_count_total{{{method}}}"] == 2
        assert now[f"aws_apigateway_method_4xxerror_total{{{method}}}"] == 2
        assert sum(name.startswith("aws_apigateway_method_count_total") for name in now) == 1
        assert now["stagedoor_log_lines_dropped_total"] == 0

    def test_numbers_go_with_their_stage(self, gateway):
        api = gateway.rest_api()
        api.mock("GET", "/", "x")
        api.deploy()
        api.call("GET", "/")
        assert any(api.id in name for name in self.samples(gateway))
        api.client.delete_rest_api(restApiId=api.id)
        eventually(lambda: not any(api.id in name for name in self.samples(gateway)), what="the numbers gone")
