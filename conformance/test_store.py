"""What was acknowledged is kept, whatever happens to the process, the file or the disk."""

import contextlib
import json
import os
import shutil
import subprocess
import threading

import botocore.exceptions
import pytest
import test_functions as functions
from harness import eventually

STORE_UNUSABLE = 4  # the exit code


def api_ids(gateway):
    pages = gateway.client().get_paginator("get_rest_apis").paginate()
    return {item["id"] for page in pages for item in page["items"]}


def test_kill_loses_nothing_acknowledged(new_gateway):
    gateway = new_gateway().start()
    acknowledged = set()
    for _ in range(3):
        stop = threading.Event()

        def write(number):
            client = clients[number]
            while not stop.is_set():
                try:
                    acknowledged.add(client.create_rest_api(name="kept")["id"])
                except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                    return  # killed in between: this one was not acknowledged

        clients = [gateway.client(user_agent_extra=str(number)) for number in range(4)]
        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        goal = len(acknowledged) + 100
        for thread in threads:
            thread.start()
        eventually(lambda: len(acknowledged) >= goal, 60, "a hundred writes")
        gateway.kill()  # while all four write
        stop.set()
        for thread in threads:
            thread.join()
        gateway.start()
        assert acknowledged <= api_ids(gateway)


def test_concurrent_writers_lose_no_update(gateway):
    api = gateway.rest_api()
    api.mock("GET", "/", "x")
    api.deploy("dev")
    clients = [gateway.client(user_agent_extra=str(number)) for number in range(8)]
    failures = []

    def write(number):
        try:
            for step in range(10):
                name = f"w{number}x{step}"
                clients[number].create_resource(restApiId=api.id, parentId=api.resources["/"], pathPart=name)
                patch = [{"op": "replace", "path": f"/variables/{name}", "value": "set"}]
                clients[number].update_stage(restApiId=api.id, stageName="dev", patchOperations=patch)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    names = {f"w{number}x{step}" for number in range(8) for step in range(10)}
    resources = api.client.get_resources(restApiId=api.id, limit=500)["items"]
    assert {item["pathPart"] for item in resources if "pathPart" in item} == names
    assert set(api.client.get_stage(restApiId=api.id, stageName="dev")["variables"]) == names


def database(gateway):
    """The one file that holds the definitions: the largest below the data folder."""
    files = [path for path in gateway.data.rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda data: os.urandom(len(data)), id="garbage"),
        pytest.param(lambda data: b"SQLite format 3\0" + data[16:], id="another-format"),
        pytest.param(lambda data: b"not a database\n", id="short-text"),
        pytest.param(lambda data: data[: len(data) // 3], id="cut-off"),
        pytest.param(lambda data: data[:64] + bytes(len(data) - 64), id="zeros-after-the-head"),
    ],
)
def test_an_unreadable_file_is_refused_and_left_alone(new_gateway, harm):
    gateway = new_gateway().start()
    gateway.rest_api()
    assert gateway.terminate() == 0
    path = database(gateway)
    path.write_bytes(harm(path.read_bytes()))
    before = path.read_bytes()
    code, _, stderr = gateway.run_to_end()
    assert code == STORE_UNUSABLE, stderr
    assert path.name in stderr and "panicked" not in stderr, stderr
    assert path.read_bytes() == before, "the file was touched"


def test_two_gateways_on_one_store(new_gateway):
    first, second = new_gateway().start(), new_gateway()
    second.data = first.data
    code, _, stderr = second.run_to_end()
    assert code == STORE_UNUSABLE and str(first.data) in stderr, stderr
    first.rest_api()


def mounted(path, options):
    """A small file system of its own; the test is skipped where the machine does not allow that."""
    path.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"this machine cannot mount: {done.stderr.strip()}")


@pytest.fixture
def mount():
    paths = []

    def make(path, options):
        mounted(path, options)
        paths.append(path)
        return path

    yield make
    for path in paths:
        subprocess.run(["umount", "--lazy", str(path)], check=False)


def test_read_only_folder(new_gateway, mount):
    gateway = new_gateway()
    mount(gateway.data, "ro,size=1m")
    code, _, stderr = gateway.run_to_end()
    assert code == STORE_UNUSABLE, stderr
    assert str(gateway.data) in stderr and "ead-only" in stderr, stderr


def test_data_path_is_a_file(new_gateway):
    gateway = new_gateway()
    gateway.data.write_text("in the way")
    code, _, stderr = gateway.run_to_end()
    assert code == STORE_UNUSABLE and str(gateway.data) in stderr, stderr
    assert gateway.data.read_text() == "in the way"


def test_full_disk(new_gateway, mount):
    gateway = new_gateway()
    mount(gateway.data, "size=8m")
    gateway.start()
    api = gateway.rest_api("served")
    api.mock("GET", "/", "served")
    api.deploy("dev")
    # Little room is left, so that the store runs out soon.
    filler = gateway.data / "filler"
    with filler.open("wb") as file:
        room = shutil.disk_usage(gateway.data).free - 256 * 1024
        file.write(bytes(max(room, 0)))

    acknowledged, client, refused = {api.id}, gateway.client(), None
    for number in range(2000):
        try:
            acknowledged.add(client.create_rest_api(name=f"n{number}", description="x" * 1000)["id"])
        except botocore.exceptions.ClientError as error:
            refused = error.response
            break
    assert refused, "the disk never filled up"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] in (500, 503), refused
    assert refused["Error"]["Message"]

    # Traffic goes on, reading goes on, and with room again so does writing.
    assert api.call("GET", "/", stage="dev").text == "served"
    assert acknowledged <= api_ids(gateway)
    filler.unlink()
    acknowledged.add(eventually(lambda: create(client), 10, "a write after room was made"))
    gateway.kill()
    gateway.start()
    assert acknowledged <= api_ids(gateway)
    eventually(lambda: api.call("GET", "/", stage="dev").text == "served", 5)


def test_functions_on_a_full_disk(new_gateway, mount):
    """What cannot be kept is refused as the server's failure, and what was there goes on."""
    gateway = new_gateway()
    mount(gateway.data, "size=8m")
    gateway.start()
    source = "exports.handler = async () => 'one'; // %s"
    functions.create(gateway, "f", source % "")
    filler = gateway.data / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
            file.flush()
    client = gateway.client("lambda")
    code = {"ZipFile": functions.archive({"index.js": source % ("x" * 300_000)})}
    for call, options in (
        (client.create_function, {"FunctionName": "g", "Runtime": "nodejs20.x", "Handler": "index.handler", "Role": functions.ROLE, "Code": code}),
        (client.update_function_code, {"FunctionName": "f", **code}),
        (client.publish_layer_version, {"LayerName": "l", "Content": code}),
        (client.invoke, {"FunctionName": "f", "InvocationType": "Event", "Payload": json.dumps("x" * 100_000)}),
    ):  # fmt: skip
        with pytest.raises(botocore.exceptions.ClientError, match="No space left") as refused:
            call(**options)
        assert refused.value.response["Error"]["Code"] == "ServiceException"
    assert functions.invoke(gateway, "f")[1] == "one"
    filler.unlink()
    functions.create(gateway, "g", source % "")
    assert functions.invoke(gateway, "g")[1] == "one"


def create(client):
    try:
        return client.create_rest_api(name="again")["id"]
    except botocore.exceptions.ClientError:
        return None
