//! Every way in which the first frames of a connection can be lost or doubled, one after the other.
//!
//! A case is a number in base three, or four on connections that stay open, where frames overtake others too: its
//! digits are what becomes of the frames of a connection in the order in which they are sent, by either side. It is
//! handed to the links in place of randomness, as a fuzzer would do it. When the digits have all been read, the link
//! has healed.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::sample::Sample;
use lethe::time::Instant;
use lethe::wire::ethernet::MacAddress;
use lethe::{Config, Engine};

use crate::check;
use crate::frame::Ends;
use crate::link::Impairment;
use crate::peer::client::{Close, Ending, SessionRequest, SessionSettings, Settings, Timing};
use crate::random::{Probability, Random};
use crate::run::{Failure, Summary, run};
use crate::scenario::{ClientSpec, Kind, Promise, Workload};
use crate::world::Recorder;

/// The frames of a connection whose fate is enumerated: as many as an undisturbed fetch with a reply of one
/// segment takes. SYN, SYN+ACK, ACK, request, reply, ACK, FIN, ACK.
///
/// With nine, the SYN can be lost, which makes a client's first timeout three seconds, and then the request
/// five times: it comes 93 seconds after its SYN+ACK, whose cookie may have expired by then.
pub const FRAMES: u32 = 8;

/// How many bytes are asked for where nothing else is said: with the head of the response they fit a segment of any
/// family.
const SIZE: usize = 1000;

/// What can become of a frame, and the bytes that draw it: the first says whether it is lost, and if it
/// is not, the second whether it is doubled.
const FATES: [(&str, &[u8]); 3] = [("kept", &[0, 0]), ("lost", &[255]), ("doubled", &[0, 255])];

/// The most frames of a connection that stays open whose fate is enumerated.
pub const KEPT_FRAMES_MAX: u32 = 10;

/// The place in [`FATES`] of a frame that is lost.
const LOST: usize = 1;

/// What can also become of one on a connection that stays open: those behind it overtake it. The last bytes say for how
/// long it is held.
const SWAPPED: (&str, &[u8]) = ("swapped", &[0, 0, 255, 0x7f, 0x7f, 0x7f, 0x7f]);

/// With this, a frame with the bytes of [`SWAPPED`] is held for 39 ms: longer than a round trip.
const HOLD: Duration = Duration::from_millis(50);

/// The clients of connections that stay open: 1, they use IPv6; 2, the second request is in the segment of the first;
/// 4, in one right behind it; 8, they close their side behind it.
const KEPT_VARIANTS: [u32; 6] = [0, 1, 2, 4, 8, 10];

/// What is asked on a connection that stays open: responses of different lengths.
const KEPT_SIZES: [usize; 2] = [100, 42];

/// The clients of connections that stay open behind a response of three segments: those of [`KEPT_VARIANTS`], and 16,
/// the second response is the long one, which is padded.
const LONG_VARIANTS: [u32; 8] = [0, 1, 2, 4, 8, 16, 17, 24];

/// Frames that can be lost without a cookie that expires before the first request comes. Beyond that, a client may
/// give up, and must not read anything wrong.
const LOSSES_MAX: usize = 5;

/// The clients that each case is run with.
const VARIANTS: [u32; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Those of them that can ask for the rest of a reply: with timestamps, and without, but then they have to
/// close after the reply. The last two have nothing but their timer.
const LASTING_VARIANTS: [u32; 8] = [0, 1, 2, 3, 4, 5, 10, 11];

/// A body that makes three segments with its head and is stored, and the MSS that it does so with, IPv6 included.
const THREE_SEGMENTS: (usize, u16) = (3000, 1220);

/// The back-off of a client that lost each of its first nine frames ends after nine minutes.
const PATIENCE: Duration = Duration::from_mins(15);

/// More than can be lost: no client gives up before its link has healed.
const RETRIES: u32 = 20;

/// All cases for connections of so many frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exhaustive {
    frames: u32,
    /// How many bytes are asked for.
    pub size: usize,
    /// The MSS that clients announce, if not that of Linux: with `size` it says how many segments a reply has.
    pub mss: Option<u16>,
    /// Whether clients use SACK.
    pub sack: bool,
    /// How many ACKs in a row clients do not hold back.
    pub quick_acks: u32,
    /// The kinds of clients, as sums of what they do otherwise: 1, they use IPv6; 2, no timestamps; 4, they
    /// close with their request; 8, no SACK.
    pub variants: &'static [u32],
    /// Whether clients send two requests on one connection.
    is_kept: bool,
}

