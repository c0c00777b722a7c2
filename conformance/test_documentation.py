"""Documentation of REST APIs: the places it can be about, how its parts are listed, and what a version keeps."""

import json

import pytest
from test_protocol import error_of

PROPERTIES = json.dumps({"description": "d"})
# Each type with the least that its place needs, and what AWS fills in.
PLACES = {
    "API": ({}, {}),
    "AUTHORIZER": ({"name": "a"}, {}),
    "MODEL": ({"name": "Empty"}, {}),
    "RESOURCE": ({}, {"path": "/"}),
    "METHOD": ({}, {"path": "/", "method": "*"}),
    "PATH_PARAMETER": ({"name": "id"}, {"path": "/", "method": "*"}),
    "QUERY_PARAMETER": ({"name": "q"}, {"path": "/", "method": "*"}),
    "REQUEST_HEADER": ({"name": "h"}, {"path": "/", "method": "*"}),
    "REQUEST_BODY": ({}, {"path": "/", "method": "*"}),
    "RESPONSE": ({}, {"path": "/", "method": "*", "statusCode": "*"}),
    "RESPONSE_HEADER": ({"name": "h"}, {"path": "/", "method": "*", "statusCode": "*"}),
    "RESPONSE_BODY": ({}, {"path": "/", "method": "*", "statusCode": "*"}),
}
# What a type's place cannot have besides.
HAS_NOT = {
    "API": "path, method, statusCode or name",
    "AUTHORIZER": "path, method or statusCode",
    "MODEL": "path, method or statusCode",
    "RESOURCE": "method, statusCode or name",
    "METHOD": "statusCode or name",
    "PATH_PARAMETER": "statusCode",
    "QUERY_PARAMETER": "statusCode",
    "REQUEST_HEADER": "statusCode",
    "REQUEST_BODY": "statusCode or name",
    "RESPONSE": "name",
    "RESPONSE_BODY": "name",
}
FULL = {"path": "/a", "method": "GET", "statusCode": "200", "name": "n"}


@pytest.fixture
def documented(gateway):
    """A client, the API's id, and the parts' ids by their types."""
    client, api = gateway.client(), gateway.rest_api()
    made = {}
    for kind, (given, filled) in PLACES.items():
        part = client.create_documentation_part(restApiId=api.id, location={"type": kind, **given}, properties=PROPERTIES)
        assert part["location"] == {"type": kind, **filled, **given} and part["properties"] == PROPERTIES
        made[kind] = part["id"]
    return client, api.id, made


def test_every_type_of_place(documented):
    client, api, made = documented
    assert len(set(made.values())) == 12
    for kind, (given, _) in PLACES.items():
        location = {"type": kind, **given}
        error = error_of(client.create_documentation_part, restApiId=api, location=location, properties=PROPERTIES)["Error"]
        assert error["Code"] == "ConflictException", kind
        assert error["Message"].startswith(f"Documentation part already exists for the specified location: type '{kind}'")
        whole = {"type": kind, **FULL}
        if has_not := HAS_NOT.get(kind):
            error = error_of(client.create_documentation_part, restApiId=api, location=whole, properties=PROPERTIES)["Error"]
            message = f"[Location type: {kind} cannot have {has_not} defined.]"
            assert (error["Code"], error["Message"]) == ("BadRequestException", message)
        else:
            assert client.create_documentation_part(restApiId=api, location=whole, properties=PROPERTIES)["location"] == whole


def test_lists_of_parts(documented):
    client, api, made = documented

    def listed(**query):
        return [part["id"] for part in client.get_documentation_parts(restApiId=api, **query)["items"]]

    assert listed() == list(made.values())
    assert listed(type="MODEL") == [made["MODEL"]]
    assert listed(nameQuery="h") == [made["REQUEST_HEADER"], made["RESPONSE_HEADER"]]
    assert listed(path="/") == [made[kind] for kind, (_, filled) in PLACES.items() if filled]
    first = client.get_documentation_parts(restApiId=api, limit=5)
    assert [part["id"] for part in first["items"]] == list(made.values())[:5]
    assert listed(position=first["position"]) == list(made.values())[5:]


def test_versions(documented):
    client, api, made = documented
    client.create_documentation_version(restApiId=api, documentationVersion="1")
    client.delete_documentation_part(restApiId=api, documentationPartId=made["API"])
    client.create_documentation_version(restApiId=api, documentationVersion="2", description="d")
    versions = client.get_documentation_versions(restApiId=api)["items"]
    assert [(one["version"], one.get("description")) for one in versions] == [("1", None), ("2", "d")]
    error = error_of(client.create_documentation_version, restApiId=api, documentationVersion="1")["Error"]
    assert (error["Code"], error["Message"]) == ("ConflictException", "Documentation version already exists")
    error = error_of(client.get_documentation_version, restApiId=api, documentationVersion="3")["Error"]
    assert (error["Code"], error["Message"]) == ("NotFoundException", "Invalid Documentation version specified")


@pytest.mark.parametrize(
    ("properties", "message"),
    [("", "Documentation part properties must be non-empty"), ("[]", "Invalid documentation part properties specified")],
)
def test_properties_are_an_object(documented, properties, message):
    client, api, made = documented
    change = {"op": "replace", "path": "/properties", "value": properties}
    where = {"restApiId": api, "documentationPartId": made["API"]}
    error = error_of(client.update_documentation_part, **where, patchOperations=[change])["Error"]
    assert error["Code"] == "BadRequestException" and error["Message"].startswith(message)
    assert client.get_documentation_part(**where)["properties"] == PROPERTIES
