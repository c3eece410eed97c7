//! That `ipinfo` keeps the contract of an application, and what its clients receive over a bad network.

use lethe_apps::ipinfo::IpInfo;
use lethe_test::{TestRequest, check_app, simulate};

/// Every form of an answer, in every language of the data built in, about addresses with a place, without one, and no
/// address at all.
fn every_request() -> Vec<TestRequest> {
    let addresses = ["202.96.128.86", "8.8.8.8", "10.0.0.1", "2001:4860:4860::8888", "[2400:3200::1]", "1.2.3", "::g"];
    let about = addresses.iter().flat_map(|address| {
        [format!("/{address}"), format!("/{address}/json"), format!("/{address}.json"), format!("/?ip={address}")]
    });
    let own = ["/", "/json", "/ip", "/?ip=", "/favicon.ico", "/?ip=%3Cb%3E"].map(str::to_owned);
    let mut all = Vec::new();
    for target in about.chain(own) {
        all.extend([TestRequest::get(&target), TestRequest::head(&target)]);
        all.extend(
            ["en", "zh-CN,en;q=0.5"].map(|languages| TestRequest::get(&target).header("Accept-Language", languages)),
        );
    }
    all
}

/// Requests whose language is behind the first segment, of most clients.
fn late_languages() -> Vec<TestRequest> {
    let request = |target, language| {
        TestRequest::get(target).header("Cookie", &"c".repeat(1400)).header("Accept-Language", language)
    };
    let of_target = |target| ["en", "zh"].map(|language| request(target, language));
    ["/", "/json", "/8.8.8.8/json", "/?ip=202.96.128.86"].into_iter().flat_map(of_target).collect()
}

#[test]
fn the_contract_is_kept() {
    check_app(&IpInfo::embedded(), [every_request(), late_languages()].concat());
}

/// More than 10,000 fetches: two seconds.
#[test]
fn every_client_gets_every_byte_under_loss_with_cut_requests_and_kept_connections() {
    const SEEDS: u64 = 10;
    let app = IpInfo::embedded();
    let requests = [every_request(), late_languages()].concat();
    let cut = simulate(&app, requests).loss("5%").split().clients(1600).seeds(0..SEEDS).run().unwrap();
    let kept = simulate(&app, every_request()).keep_alive(8).loss("5%").clients(200).seeds(0..SEEDS).run().unwrap();
    assert!(cut.completed > 1000 * SEEDS && kept.completed == 200 * SEEDS, "{cut:?} {kept:?}");
}
