//! Two commands that come at once, their requests to GitHub in every order there is.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;

use super::super::body::{Asked, Trace, marked};
use super::super::decide::{Decision, decide};
use super::super::facts::{Call, gather};
use super::super::inputs::SampleInput;
use super::super::progress::State;
use super::*;
use crate::comment::Marker;
use crate::forge::{
    Author, CommitStatus, Comparison, ListedPull, Permission, PullHead, PullRequest, Reaction, Repository, WorkflowRun,
};
use crate::id::CommitSha;

/// As much of GitHub as a command asks. Every request waits for its turn once, then is done at once; those whose answer
/// neither job changes need none.
#[derive(Debug, Default)]
struct Small(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    comments: Vec<Comment>,
    faces: Vec<(u64, Reacted)>,
    next: u64,
}

fn actions() -> Author {
    Author { id: 41, login: "github-actions[bot]".to_owned(), bot: true }
}

fn person() -> Author {
    Author { id: 7, login: "ann".to_owned(), bot: false }
}

fn sha(digit: char) -> CommitSha {
    digit.to_string().repeat(40).parse().unwrap()
}

fn repo() -> RepoId {
    "octo-org/churn".parse().unwrap()
}

fn hour_ago() -> Timestamp {
    Timestamp::now().saturating_sub(SignedDuration::from_hours(1)).unwrap()
}

impl Small {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    fn write(&self, author: Author, body: &str) -> u64 {
        let mut inside = self.inside();
        inside.next += 1;
        let (id, now) = (inside.next, Timestamp::now());
        let url = format!("https://github.example/octo-org/churn/pull/7#issuecomment-{id}");
        inside.comments.push(Comment { id, number: 7, author, body: body.to_owned(), created: now, updated: now, url });
        id
    }

    /// Our comment says that a run was begun for a command, or how it ended.
    fn tell(&self, run: u64, comment: u64, mode: Mode, state: State) {
        let me = Me::App("github-actions".to_owned(), None);
        let found = find_marker(&self.inside().comments, &me, &us(0).marker);
        let asked = Some(Asked { comment, commit: sha('a') });
        let trace = Trace { run, mode, state, failed_before: false, asked };
        let traces = found.as_ref().map(|found| found.traces.clone()).unwrap_or_default().with(trace);
        let text = marked(&us(0).marker, &traces, "told");
        match found {
            None => {
                self.write(actions(), &text);
            }
            Some(found) => {
                self.inside().comments.iter_mut().filter(|c| c.id == found.id).for_each(|c| c.body.clone_from(&text));
            }
        }
    }

    async fn turn(&self) {
        tokio::task::yield_now().await;
    }
}

fn us(run: u64) -> Us {
    let marker = Marker { repo: 5, pr: 7, key: ".".to_owned() };
    Us { marker, workflow_run: Some(run), repeated: false }
}

type Said<T> = Result<T, Fault>;

#[async_trait]
impl Forge for Small {
    async fn me(&self) -> Said<Me> {
        Ok(Me::App("github-actions".to_owned(), None))
    }

    async fn permission(&self, _: &RepoId, login: &str) -> Said<Permission> {
        Ok(if login == "ann" { Permission::Write } else { Permission::Read })
    }

    async fn pull(&self, _: &RepoId, number: u64) -> Said<PullRequest> {
        self.turn().await;
        let end = |branch: &str, digit| PullHead { repo: Some(repo()), branch: branch.to_owned(), commit: sha(digit) };
        Ok(PullRequest { number, open: true, head: end("topic", 'a'), base: end("main", 'b') })
    }

    async fn heads(&self, _: &RepoId, _: &PullRequest) -> Said<Vec<(CommitSha, Timestamp)>> {
        Ok(vec![(sha('a'), hour_ago())])
    }

    async fn comments(&self, _: &RepoId, _: u64) -> Said<Vec<Comment>> {
        self.turn().await;
        Ok(self.inside().comments.clone())
    }

