//! **Lethe**: a web server that forgets every connection.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::std_instead_of_core,
        clippy::alloc_instead_of_core
    )
)]

pub mod app;
pub mod config;
pub mod cookie;
pub mod engine;
pub mod http;
pub mod port;
mod reply;
mod tcp;
pub mod time;
pub mod verdict;
pub mod wire;

pub use app::{App, Request};
pub use config::Config;
pub use engine::Engine;
pub use reply::Reply;
