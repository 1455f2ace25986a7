//! Methods that are as they are expected, and others.

use super::*;
use crate::typelib::tests::writing::{interface, library, method};
use crate::{calls, values};

static GO: Call = Call {
    key: "GO",
    interface: "IThing",
    method: "go",
    name: "IThing.go",
    takes: &[Type::Text, Type::Texts],
    gives: &[Type::Bool, Type::Objects("IThing")],
    need: Need::Required,
};

static MAYBE: Call = Call { need: Need::Optional, key: "MAYBE", ..GO };

fn text() -> (Direction, Kind) {
    (Direction::In, Kind::Text)
}

/// The parameters of a method as [`GO`] expects them.
fn right() -> Vec<(Direction, Kind)> {
    let array = |of, length| Kind::Array { of: Box::new(of), length };
    vec![
        text(),
        (Direction::In, Kind::U32),
        (Direction::In, array(Kind::Text, 1)),
        (Direction::Out, Kind::Bool),
        (Direction::Out, Kind::U32),
        (Direction::Out, array(Kind::Object("IThing".to_owned()), 4)),
    ]
}

fn with(parameters: &[(Direction, Kind)]) -> TypeLibrary {
    TypeLibrary::parse(&library(&[
        ("nsISupports", interface(None, Vec::new())),
        ("IThing", interface(Some("nsISupports"), vec![method("other", &[]), method("go", parameters)])),
    ]))
    .unwrap()
}

fn refused(parameters: &[(Direction, Kind)]) -> String {
    resolve(&with(parameters), &[&GO], &[], &[]).err().expect("it is refused").to_string()
}

#[test]
fn a_method_that_is_as_expected_is_found_at_its_slot() {
    let resolved = resolve(&with(&right()), &[&GO], &["IThing"], &[]).unwrap();
    assert_eq!(resolved.slot(&GO).unwrap(), 4);
    assert!(resolved.id("IThing").is_some() && resolved.id("IOther").is_none());
}

#[test]
fn a_method_that_differs_is_refused_by_name() {
    let mut changed = right();
    changed[0] = (Direction::In, Kind::U32);
    let error = refused(&changed);
    assert!(error.starts_with("IThing.go differs in this VirtualBox"), "{error}");
    assert!(error.contains("(Text, Texts) -> (Bool, Objects(\"IThing\"))"), "{error}");
}

#[test]
fn one_parameter_more_or_less_or_the_other_way_or_another_length_is_refused() {
    let mut more = right();
    more.push(text());
    let mut less = right();
    less.pop();
    let mut turned = right();
    turned[3].0 = Direction::In;
    let mut length = right();
    length[2].1 = Kind::Array { of: Box::new(Kind::Text), length: 0 };
    let mut object = right();
    object[5].1 = Kind::Array { of: Box::new(Kind::Object("nsISupports".to_owned())), length: 4 };
    for parameters in [more, less, turned, length, object] {
        assert!(refused(&parameters).starts_with("IThing.go differs"));
    }
}

#[test]
fn what_can_be_done_without_is_refused_when_it_is_called() {
    let resolved = resolve(&with(&[]), &[&MAYBE], &[], &[]).unwrap();
    assert!(!resolved.has(&MAYBE));
    let error = resolved.slot(&MAYBE).unwrap_err().to_string();
    assert!(error.starts_with("IThing.go differs"), "{error}");
}

#[test]
fn a_constant_with_another_value_is_refused() {
    let mut state = interface(None, Vec::new());
    state.constants = vec![("Running".to_owned(), 5)];
    let library = TypeLibrary::parse(&library(&[("MachineState", state)])).unwrap();
    let error = resolve(&library, &[], &[], &[("MachineState", "Running", 6)]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "MachineState differs in this VirtualBox: Running = 5, where Running = 6 is expected"
    );
}

#[test]
fn no_two_calls_have_one_key_and_no_constant_is_named_twice() {
    let mut keys: Vec<_> = calls::ALL.iter().map(|call| call.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), calls::ALL.len());
    let mut names: Vec<_> = values::ALL.iter().map(|(enumeration, name, _)| (enumeration, name)).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), values::ALL.len());
}
