"""Custom domain names, their mappings and rules, and client certificates, as both services' clients manage them."""

import datetime
import ssl

import pytest
from harness import REGION
from test_protocol import error_of

ARN = f"arn:aws:acm:{REGION}:000000000000:certificate/11111111-2222-3333-4444-555555555555"
OTHER_ARN = ARN[:-1] + "6"


def replace(path, value):
    return {"op": "replace", "path": path, "value": value}


def refused(call, code, message, **parameters):
    error = error_of(call, **parameters)["Error"]
    assert (error["Code"], error["Message"]) == (code, message)


@pytest.fixture
def v1(gateway):
    return gateway.client()


@pytest.fixture
def v2(gateway):
    return gateway.client("apigatewayv2")


@pytest.fixture
def api(gateway):
    api = gateway.rest_api()
    api.mock("GET", "/", "hello")
    api.deploy()
    return api


def regional(client, name, **options):
    options = {"regionalCertificateArn": ARN, "endpointConfiguration": {"types": ["REGIONAL"]}, **options}
    return client.create_domain_name(domainName=name, **options)


def test_regional_domain_name(v1):
    made = regional(v1, "api.example.com", tags={"a": "b"})
    assert made["regionalDomainName"].endswith(f".execute-api.{REGION}.amazonaws.com")
    assert made["regionalHostedZoneId"] == "Z1UJRXOUMOOFQ8"
    expected = ("AVAILABLE", "TLS_1_2", "BASE_PATH_MAPPING_ONLY")
    assert (made["domainNameStatus"], made["securityPolicy"], made["routingMode"]) == expected
    assert "distributionDomainName" not in made and made["tags"] == {"a": "b"}
    assert v1.get_domain_name(domainName="api.example.com")["regionalCertificateArn"] == ARN
    patches = [replace("/regionalCertificateArn", OTHER_ARN), replace("/routingMode", "ROUTING_RULE_ONLY")]
    changed = v1.update_domain_name(domainName="api.example.com", patchOperations=patches)
    assert (changed["regionalCertificateArn"], changed["routingMode"]) == (OTHER_ARN, "ROUTING_RULE_ONLY")
    assert [item["domainName"] for item in v1.get_domain_names()["items"]] == ["api.example.com"]
    taken = "The domain name you provided already exists."
    refused(v1.create_domain_name, "BadRequestException", taken, domainName="api.example.com",
            regionalCertificateArn=ARN, endpointConfiguration={"types": ["REGIONAL"]})  # fmt: skip
    bad = error_of(v1.update_domain_name, domainName="api.example.com", patchOperations=[replace("/x", "y")])
    assert bad["Error"]["Message"].startswith("Invalid patch path  '/x' specified for op 'replace'. Must be one of: [")
    v1.delete_domain_name(domainName="api.example.com")
    gone = "Invalid domain name identifier specified"
    refused(v1.get_domain_name, "NotFoundException", gone, domainName="api.example.com")
    refused(v1.delete_domain_name, "NotFoundException", gone, domainName="api.example.com")


def test_edge_domain_name(v1):
    made = v1.create_domain_name(domainName="edge.example.com", certificateArn=ARN)
    assert made["endpointConfiguration"]["types"] == ["EDGE"]
    assert made["distributionDomainName"].endswith(".cloudfront.net")
    assert made["distributionHostedZoneId"] == "Z2FDTNDATAQYW2"
    assert isinstance(made["certificateUploadDate"], datetime.datetime)
    # From one type of endpoint to the other, as the developer guide migrates a domain.
    patches = [{"op": "add", "path": "/endpointConfiguration/types", "value": "REGIONAL"},
               {"op": "replace", "path": "/regionalCertificateArn", "value": ARN}]  # fmt: skip
    both = v1.update_domain_name(domainName="edge.example.com", patchOperations=patches)
    assert both["endpointConfiguration"]["types"] == ["EDGE", "REGIONAL"] and both["regionalDomainName"]
    # AWS documents that it changes no security policy meanwhile.
    refused(v1.update_domain_name, "BadRequestException", "/securityPolicy Invalid request input",
            domainName="edge.example.com", patchOperations=[replace("/securityPolicy", "TLS_1_0")])  # fmt: skip
    patch = {"op": "remove", "path": "/endpointConfiguration/types", "value": "EDGE"}
    moved = v1.update_domain_name(domainName="edge.example.com", patchOperations=[patch])
    assert moved["endpointConfiguration"]["types"] == ["REGIONAL"] and "distributionDomainName" not in moved


