//! An application of which it is decided when the server starts which one it is.

use std::io::Cursor;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::sync::Arc;

use lethe::engine::SCRATCH_LEN;
use lethe::http::Status;
use lethe::{App, Request};
use lethe_apps::Application;
use lethe_apps::files::{self, About, Files};
use lethe_apps::ipinfo::{self, IpInfo};
use lethe_apps::scores::{self, Labels, Scores};

/// More than fits a packet.
const LONG: [u8; 5000] = [b'x'; 5000];

fn of_files() -> Application {
    let mut builder = files::Builder::new(Cursor::new(Vec::new())).unwrap();
    let about = About { status: Status::Ok, content_type: "text/css", coding: None, varies: false };
    let object = builder.add(&about, LONG.len() as u64, &mut &LONG[..], &mut |_| ControlFlow::Continue(())).unwrap();
    builder.name(b"/", object, [None; 3]);
    Application::Files(Files::new(files::Image::open(builder.finish().unwrap().into_inner()).unwrap()))
}

fn of_scores() -> Application {
    let labels = Labels::new("", "", "").unwrap();
    let mut builder = scores::Builder::new(Cursor::new(Vec::new()), [7; 32], labels).unwrap();
    builder.add("1", "2", &LONG).unwrap();
    let image = scores::Image::open(builder.finish().unwrap().into_inner()).unwrap();
    Application::Scores(Scores::new(Arc::new(image)))
}

fn of_ipinfo() -> Application {
    Application::IpInfo(IpInfo::embedded())
}

#[test]
fn what_an_application_stores_is_had_again_by_its_position() {
    for app in [of_files(), of_scores()] {
        let mut scratch = vec![0; SCRATCH_LEN];
        let response = app.respond(&Request::get(b"/").with_query(Some(b"seat=1&id=2")), &mut scratch);
        assert_eq!(response.body(), LONG);
        assert!(app.stores());
        assert_eq!(app.stored(response.position().unwrap()), Some(response));
    }
}

#[test]
fn an_application_that_stores_nothing_says_so() {
    let app = of_ipinfo();
    let mut scratch = vec![0; SCRATCH_LEN];
    let request = Request::get(b"/8.8.8.8").with_client(Ipv4Addr::LOCALHOST.into());
    let response = app.respond(&request, &mut scratch);
    assert!(response.head().starts_with(b"HTTP/1.1 200 ") && response.position().is_none());
    assert!(!app.stores());
}

#[test]
fn a_database_says_how_large_it_is_and_shows_none_of_its_bytes() {
    let database = ipinfo::Database::embedded();
    let expect = format!("{{ ranges: {}, places: {} }}", database.range_count(), database.place_count());
    assert_eq!(format!("{database:?}"), format!("Database {expect}"));
    assert_eq!(format!("{:?}", ipinfo::Data::from(database)), format!("Data {{ database: Database {expect}, .. }}"));
}
