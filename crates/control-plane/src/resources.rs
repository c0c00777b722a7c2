//! Resources: the tree of an API's paths.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{
    CreateResourceRequest, DeleteResourceRequest, GetResourceRequest, GetResourcesRequest, Method, Resource,
    Resources, UpdateResourceRequest,
};

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required};
use crate::ids;
use crate::keys::{self, Kind};
use crate::page::page;
use crate::patch::{REPLACE, Style, Table};
use crate::places;
use crate::tx::Tx;

#[derive(Clone, Copy, Debug)]
enum Field {
    Parent,
    PathPart,
}

const PATCHES: Table<Field> = Table {
    style: Style::Listing,
    rows: &[("/parentId", REPLACE, Field::Parent), ("/pathPart", REPLACE, Field::PathPart)],
};

impl ControlPlane {
    /// `CreateResource`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown parent, [`ApiError::Conflict`] for a name that a sibling has,
    /// [`ApiError::BadRequest`] for a path part that cannot be there.
    pub fn create_resource(&self, input: CreateResourceRequest) -> Result<Resource, ApiError> {
        let (api, part) = (required(&input.rest_api_id), required(&input.path_part));
        self.transact(|tx| {
            let parent = find(tx, api, required(&input.parent_id))?;
            places::prepare(tx, api)?;
            let id = unused_id(tx, api)?;
            let resource = Resource {
                id: Some(id.clone()),
                parent_id: parent.id.clone(),
                path_part: Some(part.to_owned()),
                path: Some(child_path(required(&parent.path), part)),
                ..Resource::default()
            };
            check_parent(&parent, part)?;
            places::check(tx, api, &resource)?;
            self.check_count(tx, api)?;
            tx.put(&keys::one(api, Kind::Resource, &id), &resource)?;
            places::take(tx, api, &resource)?;
            Ok(resource)
        })
    }

    /// Whether an API may have one more resource.
    fn check_count(&self, tx: &Tx, api: &str) -> Result<(), ApiError> {
        /// Near the limit, resources are created one after the other. That many at once can pass before it is seen.
        const NEAR: usize = 64;
        let all = keys::all(api, Kind::Resource);
        let quotas = &self.settings.quotas;
        let mut count = tx.view().count(&all)? + 1;
        if quotas.check_resources(count + NEAR).is_err() {
            count = tx.keys(&all)?.len() + 1;
        }
        quotas.check_resources(count)
    }

    /// `GetResource`; `embed=methods` asks for the methods with everything in them.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such resource.
    pub fn get_resource(&self, input: GetResourceRequest) -> Result<Resource, ApiError> {
        let resource =
            self.read(|tx| find(tx, required(&input.rest_api_id), required(&input.resource_id)))?;
        Ok(answer(resource, input.embed.as_deref()))
    }

    /// `GetResources`, by path.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API.
    pub fn get_resources(&self, input: GetResourcesRequest) -> Result<Resources, ApiError> {
        let id = required(&input.rest_api_id);
        let tree = self.read(|tx| {
            self.api(tx, id)?;
            Tree::load(tx, id)
        })?;
        let resources = tree.0.into_values().map(|resource| (required(&resource.path).to_owned(), resource));
        let resources: BTreeMap<String, Resource> = resources.collect();
        let resources =
            resources.into_iter().map(|(path, resource)| (path, answer(resource, input.embed.as_deref())));
        let (items, position) = page(resources, input.position.as_deref(), input.limit)?;
        Ok(Resources { items, position })
    }

