//! The page as somebody uses it: the button, which asks for a run as the API does, and refuses what no reader has sent; and
//! the script of a log, in a page of its own.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use soopervisor::server::http::Auth;
use soopervisor::store::database::NewRepo;

use super::fake_github::judges::{content, node};
use super::http::Api;

const PATH: &str = "/repos/acme%2Fchurn/trigger";
const REFUSED: &str = "No run was asked for";

/// A reader's browser, and a token where one is typed in.
struct Reader<'a> {
    api: &'a Api,
    client: reqwest::Client,
    seal: String,
}

impl<'a> Reader<'a> {
    /// Who has loaded the overview; `who` shows the token with which it was loaded.
    async fn of(api: &'a Api, who: Option<&str>) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let (status, page) = api.ask("get", "/", who, None).await;
        assert_eq!(status, 200, "{page}");
        Self { api, client, seal: seal(&page) }
    }

    /// What is answered to the form: status, where to, page.
    async fn sends(&self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> (u16, String, String) {
        let mut request = self.client.post(format!("{}{path}", self.api.base)).form(fields);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
        (answer.status().as_u16(), to, answer.text().await.unwrap())
    }

    /// The same from the page itself.
    async fn presses(&self, fields: &[(&str, &str)]) -> (u16, String, String) {
        let sealed = [&[("seal", self.seal.as_str())][..], fields].concat();
        self.sends(PATH, &[("origin", self.api.base.as_str())], &sealed).await
    }
}

fn seal(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"seal\" value=\"").expect("a form");
    rest.split('"').next().unwrap().to_owned()
}

