"""AWS asks an issuer for its discovery document when an authorizer names it, and takes none that has none."""

import json
import time

import pytest
from harness import free_port
from test_http_api_authorizers import Issuer
from test_http_api_import import backend, document
from test_http_api_nouns import refused

AUTHORIZER = {"AuthorizerType": "JWT", "IdentitySource": ["$request.header.Authorization"]}


@pytest.fixture
def issuer():
    made = Issuer()
    yield made
    made.close()


def words(url):
    return (
        f"Caught exception when connecting to {url}/.well-known/openid-configuration for issuer {url}. Please try again later. "
        f"Error: Invalid issuer: {url}. Issuer must have a valid discovery endpoint ended with '/.well-known/openid-configuration'"
    )


def configured(new_gateway, tmp_path, discovery):
    (tmp_path / "config.toml").write_text(f"[authorizers]\nissuer_discovery = '{discovery}'\n")
    return new_gateway("--config", str(tmp_path / "config.toml")).start().client("apigatewayv2")


def new_api(client):
    return client.create_api(Name="a", ProtocolType="HTTP")["ApiId"]


def named(url):
    return {**AUTHORIZER, "JwtConfiguration": {"Issuer": url, "Audience": ["a"]}}


def guarded(url):
    scheme = {"type": "jwt", "identitySource": "$request.header.Authorization", "jwtConfiguration": {"issuer": url, "audience": ["a"]}}
    schemes = {"securitySchemes": {"who": {"type": "oauth2", "x-amazon-apigateway-authorizer": scheme}}}
    return document({"/pets": {"get": backend("http://127.0.0.1:1") | {"security": [{"who": []}]}}}, components=schemes)


WRONG = {
    "not there": {"status": 404},
    "of another issuer": {"named": "https://other.test"},
    "without keys": {"more": {"jwks_uri": None}},
}


@pytest.mark.parametrize("what", WRONG.values(), ids=WRONG.keys())
def test_an_issuer_that_answers_and_has_no_document(gateway, issuer, what):
    client = gateway.client("apigatewayv2")
    api = new_api(client)
    fine = client.create_authorizer(ApiId=api, Name="fine", **named(issuer.url))
    assert fine["JwtConfiguration"]["Issuer"] == issuer.url
    vars(issuer).update(what)
    refused(client.create_authorizer, "BadRequestException", words(issuer.url), ApiId=api, Name="b", **named(issuer.url))
    at = {"ApiId": api, "AuthorizerId": fine["AuthorizerId"]}
    changed = {"Audience": ["b"], "Issuer": issuer.url}
    refused(client.update_authorizer, "BadRequestException", words(issuer.url), **at, JwtConfiguration=changed)
    assert client.get_authorizer(**at)["JwtConfiguration"]["Audience"] == ["a"]
    # What does not name it again does not ask it again.
    assert client.update_authorizer(**at, Name="renamed")["Name"] == "renamed"


def test_imports(gateway, issuer):
    client = gateway.client("apigatewayv2")
    made = client.import_api(Body=guarded(issuer.url), FailOnWarnings=True)
    assert [it["RouteKey"] for it in client.get_routes(ApiId=made["ApiId"])["Items"]] == ["GET /pets"]
    issuer.status = 404
    warnings = [
        f"Unable to create Authorizer 'who': {words(issuer.url)}. Ignoring.",
        "Unable to put method 'GET' on resource at path '/pets': Invalid authorizer definition. Setting the authorization type to "
        "JWT requires a valid authorizer. Ignoring.",
    ]
    message = "Warnings found during import:\n\t" + "\n\t".join(warnings)
    refused(client.import_api, "BadRequestException", message, Body=guarded(issuer.url), FailOnWarnings=True)
    left = client.reimport_api(ApiId=made["ApiId"], Body=guarded(issuer.url))
    assert left["Warnings"] == warnings and client.get_routes(ApiId=made["ApiId"])["Items"] == []


def test_other_mistakes_come_first(gateway, issuer):
    client = gateway.client("apigatewayv2")
    api, issuer.status = new_api(client), 404
    no_source = {**named(issuer.url), "IdentitySource": []}
    refused(client.create_authorizer, "BadRequestException", "Exactly one identity source", ApiId=api, Name="b", **no_source)
    refused(client.create_authorizer, "NotFoundException", "Invalid API", ApiId="absent1234", Name="b", **named(issuer.url))
    empty = "Invalid issuer: Issuer can not be empty for JWT Authorizer."
    refused(client.create_authorizer, "BadRequestException", empty, ApiId=api, Name="b", **named(""))


class TestOutOfReach:
    def test_is_taken(self, gateway, issuer):
        """A machine without a network is no reason to stop working, and neither is what stands before an issuer that is not there."""
        client = gateway.client("apigatewayv2")
        api, url = new_api(client), f"http://127.0.0.1:{free_port()}"
        assert client.create_authorizer(ApiId=api, Name="a", **named(url))["Name"] == "a"
        assert client.create_authorizer(ApiId=api, Name="b", **named("https://issuer.invalid"))["Name"] == "b"
        issuer.status = 503
        assert client.create_authorizer(ApiId=api, Name="c", **named(issuer.url))["Name"] == "c"
        assert "Warnings" not in client.import_api(Body=guarded(url))
        assert "an issuer of tokens is out of reach" in gateway.log()

    def test_is_refused_where_discovery_is_required(self, new_gateway, tmp_path, issuer):
        client = configured(new_gateway, tmp_path, "required")
        api, url = new_api(client), f"http://127.0.0.1:{free_port()}"
        refused(client.create_authorizer, "BadRequestException", words(url), ApiId=api, Name="a", **named(url))
        assert client.create_authorizer(ApiId=api, Name="a", **named(issuer.url))["Name"] == "a"

    def test_nobody_is_asked_where_discovery_is_off(self, new_gateway, tmp_path, issuer):
        client, issuer.status = configured(new_gateway, tmp_path, "off"), 404
        assert client.create_authorizer(ApiId=new_api(client), Name="a", **named(issuer.url))["Name"] == "a"

    def test_a_slow_one_takes_a_bounded_time(self, gateway, issuer):
        client, issuer.thinking = gateway.client("apigatewayv2"), 6
        api, began = new_api(client), time.monotonic()
        assert client.create_authorizer(ApiId=api, Name="a", **named(issuer.url))["Name"] == "a"
        assert time.monotonic() - began < 5


def test_the_built_in_issuer_of_a_project(new_gateway, tmp_path):
    """It answers only when the project is applied, and is known all the same."""
    (tmp_path / "config.toml").write_text("[authorizers]\nissuer_discovery = 'required'\n")
    made = new_gateway("--config", str(tmp_path / "config.toml"), str(tmp_path / "api.json"), command="up")
    text = json.loads(guarded(f"{made.control}/_stagedoor/issuer/us-east-1_Local"))
    (tmp_path / "api.json").write_text(json.dumps(text))
    client = made.start().client("apigatewayv2")
    (api,) = client.get_apis()["Items"]
    assert len(client.get_authorizers(ApiId=api["ApiId"])["Items"]) == 1


def test_a_misspelt_setting(new_gateway, tmp_path):
    (tmp_path / "config.toml").write_text("[authorizers]\nissuer_discovery = 'strict'\n")
    code, _, error = new_gateway("--config", str(tmp_path / "config.toml")).run_to_end()
    assert code == 2 and "if-reachable" in error and "required" in error
