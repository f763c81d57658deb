//! Copies on the service's own side: begun, then asked after until they are done.

use std::time::Duration;

use reqwest::header::LOCATION;
use serde_json::{Value, json};
use url::Url;

use super::OneDrive;
use crate::storage::backend::{Created, Fault, Receipt};
use crate::storage::drive::escape::split;
use crate::web::Endpoint;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Sending the file again is quicker than waiting longer.
const PATIENCE: Duration = Duration::from_mins(3);

enum Ended {
    Done,
    Taken,
    /// It cannot, or takes too long.
    Failed,
}

impl OneDrive {
    pub(super) async fn copied(&self, from: &str, to: &str) -> Result<Option<Created>, Fault> {
        let (folder, name) = split(to);
        let Some(original) = self.item(from).await?.filter(|item| !item.is_folder()) else { return Ok(None) };
        let folder = if let Some(folder) = self.item(folder).await? {
            folder
        } else {
            self.make(&[folder.to_owned()]).await?;
            let Some(folder) = self.item(folder).await? else { return Ok(None) };
            folder
        };
        if let Some(there) = self.item(to).await? {
            return Ok(Some(Created::Taken(Some(there.meta(to)))));
        }
        let mut parent = json!({"id": folder.id});
        if let Some(drive) = folder.drive() {
            parent["driveId"] = json!(drive);
        }
        let body = json!({"parentReference": parent, "name": name});
        let url = format!("{}?@microsoft.graph.conflictBehavior=fail", self.address.id(&original.id, "copy"));
        let begun = match self.web.send_once(|client| client.post(&url).json(&body)).await {
            Ok(answer) => answer,
            Err(fault @ (Fault::Login(_) | Fault::Full)) => return Err(fault),
            Err(_) => return Ok(None),
        };
        let monitor = begun.headers.get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| Url::parse(to).ok());
        let Some(monitor) = monitor.filter(Endpoint::is_safe) else { return Ok(None) };
        match self.ended(&monitor).await? {
            Ended::Taken => Ok(Some(Created::Taken(self.item(to).await?.map(|item| item.meta(to))))),
            Ended::Failed => Ok(None),
            Ended::Done => {
                let Some(copy) = self.item(to).await? else { return Ok(None) };
                let checksum = copy.checksum();
                let differs = checksum.as_ref().zip(original.checksum()).is_some_and(|(copy, first)| *copy != first);
                if differs || copy.size != original.size {
                    self.erase(&copy.id).await?;
                    return Ok(None);
                }
                Ok(Some(Created::Ours(Receipt { checksum, id: Some(copy.id), ..Receipt::default() })))
            }
        }
    }

    /// Waits for the end of a copy. The monitor's address is a credential.
    async fn ended(&self, monitor: &Url) -> Result<Ended, Fault> {
        let begun = tokio::time::Instant::now();
        let mut wait = FIRST_WAIT;
        while begun.elapsed() < PATIENCE {
            let answer = match self.bare.send(|client| client.get(monitor.clone())).await {
                Ok(answer) => answer,
                Err(fault) if fault.is_passing() => return Err(fault),
                Err(_) => return Ok(Ended::Failed),
            };
            // Some drives lead to the copy when it is done.
            if (300..400).contains(&answer.status) {
                return Ok(Ended::Done);
            }
            if let Some(ended) = ending(&answer.value())? {
                return Ok(ended);
            }
            tokio::time::sleep(answer.retry_after().unwrap_or(wait).min(LONGEST_WAIT)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Ok(Ended::Failed)
    }
}

/// How a copy ended, if it has.
fn ending(status: &Value) -> Result<Option<Ended>, Fault> {
    Ok(match status["status"].as_str().unwrap_or_default() {
        "completed" => Some(Ended::Done),
        "failed" | "cancelled" | "deleteFailed" => match status["error"]["code"].as_str().unwrap_or_default() {
            "nameAlreadyExists" => Some(Ended::Taken),
            "quotaLimitReached" => return Err(Fault::Full),
            _ => Some(Ended::Failed),
        },
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_ended_when_its_monitor_says_so() {
        let ended = |text: &str| ending(&serde_json::from_str(text).unwrap());
        assert!(matches!(ended(r#"{"status": "completed", "resourceId": "1"}"#), Ok(Some(Ended::Done))));
        assert!(matches!(ended(r#"{"status": "inProgress"}"#), Ok(None)));
        let failed = |code: &str| ended(&format!(r#"{{"status": "failed", "error": {{"code": "{code}"}}}}"#));
        assert!(matches!(failed("nameAlreadyExists"), Ok(Some(Ended::Taken))));
        assert!(matches!(failed("quotaLimitReached"), Err(Fault::Full)));
        assert!(matches!(failed("generalException"), Ok(Some(Ended::Failed))));
    }
}
