//! What every engine promises, asked of the real one and of the fake alike: tests of other rooms trust the fake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use soopervisor::engine::fake::{Fake, Outcome};
use soopervisor::engine::{Engine, EngineError, ExecSpec, Purpose, Session};

use crate::kit::{Heard, close, docker, in_time, script, script_with, spec};

/// A script for the real engine and what the fake plays in its place.
struct Scene {
    script: &'static str,
    outcome: fn() -> Outcome,
}

/// Sees a scene on both engines.
async fn on_both<R>(scene: Scene, look: impl AsyncFn(Box<dyn Session>, ExecSpec) -> R) {
    let fake = Fake::new();
    fake.plan(Purpose::Run, (scene.outcome)());
    let engines: [Arc<dyn Engine>; 2] = [Arc::new(fake), Arc::new(docker().await)];
    for engine in engines {
        let session = engine.start(spec()).await.unwrap();
        look(session, script(scene.script)).await;
    }
}

#[tokio::test]
async fn output_and_exit_code_are_the_scripts_own() {
    let scene = Scene {
        script: "echo out; echo err >&2; exit 3",
        outcome: || Outcome::exit(3).stdout("out\n").stderr("err\n"),
    };
    on_both(scene, async |mut session, exec| {
        let mut heard = Heard::default();
        let exit = in_time(session.exec(exec, &mut heard)).await.unwrap();
        assert_eq!((exit.code, exit.oom_killed), (3, false));
        assert_eq!((heard.stdout(), heard.stderr(), heard.gaps), ("out\n", "err\n", 0));
        close(session).await;
    })
    .await;
}

#[tokio::test]
async fn a_session_takes_one_script_only() {
    let scene = Scene { script: "exit 0", outcome: || Outcome::exit(0) };
    on_both(scene, async |mut session, exec| {
        in_time(session.exec(exec, &mut Heard::default())).await.unwrap();
        let again = in_time(session.exec(script("exit 0"), &mut Heard::default())).await;
        assert!(matches!(again, Err(EngineError::Refused { .. })), "{again:?}");
        close(session).await;
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_a_variable_is_refused_and_the_session_stays_usable() {
    let scene = Scene { script: "exit 5", outcome: || Outcome::exit(5) };
    on_both(scene, async |mut session, exec| {
        let bad = script_with("exit 0", &[("NOT-A-NAME", b"hunter2")]);
        let refused = in_time(session.exec(bad, &mut Heard::default())).await.unwrap_err().to_string();
        assert!(refused.contains("NOT-A-NAME") && !refused.contains("hunter2"), "{refused}");
        assert_eq!(in_time(session.exec(exec, &mut Heard::default())).await.unwrap().code, 5);
        close(session).await;
    })
    .await;
}

#[tokio::test]
async fn a_stop_asks_first_and_the_code_says_term() {
    let scene = Scene { script: "echo up; sleep 1000", outcome: || Outcome::exit(0).stdout("up\n").hang() };
    on_both(scene, async |mut session, exec| {
        let control = session.control();
        let mut heard = Heard::default();
        let since = Instant::now();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            control.stop(Duration::from_mins(1)).await
        };
        let (exit, stopped) = in_time(async { tokio::join!(session.exec(exec, &mut heard), stop) }).await;
        stopped.unwrap();
        assert_eq!(exit.unwrap().code, 143);
        assert_eq!(heard.stdout(), "up\n");
        assert!(since.elapsed() < Duration::from_secs(30), "no need for the whole grace");
        close(session).await;
    })
    .await;
}

#[tokio::test]
async fn a_script_that_ignores_term_is_killed_after_the_grace() {
    let scene = Scene {
        script: "trap '' TERM; echo up; sleep 1000; sleep 1000",
        outcome: || Outcome::exit(0).stdout("up\n").hang_deaf(),
    };
    on_both(scene, async |mut session, exec| {
        let control = session.control();
        let mut heard = Heard::default();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            control.stop(Duration::from_millis(700)).await
        };
        let since = Instant::now();
        let (exit, stopped) = in_time(async { tokio::join!(session.exec(exec, &mut heard), stop) }).await;
        stopped.unwrap();
        assert_eq!(exit.unwrap().code, 137);
        assert!(since.elapsed() >= Duration::from_millis(1200), "the grace is granted");
        close(session).await;
    })
    .await;
}

#[tokio::test]
async fn a_kill_does_not_ask() {
    let scene = Scene { script: "trap '' TERM; sleep 1000", outcome: || Outcome::exit(0).hang_deaf() };
    on_both(scene, async |mut session, exec| {
        let control = session.control();
        let mut heard = Heard::default();
        let kill = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            control.kill().await
        };
        let (exit, killed) = in_time(async { tokio::join!(session.exec(exec, &mut heard), kill) }).await;
        killed.unwrap();
        let exit = exit.unwrap();
        assert_eq!((exit.code, exit.oom_killed), (137, false));
        close(session).await;
    })
    .await;
}

