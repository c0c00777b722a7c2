//! The types that the generated `OPERATIONS` tables are written in.

/// One operation of a service.
#[derive(Debug)]
pub struct Operation {
    /// AWS's name, such as `CreateRestApi`.
    pub name: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path with its labels, such as `/restapis/{restapi_id}`; a query behind it (`?mode=import`) has to match.
    pub uri: &'static str,
    /// The status of a successful answer.
    pub status: u16,
    /// What the request carries.
    pub input: Option<&'static Structure>,
    /// What a successful answer carries; `None` is an empty body.
    pub output: Option<&'static Structure>,
    /// The errors that AWS documents for the operation.
    pub errors: &'static [&'static str],
}

/// A structure and its members, in AWS's order.
#[derive(Debug)]
pub struct Structure {
    /// AWS's name.
    pub name: &'static str,
    /// The members.
    pub members: &'static [Member],
}

impl Structure {
    pub(crate) const fn new(name: &'static str, members: &'static [Member]) -> Self {
        Self { name, members }
    }
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// AWS's name.
    pub name: &'static str,
    /// The name where it travels: of the label, query parameter, header or JSON member.
    pub wire: &'static str,
    /// The name in the JSON form of the Rust struct; it differs from `wire` for what does not travel in the body.
    pub key: &'static str,
    /// Where it travels. Only the members of an input or output itself travel outside the body.
    pub binding: Binding,
    /// Whether a request without it is refused.
    pub required: bool,
    /// What it holds.
    pub shape: Shape,
}

impl Member {
    // Without the names of its fields, a member takes one line of the generated files instead of eight.
    pub(crate) const fn new(
        name: &'static str,
        wire: &'static str,
        key: &'static str,
        binding: Binding,
        required: bool,
        shape: Shape,
    ) -> Self {
        Self { name, wire, key, binding, required, shape }
    }
}

/// Where a member travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A label of the path.
    Uri,
    /// The query string; a map takes every parameter that no other member names.
    Query,
    /// A header.
    Header,
    /// A member of the JSON body.
    Body,
    /// The whole body.
    Payload,
}

/// What a member, a list or a map holds.
#[derive(Debug)]
pub enum Shape {
    /// A structure.
    Structure(&'static Structure),
    /// A list of a shape.
    List(&'static Shape),
    /// A map from strings to a shape.
    Map(&'static Shape),
    /// Text. Length limits count characters.
    String(Constraint),
    /// A 32-bit number.
    Integer(Constraint),
    /// A 64-bit number.
    Long,
    /// A floating-point number.
    Double,
    /// True or false.
    Boolean,
    /// A point in time.
    Timestamp,
    /// Bytes. Length limits count bytes.
    Blob(Constraint),
}

/// What a value has to satisfy.
#[derive(Debug)]
pub struct Constraint {
    /// The allowed values; empty where anything goes.
    pub values: &'static [&'static str],
    /// A regular expression that the whole value has to match.
    pub pattern: Option<&'static str>,
    /// The smallest length, or value for numbers.
    pub min: Option<i64>,
    /// The greatest length, or value for numbers.
    pub max: Option<i64>,
}

impl Constraint {
    /// Anything goes.
    pub const NONE: Self = Self { values: &[], pattern: None, min: None, max: None };
}
