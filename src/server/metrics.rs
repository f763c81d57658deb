//! Counters and gauges in the text form that Prometheus reads. Holds numbers and labels, never a secret: labels are host
//! names, words of ours and HTTP codes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// What each metric is, by name: its sort and one line of help.
const KNOWN: [(&str, &str, &str); 24] = [
    ("soop_poll_total", "counter", "Readings of refs, by host and result."),
    ("soop_poll_seconds_total", "counter", "Seconds that readings took, by host."),
    ("soop_poll_duration_seconds", "histogram", "Seconds that readings took."),
    ("soop_poll_lag_seconds", "histogram", "Seconds by which readings began late."),
    ("soop_poll_hosts_resting", "gauge", "Hosts that are not asked for a while."),
    (
        "soop_ratelimit_remaining",
        "gauge",
        "Requests that a forge leaves a credential, as it said last, by host and the credential's name.",
    ),
    ("soop_webhook_total", "counter", "Deliveries, by forge and result."),
    ("soop_webhook_ack_seconds", "histogram", "Seconds until deliveries were answered."),
    ("soop_deliveries_waiting", "gauge", "Deliveries that are not yet understood."),
    ("soop_events_waiting", "gauge", "Events that are not yet handled."),
    ("soop_outbox_oldest_seconds", "gauge", "How long the handler waits that waits longest to be done."),
    ("soop_report_failures_total", "counter", "What a forge could not be told, by kind."),
    ("soop_worker_up", "gauge", "Workers: this server's own, and others that hold runs."),
    ("soop_queue_wait_seconds", "histogram", "Seconds that runs waited to be begun here."),
    ("soop_queue_depth", "gauge", "Runs that wait to be begun."),
    ("soop_runs", "gauge", "Runs, by state."),
    ("soop_runs_total", "counter", "Runs that ended here, by result."),
    ("soop_run_seconds", "histogram", "Seconds that runs took here."),
    (
        "soop_lease_lost_total",
        "counter",
        "Runs whose lease was lost: by this worker, or found to be over here, whoever had it.",
    ),
    ("soop_fenced_writes_total", "counter", "Writes that were refused because the lease was gone."),
    ("soop_log_bytes_total", "counter", "Bytes of the logs of runs that ended here."),
    ("soop_artifacts_total", "counter", "Files that runs published here, by result."),
    ("soop_db_busy_total", "counter", "Statements that gave up waiting for others in the database."),
    ("soop_http_requests_total", "counter", "Requests to the API, by status."),
];

/// Upper bounds of the parts of a histogram, in seconds: from an answer to a wait for the only worker.
const BOUNDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0];

