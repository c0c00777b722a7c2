"""Function URLs of Lambda, in front of a gateway's Lambda API, for recordings whose backends are functions behind URLs.

Everything else is passed on. A URL has the id of its function as a part of its path; what comes in there becomes an
event (payload 2.0), and the function's answer an HTTP response, as with AWS's URLs of type NONE.
"""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import requests

PREFIX = "/url-of/"


class FunctionUrls(ThreadingHTTPServer):
    """Stands before the Lambda API at `control`; `address` is its own."""

    daemon_threads = True

    def __init__(self, control):
        self.control, self.permissions = control, []
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "content-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def handle_any(self):
        body, path = self.body(), urlsplit(self.path).path
        if path.startswith(PREFIX):
            return self.invoke(body)
        parts = path.strip("/").split("/")
        if self.command == "POST" and len(parts) == 4 and parts[3] == "url":
            url = f"{self.server.address}{PREFIX}{parts[2]}/"
            made = {"FunctionUrl": url, "FunctionArn": parts[2], "AuthType": "NONE", "CreationTime": ""}
            return self.answer(201, {"Content-Type": "application/json"}, json.dumps(made).encode())
        if b'"FunctionUrlAuthType"' in body:
            made = {"Statement": json.dumps({"Sid": json.loads(body)["StatementId"]})}
            return self.answer(201, {"Content-Type": "application/json"}, json.dumps(made).encode())
        passed = requests.request(
            self.command, self.server.control + self.path, data=body, headers=dict(self.headers), timeout=60
        )
        self.answer(passed.status_code, passed.headers, passed.content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any

    def invoke(self, body):
        target = urlsplit(self.path)
        function, _, path = target.path.removeprefix(PREFIX).partition("/")
        headers = {}
        for name, value in self.headers.items():
            headers[name.lower()] = ",".join(filter(None, [headers.get(name.lower()), value]))
        domain = f"{function}.lambda-url.us-east-1.on.aws"
        http = {
            "method": self.command, "path": "/" + path, "protocol": "HTTP/1.1",
            "sourceIp": self.client_address[0], "userAgent": headers.get("user-agent"),
        }  # fmt: skip
        event = {
            "version": "2.0", "routeKey": "$default", "rawPath": "/" + path, "rawQueryString": target.query,
            "headers": headers, "requestContext": {"domainName": domain, "http": http, "stage": "$default"},
            "isBase64Encoded": False,
        }  # fmt: skip
        if target.query:
            event["queryStringParameters"] = dict(parse_qsl(target.query, keep_blank_values=True))
        if body:
            kind = headers.get("content-type", "")
            is_text = kind.startswith("text/") or "json" in kind or "xml" in kind or "javascript" in kind
            event["isBase64Encoded"] = not is_text
            event["body"] = body.decode() if is_text else base64.b64encode(body).decode()
        invoked = requests.post(
            f"{self.server.control}/2015-03-31/functions/{function}/invocations", json=event, timeout=60
        )
        answer = invoked.json()
        if "X-Amz-Function-Error" in invoked.headers:
            return self.answer(502, {}, b"Internal Server Error")
        if not (isinstance(answer, dict) and "statusCode" in answer):
            # AWS makes a body of whatever it is: of a text its characters, of anything else its JSON.
            content = answer.encode() if isinstance(answer, str) else invoked.content
            return self.answer(200, {"Content-Type": "application/json"}, content)
        text = (answer.get("body") or "").encode()
        content = base64.b64decode(text) if answer.get("isBase64Encoded") else text
        self.answer(
            answer["statusCode"], {"Content-Type": "application/json", **(answer.get("headers") or {})}, content
        )

    def log_message(self, *_):
        pass
