//! Mails, over SMTP; the only place that knows lettre.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncTransport, Tokio1Executor};
use serde_json::json;

use super::arguments::Mail;
use super::{Answer, Call, EffectFault};
use crate::secret::Secret;
use crate::server::file::{MailServer, MailTls};

/// How long sending may take when nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends one mail to all of its addresses.
///
/// The id of the message is made from the key of the step, so that a mail program shows one message where an interrupted
/// server sent it twice.
///
/// # Errors
/// When the server cannot be reached, its certificate is not trusted, or it does not take the message.
pub async fn send(call: &Call<'_>, wanted: &Mail, server: &MailServer, password: Option<&Secret>) -> Answer {
    let message = message(call, wanted, server)?;
    let transport = transport(server, password)?;
    let sent = tokio::time::timeout(server.timeout.unwrap_or(TIMEOUT), transport.send(message)).await;
    match sent {
        Ok(Ok(_)) => Ok(json!({"sent": wanted.to})),
        Ok(Err(error)) => Err(EffectFault::new(format!("`{}` did not take the mail: {}", server.host, causes(&error)))),
        Err(_) => Err(EffectFault::new(format!("`{}` took too long to take the mail", server.host))),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |cause| cause.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn mailbox(text: &str) -> Result<Mailbox, EffectFault> {
    text.parse().map_err(|_| EffectFault::new(format!("`{}` is not a mail address", text.escape_debug())))
}

fn message(call: &Call<'_>, wanted: &Mail, server: &MailServer) -> Result<Message, EffectFault> {
    let host = server.from.split_once('@').map_or("localhost", |(_, host)| host);
    let digest = crate::server::action::digest(&call.key.to_string());
    let mut builder = Message::builder()
        .from(mailbox(&server.from)?)
        .message_id(Some(format!("<{digest}@{host}>")))
        .subject(one_line(&wanted.subject))
        .header(ContentType::TEXT_PLAIN);
    if wanted.to.is_empty() {
        return Err(EffectFault::new("the mail is to nobody"));
    }
    for to in &wanted.to {
        builder = builder.to(mailbox(to)?);
    }
    builder.body(wanted.text.clone()).map_err(|error| EffectFault::new(format!("the mail cannot be written: {error}")))
}

/// A line break would begin another header.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

fn transport(
    server: &MailServer,
    password: Option<&Secret>,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, EffectFault> {
    let host = server.host.as_str();
    let tls = match server.tls {
        MailTls::None => Tls::None,
        MailTls::Starttls => Tls::Required(parameters(server)?),
        MailTls::Implicit => Tls::Wrapper(parameters(server)?),
    };
    let usual = match server.tls {
        MailTls::None => 25,
        MailTls::Starttls => 587,
        MailTls::Implicit => 465,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(server.port.unwrap_or(usual))
        .tls(tls)
        .timeout(Some(server.timeout.unwrap_or(TIMEOUT)));
    if let (Some(user), Some(password)) = (&server.user, password) {
        let text =
            std::str::from_utf8(password.expose()).map_err(|_| EffectFault::new("the mail password is no text"))?;
        builder = builder.credentials(Credentials::new(user.clone(), text.to_owned()));
    }
    Ok(builder.build())
}

fn parameters(server: &MailServer) -> Result<TlsParameters, EffectFault> {
    let mut builder = TlsParameters::builder(server.host.clone());
    if let Some(path) = server.ca.as_deref().or(crate::server::trust::named()) {
        let wrong =
            |why: String| EffectFault::new(format!("the certificates in `{}` cannot be used: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| EffectFault::new(format!("no protected connection can be made: {error}")))
}
