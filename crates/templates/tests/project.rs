//! Projects on disk, applied to a control plane whose store is in memory.

// Helpers of tests may fail loudly too.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use stagedoor_control_plane::{ControlPlane, DeploymentCheck, MemoryStore, Settings};
use stagedoor_shapes::apigateway::Stage;
use stagedoor_shapes::apigatewayv2;
use stagedoor_shapes::snapshot::{ApiSnapshot, RestApiSnapshot};
use stagedoor_templates::{Problem, Project, Runtime, Surroundings};

/// The example that newcomers start with.
fn example() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/orders")
}

fn control_plane() -> ControlPlane {
    ControlPlane::new(Arc::new(MemoryStore::new()), Settings::default())
}

/// A directory with a document and a handler for Node.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new(document: &str) -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        directory.write("openapi.yaml", document);
        directory.write("users.mjs", "export const handler = async () => ({statusCode: 200});\n");
        directory
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn load(&self) -> Result<Project, Vec<Problem>> {
        Project::load(self.0.path())
    }

    /// What is wrong, one line each, with the directory's own name left out.
    fn problems(&self) -> String {
        self.lines(self.load().map(|_| ()).unwrap_err())
    }

    fn lines(&self, problems: Vec<Problem>) -> String {
        let prefix = format!("{}/", self.0.path().display());
        let lines: Vec<_> = problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect();
        lines.join("\n")
    }
}

/// A document with one method, whose integration is given, and what stands below it.
fn document(integration: &str, rest: &str) -> String {
    format!(
        "openapi: 3.0.1\ninfo: {{title: Small API}}\npaths:\n  /a:\n    get:\n      x-amazon-apigateway-integration: \
         {integration}\n{rest}"
    )
}

#[test]
fn the_example_is_applied() {
    let project = Project::load(&example()).unwrap();
    assert_eq!(project.warnings(), []);
    let functions: Vec<_> = project.functions().iter().map(|one| (one.name.as_str(), one.runtime)).collect();
    assert_eq!(functions, [("users", Runtime::Node), ("orders", Runtime::Python)]);

    let control_plane = control_plane();
    let applied = project.apply(&control_plane).unwrap();
    assert_eq!(applied.warnings, []);
    let api = &applied.apis[0];
    assert_eq!((api.id.as_str(), api.name.as_str()), ("orders", "Orders"));
    assert_eq!(api.stages, ["dev", "staging", "prod"]);
    let curls: Vec<_> = api.methods.iter().map(|method| method.curl("http://x/dev")).collect();
    assert_eq!(
        curls,
        [
            "curl 'http://x/dev/users'",
            "curl 'http://x/dev/users/ada'",
            "curl -X PUT -H 'Content-Type: application/json' -d '{\"name\":\"Ada King\"}' 'http://x/dev/users/ada'",
            "curl -X DELETE 'http://x/dev/users/ada'",
            "curl 'http://x/dev/users/ada/orders'",
            "curl -H 'Content-Type: application/json' -d '{\"userId\":\"ada\",\"item\":\"desk\",\"quantity\":1}' \
             'http://x/dev/orders'",
            "curl 'http://x/dev/orders/1'",
            "curl 'http://x/dev/health'",
        ]
    );
    let deployed = control_plane.deployed_api("orders").unwrap().unwrap();
    let staging = &deployed.stages["staging"].1;
    assert_eq!(staging.stage.variables.as_ref().unwrap()["discountPercent"], "10");
    assert_eq!(staging.snapshot.rest_api.name.as_deref(), Some("Orders"));
}

#[test]
fn commands_send_what_a_method_requires() {
    let directory = Directory::new(
        "openapi: 3.0.1\ninfo: {title: t}\npaths:\n  /a:\n    parameters:\n      \
         - {name: page, in: query, required: true, schema: {type: integer}}\n      \
         - {name: q, in: query, required: true, example: a b, schema: {type: string}}\n      \
         - {name: more, in: query, schema: {type: string}}\n    post:\n      \
         requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}\n      \
         x-amazon-apigateway-integration: {type: mock}\n\
         components: {schemas: {Item: {type: object, required: [name], properties: {name: {type: string}, \
         size: {type: integer}}}}}\n",
    );
    let applied = directory.load().unwrap().apply(&control_plane()).unwrap();
    assert_eq!(
        applied.apis[0].methods[0].curl("http://x/dev"),
        "curl -H 'Content-Type: application/json' -d '{\"name\":\"text\"}' 'http://x/dev/a?page=1&q=a%20b'"
    );
}

