//! Documentation parts from documents: with a whole API, or alone (`ImportDocumentationParts`).

use stagedoor_openapi::{Document, Finding};
use stagedoor_shapes::apigateway::{
    DocumentationPart, DocumentationPartIds, DocumentationPartLocation, ImportDocumentationPartsRequest,
    PutMode,
};

use super::apply::{Import, Surroundings, blank};
use super::{ImportError, Options};
use crate::control_plane::{ControlPlane, required};
use crate::documentation::{StoredPart, location, properties};
use crate::issuers::KeySets;
use crate::keys::{self, Kind};
use crate::tx::Tx;
use crate::{ApiError, quotas};

impl ControlPlane {
    /// `ImportDocumentationParts`. Without a mode it merges.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API, [`ApiError::BadRequest`] for what is no OpenAPI document.
    pub fn import_documentation_parts(
        &self,
        input: ImportDocumentationPartsRequest,
    ) -> Result<DocumentationPartIds, ApiError> {
        let id = required(&input.rest_api_id);
        self.read(|tx| self.api(tx, id))?;
        let options = Options { overwrite: input.mode == Some(PutMode::Overwrite), ..Options::default() };
        let document = super::document(input.body.as_ref()).map_err(|error| match error {
            ImportError::Unreadable(_) => {
                ApiError::BadRequest("Unable to build importer with provided input.".to_owned())
            }
            other => other.into(),
        })?;
        let ids = self.attempt(|tx| {
            self.api(tx, id)?;
            let map = |surroundings: &Surroundings<'_>| read(&document, &options, surroundings);
            let parts = self.in_surroundings(id, &KeySets::new(), map)?;
            Ok(self.put_documentation(tx, id, &parts, options.overwrite)?)
        })?;
        Ok(DocumentationPartIds { ids: Some(ids), warnings: None })
    }

    /// Writes parts, in the place of what is there or beside it, and gives their ids. A part for a place that has one
    /// already takes its place and its id.
    pub(super) fn put_documentation(
        &self,
        tx: &Tx,
        id: &str,
        parts: &[DocumentationPart],
        overwrite: bool,
    ) -> Result<Vec<String>, ApiError> {
        let before = self.documentation_parts(tx, id)?;
        let is_there =
            |part: &&DocumentationPart| before.iter().any(|old| old.part.location == part.location);
        let kept = if overwrite {
            parts.len()
        } else {
            before.len() + parts.len() - parts.iter().filter(is_there).count()
        };
        let max = self.settings.quotas.documentation_parts_per_api;
        quotas::check(kept, max, "Documentation parts", "API")?;
        let first = if overwrite { 0 } else { before.last().map_or(0, |last| last.order + 1) };
        let mut ids = Vec::new();
        for (order, part) in (first..).zip(parts) {
            let same = before.iter().find(|stored| stored.part.location == part.location);
            let kept = same.map_or(&part.id, |stored| &stored.part.id);
            let own = same.filter(|_| !overwrite).map(|stored| stored.order);
            let stored = StoredPart {
                order: own.unwrap_or(order),
                part: DocumentationPart { id: kept.clone(), ..part.clone() },
            };
            tx.put(&keys::one(id, Kind::DocumentationPart, required(kept)), &stored)?;
            ids.push(required(kept).to_owned());
        }
        for stored in before.iter().filter(|_| overwrite) {
            let gone = required(&stored.part.id);
            if ids.iter().all(|kept| kept != gone) {
                tx.delete(&keys::one(id, Kind::DocumentationPart, gone));
            }
        }
        Ok(ids)
    }
}

/// The parts in a document.
fn read(
    document: &Document,
    options: &Options,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<DocumentationPart>, (Vec<Finding>, Vec<Finding>)> {
    let mut import = Import::new(blank(Default::default()), document, options, surroundings);
    let parts = import.documentation();
    if import.errors.is_empty() { Ok(parts) } else { Err((import.errors, import.warnings)) }
}

impl Import<'_> {
    /// The parts in the document, with new ids.
    pub(super) fn documentation(&mut self) -> Vec<DocumentationPart> {
        let definition = self.definition;
        let mut parts = Vec::new();
        for part in &definition.documentation_parts {
            let text = |name: &str| part.location.get(name).cloned();
            let at = part.at.child("location");
            let kind = text("type");
            let Some(type_) =
                self.upper(kind.as_ref(), &at.child("type"), "Unable to create documentation part")
            else {
                continue;
            };
            let given = DocumentationPartLocation {
                type_: Some(type_),
                path: text("path"),
                method: text("method"),
                status_code: text("statusCode"),
                name: text("name"),
            };
            let made = location(Some(given))
                .and_then(|location| Ok((location, properties(Some(part.properties.to_string()))?)));
            match made {
                Ok((location, properties)) => parts.push(DocumentationPart {
                    id: Some((self.surroundings.new_id)()),
                    location: Some(location),
                    properties: Some(properties),
                }),
                Err(error) => self.fail(&part.at, format!("Unable to create documentation part: {error}")),
            }
        }
        parts
    }
}