impl Exhaustive {
    /// All cases in which the first `frames` frames have some fate, and those after arrive.
    ///
    /// # Panics
    ///
    /// With more than 15 frames: the cases would take too long.
    pub fn new(frames: u32) -> Self {
        assert!(frames <= 15, "3^15 cases are 14 million");
        Self { frames, size: SIZE, mss: None, sack: true, quick_acks: 16, variants: &VARIANTS, is_kept: false }
    }

    /// All cases, with a reply of three segments.
    ///
    /// # Panics
    ///
    /// As [`Exhaustive::new`].
    pub fn three_segments(frames: u32) -> Self {
        let (size, mss) = THREE_SEGMENTS;
        Self { size, mss: Some(mss), variants: &LASTING_VARIANTS, ..Self::new(frames) }
    }

    /// All cases of two requests on one connection, in which frames also overtake each other.
    ///
    /// # Panics
    ///
    /// With more than 10 frames: 4^10 cases are a million.
    pub fn kept(frames: u32) -> Self {
        assert!(frames <= KEPT_FRAMES_MAX, "4^10 cases are a million");
        Self { variants: &KEPT_VARIANTS, is_kept: true, ..Self::new(frames) }
    }

    /// All cases of two requests on one connection, of which one has a response of three segments.
    ///
    /// # Panics
    ///
    /// As [`Exhaustive::kept`].
    pub fn kept_long(frames: u32) -> Self {
        let (size, mss) = THREE_SEGMENTS;
        Self { size, mss: Some(mss), variants: &LONG_VARIANTS, ..Self::kept(frames) }
    }

    /// How many cases there are for each kind of client.
    pub const fn cases(&self) -> u32 {
        self.fates_len().pow(self.frames)
    }

    const fn fates_len(&self) -> u32 {
        if self.is_kept { 4 } else { 3 }
    }

    /// Runs them all.
    ///
    /// # Errors
    ///
    /// The first that does not end as it must.
    pub fn run(&self, recorder: Option<&mut Recorder>) -> Result<Summary, Failure> {
        let secret = lethe::cookie::Secret::new([3; 16]);
        let mut config = Config { keep_alive: self.is_kept, ..Config::new(secret) };
        for ends in [Ends::v4(), Ends::v6()] {
            // Two addresses always fit.
            let _ = config.addresses.add(ends.server.ip());
        }
        let engine = Engine::new(config, Sample::new(self.size));
        run(self, &engine, check::all(&engine), recorder)
    }

    /// The fates of a case, as numbers in [`FATES`].
    fn fates(&self, number: u32) -> impl Iterator<Item = usize> {
        let case = number % self.cases();
        let base = self.fates_len();
        (0..self.frames).map(move |place| (case / base.pow(place) % base) as usize)
    }

    /// A client of a connection that stays open.
    fn session(&self, ends: &Ends, is_set: impl Fn(u32) -> bool) -> SessionSettings {
        let linux = Settings::linux(ends, "/");
        let client = Settings { syn_retries: RETRIES, retries: RETRIES, mss: self.mss.or(linux.mss), ..linux };
        let [first, second] = KEPT_SIZES;
        let sizes = match (self.mss.is_some(), is_set(4)) {
            (false, _) => [first, second],
            (true, false) => [self.size, second],
            (true, true) => [first, self.size],
        };
        let timing = match (is_set(1), is_set(2)) {
            (true, _) => Timing::Joined,
            (_, true) => Timing::Written(Duration::ZERO),
            _ => Timing::Answered(Duration::ZERO),
        };
        let requests = sizes.iter().zip([Timing::Answered(Duration::ZERO), timing]).map(|(size, timing)| {
            let bytes = format!("GET /{size} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
            SessionRequest { bytes, timing, cuts: Vec::new(), gap: Duration::ZERO }
        });
        let ending = if is_set(3) { Ending::HalfClose } else { Ending::Close(Duration::ZERO) };
        SessionSettings { client, requests: requests.collect(), ending, heals_after: PATIENCE }
    }
}

impl Workload for Exhaustive {
    fn start(&self) -> Instant {
        Instant::from_unix_seconds(1_780_000_000)
    }

    fn clients(&self) -> u32 {
        self.cases() * self.variants.len() as u32
    }

