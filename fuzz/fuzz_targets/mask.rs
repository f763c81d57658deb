//! The masker against brute force: `cargo fuzz run mask`.
//!
//! The first byte cuts the stream; then secrets, each ended by 0xFF; the rest is the text. Letters are folded to four,
//! so that secrets and their beginnings really meet in the text, and none of their encodings can. Then the rest as it is: cut or
//! not, the same must come out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soopervisor::logs::mask::{MaskedBytes, Masker};
use soopervisor::secret::{Secret, SecretSet};

#[path = "../../tests/mask/oracle.rs"]
mod oracle;

fuzz_target!(|data: &[u8]| {
    let Some((cut, rest)) = data.split_first() else { return };
    let fold = |part: &[u8]| part.iter().map(|byte| b"abc."[usize::from(byte % 4)]).collect::<Vec<u8>>();
    let mut parts: Vec<Vec<u8>> = rest.split(|byte| *byte == 0xff).map(fold).collect();
    let Some(text) = parts.pop() else { return };
    parts.retain(|secret| secret.len() >= 4);
    parts.truncate(6);
    let env = parts.iter().map(|secret| Secret::new("S", secret.clone())).collect();
    let masker = Masker::new(&SecretSet { env, mask_only: Vec::new() });
    let mut stream = masker.stream();
    let mut out = MaskedBytes::default();
    for chunk in text.chunks(1 + usize::from(*cut)) {
        out.append(&stream.push(chunk));
    }
    out.append(&stream.finish());
    assert_eq!(out.as_bytes(), oracle::oracle(&parts, &text));
    // As they came: addresses, too, come out the same wherever they are cut.
    let pieces = |step: usize| {
        let mut stream = masker.stream();
        let mut out = MaskedBytes::default();
        for chunk in rest.chunks(step) {
            out.append(&stream.push(chunk));
        }
        out.append(&stream.finish());
        out
    };
    assert_eq!(pieces(1 + usize::from(*cut)), pieces(rest.len().max(1)));
});
