//! Our client with our server.

use crate::setup::{Served, piped};
use bytes::Bytes;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use vocable_chirp::client::{Algorithm, Body, Client, Config, Login};
use vocable_chirp::proto::{Code, Flags, Kind, Meta};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_there_and_comes_back() {
    let served = Served::new().await;
    let client = served.client().await;
    assert!(client.is_ours());
    assert_eq!(client.subject(), "token:host");
    assert_eq!(client.whoami().await.unwrap(), "token:host");
    for content in [Bytes::new(), Bytes::from("hello world\n"), Bytes::from(vec![7; 3 << 20])] {
        let len = content.len() as u64;
        assert_eq!(client.putfile("/a b", 0o640, content.clone().into()).await.unwrap(), len);
        assert_eq!(fs::read(served.root().join("a b")).unwrap(), content);
        assert_eq!(client.getfile("/a b", len).await.unwrap(), content);
        let mut got = Vec::new();
        assert_eq!(client.getfile_into("/a b", &mut got).await.unwrap(), len);
        assert_eq!(got, content);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(client.fetch("/a b", file.reopen().unwrap()).await.unwrap(), len);
        assert_eq!(fs::read(file.path()).unwrap(), content);
        assert_eq!(client.vfetch("/a b", file.reopen().unwrap()).await.unwrap().1, len);
        assert_eq!(fs::read(file.path()).unwrap(), content);
        let meta = Meta { mode: 0o751, mtime_ns: 1_500_000_000_123_456_789 };
        client.vput_file("/ü%", meta, file.reopen().unwrap(), len).await.unwrap();
        assert_eq!(fs::read(served.root().join("ü%")).unwrap(), content);
        client.vput("/ü%", meta, content.clone()).await.unwrap();
        let got = client.vget("/ü%", len).await.unwrap();
        assert_eq!((got.meta, got.bytes), (meta, content.clone()));
        let stat = fs::metadata(served.root().join("ü%")).unwrap();
        assert_eq!(
            (stat.mode() & 0o7777, stat.mtime(), stat.mtime_nsec()),
            (0o751, 1_500_000_000, 123_456_789)
        );
    }
    let names: Vec<_> = client.getdir("/").await.unwrap();
    assert_eq!(names.len(), 2, "{names:?}: nothing is left of the uploads");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_does_what_it_says() {
    let served = Served::new().await;
    let client = served.client().await;
    client.mkdir("/d", 0o755).await.unwrap();
    assert_eq!(client.mkdir("/d", 0o755).await.unwrap_err().code(), Some(Code::AlreadyExists));
    assert_eq!(client.mkdir("/no/d", 0o755).await.unwrap_err().code(), Some(Code::DoesntExist));
    client.putfile("/d/f", 0o644, Bytes::from("0123456789").into()).await.unwrap();
    assert_eq!(client.stat("/d/f").await.unwrap().size, 10);
    client.access("/d/f", 4).await.unwrap();
    assert_eq!(
        client.access("/d/f", 1).await.err().and_then(|error| error.code()),
        Some(Code::NotAuthorized)
    );
    client.chmod("/d/f", 0o600).await.unwrap();
    client.utime("/d/f", 5, 6).await.unwrap();
    client.truncate("/d/f", 4).await.unwrap();
    let stat = client.stat("/d/f").await.unwrap();
    assert_eq!((stat.mode & 0o777, stat.atime, stat.size), (0o600, 5, 4));
    client.symlink("f", "/d/to f").await.unwrap();
    client.link("/d/f", "/d/hard").await.unwrap();
    assert_eq!(client.readlink("/d/to f").await.unwrap(), b"f");
    assert!(client.lstat("/d/to f").await.unwrap().is_link());
    assert_eq!(client.stat("/d/to f").await.unwrap().nlink, 2);
    client.rename("/d/hard", "/d/moved").await.unwrap();
    let mut names: Vec<_> = client.getlongdir("/d").await.unwrap();
    names.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(
        format!("{:?}", names.iter().map(|(name, _)| name).collect::<Vec<_>>()),
        r#"["f", "moved", "to f"]"#
    );
    let sha256 = client.hash(Algorithm::Sha256, "/d/f").await.unwrap();
    assert_eq!(sha256, client.vhash("/d/f", 99).await.unwrap());
    assert_ne!(sha256, client.vhash("/d/f", 3).await.unwrap());
    assert_eq!(client.hash(Algorithm::Md5, "/d/f").await.unwrap().len(), 16);
    assert_eq!(client.getacl("/d").await.unwrap(), [("token:host".to_owned(), "rwld".to_owned())]);
    assert!(client.statfs("/d").await.unwrap().blocks > 0);
    client.vmeta("/d/to f", Meta { mode: 0, mtime_ns: 7_000_000_001 }).await.unwrap();
    let mut entries = client.vlist("/d").await.unwrap();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    let last = entries.last().unwrap();
    assert_eq!(
        (last.kind, last.meta.mtime_ns, last.target.as_deref()),
        (Kind::Link, 7_000_000_001, Some(&b"f"[..]))
    );
    assert_eq!(client.rmdir("/d").await.unwrap_err().code(), Some(Code::NotEmpty));
    assert_eq!(client.unlink("/d").await.unwrap_err().code(), Some(Code::IsDirectory));
    client.unlink("/d/moved").await.unwrap();
    client.rmall("/d").await.unwrap();
    assert_eq!(client.stat("/d").await.unwrap_err().code(), Some(Code::DoesntExist));
    assert_eq!(client.stat("/d").await.unwrap_err().to_string(), "stat /d: no such file or directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_file_takes_the_place_of_a_link_but_of_nothing_else_that_is_no_file() {
    let served = Served::new().await;
    let client = served.client().await;
    let outside = served.folder.path().join("outside");
    fs::write(&outside, "old").unwrap();
    symlink("target", served.root().join("link")).unwrap();
    fs::write(served.root().join("target"), "old").unwrap();
    fs::create_dir_all(served.root().join("folder/inner")).unwrap();
    let pipe = served.root().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let put = |path: &'static str| {
        let client = client.clone();
        async move { client.vput(path, Meta { mode: 0o640, mtime_ns: 5 }, Bytes::from("new")).await }
    };
    // Together: they go to the disk together, and each has its own answer.
    let (link, folder, pipe, file) = tokio::join!(put("/link"), put("/folder"), put("/pipe"), put("/file"));
    assert_eq!(folder.unwrap_err().code(), Some(Code::IsDirectory));
    assert_eq!(pipe.unwrap_err().code(), Some(Code::NotAuthorized));
    link.unwrap();
    file.unwrap();
    client.vsync().await.unwrap();
    assert!(fs::symlink_metadata(served.root().join("link")).unwrap().is_file());
    assert_eq!(fs::read_to_string(served.root().join("target")).unwrap(), "old");
    assert!(served.root().join("folder/inner").is_dir());
    let renamed = client.rename("/file", "/folder").await.unwrap_err();
    assert_eq!(renamed.code(), Some(Code::IsDirectory));
    let renamed = client.rename("/folder", "/file").await.unwrap_err();
    assert_eq!(renamed.code(), Some(Code::NotDirectory));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_in_more_folders_than_are_remembered_is_synced_too() {
    let served = Served::new().await;
    let client = served.client().await;
    for number in 0..100 {
        client.mkdir(format!("/{number}"), 0o700).await.unwrap();
        let meta = Meta { mode: 0o600, mtime_ns: 0 };
        client.vput(format!("/{number}/f"), meta, Bytes::from("x")).await.unwrap();
        if number == 50 {
            client.rmall("/50").await.unwrap();
        }
    }
    client.vsync().await.unwrap();
    client.vsync().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn open_files_are_read_and_written_at_offsets() {
    let served = Served::new().await;
    let client = served.client().await;
    let flags = Flags { read: true, write: true, create: true, ..Flags::default() };
    let (fd, stat) = client.open("/f", flags, 0o644).await.unwrap();
    assert_eq!(stat.size, 0);
    let far = 5 << 30;
    assert_eq!(client.pwrite(fd, Bytes::from("end"), far).await.unwrap(), 3);
    assert_eq!(client.pwrite(fd, Bytes::from(vec![1; 300_000]), 10).await.unwrap(), 300_000);
    assert_eq!(client.pread(fd, 99, far).await.unwrap(), "end");
    assert_eq!(client.pread(fd, 200_000, 0).await.unwrap()[9..12], [0, 1, 1]);
    assert_eq!(client.fstat(fd).await.unwrap().size, far + 3);
    client.ftruncate(fd, 12).await.unwrap();
    client.fsync(fd).await.unwrap();
    client.close(fd).await.unwrap();
    assert_eq!(client.close(fd).await.unwrap_err().code(), Some(Code::BadDescriptor));
    assert_eq!(fs::metadata(served.root().join("f")).unwrap().len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_a_time_over_one_connection_get_their_own_answers() {
    let served = Served::new().await;
    let client = served.client().await;
    let puts = (0..2000_u32).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let path = format!("/{number}");
            let content = Bytes::from(number.to_string().repeat(number as usize % 97 * 40));
            match number % 3 {
                0 => client.putfile(&path, 0o644, content.clone().into()).await.map(drop).unwrap(),
                _ => client.vput(&path, Meta { mode: 0o644, mtime_ns: 0 }, content.clone()).await.unwrap(),
            }
            assert_eq!(client.getfile(&path, 1 << 20).await.unwrap(), content);
            assert_eq!(client.vget(&path, 1 << 20).await.unwrap().bytes, content);
        })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    assert_eq!(client.vlist("/").await.unwrap().len(), 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_pipe_nobody_needs_to_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::login(piped(folder.path()), &[Login::Trusted], Config::default()).await.unwrap();
    assert_eq!(client.whoami().await.unwrap(), "bus:host");
    let content = Bytes::from((0..2_000_000_u32).map(|number| number as u8).collect::<Vec<_>>());
    client.putfile("/f", 0o644, content.clone().into()).await.unwrap();
    assert_eq!(client.getfile("/f", 2_000_000).await.unwrap(), content);
    let file = fs::File::open(folder.path().join("f")).unwrap();
    client.putfile("/part", 0o644, Body::file(file, 1000, 900_000)).await.unwrap();
    assert_eq!(client.getfile("/part", 900_000).await.unwrap(), content[1000..901_000]);
    let half = &content[..1_000_000];
    client.putfile("/read", 0o644, Body::read(half, 1_000_000)).await.unwrap();
    assert_eq!(client.getfile("/read", 1_000_000).await.unwrap(), half);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_nowhere_but_into_the_tree() {
    let served = Served::new().await;
    let root = served.root();
    let secret = served.folder.path().join("secret");
    fs::write(&secret, "outside").unwrap();
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(root.join("a/inside"), "inside").unwrap();
    let links = [
        ("/a/inside", "absolute", true),
        ("../../../../../a/inside", "clamped", true),
        ("a/b/../inside", "through", true),
        ("a/b", "directory", true),
        ("../secret", "out", false),
        (secret.to_str().unwrap(), "out absolute", false),
        ("/etc/passwd", "passwd", false),
        ("loop", "loop", false),
    ];
    let client = served.client().await;
    for (target, name, leads) in links {
        symlink(target, root.join(name)).unwrap();
        assert_eq!(client.stat(name).await.is_ok(), leads, "{name}");
        assert!(client.lstat(name).await.unwrap().is_link());
    }
    assert_eq!(client.getfile("/directory/../a/inside", 99).await.unwrap(), "inside");
    symlink("/a", root.join("a/b/up")).unwrap();
    assert_eq!(client.getfile("/directory/up/b/up/inside", 99).await.unwrap(), "inside");
    assert_eq!(client.getfile("/../../../a//./inside", 99).await.unwrap(), "inside");
    // What is put through a link arrives where the link leads to, and the link stays.
    client.putfile("/absolute", 0o644, Bytes::from("new").into()).await.unwrap();
    assert_eq!(fs::read(root.join("a/inside")).unwrap(), b"new");
    assert!(root.join("absolute").is_symlink());
    client.putfile("/out", 0o644, Bytes::from("evil").into()).await.unwrap();
    assert_eq!(fs::read(served.folder.path().join("secret")).unwrap(), b"outside");
    assert_eq!(fs::read(root.join("secret")).unwrap(), b"evil", "as in a chroot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_upload_leaves_the_old_file() {
    let served = Served::new().await;
    let client = served.client().await;
    fs::write(served.root().join("f"), "old").unwrap();
    let wrong = client.vput_known("/f", Meta::default(), b"new", [0; 32]).await;
    assert_eq!(wrong.unwrap_err().code(), Some(Code::DigestMismatch));
    assert_eq!(client.getfile("/f", 9).await.unwrap(), "old");
    // Broken in the middle: it is never replaced, and nothing is left of it.
    let broken = served.client().await;
    broken.putfile("/f", 0o644, Body::read(&b"too short"[..], 1_000_000)).await.unwrap_err();
    assert!(broken.stat("/").await.is_err(), "the connection is closed");
    let broken = served.client().await;
    let short = tempfile::tempfile().unwrap();
    short.set_len(500_000).unwrap();
    let error = broken.vput_file("/f", Meta::default(), short, 1_000_000).await.unwrap_err();
    assert!(error.to_string().contains("became shorter"), "{error}");
    while fs::read_dir(served.root()).unwrap().count() > 1 {
        client.stat("/").await.unwrap();
    }
    assert_eq!(client.getfile("/f", 9).await.unwrap(), "old");
    assert_eq!(fs::metadata(served.root().join("f")).unwrap().permissions().mode() & 0o777, 0o644);
}
