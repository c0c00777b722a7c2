"""API keys and usage plans as AWS's clients manage them. What they do to traffic is tested in test_throttling.py."""

import statistics
import time

import botocore.exceptions
import pytest

VALUE = "apikey1234abcdefghij0123456789"


def refused(call, code, message, **options):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**options)
    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == (code, message)


def patch(op, path, value=None):
    return {"op": op, "path": path, **({} if value is None else {"value": value})}


@pytest.fixture
def client(gateway):
    return gateway.client()


@pytest.fixture
def api(gateway):
    api = gateway.rest_api()
    for path in "/", "/pets/{id}":
        api.mock("GET", path, "text")
    api.deploy("dev")
    return api


def plan_of(client, *stages, **options):
    stages = [{"apiId": api, "stage": stage} for api, stage in stages]
    return client.create_usage_plan(name="plan", apiStages=stages, **options)["id"]


def test_values_of_keys(client):
    made = client.create_api_key(name="k", value=VALUE, tags={"a": "b"}, customerId="c", description="d")
    assert made["value"] == VALUE and made["enabled"] is False and made["tags"] == {"a": "b"}
    assert made["id"] != VALUE and len(made["id"]) == 10
    refused(client.create_api_key, "ConflictException", "API Key already exists", value=VALUE)
    generated = client.create_api_key(name="g")["value"]
    assert len(generated) == 40 and generated.isalnum()
    shown = client.get_api_key(apiKey=made["id"])
    assert "value" not in shown and shown["customerId"] == "c" and shown["description"] == "d"
    client.delete_api_key(apiKey=made["id"])
    # The value is free again.
    client.create_api_key(name="k", value=VALUE)
    refused(client.delete_api_key, "NotFoundException", "Invalid API Key identifier specified", apiKey=made["id"])


def test_keys_are_changed_by_patches(client, api):
    key = client.create_api_key(name="k", enabled=True)["id"]
    operations = [
        patch("replace", "/name", "n"),
        patch("replace", "/description", "d"),
        patch("replace", "/enabled", "false"),
        patch("replace", "/customerId", "c"),
        patch("add", "/stages", f"{api.id}/dev"),
    ]
    changed = client.update_api_key(apiKey=key, patchOperations=operations)
    wanted = {"name": "n", "description": "d", "enabled": False, "customerId": "c", "stageKeys": [f"{api.id}/dev"]}
    assert {name: changed[name] for name in wanted} == wanted
    gone = client.update_api_key(apiKey=key, patchOperations=[patch("remove", "/stages", f"{api.id}/dev")])
    assert gone["stageKeys"] == []
    message = (
        "Invalid patch path  '/value' specified for op 'replace'. "
        "Must be one of: [/description, /enabled, /name, /customerId]"
    )
    wrong = [patch("replace", "/value", "v")]
    refused(client.update_api_key, "BadRequestException", message, apiKey=key, patchOperations=wrong)


def page_through(client):
    """The ids of all keys, and how long each page of 500 took."""
    seen, took, began = set(), [], time.monotonic()
    for page in client.get_paginator("get_api_keys").paginate(PaginationConfig={"PageSize": 500}):
        took.append(time.monotonic() - began)
        seen |= {item["id"] for item in page["items"]}
        began = time.monotonic()
    return seen, took


def test_ten_thousand_keys_list_and_page_without_a_stall(client):
    def import_keys(numbers):
        rows = "\n".join(f"n{number:05},{VALUE}{number:05}" for number in numbers)
        imported = client.import_api_keys(body=f"name,key\n{rows}\n".encode(), format="csv")
        assert len(imported["ids"]) == len(numbers) and imported.get("warnings", []) == []
        return set(imported["ids"])

    few = import_keys(range(500))
    seen, _ = page_through(client)
    assert seen == few
    of_few = statistics.median(page_through(client)[1][0] for _ in range(7))
    many = few | import_keys(range(500, 10_000))
    seen, took = page_through(client)
    assert seen == many and len(took) == 20
    # A page costs what it holds, not what there is: reading all for each page takes many times as long.
    assert statistics.median(took) < 5 * of_few
    found = client.get_api_keys(nameQuery="n0012", includeValues=True)["items"]
    assert {item["name"] for item in found} == {f"n{number:05}" for number in range(120, 130)}
    assert all(item["value"] == VALUE + item["name"][1:] for item in found)


