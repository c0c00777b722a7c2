"""Ten OpenAPI documents of real size, in the manner of descriptions that services publish: a pet store, a code host, a
payment service and so on. Made here instead of stored, and the same in every run.

Each operation has a MOCK integration that answers with the operation's id, so that a test can tell which one served a
request. Everything else is what such documents have: shared parameters and responses, schemas that refer to each other
and to themselves, several media types, scopes, examples, vendors' own members.
"""

import json

VERBS = {"list": "get", "create": "post", "read": "get", "replace": "put", "change": "patch", "delete": "delete"}


def mock(operation_id, status="200"):
    return {
        "type": "mock",
        "requestTemplates": {"application/json": '{"statusCode": %s}' % status},
        "passthroughBehavior": "when_no_match",
        "responses": {
            "default": {"statusCode": status, "responseTemplates": {"application/json": '{"operation": "%s"}' % operation_id}}
        },
    }  # fmt: skip


class Api:
    """A document in the making. `openapi` is `3.0.x` or `2.0`; paths, schemas and operations are added one by one."""

    def __init__(self, title, openapi="3.0.3", **info):
        self.v3 = openapi.startswith("3")
        version = {"openapi": openapi} if self.v3 else {"swagger": openapi}
        self.document = {**version, "info": {"title": title, "version": "1.0.0", **info}, "paths": {}}
        if self.v3:
            self.schemas = self.document.setdefault("components", {}).setdefault("schemas", {})
        else:
            self.schemas = self.document.setdefault("definitions", {})

    def ref(self, name):
        return {"$ref": f"#/{'components/schemas' if self.v3 else 'definitions'}/{name}"}

    def schema(self, name, required=(), /, **properties):
        shape = {"type": "object", "properties": properties}
        self.schemas[name] = {**shape, "required": list(required)} if required else shape
        return self.ref(name)

    def parameter(self, name, place, kind="string", required=False, **more):
        required = required or place == "path"
        shape = {"type": kind, **more}
        base = {"name": name, "in": place, "required": required, "description": f"The {name}."}
        return {**base, "schema": shape} if self.v3 else {**base, **shape}

    def body(self, schema, media_types=("application/json",)):
        if self.v3:
            return {"requestBody": {"required": True, "content": {one: {"schema": schema} for one in media_types}}}
        return {
            "consumes": list(media_types),
            "parameters": [{"in": "body", "name": "body", "required": True, "schema": schema}],
        }

    def answer(self, schema=None, description="Done.", headers=(), media_types=("application/json",)):
        told = {"description": description}
        if headers:
            kind = {"schema": {"type": "string"}} if self.v3 else {"type": "string"}
            told["headers"] = {name: kind for name in headers}
        if schema and self.v3:
            told["content"] = {one: {"schema": schema, "example": {}} for one in media_types}
        elif schema:
            told["schema"] = schema
        return told

    def operation(self, verb, path, operation_id, status="200", answer=None, parameters=(), body=None, **more):
        item = self.document["paths"].setdefault(path, {})
        operation = {"operationId": operation_id, "summary": operation_id, **(body or {}), **more}
        named = {one.get("name") for one in parameters if "name" in one}
        variables = [part.strip("{}+") for part in path.split("/") if part.startswith("{")]
        paths = [self.parameter(name, "path") for name in variables if name not in named]
        operation["parameters"] = [*operation.get("parameters", []), *paths, *parameters]
        operation["responses"] = {status: answer or self.answer()}
        operation["x-amazon-apigateway-integration"] = mock(operation_id, status)
        item[verb] = operation

    def collection(self, path, noun, schema, actions="list create read change delete", key="id", page=(), media=None):
        """The operations of a collection and of one of its items, as nearly every such service has them."""
        one = f"{path}/{{{key}}}"
        media = {"media_types": media} if media else {}
        for action in actions.split():
            where = path if action in ("list", "create") else one
            plural = {"type": "array", "items": schema}
            answer = {
                "list": self.answer(plural, headers=("Link", "X-Total-Count"), **media),
                "create": self.answer(schema, "Made.", headers=("Location",), **media),
                "delete": self.answer(),
            }.get(action, self.answer(schema, **media))
            status = {"create": "201", "delete": "204"}.get(action, "200")
            body = self.body(schema, **media) if action in ("create", "replace", "change") else None
            parameters = page if action == "list" else ()
            self.operation(VERBS[action], where, f"{action}{noun}", status, answer, parameters, body, tags=[noun])
        return one


