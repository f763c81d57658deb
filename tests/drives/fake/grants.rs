//! The OAuth endpoints of all four: consent pages that agree at once, token and device-code endpoints. What differs is in
//! `Terms`.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ask::{Answer, Ask, Refusal, Reply};
use super::tokens::{Consent, Poll};
use super::{Drive, Shared};

type Form = Vec<(String, String)>;

pub fn field<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

pub fn refuse(status: u16, error: &str, why: &str) -> Refusal {
    Reply::json(status, &json!({"error": error, "error_description": why})).into()
}

/// Id and secret, from the form or from `Authorization: Basic`.
fn client(ask: &Ask, form: &Form) -> (Option<String>, Option<String>) {
    let basic = ask.header("authorization").and_then(|value| value.strip_prefix("Basic "));
    let decoded = basic.and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    let (id, secret) = match decoded.as_deref().and_then(|text| text.split_once(':')) {
        Some((id, secret)) => (Some(id.to_owned()), Some(secret.to_owned())),
        None => (None, None),
    };
    let from_form = |name: &str| field(form, name).map(str::to_owned);
    (
        id.or_else(|| from_form("client_id")),
        secret.filter(|text| !text.is_empty()).or_else(|| from_form("client_secret")),
    )
}

/// Dropbox with PKCE and Microsoft's public clients have no secret; Google and Box ask for one.
fn needs_secret(drive: Drive) -> bool {
    matches!(drive, Drive::Box | Drive::GDrive)
}

fn lifetime(drive: Drive) -> u64 {
    match drive {
        Drive::Dropbox => 14_400,
        Drive::Box => 3_600,
        Drive::OneDrive => 3_599,
        Drive::GDrive => 3_598,
    }
}