def test_import_of_keys(client, api):
    plan = plan_of(client, (api.id, "dev"))
    text = f"Name,key,description,Enabled,usageplanIds\nMine,{VALUE},An imported key,FALSE,'{plan}'\n"
    first = client.import_api_keys(body=text.encode(), format="csv", failOnWarnings=True)
    assert [item["id"] for item in client.get_usage_plan_keys(usagePlanId=plan)["items"]] == first["ids"]
    again = client.import_api_keys(body=text.replace("FALSE", "true").encode(), format="csv")
    assert again["ids"] == first["ids"] and client.get_api_key(apiKey=first["ids"][0])["enabled"] is True
    wrong = f"name,key,usageplanids\nother,{VALUE}x,nowhere\nbad,short,\n".encode()
    warnings = ["Line 3: API Key value should be at least 20 characters",
                "Line 2: Invalid Usage Plan ID specified (nowhere)"]  # fmt: skip
    message = f"API keys were not imported: {'; '.join(warnings)}"
    refused(client.import_api_keys, "BadRequestException", message, body=wrong, format="csv", failOnWarnings=True)
    assert len(client.get_api_keys()["items"]) == 1
    loose = client.import_api_keys(body=wrong, format="csv")
    assert loose["warnings"] == warnings and len(loose["ids"]) == 1
    message = "Invalid API key file: the column key is missing"
    refused(client.import_api_keys, "BadRequestException", message, body=b"name\nx", format="csv")


def test_plans_are_changed_by_patches(client, api):
    plan = plan_of(client)
    stage = f"{api.id}:dev"
    # As Terraform does it: the stage, then the limits of its methods, the resource's path unescaped.
    operations = [
        patch("replace", "/name", "n"),
        patch("replace", "/description", "d"),
        patch("add", "/productCode", "p"),
        patch("add", "/apiStages", stage),
        patch("replace", f"/apiStages/{stage}/throttle//pets/{{id}}/GET/rateLimit", "1.5"),
        patch("replace", f"/apiStages/{stage}/throttle//pets/{{id}}/GET/burstLimit", "3"),
        patch("replace", f"/apiStages/{stage}/throttle/~1/GET/rateLimit", "7"),
        patch("add", "/quota/limit", "5"),
        patch("add", "/quota/period", "WEEK"),
        patch("add", "/quota/offset", "6"),
        patch("add", "/throttle/rateLimit", "2"),
    ]
    changed = client.update_usage_plan(usagePlanId=plan, patchOperations=operations)
    del changed["ResponseMetadata"]
    limits = {"/pets/{id}/GET": {"rateLimit": 1.5, "burstLimit": 3}, "//GET": {"rateLimit": 7.0, "burstLimit": 0}}
    assert changed == {
        "id": plan, "name": "n", "description": "d", "productCode": "p", "tags": {},
        "apiStages": [{"apiId": api.id, "stage": "dev", "throttle": limits}],
        "quota": {"limit": 5, "period": "WEEK", "offset": 6}, "throttle": {"rateLimit": 2.0, "burstLimit": 0},
    }  # fmt: skip
    operations = [
        patch("remove", f"/apiStages/{stage}/throttle/~1/GET"),
        patch("remove", "/quota"),
        patch("remove", "/throttle"),
        patch("remove", "/productCode"),
    ]
    changed = client.update_usage_plan(usagePlanId=plan, patchOperations=operations)
    assert list(changed["apiStages"][0]["throttle"]) == ["/pets/{id}/GET"]
    assert not {"quota", "throttle", "productCode"} & set(changed)
    all_limits = [patch("remove", f"/apiStages/{stage}/throttle")]
    changed = client.update_usage_plan(usagePlanId=plan, patchOperations=all_limits)
    assert changed["apiStages"] == [{"apiId": api.id, "stage": "dev"}]