    async fn comments_since(&self, _: &RepoId, _: Timestamp) -> Said<Vec<Comment>> {
        Ok(self.inside().comments.clone())
    }

    async fn put_reaction(&self, _: &RepoId, _: u64, comment: u64, face: Reaction) -> Said<Reacted> {
        self.turn().await;
        let mut inside = self.inside();
        if let Some((_, there)) = inside.faces.iter().find(|(on, there)| *on == comment && there.author == actions()) {
            return Ok(there.clone());
        }
        inside.next += 1;
        let put = Reacted { id: inside.next, author: actions(), reaction: Some(face), created: Timestamp::now() };
        inside.faces.push((comment, put.clone()));
        Ok(put)
    }

    async fn reactions(&self, _: &RepoId, _: u64, comment: u64) -> Said<Vec<Reacted>> {
        self.turn().await;
        Ok(self.inside().faces.iter().filter(|(on, _)| *on == comment).map(|(_, face)| face.clone()).collect())
    }

    async fn workflow_run(&self, _: &RepoId, id: u64) -> Said<WorkflowRun> {
        self.turn().await;
        // Runs below a hundred are over.
        let ended = (id < 100).then_some(false);
        let url = format!("https://runs/{id}");
        let (path, title, pulls) = (String::new(), String::new(), Vec::new());
        Ok(WorkflowRun { id, path, workflow: None, title, url, ended, attempt: None, pulls })
    }

    async fn repository(&self, _: &RepoId) -> Said<Repository> {
        Err(Fault::NotFound)
    }

    async fn now(&self, _: &RepoId) -> Said<Timestamp> {
        Err(Fault::NotFound)
    }

    async fn pulls_of(&self, _: &RepoId, _: &CommitSha) -> Said<Vec<ListedPull>> {
        Err(Fault::NotFound)
    }

    async fn commit(&self, _: &RepoId, _: &str) -> Said<CommitSha> {
        Err(Fault::NotFound)
    }

    async fn add_comment(&self, _: &RepoId, _: u64, _: &str) -> Said<Comment> {
        Err(Fault::NotFound)
    }

    async fn edit_comment(&self, _: &RepoId, _: u64, _: u64, _: &str) -> Said<Comment> {
        Err(Fault::NotFound)
    }

    async fn react(&self, _: &RepoId, _: u64, _: u64, _: Reaction) -> Said<()> {
        Err(Fault::NotFound)
    }

    async fn set_status(&self, _: &RepoId, _: &CommitSha, _: &CommitStatus) -> Said<()> {
        Err(Fault::NotFound)
    }

    async fn add_labels(&self, _: &RepoId, _: u64, _: &[String]) -> Said<()> {
        Err(Fault::NotFound)
    }

    async fn remove_labels(&self, _: &RepoId, _: u64, _: &[String]) -> Said<()> {
        Err(Fault::NotFound)
    }

    async fn dispatch_workflow(&self, _: &RepoId, _: &str, _: &str, _: &BTreeMap<String, String>) -> Said<Option<u64>> {
        Err(Fault::NotFound)
    }

    async fn dispatch_event(&self, _: &RepoId, _: &str, _: Option<&str>, _: &serde_json::Value) -> Said<Option<u64>> {
        Err(Fault::NotFound)
    }

    async fn workflow_runs(&self, _: &RepoId, _: &str) -> Said<Vec<WorkflowRun>> {
        Err(Fault::NotFound)
    }

    async fn cancel_run(&self, _: &RepoId, _: u64) -> Said<()> {
        Err(Fault::NotFound)
    }

    async fn contents(&self, _: &RepoId, _: &str, _: &str) -> Said<Option<Vec<u8>>> {
        Err(Fault::NotFound)
    }

    async fn compare(&self, _: &RepoId, _: &str, _: &str) -> Said<Comparison> {
        Err(Fault::NotFound)
    }
}

