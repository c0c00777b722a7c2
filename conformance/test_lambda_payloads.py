"""What a Lambda function may answer to a method, row by row: payload 1.0 and integrations with templates."""

import json

import pytest
from harness import ACCOUNT, REGION, body_json, eventually, lambda_uri
from test_functions import ROLE, create

PROXY = "exports.handler = async (event) => JSON.parse(event.body);"


@pytest.fixture
def proxied(gateway):
    arn = create(gateway, "f", PROXY)
    api = gateway.rest_api(binaryMediaTypes=["image/png"])
    api.proxy("POST", "/", lambda_uri(arn), kind="AWS_PROXY", credentials=ROLE)
    api.deploy()
    return api


def answered(api, result, **options):
    return api.call("POST", "/", data=json.dumps(result), **options)


class TestProxy:
    @pytest.mark.parametrize(
        "result, status, text",
        [
            ({"statusCode": 201, "body": "b"}, 201, "b"),
            ({"statusCode": "202"}, 202, ""),
            ({"statusCode": 200, "body": None}, 200, ""),
            ({"headers": {"x-a": "b"}}, 200, ""),
            ({}, 200, ""),
            ({"statusCode": 200, "body": 7}, 200, "7"),
        ],
    )
    def test_taken(self, proxied, result, status, text):
        answer = answered(proxied, result)
        assert (answer.status_code, answer.text) == (status, text)
        for name in "x-amzn-RequestId", "x-amz-apigw-id", "X-Amzn-Trace-Id":
            assert answer.headers[name]

    @pytest.mark.parametrize(
        "result",
        [
            "bare",
            None,
            [],
            {"statusCode": "many"},
            {"statusCode": 99},
            {"statusCode": 200, "multiValueHeaders": {"a": "no list"}},
            {"statusCode": 200, "wrongValue": "value"},
            {"statusCode": 200, "body": {"no": "text"}},
            {"statusCode": 200, "isBase64Encoded": "perhaps"},
        ],
    )
    def test_refused(self, proxied, result):
        answer = answered(proxied, result)
        assert (answer.status_code, body_json(answer)) == (502, {"message": "Internal server error"})
        assert answer.headers["x-amzn-ErrorType"] == "InternalServerErrorException"

    def test_headers_are_merged_and_the_multiple_win(self, proxied):
        result = {"headers": {"one": "1", "Both": "solo"}, "multiValueHeaders": {"both": ["a", "b"], "many": ["x", "y"]}}
        headers = answered(proxied, result).headers
        assert (headers["one"], headers["many"], headers["both"]) == ("1", "x, y", "a, b, solo")

    def test_base64_is_decoded_for_binary_media_types_alone(self, proxied):
        result = {"body": "dGVzdC1kYXRh", "isBase64Encoded": True, "headers": {"Content-Type": "image/png"}}
        assert answered(proxied, result).text == "dGVzdC1kYXRh"
        assert answered(proxied, result, headers={"Accept": "image/png"}).text == "test-data"

    def test_base64_is_told_by_the_name_that_javas_beans_have_too(self, proxied):
        """Libraries of functions in Java write the member without its first word, and users see AWS take it."""
        result = {"body": "dGVzdC1kYXRh", "base64Encoded": True, "headers": {"Content-Type": "image/png"}}
        assert answered(proxied, result, headers={"Accept": "image/png"}).text == "test-data"
        both = {**result, "isBase64Encoded": True, "base64Encoded": "false"}
        assert answered(proxied, both, headers={"Accept": "image/png"}).text == "dGVzdC1kYXRh"

    def test_events_tell_the_operation_that_a_method_names(self, gateway):
        echo = create(gateway, "echo", "exports.handler = async (e) => ({body: JSON.stringify(e.requestContext)});")
        allow = """exports.handler = async (e) => ({principalId: 'u', context: {seen: String(e.requestContext.operationName)},
          policyDocument: {Statement: [{Action: 'execute-api:Invoke', Effect: 'Allow', Resource: e.methodArn}]}});"""
        api = gateway.rest_api()
        authorizer = api.client.create_authorizer(
            restApiId=api.id, name="a", type="REQUEST", authorizerUri=lambda_uri(create(gateway, "allow", allow)),
            authorizerCredentials=ROLE, authorizerResultTtlInSeconds=0, identitySource="method.request.header.Host",
        )["id"]  # fmt: skip
        named = {"operationName": "ListPets", "authorizationType": "CUSTOM", "authorizerId": authorizer}
        for path, options in ("/named", named), ("/other", {}):
            api.proxy("GET", path, lambda_uri(echo), kind="AWS_PROXY", credentials=ROLE, method_options=options)
        api.mock("GET", "/mock", "$context.operationName|")
        api.deploy()
        context = api.call("GET", "/named").json()
        assert (context["operationName"], context["authorizer"]["seen"]) == ("ListPets", "ListPets")
        assert "operationName" not in api.call("GET", "/other").json()
        where = {"restApiId": api.id, "resourceId": api.resource("/mock"), "httpMethod": "GET"}
        patch = [{"op": "replace", "path": "/operationName", "value": "Mocked"}]
        assert api.client.update_method(**where, patchOperations=patch)["operationName"] == "Mocked"
        api.deploy()
        assert api.call("GET", "/mock").text == "Mocked|"


