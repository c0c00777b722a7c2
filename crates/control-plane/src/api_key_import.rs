//! `ImportApiKeys`: API keys from a CSV file.
//!
//! The columns `name` and `key` are required, `description`, `enabled` and `usageplanids` may be there, others are
//! overlooked; names of columns have no case. A key whose value is known replaces that key's name, description and state.
//! A row that cannot be imported is a warning; the others are, unless the call fails on warnings.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{ApiKey, ApiKeyIds, ImportApiKeysRequest};

use crate::control_plane::{ControlPlane, bad_request, required};
use crate::tx::Tx;
use crate::{ApiError, api_keys, ids, keys, usage_plan_keys, usage_plans};

/// One row, read.
#[derive(Debug, Default, PartialEq)]
struct Row {
    line: usize,
    name: String,
    value: String,
    description: String,
    enabled: bool,
    plans: Vec<String>,
}

impl ControlPlane {
    /// `ImportApiKeys`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for what is no such file, or with the warnings if they are to fail the call; nothing is
    /// imported then. [`ApiError::LimitExceeded`] for more keys than there may be.
    pub fn import_api_keys(&self, input: ImportApiKeysRequest) -> Result<ApiKeyIds, ApiError> {
        let body = input.body.unwrap_or_default();
        let Ok(text) = std::str::from_utf8(body.as_ref()) else {
            return bad_request("Invalid API key file: it is not UTF-8");
        };
        let (rows, unreadable) = read(text).map_err(ApiError::BadRequest)?;
        // A transaction may run twice; keys keep their ids.
        let fresh: Vec<String> = rows.iter().map(|_| ids::api()).collect::<Result<_, _>>()?;
        self.key_count.forget();
        let imported = self.transact(|tx| {
            let (mut imported, mut warnings) = (Vec::new(), unreadable.clone());
            let mut new = 0;
            for row in &rows {
                new += usize::from(!tx.exists(&keys::api_key_value(&row.value))?);
            }
            self.check_room_for_keys(tx, new)?;
            for (row, fresh) in rows.iter().zip(&fresh) {
                let key = self.import_row(tx, row, fresh)?;
                for plan in &row.plans {
                    if let Err(message) = join(tx, plan, &key)? {
                        warnings.push(format!("Line {}: {message}", row.line));
                    }
                }
                imported.push(required(&key.id).to_owned());
            }
            if input.fail_on_warnings == Some(true) && !warnings.is_empty() {
                return bad_request(format!("API keys were not imported: {}", warnings.join("; ")));
            }
            Ok(ApiKeyIds { ids: Some(imported), warnings: Some(warnings) })
        });
        self.key_count.forget();
        imported
    }

    fn import_row(&self, tx: &Tx, row: &Row, fresh: &str) -> Result<ApiKey, ApiError> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let now = Some(self.now());
        let known: Option<String> = tx.get(&keys::api_key_value(&row.value))?;
        let mut key = match &known {
            Some(id) => api_keys::find(tx, id)?,
            None => ApiKey {
                id: Some(fresh.to_owned()),
                value: Some(row.value.clone()),
                created_date: now,
                stage_keys: Some(Vec::new()),
                ..ApiKey::default()
            },
        };
        key.name = text(&row.name);
        key.description = text(&row.description);
        key.enabled = Some(row.enabled);
        key.last_updated_date = now;
        api_keys::store_new(tx, &key)?;
        Ok(key)
    }
}

/// Puts an imported key into a plan, unless it is there. The inner error is a warning.
fn join(tx: &Tx, plan: &str, key: &ApiKey) -> Result<Result<(), String>, ApiError> {
    if tx.exists(&keys::plan_key(plan, required(&key.id)))? {
        return Ok(Ok(()));
    }
    match usage_plans::find(tx, plan).and_then(|plan| usage_plan_keys::add(tx, &plan, key)) {
        Ok(()) => Ok(Ok(())),
        Err(error @ (ApiError::NotFound(_) | ApiError::Conflict(_) | ApiError::LimitExceeded(_))) => {
            Ok(Err(format!("{error} ({plan})")))
        }
        Err(error) => Err(error),
    }
}

