"""Who may call an HTTP API: tokens of real issuers, authorizer functions in both formats, and signatures."""

import json
import subprocess
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import requests
from authorization import function
from harness import ACCOUNT, REGION, binary, body_json, eventually, free_port
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from test_http_api_traffic import HttpApi, new_function  # noqa: F401

# A response of both formats.
ECHO = "exports.handler = async (event) => ({statusCode: 200, body: JSON.stringify(event)})"
UNAUTHORIZED = (401, {"message": "Unauthorized"})
FORBIDDEN = (403, {"message": "Forbidden"})


class Issuer:
    """An OpenID Connect issuer on this machine, whose keys can be changed."""

    def __init__(self):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.key, self.fetches, self.named = RSAKey.generate_key(2048, {"kid": "k1"}), 0, self.url
        # How long its answers take, and how much white space its keys are followed by.
        self.delay, self.padding = 0, 0
        # The status of its discovery document and what is in it besides, and how long that takes.
        self.status, self.more, self.thinking = 200, {}, 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/.well-known/openid-configuration":
                    body = {"issuer": issuer.named, "jwks_uri": issuer.keys, **issuer.more}
                    time.sleep(issuer.thinking)
                else:
                    issuer.fetches += 1
                    body = KeySet([issuer.key]).as_dict(private=False)
                    time.sleep(issuer.delay)
                body = json.dumps(body).encode()
                if self.path == "/keys":
                    body = body.ljust(issuer.padding)
                self.send_response(200 if self.path == "/keys" else issuer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", int(self.url.rsplit(":", 1)[1])), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def keys(self):
        """Where its keys are."""
        return self.url + "/keys"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def token(self, key=None, algorithm="RS256", header=None, **claims):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "app", "sub": "ann", "iat": now, "exp": now + 600, **claims}
        claims = {name: value for name, value in claims.items() if value is not ...}
        key = key or self.key
        return jwt.encode({"alg": algorithm, "kid": key.kid, **(header or {})}, claims, key, algorithms=[algorithm])


@pytest.fixture
def issuer():
    made = Issuer()
    yield made
    made.close()


def jwt_authorizer(api, url, audience, source="$request.header.Authorization"):
    return api.client.create_authorizer(
        ApiId=api.id, Name=f"jwt-{uuid.uuid4()}", AuthorizerType="JWT", IdentitySource=[source],
        JwtConfiguration={"Issuer": url, "Audience": audience},
    )["AuthorizerId"]  # fmt: skip


def guard(api, route, kind, authorizer=None, **options):
    options |= {"AuthorizerId": authorizer} if authorizer else {}
    api.client.update_route(ApiId=api.id, RouteId=route, AuthorizationType=kind, **options)


def answered(answer):
    return answer.status_code, body_json(answer)


