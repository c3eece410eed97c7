//! Bindings to the installed DPDK, generated when this crate is built: only what Lethe needs.
//!
//! Why a crate of our own: `dpdk-sys` on crates.io (0.1.5) is unmaintained. It needs a DPDK of 2017 and a musl cross
//! compiler, and has an obsolete layout of `rte_mbuf`.
//!
//! DPDK's data path consists of macros and of `static inline` functions in headers, which have no symbols. `shim.h` has
//! a function or a constant `dpdk_*` for each that is used.
//!
//! [`rte_mbuf`] is defined here, because versions of DPDK group its fields in different anonymous structures, at the
//! same offsets: `shim.c` asserts these, and so does the end of this file. `bindgen` generates all other structures.
//!
//! The shared libraries are linked: EAL loads the drivers, which are shared objects as well, and with a second, static
//! copy of a library they would not share its ports.

#![allow(unsafe_code, reason = "bindings: every function here is C")]
#![allow(missing_docs, reason = "DPDK documents its own: https://doc.dpdk.org/api-22.11/")]
#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals, reason = "the names are C's")]
#![allow(clippy::all, clippy::pedantic, clippy::undocumented_unsafe_blocks, reason = "bindgen's style is its own")]
#![allow(unreachable_pub, unused_qualifications, unsafe_op_in_unsafe_fn, reason = "bindgen's style is its own")]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// A buffer and the metadata of its frame: the fields that are used here.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct rte_mbuf {
    pub buf_addr: *mut core::ffi::c_void,
    _buf_iova: u64,
    pub data_off: u16,
    pub refcnt: u16,
    pub nb_segs: u16,
    _port: u16,
    pub ol_flags: u64,
    pub packet_type: u32,
    pub pkt_len: u32,
    pub data_len: u16,
    _vlan_tci: u16,
    _hash: [u32; 2],
    _vlan_tci_outer: u16,
    pub buf_len: u16,
    pub pool: *mut rte_mempool,
    _second_cache_line: [u64; 8],
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(rte_mbuf, buf_addr) == 0 && offset_of!(rte_mbuf, data_off) == 16);
    assert!(offset_of!(rte_mbuf, refcnt) == 18 && offset_of!(rte_mbuf, nb_segs) == 20);
    assert!(offset_of!(rte_mbuf, ol_flags) == 24 && offset_of!(rte_mbuf, packet_type) == 32);
    assert!(offset_of!(rte_mbuf, pkt_len) == 36 && offset_of!(rte_mbuf, data_len) == 40);
    assert!(offset_of!(rte_mbuf, buf_len) == 54 && offset_of!(rte_mbuf, pool) == 56 && size_of::<rte_mbuf>() == 128);
};
