//! Forgetting commands that are over: which are old enough or too many, and everything there is of them.

use super::books::Books;
use super::disk::{Age, Disk};
use super::{StoreError, millis};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Commands forgotten in one go: if the clock has jumped, there is time to see it.
const MOST_AT_ONCE: u32 = 1000;

/// The commands that are old, and the oldest of the others of which there is too much together.
pub(super) fn retired(books: &Books, age: Age, most_bytes: u64) -> Result<Vec<String>, StoreError> {
    // The newest first: what all up to here have written and told together. What ended before it was written down how
    // long the agent had been running then has been there for all of its running time.
    let statement = "SELECT id FROM (
             SELECT id, ended, coalesce(ended_life, 0) AS life,
                 sum(out_bytes + err_bytes + octet_length(program) + coalesce(octet_length(results), 0) + (
                     SELECT coalesce(sum(coalesce(octet_length(d.program), 0) + coalesce(octet_length(d.results), 0)), 0)
                     FROM details d WHERE d.id = commands.id
                 )) OVER (ORDER BY ended DESC, id) AS so_far
             FROM commands WHERE ended IS NOT NULL)
         WHERE ended < ?1 AND (life < ?4 AND life <= ?5 OR life >= ?4 AND life <= ?6) OR so_far > ?2
         ORDER BY ended LIMIT ?3";
    let most = i64::try_from(most_bytes).unwrap_or(i64::MAX);
    let Age { before, life } = age;
    let with = params![millis(before), most, MOST_AT_ONCE, life.began, life.before, life.since];
    books.query(|database| database.prepare_cached(statement)?.query_map(with, |row| row.get(0))?.collect())
}

/// Forgets those that are over, and gives which those were, and their folders, moved aside.
pub(super) fn forget(disk: &mut Disk, ids: &[String]) -> Result<(Vec<String>, Vec<PathBuf>), StoreError> {
    let forgotten = disk.books.write(|database| {
        let (mut forgotten, mut runs) = (Vec::new(), BTreeSet::new());
        for id in ids {
            let statement = "DELETE FROM commands WHERE id = ?1 AND ended IS NOT NULL RETURNING run";
            let run: Option<String> = database.query_row(statement, [id], |row| row.get(0)).optional()?;
            if let Some(run) = run {
                forgotten.push(id.clone());
                runs.insert(run);
            }
        }
        for run in runs {
            let nothing_left =
                "DELETE FROM runs WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM commands WHERE run = ?1)";
            database.execute(nothing_left, [run])?;
        }
        Ok(forgotten)
    })?;
    // Should this be stopped here, the files are nobody's, and go at the next start.
    let mut folders = Vec::new();
    for id in &forgotten {
        disk.let_go(id);
        folders.extend(disk.output.set_aside(id)?);
    }
    Ok((forgotten, folders))
}

