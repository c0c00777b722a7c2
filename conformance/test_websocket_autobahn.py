"""The cases of the Autobahn suite, which `kosoku` runs, against a WebSocket API that answers each message with itself."""

import asyncio
import fnmatch
import re

import kosoku
import pytest
from sockets import SocketApi

# What AWS rules out, so that an echo cannot pass.
RULED_OUT = {
    "binary messages, which close with 1003": [
        "1.2.*", "9.2.*", "9.4.*", "9.6.*", "9.8.*",
    ],
    "compression, which AWS does not negotiate": ["12.*", "13.*"],
    "a message of 16 MiB, more than a template may make": ["9.1.6"],
    "empty messages, whose $input.body is {}": ["1.1.1", "6.1.1", "6.1.2", "9.7.1"],
}  # fmt: skip
# Frames over 32 KiB and messages over 128 KiB: these run where the configuration raises the limits.
LARGE = ["1.1.6", "1.1.7", "1.1.8", "9.1.*", "9.3.*", "9.5.*"]
RAISED = """
[websocket]
message_bytes_max = 33554432
frame_bytes_max = 33554432
queue_bytes_max = 67108864
"""
# What the suite itself only reports: answers to a message after the close frame, and close codes nobody has defined.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}


def run(gateway, cases, without=()):
    """The results, by case."""
    api = SocketApi(gateway)
    api.mock("$default", answer="$input.body")
    api.deployed()
    url = f"ws://127.0.0.1:{gateway.traffic_port}/_aws/execute-api/{api.id}/dev"
    try:
        results = asyncio.run(kosoku.run_fuzzingclient(url, cases, list(without), 4))
    except kosoku.FailureError as error:
        results = error.results
    return {result.case_id: (outcome(result.behavior), outcome(result.behavior_close)) for result in results}


def outcome(behavior):
    return re.sub(r"^.*\.", "", str(behavior))


def failed(results):
    return {case: outcome for case, outcome in results.items() if outcome != ("OK", "OK") and case not in INFORMATIONAL}


@pytest.mark.timeout(300)
def test_every_case_that_aws_does_not_rule_out(gateway):
    without = [*LARGE, *(pattern for patterns in RULED_OUT.values() for pattern in patterns)]
    results = run(gateway, None, without)
    assert failed(results) == {}
    assert INFORMATIONAL <= results.keys()
    assert not any(fnmatch.fnmatch(case, pattern) for case in results for pattern in without)
    assert len(results) >= 224, len(results)


@pytest.mark.timeout(300)
def test_large_messages_where_the_limits_are_raised(new_gateway, tmp_path):
    config = tmp_path / "stagedoor.toml"
    config.write_text(RAISED)
    without = [pattern for patterns in RULED_OUT.values() for pattern in patterns]
    results = run(new_gateway("--config", str(config)).start(), LARGE, without)
    assert failed(results) == {}
    assert len(results) == 23, len(results)
