//! Counters and gauges in the text form that Prometheus reads. Holds numbers and labels, never a secret: labels are host
//! names, words of ours and HTTP codes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// What each metric is, by name: its sort and one line of help.
const KNOWN: [(&str, &str, &str); 13] = [
    ("soop_poll_total", "counter", "Readings of refs, by host and result."),
    ("soop_poll_seconds_total", "counter", "Seconds that readings took."),
    ("soop_poll_lag_seconds_total", "counter", "Seconds by which readings began late."),
    ("soop_poll_hosts_resting", "gauge", "Hosts that are not asked for a while."),
    ("soop_webhook_total", "counter", "Deliveries, by forge and result."),
    ("soop_webhook_ack_seconds_total", "counter", "Seconds until deliveries were answered."),
    ("soop_deliveries_waiting", "gauge", "Deliveries that are not yet understood."),
    ("soop_events_waiting", "gauge", "Events that are not yet handled."),
    ("soop_runs", "gauge", "Runs, by state."),
    ("soop_runs_total", "counter", "Runs that ended here, by result."),
    ("soop_run_seconds_total", "counter", "Seconds that runs took."),
    ("soop_fenced_writes_total", "counter", "Writes that were refused because the lease was gone."),
    ("soop_http_requests_total", "counter", "Requests to the API, by status."),
];

type Values = BTreeMap<(&'static str, String), f64>;

/// All metrics of a server; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<Values>>);

impl Metrics {
    /// Adds to a counter.
    pub fn add(&self, name: &'static str, labels: &[(&str, &str)], amount: f64) {
        *self.values().entry((name, written(labels))).or_default() += amount;
    }

    /// Sets a gauge.
    pub fn set(&self, name: &'static str, labels: &[(&str, &str)], value: f64) {
        self.values().insert((name, written(labels)), value);
    }

    fn values(&self) -> std::sync::MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page that is scraped.
    pub fn page(&self) -> String {
        let values = self.values();
        let mut page = String::new();
        for (name, sort, help) in KNOWN {
            let of_it = values.range((name, String::new())..).take_while(|((found, _), _)| *found == name);
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
