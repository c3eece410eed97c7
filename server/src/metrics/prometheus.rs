//! A snapshot in the text format of Prometheus (exposition format 0.0.4).

use std::fmt::{Display, Write as _};

use lethe_hw::Turns;

use super::snapshot::{Card, Counters, Snapshot, Worker};

/// What `Content-Type` says of it.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The snapshot as text. Names, labels and meanings are promised by `docs/observability.md`.
pub(crate) fn encode(snapshot: &Snapshot) -> String {
    let mut text = Text(String::new());
    about(&mut text, snapshot);
    for (name, help, of) in TOTALS {
        text.family(name, "counter", help);
        for Worker { worker, counters } in &snapshot.workers {
            text.sample(name, &[("worker", worker)], of(counters));
        }
    }
    responses(&mut text, &snapshot.workers);
    verdicts(&mut text, &snapshot.workers);
    loop_times(&mut text, &snapshot.workers);
    if let Some(missed) = snapshot.frames_missed {
        text.counter("lethe_frames_missed_total", "Frames for us that were lost because they came too fast.", missed);
    }
    if let Some(log) = &snapshot.access_log {
        text.counter("lethe_access_log_lines_total", "Lines written to the access log.", log.lines);
        text.counter("lethe_access_log_lost_total", "Lines that could not be, or not soon enough.", log.lost);
    }
    if let Some(card) = &snapshot.card {
        text.gauge("lethe_card_link_up", "Whether the card can send.", u8::from(card.link_up));
        for (name, help, of) in CARD {
            text.counter(name, help, of(card));
        }
    }
    text.0
}

/// A counter: its name, its meaning, and where it stands.
type Counter<T> = (&'static str, &'static str, fn(&T) -> u64);

/// What each worker counts beside its verdicts.
const TOTALS: [Counter<Counters>; 9] = [
    ("lethe_frames_received_total", "Frames received.", |counters| counters.frames_received),
    ("lethe_bytes_received_total", "Bytes of them, from the Ethernet header on.", |counters| counters.bytes_received),
    ("lethe_frames_sent_total", "Frames sent.", |counters| counters.frames_sent),
    ("lethe_bytes_sent_total", "Bytes of them, from the Ethernet header on.", |counters| counters.bytes_sent),
    ("lethe_requests_total", "Requests that were answered, whether first on their connection or not.", |counters| {
        counters.requests
    }),
    ("lethe_connections_total", "Connections whose first request was answered.", |counters| counters.connections),
    ("lethe_queue_full_total", "Replies of which a frame was lost to a full transmit queue.", |counters| {
        counters.queue_full
    }),
    ("lethe_turns_total", "Turns of the loop in which frames were taken.", |counters| counters.turns),
    ("lethe_full_turns_total", "Turns that took as many frames as can be, and may have left some.", |counters| {
        counters.full_turns
    }),
];

/// What a card counts.
const CARD: [Counter<Card>; 5] = [
    ("lethe_card_frames_received_total", "Frames received, by the card's count.", |card| card.frames_received),
    ("lethe_card_frames_sent_total", "Frames sent, by the card's count.", |card| card.frames_sent),
    ("lethe_card_receive_errors_total", "Frames damaged on the wire.", |card| card.receive_errors),
    ("lethe_card_send_errors_total", "Frames that could not be sent.", |card| card.send_errors),
    ("lethe_card_no_buffer_total", "Times without a buffer to receive into.", |card| card.no_buffer),
];

/// What is to be known of the server itself.
fn about(text: &mut Text, snapshot: &Snapshot) {
    let name = "lethe_build_info";
    text.family(name, "gauge", "Always 1; the labels say what is running.");
    let Snapshot { version, device, application, data, process, .. } = snapshot;
    text.sample(name, &[("version", version), ("device", device), ("application", application)], 1);
    text.gauge("lethe_uptime_seconds", "For how long the server has been running.", snapshot.uptime_seconds);
    text.gauge(
        "lethe_data_generation",
        "Number of the data set that new connections get, as --generation has it: 0 to 3.",
        data.generation,
    );
    text.gauge("lethe_data_loaded_time_seconds", "When it was put in place, Unix time.", data.loaded_time_seconds);
    text.counter("lethe_reloads_total", "Data sets put in place of another.", data.reloads);
    text.counter("lethe_reload_failures_total", "Data sets that could not be, and were not.", data.reload_failures);
    text.gauge("process_start_time_seconds", "When the server started, Unix time.", snapshot.start_time_seconds);
    if let Some(bytes) = process.resident_bytes {
        text.gauge("process_resident_memory_bytes", "Memory in use.", bytes);
    }
    if let Some(seconds) = process.cpu_seconds {
        text.counter("process_cpu_seconds_total", "Time on CPUs, of all threads.", seconds);
    }
}

