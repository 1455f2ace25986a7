//! Compiled words are kept on disk, if the disk can be trusted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use vocable_runtime::{Compiler, Engine, EngineConfig, Lexicon, Problem};

use crate::support::*;

/// Opens a lexicon with BEAT alone, on an engine of its own.
async fn speak(cache: &Path) -> Lexicon {
    let (lexicon, problems) = open_with(cache, None).await;
    assert_eq!(problems, []);
    lexicon.say("BEAT", "{}".to_owned()).await.unwrap();
    lexicon
}

async fn open_with(cache: &Path, compiler: Option<&str>) -> (Lexicon, Vec<Problem>) {
    let compiler = compiler.map(|program| Compiler { program: program.into() });
    let config = EngineConfig { pooling: false, cache: Some(cache.to_owned()), compiler };
    let words = [("beat", built_in("beat"))];
    Lexicon::open(Engine::new(config).unwrap(), FakeAgent::host(), generous(), &words, vec![]).await
}

fn files(cache: &Path) -> Vec<PathBuf> {
    fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn what_was_compiled_once_is_read_the_next_time() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("not/there/yet");
    speak(&cache).await;
    let compiled = files(&cache);
    assert_eq!(compiled.len(), 1);
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&compiled[0]).unwrap());
    speak(&cache).await;
    assert_eq!(files(&cache), compiled);
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&fs::metadata(&compiled[0]).unwrap()), inode);
}

#[tokio::test]
async fn what_has_been_changed_is_not_run() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    speak(&cache).await;
    let compiled = files(&cache);
    let mut code = fs::read(&compiled[0]).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 1;
    fs::write(&compiled[0], &code).unwrap();
    speak(&cache).await;
    assert_eq!(files(&cache), compiled, "it was made anew");
    assert_ne!(fs::read(&compiled[0]).unwrap(), code);
}

#[tokio::test]
async fn where_others_can_write_nothing_is_kept_and_nothing_is_read() {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    speak(root.path()).await;
    assert!(files(root.path()).is_empty());
}

#[tokio::test]
async fn a_compiler_that_fails_is_the_word_s_problem() {
    let root = tempfile::tempdir().unwrap();
    for (compiler, said) in
        [("/bin/false", "the compiler: exit status: 1"), ("/no/such", "by /no/such: No such file")]
    {
        let (_, problems) = open_with(root.path(), Some(compiler)).await;
        assert!(problems.len() == 1 && problems[0].to_string().contains(said), "{problems:?}");
    }
}

#[tokio::test]
async fn where_the_compiler_leaves_nothing_the_agent_compiles() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let (lexicon, problems) = open_with(&cache, Some("/bin/true")).await;
    assert_eq!(problems, []);
    lexicon.say("BEAT", "{}".to_owned()).await.unwrap();
    assert_eq!(files(&cache).len(), 1, "for the next time");
}
