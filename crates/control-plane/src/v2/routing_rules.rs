//! Routing rules: which stage a request to a custom domain goes to, by its headers and its path. They belong to the
//! newer service and serve REST APIs only, as on AWS.

use serde::{Deserialize, Serialize};
use stagedoor_shapes::apigateway::{DomainName, RoutingMode};
use stagedoor_shapes::apigatewayv2::{
    CreateRoutingRuleRequest, CreateRoutingRuleResponse, DeleteRoutingRuleRequest, GetRoutingRuleRequest,
    GetRoutingRuleResponse, ListRoutingRulesRequest, ListRoutingRulesResponse, PutRoutingRuleRequest,
    PutRoutingRuleResponse, RoutingRule, RoutingRuleAction, RoutingRuleCondition,
};

use super::{V2, page_of};
use crate::api_mappings::{self, stage_exists};
use crate::control_plane::{bad_request, conflict, not_found, required};
use crate::domain_names::{self, identity};
use crate::tx::Tx;
use crate::{ApiError, ids, keys};

/// Where the rules of all domains stand in the store.
pub(crate) const PREFIX: &str = "routingrules/";

/// Rules that one domain takes.
const RULES_MAX: usize = 50;
/// Header conditions of one rule.
const HEADERS_MAX: usize = 2;
const HEADER_NAME_BYTES_MAX: usize = 40;
const HEADER_GLOB_BYTES_MAX: usize = 128;

/// A rule as it is kept, under its priority so that they stand in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) priority: i32,
    pub(crate) conditions: Vec<RoutingRuleCondition>,
    pub(crate) actions: Vec<RoutingRuleAction>,
}

pub(crate) fn all(identity: &str) -> String {
    format!("{PREFIX}{identity}/")
}

fn key(identity: &str, id: &str) -> String {
    format!("{PREFIX}{identity}/{id}")
}

pub(crate) fn of_domain(tx: &Tx, identity: &str) -> Result<Vec<Rule>, ApiError> {
    let mut rules: Vec<Rule> = tx.scan(&all(identity))?.into_values().collect();
    rules.sort_by_key(|rule: &Rule| rule.priority);
    Ok(rules)
}

fn find(tx: &Tx, identity: &str, id: &str) -> Result<(DomainName, Rule), ApiError> {
    let domain = domain_names::find(tx, identity)?;
    match tx.get(&key(identity, id))? {
        Some(rule) => Ok((domain, rule)),
        None => not_found("Invalid routing rule identifier specified"),
    }
}

/// Refuses what AWS would not take as a rule.
fn check(rule: &Rule) -> Result<(), ApiError> {
    let (mut headers, mut paths) = (0, 0);
    for condition in &rule.conditions {
        match (&condition.match_headers, &condition.match_base_paths) {
            (Some(given), None) => {
                headers += 1;
                let values = given.any_of.as_deref().unwrap_or_default();
                if values.is_empty() {
                    return bad_request("A matchHeaders condition must name a header");
                }
                for value in values {
                    check_header(required(&value.header), required(&value.value_glob))?;
                }
            }
            (None, Some(given)) => {
                paths += 1;
                let values = given.any_of.as_deref().unwrap_or_default();
                if values.is_empty() {
                    return bad_request("A matchBasePaths condition must name a base path");
                }
                for path in values {
                    if path.is_empty() {
                        return bad_request("A matchBasePaths condition must name a base path");
                    }
                    api_mappings::check_path(path)?;
                }
            }
            _ => return bad_request("A condition must be either matchHeaders or matchBasePaths"),
        }
    }
    if headers > HEADERS_MAX || paths > 1 {
        return bad_request(
            "A routing rule can have up to two matchHeaders conditions and one matchBasePaths condition",
        );
    }
    match rule.actions.as_slice() {
        [RoutingRuleAction { invoke_api: Some(_) }] => Ok(()),
        _ => bad_request("A routing rule must have exactly one action, invokeApi"),
    }
}

