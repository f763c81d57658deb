//! Two commands at once: their jobs' requests to GitHub in many orders. No container is started here.

use std::sync::Arc;

use soopervisor::gha::{Decision, Errand, Reason};
use soopervisor::plan::Mode;

use crate::commenting::errand_of;
use crate::fake_github::{Account, Turns};
use crate::scene::{Scene, TOKEN};

/// The other job's.
const OTHER: &str = "ghs_token_of_another_job";

/// A job, from its first request until it knows whether it runs; whoever does not says so.
async fn going(errand: Errand, turns: Arc<Turns>, token: &'static str) -> Option<Reason> {
    let lost = match errand.decide().await.unwrap() {
        Decision::Run(order) => errand.claim(order.mode, false).await,
        other => panic!("{other:?}"),
    };
    assert_eq!(lost.faults, [""; 0]);
    if let Some(reason) = lost.lost.clone() {
        let answer = errand.answer(&Decision::Refuse(reason)).await;
        assert_eq!((answer.status, answer.faults.len()), ("refused", 0));
    }
    turns.leave(token);
    lost.lost
}

/// Orders of requests: one job as far as its k-th, then the other to its end; by turns; and without any order in them.
fn orders() -> Vec<Vec<&'static str>> {
    let mut orders = Vec::new();
    for (first, second) in [(TOKEN, OTHER), (OTHER, TOKEN)] {
        for before in 0..12 {
            orders.push([vec![first; before], vec![second; 40], vec![first; 40]].concat());
        }
        orders.push([first, second].repeat(40));
    }
    for seed in 1_u64..=40 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let order = (0..80).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if state >> 63 == 0 { TOKEN } else { OTHER }
        });
        orders.push(order.collect());
    }
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_commands_within_a_second_exactly_one_goes_on_and_the_other_is_answered_with_where() {
    let scene = Scene::of_a_colleague().await;
    scene.fake.state().tokens.insert(OTHER.to_owned(), Account::App("github-actions".to_owned()));
    let mut won = [0, 0];
    for order in orders() {
        scene.fake.state().comments.clear();
        let text = "/soopervisor run";
        let commands = [scene.comment("ann", text), scene.comment("ann", text)];
        let turns = Arc::new(Turns::new(order.iter().map(|token| (*token).to_owned())));
        scene.fake.state().turns = Some(Arc::clone(&turns));
        let job = |place: usize, run: &str, token: &'static str| {
            let event = scene.commented(commands[place], "ann", text);
            let job = scene.job().event("issue_comment", &event).env("GITHUB_RUN_ID", run);
            tokio::spawn(going(errand_of(&job, token), Arc::clone(&turns), token))
        };
        let (one, two) = (job(0, "101", TOKEN), job(1, "102", OTHER));
        let ends = [one.await.unwrap(), two.await.unwrap()];
        scene.fake.state().turns = None;
        let goes: Vec<usize> = (0..2).filter(|place| ends[*place].is_none()).collect();
        assert_eq!(goes.len(), 1, "{order:?}: {ends:?}");
        won[goes[0]] += 1;
        let (winner, loser) = (commands[goes[0]], commands[1 - goes[0]]);
        let said = scene.ours();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0][0].contains(&format!("/pull/7#issuecomment-{winner})")), "{said:?}");
        assert_eq!(
            (scene.reactions(winner), scene.reactions(loser)),
            (vec!["eyes".into()], vec!["eyes".into(), "-1".into()])
        );
    }
    assert!(won.iter().all(|count| *count > 5), "neither is always first: {won:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_lost_keeps_nobody_from_asking_again() {
    let scene = Scene::of_a_colleague().await;
    let text = "/soopervisor run";
    let ask = |id: u64, run: &str| {
        let event = scene.commented(id, "ann", text);
        errand_of(&scene.job().event("issue_comment", &event).env("GITHUB_RUN_ID", run), TOKEN)
    };
    let (one, two) = (scene.comment("ann", text), scene.comment("ann", text));
    assert_eq!(ask(one, "101").claim(Mode::Full, false).await.lost, None);
    let errand = ask(two, "102");
    let lost = errand.claim(Mode::Full, false).await.lost.unwrap();
    errand.answer(&Decision::Refuse(lost)).await;
    // The first one's comment is gone, and with it our eyes.
    scene.fake.state().comments.retain(|comment| comment.id != one);
    let three = scene.comment("ann", text);
    assert_eq!(ask(three, "103").claim(Mode::Full, false).await.lost, None);
}
