//! The examples, and the template as a project of its own outside of this repository: built, served to real clients on
//! every device, reloaded, watched, replayed, simulated and measured. Needs root. `dpdk.rs` has the template on DPDK.

#[path = "support/outside.rs"]
mod outside;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lethe::port::{Port as _, RxQueue as _, TxChecksum, TxFrame, TxQueue as _};
use lethe_harness::test;
use lethe_sim::tap::{Tap, TapConfig};
use lethe_testnet::{Namespace, Server, V4};
use nix::sys::signal::Signal;
use outside::{Template, example};
use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const TAP: &str = "tap:lethe0,host=10.9.0.1/24";

/// A folder that a server which has given up root can read.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Serves 10.9.0.2.
fn serve(space: &Namespace, program: &Path, device: &str, rest: &[&str]) -> Server {
    let mut command = space.command(program);
    Server::launch(command.args(["serve", "--device", device, "--addr", "10.9.0.2"]).args(rest), 1).unwrap()
}

/// The output of a program that has to end well.
#[track_caller]
fn say<S: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = S>) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// The number in front of a row of a table of counters.
#[track_caller]
fn count(table: &str, row: &str) -> u64 {
    let mut words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = words.find(|words| words.get(2) == Some(&row)).unwrap_or_else(|| panic!("no {row}: {table}"));
    found[0].parse().unwrap()
}

/// Replays the capture of an example, whose requests are answered; simulates clients at a loss of 5 %; measures a
/// fetch.
fn check_offline(program: &Path, captures: &Path, replies: u64, app: &[&str]) {
    let folder = folder();
    let secret = folder.path().join("secret");
    fs::write(&secret, "0".repeat(32)).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let capture = captures.join("curl.pcapng");
    let mut replay = vec![OsStr::new("replay"), capture.as_os_str(), OsStr::new("--out")];
    let out = folder.path().join("out.pcapng");
    replay.extend([out.as_os_str(), OsStr::new("--secret-file"), secret.as_os_str()]);
    replay.extend(["--addr", "10.9.0.2"].iter().chain(app).map(OsStr::new));
    assert_eq!(count(&say(program, replay), "response"), replies);
    let simulate = ["simulate", "--loss", "5%", "--seed", "1", "--requests", "200"];
    let said = say(program, simulate.iter().chain(app));
    assert!(said.contains("loss=5%") && said.contains(", every byte as the application said it"), "{said}");
    let bench = ["bench", "--each", "2ms", "--only", "fetch"];
    let said = say(program, bench.iter().chain(app));
    assert!(said.lines().filter(|line| line.contains(" fetch ")).count() == 4, "{said}");
}

fn captures_of(name: &str) -> PathBuf {
    Path::new(ROOT).join("examples").join(name).join("captures")
}

#[test(root, "curl")]
fn hello() {
    let (space, program) = (Namespace::new(), example("hello"));
    let server = serve(&space, &program, TAP, &[]);
    assert_eq!(space.run(&format!("curl -sS {V4}/ {V4}/a")), "hello\nhello\n");
    assert_eq!(count(&server.stop(), "response"), 2);
    check_offline(&program, &captures_of("hello"), 3, &[]);
}

#[test(root, "curl")]
fn redirect() {
    let (space, program, folder) = (Namespace::new(), example("redirect"), folder());
    let page = folder.path().join("about.html");
    let page = page.to_str().unwrap();
    fs::write(page, "About us.\n".repeat(20_000)).unwrap();
    let app = ["--from", "old.example", "--to", "new.example", page];
    let server = serve(&space, &program, TAP, &app);
    space.run(&format!("curl -sS {V4}/about | cmp - {page}"));
    let status = |rest: &str| {
        space.run(&format!("curl -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}' {rest}")).trim().to_owned()
    };
    assert_eq!(status(&format!("{V4}/health")), "204");
    let old = format!("-H 'Host: old.example' '{V4}/a?b=c'");
    assert_eq!(status(&old), "301 http://new.example/a?b=c");
    assert_eq!(status(&format!("-d data {old}")), "308 http://new.example/a?b=c");
    assert_eq!(status(&format!("{V4}/")), "421");
    server.stop();
    // The page of the capture has a tenth of the length.
    fs::write(page, "About us.\n".repeat(2_000)).unwrap();
    check_offline(&program, &captures_of("redirect"), 4, &app);
}

/// What the template serves, for as long as nothing is changed in it.
#[track_caller]
fn check_site(space: &Namespace, template: &Template) {
    assert_eq!(space.run(&format!("curl -sS '{V4}/hello?name=Ada'")), "<!doctype html><p>Hello, Ada\n");
    space.run(&format!("curl -sS {V4}/ | cmp - {}/page.html", template.path().display()));
}

