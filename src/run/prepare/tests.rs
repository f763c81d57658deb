//! What is said of the sweep that goes on beside a run.

use std::sync::Mutex;

use super::*;

async fn told(swept: Result<Vec<Swept>, EngineError>) -> Vec<String> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let telling = Telling::new(Box::new(move |event: &RunEvent| {
        heard.lock().unwrap().push(match event {
            RunEvent::StepProgress { text, .. } => text.clone(),
            RunEvent::Diagnosed(finding) => format!("{}: {}", finding.code, finding.message),
            _ => return,
        });
    }));
    let mut sweeping = AbortOnDropHandle::new(tokio::spawn(std::future::ready(swept)));
    tell_swept(&mut sweeping, &telling).await;
    std::mem::take(&mut *told.lock().unwrap())
}

#[tokio::test]
async fn what_dead_runs_left_is_named() {
    let swept = Swept { name: "soopervisor-x".to_owned(), run: "r1".to_owned() };
    assert_eq!(told(Ok(vec![swept])).await, ["removed soopervisor-x, left by run r1 that is dead"]);
    assert_eq!(told(Ok(Vec::new())).await, [""; 0]);
}

#[tokio::test]
async fn a_sweep_that_fails_is_a_warning_and_no_end_of_the_run() {
    let refused = EngineError::Refused { action: "list volumes", reason: "not allowed here".to_owned() };
    let told = told(Err(refused)).await;
    assert!(
        told.len() == 1 && told[0].starts_with("run/not-swept: ") && told[0].contains("not allowed here"),
        "{told:?}"
    );
}
