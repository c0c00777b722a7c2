"""Web frameworks behind functions: Mangum with FastAPI, and serverless-http and @vendia/serverless-express with Express,
behind an HTTP API in both formats and behind a REST API. They read our events, and we read what they answer."""

import io
import os
import sysconfig
import zipfile
from pathlib import Path

import pytest
from harness import ROOT, body_json, lambda_uri
from test_http_api_traffic import HttpApi

MODULES = Path(os.environ.get("NPM_PREFIX", ROOT / ".npm")) / "node_modules"

FASTAPI = """
import base64
from fastapi import FastAPI, Query, Request, Response
from mangum import Mangum

app = FastAPI()

@app.get("/items/{item}")
def item(item: str, response: Response, request: Request, q: list[str] = Query(default=[])):
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return {"item": item, "q": q, "cookies": request.cookies, "agent": request.headers["user-agent"]}

@app.post("/items")
async def made(request: Request):
    return Response(await request.body(), 201, {"X-Made": "yes"}, "application/octet-stream")

handler = Mangum(app, lifespan="off", api_gateway_base_path=None)
"""

EXPRESS = """
const express = require('express');
const app = express();
app.get('/items/:item', (request, response) => {
  const cookies = Object.fromEntries((request.headers.cookie || '').split('; ').map(pair => pair.split('=')));
  response.cookie('one', '1').cookie('two', '2');
  response.json({item: request.params.item, q: [].concat(request.query.q || []), cookies, agent: request.headers['user-agent']});
});
app.post('/items', express.raw({type: () => true}), (request, response) => {
  response.status(201).set('X-Made', 'yes').type('application/octet-stream').send(request.body);
});
app.use((request, response) => response.status(404).send('none'));
exports.handler = HANDLER;
"""
FRAMEWORKS = {
    "mangum": ("python3.12", "index.py", FASTAPI),
    "serverless-http": ("nodejs22.x", "index.js", EXPRESS.replace("HANDLER", "require('serverless-http')(app, {binary: ['*/*']})")),
    "serverless-express": ("nodejs22.x", "index.js", EXPRESS.replace("HANDLER", "require('@vendia/serverless-express')({app, binarySettings: {contentTypes: ['application/octet-stream']}})")),
}  # fmt: skip


def make(gateway, framework):
    assert (MODULES / "express").exists(), "Express is missing: run scripts/prepare"
    runtime, name, code = FRAMEWORKS[framework]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, code)
    client = gateway.client("lambda")
    arn = client.create_function(
        FunctionName="app", Runtime=runtime, Handler="index.handler", Role="arn:aws:iam::000000000000:role/r", Timeout=30,
        Code={"ZipFile": archive.getvalue()},
        Environment={"Variables": {"NODE_PATH": str(MODULES), "PYTHONPATH": sysconfig.get_path("purelib")}},
    )["FunctionArn"]  # fmt: skip
    client.add_permission(
        FunctionName="app", StatementId="gateway", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    return arn


def http_api(gateway, arn, version):
    api = HttpApi(gateway)
    api.function("$default", arn, version=version)
    return api.call


def rest_api(gateway, arn, _):
    api = gateway.rest_api(binaryMediaTypes=["*/*"])
    api.proxy("ANY", "/{proxy+}", lambda_uri(arn), kind="AWS_PROXY")
    api.deploy()
    return api.call


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("kind, version", [(http_api, "2.0"), (http_api, "1.0"), (rest_api, None)], ids=["http2", "http1", "rest"])
def test_routes(gateway, framework, kind, version):
    call = kind(gateway, make(gateway, framework), version)
    headers = {"Cookie": "a=1; b=2", "User-Agent": "agent"}
    answer = call("GET", "/items/a%20b?q=1&q=x%26y", headers=headers)
    assert answer.status_code == 200, answer.text
    expected = {"item": "a b", "q": ["1", "x&y"], "cookies": {"a": "1", "b": "2"}, "agent": "agent"}
    assert body_json(answer) == expected
    cookies = [value.split(";")[0] for value in answer.raw.headers.getlist("set-cookie")]
    assert sorted(cookies) == ["one=1", "two=2"]
    blob = bytes(range(256))
    answer = call("POST", "/items", data=blob, headers={"Content-Type": "application/octet-stream"})
    assert (answer.status_code, answer.content, answer.headers["x-made"]) == (201, blob, "yes")
    assert call("GET", "/nothing").status_code == 404
