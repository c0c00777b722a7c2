"""User pools as authorizers, with tokens of a real server (`cognito-local`, from npm) and with forged ones."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import boto3
import pytest
import requests
from authorization import function
from harness import ROOT, body_json, eventually, free_port, lambda_uri

SERVER = Path(os.environ.get("NPM_PREFIX", ROOT / ".npm")) / "node_modules/.bin/cognito-local"
UNAUTHORIZED = (401, {"message": "Unauthorized"})


class Pool:
    """cognito-local with one pool, one client and one user."""

    def __init__(self, work):
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        (work / ".cognito").mkdir()
        config = {"TokenConfig": {"IssuerDomain": self.address}, "UserPoolDefaults": {"UsernameAttributes": []}}
        (work / ".cognito/config.json").write_text(json.dumps(config))
        environment = {**os.environ, "PORT": str(self.port), "HOST": "127.0.0.1", "CODE": "1234"}
        self.process = subprocess.Popen(
            ["node", SERVER.resolve()], cwd=work, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(lambda: requests.get(self.address + "/health", timeout=5).status_code < 500, 60, "cognito-local")
        self.client = boto3.client("cognito-idp", endpoint_url=self.address, region_name="us-east-1", aws_access_key_id="x",
                                   aws_secret_access_key="x")  # fmt: skip
        self.id = self.client.create_user_pool(PoolName="users")["UserPool"]["Id"]
        app = self.client.create_user_pool_client(UserPoolId=self.id, ClientName="app")
        self.app = app["UserPoolClient"]["ClientId"]
        self.client.admin_create_user(UserPoolId=self.id, Username="ann", MessageAction="SUPPRESS")
        self.client.admin_set_user_password(UserPoolId=self.id, Username="ann", Password="Secret-1234", Permanent=True)

    def tokens(self):
        parameters = {"USERNAME": "ann", "PASSWORD": "Secret-1234"}
        answer = self.client.initiate_auth(
            ClientId=self.app, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=parameters
        )["AuthenticationResult"]
        return answer["IdToken"], answer["AccessToken"]

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    if not SERVER.exists():
        pytest.fail("cognito-local is missing: run scripts/prepare")
    work = tmp_path_factory.mktemp("cognito")
    made = Pool(work)
    yield made
    made.close()
    shutil.rmtree(work, ignore_errors=True)


class Api:
    def __init__(self, new_gateway, tmp_path, pool, address=None, **options):
        config = tmp_path / "stagedoor.toml"
        config.write_text(f'[user_pools]\n"{pool.id}" = "{address or pool.address}"\n')
        self.gateway = new_gateway("--config", str(config)).start()
        self.api = self.gateway.rest_api()
        arn = f"arn:aws:cognito-idp:us-east-1:000000000000:userpool/{pool.id}"
        self.authorizer = authorizer = self.api.client.create_authorizer(
            restApiId=self.api.id, name="users", type="COGNITO_USER_POOLS", providerARNs=[arn],
            identitySource="method.request.header.Authorization", **options,
        )["id"]  # fmt: skip
        # The claims as a whole are null on AWS.
        whole = "#if($context.authorizer.claims)a#end$context.authorizer.claims#set($c = $context.authorizer.claims)$c"
        template = whole + "$context.authorizer.claims.token_use $context.authorizer.claims.get('sub') $context.authorizer.claims.exp"
        for path, scopes in {"/id": [], "/scoped": ["aws.cognito.signin.user.admin", "x"], "/other": ["orders/read"]}.items():
            self.api.mock("GET", path, template)
            patch = [{"op": "replace", "path": "/authorizationType", "value": "COGNITO_USER_POOLS"},
                     {"op": "replace", "path": "/authorizerId", "value": authorizer}]  # fmt: skip
            patch += [{"op": "add", "path": "/authorizationScopes", "value": scope} for scope in scopes]
            self.api.client.update_method(
                restApiId=self.api.id, resourceId=self.api.resource(path), httpMethod="GET", patchOperations=patch
            )
        self.api.deploy()

    def answer(self, path, token=None):
        headers = {"Authorization": token} if token is not None else {}
        answer = self.api.call("GET", path, headers=headers)
        return answer.status_code, answer.text if answer.status_code == 200 else body_json(answer)


def decoded(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def encoded(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def test_tokens_of_a_real_pool(new_gateway, tmp_path, pool):
    api = Api(new_gateway, tmp_path, pool)
    identity, access = pool.tokens()
    status, text = api.answer("/id", identity)
    assert status == 200, text
    use, sub, *expires = text.split(" ")
    assert (use, sub) == ("id", decoded(identity.split(".")[1])["sub"]) and expires[4] == "UTC"
    assert api.answer("/id", "Bearer " + identity)[0] == 200
    assert api.answer("/id") == UNAUTHORIZED
    assert api.answer("/id", access) == UNAUTHORIZED
    assert api.answer("/scoped", access)[0] == 200
    assert api.answer("/scoped", identity) == UNAUTHORIZED
    assert api.answer("/other", access) == UNAUTHORIZED


def test_a_function_sees_the_claims(new_gateway, tmp_path, pool):
    api = Api(new_gateway, tmp_path, pool)
    code = "import json\ndef handler(event, context):\n    return {'statusCode': 200, 'body': json.dumps(event['requestContext'])}"
    arn = function(api.gateway, "backend", code)
    api.api.proxy("GET", "/f", lambda_uri(arn), kind="AWS_PROXY", method_options={
        "authorizationType": "COGNITO_USER_POOLS", "authorizerId": api.authorizer})  # fmt: skip
    api.api.deploy()
    identity, _ = pool.tokens()
    claims = decoded(identity.split(".")[1])
    status, text = api.answer("/f", identity)
    seen = json.loads(text)["authorizer"]["claims"]
    assert status == 200 and {name: seen[name] for name in ("sub", "iss", "aud", "token_use")} == {
        name: claims[name] for name in ("sub", "iss", "aud", "token_use")
    }
    assert all(isinstance(value, str) for value in seen.values())


def test_a_resource_policy_is_asked_after_the_pool(new_gateway, tmp_path, pool):
    """Who has no token is not known, whatever the policy says; who has one needs a policy that allows."""
    api = Api(new_gateway, tmp_path, pool)
    identity, _ = pool.tokens()
    statement = {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"}
    elsewhere = {"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}
    for statements, expected in [
        ([statement], None),
        ([statement | elsewhere], "because no resource-based policy allows the execute-api:Invoke action"),
        ([statement, statement | {"Effect": "Deny"}], "with an explicit deny in a resource-based policy"),
    ]:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        patch = [{"op": "replace", "path": "/policy", "value": document}]
        api.api.client.update_rest_api(restApiId=api.api.id, patchOperations=patch)
        api.api.deploy_without_waiting()
        assert api.answer("/id") == UNAUTHORIZED
        status, body = api.answer("/id", identity)
        assert status == (403 if expected else 200), body
        assert not expected or body["Message"].endswith(expected)
    # A test of the authorizer asks nobody else.
    tested = api.api.client.test_invoke_authorizer(
        restApiId=api.api.id, authorizerId=api.authorizer, headers={"Authorization": identity}
    )
    assert (tested["clientStatus"], tested["claims"]["token_use"]) == (200, "id")


def test_forged_tokens(new_gateway, tmp_path, pool):
    api = Api(new_gateway, tmp_path, pool)
    identity, _ = pool.tokens()
    header, claims, signature = identity.split(".")
    head, body = decoded(header), decoded(claims)
    twice = encoded(json.dumps(body)[:-1] + ', "sub": "admin"}')
    admin = encoded(body | {"sub": "admin"})
    forged = {
        "changed claims": f"{header}.{admin}.{signature}",
        "stripped signature": f"{header}.{claims}.",
        "no signature part": f"{header}.{claims}",
        "alg none": f"{encoded(head | {'alg': 'none'})}.{claims}.",
        "HS256": f"{encoded(head | {'alg': 'HS256'})}.{claims}.{signature}",
        "unknown kid": f"{encoded(head | {'kid': 'x'})}.{claims}.{signature}",
        "kid as a path": f"{encoded(head | {'kid': '../../dev/null'})}.{claims}.{signature}",
        "own key": f"{encoded(head | {'jwk': {'kty': 'RSA', 'n': 'AQAB', 'e': 'AQAB'}})}.{claims}.{signature}",
        "crit": f"{encoded(head | {'crit': ['exp']})}.{claims}.{signature}",
        "repeated claim": f"{header}.{twice}.{signature}",
        "nothing": "",
        "garbage": "a.b.c",
    }
    for name, token in forged.items():
        assert api.answer("/id", token) == UNAUTHORIZED, name
    assert api.answer("/id", identity)[0] == 200


def test_two_tokens_are_none(new_gateway, tmp_path, pool):
    api = Api(new_gateway, tmp_path, pool)
    identity, _ = pool.tokens()
    lines = f"Host: {api.api.id}.execute-api.localhost\r\nConnection: close\r\n"
    lines += f"Authorization: {identity}\r\nAuthorization: other\r\n\r\n"
    assert api.gateway.raw(f"GET /test/id HTTP/1.1\r\n{lines}".encode()).startswith(b"HTTP/1.1 401")


def test_an_issuer_that_is_out_of_reach_opens_nothing(new_gateway, tmp_path, pool):
    api = Api(new_gateway, tmp_path, pool, address=f"http://127.0.0.1:{free_port()}")
    assert api.answer("/id", pool.tokens()[0]) == UNAUTHORIZED


def test_tokens_of_another_issuer(new_gateway, tmp_path, pool):
    """The same keys under another name: `iss` does not fit."""
    api = Api(new_gateway, tmp_path, pool, address=pool.address.replace("127.0.0.1", "localhost"))
    assert api.answer("/id", pool.tokens()[0]) == UNAUTHORIZED


def test_the_audience_may_be_asked_for(new_gateway, tmp_path, pool):
    api = Api(new_gateway, tmp_path, pool, identityValidationExpression="nobody")
    assert api.answer("/id", pool.tokens()[0]) == UNAUTHORIZED


def test_claims_in_access_logs(new_gateway, tmp_path, pool):
    """Names of claims may have a colon."""
    api = Api(new_gateway, tmp_path, pool)
    form = "seen $context.authorizer.claims.cognito:username:$context.authorizer.claims.token_use: $context.requestId"
    patch = [{"op": "replace", "path": f"/accessLogSettings/{name}", "value": value} for name, value in
             {"destinationArn": "arn:aws:logs:us-east-1:000000000000:log-group:a", "format": form}.items()]  # fmt: skip
    api.api.client.update_stage(restApiId=api.api.id, stageName="test", patchOperations=patch)
    identity, _ = pool.tokens()
    answer = api.api.call("GET", "/id", headers={"Authorization": identity})
    line = f"seen ann:id: {answer.headers['x-amzn-RequestId']}"
    eventually(lambda: line in api.gateway.log().splitlines(), what="the line on standard output")
