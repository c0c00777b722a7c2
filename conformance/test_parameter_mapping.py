"""Parameter mappings: every source into every target, in both directions, and the headers that no mapping may set."""

import json
from urllib.parse import parse_qs, urlsplit

import botocore.exceptions
import pytest
from harness import ACCOUNT, REGION, body_json, lambda_uri
from origin import read_head


class Mapped:
    """`POST /{id}` in front of a backend of kind HTTP."""

    def __init__(self, gateway, uri, declared=(), request=None, response=None, kind="HTTP", variables=None, **integration):
        self.api, self.client, self.where = gateway.rest_api(), gateway.client(), None
        self.where = {"restApiId": self.api.id, "resourceId": self.api.resource("/{id}"), "httpMethod": "POST"}
        parameters = {f"method.request.{name}": False for name in ("path.id", *declared)}
        self.client.put_method(**self.where, authorizationType="NONE", requestParameters=parameters)
        self.client.put_integration(
            **self.where, type=kind, integrationHttpMethod="POST", uri=uri,
            requestParameters={f"integration.request.{target}": source for target, source in (request or {}).items()},
            **integration,
        )  # fmt: skip
        headers = {f"method.response.header.{name}": source for name, source in (response or {}).items()}
        if kind == "HTTP":
            self.client.put_method_response(**self.where, statusCode="200", responseParameters=dict.fromkeys(headers, False))
            self.client.put_integration_response(**self.where, statusCode="200", responseParameters=headers)
        self.api.deploy(variables=variables or {})

    def call(self, path="/1", data=b'{"a": {"b": [1, "two", {"c": true}]}, "text": "t"}', **options):
        return self.api.call("POST", path, data=data, **options)


SOURCES = {
    "method.request.path.id": "p%20q",  # as it is encoded
    "method.request.querystring.q": "last",
    "method.request.header.X-Sent": "sent",
    "method.request.body.text": "t",
    "method.request.body.a.b[1]": "two",
    "method.request.body.a.b[2]": '{"c":true}',
    "method.request.body.a.b[0]": "1",
    "context.httpMethod": "POST",
    "context.stage": "test",
    "context.resourcePath": "/{id}",
    "stageVariables.color": "red",
    "'static text'": "static text",
}  # fmt: skip
DECLARED = ("querystring.q", "header.X-Sent")
SENT = {"path": "/p%20q?q=first&q=last", "headers": {"X-Sent": "sent"}}


