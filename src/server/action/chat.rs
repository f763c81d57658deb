//! Messages to chats, in the forms of their incoming webhooks. The webhook's address is the secret.

use serde_json::{Value, json};

use super::arguments::{Chat, Http};
use super::http::{Resolve, send};
use super::{Answer, EffectFault};
use crate::secret::Secret;
use crate::server::file::HttpRules;
use crate::server::template::marked::told_apart;

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

/// The document for a service. What others wrote (see [`marked`](crate::server::template::marked)) calls nobody, and no address
/// hides behind other words; what the writer of the handler wrote is in the service's own form.
///
/// # Errors
/// When there is no such service.
pub fn message(service: &str, text: &str) -> Result<Value, EffectFault> {
    Ok(match service {
        "slack" => json!({"text": written(text, OTHERS, slack)}),
        "mattermost" => json!({"text": written(text, OTHERS, mattermost)}),
        // Even the handler's own words call nobody there: a name of a role is easily written by mistake.
        "discord" => json!({"content": written(text, DISCORD, discord), "allowed_mentions": {"parse": []}}),
        "teams" => json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [{
                        "type": "TextBlock",
                        "text": written(text, OTHERS, teams).replace('\n', "\n\n"),
                        "wrap": true,
                    }],
                },
            }],
        }),
        other => return Err(EffectFault::new(format!("there is no chat service `{other}`"))),
    })
}

/// How a service shows a character of others as nothing but itself; none where it does so anyhow.
type Escape = fn(char) -> Option<String>;

/// Mentions and links are in angle brackets; escaped as its documentation asks for.
fn slack(c: char) -> Option<String> {
    let reference = match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        _ => return None,
    };
    Some(reference.to_owned())
}

/// Markdown, and names behind `@`, which no backslash disarms.
fn mattermost(c: char) -> Option<String> {
    match c {
        '@' => Some("@\u{200b}".to_owned()),
        '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '!' | '#' | '~' | '|' | '>' => Some(format!("\\{c}")),
        _ => None,
    }
}

/// Markdown; mentions are in angle brackets, but for two, which `allowed_mentions` disarms.
fn discord(c: char) -> Option<String> {
    let acts = matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '#' | '~' | '|' | '<' | '>');
    acts.then(|| format!("\\{c}"))
}

/// Little Markdown, which not all of its programs let a backslash undo: a link is none when its brackets stand apart.
fn teams(c: char) -> Option<String> {
    matches!(c, '[' | ']').then(|| format!("{c}\u{200b}"))
}

/// The text as a service reads it, of at most so many characters; none is cut in two.
fn written(text: &str, most: usize, escape: Escape) -> String {
    let shown = |(c, strange): (char, bool)| escape(c).filter(|_| strange).unwrap_or_else(|| c.to_string());
    let units: Vec<String> = told_apart(text).map(shown).collect();
    let mut left = most;
    let fits = units.iter().all(|unit| take(&mut left, unit));
    if fits {
        return units.concat();
    }
    left = most - 1;
    let mut cut: String = units.iter().take_while(|unit| take(&mut left, unit)).map(String::as_str).collect();
    cut.push('…');
    cut
}

/// Whether there is room for it; then there is less.
fn take(left: &mut usize, unit: &str) -> bool {
    let rest = left.checked_sub(unit.chars().count());
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::template::marked::mark;

    /// The text that a service gets.
    fn sent(service: &str, text: &str) -> String {
        let message = message(service, text).unwrap();
        let place = match service {
            "discord" => "/content",
            "teams" => "/attachments/0/content/body/0/text",
            _ => "/text",
        };
        message.pointer(place).and_then(Value::as_str).unwrap().to_owned()
    }

    #[test]
    fn what_others_wrote_calls_nobody_and_hides_no_address() {
        let hostile = mark("<!channel> @here [ok](https://evil.example) <https://evil.example|ok> & `x`");
        for (service, wanted) in [
            ("slack", "&lt;!channel&gt; @here [ok](https://evil.example) &lt;https://evil.example|ok&gt; &amp; `x`"),
            (
                "mattermost",
                "<\\!channel\\> @\u{200b}here \\[ok\\]\\(https://evil.example\\) <https://evil.example\\|ok\\> & \\`x\\`",
            ),
            (
                "discord",
                "\\<!channel\\> @here \\[ok\\]\\(https://evil.example\\) \\<https://evil.example\\|ok\\> & \\`x\\`",
            ),
            ("teams", "<!channel> @here [\u{200b}ok]\u{200b}(https://evil.example) <https://evil.example|ok> & `x`"),
        ] {
            assert_eq!(sent(service, &hostile), wanted, "{service}");
        }
        assert_eq!(message("discord", "@everyone").unwrap()["allowed_mentions"], json!({"parse": []}));
        // A backslash of theirs does not undo ours.
        assert_eq!(sent("discord", &mark("\\[x")), "\\\\\\[x");
    }

    #[test]
    fn what_the_handler_says_is_in_the_form_of_its_service() {
        let text = format!("<https://ci.example/7|the run> of *{}* @ada", mark("a*b"));
        assert_eq!(sent("slack", &text), "<https://ci.example/7|the run> of *a*b* @ada");
        assert_eq!(sent("mattermost", &text), "<https://ci.example/7|the run> of *a\\*b* @ada");
        assert_eq!(sent("teams", "a\nb"), "a\n\nb");
        assert!(message("irc", "x").is_err());
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_as_the_service_counts_them() {
        assert_eq!(sent("discord", &"x".repeat(DISCORD)), "x".repeat(DISCORD));
        let cut = sent("discord", &mark(&"*".repeat(DISCORD)));
        assert_eq!(cut, format!("{}…", "\\*".repeat((DISCORD - 1) / 2)));
        assert_eq!(sent("slack", &"x".repeat(OTHERS + 1)).chars().count(), OTHERS);
    }
}
