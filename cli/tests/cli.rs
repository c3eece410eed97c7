//! The command as people run it: its help, its answers, and what it says when something is wrong.
//!
//! `client.pcap` is what curl and ping sent on 2026-11-28 through a TAP device to `lethe serve ipinfo` at
//! 10.9.0.2 and `fd09::2`, under the secret of 32 zeros: one fetch over IPv4 and one over IPv6, one echo
//! request, one SYN to port 81.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lethe_sim::capture::{Packet, Reader};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const CLIENT: &[u8] = include_bytes!("client.pcap");
const REPLAY: &str = "replay in.pcap --out out.pcapng --addr 10.9.0.2 --addr fd09::2";

/// Runs `lethe` with arguments that are separated by spaces, in `directory`.
fn lethe(directory: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    // Neither colours nor a width of this terminal.
    command.env_clear().current_dir(directory).args(arguments.split(' '));
    command.output().unwrap()
}

/// A new directory with `in.pcap`.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.pcap"), CLIENT).unwrap();
    directory
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// Exit code and what was said, on both outputs.
fn said(output: &Output) -> String {
    let code = output.status.code().unwrap();
    format!("[exit {code}]\n{}{}", text(&output.stdout), text(&output.stderr))
}

fn packets(path: &Path) -> Vec<Packet> {
    Reader::new(fs::File::open(path).unwrap()).unwrap().map(Result::unwrap).collect()
}

#[cfg(not(feature = "dpdk"))]
#[test]
fn without_dpdk_it_is_said_how_to_have_it() {
    let directory = directory();
    let output = lethe(directory.path(), "serve --device dpdk:0 --eal --no-pci --addr 10.9.0.2 sample");
    let said = said(&output);
    assert!(said.contains("[exit 1]") && said.contains("--features dpdk"), "{said}");
}

#[test]
fn help_explains_each_command() {
    // What the help of a command lists is a command as well.
    let mut commands = vec![String::new()];
    let mut explained = 0;
    while let Some(command) = commands.pop() {
        let output = lethe(Path::new("."), &format!("{command}--help"));
        assert!(output.status.success(), "{command}");
        let help = text(&output.stdout);
        let is_heading = |line: &&str| matches!(*line, "Commands:" | "Applications:");
        let listed = help.lines().skip_while(|line| !is_heading(line)).skip(1).take_while(|line| !line.is_empty());
        let names =
            listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
        // The applications of these are those of `serve`, and explained there.
        let deeper = !["replay ", "simulate ", "bench ", "verify "].contains(&command.as_str());
        commands.extend(names.filter(|name| *name != "help" && deeper).map(|name| format!("{command}{name} ")));
        let name = format!("help {command}").trim().replace(' ', "-");
        insta::assert_snapshot!(name, help);
        explained += 1;
    }
    assert!(explained >= 17, "only {explained} commands were found");
}

#[test]
fn version_is_that_of_the_package() {
    let output = lethe(Path::new("."), "--version");
    assert_eq!(text(&output.stdout), concat!("lethe ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn what_packets_cost_is_measured_and_told_as_json() {
    let output = lethe(directory().path(), "bench --each 1ms --json --only GET --data 1");
    assert!(output.status.success(), "{}", said(&output));
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4 * (3 + 2 + 2 + 2 + 1 + 2) + 1, "{names:?}");
    for row in rows.as_array().unwrap() {
        let [best, median, p99] = ["best_ns", "median_ns", "p99_ns"].map(|name| row[name].as_f64().unwrap());
        assert!(0.0 < best && best <= median && median <= p99, "{row}");
    }
}

#[test]
fn a_recorded_client_is_answered_and_the_packets_counted() {
    let directory = directory();
    let output = lethe(directory.path(), &format!("{REPLAY} ipinfo"));
    insta::assert_snapshot!("replay", said(&output));

    let client = packets(&directory.path().join("in.pcap"));
    let both = packets(&directory.path().join("out.pcapng"));
    let (came_in, went_out): (Vec<_>, Vec<_>) = both.into_iter().partition(|packet| packet.interface == 0);
    assert_eq!(came_in, client);
    assert_eq!(went_out.len(), 9);
    let place = "中国 广东省 广州市".as_bytes();
    let has_place = |packet: &Packet| packet.bytes.windows(place.len()).any(|window| window == place);
    assert_eq!(went_out.iter().filter(|packet| has_place(packet)).count(), 1);
}

#[test]
fn a_capture_has_the_same_answers_every_time() {
    let directory = directory();
    let replay = || {
        assert!(lethe(directory.path(), &format!("{REPLAY} ipinfo")).status.success());
        fs::read(directory.path().join("out.pcapng")).unwrap()
    };
    assert_eq!(replay(), replay());
}

#[test]
fn requests_under_another_secret_are_dropped() {
    let directory = directory();
    let secret = directory.path().join("secret");
    fs::write(&secret, "000102030405060708090a0b0c0d0e0f\n").unwrap();
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o644)).unwrap();
    let output = lethe(directory.path(), &format!("{REPLAY} --secret-file secret --refuse reset ipinfo"));
    insta::assert_snapshot!("replay-other-secret", said(&output));
}

