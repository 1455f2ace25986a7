//! Where callers come in: HTTP, the methods behind it, and connections on which both ends speak. It parses, asks the
//! agent, and writes the answer down.

pub(crate) mod attach;
pub(crate) mod http;
pub(crate) mod rpc;
