//! Durations and sizes as people read them.

use std::time::Duration;

pub use crate::spec::amount::{count, decimal as bytes};

/// `42 ms`, `0.4 s`, `12 s`, `3 m 05 s`, `2 h 10 m`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.as_millis() < 100 => format!("{} ms", time.as_millis()),
        // Rounded to tenths: 9.96 s would become `10.0 s`.
        0..10 if time.as_millis() < 9_950 => format!("{:.1} s", time.as_secs_f64()),
        0..60 => format!("{} s", seconds.max(10)),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_at_every_size() {
        for (millis, text) in [
            (0, "0 ms"),
            (99, "99 ms"),
            (100, "0.1 s"),
            (420, "0.4 s"),
            (9_949, "9.9 s"),
            (9_960, "10 s"),
            (59_990, "59 s"),
            (60_000, "1 m 00 s"),
            (185_999, "3 m 05 s"),
            (7_805_000, "2 h 10 m"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn sizes_read_well_at_every_size() {
        for (size, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (3_149, "3.1 kB"),
            (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (2_000_000_000, "2.0 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }
}
