//! Requests against a server that misbehaves, byte by byte.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::secret::Secret;

#[derive(Debug)]
struct Plain;

impl Judge for Plain {
    fn judge(&self, answer: &Answer) -> Fault {
        answer.plain_fault(&String::from_utf8_lossy(&answer.body))
    }
}

#[derive(Debug)]
struct Counting(AtomicUsize);

#[async_trait]
impl Bearer for Counting {
    async fn token(&self) -> Result<Secret, Fault> {
        Ok(Secret::new("token", b"old-token".to_vec()))
    }

    async fn renew(&self, stale: &Secret) -> Result<Secret, Fault> {
        assert_eq!(stale.expose(), b"old-token");
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Secret::new("token", b"new-token".to_vec()))
    }

    fn refused(&self, fault: Fault) -> Fault {
        Fault::Login(format!("{fault}; log in"))
    }
}

/// Answers one connection each with the given bytes, then closes it; gives back what was asked.
fn serve(answers: Vec<&'static str>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = vec![0; 64 * 1024];
            let read = stream.read(&mut buffer).unwrap();
            asked.push(String::from_utf8_lossy(&buffer[..read]).into_owned());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    (url, served)
}

fn web(bearer: Option<Arc<dyn Bearer>>) -> Web {
    let pacer = Arc::new(Pacer::new(Pace::steady(1000.0, 100.0)));
    Web::new(client(&Reach::default()).unwrap(), bearer, pacer, Arc::new(Plain))
}

async fn turn(pacer: &Pacer) {
    let by = tokio::time::Instant::now() + Duration::from_mins(1);
    pacer.turn(by, &Waits::default()).await.unwrap();
}

/// A service that wants to be asked less, in so many words.
fn busy(after: &str) -> &'static str {
    format!("HTTP/1.1 429 Busy\r\nretry-after: {after}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").leak()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone";

#[tokio::test]
async fn a_busy_service_is_asked_again_after_the_time_it_names() {
    let busy = "HTTP/1.1 429 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, served) = serve(vec![busy, OK]);
    let begun = std::time::Instant::now();
    let answer = web(None).send(|client| client.get(&url)).await.unwrap();
    assert_eq!(&answer.body[..], b"done");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(served.join().unwrap().len(), 2);
}

