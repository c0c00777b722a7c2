//! Documentation of an API: its parts, and versions of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stagedoor_shapes::apigateway::{
    CreateDocumentationPartRequest, CreateDocumentationVersionRequest, DeleteDocumentationPartRequest,
    DeleteDocumentationVersionRequest, DocumentationPart, DocumentationPartLocation, DocumentationPartType,
    DocumentationParts, DocumentationVersion, DocumentationVersions, GetDocumentationPartRequest,
    GetDocumentationPartsRequest, GetDocumentationVersionRequest, GetDocumentationVersionsRequest,
    LocationStatusType, Stage, UpdateDocumentationPartRequest, UpdateDocumentationVersionRequest,
};

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required, whole_seconds};
use crate::ids;
use crate::keys::{self, Kind};
use crate::page::{by_date, page};
use crate::patch::{REPLACE, Style, Table};
use crate::quotas::check_one_more;
use crate::tx::Tx;

#[derive(Clone, Copy, Debug)]
enum PartField {
    Properties,
}

const PART_PATCHES: Table<PartField> =
    Table { style: Style::Listing, rows: &[("/properties", REPLACE, PartField::Properties)] };

#[derive(Clone, Copy, Debug)]
enum VersionField {
    Description,
}

const VERSION_PATCHES: Table<VersionField> =
    Table { style: Style::Listing, rows: &[("/description", REPLACE, VersionField::Description)] };

/// A part as it is stored: with its place in the list, which AWS keeps in the order of creation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredPart {
    pub(crate) order: u64,
    pub(crate) part: DocumentationPart,
}

/// A version as it is stored: with the parts as they were.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredVersion {
    version: DocumentationVersion,
    parts: Vec<DocumentationPart>,
}

impl ControlPlane {
    /// `CreateDocumentationPart`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::Conflict`] if there is a part for the same place.
    pub fn create_documentation_part(
        &self,
        input: CreateDocumentationPartRequest,
    ) -> Result<DocumentationPart, ApiError> {
        let api = required(&input.rest_api_id);
        let location = location(input.location)?;
        let properties = properties(input.properties)?;
        self.transact(|tx| {
            self.api(tx, api)?;
            let parts = self.documentation_parts(tx, api)?;
            if parts.iter().any(|stored| stored.part.location.as_ref() == Some(&location)) {
                return conflict(format!(
                    "Documentation part already exists for the specified location: {}.",
                    shown(&location)
                ));
            }
            let max = self.settings.quotas.documentation_parts_per_api;
            check_one_more(parts.len(), max, "Documentation parts", "API")?;
            let part = DocumentationPart {
                id: Some(ids::short()?),
                location: Some(location.clone()),
                properties: Some(properties.clone()),
            };
            let order = parts.last().map_or(0, |last| last.order + 1);
            let stored = StoredPart { order, part: part.clone() };
            tx.put(&keys::one(api, Kind::DocumentationPart, required(&part.id)), &stored)?;
            Ok(part)
        })
    }

    /// The parts of an API, in the order in which they were made.
    pub(crate) fn documentation_parts(&self, tx: &Tx, api: &str) -> Result<Vec<StoredPart>, ApiError> {
        let mut parts: Vec<StoredPart> =
            tx.scan(&keys::all(api, Kind::DocumentationPart))?.into_values().collect();
        parts.sort_by_key(|stored| stored.order);
        Ok(parts)
    }

    /// `GetDocumentationPart`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such part.
    pub fn get_documentation_part(
        &self,
        input: GetDocumentationPartRequest,
    ) -> Result<DocumentationPart, ApiError> {
        let part =
            self.read(|tx| part(tx, required(&input.rest_api_id), required(&input.documentation_part_id)))?;
        Ok(part.part)
    }

    /// `GetDocumentationParts`, in the order in which they were made.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API.
    pub fn get_documentation_parts(
        &self,
        input: GetDocumentationPartsRequest,
    ) -> Result<DocumentationParts, ApiError> {
        let api = required(&input.rest_api_id);
        let parts = self.read(|tx| {
            self.api(tx, api)?;
            self.documentation_parts(tx, api)
        })?;
        let wanted = |part: &DocumentationPart| {
            let location = part.location.clone().unwrap_or_default();
            let name = input
                .name_query
                .as_ref()
                .is_none_or(|query| required(&location.name).contains(query.as_str()));
            let path = input.path.as_ref().is_none_or(|path| location.path.as_ref() == Some(path));
            name && path && input.type_.is_none_or(|kind| location.type_ == Some(kind))
        };
        let documented = input.location_status != Some(LocationStatusType::Undocumented);
        let parts = parts.into_iter().filter(|stored| documented && wanted(&stored.part));
        let parts = parts.map(|stored| (format!("{:020}", stored.order), stored.part));
        let (items, position) = page(parts, input.position.as_deref(), input.limit)?;
        Ok(DocumentationParts { items, position })
    }