class TestJwt:
    @pytest.fixture
    def api(self, gateway, issuer, new_function):  # noqa: F811
        api = HttpApi(gateway)
        self.authorizer = jwt_authorizer(api, issuer.url, ["app", "other"])
        arn = new_function(ECHO)
        guard(api, api.function("GET /open", arn), "JWT", self.authorizer)
        guard(api, api.function("GET /one", arn, version="1.0"), "JWT", self.authorizer)
        guard(api, api.function("GET /scoped", arn), "JWT", self.authorizer, AuthorizationScopes=["read", "write"])
        return api

    def get(self, api, token=None, path="/open"):
        headers = {} if token is None else {"Authorization": token}
        return api.call("GET", path, headers=headers)

    def test_what_functions_see(self, api, issuer):
        token = issuer.token(groups=["a", "b"], verified=True, nothing=None, nested={"x": 1}, scope="read more")
        for value in token, "Bearer " + token, "bearer " + token:
            answer = self.get(api, value)
            assert answer.status_code == 200, answer.text
        claims = body_json(answer)["requestContext"]["authorizer"]["jwt"]["claims"]
        assert {name: claims[name] for name in ("iss", "groups", "verified", "nested", "scope")} == {
            "iss": issuer.url, "groups": "[a b]", "verified": "true", "nested": '{"x":1}', "scope": "read more",
        }  # fmt: skip
        assert claims["exp"].isdigit() and "nothing" not in claims
        assert body_json(answer)["requestContext"]["authorizer"]["jwt"]["scopes"] is None
        assert body_json(self.get(api, token, "/scoped"))["requestContext"]["authorizer"]["jwt"]["scopes"] == ["read", "more"]
        one = body_json(self.get(api, token, "/one"))["requestContext"]["authorizer"]
        assert (one["claims"]["sub"], one["scopes"]) == ("ann", None)

    def test_refusals(self, api, issuer):
        """AWS says what is wrong in a header; the body says nothing."""
        now = int(time.time())
        stranger = RSAKey.generate_key(2048, {"kid": "k1"})
        curve = ECKey.generate_key("P-256", {"kid": "k1"})
        good = issuer.token()
        refused = {
            issuer.token(aud="x"): "the token does not have a valid audience",
            issuer.token(aud=["x", "y"], client_id="app"): "the token does not have a valid audience",
            issuer.token(aud=...): "the token does not have a valid audience",
            issuer.token(exp=now - 5): "the token has expired",
            issuer.token(exp=...): "the token does not have an expiration time",
            issuer.token(nbf=now + 600): "the token is not valid yet",
            issuer.token(iat=now + 600): "the token is used before issued",
            issuer.token(iss="http://127.0.0.1:1"): "the token does not have a valid issuer",
            issuer.token(key=stranger): "signature is invalid",
            issuer.token(key=curve, algorithm="ES256"): "signing method ES256 is invalid",
            "token": "token contains an invalid number of segments",
            good + "x": "the token is malformed",
        }
        for token, description in refused.items():
            answer = self.get(api, token)
            assert answered(answer) == UNAUTHORIZED, description
            assert answer.headers["www-authenticate"] == (
                f'Bearer scope="" error="invalid_token" error_description="{description}"'
            )
        for missing in None, "":
            answer = self.get(api, missing)
            assert (answered(answer), answer.headers["www-authenticate"]) == (UNAUTHORIZED, "Bearer")
        for fine in issuer.token(aud=["x", "other"]), issuer.token(aud=..., client_id="app"), good:
            assert self.get(api, fine).status_code == 200

    def test_scopes_of_routes(self, api, issuer):
        for claims in {"scope": "read"}, {"scope": "x write"}, {"scp": ["write"]}, {"scp": "read x"}:
            assert self.get(api, issuer.token(**claims), "/scoped").status_code == 200, claims
        for claims in {}, {"scope": "reading"}, {"scp": []}:
            answer = self.get(api, issuer.token(**claims), "/scoped")
            assert answered(answer) == FORBIDDEN
            told = 'Bearer scope="read write" error="insufficient_scope" error_description="expected scopes: [read write]"'
            assert answer.headers["www-authenticate"] == told
        answer = self.get(api, issuer.token(aud="x"), "/scoped")
        assert 'scope="read write" error="invalid_token"' in answer.headers["www-authenticate"]

    def test_changed_keys(self, api, issuer):
        """A key nobody knows has the keys fetched again, but not for every token."""
        assert self.get(api, issuer.token()).status_code == 200
        before = issuer.fetches
        assert before == 1
        issuer.key = RSAKey.generate_key(2048, {"kid": "k2"})
        eventually(lambda: self.get(api, issuer.token()).status_code == 200, 15, "the new key")
        assert issuer.fetches == before + 1
        for number in range(20):
            unknown = RSAKey.generate_key(2048, {"kid": f"unknown-{number}"}) if number == 0 else unknown
            answer = self.get(api, issuer.token(key=unknown, header={"kid": f"unknown-{number}"}))
            assert "unable to find a signing key" in answer.headers["www-authenticate"]
        assert issuer.fetches <= before + 2

    @pytest.mark.parametrize(
        ("padding", "delay", "expected"), [(150_000, 0, 200), (150_001, 0, 401), (0, 0.5, 200), (0, 2.5, 401)]
    )
    def test_limits_of_key_sets(self, gateway, issuer, echo, padding, delay, expected):
        """150,000 bytes, in a second and a half."""
        api = HttpApi(gateway)
        issuer.padding, issuer.delay = padding, delay
        guard(api, api.backend("GET /", echo.url), "JWT", jwt_authorizer(api, issuer.url, ["app"]))
        answer = self.get(api, issuer.token(), "/")
        assert answer.status_code == expected, answer.text
        assert (issuer.fetches, len(echo.seen)) == (1, 1 if expected == 200 else 0)

    def test_an_issuer_that_is_another(self, gateway, issuer, echo):
        api = HttpApi(gateway)
        guard(api, api.backend("GET /", echo.url), "JWT", jwt_authorizer(api, issuer.url, ["app"]))
        issuer.named = "http://127.0.0.1:1/"
        answer = self.get(api, issuer.token(), "/")
        assert answered(answer) == UNAUTHORIZED and "JWKS communication error" in answer.headers["www-authenticate"]

    def test_tokens_in_the_query_and_claims_in_mappings(self, gateway, issuer, echo):
        api = HttpApi(gateway)
        authorizer = jwt_authorizer(api, issuer.url, ["app"], "$request.querystring.token")
        parameters = {"overwrite:header.user": "$context.authorizer.claims.sub", "overwrite:header.groups": "$context.authorizer.claims.groups"}
        guard(api, api.backend("GET /", echo.url, RequestParameters=parameters), "JWT", authorizer)
        seen = body_json(api.call("GET", f"/?token={issuer.token(groups=['a', 'b'])}"))["headers"]
        assert (seen["user"], seen["groups"]) == ("ann", "[a b]")
        assert answered(api.call("GET", "/")) == UNAUTHORIZED

    def test_preflights(self, gateway, issuer, echo):
        """The authorizer of a route that takes a preflight is asked; the refusal says that its origin may read it."""
        api = HttpApi(gateway, CorsConfiguration={"AllowOrigins": ["*"], "AllowMethods": ["*"]})
        authorizer = jwt_authorizer(api, issuer.url, ["app"])
        guard(api, api.backend("GET /a", echo.url), "JWT", authorizer)
        asked = {"Origin": "https://a.test", "Access-Control-Request-Method": "GET"}
        assert api.call("OPTIONS", "/a", headers=asked).status_code == 204
        guard(api, api.backend("$default", echo.url), "JWT", authorizer)
        answer = api.call("OPTIONS", "/a", headers=asked)
        assert answered(answer) == UNAUTHORIZED and answer.headers["access-control-allow-origin"] == "*"
        api.backend("OPTIONS /{proxy+}", echo.url)
        answer = api.call("OPTIONS", "/a", headers=asked)
        assert (answer.status_code, body_json(answer)["method"]) == (200, "OPTIONS")
        assert (answer.headers["access-control-allow-origin"], answer.headers["access-control-allow-methods"]) == ("*", "*")