def words(text):
    return "".join(word.capitalize() for word in text.replace("-", " ").replace("_", " ").split())


def pet_store():
    api = Api("Pet Store", "2.0", description="Pets, orders and users.", license={"name": "Apache 2.0"})
    api.document.update(basePath="/v2", schemes=["https"], host="pets.example.com")
    category = api.schema("Category", id={"type": "integer", "format": "int64"}, name={"type": "string"})
    tag = api.schema("Tag", id={"type": "integer", "format": "int64"}, name={"type": "string"})
    pet = api.schema(
        "Pet", ("name", "photoUrls"), id={"type": "integer", "format": "int64"}, category=category,
        name={"type": "string"}, photoUrls={"type": "array", "items": {"type": "string"}},
        tags={"type": "array", "items": tag}, status={"type": "string", "enum": ["available", "pending", "sold"]},
    )  # fmt: skip
    order = api.schema(
        "Order", id={"type": "integer"}, petId={"type": "integer"}, quantity={"type": "integer", "minimum": 1},
        shipDate={"type": "string", "format": "date-time"}, complete={"type": "boolean", "default": False},
    )  # fmt: skip
    user = api.schema("User", ("username",), username={"type": "string"}, email={"type": "string", "format": "email"})
    media = ("application/json", "application/xml")
    api.collection("/pet", "Pet", pet, "create read replace delete", "petId", media=media)
    status = api.parameter("status", "query", "array", True, items={"type": "string"}, collectionFormat="multi")
    api.operation("get", "/pet/findByStatus", "findByStatus", answer=api.answer(pet), parameters=[status])
    api.operation("get", "/pet/findByTags", "findByTags", answer=api.answer(pet), deprecated=True)
    api.collection("/store/order", "Order", order, "create read delete", "orderId")
    counts = {"type": "object", "additionalProperties": {"type": "integer"}}
    api.operation("get", "/store/inventory", "inventory", answer=api.answer(counts))
    api.collection("/user", "User", user, "create read replace delete", "username")
    api.operation("post", "/user/createWithList", "createMany", body=api.body({"type": "array", "items": user}))
    login = [api.parameter(name, "query", required=True) for name in ("username", "password")]
    api.operation("get", "/user/login", "login", answer=api.answer(headers=("X-Rate-Limit",)), parameters=login)
    return api.document


def code_host():
    """The largest: more than 300 operations, deep paths, shared parameters, pages, conditional requests."""
    api = Api("Code Host", description="Repositories, issues and everything around them.")
    shared = api.document["components"]["parameters"] = {
        "page": api.parameter("page", "query", "integer", minimum=1),
        "per_page": api.parameter("per_page", "query", "integer", maximum=100, default=30),
        "if_none_match": api.parameter("If-None-Match", "header"),
    }
    page = [{"$ref": f"#/components/parameters/{name}"} for name in shared]
    user = api.schema("SimpleUser", ("login", "id"), login={"type": "string"}, id={"type": "integer"},
                      url={"type": "string", "format": "uri"}, site_admin={"type": "boolean"})  # fmt: skip
    nouns = {
        "/repos/{owner}/{repo}": (
            "branches commits deployments environments forks hooks invitations issues keys labels milestones pulls"
            " releases rulesets tags collaborators projects stars watchers traffic autolinks assignees"
        ),
        "/repos/{owner}/{repo}/issues/{id}": "comments events reactions timeline labels",
        "/repos/{owner}/{repo}/pulls/{id}": "reviews files commits comments",
        "/repos/{owner}/{repo}/actions": "artifacts caches jobs runners runs secrets variables workflows",
        "/orgs/{org}": "members teams hooks projects packages rulesets invitations roles",
        "/users/{username}": "followers following gists keys orgs repos starred subscriptions",
        "/gists/{gist_id}": "comments commits forks",
        "/enterprises/{enterprise}": "teams runners actions audit-log licenses",
    }
    for parent, names in nouns.items():
        for name in names.split():
            noun = words(name)
            scope = words("".join(part for part in parent.split("/") if not part.startswith("{")))
            schema = api.schema(
                noun, ("id",), id={"type": "integer"}, node_id={"type": "string"}, creator=user, url={"type": "string"},
                created_at={"type": "string", "format": "date-time"}, parent=api.ref(noun),
                state={"type": "string", "enum": ["open", "closed", "all"]},
            )  # fmt: skip
            # No two variables of a path have the same name.
            key = "item_id" if "{id}" in parent else "id"
            api.collection(f"{parent}/{name}", scope + noun, schema, key=key, page=page)
    return api.document


