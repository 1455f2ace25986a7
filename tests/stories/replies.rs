//! What comes after all other stories: that they have seen everything of the API.

use vocable_tests::replies::unseen;

/// Declared members that need not be seen, and why. One that ends in `.` stands for all that begin like it.
const EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
#[ignore = "cargo xtask test asks for it when all stories were told"]
fn every_declared_member_was_seen() {
    let is_exempt = |member: &String| {
        EXCEPTIONS.iter().any(|(name, _)| member == name || name.ends_with('.') && member.starts_with(name))
    };
    let missing: Vec<_> = unseen().into_iter().filter(|member| !is_exempt(member)).collect();
    assert!(missing.is_empty(), "declared, and seen in no story:\n{}", missing.join("\n"));
}
