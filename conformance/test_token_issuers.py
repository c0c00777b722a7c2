"""JWT authorizers against an OpenID Connect server that nobody here wrote (`oidc-provider` from npm), over https, and while
the issuer is away."""

import os
import ssl
import subprocess
from pathlib import Path

import pytest
import requests
from harness import eventually, free_port
from test_custom_domains import Authority
from test_http_api_authorizers import FORBIDDEN, UNAUTHORIZED, Issuer, answered, guard, jwt_authorizer
from test_http_api_traffic import HttpApi

HERE = Path(__file__).resolve().parent
PACKAGES = Path(os.environ.get("NPM_PREFIX", HERE.parent / ".npm")) / "node_modules"
API = "https://orders.example.com"


class Provider:
    """The server, which can be stopped and started again with another key."""

    def __init__(self):
        self.port = free_port()
        self.url, self.process = f"http://127.0.0.1:{self.port}", None

    def start(self, key="one"):
        environment = os.environ | {"PORT": str(self.port), "PACKAGES": str(PACKAGES), "KEY": key}
        self.process = subprocess.Popen(
            ["node", HERE / "oidc-provider.mjs"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(lambda: requests.get(f"{self.url}/jwks", timeout=5).status_code == 200, 60, "oidc-provider")
        return self

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def token(self, *scopes):
        form = {"grant_type": "client_credentials", "scope": " ".join(scopes)}
        answer = requests.post(f"{self.url}/token", data=form, auth=("app", "secret"), timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]


@pytest.fixture
def provider():
    if not (PACKAGES / "oidc-provider").exists():
        pytest.fail("oidc-provider is missing: run scripts/prepare")
    made = Provider()
    yield made
    made.stop()


def ask(api, path, token):
    return api.call("GET", path, headers={"Authorization": f"Bearer {token}"})


def guarded(gateway, echo, issuer, audience=API):
    api = HttpApi(gateway)
    authorizer = jwt_authorizer(api, issuer, [audience])
    guard(api, api.backend("GET /open", echo.url), "JWT", authorizer)
    guard(api, api.backend("GET /scoped", echo.url), "JWT", authorizer, AuthorizationScopes=["orders/write"])
    return api


def test_a_real_issuer(gateway, echo, provider):
    provider.start()
    api = guarded(gateway, echo, provider.url)
    reader, writer = provider.token("orders/read"), provider.token("orders/read", "orders/write")
    assert ask(api, "/open", reader).status_code == 200
    assert ask(api, "/scoped", writer).status_code == 200
    assert answered(ask(api, "/scoped", reader)) == FORBIDDEN
    assert answered(ask(api, "/open", reader[:-6] + "AAAAAA")) == UNAUTHORIZED
    other = guarded(gateway, echo, provider.url, "https://payments.example.com")
    assert answered(ask(other, "/open", reader)) == UNAUTHORIZED


def test_an_issuer_that_is_away(gateway, echo, provider):
    """What was known goes on; nothing that was not known passes, and everything does again once the issuer is back."""
    provider.start()
    api = guarded(gateway, echo, provider.url)
    token, unused = provider.token("orders/read"), provider.token("orders/read")
    assert ask(api, "/open", token).status_code == 200
    provider.stop()
    assert ask(api, "/open", token).status_code == 200
    assert ask(api, "/open", unused).status_code == 200
    # A gateway that never saw the keys lets nobody in.
    gateway.terminate()
    gateway.start()
    for refused in token, unused:
        answer = ask(api, "/open", refused)
        assert answered(answer) == UNAUTHORIZED
        assert 'error_description="JWKS communication error"' in answer.headers["www-authenticate"]
    # The new key has another id: tokens of the old one are refused, the new ones taken.
    provider.start("two")
    fresh = provider.token("orders/read")
    eventually(lambda: ask(api, "/open", fresh).status_code == 200, 20, "the new key")
    assert answered(ask(api, "/open", token)) == UNAUTHORIZED


def test_an_issuer_over_https(new_gateway, tmp_path, echo):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("issuer", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    issuer = Issuer()
    issuer.server.socket = context.wrap_socket(issuer.server.socket, server_side=True)
    issuer.url = issuer.named = issuer.url.replace("http://127.0.0.1", "https://localhost")
    trusting = new_gateway(env={"SSL_CERT_FILE": str(authority.certificate)}).start()
    assert ask(guarded(trusting, echo, issuer.url, "app"), "/open", issuer.token()).status_code == 200
    # An issuer whose certificate nobody trusts has no keys to offer.
    stranger = new_gateway().start()
    assert answered(ask(guarded(stranger, echo, issuer.url, "app"), "/open", issuer.token())) == UNAUTHORIZED
    issuer.server.shutdown()
    issuer.server.server_close()


@pytest.mark.parametrize(
    "url",
    ["http://issuer.example", "http://localhost.example.org", "http://127.0.0.1.nip.io:80/", "http://localhost@evil.test/",
     "http://127.0.0.12", "ftp://127.0.0.1/x", "issuer", ""],
)  # fmt: skip
def test_issuers_that_cannot_be_trusted_are_refused(gateway, url):
    """Keys come over https, or from this machine."""
    api = HttpApi(gateway)
    with pytest.raises(api.client.exceptions.BadRequestException):
        jwt_authorizer(api, url, [API])
