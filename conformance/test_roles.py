"""`credentials` of integrations and authorizers, with `[aws] assume_roles`: roles are assumed at STS, moto's or one that the
test plays, and callers are passed on."""

import concurrent.futures
import datetime
import json
import re
import threading
import time
from urllib.parse import parse_qs

import pytest
from botocore.exceptions import ClientError
from harness import ACCOUNT, REGION, body_json, eventually, free_port, lambda_uri
from origin import Echo, EchoServer
from sockets import SocketApi
from test_functions import create
from test_iam import Api, policy

ROLE = "arn:aws:iam::000000000000:role/gateway"
CALLER = "arn:aws:iam::*:user/*"
REFUSED = {"message": "Internal server error"}
WORDS = "API Gateway does not have permission to assume the provided role"


class Sts(EchoServer):
    """Gives out keys that last as long as the test says, numbered; or fails as it says."""

    def __init__(self):
        self.seconds, self.fails, self.pause, self.questions, self.lock = 3600, None, 0, [], threading.Lock()
        super().__init__(handler=StsHandler)


class StsHandler(Echo):
    def answer(self):
        sts = self.server
        form = {name: values[0] for name, values in parse_qs(self.read_body().decode()).items()}
        with sts.lock:
            sts.questions.append(form | {"authorization": self.headers["Authorization"]})
            number = len(sts.questions)
        time.sleep(sts.pause)
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=sts.seconds)
        body = f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token{number}</SessionToken>
<Expiration>{ends:%Y-%m-%dT%H:%M:%S.%fZ}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
        if sts.fails:
            body = f"<ErrorResponse><Error><Code>{sts.fails}</Code><Message>no</Message></Error></ErrorResponse>"
        self.send_response(403 if sts.fails else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = answer


@pytest.fixture
def sts():
    server = Sts()
    yield server
    server.close()


def configured(new_gateway, tmp_path, text="", **env):
    path = tmp_path / "stagedoor.toml"
    path.write_text(text)
    return new_gateway("--config", str(path), env={"AWS_ACCESS_KEY_ID": "OWN", "AWS_SECRET_ACCESS_KEY": "own"} | env).start()


def method(api, path="/", what="sns:path//", credentials=ROLE, template="x"):
    api.method("POST", path)
    where = {"restApiId": api.id, "resourceId": api.resource(path), "httpMethod": "POST"}
    api.client.put_integration(
        **where, type="AWS", uri=f"arn:aws:apigateway:{REGION}:{what}", integrationHttpMethod="POST", credentials=credentials,
        requestTemplates={"application/json": template},
        requestParameters={"integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"},
    )  # fmt: skip
    api.client.put_method_response(**where, statusCode="200")
    api.client.put_integration_response(**where, statusCode="200")


def signed_by(answer):
    """The access key id and the token that a service saw."""
    headers = body_json(answer)["headers"]
    return re.search(r"Credential=(\w+)/", headers["authorization"])[1], headers.get("x-amz-security-token")


def call(api, path="/"):
    answer = api.call("POST", path)
    assert answer.status_code == 200, answer.text
    return signed_by(answer)


def test_moto_knows_who_called(new_gateway, tmp_path, moto):
    """Moto's STS tells whose keys a call was signed with."""
    gateway = configured(new_gateway, tmp_path, "[aws]\nassume_roles = true\n", AWS_ENDPOINT_URL=moto)
    api = gateway.rest_api()
    method(api, "/role", "sts:path//", template="Action=GetCallerIdentity&Version=2011-06-15")
    api.deploy()
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/gateway/BackplaneAssumeRoleSession"
    answer = api.call("POST", "/role")
    assert f"<Arn>{session}</Arn>" in answer.text, answer.text


def test_a_role_is_assumed_once(new_gateway, tmp_path, sts, echo):
    """By all who wait for it, on whichever worker, and after another deployment."""
    gateway = configured(new_gateway, tmp_path, AWS_ENDPOINT_URL_STS=sts.url, AWS_ENDPOINT_URL_SNS=echo.url)
    api = gateway.rest_api()
    method(api)
    api.deploy()
    sts.pause = 0.3
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: call(api), range(16))) == {("ASIA1", "token1")}
    api.deploy()
    assert call(api) == ("ASIA1", "token1")
    (question,) = sts.questions
    assert question["Action"] == "AssumeRole" and question["RoleArn"] == ROLE
    assert (question["RoleSessionName"], question["DurationSeconds"]) == ("BackplaneAssumeRoleSession", "3600")
    assert "Credential=OWN/" in question["authorization"] and f"/{REGION}/sts/aws4_request" in question["authorization"]
    method(api, "/other", credentials=ROLE + "2")
    api.deploy()
    assert call(api, "/other") == ("ASIA2", "token2") and sts.questions[1]["RoleArn"] == ROLE + "2"


