//! Runs of both modes that tell one pull request at once. No container is started here.

use std::time::{Duration, Instant};

use soopervisor::comment::Marker;
use soopervisor::forge::{Author, Comment, Me};
use soopervisor::gha::{Asked, Decision, Errand, Poster, State, Told, Trace, Traces, find_marker, marked};
use soopervisor::plan::Mode;
use soopervisor::run::cancel;

use crate::commenting::errand_of;
use crate::fake_github::{Account, Fault};
use crate::runner::Job;
use crate::scene::{REPO, REPO_ID, Scene, TOKEN};

fn errand(job: &Job) -> Errand {
    errand_of(job, TOKEN)
}

/// Asked for by a comment of its own; what it says of itself is behind it.
async fn telling(scene: &Scene, run: u64, text: &str, spacing: Duration) -> (Poster, Told, Asked) {
    telling_as(scene, TOKEN, run, text, spacing).await
}

async fn telling_as(scene: &Scene, token: &str, run: u64, text: &str, spacing: Duration) -> (Poster, Told, Asked) {
    let id = scene.comment("ann", text);
    let event = scene.commented(id, "ann", text);
    let job = scene.job().event("issue_comment", &event).env("GITHUB_RUN_ID", &run.to_string());
    let errand = errand_of(&job, token);
    let Decision::Run(order) = errand.decide().await.unwrap() else { panic!("{text} is to be run") };
    let mut post = errand.post(&order).unwrap();
    post.spacing = spacing;
    let told = errand.progress(&order).unwrap().told().clone();
    let asked = Asked { comment: id, commit: order.commit.clone() };
    (Poster::start(post, told.clone(), cancel::pair().1).unwrap(), told, asked)
}

fn marker() -> Marker {
    Marker { repo: REPO_ID, pr: 7, key: ".".to_owned() }
}

