"""The stage's response cache: what is cached, what keeps responses apart, who may ask for fresh ones, and how it is flushed."""

import json
import re
from pathlib import Path

import pytest
import requests
from botocore.exceptions import ClientError
from harness import eventually
from origin import read_head


@pytest.fixture
def counter(raw_origin):
    """An upstream whose answers are numbered: one that comes twice came from a cache the second time."""
    state = {"count": 0, "status": 200, "body": b""}

    def play(link):
        while True:
            head, rest = read_head(link)
            if not head:
                return
            length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            missing = int(length[0].split(b":")[1]) - len(rest) if length else 0
            while missing > 0:
                missing -= len(link.recv(65536))
            state["count"] += 1
            body = b"%d" % state["count"] + state["body"]
            link.sendall(
                b"HTTP/1.1 %d OK\r\nContent-Type: text/plain\r\nX-Kind: own\r\nContent-Length: %d\r\n\r\n"
                % (state["status"], len(body))
                + body
            )

    origin = raw_origin(play)
    origin.state = state
    return origin


class CachedApi:
    def __init__(self, gateway, origin):
        self.api = gateway.rest_api()
        self.origin, self.client, self.id = origin, self.api.client, self.api.id

    def proxy(self, verb, path, parameters=(), mapped=None, keys=(), **options):
        """An HTTP_PROXY method; `keys` are its cache key parameters."""
        method = {"requestParameters": {f"method.request.{name}": False for name in parameters}}
        self.api.proxy(
            verb,
            path,
            self.origin.url,
            method_options=method,
            requestParameters={f"integration.request.{to}": f"method.request.{of}" for to, of in (mapped or {}).items()},
            cacheKeyParameters=list(keys),
            **options,
        )

    def deploy(self, settings=(("/*/*/caching/enabled", "true"),), **options):
        self.api.deploy(cacheClusterEnabled=True, cacheClusterSize="0.5", **options)
        self.update(*settings)

    def update(self, *settings):
        patch = [{"op": "replace", "path": path, "value": value} for path, value in settings]
        return self.client.update_stage(restApiId=self.id, stageName="test", patchOperations=patch)

    def get(self, path="/", verb="GET", **options):
        answer = self.api.call(verb, path, **options)
        assert answer.status_code < 400, answer.text
        return answer.text


@pytest.fixture
def cached(gateway, counter):
    return CachedApi(gateway, counter)


