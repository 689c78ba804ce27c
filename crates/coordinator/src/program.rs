//! The program around the coordinator.

use std::{ffi::OsString, fs, path::Path, process::ExitCode, time::SystemTime};

use anyhow::Context as _;
use bailiwick_host::Usage;
use bailiwick_rpc::{Authority, AuthorityError, TokenKey};
use clap::Parser as _;

use crate::{
    Coordinator,
    args::{Arguments, Command, Init, Serve},
    settings,
};

/// The name of the program.
pub const PROGRAM: &str = "bailiwick-coordinator";

const AUTHORITY: &str = "authority";
const TOKEN_KEY: &str = "token.key";

/// Runs the program with these arguments, the first of which is its name.
#[must_use]
pub fn start(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    bailiwick_host::run(PROGRAM, arguments.verbose, || {
        let folder = arguments.dir.clone();
        let folder = folder.unwrap_or_else(|| bailiwick_host::paths::state(PROGRAM));
        match &arguments.command {
            Command::Init(wanted) => init(&folder, wanted, arguments.dir.is_some()),
            Command::Serve(wanted) => serve(&folder, wanted),
        }
    })
}

fn init(folder: &Path, wanted: &Init, named: bool) -> Result<u8, anyhow::Error> {
    let file = folder.join(settings::FILE);
    if file.exists() {
        let there = Usage(format!(
            "{} is there already; name another folder with --dir, or remove it and with it the fleet",
            file.display()
        ));
        return Err(there.into());
    }
    if wanted.public.is_empty() && wanted.agents.ip().is_unspecified() {
        let nowhere = "say where agents find this coordinator: --public HOST:PORT (to try it on one \
                       machine: --agents 127.0.0.1:8443)";
        return Err(Usage(nowhere.to_owned()).into());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let authority = Authority::create(wanted.trust_domain.clone(), SystemTime::now())?;
    authority.save(&folder.join(AUTHORITY))?;
    TokenKey::generate()?.save(&folder.join(TOKEN_KEY))?;
    // Last, so that a folder with settings is whole.
    fs::write(&file, settings::text(wanted))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("{} is ready.", folder.display());
    match named {
        true => println!("Next: {PROGRAM} serve --dir {}", folder.display()),
        false => println!("Next: {PROGRAM} serve"),
    }
    Ok(0)
}

fn serve(folder: &Path, wanted: &Serve) -> Result<u8, anyhow::Error> {
    let settings = settings::load(folder)?;
    let mut authority = Authority::load(&folder.join(AUTHORITY))?;
    let token_key = TokenKey::load(&folder.join(TOKEN_KEY))?;
    if let Some(parent) = settings.config.socket.as_deref().and_then(Path::parent) {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    runtime.block_on(async {
        let store = bailiwick_store::open(&settings.store).await?;
        if wanted.check_config {
            println!("{} is right.", folder.display());
            return Ok(0);
        }
        match authority.renew_issuing_in_time(SystemTime::now()) {
            Ok(false) => {}
            Ok(true) => {
                authority.save(&folder.join(AUTHORITY))?;
                tracing::info!("the issuing authority was renewed");
            }
            // What is there is good for half a year, unless it was so before.
            Err(error @ AuthorityError::RootIsAway) => tracing::warn!("{error}"),
            Err(error) => return Err(error.into()),
        }
        let mut stopped = std::pin::pin!(bailiwick_host::stopped());
        // Whoever sees it answer may stop it at once, so signals are heard before.
        tokio::select! {
            biased;
            () = &mut stopped => return Ok(0),
            () = std::future::ready(()) => {}
        }
        let socket = settings.config.socket.clone();
        let mut coordinator = Coordinator::start_with(
            settings.config,
            authority,
            token_key,
            store,
            settings.habits,
        )
        .await?;
        eprintln!("{PROGRAM}: agents come in at {}", coordinator.agents());
        if let Some(address) = coordinator.operators() {
            eprintln!("{PROGRAM}: operators come in at {address}");
        }
        if let Some(socket) = socket {
            eprintln!(
                "{PROGRAM}: operators of this machine use {}",
                socket.display()
            );
        }
        tokio::select! {
            failed = coordinator.failed() => failed.map(|()| 3).map_err(Into::into),
            () = &mut stopped => {
                coordinator.stop().await;
                Ok(0)
            }
        }
    })
}

/// Takes as many open files as the system lets it: each agent is one, and the usual number was
/// chosen for programs that count files in a mask (select(2)).
fn open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot have more open files, and so not more agents at once");
    }
}
