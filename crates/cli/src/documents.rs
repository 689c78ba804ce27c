//! Completions and manual pages, from the same definitions as the help.

use std::path::Path;

use anyhow::Context as _;
use bailiwick_host::Usage;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{PROGRAM, args::Arguments, emit};

pub(crate) fn completions(shell: Shell) -> Result<u8, anyhow::Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), PROGRAM, &mut script);
    emit(&String::from_utf8(script).context("the completions are no text")?)?;
    Ok(0)
}

pub(crate) fn man(folder: &Path) -> Result<u8, anyhow::Error> {
    if !folder.is_dir() {
        return Err(Usage(format!("{} is no folder", folder.display())).into());
    }
    clap_mangen::generate_to(Arguments::command(), folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    emit(&format!("manual pages are in {}\n", folder.display()))?;
    Ok(0)
}
