"""Functions that run elsewhere: ARN patterns of the configuration lead to other Lambda-compatible endpoints."""

import random
import re
import subprocess
import sys
import time

import pytest
import requests
from harness import ACCOUNT, REGION, body_json, eventually, free_port, lambda_uri
from origin import read_head
from test_failing_backends import reset
from test_functions import ROLE, archive, create

SECRET = "wJalrXUtnFEMI"


def configured(new_gateway, tmp_path, text):
    path = tmp_path / "front.toml"
    path.write_text(text)
    return new_gateway("--config", str(path)).start()


def serve(gateway, arn, **options):
    api = gateway.rest_api()
    api.proxy("ANY", "/{proxy+}", lambda_uri(arn), kind="AWS_PROXY", **options)
    api.deploy()
    return api


@pytest.fixture
def elsewhere(new_gateway, tmp_path):
    """A second gateway, which verifies signatures."""
    path = tmp_path / "elsewhere.toml"
    path.write_text(f"[[credentials]]\naccess_key_id = 'test'\nsecret_access_key = 'test'\n"
                    f"[[credentials]]\naccess_key_id = 'AKIAREMOTE'\nsecret_access_key = '{SECRET}'\n")  # fmt: skip
    return new_gateway("--config", str(path)).start()


def test_a_pattern_leads_to_another_gateway(new_gateway, tmp_path, elsewhere):
    source = """exports.handler = async (event, context) => {
      if (event.path === '/fail') throw new Error('no');
      return {statusCode: 201, body: JSON.stringify([context.invokedFunctionArn, event.path, process.env._X_AMZN_TRACE_ID])};
    };"""
    arn = create(elsewhere, "orders", source, Publish=True).removesuffix(":1")
    elsewhere.client("lambda").create_alias(FunctionName="orders", Name="live", FunctionVersion="1")
    front = configured(
        new_gateway,
        tmp_path,
        f"""[[lambda_endpoints]]
pattern = "arn:aws:lambda:*:*:function:ord*"
url = "{elsewhere.control}"
access_key_id = "AKIAREMOTE"
secret_access_key = "{SECRET}"
""",
    )
    api = serve(front, arn + ":live")
    for _ in range(3):
        answer = api.call("GET", "/a")
        told = body_json(answer)
        assert (answer.status_code, told[:2]) == (201, [arn + ":live", "/a"])
        assert re.match(r"Root=1-", told[2] or ""), told
    assert api.call("GET", "/fail").status_code == 502
    missing = serve(front, arn.replace("orders", "ordinary"))
    assert missing.call("GET", "/a").status_code == 500
    # What no pattern fits is looked for here alone.
    assert serve(front, arn.replace("orders", "users")).call("GET", "/a").status_code == 500
    # A function that is known here wins.
    create(front, "orders", "exports.handler = async () => ({statusCode: 202});")
    assert serve(front, arn, credentials=ROLE).call("GET", "/a").status_code == 202


def test_a_wrong_key_is_refused_there(new_gateway, tmp_path, elsewhere):
    arn = create(elsewhere, "orders")
    front = configured(
        new_gateway,
        tmp_path,
        f"""[[lambda_endpoints]]
pattern = "{arn}"
url = "{elsewhere.control}"
access_key_id = "AKIAREMOTE"
secret_access_key = "another"
""",
    )
    answer = serve(front, arn).call("GET", "/a")
    assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})


