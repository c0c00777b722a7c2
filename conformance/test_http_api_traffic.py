"""HTTP APIs serve: routes, functions with both payload formats, backends, parameter mapping, CORS, errors."""

import base64
import gzip
import http.client
import json
import re
import time

import pytest
import requests
from harness import REGION, body_json, lambda_uri
from origin import read_head

ECHO = "exports.handler = async (event) => event"


class HttpApi:
    """Builds an HTTP API whose `$default` stage deploys itself."""

    def __init__(self, gateway, stage="$default", variables=None, **options):
        self.gateway, self.client = gateway, gateway.client("apigatewayv2")
        self.id = self.client.create_api(Name="traffic", ProtocolType="HTTP", **options)["ApiId"]
        self.stage = stage
        self.client.create_stage(ApiId=self.id, StageName=stage, AutoDeploy=True, StageVariables=variables or {})

    def integration(self, **options):
        return self.client.create_integration(ApiId=self.id, **options)["IntegrationId"]

    def backend(self, key, uri, method="ANY", **options):
        """A route to an HTTP backend."""
        options = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": method, "IntegrationUri": uri, **options}
        return self.route(key, self.integration(**options))

    def function(self, key, arn, version="2.0", **options):
        """A route to a function."""
        options = {"IntegrationType": "AWS_PROXY", "IntegrationUri": arn, "PayloadFormatVersion": version, **options}
        return self.route(key, self.integration(**options))

    def route(self, key, integration):
        return self.client.create_route(ApiId=self.id, RouteKey=key, Target=f"integrations/{integration}")["RouteId"]

    def call(self, method, path="/", headers=None, **options):
        headers = {"Host": f"{self.id}.execute-api.localhost:{self.gateway.traffic_port}", **(headers or {})}
        return requests.request(method, self.gateway.traffic + path, headers=headers, timeout=40, **options)


@pytest.fixture
def api(gateway):
    return HttpApi(gateway)


@pytest.fixture
def new_function(gateway):
    """Makes functions of Node code and gives their ARNs."""
    return functions_of(gateway)


def functions_of(gateway):
    """What makes functions of Node code there, and gives their ARNs."""
    import io
    import zipfile

    client = gateway.client("lambda")
    count = iter(range(100))

    def make(code, source="*", **options):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("index.js", code)
        options = {"Runtime": "nodejs22.x", "Handler": "index.handler", "Role": "arn:aws:iam::000000000000:role/r", **options}
        name = f"f{next(count)}"
        made = client.create_function(FunctionName=name, Code={"ZipFile": archive.getvalue()}, **options)["FunctionArn"]
        if source:
            client.add_permission(
                FunctionName=name, StatementId="gateway", Action="lambda:InvokeFunction",
                Principal="apigateway.amazonaws.com", SourceArn=f"arn:aws:execute-api:{REGION}:000000000000:{source}",
            )  # fmt: skip
        return made

    return make


