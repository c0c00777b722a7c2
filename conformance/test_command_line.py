"""The binary as a program: help, completions, logs, colours, configuration."""

import json
import os
import pty
import subprocess

import boto3
import botocore.config
import pytest
import requests
from harness import binary, eventually, free_port
from test_protocol import error_of


def run(*arguments, **options):
    return subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=20, check=False, **options)


def test_help_and_version():
    done = run("--help")
    assert done.returncode == 0 and {"serve", "up", "completions"} <= set(done.stdout.split())
    assert "\x1b[" not in done.stdout, "colours, and no terminal"
    for command in "serve", "up":
        text = run(command, "--help").stdout
        for word in "--listen", "--control", "--data", "127.0.0.1:8080", "127.0.0.1:4566", ".stagedoor":
            assert word in text, (command, word)
    assert run("--version").stdout.startswith("stagedoor ")


def test_no_command_is_a_usage_error():
    done = run()
    assert done.returncode == 2 and "Usage" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "elvish", "powershell"])
def test_completions(shell):
    done = run("completions", shell)
    assert done.returncode == 0 and "stagedoor" in done.stdout and "control" in done.stdout


def test_bash_takes_its_completions(tmp_path):
    script = tmp_path / "completions.bash"
    script.write_text(run("completions", "bash").stdout)
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_logs_as_json(new_gateway):
    gateway = new_gateway("--log-format", "json").start()
    gateway.rest_api()
    gateway.terminate()
    lines = gateway.log().splitlines()
    assert lines
    for line in lines:
        assert isinstance(json.loads(line), dict), line


def test_colours_on_a_terminal_only(new_gateway):
    gateway = new_gateway().start()
    gateway.terminate()
    assert gateway.log() and "\x1b[" not in gateway.log()

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        gateway.command_line(), stdout=theirs, stderr=theirs, stdin=theirs, cwd=gateway.work,
        env={name: value for name, value in gateway.env.items() if name != "NO_COLOR"} | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    try:
        eventually(lambda: requests.get(gateway.control + "/_stagedoor/health", timeout=5).ok, 10)
        assert b"\x1b[" in os.read(ours, 65536)
    finally:
        process.terminate()
        process.wait(10)
        os.close(ours)


CONFIG = """region = "eu-west-1"
account_id = "123456789012"
[[credentials]]
access_key_id = "AKIDEXAMPLE"
secret_access_key = "the secret"
"""


def test_configuration_file(new_gateway, tmp_path):
    path = tmp_path / "stagedoor.toml"
    path.write_text(CONFIG)
    gateway = new_gateway("--config", str(path)).start()

    def client(key, secret):
        return boto3.client(
            "apigateway", endpoint_url=gateway.control, region_name="eu-west-1", aws_access_key_id=key,
            aws_secret_access_key=secret, config=botocore.config.Config(retries={"max_attempts": 0}),
        )  # fmt: skip

    made = client("AKIDEXAMPLE", "the secret").create_rest_api(name="x y/z", tags={"a b": "c/d"})
    # Names that have to be encoded in a path are where signatures go wrong.
    arn = f"arn:aws:apigateway:eu-west-1::/restapis/{made['id']}"
    assert client("AKIDEXAMPLE", "the secret").get_tags(resourceArn=arn)["tags"] == {"a b": "c/d"}
    gone = error_of(client("AKIDEXAMPLE", "the secret").get_rest_api, restApiId="absent1234")
    assert "123456789012:absent1234" in gone["Error"]["Message"]

    wrong = error_of(client("AKIDEXAMPLE", "another").get_rest_apis)
    assert wrong["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert wrong["Error"]["Code"] in ("InvalidSignatureException", "SignatureDoesNotMatch")
    unknown = error_of(client("AKIDNOBODY", "the secret").get_rest_apis)
    assert unknown["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert unknown["Error"]["Code"] == "UnrecognizedClientException"
    unsigned = requests.get(gateway.control + "/restapis", timeout=5)
    assert unsigned.status_code == 403
    assert unsigned.headers["x-amzn-ErrorType"].startswith("MissingAuthenticationToken")


@pytest.mark.parametrize("text", ["region = ", "nonsense = 1", "[[credentials]]\naccess_key_id = 'a'", "region = 1"])
def test_wrong_configuration(new_gateway, tmp_path, text):
    path = tmp_path / "stagedoor.toml"
    path.write_text(text)
    code, _, stderr = new_gateway("--config", str(path)).run_to_end()
    assert code == 2 and str(path) in stderr, stderr


@pytest.mark.parametrize("key, told", [(None, "No such file"), ("no key", "cannot use")])
def test_a_default_certificate_that_cannot_be_used(new_gateway, tmp_path, key, told):
    path = tmp_path / "stagedoor.toml"
    path.write_text(f'[https]\nlisten = "127.0.0.1:{free_port()}"\ncertificate = "a.pem"\nkey = "a.key"\n')
    if key:
        (tmp_path / "a.pem").write_text(key)
        (tmp_path / "a.key").write_text(key)
    code, _, stderr = new_gateway("--config", str(path)).run_to_end()
    assert code == 2 and "[https]" in stderr and "a.pem" in stderr and told in stderr, stderr


def test_one_address_for_both(new_gateway):
    gateway = new_gateway()
    gateway.control_port = gateway.traffic_port
    code, _, stderr = gateway.run_to_end()
    assert code == 2 and "--listen and --control are both" in stderr, stderr


def test_an_address_of_another_machine(new_gateway):
    gateway = new_gateway()
    line = [part.replace(f"127.0.0.1:{gateway.traffic_port}", "192.0.2.1:8080") for part in gateway.command_line()]
    gateway.command_line = lambda: line
    code, _, stderr = gateway.run_to_end()
    assert code == 3 and "192.0.2.1:8080" in stderr and "No network interface" in stderr, stderr


def test_missing_configuration(new_gateway, tmp_path):
    code, _, stderr = new_gateway("--config", str(tmp_path / "absent.toml")).run_to_end()
    assert code == 2 and "absent.toml" in stderr, stderr


def test_settings_by_environment(new_gateway):
    gateway = new_gateway()
    line = [str(binary()), "serve"]
    gateway.env |= {
        "STAGEDOOR_LISTEN": f"127.0.0.1:{gateway.traffic_port}",
        "STAGEDOOR_CONTROL": f"127.0.0.1:{gateway.control_port}",
        "STAGEDOOR_DATA": str(gateway.data),
    }
    gateway.command_line = lambda: line
    gateway.start()
    assert gateway.client().get_rest_apis()["items"] == [] and gateway.data.is_dir()