#[tokio::test]
async fn who_is_told_to_wait_longer_than_anybody_does_asks_no_more_and_says_for_how_long() {
    for (told, said) in [("1200", "20 min"), ("7200", "2 h"), ("1e12", "24 h")] {
        let (url, served) = serve(vec![busy(told)]);
        let web = web(None);
        let begun = std::time::Instant::now();
        // The next one sends nothing: the server would not answer it.
        for _ in 0..2 {
            let fault = web.send(|client| client.get(&url)).await.unwrap_err();
            assert!(matches!(fault, Fault::Throttled(Some(_))), "{fault:?}");
            assert_eq!(fault.to_string(), format!("the service asks for fewer requests for {said}"));
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(served.join().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn who_wants_to_know_soon_waits_for_no_pause_and_is_told_its_length() {
    let (url, served) = serve(vec![busy("1"), OK, busy("30")]);
    let web = web(None).hurried(Duration::from_secs(3));
    let begun = std::time::Instant::now();
    assert_eq!(&web.send(|client| client.get(&url)).await.unwrap().body[..], b"done");
    for _ in 0..2 {
        let fault = web.send(|client| client.get(&url)).await.unwrap_err();
        assert_eq!(fault.to_string(), "the service asks for fewer requests for 30 s");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(served.join().unwrap().len(), 3);
}

#[tokio::test]
async fn another_process_is_told_of_the_same_hours() {
    let folder = tempfile::tempdir().unwrap();
    let process = || Pacer::filed(Pace::steady(40.0, 4.0), open_shared(folder.path(), "box me").unwrap());
    process().throttled(Some(Duration::from_hours(2)));
    let by = tokio::time::Instant::now() + Duration::from_mins(15);
    let left = process().turn(by, &Waits::default()).await.unwrap_err();
    assert!(left > Duration::from_mins(119) && left < Duration::from_mins(121), "{left:?}");
}

#[tokio::test]
async fn what_may_have_changed_something_is_counted_unless_it_was_refused() {
    const NO: &str = "HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, served) = serve(vec![OK, NO, OK, ""]);
    let web = web(None);
    web.send(|client| client.get(&url)).await.unwrap();
    web.send(|client| client.post(&url)).await.unwrap_err();
    assert_eq!((web.sent(), web.undenied()), (2, 0), "one reads, the other was refused");
    web.send(|client| client.post(&url)).await.unwrap();
    assert_eq!(web.undenied(), 1);
    web.send_once(|client| client.post(&url)).await.unwrap_err();
    assert_eq!(web.undenied(), 2, "nobody knows what became of it");
    assert_eq!(served.join().unwrap().len(), 4);
}

#[tokio::test]
async fn what_is_waited_for_is_seen_from_outside_while_it_is() {
    let (url, served) = serve(vec![busy("2"), OK]);
    let web = web(None);
    let seen = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        (web.waiting(), web.without_token().waiting())
    };
    let (answer, (seen, elsewhere)) = tokio::join!(web.send(|client| client.get(&url)), seen);
    assert_eq!(&answer.unwrap().body[..], b"done");
    assert_eq!((seen.map(|seen| seen.reason), seen), (Some(Reason::Throttled), elsewhere));
    assert_eq!((web.waiting(), served.join().unwrap().len()), (None, 2));
    assert_eq!((web.sent(), web.without_token().sent()), (2, 2));
}

#[tokio::test]
async fn a_service_that_asks_for_no_time_is_not_asked_again_at_once() {
    let (url, served) = serve(vec![busy("0"), busy("0"), busy("0"), OK]);
    let begun = std::time::Instant::now();
    web(None).send(|client| client.get(&url)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
    assert_eq!(served.join().unwrap().len(), 4);
}

#[tokio::test]
async fn what_a_login_was_never_allowed_costs_no_renewal() {
    let scope = "HTTP/1.1 401 No\r\nwww-authenticate: Bearer error=\"insufficient_scope\"\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n";
    let (url, served) = serve(vec![scope]);
    let bearer = Arc::new(Counting(AtomicUsize::new(0)));
    web(Some(bearer.clone())).send(|client| client.get(&url)).await.unwrap_err();
    assert_eq!((served.join().unwrap().len(), bearer.0.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn what_a_service_leaves_an_account_is_what_it_said_last_of_usual_requests() {
    let left = "HTTP/1.1 200 OK\r\nx-ratelimit-remaining: 41\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone";
    let apart = "HTTP/1.1 200 OK\r\nx-ratelimit-resource: search\r\nx-ratelimit-remaining: 7\r\ncontent-length: 4\r\n\
                 connection: close\r\n\r\ndone";
    let (url, served) = serve(vec![OK, left, apart]);
    let web = web(None);
    let writing = web.at_pace(Arc::new(Pacer::new(Pace::steady(1000.0, 100.0))));
    for known in [None, Some(41), Some(41)] {
        writing.send(|client| client.get(&url)).await.unwrap();
        assert_eq!(web.allowance(), known);
    }
    assert_eq!(web.without_token().allowance(), None, "that is another account");
    assert_eq!(served.join().unwrap().len(), 3);
}

#[tokio::test]
async fn answers_that_break_off_and_connections_that_close_are_tried_again() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 400\r\nconnection: close\r\n\r\ndo";
    let (url, served) = serve(vec![cut, "", "HTTP/1.1 502 Bad\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", OK]);
    assert_eq!(&web(None).send(|client| client.get(&url)).await.unwrap().body[..], b"done");
    assert_eq!(served.join().unwrap().len(), 4);
}

#[tokio::test]
async fn what_must_not_be_done_twice_is_repeated_only_when_it_was_refused() {
    let (url, served) = serve(vec![""]);
    let fault = web(None).send_once(|client| client.post(&url)).await.unwrap_err();
    assert!(fault.is_passing(), "{fault:?}");
    assert_eq!(served.join().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_renewed_once() {
    let no = "HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, served) = serve(vec![no, OK]);
    let bearer = Arc::new(Counting(AtomicUsize::new(0)));
    web(Some(bearer.clone())).send(|client| client.get(&url)).await.unwrap();
    let asked = served.join().unwrap();
    assert!(asked[0].contains("authorization: Bearer old-token") && asked[1].contains("Bearer new-token"));
    let (url, served) = serve(vec![no, no]);
    let fault = web(Some(bearer.clone())).send(|client| client.get(&url)).await.unwrap_err();
    assert!(matches!(&fault, Fault::Login(words) if words.ends_with("; log in")), "{fault:?}");
    assert_eq!((served.join().unwrap().len(), bearer.0.load(Ordering::SeqCst)), (2, 2));
}

/// An answer of that kind, all of which seems to have come.
fn whole(kind: &str, body: &str) -> &'static str {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}", body.len());
    format!("{head}\r\nconnection: close\r\n\r\n{body}").leak()
}

#[tokio::test]
async fn json_that_breaks_off_is_as_good_as_a_connection_that_did() {
    let half = whole("application/json; charset=utf-8", "{\"id\": \"ab");
    let (url, served) = serve(vec![half, whole("application/json", "{\"id\": \"abc\"}"), half]);
    let web = web(None);
    let answer = web.send(|client| client.post(&url)).await.unwrap();
    assert_eq!(&answer.body[..], b"{\"id\": \"abc\"}");
    assert_eq!((web.sent(), web.undenied()), (2, 2), "both may have been carried out");
    let fault = web.send_once(|client| client.post(&url)).await.unwrap_err();
    assert!(fault.is_passing() && fault.to_string().contains("broke off"), "{fault:?}");
    assert_eq!((served.join().unwrap().len(), web.undenied()), (3, 3));
}

#[tokio::test]
async fn a_page_in_place_of_json_is_of_something_on_the_way() {
    let (page, json) = (whole("text/html", "<html>Sign in</html>"), whole("application/json", "[]"));
    let (url, served) = serve(vec![page, json, page]);
    let json_only = web(None).speaking_json();
    assert_eq!(&json_only.send(|client| client.get(&url)).await.unwrap().body[..], b"[]");
    let page = web(None).send(|client| client.get(&url)).await.unwrap();
    assert!(matches!(page.json::<serde_json::Value>(), Err(Fault::Form(_))), "who serves pages may serve this one");
    assert_eq!(served.join().unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_no_json_or_has_no_body_is_handed_out_as_it_is() {
    let bodies = [("application/json", ""), ("application/json", "no JSON"), ("application/octet-stream", "{\"id")];
    let (url, served) = serve(bodies.iter().map(|(kind, body)| whole(kind, body)).collect());
    let web = web(None);
    for (_, body) in bodies {
        assert_eq!(web.send(|client| client.get(&url)).await.unwrap().body, body);
    }
    assert_eq!(served.join().unwrap().len(), 3);
}

#[tokio::test]
async fn a_redirect_is_followed_without_the_token_and_never_to_plain_http_elsewhere() {
    let (target, target_served) = serve(vec![OK]);
    let there: &'static str =
        format!("HTTP/1.1 302 Found\r\nlocation: {target}/x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").leak();
    let (url, served) = serve(vec![there]);
    let bearer: Arc<dyn Bearer> = Arc::new(Counting(AtomicUsize::new(0)));
    let got = web(Some(Arc::clone(&bearer))).open(|client| client.get(&url).header("range", "bytes=1-")).await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), "done");
    let asked = target_served.join().unwrap().remove(0);
    assert!(asked.contains("range: bytes=1-") && !asked.to_lowercase().contains("authorization"), "{asked}");
    drop(served);
    let away = "HTTP/1.1 302 Found\r\nlocation: http://example.com/x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, _served) = serve(vec![away]);
    assert!(matches!(web(Some(bearer)).open(|client| client.get(&url)).await, Err(Fault::Form(_))));
}

#[tokio::test]
async fn faults_hold_no_address() {
    let fault = web(None).send_once(|client| client.get("http://127.0.0.1:1/upload?token=hunter2")).await.unwrap_err();
    assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault:?}");
}

#[test]
fn base_urls_are_https_or_on_this_machine() {
    for good in ["https://api.box.com", "http://127.0.0.1:80/box/", "http://[::1]:1", "http://localhost:1"] {
        let endpoint: Endpoint = good.parse().unwrap();
        assert!(!endpoint.at("/x").contains("//x"), "{endpoint}");
    }
    for bad in
        ["http://api.box.com", "http://127.0.0.1.example.com", "ftp://localhost", "x", "https://u:p@h", "https://h?a"]
    {
        assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_bucket_keeps_its_rate_slows_when_told_and_recovers() {
    let pacer = Pacer::new(Pace { start: 40.0, least: 5.0, most: 40.0, burst: 4.0 });
    let begun = std::time::Instant::now();
    for _ in 0..12 {
        turn(&pacer).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
    pacer.throttled(Some(Duration::from_millis(300)));
    pacer.throttled(None);
    assert!((pacer.rate() - 20.0).abs() < 0.01, "a burst of answers counts once");
    let begun = std::time::Instant::now();
    turn(&pacer).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    (0..200).for_each(|_| pacer.went_well());
    assert!((pacer.rate() - 40.0).abs() < 0.01);
}

#[test]
fn one_account_has_one_bucket() {
    let pace = Pace::steady(1.0, 1.0);
    let first = Pacer::shared("box me", pace);
    assert!(Arc::ptr_eq(&first, &Pacer::shared("box me", pace)));
    assert!(!Arc::ptr_eq(&first, &Pacer::shared("box you", pace)));
}

#[tokio::test]
async fn one_account_has_one_bucket_for_all_processes_that_name_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let pace = Pace { start: 40.0, least: 5.0, most: 40.0, burst: 4.0 };
    // Each as another process would have it.
    let process = || Pacer::filed(pace, open_shared(folder.path(), "box me").unwrap());
    let (one, other) = (process(), process());
    let turns = async |pacer: &Pacer| {
        for _ in 0..8 {
            turn(pacer).await;
        }
    };
    let begun = std::time::Instant::now();
    tokio::join!(turns(&one), turns(&other));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(290), "sixteen at forty a second, of which four at once: {took:?}");
    one.throttled(Some(Duration::from_millis(300)));
    other.throttled(None);
    assert!((other.rate() - 20.0).abs() < 0.01, "a burst of answers counts once, whoever got them");
    let begun = std::time::Instant::now();
    turn(&other).await;
    assert!(begun.elapsed() >= Duration::from_millis(290), "closed for one is closed for all");
    (0..200).for_each(|_| other.went_well());
    assert!((other.rate() - 40.0).abs() < 0.01 && (one.rate() - 40.0).abs() < 0.01);
    // Another account has another one; what makes no sense, or is of another clock, is as if it was not there.
    let stranger = Pacer::filed(pace, open_shared(folder.path(), "box you").unwrap());
    stranger.throttled(None);
    assert!((one.rate() - 40.0).abs() < 0.01);
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let later = r#"{"rate": 1, "tokens": -9, "filled": 1e12, "closed_until": 1e12, "slowed": 0}"#;
    for spoilt in
        ["", "{", "null", later, r#"{"rate": 1e999, "tokens": 0, "filled": 0, "closed_until": 0, "slowed": 0}"#]
    {
        for file in &files {
            std::fs::write(file, spoilt).unwrap();
        }
        let begun = std::time::Instant::now();
        turn(&process()).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{spoilt}");
    }
}

#[test]
fn who_holds_a_bucket_for_long_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pacer = Pacer::filed(Pace::steady(40.0, 4.0), open_shared(folder.path(), "box me").unwrap());
    let other = open_shared(folder.path(), "box me").unwrap();
    other.lock().unwrap();
    let begun = std::time::Instant::now();
    assert!((pacer.rate() - 40.0).abs() < 0.01);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// A server that takes a request slowly, or takes it and says nothing.
fn slow(take: Duration, answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::thread::sleep(take);
        let mut buffer = vec![0; 64 * 1024];
        let mut taken = Vec::new();
        while taken.len() < 300_000 && (taken.is_empty() || !answer.is_empty()) {
            let read = stream.read(&mut buffer).unwrap();
            taken.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        // Until the other side has had enough.
        let _ = stream.read(&mut buffer);
    });
    url
}

#[tokio::test]
async fn what_is_sent_may_take_longer_than_an_answer_may_be_silent() {
    let pacer = Arc::new(Pacer::new(Pace::steady(1000.0, 100.0)));
    let web = Web::new(client_for_files(&Reach::default()).unwrap(), None, pacer, Arc::new(Plain));
    let web = web.answering_within(Duration::from_millis(200));
    let url = slow(Duration::from_millis(700), OK);
    let answer = web.send_once(|client| client.put(&url).body(vec![7; 300_000])).await.unwrap();
    assert_eq!(&answer.body[..], b"done");
    let url = slow(Duration::ZERO, "");
    let begun = std::time::Instant::now();
    let silent = web.send_once(|client| client.get(&url)).await.unwrap_err();
    assert!(matches!(&silent, Fault::Broken(words) if words.contains("in time")), "{silent:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_body_without_bytes_tells_its_length_too() {
    let (url, served) = serve(vec![OK, OK, OK]);
    let web = web(None);
    web.send(|client| client.put(&url).body(Vec::new())).await.unwrap();
    web.send(|client| client.post(&url)).await.unwrap();
    web.send(|client| client.get(&url)).await.unwrap();
    let asked = served.join().unwrap();
    let told: Vec<bool> = asked.iter().map(|asked| asked.to_lowercase().contains("content-length: 0\r\n")).collect();
    assert_eq!(told, [true, true, false], "{asked:?}");
}

#[test]
fn a_service_says_for_how_long_or_until_when_to_wait() {
    let wait = |told: &'static str| {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("retry-after", told.parse().unwrap());
        headers.insert("date", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        Answer { status: 503, headers, body: bytes::Bytes::new() }.retry_after()
    };
    assert_eq!(wait("7"), Some(Duration::from_secs(7)));
    assert_eq!(wait(" 0.5 "), Some(Duration::from_millis(500)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_mins(1)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO), "it is over");
    assert_eq!(wait("7200"), Some(Duration::from_hours(2)), "hours are no reason to ask at once");
    for long in ["86401", "1e300", "Tue, 08 Nov 1994 08:49:37 GMT"] {
        assert_eq!(wait(long), Some(LONGEST_WAIT), "{long}");
    }
    for none in ["-1", "NaN", "soon"] {
        assert_eq!(wait(none), None, "{none}");
    }
}

#[test]
fn a_refusal_without_words_is_told_as_one() {
    let answer = |status| Answer { status, headers: reqwest::header::HeaderMap::new(), body: bytes::Bytes::new() };
    assert_eq!(answer(403).plain_fault(" ").to_string(), "not allowed: it does not say why");
    assert_eq!(answer(403).plain_fault("no scope").to_string(), "not allowed: no scope");
    assert!(answer(401).plain_fault("").to_string().ends_with("the token: it does not say why"));
}

#[tokio::test]
async fn nobody_who_listens_is_told_from_a_service_that_fails() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client(&Reach::default()).unwrap().get(format!("http://{gone}")).send().await.unwrap_err();
    let fault = Fault::network(error);
    assert!(fault.is_unconnected() && fault.is_passing(), "{fault}");
    assert!(!Fault::Broken("the service answered 502".to_owned()).is_unconnected());
}
