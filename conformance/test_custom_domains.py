"""Traffic to custom domain names: routing, TLS by name, mutual TLS, and what backends are shown. The clients are curl,
OpenSSL and Python's own TLS; certificates are OpenSSL's."""

import datetime
import json
import socket
import ssl
import subprocess
import threading

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from harness import REGION, eventually, free_port
from test_access_logs import lines, set_log
from test_domain_names import refused, replace

ARN = f"arn:aws:acm:{REGION}:000000000000:certificate/"
ENHANCED = "SecurityPolicy_TLS13_1_3_2025_09"


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder, name="authority", parent=None):
        self.folder, self.name = folder, name
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        self._make(name, parent, ["-addext", "basicConstraints=critical,CA:TRUE"])

    def _make(self, name, parent, extensions):
        files = ["-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem"]
        signer = ["-CA", parent.certificate, "-CAkey", parent.key] if parent else []
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/C=US/O=Tests/CN={name}",
                *signer, *files, *extensions)  # fmt: skip

    def issue(self, name, *hosts):
        """A certificate for hosts or a client, as (certificate, key) files."""
        extensions = ["-addext", "basicConstraints=critical,CA:FALSE"]
        if hosts:
            extensions += ["-addext", "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)]
        self._make(name, self, extensions)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


def openssl(*arguments, **options):
    done = subprocess.run(["openssl", *arguments], capture_output=True, timeout=60, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Served:
    """A gateway with HTTPS, and an authority that signed what it shows."""

    def __init__(self, new_gateway, tmp_path, more=""):
        self.folder, self.port = tmp_path, free_port()
        self.authority = Authority(tmp_path)
        self.authority.issue("server", "*.example.com", "*.execute-api.localhost")
        config = tmp_path / "stagedoor.toml"
        config.write_text(f"""
[https]
listen = "127.0.0.1:{self.port}"
certificate = "server.pem"
key = "server.key"

[[certificates]]
arn = "{ARN}1"
certificate = "server.pem"
key = "server.key"

[[truststores]]
uri = "s3://bucket/trust.pem"
file = "trust.pem"
{more}""")
        self.gateway = new_gateway("--config", str(config))

    def start(self):
        self.gateway.start()
        self.v1, self.v2 = self.gateway.client(), self.gateway.client("apigatewayv2")
        return self

    def domain(self, name, **options):
        options = {"regionalCertificateArn": ARN + "1", "endpointConfiguration": {"types": ["REGIONAL"]}, **options}
        return self.v1.create_domain_name(domainName=name, **options)

    def curl(self, host, path, *arguments, ok=True):
        """curl to the HTTPS listener: (status, HTTP version, body); the exit code alone if it fails."""
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--cacert", self.authority.certificate,
             "--resolve", f"{host}:{self.port}:127.0.0.1", "-w", "\n%{http_code} %{http_version}", *arguments,
             f"https://{host}:{self.port}{path}"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        if not ok:
            assert done.returncode != 0, done.stdout
            return done.returncode
        assert done.returncode == 0, done.stderr
        body, _, numbers = done.stdout.rpartition("\n")
        status, version = numbers.split()
        return int(status), version, body


@pytest.fixture
def served(new_gateway, tmp_path):
    return Served(new_gateway, tmp_path).start()


def host_call(gateway, host, path, **options):
    headers = {"Host": host, **options.pop("headers", {})}
    return requests.get(gateway.traffic + path, headers=headers, timeout=10, **options)


CONTEXT = '{"path":"$context.path","base":"$context.customDomain.basePathMatched","domain":"$context.domainName",\
"prefix":"$context.domainPrefix","stage":"$context.stage","resource":"$context.resourcePath",\
"rule":"$context.customDomain.routingRuleIdMatched"}'


def context_api(gateway, name="one"):
    api = gateway.rest_api(name)
    api.mock("GET", "/", CONTEXT)
    api.mock("GET", "/{proxy+}", CONTEXT)
    api.deploy()
    return api


def certified(gateway, name, **options):
    options = {"regionalCertificateArn": ARN + "1", "endpointConfiguration": {"types": ["REGIONAL"]}, **options}
    gateway.client().create_domain_name(domainName=name, **options)


def test_base_path_mappings_route(gateway):
    one, two = context_api(gateway), context_api(gateway, "two")
    v1, name = gateway.client(), "api.example.com"
    assert host_call(gateway, name, "/v1").status_code == 403
    certified(gateway, name)
    # A name without a mapping is refused as AWS refuses it.
    answer = host_call(gateway, name, "/v1")
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})
    v1.create_base_path_mapping(domainName=name, basePath="v1", restApiId=one.id, stage="test")
    found = host_call(gateway, f"{name}:{gateway.traffic_port}", "/v1/pets/1").json()
    assert found == {"path": "/v1/pets/1", "base": "v1", "domain": name, "prefix": "api", "stage": "test",
                     "resource": "/{proxy+}", "rule": ""}  # fmt: skip
    assert host_call(gateway, name, "/v10").status_code == 403
    v1.create_base_path_mapping(domainName=name, restApiId=two.id)  # no stage: the path names it
    assert host_call(gateway, name, "/test/x").json()["base"] == "(none)"
    assert host_call(gateway, name, "/v1").json()["resource"] == "/"
    assert host_call(gateway, name, "/ping").text == "healthy"
    # A mapping moves without a deployment, and the API's own address can be switched off.
    v1.update_base_path_mapping(domainName=name, basePath="v1", patchOperations=[replace("/basePath", "v2")])
    assert host_call(gateway, name, "/v2/x").json()["base"] == "v2"
    v1.update_rest_api(restApiId=one.id, patchOperations=[replace("/disableExecuteApiEndpoint", "true")])
    one.deploy_without_waiting()
    assert one.call("GET", "/").status_code == 403
    assert host_call(gateway, name, "/v2/x").status_code == 200
    v1.delete_domain_name(domainName=name)
    assert host_call(gateway, name, "/v2/x").status_code == 403


