//! Objects, with their generations and checksums, and what is under way.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::parts::Upload;
use super::upload::Session;
use super::{BUCKET, Query};

/// What an object is made of, and how it came.
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) generation: u64,
    pub(super) updated: Timestamp,
    pub(super) crc32c: String,
    /// None where it was put together.
    pub(super) md5: Option<String>,
}

impl Object {
    /// As the JSON API tells it.
    pub(super) fn told(&self, name: &str) -> Value {
        let (generation, updated) = (self.generation.to_string(), self.updated.to_string());
        let mut told = json!({
            "kind": "storage#object",
            "id": format!("{BUCKET}/{name}/{generation}"),
            "name": name,
            "bucket": BUCKET,
            "generation": generation,
            "metageneration": "1",
            "contentType": "application/octet-stream",
            "storageClass": "STANDARD",
            "size": self.bytes.len().to_string(),
            "crc32c": self.crc32c,
            "etag": STANDARD.encode(&generation),
            "timeCreated": updated,
            "updated": updated,
        });
        if let Some(md5) = &self.md5 {
            told["md5Hash"] = json!(md5);
        }
        told
    }

    /// As a header tells its checksums.
    pub(super) fn sums(&self) -> String {
        let md5 = self.md5.as_ref().map(|md5| format!(",md5={md5}")).unwrap_or_default();
        format!("crc32c={}{md5}", self.crc32c)
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) uploads: BTreeMap<String, Upload>,
    last: u64,
}

impl State {
    /// A number that there was not before, greater than all that were.
    pub(super) fn number(&mut self) -> u64 {
        self.last = (self.last + 1).max(1_790_000_000_000_000);
        self.last
    }

    /// Whether what is said of a key first is so.
    pub(super) fn holds(&self, name: &str, query: &Query) -> bool {
        let there = self.objects.get(name).map_or(0, |object| object.generation);
        let number = |key: &str| query.get(key).and_then(|text| text.parse::<u64>().ok());
        number("ifGenerationMatch").is_none_or(|wanted| wanted == there)
            && number("ifGenerationNotMatch").is_none_or(|unwanted| unwanted != there)
    }

    /// Puts an object in the place of what is there; `whole` tells one that came as it is from one that was put together.
    pub(super) fn put(&mut self, name: &str, bytes: Bytes, whole: bool) -> Value {
        let (crc32c, md5) = (crc32c(&bytes), whole.then(|| md5(&bytes)));
        let object = Object { bytes, generation: self.number(), updated: Timestamp::now(), crc32c, md5 };
        let told = object.told(name);
        self.objects.insert(name.to_owned(), object);
        told
    }
}

/// Whether Google takes such a name.
pub(super) fn is_name(name: &str) -> bool {
    (1..=1024).contains(&name.len()) && !name.contains(['\r', '\n']) && !matches!(name, "." | "..")
}

/// Whether bytes have the checksums that a client says they have, in a description or in a header.
pub(super) fn are(bytes: &[u8], described: &Value, headers: &HeaderMap) -> bool {
    let mut said: Vec<(String, String)> = Vec::new();
    for (key, name) in [("crc32c", "crc32c"), ("md5Hash", "md5")] {
        said.extend(described[key].as_str().map(|sum| (name.to_owned(), sum.to_owned())));
    }
    let lines = headers.get_all("x-goog-hash").iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(',')).filter_map(|pair| pair.trim().split_once('='));
    said.extend(pairs.map(|(name, sum)| (name.to_owned(), sum.to_owned())));
    said.iter().all(|(name, sum)| match name.as_str() {
        "crc32c" => *sum == crc32c(bytes),
        "md5" => *sum == md5(bytes),
        _ => false,
    })
}

/// As Google writes it.
pub(super) fn md5(bytes: &[u8]) -> String {
    let sum: [u8; 16] = Md5::digest(bytes).into();
    STANDARD.encode(sum)
}

/// As Google writes it: the polynomial of Castagnoli, the first byte first.
pub(super) fn crc32c(bytes: &[u8]) -> String {
    let step = |sum: u32, byte: &u8| TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ (sum >> 8);
    let sum = !bytes.iter().fold(u32::MAX, step);
    STANDARD.encode(sum.to_be_bytes())
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
            bit += 1;
        }
        table[byte as usize] = sum;
        byte += 1;
    }
    table
}