def test_security_policies(v1):
    enhanced = "SecurityPolicy_TLS13_1_3_2025_09"
    made = regional(v1, "strict.example.com", securityPolicy=enhanced, endpointAccessMode="STRICT")
    assert (made["securityPolicy"], made["endpointAccessMode"]) == (enhanced, "STRICT")
    for options in (
        {"securityPolicy": enhanced},  # without an endpoint access mode
        {"securityPolicy": "SecurityPolicy_TLS13_2025_EDGE", "endpointAccessMode": "BASIC"},  # of another endpoint type
        {"securityPolicy": "TLS_1_2", "endpointAccessMode": "STRICT"},
        {"mutualTlsAuthentication": {"truststoreUri": "file:///etc/passwd"}},
        {"mutualTlsAuthentication": {"truststoreUri": "s3://no/such.pem"}},  # not configured
        {"policy": "{}"},
    ):
        options = {"regionalCertificateArn": ARN, "endpointConfiguration": {"types": ["REGIONAL"]}, **options}
        error = error_of(v1.create_domain_name, domainName="other.example.com",
                         **options)  # fmt: skip
        assert error["Error"]["Code"] == "BadRequestException", options
    private = {"certificateArn": ARN, "endpointConfiguration": {"types": ["PRIVATE"]}}
    refused(v1.create_domain_name, "BadRequestException", "Mutual TLS is supported for REGIONAL domain names only",
            domainName="other.example.com", mutualTlsAuthentication={"truststoreUri": "s3://bucket/trust.pem"}, **private)  # fmt: skip
    only_dualstack = "Only dualstack ipAddressType is supported for Private domain names."
    private["endpointConfiguration"]["ipAddressType"] = "ipv4"
    refused(v1.create_domain_name, "BadRequestException", only_dualstack, domainName="other.example.com", **private)
    private["endpointConfiguration"]["ipAddressType"] = "dualstack"
    refused(v1.create_domain_name, "BadRequestException", "Wildcard domain names are not supported for Private domain names.",
            domainName="*.example.com", **private)  # fmt: skip
    made = v1.create_domain_name(domainName="other.example.com", **private)
    where = {"domainName": "other.example.com", "domainNameId": made["domainNameId"]}
    refused(v1.update_domain_name, "BadRequestException", only_dualstack, **where,
            patchOperations=[replace("/endpointConfiguration/ipAddressType", "ipv4")])  # fmt: skip


def test_private_domain_name(v1):
    endpoint = {"types": ["PRIVATE"]}
    policy = '{"Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"}]}'
    name = "private.example.com"
    made = v1.create_domain_name(domainName=name, certificateArn=ARN, endpointConfiguration=endpoint, policy=policy)
    id, arn = made["domainNameId"], made["domainNameArn"]
    assert arn == f"arn:aws:apigateway:{REGION}:000000000000:/domainnames/{name}+{id}"
    refused(v1.get_domain_name, "NotFoundException", "Invalid domain name identifier specified", domainName=name)
    assert v1.get_domain_name(domainName=name, domainNameId=id)["domainNameArn"] == arn

    source = {"accessAssociationSourceType": "VPCE", "accessAssociationSource": "vpce-0123"}
    association = v1.create_domain_name_access_association(domainNameArn=arn, **source)
    association_arn = association["domainNameAccessAssociationArn"]
    listed = v1.get_domain_name_access_associations()["items"]
    assert [item["domainNameAccessAssociationArn"] for item in listed] == [association_arn]
    assert v1.get_domain_name_access_associations(resourceOwner="OTHER_ACCOUNTS")["items"] == []
    assert error_of(v1.create_domain_name_access_association, domainNameArn=arn, **source)["Error"]["Code"] == (
        "ConflictException"
    )
    assert error_of(v1.delete_domain_name, domainName=name, domainNameId=id)["Error"]["Code"] == "BadRequestException"
    v1.delete_domain_name_access_association(domainNameAccessAssociationArn=association_arn)
    missing = error_of(v1.delete_domain_name_access_association, domainNameAccessAssociationArn=association_arn)
    assert missing["Error"]["Code"] == "NotFoundException"
    v1.create_domain_name_access_association(domainNameArn=arn, **source)
    v1.reject_domain_name_access_association(domainNameAccessAssociationArn=association_arn, domainNameArn=arn)
    missing = error_of(v1.reject_domain_name_access_association, domainNameAccessAssociationArn=association_arn,
                       domainNameArn=arn)  # fmt: skip
    assert missing["Error"]["Code"] == "NotFoundException"
    v1.delete_domain_name(domainName=name, domainNameId=id)


