//! Where statements come from: `-c`, `-f`, standard input, or a person.

use std::io::{self, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cli::SqlArgs;

/// The longest script.
const SCRIPT_BYTES_MAX: u64 = 256 << 20;

/// What `fjord sql` works on.
#[derive(Debug)]
pub(crate) enum Source {
    /// Scripts, in order.
    Scripts(Vec<Script>),
    /// A person at a terminal.
    Terminal,
}

/// A text of statements and what messages call it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    /// Reads what the arguments name.
    pub(crate) fn open(arguments: &SqlArgs) -> Result<Self> {
        let mut scripts: Vec<Script> = arguments
            .commands
            .iter()
            .map(|text| Script { name: "-c".to_owned(), text: text.clone() })
            .collect();
        for path in &arguments.files {
            scripts.push(read_file(path)?);
        }
        if !scripts.is_empty() {
            return Ok(Self::Scripts(scripts));
        }
        if io::stdin().is_terminal() {
            return Ok(Self::Terminal);
        }
        Ok(Self::Scripts(vec![read_script("standard input", io::stdin().lock())?]))
    }
}

fn read_file(path: &Path) -> Result<Script> {
    if path == Path::new("-") {
        return read_script("standard input", io::stdin().lock());
    }
    let name = path.display().to_string();
    let file = std::fs::File::open(path).with_context(|| format!("script {name:?}"))?;
    read_script(&name, file)
}

fn read_script(name: &str, reader: impl Read) -> Result<Script> {
    let mut text = String::new();
    let read = reader
        .take(SCRIPT_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("script {name:?}"))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > SCRIPT_BYTES_MAX {
        bail!("script {name:?} is longer than {} MiB", SCRIPT_BYTES_MAX >> 20);
    }
    Ok(Script { name: name.to_owned(), text })
}
