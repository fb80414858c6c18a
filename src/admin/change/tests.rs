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
fn two_changes_that_are_wrong_together_are_not_both_made() {
    let (folder, how) = house();
    let (policy, grants) = (folder.path().join("policy.toml"), folder.path().join("grants.csv"));
    let before = "[grants]\nfile = \"grants.csv\"\n[[policy]]\nscope = \"user\"\nname = \"Sales\"\n";
    fs::write(&policy, before).unwrap();
    fs::write(&grants, "").unwrap();
    // One removes the policy, as nobody has it; the other grants it meanwhile.
    let mut removal = Change::open("policy rm Sales", &how).unwrap();
    let (place, list) = (removal.path(Which::Policy), removal.grants().unwrap());
    removal.text(&place).unwrap();
    removal.text(&list).unwrap();
    removal.put(&place, "[grants]\nfile = \"grants.csv\"\n".into());
    fs::write(&grants, "sip:bob@contoso.example,Sales\n").unwrap();
    assert_eq!(removal.finish("removed"), exit::FAILED);
    // Nor where it did not touch the grants: what counted for the verdict is looked at once more.
    fs::write(&grants, "").unwrap();
    let mut removal = Change::open("policy rm Sales", &how).unwrap();
    removal.text(&place).unwrap();
    removal.put(&place, "[grants]\nfile = \"grants.csv\"\n".into());
    assert!(removal.judge().is_ok());
    fs::write(&grants, "sip:bob@contoso.example,Sales\n").unwrap();
    assert_eq!(removal.apply().unwrap_err().code, exit::FAILED);
    assert_eq!(fs::read_to_string(&policy).unwrap(), before);
    assert!(config::check(&how.file.config).is_ok());
}

