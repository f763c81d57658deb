//! The whole matrix of triggers: each author, on both kinds of pull requests, in each situation, with each command, held to
//! rules that are written down here once more, in another form.

use soopervisor::forge::Permission;
use soopervisor::gha::{Call, Decision, Order, Reason, Running, Trust};
use soopervisor::plan::Mode;

use crate::matrix::{BASE, BEFORE, FORK, at, base, comment, facts, judge, sha};

/// Who writes.
const AUTHORS: [(&str, Permission, bool); 7] = [
    ("an owner", Permission::Admin, true),
    ("a private member, by a team", Permission::Write, true),
    ("a collaborator", Permission::Write, true),
    ("somebody who may triage", Permission::Read, false),
    ("a stranger, public", Permission::Read, false),
    ("a stranger, private", Permission::None, false),
    ("a bot", Permission::Write, false),
];

/// Where and when it is written.
const SITUATIONS: [&str; 13] = [
    "after the push",
    "before the push",
    "in the second of the push",
    "when nobody knows when the push was",
    "edited",
    "deleted",
    "quoted",
    "in code",
    "behind other words",
    "on a closed pull request",
    "on one that is closed meanwhile",
    "on an issue",
    "in another's name",
];

/// What is written; `HEAD`, `OLD` and `ALIEN` stand for commits.
const COMMANDS: [&str; 14] = [
    "run",
    "run sample",
    "run HEAD",
    "run sample HEAD",
    "run OLD",
    "run ALIEN",
    "run trust=HEAD",
    "run sample trust=OLD",
    "run trust=ALIEN",
    "run trust",
    "cancel",
    "help",
    "deploy",
    "",
];

