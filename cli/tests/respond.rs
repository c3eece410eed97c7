//! `lethe serve respond` and real clients, over a real TAP device in a network namespace: each example, and rules that
//! are replaced while they are served. Needs root.

use std::fs;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lethe_harness::test;
use lethe_testnet::{Namespace, Server, V4, V6, binary, serve};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/respond");

/// A running server of an example, which reads a copy that every user may read.
struct Served {
    space: Namespace,
    server: Server,
    folder: TempDir,
}

impl Served {
    fn example(name: &str) -> Self {
        Self::start(copy_of_examples(), name, "")
    }

    fn start(folder: TempDir, name: &str, options: &str) -> Self {
        let space = Namespace::new();
        let server = Server::start(&space, &format!("{options} respond {}", folder.path().join(name).display()));
        Self { space, server, folder }
    }

    /// What curl says of an answer: its head and its body.
    fn curl(&self, rest: &str) -> String {
        self.space.run(&format!("curl -sSig --path-as-is {rest}"))
    }

    /// Asks for a path of a host, over both families, which say the same.
    fn get(&self, host: &str, path: &str) -> String {
        let [v4, v6] = [V4, V6].map(|base| self.curl(&format!("-H 'Host: {host}' '{base}{path}'")));
        assert_eq!(v4, v6);
        v4
    }

    /// The status of the answer, and where it leads.
    fn outcome(&self, host: &str, path: &str) -> (String, Option<String>) {
        let said = self.get(host, path);
        let location = said.lines().find_map(|line| line.strip_prefix("Location: ")).map(str::to_owned);
        (said[9..12].to_owned(), location)
    }
}

fn copy_of_examples() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let status = Command::new("cp").arg("-r").arg(format!("{EXAMPLES}/.")).arg(folder.path()).status().unwrap();
    assert!(status.success());
    folder
}

fn led(status: &str, url: &str) -> (String, Option<String>) {
    (status.to_owned(), Some(url.to_owned()))
}

#[test(root, "curl")]
fn port_80_leads_to_https_for_any_host() {
    let served = Served::example("https.toml");
    assert_eq!(served.outcome("shop.example", "/a/b?c=d"), led("308", "https://shop.example/a/b?c=d"));
    assert_eq!(served.outcome("10.9.0.2:80", "/"), led("308", "https://10.9.0.2/"));
    assert_eq!(
        served.outcome("[fd09::2]", "//evil.example/%0d%0a"),
        led("308", "https://[fd09::2]//evil.example/%0d%0a")
    );
    let post = served.curl(&format!("-d a=b -H 'Host: shop.example' {V4}/order"));
    assert!(
        post.starts_with("HTTP/1.1 308 ") && post.contains("\r\nLocation: https://shop.example/order\r\n"),
        "{post}"
    );
    for host in ["evil.example@shop.example", "shop.example/..", "a_b", "shop.example\\"] {
        assert_eq!(served.outcome(host, "/").0, "400", "{host}");
    }
}

#[test(root, "curl")]
fn connectivity_checks_are_answered_as_their_clients_expect() {
    let served = Served::example("connectivity.toml");
    // The connection stays open, so the answer says nothing of it.
    let text = |body: &str, length: usize, media_type: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
             \r\n{body}"
        )
    };
    let apple = "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>\n";
    let firefox = "<meta http-equiv=\"refresh\" content=\"0;url=https://support.mozilla.org/kb/captive-portal\"/>";
    for (host, path, expect) in [
        ("captive.apple.com", "/hotspot-detect.html", text(apple, 69, "text/html")),
        ("www.msftconnecttest.com", "/connecttest.txt", text("Microsoft Connect Test", 22, "text/plain")),
        ("www.msftncsi.com", "/ncsi.txt", text("Microsoft NCSI", 14, "text/plain")),
        ("detectportal.firefox.com", "/success.txt?ipv4", text("success\n", 8, "text/plain")),
        ("detectportal.firefox.com", "/canonical.html", text(firefox, 90, "text/html")),
    ] {
        assert_eq!(served.get(host, path), expect);
    }
    for path in ["/generate_204", "/gen_204"] {
        let said = served.get("connectivitycheck.gstatic.com", path);
        assert!(said.starts_with("HTTP/1.1 204 No Content\r\n") && said.ends_with("\r\n\r\n"), "{said}");
        assert!(!said.contains("Content-Length"), "{said}");
    }
    for path in ["/nm", "/nm-check.txt", "/check_network_status.txt"] {
        let said = served.get("network-test.debian.org", path);
        assert!(said.contains("\r\nX-NetworkManager-Status: online\r\n"), "{said}");
        assert!(said.ends_with("\r\n\r\nNetworkManager is online\n"), "{said}");
    }
    let ubuntu = served.get("connectivity-check.ubuntu.com", "/");
    assert!(ubuntu.starts_with("HTTP/1.1 204 ") && ubuntu.contains("X-NetworkManager-Status: online"), "{ubuntu}");
}

