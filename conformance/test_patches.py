"""What may be patched: every path of AWS's page "Patch Operations" with all six operations, paths that are none, and
operations that AWS does not have, for every noun of the REST API service.

AWS has three ways of refusing, depending on the age of the noun: a list of the paths, a list of the operations, or
neither. `move` and `test` are in AWS's model and work nowhere; `copy` promotes canaries of stages.
"""

import json

import pytest
from harness import REGION, lambda_uri
from test_protocol import error_of

# Noun: AWS's list of what `replace` takes, where it lists paths.
LISTING = {
    "account": "/cloudwatchRoleArn",
    "api_key": "/description, /enabled, /name, /customerId",
    "authorizer": "/name, /type, /authorizerUri, /authorizerCredentials, /authorizerResultTtlInSeconds, /authType, "
                  "/identitySource, /identityValidationExpression",
    "base_path_mapping": "/basePath, /restapiId, /stage, /restApiId",
    "client_certificate": "/description",
    "deployment": "/description",
    "documentation_part": "/properties",
    "documentation_version": "/description",
    "model": "/description, /schema",
    "request_validator": "/name, /validateRequestParameters, /validateRequestBody",
    "resource": "/parentId, /pathPart",
    "usage": "/remaining",
    "vpc_link": "/name, /description",
}  # fmt: skip
# Noun: a path of which AWS says what may be done to it, and what that is.
TERSE = {
    "rest_api": ("/name", "replace"),
    "method": ("/operationName", "replace"),
    "method_response": ("/responseModels/application~1json", "add, replace, remove"),
    "integration": ("/uri", "replace"),
    "integration_response": ("/selectionPattern", "replace"),
}


@pytest.fixture
def nouns(gateway):
    """Each noun's parameters for its update."""
    client, api = gateway.client(), gateway.rest_api()
    api.mock("GET", "/", "x")
    api.deploy()
    at = {"restApiId": api.id}
    method = {**at, "resourceId": api.resource("/"), "httpMethod": "GET"}
    pool = f"arn:aws:cognito-idp:{REGION}:000000000000:userpool/{REGION}_a"
    authorizer = client.create_authorizer(
        **at, name="a", type="COGNITO_USER_POOLS", providerARNs=[pool], identitySource="method.request.header.A"
    )["id"]
    part = client.create_documentation_part(**at, location={"type": "API"}, properties='{"description": "d"}')["id"]
    client.create_documentation_version(**at, documentationVersion="1")
    validator = client.create_request_validator(**at, name="v")["id"]
    child = client.create_resource(**at, parentId=api.resource("/"), pathPart="a")["id"]
    key, plan = client.create_api_key(name="k")["id"], client.create_usage_plan(name="p")["id"]
    client.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    certificate = client.generate_client_certificate()["clientCertificateId"]
    balancer = f"arn:aws:elasticloadbalancing:{REGION}:000000000000:loadbalancer/net/a/b"
    link = client.create_vpc_link(name="l", targetArns=[balancer])["id"]
    domain = {"domainName": "api.example.com"}
    client.create_domain_name(**domain, certificateArn=f"arn:aws:acm:{REGION}:000000000000:certificate/a")
    client.create_base_path_mapping(**domain, restApiId=api.id, basePath="v1")
    return client, {
        "account": {},
        "api_key": {"apiKey": key},
        "authorizer": {**at, "authorizerId": authorizer},
        "base_path_mapping": {**domain, "basePath": "v1"},
        "client_certificate": {"clientCertificateId": certificate},
        "deployment": {**at, "deploymentId": client.get_deployments(**at)["items"][0]["id"]},
        "documentation_part": {**at, "documentationPartId": part},
        "documentation_version": {**at, "documentationVersion": "1"},
        "domain_name": domain,
        "gateway_response": {**at, "responseType": "DEFAULT_4XX"},
        "integration": method,
        "integration_response": {**method, "statusCode": "200"},
        "method": method,
        "method_response": {**method, "statusCode": "200"},
        "model": {**at, "modelName": "Empty"},
        "request_validator": {**at, "requestValidatorId": validator},
        "resource": {**at, "resourceId": child},
        "rest_api": at,
        "stage": {**at, "stageName": "test"},
        "usage": {"usagePlanId": plan, "keyId": key},
        "usage_plan": {"usagePlanId": plan},
        "vpc_link": {"vpcLinkId": link},
    }


