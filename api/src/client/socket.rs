//! HTTP over a Unix socket: what ureq needs to know to speak through one, and who has to be behind it. The agent knows its
//! callers there by the kernel, and needs no token; we know the agent the same way.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    os::{fd::AsFd, unix::fs::MetadataExt as _, unix::net::UnixStream},
    path::{Path, PathBuf},
};

use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport},
    },
};

/// Bits of a mode that let others than the owner change what is in a folder.
const OTHERS_WRITE: u32 = 0o022;

/// A socket, and those whose it may be.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    pub(super) path: PathBuf,
    /// Users beside ourselves, root, and who has its folder from root.
    pub(super) owners: Vec<u32>,
}

/// The socket is listened on by somebody we have no reason to trust.
#[derive(Debug, thiserror::Error)]
#[error("user {uid} listens there")]
pub(super) struct Foreign {
    uid: u32,
}

impl Socket {
    /// Whether the one who listens at the other end may.
    pub(super) fn check(&self, stream: impl AsFd) -> io::Result<()> {
        let uid = rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw();
        if self.admits(uid) { Ok(()) } else { Err(io::Error::other(Foreign { uid })) }
    }

    fn admits(&self, uid: u32) -> bool {
        let ours = [0, rustix::process::geteuid().as_raw()];
        ours.contains(&uid) || self.owners.contains(&uid) || given_by_root(&self.path) == Some(uid)
    }
}

/// Whose the folder of the socket is, if only root can have put it there and only its owner can change what is in it: so
/// does a service manager for a service of its own user.
fn given_by_root(socket: &Path) -> Option<u32> {
    let folder = socket.parent()?.canonicalize().ok()?;
    let folders: Vec<_> = folder.ancestors().map(fs::metadata).collect::<Result<_, _>>().ok()?;
    let (own, above) = folders.split_first()?;
    let closed = folders.iter().all(|folder| folder.mode() & OTHERS_WRITE == 0);
    (closed && above.iter().all(|folder| folder.uid() == 0)).then(|| own.uid())
}

/// Connects to that socket, whatever the address says.
#[derive(Debug)]
pub(super) struct SocketConnector(pub(super) Socket);

impl Connector<()> for SocketConnector {
    type Out = SocketTransport;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<SocketTransport>, Error> {
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let stream = UnixStream::connect(&self.0.path)?;
        self.0.check(&stream)?;
        Ok(Some(SocketTransport { stream, buffers }))
    }
}

/// There is no name to look up: any address will do.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut any = self.empty();
        any.push(([127, 0, 0, 1], 0).into());
        Ok(any)
    }
}

pub(super) struct SocketTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|left| *left))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output).map_err(|error| in_time(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(timeout.not_zero().map(|left| *left))?;
        let read =
            self.stream.read(self.buffers.input_append_buf()).map_err(|error| in_time(error, timeout))?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        // A connection that is reused has nothing left to read: what can be read is its end, or not meant for us.
        let mut probe = || {
            self.stream.set_nonblocking(true)?;
            let read = self.stream.read(&mut [0]);
            self.stream.set_nonblocking(false)?;
            read
        };
        probe().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn in_time(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

impl fmt::Debug for SocketTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SocketTransport").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{fs::PermissionsExt as _, net::UnixListener};

    /// A user that nobody is.
    const STRANGER: u32 = 3_999_999_999;

    #[test]
    fn who_listens_has_to_be_ourselves_or_somebody_we_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let stream = UnixStream::connect(&path).unwrap();
        let mut socket = Socket { path, owners: Vec::new() };
        assert!(socket.check(&stream).is_ok());
        assert!(socket.admits(0) && !socket.admits(STRANGER));
        socket.owners.push(STRANGER);
        assert!(socket.admits(STRANGER));
    }

    #[test]
    fn a_folder_that_anybody_could_have_made_vouches_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir_all(open.join("own")).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(given_by_root(&open.join("api.sock")), None);
        assert_eq!(given_by_root(&open.join("own/api.sock")), None);
        assert_eq!(given_by_root(Path::new("/nowhere/api.sock")), None);
        assert_eq!(given_by_root(Path::new("/api.sock")), Some(fs::metadata("/").unwrap().uid()));
    }
}
