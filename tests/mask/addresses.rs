//! Credentials in addresses that nobody named: hidden wherever the input is cut, others left alone, in time and memory that
//! do not grow.

use std::time::{Duration, Instant};

use soopervisor::logs::mask::{MaskedBytes, Masker};
use soopervisor::secret::SecretSet;

use super::{Random, cut, masked, masker};

/// A masker that knows no secret of anybody.
fn unnamed() -> Masker {
    Masker::new(&SecretSet::default())
}

#[test]
fn passwords_and_tokens_in_addresses_are_hidden() {
    let masker = unnamed();
    for (text, expected) in [
        ("https://user:pa55word@host/x?token=abc", "https://user:***@host/x?token=***"),
        ("got 'postgresql+psycopg2://me:p@ss:w@rd@db:5432/x'", "got 'postgresql+psycopg2://me:***@db:5432/x'"),
        (
            "redis://:hunter2@h https://x-access-token:t@github.com/",
            "redis://:***@h https://x-access-token:***@github.com/",
        ),
        ("https://ghp_xxx@github.com/a/b", "https://***@github.com/a/b"),
        ("https://0123456789abcdef0123@o1.example/2", "https://***@o1.example/2"),
        ("https://0123:x-oauth-basic@github.com", "https://***:***@github.com"),
        ("http://u:p@[2001:db8::1]:80/ http://us&er:p&w@h", "http://u:***@[2001:db8::1]:80/ http://us&er:***@h"),
        ("{\"u\":\"https:\\/\\/u:pw@h\\/x\"}", "{\"u\":\"https:\\/\\/u:***@h\\/x\"}"),
        ("proxy=http://http://u:pw@h", "proxy=http://http://u:***@h"),
        ("GET /x?a=1&Access_Token=abc&b=2 HTTP/1.1", "GET /x?a=1&Access_Token=***&b=2 HTTP/1.1"),
        ("client_id=me&client_secret=s+%2F/=&x", "client_id=me&client_secret=***&x"),
        ("<a href=\"/?a=1&amp;sig=zz%3D\">", "<a href=\"/?a=1&amp;sig=***\">"),
        ("s3://k?X-Amz-Signature=0af&X-Amz-Date=1", "s3://k?X-Amz-Signature=***&X-Amz-Date=1"),
        ("see /?next=https://u:pw@h&token=t/s#f", "see /?next=https://u:***@h&token=***#f"),
    ] {
        assert_eq!(masked(&masker, text), expected);
        assert_eq!(masker.text(text), expected, "as one text");
        assert_eq!(masker.text(expected), expected, "what was hidden stays as it is");
    }
}

#[test]
fn other_addresses_stay_readable() {
    let masker = unnamed();
    for text in [
        "https://host:8080/a@b https://registry.example/@scope/name@1.2 http://[::1]:80/x@y",
        "ssh://git@host:22/x git@github.com:a/b.git https://me@host/ mailto:a.b@example.org",
        "https://${TOKEN}@h https://me:${TOKEN}@h https://me:$TOKEN@h https://{user}:{password}@h https://a:%(pw)s@h",
        "curl 'https://h/?token=$TOKEN&sig=${SIG}&password={pw}&api_key='",
        "{'address': 'http://h:80', 'mail': 'me@example.org'} [http://h:80] \"http://h:80\",a@b",
        "docker://alpine:3.20@sha256:0123456789abcdef ://@ :// ?&?&= &&& a ? b : c @decorator :@ f(&token)",
        "/x?page_token=a&key=b&code=c&tokens=d&q=token&x-amz-credential=e ratio=1?2:3",
        "a://b/c:d@e https:/u:p@h https:u:p@h http://h\r\nu:p@h http://h:80\\nme@h",
        "Listening on http://localhost:8080...",
        "Listening on http://[fe80::1]:8080",
        "and then https://",
    ] {
        assert_eq!(masked(&masker, text), text);
        assert_eq!(masker.text(text), text, "as one text");
    }
}

#[test]
fn a_secret_with_a_name_and_one_without_are_one_mask_where_they_meet() {
    let masker = masker(&["correct-horse", "user:pa55"]);
    for (text, expected) in [
        ("https://me:correct-horse@h/?sig=correct-horse.", "https://me:***@h/?sig=***"),
        ("https://me:a-correct-horse-b@h", "https://me:***@h"),
        ("https://user:pa55word@h correct-horse", "https://***@h ***"),
        ("correct-horse https://a:b@correct-horse/?token=x correct-horse", "*** https://a:***@***/?token=*** ***"),
    ] {
        assert_eq!(masked(&masker, text), expected);
    }
    assert_eq!(masker.hits().len(), 2, "what has no name is counted for nobody");
}

#[test]
fn what_is_used_further_keeps_addresses_and_no_secret() {
    let masker = masker(&["correct-horse"]).named_only();
    let text = "https://me:pw@h/correct-horse?sig=abc";
    assert_eq!(masked(&masker, text), "https://me:pw@h/***?sig=abc");
}

