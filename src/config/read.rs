//! Reads one table of a file, key by key, and tells what is left over.
//!
//! Each key that is asked for becomes known, so [`Section::done`] can say which keys of the file
//! nobody asked for. Nothing here stops at the first error: a key that is wrong is reported and
//! answered with `None` or its default, so that one pass finds everything.

use super::problem::{Report, Source, quoted};
use super::{suggest, value};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
pub(super) type At<T> = (T, Range<usize>);

/// One table of a file, or the absence of it.
pub(super) struct Section<'d> {
    /// The file.
    pub(super) source: &'d Source,
    /// Where problems go.
    pub(super) report: &'d Report,
    /// Where the table's header stands.
    pub(super) span: Range<usize>,
    table: Option<&'d DeTable<'d>>,
    name: &'static str,
    known: Vec<&'static str>,
}

/// Parses `source`; syntax errors go to `report`, what could be read is returned.
pub(super) fn document<'d>(source: &'d Source, report: &Report) -> Spanned<DeTable<'d>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let message = error.message();
        let word = source.text.get(span.clone()).unwrap_or_default();
        if ["yes", "no", "on", "off"].contains(&word) || ["True", "False", "TRUE", "FALSE"].contains(&word) {
            report.syntax(source, &span, "bad value", "write true or false".to_owned());
            continue;
        }
        match message.split_once(", expected ") {
            Some((message, expected)) => {
                report.syntax(source, &span, message, format!("expected {expected}"))
            }
            None => report.syntax(source, &span, message, String::new()),
        }
    }
    table
}

impl<'d> Section<'d> {
    /// The file's outermost table.
    pub(super) fn root(source: &'d Source, report: &'d Report, table: &'d DeTable<'d>) -> Self {
        Self { source, report, span: 0..0, table: Some(table), name: "", known: Vec::new() }
    }

