"""AWS's quotas: as many as there may be, and not one more; raised in the configuration file."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from harness import REGION, lambda_uri

FUNCTION = lambda_uri(f"arn:aws:lambda:{REGION}:000000000000:function:f")


def refused(client, call, what, of="API", **parameters):
    with pytest.raises(client.exceptions.LimitExceededException) as error:
        call(**parameters)
    message = f"Maximum number of {what} for this {of} has been reached.  Please contact AWS if you need additional {what}."
    assert error.value.response["Error"]["Message"] == message
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_stages_and_authorizers(gateway):
    client, api = gateway.client(), gateway.rest_api()
    api.mock("GET", "/", "x")
    at = {"restApiId": api.id}
    deployment = client.create_deployment(**at)["id"]
    for number in range(10):
        client.create_stage(**at, stageName=f"s{number}", deploymentId=deployment)
        client.create_authorizer(**at, name=f"a{number}", type="TOKEN", authorizerUri=FUNCTION,
                                 identitySource="method.request.header.A")  # fmt: skip
    refused(client, client.create_stage, "Stages", **at, stageName="more", deploymentId=deployment)
    refused(client, client.create_deployment, "Stages", **at, stageName="more")
    client.create_deployment(**at, stageName="s3")
    refused(client, client.create_authorizer, "Authorizers", **at, name="more", type="TOKEN", authorizerUri=FUNCTION,
            identitySource="method.request.header.A")  # fmt: skip
    client.delete_stage(**at, stageName="s0")
    client.create_stage(**at, stageName="more", deploymentId=deployment)
    body = requests.post(f"{gateway.control}/restapis/{api.id}/stages", timeout=5,
                         json={"stageName": "one", "deploymentId": deployment}).json()  # fmt: skip
    assert body["retryAfterSeconds"] is None


def test_stages_and_authorizers_of_the_newer_service(new_gateway, tmp_path):
    (tmp_path / "config.toml").write_text("[quotas]\nstages_per_api = 1\nauthorizers_per_api = 1\n")
    client = new_gateway("--config", str(tmp_path / "config.toml")).start().client("apigatewayv2")
    at = {"ApiId": client.create_api(Name="a", ProtocolType="HTTP")["ApiId"]}
    jwt = {"AuthorizerType": "JWT", "IdentitySource": ["$request.header.Authorization"],
           "JwtConfiguration": {"Issuer": "https://issuer.test", "Audience": ["a"]}}  # fmt: skip
    client.create_stage(**at, StageName="one")
    client.create_authorizer(**at, Name="one", **jwt)
    for what, call in (
        ("Stages", lambda: client.create_stage(**at, StageName="two")),
        ("Authorizers", lambda: client.create_authorizer(**at, Name="two", **jwt)),
    ):
        with pytest.raises(client.exceptions.ClientError, match=f"Maximum number of {what} for this API has been reached") as error:
            call()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    client.delete_stage(**at, StageName="one")
    client.create_stage(**at, StageName="two")


def test_policy_and_links(gateway):
    client = gateway.client()
    statement = {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"}
    policy = {"Version": "2012-10-17", "Statement": [statement] * 90}
    assert len(json.dumps(policy)) > 8192
    with pytest.raises(client.exceptions.BadRequestException):
        client.create_rest_api(name="p", policy=json.dumps(policy))
    document = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {}, "x-amazon-apigateway-policy": policy}
    with pytest.raises(client.exceptions.BadRequestException, match="Errors found during import"):
        client.import_rest_api(body=json.dumps(document).encode())
    for number in range(20):
        arn = f"arn:aws:elasticloadbalancing:{REGION}:000000000000:loadbalancer/net/n/{number:016x}"
        client.create_vpc_link(name=f"l{number}", targetArns=[arn])
    refused(client, client.create_vpc_link, "VPC links", "account", name="more", targetArns=[arn])


def test_of_an_account(new_gateway, tmp_path):
    quotas = ("api_keys = 1\nusage_plans = 1\nclient_certificates = 1\npublic_domain_names = 1\nprivate_domain_names = 1\n"
              "domain_name_access_associations = 1\nregional_apis = 1\nedge_apis = 1\nprivate_apis = 0\n")  # fmt: skip
    (tmp_path / "config.toml").write_text(f"[quotas]\n{quotas}")
    client = new_gateway("--config", str(tmp_path / "config.toml")).start().client()
    client.create_api_key(name="a")
    refused(client, client.create_api_key, "API Keys", "account", name="b")
    rows = b"name,key\na,aaaaaaaaaaaaaaaaaaaaaaaa\n"
    refused(client, client.import_api_keys, "API Keys", "account", body=rows, format="csv")
    client.delete_api_key(apiKey=client.get_api_keys()["items"][0]["id"])
    client.import_api_keys(body=rows, format="csv")
    client.create_usage_plan(name="a")
    refused(client, client.create_usage_plan, "Usage plans", "account", name="b")
    client.generate_client_certificate()
    refused(client, client.generate_client_certificate, "Client certificates", "account")
    domain = {"certificateArn": f"arn:aws:acm:{REGION}:000000000000:certificate/a"}
    client.create_domain_name(domainName="a.example.com", **domain)
    refused(client, client.create_domain_name, "Custom domain names", "account", domainName="b.example.com", **domain)
    private = {**domain, "endpointConfiguration": {"types": ["PRIVATE"]}}
    arn = client.create_domain_name(domainName="a.example.com", **private)["domainNameArn"]
    what = "Private custom domain names"
    refused(client, client.create_domain_name, what, "account", domainName="b.example.com", **private)
    associate = {"domainNameArn": arn, "accessAssociationSourceType": "VPCE"}
    client.create_domain_name_access_association(accessAssociationSource="vpce-1", **associate)
    refused(client, client.create_domain_name_access_association, "Domain name access associations", "account",
            accessAssociationSource="vpce-2", **associate)  # fmt: skip
    for kind, there in ("REGIONAL", True), ("EDGE", True), ("PRIVATE", False):
        made = {"name": "a", "endpointConfiguration": {"types": [kind]}}
        if there:
            client.create_rest_api(**made)
        what = {"REGIONAL": "Regional APIs", "EDGE": "Edge-optimized APIs", "PRIVATE": "Private APIs"}[kind]
        refused(client, client.create_rest_api, what, "account", **made)
    document = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {}}
    refused(client, client.import_rest_api, "Edge-optimized APIs", "account", body=json.dumps(document).encode())


def test_resources_where_another_quota_is_set(new_gateway, tmp_path):
    (tmp_path / "config.toml").write_text("[quotas]\nresources_per_api = 3\nstages_per_api = 1\n")
    gateway = new_gateway("--config", str(tmp_path / "config.toml")).start()
    client, api = gateway.client(), gateway.rest_api()
    for part in ("a", "b"):
        client.create_resource(restApiId=api.id, parentId=api.resource("/"), pathPart=part)
    refused(client, client.create_resource, "Resources", restApiId=api.id, parentId=api.resource("/"), pathPart="c")
    paths = {f"/p{number}": {"get": {"responses": {}}} for number in range(3)}
    document = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": paths}
    refused(client, client.import_rest_api, "Resources", body=json.dumps(document).encode())
    assert [one["id"] for one in client.get_rest_apis()["items"]] == [api.id]


def test_resources_as_aws_has_them(gateway):
    client = gateway.client()
    paths = {f"/p{number}": {"get": {"responses": {}}} for number in range(299)}
    document = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": paths}
    api = client.import_rest_api(body=json.dumps(document).encode())
    refused(client, client.create_resource, "Resources", restApiId=api["id"], parentId=api["rootResourceId"],
            pathPart="more")  # fmt: skip
    paths["/more"] = paths["/p0"]
    refused(client, client.import_rest_api, "Resources", body=json.dumps(document).encode())


def test_the_time_of_an_integration(new_gateway, tmp_path, echo):
    config = tmp_path / "config.toml"
    config.write_text("[quotas]\nintegration_timeout_ms = 60000\n")
    gateway = new_gateway("--config", str(config)).start()
    for types, longest in (["REGIONAL"], 60_000), (["EDGE"], 29_000):
        api = gateway.rest_api(endpointConfiguration={"types": types})
        api.proxy("GET", "/", echo.url, timeoutInMillis=longest)
        api.deploy()
        assert api.call("GET", "/").status_code == 200
        with pytest.raises(api.client.exceptions.BadRequestException) as error:
            api.proxy("GET", "/longer", echo.url, timeoutInMillis=longest + 1)
        assert error.value.response["Error"]["Message"] == f"Timeout should be between 50 ms and {longest} ms"


def test_apis_as_aws_has_them(new_gateway, tmp_path):
    (tmp_path / "config.toml").write_text("[quotas]\nregional_apis = 600\nedge_apis = 120\nprivate_apis = 600\n")
    client = new_gateway("--config", str(tmp_path / "config.toml")).start().client()
    for number in range(120):
        made = client.create_rest_api(name=f"edge{number}")
    refused(client, client.create_rest_api, "Edge-optimized APIs", "account", name="more")
    regional = client.create_rest_api(name="regional", endpointConfiguration={"types": ["REGIONAL"]})["id"]
    move = [{"op": "replace", "path": "/endpointConfiguration/types/0", "value": "EDGE"}]
    refused(client, client.update_rest_api, "Edge-optimized APIs", "account", restApiId=regional, patchOperations=move)
    body = json.dumps({"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {}}).encode()
    refused(client, client.import_rest_api, "Edge-optimized APIs", "account", body=body)
    client.import_rest_api(body=body, parameters={"endpointConfigurationTypes": "REGIONAL"})
    client.delete_rest_api(restApiId=made["id"])
    client.create_rest_api(name="more")


def test_routes_and_integrations(new_gateway, tmp_path):
    (tmp_path / "config.toml").write_text("[quotas]\nroutes_per_api = 2\nintegrations_per_api = 2\n")
    client = new_gateway("--config", str(tmp_path / "config.toml")).start().client("apigatewayv2")
    at = {"ApiId": client.create_api(Name="a", ProtocolType="HTTP")["ApiId"]}
    proxy = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "ANY", "IntegrationUri": "https://example.com",
             "PayloadFormatVersion": "1.0"}  # fmt: skip
    for number in range(2):
        client.create_integration(**at, **proxy)
        client.create_route(**at, RouteKey=f"GET /{number}")
    for what, call in (
        ("Routes", lambda: client.create_route(**at, RouteKey="GET /more")),
        ("Integrations", lambda: client.create_integration(**at, **proxy)),
    ):
        with pytest.raises(client.exceptions.ClientError, match=f"Maximum number of {what} for this API has been reached") as error:
            call()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    methods = {f"/p{number}": {"get": {"responses": {}}} for number in range(3)}
    document = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": methods}
    with pytest.raises(client.exceptions.ClientError, match="Maximum number of Routes for this API has been reached"):
        client.import_api(Body=json.dumps(document))


def test_how_many_apis_there_are_is_unlimited_unless_it_is_set(gateway):
    client = gateway.client()
    assert all(client.create_rest_api(name=f"edge{number}")["id"] for number in range(121))


def test_calls_at_the_same_time_make_no_more(new_gateway, tmp_path):
    (tmp_path / "config.toml").write_text("[quotas]\nedge_apis = 5\n")
    gateway = new_gateway("--config", str(tmp_path / "config.toml")).start()
    client = gateway.client()

    def make(number):
        try:
            return client.create_rest_api(name=f"a{number}")["id"]
        except client.exceptions.LimitExceededException:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [one for one in pool.map(make, range(24)) if one]
    assert len(made) == 5 == len(client.get_rest_apis()["items"])
