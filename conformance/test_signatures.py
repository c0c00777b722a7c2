"""Forms of signatures beside the plain one: Signature Version 4A as AWS's own runtime (awscrt) makes it, bodies in signed
chunks, presigned URLs; and what logs and traces tell of the policies that were asked."""

import gzip
import hashlib
import hmac
import json
import os
import subprocess

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.crt.auth
import pytest
import requests
from harness import REGION, binary, body_json, eventually
from test_execution_logs import logging_gateway, set_methods  # noqa: F401
from test_http_api_authorizers import guard
from test_http_api_traffic import HttpApi
from test_iam import Api, policy, told
from test_tracing import ROOT, Daemon

ASYMMETRIC = "AWS4-ECDSA-P256-SHA256"


class Signed(Api):
    """Its POST /echo shows the backend's view of a request."""

    def __init__(self, gateway, tmp_path, backend=None):
        super().__init__(gateway, tmp_path)
        if backend:
            self.api.proxy("POST", "/echo", backend, method_options={"authorizationType": "AWS_IAM"})
            self.api.deploy_without_waiting()

    def send(self, prepared, data=b"", **headers):
        url = prepared.url.replace(self.host, f"127.0.0.1:{self.gateway.traffic_port}")
        headers = dict(prepared.headers) | {"Host": self.host} | headers
        return requests.request(prepared.method, url, headers=headers, data=data, timeout=20)


def asymmetric(key, url, regions, presign=False, method="GET", data=b""):
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=data)
    credentials = botocore.credentials.Credentials(key["AccessKeyId"], key["SecretAccessKey"], key.get("SessionToken"))
    kind = botocore.crt.auth.CrtSigV4AsymQueryAuth if presign else botocore.crt.auth.CrtSigV4AsymAuth
    kind(credentials, "execute-api", regions).add_auth(request)
    return request.prepare()


class TestVersion4A:
    @pytest.fixture
    def api(self, gateway, tmp_path):
        return Signed(gateway, tmp_path)

    @pytest.mark.parametrize("regions", ["*", REGION, f"eu-west-1,{REGION}", REGION[:-1] + "*"])
    def test_good_in_every_region_that_it_names(self, api, regions):
        key = api.key("ann", policy())
        url = f"http://{api.host}/test/a?x=1&b=a%20b"
        assert api.send(asymmetric(key, url, regions)).status_code == 200
        assert api.send(asymmetric(key, url, regions, method="POST", data=b"{}"), b"{}").status_code == 200
        assert api.send(asymmetric(key, url, regions, presign=True)).status_code == 200

    def test_sessions(self, api):
        key = api.key("admin", policy(), arguments=["--session", "me"])
        url = f"http://{api.host}/test/a"
        assert api.send(asymmetric(key, url, "*")).status_code == 200
        assert told(api.send(asymmetric(key | {"SessionToken": None}, url, "*")))[1] == "UnrecognizedClientException"

    def test_what_does_not_hold(self, api):
        key = api.key("ann", policy())
        url = f"http://{api.host}/test/a"
        other = told(api.send(asymmetric(key, url, "eu-west-1,eu-west-2")))
        assert other[:2] == (403, "InvalidSignatureException") and "valid region, not 'eu-west-1,eu-west-2'" in other[2]
        wrong = asymmetric(key | {"SecretAccessKey": "x" * 40}, url, "*")
        assert told(api.send(wrong))[1] == "InvalidSignatureException"
        good = asymmetric(key, url, "eu-west-1")
        assert told(api.send(good, **{"X-Amz-Region-Set": "*"}))[1] == "InvalidSignatureException"
        posted = asymmetric(key, url, "*", method="POST", data=b"{}")
        assert told(api.send(posted, b"[]"))[1] == "InvalidSignatureException"
        # The region set has to be signed, and the symmetric key signs nothing here.
        value = asymmetric(key, url, "*").headers["Authorization"]
        unsigned = {"Authorization": value.replace(";x-amz-region-set", "")}
        assert told(api.send(asymmetric(key, url, "*"), **unsigned))[1] == "IncompleteSignatureException"

    def test_http_apis_do_not_take_it(self, gateway, tmp_path, echo):
        api = HttpApi(gateway)
        guard(api, api.backend("GET /a", echo.url), "AWS_IAM")
        signer = Api(gateway, tmp_path)
        key = signer.key("ann", policy())
        host = f"{api.id}.execute-api.localhost:{gateway.traffic_port}"
        request = asymmetric(key, f"http://{host}/a", "*")
        answer = requests.get(f"{gateway.traffic}/a", headers=dict(request.headers) | {"Host": host}, timeout=20)
        assert (answer.status_code, body_json(answer)) == (403, {"message": "Forbidden"})


