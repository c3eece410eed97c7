//! What `benches/cost.rs` counts, with a redirect to HTTPS beside a thousand rules for other hosts.

#[path = "support/client.rs"]
mod client;

use std::path::Path;

use lethe_apps::respond::Respond;

fn main() {
    let mut rules = String::new();
    for number in 0..1000 {
        let rule = format!("[[rule]]\nhosts = ['{number}.example']\npaths = ['/']\nredirect = 'https://{{host}}/'\n");
        rules.push_str(&rule);
    }
    rules.push_str("[[rule]]\nredirect = 'https://{host}{path}{query}'\n");
    client::run(Respond::parse(&rules, Path::new("rules.toml")).expect("rules"), "/a/page", "/");
}
