//! One tar header of 512 bytes, and the records of an extended one. Pure: bytes in, fields or a refusal out.

use super::ArchiveError;

pub(super) const BLOCK: usize = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    HardLink,
    Fifo,
    Device,
    /// The next entry's name, GNU's way.
    LongName,
    /// The next entry's link target, GNU's way.
    LongTarget,
    /// Records for the next entry.
    Extended,
    /// Records for all entries.
    Global,
}

/// The fields that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) mtime_ns: i128,
}

/// Reads a header; `None` for the block of zeros that ends an archive.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Option<Header>, ArchiveError> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let sum: u64 =
        block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u64::from(*b) }).sum();
    if number(&block[148..156])? != i128::from(sum) {
        return Err(ArchiveError::Damaged("a header's sum is wrong"));
    }
    let kind = match block[156] {
        b'0' | 0 | b'7' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Link,
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Folder,
        b'6' => Kind::Fifo,
        b'L' => Kind::LongName,
        b'K' => Kind::LongTarget,
        b'x' => Kind::Extended,
        b'g' => Kind::Global,
        _ => return Err(ArchiveError::Damaged("an entry is of a kind that nobody knows")),
    };
    let mut name = text(&block[..100]);
    // GNU's own magic has other fields in this place.
    if &block[257..263] == b"ustar\0" {
        let prefix = text(&block[345..500]);
        if !prefix.is_empty() {
            name = [&prefix[..], b"/", &name].concat();
        }
    }
    let unsigned =
        |field: &[u8]| u64::try_from(number(field)?).map_err(|_| ArchiveError::Damaged("a number is negative"));
    Ok(Some(Header {
        kind,
        name,
        target: text(&block[157..257]),
        mode: u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or_default(),
        size: unsigned(&block[124..136])?,
        mtime_ns: number(&block[136..148])?.saturating_mul(1_000_000_000),
    }))
}

/// Up to the first NUL.
fn text(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// Octal digits, or, with the highest bit set, two's complement.
fn number(field: &[u8]) -> Result<i128, ArchiveError> {
    let damaged = || ArchiveError::Damaged("a number is none");
    let (first, rest) = field.split_first().ok_or_else(damaged)?;
    if first & 0x80 != 0 {
        let start = if first & 0x40 != 0 { i128::from(*first) - 0x100 } else { i128::from(first & 0x7f) };
        return Ok(rest.iter().fold(start, |value, byte| (value << 8) | i128::from(*byte)));
    }
    let digits = field.trim_ascii_start();
    let digits = digits.split(|byte| *byte == 0 || *byte == b' ').next().unwrap_or_default();
    digits.iter().try_fold(0_i128, |value, digit| match digit {
        b'0'..=b'7' => Ok((value << 3) | i128::from(digit - b'0')),
        _ => Err(damaged()),
    })
}

/// Overwrites the fields that `LENGTH KEY=VALUE\n` records name.
pub(super) fn extend(header: &mut Header, mut records: &[u8]) -> Result<(), ArchiveError> {
    let damaged = || ArchiveError::Damaged("an extended header's record is none");
    while !records.is_empty() {
        let blank = records.iter().position(|byte| *byte == b' ').ok_or_else(damaged)?;
        let length: usize =
            std::str::from_utf8(&records[..blank]).ok().and_then(|digits| digits.parse().ok()).ok_or_else(damaged)?;
        let record = records.get(blank + 1..length).and_then(|text| text.strip_suffix(b"\n")).ok_or_else(damaged)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(damaged)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        let digits = || std::str::from_utf8(value).map_err(|_| damaged());
        match key {
            b"path" => header.name = value.to_vec(),
            b"linkpath" => header.target = value.to_vec(),
            b"size" => header.size = digits()?.parse().map_err(|_| damaged())?,
            b"mtime" => header.mtime_ns = decimal(digits()?).ok_or_else(damaged)?,
            _ => {}
        }
        records = &records[length..];
    }
    Ok(())
}

/// Seconds with a fraction, in nanoseconds.
fn decimal(text: &str) -> Option<i128> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = seconds.parse().ok()?;
    if fraction.len() > 64 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let nanos: i128 = format!("{fraction:0<9}")[..9].parse().ok()?;
    let sign = if seconds.starts_with('-') { -1 } else { 1 };
    Some(i128::from(whole) * 1_000_000_000 + sign * nanos)
}
