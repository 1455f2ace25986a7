//! Type libraries written here and read back, damaged ones, and arbitrary bytes.

use super::*;
use proptest::prelude::*;

/// Writes type libraries.
pub(crate) mod writing {
    use super::*;

    /// The bytes of a type library with those interfaces; each may have those before it as parent.
    pub(crate) fn library(interfaces: &[(&str, Interface)]) -> Vec<u8> {
        let mut pool = Pool { bytes: Vec::new() };
        let mut entries: Vec<u8> = Vec::new();
        let number = |name: &str| interfaces.iter().position(|(own, _)| *own == name).unwrap() as u16 + 1;
        for (name, interface) in interfaces {
            let name = pool.add(&[name.as_bytes(), b"\0"].concat());
            let parent = interface.parent.as_deref().map_or(0, number);
            let mut described = parent.to_be_bytes().to_vec();
            described.extend((interface.methods.len() as u16).to_be_bytes());
            for method in &interface.methods {
                method_bytes(method, &mut pool, &mut described, &number);
            }
            described.extend((interface.constants.len() as u16).to_be_bytes());
            for (name, value) in &interface.constants {
                described.extend(pool.add(&[name.as_bytes(), b"\0"].concat()).to_be_bytes());
                described.push(6);
                described.extend(value.to_be_bytes());
            }
            described.push(0);
            let described = pool.add(&described);
            entries.extend(interface.id.first.to_be_bytes());
            entries.extend(interface.id.second.to_be_bytes());
            entries.extend(interface.id.third.to_be_bytes());
            entries.extend(interface.id.rest);
            entries.extend(name.to_be_bytes());
            entries.extend(0_u32.to_be_bytes());
            entries.extend(described.to_be_bytes());
        }
        let mut file = b"XPCOM\nTypeLib\r\n\x1a\x01\x02".to_vec();
        file.extend((interfaces.len() as u16).to_be_bytes());
        let directory = 33_u32;
        let pool_at = directory - 1 + entries.len() as u32;
        file.extend((pool_at + pool.bytes.len() as u32).to_be_bytes());
        file.extend(directory.to_be_bytes());
        file.extend(pool_at.to_be_bytes());
        file.resize(32, 0);
        file.extend(entries);
        file.extend(pool.bytes);
        file
    }

    struct Pool {
        bytes: Vec<u8>,
    }

    impl Pool {
        /// Adds bytes; gives their offset, counted from one.
        fn add(&mut self, bytes: &[u8]) -> u32 {
            let at = self.bytes.len() as u32 + 1;
            self.bytes.extend(bytes);
            at
        }
    }

    fn method_bytes(method: &Method, pool: &mut Pool, to: &mut Vec<u8>, number: &impl Fn(&str) -> u16) {
        let (flags, name) = match method.name.split_at_checked(4) {
            Some(("get_", name)) => (0x80, name),
            Some(("set_", name)) => (0x40, name),
            _ => (0, method.name.as_str()),
        };
        to.push(flags);
        to.extend(pool.add(&[name.as_bytes(), b"\0"].concat()).to_be_bytes());
        to.push(method.parameters.len() as u8);
        for parameter in &method.parameters {
            to.push(match parameter.direction {
                Direction::In => 0x80,
                Direction::Out => 0x40,
            });
            kind_bytes(&parameter.kind, to, number);
        }
        // The result: a 32-bit number.
        to.extend([0, 6]);
    }

    fn kind_bytes(kind: &Kind, to: &mut Vec<u8>, number: &impl Fn(&str) -> u16) {
        match kind {
            Kind::I32 => to.push(2),
            Kind::I64 => to.push(3),
            Kind::U8 => to.push(4),
            Kind::U16 => to.push(5),
            Kind::U32 => to.push(6),
            Kind::Bool => to.push(10),
            Kind::Text => to.push(0x80 | 17),
            Kind::Other(tag) => to.push(*tag),
            Kind::Object(name) => {
                to.push(18);
                to.extend(number(name).to_be_bytes());
            }
            Kind::Array { of, length } => {
                to.extend([20, *length, *length]);
                kind_bytes(of, to, number);
            }
        }
    }

    pub(crate) fn interface(parent: Option<&str>, methods: Vec<Method>) -> Interface {
        let id = InterfaceId { first: 1, second: 2, third: 3, rest: [4; 8] };
        Interface { id, parent: parent.map(str::to_owned), methods, constants: Vec::new() }
    }

    pub(crate) fn method(name: &str, parameters: &[(Direction, Kind)]) -> Method {
        let parameters = parameters
            .iter()
            .map(|(direction, kind)| Parameter { direction: *direction, kind: kind.clone() });
        Method { name: name.to_owned(), parameters: parameters.collect() }
    }
}

use writing::{interface, library, method};

fn example() -> Vec<u8> {
    let mut state = interface(None, Vec::new());
    state.constants = vec![("Running".to_owned(), 6), ("Paused".to_owned(), 7)];
    library(&[
        ("nsISupports", interface(None, Vec::new())),
        ("IEvent", interface(Some("nsISupports"), vec![method("get_type", &[(Direction::Out, Kind::U32)])])),
        (
            "IMachineEvent",
            interface(Some("IEvent"), vec![method("get_machineId", &[(Direction::Out, Kind::Text)])]),
        ),
        ("State", state),
    ])
}

