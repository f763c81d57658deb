//! HTTP actions against real sockets: what is sent, what is refused, and that nobody is led elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use soopervisor::secret::Secret;
use soopervisor::server::action::arguments::{Chat, Http};
use soopervisor::server::action::http::{Resolve, System, send};
use soopervisor::server::action::{Answer, chat};
use soopervisor::server::file::HttpRules;
use soopervisor::server::template::marked::mark;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A server that answers every request alike and hands over what it got.
pub(crate) async fn serve(address: &str, answer: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let at = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut got = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                got.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&got).into_owned();
                let length = text
                    .to_lowercase()
                    .split_once("content-length: ")
                    .and_then(|(_, rest)| rest.split("\r\n").next()?.parse::<usize>().ok());
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
                if count == 0 || body.is_some_and(|body| body >= length.unwrap_or(0)) {
                    let _ = sender.send(text);
                    break;
                }
            }
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (at, receiver)
}

fn ok() -> &'static str {
    "HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{\"version\":3}"
}

fn wanted(url: impl Into<String>) -> Http {
    let url: String = url.into();
    let document = serde_json::json!({"url": url});
    serde_json::from_value(document).unwrap()
}

fn rules(allow: &[&str]) -> HttpRules {
    HttpRules { allow: allow.iter().map(ToString::to_string).collect(), deny: Vec::new(), max_size: Some(1000) }
}

async fn ask(wanted: &Http, rules: &HttpRules) -> Answer {
    send(wanted, None, rules, &System).await
}