def test_plans_that_cannot_be(client, api):
    def check(message, code="BadRequestException", **options):
        refused(client.create_usage_plan, code, message, **{"name": "p", **options})

    check("Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]", quota={"limit": 5})
    check("Usage Plan quota limit must be a non-negative numeric", quota={"limit": 0, "period": "DAY"})
    check("Usage Plan quota offset must be zero in the DAY period", quota={"limit": 5, "offset": 1, "period": "DAY"})
    for period, last in ("WEEK", 6), ("MONTH", 27):
        message = f"Usage Plan quota offset must be between 0 and {last} inclusive in the {period} period"
        check(message, quota={"limit": 5, "offset": last + 1, "period": period})
    unknown = [{"apiId": api.id, "stage": "nowhere"}]
    check(f"API Stage not found: {api.id}:nowhere", "NotFoundException", apiStages=unknown)
    limited = [{"apiId": api.id, "stage": "dev", "throttle": {"/pets/PUT": {"rateLimit": 1, "burstLimit": 1}}}]
    check("Invalid method {resourcePath: /pets,method: PUT} specified", apiStages=limited)
    plan = plan_of(client)
    # AWS's message lists the paths that may be removed, with its own misspelling.
    message = (
        f"Invalid patch path  '/apiStages/{api.id}:dev' specified for op 'remove'. Must be one of: [/apiStages, "
        "/quota, /throttle, /productCode, /apiStages/<apidId:stageName>/throttle/<resourcePath>/<httpMethod>, "
        "/apiStages/<apidId:stageName>/throttle]"
    )
    wrong = [patch("remove", f"/apiStages/{api.id}:dev")]
    refused(client.update_usage_plan, "BadRequestException", message, usagePlanId=plan, patchOperations=wrong)
    wrong = [patch("add", "/apiStages", '{"apiId": "x", "stage": "dev"}')]
    message = 'API Stage not found: {"apiId": "x", "stage"'
    refused(client.update_usage_plan, "NotFoundException", message, usagePlanId=plan, patchOperations=wrong)


def test_a_plan_outlives_neither_its_stages_nor_they_it(client, api):
    api.deploy("prod")
    plan = plan_of(client, (api.id, "dev"), (api.id, "prod"))
    message = (
        f"Cannot delete Usage Plan {plan} because there are API Stages associated with it, including {api.id}:dev"
    )
    refused(client.delete_usage_plan, "BadRequestException", message, usagePlanId=plan)
    client.delete_stage(restApiId=api.id, stageName="dev")
    assert client.get_usage_plan(usagePlanId=plan)["apiStages"] == [{"apiId": api.id, "stage": "prod"}]
    client.delete_rest_api(restApiId=api.id)
    assert client.get_usage_plan(usagePlanId=plan)["apiStages"] == []
    client.delete_usage_plan(usagePlanId=plan)
    refused(client.get_usage_plan, "NotFoundException", "Invalid Usage Plan ID specified", usagePlanId=plan)


def test_lists_begin_with_the_newest_key(client, api):
    plan = plan_of(client, (api.id, "dev"))
    names = [f"key-{number}" for number in range(3)]
    made = [client.create_api_key(name=name)["id"] for name in names]
    for key in made:
        client.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    newest = made[::-1]
    lists = {
        "all": lambda **page: client.get_api_keys(nameQuery="key-", **page),
        "of the plan": lambda **page: client.get_usage_plan_keys(usagePlanId=plan, **page),
    }
    for what, listed in lists.items():
        assert [item["id"] for item in listed()["items"]] == newest, what
        # A limit below 1 is as good as none.
        assert [item["id"] for item in listed(limit=-1)["items"]] == newest, what
        first = listed(limit=1)
        rest = listed(limit=5, position=first["position"])
        assert [item["id"] for item in first["items"] + rest["items"]] == newest and "position" not in rest, what
    assert client.get_api_keys(nameQuery="KEY-")["items"] == client.get_api_keys(nameQuery="ey-0")["items"] == []
    client.delete_usage_plan_key(usagePlanId=plan, keyId=made[2])
    client.delete_api_key(apiKey=made[1])
    assert [item["id"] for item in lists["of the plan"]()["items"]] == made[:1]
    assert [item["id"] for item in lists["all"]()["items"]] == [made[2], made[0]]
    assert client.get_usage_plan_keys(usagePlanId="nowhere")["items"] == []


