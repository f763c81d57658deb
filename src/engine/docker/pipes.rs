//! The short way of a container's output: two named pipes of ours that it is shown, in place of the engine's streams.
//!
//! An engine hands each byte on three times before it is here, and takes more processor time for it than all that we do
//! with it; a pipe is one copy in the kernel. That needs an engine that sees our files, on this very kernel, which
//! nobody has to believe: each pipe holds a greeting that `boot.sh` must find in it. Where it does not (a virtual
//! machine, a sandbox with a kernel of its own, a policy that forbids it), the output comes as ever, and what is here is
//! never read.

use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use tempfile::TempDir;
use tokio::net::unix::pipe::{OpenOptions, Receiver};

use crate::engine::{GuestPath, HostPath, Mount, OutputSink, Stream};

/// Where the container finds them; `boot.sh` knows.
const GUEST: &str = "/soopervisor/pipes";
/// Their names there, in the order of [`STREAMS`].
const NAMES: [&str; 2] = ["out", "err"];
const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];
/// What a pipe may hold, where the kernel allows it; the most that it gives to everybody.
const CAPACITY: usize = 1 << 20;
/// How much is taken at a time: so much stays in a processor's cache until it is masked.
const PIECE: usize = 256 << 10;

/// Both pipes of one container, gone when this is dropped.
pub(super) struct Pipes {
    ends: [Receiver; 2],
    /// Tells which was written to, in that order, which their own readiness does not.
    order: OwnedFd,
    /// Whether there was more in them than was taken.
    more: [bool; 2],
    piece: Vec<u8>,
    /// Always there, until this is dropped.
    folder: Option<TempDir>,
}

