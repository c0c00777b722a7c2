"""What a client sees when a request fails: AWS's own answers, and what an API makes of them."""

import json

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from harness import ACCOUNT, REGION, body_json, free_port, lambda_uri

# How each type is provoked (see `Failing`): the call, AWS's status, message and error type.
OWN_ANSWERS = {
    "MISSING_AUTHENTICATION_TOKEN": ("/nowhere", 403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
    "BAD_REQUEST_PARAMETERS": ("/validated", 400, "Missing required request parameters: [q]", "BadRequestException"),
    "BAD_REQUEST_BODY": ("/validated?q=1", 400, "Invalid request body", "BadRequestException"),
    "INVALID_API_KEY": ("/keyed", 403, "Forbidden", "ForbiddenException"),
    "THROTTLED": ("/throttled", 429, "Too Many Requests", "TooManyRequestsException"),
    "UNAUTHORIZED": ("/guarded", 401, "Unauthorized", "UnauthorizedException"),
    "AUTHORIZER_CONFIGURATION_ERROR": ("/guarded", 500, None, "AuthorizerConfigurationException"),
    "INVALID_SIGNATURE": ("/signed", 403, ..., ...),
    "ACCESS_DENIED": ("/denied", 403, ..., "AccessDeniedException"),
    "UNSUPPORTED_MEDIA_TYPE": ("/json", 415, "Unsupported Media Type", "BadRequestException"),
    "API_CONFIGURATION_ERROR": ("/broken", 500, "Internal server error", "InternalServerErrorException"),
    "INTEGRATION_FAILURE": ("/unreachable", 504, "Network error communicating with endpoint", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": ("/slow", 504, "Endpoint request timed out", "InternalServerErrorException"),
    "DEFAULT_5XX": ("/template", 500, "Internal server error", "InternalServerErrorException"),
    "REQUEST_TOO_LARGE": ("/json", 413, "Request Too Long", "RequestTooLargeException"),
}  # fmt: skip
CUSTOMISABLE = sorted(OWN_ANSWERS.keys() - {"REQUEST_TOO_LARGE"})
SENT = {
    "AUTHORIZER_CONFIGURATION_ERROR": {"headers": {"Authorization": "a token"}},
    "UNSUPPORTED_MEDIA_TYPE": {"headers": {"Content-Type": "text/plain"}, "data": b"text"},
    "BAD_REQUEST_BODY": {"data": b"{}"},
    "REQUEST_TOO_LARGE": {"data": b"a" * (10 * 1024 * 1024 + 1)},
}


class Failing:
    """An API with a method for each way to fail, on the stage `test`."""

    def __init__(self, gateway, raw_origin):
        self.api, self.client = gateway.rest_api(policy=json.dumps(self.policy())), gateway.client()
        for path in "/validated", "/keyed", "/throttled", "/guarded", "/signed", "/denied":
            self.api.mock("POST", path, "fine")
        self.update("/keyed", "/apiKeyRequired", "true")
        self.update("/signed", "/authorizationType", "AWS_IAM")
        self.validate()
        nobody = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nobody"
        authorizer = self.client.create_authorizer(
            restApiId=self.api.id, name="a", type="TOKEN", authorizerUri=lambda_uri(nobody),
            identitySource="method.request.header.Authorization",
        )["id"]  # fmt: skip
        self.update("/guarded", "/authorizationType", "CUSTOM", "/authorizerId", authorizer)
        self.mock("/json", '{"statusCode": 200}', passthroughBehavior="NEVER")
        self.mock("/broken", "no object")
        self.mock("/template", '#set($s = "a")$s.substring(5){"statusCode": 200}')
        self.api.proxy("POST", "/unreachable", f"http://127.0.0.1:{free_port()}")
        self.api.proxy("POST", "/slow", raw_origin(lambda link: link.recv(1 << 20) and link.recv(1)).url, timeoutInMillis=50)

    def policy(self):
        everything = {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"}
        denied = everything | {"Effect": "Deny", "Resource": "execute-api:/*/POST/denied"}
        return {"Version": "2012-10-17", "Statement": [everything, denied]}

    def update(self, path, *values):
        where = {"restApiId": self.api.id, "resourceId": self.api.resource(path), "httpMethod": "POST"}
        patches = [{"op": "replace", "path": member, "value": value} for member, value in zip(values[::2], values[1::2])]
        self.client.update_method(**where, patchOperations=patches)

    def validate(self):
        schema = {"$schema": "http://json-schema.org/draft-04/schema#", "type": "object", "required": ["name"]}
        self.client.create_model(
            restApiId=self.api.id, name="Named", contentType="application/json", schema=json.dumps(schema)
        )
        validator = self.client.create_request_validator(
            restApiId=self.api.id, name="all", validateRequestBody=True, validateRequestParameters=True
        )["id"]
        where = {"restApiId": self.api.id, "resourceId": self.api.resource("/validated"), "httpMethod": "POST"}
        values = {
            "/requestValidatorId": ("replace", validator),
            "/requestParameters/method.request.querystring.q": ("add", "true"),
            "/requestModels/application~1json": ("add", "Named"),
        }
        patches = [{"op": op, "path": path, "value": value} for path, (op, value) in values.items()]
        self.client.update_method(**where, patchOperations=patches)

    def mock(self, path, template, **options):
        self.api.mock("POST", path, "fine")
        where = {"restApiId": self.api.id, "resourceId": self.api.resource(path), "httpMethod": "POST"}
        self.client.put_integration(**where, type="MOCK", requestTemplates={"application/json": template}, **options)
        self.client.put_integration_response(**where, statusCode="200")

    def change(self, kind, **options):
        self.client.put_gateway_response(restApiId=self.api.id, responseType=kind, **options)

    def deploy(self):
        self.api.deploy()
        throttle = [
            {"op": "replace", "path": "/~1throttled/POST/throttling/rateLimit", "value": "0"},
            {"op": "replace", "path": "/~1throttled/POST/throttling/burstLimit", "value": "0"},
        ]
        self.client.update_stage(restApiId=self.api.id, stageName="test", patchOperations=throttle)
        return self

    def fail(self, kind, **headers):
        options = dict(SENT.get(kind, {}))
        if kind == "INVALID_SIGNATURE":
            headers |= self.signed_wrongly()
        headers = {**options.pop("headers", {}), **headers}
        return self.api.call("POST", OWN_ANSWERS[kind][0], headers=headers, **options)

    def signed_wrongly(self):
        """By a known key, but another path."""
        url = f"http://{self.api.id}.execute-api.localhost:{self.api.gateway.traffic_port}/test/other"
        request = botocore.awsrequest.AWSRequest("POST", url, data=b"")
        key = botocore.credentials.Credentials("nobody", "nothing")
        botocore.auth.SigV4Auth(key, "execute-api", REGION).add_auth(request)
        return dict(request.headers)


@pytest.fixture
def failing(gateway, raw_origin):
    return Failing(gateway, raw_origin)


def test_aws_own_answers(failing):
    failing.deploy()
    for kind, (_, status, message, error_type) in OWN_ANSWERS.items():
        answer = failing.fail(kind)
        body = body_json(answer)
        assert answer.status_code == status, (kind, answer.text)
        # AWS writes this one differently from all others.
        (name, found), = body.items()
        assert name == ("Message" if kind == "ACCESS_DENIED" else "message"), kind
        assert message is ... or found == message, (kind, found)
        assert answer.headers["Content-Type"] == "application/json"
        assert error_type is ... or answer.headers["x-amzn-ErrorType"] == error_type, (kind, answer.headers)
        assert answer.headers["x-amzn-RequestId"] and answer.headers["x-amz-apigw-id"]


EXECUTION = {
    "BAD_REQUEST_PARAMETERS", "BAD_REQUEST_BODY", "UNSUPPORTED_MEDIA_TYPE", "API_CONFIGURATION_ERROR", "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT", "DEFAULT_5XX",
}  # fmt: skip


def test_what_executes_a_method_writes_with_a_space_and_tells_of_its_trace(failing):
    failing.deploy()
    for kind in OWN_ANSWERS:
        answer = failing.fail(kind)
        assert answer.text.startswith('{"message": ' if kind in EXECUTION else ('{"message":', '{"Message":')), (kind, answer.text)
        assert (": " in answer.text[:12]) == (kind in EXECUTION), (kind, answer.text)
        # HTTP_PROXY and MOCK tell of no trace.
        assert ("X-Amzn-Trace-Id" in answer.headers) == kind.startswith("BAD_REQUEST"), kind
    # What the API changed is written in AWS's form of a gateway response.
    failing.change("BAD_REQUEST_BODY", responseParameters={"gatewayresponse.header.x": "'y'"})
    failing.deploy()
    assert failing.fail("BAD_REQUEST_BODY").text == '{"message":"Invalid request body"}'


def test_each_type_with_a_status_headers_and_a_template_of_its_own(failing):
    for number, kind in enumerate(CUSTOMISABLE):
        status = (500 if kind == "DEFAULT_5XX" else 400) + number + 20
        failing.change(
            kind,
            statusCode=str(status),
            responseParameters={
                "gatewayresponse.header.X-Fixed": "'kept as it is'",
                "gatewayresponse.header.X-Type": "context.error.responseType",
                "gatewayresponse.header.X-Sent": "method.request.header.X-Sent",
                "gatewayresponse.header.X-Asked": "method.request.querystring.asked",
                "gatewayresponse.header.Access-Control-Allow-Origin": "'*'",
            },
            responseTemplates={
                "application/json": '{"m":$context.error.messageString,"t":"$context.error.responseType","p":"$context.resourcePath"}',
            },
        )
    failing.deploy()
    for number, kind in enumerate(CUSTOMISABLE):
        answer = failing.fail(kind, **{"X-Sent": "by the client"})
        assert answer.status_code == (500 if kind == "DEFAULT_5XX" else 400) + number + 20, kind
        headers = answer.headers
        assert headers["X-Fixed"] == "kept as it is" and headers["Access-Control-Allow-Origin"] == "*", kind
        assert headers["X-Type"] == kind and headers["X-Sent"] == "by the client", kind
        body = body_json(answer)
        assert body["t"] == kind, body
        message = OWN_ANSWERS[kind][2]
        assert message is ... or body["m"] == message, body
        if kind != "MISSING_AUTHENTICATION_TOKEN":
            assert body["p"] == OWN_ANSWERS[kind][0].partition("?")[0]


def test_defaults_are_inherited_and_what_is_set_itself_wins(failing):
    failing.change("DEFAULT_4XX", statusCode="418", responseTemplates={"application/json": '{"family":"4"}'},
                   responseParameters={"gatewayresponse.header.X-Family": "'4'"})  # fmt: skip
    failing.change("DEFAULT_5XX", statusCode="599", responseTemplates={"application/json": '{"family":"5"}'})
    failing.change("UNAUTHORIZED", statusCode="499", responseTemplates={"application/json": '{"own":true}'})
    failing.deploy()
    for kind, (_, status, *_) in OWN_ANSWERS.items():
        answer = failing.fail(kind)
        found = answer.status_code, body_json(answer), answer.headers.get("X-Family")
        if kind == "REQUEST_TOO_LARGE":  # AWS lets nobody change it
            assert found == (413, {"message": "Request Too Long"}, None)
        elif kind == "UNAUTHORIZED":
            assert found == (499, {"own": True}, None)
        else:
            expected = (418, {"family": "4"}, "4") if status < 500 else (599, {"family": "5"}, None)
            assert found == expected, kind


def test_the_status_alone_may_be_changed(failing):
    failing.change("MISSING_AUTHENTICATION_TOKEN", statusCode="404")
    failing.deploy()
    answer = failing.fail("MISSING_AUTHENTICATION_TOKEN")
    assert (answer.status_code, body_json(answer)) == (404, {"message": "Missing Authentication Token"})


def test_accept_chooses_among_templates(failing):
    templates = {"application/json": '{"json":"Missing Authentication Token"}', "application/xml": "<xml/>"}
    failing.change("MISSING_AUTHENTICATION_TOKEN", statusCode="403", responseTemplates=templates)
    failing.deploy()
    for accept, media_type, text in [("application/xml", "application/xml", "<xml/>"),
                                     ("application/json", "application/json", '{"json":"Missing Authentication Token"}'),
                                     ("*/*", "application/json", '{"json":"Missing Authentication Token"}')]:  # fmt: skip
        answer = failing.fail("MISSING_AUTHENTICATION_TOKEN", Accept=accept)
        assert (answer.headers["Content-Type"], answer.text) == (media_type, text), accept


def test_what_was_wrong_with_a_body_is_told_to_who_asks(failing):
    failing.change("BAD_REQUEST_BODY", statusCode="400",
                   responseTemplates={"application/json": '{"why":"$context.error.validationErrorString"}'})  # fmt: skip
    failing.deploy()
    # In the words of AWS's validator, escaped so that the template's text stays JSON.
    assert failing.fail("BAD_REQUEST_BODY").json() == {"why": '[object has missing required properties (["name"])]'}


def test_deleting_one_brings_aws_own_back(failing):
    failing.change("MISSING_AUTHENTICATION_TOKEN", statusCode="404")
    failing.deploy()
    failing.client.delete_gateway_response(restApiId=failing.api.id, responseType="MISSING_AUTHENTICATION_TOKEN")
    failing.deploy()
    assert failing.fail("MISSING_AUTHENTICATION_TOKEN").status_code == 403


def test_quota(gateway):
    api, client = gateway.rest_api(), gateway.client()
    api.mock("GET", "/", "fine")
    patch = [{"op": "replace", "path": "/apiKeyRequired", "value": "true"}]
    client.update_method(restApiId=api.id, resourceId=api.resource("/"), httpMethod="GET", patchOperations=patch)
    client.put_gateway_response(
        restApiId=api.id, responseType="QUOTA_EXCEEDED", statusCode="402",
        responseParameters={"gatewayresponse.header.Retry-After": "'86400'"},
    )  # fmt: skip
    api.deploy()
    stages = [{"apiId": api.id, "stage": "test"}]
    plan = client.create_usage_plan(name="p", apiStages=stages, quota={"limit": 1, "period": "DAY"})["id"]
    key = client.create_api_key(name="k", enabled=True)
    client.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
    answers = [api.call("GET", "/", headers={"x-api-key": key["value"]}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 402]
    assert body_json(answers[1]) == {"message": "Limit Exceeded"} and answers[1].headers["Retry-After"] == "86400"


def test_all_21_types_are_listed(gateway):
    api = gateway.rest_api()
    found = {item["responseType"] for item in gateway.client().get_gateway_responses(restApiId=api.id)["items"]}
    kinds = set(gateway.client().meta.service_model.shape_for("GatewayResponseType").enum)
    assert len(kinds) == 21 and found == kinds