/// How many events there are, and rows of the audit log of who asked.
async fn told(api: &Api) -> (usize, usize) {
    let database = &api.place.database;
    let asked = database.audit(100).await.unwrap().into_iter().filter(|entry| entry.verb == "trigger").count();
    (database.events(None, 100).await.unwrap().len(), asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_button_asks_for_a_run_as_the_api_does_and_leads_to_it() {
    let api = Api::start(Auth::Nobody).await;
    let reader = Reader::of(&api, None).await;
    let tip = api.forge.commit("feat/x", "just pushed");
    let ask = json!({"repo": "acme/churn", "ref": "feat/x", "mode": "sample"});
    assert_eq!(api.ask("post", "/api/trigger", None, Some(ask)).await.0, 202);
    let (status, to, page) = reader.presses(&[("ref", "feat/x"), ("mode", "sample")]).await;
    assert_eq!((status, to.as_str()), (303, "/?asked=2"), "{page}");
    let (by_api, by_button) = (api.place.database.event(1).await.unwrap(), api.place.database.event(2).await.unwrap());
    assert_eq!(by_button.new.new_sha.as_deref(), Some(tip.as_str()));
    let shared = |event: &soopervisor::store::database::Event| {
        let mut new = event.new.clone();
        // Each asking has an id and a time of its own.
        new.key.clear();
        for own in ["delivery", "at"] {
            new.payload.as_object_mut().unwrap().remove(own);
        }
        new
    };
    assert_eq!(shared(&by_api), shared(&by_button));
    let audit = api.place.database.audit(10).await.unwrap();
    let rows: Vec<_> = audit.iter().map(|row| (&*row.actor, &*row.verb, &*row.target, &*row.detail)).collect();
    assert_eq!(rows, [("anybody", "trigger", "acme/churn", &*tip); 2]);
    let shown = async || api.ask("get", &to, None, None).await.1;
    assert!(shown().await.contains("Event 2 asks for a run of acme/churn. There is no run of it yet."), "it waits");
    while api.events.next().await.unwrap() {}
    let page = shown().await;
    let notice = page.lines().find(|line| line.contains("class=\"notice\"")).unwrap();
    assert!(notice.contains("<a href=\"/runs/") && !notice.contains("Look again"), "{notice}");
    // The usual form is empty: the default branch, and what the handlers decide.
    assert_eq!(reader.presses(&[("ref", ""), ("mode", "")]).await.0, 303);
    // An event that nobody asked for, and none at all, is no notice.
    assert!(!api.ask("get", "/?asked=99", None, None).await.1.contains("class=\"notice\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_site_sends_or_nobody_has_sealed_asks_for_nothing() {
    let api = Api::start(Auth::Nobody).await;
    let reader = Reader::of(&api, None).await;
    let (own, sealed) = (("origin", api.base.as_str()), [("seal", reader.seal.as_str())]);
    for header in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "none"),
    ] {
        assert_eq!(reader.sends(PATH, &[header], &sealed).await.0, 403, "{header:?}");
    }
    assert_eq!(reader.sends(PATH, &[own, ("sec-fetch-site", "same-site")], &sealed).await.0, 403);
    let (status, _, page) = reader.sends(PATH, &[], &sealed).await;
    assert!(status == 403 && page.contains(REFUSED) && page.contains("another site"), "{page}");
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    assert_eq!(reader.sends(PATH, &rebound, &sealed).await.0, 421);
    for seal in ["", "0011", "x"] {
        assert_eq!(reader.sends(PATH, &[own], &[("seal", seal)]).await.0, 403, "{seal}");
    }
    assert_eq!(reader.sends(PATH, &[own], &[]).await.0, 403);
    assert_eq!(reader.sends("/repos/acme%2Freport/trigger", &[own], &sealed).await.0, 403, "another's seal");
    let (status, _, page) = reader.presses(&[("mode", "half")]).await;
    assert!(status == 400 && page.contains("there is no mode `half`"), "{page}");
    let (status, _, page) = reader.presses(&[("ref", "<img src=x>")]).await;
    assert!(status == 404 && page.contains("has no branch or tag") && !page.contains("<img"), "{page}");
    let long = "x".repeat(20_000);
    assert_eq!(reader.presses(&[("ref", long.as_str())]).await.0, 413);
    assert_eq!(told(&api).await, (0, 0));
    assert_eq!(reader.sends(PATH, &[("sec-fetch-site", "same-origin")], &sealed).await.0, 303);
    assert_eq!(told(&api).await, (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tokens_are_asked_for_the_form_brings_one_that_may_run_and_nobody_sees_it_again() {
    let api = Api::start(Auth::Everybody).await;
    let (read, run) = (api.token("read").await, api.token("run").await);
    let reader = Reader::of(&api, Some(&read)).await;
    let (_, page) = api.ask("get", "/", Some(&read), None).await;
    assert!(page.contains("type=\"password\" name=\"token\" required autocomplete=\"off\""), "{page}");
    let forged = format!("{}x", &run[..run.len() - 1]);
    for (token, words) in [
        ("", "brought no API token"),
        ("hunter2-hunter2", "brought no API token"),
        (&*forged, "brought no API token"),
        (&*read, "does not have the scope `run`"),
    ] {
        let (status, _, page) = reader.presses(&[("token", token)]).await;
        assert!(status == 403 && page.contains(REFUSED) && page.contains(words), "{status} {page}");
        assert!(token.is_empty() || !page.contains(token), "it is not shown");
    }
    // What a browser sends by itself is no consent.
    let basic = api.client.post(format!("{}{PATH}", api.base)).basic_auth("a", Some(&run)).header("origin", &api.base);
    assert_eq!(basic.form(&[("seal", &reader.seal)]).send().await.unwrap().status(), 403);
    assert_eq!(told(&api).await, (0, 0));
    let typed = format!(" {run} ");
    let (status, to, page) = reader.presses(&[("token", typed.as_str())]).await;
    assert_eq!((status, to.as_str()), (303, "/?asked=1"), "{page}");
    assert!(!page.contains(&run));
    let audit = api.place.database.audit(100).await.unwrap();
    let row = audit.iter().find(|row| row.verb == "trigger").unwrap();
    assert_eq!((row.actor.as_str(), row.target.as_str()), ("run", "acme/churn"));
    let event = format!("{:?}", api.place.database.event(1).await.unwrap());
    assert!(!event.contains(&run) && !format!("{audit:?}").contains(&run));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_repositories_are_text_on_the_page_and_in_the_forms_address() {
    let api = Api::start(Auth::Nobody).await;
    let name = "<b>\"x\"</b>/../y?z#";
    let strange = NewRepo { url: "https://h.example/x".into(), name: name.into(), settings: json!({}) };
    api.place.database.watch(&[strange]).await.unwrap();
    let (_, page) = api.ask("get", "/", None, None).await;
    assert!(!page.contains("<b>") && !page.contains("\"x\""), "{page}");
    assert!(page.contains("action=\"/repos/%3Cb%3E%22x%22%3C%2Fb%3E%2F..%2Fy%3Fz%23/trigger\""), "{page}");
    let answer = api.client.get(format!("{}/", api.base)).send().await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self'"), "{policy}");
    assert_eq!(answer.headers()["referrer-policy"], "same-origin", "else browsers send `Origin: null` with the form");
    // The address leads to the repository: it has no branch, for it was never read.
    let seal = seal(&page);
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let reader = Reader { api: &api, client, seal: seal.clone() };
    let path = "/repos/%3Cb%3E%22x%22%3C%2Fb%3E%2F..%2Fy%3Fz%23/trigger";
    let headers = [("origin", api.base.as_str())];
    let (status, _, page) = reader.sends(path, &headers, &[("seal", seal.as_str())]).await;
    assert!(status == 404 && page.contains("was not read yet") && !page.contains("<b>"), "{status} {page}");
}

#[test]
fn the_script_of_a_log_shows_text_follows_keeps_to_its_bounds_and_ends() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(node());
    command.arg(root.join("tests/server/log_page.js")).arg(root.join("templates/page/log.js"));
    let said = content(&mut command);
    assert!(said.ends_with("7 cases\n"), "{said}");
}
