"""The same functions in every version of Node and Python that can be had: what handlers may look like, layers, failures."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import ROOT
from test_functions import ROLE, archive, invoke

MODULES = Path(os.environ.get("NPM_PREFIX", ROOT / ".npm")) / "node_modules"
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"


def interpreter(name):
    """The program of a runtime: one of npm's packages, of the PATH, or of pyenv; none where it is not installed."""
    packaged = MODULES / name / "bin/node"
    if packaged.exists():
        return packaged
    installed = sorted(PYENV.glob(f"{name.removeprefix('python')}.*/bin/{name}"))
    found = installed[-1] if installed else shutil.which(name)
    if not found and name.startswith("node") and (node := shutil.which("node")):
        told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
        found = node if told.startswith(f"v{name.removeprefix('node')}.") else None
    return found and Path(found)


NODES = ["node18", "node20", "node22", "node24"]
PYTHONS = [f"python3.{minor}" for minor in range(9, 15)]


@pytest.fixture
def runtime(request, new_gateway, tmp_path):
    """A gateway that finds one version of an interpreter: (gateway, runtime, what it says of its version)."""
    name = request.param
    program = interpreter(name)
    if not program:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / name).symlink_to(program)
    gateway = new_gateway(env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}).start()
    return gateway, f"nodejs{name.removeprefix('node')}.x" if name.startswith("node") else name


def make(gateway, runtime, name, files, handler, **options):
    gateway.client("lambda").create_function(
        FunctionName=name, Runtime=runtime, Handler=handler, Role=ROLE, Code={"ZipFile": archive(files)}, Timeout=20, **options
    )
    return lambda event=None: invoke(gateway, name, event)[1]


def layer(gateway, files):
    client = gateway.client("lambda")
    return client.publish_layer_version(LayerName="l", Content={"ZipFile": archive(files)})["LayerVersionArn"]


@pytest.mark.parametrize("runtime", NODES, indirect=True)
def test_node(runtime):
    gateway, runtime = runtime
    version = runtime.removeprefix("nodejs").removesuffix(".x")
    made = make(gateway, runtime, "common", {"a.js": "exports.handler = async () => process.version;"}, "a.handler")
    assert made().startswith(f"v{version}.")
    files = {"a.js": "exports.handler = (event, context, callback) => setTimeout(() => callback(null, [event, context.functionName]), 5);"}
    assert make(gateway, runtime, "called-back", files, "a.handler")({"a": 1}) == [{"a": 1}, "called-back"]

    shared = layer(gateway, {
        "nodejs/node_modules/shared/package.json": '{"exports": {"import": "./a.mjs", "require": "./a.js"}}',
        "nodejs/node_modules/shared/a.mjs": "export const text = 'imported';",
        "nodejs/node_modules/shared/a.js": "exports.text = 'required';",
        f"nodejs/node{version}/node_modules/own/index.js": "module.exports = 'own';",
    })  # fmt: skip
    source = "import {text} from 'shared'; import own from 'own'; export const handler = async () => [text, own];"
    assert make(gateway, runtime, "module", {"a.mjs": source}, "a.handler", Layers=[shared])() == ["imported", "own"]
    source = "const {text} = require('shared'); exports.handler = async () => [text, require('own'), (await import('shared')).text];"
    made = make(gateway, runtime, "mixed", {"a.js": source}, "a.handler", Layers=[shared])
    assert made() == ["required", "own", "imported"]

    source = """export const handler = awslambda.streamifyResponse(async (event, stream) => {
      for (const part of ['a', 'b', 'c']) stream.write(part);
      stream.end();
    });"""
    make(gateway, runtime, "stream", {"a.mjs": source}, "a.handler")
    events = gateway.client("lambda").invoke_with_response_stream(FunctionName="stream")["EventStream"]
    assert b"".join(event["PayloadChunk"]["Payload"] for event in events if "PayloadChunk" in event) == b"abc"

    failing = make(gateway, runtime, "failing", {"a.js": "exports.handler = async () => { throw new TypeError('no'); };"}, "a.handler")
    assert (failing()["errorType"], failing()["errorMessage"]) == ("TypeError", "no")
    rejecting = "exports.handler = () => new Promise(() => { Promise.reject(new Error('left')); });"
    told = make(gateway, runtime, "rejecting", {"a.js": rejecting}, "a.handler")()
    assert told["errorType"] == "Runtime.UnhandledPromiseRejection"

    source = "interface Told { id: number }\nexport const handler = async (event: Told): Promise<number> => event.id;"
    told = make(gateway, runtime, "typed", {"a.mts": source}, "a.handler")({"id": 7})
    assert told == 7 if int(version) >= 22 else "is TypeScript, which Node v" in told["errorMessage"]


@pytest.mark.parametrize("runtime", PYTHONS, indirect=True)
def test_python(runtime):
    gateway, runtime = runtime
    shared = layer(gateway, {
        "python/shared.py": "text = 'a layer'",
        f"python/lib/{runtime}/site-packages/deep/__init__.py": "text = 'deep in a layer'",
    })  # fmt: skip
    source = """
import sys
from decimal import Decimal
import deep
import shared

def handler(event, context):
    if event.get("fail"):
        raise KeyError("no")
    return [f"python{sys.version_info[0]}.{sys.version_info[1]}", shared.text, deep.text, Decimal("1.5"), context.get_remaining_time_in_millis() > 0]
"""
    made = make(gateway, runtime, "f", {"a/b.py": source}, "a.b.handler", Layers=[shared])
    assert made() == [runtime, "a layer", "deep in a layer", 1.5, True]
    told = made({"fail": True})
    assert (told["errorType"], told["errorMessage"]) == ("KeyError", "'no'") and "in handler" in told["stackTrace"][0]
    told = make(gateway, runtime, "broken", {"b.py": "def handler(:\n"}, "b.handler")()
    assert told["errorType"] == "Runtime.UserCodeSyntaxError"
