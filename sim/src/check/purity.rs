//! A frame is answered by the same bytes each time, whatever the memory holds, and whatever is left to the port.

use lethe::engine::SCRATCH_LEN;
use lethe::port::{Offload, RxFrame};
use lethe::{App, Config, Engine, vnet};

use super::{Checker, Exchange};
use crate::FRAME_MAX;
use crate::notation;
use crate::offload::on_the_wire;

/// Two kinds of dirt. What was left from before shows in one of them at least.
const DIRT: [u8; 2] = [0x5a, 0xff];

/// What is left to two kinds of ports: nothing, and all that can be.
const OFFLOADS: [Offload; 2] = [Offload::NONE, vnet::OFFLOAD];

/// Has the engine handle each frame again, behind both kinds of ports, with scratch space and buffers full of something
/// else.
pub struct Purity<'e, A> {
    engines: [Engine<&'e A>; 2],
    scratch: Vec<u8>,
    buffer: Vec<u8>,
}

impl<'e, A: App> Purity<'e, A> {
    /// For this engine.
    pub fn new(engine: &'e Engine<A>) -> Self {
        let behind = |offload| Engine::new(Config { offload, ..engine.config().clone() }, engine.app());
        Self { engines: OFFLOADS.map(behind), scratch: vec![0; SCRATCH_LEN], buffer: vec![0; FRAME_MAX] }
    }

    fn handle(&mut self, exchange: &Exchange<'_>, (port, dirt): (usize, u8)) -> Result<(), String> {
        let (engine, scratch, buffer) = (&self.engines[port], &mut self.scratch, &mut self.buffer);
        if !exchange.sent.is_empty() {
            scratch.fill(dirt);
        }
        let mut reply = engine.handle(exchange.now, RxFrame::unchecked(exchange.received), scratch);
        let verdict = reply.verdict();
        if verdict != exchange.verdict {
            return Err(format!("{} at first, and now {verdict}", exchange.verdict));
        }
        let room = before_len(exchange);
        let now = std::iter::from_fn(|| {
            if reply.is_pending() {
                buffer[..room].fill(dirt);
            }
            let written = reply.next_frame(buffer)?;
            Some(on_the_wire(&mut buffer[..written.len], written.checksum))
        });
        let (mut sent, mut now) = (exchange.sent.iter(), now.flatten());
        loop {
            match (sent.next(), now.next()) {
                (None, None) => return Ok(()),
                (Some(before), Some(now)) if *before == now => {}
                (before, now) => {
                    let line = |frame: Option<&[u8]>| frame.map_or("nothing".to_owned(), notation::line);
                    let [before, now] = [before, now.as_ref()].map(|frame| line(frame.map(Vec::as_slice)));
                    return Err(format!("at first {before}, and now {now}"));
                }
            }
        }
    }
}

/// How much of a buffer is made dirty: a bit more than any two frames of this reply, which may be one to be cut.
fn before_len(exchange: &Exchange<'_>) -> usize {
    let longest = exchange.sent.iter().map(Vec::len).max().unwrap_or(0);
    (2 * longest + 64).min(FRAME_MAX)
}

impl<A: App> Checker for Purity<'_, A> {
    fn name(&self) -> &'static str {
        "purity"
    }

    fn check(&mut self, exchange: &Exchange<'_>) -> Result<(), String> {
        DIRT.into_iter().enumerate().try_for_each(|dirty| self.handle(exchange, dirty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::stand;
    use crate::frame::Ends;
    use crate::testing;
    use lethe::http::Response;
    use lethe::{Config, Request};

    #[test]
    fn it_sees_a_byte_that_was_not_there_before() {
        let engine = testing::engine();
        let mut checker = Purity::new(&engine);
        for recorded in stand::fetch(&engine, &Ends::v6(), "/3000") {
            assert_eq!(recorded.check(&mut checker), Ok(()));
            let mut wrong = recorded.clone();
            *wrong.sent[0].last_mut().unwrap() ^= 1;
            assert!(wrong.check(&mut checker).unwrap_err().starts_with("at first"));
            let mut wrong = recorded;
            wrong.sent.pop();
            assert!(wrong.check(&mut checker).unwrap_err().starts_with("at first nothing"));
        }
    }

    /// Answers with what it finds in its scratch space.
    struct Leaky;

    impl App for Leaky {
        fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
            Response::prepared(b"HTTP/1.1 200 OK\r\n\r\n", &scratch[..4])
        }
    }

    #[test]
    fn it_sees_an_application_that_leaks_its_scratch_space() {
        let config: Config = testing::engine().config().clone();
        let engine = Engine::new(config, Leaky);
        let [_, asked] = stand::fetch(&engine, &Ends::v4(), "/");
        assert!(asked.check(&mut Purity::new(&engine)).unwrap_err().starts_with("at first"));
    }
}