class TestRouting:
    def test_precedence(self, api, echo):
        keys = ["GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default"]
        for number, key in enumerate(keys):
            api.backend(key, f"{echo.url}/r{number}")
        for path, number in [("/pets/dog/1", 0), ("/pets/dog/2", 1), ("/pets/cat/1", 2), ("/test/5", 3), ("/", 3), ("/pets/", 2)]:
            assert body_json(api.call("GET", path))["path"] == f"/r{number}", path
        assert body_json(api.call("DELETE", "/pets/dog/1"))["path"] == "/r3"
        api.backend("DELETE /{proxy+}", echo.url + "/own")
        assert body_json(api.call("DELETE", "/pets/dog/1"))["path"] == "/own"
        for path, number in [("//pets/dog/1", 0), ("///pets/cat/1", 2), ("//", 3)]:
            assert body_json(api.call("GET", path))["path"] == f"/r{number}", path

    def test_nothing_for_a_greedy_parameter(self, gateway, new_function):
        """As AWS's events show it: `/handler/` and `/` are taken, with empty text for the parameter."""
        api = HttpApi(gateway, stage="dev")
        arn = new_function(ECHO)
        for key in "ANY /{all+}", "GET /handler/{proxy+}", "GET /one/{id}":
            api.function(key, arn)
        for path, parameters in [("/dev/handler/", {"proxy": ""}), ("/dev/", {"all": ""}), ("/dev/one/", {"all": "one/"})]:
            event = body_json(api.call("GET", path))
            assert (event["pathParameters"], event["rawPath"]) == (parameters, path)
        assert body_json(api.call("GET", "/dev/handler"))["pathParameters"] == {"all": "handler"}

    def test_nothing_fits(self, api, echo):
        api.backend("GET /a", echo.url)
        for method, path in [("GET", "/b"), ("POST", "/a"), ("GET", "/a/"), ("GET", "/")]:
            answer = api.call(method, path)
            assert (answer.status_code, body_json(answer)) == (404, {"message": "Not Found"}), (method, path)
            assert re.fullmatch(r"[A-Za-z0-9+/]{15}=", answer.headers["apigw-requestid"])
            assert answer.headers["content-type"] == "application/json"
            assert not [name for name in answer.headers if name.lower().startswith("x-amz")]

    def test_stages(self, gateway, echo):
        api = HttpApi(gateway, stage="dev")
        api.backend("GET /a", echo.url + "/dev")
        assert body_json(api.call("GET", "/dev/a"))["path"] == "/dev"
        assert body_json(api.call("GET", "/a")) == {"message": "Not Found"}
        api.client.create_stage(ApiId=api.id, StageName="$default", AutoDeploy=True)
        assert api.call("GET", "/a").status_code == 200
        assert api.call("GET", "/dev/a").status_code == 200
        by_path = f"{gateway.traffic}/_aws/execute-api/{api.id}"
        for path in "/dev/a", "/a", "/$default/a":
            assert requests.get(by_path + path, timeout=10).status_code == 200, path
        # Stages that deploy themselves bring it into effect.
        api.client.update_api(ApiId=api.id, DisableExecuteApiEndpoint=True)
        assert (api.call("GET", "/a").status_code, api.call("GET", "/a").json()) == (404, {"message": "Not Found"})

    def test_a_stage_is_chosen_before_its_routes(self, gateway, echo):
        """What a stage's routes do not take goes to no other stage; a name that no stage has is a path of `$default`."""
        api = HttpApi(gateway, stage="dev")
        api.client.create_stage(ApiId=api.id, StageName="$default", AutoDeploy=True, StageVariables={"stage": "default"})
        api.backend("GET /a", echo.url + "/a")
        api.backend("GET /dev/b", echo.url + "/b")
        api.backend("GET /other/{x}", echo.url + "/other")
        assert body_json(api.call("GET", "/dev/a"))["path"] == "/a"
        answer = api.call("GET", "/dev/b")
        assert (answer.status_code, body_json(answer)) == (404, {"message": "Not Found"})
        assert body_json(api.call("GET", "/other/a"))["path"] == "/other"

    def test_a_route_without_an_integration(self, api):
        api.client.create_route(ApiId=api.id, RouteKey="GET /a")
        answer = api.call("GET", "/a")
        assert (answer.status_code, body_json(answer)) == (404, {"message": "Not Found"})

    def test_explicit_deployments(self, gateway, echo):
        client = gateway.client("apigatewayv2")
        api = HttpApi(gateway)
        client.update_stage(ApiId=api.id, StageName="$default", AutoDeploy=False)
        api.backend("GET /a", echo.url)
        assert api.call("GET", "/a").status_code == 404
        first = client.create_deployment(ApiId=api.id, StageName="$default", Description="d")
        assert (first["DeploymentStatus"], first["AutoDeployed"]) == ("DEPLOYED", False)
        assert api.call("GET", "/a").status_code == 200
        api.backend("GET /b", echo.url)
        assert api.call("GET", "/b").status_code == 404
        second = client.create_deployment(ApiId=api.id)["DeploymentId"]
        client.update_stage(ApiId=api.id, StageName="$default", DeploymentId=second)
        assert api.call("GET", "/b").status_code == 200
        where = {"ApiId": api.id, "DeploymentId": first["DeploymentId"]}
        assert client.update_deployment(**where, Description="e")["Description"] == "e"
        assert client.get_deployment(**where)["Description"] == "e"
        assert {item["DeploymentId"] for item in client.get_deployments(ApiId=api.id)["Items"]} >= {second}
        client.delete_deployment(**where)
        with pytest.raises(client.exceptions.BadRequestException, match="Active stages"):
            client.delete_deployment(ApiId=api.id, DeploymentId=second)
        client.delete_api(ApiId=api.id)
        assert api.call("GET", "/b").status_code == 403  # as for any id that no API has

    def test_changes_are_served_at_once(self, api, echo):
        """A change to a stage that deploys itself is served when its call returns."""
        route = api.backend("GET /a", echo.url + "/one")
        integration = api.client.get_integrations(ApiId=api.id)["Items"][0]["IntegrationId"]
        for number in range(5):
            uri = f"{echo.url}/v{number}"
            api.client.update_integration(ApiId=api.id, IntegrationId=integration, IntegrationUri=uri)
            assert body_json(api.call("GET", "/a"))["path"] == f"/v{number}"
        stage = api.client.get_stage(ApiId=api.id, StageName="$default")
        assert stage["LastDeploymentStatusMessage"] == (
            f"Successfully deployed stage with deployment ID '{stage['DeploymentId']}'"
        )
        assert api.client.get_deployment(ApiId=api.id, DeploymentId=stage["DeploymentId"])["AutoDeployed"]
        api.client.delete_route(ApiId=api.id, RouteId=route)
        stage = api.client.get_stage(ApiId=api.id, StageName="$default")
        assert "no routes exist" in stage["LastDeploymentStatusMessage"]

    def test_what_cannot_be_served_keeps_what_was(self, api, echo):
        route = api.backend("GET /a", echo.url)
        authorizer = api.client.create_authorizer(
            ApiId=api.id, Name="a", AuthorizerType="REQUEST",
            AuthorizerUri=lambda_uri(f"arn:aws:lambda:{REGION}:000000000000:function:${{stageVariables.gone}}"),
            AuthorizerPayloadFormatVersion="2.0", IdentitySource=[],
        )["AuthorizerId"]  # fmt: skip
        api.client.update_route(ApiId=api.id, RouteId=route, AuthorizationType="CUSTOM", AuthorizerId=authorizer)
        stage = api.client.get_stage(ApiId=api.id, StageName="$default")
        assert "Deployment attempt failed" in stage["LastDeploymentStatusMessage"]
        assert api.call("GET", "/a").status_code == 200

    def test_quick_create(self, gateway, echo):
        client = gateway.client("apigatewayv2")
        api = client.create_api(Name="q", ProtocolType="HTTP", Target=echo.url + "/quick")["ApiId"]
        url = f"{gateway.traffic}/_aws/execute-api/{api}/any/path"
        assert requests.post(url, timeout=10).json()["path"] == "/quick"


