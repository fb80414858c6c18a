//! `stoxd config`: what is stored and what runs, single settings, export and import.

use super::change::{self, Change, How, Refused, Which, rows};
use super::cli::{ConfigFile, Output, say};
use super::control::{self, Answer, Question};
use super::exit;
use super::policies::answer;
use super::words::{self, canonical, harmless};
use crate::config;
use clap::Subcommand;
use serde_json::Value;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, Table, value};

/// `stoxd config …`.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Print both files
    Show {
        /// As the running daemon has read them
        #[arg(long)]
        running: bool,
        /// As they are on disk, if they are valid; the default
        #[arg(long, conflicts_with = "running")]
        stored: bool,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// Change one setting of stoxd.toml
    Set {
        /// The table and the key: xmpp.connection_limit; in a list its name between: sip.peer.NAME.im
        key: String,
        /// The value as TOML has it; what is none is taken as text
        value: String,
        #[command(flatten)]
        how: How,
    },
    /// Write both files and the grants into one file that `import` reads
    Export {
        /// Where to; nothing that is there is overwritten
        to: PathBuf,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Put what `export` wrote in place of what is there
    Import {
        /// The file
        from: PathBuf,
        #[command(flatten)]
        how: How,
    },
}

/// Does `verb`; the exit code.
pub(super) fn run(verb: ConfigVerb) -> u8 {
    match verb {
        ConfigVerb::Show { running: true, file, output, .. } => match running(&file) {
            Ok(files) => say(&shown(&files, output.json), exit::DONE),
            Err(refused) => refused.print(),
        },
        ConfigVerb::Show { file, output, .. } => {
            answer(&file, |config| (shown(&config.texts, output.json), exit::DONE))
        }
        ConfigVerb::Set { key, value, how } => {
            change::edit(&format!("config set {key} {value}"), &how, Which::Daemon, |document| {
                set(document, &key, &value)
            })
        }
        ConfigVerb::Export { to, file } => export(&to, &file).unwrap_or_else(|refused| refused.print()),
        ConfigVerb::Import { from, how } => import(&from, &how).unwrap_or_else(|refused| refused.print()),
    }
}

/// The files that the daemon runs with: name and text.
fn running(file: &ConfigFile) -> Result<Vec<(String, String)>, Refused> {
    let unreachable = |why: String| Refused { text: why, code: exit::UNREACHABLE };
    let socket = config::admin_socket(&file.config)
        .map_err(|problems| Refused { text: super::check::problems(&problems), code: exit::CONFIG })?;
    match control::ask(&socket, &Question::Config) {
        Ok(Answer::Config(files)) => Ok(files),
        Ok(_) => Err(Refused::failed("the daemon gave another answer: is it of this version?")),
        Err(error) => Err(unreachable(format!("no answer from the daemon at {}: {error}", socket.display()))),
    }
}

fn shown(files: &[(String, String)], as_json: bool) -> String {
    if !as_json {
        return render(files);
    }
    let all: serde_json::Map<String, Value> = files
        .iter()
        .map(|(name, text)| (name.clone(), toml::from_str::<Value>(text).unwrap_or(Value::Null)))
        .collect();
    format!("{:#}\n", Value::from(all))
}

/// `files` one after the other, each below its name.
pub(super) fn render(files: &[(String, String)]) -> String {
    let mut out = String::new();
    for (name, text) in files {
        out.push_str(&format!("### {name}\n"));
        out.extend(
            text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }),
        );
        if !text.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

/// The lists of tables, and the key that names a row.
const LISTS: [(&str, &str); 3] = [("sip.peer", "name"), ("domain", "name"), ("tls.certificate", "id")];

/// The row of `list` whose `name` is `wanted`.
fn row_of<'d>(
    document: &'d mut DocumentMut,
    list: &str,
    name: &str,
    wanted: &str,
) -> Result<&'d mut Table, Refused> {
    if wanted.is_empty() {
        return Err(Refused::failed(format!("[[{list}]] is a list: say which one, {list}.NAME.KEY")));
    }
    let mut item: Option<&mut Item> = Some(document.as_item_mut());
    for part in list.split('.') {
        item = item.and_then(|item| item.get_mut(part));
    }
    let rows = item.and_then(Item::as_array_of_tables_mut);
    let known: Vec<String> = rows
        .iter()
        .flat_map(|rows| rows.iter())
        .filter_map(|row| rows::text(row, name))
        .map(str::to_owned)
        .collect();
    let missing = || {
        let known = known.iter().map(String::as_str);
        let text = words::none(&format!("[[{list}]] called"), wanted, "stoxd config show", known);
        Refused::failed(text)
    };
    let is_wanted = |row: &&mut Table| {
        rows::text(row, name).is_some_and(|name| name == wanted || canonical(name) == canonical(wanted))
    };
    rows.and_then(|rows| rows.iter_mut().find(is_wanted)).ok_or_else(missing)
}

/// The table at `path`, made if it is not there; `key` is what it is wanted for.
fn table_of<'d>(document: &'d mut DocumentMut, key: &str, path: &str) -> Result<&'d mut Table, Refused> {
    let mut table: &mut Table = document.as_table_mut();
    for part in path.split('.') {
        let item = table.entry(part).or_insert_with(|| Item::Table(Table::new()));
        table = item.as_table_mut().ok_or_else(|| {
            Refused::failed(format!("{key}: {part} is a list of tables, or no table: edit it by hand"))
        })?;
    }
    Ok(table)
}

