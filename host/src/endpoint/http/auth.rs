//! Whether a request brings the token. Not here: where the token comes from.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use subtle::ConstantTimeEq as _;

/// Whether the request brings `token`, as the password of Basic authentication (whatever the user's name) or as
/// Bearer. How long the comparison takes tells nothing but the token's length. An empty token lets nobody in.
pub(super) fn authorised(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(credential);
    !token.is_empty() && given.is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into())
}

fn credential(header: &str) -> Option<String> {
    let (scheme, rest) = header.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(header: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        authorised(&headers, "s3:cret")
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    }

    #[test]
    fn the_token_is_a_password_or_a_bearer() {
        assert!(with(&basic("agent:s3:cret")));
        assert!(with(&basic(":s3:cret")));
        assert!(with("Bearer s3:cret"));
        assert!(with("bearer  s3:cret "));
    }

    #[test]
    fn nothing_else_is() {
        for header in
            ["", "Bearer", "Bearer s3:cre", "Bearer s3:crett", "s3:cret", "Digest s3:cret", "Basic s3:cret"]
        {
            assert!(!with(header), "{header}");
        }
        assert!(!with(&basic("s3:cret")));
        assert!(!with(&basic("s3:cret:agent")));
        assert!(!authorised(&HeaderMap::new(), "s3:cret"));
    }

    #[test]
    fn an_empty_token_lets_nobody_in() {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer "))]);
        assert!(!authorised(&headers, ""));
        assert!(!authorised(&HeaderMap::new(), ""));
    }
}
