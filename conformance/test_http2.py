"""HTTP/2 on the same port: prior knowledge, many streams, bodies both ways."""

import json
import re
import subprocess

import pytest


def curl(*arguments, **options):
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "--http2-prior-knowledge", *arguments],
        capture_output=True,
        timeout=30,
        **options,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def api(gateway, echo):
    api = gateway.rest_api()
    api.mock("GET", "/", "small")
    api.proxy("ANY", "/echo", echo.url)
    api.proxy("GET", "/bytes", echo.url + "/bytes/3000000")
    api.deploy()
    return api


def url(api, path):
    return f"http://{api.id}.execute-api.localhost:{api.gateway.traffic_port}/test{path}"


def test_get(api):
    assert curl("-w", " %{http_version} %{http_code}", url(api, "/")) == b"small 2 200"
    assert curl("-w", " %{http_code}", "-o", "/dev/null", url(api, "/nothing")) == b" 403"


def test_header_names_are_lower_case_and_hop_by_hop_ones_absent(api):
    head = curl("-D", "-", "-o", "/dev/null", url(api, "/echo")).decode()
    names = [line.split(":")[0] for line in head.splitlines()[1:] if line]
    assert names and all(name == name.lower() for name in names), names
    assert not {"connection", "transfer-encoding", "keep-alive"} & set(names)


def test_bodies(api):
    text = "0123456789" * 300_000
    assert json.loads(curl("--data-binary", "@-", url(api, "/echo"), input=text.encode()))["body"] == text
    assert curl(url(api, "/bytes")) == bytes(3_000_000)


def test_body_over_the_limit(api, tmp_path):
    """nghttp, because curl 7.88 drops an answer that ends before the upload does."""
    path = tmp_path / "body"
    path.write_bytes(bytes(10 * 1024 * 1024 + 1))
    done = subprocess.run(
        ["nghttp", "-v", "-d", path, "-H", f":authority: {api.id}.execute-api.localhost",
         f"{api.gateway.traffic}/test/echo"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ":status: 413" in done.stdout and '{"message":"Request Too Long"}' in done.stdout, done.stdout[-3000:]


def test_many_streams(api):
    done = subprocess.run(
        [
            "h2load",
            "-n",
            "2000",
            "-c",
            "4",
            "-m",
            "32",
            "-H",
            f":authority: {api.id}.execute-api.localhost",
            f"{api.gateway.traffic}/test/",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert re.search(r"2000 succeeded, 0 failed", done.stdout), done.stdout + done.stderr
    assert re.search(r"2000 2xx", done.stdout), done.stdout


def test_http1_on_the_same_port(api):
    assert api.call("GET", "/").text == "small"


def test_control_plane_too(gateway):
    assert b"200" in curl("-w", "%{http_code}", "-o", "/dev/null", gateway.control + "/_stagedoor/health")
