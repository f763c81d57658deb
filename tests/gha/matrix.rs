//! Who may trigger what: every kind of author, on both kinds of pull requests, in every kind of comment.

use jiff::Timestamp;
use soopervisor::forge::{Permission, PullHead, PullRequest};
use soopervisor::gha::{
    Base, Call, Command, CommentEvent, Decision, Event, Facts, NotUnderstood, Order, PullEvent, PushEvent, Reason,
    SampleInput, Trust, decide,
};
use soopervisor::id::CommitSha;
use soopervisor::plan::Mode;

pub(crate) const BASE: &str = "octo-org/churn";
pub(crate) const FORK: &str = "eve/churn";

pub(crate) fn sha(digit: char) -> CommitSha {
    digit.to_string().repeat(40).parse().unwrap()
}

pub(crate) fn base() -> Base {
    Base { branch: "main".to_owned(), commit: sha('b') }
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn comment(body: &str) -> CommentEvent {
    CommentEvent {
        action: "created".to_owned(),
        number: 7,
        on_pull: true,
        open: true,
        id: 1,
        body: body.to_owned(),
        author: "ann".to_owned(),
        bot: false,
        sender: "ann".to_owned(),
        created: at("2026-11-02T12:00:00Z"),
    }
}

pub(crate) fn facts(permission: Permission, head_repo: &str, pushed: Option<&str>) -> Facts {
    let end = |repo: &str, branch: &str, digit| PullHead {
        repo: Some(repo.parse().unwrap()),
        branch: branch.to_owned(),
        commit: sha(digit),
    };
    let pull = PullRequest { number: 7, open: true, head: end(head_repo, "topic", 'a'), base: end(BASE, "main", 'b') };
    let pushed = pushed.map(at);
    let (named_belongs, answered) = (false, false);
    Facts { permission, pull, pushed, named_belongs, asked: Vec::new(), running: None, done: None, answered }
}

pub(crate) fn judge(comment: &CommentEvent, facts: &Facts) -> Decision {
    decide(&Event::Comment(comment.clone()), &sha('f'), SampleInput::Auto, Some(facts))
}

/// Pushed well before the comment.
pub(crate) const BEFORE: Option<&str> = Some("2026-11-02T11:00:00Z");

#[test]
fn who_may_push_may_ask_and_nobody_else_on_both_kinds_of_pull_requests() {
    // What GitHub says of each: teams and private memberships are in it, `author_association` is not asked.
    let authors = [
        ("an owner", Permission::Admin, true),
        ("a private member with write access through a team", Permission::Write, true),
        ("a collaborator", Permission::Write, true),
        ("somebody who may triage", Permission::Read, false),
        ("a stranger on a public repository", Permission::Read, false),
        ("a stranger on a private repository", Permission::None, false),
    ];
    for (who, permission, may) in authors {
        for (repo, trust) in [(BASE, Trust::Own), (FORK, Trust::Fork)] {
            for body in [
                "/soopervisor run",
                "/soopervisor run sample",
                "/soopervisor help",
                "/soopervisor cancel",
                "/soopervisor x",
            ] {
                let decision = judge(&comment(body), &facts(permission, repo, BEFORE));
                if may {
                    let order = |mode| {
                        Decision::Run(Order { commit: sha('a'), mode, pull: Some(7), trust, base: Some(base()) })
                    };
                    let expected = match body {
                        "/soopervisor run" => order(Mode::Full),
                        "/soopervisor run sample" => order(Mode::Sample),
                        "/soopervisor help" => Decision::Help { number: 7 },
                        "/soopervisor cancel" => Decision::Cancel { number: 7 },
                        _ => Decision::Refuse(Reason::NotUnderstood(NotUnderstood::Words)),
                    };
                    assert_eq!(decision, expected, "{who}, {repo}, {body}");
                } else {
                    let expected = Decision::Refuse(Reason::NotAllowed { user: "ann".to_owned() });
                    assert_eq!(decision, expected, "{who}, {repo}, {body}");
                }
            }
        }
    }
}

#[test]
fn only_a_new_comment_of_a_person_on_an_open_pull_request_is_a_command() {
    let told = facts(Permission::Admin, BASE, BEFORE);
    let ignored = |change: &dyn Fn(&mut CommentEvent), reason: Reason| {
        let mut comment = comment("/soopervisor run");
        change(&mut comment);
        assert_eq!(judge(&comment, &told), Decision::Ignore(reason), "{comment:?}");
        assert!(Call::of(&comment).is_err(), "GitHub is asked about {comment:?}");
    };
    ignored(&|c| c.action = "edited".to_owned(), Reason::NotCreated("edited".to_owned()));
    ignored(&|c| c.action = "deleted".to_owned(), Reason::NotCreated("deleted".to_owned()));
    ignored(&|c| c.on_pull = false, Reason::NotAPull);
    ignored(&|c| c.bot = true, Reason::NotAPerson);
    ignored(&|c| c.sender = "eve".to_owned(), Reason::NotAPerson);
    ignored(&|c| c.body = "> /soopervisor run".to_owned(), Reason::NoCommand);
    ignored(&|c| c.body = "```\n/soopervisor run\n```".to_owned(), Reason::NoCommand);
    ignored(&|c| c.body = "please do /soopervisor run".to_owned(), Reason::NoCommand);
    let mut closed = comment("/soopervisor run");
    closed.open = false;
    assert_eq!(judge(&closed, &told), Decision::Refuse(Reason::Closed));
    // It was closed between the comment and our look at it.
    let mut told = told.clone();
    told.pull.open = false;
    assert_eq!(judge(&comment("/soopervisor run"), &told), Decision::Refuse(Reason::Closed));
    // GitHub was not asked.
    let decision = decide(&Event::Comment(comment("/soopervisor run")), &sha('f'), SampleInput::Auto, None);
    assert!(matches!(decision, Decision::Refuse(Reason::NotAllowed { .. })));
}

#[test]
fn the_head_is_run_only_if_it_was_there_two_seconds_before_the_comment() {
    for repo in [BASE, FORK] {
        for (pushed, runs) in [
            ("2026-11-01T00:00:00Z", true),
            ("2026-11-02T11:59:58Z", true),
            ("2026-11-02T11:59:59Z", false),
            ("2026-11-02T12:00:00Z", false),
            ("2026-11-02T12:00:01Z", false),
            ("2026-11-03T00:00:00Z", false),
        ] {
            let decision = judge(&comment("/soopervisor run"), &facts(Permission::Write, repo, Some(pushed)));
            match decision {
                Decision::Run(order) => assert!(runs && order.commit == sha('a'), "{pushed}"),
                other => assert!(
                    !runs && other == Decision::Refuse(Reason::PushedSince { head: sha('a') }),
                    "{pushed}: {other:?}"
                ),
            }
        }
        let decision = judge(&comment("/soopervisor run"), &facts(Permission::Write, repo, None));
        assert_eq!(decision, Decision::Refuse(Reason::NoTime { head: sha('a') }));
    }
}

#[test]
fn a_named_commit_runs_whatever_was_pushed_since_if_it_belongs_to_the_pull_request() {
    let body = |digit: char| format!("/soopervisor run {}", sha(digit));
    for pushed in [BEFORE, Some("2026-11-03T00:00:00Z"), None] {
        let told = facts(Permission::Write, FORK, pushed);
        let Decision::Run(order) = judge(&comment(&body('a')), &told) else { panic!("the head, by name") };
        assert_eq!((order.commit, order.trust), (sha('a'), Trust::Fork));
        let foreign = judge(&comment(&body('c')), &told);
        assert_eq!(foreign, Decision::Refuse(Reason::Foreign { commit: sha('c') }));
        let told = Facts { named_belongs: true, ..told };
        let Decision::Run(order) = judge(&comment(&body('c')), &told) else { panic!("an earlier head, by name") };
        assert_eq!(order.commit, sha('c'));
    }
    let short = judge(&comment("/soopervisor run aaaaaaa"), &facts(Permission::Write, FORK, BEFORE));
    assert_eq!(short, Decision::Refuse(Reason::NotUnderstood(NotUnderstood::Short)));
}

#[test]
fn refusals_say_what_to_type() {
    let reason = Reason::PushedSince { head: sha('a') };
    assert!(reason.to_string().contains(&format!("`/soopervisor run {}`", sha('a'))), "{reason}");
    let Some(Ok(Command::Run { commit: Some(commit), .. })) = Command::of(&format!("/soopervisor run {}", sha('a')))
    else {
        panic!("what is said to type is understood")
    };
    assert_eq!(commit, sha('a'));
}

fn pull(action: &str, head_repo: Option<&str>) -> Event {
    Event::Pull(PullEvent {
        action: action.to_owned(),
        number: 7,
        head: sha('a'),
        head_repo: head_repo.map(|repo| repo.parse().unwrap()),
        base_branch: "main".to_owned(),
        base: sha('b'),
        base_repo: BASE.parse().unwrap(),
    })
}

#[test]
fn pushes_and_pull_requests_run_a_sample_of_exactly_what_was_pushed() {
    let decided = |event: &Event, sample| decide(event, &sha('f'), sample, None);
    let push = |reference: &str, after| Event::Push(PushEvent { reference: reference.to_owned(), after });
    let order = |digit, mode, pull: Option<u64>, trust| {
        let base = pull.map(|_| base());
        Decision::Run(Order { commit: sha(digit), mode, pull, trust, base })
    };
    let (auto, yes, no) = (SampleInput::Auto, SampleInput::Yes, SampleInput::No);
    let main = push("refs/heads/main", Some(sha('a')));
    assert_eq!(decided(&main, auto), order('a', Mode::Sample, None, Trust::Own));
    assert_eq!(decided(&main, no), order('a', Mode::Full, None, Trust::Own));
    assert_eq!(decided(&push("refs/heads/main", None), auto), Decision::Ignore(Reason::Deleted));
    assert_eq!(decided(&push("refs/tags/v1", Some(sha('a'))), auto), Decision::Ignore(Reason::Tag));
    for action in ["opened", "synchronize", "reopened"] {
        assert_eq!(decided(&pull(action, Some(BASE)), auto), order('a', Mode::Sample, Some(7), Trust::Own));
        // A fork cannot have all data, whatever the workflow says, and a fork that is gone is one.
        for fork in [Some(FORK), None] {
            assert_eq!(decided(&pull(action, fork), no), order('a', Mode::Sample, Some(7), Trust::Fork));
        }
    }
    for action in ["closed", "labeled", "assigned", "edited"] {
        let reason = Reason::NoNewCommit(action.to_owned());
        assert_eq!(decided(&pull(action, Some(BASE)), auto), Decision::Ignore(reason));
    }
    assert_eq!(decided(&Event::PullTarget, auto), Decision::Refuse(Reason::Target));
    assert_eq!(decided(&Event::Asked, auto), order('f', Mode::Full, None, Trust::Own));
    assert_eq!(decided(&Event::Asked, yes), order('f', Mode::Sample, None, Trust::Own));
    let other = Event::Other("watch".to_owned());
    assert_eq!(decided(&other, auto), Decision::Ignore(Reason::UnknownEvent("watch".to_owned())));
}
