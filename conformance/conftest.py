"""Fixtures: gateways that start in milliseconds, so that nearly every test has its own."""

import shutil
import subprocess

import boto3
import pytest
import requests
from harness import KEYS, REGION, ROOT, Gateway, eventually, free_port
from origin import EchoServer, RawOrigin

_open = []  # gateways of the running test, whose logs are shown when it fails


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for gateway in _open:
            report.sections.append((f"log of stagedoor {gateway.command}", gateway.log()[-8000:]))


def pytest_collection_modifyitems(items):
    # What judges the whole run has to come after it.
    items.sort(key=lambda item: "operations_covered" in item.nodeid)


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    """The same made-up credentials for every client; nothing of the user's own configuration."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))


@pytest.fixture
def new_gateway(tmp_path_factory):
    """Makes gateways that are not started yet: new_gateway(*arguments, command="serve", env={})."""
    made = []

    def make(*arguments, **options):
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), *arguments, **options)
        made.append(gateway)
        _open.append(gateway)
        return gateway

    yield make
    for gateway in made:
        gateway.close()
        _open.remove(gateway)
        shutil.rmtree(gateway.data, ignore_errors=True)


@pytest.fixture
def gateway(new_gateway):
    """A running gateway with an empty store."""
    return new_gateway().start()


@pytest.fixture
def echo():
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture
def raw_origin():
    """Makes upstreams that a function plays: raw_origin(lambda link: ...)."""
    made = []

    def make(play):
        made.append(RawOrigin(play))
        return made[-1]

    yield make
    for origin in made:
        origin.close()


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    """The address of moto's server, which stands in for AWS."""
    port = free_port()
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(ROOT / ".venv/bin/moto_server"), "-H", "127.0.0.1", "-p", str(port)], stdout=out, stderr=out
        )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: requests.get(url + "/moto-api/data.json", timeout=5).ok, 60, "moto's server")
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def aws(moto):
    """Clients of moto's server: aws("sqs")."""
    return lambda service: boto3.client(service, endpoint_url=moto, region_name=REGION)
