//! The sample files, and the man pages beside them.

use super::*;

#[test]
fn the_sample_files_are_valid() {
    let daemon = include_str!("../../../config/stoxd.toml");
    let policy = include_str!("../../../config/policy.toml");
    let mut files = files(daemon, policy);
    files.0.insert("/run/credentials/stoxd/contoso.crt".into(), (String::new(), 0o400));
    let config = read(&files).unwrap();
    assert_eq!((config.policy_tests, config.warnings.len()), (3, 0));

    // What the comments show is the default: with all of it written out, the same comes out.
    let written: String = daemon
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .filter(|line| {
            !["discovery", "route", "identity", "digest", "dialback"].iter().any(|k| line.starts_with(k))
        })
        .collect();
    assert!(written.contains("\nqueue_timeout = \"10s\"\n"));
    files.0.insert("/etc/stoxd/stoxd.toml".into(), (written, 0o644));
    let again = read(&files).unwrap();
    assert_eq!((again.xmpp, again.sip, again.limits), (config.xmpp, config.sip, config.limits));
    assert_eq!(again.presence, config.presence);
    assert_eq!((again.gateway, again.tls, again.dns), (config.gateway, config.tls, config.dns));
    assert_eq!((again.log, again.admin_socket), (config.log, config.admin_socket));
    assert_eq!(again.metrics, config.metrics);
    assert_eq!(again.domains[0].tel_domain, config.domains[0].tel_domain);
}

#[test]
fn every_key_of_the_samples_stands_in_the_man_pages() {
    let pages = [
        (include_str!("../../../config/stoxd.toml"), include_str!("../../../config/man/stoxd.toml.5")),
        (
            include_str!("../../../config/policy.toml"),
            include_str!("../../../config/man/stoxd-policy.toml.5"),
        ),
    ];
    for (sample, page) in pages {
        let keys: Vec<&str> = sample
            .lines()
            .filter_map(|line| line.trim_start_matches('#').split_once(" = "))
            .map(|(key, _)| key)
            .filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            .collect();
        assert!(keys.len() > 10, "{keys:?}");
        for key in keys {
            assert!(page.contains(key), "{key}");
        }
    }
}

#[test]
fn the_man_page_has_the_default_that_the_sample_shows() {
    let sample = include_str!("../../../config/stoxd.toml");
    let page = include_str!("../../../config/man/stoxd.toml.5").replace("\\(dq", "\"").replace("\\-", "-");
    // What a comment gives as an example, since the default is nothing, or something found elsewhere.
    let examples =
        ["certificate", "route", "identity", "digest", "dialback_secret", "host", "from", "to", "every"];
    let mut table = "";
    let mut seen = 0;
    for line in sample.lines() {
        let Some((_, section)) = page.split_once(&format!("\n.SS {table}\n")) else {
            assert_eq!(table, "");
            table = if line.starts_with('[') { line } else { table };
            continue;
        };
        let section = section.split("\n.S").next().unwrap();
        if line.starts_with('[') {
            table = line;
        } else if let Some(setting) =
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        {
            let key = setting.split(" = ").next().unwrap();
            let is_example = examples.contains(&key) || (table, key) == ("[msrp]", "listen");
            let found = match is_example {
                true => section.contains(&format!("\n.BR {key} \", ")),
                false => section.contains(&format!("\n.B {setting}\n")),
            };
            assert!(found, "{table} {setting}");
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}
