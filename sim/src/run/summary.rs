//! What a run came to, for people and for machines.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use lethe::app::App;
use lethe::verdict::Stats;

use crate::peer::client::Close;
use crate::scenario::{ClientSpec, Kind, Promise};
use crate::world::{Tally, World};

/// Why a client was promised nothing: the known limit of the protocol that it is the case of (`docs/protocol.md`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Excuse {
    /// What it gets may be other bytes with a right checksum.
    Changed,
    /// smoltcp, with timestamps.
    EchoesNewest,
    /// smoltcp, without.
    StackByTimer,
    /// It writes its request in pieces, and sends one after the other.
    Nagle,
    /// It closes its side early, and uses no timestamps.
    HalfClose,
    /// It uses no timestamps, and reads many segments.
    ByTimer,
    /// All others: a path or a window that is too small, or a request that comes again in pieces.
    Other,
}

impl Excuse {
    /// The limit that a client ran into which got no reply and was promised none.
    fn of(client: &ClientSpec) -> Self {
        match (&client.kind, client.promise) {
            (_, Promise::Nothing) => Self::Changed,
            (Kind::Stack(settings), _) if settings.timestamps => Self::EchoesNewest,
            (Kind::Stack(_), _) => Self::StackByTimer,
            (Kind::Model(settings), _) if settings.nagle && settings.request.len() > 1 => Self::Nagle,
            (Kind::Model(settings), _) if !settings.timestamps && settings.close != Close::AfterReply => {
                Self::HalfClose
            }
            (Kind::Model(settings), _) if !settings.timestamps => Self::ByTimer,
            (Kind::Model(_) | Kind::Session(_) | Kind::Attacker(_), _) => Self::Other,
        }
    }

    /// As a key.
    const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::EchoesNewest => "echoes_newest",
            Self::StackByTimer => "smoltcp_by_timer",
            Self::Nagle => "nagle",
            Self::HalfClose => "half_close",
            Self::ByTimer => "by_timer",
            Self::Other => "other",
        }
    }
}

/// For people: which clients, and what becomes of them.
impl fmt::Display for Excuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "on a network that changes bytes and corrects the checksum",
            Self::EchoesNewest => {
                "smoltcp with timestamps: it echoes the newest, a segment is passed over, and it waits"
            }
            Self::StackByTimer => {
                "smoltcp without timestamps: a window of segments for each of its timeouts, which double"
            }
            Self::Nagle => "a request in several writes, with Nagle's algorithm",
            Self::HalfClose => "closed before the reply, without timestamps",
            Self::ByTimer => "without timestamps: a window of segments for each timeout",
            Self::Other => "a path or a window too small for so many segments, or a request that comes again in pieces",
        })
    }
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// How long each complete fetch took, in the order in which they ended; in order of size once closed.
    times: Vec<Duration>,
    /// Bytes of all replies that were read to the end.
    pub needed_bytes: u64,
    /// Clients that did what they came for, which was not to read a reply.
    pub without_reply: u64,
    /// Clients that were promised nothing and got nothing that counts.
    pub excused: u64,
    /// Why they were not: how many of each kind.
    pub excuses: BTreeMap<Excuse, u64>,
    /// Virtual time from the beginning to the end of the last client.
    pub elapsed: Duration,
    /// What the engine's loop counted.
    pub stats: Stats,
    /// What the world counted.
    pub tally: Tally,
    /// A number made of every frame.
    pub digest: u64,
}

impl Summary {
    /// Percentiles that are shown.
    const PERCENTILES: [u32; 5] = [0, 50, 90, 99, 100];

    pub(super) fn complete(&mut self, took: Duration, bytes: usize) {
        self.times.push(took);
        self.needed_bytes += bytes as u64;
    }

    pub(super) fn excuse(&mut self, client: &ClientSpec) {
        self.excused += 1;
        *self.excuses.entry(Excuse::of(client)).or_default() += 1;
    }

    pub(super) fn close<A: App>(&mut self, world: &World<'_, A>) {
        self.times.sort_unstable();
        self.stats = world.stats().clone();
        self.tally = world.tally().clone();
        self.digest = world.digest();
    }