def payments():
    """Form bodies, schemas of many kinds in one, versions in headers, keys that can be used once."""
    api = Api("Payments", "3.0.0", contact={"email": "dev@example.com"})
    api.document["servers"] = [{"url": "https://api.example.com/"}]
    money = {"type": "integer", "description": "In the smallest unit of the currency."}
    api.schema("Card", brand={"type": "string"}, last4={"type": "string", "maxLength": 4, "pattern": "^[0-9]*$"})
    api.schema("BankAccount", country={"type": "string"}, last4={"type": "string"})
    api.schemas["Source"] = {"anyOf": [api.ref("Card"), api.ref("BankAccount")]}
    once = [api.parameter("Idempotency-Key", "header"), api.parameter("Stripe-Version", "header")]
    expand = api.parameter("expand", "query", "array", items={"type": "string", "maxLength": 5000})
    for name in ("charges customers invoices plans products prices refunds subscriptions transfers payouts disputes coupons"
                 " sessions topups tokens").split():  # fmt: skip
        noun = words(name)
        schema = api.schema(
            noun, ("id", "object"), id={"type": "string", "maxLength": 5000}, object={"type": "string", "enum": [name]},
            amount=money, currency={"type": "string"}, source=api.ref("Source"), livemode={"type": "boolean"},
            metadata={"type": "object", "additionalProperties": {"type": "string"}},
            customer={"anyOf": [{"type": "string"}, api.ref("Customers"), {"type": "null"}]},
        )  # fmt: skip
        form = ("application/x-www-form-urlencoded",)
        one = api.collection(f"/v1/{name}", noun, schema, "list read delete", page=[expand])
        for verb, path, action in (("post", f"/v1/{name}", "create"), ("post", one, "update")):
            api.operation(verb, path, f"{action}{noun}", answer=api.answer(schema), parameters=once,
                          body=api.body(schema, form))  # fmt: skip
        api.operation("post", f"{one}/cancel", f"cancel{noun}", answer=api.answer(schema), parameters=once)
    return api.document


def messages():
    api = Api("Messages", "3.0.1")
    api.document["components"]["responses"] = {
        "Error": api.answer({"type": "object", "properties": {"code": {"type": "integer"}}}, "It did not work.")
    }
    for name in "calls conferences messages queues recordings transcriptions addresses applications usage".split():
        schema = api.schema(words(name), sid={"type": "string", "pattern": "^[A-Z]{2}[0-9a-f]{32}$"},
                            status={"type": "string"}, price={"type": "number", "format": "float"})  # fmt: skip
        prefix = "/2010-04-01/Accounts/{AccountSid}"
        api.collection(f"{prefix}/{name}.json", words(name), schema, "list create", page=[api.parameter("PageSize", "query")])
        one = api.collection(f"{prefix}/{name}", words(name), schema, "read replace delete", "Sid")
        api.document["paths"][one]["get"]["responses"]["404"] = {"$ref": "#/components/responses/Error"}
    return api.document


