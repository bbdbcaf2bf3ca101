//! `[applications.X.attributes.A]` and `[applications.X.company_attributes.A]`.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::Table;
use super::sources::Checked;
use countersign_claim_source::Path;

use crate::attributes::{Attribute, Attributes, Kind, Origin, Rule, Shape};
use crate::expression::Expression;
use crate::identity::Field;
use crate::limits;
use crate::profile::JwtFormat;

pub(super) fn users(
    application: &Table<'_>,
    format: Option<&JwtFormat>,
    sources: &BTreeMap<String, Checked>,
) -> Attributes {
    let mut attributes = Attributes::default();
    let tables = application.tables("attributes");
    too_many(application, "attributes", tables.len());
    for (name, table) in &tables {
        match Field::named(name) {
            Some(Field::UserId) => {
                application.problem(&format!("attributes.{name}"), "is the identifier itself", "remove it");
            }
            Some(field) => {
                let written = format.is_none_or(|format| format.claims.contains_key(&field));
                if !written {
                    table.problem("type", "is about a field that the profile does not have", "remove it");
                }
                field_type(table, field);
                let secure = table.boolean("secure").unwrap_or(false);
                let (from, shape) = origins(table, name, sources);
                let rule = Rule { secure, required: table.flag("required"), from };
                check_required(table, &rule, sources);
                attributes.fields.insert(field, rule);
                attributes.shapes.extend(shape.map(|shape| (name.clone(), shape)));
            }
            None => {
                let (from, shape) = origins(table, name, sources);
                let place = format.map(|format| (format.reserves(name), format.has_place_for(name)));
                if let Some(attribute) = custom(table, name, from, place) {
                    check_required(table, &attribute.rule, sources);
                    attributes.custom.insert(name.clone(), attribute);
                }
                attributes.shapes.extend(shape.map(|shape| (name.clone(), shape)));
            }
        }
    }
    // Only now are all names known that an expression or `needs` may say.
    for (name, table) in tables.iter().filter(|(name, _)| Field::named(name) != Some(Field::UserId)) {
        values(table, name, &mut attributes);
        table.done();
    }
    for (name, table) in tables.iter().filter(|(_, table)| table.flag("required")) {
        if attributes.shape(name).value.is_some() && may_be_left_out(name, &attributes, sources, &mut BTreeSet::new()) {
            table.problem("required", "is computed of a claim of a source with on_error = \"omit\"", OMIT_RIGHT);
        }
    }
    attributes
}

pub(super) fn companies(application: &Table<'_>, format: Option<&JwtFormat>, users: &Attributes) -> Attributes {
    let mut attributes = Attributes::default();
    let list = users.rule(Field::Companies).from.clone();
    let tables = application.tables("company_attributes");
    too_many(application, "company_attributes", tables.len());
    let format = format.map(|format| format.company.as_ref());
    for (name, table) in &tables {
        let origins: Vec<Origin> = table.texts("from").into_iter().map(origin).collect();
        if origins.iter().any(|origin| !list.contains(origin)) {
            table.problem(
                "from",
                "names an origin that the companies do not come from",
                "set attributes.companies.from",
            );
        }
        let from = if origins.is_empty() { list.clone() } else { origins };
        let place = format.map(|company| {
            let here = company.is_some_and(|company| company.has_place_for(name));
            (company.is_some_and(|company| company.reserves(name)), here)
        });
        if let Some(attribute) = custom(table, name, from, place) {
            attributes.custom.insert(name.clone(), attribute);
        }
        table.done();
    }
    attributes
}

/// `place`: whether the name is reserved and whether there is a place for it, where the profile has a JWT at all.
fn custom(table: &Table<'_>, name: &str, from: Vec<Origin>, place: Option<(bool, bool)>) -> Option<Attribute> {
    match place {
        Some((true, _)) => {
            table.problem("type", "is of a name that the profile or RFC 7519 reserves", "choose another name");
        }
        Some((_, false)) => table.problem("type", "is of an attribute that the profile has no place for", "remove it"),
        Some((false, true)) | None => {}
    }
    if name.len() > limits::ATTRIBUTE_NAME_BYTES || name.chars().any(char::is_control) {
        let right = format!("at most {} bytes, no control characters", limits::ATTRIBUTE_NAME_BYTES);
        table.problem("type", "is of an attribute whose name cannot be used", &right);
    }
    if !table.has("type") {
        let names = Kind::ALL.map(|(name, _)| name).join(", ");
        table.problem("type", "is missing", &format!("must be one of {names}"));
    }
    let kind = table.word("type", &Kind::ALL);
    let secure = table.boolean("secure").unwrap_or(true);
    let rule = Rule { secure, required: table.flag("required"), from };
    Some(Attribute { kind: kind?, rule })
}

/// Where the value comes from, and how sources call it.
fn origins(table: &Table<'_>, name: &str, sources: &BTreeMap<String, Checked>) -> (Vec<Origin>, Option<Shape>) {
    let shape = Shape {
        rename: table.text("rename"),
        pick: table.text("pick").and_then(|text| {
            let path = Path::parse(&text);
            if path.is_none() {
                table.problem("pick", "is not a path that can be read", Path::RIGHT);
            }
            path
        }),
        needs: table.texts("needs"),
        ..Shape::default()
    };
    let computed = table.has("value");
    let from = if computed && !table.has("from") { Vec::new() } else { from(table, &shape, name, sources) };
    if computed {
        for key in ["from", "rename", "pick"].into_iter().filter(|key| table.has(key)) {
            table.problem(key, "is of an attribute that is computed", "remove it, or remove value");
        }
    }
    let written = ["rename", "pick", "needs", "default", "value"].into_iter().any(|key| table.has(key));
    (from, written.then_some(shape))
}

