"""Known attacks on gateways that authenticate, each of which has to fail closed. Those on parsers of messages are in
test_bad_input.py, those on a user pool's tokens in test_cognito.py."""

import base64
import hmac
import json
import socket
import time

import pytest
import requests
from authorization import function
from harness import body_json, lambda_uri
from sockets import SocketApi
from test_http_api_authorizers import UNAUTHORIZED, Issuer, answered, guard, issuer, jwt_authorizer  # noqa: F401
from test_http_api_traffic import HttpApi
from test_iam import Api as IamApi
from test_iam import policy, told


def part(value):
    text = value if isinstance(value, (str, bytes)) else json.dumps(value)
    return base64.urlsafe_b64encode(text if isinstance(text, bytes) else text.encode()).rstrip(b"=").decode()


@pytest.fixture
def attacker():
    """An issuer of the attacker's, with keys of the attacker's."""
    made = Issuer()
    yield made
    made.close()


def test_tokens(gateway, echo, issuer, attacker):  # noqa: F811
    api = HttpApi(gateway)
    guard(api, api.backend("GET /", echo.url), "JWT", jwt_authorizer(api, issuer.url, ["app"]))

    def ask(token):
        return api.call("GET", "/", headers={"Authorization": token})

    good = issuer.token()
    assert ask(good).status_code == 200
    header, claims, signature = good.split(".")
    now = int(time.time())
    admin = {"iss": issuer.url, "aud": "app", "sub": "admin", "iat": now, "exp": now + 600}
    public = issuer.key.as_pem(private=False)

    def signed(secret, **head):
        """HMAC with what an attacker knows: the public key, or nothing."""
        text = f"{part({'kid': 'k1', **head})}.{part(admin)}"
        return f"{text}.{part(hmac.digest(secret, text.encode(), 'sha256'))}"

    def own(**head):
        """Signed by the attacker's own key, and good in every other way."""
        return issuer.token(key=attacker.key, sub="admin", header=head)

    two_algorithms = part('{"alg":"none","alg":"RS256","kid":"k1"}')
    twice = json.dumps(admin)[:-1] + ', "sub": "ann"}'
    attacks = {
        "alg none": f"{part({'alg': 'none', 'kid': 'k1'})}.{part(admin)}.",
        "alg none in capitals": f"{part({'alg': 'NoNe', 'kid': 'k1'})}.{part(admin)}.",
        "alg none with a signature": f"{part({'alg': 'none', 'kid': 'k1'})}.{part(admin)}.{signature}",
        "alg missing": f"{part({'kid': 'k1'})}.{part(admin)}.{signature}",
        "the public key as a shared secret": signed(public, alg="HS256"),
        "the public key in another form": signed(issuer.key.as_der(private=False), alg="HS256"),
        "an empty secret": signed(b"", alg="HS256"),
        "kid as a path": signed(b"", alg="HS256", kid="../../../../dev/null"),
        "kid as SQL": own(kid="x' UNION SELECT 'k1"),
        "kid as a list": f"{part({'alg': 'RS256', 'kid': ['k1']})}.{claims}.{signature}",
        "kid of nobody": own(kid="k9"),
        "a key of the attacker's": own(),
        "a key in the header": own(jwk=attacker.key.as_dict(private=False)),
        "keys at an address in the header": own(jku=attacker.keys),
        "a certificate at an address in the header": own(x5u=attacker.keys),
        "crit": f"{part({'alg': 'RS256', 'kid': 'k1', 'crit': ['exp']})}.{claims}.{signature}",
        "b64": f"{part({'alg': 'RS256', 'kid': 'k1', 'b64': False})}.{claims}.{signature}",
        "alg twice": f"{two_algorithms}.{claims}.{signature}",
        "a claim twice": f"{header}.{part(twice)}.{signature}",
        "claims of another": f"{header}.{part(admin)}.{signature}",
        "signature stripped": f"{header}.{claims}.",
        "signature left out": f"{header}.{claims}",
        "signature repeated": f"{good}.{signature}",
        "all in JSON": json.dumps({"payload": claims, "protected": header, "signature": signature}),
        "encrypted, so it says": f"{good}.{signature}.{signature}",
        "white space within": f"{header}.{claims} .{signature}",
        "two tokens": f"{good}, {good}",
    }
    for name, token in attacks.items():
        answer = ask(token)
        assert answered(answer) == UNAUTHORIZED, name
    assert attacker.fetches == 0, "nobody is asked for keys whom a token names"
    assert ask(good).status_code == 200


