"""CORS in a real browser: a preflight answered by MOCK, a call with credentials, and failures made readable by gateway
responses. Chromium is driven through chromedriver, whose protocol is JSON over HTTP."""

import json
import shutil
import subprocess

import pytest
import requests
from harness import eventually, free_port
from test_http_api_traffic import HttpApi

FETCH = """
const [url, options, done] = [arguments[0], arguments[1], arguments[arguments.length - 1]];
fetch(url, options).then(
  async answer => done({status: answer.status, text: await answer.text(), own: answer.headers.get('X-Own')}),
  error => done({error: String(error)}));
"""


@pytest.fixture
def browser(tmp_path):
    """Calls `browser(command, **parameters)` of one session."""
    driver = shutil.which("chromedriver")
    assert driver, "chromedriver is missing: run scripts/prepare tests"
    port = free_port()
    with (tmp_path / "driver.log").open("wb") as log:
        process = subprocess.Popen([driver, f"--port={port}"], stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    session = None
    try:
        eventually(lambda: requests.get(base + "/status", timeout=5).json()["value"]["ready"], 30, "chromedriver")
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        wanted = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}
        made = requests.post(base + "/session", json={"capabilities": wanted}, timeout=60).json()["value"]
        assert "sessionId" in made, made
        session = f"{base}/session/{made['sessionId']}"

        def command(name, **parameters):
            value = requests.post(f"{session}/{name}", json=parameters, timeout=60).json()["value"]
            assert not (isinstance(value, dict) and "stacktrace" in value), value
            return value

        yield command
    finally:
        if session:
            requests.delete(session, timeout=30)
        process.terminate()
        process.wait(10)


def test_preflight_credentials_and_failures(gateway, echo, browser):
    # Another origin of the same site, so that the browser sends cookies along.
    origin = f"http://app.execute-api.localhost:{echo.server_port}"
    allow = {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}
    api = gateway.rest_api()
    api.mock("GET", "/login", "in", headers={**allow, "Set-Cookie": "session=s3cret; Path=/"})
    api.mock("PUT", "/items", "$input.params('Cookie')|$input.params('X-Custom')", headers=allow)
    preflight = {"Access-Control-Allow-Methods": "PUT,OPTIONS", "Access-Control-Allow-Headers": "content-type,x-custom"}
    api.mock("OPTIONS", "/items", "", headers={**allow, **preflight})
    api.mock("PUT", "/closed", "never seen", headers=allow)
    api.deploy()

    browser("url", url=origin + "/")
    base = f"http://{api.id}.execute-api.localhost:{gateway.traffic_port}/test"

    def fetch(path, **options):
        return browser("execute/async", script=FETCH, args=[base + path, {"credentials": "include", **options}])

    assert fetch("/login") == {"status": 200, "text": "in", "own": None}
    put = {"method": "PUT", "headers": {"Content-Type": "application/json", "X-Custom": "mine"}, "body": "{}"}
    assert fetch("/items", **put) == {"status": 200, "text": "session=s3cret|mine", "own": None}
    # Where nothing answers the preflight, and where a failure says nothing of origins, the page learns nothing.
    assert "Failed to fetch" in fetch("/closed", **put)["error"]
    assert "Failed to fetch" in fetch("/missing")["error"]

    parameters = {f"gatewayresponse.header.{name}": f"'{value}'" for name, value in allow.items()}
    parameters["gatewayresponse.header.X-Own"] = "'gateway'"
    parameters["gatewayresponse.header.Access-Control-Expose-Headers"] = "'X-Own'"
    api.client.put_gateway_response(restApiId=api.id, responseType="DEFAULT_4XX", responseParameters=parameters)
    api.deploy()
    expected = {"status": 403, "text": '{"message":"Missing Authentication Token"}', "own": "gateway"}
    assert fetch("/missing") == expected


def test_the_cors_configuration_of_an_http_api(gateway, echo, browser):
    """The gateway answers preflights by itself; a call brings cookies along, and a refusal is readable."""
    origin = f"http://app.execute-api.localhost:{echo.server_port}"
    allowed = {"AllowOrigins": [origin], "AllowCredentials": True, "AllowMethods": ["PUT"], "AllowHeaders": ["content-type", "x-custom"],
               "ExposeHeaders": ["x-own"], "MaxAge": 0}  # fmt: skip
    api = HttpApi(gateway, CorsConfiguration=allowed)
    parameters = {"200": {"overwrite:header.X-Own": "gateway"}}
    api.backend("PUT /items", echo.url, ResponseParameters=parameters)
    login = {"200": {"overwrite:header.Set-Cookie": "session=s3cret; Path=/"}}
    api.backend("GET /login", echo.url, ResponseParameters=login)

    browser("url", url=origin + "/")
    base = f"http://{api.id}.execute-api.localhost:{gateway.traffic_port}"

    def fetch(path, **options):
        return browser("execute/async", script=FETCH, args=[base + path, {"credentials": "include", **options}])

    assert fetch("/login")["status"] == 200
    put = {"method": "PUT", "headers": {"Content-Type": "application/json", "X-Custom": "mine"}, "body": "{}"}
    answer = fetch("/items", **put)
    assert (answer["status"], answer["own"]) == (200, "gateway")
    sent = json.loads(answer["text"])["headers"]
    assert (sent["cookie"], sent["x-custom"]) == ("session=s3cret", "mine")
    assert fetch("/missing") == {"status": 404, "text": '{"message":"Not Found"}', "own": None}
    # Another method and another header than the configuration allows; another origin.
    assert "Failed to fetch" in fetch("/items", method="DELETE")["error"]
    assert "Failed to fetch" in fetch("/items", method="PUT", headers={"X-Other": "1"})["error"]
    api.client.update_api(ApiId=api.id, CorsConfiguration={**allowed, "AllowOrigins": ["https://b.test"]})
    assert "Failed to fetch" in fetch("/items", **put)["error"]