/// One word for a decision.
fn word(decision: &Decision, fork: bool) -> String {
    match decision {
        Decision::Run(Order { commit, mode, pull, trust, base: offered }) => {
            assert_eq!((*pull, offered), (Some(7), &Some(base())));
            let commit = if *commit == sha('a') { "HEAD" } else { "OLD" };
            let mode = if *mode == Mode::Full { "full" } else { "sample" };
            assert_eq!(*trust == Trust::Own, !fork, "a fork's code is never taken for our own unasked");
            format!("{mode} {commit}{}", if *trust == Trust::Vouched { " vouched" } else { "" })
        }
        Decision::Cancel { number: 7 } => "cancel".to_owned(),
        Decision::Help { number: 7 } => "help".to_owned(),
        Decision::Ignore(_) => "nothing".to_owned(),
        Decision::Refuse(Reason::NotAllowed { .. }) => "not allowed".to_owned(),
        Decision::Refuse(Reason::NotUnderstood(_)) => "not understood".to_owned(),
        Decision::Refuse(Reason::Closed) => "closed".to_owned(),
        Decision::Refuse(Reason::PushedSince { head }) if *head == sha('a') => "pushed since".to_owned(),
        Decision::Refuse(Reason::NoTime { head }) if *head == sha('a') => "no time".to_owned(),
        Decision::Refuse(Reason::Foreign { commit }) if *commit == sha('c') => "foreign".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// What has to come out.
fn expected(author: &str, may: bool, fork: bool, situation: &str, command: &str) -> String {
    let silent = ["edited", "deleted", "quoted", "in code", "behind other words", "on an issue", "in another's name"];
    if author == "a bot" || silent.contains(&situation) {
        return "nothing".to_owned();
    }
    if !may {
        return "not allowed".to_owned();
    }
    let Some(rest) = command.strip_prefix("run").filter(|_| command != "run trust") else {
        return match command {
            "help" | "" => "help",
            "cancel" => "cancel",
            _ => "not understood",
        }
        .to_owned();
    };
    if situation.contains("closed") {
        return "closed".to_owned();
    }
    let mode = if rest.contains("sample") { "sample" } else { "full" };
    let vouched = if fork && rest.contains("trust=") { " vouched" } else { "" };
    for (name, runs) in [("HEAD", true), ("OLD", true), ("ALIEN", false)] {
        if rest.ends_with(name) {
            return if runs { format!("{mode} {name}{vouched}") } else { "foreign".to_owned() };
        }
    }
    match situation {
        "before the push" | "in the second of the push" => "pushed since".to_owned(),
        "when nobody knows when the push was" => "no time".to_owned(),
        _ => format!("{mode} HEAD"),
    }
}

#[test]
fn every_author_on_every_kind_of_pull_request_in_every_situation_with_every_command() {
    let (mut cases, mut runs) = (0, 0);
    for (author, permission, may) in AUTHORS {
        for fork in [false, true] {
            for situation in SITUATIONS {
                for command in COMMANDS {
                    let text = command
                        .replace("HEAD", sha('a').as_str())
                        .replace("OLD", sha('d').as_str())
                        .replace("ALIEN", sha('c').as_str());
                    let text = format!("/soopervisor {text}");
                    let mut written = comment(&match situation {
                        "quoted" => format!("> {text}"),
                        "in code" => format!("```\n{text}\n```"),
                        "behind other words" => format!("please {text}"),
                        _ => text,
                    });
                    let pushed = match situation {
                        "before the push" => Some("2026-11-02T12:00:30Z"),
                        "in the second of the push" => Some("2026-11-02T12:00:00Z"),
                        "when nobody knows when the push was" => None,
                        _ => BEFORE,
                    };
                    let mut told = facts(permission, if fork { FORK } else { BASE }, pushed);
                    told.named_belongs = command.ends_with("OLD");
                    match situation {
                        "edited" | "deleted" => written.action = situation.to_owned(),
                        "on a closed pull request" => written.open = false,
                        "on one that is closed meanwhile" => told.pull.open = false,
                        "on an issue" => written.on_pull = false,
                        "in another's name" => written.sender = "eve".to_owned(),
                        _ => {}
                    }
                    written.bot = author == "a bot";
                    let decision = judge(&written, &told);
                    let case = format!("{author}, fork: {fork}, {situation}: {}", written.body);
                    assert_eq!(word(&decision, fork), expected(author, may, fork, situation, command), "{case}");
                    let asks = !matches!(decision, Decision::Ignore(_));
                    assert_eq!(Call::of(&written).is_ok(), asks, "whether GitHub is asked: {case}");
                    cases += 1;
                    runs += usize::from(matches!(decision, Decision::Run(_)));
                }
            }
        }
    }
    assert_eq!((cases, runs), (7 * 2 * 13 * 14, RUNS));
}

/// Three authors, two kinds of pull requests: seven commands after the push, and those five of them that name a commit in
/// the three other situations in which something may run.
const RUNS: usize = 3 * 2 * (7 + 3 * 5);

#[test]
fn who_asks_for_an_eleventh_run_within_an_hour_waits_and_is_told_once() {
    let minutes = |count: usize| (0..count).map(|minute| at(&format!("2026-11-02T11:{:02}:00Z", minute + 10)));
    let refused = |count: usize, command: &str| {
        let mut told = facts(Permission::Admin, BASE, BEFORE);
        told.asked = minutes(count).collect();
        match judge(&comment(command), &told) {
            Decision::Refuse(Reason::TooMany { user, again, first }) => Some((user, again.to_string(), first)),
            Decision::Refuse(other) => panic!("{other:?}"),
            _ => None,
        }
    };
    assert_eq!(refused(9, "/soopervisor run"), None);
    let until = |minute: usize, first| Some(("ann".to_owned(), format!("2026-11-02T12:{minute}:00Z"), first));
    assert_eq!(refused(10, "/soopervisor run"), until(10, true));
    assert_eq!(refused(12, &format!("/soopervisor run {}", sha('a'))), until(12, false));
    assert_eq!(refused(50, "/soopervisor cancel"), None);
    assert_eq!(refused(50, "/soopervisor help"), None);
}

#[test]
fn while_a_run_goes_on_another_of_its_kind_is_refused_with_its_address() {
    let running = Running { run: 41, mode: Mode::Full, address: "https://github.example/runs/41".to_owned() };
    let mut told = facts(Permission::Write, BASE, BEFORE);
    told.running = Some(running.clone());
    let decision = judge(&comment("/soopervisor run"), &told);
    assert_eq!(decision, Decision::Refuse(Reason::Busy(running)));
    let Decision::Refuse(reason) = decision else { panic!("it is one") };
    assert!(reason.to_string().contains("(https://github.example/runs/41)") && reason.to_string().contains("cancel"));
    assert!(matches!(judge(&comment("/soopervisor run sample"), &told), Decision::Run(_)));
    assert!(matches!(judge(&comment("/soopervisor cancel"), &told), Decision::Cancel { .. }));
}

#[test]
fn what_this_very_comment_asked_for_is_done_once_and_what_may_not_run_is_refused_all_the_same() {
    let ten: Vec<_> = (10..20).map(|minute| at(&format!("2026-11-02T11:{minute}:00Z"))).collect();
    let (run, named) = ("/soopervisor run".to_owned(), format!("/soopervisor run {}", sha('a')));
    for (text, done, permission, pushed, asked, expected) in [
        (&run, Some('a'), Permission::Write, BEFORE, &[][..], "done"),
        (&named, Some('a'), Permission::Write, None, &[], "done"),
        // It was counted when it was asked for.
        (&run, Some('a'), Permission::Write, BEFORE, &ten, "done"),
        // Of another commit, or of nothing.
        (&run, Some('d'), Permission::Write, BEFORE, &[], "run"),
        (&run, None, Permission::Write, BEFORE, &[], "run"),
        (&run, Some('a'), Permission::Read, BEFORE, &[], "refused"),
        (&run, Some('a'), Permission::Write, None, &[], "refused"),
    ] {
        let mut told = facts(permission, BASE, pushed);
        (told.done, told.asked) = (done.map(sha), asked.to_vec());
        let word = match judge(&comment(text), &told) {
            Decision::Done(order) => {
                assert_eq!((order.commit, order.trust), (sha('a'), Trust::Own));
                "done"
            }
            Decision::Run(_) => "run",
            Decision::Refuse(_) => "refused",
            other => panic!("{other:?}"),
        };
        assert_eq!(word, expected, "{text}, {done:?}, {permission:?}, {pushed:?}");
    }
}