def test_base_path_mappings(v1, v2, api):
    regional(v1, "api.example.com")
    name = "api.example.com"
    made = v1.create_base_path_mapping(domainName=name, basePath="v1", restApiId=api.id, stage="test")
    assert (made["basePath"], made["restApiId"], made["stage"]) == ("v1", api.id, "test")
    assert v1.create_base_path_mapping(domainName=name, restApiId=api.id)["basePath"] == "(none)"
    assert v1.get_base_path_mapping(domainName=name, basePath="(none)")["restApiId"] == api.id
    assert [item["basePath"] for item in v1.get_base_path_mappings(domainName=name)["items"]] == ["(none)", "v1"]
    create = v1.create_base_path_mapping
    where = {"domainName": name, "restApiId": api.id}
    refused(create, "ConflictException", "Base path already exists for this domain name", basePath="v1", **where)
    slash = ("API Gateway V1 doesn't support the slash character (/) in base path mappings. "
             "To create a multi-level base path mapping, use API Gateway V2.")  # fmt: skip
    refused(create, "BadRequestException", slash, basePath="v1/a", **where)
    refused(create, "BadRequestException", "Invalid stage identifier specified", basePath="a", stage="no", **where)
    no_api = {**where, "restApiId": "nothere000"}
    refused(create, "BadRequestException", "Invalid REST API identifier specified", basePath="a", **no_api)
    changed = v1.update_base_path_mapping(
        domainName=name, basePath="v1", patchOperations=[replace("/basePath", "v2"), replace("/stage", "test")]
    )
    assert changed["basePath"] == "v2"
    missing = "Invalid base path mapping identifier specified"
    refused(v1.get_base_path_mapping, "NotFoundException", missing, domainName=name, basePath="v1")
    # The newer service sees the same mappings.
    assert {item["ApiMappingKey"] for item in v2.get_api_mappings(DomainName=name)["Items"]} == {"", "v2"}
    mapped = "Deleting {} failed. Please remove all base path mappings related to the {} in your domains: " + name
    refused(v1.delete_stage, "BadRequestException", mapped.format("stage test", "stage"),
            restApiId=api.id, stageName="test")  # fmt: skip
    refused(v1.delete_rest_api, "BadRequestException", mapped.format(f"RestApi {api.id}", "RestApi"), restApiId=api.id)
    v1.delete_base_path_mapping(domainName=name, basePath="v2")
    v1.delete_stage(restApiId=api.id, stageName="test")  # the mapping that is left names no stage
    refused(v1.delete_rest_api, "BadRequestException", mapped.format(f"RestApi {api.id}", "RestApi"), restApiId=api.id)
    refused(v1.delete_base_path_mapping, "NotFoundException", missing, domainName=name, basePath="v2")
    refused(v1.update_base_path_mapping, "NotFoundException", missing, domainName=name, basePath="v2")
    refused(v1.get_base_path_mappings, "NotFoundException", "Invalid domain name identifier specified",
            domainName="no.example.com")  # fmt: skip
    v1.delete_base_path_mapping(domainName=name, basePath="(none)")
    v1.delete_rest_api(restApiId=api.id)


def configuration(**options):
    return [{"CertificateArn": ARN, "EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2", **options}]


