//! Measurements of Lethe, and gates of its repository: what is more than a page of shell.
//!
//! `cargo xtask` lists them, and each has `--help`. Networks and servers are those of `lethe-testnet`; what is measured
//! is a release build, which is made first.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod api;
mod book;
mod compare;
mod cost;
mod dist;
mod dist_docs;
mod downloads;
mod fair;
mod guest;
mod https;
mod instructions;
mod kept;
mod large;
mod load;
mod loop_cost;
mod model;
mod networks;
mod operate;
mod page;
mod programs;
mod shared;
mod soak_dpdk;
mod times;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Measurements of Lethe, and gates of its repository",
    after_help = "Example:\n  cargo xtask large loss --server lethe --family v4"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compares what authors of applications can use of the published crates with docs/api
    Api(api::Args),
    /// Makes a web site of docs/ with mdBook, and follows its links
    Book(book::Args),
    /// Compares Lethe with servers that have sockets: what a short connection costs, and how it ends
    Compare(compare::Args),
    /// Makes what users get: Debian packages, an archive, a bill of materials
    Dist(dist::Args),
    /// Writes man pages, and completions for shells
    DistDocs(dist_docs::Args),
    /// Measures how Lethe and cubic share a bottleneck
    Fair(fair::Args),
    /// Runs a program in a virtual machine, on a network card that QEMU emulates and DPDK's own driver drives
    Guest(guest::Args),
    /// Measures HTTPS behind a TLS terminator, with kept connections to Lethe and without
    Https(https::Args),
    /// Counts the instructions that the engine executes for a packet, and compares them with benches/instructions.txt
    Instructions(instructions::Args),
    /// Measures requests on connections that stay open behind a bad network, from Lethe and from nginx
    Kept(kept::Args),
    /// Measures large replies with curl, from Lethe and from nginx, and checks every byte of them
    Large(Box<large::Args>),
    /// Loads a server over a veth between two network namespaces, and tells what came of it
    Load(load::Args),
    /// Measures what the loop costs on one core, beside DPDK's testpmd, as ratios of one run
    LoopCost(loop_cost::Args),
    /// Checks the model of long responses and kept connections, with each of its rules and without
    Model(model::Args),
    /// Measures what the access log costs, and what a second worker brings
    Operate(operate::Args),
    /// Real clients and random frames, through DPDK's `net_af_packet`, for a while: nothing may be lost, and nothing
    /// leak
    SoakDpdk(soak_dpdk::Args),
    /// Measures how long the engine takes for a packet, beside the commit before
    Times(times::Args),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Api(args) => api::run(&args),
        Command::Book(args) => book::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::DistDocs(args) => dist_docs::run(&args),
        Command::Fair(args) => fair::run(&args),
        Command::Guest(args) => guest::run(&args),
        Command::Https(args) => https::run(&args),
        Command::Instructions(args) => instructions::run(&args),
        Command::Kept(args) => kept::run_all(&args),
        Command::Large(args) => large::run(&args),
        Command::Load(args) => load::run(&args),
        Command::LoopCost(args) => loop_cost::run(&args),
        Command::Model(args) => model::run(&args),
        Command::Operate(args) => operate::run(&args),
        Command::SoakDpdk(args) => soak_dpdk::run(&args),
        Command::Times(args) => times::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
