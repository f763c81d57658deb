//! Git's pkt-line framing: four hexadecimal digits of length, then bytes. Pure; takes any bytes.

use thiserror::Error;

/// What one packet may hold at most, its length included.
const LONGEST: usize = 65_520;

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
    /// `0002`: the end of a response.
    End,
    /// Bytes, without a line end.
    Line(&'a [u8]),
}

/// Bytes that are no packets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FramingError {
    /// The length is no number, or one that no packet has.
    #[error("a packet's length is not understood")]
    Length,
    /// The last packet is longer than what is there.
    #[error("the last packet is cut off")]
    Cut,
}

/// The packets of a message, one after the other.
#[derive(Debug, Clone)]
pub struct Packets<'a>(&'a [u8]);

impl<'a> Packets<'a> {
    /// Reads these bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, FramingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let packet = split(self.0);
        // What follows something that is not understood is not understood either.
        self.0 = packet.as_ref().map_or(&[][..], |(_, rest)| *rest);
        Some(packet.map(|(packet, _)| packet))
    }
}

fn split(bytes: &[u8]) -> Result<(Packet<'_>, &[u8]), FramingError> {
    let (head, rest) = bytes.split_at_checked(4).ok_or(FramingError::Cut)?;
    // `from_str_radix` takes a sign; a length has none.
    if !head.iter().all(u8::is_ascii_hexdigit) {
        return Err(FramingError::Length);
    }
    let text = std::str::from_utf8(head).map_err(|_| FramingError::Length)?;
    let length = usize::from_str_radix(text, 16).map_err(|_| FramingError::Length)?;
    match length {
        0 => Ok((Packet::Flush, rest)),
        1 => Ok((Packet::Delimiter, rest)),
        2 => Ok((Packet::End, rest)),
        4..=LONGEST => {
            let (line, rest) = rest.split_at_checked(length - 4).ok_or(FramingError::Cut)?;
            Ok((Packet::Line(line.strip_suffix(b"\n").unwrap_or(line)), rest))
        }
        _ => Err(FramingError::Length),
    }
}

/// Adds a line, with its end, to a message. A line that no packet can hold is cut: names of refs are far shorter.
pub fn put(message: &mut Vec<u8>, line: &str) {
    let line = &line.as_bytes()[..line.len().min(LONGEST - 5)];
    message.extend_from_slice(format!("{:04x}", line.len() + 5).as_bytes());
    message.extend_from_slice(line);
    message.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_read_as_git_writes_them() {
        let all: Vec<_> = Packets::of(b"0006a\n0005b0004000100000002").map(Result::unwrap).collect();
        let lines = [Packet::Line(b"a"), Packet::Line(b"b"), Packet::Line(b"")];
        assert_eq!(all[..3], lines);
        assert_eq!(all[3..], [Packet::Delimiter, Packet::Flush, Packet::End]);
    }

    #[test]
    fn what_is_no_packet_ends_the_reading_with_one_error() {
        for (bytes, error) in [
            (&b"00"[..], FramingError::Cut),
            (b"0009abc", FramingError::Cut),
            (b"zzzz", FramingError::Length),
            (b"+005a", FramingError::Length),
            (b"0003", FramingError::Length),
            (b"fffff", FramingError::Length),
            (b"<htm", FramingError::Length),
        ] {
            assert_eq!(Packets::of(bytes).collect::<Vec<_>>(), [Err(error)], "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn lines_come_back_as_they_were_put(lines in proptest::collection::vec("[ -~]{0,300}", 0..20)) {
            let mut message = Vec::new();
            for line in &lines {
                put(&mut message, line);
            }
            let read: Vec<_> = Packets::of(&message).map(Result::unwrap).collect();
            prop_assert_eq!(read, lines.iter().map(|line| Packet::Line(line.as_bytes())).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_packets_or_an_error_and_reading_ends(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Packets::of(&bytes).count() <= bytes.len());
        }
    }
}