def test_wildcards_and_levels(gateway):
    one, two = context_api(gateway), context_api(gateway, "two")
    v2 = gateway.client("apigatewayv2")
    certified(gateway, "*.example.com")
    certified(gateway, "api.example.com")
    v2.create_api_mapping(DomainName="*.example.com", ApiId=one.id, Stage="test")
    v2.create_api_mapping(DomainName="api.example.com", ApiId=one.id, Stage="test", ApiMappingKey="orders")
    v2.create_api_mapping(DomainName="api.example.com", ApiId=two.id, Stage="test", ApiMappingKey="orders/v2")
    assert host_call(gateway, "x.example.com", "/a").json()["base"] == "(none)"
    assert host_call(gateway, "api.example.com", "/orders/v2/a").json()["base"] == "orders/v2"
    assert host_call(gateway, "api.example.com", "/orders/v20").json()["base"] == "orders"
    assert host_call(gateway, "api.example.com", "/a").status_code == 403


def test_routing_rules_route(gateway):
    one = context_api(gateway)
    v2, name = gateway.client("apigatewayv2"), "rules.example.com"
    certified(gateway, name, routingMode="ROUTING_RULE_THEN_BASE_PATH_MAPPING")
    v2.create_api_mapping(DomainName=name, ApiId=one.id, Stage="test")

    def rule(priority, strip, *conditions):
        action = {"InvokeApi": {"ApiId": one.id, "Stage": "test", "StripBasePath": strip}}
        made = v2.create_routing_rule(DomainName=name, Priority=priority, Conditions=[*conditions], Actions=[action])
        return made["RoutingRuleId"]

    beta = {"MatchHeaders": {"AnyOf": [{"Header": "X-Version", "ValueGlob": "beta*"}]}}
    users = {"MatchBasePaths": {"AnyOf": ["users"]}}
    both, path = rule(10, True, beta, users), rule(20, False, users)
    # A header's name has no case, its value has.
    assert host_call(gateway, name, "/users", headers={"X-VERSION": "Beta-2"}).json()["rule"] == path
    found = host_call(gateway, name, "/users", headers={"x-version": "beta-2"}).json()
    assert (found["rule"], found["resource"], found["path"]) == (both, "/", "/users")
    found = host_call(gateway, name, "/users/1").json()
    assert (found["rule"], found["resource"], found["base"]) == (path, "/{proxy+}", "")
    assert host_call(gateway, name, "/other").json()["base"] == "(none)"
    # Both headers of a rule have to be there, and of the rules that fit the lowest priority counts.
    gamma = {"MatchHeaders": {"AnyOf": [{"Header": "X-Ring", "ValueGlob": "*inner*"}]}}
    first = rule(1, True, beta, gamma)
    for headers, expected in ({"X-Version": "beta", "X-Ring": "an-inner-one"}, first), ({"X-Ring": "inner"}, path):
        assert host_call(gateway, name, "/users/1", headers=headers).json()["rule"] == expected
    v2.update_domain_name(DomainName=name, RoutingMode="ROUTING_RULE_ONLY")
    assert host_call(gateway, name, "/other").status_code == 403
    assert host_call(gateway, name, "/users/1").status_code == 200
    v2.update_domain_name(DomainName=name, RoutingMode="API_MAPPING_ONLY")
    assert host_call(gateway, name, "/users/1").json()["rule"] == ""


