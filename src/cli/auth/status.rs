//! `soopervisor auth status`: who is logged in where, until when, from where, and how much room there is.

use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::super::args;
use super::super::console::Console;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::seam;
use super::{Remote, client, tokens};
use crate::auth::{HELPER, Login, Provider, Source, variable};
use crate::report::bytes;
use crate::storage::Remotes;
use crate::store::Home;
use crate::web::{Fault, spoken};

/// Longer pauses of a service are told, not waited for: there may be other accounts to ask, and somebody who looks on.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who looks on is told after so long that a service has not answered yet.
const SILENCE: Duration = Duration::from_secs(5);

/// One line of the answer.
#[derive(Debug, Default, Serialize)]
struct Row {
    remote: String,
    provider: &'static str,
    /// `None` where the service did not say so, for another reason than that nobody is.
    logged_in: Option<bool>,
    account: Option<String>,
    scope: Option<String>,
    used: Option<u64>,
    total: Option<u64>,
    /// When the login ends unless it is used.
    ends_at: Option<String>,
    source: Option<String>,
    notes: Vec<String>,
    problem: Option<String>,
}

impl Row {
    /// Of a remote that nobody is logged in to, as far as is known.
    fn of(remote: &str) -> Self {
        Self { remote: remote.to_owned(), logged_in: Some(false), ..Self::default() }
    }
}

pub(super) fn execute(args: &args::AuthStatus, home: &Home) -> Result<Exit, Failure> {
    let kept = tokens(home).read();
    let remotes = if let Some(name) = &args.remote {
        // What is kept may mean nothing any more; what is not is a slip of the pen.
        if !kept.iter().flatten().any(|(known, _)| known == name) {
            Remote::named(name, home)?;
        }
        vec![name.clone()]
    } else {
        let kept = kept.iter().flatten().map(|(name, _)| name.clone());
        let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        every(&seam::remotes(home)?, kept, variables)
    };
    let client = client(home)?;
    let rows = seam::block_on(async {
        let mut rows = Vec::new();
        for name in remotes {
            rows.push(patiently(&name, Box::pin(row(&name, &client, home))).await?);
        }
        Ok(rows)
    })?;
    if args.json {
        Console::answer(&format!("{}\n", json!({"schema": 1, "remotes": rows})));
    } else {
        Console::answer(&table(&rows));
        for row in &rows {
            row.notes.iter().for_each(|note| Console::note(&format!("note: {note}\n")));
            let problem = row.problem.iter().filter(|_| args.remote.is_some() || row.source.is_some());
            problem.for_each(|problem| Console::note(&format!("{}: {problem}\n", row.remote)));
        }
    }
    let good = rows.iter().all(|row| row.logged_in == Some(true) || (args.remote.is_none() && row.source.is_none()));
    Ok(if good { Exit::Ok } else { Exit::StorageFailed })
}

/// Does what asks a service, and says after a while that it waits.
async fn patiently<T>(name: &str, asking: impl Future<Output = T>) -> T {
    let mut asking = pin!(asking);
    if let Ok(done) = tokio::time::timeout(SILENCE, &mut asking).await {
        return done;
    }
    Console::note(&format!("{name}: waiting for the service's answer\n"));
    asking.await
}

/// The drives by their own names, those of config.yaml, those that somebody is logged in to, and those of variables,
/// where `_` stands for `-`.
fn every(
    remotes: &Remotes,
    kept: impl Iterator<Item = String>,
    variables: impl Iterator<Item = String>,
) -> Vec<String> {
    let is_drive = |name: &String| {
        let kind = remotes.kind(name).ok().flatten();
        kind.is_some_and(|kind| Provider::named(kind.name()).is_some())
    };
    let written = remotes.names().map(str::to_owned).filter(is_drive);
    // Descendants of single-use tokens in variables have no name of their own.
    let kept = kept.filter(|name| !name.contains('#'));
    let set = variables.filter_map(|name| {
        let name = name.strip_prefix("SOOPERVISOR_")?.strip_suffix("_TYPE")?;
        Some(name.to_ascii_lowercase().replace('_', "-")).filter(is_drive)
    });
    let mut names: Vec<String> = Provider::ALL.iter().map(|provider| provider.name().to_owned()).collect();
    for name in written.chain(kept) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in set {
        if names.iter().all(|known| variable(known) != variable(&name)) {
            names.push(name);
        }
    }
    names
}

