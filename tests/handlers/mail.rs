//! Mails through a real SMTP server (aiosmtpd): plain, STARTTLS, TLS from the first byte, logins, and what is refused.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use soopervisor::secret::Secret;
use soopervisor::server::action::arguments::Mail;
use soopervisor::server::action::{Answer, Call, mail};
use soopervisor::server::event::{Event, Kind};
use soopervisor::server::file::MailServer;
use soopervisor::server::handler::Key;

/// Where `scripts/judges.sh` put the mail server.
fn python() -> PathBuf {
    let told = std::env::var_os("SOOPERVISOR_MAIL_JUDGE").map(PathBuf::from);
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let found = told.or_else(|| Some(cache().or_else(home)?.join("soopervisor/mail-judge"))).unwrap();
    assert!(found.join("ready").is_file(), "the mail server is missing: `make test` installs it (scripts/judges.sh)");
    found.join("venv/bin/python")
}

/// A running server; ends with the test.
pub(crate) struct Server {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(mode: &str, folder: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handlers/mail_server.py");
        let mut child =
            Command::new(python()).arg(script).arg(mode).arg(folder).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Self { child, lines, port }
    }

    pub(crate) fn received(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate for `localhost` that signs itself.
fn certificate(folder: &Path) {
    let subject = [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "key.pem", "-out", "cert.pem"])
        .args(subject)
        .current_dir(folder)
        .output()
        .expect("openssl is installed: `make test` installs it (scripts/packages.sh)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn server(port: u16, more: &Value) -> MailServer {
    let mut document = serde_json::json!({"host": "localhost", "port": port, "from": "soopervisor@acme.example"});
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(document).unwrap()
}

async fn send(server: &MailServer, wanted: &Mail, password: Option<&str>) -> Answer {
    let event = Event::new(
        Kind::Push,
        "a/b",
        "2026-11-28T12:00:00Z".parse().unwrap(),
        soopervisor::server::event::Source::Poll,
    );
    let key = Key { event: event.key(), handler: "h".to_owned(), index: "0".to_owned() };
    let password = password.map(|text| Secret::new("MAIL", text.as_bytes().to_vec()));
    mail::send(&Call { key, event: &event }, wanted, server, password.as_ref()).await
}

fn wanted() -> Mail {
    Mail {
        to: vec!["team@acme.example".to_owned(), "ops@acme.example".to_owned()],
        subject: "churn failed\r\nBcc: evil@example.com".to_owned(),
        text: "Größe: 3\n.\nend".to_owned(),
    }
}

#[tokio::test]
async fn a_mail_arrives_whole_and_its_subject_adds_no_header() {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Server::start("none", folder.path());
    let server = server(judge.port, &serde_json::json!({"tls": "none"}));
    let answer = send(&server, &wanted(), None).await.unwrap();
    assert_eq!(answer["sent"][1], "ops@acme.example");
    let first = judge.received();
    assert_eq!(first["to"], serde_json::json!(["team@acme.example", "ops@acme.example"]));
    assert_eq!(first["from"], "soopervisor@acme.example");
    assert_eq!(first["subject"], "churn failed  Bcc: evil@example.com");
    assert_eq!(first["text"].as_str().unwrap().replace("\r\n", "\n").trim_end(), "Größe: 3\n.\nend");
    assert_eq!(first["headers"].as_array().unwrap().iter().filter(|name| *name == "Bcc").count(), 0);
    // The same step sent again is the same message.
    send(&server, &wanted(), None).await.unwrap();
    assert_eq!(judge.received()["id"], first["id"]);
}

#[tokio::test]
async fn a_protected_connection_checks_the_certificate_and_then_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    for mode in ["starttls", "implicit"] {
        let mut judge = Server::start(mode, folder.path());
        let login = serde_json::json!({"tls": mode, "user": "bot", "password": {"env": "X"}, "ca": folder.path().join("cert.pem")});
        let good = server(judge.port, &login);
        send(&good, &wanted(), Some("hunter2hunter2")).await.unwrap_or_else(|fault| panic!("{mode}: {fault}"));
        let got = judge.received();
        assert_eq!((&got["user"], &got["tls"]), (&"bot".into(), &true.into()), "{mode}");
        let refused = send(&good, &wanted(), Some("wrong-password")).await.unwrap_err();
        assert!(!refused.message.contains("wrong-password"), "{refused}");
        let stranger = MailServer { ca: None, ..good };
        let refused = send(&stranger, &wanted(), Some("hunter2hunter2")).await.unwrap_err();
        assert!(refused.message.contains("localhost"), "{refused}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_protect_the_connection_gets_no_mail() {
    let folder = tempfile::tempdir().unwrap();
    let judge = Server::start("none", folder.path());
    assert!(send(&server(judge.port, &serde_json::json!({"tls": "starttls"})), &wanted(), None).await.is_err());
    let nobody = Mail { to: Vec::new(), ..wanted() };
    assert!(send(&server(judge.port, &serde_json::json!({"tls": "none"})), &nobody, None).await.is_err());
    let several = Mail { to: vec!["a@b, c@d".to_owned()], ..wanted() };
    assert!(send(&server(judge.port, &serde_json::json!({"tls": "none"})), &several, None).await.is_err());
}
