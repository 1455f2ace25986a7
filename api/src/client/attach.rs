//! The client's end of the route that goes both ways.

use super::{Client, ClientError, transport::Duplex};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error,
        client::IntoClientRequest as _,
        http::{HeaderValue, header::AUTHORIZATION},
    },
};
use vocable_xmlrpc::excerpt;

/// How long the agent may take to take us in.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection on which both ends speak.
pub type Attachment = WebSocketStream<Box<dyn Duplex>>;

impl Client {
    /// Opens a WebSocket at that path of the host agent.
    ///
    /// # Errors
    /// [`ClientError`], as of calls.
    pub async fn attach(&self, path: &str) -> Result<Attachment, ClientError> {
        let late = |_| ClientError::TimedOut { address: self.address().to_owned(), timeout: TIMEOUT };
        timeout(TIMEOUT, self.open(path)).await.map_err(late)?
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
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err(self.refused(response.status().as_u16(), body))
            }
            Err(Error::Io(source)) => Err(self.transport.broken(source)),
            Err(other) => Err(self.bad_reply(excerpt(&other.to_string()))),
        }
    }
}