#[test]
fn line_ends_and_a_byte_order_mark_stay_as_they_were() {
    let (folder, how) = house();
    let path = folder.path().join("policy.toml");
    fs::write(&path, "\u{feff}# who may\r\n[federation]\r\nenabled = true # on\r\n").unwrap();
    assert_eq!(disable(&how), 0);
    let wanted = "\u{feff}# who may\r\n[federation]\r\nenabled = false # on\r\n";
    assert_eq!(policy(&folder), wanted);
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
    assert!(
        replace(&lock, &[(&folder.path().join("real.toml"), "lost"), (&nowhere, "y")], disk::OPEN).is_err()
    );
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
fn what_somebody_staged_during_a_commit_is_not_thrown_away() {
    let (folder, how) = house();
    let staging = How { staged: true, ..how.clone() };
    assert_eq!(disable(&staging), 0);
    let first = staged::load(&how.file.config).unwrap().unwrap();
    let note = edit("note", &staging, Which::Policy, |document| {
        document["policy"] = toml_edit::Item::ArrayOfTables(Default::default());
        document["federation"]["enabled"] = toml_edit::value(true);
        Ok("x".into())
    });
    assert_eq!(note, 0);
    assert!(staged::discard(&how.file.config, &first).is_err());
    let both = staged::load(&how.file.config).unwrap().unwrap();
    assert_eq!(both.what, ["federation disable", "note"]);
    staged::discard(&how.file.config, &both).unwrap();
    assert!(!folder.path().join("staged.json").exists());
}

#[test]
fn staged_edits_that_are_no_json_are_said_with_what_to_do() {
    let (folder, how) = house();
    fs::write(folder.path().join("staged.json"), "{").unwrap();
    let why = staged::load(&how.file.config).unwrap_err().text;
    assert!(
        why.contains("staged.json: ") && why.ends_with("what was staged is lost: stoxd commit --discard"),
        "{why}"
    );
    assert_eq!(disable(&how), 0, "what is not staged goes on");
}

#[test]
fn of_two_who_stage_at_the_same_time_the_second_is_told() {
    let (_folder, how) = house();
    let staging = How { staged: true, ..how.clone() };
    assert_eq!(disable(&staging), 0);
    let late = edit("late", &staging, Which::Policy, |document| {
        assert_eq!(
            edit("first", &staging, Which::Policy, |document| {
                rows::set(rows::table(document, "federation")?, "enabled", true);
                rows::rows(document, "site")?;
                document["federation"]["enabled"].as_value_mut().unwrap().decor_mut().set_suffix(" # again");
                Ok("on".into())
            }),
            0
        );
        document.set_trailing("# late\n");
        Ok("x".into())
    });
    assert_eq!(late, exit::FAILED);
    assert_eq!(staged::load(&how.file.config).unwrap().unwrap().what, ["federation disable", "first"]);
}

#[test]
fn old_revisions_are_dropped() {
    let (folder, how) = house();
    let lock = Lock::take(&how.file.config).unwrap();
    let path = folder.path().join("policy.toml");
    for n in 0..60 {
        let files = [(path.as_path(), Some("x"), "y")].into_iter();
        revision::keep(&lock, &n.to_string(), &Facts::default(), files).unwrap();
    }
    revision::prune(&lock);
    let kept = revision::list(folder.path()).unwrap();
    assert_eq!((kept.len(), kept[0].number, kept[49].number), (50, 11, 60));
}

#[test]
fn what_a_crash_left_behind_is_in_nobodys_way_and_the_owner_stays() {
    let (folder, how) = house();
    let path = folder.path().join("policy.toml");
    fs::write(folder.path().join(".policy.toml.new"), "half of it").unwrap();
    fs::create_dir_all(folder.path().join("revisions").join("000001")).unwrap();
    // Only root may give files away.
    let given = std::os::unix::fs::chown(&path, Some(65534), Some(65534)).is_ok();
    assert_eq!(disable(&how), 0);
    assert!(!given || fs::metadata(&path).unwrap().uid() == 65534);
    assert!(!folder.path().join(".policy.toml.new").exists());
    assert_eq!(revision::list(folder.path()).unwrap().len(), 1);
}

/// The change of `disable`, whose maker was killed: `before` or after the file was replaced.
fn killed(folder: &tempfile::TempDir, how: &How, before: bool) {
    let old = policy(folder);
    assert_eq!(disable(how), 0);
    let kept = revision::list(folder.path()).unwrap().pop().unwrap();
    let place = folder.path().join(format!("revisions/{:06}", kept.number));
    fs::rename(place.join("change.json"), place.join("intent.json")).unwrap();
    if before {
        fs::write(folder.path().join("policy.toml"), old).unwrap();
    }
}

#[test]
fn a_change_whose_maker_was_killed_before_it_was_made_is_no_history() {
    let (folder, how) = house();
    killed(&folder, &how, true);
    assert!(revision::list(folder.path()).unwrap().is_empty());
    assert_eq!(disable(&how), 0);
    let kept = revision::list(folder.path()).unwrap();
    assert_eq!((kept.len(), kept[0].number), (1, 1), "its place is taken");
    assert_eq!(fs::read_dir(folder.path().join("revisions")).unwrap().count(), 1);
}

#[test]
fn a_change_whose_maker_was_killed_after_it_was_made_is_history() {
    let (folder, how) = house();
    killed(&folder, &how, false);
    let listed = || revision::list(folder.path()).unwrap();
    assert_eq!((listed().len(), listed()[0].note.what.as_str()), (1, "federation disable"));
    let enable = edit("federation enable", &how, Which::Policy, |document| {
        rows::set(rows::table(document, "federation")?, "enabled", true);
        Ok("on".into())
    });
    // What it was before the next change is what it is again: the first is history all the same.
    assert_eq!((enable, listed().len(), listed()[0].note.what.as_str()), (0, 2, "federation disable"));
}

#[test]
fn staged_edits_that_cant_be_read_can_be_thrown_away() {
    let (folder, how) = house();
    let place = folder.path().join("staged.json");
    fs::write(&place, "{\"what\": [").unwrap();
    let yes = How { yes: true, ..how.clone() };
    assert_eq!(commit(&yes, false), exit::FAILED);
    assert_eq!(commit(&How { what_if: true, ..how.clone() }, true), exit::DONE);
    assert!(place.exists());
    assert_eq!((commit(&how, true), place.exists()), (exit::USAGE, true), "nobody was there to be asked");
    assert_eq!((commit(&yes, true), place.exists()), (exit::DONE, false));
}

#[test]
fn if_one_of_several_files_cant_be_put_in_place_the_others_are_as_they_were() {
    let (folder, how) = house();
    let lock = Lock::take(&how.file.config).unwrap();
    let (path, new) = (folder.path().join("policy.toml"), folder.path().join("new.csv"));
    let before = policy(&folder);
    // The third waits under the name under which the first does, which is gone by then.
    let files = [(path.as_path(), "one"), (new.as_path(), "two"), (path.as_path(), "three")];
    assert!(replace(&lock, &files, disk::OPEN).is_err());
    assert_eq!((policy(&folder), new.exists()), (before, false));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn a_change_that_an_older_version_noted_is_in_the_history_still() {
    let (folder, how) = house();
    let kept = folder.path().join("revisions/000001");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("change.json"), r#"{"what":"block a.example","by":"root","files":[]}"#).unwrap();
    assert_eq!(disable(&how), 0);
    let known = revision::list(folder.path()).unwrap();
    let what: Vec<&str> = known.iter().map(|revision| revision.note.what.as_str()).collect();
    assert_eq!(what, ["block a.example", "federation disable"]);
    assert_eq!(known[0].note.facts, Facts::default());
    assert_eq!(known[1].note.facts.changed, ["federation.enabled true → false"]);
}
