//! Pipeline output as whole, harmless lines, progress bars reduced to a few of their states.

use jiff::{SignedDuration, Timestamp};

use super::Cleaner;
use super::bars::{Bars, is_bar};
use super::lines::{End, Lines};

/// How often a bar that goes on is shown where nothing can be overwritten.
pub(super) const BAR_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// What the pipeline writes, on its way to a reader.
pub(super) struct OutputLines {
    lines: Lines,
    cleaner: Cleaner,
    bars: Bars,
    color: bool,
}

impl OutputLines {
    /// Shows a bar that goes on at most once in `every`.
    pub(super) fn new(color: bool, every: SignedDuration) -> Self {
        Self { lines: Lines::default(), cleaner: Cleaner::new(color), bars: Bars::new(every), color }
    }

    /// Gives every line that is to be shown at `now`.
    pub(super) fn push(&mut self, bytes: &[u8], now: Timestamp, mut show: impl FnMut(&[u8])) {
        let kept = self.cleaner.clean(bytes);
        let (bars, color) = (&mut self.bars, self.color);
        let mut show = |line: &[u8]| show(&closed(line, color));
        self.lines.push(&kept, |line, end| bars.push(line, end, now, &mut show));
    }

    /// Gives an unfinished line before something of ours; a bar goes on meanwhile.
    pub(super) fn pause(&mut self, now: Timestamp, show: impl FnMut(&[u8])) {
        if !is_bar(self.lines.current()) {
            self.end_line(now, show);
        }
    }

    /// Gives everything that is still to be shown.
    pub(super) fn settle(&mut self, now: Timestamp, mut show: impl FnMut(&[u8])) {
        self.end_line(now, &mut show);
        let color = self.color;
        self.bars.flush(&mut |line| show(&closed(line, color)));
    }

    fn end_line(&mut self, now: Timestamp, mut show: impl FnMut(&[u8])) {
        if let Some(line) = self.lines.take() {
            let color = self.color;
            self.bars.push(&line, End::Newline, now, &mut |line| show(&closed(line, color)));
        }
    }

    /// What a terminal would show on the line that is being written.
    pub(super) fn tail(&self) -> String {
        let current = self.lines.current();
        let tail = if current.is_empty() { self.bars.held().unwrap_or_default() } else { current };
        String::from_utf8_lossy(tail).into_owned()
    }
}

/// A line that begins a colour ends it, so that it does not run into our own words.
fn closed(line: &[u8], color: bool) -> std::borrow::Cow<'_, [u8]> {
    if color && memchr::memchr(0x1b, line).is_some() { [line, b"\x1b[0m"].concat().into() } else { line.into() }
}