def test_https_by_name(served):
    api = context_api(served.gateway)
    served.domain("api.example.com")
    served.v1.create_base_path_mapping(domainName="api.example.com", restApiId=api.id, stage="test")
    status, version, body = served.curl("api.example.com", "/x")
    assert (status, version, json.loads(body)["domain"]) == (200, "2", "api.example.com")
    assert served.curl("api.example.com", "/x", "--http1.1")[:2] == (200, "1.1")
    assert served.curl("api.example.com", "/x", "--tls-max", "1.2")[:2] == (200, "2")
    assert served.curl(f"{api.id}.execute-api.localhost", "/test/x")[0] == 200
    # One connection serves requests for other names too, as on AWS, unless a domain forbids it.
    assert served.curl("api.example.com", "/test/x", "-H", f"Host: {api.id}.execute-api.localhost")[0] == 200


def test_security_policies(served):
    api = context_api(served.gateway)
    served.domain("new.example.com", securityPolicy=ENHANCED, endpointAccessMode="STRICT")
    served.v1.create_base_path_mapping(domainName="new.example.com", restApiId=api.id, stage="test")
    assert served.curl("new.example.com", "/x", "--tlsv1.3")[0] == 200
    served.curl("new.example.com", "/x", "--tls-max", "1.2", ok=False)
    # STRICT: neither without TLS nor over a connection that was made for another name.
    assert host_call(served.gateway, "new.example.com", "/x").status_code == 403
    served.domain("old.example.com")
    assert served.curl("old.example.com", "/x", "-H", "Host: new.example.com")[0] == 403
    patches = [replace("/securityPolicy", "TLS_1_2")]
    served.v1.update_domain_name(domainName="new.example.com", patchOperations=patches)
    assert served.curl("new.example.com", "/x", "--tls-max", "1.2")[0] == 200


def test_security_policy_of_an_api(served):
    api = context_api(served.gateway)
    host = f"{api.id}.execute-api.localhost"
    assert served.curl(host, "/test/x", "--tls-max", "1.2")[0] == 200
    regional = replace("/endpointConfiguration/types/EDGE", "REGIONAL")
    patches = [regional, replace("/securityPolicy", ENHANCED), replace("/endpointAccessMode", "STRICT")]
    served.v1.update_rest_api(restApiId=api.id, patchOperations=patches)
    api.client.create_deployment(restApiId=api.id, stageName="test")
    served.curl(host, "/test/x", "--tls-max", "1.2", ok=False)
    assert served.curl(host, "/test/x")[0] == 200
    served.domain("open.example.com")
    assert served.curl("open.example.com", "/test/x", "-H", f"Host: {host}")[0] == 403
    assert host_call(served.gateway, host, "/test/x").status_code == 403


