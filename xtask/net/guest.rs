//! A virtual machine with a network card that QEMU emulates and DPDK's own driver drives.
//!
//! The guest has a program, the libraries that it is linked to, DPDK's drivers, and 128 MB of hugepages; its kernel is
//! Debian's, downloaded once. `guest-init.sh` is its first process. A client's end and a bridge to the guest's TAP are
//! in a namespace of their own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::{Namespace, Program, janitor, output, root, wait_until};

/// How long the program may take until it is ready: ten seconds are usual, a minute was seen on a machine with much
/// else to do.
const BOOT: Duration = Duration::from_mins(5);

/// How long the guest may take until it is off, when it was told to stop.
const STOP: Duration = Duration::from_mins(1);

/// Where Debian has libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Parts of DPDK that a driver of a card needs, and the drivers.
const DRIVERS: [&str; 6] = ["bus_pci", "bus_vdev", "mempool_ring", "net_e1000", "net_virtio", "net_vmxnet3"];

/// The programs of this machine that are needed.
const TOOLS: [&str; 5] = ["qemu-system-x86_64", "busybox", "ethtool", "ip", "strip"];

/// The configuration of a guest.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The card: e1000, e1000e, vmxnet3 or virtio-net-pci.
    pub card: String,
    /// The kernel's driver that gives it to the program: vfio-pci, behind an IOMMU, or `uio_pci_generic`, without one.
    pub bind: String,
    /// Pairs of queues that the card has, and processors that the guest has.
    pub queues: usize,
    /// What the program prints when it can be used.
    pub ready: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// A running guest, whose program is ready. It ends when this is dropped.
#[derive(Debug)]
pub struct Guest {
    /// Its neighbor's network, which has 10.9.0.1/24 and `fd09::1/64`.
    pub space: Namespace,
    qemu: Program,
    keys: ChildStdin,
    console: Receiver<String>,
    _folder: TempDir,
}

impl Guest {
    /// Boots one, and hands each line of its console to `line` until the program is ready.
    ///
    /// # Errors
    ///
    /// When something is missing, or the program is not ready in time.
    pub fn start(settings: &Settings, mut line: impl FnMut(&str)) -> anyhow::Result<Self> {
        settings.check()?;
        let folder = janitor::folder("guest")?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let cache = target.join("guest");
        kernel(&cache, folder.path(), &mut line)?;
        let image = folder.path().join("initramfs");
        settings.image(&cache, folder.path(), &image)?;
        let space = Namespace::create()?;
        settings.network(&space)?;
        let mut qemu = settings.power_on(&space, &cache, &image)?;
        let (keys, output) = qemu.input_and_output().context("both are piped")?;
        let mut guest = Self { space, qemu, keys, console: lines_of(output), _folder: folder };
        let end = Instant::now() + BOOT;
        loop {
            match guest.console.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(text) => {
                    line(&text);
                    if text.contains(&settings.ready) {
                        return Ok(guest);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("the program was not ready within {} s", BOOT.as_secs()),
                Err(RecvTimeoutError::Disconnected) => {
                    guest.qemu.kill();
                    bail!("the program ended before it was ready");
                }
            }
        }
    }

    /// The next line of the console within a moment; nothing if there is none, an error when the guest is off.
    ///
    /// # Errors
    ///
    /// When the guest is off.
    pub fn line(&self, moment: Duration) -> Result<Option<String>, Off> {
        match self.console.recv_timeout(moment) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Off),
        }
    }

    /// Tells the guest to interrupt its program, waits until it is off, and returns the lines of its end.
    ///
    /// # Errors
    ///
    /// When it is not off in time.
    pub fn stop(mut self) -> anyhow::Result<String> {
        // A guest that is off already does not read it.
        let _ = writeln!(self.keys, "stop");
        let mut text = String::new();
        wait_until("the guest is off", STOP, || {
            loop {
                match self.line(Duration::from_millis(100)) {
                    Ok(Some(line)) => text = format!("{text}{line}\n"),
                    Ok(None) => return Ok(None),
                    Err(Off) => return Ok(Some(())),
                }
            }
        })?;
        self.qemu.wait()?;
        Ok(text)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.qemu.kill();
    }
}

/// The error that says that the guest is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Off;

impl Settings {
    fn check(&self) -> anyhow::Result<()> {
        let known = ["e1000", "e1000e", "vmxnet3", "virtio-net-pci"];
        ensure!(known.contains(&&*self.card), "there is no card {} here; known: {}", self.card, known.join(", "));
        ensure!(["vfio-pci", "uio_pci_generic"].contains(&&*self.bind), "--bind is vfio-pci or uio_pci_generic");
        ensure!((1..=8).contains(&self.queues), "--queues is a number from 1 to 8");
        let is_program =
            fs::metadata(&self.program).is_ok_and(|file| file.is_file() && file.permissions().mode() & 1 != 0);
        ensure!(
            is_program,
            "{} is no program; cargo build --release -p lethe-httpd --features dpdk makes it",
            self.program.display()
        );
        for tool in TOOLS {
            find(tool).with_context(|| format!("{tool} is missing; tools/install test installs what tests need"))?;
        }
        Ok(())
    }

