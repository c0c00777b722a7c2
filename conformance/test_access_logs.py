"""A stage's access log: formats, refusals, destinations, and nothing lost at the end."""

import csv
import io
import json
import os
import re
import signal
import xml.etree.ElementTree as ElementTree

import botocore.exceptions
import pytest
from authorization import Guarded
from harness import ACCOUNT, REGION, eventually

GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:access"
# The four formats of the developer guide, on one line each.
CLF = (
    "$context.identity.sourceIp $context.identity.caller $context.identity.user [$context.requestTime] "
    '"$context.httpMethod $context.resourcePath $context.protocol" '
    "$context.status $context.responseLength $context.requestId"
)
NAMES = {
    "requestId": "requestId", "ip": "identity.sourceIp", "caller": "identity.caller", "user": "identity.user",
    "requestTime": "requestTime", "httpMethod": "httpMethod", "resourcePath": "resourcePath", "status": "status",
    "protocol": "protocol", "responseLength": "responseLength",
}  # fmt: skip
JSON = "{ " + ", ".join(f'"{name}":"$context.{variable}"' for name, variable in NAMES.items()) + " }"
XML = (
    '<request id="$context.requestId"> '
    + " ".join(f"<{name}>$context.{variable}</{name}>" for name, variable in list(NAMES.items())[1:])
    + " </request>"
)
CSV = ",".join(f"$context.{variable}" for variable in NAMES.values())


@pytest.fixture
def logging_gateway(new_gateway):
    """A gateway whose configuration names a file for every log group."""
    gateway = new_gateway()
    config = gateway.work / "stagedoor.toml"
    config.write_text(f"[[log_destinations]]\narn = 'arn:aws:logs:*'\nfile = '{gateway.work}/access.log'\n")
    gateway.arguments = ["--config", str(config)]
    gateway.access_log = gateway.work / "access.log"
    return gateway.start()


def set_log(api, format, stage="test", arn=GROUP):
    patch = [
        {"op": "replace", "path": "/accessLogSettings/destinationArn", "value": arn},
        {"op": "replace", "path": "/accessLogSettings/format", "value": format},
    ]
    return api.client.update_stage(restApiId=api.id, stageName=stage, patchOperations=patch)


def lines(path, count):
    """The file's lines once there are so many."""
    return eventually(lambda: (found := path.read_text().splitlines()) and len(found) >= count and found, what="lines")


def logged_api(gateway, format):
    api = gateway.rest_api()
    api.mock("GET", "/pets/{id}", "0123456789")
    api.deploy()
    set_log(api, format)
    return api


