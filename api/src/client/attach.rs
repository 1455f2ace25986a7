//! The client's end of the route that goes both ways.

use super::{Client, ClientError, transport::Duplex};
use serde_json::Value as Json;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error,
        client::IntoClientRequest as _,
        handshake::client::Response,
        http::{HeaderValue, StatusCode, header::AUTHORIZATION},
    },
};
use vocable_xmlrpc::{Fault, excerpt};

/// How long the agent may take to take us in.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection on which both ends speak.
pub type Attachment = WebSocketStream<Box<dyn Duplex>>;

impl Client {
    /// Opens a WebSocket at that path of the host agent.
    ///
    /// # Errors
    /// [`ClientError`], as of calls.
    pub async fn attach(&self, path: &str) -> Result<Attachment, ClientError> {
        let late = |_| ClientError::TimedOut { address: self.address().to_owned(), timeout: PATIENCE };
        timeout(PATIENCE, self.open(path)).await.map_err(late)?
    }

    async fn open(&self, path: &str) -> Result<Attachment, ClientError> {
        let stream = self.transport.connect().await?;
        // Which host is named there does not matter: the connection is made already.
        let mut request = format!("ws://localhost{path}")
            .into_client_request()
            .map_err(|error| self.bad_reply(error.to_string()))?;
        if let Some(value) = self.transport.authorization() {
            let value = HeaderValue::from_str(&value);
            let value = value.map_err(|_| self.bad_reply("the token is no header".to_owned()))?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => Err(self.refused(&response)),
            Err(Error::Io(source)) => Err(self.transport.broken(source)),
            Err(other) => Err(self.bad_reply(excerpt(&other.to_string()))),
        }
    }

    /// What the agent said instead of taking us in.
    fn refused(&self, response: &Response) -> ClientError {
        if response.status() == StatusCode::UNAUTHORIZED {
            return self.not_authorised();
        }
        let body = response.body().as_deref().unwrap_or_default();
        fault(body).map_or_else(
            || {
                let text = String::from_utf8_lossy(body);
                let line = text.lines().next().unwrap_or_default();
                self.bad_reply(format!("HTTP {}, {}", response.status().as_u16(), excerpt(line)))
            },
            ClientError::Fault,
        )
    }
}

/// `{"error": {code, fault, message}}`
fn fault(body: &[u8]) -> Option<Fault> {
    let json: Json = serde_json::from_slice(body).ok()?;
    let error = json.get("error")?;
    let number = i32::try_from(error.get("fault")?.as_i64()?).ok()?;
    let text = |name| error.get(name).and_then(Json::as_str);
    Some(Fault::new(number, format!("{}: {}", text("code")?, text("message")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_before_the_connection_is_a_fault_like_others() {
        let body =
            br#"{"error": {"code": "no-such-command", "fault": 104, "message": "no command is called x"}}"#;
        let fault = fault(body).unwrap();
        assert_eq!((fault.code(), fault.slug()), (104, Some("no-such-command")));
        assert!(super::fault(b"<html>").is_none() && super::fault(b"{}").is_none());
    }
}
