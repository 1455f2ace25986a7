//! What gets started, once, and with what around it.

use std::os::unix::fs::PermissionsExt;

use base64::Engine;

use super::super::JobError;
use super::*;

#[tokio::test]
async fn an_exit_code_is_the_programs_own() {
    let mut bed = Bed::new().await;
    for code in [0, 1, 42, 125, 255] {
        let results = bed.run(&format!("exit-{code}"), shell(&format!("exit {code}"))).await;
        assert_eq!((results.finished, results.exit_code_or_signal), (true, Some(code)));
        assert_eq!((results.state, results.error), (EndState::Done, None));
        assert!(results.started > 1e9 && results.ended >= results.started);
    }
}

#[tokio::test]
async fn a_program_gets_its_arguments_environment_directory_and_input() {
    let mut bed = Bed::new().await;
    let stdin = base64::engine::general_purpose::STANDARD.encode("line\n\0\u{ff}");
    let mut asked = option(
        program(
            "sh",
            &["-c", r#"echo "$0|$1|$FROM_AGENT|$MINE|$CARGO|$HOME"; pwd; cat"#, "ze ro", "ö\n\"$x"],
        ),
        "stdin",
        &stdin,
    );
    asked.env = [("MINE".into(), "a=b".into()), ("HOME".into(), "/h".into())].into();
    asked.path = Some("/usr".into());
    let results = bed.run("all", asked).await;
    assert_eq!(results.exit_code_or_signal, Some(0));
    // CARGO is in the environment of the tests, and none of the command's business.
    assert_eq!(bed.text("all", Part::Out).await, "ze ro|ö\n\"$x|yes|a=b||/h\n/usr\nline\n\0\u{ff}");
}

#[tokio::test]
async fn without_input_standard_input_is_at_its_end() {
    let mut bed = Bed::new().await;
    assert_eq!(bed.run("cat", program("cat", &[])).await.out_bytes, 0);
}

/// Descriptors that the tests were given by whoever started them, and would hand on.
fn inheritable() -> Vec<i32> {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    let fds = fds.filter_map(|fd| fd.unwrap().file_name().to_str()?.parse().ok());
    fds.filter(|fd: &i32| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        let flags =
            info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        flags.is_some_and(|flags| flags & CLOSE_ON_EXEC == 0)
    })
    .collect()
}

fn ignored_signals(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    // Not the real-time signals: the C library keeps two for itself.
    u64::from_str_radix(mask.trim(), 16).unwrap() & 0x7fff_ffff
}

