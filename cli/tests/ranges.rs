//! Downloads that go on where they were interrupted, packages, and a player that seeks: real clients of byte ranges,
//! with and without loss. Needs root.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lethe_harness::test;
use lethe_sim::random::Random;
use lethe_testnet::browser::Browser;
use lethe_testnet::{Namespace, Server, V4, V6};
use tempfile::TempDir;

/// Bytes of the file that is downloaded in pieces: `RANGES_BYTES` may say more.
const DOWNLOAD: usize = 12_000_000;

/// The networks: nothing is lost, and one frame of twenty, each way.
const NETWORKS: [&str; 2] = ["", "--impair loss=5%,seed=3 "];

fn download_len() -> usize {
    std::env::var("RANGES_BYTES").map_or(DOWNLOAD, |bytes| bytes.parse().expect("RANGES_BYTES is a number"))
}

/// Random bytes, each time those of one seed.
fn noise(len: usize) -> Vec<u8> {
    let mut random = Random::from_seed(1);
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

/// A directory that every user may read.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

fn serve(site: &Path, network: &str) -> (Namespace, Server) {
    let space = Namespace::new();
    let server = Server::start(&space, &format!("{network}files {}", site.display()));
    space.patient_neighbors("lethe0").unwrap();
    (space, server)
}

/// Has a client interrupted again and again, until it has everything: `command` is given the address and the file.
fn download(command: impl Fn(&str, &Path) -> String) {
    let (site, saved) = (folder(), folder());
    let bytes = noise(download_len());
    fs::write(site.path().join("file"), &bytes).unwrap();
    for network in NETWORKS {
        let (space, server) = serve(site.path(), network);
        for base in [V4, V6] {
            let copy = saved.path().join("copy");
            let _ = fs::remove_file(&copy);
            let command = command(&format!("{base}/file"), &copy);
            let mut interrupted = 0;
            while !space.try_run(&command).0 {
                interrupted += 1;
                assert!(interrupted < 3000, "{command}");
            }
            assert!(interrupted > 1, "it was not interrupted: {command}");
            assert!(fs::read(&copy).unwrap() == bytes, "{network}{command}: other bytes");
            println!("{network}{base}: {} bytes, interrupted {interrupted} times", bytes.len());
        }
        server.stop();
    }
}

#[test(root, "curl")]
fn curl_goes_on_with_a_download_that_was_interrupted() {
    let rate = download_len() / 6;
    download(|url, copy| {
        // Once all is there, there is no more to have.
        let copy = copy.display();
        format!("curl -sSgf --max-time 0.5 --limit-rate {rate} -C - -o {copy} -w '%{{http_code}}' '{url}'")
    });
}

#[test(root, "wget")]
fn wget_goes_on_with_a_download_that_was_interrupted() {
    let rate = download_len() / 6;
    download(|url, copy| format!("timeout 1 wget -nv -c --tries 1 --limit-rate {rate} -O {} '{url}'", copy.display()));
}

#[test(root, "curl")]
fn a_part_is_answered_as_such_and_one_behind_the_end_is_refused() {
    let site = folder();
    let bytes = noise(300_000);
    fs::write(site.path().join("file"), &bytes).unwrap();
    let (space, server) = serve(site.path(), "");
    for base in [V4, V6] {
        let get = |range: &str| {
            let to = site.path().join("part");
            let code = space.run(&format!("curl -sSg -r {range} -o {} -w '%{{http_code}}' {base}/file", to.display()));
            (code, fs::read(to).unwrap())
        };
        for (range, part) in [
            ("0-", &bytes[..]),
            ("1-", &bytes[1..]),
            ("100000-", &bytes[100_000..]),
            ("298900-", &bytes[298_900..]),
            ("-5000", &bytes[295_000..]),
            ("10-899", &bytes[10..900]),
        ] {
            assert!(get(range) == ("206".to_owned(), part.to_vec()), "{base} {range}");
        }
        // Longer than a packet, and not up to the end: all of it.
        assert!(get("10-99999") == ("200".to_owned(), bytes.clone()), "{base}");
        assert_eq!(get("300000-").0, "416");
        // On one connection, after the other.
        let both =
            format!("curl -sSg -r 200000- {base}/file {base}/file -w '%{{num_connects}}\n' -o /dev/null -o /dev/null");
        assert_eq!(space.run(&both), "1\n0\n");
    }
    server.stop();
}

/// Packages of one file each, with an index, as `dpkg-scanpackages` makes it.
fn repository(site: &Path, count: usize) -> Vec<u8> {
    let contents = noise(150_000);
    for number in 0..count {
        let root = tempfile::tempdir().unwrap();
        let control = format!(
            "Package: lethe-test-{number}\nVersion: 1\nArchitecture: all\nMaintainer: Lethe <lethe@example.org>\n\
             Description: a package\n"
        );
        fs::create_dir(root.path().join("DEBIAN")).unwrap();
        fs::write(root.path().join("DEBIAN/control"), control).unwrap();
        fs::create_dir_all(root.path().join("srv")).unwrap();
        fs::write(root.path().join(format!("srv/{number}")), &contents[number..]).unwrap();
        fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let made = Command::new("dpkg-deb").args(["-Znone", "-b"]).arg(root.path()).arg(site).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let index = Command::new("dpkg-scanpackages").args(["-m", "."]).current_dir(site).output().unwrap();
    assert!(index.status.success(), "{}", String::from_utf8_lossy(&index.stderr));
    fs::write(site.join("Packages"), &index.stdout).unwrap();
    let sum = Command::new("sha256sum").arg(site.join("Packages")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let (sum, len) = (&sum[..64], index.stdout.len());
    fs::write(site.join("Release"), format!("Suite: test\nSHA256:\n {sum} {len} Packages\n")).unwrap();
    contents
}

/// Where apt and dpkg have a system of their own, with no package in it.
fn system(base: &str) -> TempDir {
    let root = folder();
    for path in ["etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/lib/dpkg/info"]
        .into_iter()
        .chain([
            "var/lib/dpkg/updates",
            "var/lib/dpkg/triggers",
            "var/cache/apt/archives/partial",
            "var/log/apt",
            "usr",
        ])
    {
        fs::create_dir_all(root.path().join(path)).unwrap();
    }
    fs::write(root.path().join("var/lib/dpkg/status"), "").unwrap();
    fs::write(root.path().join("etc/apt/sources.list"), format!("deb [trusted=yes] {base}/ ./\n")).unwrap();
    let mut configuration = String::new();
    let path = root.path().display();
    writeln!(configuration, "Dir \"{path}\";\nDir::State::status \"{path}/var/lib/dpkg/status\";").unwrap();
    writeln!(configuration, "Dir::Bin::dpkg \"/usr/bin/dpkg\";\nAPT::Sandbox::User \"root\";").unwrap();
    writeln!(configuration, "Dir::Bin::methods \"/usr/lib/apt/methods\";").unwrap();
    writeln!(configuration, "DPkg::Options {{ \"--root={path}\"; \"--force-all\"; }};\nDPkg::Path \"\";").unwrap();
    fs::write(root.path().join("apt.conf"), configuration).unwrap();
    root
}

/// apt sends several requests before it reads the first response, and asks for the rest of what it has a part of.
#[test(root, "apt-get", "dpkg-deb", "dpkg-scanpackages")]
fn apt_updates_and_installs_from_a_repository() {
    const PACKAGES: usize = 12;
    let site = folder();
    let contents = repository(site.path(), PACKAGES);
    for network in NETWORKS {
        let (space, server) = serve(site.path(), network);
        for base in [V4, V6] {
            let root = system(base);
            let apt = |what: &str| {
                let config = root.path().join("apt.conf").display().to_string();
                let (done, said) = space.try_run_for(170, &format!("APT_CONFIG={config} apt-get -y {what} 2>&1"));
                assert!(done, "{network}apt-get {what}: {said}");
                said
            };
            apt("update");
            // A part of a package, as an interrupted apt leaves it.
            let package = fs::read(site.path().join("lethe-test-3_1_all.deb")).unwrap();
            let partial = root.path().join("var/cache/apt/archives/partial/lethe-test-3_1_all.deb");
            fs::write(&partial, &package[..70_000]).unwrap();
            let written = fs::metadata(site.path().join("lethe-test-3_1_all.deb")).unwrap().modified().unwrap();
            fs::File::options().write(true).open(&partial).unwrap().set_modified(written).unwrap();
            let names: Vec<String> = (0..PACKAGES).map(|number| format!("lethe-test-{number}")).collect();
            apt(&format!("install {}", names.join(" ")));
            for number in 0..PACKAGES {
                let installed = fs::read(root.path().join(format!("srv/{number}"))).unwrap();
                assert!(installed == contents[number..], "package {number}");
            }
        }
        server.stop();
    }
}

/// Sound of this many seconds, as a WAV file of 8,000 bytes a second.
fn sound(seconds: usize) -> Vec<u8> {
    let data = noise(8000 * seconds);
    let mut file = b"RIFF".to_vec();
    file.extend((data.len() as u32 + 36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(8000_u32.to_le_bytes());
    file.extend(8000_u32.to_le_bytes());
    file.extend(b"\x01\0\x08\0data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

#[test(root, "chromium")]
fn a_browser_seeks_in_a_sound_file() {
    const SECONDS: usize = 3600;
    let site = folder();
    fs::write(site.path().join("sound.wav"), sound(SECONDS)).unwrap();
    fs::write(site.path().join("index.html"), "<!doctype html><audio preload=metadata src=sound.wav></audio>").unwrap();
    for network in NETWORKS {
        let (space, server) = serve(site.path(), network);
        let mut browser = Browser::start(&space);
        for base in [V4, V6] {
            browser.open(&format!("{base}/"));
            let sought = browser.evaluate(
                "(async () => {
                    const audio = document.querySelector('audio');
                    const once = name => new Promise(done => audio.addEventListener(name, done, { once: true }));
                    if (audio.readyState < 1) await once('loadedmetadata');
                    const places = [];
                    for (const place of [3000, 1500, 3500, 10]) {
                        const sought = once('seeked');
                        audio.currentTime = place;
                        await sought;
                        places.push(audio.currentTime);
                    }
                    return [Math.round(audio.duration), audio.seekable.end(0) > 3590, ...places];
                })()",
            );
            assert_eq!(sought, serde_json::json!([SECONDS, true, 3000, 1500, 3500, 10]), "{network}{base}");
        }
        drop(browser);
        server.stop();
    }
}

lethe_harness::main!();
