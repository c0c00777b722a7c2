"""`stagedoor token`, `sign` and `explain`: what they print works against the gateway."""

import json
import subprocess

import requests
from harness import binary
from test_cognito import Api as CognitoApi
from test_iam import Api as IamApi
from test_iam import policy


class BuiltIn:
    """The built-in issuer, in the place of a user pool."""

    id, address = "us-east-1_Local", None


def run(*arguments, code=0, env=None):
    done = subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=20, env=env)
    assert done.returncode == code, done.stderr or done.stdout
    return done.stdout.strip()


def test_tokens_of_the_built_in_issuer(new_gateway, tmp_path):
    gateway = new_gateway()
    address = f"{gateway.control}/_stagedoor/issuer"
    api = CognitoApi(lambda *arguments: arrange(gateway, arguments), tmp_path, BuiltIn, address=address)
    shared = ("--control", gateway.control, "--data", gateway.data)
    identity = run("token", "ann", "--group", "admins", *shared)
    status, text = api.answer("/id", identity)
    assert status == 200 and text.startswith("id ann ")
    access = run("token", "ann", "--use", "access", "--scope", "orders/read", *shared)
    assert api.answer("/other", access)[0] == 200
    assert api.answer("/scoped", access)[0] == 401
    expired = run("token", "ann", "--expires", "0", *shared)
    assert api.answer("/id", expired) == (401, {"message": "The incoming token has expired"})
    document = requests.get(f"{address}/us-east-1_Local/.well-known/openid-configuration", timeout=10).json()
    assert document["issuer"] == f"{address}/us-east-1_Local"
    assert requests.get(document["jwks_uri"], timeout=10).json()["keys"][0]["kty"] == "RSA"
    assert (gateway.data / "issuer.key").stat().st_mode & 0o777 == 0o600


def arrange(gateway, arguments):
    gateway.arguments = [*gateway.arguments, *arguments]
    return gateway


def test_signed_requests_pass(gateway, tmp_path):
    api = IamApi(gateway, tmp_path)
    key = api.key("ann", policy())
    env = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    printed = run("sign", f"http://{api.host}/test/a?x=1", "-X", "POST", "-d", "{}", env=env)
    headers = dict(line.split(": ", 1) for line in printed.splitlines())
    url = f"http://127.0.0.1:{gateway.traffic_port}/test/a?x=1"
    assert requests.post(url, headers=headers, data="{}", timeout=10).status_code == 200
    assert requests.post(url, headers=headers, data="[]", timeout=10).status_code == 403
    assert key["SecretAccessKey"] not in printed


def test_decisions_are_explained(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(policy("Deny", Principal="*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})))
    arguments = ("explain", "--resource-policy", path, "--resource", "arn:aws:execute-api:r:1:a/s/GET/x")
    told = run(*arguments, "--key", "aws:SourceIp=10.1.1.1", code=1)
    assert "explicitly denied by statement 1" in told and told.endswith("with an explicit deny in a resource-based policy")
    told = run(*arguments, "--key", "aws:SourceIp=192.0.2.1", code=1)
    assert 'its condition IpAddress aws:SourceIp "10.0.0.0/8" does not hold' in told
    assert told.endswith("because no resource-based policy allows the action")
