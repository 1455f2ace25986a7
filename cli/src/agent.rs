//! The seam between the verbs and the host agent: where it is, how it is asked, and what its refusals become.
//! Tests put an agent of their own behind [`Agent`].

use super::error::{CliError, Kind};
use super::format;
use super::global::Global;
use crate::{Program, Settings};
use futures_util::future::BoxFuture;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vocable_api::Method;
use vocable_api::client::{Attachment, Client, ClientError, Trust};
use vocable_api::method::write;
use vocable_config::Loaded;
use vocable_xmlrpc::{Value, from_value};

/// Where an agent answers that says nothing else.
const USUAL_URL: &str = "http://127.0.0.1:8700";
/// Where the agent of the whole machine answers.
const SYSTEM_SOCKET: &str = "/run/vocable/api.sock";
/// In the state folder: what an agent that speaks TLS is known by, unless it was given a certificate.
const CERTIFICATE_FILE: &str = "api.crt";
/// In the state folder: where the running agent answers.
const URL_FILE: &str = "agent.url";
/// In the state folder: what callers have to know.
const TOKEN_FILE: &str = "token";
/// How long the agent may take for a call that does not wait for anything.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long one call waits inside the agent before we ask again; the agent allows no more.
pub(super) const LONG_POLL: Duration = Duration::from_secs(20);

pub(super) trait Agent {
    /// Calls a method and waits for its result, at most for `timeout`.
    fn call(&self, method: &str, params: Vec<Value>, timeout: Duration) -> Result<Value, ClientError>;

    /// A client for what is no call: files.
    fn client(&self) -> Option<Client> {
        None
    }

    /// Opens a connection on which both ends speak.
    fn attach<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Attachment, ClientError>>;
}

impl Agent for Client {
    fn call(&self, method: &str, params: Vec<Value>, timeout: Duration) -> Result<Value, ClientError> {
        tracing::debug!(method, "call");
        let result = self.call_by_name(method, params, timeout);
        if let Err(error) = &result {
            tracing::debug!(method, %error, "call failed");
        }
        result
    }

    fn client(&self) -> Option<Client> {
        Some(self.clone())
    }

    fn attach<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Attachment, ClientError>> {
        tracing::debug!(path, "attach");
        Box::pin(Self::attach(self, path))
    }
}

/// An agent, with what is told when it does not want us.
pub(super) struct Connection {
    agent: Box<dyn Agent>,
    token: Token,
}

/// What we show the agent to be let in.
#[derive(Debug)]
struct Token {
    text: String,
    file: PathBuf,
    problem: Option<String>,
}

impl Connection {
    /// Looks up where the agent is and what lets us in. Nothing is sent yet.
    pub(super) fn find(global: &Global) -> Result<Self, CliError> {
        let config = configuration(global)?;
        let url = url(global, &config, variable)?;
        let token = token(global, &config, variable)?;
        let certificates = if url.starts_with("https:") { certificate(&config)? } else { Vec::new() };
        let trust = Trust { certificates, owners: owner(&config.state).into_iter().collect() };
        let client = Client::trusting(&url, token.text.as_str(), &trust).map_err(CliError::from)?;
        Ok(Self { agent: Box::new(client), token })
    }

    #[cfg(test)]
    pub(super) fn to(agent: impl Agent + 'static) -> Self {
        let token = Token { text: String::new(), file: "/state/token".into(), problem: None };
        Self { agent: Box::new(agent), token }
    }

    /// A client for files, for as many threads as there are.
    pub(super) fn client(&self) -> Result<Client, CliError> {
        self.agent.client().ok_or_else(|| CliError::new("internal", "this agent has no files"))
    }

    /// Calls a method that does not wait for anything.
    pub(super) fn ask<M: Method>(&self, method: &M) -> Result<M::Reply, CliError> {
        self.ask_within(method, TIMEOUT)
    }

    /// Calls a method that waits in the agent for `wait`.
    pub(super) fn ask_waiting<M: Method>(&self, method: &M, wait: Duration) -> Result<M::Reply, CliError> {
        self.ask_within(method, wait + TIMEOUT)
    }