def test_keys_are_replaced_while_they_hold(new_gateway, tmp_path, sts, echo):
    gateway = configured(new_gateway, tmp_path, AWS_ENDPOINT_URL_STS=sts.url, AWS_ENDPOINT_URL_SNS=echo.url)
    api = gateway.rest_api()
    method(api)
    api.deploy()
    sts.seconds = 6
    began = time.monotonic()
    assert call(api)[0] == "ASIA1"
    sts.pause = 1
    # Nobody waits for the replacement, which takes a second.
    slowest = 0
    while call(api)[0] == "ASIA1":
        now = time.monotonic()
        assert now - began < 6
        call(api)
        slowest = max(slowest, time.monotonic() - now)
        time.sleep(0.02)
    assert slowest < 0.9 and time.monotonic() - began > 3.5
    # What has run out is not used, even if nothing called meanwhile.
    sts.pause, sts.seconds = 0, 3600
    time.sleep(6)
    assert call(api)[0] == f"ASIA{len(sts.questions)}"


def test_a_stage_variable_names_the_role(new_gateway, tmp_path, sts, echo):
    gateway = configured(new_gateway, tmp_path, AWS_ENDPOINT_URL_STS=sts.url, AWS_ENDPOINT_URL_SNS=echo.url)
    api = gateway.rest_api()
    method(api, credentials="arn:aws:iam::000000000000:role/${stageVariables.role}")
    api.deploy(variables={"role": "green"})
    assert call(api)[0] == "ASIA1"
    assert sts.questions[0]["RoleArn"] == "arn:aws:iam::000000000000:role/green"


def refuses(api, path="/"):
    began = time.monotonic()
    answer = api.call("POST", path)
    assert (answer.status_code, body_json(answer)) == (500, REFUSED), answer.text
    assert answer.headers["x-amzn-ErrorType"] == "InternalServerErrorException"
    return time.monotonic() - began


def test_roles_that_cannot_be_assumed(new_gateway, tmp_path, sts, echo):
    gateway = configured(new_gateway, tmp_path, AWS_ENDPOINT_URL_STS=sts.url, AWS_ENDPOINT_URL_SNS=echo.url)
    api = gateway.rest_api()
    method(api)
    api.deploy()
    sts.fails = "AccessDenied"
    refuses(api)
    told = api.client.test_invoke_method(restApiId=api.id, resourceId=api.resource("/"), httpMethod="POST")
    assert told["status"] == 500
    assert f"Execution failed due to configuration error: {WORDS} {ROLE}" in told["log"]
    assert "AccessDenied: no" in gateway.log()
    assert not [path for _, path, _, _ in echo.seen]  # the service has not been asked
    # A failure is not remembered.
    sts.fails = None
    assert call(api)[0].startswith("ASIA")


def test_sts_that_cannot_be_reached_or_hangs(new_gateway, tmp_path, raw_origin, echo):
    silent = raw_origin(lambda link: (link.recv(65536), link.recv(1)))
    for url in (f"http://127.0.0.1:{free_port()}", silent.url):
        gateway = configured(new_gateway, tmp_path, AWS_ENDPOINT_URL_STS=url, AWS_ENDPOINT_URL_SNS=echo.url)
        api = gateway.rest_api()
        method(api)
        api.mock("GET", "/mock", "fine")
        api.deploy()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            # All wait for one question, which takes at most five seconds.
            waits = [pool.submit(refuses, api) for _ in range(8)]
            assert api.call("GET", "/mock").text == "fine"
            assert max(wait.result() for wait in waits) < 9
        gateway.close()


