"""WebSocket APIs for tests: built with boto3, spoken to with the `websockets` library."""

import json
import socket
from urllib.parse import urlsplit

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

# What a MOCK integration answers 200 with.
OK = {"200": '{"statusCode":200}'}


class SocketApi:
    """Builds a WebSocket API whose stage deploys itself."""

    def __init__(self, gateway, stage="dev", selection="$request.body.action", variables=None, settings=None, **options):
        self.gateway, self.client, self.stage = gateway, gateway.client("apigatewayv2"), stage
        self.id = self.client.create_api(
            Name="socket", ProtocolType="WEBSOCKET", RouteSelectionExpression=selection, **options
        )["ApiId"]
        self.client.create_stage(
            ApiId=self.id, StageName=stage, AutoDeploy=True, StageVariables=variables or {}, **(settings or {})
        )

    def integration(self, **options):
        return self.client.create_integration(ApiId=self.id, **options)["IntegrationId"]

    def route(self, key, integration, two_way=False, **options):
        if two_way:
            options["RouteResponseSelectionExpression"] = "$default"
        options |= {"Target": f"integrations/{integration}"} if integration else {}
        route = self.client.create_route(ApiId=self.id, RouteKey=key, **options)["RouteId"]
        if two_way:
            self.client.create_route_response(ApiId=self.id, RouteId=route, RouteResponseKey="$default")
        return route

    def function(self, key, arn, two_way=False, route=None, **options):
        integration = self.integration(IntegrationType="AWS_PROXY", IntegrationUri=arn, **options)
        return self.route(key, integration, two_way, **(route or {}))

    def mock(self, key, templates=OK, selection="200", answer=None, two_way=None, route=None, **options):
        """A route without a backend; `answer` is the template of what the client is sent."""
        integration = self.integration(
            IntegrationType="MOCK", RequestTemplates=templates, TemplateSelectionExpression=selection, **options
        )
        if answer is not None:
            self.client.create_integration_response(
                ApiId=self.id, IntegrationId=integration, IntegrationResponseKey="$default",
                ResponseTemplates={"200": answer}, TemplateSelectionExpression="200",
            )  # fmt: skip
        return self.route(key, integration, answer is not None if two_way is None else two_way, **(route or {}))

    def deployed(self):
        """Fails if the last change could not be deployed."""
        status = self.client.get_stage(ApiId=self.id, StageName=self.stage).get("LastDeploymentStatusMessage", "")
        assert status.startswith("Successfully"), status
        return self

    def url(self, path="", query=""):
        host = f"{self.id}.execute-api.localhost:{self.gateway.traffic_port}"
        return f"ws://{host}/{self.stage}{path}{query}"

    def connect(self, url=None, **options):
        options = {"compression": None, "max_size": None, "ping_interval": None, "proxy": None, **options}
        url = url or self.url()
        if "localhost" in url:
            # Not every resolver knows names below it.
            options.setdefault("sock", socket.create_connection(("127.0.0.1", urlsplit(url).port), 10))
        return connect(url, **options)

    def refused(self, url=None, **options):
        """The answer to a handshake that fails."""
        try:
            with self.connect(url, **options):
                raise AssertionError("the handshake was taken")
        except InvalidStatus as error:
            return error.response

    def ask(self, link, message, seconds=20):
        link.send(message if isinstance(message, str | bytes) else json.dumps(message))
        return link.recv(timeout=seconds)