/// What clients got, by class.
fn responses(text: &mut Text, workers: &[Worker]) {
    let name = "lethe_responses_total";
    text.family(name, "counter", "Responses, by the class of their status.");
    for Worker { worker, counters } in workers {
        for (class, &count) in &counters.responses {
            text.sample(name, &[("worker", worker), ("class", class)], count);
        }
    }
}

/// How many frames a turn of the loop takes, and how long it takes for each.
#[expect(clippy::cast_precision_loss, reason = "limits of classes, which are powers of two")]
fn loop_times(text: &mut Text, workers: &[Worker]) {
    let name = "lethe_turn_frames";
    text.family(name, "histogram", "Frames taken in a turn of the loop.");
    for Worker { worker, counters } in workers {
        let classes = counters.turn_sizes.iter().enumerate().map(|(at, &count)| (Turns::size(at) as f64, count));
        text.histogram(name, worker, classes, counters.turn_frames);
    }
    let name = "lethe_frame_seconds";
    text.family(name, "histogram", "Time that the loop takes for a frame, in the turns that are timed: one of 16.");
    for Worker { worker, counters } in workers {
        let last = Turns::TIMES - 1;
        let limit = |at| if at < last { Turns::nanos(at) as f64 / 1e9 } else { f64::INFINITY };
        let classes = counters.frame_times.iter().enumerate().map(|(at, &count)| (limit(at), count));
        text.histogram(name, worker, classes, counters.timed_seconds);
    }
}

/// Each received frame is counted in one of two families, under one name.
fn verdicts(text: &mut Text, workers: &[Worker]) {
    let (verdicts, drops) = ("lethe_verdicts_total", "lethe_drops_total");
    text.family(verdicts, "counter", "Frames that were in order, by what they were answered with or absorbed as.");
    for Worker { worker, counters } in workers {
        for (action, list) in [("replied", &counters.replied), ("absorbed", &counters.absorbed)] {
            for (verdict, &count) in list {
                text.sample(verdicts, &[("worker", worker), ("action", action), ("verdict", verdict)], count);
            }
        }
    }
    text.family(drops, "counter", "Frames that were dropped, by the reason.");
    for Worker { worker, counters } in workers {
        for (reason, &count) in &counters.dropped {
            text.sample(drops, &[("worker", worker), ("reason", reason)], count);
        }
    }
}

/// Text in the making: families one after the other, each with its samples.
struct Text(String);

// Writing to a string does not fail.
impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let open = if place == 0 { '{' } else { ',' };
            _ = write!(self.0, "{open}{label}=\"{}\"", escape(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        _ = writeln!(self.0, "{close} {value}");
    }

    /// A histogram out of classes, each with its limit: a bucket counts all that do not exceed it.
    fn histogram(&mut self, name: &str, worker: &str, classes: impl Iterator<Item = (f64, u64)>, sum: impl Display) {
        let (bucket, mut count) = (format!("{name}_bucket"), 0);
        for (limit, of_class) in classes {
            count += of_class;
            if limit.is_finite() {
                self.sample(&bucket, &[("worker", worker), ("le", &limit.to_string())], count);
            }
        }
        self.sample(&bucket, &[("worker", worker), ("le", "+Inf")], count);
        self.sample(&format!("{name}_sum"), &[("worker", worker)], sum);
        self.sample(&format!("{name}_count"), &[("worker", worker)], count);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }
}