def test_the_built_in_issuer(gateway, echo):
    """Tokens that `stagedoor token` makes, with keys that the gateway itself publishes."""
    api = HttpApi(gateway)
    pool = "us-east-1_Local"
    made = subprocess.run(
        [binary(), "token", "ann", "--data", gateway.data, "--control", gateway.control], capture_output=True, text=True, timeout=20
    )
    assert made.returncode == 0, made.stderr
    token = json.loads(made.stdout)["token"] if made.stdout.startswith("{") else made.stdout.strip()
    issuer = json.loads(jwt_payload(token))["iss"]
    assert pool in issuer
    guard(api, api.backend("GET /", echo.url), "JWT", jwt_authorizer(api, issuer, ["local"]))
    assert api.call("GET", "/", headers={"Authorization": token}).status_code == 200
    assert answered(api.call("GET", "/", headers={"Authorization": token[:-8]})) == UNAUTHORIZED


def jwt_payload(token):
    import base64

    part = token.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


AUTHORIZER = """
import json, os

def handler(event, context):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(json.dumps(event) + "\\n")
    # Format 1.0 has the name as the client writes it.
    token = {name.lower(): value for name, value in (event.get("headers") or {}).items()}.get("x-token", "allow")
    if token == "unauthorized":
        raise Exception("Unauthorized")
    if token == "fail":
        raise Exception("other")
    more = {} if token == "bare" else {"context": {"text": "x", "number": 1, "truth": True, "list": [1, {"a": None}]}}
    if os.environ.get("SIMPLE"):
        return {"isAuthorized": {"deny": False, "text": "true"}.get(token, True), **more}
    statement = {"Action": "execute-api:Invoke", "Effect": "Deny" if token == "deny" else "Allow", "Resource": "*"}
    if token == "only-a":
        arn = event.get("routeArn") or event["methodArn"]
        statement["Resource"] = arn.rsplit("/", 1)[0] + "/a"
    return {"principalId": "ann", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}, **more}
"""


