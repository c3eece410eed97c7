//! What a package has beside the program (`dist`): the units are in order for systemd, the examples for `lethe serve`,
//! alerts for Prometheus, and every metric that alerts and dashboard ask for is one that servers have.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lethe_harness::test;
use serde_json::Value;

const LETHE: &str = env!("CARGO_BIN_EXE_lethe");

/// Exposure as `systemd-analyze security` has it, in tenths: from 0, nothing can be done, to 100. What is left is what
/// devices take: capabilities, `bpf`, `AF_PACKET`.
const EXPOSURE_MAX: &str = "22";

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("dist")
}

fn read(name: &str) -> String {
    fs::read_to_string(dist().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// The units, with the program of this build in place of an installed one.
fn units() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for unit in ["lethe@.service", "lethe-dpdk@.service"] {
        fs::write(folder.path().join(unit), read(unit).replace("/usr/bin/lethe", LETHE)).unwrap();
    }
    folder
}

#[test("systemd-analyze")]
fn systemd_takes_the_units_without_a_warning() {
    let folder = units();
    for unit in ["lethe@.service", "lethe-dpdk@.service"] {
        let mut verify = Command::new("systemd-analyze");
        let output =
            verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(folder.path().join(unit)).output();
        let output = output.unwrap();
        let said = said(&output);
        assert!(output.status.success() && !said.contains(unit), "{said}");
    }
}

#[test("systemd-analyze")]
fn a_server_is_exposed_no_more_than_its_devices_take() {
    let folder = units();
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_MAX]);
    let output = security.arg(folder.path().join("lethe@.service")).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn lethe_takes_every_example() {
    for example in fs::read_dir(dist().join("examples")).unwrap() {
        let path = example.unwrap().path();
        let output = Command::new(LETHE).args(["serve", "--print-config", "--config"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}: {}", path.display(), said(&output));
    }
}

/// Whether a character can be part of the name of a metric.
fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_:".contains(character)
}

/// The metrics of Lethe that an expression names.
fn metrics(expression: &str) -> impl Iterator<Item = String> {
    let words = expression.split(|character| !is_name(character));
    words.filter(|word| word.starts_with("lethe_") || word.starts_with("process_")).map(str::to_owned)
}

/// All strings below a value that are named `expr` or `query`.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(text) if ["expr", "query"].contains(&name.as_str()) => found.push(text.to_owned()),
                    _ => expressions(field, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn every_metric_of_the_alerts_and_the_dashboard_is_one_of_the_server() {
    // What the server writes, on cards as well: the names in its source.
    let source = fs::read_to_string(dist().join("../server/src/metrics/prometheus.rs")).unwrap();
    let source = source.split("#[cfg(test)]").next().unwrap();
    let quoted = source.split('"').skip(1).step_by(2).filter(|text| text.chars().all(is_name));
    let written: BTreeSet<String> = quoted.flat_map(metrics).collect();
    assert!(written.len() > 20, "{written:?}");

    let mut asked = Vec::new();
    expressions(&serde_json::from_str(&read("grafana/lethe.json")).unwrap(), &mut asked);
    assert!(asked.len() > 15, "{asked:?}");
    asked.push(read("prometheus/alerts.yml"));
    // A histogram is written by its name, and has series with these ends.
    let has = |name: &str| {
        let ends = ["", "_bucket", "_sum", "_count"];
        ends.iter().filter_map(|end| name.strip_suffix(end)).any(|name| written.contains(name))
    };
    for name in asked.iter().flat_map(|expression| metrics(expression)) {
        assert!(has(&name), "no server has {name}");
    }
}

#[test("promtool")]
fn prometheus_takes_the_alerts_and_they_come_when_they_are_to() {
    for (what, file) in [("check", "alerts.yml"), ("test", "alerts_test.yml")] {
        let file = dist().join("prometheus").join(file);
        let output = Command::new("promtool").args([what, "rules"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn every_alert_has_a_test() {
    let tests = read("prometheus/alerts_test.yml");
    for alert in read("prometheus/alerts.yml").lines().filter_map(|line| line.split_once("alert: ")) {
        assert!(tests.contains(alert.1), "{}", alert.1);
    }
}

lethe_harness::main!();
