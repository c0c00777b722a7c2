"""API keys, throttles and quotas as they meet traffic: who may call, how fast and how often."""

import datetime
import threading
import time
from collections import Counter

import botocore.exceptions
import pytest
from authorization import Guarded, function
from harness import body_json, eventually, lambda_uri

FORBIDDEN = (403, {"message": "Forbidden"}, "ForbiddenException")
THROTTLED = (429, {"message": "Too Many Requests"}, "TooManyRequestsException")
SPENT = (429, {"message": "Limit Exceeded"}, "LimitExceededException")


def patch(op, path, value=None):
    return {"op": op, "path": path, **({} if value is None else {"value": value})}


def outcome(answer):
    return answer.status_code, body_json(answer), answer.headers.get("x-amzn-ErrorType")


class Keyed:
    """An API whose methods want a key, on the stage `dev`, and a usage plan for it."""

    def __init__(self, gateway, paths=("/a",), **plan):
        self.gateway, self.client, self.api = gateway, gateway.client(), gateway.rest_api()
        seen = '{"key": "$context.identity.apiKey", "id": "$context.identity.apiKeyId"}'
        for path in paths:
            self.api.mock("GET", path, seen)
            where = {"restApiId": self.api.id, "resourceId": self.api.resource(path), "httpMethod": "GET"}
            self.client.update_method(**where, patchOperations=[patch("replace", "/apiKeyRequired", "true")])
        self.api.mock("GET", "/open", seen)
        self.api.deploy("dev")
        stages = [{"apiId": self.api.id, "stage": "dev", **plan.pop("stage", {})}]
        self.plan = self.client.create_usage_plan(name="p", apiStages=stages, **plan)["id"]
        self.key = self.new_key()

    def new_key(self, **options):
        key = self.client.create_api_key(**{"name": "k", "enabled": True, **options})
        self.client.create_usage_plan_key(usagePlanId=self.plan, keyId=key["id"], keyType="API_KEY")
        return key

    def call(self, value=None, path="/a", **headers):
        headers = headers if value is None else {"X-API-Key": value, **headers}
        return self.api.call("GET", path, stage="dev", headers=headers)

    def update_plan(self, *operations):
        return self.client.update_usage_plan(usagePlanId=self.plan, patchOperations=list(operations))

    def usage(self, days=1):
        last = datetime.datetime.now(datetime.UTC).date()
        first = last - datetime.timedelta(days=days - 1)
        dates = {"startDate": str(first), "endDate": str(last)}
        return self.client.get_usage(usagePlanId=self.plan, **dates)["items"]


def test_who_may_call(gateway):
    keyed = Keyed(gateway)
    key, client = keyed.key, keyed.client
    answer = keyed.call(key["value"])
    assert (answer.status_code, answer.json()) == (200, {"key": key["value"], "id": key["id"]})
    assert keyed.api.call("GET", "/a", stage="dev", headers={"x-api-KEY": key["value"]}).status_code == 200
    for wrong in None, "", "wrong", key["value"] + "x", key["id"]:
        assert outcome(keyed.call(wrong)) == FORBIDDEN, wrong
    # Two keys are none, wherever the good one stands, and neither is one in the query.
    host = f"Host: {keyed.api.id}.execute-api.localhost\r\nConnection: close\r\n"
    for sent in [key["value"], "x"], ["x", key["value"]], [key["value"], key["value"]]:
        head = "".join(f"X-API-Key: {value}\r\n" for value in sent)
        assert gateway.raw(f"GET /dev/a HTTP/1.1\r\n{host}{head}\r\n".encode()).startswith(b"HTTP/1.1 403"), sent
    assert outcome(keyed.call(path=f"/a?x-api-key={key['value']}&apiKey={key['value']}")) == FORBIDDEN
    # A method that wants no key knows none, though one was sent.
    assert keyed.call(key["value"], "/open").json() == {"key": "", "id": ""}
    # A key in no plan, and one whose plan has another stage.
    stranger = client.create_api_key(name="s", enabled=True)
    assert outcome(keyed.call(stranger["value"])) == FORBIDDEN
    keyed.api.deploy("prod")
    assert outcome(keyed.api.call("GET", "/a", stage="prod", headers={"x-api-key": key["value"]})) == FORBIDDEN