/// What the value is computed by, what it is where nobody has it, and that what it waits for exists.
fn values(table: &Table<'_>, name: &str, attributes: &mut Attributes) {
    let kinds = kinds(attributes);
    let Some(kind) = kinds.get(name).copied() else {
        table.text("value");
        table.foreign_value("default");
        return;
    };
    let Some(mut shape) = attributes.shapes.remove(name) else { return };
    let known = || format!("known: {}", kinds.keys().cloned().collect::<Vec<_>>().join(", "));
    if shape.needs.iter().any(|needed| !kinds.contains_key(needed)) {
        table.problem("needs", "names what is not declared", &known());
    }
    if let Some(text) = table.text("value") {
        let names = kinds.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        match Expression::parse(&text, &names, kind) {
            Ok(expression) => shape.value = Some(expression),
            Err(wrong) => table.problem("value", &wrong, "docs/sources.md has the language"),
        }
    }
    if let Some(default) = table.foreign_value("default") {
        let takes = Field::named(name).is_none_or(|field| Field::TEXTS.contains(&field));
        if !takes {
            table.problem("default", "is of a field that has none", "remove it");
        } else if !kind.fits(&default) || Attributes::breach(name, &default).is_some() || is_empty_field(name, &default)
        {
            table.problem("default", "is not of the attribute's type, or over a limit", &format!("a {}", kind.name()));
        }
        shape.default = Some(default);
    }
    attributes.shapes.insert(name.to_owned(), shape);
}

/// An attribute may be empty text; a field that is empty is not there.
fn is_empty_field(name: &str, value: &serde_json::Value) -> bool {
    Field::named(name).is_some() && value.as_str().is_some_and(str::is_empty)
}

/// Every name of a user's attributes and fields, with its type.
fn kinds(attributes: &Attributes) -> BTreeMap<String, Kind> {
    let fields = Field::ALL.into_iter().map(|field| (field.name().to_owned(), kind_of(field)));
    fields.chain(attributes.custom.iter().map(|(name, attribute)| (name.clone(), attribute.kind))).collect()
}

const fn kind_of(field: Field) -> Kind {
    match field {
        Field::CreatedAt => Kind::Date,
        Field::Companies => Kind::List,
        Field::UserId | Field::Email | Field::Name | Field::ProfilePicture | Field::Locale => Kind::String,
    }
}

/// A neutral field has the type it has; writing it is allowed.
fn field_type(table: &Table<'_>, field: Field) {
    let kind = kind_of(field);
    if table.has("type") && table.word("type", &Kind::ALL).is_some_and(|written| written != kind) {
        table.problem("type", "is not the type of this field", &format!("must be {}, or absent", kind.name()));
    }
}

fn from(table: &Table<'_>, shape: &Shape, name: &str, sources: &BTreeMap<String, Checked>) -> Vec<Origin> {
    let origins: Vec<Origin> = table.texts("from").into_iter().map(origin).collect();
    let mut seen = Vec::new();
    for origin in &origins {
        if seen.contains(&origin) {
            table.problem("from", "names an origin twice", "name each once");
        }
        seen.push(origin);
        let Origin::Source(source) = origin else { continue };
        match sources.get(source) {
            None => {
                let known: Vec<&str> = std::iter::once("caller").chain(sources.keys().map(String::as_str)).collect();
                table.problem("from", "names a source that does not exist", &format!("known: {}", known.join(", ")));
            }
            Some(known) if !known.sets.iter().any(|claim| claim == shape.sources_name(name)) => {
                table.problem("from", "names a source that does not set it", "add it to `sets` of the source");
            }
            Some(_) => {}
        }
    }
    if table.has("from") && origins.is_empty() {
        table.problem("from", "is empty", "name at least one origin, such as \"caller\"");
    }
    if origins.is_empty() { vec![Origin::Caller] } else { origins }
}

fn origin(name: String) -> Origin {
    if name == Origin::Caller.name() { Origin::Caller } else { Origin::Source(name) }
}

/// Whether the failure of a source can leave the claim out, by itself or by what it is computed of.
fn may_be_left_out<'a>(
    name: &'a str,
    attributes: &'a Attributes,
    sources: &BTreeMap<String, Checked>,
    seen: &mut BTreeSet<&'a str>,
) -> bool {
    let rule = attributes.rules().find(|(claim, _)| *claim == name).map(|(_, rule)| rule);
    let omits = rule.is_some_and(|rule| rule.from.iter().any(|origin| omits(origin, sources)));
    let mut reads = attributes.shape(name).value.iter().flat_map(Expression::names);
    omits || reads.any(|read| seen.insert(read) && may_be_left_out(read, attributes, sources, seen))
}

fn omits(origin: &Origin, sources: &BTreeMap<String, Checked>) -> bool {
    match origin {
        Origin::Caller => false,
        Origin::Source(name) => sources.get(name).is_some_and(Checked::omits),
    }
}

/// What would be right for a claim that must be there.
const OMIT_RIGHT: &str = "use \"refuse\" or \"stale\" there";

/// A claim that must be there cannot come from a source that may be left out.
fn check_required(table: &Table<'_>, rule: &Rule, sources: &BTreeMap<String, Checked>) {
    if rule.required && rule.from.iter().any(|origin| omits(origin, sources)) {
        table.problem("required", "is a claim of a source with on_error = \"omit\"", OMIT_RIGHT);
    }
}

fn too_many(application: &Table<'_>, key: &str, count: usize) {
    if count > limits::ATTRIBUTES {
        let wrong = format!("declares over {} attributes", limits::ATTRIBUTES);
        application.problem(key, &wrong, "declare fewer");
    }
}
