"""The proxies that are compared, each set up to do the same work in one worker on one core.

Alike for all: connections to clients and to the upstream are kept, bodies stream, nothing is logged per request.
Each serves /proxy (the upstream's small answer), /mock (an answer of its own), /download and /upload (1 MiB bodies);
those with a cache in memory serve /cached out of it.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

SMALL = json.dumps({"id": 42, "name": "a small answer", "tags": ["one", "two"], "description": "x" * 120})
MEBIBYTE = 1 << 20
PROXY_CORE, LOAD_CORE = "0", "1"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port, path="/mock", host="localhost"):
    """Whether one small GET is answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return link.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


class Contestant:
    """A process tree on a core of its own, answering on one port."""

    name = core = None
    caches = False  # whether it serves /cached, the upstream's small answer out of a cache in memory
    host, prefix = "localhost", ""

    def __init__(self, work: Path, upstream=None):
        self.work, self.upstream, self.port = work / self.name, upstream, free_port()
        self.work.mkdir()
        self.process = None

    def command(self):
        raise NotImplementedError

    def prepare(self):
        """Whatever has to be there before the first start."""

    def start(self):
        """Starts it and returns the seconds to the first answer."""
        with (self.work / "log").open("ab") as log:
            begun = time.perf_counter()
            self.process = subprocess.Popen(
                ["taskset", "-c", self.core, *self.command()], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        while not answers(self.port, self.prefix + "/mock", self.host):
            if self.process.poll() is not None or time.perf_counter() - begun > 30:
                sys.exit(f"{self.name} does not answer:\n{(self.work / 'log').read_text()[-3000:]}")
            time.sleep(0.0002)
        return time.perf_counter() - begun

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def processes(self):
        """The process and all below it."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                todo += map(int, task.read_text().split())
        return found

    def cpu_seconds(self):
        """CPU time that the whole tree has used so far, in user and system mode."""
        total = 0
        for pid in self.processes():
            for task in Path(f"/proc/{pid}/task").iterdir():
                try:
                    total += int((task / "schedstat").read_text().split()[0]) / 1e9
                except FileNotFoundError:
                    fields = (task / "stat").read_text().rpartition(")")[2].split()
                    total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total

    def memory_bytes(self):
        """Resident memory; what several processes share counts once."""
        total = 0
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total


NGINX = """
{user} daemon off; worker_processes 1; pid {work}/pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; default_type application/json;
  sendfile on; tcp_nodelay on; client_max_body_size 20m; server_tokens off;
  client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c;
  uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;
  {http}
}}
"""


class Nginx(Contestant):
    name, core = "nginx", PROXY_CORE
    caches = True

    def http(self):
        return f"""
          upstream small {{ server 127.0.0.1:{self.upstream.port}; keepalive 128; keepalive_requests 1000000000; }}
          upstream sink {{ server 127.0.0.1:{self.upstream.sink_port}; keepalive 128; keepalive_requests 1000000000; }}
          proxy_cache_path {self.work}/cache keys_zone=cached:1m;
          server {{
            listen 127.0.0.1:{self.port} backlog=4096;
            proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0;
            proxy_request_buffering off;
            location = /mock {{ return 200 '{SMALL}'; }}
            location = /proxy {{ proxy_pass http://small; }}
            location = /cached {{ proxy_pass http://small/proxy; proxy_cache cached; proxy_cache_valid 200 300s; }}
            location = /download {{ proxy_pass http://small; }}
            location = /upload {{ proxy_pass http://sink; }}
          }}"""

    def command(self):
        config = self.work / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # its folder is closed to everybody else
        config.write_text(NGINX.format(user=user, work=self.work, http=self.http()))
        return ["/usr/sbin/nginx", "-p", str(self.work), "-e", "stderr", "-c", str(config)]


class Upstream(Nginx):
    """What stands behind all of them. It serves /mock too: that is how its readiness is seen."""

    name, core = "upstream", LOAD_CORE

    def prepare(self):
        (self.work / "download").write_bytes(os.urandom(MEBIBYTE))
        self.sink_port = free_port()
        sink = [sys.executable, str(Path(__file__).with_name("sink.py")), str(self.sink_port)]
        self.sink = subprocess.Popen(["taskset", "-c", LOAD_CORE, *sink])

    def http(self):
        return f"""
          server {{
            listen 127.0.0.1:{self.port} backlog=4096;
            location = /mock {{ return 200 '{SMALL}'; }}
            location = /proxy {{ return 200 '{SMALL}'; }}
            location = /download {{ root {self.work}; open_file_cache max=10; }}
          }}"""

    def stop(self):
        super().stop()
        self.sink.terminate()


class HAProxy(Contestant):
    name, core = "HAProxy", PROXY_CORE

    def command(self):
        config = self.work / "haproxy.cfg"
        config.write_text(f"""
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option http-keep-alive
    http-reuse always
frontend front
    bind 127.0.0.1:{self.port} backlog 4096
    http-request return status 200 content-type application/json string '{SMALL.replace(" ", "")}' if {{ path /mock }}
    use_backend sink if {{ path /upload }}
    default_backend small
backend small
    server one 127.0.0.1:{self.upstream.port} maxconn 1024
backend sink
    server one 127.0.0.1:{self.upstream.sink_port} maxconn 1024
""")
        return ["/usr/sbin/haproxy", "-db", "-f", str(config)]


class Envoy(Contestant):
    name, core = "Envoy", PROXY_CORE

    def cluster(self, name, port):
        address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
        assignment = {"cluster_name": name, "endpoints": endpoints}
        return {"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": assignment}

    def command(self):
        def to(cluster, path):
            return {"match": {"path": path}, "route": {"cluster": cluster, "timeout": "0s"}}

        mock = {"match": {"path": "/mock"}, "direct_response": {"status": 200, "body": {"inline_string": SMALL}}}
        routes = [mock, to("small", "/proxy"), to("small", "/download"), to("sink", "/upload")]
        types = "type.googleapis.com/envoy.extensions.filters"
        manager = {
            "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "in",
            "http_filters": [
                {"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}},
            ],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        }
        listener = {
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": self.port}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }
        clusters = [self.cluster("small", self.upstream.port), self.cluster("sink", self.upstream.sink_port)]
        config = self.work / "envoy.json"
        config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}}))
        import envoy

        binary = Path(envoy.__file__).parent / "_bin/envoy"
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        return [str(binary), "-c", str(config), *options]


class Stagedoor(Contestant):
    name, core = "Stagedoor", PROXY_CORE
    caches = True
    binary = None  # set by compare
    api = "benchmark1"
    host, prefix = f"{api}.execute-api.localhost", "/bench"

    def definition(self):
        def method(**integration):
            answer = {"responses": {"200": {"description": "ok"}}}
            return answer | {"x-amazon-apigateway-integration": integration}

        def proxy(verb, port, path):
            return method(type="http_proxy", httpMethod=verb, uri=f"http://127.0.0.1:{port}{path}")

        small, sink = self.upstream.port, self.upstream.sink_port
        responses = {"default": {"statusCode": "200", "responseTemplates": {"application/json": SMALL}}}
        mock = method(type="mock", requestTemplates={"application/json": '{"statusCode": 200}'}, responses=responses)
        return {
            "openapi": "3.0.1",
            "info": {"title": "bench", "version": "1"},
            "paths": {
                "/mock": {"get": mock},
                "/proxy": {"get": proxy("GET", small, "/proxy")},
                "/cached": {"get": proxy("GET", small, "/proxy")},
                "/download": {"get": proxy("GET", small, "/download")},
                "/upload": {"post": proxy("POST", sink, "/upload")},
            },
        }

    def prepare(self):
        import boto3

        self.control_port = free_port()
        process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not answers(self.control_port, "/_stagedoor/health"):
                if process.poll() is not None:
                    sys.exit(f"{self.binary} does not start")
            client = boto3.client(
                "apigateway",
                endpoint_url=f"http://127.0.0.1:{self.control_port}",
                region_name="us-east-1",
                aws_access_key_id="x",
                aws_secret_access_key="x",
            )
            client.create_rest_api(name="bench", tags={"_custom_id_": self.api})
            body = json.dumps(self.definition()).encode()
            client.put_rest_api(restApiId=self.api, mode="overwrite", body=body)
            deployment = client.create_deployment(restApiId=self.api)["id"]
            client.create_stage(
                restApiId=self.api, stageName="bench", deploymentId=deployment, cacheClusterEnabled=True, cacheClusterSize="0.5"
            )
            caching = {"op": "replace", "path": "/~1cached/GET/caching/enabled", "value": "true"}
            client.update_stage(restApiId=self.api, stageName="bench", patchOperations=[caching])
        finally:
            process.terminate()
            process.wait()

    def command(self):
        addresses = ["--listen", f"127.0.0.1:{self.port}", "--control", f"127.0.0.1:{self.control_port}"]
        return [str(self.binary), "serve", *addresses, "--data", str(self.work / "data"), "--workers", "1"]


ALL = {kind.name: kind for kind in (Stagedoor, Nginx, HAProxy, Envoy)}