/// Runs `NetworkManager` in a file system of its own, once for each URL, and prints what it finds: `full` for a network
/// that leads everywhere, `portal` for one that does not yet.
const NETWORK_MANAGER: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib/NetworkManager
mkdir -p /run/dbus
echo "10.9.0.2 network-test.debian.org nmcheck.gnome.org ping.archlinux.org connectivity-check.ubuntu.com" >/run/hosts
mount --bind /run/hosts /etc/hosts
dbus-daemon --system --fork
for url in $URLS; do
    printf '[main]\nplugins=keyfile\ndns=none\nrc-manager=unmanaged\n[connectivity]\nuri=%s\n' "$url" >/run/nm.conf
    NetworkManager --no-daemon --config=/run/nm.conf --config-dir=/run/none --system-config-dir=/run/none 2>/run/log &
    for _ in $(seq 100); do nmcli -t general status >/dev/null 2>&1 && break; sleep 0.1; done
    nmcli networking connectivity check || cat /run/log
    kill $!
    wait $! || true
done
"#;

/// What a script says that has file systems and processes of its own, and a way to everywhere that leads to the server.
fn in_own_files(served: &Served, environment: &str, script: &str) -> String {
    let file = served.folder.path().join("script");
    fs::write(&file, script).unwrap();
    served.space.run("ip route add default via 10.9.0.2 dev lethe0");
    let run = format!("unshare --mount --pid --fork --kill-child --mount-proc sh {}", file.display());
    let (success, said) = served.space.try_run_for(150, &format!("{environment} {run}"));
    assert!(success, "{said}");
    said
}

/// What `NetworkManager` finds with these URLs to check by.
fn connectivity(served: &Served, urls: &[&str]) -> String {
    in_own_files(served, &format!("URLS='{}'", urls.join(" ")), NETWORK_MANAGER)
}

#[test(root, "NetworkManager", "nmcli", "dbus-daemon", "unshare")]
fn network_manager_finds_that_it_is_online_and_where_it_is_not() {
    let urls = [
        "http://network-test.debian.org/nm",
        "http://nmcheck.gnome.org/check_network_status.txt",
        "http://ping.archlinux.org/nm-check.txt",
        "http://connectivity-check.ubuntu.com/",
    ];
    assert_eq!(connectivity(&Served::example("connectivity.toml"), &urls), "full\nfull\nfull\nfull\n");
    for other in ["https.toml", "maintenance.toml"] {
        assert_eq!(connectivity(&Served::example(other), &urls[..1]), "portal\n");
    }
}

/// Runs Firefox in a file system of its own until it has found whether there is a portal, and prints its words for
/// that.
const FIREFOX: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/home/profile
echo 'user_pref("network.captive-portal-service.enabled", true);' >/run/home/profile/user.js
echo "10.9.0.2 detectportal.firefox.com" >/run/hosts
mount --bind /run/hosts /etc/hosts
export HOME=/run/home MOZ_LOG=sync,CaptivePortalService:5 MOZ_LOG_FILE=/run/log
firefox-esr --headless --no-remote --profile /run/home/profile about:blank >/dev/null 2>&1 &
for _ in $(seq 1200); do
    grep -ohE "Complete\(success=.\)|captive-portal-login " /run/log* 2>/dev/null && exit
    sleep 0.1
done
cat /run/log*
exit 1
"#;