def test_what_a_key_may_be_called(client):
    for wrong, message in (
        ({"name": "n" * 1025}, "Invalid API Key name, can be at most 1024 characters."),
        ({"value": "v" * 129}, "API Key value exceeds maximum size of 128 characters"),
        ({"value": "short"}, "API Key value should be at least 20 characters"),
        ({"description": "d" * 125_001}, "Invalid API Key description specified."),
    ):
        refused(client.create_api_key, "BadRequestException", message, **wrong)
    key = client.create_api_key(name="", value="", enabled=True)
    assert "name" not in key and len(key["value"]) == 40

    def patched(op, path, value):
        return client.update_api_key(apiKey=key["id"], patchOperations=[{"op": op, "path": path, "value": value}])

    for path, value, message in (
        ("/description", "d" * 125_001, "Invalid API Key description specified."),
        ("/id", "x", "Invalid patch path  '/id' specified for op 'replace'. "
                     "Must be one of: [/description, /enabled, /name, /customerId]"),
    ):  # fmt: skip
        refused(patched, "BadRequestException", message, op="replace", path=path, value=value)
    assert patched("replace", "/enabled", "neither")["enabled"] is False
    assert patched("add", "/labels", "a")["id"] == key["id"]


def test_keys_of_a_plan(client, api):
    plan, other = plan_of(client, (api.id, "dev")), plan_of(client)
    key = client.create_api_key(name="k", enabled=True)
    member = {"usagePlanId": plan, "keyId": key["id"]}
    made = client.create_usage_plan_key(**member, keyType="API_KEY")
    del made["ResponseMetadata"]
    assert made == {"id": key["id"], "name": "k", "type": "API_KEY", "value": key["value"]}
    shown = client.get_usage_plan_key(**member)
    assert {name: shown[name] for name in made} == made
    assert client.get_usage_plan_keys(usagePlanId=plan)["items"] == [made]
    assert client.get_usage_plan_keys(usagePlanId=plan, nameQuery="x")["items"] == []
    assert [item["id"] for item in client.get_usage_plans(keyId=key["id"])["items"]] == [plan]
    message = "Invalid API Key identifier specified"
    refused(client.get_usage_plan_key, "NotFoundException", message, usagePlanId=plan, keyId="nowhere")
    message = "Invalid Usage Plan ID specified"
    refused(client.get_usage_plan_key, "NotFoundException", message, usagePlanId=other, keyId=key["id"])
    refused(client.delete_usage_plan_key, "NotFoundException", message, usagePlanId=other, keyId=key["id"])
    client.delete_usage_plan_key(**member)
    assert client.get_usage_plan_keys(usagePlanId=plan)["items"] == []
    # A deleted key leaves its plans.
    client.create_usage_plan_key(**member, keyType="API_KEY")
    client.delete_api_key(apiKey=key["id"])
    assert client.get_usage_plan_keys(usagePlanId=plan)["items"] == []


def test_a_key_has_one_plan_for_each_stage(client, api):
    first, second = plan_of(client, (api.id, "dev")), plan_of(client)
    key = client.create_api_key(name="k", enabled=True)["id"]
    for plan in first, second:
        client.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    with pytest.raises(botocore.exceptions.ClientError, match="ConflictException"):
        client.create_usage_plan_key(usagePlanId=first, keyId=key, keyType="API_KEY")
    add = [patch("add", "/apiStages", f"{api.id}:dev")]
    with pytest.raises(botocore.exceptions.ClientError, match="ConflictException"):
        client.update_usage_plan(usagePlanId=second, patchOperations=add)
    third = plan_of(client, (api.id, "dev"))
    with pytest.raises(botocore.exceptions.ClientError, match="ConflictException"):
        client.create_usage_plan_key(usagePlanId=third, keyId=key, keyType="API_KEY")
    client.delete_usage_plan_key(usagePlanId=first, keyId=key)
    client.update_usage_plan(usagePlanId=second, patchOperations=add)


def test_tags_by_arn(client):
    key = client.create_api_key(name="k", tags={"a": "1"})["id"]
    plan = plan_of(client, tags={"a": "1"})
    for arn, get in (
        (f"arn:aws:apigateway:us-east-1::/apikeys/{key}", lambda: client.get_api_key(apiKey=key)),
        (f"arn:aws:apigateway:us-east-1::/usageplans/{plan}", lambda: client.get_usage_plan(usagePlanId=plan)),
    ):
        client.tag_resource(resourceArn=arn, tags={"b": "2"})
        client.untag_resource(resourceArn=arn, tagKeys=["a"])
        assert client.get_tags(resourceArn=arn)["tags"] == get()["tags"] == {"b": "2"}
    refused(
        client.get_tags, "NotFoundException", "Invalid API Key identifier specified",
        resourceArn="arn:aws:apigateway:us-east-1::/apikeys/nowhere",
    )  # fmt: skip
