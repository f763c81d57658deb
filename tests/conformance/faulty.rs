//! S3, Azure Blob Storage, Google Cloud Storage, WebDAV and SFTP while the way to them breaks: what is lost, cut, refused
//! and done without an answer loses nothing, makes nothing twice and publishes no half. Drives have tests of their own.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use soopervisor::plan::OnConflict;
use soopervisor::storage::download::{Request, download};
use soopervisor::storage::verify::verify;
use soopervisor::storage::{PublishOutcome, Storage, StorageError};
use soopervisor::web::Fault;

use crate::fixture_run::{Run, SHA, folder, project};
use crate::proxy::{Trouble, When};
use crate::served::Served;
use crate::way::End;

const SMALL: &[u8] = b"a,b\n1,2\n";
/// Two parts, wherever files go in parts.
const LARGE: u32 = 12 << 20;

/// A service that is asked over HTTP.
#[derive(Clone, Copy, Debug)]
enum Place {
    S3,
    Azure,
    Gcs,
    WebDav,
}

const PLACES: [Place; 4] = [Place::S3, Place::Azure, Place::Gcs, Place::WebDav];

impl Place {
    async fn open(self) -> Served {
        match self {
            Self::S3 => Served::s3().await,
            Self::Azure => Served::azure(),
            Self::Gcs => Served::gcs().await,
            Self::WebDav => Served::webdav(),
        }
    }

    /// The requests that publishing takes: one of each kind, by method and a part of its address.
    fn requests(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::S3 => &[
                ("GET", "list-type=2"),
                ("PUT", "a.csv"),
                ("POST", "big.bin?uploads"),
                ("PUT", "partNumber=2"),
                ("POST", "uploadId="),
                ("PUT", "manifest.json"),
            ],
            Self::Azure => &[
                ("GET", "comp=list"),
                ("PUT", "a.csv"),
                ("PUT", "comp=block&"),
                ("PUT", "comp=blocklist"),
                ("PUT", "manifest.json"),
            ],
            Self::Gcs => &[
                ("GET", "prefix="),
                ("POST", "a.csv"),
                ("POST", "big.bin"),
                ("PUT", "upload_id="),
                ("POST", "manifest.json"),
            ],
            Self::WebDav => &[
                ("PROPFIND", "demo"),
                ("MKCOL", "demo"),
                // The commit's own folder, of which it is told who made it.
                ("MKCOL", "demo/0123456789abcdef"),
                ("PUT", "data/.soopervisor-part"),
                ("MOVE", "data/.soopervisor-part"),
            ],
        }
    }

    /// How the bytes of a file are asked for.
    fn read(self) -> &'static str {
        if matches!(self, Self::Gcs) { "big.bin?alt=media" } else { "big.bin" }
    }

    /// What creates anything at all.
    fn creates(self) -> (&'static str, &'static str) {
        if matches!(self, Self::Gcs) { ("POST", "uploadType=") } else { ("PUT", "") }
    }
}