pub(super) fn set_aside_unknown(disk: &mut Disk, ids: &[String]) -> Result<(), StoreError> {
    for id in ids {
        let statement = "SELECT 1 FROM commands WHERE id = ?1";
        if !disk.books.query(|database| database.prepare_cached(statement)?.exists([id]))? {
            disk.output.set_aside(id)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Filter, Run, Space, Store, moment};
    use crate::agent::commands::{Command, Program, State};
    use bytes::Bytes;
    use std::time::Duration;
    use vocable_protocol::Part;

    /// Three commands that ended one second after the other, with 10,000 bytes each, and one that runs.
    async fn store(folder: &std::path::Path) -> Store {
        let store = Store::open(folder, 0).unwrap();
        let at = |seconds: i64| moment(1_790_000_000_000 + seconds * 1000);
        for n in 0..4 {
            let id = format!("run{n}");
            let created = at(n);
            let run =
                Run { id: id.clone(), target: "vm1".into(), single: true, request: "{}".into(), created };
            let mut command = Command::new(&id, "vm1", Program::default(), created);
            store.add(run, vec![command.clone()]).await.unwrap();
            store
                .append(command.id.clone(), Part::Out, 0, Bytes::from(vec![b'x'; 10_000]), Space::Usual)
                .await
                .unwrap();
            if n < 3 {
                (command.state, command.ended, command.out_bytes) = (State::Done, Some(at(n)), 10_000);
                store.update(command).await.unwrap();
            }
        }
        store
    }

    const NOTHING: Duration = Duration::ZERO;

    async fn left(store: &Store) -> Vec<String> {
        let all = store.list(Filter { all: true, limit: 10, ..Filter::default() }).await.unwrap();
        all.into_iter().rev().map(|command| command.run).collect()
    }

    #[tokio::test]
    async fn what_is_old_is_forgotten_with_all_there_is_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let forgotten = store.retire(moment(1_790_000_001_500), NOTHING, u64::MAX).await.unwrap();
        assert_eq!(forgotten, ["run0.vm1", "run1.vm1"]);
        assert_eq!(left(&store).await, ["run2", "run3"]);
        assert_eq!(store.run("run0".into()).await.unwrap(), None);
        assert!(!folder.path().join("output/run0.vm1").exists());
        assert!(folder.path().join("output/run2.vm1").exists());
    }

    #[tokio::test]
    async fn of_too_much_output_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        assert!(store.retire(moment(0), NOTHING, 31_000).await.unwrap().is_empty());
        assert_eq!(store.retire(moment(0), NOTHING, 29_999).await.unwrap(), ["run0.vm1"]);
        assert_eq!(store.retire(moment(0), NOTHING, 0).await.unwrap(), ["run1.vm1", "run2.vm1"]);
        assert_eq!(left(&store).await, ["run3"], "what runs stays, whatever it has written");
    }

    #[tokio::test]
    async fn what_ended_lately_is_kept_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let far = moment(4_000_000_000_000);
        let month = Duration::from_secs(30 * 86_400);
        let first = store(folder.path()).await;
        assert!(first.retire(far, month, u64::MAX).await.unwrap().is_empty());
        drop(first);
        // Nor does another process believe it on its first day.
        let again = Store::open(folder.path(), 0).unwrap();
        assert!(again.retire(far, month, u64::MAX).await.unwrap().is_empty());
        assert_eq!(again.retire(far, NOTHING, u64::MAX).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn results_and_programs_count_as_output_does() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let mut told = store.command("run2.vm1".into()).await.unwrap().unwrap();
        let results = serde_json::json!({"finished": true, "novel": "x".repeat(20_000)});
        told.results = results.as_object().cloned().map(vocable_protocol::ReportedResults::of);
        store.update(told).await.unwrap();
        assert_eq!(store.retire(moment(0), NOTHING, 31_000).await.unwrap(), ["run0.vm1", "run1.vm1"]);
    }

    #[tokio::test]
    async fn what_a_crash_left_of_a_forgotten_command_goes_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        drop(store(folder.path()).await);
        for orphan in ["gone.vm1", ".forgotten/1"] {
            std::fs::create_dir_all(output.join(orphan)).unwrap();
            std::fs::write(output.join(orphan).join("out"), "old").unwrap();
        }
        let store = Store::open(folder.path(), 0).unwrap();
        // Before that it is nobody's: a new command of that name begins empty.
        let run = Run {
            id: "gone".into(),
            target: "vm1".into(),
            single: true,
            request: "{}".into(),
            created: moment(0),
        };
        store.add(run, vec![Command::new("gone", "vm1", Program::default(), moment(0))]).await.unwrap();
        assert!(store.read("gone.vm1".into(), Part::Out, 0, 9).await.unwrap().bytes.is_empty());
        std::fs::create_dir_all(output.join("orphan.vm1")).unwrap();
        store.sweep().await.unwrap();
        let mut left: Vec<_> = std::fs::read_dir(&output)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".forgotten", "run0.vm1", "run1.vm1", "run2.vm1", "run3.vm1"]);
        assert_eq!(std::fs::read_dir(output.join(".forgotten")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn only_what_is_over_can_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let ids = ["run3.vm1", "run2.vm1", "nobody"].map(String::from).to_vec();
        assert_eq!(store.forget(ids).await.unwrap(), ["run2.vm1"]);
        assert_eq!(left(&store).await, ["run0", "run1", "run3"]);
    }
}