def check_fields(fields, answer):
    assert fields["requestId"] == answer.headers["x-amzn-RequestId"]
    assert (fields["ip"], fields["caller"], fields["user"]) == ("127.0.0.1", "-", "-")
    assert re.fullmatch(r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000", fields["requestTime"])
    assert (fields["httpMethod"], fields["resourcePath"], fields["protocol"]) == ("GET", "/pets/{id}", "HTTP/1.1")
    assert (fields["status"], fields["responseLength"]) == ("200", "10")


@pytest.mark.parametrize("format", [CLF, JSON, XML, CSV], ids=["clf", "json", "xml", "csv"])
def test_the_formats_of_the_guide(logging_gateway, format):
    api = logged_api(logging_gateway, format)
    answer = api.call("GET", "/pets/1?q=x")
    (line,) = lines(logging_gateway.access_log, 1)
    if format is CLF:
        pattern = r'(\S+) (\S+) (\S+) \[(.+)\] "(\S+) (\S+) (\S+)" (\d+) (\d+) (\S+)'
        order = "ip caller user requestTime httpMethod resourcePath protocol status responseLength requestId"
        fields = dict(zip(order.split(), re.fullmatch(pattern, line).groups(), strict=True))
    elif format is JSON:
        fields = json.loads(line)
    elif format is XML:
        tree = ElementTree.fromstring(line)
        fields = {"requestId": tree.attrib["id"], **{child.tag: child.text for child in tree}}
    else:
        fields = dict(zip(NAMES, next(csv.reader(io.StringIO(line))), strict=True))
    check_fields(fields, answer)


def test_failures_and_what_no_phase_knows(logging_gateway, echo):
    names = [
        "path", "requestId", "status", "error.message", "error.messageString", "error.responseType", "integration.status",
        "integration.error", "integrationErrorMessage", "authorizer.principalId", "authorizer.claims.sub",
        "identity.apiKeyId", "wafResponseCode", "customDomain.basePathMatched", "isCanaryRequest", "nonsense",
    ]  # fmt: skip
    api = logging_gateway.rest_api()
    api.proxy("GET", "/", echo.url + "/status/418")
    api.proxy("GET", "/closed", "http://127.0.0.1:1/")
    api.deploy()
    set_log(api, "|".join(f"$context.{name}" for name in names))
    api.call("GET", "/none")
    api.call("GET", "/")
    api.call("GET", "/closed")
    # Two workers write in no common order.
    found = {line.split("|")[0]: dict(zip(names, line.split("|"), strict=True)) for line in lines(logging_gateway.access_log, 3)}
    missing, teapot, closed = found["/test/none"], found["/test/"], found["/test/closed"]
    assert missing["status"] == "403" and missing["error.message"] == "Missing Authentication Token"
    assert missing["error.messageString"] == '"Missing Authentication Token"'
    assert missing["error.responseType"] == "MISSING_AUTHENTICATION_TOKEN"
    assert (teapot["status"], teapot["integration.status"], teapot["integration.error"]) == ("418", "418", "-")
    assert (closed["status"], closed["error.responseType"]) == ("504", "INTEGRATION_FAILURE")
    assert closed["integration.error"] == closed["integrationErrorMessage"] != "-"
    for fields in (missing, teapot, closed):
        assert fields["isCanaryRequest"] == "-"
        assert {fields[name] for name in names[9:14]} | {fields["nonsense"]} == {"-"}


# The variables of REST APIs that AWS documents for access logs, and what they are for a plain request. `-`: nothing there.
VARIABLES = {
    "accountId": r"\d{12}", "apiId": "API", "deploymentId": r"\w+", "domainName": "API\\.execute-api\\.localhost", "domainPrefix": "API",
    "endpointType": "EDGE", "extendedRequestId": r"[\w+/]+=*", "httpMethod": "GET", "path": "/test/pets/1", "protocol": "HTTP/1.1",
    "requestId": r"[0-9a-f-]{36}", "requestTime": r"\d\d/\w+/\d{4}:\d\d:\d\d:\d\d \+0000", "requestTimeEpoch": r"\d{13}",
    "resourceId": r"\w+", "resourcePath": r"/pets/\{id\}", "responseLatency": r"\d+", "responseLength": r"\d+", "stage": "test",
    "status": "200", "xrayTraceId": r"1-[0-9a-f]{8}-[0-9a-f]{24}", "identity.sourceIp": "127.0.0.1", "identity.userAgent": "me",
    "integration.integrationStatus": r"\d+|-", "integration.latency": r"\d+", "integration.status": "200",
    "integrationLatency": r"\d+", "integrationStatus": "200", "integration.responseTransferMode": "BUFFERED",
    "integration.timeToAllHeaders": r"\d+",
} | dict.fromkeys(
    """authenticate.error authenticate.latency authenticate.status authorize.error authorize.latency authorize.status
    authorizer.claims.sub authorizer.error authorizer.integrationLatency authorizer.integrationStatus authorizer.latency
    authorizer.principalId authorizer.anything authorizer.requestId authorizer.status awsEndpointRequestId
    customDomain.basePathMatched error.message error.messageString error.responseType error.validationErrorString
    identity.accountId identity.apiKey identity.apiKeyId identity.caller identity.clientCert.clientCertPem
    identity.clientCert.issuerDN identity.clientCert.serialNumber identity.clientCert.subjectDN
    identity.clientCert.validity.notAfter identity.clientCert.validity.notBefore identity.cognitoAuthenticationProvider
    identity.cognitoAuthenticationType identity.cognitoIdentityId identity.cognitoIdentityPoolId identity.principalOrgId
    identity.user identity.userArn identity.vpcId identity.vpceId integration.error integration.requestId
    integration.timeToFirstContent integrationErrorMessage isCanaryRequest cipherSuite tlsVersion requestOverride.header.x
    requestOverride.path.x requestOverride.querystring.x responseOverride.header.x responseOverride.status waf.error
    waf.latency waf.status wafResponseCode webaclArn""".split(),
    "-",
)  # fmt: skip


def test_every_variable(logging_gateway, echo):
    api = logging_gateway.rest_api()
    api.proxy("GET", "/pets/{id}", echo.url)
    api.deploy()
    # A format has at most 3 KB.
    names = list(VARIABLES)
    found = {}
    for part in names[:40], names[40:]:
        set_log(api, "|".join(f"$context.{name}" for name in ["requestId", *part]))
        request_id = api.call("GET", "/pets/1", headers={"User-Agent": "me"}).headers["x-amzn-RequestId"]

        def line(request_id=request_id):
            return next((line for line in lines(logging_gateway.access_log, 1) if line.startswith(request_id)), None)

        found |= dict(zip(part, eventually(line, what="the request's line").split("|")[1:], strict=True))
    for name, pattern in VARIABLES.items():
        assert re.fullmatch(pattern.replace("API", api.id), found[name]), (name, found[name])


def test_what_an_authorizer_did(logging_gateway, tmp_path):
    """The call of its function, of which a remembered answer has none."""
    names = ["status", "latency", "integrationLatency", "integrationStatus", "requestId", "principalId", "error"]
    api = Guarded(logging_gateway, tmp_path)
    set_log(api.api, "|".join(["$context.requestId", *(f"$context.authorizer.{name}" for name in names)]))

    def logged(token):
        sent = api.get(Authorization=token).headers["x-amzn-RequestId"]
        line = eventually(
            lambda: [line for line in lines(logging_gateway.access_log, 1) if line.startswith(sent)], what="the request's line"
        )[0]
        found = dict(zip(names, line.split("|")[1:], strict=True))
        return tuple(re.sub(r"^\d+$", "n", found[name]) for name in ("latency", "integrationLatency")) + tuple(
            "id" if re.fullmatch(r"[0-9a-f-]{36}", found[name]) else found[name] for name in names[:1] + names[3:6]
        )

    assert logged("allow") == ("n", "n", "200", "200", "id", "user-allow")
    assert logged("allow") == ("n", "-", "200", "-", "-", "user-allow")
    assert logged("unauthorized") == ("n", "n", "401", "200", "id", "-")
    assert logged("fail") == ("n", "n", "500", "200", "id", "-")
    assert logged("") == ("n", "-", "401", "-", "-", "-")
    logging_gateway.client("lambda").delete_function(FunctionName="authorizer")
    assert logged("other") == ("n", "n", "500", "404", "id", "-")


def test_length_and_latency_of_a_streamed_body(logging_gateway, raw_origin):
    def play(link):
        link.recv(65536)
        link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")

    api = logging_gateway.rest_api()
    api.proxy("GET", "/", raw_origin(play).url)
    api.deploy()
    set_log(api, "$context.requestId $context.responseLength $context.responseLatency $context.integration.latency")
    assert api.call("GET", "/").text == "hello world"
    (line,) = lines(logging_gateway.access_log, 1)
    _, length, latency, integration = line.split()
    assert length == "11"
    assert int(latency) >= int(integration) >= 0


def test_a_client_cannot_forge_lines(logging_gateway):
    api = logged_api(logging_gateway, '$context.requestId "$context.identity.userAgent" $context.path')
    api.call("GET", "/pets/a%0D%0Ab", headers={"User-Agent": 'x"\ty'})
    (line,) = lines(logging_gateway.access_log, 1)
    assert line.endswith('"x"\ty" /test/pets/a%0D%0Ab')


def test_what_aws_refuses(gateway):
    api = gateway.rest_api()
    api.mock("GET", "/", "x")
    api.deploy()
    refused = {
        "$context.status": "Access Log format must include either $context.requestId or $context.extendedRequestId",
        "$context.requestId\n$context.status": "Access Log format must be single line, new line character is allowed",
        "$context.requestId" + "x" * 3072: "Access Log format must include either",
        "$context.requestId " + "x" * 3072: "Access Log format must not be longer than 3072 bytes",
        "": "Access Log value must not be empty",
    }
    for format, message in refused.items():
        with pytest.raises(botocore.exceptions.ClientError) as error:
            set_log(api, format)
        assert error.value.response["Error"]["Code"] == "BadRequestException"
        assert error.value.response["Error"]["Message"].startswith(message)
    with pytest.raises(botocore.exceptions.ClientError, match="Invalid ARN specified in the request"):
        set_log(api, "$context.requestId", arn="access.log")
    assert "accessLogSettings" not in api.client.get_stage(restApiId=api.id, stageName="test")
    # A line end at the end is allowed, and a format without a destination logs nothing.
    shown = set_log(api, "$context.extendedRequestId\n")["accessLogSettings"]
    assert shown == {"destinationArn": GROUP, "format": "$context.extendedRequestId\n"}


def test_standard_output_where_no_file_is_named(gateway):
    api = logged_api(gateway, "access-line $context.requestId $context.status")
    answer = api.call("GET", "/pets/1")
    line = f"access-line {answer.headers['x-amzn-RequestId']} 200"
    eventually(lambda: line in gateway.log().splitlines(), what="the line on standard output")


@pytest.mark.parametrize("how", ["rename", "hang-up"])
def test_rotation(logging_gateway, how):
    log = logging_gateway.access_log
    api = logged_api(logging_gateway, "$context.requestId $context.status")
    api.call("GET", "/pets/1")
    lines(log, 1)
    old = log.with_suffix(".1")
    log.rename(old)
    if how == "hang-up":
        logging_gateway.process.send_signal(signal.SIGHUP)

    def arrives():
        api.call("GET", "/pets/1")
        return log.exists() and log.read_text()

    # A renamed file is noticed within a second; a hang-up at once.
    assert eventually(arrives, what="a line in a new file").endswith(" 200\n")
    assert old.read_text().endswith(" 200\n")


def test_nothing_is_lost_at_the_end(logging_gateway):
    api = logged_api(logging_gateway, "$context.requestId")
    ids = [api.call("GET", "/pets/1").headers["x-amzn-RequestId"] for _ in range(50)]
    assert logging_gateway.terminate() == 0
    assert sorted(logging_gateway.access_log.read_text().splitlines()) == sorted(ids)


def test_turned_off_again(logging_gateway):
    api = logged_api(logging_gateway, "$context.requestId")
    first = api.call("GET", "/pets/1").headers["x-amzn-RequestId"]
    patch = [{"op": "remove", "path": "/accessLogSettings"}]
    api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)
    api.call("GET", "/pets/1")
    assert logging_gateway.terminate() == 0
    assert logging_gateway.access_log.read_text().splitlines() == [first]


def test_a_file_that_cannot_be_written_stops_the_start(new_gateway, tmp_path):
    config = tmp_path / "stagedoor.toml"
    config.write_text(f"[[log_destinations]]\narn = '*'\nfile = '{os.devnull}/no/access.log'\n")
    code, _, error = new_gateway("--config", str(config)).run_to_end()
    assert code == 2 and "log_destinations: cannot write" in error
