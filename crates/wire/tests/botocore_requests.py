"""Has botocore write one request for each operation, and prints what went in and what came out, one JSON object a
line. `src/tests.rs` reads the requests back and compares."""

import json

from botocore.awsrequest import create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.serialize import create_serializer

PATTERNS = {r"[1-5]\d\d": "204", r"^([1-5]\d\d|\*|\s*)$": "404", r"^[a-z0-9]+$": "abc0123456"}


def sample(shape, name, seen=()):
    """A value that the model allows, with text that has to be encoded where it can be."""
    if shape.type_name == "structure":
        if shape.name in seen:
            return {}
        return {key: sample(member, key, (*seen, shape.name)) for key, member in shape.members.items()}
    if shape.type_name == "list":
        return [sample(shape.member, name, seen), sample(shape.member, name, seen)]
    if shape.type_name == "map":
        return {f"{name} a/b&c": sample(shape.value, name, seen)}
    if shape.type_name == "string":
        if shape.enum:
            return shape.enum[-1]
        pattern = shape.metadata.get("pattern")
        text = PATTERNS[pattern] if pattern else f"{name}: ä/%2F?&=+ x"
        text = text.ljust(shape.metadata.get("min", 0), "x")
        return text[: shape.metadata.get("max", len(text))]
    if shape.type_name == "blob":
        return "{} ä"
    if shape.type_name == "boolean":
        return True
    if shape.type_name in ("integer", "long"):
        return shape.metadata.get("min", 7)
    return {"double": 2.5, "float": 2.5, "timestamp": 1700000000}[shape.type_name]


for service in ("apigateway", "apigatewayv2", "apigatewaymanagementapi"):
    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    serializer = create_serializer(model.metadata["protocol"], include_validation=True)
    for name in model.operation_names:
        operation = model.operation_model(name)
        # ExportApi's choices stand at the members, where botocore's own model of them does not look.
        params = sample(operation.input_shape, name) if operation.input_shape else {}
        if name == "ExportApi":
            params.update(OutputType="YAML", Specification="OAS30")
        if "accepts" in params:
            params["accepts"] = "application/yaml"  # A header holds no umlaut.
        request = serializer.serialize_to_request(json.loads(json.dumps(params)), operation)
        prepare_request_dict(request, "http://localhost:4566")
        prepared = create_request_object(request).prepare()
        body = prepared.body or b""
        text = lambda value: value.decode() if isinstance(value, bytes) else value
        print(json.dumps({
            "service": service,
            "operation": name,
            "params": params,
            "method": prepared.method,
            "target": prepared.url.removeprefix("http://localhost:4566"),
            "headers": [[header, text(value)] for header, value in prepared.headers.items()],
            "body": text(body),
        }))