class Chunks:
    """A body in signed chunks, by the algorithm in S3's API reference."""

    def __init__(self, api, key, parts, trailer=None, signed=True, **headers):
        kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" if signed else "STREAMING-UNSIGNED-PAYLOAD"
        length = str(sum(len(part) for part in parts))
        headers = {"X-Amz-Content-SHA256": kind + ("-TRAILER" if trailer else ""), "X-Amz-Decoded-Content-Length": length,
                   "Content-Encoding": "aws-chunked", **({"X-Amz-Trailer": trailer[0]} if trailer else {}), **headers}  # fmt: skip
        request = botocore.awsrequest.AWSRequest("POST", f"http://{api.host}/test/echo", headers=headers)
        credentials = botocore.credentials.Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        botocore.auth.SigV4Auth(credentials, "execute-api", REGION).add_auth(request)
        self.prepared = request.prepare()
        self.at = self.prepared.headers["X-Amz-Date"]
        self.at = self.at.decode() if isinstance(self.at, bytes) else self.at
        authorization = self.prepared.headers["Authorization"]
        authorization = authorization.decode() if isinstance(authorization, bytes) else authorization
        self.previous = authorization.rpartition("=")[2]
        self.key = ("AWS4" + key["SecretAccessKey"]).encode()
        for part in self.at[:8], REGION, "execute-api", "aws4_request":
            self.key = hmac.digest(self.key, part.encode(), "sha256")
        self.body = b""
        for part in [*parts, b""]:
            sign = f";chunk-signature={self.sign('PAYLOAD', hashlib.sha256().hexdigest(), part)}" if signed else ""
            self.body += f"{len(part):x}{sign}\r\n".encode() + (part + b"\r\n" if part else b"")
        if trailer:
            name, value = trailer
            self.body += f"{name}:{value}\r\n".encode()
            if signed:
                signature = self.sign("TRAILER", f"{name}:{value}\n".encode())
                self.body += f"x-amz-trailer-signature:{signature}\r\n".encode()
        self.body += b"\r\n"

    def sign(self, kind, *parts):
        hashes = [part if isinstance(part, str) else hashlib.sha256(part).hexdigest() for part in parts]
        scope = f"{self.at[:8]}/{REGION}/execute-api/aws4_request"
        text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", self.at, scope, self.previous, *hashes])
        self.previous = hmac.new(self.key, text.encode(), "sha256").hexdigest()
        return self.previous


class TestCodings:
    """A signature covers the bytes that came, coded as they are; the backend gets them without their coding."""

    @pytest.fixture
    def api(self, gateway, tmp_path, echo):
        return Signed(gateway, tmp_path, echo.url)

    def test_a_coded_body_is_signed_as_it_is_sent(self, api, echo):
        key = api.key("ann", policy())
        coded = gzip.compress(b'{"a": 1}')
        request = botocore.awsrequest.AWSRequest("POST", f"http://{api.host}/test/echo", data=coded)
        request.headers["Content-Encoding"] = "gzip"
        credentials = botocore.credentials.Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        botocore.auth.SigV4Auth(credentials, "execute-api", REGION).add_auth(request)
        answer = api.send(request.prepare(), coded)
        assert answer.status_code == 200, answer.text
        assert echo.seen[-1][3] == b'{"a": 1}'
        assert told(api.send(request.prepare(), b'{"a": 1}'))[1] == "InvalidSignatureException"

    def test_signed_chunks_are_no_coding_where_nothing_is_signed(self, api, echo):
        api.api.proxy("POST", "/open", echo.url)
        api.api.deploy()
        answer = api.api.call("POST", "/open", data=b"0\r\n\r\n", headers={"Content-Encoding": "aws-chunked"})
        assert answer.status_code == 415, answer.text


CHECKSUM = ("x-amz-checksum-crc32c", "sOO8/Q==")


class TestChunks:
    @pytest.fixture
    def api(self, gateway, tmp_path, echo):
        return Signed(gateway, tmp_path, echo.url)

    @pytest.mark.parametrize("options", [{}, {"trailer": CHECKSUM}, {"trailer": CHECKSUM, "signed": False}])
    def test_the_backend_sees_what_they_hold(self, api, echo, options):
        key = api.key("ann", policy())
        parts = [b"a" * 65536, b"b" * 1000]
        chunks = Chunks(api, key, parts, **options)
        answer = api.send(chunks.prepared, chunks.body)
        assert answer.status_code == 200, answer.text
        _, _, headers, body = echo.seen[-1]
        assert body == b"".join(parts)
        seen = {name.lower(): value for name, value in headers}
        assert "content-encoding" not in seen and seen["content-length"] == str(len(body))

    def test_a_changed_chunk_is_refused(self, api, echo):
        key = api.key("ann", policy())
        chunks = Chunks(api, key, [b"pay ann 10", b"pay bob 20"])
        first, second = chunks.body.index(b"a;"), chunks.body.rindex(b"a;")
        end = chunks.body.rindex(b"0;")
        bodies = {
            "changed": chunks.body.replace(b"ann 10", b"ann 99"),
            "left out": chunks.body[:second] + chunks.body[end:],
            "swapped": chunks.body[second:end] + chunks.body[first:second] + chunks.body[end:],
            "cut short": chunks.body[:second],
            "longer": chunks.body + b"more",
            "none": b"pay ann 10pay bob 20",
        }
        seen = len(echo.seen)
        for name, body in bodies.items():
            assert told(api.send(chunks.prepared, body))[:2] == (403, "InvalidSignatureException"), name
        assert len(echo.seen) == seen
        assert api.send(chunks.prepared, chunks.body).status_code == 200

    def test_trailers_and_lengths_are_part_of_it(self, api):
        key = api.key("ann", policy())
        chunks = Chunks(api, key, [b"data"], CHECKSUM)
        assert told(api.send(chunks.prepared, chunks.body.replace(b"sOO8", b"AAAA")))[1] == "InvalidSignatureException"
        shorter = Chunks(api, key, [b"data"], **{"X-Amz-Decoded-Content-Length": "3"})
        assert told(api.send(shorter.prepared, shorter.body))[1] == "InvalidSignatureException"
        # Unsigned where signatures were announced, and a form that nobody knows.
        unsigned = Chunks(api, key, [b"data"], CHECKSUM, signed=False)
        assert told(api.send(chunks.prepared, unsigned.body))[1] == "InvalidSignatureException"
        other = Chunks(api, key, [b"data"], **{"X-Amz-Content-SHA256": "STREAMING-ANYTHING"})
        assert told(api.send(other.prepared, other.body))[1] == "InvalidSignatureException"


