//! The options of `--device dpdk:PORT`, which are there also where DPDK is not: what is missing then is said later.

use clap::ValueEnum;

#[derive(clap::Args)]
#[command(next_help_heading = "DPDK")]
pub(crate) struct DpdkArgs {
    /// Arguments of DPDK's EAL, separated by spaces. Its lcores are the workers, as far as the card has queues
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    pub(crate) eal: Option<String>,
    /// What a worker does that has nothing to do
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Poll::Adaptive)]
    pub(crate) poll: Poll,
    /// What time it is
    #[arg(long, value_enum, value_name = "WHOSE", default_value_t = Time::Wall, hide = true)]
    pub(crate) clock: Time,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Poll {
    /// Ask again at once
    Busy,
    /// After a pause, which grows to 50 µs
    Adaptive,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Time {
    /// That of the machine
    Wall,
    /// For each frame the time that the driver gives it
    Frames,
}