class TestFunctions:
    def test_format_2(self, gateway, new_function):
        """Member by member as the developer guide shows it."""
        api = HttpApi(gateway, variables={"stageVariable1": "value1"})
        api.function("POST /my/{parameter1}", new_function(ECHO))
        before = time.time()
        answer = api.call(
            "POST",
            "/my/value%201?parameter1=value1&parameter1=value2&parameter2=value",
            headers={"Header1": "value1", "Cookie": "cookie1=a; cookie2=b", "User-Agent": "agent", "Content-Type": "text/plain",
                     "Accept-Encoding": "identity", "Accept": "*/*"},
            data="Hello from Lambda",
        )  # fmt: skip
        event = body_json(answer)
        context = event.pop("requestContext")
        headers = event.pop("headers")
        assert event == {
            "version": "2.0",
            "routeKey": "POST /my/{parameter1}",
            "rawPath": "/my/value 1",
            "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
            "cookies": ["cookie1=a", "cookie2=b"],
            "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
            "body": "Hello from Lambda",
            "pathParameters": {"parameter1": "value 1"},
            "isBase64Encoded": False,
            "stageVariables": {"stageVariable1": "value1"},
        }
        assert headers["header1"] == "value1" and "cookie" not in headers
        assert headers["content-length"] == "17" and headers["x-forwarded-for"] == "127.0.0.1"
        assert headers["x-forwarded-proto"] == "http" and headers["x-forwarded-port"] == str(gateway.traffic_port)
        assert headers["x-amzn-trace-id"].startswith("Root=1-")
        domain = f"{api.id}.execute-api.localhost"
        assert abs(context.pop("timeEpoch") / 1000 - before) < 30
        assert re.fullmatch(r"\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d \+0000", context.pop("time"))
        assert context == {
            "accountId": "000000000000",
            "apiId": api.id,
            "domainName": domain,
            "domainPrefix": api.id,
            "http": {"method": "POST", "path": "/my/value 1", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                     "userAgent": "agent"},
            "requestId": answer.headers["apigw-requestid"],
            "routeKey": "POST /my/{parameter1}",
            "stage": "$default",
        }  # fmt: skip

    def test_format_2_of_an_empty_request(self, gateway, new_function):
        api = HttpApi(gateway, stage="dev")
        api.function("$default", new_function(ECHO))
        event = body_json(api.call("GET", "/dev/x"))
        assert set(event) == {"version", "routeKey", "rawPath", "rawQueryString", "headers", "requestContext", "isBase64Encoded"}
        assert (event["rawPath"], event["rawQueryString"], event["isBase64Encoded"]) == ("/dev/x", "", False)
        assert (event["requestContext"]["stage"], event["routeKey"]) == ("dev", "$default")

    @pytest.mark.parametrize("version", ["1.0", "2.0"])
    def test_paths_are_decoded(self, api, new_function, version):
        """Where REST APIs show them as they came. A question mark that comes out ends them."""
        code = "exports.handler = async (e) => ({statusCode: 200, body: JSON.stringify([e.rawPath, e.path, e.requestContext])})"
        api.function("$default", new_function(code), version)
        for sent, shown in ("/a%2Fb", "/a/b"), ("/%40id/b%23c%20d", "/@id/b#c d"), ("/a%3Fb/c?d=e", "/a"), ("/%C3%A9", "/é"):
            raw, path, context = body_json(api.call("GET", sent))
            seen = (path, context["path"]) if version == "1.0" else (raw, context["http"]["path"])
            assert seen == (shown, shown), sent

    def test_format_1(self, gateway, new_function):
        api = HttpApi(gateway)
        api.function("GET /my/path", new_function("exports.handler = async (e) => ({statusCode: 200, body: JSON.stringify(e)})"), "1.0")
        sent = {"Header1": "value1", "AUTHORIZATION": "x", "content-type": "a/b", "X-Forwarded-Proto": "https"}
        answer = api.call("GET", "/my/path?parameter1=value1&parameter1=value2&parameter2=value", headers=sent)
        event = body_json(answer)
        context = event.pop("requestContext")
        headers, multiple = event.pop("headers"), event.pop("multiValueHeaders")
        # The spelling of names is that of events that AWS's users have published.
        assert set(headers) == {
            "Content-Length", "Content-Type", "Host", "User-Agent", "X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port",
            "X-Forwarded-Proto", "accept", "accept-encoding", "authorization", "Header1",
        }  # fmt: skip
        assert headers["Header1"] == "value1" and multiple["Header1"] == ["value1"] and headers["Content-Length"] == "0"
        assert event == {
            "version": "1.0",
            "resource": "/my/path",
            "path": "/my/path",
            "httpMethod": "GET",
            "queryStringParameters": {"parameter1": "value2", "parameter2": "value"},
            "multiValueQueryStringParameters": {"parameter1": ["value1", "value2"], "parameter2": ["value"]},
            "pathParameters": None,
            "stageVariables": None,
            "body": None,
            "isBase64Encoded": False,
        }
        identity = context.pop("identity")
        assert identity.pop("sourceIp") == "127.0.0.1" and identity.pop("userAgent").startswith("python-requests")
        assert set(identity) == {
            "accessKey", "accountId", "caller", "cognitoAmr", "cognitoAuthenticationProvider", "cognitoAuthenticationType",
            "cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId", "user", "userArn",
        }  # fmt: skip
        assert set(identity.values()) == {None}
        assert isinstance(context.pop("requestTimeEpoch"), int) and context.pop("requestTime")
        request_id = answer.headers["apigw-requestid"]
        assert context == {
            "accountId": "000000000000", "apiId": api.id,
            "domainName": f"{api.id}.execute-api.localhost", "domainPrefix": api.id, "extendedRequestId": request_id,
            "httpMethod": "GET", "path": "/my/path", "protocol": "HTTP/1.1", "requestId": request_id,
            "resourceId": "GET /my/path", "resourcePath": "/my/path", "stage": "$default",
        }  # fmt: skip

    @pytest.mark.parametrize("version", ["1.0", "2.0"])
    def test_headers_of_several_values(self, api, new_function, version):
        """As the developer guide's examples have them: in format 1.0 the last and all, in 2.0 all joined."""
        code = "exports.handler = async (e) => ({statusCode: 200, body: JSON.stringify([e.headers, e.multiValueHeaders])})"
        api.function("GET /", new_function(code), version)
        connection = http.client.HTTPConnection("127.0.0.1", api.gateway.traffic_port, timeout=20)
        connection.putrequest("GET", "/", skip_host=True)
        for name, value in ("Host", f"{api.id}.execute-api.localhost"), ("Header2", "value1"), ("header2", "value2"):
            connection.putheader(name, value)
        connection.endheaders()
        headers, multiple = json.loads(connection.getresponse().read())
        connection.close()
        if version == "2.0":
            assert headers["header2"] == "value1,value2" and multiple is None
        else:
            assert headers["Header2"] == "value2" and multiple["Header2"] == ["value1", "value2"]

    def test_answers_of_format_1(self, api, new_function):
        code = """exports.handler = async (event) => ({
            whole: {statusCode: 201, headers: {"X-A": "b", "X-C": "0"}, multiValueHeaders: {"X-C": ["1", "2"], "Set-Cookie": ["a=1", "b=2"]},
                    body: "aGk=", isBase64Encoded: true},
            bare: {statusCode: 204}, text: "plain", more: {statusCode: 200, body: "x", key: "value", base64Encoded: true},
            less: {headers: {"X-A": "b"}, body: "x"},
        })[event.pathParameters.kind]"""
        api.function("GET /{kind}", new_function(code), "1.0")
        answer = api.call("GET", "/whole")
        assert (answer.status_code, answer.text, answer.headers["X-A"]) == (201, "hi", "b")
        assert answer.raw.headers.getlist("set-cookie") == ["a=1", "b=2"]
        assert sorted(answer.raw.headers.getlist("x-c")) == ["0", "1", "2"]
        assert api.call("GET", "/bare").status_code == 204
        # Where REST APIs refuse what they do not know, and assume 200 of an answer without a status.
        assert (api.call("GET", "/more").status_code, api.call("GET", "/more").text) == (200, "x")
        for kind in "text", "less":
            answer = api.call("GET", f"/{kind}")
            assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal Server Error"})

    @pytest.mark.parametrize(
        "content_type, is_base64",
        [("application/json", False), ("text/csv; charset=utf-8", False), ("application/x-www-form-urlencoded", True),
         ("image/png", True), ("TEXT/plain", False), ("application/xml", False), ("application/javascript", False),
         ("application/vnd.api+json", True), ("image/svg+xml", True), ("multipart/form-data; boundary=b", True)],
    )  # fmt: skip
    def test_bodies(self, api, new_function, content_type, is_base64):
        api.function("POST /", new_function(ECHO))
        event = body_json(api.call("POST", "/", data=b"a=1", headers={"Content-Type": content_type}))
        assert (event["isBase64Encoded"], event["body"]) == (is_base64, "YT0x" if is_base64 else "a=1")

    def test_answers_of_format_2(self, api, new_function):
        code = """exports.handler = async (event) => ({
            text: "plain", object: {a: 1},
            whole: {statusCode: 201, headers: {"X-A": "b"}, cookies: ["a=1", "b=2; Path=/"], body: "aGk=", isBase64Encoded: true},
            both: {statusCode: 200, headers: {"Set-Cookie": "c=3"}, cookies: ["a=1"]},
            bare: {statusCode: 200, body: "hi"}, bad: {statusCode: "no"}, list: [1, 2],
        })[event.pathParameters.kind]"""
        api.function("GET /{kind}", new_function(code))
        for kind, text in [("text", "plain"), ("object", '{"a":1}'), ("list", "[1,2]")]:
            answer = api.call("GET", f"/{kind}")
            assert (answer.status_code, answer.text) == (200, text)
            assert answer.headers["content-type"] == "application/json"
        answer = api.call("GET", "/whole")
        assert (answer.status_code, answer.text, answer.headers["X-A"]) == (201, "hi", "b")
        assert answer.raw.headers.getlist("set-cookie") == ["a=1", "b=2; Path=/"]
        assert api.call("GET", "/both").raw.headers.getlist("set-cookie") == ["a=1", "c=3"]
        assert api.call("GET", "/bare").headers["content-type"] == "text/plain; charset=utf-8"
        answer = api.call("GET", "/bad")
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal Server Error"})

    def test_permissions(self, gateway, new_function):
        """A function's policy knows a route by stage, method and path, and the default route by its name."""
        api = HttpApi(gateway, stage="dev")
        sources = {"/a/{id}": "*/dev/GET/a/{id}", "/b": "*/dev/POST/b", "/c": None, "$default": f"{api.id}/dev/$default"}
        for path, source in sources.items():
            key = path if path == "$default" else f"ANY {path}"
            api.function(key, new_function(ECHO, source=source))
        statuses = [api.call("GET", f"/dev{path}").status_code for path in ("/a/1", "/b", "/c", "/other")]
        assert statuses == [200, 500, 500, 200]

    def test_functions_that_fail(self, api, new_function):
        api.function("GET /throw", new_function("exports.handler = async () => { throw new Error('x') }"))
        api.function("GET /absent", f"arn:aws:lambda:{REGION}:000000000000:function:absent")
        slow = new_function("exports.handler = () => new Promise((done) => setTimeout(done, 5000))", Timeout=10)
        api.function("GET /slow", slow, TimeoutInMillis=200)
        for path, status, message in [
            ("/throw", 500, "Internal Server Error"), ("/absent", 500, "Internal Server Error"),
            ("/slow", 503, "Service Unavailable"),
        ]:  # fmt: skip
            answer = api.call("GET", path)
            assert (answer.status_code, body_json(answer)) == (status, {"message": message}), path


