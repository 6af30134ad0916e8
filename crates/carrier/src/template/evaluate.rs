//! From a tree and data to text.

use serde_json::Value;

use super::fields::{empty, field, field_of, is_free, last_field, zero};
use super::functions::{call, is_true, text};
use super::{Command, Node, Operand, TemplateError};

pub(super) fn render(nodes: &[Node], data: &Value) -> Result<String, TemplateError> {
    let mut scope = Scope {
        variables: Vec::new(),
        out: String::new(),
    };
    let dot = Dot {
        value: data,
        is_free: false,
    };
    scope.declare("", dot);
    scope.nodes(nodes, dot)?;
    Ok(scope.out)
}

/// What fields are looked for in.
#[derive(Clone, Copy)]
struct Dot<'a> {
    value: &'a Value,
    /// Whether it is a map that everybody fills, such as labels.
    is_free: bool,
}

struct Variable {
    name: String,
    value: Value,
    is_free: bool,
}

struct Scope {
    /// The innermost last; `$` is the first.
    variables: Vec<Variable>,
    out: String,
}

impl Scope {
    fn declare(&mut self, name: &str, of: Dot<'_>) {
        self.variables.push(Variable {
            name: name.to_owned(),
            value: of.value.clone(),
            is_free: of.is_free,
        });
    }

    fn nodes(&mut self, nodes: &[Node], dot: Dot<'_>) -> Result<(), TemplateError> {
        for node in nodes {
            self.node(node, dot)?;
        }
        Ok(())
    }

    /// Variables that are declared in a block end with it.
    fn block(&mut self, nodes: &[Node], dot: Dot<'_>) -> Result<(), TemplateError> {
        let depth = self.variables.len();
        let done = self.nodes(nodes, dot);
        self.variables.truncate(depth);
        done
    }

    fn node(&mut self, node: &Node, dot: Dot<'_>) -> Result<(), TemplateError> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Output(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                let nothing = value.is_null().then(|| last_field(pipeline)).flatten();
                match nothing.and_then(zero) {
                    Some(zero) => self.out.push_str(zero),
                    None => self.out.push_str(&text(&value)),
                }
            }
            Node::Declare(name, pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.declare(name, within(&value, pipeline));
            }
            Node::Assign(name, pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                let is_free = within(&value, pipeline).is_free;
                let mut known = self.variables.iter_mut().rev();
                match known.find(|known| known.name == *name) {
                    Some(known) => (known.value, known.is_free) = (value, is_free),
                    None => return Err(TemplateError::UnknownVariable(format!("${name}"))),
                }
            }
            Node::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if is_true(&self.pipeline(condition, dot)?) {
                        return self.block(body, dot);
                    }
                }
                self.block(otherwise, dot)?;
            }
            Node::With {
                name,
                pipeline,
                body,
                otherwise,
            } => {
                let value = self.pipeline(pipeline, dot)?;
                let depth = self.variables.len();
                let inner = within(&value, pipeline);
                if let Some(name) = name {
                    self.declare(name, inner);
                }
                if is_true(&value) {
                    self.block(body, inner)?;
                } else {
                    self.block(otherwise, dot)?;
                }
                self.variables.truncate(depth);
            }
            Node::Range {
                key,
                value,
                over,
                body,
                otherwise,
            } => {
                let items = items(self.pipeline(over, dot)?)?;
                if items.is_empty() {
                    return self.block(otherwise, dot);
                }
                for (index, item) in items {
                    let depth = self.variables.len();
                    let of = |value| Dot {
                        value,
                        is_free: false,
                    };
                    let named = key.iter().map(|name| (name, &index));
                    let named = named.chain(value.iter().map(|name| (name, &item)));
                    for (name, value) in named {
                        self.declare(name, of(value));
                    }
                    self.block(body, of(&item))?;
                    self.variables.truncate(depth);
                }
            }
        }
        Ok(())
    }

    fn pipeline(&self, pipeline: &[Command], dot: Dot<'_>) -> Result<Value, TemplateError> {
        let mut result = None;
        for command in pipeline {
            result = Some((self.command(command, result, dot)?, command));
        }
        Ok(result.map(|(value, _)| value).unwrap_or_default())
    }

    fn command(
        &self,
        command: &Command,
        piped: Option<(Value, &Command)>,
        dot: Dot<'_>,
    ) -> Result<Value, TemplateError> {
        match command.as_slice() {
            [Operand::Function(name), arguments @ ..] => {
                let value_of = |operand| Ok(argument(name, operand, self.operand(operand, dot)?));
                let mut values: Vec<Value> = arguments
                    .iter()
                    .map(value_of)
                    .collect::<Result<_, TemplateError>>()?;
                values.extend(piped.map(|(value, from)| match from.as_slice() {
                    [operand] => argument(name, operand, value),
                    _ => value,
                }));
                call(name, &values)
            }
            [operand] if piped.is_none() => self.operand(operand, dot),
            [method @ Operand::Field(_), arguments @ ..] if piped.is_none() => {
                let arguments = arguments.iter().map(|operand| self.operand(operand, dot));
                let arguments: Vec<Value> = arguments.collect::<Result<_, _>>()?;
                method_call(self.operand(method, dot)?, arguments)
            }
            _ => Err(TemplateError::Unexpected(
                "argument behind what is no function".to_owned(),
            )),
        }
    }

    fn operand(&self, operand: &Operand, dot: Dot<'_>) -> Result<Value, TemplateError> {
        match operand {
            Operand::Field(path) => field(dot.value, dot.is_free, path),
            Operand::Variable(name, path) => {
                let mut known = self.variables.iter().rev();
                match known.find(|known| known.name == *name) {
                    Some(known) => field(&known.value, known.is_free, path),
                    None => Err(TemplateError::UnknownVariable(format!("${name}"))),
                }
            }
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Function(name) => call(name, &[]),
            Operand::Group(pipeline, path) => {
                let value = self.pipeline(pipeline, dot)?;
                field(&value, within(&value, pipeline).is_free, path)
            }
        }
    }
}

