//! What an author writes: [`Word`], and the macros that make a component of it. Nothing here talks to
//! the agent.

use serde_json::Value;

use crate::{Description, Message, Refusal};

/// A value, or a refusal in words a person can act on.
pub type Answer<T> = Result<T, Refusal>;

/// Both halves of a word. Only `describe` has to be written.
pub trait Word {
    /// Who am I? See [`described!`](crate::described).
    fn describe() -> Description;

    /// Builds the message that the arguments call for. Unless told otherwise, the arguments are the
    /// message.
    fn say(args: Value) -> Answer<Message> {
        Ok(Message::new().with_json(&args))
    }

    /// Acts on a message; a value goes back to whoever asked. Unless told otherwise, nothing is done
    /// and nothing answered.
    fn listen(message: Message) -> Answer<Option<Value>> {
        let _ = message;
        Ok(None)
    }
}

/// Declares a type and makes it the component's word; the type is to implement [`Word`].
#[macro_export]
macro_rules! word {
    ($name:ident) => {
        struct $name;
        $crate::bindings::export_word!($name with_types_in $crate::bindings);
        impl $crate::bindings::exports::vocable::word::word::Guest for $name {
            fn describe() -> $crate::Description {
                <Self as $crate::Word>::describe()
            }
            fn say(args: String) -> $crate::Answer<$crate::Message> {
                <Self as $crate::Word>::say($crate::from_str(&args)?)
            }
            fn listen(message: $crate::Message) -> $crate::Answer<Option<String>> {
                Ok(<Self as $crate::Word>::listen(message)?.map(|value| value.to_string()))
            }
        }
    };
}

/// A [`Description`] with a name and a line of help, and with the version of the word's crate.
#[macro_export]
macro_rules! described {
    ($name:expr, $summary:expr) => {
        $crate::Description::new($name, $summary, env!("CARGO_PKG_VERSION"))
    };
}
