//! Compiled words are kept on disk, if the disk can be trusted.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use vocable_runtime::{Compiler, Engine, EngineConfig, Lexicon, Problem, WordInfo};

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
    let config = EngineConfig { pooling: false, cache: Some(cache.to_owned()), compiler, lazy: true };
    let words = [built_in("beat")];
    Lexicon::open(Engine::new(config).unwrap(), FakeAgent::host(), generous(), &words, vec![]).await
}

/// The compiled word, and what was found of it.
fn files(cache: &Path) -> [PathBuf; 2] {
    let mut files: Vec<_> = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|file| file.extension().map(ToOwned::to_owned));
    let files: [_; 2] = files.try_into().unwrap();
    assert_eq!(files.each_ref().map(|file| file.extension().unwrap()), ["cwasm", "json"]);
    files
}

#[tokio::test]
async fn what_was_compiled_once_is_read_the_next_time() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("not/there/yet");
    speak(&cache).await;
    let compiled = files(&cache);
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let inodes = || compiled.each_ref().map(|file| fs::metadata(file).unwrap().ino());
    let before = inodes();
    speak(&cache).await;
    assert_eq!((files(&cache), inodes()), (compiled.clone(), before));
}

#[tokio::test]
async fn what_was_examined_before_is_loaded_when_it_is_called() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let before = speak(&cache).await.words();
    let [code, findings] = files(&cache);
    fs::remove_file(&code).unwrap();
    let (lexicon, problems) = open_with(&cache, None).await;
    assert_eq!(problems, []);
    assert!(!code.exists(), "nobody has called it yet");
    let about =
        |words: Vec<WordInfo>| words.into_iter().map(|it| WordInfo { calls: 0, ..it }).collect::<Vec<_>>();
    assert_eq!(about(lexicon.words()), about(before), "all that there is to know is known");
    lexicon.say("BEAT", "{}".to_owned()).await.unwrap();
    assert_eq!(files(&cache), [code, findings]);
}

#[tokio::test]
async fn what_cannot_be_loaded_any_more_says_so_when_it_is_called() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    open_with(&cache, Some("/bin/true")).await;
    let [code, _] = files(&cache);
    fs::remove_file(&code).unwrap();
    let (lexicon, problems) = open_with(&cache, Some("/bin/false")).await;
    assert_eq!(problems, []);
    let error = lexicon.say("BEAT", "{}".to_owned()).await.unwrap_err();
    assert_eq!(error.slug(), "not-loaded");
    assert_eq!(
        error.to_string(),
        "word BEAT cannot be loaded any more: not a sound component: the compiler: exit status: 1"
    );
}

#[tokio::test]
async fn what_has_been_changed_is_not_run() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    speak(&cache).await;
    let kept = files(&cache);
    for file in &kept {
        let mut content = fs::read(file).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(file, &content).unwrap();
        speak(&cache).await;
        assert_eq!(files(&cache), kept, "it was made anew");
        assert_ne!(fs::read(file).unwrap(), content);
    }
}

#[tokio::test]
async fn where_others_can_write_nothing_is_kept_and_nothing_is_read() {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    speak(root.path()).await;
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
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
    assert!(files(&cache)[0].exists(), "for the next time");
}

#[tokio::test]
async fn what_is_compiled_and_cannot_be_kept_is_run_all_the_same() {
    let root = tempfile::tempdir().unwrap();
    let (cache, compiler) = (root.path().join("cache"), root.path().join("compiler"));
    // A compiler that takes the folder away.
    fs::write(&compiler, "#!/bin/sh\n/bin/rm -rf \"$3\"\n").unwrap();
    fs::set_permissions(&compiler, fs::Permissions::from_mode(0o700)).unwrap();
    let (lexicon, problems) = open_with(&cache, compiler.to_str()).await;
    assert_eq!(problems, []);
    lexicon.say("BEAT", "{}".to_owned()).await.unwrap();
    assert!(!cache.exists());
}