def test_access_logs_tell_how_connections_are_encrypted(new_gateway, tmp_path):
    more = f"[[log_destinations]]\narn = 'arn:aws:logs:*'\nfile = '{tmp_path}/access.log'\n"
    served = Served(new_gateway, tmp_path, more).start()
    api = context_api(served.gateway)
    set_log(api, "$context.requestId $context.tlsVersion $context.cipherSuite")
    host = f"{api.id}.execute-api.localhost"
    # By OpenSSL's names; the log has IANA's.
    newest = ("--tls13-ciphers", "TLS_AES_256_GCM_SHA384")
    assert served.curl(host, "/test/x", *newest)[0] == 200
    older = ("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256")
    assert served.curl(host, "/test/x", *older)[0] == 200
    # The server's order counts, which is AWS's.
    both = ("--tls13-ciphers", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256")
    assert served.curl(host, "/test/x", *both)[0] == 200
    assert api.call("GET", "/x").status_code == 200
    told = [line.split(" ", 1)[1] for line in lines(tmp_path / "access.log", 4)]
    tls12, tls13 = "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", ["TLSv1.3 TLS_AES_128_GCM_SHA256", "TLSv1.3 TLS_AES_256_GCM_SHA384"]
    assert sorted(told) == ["- -", tls12, *tls13]


def test_certificates_are_reloaded(served):
    served.domain("api.example.com")

    def shown():
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as link:
            context = ssl.create_default_context(cafile=served.authority.certificate)
            with context.wrap_socket(link, server_hostname="api.example.com") as secured:
                return dict(pair[0] for pair in secured.getpeercert()["subject"])["commonName"]

    assert shown() == "server"
    served.authority.issue("renewed", "api.example.com")
    for suffix in "key", "pem":
        (served.folder / f"renewed.{suffix}").replace(served.folder / f"server.{suffix}")
    eventually(lambda: shown() == "renewed", what="the renewed certificate")
    # A file that is no certificate changes nothing.
    (served.folder / "server.pem").write_text("half")
    eventually(lambda: "no new certificate" in served.gateway.log(), what="a complaint")
    assert shown() == "renewed"


def test_a_name_without_configured_certificate(served):
    served.domain("local.example.com", regionalCertificateArn=ARN + "unknown")
    served.curl("local.example.com", "/", ok=False)  # nobody signed it
    assert served.curl("local.example.com", "/ping", "--insecure")[0] == 200
    assert "self-signed" in served.gateway.log()


@pytest.fixture
def mutual(new_gateway, tmp_path):
    """A gateway whose domain trusts the clients of one authority."""
    clients = Authority(tmp_path, "clients")
    (tmp_path / "trust.pem").write_bytes(clients.certificate.read_bytes())
    served = Served(new_gateway, tmp_path).start()
    served.clients = clients
    template = '{"subject":"$context.identity.clientCert.subjectDN","issuer":"$context.identity.clientCert.issuerDN",\
"serial":"$context.identity.clientCert.serialNumber","from":"$context.identity.clientCert.validity.notBefore"}'
    served.api = served.gateway.rest_api()
    served.api.mock("GET", "/{proxy+}", template)
    served.api.deploy()
    trust = {"truststoreUri": "s3://bucket/trust.pem"}
    made = served.domain("mutual.example.com", mutualTlsAuthentication=trust)
    assert made["mutualTlsAuthentication"] == trust
    served.v1.create_base_path_mapping(domainName="mutual.example.com", restApiId=served.api.id, stage="test")
    return served


def shows(certificate, key):
    return "--cert", certificate, "--key", key


def test_mutual_tls_and_access_modes(mutual):
    """What Terraform's users were answered for each mode."""
    for mode in ("BASIC", "STRICT"):
        patches = [replace("/endpointAccessMode", mode), replace("/securityPolicy", ENHANCED)]
        refused(mutual.v1.update_domain_name, "BadRequestException", "/endpointAccessMode Invalid request input",
                domainName="mutual.example.com", patchOperations=patches)  # fmt: skip


def test_mutual_tls(mutual):
    trusted = mutual.clients.issue("alice")
    status, _, body = mutual.curl("mutual.example.com", "/x", *shows(*trusted))
    found = json.loads(body)
    assert (status, found["subject"], found["issuer"]) == (200, "C=US,O=Tests,CN=alice", "C=US,O=Tests,CN=clients")
    assert found["serial"].count(":") >= 15 and found["from"].endswith(" GMT")
    # Without a certificate there is no connection; with one that nobody trusts the answer is 403.
    mutual.curl("mutual.example.com", "/x", ok=False)
    stranger = Authority(mutual.folder, "strangers").issue("mallory")
    assert mutual.curl("mutual.example.com", "/x", *shows(*stranger))[0] == 403
    assert "Access denied. Reason: Could not find issuer for certificate" in mutual.gateway.log()
    alone = Authority(mutual.folder, "alone")
    assert mutual.curl("mutual.example.com", "/x", *shows(alone.certificate, alone.key))[0] == 403
    assert "Access denied. Reason: self signed certificate" in mutual.gateway.log()
    # Neither without TLS nor over another name's connection.
    assert host_call(mutual.gateway, "mutual.example.com", "/x").status_code == 403
    mutual.domain("open.example.com")
    fronted = mutual.curl("open.example.com", "/x", "-H", "Host: mutual.example.com", *shows(*trusted))
    assert fronted[0] == 403


def test_mutual_tls_is_updated_in_the_newer_service(mutual):
    """The developer guide changes the version alone; only an empty URI turns mutual TLS off."""
    uri = "s3://bucket/trust.pem"

    def updated(**members):
        options = {"DomainName": "mutual.example.com", "MutualTlsAuthentication": members}
        return mutual.v2.update_domain_name(**options).get("MutualTlsAuthentication")

    both = {"TruststoreUri": uri, "TruststoreVersion": "abc"}
    assert updated(TruststoreVersion="abc") == both == updated(TruststoreUri=uri) == updated()
    mutual.curl("mutual.example.com", "/x", ok=False)
    assert updated(TruststoreVersion="") == {"TruststoreUri": uri}
    assert updated(TruststoreUri="") is None and updated() is None
    refused(mutual.v2.update_domain_name, "BadRequestException", "Invalid truststore URI : write it as s3://bucket/key",
            DomainName="mutual.example.com", MutualTlsAuthentication={"TruststoreVersion": "abc"})  # fmt: skip


def weak_or_strong(authority, bits=2048, hash="sha256", days=1):
    """A client's certificate, as (certificate, key) files. A negative number of days ends it before now."""
    certificate, key = authority.folder / "client.pem", authority.folder / "client.key"
    openssl("req", "-x509", "-newkey", f"rsa:{bits}", f"-{hash}", "-nodes", "-subj", "/CN=client", "-CA", authority.certificate,
            "-CAkey", authority.key, "-keyout", key, "-out", certificate, "-addext", "basicConstraints=critical,CA:FALSE")  # fmt: skip
    if days < 0:
        # OpenSSL's command makes none that has ended already.
        signer = serialization.load_pem_private_key(authority.key.read_bytes(), None)
        made = x509.load_pem_x509_certificate(certificate.read_bytes())
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder(made.issuer, made.subject, made.public_key(), made.serial_number)
        builder = builder.not_valid_before(now - datetime.timedelta(days=5)).not_valid_after(now + datetime.timedelta(days=days))
        certificate.write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return certificate, key


@pytest.mark.parametrize("weakness", [{"bits": 1024}, {"hash": "sha1"}, {"days": -1}])
def test_mutual_tls_takes_no_weak_certificates(mutual, weakness):
    """RSA with 2048 bits and SHA-256 are the least that AWS takes."""

    def ask(certificate, key):
        context = ssl.create_default_context(cafile=mutual.authority.certificate)
        # Else OpenSSL itself would not show a weak one.
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.load_cert_chain(certificate, key)
        with socket.create_connection(("127.0.0.1", mutual.port), timeout=10) as link:
            try:
                with context.wrap_socket(link, server_hostname="mutual.example.com") as secured:
                    secured.sendall(b"GET /x HTTP/1.1\r\nHost: mutual.example.com\r\n\r\n")
                    return int(secured.recv(65536).split()[1])
            except (ssl.SSLError, ConnectionResetError) as error:
                return error

    assert ask(*weak_or_strong(mutual.clients)) == 200
    refused = ask(*weak_or_strong(mutual.clients, **weakness))
    # A signature that cannot be verified ends the handshake; a certificate that is not trusted is answered.
    assert refused == 403 or "alert" in str(refused).lower(), refused


def test_mutual_tls_chain_of_four(mutual):
    deep = mutual.clients
    for name in "second", "third", "fourth":
        deep = Authority(mutual.folder, name, deep)
        certificate, key = deep.issue(f"client-of-{name}")
        if name == "second":
            chain = [certificate, deep.certificate]
        else:
            chain = [certificate, deep.certificate, *chain[1:]]
        bundle = mutual.folder / f"{name}-bundle.pem"
        bundle.write_bytes(b"".join(part.read_bytes() for part in chain))
        # clients, second, the client's own: three; with the third four; with the fourth five.
        expected = 403 if name == "fourth" else 200
        assert mutual.curl("mutual.example.com", "/x", *shows(bundle, key))[0] == expected, name


def test_mutual_tls_truststore_is_reloaded(mutual):
    trusted = mutual.clients.issue("alice")
    context = ssl.create_default_context(cafile=mutual.authority.certificate)
    context.load_cert_chain(*trusted)
    with socket.create_connection(("127.0.0.1", mutual.port), timeout=10) as link:
        with context.wrap_socket(link, server_hostname="mutual.example.com") as secured:

            def ask():
                secured.sendall(b"GET /x HTTP/1.1\r\nHost: mutual.example.com\r\n\r\n")
                return int(secured.recv(65536).split()[1])

            assert ask() == 200
            assert not secured.session_reused
            others = Authority(mutual.folder, "others")
            (mutual.folder / "trust.pem").write_bytes(others.certificate.read_bytes())
            # Who is trusted no longer is shut out of the open connection too.
            eventually(lambda: ask() == 403, what="the new truststore on an open connection")
    assert mutual.curl("mutual.example.com", "/x", *shows(*trusted))[0] == 403
    patches = [replace("/mutualTlsAuthentication/truststoreUri", "")]
    changed = mutual.v1.update_domain_name(domainName="mutual.example.com", patchOperations=patches)
    assert "mutualTlsAuthentication" not in changed
    assert mutual.curl("mutual.example.com", "/x")[0] == 200


def test_mutual_tls_ends_with_the_certificate(mutual):
    """A certificate that ends while its connection is open is not taken on it any longer."""
    certificate, key = mutual.clients.issue("alice")
    made = x509.load_pem_x509_certificate(certificate.read_bytes())
    signer = serialization.load_pem_private_key(mutual.clients.key.read_bytes(), None)
    builder = x509.CertificateBuilder(made.issuer, made.subject, made.public_key(), made.serial_number)
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=4)
    builder = builder.not_valid_before(ends - datetime.timedelta(days=1)).not_valid_after(ends)
    certificate.write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(cafile=mutual.authority.certificate)
    context.load_cert_chain(certificate, key)
    with socket.create_connection(("127.0.0.1", mutual.port), timeout=10) as link:
        with context.wrap_socket(link, server_hostname="mutual.example.com") as secured:

            def ask():
                secured.sendall(b"GET /x HTTP/1.1\r\nHost: mutual.example.com\r\n\r\n")
                return int(secured.recv(65536).split()[1])

            assert ask() == 200
            eventually(lambda: ask() == 403, what="the end of the certificate")