    /// Calls a method, with so much time for all of it.
    pub(super) fn ask_within<M: Method>(&self, method: &M, timeout: Duration) -> Result<M::Reply, CliError> {
        let params = write(method).map_err(|error| CliError::bad_argument(error.to_string()))?;
        let reply = self.call_within(M::NAME, params, timeout)?;
        from_value(reply).map_err(|error| CliError::unreadable_reply(M::NAME, &error))
    }

    /// Calls a method that does not wait for anything.
    pub(super) fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, CliError> {
        self.call_within(method, params, TIMEOUT)
    }

    /// Calls a method, with so much time for all of it.
    pub(super) fn call_within(
        &self,
        method: &str,
        params: Vec<Value>,
        timeout: Duration,
    ) -> Result<Value, CliError> {
        self.agent.call(method, params, timeout).map_err(|error| self.explained(error))
    }

    /// Opens a connection on which both ends speak.
    pub(super) async fn attach(&self, path: &str) -> Result<Attachment, CliError> {
        self.agent.attach(path).await.map_err(|error| self.explained(error))
    }

    fn explained(&self, error: ClientError) -> CliError {
        let refused = matches!(error, ClientError::NotAuthorised { .. });
        let error = CliError::from(error);
        match &self.token.problem {
            _ if !refused => error,
            Some(problem) => error.cause(problem.clone()),
            None => error.at(self.token.file.display().to_string()),
        }
    }
}

/// What decides where the agent is. Mistakes elsewhere in the configuration are no reason not to answer.
fn configuration(global: &Global) -> Result<Settings, CliError> {
    let Loaded { value, problems, .. } = load(global)?;
    value.ok_or_else(|| {
        let first = problems.iter().find(|problem| problem.severity == vocable_config::Severity::Error);
        let error = CliError::new("bad-configuration", "the configuration cannot be used");
        let error = first.into_iter().fold(error, |error, problem| {
            error.cause(problem.message.clone()).at(problem.origin.to_string())
        });
        error.hint("vocable config check")
    })
}

/// The configuration with everything that is wrong with it.
pub(super) fn load(global: &Global) -> Result<Loaded<Settings>, CliError> {
    (Program::current()?.load_config)(global.config.clone()).map_err(|error| {
        CliError::new("no-home", error.to_string())
            .hint("set HOME, or name the files: --config, --token-file")
    })
}

/// What an agent that speaks TLS is known by.
fn certificate(config: &Settings) -> Result<Vec<u8>, CliError> {
    let named = Some(&config.certificate).filter(|file| !file.is_empty()).map(PathBuf::from);
    let file = named.unwrap_or_else(|| config.state.join(CERTIFICATE_FILE));
    fs::read(&file).map_err(|error| {
        cannot_read(&file, &error)
            .hint("copy api.crt of the agent's state folder, and name it: client.certificate")
    })
}

/// Whose the state folder is: an agent of that user may be obeyed.
fn owner(state: &Path) -> Option<u32> {
    fs::metadata(state).ok().map(|folder| folder.uid())
}

/// `--agent`, `VOCABLE_AGENT`, `client.agent`, what a running agent has written down, a socket that one listens on, or the
/// usual place.
fn url(
    global: &Global,
    config: &Settings,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, CliError> {
    let named = global.agent.clone().or_else(|| variable("VOCABLE_AGENT"));
    let configured = || Some(config.agent.clone()).filter(|url| !url.is_empty());
    if let Some(url) = named.or_else(configured) {
        return Ok(url);
    }
    let written = optional(&config.state.join(URL_FILE))?.unwrap_or_default();
    let found = written.lines().find_map(reachable);
    let found = found.or_else(|| [config.socket.as_str(), SYSTEM_SOCKET].into_iter().find_map(listening));
    Ok(found.unwrap_or_else(|| USUAL_URL.to_owned()))
}

/// An address that an agent has written down: a socket only if somebody listens there, any other as it is.
fn reachable(url: &str) -> Option<String> {
    match url.strip_prefix("unix:") {
        Some(socket) => listening(socket),
        None => Some(url.to_owned()),
    }
}

/// The socket's address, if somebody listens there and lets us in. Who that is, is asked when something is sent.
fn listening(socket: &str) -> Option<String> {
    UnixStream::connect(socket).is_ok().then(|| format!("unix:{socket}"))
}

/// A token that cannot be read is told only if the agent asks for one: perhaps there is no agent at all.
fn token(
    global: &Global,
    config: &Settings,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Token, CliError> {
    let named = global.token_file.clone().or_else(|| variable("VOCABLE_TOKEN_FILE").map(PathBuf::from));
    if let Some(file) = named {
        let text = fs::read_to_string(&file).map_err(|error| cannot_read(&file, &error))?;
        return Ok(Token { text: text.trim().to_owned(), file, problem: None });
    }
    let file = config.state.join(TOKEN_FILE);
    let (text, problem) = match fs::read_to_string(&file) {
        Ok(text) => (text.trim().to_owned(), None),
        Err(error) => (String::new(), Some(format!("{}: {}", file.display(), format::io(&error)))),
    };
    Ok(Token { text, file, problem })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn optional(file: &Path) -> Result<Option<String>, CliError> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(None)
        }
        Err(error) => Err(cannot_read(file, &error)),
    }
}