class TestBackends:
    def test_request_passes(self, api, echo):
        api.backend("ANY /{proxy+}", echo.url + "/base/{proxy}")
        answer = api.call("POST", "/a/b%2Fc?x=1&x=2", data="text", headers={"X-Own": "mine", "X-Forwarded-For": "9.9.9.9"})
        sent = body_json(answer)
        assert (sent["method"], sent["path"], sent["body"]) == ("POST", "/base/a/b%2Fc", "text")
        assert sent["query"] == {"x": ["1", "2"]} and sent["headers"]["x-own"] == "mine"
        assert sent["headers"]["host"] == echo.url.removeprefix("http://")
        host = f"{api.id}.execute-api.localhost:{api.gateway.traffic_port}"
        assert sent["headers"]["forwarded"] == f"for=9.9.9.9, by=127.0.0.1;for=127.0.0.1;host={host};proto=http"
        assert sent["headers"]["via"] == "HTTP/1.1 AmazonAPIGateway" and "x-forwarded-for" not in sent["headers"]
        assert answer.headers["X-Origin"] == "echo" and answer.headers["Server"].startswith("BaseHTTP")
        assert answer.headers["apigw-requestid"]

    def test_an_api_behind_an_api(self, gateway, raw_origin):
        """Its id of the request gives way to the one of the API that is asked."""
        def play(link):
            read_head(link)
            link.sendall(b"HTTP/1.1 200 OK\r\nApigw-Requestid: theirs\r\nContent-Length: 2\r\n\r\nok")

        api = HttpApi(gateway)
        api.backend("GET /", raw_origin(play).url)
        (id,) = api.call("GET", "/").raw.headers.getlist("apigw-requestid")
        assert re.fullmatch(r"[A-Za-z0-9+/]{15}=", id)

    def test_failures(self, api, raw_origin):
        api.backend("GET /closed", "http://127.0.0.1:1")
        api.backend("GET /slow", raw_origin(lambda link: link.recv(1 << 16) and time.sleep(3)).url, TimeoutInMillis=200)
        for path in "/closed", "/slow":
            answer = api.call("GET", path)
            assert (answer.status_code, body_json(answer)) == (503, {"message": "Service Unavailable"})

    def test_limits(self, api, echo):
        api.backend("POST /", echo.url + "/count")
        assert api.call("POST", "/", data=bytes(10 << 20)).text == str(10 << 20)
        answer = api.call("POST", "/", data=bytes((10 << 20) + 1))
        assert (answer.status_code, body_json(answer)) == (413, {"message": "Request Entity Too Large"})
        answer = api.call("POST", "/", headers={"X-Long": "x" * 10_240})
        assert answer.status_code == 431

    def test_a_request_line_counts_with_the_values_of_headers(self, api, echo):
        api.backend("GET /", echo.url)
        half = "x" * 5_200
        for path, value, status in [("/?" + half, "x", 200), ("/", half, 200), ("/?" + half, half, 431), ("/?" + half * 2, "x", 431)]:
            assert api.call("GET", path, headers={"X-Long": value}).status_code == status, (len(path), len(value))
        assert api.call("GET", "/" + half * 2).status_code == 431
        names = {f"X-{number}-{'n' * 200}": "x" for number in range(60)}
        assert api.call("GET", "/", headers=names).status_code == 200

    def test_coded_bodies_pass_as_they_came(self, api, echo, new_function):
        api.backend("POST /backend", echo.url)
        api.function("POST /function", new_function(ECHO))
        coded = gzip.compress(b'{"name": "Tom"}')
        for coding, body in ("gzip", coded), ("gzip", b"not gzip"), ("br", b"plain"), ("gzip, gzip", coded):
            headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
            sent = body_json(api.call("POST", "/backend", headers=headers, data=body))
            assert sent["headers"]["content-encoding"] == coding
            assert echo.seen[-1][3] == body
            event = body_json(api.call("POST", "/function", headers=headers, data=body))
            assert event["isBase64Encoded"] is True and base64.b64decode(event["body"]) == body
            assert event["headers"]["content-encoding"] == coding
        assert api.call("POST", "/nowhere", headers={"Content-Encoding": "br"}).status_code == 404

    def test_stage_variables(self, gateway, echo):
        api = HttpApi(gateway, variables={"where": "there"})
        api.backend("GET /", echo.url + "/${stageVariables.where}")
        assert body_json(api.call("GET", "/"))["path"] == "/there"
        api.backend("GET /x", echo.url + "/${stageVariables.absent}")
        assert body_json(api.call("GET", "/x")) == {"message": "Internal Server Error"}


