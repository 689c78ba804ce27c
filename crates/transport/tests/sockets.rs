//! One file opens sockets towards DNS servers; nothing else in the programs can send them a packet.
//! What is spoken with coordinators is another crate's, and goes nowhere that zone data names.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Words that open sockets, or name what does.
const WORDS: [&str; 8] = [
    "UdpSocket",
    "TcpStream",
    "TcpSocket",
    "TcpListener",
    "socket2",
    "UnixStream",
    "lookup_host",
    "TokioRuntimeProvider",
];

/// Where they may stand, from the directory of the crates. Tests have servers.
const ALLOWED: [&str; 4] = [
    "transport/src/socket.rs",
    "rpc/src/",
    "transport/src/stub/tests.rs",
    "lab/src/",
];

#[test]
fn only_one_file_opens_sockets() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut read = 0;
    for file in sources(&crates) {
        let place = file.strip_prefix(&crates).expect("found below it");
        let place = place.to_string_lossy().replace('\\', "/");
        if ALLOWED.iter().any(|allowed| place.starts_with(allowed)) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source file is text");
        for (number, line) in text.lines().enumerate() {
            for word in WORDS {
                assert!(!has_word(line, word), "{place}:{}: {word}", number + 1);
            }
        }
        read += 1;
    }
    assert!(read > 50, "only {read} files were found");
}

/// Returns whether a word stands there by itself; `DnsUdpSocket` is another word.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

#[test]
fn a_word_is_found_by_itself_only() {
    let cases = [
        ("use tokio::net::UdpSocket;", true),
        ("impl DnsUdpSocket for Datagram {", false),
        ("net::{TcpStream, UdpSocket}", true),
        ("UdpSocketed", false),
    ];
    for (line, expected) in cases {
        assert_eq!(has_word(line, "UdpSocket"), expected, "{line}");
    }
}

/// Returns the source files of all crates.
fn sources(crates: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories: Vec<PathBuf> = entries(crates).map(|path| path.join("src")).collect();
    while let Some(directory) = directories.pop() {
        for path in entries(&directory) {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}
