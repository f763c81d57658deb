//! Comments for which nothing is run, and what forks get. No container is started here.

use soopervisor::gha::{Asked, Decision, Errand, Poster, Reason, State, Told, Trace, Traces, Trust};
use soopervisor::plan::{Mode, Network};
use soopervisor::run::request::{EnvAsk, RunRequest};
use soopervisor::web::Reach;

use crate::fake_github::{Activity, Fault, WorkflowRun, git};
use crate::payloads::pull;
use crate::runner::Job;
use crate::scene::{FORK, REPO, REPO_ID, SETTINGS, Scene, TOKEN, ago};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_a_thumb_and_no_words() {
    let scene = Scene::of_a_colleague().await;
    for login in ["eve", "tim", "nobody"] {
        let id = scene.comment(login, "/soopervisor run");
        let event = scene.commented(id, login, "/soopervisor run");
        let done = scene.job().event("issue_comment", &event).run().await;
        assert_eq!((done.code, done.outputs["status"].as_str()), (0, "refused"), "{}", done.log.text());
        assert_eq!(scene.reactions(id), ["-1"]);
    }
    assert!(scene.ours().is_empty() && scene.statuses().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_was_pushed_after_the_comment_is_refused_and_both_are_told() {
    let scene = Scene::of_a_colleague().await;
    let id = scene.comment("ann", "/soopervisor run");
    let event = scene.commented(id, "ann", "/soopervisor run");
    git(scene.author.path(), &["commit", "-q", "--allow-empty", "-m", "evil, pushed while the workflow waits"]);
    let evil = scene.fake.push(scene.author.path(), REPO, "topic", ago(-5));
    let done = scene.job().event("issue_comment", &event).run().await;
    assert_eq!((done.code, done.outputs["status"].as_str()), (0, "refused"), "{}", done.log.text());
    assert!(scene.ours()[0][0].contains(&format!("/soopervisor run {evil}")), "{:?}", scene.ours());
    assert_eq!(scene.reactions(id), ["-1"]);
    assert!(scene.statuses().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_was_replaced_and_came_back_is_not_run_while_github_does_not_say_when() {
    let scene = Scene::of_a_colleague().await;
    let old = scene.head.clone();
    git(scene.author.path(), &["commit", "-q", "--allow-empty", "-m", "what the maintainer looked at"]);
    let looked_at = scene.fake.push(scene.author.path(), REPO, "topic", ago(1800));
    let decided = async || {
        let id = scene.comment("ann", "/soopervisor run");
        let event = scene.commented(id, "ann", "/soopervisor run");
        errand(&scene.job().event("issue_comment", &event)).decide().await.unwrap()
    };
    assert!(matches!(decided().await, Decision::Run(order) if order.commit.as_str() == looked_at));
    git(scene.author.path(), &["reset", "-q", "--hard", &old]);
    scene.fake.push(scene.author.path(), REPO, "topic", ago(-5));
    assert!(matches!(decided().await, Decision::Refuse(Reason::PushedSince { .. })));
    // Its newest entry comes late.
    scene.fake.state().activity.pop();
    let late = decided().await;
    assert!(matches!(&late, Decision::Refuse(Reason::NoTime { head }) if head.as_str() == old), "{late:?}");
    // The branch was deleted, and made anew a moment ago.
    let (zero, reference) = ("0".repeat(40), "refs/heads/topic".to_owned());
    let (repo, kind) = (REPO.to_owned(), "branch_deletion");
    let gone = Activity { repo, reference, before: looked_at, after: zero, at: ago(60), kind };
    scene.fake.state().activity.push(gone);
    assert!(matches!(decided().await, Decision::Refuse(Reason::NoTime { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_stops_the_workflow_that_our_comment_speaks_for_and_help_helps() {
    let scene = Scene::of_a_colleague().await;
    scene.fake.state().going.extend([4141, 4142]);
    // The samples of a pull request are another workflow's; a workflow that delivers is none of ours.
    for (id, file, pull) in [(4143, "soopervisor.yml", Some(7)), (4144, "deliver.yml", None), (4145, "x.yml", Some(8))]
    {
        let run = WorkflowRun { pull, ..WorkflowRun::going(id, REPO, file) };
        scene.fake.state().workflow_runs.push(run);
    }
    let say = async |login: &str, text: &str| {
        let id = scene.comment(login, text);
        let event = scene.commented(id, login, text);
        let workflow = format!("{REPO}/.github/workflows/soopervisor-comment.yml@refs/heads/main");
        (scene.job().event("issue_comment", &event).env("GITHUB_WORKFLOW_REF", &workflow).run().await, id)
    };
    let (done, id) = say("ann", "/soopervisor cancel").await;
    assert_eq!((done.code, scene.reactions(id)), (0, vec!["confused".to_owned()]), "there is nothing to cancel");
    let marker = soopervisor::comment::Marker { repo: REPO_ID, pr: 7, key: ".".to_owned() };
    let of = |run, mode| Trace { run, mode, state: State::Running, failed_before: false, asked: None };
    let planted = Traces::default().with(of(666, Mode::Full));
    scene.comment("eve", &soopervisor::gha::marked(&marker, &planted, "is running"));
    let over = Trace { state: State::Succeeded, ..of(4140, Mode::Sample) };
    let said = Traces::default().with(over).with(of(4141, Mode::Full));
    let ours = soopervisor::gha::marked(&marker, &said, "is running");
    let us = crate::fake_github::Account::App("github-actions".to_owned());
    scene.fake.state().comment(REPO, 7, us, &ours, ago(50));
    let (done, id) = say("ann", "/soopervisor cancel").await;
    assert_eq!((done.outputs["status"].as_str(), scene.reactions(id)), ("cancelled", vec!["+1".to_owned()]));
    assert_eq!(scene.fake.state().cancelled, [4141], "the planted comment is not obeyed");
    let (done, _) = say("eve", "/soopervisor cancel").await;
    assert_eq!((done.outputs["status"].as_str(), scene.fake.state().cancelled.len()), ("refused", 1));
    // A full run goes on, and a sample of a later push, which the comment is about.
    let both = Traces::default().with(of(4142, Mode::Full)).with(of(4143, Mode::Sample));
    let both = soopervisor::gha::marked(&marker, &both, "is running");
    scene.fake.state().comment(REPO, 7, crate::fake_github::Account::App("github-actions".to_owned()), &both, ago(40));
    say("ann", "/soopervisor cancel").await;
    assert_eq!(scene.fake.state().cancelled, [4141, 4142, 4143]);
    // Somebody who may push wrote others into our comment.
    for foreign in [4144, 4145] {
        let said = soopervisor::gha::marked(&marker, &Traces::default().with(of(foreign, Mode::Full)), "is running");
        let us = crate::fake_github::Account::App("github-actions".to_owned());
        scene.fake.state().comment(REPO, 7, us, &said, ago(30));
        let (done, id) = say("ann", "/soopervisor cancel").await;
        assert_eq!((done.outputs["status"].as_str(), scene.reactions(id)), ("answered", vec!["confused".to_owned()]));
        assert!(done.log.annotations.iter().any(|(_, _, text)| text.contains("none of this pull request's")));
    }
    assert_eq!(scene.fake.state().cancelled.len(), 3);
    say("ann", "/soopervisor help").await;
    assert!(scene.ours().last().unwrap()[0].contains("/soopervisor run sample"));
    let (done, id) = say("ann", "thanks!").await;
    assert_eq!((done.outputs["status"].as_str(), scene.reactions(id).len()), ("ignored", 0));
    assert_eq!(done.summary.trim_end(), "### soopervisor: ignored\n\nNothing was run: the comment holds no command.");
    let (done, _) = say("eve", "/soopervisor run").await;
    let refused = "### soopervisor: refused\n\nNothing was run: eve may not push to this repository.";
    assert_eq!(done.summary.trim_end(), refused);
    let (done, _) = say("ann", "/soopervisor help").await;
    assert_eq!(done.summary.trim_end(), "### soopervisor: answered\n\nhelp was given.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_hands_secrets_to_strangers_fails_the_job() {
    let scene = Scene::of_a_colleague().await;
    let event = pull(REPO, FORK, 7, "opened", &scene.head, &scene.base);
    let done = scene.job().event("pull_request_target", &event).run().await;
    assert_eq!(done.code, 2, "{}", done.log.text());
    assert!(done.log.annotations.iter().any(|(kind, _, text)| kind == "error" && text.contains("on: pull_request")));
    let summary = &done.summary;
    assert!(summary.contains("### ❌ soopervisor: refused") && summary.contains("on: pull_request"), "{summary}");
}

fn errand(job: &Job) -> Errand {
    errand_of(job, TOKEN)
}

/// A job with this token.
pub(crate) fn errand_of(job: &Job, token: &str) -> Errand {
    let token = token.to_owned();
    let variables = job.env.clone();
    let inputs: Vec<(String, String)> =
        job.inputs.iter().map(|(name, value)| (name.to_uppercase().replace('-', "_"), value.clone())).collect();
    let find = move |name: &str| match name.strip_prefix("INPUT_") {
        Some("GITHUB_TOKEN") => Some(token.clone()),
        Some(input) => inputs.iter().find(|(key, _)| key == input).map(|(_, value)| value.clone()),
        None => variables.get(name).cloned(),
    };
    Errand::read(&find, Reach::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn code_of_a_fork_gets_no_secret_no_cache_no_network_and_a_place_of_its_own() {
    let scene = Scene::open(FORK, "def first(product): pass\n").await;
    let text = format!("/soopervisor run {}", scene.head);
    let id = scene.comment("ann", &text);
    let event = scene.commented(id, "ann", &text);
    let job = scene.job().event("issue_comment", &event).input("secrets", "DB_PASSWORD");
    let errand = errand(&job);
    let Decision::Run(order) = errand.decide().await.unwrap() else { panic!("a maintainer asked") };
    assert_eq!((order.trust, order.commit.as_str()), (Trust::Fork, scene.head.as_str()));
    let env = vec![
        EnvAsk { name: "HOST_TOKEN".to_owned(), value: None },
        EnvAsk { name: "A".to_owned(), value: Some("1".to_owned()) },
    ];
    let asked = RunRequest { env, ..RunRequest::default() };
    let request = errand.request(&order, asked.clone()).await.unwrap();
    assert!(request.no_secrets && request.no_reuse && request.secrets.is_empty());
    assert_eq!(request.network, Some(Network::None));
    assert_eq!(request.project.as_ref().unwrap().as_str(), "churn-forks");
    assert_eq!(request.env, [EnvAsk { name: "A".to_owned(), value: Some("1".to_owned()) }]);
    assert_eq!(request.settings.as_deref(), Some(SETTINGS));
    assert_eq!(git(&request.path, &["rev-parse", "HEAD"]), scene.head);
    assert!(errand.fork_home().starts_with(job.dir.path()));
    // Nothing of the token is left where the fork's code runs.
    let config = std::fs::read_to_string(request.path.join(".git/config")).unwrap();
    assert!(!config.contains("extraheader") && !config.contains(TOKEN), "{config}");
    // A colleague's pull request has them.
    let scene = Scene::of_a_colleague().await;
    let event = pull(REPO, REPO, 7, "opened", &scene.head, &scene.base);
    let job = scene.job().event("pull_request", &event).input("secrets", "DB_PASSWORD");
    let errand = self::errand(&job);
    let Decision::Run(order) = errand.decide().await.unwrap() else { panic!("a pull request was opened") };
    let request = errand.request(&order, asked).await.unwrap();
    assert_eq!(
        (request.secrets.as_slice(), request.no_secrets, request.network),
        (&["DB_PASSWORD".to_owned()][..], false, None)
    );
    assert_eq!(request.settings.as_deref(), Some(SETTINGS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forks_job_that_may_say_nothing_complains_of_nothing_and_anybody_elses_does() {
    for (head_repo, complains) in [(FORK, false), (REPO, true)] {
        let scene = Scene::open(head_repo, "def first(product): pass\n").await;
        for line in ["/statuses/", "/check-runs", "/comments"] {
            scene.fake.trouble(line, 100, Fault::Status(403));
        }
        let event = pull(REPO, head_repo, 7, "opened", &scene.head, &scene.base);
        let errand = errand(&scene.job().event("pull_request", &event));
        let Decision::Run(order) = errand.decide().await.unwrap() else { panic!("a pull request was opened") };
        let told = errand.progress(&order).unwrap().told().clone();
        let never = soopervisor::run::cancel::pair().1;
        let poster = Poster::start(errand.post(&order).unwrap(), told.clone(), never).unwrap();
        let last = Told { state: State::Succeeded, report: told.report };
        let faults = tokio::task::spawn_blocking(move || poster.finish(last)).await.unwrap();
        assert_eq!(faults.is_empty(), !complains, "{head_repo}: {faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_forks_history_cannot_be_read_so_the_commit_must_be_named() {
    let scene = Scene::open(FORK, "def first(product): pass\n").await;
    scene.fake.state().silent.push(FORK.to_owned());
    let decided = async |text: &str| {
        let id = scene.comment("ann", text);
        let event = scene.commented(id, "ann", text);
        errand(&scene.job().event("issue_comment", &event)).decide().await.unwrap()
    };
    assert!(
        matches!(decided("/soopervisor run").await, Decision::Refuse(reason) if reason.to_string().contains(&scene.head))
    );
    assert!(
        matches!(decided(&format!("/soopervisor run {}", scene.head)).await, Decision::Run(order) if order.commit.as_str() == scene.head)
    );
    // An ancestor of the head is part of it; the base, and a commit of somebody else, are not.
    git(scene.author.path(), &["commit", "-q", "--allow-empty", "-m", "more"]);
    let newer = scene.fake.push(scene.author.path(), FORK, "topic", ago(60));
    assert!(
        matches!(decided(&format!("/soopervisor run {}", scene.head)).await, Decision::Run(order) if order.commit.as_str() == scene.head)
    );
    assert!(matches!(decided(&format!("/soopervisor run {newer}")).await, Decision::Run(_)));
    assert!(matches!(decided(&format!("/soopervisor run {}", scene.base)).await, Decision::Refuse(_)));
    assert!(matches!(decided(&format!("/soopervisor run {}", "a".repeat(40))).await, Decision::Refuse(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maintainer_vouches_for_one_commit_of_a_fork_and_that_one_alone_gets_what_is_ours() {
    let scene = Scene::open(FORK, "def first(product): pass\n").await;
    let ask = async |text: &str| {
        let id = scene.comment("ann", text);
        let event = scene.commented(id, "ann", text);
        let job = scene.job().event("issue_comment", &event).input("secrets", "DB_PASSWORD");
        let errand = errand(&job);
        (errand.decide().await.unwrap(), errand, job)
    };
    let (decision, errand, _job) = ask(&format!("/soopervisor run trust={}", scene.head)).await;
    let Decision::Run(order) = decision else { panic!("{decision:?}") };
    assert_eq!((order.trust, order.commit.as_str()), (Trust::Vouched, scene.head.as_str()));
    let request = errand.request(&order, RunRequest::default()).await.unwrap();
    assert_eq!((request.secrets.as_slice(), request.no_secrets), (&["DB_PASSWORD".to_owned()][..], false));
    assert_eq!((request.project, request.network), (None, None));
    assert_eq!(request.settings.as_deref(), Some(SETTINGS), "the pull request's own settings count for nothing");
    let policy = errand.progress(&order).unwrap().told().report.policy.clone().unwrap();
    assert!(policy.contains("ann vouched for this commit"), "{policy}");
    // A commit that never was offered, and the next one that the fork pushes, are not vouched for.
    let (decision, ..) = ask(&format!("/soopervisor run trust={}", "a".repeat(40))).await;
    assert!(matches!(decision, Decision::Refuse(_)), "{decision:?}");
    git(scene.author.path(), &["commit", "-q", "--allow-empty", "-m", "evil"]);
    scene.fake.push(scene.author.path(), FORK, "topic", ago(60));
    let (decision, ..) = ask("/soopervisor run").await;
    assert!(matches!(decision, Decision::Run(order) if order.trust == Trust::Fork));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_runs_within_an_hour_are_enough_for_one_person_on_all_pull_requests_together() {
    let scene = Scene::of_a_colleague().await;
    let write = |number: u64, login: &str, text: &str, seconds: i64| {
        let author = crate::fake_github::Account::User(login.to_owned());
        scene.fake.state().comment(REPO, number, author, text, ago(seconds))
    };
    for minute in 0..9 {
        write(8, "ann", "/soopervisor run", 3000 - minute * 60);
    }
    // What does not count: too long ago, another's, no command, no run.
    write(7, "ann", "/soopervisor run", 3700);
    write(7, "bob", "/soopervisor run", 100);
    write(7, "ann", "> /soopervisor run", 90);
    write(7, "ann", "/soopervisor help", 80);
    let ask = async || {
        let id = scene.comment("ann", "/soopervisor run");
        let event = scene.commented(id, "ann", "/soopervisor run");
        (errand(&scene.job().event("issue_comment", &event)), id, event)
    };
    let (tenth, ..) = ask().await;
    assert!(matches!(tenth.decide().await.unwrap(), Decision::Run(_)));
    let (_, id, event) = ask().await;
    let done = scene.job().event("issue_comment", &event).run().await;
    assert_eq!((done.code, done.outputs["status"].as_str()), (0, "refused"), "{}", done.log.text());
    assert!(scene.ours()[0][0].contains("has asked for 10 runs within an hour"), "{:?}", scene.ours());
    assert_eq!(scene.reactions(id), ["-1"]);
    let (_, _, event) = ask().await;
    scene.job().event("issue_comment", &event).run().await;
    assert_eq!(scene.ours().len(), 1, "it is told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_command_while_a_run_goes_on_is_answered_with_its_address() {
    let scene = Scene::of_a_colleague().await;
    let marker = soopervisor::comment::Marker { repo: REPO_ID, pr: 7, key: ".".to_owned() };
    let running = Trace { run: 4141, mode: Mode::Full, state: State::Running, failed_before: false, asked: None };
    let ours = soopervisor::gha::marked(&marker, &Traces::default().with(running), "is running");
    let us = crate::fake_github::Account::App("github-actions".to_owned());
    scene.fake.state().comment(REPO, 7, us, &ours, ago(50));
    scene.fake.state().going.push(4141);
    let say = |text: &'static str| {
        let id = scene.comment("ann", text);
        let event = scene.commented(id, "ann", text);
        scene.job().event("issue_comment", &event)
    };
    let done = say("/soopervisor run").run().await;
    assert_eq!((done.code, done.outputs["status"].as_str()), (0, "refused"), "{}", done.log.text());
    let said = scene.ours().last().unwrap()[0].clone();
    assert!(said.contains(&format!("/{REPO}/actions/runs/4141) goes on")), "{said}");
    assert!(done.summary.contains("/actions/runs/4141) goes on"), "as a link: {}", done.summary);
    let decided = async |text| errand(&say(text)).decide().await.unwrap();
    assert!(matches!(decided("/soopervisor run sample").await, Decision::Run(_)));
    // The job was killed before it could say so.
    scene.fake.state().over.push(4141);
    assert!(matches!(decided("/soopervisor run").await, Decision::Run(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_between_them_does_not_hide_a_full_run_that_goes_on_from_a_second_one() {
    let scene = Scene::of_a_colleague().await;
    let marker = soopervisor::comment::Marker { repo: REPO_ID, pr: 7, key: ".".to_owned() };
    let of = |run, mode, state| Trace { run, mode, state, failed_before: false, asked: None };
    scene.fake.state().going.extend([4141, 4142]);
    let us = || crate::fake_github::Account::App("github-actions".to_owned());
    let full = of(4141, Mode::Full, State::Running);
    let decided = async |text: &str| {
        let id = scene.comment("ann", text);
        let event = scene.commented(id, "ann", text);
        errand(&scene.job().event("issue_comment", &event)).decide().await.unwrap()
    };
    // A comment of an older version knows the last one only.
    let before = Traces::default().with(full.clone());
    for (state, sample_runs) in [(State::Running, false), (State::Succeeded, true), (State::Failed, true)] {
        let said = before.clone().with(of(4142, Mode::Sample, state));
        let ours = soopervisor::gha::marked(&marker, &said, "of the sample");
        scene.fake.state().comment(REPO, 7, us(), &ours, ago(50));
        let full = decided("/soopervisor run").await;
        let Decision::Refuse(reason) = full else { panic!("{state:?}: {full:?}") };
        assert!(reason.to_string().contains("/actions/runs/4141) goes on"), "{state:?}: {reason}");
        let sample = decided("/soopervisor run sample").await;
        assert_eq!(matches!(sample, Decision::Run(_)), sample_runs, "{state:?}: {sample:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_done_is_done_again_only_where_a_person_wants_the_job_repeated() {
    let scene = Scene::of_a_colleague().await;
    let marker = soopervisor::comment::Marker { repo: REPO_ID, pr: 7, key: ".".to_owned() };
    let id = scene.comment("ann", "/soopervisor run");
    let asked = Some(Asked { comment: id, commit: scene.head.parse().unwrap() });
    let done = Trace { run: 4141, mode: Mode::Full, state: State::Succeeded, failed_before: false, asked };
    let ours = soopervisor::gha::marked(&marker, &Traces::default().with(done), "succeeded");
    scene.fake.state().comment(REPO, 7, crate::fake_github::Account::App("github-actions".to_owned()), &ours, ago(0));
    let event = scene.commented(id, "ann", "/soopervisor run");
    let decided = async |attempt: &str| {
        let job = scene.job().event("issue_comment", &event).env("GITHUB_RUN_ATTEMPT", attempt);
        errand(&job).decide().await.unwrap()
    };
    assert!(matches!(decided("1").await, Decision::Done(order) if order.commit.as_str() == scene.head));
    assert!(matches!(decided("2").await, Decision::Run(_)));
    let later = scene.comment("ann", "/soopervisor run");
    let event = scene.commented(later, "ann", "/soopervisor run");
    let other = errand(&scene.job().event("issue_comment", &event)).decide().await.unwrap();
    assert!(matches!(other, Decision::Run(_)), "another comment asks for another run: {other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_delivered_once_more_is_known_however_many_came_after_it() {
    let scene = Scene::of_a_colleague().await;
    let marker = soopervisor::comment::Marker { repo: REPO_ID, pr: 7, key: ".".to_owned() };
    let commands: Vec<u64> = (0..4).map(|_| scene.comment("ann", "/soopervisor run")).collect();
    let never = scene.comment("ann", "/soopervisor run");
    let mut traces = Traces::default();
    for (place, command) in commands.iter().enumerate() {
        let asked = Some(Asked { comment: *command, commit: scene.head.parse().unwrap() });
        let state = if place == 1 { State::Failed } else { State::Succeeded };
        traces = traces.with(Trace { run: 4141, mode: Mode::Full, state, failed_before: false, asked });
    }
    let ours = soopervisor::gha::marked(&marker, &traces, "succeeded");
    scene.fake.state().comment(REPO, 7, crate::fake_github::Account::App("github-actions".to_owned()), &ours, ago(0));
    let decided = async |id: u64, attempt: &str| {
        let event = scene.commented(id, "ann", "/soopervisor run");
        let job = scene.job().event("issue_comment", &event).env("GITHUB_RUN_ATTEMPT", attempt);
        errand(&job).decide().await.unwrap()
    };
    for (place, command) in commands.iter().enumerate() {
        let decision = decided(*command, "1").await;
        match decision {
            Decision::Done(order) => assert!(place != 1 && order.commit.as_str() == scene.head),
            Decision::Ignore(reason) => assert!(place == 1 && reason.to_string().contains("Re-run jobs"), "{reason}"),
            other => panic!("{place}: {other:?}"),
        }
        assert!(matches!(decided(*command, "2").await, Decision::Run(_)), "a person wants it once more");
    }
    assert!(matches!(decided(never, "1").await, Decision::Run(_)), "it waited for its runner");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_those_of_the_base_branch_now_and_not_when_the_pull_request_was_opened() {
    let scene = Scene::of_a_colleague().await;
    let (event, old) = (pull(REPO, REPO, 7, "opened", &scene.head, &scene.base), scene.base.clone());
    std::fs::write(scene.workspace.path().join("soopervisor.yaml"), "network: none\n").unwrap();
    git(scene.workspace.path(), &["commit", "-q", "-a", "-m", "no network any more"]);
    scene.fake.push(scene.workspace.path(), REPO, "main", ago(60));
    // Its folder for temporary files goes with it.
    let job = scene.job().event("pull_request", &event);
    let errand = errand(&job);
    let Decision::Run(order) = errand.decide().await.unwrap() else { panic!("a pull request was opened") };
    assert_eq!(order.base.as_ref().unwrap().commit.as_str(), old, "it is compared with what it was made from");
    let request = errand.request(&order, RunRequest::default()).await.unwrap();
    assert_eq!(request.settings.as_deref(), Some("network: none\n"));
}
