//! The account's settings.

use stagedoor_shapes::apigateway::{Account, GetAccountRequest, Op, ThrottleSettings, UpdateAccountRequest};

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request};
use crate::patch::{MEMBER, REPLACE, Style, Table};
use crate::tx::Tx;

const KEY: &str = "account";

#[derive(Clone, Copy, Debug)]
enum Field {
    CloudwatchRoleArn,
    Features,
}

const PATCHES: Table<Field> = Table {
    style: Style::Listing,
    rows: &[
        ("/cloudwatchRoleArn", REPLACE, Field::CloudwatchRoleArn),
        ("/features", MEMBER, Field::Features),
    ],
};

impl ControlPlane {
    /// `GetAccount`.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read.
    pub fn get_account(&self, _: GetAccountRequest) -> Result<Account, ApiError> {
        self.read(|tx| self.load_account(tx))
    }

    /// `UpdateAccount`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_account(&self, input: UpdateAccountRequest) -> Result<Account, ApiError> {
        self.transact(|tx| {
            let mut account = self.load_account(tx)?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                match patch.field {
                    Field::CloudwatchRoleArn => {
                        let role = patch.text();
                        if role
                            .as_deref()
                            .is_some_and(|role| !role.starts_with("arn:") || !role.contains(":role/"))
                        {
                            return bad_request("Invalid ARN specified in the request");
                        }
                        account.cloudwatch_role_arn = role;
                    }
                    // Usage plans are on for every account, as for those that AWS opens today.
                    Field::Features
                        if patch.op == Op::Add && patch.value.as_deref() == Some("UsagePlans") => {}
                    Field::Features => return bad_request("Usage Plans cannot be disabled once enabled"),
                }
            }
            tx.put(KEY, &account)?;
            Ok(account)
        })
    }

    fn load_account(&self, tx: &Tx) -> Result<Account, ApiError> {
        let stored: Account = tx.get(KEY)?.unwrap_or_default();
        let (rate, burst) = self.settings.account_throttle;
        Ok(Account {
            cloudwatch_role_arn: stored.cloudwatch_role_arn,
            throttle_settings: Some(ThrottleSettings { burst_limit: Some(burst), rate_limit: Some(rate) }),
            features: Some(vec!["UsagePlans".to_owned()]),
            api_key_version: Some("4".to_owned()),
        })
    }
}
