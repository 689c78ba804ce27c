//! The program as people start it: what `init` makes is what `serve` reads.

use std::{
    path::Path,
    process::{Command, Output},
};

use bailiwick_host::USAGE;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bailiwick-coordinator"))
        .args(arguments)
        .arg("--dir")
        .arg(folder)
        .output()
        .expect("the program starts")
}

#[test]
fn what_init_makes_is_read_and_what_comes_out_of_turn_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join("coordinator");
    let init = ["init", "--public", "coordinator.example.org:8443"];
    let check = ["serve", "--check-config"];
    // Arguments, exit code, what is said on either stream.
    let cases: [(&[&str], u8, &str); 11] = [
        (&check, USAGE, "bailiwick-coordinator init"),
        (&["init"], USAGE, "--public HOST:PORT"),
        (&init, 0, "is ready"),
        (&check, 0, "is right"),
        (&init, USAGE, "is there already"),
        (&["root", "show"], 0, "signs: "),
        (&["root", "switch"], USAGE, "add one first"),
        (&["root", "drop", "--anyway"], USAGE, "add one first"),
        (&["root", "add"], 0, "is believed, too"),
        (&["root", "add"], USAGE, "switch to it, or drop it"),
        (
            &["root", "switch"],
            USAGE,
            "start bailiwick-coordinator first",
        ),
    ];
    for (arguments, code, words) in cases {
        let output = run(&own, arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(
            output.status.code(),
            Some(code.into()),
            "{arguments:?}: {said}"
        );
    }
}
