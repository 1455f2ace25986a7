//! The file: a header, a directory of interfaces, and a pool that the directory points into. Offsets into the pool,
//! and the numbers of interfaces, count from one; zero means none.

use super::reader::Reader;
use super::{Direction, Interface, InterfaceId, Kind, Method, Parameter, TypeLibrary, TypeLibraryError};
use std::collections::HashMap;

const MAGIC: &[u8; 16] = b"XPCOM\nTypeLib\r\n\x1a";

/// Offsets in the header.
const VERSION: usize = 16;

/// Methods, parameters and constants of all interfaces together. VirtualBox has 14,000; descriptions may overlap in
/// the file, so that its size is no limit.
const MOST: usize = 100_000;

const GETTER: u8 = 0x80;
const SETTER: u8 = 0x40;
const TO_METHOD: u8 = 0x80;
const FROM_METHOD: u8 = 0x40;

/// The bits of a type that say what it is; the others say what kind of pointer it is reached through.
const TAG: u8 = 0x1f;

pub(super) fn library(bytes: &[u8]) -> Result<TypeLibrary, TypeLibraryError> {
    if bytes.get(..MAGIC.len()) != Some(MAGIC) {
        return Err(TypeLibraryError::Foreign);
    }
    let mut header = Reader::new(bytes, VERSION);
    let (major, minor) = (header.u8()?, header.u8()?);
    if major != 1 {
        return Err(TypeLibraryError::Version { major, minor });
    }
    let count = header.u16()?;
    let _file_length = header.u32()?;
    let directory = from_one(header.u32()?)
        .ok_or(TypeLibraryError::Invalid { at: header.at(), what: "no directory of interfaces" })?;
    let mut file = File { bytes, pool: header.u32()? as usize, entries: Vec::new(), left: MOST };
    file.read_directory(directory, count)?;
    file.interfaces()
}

/// An offset that counts from one, if it is one.
fn from_one(offset: u32) -> Option<usize> {
    (offset as usize).checked_sub(1)
}

/// A line of the directory.
struct Entry {
    id: InterfaceId,
    name: String,
    /// Where in the file it is described, if it is described in this file.
    described: Option<usize>,
}

struct File<'a> {
    bytes: &'a [u8],
    pool: usize,
    entries: Vec<Entry>,
    /// How many methods, parameters and constants may still come.
    left: usize,
}

