//! The `lethe` command.
//!
//! Each command is a module with its arguments and one function. Errors are joined into one line here
//! and nowhere else.

mod app;
mod args;
mod bench;
mod check;
mod device;
#[cfg_attr(not(feature = "dpdk"), path = "no_dpdk.rs")]
mod dpdk;
mod dpdk_args;
mod engine;
mod files;
mod impaired;
mod load;
mod map;
mod metrics;
mod monitor;
mod output;
mod owners;
mod prepare;
mod print;
mod privileges;
mod progress;
mod reload;
mod replay;
mod run;
mod scores;
mod secret;
mod serve;
mod simulate;
mod table;
mod top;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::args::Command;
use crate::print::ReaderLeft;

fn main() -> ExitCode {
    let done = match args::parse().command {
        Command::Serve(args) => serve::serve(&args),
        Command::Top(args) => top::top(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Load(args) => load::load(&args),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Prepare(args) => prepare::prepare(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Check(args) => check::check(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<ReaderLeft>() => ExitCode::SUCCESS,
        Err(error) => {
            tell("lethe", format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says something that is no reason to stop.
fn warn(message: impl Display) {
    tell("warning", message);
}

/// Says what is being done, or was.
fn note(message: impl Display) {
    tell("lethe", message);
}

fn tell(who: &str, message: impl Display) {
    // When standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{who}: {message}");
}