#[test]
fn a_capture_that_is_cut_short_is_answered_as_far_as_it_goes() {
    let directory = directory();
    fs::write(directory.path().join("in.pcap"), &CLIENT[..400]).unwrap();
    let output = lethe(directory.path(), &format!("{REPLAY} ipinfo"));
    insta::assert_snapshot!("replay-cut-short", said(&output));
    assert!(!packets(&directory.path().join("out.pcapng")).is_empty());
}

#[test]
fn mistakes_are_explained() {
    let directory = directory();
    let write = |name: &str, contents: &[u8]| fs::write(directory.path().join(name), contents).unwrap();
    write("secret", b"00 not this line\n");
    write("junk", b"neither a database nor a capture");
    let serve = "serve --addr 10.9.0.2 --device";
    let mut all = String::new();
    for arguments in [
        "serve ipinfo",
        "serve --device tap:t --addr 10.9.0.2",
        &format!("{serve} pci:0 ipinfo"),
        &format!("{serve} tap:t,host=10.9.0.1 ipinfo"),
        &format!("{serve} tap:t,host=10.9.0.2/24 ipinfo"),
        &format!("{serve} tap:sixteen-bytes-xx ipinfo"),
        &format!("{serve} tap:t --addr 10.9.0.300 ipinfo"),
        &format!("{serve} tap:t --tcp-port 0 ipinfo"),
        &format!("{serve} tap:t --mac 02:00 ipinfo"),
        &format!("{serve} tap:t --refuse politely ipinfo"),
        &format!("{serve} tap:t --metrics here ipinfo"),
        "top 127.0.0.1:1",
        &format!("{serve} tap:t ipinfo --db missing"),
        &format!("{serve} tap:t ipinfo --db junk"),
        &format!("{REPLAY} --secret-file secret ipinfo"),
        &format!("{REPLAY} --secret-file missing ipinfo"),
        &format!("{REPLAY} --mtu 1000 ipinfo"),
        "bench --each 0s",
        "bench --only nothing-has-this",
        &format!("{REPLAY} --addr 127.0.0.1 ipinfo"),
        "replay junk --out out --addr 10.9.0.2 ipinfo",
        &format!("{serve} tap:t --burst 0 ipinfo"),
        &format!("{serve} packet:eth0 --burst 257 ipinfo"),
        &format!("{serve} packet:eth0 --gather 50 ipinfo"),
        &format!("{serve} packet:eth0 --gather 11ms ipinfo"),
        &format!("{serve} tap:t --generation 1 ipinfo"),
        &format!("{serve} tap:t --generation 4 files ."),
        &format!("{serve} tap:t --settle 1s ipinfo"),
        &format!("{serve} tap:t --settle 2d files ."),
        "check 10.9.0.2",
        "check http://lethe.example/",
        "check http://127.0.0.1:1/ --up true",
        "check http://127.0.0.1:1/ --every 0s",
        "check http://127.0.0.1:1/",
        "replay missing --out out --addr 10.9.0.2 ipinfo",
        "replay in.pcap --out /dev/full --addr 10.9.0.2 ipinfo",
        &format!("{serve} tap:t files missing"),
        &format!("{serve} tap:t files junk"),
        &format!("{serve} tap:t files junk --hidden"),
        &format!("{serve} tap:t files . --field X:y"),
        &format!("{serve} tap:t files"),
        &format!("{serve} tap:t files . --site ."),
        &format!("{serve} tap:t files . --site *=."),
        &format!("{serve} tap:t files . --site a_b=."),
        &format!("{serve} tap:t files . --site a:80=."),
        &format!("{serve} tap:t files --site a=. --site A.=missing"),
        &format!("{serve} tap:t files --site a=missing"),
        &format!("{serve} tap:t files --site a=junk"),
        &format!("{serve} tap:t files junk --site a=."),
        &format!("{serve} tap:t files . --rules junk"),
        &format!("{serve} tap:t files . --rules missing"),
        "prepare files --site a=.",
        "prepare files --site a=. ./out",
        "prepare files missing --site a=. /tmp/none.image",
        "prepare files --fallback none . /tmp/none.image",
        "prepare files missing out",
        "prepare files junk out",
        "prepare files . ./out",
        "prepare files . /dev/full",
        "prepare files .",
        "prepare files --check junk",
        "prepare files --check missing",
        "prepare ipinfo missing out",
        "prepare ipinfo junk out",
        &format!("{serve} tap:t scores missing"),
        &format!("{serve} tap:t scores junk"),
        &format!("{serve} tap:t scores ."),
        "prepare scores",
        "prepare scores missing.csv out --id-field a --secret-field b",
        "prepare scores junk out --id-field a --secret-field b",
        "prepare scores junk out --format dbf --id-field a --secret-field b",
        "prepare scores junk out --format csv",
        "prepare scores junk out --format csv --id-field a --secret-field b",
        "prepare scores junk out --format text --strict",
        "prepare scores junk out --format text --template missing",
        "prepare scores junk out --format text --encoding klingon",
        "prepare scores junk out --format text --title <b>",
        "prepare scores --check junk",
        "prepare scores-sample out --candidates 0",
    ] {
        let output = lethe(directory.path(), arguments);
        assert!(!output.status.success(), "{arguments}");
        writeln!(all, "$ lethe {arguments}\n{}", said(&output)).unwrap();
    }
    insta::assert_snapshot!("mistakes", all);
    assert!(!directory.path().join("out").exists(), "a mistake leaves no file behind");
}