class TestTemplates:
    def integration(self, api, arn, responses, **options):
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
        api.proxy("POST", "/", lambda_uri(arn), kind="AWS", credentials=ROLE, **options)
        for status, pattern in responses.items():
            api.client.put_method_response(**where, statusCode=status)
            api.client.put_integration_response(**where, statusCode=status, **pattern)
        api.deploy()

    def test_selection_patterns_read_the_error_message(self, gateway):
        arn = create(gateway, "f", "exports.handler = async (e) => { if (e.error) throw new Error(e.error); return e; };")
        api = gateway.rest_api()
        templates = {"responseTemplates": {"application/json": "$input.path('$.errorMessage')"}}
        self.integration(
            api, arn, {"200": {}, "404": {"selectionPattern": ".*not found.*", **templates}}
        )
        assert (answered(api, {"a": 1}).status_code, answered(api, {"a": 1}).json()) == (200, {"a": 1})
        missing = answered(api, {"error": "pet 7 not found"})
        assert (missing.status_code, missing.text) == (404, "pet 7 not found")
        assert answered(api, {"error": "something else"}).status_code == 200

    def test_an_invocation_type_of_event_waits_for_nothing(self, gateway, tmp_path):
        source = f"""exports.handler = async (event) => {{
          await new Promise((done) => setTimeout(done, 300));
          require('fs').writeFileSync('{tmp_path}/ran', JSON.stringify(event));
        }};"""
        arn = create(gateway, "f", source)
        api = gateway.rest_api()
        event = {"integration.request.header.X-Amz-Invocation-Type": "'Event'"}
        self.integration(api, arn, {"200": {}}, requestParameters=event)
        assert answered(api, {"a": 1}).status_code == 200 and not (tmp_path / "ran").exists()
        assert json.loads(eventually(lambda: (tmp_path / "ran").read_text())) == {"a": 1}

    def test_an_event_that_is_no_json_is_refused_as_by_lambda(self, gateway, tmp_path):
        arn = create(gateway, "f", f"exports.handler = async () => require('fs').writeFileSync('{tmp_path}/ran', '');")
        api = gateway.rest_api()
        self.integration(api, arn, {"200": {}})
        answer = api.call("POST", "/", data=b"token=a'b/c", headers={"Content-Type": "application/x-www-form-urlencoded"})
        message = (
            "Could not parse request body into json: Could not parse payload into json: Unrecognized token 'token': was "
            "expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')\n at [Source: (byte[])"
            "\"token=a'b/c\"; line: 1, column: 7]"
        )
        # AWS escapes it for JavaScript, with single quotes and slashes, which is no JSON.
        escaped = message.replace('"', '\\"').replace("\n", "\\n").replace("'", "\\'").replace("/", "\\/")
        assert (answer.status_code, answer.text) == (400, '{"message": "' + escaped + '"}')
        assert answer.headers["x-amzn-ErrorType"] == "BadRequestException"
        api.client.put_gateway_response(
            restApiId=api.id, responseType="DEFAULT_4XX", statusCode="422",
            responseTemplates={"application/json": "$context.error.messageString"},
        )
        api.deploy()
        answer = api.call("POST", "/", data=b"token=a'b/c", headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert (answer.status_code, answer.json()) == (422, message)
        test = api.client.test_invoke_method(
            restApiId=api.id, resourceId=api.resource("/"), httpMethod="POST", body="token=a'b/c",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        lines = [line.split(" : ", 1)[-1] for line in test["log"].splitlines()]
        assert any(line.startswith("Lambda invocation failed with status: 400. Lambda request id: ") for line in lines)
        assert any(line.startswith('Endpoint response body before transformations: {"Type":"User","message":"Could') for line in lines)
        assert any(line.startswith("Execution failed due to configuration error: Could not parse request body") for line in lines)
        assert lines[-1] == "Method completed with status: 422"
        assert not (tmp_path / "ran").exists()

    def test_what_java_reads_is_json_for_a_function(self, gateway):
        arn = create(gateway, "f", "exports.handler = async (event) => typeof event.a;")
        api = gateway.rest_api()
        self.integration(api, arn, {"200": {}})
        deep = '{"a": ' + "[" * 300 + "]" * 300 + "}"
        for body in ('{"a": "\\ud800"}', '{"a": 1e400}', deep):
            assert api.call("POST", "/", data=body).status_code == 200, body

    def test_lambdas_answer_has_headers(self, gateway):
        arn = create(gateway, "f", "exports.handler = async (e) => { if (e.error) throw new Error(e.error); return e; };")
        api = gateway.rest_api()
        names = ("Date", "Content-Type", "Content-Length", "Connection", "x-amzn-RequestId", "x-amzn-Remapped-Content-Length",
                 "X-Amz-Function-Error", "X-Amz-Executed-Version", "X-Amzn-Trace-Id")  # fmt: skip
        mapped = {f"method.response.header.is-{name}": f"integration.response.header.{name}" for name in names}
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
        api.proxy("POST", "/", lambda_uri(arn), kind="AWS", credentials=ROLE)
        declared = dict.fromkeys(mapped, False)
        api.client.put_method_response(**where, statusCode="200", responseParameters=declared)
        api.client.put_integration_response(**where, statusCode="200", responseParameters=mapped)
        api.deploy()
        answer = answered(api, {"a": 1})
        found = {name: answer.headers.get(f"is-{name}", "") for name in names}
        assert found["Content-Type"] == "application/json" and found["Content-Length"] == str(len('{"a":1}'))
        assert found["X-Amz-Executed-Version"] == "$LATEST" and found["Connection"] == "keep-alive"
        assert found["x-amzn-Remapped-Content-Length"] == "0" and found["Date"].endswith(" GMT")
        assert len(found["x-amzn-RequestId"]) == 36 and found["X-Amzn-Trace-Id"].startswith("Root=1-")
        assert found["X-Amz-Function-Error"] == ""
        assert answered(api, {"error": "x"}).headers["is-X-Amz-Function-Error"] == "Unhandled"

    @pytest.mark.parametrize("kind", ["AWS", "AWS_PROXY"])
    def test_a_function_without_concurrency_left(self, gateway, kind):
        arn = create(gateway, "f", PROXY)
        gateway.client("lambda").put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
        api = gateway.rest_api()
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
        api.proxy("POST", "/", lambda_uri(arn), kind=kind, credentials=ROLE)
        if kind == "AWS":
            api.client.put_method_response(**where, statusCode="200")
            api.client.put_integration_response(**where, statusCode="200")
        api.deploy()
        answer = answered(api, {})
        assert (answer.status_code, answer.text) == (500, '{"message": "Internal server error"}')
        assert answer.headers["x-amzn-ErrorType"] == "InternalServerErrorException" and answer.headers["X-Amzn-Trace-Id"]
        log = api.client.test_invoke_method(**where, body="{}")["log"]
        lines = [line.split(" : ", 1)[-1] for line in log.splitlines()][-3:]
        assert lines[0].startswith("Lambda invocation failed with status: 429. Lambda request id: ")
        assert lines[1:] == ["Execution failed due to configuration error: Rate Exceeded.", "Method completed with status: 500"]
        api.client.put_gateway_response(restApiId=api.id, responseType="INTEGRATION_FAILURE", statusCode="429")
        api.deploy()
        assert answered(api, {}).status_code == 429

    def test_only_functions_may_be_proxied(self, gateway):
        api = gateway.rest_api()
        uri = f"arn:aws:apigateway:{REGION}:sqs:path/{ACCOUNT}/queue"
        with pytest.raises(api.client.exceptions.BadRequestException) as refused:
            api.proxy("GET", "/", uri, kind="AWS_PROXY")
        assert "AWS_PROXY" in str(refused.value)


def test_a_function_that_takes_longer_than_the_integration_waits(gateway):
    arn = create(gateway, "f", "exports.handler = () => new Promise((done) => setTimeout(done, 5000));")
    api = gateway.rest_api()
    api.proxy("GET", "/", lambda_uri(arn), kind="AWS_PROXY", credentials=ROLE, timeoutInMillis=200)
    api.deploy()
    answer = api.call("GET", "/")
    assert (answer.status_code, body_json(answer)) == (504, {"message": "Endpoint request timed out"})