class TestRequests:
    def test_every_source_into_a_header(self, gateway, echo):
        targets = {f"header.X-{number}": source for number, source in enumerate(SOURCES)}
        api = Mapped(gateway, echo.url, DECLARED, targets, variables={"color": "red"})
        api.call(**SENT)
        headers = {name.lower(): value for name, value in echo.seen[-1][2]}
        for number, (source, expected) in enumerate(SOURCES.items()):
            assert headers[f"x-{number}"] == expected, source

    def test_headers_that_the_gateway_adds(self, gateway, echo):
        names = ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Amzn-Trace-Id")
        targets = {f"header.X-{number}": f"method.request.header.{name}" for number, name in enumerate(names)}
        api = Mapped(gateway, echo.url, [f"header.{name}" for name in names], targets)
        api.call(headers={"X-Forwarded-For": "192.0.2.1"})
        headers = {name.lower(): value for name, value in echo.seen[-1][2]}
        assert headers["x-0"] == "192.0.2.1, 127.0.0.1" and headers["x-2"] == "http"
        assert headers["x-1"].isdigit() and headers["x-3"].startswith("Root=1-")

    def test_every_source_into_the_query(self, gateway, echo):
        targets = {f"querystring.n{number}": source for number, source in enumerate(SOURCES)}
        api = Mapped(gateway, echo.url, DECLARED, targets, variables={"color": "red"})
        assert api.call(**SENT).status_code == 200
        query = echo.seen[-1][1].partition("?")[2]
        found = parse_qs(query, keep_blank_values=True)
        for number, (source, expected) in enumerate(SOURCES.items()):
            assert found[f"n{number}"] == [expected], source

    def test_every_source_into_the_path(self, gateway, echo):
        sources = {source: text for source, text in SOURCES.items() if "{" not in text and "/" not in text}
        uri = echo.url + "".join(f"/{{n{number}}}" for number in range(len(sources)))
        targets = {f"path.n{number}": source for number, source in enumerate(sources)}
        api = Mapped(gateway, uri, DECLARED, targets, variables={"color": "red"})
        assert api.call(**SENT).status_code == 200
        found = echo.seen[-1][1].strip("/").split("/")
        assert found == [text.replace(" ", "%20") for text in sources.values()]

    @pytest.mark.parametrize("kind", ["HTTP", "HTTP_PROXY"])
    def test_path_parameters_in_the_query_of_a_uri(self, gateway, echo, kind):
        targets = {"path.a": "method.request.path.id", "path.b": "method.request.querystring.q", "path.c": "'a&b=c'"}
        uri = echo.url + "/{a}?x={a}&y=1{b}&z={c}&none={d}"
        api = Mapped(gateway, uri, ["querystring.q"], targets, kind=kind)
        assert api.call("/p?q=2").status_code == 200
        path, _, query = echo.seen[-1][1].partition("?")
        own = {"x": ["p"], "y": ["12"], "z": ["a&b=c"], "none": ["{d}"]}
        sent = {"q": ["2"]} if kind == "HTTP_PROXY" else {}
        assert (path, parse_qs(query)) == ("/p", own | sent)

    def test_all_values_of_several(self, gateway, echo):
        targets = {
            "querystring.all": "method.request.multivaluequerystring.q",
            "header.X-All": "method.request.multivalueheader.X-Sent",
        }
        api = Mapped(gateway, echo.url, DECLARED, targets)
        request = (
            f"POST /test/1?q=a&q=b HTTP/1.1\r\nHost: {api.api.id}.execute-api.localhost\r\nX-Sent: one\r\nX-Sent: two\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        gateway.raw(request.encode())
        _, target, headers, _ = echo.seen[-1]
        assert target.endswith("?all=a&all=b")
        found = [value for name, value in headers if name.lower() == "x-all"]
        assert found in (["one", "two"], ["one,two"])

    def test_the_whole_body(self, gateway, echo):
        api = Mapped(gateway, echo.url, request={"header.X-Body": "method.request.body", "querystring.b": "method.request.body"})
        assert api.call(data=b'{"a":1}').status_code == 200
        assert ("x-body", '{"a":1}') in [(name.lower(), value) for name, value in echo.seen[-1][2]]
        assert "b=%7B%22a%22%3A1%7D" in echo.seen[-1][1]

    def test_no_body_is_an_empty_object(self, gateway, echo):
        api = Mapped(gateway, echo.url, request={"header.X-Body": "method.request.body"})
        assert api.call(data=b"").status_code == 200
        assert ("x-body", "{}") in [(name.lower(), value) for name, value in echo.seen[-1][2]]

    @pytest.mark.parametrize("kind", ["HTTP", "HTTP_PROXY"])
    @pytest.mark.parametrize("source", ["method.request.body", "method.request.body.a"])
    def test_a_body_that_begins_like_json_and_is_none(self, gateway, echo, kind, source):
        api = Mapped(gateway, echo.url, request={"header.X-A": source}, kind=kind)
        answer = api.call(data=b"\n{wrong")
        assert (answer.status_code, body_json(answer)) == (400, {"message": "Invalid JSON in request body"})
        assert answer.headers["x-amzn-ErrorType"] == "BadRequestException" and not echo.seen
        assert api.call(data=b"<right/>").status_code == 200

    def test_a_path_is_mapped_from_a_body_that_a_template_replaces(self, gateway, echo):
        template = {"application/json": '{"constant": true}'}
        api = Mapped(gateway, echo.url + "/{x}", request={"path.x": "method.request.body.text"}, requestTemplates=template)
        assert api.call(headers={"Content-Type": "application/json"}).status_code == 200
        assert (echo.seen[-1][1], echo.seen[-1][3]) == ("/t", b'{"constant": true}')

    def test_what_is_absent_is_not_sent(self, gateway, echo):
        targets = {
            "header.X-A": "method.request.header.X-Sent", "querystring.a": "method.request.querystring.q",
            "header.X-B": "method.request.body.nothing", "querystring.b": "stageVariables.nothing",
        }  # fmt: skip
        api = Mapped(gateway, echo.url, DECLARED, targets)
        assert api.call().status_code == 200
        _, target, headers, _ = echo.seen[-1]
        assert "?" not in target and not {"x-a", "x-b"} & {name.lower() for name, _ in headers}

    def test_a_body_that_is_no_json_has_no_members(self, gateway, echo):
        api = Mapped(gateway, echo.url, request={"header.X-A": "method.request.body.a"})
        assert api.call(data=b"\xff{").status_code == 200

    def test_query_strings_are_encoded(self, gateway, echo):
        api = Mapped(gateway, echo.url, DECLARED, {"querystring.q": "method.request.querystring.q"})
        api.call(path="/1?q=a%26b%3Dc%20d%2Be%C3%A9%25")
        assert parse_qs(urlsplit(echo.seen[-1][1]).query) == {"q": ["a&b=c d+e\u00e9%"]}

    def test_values_cannot_break_the_head(self, gateway, raw_origin):
        heads = []

        def play(link):
            heads.append(read_head(link)[0])
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        targets = {"header.X-A": "method.request.body.text", "querystring.a": "method.request.body.text"}
        api = Mapped(gateway, raw_origin(play).url, request=targets)
        api.call(data=json.dumps({"text": "a\r\nX-Smuggled: 1\r\n\r\nGET / HTTP/1.1"}).encode())
        assert len(heads) == 1 and b"\r\nX-Smuggled" not in heads[0]

    def test_mappings_of_a_proxy(self, gateway, echo):
        targets = {"header.X-A": "'a'", "querystring.extra": "'e'", "path.id": "method.request.path.id"}
        api = Mapped(gateway, echo.url + "/{id}", DECLARED, targets, kind="HTTP_PROXY")
        answer = body_json(api.call(path="/1?q=1"))
        assert answer["headers"]["x-a"] == "a" and answer["query"] == {"q": ["1"], "extra": ["e"]} and answer["path"] == "/1"

    @pytest.mark.parametrize("header", ["Content-Length", "Transfer-Encoding", "transfer-encoding"])
    @pytest.mark.parametrize("kind", ["HTTP", "HTTP_PROXY"])
    def test_illegal_targets(self, gateway, echo, kind, header):
        answer = Mapped(gateway, echo.url, request={f"header.{header}": "'1'"}, kind=kind).call()
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})
        assert answer.headers["x-amzn-ErrorType"] == "InternalServerErrorException"
        assert not echo.seen

    @pytest.mark.parametrize("header", ["Authorization", "Connection", "Expect", "Proxy-Authenticate", "TE"])
    def test_illegal_targets_of_functions(self, gateway, header):
        uri = lambda_uri(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nobody")
        answer = Mapped(gateway, uri, request={f"header.{header}": "'1'"}, kind="AWS_PROXY").call()
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})

    @pytest.mark.parametrize(
        "target, source",
        [("header.X", "nonsense"), ("header.X", "method.request.cookie.x"), ("header.X", "'open"), ("body.x", "'1'"),
         ("header.X", "method.request.header."), ("header.a b", "'1'"), ("header.X", "method.request.querystring.undeclared")],
    )  # fmt: skip
    def test_what_is_no_mapping(self, gateway, echo, target, source):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            Mapped(gateway, echo.url, request={target: source})
        error = refused.value.response["Error"]
        assert error["Code"] == "BadRequestException" and "mapping" in error["Message"].lower(), error


