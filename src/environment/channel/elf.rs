//! Points a binary's library search path at the prefix that it lies in, in place.
//!
//! Only 64-bit little-endian ELF is understood, and nothing is moved: the new path must fit into the old one's bytes.
//! `DT_RUNPATH` becomes `DT_RPATH`, which also holds for libraries that are loaded by libraries.

const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;

/// What [`set_search_path`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Not an ELF file that is linked dynamically; nothing was changed.
    NotElf,
    /// It has no search path of its own; nothing was changed.
    NoPath,
    /// The path was replaced.
    Replaced,
    /// The old path is shorter than the new one; nothing was changed.
    TooShort,
}

/// Whether these bytes start like an ELF file.
pub(super) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF\x02\x01")
}

/// Replaces the search path of the binary in `bytes` by `path`.
pub(super) fn set_search_path(bytes: &mut [u8], path: &str) -> Outcome {
    if !is_elf(bytes) {
        return Outcome::NotElf;
    }
    let (tag_at, text_at) = match locate(bytes) {
        Some(Place::At { tag, text }) => (tag, text),
        Some(Place::Nowhere) => return Outcome::NoPath,
        None => return Outcome::NotElf,
    };
    let Some(room) = bytes.get(text_at..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else {
        return Outcome::NotElf;
    };
    if room < path.len() {
        return Outcome::TooShort;
    }
    bytes[text_at..text_at + room].fill(0);
    bytes[text_at..text_at + path.len()].copy_from_slice(path.as_bytes());
    bytes[tag_at..tag_at + 8].copy_from_slice(&DT_RPATH.to_le_bytes());
    Outcome::Replaced
}

/// Where a file has its search path.
enum Place {
    /// Offsets of its tag and of its text.
    At { tag: usize, text: usize },
    /// It has none.
    Nowhere,
}

/// Finds the search path; `None` stands for a file that is not well formed.
fn locate(bytes: &[u8]) -> Option<Place> {
    let headers = Header::read_all(bytes)?;
    let Some(dynamic) = headers.iter().find(|header| header.kind == PT_DYNAMIC) else { return Some(Place::Nowhere) };
    let (mut path, mut strings) = (None, None);
    for at in (dynamic.offset..dynamic.offset.checked_add(dynamic.size)?).step_by(16) {
        let (tag, value) = (u64_at(bytes, at)?, u64_at(bytes, at + 8)?);
        match tag {
            0 => break,
            DT_STRTAB => strings = Some(value),
            DT_RPATH | DT_RUNPATH => path = Some((at, value)),
            _ => {}
        }
    }
    let Some((tag_at, offset)) = path else { return Some(Place::Nowhere) };
    // The table is given by its address in memory; the load segment that covers it tells where it is in the file.
    let address = strings?;
    let load = headers.iter().find(|header| {
        header.kind == PT_LOAD
            && header.address <= address
            && address < header.address.saturating_add(header.size as u64)
    })?;
    let table = load.offset.checked_add(usize::try_from(address - load.address).ok()?)?;
    Some(Place::At { tag: tag_at, text: table.checked_add(usize::try_from(offset).ok()?)? })
}

/// The parts of a program header that are of use here.
struct Header {
    kind: u32,
    offset: usize,
    address: u64,
    size: usize,
}

impl Header {
    fn read_all(bytes: &[u8]) -> Option<Vec<Self>> {
        let start = usize::try_from(u64_at(bytes, 32)?).ok()?;
        let (each, count) = (usize::from(u16_at(bytes, 54)?), usize::from(u16_at(bytes, 56)?));
        (0..count)
            .map(|index| {
                let at = start.checked_add(index.checked_mul(each)?)?;
                Some(Self {
                    kind: u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?),
                    offset: usize::try_from(u64_at(bytes, at + 8)?).ok()?,
                    address: u64_at(bytes, at + 16)?,
                    size: usize::try_from(u64_at(bytes, at + 32)?).ok()?,
                })
            })
            .collect()
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest file with one load segment, one dynamic section and one string table.
    fn binary(tag: u64, path: &str) -> Vec<u8> {
        let mut bytes = vec![0; 0x200];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&2u16.to_le_bytes());
        for (index, (kind, offset, address, size)) in
            [(PT_LOAD, 0u64, 0x4000u64, 0x200u64), (PT_DYNAMIC, 0x100, 0x4100, 0x30)].into_iter().enumerate()
        {
            let at = 64 + index * 56;
            bytes[at..at + 4].copy_from_slice(&kind.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&offset.to_le_bytes());
            bytes[at + 16..at + 24].copy_from_slice(&address.to_le_bytes());
            bytes[at + 32..at + 40].copy_from_slice(&size.to_le_bytes());
        }
        for (index, (tag, value)) in [(tag, 1u64), (DT_STRTAB, 0x4180)].into_iter().enumerate() {
            let at = 0x100 + index * 16;
            bytes[at..at + 8].copy_from_slice(&tag.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&value.to_le_bytes());
        }
        bytes[0x181..0x181 + path.len()].copy_from_slice(path.as_bytes());
        bytes
    }

    #[test]
    fn replaces_a_longer_path_and_clears_the_rest_of_it() {
        let mut bytes = binary(DT_RUNPATH, "/opt/python/3.11/lib");
        assert_eq!(set_search_path(&mut bytes, "$ORIGIN/../lib"), Outcome::Replaced);
        assert_eq!(&bytes[0x181..0x181 + 21], b"$ORIGIN/../lib\0\0\0\0\0\0\0");
        assert_eq!(u64_at(&bytes, 0x100), Some(DT_RPATH));
    }

    #[test]
    fn leaves_a_binary_alone_whose_path_is_too_short_or_absent() {
        let mut short = binary(DT_RUNPATH, "/lib");
        let before = short.clone();
        assert_eq!(set_search_path(&mut short, "$ORIGIN/../lib"), Outcome::TooShort);
        assert_eq!(short, before);
        assert_eq!(set_search_path(&mut binary(1, "libc.so.6"), "$ORIGIN"), Outcome::NoPath);
    }

    #[test]
    fn survives_files_that_are_cut_off_anywhere() {
        let whole = binary(DT_RUNPATH, "/opt/python/3.11/lib");
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            let _ = set_search_path(&mut cut, "$ORIGIN");
        }
        assert_eq!(set_search_path(&mut b"#!/bin/sh\n".to_vec(), "$ORIGIN"), Outcome::NotElf);
    }
}
