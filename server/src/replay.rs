//! `lethe replay`: a capture file, the time of its packets, a secret that is known.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use lethe::cookie::Secret;
use lethe::engine::SCRATCH_LEN;
use lethe::turn;
use lethe::verdict::Stats;
use lethe::versions::Versions;
use lethe::{App, Engine};
use lethe_sim::capture::{CaptureError, Packet, Reader, Replay};

use crate::device::parse_mtu;
use crate::engine::EngineArgs;
use crate::message::warn;
use crate::output::Output;
use crate::print::Printed as _;
use crate::secret;
use crate::server::Server;
use crate::table::Table;

/// Without a file the secret is this, so that the same capture has the same answers every time.
const SECRET: [u8; 16] = [0; 16];

#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args<X: clap::Args> {
    /// Capture to read: pcap or pcapng, of Ethernet
    #[arg(id = "server-input", value_name = "IN")]
    input: PathBuf,
    /// Capture to write: pcapng, with what came in on interface `in` and the answers on `out`
    #[arg(id = "server-output", long = "out", value_name = "OUT")]
    output: PathBuf,
    /// MTU of the link
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = parse_mtu)]
    mtu: u16,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten, next_help_heading = "Application")]
    app: X,
}

const EXAMPLE: &str = "\
Every packet is answered at the time at which it was captured. The secret is 32 zeros where there is
no --secret-file: a recorded request is answered only under the secret it was recorded with.

Example:
  {name} replay pcaps/curl-v4.pcapng --out answered.pcapng --addr 10.9.0.2{app}
  tshark -r answered.pcapng";

/// Replays one file and prints what became of its packets.
pub(crate) fn replay<X, A, P>(server: &Server<X, A, P>, args: &Args<X>) -> anyhow::Result<()>
where
    X: clap::Args,
    A: App,
{
    let app = Versions::new((server.load)(&args.app)?);
    let secrets = args.engine.secret_file.as_deref().map_or_else(|| Ok(Secret::new(SECRET).into()), secret::read)?;
    let engine = Engine::new(args.engine.config(args.mtu, None, &secrets)?, app);

    let input = args.input.display();
    let file = File::open(&args.input).with_context(|| format!("cannot open {input}"))?;
    let packets = Reader::new(file).with_context(|| input.to_string())?;
    let mut replay = Replay::new(packets, Output::create(&args.output)?)?;

    let output = || args.output.display().to_string();
    let played = play(&engine, &mut replay).with_context(output)?;
    replay.finish().with_context(output)?.finish()?;
    write!(io::stdout(), "{}", Table(&played.stats)).printed()?;
    if played.cut > 0 {
        warn(format_args!("{} frames of {input} were cut by the capture", played.cut));
    }
    played.ended.with_context(|| input.to_string())
}

/// What came of a replay.
struct Played {
    stats: Stats,
    /// Packets of which the capture has only the beginning.
    cut: u64,
    ended: Result<(), CaptureError>,
}

/// Answers a file that ends badly as far as it goes; only failing to write is an error.
fn play(engine: &Engine<impl App>, replay: &mut Replay<File, Output>) -> Result<Played, CaptureError> {
    let mut scratch = vec![0; SCRATCH_LEN];
    let mut played = Played { stats: Stats::default(), cut: 0, ended: Ok(()) };
    loop {
        let now = match replay.advance() {
            Ok(Some(now)) => now,
            Ok(None) => return Ok(played),
            Err(error @ CaptureError::Write(_)) => return Err(error),
            Err(error) => return Ok(Played { ended: Err(error), ..played }),
        };
        played.cut += u64::from(replay.current().is_some_and(Packet::is_cut));
        let (rx, tx) = replay.queues();
        turn(engine, now, &mut (rx, tx), &mut scratch, &mut played.stats, 1);
    }
}
