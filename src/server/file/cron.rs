//! Cron lines: `minute hour day-of-month month day-of-week`, in a time zone.
//!
//! Fields are `*`, numbers, `mon`, `jan`, ranges, steps and lists of them; `@hourly`, `@daily`, `@weekly` and `@monthly` are
//! known. Where both days are restricted, either is enough, as everywhere.
//!
//! **When clocks change.** With `*` as the hour, the line follows elapsed time: it strikes in both of two equal hours and
//! never for an hour that is left out. With hours named, it strikes once a day: a time that is left out strikes as much
//! later as the clock was moved, a time that comes twice strikes the first time.

use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// A cron line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Years that are looked ahead: 29 February may be eight years away.
const YEARS: i16 = 9;

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let line = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            other => other,
        };
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!("it has {} fields, not five", fields.len()));
        };
        let mut weekdays = field(weekdays, 0, 7, &WEEKDAYS)?;
        weekdays |= weekdays >> 7 & 1;
        let cron = Self {
            text: text.to_owned(),
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: weekdays & 0x7f,
        };
        match cron.after(Timestamp::UNIX_EPOCH, &TimeZone::UTC) {
            Some(_) => Ok(cron),
            None => Err("that day never comes".to_owned()),
        }
    }
}

fn all(least: u64, most: u64) -> u64 {
    (least..=most).fold(0, |bits, bit| bits | 1 << bit)
}

fn field(text: &str, least: u64, most: u64, names: &[&str]) -> Result<u64, String> {
    let number = |word: &str| -> Result<u64, String> {
        let named = names.iter().position(|name| *name == word.to_ascii_lowercase());
        // Names of months count from one, those of weekdays from zero, as their fields do.
        let number = match named {
            Some(place) => place as u64 + least.min(1),
            None => word.parse().map_err(|_| format!("`{word}` is no number"))?,
        };
        if (least..=most).contains(&number) {
            Ok(number)
        } else {
            Err(format!("`{word}` is not from {least} to {most}"))
        }
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let step = match step.map(str::parse::<u64>) {
            None => 1,
            Some(Ok(step)) if (1..=most).contains(&step) => step,
            Some(_) => return Err(format!("`{part}` has no step")),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            None if part.contains('/') => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(format!("`{part}` ends before it begins"));
        }
        bits |= (from..=to).step_by(usize::try_from(step).unwrap_or(1)).fold(0, |bits, bit| bits | 1 << bit);
    }
    Ok(bits)
}

const fn has(bits: u64, bit: i8) -> bool {
    bit >= 0 && bits >> bit & 1 == 1
}

impl Cron {
    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first time after `now`.
    pub fn after(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.hours == all(0, 23) { self.by_elapsed_time(now, zone) } else { self.by_the_clock(now, zone) }
    }

    fn is_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let (any_day, any_weekday) = (self.days == all(1, 31), self.weekdays == 0x7f);
        has(self.months, date.month())
            && match (any_day, any_weekday) {
                (false, false) => day || weekday,
                _ => day && weekday,
            }
    }

    /// The first allowed day from `date` on.
    fn day(&self, mut date: Date) -> Option<Date> {
        let last = date.year().saturating_add(YEARS);
        while !self.is_day(date) {
            date = if has(self.months, date.month()) {
                date.tomorrow().ok()?
            } else {
                date.last_of_month().tomorrow().ok()?
            };
            if date.year() > last {
                return None;
            }
        }
        Some(date)
    }

    fn by_the_clock(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = now.to_zoned(zone.clone()).datetime();
        let mut date = local.date();
        // The day before: its left-out or doubled times may be struck on the other side of midnight.
        for _ in 0..2 {
            date = date.yesterday().ok()?;
        }
        loop {
            date = self.day(date)?;
            let times = (0..24)
                .filter(|hour| has(self.hours, *hour))
                .flat_map(|hour| (0..60).filter(|minute| has(self.minutes, *minute)).map(move |minute| (hour, minute)));
            for (hour, minute) in times {
                let wanted = DateTime::from_parts(date, Time::new(hour, minute, 0, 0).ok()?);
                let struck = wanted.to_zoned(zone.clone()).ok()?.timestamp();
                if struck > now {
                    return Some(struck);
                }
            }
            date = date.tomorrow().ok()?;
        }
    }

    fn by_elapsed_time(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let minute = 1.minute();
        let seconds = now.as_second().div_euclid(60) * 60;
        let mut at = Timestamp::from_second(seconds).ok()?.checked_add(minute).ok()?.to_zoned(zone.clone());
        loop {
            if !self.is_day(at.date()) {
                at = midnight(self.day(at.date())?, zone)?;
            }
            if has(self.minutes, at.minute()) {
                return Some(at.timestamp());
            }
            at = step(&at, minute)?;
        }
    }
}

