//! How asynchronous events of a function are treated: retries and age. Destinations are not built; what is given up is in
//! the dead-letter file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::model::{self, EventInvoke};
use super::operations::{number, only};
use super::respond::{Answer, ApiError};
use super::routes::{Operation, Route};
use super::{LambdaApi, paging};
use crate::config::LATEST;
use crate::functions::AsyncConfig;

impl EventInvoke {
    /// As it works, with Lambda's defaults for what was not said.
    pub(super) fn config(&self) -> AsyncConfig {
        let default = AsyncConfig::default();
        AsyncConfig {
            retries_max: self.retries.unwrap_or(default.retries_max),
            age_max: self.age_seconds.map_or(default.age_max, Duration::from_secs),
        }
    }

    fn shown(&self, arn: &str, qualifier: &str) -> Value {
        let qualifier = if qualifier.is_empty() { LATEST } else { qualifier };
        let mut shown = json!({
            "LastModified": self.last_modified,
            "FunctionArn": format!("{arn}:{qualifier}"),
            "DestinationConfig": { "OnSuccess": {}, "OnFailure": {} },
        });
        if let Some(fields) = shown.as_object_mut() {
            if let Some(retries) = self.retries {
                fields.insert("MaximumRetryAttempts".to_owned(), Value::from(retries));
            }
            if let Some(age) = self.age_seconds {
                fields.insert("MaximumEventAgeInSeconds".to_owned(), Value::from(age));
            }
        }
        shown
    }

    fn take(&mut self, given: &Map<String, Value>) -> Result<(), ApiError> {
        if let Some(retries) = number(given, "MaximumRetryAttempts", "maximumRetryAttempts", 0, 2)? {
            self.retries = u8::try_from(retries).ok();
        }
        if let Some(age) = number(given, "MaximumEventAgeInSeconds", "maximumEventAgeInSeconds", 60, 21_600)?
        {
            self.age_seconds = Some(age);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_modified = now.as_secs_f64();
        Ok(())
    }
}

impl LambdaApi {
    pub(super) fn operate_event_invoke(&self, route: &Route, body: &[u8]) -> Result<Answer, ApiError> {
        let given = model::members(body)?;
        let known = ["MaximumRetryAttempts", "MaximumEventAgeInSeconds"];
        only(&given, &known, "PutFunctionEventInvokeConfig")?;
        let reference = self.reference(route)?;
        let mut records = self.records();
        let arn = self.arn(reference.name);
        let qualifier = reference.qualifier.filter(|qualifier| *qualifier != LATEST).unwrap_or_default();
        let missing = || {
            let shown = if qualifier.is_empty() { LATEST } else { qualifier };
            ApiError::not_found(&format!("The function {arn}:{shown} doesn't have an EventInvokeConfig"))
        };
        // The qualifier must exist too.
        let mut record = match (self.find(&records, reference), route.operation) {
            (Ok((record, _)), _) => record.clone(),
            (
                Err(_),
                Operation::PutFunctionEventInvokeConfig
                | Operation::UpdateFunctionEventInvokeConfig
                | Operation::ListFunctionEventInvokeConfigs,
            ) => {
                return Err(ApiError::not_found("The function doesn't exist."));
            }
            (Err(_), _) => return Err(missing()),
        };
        let answer = match route.operation {
            Operation::ListFunctionEventInvokeConfigs => {
                // An empty name, which is `$LATEST`, would be a marker that clients take for none.
                let marker = |name: &str| if name.is_empty() { LATEST.to_owned() } else { name.to_owned() };
                let configs = record.event_invoke.iter();
                let all = configs.map(|(name, config)| (marker(name), config.shown(&arn, name)));
                return paging::page(route, "FunctionEventInvokeConfigs", (50, 50), all);
            }
            Operation::GetFunctionEventInvokeConfig => {
                let config = record.event_invoke.get(qualifier).ok_or_else(missing)?;
                return Ok(Answer::json(200, &config.shown(&arn, qualifier)));
            }
            Operation::DeleteFunctionEventInvokeConfig => {
                record.event_invoke.remove(qualifier).ok_or_else(missing)?;
                Answer::empty()
            }
            operation => {
                let mut config = match operation {
                    Operation::UpdateFunctionEventInvokeConfig => {
                        record.event_invoke.get(qualifier).cloned().ok_or_else(missing)?
                    }
                    _ if given.is_empty() => {
                        return Err(ApiError::parameter(
                            "You must specify at least one of error handling or destination setting.",
                        ));
                    }
                    _ => EventInvoke::default(),
                };
                config.take(&given)?;
                let shown = config.shown(&arn, qualifier);
                record.event_invoke.insert(qualifier.to_owned(), config);
                Answer::json(200, &shown)
            }
        };
        self.commit(&mut records, record)?;
        Ok(answer)
    }
}
