//! Takes what a terminal would obey out of pipeline output: titles, cursor moves, clipboards, device queries.
//!
//! Output went through [`logs::Plain`] before it was masked; here it does so once more, because a log on disk, a card
//! and a record are shown too, and because not every reader wants colours.

use std::borrow::Cow;

use crate::logs;

/// Keeps text, tabs, line ends and carriage returns, and colour where it is wanted. How the input is cut does not matter.
#[derive(Debug)]
pub struct Cleaner {
    color: bool,
    plain: logs::Plain,
}

impl Cleaner {
    /// Colour stays when `color`.
    pub fn new(color: bool) -> Self {
        Self { color, plain: logs::Plain::new() }
    }

    /// What may be shown of `bytes`; plain text, as nearly all is, is not copied.
    pub fn clean<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let kept = self.plain.keep(bytes, self.color);
        // The one control byte that the log keeps, to show a forged step marker for what it is.
        if memchr::memchr(0x1e, &kept).is_none() {
            return kept;
        }
        Cow::Owned(kept.iter().copied().filter(|byte| *byte != 0x1e).collect())
    }

    /// Appends what may be shown of `bytes` to `kept`.
    pub fn push(&mut self, bytes: &[u8], kept: &mut Vec<u8>) {
        kept.extend_from_slice(&self.clean(bytes));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(color: bool, text: &[u8]) -> String {
        let mut kept = Vec::new();
        Cleaner::new(color).push(text, &mut kept);
        String::from_utf8_lossy(&kept).into_owned()
    }

    #[test]
    fn removes_what_a_terminal_would_obey() {
        for (given, kept) in [
            ("a\x1b]0;title\x07b", "ab"),
            ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
            ("a\x1b[2J\x1b[1;1Hb", "ab"),
            ("a\x1b[6nb", "ab"),
            ("a\x1bPq#0\x1b\\b", "ab"),
            ("a\x1b(0b", "ab"),
            ("a\x1bcb", "ab"),
            ("a\x08\x07\x7fb", "ab"),
            ("a\u{9b}2Jb", "ab"),
            ("a\u{9d}0;title\x07b", "ab"),
            ("a\x1b]0;never ended\nb", "a\nb"),
            ("a\x1b[>4;1mb", "ab"),
            ("a\u{c2}\u{0}b", "aÂb"),
            ("50 %\r60 %\tdone\n", "50 %\r60 %\tdone\n"),
            ("é £ ü ©", "é £ ü ©"),
        ] {
            assert_eq!(clean(true, given.as_bytes()), kept, "{given:?}");
        }
    }

    #[test]
    fn a_broken_character_does_not_smuggle_a_control_byte() {
        let mut kept = Vec::new();
        Cleaner::new(true).push(b"a\xc2\x00\xc2\x1b[2Jb\xc2\xc2\x9b2Jc", &mut kept);
        assert_eq!(kept, b"a\xc2\xc2b\xc2c");
    }

    #[test]
    fn colour_stays_only_where_it_is_wanted() {
        let text = "\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mx\x1b[m";
        assert_eq!(clean(true, text.as_bytes()), text);
        assert_eq!(clean(false, text.as_bytes()), "red x");
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_how_the_input_is_cut(
            bytes in proptest::collection::vec(prop_oneof![Just(0x1bu8), Just(b'['), Just(b']'), Just(b'm'), Just(0x07),
                Just(0xc2), Just(0x9b), Just(b'\n'), any::<u8>()], 0..80),
            cut in 0_usize..80,
        ) {
            let cut = cut.min(bytes.len());
            let (mut whole, mut parts) = (Vec::new(), Vec::new());
            Cleaner::new(true).push(&bytes, &mut whole);
            let mut cleaner = Cleaner::new(true);
            cleaner.push(&bytes[..cut], &mut parts);
            cleaner.push(&bytes[cut..], &mut parts);
            prop_assert_eq!(&whole, &parts);
            let obeyed = whole.iter().any(|byte| matches!(byte, 0..=8 | 0x0b | 0x0c | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f));
            prop_assert!(!obeyed);
        }
    }
}
