//! Errors of DPDK, with advice.

use std::ffi::CStr;

/// Why DPDK, or a port of it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DpdkError {
    /// EAL does not start. It has written details to standard error.
    #[error("DPDK's EAL does not start with `{arguments}`: {reason}{}", advice(reason))]
    Eal {
        /// The arguments that it was started with.
        arguments: String,
        /// The reason that it returns.
        reason: String,
    },
    /// An argument contains a NUL.
    #[error("an argument of EAL cannot have a NUL in it")]
    Argument,
    /// There is no port with this number.
    #[error("DPDK has no port {port}: it found {found}{}", if *found == 0 { NO_PORTS } else { "" })]
    NoPort {
        /// The number of the port.
        port: u16,
        /// The number of ports found.
        found: u16,
    },
    /// The driver does not support what is needed.
    #[error("port {port} ({driver}): {what}")]
    Unfit {
        /// The port.
        port: u16,
        /// Its driver.
        driver: String,
        /// What is not supported.
        what: String,
    },
    /// A call failed.
    #[error("port {port} ({driver}): cannot {what}: {reason}{}", advice(reason))]
    Call {
        /// The port.
        port: u16,
        /// Its driver.
        driver: String,
        /// The operation.
        what: &'static str,
        /// The reason that DPDK returns.
        reason: String,
    },
}

const NO_PORTS: &str = ".\n\
    A card that the kernel drives has to be taken from it, which ends what the kernel does with it:\n\
    \x20   dpdk-devbind.py --status\n\
    \x20   modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci 0000:01:00.0\n\
    Where no card can be had, a virtual one will do: --eal \"--no-pci --no-huge -m 256 \
    --vdev net_af_packet0,iface=eth1\"";

/// Advice for common reasons.
fn advice(reason: &str) -> &'static str {
    if reason.contains("allocate memory") || reason.contains("ermission denied") {
        ".\nIt needs root, and hugepages: `sysctl vm.nr_hugepages=256` reserves 512 MB in pages of 2 MB, and \
         `grep Huge /proc/meminfo` shows what there is. Without any: --eal \"--no-huge -m 256 ...\""
    } else {
        ""
    }
}

/// DPDK's message for an errno, of either sign.
pub(super) fn reason(errno: i32) -> String {
    // SAFETY: the call returns a string for every number, which is valid until the next call on this thread.
    let text = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(errno.abs())) };
    text.to_string_lossy().into_owned()
}

/// The message for `rte_errno`: the reason of the last failed call, where that does not return it.
pub(super) fn last() -> String {
    // SAFETY: the call reads a variable of this thread.
    reason(unsafe { dpdk_sys::dpdk_errno() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_not_there_is_told_apart_from_no_ports_at_all() {
        let text = |found| DpdkError::NoPort { port: 3, found }.to_string();
        assert_eq!(text(2), "DPDK has no port 3: it found 2");
        assert!(text(0).contains("dpdk-devbind.py --bind=vfio-pci"), "{}", text(0));
    }

    #[test]
    fn the_usual_reasons_come_with_advice() {
        let text = |errno| DpdkError::Eal { arguments: "-l 0".to_owned(), reason: reason(errno) }.to_string();
        // ENOMEM, and EACCES, which EAL also returns without hugepages.
        for errno in [12, -13] {
            assert!(text(errno).contains("root") && text(errno).contains("vm.nr_hugepages"), "{}", text(errno));
        }
        assert_eq!(text(22), "DPDK's EAL does not start with `-l 0`: Invalid argument");
    }
}