#[test]
fn every_compressed_form_that_is_not_sent_is_named_up_to_a_thousand() {
    for (count, more) in [(25, None), (1003, Some("3 more files are not named"))] {
        let directory = tempfile::tempdir().unwrap();
        let site = directory.path().join("site");
        fs::create_dir(&site).unwrap();
        for number in 0..count {
            fs::write(site.join(format!("{number:04}.css")), b"new").unwrap();
            fs::write(site.join(format!("{number:04}.css.gz")), b"not really").unwrap();
        }
        let output = lethe(directory.path(), "prepare files site out");
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        let named = (0..count).filter(|number| errors.contains(&format!("{number:04}.css.gz is not sent"))).count();
        assert_eq!(named, count.min(1000));
        assert!(out.contains(&format!("{count} (it does not unpack as gzip)")), "{out}");
        assert_eq!(errors.lines().count(), named + usize::from(more.is_some()));
        assert!(more.is_none_or(|more| errors.contains(more)), "{errors}");
    }
}

#[test]
fn places_that_are_not_kept_are_not_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = xdb();
    let (old, new) = ("中国".as_bytes(), "越南".as_bytes());
    let at = file.windows(old.len()).position(|window| window == old).unwrap();
    file[at..at + old.len()].copy_from_slice(new);
    fs::write(directory.path().join("in.xdb"), file).unwrap();
    let mut all = String::new();
    let named = " --fields country,-,province,city,-";
    for fields in ["", named, &format!("{named} --only-china"), " --fields country,-,-,-,-"] {
        let arguments = format!("prepare ipinfo in.xdb out.db{fields}");
        writeln!(all, "$ lethe {arguments}\n{}", said(&lethe(directory.path(), &arguments))).unwrap();
    }
    insta::assert_snapshot!("prepare-without-china", all);
}

/// An ip2region file of one segment.
fn xdb() -> Vec<u8> {
    const SEGMENTS: u32 = 256 + 256 * 256 * 8;
    let region = "中国|0|江苏省|南京市|电信".as_bytes();
    let mut file = vec![0; SEGMENTS as usize];
    // Version, index policy, build time, first and last segment.
    let header = [2_u32 | 1 << 16, 0, SEGMENTS, SEGMENTS].map(u32::to_le_bytes).concat();
    file[..16].copy_from_slice(&header);
    let range = [0x0102_0300_u32, 0x0102_03ff].map(u32::to_le_bytes).concat();
    let len = (region.len() as u16).to_le_bytes();
    [&file[..], &range, &len, &(SEGMENTS + 14).to_le_bytes(), region].concat()
}

