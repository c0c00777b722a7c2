"""Methods with AWS_IAM: botocore signs, the gateway verifies, and policies decide."""

import concurrent.futures
import datetime
import json
import os
import stat
import subprocess

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import requests
from harness import ACCOUNT, REGION, binary, body_json, eventually
from test_http_api_traffic import HttpApi

MISSING = (403, "MissingAuthenticationTokenException", "Missing Authentication Token")
UNKNOWN = (403, "UnrecognizedClientException", "The security token included in the request is invalid.")


def policy(effect="Allow", **more):
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": "*"} | more
    return {"Version": "2012-10-17", "Statement": [statement]}


class Api:
    def __init__(self, gateway, tmp_path, resource_policy=None):
        self.gateway, self.tmp_path = gateway, tmp_path
        options = {"policy": json.dumps(resource_policy)} if resource_policy else {}
        self.api = gateway.rest_api(**options)
        for verb in "GET", "POST":
            self.api.mock(verb, "/a", "$context.identity.userArn $context.identity.accountId")
            self.api.client.update_method(
                restApiId=self.api.id, resourceId=self.api.resource("/a"), httpMethod=verb,
                patchOperations=[{"op": "replace", "path": "/authorizationType", "value": "AWS_IAM"}],
            )  # fmt: skip
        self.api.deploy_without_waiting()
        self.host = f"{self.api.id}.execute-api.localhost:{gateway.traffic_port}"

    def credentials(self, *arguments):
        done = subprocess.run(
            [binary(), "credentials", *arguments, "--data", self.gateway.data], capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def key(self, name, *documents, known=True, arguments=()):
        paths = []
        for document in documents:
            path = self.tmp_path / f"policy-{len(list(self.tmp_path.iterdir()))}.json"
            path.write_text(json.dumps(document))
            paths += ["--policy", path]
        made = self.credentials("create", name, *paths, *arguments)
        if known:
            eventually(lambda: self.status(made) != UNKNOWN[1], what="the new key")
        return made

    def status(self, key):
        return self.call(key).headers.get("x-amzn-ErrorType")

    def call(self, key, method="GET", data=b"", presign=False, region=REGION, service="execute-api", at=None, change=None, **headers):
        """A request signed by botocore; `change` may alter it afterwards."""
        request = botocore.awsrequest.AWSRequest(
            method=method, url=f"http://{self.host}/test/a?x=1&b=a%20b", data=data, headers=headers
        )
        if key:
            credentials = botocore.credentials.Credentials(
                key["AccessKeyId"], key["SecretAccessKey"], key.get("SessionToken")
            )
            kind = botocore.auth.SigV4QueryAuth if presign else botocore.auth.SigV4Auth
            signer = kind(credentials, service, region)
            if at:
                signer._now = at
                original = botocore.auth.get_current_datetime
                botocore.auth.get_current_datetime = lambda *_, **__: at
                try:
                    signer.add_auth(request)
                finally:
                    botocore.auth.get_current_datetime = original
            else:
                signer.add_auth(request)
        prepared = request.prepare()
        sent = {"method": method, "url": prepared.url, "headers": dict(prepared.headers), "data": data}
        if change:
            change(sent)
        url = sent["url"].replace(self.host, f"127.0.0.1:{self.gateway.traffic_port}")
        return requests.request(
            sent["method"], url, headers=sent["headers"] | {"Host": self.host}, data=sent["data"], timeout=20
        )


def told(answer):
    body = body_json(answer)
    return answer.status_code, answer.headers["x-amzn-ErrorType"], body.get("message", body.get("Message"))


@pytest.fixture
def api(gateway, tmp_path):
    return Api(gateway, tmp_path)


def test_a_signed_request_passes(api):
    key = api.key("ann", policy())
    arn = f"arn:aws:iam::{ACCOUNT}:user/ann"
    assert api.call(key).text == f"{arn} {ACCOUNT}"
    assert api.call(key, method="POST", data=b'{"a": 1}').status_code == 200
    assert api.call(key, presign=True).status_code == 200
    unsigned = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    assert api.call(key, method="POST", data=b"{}", **unsigned).status_code == 200


def test_sessions_need_their_token_and_end(api):
    key = api.key("admin", policy(), arguments=["--session", "me"])
    assert api.call(key).text == f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/me {ACCOUNT}"
    assert told(api.call(key | {"SessionToken": None})) == UNKNOWN
    assert told(api.call(key | {"SessionToken": "x" * 100})) == UNKNOWN
    path = api.gateway.data / "principals.json"
    document = json.loads(path.read_text())
    document["principals"][0]["accessKeys"][0]["expiresAt"] = 1
    path.write_text(json.dumps(document))
    eventually(lambda: api.status(key) == "ExpiredTokenException", what="the end of the session")
    assert told(api.call(key))[2] == "The security token included in the request is expired"
    api.api.client.put_gateway_response(
        restApiId=api.api.id, responseType="EXPIRED_TOKEN", statusCode="419",
        responseTemplates={"application/json": '{"t":"$context.error.responseType","m":$context.error.messageString}'},
    )  # fmt: skip
    api.api.deploy_without_waiting()
    answer = api.call(key)
    expected = {"t": "EXPIRED_TOKEN", "m": "The security token included in the request is expired"}
    assert (answer.status_code, answer.json()) == (419, expected)


class TestRefusals:
    def test_unsigned_unknown_and_malformed(self, api):
        key = api.key("ann", policy())
        assert told(api.call(None)) == MISSING
        assert told(api.call({"AccessKeyId": "AKIANOBODY", "SecretAccessKey": "x"})) == UNKNOWN
        # As AWS's users have shown it; the hash is that of the whole header.
        assert told(api.call(None, Authorization="x-api-key CTkrL5f5IxvMpX722zXivqnd1KU5VyoNBOFQFUUnf-E")) == (
            403, "IncompleteSignatureException",
            "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): "
            "'MZ1DdfK/poPwXem5nlPMS3OWGzSFtqzqMw4zpXXhXtM='.",
        )  # fmt: skip
        status, kind, message = told(api.call(None, Authorization="Basic YTpi="))
        assert kind == "IncompleteSignatureException"
        assert message.startswith("Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' ")
        status, kind, message = told(api.call(None, Authorization="AWS4-HMAC-SHA256 Credential=x"))
        assert kind == "IncompleteSignatureException"
        assert message.startswith("Authorization header requires 'Signature' parameter.")
        assert api.call(key).status_code == 200

    def test_a_method_that_is_not_there_is_taken_for_a_signed_one(self, api):
        def call(verb, path, **headers):
            return told(api.api.call(verb, path, headers=headers))

        for verb, path in ("GET", "/nowhere"), ("PUT", "/a"):
            assert call(verb, path) == MISSING
            status, kind, message = call(verb, path, Authorization="Bearer x")
            assert (status, kind) == (403, "IncompleteSignatureException")
            assert message.startswith("Invalid key=value pair (missing equal-sign) in Authorization header")

    def test_wrong_secret(self, api):
        key = api.key("ann", policy()) | {"SecretAccessKey": "wrong"}
        status, kind, message = told(api.call(key))
        assert (status, kind) == (403, "InvalidSignatureException")
        assert message.startswith("The request signature we calculated does not match the signature you provided.")
        assert "\n\nThe Canonical String for this request should have been\n'GET\n/test/a\nb=a%20b&x=1\n" in message
        assert "\n\nThe String-to-Sign should have been\n'AWS4-HMAC-SHA256\n" in message

    def test_scope(self, api):
        key = api.key("ann", policy())
        wrong = told(api.call(key, region="eu-west-1"))
        assert wrong == (403, "InvalidSignatureException", "Credential should be scoped to a valid region, not 'eu-west-1'. ")
        wrong = told(api.call(key, service="s3"))[2]
        assert "Credential should be scoped to correct service: 'execute-api'. " in wrong

    @pytest.mark.parametrize("minutes, text", [(-6, "Signature expired: "), (6, "Signature not yet current: ")])
    def test_clocks_may_differ_by_five_minutes(self, api, minutes, text):
        key = api.key("ann", policy())
        now = datetime.datetime.now(datetime.timezone.utc)
        near = now + datetime.timedelta(minutes=minutes * 2 / 3)
        assert api.call(key, at=near).status_code == 200
        far = told(api.call(key, at=now + datetime.timedelta(minutes=minutes)))
        assert far[:2] == (403, "InvalidSignatureException") and far[2].startswith(text)

    @pytest.mark.parametrize(
        "change",
        [
            lambda sent: sent.update(method="POST"),
            lambda sent: sent.update(url=sent["url"].replace("x=1", "x=2")),
            lambda sent: sent.update(url=sent["url"] + "&more=1"),
            lambda sent: sent.update(data=b"other"),
            lambda sent: sent["headers"].update({"X-Signed": "other"}),
            lambda sent: sent["headers"].pop("X-Signed"),
        ],
    )
    def test_whatever_was_signed_may_not_be_changed(self, api, change):
        key = api.key("ann", policy())
        signed = {"X-Signed": "value"}
        assert api.call(key, **signed).status_code == 200
        assert told(api.call(key, change=change, **signed))[:2] == (403, "InvalidSignatureException")

    @pytest.mark.parametrize("presign", [False, True])
    def test_a_signed_request_calls_no_other_method(self, api, presign):
        """X-HTTP-Method-Override counts where it was signed: a presigned address is good for one method."""
        key, override = api.key("ann", policy()), {"X-HTTP-Method-Override": "POST"}
        poster = api.key("poster", policy(Resource=f"arn:aws:execute-api:*:*:{api.api.id}/*/POST/*"))
        assert api.call(poster).status_code == 403
        assert api.call(poster, **override).status_code == 200
        changed = api.call(key, presign=presign, change=lambda sent: sent["headers"].update(override))
        assert told(changed) == (
            403, "IncompleteSignatureException", "'X-HTTP-Method-Override' must be a 'SignedHeader' in the AWS Authorization.",
        )  # fmt: skip

    def sent(self, api, key, path, query, signed=None, presign=False, host=None, more=""):
        """A request whose signature is over `signed`, path and query, and that is sent over a socket as it is given."""
        host = host or api.host
        signed_path, signed_query = signed or (path, query)
        request = botocore.awsrequest.AWSRequest(method="GET", url=f"http://{host}{signed_path}?{signed_query}")
        kind = botocore.auth.SigV4QueryAuth if presign else botocore.auth.SigV4Auth
        kind(botocore.credentials.Credentials(key["AccessKeyId"], key["SecretAccessKey"]), "execute-api", REGION).add_auth(request)
        prepared = request.prepare()
        if presign:
            query += "&" + prepared.url.partition(signed_query + "&")[2]
        head = "".join(f"{name}: {value}\r\n" for name, value in prepared.headers.items())
        answer = api.gateway.raw(f"GET {path}?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{head}{more}\r\n".encode())
        return int(answer.split(b" ", 2)[1])

    @pytest.mark.parametrize("presign", [False, True])
    def test_other_spellings_that_lead_elsewhere(self, api, echo, presign):
        """The algorithm takes several spellings of a path and query for one. Where routes do not, a signature holds for its own."""
        api.api.proxy("GET", "/{proxy+}", echo.url, method_options={"authorizationType": "AWS_IAM"})
        api.api.deploy_without_waiting()
        key = api.key("ann", policy())

        def status(path, query, *signed):
            return self.sent(api, key, path, query, signed or None, presign)

        assert status("/test/a", "x=1", "/test/a", "x=1") == 200
        # Resources of REST APIs know no empty segments, so this one is the same.
        assert status("/test//a", "x=1", "/test/a", "x=1") == 200
        for path in "/test/b/../a", "/test/./a", "/test/a/b/..", "/x/../test/a":
            assert status(path, "x=1", "/test/a", "x=1") == 403, path
        # `;` parts parameters here, and a plus is a space, as AWS writes it in what should have been signed.
        assert status("/test/a", "x=1;admin=2", "/test/a", "x=1%3Badmin%3D2") == 403
        assert status("/test/a", "x=1+2", "/test/a", "x=1%202") == 200
        assert status("/test/a", "x=1+2", "/test/a", "x=1%2B2") == 403
        assert status("/test/a", "x=1&X-Amz-Signature=0", "/test/a", "x=1") == 403
        if not presign:
            assert status("/test/a", "x=1;admin=2") == 200
            assert self.sent(api, key, "/test/a", "x=1", more="Authorization: Bearer x\r\n") == 403

    def test_other_spellings_of_routes(self, api, echo):
        """Routes of HTTP APIs tell empty segments apart."""
        key, web = api.key("ann", policy()), HttpApi(api.gateway)
        for route in "GET /pets", "GET /{proxy+}", "$default":
            made = web.backend(route, echo.url)
            web.client.update_route(ApiId=web.id, RouteId=made, AuthorizationType="AWS_IAM")
        host = f"{web.id}.execute-api.localhost"
        for presign in False, True:
            assert self.sent(api, key, "/pets", "x=1", presign=presign, host=host) == 200
            for path in "//pets", "/x/../pets", "/./pets":
                assert self.sent(api, key, path, "x=1", ("/pets", "x=1"), presign, host) == 403, path

    def test_headers_that_are_no_text(self, api):
        key = api.key("ann", policy())
        request = botocore.awsrequest.AWSRequest(method="GET", url=f"http://{api.host}/test/a", headers={"X-Name": "\ufffd"})
        credentials = botocore.credentials.Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        botocore.auth.SigV4Auth(credentials, "execute-api", REGION).add_auth(request)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items() if name != "X-Name")
        line = f"GET /test/a HTTP/1.1\r\nHost: {api.host}\r\nConnection: close\r\n{head}X-Name: "
        for value, status in ("\ufffd".encode(), b"200"), (b"\xff", b"403"):
            assert api.gateway.raw(line.encode() + value + b"\r\n\r\n").split(b" ")[1] == status, value

    def test_deleted_keys(self, api):
        key = api.key("ann", policy())
        assert [entry["Arn"] for entry in api.credentials("list")] == [f"arn:aws:iam::{ACCOUNT}:user/ann"]
        api.credentials("delete", key["AccessKeyId"])
        eventually(lambda: api.status(key) == UNKNOWN[1], what="the end of the key")


