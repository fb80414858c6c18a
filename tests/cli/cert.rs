//! `stoxd cert`, with openssl as the second reader: requests, imports, roll-overs, checks.

use super::rig::{House, POLICY, Ran, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A policy without tests, for a house whose domains change.
pub fn policy() -> &'static str {
    POLICY.split("[[test]]").next().unwrap()
}

pub fn openssl(house: &House, words: &[&str]) -> Ran {
    run(Command::new("openssl").args(words).current_dir(house.path("")))
}

/// Runs openssl, which must succeed; what it said.
pub fn made(house: &House, words: &[&str]) -> String {
    let ran = openssl(house, words);
    assert_eq!(ran.code, 0, "openssl {words:?}: {}", ran.err);
    ran.out
}

/// Runs a verb, which must succeed; what it said.
pub fn done(house: &House, words: &[&str]) -> String {
    let ran = house.stoxd(words);
    assert_eq!(ran.code, 0, "{words:?}: {}{}", ran.out, ran.err);
    ran.out
}

/// Runs a verb, which must not succeed; what it said.
pub fn refused(house: &House, words: &[&str], code: i32) -> String {
    let ran = house.stoxd(words);
    assert_eq!(ran.code, code, "{words:?}: {}{}", ran.out, ran.err);
    ran.err
}

/// The authority answers a request, for so many days.
pub fn sign(house: &House, request: &str, certificate: &str, days: &str) {
    let ca = ["-CA", "pki/ca.pem", "-CAkey", "pki/ca.key", "-CAcreateserial"];
    let words =
        ["x509", "-req", "-in", request, "-out", certificate, "-copy_extensions", "copy", "-days", days];
    made(house, &[&words[..], &ca[..]].concat());
}

/// A house with an authority and two domains.
pub fn house() -> Option<House> {
    let house = House::new(policy())?;
    house.edit("[tls]\n", "[[domain]]\nname = \"litware.example\"\n[tls]\n");
    house.edit("domains = [\"contoso.example\"]", "domains = [\"contoso.example\", \"litware.example\"]");
    Some(house)
}

/// A house in which no certificate is called "gateway" yet.
fn fresh() -> Option<House> {
    let house = house()?;
    house.edit("id = \"gateway\"", "id = \"old\"");
    Some(house)
}

