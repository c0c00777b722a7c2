"""`@connections`: what a backend does to the connections of a WebSocket API, through every client that it may use."""

import contextlib
import datetime
import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import boto3
import pytest
import requests
from authorization import function
from harness import ACCOUNT, REGION, ROOT, binary, eventually, note_call
from sockets import SocketApi
from test_http_api_traffic import new_function  # noqa: F401
from test_protocol import error_of
from websockets.exceptions import ConnectionClosed

MODULES = Path(os.environ.get("NPM_PREFIX", ROOT / ".npm")) / "node_modules"
SITE_PACKAGES = next((ROOT / ".venv/lib").glob("python3*/site-packages"))
ANY = {"AccessKeyId": "test", "SecretAccessKey": "test"}

# As AWS's own guide has it, in both languages.
TUTORIAL_NODE = """
import { ApiGatewayManagementApiClient, PostToConnectionCommand, GetConnectionCommand, DeleteConnectionCommand }
  from '@aws-sdk/client-apigatewaymanagementapi';
export const handler = async (event) => {
  const { domainName, stage, connectionId, routeKey } = event.requestContext;
  const callbackAPI = new ApiGatewayManagementApiClient({
    apiVersion: '2018-11-29',
    endpoint: 'https://' + domainName + '/' + stage,
  });
  if (routeKey === 'leave') {
    await callbackAPI.send(new DeleteConnectionCommand({ ConnectionId: connectionId }));
    return { statusCode: 200 };
  }
  const { Identity } = await callbackAPI.send(new GetConnectionCommand({ ConnectionId: connectionId }));
  await callbackAPI.send(new PostToConnectionCommand({ ConnectionId: connectionId, Data: `hello ${Identity.SourceIp}` }));
  try {
    await callbackAPI.send(new PostToConnectionCommand({ ConnectionId: 'L0SM9cOFvHcCIhw=', Data: 'x' }));
  } catch (error) {
    await callbackAPI.send(new PostToConnectionCommand({ ConnectionId: connectionId, Data: error.name }));
  }
  return { statusCode: 200 };
};
"""
TUTORIAL_PYTHON = """
import boto3

def handler(event, context):
    domain = event["requestContext"]["domainName"]
    stage = event["requestContext"]["stage"]
    connection = event["requestContext"]["connectionId"]
    client = boto3.client("apigatewaymanagementapi", endpoint_url=f"https://{domain}/{stage}")
    if event["requestContext"]["routeKey"] == "leave":
        client.delete_connection(ConnectionId=connection)
        return {"statusCode": 200}
    found = client.get_connection(ConnectionId=connection)
    client.post_to_connection(ConnectionId=connection, Data=f"hello {found['Identity']['SourceIp']}".encode())
    try:
        client.post_to_connection(ConnectionId="L0SM9cOFvHcCIhw=", Data=b"x")
    except client.exceptions.GoneException as error:
        client.post_to_connection(ConnectionId=connection, Data=type(error).__name__.encode())
    return {"statusCode": 200}
"""


def chat(gateway, **options):
    """An API whose `id` route tells a client its connection's id."""
    api = SocketApi(gateway, **options)
    api.mock("id", answer="$context.connectionId")
    return api.deployed()


@pytest.fixture
def api(gateway):
    return chat(gateway)


def own_id(api, link):
    return api.ask(link, {"action": "id"})


def manager(api, key=ANY):
    """boto3's client of the service, at the API's address by path."""
    client = boto3.session.Session().client(
        "apigatewaymanagementapi",
        endpoint_url=f"{api.gateway.traffic}/_aws/execute-api/{api.id}/{api.stage}",
        region_name=REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )
    client.meta.events.register("after-call", note_call)
    return client


def call(api, method, path, data=b"", key=ANY, host=None):
    """A request to an address by host, signed by botocore for exactly this path."""
    host = host or f"{api.id}.execute-api.localhost:{api.gateway.traffic_port}"
    request = botocore.awsrequest.AWSRequest(method=method, url=f"http://{host}{path}", data=data)
    if key:
        credentials = botocore.credentials.Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        botocore.auth.SigV4Auth(credentials, "execute-api", REGION).add_auth(request)
    prepared = requests.Request(method, f"{api.gateway.traffic}/", data=data, headers={**request.headers, "Host": host})
    prepared = prepared.prepare()
    prepared.url = api.gateway.traffic + path
    return requests.Session().send(prepared, timeout=20)