#[test(root, "firefox-esr", "unshare")]
fn firefox_finds_that_it_is_online() {
    let served = Served::example("connectivity.toml");
    assert_eq!(in_own_files(&served, "", FIREFOX), "Complete(success=1)\n");
    let table = served.server.stop();
    assert!(table.lines().any(|line| line.contains("replied   response")), "{table}");
}

/// Runs Chromium in a file system of its own, which meets a wrong certificate, and asks whether that is of a portal.
const CHROMIUM: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/home
echo "127.0.0.1 secure.example" >/run/hosts
echo "10.9.0.2 connectivitycheck.gstatic.com www.gstatic.com clients3.google.com" >>/run/hosts
mount --bind /run/hosts /etc/hosts
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=wrong.example -keyout /run/key -out /run/certificate 2>/dev/null
openssl s_server -accept 443 -key /run/key -cert /run/certificate -www -quiet &
export HOME=/run/home
chromium --headless=new --no-sandbox --disable-gpu --user-data-dir=/run/home/profile https://secure.example/ \
    >/dev/null 2>&1 &
for _ in $(seq 1200); do
    curl -s --unix-socket "$METRICS" http://lethe/metrics | grep -oE "^lethe_requests_total[^ ]* [1-9]" && exit
    sleep 0.1
done
exit 1
"#;

#[test(root, "chromium", "openssl", "curl", "unshare")]
fn chromium_asks_whether_it_is_online() {
    let folder = copy_of_examples();
    let metrics = folder.path().join("metrics").display().to_string();
    let served = Served::start(folder, "connectivity.toml", &format!("--metrics unix:{metrics}"));
    in_own_files(&served, &format!("METRICS={metrics}"), CHROMIUM);
    let table = served.server.stop();
    assert!(table.lines().any(|line| line.contains("replied   response")), "{table}");
}

#[test(root, "curl")]
fn a_maintenance_page_stands_for_every_path_and_method() {
    let served = Served::example("maintenance.toml");
    let page = fs::read_to_string(Path::new(EXAMPLES).join("maintenance.html")).unwrap();
    let said = served.get("shop.example", "/any/path?at=all");
    assert!(said.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && said.ends_with(&page), "{said}");
    assert!(said.contains("\r\nRetry-After: 3600\r\n") && said.contains("\r\nContent-Type: text/html"), "{said}");
    assert!(served.curl(&format!("-X DELETE {V4}/a")).starts_with("HTTP/1.1 503 "));
    assert!(served.get("10.9.0.2", "/health").ends_with("\r\n\r\nok\n"));
    let check = served.space.run(&format!("{} check {V4}/health", binary().display()));
    assert_eq!(check, "");
}