    /// Whether the TAP has several queues: virtio has, as the only one of these cards that uses them.
    fn is_multi_queue(&self) -> bool {
        self.queues > 1 && self.card == "virtio-net-pci"
    }

    /// The guest's root directory, as an archive.
    fn image(&self, cache: &Path, work: &Path, image: &Path) -> anyhow::Result<()> {
        let at = work.join("root");
        for folder in ["bin", "dev", "etc", "hugepages", "modules", "proc", "run", "sys", "tmp", "var", LIBRARIES] {
            fs::create_dir_all(at.join(folder))?;
        }
        symlink("../run", at.join("var/run"))?;
        symlink("usr/lib", at.join("lib"))?;
        symlink(LIBRARIES, at.join("lib64"))?;
        let busybox = find("busybox").context("busybox is missing")?;
        fs::copy(&busybox, at.join("bin/busybox"))?;
        for module in fs::read_dir(cache.join("kernel"))?.flatten().filter(|file| has_kind(&file.path(), "ko")) {
            fs::copy(module.path(), at.join("modules").join(module.file_name()))?;
        }
        write_program(&at.join("init"), include_str!("guest-init.sh"))?;
        fs::write(at.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")?;

        let name = self.program.file_name().context("a file")?.to_string_lossy().into_owned();
        output(Command::new("strip").arg("-o").arg(at.join("bin").join(&name)).arg(&self.program))?;
        let words: Vec<String> = std::iter::once(&name).chain(&self.arguments).map(|word| quoted(word)).collect();
        write_program(&at.join("bin/program"), &format!("#!/bin/sh\necho $$ >/run/pid\nexec {}\n", words.join(" ")))?;

        let drivers = drivers()?;
        let mut libraries: BTreeSet<PathBuf> = drivers.iter().cloned().collect();
        for program in [&busybox, &self.program].into_iter().chain(&drivers) {
            libraries.extend(libraries_of(program));
        }
        for library in &libraries {
            add_library(&at, library)?;
        }
        // A driver is one file in DPDK's folder, and a link among the libraries: two copies would crash EAL, which
        // loads what is called .so in that folder.
        for driver in &drivers {
            let file = fs::canonicalize(driver)?;
            let link = at.join(file.parent().context("a folder")?.strip_prefix("/")?);
            let name = driver.file_name().context("a file")?;
            let plain = Path::new(name).with_extension("");
            symlink(name, link.join(plain))?;
        }
        let archive =
            format!("cd {} && find . | busybox cpio -o -H newc >{} 2>/dev/null", at.display(), image.display());
        output(Command::new("sh").args(["-ec", &archive]))?;
        Ok(())
    }

    /// A client's end and a bridge to the guest's TAP. A TAP takes frames whose checksums are still to be made, as the
    /// card's driver left them. So between client and bridge the checksums are made and checked, as they would be on a
    /// wire.
    fn network(&self, space: &Namespace) -> anyhow::Result<()> {
        let multi = if self.is_multi_queue() { "multi_queue" } else { "" };
        space.sh(&format!(
            "ip link add client type veth peer name wire
             ip link add bridge type bridge
             ip tuntap add tap mode tap {multi}
             for port in wire tap; do ip link set $port master bridge; done
             for port in client wire; do ethtool -K $port tx off >/dev/null; done
             ip addr add 10.9.0.1/24 dev client
             ip addr add fd09::1/64 dev client nodad
             for port in client wire bridge tap; do ip link set $port up; done"
        ))?;
        Ok(())
    }

    fn power_on(&self, space: &Namespace, cache: &Path, image: &Path) -> anyhow::Result<Program> {
        let Self { card, bind, queues, .. } = self;
        // Two vectors for each pair of queues, one for the configuration, one for the control queue.
        let vectors = 2 * queues + 2;
        let device = match (&**card, &**bind) {
            ("virtio-net-pci", "vfio-pci") => {
                format!("{card},mq=on,vectors={vectors},iommu_platform=on,disable-legacy=on")
            }
            ("virtio-net-pci", _) => format!("{card},mq=on,vectors={vectors}"),
            _ => card.clone(),
        };
        let multi = if self.is_multi_queue() { format!(",queues={queues}") } else { String::new() };
        let tap = format!("tap,id=net,ifname=tap,script=no,downscript=no{multi}");
        // Without a check of the timer, which a machine that is busy fails.
        let line = format!(
            "console=ttyS0 quiet panic=-1 no_timer_check hugepages=64 mitigations=off random.trust_cpu=on \
             intel_iommu=on bind={bind}"
        );
        let mut command = space.command("qemu-system-x86_64");
        command.args(["-machine", "q35"]);
        if bind == "vfio-pci" {
            command.args(["-device", "intel-iommu,intremap=on"]);
        }
        // Not KVM: it is not everywhere, and a virtual machine in a virtual machine may hang.
        command.args(["-accel", "tcg", "-cpu", "Nehalem,+rdrand", "-smp", &queues.to_string(), "-m", "512"]);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"]);
        command.arg("-kernel").arg(cache.join("kernel/vmlinuz")).arg("-initrd").arg(image);
        command.args(["-append", &line, "-netdev", &tap, "-device", &format!("{device},netdev=net,romfile=")]);
        Program::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()))
    }
}