impl Pipes {
    /// Makes them in a folder of their own below `place`.
    ///
    /// # Errors
    /// Where the file system has no named pipes, or refuses them.
    pub(super) fn make(place: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(place)?;
        let folder = TempDir::new_in(place)?;
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let order = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let open = |number: usize| {
            let path = folder.path().join(NAMES[number]);
            rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR)?;
            // For whatever user the container has; nobody else gets to the folder.
            std::fs::set_permissions(&path, Permissions::from_mode(0o666))?;
            // For writing too, so that there is no end of it while nobody writes.
            let end = OpenOptions::new().read_write(true).open_receiver(&path)?;
            // More than it begins with is a favour.
            let _ = rustix::pipe::fcntl_setpipe_size(&end, CAPACITY);
            epoll::add(
                &order,
                &end,
                epoll::EventData::new_u64(number as u64),
                epoll::EventFlags::IN | epoll::EventFlags::ET,
            )?;
            io::Result::Ok(end)
        };
        let ends = [open(0)?, open(1)?];
        Ok(Self { ends, order, more: [false; 2], piece: vec![0; PIECE], folder: Some(folder) })
    }

    /// The folder, as the container is shown it: read-only, which says nothing about pipes in it.
    pub(super) fn mount(&self) -> Option<Mount> {
        let host = HostPath(self.folder.as_ref()?.path().to_owned());
        Some(Mount { host, guest: GuestPath(GUEST.to_owned()), writable: false })
    }

    /// Leaves the word in both.
    ///
    /// # Errors
    /// Where somebody has filled them.
    pub(super) fn greet(&self, word: &str) -> io::Result<()> {
        // Far below what a pipe takes at once, whole or not at all.
        let greeting = format!("{word}\n");
        self.ends.iter().try_for_each(|end| rustix::io::write(end, greeting.as_bytes()).map(drop).map_err(Into::into))
    }

    /// Waits for the next piece. Nothing is lost where that is given up.
    pub(super) async fn next(&mut self) -> io::Result<(Stream, &[u8])> {
        let (stream, count) = loop {
            if let Some(taken) = self.take()? {
                break taken;
            }
            // That they are empty is known to them once they were read in vain.
            let [out, err] = &self.ends;
            if let Ok(count) = out.try_read(&mut self.piece) {
                break (Stream::Stdout, count);
            }
            if let Ok(count) = err.try_read(&mut self.piece) {
                break (Stream::Stderr, count);
            }
            tokio::select! {
                ready = out.readable() => ready?,
                ready = err.readable() => ready?,
            }
        };
        Ok((stream, &self.piece[..count]))
    }

    /// Delivers what still lies in them once nobody writes any more. Whoever writes nevertheless is not waited for.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) async fn rest(&mut self, sink: &mut dyn OutputSink) -> io::Result<()> {
        // The container may have made them larger.
        let mut left: usize =
            self.ends.iter().map(|end| rustix::pipe::fcntl_getpipe_size(end).unwrap_or(CAPACITY)).sum();
        while left > 0 {
            let Some((stream, count)) = self.take()? else { break };
            sink.output(stream, &self.piece[..count]).await;
            left = left.saturating_sub(count);
        }
        Ok(())
    }

    /// The next piece, if there is one.
    fn take(&mut self) -> io::Result<Option<(Stream, usize)>> {
        while let Some(number) = self.written_to()? {
            match rustix::io::read(&self.ends[number], &mut self.piece[..]) {
                Ok(count) => {
                    self.more[number] = count == self.piece.len();
                    return Ok(Some((STREAMS[number], count)));
                }
                // It came with what was taken before, or the container has read it.
                Err(Errno::AGAIN) => self.more[number] = false,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The one to read: which was written to first since it was last told, so that none waits for ever behind the other.
    fn written_to(&self) -> io::Result<Option<usize>> {
        let mut events = Vec::with_capacity(1);
        epoll::wait(&self.order, spare_capacity(&mut events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        let told = events.first().map(|event: &epoll::Event| usize::from({ event.data }.u64() == 1));
        Ok(told.or_else(|| self.more.iter().position(|more| *more)))
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        let place = folder.path().parent().map(Path::to_owned);
        drop(folder);
        // The place, too, unless another container's lie there.
        let _ = place.map(std::fs::remove_dir);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;
    use crate::engine::frame;

    fn writer(pipes: &Pipes, number: usize) -> File {
        File::options().write(true).open(pipes.folder.as_ref().unwrap().path().join(NAMES[number])).unwrap()
    }

    #[tokio::test]
    async fn pieces_come_in_the_order_in_which_they_were_written() {
        let place = tempfile::tempdir().unwrap();
        let mut pipes = Pipes::make(&place.path().join("pipes")).unwrap();
        let (mut out, mut err) = (writer(&pipes, 0), writer(&pipes, 1));
        for round in 0..20 {
            let first = round % 2;
            let mut both = [(&mut out, Stream::Stdout), (&mut err, Stream::Stderr)];
            both.rotate_left(first);
            for (file, _) in &mut both {
                file.write_all(b"x").unwrap();
            }
            for (_, expected) in both {
                let (stream, bytes) = pipes.next().await.unwrap();
                assert_eq!((stream, bytes), (expected, &b"x"[..]), "round {round}");
            }
        }
    }

    #[tokio::test]
    async fn more_than_a_piece_comes_whole_and_none_waits_behind_the_other_for_ever() {
        let place = tempfile::tempdir().unwrap();
        let mut pipes = Pipes::make(place.path()).unwrap();
        let (mut out, mut err) = (writer(&pipes, 0), writer(&pipes, 1));
        let flood = vec![b'o'; PIECE];
        let flood = tokio::task::spawn_blocking(move || (0..64).for_each(|_| out.write_all(&flood).unwrap()));
        let (mut counts, mut seen) = ([0, 0], Vec::new());
        while counts != [64 * PIECE, 3] {
            if counts[0] > 8 * PIECE && seen.len() < 3 {
                err.write_all(b"e").unwrap();
                seen.push(counts[0]);
            }
            let (stream, bytes) = pipes.next().await.unwrap();
            counts[usize::from(stream == Stream::Stderr)] += bytes.len();
            assert!(counts[0] < 32 * PIECE || counts[1] == 3, "stderr waits behind stdout: {counts:?}");
        }
        flood.await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_nobody_who_writes_ends_them() {
        let place = tempfile::tempdir().unwrap();
        let mut pipes = Pipes::make(place.path()).unwrap();
        for round in 0..3 {
            let mut err = writer(&pipes, 1);
            let late = tokio::task::spawn_blocking(move || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                err.write_all(b"late").unwrap();
            });
            assert_eq!(pipes.next().await.unwrap(), (Stream::Stderr, &b"late"[..]), "round {round}");
            late.await.unwrap();
        }
    }

    #[tokio::test]
    async fn they_are_open_to_every_user_and_go_with_whoever_reads_them() {
        let place = tempfile::tempdir().unwrap();
        let pipes = Pipes::make(place.path()).unwrap();
        let folder = pipes.folder.as_ref().unwrap().path().to_owned();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&folder), mode(&folder.join("out")), mode(&folder.join("err"))), (0o755, 0o666, 0o666));
        drop(pipes);
        assert!(!folder.exists() && !place.path().exists());
    }

    #[test]
    fn the_container_looks_for_them_where_they_are() {
        for name in NAMES {
            assert!(frame::BOOT.contains(&format!("{GUEST}/{name}")), "{name}");
        }
    }
}