fn check_header(name: &str, glob: &str) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"*?-!#$%&'.^_`|~".contains(&byte);
    if name.is_empty() || name.len() >= HEADER_NAME_BYTES_MAX || !name.bytes().all(allowed) {
        return bad_request(format!("Invalid header name specified: {name}"));
    }
    if glob.is_empty() || glob.len() >= HEADER_GLOB_BYTES_MAX || !glob.bytes().all(allowed) {
        return bad_request(format!("Invalid header value glob specified: {glob}"));
    }
    // A star stands before, behind, or before and behind.
    let inside = glob.strip_prefix('*').unwrap_or(glob);
    let inside = inside.strip_suffix('*').unwrap_or(inside);
    if inside.contains('*') {
        return bad_request(format!(
            "Invalid header value glob specified: {glob}: wildcards are prefix*, *suffix or *infix*"
        ));
    }
    Ok(())
}

impl V2<'_> {
    fn put_rule(&self, tx: &Tx, identity: &str, rule: &Rule) -> Result<String, ApiError> {
        let domain = domain_names::find(tx, identity)?;
        check(rule)?;
        let target = rule.actions.first().and_then(|action| action.invoke_api.as_ref());
        let api = target.map(|target| required(&target.api_id)).unwrap_or_default();
        let stage = target.map(|target| required(&target.stage)).unwrap_or_default();
        if !tx.exists(&keys::api(api))? {
            return bad_request("Invalid API identifier specified");
        }
        if !stage_exists(tx, api, stage)? {
            return bad_request("Invalid stage identifier specified");
        }
        api_mappings::check_rule_protocol(tx, identity)?;
        let others = of_domain(tx, identity)?;
        let others: Vec<&Rule> = others.iter().filter(|other| other.id != rule.id).collect();
        if others.iter().any(|other| other.priority == rule.priority) {
            return conflict(format!("A routing rule with the priority {} already exists", rule.priority));
        }
        if others.len() >= RULES_MAX {
            return Err(ApiError::LimitExceeded(format!(
                "Maximum number of routing rules of a domain name has been reached: {RULES_MAX}"
            )));
        }
        tx.put(&key(identity, &rule.id), rule)?;
        Ok(self.rule_arn(&domain, &rule.id))
    }

    fn rule_arn(&self, domain: &DomainName, id: &str) -> String {
        let (region, account) = (&self.0.settings.region, &self.0.settings.account_id);
        let identity = identity(required(&domain.domain_name), domain.domain_name_id.as_deref());
        format!("arn:aws:apigateway:{region}:{account}:/domainnames/{identity}/routingrules/{id}")
    }

    /// `CreateRoutingRule`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain, [`ApiError::BadRequest`] for conditions or actions that AWS refuses,
    /// [`ApiError::Conflict`] for a priority that is taken.
    pub fn create_routing_rule(
        &self,
        input: CreateRoutingRuleRequest,
    ) -> Result<CreateRoutingRuleResponse, ApiError> {
        let domain = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        let rule = Rule {
            id: ids::short()?,
            priority: input.priority.unwrap_or_default(),
            conditions: input.conditions.unwrap_or_default(),
            actions: input.actions.unwrap_or_default(),
        };
        let arn = self.0.transact(|tx| self.put_rule(tx, &domain, &rule))?;
        let RoutingRule { actions, conditions, priority, routing_rule_arn, routing_rule_id } =
            answer(rule, arn);
        Ok(CreateRoutingRuleResponse { actions, conditions, priority, routing_rule_arn, routing_rule_id })
    }

    /// `PutRoutingRule`: changes a rule that is there.
    ///
    /// # Errors
    /// As for `CreateRoutingRule`, and [`ApiError::NotFound`] for an unknown rule.
    pub fn put_routing_rule(&self, input: PutRoutingRuleRequest) -> Result<PutRoutingRuleResponse, ApiError> {
        let domain = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        let rule = Rule {
            id: required(&input.routing_rule_id).to_owned(),
            priority: input.priority.unwrap_or_default(),
            conditions: input.conditions.unwrap_or_default(),
            actions: input.actions.unwrap_or_default(),
        };
        let arn = self.0.transact(|tx| {
            find(tx, &domain, &rule.id)?;
            self.put_rule(tx, &domain, &rule)
        })?;
        let RoutingRule { actions, conditions, priority, routing_rule_arn, routing_rule_id } =
            answer(rule, arn);
        Ok(PutRoutingRuleResponse { actions, conditions, priority, routing_rule_arn, routing_rule_id })
    }

    /// `GetRoutingRule`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain or rule.
    pub fn get_routing_rule(&self, input: GetRoutingRuleRequest) -> Result<GetRoutingRuleResponse, ApiError> {
        let identity = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        let (domain, rule) = self.0.read(|tx| find(tx, &identity, required(&input.routing_rule_id)))?;
        let arn = self.rule_arn(&domain, &rule.id);
        let RoutingRule { actions, conditions, priority, routing_rule_arn, routing_rule_id } =
            answer(rule, arn);
        Ok(GetRoutingRuleResponse { actions, conditions, priority, routing_rule_arn, routing_rule_id })
    }

    /// `ListRoutingRules`, by priority.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain, [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn list_routing_rules(
        &self,
        input: ListRoutingRulesRequest,
    ) -> Result<ListRoutingRulesResponse, ApiError> {
        let identity = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        let (domain, rules) =
            self.0.read(|tx| Ok((domain_names::find(tx, &identity)?, of_domain(tx, &identity)?)))?;
        let rules = rules.into_iter().map(|rule| {
            let arn = self.rule_arn(&domain, &rule.id);
            (format!("{:07}", rule.priority), answer(rule, arn))
        });
        let limit = input.max_results.map(|limit| limit.to_string());
        let (routing_rules, next_token) = page_of(rules, input.next_token.as_deref(), limit.as_deref())?;
        Ok(ListRoutingRulesResponse { next_token, routing_rules })
    }

    /// `DeleteRoutingRule`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain or rule.
    pub fn delete_routing_rule(&self, input: DeleteRoutingRuleRequest) -> Result<(), ApiError> {
        let domain = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        let id = required(&input.routing_rule_id);
        self.0.transact(|tx| {
            find(tx, &domain, id)?;
            tx.delete(&key(&domain, id));
            Ok(())
        })
    }
}