def test_paths_and_operations_that_are_none(nouns):
    client, parameters = nouns
    wrong = []

    def check(noun, op, path, expected, **more):
        patch = {"op": op, "path": path, **more}
        response = error_of(getattr(client, f"update_{noun}"), **parameters[noun], patchOperations=[patch])
        code, message = response["Error"]["Code"], response["Error"]["Message"]
        if code != "BadRequestException" or not message.startswith(expected):
            wrong.append(f"{noun} {patch}: {code}: {message!r} where {expected!r} was expected")

    for noun in parameters:
        for op, more in ("replace", {"value": "v"}), ("copy", {"from": "/y"}), ("move", {"from": "/y"}), ("test", {}):
            if noun == "stage":
                start = "Invalid copy operation with path: /x and from /y." if op == "copy" else "Invalid method setting"
                check(noun, op, "/x", start, **more)
                continue
            if noun in TERSE or noun == "gateway_response":
                check(noun, op, "/x", "Invalid patch path /x", **more)
                continue
            end = f" Must be one of: [{LISTING.get(noun, '/')}" if op == "replace" else " Please choose supported operations"
            check(noun, op, "/x", f"Invalid patch path  '/x' specified for op '{op}'.{end}", **more)
    for noun, (path, operations) in TERSE.items():
        check(noun, "move", path, f"Invalid patch operation specified. Must be one of: [{operations}]", **{"from": "/y"})
    assert not wrong, "\n".join(wrong)


def test_nothing_is_done_if_one_operation_is_refused(nouns):
    client, parameters = nouns
    good, bad = {"op": "replace", "path": "/name", "value": "new"}, {"op": "replace", "path": "/x", "value": "y"}
    for noun in ("api_key", "rest_api", "usage_plan", "vpc_link", "authorizer", "request_validator"):
        before = getattr(client, f"get_{noun}")(**parameters[noun])["name"]
        error_of(getattr(client, f"update_{noun}"), **parameters[noun], patchOperations=[good, bad])
        assert getattr(client, f"get_{noun}")(**parameters[noun])["name"] == before != "new"


OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")
ALL, R, AR = ("add", "replace", "remove"), ("replace",), ("add", "remove")
SCOPE = "method.request.querystring.q"
# Noun: path, what may be done to it, and a value that is taken. AWS's page lists maps by their names alone; an entry's
# name follows as one more segment, and the map itself is no path.
PAGE = {
    "account": [("/cloudwatchRoleArn", R, "arn:aws:iam::000000000000:role/logs"), ("/features", AR, "UsagePlans")],
    "api_key": [("/customerId", R, "c"), ("/description", R, "d"), ("/enabled", R, "true"), ("/labels", AR, "l"),
                ("/name", R, "n"), ("/stages", AR, "API/test")],
    "authorizer": [("/authorizerUri", R, "URI"), ("/authorizerCredentials", R, "arn:aws:iam::000000000000:role/r"),
                   ("/authorizerResultTtlInSeconds", R, "60"), ("/authType", R, "custom"),
                   ("/identitySource", ALL, "method.request.header.B"), ("/identityValidationExpression", R, "a.*"),
                   ("/name", R, "n"), ("/providerARNs", AR, "POOL"), ("/type", R, "COGNITO_USER_POOLS")],
    "base_path_mapping": [("/restapiId", R, "API"), ("/stage", R, "test"), ("/basePath", R, "v1")],
    "client_certificate": [("/description", R, "d")],
    "deployment": [("/description", R, "d")],
    "documentation_part": [("/properties", R, '{"description": "e"}')],
    "documentation_version": [("/description", R, "d")],
    "domain_name": [("/certificateName", ALL, "c"), ("/certificateArn", ALL, "CERTIFICATE"),
                    ("/endpointConfiguration/types", AR, "EDGE"), ("/endpointConfiguration/ipAddressType", R, "dualstack"),
                    ("/endpointAccessMode", R, "BASIC"), ("/managementPolicy", R, ""), ("/policy", R, ""),
                    ("/mutualTlsAuthentication/truststoreUri", ALL, "s3://b/k"),
                    ("/mutualTlsAuthentication/truststoreVersion", ALL, "1"), ("/regionalCertificateName", ALL, "c"),
                    ("/regionalCertificateArn", ALL, "CERTIFICATE"), ("/routingMode", R, "ROUTING_RULE_ONLY"),
                    ("/securityPolicy", R, "TLS_1_2"), ("/ownershipVerificationCertificateArn", ALL, "CERTIFICATE")],
    "gateway_response": [("/statusCode", R, "404"), ("/responseParameters/gatewayresponse.header.a", ALL, "'b'"),
                         ("/responseParameters", (), "x"), ("/responseTemplates/text~1plain", ALL, "a"),
                         ("/responseTemplates", (), "x")],
    "integration": [("/cacheKeyParameters/" + SCOPE, ALL, SCOPE), ("/cacheKeyParameters", (), SCOPE),
                    ("/cacheNamespace", R, "n"), ("/connectionId", R, "l"), ("/connectionType", R, "INTERNET"),
                    ("/contentHandling", R, "CONVERT_TO_TEXT"), ("/httpMethod", R, "POST"), ("/integrationTarget", R, ""),
                    ("/credentials", R, "arn:aws:iam::000000000000:role/r"), ("/passthroughBehavior", R, "NEVER"),
                    ("/requestParameters/integration.request.header.A", ALL, "'a'"), ("/requestParameters", (), "x"),
                    ("/requestTemplates/text~1plain", ALL, "a"), ("/requestTemplates", (), "x"),
                    ("/responseTransferMode", R, "BUFFERED"), ("/timeoutInMillis", R, "100"),
                    ("/tlsConfig/insecureSkipVerification", R, "true"), ("/type", (), "MOCK"),
                    ("/uri", R, "https://example.com/")],
    "integration_response": [("/contentHandling", R, "CONVERT_TO_TEXT"), ("/selectionPattern", R, "2.."),
                             ("/responseParameters/method.response.header.A", ALL, "'a'"), ("/responseParameters", (), "x"),
                             ("/responseTemplates/text~1plain", ALL, "a"), ("/responseTemplates", (), "x")],
    "method": [("/authorizationScopes", AR, "s"), ("/authorizationType", R, "COGNITO_USER_POOLS"),
               ("/authorizerId", R, "AUTHORIZER"), ("/apiKeyRequired", R, "true"), ("/operationName", R, "o"),
               ("/requestParameters/method.request.header.A", ALL, "true"), ("/requestParameters", (), "x"),
               ("/requestModels/text~1plain", ALL, "Empty"), ("/requestModels", (), "x"),
               ("/requestValidatorId", R, "VALIDATOR")],
    "method_response": [("/responseModels/text~1plain", ALL, "Empty"), ("/responseModels", (), "x"),
                        ("/responseParameters/method.response.header.B", ALL, "true"), ("/responseParameters", (), "x")],
    "model": [("/description", R, "d"), ("/schema", R, '{"type": "object"}')],
    "request_validator": [("/name", R, "n"), ("/validateRequestBody", R, "true"), ("/validateRequestParameters", R, "true")],
    "resource": [("/parentId", R, "ROOT"), ("/pathPart", R, "b")],
    "rest_api": [("/apiKeySource", R, "HEADER"), ("/binaryMediaTypes/image~1png", ALL, "image/gif"),
                 ("/description", ALL, "d"), ("/disableExecuteApiEndpoint", R, "true"),
                 ("/endpointConfiguration/types/0", R, "EDGE"), ("/endpointConfiguration/ipAddressType", R, "dualstack"),
                 ("/endpointConfiguration/vpcEndpointIds", AR, "vpce-1"), ("/endpointAccessMode", R, "BASIC"),
                 ("/minimumCompressionSize", R, "10"), ("/name", R, "n"), ("/policy", R, ""),
                 ("/securityPolicy", R, "TLS_1_2")],
    "usage": [("/remaining", R, "5")],
    "usage_plan": [("/apiStages", AR, "API:test"), ("/apiStages/API:test/throttle/~1/GET", ("remove",), None),
                   ("/apiStages/API:test/throttle/~1/GET/rateLimit", ("add", "replace"), "5"),
                   ("/apiStages/API:test/throttle/~1/GET/burstLimit", ("add", "replace"), "5"),
                   ("/apiStages/API:test/throttle", ALL, '{"//GET": {"rateLimit": 5, "burstLimit": 6}}'),
                   ("/description", R, "d"), ("/name", R, "n"), ("/productCode", ALL, "p"), ("/quota", ("remove",), None),
                   ("/quota/limit", ("add", "replace"), "5"), ("/quota/offset", ("add", "replace"), "0"),
                   ("/quota/period", ("add", "replace"), "DAY"), ("/throttle", ("remove",), None),
                   ("/throttle/burstLimit", ("add", "replace"), "5"), ("/throttle/rateLimit", ("add", "replace"), "5")],
    "vpc_link": [("/name", R, "n"), ("/description", R, "d")],
    # Recorded answers say that a format and a destination cannot be removed alone, whatever the page says, and that an
    # addition is a replacement.
    "stage": [("/accessLogSettings", ("remove",), None), ("/accessLogSettings/*", (), "x"),
              ("/accessLogSettings/destinationArn", ("add", "replace"), "arn:aws:logs:us-east-1:1:log-group:g"),
              ("/accessLogSettings/format", ("add", "replace"), "$context.requestId"),
              ("/cacheClusterEnabled", ("add", "replace"), "true"), ("/cacheClusterSize", ("add", "replace"), "0.5"),
              ("/canarySettings", ("remove",), None), ("/canarySettings/deploymentId", R, "DEPLOYMENT"),
              ("/canarySettings/percentTraffic", R, "10"), ("/canarySettings/stageVariableOverrides/a", ("remove", "replace"), "b"),
              ("/canarySettings/useStageCache", R, "true"), ("/clientCertificateId", ("add", "replace"), "CLIENT"),
              ("/deploymentId", ("add", "replace", "copy"), "DEPLOYMENT"), ("/description", ("add", "replace"), "d"),
              ("/documentationVersion", ("add", "replace"), "1"), ("/variables", ("remove", "copy"), None),
              ("/variables/a", ALL, "b"), ("/tracingEnabled", ("add", "replace"), "true"),
              *((f"/{method}/{setting}", ("add", "replace"), value)
                for method in ("*/*", "~1/GET", "~1pets~1{id}/ANY")
                for setting, value in (("metrics/enabled", "true"), ("logging/dataTrace", "true"), ("logging/loglevel", "INFO"),
                                       ("throttling/burstLimit", "5"), ("throttling/rateLimit", "5"),
                                       ("caching/enabled", "true"), ("caching/dataEncrypted", "true"),
                                       ("caching/ttlInSeconds", "5"),
                                       ("caching/requireAuthorizationForCacheControl", "true"),
                                       ("caching/unauthorizedCacheControlHeaderStrategy", "FAIL_WITH_403")))],
}  # fmt: skip


