//! A page that is read when the server starts, and a greeting that is made for each request.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use lethe_server::anyhow::{self, Context};
use lethe_server::{App, Position, Request, Response, Server, Status, Store, Stored, clap, query};

#[cfg(test)]
mod tests;

/// The arguments of the application, behind the options of the server.
#[derive(Clone, clap::Args)]
struct Args {
    /// Page to serve as /
    page: PathBuf,
}

struct Site {
    store: Store,
    page: Stored,
}

impl Site {
    fn load(args: &Args) -> anyhow::Result<Self> {
        let page = fs::read(&args.page).with_context(|| format!("cannot read {}", args.page.display()))?;
        let mut store = Store::new();
        let page = store.add(Status::Ok, &[("Content-Type", "text/html; charset=utf-8")], page)?;
        Ok(Self { store, page })
    }
}

impl App for Site {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        match request.path {
            b"/" => self.store.get(self.page),
            b"/hello" => {
                let mut room = [0; 100];
                let name = query::field(request.query, "name").and_then(|name| query::form_decode(name, &mut room));
                let name = name.and_then(|name| str::from_utf8(name).ok()).unwrap_or("stranger");
                let response = Response::build(scratch, Status::Ok).header("Content-Type", "text/html; charset=utf-8");
                response.body_with(|body| {
                    body.push("<!doctype html><p>Hello, ");
                    body.push_html(name);
                    body.push("\n");
                })
            }
            _ => Response::build(scratch, Status::NotFound).body(b""),
        }
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        self.store.at(position)
    }

    fn stores(&self) -> bool {
        true
    }
}

fn main() -> ExitCode {
    Server::new("site", Site::load)
        .reloads(|args| Some(args.page.display().to_string()))
        .example("page.html", "/hello?name=Ada")
        .paths(["/hello?name=Ada", "/"])
        .main()
}
