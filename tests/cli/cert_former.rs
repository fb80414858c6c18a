//! What `stoxd cert import` replaces, and the way back to it.

use super::cert::{done, house, made, refused, sign};
use super::cert_live::print;
use super::rig::House;
use std::os::unix::fs::PermissionsExt;

/// A house with a certificate "edge" that is in use, as the authority gave it in `one.pem`.
fn imported() -> Option<House> {
    let house = house()?;
    done(&house, &["cert", "request", "--id", "edge", "--key-type", "p256"]);
    for file in ["one.pem", "two.pem"] {
        sign(&house, "credentials/edge.csr", file, "90");
    }
    let said = import(&house, "one.pem", &[]);
    assert!(!said.contains("kept ") && !said.contains("back "), "nothing was there: {said}");
    done(&house, &["cert", "assign", "edge", "--for", "all"]);
    Some(house)
}

fn import(house: &House, file: &str, more: &[&str]) -> String {
    done(house, &[&["cert", "import", house.path(file).to_str().unwrap()], more].concat())
}

/// The certificate in `two.pem`, with another key, in `other.pem` and `other.key`.
fn other(house: &House) {
    done(house, &["cert", "request", "--id", "other", "--key-type", "p256"]);
    sign(house, "credentials/other.csr", "other.pem", "90");
    std::fs::rename(house.path("credentials/other.key"), house.path("other.key")).unwrap();
}

fn copies(house: &House) -> Vec<String> {
    let names = std::fs::read_dir(house.path("credentials")).unwrap();
    let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.contains("former"));
    names.sort();
    names
}

/// Does what an output says behind "back".
fn go_back(house: &House, said: &str) -> String {
    let back =
        said.lines().find_map(|line| line.strip_prefix("back   stoxd ")).unwrap_or_else(|| panic!("{said}"));
    done(house, &back.split(' ').collect::<Vec<_>>())
}

#[test]
fn what_an_import_replaces_is_kept_and_comes_back() {
    let Some(house) = imported() else { return };
    let (one, two) = (print(&house, "one.pem"), print(&house, "two.pem"));
    assert_ne!(one, two);
    let key = house.read("credentials/edge.key");
    let copy = house.path("credentials/edge.crt.former-1");
    let planned = import(&house, "two.pem", &["--what-if"]);
    let would = format!("what is there would be kept as {}; nothing was changed\n", copy.display());
    assert!(planned.ends_with(&would) && copies(&house).is_empty(), "{planned}");
    let said = import(&house, "two.pem", &[]);
    assert!(said.contains(&format!("kept   {}: what was there\n", copy.display())), "{said}");
    assert_eq!(print(&house, "credentials/edge.crt"), two);
    assert_eq!(print(&house, "credentials/edge.crt.former-1"), one);
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // The same once more replaces nothing.
    let again = import(&house, "two.pem", &[]);
    assert!(!again.contains("kept ") && copies(&house) == ["edge.crt.former-1"], "{again}");
    // A copy is no certificate of its own.
    assert!(!done(&house, &["cert", "list"]).contains("former"));
    let why = refused(&house, &["cert", "assign", "edge.crt", "--for", "all"], 1);
    assert!(why.contains("there are: gateway, edge;") && !why.contains("former"), "{why}");
    assert!(go_back(&house, &said).contains("kept "));
    assert_eq!(print(&house, "credentials/edge.crt"), one);
    assert_eq!(print(&house, "credentials/edge.crt.former-2"), two);
    assert_eq!(house.read("credentials/edge.key"), key, "it is the key of both");
    let json = house.path("two.pem");
    let json = done(&house, &["cert", "import", json.to_str().unwrap(), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let copy = house.path("credentials/edge.crt.former-3");
    assert_eq!(json["kept"], serde_json::json!([copy]));
    assert_eq!(json["back"], format!("stoxd cert import {} --id edge", copy.display()));
    for file in ["one.pem", "two.pem", "one.pem", "two.pem"] {
        import(&house, file, &[]);
    }
    assert_eq!(copies(&house), [3, 4, 5, 6, 7].map(|number| format!("edge.crt.former-{number}")));
}

#[test]
fn there_is_no_way_back_to_what_nobody_takes_any_more() {
    let Some(house) = imported() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-test-ca");
    let mut command = std::process::Command::new(script);
    command.arg("--expired").arg(house.path("pki")).args(["old", "DNS:contoso.example"]);
    assert_eq!(super::rig::run(&mut command).code, 0);
    house.write("credentials/edge.crt", &house.read("pki/old.pem"));
    let said = import(&house, "two.pem", &[]);
    assert!(said.contains("\nkept   ") && !said.contains("\nback "), "{said}");
}

#[test]
fn another_key_is_taken_where_that_is_said_and_the_former_comes_back_with_its_certificate() {
    let Some(house) = imported() else { return };
    other(&house);
    house.chmod("credentials/edge.key", 0o640);
    let (one, key) = (print(&house, "one.pem"), house.read("credentials/edge.key"));
    let (pem, other_key) = (house.path("other.pem"), house.path("other.key"));
    let words =
        ["cert", "import", pem.to_str().unwrap(), "--id", "edge", "--key", other_key.to_str().unwrap()];
    for more in [&["--what-if"][..], &[]] {
        let why = refused(&house, &[&words[..], more].concat(), 1);
        assert!(why.contains("there is another key") && why.contains("--yes to replace it"), "{why}");
    }
    let planned = done(&house, &[&words[..], &["--what-if", "--yes"]].concat());
    assert!(
        planned.contains("edge.crt.former-1 and ") && planned.contains("edge.key.former-1; "),
        "{planned}"
    );
    assert!(copies(&house).is_empty() && house.read("credentials/edge.key") == key);
    let said = done(&house, &[&words[..], &["--yes"]].concat());
    assert_eq!(copies(&house), ["edge.crt.former-1", "edge.key.former-1"]);
    assert_eq!(house.read("credentials/edge.key.former-1"), key);
    assert_eq!(house.read("credentials/edge.key"), house.read("other.key"));
    let mode = |name: &str| house.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("credentials/edge.key"), mode("credentials/edge.key.former-1")), (0o640, 0o600));
    assert_eq!(house.stoxd(&["check", "certs"]).code, 0);
    // Without --key: the copy of the key is found, and so is what it was called.
    let planned = import(&house, "credentials/edge.crt.former-1", &["--what-if", "--yes"]);
    assert!(planned.starts_with("certificate \"edge\" (PEM): "), "{planned}");
    go_back(&house, &said);
    assert_eq!((print(&house, "credentials/edge.crt"), house.read("credentials/edge.key")), (one, key));
    assert_eq!(house.stoxd(&["check", "certs"]).code, 0);
}

