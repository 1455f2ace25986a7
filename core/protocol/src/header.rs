//! Headers that the agents write on their messages themselves. Those of a word are its own, those of STOMP are in
//! `core/stomp`.

/// An answer is waited for, under this name.
pub const ASKED: &str = "asked";
/// The command that a message is about.
pub const CMD_ID: &str = "cmd-id";
/// From which agent, for people: who sent a message is for the broker to vouch for.
pub const FROM: &str = "from";
/// What the host's clock showed when a message was sent, in milliseconds since 1970.
pub const HOST_TIME: &str = "host-time";
/// This is the answer to what was asked under that name.
pub const IN_REPLY_TO: &str = "in-reply-to";
/// The message.
pub const MESSAGE_ID: &str = "message-id";
/// There is no answer, and this is the kind of reason.
pub const REFUSAL: &str = "refusal";
/// To which agent, for people.
pub const TO: &str = "to";
/// Until when an order is valid by the host's clock, in milliseconds since 1970: a guest that gets it later does nothing.
pub const VALID_UNTIL: &str = "valid-until";