def test_an_issuer_in_another_guise(gateway, echo, issuer, attacker):  # noqa: F811
    """Issuers are told apart by their exact names, and what one has signed is no other's."""
    api = HttpApi(gateway)
    for path, audience in ("/a", "app"), ("/b", "other"):
        guard(api, api.backend(f"GET {path}", echo.url), "JWT", jwt_authorizer(api, issuer.url, [audience]))
    for_a = issuer.token(aud="app")
    assert api.call("GET", "/a", headers={"Authorization": for_a}).status_code == 200
    # What one authorizer has verified and remembers is no good at another.
    assert answered(api.call("GET", "/b", headers={"Authorization": for_a})) == UNAUTHORIZED
    for claims in {"iss": issuer.url + "/"}, {"iss": [issuer.url]}, {"iss": ...}, {"aud": "APP"}, {"aud": {"app": 1}}:
        assert answered(api.call("GET", "/a", headers={"Authorization": issuer.token(**claims)})) == UNAUTHORIZED, claims
    # The attacker's issuer signs for itself, and under the trusted one's name.
    for claims in {}, {"iss": issuer.url}:
        assert answered(api.call("GET", "/a", headers={"Authorization": attacker.token(**claims)})) == UNAUTHORIZED, claims
    assert attacker.fetches == 0


SMUGGLER = """
def handler(event, context):
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*"}
    return {"principalId": "ann\\r\\nX-Admin: yes", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            "context": {"name": "ann\\r\\nX-Admin: yes\\r\\n\\r\\nGET /evil HTTP/1.1", "nul": "a\\0b", "plain": "ann"}}
"""