/// Whether a domain asks its rules, and whether it asks its mappings.
pub(crate) fn asks(mode: Option<RoutingMode>) -> (bool, bool) {
    match mode {
        None | Some(RoutingMode::BasePathMappingOnly) => (false, true),
        Some(RoutingMode::RoutingRuleOnly) => (true, false),
        Some(RoutingMode::RoutingRuleThenBasePathMapping) => (true, true),
    }
}

fn answer(mut rule: Rule, arn: String) -> RoutingRule {
    for target in rule.actions.iter_mut().filter_map(|action| action.invoke_api.as_mut()) {
        target.strip_base_path.get_or_insert(false);
    }
    RoutingRule {
        actions: Some(rule.actions),
        conditions: Some(rule.conditions),
        priority: Some(rule.priority),
        routing_rule_arn: Some(arn),
        routing_rule_id: Some(rule.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_that(name: &str, glob: &str, good: bool) {
        assert_eq!(check_header(name, glob).is_ok(), good, "{name}: {glob}");
    }

    #[test]
    fn header_conditions() {
        check_that("x-version", "a*", true);
        check_that("x-version", "*a", true);
        check_that("x-version", "*a*", true);
        check_that("x-version", "*", true);
        check_that("x-version", "a*b", false);
        check_that("x-version", "**a", false);
        check_that("", "a", false);
        check_that("x version", "a", false);
        check_that("x", "a b", false);
        check_that(&"x".repeat(40), "a", false);
        check_that("x", &"a".repeat(128), false);
    }
}