def test_no_session_is_resumed_on_a_domain_with_mutual_tls(mutual):
    certificate, key = mutual.clients.issue("alice")
    mutual.domain("open.example.com")

    def session(name, *arguments):
        command = ["s_client", "-connect", f"127.0.0.1:{mutual.port}", "-servername", name, "-tls1_2", *arguments]
        return openssl(*command, stdin=subprocess.DEVNULL).decode()

    kept = mutual.folder / "session"
    session("mutual.example.com", "-cert", certificate, "-key", key, "-sess_out", kept)
    assert not kept.exists()  # there is no session to keep
    session("open.example.com", "-sess_out", kept)
    assert "Reused" in session("open.example.com", "-sess_in", kept)
    # A session of one domain is none of another's.
    other = session("mutual.example.com", "-cert", certificate, "-key", key, "-sess_in", kept)
    assert "New, TLSv1.2" in other and "Reused" not in other


class MutualOrigin:
    """A backend that tells which certificate it was shown."""

    def __init__(self, certificate, key, trusted):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.context.load_verify_locations(trusted)
        self.context.verify_mode = ssl.CERT_OPTIONAL
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                link, _ = self.listener.accept()
                with self.context.wrap_socket(link, server_side=True) as secured:
                    secured.recv(65536)
                    shown = json.dumps(secured.getpeercert() or {}).encode()
                    secured.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(shown))
                    secured.sendall(shown)
            except ssl.SSLError:
                continue
            except OSError:
                return

    def close(self):
        self.listener.close()