def music():
    api = Api("Music", "3.0.3")
    api.document["x-tagGroups"] = [{"name": "all", "tags": ["Albums"]}]
    api.schemas["PagingObject"] = {"type": "object", "properties": {"href": {"type": "string"}, "total": {"type": "integer"}}}
    for name in "albums artists audiobooks chapters episodes playlists shows tracks".split():
        item = api.schema(words(name), ("uri",), uri={"type": "string"}, popularity={"type": "integer", "maximum": 100})
        api.schemas[f"Paging{words(name)}"] = {
            "allOf": [api.ref("PagingObject"), {"type": "object", "properties": {"items": {"type": "array", "items": item}}}]
        }
        market = api.parameter("market", "query")
        api.operation("get", f"/{name}", f"several{words(name)}", parameters=[api.parameter("ids", "query", required=True)],
                      answer=api.answer(api.ref(f"Paging{words(name)}")))  # fmt: skip
        api.operation("get", f"/{name}/{{id}}", f"one{words(name)}", parameters=[market], answer=api.answer(item))
        ids = {"type": "object", "properties": {"ids": {"type": "array", "items": {"type": "string"}}}}
        for verb in ("get", "put", "delete"):
            api.operation(verb, f"/me/{name}", f"{verb}My{words(name)}", body=None if verb == "get" else api.body(ids))
    return api.document


def cluster():
    """A cluster manager's: Swagger 2.0, long names with dots, watches, subresources, patches of several media types."""
    api = Api("Cluster", "2.0")
    meta = api.schema("MetaV1ObjectMeta", name={"type": "string"}, labels={"type": "object", "additionalProperties": {"type": "string"}})
    json_schema = api.schema("JSONSchemaProps", type={"type": "string"}, not_=api.ref("JSONSchemaProps"),
                             properties={"type": "object", "additionalProperties": api.ref("JSONSchemaProps")})  # fmt: skip
    patches = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
    for group, names in {"/api/v1": "pods services secrets configmaps endpoints events",
                         "/apis/apps/v1": "deployments daemonsets statefulsets replicasets"}.items():  # fmt: skip
        for name in names.split():
            kind = api.schema(f"V1{words(name)}", apiVersion={"type": "string"}, kind={"type": "string"}, metadata=meta,
                              spec={"type": "object"}, schema=json_schema)  # fmt: skip
            path = f"{group}/namespaces/{{namespace}}/{name}"
            watch = [api.parameter("watch", "query", "boolean"), api.parameter("labelSelector", "query")]
            one = api.collection(path, words(name), kind, "list create read replace delete", "name", watch)
            api.operation("patch", one, f"patch{words(name)}", answer=api.answer(kind), body=api.body({"type": "object"}, patches))
            api.operation("delete", path, f"deleteAll{words(name)}")
            for verb in ("get", "put"):
                api.operation(verb, f"{one}/status", f"{verb}{words(name)}Status", answer=api.answer(kind))
            api.document["paths"][one]["get"]["x-kubernetes-group-version-kind"] = {"group": "", "kind": name, "version": "v1"}
    return api.document


def chat():
    """All calls are verbs in one flat list of paths with dots."""
    api = Api("Chat", "3.0.2")
    envelope = api.schema("Ok", ("ok",), ok={"type": "boolean"}, error={"type": "string"})
    token = api.parameter("token", "header", required=True)
    for noun in "admin api apps auth bots calls chat conversations dnd emoji files pins reactions reminders team users views".split():
        for verb in "add info list open test remove".split():
            method = "get" if verb in ("info", "list") else "post"
            fields = {"type": "object", "properties": {"channel": {"type": "string"}, "as_user": {"type": "boolean"}}}
            body = api.body(fields, ("application/x-www-form-urlencoded", "application/json")) if method == "post" else None
            api.operation(method, f"/{noun}.{verb}", f"{noun}_{verb}", answer=api.answer(envelope), parameters=[token], body=body)
    return api.document