class TestPolicies:
    def refusal(self, api, user, why):
        resource = f"arn:aws:execute-api:{REGION}:********{ACCOUNT[8:]}:{api.api.id}/test/GET/a"
        message = f"User: {user} is not authorized to perform: execute-api:Invoke on resource: {resource} {why}"
        return 403, "AccessDeniedException", message

    def test_identity_policies(self, api):
        masked = f"arn:aws:iam::********{ACCOUNT[8:]}:user/"
        none = api.key("none")
        why = "because no identity-based policy allows the execute-api:Invoke action"
        assert told(api.call(none)) == self.refusal(api, masked + "none", why)
        denied = api.key("denied", policy(), policy("Deny"))
        why = "with an explicit deny in an identity-based policy"
        assert told(api.call(denied)) == self.refusal(api, masked + "denied", why)
        # A session has no user's name, so nothing is other than it.
        other = policy(Condition={"StringNotEquals": {"aws:UserAgent": "${aws:username}"}})
        assert api.call(api.key("role", other, arguments=["--session", "me"])).status_code == 403
        assert api.call(api.key("user", other)).status_code == 200
        condition = {"StringEquals": {"aws:username": "named", "aws:PrincipalTag/team": "blue"}}
        named = api.key("named", policy(Condition=condition), arguments=["--tag", "team=blue"])
        assert api.call(named).status_code == 200
        reader = api.key("reader", policy(Resource=f"arn:aws:execute-api:*:*:{api.api.id}/*/GET/*"))
        assert [api.call(reader, method=verb).status_code for verb in ("GET", "POST")] == [200, 403]

    @pytest.mark.parametrize(
        "effect, account, allowed_by_identity, expected",
        [
            # One account: either may allow. Two accounts: both have to.
            ("Allow", ACCOUNT, False, 200),
            ("Allow", ACCOUNT, True, 200),
            ("Deny", ACCOUNT, True, 403),
            ("Allow", "222222222222", False, 403),
            ("Allow", "222222222222", True, 200),
            ("Deny", "222222222222", True, 403),
        ],
    )
    def test_with_a_resource_policy(self, gateway, tmp_path, effect, account, allowed_by_identity, expected):
        user = f"arn:aws:iam::{account}:user/ann"
        statement = {"Principal": {"AWS": user}, "Resource": "execute-api:/*"}
        api = Api(gateway, tmp_path, policy(effect, **statement))
        documents = [policy()] if allowed_by_identity else []
        key = api.key("ann", *documents, arguments=["--account-id", account])
        assert api.call(key).status_code == expected
        assert told(api.call(None)) == MISSING

    @pytest.mark.parametrize("resource, expected", [("execute-api:/test", 403), ("execute-api:/tes", 200), ("execute-api:/dev", 200)])
    def test_a_denial_of_a_stage_denies_all_of_it(self, gateway, resource, expected):
        everybody = {"Principal": "*", "Action": "execute-api:Invoke"}
        statements = [{"Effect": "Allow", "Resource": "execute-api:/*"} | everybody, {"Effect": "Deny", "Resource": resource} | everybody]
        api = gateway.rest_api(policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
        api.mock("GET", "/a", "x")
        api.deploy()
        assert api.call("GET", "/a").status_code == expected

    def test_another_account_needs_a_resource_policy(self, api):
        key = api.key("ann", policy(), arguments=["--account-id", "222222222222"])
        assert told(api.call(key))[2].endswith("because no resource-based policy allows the execute-api:Invoke action")


def test_keys_made_at_the_same_time_are_all_kept(api):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: api.credentials("create", f"user-{number}")["AccessKeyId"], range(16)))
    assert len(set(made)) == 16
    kept = {key["AccessKeyId"] for entry in api.credentials("list") for key in entry["AccessKeys"]}
    assert kept == set(made)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: api.credentials("delete", key), made))
    assert not any(entry["AccessKeys"] for entry in api.credentials("list"))


