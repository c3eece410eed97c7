//! Bindings to the DPDK that is installed, made when this crate is built: what Lethe needs, and no more.
//!
//! Why a crate of our own: `dpdk-sys` on crates.io (0.1.5) is dead. It wants a DPDK of 2017 and a musl cross
//! compiler, and its fields are those of an `rte_mbuf` that is no more.
//!
//! DPDK's data path is `static inline` functions in headers, which have no symbol that could be called, and
//! macros. `shim.h` has a function or a constant for each one that is used, named `dpdk_*`; `shim.c` also asserts
//! where the fields of an `rte_mbuf` are that are read and written from here. `bindgen` asserts the layout of
//! every structure once more, from Rust's side.
//!
//! It is linked against the shared libraries: EAL loads the drivers, which are shared objects as well, and two
//! copies of the same library would not know of each other's ports.

#![allow(unsafe_code, reason = "bindings: every function here is C")]
#![allow(missing_docs, reason = "DPDK documents its own: https://doc.dpdk.org/api-22.11/")]
#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals, reason = "the names are C's")]
#![allow(clippy::all, clippy::pedantic, clippy::undocumented_unsafe_blocks, reason = "bindgen's style is its own")]
#![allow(unreachable_pub, unused_qualifications, unsafe_op_in_unsafe_fn, reason = "bindgen's style is its own")]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
