//! What a file of tests says that need more than a compiler: root, or programs that may not be installed.
//!
//! ```text
//! use lethe_harness::test;
//!
//! #[test(root, "curl")]
//! fn curl_gets_a_page() { … }
//!
//! lethe_harness::main!();
//! ```
//!
//! The file has `harness = false` in its Cargo.toml; if that is forgotten, a test says so. What runs the tests, and
//! leaves some out, is `lethe_testnet::harness`, on which such a file must depend too.

use proc_macro::{Group, TokenStream, TokenTree};

/// Registers a test with the harness of its file, with what it needs: `#[test(root, "nginx")]`.
///
/// `root` is the right to make network namespaces and devices; a string is a program. `#[ignore = "why"]` below it is
/// what it is with the standard harness. A test that takes something that is not there is ignored, and says so.
#[proc_macro_attribute]
pub fn test(needs: TokenStream, item: TokenStream) -> TokenStream {
    let (ignored, function) = take_ignored(item);
    let Some(name) = name(&function) else {
        return "compile_error!(\"#[test] stands before a function\");".parse().expect("it is Rust");
    };
    let needs: Vec<String> = needs
        .into_iter()
        .filter_map(|token| match token {
            TokenTree::Ident(word) => Some(format!("\"{word}\"")),
            TokenTree::Literal(word) => Some(word.to_string()),
            _ => None,
        })
        .collect();
    let ignored = ignored.map_or_else(|| "None".to_owned(), |reason| format!("Some({reason})"));
    let registered = format!(
        "::lethe_testnet::harness::inventory::submit! {{ ::lethe_testnet::harness::Test {{ name: \"{name}\", module: \
         module_path!(), needs: &[{}], ignored: {ignored}, run: {name} }} }}",
        needs.join(", ")
    );
    let mut tokens = function;
    tokens.extend(registered.parse::<TokenStream>().expect("it is Rust"));
    tokens
}

/// The `main` of a file of tests.
#[proc_macro]
pub fn main(_: TokenStream) -> TokenStream {
    r#"
        fn main() -> ::std::process::ExitCode {
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/", env!("CARGO_CRATE_NAME"), ".rs");
            ::lethe_testnet::harness::run(::std::path::Path::new(source))
        }

        #[cfg(test)]
        mod harness {
            /// Built only with the standard harness, which runs none of the tests of this file.
            #[test]
            fn cargo_toml_says_harness_false_for_this_file() {
                panic!("Cargo.toml has no `[[test]]` with `harness = false` for this file: none of its tests runs");
            }
        }
    "#
    .parse()
    .expect("it is Rust")
}

/// Takes `#[ignore]` away from a function, and returns the reason that it has.
fn take_ignored(item: TokenStream) -> (Option<String>, TokenStream) {
    let mut ignored = None;
    let mut rest = TokenStream::new();
    let mut tokens = item.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if let (TokenTree::Punct(hash), Some(TokenTree::Group(group))) = (&token, tokens.peek())
            && hash.as_char() == '#'
            && let Some(reason) = reason(group)
        {
            ignored = Some(reason);
            tokens.next();
            continue;
        }
        rest.extend([token]);
    }
    (ignored, rest)
}

/// The reason of `[ignore = "reason"]`.
fn reason(attribute: &Group) -> Option<String> {
    let mut tokens = attribute.stream().into_iter();
    let is_ignore = matches!(tokens.next(), Some(TokenTree::Ident(word)) if word.to_string() == "ignore");
    let reason = tokens.find_map(|token| match token {
        TokenTree::Literal(text) => Some(text.to_string()),
        _ => None,
    });
    is_ignore.then(|| reason.unwrap_or_else(|| "\"\"".to_owned()))
}

/// What stands behind `fn`.
fn name(function: &TokenStream) -> Option<String> {
    let mut tokens = function.clone().into_iter();
    tokens.find(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn"))?;
    tokens.next().map(|name| name.to_string())
}