/// Answers with one address after another, as a rebinding name does.
struct Rebinding {
    answers: Vec<SocketAddr>,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Resolve for Rebinding {
    async fn addresses(&self, _host: &str, _port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let count = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(vec![self.answers[count.min(self.answers.len() - 1)]])
    }
}

#[tokio::test]
async fn a_request_is_sent_as_written_and_its_answer_is_a_result() {
    let (at, mut got) = serve("127.0.0.1:0", ok()).await;
    let mut request = wanted(format!("http://{at}/hook?x=1"));
    request.json = Some(serde_json::json!({"branch": "a\"b"}));
    request.headers.insert("X-Event".to_owned(), "push".to_owned());
    let token = Secret::new("TOKEN", b"hunter2hunter2".to_vec());
    let answer = send(&request, Some(&token), &rules(&["127.0.0.1"]), &System).await.unwrap();
    assert_eq!((&answer["code"], &answer["json"]["version"]), (&200.into(), &3.into()));
    let sent = got.recv().await.unwrap();
    assert!(sent.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{sent}");
    for part in ["authorization: Bearer hunter2hunter2", "x-event: push", "content-type: application/json"] {
        assert!(sent.contains(part), "{sent}");
    }
    assert!(sent.ends_with(r#"{"branch":"a\"b"}"#), "{sent}");
}

#[tokio::test]
async fn what_is_not_public_is_not_reached_whatever_it_is_called() {
    let (at, mut got) = serve("127.0.0.1:0", ok()).await;
    let port = at.port();
    for host in ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "0", "[::ffff:127.0.0.1]", "[::]"] {
        let refused = ask(&wanted(format!("http://{host}:{port}/")), &HttpRules::default()).await.unwrap_err();
        assert!(refused.message.contains("may not be reached"), "{host}: {refused}");
    }
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://[fd00:ec2::254]/",
        "http://192.168.0.1/",
    ] {
        assert!(ask(&wanted(url.to_owned()), &HttpRules::default()).await.is_err(), "{url}");
    }
    for url in ["file:///etc/passwd", "ftp://x/", "http://user:hunter2@127.0.0.1/", "no address"] {
        let refused = ask(&wanted(url.to_owned()), &rules(&["127.0.0.1"])).await.unwrap_err();
        assert!(!refused.message.contains("hunter2"), "{refused}");
    }
    assert!(got.try_recv().is_err(), "nothing arrived");
}

#[tokio::test]
async fn a_name_that_answers_differently_the_second_time_gains_nothing() {
    let (trap, mut caught) = serve("127.0.0.1:0", ok()).await;
    let (good, mut got) = serve(&format!("127.0.0.2:{}", trap.port()), ok()).await;
    let asked = Arc::new(AtomicUsize::new(0));
    // First the address that is allowed, from then on the server itself.
    let resolver = Rebinding { answers: vec![good, trap], asked: Arc::clone(&asked) };
    let request = wanted(format!("http://rebind.example.com:{}/", trap.port()));
    send(&request, None, &rules(&["127.0.0.2"]), &resolver).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the name is asked for once");
    assert!(got.recv().await.unwrap().contains("host: rebind.example.com"));
    // The other way round it is refused.
    let resolver = Rebinding { answers: vec![trap, good], asked };
    let resolver = Rebinding { asked: Arc::new(AtomicUsize::new(0)), ..resolver };
    assert!(send(&request, None, &rules(&["127.0.0.2"]), &resolver).await.is_err());
    assert!(caught.try_recv().is_err(), "the trap was never reached");
}

#[tokio::test]
async fn redirects_are_not_followed_and_other_statuses_fail_unless_expected() {
    let (trap, mut caught) = serve("127.0.0.1:0", ok()).await;
    let answer =
        format!("HTTP/1.1 302 Found\r\nlocation: http://{trap}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let (at, _got) = serve("127.0.0.1:0", answer.leak()).await;
    let mut request = wanted(format!("http://{at}/secret-path"));
    let refused = ask(&request, &rules(&["127.0.0.1"])).await.unwrap_err();
    assert!(refused.message.contains("302") && refused.message.contains("not followed"), "{refused}");
    assert!(!refused.message.contains("secret-path"), "{refused}");
    assert_eq!(refused.result["code"], 302);
    request.expect = vec![302];
    assert!(ask(&request, &rules(&["127.0.0.1"])).await.is_ok());
    assert!(caught.try_recv().is_err());
}

#[tokio::test]
async fn size_and_time_are_bounded() {
    let body = "x".repeat(2000);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\nconnection: close\r\n\r\n{body}");
    let (at, _got) = serve("127.0.0.1:0", answer.leak()).await;
    let refused = ask(&wanted(format!("http://{at}/")), &rules(&["127.0.0.1"])).await.unwrap_err();
    assert!(refused.message.contains("larger than 1000 bytes"), "{refused}");
    // Accepts, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut request = wanted(format!("http://{}/", silent.local_addr().unwrap()));
    request.timeout = Some(Duration::from_millis(200));
    let refused = ask(&request, &rules(&["127.0.0.1"])).await.unwrap_err();
    assert!(refused.message.contains("too long"), "{refused}");
}

#[tokio::test]
async fn headers_that_decide_where_a_request_ends_are_refused() {
    for (name, value) in [("Host", "evil"), ("Content-Length", "0"), ("X-A", "b\r\nX-C: d"), ("a b", "c")] {
        let mut request = wanted("http://127.0.0.1:1/".to_owned());
        request.headers.insert(name.to_owned(), value.to_owned());
        let refused = ask(&request, &rules(&["127.0.0.1"])).await.unwrap_err();
        assert!(refused.message.contains("cannot be sent"), "{refused}");
    }
}

#[tokio::test]
async fn a_chat_gets_its_message_and_no_fault_names_the_webhooks_address() {
    let (at, mut got) = serve("127.0.0.1:0", ok()).await;
    let text = format!("<https://ci.example|failed> {}", mark("<!channel>"));
    let message = |service: &str| Chat { service: service.to_owned(), secret: "S".to_owned(), text: text.clone() };
    let address = Secret::new("S", format!("http://{at}/services/T0/hunter2\n").into_bytes());
    chat::write(&message("slack"), &address, &rules(&["127.0.0.1"]), &System).await.unwrap();
    assert!(got.recv().await.unwrap().ends_with(r#"{"text":"<https://ci.example|failed> &lt;!channel&gt;"}"#));
    for rules in [rules(&[]), rules(&["127.0.0.1"])] {
        let address = Secret::new("S", b"http://127.0.0.1:1/services/T0/hunter2".to_vec());
        let refused = chat::write(&message("discord"), &address, &rules, &System).await.unwrap_err();
        assert!(refused.message.starts_with("discord: ") && !refused.message.contains("hunter2"), "{refused}");
    }
    assert!(at.ip() == IpAddr::from([127, 0, 0, 1]));
}
