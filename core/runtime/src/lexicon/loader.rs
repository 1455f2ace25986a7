//! Decides which components are the words: reads what there is, examines what is new, compares it with
//! the policies, and settles who wins. The outcome is a table; putting it to use is the lexicon's.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::sources::{Candidate, Found, Sources};
use super::table::Table;
use super::word::{Word, require_grants};
use crate::engine::{Content, Engine, WordComponent};
use crate::error::{LoadError, Problem, WordSource};
use crate::policy::{Policies, Policy};

/// What is known about components that are, or lately were, somewhere to be loaded.
pub(crate) struct Loader {
    engine: Engine,
    /// The interfaces that exist on this agent.
    here: Vec<&'static str>,
    sources: Sources,
    pub(crate) policies: Policies,
    /// By digest, so that nothing is compiled twice.
    examined: HashMap<String, Result<Arc<WordComponent>, LoadError>>,
    /// What each file held when it last was sound: it stays in use while the file is not.
    last_good: HashMap<PathBuf, Arc<WordComponent>>,
    problems: Vec<Problem>,
}

/// What loading has come to.
pub(crate) struct Outcome {
    pub(crate) table: Table,
    /// Problems that were not there at the last look.
    pub(crate) new_problems: Vec<Problem>,
    /// A file is not sound, but may only be half written: look again when it has been left alone.
    pub(crate) unsettled: bool,
}

/// The choice as it is being made.
#[derive(Default)]
struct Choice {
    words: BTreeMap<String, (Arc<WordComponent>, WordSource)>,
    problems: Vec<Problem>,
    unsettled: bool,
}

impl Loader {
    pub(crate) fn new(engine: Engine, here: Vec<&'static str>, sources: Sources, policies: Policies) -> Self {
        Self {
            engine,
            here,
            sources,
            policies,
            examined: HashMap::new(),
            last_good: HashMap::new(),
            problems: Vec::new(),
        }
    }

    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Looks at everything. With `lenient`, a file that is not sound and was not seen before is not
    /// held against anybody yet.
    pub(crate) async fn load(&mut self, old: &Table, lenient: bool) -> Outcome {
        let sources = self.sources.clone();
        let mut found = tokio::task::spawn_blocking(move || sources.read()).await.unwrap_or_default();
        self.examine(&found).await;
        let mut choice = Choice { problems: std::mem::take(&mut found.problems), ..Choice::default() };
        for layer in &found.layers {
            self.choose_from(layer, lenient, &mut choice);
        }
        self.forget_all_but(&found);
        let words = choice.words.into_values().map(|(component, source)| self.word(component, source, old));
        let table = Table::new(words.collect());
        let new_problems = choice.problems.iter().filter(|it| !self.problems.contains(it)).cloned().collect();
        self.problems = choice.problems;
        Outcome { table, new_problems, unsettled: choice.unsettled }
    }

