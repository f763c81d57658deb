//! Base64 that line ends cut: against a plain reference, at every offset, column and cut.

use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use base64::{Engine as _, engine::GeneralPurpose};

use super::*;
use crate::secret::Secret;

fn masker(values: &[&str]) -> Masker {
    let secret = |value: &&str| Secret::new("S".to_owned(), value.as_bytes().to_vec());
    Masker::new(&SecretSet { env: values.iter().map(secret).collect(), mask_only: Vec::new() })
}

fn cut<'a>(masker: &Masker, chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut stream = masker.stream();
    let mut out = MaskedBytes::default();
    for chunk in chunks {
        out.append(&stream.push(chunk));
    }
    out.append(&stream.finish());
    out.to_text()
}

/// Whole and a byte at a time; both must agree.
fn masked(masker: &Masker, text: &str) -> String {
    let whole = cut(masker, [text.as_bytes()]);
    assert_eq!(cut(masker, text.as_bytes().chunks(1)), whole, "a byte at a time: {text:?}");
    whole
}

fn broken(encoded: &str, column: usize, end: &str) -> String {
    let lines: Vec<&str> = encoded.as_bytes().chunks(column).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join(end) + end
}

/// The longest piece of `form` that `shown` holds, line ends left out.
fn longest_piece(shown: &str, form: &str) -> usize {
    let shown = shown.replace(['\r', '\n'], "");
    let holds =
        |len: &usize| form.as_bytes().windows(*len).any(|piece| shown.contains(std::str::from_utf8(piece).unwrap()));
    (1..=form.len()).take_while(holds).last().unwrap_or(0)
}

const VALUE: &str = "user:pass:verylongsecretvalue";

/// The value's own characters in a text that has `before` bytes before it.
fn form(engine: &GeneralPurpose, before: usize) -> String {
    let text = engine.encode([&vec![b'k'; before][..], VALUE.as_bytes()].concat());
    text[(before * 8).div_ceil(6)..(before + VALUE.len()) * 8 / 6].to_owned()
}

#[test]
fn base64_in_lines_hides_a_secret_at_every_offset_column_and_alphabet() {
    let masker = masker(&[VALUE, "~~~???>>>~~~???>>>"]);
    for before in 0..90 {
        for engine in [STANDARD, URL_SAFE] {
            let whole = engine.encode([&vec![b'k'; before][..], VALUE.as_bytes(), b"tail"].concat());
            for column in [76, 64, 57, 20, 5] {
                for end in ["\n", "\r\n"] {
                    let text = broken(&whole, column, end);
                    let out = masked(&masker, &text);
                    let shown = longest_piece(&out, &form(&engine, before));
                    assert!(out.contains("***") && shown < 3, "{before} {column} {end:?}: {text:?} became {out:?}");
                }
            }
        }
    }
    let url_safe = URL_SAFE.encode("k~~~???>>>~~~???>>>k");
    assert!(url_safe.contains(['-', '_']));
    for column in 3..url_safe.len() {
        let out = masked(&masker, &broken(&url_safe, column, "\n"));
        assert!(longest_piece(&out, &url_safe[2..url_safe.len() - 4]) < 3, "{column}: {out:?}");
    }
}

#[test]
fn base64_in_lines_comes_out_the_same_wherever_the_input_is_cut() {
    let masker = masker(&[VALUE]);
    for before in 20..64 {
        let whole = STANDARD.encode([&vec![b'k'; before][..], VALUE.as_bytes(), b"tail"].concat());
        let text = format!("some words\n{}more words\n", broken(&whole, 57, "\r\n"));
        let expected = masked(&masker, &text);
        for at in 0..text.len() {
            let (left, right) = text.as_bytes().split_at(at);
            assert_eq!(cut(&masker, [left, right]), expected, "{before}: cut at {at}");
        }
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % below
    }
}

