//! `soopervisor auth logout`: ends a login at the service, where that can be asked for, and forgets it here in any case.

use super::super::args;
use super::super::console::Console;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::seam;
use super::{Remote, client, failed, tokens};
use crate::auth::{Source, forget};
use crate::store::Home;

pub(super) fn execute(args: &args::AuthLogout, home: &Home) -> Result<Exit, Failure> {
    let remote = Remote::named(&args.remote, home)?;
    let (name, title) = (&remote.name, remote.provider.title());
    let tokens = tokens(home);
    let wrong = |fault| failed(format!("the login of `{name}` could not be removed"), &fault);
    if tokens.read().map_err(wrong)?.contains_key(name) {
        let client = client(home)?;
        let ended =
            seam::block_on(async { forget(&tokens, name, remote.endpoints.clone(), client).await.map_err(wrong) })?;
        let told = match ended {
            None | Some(Ok(true)) => format!("logged out of {title}\n"),
            Some(Ok(false)) => format!(
                "the login of `{name}` is forgotten here; {title} ends it at https://account.live.com/consent/Manage\n"
            ),
            Some(Err(fault)) => format!("the login of `{name}` is forgotten here; {title} was not told: {fault}\n"),
        };
        Console::answer(&told);
    } else {
        Console::note(&format!("nobody was logged in to {title} as `{name}`\n"));
    }
    if let Ok(source) = Source::find(remote.provider, name, remote.set())
        && !matches!(source, Source::File)
    {
        Console::note(&format!("note: variables still give a login: {}\n", source.describe()));
    }
    Ok(Exit::Ok)
}