    /// `UpdateDocumentationPart`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such part, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_documentation_part(
        &self,
        input: UpdateDocumentationPartRequest,
    ) -> Result<DocumentationPart, ApiError> {
        let (api, id) = (required(&input.rest_api_id), required(&input.documentation_part_id));
        self.transact(|tx| {
            let mut stored = part(tx, api, id)?;
            for patch in PART_PATCHES.resolve(input.patch_operations.as_deref())? {
                match patch.field {
                    PartField::Properties => stored.part.properties = Some(properties(patch.value)?),
                }
            }
            tx.put(&keys::one(api, Kind::DocumentationPart, id), &stored)?;
            Ok(stored.part)
        })
    }

    /// `DeleteDocumentationPart`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such part.
    pub fn delete_documentation_part(&self, input: DeleteDocumentationPartRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.rest_api_id), required(&input.documentation_part_id));
        self.transact(|tx| {
            // Other operations on a part do not look at the API first.
            self.api(tx, api)?;
            part(tx, api, id)?;
            tx.delete(&keys::one(api, Kind::DocumentationPart, id));
            Ok(())
        })
    }

    /// `CreateDocumentationVersion`: keeps the parts as they are now, and names the version in a stage if asked to.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or stage, [`ApiError::Conflict`] if there is such a version.
    pub fn create_documentation_version(
        &self,
        input: CreateDocumentationVersionRequest,
    ) -> Result<DocumentationVersion, ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.documentation_version));
        if name.is_empty() || name.contains('/') {
            return bad_request("Invalid documentation version specified");
        }
        self.transact(|tx| {
            self.api(tx, api)?;
            let key = keys::one(api, Kind::DocumentationVersion, name);
            if tx.exists(&key)? {
                return conflict("Documentation version already exists");
            }
            let version = DocumentationVersion {
                version: Some(name.to_owned()),
                created_date: Some(self.now()),
                description: input.description.clone().filter(|description| !description.is_empty()),
            };
            let parts = self.documentation_parts(tx, api)?.into_iter().map(|stored| stored.part).collect();
            tx.put(&key, &StoredVersion { version: version.clone(), parts })?;
            if let Some(stage_name) = input.stage_name.as_deref() {
                let key = keys::one(api, Kind::Stage, stage_name);
                let Some(mut stage) = tx.get::<Stage>(&key)? else {
                    return not_found("Invalid stage identifier specified");
                };
                stage.documentation_version = Some(name.to_owned());
                tx.put(&key, &stage)?;
            }
            Ok(answer(version))
        })
    }

    /// `GetDocumentationVersion`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such version.
    pub fn get_documentation_version(
        &self,
        input: GetDocumentationVersionRequest,
    ) -> Result<DocumentationVersion, ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.documentation_version));
        Ok(answer(self.read(|tx| version(tx, api, name))?.version))
    }

    /// `GetDocumentationVersions`, in the order in which they were made.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API.
    pub fn get_documentation_versions(
        &self,
        input: GetDocumentationVersionsRequest,
    ) -> Result<DocumentationVersions, ApiError> {
        let api = required(&input.rest_api_id);
        let versions = self.read(|tx| {
            self.api(tx, api)?;
            tx.scan::<StoredVersion>(&keys::all(api, Kind::DocumentationVersion))
        })?;
        let versions: BTreeMap<_, _> = versions
            .into_values()
            .map(|stored| stored.version)
            .map(|version| (by_date(version.created_date, required(&version.version)), answer(version)))
            .collect();
        let (items, position) = page(versions, input.position.as_deref(), input.limit)?;
        Ok(DocumentationVersions { items, position })
    }

    /// `UpdateDocumentationVersion`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such version, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_documentation_version(
        &self,
        input: UpdateDocumentationVersionRequest,
    ) -> Result<DocumentationVersion, ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.documentation_version));
        self.transact(|tx| {
            let mut stored = version(tx, api, name)?;
            for patch in VERSION_PATCHES.resolve(input.patch_operations.as_deref())? {
                match patch.field {
                    VersionField::Description => stored.version.description = patch.text(),
                }
            }
            tx.put(&keys::one(api, Kind::DocumentationVersion, name), &stored)?;
            Ok(answer(stored.version))
        })
    }

    /// `DeleteDocumentationVersion`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such version.
    pub fn delete_documentation_version(
        &self,
        input: DeleteDocumentationVersionRequest,
    ) -> Result<(), ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.documentation_version));
        self.transact(|tx| {
            version(tx, api, name)?;
            tx.delete(&keys::one(api, Kind::DocumentationVersion, name));
            Ok(())
        })
    }
}