/// The rows that can be imported, and a warning for each that cannot.
fn read(text: &str) -> Result<(Vec<Row>, Vec<String>), String> {
    let mut records = records(text.strip_prefix('\u{feff}').unwrap_or(text)).into_iter();
    let (_, header) = records.next().ok_or("Invalid API key file: it is empty")?;
    let columns: BTreeMap<String, usize> =
        header.iter().enumerate().map(|(index, name)| (name.trim().to_ascii_lowercase(), index)).collect();
    for name in ["name", "key"] {
        if !columns.contains_key(name) {
            return Err(format!("Invalid API key file: the column {name} is missing"));
        }
    }
    let (mut rows, mut warnings) = (Vec::new(), Vec::new());
    for (line, record) in records {
        let cell = |name: &str| {
            columns.get(name).and_then(|index| record.get(*index)).map_or("", |cell| cell.trim()).to_owned()
        };
        let enabled = cell("enabled");
        let row = Row {
            line,
            name: cell("name"),
            value: cell("key"),
            description: cell("description"),
            enabled: enabled.is_empty() || enabled.eq_ignore_ascii_case("true"),
            plans: cell("usageplanids")
                .split(',')
                .map(|plan| plan.trim().to_owned())
                .filter(|plan| !plan.is_empty())
                .collect(),
        };
        match api_keys::check_value(&row.value).and_then(|()| api_keys::check_name(&row.name)) {
            Ok(()) => rows.push(row),
            Err(message) => warnings.push(format!("Line {line}: {message}")),
        }
    }
    Ok((rows, warnings))
}

/// The records of a CSV text, each with the number of the line it begins on. A cell may stand in double or single
/// quotes, in which a quote is written twice and commas and line ends mean themselves.
fn records(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut records = Vec::new();
    let (mut record, mut cell) = (Vec::new(), String::new());
    let (mut line, mut begun_on, mut quote) = (1, 1, None);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\n' {
            line += 1;
        }
        match (quote, c) {
            (Some(open), c) if c == open && rest.peek() == Some(&open) => {
                cell.push(open);
                rest.next();
            }
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => cell.push(c),
            (None, '"' | '\'') if cell.trim().is_empty() => {
                cell.clear();
                quote = Some(c);
            }
            (None, ',') => record.push(std::mem::take(&mut cell)),
            (None, '\n') => {
                record.push(std::mem::take(&mut cell));
                finish(&mut records, begun_on, std::mem::take(&mut record));
                begun_on = line;
            }
            (None, c) => cell.push(c),
        }
    }
    record.push(cell);
    finish(&mut records, begun_on, record);
    records
}

/// Keeps a record unless its line is empty.
fn finish(records: &mut Vec<(usize, Vec<String>)>, line: usize, record: Vec<String>) {
    if record.iter().any(|cell| !cell.trim().is_empty()) {
        records.push((line, record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "apikey1234abcdefghij0123456789";

    fn check(text: &str, expected: &[(&str, bool, &[&str])]) {
        let (rows, warnings) = read(&text.replace("KEY", KEY)).unwrap();
        assert_eq!(warnings, [""; 0], "{text}");
        let found: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), row.enabled, row.plans.clone())).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, enabled, plans)| {
                (*name, *enabled, plans.iter().map(|plan| plan.to_string()).collect())
            })
            .collect();
        assert_eq!(found, expected, "{text}");
        assert!(rows.iter().all(|row| row.value == KEY));
    }

    #[test]
    fn files_of_the_documentation() {
        check("Key,name\nKEY,MyFirstApiKey\n", &[("MyFirstApiKey", true, &[])]);
        let all = "Name,key,description,Enabled,usageplanIds\nMyFirstApiKey,KEY,An imported key,TRUE,c7y23b";
        check(all, &[("MyFirstApiKey", true, &["c7y23b"])]);
        let two = "Enabled,Name,key,UsageplanIds\r\nfalse,\"My, \"\"key\"\"\",KEY,'c7y23b, glvrsr'\r\n\r\n";
        check(two, &[("My, \"key\"", false, &["c7y23b", "glvrsr"])]);
        check("name,other,key\n,x,KEY", &[("", true, &[])]);
    }

    #[test]
    fn what_cannot_be_imported_is_said() {
        assert_eq!(read("").unwrap_err(), "Invalid API key file: it is empty");
        assert_eq!(read("name,value\na,b").unwrap_err(), "Invalid API key file: the column key is missing");
        let (rows, warnings) = read(&format!("name,key\n\na,short\nb,{KEY}")).unwrap();
        assert_eq!(warnings, ["Line 3: API Key value should be at least 20 characters"]);
        assert_eq!((rows.len(), rows[0].line), (1, 4));
    }

    proptest! {
        #[test]
        fn cells_come_back(cells in proptest::collection::vec("[a-z,\"'\n ]{0,6}", 1..5)) {
            let quoted: Vec<_> = cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            let found = records(&quoted.join(","));
            if cells.iter().any(|cell| !cell.trim().is_empty()) {
                prop_assert_eq!(&found[0].1, &cells);
            } else {
                prop_assert!(found.is_empty());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(name,key\n)?[a-z,\"'\r\n\\PC]{0,60}") {
            if let Ok((rows, warnings)) = read(&text) {
                prop_assert!(rows.len() + warnings.len() <= text.lines().count());
            }
        }
    }
}
