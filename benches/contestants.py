"""The proxies that are compared, each set up to do the same work in one worker on one core.

Alike for all: connections to clients and to the upstream are kept, bodies stream, nothing is logged per request.
Each serves /proxy (the upstream's small answer), /mock (an answer of its own), /download and /upload (1 MiB bodies);
those with a cache in memory serve /cached out of it. All but the upstream listen on a second port with TLS 1.3 and
HTTP/2, with the same ECDSA certificate. What HTTP APIs are measured with is a Stagedoor of its own (`HttpApis`).
"""

import base64
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
    folder = None  # of its files; its name, where that is not another's
    ready = "/mock"  # what is asked for to see that it answers
    caches = False  # whether it serves /cached, the upstream's small answer out of a cache in memory
    host, prefix = "localhost", ""

    def __init__(self, work: Path, upstream=None):
        self.work, self.upstream, self.port = work / (self.folder or self.name), upstream, free_port()
        self.tls_port = free_port()
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
        while not answers(self.port, self.prefix + self.ready, self.host):
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
        self.logged_port = free_port()
        return f"""
          upstream small {{ server 127.0.0.1:{self.upstream.port}; keepalive 128; keepalive_requests 1000000000; }}
          upstream sink {{ server 127.0.0.1:{self.upstream.sink_port}; keepalive 128; keepalive_requests 1000000000; }}
          proxy_cache_path {self.work}/cache keys_zone=cached:1m;
          server {{
            listen 127.0.0.1:{self.port} backlog=4096;
            listen 127.0.0.1:{self.tls_port} ssl http2 backlog=4096;
            ssl_certificate {self.upstream.certificate}; ssl_certificate_key {self.upstream.certificate};
            ssl_protocols TLSv1.3; http2_max_concurrent_streams 256;
            proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0;
            proxy_request_buffering off;
            location = /mock {{ return 200 '{SMALL}'; }}
            location = /proxy {{ proxy_pass http://small; }}
            location = /cached {{ proxy_pass http://small/proxy; proxy_cache cached; proxy_cache_valid 200 300s; }}
            location = /download {{ proxy_pass http://small; }}
            location = /upload {{ proxy_pass http://sink; }}
          }}
          server {{
            listen 127.0.0.1:{self.logged_port} backlog=4096;
            access_log {self.work}/access.log;
            proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
            location = /proxy {{ proxy_pass http://small; }}
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
        self.certificate, self.tokens = self_signed(self.work), Tokens(self.work, f"http://127.0.0.1:{self.port}")
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
            location = /.well-known/openid-configuration {{ return 200 '{json.dumps(self.tokens.metadata())}'; }}
            location = /keys {{ return 200 '{self.tokens.keys()}'; }}
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
    bind 127.0.0.1:{self.tls_port} backlog 4096 ssl crt {self.upstream.certificate} alpn h2,http/1.1 ssl-min-ver TLSv1.3
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
        router = {"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}}
        tokens = self.upstream.tokens
        provider = {"issuer": tokens.issuer, "audiences": ["app"], "local_jwks": {"inline_string": tokens.keys()}}
        guard = {
            "@type": f"{types}.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"tokens": provider | {"jwt_cache_config": {"jwt_cache_size": 100}}},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "tokens"}}],
        }

        def listener(port, *filters, **chain):
            manager = {
                "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "in",
                "http_filters": [*filters, router],
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            }
            return {
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}], **chain}],
            }

        file = {"filename": str(self.upstream.certificate)}
        tls = {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [{"certificate_chain": file, "private_key": file}],
                "alpn_protocols": ["h2", "http/1.1"],
            },
        }
        self.guarded_port = free_port()
        listeners = [
            listener(self.port),
            listener(self.tls_port, transport_socket={"name": "tls", "typed_config": tls}),
            listener(self.guarded_port, {"name": "jwt", "typed_config": guard}),
        ]
        clusters = [self.cluster("small", self.upstream.port), self.cluster("sink", self.upstream.sink_port)]
        config = self.work / "envoy.json"
        config.write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}}))
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
        self.control_port = free_port()
        process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not answers(self.control_port, "/_stagedoor/health"):
                if process.poll() is not None:
                    sys.exit(f"{self.binary} does not start")
            self.set_up()
        finally:
            process.terminate()
            process.wait()

    def client(self, service):
        import boto3

        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.control_port}",
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )

    def set_up(self):
        client = self.client("apigateway")
        client.create_rest_api(name="bench", tags={"_custom_id_": self.api})
        body = json.dumps(self.definition()).encode()
        client.put_rest_api(restApiId=self.api, mode="overwrite", body=body)
        deployment = client.create_deployment(restApiId=self.api)["id"]
        client.create_stage(
            restApiId=self.api, stageName="bench", deploymentId=deployment, cacheClusterEnabled=True, cacheClusterSize="0.5"
        )
        caching = {"op": "replace", "path": "/~1cached/GET/caching/enabled", "value": "true"}
        client.update_stage(restApiId=self.api, stageName="bench", patchOperations=[caching])

    def command(self):
        addresses = ["--listen", f"127.0.0.1:{self.port}", "--control", f"127.0.0.1:{self.control_port}"]
        return [str(self.binary), "serve", *addresses, "--data", str(self.work / "data"), "--workers", "1"]


class HttpApis(Stagedoor):
    """HTTP APIs: one with an access log, one without, whose route /guarded asks for a token, and one of many routes."""

    folder, caches = "Stagedoor-http-apis", False
    ready, prefix = "/proxy", ""
    logged, open, few, many = "loggedapi1", "openapi001", "fewroutes1", "manyroutes"
    host = f"{open}.execute-api.localhost"
    ROUTES = 10_000

    def integration(self):
        uri = f"http://127.0.0.1:{self.upstream.port}/proxy"
        return {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET", "IntegrationUri": uri, "PayloadFormatVersion": "1.0"}

    def api(self, client, id):
        client.create_api(Name=id, ProtocolType="HTTP", Tags={"_custom_id_": id})
        return client.create_integration(ApiId=id, **self.integration())["IntegrationId"]

    def set_up(self):
        client, log = self.client("apigatewayv2"), "arn:aws:logs:us-east-1:000000000000:log-group:access"
        for id in self.logged, self.open:
            target = f"integrations/{self.api(client, id)}"
            client.create_route(ApiId=id, RouteKey="GET /proxy", Target=target)
        tokens = {"Issuer": self.upstream.tokens.issuer, "Audience": ["app"]}
        authorizer = client.create_authorizer(
            ApiId=self.open, AuthorizerType="JWT", Name="a", IdentitySource=["$request.header.Authorization"], JwtConfiguration=tokens
        )["AuthorizerId"]
        guard = {"AuthorizationType": "JWT", "AuthorizerId": authorizer}
        client.create_route(ApiId=self.open, RouteKey="GET /guarded", Target=target, **guard)
        names = ("requestId", "identity.sourceIp", "requestTime", "httpMethod", "routeKey", "status", "protocol",
                 "responseLength", "integrationLatency")  # fmt: skip
        format = "{" + ",".join(f'"{name}":"$context.{name}"' for name in names) + "}"
        settings = {"AccessLogSettings": {"DestinationArn": log, "Format": format}}
        for id, count in (self.few, 10), (self.many, self.ROUTES):
            target, shape = self.integration(), {"responses": {}}
            shape["x-amazon-apigateway-integration"] = {
                "type": "HTTP_PROXY", "httpMethod": "GET", "uri": target["IntegrationUri"], "payloadFormatVersion": "1.0",
            }  # fmt: skip
            paths = {f"/group{number % 100}/item{number}/{{id}}": {"get": shape} for number in range(count)}
            document = {"openapi": "3.0.1", "info": {"title": id, "version": "1"}, "paths": paths, "tags": [
                {"name": "_custom_id_", "x-amazon-apigateway-tag-value": id}]}  # fmt: skip
            client.import_api(Body=json.dumps(document))
        for id in self.logged, self.open, self.few, self.many:
            client.create_stage(ApiId=id, StageName="$default", AutoDeploy=True, **(settings if id == self.logged else {}))

    def command(self):
        config = self.work / "config.toml"
        config.write_text(f"""
