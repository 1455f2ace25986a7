//! A word in the lexicon: a component, and what holds for it here.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::health::{Account, Health, WordState};
use crate::contract::{ALWAYS_GRANTED, EVENTS, Refusal};
use crate::engine::{Fault, WordComponent};
use crate::error::{LoadError, WordError, WordSource};
use crate::folders::Folders;
use crate::policy::Policy;

/// A word as others may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct WordInfo {
    /// The first token of a body.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One line of help.
    pub summary: String,
    /// Digest of the component, in hexadecimal.
    pub sha256: String,
    /// Where it came from.
    pub source: WordSource,
    /// The version of the contract it was built with.
    pub contract: String,
    /// The interfaces it imports, by their full names.
    pub imports: Vec<String>,
    /// The interfaces the operator grants it, by their short names.
    pub grants: BTreeSet<String>,
    /// The events on which it is said.
    pub on: Vec<String>,
    /// JSON Schema of the arguments, as JSON text.
    pub parameters: String,
    /// JSON Schema of the answer, as JSON text.
    pub reply: String,
    /// Calls since this component was loaded.
    pub calls: u64,
    /// How many of them went wrong.
    pub traps: u64,
    /// How it does.
    pub state: WordState,
}

/// A component with the policy under which it was let in.
pub(crate) struct Word {
    name: Arc<str>,
    pub(crate) component: Arc<WordComponent>,
    pub(crate) source: WordSource,
    pub(crate) policy: Policy,
    pub(crate) reach: Arc<BTreeSet<String>>,
    /// The folders whose files it may touch.
    pub(crate) folders: Arc<Folders>,
    counters: Arc<Counters>,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    traps: AtomicU64,
}

/// Whether a policy lets a component in, on an agent with these interfaces.
pub(crate) fn require_grants(
    component: &WordComponent,
    policy: &Policy,
    here: &[&str],
) -> Result<(), LoadError> {
    let needs: Vec<_> = component.needs(here).map(str::to_owned).collect();
    let interfaces: Vec<_> = needs.iter().filter(|name| !policy.grants.contains(*name)).cloned().collect();
    if interfaces.is_empty() {
        return Ok(());
    }
    Err(LoadError::NotGranted { word: component.about.name.clone(), interfaces, needs })
}

impl Word {
    /// A word that takes the place of another, or of none; of the same component it goes on counting.
    pub(crate) fn new(
        component: Arc<WordComponent>,
        source: WordSource,
        policy: Policy,
        here: &[&str],
        old: Option<&Self>,
    ) -> Self {
        let counters =
            old.filter(|old| old.component.sha256 == component.sha256).map(|old| old.counters.clone());
        let granted = here.iter().copied().filter(|interface| policy.grants.contains(*interface));
        let reach = granted.chain(ALWAYS_GRANTED).map(str::to_owned).collect();
        let word = Self {
            name: component.about.name.as_str().into(),
            component,
            source,
            folders: Arc::new(policy.folders.clone()),
            policy,
            reach: Arc::new(reach),
            counters: counters.unwrap_or_default(),
            health: Mutex::default(),
        };
        word.warn_of_unknown_events();
        word
    }

    /// Whether a new word like that would be no other than this.
    pub(crate) fn is(&self, component: &WordComponent, source: &WordSource, policy: &Policy) -> bool {
        self.component.sha256 == component.sha256 && self.source == *source && self.policy == *policy
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The events on which it is said.
    pub(crate) fn on(&self) -> &[String] {
        self.policy.binds.as_ref().unwrap_or(&self.component.about.on)
    }

    pub(crate) fn info(&self) -> WordInfo {
        let about = &self.component.about;
        WordInfo {
            name: about.name.clone(),
            version: about.version.clone(),
            summary: about.summary.clone(),
            sha256: self.component.sha256.clone(),
            source: self.source.clone(),
            contract: self.component.contract.clone(),
            imports: self.component.imports.clone(),
            grants: self.policy.grants.clone(),
            on: self.on().to_vec(),
            parameters: about.parameters.to_string(),
            reply: about.reply.to_string(),
            calls: self.counters.calls.load(Ordering::Relaxed),
            traps: self.counters.traps.load(Ordering::Relaxed),
            state: self.health().state(Instant::now()),
        }
    }

    /// Whether it may work on an account.
    pub(crate) fn admit(&self, account: Account<'_>) -> Result<(), WordError> {
        let now = Instant::now();
        self.health().admit(account, now).map_err(|rest| WordError::Quarantined {
            word: self.name().to_string(),
            remaining: rest.until.saturating_duration_since(now),
            reason: rest.reason,
        })
    }

    /// Enters how a call ended in the books. Gives the reason if it means quarantine.
    pub(crate) fn record<T>(
        &self,
        account: Account<'_>,
        outcome: Result<Result<T, Refusal>, Fault>,
    ) -> (Result<T, WordError>, Option<String>) {
        self.counters.calls.fetch_add(1, Ordering::Relaxed);
        let word = self.name().to_string();
        let fault = match outcome {
            Ok(answer) => {
                self.health().succeeded(account);
                return (answer.map_err(|refusal| WordError::Refused { word, refusal }), None);
            }
            // Nobody's fault but the agent's.
            Err(Fault::AgentBusy(why)) => {
                return (Err(WordError::Refused { word, refusal: Refusal::Failed(why) }), None);
            }
            Err(fault) => fault,
        };
        self.counters.traps.fetch_add(1, Ordering::Relaxed);
        let reason = fault.to_string();
        let quarantine = self.health().failed(account, &reason, &self.policy.limits, Instant::now());
        let error = match fault {
            Fault::Computed(limit) => WordError::Computed { word, limit },
            Fault::AgentBusy(why) => WordError::Refused { word, refusal: Refusal::Failed(why) },
            Fault::NotLoaded(reason) => WordError::NotLoaded { word, reason },
            Fault::TooLong(limit) => WordError::TooLong { word, limit },
            Fault::Trapped(message) => WordError::Trapped { word, message },
        };
        (Err(error), quarantine)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn_of_unknown_events(&self) {
        for event in self.on().iter().filter(|event| !EVENTS.contains(&event.as_str())) {
            let event: String = event.chars().take(80).collect();
            tracing::warn!(word = &**self.name(), "bound to {event:?}, which is no event of this agent");
        }
    }
}