class TestParameterMapping:
    def test_requests(self, gateway, echo):
        api = HttpApi(gateway, stage="dev", variables={"v": "stage"})
        parameters = {
            "append:header.added": "$request.querystring.q",
            "overwrite:header.own": "$request.header.other",
            "overwrite:header.other": "$request.header.own",
            "remove:header.gone": "''",
            "append:header.body": "$request.body.pets[0].name",
            "append:header.id": "$context.requestId",
            "append:header.none": "$request.header.absent",
            "append:querystring.q": "${request.path.id}-${stageVariables.v}",
            "overwrite:querystring.o": "$context.routeKey",
            "remove:querystring.r": "''",
            "overwrite:path": "$request.path",
        }
        api.backend("POST /pets/{id}", echo.url, RequestParameters=parameters)
        answer = api.call(
            "POST", "/dev/pets/7?q=a&q=b&r=1&o=1", headers={"own": "1", "other": "2", "gone": "x"},
            data=json.dumps({"pets": [{"name": "Tom"}]}),
        )  # fmt: skip
        sent = body_json(answer)
        headers = sent["headers"]
        assert sent["path"] == "/pets/7"
        assert sent["query"] == {"q": ["a", "b", "7-stage"], "o": ["POST /pets/{id}"]}
        assert (headers["added"], headers["own"], headers["other"], headers["body"]) == ("a,b", "2", "1", "Tom")
        assert "gone" not in headers and "none" not in headers
        assert headers["id"] == answer.headers["apigw-requestid"]

    @pytest.mark.parametrize("source", ["$request.header.host", "$context.domainName", "static.test"])
    def test_a_mapped_host(self, api, echo, source):
        """Also one that the client had asked for, which no comparison could tell from its own."""
        api.backend("GET /", echo.url, RequestParameters={"overwrite:header.host": source})
        own = f"{api.id}.execute-api.localhost"
        seen = body_json(api.call("GET", "/", headers={"Host": own}))["headers"]["host"]
        assert seen == (source if source[0] != "$" else own)

    def test_a_host_mapped_from_nothing_is_the_backends(self, api, echo):
        api.backend("GET /", echo.url, RequestParameters={"overwrite:header.host": "$request.header.absent"})
        assert body_json(api.call("GET", "/"))["headers"]["host"] == echo.url.removeprefix("http://")

    def test_only_the_first_100_kilobytes_of_a_body_are_read(self, api, echo):
        api.backend("POST /", echo.url, RequestParameters={"append:header.found": "$request.body.name"})
        for size, found in (90_000, "Tom"), (110_000, None):
            sent = body_json(api.call("POST", "/", data=json.dumps({"name": "Tom", "more": "x" * size})))
            assert sent["headers"].get("found") == found and len(sent["body"]) > size, size

    def test_responses(self, api, echo):
        parameters = {
            "500": {"append:header.header1": "$context.requestId", "overwrite:statuscode": "403"},
            "404": {"append:header.error": "$response.body.path", "remove:header.x-origin": "''"},
            "200": {"overwrite:header.x-origin": "$response.header.content-type"},
        }
        api.backend("GET /{status}", echo.url + "/status/{status}", ResponseParameters=parameters)
        answer = api.call("GET", "/500")
        assert (answer.status_code, answer.headers["header1"]) == (403, answer.headers["apigw-requestid"])
        answer = api.call("GET", "/404")
        assert (answer.status_code, answer.headers["error"], "X-Origin" in answer.headers) == (404, "/status/404", False)
        assert body_json(answer)["path"] == "/status/404"
        assert api.call("GET", "/200").headers["X-Origin"] == "application/json"
        assert api.call("GET", "/201").headers["X-Origin"] == "echo"

    def test_functions_see_them_too(self, api, new_function):
        parameters = {"append:header.added": "yes", "overwrite:querystring.q": "1", "overwrite:header.host": "static.test"}
        api.function("GET /", new_function(ECHO), RequestParameters=parameters)
        event = body_json(api.call("GET", "/?q=0"))
        assert (event["headers"]["added"], event["queryStringParameters"]) == ("yes", {"q": "1"})
        assert event["headers"]["host"] == "static.test"


