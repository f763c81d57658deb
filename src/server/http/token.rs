//! The form of API tokens: `soop_`, 256 bits that nobody can guess, and a sum by which scanners know one when they see it.
//! Only what a token hashes to is ever kept.

use aws_lc_rs::{digest, rand};

use crate::secret::Secret;

const PREFIX: &str = "soop_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 43 digits of 62 are more than 256 bits.
const RANDOM: usize = 43;
const SUM: usize = 6;

/// What a token allows. Each allows what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look.
    Read,
    /// Start and stop runs.
    Run,
    /// Everything: tokens, handlers, the audit log.
    Admin,
}

impl Scope {
    /// All of them, from little to much.
    pub const ALL: [Self; 3] = [Self::Read, Self::Run, Self::Admin];

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Admin => "admin",
        }
    }

    /// The most that these words allow.
    pub fn most(words: &str) -> Option<Self> {
        words.split_whitespace().filter_map(|word| word.parse().ok()).max()
    }
}

impl std::str::FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|scope| scope.word() == text).ok_or(())
    }
}

/// What people call a token has at most so many characters.
pub const LONGEST_NAME: usize = 100;

/// Whether a token can be called so: something that is seen, in one line.
pub fn is_name(name: &str) -> bool {
    let seen = name.chars().next().is_some_and(|first| !first.is_whitespace());
    seen && name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control)
}

/// A new token. `None` when the system has no randomness to give.
pub fn new() -> Option<Secret> {
    let mut text = PREFIX.as_bytes().to_vec();
    while text.len() < PREFIX.len() + RANDOM {
        let mut bytes = [0_u8; 64];
        rand::fill(&mut bytes).ok()?;
        // Six bits a byte; the two numbers that no digit stands for are thrown away, so that every digit is as likely.
        let digits = bytes.iter().filter_map(|byte| DIGITS.get(usize::from(byte >> 2)));
        text.extend(digits.take(PREFIX.len() + RANDOM - text.len()));
    }
    let sum = sum(&text);
    text.extend(sum);
    Some(Secret::new("token", text))
}

/// Whether a text has the form of a token; says nothing of whether anybody made it.
pub fn is_one(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == PREFIX.len() + RANDOM + SUM
        && text.starts_with(PREFIX)
        && bytes[bytes.len() - SUM..] == sum(&bytes[..bytes.len() - SUM])
}

/// What is kept of a token: it cannot be guessed, so that a plain digest is enough.
pub fn hash(token: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, token))
}

/// CRC-32 as six digits.
fn sum(bytes: &[u8]) -> [u8; SUM] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    let mut rest = usize::try_from(!crc).unwrap_or_default();
    let mut digits = [0; SUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[rest % 62];
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_by_their_form_and_a_typing_error_is_seen() {
        let token = new().unwrap();
        let text = String::from_utf8(token.expose().to_vec()).unwrap();
        assert!(is_one(&text), "{} characters", text.len());
        assert_ne!(token.expose(), new().unwrap().expose());
        assert!(!is_one(&text.replacen("soop_", "soup_", 1)));
        assert!(!is_one(&text[..text.len() - 1]));
        let other = if text.as_bytes()[10] == b'a' { "b" } else { "a" };
        assert!(!is_one(&format!("{}{other}{}", &text[..10], &text[11..])));
        assert!(!is_one("soop_ü"));
    }

    #[test]
    fn the_sum_is_crc32() {
        // The check value of CRC-32, 0xCBF43926, in base 62.
        let number = sum(b"123456789").iter().fold(0_u64, |number, digit| {
            number * 62 + u64::try_from(DIGITS.iter().position(|known| known == digit).unwrap()).unwrap()
        });
        assert_eq!(number, 0xCBF4_3926);
    }

    #[test]
    fn scopes_allow_what_lies_below_them() {
        assert!(Scope::Admin > Scope::Run && Scope::Run > Scope::Read);
        assert_eq!(Scope::most("read run"), Some(Scope::Run));
        assert_eq!(Scope::most("root"), None);
    }
}