#[tokio::test]
async fn stopping_what_has_ended_is_no_error() {
    let scene = Scene { script: "exit 0", outcome: || Outcome::exit(0) };
    on_both(scene, async |mut session, exec| {
        let control = session.control();
        in_time(session.exec(exec, &mut Heard::default())).await.unwrap();
        in_time(control.stop(Duration::from_mins(1))).await.unwrap();
        control.kill().await.unwrap();
        close(session).await;
        in_time(control.stop(Duration::from_mins(1))).await.unwrap();
        control.kill().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn every_session_has_a_name_of_its_own() {
    let engines: [Arc<dyn Engine>; 2] = [Arc::new(Fake::new()), Arc::new(docker().await)];
    for engine in engines {
        let (one, two) = (engine.start(spec()).await.unwrap(), engine.start(spec()).await.unwrap());
        assert_ne!(one.name(), two.name());
        close(one).await;
        close(two).await;
    }
}

#[tokio::test]
async fn a_missing_image_is_the_same_error() {
    let fake = Fake::new();
    fake.lacks_image("soopervisor-no-such-image:2");
    let engines: [Arc<dyn Engine>; 2] = [Arc::new(fake), Arc::new(docker().await)];
    for engine in engines {
        let error = engine.ensure_image("soopervisor-no-such-image:2", &mut |_| ()).await.unwrap_err();
        assert!(matches!(error, EngineError::Image { .. }), "{error:?}");
        let mut missing = spec();
        missing.image = "soopervisor-no-such-image:2".into();
        let error = engine.start(missing).await.err().unwrap();
        assert!(matches!(error, EngineError::Image { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn the_fake_plays_a_plan_and_remembers_what_it_was_asked() {
    let fake = Fake::new();
    fake.plan(Purpose::Build, Outcome::exit(1));
    fake.plan(
        Purpose::Run,
        Outcome::exit(137).oom().peak(7).gap().say(soopervisor::engine::Stream::Stdout, |seen| {
            format!("{} {}", seen.nonce.clone().unwrap(), seen.secrets[0].name()).into_bytes()
        }),
    );
    let mut session = fake.start(spec()).await.unwrap();
    let mut heard = Heard::default();
    let mut exec = script_with("the script", &[("KEY", b"v")]);
    exec.nonce = "n0".into();
    let exit = session.exec(exec, &mut heard).await.unwrap();
    close(session).await;
    assert_eq!((exit.code, exit.oom_killed, exit.peak_memory_bytes), (137, true, Some(7)));
    assert_eq!((heard.stdout(), heard.gaps), ("n0 KEY", 1));
    let seen = fake.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].script.as_deref(), Some("the script"));
    assert!(seen[0].closed);
}

#[tokio::test]
async fn the_fake_can_go_away_and_refuse() {
    let fake = Fake::new();
    fake.plan(Purpose::Run, Outcome::refuse(EngineError::Unavailable { tried: "x".into() }));
    fake.plan(Purpose::Run, Outcome::exit(0).stdout("half").lose("unplugged"));
    assert!(matches!(fake.start(spec()).await.err(), Some(EngineError::Unavailable { .. })));
    let mut session = fake.start(spec()).await.unwrap();
    let mut heard = Heard::default();
    let lost = session.exec(script(""), &mut heard).await;
    assert!(matches!(lost, Err(EngineError::Gone { .. })), "{lost:?}");
    assert_eq!(heard.stdout(), "half");
}