fn mode(house: &House, name: &str) -> u32 {
    fs::metadata(house.path(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn f060_a_request_has_every_name_that_a_partner_checks() {
    let Some(house) = fresh() else { return };
    let said = done(&house, &["cert", "request"]);
    assert!(said.contains("keep it"), "{said}");
    let read = made(&house, &["req", "-in", "credentials/gateway.csr", "-noout", "-text", "-verify"]);
    assert!(read.contains("Subject: CN = gw.contoso.example\n"), "{read}");
    assert!(
        read.contains(
            "DNS:gw.contoso.example, DNS:contoso.example, DNS:litware.example, DNS:sip.contoso.example, \
             DNS:sip.litware.example\n"
        ),
        "{read}"
    );
    assert!(read.contains("TLS Web Server Authentication, TLS Web Client Authentication"), "{read}");
    assert_eq!(
        (mode(&house, "credentials/gateway.key"), mode(&house, "credentials/gateway.csr")),
        (0o600, 0o644)
    );
    // A key that may be in use is never replaced.
    let key = house.read("credentials/gateway.key");
    let why = refused(&house, &["cert", "request"], 1);
    assert!(why.contains("there is a key already") && why.contains("--reuse-key"), "{why}");
    done(&house, &["cert", "request", "--reuse-key"]);
    assert_eq!(house.read("credentials/gateway.key"), key);
}

#[test]
fn f061_more_names_and_fewer_domains_are_asked_for() {
    let Some(house) = fresh() else { return };
    let more = ["--san", "edge.contoso.example", "--san", "ip:192.0.2.1", "--san", "uri:sip:contoso.example"];
    let words = [
        "cert",
        "request",
        "--key-type",
        "p256",
        "--domains",
        "contoso.example",
        "--no-sip-names",
        "--srv-id",
        "--xmpp-addr",
    ];
    done(&house, &[&words[..], &more[..]].concat());
    let read = made(&house, &["req", "-in", "credentials/gateway.csr", "-noout", "-text"]);
    assert!(
        read.contains("DNS:gw.contoso.example, DNS:contoso.example, othername: SRVName::_xmpp-server.contoso.example, othername: XmppAddr::contoso.example, DNS:edge.contoso.example, IP Address:192.0.2.1, URI:sip:contoso.example")
            || (read.contains("DNS:gw.contoso.example, DNS:contoso.example, othername:") && read.contains("DNS:edge.contoso.example, IP Address:192.0.2.1, URI:sip:contoso.example")),
        "{read}"
    );
    // The octets of both otherNames, as openssl reads them: an IA5String (RFC 4985), a UTF8String (RFC 6120).
    let tree = made(&house, &["asn1parse", "-in", "credentials/gateway.csr"]);
    let at =
        tree.lines().find(|line| line.contains("OCTET STRING") && line.contains("[HEX DUMP]:30")).unwrap();
    assert!(
        at.contains("16205F786D70702D7365727665722E") || tree.contains("5F786D70702D736572766572"),
        "{tree}"
    );
    let why = refused(&house, &["cert", "request", "--id", "b", "--domains", "fabrikam.example"], 2);
    assert!(why.contains("there are: contoso.example, litware.example"), "{why}");
    assert!(!house.path("credentials/b.key").exists());
}

#[test]
fn f062_key_and_subject_are_as_they_are_asked_for() {
    let Some(house) = fresh() else { return };
    for (kind, shown) in [
        ("rsa2048", "Public-Key: (2048 bit)"),
        ("rsa3072", "Public-Key: (3072 bit)"),
        ("p256", "NIST CURVE: P-256"),
        ("p384", "NIST CURVE: P-384"),
    ] {
        done(&house, &["cert", "request", "--id", kind, "--key-type", kind]);
        let read =
            made(&house, &["req", "-in", &format!("credentials/{kind}.csr"), "-noout", "-text", "-verify"]);
        assert!(read.contains(shown), "{kind}: {read}");
        let key = made(&house, &["pkey", "-in", &format!("credentials/{kind}.key"), "-noout", "-check"]);
        assert!(key.contains("Key is valid"), "{key}");
    }
    let words = [
        "--organization",
        "Contoso Ltd",
        "--unit",
        "IM",
        "--city",
        "Köln",
        "--state",
        "NRW",
        "--country",
        "de",
    ];
    let more = [
        "cert",
        "request",
        "--id",
        "org",
        "--key-type",
        "p256",
        "--friendly-name",
        "Gateway",
        "--common-name",
        "im.contoso.example",
    ];
    done(&house, &[&more[..], &words[..]].concat());
    let read = made(
        &house,
        &["req", "-in", "credentials/org.csr", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus"],
    );
    assert!(read.contains("C=DE,ST=NRW,L=Köln,O=Contoso Ltd,OU=IM,CN=im.contoso.example"), "{read}");
    assert!(read.contains("friendlyName"), "{read}");
    assert_eq!(refused(&house, &["cert", "request", "--country", "Germany"], 2).lines().count(), 3);
    let planned = done(&house, &["cert", "request", "--id", "none", "--what-if"]);
    assert!(
        planned.ends_with("nothing was changed\n") && !house.path("credentials/none.key").exists(),
        "{planned}"
    );
}

#[test]
fn f060_a_request_overwrites_no_key_and_no_certificate() {
    let Some(house) = fresh() else { return };
    for there in ["pki/gateway.key", "pki/gateway.pem", "policy.toml"] {
        let (path, before) = (house.path(there), house.read(there));
        let words = ["cert", "request", "--key-type", "p256", "--out", path.to_str().unwrap()];
        let said = refused(&house, &words, 1);
        assert!(said.contains("it is no request: give another --out"), "{said}");
        assert_eq!(house.read(there), before);
    }
    assert!(!house.path("credentials/gateway.key").exists());
    done(&house, &["cert", "request", "--key-type", "p256"]);
    done(&house, &["cert", "request", "--reuse-key"]);
}

#[test]
fn f063_pem_der_pkcs7_and_pkcs12_are_imported() {
    containers("p256");
}

#[test]
fn f063_the_same_with_rsa() {
    containers("rsa2048");
}

/// Imports each container that a certificate for a key of type `kind` comes in.
fn containers(kind: &str) {
    let Some(house) = fresh() else { return };
    done(&house, &["cert", "request", "--key-type", kind]);
    sign(&house, "credentials/gateway.csr", "back.pem", "90");
    made(&house, &["x509", "-in", "back.pem", "-outform", "DER", "-out", "back.cer"]);
    let chain = ["-certfile", "back.pem", "-certfile", "pki/ca.pem"];
    made(&house, &[&["crl2pkcs7", "-nocrl", "-outform", "DER", "-out", "back.p7b"][..], &chain[..]].concat());
    made(&house, &[&["crl2pkcs7", "-nocrl", "-out", "back.p7"][..], &chain[..]].concat());
    let leaf = || made(&house, &["x509", "-in", "credentials/gateway.crt", "-noout", "-fingerprint"]);
    let wanted = made(&house, &["x509", "-in", "back.pem", "-noout", "-fingerprint"]);
    for (file, kind) in
        [("back.pem", "PEM"), ("back.cer", "DER"), ("back.p7b", "PKCS #7"), ("back.p7", "PKCS #7")]
    {
        let said = done(&house, &["cert", "import", house.path(file).to_str().unwrap()]);
        assert!(said.contains(&format!("certificate \"gateway\" ({kind})")), "{said}");
        assert!(said.contains("next   stoxd cert assign gateway --for all"), "{said}");
        assert_eq!(leaf(), wanted, "{file}");
        assert_eq!(house.read("credentials/gateway.crt").matches("BEGIN").count(), 1, "the root is left out");
        fs::remove_file(house.path("credentials/gateway.crt")).unwrap();
    }
    // PKCS #12 brings its key; both ciphers that are in use.
    let key = house.read("credentials/gateway.key");
    let bundle = [
        "pkcs12",
        "-export",
        "-in",
        "back.pem",
        "-inkey",
        "credentials/gateway.key",
        "-passout",
        "pass:correct horse",
    ];
    made(&house, &[&bundle[..], &["-out", "new.pfx"]].concat());
    made(
        &house,
        &[
            &bundle[..],
            &["-out", "old.pfx", "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"],
        ]
        .concat(),
    );
    house.write("password-good", "correct horse\n");
    house.write("password-bad", "staple\n");
    for file in ["new.pfx", "old.pfx"] {
        let path = house.path(file);
        let import = |id: &'static str, password: &str| {
            let words = ["cert", "import", path.to_str().unwrap(), "--id", id];
            let password = house.path(password);
            house.stoxd(&[&words[..], &["--password-file", password.to_str().unwrap()]].concat())
        };
        let ran = import("wrong", "password-bad");
        assert_eq!((ran.code, ran.err.ends_with("wrong password\n")), (1, true), "{}", ran.err);
        assert!(!ran.err.contains("staple") && !house.path("credentials/wrong.key").exists());
        let ran = house.stoxd(&["cert", "import", path.to_str().unwrap(), "--id", "wrong"]);
        assert!(ran.code == 1 && ran.err.contains("--password-file"), "{}", ran.err);
        let id = if file == "new.pfx" { "modern" } else { "ancient" };
        let ran = import(id, "password-good");
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains("(PKCS #12)") && ran.out.contains("came with it"), "{}", ran.out);
        assert_eq!(mode(&house, &format!("credentials/{id}.key")), 0o600);
        let public = |key: &str| made(&house, &["pkey", "-in", key, "-pubout"]);
        assert_eq!(public(&format!("credentials/{id}.key")), public("credentials/gateway.key"));
    }
    assert_eq!(house.read("credentials/gateway.key"), key);
}

#[test]
fn f063_what_can_t_be_imported_says_why() {
    let Some(house) = fresh() else { return };
    done(&house, &["cert", "request", "--key-type", "p256"]);
    sign(&house, "credentials/gateway.csr", "back.pem", "90");
    let import = |file: &str, more: &[&str]| {
        let path = house.path(file);
        refused(&house, &[&["cert", "import", path.to_str().unwrap()], more].concat(), 1)
    };
    assert!(import("credentials/gateway.csr", &[]).contains("this is a request, not a certificate"));
    house.write("junk", "junk");
    assert!(import("junk", &[]).contains("neither PEM, DER, PKCS #7 nor PKCS #12"));
    let stranger = import("pki/ca.pem", &["--id", "x"]);
    assert!(stranger.contains("the private key of this certificate is not there"), "{stranger}");
    let other = house.path("pki/gateway.key");
    let why = import("back.pem", &["--key", other.to_str().unwrap()]);
    assert!(why.contains("the private key is of no certificate"), "{why}");
    sign(&house, "credentials/gateway.csr", "old.pem", "-1");
    let why = import("old.pem", &[]);
    assert!(why.contains("expired") && why.contains("ask the authority for a new one"), "{why}");
    // A key that may be in use is not overwritten.
    done(&house, &["cert", "request", "--id", "other", "--key-type", "p256"]);
    let before = house.read("credentials/other.key");
    let key = house.path("credentials/gateway.key");
    let why = import("back.pem", &["--id", "other", "--key", key.to_str().unwrap()]);
    assert!(why.contains("there is another key, which may be in use"), "{why}");
    assert_eq!(house.read("credentials/other.key"), before);
    assert!(!house.path("credentials/gateway.crt").exists() && !house.path("credentials/other.crt").exists());
}

#[test]
fn f065_a_roll_over_needs_a_date_that_makes_sense() {
    let Some(house) = house() else { return };
    house.certificate("gateway", &["DNS:gw.contoso.example", "DNS:contoso.example", "DNS:litware.example"]);
    done(&house, &["cert", "request", "--id", "next", "--key-type", "p256"]);
    sign(&house, "credentials/next.csr", "next.pem", "90");
    done(&house, &["cert", "import", house.path("next.pem").to_str().unwrap()]);
    let before = house.read("stoxd.toml");
    let why = refused(&house, &["cert", "assign", "next", "--for", "all", "--roll"], 2);
    assert!(why.contains("--from <DATE>"), "{why}");
    refused(&house, &["cert", "assign", "next", "--for", "all", "--from", "2099-01-01"], 2);
    for (date, said) in
        [("2020-01-01", "this is over"), ("2099-01-01", "is good from"), ("soon", "a point in time such as")]
    {
        let why = refused(&house, &["cert", "assign", "next", "--for", "all", "--roll", "--from", date], 2);
        assert!(why.contains(said), "{date}: {why}");
    }
    assert_eq!(house.read("stoxd.toml"), before);
    let words = ["cert", "assign", "next", "--for", "contoso.example", "--roll", "--from"];
    let soon = made(&house, &["x509", "-in", "next.pem", "-noout", "-enddate", "-dateopt", "iso_8601"]);
    let soon = soon.trim().trim_start_matches("notAfter=").get(..10).unwrap().to_owned();
    let why = refused(&house, &[&words[..], &[soon.as_str()]].concat(), 2);
    assert!(why.contains("certificate gateway is for litware.example, too"), "{why}");
    house.edit("[tls]\n", "# Ours.\n[tls]\n");
    let planned =
        done(&house, &["cert", "assign", "next", "--for", "all", "--roll", "--from", &soon, "--what-if"]);
    assert!(
        planned.contains("+ replaces = \"gateway\"") && planned.ends_with("nothing was changed\n"),
        "{planned}"
    );
    done(&house, &["cert", "assign", "next", "--for", "all", "--roll", "--from", &soon]);
    let file = house.read("stoxd.toml");
    assert!(
        file.contains("# Ours.\n[tls]") && file.contains(&format!("use_from = \"{soon}T00:00:00Z\"")),
        "{file}"
    );
    assert_eq!(house.stoxd(&["check", "config"]).code, 0);
    assert!(
        done(&house, &["cert", "list"]).contains(&format!("(in place of gateway from {soon}T00:00:00Z)"))
    );
}

#[test]
fn f066_certificates_are_listed_and_those_that_expire_soon() {
    let Some(house) = house() else { return };
    done(&house, &["cert", "request", "--id", "short", "--key-type", "p256"]);
    sign(&house, "credentials/short.csr", "short.pem", "20");
    done(&house, &["cert", "import", house.path("short.pem").to_str().unwrap()]);
    done(&house, &["cert", "assign", "short", "--for", "litware.example"]);
    let all = done(&house, &["cert", "list"]);
    assert!(all.contains("\ngateway  ") && all.contains("contoso.example (default)"), "{all}");
    // Type, subject, issuer, expiry.
    let row = all.lines().find(|line| line.starts_with("short ")).unwrap();
    for cell in [" xmpp,sip ", " CN=gw.contoso.example ", " CN=stoxd test authority ca, "] {
        assert!(row.contains(cell), "{cell}: {all}");
    }
    assert!(row.contains(" in 19 days ") || row.contains(" in 20 days "), "{all}");
    let soon = done(&house, &["cert", "list", "--expiring", "30d"]);
    assert!(!soon.contains("gateway  ") && soon.contains(" days  ECDSA P-256"), "{soon}");
    assert_eq!(
        done(&house, &["cert", "list", "--expiring", "10d"]),
        "no certificate expires within 10 days\n"
    );
    let json: serde_json::Value = serde_json::from_str(&done(&house, &["cert", "list", "--json"])).unwrap();
    assert_eq!(json[1]["id"], "short");
    assert_eq!(json[1]["domains"], serde_json::json!(["litware.example"]));
    let shown = done(&house, &["cert", "show", "short"]);
    assert!(shown.contains("usage       TLS servers and clients\n"), "{shown}");
    let thumbprint = made(&house, &["x509", "-in", "short.pem", "-noout", "-fingerprint", "-sha1"]);
    assert!(shown.contains(&thumbprint.trim().split('=').nth(1).unwrap().replace(':', "")), "{shown}");
}

#[test]
fn f067_what_is_wrong_is_found_and_reported() {
    let Some(house) = house() else { return };
    let ran = house.stoxd(&["check", "certs"]);
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(ran.out.starts_with("certs         PASS  gateway: expires in 39"), "{}", ran.out);
    let flagged = "FAIL  gateway: not for litware.example, which it is used for: partners will refuse it\n";
    assert!(ran.out.contains(flagged) && ran.out.contains("stoxd cert request"), "{}", ran.out);
    // The same with a report.
    let report = house.path("report.json");
    let ran = house.stoxd(&["cert", "check", "--report", report.to_str().unwrap()]);
    assert!(ran.code == 3 && ran.out.contains(flagged), "{}", ran.out);
    let json: serde_json::Value = serde_json::from_str(&house.read("report.json")).unwrap();
    assert_eq!(json["outcome"], "fail");
    assert!(house.read("report.json").contains("not for litware.example, which it is used for"), "{json}");
    // serverAuth alone, a key that others can read, a chain that nobody trusts.
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-test-ca");
    let names = ["DNS:gw.contoso.example", "DNS:contoso.example", "DNS:litware.example"];
    let ran = run(Command::new(script)
        .args(["--eku", "server", "--ca", "rogue"])
        .arg(house.path("pki"))
        .arg("gateway")
        .args(names));
    assert_eq!(ran.code, 0, "{}", ran.err);
    house.chmod("pki/gateway.key", 0o644);
    let ran = house.stoxd(&["cert", "check"]);
    for line in [
        "WARN  gateway: serverAuth only; partners that insist on clientAuth will refuse us as TLS client\n",
        "WARN  gateway: the chain ends below ",
        "FAIL  gateway: everybody can read the key ",
    ] {
        assert!(ran.out.contains(line), "{line}: {}", ran.out);
    }
    house.chmod("pki/gateway.key", 0o600);
    assert_eq!(
        (house.stoxd(&["cert", "check"]).code, house.stoxd(&["cert", "check", "--strict"]).code),
        (0, 3)
    );
    house.certificate("other", &["DNS:x.example"]);
    house.write("pki/gateway.key", &house.read("pki/other.key"));
    assert!(house.stoxd(&["cert", "check"]).out.contains("is not that of the certificate"));
}