class Guarded:
    """An API whose routes are behind an authorizer function."""

    def __init__(self, gateway, tmp_path, arn, version="2.0", simple=True, source=("$request.header.x-token",), **options):
        self.calls_path = tmp_path / "calls"
        self.calls_path.touch()
        environment = {"CALLS": str(self.calls_path)} | ({"SIMPLE": "1"} if simple else {})
        authorizer = function(gateway, "authorizer", AUTHORIZER, **environment)
        self.api = HttpApi(gateway, variables={"color": "red"})
        options = {"EnableSimpleResponses": simple} | options
        id = self.api.client.create_authorizer(
            ApiId=self.api.id, Name="f", AuthorizerType="REQUEST", AuthorizerUri=authorizer_uri(authorizer),
            AuthorizerPayloadFormatVersion=version, IdentitySource=list(source), **options,
        )["AuthorizerId"]  # fmt: skip
        for path, payload in ("/a", "2.0"), ("/b", "1.0"), ("/c/{id}", "2.0"):
            guard(self.api, self.api.function(f"GET {path}", arn, version=payload), "CUSTOM", id)

    def get(self, token=None, path="/a", **headers):
        return self.api.call("GET", path, headers={**({"X-Token": token} if token else {}), **headers})

    def calls(self):
        return [json.loads(line) for line in self.calls_path.read_text().splitlines()]


def authorizer_uri(arn):
    return f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}/invocations"