class TestSmuggledHeaders:
    """Whatever an authorizer or a token says ends up in one header, or nowhere."""

    def clean(self, echo, answer):
        assert not any("x-admin" in name.lower() for name in answer.headers), answer.headers
        for method, path, headers, _ in echo.seen:
            assert not path.startswith("/evil") and path.isprintable() and " " not in path
            assert not any(name.lower() == "x-admin" for name, _ in headers), headers
            assert not any("\r" in value or "\n" in value for _, value in headers)

    def guarded(self, gateway, code):
        """A REST API, and what its methods need to ask this authorizer."""
        api = gateway.rest_api()
        authorizer = api.client.create_authorizer(
            restApiId=api.id, name="a", type="TOKEN", authorizerUri=lambda_uri(function(gateway, "authorizer", code)),
            identitySource="method.request.header.Authorization",
        )["id"]  # fmt: skip
        return api, {"authorizationType": "CUSTOM", "authorizerId": authorizer}

    def test_rest_apis(self, gateway, echo):
        api, guarded = self.guarded(gateway, SMUGGLER)
        variables = ["principalId", "name", "nul", "plain"]
        for variable in variables:
            api.proxy("GET", f"/{variable}", echo.url, method_options=guarded, requestParameters={
                "integration.request.header.X-User": f"context.authorizer.{variable}",
                "integration.request.querystring.user": f"context.authorizer.{variable}",
            })  # fmt: skip
        api.deploy()
        for variable in variables:
            answer = api.call("GET", f"/{variable}", headers={"Authorization": "x"})
            assert answer.status_code in (200, 500), answer.status_code
            self.clean(echo, answer)
        # The last is harmless, so it is the attack that was in the way of the others.
        assert answer.status_code == 200 and ("X-User", "ann") in echo.seen[-1][2]

    def test_gateway_responses(self, gateway, echo):
        api, guarded = self.guarded(gateway, SMUGGLER.replace('"Allow"', '"Deny"'))
        api.proxy("GET", "/a", echo.url, method_options=guarded)
        api.client.put_gateway_response(restApiId=api.id, responseType="ACCESS_DENIED", responseParameters={
            "gatewayresponse.header.X-User": "context.authorizer.name", "gatewayresponse.header.X-Sent": "method.request.header.X-Sent",
        })  # fmt: skip
        api.deploy()
        answer = api.call("GET", "/a", headers={"Authorization": "x", "X-Sent": "fine"})
        assert (answer.status_code, answer.headers.get("X-Sent")) == (403, "fine")
        self.clean(echo, answer)

    def test_http_apis(self, gateway, echo, issuer):  # noqa: F811
        api = HttpApi(gateway)
        mapped = {"overwrite:header.x-user": "$context.authorizer.claims.sub", "append:querystring.user": "$context.authorizer.claims.sub",
                  "overwrite:path": "/users/${context.authorizer.claims.path}"}  # fmt: skip
        answers = {"200": {"overwrite:header.x-user": "$context.authorizer.claims.sub"}}
        route = api.backend("GET /", echo.url, RequestParameters=mapped, ResponseParameters=answers)
        guard(api, route, "JWT", jwt_authorizer(api, issuer.url, ["app"]))
        token = issuer.token(sub="ann\r\nX-Admin: yes", path="x HTTP/1.1\r\nX-Admin: yes\r\n\r\nGET /evil")
        answer = api.call("GET", "/", headers={"Authorization": token})
        assert answer.status_code in (200, 500)
        self.clean(echo, answer)
        answer = api.call("GET", "/", headers={"Authorization": issuer.token(path="x")})
        assert answer.status_code == 200 and echo.seen[-1][1].startswith("/users/x")

    def test_websocket_apis(self, gateway, echo):
        """What the authorizer of a handshake says is mapped for each message; and what a function says chooses a protocol."""
        api = SocketApi(gateway)
        made = api.client.create_authorizer(
            ApiId=api.id, Name="a", AuthorizerType="REQUEST", IdentitySource=[],
            AuthorizerUri=lambda_uri(function(gateway, "authorizer", SMUGGLER)),
        )  # fmt: skip
        code = """
def handler(event, context):
    bad = {"Sec-WebSocket-Protocol": "a\\r\\nX-Admin: yes"}
    return {"statusCode": 200, "headers": bad if event.get("queryStringParameters") else {}}
"""
        guarded = {"AuthorizationType": "CUSTOM", "AuthorizerId": made["AuthorizerId"]}
        api.function("$connect", function(gateway, "connect", code), route=guarded)
        mapped = {f"integration.request.header.X-{name}": f"context.authorizer.{name}" for name in ("name", "nul", "plain")}
        mapped |= {"integration.request.querystring.user": "context.authorizer.name",
                   "integration.request.header.X-Text": "route.request.body.text"}  # fmt: skip
        api.route("$default", api.integration(IntegrationType="HTTP_PROXY", IntegrationMethod="POST", IntegrationUri=echo.url,
                                              RequestParameters=mapped), two_way=True)  # fmt: skip
        # The protocol is no token, so the handshake is answered without it or not at all.
        lines = f"Host: {api.id}.execute-api.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        lines += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: a\r\n\r\n"
        with socket.create_connection(("127.0.0.1", gateway.traffic_port), 10) as link:
            link.sendall(f"GET /dev?bad=1 HTTP/1.1\r\n{lines}".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n") and (byte := link.recv(1)):
                head += byte
        assert head.startswith(b"HTTP/1.1 ") and b"x-admin" not in head.lower(), head
        with api.connect() as link:
            answer = json.loads(api.ask(link, {"text": "x\r\nX-Admin: yes\r\n\r\nGET /evil HTTP/1.1"}))
        assert answer["headers"].get("x-plain") == "ann", answer
        self.clean(echo, requests.get(gateway.control + "/_stagedoor/health", timeout=10))

    def test_a_client_cannot_send_what_the_authorizer_tells(self, gateway, echo, issuer):  # noqa: F811
        """A mapping that overwrites leaves nothing of what the client sent under the same name, however it is spelt."""
        api = HttpApi(gateway)
        route = api.backend("GET /", echo.url, RequestParameters={"overwrite:header.x-user": "$context.authorizer.claims.sub"})
        guard(api, route, "JWT", jwt_authorizer(api, issuer.url, ["app"]))
        lines = f"Host: {api.id}.execute-api.localhost\r\nConnection: close\r\nAuthorization: {issuer.token()}\r\n"
        sent = f"GET / HTTP/1.1\r\n{lines}X-User: admin\r\nx-user: root\r\nX-USER: daemon\r\n\r\n"
        assert gateway.raw(sent.encode()).startswith(b"HTTP/1.1 200")
        _, _, headers, _ = echo.seen[-1]
        assert [value for name, value in headers if name.lower() == "x-user"] == ["ann"]


class TestCaches:
    """Nobody is answered out of a cache with what belongs to somebody else."""

    def cached(self, gateway, **options):
        api = gateway.rest_api()
        api.mock("GET", "/a", "$context.requestId", **options)
        return api

    def test_a_cached_response_takes_an_authorization(self, gateway, tmp_path):
        signer = IamApi(gateway, tmp_path)
        client, api = signer.api.client, signer.api
        where = {"restApiId": api.id, "resourceId": api.resource("/a"), "httpMethod": "GET", "statusCode": "200"}
        template = [{"op": "replace", "path": "/responseTemplates/application~1json", "value": "$context.requestId"}]
        client.update_integration_response(**where, patchOperations=template)
        client.create_deployment(restApiId=api.id, stageName="test", cacheClusterEnabled=True)
        patch = [{"op": "replace", "path": "/*/*/caching/enabled", "value": "true"}]
        client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)
        allowed, denied = signer.key("ann", policy()), signer.key("bob", policy("Deny"))
        first = signer.call(allowed)
        assert signer.call(allowed).text == first.text, "it is in the cache"
        assert told(signer.call(denied))[1] == "AccessDeniedException"
        assert told(signer.call(None))[1] == "MissingAuthenticationTokenException"

    def test_parameters_that_look_alike_share_no_entry(self, gateway, echo):
        api = gateway.rest_api()
        names = ["method.request.querystring.a", "method.request.querystring.b", "method.request.header.X-User"]
        api.proxy("GET", "/a", echo.url, method_options={"requestParameters": {name: False for name in names}},
                  requestParameters={name.replace("method", "integration"): name for name in names[:2]},
                  cacheKeyParameters=names)  # fmt: skip
        api.client.create_deployment(restApiId=api.id, stageName="test", cacheClusterEnabled=True)
        patch = [{"op": "replace", "path": "/*/*/caching/enabled", "value": "true"}]
        api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)
        asked = [
            ("?a=1&b=2", {}), ("?a=1%26b%3D2", {}), ("?b=2&a=", {}), ("?a=12", {}), ("?b=12", {}), ("?a=1&a=2", {}), ("?a=1,2", {}),
            ("?a=1&b=2", {"X-User": "ann"}), ("?a=1&b=2", {"X-User": "bob"}), ("?a=1&b=2ann", {}), ("?a=1&b=2", {"X-User": ""}),
        ]  # fmt: skip
        for number, (query, headers) in enumerate(asked, 1):
            assert api.call("GET", "/a" + query, headers=headers).status_code == 200
            assert len(echo.seen) == number, (query, headers)
        assert api.call("GET", "/a?a=1&b=2").status_code == 200
        assert len(echo.seen) == len(asked), "the first is still known"


