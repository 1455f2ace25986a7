//! The client's end of the route that goes both ways, over the same ways as calls: TCP, TLS, a Unix socket.

use super::{Client, ClientError, is_of_connecting};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::Value as Json;
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;
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

/// How to get to the host agent.
#[derive(Clone)]
pub(super) enum Way {
    Socket(PathBuf),
    Tcp,
    /// To that name, and to nobody whom these certificates (PEM) do not vouch for.
    Tls(String, Vec<u8>),
}

/// Anything octets go through both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection on which both ends speak.
pub(crate) type Attachment = WebSocketStream<Box<dyn Duplex>>;

impl Client {
    /// Opens a WebSocket at that path of the host agent.
    ///
    /// # Errors
    /// [`ClientError`], as of calls.
    pub(crate) async fn attach(&self, path: &str) -> Result<Attachment, ClientError> {
        let late = |_| ClientError::TimedOut { address: self.address.clone(), timeout: PATIENCE };
        timeout(PATIENCE, self.open(path)).await.map_err(late)?
    }

    async fn open(&self, path: &str) -> Result<Attachment, ClientError> {
        let stream = self.stream().await.map_err(|source| self.broken(source))?;
        // Which host is named there does not matter: the connection is made already.
        let mut request = format!("ws://localhost{path}")
            .into_client_request()
            .map_err(|error| self.bad_reply(error.to_string()))?;
        let token = HeaderValue::from_str(&format!("Bearer {}", self.token));
        request
            .headers_mut()
            .insert(AUTHORIZATION, token.map_err(|_| self.bad_reply("the token is no header".to_owned()))?);
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => Err(self.refused(&response)),
            Err(Error::Io(source)) => Err(self.broken(source)),
            Err(other) => Err(self.bad_reply(excerpt(&other.to_string()))),
        }
    }

    async fn stream(&self) -> io::Result<Box<dyn Duplex>> {
        let tcp = async || {
            let stream = TcpStream::connect(self.address.as_str()).await?;
            // A key should not wait for the acknowledgement of the one before.
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>(stream)
        };
        Ok(match &self.way {
            Way::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Way::Tcp => Box::new(tcp().await?),
            Way::Tls(name, trusted) => {
                let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
                Box::new(connector(trusted)?.connect(name, tcp().await?).await?)
            }
        })
    }

    fn broken(&self, source: io::Error) -> ClientError {
        let address = self.address.clone();
        if is_of_connecting(&source) {
            ClientError::Unreachable { address, source }
        } else {
            ClientError::Broken { address, source }
        }
    }

    /// What the agent said instead of taking us in.
    fn refused(&self, response: &Response) -> ClientError {
        if response.status() == StatusCode::UNAUTHORIZED {
            return ClientError::NotAuthorised { address: self.address.clone() };
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

fn connector(trusted: &[u8]) -> io::Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted).filter_map(Result::ok) {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
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
