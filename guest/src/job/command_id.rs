//! What commands are called.

use vocable_protocol::excerpt;

/// Why a text is no id.
#[derive(Debug)]
pub(crate) struct InvalidId(pub(crate) String);

/// The id of a command: 1 to 128 of `A-Z a-z 0-9 . _ -`, and neither `.` nor `..`.
/// That makes it a safe name for a folder.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CommandId(String);

impl CommandId {
    const MAX_LENGTH: usize = 128;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for CommandId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = |reason: String| Err(InvalidId(reason));
        if text.is_empty() || text.len() > Self::MAX_LENGTH {
            return invalid(format!("has {} bytes, 1 to {} are allowed", text.len(), Self::MAX_LENGTH));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return invalid(format!("{} has more than letters, digits, \".\", \"_\", \"-\"", excerpt(text)));
        }
        if text == "." || text == ".." {
            return invalid(format!("{} is reserved", excerpt(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for CommandId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_that_is_accepted_is_one_plain_file_name(text in "\\PC{0,140}|[A-Za-z0-9._-]{0,140}|\\.{0,3}") {
            let id: Result<CommandId, _> = text.parse();
            let plain = (1..=128).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
                && text != "." && text != "..";
            prop_assert_eq!(id.is_ok(), plain);
            if let Ok(id) = id {
                let path = std::path::Path::new("/spool").join(id.as_str());
                prop_assert_eq!(path.components().count(), 3);
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
