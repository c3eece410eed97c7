//! Sends the visitors of a host that has moved to its new one. A health check and a page of any length stay here.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use lethe_server::anyhow::{self, Context};
use lethe_server::{App, Method, Methods, Position, Request, Response, Server, Status, Store, Stored, Writer, clap};

#[cfg(test)]
mod tests;

#[derive(Clone, clap::Args)]
struct Args {
    /// Host that has moved
    #[arg(long, value_name = "HOST")]
    from: String,
    /// Where it is now
    #[arg(long, value_name = "HOST")]
    to: String,
    /// Page to serve as /about, on every host
    page: PathBuf,
}

struct Redirect {
    args: Args,
    store: Store,
    about: Stored,
}

impl Redirect {
    fn load(args: &Args) -> anyhow::Result<Self> {
        let page = fs::read(&args.page).with_context(|| format!("cannot read {}", args.page.display()))?;
        let mut store = Store::new();
        let about = store.add(Status::Ok, &[("Content-Type", "text/html; charset=utf-8")], page)?;
        Ok(Self { args: args.clone(), store, about })
    }
}

impl App for Redirect {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        match request.path {
            b"/health" => return Response::build(scratch, Status::NoContent).body(b""),
            b"/about" => return self.store.get(self.about),
            _ => {}
        }
        let Some(host) = request.authority() else { return Response::build(scratch, Status::BadRequest).body(b"") };
        if !host.eq_ignore_ascii_case(self.args.from.as_bytes()) {
            return Response::build(scratch, Status::MisdirectedRequest).body(b"");
        }
        let target = |location: &mut Writer<'_>| {
            location.push("http://");
            location.push(&self.args.to);
            location.push_bytes(request.path);
            if let Some(query) = request.query {
                location.push("?");
                location.push_bytes(query);
            }
        };
        Response::build(scratch, Status::moved(request.method)).header_with("Location", target).body(b"")
    }

    fn methods(&self) -> Methods {
        Methods::GET_AND_HEAD.with(Method::Post)
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        self.store.at(position)
    }

    fn stores(&self) -> bool {
        true
    }
}

fn main() -> ExitCode {
    Server::new("redirect", Redirect::load).paths(["/a", "/about", "/health"]).main()
}
