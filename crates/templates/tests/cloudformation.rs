//! Templates with WebSocket APIs, applied to a control plane whose store is in memory.

// Helpers of tests may fail loudly too.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use stagedoor_control_plane::{ControlPlane, MemoryStore, Settings};
use stagedoor_templates::{Project, Runtime};

/// A template with an API that echoes, and what stands below it.
const ECHO: &str = "Resources:
  Echo:
    Type: AWS::ApiGatewayV2::Api
    Properties: {Name: Echo, ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}
  Mock:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {ApiId: !Ref Echo, IntegrationType: MOCK, RequestTemplates: {'200': '{\"statusCode\": 200}'}}
  Default:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Echo, RouteKey: $default, Target: !Sub 'integrations/${Mock}'}
  Dev:
    Type: AWS::ApiGatewayV2::Stage
    Properties: {ApiId: !Ref Echo, StageName: dev, AutoDeploy: true}
";

struct Directory(tempfile::TempDir);

impl Directory {
    fn new(template: &str) -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        directory.write("template.yaml", template);
        directory
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn load(&self) -> Project {
        Project::load(self.0.path()).unwrap()
    }

    /// What is wrong, one line each, with the directory's own name left out.
    fn problems(&self) -> String {
        let found =
            Project::load(self.0.path()).and_then(|project| project.apply(&control_plane())).unwrap_err();
        let prefix = format!("{}/", self.0.path().display());
        let lines: Vec<_> = found.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect();
        lines.join("\n")
    }
}

fn control_plane() -> ControlPlane {
    ControlPlane::new(Arc::new(MemoryStore::new()), Settings::default())
}

/// The only problem of a template, which starts like this.
#[track_caller]
fn refused(template: &str, expected: &str) {
    let directory = Directory::new(template);
    directory.write("say.py", "def handler(event, context): pass\n");
    let found = directory.problems();
    assert!(found.starts_with(expected) && found.lines().count() == 1, "{found}");
}

/// `ECHO` with one text in place of another.
#[track_caller]
fn edited(from: &str, to: &str) -> String {
    assert!(ECHO.contains(from), "{from}");
    ECHO.replacen(from, to, 1)
}

#[test]
fn the_chat_is_applied() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/chat");
    let project = Project::load(&example).unwrap();
    assert_eq!(project.warnings(), []);
    let functions: Vec<_> = project.functions().iter().map(|one| (one.name.as_str(), one.runtime)).collect();
    assert_eq!(
        functions,
        [("page", Runtime::Python), ("presence", Runtime::Python), ("rooms", Runtime::Python)]
    );
    let applied = project.apply(&control_plane()).unwrap();
    let chat = &applied.websockets[0];
    assert_eq!((chat.id.as_str(), chat.name.as_str()), ("chat", "chat"));
    assert_eq!(chat.stages, ["dev"]);
    assert_eq!(chat.routes, ["$connect", "$disconnect", "join", "say", "$default"]);
}

#[test]
fn applying_again_changes_nothing_and_editing_leaves_nothing_behind() {
    let directory = Directory::new(ECHO);
    let control_plane = control_plane();
    directory.load().apply(&control_plane).unwrap();
    let revision = control_plane.revision().unwrap();
    directory.load().apply(&control_plane).unwrap();
    assert_eq!(control_plane.revision().unwrap(), revision);

    directory.write("template.yaml", &edited("StageName: dev", "StageName: live"));
    let applied = directory.load().apply(&control_plane).unwrap();
    assert_eq!(applied.websockets[0].stages, ["live"]);
    assert!(control_plane.revision().unwrap() > revision);
}

#[test]
fn functions_share_globals_and_parameters_have_defaults() {
    let directory = Directory::new(&format!(
        "Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {{Type: String, Default: live}}
Globals:
  Function: {{Runtime: python3.12, Timeout: 7, Environment: {{Variables: {{A: shared, B: shared}}}}}}
{}  Say:
    Type: AWS::Serverless::Function
    Properties:
      Handler: say.handler
      CodeUri: .
      Policies: [AmazonDynamoDBFullAccess]
      Environment: {{Variables: {{B: own, API: !Ref Echo, WHERE: !Sub '${{Echo.ApiEndpoint}}/${{Stage}}'}}}}
  SayIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {{ApiId: !Ref Echo, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt Say.Arn}}
  SayRoute:
    Type: AWS::ApiGatewayV2::Route
    Properties: {{ApiId: !Ref Echo, RouteKey: say, Target: !Join [/, [integrations, !Ref SayIntegration]]}}
  MayInvoke:
    Type: AWS::Lambda::Permission
    Properties: {{FunctionName: !Ref Say, Action: 'lambda:InvokeFunction', Principal: apigateway.amazonaws.com}}
Outputs:
  Url: {{Value: !Sub 'wss://${{Echo}}.execute-api.${{AWS::Region}}.amazonaws.com/${{Stage}}'}}
",
        edited("StageName: dev", "StageName: !Ref Stage")
    ));
    directory.write("say.py", "def handler(event, context): pass\n");
    let project = directory.load();
    let say = &project.functions()[0];
    assert_eq!((say.name.as_str(), say.timeout), ("Say", std::time::Duration::from_secs(7)));
    let variables: Vec<_> =
        say.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        variables,
        [
            ("A", "shared"),
            ("API", "echo"),
            ("B", "own"),
            ("WHERE", "wss://echo.execute-api.us-east-1.amazonaws.com/live")
        ]
    );
    let applied = project.apply(&control_plane()).unwrap();
    assert_eq!(applied.websockets[0].stages, ["live"]);
    assert_eq!(applied.websockets[0].routes, ["$default", "say"]);
}