/// Where `pattern`, the first `open` bytes of which line ends may cut, ends in `text` from `at` on, and from where on it
/// is hidden.
fn matched(pattern: &[u8], open: usize, text: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut end = at;
    let mut from = at;
    for (count, byte) in pattern.iter().enumerate() {
        if (1..open).contains(&count) {
            let gap = [&b"\r\n"[..], b"\n"].into_iter().find(|gap| text[end..].starts_with(gap));
            let first = end == at + count && from == at;
            end += gap.map_or(0, <[u8]>::len);
            from = if gap.is_some() && first && count < 3 { end } else { from };
        }
        if text.get(end) != Some(byte) {
            return None;
        }
        end += 1;
    }
    Some((from, end))
}

/// What must come out of a text whose end begins no pattern; `open` bytes of each pattern may be cut by line ends.
fn reference(patterns: &[(Vec<u8>, usize)], text: &[u8]) -> String {
    let mut covered = vec![false; text.len()];
    for (pattern, open) in patterns {
        for (from, end) in (0..text.len()).filter_map(|at| matched(pattern, *open, text, at)) {
            covered[from..end].fill(true);
        }
    }
    let mut out = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        match (covered[at], at > 0 && covered[at - 1]) {
            (true, false) => out.extend_from_slice(MASK),
            (true, true) => {}
            (false, _) => out.push(*byte),
        }
    }
    String::from_utf8(out).unwrap()
}

/// Encoded values and pieces of them, with line ends, blank lines and other letters anywhere.
fn shuffled(random: &mut Random, values: &[String]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..6 {
        let value = &values[random.next(values.len())];
        let whole =
            STANDARD.encode([&b"kkk"[..random.next(4)], value.as_bytes(), &b"\ntail"[..random.next(6)]].concat());
        let from = if random.next(3) == 0 { random.next(whole.len()) } else { 0 };
        let to = if random.next(3) == 0 { from + random.next(whole.len() - from) } else { whole.len() };
        let often = [2, 5, 20, 1000][random.next(4)];
        for byte in &whole.as_bytes()[from..to] {
            text.push(*byte);
            if random.next(often) == 0 {
                let ends: [&[u8]; 8] = [b"\n", b"\n", b"\n", b"\r\n", b"\r\n", b"\n\n", b"\r", b"\r\n\r\n"];
                text.extend_from_slice(ends[random.next(ends.len())]);
            }
        }
        text.extend_from_slice([&b""[..], b"\n", b" ", b"YWFh", b"aaaa\n"][random.next(5)]);
    }
    text.push(b'.');
    text
}

#[test]
fn base64_in_lines_agrees_with_a_search_in_the_text_without_line_ends() {
    let mut random = Random(0x5eed_0003);
    for _ in 0..100 {
        // Few letters, so that forms overlap themselves and each other.
        let values: Vec<String> = (0..=random.next(3))
            .map(|_| {
                let len = 4 + random.next(30);
                (0..len).map(|_| ["a", "a", "aab", "~", "b?"][random.next(5)]).collect()
            })
            .collect();
        let masker = masker(&values.iter().map(String::as_str).collect::<Vec<_>>());
        let mut patterns = Vec::new();
        for value in &values {
            let base64 = forms::base64(value.as_bytes());
            let open = |pattern: &Vec<u8>| if base64.contains(pattern) { pattern.len() } else { 0 };
            patterns.extend(forms::of(value.as_bytes()).into_iter().map(|pattern| {
                let open = open(&pattern);
                (pattern, open)
            }));
        }
        for _ in 0..12 {
            let text = shuffled(&mut random, &values);
            let expected = reference(&patterns, &text);
            let step = 1 + random.next(40);
            for step in [text.len(), step, 1] {
                let out = cut(&masker, text.chunks(step));
                assert_eq!(out, expected, "{values:?} in {:?} by {step}", String::from_utf8_lossy(&text));
            }
        }
    }
}