@pytest.mark.parametrize("noun", PAGE)
def test_every_path_with_every_operation(nouns, noun):
    """What AWS's page supports is not refused for its path or operation, and everything else is."""
    client, parameters = nouns
    api, at = parameters["rest_api"]["restApiId"], parameters[noun]
    names = {
        "API": api, "URI": lambda_uri(f"arn:aws:lambda:{REGION}:000000000000:function:f"), "ROOT": parameters["method"]["resourceId"],
        "POOL": f"arn:aws:cognito-idp:{REGION}:000000000000:userpool/{REGION}_b",
        "CERTIFICATE": f"arn:aws:acm:{REGION}:000000000000:certificate/b", "AUTHORIZER": parameters["authorizer"]["authorizerId"],
        "VALIDATOR": parameters["request_validator"]["requestValidatorId"], "DEPLOYMENT": parameters["deployment"]["deploymentId"],
        "CLIENT": parameters["client_certificate"]["clientCertificateId"],
    }  # fmt: skip
    update = getattr(client, f"update_{noun}")
    if noun == "integration":
        client.put_integration(**at, type="HTTP", integrationHttpMethod="GET", uri="https://example.com")
        client.update_method(**at, patchOperations=[{"op": "add", "path": f"/requestParameters/{SCOPE}", "value": "true"}])
    if noun == "integration_response":
        patch = {"op": "add", "path": "/responseParameters/method.response.header.A", "value": "true"}
        client.update_method_response(**at, patchOperations=[patch])
    if noun == "usage_plan":
        update(**at, patchOperations=[{"op": "add", "path": "/apiStages", "value": f"{api}:test"}])
    refusals = ("Invalid patch ", "Invalid method setting path", "Cannot remove method setting", "Invalid accessLogSettings",
                "Invalid move operation", "Invalid test operation", "Invalid add operation", "Invalid remove operation",
                "Invalid copy operation")  # fmt: skip
    wrong = []
    for path, supported, value in PAGE[noun]:
        path = path.replace("API", api)
        value = names.get(value, (value or "").replace("API", api) or None)
        for op in OPERATIONS:
            patch = {"op": op, "path": path} | ({"value": value} if value is not None else {})
            if op in ("copy", "move"):
                patch["from"] = "/canarySettings/deploymentId"
            try:
                update(**at, patchOperations=[patch])
                message = "(done)"
            except client.exceptions.ClientError as error:
                message = error.response["Error"]["Message"]
            # Settings of a method that has none of its own cannot be removed either.
            refused = message.startswith(refusals)
            if refused == (op in supported):
                wrong.append(f"{op} {path} {value}: {message}")
    assert not wrong, "\n".join(wrong)