def test_http_apis(new_gateway, tmp_path, sts, echo):
    log = tmp_path / "access.log"
    text = f"[[log_destinations]]\narn = 'arn:aws:logs:*'\nfile = '{log}'\n"
    gateway = configured(new_gateway, tmp_path, text, AWS_ENDPOINT_URL_STS=sts.url, AWS_ENDPOINT_URL_SQS=echo.url)
    client = gateway.client("apigatewayv2")
    api = client.create_api(Name="h", ProtocolType="HTTP")["ApiId"]
    integration = client.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationSubtype="SQS-PurgeQueue", PayloadFormatVersion="1.0",
        CredentialsArn=ROLE, RequestParameters={"QueueUrl": "http://q/1"},
    )["IntegrationId"]  # fmt: skip
    client.create_route(ApiId=api, RouteKey="POST /", Target=f"integrations/{integration}")
    logged = {"DestinationArn": "arn:aws:logs:us-east-1:0:log-group:a", "Format": "$context.requestId $context.integrationErrorMessage"}
    client.create_stage(ApiId=api, StageName="test", AutoDeploy=True, AccessLogSettings=logged)
    sts.fails = "AccessDenied"
    eventually(lambda: gateway.call("POST", api, "test").status_code != 404)
    answer = gateway.call("POST", api, "test")
    assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal Server Error"})
    said = "doesn\N{RIGHT SINGLE QUOTATION MARK}t have permissions to assume the IAM role configured on the integration."
    eventually(lambda: said in log.read_text(encoding="utf-8"))
    sts.fails = None
    assert signed_by(gateway.call("POST", api, "test"))[0] == f"ASIA{len(sts.questions)}"


def test_websocket_apis(new_gateway, tmp_path, sts, echo):
    gateway = configured(new_gateway, tmp_path, AWS_ENDPOINT_URL_STS=sts.url, AWS_ENDPOINT_URL_SNS=echo.url)
    api = SocketApi(gateway)
    uri = f"arn:aws:apigateway:{REGION}:sns:path//"
    service = api.integration(IntegrationType="AWS", IntegrationUri=uri, IntegrationMethod="POST", CredentialsArn=ROLE)
    api.route("$default", service, two_way=True)
    with api.deployed().connect() as link:
        answer = json.loads(api.ask(link, '{"action": "a"}'))
    assert "Credential=ASIA1/" in answer["headers"]["authorization"] and sts.questions[0]["RoleArn"] == ROLE


@pytest.mark.parametrize("kind", ["AWS", "AWS_PROXY"])
def test_functions(new_gateway, tmp_path, sts, kind):
    """A function here is called by whoever may assume the role; one elsewhere is called with the role's keys."""
    elsewhere = EchoServer()
    text = f"[[lambda_endpoints]]\npattern = 'arn:aws:lambda:*:*:function:far'\nurl = '{elsewhere.url}'\n"
    gateway = configured(new_gateway, tmp_path, text, AWS_ENDPOINT_URL_STS=sts.url)
    api = gateway.rest_api()
    source = "exports.handler = async () => ({statusCode: 200});"
    near = create(gateway, "near", source)
    for path, arn in (("/near", near), ("/far", near.replace("near", "far"))):
        api.proxy("POST", path, lambda_uri(arn), kind=kind, credentials=ROLE)
        if kind == "AWS":
            where = {"restApiId": api.id, "resourceId": api.resource(path), "httpMethod": "POST", "statusCode": "200"}
            api.client.put_method_response(**where)
            api.client.put_integration_response(**where)
    api.deploy()
    sts.fails = "AccessDenied"
    refuses(api, "/near")
    refuses(api, "/far")
    sts.fails = None
    assert api.call("POST", "/near").status_code == 200
    api.call("POST", "/far")
    (seen,) = elsewhere.seen
    headers = {name.lower(): value for name, value in seen[2]}
    assert re.search(r"Credential=ASIA\d/\d+/us-east-1/lambda/", headers["authorization"]), headers
    assert headers["x-amz-security-token"].startswith("token")
    elsewhere.close()


def test_authorizers(new_gateway, tmp_path, sts):
    gateway = configured(new_gateway, tmp_path, AWS_ENDPOINT_URL_STS=sts.url)
    source = """exports.handler = async (event) => ({principalId: 'p', policyDocument: {Version: '2012-10-17', Statement:
      [{Effect: 'Allow', Action: 'execute-api:Invoke', Resource: '*'}]}});"""
    arn = create(gateway, "authorizer", source)
    api = gateway.rest_api()
    made = api.client.create_authorizer(
        restApiId=api.id, name="a", type="TOKEN", authorizerUri=lambda_uri(arn), authorizerCredentials=ROLE,
        identitySource="method.request.header.Authorization",
    )  # fmt: skip
    api.mock("GET", "/", "passed")
    api.client.update_method(
        restApiId=api.id, resourceId=api.resource("/"), httpMethod="GET",
        patchOperations=[
            {"op": "replace", "path": "/authorizationType", "value": "CUSTOM"},
            {"op": "replace", "path": "/authorizerId", "value": made["id"]},
        ],
    )  # fmt: skip
    api.deploy_without_waiting()
    sts.fails = "AccessDenied"
    answer = api.call("GET", "/", headers={"Authorization": "t"})
    assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (500, "AuthorizerConfigurationException")
    assert body_json(answer) == {"message": None}
    sts.fails = None
    assert api.call("GET", "/", headers={"Authorization": "t"}).text == "passed"