def test_domain_names_of_the_newer_service(v1, v2):
    made = v2.create_domain_name(DomainName="a.example.com", DomainNameConfigurations=configuration(), Tags={"x": "y"})
    assert made["ApiMappingSelectionExpression"] == "$request.basepath"
    assert made["DomainNameConfigurations"][0]["DomainNameStatus"] == "AVAILABLE"
    assert made["RoutingMode"] == "API_MAPPING_ONLY" and made["Tags"] == {"x": "y"}
    assert v1.get_domain_name(domainName="a.example.com")["regionalCertificateArn"] == ARN
    regional(v1, "b.example.com")
    page = v2.get_domain_names(MaxResults="1")
    rest = v2.get_domain_names(MaxResults="1", NextToken=page["NextToken"])
    assert [item["DomainName"] for item in page["Items"] + rest["Items"]] == ["a.example.com", "b.example.com"]
    assert "NextToken" not in rest
    assert error_of(v2.get_domain_names, MaxResults="none")["Error"]["Code"] == "BadRequestException"
    changed = v2.update_domain_name(
        DomainName="a.example.com",
        DomainNameConfigurations=configuration(CertificateArn=OTHER_ARN),
        RoutingMode="ROUTING_RULE_THEN_API_MAPPING",
    )
    assert changed["DomainNameConfigurations"][0]["CertificateArn"] == OTHER_ARN
    shown = v2.get_domain_name(DomainName="a.example.com")
    assert shown["RoutingMode"] == "ROUTING_RULE_THEN_API_MAPPING"
    taken = "The domain name you provided already exists."
    refused(v2.create_domain_name, "ConflictException", taken, DomainName="b.example.com",
            DomainNameConfigurations=configuration())  # fmt: skip
    arn = f"arn:aws:apigateway:{REGION}::/domainnames/a.example.com"
    v2.tag_resource(ResourceArn=arn, Tags={"z": "1"})
    v2.untag_resource(ResourceArn=arn, TagKeys=["x"])
    assert v2.get_tags(ResourceArn=arn)["Tags"] == {"z": "1"} == v1.get_tags(resourceArn=arn)["tags"]
    for call, options in ((v2.get_tags, {}), (v2.tag_resource, {"Tags": {"a": "b"}}), (v2.untag_resource, {"TagKeys": ["a"]})):
        assert error_of(call, ResourceArn=arn + "x", **options)["Error"]["Code"] == "NotFoundException"
    v2.delete_domain_name(DomainName="a.example.com")
    gone = "Invalid domain name identifier specified"
    for call in (v2.get_domain_name, v2.delete_domain_name, v2.update_domain_name):
        refused(call, "NotFoundException", gone, DomainName="a.example.com")


def test_certificates_are_the_regions_and_names_have_no_underscores(v1, v2):
    other = ARN.replace(f":{REGION}:", ":eu-north-1:")
    message = f"Invalid certificate ARN: {other}. Certificate must be in '{REGION}'."
    wrong = configuration(CertificateArn=other)
    refused(v2.create_domain_name, "BadRequestException", message, DomainName="a.example.com", DomainNameConfigurations=wrong)
    edge = f"Invalid certificate ARN: {other}. Certificate must be in 'us-east-1'."
    refused(v1.create_domain_name, "BadRequestException", edge, domainName="a.example.com", certificateArn=other)
    message = "Domain names cannot contain an underscore character"
    right = configuration()
    refused(v2.create_domain_name, "BadRequestException", message, DomainName="a_b.example.com", DomainNameConfigurations=right)


def test_mappings_of_http_apis_where_rules_decide(v2):
    api = v2.create_api(Name="h", ProtocolType="HTTP", Target="https://example.com/")["ApiId"]
    message = (
        "APIs with a protocol type of HTTP or WEBSOCKET cannot be associated to domains that have a routingMode that uses "
        "RoutingRules"
    )
    for mode in "ROUTING_RULE_ONLY", "ROUTING_RULE_THEN_API_MAPPING":
        name = f"{mode.lower().replace('_', '-')}.example.com"
        v2.create_domain_name(DomainName=name, DomainNameConfigurations=configuration(), RoutingMode=mode)
        refused(v2.create_api_mapping, "BadRequestException", message, DomainName=name, ApiId=api, Stage="$default")


