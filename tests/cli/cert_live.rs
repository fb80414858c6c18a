//! Certificates in the running daemon: which one is shown to whom, from when on, and who is believed.

use super::cert::{done, house, made, openssl, refused, sign};
use super::rig::{House, wait_for};
use std::process::{Child, Command, Stdio};

/// The SHA-256 of the certificate that is shown on `port` to who asks for `name`.
pub fn shown(house: &House, port: u16, name: &str) -> String {
    let at = format!("{}:{port}", house.ip);
    let mut words = vec!["s_client", "-connect", &at, "-servername", name];
    if port == 15269 {
        words.extend(["-starttls", "xmpp-server", "-xmpphost", name]);
    }
    let ran = openssl(house, &words);
    let begin =
        ran.out.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{}{}", ran.out, ran.err));
    let leaf = ran.out[begin..].split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    house.write("shown.pem", leaf);
    print(house, "shown.pem")
}

pub fn print(house: &House, file: &str) -> String {
    made(house, &["x509", "-in", file, "-noout", "-fingerprint", "-sha256"])
}

/// A SIP link over TLS with the certificate `pki/NAME.pem`, which lives until it is dropped.
pub struct Link(Child);

impl Link {
    pub fn open(house: &House, name: &str) -> Self {
        let at = format!("{}:15061", house.ip);
        let (cert, key) = (format!("pki/{name}.pem"), format!("pki/{name}.key"));
        let words = ["s_client", "-quiet", "-connect", &at, "-cert", &cert, "-key", &key];
        let mut command = Command::new("openssl");
        command.args(words).current_dir(house.path("")).stdin(Stdio::piped());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn has_link(house: &House) -> bool {
    house.stoxd(&["status"]).out.contains("\n  in  edge  ")
}

#[test]
fn f064_walk_10_from_the_request_to_what_openssl_sees() {
    let Some(house) = house() else { return };
    let said =
        done(&house, &["cert", "request", "--id", "edge", "--out", house.path("edge.csr").to_str().unwrap()]);
    assert!(said.contains("DNS:sip.litware.example"), "{said}");
    sign(&house, "edge.csr", "edge.pem", "90");
    done(&house, &["cert", "import", house.path("edge.pem").to_str().unwrap()]);
    let _daemon = house.start();
    let (old, new) = (print(&house, "pki/gateway.pem"), print(&house, "edge.pem"));
    assert_eq!(shown(&house, 15061, "contoso.example"), old);
    let thumbprint = made(&house, &["x509", "-in", "edge.pem", "-noout", "-fingerprint", "-sha1"]);
    let thumbprint = thumbprint.trim().split('=').nth(1).unwrap();
    let said = done(&house, &["cert", "assign", thumbprint, "--for", "all"]);
    assert!(said.contains("certificate edge is for contoso.example, litware.example"), "{said}");
    assert!(said.contains("loaded: "), "{said}");
    let checked = house.stoxd(&["cert", "check"]);
    assert!(checked.code == 0 && checked.out.contains("PASS  edge: expires in "), "{}", checked.out);
    for name in ["contoso.example", "litware.example", "unknown.example"] {
        assert_eq!(shown(&house, 15061, name), new, "{name}");
    }
    for name in ["contoso.example", "litware.example"] {
        assert_eq!(shown(&house, 15269, name), new, "{name}");
    }
    let why = refused(&house, &["cert", "assign", "edge", "--for", "all", "--roll"], 2);
    assert!(why.contains("--from <DATE>"), "{why}");
}

#[test]
fn f065_a_certificate_takes_anothers_place_when_its_time_comes() {
    let Some(house) = house() else { return };
    house.certificate("gateway", &["DNS:gw.contoso.example", "DNS:contoso.example", "DNS:litware.example"]);
    done(&house, &["cert", "request", "--id", "next", "--key-type", "p256"]);
    sign(&house, "credentials/next.csr", "next.pem", "90");
    done(&house, &["cert", "import", house.path("next.pem").to_str().unwrap()]);
    let _daemon = house.start();
    let (old, new) = (print(&house, "pki/gateway.pem"), print(&house, "next.pem"));
    let date =
        super::rig::run(Command::new("date").args(["-u", "-d", "+4 seconds", "+%Y-%m-%dT%H:%M:%SZ"])).out;
    let said = done(&house, &["cert", "assign", "next", "--for", "all", "--roll", "--from", date.trim()]);
    assert!(said.contains("loaded: "), "{said}");
    assert_eq!(shown(&house, 15061, "contoso.example"), old, "not before");
    wait_for("the roll-over", || house.read("log").contains("takes the place of gateway: new").then_some(()));
    for port in [15269, 15061] {
        assert_eq!(shown(&house, port, "litware.example"), new);
    }
}

#[test]
fn f068_each_domain_gets_its_own_certificate_by_sni_or_stream_header() {
    let Some(house) = house() else { return };
    house.certificate("litware", &["DNS:litware.example"]);
    house.edit("[dns]\n", "[[tls.certificate]]\nid = \"litware\"\nchain = \"pki/litware.pem\"\nkey = \"pki/litware.key\"\n[dns]\n");
    let _daemon = house.start();
    let (contoso, litware) = (print(&house, "pki/gateway.pem"), print(&house, "pki/litware.pem"));
    for port in [15269, 15061] {
        assert_eq!(shown(&house, port, "contoso.example"), contoso, "{port}");
        assert_eq!(shown(&house, port, "litware.example"), litware, "{port}");
    }
    assert_eq!(shown(&house, 15061, "unknown.example"), contoso, "the first is for everybody else");
}

#[test]
fn f069_an_unknown_authority_is_refused_and_named() {
    let Some(house) = house() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-test-ca");
    let mut command = Command::new(script);
    command.args(["--ca", "rogue"]).arg(house.path("pki")).args(["liar", "DNS:contoso.example"]);
    assert_eq!(super::rig::run(&mut command).code, 0);
    let _daemon = house.start();
    let _link = Link::open(&house, "liar");
    let refusal = "untrusted issuer \"stoxd test authority rogue\"";
    wait_for("the refusal", || house.read("log").contains(refusal).then_some(()));
    assert!(house.read("log").contains("link.refused") && !has_link(&house));
}

#[test]
fn f070_a_revoked_peer_is_refused_when_lists_are_looked_at() {
    let Some(house) = house() else { return };
    house.certificate("edge", &["DNS:contoso.example"]);
    let config = "[ca]\ndefault_ca = it\n[it]\ndatabase = index\ncrlnumber = number\ndefault_md = sha256\n";
    house.write("crl.cnf", config);
    house.write("index", "");
    house.write("number", "01\n");
    let ca = ["ca", "-config", "crl.cnf", "-cert", "pki/ca.pem", "-keyfile", "pki/ca.key"];
    let list = |file: &str| made(&house, &[&ca[..], &["-gencrl", "-crldays", "30", "-out", file]].concat());
    list("empty.crl");
    made(&house, &[&ca[..], &["-revoke", "pki/edge.pem"]].concat());
    list("full.crl");
    let _daemon = house.start();
    let refusals = || house.read("log").matches("link.refused").count();
    // Nobody is looked up without a list, unless somebody has to be.
    {
        let _link = Link::open(&house, "edge");
        wait_for("the link", || has_link(&house).then_some(()));
    }
    house.edit("[tls]\n", "[tls]\ncrl = \"hard\"\n");
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    let expect = |why: &str, times: usize| {
        let _link = Link::open(&house, "edge");
        wait_for(why, || (house.read("log").contains(why) && refusals() >= times).then_some(()));
        assert!(!has_link(&house), "{why}");
    };
    expect("it is not known whether it was revoked: there are no revocation lists", 1);
    house.edit("crl = \"hard\"\n", "crl = \"hard\"\ncrl_files = [\"empty.crl\"]\n");
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    {
        let _link = Link::open(&house, "edge");
        wait_for("the link", || has_link(&house).then_some(()));
    }
    wait_for("its end", || (!has_link(&house)).then_some(()));
    for mode in ["hard", "soft"] {
        house.write("empty.crl", &house.read("full.crl"));
        house.edit("crl = \"hard\"\n", &format!("crl = \"{mode}\"\n"));
        assert_eq!(house.stoxd(&["reload"]).code, 0);
        expect("certificate revoked", if mode == "hard" { 2 } else { 3 });
    }
    house.edit("crl = \"soft\"\n", "crl = \"off\"\n");
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    let _link = Link::open(&house, "edge");
    wait_for("the link", || has_link(&house).then_some(()));
    house.write("empty.crl", "no list");
    house.edit("crl = \"off\"\n", "crl = \"soft\"\n");
    let why = refused(&house, &["reload"], 78);
    assert!(why.contains("[tls] crl_files: ") && why.contains("no revocation list"), "{why}");
}

#[test]
fn f071_a_peer_with_another_name_is_nobody() {
    let Some(house) = house() else { return };
    house.certificate("other", &["DNS:fabrikam.example"]);
    let _daemon = house.start();
    let _link = Link::open(&house, "other");
    let why = "no [[sip.peer]] has the identity of this certificate: fabrikam.example";
    wait_for("the refusal", || house.read("log").contains(why).then_some(()));
    assert!(!has_link(&house));
}

#[test]
fn f115_new_connections_get_the_new_certificate_and_old_ones_live_on() {
    let Some(house) = house() else { return };
    house.certificate("edge", &["DNS:contoso.example"]);
    let _daemon = house.start();
    let old = shown(&house, 15061, "contoso.example");
    let _link = Link::open(&house, "edge");
    wait_for("the link", || has_link(&house).then_some(()));
    house.certificate("gateway", &["DNS:gw.contoso.example", "DNS:contoso.example"]);
    assert_eq!(shown(&house, 15061, "contoso.example"), old, "not before the reload");
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    let new = print(&house, "pki/gateway.pem");
    for port in [15269, 15061] {
        assert_eq!(shown(&house, port, "contoso.example"), new);
    }
    assert!(new != old && has_link(&house));
}

#[test]
fn check_144_a_link_ends_with_its_peers_certificate() {
    let Some(house) = house() else { return };
    done(&house, &["cert", "request", "--id", "soon", "--key-type", "p256", "--domains", "contoso.example"]);
    house.write(
        "soon.cnf",
        "[ca]\ndefault_ca = it\n[it]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\n\
         policy = any\ncopy_extensions = copy\n[any]\ncommonName = supplied\n",
    );
    house.write("index", "");
    let _daemon = house.start();
    let end = super::rig::run(Command::new("date").args(["-u", "-d", "+4 seconds", "+%Y%m%d%H%M%SZ"])).out;
    let ca =
        ["ca", "-batch", "-config", "soon.cnf", "-cert", "pki/ca.pem", "-keyfile", "pki/ca.key", "-notext"];
    let words = ["-in", "credentials/soon.csr", "-out", "pki/soon.pem", "-enddate", end.trim()];
    made(&house, &[&ca[..], &words[..]].concat());
    std::fs::copy(house.path("credentials/soon.key"), house.path("pki/soon.key")).unwrap();
    let _link = Link::open(&house, "soon");
    wait_for("the link", || has_link(&house).then_some(()));
    wait_for("its end", || (!has_link(&house)).then_some(()));
}

#[test]
fn an_expiry_is_in_the_journal_once() {
    let Some(house) = house() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-test-ca");
    let names = ["DNS:gw.contoso.example", "DNS:contoso.example", "DNS:litware.example"];
    let mut command = Command::new(script);
    command.args(["--days", "10"]).arg(house.path("pki")).arg("gateway").args(names);
    assert_eq!(super::rig::run(&mut command).code, 0);
    let _daemon = house.start();
    let warnings = || house.read("log").matches("certificate.expiring").count();
    wait_for("the warning", || (warnings() == 1).then_some(()));
    assert!(house.read("log").contains("certificate gateway expires in 10 days"), "{}", house.read("log"));
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    assert!(house.welcomes("fabrikam.example"));
    assert_eq!(warnings(), 1);
}