def test_backends_are_shown_the_stages_client_certificate(new_gateway, tmp_path):
    authority = Authority(tmp_path)
    server = authority.issue("backend", "localhost")
    gateway = new_gateway(env={"SSL_CERT_FILE": str(authority.certificate)}).start()
    client = gateway.client()
    made = client.generate_client_certificate()
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(made["pemEncodedCertificate"])
    origin = MutualOrigin(*server, trusted)
    try:
        api = gateway.rest_api()
        for path, kind in (("/proxy", "HTTP_PROXY"), ("/mapped", "HTTP")):
            api.proxy("GET", path, f"https://localhost:{origin.port}/", kind=kind)
        where = {"restApiId": api.id, "resourceId": api.resource("/mapped"), "httpMethod": "GET", "statusCode": "200"}
        client.put_method_response(**where)
        client.put_integration_response(**where)
        api.deploy()
        assert api.call("GET", "/proxy").json() == {}
        method = {"restApiId": api.id, "resourceId": api.resource("/proxy"), "httpMethod": "GET"}
        assert json.loads(client.test_invoke_method(**method)["body"]) == {}
        tested = client.test_invoke_method(**method, clientCertificateId=made["clientCertificateId"])
        assert [["commonName", "ApiGateway"]] in json.loads(tested["body"])["subject"], tested
        with pytest.raises(client.exceptions.BadRequestException, match="Invalid Client Certificate ID specified"):
            client.test_invoke_method(**method, clientCertificateId="nope00")
        patches = [replace("/clientCertificateId", made["clientCertificateId"])]
        changed = client.update_stage(restApiId=api.id, stageName="test", patchOperations=patches)
        assert changed["clientCertificateId"] == made["clientCertificateId"]
        for path in "/proxy", "/mapped":
            shown = api.call("GET", path).json()
            assert [["commonName", "ApiGateway"]] in shown["subject"], shown
        # Its private key is in no file that can be read without the gateway's own.
        files = [path for path in gateway.data.rglob("*") if path.is_file() and path.name != "principals.key"]
        assert files and not any(b"PRIVATE KEY" in path.read_bytes() for path in files)
        gateway.terminate()
        gateway.start()
        assert [["commonName", "ApiGateway"]] in api.call("GET", path).json()["subject"]
        used = client.exceptions.BadRequestException
        with pytest.raises(used):
            client.delete_client_certificate(clientCertificateId=made["clientCertificateId"])
        client.update_stage(restApiId=api.id, stageName="test", patchOperations=[replace("/clientCertificateId", "")])
        assert api.call("GET", "/proxy").json() == {}
        client.delete_client_certificate(clientCertificateId=made["clientCertificateId"])
    finally:
        origin.close()


ALLOW_ONE_ENDPOINT = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"},
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "execute-api:Invoke",
                "Resource": "execute-api:/*",
                "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-one"}},
            },
        ],
    }
)


