//! `--device dpdk:PORT` in a program that was built without DPDK.

use anyhow::bail;

use crate::device::{DpdkPort, OnDevice};
use crate::dpdk_args::DpdkArgs;

/// Says how to get what is missing.
pub(crate) fn open(_: DpdkPort, _: &DpdkArgs, _: impl OnDevice) -> anyhow::Result<()> {
    let name = crate::name();
    let package = if name == "lethe" { " -p lethe-httpd" } else { "" };
    bail!(
        "this `{name}` was built without DPDK. With it: apt-get install dpdk libdpdk-dev clang libclang-dev pkg-config, \
         then cargo build --release{package} --features dpdk"
    )
}
