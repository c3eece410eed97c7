//! Finds the installed DPDK, compiles the shim, generates the bindings.

use std::env;
use std::path::PathBuf;
use std::process::{Command, exit};

/// The libraries to link. EAL loads the drivers itself, from the folder that it was built with.
const LIBRARIES: [&str; 6] = ["rte_eal", "rte_ethdev", "rte_mbuf", "rte_mempool", "rte_net_ring", "rte_ring"];

/// The oldest version that was tested. The fields and names that are used here are older.
const VERSION_MIN: &str = "22.11";

const MISSING: &str = "\
Lethe's DPDK device needs DPDK 22.11 or newer, with its headers, and clang to read them. On Debian:
    apt-get install --no-install-recommends dpdk libdpdk-dev clang libclang-dev pkg-config
Everything else builds without: leave `--features dpdk` (or `--all-features`) away.";

fn main() {
    println!("cargo::rerun-if-changed=shim.h");
    println!("cargo::rerun-if-changed=shim.c");
    let dpdk = pkg_config::Config::new().atleast_version(VERSION_MIN).cargo_metadata(false).probe("libdpdk");
    let dpdk = dpdk.unwrap_or_else(|error| fail(&error.to_string()));
    for folder in &dpdk.link_paths {
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
    let flags = compiler_flags();

    let mut shim = cc::Build::new();
    flags.iter().fold(shim.file("shim.c").warnings(true).opt_level(3), |shim, flag| shim.flag(flag));
    shim.compile("dpdk_shim");
    for library in LIBRARIES {
        println!("cargo::rustc-link-lib=dylib={library}");
    }

    let bindings = bindgen::builder()
        .header("shim.h")
        .clang_args(&flags)
        .allowlist_function("dpdk_.*")
        .allowlist_function("rte_eal_(init|cleanup|remote_launch|wait_lcore)|rte_(get_next|get_main)_lcore")
        .allowlist_function("rte_lcore_(count|to_cpu_id|to_socket_id)|rte_(socket_id|strerror|version)")
        .allowlist_function("rte_eth_dev_(adjust_nb_rx_tx_desc|close|configure|count_avail|get_mtu|get_name_by_port)")
        .allowlist_function("rte_eth_dev_(info_get|is_valid_port|socket_id|start|stop)|rte_eth_macaddr_get")
        .allowlist_function("rte_eth_(allmulticast_enable|promiscuous_enable|stats_get|from_rings)")
        .allowlist_function("rte_eth_[rt]x_queue_setup|rte_mbuf_dyn_rx_timestamp_register")
        .allowlist_function("rte_pktmbuf_(free_bulk|pool_create)|rte_mempool_(free|in_use_count|avail_count)")
        .allowlist_function("rte_ring_(create|free)")
        .allowlist_var("DPDK_.*|RTE_MAX_LCORE|RTE_MEMPOOL_CACHE_MAX_SIZE|RTE_ETH_NAME_MAX_LEN")
        .blocklist_type("rte_mbuf")
        .opaque_type("rte_mempool|rte_ring")
        .derive_default(true)
        .prepend_enum_name(false)
        .generate_comments(false)
        .layout_tests(true)
        .generate();
    let bindings = bindings.unwrap_or_else(|error| fail(&error.to_string()));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    bindings.write_to_file(out.join("bindings.rs")).expect("OUT_DIR can be written to");
}

/// The output of `pkg-config --cflags`. The crate `pkg-config` drops flags that it does not know, such as `-include
/// rte_config.h` and `-march`.
fn compiler_flags() -> Vec<String> {
    let output = Command::new("pkg-config").args(["--cflags", "libdpdk"]).output();
    let output = output.unwrap_or_else(|error| fail(&format!("pkg-config: {error}")));
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

fn fail(reason: &str) -> ! {
    println!("cargo::error={}", MISSING.replace('\n', " "));
    eprintln!("{reason}\n\n{MISSING}");
    exit(1)
}
