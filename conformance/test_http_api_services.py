"""First-class service integrations of HTTP APIs, against moto's server standing in for AWS."""

import json
import os
import time

import pytest
from harness import REGION, body_json, eventually
from test_http_api_traffic import HttpApi

ROLE = "arn:aws:iam::000000000000:role/gateway"


@pytest.fixture
def api(new_gateway, moto):
    gateway = new_gateway(env={"AWS_ENDPOINT_URL": moto}).start()
    return HttpApi(gateway)


def service(api, key, subtype, **parameters):
    integration = api.integration(
        IntegrationType="AWS_PROXY", IntegrationSubtype=subtype, PayloadFormatVersion="1.0", CredentialsArn=ROLE,
        RequestParameters=parameters,
    )  # fmt: skip
    return api.route(key, integration)


def test_queues(api, aws):
    queue = aws("sqs").create_queue(QueueName="q")["QueueUrl"]
    attributes = '{"kind": {"DataType": "String", "StringValue": "${request.header.kind}"}}'
    service(
        api, "POST /send", "SQS-SendMessage", QueueUrl=queue, MessageBody="$request.body.message",
        MessageAttributes=attributes, Region=REGION,
    )  # fmt: skip
    service(api, "GET /receive", "SQS-ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages="1")
    service(api, "DELETE /{proxy+}", "SQS-DeleteMessage", QueueUrl=queue, ReceiptHandle="$request.querystring.receipt")
    service(api, "POST /purge", "SQS-PurgeQueue", QueueUrl=queue)
    answer = api.call("POST", "/send", data=json.dumps({"message": "hello & goodbye"}), headers={"kind": "greeting"})
    assert answer.status_code == 200 and "SendMessageResponse" in answer.text, answer.text
    (message,) = aws("sqs").receive_message(QueueUrl=queue, MessageAttributeNames=["All"], VisibilityTimeout=0)["Messages"]
    assert message["Body"] == "hello & goodbye"
    assert message["MessageAttributes"]["kind"]["StringValue"] == "greeting"
    answer = api.call("GET", "/receive")
    assert "hello &amp; goodbye" in answer.text, answer.text
    receipt = answer.text.split("<ReceiptHandle>")[1].split("<")[0]
    assert api.call("DELETE", "/x", params={"receipt": receipt}).status_code == 200
    count = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert count["ApproximateNumberOfMessages"] == count["ApproximateNumberOfMessagesNotVisible"] == "0"
    api.call("POST", "/send", data='{"message": "again"}')
    assert api.call("POST", "/purge").status_code == 200
    assert "Messages" not in aws("sqs").receive_message(QueueUrl=queue)


def test_events(api, aws):
    queue = aws("sqs").create_queue(QueueName="events")["QueueUrl"]
    arn = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events = aws("events")
    events.put_rule(Name="r", EventPattern=json.dumps({"source": ["mine"]}))
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
    service(
        api, "POST /", "EventBridge-PutEvents", Detail="$request.body.detail", DetailType="t", Source="mine",
        Resources="arn:x", Time="$request.body.time",
    )  # fmt: skip
    answer = api.call("POST", "/", data=json.dumps({"detail": {"a": 1}, "time": "2020-01-02T03:04:05Z"}))
    assert body_json(answer)["FailedEntryCount"] == 0
    (message,) = eventually(lambda: aws("sqs").receive_message(QueueUrl=queue).get("Messages"))
    event = json.loads(message["Body"])
    assert (event["detail"], event["detail-type"], event["resources"]) == ({"a": 1}, "t", ["arn:x"])
    assert event["time"] == "2020-01-02T03:04:05Z"


def test_streams(api, aws):
    aws("kinesis").create_stream(StreamName="s", ShardCount=1)
    service(
        api, "POST /", "Kinesis-PutRecord", StreamName="s", Data="$request.body.data", PartitionKey="$request.header.key"
    )
    answer = body_json(api.call("POST", "/", data='{"data": "hello"}', headers={"key": "k"}))
    shard = aws("kinesis").get_shard_iterator(
        StreamName="s", ShardId=answer["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    (record,) = aws("kinesis").get_records(ShardIterator=shard)["Records"]
    assert (record["Data"], record["PartitionKey"]) == (b"hello", "k")
    assert record["SequenceNumber"] == answer["SequenceNumber"]


def test_state_machines(api, aws):
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = aws("iam").create_role(RoleName=f"r{time.time_ns()}", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    machine = aws("stepfunctions").create_state_machine(name="m", definition=definition, roleArn=role)["stateMachineArn"]
    service(api, "POST /start", "StepFunctions-StartExecution", StateMachineArn=machine, Input="$request.body", Name="n")
    service(
        api, "POST /stop", "StepFunctions-StopExecution", ExecutionArn="$request.body.arn", Cause="c", Error="$context.stage"
    )
    execution = body_json(api.call("POST", "/start", data='{"a": 1}'))["executionArn"]
    found = aws("stepfunctions").describe_execution(executionArn=execution)
    assert (json.loads(found["input"]), found["name"]) == ({"a": 1}, "n")
    answer = api.call("POST", "/stop", data=json.dumps({"arn": execution}))
    assert answer.status_code == 200 and "stopDate" in body_json(answer), answer.text
    # What the service refuses the client is told with the service's status.
    assert api.call("POST", "/stop", data='{"arn": "no"}').status_code == 400


def test_synchronous_executions(new_gateway, echo):
    """moto fails at these: a server that tells what it was asked stands in for it."""
    api = HttpApi(new_gateway(env={"AWS_ENDPOINT_URL_SFN": echo.url}).start())
    service(api, "POST /", "StepFunctions-StartSyncExecution", StateMachineArn="arn:m", Input="$request.body.in", Name="n")
    sent = body_json(api.call("POST", "/", data='{"in": {"b": 2}}'))
    assert json.loads(sent["body"]) == {"stateMachineArn": "arn:m", "input": '{"b":2}', "name": "n"}
    assert sent["headers"]["x-amz-target"] == "AWSStepFunctions.StartSyncExecution"
    assert f"/{REGION}/states/aws4_request" in sent["headers"]["authorization"]


def test_configurations(new_gateway, echo):
    """moto has no data plane of AppConfig: a server that tells what it was asked stands in for it."""
    api = HttpApi(new_gateway(env={"AWS_ENDPOINT_URL_APPCONFIG": echo.url + "/base"}).start())
    service(
        api, "GET /", "AppConfig-GetConfiguration", Application="a b", Environment="e", Configuration="c",
        ClientId="$request.querystring.client",
    )  # fmt: skip
    sent = body_json(api.call("GET", "/?client=me%26you"))
    assert sent["path"] == "/base/applications/a%20b/environments/e/configurations/c"
    assert sent["query"] == {"client_id": ["me&you"]}
    assert f"/{REGION}/appconfig/aws4_request" in sent["headers"]["authorization"]


def test_without_an_endpoint_or_keys_it_is_refused(new_gateway):
    env = {name: "" for name in os.environ if name.startswith("AWS_")}
    api = HttpApi(new_gateway(env=env).start())
    service(api, "GET /", "SQS-PurgeQueue", QueueUrl="http://q")
    stage = api.client.get_stage(ApiId=api.id, StageName="$default")
    assert "AWS_ACCESS_KEY_ID" in stage["LastDeploymentStatusMessage"]
    assert api.call("GET", "/").status_code == 404