class TestCallers:
    """`arn:aws:iam::*:user/*`: whoever signed the client's request."""

    def test_a_service_sees_the_caller(self, new_gateway, tmp_path, sts, echo):
        gateway = configured(new_gateway, tmp_path, AWS_ENDPOINT_URL_STS=sts.url, AWS_ENDPOINT_URL_SNS=echo.url)
        api = Api(gateway, tmp_path)
        where = {"restApiId": api.api.id, "resourceId": api.api.resource("/a"), "httpMethod": "GET"}
        api.api.client.put_integration(
            **where, type="AWS", uri=f"arn:aws:apigateway:{REGION}:sns:path//", integrationHttpMethod="POST", credentials=CALLER
        )
        api.api.client.put_integration_response(**where, statusCode="200")
        # Nobody signs what is open, so there is nobody to pass on.
        words = "AWS_IAM Auth type is required for AWS integrations with identity forwarding specified"
        with pytest.raises(ClientError, match=words):
            method(api.api, "/open", credentials=CALLER)
        open_again = [{"op": "replace", "path": "/authorizationType", "value": "NONE"}]
        with pytest.raises(ClientError, match=words):
            api.api.client.update_method(**where, patchOperations=open_again)
        api.api.client.delete_method(**{**where, "resourceId": api.api.resource("/open"), "httpMethod": "POST"})
        api.api.deploy_without_waiting()
        key = api.key("ann", policy())
        assert signed_by(api.call(key)) == (key["AccessKeyId"], None)
        session = api.key("admin", policy(), arguments=["--session", "me"])
        assert signed_by(api.call(session)) == (session["AccessKeyId"], session["SessionToken"])
        assert not sts.questions
        # AWS deploys no caller's credentials beside a resource policy.
        allow = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"}]}  # fmt: skip
        guard = [{"op": "replace", "path": "/policy", "value": json.dumps(allow)}]
        api.api.client.update_rest_api(restApiId=api.api.id, patchOperations=guard)
        with pytest.raises(ClientError, match="Caller provided credentials not allowed when resource policy is set"):
            api.api.client.create_deployment(restApiId=api.api.id)

    def test_a_function_asks_the_callers_policies(self, new_gateway, tmp_path, sts):
        gateway = configured(new_gateway, tmp_path, AWS_ENDPOINT_URL_STS=sts.url)
        api = Api(gateway, tmp_path)
        arn = create(gateway, "guarded", "exports.handler = async () => ({statusCode: 200, body: 'passed'});")
        api.api.client.put_integration(
            restApiId=api.api.id, resourceId=api.api.resource("/a"), httpMethod="GET", type="AWS_PROXY",
            uri=lambda_uri(arn), integrationHttpMethod="POST", credentials=CALLER,
        )  # fmt: skip
        api.api.deploy_without_waiting()
        answer = api.call(api.key("ann", policy()))
        assert (answer.status_code, body_json(answer)) == (500, REFUSED)
        invoke = policy(Action="lambda:InvokeFunction", Resource=arn)
        assert api.call(api.key("bob", policy(), invoke)).text == "passed"
        other = policy(Action="lambda:InvokeFunction", Resource=arn + "2")
        assert api.call(api.key("eve", policy(), other)).status_code == 500


def test_without_sts_the_gateways_own_keys_sign(new_gateway, tmp_path, echo):
    """And `credentials` are not looked at."""
    gateway = configured(new_gateway, tmp_path, AWS_ENDPOINT_URL=echo.url)
    api = gateway.rest_api()
    method(api)
    api.deploy()
    assert call(api) == ("OWN", None)
    assert {path for _, path, _, _ in echo.seen} == {"/"}


def test_roles_without_keys_to_assume_them_with(new_gateway, tmp_path, monkeypatch):
    path = tmp_path / "stagedoor.toml"
    path.write_text("[aws]\nassume_roles = true\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, _, error = new_gateway("--config", str(path)).run_to_end()
    assert code == 2 and "set AWS_ACCESS_KEY_ID" in error
