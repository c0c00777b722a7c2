"""Signs requests with botocore and prints each, one JSON object a line, for botocore.rs to verify."""

import json
import sys
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CASES = [
    ("GET", "/restapis?limit=500&position=a%2Fb%3D", b""),
    ("POST", "/restapis?mode=import&failonwarnings=true&ignore=documentation", b'{"swagger": "2.0"}'),
    ("PATCH", "/restapis/abc/resources/x/methods/GET/responses/200", b'{"patchOperations": []}'),
    ("DELETE", "/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Frestapis%2Fabc?tagKeys=b&tagKeys=a%20b", b""),
    ("GET", "/restapis/abc/models/%28none%29/./x//y/../z/", b""),
    ("POST", "/@connections/L0SM9cOFvHcCIhw%3D", bytes(range(256))),
]


def main(access_key, secret_key):
    for method, target, body in CASES:
        for token in (None, "token/with+signs=="):
            # botocore presigns requests without a body only: it would move a form into the query.
            headers_only = [(SigV4Auth, "apigateway"), (S3SigV4Auth, "s3")]
            for kind, service in headers_only if body else [*headers_only, (SigV4QueryAuth, "apigateway")]:
                credentials = Credentials(access_key, secret_key, token)
                headers = {"Host": "localhost:4566", "X-Test": "a   b", "Content-Type": "application/json"}
                request = AWSRequest(method, "http://localhost:4566" + target, headers, data=body)
                kind(credentials, service, "us-east-1").add_auth(request)
                prepared = request.prepare()
                parts = urlsplit(prepared.url)
                text = lambda value: value.decode() if isinstance(value, bytes) else value
                print(json.dumps({
                    "service": service,
                    "method": method,
                    "path": parts.path,
                    "query": parts.query,
                    "headers": [[name, text(value)] for name, value in prepared.headers.items()],
                    "body": list(body),
                    "token": token,
                }))


main(*sys.argv[1:])
