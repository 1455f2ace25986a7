//! The files of a disc that makes a machine a guest: which ones, where, and who may read them. Pure.
//!
//! Everything that runs or is read inside of the machine is a file of `packaging/`, for whoever wants to do it by hand
//! or in another way; only the credential, the identity and the agent itself are added here.

use sha2::{Digest, Sha256};

const INSTALLER: &str = include_str!("../../../packaging/install.sh");
const SYSTEMD: &str = include_str!("../../../packaging/vocable-guest.service");
const OPENRC: &str = include_str!("../../../packaging/vocable-guest.openrc");
const SYSTEM_V: &str = include_str!("../../../packaging/vocable-guest.init");
const BUSYBOX: &str = include_str!("../../../packaging/inittab");
const USER_DATA: &str = include_str!("../../../packaging/user-data");
const PROLOG: &str = include_str!("../../../packaging/prolog.sh");

#[derive(Clone)]
pub(crate) struct SeedDisc {
    /// Its name: the id it logs in by.
    pub(crate) guest: String,
    pub(crate) agent: Vec<u8>,
    pub(crate) token: String,
    /// `HOST:PORT` of the broker; without one it asks port 61613 of its default gateway.
    pub(crate) broker: Option<String>,
    pub(crate) config: Option<String>,
}

#[derive(Clone, Eq, PartialEq)]
pub(crate) struct SeedFile {
    /// Its path, without a leading slash.
    pub(crate) path: String,
    /// Who may do what with it: the lowest nine bits.
    pub(crate) mode: u32,
    pub(crate) content: Vec<u8>,
}

impl SeedFile {
    fn new(path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), mode, content: content.into() }
    }
}

impl std::fmt::Debug for SeedFile {
    /// Without the content, of which one is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:o} {} ({} bytes)", self.mode, self.path, self.content.len())
    }
}

impl SeedDisc {
    /// The files of the disc. `user-data` and `meta-data` are what cloud-init looks for (data source NoCloud),
    /// `prolog.sh` is what the contextualisation of CernVM looks for (that of HEPiX); both run the same installer.
    pub(crate) fn files(&self) -> Vec<SeedFile> {
        let mut files = vec![
            SeedFile::new("meta-data", 0o644, self.meta_data()),
            SeedFile::new("prolog.sh", 0o644, PROLOG),
            SeedFile::new("user-data", 0o644, USER_DATA),
        ];
        let folder = [
            SeedFile::new("install.sh", 0o755, INSTALLER),
            SeedFile::new("vocable-guest", 0o755, self.agent.as_slice()),
            SeedFile::new("vocable-guest.service", 0o644, SYSTEMD),
            SeedFile::new("vocable-guest.openrc", 0o755, OPENRC),
            SeedFile::new("vocable-guest.init", 0o755, SYSTEM_V),
            SeedFile::new("inittab", 0o644, BUSYBOX),
            SeedFile::new("token", 0o600, format!("{}\n", self.token)),
            SeedFile::new("seed.toml", 0o644, self.settings()),
        ];
        let config = self.config.iter().map(|text| SeedFile::new("guest.toml", 0o644, text.as_str()));
        files.extend(
            folder
                .into_iter()
                .chain(config)
                .map(|file| SeedFile { path: format!("vocable/{}", file.path), ..file }),
        );
        files
    }

    /// What the agent cannot find out by itself, as a file for its `guest.d`.
    fn settings(&self) -> String {
        // A guest's id and an address need no escapes; what JSON would escape, TOML escapes alike.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut text = format!("# Made by vocable guest-image.\nid = {}\n", quoted(&self.guest));
        if let Some(broker) = &self.broker {
            text.push_str(&format!("broker = {}\n", quoted(broker)));
        }
        text
    }

    /// cloud-init acts once for each instance-id. So it is another one for another credential: the machine takes the
    /// new one when it boots with the new disc.
    fn meta_data(&self) -> String {
        let digest = Sha256::digest([&self.guest, ":", &self.token].concat());
        let mark: String = hex::encode(digest).chars().take(8).collect();
        let mut text = format!("instance-id: vocable-{}-{mark}\n", self.guest);
        // RFC 1123: what a host may be called is less than what a guest may be called.
        let is_label = self.guest.len() <= 63
            && self.guest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !self.guest.ends_with('-')
            && self.guest.chars().any(|c| c.is_ascii_alphabetic());
        if is_label {
            text.push_str(&format!("local-hostname: {}\n", self.guest));
        }
        text
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn disc(guest: &str) -> SeedDisc {
        SeedDisc {
            guest: guest.to_owned(),
            agent: b"the agent".to_vec(),
            token: "vg_secret".to_owned(),
            broker: None,
            config: None,
        }
    }

    fn content(disc: &SeedDisc, path: &str) -> String {
        let file = disc.files().into_iter().find(|file| file.path == path);
        String::from_utf8(file.unwrap_or_else(|| panic!("no {path}")).content).unwrap()
    }

    #[test]
    fn a_disc_has_all_that_a_machine_needs_and_the_secret_is_for_nobody_else() {
        let disc = SeedDisc { config: Some("beacon = \"1s\"\n".into()), ..disc("vm1") };
        let told: Vec<_> = disc.files().iter().map(|file| format!("{:o} {}", file.mode, file.path)).collect();
        insta::assert_snapshot!(told.join("\n"), @"
        644 meta-data
        644 prolog.sh
        644 user-data
        755 vocable/install.sh
        755 vocable/vocable-guest
        644 vocable/vocable-guest.service
        755 vocable/vocable-guest.openrc
        755 vocable/vocable-guest.init
        644 vocable/inittab
        600 vocable/token
        644 vocable/seed.toml
        644 vocable/guest.toml
        ");
        assert_eq!(content(&disc, "vocable/token"), "vg_secret\n");
        assert_eq!(content(&disc, "vocable/guest.toml"), "beacon = \"1s\"\n");
        assert!(!format!("{:?}", disc.files()).contains("secret"));
    }

    #[test]
    fn the_agent_learns_its_name_and_if_need_be_its_broker() {
        assert_eq!(
            content(&disc("vm1"), "vocable/seed.toml"),
            "# Made by vocable guest-image.\nid = \"vm1\"\n"
        );
        let far = SeedDisc { broker: Some("10.0.0.1:61613".into()), ..disc("vm1") };
        assert!(content(&far, "vocable/seed.toml").ends_with("broker = \"10.0.0.1:61613\"\n"));
    }

    #[test]
    fn another_credential_is_another_instance() {
        let (one, other) = (disc("vm1"), SeedDisc { token: "vg_other".into(), ..disc("vm1") });
        assert_eq!(content(&one, "meta-data"), content(&one.clone(), "meta-data"));
        assert_ne!(content(&one, "meta-data"), content(&other, "meta-data"));
        assert!(content(&one, "meta-data").starts_with("instance-id: vocable-vm1-"));
    }

    #[test]
    fn a_machine_is_called_like_its_guest_where_machines_may_be_called_so() {
        assert!(content(&disc("vm-1"), "meta-data").ends_with("local-hostname: vm-1\n"));
        for guest in ["vm_1", "a.b", "12", "vm-"] {
            assert!(!content(&disc(guest), "meta-data").contains("local-hostname"), "{guest}");
        }
    }
}
