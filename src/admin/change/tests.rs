#![allow(clippy::unwrap_used)]
use super::disk::{Lock, replace};
use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

const DAEMON: &str = "# ours\n[gateway]\nname = \"gw.contoso.example\"\n[[domain]]\nname = \"contoso.example\"\n\
    [sip]\nlisten = [{ addr = \"127.0.0.1:15060\", transport = \"udp\" }]\n[[sip.peer]]\nname = \"edge\"\n\
    domains = [\"contoso.example\"]\n[admin]\nsocket = \"admin.sock\"\n";

fn house() -> (tempfile::TempDir, How) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("stoxd.toml"), DAEMON).unwrap();
    fs::write(folder.path().join("policy.toml"), "# who may\n[federation]\nenabled = true # on\n").unwrap();
    let file = ConfigFile { config: folder.path().join("stoxd.toml") };
    (folder, How { what_if: false, staged: false, yes: false, file })
}

fn disable(how: &How) -> u8 {
    edit("federation disable", how, Which::Policy, |document| {
        rows::set(rows::table(document, "federation")?, "enabled", false);
        Ok("off".into())
    })
}

fn policy(folder: &tempfile::TempDir) -> String {
    fs::read_to_string(folder.path().join("policy.toml")).unwrap()
}

#[test]
fn what_is_not_edited_stays_as_it_was_and_what_was_is_kept() {
    let (folder, how) = house();
    let path = folder.path().join("policy.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let before = policy(&folder);
    assert_eq!(disable(&how), 0);
    assert!(
        policy(&folder).starts_with("# who may\n[federation]\nenabled = false # on"),
        "{}",
        policy(&folder)
    );
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o604);
    let kept = revision::list(folder.path()).unwrap();
    assert_eq!((kept.len(), kept[0].number, kept[0].note.what.as_str()), (1, 1, "federation disable"));
    assert_eq!(kept[0].text(&path.canonicalize().unwrap()).unwrap().as_deref(), Some(before.as_str()));
    assert_eq!(disable(&how), 0, "once more changes nothing");
    assert_eq!(revision::list(folder.path()).unwrap().len(), 1);
}

#[test]
fn a_bad_change_and_a_question_change_nothing() {
    let (folder, how) = house();
    let before = policy(&folder);
    let broken = edit("x", &how, Which::Policy, |document| {
        document["federation"]["enabled"] = toml_edit::value("perhaps");
        Ok("x".into())
    });
    let asked = disable(&How { what_if: true, ..how.clone() });
    assert_eq!((broken, asked), (exit::PROBLEMS, exit::DONE));
    let unsure = edit("x", &how, Which::Policy, |_| how.agreed("Sure?").map(|()| String::new()));
    assert_eq!((unsure, policy(&folder)), (exit::USAGE, before), "nobody was there to be asked");
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn what_somebody_else_wrote_meanwhile_is_not_overwritten() {
    let (folder, how) = house();
    let path = folder.path().join("policy.toml");
    let late = edit("x", &how, Which::Policy, |document| {
        fs::write(&path, "# somebody else\n").unwrap();
        rows::set(rows::table(document, "federation")?, "enabled", false);
        Ok("off".into())
    });
    assert_eq!((late, policy(&folder).as_str()), (exit::FAILED, "# somebody else\n"));
    let _held = Lock::take(&how.file.config).unwrap();
    assert!(Lock::take(&how.file.config).unwrap_err().text.contains("right now"));
}

#[test]
fn a_link_stays_a_link_and_a_second_file_that_fails_undoes_the_first() {
    let (folder, how) = house();
    let link = folder.path().join("policy.toml");
    fs::rename(&link, folder.path().join("real.toml")).unwrap();
    symlink("real.toml", &link).unwrap();
    assert_eq!(disable(&how), 0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(folder.path().join("real.toml")).unwrap().contains("false"));
    let lock = Lock::take(&how.file.config).unwrap();
    let nowhere = folder.path().join("none").join("x");
    assert!(replace(&lock, &[(&folder.path().join("real.toml"), "lost"), (&nowhere, "y")]).is_err());
    assert!(fs::read_to_string(folder.path().join("real.toml")).unwrap().contains("false"));
}

#[test]
fn f106_staged_edits_add_up_and_wait_for_the_commit() {
    let (folder, how) = house();
    let before = policy(&folder);
    let staging = How { staged: true, ..how.clone() };
    assert_eq!(disable(&staging), 0);
    let second = edit("note", &staging, Which::Policy, |document| {
        assert!(document.to_string().contains("enabled = false"), "it sees the first");
        document["policy"] = toml_edit::Item::ArrayOfTables(Default::default());
        Ok("x".into())
    });
    assert_eq!((second, policy(&folder)), (0, before.clone()));
    assert_eq!(commit(&How { what_if: true, ..how.clone() }, false), 0);
    assert_eq!(policy(&folder), before);
    assert_eq!(commit(&how, false), 0);
    assert!(policy(&folder).contains("enabled = false"));
    assert_eq!(commit(&how, false), exit::FAILED, "nothing is staged any more");
}

#[test]
fn f009_staged_edits_are_thrown_away_or_refused_when_the_file_changed() {
    let (folder, how) = house();
    let staging = How { staged: true, ..how.clone() };
    assert_eq!(disable(&staging), 0);
    assert_eq!(commit(&how, true), exit::USAGE, "it asks");
    assert_eq!(commit(&How { yes: true, ..how.clone() }, true), 0);
    assert_eq!(commit(&how, false), exit::FAILED);
    assert_eq!(disable(&staging), 0);
    fs::write(folder.path().join("policy.toml"), "# somebody else\n").unwrap();
    assert_eq!((commit(&how, false), policy(&folder).as_str()), (exit::FAILED, "# somebody else\n"));
}

#[test]
fn old_revisions_are_dropped() {
    let (folder, how) = house();
    let lock = Lock::take(&how.file.config).unwrap();
    let path = folder.path().join("policy.toml");
    for n in 0..60 {
        revision::keep(&lock, &n.to_string(), [(path.as_path(), Some("x"))].into_iter()).unwrap();
    }
    revision::prune(&lock);
    let kept = revision::list(folder.path()).unwrap();
    assert_eq!((kept.len(), kept[0].number, kept[49].number), (50, 11, 60));
}
