"""GetSdk and the types of SDKs: a JavaScript client that Node runs and a Java client that the JDK compiles, both
calling the API that they were generated from."""

import io
import json
import subprocess
import zipfile
from urllib.parse import unquote, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from harness import KEYS, REGION
from test_protocol import error_of

TEMPLATE = '{"who": "$input.params(\'who\')", "id": "$input.params(\'petId\')", "tag": "$input.params(\'X-Tag\')"}'
MOCK = {
    "type": "mock",
    "requestTemplates": {"application/json": '{"statusCode": 200}'},
    "responses": {"default": {"statusCode": "200", "responseTemplates": {"application/json": TEMPLATE}}},
}
ANSWER = {"responses": {"200": {"description": "ok"}}, "x-amazon-apigateway-integration": MOCK}
BACKEND = {"type": "http_proxy", "httpMethod": "POST", "uri": "ORIGIN"}


def parameter(name, place, required=False):
    return {"name": name, "in": place, "required": required, "schema": {"type": "string"}}


def document(origin):
    backend = {**BACKEND, "uri": f"{origin}/anything"}
    pet = [parameter("petId", "path", True), parameter("who", "query", True), parameter("X-Tag", "header")]
    greedy = {**MOCK, "responses": {"default": {"statusCode": "200", "responseTemplates": {
        "application/json": "{\"rest\": \"$input.params('proxy')\"}"}}}}  # fmt: skip
    return {
        "openapi": "3.0.1",
        "info": {"title": "Pets */ of \\u002a/ all", "version": "1"},
        "paths": {
            "/": {"get": ANSWER},
            "/pets/{petId}": {"get": {**ANSWER, "parameters": pet}},
            "/pets": {"post": {"operationId": "createPet", "responses": {}, "x-amazon-apigateway-integration": backend}},
            "/files/{proxy+}": {"get": {"responses": {"200": {"description": "ok"}},
                                        "x-amazon-apigateway-integration": greedy}},
            "/any": {"x-amazon-apigateway-any-method": ANSWER},
        },
    }  # fmt: skip


@pytest.fixture
def api(gateway, echo):
    made = gateway.client().import_rest_api(body=json.dumps(document(echo.url)).encode())["id"]
    gateway.client().create_deployment(restApiId=made, stageName="v1")
    return made


