//! TLS with those whom given certificates vouch for, and with nobody else: for calls, and for what goes both ways.

use std::{io, sync::Arc};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio_rustls::TlsConnector;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::ClientError;

/// What ureq needs to know, of certificates in PEM.
pub(super) fn config(pem: &[u8]) -> Result<TlsConfig, ClientError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .map(|der| Certificate::from_der(&der).to_owned())
        .collect();
    if certificates.is_empty() {
        return Err(ClientError::BadCertificate);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::from(certificates))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

/// The same for a connection that goes both ways.
pub(super) fn connector(trusted: &[u8]) -> io::Result<TlsConnector> {
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
