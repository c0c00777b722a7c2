"""X-Ray: what a daemon is told of requests to a traced stage, and the header that goes to the backend."""

import json
import re
import socket

import pytest
from harness import ACCOUNT, REGION

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
PARENT = "53995c3f42cd8ad8"


class Daemon:
    """Takes segments as the X-Ray daemon does."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]

    def segment(self, seconds=10):
        self.socket.settimeout(seconds)
        header, _, body = self.socket.recv(65536).partition(b"\n")
        assert json.loads(header) == {"format": "json", "version": 1}
        return json.loads(body)


@pytest.fixture
def daemon():
    made = Daemon()
    yield made
    made.socket.close()


@pytest.fixture
def traced(new_gateway, daemon, echo, tmp_path):
    config = tmp_path / "stagedoor.toml"
    config.write_text(f"xray_daemon = '{daemon.address}'\n")
    gateway = new_gateway("--config", str(config)).start()
    api = gateway.rest_api("orders")
    api.proxy("GET", "/pets/{id}", echo.url)
    api.proxy("GET", "/slow", echo.url + "/status/503")
    api.mock("GET", "/", "x")
    api.deploy()
    patch = [{"op": "replace", "path": "/tracingEnabled", "value": "true"}]
    assert api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)["tracingEnabled"] is True
    return api


def test_a_segment_for_a_request(traced, daemon, echo):
    sent = f"Root={ROOT};Parent={PARENT};Sampled=1"
    answer = traced.call("GET", "/pets/7?q=x", headers={"X-Amzn-Trace-Id": sent})
    segment = daemon.segment()
    assert (segment["trace_id"], segment["parent_id"]) == (ROOT, PARENT)
    assert re.fullmatch("[0-9a-f]{16}", segment["id"])
    assert (segment["name"], segment["origin"]) == ("orders/test", "AWS::ApiGateway::Stage")
    assert segment["resource_arn"] == f"arn:aws:apigateway:{REGION}::/restapis/{traced.id}/stages/test"
    assert segment["http"]["request"]["method"] == "GET"
    assert segment["http"]["request"]["url"].endswith("/test/pets/7")
    assert segment["http"]["response"]["status"] == 200
    assert segment["aws"]["api_gateway"] == {
        "account_id": ACCOUNT, "rest_api_id": traced.id, "stage": "test", "request_id": answer.headers["x-amzn-RequestId"],
    }  # fmt: skip
    (call,) = segment["subsegments"]
    assert call["namespace"] == "remote" and call["name"] in echo.url and call["http"]["response"]["status"] == 200
    assert segment["start_time"] <= call["start_time"] <= call["end_time"] <= segment["end_time"]
    assert not {"fault", "error"} & (set(segment) | set(call))
    # The backend is told to go on with this segment.
    _, _, headers, _ = echo.seen[-1]
    told = {name.lower(): value for name, value in headers}["x-amzn-trace-id"]
    assert told == f"Root={ROOT};Parent={segment['id']};Sampled=1"


def test_failures_are_marked(traced, daemon):
    traced.call("GET", "/slow", headers={"X-Amzn-Trace-Id": f"Root={ROOT};Sampled=1"})
    segment = daemon.segment()
    assert segment["fault"] is True and segment["subsegments"][0]["fault"] is True
    traced.call("GET", "/none", headers={"X-Amzn-Trace-Id": f"Root={ROOT};Sampled=1"})
    segment = daemon.segment()
    assert segment["error"] is True and segment["http"]["response"]["status"] == 403 and "subsegments" not in segment


def test_who_asks_not_to_be_traced_is_not(traced, daemon, echo):
    traced.call("GET", "/pets/7", headers={"X-Amzn-Trace-Id": f"Root={ROOT};Sampled=0"})
    _, _, headers, _ = echo.seen[-1]
    told = {name.lower(): value for name, value in headers}["x-amzn-trace-id"]
    assert re.fullmatch(f"Root={ROOT};Parent=[0-9a-f]{{16}};Sampled=0", told)
    # The next segment is the next request's.
    other = ROOT.replace("5759", "5760")
    traced.call("GET", "/", headers={"X-Amzn-Trace-Id": f"Root={other};Sampled=1"})
    assert daemon.segment()["trace_id"] == other


def test_the_first_request_of_a_second_begins_a_trace(traced, daemon):
    traced.call("GET", "/")
    segment = daemon.segment()
    assert re.fullmatch("1-[0-9a-f]{8}-[0-9a-f]{24}", segment["trace_id"]) and "parent_id" not in segment