/// `.Label "a.b"`: what a map has by that name. In a table's header there is nothing to look into, and
/// Docker shows the end of the name.
fn method_call(map: Value, arguments: Vec<Value>) -> Result<Value, TemplateError> {
    match (&map, arguments.as_slice()) {
        (Value::Null, [Value::String(name)]) => {
            let end = name.rsplit('.').next().unwrap_or_default();
            Ok(end.replace(['-', '_'], " ").into())
        }
        (Value::Object(_), [_]) => {
            let all: Vec<Value> = std::iter::once(map).chain(arguments).collect();
            call("index", &all)
        }
        _ => Err(TemplateError::Unexpected(
            "argument behind what is no function".to_owned(),
        )),
    }
}

/// A value as a function takes it: null by the type of its field, and for `json` as it is.
fn argument(function: &str, operand: &Operand, value: Value) -> Value {
    if !value.is_null() || function == "json" {
        return value;
    }
    field_of(operand).and_then(empty).unwrap_or(value)
}

/// What a pipeline has led to, as what fields are looked for in.
fn within<'a>(value: &'a Value, pipeline: &[Command]) -> Dot<'a> {
    Dot {
        value,
        is_free: last_field(pipeline).is_some_and(is_free),
    }
}

/// What a range goes over; maps in the order of their keys, as Go does.
fn items(value: Value) -> Result<Vec<(Value, Value)>, TemplateError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => Ok(items
            .into_iter()
            .enumerate()
            .map(|(index, item)| (index.into(), item))
            .collect()),
        Value::Object(map) => {
            let mut items: Vec<(String, Value)> = map.into_iter().collect();
            items.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(items
                .into_iter()
                .map(|(key, item)| (key.into(), item))
                .collect())
        }
        _ => Err(TemplateError::NoRange),
    }
}
