"""JWT authorizers of REST APIs: several issuers with audiences and claims of their own, on curves and with RSA, and everything
that tries to pass without a token that one of them has given."""

import base64
import hmac
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore.exceptions
import pytest
from authorization import function
from harness import ACCOUNT, REGION, binary, body_json, eventually, free_port, lambda_uri
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from test_access_logs import lines, set_log
from test_custom_domains import Authority
from test_token_issuers import API as AUDIENCE
from test_token_issuers import PACKAGES, Provider

UNAUTHORIZED = (401, {"message": "Unauthorized"})
FORBIDDEN = (403, {"Message": "Forbidden"})
EVENT = "import json\ndef handler(event, context):\n    return {'statusCode': 200, 'body': json.dumps(event['requestContext'])}\n"
HEADER = "method.request.header.Authorization"


class Issuer:
    """An OpenID Connect issuer on this machine. What it says at a path can be anything."""

    def __init__(self, name="", key=None):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{name}"
        self.keys = [key or RSAKey.generate_key(2048, {"kid": "k1"})]
        self.fetches, self.says, self.server = [], {}, None
        self.start()

    def start(self):
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.fetches.append(self.path)
                status, headers, body = issuer.answer(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def answer(self, path):
        if path in self.says:
            said = self.says[path]
            return said if isinstance(said, tuple) else (200, {}, json.dumps(said).encode())
        if path.endswith("/.well-known/openid-configuration"):
            return 200, {}, json.dumps({"issuer": self.url, "jwks_uri": self.key_set}).encode()
        if path == "/keys":
            return 200, {}, json.dumps(KeySet(self.keys).as_dict(private=False)).encode()
        return 404, {}, b"{}"

    @property
    def key_set(self):
        return f"http://127.0.0.1:{self.port}/keys"

    @property
    def document(self):
        return self.url.removeprefix(f"http://127.0.0.1:{self.port}").rstrip("/") + "/.well-known/openid-configuration"

    def close(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def token(self, key=None, algorithm=None, header=None, **claims):
        key = key or self.keys[0]
        algorithm = algorithm or ("RS256" if key.key_type == "RSA" else {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[key.curve_name])
        now = int(time.time())
        claims = {"iss": self.url, "aud": "app", "sub": "ann", "iat": now, "exp": now + 600, **claims}
        claims = {name: value for name, value in claims.items() if value is not ...}
        return jwt.encode({"alg": algorithm, "kid": key.kid, **(header or {})}, claims, key, algorithms=[algorithm])

    def trusted(self, *audiences, **options):
        return {"issuer": self.url, "audiences": list(audiences or ["app"]), **options}


@pytest.fixture
def new_issuer():
    made = []

    def make(*arguments, **options):
        made.append(Issuer(*arguments, **options))
        return made[-1]

    yield make
    for issuer in made:
        issuer.close()


@pytest.fixture
def issuer(new_issuer):
    return new_issuer()


def authorizer(api, *issuers, algorithms=("RS256", "ES256"), name="tokens", **options):
    configuration = {"issuers": list(issuers), "defaultAlgorithms": list(algorithms)}
    options = {"identitySource": HEADER, **options}
    return api.client.create_authorizer(restApiId=api.id, name=name, type="JWT", jwtConfiguration=configuration, **options)


def guard(api, path, authorizer_id, *scopes, verb="GET"):
    patch = [{"op": "replace", "path": "/authorizationType", "value": "JWT"},
             {"op": "replace", "path": "/authorizerId", "value": authorizer_id}]  # fmt: skip
    patch += [{"op": "add", "path": "/authorizationScopes", "value": scope} for scope in scopes]
    api.client.update_method(restApiId=api.id, resourceId=api.resource(path), httpMethod=verb, patchOperations=patch)


def guarded(gateway, *issuers, template="fine", scopes=(), **options):
    """An API whose GET /open and GET /scoped are behind an authorizer."""
    api = gateway.rest_api()
    api.authorizer = authorizer(api, *issuers, **options)
    api.mock("GET", "/open", template)
    guard(api, "/open", api.authorizer["id"])
    if scopes:
        api.mock("GET", "/scoped", template)
        guard(api, "/scoped", api.authorizer["id"], *scopes)
    api.deploy()
    return api


def ask(api, token, path="/open", **headers):
    headers = {"Authorization": f"Bearer {token}", **headers} if token is not None else headers
    answer = api.call("GET", path, headers=headers)
    return answer.status_code, answer.text if answer.status_code == 200 else body_json(answer)


PASSED = (200, "fine")


class TestDefinitions:
    def test_what_is_kept(self, gateway, issuer):
        claims = [{"claimName": "role", "format": "SINGLE_STRING", "required": True, "expectedValues": ["admin"]}]
        api = gateway.rest_api()
        made = authorizer(api, issuer.trusted("app", "other", additionalClaims=claims), algorithms=["RS256", "ES384"])
        configuration = {
            "issuers": [{**issuer.trusted("app", "other"), "additionalClaims": claims, "jwksUri": issuer.key_set}],
            "defaultAlgorithms": ["RS256", "ES384"],
        }
        expected = {"name": "tokens", "type": "JWT", "identitySource": HEADER, "jwtConfiguration": configuration}
        assert {name: made[name] for name in expected} == expected
        assert issuer.fetches == [issuer.document]
        where = {"restApiId": api.id, "authorizerId": made["id"]}
        got = api.client.get_authorizer(**where)
        assert {name: got[name] for name in expected} == expected
        assert "authorizerResultTtlInSeconds" not in got and "authorizerUri" not in got
        (listed,) = api.client.get_authorizers(restApiId=api.id)["items"]
        assert listed["jwtConfiguration"] == configuration

    def update(self, api, made, value, path="/jwtConfiguration", op="replace"):
        value = value if isinstance(value, str) else json.dumps(value)
        patch = [{"op": op, "path": path, "value": value}]
        return api.client.update_authorizer(restApiId=api.id, authorizerId=made["id"], patchOperations=patch)

    def test_updates_replace_the_whole(self, gateway, new_issuer):
        """Nothing of the configuration before stays, and every issuer is asked again."""
        first, second = new_issuer(), new_issuer()
        api = gateway.rest_api()
        made = authorizer(api, first.trusted("app", additionalClaims=[{"claimName": "role", "format": "SINGLE_STRING"}]))
        both = {"issuers": [first.trusted(), second.trusted("b")], "defaultAlgorithms": ["RS512"]}
        first.says[first.document] = {"issuer": first.url, "jwks_uri": first.url + "/new"}
        updated = self.update(api, made, both)["jwtConfiguration"]
        assert updated["defaultAlgorithms"] == ["RS512"]
        assert updated["issuers"] == [
            {**first.trusted(), "jwksUri": first.url + "/new"}, {**second.trusted("b"), "jwksUri": second.key_set}
        ]  # fmt: skip
        assert (first.fetches, second.fetches) == ([first.document] * 2, [second.document])
        # Other members change without anybody being asked.
        assert self.update(api, made, "renamed", "/name")["jwtConfiguration"] == updated
        assert len(first.fetches) == 2
        # An issuer that is none, or a configuration that is none, changes nothing.
        second.says[second.document] = (404, {}, b"")
        refused = [
            both, {}, [], "text", "", {"issuers": [], "defaultAlgorithms": ["RS256"]},
            {"issuers": [first.trusted(jwksUri=first.key_set)], "defaultAlgorithms": ["RS256"]},
            {"issuers": [first.trusted()], "defaultAlgorithms": ["HS256"]},
            {"issuers": [first.trusted()]},
            {"issuers": [first.trusted()], "defaultAlgorithms": ["RS256"], "audience": ["x"]},
        ]  # fmt: skip
        for value in refused:
            with pytest.raises(api.client.exceptions.BadRequestException):
                self.update(api, made, value)
        for path, op in ("/jwtConfiguration", "add"), ("/jwtConfiguration", "remove"), ("/jwtConfiguration/issuers", "replace"):
            with pytest.raises(api.client.exceptions.BadRequestException):
                self.update(api, made, both, path, op)
        assert api.client.get_authorizer(restApiId=api.id, authorizerId=made["id"])["jwtConfiguration"] == updated

    def test_types_that_change(self, gateway, issuer):
        """An authorizer becomes a JWT authorizer with all that one has, and no other kind while it has a configuration."""
        api = gateway.rest_api()
        uri = lambda_uri(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f")
        other = api.client.create_authorizer(restApiId=api.id, name="other", type="TOKEN", identitySource=HEADER, authorizerUri=uri)
        configuration = {"issuers": [issuer.trusted()], "defaultAlgorithms": ["RS256"]}

        def patched(made, **members):
            patch = [{"op": "replace", "path": f"/{name}", "value": value} for name, value in members.items()]
            return api.client.update_authorizer(restApiId=api.id, authorizerId=made["id"], patchOperations=patch)

        for members in {"type": "JWT"}, {"jwtConfiguration": json.dumps(configuration)}, {"type": "JWT", "authorizerUri": ""}:
            with pytest.raises(api.client.exceptions.BadRequestException):
                patched(other, **members)
        assert issuer.fetches == []
        made = patched(other, type="JWT", authorizerUri="", jwtConfiguration=json.dumps(configuration))
        assert (made["type"], made["jwtConfiguration"]["issuers"][0]["jwksUri"]) == ("JWT", issuer.key_set)
        for members in {"type": "TOKEN", "authorizerUri": uri}, {"authorizerUri": uri}, {"authorizerResultTtlInSeconds": "300"}:
            with pytest.raises(api.client.exceptions.BadRequestException):
                patched(made, **members)

    @pytest.mark.parametrize(
        "options",
        [
            {"authorizerUri": lambda_uri(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f")},
            {"authorizerCredentials": f"arn:aws:iam::{ACCOUNT}:role/x"},
            {"authorizerResultTtlInSeconds": 300},
            {"providerARNs": [f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_a"]},
        ],
        ids=lambda options: next(iter(options)),
    )
    def test_what_they_do_not_have(self, gateway, issuer, options):
        with pytest.raises(botocore.exceptions.ClientError, match=f"{next(iter(options))} is not supported for JWT authorizers"):
            authorizer(gateway.rest_api(), issuer.trusted(), **options)
        assert issuer.fetches == []

    @pytest.mark.parametrize("source", ["", "method.request.querystring.token", f"{HEADER},method.request.header.X", "context.stage"])
    def test_a_token_is_in_one_header(self, gateway, issuer, source):
        with pytest.raises(botocore.exceptions.ClientError, match="BadRequest"):
            authorizer(gateway.rest_api(), issuer.trusted(), identitySource=source)

    @pytest.mark.parametrize(
        "url",
        ["http://issuer.example", "https://", "https://user@issuer.example", "https://issuer.example?a=b", "https://issuer.example#a",
         "http://localhost.example.org", "http://127.0.0.1@evil.test", "ftp://127.0.0.1/x", "issuer", "", "https://issuer.example:99999", "https://${stageVariables.host}"],
    )  # fmt: skip
    def test_urls_that_are_no_issuers(self, gateway, url):
        with pytest.raises(botocore.exceptions.ClientError, match="BadRequest"):
            authorizer(gateway.rest_api(), {"issuer": url, "audiences": ["app"]})

    def test_configurations_that_are_none(self, gateway, issuer):
        api = gateway.rest_api()
        claim = {"claimName": "role", "format": "SINGLE_STRING"}
        issuers = [
            [], [issuer.trusted(), issuer.trusted("b")], [{"issuer": issuer.url, "audiences": []}], [issuer.trusted("")],
            [issuer.trusted(additionalClaims=[claim, claim])],
            [issuer.trusted(additionalClaims=[{**claim, "claimName": "scope"}])],
            [issuer.trusted(additionalClaims=[{**claim, "format": "STRING_ARRAY"}])],
            [issuer.trusted(additionalClaims=[{**claim, "expectedValues": [""]}])],
        ]  # fmt: skip
        for wrong in issuers:
            with pytest.raises(botocore.exceptions.ClientError, match="BadRequest|Validation"):
                authorizer(api, *wrong)
        for algorithms in [], ["HS256"], ["none"], ["PS256"], ["rs256"]:
            with pytest.raises(botocore.exceptions.ClientError, match="BadRequest|Validation"):
                authorizer(api, issuer.trusted(), algorithms=algorithms)
        with pytest.raises(botocore.exceptions.ClientError, match="jwtConfiguration is required"):
            api.client.create_authorizer(restApiId=api.id, name="a", type="JWT", identitySource=HEADER)
        configuration = {"issuers": [issuer.trusted()], "defaultAlgorithms": ["RS256"]}
        with pytest.raises(botocore.exceptions.ClientError, match="only supported for JWT authorizers"):
            api.client.create_authorizer(
                restApiId=api.id, name="a", type="TOKEN", identitySource=HEADER, jwtConfiguration=configuration,
                authorizerUri=lambda_uri(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"),
            )  # fmt: skip
        assert issuer.fetches == []
        with pytest.raises(api.client.exceptions.ConflictException):
            api.client.create_authorizer(
                restApiId="nowhere123", name="a", type="JWT", identitySource=HEADER, jwtConfiguration=configuration
            )
        assert issuer.fetches == []

    def test_methods_and_their_authorizers(self, gateway, issuer, tmp_path):
        """A method of type JWT takes JWT authorizers alone, and no other type takes one."""
        api = gateway.rest_api()
        made = authorizer(api, issuer.trusted())["id"]
        arn = function(gateway, "authorizer", EVENT)
        other = api.client.create_authorizer(
            restApiId=api.id, name="function", type="TOKEN", identitySource=HEADER, authorizerUri=lambda_uri(arn)
        )["id"]
        put = lambda **options: api.client.put_method(  # noqa: E731
            restApiId=api.id, resourceId=api.resource("/"), httpMethod="GET", **options
        )
        for kind, id_ in ("JWT", None), ("JWT", other), ("JWT", "nowhere"), ("CUSTOM", made), ("COGNITO_USER_POOLS", made):
            with pytest.raises(api.client.exceptions.BadRequestException, match="Invalid authorizer ID specified"):
                put(authorizationType=kind, **({"authorizerId": id_} if id_ else {}))
        method = put(authorizationType="JWT", authorizerId=made, authorizationScopes=["a"])
        assert (method["authorizationType"], method["authorizerId"], method["authorizationScopes"]) == ("JWT", made, ["a"])
        with pytest.raises(api.client.exceptions.ConflictException, match="is referenced in method"):
            api.client.delete_authorizer(restApiId=api.id, authorizerId=made)

    @pytest.mark.parametrize(
        ("name", "document"),
        [
            ("another issuer", lambda issuer: {"issuer": issuer.url + "/", "jwks_uri": issuer.key_set}),
            ("no key set", lambda issuer: {"issuer": issuer.url}),
            ("a key set over http elsewhere", lambda issuer: {"issuer": issuer.url, "jwks_uri": "http://keys.example/"}),
            ("a file", lambda issuer: {"issuer": issuer.url, "jwks_uri": "file:///etc/passwd"}),
            ("no object", lambda issuer: [issuer.url]),
            ("no JSON", lambda issuer: (200, {}, b"<html>")),
            ("nothing there", lambda issuer: (404, {}, b"{}")),
            ("a redirect", lambda issuer: (302, {"Location": issuer.key_set.replace("/keys", "/moved")}, b"")),
            ("too long", lambda issuer: (200, {}, json.dumps({"issuer": issuer.url, "jwks_uri": issuer.key_set}).encode().ljust(150_001))),
            ("longer than it says", lambda issuer: (200, {"Content-Length": "9999"}, b"{}")),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_discovery_documents_that_are_refused(self, gateway, issuer, name, document):
        issuer.says[issuer.document] = document(issuer)
        issuer.says["/moved"] = {"issuer": issuer.url, "jwks_uri": issuer.key_set}
        api = gateway.rest_api()
        words = f"Caught exception when connecting to {issuer.url}/.well-known/openid-configuration for issuer {issuer.url}"
        with pytest.raises(botocore.exceptions.ClientError, match=words):
            authorizer(api, issuer.trusted())
        assert issuer.fetches == [issuer.document]
        assert api.client.get_authorizers(restApiId=api.id)["items"] == []

    @pytest.mark.parametrize("discovery", ["if-reachable", "required", "off"])
    def test_issuers_that_do_not_answer(self, new_gateway, tmp_path, new_issuer, discovery):
        """All issuers are asked at once, and none for long. Whether they may be named is the configuration's to say."""
        (tmp_path / "config.toml").write_text(f"[authorizers]\nissuer_discovery = '{discovery}'\n")
        api = new_gateway("--config", str(tmp_path / "config.toml")).start().rest_api()
        silent, there = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)], new_issuer()
        issuers = [{"issuer": f"http://127.0.0.1:{one.getsockname()[1]}", "audiences": ["app"]} for one in silent]
        started = time.monotonic()
        if discovery == "required":
            with pytest.raises(botocore.exceptions.ClientError, match="Caught exception when connecting to"):
                authorizer(api, there.trusted(), *issuers)
        else:
            kept = authorizer(api, there.trusted(), *issuers)["jwtConfiguration"]["issuers"]
            assert [one.get("jwksUri") for one in kept] == [there.key_set if discovery == "if-reachable" else None] + [None] * 4
        assert time.monotonic() - started < 5
        for one in silent:
            one.close()

    def test_documents_there_and_back(self, gateway, new_issuer):
        """An export is imported as the same authorizer, for which the issuers are asked."""
        first, second = new_issuer(), new_issuer("/tenant/")
        claims = [{"claimName": "role", "format": "SINGLE_STRING", "required": True, "expectedValues": ["admin"]}]
        api = guarded(gateway, first.trusted(additionalClaims=claims), second.trusted("b"), scopes=["read", "write"], identitySource="method.request.header.X-Token")
        configuration = api.authorizer["jwtConfiguration"]
        for kind in "oas30", "swagger":
            document = api.client.get_export(
                restApiId=api.id, stageName="test", exportType=kind, parameters={"extensions": "integrations,authorizers"}
            )["body"].read()
            schemes = json.loads(document)
            schemes = schemes["components"]["securitySchemes"] if kind == "oas30" else schemes["securityDefinitions"]
            (scheme,) = schemes.values()
            extension = scheme["x-amazon-apigateway-authorizer"]
            assert (extension["type"], extension["identitySource"]) == ("jwt", "method.request.header.X-Token")
            assert "jwksUri" not in json.dumps(extension)
            before = len(first.fetches)
            made = api.client.import_rest_api(body=document, failOnWarnings=True)["id"]
            assert len(first.fetches) == before + 1
            (imported,) = api.client.get_authorizers(restApiId=made)["items"]
            assert imported["jwtConfiguration"] == configuration
            (scoped,) = [one for one in api.client.get_resources(restApiId=made, embed=["methods"])["items"] if one["path"] == "/scoped"]
            method = scoped["resourceMethods"]["GET"]
            assert (method["authorizationType"], method["authorizerId"]) == ("JWT", imported["id"])
            assert method["authorizationScopes"] == ["read", "write"]
        # An issuer that is none refuses the import, which leaves no trace.
        second.says[second.document] = (404, {}, b"")
        before = len(api.client.get_rest_apis(limit=500)["items"])
        with pytest.raises(api.client.exceptions.BadRequestException, match="Unable to create authorizer 'tokens'"):
            api.client.import_rest_api(body=document)
        with pytest.raises(api.client.exceptions.BadRequestException, match="Unable to create authorizer 'tokens'"):
            api.client.put_rest_api(restApiId=api.id, body=document, mode="overwrite")
        assert len(api.client.get_rest_apis(limit=500)["items"]) == before
        assert api.client.get_authorizer(restApiId=api.id, authorizerId=api.authorizer["id"])["jwtConfiguration"] == configuration

    def test_documents_that_are_wrong(self, gateway, issuer):
        def document(**extension):
            scheme = {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authorizer": {"type": "jwt", **extension}}
            mock = {"type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
            get = {"responses": {}, "security": [{"tokens": []}], "x-amazon-apigateway-integration": mock}
            return json.dumps({"openapi": "3.0.1", "info": {"title": "a", "version": "1"}, "paths": {"/": {"get": get}},
                               "components": {"securitySchemes": {"tokens": scheme}}})  # fmt: skip

        configuration = {"issuers": [issuer.trusted()], "defaultAlgorithms": ["RS256"]}
        client = gateway.client()
        # The scheme itself names the header.
        made = client.import_rest_api(body=document(jwtConfiguration=configuration), failOnWarnings=True)["id"]
        assert client.get_authorizers(restApiId=made)["items"][0]["identitySource"] == HEADER
        # So may the extension, whatever kind of scheme it stands in.
        for scheme in {"type": "oauth2", "flows": {}}, {"type": "openIdConnect", "openIdConnectUrl": issuer.url}, {"type": "http", "scheme": "bearer"}:
            text = json.loads(document(jwtConfiguration=configuration, identitySource="method.request.header.X-Token"))
            extension = text["components"]["securitySchemes"]["tokens"]["x-amazon-apigateway-authorizer"]
            text["components"]["securitySchemes"]["tokens"] = {**scheme, "x-amazon-apigateway-authorizer": extension}
            text["paths"]["/"]["get"]["security"] = [{"tokens": ["read"]}]
            made = client.import_rest_api(body=json.dumps(text), failOnWarnings=True)["id"]
            assert client.get_authorizers(restApiId=made)["items"][0]["identitySource"] == "method.request.header.X-Token"
            (root,) = client.get_resources(restApiId=made, embed=["methods"])["items"]
            assert root["resourceMethods"]["GET"]["authorizationScopes"] == ["read"]
        # AWS's variables for imports are filled in, before the issuer is asked.
        issuer.says[f"/{REGION}/.well-known/openid-configuration"] = {"issuer": f"{issuer.url}/{REGION}", "jwks_uri": issuer.key_set}
        regional = {"issuer": f"{issuer.url}/${{AWS::Region}}", "audiences": ["of-${AWS::AccountId}"]}
        text = document(jwtConfiguration={**configuration, "issuers": [regional]})
        made = client.import_rest_api(body=text, failOnWarnings=True)["id"]
        (told,) = client.get_authorizers(restApiId=made)["items"][0]["jwtConfiguration"]["issuers"]
        assert (told["issuer"], told["audiences"]) == (f"{issuer.url}/{REGION}", ["of-000000000000"])
        for wrong in [
            {}, {"jwtConfiguration": {"issuer": issuer.url, "audience": ["app"]}}, {"jwtConfiguration": {**configuration, "defaultAlgorithms": ["HS256"]}},
            {"jwtConfiguration": configuration, "authorizerUri": lambda_uri(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f")},
            {"jwtConfiguration": configuration, "authorizerResultTtlInSeconds": 0}, {"jwtConfiguration": "x"},
        ]:  # fmt: skip
            with pytest.raises(client.exceptions.BadRequestException):
                client.import_rest_api(body=document(**wrong))


class TestTokens:
    def test_tokens_that_hold(self, gateway, issuer):
        api = guarded(gateway, issuer.trusted("app", "other"), scopes=["read", "write"])
        for value in issuer.token(), "bearer " + issuer.token(), "Bearer " + issuer.token():
            assert api.call("GET", "/open", headers={"Authorization": value}).status_code == 200
        now = int(time.time())
        for claims in {"aud": "other"}, {"aud": ["x", "app"]}, {"nbf": now}, {"iat": ...}, {"exp": now + 1000.5}:
            assert ask(api, issuer.token(**claims)) == PASSED, claims
        for claims in {"scope": "read"}, {"scope": "x write"}, {"scp": ["write"]}, {"scp": "read x"}:
            assert ask(api, issuer.token(**claims), "/scoped") == PASSED, claims
        for claims in {}, {"scope": "reading"}, {"scp": []}, {"scope": {"read": 1}}, {"scope": "READ"}:
            assert ask(api, issuer.token(**claims), "/scoped") == FORBIDDEN, claims
        # Whoever has no good token is not told what it would need.
        assert ask(api, issuer.token(aud="x", scope="read"), "/scoped") == UNAUTHORIZED

    def test_tokens_that_do_not(self, gateway, new_issuer):
        issuer = new_issuer()
        api = guarded(gateway, issuer.trusted())
        now, good = int(time.time()), issuer.token()
        head, body, signature = good.split(".")
        stranger, curve = RSAKey.generate_key(2048, {"kid": "k1"}), ECKey.generate_key("P-256", {"kid": "k1"})
        claims = {"iss": issuer.url, "aud": "app", "exp": now + 600}
        part = lambda value: base64.urlsafe_b64encode(value.encode()).rstrip(b"=").decode()  # noqa: E731
        confused = f"{part(json.dumps({'alg': 'HS256', 'kid': 'k1'}))}.{part(json.dumps(claims))}"
        digest = hmac.digest(issuer.keys[0].as_pem(private=False), confused.encode(), "sha256")
        confused += "." + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        twice = f'{{"iss":"{issuer.url}","aud":"x","aud":"app","exp":{now + 600}}}'
        refused = {
            "none": f"{part(json.dumps({'alg': 'none', 'kid': 'k1'}))}.{body}.",
            "none, signed": f"{part(json.dumps({'alg': 'none', 'kid': 'k1'}))}.{body}.{signature}",
            "a public key as a shared secret": confused,
            "a stranger's key": issuer.token(key=stranger),
            "a stranger's curve under a known id": issuer.token(key=curve),
            "RSA said to be a curve": f"{part(json.dumps({'alg': 'ES256', 'kid': 'k1'}))}.{body}.{signature}",
            "an algorithm that is not listed": issuer.token(algorithm="RS512"),
            "padding that is not listed": issuer.token(algorithm="PS256"),
            "no signature": f"{head}.{body}.",
            "two parts": f"{head}.{body}",
            "another's claims": f"{head}.{part(json.dumps({**claims, 'sub': 'root'}))}.{signature}",
            "a claim twice": f"{head}.{part(twice)}.{signature}",
            "crit": f"{part(json.dumps({'alg': 'RS256', 'kid': 'k1', 'crit': ['x'], 'x': 1}))}.{body}.{signature}",
            "a path as kid": issuer.token(header={"kid": "../../../dev/null"}),
            "SQL as kid": issuer.token(header={"kid": "k1' OR '1'='1"}),
            "no kid": issuer.token(header={"kid": ""}),
            "a key along": issuer.token(key=stranger, header={"jwk": stranger.as_dict(private=False), "jku": issuer.key_set}),
            "expired": issuer.token(exp=now - 1),
            "without end": issuer.token(exp=...),
            "an end that is text": issuer.token(exp=str(now + 600)),
            "to come": issuer.token(nbf=now + 600),
            "from the future": issuer.token(iat=now + 600),
            "another audience": issuer.token(aud="ap"),
            "other audiences": issuer.token(aud=["x", "y"]),
            "no audience": issuer.token(aud=...),
            "a client instead of an audience": issuer.token(aud=..., client_id="app"),
            "an audience that is a number": issuer.token(aud=[1]),
            "a slash after the issuer": issuer.token(iss=issuer.url + "/"),
            "another spelling of the issuer": issuer.token(iss=issuer.url.replace("http", "HTTP")),
            "no issuer": issuer.token(iss=...),
            "a list of issuers": issuer.token(iss=[issuer.url]),
            "text": "token", "dots": "..", "much": "a" * 5000,
        }  # fmt: skip
        for name, token in refused.items():
            assert ask(api, token) == UNAUTHORIZED, name
        assert ask(api, good) == PASSED
        for name, token in refused.items():
            assert ask(api, token) == UNAUTHORIZED, f"{name}, after a good one"
        assert ask(api, None) == UNAUTHORIZED
        for value in "", "Bearer", "Bearer ", f"Basic {good}", f"Bearer Bearer {good}", f"{good} {good}":
            assert api.call("GET", "/open", headers={"Authorization": value}).status_code == 401, value

    def test_answers_say_no_more(self, gateway, issuer):
        api = guarded(gateway, issuer.trusted(), scopes=["read"])
        answer = api.call("GET", "/open", headers={"Authorization": issuer.token(aud="x")})
        assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (401, "UnauthorizedException")
        assert "www-authenticate" not in answer.headers
        answer = api.call("GET", "/scoped", headers={"Authorization": issuer.token()})
        assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
        # Both are gateway responses that an API can write itself.
        for kind in "UNAUTHORIZED", "ACCESS_DENIED":
            api.client.put_gateway_response(restApiId=api.id, responseType=kind, statusCode="418", responseTemplates={"application/json": kind})
        api.deploy()
        found = [api.call("GET", path, headers={"Authorization": issuer.token(**claims)}).text for path, claims in (("/open", {"aud": "x"}), ("/scoped", {}))]
        assert found == ["UNAUTHORIZED", "ACCESS_DENIED"]

    def test_two_tokens(self, gateway, issuer):
        """The backend might believe the other one."""
        api = guarded(gateway, issuer.trusted())
        token = issuer.token()
        for second in token, "x", issuer.token(sub="bob"):
            text = f"GET /test/open HTTP/1.1\r\nHost: {api.id}.execute-api.localhost\r\nAuthorization: {token}\r\nauthorization: {second}\r\nConnection: close\r\n\r\n"
            assert b" 401 " in gateway.raw(text.encode()).split(b"\r\n")[0] + b" "
        assert ask(api, token) == PASSED

    @pytest.mark.parametrize(("curve", "algorithm"), [("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512")])
    def test_curves(self, gateway, new_issuer, curve, algorithm):
        issuer = new_issuer(key=ECKey.generate_key(curve, {"kid": "curve"}))
        rsa = RSAKey.generate_key(2048, {"kid": "curve"})
        issuer.keys.append(rsa)
        api = guarded(gateway, issuer.trusted(), algorithms=[algorithm])
        assert ask(api, issuer.token()) == PASSED
        assert ask(api, issuer.token(key=ECKey.generate_key(curve, {"kid": "curve"}))) == UNAUTHORIZED
        # A key of the issuer's whose algorithm is not listed, under the same id.
        assert ask(api, issuer.token(key=rsa)) == UNAUTHORIZED
        both = guarded(gateway, issuer.trusted(), algorithms=[algorithm, "RS256"])
        assert [ask(both, issuer.token(key=key)) for key in issuer.keys] == [PASSED, PASSED]

    @pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
    def test_rsa(self, gateway, issuer, algorithm):
        api = guarded(gateway, issuer.trusted(), algorithms=[algorithm])
        found = {name: ask(api, issuer.token(algorithm=name))[0] for name in ("RS256", "RS384", "RS512", "PS256")}
        assert found == {name: 200 if name == algorithm else 401 for name in found}

    def test_additional_claims(self, gateway, issuer):
        claims = [
            {"claimName": "role", "format": "SINGLE_STRING", "required": True, "expectedValues": ["admin"]},
            {"claimName": "tenant", "format": "SINGLE_STRING", "required": True},
            {"claimName": "team", "format": "SINGLE_STRING", "expectedValues": ["a"]},
            {"claimName": "desk", "format": "SINGLE_STRING"},
        ]
        api = guarded(gateway, issuer.trusted(additionalClaims=claims))
        good = {"role": "admin", "tenant": "x"}
        for more in {}, {"team": "a"}, {"desk": "b"}, {"tenant": ""}:
            assert ask(api, issuer.token(**{**good, **more})) == PASSED, more
        for wrong in (
            {"role": ...}, {"role": "Admin"}, {"role": ["admin"]}, {"role": "admin "}, {"tenant": ...}, {"tenant": 1},
            {"tenant": None}, {"team": "b"}, {"team": ["a"]}, {"desk": 1},
        ):  # fmt: skip
            assert ask(api, issuer.token(**{**good, **wrong})) == UNAUTHORIZED, wrong


class TestIssuers:
    def test_each_for_itself(self, gateway, new_issuer):
        """What one issuer signs is never another's token, though both use the same key id."""
        first, second = new_issuer(), new_issuer(key=ECKey.generate_key("P-256", {"kid": "k1"}))
        role = [{"claimName": "role", "format": "SINGLE_STRING", "required": True}]
        api = guarded(gateway, first.trusted("one"), second.trusted("two", additionalClaims=role))
        assert ask(api, first.token(aud="one")) == PASSED
        assert ask(api, second.token(aud="two", role="x")) == PASSED
        for name, token in {
            "another's name": first.token(iss=second.url, aud="two", role="x"),
            "the other's name": second.token(iss=first.url, aud="one"),
            "another's audience": first.token(aud="two"),
            "the other's audience": second.token(aud="one", role="x"),
            "both audiences, another's name": first.token(iss=second.url, aud=["one", "two"], role="x"),
            "no role": second.token(aud="two"),
            "an issuer nobody trusts": first.token(iss="http://127.0.0.1:1", aud="one"),
        }.items():
            assert ask(api, token) == UNAUTHORIZED, name
        # A token that no trusted issuer could have given makes nobody fetch anything.
        assert [one.fetches.count("/keys") for one in (first, second)] == [1, 1]

    def test_names_that_differ_by_a_slash(self, gateway, new_issuer):
        issuer = new_issuer("/tenant/")
        api = guarded(gateway, issuer.trusted())
        assert issuer.fetches == ["/tenant/.well-known/openid-configuration"]
        assert ask(api, issuer.token()) == PASSED
        assert ask(api, issuer.token(iss=issuer.url.rstrip("/"))) == UNAUTHORIZED

    def test_keys_that_change(self, gateway, issuer):
        """A key nobody knows has the key set fetched again, but not for every token; the discovery document is not asked."""
        api = guarded(gateway, issuer.trusted())
        assert ask(api, issuer.token()) == PASSED
        old, issuer.keys = issuer.keys[0], [RSAKey.generate_key(2048, {"kid": "k2"})]
        eventually(lambda: ask(api, issuer.token()) == PASSED, 15, "the new key")
        assert issuer.fetches == [issuer.document, "/keys", "/keys"]
        assert ask(api, issuer.token(key=old, sub="unseen")) == UNAUTHORIZED
        for number in range(20):
            assert ask(api, issuer.token(header={"kid": f"unknown-{number}"})) == UNAUTHORIZED
        assert len(issuer.fetches) <= 4

    def test_tokens_that_no_key_could_bear_out(self, gateway, issuer):
        """Nobody is asked anything for them."""
        api = guarded(gateway, issuer.trusted())
        curve = ECKey.generate_key("P-384", {"kid": "k2"})
        for token in issuer.token(iss="http://127.0.0.1:1"), issuer.token(key=curve), issuer.token(algorithm="RS512"), "a.b.c":
            assert ask(api, token) == UNAUTHORIZED
        assert issuer.fetches == [issuer.document]

    def test_over_https(self, new_gateway, new_issuer, tmp_path):
        """Keys come as safely as the document that names them."""
        authority = Authority(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("issuer", "localhost"))
        issuer, plain = new_issuer(), new_issuer()
        issuer.server.socket = context.wrap_socket(issuer.server.socket, server_side=True)
        issuer.url = f"https://localhost:{issuer.port}"
        issuer.says["/.well-known/openid-configuration"] = {"issuer": issuer.url, "jwks_uri": issuer.url + "/keys"}
        trusting = new_gateway(env={"SSL_CERT_FILE": str(authority.certificate)}).start()
        api = guarded(trusting, issuer.trusted())
        assert api.authorizer["jwtConfiguration"]["issuers"][0]["jwksUri"] == issuer.url + "/keys"
        assert ask(api, issuer.token()) == PASSED
        plain.keys = issuer.keys
        issuer.says["/.well-known/openid-configuration"]["jwks_uri"] = plain.key_set
        with pytest.raises(botocore.exceptions.ClientError, match="Caught exception when connecting to"):
            guarded(trusting, issuer.trusted())
        assert plain.fetches == []
        # A certificate that nobody trusts is no issuer's.
        stranger = new_gateway().start()
        assert ask(guarded(stranger, issuer.trusted()), issuer.token()) == UNAUTHORIZED

    def test_an_issuer_that_is_away(self, new_gateway, issuer):
        """What was known goes on for a while; a gateway that never saw the keys lets nobody in; then all is as before."""
        gateway = new_gateway().start()
        api = guarded(gateway, issuer.trusted())
        assert ask(api, issuer.token()) == PASSED
        issuer.close()
        assert ask(api, issuer.token(sub="bob")) == PASSED
        gateway.terminate()
        gateway.start()
        for _ in range(3):
            assert ask(api, issuer.token()) == UNAUTHORIZED
        issuer.start()
        eventually(lambda: ask(api, issuer.token()) == PASSED, 20, "the issuer")

    @pytest.mark.parametrize(
        "answer",
        [(200, {}, b"{}"), (200, {}, b"[]"), (200, {}, b'{"keys": {}}'), (302, {"Location": "/real"}, b""), (500, {}, b"{}"), (200, {}, b" " * 150_001)],
        ids=["empty", "a list", "no list", "a redirect", "an error", "too long"],
    )  # fmt: skip
    def test_key_sets_that_are_none(self, gateway, issuer, answer):
        issuer.says["/real"] = KeySet(issuer.keys).as_dict(private=False)
        issuer.says["/keys"] = answer
        api = guarded(gateway, issuer.trusted())
        assert ask(api, issuer.token()) == UNAUTHORIZED
        assert issuer.fetches == [issuer.document, "/keys"]

    def test_resource_policies(self, gateway, issuer):
        """The policy has the last word over who has a token; who has none is not told of it."""
        api = guarded(gateway, issuer.trusted())
        deny = {"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*/GET/open"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
        api.client.update_rest_api(restApiId=api.id, patchOperations=[{"op": "replace", "path": "/policy", "value": policy}])
        api.deploy()
        assert ask(api, issuer.token())[0] == 403
        assert ask(api, None) == UNAUTHORIZED

    def test_a_real_issuer(self, gateway):
        if not (PACKAGES / "oidc-provider").exists():
            pytest.fail("oidc-provider is missing: run scripts/prepare")
        provider = Provider().start()
        try:
            trusted = {"issuer": provider.url, "audiences": [AUDIENCE]}
            api = guarded(gateway, trusted, scopes=["orders/write"])
            assert api.authorizer["jwtConfiguration"]["issuers"][0]["jwksUri"] == provider.url + "/jwks"
            reader, writer = provider.token("orders/read"), provider.token("orders/read", "orders/write")
            assert [ask(api, reader), ask(api, writer, "/scoped")] == [PASSED, PASSED]
            assert ask(api, reader, "/scoped") == FORBIDDEN
            assert ask(api, reader[:-6] + "AAAAAA") == UNAUTHORIZED
            other = guarded(gateway, {**trusted, "audiences": ["https://payments.example.com"]})
            assert ask(other, reader) == UNAUTHORIZED
        finally:
            provider.stop()

    def test_the_built_in_issuer(self, gateway):
        """The gateway asks itself, on the listener that the call came in on."""
        def token(*options):
            command = [binary(), "token", "ann", "--data", gateway.data, "--control", gateway.control, *options]
            made = subprocess.run(command, capture_output=True, text=True, timeout=20)
            assert made.returncode == 0, made.stderr
            return made.stdout.strip()

        trusted = {"issuer": f"{gateway.control}/_stagedoor/issuer/{REGION}_Local", "audiences": ["local"]}
        api = guarded(gateway, trusted, scopes=["orders/read"])
        assert ask(api, token()) == PASSED
        # Access tokens of user pools have no audience of their own.
        access = ["--use", "access", "--scope", "orders/read"]
        assert ask(api, token(*access), "/scoped") == UNAUTHORIZED
        assert ask(api, token(*access, "--claim", "aud=local"), "/scoped") == PASSED


CLAIMS = {"name": 'Doe, "Jane"', "iat": 1516239022, "version": "42", "roles": ["user", "editor"], "address": {"city": "Seattle"},
          "city": "Zürich 😀", "admin": True, "nothing": None, "cognito:groups": ["a"]}  # fmt: skip
# As the developer guide shows them.
TEXTS = {"name": '"Doe, \\"Jane\\""', "iat": "1516239022", "version": '"42"', "roles": '["user","editor"]', "address": '{"city":"Seattle"}',
         "city": '"Z\\u00FCrich \\uD83D\\uDE00"', "admin": "true"}  # fmt: skip


class TestClaims:
    def test_what_functions_see(self, gateway, issuer):
        """Each claim has its own type."""
        api = gateway.rest_api()
        made = authorizer(api, issuer.trusted())["id"]
        arn = function(gateway, "event", EVENT)
        api.proxy("GET", "/", lambda_uri(arn), "AWS_PROXY")
        guard(api, "/", made)
        api.deploy()
        answer = api.call("GET", "/", headers={"Authorization": issuer.token(**CLAIMS)})
        seen = body_json(answer)["authorizer"]
        assert {name: seen["claims"][name] for name in CLAIMS} == CLAIMS
        assert set(seen) == {"claims"}

    def test_what_templates_and_mappings_see(self, gateway, issuer, echo):
        names = list(TEXTS)
        template = "\n".join(f"$context.authorizer.claims.{name}" for name in names)
        template += "\n$context.authorizer.claims.get('cognito:groups')|$context.authorizer.claims.address.city|$context.authorizer.claims.missing"
        api = guarded(gateway, issuer.trusted(), template=template)
        status, text = ask(api, issuer.token(**CLAIMS))
        found = text.split("\n")
        assert (status, dict(zip(names, found, strict=False))) == (200, TEXTS)
        assert found[-1] == '["a"]|$context.authorizer.claims.address.city|$context.authorizer.claims.missing' or found[-1] == '["a"]||'
        parameters = {f"integration.request.header.x-{name}": f"context.authorizer.claims.{name}" for name in names}
        parameters |= {"integration.request.header.x-inner": "context.authorizer.claims.address.city"}
        api.proxy("POST", "/open", echo.url, "HTTP", requestParameters=parameters)
        api.client.put_method_response(restApiId=api.id, resourceId=api.resource("/open"), httpMethod="POST", statusCode="200")
        api.client.put_integration_response(restApiId=api.id, resourceId=api.resource("/open"), httpMethod="POST", statusCode="200")
        guard(api, "/open", api.authorizer["id"], verb="POST")
        api.deploy()
        answer = api.call("POST", "/open", headers={"Authorization": issuer.token(**CLAIMS)})
        assert answer.status_code == 200, answer.text
        headers = {name.lower(): value for name, value in body_json(answer)["headers"].items()}
        assert {name: headers[f"x-{name}"] for name in names} == TEXTS
        assert "x-inner" not in headers

    def test_what_logs_see(self, new_gateway, issuer):
        gateway = new_gateway()
        config = gateway.work / "stagedoor.toml"
        config.write_text(f"[[log_destinations]]\narn = 'arn:aws:logs:*'\nfile = '{gateway.work}/access.log'\n")
        gateway.arguments = ["--config", str(config)]
        gateway.start()
        api = guarded(gateway, issuer.trusted(), scopes=["read"])
        members = {"name": "claims.name", "roles": "claims.roles", "status": "status", "latency": "latency"}
        format = "{" + ", ".join(f'"{name}": $context.authorizer.{variable}' for name, variable in members.items())
        set_log(api, format + ', "error": "$context.authorizer.error", "id": "$context.requestId"}')
        assert ask(api, issuer.token(**CLAIMS)) == PASSED
        assert ask(api, issuer.token(**CLAIMS), "/scoped") == FORBIDDEN
        assert ask(api, issuer.token(aud="x")) == UNAUTHORIZED
        # Workers write their lines for themselves, in no order.
        written = lines(gateway.work / "access.log", 3)
        good, scope, audience = (next(line for line in written if f'"status": {status}' in line) for status in (200, 403, 401))
        good = json.loads(good)
        assert (good["name"], good["roles"], good["status"], good["error"]) == (CLAIMS["name"], CLAIMS["roles"], 200, "-")
        assert '"error": "the token has none of the method\'s scopes"' in scope
        assert '"error": "the token does not have a valid audience"' in audience
        assert '"name": -' in audience

    def test_test_invoke_authorizer(self, gateway, issuer):
        api = guarded(gateway, issuer.trusted(), scopes=["read"])
        test = lambda **headers: api.client.test_invoke_authorizer(  # noqa: E731
            restApiId=api.id, authorizerId=api.authorizer["id"], headers=headers
        )
        answer = test(Authorization=issuer.token(**CLAIMS))
        assert answer["clientStatus"] == 200
        assert {name: answer["claims"][name] for name in TEXTS} == TEXTS
        for headers in {}, {"Authorization": issuer.token(aud="x")}:
            answer = test(**headers)
            assert answer["clientStatus"] == 401 and not answer.get("claims")
        assert "the token does not have a valid audience" in answer["log"]


def test_a_project_whose_issuer_is_away(new_gateway, tmp_path, issuer):
    """A directory's definitions are served before their issuer is there. It is asked when the first token comes."""
    trusted = issuer.trusted()
    issuer.close()
    extension = {"type": "jwt", "jwtConfiguration": {"issuers": [trusted], "defaultAlgorithms": ["RS256"]}}
    scheme = {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authorizer": extension}
    mock = {"type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'},
            "responses": {"default": {"statusCode": "200", "responseTemplates": {"application/json": "fine"}}}}  # fmt: skip
    get = {"responses": {"200": {"description": ""}}, "security": [{"tokens": []}], "x-amazon-apigateway-integration": mock}
    document = {"openapi": "3.0.1", "info": {"title": "a", "version": "1"}, "paths": {"/open": {"get": get}},
                "components": {"securitySchemes": {"tokens": scheme}}}  # fmt: skip
    project = tmp_path / "project"
    project.mkdir()
    (project / "openapi.json").write_text(json.dumps(document))
    gateway = new_gateway(str(project), command="up").start()
    client = gateway.client()
    (api,) = client.get_rest_apis()["items"]
    (made,) = client.get_authorizers(restApiId=api["id"])["items"]
    assert "jwksUri" not in made["jwtConfiguration"]["issuers"][0]
    assert "an issuer of tokens is out of reach" in gateway.log()
    (stage,) = client.get_stages(restApiId=api["id"])["item"]
    get = lambda: gateway.call("GET", api["id"], stage["stageName"], "/open", headers={"Authorization": issuer.token()})  # noqa: E731
    assert get().status_code == 401
    issuer.start()
    eventually(lambda: get().status_code == 200, 20, "the issuer")
    # One that speaks for another is no issuer at all, wherever it is defined.
    issuer.says[issuer.document] = {"issuer": "https://issuer.example", "jwks_uri": "https://issuer.example/keys"}
    refused = subprocess.run(
        [binary(), "up", str(project), "--data", str(tmp_path / "data"), "--listen", f"127.0.0.1:{free_port()}", "--control", f"127.0.0.1:{free_port()}"],
        capture_output=True, text=True, timeout=60, env=os.environ,
    )  # fmt: skip
    assert refused.returncode != 0 and "Caught exception when connecting to" in refused.stderr + refused.stdout
