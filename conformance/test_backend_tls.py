"""TLS towards backends: certificates are checked unless the integration says not to."""

import shutil
import ssl
import subprocess

import pytest
from harness import body_json
from origin import EchoServer


@pytest.fixture
def https(tmp_path):
    """The echo server behind a certificate that nobody trusts."""
    assert shutil.which("openssl"), "openssl is missing: run scripts/prepare tests"
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = EchoServer()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    yield f"https://localhost:{server.server_port}"
    server.close()


def test_certificates_are_checked_unless_told_not_to(gateway, https):
    api = gateway.rest_api()
    api.proxy("GET", "/checked", https)
    api.proxy("GET", "/unchecked", https, tlsConfig={"insecureSkipVerification": True})
    api.deploy()
    refused = api.call("GET", "/checked")
    assert (refused.status_code, body_json(refused)) == (504, {"message": "Network error communicating with endpoint"})
    assert body_json(api.call("GET", "/unchecked"))["method"] == "GET"

    patch = [{"op": "replace", "path": "/tlsConfig/insecureSkipVerification", "value": "false"}]
    where = {"restApiId": api.id, "resourceId": api.resource("/unchecked"), "httpMethod": "GET"}
    api.client.update_integration(**where, patchOperations=patch)
    api.deploy()
    assert api.call("GET", "/unchecked").status_code == 504
