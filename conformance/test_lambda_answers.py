"""What the Lambda API answers word for word: members that are there and are not, and refusals, after answers of AWS that
LocalStack's authors published."""

import json

import botocore.exceptions
import pytest
from harness import ACCOUNT, REGION
from test_functions import ROLE, archive

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
SOURCE = "exports.handler = async event => event;"
ABSENT = "The resource you requested does not exist."
NOT_FOUND, CONFLICT = "ResourceNotFoundException", "ResourceConflictException"
PARAMETER, VALIDATION = "InvalidParameterValueException", "ValidationException"


@pytest.fixture
def functions(gateway):
    return gateway.client("lambda")


def create(functions, name, **options):
    options = {"Runtime": "nodejs20.x", "Handler": "index.handler", "Role": ROLE, **options}
    return functions.create_function(
        FunctionName=name, **{"Code": {"ZipFile": archive({"index.js": SOURCE})}, **options}
    )


def says(code, message, call, *arguments, **options):
    """The call is refused with this code and exactly these words."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*arguments, **options)
    told = caught.value.response
    assert (told["Error"]["Code"], told["Error"]["Message"]) == (code, message)
    return told


def weights(**shares):
    return {"RoutingConfig": {"AdditionalVersionWeights": {name.strip("v"): share for name, share in shares.items()}}}


def invalid(value, member, constraint):
    return f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"


def test_errors_have_the_members_of_the_model(functions):
    told = says(NOT_FOUND, f"Function not found: {ARN}none", functions.get_function, FunctionName="none")
    assert (told["Type"], told["Message"]) == ("User", told["Error"]["Message"]) and "message" not in told
    create(functions, "f")
    told = says(CONFLICT, "Function already exist: f", create, functions, "f")
    assert (told["Type"], told["message"]) == ("User", told["Error"]["Message"])
    told = says(
        VALIDATION, invalid("some", "functionVersion", "Member must satisfy enum value set: [ALL]"),
        functions.list_functions, FunctionVersion="some",
    )  # fmt: skip
    assert "Type" not in told


def test_states_of_a_function_that_is_made_and_changed(functions):
    made = create(functions, "f", Publish=True)
    assert (made["State"], made["StateReason"], made["StateReasonCode"]) == (
        "Pending", "The function is being created.", "Creating",
    )  # fmt: skip
    assert "LastUpdateStatus" not in made and (made["FunctionArn"], made["Version"]) == (ARN + "f", "1")
    found = functions.get_function_configuration(FunctionName="f")
    assert found["RevisionId"] != made["RevisionId"], "the state has changed since"
    assert (found["State"], found["LastUpdateStatus"]) == ("Active", "Successful") and "StateReason" not in found
    version = functions.get_function_configuration(FunctionName="f", Qualifier="1")
    assert version["FunctionArn"] == ARN + "f:1" and version["RevisionId"] != found["RevisionId"]
    assert functions.publish_version(FunctionName="f")["Version"] == "1", "nothing has changed"
    changed = functions.update_function_configuration(FunctionName="f", Timeout=9)
    assert changed["LastUpdateStatus"] == "InProgress" and changed["LastUpdateStatusReasonCode"] == "Creating"
    found = functions.get_function_configuration(FunctionName="f")
    assert found["LastUpdateStatus"] == "Successful" and found["RevisionId"] != changed["RevisionId"]
    assert functions.publish_version(FunctionName="f")["Version"] == "2"
    code = archive({"index.js": "exports.handler = async () => 2;"})
    published = functions.update_function_code(FunctionName="f", ZipFile=code, Publish=True)
    assert (published["Version"], published["FunctionArn"], published["State"]) == ("3", ARN + "f:3", "Pending")
    assert "LastUpdateStatus" not in published, "a new version was never updated"


def test_names_that_a_function_may_get(functions):
    assert create(functions, ARN + "whole")["FunctionName"] == "whole"
    assert create(functions, f"{ACCOUNT}:function:part")["FunctionArn"] == ARN + "part"
    part = "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?"
    pattern = part + "([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"
    says(
        VALIDATION,
        invalid("invalid:function:name", "functionName", f"Member must satisfy regular expression pattern: {pattern}"),
        create, functions, "invalid:function:name",
    )  # fmt: skip
    long, longest = "a" * 65, "Member must have length less than or equal to"
    says(PARAMETER, invalid(long, "functionName", f"{longest} 64"), create, functions, long)
    long = ARN + "a" * (141 - len(ARN))
    says(VALIDATION, invalid(long, "functionName", f"{longest} 140"), create, functions, long)
    says(
        NOT_FOUND, f"Functions from 'eu-west-1' are not reachable in this region ('{REGION}')",
        create, functions, f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f",
    )  # fmt: skip
    told = says("AccessDeniedException", None, create, functions, f"arn:aws:lambda:{REGION}:123456789012:function:f")
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 403
    names = [one["FunctionName"] for one in functions.list_functions()["Functions"]]
    assert names == ["part", "whole"], "none of the refused ones"


def test_versions_are_deleted_as_often_as_asked(functions):
    create(functions, "f", Publish=True)
    for version in ("1", "1", "7"):
        told = functions.delete_function(FunctionName="f", Qualifier=version)
        assert told["ResponseMetadata"]["HTTPStatusCode"] == 204
    says(NOT_FOUND, f"Function not found: {ARN}f:1", functions.get_function, FunctionName="f", Qualifier="1")
    # These are said of functions that are not there too.
    for name in ("f", "none"):
        says(
            PARAMETER, "$LATEST version cannot be deleted without deleting the function.",
            functions.delete_function, FunctionName=name, Qualifier="$LATEST",
        )  # fmt: skip
        says(
            PARAMETER, "Deletion of aliases is not currently supported.",
            functions.delete_function, FunctionName=name, Qualifier="live",
        )  # fmt: skip
    assert functions.get_function(FunctionName="f")["Configuration"]["Version"] == "$LATEST"


def test_tags_of_functions(functions):
    create(functions, "f")
    many = {f"t{count}": "x" for count in range(51)}
    limit = "Number of tags exceeds resource tag limit."
    says(PARAMETER, limit, create, functions, "g", Tags=many)
    says(PARAMETER, limit, functions.tag_resource, Resource=ARN + "f", Tags=many)
    says(
        PARAMETER, "An error occurred and the request cannot be processed.",
        functions.tag_resource, Resource=ARN + "f", Tags={},
    )  # fmt: skip
    says(
        VALIDATION,
        "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null",
        functions.untag_resource, Resource=ARN + "f", TagKeys=[],
    )  # fmt: skip
    with pytest.raises(functions.exceptions.ClientError, match="Value 'f' at 'resource' failed to satisfy constraint"):
        functions.list_tags(Resource="f")
    assert functions.list_tags(Resource=ARN + "f")["Tags"] == {}


def test_variables_are_shown_once_they_were_given(functions):
    assert "Environment" not in create(functions, "none")
    assert create(functions, "empty", Environment={"Variables": {}})["Environment"] == {"Variables": {}}
    assert functions.get_function_configuration(FunctionName="empty")["Environment"] == {"Variables": {}}
    many = {"ONE": "a", "LONG": "x" * 4096}
    says(
        PARAMETER,
        "Lambda was unable to configure your environment variables because the environment variables you have provided"
        f" exceeded the 4KB limit. String measured: {json.dumps(many, separators=(',', ':'))}",
        create, functions, "many", Environment={"Variables": many},
    )  # fmt: skip


def test_lists_leave_out_states(functions):
    create(functions, "a", Publish=True)
    create(functions, "b")
    everything = functions.list_functions(FunctionVersion="ALL")["Functions"]
    assert [one["FunctionArn"] for one in everything] == [ARN + "a:$LATEST", ARN + "a:1", ARN + "b:$LATEST"]
    listed = functions.list_functions()["Functions"]
    assert [one["FunctionArn"] for one in listed] == [ARN + "a", ARN + "b"]
    own = set(functions.get_function_configuration(FunctionName="a")) - {"ResponseMetadata"}
    for one in (*everything, *listed, *functions.list_versions_by_function(FunctionName="a")["Versions"]):
        assert own - set(one) == {"State", "LastUpdateStatus", "RuntimeVersionConfig"}, one


def test_what_is_not_there(functions):
    create(functions, "f")
    for call in (functions.get_function, functions.get_function_configuration):
        says(NOT_FOUND, f"Function not found: {ARN}f:7", call, FunctionName="f", Qualifier="7")
    says(NOT_FOUND, f"Function not found: {ARN}none", functions.delete_function, FunctionName="none", Qualifier="7")
    for name, qualifier in (("none", "$LATEST"), ("f", "7")):
        says(
            NOT_FOUND, f"The function {ARN}{name}:{qualifier} doesn't have an EventInvokeConfig",
            functions.get_function_event_invoke_config, FunctionName=name, Qualifier=qualifier,
        )  # fmt: skip
    says(
        NOT_FOUND, "The function doesn't exist.",
        functions.update_function_event_invoke_config, FunctionName="none", MaximumRetryAttempts=0,
    )  # fmt: skip
    says(
        NOT_FOUND, f"Function not found: {ARN}none:$LATEST",
        functions.put_function_concurrency, FunctionName="none", ReservedConcurrentExecutions=1,
    )  # fmt: skip
    says(
        PARAMETER,
        "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation."
        " Please specify either a function name or an unqualified function ARN.",
        functions.put_function_concurrency, FunctionName="f:1", ReservedConcurrentExecutions=1,
    )  # fmt: skip
    elsewhere = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"
    for call in (functions.get_function, functions.delete_function, functions.invoke):
        says(
            NOT_FOUND, f"Functions from 'eu-west-1' are not reachable in this region ('{REGION}')",
            call, FunctionName=elsewhere,
        )  # fmt: skip
    for qualifier in ("7", "$LATEST"):
        says(
            PARAMETER, "Tags on function aliases and versions are not supported. Please specify a function ARN.",
            functions.tag_resource, Resource=f"{ARN}f:{qualifier}", Tags={"a": "b"},
        )  # fmt: skip


def test_configurations_that_are_none(functions):
    says(
        VALIDATION, invalid("[x86_64, arm64]", "architectures", "Member must have length less than or equal to 1"),
        create, functions, "f", Architectures=["x86_64", "arm64"],
    )  # fmt: skip
    known = "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
    says(VALIDATION, invalid("[X86]", "architectures", known), create, functions, "f", Architectures=["X86"])
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        create(functions, "f", Runtime="NODEJS20.X")
    told = caught.value.response["Error"]
    assert told["Code"] == PARAMETER and told["Message"].startswith(
        "Value NODEJS20.X at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [nodejs"
    )
    assert told["Message"].endswith("] or be a valid ARN")


def test_aliases(functions):
    create(functions, "f", Publish=True)
    functions.update_function_configuration(FunctionName="f", Timeout=9)
    functions.publish_version(FunctionName="f")

    def refused(code, message, version="1", function="f", **options):
        says(code, message, functions.create_alias, FunctionName=function, Name="n", FunctionVersion=version, **options)

    share = (
        "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, "
        "Member must have value greater than or equal to 0.0, Member must not be null]"
    )
    key = (
        "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length "
        "greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]"
    )
    member = "routingConfig.additionalVersionWeights"
    refused(PARAMETER, "Number of items in AdditionalVersionWeights cannot be greater than 1", **weights(v1=0.1, v2=0.2))
    refused(VALIDATION, invalid("{2=2.0}", member, share), **weights(v2=2))
    refused(
        VALIDATION, invalid("{$LATEST=0.5}", member, key),
        RoutingConfig={"AdditionalVersionWeights": {"$LATEST": 0.5}},
    )  # fmt: skip
    refused(
        PARAMETER, "Invalid function version 1. Function version 1 is already included in routing configuration.",
        **weights(v1=0.5),
    )  # fmt: skip
    refused(
        PARAMETER, "$LATEST is not supported for an alias pointing to more than 1 version", "$LATEST", **weights(v1=0.5)
    )
    refused(NOT_FOUND, f"Function not found: {ARN}f:10", "10", **weights(v2=0.5))
    refused(NOT_FOUND, f"Function not found: {ARN}f:10", **weights(v10=0.5))
    refused(NOT_FOUND, f"Function not found: {ARN}none:1", function="none")
    made = functions.create_alias(FunctionName="f", Name="n", FunctionVersion="1", **weights())
    assert "RoutingConfig" not in made


def test_permissions(functions):
    create(functions, "f")
    statement = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}

    def add(code, message, **options):
        says(code, message, functions.add_permission, **{"FunctionName": "f", **statement, **options})

    def remove(code, message, **options):
        says(code, message, functions.remove_permission, **{"FunctionName": "f", "StatementId": "s", **options})

    remove(NOT_FOUND, "No policy is associated with the given resource.")
    remove(NOT_FOUND, f"No policy found for: {ARN}none", FunctionName="none")
    remove(NOT_FOUND, f"Cannot find alias arn: {ARN}f:live", Qualifier="live")
    add(NOT_FOUND, f"Cannot find alias arn: {ARN}f:live", Qualifier="live")
    add(NOT_FOUND, f"Function not found: {ARN}f:7", Qualifier="7")
    add(NOT_FOUND, f"Function not found: {ARN}f:a-$", Qualifier="a-$")
    pattern = "Member must satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+)"
    add(VALIDATION, invalid("a?", "qualifier", pattern), Qualifier="a?")
    add(
        PARAMETER, "The provided principal was invalid. Please check the principal and try again.",
        Principal="example.org",
    )  # fmt: skip
    says(NOT_FOUND, ABSENT, functions.get_policy, FunctionName="f", Qualifier="7")


def test_layers(functions):
    content = {"ZipFile": archive({"x": "y"})}
    made = functions.publish_layer_version(LayerName="plain", Content=content)
    assert (made["CompatibleRuntimes"], made["CompatibleArchitectures"]) == ([], [])
    functions.publish_layer_version(
        LayerName="node", Content=content, CompatibleRuntimes=["nodejs20.x"], CompatibleArchitectures=["arm64"]
    )
    for wanted in ({"CompatibleRuntime": "nodejs20.x"}, {"CompatibleArchitecture": "arm64"}):
        assert [one["LayerName"] for one in functions.list_layers(**wanted)["Layers"]] == ["node"]
        assert functions.list_layer_versions(LayerName="plain", **wanted)["LayerVersions"] == []
    processors = "Member must satisfy enum value set: [x86_64, arm64]"
    says(
        VALIDATION, invalid("x", "compatibleArchitecture", processors), functions.list_layers, CompatibleArchitecture="x"
    )
    for number in (0, -1):
        for call in (functions.get_layer_version, functions.delete_layer_version):
            says(PARAMETER, "Layer Version Cannot be less than 1", call, LayerName="plain", VersionNumber=number)
    says(NOT_FOUND, ABSENT, functions.get_layer_version, LayerName="plain", VersionNumber=2)
    arn = made["LayerArn"]
    pattern = (
        r"Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}((-gov)|(-iso(b?)))?"
        r"-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+"
    )
    says(VALIDATION, invalid(arn, "arn", pattern), functions.get_layer_version_by_arn, Arn=arn)
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        functions.publish_layer_version(
            LayerName="x", Content=content, CompatibleRuntimes=["x", "nodejs20.x"], CompatibleArchitectures=["y"]
        )
    told = caught.value.response["Error"]["Message"]
    assert told.startswith("2 validation errors detected: Value '[x, nodejs20.x]' at 'compatibleRuntimes' failed"), told
    assert told.endswith(
        f"; Value '[y]' at 'compatibleArchitectures' failed to satisfy constraint: Member must satisfy constraint: [{processors}]"
    ), told