def test_changes_take_effect_at_once(gateway):
    keyed = Keyed(gateway)
    client, plan, key = keyed.client, keyed.plan, keyed.key["id"]
    stage = f"{keyed.api.id}:dev"
    member = {"usagePlanId": plan, "keyId": key}

    def check(expected):
        assert keyed.call(keyed.key["value"]).status_code == expected

    check(200)
    for value, expected in ("false", 403), ("true", 200):
        client.update_api_key(apiKey=key, patchOperations=[patch("replace", "/enabled", value)])
        check(expected)
    for op, expected in ("remove", 403), ("add", 200):
        keyed.update_plan(patch(op, "/apiStages", stage))
        check(expected)
    client.delete_usage_plan_key(**member)
    check(403)
    client.create_usage_plan_key(**member, keyType="API_KEY")
    check(200)
    keyed.update_plan(patch("add", "/throttle/rateLimit", "0"), patch("add", "/throttle/burstLimit", "0"))
    check(429)
    keyed.update_plan(patch("remove", "/throttle"))
    check(200)
    client.delete_api_key(apiKey=key)
    check(403)


def test_keys_and_plans_are_there_after_a_restart(gateway):
    keyed = Keyed(gateway)
    gateway.kill()
    gateway.start()
    assert keyed.call(keyed.key["value"]).status_code == 200
    assert outcome(keyed.call("wrong")) == FORBIDDEN


def test_gateway_responses_for_clients(gateway):
    keyed = Keyed(gateway, quota={"limit": 1, "period": "DAY"})
    for kind, status in ("INVALID_API_KEY", "401"), ("QUOTA_EXCEEDED", "420"), ("THROTTLED", "503"):
        template = f'{{"own": "{kind}"}}'
        keyed.client.put_gateway_response(
            restApiId=keyed.api.id, responseType=kind, statusCode=status,
            responseTemplates={"application/json": template},
        )  # fmt: skip
    keyed.api.deploy("dev")

    def check(value, status, kind):
        answer = keyed.call(value)
        assert (answer.status_code, answer.json()) == (status, {"own": kind})

    check("wrong", 401, "INVALID_API_KEY")
    assert keyed.call(keyed.key["value"]).status_code == 200
    check(keyed.key["value"], 420, "QUOTA_EXCEEDED")
    keyed.update_plan(patch("remove", "/quota"), patch("add", "/throttle/rateLimit", "0"))
    check(keyed.key["value"], 503, "THROTTLED")


def test_a_plans_throttle_is_each_keys_own(gateway):
    keyed = Keyed(gateway, throttle={"rateLimit": 0.01, "burstLimit": 3})
    other = keyed.new_key()
    for key in keyed.key, other:
        outcomes = [outcome(keyed.call(key["value"]))[0] for _ in range(5)]
        assert outcomes == [200] * 3 + [429] * 2
    assert outcome(keyed.call(other["value"])) == THROTTLED
    # The bucket is not emptied or filled by an edit of something else.
    keyed.update_plan(patch("replace", "/description", "d"))
    assert outcome(keyed.call(other["value"])) == THROTTLED
    keyed.update_plan(patch("replace", "/throttle/rateLimit", "1000"))
    eventually(lambda: keyed.call(other["value"]).status_code == 200, what="a new token")


def test_a_plans_limit_for_one_method(gateway):
    limits = {"/pets/{id}/GET": {"rateLimit": 0.01, "burstLimit": 1}}
    keyed = Keyed(gateway, paths=("/a", "/pets/{id}"), stage={"throttle": limits})
    value = keyed.key["value"]
    assert keyed.call(value, "/pets/1").status_code == 200
    assert outcome(keyed.call(value, "/pets/2")) == THROTTLED
    assert keyed.call(value).status_code == 200
    assert keyed.call(keyed.new_key()["value"], "/pets/2").status_code == 200