async fn row(name: &str, client: &reqwest::Client, home: &Home) -> Result<Row, Failure> {
    let remote = match Remote::named(name, home) {
        Ok(remote) => remote,
        // Kept for a name that means nothing any more, or set to what cannot be asked.
        Err(failure) if Provider::named(name).is_none() => {
            let is_kept = tokens(home).read().is_ok_and(|kept| kept.contains_key(name));
            let source = Some(if is_kept { "tokens.json" } else { "not usable" }.to_owned());
            return Ok(Row { source, problem: Some(failure.what), ..Row::of(name) });
        }
        Err(failure) => return Err(failure),
    };
    let mut row = Row { provider: remote.provider.name(), ..Row::of(name) };
    let folder = home.state().to_path_buf();
    let login = match Login::open(name, remote.provider, remote.endpoints.clone(), client.clone(), remote.set(), folder)
    {
        Ok(login) => login.hurried(PATIENCE),
        Err(fault) => {
            // Something is set, and wrong; that nobody is logged in is no problem of its own.
            row.source = (!matches!(fault, Fault::Login(_))).then(|| "not usable".to_owned());
            row.problem = Some(fault.to_string());
            return Ok(row);
        }
    };
    let helped = matches!(login.source(), Source::File) && std::env::var_os(HELPER).is_some();
    row.source = Some(if helped { HELPER.to_owned() } else { login.source().describe() });
    row.notes = login.notes();
    match login.who().await {
        Ok(account) => {
            row.logged_in = Some(true);
            (row.account, row.used, row.total) = (Some(account.name), account.used, account.total);
        }
        Err(fault) => {
            row.account = login.entry().and_then(|entry| entry.account.clone());
            row.logged_in = matches!(fault, Fault::Login(_)).then_some(false);
            row.problem = Some(untold(&fault));
        }
    }
    // What asking may have renewed.
    let kept = tokens(home).read().unwrap_or_default().remove(name);
    let entry = kept.as_ref().filter(|_| matches!(login.source(), Source::File)).or(login.entry());
    row.scope = entry.and_then(|entry| entry.scope.clone());
    let ends = entry.and_then(|entry| entry.refresh_expires_at);
    row.ends_at = ends.and_then(|at| Timestamp::from_second(at).ok()).map(|at| at.to_string());
    Ok(row)
}

/// Why a service did not say who is logged in.
fn untold(fault: &Fault) -> String {
    match fault {
        Fault::Throttled(Some(wait)) => format!("not told: the service asks to wait {}", spoken(*wait)),
        fault => fault.to_string(),
    }
}

fn table(rows: &[Row]) -> String {
    let mut lines = vec![["REMOTE", "ACCOUNT", "ROOM", "ENDS", "FROM", "SCOPE"].map(str::to_owned)];
    for row in rows {
        let account = match (&row.account, row.logged_in, &row.source) {
            (Some(account), Some(true), _) => account.clone(),
            (None, Some(true), _) => "somebody".to_owned(),
            // As it was when somebody logged in.
            (Some(account), None, _) => format!("{account}: not told now"),
            (None, None, _) => "not told".to_owned(),
            (_, Some(false), Some(_)) => "no longer logged in".to_owned(),
            (_, Some(false), None) => "not logged in".to_owned(),
        };
        let room = match (row.used, row.total) {
            (Some(used), Some(total)) => format!("{} of {}", bytes(used), bytes(total)),
            (Some(used), None) => bytes(used),
            _ => String::new(),
        };
        let ends = row.ends_at.as_deref().and_then(|at| at.get(..10)).unwrap_or_default().to_owned();
        let from = row.source.clone().unwrap_or_default();
        lines.push([row.remote.clone(), account, room, ends, from, row.scope.clone().unwrap_or_default()]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let drawn = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    });
    drawn.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_of_the_file_and_of_variables_are_told_whether_anybody_is_logged_in_or_not() {
        let text = "remotes: {team-box: {type: box}, lab: {type: s3}, old-drive: {type: gdrive}}";
        let (config, found) = crate::spec::config::parse("config.yaml", text.as_bytes());
        assert_eq!(found, []);
        let set = [
            ("SOOPERVISOR_MY_CLOUD_TYPE", "onedrive"),
            ("SOOPERVISOR_TEAM_BOX_TYPE", "box"),
            ("SOOPERVISOR_OLD_DRIVE_TYPE", "gdrive"),
            ("SOOPERVISOR_BUCKET_TYPE", "s3"),
            ("SOOPERVISOR_BOX_SUBJECT_TYPE", "enterprise"),
        ];
        let lookup =
            move |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let remotes = Remotes::new(config.remotes, std::sync::Arc::new(lookup));
        let kept = ["box", "box#0123", "team-box", "gone"].map(str::to_owned);
        let told = every(&remotes, kept.into_iter(), set.iter().map(|(name, _)| (*name).to_owned()));
        assert_eq!(told, ["box", "dropbox", "onedrive", "gdrive", "team-box", "old-drive", "gone", "my-cloud"]);
    }

    #[test]
    fn the_table_says_who_where_from_and_until_when() {
        let rows = [
            Row {
                logged_in: Some(true),
                account: Some("Ann (ann@example.org)".to_owned()),
                used: Some(3 << 30),
                total: Some(10 << 30),
                ends_at: Some("2027-01-20T09:30:00Z".to_owned()),
                source: Some("tokens.json".to_owned()),
                ..Row::of("box")
            },
            Row::of("dropbox"),
        ];
        insta::assert_snapshot!("auth_status", table(&rows));
    }

    #[test]
    fn who_is_kept_as_logged_in_is_named_also_where_the_service_does_not_tell() {
        let untold = |account: Option<&str>| {
            let (account, source) = (account.map(str::to_owned), Some("tokens.json".to_owned()));
            let row = Row { logged_in: None, account, source, ..Row::of("onedrive") };
            assert_eq!(json!(row)["logged_in"], serde_json::Value::Null);
            table(&[row])
        };
        assert!(untold(Some("Ann")).contains("onedrive  Ann: not told now  "), "{}", untold(Some("Ann")));
        assert!(untold(None).contains("onedrive  not told  "), "{}", untold(None));
        assert_eq!(json!(Row::of("box"))["logged_in"], false);
    }
}