def test_api_mappings(v1, v2, api):
    name = "api.example.com"
    v2.create_domain_name(DomainName=name, DomainNameConfigurations=configuration())
    where = {"DomainName": name, "ApiId": api.id, "Stage": "test"}
    made = v2.create_api_mapping(ApiMappingKey="orders/v1/items", **where)
    id = made["ApiMappingId"]
    assert (made["ApiMappingKey"], made["ApiId"], made["Stage"]) == ("orders/v1/items", api.id, "test")
    assert v2.get_api_mapping(DomainName=name, ApiMappingId=id)["ApiMappingKey"] == "orders/v1/items"
    taken = "ApiMapping key already exists for this domain name"
    refused(v2.create_api_mapping, "ConflictException", taken, ApiMappingKey="orders/v1/items", **where)
    changed = v2.update_api_mapping(DomainName=name, ApiMappingId=id, ApiId=api.id, ApiMappingKey="orders/v2")
    assert (changed["ApiMappingKey"], changed["Stage"]) == ("orders/v2", "test")
    for key in ("/a", "a//b", "a b", "x" * 301):
        error = error_of(v2.create_api_mapping, ApiMappingKey=key, **where)
        assert error["Error"]["Code"] == "BadRequestException", key
    # Several levels are for regional names with TLS 1.2, as AWS has it.
    refused(v2.create_domain_name, "BadRequestException", "EDGE endpoint type is not supported for APIGatewayV2 domainName",
            DomainName="edge.example.com", DomainNameConfigurations=configuration(EndpointType="EDGE"))  # fmt: skip
    v1.create_domain_name(domainName="edge.example.com", certificateArn=ARN)
    edge = {**where, "DomainName": "edge.example.com"}
    assert v2.create_api_mapping(ApiMappingKey="orders", **edge)["ApiMappingKey"] == "orders"
    error = error_of(v2.create_api_mapping, ApiMappingKey="orders/v1", **edge)
    assert error["Error"]["Code"] == "BadRequestException" and "multiple levels" in error["Error"]["Message"]
    with pytest.raises(v2.exceptions.BadRequestException, match="multiple levels"):
        older = configuration(SecurityPolicy="TLS_1_0")
        v2.update_domain_name(DomainName=name, DomainNameConfigurations=older)
    unknown = {**where, "Stage": "no"}
    refused(v2.create_api_mapping, "BadRequestException", "Invalid stage identifier specified", **unknown)
    http = v2.create_api(Name="h", ProtocolType="HTTP", Target="https://example.com/")["ApiId"]
    other = v2.create_api_mapping(DomainName=name, ApiId=http, Stage="$default", ApiMappingKey="h")["ApiMappingId"]
    mapped = f"Deleting API {http} failed. Please remove all API mappings for the API from your custom domain names."
    refused(v2.delete_api, "BadRequestException", mapped, ApiId=http)
    mapped = f"Deleting stage $default failed. Please remove all base path mappings related to the stage in your domains: {name}"
    refused(v2.delete_stage, "BadRequestException", mapped, ApiId=http, StageName="$default")
    v2.delete_api_mapping(DomainName=name, ApiMappingId=other)
    v2.delete_stage(ApiId=http, StageName="$default")
    v2.delete_api(ApiId=http)
    v2.delete_api_mapping(DomainName=name, ApiMappingId=id)
    gone = "Invalid API mapping identifier specified"
    for call, options in ((v2.get_api_mapping, {}), (v2.delete_api_mapping, {}), (v2.update_api_mapping, {"ApiId": api.id})):
        refused(call, "NotFoundException", gone, DomainName=name, ApiMappingId=id, **options)
    assert v2.get_api_mappings(DomainName=name)["Items"] == []
    assert error_of(v2.get_api_mappings, DomainName="no.example.com")["Error"]["Code"] == "NotFoundException"


