"""The Lambda API through boto3: functions, who may call them, invocations of every kind, and streamed results."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import botocore.exceptions
import pytest
import requests
from harness import ACCOUNT, REGION, Gateway, body_json, eventually, lambda_uri

ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
ECHO = """exports.handler = async (event, context) => ({
  statusCode: 200, body: JSON.stringify({arn: context.invokedFunctionArn, version: process.env.AWS_LAMBDA_FUNCTION_VERSION, event}),
});"""


def archive(files):
    """A deployment package with these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as package:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if name == "bootstrap" else 0o644) << 16
            package.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def create(gateway, name, source=ECHO, runtime="nodejs20.x", file="index.js", **options):
    """A function from one file; returns its ARN."""
    options = {"Handler": "index.handler", "Role": ROLE, "Timeout": 10, **options}
    made = gateway.client("lambda").create_function(
        FunctionName=name, Runtime=runtime, Code={"ZipFile": archive({file: source})}, **options
    )
    return made["FunctionArn"]


def invoke(gateway, name, event=None, **options):
    answer = gateway.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event or {}), **options)
    text = answer["Payload"].read().decode()
    return answer, json.loads(text) if text else None


def refused(call, code, part=""):
    """The call must fail with this error; returns the answer."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    told = caught.value.response
    assert told["Error"]["Code"] == code and part in told["Error"]["Message"], told["Error"]
    return told


@pytest.fixture
def behind(gateway):
    """Puts a function behind ANY /{proxy+} and GET / of an API: behind(arn, **integration) -> RestApi."""

    def make(arn, stage="test", **options):
        api = gateway.rest_api()
        api.proxy("ANY", "/{proxy+}", lambda_uri(arn), kind="AWS_PROXY", **options)
        api.proxy("GET", "/", lambda_uri(arn), kind="AWS_PROXY", **options)
        api.deploy(stage)
        return api

    return make


def source_arn(api, rest="*/*"):
    return f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/{rest}"


def allow(gateway, name, sid="gateway", **options):
    options = {"Principal": "apigateway.amazonaws.com", "Action": "lambda:InvokeFunction", **options}
    gateway.client("lambda").add_permission(FunctionName=name, StatementId=sid, **options)


class TestPermissions:
    """A gateway that the function's policy does not allow gets AWS's 500."""

    def denied(self, answer):
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})
        assert answer.headers["x-amzn-ErrorType"] == "InternalServerErrorException"

    def test_without_permission_then_with_it(self, gateway, behind):
        api = behind(create(gateway, "guarded"))
        self.denied(api.call("GET", "/a"))
        assert "Invalid permissions on Lambda function" in gateway.log()
        allow(gateway, "guarded", SourceArn=source_arn(api))
        assert api.call("GET", "/a").status_code == 200
        gateway.client("lambda").remove_permission(FunctionName="guarded", StatementId="gateway")
        self.denied(api.call("GET", "/a"))

    @pytest.mark.parametrize(
        "rest, method, path, allowed",
        [
            ("test/GET/{proxy+}", "GET", "/a", True),
            ("test/GET/*", "GET", "/a/b", True),
            ("*/GET/*", "POST", "/a", False),
            ("prod/*/*", "GET", "/a", False),
            ("*/GET/", "GET", "", True),
            ("*/GET/", "GET", "/a", False),
        ],
    )
    def test_source_arns(self, gateway, behind, rest, method, path, allowed):
        api = behind(create(gateway, "guarded"))
        allow(gateway, "guarded", SourceArn=source_arn(api, rest))
        answer = api.call(method, path)
        assert answer.status_code == 200 if allowed else not self.denied(answer)

    def test_other_gateways_accounts_and_services(self, gateway, behind):
        api = behind(create(gateway, "guarded"))
        allow(gateway, "guarded", "1", SourceArn=f"arn:aws:execute-api:{REGION}:{ACCOUNT}:other/*")
        allow(gateway, "guarded", "2", SourceAccount="111111111111")
        allow(gateway, "guarded", "3", Principal="s3.amazonaws.com")
        allow(gateway, "guarded", "4", Action="lambda:GetFunction")
        self.denied(api.call("GET", "/a"))
        allow(gateway, "guarded", "5", SourceAccount=ACCOUNT)
        assert api.call("GET", "/a").status_code == 200

    def test_an_alias_has_a_policy_of_its_own(self, gateway, behind):
        arn = create(gateway, "guarded", Publish=True).removesuffix(":1")
        gateway.client("lambda").create_alias(FunctionName="guarded", Name="live", FunctionVersion="1")
        api = behind(arn + ":live")
        allow(gateway, "guarded", SourceArn=source_arn(api))
        self.denied(api.call("GET", "/a"))
        allow(gateway, "guarded", Qualifier="live", SourceArn=source_arn(api))
        told = body_json(api.call("GET", "/a"))
        assert (told["arn"], told["version"]) == (arn + ":live", "1")

    def test_a_role_needs_no_permission(self, gateway, behind):
        api = behind(create(gateway, "guarded"), credentials=ROLE)
        assert api.call("GET", "/a").status_code == 200

    def test_what_no_permission_is(self, gateway):
        create(gateway, "guarded")
        told = "Member must satisfy regular expression pattern"
        for wrong in ({"Action": "s3:GetObject"}, {"sid": "a b"}, {"Principal": "a b"}):
            refused(lambda options=wrong: allow(gateway, "guarded", **options), "ValidationException", told)
        latest = lambda: allow(gateway, "guarded", Qualifier="$LATEST")  # noqa: E731
        refused(latest, "InvalidParameterValueException", "We currently do not support adding policies for $LATEST.")
        refused(lambda: gateway.client("lambda").get_policy(FunctionName="guarded"), "ResourceNotFoundException")
        absent = lambda: allow(gateway, "guarded", Qualifier="nope")  # noqa: E731
        refused(absent, "ResourceNotFoundException", "Cannot find alias arn: ")
        version = lambda: allow(gateway, "guarded", Qualifier="99")  # noqa: E731
        refused(version, "ResourceNotFoundException", "Function not found: ")
        alias = lambda: gateway.client("lambda").get_alias(FunctionName="guarded", Name="nope")  # noqa: E731
        refused(alias, "ResourceNotFoundException", "Cannot find alias arn: ")

    def test_the_policy_is_shown_and_outlives_a_restart(self, gateway, behind):
        arn = create(gateway, "guarded")
        api = behind(arn)
        allow(gateway, "guarded", SourceArn=source_arn(api))
        refused(lambda: allow(gateway, "guarded"), "ResourceConflictException", "already exists")
        client = gateway.client("lambda")
        policy = json.loads(client.get_policy(FunctionName="guarded")["Policy"])
        assert policy["Statement"] == [
            {
                "Sid": "gateway",
                "Effect": "Allow",
                "Principal": {"Service": "apigateway.amazonaws.com"},
                "Action": "lambda:InvokeFunction",
                "Resource": arn,
                "Condition": {"ArnLike": {"AWS:SourceArn": source_arn(api)}},
            }
        ]
        assert gateway.terminate() == 0
        gateway.start()
        assert api.call("GET", "/a").status_code == 200
        client.remove_permission(FunctionName="guarded", StatementId="gateway")
        refused(lambda: client.get_policy(FunctionName="guarded"), "ResourceNotFoundException")
        missing = lambda: client.remove_permission(FunctionName="guarded", StatementId="gateway")  # noqa: E731
        refused(missing, "ResourceNotFoundException")


class TestInvoke:
    def test_request_response_with_its_log(self, gateway):
        create(gateway, "f", "exports.handler = async (e) => { console.log('said'); return e; };")
        answer, told = invoke(gateway, "f", {"a": 1}, LogType="Tail")
        assert (answer["StatusCode"], answer["ExecutedVersion"], told) == (200, "$LATEST", {"a": 1})
        log = base64.b64decode(answer["LogResult"]).decode()
        assert "START RequestId" in log and "said" in log and "REPORT RequestId" in log
        assert "LogResult" not in invoke(gateway, "f")[0]

    def test_dry_run_runs_nothing(self, gateway, tmp_path):
        create(gateway, "f", f"require('fs').writeFileSync('{tmp_path}/ran', ''); exports.handler = async () => 1;")
        answer, told = invoke(gateway, "f", InvocationType="DryRun")
        assert (answer["StatusCode"], told) == (204, None)
        assert invoke(gateway, "f")[1] == 1 and (tmp_path / "ran").exists()

    def test_a_failure_is_told(self, gateway):
        create(gateway, "f", "exports.handler = async () => { throw new RangeError('no'); };")
        answer, told = invoke(gateway, "f")
        assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
        assert (told["errorType"], told["errorMessage"]) == ("RangeError", "no")

    def test_what_is_refused(self, gateway):
        create(gateway, "f")
        client = gateway.client("lambda")
        refused(lambda: invoke(gateway, "nobody"), "ResourceNotFoundException", "Function not found: arn:aws:lambda")
        refused(lambda: invoke(gateway, "f", Qualifier="9"), "ResourceNotFoundException", ":f:9")
        refused(lambda: client.invoke(FunctionName="f", Payload="{"), "InvalidRequestContentException", "Could not parse")
        large = json.dumps("x" * 6_291_456)
        whole = lambda: client.invoke(FunctionName="f", Payload=large)  # noqa: E731
        refused(whole, "RequestEntityTooLargeException", "Request must be smaller than 6291456 bytes for the InvokeFunction operation")
        event = lambda: client.invoke(FunctionName="f", Payload=json.dumps("x" * 1_048_576), InvocationType="Event")  # noqa: E731
        told = "1048578 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
        assert refused(event, "RequestEntityTooLargeException", told)["ResponseMetadata"]["HTTPStatusCode"] == 413

    def test_an_event_is_tried_again_and_ends_in_the_dead_letter_file(self, gateway, tmp_path):
        source = f"""exports.handler = async (event) => {{
          require('fs').appendFileSync('{tmp_path}/tries', 'x');
          if (event.fail) throw new Error('no');
        }};"""
        arn = create(gateway, "f", source)
        client = gateway.client("lambda")
        assert invoke(gateway, "f", {}, InvocationType="Event")[0]["StatusCode"] == 202
        eventually(lambda: (tmp_path / "tries").read_text() == "x")
        config = client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)
        assert (config["FunctionArn"], config["MaximumRetryAttempts"]) == (arn + ":$LATEST", 0)
        assert invoke(gateway, "f", {"fail": True}, InvocationType="Event")[0]["StatusCode"] == 202
        letters = gateway.data / "dead-letters.jsonl"
        letter = eventually(lambda: letters.exists() and json.loads(letters.read_text().splitlines()[0]))
        assert letter["requestPayload"] == {"fail": True}
        assert letter["requestContext"]["condition"] == "RetriesExhausted"
        assert letter["requestContext"]["approximateInvokeCount"] == 1
        assert letter["requestContext"]["functionArn"] == arn + ":$LATEST"
        assert letter["responsePayload"]["errorMessage"] == "no"
        assert letter["responseContext"]["functionError"] == "Unhandled"
        assert (tmp_path / "tries").read_text() == "xx"

    @pytest.mark.parametrize("caught", ["failed and waiting", "running"])
    def test_queued_events_outlive_a_killed_gateway(self, gateway, behind, tmp_path, caught):
        """From the Lambda API and from a method alike; each is placed once more, as the same invocation, and then done."""
        seen, mended = tmp_path / "seen", tmp_path / "mended"
        source = """const fs = require('fs');
        exports.handler = async (event, context) => {
          fs.appendFileSync(event.seen, `${context.awsRequestId} ${event.who}\\n`);
          if (fs.existsSync(event.mended)) return;
          if (event.fails) throw new Error('not yet');
          await new Promise((done) => setTimeout(done, 60000));
        };"""
        arn = create(gateway, "queued", source, Timeout=120)
        api = behind(arn, credentials=ROLE)
        where = {"restApiId": api.id, "resourceId": api.resource("/{proxy+}"), "httpMethod": "ANY"}
        api.client.put_integration(
            **where, type="AWS", integrationHttpMethod="POST", credentials=ROLE, uri=lambda_uri(arn),
            requestParameters={"integration.request.header.X-Amz-Invocation-Type": "'Event'"},
        )  # fmt: skip
        api.client.put_method_response(**where, statusCode="202")
        api.client.put_integration_response(**where, statusCode="202")
        api.deploy()
        event = {"seen": str(seen), "mended": str(mended), "fails": caught != "running"}
        answer, _ = invoke(gateway, "queued", event | {"who": "api"}, InvocationType="Event")
        assert answer["StatusCode"] == 202
        assert api.call("POST", "/a", json=event | {"who": "method"}).status_code == 202
        lines = lambda: sorted(seen.read_text().splitlines())  # noqa: E731
        eventually(lambda: len(lines()) == 2, 20)
        tried = lines()
        gateway.kill()
        mended.touch()
        gateway.start()
        eventually(lambda: len(lines()) == 4, 20)
        assert lines() == sorted(tried * 2) and {line.split()[1] for line in tried} == {"api", "method"}
        # What is done is not done again.
        eventually(lambda: (gateway.data / "events.jsonl").read_text().count("done") == 2, 10)
        gateway.kill()
        gateway.start()
        create(gateway, "other", ECHO)
        assert invoke(gateway, "other")[0]["StatusCode"] == 200
        assert len(lines()) == 4

    def test_event_invoke_configs(self, gateway):
        arn = create(gateway, "f")
        client = gateway.client("lambda")
        get = lambda: client.get_function_event_invoke_config(FunctionName="f")  # noqa: E731
        refused(get, "ResourceNotFoundException", f"The function {arn}:$LATEST doesn't have an EventInvokeConfig")
        client.put_function_event_invoke_config(FunctionName="f", MaximumEventAgeInSeconds=60)
        client.update_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1)
        config = get()
        assert (config["MaximumEventAgeInSeconds"], config["MaximumRetryAttempts"]) == (60, 1)
        listed = client.list_function_event_invoke_configs(FunctionName="f")["FunctionEventInvokeConfigs"]
        assert [each["FunctionArn"] for each in listed] == [arn + ":$LATEST"]
        client.delete_function_event_invoke_config(FunctionName="f")
        refused(get, "ResourceNotFoundException")
        with_target = lambda: client.put_function_event_invoke_config(  # noqa: E731
            FunctionName="f", DestinationConfig={"OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"}}
        )
        refused(with_target, "NotImplementedException", "DestinationConfig")

    def test_reserved_concurrency(self, gateway):
        create(gateway, "f")
        client = gateway.client("lambda")
        client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
        told = refused(lambda: invoke(gateway, "f"), "TooManyRequestsException", "Rate Exceeded.")
        assert told["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        client.delete_function_concurrency(FunctionName="f")
        assert invoke(gateway, "f")[0]["StatusCode"] == 200

    def test_an_alias_shares_its_calls_between_two_versions(self, gateway):
        client = gateway.client("lambda")
        create(gateway, "f", "exports.handler = async () => 1;", Publish=True)
        client.update_function_code(
            FunctionName="f", ZipFile=archive({"index.js": "exports.handler = async () => 2;"}), Publish=True
        )
        client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
        assert {invoke(gateway, "f", Qualifier="live")[1] for _ in range(8)} == {1}
        weights = {"AdditionalVersionWeights": {"2": 0.5}}
        alias = client.update_alias(FunctionName="f", Name="live", RoutingConfig=weights)
        assert alias["RoutingConfig"] == weights
        for version in "1", "2":
            gone = lambda number=version: client.delete_function(FunctionName="f", Qualifier=number)  # noqa: E731
            refused(gone, "ResourceConflictException", 'the following aliases reference it: ["live"]')
        # Forty calls all to one side: once in half a million million runs.
        assert {invoke(gateway, "f", Qualifier="live")[1] for _ in range(40)} == {1, 2}
        client.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1}})
        assert {invoke(gateway, "f", Qualifier="live")[1] for _ in range(8)} == {2}


STREAM = """exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.early) throw new Error('early');
  stream.setContentType('text/plain');
  stream.write('first');
  if (event.wait) await new Promise((done) => setTimeout(done, event.wait));
  if (event.fail) throw new Error('late');
  if (event.exit) process.exit(3);
  if (event.bytes) stream.write('x'.repeat(event.bytes));
  stream.write({second: true});
  stream.end();
});"""


def streamed(gateway, event, **options):
    """The pieces with the seconds at which they came, and the last event."""
    answer = gateway.client("lambda").invoke_with_response_stream(
        FunctionName="f", Payload=json.dumps(event), **options
    )
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    pieces, end, begun = [], None, time.monotonic()
    for frame in answer["EventStream"]:
        if "PayloadChunk" in frame:
            pieces.append((time.monotonic() - begun, frame["PayloadChunk"]["Payload"]))
        else:
            end = frame["InvokeComplete"]
    return pieces, end


class TestStreaming:
    def test_pieces_come_as_they_are_written(self, gateway):
        create(gateway, "f", STREAM)
        pieces, end = streamed(gateway, {"wait": 1000}, LogType="Tail")
        assert b"".join(piece for _, piece in pieces) == b'first{"second":true}'
        assert pieces[0][1] == b"first" and pieces[-1][0] - pieces[0][0] > 0.7
        assert "ErrorCode" not in end and "REPORT" in base64.b64decode(end["LogResult"]).decode()
        # The next one finds the process ready.
        assert streamed(gateway, {})[0][0][1].startswith(b"first")

    def test_a_result_larger_than_a_whole_one_may_be(self, gateway):
        create(gateway, "f", STREAM)
        pieces, end = streamed(gateway, {"bytes": 9_000_000})
        assert sum(len(piece) for _, piece in pieces) == 9_000_000 + len('first{"second":true}')
        assert "ErrorCode" not in end

    @pytest.mark.parametrize("how, said", [("fail", "late"), ("exit", "Runtime.ExitError")])
    def test_a_failure_after_the_beginning(self, gateway, how, said):
        create(gateway, "f", STREAM)
        pieces, end = streamed(gateway, {how: True})
        assert b"".join(piece for _, piece in pieces) == b"first"
        assert end["ErrorCode"] == "Unhandled" and said in end["ErrorDetails"], end
        assert b"second" in streamed(gateway, {})[0][-1][1]

    def test_a_failure_before_the_beginning(self, gateway):
        create(gateway, "f", STREAM)
        pieces, end = streamed(gateway, {"early": True})
        assert pieces == [] and json.loads(end["ErrorDetails"])["errorMessage"] == "early"

    def test_a_timeout_in_the_middle(self, gateway):
        create(gateway, "f", STREAM, Timeout=1)
        pieces, end = streamed(gateway, {"wait": 60_000})
        assert pieces[0][1] == b"first" and "Task timed out after 1.00 seconds" in end["ErrorDetails"]

    def test_a_streaming_function_invoked_as_usual(self, gateway):
        create(gateway, "f", STREAM)
        answer = gateway.client("lambda").invoke(FunctionName="f", Payload="{}")
        assert answer["Payload"].read() == b'first{"second":true}'
        answer, told = invoke(gateway, "f", {"fail": True})
        assert (answer["FunctionError"], told["errorMessage"]) == ("Unhandled", "late")

    def test_a_usual_function_invoked_with_a_stream(self, gateway):
        create(gateway, "f", "exports.handler = async (event) => event;")
        pieces, end = streamed(gateway, {"a": 1})
        assert [piece for _, piece in pieces] == [b'{"a":1}'] and "ErrorCode" not in end

    def test_status_and_headers_stand_before_eight_zeros(self, gateway):
        source = """exports.handler = awslambda.streamifyResponse(async (event, stream) => {
          stream = awslambda.HttpResponseStream.from(stream, {statusCode: 201, headers: {'X-A': 'b'}});
          stream.write('body');
          stream.end();
        });"""
        create(gateway, "f", source)
        pieces, _ = streamed(gateway, {})
        whole = b"".join(piece for _, piece in pieces)
        prelude, _, body = whole.partition(bytes(8))
        assert json.loads(prelude) == {"statusCode": 201, "headers": {"X-A": "b"}} and body == b"body"

    def test_a_client_that_leaves_disturbs_nobody(self, gateway):
        create(gateway, "f", STREAM)
        answer = gateway.client("lambda").invoke_with_response_stream(
            FunctionName="f", Payload=json.dumps({"bytes": 20_000_000})
        )
        assert next(iter(answer["EventStream"]))["PayloadChunk"]
        answer["EventStream"].close()
        assert b"second" in streamed(gateway, {})[0][-1][1]

    def test_a_runtime_of_its_own_streams_with_curl(self, gateway):
        source = """#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while :; do
  id=$(curl -sS -D - -o /dev/null $api/next | tr -d '\\r' | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: //p')
  (echo first; sleep 0.7; echo second) | curl -sS -o /dev/null -X POST -T - -H 'Transfer-Encoding: chunked' \\
    -H 'Lambda-Runtime-Function-Response-Mode: streaming' $api/$id/response
done
"""
        create(gateway, "f", source, runtime="provided.al2023", file="bootstrap")
        pieces, _ = streamed(gateway, {})
        assert [piece for _, piece in pieces] == [b"first\n", b"second\n"]
        assert pieces[1][0] - pieces[0][0] > 0.4


class TestLayers:
    def test_layers_from_publication_to_deletion(self, gateway):
        client = gateway.client("lambda")
        publish = lambda text: client.publish_layer_version(  # noqa: E731
            LayerName="shared",
            Content={"ZipFile": archive({"nodejs/node_modules/shared/index.js": f"module.exports = '{text}';"})},
            CompatibleRuntimes=["nodejs20.x"],
            Description=text,
        )
        first, second = publish("one"), publish("two")
        assert (first["Version"], second["Version"]) == (1, 2)
        assert first["LayerVersionArn"] == first["LayerArn"] + ":1" and first["Content"]["CodeSize"] > 0
        listed = client.list_layer_versions(LayerName="shared")["LayerVersions"]
        assert [(each["Version"], each["Description"]) for each in listed] == [(2, "two"), (1, "one")]
        assert [each["LatestMatchingVersion"]["Version"] for each in client.list_layers()["Layers"]] == [2]
        assert client.get_layer_version(LayerName="shared", VersionNumber=1)["CompatibleRuntimes"] == ["nodejs20.x"]
        assert client.get_layer_version_by_arn(Arn=second["LayerVersionArn"])["Description"] == "two"

        create(gateway, "f", "exports.handler = async () => require('shared');", Layers=[first["LayerVersionArn"]])
        shown = client.get_function_configuration(FunctionName="f")["Layers"]
        assert shown == [{"Arn": first["LayerVersionArn"], "CodeSize": first["Content"]["CodeSize"]}]
        assert invoke(gateway, "f")[1] == "one"
        # A deleted version stays usable to those who use it.
        client.delete_layer_version(LayerName="shared", VersionNumber=1)
        assert invoke(gateway, "f")[1] == "one"
        gone = lambda: client.get_layer_version(LayerName="shared", VersionNumber=1)  # noqa: E731
        refused(gone, "ResourceNotFoundException")
        both = [second["LayerVersionArn"]]
        client.update_function_configuration(FunctionName="f", Layers=both)
        assert invoke(gateway, "f")[1] == "two"
        client.update_function_configuration(FunctionName="f", Layers=[])
        assert "Layers" not in client.get_function_configuration(FunctionName="f")
        assert invoke(gateway, "f")[0]["FunctionError"] == "Unhandled"

    def test_the_last_layer_wins_and_a_directory_can_be_one(self, gateway, tmp_path):
        (tmp_path / "python").mkdir()
        (tmp_path / "python/shared.py").write_text("text = 'from the directory'\n")
        client = gateway.client("lambda")
        zipped = client.publish_layer_version(
            LayerName="zipped", Content={"ZipFile": archive({"python/shared.py": "text = 'zipped'"})}
        )["LayerVersionArn"]
        local = client.publish_layer_version(
            LayerName="local", Content={"S3Bucket": "hot-reload", "S3Key": str(tmp_path)}
        )["LayerVersionArn"]
        source = "import shared\ndef handler(event, context):\n    return shared.text\n"
        create(gateway, "f", source, runtime="python3.12", file="index.py", Layers=[zipped, local])
        assert invoke(gateway, "f")[1] == "from the directory"
        client.update_function_configuration(FunctionName="f", Layers=[local, zipped])
        assert invoke(gateway, "f")[1] == "zipped"

    def layer(self, gateway, name, files):
        content = {"ZipFile": archive(files)}
        return gateway.client("lambda").publish_layer_version(LayerName=name, Content=content)["LayerVersionArn"]

    def test_es_modules_import_packages_of_layers(self, gateway):
        package = lambda name, text: {  # noqa: E731
            f"nodejs/{name}/package.json": '{"exports": {"import": "./a.mjs", "require": "./a.cjs"}}',
            f"nodejs/{name}/a.mjs": f"export default 'imported {text}';",
            f"nodejs/{name}/a.cjs": f"module.exports = 'required {text}';",
        }
        layers = [
            self.layer(gateway, "first", package("node_modules/@scope/a", "a") | package("node_modules/b", "b")),
            self.layer(gateway, "second", package("node20/node_modules/b", "b of 20")),
        ]
        source = """import {createRequire} from 'node:module';
        import a from '@scope/a';
        import b from 'b';
        const missing = await import('missing').catch((error) => error.code);
        export const handler = async () => [a, b, createRequire(import.meta.url)('b'), missing];"""
        create(gateway, "f", source, file="index.mjs", Layers=layers)
        assert invoke(gateway, "f")[1] == ["imported a", "imported b of 20", "required b of 20", "ERR_MODULE_NOT_FOUND"]

    def test_layers_are_at_opt(self, gateway):
        if os.getuid() != 0:
            pytest.skip("needs a mount namespace, which root can have")
        files = {"data/a.txt": "first", "data/b.txt": "first"}
        layers = [self.layer(gateway, "first", files), self.layer(gateway, "second", {"data/b.txt": "second"})]
        source = """const fs = require('fs');
        exports.handler = async () => ({
          texts: ['a', 'b'].map((name) => fs.readFileSync(`/opt/data/${name}.txt`, 'utf8')),
          path: process.env.PATH.split(':').at(-1), libraries: process.env.LD_LIBRARY_PATH.split(':').at(-1),
        });"""
        create(gateway, "f", source, Layers=layers)
        assert invoke(gateway, "f")[1] == {"texts": ["first", "second"], "path": "/opt/bin", "libraries": "/opt/lib"}
        # Nobody else sees them.
        create(gateway, "other", "exports.handler = async () => require('fs').existsSync('/opt/data');")
        assert invoke(gateway, "other")[1] is False

    def test_a_runtime_in_a_layer(self, gateway):
        """A function of a `provided` runtime whose executable is in a layer; its own wins."""
        layer = self.layer(gateway, "runtime", {"bootstrap": BOOTSTRAP.replace("WHOSE", "layer")})
        create(gateway, "f", "no program", runtime="provided.al2023", file="index.txt", Layers=[layer])
        assert invoke(gateway, "f")[1] == "layer"
        own = BOOTSTRAP.replace("WHOSE", "own")
        create(gateway, "g", own, runtime="provided.al2023", file="bootstrap", Layers=[layer])
        assert invoke(gateway, "g")[1] == "own"
        create(gateway, "none", "no program", runtime="provided.al2023", file="index.txt")
        answer, told = invoke(gateway, "none")
        assert answer["FunctionError"] == "Unhandled" and told["errorType"] == "Runtime.InvalidEntrypoint"
        assert told["errorMessage"].endswith("Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")

    @pytest.mark.parametrize("at", ["/opt", "/var/task"])
    def test_a_wrapper_starts_the_runtime(self, gateway, at):
        wrapper = "#!/bin/sh\nprogram=$1; shift\nexport WRAPPED=yes\nexec \"$program\" --no-deprecation \"$@\"\n"
        packed = archive({"index.js": "exports.handler = async () => [process.env.WRAPPED, process.execArgv];", "bootstrap": wrapper})
        layer = self.layer(gateway, "wrapper", {"bootstrap": wrapper})
        client = gateway.client("lambda")
        client.create_function(
            FunctionName="f", Runtime="nodejs20.x", Handler="index.handler", Role=ROLE, Code={"ZipFile": packed},
            Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": f"{at}/bootstrap"}}, Layers=[layer],
        )  # fmt: skip
        wrapped, arguments = invoke(gateway, "f")[1]
        assert wrapped == "yes" and arguments[0] == "--no-deprecation"
        client.update_function_configuration(
            FunctionName="f", Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/nothing"}}
        )
        assert invoke(gateway, "f")[1]["errorMessage"].endswith("Runtime exited with error: exit status 127")

    def test_pages_and_what_layers_are_for(self, gateway):
        client = gateway.client("lambda")
        for runtime in ("python3.12", "nodejs20.x", "python3.12"):
            client.publish_layer_version(LayerName="a", Content={"ZipFile": archive({"x": runtime})}, CompatibleRuntimes=[runtime])
        for name in "b", "c":
            self.layer(gateway, name, {"x": "y"})
        listed = client.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 1}).build_full_result()
        assert [each["LayerName"] for each in listed["Layers"]] == ["a", "b", "c"]
        pages = list(client.get_paginator("list_layer_versions").paginate(LayerName="a", PaginationConfig={"PageSize": 2}))
        assert [[each["Version"] for each in page["LayerVersions"]] for page in pages] == [[3, 2], [1]]
        fitting = client.list_layers(CompatibleRuntime="nodejs20.x")["Layers"]
        assert [(each["LayerName"], each["LatestMatchingVersion"]["Version"]) for each in fitting] == [("a", 2)]
        fitting = client.list_layer_versions(LayerName="a", CompatibleRuntime="python3.12")["LayerVersions"]
        assert [each["Version"] for each in fitting] == [3, 1]
        refused(lambda: client.list_layers(MaxItems=51), "ValidationException", "less than or equal to 50")

    def test_what_is_refused(self, gateway):
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:nobody:1"
        refused(lambda: create(gateway, "f", Layers=[arn]), "InvalidParameterValueException", "does not exist")
        many = [arn.replace(":1", f":{n}") for n in range(1, 7)]
        refused(lambda: create(gateway, "f", Layers=many), "InvalidParameterValueException", "more than 5 layers")
        bad = lambda: gateway.client("lambda").publish_layer_version(LayerName="a/b", Content={"ZipFile": b""})  # noqa: E731
        refused(bad, "ValidationException")


class Unprivileged(Gateway):
    """A gateway that does not run as root, who may read everything."""

    def command_line(self):
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
        return nobody + super().command_line()


class WithoutNamespaces(Gateway):
    """A gateway that can make no namespaces, as in most containers."""

    def command_line(self):
        none = "echo 0 > /proc/sys/user/max_user_namespaces; echo 0 > /proc/sys/user/max_mnt_namespaces; exec \"$@\""
        return ["unshare", "--user", "--map-root-user", "sh", "-c", none, "sh", *super().command_line()]


class TestSecrets:
    def test_a_function_reads_neither_memory_nor_environment_of_the_gateway(self):
        source = """const fs = require('fs');
        exports.handler = async () => Object.fromEntries(['environ', 'mem', 'maps', 'cmdline'].map((name) => {
          try {
            return [name, fs.closeSync(fs.openSync(`/proc/${process.ppid}/${name}`)) || 'open'];
          } catch (error) {
            return [name, error.code];
          }
        }));"""
        # Below a folder that others may enter.
        work = Path(tempfile.mkdtemp())
        work.chmod(0o777)
        gateway = Unprivileged(work, env={"AWS_SECRET_ACCESS_KEY": "the gateway's own"}).start()
        try:
            create(gateway, "curious", source)
            _, told = invoke(gateway, "curious")
            assert told == {"environ": "EACCES", "mem": "EACCES", "maps": "EACCES", "cmdline": "open"}
        finally:
            gateway.close()
            shutil.rmtree(work)

    @pytest.mark.parametrize("kind", [Gateway, Unprivileged])
    def test_a_function_sees_nothing_that_the_gateway_keeps(self, kind):
        """Whoever the gateway is: root, who may read everything, or somebody whose functions are as much himself."""
        source = """const fs = require('fs');
        const tried = (look) => { try { return look(); } catch (error) { return error.code; } };
        exports.handler = async ({data, config}) => {
          const gateway = `/proc/${process.ppid}`;
          return {
            read: ['environ', 'mem', 'root/etc/passwd', 'cwd/secret', 'fd/3'].map((name) => tried(() => fs.readFileSync(`${gateway}/${name}`).length)),
            data: tried(() => fs.readdirSync(data)),
            config: tried(() => fs.readFileSync(config, 'utf8')),
            key: tried(() => fs.readFileSync(`${config}.key`, 'utf8')),
            unmount: require('child_process').spawnSync('umount', [data]).status,
            rights: /CapEff:\\s+(\\w+)/.exec(fs.readFileSync('/proc/self/status'))[1],
          };
        };"""
        work = Path(tempfile.mkdtemp())
        work.chmod(0o777)
        config = work / "stagedoor.toml"
        (work / "secret").write_text("a secret")
        config.with_suffix(".toml.key").write_text("a key")
        config.write_text(
            '[[certificates]]\narn = "arn:aws:acm:us-east-1:000000000000:certificate/1"\n'
            'certificate = "stagedoor.toml"\nkey = "stagedoor.toml.key"\n'
        )
        gateway = kind(work, "--config", str(config), env={"AWS_SECRET_ACCESS_KEY": "the gateway's own"}).start()
        try:
            assert gateway.data.stat().st_mode & 0o777 == 0o700
            create(gateway, "curious", source)
            _, told = invoke(gateway, "curious", {"data": str(gateway.data), "config": str(config)})
            assert told["read"] == ["EACCES"] * 5, told
            # Its own code is there still.
            assert told["data"] == ["functions"] and told["unmount"] != 0
            assert (told["config"], told["key"]) == ("", "")
            assert int(told["rights"], 16) == 0
            # It outlives a reload of the process, and the gateway's own view is whole.
            assert (gateway.data / "stagedoor.redb").exists()
        finally:
            gateway.close()
            shutil.rmtree(work)

    @pytest.mark.parametrize("kind", [Gateway, Unprivileged])
    def test_a_function_does_not_look_into_another(self, kind):
        source = """const fs = require('fs');
        exports.handler = async ({pid}) => {
          if (!pid) return process.pid;
          try { return fs.readFileSync(`/proc/${pid}/environ`, 'utf8'); } catch (error) { return error.code; }
        };"""
        work = Path(tempfile.mkdtemp())
        work.chmod(0o777)
        gateway = kind(work).start()
        try:
            for name in "f", "g":
                create(gateway, name, source, Environment={"Variables": {"SECRET": "a secret"}})
            assert invoke(gateway, "f", {"pid": invoke(gateway, "g")[1]})[1] == "EACCES"
            assert "a secret" in invoke(gateway, "f", {"pid": "self"})[1]
        finally:
            gateway.close()
            shutil.rmtree(work)

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can run functions as another user")
    def test_functions_may_run_as_another_user(self, tmp_path):
        source = """const fs = require('fs');
        exports.handler = async () => {
          fs.writeFileSync(`${process.env.HOME}/cache`, 'x');
          try { process.kill(process.ppid, 0); } catch (error) { return [process.getuid(), process.getgid(), process.getgroups(), error.code]; }
        };"""
        work = Path(tempfile.mkdtemp())
        work.chmod(0o755)
        (work / "stagedoor.toml").write_text('[functions]\nuser = "nobody"\n')
        gateway = Gateway(work, "--config", str(work / "stagedoor.toml")).start()
        try:
            create(gateway, "f", source)
            assert invoke(gateway, "f")[1] == [65534, 65534, [65534], "EPERM"]
            # Its group reaches its code, and nobody else anything, also by name.
            found = gateway.data.stat()
            assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o710, 0, 65534)
            kept = {path.name: path.stat().st_mode & 0o777 for path in gateway.data.iterdir() if path.is_file()}
            assert "stagedoor.redb" in kept and set(kept.values()) == {0o600}, kept
            for user, group, part, code in (
                (1, 1, "stagedoor.redb", 1), (65534, 65534, "stagedoor.redb", 1), (1, 1, "functions", 1), (65534, 65534, "functions", 0),
            ):  # fmt: skip
                asked = ["test", "-r", str(gateway.data / part)]
                assert subprocess.run(asked, user=user, group=group, extra_groups=[]).returncode == code, (user, part)
        finally:
            gateway.close()
            shutil.rmtree(work)
        for user, part in ("no such one", "there is no such user"), ("root", "is root"):
            (tmp_path / "stagedoor.toml").write_text(f'[functions]\nuser = "{user}"\n')
            status, _, told = Gateway(tmp_path, "--config", str(tmp_path / "stagedoor.toml")).run_to_end()
            assert status == 2 and part in told

    @pytest.mark.skipif(os.getuid() != 0, reason="needs a user namespace in which there can be no other")
    def test_without_namespaces_layers_are_on_search_paths(self, tmp_path):
        """And a function has no rights all the same; the log says what it can see."""
        gateway = WithoutNamespaces(tmp_path).start()
        try:
            client = gateway.client("lambda")
            wrapper = '#!/bin/sh\nexport WRAPPED=1\nexec "$@"\n'
            layers = [
                client.publish_layer_version(LayerName=name, Content={"ZipFile": archive(files)})["LayerVersionArn"]
                for name, files in (
                    ("first", {"nodejs/node_modules/a/index.js": "module.exports = 'a';", "python/a.py": "text = 'a'"}),
                    ("runtime", {"bootstrap": BOOTSTRAP.replace("WHOSE", "layer")}),
                    ("wrapper", {"bootstrap": wrapper}),
                )
            ]
            source = """import a from 'a'; import fs from 'fs';
            export const handler = async () => {
              let told;
              try { told = fs.readFileSync(`/proc/${process.ppid}/environ`, 'utf8'); } catch (error) { told = error.code; }
              return [a, process.env.WRAPPED, told, /CapEff:\\s+0+\\n/.test(fs.readFileSync('/proc/self/status'))];
            };"""
            variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}}
            create(gateway, "node", source, file="index.mjs", Layers=layers, Environment=variables)
            assert invoke(gateway, "node")[1] == ["a", "1", "EACCES", True]
            create(gateway, "own", "no program", runtime="provided.al2023", file="index.txt", Layers=layers[:2])
            assert invoke(gateway, "own")[1] == "layer"
            source = "import a\ndef handler(event, context):\n    return a.text\n"
            create(gateway, "python", source, runtime="python3.12", file="index.py", Layers=layers)
            assert invoke(gateway, "python")[1] == "a"
            assert "functions have no view of the files of their own" in gateway.log()
        finally:
            gateway.close()

    def test_a_function_has_an_environment_of_its_own(self, new_gateway):
        gateway = new_gateway(env={"AWS_SECRET_ACCESS_KEY": "the gateway's own", "MINE": "too"}).start()
        source, variables = "exports.handler = async () => process.env;", {"Variables": {"AB": "b"}}
        create(gateway, "f", source, Environment=variables, LoggingConfig={"LogGroup": "mine"})
        _, environment = invoke(gateway, "f")
        assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == "mine"
        assert environment["AB"] == "b" and environment["AWS_LAMBDA_FUNCTION_NAME"] == "f"
        assert "MINE" not in environment and "the gateway's own" not in environment.values()


class TestBounds:
    def test_members_outside_of_the_models_constraints(self, gateway):
        for member, value, part in (
            ("Role", "role", "at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:"),
            ("Description", "x" * 257, "at 'description' failed to satisfy constraint: Member must have length less than or equal to 256"),
            ("Timeout", 901, "at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900"),
            ("MemorySize", 10241, "at 'memorySize' failed to satisfy constraint: Member must have value less than or equal to 10240"),
            ("Architectures", ["sparc"], "Member must satisfy enum value set: [x86_64, arm64]"),
            ("TracingConfig", {"Mode": "On"}, "Member must satisfy enum value set: [Active, PassThrough]"),
            ("LoggingConfig", {"LogGroup": "a b"}, "at 'loggingConfig.logGroup' failed to satisfy constraint: Member must satisfy"),
        ):
            refused(lambda given={member: value}: create(gateway, "f", **given), "ValidationException", part)
        assert gateway.client("lambda").list_functions()["Functions"] == []
        create(gateway, "f", Publish=True)
        client = gateway.client("lambda")
        for name in "1", "a.b":
            named = lambda name=name: client.create_alias(FunctionName="f", Name=name, FunctionVersion="1")  # noqa: E731
            refused(named, "ValidationException", "(?!^[0-9]+$)([a-zA-Z0-9-_]+)")

    def test_what_is_not_kept_is_refused(self, gateway):
        """By name: nothing is stored without an effect."""
        for member, value in (
            ("EphemeralStorage", {"Size": 1024}),
            ("LogFormat", {"LogFormat": "JSON"}),
            ("VpcConfig", {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}),
            ("DeadLetterConfig", {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:q"}),
            ("KMSKeyArn", "arn:aws:kms:us-east-1:000000000000:key/1"),
            ("FileSystemConfigs", [{"Arn": "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-0123456789abcdef0", "LocalMountPath": "/mnt/a"}]),
        ):  # fmt: skip
            given = {"LoggingConfig" if member == "LogFormat" else member: value}
            refused(lambda given=given: create(gateway, "f", **given), "NotImplementedException", member)


    def test_names_of_variables_runtimes_and_archives(self, gateway):
        for name in "1A", "A", "A-B", "A B":
            variables = {"Variables": {name: "a secret"}}
            told = refused(lambda: create(gateway, "f", Environment=variables), "ValidationException", "[a-zA-Z]([a-zA-Z0-9_])+]")
            assert "a secret" not in told["Error"]["Message"]
        for name in "AWS_REGION", "_HANDLER", "AWS_ACCESS_KEY":
            variables = {"Variables": {name: "x"}}
            refused(lambda: create(gateway, "f", Environment=variables), "InvalidParameterValueException", f"Reserved keys used in this request: {name}")
        unknown = "Value cobol at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: ["
        refused(lambda: create(gateway, "f", runtime="cobol"), "InvalidParameterValueException", unknown)
        refused(lambda: create(gateway, "f", runtime="java21"), "NotImplementedException", 'the runtime "java21" is not available; use one of')
        for packed in b"", archive({}):
            make = lambda packed=packed: gateway.client("lambda").create_function(  # noqa: E731
                FunctionName="f", Runtime="nodejs20.x", Handler="index.handler", Role=ROLE, Code={"ZipFile": packed}
            )
            refused(make, "InvalidParameterValueException", "Uploaded file must be a non-empty zip")
        assert gateway.client("lambda").list_functions()["Functions"] == []


class TestLists:
    def test_pages_of_functions_versions_and_aliases(self, gateway):
        client = gateway.client("lambda")
        for name in "a", "a-b", "b":
            create(gateway, name)
        listed = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 1}).build_full_result()
        assert [each["FunctionName"] for each in listed["Functions"]] == ["a", "a-b", "b"]
        for number in range(1, 12):
            client.update_function_configuration(FunctionName="a", Description=str(number))
            assert client.publish_version(FunctionName="a")["Version"] == str(number)
            client.create_alias(FunctionName="a", Name=f"v{number}", FunctionVersion=str(number))
        pages = list(client.get_paginator("list_versions_by_function").paginate(FunctionName="a", PaginationConfig={"PageSize": 5}))
        assert [len(page["Versions"]) for page in pages] == [5, 5, 2]
        found = [each["Version"] for page in pages for each in page["Versions"]]
        assert found == ["$LATEST", *map(str, range(1, 12))]
        pages = list(client.get_paginator("list_aliases").paginate(FunctionName="a", PaginationConfig={"PageSize": 4}))
        assert [len(page["Aliases"]) for page in pages] == [4, 4, 3]
        assert {each["Name"] for page in pages for each in page["Aliases"]} == {f"v{n}" for n in range(1, 12)}
        assert [each["Name"] for each in client.list_aliases(FunctionName="a", FunctionVersion="3")["Aliases"]] == ["v3"]
        pages = list(client.get_paginator("list_functions").paginate(FunctionVersion="ALL", PaginationConfig={"PageSize": 9}))
        arns = [each["FunctionArn"].split(":function:")[1] for page in pages for each in page["Functions"]]
        assert arns == ["a:$LATEST", *(f"a:{n}" for n in range(1, 12)), "a-b:$LATEST", "b:$LATEST"]
        refused(lambda: client.list_aliases(FunctionName="a", MaxItems=10001), "ValidationException", "less than or equal to 10000")


class TestRevisions:
    def test_a_revision_that_is_not_the_last(self, gateway):
        client = gateway.client("lambda")
        create(gateway, "f", Publish=True)
        client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
        stale = {"FunctionName": "f", "RevisionId": "00000000-0000-4000-8000-000000000000"}
        permission = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com"}
        allow(gateway, "f", "kept")
        for call in (
            lambda: client.update_function_configuration(**stale, Timeout=4),
            lambda: client.update_function_code(**stale, ZipFile=archive({"index.js": ECHO})),
            lambda: client.publish_version(**stale),
            lambda: client.update_alias(**stale, Name="live"),
            lambda: client.add_permission(**stale, **permission),
            lambda: client.add_permission(**stale, **permission, Qualifier="live"),
            lambda: client.remove_permission(**stale, StatementId="kept"),
        ):
            assert refused(call, "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id.")[
                "ResponseMetadata"]["HTTPStatusCode"] == 412  # fmt: skip

    def test_a_policy_has_the_revision_of_what_it_is_for(self, gateway):
        client = gateway.client("lambda")
        create(gateway, "f", Publish=True)
        client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
        before = client.get_alias(FunctionName="f", Name="live")["RevisionId"]
        allow(gateway, "f", Qualifier="live", RevisionId=before)
        revision = client.get_policy(FunctionName="f", Qualifier="live")["RevisionId"]
        assert revision == client.get_alias(FunctionName="f", Name="live")["RevisionId"] != before
        own = client.get_function_configuration(FunctionName="f")["RevisionId"]
        client.remove_permission(FunctionName="f", Qualifier="live", StatementId="gateway", RevisionId=revision)
        assert client.get_function_configuration(FunctionName="f")["RevisionId"] == own

    def test_nothing_new_is_no_new_version(self, gateway):
        client = gateway.client("lambda")
        code = archive({"index.js": ECHO})
        create(gateway, "f", Publish=True)
        publish = lambda **options: client.publish_version(FunctionName="f", **options)["Version"]  # noqa: E731
        assert publish() == "1"
        # A permission and the same code once more change nothing that a version holds.
        allow(gateway, "f")
        client.update_function_code(FunctionName="f", ZipFile=code)
        assert publish(Description="of the version") == "1"
        client.update_function_configuration(FunctionName="f", Timeout=7)
        assert publish(Description="of the version") == "2" and publish() == "2"
        assert client.get_function_configuration(FunctionName="f", Qualifier="2")["Description"] == "of the version"
        client.update_function_configuration(FunctionName="f", Description="of the function")
        assert publish() == "3"


class TestArchives:
    def test_code_can_be_fetched(self, gateway):
        """From the address alone, as from AWS's, and as it was sent."""
        client = gateway.client("lambda")
        code = archive({"index.js": ECHO})
        client.create_function(FunctionName="f", Runtime="nodejs20.x", Handler="index.handler", Role=ROLE, Code={"ZipFile": code})
        found = client.get_function(FunctionName="f")
        fetched = requests.get(found["Code"]["Location"], timeout=10)
        assert fetched.content == code and fetched.headers["Content-Type"] == "application/zip"
        digest = base64.b64encode(hashlib.sha256(fetched.content).digest()).decode()
        assert digest == found["Configuration"]["CodeSha256"]
        layer = client.publish_layer_version(LayerName="l", Content={"ZipFile": code})
        assert requests.get(layer["Content"]["Location"], timeout=10).content == code
        again = client.get_layer_version(LayerName="l", VersionNumber=1)["Content"]["Location"]
        assert again != layer["Content"]["Location"] and requests.get(again, timeout=10).content == code
        assert requests.get(again[:-1], timeout=10).status_code == 404


class TestClients:
    """The order in which clients other than plain boto3 call."""

    def test_waiters_and_versions(self, gateway):
        client = gateway.client("lambda")
        create(gateway, "f")
        client.get_waiter("function_exists").wait(FunctionName="f", WaiterConfig={"Delay": 1, "MaxAttempts": 2})
        for waiter in "function_active", "function_active_v2", "function_updated", "function_updated_v2":
            client.get_waiter(waiter).wait(FunctionName="f", WaiterConfig={"Delay": 1, "MaxAttempts": 2})
        client.get_waiter("published_version_active").wait(
            FunctionName="f", Qualifier="$LATEST", WaiterConfig={"Delay": 1, "MaxAttempts": 2}
        )
        limits = client.get_account_settings()
        assert limits["AccountUsage"]["FunctionCount"] == 1
        assert limits["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000

    def test_terraforms_order(self, gateway):
        """aws_lambda_function, aws_lambda_alias, aws_lambda_permission: create, read, update in place, destroy."""
        client = gateway.client("lambda")
        code = archive({"index.js": ECHO})
        made = client.create_function(
            FunctionName="tf",
            Role=ROLE,
            Code={"ZipFile": code},
            Handler="index.handler",
            Runtime="nodejs20.x",
            PackageType="Zip",
            Architectures=["x86_64"],
            Description="",
            EphemeralStorage={"Size": 512},
            LoggingConfig={"LogFormat": "Text", "LogGroup": "/aws/lambda/tf"},
            MemorySize=128,
            Timeout=3,
            Publish=True,
            Environment={"Variables": {"AB": "1"}},
            Tags={"env": "test"},
            TracingConfig={"Mode": "PassThrough"},
        )
        arn = made["FunctionArn"].removesuffix(":1")
        client.get_waiter("function_active_v2").wait(FunctionName="tf")

        def read():
            found = client.get_function(FunctionName="tf")
            assert found["Configuration"]["State"] == "Active"
            assert found["Configuration"]["LastUpdateStatus"] == "Successful"
            client.list_versions_by_function(FunctionName="tf", MaxItems=10000)
            client.get_function_code_signing_config(FunctionName="tf")
            client.get_function_concurrency(FunctionName="tf")
            return found

        found = read()
        assert found["Tags"] == {"env": "test"} and found["Configuration"]["FunctionArn"] == arn
        client.create_alias(FunctionName="tf", Name="live", FunctionVersion="1", Description="")
        alias = client.get_alias(FunctionName="tf", Name="live")
        assert alias["AliasArn"] == arn + ":live"
        client.list_tags(Resource=arn)
        client.add_permission(
            FunctionName="tf",
            Qualifier="live",
            StatementId="AllowAPIGatewayInvoke",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"arn:aws:execute-api:{REGION}:{ACCOUNT}:abcdefghij/*/*",
        )
        policy = json.loads(client.get_policy(FunctionName="tf", Qualifier="live")["Policy"])
        assert policy["Statement"][0]["Resource"] == arn + ":live"
        # Changed attributes: the configuration first, then the code, then what hangs on it.
        client.update_function_configuration(
            FunctionName="tf", Environment={"Variables": {"AB": "2"}}, Timeout=5, MemorySize=256, Handler="index.handler"
        )
        client.get_waiter("function_updated_v2").wait(FunctionName="tf")
        new = archive({"index.js": ECHO + "\n// changed"})
        updated = client.update_function_code(FunctionName="tf", ZipFile=new, Architectures=["x86_64"], Publish=False)
        assert updated["CodeSha256"] != made["CodeSha256"]
        client.get_waiter("function_updated_v2").wait(FunctionName="tf")
        assert client.publish_version(FunctionName="tf")["Version"] == "2"
        client.tag_resource(Resource=arn, Tags={"more": "yes"})
        client.untag_resource(Resource=arn, TagKeys=["env"])
        client.put_function_concurrency(FunctionName="tf", ReservedConcurrentExecutions=5)
        client.update_alias(FunctionName="tf", Name="live", FunctionVersion="2", Description="")
        found = read()
        assert found["Tags"] == {"more": "yes"} and found["Concurrency"] == {"ReservedConcurrentExecutions": 5}
        assert (found["Configuration"]["Timeout"], found["Configuration"]["MemorySize"]) == (5, 256)
        client.remove_permission(FunctionName="tf", Qualifier="live", StatementId="AllowAPIGatewayInvoke")
        refused(lambda: client.get_policy(FunctionName="tf", Qualifier="live"), "ResourceNotFoundException")
        client.delete_alias(FunctionName="tf", Name="live")
        refused(lambda: client.get_alias(FunctionName="tf", Name="live"), "ResourceNotFoundException")
        client.delete_function(FunctionName="tf")
        refused(lambda: client.get_function(FunctionName="tf"), "ResourceNotFoundException", "Function not found: " + arn)

    def test_the_command_line(self, gateway, tmp_path):
        (tmp_path / "code.zip").write_bytes(archive({"index.js": ECHO}))

        def aws(*arguments):
            command = [sys.executable, "-m", "awscli", "--endpoint-url", gateway.control, "lambda", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout) if done.stdout.strip() else None

        named = ("--function-name", "cli")
        made = aws("create-function", *named, "--runtime", "nodejs20.x", "--handler", "index.handler", "--role", ROLE,
                   "--zip-file", "fileb://code.zip")  # fmt: skip
        aws("wait", "function-active-v2", *named)
        aws("add-permission", *named, "--statement-id", "s", "--action", "lambda:InvokeFunction",
            "--principal", "apigateway.amazonaws.com")  # fmt: skip
        told = aws("invoke", *named, "--payload", '{"a": 1}', "out.json")
        assert told["StatusCode"] == 200
        answer = json.loads((tmp_path / "out.json").read_text())
        assert json.loads(answer["body"])["arn"] == made["FunctionArn"]
        assert [each["FunctionName"] for each in aws("list-functions")["Functions"]] == ["cli"]
        aws("delete-function", *named)


BOOTSTRAP = """#!/bin/sh
while true; do
  head=$(mktemp)
  curl -s -D "$head" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next" > /dev/null || exit 0
  id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: *//Ip' "$head" | tr -d '\\r')
  curl -s -d '"WHOSE"' "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response" > /dev/null
done
"""

DESTRUCTIVE = """const fs = require('fs');
const LIMIT = 6291556;  // 6 MB and what AWS adds for its envelope
exports.handler = async (event) => {
  const answer = {statusCode: 200, body: 'fine'};
  switch (event.path) {
    case '/crash': process.abort();
    case '/exit': process.exit(7);
    case '/throw': setTimeout(() => { throw new Error('later'); }, 0); await new Promise(() => {});
    case '/hang': for (;;);
    case '/sleep': console.log('falling asleep'); await new Promise((done) => setTimeout(done, 60000));
    case '/leak': {
      const {spawn} = require('child_process');
      const pids = [1, 2, 3].map((n) => spawn('sleep', ['600'], {detached: n > 1, stdio: 'ignore'}).pid);
      return {...answer, body: JSON.stringify([process.pid, ...pids])};
    }
    case '/print': {
      const line = Buffer.alloc(1 << 20, 'x'); line[line.length - 1] = 10;
      for (let i = 0; i < 1024; i += 1) fs.writeSync(1, line);
      return answer;
    }
    case '/memory': { const held = []; for (;;) held.push(Buffer.alloc(16 << 20, 1)); }
    case '/child': {
      const script = "const held = []; setInterval(() => { if (held.length < 40) held.push(Buffer.alloc(16 << 20, 1)); }, 1)";
      require('child_process').spawn(process.execPath, ['-e', script], {stdio: 'ignore'});
      await new Promise(() => setInterval(() => {}, 1000));
    }
    case '/large': return {...answer, body: 'x'.repeat(LIMIT - JSON.stringify({...answer, body: ''}).length + 1)};
    case '/largest': return {...answer, body: 'x'.repeat(LIMIT - JSON.stringify({...answer, body: ''}).length)};
    case '/files': { const held = []; for (;;) held.push(fs.openSync('/dev/null')); }
    case '/pid': return {...answer, body: String(process.pid)};
    case '/wait': await new Promise((done) => setTimeout(done, 3000)); return {...answer, body: 'waited'};
    default: return answer;
  }
};"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def resident_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


class TestFailure:
    """Whatever a function does, its client gets AWS's answer in time, and nobody else sees anything."""

    @pytest.fixture
    def served(self, gateway, behind):
        """A function that does what its path says, and another one beside it whose calls never fail."""
        create(gateway, "bad", DESTRUCTIVE, Timeout=8, MemorySize=256)
        create(gateway, "good", "exports.handler = async () => ({statusCode: 200, body: 'good'});")
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
        bad, good = behind(arn + "bad", credentials=ROLE), behind(arn + "good", credentials=ROLE)
        assert good.call("GET", "/a").text == "good" and bad.call("GET", "/fine").text == "fine"
        stop, seen = threading.Event(), []

        def watch():
            while not stop.is_set():
                begun = time.monotonic()
                answer = good.call("GET", "/a")
                seen.append((answer.status_code, answer.text, time.monotonic() - begun))

        watcher = threading.Thread(target=watch)
        watcher.start()
        yield bad
        stop.set()
        watcher.join()
        assert seen and {(status, text) for status, text, _ in seen} == {(200, "good")}
        assert max(seconds for *_, seconds in seen) < 5
        assert bad.call("GET", "/fine").text == "fine"
        assert resident_mib(gateway.process.pid) < 200

    def fails(self, served, path, seconds):
        begun = time.monotonic()
        answer = served.call("GET", path)
        assert (answer.status_code, body_json(answer)) == (502, {"message": "Internal server error"})
        assert answer.headers["x-amzn-ErrorType"] == "InternalServerErrorException"
        assert time.monotonic() - begun < seconds

    @pytest.mark.parametrize("path", ["/crash", "/exit", "/throw", "/memory", "/child", "/files"])
    def test_a_crash(self, served, path):
        self.fails(served, path, 7)

    @pytest.mark.parametrize("path", ["/hang", "/sleep"])
    def test_a_hang(self, gateway, served, path):
        gateway.client("lambda").update_function_configuration(FunctionName="bad", Timeout=1)
        self.fails(served, path, 4)

    def test_leaked_processes(self, gateway, served):
        pids = body_json(served.call("GET", "/leak"))
        assert all(alive(pid) for pid in pids)
        served.call("GET", "/exit")
        eventually(lambda: not any(alive(pid) for pid in pids), 5, "the end of the children")

    def test_a_gigabyte_of_output(self, gateway, served):
        before = resident_mib(gateway.process.pid)
        most, done = [0.0], threading.Event()

        def measure():
            while not done.wait(0.02):
                most[0] = max(most[0], resident_mib(gateway.process.pid))

        meter = threading.Thread(target=measure)
        meter.start()
        gateway.client("lambda").update_function_configuration(FunctionName="bad", Timeout=28)
        answer = served.call("GET", "/print")
        done.set()
        meter.join()
        assert (answer.status_code, answer.text) == (200, "fine")
        assert most[0] - before < 100
        assert gateway.log_path.stat().st_size < 64 << 20

    def test_a_result_of_6_mb_and_1(self, served):
        self.fails(served, "/large", 7)
        assert served.call("GET", "/largest").status_code == 200

    def test_killed_in_flight(self, gateway, served):
        pid = int(served.call("GET", "/pid").text)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(served.call("GET", "/sleep")))
        thread.start()
        eventually(lambda: "falling asleep" in gateway.log(), 5)
        os.kill(pid, signal.SIGKILL)
        thread.join(5)
        assert [answer.status_code for answer in answers] == [502]
