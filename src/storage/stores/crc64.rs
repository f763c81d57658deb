//! The CRC-64 that Azure computes of each block that it is sent, and tells without being asked.

use base64::Engine as _;
use opendal::Buffer;

/// Its polynomial, lowest power first; NVMe has the same.
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;
/// What one byte comes to that is followed by so many others.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0_u64; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[behind - 1][byte];
            tables[behind][byte] = (before >> 8) ^ tables[0][before.to_le_bytes()[0] as usize];
            byte += 1;
        }
        behind += 1;
    }
    tables
}

/// Of some bytes, as Azure writes it in a header.
pub(super) fn crc64(bytes: &Buffer) -> String {
    let crc = !bytes.clone().fold(u64::MAX, |crc, piece| update(crc, &piece));
    base64::engine::general_purpose::STANDARD.encode(crc.to_le_bytes())
}

fn update(mut crc: u64, bytes: &[u8]) -> u64 {
    let mut eights = bytes.chunks_exact(8);
    for eight in &mut eights {
        let mut mixed = crc.to_le_bytes();
        for (mine, byte) in mixed.iter_mut().zip(eight) {
            *mine ^= byte;
        }
        crc = mixed.iter().zip(TABLES.iter().rev()).fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)]);
    }
    for byte in eights.remainder() {
        crc = (crc >> 8) ^ TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_of_azure_however_its_bytes_lie() {
        // The check value of the CRC catalogue is 0xae8b14860a799888.
        assert_eq!(crc64(&Buffer::from("123456789")), "iJh5CoYUi64=");
        assert_eq!(crc64(&Buffer::new()), "AAAAAAAAAAA=");
        let mut bytes: Vec<u8> = (0..=255).cycle().take(768).collect();
        bytes.extend_from_slice(b"tail");
        let pieces: Vec<bytes::Bytes> = bytes.chunks(61).map(bytes::Bytes::copy_from_slice).collect();
        for whole in [Buffer::from(bytes), Buffer::from(pieces)] {
            assert_eq!(crc64(&whole), "H3Tkge3YQgE=");
        }
    }
}