def test_routing_rules(gateway, v2, api):
    name = "rules.example.com"
    v2.create_domain_name(DomainName=name, DomainNameConfigurations=configuration(), RoutingMode="ROUTING_RULE_ONLY")
    actions = [{"InvokeApi": {"ApiId": api.id, "Stage": "test", "StripBasePath": True}}]
    conditions = [
        {"MatchHeaders": {"AnyOf": [{"Header": "x-version", "ValueGlob": "beta*"}]}},
        {"MatchBasePaths": {"AnyOf": ["users"]}},
    ]
    made = v2.create_routing_rule(DomainName=name, Priority=100, Conditions=conditions, Actions=actions)
    id = made["RoutingRuleId"]
    assert made["RoutingRuleArn"] == (
        f"arn:aws:apigateway:{REGION}:000000000000:/domainnames/{name}/routingrules/{id}"
    )
    assert (made["Conditions"], made["Actions"], made["Priority"]) == (conditions, actions, 100)
    unsaid = [{"InvokeApi": {"ApiId": api.id, "Stage": "test"}}]
    told = v2.create_routing_rule(DomainName=name, Priority=1, Conditions=[], Actions=unsaid)
    first = told["RoutingRuleId"]
    assert told["Actions"] == [{"InvokeApi": {"ApiId": api.id, "Stage": "test", "StripBasePath": False}}]
    assert v2.get_routing_rule(DomainName=name, RoutingRuleId=first)["Actions"] == told["Actions"]
    listed = v2.list_routing_rules(DomainName=name)["RoutingRules"]
    assert [rule["RoutingRuleId"] for rule in listed] == [first, id]
    page = v2.list_routing_rules(DomainName=name, MaxResults=1)
    assert len(page["RoutingRules"]) == 1 and page["NextToken"]
    where = {"DomainName": name, "Actions": actions}
    assert error_of(v2.create_routing_rule, Priority=100, Conditions=[], **where)["Error"]["Code"] == "ConflictException"
    star = [{"MatchHeaders": {"AnyOf": [{"Header": "a", "ValueGlob": "a*b"}]}}]
    for wrong in (star, [conditions[1]] * 2, [conditions[0]] * 3, [{}], [{**conditions[0], **conditions[1]}]):
        error = error_of(v2.create_routing_rule, Priority=2, Conditions=wrong, **where)
        assert error["Error"]["Code"] == "BadRequestException", wrong
    for priority in 0, 1_000_001:
        unchecked = gateway.client("apigatewayv2", parameter_validation=False)
        error = error_of(unchecked.create_routing_rule, Priority=priority, Conditions=[], **where)
        assert error["Error"]["Code"] == "BadRequestException", priority
    for priority in range(1_000_000, 1_000_000 - 48, -1):
        v2.create_routing_rule(Priority=priority, Conditions=[], **where)
    error = error_of(v2.create_routing_rule, Priority=3, Conditions=[], **where)
    assert error["Error"]["Code"] == "LimitExceededException" and "50" in error["Error"]["Message"]
    changed = v2.put_routing_rule(RoutingRuleId=id, Priority=7, Conditions=[], **where)
    assert changed["Priority"] == 7 and v2.get_routing_rule(DomainName=name, RoutingRuleId=id)["Conditions"] == []
    v2.delete_routing_rule(DomainName=name, RoutingRuleId=id)
    for call, options in (
        (v2.get_routing_rule, {}),
        (v2.delete_routing_rule, {}),
        (v2.put_routing_rule, {"Priority": 9, "Conditions": [], "Actions": actions}),
    ):
        error = error_of(call, DomainName=name, RoutingRuleId=id, **options)
        assert error["Error"]["Code"] == "NotFoundException"
    assert error_of(v2.list_routing_rules, DomainName="no.example.com")["Error"]["Code"] == "NotFoundException"


def test_client_certificates(v1, api, tmp_path):
    made = v1.generate_client_certificate(description="one", tags={"a": "b"})
    id = made["clientCertificateId"]
    path = tmp_path / "certificate.pem"
    path.write_text(made["pemEncodedCertificate"])
    read = ssl._ssl._test_decode_cert(str(path))
    assert (("commonName", "ApiGateway"),) in read["subject"] and read["subject"] == read["issuer"]
    assert made["expirationDate"] - made["createdDate"] == datetime.timedelta(days=365)
    assert v1.get_client_certificate(clientCertificateId=id)["tags"] == {"a": "b"}
    assert [item["clientCertificateId"] for item in v1.get_client_certificates()["items"]] == [id]
    changed = v1.update_client_certificate(clientCertificateId=id, patchOperations=[replace("/description", "two")])
    assert changed["description"] == "two" and changed["pemEncodedCertificate"] == made["pemEncodedCertificate"]
    arn = f"arn:aws:apigateway:{REGION}::/clientcertificates/{id}"
    v1.tag_resource(resourceArn=arn, tags={"c": "d"})
    assert v1.get_tags(resourceArn=arn)["tags"] == {"a": "b", "c": "d"}
    bad = error_of(v1.update_client_certificate, clientCertificateId=id, patchOperations=[replace("/x", "two")])
    assert "Must be one of: [/description]" in bad["Error"]["Message"]
    unknown = error_of(v1.update_stage, restApiId=api.id, stageName="test",
                       patchOperations=[replace("/clientCertificateId", "nope00")])  # fmt: skip
    assert unknown["Error"]["Code"] == "BadRequestException"
    v1.delete_client_certificate(clientCertificateId=id)
    gone = "Invalid Client Certificate ID specified"
    for call in (v1.get_client_certificate, v1.delete_client_certificate, v1.update_client_certificate):
        refused(call, "NotFoundException", gone, clientCertificateId=id)