/// An ip2region file that takes a while to convert.
fn large_xdb() -> Vec<u8> {
    const SEGMENTS: u32 = 1_000_000;
    const AT: u32 = 256 + 256 * 256 * 8;
    let region = "中国|0|江苏省|南京市|电信".as_bytes();
    let len = (region.len() as u16).to_le_bytes();
    let header = [2_u32 | 1 << 16, 0, AT, AT + 14 * (SEGMENTS - 1)].map(u32::to_le_bytes).concat();
    let mut file = header;
    file.resize(AT as usize, 0);
    for number in 0..SEGMENTS {
        let range = [number << 8, number << 8 | 0xff].map(u32::to_le_bytes).concat();
        file.extend([&range[..], &len, &(AT + 14 * SEGMENTS).to_le_bytes()].concat());
    }
    file.extend(region);
    file
}

#[test]
fn a_prepared_database_can_be_served_from() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("in.xdb"), xdb()).unwrap();
    let output = lethe(directory.path(), "prepare ipinfo in.xdb out.db");
    insta::assert_snapshot!("prepare", said(&output));
    let permissions = |name| fs::metadata(path(name)).unwrap().permissions();
    assert_eq!(permissions("out.db"), permissions("in.xdb"), "the permissions of any new file");
    assert!(lethe(directory.path(), &format!("{REPLAY} ipinfo --db out.db")).status.success());

    // A damaged source leaves the good database alone.
    let good = fs::read(path("out.db")).unwrap();
    fs::write(path("in.xdb"), &xdb()[..xdb().len() - 1]).unwrap();
    assert!(!lethe(directory.path(), "prepare ipinfo in.xdb out.db").status.success());
    assert_eq!(fs::read(path("out.db")).unwrap(), good);
}

#[test]
fn an_image_is_made_of_a_directory_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let site = directory.path().join("site");
    fs::create_dir(&site).unwrap();
    let write = |name: &str, contents: &[u8]| fs::write(site.join(name), contents).unwrap();
    // `printf '<p>Hello' | gzip -n`
    let gzipped = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xb3\x29\xb0\xf3\x48\xcd\xc9\xc9\x07\0\x32\x51\xab\x54\x08\0\0\0";
    write("index.html", b"<p>Hello");
    write("index.html.gz", gzipped);
    write("i.svgz", gzipped);
    write("text.svgz", b"<svg/>");
    write("empty.js", b"empty");
    write("empty.js.gz", b"");
    write("none.css", b"none");
    write("none.css.gz", b"not really");
    write("none.css.br", b"not really");
    write("none.css.zst", b"not really");
    write("old.css", b"new");
    write("old.css.gz", gzipped);
    write(".hidden", b"hidden");
    std::os::unix::fs::symlink("/etc/passwd", site.join("link")).unwrap();
    let mut all = String::new();
    let mut run = |arguments: &str| {
        let output = lethe(directory.path(), arguments);
        // Where the directory is changes from run to run.
        let said = said(&output).replace(directory.path().canonicalize().unwrap().to_str().unwrap(), "");
        writeln!(all, "$ lethe {arguments}\n{said}").unwrap();
    };
    run("prepare files site out");
    run("prepare files --check out");
    run("prepare files site with-hidden --hidden");
    run("prepare files --check with-hidden");
    let mut damaged = fs::read(directory.path().join("out")).unwrap();
    let body = damaged.windows(8).position(|window| window == b"<p>Hello").unwrap();
    damaged[body] ^= 1;
    fs::write(directory.path().join("damaged"), &damaged).unwrap();
    run("prepare files --check damaged");
    insta::assert_snapshot!("prepare-files", all);
}