    /// Examines what has not been seen, as many at a time as there are processors.
    async fn examine(&mut self, found: &Found) {
        let at_once = Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from)));
        let mut tasks = JoinSet::new();
        let mut begun: Vec<&str> = Vec::new();
        for content in found.sound() {
            let sha256 = &content.sha256;
            if self.examined.contains_key(sha256) || begun.contains(&sha256.as_str()) {
                continue;
            }
            begun.push(sha256);
            let (engine, at_once) = (self.engine.clone(), at_once.clone());
            let content = content.clone();
            tasks.spawn(async move {
                let _turn = at_once.acquire_owned().await;
                let sha256 = content.sha256.clone();
                let examined = WordComponent::examine(&engine, content).await;
                (sha256, examined.map(Arc::new))
            });
        }
        while let Some(finished) = tasks.join_next().await {
            self.examined.extend(finished);
        }
    }

    /// Chooses words from one layer; they win over those of the layers before.
    fn choose_from(&mut self, layer: &[Candidate], lenient: bool, choice: &mut Choice) {
        let mut taken: BTreeMap<String, WordSource> = BTreeMap::new();
        for candidate in layer {
            let source = &candidate.source;
            let component = match self.judge(candidate) {
                Ok(component) => {
                    self.remember(source, &component);
                    Some(component)
                }
                Err(error) => {
                    self.object(source, error, lenient, choice);
                    self.last_good_of(source)
                }
            };
            let Some(component) = component.filter(|it| self.policies.of(&it.about.name).enabled) else {
                continue;
            };
            let name = component.about.name.clone();
            if let Some(first) = taken.get(&name) {
                let error = LoadError::Duplicate { word: name, first: first.clone() };
                choice.problems.push(Problem { origin: source.clone(), error });
                continue;
            }
            taken.insert(name.clone(), source.clone());
            choice.words.insert(name, (component, source.clone()));
        }
    }

    /// Whether a candidate can be used. One that is switched off needs no grants.
    fn judge(&self, candidate: &Candidate) -> Result<Arc<WordComponent>, LoadError> {
        let content = candidate.content.as_ref().map_err(LoadError::clone)?;
        let unexamined = || Err(LoadError::Invalid("its examination was interrupted".to_owned()));
        let component = self.examined.get(&content.sha256).cloned().unwrap_or_else(unexamined)?;
        let policy = self.policy(&component);
        if policy.enabled {
            require_grants(&component, &policy, &self.here)?;
        }
        Ok(component)
    }

    /// What holds for a component. One that is part of the program may do what it was made for; another of the same name
    /// has to be granted it, however much it looks like it.
    fn policy(&self, component: &WordComponent) -> Cow<'_, Policy> {
        let mut policy = Cow::Borrowed(self.policies.of(&component.about.name));
        if component.built_in {
            policy.to_mut().grants.extend(component.needs(&self.here).map(str::to_owned));
        }
        policy
    }

    fn object(&self, source: &WordSource, error: LoadError, lenient: bool, choice: &mut Choice) {
        let may_be_unfinished = error.may_be_unfinished();
        let problem = Problem { origin: source.clone(), error };
        if lenient && may_be_unfinished && !self.problems.contains(&problem) {
            choice.unsettled = true;
        } else {
            choice.problems.push(problem);
        }
    }

    fn remember(&mut self, source: &WordSource, component: &Arc<WordComponent>) {
        if let WordSource::File(path) = source {
            self.last_good.insert(path.clone(), component.clone());
        }
    }

    /// What the file held before it was spoilt, unless that may not be used any more.
    fn last_good_of(&self, source: &WordSource) -> Option<Arc<WordComponent>> {
        let WordSource::File(path) = source else { return None };
        let component = self.last_good.get(path)?;
        require_grants(component, &self.policy(component), &self.here).is_ok().then(|| component.clone())
    }

    fn forget_all_but(&mut self, found: &Found) {
        let there: Vec<_> = found.layers.iter().flatten().map(|candidate| &candidate.source).collect();
        self.last_good.retain(|path, _| {
            there.iter().any(|source| matches!(source, WordSource::File(it) if it == path))
        });
        let digests: Vec<_> = found.sound().map(|content| content.sha256.as_str()).collect();
        self.examined.retain(|sha256, _| digests.contains(&sha256.as_str()));
    }

    /// The word as it was, if nothing about it has changed.
    fn word(&self, component: Arc<WordComponent>, source: WordSource, old: &Table) -> Arc<Word> {
        let policy = self.policy(&component).into_owned();
        let old = old.get(&component.about.name);
        match old {
            Some(old) if old.is(&component, &source, &policy) => old.clone(),
            _ => Arc::new(Word::new(component, source, policy, &self.here, old.map(|old| &**old))),
        }
    }
}

impl Found {
    /// Everything that could be read.
    fn sound(&self) -> impl Iterator<Item = &Content> {
        self.layers.iter().flatten().filter_map(|candidate| candidate.content.as_ref().ok())
    }
}
