//! Folders as tar streams: packed for an engine that does not see our files, and unpacked, as hostile, from it.
//!
//! Everything is read and written below an open folder, one `openat` a path part, never through a link (`rooted`).
//! Trees are removed whatever their modes are.
//! This room does not know what is in the folders, nor who sends the streams.
//!
//! # What unpacking refuses
//! A path that is absolute, has `..` in it, comes twice, lies below something that is no folder, is too long or too
//! deep; a hard link to something that did not come before; a header with a wrong sum, more than 1 MiB of extended
//! headers; more entries or bytes than the bounds; a stream that breaks off. The whole stream is refused then.
//! Devices are left out and named. Owners, setuid bits and extended attributes are not taken over.

mod error;
mod header;
mod pack;
mod pipe;
mod remove;
pub(crate) mod rooted;
mod stream;
#[cfg(test)]
mod tests;
mod unpack;

pub use error::ArchiveError;
pub use pack::{Load, pack, pack_files};
pub use pipe::{Chunks, reader, writer};
pub(crate) use remove::remove;
pub use unpack::{Bounds, Rules, Unpacked, mirror};
