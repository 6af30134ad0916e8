//! Templates in the language of Go's `text/template`, as far as `--format` has use for it.
//!
//! Known are text, fields (`.Config.Env`), variables, pipelines, `if`, `with`, `range`, comments, the
//! marks that trim white space, and the functions in [`functions`]. What Docker prints by a Go value,
//! lists as `[a b]` and maps as `map[k:v]`, is printed so. A field that does not exist is an error,
//! never an empty text.

mod evaluate;
mod fields;
mod functions;
mod parse;
mod printf;
mod words;

use serde_json::Value;

/// A template, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TemplateError {
    #[error("the template has {{{{ without }}}}")]
    Unclosed,
    #[error("the template has a text without a closing quote")]
    OpenQuote,
    #[error("the template has an unexpected {0:?}")]
    Unexpected(String),
    #[error("the template ends within {0:?}")]
    Unfinished(&'static str),
    #[error("the template is nested too deeply")]
    TooDeep,
    #[error("the template has an unknown function {0:?}")]
    UnknownFunction(String),
    #[error("the template has an unknown variable {0:?}")]
    UnknownVariable(String),
    #[error("the template has a field that does not exist, {0:?}")]
    NoField(String),
    #[error("function {0:?} of the template cannot take these arguments")]
    BadArguments(String),
    #[error("the template ranges over what is neither a list nor a map")]
    NoRange,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Output(Pipeline),
    /// `$x := …`
    Declare(String, Pipeline),
    /// `$x = …`
    Assign(String, Pipeline),
    /// Conditions with what follows them, and what follows when none holds.
    If(Vec<(Pipeline, Vec<Node>)>, Vec<Node>),
    With {
        name: Option<String>,
        pipeline: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        key: Option<String>,
        value: Option<String>,
        over: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Commands, each of which takes the result of the one before as its last argument.
type Pipeline = Vec<Command>;
type Command = Vec<Operand>;

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`; `$` is the whole.
    Variable(String, Vec<String>),
    Literal(Value),
    Function(String),
    /// `(…).A.B`
    Group(Pipeline, Vec<String>),
}

impl Template {
    /// # Errors
    /// [`TemplateError`], as Go would find it before anything is printed.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let nodes = parse::parse(text)?;
        Ok(Self { nodes })
    }

    /// # Errors
    /// [`TemplateError`] where the template asks for what `data` does not have.
    pub(crate) fn render(&self, data: &Value) -> Result<String, TemplateError> {
        evaluate::render(&self.nodes, data)
    }

    /// Whether a field is named anywhere.
    pub(crate) fn names(&self, field: &str) -> bool {
        any_names(&self.nodes, field)
    }

    /// The names of the fields at the top, in the order of their appearance.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let outputs = self.nodes.iter().filter_map(|node| match node {
            Node::Output(pipeline) => Some(pipeline.iter().flatten()),
            _ => None,
        });
        let first = outputs.flatten().filter_map(|operand| match operand {
            Operand::Field(path) => path.first(),
            _ => None,
        });
        first.map(String::as_str).collect()
    }
}

fn any_names(nodes: &[Node], field: &str) -> bool {
    let any = |nodes: &[Node]| any_names(nodes, field);
    nodes.iter().any(|node| match node {
        Node::Text(_) => false,
        Node::Output(pipeline) | Node::Declare(_, pipeline) | Node::Assign(_, pipeline) => {
            pipeline_names(pipeline, field)
        }
        Node::If(branches, otherwise) => {
            let branch = |(pipeline, body): &(Pipeline, Vec<Node>)| {
                pipeline_names(pipeline, field) || any(body)
            };
            branches.iter().any(branch) || any(otherwise)
        }
        Node::With {
            pipeline,
            body,
            otherwise,
            ..
        } => pipeline_names(pipeline, field) || any(body) || any(otherwise),
        Node::Range {
            over,
            body,
            otherwise,
            ..
        } => pipeline_names(over, field) || any(body) || any(otherwise),
    })
}

fn pipeline_names(pipeline: &Pipeline, field: &str) -> bool {
    let is_named = |path: &[String]| path.iter().any(|name| name.eq_ignore_ascii_case(field));
    pipeline.iter().flatten().any(|operand| match operand {
        Operand::Field(path) | Operand::Variable(_, path) => is_named(path),
        Operand::Group(inner, path) => is_named(path) || pipeline_names(inner, field),
        Operand::Literal(_) | Operand::Function(_) => false,
    })
}

#[cfg(test)]
mod tests;
