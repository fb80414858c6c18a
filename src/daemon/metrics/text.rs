//! Prometheus' text format, by `prometheus-client`. Every name that an operator may rely on stands here.

use super::Snapshot;
use crate::gateway::meter::{BOUNDS, Fate, Tally, Times};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
    prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt::Error;

/// The directions of a [`Tally`] and of a report's times.
const WAYS: [&str; 2] = ["sip-to-xmpp", "xmpp-to-sip"];
const MICROS: f64 = 1_000_000.0;

/// The text.
///
/// # Errors
/// What can't be written into a string can't be written.
pub(super) fn write(snapshot: Snapshot) -> Result<String, Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let report = &self.report;
        let mut info = encoder.encode_descriptor("stoxd_build", "What runs.", None, MetricType::Info)?;
        info.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;

        let help =
            "Messages by the partner's own domain; those of domains that no entry names are \"unlisted\".";
        let mut family = encoder.encode_descriptor("stoxd_messages", help, None, MetricType::Counter)?;
        tallies(&mut family, "partner", &report.partners)?;

        if !report.peers.is_empty() {
            let help = "Messages by SIP peer, of those that have monitor = true.";
            let mut family =
                encoder.encode_descriptor("stoxd_peer_messages", help, None, MetricType::Counter)?;
            tallies(&mut family, "peer", &report.peers)?;
        }

        let help = "What the gate said to messages and to requests of presence.";
        let mut family =
            encoder.encode_descriptor("stoxd_policy_decisions", help, None, MetricType::Counter)?;
        counter(&mut family, &[("decision", "allow"), ("reason", "policy")], report.allowed)?;
        for (reason, count) in &report.denied {
            counter(&mut family, &[("decision", "deny"), ("reason", reason)], *count)?;
        }

        let help = "From the time that a message came in until it was delivered.";
        let mut family =
            encoder.encode_descriptor("stoxd_crossing_seconds", help, None, MetricType::Histogram)?;
        for (way, times) in WAYS.iter().zip(&report.times) {
            histogram(family.encode_family(&[("direction", *way)])?, times)?;
        }

        let help = "XMPP streams that are open.";
        let mut family = encoder.encode_descriptor("stoxd_xmpp_streams", help, None, MetricType::Gauge)?;
        for ((direction, partner, auth), count) in &self.streams {
            let labels = [("direction", *direction), ("partner", partner), ("auth", auth)];
            gauge(&mut family, &labels, *count)?;
        }

        let help = "SIP connections that are open, either way.";
        let mut family = encoder.encode_descriptor("stoxd_sip_links", help, None, MetricType::Gauge)?;
        for (peer, count) in &self.links {
            gauge(&mut family, &[("peer", peer.as_str())], *count)?;
        }

        let help = "SIP requests that were answered, by whoever asked; silence counts as 408.";
        let mut family = encoder.encode_descriptor("stoxd_sip_requests", help, None, MetricType::Counter)?;
        for (direction, method, code, count) in &report.requests {
            let code = code.to_string();
            counter(
                &mut family,
                &[("direction", *direction), ("method", *method), ("code", code.as_str())],
                *count,
            )?;
        }

        let help = "Watches of presence: who watches whom, and how that stands.";
        let mut family = encoder.encode_descriptor("stoxd_subscriptions", help, None, MetricType::Gauge)?;
        for (direction, state, count) in &report.watches {
            gauge(&mut family, &[("direction", *direction), ("state", *state)], whole(*count))?;
        }

        let help = "When our certificates end, in seconds since 1970.";
        let name = "stoxd_certificate_expiry_timestamp_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (id, end) in &self.certificates {
            gauge(&mut family, &[("id", id.as_str())], i64::try_from(*end).unwrap_or(i64::MAX))?;
        }

        let help = "Questions to the DNS, those that the cache answered among them.";
        let mut family = encoder.encode_descriptor("stoxd_dns_lookups", help, None, MetricType::Counter)?;
        for (kind, result, count) in &self.lookups {
            counter(&mut family, &[("type", *kind), ("result", *result)], *count)?;
        }

        let help = "Items that wait for a stream, a link or their turn, by the domain that they are for.";
        let mut family = encoder.encode_descriptor("stoxd_queue_items", help, None, MetricType::Gauge)?;
        for (domain, count) in &report.queues {
            gauge(&mut family, &[("domain", domain.as_str())], whole(*count))?;
        }

        let help = "When the files were last taken, in seconds since 1970.";
        let name = "stoxd_reload_success_timestamp_seconds";
        let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(self.loaded).encode(family)
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn counter(family: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, count: u64) -> Result<(), Error> {
    ConstCounter::new(count).encode(family.encode_family(labels)?)
}

fn gauge(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: impl EncodeGaugeValue,
) -> Result<(), Error> {
    ConstGauge::new(value).encode(family.encode_family(labels)?)
}