def test_an_endpoint_that_fails(new_gateway, tmp_path, raw_origin):
    """Resets, stalls within the body, says more than it declared, and closes kept connections at random."""
    dice, connections = random.Random(7), []
    whole = b'{"statusCode": 200, "body": "ok"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole)

    def play(link):
        connections.append(link)
        while (asked := read_head(link))[0]:
            left = int(re.search(rb"content-length: (\d+)", asked[0].lower())[1]) - len(asked[1])
            while left > 0:
                left -= len(link.recv(left))
            link.sendall(head + whole)
            if dice.random() < 0.4:
                return

    plays = {
        "closes": play,
        "resets": lambda link: (read_head(link), reset(link)),
        "stalls": lambda link: (read_head(link), link.sendall(head + b"{"), link.recv(1 << 20), time.sleep(5)),
        "forges": lambda link: (read_head(link), link.sendall(head + whole + b"HTTP/1.1 500 no\r\n\r\n"), link.recv(1 << 20)),
    }
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
    text = "".join(
        f'[[lambda_endpoints]]\npattern = "{arn}{name}"\nurl = "{raw_origin(play).url}"\n' for name, play in plays.items()
    )
    front = configured(new_gateway, tmp_path, text)
    resets = serve(front, arn + "resets").call("GET", "/a")
    assert (resets.status_code, body_json(resets)) == (500, {"message": "Internal server error"})
    begun = time.monotonic()
    stalls = serve(front, arn + "stalls", timeoutInMillis=500).call("GET", "/a")
    assert (stalls.status_code, body_json(stalls)) == (504, {"message": "Endpoint request timed out"})
    assert time.monotonic() - begun < 4
    forges = serve(front, arn + "forges")
    for _ in range(3):
        assert forges.call("GET", "/a").text == "ok"
    closes = serve(front, arn + "closes")
    for _ in range(60):
        assert closes.call("GET", "/a").text == "ok"
        time.sleep(0.005)  # until the end of the connection has arrived
    assert 1 < len(connections) < 60


def test_an_endpoint_that_is_not_there(new_gateway, tmp_path):
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:gone"
    text = f'[[lambda_endpoints]]\npattern = "{arn}"\nurl = "http://127.0.0.1:{free_port()}"\n'
    front = configured(new_gateway, tmp_path, text)
    answer = serve(front, arn).call("GET", "/a")
    assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})
    assert "could not be called" in front.log()


@pytest.fixture
def moto():
    """moto's server; its functions answer what they are told to, without running."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: requests.get(url + "/moto-api/data.json", timeout=2).ok, 30, "moto's server")
        yield url
    finally:
        process.kill()
        process.wait()


def test_moto(new_gateway, tmp_path, moto):
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
    assert requests.post(moto + "/moto-api/config", json={"lambda": {"use_docker": False}}, timeout=5).status_code < 300
    role = boto3.client("iam", endpoint_url=moto, **keys).create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    client = boto3.client("lambda", endpoint_url=moto, **keys)
    arn = client.create_function(
        FunctionName="m",
        Runtime="python3.12",
        Role=role["Role"]["Arn"],
        Handler="index.handler",
        Code={"ZipFile": archive({"index.py": "def handler(event, context): pass\n"})},
    )["FunctionArn"]
    requests.post(
        moto + "/moto-api/static/lambda-simple/response",
        json={"results": ['{"statusCode": 203, "body": "from moto"}']},
        timeout=5,
    ).raise_for_status()
    front = configured(
        new_gateway,
        tmp_path,
        f"""[[lambda_endpoints]]
pattern = "arn:aws:lambda:*:*:function:m"
url = "{moto}"
access_key_id = "test"
secret_access_key = "test"
""",
    )
    answer = serve(front, arn).call("GET", "/a")
    assert (answer.status_code, answer.text) == (203, "from moto"), front.log()


@pytest.mark.parametrize(
    "text, part",
    [
        ("pattern = 'orders'\nurl = 'http://localhost:1'", "whole ARNs"),
        ("pattern = 'arn:aws:lambda:*:*:function:*'", "AWS itself"),
        ("pattern = 'arn:aws:lambda:*:*:function:*'\nurl = 'localhost'", "url"),
    ],
)
def test_what_is_no_endpoint_is_refused_at_start(new_gateway, tmp_path, text, part):
    path = tmp_path / "config.toml"
    path.write_text("[[lambda_endpoints]]\n" + text)
    code, _, told = new_gateway("--config", str(path)).run_to_end()
    assert code == 2 and part in told, told
