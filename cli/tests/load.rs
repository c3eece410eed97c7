//! `lethe load` between two network namespaces: against `lethe serve`, and against nginx on the kernel's TCP. Needs
//! root.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lethe_harness::test;
use lethe_sim::sample::expected;
use lethe_testnet::nginx::{self, Content, Nginx};
use lethe_testnet::{Namespace, Server, janitor};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const LETHE: &str = env!("CARGO_BIN_EXE_lethe");

/// Clients of both families: the addresses of the servers are among theirs.
const CLIENTS: &str = "--from 10.0.0.0/8 --from fd09::/64 --to 10.9.0.2 --to [fd09::2]:80";

/// A veth: `lethe0` with the server, and `client0` with the clients, whose kernel has no address at all.
struct Wire {
    server: Namespace,
    client: Namespace,
}

impl Wire {
    fn new() -> Self {
        let wire = Self { server: Namespace::new(), client: Namespace::new() };
        let peer = wire.client.name();
        wire.server.run(&format!("ip link add lethe0 type veth peer name client0 netns {peer}"));
        wire.client.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link set client0 up");
        wire.server.run("ip link set lethe0 up");
        wire
    }

    fn lethe(&self) -> Server {
        Server::start_on(&self.server, &["--device", "packet:lethe0"], "sample")
    }

    /// The result of `lethe load`.
    #[track_caller]
    fn load(&self, arguments: &str) -> Value {
        result(&self.client, &format!("--device packet:client0 {arguments}"))
    }

    /// Has the server answer whole bursts: what comes while it is stopped waits for it.
    fn load_in_bursts(&self, server: &Server) {
        std::thread::scope(|scope| {
            let clients = scope.spawn(|| self.load(&format!("{CLIENTS} --path /1000 --rate 2k --for 1s")));
            while !clients.is_finished() {
                for (signal, time) in [(Signal::SIGSTOP, 100), (Signal::SIGCONT, 50)] {
                    server.signal(signal);
                    std::thread::sleep(Duration::from_millis(time));
                }
            }
            check_all_answered(&clients.join().unwrap(), 2000);
        });
    }

    /// The message of a `lethe load` that fails.
    #[track_caller]
    fn mistake(&self, arguments: &str) -> String {
        let (success, text) = self.client.try_run(&format!("timeout 60 {LETHE} load --quiet {arguments}"));
        assert!(!success, "{text}");
        text
    }
}

/// The result of `lethe load`. What it notes on standard error is in front of it.
#[track_caller]
fn result(space: &Namespace, arguments: &str) -> Value {
    let text = space.run(&format!("{LETHE} load --json --quiet {arguments}"));
    let json = text.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(json).unwrap()
}

/// nginx, for both families, with a file of 1000 bytes of the pattern, one of 100,000, and one whose head changes. It
/// serves addresses of `device`, from which clients are reached by 10.9.0.1 and `fd09::1`.
fn start_nginx(space: &Namespace, device: &str) -> (nginx::Running, TempDir) {
    space.run(&format!(
        "sysctl -qw net.ipv4.tcp_max_syn_backlog=8192 net.core.somaxconn=8192
         ip addr replace 10.9.0.2/24 dev {device}
         ip addr replace fd09::2/64 dev {device} nodad
         ip route add 10.0.0.0/8 via 10.9.0.1"
    ));
    let site = janitor::folder("site").unwrap();
    for size in [1000, 100_000] {
        fs::write(site.path().join(size.to_string()), expected(size)).unwrap();
    }
    let changing = format!(
        "location /changing {{ alias {}/1000; expires 1h; add_header X-Request-ID $request_id;
                               add_header Set-Cookie n=$connection-$msec; }}",
        site.path().display()
    );
    let content = Content::Files(site.path());
    let nginx = Nginx { connections: 16_000, backlog: 8192, lean: true, more: &changing, ..Nginx::new(content) };
    (nginx.start(space, &[]).unwrap(), site)
}

#[track_caller]
fn check_all_answered(result: &Value, connections: u64) {
    for key in ["begun", "opened", "asked", "answered"] {
        assert_eq!(result[key], connections, "{key}: {result:#}");
    }
    assert_eq!(result["never_begun"], 0, "{result:#}");
    assert_eq!(result["latency_us"]["count"], connections, "{result:#}");
}

