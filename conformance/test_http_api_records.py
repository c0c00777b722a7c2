"""What HTTP APIs leave behind: access logs with who called, metrics of stages and routes; and how many routes they take."""

import json
import subprocess
import time

import requests
from harness import ACCOUNT, REGION, body_json, eventually, lambda_uri
from origin import read_head
from test_access_logs import logging_gateway  # noqa: F401
from test_http_api_authorizers import guard, issuer, jwt_authorizer  # noqa: F401
from test_http_api_traffic import HttpApi, functions_of

GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:access"
NAMES = [
    "requestId", "routeKey", "status", "stage", "httpMethod", "path", "protocol", "responseLength", "integrationStatus",
    "dataProcessed", "authorizer.claims.sub", "authorizer.error", "authorizer.status", "error.message", "identity.sourceIp", "identity.userArn",
]  # fmt: skip


def test_access_logs(logging_gateway, issuer, echo):  # noqa: F811
    gateway = logging_gateway
    api = HttpApi(gateway, stage="dev")
    guard(api, api.backend("GET /pets/{id}", echo.url), "JWT", jwt_authorizer(api, issuer.url, ["app"]))
    api.backend("POST /pets", echo.url)
    api.backend("POST /made", echo.url + "/status/201")
    format = "{" + ",".join(f'"{name}":"$context.{name}"' for name in NAMES) + "}"
    log = {"DestinationArn": GROUP, "Format": format}
    api.client.update_stage(ApiId=api.id, StageName="dev", AccessLogSettings=log)
    answers = [
        api.call("GET", "/dev/pets/1", headers={"Authorization": issuer.token()}),
        api.call("GET", "/dev/pets/2", headers={"Authorization": issuer.token(aud="x")}),
        api.call("GET", "/dev/nothing"),
        api.call("POST", "/dev/pets", data=b"x" * 7),
        api.call("POST", "/dev/made", data=iter([b"x" * 4, b"y" * 5])),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 404, 200, 201]

    def lines():
        found = gateway.access_log.read_text().splitlines() if gateway.access_log.exists() else []
        # Workers write for themselves, so the order is not that of the requests.
        return len(found) == len(answers) and sorted((json.loads(line) for line in found), key=lambda line: (line["status"], line["httpMethod"]))

    fine, sent, in_parts, refused, missing = eventually(lines, what="five lines")
    written = zip((fine, refused, missing, sent, in_parts), answers, (0, 0, 0, 7, 9), strict=True)
    for line, answer, received in written:
        assert line["dataProcessed"] == str(received + len(answer.content))
        assert line["requestId"] == answer.headers["apigw-requestid"]
        assert (line["stage"], line["protocol"]) == ("dev", "HTTP/1.1")
        assert (line["status"], line["responseLength"]) == (str(answer.status_code), str(len(answer.content)))
        assert (line["identity.sourceIp"], line["identity.userArn"]) == ("127.0.0.1", "-")
    assert (fine["routeKey"], fine["path"], fine["integrationStatus"]) == ("GET /pets/{id}", "/dev/pets/1", "200")
    assert (fine["authorizer.claims.sub"], fine["authorizer.status"], fine["authorizer.error"]) == ("ann", "200", "-")
    assert (refused["authorizer.claims.sub"], refused["authorizer.status"]) == ("-", "401")
    assert refused["authorizer.error"] == "the token does not have a valid audience"
    assert (missing["routeKey"], missing["authorizer.status"]) == ("-", "-")


def test_what_access_logs_say_of_functions_that_fail(logging_gateway):  # noqa: F811
    """AWS's words, by which its users look for them."""
    gateway = logging_gateway
    new_function = functions_of(gateway)
    api = HttpApi(gateway)
    api.function("GET /fails", new_function("exports.handler = async () => { throw new Error('boom') }"))
    api.function("GET /closed", new_function("exports.handler = async () => 1", source=None))
    log = {"DestinationArn": GROUP, "Format": "$context.routeKey|$context.requestId|$context.integrationErrorMessage"}
    api.client.update_stage(ApiId=api.id, StageName="$default", AccessLogSettings=log)
    for path in "/fails", "/closed":
        answer = api.call("GET", path)
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal Server Error"})

    def lines():
        found = gateway.access_log.read_text().splitlines() if gateway.access_log.exists() else []
        return len(found) == 2 and {line.split("|")[0]: line.split("|")[2] for line in found}

    assert eventually(lines, what="two lines") == {
        "GET /fails": "The Lambda function returned the following error: boom. Check your Lambda function code and try again.",
        "GET /closed": "The IAM role configured on the integration or API Gateway doesn't have permissions to call the "
        "integration. Check the permissions and try again.",
    }