    /// Fetches that were complete, byte by byte.
    pub fn completed(&self) -> u64 {
        self.times.len() as u64
    }

    /// The time within which so many percent of the complete fetches were done (nearest rank).
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        let rank = (self.times.len() * percent as usize).div_ceil(100);
        self.times.get(rank.saturating_sub(1)).copied()
    }

    /// Bytes that the engine sent, headers and all, for each byte that was needed.
    #[expect(clippy::cast_precision_loss, reason = "two digits of it are shown")]
    pub fn overhead(&self) -> f64 {
        self.stats.sent_bytes() as f64 / self.needed_bytes.max(1) as f64
    }

    /// Frames in both directions for each client.
    #[expect(clippy::cast_precision_loss, reason = "one digit of it is shown")]
    fn frames_per_client(&self) -> f64 {
        let clients = self.completed() + self.without_reply + self.excused;
        (self.tally.from_clients + self.stats.sent_frames()) as f64 / clients.max(1) as f64
    }

    /// As one JSON object, times in seconds.
    pub fn json(&self) -> String {
        let mut out = String::from("{");
        let mut put = |key: &str, value: &dyn fmt::Display| {
            let separator = if out.len() == 1 { "" } else { "," };
            let _ = write!(out, "{separator}\"{key}\":{value}");
        };
        put("completed", &self.completed());
        put("without_reply", &self.without_reply);
        put("excused", &self.excused);
        let excuses: Vec<_> = self.excuses.iter().map(|(why, count)| format!("\"{}\":{count}", why.name())).collect();
        put("excused_by_limit", &format_args!("{{{}}}", excuses.join(",")));
        put("virtual_seconds", &self.elapsed.as_secs_f64());
        for percent in Self::PERCENTILES {
            if let Some(time) = self.percentile(percent) {
                put(&format!("p{percent}_seconds"), &time.as_secs_f64());
            }
        }
        put("frames_from_clients", &self.tally.from_clients);
        put("frames_from_engine", &self.stats.sent_frames());
        put("frames_lost", &self.tally.lost);
        put("bytes_sent", &self.stats.sent_bytes());
        put("bytes_needed", &self.needed_bytes);
        let rows = self.stats.rows().filter(|&(_, count)| count > 0);
        let verdicts: Vec<String> =
            rows.map(|(verdict, count)| format!("\"{} {}\":{count}", verdict.action(), verdict.name())).collect();
        put("verdicts", &format_args!("{{{}}}", verdicts.join(",")));
        put("digest", &format_args!("\"{:016x}\"", self.digest));
        out.push('}');
        out
    }
}

/// A table for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "complete     {}, every byte as the application said it", self.completed())?;
        writeln!(f, "other        {} came for no reply, {} were promised none", self.without_reply, self.excused)?;
        for (why, count) in &self.excuses {
            writeln!(f, "             {count:>6} {why}")?;
        }
        if self.excused > 0 {
            writeln!(f, "             (docs/protocol.md, \"Known limits\", has the reasons)")?;
        }
        write!(f, "time        ")?;
        for percent in Self::PERCENTILES {
            if let Some(time) = self.percentile(percent) {
                write!(f, " p{percent} {:.3} s", time.as_secs_f64())?;
            }
        }
        writeln!(f, "; all in {:.1} s of virtual time", self.elapsed.as_secs_f64())?;
        let Tally { from_clients, lost, .. } = self.tally;
        let sent = self.stats.sent_frames();
        let each = self.frames_per_client();
        writeln!(f, "frames       {from_clients} from clients, {sent} from the engine, {each:.1} for each client")?;
        writeln!(f, "lost         {lost} of them on the way")?;
        writeln!(f, "overhead     {:.2} bytes sent for each byte of a complete reply", self.overhead())?;
        for (verdict, count) in self.stats.rows().filter(|&(_, count)| count > 0) {
            writeln!(f, "{count:>12} {verdict}")?;
        }
        writeln!(f, "digest       {:016x}", self.digest)
    }
}