/// The value of a label as it stands between quotes.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::metrics::snapshot::tests::sample;

    /// Samples by name and labels, as they stand in the text.
    type Samples = BTreeMap<String, f64>;

    /// Reads the format as its description has it, and accepts nothing that the description does not ask for.
    /// <https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md>
    fn parse(text: &str) -> Samples {
        let mut samples = Samples::new();
        let (mut families, mut family, mut helped) = (BTreeSet::new(), "", "");
        for line in text.strip_suffix('\n').expect("the last line ends as well").split('\n') {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped = help.split_once(' ').unwrap().0;
                assert!(!help.contains('\\'), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(name == helped && is_name(name) && families.insert(name), "{line}");
                let is_known = ["gauge", "histogram"].contains(&kind) || kind == "counter" && name.ends_with("_total");
                assert!(is_known, "{line}");
                family = name;
            } else {
                let rest = line.strip_prefix(family).expect("samples stand below their family");
                let suffix = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| rest.strip_prefix(suffix));
                let rest = suffix.unwrap_or(rest);
                let value = rest.strip_prefix('{').map_or(rest, labels).strip_prefix(' ').unwrap();
                let value: f64 = value.parse().unwrap();
                assert!(value.is_finite() && value >= 0.0, "{line}");
                let key = line.rsplit_once(' ').unwrap().0;
                assert_eq!(samples.insert(key.to_owned(), value), None, "{line}");
            }
        }
        samples
    }

    /// Reads labels from behind the opening brace; returns what is behind the closing one.
    fn labels(mut text: &str) -> &str {
        loop {
            let (name, rest) = text.split_once("=\"").unwrap();
            assert!(is_name(name) && !name.contains(':'), "{text}");
            let mut escaped = false;
            let end = rest.bytes().position(|byte| {
                assert!(!escaped || b"\\\"n".contains(&byte), "{text}");
                let is_end = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                is_end
            });
            let rest = &rest[end.unwrap() + 1..];
            match rest.strip_prefix(',') {
                Some(next) => text = next,
                None => return rest.strip_prefix('}').unwrap(),
            }
        }
    }

    fn is_name(name: &str) -> bool {
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
        name.bytes().next().is_some_and(is_letter) && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
    }

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let samples = parse(&encode(&sample(5)));
        let info = r#"lethe_build_info{version="0.1.0",device="dpdk 0 \"a\\b\"",application="files"}"#;
        for (name, expect) in [
            (info, 1.0),
            (r#"lethe_frames_received_total{worker="2"}"#, 0.0),
            (r#"lethe_frames_received_total{worker="3"}"#, 30.0),
            (r#"lethe_bytes_sent_total{worker="3"}"#, 4000.0),
            (r#"lethe_requests_total{worker="3"}"#, 10.0),
            (r#"lethe_requests_total{worker="2"}"#, 0.0),
            (r#"lethe_connections_total{worker="3"}"#, 5.0),
            (r#"lethe_responses_total{worker="3",class="2xx"}"#, 5.0),
            (r#"lethe_responses_total{worker="3",class="4xx"}"#, 5.0),
            (r#"lethe_responses_total{worker="3",class="5xx"}"#, 0.0),
            (r#"lethe_turn_frames_bucket{worker="3",le="4"}"#, 0.0),
            (r#"lethe_turn_frames_bucket{worker="3",le="8"}"#, 5.0),
            (r#"lethe_turn_frames_bucket{worker="3",le="+Inf"}"#, 5.0),
            (r#"lethe_turn_frames_sum{worker="3"}"#, 30.0),
            (r#"lethe_frame_seconds_bucket{worker="3",le="0.000000064"}"#, 0.0),
            (r#"lethe_frame_seconds_count{worker="3"}"#, 0.0),
            (r#"lethe_verdicts_total{worker="3",action="replied",verdict="response"}"#, 10.0),
            (r#"lethe_verdicts_total{worker="3",action="absorbed",verdict="ack"}"#, 5.0),
            (r#"lethe_drops_total{worker="3",reason="tcp-cookie"}"#, 5.0),
            (r#"lethe_drops_total{worker="3",reason="tcp-window"}"#, 0.0),
            ("lethe_frames_missed_total", 7.0),
            ("lethe_card_link_up", 1.0),
            ("lethe_card_frames_received_total", 30.0),
            ("lethe_card_no_buffer_total", 3.0),
            ("lethe_data_generation", 0.0),
        ] {
            assert_eq!(samples.get(name), Some(&expect), "{name}");
        }
    }

    #[test]
    fn each_received_frame_is_a_verdict_or_a_drop() {
        let samples = parse(&encode(&sample(11)));
        let sum = |start: &str| {
            samples.range(start.to_owned()..).take_while(|(key, _)| key.starts_with(start)).map(|of| of.1).sum::<f64>()
        };
        let (verdicts, drops) = (sum("lethe_verdicts_total{"), sum("lethe_drops_total{"));
        assert_eq!((verdicts, drops, sum("lethe_frames_received_total{")), (55.0, 11.0, 66.0));
    }

    #[test]
    fn what_is_not_counted_is_left_out() {
        let mut snapshot = sample(1);
        (snapshot.card, snapshot.frames_missed, snapshot.access_log) = (None, None, None);
        let text = encode(&snapshot);
        parse(&text);
        assert!(["card", "missed", "access_log"].iter().all(|name| !text.contains(name)), "{text}");
    }
}