/// Starts a command that makes `out`, and sends it a signal once the file that is to become `out` is there, and has so
/// many bytes.
fn interrupt(directory: &Path, arguments: &[&str], signal: Signal, bytes: u64) {
    fs::write(directory.join("out"), "old").unwrap();
    let before = names(directory);
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    let mut child = command.current_dir(directory).args(arguments).spawn().unwrap();
    let is_begun = |entry: fs::DirEntry| {
        entry.file_name().to_string_lossy().starts_with(".lethe-")
            && entry.metadata().is_ok_and(|metadata| metadata.len() >= bytes)
    };
    while !fs::read_dir(directory).unwrap().any(|entry| is_begun(entry.unwrap())) {
        assert!(child.try_wait().unwrap().is_none(), "{arguments:?} was done before it could be interrupted");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{arguments:?}, {signal}");
    assert_eq!(fs::read(directory.join("out")).unwrap(), b"old", "{arguments:?}, {signal}");
    assert_eq!(names(directory), before, "{arguments:?}, {signal}");
}

/// The names in a directory.
fn names(directory: &Path) -> std::collections::BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn whatever_interrupts_prepare_leaves_the_old_file_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let site = directory.path().join("site");
    fs::create_dir(&site).unwrap();
    // It has no bytes on disk, and takes a second or more to copy.
    fs::File::create(site.join("large")).unwrap().set_len(1 << 30).unwrap();
    fs::write(directory.path().join("in.xdb"), large_xdb()).unwrap();
    let sampled = lethe(directory.path(), "prepare scores-sample in.dbf --candidates 50000");
    assert!(sampled.status.success(), "{}", said(&sampled));
    let fields = "--id-field 准考证号 --secret-field 身份证号";
    for (arguments, bytes) in [
        ("files site out".to_owned(), 1 << 20),
        (format!("scores in.dbf out {fields}"), 1 << 20),
        ("scores-sample out --candidates 400000".to_owned(), 1 << 20),
        // It writes everything at its end.
        ("ipinfo in.xdb out".to_owned(), 0),
    ] {
        let arguments: Vec<_> = ["prepare"].into_iter().chain(arguments.split(' ')).collect();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
            interrupt(directory.path(), &arguments, signal, bytes);
        }
    }
}

/// A disk that is full is an error like others: here it is a limit on the length of files.
#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("site")).unwrap();
    fs::File::create(path("site/large")).unwrap().set_len(1 << 21).unwrap();
    fs::write(path("in.xdb"), xdb()).unwrap();
    assert!(lethe(directory.path(), "prepare scores-sample in.dbf --candidates 2000").status.success());
    fs::write(path("out"), "old").unwrap();
    let before = names(directory.path());
    for arguments in [
        "files site out",
        "scores in.dbf out --id-field 准考证号 --secret-field 身份证号",
        "scores-sample out --candidates 2000",
        "ipinfo in.xdb out",
    ] {
        let line = format!("trap '' XFSZ; ulimit -f 64; exec {} prepare {arguments}", env!("CARGO_BIN_EXE_lethe"));
        let output = Command::new("sh").current_dir(directory.path()).args(["-c", &line]).output().unwrap();
        let said = said(&output);
        assert!(said.contains("[exit 1]") && said.contains("File too large"), "{arguments}: {said}");
        assert_eq!(names(directory.path()), before, "{arguments}");
        assert_eq!(fs::read(path("out")).unwrap(), b"old", "{arguments}");
    }
}

/// `lethe … | head -1`, with every command that prints.
#[test]
fn a_reader_that_leaves_ends_a_command_quietly() {
    let directory = directory();
    for arguments in [
        "--help",
        "serve --help",
        "simulate --seed 1 --requests 10",
        "simulate --seed 1 --requests 10 --json",
        "simulate --seed 1 --soak 1s --requests 2",
        "simulate --exhaustive --frames 2",
        "simulate --compare --only lethe --sizes 1000 --losses 0,1 --requests 2",
        "simulate --chart chart.svg --requests 2 --size 1000 --seed 1",
        "bench --each 1ms --only SYN --data 1",
        "bench --each 1ms --only SYN --data 1 --json",
        &format!("{REPLAY} ipinfo"),
        "prepare scores-sample out.dbf --candidates 10",
    ] {
        // The reader has left before anything is printed.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
        command.current_dir(directory.path()).args(arguments.split(' ')).stdout(writer).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert!(!said.contains("panicked") && !said.contains("pipe"), "{arguments}: {said}");
        assert_eq!(output.status.code(), Some(0), "{arguments}: {said}");
    }
}

