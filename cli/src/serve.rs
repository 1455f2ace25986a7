//! `vocable serve`: what it takes. The agent itself is not of this crate: see [`crate::Program`].

use std::net::SocketAddr;
use std::path::PathBuf;
use vocable_config::Setting;

/// Start the host agent: broker, words and RPC in one process
///
/// It runs until Ctrl-C or SIGTERM. Commands that run on guests go on without it, and it takes them up again when it
/// is back.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Where guests connect, instead of broker.listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub broker: Vec<SocketAddr>,
    /// Where programs and this command line connect, instead of api.listen
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Keep commands, output and tokens in this folder, instead of state
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    /// What runs the machines, instead of hypervisor.driver
    #[arg(long, value_name = "DRIVER", value_parser = ["auto", "virtualbox", "none"])]
    pub hypervisor: Option<String>,
    /// Load the words in this folder too
    #[arg(long, value_name = "FOLDER")]
    pub words: Vec<PathBuf>,
}

impl ServeArgs {
    /// What it sets of the configuration.
    pub fn settings(&self) -> Vec<Setting> {
        let text = |value: String| serde_json::Value::from(value).to_string();
        let set =
            |flag: &str, key: &str, value| Setting { flag: flag.to_owned(), key: key.to_owned(), value };
        let mut settings = Vec::new();
        if !self.broker.is_empty() {
            let addresses: Vec<_> = self.broker.iter().map(|address| text(address.to_string())).collect();
            settings.push(set("--broker", "broker.listen", format!("[{}]", addresses.join(", "))));
        }
        let listen = self.listen.map(|address| format!("[{}]", text(address.to_string())));
        settings.extend(listen.map(|address| set("--listen", "api.listen", address)));
        let state = self.state.as_ref().map(|folder| folder.to_string_lossy().into_owned());
        settings.extend(state.map(|folder| set("--state", "state", text(folder))));
        let driver = self.hypervisor.clone();
        settings.extend(driver.map(|driver| set("--hypervisor", "hypervisor.driver", text(driver))));
        settings
    }
}
