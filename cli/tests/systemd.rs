//! `lethe serve` under a service manager, which is a socket of the test: what it is told when the server serves, while
//! data is loaded again, by the watchdog's clock, and at the end. Needs root.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lethe_harness::test;
use lethe_testnet::{Namespace, Server, TAP, binary, serve};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long the server may take for what it is to say.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the watchdog waits for. The loop is to come by twice within that.
const WATCHDOG: Duration = Duration::from_secs(3);

/// The socket that systemd would have, and a folder with a page for the server.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("www")).unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        // As that of systemd: the server is no longer root when it says something.
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        let manager = Self { folder, socket };
        manager.write_page("one");
        manager
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_page(&self, text: &str) {
        fs::write(self.path("www/index.html"), text).unwrap();
    }

    /// Starts a server of the page as a service, with these variables.
    fn start(&self, space: &Namespace, variables: &[(&str, String)], application: &[&str]) -> Server {
        let mut command = serve(space, &binary(), &["--device", TAP]);
        command.env("NOTIFY_SOCKET", self.path("notify")).envs(variables.iter().map(|(name, value)| (name, value)));
        Server::launch(command.arg("--metrics").arg(self.endpoint()).args(application), 2).unwrap()
    }

    fn endpoint(&self) -> String {
        format!("unix:{}", self.path("run/metrics.sock").display())
    }

    fn www(&self) -> String {
        self.path("www").display().to_string()
    }

    /// The next message within a time.
    fn hear_within(&self, time: Duration) -> Option<String> {
        let deadline = Instant::now() + time;
        let mut buffer = [0; 4096];
        loop {
            // No time left is not what the socket takes for its time.
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
            self.socket.set_read_timeout(Some(left)).unwrap();
            match self.socket.recv(&mut buffer) {
                Ok(len) => return Some(String::from_utf8(buffer[..len].to_vec()).unwrap()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                // As after this process was stopped and goes on, or was frozen with its machine.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[track_caller]
    fn hear(&self) -> String {
        self.hear_within(PATIENCE).expect("the manager is told something")
    }
}

/// Whether a thread that is not the loop answers.
fn shows_metrics(socket: &Path) -> bool {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "--max-time", "5", "-o", "/dev/null", "--unix-socket"]).arg(socket);
    curl.arg("http://lethe/metrics").status().unwrap().success()
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().into()
}

#[test(root, "ip", "curl")]
fn the_manager_is_told_of_the_start_of_each_reload_and_of_the_end() {
    let (space, manager) = (Namespace::new(), Manager::new());
    let server = manager.start(&space, &[], &["files", &manager.www()]);
    assert_eq!(manager.hear(), "READY=1\nSTATUS=serving generation 0: 0 reloads, 0 failed\n");
    assert_eq!(space.run("curl -sS --max-time 5 http://10.9.0.2/"), "one");

    manager.write_page("two");
    let before = monotonic();
    server.signal(Signal::SIGHUP);
    let reloading = manager.hear();
    let lines: Vec<&str> = reloading.lines().collect();
    let [first, time, status] = lines[..] else { panic!("{reloading}") };
    assert_eq!((first, status), ("RELOADING=1", "STATUS=reloading"));
    let time = Duration::from_micros(time.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap());
    assert!(time + Duration::from_micros(1) >= before && time <= monotonic(), "{before:?} {time:?}");
    assert_eq!(manager.hear(), "READY=1\nSTATUS=serving generation 1: 1 reloads, 0 failed\n");
    assert_eq!(space.run("curl -sS --max-time 5 http://10.9.0.2/"), "two");

    // What cannot be loaded leaves the server as it was, and the manager does not wait for it.
    fs::remove_dir_all(manager.path("www")).unwrap();
    server.signal(Signal::SIGHUP);
    assert!(manager.hear().starts_with("RELOADING=1\n"));
    assert_eq!(manager.hear(), "READY=1\nSTATUS=serving generation 1: 1 reloads, 1 failed\n");

    server.stop();
    assert_eq!(manager.hear(), "STOPPING=1\nSTATUS=stopping\n");
    assert_eq!(manager.hear_within(Duration::from_millis(1)), None, "no watchdog was asked for");
}

#[test(root, "ip", "curl")]
fn a_reload_of_nothing_is_over_at_once() {
    let (space, manager) = (Namespace::new(), Manager::new());
    let server = manager.start(&space, &[], &["sample"]);
    assert!(manager.hear().starts_with("READY=1\n"));
    server.signal(Signal::SIGHUP);
    assert!(manager.hear().starts_with("RELOADING=1\n"));
    assert!(manager.hear().starts_with("READY=1\n"));
    server.stop();
}

#[test(root, "ip", "curl")]
fn the_watchdog_hears_from_the_loop_and_from_no_other_thread() {
    let (space, manager) = (Namespace::new(), Manager::new());
    let variables = [("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())];
    let server = manager.start(&space, &variables, &["sample"]);
    assert!(manager.hear().starts_with("READY=1\n"));
    let mut last = Instant::now();
    for _ in 0..3 {
        assert_eq!(manager.hear(), "WATCHDOG=1\n");
        assert!(last.elapsed() < WATCHDOG, "{:?}", last.elapsed());
        last = Instant::now();
    }

    // The loop is the first thread; the others run on.
    let thread = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    ptrace::attach(thread).unwrap();
    assert!(matches!(waitpid(thread, None).unwrap(), WaitStatus::Stopped(..)));
    // What was said before.
    while manager.hear_within(Duration::from_millis(1)).is_some() {}
    assert_eq!(manager.hear_within(WATCHDOG), None, "the loop hangs");
    assert!(shows_metrics(&manager.path("run/metrics.sock")), "the other threads do not");
    ptrace::detach(thread, None).unwrap();
    assert_eq!(manager.hear(), "WATCHDOG=1\n");
    server.stop();
}

#[test(root, "ip")]
fn a_watchdog_of_another_process_is_none_of_its_business() {
    let (space, manager) = (Namespace::new(), Manager::new());
    let variables = [("WATCHDOG_USEC", "200000".to_owned()), ("WATCHDOG_PID", "1".to_owned())];
    let server = manager.start(&space, &variables, &["sample"]);
    assert!(manager.hear().starts_with("READY=1\n"));
    assert_eq!(manager.hear_within(Duration::from_secs(1)), None);
    server.stop();
}

/// What `lethe@.service` gives in place of root: enough for every device, and gone once it is open.
#[test(root, "ip", "curl", "setpriv")]
fn capabilities_are_enough_to_open_a_device_and_no_thread_keeps_them() {
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/lethe@.service")).unwrap();
    let granted = unit.lines().find_map(|line| line.strip_prefix("AmbientCapabilities=")).unwrap();
    let granted: Vec<_> = granted.split(' ').map(|name| name.replace("CAP_", "+").to_lowercase()).collect();
    let granted = granted.join(",");
    let manager = Manager::new();
    // The build folder may be readable by root alone: a copy of the program is run.
    let lethe = manager.path("lethe");
    fs::copy(binary(), &lethe).unwrap();
    for device in [TAP, "packet:eth0", "xdp:eth0,generic"] {
        let space = Namespace::new();
        space.run("ip link add eth0 type veth peer name eth1; ip link set eth0 up; ip link set eth1 up");
        let mut command = space.command("setpriv");
        command.args(["--reuid", "nobody", "--clear-groups", "--inh-caps", &granted, "--ambient-caps", &granted]);
        command.arg(&lethe).args(["serve", "--device", device, "--addr", "10.9.0.2", "--stats", "sample"]);
        let server = Server::launch(&mut command, 1).unwrap();
        for thread in fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap() {
            let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert!(status.contains(&format!("{set}:\t0000000000000000\n")), "{device}: {status}");
            }
        }
        if device == TAP {
            let curl = "curl -sS --max-time 5 -o /dev/null -w %{size_download} http://10.9.0.2/1000";
            assert_eq!(space.run(curl), "1000");
        }
        server.stop();
    }
}

lethe_harness::main!();
