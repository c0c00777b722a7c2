"""Sends messages to clients: `POST https://{domainName}/{stage}/@connections/{connectionId}`, signed as AWS wants it.

With boto3 beside the handler, `post` would be three lines:

    client = boto3.client("apigatewaymanagementapi", endpoint_url=f"https://{domain}/{stage}")
    client.post_to_connection(ConnectionId=connection, Data=data)

but the example is to run without installing anything."""

import datetime
import hashlib
import hmac
import http.client
import json
import os
from urllib.parse import quote

import table


def people(event, room):
    """Tells a room who is in it."""
    to_room(event, room, {"people": [name for _, name in table.everyone_in(room)]})


def to_room(event, room, message):
    """Sends everyone in a room a message, and forgets who is gone: `$disconnect` may be late, or never come."""
    gone = [connection for connection, _ in table.everyone_in(room) if not post(event, connection, message)]
    for connection in gone:
        table.remove(connection)
    if gone:
        people(event, room)


def post(event, connection, message):
    """Sends a client a message. False if it is gone."""
    context = event["requestContext"]
    path = f"/{context['stage']}/%40connections/{quote(connection, safe='')}"
    data = json.dumps(message).encode()
    link = http.client.HTTPSConnection(context["domainName"], timeout=5)
    try:
        link.request("POST", path, data, signed(context["domainName"], path, data))
        answer = link.getresponse()
        if answer.status not in (200, 410):
            raise RuntimeError(f"{answer.status} {answer.read().decode()}")
        return answer.status == 200
    finally:
        link.close()


def signed(host, path, data):
    """The headers of Signature Version 4."""
    environment, region = os.environ, os.environ["AWS_REGION"]
    now = datetime.datetime.now(datetime.timezone.utc)
    time, scope = now.strftime("%Y%m%dT%H%M%SZ"), f"{now:%Y%m%d}/{region}/execute-api/aws4_request"
    headers = {"host": host, "x-amz-date": time}
    if token := environment.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(headers)
    canonical = "\n".join(
        ["POST", quote(path), "", *(f"{name}:{value}" for name, value in headers.items()), "", names,
         hashlib.sha256(data).hexdigest()]
    )  # fmt: skip
    text = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + environment["AWS_SECRET_ACCESS_KEY"].encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{environment['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers
