//! Runs of both modes that tell one pull request at once. No container is started here.

use std::time::{Duration, Instant};

use soopervisor::comment::Marker;
use soopervisor::forge::{Author, Comment, Me};
use soopervisor::gha::{Asked, Decision, Errand, Poster, State, Told, Trace, Traces, find_marker, marked};
use soopervisor::plan::Mode;
use soopervisor::web::Reach;

use crate::fake_github::Account;
use crate::runner::Job;
use crate::scene::{Scene, TOKEN};

fn errand(job: &Job) -> Errand {
    let variables = job.env.clone();
    let find = move |name: &str| match name {
        "INPUT_GITHUB_TOKEN" => Some(TOKEN.to_owned()),
        name => variables.get(name).cloned(),
    };
    Errand::read(&find, Reach::default()).unwrap()
}

/// Asked for by a comment of its own; what it says of itself is behind it.
async fn telling(scene: &Scene, run: u64, text: &str, spacing: Duration) -> (Poster, Told, Asked) {
    let id = scene.comment("ann", text);
    let event = scene.commented(id, "ann", text);
    let job = scene.job().event("issue_comment", &event).env("GITHUB_RUN_ID", &run.to_string());
    let errand = errand(&job);
    let Decision::Run(order) = errand.decide().await.unwrap() else { panic!("{text} is to be run") };
    let mut post = errand.post(&order).unwrap();
    post.spacing = spacing;
    let told = errand.progress(&order).unwrap().told().clone();
    let asked = Asked { comment: id, commit: order.commit.clone() };
    (Poster::start(post, told.clone()).unwrap(), told, asked)
}

fn marker() -> Marker {
    Marker { repo: 0, pr: 7, key: ".".to_owned() }
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
        let me = Me::App("github-actions".to_owned());
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