def test_values_of_patches(nouns):
    """What an addition, a replacement and a removal do to sets, lists and maps, with escapes in their names."""
    client, parameters = nouns

    def patched(noun, *operations):
        keys = ("op", "path", "value")
        return getattr(client, f"update_{noun}")(
            **parameters[noun], patchOperations=[dict(zip(keys, operation)) for operation in operations]
        )

    api = patched("rest_api", ("add", "/binaryMediaTypes/image~1png"), ("add", "/binaryMediaTypes/a~0b~1c"))
    assert api["binaryMediaTypes"] == ["image/png", "a~b/c"]
    assert patched("rest_api", ("replace", "/binaryMediaTypes/image~1png", "x/y"))["binaryMediaTypes"] == ["a~b/c", "x/y"]
    assert patched("rest_api", ("add", "/description", "d"))["description"] == "d"
    assert "description" not in patched("rest_api", ("remove", "/description"))
    assert patched("rest_api", ("replace", "/minimumCompressionSize", "0"))["minimumCompressionSize"] == 0
    assert "minimumCompressionSize" not in patched("rest_api", ("replace", "/minimumCompressionSize"))

    method = ("add", "/requestParameters/method.request.querystring.a", "true")
    patched("method", method, ("add", "/requestParameters/method.request.header.b", "false"))
    client.put_integration(**parameters["integration"], type="HTTP", integrationHttpMethod="GET", uri="https://example.com")
    a, b = "method.request.querystring.a", "method.request.header.b"
    assert patched("integration", ("add", f"/cacheKeyParameters/{a}"))["cacheKeyParameters"] == [a]
    assert patched("integration", ("replace", f"/cacheKeyParameters/{a}", b))["cacheKeyParameters"] == [b]
    message = error_of(client.update_integration, **parameters["integration"],
                       patchOperations=[{"op": "add", "path": "/cacheKeyParameters/method.request.header.c"}])["Error"]  # fmt: skip
    assert (message["Code"], message["Message"]) == ("BadRequestException", "Invalid cache key parameter specified")
    assert patched("integration", ("remove", f"/cacheKeyParameters/{b}"))["cacheKeyParameters"] == []
    # A parameter that is gone is no key of a cache either.
    own = "integration.request.querystring.own"
    patched("integration", ("add", f"/requestParameters/{own}", "'a'"), ("add", f"/cacheKeyParameters/{own}"))
    left = patched("integration", ("remove", f"/requestParameters/{own}"), ("add", f"/cacheKeyParameters/{a}"))
    assert left["cacheKeyParameters"] == [a] and "requestParameters" not in left

    authorizer = parameters["authorizer"]["authorizerId"]
    method = patched("method", ("replace", "/authorizationType", "COGNITO_USER_POOLS"), ("replace", "/authorizerId", authorizer),
                     ("add", "/authorizationScopes", "one,two"), ("add", "/authorizationScopes", "three"))  # fmt: skip
    assert method["authorizationScopes"] == ["one", "two", "three"]
    assert patched("method", ("remove", "/authorizationScopes", "two"))["authorizationScopes"] == ["one", "three"]

    stage = patched("stage", ("replace", "/variables/a", "1"), ("replace", "/variables/b", "2"))
    assert stage["variables"] == {"a": "1", "b": "2"}
    assert "variables" not in patched("stage", ("remove", "/variables"))

    stage = f"{parameters['rest_api']['restApiId']}:test"
    limits = {"//GET": {"rateLimit": 5.0, "burstLimit": 6}}
    plan = patched("usage_plan", ("add", "/apiStages", stage), ("replace", f"/apiStages/{stage}/throttle", json.dumps(limits)))
    assert plan["apiStages"][0]["throttle"] == limits
    assert "throttle" not in patched("usage_plan", ("remove", f"/apiStages/{stage}/throttle"))["apiStages"][0]