def unpacked(gateway, api, kind, into, **parameters):
    answer = gateway.client().get_sdk(restApiId=api, stageName="v1", sdkType=kind, parameters=parameters)
    assert answer["contentType"] == "application/octet-stream"
    assert answer["contentDisposition"].startswith(f'attachment; filename="{kind}_20')
    with zipfile.ZipFile(io.BytesIO(answer["body"].read())) as archive:
        archive.extractall(into)


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_signature(url, seen, secret="s"):
    """The signature of a request that arrived, worked out again by botocore."""
    method, _, headers, body = seen
    headers = {name.lower(): value for name, value in headers}
    auth = botocore.auth.SigV4Auth(botocore.credentials.Credentials("AKID", secret), "execute-api", REGION)
    request = botocore.awsrequest.AWSRequest(method, url, data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    request.headers["host"], request.headers["x-amz-date"] = urlsplit(url).netloc, headers["x-amz-date"]
    text = auth.string_to_sign(request, auth.canonical_request(request))
    assert headers["authorization"].endswith(f"Signature={auth.signature(text, request)}")


def test_javascript(gateway, api, echo, tmp_path):
    unpacked(gateway, api, "javascript", tmp_path)
    script = """
        const { apigClientFactory } = require('./apiGateway-js-sdk/apigClient.js');
        (async () => {
          const client = apigClientFactory.newClient();
          const signing = apigClientFactory.newClient({ accessKey: 'AKID', secretKey: 's', apiKey: 'k' });
          const found = {};
          found.methods = Object.keys(client).sort();
          found.pet = (await client.petsPetIdGet({ petId: 'a/b c', who: "o'me", 'X-Tag': 't' })).data;
          found.root = (await client.rootGet({}, '', { queryParams: { who: 'q' } })).data.who;
          found.rest = (await signing.filesProxyGet({ proxy: 'x/y z' })).data.rest;
          const made = await signing.petsPost({}, { name: 'Rex' }, { queryParams: { b: 'x y', a: '*' } });
          found.body = made.data;
          found.missing = await client.petsPetIdGet({ petId: '1' }).catch(error => error.message);
          const nowhere = apigClientFactory.newClient({ invokeUrl: URL_NOWHERE });
          found.refused = await nowhere.rootGet().catch(result => result.status);
          console.log(JSON.stringify(found));
        })();
    """.replace("URL_NOWHERE", json.dumps(f"{gateway.traffic}/_aws/execute-api/{api}/nostage"))
    (tmp_path / "run.js").write_text(script)
    found = json.loads(run("node", "run.js", cwd=tmp_path))
    # What is called by any verb has no method of its own.
    assert found["methods"] == ["filesProxyGet", "petsPetIdGet", "petsPost", "rootGet"]
    assert {**found["pet"], "id": unquote(found["pet"]["id"])} == {"who": "o'me", "id": "a/b c", "tag": "t"}
    assert (found["root"], unquote(found["rest"]), found["refused"]) == ("q", "x/y z", 403)
    assert found["missing"] == "who must be defined"
    assert '{"name":"Rex"}' in json.dumps(found["body"]).replace("\\", "")
    check_signature(f"{gateway.traffic}/_aws/execute-api/{api}/v1/pets?b=x%20y&a=%2A", echo.seen[-1])


JAVA = """
import com.example.pets.PetStore;
import com.example.pets.PetStoreException;
import com.example.pets.model.*;

public class Main {
    public static void main(String[] arguments) {
        try (PetStore client = PetStore.builder().apiKey("k").iamCredentials("AKID", "s", null).build()) {
            GetPetsPetIdRequest request = new GetPetsPetIdRequest().petId("a/b c").who("me+you").xTag("t");
            System.out.println(client.getPetsPetId(request).body());
            System.out.println(client.getApiRoot(new GetApiRootRequest().queryParameter("who", "q")).statusCode());
            System.out.println(client.getFilesProxy(new GetFilesProxyRequest().proxy("x/y z")).body());
            System.out.println(client.createPet(new CreatePetRequest().body("{\\"name\\": \\"Rex\\"}")).body());
            try {
                client.getPetsPetId(new GetPetsPetIdRequest().who("x"));
            } catch (IllegalArgumentException missing) {
                System.out.println(missing.getMessage());
            }
        }
        PetStore nowhere = PetStore.builder().endpoint(arguments[0]).build();
        try {
            nowhere.getApiRoot(new GetApiRootRequest());
        } catch (PetStoreException refused) {
            System.out.println(refused.statusCode());
        }
    }
}
"""


@pytest.mark.parametrize("system", ["maven", "gradle"])
def test_java(gateway, api, tmp_path, system):
    parameters = {"service.name": "PetStore", "java.package-name": "com.example.pets", "java.build-system": system,
                  "java.license-text": "Free */ for all"}  # fmt: skip
    unpacked(gateway, api, "java", tmp_path, **parameters)
    root = tmp_path / "generated-code"
    assert (root / ("pom.xml" if system == "maven" else "build.gradle")).exists()
    if system == "gradle":
        return
    sources = [str(path) for path in (root / "src/main/java").rglob("*.java")]
    (tmp_path / "Main.java").write_text(JAVA)
    run("javac", "--release", "17", "-Xlint:all", "-Werror", "-d", "out", *sources, "Main.java", cwd=tmp_path)
    nowhere = f"{gateway.traffic}/_aws/execute-api/{api}/nostage"
    lines = run("java", "-cp", "out", "Main", nowhere, cwd=tmp_path).splitlines()
    pet = json.loads(lines[0])
    assert {**pet, "id": unquote(pet["id"])} == {"who": "me+you", "id": "a/b c", "tag": "t"}
    assert lines[1] == "200"
    assert unquote(json.loads(lines[2])["rest"]) == "x/y z"
    assert '{"name": "Rex"}' in lines[3].replace("\\", "")
    assert lines[4:] == ["petId must be set", "403"]


def test_types(gateway):
    client = gateway.client()
    types = client.get_sdk_types()["items"]
    assert {one["id"] for one in types} == {"android", "java", "javascript", "objectivec", "ruby", "swift"}
    java = client.get_sdk_type(id="java")
    assert (java["friendlyName"], java["description"]) == ("Java", "Java SDK generator for API Gateway APIs")
    required = [one["name"] for one in java["configurationProperties"] if one["required"]]
    assert required == ["service.name", "java.package-name"]
    first = client.get_sdk_types(limit=4)
    rest = client.get_sdk_types(limit=4, position=first["position"])
    assert [one["id"] for one in first["items"] + rest["items"]] == [one["id"] for one in types]
    assert error_of(client.get_sdk_type, id="cobol")["Error"]["Code"] == "NotFoundException"


def test_refusals(gateway, api):
    client = gateway.client()

    def refused(kind, stage="v1", **parameters):
        where = {"restApiId": api, "stageName": stage, "sdkType": kind, "parameters": parameters}
        return error_of(client.get_sdk, **where)["Error"]

    assert "service.name" in refused("java")["Message"]
    names = {"service.name": "PetStore", "java.package-name": "com.class"}
    assert refused("java", **names)["Message"].startswith("Invalid java.package-name specified")
    assert refused("swift", classPrefix="X")["Code"] == "NotImplementedException"
    assert refused("javascript", stage="none")["Message"] == "Invalid stage identifier specified"
    assert refused("cobol")["Code"] == "NotFoundException"


@pytest.fixture
def signed(new_gateway, tmp_path, echo):
    """A gateway that knows two keys, and an API that only signed requests reach."""
    known = {KEYS["AWS_ACCESS_KEY_ID"]: KEYS["AWS_SECRET_ACCESS_KEY"], "AKID": "s"}
    lines = [f'[[credentials]]\naccess_key_id = "{key}"\nsecret_access_key = "{secret}"\n' for key, secret in known.items()]
    (tmp_path / "config.toml").write_text("".join(lines))
    gateway = new_gateway("--config", str(tmp_path / "config.toml")).start()
    made = gateway.rest_api("signed")
    made.proxy("POST", "/pets/{id}", f"{echo.url}/anything", method_options={"authorizationType": "AWS_IAM"})
    made.client.create_deployment(restApiId=made.id, stageName="v1")
    return gateway, made.id


def test_java_signs_what_asks_for_it(signed, tmp_path):
    gateway, api = signed
    unpacked(gateway, api, "java", tmp_path, **{"service.name": "Signed", "java.package-name": "signed"})
    (tmp_path / "Main.java").write_text("""
        import signed.*;
        import signed.model.PostPetsIdRequest;

        public class Main {
            static int status(String secret) {
                Signed client = Signed.builder().iamCredentials("AKID", secret, null).build();
                PostPetsIdRequest request = new PostPetsIdRequest().id("a b").queryParameter("b", "x y").body("{}");
                try {
                    return client.postPetsId(request.queryParameter("a", "*")).statusCode();
                } catch (SignedException refused) {
                    return refused.statusCode();
                }
            }

            public static void main(String[] arguments) {
                System.out.println(status("s") + " " + status("wrong"));
            }
        }
    """)
    sources = [str(path) for path in (tmp_path / "generated-code/src/main/java").rglob("*.java")]
    run("javac", "--release", "17", "-d", "out", *sources, "Main.java", cwd=tmp_path)
    assert run("java", "-cp", "out", "Main", cwd=tmp_path) == "200 403\n"


def test_javascript_signs_where_there_are_credentials(signed, tmp_path):
    gateway, api = signed
    unpacked(gateway, api, "javascript", tmp_path)
    (tmp_path / "run.js").write_text("""
        const { apigClientFactory } = require('./apiGateway-js-sdk/apigClient.js');
        const status = settings => apigClientFactory.newClient(settings)
          .petsIdPost({ id: 'a b' }, { name: 'Rex' }, { queryParams: { b: 'x y', a: '*' } })
          .catch(refused => refused).then(result => result.status);
        (async () => {
          const given = [{ accessKey: 'AKID', secretKey: 's' }, { accessKey: 'AKID', secretKey: 'wrong' }, {}];
          console.log((await Promise.all(given.map(status))).join(' '));
        })();
    """)
    assert run("node", "run.js", cwd=tmp_path) == "200 403 403\n"