#[test(root, "curl")]
fn a_site_has_robots_a_contact_and_the_ways_to_its_new_host() {
    let served = Served::example("site.toml");
    assert!(served.get("new.example", "/robots.txt").ends_with("\r\n\r\nUser-agent: *\nDisallow: /search\n"));
    let contact = served.get("new.example", "/.well-known/security.txt");
    assert!(contact.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "RFC 9116, section 3: {contact}");
    assert!(contact.contains("\nContact: mailto:") && contact.contains("\nExpires: 20"), "{contact}");
    assert_eq!(served.outcome("new.example", "/security.txt"), led("308", "/.well-known/security.txt"));
    assert!(served.get("new.example", "/health").ends_with("\r\n\r\nok\n"));
    assert_eq!(served.outcome("WWW.old.example:80", "/a?b"), led("301", "https://new.example/a?b"));
    assert_eq!(served.outcome("new.example", "/archive/1"), led("308", "/older/1"));
    assert_eq!(served.outcome("new.example", "/nothing"), ("404".to_owned(), None));
    let post = served.curl(&format!("-d a=b {V4}/robots.txt"));
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("\r\nAllow: GET, HEAD\r\n"), "{post}");
    let head = served.curl(&format!("-I {V4}/robots.txt"));
    assert!(head.contains("\r\nContent-Length: 32\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    // A redirect to the same host is followed there.
    let followed = served.space.run(&format!("curl -sSL {V4}/security.txt"));
    assert!(followed.starts_with("Contact: mailto:"), "{followed}");
}

#[test(root, "curl")]
fn a_token_of_acme_is_answered_once_the_directory_was_read_again() {
    let mut served = Served::example("acme.toml");
    let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
    let path = format!("/.well-known/acme-challenge/{token}");
    assert_eq!(served.outcome("shop.example", &path), led("308", &format!("https://shop.example{path}")));
    let tokens = served.folder.path().join("tokens");
    fs::write(tokens.join(token), format!("{token}.thumbprint")).unwrap();
    served.server.signal(Signal::SIGHUP);
    let line = served.server.line();
    assert!(line.starts_with("reloaded: 2 rules, "), "{line}");
    let said = served.get("shop.example", &path);
    assert!(said.starts_with("HTTP/1.1 200 ") && said.ends_with(&format!("\r\n\r\n{token}.thumbprint")), "{said}");
    fs::remove_file(tokens.join(token)).unwrap();
    served.server.signal(Signal::SIGHUP);
    served.server.line();
    assert_eq!(served.outcome("shop.example", &path).0, "308");
}

#[test(root, "curl")]
fn a_signal_brings_the_new_rules_as_a_whole_and_wrong_ones_change_nothing() {
    let folder = copy_of_examples();
    let rules = folder.path().join("rules.toml");
    let write = |text: &str| fs::write(&rules, text).unwrap();
    write("[[rule]]\npaths = ['/a']\nbody = 'first'\n");
    let space = Namespace::new();
    let log = folder.path().join("log");
    let mut command = serve(&space, &binary(), &["--device", "tap:lethe0,host=10.9.0.1/24,host=fd09::1/64"]);
    command.arg("respond").arg(&rules).stderr(File::create(&log).unwrap());
    let mut server = Server::launch(&mut command, 2).unwrap();
    let get = |path: &str| space.run(&format!("curl -sS {V4}{path}"));
    assert_eq!([get("/a"), get("/b")], ["first", "Nothing is here.\n"]);
    write("[[rule]]\npaths = ['/b']\nbody = 'second'\n");
    server.signal(Signal::SIGHUP);
    let line = server.line();
    assert!(line.starts_with("reloaded: 1 rule, ") && line.ends_with(", generation 1\n"), "{line}");
    assert_eq!([get("/a"), get("/b")], ["Nothing is here.\n", "second"]);
    write("[[rule]]\npaths = ['/c']\nbody = 'third'\n\n[[rule]]\npaths = ['d']\nbody = 'd'\n");
    server.signal(Signal::SIGHUP);
    let said = wait_for(&log, "not reloaded");
    let place = format!("{}:6:10: a path begins with a slash: \"/d\"", rules.display());
    assert!(said.contains("is served as it was, and not reloaded: ") && said.contains(&place), "{said}");
    assert_eq!([get("/b"), get("/c")], ["second", "Nothing is here.\n"]);
    server.stop();
}

/// What a file has, once this is in it.
fn wait_for(file: &Path, text: &str) -> String {
    for _ in 0..100 {
        let said = fs::read_to_string(file).unwrap();
        if said.contains(text) {
            return said;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("`{text}` has not come: {}", fs::read_to_string(file).unwrap());
}

/// Exit code, and what `lethe verify respond` says of a file.
fn verify(file: &Path) -> (Option<i32>, String) {
    let output = Command::new(binary()).args(["verify", "respond"]).arg(file).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn rules_are_checked_without_being_served() {
    for name in ["https.toml", "connectivity.toml", "maintenance.toml", "site.toml", "acme.toml"] {
        let path = PathBuf::from(EXAMPLES).join(name);
        let (code, said) = verify(&path);
        assert!(code == Some(0) && said.starts_with(&format!("{} is in order: ", path.display())), "{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.toml");
    fs::write(&wrong, "[[rule]]\nredirect = 'https://{hots}/'\n").unwrap();
    let what = "there is no {hots}: there are {host}, {path}, {rest} and {query}";
    assert_eq!(verify(&wrong), (Some(1), format!("lethe: {}:2:12: {what}\n", wrong.display())));
    let none = folder.path().join("none.toml");
    let what = format!("lethe: cannot read {}: No such file or directory (os error 2)\n", none.display());
    assert_eq!(verify(&none), (Some(1), what));
}

lethe_harness::main!();