/// What our comment says, once it says `wanted`.
async fn says(scene: &Scene, what: &str, wanted: impl Fn(&Traces) -> bool) -> Traces {
    let begun = Instant::now();
    loop {
        let ours: Vec<_> = {
            let state = scene.fake.state();
            let ours = state.comments.iter().filter(|one| matches!(&one.author, Account::App(_)));
            ours.map(|one| (one.id, one.body.clone())).collect()
        };
        let author = Author { id: 1, login: "github-actions[bot]".to_owned(), bot: true };
        let now = jiff::Timestamp::UNIX_EPOCH;
        let comments: Vec<_> = ours
            .into_iter()
            .map(|(id, body)| Comment {
                id,
                number: 7,
                author: author.clone(),
                body,
                created: now,
                updated: now,
                url: String::new(),
            })
            .collect();
        let me = Me::App("github-actions".to_owned(), None);
        let traces = find_marker(&comments, &me, &marker()).map(|found| found.traces).unwrap_or_default();
        if wanted(&traces) {
            return traces;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {comments:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn ended(told: &Told, state: State) -> Told {
    Told { state, report: told.report.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_and_a_full_run_at_once_keep_what_the_comment_says_of_the_other() {
    let scene = Scene::of_a_colleague().await;
    scene.fake.state().going.extend([51, 52]);
    let of = |traces: &Traces, mode, run, state| {
        traces.of(mode).is_some_and(|trace| (trace.run, trace.state) == (run, state))
    };
    let soon = Duration::from_millis(50);
    let (full, of_full, asked) = telling(&scene, 51, "/soopervisor run", soon).await;
    says(&scene, "the full run", |traces| of(traces, Mode::Full, 51, State::Running)).await;
    let (sample, of_sample, _) = telling(&scene, 52, "/soopervisor run sample", soon).await;
    says(&scene, "both", |traces| {
        of(traces, Mode::Full, 51, State::Running) && of(traces, Mode::Sample, 52, State::Running)
    })
    .await;
    // A second one of a kind is refused, whichever of the two spoke last.
    for text in ["/soopervisor run", "/soopervisor run sample"] {
        let id = scene.comment("ann", text);
        let event = scene.commented(id, "ann", text);
        let decision = errand(&scene.job().event("issue_comment", &event)).decide().await.unwrap();
        assert!(
            matches!(&decision, Decision::Refuse(reason) if reason.to_string().contains("goes on")),
            "{decision:?}"
        );
    }
    let faults = tokio::task::spawn_blocking(move || sample.finish(ended(&of_sample, State::Succeeded))).await.unwrap();
    assert_eq!(faults, [""; 0]);
    says(&scene, "the sample is over, the full run goes on", |traces| {
        of(traces, Mode::Full, 51, State::Running) && of(traces, Mode::Sample, 52, State::Succeeded)
    })
    .await;
    let faults = tokio::task::spawn_blocking(move || full.finish(ended(&of_full, State::Succeeded))).await.unwrap();
    assert_eq!(faults, [""; 0]);
    let last = says(&scene, "both are over", |traces| of(traces, Mode::Full, 51, State::Succeeded)).await;
    assert!(of(&last, Mode::Sample, 52, State::Succeeded), "{last:?}");
    assert_eq!(last.of(Mode::Full).unwrap().asked, Some(asked), "and for whom it was");
    assert_eq!(scene.ours().len(), 1, "all of it in one comment");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_run_wrote_over_is_told_again_though_nothing_happens_meanwhile() {
    let scene = Scene::of_a_colleague().await;
    // Long enough for this test to write before it is looked at.
    let spacing = Duration::from_secs(2);
    let (full, told, _) = telling(&scene, 51, "/soopervisor run", spacing).await;
    let stands = |traces: &Traces| traces.of(Mode::Full).is_some_and(|trace| trace.run == 51);
    says(&scene, "the full run", stands).await;
    // A sample that had read the comment before that.
    let sample = Trace { run: 52, mode: Mode::Sample, state: State::Running, failed_before: false, asked: None };
    let text = marked(&marker(), &Traces::default().with(sample.clone()), "of the sample");
    {
        let mut state = scene.fake.state();
        let ours = state.comments.iter_mut().find(|one| matches!(&one.author, Account::App(_))).unwrap();
        ours.body.clone_from(&text);
    }
    let both = says(&scene, "told again", stands).await;
    assert_eq!(both.of(Mode::Sample), Some(&sample), "and the sample is not forgotten");
    // One lock after the other.
    let size = || {
        let comments = scene.fake.state().comments.len();
        (comments, scene.ours()[0].len())
    };
    let before = size();
    tokio::time::sleep(spacing + Duration::from_secs(1)).await;
    assert_eq!(size(), before, "once is enough");
    let faults = tokio::task::spawn_blocking(move || full.finish(ended(&told, State::Succeeded))).await.unwrap();
    assert_eq!(faults, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_the_token_is_of_two_runs_write_one_comment_and_a_command_finds_it() {
    let soon = Duration::from_millis(50);
    for (token, account, graphql) in [
        ("ghs_token_of_an_app", Account::App("my-app".to_owned()), true),
        ("0123456789abcdef0123456789abcdef01234567", Account::User("bea".to_owned()), true),
        // A server that knows no GraphQL, and an old token of a person's there.
        ("0123456789abcdef0123456789abcdef01234567", Account::User("bea".to_owned()), false),
    ] {
        let scene = Scene::of_a_colleague().await;
        scene.fake.state().tokens.insert(token.to_owned(), account.clone());
        if !graphql {
            scene.fake.trouble("/graphql", 1000, Fault::Status(404));
        }
        scene.fake.state().going.push(51);
        let written = || {
            let state = scene.fake.state();
            let of_account = state.comments.iter().filter(|one| one.author == account);
            of_account.map(|one| one.body.clone()).collect::<Vec<_>>()
        };
        let (first, told, _) = telling_as(&scene, token, 51, "/soopervisor run", soon).await;
        let begun = Instant::now();
        while written().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(20), "nothing is written");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // It is found while it runs: a second one of its kind is refused, and it is asked to stop.
        let say = async |text: &str| {
            let id = scene.comment("ann", text);
            let event = scene.commented(id, "ann", text);
            let errand = errand_of(&scene.job().event("issue_comment", &event), token);
            (errand.decide().await.unwrap(), errand)
        };
        let (second, _) = say("/soopervisor run").await;
        assert!(matches!(&second, Decision::Refuse(why) if why.to_string().contains("goes on")), "{second:?}");
        let (cancel, errand) = say("/soopervisor cancel").await;
        assert_eq!(errand.answer(&cancel).await.status, "cancelled");
        assert_eq!(scene.fake.state().cancelled, [51]);
        let done = tokio::task::spawn_blocking(move || first.finish(ended(&told, State::Succeeded))).await.unwrap();
        assert_eq!(done, [""; 0]);
        scene.fake.state().over.push(51);
        let (next, told, _) = telling_as(&scene, token, 52, "/soopervisor run", soon).await;
        let done = tokio::task::spawn_blocking(move || next.finish(ended(&told, State::Succeeded))).await.unwrap();
        assert_eq!(done, [""; 0]);
        let written = written();
        assert!(written.len() == 1 && written[0].contains("run=52 mode=full state=succeeded"), "{written:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_after_its_run_tells_that_it_succeeded_before_the_runner_kills_it() {
    let scene = Scene::of_a_colleague().await;
    let (canceller, cancel) = cancel::pair();
    let id = scene.comment("ann", "/soopervisor run");
    let event = scene.commented(id, "ann", "/soopervisor run");
    let errand = errand(&scene.job().event("issue_comment", &event));
    let Decision::Run(order) = errand.decide().await.unwrap() else { panic!("it is to be run") };
    let told = errand.progress(&order).unwrap().told().clone();
    // GitHub takes its time with everything but the status.
    scene.fake.trouble(&format!("/repos/{REPO}/issues"), 1000, Fault::Slow(Duration::from_mins(1)));
    let poster = Poster::start(errand.post(&order).unwrap(), told.clone(), cancel).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    let finishing = tokio::task::spawn_blocking(move || poster.finish(ended(&told, State::Succeeded)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    canceller.request(cancel::CancelReason::Signal);
    let faults = finishing.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}: {faults:?}", begun.elapsed());
    assert_eq!(scene.statuses().last().unwrap().2, "success", "{faults:?}");
}