    /// Whether the file has this table.
    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the table has `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where the value of `key` stands, or else the table's header.
    pub(super) fn span_of(&self, key: &str) -> Range<usize> {
        self.table.and_then(|table| table.get(key)).map_or(self.span.clone(), Spanned::span)
    }

    /// The line that the table starts in.
    pub(super) fn line(&self) -> u32 {
        self.source.line_of(self.span.start)
    }

    /// Reports an error at `span`.
    pub(super) fn error(&self, span: &Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        self.report.error(self.source, span, message, label);
    }

    /// Reports a warning at `span`.
    pub(super) fn warn(&self, span: &Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        self.report.warn(self.source, span, message, label);
    }

    /// Text under `key`.
    pub(super) fn text(&mut self, key: &'static str) -> Option<At<&'d str>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((text.as_ref(), value.span())),
            other => self.mistyped(key, "a string", other, value.span()),
        }
    }

    /// The text under `key` as `parse` takes it; its error is the label.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let (text, span) = self.text(key)?;
        match parse(text) {
            Ok(value) => Some((value, span)),
            Err(reason) => {
                self.error(&span, format!("bad value {} for \"{key}\"", quoted(text)), reason);
                None
            }
        }
    }

    /// As [`Section::parsed`], and an error if the key is not there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        if !self.has(key) {
            self.missing(key);
        }
        self.parsed(key, parse)
    }

    /// Reports that `key` is needed.
    pub(super) fn missing(&mut self, key: &'static str) {
        self.known.push(key);
        let message = format!("{} needs \"{key}\"", self.name);
        if self.is_present() {
            self.error(&self.span.clone(), message, "");
        } else {
            self.report.file_error(&self.source.name, message, "");
        }
    }

    /// True or false under `key`.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.value(key) else { return default };
        match value.get_ref() {
            DeValue::Boolean(flag) => *flag,
            other => self.mistyped(key, "true or false", other, value.span()).unwrap_or(default),
        }
    }

    /// A whole number in `range` under `key`.
    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            return self.mistyped(key, "a whole number", value.get_ref(), value.span());
        };
        let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
        self.in_range(key, number, &range, value.span())
    }

    /// A size in octets: a whole number, or text with a unit.
    pub(super) fn size(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<usize> {
        let found = self.value(key)?;
        let size = match found.get_ref() {
            DeValue::Integer(_) => self.number(key, range),
            DeValue::String(_) => {
                let (size, span) = self.parsed(key, value::size)?;
                self.in_range(key, Some(size), &range, span)
            }
            other => self.mistyped(key, "a size such as \"64KiB\"", other, found.span()),
        };
        size.and_then(|size| usize::try_from(size).ok())
    }

    fn in_range(
        &self,
        key: &str,
        number: Option<u64>,
        range: &RangeInclusive<u64>,
        span: Range<usize>,
    ) -> Option<u64> {
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        let label = format!("{} to {}", range.start(), range.end());
        self.error(&span, format!("\"{key}\" is out of range"), label);
        None
    }

    /// A duration in `range` under `key`.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let found = self.value(key);
        if let Some(DeValue::Integer(number)) = found.map(Spanned::get_ref) {
            let label = format!("a duration has a unit: \"{}s\"", number.as_str());
            self.error(&self.span_of(key), format!("\"{key}\" must be a string"), label);
            return default;
        }
        let Some((duration, span)) = self.parsed(key, value::duration) else { return default };
        if range.contains(&duration) {
            return duration;
        }
        let label = format!("{:?} to {:?}", range.start(), range.end());
        self.error(&span, format!("\"{key}\" is out of range"), label);
        default
    }

    /// One of `choices` under `key`.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<At<T>> {
        let (text, span) = self.text(key)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some((*value, span));
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let label = suggest::or(text, names.iter().copied(), || format!("one of: {}", names.join(", ")));
        self.error(&span, format!("unknown {key} {}", quoted(text)), label);
        None
    }

    /// A string, or a list of them.
    pub(super) fn texts_or_one(&mut self, key: &'static str) -> Vec<At<&'d str>> {
        match self.table.and_then(|table| table.get(key)).map(Spanned::get_ref) {
            Some(DeValue::Array(_)) => self.texts(key).unwrap_or_default(),
            Some(_) | None => self.text(key).into_iter().collect(),
        }
    }

    /// A list of texts under `key`; `None` if the key is not there.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<At<&'d str>>> {
        let value = self.value(key)?;
        let DeValue::Array(list) = value.get_ref() else {
            return self.mistyped(key, "a list of strings", value.get_ref(), value.span());
        };
        let mut texts = Vec::with_capacity(list.len());
        for item in list.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push((text.as_ref(), item.span())),
                other => {
                    self.mistyped::<()>(key, "a list of strings", other, item.span());
                }
            }
        }
        Some(texts)
    }

    /// A list under `key` whose items `parse` takes; what it does not take is reported and left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<At<T>>> {
        let texts = self.texts(key)?;
        let mut list = Vec::with_capacity(texts.len());
        for (text, span) in texts {
            match parse(text) {
                Ok(value) => list.push((value, span)),
                Err(reason) => {
                    self.error(&span, format!("bad value {} in \"{key}\"", quoted(text)), reason);
                }
            }
        }
        Some(list)
    }

    /// The table `key`, present or not; `name` is what problems call it.
    pub(super) fn section(&mut self, key: &'static str, name: &'static str) -> Section<'d> {
        let mut section = Section {
            source: self.source,
            report: self.report,
            span: self.span.clone(),
            table: None,
            name,
            known: Vec::new(),
        };
        if let Some(value) = self.value(key) {
            section.span = value.span();
            match value.get_ref() {
                DeValue::Table(table) => section.table = Some(table),
                DeValue::Array(_) => {
                    self.error(&value.span(), format!("{name} is a single table"), "use single brackets");
                }
                other => {
                    self.mistyped::<()>(key, "a table", other, value.span());
                }
            }
        }
        section
    }

    /// The tables in the list `key`; `name` is what problems call one of them.
    pub(super) fn sections(&mut self, key: &'static str, name: &'static str) -> Vec<Section<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let items = match value.get_ref() {
            DeValue::Array(items) => items,
            DeValue::Table(_) => {
                self.error(&value.span(), format!("{name} is a list of tables"), "use double brackets");
                return Vec::new();
            }
            other => {
                self.mistyped::<()>(key, "a list of tables", other, value.span());
                return Vec::new();
            }
        };
        let mut sections = Vec::with_capacity(items.len());
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => sections.push(Section {
                    source: self.source,
                    report: self.report,
                    span: item.span(),
                    table: Some(table),
                    name,
                    known: Vec::new(),
                }),
                other => {
                    self.mistyped::<()>(key, "a list of tables", other, item.span());
                }
            }
        }
        sections
    }

    /// Reports every key that nobody asked for.
    pub(super) fn done(self) {
        // After a broken header its keys land in the outermost table: one error is enough.
        if self.name.is_empty() && self.report.has_syntax_errors(self.source) {
            return;
        }
        for (key, value) in self.table.into_iter().flatten() {
            let text: &str = key.get_ref();
            if self.known.contains(&text) {
                continue;
            }
            let message = match (value.get_ref(), self.name) {
                (DeValue::Table(_), "") => format!("unknown table [{}]", quoted(text).trim_matches('"')),
                (DeValue::Array(_), "") => format!("unknown list of tables {}", quoted(text)),
                (_, "") => format!("unknown key {} outside of any table", quoted(text)),
                (_, name) => format!("unknown key {} in {name}", quoted(text)),
            };
            let label = suggest::or(text, self.known.iter().copied(), || {
                let mut known = self.known.clone();
                known.sort_unstable();
                known.dedup();
                format!("known here: {}", known.join(", "))
            });
            self.report.error(self.source, &key.span(), message, label);
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        self.table?.get(key)
    }

    fn mistyped<T>(&self, key: &str, wanted: &str, found: &DeValue<'_>, span: Range<usize>) -> Option<T> {
        let found = match found {
            DeValue::Integer(_) | DeValue::Array(_) => format!("this is an {}", found.type_str()),
            _ => format!("this is a {}", found.type_str()),
        };
        self.error(&span, format!("\"{key}\" must be {wanted}"), found);
        None
    }
}
