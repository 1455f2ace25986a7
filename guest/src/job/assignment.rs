//! How a supervisor that was started before there was a job for it gets one: the agent sends the three files that a
//! supervisor is otherwise born with and the folder's path over a socket, and closes it.  An agent that ends closes it
//! as well, and the supervisor ends too.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::folder::Folder;

/// Stands for the folder of a job in the arguments of a supervisor that has none yet.
pub(crate) const SPARE: &str = "-";

/// The variable with what the path of each command's cgroup begins with; without it there are none. Only for supervisors
/// that wait: who has a job at once has no time to enter one.
pub(crate) const GROUPS: &str = "VOCABLE_SUPERVISOR_GROUPS";

/// `control`, `events` and the log, in the order of standard input, output and error.
const FILES: usize = 3;

/// Longer than any path (`PATH_MAX`).
const MAX_PATH: u64 = 8192;

/// Gives the job in this folder to the supervisor at the other end.  When this fails it has not got it.
pub(crate) fn send(line: &UnixStream, folder: &Path, files: &[File; FILES]) -> io::Result<()> {
    let files = files.each_ref().map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("there is no room for the files of a job in a message"));
    }
    let path = folder.as_os_str().as_bytes();
    let sent = sendmsg(line, &[IoSlice::new(path)], &mut ancillary, SendFlags::NOSIGNAL)?;
    // What fits into an empty socket is not cut; a supervisor that gets a part of a path must not act on it.
    if sent == path.len() { Ok(()) } else { Err(io::Error::other("the path of a job was sent in part")) }
}

/// Whether there is neither a job nor the end of the agent for so long.
pub(crate) fn is_quiet(time: Duration) -> bool {
    let input = io::stdin();
    let ready = poll(&mut [PollFd::new(&input, PollFlags::IN)], time.try_into().ok().as_ref());
    matches!(ready, Ok(0))
}

/// Waits for a job, makes its files standard input, output and error, and gives its folder; `None` when there will be
/// none.
pub(crate) fn wait() -> io::Result<Option<Folder>> {
    let line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some((path, files)) = receive(line)? else { return Ok(None) };
    let [control, events, log] = files;
    rustix::stdio::dup2_stdin(&control)?;
    rustix::stdio::dup2_stdout(&events)?;
    rustix::stdio::dup2_stderr(&log)?;
    Ok(Some(Folder::new(path)))
}

fn receive(mut line: UnixStream) -> io::Result<Option<(OsString, [OwnedFd; FILES])>> {
    let mut path = vec![0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let length = loop {
        match recvmsg(&line, &mut [IoSliceMut::new(&mut path)], &mut ancillary, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?.bytes,
        }
    };
    path.truncate(length);
    if path.is_empty() {
        return Ok(None);
    }
    line.by_ref().take(MAX_PATH).read_to_end(&mut path)?;
    let files: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(
            |message| if let RecvAncillaryMessage::ScmRights(files) = message { Some(files) } else { None },
        )
        .flatten()
        .collect();
    let files = files.try_into().map_err(|files: Vec<OwnedFd>| {
        io::Error::other(format!("a job came with {} files instead of {FILES}", files.len()))
    })?;
    Ok(Some((OsString::from_vec(path), files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_arrives_with_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let names = ["control", "events", "log"].map(|name| dir.path().join(name));
        let files = names.each_ref().map(|name| {
            std::fs::write(name, name.as_os_str().as_bytes()).unwrap();
            File::open(name).unwrap()
        });
        send(&ours, Path::new("/jobs/one"), &files).unwrap();
        drop((ours, files));
        let (path, files) = receive(theirs).unwrap().unwrap();
        assert_eq!(path, "/jobs/one");
        for (file, name) in files.into_iter().zip(&names) {
            assert_eq!(io::read_to_string(File::from(file)).unwrap().as_bytes(), name.as_os_str().as_bytes());
        }
    }

    #[test]
    fn an_agent_that_ends_assigns_nothing_and_a_supervisor_that_ended_gets_nothing() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(receive(theirs).unwrap().is_none());
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let null = || File::open("/dev/null").unwrap();
        send(&ours, Path::new("/jobs/one"), &[null(), null(), null()]).unwrap_err();
    }

    #[test]
    fn a_job_without_its_files_is_refused() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        io::Write::write_all(&mut ours, b"/jobs/one").unwrap();
        drop(ours);
        assert!(receive(theirs).unwrap_err().to_string().contains("0 files"));
    }
}
