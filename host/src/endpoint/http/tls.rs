//! TLS for addresses that are not loopback: a certificate from files, or one of our own, made at the first start.
//! Not here: who listens where.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, KeyPair, SanType};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read or written.
    #[error("{} cannot be used: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no PEM of that kind.
    #[error("{} holds no {what}", .path.display())]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key cannot be used together, or at all.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[from] rustls::Error),
    /// None could be made.
    #[error("no certificate can be made: {0}")]
    Making(#[from] rcgen::Error),
}

/// A certificate chain and its key, both as PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The certificate first, then those that lead to its root.
    pub(crate) certificate: PathBuf,
    /// The private key of the first certificate.
    pub(crate) key: PathBuf,
}

impl Identity {
    /// The one in the state folder; made for these addresses if it is missing. Callers know it by the certificate's
    /// file: nobody else vouches for it.
    ///
    /// # Errors
    /// [`TlsError`] if it can be neither read nor made.
    pub(crate) fn own(state: &Path, addresses: &[IpAddr]) -> Result<Self, TlsError> {
        let own = Self { certificate: state.join("api.crt"), key: state.join("api.key") };
        if own.certificate.exists() && own.key.exists() {
            return Ok(own);
        }
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.distinguished_name.push(rcgen::DnType::CommonName, "vocable host agent");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        // The key first: with a certificate alone the next start would make both again.
        vocable_config::write_private(&own.key, key.serialize_pem().as_bytes())
            .map_err(unusable(&own.key))?;
        vocable_config::write_private(&own.certificate, certificate.pem().as_bytes())
            .map_err(unusable(&own.certificate))?;
        Ok(own)
    }

    /// What answers callers with it. TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// [`TlsError`] if the files cannot be read or do not go together.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let pem = fs::read(&self.certificate).map_err(unusable(&self.certificate))?;
        let none = |path: &Path, what| TlsError::NoPem { path: path.to_owned(), what };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|_| none(&self.certificate, "certificate in PEM"))?;
        if chain.is_empty() {
            return Err(none(&self.certificate, "certificate in PEM"));
        }
        let pem = fs::read(&self.key).map_err(unusable(&self.key))?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| none(&self.key, "private key in PEM"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_certificate_of_our_own_is_made_once_and_its_key_is_private() {
        let state = tempfile::tempdir().unwrap();
        let own = Identity::own(state.path(), &[[192, 168, 56, 1].into()]).unwrap();
        own.acceptor().unwrap();
        let key = fs::read_to_string(&own.key).unwrap();
        assert_eq!(fs::metadata(&own.key).unwrap().permissions().mode() & 0o777, 0o600);
        Identity::own(state.path(), &[]).unwrap();
        assert_eq!(fs::read_to_string(&own.key).unwrap(), key);
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let state = tempfile::tempdir().unwrap();
        let own = Identity::own(state.path(), &[]).unwrap();
        let told = |identity: &Identity| {
            let text = identity.acceptor().err().unwrap().to_string();
            text.replace(state.path().to_str().unwrap(), "")
        };
        let swapped = Identity { certificate: own.key.clone(), key: own.certificate.clone() };
        assert_eq!(told(&swapped), "/api.key holds no certificate in PEM");
        let missing = Identity { certificate: state.path().join("none.crt"), ..own.clone() };
        assert!(told(&missing).starts_with("/none.crt cannot be used: "), "{}", told(&missing));
        let other = KeyPair::generate().unwrap();
        fs::write(&own.key, other.serialize_pem()).unwrap();
        assert!(told(&own).starts_with("the certificate cannot be used: "), "{}", told(&own));
    }
}