def test_throttles_of_a_stage(gateway):
    api = gateway.rest_api()
    for path in "/", "/a", "/b":
        api.mock("GET", path, "{}")
    api.deploy("dev")

    def limit(path, rate, burst):
        operations = [patch("replace", f"/{path}/throttling/rateLimit", str(rate)),
                      patch("replace", f"/{path}/throttling/burstLimit", str(burst))]  # fmt: skip
        api.client.update_stage(restApiId=api.id, stageName="dev", patchOperations=operations)

    def codes(path, count):
        return [api.call("GET", path, stage="dev").status_code for _ in range(count)]

    limit("*/*", 0, 0)
    assert outcome(api.call("GET", "/a", stage="dev")) == THROTTLED
    limit("~1a/GET", 0.01, 2)
    limit("~1/GET", -1, -1)
    assert codes("/a", 3) == [200, 200, 429]
    assert codes("/", 3) == [200] * 3
    assert codes("/b", 1) == [429]
    # Each method has a bucket of its own, which a new deployment goes on with.
    limit("*/*", 0.01, 1)
    api.deploy("dev")
    assert codes("/b", 2) == [200, 429]
    assert codes("/a", 1) == [429]


def test_the_accounts_throttle(new_gateway, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("[account_throttle]\nrate_limit = 0.01\nburst_limit = 3\n")
    gateway = new_gateway("--config", str(config)).start()
    limits = gateway.client().get_account()["throttleSettings"]
    assert limits == {"rateLimit": 0.01, "burstLimit": 3}
    answers = []
    for _ in range(2):
        api = gateway.rest_api()
        api.mock("GET", "/a", "{}")
        api.client.create_deployment(restApiId=api.id, stageName="dev")
        answers += [api.call("GET", "/a", stage="dev") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert outcome(answers[-1]) == THROTTLED


def burst(keyed, value, clients=8, each=40):
    """Calls from many connections at once; how often each status came."""
    seen, ready = Counter(), threading.Barrier(clients)

    def run():
        ready.wait()
        found = Counter(keyed.call(value).status_code for _ in range(each))
        with lock:
            seen.update(found)

    lock = threading.Lock()
    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seen.values()) == clients * each
    return seen


def test_limits_are_exact_under_concurrency(gateway):
    keyed = Keyed(gateway, quota={"limit": 100, "period": "MONTH"})
    assert burst(keyed, keyed.key["value"]) == {200: 100, 429: 220}
    assert outcome(keyed.call(keyed.key["value"])) == SPENT
    assert keyed.usage() == {keyed.key["id"]: [[100, 0]]}
    throttled = keyed.new_key()
    keyed.update_plan(
        patch("remove", "/quota"),
        patch("add", "/throttle/burstLimit", "50"),
        patch("add", "/throttle/rateLimit", "0.001"),
    )
    assert burst(keyed, throttled["value"]) == {200: 50, 429: 270}


def test_what_a_throttle_refuses_counts_against_no_quota(gateway):
    keyed = Keyed(gateway, quota={"limit": 5, "period": "DAY"}, throttle={"rateLimit": 0.01, "burstLimit": 2})
    assert [keyed.call(keyed.key["value"]).status_code for _ in range(6)] == [200] * 2 + [429] * 4
    assert keyed.usage() == {keyed.key["id"]: [[2, 3]]}


def test_usage_can_be_read_and_extended(gateway):
    keyed = Keyed(gateway, quota={"limit": 2, "period": "WEEK", "offset": 3})
    other = keyed.new_key()
    value, key = keyed.key["value"], keyed.key["id"]
    assert keyed.call(value).status_code == 200
    assert keyed.usage(days=2) == {key: [[0, 2], [1, 1]], other["id"]: [[0, 2], [0, 2]]}
    assert keyed.call(value).status_code == 200
    assert outcome(keyed.call(value)) == SPENT
    where = {"usagePlanId": keyed.plan, "keyId": key}
    extended = keyed.client.update_usage(**where, patchOperations=[patch("replace", "/remaining", "1")])
    assert extended["items"] == {key: [[2, 1]]}
    assert [keyed.call(value).status_code for _ in range(2)] == [200, 429]
    today = str(datetime.datetime.now(datetime.UTC).date())
    dates = {"startDate": today, "endDate": today}
    one = keyed.client.get_usage(**where, **dates)
    assert (one["usagePlanId"], one["startDate"], one["endDate"]) == (keyed.plan, today, today)
    assert one["items"] == {key: [[3, 0]]}
    pages = keyed.client.get_paginator("get_usage").paginate(
        usagePlanId=keyed.plan, **dates, PaginationConfig={"PageSize": 1}
    )
    assert {name: days for page in pages for name, days in page["items"].items()} == keyed.usage()
    message = "Invalid patch path  '/remaining' specified for op 'add'. Please choose supported operations"
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        keyed.client.update_usage(**where, patchOperations=[patch("add", "/remaining", "1")])
    assert caught.value.response["Error"]["Message"] == message
    with pytest.raises(botocore.exceptions.ClientError, match="Invalid Usage Plan ID specified"):
        keyed.client.get_usage(usagePlanId="nowhere", **dates)
    with pytest.raises(botocore.exceptions.ClientError, match="Invalid Key identifier specified"):
        keyed.client.get_usage(usagePlanId=keyed.plan, keyId="nowhere", **dates)
    with pytest.raises(botocore.exceptions.ClientError, match="BadRequestException"):
        keyed.client.get_usage(usagePlanId=keyed.plan, startDate=today, endDate="2026-02-30")


def test_quotas_outlive_the_process(gateway):
    keyed = Keyed(gateway, quota={"limit": 10, "period": "MONTH"})
    value, key = keyed.key["value"], keyed.key["id"]
    for _ in range(4):
        assert keyed.call(value).status_code == 200
    gateway.terminate()
    gateway.start()
    assert keyed.usage()[key][-1] == [4, 6]
    assert keyed.call(value).status_code == 200
    # What happened within the documented interval may be lost with a process that is killed; this has been written.
    journal = gateway.data / "usage.journal"
    eventually(lambda: f" {key} " in journal.read_text() and journal.read_text().rstrip().split()[-5] == "5",
               what="the journal")  # fmt: skip
    gateway.kill()
    gateway.start()
    assert keyed.usage()[key][-1] == [5, 5]
    assert [keyed.call(value).status_code for _ in range(6)] == [200] * 5 + [429]
    # An extension is kept when it is answered.
    keyed.client.update_usage(
        usagePlanId=keyed.plan, keyId=key, patchOperations=[patch("replace", "/remaining", "1")]
    )
    gateway.kill()
    gateway.start()
    assert [keyed.call(value).status_code for _ in range(2)] == [200, 429]


def test_backends_see_the_key(gateway, echo):
    """What a backend is told: the header passes, and mappings know the key and its id."""
    keyed = Keyed(gateway)
    keyed.api.proxy(
        "GET", "/proxy", echo.url, kind="HTTP",
        method_options={"apiKeyRequired": True},
        requestParameters={
            "integration.request.header.x-seen": "context.identity.apiKey",
            "integration.request.header.x-seen-id": "context.identity.apiKeyId",
        },
    )  # fmt: skip
    where = {"restApiId": keyed.api.id, "resourceId": keyed.api.resource("/proxy"), "httpMethod": "GET"}
    keyed.client.put_method_response(**where, statusCode="200")
    keyed.client.put_integration_response(**where, statusCode="200")
    keyed.api.deploy("dev")
    answer = keyed.call(keyed.key["value"], "/proxy")
    assert answer.status_code == 200, answer.text
    assert keyed.key["value"] in answer.text and keyed.key["id"] in answer.text


NAMES_A_KEY = """
def handler(event, context):
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*"}
    answer = {"principalId": "user", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
    if event["authorizationToken"] != "none":
        answer["usageIdentifierKey"] = event["authorizationToken"]
    return answer
"""


def test_keys_that_an_authorizer_names(gateway):
    keyed = Keyed(gateway)
    client, api = keyed.client, keyed.api
    arn = function(gateway, "names-a-key", NAMES_A_KEY)
    authorizer = client.create_authorizer(
        restApiId=api.id, name="a", type="TOKEN", authorizerUri=lambda_uri(arn),
        identitySource="method.request.header.Authorization",
    )["id"]  # fmt: skip
    behind = [patch("replace", "/authorizationType", "CUSTOM"), patch("replace", "/authorizerId", authorizer)]
    client.update_method(
        restApiId=api.id, resourceId=api.resource("/a"), httpMethod="GET", patchOperations=behind
    )
    client.update_rest_api(restApiId=api.id, patchOperations=[patch("replace", "/apiKeySource", "AUTHORIZER")])
    api.deploy("dev")
    key = keyed.key
    answer = keyed.call(Authorization=key["value"])
    # The header is looked at no more, whatever it says.
    again = keyed.call("wrong", Authorization=key["value"])
    assert again.json() == answer.json() == {"key": key["value"], "id": key["id"]}
    for wrong in "wrong", "none":
        assert outcome(keyed.call(key["value"], Authorization=wrong)) == FORBIDDEN, wrong


def test_authorizers_come_before_keys(gateway, tmp_path):
    """Who is not let in learns nothing about keys, and takes no token."""
    guarded = Guarded(gateway, tmp_path)
    api, client = guarded.api, guarded.api.client
    wanted = [patch("replace", "/apiKeyRequired", "true")]
    client.update_method(restApiId=api.id, resourceId=api.resource("/a"), httpMethod="GET", patchOperations=wanted)
    api.deploy()
    key = client.create_api_key(name="k", enabled=True)
    stages, throttle = [{"apiId": api.id, "stage": "test"}], {"rateLimit": 0.01, "burstLimit": 1}
    plan = client.create_usage_plan(name="p", apiStages=stages, throttle=throttle)["id"]
    client.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")

    def ask(token, **headers):
        answer = guarded.get(**({"Authorization": token} if token else {}), **headers)
        return (200,) if answer.text == "fine/a" else outcome(answer)

    named = {"X-API-Key": key["value"]}
    for headers in {}, named:
        assert ask(None, **headers)[::2] == (401, "UnauthorizedException")
        assert ask("deny", **headers)[::2] == (403, "AccessDeniedException")
    assert ask("allow") == FORBIDDEN
    assert ask("allow", **named)[0] == 200
    assert ask("allow", **named) == THROTTLED


def test_the_order_of_throttles(gateway):
    """What a client's own limit refuses takes nothing from what all clients share."""
    keyed = Keyed(gateway, throttle={"rateLimit": 0.001, "burstLimit": 2},
                  stage={"throttle": {"/a/GET": {"rateLimit": 0.001, "burstLimit": 1}}})  # fmt: skip
    operations = [patch("replace", f"/*/*/throttling/{name}", value) for name, value in
                  (("rateLimit", "0.001"), ("burstLimit", "3"))]  # fmt: skip
    keyed.client.update_stage(restApiId=keyed.api.id, stageName="dev", patchOperations=operations)
    keys = [keyed.key["value"], *(keyed.new_key()["value"] for _ in range(3))]
    # The method's limit for one client refuses the rest of them, and its stage's bucket has two left for the others.
    assert [keyed.call(keys[0]).status_code for _ in range(5)] == [200] + [429] * 4
    assert [keyed.call(value).status_code for value in keys[1:]] == [200, 200, 429]


def test_a_full_bucket_fills_at_its_rate(gateway):
    keyed = Keyed(gateway, throttle={"rateLimit": 20, "burstLimit": 1})
    value = keyed.key["value"]
    began, passed = time.monotonic(), 0
    while (took := time.monotonic() - began) < 1.0:
        passed += keyed.call(value).status_code == 200
    # One at the start, and twenty a second from then on; a slow machine may ask too seldom for all of them.
    assert 3 <= passed <= 1 + 20 * took + 1