def test_a_method_cannot_be_passed_off_as_another(gateway, tmp_path):
    """X-HTTP-Method-Override is looked at before policies are."""
    statement = {"Principal": "*", "Action": "execute-api:Invoke"}
    document = {"Version": "2012-10-17", "Statement": [
        statement | {"Effect": "Allow", "Resource": "execute-api:/*"},
        statement | {"Effect": "Deny", "Resource": "execute-api:/*/DELETE/*"},
    ]}  # fmt: skip
    api = gateway.rest_api(policy=json.dumps(document))
    for verb in "GET", "POST", "DELETE":
        api.mock(verb, "/a", "done")
    api.deploy_without_waiting()
    assert api.call("POST", "/a").status_code == 200
    assert api.call("DELETE", "/a").status_code == 403
    assert api.call("POST", "/a", headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 403
    assert api.call("POST", "/a", headers={"x-http-method-override": "delete"}).status_code == 403
    # Of several the backend might believe another one.
    host = f"Host: {api.id}.execute-api.localhost\r\nConnection: close\r\n"
    for sent in "POST\r\nX-HTTP-Method-Override: DELETE", "DELETE\r\nX-HTTP-Method-Override: POST", "DELETE, POST":
        answer = gateway.raw(f"POST /test/a HTTP/1.1\r\n{host}X-HTTP-Method-Override: {sent}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 403"), sent


def test_methods_have_a_case(gateway, echo, issuer):  # noqa: F811
    """A backend may take `get` for GET; routes and policies do not."""
    rest = gateway.rest_api()
    rest.proxy("ANY", "/a", echo.url)
    rest.deploy_without_waiting()
    api = HttpApi(gateway)
    guard(api, api.backend("GET /a", echo.url), "JWT", jwt_authorizer(api, issuer.url, ["app"]))
    api.backend("ANY /{proxy+}", echo.url)
    api.backend("$default", echo.url)
    for made, path, status in (rest, "/test/a", b"403"), (api, "/a", b"404"):
        for method in "get", "Get", "pOST":
            head = f"{method} {path} HTTP/1.1\r\nHost: {made.id}.execute-api.localhost\r\nConnection: close\r\n\r\n"
            assert gateway.raw(head.encode()).split(b" ")[1] == status, (path, method)
    assert not echo.seen
    assert api.call("GET", "/a").status_code == 401 and api.call("POST", "/a").status_code == 200


@pytest.mark.parametrize("denied", ["admin", "adm*"])
def test_a_path_cannot_be_spelt_past_a_policy(gateway, tmp_path, denied):
    """However a path is written that leads to a method: what denies the method denies it."""
    def refused(api, path):
        host = f"Host: {api.id}.execute-api.localhost\r\nConnection: close\r\n"
        answer = gateway.raw(f"GET /test{path} HTTP/1.1\r\n{host}Authorization: x\r\n\r\n".encode())
        assert b"in admin" not in answer or answer.startswith(b"HTTP/1.1 200"), answer
        return answer.startswith(b"HTTP/1.1 403")

    statement = {"Principal": "*", "Action": "execute-api:Invoke"}
    allow, deny = statement | {"Effect": "Allow", "Resource": "execute-api:/*"}, statement | {"Effect": "Deny"}
    document = {"Version": "2012-10-17", "Statement": [allow, deny | {"Resource": f"execute-api:/*/GET/{denied}"}]}
    by_policy = gateway.rest_api(policy=json.dumps(document))
    code = SMUGGLER.replace("\\r\\nX-Admin: yes", "").replace(
        '"policyDocument": {"Version": "2012-10-17", "Statement": [statement]}',
        '"policyDocument": {"Version": "2012-10-17", "Statement": [statement, '
        f'{{"Action": "*", "Effect": "Deny", "Resource": "arn:aws:execute-api:*:*:*/test/GET/{denied}"}}]}}',
    )
    by_function = gateway.rest_api()
    authorizer = by_function.client.create_authorizer(
        restApiId=by_function.id, name="a", type="TOKEN", authorizerUri=lambda_uri(function(gateway, "authorizer", code)),
        identitySource="method.request.header.Authorization",
    )["id"]  # fmt: skip
    guarded = [{"op": "replace", "path": "/authorizationType", "value": "CUSTOM"},
               {"op": "replace", "path": "/authorizerId", "value": authorizer}]  # fmt: skip
    for api in by_policy, by_function:
        for path in "/admin", "/open":
            api.mock("GET", path, f"in {path[1:]}")
            if api is by_function:
                where = {"restApiId": api.id, "resourceId": api.resource(path), "httpMethod": "GET"}
                api.client.update_method(**where, patchOperations=guarded)
        api.deploy_without_waiting()
        for path in "/admin", "/%61dmin", "/admin/", "//admin", "/%61%64%6d%69%6e//", "/admin?x=/open":
            assert refused(api, path), path
        for path in "/open", "/%6fpen", "//open/":
            assert not refused(api, path), path


def test_what_a_policy_excepts_cannot_be_spelt_otherwise(gateway):
    statement = {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "NotResource": "execute-api:/*/GET/admin"}
    api = gateway.rest_api(policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    for path in "/admin", "/open":
        api.mock("GET", path, f"in {path[1:]}")
    api.deploy_without_waiting()

    def status(path):
        host = f"Host: {api.id}.execute-api.localhost\r\nConnection: close\r\n\r\n"
        return gateway.raw(f"GET /test{path} HTTP/1.1\r\n{host}".encode()).split(b" ")[1]

    for path in "/open", "/%6fpen", "//open/":
        assert status(path) == b"200", path
    for path in "/admin", "/%61dmin", "//admin", "/admin/":
        assert status(path) == b"403", path


def test_dots_lead_past_no_policy(gateway, echo):
    """Whom a policy lets see one part of what a greedy resource serves does not see another by `..`, however it is spelt."""
    statement = {"Principal": "*", "Action": "execute-api:Invoke"}
    allow, deny = statement | {"Effect": "Allow"}, statement | {"Effect": "Deny"}
    policies = [[allow | {"Resource": "execute-api:/*/GET/open/*"}],
                [allow | {"Resource": "execute-api:/*"}, deny | {"Resource": "execute-api:/*/GET/admin"}]]  # fmt: skip
    for statements in policies:
        api = gateway.rest_api(policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
        api.proxy("GET", "/{proxy+}", echo.url + "/{proxy}", method_options={"requestParameters": {"method.request.path.proxy": True}},
                  requestParameters={"integration.request.path.proxy": "method.request.path.proxy"})  # fmt: skip
        api.deploy_without_waiting()

        def status(path):
            host = f"Host: {api.id}.execute-api.localhost\r\nConnection: close\r\n\r\n"
            return gateway.raw(f"GET /test{path} HTTP/1.1\r\n{host}".encode()).split(b" ")[1]

        assert status("/open/a") == status("/open/b/../a") == b"200"
        seen = len(echo.seen)
        for path in (
            "/open/../admin", "/open/x/../../admin", "/open/%2e%2e/admin", "/open/..%2fadmin", "/open/./../admin/",
            "//open/../admin", "/open/..;x/admin", "/open/x%5c..%5c..%5cadmin",
        ):  # fmt: skip
            assert status(path) == b"403", path
        # A fragment, which no client sends, would be a part of the path here and none at many backends.
        assert status("/open/a#x") == b"400"
        assert len(echo.seen) == seen


def test_dots_lead_past_no_authorizer(gateway, echo, issuer):  # noqa: F811
    """An open resource whose backend follows dot segments leads to no method that asks more of its callers."""
    def status(api, path, **headers):
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        lines = f"Host: {api.id}.execute-api.localhost\r\nConnection: close\r\n{head}\r\n"
        return int(gateway.raw(f"GET {path} HTTP/1.1\r\n{lines}".encode()).split(b" ")[1])

    ways = ["/open/../{0}", "/open/%2e%2e/{0}", "/open/..%2f{0}", "/open/..;x/{0}", "/open/x/..\\..\\{0}", "/open/x/../../{0}", "/open/.././/{0}/", "/open/../{0};x"]
    rest, greedy = gateway.rest_api(), {"requestParameters": {"method.request.path.proxy": True}}
    passed = {"requestParameters": {"integration.request.path.proxy": "method.request.path.proxy"}}
    rest.proxy("GET", "/open/{proxy+}", echo.url + "/open/{proxy}", method_options=greedy, **passed)
    rest.proxy("GET", "/signed", echo.url + "/signed", method_options={"authorizationType": "AWS_IAM"})
    rest.proxy("GET", "/keyed", echo.url + "/keyed", method_options={"apiKeyRequired": True})
    rest.proxy("GET", "/free", echo.url + "/free")
    rest.deploy_without_waiting()
    for way in ways:
        assert status(rest, "/test" + way.format("free")) == 200, way
        for name in "signed", "keyed":
            assert status(rest, "/test" + way.format(name)) == 403, (way, name)
    assert status(rest, "/test/open/a/../b") == 200
    # Out of the stage lies perhaps another one.
    assert status(rest, "/test/open/../../prod/a") == status(rest, "/test/open/..%2f../free") == 403

    api = HttpApi(gateway)
    authorizer, token = jwt_authorizer(api, issuer.url, ["app"]), issuer.token(scope="read")
    for path, options in ("/read", {"AuthorizationScopes": ["read"]}), ("/admin", {"AuthorizationScopes": ["admin"]}), ("/any/{proxy+}", {}):
        guard(api, api.backend(f"GET {path}", echo.url), "JWT", authorizer, **options)
    for route in "GET /open/{proxy+}", "$default":
        api.backend(route, echo.url)
    for way in ways:
        assert status(api, way.format("free")) == 200, way
        assert status(api, way.format("read"), Authorization=token) == 404, way
    assert status(api, "/read;x=1") == status(api, "/read%3b") == 404
    assert status(api, "/open/../../x") == status(api, "/%2e%2e/x") == 404
    assert status(api, "/./read") == status(api, "/any/../read", Authorization=token) == status(api, "/read/../admin", Authorization=token) == 404
    assert status(api, "/any/a/../b", Authorization=token) == status(api, "/read", Authorization=token) == 200


def test_the_host_does_not_choose_the_policy(gateway):
    """An address by path serves the API that the path names, whatever the host says, under that API's own policy."""
    def with_policy(effect):
        statement = {"Effect": effect, "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"}
        api = gateway.rest_api(policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        api.mock("GET", "/a", effect)
        api.deploy_without_waiting()
        return api

    opened, closed = with_policy("Allow"), with_policy("Deny")
    by_path = f"{gateway.traffic}/_aws/execute-api/{closed.id}/test/a"
    answer = requests.get(by_path, headers={"Host": f"{opened.id}.execute-api.localhost"}, timeout=10)
    assert answer.status_code in (403, 404) and answer.text != "Deny"
    answer = requests.get(by_path, headers={"x-apigw-api-id": opened.id}, timeout=10)
    assert answer.status_code == 403
    assert body_json(closed.call("GET", "/a", headers={"x-apigw-api-id": opened.id})).get("Message")
