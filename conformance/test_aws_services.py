"""REST APIs in front of AWS's services (`type: AWS`), against moto's server standing in for AWS."""

import base64
import json
import os

import pytest
from botocore.exceptions import ClientError
from harness import REGION, body_json, eventually

ROLE = "arn:aws:iam::000000000000:role/gateway"
FORM = "'application/x-www-form-urlencoded'"
HEADER = "integration.request.header."


@pytest.fixture
def api(new_gateway, moto):
    return new_gateway(env={"AWS_ENDPOINT_URL": moto}).start().rest_api()


def service(api, verb, path, what, *, template=None, mapped=None, options=None, responses=None, **integration):
    """A method that calls `service:action/…` or `service:path/…`. Responses are by status: (pattern, options)."""
    api.method(verb, path, **(options or {}))
    where = {"restApiId": api.id, "resourceId": api.resource(path), "httpMethod": verb}
    integration = {"integrationHttpMethod": "POST", "credentials": ROLE, **integration}
    if template is not None:
        integration["requestTemplates"] = {"application/json": template}
    if mapped:
        integration["requestParameters"] = mapped
    uri = f"arn:aws:apigateway:{REGION}:{what}"
    api.client.put_integration(**where, type="AWS", uri=uri, **integration)
    for status, (pattern, response) in (responses or {"200": (None, {}), "400": (r"4\d\d", {})}).items():
        api.client.put_method_response(
            **where, statusCode=status, responseParameters={name: False for name in response.get("responseParameters", {})}
        )
        chosen = {"selectionPattern": pattern} if pattern else {}
        api.client.put_integration_response(**where, statusCode=status, **chosen, **response)


def message_in(aws, queue):
    (message,) = eventually(lambda: aws("sqs").receive_message(QueueUrl=queue).get("Messages"))
    return message["Body"]


