//! What VirtualBox says of its own interfaces: the type libraries that it installs beside its programs.
//!
//! Owns the file format (Mozilla's XPCOM type library 1.x, big-endian) and the questions asked of it: the id of an
//! interface, the slot of a method, the types of its parameters, the value of a constant. Does no I/O and knows no
//! interface by name. A file that is damaged, or made to hurt, is an error and nothing else.

mod parse;
mod reader;

use std::collections::HashMap;

/// Methods of the root of all interfaces, which every other one begins with: QueryInterface, AddRef, Release.
const ROOT_METHODS: usize = 3;

/// How many ancestors an interface may have; the deepest of VirtualBox has six.
const DEEPEST: usize = 16;

/// The id of an interface as it is laid out in memory on a little-endian machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct InterfaceId {
    /// The first eight hexadecimal digits.
    pub first: u32,
    /// The next four.
    pub second: u16,
    /// The next four.
    pub third: u16,
    /// The last sixteen.
    pub rest: [u8; 8],
}

impl std::fmt::Display for InterfaceId {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, node @ ..] = self.rest;
        write!(to, "{:08x}-{:04x}-{:04x}-{a:02x}{b:02x}-", self.first, self.second, self.third)?;
        node.iter().try_for_each(|byte| write!(to, "{byte:02x}"))
    }
}

/// The type of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A truth value, four bytes wide.
    Bool,
    /// A signed 32-bit number.
    I32,
    /// A signed 64-bit number.
    I64,
    /// A byte.
    U8,
    /// An unsigned 16-bit number.
    U16,
    /// An unsigned 32-bit number; enumerations too.
    U32,
    /// A pointer to UTF-16 that ends with a zero.
    Text,
    /// A pointer to an object with the interface of that name.
    Object(String),
    /// A pointer to elements, as many as the parameter of that number says.
    Array {
        /// The type of each element.
        of: Box<Self>,
        /// The number of the parameter that holds the length, counted from zero.
        length: u8,
    },
    /// A type that nothing here is made for: its tag in the file.
    Other(u8),
}

/// Which way a parameter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the method.
    In,
    /// From the method, through a pointer.
    Out,
}

/// A parameter of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Which way it goes.
    pub direction: Direction,
    /// What it is.
    pub kind: Kind,
}

/// A method of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its name; an attribute's methods begin with `get_` and `set_`.
    pub name: String,
    /// Its parameters, in order. What it returns is always a result code.
    pub parameters: Vec<Parameter>,
}

/// An interface, or an enumeration (which has constants and no methods).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its id.
    pub id: InterfaceId,
    /// The name of the interface that it extends.
    pub parent: Option<String>,
    /// Its own methods, in the order of their slots.
    pub methods: Vec<Method>,
    /// Its constants.
    pub constants: Vec<(String, u32)>,
}

/// All that is known of the interfaces, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeLibrary {
    interfaces: HashMap<String, Interface>,
}

/// Why a type library cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum TypeLibraryError {
    /// It does not begin as a type library does.
    #[error("it is not a type library")]
    Foreign,
    /// It is of a version that this program does not know.
    #[error("its version is {major}.{minor}, not 1.x")]
    Version { major: u8, minor: u8 },
    /// It ends too early, or points beyond its end.
    #[error("it ends where offset {at} is needed")]
    Truncated { at: usize },
    /// Something in it cannot be.
    #[error("offset {at}: {what}")]
    Invalid { at: usize, what: &'static str },
    /// More than a real one has.
    #[error("it has more than {most} {what}")]
    TooMany { what: &'static str, most: usize },
}

impl TypeLibrary {
    /// Reads the bytes of an `.xpt` file.
    pub fn parse(bytes: &[u8]) -> Result<Self, TypeLibraryError> {
        parse::library(bytes)
    }

    /// Adds the interfaces of another one; those that are here stay as they are.
    pub fn merge(&mut self, other: Self) {
        for (name, interface) in other.interfaces {
            self.interfaces.entry(name).or_insert(interface);
        }
    }

    /// The interface of that name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.get(name)
    }

    /// The names of all interfaces, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.interfaces.keys().map(String::as_str)
    }

    /// The method of that name, of the interface itself, and its slot in the table of an object: inherited methods
    /// come first.
    pub fn method(&self, interface: &str, method: &str) -> Option<(usize, &Method)> {
        let found = self.interface(interface)?;
        let index = found.methods.iter().position(|candidate| candidate.name == method)?;
        let inherited = found.parent.as_deref().map_or(Some(0), |parent| self.methods_up_to(parent))?;
        Some((inherited + index, found.methods.get(index)?))
    }

    /// Whether an object of the one interface is also one of the other.
    pub fn extends(&self, interface: &str, ancestor: &str) -> bool {
        self.lineage(interface).any(|name| name == ancestor)
    }

    /// The value of a constant of an enumeration.
    pub fn constant(&self, enumeration: &str, name: &str) -> Option<u32> {
        let constants = &self.interface(enumeration)?.constants;
        constants.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| *value)
    }

    /// How many slots an object of that interface has; nothing if one of its ancestors is unknown.
    fn methods_up_to(&self, interface: &str) -> Option<usize> {
        let lineage: Vec<_> = self.lineage(interface).collect();
        if lineage.last() != Some(&ROOT) {
            return None;
        }
        let own = lineage.iter().filter(|name| **name != ROOT);
        let counts = own.map(|name| self.interface(name).map(|interface| interface.methods.len()));
        counts.sum::<Option<usize>>().map(|inherited| inherited + ROOT_METHODS)
    }

    /// The interface and its ancestors.
    fn lineage<'a>(&'a self, interface: &'a str) -> impl Iterator<Item = &'a str> {
        let parent = |name: &&'a str| self.interface(name)?.parent.as_deref();
        std::iter::successors(Some(interface), parent).take(DEEPEST)
    }
}

/// The interface that all others extend.
const ROOT: &str = "nsISupports";

#[cfg(test)]
pub(crate) mod tests;
