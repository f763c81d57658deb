//! The world outside of forges: HTTP requests, mails, chats.

use super::doing::Doing;
use crate::server::action::arguments::{Chat, Http, Mail};
use crate::server::action::http::System;
use crate::server::action::{Answer, Call, EffectFault, chat, digest, http, mail};

/// Tells a receiver that two requests are one.
const IDEMPOTENCY: &str = "Idempotency-Key";

impl Doing {
    pub(super) async fn request(&self, call: &Call<'_>, mut wanted: Http) -> Answer {
        let bearer = wanted.bearer.as_deref().map(|name| self.secrets.named(name)).transpose()?;
        if !wanted.headers.keys().any(|name| name.eq_ignore_ascii_case(IDEMPOTENCY)) {
            wanted.headers.insert(IDEMPOTENCY.to_owned(), digest(&call.key.to_string()));
        }
        http::send(&wanted, bearer.as_ref(), &self.file.http, &System).await
    }

    pub(super) async fn send_mail(&self, call: &Call<'_>, wanted: &Mail) -> Answer {
        let none = || EffectFault::new("there is no mail server any more: `mail` is not in the server's file");
        let server = self.file.mail.as_ref().ok_or_else(none)?;
        mail::send(call, wanted, server, self.secrets.mail()?.as_ref()).await
    }

    pub(super) async fn write_chat(&self, wanted: &Chat) -> Answer {
        let address = self.secrets.chat(&wanted.service, &wanted.secret)?;
        chat::write(wanted, &address, &self.file.http, &System).await
    }
}