type Values = BTreeMap<(&'static str, String), f64>;

/// What was measured of one thing.
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    /// How many were at most as much as each bound.
    within: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

#[derive(Debug, Default)]
struct Inner {
    values: Values,
    spreads: BTreeMap<&'static str, Spread>,
}

/// All metrics of a server; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<Inner>>);

impl Metrics {
    /// Adds to a counter.
    pub fn add(&self, name: &'static str, labels: &[(&str, &str)], amount: f64) {
        *self.inner().values.entry((name, written(labels))).or_default() += amount;
    }

    /// Adds a measurement to a histogram.
    pub fn observe(&self, name: &'static str, seconds: f64) {
        let mut inner = self.inner();
        let spread = inner.spreads.entry(name).or_default();
        for (within, _) in spread.within.iter_mut().zip(BOUNDS).filter(|(_, bound)| seconds <= *bound) {
            *within += 1;
        }
        spread.count += 1;
        spread.sum += seconds;
    }

    /// Sets a gauge.
    pub fn set(&self, name: &'static str, labels: &[(&str, &str)], value: f64) {
        self.inner().values.insert((name, written(labels)), value);
    }

    /// Forgets a gauge whose labels are others each time, before it is set anew.
    pub fn clear(&self, name: &'static str) {
        self.inner().values.retain(|(known, _), _| *known != name);
    }

    /// What a gauge shows, over all labels.
    pub fn sum(&self, name: &'static str) -> f64 {
        self.inner()
            .values
            .range((name, String::new())..)
            .take_while(|((found, _), _)| *found == name)
            .map(|it| it.1)
            .sum()
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page that is scraped.
    pub fn page(&self) -> String {
        let inner = self.inner();
        let mut page = String::new();
        for (name, sort, help) in KNOWN {
            if let Some(spread) = inner.spreads.get(name) {
                let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {sort}\n{}", spread.lines(name));
                continue;
            }
            let of_it = inner.values.range((name, String::new())..).take_while(|((found, _), _)| *found == name);
            for (place, ((_, labels), value)) in of_it.enumerate() {
                if place == 0 {
                    let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {sort}\n");
                }
                let _ = writeln!(page, "{name}{labels} {value}");
            }
        }
        page
    }
}

impl Spread {
    fn lines(&self, name: &str) -> String {
        let mut lines = String::new();
        for (bound, within) in BOUNDS.iter().zip(self.within) {
            let _ = writeln!(lines, "{name}_bucket{{le=\"{bound}\"}} {within}");
        }
        let Self { count, sum, .. } = self;
        let _ = writeln!(lines, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
        lines
    }
}

fn written(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_measurement_in_every_part_that_it_is_within() {
        let metrics = Metrics::default();
        for seconds in [0.25, 0.5, 4.0, 9_000.0] {
            metrics.observe("soop_queue_wait_seconds", seconds);
        }
        let page = metrics.page();
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(
            lines[..2],
            [
                "# HELP soop_queue_wait_seconds Seconds that runs waited to be begun here.",
                "# TYPE soop_queue_wait_seconds histogram"
            ]
        );
        for line in [
            "soop_queue_wait_seconds_bucket{le=\"0.2\"} 0",
            "soop_queue_wait_seconds_bucket{le=\"0.5\"} 2",
            "soop_queue_wait_seconds_bucket{le=\"2.5\"} 2",
            "soop_queue_wait_seconds_bucket{le=\"10\"} 3",
            "soop_queue_wait_seconds_bucket{le=\"7200\"} 3",
            "soop_queue_wait_seconds_bucket{le=\"+Inf\"} 4",
            "soop_queue_wait_seconds_sum 9004.75",
            "soop_queue_wait_seconds_count 4",
        ] {
            assert!(lines.contains(&line), "{line}\n{page}");
        }
        assert_eq!(lines.len(), 2 + BOUNDS.len() + 3);
    }

    #[test]
    fn a_gauge_is_read_over_its_labels_and_forgotten_when_it_is_to_be_set_anew() {
        let metrics = Metrics::default();
        metrics.set("soop_worker_up", &[("worker", "a")], 1.0);
        metrics.set("soop_worker_up", &[("worker", "b")], 1.0);
        metrics.set("soop_runs", &[("state", "queued")], 7.0);
        assert!((metrics.sum("soop_worker_up") - 2.0).abs() < f64::EPSILON);
        metrics.clear("soop_worker_up");
        assert!(metrics.sum("soop_worker_up").abs() < f64::EPSILON && metrics.page().contains("soop_runs"));
    }

    #[test]
    fn the_page_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.add("soop_poll_total", &[("host", "git.example"), ("result", "ok")], 1.0);
        metrics.add("soop_poll_total", &[("host", "git.example"), ("result", "ok")], 2.0);
        metrics.add("soop_poll_total", &[("host", "a\"b\\c\nd"), ("result", "denied")], 1.0);
        metrics.set("soop_events_waiting", &[], 4.0);
        metrics.set("soop_events_waiting", &[], 3.5);
        assert_eq!(
            metrics.page(),
            "# HELP soop_poll_total Readings of refs, by host and result.\n# TYPE soop_poll_total counter\n\
             soop_poll_total{host=\"a\\\"b\\\\c\\nd\",result=\"denied\"} 1\n\
             soop_poll_total{host=\"git.example\",result=\"ok\"} 3\n\
             # HELP soop_events_waiting Events that are not yet handled.\n# TYPE soop_events_waiting gauge\n\
             soop_events_waiting 3.5\n"
        );
    }
}