fn set(document: &mut DocumentMut, key: &str, text: &str) -> Result<String, Refused> {
    let new = match text.parse::<toml_edit::Value>() {
        // No setting is one of these: "1.2" is a version.
        Ok(toml_edit::Value::Float(_) | toml_edit::Value::Datetime(_)) | Err(_) => text.into(),
        Ok(value) => value,
    };
    let Some((path, last)) = key.rsplit_once('.') else {
        return Err(Refused::usage(format!(
            "{key}: a setting is written TABLE.KEY, as xmpp.connection_limit"
        )));
    };
    let row = |(list, name): &(&'static str, &'static str)| {
        let row = path.strip_prefix(list)?;
        let row = if row.is_empty() { row } else { row.strip_prefix('.')? };
        Some((*list, *name, row))
    };
    let table = match LISTS.iter().find_map(row) {
        Some((list, name, row)) => row_of(document, list, name, row)?,
        None => table_of(document, key, path)?,
    };
    match table.get(last) {
        Some(Item::Value(_)) | None => {}
        Some(_) => return Err(Refused::failed(format!("{key} is a table: edit it by hand"))),
    }
    rows::set(table, last, new);
    Ok(format!("{key} is {text}"))
}

const KIND: &str = "stoxd configuration";

fn export(to: &Path, file: &ConfigFile) -> Result<u8, Refused> {
    let how = How::of(file.clone());
    let mut change = Change::open("export", &how)?;
    change.checked()?;
    let places = [
        ("stoxd", Some(change.path(Which::Daemon))),
        ("policy", Some(change.path(Which::Policy))),
        ("grants", change.grants()),
    ];
    let mut bundle = DocumentMut::new();
    bundle.insert("kind", value(KIND));
    for (key, place) in places {
        if let Some(place) = place {
            let text = change.text(&place)?.to_owned();
            bundle.insert(key, value(text));
        }
    }
    let mut options = std::fs::OpenOptions::new();
    let written = options.write(true).create_new(true).open(to).and_then(|mut file| {
        use std::io::Write;
        file.write_all(bundle.to_string().as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Refused::failed(format!("{}: {error}", to.display())))?;
    Ok(say(
        &format!("{} holds the configuration; keys and certificates are not in it\n", to.display()),
        exit::DONE,
    ))
}

fn import(from: &Path, how: &How) -> Result<u8, Refused> {
    let text = std::fs::read_to_string(from);
    let text = text.map_err(|error| Refused::failed(format!("{}: {error}", from.display())))?;
    let bundle = text.parse::<DocumentMut>();
    let bundle = bundle.map_err(|error| Refused::failed(format!("{}: {error}", from.display())))?;
    let of = |key: &str| bundle.get(key).and_then(Item::as_str).map(str::to_owned);
    let (Some(daemon), Some(policy), true) = (of("stoxd"), of("policy"), of("kind").as_deref() == Some(KIND))
    else {
        return Err(Refused::failed(format!("{}: this is nothing that config export wrote", from.display())));
    };
    let mut change = Change::open(&format!("config import {}", from.display()), how)?;
    // Each file says where the next one is.
    let place = change.path(Which::Daemon);
    change.put_known(&place, daemon)?;
    let mut places = vec![place.display().to_string()];
    let place = change.path(Which::Policy);
    change.put_known(&place, policy)?;
    places.push(place.display().to_string());
    if let (Some(place), Some(grants)) = (change.grants(), of("grants")) {
        change.put_known(&place, grants)?;
        places.push(place.display().to_string());
    }
    // The export says where they lie: that of another machine may lead anywhere.
    let places = harmless(&places.join(", "));
    how.agreed(&format!("These will be as in the export: {places}. Replace them?"))?;
    Ok(change.finish(&format!("as in {}: {places}", from.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_setting_keeps_its_comment_and_a_list_of_tables_is_left_alone() {
        let mut document: DocumentMut = "[xmpp]\nconnection_limit = 10 # few\n[[domain]]\n".parse().unwrap();
        set(&mut document, "xmpp.connection_limit", "1200").unwrap();
        set(&mut document, "xmpp.keepalive_interval", "30s").unwrap();
        set(&mut document, "tls.min_version", "1.3").unwrap();
        set(&mut document, "tls.min_version", "1.2").unwrap();
        assert_eq!(
            document.to_string(),
            "[xmpp]\nconnection_limit = 1200 # few\nkeepalive_interval = \"30s\"\n[[domain]]\n\n[tls]\nmin_version = \"1.2\"\n"
        );
        let refused = set(&mut document, "domain.name", "x").unwrap_err();
        assert_eq!((refused.code, refused.text.contains("domain.NAME.KEY")), (exit::FAILED, true));
        assert_eq!(set(&mut document, "name", "x").unwrap_err().code, exit::USAGE);
    }

    #[test]
    fn a_setting_of_one_row_is_reached_by_the_name_of_the_row() {
        let text = "[[domain]]\nname = \"bücher.example\"\n[[sip.peer]]\nname = \"edge\" # ours\n[[sip.peer]]\nname = \"b.c\"\n";
        let mut document: DocumentMut = text.parse().unwrap();
        set(&mut document, "sip.peer.edge.im", "pager").unwrap();
        set(&mut document, "sip.peer.b.c.monitor", "true").unwrap();
        set(&mut document, "domain.xn--bcher-kva.example.tel_domain", "true").unwrap();
        assert_eq!(
            document.to_string(),
            "[[domain]]\nname = \"bücher.example\"\ntel_domain = true\n[[sip.peer]]\nname = \"edge\" # ours\nim = \"pager\"\n[[sip.peer]]\nname = \"b.c\"\nmonitor = true\n"
        );
        let refused = set(&mut document, "sip.peer.egde.im", "pager").unwrap_err();
        assert!(refused.text.ends_with("did you mean edge?"), "{}", refused.text);
        assert!(set(&mut document, "tls.certificate.x.key", "y").is_err());
    }
}
