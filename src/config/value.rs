//! Durations, sizes and paths as they are written in the files.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest duration that a file may ask for.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);
/// The largest size that a file may ask for, in octets.
const MAX_SIZE: u64 = 1 << 30;

/// A duration: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
///
/// # Errors
/// What is wrong, as the label of a problem.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err("a duration has a unit: \"300s\", \"10m\", \"8h\"".into()),
        _ => return Err("not a unit of time; use ms, s, m, h or d".into()),
    };
    let number: u64 = number.parse().map_err(|_| String::from("a duration is a whole number and a unit"))?;
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .filter(|duration| *duration <= MAX_DURATION)
        .ok_or_else(|| "a year at most".into())
}

/// A size: a whole number of octets, or one with `KiB`, `MiB`, `GiB`, `kB`, `MB`, `B`.
///
/// # Errors
/// What is wrong, as the label of a problem.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" => 1000,
        "KiB" => 1024,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("not a unit of size; use KiB or MiB".into()),
    };
    let number: u64 = number.parse().map_err(|_| String::from("a size is a whole number and a unit"))?;
    number.checked_mul(factor).filter(|size| *size <= MAX_SIZE).ok_or_else(|| "1 GiB at most".into())
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// Where a path that a file names leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// Here.
    At(PathBuf),
    /// In the credentials folder, which is not known: `$CREDENTIALS_DIRECTORY` is not set.
    NoCredentials,
}

/// Resolves `text`: absolute, relative to `folder`, or `cred:NAME` in `credentials`.
///
/// # Errors
/// What is wrong, as the label of a problem.
pub(super) fn path(text: &str, folder: &Path, credentials: Option<&Path>) -> Result<Located, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("a path is needed".into());
    }
    let Some(name) = text.strip_prefix("cred:") else {
        return Ok(Located::At(folder.join(text)));
    };
    // systemd.exec(5): a credential's name is a file name, so it cannot lead out of the folder.
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err("a credential's name is a file name without folders".into());
    }
    Ok(credentials.map_or(Located::NoCredentials, |folder| Located::At(folder.join(name))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(duration("300s"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("8h"), Ok(Duration::from_secs(28800)));
        assert_eq!(duration("10 m"), Ok(Duration::from_secs(600)));
        for wrong in ["300", "", "s", "-1s", "1.5s", "1 week", "99999999999999999999s", "9999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("10000"), Ok(10000));
        for wrong in ["", "KiB", "64kb", "-1", "99999999GiB", "2GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_credential_never_leads_out_of_its_folder() {
        let at = |text| path(text, Path::new("/etc/stoxd"), Some(Path::new("/run/credentials/stoxd")));
        assert_eq!(at("a.pem"), Ok(Located::At("/etc/stoxd/a.pem".into())));
        assert_eq!(at("/a.pem"), Ok(Located::At("/a.pem".into())));
        assert_eq!(at("cred:key"), Ok(Located::At("/run/credentials/stoxd/key".into())));
        for wrong in ["", "cred:", "cred:../x", "cred:a/b", "cred:.."] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
        assert_eq!(path("cred:key", Path::new(""), None), Ok(Located::NoCredentials));
    }
}
