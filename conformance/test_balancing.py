"""VPC links as load balancers: targets that die, stall and fail, in REST and HTTP APIs."""

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from harness import body_json, eventually, free_port
from origin import read_head
from test_http_api_traffic import HttpApi

LISTENER = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/orders/50dc6c495c0c9188/f2f7dc8efc522ab2"
NETWORK_ERROR = "Network error communicating with endpoint"


class Process:
    """A target that can be killed and started again."""

    def __init__(self, *certificates):
        self.port, self.certificates = free_port(), [str(path) for path in certificates]
        self.start()

    def start(self):
        script = str(Path(__file__).with_name("target.py"))
        self.process = subprocess.Popen([sys.executable, script, str(self.port), *self.certificates])
        eventually(self.listens, what="the target")

    def listens(self):
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def processes():
    made = [Process(), Process()]
    yield made
    for process in made:
        process.kill()


@pytest.fixture
def linked(new_gateway, tmp_path):
    """Starts a gateway with a link named by an ARN of a listener, and an API of either kind whose routes lead there."""

    def start(kind, ports, settings="", scheme="http", **options):
        config = tmp_path / "config.toml"
        targets = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        config.write_text(f'[[vpc_links]]\nname = "{LISTENER}"\ntargets = [{targets}]\n{settings}\n')
        gateway = new_gateway("--config", str(config), "--workers", "1").start()
        if kind == "REST":
            api = gateway.rest_api()
            link = api.client.create_vpc_link(name="orders", targetArns=[LISTENER])["id"]
            for verb in ("GET", "POST"):
                api.proxy(verb, "/", f"{scheme}://localhost/", connectionType="VPC_LINK", connectionId=link, **options)
            api.deploy()
        else:
            api = HttpApi(gateway)
            link = api.client.create_vpc_link(Name="orders", SubnetIds=["subnet-1"])["VpcLinkId"]
            tls = {"TlsConfig": {"ServerNameToVerify": "localhost"}} if scheme == "https" else {}
            private = {"ConnectionType": "VPC_LINK", "ConnectionId": link, "PayloadFormatVersion": "1.0", **tls}
            api.backend("ANY /{proxy+}", LISTENER, **private, **options)
            api.backend("ANY /", LISTENER, **private, **options)
        api.gateway = gateway
        return api

    return start


def answers(api, count, verb="GET"):
    found = [api.call(verb, "/") for _ in range(count)]
    assert {answer.status_code for answer in found} == {200}, [answer.text for answer in found]
    return [int(answer.text) for answer in found]


KINDS = pytest.mark.parametrize("kind", ["REST", "HTTP"])


@KINDS
def test_a_killed_target_is_ejected_and_comes_back(linked, processes, kind):
    dead, alive = processes
    api = linked(kind, [dead.port, alive.port], "eject_after = 2\neject_seconds = 0.5")
    assert set(answers(api, 4)) == {dead.port, alive.port}
    found = []

    def client():
        found.extend([api.call("GET", "/").status_code for _ in range(60)])

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    dead.kill()
    for thread in clients:
        thread.join()
    assert found == [200] * 240
    assert f"127.0.0.1:{dead.port} is ejected" in api.gateway.log()
    assert set(answers(api, 4)) == {alive.port}
    dead.start()
    eventually(lambda: dead.port in answers(api, 2), what="the ejected target's return")


@KINDS
def test_checks_find_the_dead_and_the_revived(linked, processes, kind):
    dead, alive = processes
    check = '[vpc_links.health_check]\npath = "/health"\ninterval_seconds = 0.05\nhealthy_after = 2\nunhealthy_after = 2'
    api = linked(kind, [dead.port, alive.port], f"retries = 0\neject_after = 1000\n{check}")
    dead.kill()
    eventually(lambda: "is unhealthy" in api.gateway.log(), what="the unhealthy target")
    assert set(answers(api, 6)) == {alive.port}
    dead.start()
    eventually(lambda: "is healthy" in api.gateway.log(), what="the healthy target")
    assert set(answers(api, 4, "POST")) == {dead.port, alive.port}


def test_a_status_makes_unhealthy(linked, raw_origin, processes):
    def play(link):
        while head := read_head(link)[0]:
            status = b"503 No" if head.startswith(b"GET /health") else b"200 OK"
            link.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 1\r\n\r\n0")

    sick = raw_origin(play).listener.getsockname()[1]
    check = '[vpc_links.health_check]\npath = "/health"\ninterval_seconds = 0.05'
    api = linked("REST", [sick, processes[0].port], check)
    eventually(lambda: "is unhealthy" in api.gateway.log(), what="the unhealthy target")
    assert set(answers(api, 4)) == {processes[0].port}


@KINDS
def test_only_what_may_be_repeated_goes_elsewhere(linked, raw_origin, processes, kind):
    seen = []

    def play(link):
        seen.append(read_head(link)[0].split()[0])  # and closes without an answer

    closes = raw_origin(play).listener.getsockname()[1]
    api = linked(kind, [closes, processes[0].port], "eject_after = 1000")
    assert set(answers(api, 6)) == {processes[0].port}
    found = [api.call("POST", "/", data="x").status_code for _ in range(4)]
    assert sorted(found) == [200, 200, 503, 503] if kind == "HTTP" else [200, 200, 504, 504]
    assert seen.count(b"POST") == 2


@KINDS
def test_bodies_go_elsewhere_too(linked, processes, kind):
    """Those of methods that may not be repeated as well, if there was no connection."""
    api = linked(kind, [free_port(), processes[0].port], "eject_after = 1000")
    for size in 1, 60_000, 5_000_000:
        answers = [api.call("POST", "/", data="x" * size) for _ in range(4)]
        assert {answer.status_code for answer in answers} == {200}, size


