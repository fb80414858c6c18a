//! Both files as text, through the same door that the daemon uses, with made-up files behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod daemon;
mod gates;
mod manual;
mod policy;
mod samples;
mod shards;

use super::*;
use std::collections::HashMap;

/// Files in memory, with permission bits.
#[derive(Default)]
pub(super) struct Memory(pub(super) HashMap<PathBuf, (String, u32)>);

impl Files for Memory {
    fn read(&self, path: &Path, limit: u64) -> Result<String, FileFault> {
        let (text, _) = self.0.get(path).ok_or(FileFault::Missing)?;
        if text.len() as u64 > limit { Err(FileFault::TooLarge(limit)) } else { Ok(text.clone()) }
    }

    fn mode(&self, path: &Path) -> Result<u32, FileFault> {
        self.0.get(path).map(|(_, mode)| *mode).ok_or(FileFault::Missing)
    }
}

/// A daemon file with nothing wrong.
pub(super) const DAEMON: &str = r#"[gateway]
name = "gw.contoso.example"

[[domain]]
name = "contoso.example"

[[tls.certificate]]
id = "contoso"
chain = "contoso.crt"
key = "cred:contoso.key"

[[sip.peer]]
name = "edge"
domains = ["contoso.example"]
"#;

/// The files that [`DAEMON`] names, and these two.
pub(super) fn files(daemon: &str, policy: &str) -> Memory {
    let mut memory = Memory::default();
    let mut add = |path: &str, text: &str, mode| {
        memory.0.insert(path.into(), (text.to_owned(), mode));
    };
    add("/etc/stoxd/stoxd.toml", daemon, 0o644);
    add("/etc/stoxd/policy.toml", policy, 0o644);
    add("/etc/stoxd/contoso.crt", "", 0o644);
    add("/run/credentials/stoxd/contoso.key", "", 0o400);
    memory
}

pub(super) fn surroundings() -> Surroundings {
    Surroundings { credentials: Some("/run/credentials/stoxd".into()), ..Surroundings::default() }
}

pub(super) fn read(files: &Memory) -> Result<Config, Vec<Problem>> {
    let read = parse(Path::new("/etc/stoxd/stoxd.toml"), files, &surroundings(), Purpose::Run);
    // Whatever a test brings to light has its page.
    let problems = match &read {
        Ok(config) => &config.warnings,
        Err(problems) => problems,
    };
    // What is no TOML is said in the words of its reader, and has one page.
    let parsed = files.0.values().flat_map(|(text, _)| toml::de::DeTable::parse_recoverable(text).1);
    let syntax: Vec<String> = parsed.map(|error| error.message().to_owned()).collect();
    for problem in problems.iter().filter(|problem| !syntax.iter().any(|s| s.starts_with(&problem.message))) {
        assert!(manual::has(&problem.message), "no man page has a section of: {}", problem.message);
    }
    read
}

/// The configuration of these two texts.
pub(super) fn config(daemon: &str, policy: &str) -> Result<Config, Vec<Problem>> {
    read(&files(daemon, policy))
}

/// What is printed of these two texts' problems.
pub(super) fn printed(daemon: &str, policy: &str) -> String {
    let problems = match config(daemon, policy) {
        Ok(config) => config.warnings,
        Err(problems) => problems,
    };
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}