class TestFunctions:
    def test_simple_answers_and_format_2(self, gateway, tmp_path, new_function):  # noqa: F811
        guarded = Guarded(gateway, tmp_path, new_function(ECHO))
        answer = guarded.get("yes", "/c/1%202?q=1&q=2&r=%20", Cookie="k=v; l=w")
        lambda_ = body_json(answer)["requestContext"]["authorizer"]
        assert lambda_ == {"lambda": {"text": "x", "number": 1, "truth": True, "list": [1, {"a": None}]}}
        (event,) = guarded.calls()
        api = guarded.api.id
        assert {name: event[name] for name in event if name not in ("headers", "requestContext")} == {
            "version": "2.0", "type": "REQUEST", "identitySource": ["yes"], "routeKey": "GET /c/{id}", "rawPath": "/c/1 2",
            "routeArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/$default/GET/c/1%202",
            "rawQueryString": "q=1&q=2&r=%20", "cookies": ["k=v", "l=w"], "queryStringParameters": {"q": "1,2", "r": " "},
            "pathParameters": {"id": "1 2"}, "stageVariables": {"color": "red"},
        }  # fmt: skip
        assert event["headers"]["x-token"] == "yes" and "authorizer" not in event["requestContext"]
        context = body_json(answer)["requestContext"]
        del context["authorizer"]
        assert event["requestContext"] == context
        assert body_json(guarded.get("bare"))["requestContext"]["authorizer"] == {"lambda": None}

    def test_policies_and_format_1(self, gateway, tmp_path, new_function):  # noqa: F811
        source = ["$request.header.x-token", "$request.querystring.q", "$stageVariables.color", "$context.routeKey"]
        guarded = Guarded(gateway, tmp_path, new_function(ECHO), "1.0", False, source)
        answer = guarded.get("yes", "/b?q=1")
        authorizer = body_json(answer)["requestContext"]["authorizer"]
        assert authorizer == {
            "claims": None, "scopes": None, "principalId": "ann", "text": "x", "number": 1, "truth": True,
            "list": [1, {"a": None}],
        }  # fmt: skip
        (event,) = guarded.calls()
        assert event["identitySource"] == event["authorizationToken"] == "yes,1,red,GET /b"
        assert {name: event[name] for name in ("version", "type", "resource", "path", "httpMethod", "methodArn")} == {
            "version": "1.0", "type": "REQUEST", "resource": "/b", "path": "/b", "httpMethod": "GET",
            "methodArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{guarded.api.id}/$default/GET/b",
        }  # fmt: skip
        assert (event["queryStringParameters"], event["stageVariables"]) == ({"q": "1"}, {"color": "red"})
        assert (event["pathParameters"], event["headers"]["Content-Length"], event["headers"]["X-Token"]) == ({}, "0", "yes")
        assert (event["requestContext"]["resourceId"], "authorizer" in event["requestContext"]) == ("GET /b", False)
        assert answered(guarded.get("only-a", "/b?q=1")) == FORBIDDEN
        assert guarded.get("only-a", "/a?q=1").status_code == 200

    @pytest.mark.parametrize("simple", [True, False])
    def test_refusals(self, gateway, tmp_path, new_function, simple):  # noqa: F811
        guarded = Guarded(gateway, tmp_path, new_function(ECHO), simple=simple)
        assert answered(guarded.get("deny")) == FORBIDDEN
        assert answered(guarded.get("unauthorized")) == UNAUTHORIZED
        assert answered(guarded.get("fail")) == (500, {"message": "Internal Server Error"})
        if simple:
            assert answered(guarded.get("text")) == (500, {"message": "Internal Server Error"})
        calls = len(guarded.calls())
        # A missing identity is refused without a call, whether answers are remembered or not.
        assert answered(guarded.get()) == UNAUTHORIZED
        assert len(guarded.calls()) == calls

    def test_without_identity_every_request_is_asked_about(self, gateway, tmp_path, new_function):  # noqa: F811
        guarded = Guarded(gateway, tmp_path, new_function(ECHO), source=())
        for _ in range(2):
            assert guarded.get().status_code == 200
        assert len(guarded.calls()) == 2 and guarded.calls()[0]["identitySource"] is None

    def test_remembered_answers(self, gateway, tmp_path, new_function):  # noqa: F811
        """One call for an identity, whatever the route; its policy is asked again for each."""
        guarded = Guarded(gateway, tmp_path, new_function(ECHO), simple=False, AuthorizerResultTtlInSeconds=300)
        for path in "/a", "/a", "/b":
            assert guarded.get("yes", path).status_code == 200
        assert len(guarded.calls()) == 1
        assert guarded.get("only-a", "/a").status_code == 200
        assert answered(guarded.get("only-a", "/b")) == FORBIDDEN
        assert len(guarded.calls()) == 2
        for _ in range(2):
            assert guarded.get("fail").status_code == 500
        assert len(guarded.calls()) == 4


    def test_identities_that_look_alike(self, gateway, tmp_path, new_function):  # noqa: F811
        """What the function can tell apart is remembered apart."""
        source = ["$request.querystring.q", "$request.querystring.r"]
        guarded = Guarded(gateway, tmp_path, new_function(ECHO), source=source, AuthorizerResultTtlInSeconds=300)
        paths = ["/a?q=1&q=2&r=3", "/a?q=1,2&r=3", "/a?q=1%2C2&r=3", "/a?q=1&r=2,3", "/a?r=3&q=1&q=2", "/a?q=12&r=3"]
        for path in paths:
            assert guarded.get("allow", path).status_code == 200
        # The third and the fifth are the second and the first, written otherwise.
        assert [event["rawQueryString"] for event in guarded.calls()] == [
            "q=1&q=2&r=3", "q=1,2&r=3", "q=1&r=2,3", "q=12&r=3"
        ]  # fmt: skip

    def test_a_function_has_ten_seconds(self, gateway, tmp_path, echo):
        api = HttpApi(gateway)
        code = "import time\ndef handler(event, context):\n    time.sleep(15)\n    return {'isAuthorized': True}"
        authorizer = api.client.create_authorizer(
            ApiId=api.id, Name="f", AuthorizerType="REQUEST", AuthorizerUri=authorizer_uri(function(gateway, "slow", code)),
            AuthorizerPayloadFormatVersion="2.0", EnableSimpleResponses=True, IdentitySource=["$request.header.x-token"],
        )["AuthorizerId"]  # fmt: skip
        guard(api, api.backend("GET /", echo.url), "CUSTOM", authorizer)
        begun = time.monotonic()
        answer = api.call("GET", "/", headers={"X-Token": "x"})
        assert answered(answer) == (500, {"message": "Internal Server Error"})
        assert 9.5 < time.monotonic() - begun < 14 and echo.seen == []


