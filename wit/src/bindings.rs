//! What wit-bindgen makes of `word.wit`. In a module of its own, because the exporting macro would
//! otherwise be defined twice; nothing here is written by hand.
#![allow(
    missing_docs,
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::use_self,
    clippy::semicolon_if_nothing_returned,
    reason = "generated"
)]

wit_bindgen::generate!({
    path: "word.wit",
    world: "full",
    pub_export_macro: true,
    export_macro_name: "export_word",
    default_bindings_module: "vocable_word::bindings",
    additional_derives: [Clone, PartialEq],
});