fn event(id: u64, body: &str) -> CommentEvent {
    CommentEvent {
        action: "created".to_owned(),
        number: 7,
        on_pull: true,
        open: true,
        id,
        body: body.to_owned(),
        author: "ann".to_owned(),
        bot: false,
        sender: "ann".to_owned(),
        created: Timestamp::now(),
    }
}

/// A job from its first request until it knows whether it runs; one that does tells so.
async fn job(forge: Arc<Small>, run: u64, id: u64, body: &'static str, mode: Mode) -> Option<Reason> {
    let (comment, us) = (event(id, body), us(run));
    let call = Call::of(&comment).unwrap();
    let facts = gather(&*forge, &repo(), &comment, &call, Some(&us)).await.unwrap();
    let happened = Event::Comment(comment.clone());
    match decide(&happened, &sha('f'), SampleInput::Auto, Some(&facts)) {
        Decision::Run(_) => {}
        Decision::Refuse(reason) => return Some(reason),
        other => panic!("{other:?}"),
    }
    let lost = in_the_way(&*forge, &repo(), &comment, mode, &us, false).await.unwrap();
    forge.turn().await;
    match &lost {
        None => forge.tell(run, id, mode, State::Running),
        Some(_) => {
            forge.write(actions(), &format!("{}\nNothing was run.", lost_line(id)));
        }
    }
    lost
}

fn lost_line(comment: u64) -> String {
    super::lost(&us(0).marker, comment)
}

type Going = Pin<Box<dyn Future<Output = Option<Reason>>>>;

