"""Every operation of the REST and HTTP API services refused through boto3: what AWS says of things that are not there.

Each operation is called with as little as it takes, naming nothing that exists; those that would succeed even so are
called with something that AWS refuses. test_operations_covered.py asks for a refusal of every operation.
"""

import botocore.exceptions
import pytest
from harness import ACCOUNT, REGION
from test_protocol import operations

ABSENT = "absent1234"
NO_API = f"Invalid API identifier specified {ACCOUNT}:{ABSENT}"
NO_CERTIFICATE = "Invalid Client Certificate ID specified"
NO_DOMAIN = "Invalid domain name identifier specified"
NO_ASSOCIATION = "Invalid domain name access association identifier specified"
NO_RESOURCE = "Invalid Resource identifier specified"
NO_KEY = "Invalid API Key identifier specified"
NO_PLAN = "Invalid Usage Plan ID specified"
NO_STAGE = "Invalid stage identifier specified"
POSITION = {"position": "nowhere!"}, "BadRequestException", "Invalid position specified"
TOKEN = {"NextToken": "nowhere!"}, "BadRequestException", "Invalid position specified"

# What fills a required member, where ABSENT would be refused for its form.
FILLINGS = {
    "statusCode": "200",
    "httpMethod": "GET",
    "exportType": "oas30",
    "keyType": "API_KEY",
    "startDate": "2026-01-01",
    "endDate": "2026-01-02",
    "properties": '{"description": "d"}',
    "resourceArn": f"arn:aws:apigateway:{REGION}::/restapis/{ABSENT}",
    "tagKeys": ["a"],
    "tags": {"a": "b"},
    "targetArns": [f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/net/a/b"],
    "body": b'{"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {}}',
}

# The nouns of the REST API service, with the words for one that is not there. Every operation whose name ends in the
# noun (or its plural) and that is not listed below is answered with 404 and these words.
REST_NOUNS = {
    "ApiKey": NO_KEY,
    "Authorizer": "Invalid Authorizer identifier specified",
    "BasePathMapping": NO_DOMAIN,
    "ClientCertificate": NO_CERTIFICATE,
    "Deployment": "Invalid Deployment identifier specified",
    "DocumentationPart": "Invalid Documentation part identifier specified",
    "DocumentationVersion": "Invalid Documentation version specified",
    "DomainName": NO_DOMAIN,
    "DomainNameAccessAssociation": NO_ASSOCIATION,
    "GatewayResponse": NO_API,
    "Integration": NO_RESOURCE,
    "IntegrationResponse": NO_RESOURCE,
    "Method": NO_RESOURCE,
    "MethodResponse": NO_RESOURCE,
    "Model": f"Invalid model name specified: {ABSENT}",
    "ModelTemplate": f"Invalid model name specified: {ABSENT}",
    "RequestValidator": "Invalid Request Validator identifier specified",
    "Resource": NO_RESOURCE,
    "RestApi": NO_API,
    "SdkType": "Invalid SDK type identifier specified",
    "Stage": NO_STAGE,
    "StageCache": NO_STAGE,
    "StageAuthorizersCache": NO_STAGE,
    "Usage": NO_PLAN,
    "UsagePlan": NO_PLAN,
    "UsagePlanKey": NO_KEY,
    "VpcLink": "Invalid Vpc Link identifier specified",
    "Export": NO_STAGE,
    "Sdk": NO_STAGE,
}
VERBS = ("Create", "Delete", "Flush", "Get", "Put", "Reject", "Update")

# (service, operation): its parameters beside the required ones, AWS's error code, the start of its message. Without a
# code it is NotFoundException.
EXCEPTIONS = {
    ("apigateway", name): ({}, "NotFoundException", NO_API)
    for name in (
        "CreateDeployment", "CreateDocumentationPart", "CreateDocumentationVersion", "CreateModel", "CreateStage",
        "GetAuthorizers", "GetDeployments", "GetDocumentationParts", "GetDocumentationVersions", "GetGatewayResponses",
        "GetModels", "GetRequestValidators", "GetResources", "GetStages", "ImportDocumentationParts",
        "GetTags", "TagResource", "UntagResource", "DeleteDocumentationPart",
    )
} | {
    ("apigateway", name): POSITION
    for name in (
        "GetApiKeys", "GetClientCertificates", "GetDomainNames", "GetDomainNameAccessAssociations", "GetRestApis",
        "GetUsagePlans", "GetVpcLinks", "GetSdkTypes",
    )
} | {
    ("apigateway", "TestInvokeAuthorizer"): ({}, "NotFoundException", "Invalid Authorizer identifier specified"),
    ("apigateway", "TestInvokeMethod"): ({}, "NotFoundException", NO_RESOURCE),
    ("apigateway", "CreateApiKey"):
        ({"value": "short"}, "BadRequestException", "API Key value should be at least 20 characters"),
    # So AWS answers for an unknown API.
    ("apigateway", "CreateAuthorizer"): (
        {"authorizerUri": f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/f/invocations",
         "identitySource": "method.request.header.Authorization"}, "ConflictException", "Unable to complete operation",
    ),
    ("apigateway", "CreateDomainName"): ({}, "BadRequestException", f"Invalid domain name specified: {ABSENT}"),
    ("apigateway", "CreateDomainNameAccessAssociation"):
        ({}, "BadRequestException", "Invalid VPC endpoint id specified"),
    # AWS answers an unknown API here with 400, and without its id.
    ("apigateway", "CreateRequestValidator"): ({}, "BadRequestException", "Invalid REST API identifier specified"),
    ("apigateway", "CreateRestApi"): ({"name": ""}, "BadRequestException", "Name cannot be empty"),
    ("apigateway", "CreateUsagePlan"):
        ({"quota": {"limit": 1, "period": "YEAR"}}, "ValidationException", "1 validation error detected: Value 'YEAR'"),
    ("apigateway", "CreateUsagePlanKey"): ({}, "NotFoundException", NO_PLAN),
    ("apigateway", "CreateVpcLink"): ({"targetArns": []}, "BadRequestException", "No target arn specified for vpc link."),
    ("apigateway", "GenerateClientCertificate"):
        ({"tags": {"aws:x": "1"}}, "BadRequestException", "Invalid tag key. Tag keys cannot start with 'aws:' (case"),
    ("apigateway", "GetUsagePlanKeys"): ({"position": "?"}, "BadRequestException", "Invalid position specified"),
    ("apigateway", "ImportApiKeys"): ({}, "BadRequestException", "Invalid API key file"),
    ("apigateway", "ImportRestApi"): ({"body": b"{}"}, "BadRequestException", "Invalid OpenAPI input."),
    ("apigateway", "UpdateAccount"): (
        {"patchOperations": [{"op": "replace", "path": "/x", "value": ""}]}, "BadRequestException",
        "Invalid patch path  '/x' specified for op 'replace'. Must be one of: [/cloudwatchRoleArn]",
    ),
    ("apigatewayv2", "CreateApi"):
        ({"ProtocolType": "WEBSOCKET"}, "BadRequestException", "Invalid routeSelectionExpression"),
    ("apigatewayv2", "CreateDomainName"): ({}, "BadRequestException", "At least one domain name configuration"),
    ("apigatewayv2", "CreateVpcLink"): ({}, "BadRequestException", "SubnetIds for a vpc link cannot be empty"),
    ("apigatewayv2", "GetApis"): TOKEN,
    ("apigatewayv2", "GetDomainNames"): TOKEN,
    ("apigatewayv2", "GetVpcLinks"): TOKEN,
    ("apigatewayv2", "ImportApi"): ({"Body": "{}"}, "BadRequestException", ""),
    ("apigatewayv2", "GetTags"): ({"ResourceArn": "arn:x"}, "BadRequestException", "Invalid ARN specified"),
    ("apigatewayv2", "TagResource"): ({"ResourceArn": "arn:x"}, "BadRequestException", "Invalid ARN specified"),
    ("apigatewayv2", "UntagResource"): ({"ResourceArn": "arn:x"}, "BadRequestException", "Invalid ARN specified"),
}  # fmt: skip

# Operations with nothing in them that could be refused.
NEVER_REFUSED = {("apigateway", "GetAccount")}


def filling(shape, name):
    """A value for a required member."""
    if shape.type_name == "structure":
        return {member: filling(shape.members[member], member) for member in shape.required_members}
    first = name[:1].lower() + name[1:]
    if first in FILLINGS and (shape.type_name != "string" or isinstance(FILLINGS[first], str)):
        return FILLINGS[first]
    empty = {"list": [], "map": {}, "integer": 1, "long": 1, "boolean": True, "blob": b"{}"}
    if shape.type_name in empty:
        return empty[shape.type_name]
    return shape.enum[0] if getattr(shape, "enum", None) else ABSENT


def expected(service, name):
    """(further parameters, code, message) for an operation."""
    if known := EXCEPTIONS.get((service, name)):
        return known
    if service == "apigatewayv2":
        domain = any(noun in name for noun in ("DomainName", "ApiMapping", "RoutingRule"))
        link = f"Invalid VpcLink identifier specified {ABSENT}"
        message = NO_DOMAIN if domain else link if name.endswith("VpcLink") else NO_API
        return {}, "NotFoundException", message
    verb = next(verb for verb in VERBS if name.startswith(verb))
    noun = name.removeprefix(verb)
    return {}, "NotFoundException", REST_NOUNS[noun if noun in REST_NOUNS else noun.removesuffix("s")]


@pytest.mark.parametrize("service", ["apigateway", "apigatewayv2"])
def test_every_operation_is_refused_in_awss_words(gateway, service):
    client = gateway.client(service)
    wrong = []
    for name in (name for (of, name), built in operations().items() if of == service and built):
        if (service, name) in NEVER_REFUSED:
            continue
        shape = client.meta.service_model.operation_model(name).input_shape
        parameters = {member: filling(shape.members[member], member) for member in shape.required_members}
        further, code, message = expected(service, name)
        method = botocore.xform_name(name)
        try:
            getattr(client, method)(**parameters | further)
            wrong.append(f"{name}({parameters | further}) succeeded")
        except botocore.exceptions.ClientError as error:
            found = error.response["Error"]
            if found["Code"] != code or not found["Message"].startswith(message):
                wrong.append(f"{name}: {found['Code']}: {found['Message']!r} where {code}: {message!r} was expected")
    assert not wrong, "\n".join(wrong)