class TestResponses:
    ANSWER = b'{"a": [1, "two"], "none": null}'

    def answered(self, gateway, raw_origin, mappings, headers=b"X-Back: one\r\nX-Back: two\r\n", body=ANSWER, **options):
        def play(link):
            read_head(link)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
            link.sendall(head % (headers, len(body)) + body)

        return Mapped(gateway, raw_origin(play).url, response=mappings, **options).call()

    def test_every_source(self, gateway, raw_origin):
        sources = {
            "integration.response.header.X-Back": "two",
            "integration.response.body.a[1]": "two",
            "integration.response.body.a": '[1,"two"]',
            "integration.response.body": self.ANSWER.decode(),
            "context.stage": "test",
            "stageVariables.color": "red",
            "'static'": "static",
            "integration.response.header.Content-Type": "application/json",
        }
        mappings = {f"X-{number}": source for number, source in enumerate(sources)}
        answer = self.answered(gateway, raw_origin, mappings, variables={"color": "red"})
        for number, (source, expected) in enumerate(sources.items()):
            assert answer.headers[f"X-{number}"] == expected, source
        assert "X-Back" not in answer.headers

    def test_all_values(self, gateway, raw_origin):
        answer = self.answered(gateway, raw_origin, {"X-All": "integration.response.multivalueheader.X-Back"})
        assert answer.headers["X-All"].replace(" ", "") == "one,two"

    def test_what_is_absent(self, gateway, raw_origin):
        mappings = {"X-A": "integration.response.header.Nothing", "X-B": "integration.response.body.none"}
        answer = self.answered(gateway, raw_origin, mappings)
        assert answer.status_code == 200 and not answer.headers.get("X-A") and not answer.headers.get("X-B")

    def test_an_answer_that_is_empty_or_no_json(self, gateway, raw_origin):
        mappings = {"X-Body": "integration.response.body"}
        answer = self.answered(gateway, raw_origin, mappings, body=b"")
        assert (answer.status_code, answer.headers["X-Body"]) == (200, "{}")
        answer = self.answered(gateway, raw_origin, mappings, body=b"{wrong")
        assert (answer.status_code, body_json(answer)) == (500, {"message": "Internal server error"})

    @pytest.mark.parametrize(
        "name", ["Authorization", "Connection", "Content-Length", "Content-MD5", "Date", "Expect", "Host", "Max-Forwards",
                 "Proxy-Authenticate", "Server", "Trailer", "Upgrade", "User-Agent", "WWW-Authenticate"],
    )  # fmt: skip
    def test_headers_that_the_gateway_writes_itself_are_renamed(self, gateway, raw_origin, name):
        answer = self.answered(gateway, raw_origin, {name: "'mine'"})
        assert answer.headers[f"x-amzn-Remapped-{name}"] == "mine" and answer.headers.get(name) != "mine"
        assert answer.status_code == 200

    def test_transfer_encoding_is_dropped(self, gateway, raw_origin):
        answer = self.answered(gateway, raw_origin, {"Transfer-Encoding": "'mine'"})
        assert "mine" not in str(answer.headers)

    def test_a_mapped_content_type_wins(self, gateway, raw_origin):
        answer = self.answered(gateway, raw_origin, {"Content-Type": "'text/csv'"})
        assert answer.headers["Content-Type"] == "text/csv"