#[test]
fn a_table_becomes_a_file_of_scores_and_what_was_left_out_is_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, contents: &[u8]| fs::write(directory.path().join(name), contents).unwrap();
    write("in.csv", b"seat,secret,points\n1,2,600\n1,3,500\n,4,400\n5,6,700\n");
    write("good.csv", b"seat,secret,points\n1,2,600\n");
    let mut all = String::new();
    let mut run = |arguments: &str| {
        writeln!(all, "$ lethe {arguments}\n{}", said(&lethe(directory.path(), arguments))).unwrap();
    };
    run("prepare scores in.csv out --id-field seat --secret-field secret");
    run("prepare scores --check out");
    run("prepare scores in.csv out --id-field seat --secret-field secret --strict");
    run("prepare scores --check out");
    let rejects = || fs::read_to_string(directory.path().join("out.rejects"));
    writeln!(all, "out.rejects:\n{}", rejects().unwrap()).unwrap();
    let mut run = |arguments: &str| {
        writeln!(all, "$ lethe {arguments}\n{}", said(&lethe(directory.path(), arguments))).unwrap();
    };
    run("prepare scores good.csv out --id-field seat --secret-field secret");
    assert!(rejects().is_err(), "an older report is not left beside a newer file");
    let mut damaged = fs::read(directory.path().join("out")).unwrap();
    damaged[300] ^= 1;
    write("damaged", &damaged);
    run("prepare scores --check damaged");
    insta::assert_snapshot!("prepare-scores", all);
}

#[test]
fn a_table_that_cannot_be_trusted_is_warned_of_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, contents: &[u8]| fs::write(directory.path().join(name), contents).unwrap();
    write("exponent.csv", b"seat;secret;points\n1;9.90101E+17;600,5\n2;9.90101E+17;500\n");
    write("quote.csv", b"seat,secret,points\n1,2,\"600\n3,4,500\n5,6,\"400\n");
    write("wide.csv", &"seat,secret\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    write("junk.dbf", &[3; 5000]);
    fs::create_dir(directory.path().join("folder.csv")).unwrap();
    let mut all = String::new();
    for arguments in [
        "exponent.csv out",
        "exponent.csv out2 --strict",
        "quote.csv out2",
        "wide.csv out2",
        "junk.dbf out2",
        "folder.csv out2",
    ] {
        let arguments = format!("prepare scores --id-field seat --secret-field secret {arguments}");
        writeln!(all, "$ lethe {arguments}\n{}", said(&lethe(directory.path(), &arguments))).unwrap();
    }
    insta::assert_snapshot!("prepare-scores-refused", all);
    assert!(!directory.path().join("out2").exists());
}

/// The file that is left behind has a name that says what it was to become.
#[test]
fn a_command_that_is_killed_leaves_the_old_file_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("out"), "old").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    let command = command.current_dir(directory.path()).args(["prepare", "scores-sample", "out"]);
    let mut child = command.spawn().unwrap();
    while names(directory.path()).len() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it was done before it could be killed");
    assert_eq!(fs::read(directory.path().join("out")).unwrap(), b"old");
    assert!(names(directory.path()).iter().any(|name| name.starts_with(".lethe-")));
}

/// Asking a script for help must neither build anything nor begin its work.
#[test]
fn every_script_of_tools_explains_itself_at_once() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools").canonicalize().unwrap();
    // Scripts look for Cargo behind what the caller has.
    let folder = tempfile::tempdir().unwrap();
    let (cargo, built) = (folder.path().join("cargo"), folder.path().join("built"));
    fs::write(&cargo, format!("#!/bin/sh\ntouch {}\nexit 1\n", built.display())).unwrap();
    fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let run = |script: &Path, argument: &str| {
        let mut command = Command::new("timeout");
        command.arg("20").arg(script).arg(argument).env("PATH", &path).current_dir(folder.path());
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(!built.exists(), "{} {argument} builds", script.display());
        output
    };
    let mut count = 0;
    for entry in fs::read_dir(&tools).unwrap().map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file())
    {
        let (script, name) = (entry.path(), entry.file_name().into_string().unwrap());
        let help = run(&script, "--help");
        let text = text(&help.stdout);
        assert!(help.status.success() && help.stderr.is_empty(), "{name}: {}", said(&help));
        assert!(text.to_lowercase().contains("usage: ") && text.to_lowercase().contains("example"), "{name}: {text}");
        assert_eq!(said(&run(&script, "-h")), said(&help), "{name}");
        let wrong = run(&script, "--no-such-option");
        assert!(matches!(wrong.status.code(), Some(1 | 2)), "{name}: {}", said(&wrong));
        count += 1;
    }
    assert!(count >= 5, "{count} scripts");
}
