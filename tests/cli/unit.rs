//! The unit file, as far as systemd can judge it without starting it.

use super::rig::{House, has, run};
use std::process::Command;

const UNIT: &str = include_str!("../../config/stoxd.service");

#[test]
fn the_unit_is_valid_and_its_exposure_small() {
    if !has("systemd-analyze", &["--version"]) {
        return;
    }
    // systemd looks whether the programs are there: the unit with the binary of this build.
    let house = House::bare("");
    let built = UNIT.replace("/usr/bin/stoxd", env!("CARGO_BIN_EXE_stoxd"));
    assert_ne!(built, UNIT);
    house.write("stoxd.service", &built);
    let unit = house.path("stoxd.service");
    let ran = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit));
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let security = ["security", "--offline=true", "--no-pager", "--threshold=15"];
    let ran = run(Command::new("systemd-analyze").args(security).arg(&unit));
    assert_eq!(ran.code, 0, "more than 1.5: {}{}", ran.out, ran.err);
}

#[test]
fn the_unit_and_the_daemon_agree() {
    let line = |key: &str| {
        UNIT.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("{key}"))
    };
    assert_eq!((line("Type"), line("NotifyAccess")), ("notify", "main"));
    assert_eq!(line("RestartPreventExitStatus"), "78");
    assert_eq!(line("ExecStart"), "/usr/bin/stoxd run -c /etc/stoxd/stoxd.toml");
    assert_eq!(line("ExecReload"), "/usr/bin/stoxd reload -c /etc/stoxd/stoxd.toml");
    // What may be executed is the binary and what it is linked with.
    assert_eq!(line("NoExecPaths"), "/");
    assert!(line("ExecPaths").starts_with("/usr/bin/stoxd "), "{}", line("ExecPaths"));
    assert!(!line("ExecPaths").contains("kill"));
}