class TestOperations:
    def test_post_get_delete(self, api):
        client = manager(api)
        before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
        with api.connect(user_agent_header="tester/1") as link:
            where = {"ConnectionId": own_id(api, link)}
            for data in b"hello", "Grüße ☃".encode(), b"", b'{"json": true}':
                client.post_to_connection(**where, Data=data)
                assert link.recv(timeout=10) == data.decode()
            found = client.get_connection(**where)
            assert found["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "tester/1"}
            assert before <= found["ConnectedAt"] <= found["LastActiveAt"]
            answer = client.delete_connection(**where)
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
            with pytest.raises(ConnectionClosed) as closed:
                link.recv(timeout=10)
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "Connection Closed Normally")
        for operation in client.post_to_connection, client.get_connection, client.delete_connection:
            data = {"Data": b"x"} if operation.__name__.startswith("post") else {}
            error = error_of(operation, **where, **data)
            assert error["Error"]["Code"] == "GoneException"
            assert error["ResponseMetadata"]["HTTPStatusCode"] == 410

    def test_many_clients_in_order(self, api):
        client = manager(api)
        with contextlib.ExitStack() as opened:
            links = [opened.enter_context(api.connect()) for _ in range(20)]
            ids = [own_id(api, link) for link in links]
            assert len(set(ids)) == 20
            for number in range(10):
                for id in ids:
                    client.post_to_connection(ConnectionId=id, Data=f"{number} {id}".encode())
            for link, id in zip(links, ids, strict=True):
                assert [link.recv(timeout=10) for _ in range(10)] == [f"{number} {id}" for number in range(10)]

    def test_sizes(self, api):
        client = manager(api)
        with api.connect() as link:
            where = {"ConnectionId": own_id(api, link)}
            largest = "é" * (64 * 1024)
            client.post_to_connection(**where, Data=largest.encode())
            received = list(link.recv_streaming())
            assert b"".join(part.encode() if isinstance(part, str) else part for part in received).decode() == largest
            # In frames as long as clients' own may be.
            assert len(received) == 4 and max(len(part.encode()) for part in received) <= 32 * 1024
            error = error_of(client.post_to_connection, **where, Data=b"x" * (128 * 1024 + 1))
            assert error["Error"]["Code"] == "PayloadTooLargeException"
            assert error["ResponseMetadata"]["HTTPStatusCode"] == 413
            path = f"/dev/@connections/{where['ConnectionId']}"
            assert call(api, "POST", path, data=b"x" * (11 * 1024 * 1024)).status_code == 413

    def test_what_is_no_text_is_made_text(self, api):
        with api.connect() as link:
            manager(api).post_to_connection(ConnectionId=own_id(api, link), Data=b"a\xff\x00b")
            assert link.recv(timeout=10) == "a\ufffd\x00b"

    def test_ids_of_others_are_gone(self, gateway, api):
        other = chat(gateway)
        api.client.create_stage(ApiId=api.id, StageName="other", AutoDeploy=True)
        elsewhere = SocketApi.__new__(SocketApi)
        elsewhere.__dict__ = {**api.__dict__, "stage": "other"}
        with api.connect() as link:
            where = {"ConnectionId": own_id(api, link), "Data": b"x"}
            for wrong in other, elsewhere:
                error = error_of(manager(wrong).post_to_connection, **where)
                assert error["Error"]["Code"] == "GoneException"
            manager(api).post_to_connection(**where)
            assert link.recv(timeout=10) == "x"

    def test_a_slow_reader_is_bounded(self, api):
        client = manager(api)
        with api.connect(max_queue=1, close_timeout=0.1) as link:
            where = {"ConnectionId": own_id(api, link)}
            codes = []
            for _ in range(400):
                try:
                    client.post_to_connection(**where, Data=b"x" * 120_000)
                except client.exceptions.LimitExceededException as error:
                    codes.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
                    break
            assert codes == [429]