#[test(root)]
fn the_server_has_not_a_page_more_with_thirty_thousand_connections_open() {
    let wire = Wire::new();
    let server = wire.lethe();
    // Memory that a program touches once, it touches here.
    check_all_answered(&wire.load(&format!("{CLIENTS} --path /1000 --open 2000 --for 100ms")), 2000);
    wire.load_in_bursts(&server);
    let pid = server.pid();
    let result = wire.load(&format!("{CLIENTS} --path /1000 --open 30k --for 1s --timeout 30s --watch {pid}"));
    check_all_answered(&result, 30_000);
    let memory = result["memory"].as_array().unwrap();
    let most = memory.iter().max_by_key(|mark| mark["open"].as_u64()).unwrap();
    assert_eq!(most["open"], 30_000, "{result:#}");
    let written: Vec<_> = memory.iter().map(|mark| mark["anonymous_kib"].as_u64().unwrap()).collect();
    assert!(written.len() >= 3 && written.iter().all(|&kib| kib == written[0]), "{memory:?}");
}

/// Checks the result of connections that were to stay open: all requests answered, and so many connections begun.
#[track_caller]
fn check_kept(result: &Value, requests: u64, connections: u64) {
    assert_eq!((&result["answered"], &result["unfinished"]), (&requests.into(), &0.into()), "{result:#}");
    assert_eq!((&result["begun"], &result["opened"]), (&connections.into(), &connections.into()), "{result:#}");
    assert_eq!(result["latency_us"]["count"], requests, "{result:#}");
}

#[test(root)]
fn connections_stay_open_where_the_server_keeps_them() {
    let wire = Wire::new();
    for (keep, connections) in [("on", 100), ("off", 1000)] {
        let server =
            Server::start_on(&wire.server, &["--device", "packet:lethe0"], &format!("--keep-alive {keep} sample"));
        let options = format!("{CLIENTS} --path /100 --path /0 --path /1000 --keep-alive 10");
        let result = wire.load(&format!("{options} --open 100 --for 0s --compare all"));
        check_kept(&result, 1000, connections);
        assert_eq!(result["closed"], if keep == "on" { 0 } else { 1000 }, "{result:#}");
        // The server closes some before the limit of 10 only where it keeps none.
        let result = wire.load(&format!("{options} --rate 1k --for 1s"));
        assert_eq!((&result["answered"], &result["unfinished"]), (&1000.into(), &0.into()), "{result:#}");
        let begun = result["begun"].as_u64().unwrap();
        assert!(if keep == "on" { (100..200).contains(&begun) } else { begun == 1000 }, "{result:#}");
        drop(server);
    }
}

#[test(root)]
fn the_server_has_not_a_page_more_while_connections_are_idle_between_requests() {
    let wire = Wire::new();
    let server = Server::start_on(&wire.server, &["--device", "packet:lethe0"], "sample");
    // Memory that a program touches once, it touches here.
    check_kept(&wire.load(&format!("{CLIENTS} --path /100 --open 2000 --keep-alive 3 --for 0s")), 6000, 2000);
    wire.load_in_bursts(&server);
    let options = format!("--keep-alive 3 --think 2s --for 0s --timeout 30s --watch {}", server.pid());
    let result = wire.load(&format!("{CLIENTS} --path /100 --path /101 --path /102 --open 100k {options}"));
    check_kept(&result, 300_000, 100_000);
    let memory = result["memory"].as_array().unwrap();
    let written: Vec<_> = memory.iter().map(|mark| mark["anonymous_kib"].as_u64().unwrap()).collect();
    assert!(written.len() >= 3 && written.iter().all(|&kib| kib == written[0]), "{memory:?}");
    assert_eq!(result["memory_of_connections"], 100_000 * 36 + 3 * 24, "{result:#}");
}

#[test(root, "nginx")]
fn a_server_on_the_kernels_tcp_keeps_connections_and_answers_a_pipeline() {
    let (wire, host) = (Wire::new(), "--from 10.0.0.0/8 --to 10.9.0.2 --path /1000");
    let site = janitor::folder("site").unwrap();
    fs::write(site.path().join("1000"), expected(1000)).unwrap();
    wire.server.run("ip addr replace 10.9.0.2/24 dev lethe0; ip route add 10.0.0.0/8 via 10.9.0.1");
    let content = Content::Files(site.path());
    let nginx = Nginx { connections: 16_000, backlog: 8192, ..Nginx::new(content) }.start(&wire.server, &[]).unwrap();
    // nginx closes a connection after its 1000th request, as Debian has it.
    check_kept(&wire.load(&format!("{host} --open 50 --keep-alive 100 --for 0s")), 5000, 50);
    check_kept(&wire.load(&format!("{host} --open 50 --keep-alive 100 --pipeline 4 --for 0s")), 5000, 50);
    let result = wire.load(&format!("{host} --open 2 --keep-alive 2500 --for 0s"));
    check_kept(&result, 5000, 6);
    assert_eq!(result["closed"], 4, "{result:#}");
    drop(nginx);
}