def test_what_access_logs_say_of_authorizers(logging_gateway, echo):  # noqa: F811
    """AWS's words, by which its users look for them, and what the call of the function had for a status."""
    gateway = logging_gateway
    new_function = functions_of(gateway)
    api = HttpApi(gateway)
    codes = {"none": "({})", "denies": "({isAuthorized: false})", "allows": "({isAuthorized: true})"}
    for name, code in {**codes, "closed": "({})"}.items():
        arn = new_function(f"exports.handler = async () => {code}", source=None if name == "closed" else "*")
        made = api.client.create_authorizer(
            ApiId=api.id, Name=name, AuthorizerType="REQUEST", AuthorizerUri=lambda_uri(arn), EnableSimpleResponses=True,
            AuthorizerPayloadFormatVersion="2.0", IdentitySource=["$request.header.Authorization"],
        )  # fmt: skip
        guard(api, api.backend(f"GET /{name}", echo.url), "CUSTOM", made["AuthorizerId"])
    names = ["error", "status", "integrationStatus", "requestId"]
    format = "|".join(["$context.routeKey", "$context.status", *(f"$context.authorizer.{name}" for name in names)])
    api.client.update_stage(
        ApiId=api.id, StageName="$default", AccessLogSettings={"DestinationArn": GROUP, "Format": format + "|$context.requestId"}
    )
    for name in (*codes, "closed"):
        api.call("GET", f"/{name}", headers={"Authorization": "x"})

    def lines():
        found = gateway.access_log.read_text().splitlines() if gateway.access_log.exists() else []
        return len(found) == 4 and {line.split("|")[0].removeprefix("GET /"): line.split("|")[1:-1] for line in found}

    found = eventually(lines, what="four lines")
    assert all(len(line.pop()) == 36 for line in found.values())
    assert found == {
        "allows": ["200", "-", "200", "200"],
        "denies": ["403", "-", "403", "200"],
        "none": ["500", "The response from the Lambda Authorizer function doesn't match the format that API Gateway expects. "
                 "Simple response did not include 'isAuthorized'", "500", "200"],
        "closed": ["500", "The IAM role configured on the authorizer or API Gateway doesn't have permissions to call the authorizer. "
                   "Check the permissions and try again.", "500", "403"],
    }  # fmt: skip


def test_what_access_logs_say_of_unsigned_requests(logging_gateway, echo):  # noqa: F811
    """AWS's words, with its time in seconds and HTTP/2 told as HTTP/1.1, as in published logs."""
    gateway = logging_gateway
    api = HttpApi(gateway)
    api.backend("GET /open", echo.url)
    guard(api, api.backend("GET /signed", echo.url), "AWS_IAM")
    names = ["routeKey", "protocol", "requestTimeEpoch", "authorizer.error", "error.message", "error.messageString", "resourcePath"]
    names.append("requestId")
    log = {"DestinationArn": GROUP, "Format": "|".join(f"$context.{name}" for name in names)}
    api.client.update_stage(ApiId=api.id, StageName="$default", AccessLogSettings=log)
    before = int(time.time())
    for path in "/open", "/signed":
        url = f"{gateway.traffic}/_aws/execute-api/{api.id}{path}"
        subprocess.run(["curl", "-s", "--http2-prior-knowledge", url], check=True, capture_output=True, timeout=20)

    def lines():
        found = gateway.access_log.read_text().splitlines() if gateway.access_log.exists() else []
        return len(found) == 2 and sorted(line.split("|")[:-1] for line in found)

    opened, signed = eventually(lines, what="two lines")
    words = "The request for the IAM Authorizer doesn't match the format that API Gateway expects."
    assert [opened[:2], opened[3:]] == [["GET /open", "HTTP/1.1"], ["-", "-", "-", "-"]]
    assert [signed[:2], signed[3:]] == [["GET /signed", "HTTP/1.1"], [words, "Forbidden", '"Forbidden"', "-"]]
    assert before <= int(opened[2]) <= int(signed[2]) <= time.time()