class TestWhatIsCached:
    def test_nothing_without_a_setting(self, cached):
        cached.proxy("GET", "/")
        cached.deploy(settings=())
        assert [cached.get(), cached.get()] == ["1", "2"]

    def test_nothing_without_a_cluster(self, cached):
        cached.proxy("GET", "/")
        cached.api.deploy()
        cached.update(("/*/*/caching/enabled", "true"))
        assert [cached.get(), cached.get()] == ["1", "2"]

    def test_get_alone_unless_another_method_is_named(self, cached):
        for verb in "GET", "POST", "PUT":
            cached.proxy(verb, "/a")
        cached.deploy()
        assert [cached.get("/a"), cached.get("/a")] == ["1", "1"]
        assert [cached.get("/a", "POST"), cached.get("/a", "POST")] == ["2", "3"]
        cached.update(("/a/POST/caching/enabled", "true"))
        assert [cached.get("/a", "POST"), cached.get("/a", "POST")] == ["4", "4"]
        assert [cached.get("/a", "PUT"), cached.get("/a", "PUT")] == ["5", "6"]
        cached.update(("/a/GET/caching/enabled", "false"))
        assert [cached.get("/a"), cached.get("/a")] == ["7", "8"]

    def test_any_is_cached_method_by_method(self, cached):
        cached.proxy("GET", "/")
        cached.proxy("ANY", "/any")
        cached.deploy()
        assert [cached.get("/any"), cached.get("/any")] == ["1", "1"]
        assert [cached.get("/any", "POST"), cached.get("/any", "POST")] == ["2", "3"]
        cached.update(("/any/POST/caching/enabled", "true"), ("/~1/GET/caching/enabled", "false"))
        assert [cached.get("/any", "POST"), cached.get("/any", "POST"), cached.get("/any")] == ["4", "4", "1"]
        assert [cached.get(), cached.get()] == ["5", "6"]

    def test_time_to_live(self, cached):
        cached.proxy("GET", "/")
        cached.deploy(settings=(("/*/*/caching/enabled", "true"), ("/*/*/caching/ttlInSeconds", "1")))
        assert [cached.get(), cached.get()] == ["1", "1"]
        eventually(lambda: cached.get() == "2", what="the end of the entry's second")
        cached.update(("/*/*/caching/ttlInSeconds", "0"))
        assert [cached.get(), cached.get()] == ["3", "4"]
        for seconds in "-1", "3601", "many":
            with pytest.raises(ClientError, match="BadRequestException"):
                cached.update(("/*/*/caching/ttlInSeconds", seconds))

    def test_a_body_of_a_megabyte_and_no_more(self, cached):
        cached.proxy("GET", "/")
        cached.deploy()
        cached.origin.state["body"] = bytes(1_048_576)
        assert [cached.get()[:1], cached.get()[:1]] == ["1", "2"]
        cached.origin.state["body"] = bytes(1_048_575)
        first, second = cached.get(), cached.get()
        assert first == second and (first[:1], len(first)) == ("3", 1_048_576)

    def test_statuses_and_headers_come_back_as_they_were(self, cached):
        cached.proxy("GET", "/")
        cached.deploy()
        cached.origin.state["status"] = 201
        first, second = cached.api.call("GET", "/"), cached.api.call("GET", "/")
        assert (second.status_code, second.text, second.headers["X-Kind"]) == (201, "1", "own")
        own = {"x-amzn-RequestId", "x-amz-apigw-id", "Date"}
        assert list(first.headers) == list(second.headers)
        assert {name: value for name, value in first.headers.items() if name not in own} == {
            name: value for name, value in second.headers.items() if name not in own
        }
        assert first.headers["x-amzn-RequestId"] != second.headers["x-amzn-RequestId"]

    def test_failures_of_the_gateway_are_not_cached(self, gateway, raw_origin):
        calls = []

        def play(link):
            read_head(link)
            calls.append(1)
            if len(calls) > 2:  # an idempotent request is sent twice
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        cached = CachedApi(gateway, raw_origin(play))
        cached.proxy("GET", "/")
        cached.deploy()
        eventually(lambda: cached.api.call("GET", "/").text == "ok", what="an answer after failures")

    def test_templates_do_not_run_again(self, cached):
        cached.api.mock("GET", "/mock", "$context.requestId")
        cached.proxy("GET", "/")
        cached.deploy()
        assert cached.get("/mock") == cached.get("/mock")


