//! The texts of the simple types. Each reader gives the value, or what is wrong with the text.
//! White space around a number, a boolean or a date means nothing; in a string it does.

use std::borrow::Cow;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use time::{
    UtcDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

use crate::{Value, excerpt};

/// What XML calls white space.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Some clients pad, some do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `19980717T14:08:55`, and what other clients make of it: dashes, a fraction, a zone.
const DATE_TIME: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[year repr:full][optional [-]][month][optional [-]][day]T[hour]:[minute]:[second][optional [.[subsecond]]]\
     [optional [[first [Z] [[offset_hour sign:mandatory][optional [:]][offset_minute]]]]]"
);

pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(WHITE_SPACE)
}

pub(super) fn is_blank(text: &str) -> bool {
    trimmed(text).is_empty()
}

/// `0`, `1`, or the words.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match trimmed(text) {
        "1" => Ok(true),
        "0" => Ok(false),
        word if word.eq_ignore_ascii_case("true") => Ok(true),
        word if word.eq_ignore_ascii_case("false") => Ok(false),
        other => Err(format!("{} is neither 0 nor 1", excerpt(other))),
    }
}

/// A whole number of any length, signed or not. What 32 bits cannot hold becomes a double: JavaScript sends
/// such numbers as `<int>`, and those of more than 21 digits as `<int>1e+21</int>`.
pub(super) fn int(text: &str) -> Result<Value, String> {
    let text = trimmed(text);
    if let Ok(number) = text.parse::<i32>() {
        return Ok(Value::Int(number));
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_whole && !is_vast(digits) {
        return Err(format!("{} is not a whole number", excerpt(text)));
    }
    double(text).map(Value::Double)
}

/// As JavaScript writes a number of more than 21 digits; every such double is whole.
fn is_vast(text: &str) -> bool {
    text.contains("e+") && text.parse().is_ok_and(|number: f64| number >= 1e21)
}

/// A finite number; an exponent is fine.
pub(super) fn double(text: &str) -> Result<f64, String> {
    let text = trimmed(text);
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(format!("{} is not a finite number", excerpt(text))),
        Err(_) => Err(format!("{} is not a number", excerpt(text))),
    }
}

/// Bytes, however the text is wrapped into lines.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, String> {
    let text = trimmed(text);
    let wrapped = text.contains(WHITE_SPACE);
    let unwrapped = if wrapped { Cow::Owned(text.replace(WHITE_SPACE, "")) } else { Cow::Borrowed(text) };
    BASE64
        .decode(unwrapped.as_bytes())
        .map_err(|error| error.to_string().trim_end_matches('.').to_lowercase())
}

/// A time without a zone is UTC.
pub(crate) fn date_time(text: &str) -> Result<UtcDateTime, String> {
    let text = trimmed(text);
    UtcDateTime::parse(text, DATE_TIME)
        .or_else(|_| UtcDateTime::parse(text, &Rfc3339))
        .map_err(|_| format!("{} is not of the form 20261122T09:01:44", excerpt(text)))
}