def boards():
    api = Api("Boards", "3.0.0")
    api.schemas["TrelloID"] = {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}
    for name in "actions boards cards checklists labels lists members organizations".split():
        noun = words(name)
        schema = api.schema(noun, id=api.ref("TrelloID"), name={"type": "string", "minLength": 1, "maxLength": 16384},
                            closed={"type": "boolean"}, prefs={"type": "object", "properties": {"voting": {"type": "string"}}})  # fmt: skip
        one = api.collection(f"/{name}", noun, schema, "create read replace delete")
        api.operation("get", f"{one}/{{field}}", f"fieldOf{noun}")
        for other in "actions members checklists".split():
            if other != name:
                api.operation("post", f"{one}/fields/{other}", f"add{words(other)}To{noun}", answer=api.answer(schema))
    return api.document


def weather():
    """Text formats, numbers with bounds, answers of other media types than JSON."""
    api = Api("Weather", "3.0.3")
    point = {"type": "array", "items": {"type": "number", "minimum": -180, "maximum": 180}, "minItems": 2, "maxItems": 2}
    geometry = api.schema("Geometry", ("type",), type={"type": "string", "enum": ["Point", "Polygon"]}, coordinates=point)
    for name in "alerts gridpoints offices points products radar stations zones forecasts observations".split():
        feature = api.schema(words(name), geometry=geometry, properties={"type": "object"})
        media = ("application/geo+json", "application/ld+json")
        agent = api.parameter("User-Agent", "header")
        api.operation("get", f"/{name}", f"all{words(name)}", answer=api.answer(feature, media_types=media), parameters=[agent])
        api.operation("get", f"/{name}/{{id}}", f"one{words(name)}", answer=api.answer(feature, media_types=media))
        api.operation("get", f"/{name}/{{id}}/{{x}},{{y}}".replace("/{x},{y}", "/at/{x}/{y}"), f"at{words(name)}",
                      answer=api.answer({"type": "string"}, media_types=("text/plain",)))  # fmt: skip
    return api.document


def shop():
    """Composed schemas, path-level parameters, references of references, and API Gateway's own settings."""
    api = Api("Shop", "3.0.1", description="Multi\nline: \"text\" with 'quotes' and é")
    api.schemas["Base"] = {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}, "x-kinds": ["a", "b"]}
    api.schemas["Money"] = {"type": "object", "properties": {"amount": {"type": "number", "multipleOf": 0.01}}, "additionalProperties": False}
    api.schemas["Price"] = api.ref("Money")
    for name in "products orders carts customers addresses shipments returns vouchers".split():
        own = {"type": "object", "properties": {"price": api.ref("Price"), "note": {"type": ["string", "null"]}}}
        api.schemas[words(name)] = {"allOf": [api.ref("Base"), own]}
        one = api.collection(f"/{name}", words(name), api.ref(words(name)), "list create read change delete", "itemId")
        api.document["paths"][one]["parameters"] = [{**api.parameter("X-Tenant", "header"), "required": False}]
        api.document["paths"][one]["get"]["x-amazon-apigateway-request-validator"] = "params"
    api.document["x-amazon-apigateway-request-validators"] = {
        "params": {"validateRequestParameters": True, "validateRequestBody": False},
        "all": {"validateRequestParameters": True, "validateRequestBody": True},
    }
    api.document["x-amazon-apigateway-gateway-responses"] = {
        "BAD_REQUEST_PARAMETERS": {"statusCode": "422", "responseTemplates": {"application/json": '{"m":"$context.error.messageString"}'}},
    }
    return api.document


ALL = [pet_store, code_host, payments, messages, music, cluster, chat, boards, weather, shop]


def operations_of(document):
    """(verb, path, operation id, status) of each operation."""
    for path, item in document["paths"].items():
        for verb, operation in item.items():
            if verb != "parameters":
                yield verb.upper(), path, operation["operationId"], next(iter(operation["responses"]))


if __name__ == "__main__":
    for make in ALL:
        made = make()
        print(f"{make.__name__}: {len(list(operations_of(made)))} operations, {len(json.dumps(made)):,} bytes")