    fn client(&self, number: u32) -> ClientSpec {
        let variant = self.variants[(number / self.cases()) as usize];
        let is_set = |bit: u32| variant >> bit & 1 == 1;
        let [a, b, c, d] = number.to_be_bytes();
        let (ends, client) = if is_set(0) {
            let [high, low] = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            (Ends::v6(), IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 1, high, low)))
        } else {
            (Ends::v4(), IpAddr::V4(Ipv4Addr::from([11, b, c, d])))
        };
        let ends = Ends::between((client, ends.client.port()).into(), ends.server);
        let ends = Ends { client_mac: MacAddress::new([0x02, 0x01, a, b, c, d]), ..ends };
        let settings = Settings {
            timestamps: !is_set(1),
            close: if is_set(2) { Close::WithRequest } else { Close::AfterReply },
            syn_retries: RETRIES,
            retries: RETRIES,
            ..Settings::linux(&ends, &format!("/{}", self.size))
        };
        let mss = self.mss.or(settings.mss);
        let settings = Settings { mss, sack: self.sack && !is_set(3), quick_acks: self.quick_acks, ..settings };
        let even = Probability::from_percent(50);
        let delay = Duration::from_millis(10);
        let mut link = Impairment { loss: even, duplicate: even, delay, ..Impairment::default() };
        let mut kind = Kind::Model(Box::new(settings.clone()));
        let mut promise = Promise::Reply;
        if self.is_kept {
            (link.reorder, link.hold) = (even, HOLD);
            kind = Kind::Session(Box::new(self.session(&ends, is_set)));
            if self.fates(number).filter(|&fate| fate == LOST).count() > LOSSES_MAX {
                promise = Promise::PerhapsReply;
            }
        }
        let tape: Vec<u8> = self.fates(number).flat_map(|fate| self.fate(fate).1).copied().collect();
        ClientSpec {
            number,
            request: settings.request.concat(),
            kind,
            size: self.size,
            promise,
            ends,
            up: link.clone(),
            down: link,
            random: Random::from_bytes(&tape),
            heals_after: PATIENCE,
            patience: PATIENCE,
        }
    }

    fn command_line(&self) -> String {
        let frames = if self.frames == FRAMES { String::new() } else { format!(" --frames {}", self.frames) };
        let large = if self.size == SIZE { "" } else { " --large" };
        let kept = if self.is_kept { " --keep-alive 2" } else { "" };
        format!("lethe simulate --exhaustive{frames}{large}{kept}")
    }
}

impl Exhaustive {
    /// A fate, and the bytes that draw it: with a frame that may be overtaken, one more for each copy.
    const fn fate(&self, fate: usize) -> (&'static str, &'static [u8]) {
        match (self.is_kept, fate) {
            (true, 0) => ("kept", &[0, 0, 0]),
            (true, 2) => ("doubled", &[0, 255, 0, 0]),
            (true, 3) => SWAPPED,
            _ => FATES[fate],
        }
    }

    /// What becomes of the frames in a case, in words.
    pub fn describe(&self, number: u32) -> String {
        let mut text = String::new();
        for (index, fate) in self.fates(number).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            // A string takes all that it is given.
            let _ = write!(text, "{separator}{}", self.fate(fate).0);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_is_another_one() {
        let all = Exhaustive::new(4);
        let seen: BTreeSet<String> = (0..all.cases()).map(|number| all.describe(number)).collect();
        assert_eq!(seen.len(), 81);
        assert_eq!(all.describe(5), "doubled, lost, kept, kept");
    }

    #[test]
    fn whatever_is_lost_doubled_or_overtaken_two_requests_on_a_connection_are_answered() {
        let all = Exhaustive::kept(5);
        let summary = all.run(None).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{} cases", all.clients());
        assert_eq!(summary.completed(), u64::from(all.clients()));
        assert_eq!(all.describe(4 * 3 + 2), "doubled, swapped, kept, kept, kept");
    }

    #[test]
    fn whatever_is_lost_doubled_or_overtaken_a_request_behind_or_ahead_of_a_long_response_is_answered() {
        let all = Exhaustive::kept_long(4);
        let summary = all.run(None).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{} cases", all.clients());
        assert_eq!(summary.completed(), u64::from(all.clients()));
    }

    #[test]
    fn whatever_is_lost_or_doubled_everything_completes() {
        for all in [Exhaustive::new(5), Exhaustive::three_segments(4)] {
            let summary = all.run(None).unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!(summary.completed(), u64::from(all.clients()));
        }
    }
}