#[tokio::test]
async fn a_program_inherits_nothing_of_ours_but_its_three_streams() {
    let mut bed = Bed::new().await;
    bed.run("clean", shell("ls /proc/self/fd >&2; grep Sig /proc/self/status; env")).await;
    let fds = bed.text("clean", Part::Err).await;
    let fds: Vec<i32> = fds.lines().map(|fd| fd.parse().unwrap()).collect();
    // The fourth is the directory that ls reads.
    assert!(fds.iter().all(|fd| *fd < 4 || inheritable().contains(fd)), "{fds:?}");
    let text = bed.text("clean", Part::Out).await;
    assert!(text.contains("SigBlk:\t0000000000000000\n"), "{text}");
    assert_eq!(ignored_signals(&text), 0);
    let names: Vec<_> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let known =
        ["FROM_AGENT", "HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "PWD", "SHELL", "TZ", "USER", "_"];
    assert!(names.iter().all(|name| known.contains(name)) && names.contains(&"PATH"), "{names:?}");
}

#[tokio::test]
async fn what_cannot_be_started_says_why_and_names_program_and_directory() {
    let mut bed = Bed::new().await;
    let here = bed.dir.path().to_owned();
    std::fs::write(here.join("text"), "no program").unwrap();
    let script = |name: &str, text: &str| {
        std::fs::write(here.join(name), text).unwrap();
        std::fs::set_permissions(here.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    script("orphan", "#!/no/such/interpreter\n");
    script("garbage", "garbage");
    let nowhere = Program { path: Some("/no/such/place".into()), ..program("true", &[]) };
    let long = program("true", &[&"x".repeat(1 << 20)]);
    for (name, asked, code, exit, named) in [
        ("missing", program("no-such-tool", &[]), FailureCode::NotFound, 127, "no-such-tool"),
        ("path", program("./no-such-tool", &[]), FailureCode::NotFound, 127, here.to_str().unwrap()),
        ("text", program("./text", &[]), FailureCode::NotExecutable, 126, "text"),
        ("folder", program("/usr", &[]), FailureCode::NotExecutable, 126, "/usr"),
        ("garbage", program("./garbage", &[]), FailureCode::NotExecutable, 126, "garbage"),
        ("orphan", program("./orphan", &[]), FailureCode::NoInterpreter, 126, "orphan"),
        ("nowhere", nowhere, FailureCode::NoDirectory, 126, "/no/such/place"),
        ("long", long, FailureCode::BadArgument, 126, "true"),
    ] {
        let results = bed.run(name, asked).await;
        let error = results.error.unwrap();
        assert_eq!(
            (error.code, results.state, results.exit_code_or_signal),
            (code.into(), EndState::Failed, Some(exit))
        );
        assert!(error.message.contains(named), "{name}: {}", error.message);
    }
}

#[tokio::test]
async fn the_same_id_starts_nothing_twice() {
    let mut bed = Bed::new().await;
    let mark = bed.dir.path().join("mark");
    let asked = shell(&format!("echo once >> {}; exit 3", mark.display()));
    let (first, second) =
        tokio::join!(bed.jobs.start("same", asked.clone()), bed.jobs.start("same", asked.clone()));
    assert_eq!((first.unwrap().already, second.unwrap().already), (false, true));
    bed.end_of("same").await;
    assert!(bed.jobs.start("same", asked).await.unwrap().already);
    assert!(matches!(bed.jobs.start("same", shell("exit 4")).await, Err(JobError::Differs { .. })));
    assert_eq!(std::fs::read_to_string(mark).unwrap(), "once\n");
}

#[tokio::test]
async fn what_can_never_be_right_is_refused_at_once_and_leaves_nothing() {
    let bed = Bed::new().await;
    for (cmd_id, asked) in [
        ("..", shell("true")),
        ("a/b", shell("true")),
        ("", shell("true")),
        ("nul", program("tr\0ue", &[])),
        ("option", option(shell("true"), "colour", "red")),
        ("user", option(shell("true"), "user", "no-such-user")),
    ] {
        let refusal = bed.jobs.start(cmd_id, asked).await.unwrap_err();
        assert!(matches!(refusal, JobError::Invalid { .. }), "{cmd_id}: {refusal}");
    }
    assert!(bed.jobs.list().await.unwrap().is_empty());
    assert_eq!(std::fs::read_dir(bed.dir.path().join("jobs")).unwrap().count(), 1, "the lock alone");
}

#[tokio::test]
async fn a_supervisor_that_cannot_be_started_is_said_and_the_id_stays_free() {
    let bed = Bed::with(|config| config.supervisor = "/no/such/agent".into()).await;
    let refusal = bed.jobs.start("x", shell("true")).await.unwrap_err();
    assert!(refusal.to_string().contains("/no/such/agent"), "{refusal}");
    assert!(bed.jobs.list().await.unwrap().is_empty());
    assert!(!bed.dir.path().join("jobs/x").exists());
}

#[tokio::test]
async fn no_more_run_than_may() {
    let mut bed = Bed::with(|config| config.max_running = 2).await;
    bed.start("a", shell("sleep 1000")).await;
    bed.start("b", shell("sleep 1000")).await;
    let refusal = bed.jobs.start("c", shell("true")).await.unwrap_err();
    assert!(matches!(refusal, JobError::TooManyRunning { limit: 2 }), "{refusal}");
    bed.jobs.cancel("a", 15, None).await.unwrap();
    bed.end_of("a").await;
    bed.start("c", shell("true")).await;
    bed.jobs.cancel("b", 15, None).await.unwrap();
    bed.end_of("b").await;
}

#[tokio::test]
async fn two_hundred_commands_at_a_time_all_end() {
    let mut bed = Bed::new().await;
    let starts: Vec<_> = (0..200)
        .map(|n| {
            let jobs = bed.jobs.clone();
            tokio::spawn(async move {
                jobs.start(&format!("n{n}"), shell(&format!("echo {n}; exit {}", n % 7))).await
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    for n in 0..200 {
        let results = bed.end_of(&format!("n{n}")).await;
        assert_eq!(results.exit_code_or_signal, Some(n % 7));
        assert_eq!(bed.text(&format!("n{n}"), Part::Out).await, format!("{n}\n"));
    }
}

#[tokio::test]
async fn limits_and_niceness_are_the_programs_alone() {
    let mut bed = Bed::new().await;
    let asked =
        option(shell("ulimit -n >&2; ulimit -c >&2; cut -d' ' -f19 /proc/self/stat >&2"), "nice", "7");
    let results = bed.run("limited", option(asked, "limits", "nofile=77,core=0,fsize=1MiB")).await;
    assert_eq!((results.state, results.exit_code_or_signal), (EndState::Done, Some(0)));
    assert_eq!(bed.text("limited", Part::Err).await, "77\n0\n7\n");
    let failed = bed.run("missing", option(program("no-such-tool", &[]), "nice", "1")).await;
    assert_eq!((failed.state, failed.error.unwrap().code), (EndState::Failed, FailureCode::NotFound.into()));
}

#[tokio::test]
async fn a_command_has_the_rights_of_its_user() {
    let mut bed = Bed::new().await;
    let results = bed.run("id", option(shell("id -un >&2; echo $HOME >&2"), "user", "nobody")).await;
    if nix::unistd::Uid::effective().is_root() {
        assert_eq!(results.exit_code_or_signal, Some(0));
        assert!(bed.text("id", Part::Err).await.starts_with("nobody\n/"));
    } else {
        let error = results.error.unwrap();
        assert_eq!(error.code, FailureCode::NotStarted.as_str());
        assert!(error.message.contains("nobody"));
    }
}