class TestHeadersOfProxies:
    DROPPED = ("Content-MD5", "Expect", "Max-Forwards", "Proxy-Authenticate", "Server", "TE", "Trailer", "Upgrade", "WWW-Authenticate")

    def test_on_the_way_in(self, gateway, echo):
        api = gateway.rest_api()
        api.proxy("GET", "/", echo.url)
        api.deploy()
        sent = {name: "mine" for name in self.DROPPED if name != "Expect"} | {"X-Kept": "kept", "User-Agent": "me/1"}
        seen = body_json(api.call("GET", "/", headers=sent))["headers"]
        assert not {name.lower() for name in self.DROPPED} & seen.keys()
        assert (seen["x-kept"], seen["user-agent"], seen["x-amzn-apigateway-api-id"]) == ("kept", "me/1", api.id)

    def test_on_the_way_back(self, gateway, raw_origin):
        def play(link):
            read_head(link)
            link.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: mine\r\nVia: 1.1 me\r\n"
                b"WWW-Authenticate: Basic\r\nContent-Encoding: identity\r\nX-Kept: kept\r\n\r\nok"
            )

        api = gateway.rest_api()
        api.proxy("GET", "/", raw_origin(play).url)
        api.deploy()
        headers = api.call("GET", "/").headers
        assert headers["x-amzn-Remapped-Server"] == "mine" and headers["x-amzn-Remapped-Content-Length"] == "2"
        assert headers["x-amzn-Remapped-Date"].startswith("Thu, 01 Jan 1970")
        assert headers["X-Kept"] == "kept" and "Via" not in headers and "Content-Encoding" not in headers
        # Not for this kind, mocks and errors.
        assert "X-Amzn-Trace-Id" not in headers

    def test_what_http_sends_of_its_own(self, gateway, echo):
        Mapped(gateway, echo.url).call(headers={"User-Agent": "me/1", "X-Mine": "1", "Accept": "text/html"})
        seen = {name.lower(): value for name, value in echo.seen[-1][2]}
        assert seen["accept"] == "application/json" and seen["user-agent"].startswith("AmazonAPIGateway_")
        assert "x-mine" not in seen and seen["x-amzn-apigateway-api-id"]

    def test_http_names_a_type_only_beside_a_body(self, gateway, echo):
        mapped = Mapped(gateway, echo.url)

        def sent(data, **headers):
            mapped.call(data=data, headers=headers)
            return {name.lower(): value for name, value in echo.seen[-1][2]}.get("content-type")

        assert sent(b"") is None and sent(b"", **{"Content-Type": "application/json"}) is None
        assert sent(b"x", **{"Content-Type": "text/plain"}) == "text/plain"
        assert sent(b"{}") == "application/json"
