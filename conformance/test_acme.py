"""Certificates of custom domain names from an authority that speaks ACME: `pebble`, with a DNS server of its own."""

import json
import os
import socket
import ssl
import subprocess
import threading

import pytest
import requests
from harness import body_json, eventually, free_port
from test_custom_domains import ARN, Authority, Served, context_api

requests.packages.urllib3.disable_warnings()


class Pebble:
    """The authority. It asks names at the HTTPS port of the gateway."""

    def __init__(self, folder, port):
        self.folder, self.directory_port, self.management = folder, free_port(), free_port()
        self.own = Authority(folder, "pebble-authority")
        certificate, key = self.own.issue("pebble", "localhost")
        self.directory = f"https://localhost:{self.directory_port}/dir"
        self.dns = free_port()
        config = {"pebble": {
            "listenAddress": f"127.0.0.1:{self.directory_port}", "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(certificate), "privateKey": str(key), "httpPort": free_port(), "tlsPort": port,
            "ocspResponderURL": "", "externalAccountBindingRequired": False,
        }}  # fmt: skip
        (folder / "pebble.json").write_text(json.dumps(config))
        names = ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns}", "-http01", "", "-https01", "", "-tlsalpn01", "",
                 "-management", f"127.0.0.1:{free_port()}", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]  # fmt: skip
        self.processes = [subprocess.Popen(names, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]

    def start(self, **environment):
        environment = os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", **environment}
        command = ["pebble", "-config", "pebble.json", "-dnsserver", f"127.0.0.1:{self.dns}"]
        log = open(self.folder / "pebble.log", "ab")
        self.processes.append(subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log))
        eventually(lambda: requests.get(self.directory, verify=self.own.certificate, timeout=5).ok, 30, "pebble")
        return self

    def root(self):
        """The certificate that what it signs is trusted by; another each time it starts."""
        path = self.folder / "issued-by.pem"
        path.write_text(requests.get(f"https://localhost:{self.management}/roots/0", verify=self.own.certificate, timeout=5).text)
        return path

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


class Certified(Served):
    def __init__(self, new_gateway, folder):
        port = free_port()
        self.pebble = Pebble(folder, port)
        super().__init__(new_gateway, folder)
        config = folder / "stagedoor.toml"
        text = config.read_text().replace(f"127.0.0.1:{self.port}", f"127.0.0.1:{port}")
        config.write_text(f"""{text}
[acme]
directory = "{self.pebble.directory}"
contact = ["mailto:ops@example.com"]
terms_of_service_agreed = true
root = "pebble-authority.pem"
""")
        self.port = port

    def shown(self, name):
        """What a client is shown that trusts the authority: the certificate, or nothing."""
        context = ssl.create_default_context(cafile=self.pebble.root())
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as link:
                with context.wrap_socket(link, server_hostname=name) as secured:
                    return secured.getpeercert()
        except ssl.SSLError:
            return None


@pytest.fixture
def certified(new_gateway, tmp_path):
    made = Certified(new_gateway, tmp_path)
    yield made
    made.pebble.close()


