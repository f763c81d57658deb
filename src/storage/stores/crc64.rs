//! The CRC-64 that Azure computes of each block that it is sent, and tells without being asked.

use base64::Engine as _;
use crc_fast::{CrcAlgorithm, Digest};
use opendal::Buffer;

/// Of some bytes, as Azure writes it in a header: its polynomial is that of NVMe, its lowest byte comes first.
pub(super) fn crc64(bytes: &Buffer) -> String {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    bytes.clone().for_each(|piece| digest.update(&piece));
    base64::engine::general_purpose::STANDARD.encode(digest.finalize().to_le_bytes())
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
