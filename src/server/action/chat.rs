//! Messages to chats, in the forms of their incoming webhooks. The webhook's address is the secret.

use serde_json::{Value, json};

use super::arguments::{Chat, Http};
use super::http::{Resolve, send};
use super::{Answer, EffectFault};
use crate::secret::Secret;
use crate::server::file::HttpRules;

/// Characters that Discord takes.
const DISCORD: usize = 2000;
/// Characters that all others take without cutting in.
const OTHERS: usize = 12_000;

/// Writes a message.
///
/// # Errors
/// When the webhook may not be reached or does not take it.
pub async fn write(wanted: &Chat, address: &Secret, rules: &HttpRules, resolver: &dyn Resolve) -> Answer {
    let url =
        std::str::from_utf8(address.expose()).map_err(|_| EffectFault::new("the webhook's address is no text"))?;
    let request = Http {
        url: url.trim().to_owned(),
        method: Some("POST".to_owned()),
        headers: std::collections::BTreeMap::new(),
        json: Some(message(&wanted.service, &wanted.text)?),
        body: None,
        bearer: None,
        expect: Vec::new(),
        timeout: None,
        retry: true,
    };
    let failed = |fault: EffectFault| EffectFault::new(format!("{}: {}", wanted.service, fault.message));
    send(&request, None, rules, resolver).await.map_err(failed)?;
    Ok(json!({"sent": [wanted.service]}))
}

/// The document for a service. A stranger's text in a message calls nobody: `@channel` and the like are disarmed.
///
/// # Errors
/// When there is no such service.
pub fn message(service: &str, text: &str) -> Result<Value, EffectFault> {
    Ok(match service {
        // Slack's mentions are in angle brackets; escaped as its documentation asks for.
        "slack" => {
            let text = cut(text, OTHERS).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            json!({"text": text})
        }
        "mattermost" => json!({"text": cut(text, OTHERS).replace('@', "@\u{200b}")}),
        "discord" => json!({"content": cut(text, DISCORD), "allowed_mentions": {"parse": []}}),
        "teams" => json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [{"type": "TextBlock", "text": cut(text, OTHERS).replace('\n', "\n\n"), "wrap": true}],
                },
            }],
        }),
        other => return Err(EffectFault::new(format!("there is no chat service `{other}`"))),
    })
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_gets_its_own_form_and_a_text_calls_nobody() {
        let text = "<!channel> @here & co";
        assert_eq!(message("slack", text).unwrap()["text"], "&lt;!channel&gt; @here &amp; co");
        assert_eq!(message("mattermost", text).unwrap()["text"], "<!channel> @\u{200b}here & co");
        let discord = message("discord", &"x".repeat(3000)).unwrap();
        assert_eq!(discord["content"].as_str().unwrap().chars().count(), 2000);
        assert_eq!(discord["allowed_mentions"], json!({"parse": []}));
        let teams = message("teams", "a\nb").unwrap();
        assert_eq!(teams["attachments"][0]["content"]["body"][0]["text"], "a\n\nb");
        assert!(message("irc", "x").is_err());
    }
}
