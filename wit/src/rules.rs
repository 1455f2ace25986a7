//! The rules by which `word.wit` may grow, insisted upon.

use std::collections::BTreeSet;
use std::path::Path;

use wit_parser::{Docs, Interface, Resolve, Type, TypeDef, TypeDefKind};

/// Types that can never get another field or case, because that breaks every component built before.
/// Each has a reason why it will not have to.
const FROZEN: [(&str, &str); 6] = [
    ("message", "headers are its open end"),
    ("description", "what a later one wants comes as a new, optional exported interface"),
    ("program", "options are its open end"),
    ("output", "what the system tells of any process; more is for jobs.usage"),
    ("refusal", "not allowed, not sensible, went wrong: who could act on a fourth kind?"),
    ("role", "a bus has two ends"),
];

fn contract() -> Resolve {
    let mut wit = Resolve::default();
    wit.push_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("word.wit")).unwrap();
    wit
}

fn name(interface: &Interface) -> &str {
    interface.name.as_deref().unwrap()
}

/// The type behind `use` and other aliases.
fn resolved<'a>(wit: &'a Resolve, ty: &Type) -> Option<&'a TypeDef> {
    let Type::Id(id) = ty else { return None };
    let def = &wit.types[*id];
    match &def.kind {
        TypeDefKind::Type(inner) => resolved(wit, inner).or(Some(def)),
        _ => Some(def),
    }
}

#[test]
fn whatever_does_something_can_refuse() {
    let wit = contract();
    for (_, interface) in wit.interfaces.iter().filter(|(_, i)| !["log", "about"].contains(&name(i))) {
        for function in interface.functions.values().filter(|f| f.name != "describe") {
            let result = function.result.and_then(|ty| resolved(&wit, &ty));
            let Some(TypeDefKind::Result(result)) = result.map(|def| &def.kind) else {
                panic!("{}.{} cannot refuse", name(interface), function.name);
            };
            let refusal = result.err.and_then(|ty| resolved(&wit, &ty)).and_then(|def| def.name.clone());
            assert_eq!(refusal.as_deref(), Some("refusal"), "{}.{}", name(interface), function.name);
        }
    }
}

#[test]
fn what_must_grow_is_no_record_and_no_enum() {
    let closed = |kind: &TypeDefKind| {
        use TypeDefKind::{Enum, Flags, Record, Variant};
        matches!(kind, Enum(_) | Flags(_) | Record(_) | Variant(_))
    };
    let wit = contract();
    let found: BTreeSet<_> = wit
        .types
        .iter()
        .filter(|(_, def)| closed(&def.kind))
        .filter_map(|(_, def)| def.name.clone())
        .collect();
    let frozen = FROZEN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, frozen, "a new one needs a reason in FROZEN; better a string, headers or JSON");
}

#[test]
fn functions_are_plain_so_that_every_language_can_build_them() {
    let wit = contract();
    for (_, def) in &wit.types {
        use TypeDefKind::{Future, Handle, Resource, Stream};
        assert!(!matches!(def.kind, Future(_) | Handle(_) | Resource | Stream(_)), "{:?}", def.name);
    }
    for (_, interface) in &wit.interfaces {
        for function in interface.functions.values() {
            assert!(!function.kind.is_async(), "{}.{} is async", name(interface), function.name);
        }
    }
}

#[test]
fn everything_is_documented() {
    let wit = contract();
    let mut bare = Vec::new();
    let mut check = |what: String, docs: &Docs| {
        if docs.contents.as_deref().is_none_or(|text| text.trim().len() < 10) {
            bare.push(what);
        }
    };
    check("the package".into(), &wit.packages.iter().next().unwrap().1.docs);
    for (_, world) in &wit.worlds {
        check(world.name.clone(), &world.docs);
    }
    for (_, interface) in &wit.interfaces {
        check(name(interface).to_owned(), &interface.docs);
        for function in interface.functions.values() {
            check(format!("{}.{}", name(interface), function.name), &function.docs);
        }
    }
    for (_, def) in wit.types.iter().filter(|(_, def)| !is_use(def)) {
        let Some(of) = &def.name else { continue };
        check(of.clone(), &def.docs);
        for (member, docs) in members(def) {
            check(format!("{of}.{member}"), docs);
        }
    }
    assert!(bare.is_empty(), "without a word of explanation: {bare:?}");
}

/// Whether the type is only another's name, brought in by `use`.
fn is_use(def: &TypeDef) -> bool {
    matches!(def.kind, TypeDefKind::Type(Type::Id(_)))
}

/// The fields or cases of a type.
fn members(def: &TypeDef) -> Vec<(&str, &Docs)> {
    match &def.kind {
        TypeDefKind::Enum(it) => it.cases.iter().map(|case| (case.name.as_str(), &case.docs)).collect(),
        TypeDefKind::Record(it) => it.fields.iter().map(|field| (field.name.as_str(), &field.docs)).collect(),
        TypeDefKind::Variant(it) => it.cases.iter().map(|case| (case.name.as_str(), &case.docs)).collect(),
        _ => Vec::new(),
    }
}