#[test]
fn applying_again_changes_nothing_and_editing_leaves_nothing_behind() {
    let directory = Directory::new(&document(
        "{type: mock}",
        "x-stagedoor-stages: {one: , two: {description: second}}\n",
    ));
    let control_plane = control_plane();
    directory.load().unwrap().apply(&control_plane).unwrap();
    let revision = control_plane.revision().unwrap();
    directory.load().unwrap().apply(&control_plane).unwrap();
    assert_eq!(control_plane.revision().unwrap(), revision);

    directory.write(
        "openapi.yaml",
        &document("{type: mock, timeoutInMillis: 50}", "x-stagedoor-stages: {two: }\n"),
    );
    directory.load().unwrap().apply(&control_plane).unwrap();
    let deployed = control_plane.deployed_api("smallapi").unwrap().unwrap();
    assert_eq!(deployed.stages.keys().collect::<Vec<_>>(), ["two"]);
    assert_eq!(deployed.stages["two"].1.stage.description, None);
    let kept =
        control_plane.store().snapshot().unwrap().scan("restapis/smallapi/deployments/", None, 10).unwrap();
    assert_eq!(kept.len(), 1);
}

/// A check that refuses what times out after 51 ms.
struct Picky;

impl DeploymentCheck for Picky {
    fn check(&self, snapshot: &RestApiSnapshot, _: Option<&Stage>) -> Result<(), Vec<String>> {
        let text = serde_json::to_string(snapshot).unwrap();
        if text.contains("\"timeoutInMillis\":51") {
            Err(vec!["GET /a: too slow".to_owned()])
        } else {
            Ok(())
        }
    }

    fn check_v2(&self, _: &ApiSnapshot, _: Option<&apigatewayv2::Stage>) -> Result<(), Vec<String>> {
        Ok(())
    }
}

#[test]
fn what_cannot_be_served_changes_nothing() {
    let settings = Settings { deployment_check: Arc::new(Picky), ..Settings::default() };
    let control_plane = ControlPlane::new(Arc::new(MemoryStore::new()), settings);
    let directory = Directory::new(&document("{type: mock, timeoutInMillis: 50}", ""));
    directory.load().unwrap().apply(&control_plane).unwrap();
    let revision = control_plane.revision().unwrap();

    directory.write("openapi.yaml", &document("{type: mock, timeoutInMillis: 51}", ""));
    let problems = directory.load().unwrap().apply(&control_plane).unwrap_err();
    assert_eq!(
        directory.lines(problems),
        "openapi.yaml:6:7: paths./a.get.x-amazon-apigateway-integration: GET /a: too slow"
    );
    directory.write("openapi.yaml", &document("{type: http, uri: 'http://a.example'}", ""));
    let problems = directory.load().unwrap().apply(&control_plane).unwrap_err();
    assert_eq!(
        directory.lines(problems),
        "openapi.yaml:6:7: paths./a.get.x-amazon-apigateway-integration: Unable to put integration on 'GET' for resource \
         at path '/a': Enumeration value for HttpMethod must be non-empty"
    );
    assert_eq!(control_plane.revision().unwrap(), revision);
}

#[test]
fn what_is_no_text_has_a_place() {
    let directory = Directory::new("openapi: 3.0.1\n");
    std::fs::write(directory.0.path().join("openapi.yaml"), b"openapi: 3.0.1\ninfo: {title: \xc3\xa9\xe9}\n")
        .unwrap();
    assert_eq!(directory.problems(), "openapi.yaml:2:16: this is no UTF-8");
}