def test_what_is_known_of_temporary_keys(api):
    """aws:MultiFactorAuthPresent and aws:TokenIssueTime are there for them alone, as on AWS."""
    old = policy("Deny", Condition={"DateLessThan": {"aws:TokenIssueTime": "2001-01-01T00:00:00Z"}})
    new = policy("Deny", Condition={"DateGreaterThan": {"aws:TokenIssueTime": "2001-01-01T00:00:00Z"}})
    plain = policy("Deny", Condition={"Bool": {"aws:MultiFactorAuthPresent": "false"}})
    session = ["--session", "me"]
    assert api.call(api.key("a", policy(), old, arguments=session)).status_code == 200
    assert api.call(api.key("b", policy(), new, arguments=session)).status_code == 403
    assert api.call(api.key("c", policy(), plain, arguments=session)).status_code == 403
    assert api.call(api.key("d", policy(), new, plain)).status_code == 200


def test_secrets_are_kept_encrypted_and_never_logged(new_gateway, tmp_path):
    gateway = new_gateway("--log", "trace").start()
    api = Api(gateway, tmp_path)
    key = api.key("ann", policy())
    session = api.key("admin", policy(), arguments=["--session", "me"])
    api.call(key), api.call(session), api.call(key | {"SecretAccessKey": "wrong"})
    kept = "".join(path.read_text(errors="replace") for path in gateway.data.glob("principals.*"))
    for secret in key["SecretAccessKey"], session["SecretAccessKey"], session["SessionToken"]:
        assert secret not in kept and secret not in gateway.log()
    for path in gateway.data.glob("principals.*"):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_fresh_response_takes_a_permission_of_its_own(api):
    """`Cache-Control: max-age=0` where the stage asks for execute-api:InvalidateCache."""
    client = api.api.client
    where = {"restApiId": api.api.id, "resourceId": api.api.resource("/a"), "httpMethod": "GET", "statusCode": "200"}
    template = [{"op": "replace", "path": "/responseTemplates/application~1json", "value": "$context.requestId"}]
    client.update_integration_response(**where, patchOperations=template)
    client.create_deployment(restApiId=api.api.id, stageName="test", cacheClusterEnabled=True)
    settings = {"enabled": "true", "unauthorizedCacheControlHeaderStrategy": "FAIL_WITH_403"}
    patch = [{"op": "replace", "path": f"/*/*/caching/{name}", "value": value} for name, value in settings.items()]
    client.update_stage(restApiId=api.api.id, stageName="test", patchOperations=patch)

    reader = api.key("reader", policy())
    owner = api.key("owner", policy(Action=["execute-api:Invoke", "execute-api:InvalidateCache"]))
    elsewhere = api.key("other", policy(), policy(Action="execute-api:InvalidateCache", Resource="arn:aws:execute-api:*:*:*/*/GET/b"))
    fresh = {"Cache-Control": "max-age=0"}
    first = api.call(reader).text
    assert api.call(owner).text == first
    for key in reader, elsewhere:
        assert told(api.call(key, **fresh))[:2] == (403, "AccessDeniedException")
    assert api.call(reader).text == first
    second = api.call(owner, **fresh)
    assert second.status_code == 200 and second.text != first
    assert api.call(reader).text == second.text
