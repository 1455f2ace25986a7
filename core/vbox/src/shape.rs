//! What this program expects of VirtualBox's methods, and the check of it against the installed type library.
//!
//! A [`Call`] names a method and the types of its parameters. [`resolve`] looks every one up when the library is
//! opened and gives its slot; a method that is missing or has another shape is refused by name, before anything is
//! called. Nothing here calls anything.

use crate::error::Error;
use crate::typelib::{Direction, InterfaceId, Kind, Method, TypeLibrary};
use std::collections::HashMap;

/// The type of a parameter as this program sees it: an array is one, where the method has its length and its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Bools,
    Bytes,
    I32,
    I32s,
    I64,
    Object(&'static str),
    Objects(&'static str),
    Text,
    Texts,
    U16,
    U32,
    U32s,
}

/// Whether this program can do without a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Without it nothing is opened.
    Required,
    /// Without it, or with another shape, only what needs it is refused.
    Optional,
}

/// A method, as it is called here: what it takes, then what it gives.
#[derive(Debug)]
pub(crate) struct Call {
    /// Its name in this program: there may be several shapes of one method.
    pub(crate) key: &'static str,
    pub(crate) interface: &'static str,
    pub(crate) method: &'static str,
    /// Interface and method, for messages.
    pub(crate) name: &'static str,
    pub(crate) takes: &'static [Type],
    pub(crate) gives: &'static [Type],
    pub(crate) need: Need,
}

/// What was found of the calls: where each is, or why it cannot be used.
pub(crate) struct Resolved {
    slots: HashMap<&'static str, Result<usize, String>>,
    ids: HashMap<&'static str, InterfaceId>,
}

impl Resolved {
    /// The slot of a call.
    pub(crate) fn slot(&self, call: &'static Call) -> Result<usize, Error> {
        match self.slots.get(call.key) {
            Some(Ok(slot)) => Ok(*slot),
            Some(Err(found)) => Err(differs(call, found.clone())),
            None => Err(differs(call, "not looked up".to_owned())),
        }
    }

    /// The id of an interface that is asked for by name.
    pub(crate) fn id(&self, interface: &'static str) -> Option<InterfaceId> {
        self.ids.get(interface).copied()
    }

    /// Whether this VirtualBox has that call in that shape.
    pub(crate) fn has(&self, call: &'static Call) -> bool {
        matches!(self.slots.get(call.key), Some(Ok(_)))
    }
}

/// Looks up everything that this program uses, and refuses by name what differs.
pub(crate) fn resolve(
    library: &TypeLibrary,
    calls: &[&'static Call],
    asked_for: &[&'static str],
    constants: &[(&'static str, &'static str, u32)],
) -> Result<Resolved, Error> {
    let mut slots = HashMap::new();
    for call in calls {
        let found = find(library, call);
        if let (Need::Required, Err(found)) = (call.need, &found) {
            return Err(differs(call, found.clone()));
        }
        slots.insert(call.key, found);
    }
    for (enumeration, name, expected) in constants {
        let found = library.constant(enumeration, name);
        if found != Some(*expected) {
            let found = found.map_or_else(|| "missing".to_owned(), |found| format!("{name} = {found}"));
            return Err(Error::Differs {
                what: enumeration,
                expected: format!("{name} = {expected}"),
                found,
            });
        }
    }
    let mut ids = HashMap::new();
    for name in asked_for {
        let missing = || Error::Differs {
            what: name,
            expected: "an interface".to_owned(),
            found: "missing".to_owned(),
        };
        ids.insert(*name, library.interface(name).ok_or_else(missing)?.id);
    }
    Ok(Resolved { slots, ids })
}

fn differs(call: &'static Call, found: String) -> Error {
    let expected = format!("({}) -> ({})", list(call.takes), list(call.gives));
    Error::Differs { what: call.name, expected, found }
}

fn list(types: &[Type]) -> String {
    types.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(", ")
}

/// The slot of a call, or what is there instead.
fn find(library: &TypeLibrary, call: &Call) -> Result<usize, String> {
    let (slot, method) = library.method(call.interface, call.method).ok_or_else(|| "missing".to_owned())?;
    match has_shape(method, call) {
        true => Ok(slot),
        false => Err(shown(method)),
    }
}

/// Whether a method's parameters are those of the call, in their order.
fn has_shape(method: &Method, call: &Call) -> bool {
    let takes = call.takes.iter().map(|one| (Direction::In, *one));
    let gives = call.gives.iter().map(|one| (Direction::Out, *one));
    let mut at = 0;
    let all = takes.chain(gives).all(|(direction, expected)| {
        let used = consumes(method, at, direction, expected);
        at += used.unwrap_or_default();
        used.is_some()
    });
    all && at == method.parameters.len()
}

/// How many of the method's parameters, from that one on, are the expected type; nothing if they are not.
fn consumes(method: &Method, at: usize, direction: Direction, expected: Type) -> Option<usize> {
    let kind_at = |at: usize| {
        let parameter = method.parameters.get(at)?;
        (parameter.direction == direction).then_some(&parameter.kind)
    };
    let Some(element) = element(expected) else {
        return matches(kind_at(at)?, expected).then_some(1);
    };
    match (kind_at(at)?, kind_at(at + 1)?) {
        (Kind::U32, Kind::Array { of, length }) if usize::from(*length) == at && matches(of, element) => {
            Some(2)
        }
        _ => None,
    }
}

/// The type of an array's elements.
fn element(of: Type) -> Option<Type> {
    Some(match of {
        Type::Bools => Type::Bool,
        Type::I32s => Type::I32,
        Type::Objects(interface) => Type::Object(interface),
        Type::Texts => Type::Text,
        Type::U32s => Type::U32,
        // Nothing takes a byte alone.
        Type::Bytes => Type::Bytes,
        _ => return None,
    })
}

fn matches(kind: &Kind, expected: Type) -> bool {
    match (kind, expected) {
        (Kind::Bool, Type::Bool)
        | (Kind::I32, Type::I32)
        | (Kind::I64, Type::I64)
        | (Kind::U16, Type::U16)
        | (Kind::U32, Type::U32)
        | (Kind::U8, Type::Bytes)
        | (Kind::Text, Type::Text) => true,
        (Kind::Object(name), Type::Object(interface)) => name == interface,
        _ => false,
    }
}

/// A method's parameters, as messages show them.
fn shown(method: &Method) -> String {
    let parameters = method.parameters.iter().map(|parameter| match parameter.direction {
        Direction::In => format!("{:?}", parameter.kind),
        Direction::Out => format!("out {:?}", parameter.kind),
    });
    format!("({})", parameters.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;
