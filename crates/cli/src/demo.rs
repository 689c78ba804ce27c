//! `bailiwick demo`: the simulated internet of `bailiwick-lab` on the loopback.

use std::{
    fs,
    io::{ErrorKind, IsTerminal as _, stdout},
    path::PathBuf,
};

use anyhow::{Context as _, anyhow};
use bailiwick_host::{Usage, stopped};
use bailiwick_lab::demo::{DemoError, Settings, demo, serve};

use crate::{
    args::{Arguments, Demo},
    emit,
};

pub(crate) fn run(arguments: &Arguments, wanted: &Demo) -> Result<u8, anyhow::Error> {
    if arguments.json() {
        return Err(Usage("the demo is text; leave --output json out".to_owned()).into());
    }
    if wanted.serve {
        bailiwick_host::block_on(serving(wanted))??;
    } else {
        bailiwick_host::block_on(playing(arguments))??;
    }
    Ok(0)
}

async fn playing(arguments: &Arguments) -> Result<(), anyhow::Error> {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let style = arguments.style();
    let settings = Settings {
        in_place: stdout().is_terminal() && !dumb,
        color: style.color,
        width: style.width,
        ..Settings::default()
    };
    let folder = Folder::new()?;
    let mut out = stdout();
    tokio::select! {
        played = demo(&settings, &folder.0, &mut out) => match played {
            // Whoever closes the pipe early has seen enough.
            Err(DemoError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            played => played.context("cannot play the demo"),
        },
        () = stopped() => Err(anyhow!("interrupted")),
    }
}

/// Runs the simulated internet until somebody stops it, which is how it should end.
async fn serving(wanted: &Demo) -> Result<(), anyhow::Error> {
    let folder = Folder::new()?;
    let hints = match &wanted.hints {
        Some(path) => path.clone(),
        None => folder.0.join("named.root"),
    };
    let internet = serve(wanted.port, &hints)
        .await
        .context("cannot start the simulated internet")?;
    emit(&internet.instructions())?;
    emit("\nIt runs until you press Ctrl-C.\n")?;
    stopped().await;
    Ok(())
}

/// A folder of this process alone. It goes when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, anyhow::Error> {
        let name = format!("bailiwick-demo-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        // Fails if somebody else made it before, so nobody can redirect what is written into it.
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
