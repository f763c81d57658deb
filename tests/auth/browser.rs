//! OneDrive and Google Drive through a browser on this machine, where that is asked for in place of a typed code.

use soopervisor::auth::{App, Consent, Endpoints, Issuer, Loopback, Provider};
use soopervisor::secret::Secret;
use soopervisor::web::{Fault, Reach};

use crate::fake::Drive;
use crate::place::{Place, SECRET, Talk, finished, mode, tells};

/// Each drive, how its page's address goes on, and where the browser is sent: with a port behind it, then this.
const DRIVES: [(Drive, &str, &str, &str); 2] = [
    (Drive::OneDrive, "/oauth2/v2.0/authorize?", "http://localhost:", ""),
    (Drive::GDrive, "/o/oauth2/v2/auth?", "http://127.0.0.1:", "/"),
];

fn browser() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn part(page: &url::Url, name: &str) -> String {
    page.query_pairs().find(|(key, _)| key == name).unwrap_or_else(|| panic!("{name} in {page}")).1.into_owned()
}

/// Opens a page; where the vendor sends the browser then.
async fn agreed(page: &url::Url) -> url::Url {
    let answer = browser().get(page.clone()).send().await.unwrap();
    let (status, location) = (answer.status(), answer.headers().get("location").cloned());
    let text = answer.text().await.unwrap();
    assert_eq!(status, 302, "{text}");
    location.unwrap().to_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_logs_in_where_that_is_asked_for_and_only_the_right_state_is_heard() {
    for (drive, address, begins, ends) in DRIVES {
        let place = Place::new().await;
        let mut talk = Talk::new(&mut place.command(&["auth", "login", drive.prefix(), "--browser"]));
        let page: url::Url = talk.line_with(address).parse().unwrap();
        let redirect = part(&page, "redirect_uri");
        let port = redirect.strip_prefix(begins).and_then(|rest| rest.strip_suffix(ends)).unwrap_or_default();
        assert!(port.parse::<u16>().is_ok_and(|port| port > 0), "{redirect}");
        assert_eq!(
            (part(&page, "code_challenge_method"), part(&page, "code_challenge").len()),
            ("S256".to_owned(), 43)
        );
        let hint = talk.line_with("no browser here?");
        assert!(hint.contains(&format!("-L {port}:")) && hint.contains("type a code on any machine"), "{hint}");
        let back = agreed(&page).await;
        assert!(back.as_str().starts_with(&redirect), "{back}");
        let mut forged = back.clone();
        forged.set_query(Some("code=of-somebody-else&state=guessed"));
        assert_eq!(browser().get(forged).send().await.unwrap().status(), 400);
        let shown = browser().get(back.clone()).send().await.unwrap();
        assert!(shown.text().await.unwrap().contains("close this window"));
        let said = talk.end();
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out.starts_with("logged in to "), "{}", said.out);
        place.search(&said);
        assert!(browser().get(back).send().await.is_err(), "one answer is heard, then nobody listens");
        assert_eq!((mode(&place.tokens()), mode(&place.folder())), (0o600, 0o700));
        assert_eq!(place.fake.count(drive, "POST", "device"), 0, "no code was typed");
        let status = place.status(drive);
        assert_eq!((&status["logged_in"], &status["source"]), (&true.into(), &"tokens.json".into()), "{status}");
        // What was granted renews itself, until it is taken back.
        place.fake.expire_tokens(drive);
        assert_eq!(place.status(drive)["logged_in"], true);
        place.fake.revoke_tokens(drive);
        let ended = place.run(&["auth", "status", drive.prefix()]);
        let again = format!("soopervisor auth login {}", drive.prefix());
        assert!(ended.code == 7 && ended.err.contains(&again), "{}", ended.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_refuses_in_the_browser_ends_the_login_and_nothing_is_kept() {
    for (drive, address, ..) in DRIVES {
        let place = Place::new().await;
        place.fake.refuse_consent(drive);
        let mut talk = Talk::new(&mut place.command(&["auth", "login", drive.prefix(), "--browser"]));
        let page: url::Url = talk.line_with(address).parse().unwrap();
        let back = agreed(&page).await;
        assert_eq!(browser().get(back).send().await.unwrap().status(), 200);
        let said = talk.end();
        let again = format!("soopervisor auth login {} --browser", drive.prefix());
        assert!(said.code == 7 && said.err.contains("declined (access_denied)"), "{}", said.err);
        assert!(said.err.contains(&format!("once more: `{again}`")), "{}", said.err);
        assert!(!place.tokens().exists());
        place.search(&said);
    }
}

/// What asks the fake for tokens, without a process around it.
fn issuer(place: &Place, drive: Drive) -> Issuer {
    let provider = Provider::named(drive.prefix()).unwrap();
    let base = place.fake.base(drive);
    let set = |name: &str| name.ends_with("_BASE_URL").then(|| base.clone());
    let endpoints = Endpoints::of(provider, drive.prefix(), set).unwrap();
    let client = soopervisor::web::client(&Reach::default()).unwrap();
    let secret = (drive == Drive::GDrive).then(|| Secret::new("secret", SECRET.as_bytes().to_vec()));
    let app = App { id: "id".to_owned(), secret };
    Issuer::new(provider, drive.prefix(), endpoints, client, app, |_| None)
}

/// A page that was agreed to, and the code that came of it.
async fn code(issuer: &Issuer, redirect: &str) -> (Consent, Secret) {
    let consent = issuer.consent(Some(redirect.to_owned())).unwrap();
    let back = agreed(&consent.url.parse().unwrap()).await;
    let code = part(&back, "code");
    (consent, Secret::new("code", code.into_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_worth_nothing_without_its_verifier_at_another_address_or_a_second_time() {
    for (drive, _, begins, ends) in DRIVES {
        let place = Place::new().await;
        let issuer = issuer(&place, drive);
        let redirect = format!("{begins}1{ends}");
        let (first, of_first) = code(&issuer, &redirect).await;
        let (other, of_other) = code(&issuer, &redirect).await;
        let again = format!("`soopervisor auth login {} --browser`", drive.prefix());
        // Somebody who saw the code on its way has another verifier, or none.
        let stolen = issuer.agreed(&first, &of_other).await.unwrap_err();
        assert!(matches!(&stolen, Fault::Login(words) if words.contains(&again)), "{stolen}");
        let (_, bare) = code(&issuer, &redirect).await;
        assert!(issuer.exchange(&bare, None, Some(redirect.as_str())).await.is_err());
        let elsewhere = format!("{begins}2{ends}");
        let (_, led_away) = code(&issuer, &redirect).await;
        let fault = issuer.exchange(&led_away, None, Some(elsewhere.as_str())).await.unwrap_err().to_string();
        assert!(fault.contains("redirect_uri differs"), "{fault}");
        assert!(issuer.agreed(&first, &of_first).await.unwrap().refresh.is_some());
        assert!(issuer.agreed(&first, &of_first).await.is_err(), "a code works once");
        assert!(issuer.agreed(&other, &of_other).await.is_err(), "also where it was tried with a wrong verifier");
        assert!(!tells(&format!("{issuer:?} {first:?}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google_may_be_asked_for_more_in_a_browser_and_a_typed_code_says_so() {
    const WHOLE: &str = "https://www.googleapis.com/auth/drive";
    let place = Place::new().await;
    let typed = place.command(&["auth", "login", "gdrive"]).env("SOOPERVISOR_GDRIVE_SCOPE", WHOLE).output();
    let typed = finished(typed.unwrap());
    assert_eq!(typed.code, 2, "{}", typed.err);
    assert!(typed.err.contains("SOOPERVISOR_GDRIVE_SCOPE") && typed.err.contains("add --browser"), "{}", typed.err);
    let mut command = place.command(&["auth", "login", "gdrive", "--browser"]);
    let mut talk = Talk::new(command.env("SOOPERVISOR_GDRIVE_SCOPE", WHOLE));
    let page: url::Url = talk.line_with("/o/oauth2/v2/auth?").parse().unwrap();
    assert_eq!((part(&page, "scope"), part(&page, "access_type")), (WHOLE.to_owned(), "offline".to_owned()));
    browser().get(agreed(&page).await).send().await.unwrap();
    let said = talk.end();
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(place.status(Drive::GDrive)["scope"], WHOLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn localhost_is_listened_to_at_both_of_its_addresses_and_nobody_else_can_take_the_port() {
    let server = Loopback::open(Provider::OneDrive, Some(0)).await.unwrap();
    let port: u16 = server.redirect().rsplit(':').next().unwrap().parse().unwrap();
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // A machine without IPv6 has no second address.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        tokio::net::TcpStream::connect(("::1", port)).await.unwrap();
    }
    let fault = Loopback::open(Provider::GoogleDrive, Some(port)).await.unwrap_err().to_string();
    assert!(fault.contains(&format!("127.0.0.1:{port}")) && fault.contains("another login"), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_and_none_are_not_asked_for_at_once() {
    let place = Place::new().await;
    for other in ["--no-browser", "--token-stdin"] {
        let said = place.run(&["auth", "login", "onedrive", "--browser", other]);
        assert!(said.code == 2 && said.err.contains("cannot be used with"), "{}", said.err);
    }
    assert_eq!(place.fake.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropbox_sends_a_browser_that_is_asked_for_in_place_of_showing_a_code() {
    let place = Place::new().await;
    let mut talk = Talk::new(&mut place.command(&["auth", "login", "dropbox", "--browser"]));
    let page: url::Url = talk.line_with("/oauth2/authorize?").parse().unwrap();
    assert!(talk.line_with("no browser here?").contains("--on-desktop"));
    browser().get(agreed(&page).await).send().await.unwrap();
    let said = talk.end();
    assert_eq!(said.code, 0, "{}", said.err);
    place.search(&said);
}