impl File<'_> {
    fn read_directory(&mut self, at: usize, count: u16) -> Result<(), TypeLibraryError> {
        let mut reader = Reader::new(self.bytes, at);
        for _ in 0..count {
            let id = InterfaceId {
                first: reader.u32()?,
                second: reader.u16()?,
                third: reader.u16()?,
                rest: reader.take()?,
            };
            let name = self.name(reader.u32()?)?;
            let _name_space = reader.u32()?;
            let described = from_one(reader.u32()?).and_then(|offset| self.pool.checked_add(offset));
            self.entries.push(Entry { id, name, described });
        }
        Ok(())
    }

    fn interfaces(mut self) -> Result<TypeLibrary, TypeLibraryError> {
        let mut interfaces = HashMap::new();
        for index in 0..self.entries.len() {
            let Some(entry) = self.entries.get(index) else { break };
            let Some(at) = entry.described else { continue };
            let (id, name) = (entry.id, entry.name.clone());
            let interface = self.interface(id, at)?;
            interfaces.insert(name, interface);
        }
        Ok(TypeLibrary { interfaces })
    }

    fn interface(&mut self, id: InterfaceId, at: usize) -> Result<Interface, TypeLibraryError> {
        let mut reader = Reader::new(self.bytes, at);
        let parent = match reader.u16()? {
            0 => None,
            number => Some(self.entry_name(number, at)?),
        };
        let mut methods = Vec::new();
        for _ in 0..reader.u16()? {
            self.count()?;
            methods.push(self.method(&mut reader)?);
        }
        let mut constants = Vec::new();
        for _ in 0..reader.u16()? {
            self.count()?;
            constants.extend(self.constant(&mut reader)?);
        }
        Ok(Interface { id, parent, methods, constants })
    }

    fn method(&mut self, reader: &mut Reader<'_>) -> Result<Method, TypeLibraryError> {
        let flags = reader.u8()?;
        let own = self.name(reader.u32()?)?;
        let count = reader.u8()?;
        let mut parameters = Vec::new();
        for _ in 0..count {
            self.count()?;
            parameters.push(self.parameter(reader)?);
        }
        let _result = self.parameter(reader)?;
        let name = match flags & (GETTER | SETTER) {
            GETTER => format!("get_{own}"),
            SETTER => format!("set_{own}"),
            _ => own,
        };
        Ok(Method { name, parameters })
    }

    fn parameter(&self, reader: &mut Reader<'_>) -> Result<Parameter, TypeLibraryError> {
        let at = reader.at();
        let direction = match reader.u8()? & (TO_METHOD | FROM_METHOD) {
            FROM_METHOD => Direction::Out,
            // The result of a method has neither flag.
            TO_METHOD | 0 => Direction::In,
            _ => return Err(TypeLibraryError::Invalid { at, what: "a parameter that goes both ways" }),
        };
        Ok(Parameter { direction, kind: self.kind(reader, true)? })
    }

    fn kind(&self, reader: &mut Reader<'_>, may_be_array: bool) -> Result<Kind, TypeLibraryError> {
        let at = reader.at();
        let tag = reader.u8()? & TAG;
        Ok(match tag {
            2 => Kind::I32,
            3 => Kind::I64,
            4 => Kind::U8,
            5 => Kind::U16,
            6 => Kind::U32,
            10 => Kind::Bool,
            17 => Kind::Text,
            18 => Kind::Object(self.entry_name(reader.u16()?, at)?),
            // An interface that another parameter names.
            19 => skip(reader, 1, tag)?,
            20 if may_be_array => {
                let (length, _) = (reader.u8()?, reader.u8()?);
                Kind::Array { of: Box::new(self.kind(reader, false)?), length }
            }
            20 => return Err(TypeLibraryError::Invalid { at, what: "an array of arrays" }),
            // Texts with a length.
            21 | 22 => skip(reader, 2, tag)?,
            0..=25 => Kind::Other(tag),
            _ => return Err(TypeLibraryError::Invalid { at, what: "an unknown type" }),
        })
    }

    /// A constant, if it is one of an enumeration: those are 32 bits wide.
    fn constant(&self, reader: &mut Reader<'_>) -> Result<Option<(String, u32)>, TypeLibraryError> {
        let name = self.name(reader.u32()?)?;
        let at = reader.at();
        match reader.u8()? & TAG {
            2 | 6 => Ok(Some((name, reader.u32()?))),
            1 | 5 => reader.u16().map(|_| None),
            _ => Err(TypeLibraryError::Invalid { at, what: "a constant of an unknown type" }),
        }
    }

    fn name(&self, offset: u32) -> Result<String, TypeLibraryError> {
        let at = from_one(offset).and_then(|offset| self.pool.checked_add(offset));
        at.map_or_else(|| Ok(String::new()), |at| Reader::new(self.bytes, at).name())
    }

    fn entry_name(&self, number: u16, at: usize) -> Result<String, TypeLibraryError> {
        let index = usize::from(number).checked_sub(1);
        let entry = index.and_then(|index| self.entries.get(index));
        entry
            .map(|entry| entry.name.clone())
            .ok_or(TypeLibraryError::Invalid { at, what: "an interface that is not in the directory" })
    }

    fn count(&mut self) -> Result<(), TypeLibraryError> {
        let too_many = TypeLibraryError::TooMany { what: "methods, parameters and constants", most: MOST };
        self.left = self.left.checked_sub(1).ok_or(too_many)?;
        Ok(())
    }
}

fn skip(reader: &mut Reader<'_>, bytes: usize, tag: u8) -> Result<Kind, TypeLibraryError> {
    for _ in 0..bytes {
        reader.u8()?;
    }
    Ok(Kind::Other(tag))
}