#[test(root)]
fn requests_come_at_their_rate_to_both_families() {
    let wire = Wire::new();
    let _server = wire.lethe();
    let result = wire.load(&format!("{CLIENTS} --path /100 --path /1000 --path /20000 --rate 1000 --for 3s"));
    check_all_answered(&result, 3000);
    assert_eq!(result["frames"]["bad"], 0, "{result:#}");
    let took = result["stages"]["running"].as_f64().unwrap();
    assert!((2.9..3.5).contains(&took), "{result:#}");
    let sizes: Vec<_> = result["replies"].as_array().unwrap().iter().map(|reply| &reply["body"]).collect();
    assert_eq!(sizes, [100, 1000, 20_000], "{result:#}");
}

#[test(root, "nginx")]
fn a_server_on_the_kernels_tcp_is_loaded_as_well() {
    let wire = Wire::new();
    let _nginx = start_nginx(&wire.server, "lethe0");
    // Segments come as the kernel puts them together, up to 64 kB in a frame; some of those are lost for want of room.
    for options in ["", "--no-timestamps", "--mss 536"] {
        let result = wire.load(&format!("{CLIENTS} --path /1000 --path /100000 --rate 200 --for 2s {options}"));
        check_all_answered(&result, 400);
        assert_eq!(result["replies"][1]["body"], 100_000);
    }
    check_all_answered(&wire.load(&format!("{CLIENTS} --path /1000 --open 2000 --for 500ms")), 2000);
    // No connection was reset: each was closed in order, by a FIN from both ends.
    let resets = wire.server.run("nstat -asz TcpOutRsts TcpEstabResets | awk 'NR > 1 { print $2 }'");
    assert_eq!(resets, "0\n0\n");
}

#[test(root, "nginx", "ethtool")]
fn clients_reach_a_server_by_every_kind_of_port() {
    let wire = Wire::new();
    {
        let server = Server::start_on(&wire.server, &["--device", "packet:lethe0"], "sample");
        // Frames that stay on this machine are without TCP checksums else, and only an `AF_PACKET` socket is told so.
        wire.server.run("ethtool -K lethe0 tx off");
        let arguments = format!("--device xdp:client0 {CLIENTS} --path /1000 --rate 500 --for 1s");
        check_all_answered(&result(&wire.client, &arguments), 500);
        server.stop();
    }
    // The kernel's end of the TAP is the server's.
    let space = Namespace::new();
    space.run("ip tuntap add tap0 mode tap; ip link set tap0 up");
    let _nginx = start_nginx(&space, "tap0");
    let arguments = format!("--device tap:tap0 {CLIENTS} --path /1000 --rate 500 --for 1s");
    check_all_answered(&result(&space, &arguments), 500);
}

#[test(root)]
fn requests_are_answered_beside_floods_and_slow_clients() {
    let wire = Wire::new();
    let server = wire.lethe();
    for kind in ["syn", "ack", "garbage"] {
        let result = wire.load(&format!(
            "{CLIENTS} --path /100 --rate 200 --for 2s --flood {kind}=5k/s --slow idle=50 --slow drip=50"
        ));
        check_all_answered(&result, 400);
        let sent = result["floods"][0]["frames"].as_u64().unwrap();
        assert!((9_000..13_000).contains(&sent), "{kind}: {sent}");
        assert_eq!(result["slow"][1]["opened"], 50);
    }
    let table = server.stop();
    let count = |row: &str| {
        let line = table.lines().find(|line| line.contains(row)).unwrap_or_else(|| panic!("{row}: {table}"));
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    assert!(count(" syn-ack") > 9_000, "{table}");
    assert!(count(" tcp-cookie") > 1_000, "{table}");
}

#[test(root)]
fn the_body_that_must_come_can_be_given_as_a_file() {
    let wire = Wire::new();
    let _server = wire.lethe();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), expected(1000)).unwrap();
    let expect = format!("{CLIENTS} --path /1000 --expect {} --rate 100 --for 1s", file.path().display());
    check_all_answered(&wire.load(&expect), 100);
    fs::write(file.path(), &expected(1000)[1..]).unwrap();
    let text = wire.mistake(&format!("--device packet:client0 {expect}"));
    assert!(text.contains("differs from the file given with --expect at byte 0"), "{text}");
}

/// A server of another kind: its heads are never the same, and it says more than HTTP/1.0 had. One body in ten of
/// `/wrong` is another, and one status in ten of `/busy`.
const CHATTY: &str = r#"
import http.server, itertools, random, socketserver, uuid