fn large() -> Vec<u8> {
    (0..LARGE / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn filled() -> Run {
    let run = Run::new();
    run.product("a.csv", SMALL);
    run.product("data/big.bin", large());
    run
}

/// What lies in the commit's folder is what was published, and nothing else.
async fn assert_whole(well: &Served, run: &Run, told: &str) {
    let storage = well.storage(&run.path("other-state"));
    let report = verify(&*storage, &project(), &folder(), &()).await.expect("a report");
    assert!(report.is_sound() && report.ok == 2, "{told}: {report:?}");
    let listed = well.service(&run.path("other-state")).list(&format!("demo/{SHA}"), true).await.expect("a list");
    let files: Vec<&str> = listed.iter().filter(|meta| !meta.folder).map(|meta| meta.key.as_str()).collect();
    assert_eq!(files.len(), 3, "{told}: {files:?}");
    assert_eq!(well.unfinished(), [""; 0].map(std::path::PathBuf::from), "{told}");
}

/// A publish of which something goes wrong with one request of each kind.
async fn arrives_in_spite_of(place: Place, trouble: Trouble) {
    let told = format!("{place:?} and {trouble:?}");
    let (well, run) = (place.open().await, filled());
    let (ill, proxy) = well.over_troubles().await;
    for &(method, path) in place.requests() {
        proxy.fails(When::asked(method, path), trouble);
    }
    let storage = ill.storage(&run.path("state"));
    let published = storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await;
    let published = published.unwrap_or_else(|error| panic!("{told}: {error:?}"));
    assert_eq!(published.outcome, PublishOutcome::Created, "{told}");
    assert_eq!(proxy.left(), [""; 0], "{told}: it happened");
    assert_whole(&well, &run, &told).await;
}

/// One after the other at one place, all places at once.
async fn all_arrive_in_spite_of(troubles: &[Trouble]) {
    let places = PLACES.map(|place| async move {
        for trouble in troubles {
            arrives_in_spite_of(place, *trouble).await;
        }
    });
    futures::future::join_all(places).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_after_success_makes_neither_a_failure_nor_a_second_file() {
    all_arrive_in_spite_of(&[Trouble::ErrorAfter, Trouble::NoAnswer, Trouble::CutAnswer(9)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_within_a_request_is_no_failure() {
    all_arrive_in_spite_of(&[Trouble::CutRequest(5), Trouble::CutRequest(1 << 20)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_or_asks_for_patience_is_asked_again() {
    let refusals = [
        Trouble::Refused(500, None),
        Trouble::Refused(503, None),
        Trouble::Refused(429, None),
        Trouble::Refused(503, Some(1)),
        Trouble::Refused(429, Some(1)),
    ];
    all_arrive_in_spite_of(&refusals).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_is_told_is_waited() {
    for place in PLACES {
        let (well, run) = (place.open().await, filled());
        let (ill, proxy) = well.over_troubles().await;
        let (method, path) = place.creates();
        proxy.fails(When::asked(method, path), Trouble::Refused(503, Some(3)));
        let begun = std::time::Instant::now();
        let storage = ill.storage(&run.path("state"));
        storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
        assert!(begun.elapsed() >= Duration::from_secs(3), "{place:?}: {:?}", begun.elapsed());
        assert_whole(&well, &run, &format!("{place:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_are_waited_for() {
    all_arrive_in_spite_of(&[Trouble::Slow(Duration::from_secs(2))]).await;
}

/// Ends with an error that says so, after the tries of each service; then nobody sees a commit, and the next one is whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_never_gets_through_is_an_error_and_nothing_is_published() {
    let places = PLACES.map(|place| async move {
        let (well, run) = (place.open().await, filled());
        let (ill, proxy) = well.over_troubles().await;
        let (method, path) = place.creates();
        proxy.fails(When::asked(method, path).times(usize::MAX), Trouble::Refused(500, None));
        let storage = ill.storage(&run.path("state"));
        let failed = storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await;
        match failed {
            Err(StorageError::Service { fault, .. }) => assert!(fault.is_passing(), "{place:?}: {fault:?}"),
            other => panic!("{place:?}: {other:?}"),
        }
        let direct = well.storage(&run.path("other-state"));
        assert!(direct.folders(&project()).await.expect("folders").is_empty(), "{place:?}");
        proxy.calm();
        let again = storage.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await;
        assert_eq!(again.expect("published").outcome, PublishOutcome::Created, "{place:?}");
        assert_whole(&well, &run, &format!("{place:?}, once it was well")).await;
    });
    futures::future::join_all(places).await;
}

/// What it tells of its room need not be true, and nothing that is sent once more finds any.
#[tokio::test(flavor = "multi_thread")]
async fn a_webdav_server_without_room_is_asked_once_for_each_file_and_publishes_nothing() {
    let (well, run) = (Served::webdav(), filled());
    let (ill, proxy) = well.over_troubles().await;
    proxy.fails(When::asked("PUT", "").times(usize::MAX), Trouble::Refused(507, None));
    let storage = ill.storage(&run.path("state"));
    let failed = storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await;
    assert!(matches!(failed, Err(StorageError::Service { fault: Fault::Full, .. })), "{failed:?}");
    assert!(proxy.count("PUT", "") <= 2, "{} requests for two files", proxy.count("PUT", ""));
    let direct = well.storage(&run.path("other-state"));
    assert!(direct.folders(&project()).await.expect("folders").is_empty());
    proxy.calm();
    let again = storage.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await;
    assert_eq!(again.expect("published").outcome, PublishOutcome::Created);
    assert_whole(&well, &run, "once there was room").await;
}

/// An answer that is cut short as if that were all: what cannot be understood is an error, and no half is published.
#[tokio::test(flavor = "multi_thread")]
async fn short_answers_publish_no_half() {
    let places = PLACES.map(|place| async move {
        for &(method, path) in place.requests() {
            let told = format!("{place:?}: {method} {path}");
            let (well, run) = (place.open().await, filled());
            let (ill, proxy) = well.over_troubles().await;
            proxy.fails(When::asked(method, path), Trouble::ShortAnswer(40));
            let storage = ill.storage(&run.path("state"));
            let published = storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await;
            if let Err(error) = &published {
                // Whatever was decided before the answer is there, and whole.
                let folders = well.storage(&run.path("other-state")).folders(&project()).await.expect("folders");
                assert!(folders.is_empty() || path == "manifest.json", "{told}: {error:?}");
            }
            proxy.calm();
            let again = storage.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await;
            again.unwrap_or_else(|error| panic!("{told}: {error:?}"));
            assert_whole(&well, &run, &told).await;
        }
    });
    futures::future::join_all(places).await;
}

async fn fetched(ill: &Served, run: &Run, to: &std::path::Path) -> Result<u64, StorageError> {
    let storage = ill.storage(&run.path("state"));
    let request = Request { project: &project(), folder: &folder(), globs: &[], to, force: false };
    download(&*storage, &request, &()).await.map(|report| report.bytes)
}

async fn publish_well(well: &Served) -> Run {
    let run = filled();
    let storage = well.storage(&run.path("other-state"));
    storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    run
}

/// What was there before the connection broke is not fetched again.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_breaks_off_goes_on_where_it_broke() {
    let places = PLACES.map(|place| async move {
        let well = place.open().await;
        let run = publish_well(&well).await;
        let (ill, proxy) = well.over_troubles().await;
        let asked = || When::asked("GET", place.read());
        proxy.fails(asked().nth(1), Trouble::CutAnswer(5 << 20));
        proxy.fails(asked().nth(2), Trouble::CutAnswer(0));
        proxy.fails(asked().nth(3), Trouble::ShortAnswer(1 << 20));
        proxy.fails(asked().nth(4), Trouble::Refused(503, None));
        let to = tempfile::tempdir().expect("a folder");
        let bytes = fetched(&ill, &run, to.path()).await.unwrap_or_else(|error| panic!("{place:?}: {error:?}"));
        assert_eq!(proxy.left(), [""; 0], "{place:?}: it happened");
        assert!(fs_err::read(to.path().join("data/big.bin")).expect("a file") == large(), "{place:?}");
        assert_eq!(fs_err::read(to.path().join("a.csv")).expect("a file"), SMALL, "{place:?}");
        assert_eq!(bytes, u64::from(LARGE) + SMALL.len() as u64, "{place:?}: nothing came twice");
    });
    futures::future::join_all(places).await;
}

/// A bad line is no damage.
#[tokio::test(flavor = "multi_thread")]
async fn a_verify_that_breaks_off_goes_on_where_it_broke() {
    let places = PLACES.map(|place| async move {
        let well = place.open().await;
        let run = publish_well(&well).await;
        let (ill, proxy) = well.over_troubles().await;
        proxy.fails(When::asked("GET", place.read()), Trouble::CutAnswer(5 << 20));
        proxy.fails(When::asked("GET", place.read()).nth(2), Trouble::ShortAnswer(1 << 20));
        let storage = ill.storage(&run.path("state"));
        let report = verify(&*storage, &project(), &folder(), &()).await.expect("a report");
        assert!(report.is_sound() && report.ok == 2, "{place:?}: {report:?}");
        assert_eq!(proxy.left(), [""; 0], "{place:?}: it happened");
    });
    futures::future::join_all(places).await;
    let well = Served::sftp();
    let run = publish_well(&well).await;
    let (ill, way) = well.over_ends(vec![End::CutAnswers(3_000_000), End::CutAnswers(2_000_000)]).await;
    let report = verify(&*ill.storage(&run.path("state")), &project(), &folder(), &()).await.expect("a report");
    assert!(report.is_sound() && report.ok == 2 && way.connections() == 3, "{report:?}");
}

/// Not for ever; and what came stays for the next try. Object stores are asked for minutes before they are given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_of_which_nothing_comes_is_an_error_and_the_next_one_ends_it() {
    let well = Served::webdav();
    let run = publish_well(&well).await;
    let (ill, proxy) = well.over_troubles().await;
    let asked = || When::asked("GET", "big.bin");
    proxy.fails(asked(), Trouble::CutAnswer(5 << 20));
    proxy.fails(asked().nth(2).times(usize::MAX), Trouble::CutAnswer(0));
    let to = tempfile::tempdir().expect("a folder");
    let failed = fetched(&ill, &run, to.path()).await.expect_err("it never comes");
    assert!(failed.damaged().is_none(), "{failed:?}");
    assert!(!to.path().join("data/big.bin").exists(), "no half under its name");
    proxy.calm();
    let rest = fetched(&ill, &run, to.path()).await.expect("fetched");
    assert!(rest < u64::from(LARGE), "{rest}");
    assert!(fs_err::read(to.path().join("data/big.bin")).expect("a file") == large());
}

/// Two publishers with the same bytes, of whom one's manifest is written without an answer.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_once_one_of_which_hears_no_answer_both_find_the_commit_whole() {
    for place in [Place::S3, Place::Azure, Place::Gcs] {
        let well = place.open().await;
        let (ill, proxy) = well.over_troubles().await;
        let method = if matches!(place, Place::Gcs) { "POST" } else { "PUT" };
        proxy.fails(When::asked(method, "manifest.json"), Trouble::ErrorAfter);
        let runs = [filled(), filled()];
        let publish = runs.iter().enumerate().map(|(at, run)| {
            let storage = ill.storage(&run.path("state"));
            let publication = run.publication(&format!("run-{at}"), OnConflict::Fail);
            async move { storage.publish(publication, Arc::new(())).await }
        });
        for published in futures::future::join_all(publish).await {
            published.unwrap_or_else(|error| panic!("{place:?}: {error:?}"));
        }
        assert_whole(&well, &runs[0], &format!("{place:?}")).await;
    }
}

/// One run to an SSH server whose first connection ends so; how many connections there were.
async fn arrives_over_ssh(end: End, run: Run) -> usize {
    let well = Served::sftp();
    let (ill, way) = well.over_ends(vec![end]).await;
    let storage = ill.storage(&run.path("state"));
    let published = storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await;
    published.unwrap_or_else(|error| panic!("{end:?}: {error:?}"));
    assert_whole(&well, &run, &format!("{end:?}")).await;
    way.connections()
}

/// ssh says some 3,700 bytes before it asks for anything, and hears as many; each question is less than a hundred.
#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_connection_that_is_cut_at_any_word_loses_nothing() {
    let greeting = [500, 1_700, 3_000].map(End::Cut);
    let questions = (0..40).map(|step| End::Cut(3_700 + step * 250));
    let answers = (0..20).map(|step| End::CutAnswers(3_500 + step * 250));
    let ends = greeting.into_iter().chain(questions).chain(answers);
    let small = |end: End| {
        let run = Run::new();
        run.product("a.csv", SMALL);
        run.product("data/b.csv", "other");
        arrives_over_ssh(end, run)
    };
    // An SSH server turns some away before they are let in, where many come at once.
    let connections: Vec<usize> = futures::stream::iter(ends).map(small).buffer_unordered(4).collect().await;
    let cut = connections.iter().filter(|many| **many > 1).count();
    assert!(cut > 20, "it happened: {connections:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_connection_that_is_cut_within_a_large_file_loses_nothing() {
    for within in [40_000, 300_000, 1_000_000, 4_000_000, 9_000_000, 12_000_000] {
        let connections = arrives_over_ssh(End::Cut(within), filled()).await;
        assert!(connections > 1, "{within}: it happened");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_server_that_always_cuts_is_an_error_and_nothing_is_published() {
    let (well, run) = (Served::sftp(), filled());
    let (ill, _way) = well.over_ends(vec![End::Cut(1_000_000); 200]).await;
    let storage = ill.storage(&run.path("state"));
    let failed = storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await;
    assert!(matches!(&failed, Err(StorageError::Service { fault, .. }) if fault.is_passing()), "{failed:?}");
    let direct: Arc<dyn Storage> = well.storage(&run.path("other-state"));
    assert!(direct.folders(&project()).await.expect("folders").is_empty());
    direct.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await.expect("published");
    let report = verify(&*direct, &project(), &folder(), &()).await.expect("a report");
    assert!(report.missing.is_empty() && report.changed.is_empty() && report.ok == 2, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_over_ssh_goes_on_where_it_broke() {
    let well = Served::sftp();
    let run = publish_well(&well).await;
    let (ill, way) = well.over_ends(vec![End::CutAnswers(3_000_000), End::CutAnswers(2_000_000)]).await;
    let to = tempfile::tempdir().expect("a folder");
    let bytes = fetched(&ill, &run, to.path()).await.expect("fetched");
    assert_eq!(way.connections(), 3);
    assert!(fs_err::read(to.path().join("data/big.bin")).expect("a file") == large());
    assert_eq!(bytes, u64::from(LARGE) + SMALL.len() as u64, "nothing came twice");
}
