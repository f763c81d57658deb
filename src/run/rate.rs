//! How fast a step's work on a storage goes, and how long it takes yet: by what was counted, and a clock that it is given.
//! Asks nobody and tells nobody.

use std::collections::VecDeque;
use std::time::Duration;

use super::figures;
use crate::storage::Done;

/// From here on the time that is left may be told.
const SOON: Duration = Duration::from_secs(5);
/// From here on also where less than a hundredth is done.
const LONG: Duration = Duration::from_mins(1);
/// What was not longer ago than this was of late.
const LATELY: Duration = Duration::from_secs(5);

/// How far it was of late.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Duration, Done)>);

impl Rate {
    /// `, 3.1 MB/s, 2 m 10 s left`: from the average so far, without pauses; nothing while that says little.
    pub(super) fn words(&mut self, done: Done, elapsed: Duration) -> String {
        let before = self.note(done, elapsed);
        let seconds = elapsed.as_secs();
        let rate = done.bytes.checked_div(seconds).unwrap_or_default();
        if seconds < 2 || rate == 0 {
            return String::new();
        }
        let left = left(done, elapsed, before).map(|left| format!(", {} left", figures::duration(left)));
        format!(", {}/s{}", figures::bytes(rate), left.unwrap_or_default())
    }

    /// Notes how far it is now; when and how far it was some seconds ago, where that is known.
    fn note(&mut self, done: Done, elapsed: Duration) -> Option<(Duration, Done)> {
        // A pause is known when it is over, and sets the clock back.
        self.0.retain(|(then, _)| *then < elapsed && elapsed.saturating_sub(*then) <= LATELY);
        let before = self.0.front().copied();
        self.0.push_back((elapsed, done));
        before
    }
}

