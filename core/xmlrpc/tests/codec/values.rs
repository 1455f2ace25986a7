//! Values of every shape, for the other modules to try.

use proptest::{collection, prelude::*};
use time::UtcDateTime;
use vocable_xmlrpc::Value;

/// Any value XML-RPC can carry as it is: strings of characters XML has, whole seconds, finite doubles.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    simple().prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            collection::btree_map(text(), inner, 0..6).prop_map(Value::Struct),
        ]
    })
}

fn simple() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        collection::vec(any::<u8>(), 0..80).prop_map(Value::Base64),
        text().prop_map(Value::from),
        moment().prop_map(Value::from),
    ]
}

/// Text of characters XML has, white space, line ends and markup among them.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z<>&;'\" \t\r\n\\]\\[!-]{0,20}",
        "[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\u{fffe}\u{ffff}]{0,20}"
    ]
}

/// From the year 1000 (Python writes earlier ones with fewer digits) to 9999.
fn moment() -> impl Strategy<Value = UtcDateTime> {
    (-30_610_224_000_i64..=253_402_300_799)
        .prop_map(|seconds| UtcDateTime::from_unix_timestamp(seconds).expect("four digits of year"))
}
