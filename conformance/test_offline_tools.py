"""`stagedoor token`, `sign` and `explain`: what they print works against the gateway."""

import json
import subprocess

import requests
from harness import ACCOUNT, REGION, binary, body_json
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
    assert told.endswith("because no resource-based policy allows the action") and "no value was given" not in told
    assert "no value was given for aws:SourceIp" in run(*arguments, code=1)
    # Without a caller, policies are those that an authorizer function returned.
    returned = tmp_path / "returned.json"
    returned.write_text(json.dumps(policy(Resource="arn:aws:execute-api:r:1:a/s/GET/y")))
    arguments = ("explain", "--identity-policy", returned, "--resource", "arn:aws:execute-api:r:1:a/s/GET/x")
    told = run(*arguments, code=1).splitlines()
    assert told[-2] == (
        "User is not authorized to access this resource because no identity-based policy allows the execute-api:Invoke action"
    )
    returned.write_text(json.dumps(policy(Resource="x" * 513)))
    refused = subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=20)
    assert refused.returncode != 0 and "longer than 512 characters" in refused.stderr + refused.stdout


STAR, SESSION, USER = {"Principal": "*"}, f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/me", f"arn:aws:iam::{ACCOUNT}:user/ann"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"


def deny_if(operator, key, value):
    statement = policy("Deny", Condition={operator: {key: value}}, **STAR)["Statement"]
    return policy(**STAR) | {"Statement": [*policy(**STAR)["Statement"], *statement]}


# Whether the session, the user, and somebody who signed nothing pass a resource policy, with identities that allow nothing.
EXPLAINED = {
    "role": (policy(Principal={"AWS": ROLE}), True, False),
    "session": (policy(Principal={"AWS": SESSION}), True, False),
    "another session": (policy(Principal={"AWS": SESSION + "2"}), False, False),
    "account": (policy(Principal={"AWS": ACCOUNT}), False, False),
    "user": (policy(Principal={"AWS": USER}), False, True),
    "arn of the role": (deny_if("ArnNotEquals", "aws:PrincipalArn", ROLE), True, False),
    "arn of the session": (deny_if("ArnNotEquals", "aws:PrincipalArn", SESSION), False, False),
    "kind": (deny_if("StringNotEquals", "aws:PrincipalType", "User"), False, True),
    "name": (deny_if("StringNotEquals", "aws:username", "ann"), False, True),
    "id": (deny_if("StringNotLike", "aws:userid", "AROA*:me"), True, False),
    "tag": (deny_if("StringNotEquals", "aws:PrincipalTag/team", "blue"), True, False),
    "account of the caller": (deny_if("StringNotEquals", "aws:PrincipalAccount", "111111111111"), False, False),
    "second factor": (deny_if("Bool", "aws:MultiFactorAuthPresent", "false"), False, True),
    "time": (deny_if("DateGreaterThan", "aws:CurrentTime", "2001-01-01T00:00:00Z"), False, False),
    "seconds": (deny_if("NumericGreaterThan", "aws:EpochTime", "1"), False, False),
    "region": (deny_if("StringNotEquals", "aws:RequestedRegion", REGION), True, True),
    "spelling": (policy("Allow", **STAR) | {"Statement": [
        *policy(**STAR)["Statement"], *policy("Deny", Resource="arn:aws:execute-api:*:*:*/*/*/a", **STAR)["Statement"]]}, False, False),
    "not": (policy("Deny", NotPrincipal={"AWS": [ROLE, SESSION, ACCOUNT]}) | {"Statement": [
        *policy(**STAR)["Statement"], *policy("Deny", NotPrincipal={"AWS": [ROLE, SESSION, ACCOUNT]})["Statement"]]}, True, False),
}  # fmt: skip


def test_explanations_are_what_requests_meet(gateway, tmp_path):
    """`explain` knows a session by both of its ARNs, and every key that requests have of who signed them."""
    api = IamApi(gateway, tmp_path)
    session, user = api.key("admin", arguments=["--session", "me", "--tag", "team=blue"]), api.key("ann")
    resource = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.api.id}/test/GET/a"
    path = tmp_path / "policy.json"
    for name, (document, *expected) in EXPLAINED.items():
        path.write_text(json.dumps(document))
        patch = [{"op": "replace", "path": "/policy", "value": path.read_text()}]
        api.api.client.update_rest_api(restApiId=api.api.id, patchOperations=patch)
        api.api.deploy_without_waiting()
        for key, arn, passes in (session, SESSION, expected[0]), (user, USER, expected[1]):
            answer = api.call(key)
            assert answer.status_code == (200 if passes else 403), (name, arn)
            arguments = ("--resource-policy", path, "--resource", resource, "--caller", arn, "--data", gateway.data)
            told = run("explain", *arguments, code=0 if passes else 1)
            assert passes or body_json(answer)["Message"] in told.splitlines(), (name, told)