class TestAddresses:
    def test_spellings_of_the_path(self, api):
        with api.connect() as link:
            id = own_id(api, link)
            for segment in "@connections", "%40connections":
                for written in id, quote(id, safe=""):
                    answer = call(api, "POST", f"/dev/{segment}/{written}", data=b"m")
                    assert (answer.status_code, answer.text) == (200, ""), (segment, written)
                    assert link.recv(timeout=10) == "m"
            answer = call(api, "GET", f"/dev/@connections/{id}")
            assert answer.headers["content-type"] == "application/json"
            shown = answer.json()
            assert list(shown) == ["connectedAt", "identity", "lastActiveAt"]
            assert list(shown["identity"]) == ["sourceIp", "userAgent"]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["connectedAt"])

    def test_what_is_no_connection(self, api):
        def check(method, path, status, error, message):
            answer = call(api, method, path)
            assert (answer.status_code, answer.headers.get("x-amzn-ErrorType")) == (status, error), answer.text
            assert answer.text == (json.dumps({"message": message}, separators=(",", ":")) if message else "")

        check("POST", "/dev/@connections/L0SM9cOFvHcCIhw=", 410, "GoneException", None)
        wrong = "WDGT8fY4joECJrQ=test"
        check("POST", f"/dev/@connections/{wrong}", 400, "BadRequestException", f"Invalid connectionId: {wrong}")
        none = "No method found matching route {} for http method {}."
        check("GET", "/dev/@connections/", 404, "NotFoundException", none.format("@connections/", "GET"))
        check("PUT", "/dev/@connections/x", 404, "NotFoundException", none.format("@connections/x", "PUT"))
        check("POST", "/dev/other/x", 403, "ForbiddenException", "Forbidden")
        check("POST", "/absent/@connections/x", 403, "ForbiddenException", "Forbidden")

    def test_by_the_control_listener(self, api):
        with api.connect() as link:
            client = boto3.client(
                "apigatewaymanagementapi", region_name=REGION,
                endpoint_url=f"{api.gateway.control}/_aws/execute-api/{api.id}/{api.stage}",
            )  # fmt: skip
            client.post_to_connection(ConnectionId=own_id(api, link), Data=b"here too")
            assert link.recv(timeout=10) == "here too"

    def test_by_a_custom_domain(self, api):
        domain = {"DomainName": "chat.example.com"}
        arn = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/x"
        configuration = {"CertificateArn": arn, "EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2"}
        api.client.create_domain_name(**domain, DomainNameConfigurations=[configuration])
        api.client.create_api_mapping(**domain, ApiId=api.id, Stage="dev", ApiMappingKey="live")
        host = domain["DomainName"]
        with api.connect() as link:
            id = own_id(api, link)
            answer = call(api, "POST", f"/live/@connections/{quote(id)}", data=b"m", host=host)
            assert answer.status_code == 200, answer.text
            assert link.recv(timeout=10) == "m"

    def test_by_the_command_line(self, api):
        command = [
            str(ROOT / ".venv/bin/aws"), "apigatewaymanagementapi", "--region", REGION,
            "--endpoint-url", f"{api.gateway.traffic}/_aws/execute-api/{api.id}/{api.stage}",
        ]  # fmt: skip

        def aws(*arguments):
            return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)

        with api.connect() as link:
            where = ["--connection-id", own_id(api, link)]
            data = ["--cli-binary-format", "raw-in-base64-out"] if b"aws-cli/2" in version() else []
            done = aws("post-to-connection", *where, "--data", "hello", *data)
            assert done.returncode == 0, done.stderr
            assert link.recv(timeout=10) == "hello"
            assert json.loads(aws("get-connection", *where).stdout)["Identity"]["SourceIp"] == "127.0.0.1"
            assert aws("delete-connection", *where).returncode == 0
            assert "GoneException" in aws("get-connection", *where).stderr


def version():
    return subprocess.run([str(ROOT / ".venv/bin/aws"), "--version"], capture_output=True, timeout=60).stdout


class TestFunctions:
    """Handlers that were written for AWS, unchanged."""

    def run(self, api, arn):
        api.function("hello", arn)
        api.function("leave", arn)
        api.deployed()
        for url in api.url(), f"ws://127.0.0.1:{api.gateway.traffic_port}/_aws/execute-api/{api.id}/dev":
            with api.connect(url) as link:
                assert api.ask(link, {"action": "hello"}) == "hello 127.0.0.1"
                assert link.recv(timeout=20) == "GoneException"
                link.send('{"action": "leave"}')
                with pytest.raises(ConnectionClosed):
                    link.recv(timeout=20)

    def test_python(self, api):
        self.run(api, function(api.gateway, "tutorial", TUTORIAL_PYTHON, PYTHONPATH=str(SITE_PACKAGES)))

    def test_node(self, api, tmp_path):
        (tmp_path / "index.mjs").write_text(TUTORIAL_NODE)
        (tmp_path / "node_modules").symlink_to(MODULES)
        client = api.gateway.client("lambda")
        arn = client.create_function(
            FunctionName="tutorial", Runtime="nodejs20.x", Handler="index.handler", Timeout=20,
            Role="arn:aws:iam::000000000000:role/x", Code={"S3Bucket": "hot-reload", "S3Key": str(tmp_path)},
        )["FunctionArn"]  # fmt: skip
        client.add_permission(
            FunctionName="tutorial", StatementId="g", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
        )
        self.run(api, arn)


