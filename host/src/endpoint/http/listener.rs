//! Where callers come in: loopback TCP, TLS elsewhere, a Unix socket; and who they are as far as the kernel knows.
//! Not here: what becomes of a connection once it is there.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tokio_rustls::TlsAcceptor;

/// Who is at the other end of a connection, as the kernel says; in the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    /// A machine, over TCP: what the request brings decides whether it is let in.
    Ip(IpAddr),
    /// A user of this machine, over the Unix socket: the mode of the socket has let it in.
    User {
        uid: u32,
        /// The process, if the kernel tells.
        pid: Option<i32>,
    },
}

impl Peer {
    /// The user the kernel vouches for, who needs no token.
    pub(crate) const fn user(self) -> Option<u32> {
        match self {
            Self::User { uid, .. } => Some(uid),
            Self::Ip(_) => None,
        }
    }

    /// The same for all connections of one caller.
    pub(super) const fn party(self) -> Self {
        match self {
            Self::Ip(_) => self,
            Self::User { uid, .. } => Self::User { uid, pid: None },
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(ip) => write!(formatter, "{ip}"),
            Self::User { pid: Some(pid), .. } => write!(formatter, "pid {pid}"),
            Self::User { uid, pid: None } => write!(formatter, "uid {uid}"),
        }
    }
}

pub(crate) enum Listener {
    /// In the clear: for loopback addresses only.
    Tcp(TcpListener),
    /// Encrypted: for any other address.
    Tls(TcpListener, TlsAcceptor),
    /// A socket in the file system; its mode says who may come in.
    Unix(UnixListener),
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that has been accepted, not encrypted yet.
pub(super) enum Accepted {
    Tcp(TcpStream),
    Tls(TcpStream, TlsAcceptor),
    Unix(UnixStream),
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<(Accepted, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Accepted::Tcp(stream), of_address(peer)))
            }
            Self::Tls(listener, acceptor) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Accepted::Tls(stream, acceptor.clone()), of_address(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let who = stream.peer_cred()?;
                Ok((Accepted::Unix(stream), Peer::User { uid: who.uid(), pid: who.pid() }))
            }
        }
    }
}

impl Accepted {
    /// The stream, once it is encrypted if it has to be.
    pub(super) async fn into_stream(self) -> io::Result<Box<dyn Stream>> {
        // Small replies should not wait for the acknowledgement of earlier ones. Without it, everything still works.
        match self {
            Self::Tcp(stream) => {
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Self::Tls(stream, acceptor) => {
                let _ = stream.set_nodelay(true);
                Ok(Box::new(acceptor.accept(stream).await?))
            }
            Self::Unix(stream) => Ok(Box::new(stream)),
        }
    }
}

/// An IPv4 address that came in through an IPv6 socket is still that address.
fn of_address(peer: SocketAddr) -> Peer {
    Peer::Ip(peer.ip().to_canonical())
}

/// Why there is no socket in the file system.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("{} is in use by another program", .0.display())]
    InUse(PathBuf),
    /// There is something else of that name, which is not ours to remove.
    #[error("{} exists and is no socket", .0.display())]
    NoSocket(PathBuf),
    /// In that folder somebody else could put a socket in the place of ours.
    #[error("{} belongs to or can be written to by others, who could put their own socket there", .0.display())]
    OpenFolder(PathBuf),
    #[error("{} cannot be listened on: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Bits of a mode that let others than the owner change what is in a folder; and the one that lets them only add to it.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Listens on a socket of that mode; one that a dead program has left behind is replaced, its folder made if missing.
///
/// # Errors
/// [`SocketError`] if somebody else uses the path, others could put a socket of theirs in its place, or the operating
/// system refuses.
pub(crate) fn unix(path: &Path, mode: u32) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    let folder = path.parent().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NoSocket(path.to_owned())),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(SocketError::InUse(path.to_owned()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    if !is_closed(folder).map_err(failed)? {
        return Err(SocketError::OpenFolder(folder.to_owned()));
    }
    // It is made where only we can reach it: whatever the umask, nobody connects before its mode is set.
    let private = tempfile::Builder::new().prefix(".s").tempdir_in(folder).map_err(failed)?;
    let made = private.path().join("s");
    let listener = UnixListener::bind(&made).map_err(failed)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(mode)).map_err(failed)?;
    fs::rename(&made, path).map_err(failed)?;
    Ok(listener)
}

/// Whether only we and root can change what is in the folder.
fn is_closed(folder: &Path) -> io::Result<bool> {
    let folder = fs::metadata(folder)?;
    let owned = [0, rustix::process::geteuid().as_raw()].contains(&folder.uid());
    Ok(owned && (folder.mode() & OTHERS_WRITE == 0 || folder.mode() & STICKY != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/api.sock");
        drop(unix(&path, 0o600).unwrap());
        assert!(path.exists());
        let second = unix(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(unix(&path, 0o600), Err(SocketError::InUse(_))));
        drop(second);
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(unix(&path, 0o600), Err(SocketError::NoSocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_folder_that_others_write_to_is_refused_unless_they_can_only_add_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        assert!(matches!(unix(&path, 0o600), Err(SocketError::OpenFolder(_))));
        mode(0o1777);
        drop(unix(&path, 0o600).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["api.sock"], "nothing else stays behind");
    }

    #[test]
    fn all_processes_of_a_user_are_one_party() {
        let of = |pid| Peer::User { uid: 7, pid: Some(pid) };
        assert_eq!(of(1).party(), of(2).party());
        assert_eq!((of(1).to_string(), of(1).party().to_string()), ("pid 1".to_owned(), "uid 7".to_owned()));
        assert_eq!(of_address("[::ffff:127.0.0.1]:1".parse().unwrap()).to_string(), "127.0.0.1");
    }
}
