//! The programs under test: those that were built beside the test.

use std::path::PathBuf;

use anyhow::{Result, ensure};

/// The three that make a fleet.
pub const FLEET: [&str; 3] = ["bailiwick", "bailiwick-coordinator", "bailiwick-agent"];

/// Returns the folder with these programs. Without one of them a test cannot run, which it says;
/// on CI it must.
///
/// # Errors
///
/// Fails on CI if a program is missing.
pub fn built(test: &str, programs: &[&str]) -> Result<Option<PathBuf>> {
    // Tests are target/<profile>/deps/<test>-<hash>.
    let here = std::env::current_exe()?;
    let folder = here.parent().and_then(|deps| deps.parent());
    let folder = folder.map(PathBuf::from).unwrap_or_default();
    for program in programs {
        if !folder.join(program).is_file() {
            let on_ci = std::env::var("CI").is_ok_and(|value| value == "true");
            ensure!(!on_ci, "{program} is not built");
            eprintln!("skipped: {test}: {program} is not built");
            return Ok(None);
        }
    }
    Ok(Some(folder))
}
