//! `--device dpdk:PORT` in a binary that was built without DPDK.

use anyhow::bail;
use lethe_load::Settings;

use crate::app::Application;
use crate::device::DpdkPort;
use crate::load;
use crate::reload::Reload;
use crate::serve::Args;

/// Says how to get what is missing.
pub(crate) fn serve(_: DpdkPort, _: &Args, _: Application, _: Reload) -> anyhow::Result<()> {
    missing()
}

/// The same.
pub(crate) fn load(_: DpdkPort, _: &load::Args, _: impl FnOnce(u16) -> anyhow::Result<Settings>) -> anyhow::Result<()> {
    missing()
}

fn missing() -> anyhow::Result<()> {
    bail!(
        "this `lethe` was built without DPDK. With it: apt-get install dpdk libdpdk-dev clang libclang-dev pkg-config, \
         then cargo build --release -p lethe-cli --features dpdk"
    )
}