class TestKeys:
    def test_without_keys_one_response_serves_all(self, cached):
        cached.proxy("GET", "/{proxy+}", parameters=["path.proxy"])
        cached.deploy()
        assert [cached.get("/a?x=1"), cached.get("/b?x=2")] == ["1", "1"]

    def test_chosen_parameters_keep_responses_apart(self, cached):
        names = ["path.id", "querystring.q", "header.X-Tenant"]
        cached.proxy("GET", "/{id}", parameters=names, keys=[f"method.request.{name}" for name in names])
        cached.deploy()
        calls = [
            ("/a", {}),
            ("/b", {}),
            ("/a?q=", {}),
            ("/a?q=1", {}),
            ("/a?q=1&q=2", {}),
            ("/a?q=2", {}),
            ("/a?q=1,2", {}),
            ("/a", {"X-Tenant": "one"}),
            ("/a", {"X-Tenant": "two"}),
            ("/a", {"X-Tenant": ""}),
            ("/a?q=1", {"X-Tenant": "one"}),
            ("/1", {"X-Tenant": "onea"}),
        ]
        first = [cached.get(path, headers=headers) for path, headers in calls]
        assert first == [str(number + 1) for number in range(len(calls))]
        assert [cached.get(path, headers=headers) for path, headers in reversed(calls)] == first[::-1]
        assert cached.get("/a?q=1&other=7", headers={"X-Other": "x"}) == first[3]

    def test_integration_parameters(self, cached):
        cached.proxy(
            "GET",
            "/",
            parameters=["header.X-User"],
            mapped={"querystring.user": "header.X-User"},
            keys=["integration.request.querystring.user"],
        )
        cached.deploy()
        assert [cached.get(headers={"X-User": user}) for user in "aba"] == ["1", "2", "1"]

    def test_namespaces(self, cached):
        for path in "/a", "/b":
            cached.proxy("GET", path, cacheNamespace="shared")
        cached.proxy("GET", "/c")
        cached.deploy()
        assert [cached.get(path) for path in ("/a", "/b", "/c", "/b")] == ["1", "1", "2", "1"]

    def test_forms_that_accept_chooses_between(self, cached):
        api = cached.api
        api.mock("GET", "/", "json")
        patch = [{"op": "add", "path": "/responseTemplates/application~1xml", "value": "<xml/>"}]
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "GET"}
        cached.client.update_integration_response(**where, statusCode="200", patchOperations=patch)
        cached.deploy()
        for _ in range(2):
            for accepted, body in (("application/json", "json"), ("application/xml", "<xml/>"), ("*/*", "json")):
                assert cached.get(headers={"Accept": accepted}) == body


class TestFreshResponses:
    FRESH = {"Cache-Control": "max-age=0"}

    def settings(self, **settings):
        own = (("/*/*/caching/enabled", "true"),)
        return own + tuple((f"/*/*/caching/{name}", value) for name, value in settings.items())

    def test_whoever_asks_where_nobody_needs_authorization(self, cached):
        cached.proxy("GET", "/")
        cached.deploy(self.settings(requireAuthorizationForCacheControl="false"))
        assert [cached.get(), cached.get()] == ["1", "1"]
        assert cached.get(headers={"Cache-Control": "no-transform, Max-Age = 0"}) == "2"
        assert cached.get() == "2"
        for other in "no-cache", "max-age=1", "max-age=00":
            assert cached.get(headers={"Cache-Control": other}) == "2"

    def test_refused_with_a_warning(self, cached):
        cached.proxy("GET", "/")
        cached.deploy()
        for _ in range(2):
            answer = cached.api.call("GET", "/", headers=self.FRESH)
            assert (answer.status_code, answer.text) == (200, "1") and answer.headers["Warning"].startswith("199 ")
        assert "Warning" not in cached.api.call("GET", "/").headers

    def test_refused_in_silence(self, cached):
        cached.proxy("GET", "/")
        cached.deploy(self.settings(unauthorizedCacheControlHeaderStrategy="SUCCEED_WITHOUT_RESPONSE_HEADER"))
        for _ in range(2):
            answer = cached.api.call("GET", "/", headers=self.FRESH)
            assert (answer.status_code, answer.text) == (200, "1") and "Warning" not in answer.headers

    def test_refused_with_403(self, cached):
        cached.proxy("GET", "/")
        cached.deploy(self.settings(unauthorizedCacheControlHeaderStrategy="FAIL_WITH_403"))
        answer = cached.api.call("GET", "/", headers=self.FRESH)
        assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
        assert cached.get() == "1"


