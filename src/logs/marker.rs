//! Splits the script's step markers from its output.
//!
//! A marker carries a nonce that the pipeline never sees; anything else that looks like one stays text. Only markers
//! are held until they are whole: text leaves at once.

use memchr::memchr;

/// Begins and ends a marker.
const EDGE: u8 = 0x1e;
/// No step name is so long that a marker could be longer.
const LONGEST: usize = 4096;

/// What the script says about its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    /// A step begins.
    Started {
        /// `activate`, `install`, `build`.
        name: String,
    },
    /// A step ended.
    Ended {
        /// Its name.
        name: String,
        /// Its exit code.
        code: i32,
        /// How long it took.
        millis: u64,
    },
}

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Output.
    Text(&'a [u8]),
    /// A marker.
    Marker(Marker),
}

/// The markers of one stream.
#[derive(Debug)]
pub struct Splitter {
    /// What every marker begins with.
    head: Vec<u8>,
    /// A marker that is not whole yet.
    held: Vec<u8>,
}

impl Splitter {
    /// Knows the nonce that the script was given.
    pub fn new(nonce: &str) -> Self {
        Self { head: [&[EDGE], nonce.as_bytes(), b" "].concat(), held: Vec::new() }
    }

    /// Takes the next bytes and hands on their pieces, in order: text between two markers as one, whatever is in it.
    pub fn push(&mut self, bytes: &[u8], mut piece: impl FnMut(Piece<'_>)) {
        // How much of what is held came before these bytes, and where the text begins that was not handed on yet.
        let (mut earlier, mut text) = (self.held.len(), 0);
        let mut at = 0;
        while at < bytes.len() {
            if self.held.is_empty() {
                let Some(edge) = memchr(EDGE, &bytes[at..]) else { break };
                at += edge;
            }
            let byte = bytes[at];
            if !self.fits(byte) {
                self.give_up(earlier, &mut piece);
                earlier = 0;
                // What was held is text; an edge may begin a marker itself, so it is looked at again.
                at += usize::from(byte != EDGE);
                continue;
            }
            self.held.push(byte);
            at += 1;
            if byte != b'\n' {
                continue;
            }
            if let Some(marker) = self.whole() {
                hand_on(&bytes[text..at - (self.held.len() - earlier)], &mut piece);
                piece(Piece::Marker(marker));
                self.held.clear();
                text = at;
            } else {
                self.give_up(earlier, &mut piece);
            }
            earlier = 0;
        }
        hand_on(&bytes[text..bytes.len() - (self.held.len() - earlier)], &mut piece);
    }

    /// The end of the stream: half a marker is text.
    pub fn finish(mut self, mut piece: impl FnMut(Piece<'_>)) {
        self.give_up(self.held.len(), &mut piece);
    }

    /// Whether a marker may go on with this byte.
    fn fits(&self, byte: u8) -> bool {
        match self.head.get(self.held.len()) {
            Some(expected) => *expected == byte,
            None => self.fits_body(byte),
        }
    }

    /// Behind the head: a name without control characters, the edge, a newline.
    fn fits_body(&self, byte: u8) -> bool {
        let closed = self.held.len() > self.head.len() && self.held.last() == Some(&EDGE);
        match byte {
            b'\n' => closed,
            EDGE => !closed,
            _ => !closed && byte >= 0x20 && self.held.len() < LONGEST,
        }
    }

    /// The marker that is held, its newline last.
    fn whole(&self) -> Option<Marker> {
        let body = self.held.get(self.head.len()..self.held.len() - 2)?;
        std::str::from_utf8(body).ok().and_then(parse)
    }

    /// It was no marker: what came earlier is handed on, the rest goes with the text that it stands in.
    fn give_up(&mut self, earlier: usize, piece: &mut impl FnMut(Piece<'_>)) {
        hand_on(&self.held[..earlier], piece);
        self.held.clear();
    }
}

fn hand_on(text: &[u8], piece: &mut impl FnMut(Piece<'_>)) {
    if !text.is_empty() {
        piece(Piece::Text(text));
    }
}

fn parse(body: &str) -> Option<Marker> {
    if let Some(name) = body.strip_prefix("start ") {
        return (!name.is_empty()).then(|| Marker::Started { name: name.to_owned() });
    }
    let mut parts = body.strip_prefix("end ")?.rsplitn(3, ' ');
    let millis = parts.next()?.parse().ok()?;
    let code = parts.next()?.parse().ok()?;
    let name = parts.next().filter(|name| !name.is_empty())?;
    Some(Marker::Ended { name: name.to_owned(), code, millis })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn split(chunks: &[&[u8]]) -> (Vec<u8>, Vec<Marker>) {
        let (mut text, mut markers) = (Vec::new(), Vec::new());
        let mut splitter = Splitter::new(NONCE);
        let mut take = |piece: Piece<'_>| match piece {
            Piece::Text(bytes) => text.extend_from_slice(bytes),
            Piece::Marker(marker) => markers.push(marker),
        };
        for chunk in chunks {
            splitter.push(chunk, &mut take);
        }
        splitter.finish(&mut take);
        (text, markers)
    }

    #[test]
    fn markers_are_found_wherever_the_stream_is_cut() {
        let whole = format!("a\n\x1e{NONCE} start build\x1e\nb\x1e\x1e{NONCE} end build -1 1234\x1e\nc\x1e{NONCE} st");
        let ended = Marker::Ended { name: "build".to_owned(), code: -1, millis: 1234 };
        let expected = (
            format!("a\nb\x1ec\x1e{NONCE} st").into_bytes(),
            vec![Marker::Started { name: "build".to_owned() }, ended],
        );
        for cut in 0..whole.len() {
            assert_eq!(split(&[&whole.as_bytes()[..cut], &whole.as_bytes()[cut..]]), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = whole.as_bytes().chunks(1).collect();
        assert_eq!(split(&bytes), expected);
    }

    #[test]
    fn forged_and_broken_markers_stay_text_with_their_bytes() {
        for text in [
            "\x1e00000000000000000000000000000000 start build\x1e\n".to_owned(),
            format!("\x1e{NONCE} start \x1e\n"),
            format!("\x1e{NONCE} end build x 3\x1e\n"),
            format!("\x1e{NONCE} stop build\x1e\n"),
            format!("\x1e{NONCE} start a\nb\x1e\n"),
            format!("\x1e{NONCE} start build\x1ex\n"),
            "\x1e\x1e\x1e\n".to_owned(),
            format!("\x1e{NONCE} start {}\x1e\n", "x".repeat(LONGEST)),
        ] {
            assert_eq!(split(&[text.as_bytes()]), (text.clone().into_bytes(), vec![]), "{text:?}");
        }
    }

    #[test]
    fn text_is_handed_on_in_one_piece_whatever_is_in_it() {
        let count = |chunks: &[&[u8]]| {
            let (mut pieces, mut length) = (0, 0);
            let mut splitter = Splitter::new(NONCE);
            let mut take = |piece: Piece<'_>| {
                pieces += 1;
                if let Piece::Text(text) = piece {
                    length += text.len();
                }
            };
            for chunk in chunks {
                splitter.push(chunk, &mut take);
            }
            splitter.finish(&mut take);
            (pieces, length)
        };
        let edges = [EDGE; 10_000];
        // The last one might have begun a marker: what comes of it is known with the next bytes.
        assert_eq!(count(&[&edges]), (2, 10_000));
        assert_eq!(count(&[&edges, &edges, b"\n"]), (5, 20_001));
        let near = [&[EDGE][..], NONCE.as_bytes(), b" stop\x1e\n"].concat().repeat(100);
        assert_eq!(count(&[&near]), (1, near.len()));
        let marked = format!("a\x1eb\x1e{NONCE} start build\x1e\n\x1e\x1ec");
        assert_eq!(count(&[marked.as_bytes()]), (3, 6));
    }

    #[test]
    fn text_before_a_possible_marker_is_not_held_back() {
        let mut seen = Vec::new();
        let mut splitter = Splitter::new(NONCE);
        splitter.push(b"50%\x1e0123", |piece| {
            if let Piece::Text(text) = piece {
                seen.extend_from_slice(text);
            }
        });
        assert_eq!(seen, b"50%");
    }
}