/// One request more of a job; what it came to, once it is over.
fn step(job: &mut Going) -> Poll<Option<Reason>> {
    job.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// What came of a job that has so many turns.
fn led_to_its_end(job: &mut Going, turns: u32) -> Option<Reason> {
    let end = (0..turns).map(|_| step(job)).find(Poll::is_ready);
    match end {
        Some(Poll::Ready(done)) => done,
        _ => panic!("it does not end"),
    }
}

/// How many times a job that is alone has to be asked to go on.
fn steps() -> u32 {
    let forge = Arc::new(Small::default());
    let (one, _) = two_commands(&forge);
    let mut going: Going = Box::pin(job(forge, 101, one, "/soopervisor run", Mode::Full));
    (1..1000).find(|_| step(&mut going).is_ready()).unwrap()
}

fn two_commands(forge: &Small) -> (u64, u64) {
    (forge.write(person(), "/soopervisor run"), forge.write(person(), "/soopervisor run"))
}

#[test]
fn of_two_commands_at_once_exactly_one_goes_on_in_whatever_order_their_requests_come() {
    let most = 2 * steps();
    let (mut orders, mut first, mut second) = (0, 0, 0);
    // Each bit says whose request is next; who is over leaves the rest to the other.
    for order in (0_u32..1 << most).filter(|order| order.count_ones() == most / 2) {
        let forge = Arc::new(Small::default());
        let (one, two) = two_commands(&forge);
        let mut jobs: [Going; 2] = [
            Box::pin(job(Arc::clone(&forge), 101, one, "/soopervisor run", Mode::Full)),
            Box::pin(job(Arc::clone(&forge), 102, two, "/soopervisor run", Mode::Full)),
        ];
        let mut ends = [Poll::Pending, Poll::Pending];
        let mut turns = (0..most).map(|bit| usize::from((order >> bit) & 1 == 1)).chain((0..1000).map(|turn| turn % 2));
        while ends.iter().any(Poll::is_pending) {
            let who = turns.next().expect("neither waits for ever");
            if ends[who].is_pending() {
                ends[who] = step(&mut jobs[who]);
            }
        }
        let [Poll::Ready(one), Poll::Ready(two)] = ends else { panic!("both have ended") };
        let (goes, lost) = if one.is_none() { (&one, &two) } else { (&two, &one) };
        assert!(goes.is_none() && lost.is_some(), "{order:b}: {one:?}, {two:?}");
        let told = lost.as_ref().unwrap().to_string();
        assert!(told.contains("https://") && told.contains("/soopervisor cancel"), "{told}");
        orders += 1;
        first += u32::from(one.is_none());
        second += u32::from(two.is_none());
    }
    assert!(orders > 3000 && first > 300 && second > 300, "{orders} orders, {first} and {second}");
}

/// Goes on with a job until it is over.
fn alone(forge: &Arc<Small>, run: u64, id: u64, body: &'static str, mode: Mode) -> Option<Reason> {
    let mut going: Going = Box::pin(job(Arc::clone(forge), run, id, body, mode));
    led_to_its_end(&mut going, 1000)
}

#[test]
fn a_command_that_lost_or_ended_stands_in_nobodys_way_and_a_sample_in_no_full_runs() {
    let forge = Arc::new(Small::default());
    let (one, two) = two_commands(&forge);
    let (run, sample) = ("/soopervisor run", "/soopervisor run sample");
    assert_eq!(alone(&forge, 101, one, run, Mode::Full), None);
    assert!(matches!(alone(&forge, 102, two, run, Mode::Full), Some(Reason::Busy(running)) if running.run == 101));
    let third = forge.write(person(), sample);
    assert_eq!(alone(&forge, 103, third, sample, Mode::Sample), None);
    forge.tell(101, one, Mode::Full, State::Failed);
    let fourth = forge.write(person(), run);
    assert_eq!(alone(&forge, 104, fourth, run, Mode::Full), None);
}

#[test]
fn eyes_of_a_job_that_was_killed_before_it_told_anything_count_for_a_quarter_of_an_hour_and_a_strangers_never() {
    let (run, minute) = ("/soopervisor run", SignedDuration::from_mins(1));
    for (minutes, author, stands) in [(1, actions(), true), (16, actions(), false), (1, person(), false)] {
        let forge = Arc::new(Small::default());
        let (one, two) = two_commands(&forge);
        let created = Timestamp::now().saturating_sub(minute * minutes).unwrap();
        forge.inside().faces.push((one, Reacted { id: 0, author, reaction: Some(face::HEARD), created }));
        let lost = alone(&forge, 102, two, run, Mode::Full);
        let address = lost.map(|reason| match reason {
            Reason::Overtaken { address } => address,
            other => panic!("{other:?}"),
        });
        let expected = format!("https://github.example/octo-org/churn/pull/7#issuecomment-{one}");
        assert_eq!(address, stands.then_some(expected), "{minutes} minutes");
    }
}

#[test]
fn no_crowd_of_strangers_hides_who_came_first() {
    let forge = Arc::new(Small::default());
    let run = "/soopervisor run";
    let one = forge.write(person(), run);
    let created = Timestamp::now();
    forge.inside().faces.push((one, Reacted { id: 0, author: actions(), reaction: Some(face::HEARD), created }));
    for _ in 0..3 * MOST {
        forge.write(Author { id: 9, login: "eve".to_owned(), bot: false }, run);
    }
    let two = forge.write(person(), run);
    assert!(matches!(alone(&forge, 102, two, run, Mode::Full), Some(Reason::Overtaken { .. })));
}

#[test]
fn what_is_repeated_waits_for_whoever_was_heard_whatever_the_numbers_say() {
    let forge = Arc::new(Small::default());
    let (one, two) = two_commands(&forge);
    let put = |comment| {
        let forge = Arc::clone(&forge);
        let mut put = Box::pin(async move { forge.put_reaction(&repo(), 7, comment, face::HEARD).await });
        (0..9).find_map(|_| match put.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(put) => Some(put.unwrap()),
            Poll::Pending => None,
        })
    };
    assert!(put(one).unwrap().id < put(two).unwrap().id);
    let asked = |again| {
        let (forge, comment) = (Arc::clone(&forge), event(one, "/soopervisor run"));
        let mut way: Going =
            Box::pin(async move { in_the_way(&*forge, &repo(), &comment, Mode::Full, &us(101), again).await.unwrap() });
        led_to_its_end(&mut way, 99)
    };
    assert_eq!(asked(false), None);
    assert!(matches!(asked(true), Some(Reason::Overtaken { .. })));
}