#[test]
fn an_address_that_the_end_cuts_off_shows_no_beginning_of_a_password() {
    let masker = unnamed();
    for (text, expected) in [
        ("cloning https://user:pa55w", "cloning https://user:***"),
        ("cloning https://ghp_abc", "cloning https://***"),
        ("cloning https://user:12@hos", "cloning https://user:***@hos"),
        ("https://h/?token=ab", "https://h/?token=***"),
    ] {
        assert_eq!(masked(&masker, text), expected);
        assert_eq!(masker.text(text), expected);
    }
}

#[test]
fn an_address_waits_for_its_end_through_a_pause_and_no_longer() {
    let mut stream = unnamed().stream();
    assert_eq!(stream.push(b"from https://me:pa").to_text(), "from https://");
    assert_eq!(stream.idle().to_text(), "", "it might be a password");
    assert_eq!(stream.push(b"55@host").to_text(), "", "and the last `@` decides");
    assert_eq!(stream.push(b"/").to_text(), "me:***@host/");
    assert_eq!(stream.push(b"x?sig=a").to_text(), "x?sig=***");
    assert_eq!(stream.push(b"bc&y").to_text(), "&y");
    assert_eq!(stream.push(b" at http://h:80\n").to_text(), " at http://h:80\n");
}

#[test]
fn credentials_across_frame_cuts_are_hidden() {
    let masker = unnamed();
    for before in 16_384 - 44..=16_384 {
        let text = format!("{}https://user:pa55word@host/x?token=abcdef y\n", "-".repeat(before));
        let expected = format!("{}https://user:***@host/x?token=*** y\n", "-".repeat(before));
        let frames: Vec<&[u8]> = text.as_bytes().chunks(16_384).collect();
        assert_eq!(cut(&masker, &frames), expected, "{before}");
    }
}

#[test]
fn any_mixture_comes_out_the_same_wherever_it_is_cut() {
    const PIECES: [&str; 22] = [
        "://",
        ":\\/\\/",
        "@",
        "?",
        "&",
        "token=",
        "a",
        ":",
        "/",
        " ",
        "u:p@",
        "\\",
        "ghp_1",
        "sha256:",
        "${X}",
        "amp;sig=",
        "\n",
        "zzzzzz",
        "[::1]",
        "=",
        "correct-horse",
        "'",
    ];
    let mut random = Random(0x5eed_0006);
    let masker = masker(&["correct-horse", "token=a"]);
    for _ in 0..20_000 {
        let text = (0..=random.next(24)).map(|_| PIECES[random.next(PIECES.len())]).collect::<Vec<_>>().concat();
        let whole = cut(&masker, &[text.as_bytes()]);
        for _ in 0..3 {
            let step = 1 + random.next(9);
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
            assert_eq!(cut(&masker, &chunks), whole, "{text:?} by {step}");
        }
    }
}

#[test]
fn what_has_no_end_is_neither_kept_nor_read_again_and_again() {
    let masker = unnamed();
    let begin = Instant::now();
    for (head, unit) in [
        ("", "@"),
        ("", "?"),
        ("", "&token"),
        ("", "://"),
        ("", ":\\/\\/"),
        ("", "://@"),
        ("", "?token=a&"),
        ("://", "@"),
        ("://", "&"),
        ("://", "a"),
        ("://u:", "p"),
        ("://u:p@", "@h"),
        ("?token=", "a"),
        ("?", "a"),
    ] {
        for (size, step) in [(1 << 20, 16 * 1024), (1 << 16, 1)] {
            let text = head.to_owned() + &unit.repeat(size / unit.len());
            let mut stream = masker.stream();
            let mut out = MaskedBytes::default();
            for chunk in text.as_bytes().chunks(step) {
                out.append(&stream.push(chunk));
            }
            let kept = stream.finish();
            assert!(kept.len() <= 17 * 1024, "{head}{unit}… in {step}: {} bytes were kept", kept.len());
            out.append(&kept);
            assert!(out.to_text() == cut(&masker, &[text.as_bytes()]), "{head}{unit}… in {step}");
        }
    }
    // Some 30 MiB in all; a search that began anew at each byte would take hours.
    assert!(begin.elapsed() < Duration::from_mins(2), "{:?}", begin.elapsed());
}

#[test]
fn a_value_without_end_is_hidden_as_it_comes() {
    let text = format!("?token={} x\n", "a".repeat(1 << 20));
    let chunks: Vec<&[u8]> = text.as_bytes().chunks(16 * 1024).collect();
    assert_eq!(cut(&unnamed(), &chunks), "?token=*** x\n");
}

#[test]
fn a_user_and_a_password_of_up_to_16_kib_are_hidden() {
    let masker = unnamed();
    let text = format!("https://u:{}@h/", "p".repeat(16 * 1024 - 4));
    let chunks: Vec<&[u8]> = text.as_bytes().chunks(1000).collect();
    assert_eq!(cut(&masker, &chunks), "https://u:***@h/");
    assert_eq!(masker.text(&text), "https://u:***@h/");
}