def test_audiences_and_scopes_have_limits(gateway, echo):
    api = HttpApi(gateway)
    issuer = "https://issuer.test"
    authorizer = jwt_authorizer(api, issuer, [f"a{number}" for number in range(50)])
    with pytest.raises(api.client.exceptions.ClientError, match="Audiences"):
        jwt_authorizer(api, issuer, [f"a{number}" for number in range(51)])
    route = api.backend("GET /", echo.url)
    scopes = [f"s{number}" for number in range(11)]
    guard(api, route, "JWT", authorizer, AuthorizationScopes=scopes[:10])
    with pytest.raises(api.client.exceptions.ClientError, match="Scopes"):
        guard(api, route, "JWT", authorizer, AuthorizationScopes=scopes)


class TestIam:
    def test_signatures(self, gateway, tmp_path, new_function):  # noqa: F811
        api = HttpApi(gateway)
        arn = new_function(ECHO)
        for path, version in ("/two", "2.0"), ("/one", "1.0"):
            guard(api, api.function(f"POST {path}", arn, version=version), "AWS_IAM")
        allowed = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/$default/POST/*"
        key = self.key(gateway, tmp_path, "ann", allowed)
        eventually(lambda: self.call(api, key, "/two").status_code == 200, what="the new key")
        iam = body_json(self.call(api, key, "/two"))["requestContext"]["authorizer"]["iam"]
        user = f"arn:aws:iam::{ACCOUNT}:user/ann"
        assert (iam["accessKey"], iam["accountId"], iam["userArn"]) == (key["AccessKeyId"], ACCOUNT, user)
        assert iam["callerId"] == iam["userId"] and iam["cognitoIdentity"] is None
        identity = body_json(self.call(api, key, "/one"))["requestContext"]["identity"]
        assert (identity["accessKey"], identity["userArn"]) == (key["AccessKeyId"], user)
        assert answered(api.call("POST", "/two")) == FORBIDDEN
        assert answered(self.call(api, {**key, "SecretAccessKey": "x" * 40}, "/two")) == FORBIDDEN
        assert answered(self.call(api, {**key, "AccessKeyId": "AKIAABSENT0000000000"}, "/two")) == FORBIDDEN
        other = self.key(gateway, tmp_path, "bob", allowed.replace("POST", "GET"))
        assert answered(self.call(api, other, "/two")) == FORBIDDEN

    def key(self, gateway, tmp_path, name, resource):
        path = tmp_path / f"{name}.json"
        statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resource}
        path.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        arguments = ["credentials", "create", name, "--policy", path, "--data", gateway.data]
        done = subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def call(self, api, key, path):
        host = f"{api.id}.execute-api.localhost:{api.gateway.traffic_port}"
        request = botocore.awsrequest.AWSRequest(method="POST", url=f"http://{host}{path}?a=b%20c", data=b"text")
        credentials = botocore.credentials.Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        botocore.auth.SigV4Auth(credentials, "execute-api", REGION).add_auth(request)
        headers = dict(request.prepare().headers) | {"Host": host}
        return requests.post(f"{api.gateway.traffic}{path}?a=b%20c", headers=headers, data=b"text", timeout=20)