fn midnight(date: Date, zone: &TimeZone) -> Option<Zoned> {
    date.to_zoned(zone.clone()).ok()
}

fn step(at: &Zoned, by: Span) -> Option<Zoned> {
    at.checked_add(by).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next strikes in the zone's own time.
    fn strikes(line: &str, from: &str, zone: &str, count: usize) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let cron: Cron = line.parse().unwrap();
        let mut now: Timestamp = from.parse().unwrap();
        (0..count)
            .map(|_| {
                now = cron.after(now, &zone).unwrap();
                now.to_zoned(zone.clone()).strftime("%a %F %H:%M %z").to_string()
            })
            .collect()
    }

    #[test]
    fn lines_strike_when_they_say() {
        for (line, wanted) in [
            ("*/20 9-10 * * *", ["Sat 2026-11-28 09:00 +0000", "Sat 2026-11-28 09:20 +0000"]),
            ("30 2 * * mon-fri", ["Mon 2026-11-30 02:30 +0000", "Tue 2026-12-01 02:30 +0000"]),
            ("0 0 29 feb *", ["Tue 2028-02-29 00:00 +0000", "Sun 2032-02-29 00:00 +0000"]),
            ("0 12 1 * 7", ["Sun 2026-11-29 12:00 +0000", "Tue 2026-12-01 12:00 +0000"]),
            ("@hourly", ["Sat 2026-11-28 09:00 +0000", "Sat 2026-11-28 10:00 +0000"]),
            ("5,35 * 29 11 *", ["Sun 2026-11-29 00:05 +0000", "Sun 2026-11-29 00:35 +0000"]),
        ] {
            assert_eq!(strikes(line, "2026-11-28T08:30:00Z", "UTC", 2), wanted, "{line}");
        }
    }

    #[test]
    fn a_named_hour_strikes_once_a_day_also_when_clocks_change() {
        // Left out: 02:30 of 29 March 2026 in Vienna.
        assert_eq!(
            strikes("30 2 * * *", "2026-03-28T00:00:00Z", "Europe/Vienna", 3),
            ["Sat 2026-03-28 02:30 +0100", "Sun 2026-03-29 03:30 +0200", "Mon 2026-03-30 02:30 +0200"]
        );
        // Twice: 02:30 of 25 October 2026.
        assert_eq!(
            strikes("30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Vienna", 2),
            ["Sun 2026-10-25 02:30 +0200", "Mon 2026-10-26 02:30 +0100"]
        );
    }

    #[test]
    fn every_hour_follows_elapsed_time_when_clocks_change() {
        assert_eq!(
            strikes("0 * * * *", "2026-10-24T23:30:00Z", "Europe/Vienna", 3),
            ["Sun 2026-10-25 02:00 +0200", "Sun 2026-10-25 02:00 +0100", "Sun 2026-10-25 03:00 +0100"]
        );
        assert_eq!(strikes("0 * * * *", "2026-03-29T00:30:00Z", "Europe/Vienna", 1), ["Sun 2026-03-29 03:00 +0200"]);
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for (wrong, said) in [
            ("* * * *", "4 fields"),
            ("60 * * * *", "not from 0 to 59"),
            ("* * 0 * *", "not from 1 to 31"),
            ("*/0 * * * *", "no step"),
            ("5-3 * * * *", "ends before"),
            ("0 0 30 2 *", "never comes"),
            ("x * * * *", "no number"),
            ("* * * * 8", "not from 0 to 7"),
        ] {
            assert!(wrong.parse::<Cron>().unwrap_err().contains(said), "{wrong}");
        }
    }
}
