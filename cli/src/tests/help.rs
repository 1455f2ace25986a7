//! The texts of help, so that they change only on purpose.

use crate::testing::{FakeAgent, vocable};

/// Without blanks at ends of lines, and without what the agent itself and the demonstration say of themselves.
fn help(line: &[&str]) -> String {
    let others = |line: &str| ["  serve ", "  demo "].iter().any(|verb| line.starts_with(verb));
    let shown = |line: &str| format!("{}\n", if others(line) { &line[..8] } else { line }.trim_end());
    vocable(&FakeAgent::default(), line).lines().map(shown).collect()
}

/// Without the options that every verb has; that they are there is checked.
fn own(line: &[&str]) -> String {
    let help = help(line);
    let (own, common) = help.split_once("\nOptions of every verb:\n").unwrap();
    assert!(common.contains("--json") && common.contains("--agent <URL>"));
    own.to_owned()
}

#[test]
fn of_vocable() {
    insta::assert_snapshot!(help(&["-h"]), @"
    Run commands, ask words and watch a fleet of virtual machines

    Usage: vocable [OPTIONS] <VERB>

    Run
      run         Run a command in guests
      ps          List commands: those under way, or all
      logs        Print what commands have written, live or past
      wait        Wait until commands are over
      attach      Attach to a running command
      kill        End commands, with all their processes
      top         Show what running commands use, until Ctrl-C
      rm          Remove commands that are over, with all their output

    Files
      cp          Copy files to guests and back
      ls          List a folder of a guest
      df          Show disk space in the folders of guests

    Fleet
      guests      List guests with their states
      why         Diagnose guests that do not answer
      events      Print events as they happen

    Words
      ask         Say a word to guests and collect their answers
      words       List words of the host, or show one

    Machines
      vm          Manage the machines guests are in: list, create, start, stop, snapshots, consoles

    Setup
      serve
      demo
      token       Manage credentials of guests
      guest-image Create a disc that installs the guest agent in a machine
      config      Show and check the configuration
      api         Call a method of the agent, or list them
      completion  Print the line that enables completion in a shell

    Options
          --json               Print replies of the agent as JSON
      -q, --quiet              Print errors only; lists print names only
      -v, --verbose...         Log calls to the agent on standard error; -vv for more
          --color <WHEN>       When to use colour [possible values: auto, always, never]
          --agent <URL>        Address of the host agent [default: as in its state folder, else its
                               socket, else http://127.0.0.1:8700]
          --token-file <FILE>  File with the token of the agent [default: `token` in the state folder]
          --config <FILE>      Configuration file to use instead of the default ones
          --no-trunc           Do not truncate tables to the width of the terminal
      -h, --help               Print help (see more with '--help')
      -V, --version            Print version
    ");
    insta::assert_snapshot!(help(&["--help"]), @"
    Run commands, ask words and watch a fleet of virtual machines

    Usage: vocable [OPTIONS] <VERB>

    Run
      run         Run a command in guests
      ps          List commands: those under way, or all
      logs        Print what commands have written, live or past
      wait        Wait until commands are over
      attach      Attach to a running command
      kill        End commands, with all their processes
      top         Show what running commands use, until Ctrl-C
      rm          Remove commands that are over, with all their output

    Files
      cp          Copy files to guests and back
      ls          List a folder of a guest
      df          Show disk space in the folders of guests

    Fleet
      guests      List guests with their states
      why         Diagnose guests that do not answer
      events      Print events as they happen

    Words
      ask         Say a word to guests and collect their answers
      words       List words of the host, or show one

    Machines
      vm          Manage the machines guests are in: list, create, start, stop, snapshots, consoles

    Setup
      serve
      demo
      token       Manage credentials of guests
      guest-image Create a disc that installs the guest agent in a machine
      config      Show and check the configuration
      api         Call a method of the agent, or list them
      completion  Print the line that enables completion in a shell

    Options
          --json
              Print replies of the agent as JSON

      -q, --quiet
              Print errors only; lists print names only

      -v, --verbose...
              Log calls to the agent on standard error; -vv for more

          --color <WHEN>
              When to use colour

              [possible values: auto, always, never]

          --agent <URL>
              Address of the host agent [default: as in its state folder, else its socket, else
              http://127.0.0.1:8700]

          --token-file <FILE>
              File with the token of the agent [default: `token` in the state folder]

          --config <FILE>
              Configuration file to use instead of the default ones

          --no-trunc
              Do not truncate tables to the width of the terminal

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Targets
      vm1               a guest by its name
      'cern-*'          a glob; quote it, or the shell expands it
      @lab              a group of the configuration
      vm1,@lab,'pi-*'   several of them

    Exit codes
      run, wait         of one command its own code, 128+n if signal n ended it, 124 if its time
                        ran out, 126 if the guest could not execute it, 127 if it has no such
                        program, 125 if the reason is ours; of several commands 0 if all are 0,
                        123 if one failed, 125 if one was not asked or is lost
      everything else   0 done or yes, 1 failed or no, 2 wrong usage, 3 no agent, 4 not allowed,
                        124 timed out, 130 interrupted

    Files and variables
      VOCABLE_AGENT, VOCABLE_TOKEN_FILE, VOCABLE_CONFIG, NO_COLOR; vocable config list
    ");
    assert_eq!(
        help(&[]),
        help(&["-h"]).replacen("Run commands", "------- stderr\nRun commands", 1) + "------- exit code 2\n"
    );
}

#[test]
fn of_run() {
    insta::assert_snapshot!(own(&["run", "-h"]), @"
    Run a command in guests

    Usage: vocable run [OPTIONS] <TARGET> <COMMAND>...

    Arguments:
      <TARGET>      Target: a guest, a glob, @group, or several of them separated by commas
      <COMMAND>...  The program and its arguments; `--` before it if it begins with a dash

    Options:
      -d, --detach                   Print the id and leave the command running
          --timeout <TIME>           End the command after this time: 10s, 5m, 1h30m
      -e, --env <NAME=VALUE>         Set an environment variable
      -w, --workdir <DIR>            Working directory
      -i, --stdin                    Send it our standard input, as it comes
      -t, --tty                      Give it a terminal; with -i it is ours
      -u, --user <USER>              Run as this user, if the guest's agent may
          --nice <N>                 Scheduling priority (niceness), -20 to 19
          --limits <NAME=VALUE,...>  Resource limits: nofile=1024,as=1GiB
          --on-disconnect <WHAT>     What becomes of it when its guest loses the host, or when we are
                                     hung up [possible values: keep, kill]
          --detach-keys <KEY>        With -t: the key after which `d` detaches, `k` kills and `?` helps,
                                     or none [default: ctrl-]]
          --except <TARGET>          Not on these guests
          --alive                    Of a glob or group only the guests that are online now
          --limit <N>                Only on so many of the guests, chosen at random: 10, or 10%
          --queue[=<TIME>]           Wait for guests that are offline, so long; without a time 1h
          --deadline <TIME>          End it after this time wherever it is, and wait no longer
          --id <ID>                  Choose its id: a retry with the same id runs nothing twice
          --status <FILE>            Write how it ended to a file, as JSON
          --usage                    Print resource usage when it is over
          --shell                    Run it with /bin/sh -c
      -N, --no-prefix                Print the lines of several guests without their names
      -h, --help                     Print help (see more with '--help')
    ");
    insta::assert_snapshot!(own(&["run", "--help"]), @r"
    Run a command in guests

    The command runs without a shell, and goes on whatever becomes of this connection. Of one guest its
    output comes as it is and its exit code becomes ours; of several it comes in lines that begin with
    the guest's name. Options may stand after TARGET too; everything after COMMAND is the command's own.
    Ctrl-C interrupts the command with all its processes, a second one kills it, a third one waits no
    longer; Ctrl-\ leaves it running.

    Usage: vocable run [OPTIONS] <TARGET> <COMMAND>...

    Arguments:
      <TARGET>
              Target: a guest, a glob, @group, or several of them separated by commas

      <COMMAND>...
              The program and its arguments; `--` before it if it begins with a dash

    Options:
      -d, --detach
              Print the id and leave the command running

          --timeout <TIME>
              End the command after this time: 10s, 5m, 1h30m

      -e, --env <NAME=VALUE>
              Set an environment variable

      -w, --workdir <DIR>
              Working directory

      -i, --stdin
              Send it our standard input, as it comes

      -t, --tty
              Give it a terminal; with -i it is ours

      -u, --user <USER>
              Run as this user, if the guest's agent may

          --nice <N>
              Scheduling priority (niceness), -20 to 19

          --limits <NAME=VALUE,...>
              Resource limits: nofile=1024,as=1GiB

          --on-disconnect <WHAT>
              What becomes of it when its guest loses the host, or when we are hung up

              [possible values: keep, kill]

          --detach-keys <KEY>
              With -t: the key after which `d` detaches, `k` kills and `?` helps, or none

              [default: ctrl-]]

          --except <TARGET>
              Not on these guests

          --alive
              Of a glob or group only the guests that are online now

          --limit <N>
              Only on so many of the guests, chosen at random: 10, or 10%

          --queue[=<TIME>]
              Wait for guests that are offline, so long; without a time 1h

          --deadline <TIME>
              End it after this time wherever it is, and wait no longer

          --id <ID>
              Choose its id: a retry with the same id runs nothing twice

          --status <FILE>
              Write how it ended to a file, as JSON

          --usage
              Print resource usage when it is over

          --shell
              Run it with /bin/sh -c

      -N, --no-prefix
              Print the lines of several guests without their names

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn of_commands() {
    insta::assert_snapshot!(own(&["kill", "-h"]), @r#"
    End commands, with all their processes

    Usage: vocable kill [OPTIONS] [ID]...

    Arguments:
      [ID]...  Commands, or the beginnings of their ids

    Options:
      -s, --signal <SIGNAL>  Send only this signal, once, and don't wait: INT, HUP, 10
          --grace <TIME>     Time between TERM and KILL [default: the command's own, usually 10s]
          --all <TARGET>     All commands under way on these guests
      -y, --yes              Don't ask before ending all
      -h, --help             Print help (see more with '--help')
    "#);
    insta::assert_snapshot!(own(&["top", "-h"]), @r#"
    Show what running commands use, until Ctrl-C

    Usage: vocable top [OPTIONS] [TARGET]

    Arguments:
      [TARGET]  Only commands of these guests: names and globs, separated by commas

    Options:
          --once             Look once; always so where no person looks at the output, unless --interval
                             is given
          --interval <TIME>  Time between two looks [default: 2s]
          --sort <COLUMN>    What comes first [default: cpu] [possible values: cpu, rss, read, write,
                             procs, guest]
      -h, --help             Print help (see more with '--help')
    "#);
    insta::assert_snapshot!(own(&["ps", "-h"]), @r#"
    List commands: those under way, or all

    Usage: vocable ps [OPTIONS] [TARGET]

    Arguments:
      [TARGET]  Only commands of these guests: names and globs, separated by commas

    Options:
      -a, --all            Those that are over too
          --state <STATE>  Only commands in this state [possible values: queued, running, done, timeout,
                           cancelled, lost, failed]
          --since <TIME>   Only commands asked for in the time up to now: 10m, 2h, 3d
      -n, --limit <N>      At most so many, the newest [default: 1000]
      -h, --help           Print help
    "#);
    insta::assert_snapshot!(own(&["logs", "-h"]), @"
    Print what commands have written, live or past

    Usage: vocable logs [OPTIONS] <ID>...

    Arguments:
      <ID>...  Commands, or the beginnings of their ids

    Options:
      -f, --follow      Go on until the command is over
      -n, --lines <N>   Only the last lines, of each stream
          --offset <N>  From this byte of standard output on
          --stdout      Only standard output
          --stderr      Only standard error
      -h, --help        Print help (see more with '--help')
    ");
    insta::assert_snapshot!(own(&["wait", "-h"]), @r#"
    Wait until commands are over

    Usage: vocable wait [OPTIONS] <ID>...

    Arguments:
      <ID>...  Commands, or the beginnings of their ids

    Options:
          --timeout <TIME>  Wait no longer than this: 10s, 5m, 1h30m. The commands go on
          --any             Only until one of them is over
      -h, --help            Print help (see more with '--help')
    "#);
}

#[test]
fn of_the_fleet() {
    insta::assert_snapshot!(own(&["guests", "-h"]), @"
    List guests with their states

    Usage: vocable guests [OPTIONS] [TARGET]

    Arguments:
      [TARGET]  Names and globs, separated by commas [default: all guests]

    Options:
          --state <STATE>  Only guests in this state [possible values: alive, joined, late, lost, left,
                           never]
      -h, --help           Print help
    ");
    insta::assert_snapshot!(own(&["why", "-h"]), @"
    Diagnose guests that do not answer

    Usage: vocable why [OPTIONS] [TARGET]...

    Arguments:
      [TARGET]...  Names and globs [default: all guests that are not well]

    Options:
      -a, --all   Show the checks of guests that are well, too
      -h, --help  Print help (see more with '--help')
    ");
    insta::assert_snapshot!(own(&["events", "-h"]), @"
    Print events as they happen

    Usage: vocable events [OPTIONS]

    Options:
          --since <WHEN>  Show events since: 10m, 14:00, 2026-11-22T08:00Z, or an event's number as
                          '#4811' [default: now]
          --kind <KIND>   Only events of these kinds; globs separated by commas: 'guest.*,cmd.done'
          --no-follow     Exit after the events so far
      -h, --help          Print help (see more with '--help')
    ");
}

#[test]
fn of_words() {
    insta::assert_snapshot!(own(&["ask", "-h"]), @"
    Say a word to guests and collect their answers

    Usage: vocable ask [OPTIONS] <WORD> [NAME=VALUE]...

    Arguments:
      <WORD>           The word
      [NAME=VALUE]...  Arguments of the word: NAME=VALUE, or a JSON object

    Options:
          --to <TARGET>     Target: a guest, a glob, @group, or several of them separated by commas
                            [default: *]
          --args <JSON>     Arguments of the word, as a JSON object
          --timeout <TIME>  How long to wait for answers, at most 20s [default: 10s]
          --table           Print a table even if the answers have several shapes
      -h, --help            Print help (see more with '--help')
    ");
    insta::assert_snapshot!(own(&["words", "-h"]), @"
    List words of the host, or show one

    Usage: vocable words [OPTIONS] [WORD]

    Arguments:
      [WORD]  A word: what it takes, answers and may do

    Options:
      -h, --help  Print help
    ");
}

#[test]
fn of_setup() {
    insta::assert_snapshot!(own(&["token", "-h"]), @"
    Manage credentials of guests

    Usage: vocable token [OPTIONS] <COMMAND>

    Commands:
      new  Create a credential for a guest and print it, once

    Options:
      -h, --help  Print help
    ");
    insta::assert_snapshot!(own(&["token", "new", "-h"]), @"
    Create a credential for a guest and print it, once

    Usage: vocable token new [OPTIONS] <GUEST>

    Arguments:
      <GUEST>  Name of the guest; it need not be known yet

    Options:
      -h, --help  Print help (see more with '--help')
    ");
    insta::assert_snapshot!(own(&["api", "-h"]), @"
    Call a method of the agent, or list them

    Usage: vocable api [OPTIONS] [METHOD] [JSON]...

    Arguments:
      [METHOD]   Name of the method [default: list all methods]
      [JSON]...  Its parameters, as JSON

    Options:
      -l, --list    Describe the method instead of calling it
          --python  Print the call as Python
      -h, --help    Print help (see more with '--help')
    ");
    insta::assert_snapshot!(own(&["config", "-h"]), @"
    Show and check the configuration

    Usage: vocable config [OPTIONS] <COMMAND>

    Commands:
      check    Check the configuration; exits with 1 if there are errors
      default  Print the default configuration file, with every key explained
      list     List every key with its value and origin

    Options:
      -h, --help  Print help
    ");
    insta::assert_snapshot!(own(&["config", "list", "-h"]), @"
    List every key with its value and origin

    Usage: vocable config list [OPTIONS]

    Options:
          --changed  Only keys that are set
      -h, --help     Print help
    ");
    insta::assert_snapshot!(own(&["completion", "-h"]), @"
    Print the line that enables completion in a shell

    Usage: vocable completion [OPTIONS] <SHELL>

    Arguments:
      <SHELL>  The shell [possible values: bash, elvish, fish, powershell, zsh]

    Options:
      -h, --help  Print help (see more with '--help')
    ");
}

#[test]
fn of_files() {
    insta::assert_snapshot!(own(&["cp", "-h"]), @"
    Copy files to guests and back

    Usage: vocable cp [OPTIONS] <SRC>... <DST>

    Arguments:
      <SRC>...  What to copy: files and folders here, or GUEST:PATH
      <DST>     Where to: GUEST:PATH or a file or folder here; with a / at the end, into that folder

    Options:
      -r, --recursive       Copy folders with all that is in them
          --no-resume       Ignore what is already there
          --exclude <GLOB>  Leave out what matches: a name, or a path below the folder that is copied;
                            may be repeated
          --delete          Remove from the destination folder what is not in the source, and replace
                            what is of another kind
      -p, --preserve        Also copy set-user-id bits, and links that lead out of the folder
      -h, --help            Print help (see more with '--help')
    ");
    insta::assert_snapshot!(own(&["ls", "-h"]), @"
    List a folder of a guest

    Usage: vocable ls [OPTIONS] <GUEST:PATH>...

    Arguments:
      <GUEST:PATH>...  Folders and files; GUEST:/ shows the folders that the guest offers

    Options:
      -l, --long       Long format: modes, sizes and times (default on a terminal)
      -a, --all        Include names that begin with a dot
      -R, --recursive  List folders with all that is in them
      -h, --help       Print help
    ");
    insta::assert_snapshot!(own(&["df", "-h"]), @"
    Show disk space in the folders of guests

    Usage: vocable df [OPTIONS] <TARGET>

    Arguments:
      <TARGET>  Guests: names, globs and @groups, separated by commas

    Options:
      -h, --help  Print help
    ");
}

#[test]
fn of_guest_image() {
    insta::assert_snapshot!(own(&["guest-image", "-h"]), @"
    Create a disc that installs the guest agent in a machine

    Usage: vocable guest-image [OPTIONS] --name <NAME>

    Options:
          --name <NAME>              Name of the guest; it need not be known yet
      -o, --output <FILE>            File to write the disc to [default: NAME.iso]
          --force                    Replace that file if it exists
          --broker <HOST:PORT>       Address of the broker [default: port 61613 of the guest's default
                                     gateway]
          --guest-token-file <FILE>  Use this credential of `vocable token new` instead of a new one; -
                                     is standard input
          --guest-config <FILE>      Configuration of the guest agent, installed as
                                     /etc/vocable/guest.toml
          --guest-agent <FILE>       Guest agent to install [default: vocable-guest beside this program]
          --dynamic                  Accept an agent that is not static: the machine has to have the
                                     libraries it needs
          --dry-run                  List the files of the disc; create no credential and no disc
      -h, --help                     Print help (see more with '--help')
    ");
}
