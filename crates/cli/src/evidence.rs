//! `bailiwick evidence`: all that a verdict was computed from, as a file for `replay`.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use bailiwick_core::check::CheckId;
use bailiwick_render::{
    fleet::{self, Saved},
    json,
};
use bailiwick_rpc::operator as pb;
use bailiwick_wire::evidence;

use crate::{
    args::{Arguments, Evidence},
    emit,
    fleet::{Client, ask, in_time, talk, told},
};

/// Checks among which one is looked for by the beginning of its name.
const RECENT: u32 = 10_000;

pub(crate) fn run(arguments: &Arguments, wanted: &Evidence) -> Result<u8, anyhow::Error> {
    let to_pipe = wanted.save == Path::new("-");
    let saved = talk(arguments, async |mut client| {
        let check = named(&mut client, &wanted.check).await?;
        if to_pipe {
            return save(&mut client, check, &mut io::stdout().lock()).await;
        }
        let mut draft = wanted.save.clone().into_os_string();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let written = to_file(&mut client, check, &draft, &wanted.save).await;
        if written.is_err() {
            // Half of the evidence is none.
            let _ = fs::remove_file(&draft);
        }
        written
    })?;
    if !to_pipe {
        let saved = Saved {
            file: wanted.save.display().to_string(),
            ..saved
        };
        emit(&if arguments.json() {
            json::saved(&saved)
        } else {
            fleet::saved(&saved, arguments.style())
        })?;
    }
    Ok(0)
}

/// The check with this name, or the only one that begins so.
async fn named(client: &mut Client, digits: &str) -> Result<CheckId, anyhow::Error> {
    if let (32, Ok(id)) = (digits.len(), u128::from_str_radix(digits, 16)) {
        return Ok(CheckId(id));
    }
    let request = pb::ListChecksRequest {
        zone: Vec::new().into(),
        limit: RECENT,
    };
    let told = ask(client.list_checks(request)).await?;
    let checks: Vec<CheckId> = told
        .checks
        .iter()
        .map(|check| told::check_id(&check.check))
        .collect::<Result<_, _>>()
        .map_err(told::not_understood)?;
    Ok(told::choose(&checks, digits)?)
}

async fn to_file(
    client: &mut Client,
    check: CheckId,
    draft: &Path,
    path: &Path,
) -> Result<Saved, anyhow::Error> {
    let about = || format!("cannot write {}", path.display());
    let mut file = File::create(draft).with_context(about)?;
    let saved = save(client, check, &mut file).await?;
    file.sync_all()
        .and_then(|()| fs::rename(draft, path))
        .with_context(about)?;
    Ok(saved)
}

/// Writes the parts as they come.
async fn save(
    client: &mut Client,
    check: CheckId,
    out: &mut impl Write,
) -> Result<Saved, anyhow::Error> {
    let request = pb::GetEvidenceRequest {
        check: check.0.to_be_bytes().to_vec().into(),
    };
    let mut parts = ask(client.get_evidence(request)).await?;
    let mut octets = 0;
    let mut count = 0_usize;
    let mut write = |piece: &[u8]| {
        octets += piece.len();
        if octets > evidence::MAX_FILE {
            return Err(anyhow!("the evidence is longer than any may be"));
        }
        out.write_all(piece).context("cannot write the evidence")
    };
    write(evidence::MAGIC)?;
    while let Some(part) = in_time(parts.message()).await? {
        write(&evidence::frame(&part))?;
        count += 1;
    }
    write(evidence::END)?;
    out.flush().context("cannot write the evidence")?;
    Ok(Saved {
        check,
        file: String::new(),
        reports: count.saturating_sub(1),
        octets: octets as u64,
    })
}