numbers = itertools.count()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        number = next(numbers)
        is_tenth = number % 10 == 9
        body = b"hello, world" * 500
        if self.path == "/hints":
            self.send_response_only(103)
            self.send_header("Link", "</%s.css>" % ("a" * random.randrange(50)))
            self.end_headers()
        self.send_response(503 if self.path == "/busy" and is_tenth else 200)
        self.send_header("Expires", self.date_time_string(number * 1000))
        self.send_header("Set-Cookie", "id=" + "x" * random.randrange(1, 300))
        self.send_header("X-Request-ID", str(uuid.uuid4()))
        self.send_header("X-City", "Köln")
        self.send_header("Connection", "close")
        if self.path == "/wrong" and is_tenth:
            body = body[:-1] + b"!"
        if self.path == "/short" and is_tenth:
            body = body[:-7]
        if self.path == "/chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while body:
                part = body[:random.randrange(1, 3000)]
                body = body[len(part):]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 1000
    daemon_threads = True
    allow_reuse_address = True
Server(("10.9.0.2", 80), Handler).serve_forever()
"#;

/// A process that ends with the test.
struct Python(Child);

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Times, cookies and numbers of requests do not make a reply wrong.
#[test(root, "nginx")]
fn servers_whose_heads_change_are_compared_by_status_and_body() {
    let wire = Wire::new();
    let nginx = start_nginx(&wire.server, "lethe0");
    let clients = "--device packet:client0 --from 10.0.0.0/8 --to 10.9.0.2 --rate 100 --for 2s";
    let run = |arguments: &str| {
        let (success, text) = wire.client.try_run(&format!("{LETHE} load --quiet {clients} {arguments}"));
        (success, text)
    };
    let (success, text) = run("--path /changing");
    assert!(success && text.contains("         200  answered, status and body right (all)"), "{text}");
    let (success, text) = run("--path /changing --compare all");
    assert!(!success && text.contains("replies were wrong: the result names the first"), "{text}");
    drop(nginx);

    let python = Python(wire.server.command("python3").args(["-c", CHATTY]).spawn().unwrap());
    let begun = Instant::now();
    while wire.server.run("ss -Htln 'sport = :80'").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "python3 does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    let right = run("--path /a --path /hints --path /chunks");
    let wrong = ["/wrong", "/busy", "/short"].map(|path| run(&format!("--path {path}")));
    let check = |path: &str| wire.server.try_run(&format!("{LETHE} check http://10.9.0.2{path}"));
    let checked = ["/a", "/hints", "/chunks"].map(check);
    drop(python);

    assert!(right.0 && right.1.contains("         200  answered, status and body right (all)"), "{}", right.1);
    for path in ["/a: status 200, 6000", "/hints: status 200, 6000", "/chunks: status 200, 6000"] {
        assert!(right.1.contains(path), "{}", right.1);
    }
    for ((success, text), part) in
        wrong.iter().zip(["byte 5999 of the body", "the status is 503", "byte 5993 of the body"])
    {
        assert!(!success && text.contains(part), "{part}: {text}");
        assert!(text.contains("20  failed: wrong-bytes") && text.contains("20 replies were wrong"), "{text}");
    }
    assert!(checked.iter().all(|(success, _)| *success), "{checked:?}");
}

#[test(root)]
fn an_interrupt_prints_the_result_so_far() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        check_interrupted(signal);
    }
}

fn check_interrupted(signal: Signal) {
    let wire = Wire::new();
    let _server = wire.lethe();
    let mut command = wire.client.command(LETHE);
    let arguments = format!("load --device packet:client0 {CLIENTS} --path /100 --rate 500 --for 1h");
    let child =
        command.args(arguments.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("answered, status and body right"), "{signal}: {text}");
    assert!(text.contains("p99"), "{signal}: {text}");
}

#[test(root)]
fn every_mistake_comes_with_what_mends_it() {
    let wire = Wire::new();
    let device = "--device packet:client0";
    for (arguments, expect) in [
        ("--device packet:none0 --from 10.0.0.0/8 --to 10.9.0.2 --rate 1".to_owned(), "there is no interface none0"),
        (format!("{device} --from 10.0.0.0/8 --to 10.9.0.2"), "--rate 1000 for requests, --open 100k for connections"),
        (format!("{device} --from 10.0.0.0/8 --to fd09::2 --rate 1"), "no client can ask [fd09::2]:80"),
        (format!("{device} --from 10.0.0.0/8 --to 10.9.0.2 --rate 1 --watch 4194304"), "there is no such process"),
        (format!("{device} --from 10.0.0.0/8 --to 10.9.0.2 --rate 1"), "no answer from 10.9.0.2"),
        (format!("{device} --from 10.0.0.0/8 --to 10.9.0.2 --rate fast"), "want a number a second"),
        (format!("{device} --from 10.0.0.1/32 --to 10.9.0.2 --open 1M"), "give a larger network with --from"),
    ] {
        let text = wire.mistake(&arguments);
        assert!(text.contains(expect), "{arguments}: {text}");
    }
}

lethe_harness::main!();
