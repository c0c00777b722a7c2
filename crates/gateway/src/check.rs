//! Refuses deployments that could not be served: the control plane asks, the data plane's compiler answers.

use stagedoor_control_plane::DeploymentCheck;
use stagedoor_data_plane::plan::selection::SelectionPattern;
use stagedoor_data_plane::plan::{self, CompileSettings};
use stagedoor_data_plane::vtl::Template;
use stagedoor_shapes::apigateway::Stage;
use stagedoor_shapes::apigatewayv2;
use stagedoor_shapes::snapshot::{ApiSnapshot, RestApiSnapshot};

/// Compiles what is to be deployed, and throws the plan away.
pub(crate) struct CompileCheck(pub(crate) CompileSettings);

impl DeploymentCheck for CompileCheck {
    fn template_error(&self, template: &str) -> Option<String> {
        Template::parse(template).err()
    }

    fn is_pattern(&self, pattern: &str) -> bool {
        SelectionPattern::parse(pattern).is_ok()
    }

    fn check(&self, snapshot: &RestApiSnapshot, stage: Option<&Stage>) -> Result<(), Vec<String>> {
        let any_stage = Stage::default();
        let compiled = plan::compile(snapshot, stage.unwrap_or(&any_stage), &self.0).map(drop);
        self.0.metrics.forget_unused();
        compiled.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    fn check_v2(
        &self,
        snapshot: &ApiSnapshot,
        stage: Option<&apigatewayv2::Stage>,
    ) -> Result<(), Vec<String>> {
        let any_stage = apigatewayv2::Stage::default();
        plan::compile_v2(snapshot, stage.unwrap_or(&any_stage), &self.0)
            .map(drop)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }
}
