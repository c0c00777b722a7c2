//! Canaries: a second deployment on a stage that takes a share of its traffic.
//!
//! AWS knows these paths of `UpdateStage` with `replace` alone, but for the overrides of variables, which can be removed
//! one by one. It makes a canary of defaults when the first of them is set, and copies in one direction only, from the
//! canary to the stage. Messages are recorded.

use stagedoor_shapes::apigateway::{CanarySettings, DeploymentCanarySettings, PatchOperation, Stage};

use crate::ApiError;
use crate::control_plane::bad_request;
use crate::patch::unescape;
use crate::stages::check_variables;

/// A stage's canary as it is kept: with every default filled in.
///
/// # Errors
/// [`ApiError::BadRequest`] for a share that is none, or variables that cannot be.
pub(crate) fn complete(
    settings: CanarySettings,
    stage_deployment: Option<&str>,
) -> Result<CanarySettings, ApiError> {
    let overrides = settings.stage_variable_overrides.filter(|overrides| !overrides.is_empty());
    if let Some(overrides) = &overrides {
        check_variables(overrides)?;
    }
    let percent = settings.percent_traffic.unwrap_or_default();
    if !(0.0..=100.0).contains(&percent) {
        return bad_request(format!("Invalid percent traffic {percent}. Must be between 0.0 and 100.0"));
    }
    Ok(CanarySettings {
        deployment_id: settings.deployment_id.or_else(|| stage_deployment.map(str::to_owned)),
        percent_traffic: Some(percent),
        stage_variable_overrides: overrides,
        use_stage_cache: Some(settings.use_stage_cache.unwrap_or_default()),
    })
}

/// The canary that `CreateDeployment` makes of its new deployment.
///
/// # Errors
/// As [`complete`].
pub(crate) fn deployed(settings: &DeploymentCanarySettings, id: &str) -> Result<CanarySettings, ApiError> {
    let settings = CanarySettings {
        deployment_id: Some(id.to_owned()),
        percent_traffic: settings.percent_traffic,
        stage_variable_overrides: settings.stage_variable_overrides.clone(),
        use_stage_cache: settings.use_stage_cache,
    };
    complete(settings, None)
}

/// The stage as its canary's requests see it; nothing if there is no canary.
#[must_use]
pub(crate) fn stage_of_canary(stage: &Stage) -> Option<Stage> {
    let canary = stage.canary_settings.as_ref()?;
    let mut variables = stage.variables.clone().unwrap_or_default();
    variables.extend(canary.stage_variable_overrides.clone().unwrap_or_default());
    let mut seen = stage.clone();
    seen.deployment_id = canary.deployment_id.clone().or(seen.deployment_id);
    seen.variables = Some(variables);
    Some(seen)
}

/// `replace` of a path below `/canarySettings/`; `false` if AWS knows no such path.
///
/// # Errors
/// [`ApiError::BadRequest`] for a value that cannot be.
pub(crate) fn replace(stage: &mut Stage, path: &str, value: &str) -> Result<bool, ApiError> {
    let mut canary = stage.canary_settings.clone().unwrap_or_default();
    match path.split_once('/') {
        None if path == "deploymentId" => canary.deployment_id = Some(value.to_owned()),
        None if path == "percentTraffic" => match value.parse() {
            Ok(percent) => canary.percent_traffic = Some(percent),
            Err(_) => {
                return bad_request(format!(
                    "Invalid percent traffic {value}. Must be between 0.0 and 100.0"
                ));
            }
        },
        None if path == "useStageCache" => {
            canary.use_stage_cache = Some(value.eq_ignore_ascii_case("true"));
        }
        Some(("stageVariableOverrides", name)) => {
            let overrides = canary.stage_variable_overrides.get_or_insert_default();
            overrides.insert(unescape(name), value.to_owned());
        }
        _ => return Ok(false),
    }
    stage.canary_settings = Some(complete(canary, stage.deployment_id.as_deref())?);
    Ok(true)
}

/// Removes a canary's override of a variable; false if the path names none, or there is no canary.
pub(crate) fn remove_override(stage: &mut Stage, path: &str) -> bool {
    let name = path.strip_prefix("stageVariableOverrides/");
    let (Some(name), Some(canary)) = (name, stage.canary_settings.as_mut()) else { return false };
    let overrides = canary.stage_variable_overrides.get_or_insert_default();
    overrides.remove(&unescape(name));
    if overrides.is_empty() {
        canary.stage_variable_overrides = None;
    }
    true
}

