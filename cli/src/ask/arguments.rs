//! The arguments of a word: from `NAME=VALUE` or JSON to an object, checked by the word's schema before anything is sent.
//! A word that is not installed here has no schema; then a value is JSON if it looks like it, else a text.

use super::AskArgs;
use crate::words;
use crate::{CliError, api, hints};
use serde_json::{Map, Value as Json};
use vocable_api::AnyStruct;
use vocable_api::word::Word;
use vocable_xmlrpc::{Value, excerpt};

pub(super) fn object(args: &AskArgs, word: Option<&Word>) -> Result<AnyStruct, CliError> {
    let schema = word.map_or(Json::Null, |word| words::schema(&word.parameters));
    let given = match (args.args.as_deref(), args.arguments.as_slice()) {
        (Some(json), _) => document(json)?,
        (None, [json]) if json.trim_start().starts_with('{') => document(json)?,
        (None, pairs) => from_pairs(&args.word, pairs, &schema)?,
    };
    let needed = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
    if let Some(missing) = needed.into_iter().find(|name| !given.contains_key(*name)) {
        let error = CliError::bad_argument(format!("{} needs a {missing}", args.word));
        return Err(error.hint(format!("vocable words {}", args.word)));
    }
    match api::value(Json::Object(given))? {
        Value::Struct(members) => Ok(AnyStruct(members)),
        _ => Err(CliError::bad_argument("{\"b64\": ...} alone is bytes, and no object")),
    }
}

fn document(text: &str) -> Result<Map<String, Json>, CliError> {
    match api::parse(text)? {
        Json::Object(members) => Ok(members),
        _ => Err(CliError::bad_argument(format!("{} is no JSON object", excerpt(text)))),
    }
}

fn from_pairs(word: &str, pairs: &[String], schema: &Json) -> Result<Map<String, Json>, CliError> {
    let help = || format!("vocable words {word}");
    let mut given = Map::new();
    for pair in pairs {
        let (name, text) = pair.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            CliError::bad_argument(format!("{}: expected NAME=VALUE", excerpt(pair))).hint(help())
        })?;
        let value = match known(schema, name) {
            Known::Parameter(schema) => typed(schema, text).map_err(|expected| {
                CliError::bad_argument(format!("{word} {name}={}: expected {expected}", excerpt(text)))
                    .hint(help())
            })?,
            Known::Anything => serde_json::from_str(text).unwrap_or_else(|_| Json::from(text)),
            Known::Nothing(names) => {
                let error = CliError::bad_argument(format!("{word} takes no {}", excerpt(name)));
                return Err(match hints::close(name, names) {
                    Some(meant) => error.hint(format!("did you mean {meant}?")),
                    None => error.hint(help()),
                });
            }
        };
        if given.insert(name.to_owned(), value).is_some() {
            return Err(CliError::bad_argument(format!("{name} is given twice")));
        }
    }
    Ok(given)
}

/// What a schema says of a name.
enum Known<'a> {
    Anything,
    /// There is none of that name, but these.
    Nothing(Vec<&'a str>),
    Parameter(&'a Json),
}

fn known<'a>(schema: &'a Json, name: &str) -> Known<'a> {
    match schema["properties"].as_object() {
        Some(properties) => match properties.get(name) {
            Some(schema) => Known::Parameter(schema),
            None => Known::Nothing(properties.keys().map(String::as_str).collect()),
        },
        None => Known::Anything,
    }
}

/// A value of the type a schema wants, or what it wants.
fn typed(schema: &Json, text: &str) -> Result<Json, String> {
    let expected = || expected(schema);
    let value = match schema["type"].as_str() {
        Some("string") => Json::from(text),
        Some("integer") => text.parse::<i64>().map(Json::from).map_err(|_| expected())?,
        Some("number") => text.parse::<f64>().map(Json::from).map_err(|_| expected())?,
        Some("boolean") => text.parse::<bool>().map(Json::from).map_err(|_| expected())?,
        Some("array" | "object") => serde_json::from_str(text).map_err(|_| expected())?,
        _ => serde_json::from_str(text).unwrap_or_else(|_| Json::from(text)),
    };
    let within = |limit: &str, fits: fn(f64, f64) -> bool| match (schema[limit].as_f64(), value.as_f64()) {
        (Some(limit), Some(number)) => fits(number, limit),
        _ => true,
    };
    let is_listed = schema["enum"].as_array().is_none_or(|all| all.contains(&value));
    let fits = is_listed && within("minimum", |number, limit| number >= limit);
    if fits && within("maximum", |number, limit| number <= limit) { Ok(value) } else { Err(expected()) }
}

/// `a whole number from 1 to 600`
fn expected(schema: &Json) -> String {
    if let Some(all) = schema["enum"].as_array() {
        let all: Vec<_> =
            all.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
        return format!("one of {}", all.join(", "));
    }
    let kind = match schema["type"].as_str() {
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        Some("array") => "a JSON array",
        Some("object") => "a JSON object",
        _ => "a value",
    };
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
        (Some(least), None) => format!("{kind} from {least} on"),
        (None, Some(most)) => format!("{kind} up to {most}"),
        (None, None) => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pairs(given: &[&str]) -> Result<String, String> {
        let schema = json!({"properties": {
            "path": {"type": "string"},
            "minutes": {"type": "integer", "minimum": 1, "maximum": 600},
            "format": {"type": "boolean"},
            "level": {"enum": ["low", "high"]},
        }});
        let given: Vec<_> = given.iter().map(|pair| (*pair).to_owned()).collect();
        let object = from_pairs("SOAK", &given, &schema);
        object.map(|object| Json::Object(object).to_string()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn values_have_the_type_of_the_schema() {
        let told = pairs(&["path=12", "minutes=5", "format=true", "level=high"]).unwrap();
        assert_eq!(told, r#"{"format":true,"level":"high","minutes":5,"path":"12"}"#);
    }

    #[test]
    fn what_does_not_fit_is_refused_before_it_is_sent() {
        let refused = |given| pairs(&[given]).unwrap_err();
        assert_eq!(refused("minutes=ten"), "SOAK minutes=\"ten\": expected a whole number from 1 to 600");
        assert_eq!(refused("minutes=601"), "SOAK minutes=\"601\": expected a whole number from 1 to 600");
        assert_eq!(refused("format=1"), "SOAK format=\"1\": expected true or false");
        assert_eq!(refused("level=mid"), "SOAK level=\"mid\": expected one of low, high");
        assert_eq!(refused("pth=/"), "SOAK takes no \"pth\"");
        assert_eq!(refused("path"), "\"path\": expected NAME=VALUE");
        assert_eq!(pairs(&["path=/", "path=/x"]).unwrap_err(), "path is given twice");
    }

    #[test]
    fn a_word_that_is_not_installed_here_is_told_what_was_typed() {
        let given = ["n=1", "text=abc", "list=[1]"].map(str::to_owned);
        let object = from_pairs("DFF", &given, &Json::Null).unwrap();
        assert_eq!(Json::Object(object).to_string(), r#"{"list":[1],"n":1,"text":"abc"}"#);
    }
}