@KINDS
def test_nothing_is_repeated_after_the_first_byte(linked, raw_origin, processes, kind):
    seen = []

    def play(link):
        seen.append(read_head(link)[0])
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")

    breaks = raw_origin(play).listener.getsockname()[1]
    api = linked(kind, [breaks, processes[0].port], "eject_after = 1000")
    found = sorted(api.call("GET", "/").status_code for _ in range(4))
    assert found == [200, 200, *([503, 503] if kind == "HTTP" else [504, 504])]
    assert len(seen) == 2


class Held:
    """An origin that answers when it is told to."""

    def __init__(self, raw_origin):
        self.free, self.waiting = threading.Event(), threading.Semaphore(0)
        self.port = raw_origin(self.play).listener.getsockname()[1]

    def play(self, link):
        while read_head(link)[0]:
            self.waiting.release()
            self.free.wait(20)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0")


def in_background(api):
    thread = threading.Thread(target=api.call, args=("GET", "/"))
    thread.start()
    return thread


def test_the_least_busy_target_is_chosen(linked, raw_origin, processes):
    held = Held(raw_origin)
    api = linked("REST", [held.port, processes[0].port], 'policy = "least_connections"')
    threads = [in_background(api)]
    while not held.waiting.acquire(timeout=0.2):
        threads.append(in_background(api))
    assert answers(api, 6) == [processes[0].port] * 6
    held.free.set()
    for thread in threads:
        thread.join()


@KINDS
def test_a_full_target_fails_at_once(linked, raw_origin, kind):
    held = Held(raw_origin)
    api = linked(kind, [held.port], "max_requests = 1")
    thread = in_background(api)
    assert held.waiting.acquire(timeout=10)
    answer = api.call("GET", "/")
    expected = (503, "Service Unavailable") if kind == "HTTP" else (504, NETWORK_ERROR)
    assert (answer.status_code, body_json(answer)["message"]) == expected
    held.free.set()
    thread.join()
    assert api.call("GET", "/").text == "0"


def certificate(folder, name):
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"]
    # A certificate that may sign others is none for a server.
    command += ["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@KINDS
@pytest.mark.parametrize("shown", [True, False])
def test_mutual_tls(linked, tmp_path, monkeypatch, kind, shown):
    server, client = certificate(tmp_path, "server"), certificate(tmp_path, "client")
    monkeypatch.setenv("SSL_CERT_FILE", str(server[0]))
    target = Process(*server, client[0])
    try:
        # Paths are relative to the configuration's folder.
        settings = 'client_certificate = "client.pem"\nclient_key = "client.key"' if shown else ""
        check = '[vpc_links.health_check]\npath = "/"\nhttps = true\ninterval_seconds = 0.05'
        api = linked(kind, [target.port], f"{settings}\n{check}", scheme="https")
        if shown:
            assert answers(api, 2) == [target.port] * 2
            assert "is unhealthy" not in api.gateway.log()
        else:
            assert api.call("GET", "/").status_code in (503, 504)
            eventually(lambda: "is unhealthy" in api.gateway.log(), what="the check without a certificate")
    finally:
        target.kill()


def test_private_requests_of_http_apis_keep_path_and_host(linked, echo):
    api = linked("HTTP", [echo.server_port])
    sent = body_json(api.call("GET", "/a%20b?c=d"))
    assert (sent["path"], sent["query"]) == ("/a%20b", {"c": ["d"]})
    assert sent["headers"]["host"].startswith(f"{api.id}.execute-api.")
    # A stage with a name is part of the path, unless a mapping takes it out.
    api.client.create_stage(ApiId=api.id, StageName="prod", AutoDeploy=True)
    assert body_json(api.call("GET", "/prod/x"))["path"] == "/prod/x"
    link = api.client.get_vpc_links()["Items"][0]["VpcLinkId"]
    mapped = {"overwrite:path": "$request.path"}
    options = {"ConnectionType": "VPC_LINK", "ConnectionId": link, "PayloadFormatVersion": "1.0", "RequestParameters": mapped}
    api.backend("GET /mapped", LISTENER, **options)
    eventually(lambda: body_json(api.call("GET", "/prod/mapped"))["path"] == "/mapped")


def test_listeners_that_lead_nowhere_are_refused(linked, echo):
    api = linked("HTTP", [echo.server_port])
    link = api.client.get_vpc_links()["Items"][0]["VpcLinkId"]
    api.backend("GET /other", LISTENER + "0", ConnectionType="VPC_LINK", ConnectionId=link, PayloadFormatVersion="1.0")
    stage = api.client.get_stage(ApiId=api.id, StageName="$default")
    assert re.search(r"nobody said where .* leads", stage["LastDeploymentStatusMessage"])


@pytest.mark.parametrize(
    "settings, message",
    [
        ("eject_seconds = 0", "no number of seconds"),
        ("client_key = 'x'", "belong together"),
        ("client_key = 'x'\nclient_certificate = 'x'", "cannot read"),
        ("policy = 'random'", "unknown variant"),
        ("[vpc_links.health_check]\npath = 'x'", "begins with a slash"),
        ("[vpc_links.health_check]\nhttps = true", "needs a path"),
    ],
)
def test_settings_that_cannot_be(new_gateway, tmp_path, settings, message):
    config = tmp_path / "config.toml"
    config.write_text(f"[[vpc_links]]\nname = 'a'\ntargets = ['a:1']\n{settings}\n")
    code, _, errors = new_gateway("--config", str(config)).run_to_end()
    assert code == 2 and message in errors, errors