[https]
listen = "127.0.0.1:{self.tls_port}"
certificate = "{self.upstream.certificate}"
key = "{self.upstream.certificate}"
[[log_destinations]]
arn = "arn:aws:logs:us-east-1:000000000000:log-group:access"
file = "{self.work}/access.log"
""")
        return [*super().command(), "--config", str(config)]


class View:
    """A contestant, asked in another way: at another port or host, or under another name."""

    def __init__(self, target, **other):
        self.target = target
        self.__dict__.update(other)

    def __getattr__(self, name):
        return getattr(self.target, name)


def self_signed(folder):
    """A certificate for the hosts here and its key, in one file."""
    file = folder / "tls.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
               "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:*.execute-api.localhost",
               "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    file.write_text((folder / "certificate.pem").read_text() + (folder / "key.pem").read_text())
    return file


class Tokens:
    """An issuer of tokens: its key and what it publishes."""

    def __init__(self, folder, issuer):
        self.key, self.issuer = folder / "token-key.pem", issuer
        subprocess.run(["openssl", "genrsa", "-out", str(self.key), "2048"], check=True, capture_output=True)

    def metadata(self):
        return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}

    def keys(self):
        shown = subprocess.run(["openssl", "rsa", "-in", str(self.key), "-noout", "-modulus"], capture_output=True, text=True)
        modulus = bytes.fromhex(shown.stdout.strip().removeprefix("Modulus="))
        return json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", "e": "AQAB", "n": encoded(modulus)}]})

    def token(self):
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "app", "sub": "ann", "iat": now, "exp": now + 86_400}
        head = {"alg": "RS256", "typ": "JWT", "kid": "k"}
        text = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
        sign = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        return f"{text}.{encoded(subprocess.run(sign, input=text.encode(), capture_output=True, check=True).stdout)}"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


ALL = {kind.name: kind for kind in (Stagedoor, Nginx, HAProxy, Envoy)}