#[test]
fn mistakes_are_found_before_anything_is_applied() {
    let check = |rest: &str, expected: &str| {
        assert_eq!(Directory::new(&document("{type: mock}", rest)).problems(), expected, "{rest}");
    };
    check(
        "x-stagedoor-functions:\n  users: {runtime: nodejs, handler: user.handler}\n",
        "openapi.yaml:8:37: x-stagedoor-functions.users.handler: the handler's file is not there; it would be user.mjs \
         or user.cjs or user.js",
    );
    check(
        "x-stagedoor-functions:\n  users: {runtime: nodejs, handler: users.handler, timout: 3}\n",
        "openapi.yaml:8:52: x-stagedoor-functions.users.timout: a function has no member 'timout'; it has code, \
         environment, handler, memory, runtime, timeout",
    );
    check(
        "x-stagedoor-functions:\n  users: {runtime: ruby3.4, handler: users.handler}\n",
        "openapi.yaml:8:20: x-stagedoor-functions.users.runtime: 'ruby3.4' is not run here; the runtimes are nodejs, \
         python and provided",
    );
    check(
        "x-stagedoor-functions:\n  users: {runtime: nodejs99.x, handler: users.handler}\n",
        "openapi.yaml:8:20: x-stagedoor-functions.users.runtime: 'nodejs99.x' is not run here; the runtimes are nodejs, \
         python and provided",
    );
    check(
        "x-stagedoor-functions:\n  users: {runtime: python, handler: users.handler, code: src, timeout: 0}\n",
        "openapi.yaml:8:58: x-stagedoor-functions.users.code: there is no directory src\n\
         openapi.yaml:8:72: x-stagedoor-functions.users.timeout: 'timeout' must be a whole number from 1 to 900",
    );
    check(
        "x-stagedoor-stages:\n  dev: {variables: {a b: x, c: 'y$z'}}\n",
        "openapi.yaml:8:26: x-stagedoor-stages.dev.variables.a b: a stage variable's name has up to 64 letters, digits \
         and '_'\n\
         openapi.yaml:8:32: x-stagedoor-stages.dev.variables.c: a stage variable's value has 1 to 512 letters, digits, \
         spaces and the symbols -._~:/?#&=,",
    );
    check(
        "x-stagedoor-stages:\n  dev: {methodSettings: {/a: {}, '*/*': {throttling: 1}}}\n",
        "openapi.yaml:8:26: x-stagedoor-stages.dev.methodSettings./a: settings are for '*/*', or for a path and a method \
         such as '/orders/POST'\n\
         openapi.yaml:8:42: x-stagedoor-stages.dev.methodSettings.*/*.throttling: a method's settings has no member \
         'throttling'; it has cacheDataEncrypted, cacheTtlInSeconds, cachingEnabled, dataTraceEnabled, loggingLevel, \
         metricsEnabled, requireAuthorizationForCacheControl, throttlingBurstLimit, throttlingRateLimit, \
         unauthorizedCacheControlHeaderStrategy",
    );
    check(
        "x-stagedoor-stage: {}\n",
        "openapi.yaml:7:1: x-stagedoor-stage: Stagedoor has no extension of this name; it has x-stagedoor-functions, \
         x-stagedoor-stages, x-stagedoor-api-id, x-stagedoor-api-type",
    );
    check(
        "x-stagedoor-api-type: soap\n",
        "openapi.yaml:7:23: x-stagedoor-api-type: an API's type is 'rest' or 'http'",
    );
    check(
        "x-stagedoor-api-id: My-API\n",
        "openapi.yaml:7:21: x-stagedoor-api-id: an API's id has 1 to 63 of a-z and 0-9",
    );
    check("paths: {}\n", "openapi.yaml:7:1: paths: \"paths\" is there twice, first on line 3");
}

#[test]
fn a_bootstrap_that_is_not_executable_is_refused() {
    let directory =
        Directory::new(&document("{type: mock}", "x-stagedoor-functions:\n  run: {runtime: provided}\n"));
    directory.write("bootstrap", "#!/bin/sh\n");
    assert_eq!(
        directory.problems(),
        "openapi.yaml:8:3: x-stagedoor-functions.run: bootstrap is not executable; chmod +x bootstrap"
    );
}

#[test]
fn misspelt_names_are_refused_though_an_import_takes_them() {
    let directory = Directory::new(&document("{type: mock, timeoutInMilis: 50}", ""));
    assert_eq!(
        directory.problems(),
        "openapi.yaml:6:53: paths./a.get.x-amazon-apigateway-integration.timeoutInMilis: an integration has no member \
         'timeoutInMilis'; did you mean 'timeoutInMillis'?"
    );
}

