"""Starts the binary under test and talks to it: a throw-away gateway with its own ports and data folder.

Nothing here knows how the gateway works inside; everything goes through its ports, its files and its signals.
"""

import json
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import boto3
import botocore.config
import requests

ROOT = Path(__file__).resolve().parent.parent
REGION = "us-east-1"
ACCOUNT = "000000000000"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
START_SECONDS_MAX = 20
REST_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

# (service, operation) of every SDK call of this run that succeeded, and of those that were refused:
# test_operations_covered.py reads them.
calls_answered, calls_refused = set(), set()


def note_call(http_response, model, **_):
    calls = calls_answered if http_response.status_code < 400 else calls_refused
    calls.add((model.service_model.service_name, model.name))


def binary():
    """The binary under test: STAGEDOOR_BIN, or the newest that cargo built here."""
    if named := os.environ.get("STAGEDOOR_BIN"):
        return Path(named).resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [path for path in (target / "release/stagedoor", target / "debug/stagedoor") if path.exists()]
    if not built:
        raise RuntimeError("no binary: run `cargo build --package stagedoor`, or set STAGEDOOR_BIN")
    return max(built, key=lambda path: path.stat().st_mtime)


PORTS_GIVEN = set()


def free_port():
    """One that nobody listens on and nobody else was given, below those that the system gives to connections: they would take
    it meanwhile."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as link:
            try:
                link.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in PORTS_GIVEN:
            PORTS_GIVEN.add(port)
            return port


def eventually(check, seconds=10.0, what="the condition"):
    """Asks until `check` returns something true, and returns it. An exception counts as no, until time is up."""
    deadline, last = time.monotonic() + seconds, None
    while True:
        try:
            if found := check():
                return found
            last = found
        except (AssertionError, OSError, requests.RequestException, ValueError, KeyError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds} s; last: {last!r}")
        time.sleep(0.01)


class Gateway:
    """One stagedoor process. `start` may be called again after `kill` or `terminate`: ports and data stay."""

    def __init__(self, work: Path, *arguments, command="serve", env=None):
        self.work, self.command, self.arguments = work, command, list(arguments)
        self.data, self.log_path = work / "data", work / "gateway.log"
        self.traffic_port, self.control_port = free_port(), free_port()
        self.control, self.traffic = (f"http://127.0.0.1:{port}" for port in (self.control_port, self.traffic_port))
        self.env = {**os.environ, "RUST_BACKTRACE": "1", **(env or {})}
        self.process, self._clients = None, {}

    def command_line(self):
        flags = ["--listen", f"127.0.0.1:{self.traffic_port}", "--control", f"127.0.0.1:{self.control_port}"]
        return [str(binary()), self.command, *self.arguments, *flags, "--data", str(self.data)]

    def start(self):
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command_line(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env, cwd=self.work
            )
        eventually(self.healthy, START_SECONDS_MAX, "GET /_stagedoor/health")
        return self

    def healthy(self):
        if (code := self.process.poll()) is not None:
            raise RuntimeError(f"stagedoor ended with {code} at start:\n{self.log()}")
        return requests.get(self.control + "/_stagedoor/health", timeout=5).status_code == 200

    def run_to_end(self, seconds=20):
        """For starts that must fail: (exit code, stdout, stderr)."""
        done = subprocess.run(
            self.command_line(), capture_output=True, text=True, timeout=seconds, env=self.env, cwd=self.work
        )
        return done.returncode, done.stdout, done.stderr

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def terminate(self, seconds=35):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()

    # Control plane

    def client(self, service="apigateway", **config):
        key = (service, *sorted(config.items()))
        if key not in self._clients:
            settings = {"retries": {"max_attempts": 0}, "connect_timeout": 10, "read_timeout": 60, **config}
            client = boto3.session.Session().client(
                service,
                endpoint_url=self.control,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=botocore.config.Config(**settings),
            )
            client.meta.events.register("after-call", note_call)
            self._clients[key] = client
        return self._clients[key]

    def rest_api(self, name="test", **options):
        return RestApi(self, name, **options)

    # Traffic

    def call(self, method, api, stage, path="/", headers=None, timeout=30, **options):
        """A request to an API, addressed by Host as a browser would."""
        headers = {"Host": f"{api}.execute-api.localhost:{self.traffic_port}", **(headers or {})}
        url = f"{self.traffic}/{stage}{path}"
        return requests.request(method, url, headers=headers, timeout=timeout, **options)

    def raw(self, data, seconds=10, port=None):
        """Sends these bytes and returns everything that comes back until the gateway closes or `seconds` passed."""
        with socket.create_connection(("127.0.0.1", port or self.traffic_port), timeout=seconds) as link:
            link.sendall(data)
            return receive_all(link, seconds)


def receive_all(link, seconds=10):
    received, deadline = bytearray(), time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            piece = link.recv(65536)
        except TimeoutError:
            break
        except ConnectionResetError:
            break
        if not piece:
            break
        received += piece
    return bytes(received)


class RestApi:
    """Builds a REST API through the SDK; each call is one AWS operation or a few that belong together."""

    def __init__(self, gateway, name, **options):
        self.gateway, self.client = gateway, gateway.client()
        self.id = self.client.create_rest_api(name=name, **options)["id"]
        root = self.client.get_resources(restApiId=self.id)["items"][0]
        self.resources = {"/": root["id"]}

    def resource(self, path):
        """The id of the resource at this path; made, with its parents, where it is missing."""
        if path not in self.resources:
            parent, _, part = path.rpartition("/")
            made = self.client.create_resource(restApiId=self.id, parentId=self.resource(parent or "/"), pathPart=part)
            assert made["path"] == path
            self.resources[path] = made["id"]
        return self.resources[path]

    def method(self, verb, path, **options):
        options = {"authorizationType": "NONE", **options}
        self.client.put_method(restApiId=self.id, resourceId=self.resource(path), httpMethod=verb, **options)

    def mock(self, verb, path, body, status="200", headers=None):
        """A method that answers with this text."""
        where = {"restApiId": self.id, "resourceId": self.resource(path), "httpMethod": verb}
        headers = headers or {}
        self.method(verb, path)
        self.client.put_integration(
            **where, type="MOCK", requestTemplates={"application/json": '{"statusCode": %s}' % status}
        )
        self.client.put_method_response(
            **where, statusCode=status, responseParameters={f"method.response.header.{name}": False for name in headers}
        )
        self.client.put_integration_response(
            **where,
            statusCode=status,
            responseTemplates={"application/json": body},
            responseParameters={f"method.response.header.{name}": f"'{value}'" for name, value in headers.items()},
        )

    def proxy(self, verb, path, uri, kind="HTTP_PROXY", method_options=None, **options):
        """A method that goes to an HTTP or Lambda integration."""
        self.method(verb, path, **(method_options or {}))
        options = {"integrationHttpMethod": "POST" if kind.startswith("AWS") else verb, **options}
        self.client.put_integration(
            restApiId=self.id, resourceId=self.resource(path), httpMethod=verb, type=kind, uri=uri, **options
        )

    def deploy(self, stage="test", **options):
        """A new deployment, on this stage, and the first answer waited for."""
        deployment = self.client.create_deployment(restApiId=self.id, stageName=stage, **options)["id"]
        eventually(lambda: self.serves(stage), what="the deployed stage")
        return deployment

    def deploy_without_waiting(self, stage="test"):
        """The same for an API that may refuse every call. What a deployment has answered is served by then."""
        return self.client.create_deployment(restApiId=self.id, stageName=stage)["id"]

    def serves(self, stage):
        # What no stage answers is told apart from what a route of a stage answers: `Forbidden` is AWS's word for the first.
        answer = self.gateway.call("OPTIONS", self.id, stage, "/")
        return answer.status_code != 403 or "Missing Authentication Token" in answer.text

    def call(self, method, path="/", stage="test", **options):
        return self.gateway.call(method, self.id, stage, path, **options)


def lambda_uri(function_arn):
    return f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function_arn}/invocations"


def body_json(answer):
    """The body as JSON, with the whole answer in the failure message."""
    try:
        return json.loads(answer.text)
    except ValueError:
        raise AssertionError(f"not JSON: {answer.status_code} {answer.text[:500]!r}") from None
