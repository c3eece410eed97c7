//! The book as a test reads it: code blocks, and what HTML comments before them say.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A page of the book.
pub(crate) struct Page {
    /// From the root of the repository on.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) items: Vec<Item>,
}

/// The steps of a page, in their order.
pub(crate) enum Item {
    /// `<!-- setup: … -->`: shell lines that a reader does not see.
    Setup { line: usize, script: String },
    /// A code block.
    Block(Block),
}

pub(crate) struct Block {
    /// The word behind the fence, its language; empty for a block that is only indented.
    pub(crate) kind: String,
    /// The number of its first line, from 1 on.
    pub(crate) line: usize,
    pub(crate) lines: Vec<String>,
    /// How far all of it is indented, in a list.
    pub(crate) indent: usize,
    pub(crate) how: How,
}

/// What `<!-- run: … -->` before a block says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// Nothing: each command ends, and well.
    Plainly,
    /// `no, REASON`
    Not(String),
    /// `fails`: the last command ends with an error.
    Fails,
    /// `stays`: the commands go on in the background until the page ends, or another one of that program begins.
    Stays,
    /// `through COMMAND`: the block is what that reads.
    Through(String),
}

/// A command of a block, and what it is quoted to say.
pub(crate) struct Command {
    pub(crate) text: String,
    /// Line numbers of the quoted output in the file: first, and behind the last.
    pub(crate) output_lines: (usize, usize),
    pub(crate) output: String,
}

impl Block {
    /// The commands of a `console` block.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut goes_on = false;
        for (line, text) in (self.line..).zip(&self.lines) {
            if let Some(command) = text.strip_prefix("$ ").filter(|_| !goes_on) {
                let output_lines = (line + 1, line + 1);
                commands.push(Command { text: command.to_owned(), output_lines, output: String::new() });
            } else {
                let last = commands.last_mut().unwrap_or_else(|| panic!("line {line}: output of no command: {text}"));
                if goes_on {
                    last.text.push('\n');
                    last.text.push_str(text);
                    last.output_lines = (line + 1, line + 1);
                } else {
                    last.output.push_str(text);
                    last.output.push('\n');
                    last.output_lines.1 = line + 1;
                }
            }
            goes_on = (goes_on || text.starts_with("$ ")) && text.ends_with('\\');
        }
        commands
    }
}

/// The README and every page of `docs`.
pub(crate) fn pages() -> Vec<Page> {
    let mut names: Vec<PathBuf> =
        fs::read_dir(Path::new(ROOT).join("docs")).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|kind| kind == "md"));
    names.sort();
    let docs = names.iter().map(|path| format!("docs/{}", path.file_name().unwrap().to_str().unwrap()));
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
        .map(String::from)
        .into_iter()
        .chain(docs)
        .map(|n| page(&n))
        .collect()
}

pub(crate) fn page(name: &str) -> Page {
    let text = fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let items = parse(name, &text);
    Page { name: name.to_owned(), text, items }
}

fn parse(name: &str, text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut how: Option<How> = None;
    let mut comment: Option<String> = None;
    let mut block: Option<Block> = None;
    for (event, range) in Parser::new(text).into_offset_iter() {
        let line = 1 + text[..range.start].matches('\n').count();
        match event {
            Event::Start(Tag::HtmlBlock) => comment = Some(String::new()),
            Event::Html(part) => comment.get_or_insert_default().push_str(&part),
            Event::End(TagEnd::HtmlBlock) => {
                let comment = comment.take().unwrap_or_default();
                let inside = comment.trim().strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"));
                match inside.map(str::trim).and_then(|inside| inside.split_once(':')) {
                    Some(("setup", script)) => items.push(Item::Setup { line, script: script.trim().to_owned() }),
                    Some(("run", words)) => how = Some(read_how(words.trim(), &format!("{name}:{line}"))),
                    _ => {}
                }
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                let (kind, first) = match kind {
                    CodeBlockKind::Fenced(kind) => (kind.into_string(), line + 1),
                    CodeBlockKind::Indented => (String::new(), line),
                };
                let how = how.take().unwrap_or(How::Plainly);
                let indent = range.start - text[..range.start].rfind('\n').map_or(0, |end| end + 1);
                block = Some(Block { kind, line: first, lines: vec![String::new()], indent, how });
            }
            Event::Text(part) => {
                if let Some(block) = &mut block {
                    let mut parts = part.split('\n');
                    block.lines.last_mut().expect("there is one").push_str(parts.next().unwrap_or_default());
                    block.lines.extend(parts.map(String::from));
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                let mut block = block.take().expect("it has begun");
                block.lines.pop_if(|line| line.is_empty());
                items.push(Item::Block(block));
            }
            Event::Start(Tag::Paragraph | Tag::Heading { .. } | Tag::Table(_)) if how.is_some() => {
                panic!("{name}:{line}: `run:` stands before no code block");
            }
            _ => {}
        }
    }
    items
}

fn read_how(words: &str, at: &str) -> How {
    match words.split_once([' ', ',']).unwrap_or((words, "")) {
        ("no", reason) if !reason.trim().is_empty() => How::Not(reason.trim().to_owned()),
        ("fails", "") => How::Fails,
        ("stays", "") => How::Stays,
        ("through", command) if !command.is_empty() => How::Through(command.to_owned()),
        _ => panic!("{at}: `run: {words}` is none of: no, REASON; fails; stays; through COMMAND"),
    }
}
