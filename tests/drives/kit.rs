//! A client that says what it likes, for rules that no well-behaved client breaks.

use http::Method;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::fake::{Drive, Fake};

pub(crate) struct Kit {
    pub(crate) fake: Fake,
    pub(crate) client: reqwest::Client,
    pub(crate) drive: Drive,
    pub(crate) token: String,
}

impl Kit {
    pub(crate) async fn new(drive: Drive) -> Self {
        let fake = Fake::start().await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let token = fake.token(drive);
        Self { fake, client, drive, token }
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("{}{path}", self.fake.base(self.drive))).bearer_auth(&self.token)
    }

    /// Dropbox's calls with an argument in the body.
    pub(crate) async fn call(&self, route: &str, arg: &Value) -> (u16, Value) {
        told(self.ask("POST", &format!("/2/{route}")).json(arg)).await
    }

    /// Dropbox's calls with the argument in the header.
    pub(crate) fn content(&self, route: &str, arg: &Value, body: Vec<u8>) -> RequestBuilder {
        let ask = self.ask("POST", &format!("/2/{route}")).header("Dropbox-API-Arg", arg.to_string());
        ask.header("Content-Type", "application/octet-stream").body(body)
    }
}

/// Status and body; what is no JSON is a text.
pub(crate) async fn told(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