    /// `UpdateResource`: moves and renames, with everything below.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown resource or parent, [`ApiError::Conflict`] and [`ApiError::BadRequest`] as
    /// for `CreateResource`.
    pub fn update_resource(&self, input: UpdateResourceRequest) -> Result<Resource, ApiError> {
        let (api, id) = (required(&input.rest_api_id), required(&input.resource_id));
        self.transact(|tx| {
            let mut tree = Tree::load(tx, api)?;
            let mut resource = tree.get(id)?.clone();
            places::leave(tx, api, &resource);
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                let value = patch.value.clone().unwrap_or_default();
                match patch.field {
                    Field::Parent if resource.parent_id.is_none() => {
                        return bad_request("Root resource cannot update its parentId.");
                    }
                    Field::PathPart if resource.parent_id.is_none() => {
                        return bad_request("Root resource cannot update its pathPart.");
                    }
                    Field::Parent => {
                        tree.get(&value)?;
                        if tree.is_within(&value, id) {
                            return bad_request("Resources cannot be cyclical.");
                        }
                        resource.parent_id = Some(value);
                    }
                    Field::PathPart => resource.path_part = Some(value),
                }
                tree.check_place(&resource)?;
                if is_greedy(required(&resource.path_part)) && tree.has_children(id) {
                    return cannot_be_parent(required(&resource.path_part));
                }
                tree.insert(resource.clone());
            }
            for moved in tree.set_paths() {
                // What is below must not have a variable's name that is now above it.
                let (above, part) = required(&moved.path).rsplit_once('/').unwrap_or_default();
                check_ancestors(above, part)?;
                tx.put(&keys::one(api, Kind::Resource, required(&moved.id)), &moved)?;
            }
            let resource = tree.get(id)?.clone();
            tx.put(&keys::one(api, Kind::Resource, id), &resource)?;
            places::take(tx, api, &resource)?;
            Ok(answer(resource, None))
        })
    }

    /// `DeleteResource`, with everything below.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such resource, [`ApiError::BadRequest`] for the root.
    pub fn delete_resource(&self, input: DeleteResourceRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.rest_api_id), required(&input.resource_id));
        self.transact(|tx| {
            let tree = Tree::load(tx, api)?;
            if tree.get(id)?.parent_id.is_none() {
                return bad_request("Root resource cannot be deleted.");
            }
            for (below, resource) in tree.0.iter().filter(|(other, _)| tree.is_within(other, id)) {
                tx.delete(&keys::one(api, Kind::Resource, below));
                places::leave(tx, api, resource);
            }
            Ok(())
        })
    }
}

/// One resource with its methods. An unknown API is answered like an unknown resource, as AWS does.
pub(crate) fn find(tx: &Tx, api: &str, id: &str) -> Result<Resource, ApiError> {
    match tx.get(&keys::one(api, Kind::Resource, id))? {
        Some(resource) => Ok(resource),
        None => not_found("Invalid Resource identifier specified"),
    }
}

/// A resource as it is answered: its methods are empty unless they were asked for.
fn answer(mut resource: Resource, embed: Option<&[String]>) -> Resource {
    let embedded = embed.is_some_and(|embed| embed.iter().any(|part| part == "methods"));
    if let Some(methods) = resource.resource_methods.as_mut().filter(|_| !embedded) {
        methods.values_mut().for_each(|method| *method = Method::default());
    }
    resource.resource_methods = resource.resource_methods.filter(|methods| !methods.is_empty());
    resource
}

/// All resources of an API, by id.
struct Tree(BTreeMap<String, Resource>);

impl Tree {
    fn load(tx: &Tx, api: &str) -> Result<Self, ApiError> {
        let resources = tx.scan::<Resource>(&keys::all(api, Kind::Resource))?;
        Ok(Self(
            resources.into_values().filter_map(|resource| Some((resource.id.clone()?, resource))).collect(),
        ))
    }

    fn get(&self, id: &str) -> Result<&Resource, ApiError> {
        self.0.get(id).ok_or_else(|| ApiError::NotFound("Invalid Resource identifier specified".to_owned()))
    }

    fn insert(&mut self, resource: Resource) {
        if let Some(id) = resource.id.clone() {
            self.0.insert(id, resource);
        }
    }

    fn has_children(&self, id: &str) -> bool {
        self.0.values().any(|other| other.parent_id.as_deref() == Some(id))
    }

    /// Whether a resource is `top` or stands below it.
    fn is_within(&self, id: &str, top: &str) -> bool {
        let parent = |id: &str| self.0.get(id).and_then(|resource| resource.parent_id.as_deref());
        // Parents form no circle, because nothing that would close one is ever stored.
        std::iter::successors(Some(id), |id| parent(id)).any(|id| id == top)
    }

    /// Whether a resource can have its name below its parent.
    fn check_place(&self, resource: &Resource) -> Result<(), ApiError> {
        let part = required(&resource.path_part);
        check_parent(self.get(required(&resource.parent_id))?, part)?;
        let siblings =
            self.0.values().filter(|other| other.parent_id == resource.parent_id && other.id != resource.id);
        check_siblings(part, siblings.map(|sibling| required(&sibling.path_part)))
    }