fn cannot_read(file: &Path, error: &io::Error) -> CliError {
    CliError::new("cannot-read", format!("{} cannot be read", file.display()))
        .cause(format::io(error))
        .kind(Kind::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A state folder with what a running agent leaves there, and options that lead to it.
    fn machine() -> (tempfile::TempDir, Global) {
        crate::testing::program().set();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vocable.toml");
        let socket = folder.path().join("api.sock");
        fs::write(&file, format!("state = {:?}\napi.socket = {socket:?}\n", folder.path())).unwrap();
        (folder, Global { config: Some(file), ..Global::default() })
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn the_agent_is_where_the_closest_word_says() {
        let (folder, mut global) = machine();
        let found = |global: &Global, variable: fn(&str) -> Option<String>| {
            url(global, &configuration(global).unwrap(), variable).unwrap()
        };
        assert_eq!(found(&global, nothing), USUAL_URL);
        let listener = UnixListener::bind(folder.path().join("api.sock")).unwrap();
        let socket = format!("unix:{}/api.sock", folder.path().display());
        assert_eq!(found(&global, nothing), socket);
        let both = format!("{socket}\nhttp://127.0.0.1:41870\n");
        fs::write(folder.path().join(URL_FILE), both).unwrap();
        assert_eq!(found(&global, nothing), socket, "a socket needs no token");
        drop(listener);
        assert_eq!(found(&global, nothing), "http://127.0.0.1:41870", "nobody listens there any more");
        fs::write(folder.path().join(URL_FILE), "http://127.0.0.1:41870\n").unwrap();
        assert_eq!(found(&global, nothing), "http://127.0.0.1:41870");
        let variable: fn(&str) -> Option<String> =
            |name| (name == "VOCABLE_AGENT").then(|| "http://variable".to_owned());
        assert_eq!(found(&global, variable), "http://variable");
        global.agent = Some("http://flag".to_owned());
        assert_eq!(found(&global, variable), "http://flag");
    }

    #[test]
    fn the_token_is_the_agents_unless_another_file_is_named() {
        let (folder, mut global) = machine();
        let config = configuration(&global).unwrap();
        let missing = token(&global, &config, nothing).unwrap();
        assert!(missing.text.is_empty() && missing.problem.unwrap().contains("ENOENT"));
        fs::write(folder.path().join(TOKEN_FILE), "secret\n").unwrap();
        assert_eq!(token(&global, &config, nothing).unwrap().text, "secret");
        global.token_file = Some(folder.path().join("nowhere"));
        let error = token(&global, &config, nothing).unwrap_err();
        assert_eq!((error.code(), error.exit_code()), ("cannot-read", 2));
    }

    #[test]
    fn a_broken_configuration_is_told_with_its_place() {
        let (folder, global) = machine();
        fs::write(folder.path().join("vocable.toml"), "state = 1\n").unwrap();
        let error =
            configuration(&global).unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "");
        assert!(
            error.starts_with("error[bad-configuration]: the configuration cannot be used\n  cause: "),
            "{error}"
        );
        assert!(error.ends_with("\n  at: /vocable.toml:1\n  hint: vocable config check"), "{error}");
    }
}