#[test]
fn a_function_that_nobody_defines_is_refused() {
    let arn = "arn:aws:lambda:us-east-1:000000000000:function";
    let uri = |name: &str| {
        format!("arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}:{name}/invocations")
    };
    let directory = |name: &str, functions: &str| {
        let integration = format!("{{type: aws_proxy, httpMethod: POST, uri: '{}'}}", uri(name));
        Directory::new(&document(&integration, functions))
    };
    let users = "x-stagedoor-functions: {users: {runtime: nodejs, handler: users.handler}}\n";
    let check = |name: &str, expected: &str| {
        let directory = directory(name, users);
        let problems = directory.load().err().unwrap_or_default();
        assert_eq!(directory.lines(problems), expected, "{name}");
    };
    check("users", "");
    check("users:live", "");
    check("${stageVariables.function}", "");
    let place = "openapi.yaml:6:81: paths./a.get.x-amazon-apigateway-integration.uri";
    let user = format!(
        "{place}: there is no function 'user' in this project; did you mean 'users'? Define it in x-stagedoor-functions"
    );
    check("user", &user);
    let nosuch =
        format!("{place}: there is no function 'nosuch' in this project. Define it in x-stagedoor-functions");
    check("nosuch", &nosuch);
    // A template beside the document may define it.
    let beside = directory("say", users);
    beside.write("say.py", "def handler(event, context): pass\n");
    beside.write(
        "template.yaml",
        "Resources:
  Chat:
    Type: AWS::ApiGatewayV2::Api
    Properties: {Name: Chat, ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}
  Mock:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {ApiId: !Ref Chat, IntegrationType: MOCK}
  Default:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Chat, RouteKey: $default, Target: !Sub 'integrations/${Mock}'}
  Dev:
    Type: AWS::ApiGatewayV2::Stage
    Properties: {ApiId: !Ref Chat, StageName: dev, AutoDeploy: true}
  Say:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: say, Runtime: python3.12, Handler: say.handler, CodeUri: .}
",
    );
    let problems = beside.load().err().unwrap_or_default();
    assert_eq!(beside.lines(problems), "");
    // Functions may be made with Lambda's own API, before or after.
    let made = directory("nosuch", users);
    assert!(
        Project::load_with(
            made.0.path(),
            &Surroundings { is_known: &|name| name == "nosuch", ..Surroundings::default() }
        )
        .is_ok()
    );
    let without = directory("nosuch", "");
    assert_eq!(without.lines(without.load().unwrap().warnings().to_vec()), nosuch);
}

#[test]
fn quotas_hold_for_projects() {
    let stages: Vec<_> = (0..11).map(|number| format!("s{number}: ")).collect();
    let http = "{type: http_proxy, httpMethod: GET, uri: 'https://example.com', payloadFormatVersion: '1.0'}";
    for (integration, kind) in [("{type: mock}", ""), (http, "x-stagedoor-api-type: http\n")] {
        let check = |count: usize, is_taken: bool| {
            let stages = stages.get(..count).unwrap().join(", ");
            let directory =
                Directory::new(&document(integration, &format!("{kind}x-stagedoor-stages: {{{stages}}}\n")));
            let applied = directory.load().unwrap().apply(&control_plane());
            let problems = applied.map(|_| ()).map_err(|problems| directory.lines(problems));
            match is_taken {
                true => assert_eq!(problems, Ok(())),
                false => assert!(
                    problems
                        .as_ref()
                        .is_err_and(|told| told.contains("Maximum number of Stages for this API")),
                    "{problems:?}"
                ),
            }
        };
        check(10, true);
        check(11, false);
    }
}

#[test]
fn what_is_no_project() {
    let empty = Directory(tempfile::tempdir().unwrap());
    assert!(empty.problems().contains("there is no document here; one is called openapi.yaml"));
    assert!(
        Project::load(Path::new("/nowhere")).unwrap_err()[0]
            .to_string()
            .contains("no such file or directory")
    );

    let two = Directory::new(&document("{type: mock}", ""));
    two.write("swagger.json", r#"{"swagger": "2.0", "info": {"title": "small api"}, "paths": {}}"#);
    assert_eq!(
        two.problems(),
        "swagger.json: the API of openapi.yaml has the id 'smallapi' as well; give one of them another with \
         'x-stagedoor-api-id'"
    );
}