/// How long it takes yet: a service may take so many bytes or so many files a second, and what takes longer counts.
/// Nothing while too little has gone to tell, and once hardly a byte is left: then one file more or less would tell of
/// minutes.
fn left(done: Done, elapsed: Duration, before: Option<(Duration, Done)>) -> Option<Duration> {
    if elapsed < SOON || u128::from(done.bytes) * 1000 >= u128::from(done.bytes_total) * 999 {
        return None;
    }
    let bytes = on_average(done.bytes, done.bytes_total, elapsed)?;
    // The time that went for the bytes of large files says little of small ones: by their number it takes at most twice as
    // long as by the bytes, unless it is they that take the time now.
    let by_number = || on_average(sent(done), done.files_total, elapsed).unwrap_or(0).min(bytes * 2);
    let files = of_late(done, elapsed, before).unwrap_or_else(by_number);
    let seconds = u64::try_from(bytes.max(files) / 1000).ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// Files of which nothing is to be sent any more. Where many become visible at once, those that can be seen tell nothing.
fn sent(done: Done) -> u64 {
    done.files.max(done.files_sent)
}

/// Milliseconds for the rest of `all`, as things have gone from the beginning.
fn on_average(done: u64, all: u64, elapsed: Duration) -> Option<u128> {
    let missing = u128::from(all.saturating_sub(done));
    if missing == 0 {
        return Some(0);
    }
    let is_enough = elapsed >= LONG || u128::from(done) * 100 >= u128::from(all);
    (done > 0 && is_enough).then(|| elapsed.as_millis() * missing / u128::from(done))
}

/// Milliseconds for the rest of the files as they went of late, where it is their number that takes the time: they go no
/// slower than on average, and their bytes less than half as fast.
fn of_late(done: Done, elapsed: Duration, before: Option<(Duration, Done)>) -> Option<u128> {
    let (then, before) = before?;
    let (whole, time) = (elapsed.as_millis(), elapsed.saturating_sub(then).as_millis());
    let files = u128::from(sent(done).saturating_sub(sent(before)));
    let bytes = u128::from(done.bytes.saturating_sub(before.bytes));
    let few_bytes = bytes * whole * 2 < u128::from(done.bytes) * time;
    let many_files = files > 0 && files * whole >= u128::from(sent(done)) * time;
    let missing = u128::from(done.files_total.saturating_sub(sent(done)));
    (few_bytes && many_files).then(|| time * missing / files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At the end of each second that is named: so many files and bytes, and the seconds that are told.
    fn told(total: (u64, u64), steps: impl IntoIterator<Item = (u64, u64, u64)>) -> Vec<(u64, Option<u64>)> {
        let mut rate = Rate::default();
        let at = |(second, files_sent, bytes)| {
            let done = Done { files_sent, files_total: total.0, bytes, bytes_total: total.1, ..Done::default() };
            let elapsed = Duration::from_secs(second);
            let before = rate.note(done, elapsed);
            (second, left(done, elapsed, before).map(|left| left.as_secs()))
        };
        steps.into_iter().map(at).collect()
    }

    #[test]
    fn where_so_many_files_a_second_are_taken_the_files_tell_what_is_left() {
        let last = |steps: &[(u64, u64, u64)]| told((100, 60_000), steps.iter().copied()).pop().unwrap().1;
        assert_eq!(last(&[(10, 10, 49_000), (15, 20, 50_000)]), Some(40), "two a second");
        assert_eq!(last(&[(10, 10, 19_000), (15, 60, 20_000)]), Some(30), "the bytes take longer");
        assert_eq!(last(&[(15, 0, 20_000)]), Some(30), "no file says anything yet");
        assert_eq!(last(&[(15, 20, 20_000)]), Some(60), "nothing is known of late");
        assert_eq!(last(&[(15, 10, 20_000)]), Some(60), "more than twice as long as by the bytes");
        assert_eq!((last(&[(15, 100, 60_000)]), last(&[(15, 60, 60_000)])), (None, None), "all is sent");
    }

    #[test]
    fn the_time_that_is_left_jumps_to_no_minutes_at_the_end() {
        // Four large files for 150 s, and a dozen small ones meanwhile; then 20 of the others a second.
        let steps = (1..=155_u64).map(|second| {
            let small = second.saturating_sub(150) * 20;
            let bytes = 3_100_000 * second.min(150) + 160_000 * small.min(88);
            (second, if second < 150 { second.min(12) } else { 16 + small.min(88) }, bytes)
        });
        let (total, end) = ((104, 3_100_000 * 150 + 160_000 * 88), 155);
        for (second, left) in told(total, steps) {
            let left = left.unwrap_or_default();
            assert!(left <= (end - second) * 2 + 10, "{left} s left, {} s before the end", end - second);
        }
    }

    #[test]
    fn many_small_files_behind_large_ones_are_told_as_they_go() {
        let steps = (1..=340_u64).map(|second| {
            let small = second.saturating_sub(30) * 3;
            (second, second.min(30) + small, 3_333_333 * second.min(30) + 5_000 * small)
        });
        for (second, left) in told((1000, 104_850_000), steps).into_iter().filter(|(second, _)| *second > 40) {
            let real = (1000 - 30) / 3 + 30 - second;
            let left = left.unwrap_or(real);
            assert!(left.abs_diff(real) <= 3, "{left} s left and not {real}, at {second} s");
        }
    }

    #[test]
    fn files_that_wait_to_be_seen_take_no_more_time() {
        let done = Done { files: 10, files_sent: 90, files_total: 100, bytes: 90_000, bytes_total: 100_000 };
        assert_eq!(left(done, Duration::from_secs(90), None), Some(Duration::from_secs(10)));
        // What does not tell the two apart counts those that are done.
        let done = Done { files: 90, files_sent: 0, ..done };
        assert_eq!(left(done, Duration::from_secs(90), None), Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_pause_that_sets_the_clock_back_leaves_nothing_to_compare_with() {
        let (mut rate, done) = (Rate::default(), Done::default());
        let mut note = |second| rate.note(done, Duration::from_secs(second)).map(|(then, _)| then.as_secs());
        assert_eq!([note(10), note(12), note(14), note(16)], [None, Some(10), Some(10), Some(12)]);
        assert_eq!([note(11), note(11), note(30)], [None, None, None]);
    }

    #[test]
    fn rate_and_time_that_is_left_are_the_averages_so_far() {
        let told = |bytes, bytes_total, millis| {
            Rate::default().words(Done { bytes, bytes_total, ..Done::default() }, Duration::from_millis(millis))
        };
        assert_eq!(told(31_000_000, 434_000_000, 10_000), ", 3.1 MB/s, 2 m 10 s left");
        assert_eq!(told(434_000_000, 434_000_000, 10_999), ", 43.4 MB/s", "the end is no time");
        // What little says nothing is not told, and nothing is divided by.
        assert_eq!(told(31_000_000, 434_000_000, 1_999), "");
        assert_eq!(told(0, 434_000_000, 10_000), "");
        assert_eq!(told(3, 434_000_000, 10_000), "", "hardly anything is not soon done");
        assert_eq!(told(500, 100, 10_000), ", 50 B/s", "more than all was counted");
        assert_eq!(told(31_000_000, 434_000_000, 4_000), ", 7.7 MB/s", "too soon");
        assert_eq!(told(1_000_000, 434_000_000, 10_000), ", 100.0 kB/s", "too little");
        assert_eq!(told(4_340_000, 434_000_000, 60_000), ", 72.3 kB/s, 1 h 39 m left");
        assert_eq!(told(480_300_000, 480_400_000, 150_000), ", 3.2 MB/s", "hardly a byte is left");
        assert_eq!(told(u64::MAX / 2, u64::MAX, 60_000).matches(" left").count(), 1);
    }
}