    /// Gives every resource the path that its place implies, and returns those whose path was another.
    fn set_paths(&mut self) -> Vec<Resource> {
        let paths: Vec<(String, String)> = self.0.keys().map(|id| (id.clone(), self.path_of(id))).collect();
        let mut moved = Vec::new();
        for (id, path) in paths {
            if let Some(resource) =
                self.0.get_mut(&id).filter(|resource| resource.path.as_ref() != Some(&path))
            {
                resource.path = Some(path);
                moved.push(resource.clone());
            }
        }
        moved
    }

    fn path_of(&self, id: &str) -> String {
        let lineage =
            std::iter::successors(self.0.get(id), |resource| self.0.get(resource.parent_id.as_deref()?));
        let mut parts: Vec<&str> = lineage.filter_map(|resource| resource.path_part.as_deref()).collect();
        parts.reverse();
        format!("/{}", parts.join("/"))
    }
}

fn unused_id(tx: &Tx, api: &str) -> Result<String, ApiError> {
    loop {
        let id = ids::short()?;
        if !tx.exists(&keys::one(api, Kind::Resource, &id))? {
            return Ok(id);
        }
    }
}

/// Whether a path part is well formed, and its parent may have children.
fn check_parent(parent: &Resource, part: &str) -> Result<(), ApiError> {
    check_path_part(part)?;
    let of_parent = parent.path_part.as_deref().unwrap_or_default();
    if is_greedy(of_parent) {
        return cannot_be_parent(of_parent);
    }
    check_ancestors(required(&parent.path), part)
}

/// The name of a variable, be it greedy or not; `None` for a part that stands for itself.
fn variable_name(part: &str) -> Option<&str> {
    let name = part.strip_prefix('{')?.strip_suffix('}')?;
    Some(name.strip_suffix('+').unwrap_or(name))
}

/// Whether a part can stand below a path: no two variables of a path have the same name.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message.
pub(crate) fn check_ancestors(path: &str, part: &str) -> Result<(), ApiError> {
    let name = variable_name(part);
    match name.is_some() && path.split('/').any(|above| variable_name(above) == name) {
        true => bad_request(format!(
            "An ancestor of this resource has the same variable name as this one: {part}"
        )),
        false => Ok(()),
    }
}

/// The path of a resource below another.
pub(crate) fn child_path(parent: &str, part: &str) -> String {
    format!("{}/{part}", parent.trim_end_matches('/'))
}

fn cannot_be_parent<T>(part: &str) -> Result<T, ApiError> {
    bad_request(format!("Cannot create a child of a resource with a greedy path variable: {part}"))
}

/// Whether a path part takes the rest of the path, like `{proxy+}`.
pub(crate) fn is_greedy(part: &str) -> bool {
    part.starts_with('{') && part.ends_with("+}")
}

/// Whether a path part stands for whatever is there, like `{id}`.
pub(crate) fn is_variable(part: &str) -> bool {
    part.starts_with('{')
}

/// Whether a path part is well formed: characters that stand for themselves, `{name}` or `{name+}`.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message.
pub(crate) fn check_path_part(part: &str) -> Result<(), ApiError> {
    let plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-:,~".contains(c))
    };
    let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let valid = plain(name.map_or(part, |name| name.strip_suffix('+').unwrap_or(name)));
    if valid {
        return Ok(());
    }
    bad_request(
        "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning \
         and the end.",
    )
}

/// Whether a path part can stand beside its siblings: names are unique, and only one is a variable.
///
/// # Errors
/// [`ApiError::Conflict`] for a name that is taken, [`ApiError::BadRequest`] for a second variable.
pub(crate) fn check_siblings<'a>(
    part: &str,
    siblings: impl Iterator<Item = &'a str>,
) -> Result<(), ApiError> {
    let mut variable = None;
    for sibling in siblings {
        if sibling == part {
            return conflict(format!("Another resource with the same parent already has this name: {part}"));
        }
        if is_variable(sibling) {
            variable = Some(sibling);
        }
    }
    match variable.filter(|_| is_variable(part)) {
        Some(sibling) => bad_request(format!(
            "A sibling ({sibling}) of this resource already has a variable path part -- only one is allowed"
        )),
        None => Ok(()),
    }
}