#[test]
fn other_text_in_lines_stays_as_it_is() {
    let masker = masker(&[VALUE, "correct-horse-battery"]);
    let whole = form(&STANDARD, 0);
    let (left, right) = whole.split_at(20);
    let other = broken(&STANDARD.encode("nothing of it is secret, and there is a lot of it ".repeat(9)), 76, "\n");
    for text in [
        other,
        format!("{left}\n\n{right}\n"),
        format!("{left}\n# a word\n{right}\n"),
        format!("{left}\r{right}\n"),
        format!("{}\nelse\n", &whole[..30]),
        "correct-horse\n-battery\n".to_owned(),
        "dXNl\ncjpw\nelse\n".to_owned(),
    ] {
        assert_eq!(masked(&masker, &text), text);
    }
}

#[test]
fn a_line_waits_for_the_next_one_only_behind_three_characters_of_a_form() {
    let masker = masker(&[VALUE]);
    let whole = form(&STANDARD, 0);
    let mut stream = masker.stream();
    let line = format!("x {}\n", &whole[..2]);
    assert_eq!(stream.push(line.as_bytes()).to_text(), line);
    let mut stream = masker.stream();
    let line = format!("x {}\n", &whole[..9]);
    assert_eq!(stream.push(line.as_bytes()).to_text(), "x ");
    assert_eq!(stream.idle().to_text(), "", "nine characters tell something");
    assert_eq!(stream.push(&whole.as_bytes()[9..]).to_text(), "***", "and so they were right to wait");
    assert_eq!(stream.push(b"\n").to_text(), "\n", "a finished form waits for nothing");
}

#[test]
fn line_ends_without_end_are_not_kept() {
    let masker = masker(&[VALUE]);
    let whole = form(&STANDARD, 0);
    for end in ["\n", "\r\n", "\r"] {
        let mut stream = masker.stream();
        stream.push(&whole.as_bytes()[..20]);
        let out = stream.push(end.repeat(100_000).as_bytes());
        assert_eq!(out.len(), 20 + 100_000 * end.len(), "{end:?}");
    }
    let mut stream = masker.stream();
    let again = format!("{}\n", &whole[..20]).repeat(1000);
    assert!(stream.push(again.as_bytes()).len() + 2 * whole.len() >= again.len());
}

#[test]
fn a_beginning_that_the_end_of_the_output_cuts_off_behind_a_line_end_is_hidden() {
    let masker = masker(&[VALUE]);
    let whole = form(&STANDARD, 0);
    assert_eq!(masked(&masker, &format!("x {}\n{}", &whole[..9], &whole[9..15])), "x ***");
    assert_eq!(masked(&masker, &format!("x {}\r\n", &whole[..9])), "x ***\r\n");
}

#[test]
fn a_secret_in_two_lines_is_counted_once() {
    let masker = masker(&[VALUE]);
    let whole = form(&STANDARD, 0);
    masked(&masker, &format!("{whole} {}\n{}.", &whole[..9], &whole[9..]));
    // Whole, and a byte at a time.
    assert_eq!(masker.hits(), [("S".to_owned(), 4)]);
}

#[test]
fn a_text_that_ends_in_dashes_is_no_beginning_of_a_key() {
    let masker = masker(&["{\"private_key\": \"-----BEGIN\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n\"}"]);
    assert_eq!(masker.text("---------- fit ----------"), "---------- fit ----------");
    assert_eq!(masker.text("cut off: -----BEG"), "cut off: ***");
}

#[test]
fn words_that_a_secret_begins_with_end_a_text_as_they_are() {
    let masker = masker(&["line one of it\nline two of it", "data-science-17", "hunter2"]);
    for text in ["runs the pipeline", "no such line", "not a folder: data", "the deadline, data-", "a hun"] {
        assert_eq!(masker.text(text), text);
    }
    for text in ["cut off: line one", "cut off: line two o", "cut off: data-sci", "cut off: hunte"] {
        assert_eq!(masker.text(text), "cut off: ***", "{text}");
    }
}
