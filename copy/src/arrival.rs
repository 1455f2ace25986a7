//! What comes from a guest, taken for a [`Plan`]: only what was asked for, in that order. A guest that lists a tree and then
//! sends nothing, or something else, changes nothing: not even folders are made before the first file comes, and nothing is
//! removed or replaced by something of another kind before everything is whole. Blocking.

use crate::outcome::Outcome;
use crate::path::TreePath;
use crate::plan::{Plan, Task};
use crate::tree::{Entry, Item};
use crate::writer::{Full, Policy, TreeWriter};
use cap_std::fs::Dir;
use std::iter::Peekable;

/// Files on their way here.
pub struct Arrival<'a> {
    plan: &'a Plan,
    writer: TreeWriter,
    /// What has still to come: what it is called there, and what it is here.
    awaited: Peekable<Box<dyn Iterator<Item = (TreePath, Entry)> + 'a>>,
    /// The file that is coming.
    current: Option<(TreePath, TreePath)>,
    prepared: bool,
}

impl<'a> Arrival<'a> {
    /// Into a folder. `called`: what the one file is called there.
    pub fn new(plan: &'a Plan, top: Dir, policy: Policy, called: Option<TreePath>) -> Self {
        let awaited = plan.making().filter_map(move |task| match task {
            Task::Send { from, entry, .. } => Some((called.clone().unwrap_or(from), entry)),
            _ => None,
        });
        let awaited: Box<dyn Iterator<Item = _> + 'a> = Box::new(awaited);
        let writer = TreeWriter::of(top, policy);
        Self { plan, writer, awaited: awaited.peekable(), current: None, prepared: false }
    }

    /// Does what an item says.
    ///
    /// # Errors
    /// [`Full`]: then the rest would fail too.
    pub fn take(&mut self, item: Item) -> Result<(), Full> {
        let item = match item {
            Item::File { entry, offset, length } => match self.place_of(&entry.path) {
                Some(path) => {
                    self.prepare()?;
                    Item::File { entry: Entry { path, ..entry }, offset, length }
                }
                None => {
                    self.writer.skip();
                    unasked(entry.path)
                }
            },
            Item::Entry(entry) | Item::Attributes(entry) => unasked(entry.path),
            Item::Remove(path) | Item::Replace { path, .. } => unasked(path),
            content => content,
        };
        self.writer.take(item)
    }

    /// Where a file goes, if it is the next of those that were asked for, or one after it.
    fn place_of(&mut self, path: &TreePath) -> Option<TreePath> {
        if let Some((current, place)) = &self.current
            && current == path
        {
            return Some(place.clone());
        }
        self.current = None;
        // Those before it could not be sent.
        let (called, entry) = self.awaited.find(|(called, _)| called == path)?;
        self.current = Some((called, entry.path.clone()));
        Some(entry.path)
    }

    /// Makes the folders and links that are missing.
    fn prepare(&mut self) -> Result<(), Full> {
        if std::mem::replace(&mut self.prepared, true) {
            return Ok(());
        }
        self.plan
            .making()
            .filter_map(Task::into_item)
            .filter(|item| !matches!(item, Item::Attributes(_)))
            .try_for_each(|item| self.writer.take(item))
    }

    /// Everything that was asked for has come: what is left to be done after it.
    ///
    /// # Errors
    /// [`Full`].
    pub fn complete(&mut self) -> Result<(), Full> {
        self.writer.settle()?;
        let outcome = self.writer.outcome();
        if self.plan.files > 0 && outcome.files == 0 && outcome.failures > 0 {
            return Ok(());
        }
        self.prepare()?;
        let attributes = |task: Task| task.into_item().filter(|item| matches!(item, Item::Attributes(_)));
        self.plan.making().filter_map(attributes).try_for_each(|item| self.writer.take(item))?;
        self.writer.settle()?;
        if !self.writer.has_failed() {
            self.plan.replacing().filter_map(Task::into_item).try_for_each(|item| self.writer.take(item))?;
        }
        self.plan.finishing().filter_map(Task::into_item).try_for_each(|item| self.writer.take(item))
    }

    /// What came of it, with what could not be copied at all.
    pub fn finish(self) -> Outcome {
        let mut outcome = self.writer.finish();
        outcome.add_unplanned(self.plan);
        outcome
    }
}

fn unasked(path: TreePath) -> Item {
    Item::Failed { path, code: "file-failed".to_owned(), message: "was sent, and not asked for".to_owned() }
}
