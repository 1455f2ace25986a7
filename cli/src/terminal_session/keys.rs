//! What is typed at a terminal that belongs to a command: everything goes to it, but for a prefix key after which
//! the next one is for us. Pure: bytes and the time in, what they mean out.

use std::time::{Duration, Instant};

/// How long the prefix waits for the key after it, before it is passed on.
const PREFIX_TIMEOUT: Duration = Duration::from_secs(1);

/// What `?` shows.
pub(super) const HELP: &str = "\
d  detach, the command goes on
k  kill the command
?  this help
and the prefix again: the prefix itself";

/// The prefix, read from `ctrl-]`, `^]` or `none`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Prefix(Option<u8>);

impl Default for Prefix {
    fn default() -> Self {
        Self(Some(control(b']')))
    }
}

const fn control(key: u8) -> u8 {
    key.to_ascii_uppercase() & 0x1f
}

/// Reads `--detach-keys`.
pub(crate) fn prefix(text: &str) -> Result<Prefix, String> {
    if text == "none" {
        return Ok(Prefix(None));
    }
    let key = text.strip_prefix("ctrl-").or_else(|| text.strip_prefix('^')).unwrap_or_default();
    match key.as_bytes() {
        [key] if matches!(key.to_ascii_uppercase(), b'@'..=b'_') => Ok(Prefix(Some(control(*key)))),
        _ => Err("expected ctrl- and a letter or one of @ [ \\ ] ^ _, or none".to_owned()),
    }
}

/// What was typed means this.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum KeyAction {
    Help,
    Input(Vec<u8>),
    Kill,
    Leave,
}

/// The keyboard.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Prefix,
    pressed: Option<Instant>,
}

impl Keys {
    pub(super) const fn new(prefix: Prefix) -> Self {
        Self { prefix, pressed: None }
    }

    /// These bytes were typed.
    pub(super) fn typed(&mut self, bytes: &[u8], now: Instant) -> Vec<KeyAction> {
        let mut actions = Vec::new();
        let mut input = Vec::new();
        for &byte in bytes {
            let is_prefix = self.prefix.0 == Some(byte);
            match (self.pressed.take(), byte) {
                (None, _) if is_prefix => self.pressed = Some(now),
                (None, byte) => input.push(byte),
                (Some(_), _) if is_prefix => input.push(byte),
                (Some(_), b'd') => {
                    actions.extend([taken(&mut input), Some(KeyAction::Leave)].into_iter().flatten());
                }
                (Some(_), b'k') => {
                    actions.extend([taken(&mut input), Some(KeyAction::Kill)].into_iter().flatten());
                }
                (Some(_), b'?') => {
                    actions.extend([taken(&mut input), Some(KeyAction::Help)].into_iter().flatten());
                }
                (Some(_), byte) => input.extend(self.prefix.0.into_iter().chain([byte])),
            }
        }
        actions.extend(taken(&mut input));
        actions
    }

    /// When the prefix has waited long enough, if it waits.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pressed.map(|pressed| pressed + PREFIX_TIMEOUT)
    }

    /// Nothing came after the prefix: it was meant for the command.
    pub(super) fn expire(&mut self) -> Vec<u8> {
        self.pressed.take().and(self.prefix.0).into_iter().collect()
    }
}

fn taken(input: &mut Vec<u8>) -> Option<KeyAction> {
    (!input.is_empty()).then(|| KeyAction::Input(std::mem::take(input)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn actions(pieces: &[&[u8]]) -> Vec<KeyAction> {
        let mut keys = Keys::new(Prefix::default());
        pieces.iter().flat_map(|piece| keys.typed(piece, Instant::now())).collect()
    }

    fn input(bytes: &[u8]) -> KeyAction {
        KeyAction::Input(bytes.to_vec())
    }

    #[test]
    fn what_is_typed_goes_to_the_command() {
        assert_eq!(
            actions(&[b"ls -l\r", b"\x03\x04\x1b[A\x10\x11"]),
            [input(b"ls -l\r"), input(b"\x03\x04\x1b[A\x10\x11")]
        );
    }

    #[test]
    fn after_the_prefix_a_key_is_for_us_however_the_bytes_come() {
        assert_eq!(actions(&[b"ab\x1dd"]), [input(b"ab"), KeyAction::Leave]);
        assert_eq!(actions(&[b"\x1d", b"k"]), [KeyAction::Kill]);
        assert_eq!(actions(&[b"\x1d?x"]), [KeyAction::Help, input(b"x")]);
        assert_eq!(actions(&[b"\x1d\x1dd"]), [input(b"\x1dd")]);
        assert_eq!(actions(&[b"\x1dz"]), [input(b"\x1dz")]);
    }

    #[test]
    fn a_prefix_alone_is_expire_after_a_second() {
        let mut keys = Keys::new(Prefix::default());
        let now = Instant::now();
        assert!(keys.typed(b"\x1d", now).is_empty());
        assert_eq!(keys.due(), Some(now + PREFIX_TIMEOUT));
        assert_eq!(keys.expire(), b"\x1d");
        assert_eq!((keys.due(), keys.typed(b"d", now)), (None, vec![input(b"d")]));
    }

    #[test]
    fn another_prefix_or_none_can_be_chosen() {
        assert_eq!(prefix("ctrl-a").unwrap(), Prefix(Some(1)));
        assert_eq!(prefix("^]").unwrap(), Prefix::default());
        assert_eq!(prefix("ctrl-\\").unwrap(), Prefix(Some(0x1c)));
        let mut keys = Keys::new(prefix("none").unwrap());
        assert_eq!(keys.typed(b"\x1dd", Instant::now()), [input(b"\x1dd")]);
        for wrong in ["", "a", "ctrl-", "ctrl-ab", "ctrl-1", "^"] {
            assert!(prefix(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn without_the_prefix_nothing_is_changed(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let bytes: Vec<u8> = bytes.into_iter().filter(|byte| *byte != 0x1d).collect();
            let (one, other) = bytes.split_at(cut.min(bytes.len()));
            let passed: Vec<u8> = actions(&[one, other]).into_iter().flat_map(|action| match action {
                KeyAction::Input(bytes) => bytes,
                other => panic!("{other:?}"),
            }).collect();
            prop_assert_eq!(passed, bytes);
        }
    }
}
