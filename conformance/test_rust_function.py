"""A Rust function built with `lambda_runtime` from crates.io, deployed as `provided.al2023`."""

import os
import subprocess
from pathlib import Path

import pytest
from harness import ROOT, body_json, lambda_uri
from test_functions import ROLE, create, invoke

SOURCE = Path(__file__).parent / "rust-function"


@pytest.fixture(scope="module")
def bootstrap():
    """Built once and kept beside the gateway's own artefacts; the build takes a minute on a machine that never did it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "rust-function"
    command = ["cargo", "build", "--locked", "--quiet", "--manifest-path", SOURCE / "Cargo.toml"]
    subprocess.run([*command, "--target-dir", target], check=True, timeout=600)
    return (target / "debug/bootstrap").read_bytes()


@pytest.mark.timeout(700)
def test_a_function_with_lambda_runtime(gateway, bootstrap):
    arn = create(gateway, "rust", bootstrap, runtime="provided.al2023", file="bootstrap", Handler="bootstrap")
    api = gateway.rest_api()
    api.proxy("ANY", "/{proxy+}", lambda_uri(arn), kind="AWS_PROXY", credentials=ROLE)
    api.deploy()
    ids = set()
    for _ in range(3):
        told = body_json(api.call("GET", "/a/b"))
        assert (told["path"], told["arn"]) == ("/a/b", arn)
        ids.add(told["id"])
    assert len(ids) == 3
    for path in "/fail", "/panic":
        answer, told = invoke(gateway, "rust", {"path": path})
        assert answer["FunctionError"] == "Unhandled" and "asked to" in told["errorMessage"], told
        assert api.call("GET", path).status_code == 502
    assert api.call("GET", "/c").status_code == 200
