//! Base path mappings: what the older service makes of a custom domain's mappings. See `api_mappings.rs`.

use stagedoor_shapes::apigateway::{
    BasePathMapping, BasePathMappings, CreateBasePathMappingRequest, DeleteBasePathMappingRequest,
    GetBasePathMappingRequest, GetBasePathMappingsRequest, UpdateBasePathMappingRequest,
};

use crate::api_mappings::{self, Mapping};
use crate::control_plane::{ControlPlane, bad_request, not_found, required};
use crate::domain_names::{self, identity};
use crate::page::page;
use crate::patch::{REPLACE, Style, Table};
use crate::tx::Tx;
use crate::{ApiError, ids, keys};

/// How AWS writes an empty base path.
const NONE: &str = "(none)";

#[derive(Clone, Copy, Debug)]
enum Field {
    BasePath,
    RestApiId,
    Stage,
}

const PATCHES: Table<Field> = Table {
    style: Style::Listing,
    rows: &[
        ("/basePath", REPLACE, Field::BasePath),
        // AWS's spelling; the other is what one would expect, and is taken too.
        ("/restapiId", REPLACE, Field::RestApiId),
        ("/stage", REPLACE, Field::Stage),
        ("/restApiId", REPLACE, Field::RestApiId),
    ],
};

/// The path that a base path stands for.
fn path_of(base_path: Option<&str>) -> &str {
    base_path.filter(|path| *path != NONE).unwrap_or_default()
}

fn find(tx: &Tx, identity: &str, base_path: &str) -> Result<Mapping, ApiError> {
    domain_names::find(tx, identity)?;
    let path = path_of(Some(base_path));
    let found = api_mappings::of_domain(tx, identity)?.into_iter().find(|mapping| mapping.path == path);
    found.map_or_else(|| not_found("Invalid base path mapping identifier specified"), Ok)
}

fn put(tx: &Tx, identity: &str, mapping: &Mapping) -> Result<(), ApiError> {
    if mapping.path.contains('/') {
        return bad_request(
            "API Gateway V1 doesn't support the slash character (/) in base path mappings. To create a multi-level \
             base path mapping, use API Gateway V2.",
        );
    }
    api_mappings::check_path(&mapping.path)?;
    if !tx.exists(&keys::api(&mapping.api_id))? {
        return bad_request("Invalid REST API identifier specified");
    }
    if let Some(stage) = &mapping.stage
        && !api_mappings::stage_exists(tx, &mapping.api_id, stage)?
    {
        return bad_request("Invalid stage identifier specified");
    }
    let taken = match mapping.path.as_str() {
        "" => "Only one base path mapping is allowed if the base path is empty.",
        _ => "Base path already exists for this domain name",
    };
    api_mappings::check_protocol(tx, identity, mapping)?;
    api_mappings::check_free(tx, identity, mapping, taken)?;
    tx.put(&api_mappings::key(identity, &mapping.id), mapping)
}

impl ControlPlane {
    /// `CreateBasePathMapping`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain, [`ApiError::BadRequest`] for an unknown API or stage or a path that
    /// AWS refuses, [`ApiError::Conflict`] for a path that is mapped already.
    pub fn create_base_path_mapping(
        &self,
        input: CreateBasePathMappingRequest,
    ) -> Result<BasePathMapping, ApiError> {
        let domain = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        let mapping = Mapping {
            id: ids::short()?,
            path: path_of(input.base_path.as_deref()).to_owned(),
            api_id: required(&input.rest_api_id).to_owned(),
            stage: input.stage.filter(|stage| !stage.is_empty()),
        };
        self.transact(|tx| {
            domain_names::find(tx, &domain)?;
            put(tx, &domain, &mapping)
        })?;
        Ok(answer(mapping))
    }

    /// `GetBasePathMapping`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain or path.
    pub fn get_base_path_mapping(
        &self,
        input: GetBasePathMappingRequest,
    ) -> Result<BasePathMapping, ApiError> {
        let domain = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        self.read(|tx| find(tx, &domain, required(&input.base_path)).map(answer))
    }

    /// `GetBasePathMappings`, by path.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain, [`ApiError::BadRequest`] for a position that no page has answered.
    pub fn get_base_path_mappings(
        &self,
        input: GetBasePathMappingsRequest,
    ) -> Result<BasePathMappings, ApiError> {
        let domain = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        let mut mappings = self.read(|tx| {
            domain_names::find(tx, &domain)?;
            api_mappings::of_domain(tx, &domain)
        })?;
        mappings.sort_by(|one, other| one.path.cmp(&other.path));
        // Keys of a page are never empty, the path of a mapping may be.
        let mappings = mappings.into_iter().map(|mapping| (format!("/{}", mapping.path), answer(mapping)));
        let (items, position) = page(mappings, input.position.as_deref(), input.limit)?;
        Ok(BasePathMappings { items, position })
    }

    /// `UpdateBasePathMapping`.
    ///
    /// # Errors
    /// As for `CreateBasePathMapping`.
    pub fn update_base_path_mapping(
        &self,
        input: UpdateBasePathMappingRequest,
    ) -> Result<BasePathMapping, ApiError> {
        let domain = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        self.transact(|tx| {
            let mut mapping = find(tx, &domain, required(&input.base_path))?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                match (patch.field, patch.text()) {
                    (Field::BasePath, path) => mapping.path = path_of(path.as_deref()).to_owned(),
                    (Field::RestApiId, api) => mapping.api_id = api.unwrap_or_default(),
                    (Field::Stage, stage) => mapping.stage = stage,
                }
            }
            put(tx, &domain, &mapping)?;
            Ok(answer(mapping))
        })
    }

    /// `DeleteBasePathMapping`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain or path.
    pub fn delete_base_path_mapping(&self, input: DeleteBasePathMappingRequest) -> Result<(), ApiError> {
        let domain = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        self.transact(|tx| {
            let mapping = find(tx, &domain, required(&input.base_path))?;
            tx.delete(&api_mappings::key(&domain, &mapping.id));
            Ok(())
        })
    }
}

fn answer(mapping: Mapping) -> BasePathMapping {
    BasePathMapping {
        base_path: Some(if mapping.path.is_empty() { NONE.to_owned() } else { mapping.path }),
        rest_api_id: Some(mapping.api_id),
        stage: mapping.stage,
    }
}