#[test(root, "curl", "ethtool")]
fn the_template_is_a_project_of_its_own_on_every_device() {
    let template = Template::copy();
    template.test();
    let program = template.build("");
    let page = template.path().join("page.html");
    let page = page.to_str().unwrap();
    let program_name = program.to_str().unwrap();

    let space = Namespace::new();
    let socket = format!("{}/metrics.sock", template.path().display());
    let mut server = serve(&space, &program, TAP, &["--metrics", &format!("unix:{socket}"), page]);
    check_site(&space, &template);
    fs::write(page, "A longer page.\n".repeat(15_000)).unwrap();
    server.signal(Signal::SIGHUP);
    let line = server.line();
    assert!(line.starts_with("reloaded: "), "{line}");
    check_site(&space, &template);
    let top = space.run(&format!("{program_name} top --once unix:{socket}"));
    assert!(top.contains("   tap lethe0   site   up ") && top.contains(" 1 reloads, 0 failed"), "{top}");
    server.stop();

    for device in ["packet:lethe0", "xdp:lethe0", "xdp:lethe0,generic"] {
        let space = Namespace::new();
        space.run(
            "ip link add lethe0 type veth peer name client0
             ethtool -K client0 tx off >/dev/null
             ip addr add 10.9.0.1/24 dev client0
             ip link set lethe0 up
             ip link set client0 up",
        );
        let server = serve(&space, &program, device, &[page]);
        check_site(&space, &template);
        assert!(server.stop().contains(" response "), "{device}");
    }
    fs::copy(Path::new(ROOT).join("examples/template/page.html"), page).unwrap();
    check_offline(&program, &template.path().join("captures"), 3, &[page]);
}

/// Carries frames between a TAP and two sockets until it is told to stop.
fn relay(tap: &mut Tap, socket: &UnixDatagram, peer: &Path, stop: &AtomicBool) {
    let mut buffer = [0; 2000];
    while !stop.load(Ordering::Relaxed) {
        let (mut rx, mut tx) = tap.queues();
        while let Some(frame) = rx.receive() {
            socket.send_to(frame.bytes, peer).unwrap();
        }
        while let Ok(len) = socket.recv(&mut buffer) {
            let write = |room: &mut [u8]| {
                room[..len].copy_from_slice(&buffer[..len]);
                Some(TxFrame { len, checksum: TxChecksum::Complete })
            };
            let _ = tx.transmit(write);
        }
        tx.flush();
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test(root, "curl")]
fn a_port_of_one_s_own_is_served_as_any_other() {
    let (space, program, folder) = (Namespace::new(), example("unix-port"), folder());
    let help = say(&program, ["serve", "--help"]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("or unix:OWN,PEER, frames as datagrams"), "{help}");
    let [own, peer] = ["own", "peer"].map(|name| folder.path().join(name));
    let socket = UnixDatagram::bind(&peer).unwrap();
    socket.set_nonblocking(true).unwrap();
    // The server has given up root when it sends.
    fs::set_permissions(&peer, fs::Permissions::from_mode(0o777)).unwrap();
    let server = serve(&space, &program, &format!("unix:{},{}", own.display(), peer.display()), &[]);
    assert!(server.start_line.contains(&format!("(unix {}, MTU 1500, ", own.display())), "{}", server.start_line);
    let config = TapConfig { name: "tap0".to_owned(), hosts: vec!["10.9.0.1/24".parse().unwrap()], mtu: None };
    let mut tap = space.enter(move || Tap::open(&config)).unwrap();
    let stop = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| relay(&mut tap, &socket, &own, &stop));
        let said = space.try_run(&format!("curl -sS -m 20 {V4}/ {V4}/"));
        stop.store(true, Ordering::Relaxed);
        said
    });
    assert_eq!(said, (true, "hello\nhello\n".to_owned()));
    assert_eq!(count(&server.stop(), "response"), 2);
    let output = Command::new(&program).args(["serve", "--device", "unix:one", "--addr", "10.9.0.2"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "hello: --device unix:one: want two paths, as in unix:/run/hello,/run/client\n");
}

/// An application without arguments is served without any.
#[test(root)]
fn demo_shows_an_application_without_arguments() {
    let (space, hello) = (Namespace::new(), example("hello"));
    let said = space.run(&format!("{} demo --for 3s", hello.display()));
    assert!(said.contains("CLIENTS  500/s") && said.contains("2xx"), "{said}");
}

lethe_harness::main!();