/// `scope`: what was agreed to, where that was said.
fn granted(drive: Drive, access: &str, refresh: Option<&str>, scope: Option<&str>) -> Reply {
    let mut value = json!({"access_token": access, "expires_in": lifetime(drive), "token_type": "bearer"});
    if let Some(refresh) = refresh {
        value["refresh_token"] = json!(refresh);
    }
    match drive {
        Drive::Box => value["restricted_to"] = json!([]),
        Drive::Dropbox => {
            value["scope"] = json!("account_info.read files.content.read files.content.write files.metadata.read");
            value["uid"] = json!("12345");
            value["account_id"] = json!("dbid:fakeAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        }
        Drive::OneDrive => {
            value["token_type"] = json!("Bearer");
            value["scope"] = json!(scope.unwrap_or("Files.ReadWrite.AppFolder offline_access"));
        }
        Drive::GDrive => {
            value["token_type"] = json!("Bearer");
            value["scope"] = json!(scope.unwrap_or("https://www.googleapis.com/auth/drive.file"));
        }
    }
    Reply::json(200, &value)
}

/// The token endpoint.
pub async fn token(shared: &Shared, ask: &mut Ask) -> Answer {
    let form = ask.form().await?;
    let drive = ask.drive;
    let (id, secret) = client(ask, &form);
    let id = id.ok_or_else(|| refuse(400, "invalid_client", "client_id is missing"))?;
    let kind = field(&form, "grant_type").unwrap_or_default();
    if needs_secret(drive) && secret.is_none() && kind != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
        return Err(refuse(
            if drive == Drive::GDrive { 400 } else { 401 },
            "invalid_client",
            "client_secret is missing",
        ));
    }
    match kind {
        "refresh_token" => {
            let token = field(&form, "refresh_token").unwrap_or_default();
            let fresh = shared.account(drive).tokens.refresh(token);
            let (access, rotated) =
                fresh.ok_or_else(|| refuse(400, "invalid_grant", "the refresh token is no good"))?;
            Ok(granted(drive, &access, rotated.as_deref(), None))
        }
        "authorization_code" => {
            let consent = code(shared, drive, &form)?;
            let pair = shared.account(drive).tokens.mint();
            let scope = consent.scope.unwrap_or_default();
            // Microsoft lets nobody renew who did not ask for it.
            let lasts = drive != Drive::OneDrive || scope.split(' ').any(|scope| scope == "offline_access");
            Ok(granted(drive, &pair.access, lasts.then_some(pair.refresh.as_str()), Some(&scope)))
        }
        "urn:ietf:params:oauth:grant-type:device_code" => device_grant(shared, drive, &form),
        "client_credentials" if drive == Drive::Box => {
            let kind = field(&form, "box_subject_type").unwrap_or_default();
            if !["enterprise", "user"].contains(&kind) || field(&form, "box_subject_id").is_none() {
                return Err(refuse(400, "invalid_grant", "box_subject_type and box_subject_id are needed"));
            }
            let access = shared.account(drive).tokens.access();
            Ok(granted(drive, &access, None, None))
        }
        "urn:ietf:params:oauth:grant-type:jwt-bearer" if drive == Drive::Box => {
            if secret.is_none() {
                return Err(refuse(400, "invalid_client", "client_secret is missing"));
            }
            assertion(shared, ask, &id, field(&form, "assertion").unwrap_or_default())?;
            let access = shared.account(drive).tokens.access();
            Ok(granted(drive, &access, None, None))
        }
        other => Err(refuse(400, "unsupported_grant_type", other)),
    }
}

/// The code is taken, the verifier fits its challenge, the redirect address is the same.
fn code(shared: &Shared, drive: Drive, form: &Form) -> Result<Consent, Refusal> {
    let bad = |why: &str| refuse(400, "invalid_grant", why);
    let code = field(form, "code").unwrap_or_default();
    let taken = shared.account(drive).tokens.take_code(code);
    let consent = taken.ok_or_else(|| bad("no such code, or it was used"))?;
    if consent.redirect.as_deref() != field(form, "redirect_uri") {
        return Err(bad("redirect_uri differs"));
    }
    if let Some(challenge) = &consent.challenge {
        let verifier = field(form, "code_verifier").unwrap_or_default();
        if !(43..=128).contains(&verifier.len()) || URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != *challenge {
            return Err(bad("code_verifier does not fit"));
        }
    }
    Ok(consent)
}

fn device_grant(shared: &Shared, drive: Drive, form: &Form) -> Answer {
    let code = field(form, "device_code").unwrap_or_default();
    let polled = shared.account(drive).tokens.poll(code);
    let (pending, denied) = match drive {
        Drive::GDrive => (428, "access_denied"),
        _ => (400, "authorization_declined"),
    };
    match polled {
        Poll::Pending => Err(refuse(pending, "authorization_pending", "the user has not agreed yet")),
        Poll::SlowDown => Err(refuse(if drive == Drive::GDrive { 403 } else { 400 }, "slow_down", "too often")),
        Poll::Denied => Err(refuse(if drive == Drive::GDrive { 403 } else { 400 }, denied, "the user said no")),
        Poll::Unknown => Err(refuse(400, "invalid_grant", "no such device code")),
        Poll::Granted => {
            let pair = shared.account(drive).tokens.mint();
            Ok(granted(drive, &pair.access, Some(&pair.refresh), None))
        }
    }
}

/// Where a device code is asked for (Microsoft, Google).
pub async fn device(shared: &Shared, ask: &mut Ask) -> Answer {
    let form = ask.form().await?;
    if field(&form, "client_id").is_none() || field(&form, "scope").is_none() {
        return Err(refuse(400, "invalid_request", "client_id and scope are needed"));
    }
    let allowed = |scope: &str| scope.ends_with("/auth/drive.file") || scope.ends_with("/auth/drive.appdata");
    let scopes = field(&form, "scope").unwrap_or_default();
    if ask.drive == Drive::GDrive && !scopes.split(' ').all(|scope| allowed(scope) || !scope.contains("/auth/drive")) {
        return Err(refuse(400, "invalid_scope", "not for devices"));
    }
    let mut account = shared.account(ask.drive);
    let (device_code, user_code) = account.tokens.device();
    let interval = account.tokens.interval.as_secs();
    let uri = if ask.drive == Drive::GDrive { "verification_url" } else { "verification_uri" };
    let mut value =
        json!({"device_code": device_code, "user_code": user_code, "expires_in": 900, "interval": interval});
    value[uri] = json!("https://example.invalid/device");
    value["message"] = json!(format!("open https://example.invalid/device and enter {user_code}"));
    Ok(Reply::json(200, &value))
}

/// Whose pages have to be told what is asked for; at Box it is the app's, Dropbox takes the app's where none is named.
fn is_asked_for_scopes(drive: Drive) -> bool {
    matches!(drive, Drive::OneDrive | Drive::GDrive)
}

/// Whether the vendor sends a browser there. Microsoft compares with what is registered, `http://localhost`, all but the
/// port; Google's desktop apps may name each address of this machine.
fn is_registered(drive: Drive, redirect: &url::Url) -> bool {
    let host = redirect.host_str().unwrap_or_default();
    let bare = redirect.path() == "/" && redirect.query().is_none();
    match drive {
        Drive::OneDrive => redirect.scheme() == "http" && host == "localhost" && bare,
        Drive::GDrive => redirect.scheme() == "http" && ["127.0.0.1", "[::1]", "localhost"].contains(&host),
        Drive::Box | Drive::Dropbox => true,
    }
}

/// The consent page: the user agrees at once, or refuses. Without a redirect address the code is the page (Dropbox).
pub fn authorize(shared: &Shared, ask: &Ask) -> Answer {
    if ask.query("response_type") != Some("code") || ask.query("client_id").is_none() {
        return Err(refuse(400, "invalid_request", "response_type=code and client_id are needed"));
    }
    let challenge = ask.query("code_challenge").map(str::to_owned);
    if challenge.is_some() && ask.query("code_challenge_method") != Some("S256") {
        return Err(refuse(400, "invalid_request", "S256 only"));
    }
    let redirect = ask.query("redirect_uri").map(str::to_owned);
    let scope = ask.query("scope").map(str::to_owned);
    if is_asked_for_scopes(ask.drive) && (redirect.is_none() || scope.is_none()) {
        return Err(refuse(400, "invalid_request", "redirect_uri and scope are needed"));
    }
    let consent = Consent { challenge, redirect: redirect.clone(), scope };
    let Some(redirect) = redirect else {
        return Ok(Reply::text(200, shared.account(ask.drive).tokens.code(consent)));
    };
    let parsed = url::Url::parse(&redirect).ok().filter(|url| is_registered(ask.drive, url));
    // The page itself says so: nobody is sent to an address that is not registered.
    let Some(mut url) = parsed else { return Err(refuse(400, "redirect_uri_mismatch", "redirect_uri")) };
    let refusing = shared.account(ask.drive).tokens.refusing;
    if refusing {
        url.query_pairs_mut()
            .append_pair("error", "access_denied")
            .append_pair("error_description", "the user said no");
    } else {
        let code = shared.account(ask.drive).tokens.code(consent);
        url.query_pairs_mut().append_pair("code", &code);
    }
    if let Some(state) = ask.query("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    Ok(Reply::empty(302).with("location", url.as_str()))
}

/// Box's JWT: well formed, signed with RSA (the size of the signature), for one user or enterprise, soon over, never seen.
fn assertion(shared: &Shared, ask: &Ask, id: &str, text: &str) -> Result<(), Refusal> {
    let bad = |why: &str| refuse(400, "invalid_grant", why);
    let pieces: Vec<&str> = text.split('.').collect();
    let [head, claims, signature] = pieces[..] else { return Err(bad("a JWT has three parts")) };
    let parse = |text: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok() };
    let head = parse(head).ok_or_else(|| bad("the header is no JSON"))?;
    let claims = parse(claims).ok_or_else(|| bad("the claims are no JSON"))?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| bad("the signature is no base64"))?;
    if !["RS256", "RS384", "RS512"].contains(&head["alg"].as_str().unwrap_or_default())
        || head["kid"].as_str().is_none()
    {
        return Err(bad("alg and kid"));
    }
    if ![256, 384, 512].contains(&signature.len()) {
        return Err(bad("the signature has no length of RSA"));
    }
    if claims["iss"] != id || claims["sub"].as_str().is_none_or(str::is_empty) {
        return Err(bad("iss is the client, sub whom it speaks for"));
    }
    if !["enterprise", "user"].contains(&claims["box_sub_type"].as_str().unwrap_or_default()) {
        return Err(bad("box_sub_type"));
    }
    let here = ask.url("api.box.com", "/oauth2/token");
    if claims["aud"] != "https://api.box.com/oauth2/token" && claims["aud"] != here.as_str() {
        return Err(bad("aud is the token endpoint"));
    }
    let left = claims["exp"].as_i64().unwrap_or_default() - jiff::Timestamp::now().as_second();
    if !(1..=60).contains(&left) {
        return Err(bad("exp is at most 60 seconds from now"));
    }
    let jti = claims["jti"].as_str().filter(|jti| (16..=128).contains(&jti.len())).ok_or_else(|| bad("jti"))?;
    let fresh = shared.account(ask.drive).tokens.assertions.insert(jti.to_owned());
    if fresh { Ok(()) } else { Err(bad("this jti was used")) }
}
