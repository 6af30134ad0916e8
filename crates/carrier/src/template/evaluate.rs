//! From a tree and data to text.

use serde_json::Value;

use super::functions::{call, is_true, text, zero};
use super::{Command, Node, Operand, TemplateError};

pub(super) fn render(nodes: &[Node], data: &Value) -> Result<String, TemplateError> {
    let mut scope = Scope {
        variables: vec![(String::new(), data.clone())],
        out: String::new(),
    };
    scope.nodes(nodes, data)?;
    Ok(scope.out)
}

struct Scope {
    /// The innermost last; `$` is the first.
    variables: Vec<(String, Value)>,
    out: String,
}

impl Scope {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        for node in nodes {
            self.node(node, dot)?;
        }
        Ok(())
    }

    /// Variables that are declared in a block end with it.
    fn block(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let depth = self.variables.len();
        let done = self.nodes(nodes, dot);
        self.variables.truncate(depth);
        done
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), TemplateError> {
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
            Node::Assign(name, pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.variables.push((name.clone(), value));
            }
            Node::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if is_true(&self.pipeline(condition, dot)?) {
                        return self.block(body, dot);
                    }
                }
                self.block(otherwise, dot)?;
            }
            Node::With(pipeline, body, otherwise) => {
                let value = self.pipeline(pipeline, dot)?;
                if is_true(&value) {
                    self.block(body, &value)?;
                } else {
                    self.block(otherwise, dot)?;
                }
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
                    let named = key.iter().map(|name| (name, &index));
                    let named = named.chain(value.iter().map(|name| (name, &item)));
                    self.variables
                        .extend(named.map(|(name, value)| (name.clone(), value.clone())));
                    self.block(body, &item)?;
                    self.variables.truncate(depth);
                }
            }
        }
        Ok(())
    }

    fn pipeline(&self, pipeline: &[Command], dot: &Value) -> Result<Value, TemplateError> {
        let mut result = None;
        for command in pipeline {
            result = Some(self.command(command, result, dot)?);
        }
        Ok(result.unwrap_or_default())
    }

    fn command(
        &self,
        command: &Command,
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        match command.as_slice() {
            [Operand::Function(name), arguments @ ..] => {
                let values = arguments.iter().map(|operand| self.operand(operand, dot));
                let mut values: Vec<Value> = values.collect::<Result<_, _>>()?;
                values.extend(piped);
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

    fn operand(&self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        match operand {
            Operand::Field(path) => field(dot, path),
            Operand::Variable(name, path) => {
                let mut known = self.variables.iter().rev();
                match known.find(|(known, _)| known == name) {
                    Some((_, value)) => field(value, path),
                    None => Err(TemplateError::UnknownVariable(format!("${name}"))),
                }
            }
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Function(name) => call(name, &[]),
            Operand::Group(pipeline, path) => field(&self.pipeline(pipeline, dot)?, path),
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

/// The field that a pipeline is, if it is one and nothing else.
fn last_field(pipeline: &[Command]) -> Option<&str> {
    let [command] = pipeline else { return None };
    match command.as_slice() {
        [Operand::Field(path) | Operand::Variable(_, path) | Operand::Group(_, path)] => {
            path.last().map(String::as_str)
        }
        _ => None,
    }
}

fn field(value: &Value, path: &[String]) -> Result<Value, TemplateError> {
    let mut value = value;
    for name in path {
        let found = value.as_object().and_then(|object| object.get(name));
        value = found.ok_or_else(|| TemplateError::NoField(path.join(".")))?;
    }
    Ok(value.clone())
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