#[test]
fn methods_are_counted_from_the_root_on_inherited_ones_first() {
    let read = TypeLibrary::parse(&example()).unwrap();
    assert_eq!(read.method("IEvent", "get_type").unwrap().0, 3);
    let (slot, method) = read.method("IMachineEvent", "get_machineId").unwrap();
    assert_eq!((slot, &method.parameters[0].kind), (4, &Kind::Text));
    assert!(read.extends("IMachineEvent", "IEvent") && !read.extends("IEvent", "IMachineEvent"));
    assert_eq!(read.method("IMachineEvent", "get_type"), None, "only its own are found");
}

#[test]
fn a_slot_is_not_guessed_where_an_ancestor_is_unknown() {
    let orphan = library(&[
        ("Unknown", interface(None, Vec::new())),
        ("IOrphan", interface(Some("Unknown"), vec![method("go", &[])])),
    ]);
    assert_eq!(TypeLibrary::parse(&orphan).unwrap().method("IOrphan", "go"), None);
}

#[test]
fn interfaces_that_extend_each_other_in_a_circle_have_no_slots() {
    let circle = library(&[
        ("IOne", interface(Some("ITwo"), vec![method("go", &[])])),
        ("ITwo", interface(Some("IOne"), vec![method("come", &[])])),
    ]);
    assert_eq!(TypeLibrary::parse(&circle).unwrap().method("IOne", "go"), None);
}

#[test]
fn constants_and_ids_are_read() {
    let read = TypeLibrary::parse(&example()).unwrap();
    assert_eq!(read.constant("State", "Paused"), Some(7));
    assert_eq!(read.constant("State", "Flying"), None);
    let id = read.interface("IEvent").unwrap().id;
    assert_eq!(id.to_string(), "00000001-0002-0003-0404-040404040404");
}

#[test]
fn what_is_no_type_library_is_told() {
    assert_eq!(TypeLibrary::parse(b"\x7fELF"), Err(TypeLibraryError::Foreign));
    let mut other = example();
    other[16] = 2;
    assert_eq!(TypeLibrary::parse(&other), Err(TypeLibraryError::Version { major: 2, minor: 2 }));
}

#[test]
fn a_small_file_cannot_describe_more_than_there_can_be() {
    // All entries of the directory point to one description with many methods.
    let methods = (0..2000).map(|_| method("m", &vec![(Direction::In, Kind::U32); 8])).collect();
    let mut file = library(&[("IBig", interface(None, methods))]);
    let entry = file[32..60].to_vec();
    let pool_at = u32::from_be_bytes(file[28..32].try_into().unwrap());
    let copies = 200_usize;
    file.splice(60..60, entry.repeat(copies - 1));
    file[18..20].copy_from_slice(&(copies as u16).to_be_bytes());
    file[28..32].copy_from_slice(&(pool_at + 28 * (copies as u32 - 1)).to_be_bytes());
    assert!(matches!(TypeLibrary::parse(&file), Err(TypeLibraryError::TooMany { .. })));
}

fn kinds() -> impl Strategy<Value = Kind> {
    let plain = prop_oneof![
        Just(Kind::Bool),
        Just(Kind::I32),
        Just(Kind::I64),
        Just(Kind::U8),
        Just(Kind::U16),
        Just(Kind::U32),
        Just(Kind::Text),
        Just(Kind::Object("nsISupports".to_owned())),
    ];
    prop_oneof![
        plain.clone(),
        (plain, any::<u8>()).prop_map(|(of, length)| Kind::Array { of: Box::new(of), length })
    ]
}

fn methods() -> impl Strategy<Value = Vec<Method>> {
    let direction = prop_oneof![Just(Direction::In), Just(Direction::Out)];
    let parameters = proptest::collection::vec((direction, kinds()), 0..6);
    let one = ("[a-z]{1,8}", parameters).prop_map(|(name, parameters)| method(&name, &parameters));
    proptest::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(methods in methods()) {
        let file = library(&[
            ("nsISupports", interface(None, Vec::new())),
            ("IAny", interface(Some("nsISupports"), methods.clone())),
        ]);
        let read = TypeLibrary::parse(&file).unwrap();
        prop_assert_eq!(&read.interface("IAny").unwrap().methods, &methods);
    }

    #[test]
    fn a_damaged_file_is_an_error_or_something_else_never_a_panic(
        at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<proptest::sample::Index>(),
    ) {
        let mut file = example();
        let at = at.index(file.len());
        file[at] = byte;
        if let Ok(read) = TypeLibrary::parse(&file) {
            for name in read.names() {
                let _ = read.method(name, "get_type");
            }
        }
        file.truncate(cut.index(file.len()));
        let _ = TypeLibrary::parse(&file);
    }

    #[test]
    fn arbitrary_bytes_after_the_header_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut file = b"XPCOM\nTypeLib\r\n\x1a\x01\x02".to_vec();
        file.extend(bytes);
        let _ = TypeLibrary::parse(&file);
    }
}
