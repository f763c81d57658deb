//! The whole way: markers, colours, masking, the log and the feed.

use super::*;
use crate::logs::feed::Entry;
use crate::secret::{Secret, SecretSet};

const NONCE: &str = "0123456789abcdef0123456789abcdef";

struct Bench {
    folder: tempfile::TempDir,
    pipeline: Pipeline,
    feed: Feed<Happened>,
    masker: Masker,
}

fn bench(colours: bool, cap: u64) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let env = vec![Secret::new("TOKEN", b"correct-horse-battery".to_vec())];
    let masker = Masker::new(&SecretSet { env, mask_only: Vec::new() });
    let log = LogFile::open(&folder.path().join("log"), cap).unwrap();
    let options = Options { nonce: Some(NONCE.to_owned()), colours, ..Options::default() };
    let (pipeline, feed) = Pipeline::new(&masker, log, &options).unwrap();
    Bench { folder, pipeline, feed, masker }
}

impl Bench {
    async fn send(&mut self, stream: Stream, text: &str) {
        self.pipeline.output(stream, text.as_bytes()).await;
    }

    /// Ends the run: what was shown, and what the log holds.
    async fn end(mut self) -> (String, String, Summary) {
        let summary = self.pipeline.finish().await.unwrap();
        assert!(self.pipeline.finish().await.is_none() && !self.pipeline.tick().await);
        let mut shown = String::new();
        while let Some(entry) = self.feed.next().await.unwrap() {
            match entry {
                Entry::Output { bytes, .. } => shown += &bytes.to_text(),
                Entry::Event(Happened::Step(marker)) => shown.extend(["{", &format!("{marker:?}"), "}"]),
                Entry::Event(Happened::Gap) => shown += "{gap}",
                Entry::Event(_) => {}
            }
        }
        (shown, fs_err::read_to_string(self.folder.path().join("log")).unwrap(), summary)
    }
}

#[tokio::test]
async fn a_secret_cut_by_colours_frames_and_markers_reaches_nobody() {
    let mut bench = bench(true, u64::MAX);
    for text in [
        "pw: correct-\x1b[31mhorse",
        "\x1b[0m-bat",
        &format!("\x1e{NONCE} start build\x1e\n"),
        "tery\x1b]0;correct-horse-battery\x07 ok\n",
    ] {
        bench.send(Stream::Stdout, text).await;
    }
    let hits = bench.masker.hits();
    let (shown, log, summary) = bench.end().await;
    assert_eq!(shown, "pw: {Started { name: \"build\" }}*** ok\n");
    assert_eq!(log, "pw: \n==> build\n*** ok\n");
    assert_eq!(hits, [("TOKEN".to_owned(), 1)]);
    assert_eq!(summary.last_lines, ["pw: *** ok"]);
}

#[tokio::test]
async fn colours_reach_a_terminal_and_never_the_log() {
    for (colours, expected) in [(true, "\x1b[32mgreen\x1b[0m\n"), (false, "green\n")] {
        let mut bench = bench(colours, u64::MAX);
        bench.send(Stream::Stdout, "\x1b[32mgre").await;
        bench.send(Stream::Stdout, "en\x1b[0m\n").await;
        let (shown, log, _) = bench.end().await;
        assert_eq!((shown.as_str(), log.as_str()), (expected, "green\n"));
    }
}

#[tokio::test]
async fn an_idle_prompt_shows_its_last_letters() {
    let mut bench = bench(false, u64::MAX);
    bench.send(Stream::Stderr, "name of c").await;
    tokio::spawn(bench.pipeline.clone().tick_until_finished());
    let mut shown = String::new();
    while shown != "name of c" {
        let next = tokio::time::timeout(Duration::from_secs(5), bench.feed.next()).await.expect("it is released");
        if let Some(Entry::Output { bytes, .. }) = next.unwrap() {
            shown += &bytes.to_text();
        }
    }
}

#[tokio::test]
async fn each_stream_has_its_own_masker() {
    let mut bench = bench(false, u64::MAX);
    bench.send(Stream::Stdout, "correct-horse-").await;
    bench.send(Stream::Stderr, "warning\n").await;
    bench.send(Stream::Stdout, "battery\n").await;
    assert_eq!(bench.end().await.0, "warning\n***\n");
}

#[tokio::test]
async fn a_gap_is_said_once_and_in_its_place() {
    let mut bench = bench(false, u64::MAX);
    bench.send(Stream::Stdout, "half").await;
    bench.pipeline.gap().await;
    bench.send(Stream::Stdout, "after\n").await;
    let (shown, log, _) = bench.end().await;
    assert!(shown.starts_with("half[some output was lost") && shown.ends_with("{gap}after\n"), "{shown}");
    assert!(log.starts_with("half\n[some output was lost") && log.ends_with("after\n"), "{log}");
}

#[tokio::test]
async fn a_log_at_its_limit_loses_nothing_for_the_one_who_watches() {
    let mut bench = bench(false, 100);
    let expected = (0..1000).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
    for line in expected.split_inclusive('\n') {
        bench.send(Stream::Stdout, line).await;
    }
    let (shown, log, _) = bench.end().await;
    assert_eq!(shown, expected);
    assert!(log.contains("reached its limit") && log.ends_with("line 999\n"));
}

#[tokio::test]
async fn tasks_are_told_between_the_bytes_that_tell_them() {
    let mut bench = bench(false, u64::MAX);
    bench.send(Stream::Stdout, "\rBuilding task 'load':   0%|").await;
    let first = bench.feed.next().await.unwrap();
    let second = bench.feed.next().await.unwrap();
    assert!(matches!(first, Some(Entry::Output { .. })));
    assert_eq!(second, Some(Entry::Event(Happened::Task(TaskEvent::Started { name: "load".to_owned() }))));
}

#[tokio::test]
async fn a_traceback_with_colours_and_progress_bars_still_tells_the_users_own_line() {
    let path = format!("{}/tests/fixtures/ploomber-output/notebook-helper.txt", env!("CARGO_MANIFEST_DIR"));
    let text = fs_err::read_to_string(path).unwrap();
    let coloured = text.replace("KeyError", "\x1b[31mKeyError\x1b[39m").replace("----> 3 ", "\x1b[32m----> 3\x1b[39m ");
    let mut bench = bench(true, u64::MAX);
    bench.send(Stream::Stderr, "\rExecuting:  25%|##  | 1/4\rExecuting: 100%|####| 4/4\n").await;
    for piece in coloured.as_bytes().chunks(7) {
        bench.send(Stream::Stderr, std::str::from_utf8(piece).unwrap()).await;
    }
    let (_, _, summary) = bench.end().await;
    let found = crate::logs::trace(&summary.last_lines).unwrap();
    assert_eq!(found.place.as_deref(), Some("helper.py:3 in clean: KeyError: 'age'"));
}