def test_metrics(gateway, echo):
    api = HttpApi(gateway)
    api.backend("GET /a", echo.url)
    api.backend("GET /b", echo.url)
    detailed = {"GET /a": {"DetailedMetricsEnabled": True}}
    api.client.update_stage(ApiId=api.id, StageName="$default", RouteSettings=detailed)
    for path in "/a", "/a", "/b", "/nothing":
        api.call("GET", path)
    text = requests.get(gateway.control + "/_stagedoor/metrics", timeout=10).text
    of = f'api_name="traffic",api_id="{api.id}",stage="$default"'
    assert f"aws_apigateway_count_total{{{of}}} 4" in text.splitlines()
    assert f"aws_apigateway_4xxerror_total{{{of}}} 1" in text.splitlines()
    methods = [line for line in text.splitlines() if line.startswith("aws_apigateway_method_count_total")]
    assert methods == [f'aws_apigateway_method_count_total{{{of},method="GET",resource="/a"}} 2']


def test_data_processed(gateway, echo, raw_origin):
    """Bytes of bodies, both ways, whether an answer is at hand or still arrives; and nothing of caches, which HTTP APIs lack."""

    def arriving(link):
        read_head(link)
        link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            link.sendall(b"5\r\n12345\r\n")
            time.sleep(0.02)
        link.sendall(b"0\r\n\r\n")

    api = HttpApi(gateway)
    api.backend("ANY /count", echo.url + "/count")
    api.backend("GET /bytes", echo.url + "/bytes/200000")
    api.backend("GET /arriving", raw_origin(arriving).url)
    # A route takes from the stage what its own settings leave open.
    own = {"ANY /count": {"ThrottlingBurstLimit": 100}, "GET /bytes": {"DetailedMetricsEnabled": False}}
    api.client.update_stage(
        ApiId=api.id, StageName="$default", DefaultRouteSettings={"DetailedMetricsEnabled": True}, RouteSettings=own
    )
    of = f'api_name="traffic",api_id="{api.id}",stage="$default"'

    def counted(labels="", method=""):
        lines = requests.get(gateway.control + "/_stagedoor/metrics", timeout=10).text.splitlines()
        assert not [line for line in lines if "cache" in line and api.id in line]
        start = f"aws_apigateway{method}_data_processed_total{{{of}{labels}}} "
        return [int(line.removeprefix(start)) for line in lines if line.startswith(start)]

    assert api.call("POST", "/count", data=bytes(100_000)).text == "100000"
    assert counted() == [100_006]
    assert len(api.call("GET", "/bytes").content) == 200_000
    assert api.call("HEAD", "/count").status_code == 200
    eventually(lambda: counted() == [300_006])
    assert api.call("GET", "/arriving").text == "12345" * 3
    eventually(lambda: counted() == [300_021])
    assert counted(',method="ANY",resource="/count"', "_method") == [100_006]
    assert counted(',method="GET",resource="/bytes"', "_method") == []
    assert counted(',method="GET",resource="/arriving"', "_method") == [15]


def test_ten_thousand_routes(gateway, echo):
    """An API of 10,000 routes is imported, published and routes as the rules say."""
    integration = {"type": "HTTP_PROXY", "httpMethod": "ANY", "payloadFormatVersion": "1.0", "connectionType": "INTERNET"}
    paths = {
        f"/group{number % 100}/item{number}/{{id}}": {
            "get": {"responses": {}, "x-amazon-apigateway-integration": {**integration, "uri": f"{echo.url}/{number}"}},
        }
        for number in range(10_000)
    }
    document = {"openapi": "3.0.1", "info": {"title": "many", "version": "1"}, "paths": paths}
    client = gateway.client("apigatewayv2")
    api = HttpApi.__new__(HttpApi)
    api.gateway, api.client = gateway, client
    api.id = client.import_api(Body=json.dumps(document))["ApiId"]
    began = time.monotonic()
    client.create_stage(ApiId=api.id, StageName="$default", AutoDeploy=True)
    took = time.monotonic() - began
    for number in 0, 1, 4_999, 9_999:
        assert body_json(api.call("GET", f"/group{number % 100}/item{number}/x"))["path"] == f"/{number}"
    assert api.call("GET", "/group1/item0/x").status_code == 404
    assert api.call("POST", "/group0/item0/x").status_code == 404
    assert took < 20, "deploying 10,000 routes"