def test_queue_a_message(api, aws):
    queue = aws("sqs").create_queue(QueueName="orders")["QueueUrl"]
    account = queue.split("/")[-2]
    template = "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"
    form = {HEADER + "Content-Type": FORM}
    service(api, "POST", "/form", f"sqs:path/{account}/orders", template=template, mapped=form)
    parameters = {"method.request.querystring.text": False}
    mapped = {
        **form,
        "integration.request.querystring.QueueUrl": f"'{queue}'",
        "integration.request.querystring.MessageBody": "method.request.querystring.text",
    }
    service(
        api, "GET", "/query", "sqs:action/SendMessage&Version=2012-11-05", mapped=mapped, integrationHttpMethod="GET",
        options={"requestParameters": parameters},
    )  # fmt: skip
    api.deploy()
    answer = api.call("POST", "/form", data='{"a": "b & c"}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 200 and "MessageId" in answer.text, answer.text
    assert message_in(aws, queue) == '{"a": "b & c"}'
    answer = api.call("GET", "/query", params={"text": "x & y"})
    assert answer.status_code == 200, answer.text
    assert message_in(aws, queue) == "x & y"


def test_publish_to_a_topic(api, aws):
    queue = aws("sqs").create_queue(QueueName="subscriber")["QueueUrl"]
    arn = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = aws("sns").create_topic(Name="t")["TopicArn"]
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    form = {HEADER + "Content-Type": FORM}
    template = f"Action=Publish&TopicArn=$util.urlEncode('{topic}')&Message=$util.urlEncode($input.path('$.text'))"
    service(api, "POST", "/form", "sns:path//", template=template, mapped=form)
    mapped = {
        **form,
        "integration.request.querystring.TopicArn": f"'{topic}'",
        "integration.request.querystring.Message": "method.request.body.text",
    }
    service(api, "POST", "/query", "sns:action/Publish", mapped=mapped)
    api.deploy()
    for path, text in (("/form", "hello & goodbye"), ("/query", "again")):
        answer = api.call("POST", path, json={"text": text})
        assert answer.status_code == 200, answer.text
        assert json.loads(message_in(aws, queue))["Message"] == text


def test_put_and_get_an_item(api, aws):
    key = {"AttributeName": "id", "AttributeType": "S"}
    aws("dynamodb").create_table(
        TableName="pets", AttributeDefinitions=[key], KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )  # fmt: skip
    put = """{"TableName": "pets", "Item": {"id": {"S": "$input.path('$.id')"}, "kind": {"S": "$input.path('$.kind')"}}}"""
    get = """{"TableName": "pets", "Key": {"id": {"S": "$input.params('id')"}}}"""
    pet = """#set($item = $input.path('$.Item')){"id": "$item.id.S", "kind": "$item.kind.S"}"""
    missing = {"responseTemplates": {"application/json": """{"error": "$input.path('$.__type')"}"""}}
    service(api, "POST", "/pets", "dynamodb:action/PutItem", template=put)
    responses = {"200": (None, {"responseTemplates": {"application/json": pet}})}
    service(api, "GET", "/pets/{id}", "dynamodb:action/GetItem", template=get, responses=responses)
    responses = {"200": ("200", {}), "404": ("400", missing)}
    service(api, "GET", "/none", "dynamodb:action/GetItem", template=get.replace("pets", "none"), responses=responses)
    api.deploy()
    answer = api.call("POST", "/pets", json={"id": "7", "kind": "dog"})
    assert (answer.status_code, body_json(answer)) == (200, {}), answer.text
    assert aws("dynamodb").get_item(TableName="pets", Key={"id": {"S": "7"}})["Item"]["kind"] == {"S": "dog"}
    assert body_json(api.call("GET", "/pets/7")) == {"id": "7", "kind": "dog"}
    answer = api.call("GET", "/none")
    assert answer.status_code == 404 and "ResourceNotFoundException" in body_json(answer)["error"]


BINARY = bytes(range(256)) * 9


@pytest.mark.parametrize("uri", ["s3:path/{bucket}/{key}", "files.s3:path/{key}"])
def test_put_and_get_an_object(new_gateway, aws, moto, uri):
    gateway = new_gateway(env={"AWS_ENDPOINT_URL_S3": moto}).start()
    api = gateway.rest_api(binaryMediaTypes=["image/png"])
    aws("s3").create_bucket(Bucket="files")
    parameters = {f"method.request.path.{name}": True for name in ("bucket", "key")}
    parameters["method.request.header.Content-Type"] = False
    mapped = {f"integration.request.path.{name}": f"method.request.path.{name}" for name in ("bucket", "key")}
    mapped[HEADER + "Content-Type"] = "method.request.header.Content-Type"
    told = {"responseParameters": {"method.response.header.Content-Type": "integration.response.header.Content-Type"}}
    responses = {"200": (None, told), "404": ("404", {})}
    for verb in ("PUT", "GET", "DELETE"):
        service(
            api, verb, "/{bucket}/{key+}", uri, mapped=mapped, integrationHttpMethod=verb, responses=responses,
            options={"requestParameters": parameters},
        )  # fmt: skip
    api.deploy()
    answer = api.call("PUT", "/files/a%20b+c/(x)=%C3%A9", data="hello", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 200, answer.text
    stored = aws("s3").get_object(Bucket="files", Key="a b+c/(x)=é")
    assert (stored["Body"].read(), stored["ContentType"]) == (b"hello", "text/plain")
    answer = api.call("GET", "/files/a%20b+c/(x)=%C3%A9")
    assert (answer.text, answer.headers["content-type"]) == ("hello", "text/plain")
    api.call("PUT", "/files/p.png", data=BINARY, headers={"Content-Type": "image/png"})
    assert aws("s3").get_object(Bucket="files", Key="p.png")["Body"].read() == BINARY
    # Binary goes to those who accept it, and as base64 to the others.
    assert api.call("GET", "/files/p.png", headers={"Accept": "image/png"}).content == BINARY
    assert base64.b64decode(api.call("GET", "/files/p.png", headers={"Accept": "text/plain"}).content) == BINARY
    api.call("DELETE", "/files/p.png")
    assert api.call("GET", "/files/p.png").status_code == 404


def test_actions_of_s3(api, aws):
    """By the form that the API reference has for `GetObject`, whose parameters may be mapped."""
    aws("s3").create_bucket(Bucket="acted")
    parameters = {"method.request.path.key": True}
    mapped = {"integration.request.path.object": "method.request.path.key"}
    actions = {
        "PUT": "PutObject&Bucket=acted&Key={object}",
        "GET": "GetObject&Bucket=acted&Key={object}",
        "DELETE": "DeleteObject&Bucket=acted&Key={object}",
    }
    for verb, action in actions.items():
        service(
            api, verb, "/{key+}", f"s3:action/{action}", mapped=mapped, integrationHttpMethod=verb,
            options={"requestParameters": parameters}, responses={"200": (None, {}), "404": ("404", {})},
        )  # fmt: skip
    service(api, "GET", "/", "s3:action/ListObjectsV2&Bucket=acted&prefix=a", integrationHttpMethod="GET")
    api.deploy()
    assert api.call("PUT", "/a/b%20c", data="hello").status_code == 200
    assert aws("s3").get_object(Bucket="acted", Key="a/b c")["Body"].read() == b"hello"
    assert api.call("GET", "/a/b%20c").text == "hello"
    aws("s3").put_object(Bucket="acted", Key="other", Body=b"")
    listed = api.call("GET", "/").text
    assert "<Key>a/b c</Key>" in listed and "other" not in listed and "<KeyCount>1</KeyCount>" in listed, listed
    api.call("DELETE", "/a/b%20c")
    assert api.call("GET", "/a/b%20c").status_code == 404


def test_base64_becomes_an_object(api, aws):
    aws("s3").create_bucket(Bucket="converted")
    service(api, "PUT", "/", "s3:path/converted/k", integrationHttpMethod="PUT", contentHandling="CONVERT_TO_BINARY")
    api.deploy()
    assert api.call("PUT", "/", data=base64.b64encode(BINARY)).status_code == 200
    assert aws("s3").get_object(Bucket="converted", Key="k")["Body"].read() == BINARY


def test_a_template_reads_no_binary(api, aws):
    aws("s3").create_bucket(Bucket="templates")
    template = """{"data": "$input.body"}"""
    service(
        api, "PUT", "/", "s3:path/templates/k", integrationHttpMethod="PUT", contentHandling="CONVERT_TO_BINARY",
        template=template,
    )  # fmt: skip
    api.deploy()
    body = base64.b64encode(BINARY)
    assert api.call("PUT", "/", data=body, headers={"Content-Type": "text/plain"}).status_code == 200
    assert aws("s3").get_object(Bucket="templates", Key="k")["Body"].read() == BINARY
    answer = api.call("PUT", "/", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})


def test_start_a_state_machine(api, aws):
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = aws("iam").create_role(RoleName="states", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    machine = aws("stepfunctions").create_state_machine(name="rest", definition=definition, roleArn=role)["stateMachineArn"]
    template = f"""{{"stateMachineArn": "{machine}", "input": "$util.escapeJavaScript($input.json('$'))"}}"""
    service(api, "POST", "/", "states:action/StartExecution", template=template)
    api.deploy()
    execution = body_json(api.call("POST", "/", json={"a": "it is"}))["executionArn"]
    assert json.loads(aws("stepfunctions").describe_execution(executionArn=execution)["input"]) == {"a": "it is"}


def test_put_a_record(api, aws):
    aws("kinesis").create_stream(StreamName="rest", ShardCount=1)
    template = """{"StreamName": "$input.params('stream')", "Data": "$util.base64Encode($input.json('$.data'))", \
"PartitionKey": "$input.path('$.key')"}"""
    mapped = {HEADER + "Content-Type": "'application/x-amz-json-1.1'"}
    service(api, "PUT", "/{stream}", "kinesis:action/PutRecord", template=template, mapped=mapped)
    api.deploy()
    answer = body_json(api.call("PUT", "/rest", json={"data": {"a": 1}, "key": "k"}))
    shard = aws("kinesis").get_shard_iterator(
        StreamName="rest", ShardId=answer["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    (record,) = aws("kinesis").get_records(ShardIterator=shard)["Records"]
    assert (json.loads(record["Data"]), record["PartitionKey"]) == ({"a": 1}, "k")


def test_deliver_a_record(api, aws):
    """Firehose, whose records moto delivers at once."""
    aws("s3").create_bucket(Bucket="delivered")
    destination = {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::delivered"}
    aws("firehose").create_delivery_stream(DeliveryStreamName="rest", S3DestinationConfiguration=destination)
    template = """{"DeliveryStreamName": "rest", "Record": {"Data": "$util.base64Encode($input.json('$'))"}}"""
    service(api, "POST", "/", "firehose:action/PutRecord", template=template)
    api.deploy()
    assert body_json(api.call("POST", "/", json={"a": 1}))["RecordId"]
    (stored,) = aws("s3").list_objects_v2(Bucket="delivered")["Contents"]
    assert json.loads(aws("s3").get_object(Bucket="delivered", Key=stored["Key"])["Body"].read()) == {"a": 1}


def test_put_an_event(api, aws):
    queue = aws("sqs").create_queue(QueueName="rest-events")["QueueUrl"]
    arn = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    aws("events").put_rule(Name="rest", EventPattern=json.dumps({"source": ["rest"]}))
    aws("events").put_targets(Rule="rest", Targets=[{"Id": "1", "Arn": arn}])
    template = """#set($context.requestOverride.header.X-Amz-Target = "AWSEvents.PutEvents")
#set($context.requestOverride.header.Content-Type = "application/x-amz-json-1.1")
{"Entries": [{"Source": "rest", "DetailType": "t", "Detail": "$util.escapeJavaScript($input.json('$'))"}]}"""
    service(api, "POST", "/", "events:action/PutEvents", template=template)
    api.deploy()
    assert body_json(api.call("POST", "/", json={"a": 1}))["FailedEntryCount"] == 0
    assert json.loads(message_in(aws, queue))["detail"] == {"a": 1}


def test_get_a_parameter(api, aws):
    aws("ssm").put_parameter(Name="/p", Value="v", Type="String")
    mapped = {HEADER + "X-Amz-Target": "'AmazonSSM.GetParameter'", HEADER + "Content-Type": "'application/x-amz-json-1.1'"}
    template = '{"Name": "/p"}'
    service(api, "GET", "/", "ssm:path//", template=template, mapped=mapped)
    api.deploy()
    assert body_json(api.call("GET", "/"))["Parameter"]["Value"] == "v"


def test_what_a_service_is_sent(new_gateway, echo):
    """A server that tells what it was asked stands in for AWS."""
    gateway = new_gateway(env={"AWS_ENDPOINT_URL": echo.url + "/base", "AWS_SESSION_TOKEN": "token"}).start()
    api = gateway.rest_api()
    options = {"requestParameters": {"method.request.header.Authorization": False}}
    mapped = {HEADER + "X-Mine": "method.request.header.Authorization", HEADER + "X-Amz-Date": "'never'"}
    service(api, "POST", "/action", "states:action/StartExecution", template="{}", mapped=mapped, options=options)
    service(api, "POST", "/form", "sns:action/Publish&Version=2010-03-31", template="{}")
    service(api, "POST", "/path", "api.ecr:path/a%2Fb", template="{}", integrationHttpMethod="GET")
    api.deploy()
    sent = body_json(api.call("POST", "/action", headers={"Authorization": "me"}))
    headers = sent["headers"]
    assert (sent["method"], sent["path"], sent["query"], sent["body"]) == ("POST", "/base/", {"Action": ["StartExecution"]}, "{}")
    assert headers["x-amz-target"] == "AWSStepFunctions.StartExecution"
    assert headers["content-type"] == "application/x-amz-json-1.0"
    assert headers["x-mine"] == "me" and headers["x-amz-date"].endswith("Z") and headers["x-amz-security-token"] == "token"
    assert f"/{REGION}/states/aws4_request" in headers["authorization"]
    assert headers["user-agent"] == f"AmazonAPIGateway_{api.id}" and headers["x-amzn-apigateway-api-id"] == api.id
    sent = body_json(api.call("POST", "/form"))
    assert sent["query"] == {"Action": ["Publish"], "Version": ["2010-03-31"]} and "x-amz-target" not in sent["headers"]
    sent = body_json(api.call("POST", "/path"))
    assert (sent["method"], sent["path"], sent["body"]) == ("GET", "/base/a%2Fb", "")
    assert f"/{REGION}/ecr/aws4_request" in sent["headers"]["authorization"]


def test_services_that_fail(new_gateway, raw_origin):
    closes = raw_origin(lambda link: link.recv(65536))
    stalls = raw_origin(lambda link: (link.recv(65536), link.recv(1)))
    env = {"AWS_ENDPOINT_URL_SNS": closes.url, "AWS_ENDPOINT_URL_SQS": stalls.url}
    api = new_gateway(env=env).start().rest_api()
    service(api, "POST", "/closes", "sns:path//", template="x")
    service(api, "POST", "/stalls", "sqs:path//", template="x", timeoutInMillis=300)
    api.deploy()
    for path, message in (("/closes", "Network error communicating with endpoint"), ("/stalls", "Endpoint request timed out")):
        answer = api.call("POST", path)
        assert (answer.status_code, body_json(answer)["message"]) == (504, message)


def test_what_is_refused(new_gateway, api):
    where = {"restApiId": api.id, "httpMethod": "GET", "integrationHttpMethod": "POST"}
    api.method("GET", "/")
    where["resourceId"] = api.resource("/")
    uri = f"arn:aws:apigateway:{REGION}:"
    for kind, what, options, message in (
        ("AWS", "sqs:path/1/q", {}, "Role ARN must be specified for AWS integrations"),
        ("AWS", "sqs:queue/1", {"credentials": ROLE}, "AWS ARN for integration must contain path or action"),
        ("AWS_PROXY", "sqs:path/1", {"credentials": ROLE}, "currently only supports Lambda function and Firehose"),
    ):
        with pytest.raises(ClientError) as error:
            api.client.put_integration(**where, type=kind, uri=uri + what, **options)
        assert message in error.value.response["Error"]["Message"]
    for kind, what, message in (
        ("AWS", "s3:action/GetObject&Key=k", 'the action "GetObject" of S3 needs &Bucket='),
        ("AWS", "s3:action/SelectObjectContent&Bucket=b", 'the action "SelectObjectContent" of S3 is not known here'),
        ("AWS_PROXY", "firehose:action/PutRecord", 'AWS_PROXY integrations with "firehose" are not supported'),
    ):
        api.client.put_integration(**where, type=kind, uri=uri + what, credentials=ROLE)
        with pytest.raises(ClientError) as error:
            api.client.create_deployment(restApiId=api.id, stageName="test")
        assert message in error.value.response["Error"]["Message"]
    env = {name: "" for name in os.environ if name.startswith("AWS_")}
    api = new_gateway(env=env).start().rest_api()
    service(api, "POST", "/", "sqs:path/1/q", template="x")
    with pytest.raises(ClientError) as error:
        api.client.create_deployment(restApiId=api.id, stageName="test")
    assert "AWS_ACCESS_KEY_ID" in error.value.response["Error"]["Message"]
