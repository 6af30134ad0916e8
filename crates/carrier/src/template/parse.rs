//! From words to a tree.

use super::functions::is_function;
use super::words::{Part, Word, parts};
use super::{Node, Operand, Pipeline, TemplateError};

/// Deeper nesting is nobody's, and would overflow the stack.
const MAX_DEPTH: usize = 64;

pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parts = parts(text)?.into_iter();
    match block(&mut parts, 0)? {
        (nodes, None) => Ok(nodes),
        (_, Some(end)) => Err(TemplateError::Unexpected(end.name().to_owned())),
    }
}

/// What ended a block.
enum End {
    End,
    /// `else`, and the condition of an `else if`.
    Else(Option<Vec<Word>>),
}

impl End {
    fn name(&self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Else(_) => "else",
        }
    }
}

type Block = (Vec<Node>, Option<End>);

fn block(parts: &mut impl Iterator<Item = Part>, depth: usize) -> Result<Block, TemplateError> {
    if depth > MAX_DEPTH {
        return Err(TemplateError::TooDeep);
    }
    let mut nodes = Vec::new();
    while let Some(part) = parts.next() {
        let words = match part {
            Part::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Part::Action(words) => words,
        };
        let keyword = match words.first() {
            Some(Word::Name(name)) => name.as_str(),
            _ => "",
        };
        let behind = words.get(1..).unwrap_or_default();
        match (keyword, behind) {
            ("end", []) => return Ok((nodes, Some(End::End))),
            ("else", []) => return Ok((nodes, Some(End::Else(None)))),
            ("else", [Word::Name(name), condition @ ..]) if name == "if" => {
                return Ok((nodes, Some(End::Else(Some(condition.to_vec())))));
            }
            ("if", condition) => nodes.push(if_node(condition, parts, depth)?),
            ("with", words) => {
                let (name, words) = match words {
                    [Word::Variable(name), Word::Sign(":="), words @ ..] => (Some(name), words),
                    words => (None, words),
                };
                let (body, otherwise) = body_and_else(parts, "with", depth)?;
                nodes.push(Node::With {
                    name: name.cloned(),
                    pipeline: pipeline(words)?,
                    body,
                    otherwise,
                });
            }
            ("range", words) => nodes.push(range_node(words, parts, depth)?),
            _ => nodes.push(simple_node(&words)?),
        }
    }
    Ok((nodes, None))
}

fn simple_node(words: &[Word]) -> Result<Node, TemplateError> {
    match words {
        [Word::Variable(name), Word::Sign(":="), value @ ..] => {
            Ok(Node::Declare(name.clone(), pipeline(value)?))
        }
        [Word::Variable(name), Word::Sign("="), value @ ..] => {
            Ok(Node::Assign(name.clone(), pipeline(value)?))
        }
        words => Ok(Node::Output(pipeline(words)?)),
    }
}

fn if_node(
    condition: &[Word],
    parts: &mut impl Iterator<Item = Part>,
    depth: usize,
) -> Result<Node, TemplateError> {
    let mut condition = pipeline(condition)?;
    let mut branches = Vec::new();
    loop {
        let (body, end) = block(parts, depth + 1)?;
        branches.push((condition, body));
        match end.ok_or(TemplateError::Unfinished("if"))? {
            End::End => return Ok(Node::If(branches, Vec::new())),
            End::Else(Some(words)) => condition = pipeline(&words)?,
            End::Else(None) => {
                let otherwise = last_block(parts, "if", depth)?;
                return Ok(Node::If(branches, otherwise));
            }
        }
    }
}

fn range_node(
    words: &[Word],
    parts: &mut impl Iterator<Item = Part>,
    depth: usize,
) -> Result<Node, TemplateError> {
    let (key, value, over) = match words {
        [Word::Variable(value), Word::Sign(":="), over @ ..] => (None, Some(value.clone()), over),
        [
            Word::Variable(key),
            Word::Sign(","),
            Word::Variable(value),
            Word::Sign(":="),
            over @ ..,
        ] => (Some(key.clone()), Some(value.clone()), over),
        over => (None, None, over),
    };
    let (body, otherwise) = body_and_else(parts, "range", depth)?;
    Ok(Node::Range {
        key,
        value,
        over: pipeline(over)?,
        body,
        otherwise,
    })
}

fn body_and_else(
    parts: &mut impl Iterator<Item = Part>,
    what: &'static str,
    depth: usize,
) -> Result<(Vec<Node>, Vec<Node>), TemplateError> {
    let (body, end) = block(parts, depth + 1)?;
    match end.ok_or(TemplateError::Unfinished(what))? {
        End::End => Ok((body, Vec::new())),
        End::Else(None) => Ok((body, last_block(parts, what, depth)?)),
        End::Else(Some(_)) => Err(TemplateError::Unexpected("else if".to_owned())),
    }
}

/// What stands between `else` and `end`.
fn last_block(
    parts: &mut impl Iterator<Item = Part>,
    what: &'static str,
    depth: usize,
) -> Result<Vec<Node>, TemplateError> {
    let (nodes, end) = block(parts, depth + 1)?;
    match end.ok_or(TemplateError::Unfinished(what))? {
        End::End => Ok(nodes),
        End::Else(_) => Err(TemplateError::Unexpected("else".to_owned())),
    }
}

fn pipeline(words: &[Word]) -> Result<Pipeline, TemplateError> {
    let mut words = words.iter().cloned();
    let pipeline = commands(&mut words, false, 0)?;
    Ok(pipeline)
}

/// Reads commands up to the end, or up to the parenthesis that closes a group.
fn commands(
    words: &mut impl Iterator<Item = Word>,
    in_group: bool,
    depth: usize,
) -> Result<Pipeline, TemplateError> {
    if depth > MAX_DEPTH {
        return Err(TemplateError::TooDeep);
    }
    let mut pipeline = vec![Vec::new()];
    loop {
        let Some(word) = words.next() else {
            if in_group {
                return Err(TemplateError::Unfinished("("));
            }
            break;
        };
        let Some(command) = pipeline.last_mut() else {
            break;
        };
        match word {
            Word::Sign("|") => pipeline.push(Vec::new()),
            Word::Sign("(") => {
                command.push(Operand::Group(
                    commands(words, true, depth + 1)?,
                    Vec::new(),
                ));
            }
            Word::Sign(")") if in_group => break,
            Word::Sign(sign) => return Err(TemplateError::Unexpected(sign.to_owned())),
            Word::Field(path, attached) => field(command, path, attached)?,
            Word::Variable(name) => command.push(Operand::Variable(name, Vec::new())),
            Word::Literal(value) => command.push(Operand::Literal(value)),
            Word::Name(name) if is_function(&name) => command.push(Operand::Function(name)),
            Word::Name(name) => return Err(TemplateError::UnknownFunction(name)),
        }
    }
    if pipeline.iter().any(Vec::is_empty) {
        return Err(TemplateError::Unfinished("{{"));
    }
    Ok(pipeline)
}

/// A field belongs to the variable or group that it follows without a space.
fn field(
    command: &mut Vec<Operand>,
    path: Vec<String>,
    attached: bool,
) -> Result<(), TemplateError> {
    match command.last_mut() {
        Some(Operand::Variable(_, own) | Operand::Group(_, own)) if attached && own.is_empty() => {
            *own = path;
        }
        Some(_) if attached => {
            return Err(TemplateError::Unexpected(format!(".{}", path.join("."))));
        }
        _ => command.push(Operand::Field(path)),
    }
    Ok(())
}