class TestCluster:
    def test_states_and_sizes(self, cached):
        cached.proxy("GET", "/")
        where = {"restApiId": cached.id, "stageName": "own"}
        deployment = cached.client.create_deployment(restApiId=cached.id)["id"]
        made = cached.client.create_stage(
            **where, deploymentId=deployment, cacheClusterEnabled=True, cacheClusterSize="6.1"
        )
        assert (made["cacheClusterStatus"], made["cacheClusterSize"]) == ("CREATE_IN_PROGRESS", "6.1")
        assert cached.client.get_stage(**where)["cacheClusterStatus"] == "AVAILABLE"

        def patch(path, value):
            operation = {"op": "replace", "path": path, "value": value}
            return cached.client.update_stage(**where, patchOperations=[operation])["cacheClusterStatus"]

        assert patch("/description", "text") == "AVAILABLE"
        assert patch("/cacheClusterSize", "0.5") == "CREATE_IN_PROGRESS"
        assert patch("/cacheClusterEnabled", "false") == "DELETE_IN_PROGRESS"
        assert cached.client.get_stage(**where)["cacheClusterStatus"] == "NOT_AVAILABLE"
        with pytest.raises(ClientError, match="BadRequestException"):
            patch("/cacheClusterSize", "7")

    def test_flush(self, cached):
        cached.proxy("GET", "/")
        cached.deploy()
        assert [cached.get(), cached.get()] == ["1", "1"]
        flushed = cached.client.flush_stage_cache(restApiId=cached.id, stageName="test")
        assert flushed["ResponseMetadata"]["HTTPStatusCode"] == 202
        assert [cached.get(), cached.get()] == ["2", "2"]
        with pytest.raises(ClientError) as error:
            cached.client.flush_stage_cache(restApiId=cached.id, stageName="other")
        assert error.value.response["Error"]["Message"] == "Invalid stage identifier specified"

    def test_what_is_unrelated_to_the_cache_keeps_it_and_a_new_cluster_does_not(self, cached):
        cached.proxy("GET", "/")
        cached.deploy()
        assert cached.get() == "1"
        cached.update(("/variables/x", "y"))
        assert cached.get() == "1"
        cached.update(("/cacheClusterSize", "1.6"))
        assert [cached.get(), cached.get()] == ["2", "2"]
        cached.update(("/cacheClusterEnabled", "false"))
        cached.update(("/cacheClusterEnabled", "true"))
        assert cached.get() == "3"

    def test_a_deployment_begins_anew(self, cached):
        cached.proxy("GET", "/")
        cached.deploy()
        assert cached.get() == "1"
        cached.client.create_deployment(restApiId=cached.id, stageName="test")
        assert [cached.get(), cached.get()] == ["2", "2"]


def test_hits_and_misses_are_counted(cached):
    cached.proxy("GET", "/")
    cached.deploy()
    for _ in range(3):
        assert cached.get() == "1"
    text = requests.get(cached.api.gateway.control + "/_stagedoor/metrics", timeout=5).text
    counted = dict(re.findall(r"aws_apigateway_cache_(hit|miss)_count_total{[^}]*} (\d+)", text))
    # What waited for the deployment asked for a method that is not there, and no cache.
    assert counted == {"hit": "2", "miss": "1"}


def test_encryption_is_kept_as_a_setting(cached):
    cached.proxy("GET", "/")
    cached.deploy()
    settings = cached.update(("/*/*/caching/dataEncrypted", "true"))["methodSettings"]["*/*"]
    assert settings["cacheDataEncrypted"] is True
    assert [cached.get(), cached.get()] == ["1", "1"]