@pytest.fixture
def endpoints(new_gateway, tmp_path):
    """A gateway with two VPC endpoints, each with a listener: (gateway, {id: URL})."""
    ports = {"vpce-one": free_port(), "vpce-two": free_port()}
    config = tmp_path / "stagedoor.toml"
    config.write_text(
        "".join(
            f'[[vpc_endpoints]]\nid = "{id}"\nvpc = "vpc-1"\nlisten = "127.0.0.1:{port}"\n' for id, port in ports.items()
        )
    )
    gateway = new_gateway("--config", str(config)).start()
    return gateway, {id: f"http://127.0.0.1:{port}" for id, port in ports.items()}


def test_private_apis(endpoints):
    gateway, urls = endpoints
    api = gateway.rest_api("private", endpointConfiguration={"types": ["PRIVATE"]})
    template = '{"vpce":"$context.identity.vpceId","vpc":"$context.identity.vpcId"}'
    api.mock("GET", "/", template)
    client = gateway.client()
    alone = ": Private REST API doesn't have a resource policy attached to it$"
    with pytest.raises(client.exceptions.BadRequestException, match=alone):
        client.create_deployment(restApiId=api.id, stageName="test")
    client.update_rest_api(restApiId=api.id, patchOperations=[replace("/policy", ALLOW_ONE_ENDPOINT)])
    client.create_deployment(restApiId=api.id, stageName="test")

    def ask(url, host, **headers):
        return requests.get(url + "/test/", headers={"Host": host, **headers}, timeout=10)

    host = f"{api.id}.execute-api.localhost"
    assert ask(urls["vpce-one"], host).json() == {"vpce": "vpce-one", "vpc": "vpc-1"}
    assert ask(urls["vpce-one"], f"{api.id}-vpce-one.execute-api.localhost").status_code == 200
    assert ask(urls["vpce-one"], f"{api.id}-vpce-two.execute-api.localhost").status_code == 403
    named = {"x-apigw-api-id": api.id}
    assert ask(urls["vpce-one"], "vpce-one.execute-api.localhost", **named).status_code == 200
    # Host and header that name two APIs name none: what was signed for one would reach the other.
    other = gateway.rest_api("other", endpointConfiguration={"types": ["PRIVATE"]}, policy=ALLOW_ONE_ENDPOINT)
    other.mock("GET", "/", "other")
    client.create_deployment(restApiId=other.id, stageName="test")
    for named_by_host in f"{other.id}.execute-api.localhost", f"{other.id}-vpce-one.execute-api.localhost":
        assert ask(urls["vpce-one"], named_by_host).text == "other"
        assert ask(urls["vpce-one"], named_by_host, **named).json() == {"message": "Forbidden"}
    # From nowhere else: not past the policy, and not from outside.
    assert ask(urls["vpce-two"], host).status_code == 403
    assert ask(gateway.traffic, host).status_code == 403
    assert ask(gateway.traffic, "vpce-one.execute-api.localhost", **named).status_code == 403
    assert requests.get(f"{gateway.traffic}/_aws/execute-api/{api.id}/test/", timeout=10).status_code == 403


def test_public_apis_are_not_reached_through_vpc_endpoints(endpoints):
    """Not by their own names, which lead clients of a VPC to the endpoint; by custom names from the VPC's networks alone."""
    gateway, urls = endpoints
    api = gateway.rest_api("public", policy=ALLOW_ONE_ENDPOINT)
    api.mock("GET", "/", "hello")
    api.deploy_without_waiting()
    web = gateway.client("apigatewayv2")
    http = web.create_api(Name="h", ProtocolType="HTTP", Target="http://127.0.0.1:1")["ApiId"]
    certified(gateway, "public.example.com")
    web.create_api_mapping(DomainName="public.example.com", ApiId=api.id, Stage="test")

    def ask(url, host, path="/test/", **headers):
        return requests.get(url + path, headers={"Host": host, **headers}, timeout=10)

    own = f"{api.id}.execute-api.localhost"
    # Nobody comes to a public API through an endpoint, so its policy sees none.
    assert ask(gateway.traffic, own).status_code == 403
    for host, headers in (own, {}), (f"{api.id}-vpce-one.execute-api.localhost", {}), ("x.execute-api.localhost", {"x-apigw-api-id": api.id}):
        answer = ask(urls["vpce-one"], host, **headers)
        found = answer.status_code, answer.headers["x-amzn-ErrorType"], answer.json()
        assert found == (403, "ForbiddenException", {"message": "Forbidden"}), host
    assert ask(urls["vpce-one"], f"{http}.execute-api.localhost", "/").json() == {"message": "Forbidden"}
    assert ask(urls["vpce-one"], "public.example.com", "/").json() == {"message": "Forbidden"}
    assert requests.get(f"{urls['vpce-one']}/_aws/execute-api/{api.id}/test/", timeout=10).json() == {"message": "Forbidden"}
    api.client.update_rest_api(restApiId=api.id, patchOperations=[replace("/policy", "")])
    api.deploy_without_waiting()
    assert ask(gateway.traffic, own).text == "hello"
    assert ask(gateway.traffic, "public.example.com", "/").text == "hello"
    assert ask(urls["vpce-one"], own).status_code == 403


