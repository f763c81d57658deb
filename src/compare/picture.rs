//! What kind of picture a file is, how large it is drawn, and whether two of them show the same.
//!
//! Only headers are read; nothing is decoded.

use std::sync::Arc;

use serde::Serialize;

use crate::id::RelPath;

/// A kind of picture that browsers draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureKind {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// SVG.
    Svg,
    /// GIF.
    Gif,
    /// WebP.
    Webp,
}

impl PictureKind {
    /// By the end of its name.
    pub fn of(path: &RelPath) -> Option<Self> {
        match super::ending(path).as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "svg" => Some(Self::Svg),
            "gif" => Some(Self::Gif),
            "webp" => Some(Self::Webp),
            _ => None,
        }
    }

    /// As pages name it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Svg => "image/svg+xml",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }
}

/// A picture, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pictures {
    /// Its kind, by its name.
    pub kind: PictureKind,
    /// Before.
    pub before: Option<Picture>,
    /// After.
    pub after: Option<Picture>,
    /// Both show the same; what differs is a date or a program's name beside the picture.
    pub same: bool,
}

/// One side of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// Width and height in pixels, where the header says so.
    pub pixels: Option<(u32, u32)>,
    /// The file, where it was fetched.
    #[serde(skip)]
    pub bytes: Option<Arc<[u8]>>,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omitted: Option<String>,
}

impl Picture {
    /// A file that was fetched.
    pub(super) fn fetched(kind: PictureKind, bytes: Vec<u8>) -> Self {
        Self { pixels: pixels(kind, &bytes), bytes: Some(bytes.into()), omitted: None }
    }

    /// One that was not, and why.
    pub(super) fn left(why: String) -> Self {
        Self { pixels: None, bytes: None, omitted: Some(why) }
    }
}

/// Width and height as the header has them.
pub(super) fn pixels(kind: PictureKind, bytes: &[u8]) -> Option<(u32, u32)> {
    let size = match kind {
        PictureKind::Png => {
            let head = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(4..16)?.strip_prefix(b"IHDR")?;
            (u32::from_be_bytes(head[..4].try_into().ok()?), u32::from_be_bytes(head[4..8].try_into().ok()?))
        }
        PictureKind::Gif => {
            let head = bytes.get(..10).filter(|head| head.starts_with(b"GIF8"))?;
            (u16::from_le_bytes([head[6], head[7]]).into(), u16::from_le_bytes([head[8], head[9]]).into())
        }
        PictureKind::Jpeg => jpeg(bytes)?,
        PictureKind::Webp => webp(bytes)?,
        // Its size is what the page gives it.
        PictureKind::Svg => return None,
    };
    (size.0 > 0 && size.1 > 0).then_some(size)
}

/// Segments up to the frame header, which has the size.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, kind, tail @ ..] = rest else { return None };
        match kind {
            0xff => rest = &rest[1..],
            0x01 | 0xd0..=0xd8 => rest = tail,
            0xc0..=0xcf if !matches!(kind, 0xc4 | 0xc8 | 0xcc) => {
                let frame = tail.get(3..7)?;
                return Some((
                    u16::from_be_bytes([frame[2], frame[3]]).into(),
                    u16::from_be_bytes([frame[0], frame[1]]).into(),
                ));
            }
            _ => rest = tail.get(usize::from(u16::from_be_bytes([*tail.first()?, *tail.get(1)?]))..)?,
        }
    }
}

fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    let chunk = bytes.get(..30).filter(|head| head.starts_with(b"RIFF") && &head[8..12] == b"WEBP")?;
    let pair = |at: usize| u32::from(u16::from_le_bytes([chunk[at], chunk[at + 1]]));
    match &chunk[12..16] {
        b"VP8X" => {
            let three = |at: usize| u32::from_le_bytes([chunk[at], chunk[at + 1], chunk[at + 2], 0]) + 1;
            Some((three(24), three(27)))
        }
        b"VP8 " => Some((pair(26) & 0x3fff, pair(28) & 0x3fff)),
        b"VP8L" => {
            let bits = u32::from_le_bytes([chunk[21], chunk[22], chunk[23], chunk[24]]);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => None,
    }
}

/// Whether two PNG files differ only in what is not drawn: texts, times.
pub(super) fn shows_the_same(kind: PictureKind, before: &[u8], after: &[u8]) -> bool {
    kind == PictureKind::Png && drawn(before).is_some_and(|parts| drawn(after) == Some(parts))
}

/// The chunks of a PNG file that have to do with what is seen; `None` where it is none.
fn drawn(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_be_bytes(rest.get(..4)?.try_into().ok()?)).ok()?;
        let chunk = rest.get(4..8_usize.checked_add(length)?)?;
        if !matches!(&chunk[..4], b"tEXt" | b"zTXt" | b"iTXt" | b"tIME") {
            parts.push(chunk);
        }
        // A checksum follows.
        rest = rest.get(length.checked_add(12)?..)?;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length[..], &kind, data, &[0; 4]].concat()
    }

    fn png(text: &str, pixels: u8) -> Vec<u8> {
        let head = [0, 0, 2, 0x80, 0, 0, 1, 0xe0, 8, 2, 0, 0, 0];
        [
            &b"\x89PNG\r\n\x1a\n"[..],
            &chunk(*b"IHDR", &head),
            &chunk(*b"tEXt", text.as_bytes()),
            &chunk(*b"IDAT", &[pixels]),
            &chunk(*b"IEND", b""),
        ]
        .concat()
    }

    #[test]
    fn sizes_stand_in_the_headers() {
        assert_eq!(pixels(PictureKind::Png, &png("", 1)), Some((640, 480)));
        assert_eq!(pixels(PictureKind::Gif, b"GIF89a\x0a\x00\x14\x00rest"), Some((10, 20)));
        let jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc2\x00\x0b\x08\x01\x02\x03\x04\x01";
        assert_eq!(pixels(PictureKind::Jpeg, jpeg), Some((0x304, 0x102)));
        let webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0";
        assert_eq!(pixels(PictureKind::Webp, webp), Some((640, 480)));
    }

    #[test]
    fn broken_headers_have_no_size() {
        for kind in [PictureKind::Png, PictureKind::Jpeg, PictureKind::Gif, PictureKind::Webp, PictureKind::Svg] {
            let whole = png("", 1);
            for cut in 0..whole.len().min(24) {
                assert_eq!(pixels(kind, &whole[..cut]), None);
            }
            assert_eq!(pixels(kind, b"\xff\xd8\xff\xe0\x00\x00\xff\xe0\x00\x00"), None);
            assert_eq!(pixels(kind, b"\xff\xd8\xff\xc0\x00"), None);
        }
    }

    #[test]
    fn pictures_that_differ_in_their_texts_alone_show_the_same() {
        let same = |a: &[u8], b: &[u8]| shows_the_same(PictureKind::Png, a, b);
        assert!(same(&png("Matplotlib 3.8", 1), &png("Matplotlib 3.9", 1)));
        assert!(!same(&png("", 1), &png("", 2)));
        assert!(!same(b"no png", b"no png"));
    }
}