/// Chain and key of "edge" are `both.pem` from now on, which holds `text`.
fn in_one_file(house: &House, text: &str, mode: u32) {
    house.write("both.pem", text);
    house.chmod("both.pem", mode);
    let file = house.read("stoxd.toml");
    let file = file.lines().map(|line| match line {
        line if line.contains("credentials/edge.crt") => "chain = \"both.pem\"\n".to_owned(),
        line if line.contains("credentials/edge.key") => "key = \"both.pem\"\n".to_owned(),
        line => format!("{line}\n"),
    });
    house.write("stoxd.toml", &file.collect::<String>());
}

#[test]
fn certificate_and_key_in_one_file_stay_together() {
    let Some(house) = imported() else { return };
    in_one_file(&house, &(house.read("one.pem") + &house.read("credentials/edge.key")), 0o600);
    std::fs::remove_file(house.path("credentials/edge.key")).unwrap();
    assert_eq!(house.stoxd(&["check", "certs"]).code, 0);
    let said = import(&house, "two.pem", &["--id", "edge"]);
    assert_eq!(house.stoxd(&["check", "certs"]).code, 0, "the key is there");
    assert_eq!(print(&house, "both.pem"), print(&house, "two.pem"));
    assert_eq!(house.path("both.pem").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    made(&house, &["pkey", "-in", "both.pem.former-1", "-noout"]);
    go_back(&house, &said);
    assert_eq!(print(&house, "both.pem"), print(&house, "one.pem"));
}

#[test]
fn another_key_in_the_certificates_own_file_comes_back_by_what_is_said() {
    let Some(house) = imported() else { return };
    other(&house);
    in_one_file(&house, &(house.read("one.pem") + &house.read("credentials/edge.key")), 0o600);
    std::fs::remove_file(house.path("credentials/edge.key")).unwrap();
    let key = house.path("other.key");
    let said = import(&house, "other.pem", &["--id", "edge", "--key", key.to_str().unwrap(), "--yes"]);
    assert_eq!(print(&house, "both.pem"), print(&house, "other.pem"));
    go_back(&house, &said);
    assert_eq!(print(&house, "both.pem"), print(&house, "one.pem"));
    assert_eq!(house.stoxd(&["check", "certs"]).code, 0);
}

#[test]
fn a_key_comes_into_no_file_that_everybody_can_read() {
    let Some(house) = imported() else { return };
    in_one_file(&house, &house.read("one.pem"), 0o644);
    import(&house, "two.pem", &["--id", "edge", "--yes"]);
    assert!(house.read("both.pem").contains("PRIVATE KEY"));
    assert_eq!(house.path("both.pem").metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(house.path("both.pem.former-1").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_import_that_fails_half_way_leaves_what_was_there_and_nothing_else() {
    let Some(house) = imported() else { return };
    other(&house);
    let there = || {
        let names = std::fs::read_dir(house.path("credentials")).unwrap();
        let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // The place of the new certificate is taken.
    for id in ["edge", "new"] {
        std::fs::create_dir_all(house.path(&format!("credentials/.{id}.crt.new/x"))).unwrap();
    }
    let (files, key) = (there(), house.read("credentials/edge.key"));
    let (two, pem, other_key) = (house.path("two.pem"), house.path("other.pem"), house.path("other.key"));
    let [two, pem, other_key] = [&two, &pem, &other_key].map(|path| path.to_str().unwrap());
    for words in [
        &["cert", "import", two][..],
        &["cert", "import", pem, "--id", "edge", "--key", other_key, "--yes"],
        &["cert", "import", pem, "--id", "new", "--key", other_key],
    ] {
        let why = refused(&house, words, 1);
        assert!(why.contains(".crt: "), "{why}");
        assert_eq!((there(), house.read("credentials/edge.key")), (files.clone(), key.clone()), "{words:?}");
        assert_eq!(print(&house, "credentials/edge.crt"), print(&house, "one.pem"));
    }
    // So does one that comes while another changes something.
    std::fs::remove_dir_all(house.path("credentials/.edge.crt.new")).unwrap();
    let files = there();
    let lock = std::fs::File::open(house.path(".stoxd.lock")).unwrap();
    lock.lock().unwrap();
    assert!(refused(&house, &["cert", "import", two], 1).contains("somebody else is changing"));
    assert_eq!(there(), files);
    drop(lock);
    import(&house, "two.pem", &[]);
    assert_eq!(copies(&house), ["edge.crt.former-1"]);
}