class TestCanary:
    def canary(self, cached, **settings):
        cached.proxy("GET", "/")
        cached.deploy()
        assert cached.get() == "1"
        stage = cached.client.get_stage(restApiId=cached.id, stageName="test")
        if settings.pop("own_deployment"):
            cached.client.create_deployment(
                restApiId=cached.id, stageName="test", canarySettings={"percentTraffic": 100, **settings}
            )
        else:
            cached.update(
                ("/canarySettings/deploymentId", stage["deploymentId"]),
                ("/canarySettings/percentTraffic", "100"),
                ("/canarySettings/useStageCache", json.dumps(settings["useStageCache"])),
            )

    def test_shares_with_its_own_deployment_alone(self, cached):
        self.canary(cached, own_deployment=False, useStageCache=True)
        assert cached.get() == "1"

    def test_another_deployment_shares_nothing(self, cached):
        self.canary(cached, own_deployment=True, useStageCache=True)
        assert [cached.get(), cached.get()] == ["2", "2"]
        cached.update(("/canarySettings/percentTraffic", "0"))
        assert cached.get() == "1"

    def test_no_cache_unless_it_uses_the_stages(self, cached):
        self.canary(cached, own_deployment=False, useStageCache=False)
        assert [cached.get(), cached.get()] == ["2", "3"]


MEGABYTE = 1 << 20


class TestMemory:
    """`[cache] bytes_max`: what the caches of all stages hold together."""

    @pytest.fixture
    def small_gateway(self, new_gateway):
        gateway = new_gateway()
        config = gateway.work / "stagedoor.toml"
        config.write_text(f"[cache]\nbytes_max = {8 * MEGABYTE}\n")
        gateway.arguments = ["--config", str(config)]
        return gateway.start()

    def cached(self, gateway, origin):
        cached = CachedApi(gateway, origin)
        cached.proxy("GET", "/{id}", parameters=["path.id"], keys=["method.request.path.id"])
        cached.deploy()
        return cached

    def held(self, gateway):
        lines = requests.get(gateway.control + "/_stagedoor/metrics", timeout=5).text.splitlines()
        numbers = dict(line.split() for line in lines if line.startswith("stagedoor_cache_"))
        assert int(numbers["stagedoor_cache_bytes_max"]) == 8 * MEGABYTE
        return int(numbers["stagedoor_cache_bytes"])

    def test_all_stages_share_what_there_is(self, small_gateway, counter):
        counter.state["body"] = b"x" * 200_000
        first, second = (self.cached(small_gateway, counter) for _ in range(2))
        for cached in first, second:
            for number in range(80):
                cached.get(f"/{number}")
                assert number % 10 or self.held(small_gateway) <= 8 * MEGABYTE
        assert self.held(small_gateway) > 4 * MEGABYTE
        # 32 MB of answers later, the second has room for its own, although the first had taken all.
        before = counter.state["count"]
        for number in range(80):
            second.get(f"/{number}")
        assert counter.state["count"] - before <= 75
        # A small answer finds room as well.
        counter.state["body"] = b""
        eventually(lambda: first.get("/small") == first.get("/small"), what="a small answer in the cache")

    def test_the_process_stays_small(self, small_gateway, counter):
        counter.state["body"] = b"x" * 500_000
        cached = self.cached(small_gateway, counter)
        for number in range(20):
            cached.get(f"/{number}")
        before = resident_bytes(small_gateway)
        for number in range(200):
            cached.get(f"/{number}")
        # 100 MB went through.
        assert resident_bytes(small_gateway) < before + 40 * MEGABYTE

    def test_what_is_larger_than_all_of_it_is_not_kept(self, new_gateway, counter):
        gateway = new_gateway()
        config = gateway.work / "stagedoor.toml"
        config.write_text("[cache]\nbytes_max = 0\n")
        gateway.arguments = ["--config", str(config)]
        cached = self.cached(gateway.start(), counter)
        assert [cached.get("/a"), cached.get("/a")] == ["1", "2"]


def test_a_quarter_of_the_memory_unless_it_is_configured(gateway):
    text = requests.get(gateway.control + "/_stagedoor/metrics", timeout=5).text
    allowed = int(re.search(r"^stagedoor_cache_bytes_max (\d+)$", text, re.M)[1])
    machine = int(re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())[1]) * 1024
    # A control group may have less than the machine.
    assert 0 < allowed <= machine / 4


def resident_bytes(gateway):
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024
