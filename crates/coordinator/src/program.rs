//! The program around the coordinator.

use std::{ffi::OsString, fs, path::Path, process::ExitCode, time::SystemTime};

use anyhow::Context as _;
use bailiwick_core::time::Timestamp;
use bailiwick_host::Usage;
use bailiwick_rpc::{Authority, AuthorityError, Lives, TokenKey};
use bailiwick_store::AgentState;
use clap::Parser as _;

use crate::{
    Coordinator,
    args::{Arguments, Command, Init, Root, Serve},
    clock,
    roots::{Roots, RootsError},
    settings,
};

/// The name of the program.
pub const PROGRAM: &str = "bailiwick-coordinator";

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
            Command::Root(wanted) => root(&folder, wanted).map_err(out_of_turn),
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
    authority.save(Roots::of(folder).authority())?;
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
    let roots = Roots::of(folder);
    let mut authority = roots.load()?;
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
                authority.save(roots.authority())?;
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
        roots.tell()?;
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

/// Exchanges the root, a step at a time.
fn root(folder: &Path, wanted: &Root) -> Result<u8, anyhow::Error> {
    let settings = settings::load(folder)?;
    let roots = Roots::of(folder);
    match wanted {
        Root::Show => {
            println!("signs:     {}", roots.load()?.pin());
            if let Some(other) = roots.other()? {
                println!("believed:  {}", other.pin());
            }
            return Ok(0);
        }
        Root::Add => {
            let pin = roots.add(SystemTime::now())?;
            println!("{pin} is believed, too, as soon as {PROGRAM} is started again.");
            println!(
                "Then wait until all agents have been in a session, and every operator has used \
                 this coordinator twelve hours later, and go on with: {PROGRAM} root switch"
            );
        }
        Root::Switch(how) => {
            if !how.anyway {
                all_are_told(&roots, &settings)?;
            }
            let pin = roots.switch(SystemTime::now())?;
            println!("{pin} signs as soon as {PROGRAM} is started again.");
            println!("A day after that go on with: {PROGRAM} root drop");
        }
        Root::Drop(how) => {
            if !how.anyway {
                old_certificates_ended(&roots)?;
            }
            let pin = roots.drop()?;
            println!("{pin} is believed no more as soon as {PROGRAM} is started again.");
        }
    }
    Ok(0)
}

/// A step before its turn is for the user to take back; everything else is a failure.
fn out_of_turn(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(RootsError::One | RootsError::Two) => Usage(error.to_string()).into(),
        _ => error,
    }
}

/// When everybody began to be told of both roots.
fn told(roots: &Roots) -> Result<Timestamp, anyhow::Error> {
    roots.other()?.ok_or(RootsError::One)?;
    let told = roots.told()?.ok_or_else(|| {
        Usage(format!(
            "nobody was told of the other root yet: start {PROGRAM} first"
        ))
    })?;
    Ok(told)
}

/// Nobody is left who would take a certificate below the other root for a forgery.
fn all_are_told(roots: &Roots, settings: &settings::Settings) -> Result<(), anyhow::Error> {
    let told = told(roots)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let agents = runtime.block_on(async {
        let store = bailiwick_store::open(&settings.store).await?;
        anyhow::Ok(store.agents().await?)
    })?;
    let not_told: Vec<_> = agents
        .into_iter()
        .filter(|agent| !matches!(agent.state, AgentState::Banned { .. }))
        .filter(|agent| agent.seen.as_ref().is_none_or(|seen| seen.at < told))
        .map(|agent| agent.name.0)
        .collect();
    if not_told.is_empty() {
        return Ok(());
    }
    Err(Usage(format!(
        "not yet told of the other root, and lost if it signs now: {}; wait until they were in a \
         session, ban them, or say --anyway and invite them again",
        not_told.join(", ")
    ))
    .into())
}

/// Nobody has a certificate below the old root any more that is good.
fn old_certificates_ended(roots: &Roots) -> Result<(), anyhow::Error> {
    let lives = Lives::default();
    let ended = told(roots)?.after(lives.agent.max(lives.operator));
    if ended <= clock::now() {
        return Ok(());
    }
    Err(Usage(format!(
        "certificates below the other root may be in use until {ended}; wait, or say --anyway"
    ))
    .into())
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
