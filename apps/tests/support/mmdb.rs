//! Writes MaxMind DB files: version 2.0 of the format, for IPv6, with IPv4 in `::/96`.

use std::net::IpAddr;

use serde_json::{Value, json};

/// A node has two records of 32 bits.
type Node = [Record; 2];

#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    Data(usize),
}

/// The file that has these records for these blocks, of which later ones take the place of earlier ones.
pub(crate) fn mmdb(blocks: &[(&str, &Value)], database_type: &str) -> Vec<u8> {
    let mut nodes: Vec<Node> = vec![[Record::Empty; 2]];
    let mut data = Vec::new();
    for (block, value) in blocks {
        let at = data.len();
        encode(value, &mut data);
        insert(&mut nodes, block, at);
    }
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let number = match *record {
            Record::Empty => nodes.len(),
            Record::Node(node) => node,
            Record::Data(at) => nodes.len() + 16 + at,
        };
        file.extend((number as u32).to_be_bytes());
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = [
        ("node_count", json!(nodes.len())),
        ("record_size", json!(32)),
        ("ip_version", json!(6)),
        ("database_type", json!(database_type)),
        ("languages", json!(["en"])),
        ("binary_format_major_version", json!(2)),
        ("binary_format_minor_version", json!(0)),
        ("build_epoch", json!(1)),
        ("description", json!({ "en": "a test" })),
    ];
    control(7, metadata.len(), &mut file);
    for (name, value) in metadata {
        encode(&json!(name), &mut file);
        match value.as_u64() {
            // The metadata has numbers of 16 bits, but for these.
            Some(number) if name == "build_epoch" => {
                control(9, 8, &mut file);
                file.extend(number.to_be_bytes());
            }
            Some(number) if name != "node_count" => {
                control(5, 2, &mut file);
                file.extend((number as u16).to_be_bytes());
            }
            _ => encode(&value, &mut file),
        }
    }
    file
}

fn insert(nodes: &mut Vec<Node>, block: &str, data: usize) {
    let (address, prefix) = block.split_once('/').unwrap();
    let prefix: usize = prefix.parse().unwrap();
    let (bits, prefix) = match address.parse().unwrap() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), prefix + 96),
        IpAddr::V6(v6) => (v6.to_bits(), prefix),
    };
    let mut node = 0;
    for depth in 0..prefix {
        let bit = (bits >> (127 - depth) & 1) as usize;
        if depth + 1 == prefix {
            nodes[node][bit] = Record::Data(data);
            return;
        }
        node = match nodes[node][bit] {
            Record::Node(next) => next,
            // What was all of a block is now both halves of it.
            record => {
                nodes.push([record; 2]);
                let next = nodes.len() - 1;
                nodes[node][bit] = Record::Node(next);
                next
            }
        };
    }
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => {
            control(2, text.len(), out);
            out.extend(text.bytes());
        }
        Value::Number(number) if number.is_u64() => {
            control(6, 4, out);
            out.extend((number.as_u64().unwrap() as u32).to_be_bytes());
        }
        Value::Number(number) => {
            control(3, 8, out);
            out.extend(number.as_f64().unwrap().to_be_bytes());
        }
        Value::Object(members) => {
            control(7, members.len(), out);
            for (name, value) in members {
                encode(&Value::from(name.clone()), out);
                encode(value, out);
            }
        }
        Value::Array(values) => {
            control(11, values.len(), out);
            for value in values {
                encode(value, out);
            }
        }
        Value::Bool(value) => control(14, (*value).into(), out),
        Value::Null => panic!("the format has no null"),
    }
}

/// The type and the size of a value.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (bits, more) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
    assert!(size < 29 + 256);
    if kind < 8 {
        out.push(kind << 5 | bits);
    } else {
        out.extend([bits, kind - 7]);
    }
    out.extend(more);
}
