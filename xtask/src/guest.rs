//! A program in a virtual machine, by hand.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lethe_testnet::guest::{Guest, Off, Settings};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::programs;

const ABOUT: &str = "\
Runs a program in a virtual machine, on a network card that QEMU emulates and DPDK's own driver drives.

The program goes into the guest with the libraries that it is linked to and DPDK's drivers. There are 128 MB of
hugepages. What the guest prints comes out here. Once the program is ready, the last line tells how to reach it: from
a network namespace that has 10.9.0.1/24 and fd09::1/64. Ctrl-C, or the end of standard input, interrupts the program
and then ends everything.";

const EXAMPLE: &str = "\
Example:
  cargo build --release -p lethe-httpd --features dpdk
  cargo xtask guest e1000 target/release/lethe serve --device dpdk:0 --eal \"-l 0\" --addr 10.9.0.2 ipinfo";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// What the card is bound to: vfio-pci, behind an IOMMU, or `uio_pci_generic`, without one
    #[arg(long, value_name = "DRIVER", default_value = "vfio-pci")]
    bind: String,
    /// Pairs of queues that the card has, and processors that the guest has
    #[arg(long, value_name = "N", default_value_t = 1)]
    queues: usize,
    /// What the program prints when it can be used
    #[arg(long, value_name = "TEXT", default_value = "listening on")]
    ready: String,
    /// e1000, e1000e, vmxnet3 or virtio-net-pci
    card: String,
    /// The program, and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need_root()?;
    let Args { bind, queues, ready, card, program } = args;
    let settings = Settings {
        card: card.clone(),
        bind: bind.clone(),
        queues: *queues,
        ready: ready.clone(),
        program: PathBuf::from(&program[0]),
        arguments: program[1..].to_vec(),
    };
    let guest = Guest::start(&settings, |line| println!("{line}"))?;
    println!("guest: ready; as its neighbor: ip netns exec {} curl http://10.9.0.2/", guest.space.name());
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let ended = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
        ended.store(true, Ordering::Relaxed);
    });
    while !stop.load(Ordering::Relaxed) {
        match guest.line(Duration::from_millis(50)) {
            Ok(Some(line)) => println!("{line}"),
            Ok(None) => {}
            Err(Off) => break,
        }
    }
    print!("{}", guest.stop()?);
    Ok(())
}