/// The lines of a console, as they come.
fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Debian's kernel, unpacked, not installed: the image, and the modules that DPDK's drivers stand on.
fn kernel(cache: &Path, work: &Path, line: &mut impl FnMut(&str)) -> anyhow::Result<()> {
    if cache.join("kernel/vmlinuz").exists() {
        return Ok(());
    }
    line("guest: downloading Debian's kernel, once");
    let (new, folder) = (cache.join(format!("new.{}", std::process::id())), work.join("kernel"));
    fs::create_dir_all(&new)?;
    janitor::remember_folder(&new)?;
    fs::create_dir(&folder)?;
    // Lists that are missing or old are the usual reason of a failure.
    let script = format!(
        "cd {0}
         fetch() {{
             image=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == \"Depends:\" {{ print $2; exit }}')
             timeout 300 apt-get download \"${{image:-linux-image-cloud-amd64}}\"
         }}
         fetch || {{ timeout 300 apt-get -o DPkg::Lock::Timeout=200 update && fetch; }}
         dpkg-deb --fsys-tarfile ./*.deb | tar -x -C {0}
         mv boot/vmlinuz-* {1}/vmlinuz
         find lib -name 'uio*.ko' -o -name 'vfio*.ko' -o -name irqbypass.ko | xargs mv -t {1}",
        folder.display(),
        new.display()
    );
    output(Command::new("sh").args(["-ec", &script])).context(
        "Debian's linux-image-cloud-amd64 could not be downloaded. apt-get update and then \
         apt-get download linux-image-cloud-amd64 should show why",
    )?;
    fs::remove_dir_all(&folder)?;
    // Another process may have been faster.
    let moved = fs::rename(&new, cache.join("kernel"));
    if moved.is_err() {
        fs::remove_dir_all(&new)?;
        ensure!(cache.join("kernel/vmlinuz").exists(), "{moved:?}");
    }
    Ok(())
}

/// The files of DPDK's drivers.
fn drivers() -> anyhow::Result<Vec<PathBuf>> {
    let folders = fs::read_dir(Path::new("/").join(LIBRARIES).join("dpdk"));
    let folder = folders.ok().and_then(|mut folders| {
        folders.find_map(|folder| {
            let path = folder.ok()?.path();
            path.file_name()?.to_str()?.starts_with("pmds-").then_some(path)
        })
    });
    let folder = folder.context("DPDK is not here: apt-get install libdpdk-dev")?;
    let names: Vec<_> = fs::read_dir(&folder)?.flatten().map(|file| file.file_name()).collect();
    DRIVERS
        .iter()
        .map(|driver| {
            let begin = format!("librte_{driver}.so.");
            let is_it = |name: &str| name.strip_prefix(&begin).is_some_and(|rest| rest.len() == 2);
            let name = names.iter().find(|name| name.to_str().is_some_and(is_it));
            name.map(|name| folder.join(name)).with_context(|| format!("{} has no {begin}*", folder.display()))
        })
        .collect()
}

/// The shared libraries that a program is linked to. Not all have any: Debian has a static busybox and one that is not.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let Ok(output) = Command::new("ldd").arg(program).output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "NAME => PATH (0xADDRESS)" or "PATH (0xADDRESS)".
    let library = |line: &str| {
        let (before, _) = line.trim().rsplit_once(" (0x")?;
        before.split_whitespace().last().filter(|path| path.starts_with('/')).map(PathBuf::from)
    };
    text.lines().filter_map(library).collect()
}

/// Copies a library to where it is here, under the name that programs ask for, with a link where they look.
fn add_library(root: &Path, library: &Path) -> anyhow::Result<()> {
    let file = fs::canonicalize(library)?;
    let (name, folder) = (library.file_name().context("a file")?, file.parent().context("a folder")?);
    let inside = root.join(folder.strip_prefix("/")?);
    fs::create_dir_all(&inside)?;
    fs::copy(&file, inside.join(name))?;
    let link = root.join(LIBRARIES).join(name);
    if !link.exists() {
        symlink(folder.join(name), link)?;
    }
    Ok(())
}

fn write_program(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn has_kind(path: &Path, kind: &str) -> bool {
    path.extension() == Some(OsStr::new(kind))
}

/// A word, quoted for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Where a program is.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrator = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(administrator).map(|folder| folder.join(program)).find(|file| file.is_file())
}
