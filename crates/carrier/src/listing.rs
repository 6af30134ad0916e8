//! Lists in the format that was asked for: a table, JSON, or a template.

use serde_json::{Map, Value};

use crate::report::{Failure, printable};
use crate::table::lay_out;
use crate::template::{Template, TemplateError};

/// What `--format` says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Format {
    /// A table, of the columns of a template where there is one.
    Table(Option<Template>),
    /// An object a line.
    Json,
    /// A template for each row.
    Template(Template),
}

/// A list: its rows are objects whose fields are what templates may name.
pub(crate) struct Listing<'a> {
    /// The header of each field.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// The fields of the default table.
    pub(crate) columns: &'a [&'a str],
    pub(crate) rows: Vec<Value>,
}

impl Format {
    /// Whether a template makes use of this field.
    pub(crate) fn names(&self, field: &str) -> bool {
        match self {
            Self::Table(Some(template)) | Self::Template(template) => template.names(field),
            Self::Table(None) | Self::Json => false,
        }
    }

    /// One object as text: by the user's format, else as `plain` has it.
    pub(crate) fn print_one(
        &self,
        facts: Value,
        plain: impl FnOnce(&Value) -> String,
    ) -> Result<String, Failure> {
        match self {
            Self::Table(None) => Ok(plain(&facts)),
            format => Listing {
                headers: &[],
                columns: &[],
                rows: vec![facts],
            }
            .print(format),
        }
    }

    /// Reads the value of `--format`; without one, a table.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Failure> {
        // A shell leaves these to the program, and Docker does this.
        let unescape = |text: &str| text.replace("\\t", "\t").replace("\\n", "\n");
        let template = |text: &str| Template::parse(&unescape(text)).map_err(template_failure);
        Ok(match text {
            None | Some("" | "table") => Self::Table(None),
            Some("json" | "{{json .}}") => Self::Json,
            Some(text) => match text.strip_prefix("table ") {
                Some(columns) => Self::Table(Some(template(columns.trim_start())?)),
                None => Self::Template(template(text)?),
            },
        })
    }
}

impl Listing<'_> {
    /// The list as text, a line for each row.
    pub(crate) fn print(self, format: &Format) -> Result<String, Failure> {
        match format {
            Format::Json => Ok(self.rows.into_iter().map(without_methods).collect()),
            Format::Template(template) => {
                let rows = self.rows.into_iter().map(harmless);
                let lines = rows.map(|row| Ok(format!("{}\n", template.render(&row)?)));
                lines.collect::<Result<_, _>>().map_err(template_failure)
            }
            Format::Table(None) => Ok(self.default_table()),
            Format::Table(Some(template)) => self.table(template).map_err(template_failure),
        }
    }

    fn default_table(self) -> String {
        let header = self.columns.iter().map(|column| self.header(column));
        let header = header.map(|name| name.as_str().unwrap_or_default().to_owned());
        let mut lines: Vec<Vec<String>> = vec![header.collect()];
        let rows = self.rows.into_iter().map(harmless);
        lines.extend(rows.map(|row| {
            let cell = |column: &&str| row.get(*column).and_then(Value::as_str);
            let cells = self.columns.iter().map(cell);
            cells
                .map(|cell| cell.unwrap_or_default().to_owned())
                .collect()
        }));
        lay_out(&lines)
    }

    fn table(self, template: &Template) -> Result<String, TemplateError> {
        let cells = |line: &str| line.split('\t').map(ToOwned::to_owned).collect();
        let header: Map<String, Value> = template
            .fields()
            .into_iter()
            .map(|field| (field.to_owned(), self.header(field)))
            .collect();
        let mut lines: Vec<Vec<String>> = vec![cells(&template.render(&header.into())?)];
        for row in self.rows {
            lines.push(cells(&template.render(&harmless(row))?));
        }
        Ok(lay_out(&lines))
    }

    fn header(&self, field: &str) -> Value {
        if field == METHOD {
            return Value::Null;
        }
        let is_meant = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case(field);
        let known = self.headers.iter().find(is_meant);
        known.map_or(field, |(_, header)| header).into()
    }
}

/// What templates can call with a word: no field of JSON.
const METHOD: &str = "Label";

fn without_methods(mut row: Value) -> String {
    if let Some(fields) = row.as_object_mut() {
        fields.remove(METHOD);
    }
    format!("{row}\n")
}

/// Texts of an image have no power over the terminal.
pub(crate) fn harmless(value: Value) -> Value {
    match value {
        Value::String(text) => printable(&text).into(),
        Value::Array(items) => items.into_iter().map(harmless).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, harmless(value)))
            .collect(),
        other => other,
    }
}

#[allow(clippy::needless_pass_by_value, reason = "handed over by map_err")]
pub(crate) fn template_failure(error: TemplateError) -> Failure {
    let hint = match &error {
        TemplateError::NoField(_) => "--format json shows the fields",
        _ => "templates are those of Go's text/template, as in Docker",
    };
    Failure::with_hint(error, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn print(format: &str) -> Result<String, Failure> {
        let listing = Listing {
            headers: &[("ID", "IMAGE ID"), ("Name", "NAME")],
            columns: &["Name", "ID"],
            rows: vec![
                json!({"ID": "1", "Name": "long"}),
                json!({"ID": "2", "Name": "\u{1b}"}),
            ],
        };
        listing.print(&Format::parse(Some(format))?)
    }

    #[test]
    fn a_list_is_a_table_or_json_or_what_a_template_says() {
        for (format, expected) in [
            ("table", "NAME     IMAGE ID\nlong     1\n\\u{1b}   2\n"),
            (
                r"table {{.ID}}\t{{.Name}}",
                "IMAGE ID   NAME\n1          long\n2          \\u{1b}\n",
            ),
            ("{{.ID}}-{{.Name}}", "1-long\n2-\\u{1b}\n"),
            (
                "json",
                "{\"ID\":\"1\",\"Name\":\"long\"}\n{\"ID\":\"2\",\"Name\":\"\\u001b\"}\n",
            ),
        ] {
            assert_eq!(print(format).unwrap(), expected, "{format}");
        }
        assert!(print("{{.Nope}}").is_err() && print("{{").is_err());
    }
}