fn part(tx: &Tx, api: &str, id: &str) -> Result<StoredPart, ApiError> {
    match tx.get(&keys::one(api, Kind::DocumentationPart, id))? {
        Some(part) => Ok(part),
        None => not_found("Invalid Documentation part identifier specified"),
    }
}

fn version(tx: &Tx, api: &str, name: &str) -> Result<StoredVersion, ApiError> {
    match tx.get(&keys::one(api, Kind::DocumentationVersion, name))? {
        Some(version) => Ok(version),
        None => not_found("Invalid Documentation version specified"),
    }
}

/// A version and its parts as they were when it was made; `None` if there is no such version any more.
pub(crate) fn published(
    tx: &Tx,
    api: &str,
    name: &str,
) -> Result<Option<(DocumentationVersion, Vec<DocumentationPart>)>, ApiError> {
    let stored = tx.get::<StoredVersion>(&keys::one(api, Kind::DocumentationVersion, name))?;
    Ok(stored.map(|stored| (stored.version, stored.parts)))
}

fn answer(mut version: DocumentationVersion) -> DocumentationVersion {
    version.created_date = whole_seconds(version.created_date);
    version
}

/// The properties of a part: a JSON object that says something.
pub(crate) fn properties(given: Option<String>) -> Result<String, ApiError> {
    let given = given.unwrap_or_default();
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&given) {
        Ok(members) if !members.is_empty() => Ok(given),
        _ if given.is_empty() => bad_request("Documentation part properties must be non-empty"),
        _ => bad_request("Invalid documentation part properties specified: a JSON object is expected"),
    }
}

/// A place in messages: `type 'METHOD', path '/pets', method 'GET'`.
fn shown(location: &DocumentationPartLocation) -> String {
    let kind = location.type_.map(|kind| kind.to_string());
    let members = [
        ("type", &kind),
        ("path", &location.path),
        ("method", &location.method),
        ("statusCode", &location.status_code),
        ("name", &location.name),
    ];
    let members = members.iter().filter_map(|(name, value)| Some(format!("{name} '{}'", value.as_deref()?)));
    members.collect::<Vec<_>>().join(", ")
}

/// Refuses members that a place of such a type has not.
fn check_members(kind: DocumentationPartType, location: &DocumentationPartLocation) -> Result<(), ApiError> {
    use DocumentationPartType as Type;
    let has: &[&str] = match kind {
        Type::Api => &[],
        Type::Authorizer | Type::Model => &["name"],
        Type::Resource => &["path"],
        Type::Method | Type::RequestBody => &["path", "method"],
        Type::PathParameter | Type::QueryParameter | Type::RequestHeader => &["path", "method", "name"],
        Type::Response | Type::ResponseBody => &["path", "method", "statusCode"],
        Type::ResponseHeader => return Ok(()),
    };
    let members = [
        ("path", &location.path),
        ("method", &location.method),
        ("statusCode", &location.status_code),
        ("name", &location.name),
    ];
    let has_not: Vec<&str> =
        members.iter().map(|(name, _)| *name).filter(|name| !has.contains(name)).collect();
    if members.iter().any(|(name, value)| value.is_some() && has_not.contains(name)) {
        let listed = match has_not.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => return Ok(()),
        };
        return bad_request(format!("[Location type: {kind} cannot have {listed} defined.]"));
    }
    Ok(())
}

/// A place with what AWS supplies: parts below a resource have a path, parts below a method a method.
pub(crate) fn location(
    given: Option<DocumentationPartLocation>,
) -> Result<DocumentationPartLocation, ApiError> {
    use DocumentationPartType as Type;
    let mut location = given.unwrap_or_default();
    let Some(kind) = location.type_ else {
        return bad_request("Documentation part location type is missing");
    };
    check_members(kind, &location)?;
    let named = !matches!(
        kind,
        Type::Api | Type::Resource | Type::Method | Type::RequestBody | Type::Response | Type::ResponseBody
    );
    if named && location.name.as_deref().is_none_or(str::is_empty) {
        return bad_request(format!("Documentation part location of type {kind} needs a name"));
    }
    if !matches!(kind, Type::Api | Type::Authorizer | Type::Model) {
        location.path.get_or_insert_with(|| "/".to_owned());
    }
    if matches!(
        kind,
        Type::Method
            | Type::PathParameter
            | Type::QueryParameter
            | Type::RequestHeader
            | Type::RequestBody
            | Type::Response
            | Type::ResponseHeader
            | Type::ResponseBody
    ) {
        location.method.get_or_insert_with(|| "*".to_owned());
    }
    if matches!(kind, Type::Response | Type::ResponseHeader | Type::ResponseBody) {
        location.status_code.get_or_insert_with(|| "*".to_owned());
    }
    Ok(location)
}
