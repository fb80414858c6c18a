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

/// What is done beside the systemd that the test boots: a heading, the output and the exit status of each.
const SCRIPT: &str = r#"
step() {
    printf '## %s\n' "$1"
    shift
    "$@" 2>&1
    printf '## = %s\n' $?
}
events() { journalctl --sync; journalctl -q -u stoxd -o cat "STOXD_EVENT=$1"; }
steady() {
    for _ in {1..200}; do
        [ "$(events config.reload | wc -l)/$(systemctl show -P ActiveState stoxd)" = 2/active ] && return
        sleep 0.05
    done
    return 1
}
policy=/etc/stoxd/policy.toml
step start systemctl start stoxd
step status stoxd status
step process grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' "/proc/$(systemctl show -P MainPID stoxd)/status"
step state ls -A /var/lib/private/stoxd
step reload systemctl reload stoxd
step loaded events config.reload
step hangup systemctl kill -s HUP stoxd
step steady steady
sed -i 's/^policy = "Sales"/policy = "Salse"/' $policy
step wrong systemctl reload stoxd
step refused events config.reject
step goes-on systemctl show -p ActiveState -p StatusText stoxd
sed -i 's/^policy = "Salse"/policy = "Sales"/' $policy
step mended systemctl reload stoxd
step stop systemctl stop stoxd
step stopped systemctl show -p Result -p ExecMainStatus stoxd
sed -i 's/^policy = "Sales"/policy = "Salse"/' $policy
step invalid systemctl start stoxd
step no-loop systemctl show -p ExecMainStatus -p NRestarts -p ActiveState stoxd
step security systemd-analyze security --no-pager --threshold=15 stoxd
"#;

const NOTHING: &str = "[Unit]\nDefaultDependencies=no\n";

/// The house as a machine that runs the unit: files in their places, units, script.
fn machine(house: &House) {
    let root = house.path("root");
    for folder in ["units", "usr/bin", "etc/stoxd/credentials"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let copy = |from: &std::path::Path, to: &str| {
        std::fs::copy(from, root.join(to)).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    };
    copy(env!("CARGO_BIN_EXE_stoxd").as_ref(), "usr/bin/stoxd");
    copy(&house.path("pki/gateway.pem"), "etc/stoxd/credentials/contoso.crt");
    copy(&house.path("pki/gateway.key"), "etc/stoxd/credentials/contoso.key");
    for unit in ["systemd-journald.service", "systemd-journald.socket"] {
        copy(&std::path::Path::new("/usr/lib/systemd/system").join(unit), &format!("units/{unit}"));
    }
    let sample = |name: &str| concat!(env!("CARGO_MANIFEST_DIR"), "/config/").to_owned() + name;
    copy(sample("stoxd.toml").as_ref(), "etc/stoxd/stoxd.toml");
    copy(sample("policy.toml").as_ref(), "etc/stoxd/policy.toml");
    copy(sample("stoxd.service").as_ref(), "units/stoxd.service");
    for target in ["basic", "shutdown", "sockets"] {
        house.write(&format!("root/units/{target}.target"), NOTHING);
    }
    house.write("root/units/sysinit.target", &format!("{NOTHING}Wants=systemd-journald.service\n"));
    house.write("root/units/up.target", "[Unit]\nRequires=basic.target\nAfter=basic.target\n");
    house.write("script", SCRIPT);
}

#[test]
fn a_real_systemd_starts_reloads_and_stops_it() {
    let Some(house) = House::new("") else { return };
    if !std::path::Path::new("/usr/lib/systemd/systemd").exists() {
        println!("SKIP: systemd is not installed");
        return;
    }
    machine(&house);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/in-systemd");
    let ran = run(Command::new(script).arg(house.path("")));
    if ran.code == 77 {
        println!("SKIP: {}", ran.out.trim());
        return;
    }
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let step = |name: &str| {
        let (_, rest) =
            ran.out.split_once(&format!("## {name}\n")).unwrap_or_else(|| panic!("{name}: {}", ran.out));
        let (text, code) = rest.split_once("## = ").unwrap();
        (text, code.lines().next().unwrap())
    };
    assert_eq!(step("start"), ("", "0"), "{}", ran.out);
    let (status, code) = step("status");
    assert!(code == "0" && status.contains("LISTEN\n  xmpp [::]:5269\n  sip tls [::]:5061\n"), "{status}");
    let (process, _) = step("process");
    assert!(process.contains("CapEff:\t0000000000000000\n"), "{process}");
    assert!(process.contains("NoNewPrivs:\t1\n") && process.contains("Seccomp:\t2\n"), "{process}");
    assert!(!process.contains("Uid:\t0"), "{process}");
    let state = "dialback-secret\nstoxd.db\nstoxd.db-shm\nstoxd.db-wal\nstoxd.lock\n";
    assert_eq!(step("state"), (state, "0"));
    let loaded = "loaded: 3 policies, 1 grant, 3/3 policy tests\n";
    assert_eq!(step("reload"), ("", "0"), "{}", ran.out);
    assert_eq!(step("loaded"), (loaded, "0"));
    assert_eq!((step("hangup"), step("steady")), (("", "0"), ("", "0")));
    // systemctl says that the reload failed; the journal says why; the daemon goes on.
    assert_eq!(step("wrong").1, "1", "{}", ran.out);
    let (refused, _) = step("refused");
    assert!(
        refused.starts_with("reload refused, nothing was changed\nerror: unknown policy \"Salse\"\n"),
        "{refused}"
    );
    has_lines(step("goes-on").0, &["ActiveState=active", "StatusText=ready; the last reload was refused"]);
    assert_eq!(step("mended").1, "0");
    assert_eq!(step("stop"), ("", "0"), "{}", ran.out);
    has_lines(step("stopped").0, &["Result=success", "ExecMainStatus=0"]);
    assert_eq!(step("invalid").1, "1");
    has_lines(step("no-loop").0, &["ExecMainStatus=78", "NRestarts=0", "ActiveState=failed"]);
    assert_eq!(step("security").1, "0", "{}", step("security").0);
}

fn has_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line}: {text}");
    }
}