fn tallies(
    family: &mut MetricEncoder<'_>,
    label: &'static str,
    rows: &[(String, Tally)],
) -> Result<(), Error> {
    for (name, tally) in rows {
        for (way, fates) in WAYS.iter().zip(tally) {
            for (fate, count) in Fate::ALL.iter().zip(fates) {
                let labels = [("direction", *way), (label, name.as_str()), ("result", fate.as_str())];
                counter(family, &labels, *count)?;
            }
        }
    }
    Ok(())
}

fn histogram(mut encoder: MetricEncoder<'_>, times: &Times) -> Result<(), Error> {
    let bounds = BOUNDS.iter().map(|micros| *micros as f64 / MICROS).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(times.buckets).collect();
    let count = times.buckets.iter().sum();
    encoder.encode_histogram::<NoLabelSet>(times.sum as f64 / MICROS, count, &buckets, None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::gateway::meter::Report;

    fn snapshot() -> Snapshot {
        let mut times = Times::default();
        (times.buckets[0], times.buckets[BOUNDS.len()], times.sum) = (2, 1, 11_000_080);
        let report = Report {
            partners: vec![("fabrikam.example".into(), [[3, 0, 1, 0], [2, 0, 0, 0]])],
            allowed: 5,
            denied: vec![("unlisted", 7)],
            times: [times, Times::default()],
            requests: vec![("in", "MESSAGE", 202, 3)],
            watches: vec![("xmpp-watches-sip", "active", 4)],
            queues: [("contoso.example".to_owned(), 9)].into(),
            ..Report::default()
        };
        Snapshot {
            report,
            streams: [(("out", "fabrikam.example".to_owned(), "external"), 1)].into(),
            links: [("edge \"1\"".to_owned(), 2)].into(),
            certificates: vec![("contoso".into(), 1_800_000_000)],
            lookups: vec![("SRV", "found", 6)],
            loaded: 1_764_374_400.5,
        }
    }

    #[test]
    fn every_metric_of_the_contract_is_there_with_its_labels() {
        let text = write(snapshot()).unwrap();
        for line in [
            concat!("stoxd_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "# TYPE stoxd_messages_total counter",
            "stoxd_messages_total{direction=\"sip-to-xmpp\",partner=\"fabrikam.example\",result=\"delivered\"} 3",
            "stoxd_messages_total{direction=\"sip-to-xmpp\",partner=\"fabrikam.example\",result=\"denied\"} 1",
            "stoxd_messages_total{direction=\"xmpp-to-sip\",partner=\"fabrikam.example\",result=\"limited\"} 0",
            "stoxd_policy_decisions_total{decision=\"allow\",reason=\"policy\"} 5",
            "stoxd_policy_decisions_total{decision=\"deny\",reason=\"unlisted\"} 7",
            "# TYPE stoxd_crossing_seconds histogram",
            "stoxd_crossing_seconds_bucket{direction=\"sip-to-xmpp\",le=\"5e-05\"} 2",
            "stoxd_crossing_seconds_bucket{direction=\"sip-to-xmpp\",le=\"10\"} 2",
            "stoxd_crossing_seconds_bucket{direction=\"sip-to-xmpp\",le=\"+Inf\"} 3",
            "stoxd_crossing_seconds_count{direction=\"sip-to-xmpp\"} 3",
            "stoxd_crossing_seconds_count{direction=\"xmpp-to-sip\"} 0",
            "stoxd_xmpp_streams{direction=\"out\",partner=\"fabrikam.example\",auth=\"external\"} 1",
            "stoxd_sip_links{peer=\"edge \\\"1\\\"\"} 2",
            "stoxd_sip_requests_total{direction=\"in\",method=\"MESSAGE\",code=\"202\"} 3",
            "stoxd_subscriptions{direction=\"xmpp-watches-sip\",state=\"active\"} 4",
            "stoxd_certificate_expiry_timestamp_seconds{id=\"contoso\"} 1800000000",
            "stoxd_dns_lookups_total{type=\"SRV\",result=\"found\"} 6",
            "stoxd_queue_items{domain=\"contoso.example\"} 9",
            "# TYPE stoxd_reload_success_timestamp_seconds gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
            line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert!((value("stoxd_crossing_seconds_sum{direction=\"sip") - 11.00008).abs() < 1e-9);
        assert!((value("stoxd_reload_success_timestamp_seconds") - 1_764_374_400.5).abs() < 1e-3);
    }

    #[test]
    fn f102_a_peer_has_counters_only_where_it_is_marked() {
        assert!(!write(snapshot()).unwrap().contains("stoxd_peer_messages"));
        let mut marked = snapshot();
        marked.report.peers = vec![("edge".into(), [[3, 0, 0, 0], [0; 4]])];
        let text = write(marked).unwrap();
        let line =
            "stoxd_peer_messages_total{direction=\"sip-to-xmpp\",peer=\"edge\",result=\"delivered\"} 3\n";
        assert!(text.contains(line), "{text}");
    }
}