def test_certificates_of_an_authority(certified):
    certified.pebble.start()
    certified.start()
    certified.domain("shop.example.net", regionalCertificateArn=ARN + "acme")
    shown = eventually(lambda: certified.shown("shop.example.net"), 60, "the certificate")
    assert ("DNS", "shop.example.net") in shown["subjectAltName"]
    # Those that are configured stay, and wildcards are not asked for.
    certified.domain("api.example.com")
    certified.domain("*.example.org", regionalCertificateArn=ARN + "acme")
    assert certified.curl("api.example.com", "/ping")[2] == "healthy"
    (folder,) = (certified.gateway.data / "acme").iterdir()
    kept = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert kept == {"account.json": 0o600, "shop.example.net.pem": 0o600, "shop.example.net.key": 0o600}
    # After a restart the same certificate is served, and the account is known.
    certified.gateway.terminate()
    config = certified.folder / "stagedoor.toml"
    config.write_text(config.read_text().replace("ops@example.com", "new@example.com"))
    certified.gateway.start()
    assert certified.shown("shop.example.net")["serialNumber"] == shown["serialNumber"]
    certified.domain("news.example.net", regionalCertificateArn=ARN + "acme")
    eventually(lambda: certified.shown("news.example.net"), 60, "another certificate")
    # The authority has been told whom to write to now.
    assert json.loads((folder / "account.json").read_text())["contact"] == ["mailto:new@example.com"]
    api = context_api(certified.gateway)
    certified.v1.create_base_path_mapping(domainName="shop.example.net", restApiId=api.id, stage="test")
    answer = subprocess.run(
        ["curl", "-sS", "--cacert", certified.pebble.root(), "--resolve", f"shop.example.net:{certified.port}:127.0.0.1",
         f"https://shop.example.net:{certified.port}/a"], capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert json.loads(answer.stdout)["domain"] == "shop.example.net", answer.stderr


def test_certificates_are_renewed(certified):
    """One that has run out, or cannot be read, is replaced; what is there is served until then."""
    certified.pebble.start()
    folder = certified.gateway.data / "acme" / f"localhost-{certified.pebble.directory_port}-dir"
    folder.mkdir(parents=True)
    stranger = Authority(certified.folder, "stranger")
    certificate, key = stranger.issue("old", "shop.example.net")
    # Made for 30 days, and looked at by a clock that says that hardly any are left.
    subprocess.run(["openssl", "x509", "-in", certificate, "-days", "1", "-signkey", key, "-out", folder / "shop.example.net.pem"],
                   check=True, capture_output=True)  # fmt: skip
    (folder / "shop.example.net.key").write_text("no key")
    certified.start()
    certified.domain("shop.example.net", regionalCertificateArn=ARN + "acme")
    assert eventually(lambda: certified.shown("shop.example.net"), 60, "the new certificate")
    assert b"BEGIN PRIVATE KEY" in (folder / "shop.example.net.key").read_bytes()


def test_an_authority_that_is_away(certified):
    """The domain is served with a certificate of its own until there is another, and nothing else is held up."""
    certified.start()
    api = context_api(certified.gateway)
    certified.domain("shop.example.net", regionalCertificateArn=ARN + "acme")
    certified.v1.create_base_path_mapping(domainName="shop.example.net", restApiId=api.id, stage="test")
    eventually(lambda: "no new certificate" in certified.gateway.log(), 30, "the failure in the log")
    answer = certified.gateway.call("GET", api.id, "test", "/a")
    assert answer.status_code == 200 and body_json(answer)["stage"] == "test"
    status, _, _ = certified.curl("shop.example.net", "/a", "--insecure")
    assert status == 200


def test_nobody_else_is_shown_a_challenge(certified):
    """A client that asks for the protocol of authorities is served nothing by it."""
    certified.pebble.start()
    certified.start()
    certified.domain("shop.example.net", regionalCertificateArn=ARN + "acme")
    eventually(lambda: certified.shown("shop.example.net"), 60, "the certificate")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["acme-tls/1"])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with socket.create_connection(("127.0.0.1", certified.port), 5) as link:
            with context.wrap_socket(link, server_hostname="shop.example.net") as secured:
                secured.sendall(b"GET / HTTP/1.1\r\nHost: shop.example.net\r\n\r\n")
                assert secured.recv(100) == b""
                raise ConnectionError("closed")
    assert threading.active_count() < 100


def test_what_the_configuration_has_to_say(new_gateway, tmp_path):
    config = tmp_path / "stagedoor.toml"
    config.write_text('[https]\nlisten = "127.0.0.1:0"\n[acme]\ndirectory = "https://localhost:1/dir"\n')
    gateway = new_gateway("--config", str(config))
    code, _, output = gateway.run_to_end()
    assert code == 2 and "terms_of_service_agreed" in output
