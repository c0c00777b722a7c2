"""Clients that others wrote: `ws` of Node, as most tutorials use it. (`websockets` of Python is in every other test.)"""

import json
import os
import subprocess
from pathlib import Path

from harness import ROOT
from sockets import SocketApi

MODULES = Path(os.environ.get("NPM_PREFIX", ROOT / ".npm")) / "node_modules"
SCRIPT = """
const {WebSocket} = require(process.argv[1] + '/ws');
const seen = [];
const socket = new WebSocket(process.argv[2], {headers: {'x-one': '1'}});
const say = (...one) => seen.push(one);
socket.on('upgrade', (answer) => say('upgrade', answer.statusCode, answer.headers['sec-websocket-extensions'] ?? null));
socket.on('open', () => { say('open'); socket.ping('are you there'); });
socket.on('pong', (data) => { say('pong', String(data)); socket.send('x'.repeat(40000), {fin: false}, () => {}); });
socket.on('error', (error) => say('error', error.message));
socket.on('close', (code, reason) => { say('close', code, String(reason)); console.log(JSON.stringify(seen)); });
"""
TALK = SCRIPT.replace(
    "socket.send('x'.repeat(40000), {fin: false}, () => {});",
    "socket.send('first ', {fin: false}); socket.send('and second', {fin: true});",
) + "socket.on('message', (data, binary) => { say('message', String(data), binary); socket.close(4001, 'done'); });"


def node(script, url):
    done = subprocess.run(
        ["node", "-e", script, "--", str(MODULES), url], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


def test_ws(gateway):
    api = SocketApi(gateway)
    api.mock("$default", answer="$input.body")
    api.deployed()
    url = f"ws://127.0.0.1:{gateway.traffic_port}/_aws/execute-api/{api.id}/dev"
    # It offers compression, which is not taken.
    begun = [["upgrade", 101, None], ["open"], ["pong", "are you there"]]
    assert node(TALK, url) == [*begun, ["message", "first and second", False], ["close", 4001, ""]]
    (*before, close) = node(SCRIPT, url)
    assert (before, close[:2]) == (begun, ["close", 1009])
    api.client.delete_api(ApiId=api.id)
    assert ["error", "Unexpected server response: 403"] in node(SCRIPT, url)