class TestThrottles:
    """A rate so low that no token comes back during the test."""

    def statuses(self, api, path, count):
        return [api.call("GET", path).status_code for _ in range(count)]

    def test_a_stages_and_a_routes(self, api, echo):
        for path in "/a", "/b", "/c":
            api.backend(f"GET {path}", echo.url)
        slow = {"ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": 2}
        own = {"GET /b": {"ThrottlingBurstLimit": 1}, "GET /c": {"ThrottlingRateLimit": 10000.0, "ThrottlingBurstLimit": 5000}}
        api.client.update_stage(ApiId=api.id, StageName="$default", DefaultRouteSettings=slow, RouteSettings=own)
        assert self.statuses(api, "/a", 3) == [200, 200, 429]
        # Each route has a bucket of its own.
        assert self.statuses(api, "/b", 2) == [200, 429]
        assert self.statuses(api, "/c", 4) == [200] * 4
        answer = api.call("GET", "/a")
        assert (answer.status_code, body_json(answer)) == (429, {"message": "Too Many Requests"})
        api.client.delete_route_settings(ApiId=api.id, StageName="$default", RouteKey="GET /c")
        assert self.statuses(api, "/c", 3) == [200, 200, 429]

    def test_nothing_at_all(self, api, echo):
        api.backend("$default", echo.url)
        none = {"ThrottlingRateLimit": 0.0, "ThrottlingBurstLimit": 0}
        api.client.update_stage(ApiId=api.id, StageName="$default", DefaultRouteSettings=none)
        assert api.call("GET", "/").status_code == 429


