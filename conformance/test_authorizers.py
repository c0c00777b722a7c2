"""Lambda authorizers of REST APIs: who is let through, what is remembered, and what the backend learns."""

import concurrent.futures
import json

import pytest
from authorization import Guarded, function
from harness import ACCOUNT, REGION, body_json, eventually, lambda_uri

EXPLICIT = "User is not authorized to access this resource with an explicit deny in an identity-based policy"
IMPLICIT = (
    "User is not authorized to access this resource because no identity-based policy allows the execute-api:Invoke action"
)
UNAUTHORIZED = (401, {"message": "Unauthorized"})
MISCONFIGURED = (500, {"message": None})


class TestToken:
    def test_each_answer(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        assert api.answer(Authorization="allow") == (200, "fine/a")
        assert api.answer() == UNAUTHORIZED
        assert api.answer(Authorization="") == UNAUTHORIZED
        assert api.answer(Authorization="unauthorized") == UNAUTHORIZED
        assert api.answer(Authorization="deny") == (403, {"Message": EXPLICIT})
        assert api.answer(Authorization="elsewhere") == (403, {"Message": IMPLICIT})
        for token in "fail", "garbage", "bad-context", "no-principal", "long":
            assert api.answer(Authorization=token) == MISCONFIGURED, token
        for token, name in {"deny": "AccessDeniedException", "unauthorized": "UnauthorizedException",
                            "garbage": "AuthorizerConfigurationException"}.items():  # fmt: skip
            assert api.get(Authorization=token).headers["x-amzn-ErrorType"] == name

    def test_event(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        api.get(Authorization="allow")
        arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.api.id}/test/GET/a"
        expected = {"type": "TOKEN", "methodArn": arn, "authorizationToken": "allow"}
        assert [json.loads(call) for call in api.calls()] == [expected]

    def test_policies_are_remembered_and_asked_for_each_method(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        assert api.answer("/a", Authorization="only-a")[0] == 200
        assert api.answer("/b", Authorization="only-a") == (403, {"Message": IMPLICIT})
        assert api.answer("/a", Authorization="only-a")[0] == 200
        assert len(api.calls()) == 1
        assert api.answer("/a", Authorization="allow")[0] == 200
        assert len(api.calls()) == 2

    def test_failures_are_not_remembered(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        for token in ["garbage"] * 2 + ["unauthorized"] * 2:
            api.get(Authorization=token)
        assert len(api.calls()) == 4

    def test_a_time_to_live_of_zero_asks_every_time(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path, authorizerResultTtlInSeconds=0)
        assert [api.answer(Authorization="allow")[0] for _ in range(3)] == [200] * 3
        assert len(api.calls()) == 3

    def test_times_to_live(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        where = {"restApiId": api.api.id, "authorizerId": api.authorizer}
        assert "authorizerResultTtlInSeconds" not in api.api.client.get_authorizer(**where), "AWS shows what was set"
        refused = api.api.client.exceptions.BadRequestException
        path = "/authorizerResultTtlInSeconds"
        for seconds in "-1", "3601":
            with pytest.raises(refused, match="between 0 and 3600"):
                patch = [{"op": "replace", "path": path, "value": seconds}]
                api.api.client.update_authorizer(**where, patchOperations=patch)
        for seconds in 3600, 1:
            patch = [{"op": "replace", "path": path, "value": str(seconds)}]
            api.api.client.update_authorizer(**where, patchOperations=patch)
            api.api.deploy()
            before = len(api.calls())
            assert [api.answer(Authorization="allow")[0] for _ in range(3)] == [200] * 3
            if seconds > 1:
                assert len(api.calls()) == before + 1
        eventually(lambda: api.answer(Authorization="allow")[0] == 200 and len(api.calls()) > before + 1, what="its end")

    def test_stages_share_no_answers(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        api.api.deploy("other")
        for stage in "test", "other", "test", "other":
            assert api.api.call("GET", "/a", stage=stage, headers={"Authorization": "allow"}).status_code == 200
        assert [json.loads(call)["methodArn"].split("/")[1] for call in api.calls()] == ["test", "other"]

    def test_flushing(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        api.get(Authorization="allow")
        api.api.client.flush_stage_authorizers_cache(restApiId=api.api.id, stageName="test")
        api.get(Authorization="allow")
        assert len(api.calls()) == 2

    def test_callers_at_the_same_time_share_one_call(self, new_gateway, tmp_path):
        api = Guarded(new_gateway("--workers", "4").start(), tmp_path)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: api.answer(Authorization="allow"), range(32)))
        assert answers == [(200, "fine/a")] * 32
        assert len(api.calls()) == 1

    def test_validation_expression_covers_the_whole_token(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path, identityValidationExpression="al|allow")
        assert api.answer(Authorization="allow")[0] == 200
        for token in "xallow", "allowx", "deny":
            assert api.answer(Authorization=token) == UNAUTHORIZED
        assert len(api.calls()) == 1

    def test_validation_expression_may_look_around(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path, identityValidationExpression=r"(?!x)((?=\w)\w+)+")
        assert api.answer(Authorization="allow")[0] == 200
        for token in "xallow", "a" * 4000 + "!":
            assert api.answer(Authorization=token) == UNAUTHORIZED
        assert len(api.calls()) == 1

    def test_what_templates_see(self, gateway, tmp_path):
        template = "$context.authorizer.principalId $context.authorizer.text $context.authorizer.number.length() $context.authorizer.truth $!context.authorizer.none"
        api = Guarded(gateway, tmp_path, template=template)
        assert api.get(Authorization="allow").text.strip() == "user-allow x 1 true"

    def test_two_tokens_are_none(self, gateway, tmp_path):
        """The function would be told one, and a backend might believe the other."""
        api = Guarded(gateway, tmp_path)
        lines = f"Host: {api.api.id}.execute-api.localhost\r\nConnection: close\r\n"
        for tokens in ["allow", "deny"], ["deny", "allow"], ["allow", "allow"], ["", "allow"]:
            sent = "".join(f"Authorization: {token}\r\n" for token in tokens)
            assert gateway.raw(f"GET /test/a HTTP/1.1\r\n{lines}{sent}\r\n".encode()).startswith(b"HTTP/1.1 401"), tokens
        assert api.calls() == []

    def test_method_arns_have_a_limit(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        api.api.proxy("GET", "/long/{proxy+}", "http://127.0.0.1:1", method_options={
            "authorizationType": "CUSTOM", "authorizerId": api.authorizer})  # fmt: skip
        api.api.deploy()
        assert api.answer("/long/" + "x" * 1600, Authorization="allow") == (414, {"message": "Request URI too long"})

    def test_gateway_responses_can_be_changed(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        api.api.client.put_gateway_response(
            restApiId=api.api.id, responseType="ACCESS_DENIED", statusCode="404",
            responseTemplates={"application/json": '{"who": "$context.authorizer.principalId", "m": $context.error.messageString}'},
        )  # fmt: skip
        api.api.client.put_gateway_response(
            restApiId=api.api.id, responseType="AUTHORIZER_CONFIGURATION_ERROR", statusCode="503"
        )
        api.api.deploy()
        assert api.answer(Authorization="deny") == (404, {"who": "user-deny", "m": EXPLICIT})
        assert api.answer(Authorization="garbage") == (503, {"message": None})

    def test_a_function_that_cannot_take_another_request(self, gateway, tmp_path):
        """AUTHORIZER_FAILURE: nothing is wrong with the authorizer but that it does not answer now."""
        api = Guarded(gateway, tmp_path)
        gateway.client("lambda").put_function_concurrency(FunctionName="authorizer", ReservedConcurrentExecutions=0)
        answer = api.get(Authorization="allow")
        assert answer.status_code == 500 and answer.headers["x-amzn-ErrorType"] == "AuthorizerFailureException"
        api.api.client.put_gateway_response(
            restApiId=api.api.id, responseType="AUTHORIZER_FAILURE", statusCode="503",
            responseParameters={"gatewayresponse.header.Retry-After": "'1'"},
            responseTemplates={"application/json": '{"t":"$context.error.responseType"}'},
        )  # fmt: skip
        api.api.deploy()
        answer = api.get(Authorization="allow")
        assert (answer.status_code, answer.json(), answer.headers["Retry-After"]) == (503, {"t": "AUTHORIZER_FAILURE"}, "1")
        gateway.client("lambda").delete_function_concurrency(FunctionName="authorizer")
        assert api.answer(Authorization="allow")[0] == 200

    def test_a_function_that_does_not_permit_it(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        gateway.client("lambda").remove_permission(FunctionName="authorizer", StatementId="gateway")
        assert api.answer(Authorization="allow") == MISCONFIGURED
        source = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.api.id}/authorizers/{api.authorizer}"
        gateway.client("lambda").add_permission(
            FunctionName="authorizer", StatementId="this", Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com", SourceArn=source,
        )  # fmt: skip
        assert api.answer(Authorization="allow")[0] == 200

    def test_a_function_that_is_not_there(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path)
        gateway.client("lambda").delete_function(FunctionName="authorizer")
        assert api.answer(Authorization="allow") == MISCONFIGURED


class TestRequest:
    def test_event(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path, kind="REQUEST")
        assert api.api.call("GET", "/a?q=1&q=2", headers={"X-Token": "allow"}).status_code == 200
        [event] = [json.loads(call) for call in api.calls()]
        assert (event["type"], event["methodArn"].rsplit("/", 3)[1:]) == ("REQUEST", ["test", "GET", "a"])
        assert (event["resource"], event["path"], event["httpMethod"]) == ("/a", "/a", "GET")
        assert event["headers"]["X-Token"] == "allow" and event["multiValueHeaders"]["X-Token"] == ["allow"]
        assert event["queryStringParameters"] == {"q": "2"}
        assert event["multiValueQueryStringParameters"] == {"q": ["1", "2"]}
        assert event["pathParameters"] == {} and event["stageVariables"] == {}
        assert event["requestContext"]["apiId"] == api.api.id and "body" not in event

    def test_every_identity_source_has_to_be_there(self, gateway, tmp_path):
        source = "method.request.header.X-Token, method.request.querystring.q, context.httpMethod"
        api = Guarded(gateway, tmp_path, kind="REQUEST", identitySource=source)
        assert api.answer("/a?q=1", **{"X-Token": "allow"})[0] == 200
        assert api.answer("/a", **{"X-Token": "allow"}) == UNAUTHORIZED
        assert api.answer("/a?q=", **{"X-Token": "allow"}) == UNAUTHORIZED
        assert api.answer("/a?q=1") == UNAUTHORIZED
        assert len(api.calls()) == 1

    def test_without_a_cache_nothing_is_asked_for(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path, kind="REQUEST", authorizerResultTtlInSeconds=0)
        assert api.answer() == (200, "fine/a")

    @pytest.mark.parametrize(
        "first, second",
        [
            ("/a?q=1&r=23", "/a?q=12&r=3"),
            ("/a?q=1&r=2&q=", "/a?q=1&r=2"),
            ("/a?q=deny&q=1&r=2", "/a?q=1&r=2"),
        ],
    )
    def test_two_identities_share_no_key(self, gateway, tmp_path, first, second):
        source = "method.request.querystring.q, method.request.querystring.r"
        api = Guarded(gateway, tmp_path, kind="REQUEST", identitySource=source)
        for path in first, second:
            api.get(path, **{"X-Token": "allow"})
        events = [json.loads(call)["multiValueQueryStringParameters"] for call in api.calls()]
        assert all(earlier != later for earlier, later in zip(events, events[1:], strict=False))
        assert api.get(second, **{"X-Token": "deny"}).status_code == 200, "remembered by q and r alone"

    def test_repeated_headers_share_no_key(self, gateway, tmp_path):
        api = Guarded(gateway, tmp_path, kind="REQUEST")

        def send(*tokens):
            host = f"{api.api.id}.execute-api.localhost"
            lines = "".join(f"X-Token: {token}\r\n" for token in tokens)
            request = f"GET /test/a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n"
            return int(gateway.raw(request.encode()).split(b" ")[1])

        assert [send("deny", "allow"), send("allow"), send("allow", "deny"), send("deny")] == [200, 200, 403, 403]
        assert len(api.calls()) == 4


def test_the_function_learns_who_calls(gateway, tmp_path):
    api = Guarded(gateway, tmp_path)
    arn = function(gateway, "backend", "import json\ndef handler(event, context):\n    return {'statusCode': 200, 'body': json.dumps(event)}\n")
    api.api.proxy("GET", "/f", lambda_uri(arn), kind="AWS_PROXY", method_options={
        "authorizationType": "CUSTOM", "authorizerId": api.authorizer})  # fmt: skip
    api.api.deploy()
    told = body_json(api.get("/f", Authorization="allow"))["requestContext"]["authorizer"]
    latency = told.pop("integrationLatency")
    assert isinstance(latency, int)
    assert told == {"principalId": "user-allow", "text": "x", "number": "1", "truth": "true"}


def test_mappings_see_the_context(gateway, tmp_path, echo):
    api = Guarded(gateway, tmp_path)
    api.api.proxy(
        "GET", "/h", echo.url, method_options={"authorizationType": "CUSTOM", "authorizerId": api.authorizer},
        requestParameters={"integration.request.header.X-User": "context.authorizer.principalId",
                           "integration.request.header.X-None": "context.authorizer.none"},
    )  # fmt: skip
    api.api.deploy()
    sent = body_json(api.get("/h", Authorization="allow", **{"X-User": "smuggled"}))
    assert sent["headers"]["x-user"] == "user-allow" and "x-none" not in sent["headers"]


def policy(*statements):
    shared = {"Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [shared | statement for statement in statements]})


ALLOW, DENY = {"Effect": "Allow"}, {"Effect": "Deny"}
HERE = {"Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}}
ELSEWHERE = {"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}


class TestResourcePolicy:
    def refusal(self, api, why):
        resource = f"arn:aws:execute-api:{REGION}:********{ACCOUNT[8:]}:{api.id}/test/GET/a"
        message = f"User: anonymous is not authorized to perform: execute-api:Invoke on resource: {resource} {why}"
        return 403, {"Message": message}

    @pytest.mark.parametrize(
        "statements, why",
        [
            ([ALLOW], None),
            ([ALLOW | HERE], None),
            ([ALLOW | ELSEWHERE], "because no resource-based policy allows the execute-api:Invoke action"),
            ([ALLOW, DENY | HERE], "with an explicit deny in a resource-based policy"),
            ([ALLOW, DENY | ELSEWHERE], None),
            (
                [ALLOW | {"Resource": "execute-api:/*/POST/*"}],
                "because no resource-based policy allows the execute-api:Invoke action",
            ),
            (
                [ALLOW | {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}],
                "because no resource-based policy allows the execute-api:Invoke action",
            ),
        ],
    )
    def test_on_its_own(self, gateway, statements, why):
        api = gateway.rest_api(policy=policy(*statements))
        api.mock("GET", "/a", "fine")
        api.deploy_without_waiting()
        answer = api.call("GET", "/a")
        if why is None:
            assert (answer.status_code, answer.text) == (200, "fine")
        else:
            assert (answer.status_code, body_json(answer)) == self.refusal(api, why)
            assert answer.headers["x-amzn-ErrorType"] == "AccessDeniedException"

    def test_with_an_authorizer(self, gateway, tmp_path):
        """An explicit denial comes before the function is asked; either of the two may allow."""
        guarded = Guarded(gateway, tmp_path, policy=policy(ALLOW | ELSEWHERE, DENY | {"Resource": "execute-api:/*/*/b"}))
        assert guarded.get("/b", Authorization="allow").status_code == 403
        assert guarded.calls() == []
        assert guarded.answer(Authorization="allow")[0] == 200
        assert guarded.answer(Authorization="elsewhere") == (403, {"Message": IMPLICIT})

    def test_a_policy_that_allows_stands_in_for_the_authorizers(self, gateway, tmp_path):
        guarded = Guarded(gateway, tmp_path, policy=policy(ALLOW))
        assert guarded.answer(Authorization="elsewhere")[0] == 200
        assert guarded.answer(Authorization="deny") == (403, {"Message": EXPLICIT})
        assert guarded.answer() == UNAUTHORIZED

    def test_changes_take_effect_when_they_are_deployed(self, gateway):
        api = gateway.rest_api()
        api.mock("GET", "/a", "fine")
        api.deploy()
        patch = [{"op": "replace", "path": "/policy", "value": policy(DENY)}]
        api.client.update_rest_api(restApiId=api.id, patchOperations=patch)
        assert api.call("GET", "/a").status_code == 200
        api.deploy_without_waiting()
        assert api.call("GET", "/a").status_code == 403

    def test_malformed_policies_are_refused(self, gateway):
        for wrong in [policy(ALLOW | {"Principal": {"AWS": "nobody"}}), policy(ALLOW | {"Condition": {"Is": {"a": "b"}}})]:
            with pytest.raises(gateway.client().exceptions.BadRequestException) as refused:
                gateway.client().create_rest_api(name="x", policy=wrong)
            assert refused.value.response["Error"]["Message"].startswith("Invalid policy document.")
