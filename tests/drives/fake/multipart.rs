//! Bodies of several parts (`multipart/form-data`, `multipart/related`), read as a stream: all parts but the last are
//! small, the last one may be a file of any size.

use std::sync::Arc;

use super::Shared;
use super::ask::{Ask, Refusal, Reply};
use super::blob::Blob;

const LONGEST_PART: usize = 1 << 20;

pub struct Parts {
    /// Headers (lower case) and text of the parts before the file.
    pub small: Vec<(String, String)>,
    /// Headers of the last part, and its bytes.
    pub last: (String, Arc<Blob>),
    /// Another part comes after the file.
    pub followed: bool,
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

fn bad(what: &str) -> Refusal {
    Reply::text(400, format!("bad multipart body: {what}")).into()
}

fn boundary(kind: &str) -> Option<String> {
    let parameter = kind.split(';').map(str::trim).find_map(|part| part.strip_prefix("boundary="))?;
    Some(parameter.trim_matches('"').to_owned())
}

/// Reads parts until `is_file` says that this one, by its headers, is the file.
pub async fn read(ask: &mut Ask, shared: &Shared, is_file: impl Fn(&str, usize) -> bool) -> Result<Parts, Refusal> {
    let kind = ask.header("content-type").unwrap_or_default().to_owned();
    let boundary = boundary(&kind).ok_or_else(|| bad("no boundary"))?;
    let mut held: Vec<u8> = b"\n".to_vec();
    let mut small = Vec::new();
    // To the end of the line with the first mark, whose ending says how lines end: Google's own client writes `\n`.
    let first = format!("\n--{boundary}").into_bytes();
    let mut at = fill(ask, &mut held, &first).await?;
    held.drain(..at + first.len());
    at = fill(ask, &mut held, b"\n").await?;
    let line = if at > 0 && held[at - 1] == b'\r' { "\r\n" } else { "\n" };
    let mark = format!("{line}--{boundary}").into_bytes();
    let gap = line.repeat(2).into_bytes();
    loop {
        at = fill(ask, &mut held, &gap).await?;
        let headers = String::from_utf8_lossy(&held[..at]).to_lowercase();
        held.drain(..at + gap.len());
        if is_file(&headers, small.len()) {
            let (blob, followed) = file(ask, shared, held, &mark).await?;
            return Ok(Parts { small, last: (headers, blob), followed });
        }
        at = fill(ask, &mut held, &mark).await?;
        let text = String::from_utf8_lossy(&held[..at]).into_owned();
        held.drain(..at + mark.len());
        small.push((headers, text));
    }
}

/// Reads on until the needle is in what is held; where.
async fn fill(ask: &mut Ask, held: &mut Vec<u8>, needle: &[u8]) -> Result<usize, Refusal> {
    loop {
        if let Some(at) = find(held, needle) {
            return Ok(at);
        }
        if held.len() > LONGEST_PART {
            return Err(bad("a part before the file is too long"));
        }
        let data = ask.body.next().await?.ok_or_else(|| bad("it ends early"))?;
        held.extend_from_slice(&data);
    }
}

async fn file(ask: &mut Ask, shared: &Shared, mut held: Vec<u8>, mark: &[u8]) -> Result<(Arc<Blob>, bool), Refusal> {
    let spool = shared.room.spool();
    let mut size = 0_u64;
    loop {
        if let Some(at) = find(&held, mark) {
            spool.write(size, &held[..at]);
            size += at as u64;
            let rest = held.split_off(at + mark.len());
            let followed = followed(ask, rest).await?;
            return Ok((Blob::seal(Arc::new(spool), size, ask.drive).await, followed));
        }
        // A mark may have begun.
        let sure = held.len().saturating_sub(mark.len());
        spool.write(size, &held[..sure]);
        size += sure as u64;
        held.drain(..sure);
        let data = ask.body.next().await?.ok_or_else(|| bad("it ends inside the file"))?;
        held.extend_from_slice(&data);
    }
}

/// What is behind the file is anything but the end.
async fn followed(ask: &mut Ask, mut rest: Vec<u8>) -> Result<bool, Refusal> {
    while let Some(data) = ask.body.next().await? {
        rest.extend_from_slice(&data);
        if rest.len() > LONGEST_PART {
            break;
        }
    }
    Ok(!rest.starts_with(b"--"))
}
