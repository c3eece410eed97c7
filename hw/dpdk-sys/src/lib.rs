//! Bindings to the DPDK that is installed, made when this crate is built: what Lethe needs, and no more.
//!
//! Why a crate of our own: `dpdk-sys` on crates.io (0.1.5) is dead. It wants a DPDK of 2017 and a musl cross
//! compiler, and its fields are those of an `rte_mbuf` that is no more.
//!
//! DPDK's data path is `static inline` functions in headers, which have no symbol that could be called, and
//! macros. `shim.h` has a function or a constant for each one that is used, named `dpdk_*`.
//!
//! [`rte_mbuf`] is written down here, because each DPDK groups its fields in other nameless structures, and none moves
//! them: `shim.c` asserts where they are, and so does the end of this file. For every other structure `bindgen` does.
//!
//! It is linked against the shared libraries: EAL loads the drivers, which are shared objects as well, and two
//! copies of the same library would not know of each other's ports.

#![allow(unsafe_code, reason = "bindings: every function here is C")]
#![allow(missing_docs, reason = "DPDK documents its own: https://doc.dpdk.org/api-22.11/")]
#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals, reason = "the names are C's")]
#![allow(clippy::all, clippy::pedantic, clippy::undocumented_unsafe_blocks, reason = "bindgen's style is its own")]
#![allow(unreachable_pub, unused_qualifications, unsafe_op_in_unsafe_fn, reason = "bindgen's style is its own")]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// A buffer and what is known of the frame in it: the fields that are used here.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct rte_mbuf {
    pub buf_addr: *mut core::ffi::c_void,
    _buf_iova: u64,
    pub data_off: u16,
    _refcnt: u16,
    _nb_segs: u16,
    _port: u16,
    pub ol_flags: u64,
    pub packet_type: u32,
    pub pkt_len: u32,
    pub data_len: u16,
    _vlan_tci: u16,
    _hash: [u32; 2],
    _vlan_tci_outer: u16,
    pub buf_len: u16,
    _pool: *mut rte_mempool,
    _second_cache_line: [u64; 8],
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(rte_mbuf, buf_addr) == 0 && offset_of!(rte_mbuf, data_off) == 16);
    assert!(offset_of!(rte_mbuf, ol_flags) == 24 && offset_of!(rte_mbuf, packet_type) == 32);
    assert!(offset_of!(rte_mbuf, pkt_len) == 36 && offset_of!(rte_mbuf, data_len) == 40);
    assert!(offset_of!(rte_mbuf, buf_len) == 54 && size_of::<rte_mbuf>() == 128);
};
