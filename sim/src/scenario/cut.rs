//! Clients of any application whose requests come in pieces.
//!
//! A kernel puts together what an application wrote in pieces when it sends that again. So one request can come in
//! packets of different lengths, and whatever is answered must not depend on which of them arrives.

use lethe::app::{App, Request};
use lethe::engine::SCRATCH_LEN;
use lethe::http::RequestLine;
use lethe::time::Instant;

use super::crowd;
use super::visitor::{Kind, Promise, Visitor};
use super::{HEALS_AFTER, Options, PATIENCE, Plan, Scenario};
use crate::peer::client::{Close, Settings};
use crate::random::{Probability, Random};

/// What a client that announces no MSS sends at a time (RFC 9293, section 3.7.1).
const SEGMENT_MIN: usize = 536;

/// Bytes of the headers of IPv4 and TCP.
const HEADERS_MIN: usize = 40;

/// The most places at which a request is cut.
const CUTS_MAX: u64 = 6;

/// Clients that fetch from an application, each with one of these requests.
pub struct Cut<'a, A: ?Sized> {
    scenario: Scenario,
    app: &'a A,
    requests: &'a [Vec<u8>],
    random: Random,
    /// The command line that does the same again.
    again: String,
}

impl<'a, A: App + ?Sized> Cut<'a, A> {
    /// Draws what is not set. There is at least one request; `again` is the command line that does the same again.
    pub fn draw(app: &'a A, requests: &'a [Vec<u8>], options: Options, again: String) -> Self {
        let random = Random::from_seed(options.seed).fork("cut");
        Self { scenario: Scenario::draw(options), app, requests, random, again }
    }

    /// The network, and what the engine is set up with.
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Whether the answer to a whole request is stored, and how long it is.
    fn answer(&self, request: &[u8]) -> (usize, bool) {
        let mut scratch = vec![0; SCRATCH_LEN];
        let Ok(line) = RequestLine::parse(request) else { return (0, false) };
        let answer = Request::of_line(&line).answer(self.app, &mut scratch);
        answer.map_or((0, false), |response| (response.len(), response.position().is_some()))
    }
}

impl<A: App + ?Sized> Plan for Cut<'_, A> {
    fn start(&self) -> Instant {
        self.scenario.start
    }

    fn clients(&self) -> u32 {
        self.scenario.options.requests
    }

    fn visitor(&self, number: u32) -> Visitor {
        let random = self.random.nth(number.into());
        let scenario = &self.scenario;
        let ends = crowd::draw_ends(random.fork("ends"), number);
        let request = random.fork("request").pick(self.requests).clone();
        let mut settings = Settings { request: vec![request.clone()], ..Settings::linux(&ends, "/") };
        vary(&mut settings, random.fork("settings"), scenario.may_mislead());
        cut(&mut settings, random.fork("cuts"));
        // The first write may draw another answer than the whole request.
        let first = settings.request.first().map_or(&[][..], Vec::as_slice);
        let answers = [self.answer(&request), self.answer(first)];
        let size = answers[0].0;
        let mut promise = crowd::promise(&settings);
        let is_answered_at_once = crowd::is_answered_at_once(&settings);
        // A kernel does not put a small piece and a full one together, so the line would never be complete.
        let segment = settings.mss.map_or(SEGMENT_MIN, usize::from);
        let has_rest = request.len() > segment.min(usize::from(scenario.config.mtu.bytes()) - HEADERS_MIN);
        if has_rest && !is_answered_at_once {
            promise = Promise::PerhapsReply;
        }
        // What of a request comes behind its answer is acknowledged only by who sees that it has been answered; and
        // what is not acknowledged keeps the FIN of a client behind it, where its window is full.
        if has_rest && !settings.timestamps {
            promise = Promise::PerhapsReply;
        }
        let kind = Kind::Model(Box::new(settings));
        let is_promised = |(len, is_stored)| crowd::is_promised(scenario, &kind, &ends, len, is_stored);
        if promise == Promise::Reply && !answers.into_iter().all(is_promised) {
            promise = Promise::PerhapsReply;
        }
        let is_v6 = ends.client.is_ipv6();
        Visitor {
            number,
            request,
            kind,
            size,
            promise: if scenario.may_mislead() { Promise::Nothing } else { promise },
            ends,
            up: crowd::for_family(&scenario.up, is_v6),
            down: crowd::for_family(&scenario.down, is_v6),
            random,
            heals_after: HEALS_AFTER,
            patience: PATIENCE,
        }
    }

    fn command_line(&self) -> String {
        self.again.clone()
    }
}

/// What matters to a request in pieces.
fn vary(settings: &mut Settings, mut random: Random, may_mislead: bool) {
    let (often, seldom) = (Probability::from_percent(75), Probability::from_percent(20));
    settings.isn = random.next_u64() as u32;
    settings.timestamp_base = random.next_u64() as u32;
    settings.timestamps = random.chance(often);
    settings.sack = random.chance(often);
    settings.nagle = random.chance(Probability::from_percent(50));
    settings.tail_loss_probe = random.chance(often);
    settings.ack_handshake = random.chance(often);
    settings.strict = !may_mislead;
    if random.chance(seldom) {
        settings.mss = Some(*random.pick(&[536, 1220, 1300, 1381, 8960]));
    }
    if random.chance(seldom) {
        settings.close = *random.pick(&[Close::AfterRequest, Close::WithRequest]);
    }
    if random.chance(seldom) {
        settings.resend_limit = Some(*random.pick(&[100, 536]));
    }
}

/// Cuts a request into writes: anywhere, or at the ends of its lines.
fn cut(settings: &mut Settings, mut random: Random) {
    let whole = settings.request.concat();
    let lines: Vec<usize> = (1..=whole.len()).filter(|&end| whole[..end].ends_with(b"\r\n")).collect();
    let places: Vec<usize> = match random.below(4) {
        0 => Vec::new(),
        1 => lines,
        2 => vec![*random.pick(&lines)],
        _ => (0..random.range(1..=CUTS_MAX)).map(|_| random.below(whole.len() as u64) as usize).collect(),
    };
    *settings = settings.clone().split_at(&places);
}
