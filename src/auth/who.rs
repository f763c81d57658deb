//! Whose drive it is, and how much room it has.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::issuer::Refusals;
use super::{Endpoints, Provider};
use crate::secret::Secret;
use crate::web::{Bearer, Fault, Pace, Pacer, Web, number};

/// An account as its vendor tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// For the vendor.
    pub id: Option<String>,
    /// For people.
    pub name: String,
    /// Bytes in use.
    pub used: Option<u64>,
    /// Bytes in all; `None` where there is no limit.
    pub total: Option<u64>,
}

/// One token that nobody can renew.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) Secret);

#[async_trait]
impl Bearer for Fixed {
    async fn token(&self) -> Result<Secret, Fault> {
        Ok(self.0.clone())
    }

    async fn renew(&self, _: &Secret) -> Result<Secret, Fault> {
        Err(Fault::Login("the service does not take the token".to_owned()))
    }
}

impl Account {
    /// Asks the vendor; who is in a `hurry` waits for no longer pause than that.
    ///
    /// # Errors
    /// When it cannot be reached or does not take the token.
    pub async fn of(
        provider: Provider,
        endpoints: &Endpoints,
        client: &reqwest::Client,
        bearer: Arc<dyn Bearer>,
        hurry: Option<Duration>,
    ) -> Result<Self, Fault> {
        let pacer = Arc::new(Pacer::new(Pace::steady(10.0, 10.0)));
        let web = Web::new(client.clone(), Some(bearer), pacer, Arc::new(Refusals { hide: Vec::new() }));
        let web = match hurry {
            Some(patience) => web.hurried(patience),
            None => web,
        };
        let get = |path: &str| {
            let (web, url) = (web.clone(), endpoints.api.at(path));
            async move { Ok::<Value, Fault>(web.send(|client| client.get(&url)).await?.value()) }
        };
        let call = |path: &str| {
            let (web, url) = (web.clone(), endpoints.api.at(path));
            async move { Ok::<Value, Fault>(web.send(|client| client.post(&url).json(&Value::Null)).await?.value()) }
        };
        Ok(match provider {
            Provider::Box => of_box(&get("/2.0/users/me?fields=id,name,login,space_amount,space_used").await?),
            Provider::Dropbox => {
                let me = call("/2/users/get_current_account").await?;
                of_dropbox(&me, &call("/2/users/get_space_usage").await?)
            }
            Provider::OneDrive => of_onedrive(&get("/v1.0/me/drive").await?),
            Provider::GoogleDrive => of_google(&get("/drive/v3/about?fields=user,storageQuota").await?),
        })
    }
}

fn of_box(me: &Value) -> Account {
    Account {
        id: text(&me["id"]),
        name: named(&me["name"], &me["login"]),
        used: number(&me["space_used"]),
        total: number(&me["space_amount"]),
    }
}

fn of_dropbox(me: &Value, space: &Value) -> Account {
    Account {
        id: text(&me["account_id"]),
        name: named(&me["name"]["display_name"], &me["email"]),
        used: number(&space["used"]),
        total: number(&space["allocation"]["allocated"]),
    }
}

fn of_onedrive(drive: &Value) -> Account {
    let user = &drive["owner"]["user"];
    Account {
        id: text(&user["id"]).or_else(|| text(&drive["id"])),
        name: named(&user["displayName"], &user["email"]),
        used: number(&drive["quota"]["used"]),
        total: number(&drive["quota"]["total"]),
    }
}

fn of_google(about: &Value) -> Account {
    Account {
        id: text(&about["user"]["permissionId"]),
        name: named(&about["user"]["displayName"], &about["user"]["emailAddress"]),
        used: number(&about["storageQuota"]["usage"]),
        total: number(&about["storageQuota"]["limit"]),
    }
}

fn named(name: &Value, address: &Value) -> String {
    match (text(name), text(address)) {
        (Some(name), Some(address)) => format!("{name} ({address})"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "somebody whose name the service does not tell".to_owned(),
    }
}

fn text(value: &Value) -> Option<String> {
    let text: String = value.as_str()?.chars().filter(|c| !c.is_control()).take(200).collect();
    Some(text).filter(|text| !text.is_empty())
}