class TestCors:
    CONFIGURATION = {
        "AllowOrigins": ["https://a.test", "http://*"], "AllowMethods": ["GET", "PUT"], "AllowHeaders": ["x-a", "X-B"],
        "ExposeHeaders": ["X-C"], "MaxAge": 60, "AllowCredentials": True,
    }  # fmt: skip

    def preflight(self, api, origin, path="/"):
        return api.call("OPTIONS", path, headers={"Origin": origin, "Access-Control-Request-Method": "PUT"})

    def test_preflight_without_a_route(self, gateway, echo):
        api = HttpApi(gateway, CorsConfiguration=self.CONFIGURATION)
        api.backend("GET /a", echo.url)
        answer = self.preflight(api, "https://a.test", "/nothing")
        shown = {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith(("access-", "vary"))}
        assert (answer.status_code, answer.content) == (204, b"")
        assert shown == {
            "access-control-allow-origin": "https://a.test", "vary": "origin", "access-control-allow-methods": "GET,PUT",
            "access-control-allow-headers": "x-a,x-b", "access-control-max-age": "60",
            "access-control-allow-credentials": "true",
        }  # fmt: skip
        assert self.preflight(api, "http://any.test").headers["access-control-allow-origin"] == "http://any.test"
        open_to_all = HttpApi(gateway, CorsConfiguration={"AllowOrigins": ["*"]})
        open_to_all.backend("GET /a", echo.url)
        answer = self.preflight(open_to_all, "https://a.test")
        assert (answer.headers["access-control-allow-origin"], "vary" in answer.headers) == ("*", False)
        refused = self.preflight(api, "https://b.test")
        assert refused.status_code == 204 and "access-control-allow-origin" not in refused.headers
        # What is no preflight is routed as any other request.
        answer = api.call("OPTIONS", "/a", headers={"Origin": "https://a.test"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (404, "https://a.test")

    def test_the_apis_headers_take_the_place_of_a_backends(self, gateway, raw_origin):
        def play(link):
            read_head(link)
            link.sendall(b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Max-Age: 9\r\nContent-Length: 2\r\n\r\nok")

        api = HttpApi(gateway, CorsConfiguration=self.CONFIGURATION)
        api.backend("ANY /a", raw_origin(play).url)
        answer = api.call("GET", "/a", headers={"Origin": "https://a.test"})
        shown = {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith(("access-", "vary"))}
        assert shown == {
            "access-control-allow-origin": "https://a.test", "vary": "origin", "access-control-expose-headers": "x-c",
            "access-control-allow-credentials": "true",
        }  # fmt: skip
        answer = api.call("GET", "/a", headers={"Origin": "https://b.test"})
        assert not [name for name in answer.headers if name.lower().startswith("access-")]

    def test_a_route_that_takes_a_preflight(self, gateway, raw_origin):
        """Its integration answers, with the API's headers in place of its own."""
        def play(link):
            read_head(link)
            link.sendall(b"HTTP/1.1 207 Multi\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok")

        api = HttpApi(gateway, CorsConfiguration=self.CONFIGURATION)
        api.backend("ANY /a", raw_origin(play).url)
        answer = self.preflight(api, "https://a.test", "/a")
        shown = {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith(("access-", "vary"))}
        assert (answer.status_code, answer.content) == (207, b"ok")
        assert shown == {
            "access-control-allow-origin": "https://a.test", "vary": "origin", "access-control-allow-methods": "GET,PUT",
            "access-control-allow-headers": "x-a,x-b", "access-control-max-age": "60",
            "access-control-allow-credentials": "true",
        }  # fmt: skip
        answer = self.preflight(api, "https://b.test", "/a")
        assert answer.status_code == 207 and not [name for name in answer.headers if name.lower().startswith("access-")]

    def test_without_a_configuration_a_backend_has_its_say(self, api, echo):
        api.backend("OPTIONS /a", echo.url)
        answer = self.preflight(api, "https://a.test", "/a")
        assert body_json(answer)["method"] == "OPTIONS" and "access-control-allow-origin" not in answer.headers