def test_a_domain_moves_to_another_type_of_endpoint_in_two_calls(nouns):
    client, parameters = nouns
    at = parameters["domain_name"]
    regional = f"arn:aws:acm:{REGION}:000000000000:certificate/b"
    add = [{"op": "add", "path": "/endpointConfiguration/types", "value": "REGIONAL"},
           {"op": "add", "path": "/regionalCertificateArn", "value": regional}]  # fmt: skip
    remove = [{"op": "remove", "path": "/endpointConfiguration/types", "value": "EDGE"}, {"op": "remove", "path": "/certificateArn"}]
    message = error_of(client.update_domain_name, **at, patchOperations=[*add, *remove])["Error"]
    assert message["Code"] == "BadRequestException"
    replace = {"op": "replace", "path": "/endpointConfiguration/types/0", "value": "REGIONAL"}
    message = error_of(client.update_domain_name, **at, patchOperations=[replace])["Error"]["Message"]
    assert message == "/endpointConfiguration/types/0 Invalid request input"
    client.update_domain_name(**at, patchOperations=add)
    moved = client.update_domain_name(**at, patchOperations=remove)
    assert moved["endpointConfiguration"]["types"] == ["REGIONAL"] and "certificateArn" not in moved
    assert moved["regionalCertificateArn"] == regional


def test_the_endpoint_access_mode_of_a_security_policy(gateway):
    """An enhanced policy of an API needs a mode, and an older one takes no strict one; an empty value takes it away."""
    client = gateway.client()
    enhanced = "SecurityPolicy_TLS13_1_3_2025_09"
    settings = {"name": "a", "endpointConfiguration": {"types": ["REGIONAL"]}}
    error = error_of(client.create_rest_api, **settings, securityPolicy=enhanced)["Error"]
    assert error["Message"] == "Endpoint access mode is required for the specified security policy"
    api = client.create_rest_api(**settings)["id"]

    def update(**values):
        return client.update_rest_api(
            restApiId=api,
            patchOperations=[{"op": "replace", "path": f"/{name}", "value": value} for name, value in values.items()],
        )

    api_now = update(securityPolicy=enhanced, endpointAccessMode="STRICT")
    assert (api_now["securityPolicy"], api_now["endpointAccessMode"]) == (enhanced, "STRICT")
    assert api_now["apiStatus"] == "UPDATING" and client.get_rest_api(restApiId=api)["apiStatus"] == "AVAILABLE"
    with pytest.raises(client.exceptions.BadRequestException, match="is not supported with the security policy TLS_1_0"):
        update(securityPolicy="TLS_1_0")
    assert "endpointAccessMode" not in update(securityPolicy="TLS_1_0", endpointAccessMode="")