def test_public_apis_from_the_networks_of_a_vpc(new_gateway, tmp_path):
    config = tmp_path / "stagedoor.toml"
    config.write_text('[[vpc_endpoints]]\nid = "vpce-one"\nvpc = "vpc-1"\nsources = ["127.0.0.0/8"]\n')
    gateway = new_gateway("--config", str(config)).start()
    api = gateway.rest_api("public")
    api.mock("GET", "/", '{"vpce":"$context.identity.vpceId"}')
    api.deploy_without_waiting()
    certified(gateway, "public.example.com")
    gateway.client("apigatewayv2").create_api_mapping(DomainName="public.example.com", ApiId=api.id, Stage="test")
    assert api.call("GET", "/").json() == {"message": "Forbidden"}
    assert host_call(gateway, "public.example.com", "/").json() == {"vpce": ""}


def test_the_default_endpoint_is_switched_with_the_next_change_of_a_stage(new_gateway):
    gateway = new_gateway().start()
    api = gateway.rest_api("switched")
    api.mock("GET", "/", "hello")
    api.deploy("one"), api.deploy("two")
    client = api.client

    def statuses():
        return [api.call("GET", "/", stage=stage).status_code for stage in ("one", "two")]

    def switch(value):
        client.update_rest_api(restApiId=api.id, patchOperations=[replace("/disableExecuteApiEndpoint", value)])

    switch("true")
    assert statuses() == [200, 200]
    gateway.terminate()
    gateway.start()
    assert statuses() == [200, 200]
    # A change of one stage counts for all of them.
    client.update_stage(restApiId=api.id, stageName="two", patchOperations=[replace("/description", "changed")])
    assert statuses() == [403, 403]
    switch("false")
    assert statuses() == [403, 403]
    gateway.terminate()
    gateway.start()
    assert statuses() == [403, 403]
    client.create_deployment(restApiId=api.id, stageName="one")
    assert statuses() == [200, 200]


def test_private_domain_names(endpoints):
    gateway, urls = endpoints
    api = gateway.rest_api("private", endpointConfiguration={"types": ["PRIVATE"]}, policy=ALLOW_ONE_ENDPOINT)
    api.mock("GET", "/", "hello")
    client, name = gateway.client(), "private.example.com"
    client.create_deployment(restApiId=api.id, stageName="test")
    made = client.create_domain_name(domainName=name, certificateArn=ARN + "1", policy=ALLOW_ONE_ENDPOINT,
                                     endpointConfiguration={"types": ["PRIVATE"]})  # fmt: skip
    assert made["domainNameArn"].endswith(f":/domainnames/{name}+{made['domainNameId']}")
    where = {"domainName": name, "domainNameId": made["domainNameId"]}
    client.create_base_path_mapping(**where, basePath="v1", restApiId=api.id, stage="test")

    def ask(url):
        return requests.get(url + "/v1", headers={"Host": name}, timeout=10)

    assert ask(urls["vpce-one"]).status_code == 403  # nothing associates the domain with the endpoint
    source = {"domainNameArn": made["domainNameArn"], "accessAssociationSourceType": "VPCE"}
    for endpoint in urls:
        client.create_domain_name_access_association(**source, accessAssociationSource=endpoint)
    assert ask(urls["vpce-one"]).text == "hello"
    assert ask(urls["vpce-two"]).status_code == 403
    # An API may let in nobody but who comes by this name.
    by_name = json.loads(ALLOW_ONE_ENDPOINT)
    arn = f"arn:aws:execute-api:{REGION}:000000000000:/domainnames/{name}+{made['domainNameId']}"
    by_name["Statement"][0]["Condition"] = {"ArnEquals": {"execute-api:viaDomainArn": arn}}
    client.update_rest_api(restApiId=api.id, patchOperations=[replace("/policy", json.dumps(by_name))])
    client.create_deployment(restApiId=api.id, stageName="test")
    assert ask(urls["vpce-one"]).text == "hello"
    own = {"Host": f"{api.id}.execute-api.localhost"}
    assert requests.get(urls["vpce-one"] + "/test/", headers=own, timeout=10).status_code == 403
    assert ask(gateway.traffic).status_code == 403
    client.update_domain_name(**where, patchOperations=[replace("/policy", "")])
    assert ask(urls["vpce-one"]).status_code == 403