#[test]
fn what_cannot_be_served_is_refused_where_it_stands() {
    let table = format!("{ECHO}  Table:\n    Type: AWS::DynamoDB::Table\n");
    let languages = format!("Transform: AWS::LanguageExtensions\n{ECHO}");
    let lambda =
        "IntegrationType: AWS_PROXY, IntegrationUri: 'arn:aws:lambda:us-east-1:000000000000:function:none'";
    let group = format!("{ECHO}  Logs:\n    Type: AWS::Logs::LogGroup\n    Properties: {{Nonsense: 1}}\n");
    let function = |name: &str, more: &str| {
        format!(
            "  {name}:\n    Type: AWS::Serverless::Function\n    Properties: {{FunctionName: say, Runtime: python3.12, Handler: say.handler, CodeUri: .{more}}}\n"
        )
    };
    let twice = format!("{ECHO}{}{}", function("One", ""), function("Two", ""));
    let fraction = format!("{ECHO}{}", function("One", ", Timeout: 3.5"));
    for (template, problem) in [
        (group, "16:28: Resources.Logs.Properties.Nonsense: AWS::Logs::LogGroup has no property 'Nonsense'"),
        (twice, " two functions have the name 'say'"),
        (
            fraction,
            "16:101: Resources.One.Properties.Timeout: 'timeout' must be a whole number from 1 to 900",
        ),
        (
            edited("StageName: dev", "StageName: dev, RouteSettings: 5"),
            "13:67: Resources.Dev.Properties.RouteSettings: 'RouteSettings' must be an object",
        ),
        (table, "15:11: Resources.Table.Type: resources of this type are not run here; these are: AWS::"),
        (languages, "1:12: Transform: the only transform that is known here is AWS::Serverless-2016-10-31"),
        (
            edited("StageName: dev", "StageName: dev, AccessPolicyId: x"),
            "13:68: Resources.Dev.Properties.AccessPolicyId: AWS::ApiGatewayV2::Stage has no property 'AccessPolicyId'",
        ),
        (
            edited("Name: Echo, ", "Name: !Ref Missing, "),
            "4:24: Resources.Echo.Properties.Name.Ref: there is no parameter and no resource 'Missing'",
        ),
        (
            edited("Name: Echo, ", "Name: !If [A, b, c], "),
            "4:24: Resources.Echo.Properties.Name.Fn::If: Fn::If cannot be used here",
        ),
        (
            edited(", AutoDeploy: true", ""),
            "11:3: Resources.Dev: AWS would serve nothing here: a stage needs a DeploymentId",
        ),
        (
            edited("Name: Echo, ", "DisableSchemaValidation: perhaps, "),
            "4:43: Resources.Echo.Properties.DisableSchemaValidation: 'DisableSchemaValidation' must be true or false",
        ),
        (edited(" StageName: dev,", ""), "11:3: Resources.Dev: 'StageName' is missing"),
        (
            edited("'integrations/${Mock}'", "integrations/none"),
            "8:3: Resources.Default: Invalid Integration identifier specified none",
        ),
        (
            edited("IntegrationType: MOCK", lambda),
            "7:80: Resources.Mock.Properties.IntegrationUri: there is no function 'none' in this project",
        ),
        (
            edited("IntegrationType: MOCK", "IntegrationType: WRONG"),
            "5:3: Resources.Mock: these properties do not fit: \"WRONG\" is none of [AWS, HTTP, MOCK, HTTP_PROXY, AWS_PROXY]",
        ),
        (
            edited("ApiId: !Ref Echo, StageName", "ApiId: other, StageName"),
            "13:25: Resources.Dev.Properties.ApiId: 'ApiId' must be a WebSocket API of this template",
        ),
        (
            format!("Parameters:\n  Stage: {{Type: String}}\n{ECHO}"),
            "2:3: Parameters.Stage: a parameter needs a Default here",
        ),
    ] {
        refused(&template, &format!("template.yaml:{problem}"));
    }
}