/// Whether AWS can replace what is at a path below `/canarySettings/`.
pub(crate) fn is_known(path: &str) -> bool {
    ["deploymentId", "percentTraffic", "useStageCache"].contains(&path)
        || path.strip_prefix("stageVariableOverrides/").is_some_and(|name| !name.is_empty())
}

/// `copy`, which promotes a canary.
///
/// # Errors
/// [`ApiError::BadRequest`] for any other copy, or without a canary.
pub(crate) fn promote(stage: &mut Stage, operation: &PatchOperation) -> Result<(), ApiError> {
    let path = operation.path.as_deref().unwrap_or("null");
    let from = operation.from.as_deref().unwrap_or("null");
    const TARGETS: [&str; 2] = ["/deploymentId", "/variables"];
    const SOURCES: [&str; 2] = ["/canarySettings/deploymentId", "/canarySettings/stageVariableOverrides"];
    if !TARGETS.contains(&path) || !SOURCES.contains(&from) {
        return bad_request(format!(
            "Invalid copy operation with path: {path} and from {from}. Valid copy:path are [{}] and valid copy:from \
             are [{}]",
            TARGETS.join(", "),
            SOURCES.join(", ")
        ));
    }
    let Some(canary) = &stage.canary_settings else {
        return bad_request("Promotion not available. Canary does not exist.");
    };
    if path == "/deploymentId" {
        stage.deployment_id = canary.deployment_id.clone().or(stage.deployment_id.take());
    } else if let Some(overrides) = &canary.stage_variable_overrides {
        stage.variables.get_or_insert_default().extend(overrides.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn stage() -> Stage {
        Stage {
            deployment_id: Some("one".to_owned()),
            variables: Some(BTreeMap::from([
                ("a".to_owned(), "1".to_owned()),
                ("b".to_owned(), "2".to_owned()),
            ])),
            ..Stage::default()
        }
    }

    #[test]
    fn the_first_setting_makes_a_canary() {
        let mut stage = stage();
        assert_eq!(replace(&mut stage, "percentTraffic", "12.5").ok(), Some(true));
        let canary = stage.canary_settings.clone().unwrap();
        assert_eq!(canary.deployment_id.as_deref(), Some("one"));
        assert_eq!((canary.percent_traffic, canary.use_stage_cache), (Some(12.5), Some(false)));
        assert_eq!(replace(&mut stage, "badPath", "x").ok(), Some(false));
        for percent in ["-1", "100.1", "NaN", "many", ""] {
            assert!(replace(&mut stage, "percentTraffic", percent).is_err(), "{percent}");
        }
    }

    #[test]
    fn a_canary_sees_its_own_variables_and_hands_them_over() {
        let mut stage = stage();
        let copy = |from: &str, path: &str| PatchOperation {
            from: Some(from.to_owned()),
            path: Some(path.to_owned()),
            ..PatchOperation::default()
        };
        let variables = copy("/canarySettings/stageVariableOverrides", "/variables");
        let missing = promote(&mut stage, &variables).unwrap_err().to_string();
        assert_eq!(missing, "Promotion not available. Canary does not exist.");
        let wrong = promote(&mut stage, &copy("/variables", "/canarySettings/stageVariableOverrides"));
        assert!(
            wrong.unwrap_err().to_string().starts_with("Invalid copy operation with path: /canarySettings/")
        );

        replace(&mut stage, "stageVariableOverrides/b", "3").unwrap();
        replace(&mut stage, "deploymentId", "two").unwrap();
        let seen = stage_of_canary(&stage).unwrap();
        assert_eq!(seen.deployment_id.as_deref(), Some("two"));
        let shown: Vec<_> = seen.variables.unwrap().into_values().collect();
        assert_eq!(shown, ["1", "3"]);

        promote(&mut stage, &variables).unwrap();
        promote(&mut stage, &copy("/canarySettings/deploymentId", "/deploymentId")).unwrap();
        assert_eq!(stage.deployment_id.as_deref(), Some("two"));
        assert_eq!(stage.variables.unwrap()["b"], "3");
        assert!(stage.canary_settings.is_some());
    }
}