class TestPermissions:
    @pytest.fixture
    def api(self, new_gateway, tmp_path_factory):
        path = tmp_path_factory.mktemp("config") / "stagedoor.toml"
        path.write_text('[[credentials]]\naccess_key_id = "test"\nsecret_access_key = "test"\n')
        return chat(new_gateway("--config", str(path)).start())

    def key(self, api, tmp_path, *statements):
        path = tmp_path / f"policy{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
        name = f"user{len(list(tmp_path.iterdir()))}"
        done = subprocess.run(
            [binary(), "credentials", "create", name, "--policy", path, "--data", api.gateway.data],
            capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        key = json.loads(done.stdout)
        unknown = "UnrecognizedClientException"
        probe = "/dev/@connections/L0SM9cOFvHcCIhw="
        eventually(lambda: call(api, "GET", probe, key=key).headers.get("x-amzn-ErrorType") != unknown, what="the new key")
        return key

    def test_signatures(self, api):
        path = "/dev/@connections/L0SM9cOFvHcCIhw="
        missing = call(api, "GET", path, key=None)
        assert (missing.status_code, missing.json()) == (403, {"message": "Missing Authentication Token"})
        unknown = call(api, "GET", path, key={"AccessKeyId": "AKIA", "SecretAccessKey": "x"})
        assert (unknown.status_code, unknown.headers["x-amzn-ErrorType"]) == (403, "UnrecognizedClientException")
        wrong = call(api, "GET", path, key={**ANY, "SecretAccessKey": "wrong"})
        assert (wrong.status_code, wrong.headers["x-amzn-ErrorType"]) == (403, "InvalidSignatureException")
        assert call(api, "GET", path).status_code == 410

    def test_policies(self, api, tmp_path):
        arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/dev"
        allow = {"Effect": "Allow", "Action": "execute-api:ManageConnections", "Resource": f"{arn}/POST/@connections/*"}
        with api.connect() as link:
            id = own_id(api, link)
            path = f"/dev/@connections/{quote(id)}"
            poster = self.key(api, tmp_path, allow)
            assert call(api, "POST", path, data=b"m", key=poster).status_code == 200
            assert link.recv(timeout=10) == "m"
            refused = call(api, "DELETE", path, key=poster)
            assert (refused.status_code, refused.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
            said = refused.json()["Message"]
            masked = arn.replace(ACCOUNT, f"********{ACCOUNT[-4:]}")
            assert said.endswith(
                f"is not authorized to perform: execute-api:ManageConnections on resource: {masked}/DELETE/@connections/"
                "{connectionId} because no identity-based policy allows the execute-api:ManageConnections action"
            ), said
            for action, resource, status in [
                ("execute-api:Invoke", "*", 403),
                ("execute-api:ManageConnections", f"{arn}/POST/@connections/{id}", 200),
                ("execute-api:ManageConnections", f"{arn}/POST/@connections/other", 403),
                ("execute-api:*", "*", 200),
            ]:
                key = self.key(api, tmp_path, {**allow, "Action": action, "Resource": resource})
                assert call(api, "POST", path, data=b"m", key=key).status_code == status, (action, resource)
            deny = {"Effect": "Deny", "Action": "execute-api:ManageConnections", "Resource": "*"}
            key = self.key(api, tmp_path, {**allow, "Resource": "*"}, deny)
            said = call(api, "POST", path, data=b"m", key=key).json()["Message"]
            assert said.endswith("with an explicit deny in an identity-based policy")

    def test_without_credentials_a_signature_is_needed_still(self, gateway):
        answer = call(chat(gateway), "GET", "/dev/@connections/L0SM9cOFvHcCIhw=", key=None)
        assert (answer.status_code, answer.json()) == (403, {"message": "Missing Authentication Token"})


def test_a_closed_connection_is_gone(api):
    with api.connect() as link:
        id = own_id(api, link)
    eventually(lambda: call(api, "GET", f"/dev/@connections/{quote(id)}").status_code == 410, what="the end")