def test_presigned_addresses(gateway, tmp_path):
    api = Api(gateway, tmp_path)
    key = api.key("admin", policy(), arguments=["--session", "me"])
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_SESSION_TOKEN": key["SessionToken"],
    }  # fmt: skip

    def presign(url, *arguments):
        done = subprocess.run(
            [binary(), "sign", url, "--region", REGION, *arguments], env=environment, capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def get(url):
        return requests.get(url.replace(api.host, f"127.0.0.1:{gateway.traffic_port}"), headers={"Host": api.host}, timeout=20)

    url = presign(f"http://{api.host}/test/a?x=1&b=a%20b", "--presign", "60")
    assert url.startswith(f"http://{api.host}/test/a?x=1&b=a%20b&X-Amz-Algorithm=") and key["SecretAccessKey"] not in url
    assert get(url).status_code == 200
    assert get(url.replace("x=1", "x=2")).status_code == 403
    assert get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")).status_code == 403
    short = presign(f"http://{api.host}/test/a", "--presign", "1")
    eventually(lambda: "Signature expired: " in told(get(short))[2] if get(short).status_code == 403 else None, what="its end")


class TestExplanations:
    statements = {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "here", "Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*",
             "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}},
            {"Sid": "closed", "Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke",
             "Resource": "execute-api:/*/GET/closed"},
        ],
    }  # fmt: skip

    def test_execution_logs_name_statement_and_condition(self, logging_gateway, tmp_path):  # noqa: F811
        api = logging_gateway.rest_api(policy=json.dumps(self.statements))
        for path in "/open", "/closed":
            api.mock("GET", path, "x")
        api.deploy_without_waiting()
        set_methods(api, logging_loglevel="INFO")
        log = logging_gateway.execution_log
        assert [api.call("GET", path).status_code for path in ("/open", "/closed")] == [200, 403]
        allowed = 'allowed: statement 1 "here" (Allow) applies, for IpAddress aws:SourceIp "127.0.0.0/8" holds'
        denied = 'explicitly denied: statement 2 "closed" (Deny) applies'
        for why in allowed, denied:
            eventually(lambda why=why: f"Policy evaluation (resource policy): {why}\n" in log.read_text(), what=why)
        set_methods(api, logging_loglevel="ERROR")
        before = log.read_text().count("Policy evaluation")
        assert api.call("GET", "/closed").status_code == 403
        assert log.read_text().count("Policy evaluation") == before

    def test_identity_policies(self, logging_gateway, tmp_path):  # noqa: F811
        api = Api(logging_gateway, tmp_path)
        condition = {"StringEquals": {"aws:username": "bob"}}
        key = api.key("ann", policy(Condition=condition))
        set_methods(api.api, logging_loglevel="INFO")
        assert api.call(key).status_code == 403
        why = 'denied, because no statement allows it: statement 1 (Allow) does not apply: its condition StringEquals aws:username "bob" does not hold'
        log = logging_gateway.execution_log
        eventually(lambda: f"Policy evaluation (identity policies): {why}\n" in log.read_text(), what="the explanation")

    def test_traces(self, new_gateway, tmp_path):
        daemon = Daemon()
        config = tmp_path / "stagedoor.toml"
        config.write_text(f"xray_daemon = '{daemon.address}'\n")
        api = new_gateway("--config", str(config)).start().rest_api(policy=json.dumps(self.statements))
        api.mock("GET", "/closed", "x")
        api.deploy_without_waiting()
        patch = [{"op": "replace", "path": "/tracingEnabled", "value": "true"}]
        api.client.update_stage(restApiId=api.id, stageName="test", patchOperations=patch)
        assert api.call("GET", "/closed", headers={"X-Amzn-Trace-Id": f"Root={ROOT};Sampled=1"}).status_code == 403
        metadata = daemon.segment()["metadata"]["default"]
        assert metadata["policies"] == {"resource policy": 'explicitly denied: statement 2 "closed" (Deny) applies'}
        daemon.socket.close()
