//! From a text to commands.

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it stands; patterns mean something in what is not quoted.
    Text { bytes: Vec<u8>, quoted: bool },
    /// `$NAME`
    Variable { name: String, quoted: bool },
}

/// A word before its expansion. One of no pieces does not exist; an empty quotation is a piece.
pub(super) type Word = Vec<Piece>;

/// Where a stream of a command leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    Input(Word),
    /// 1 or 2, the file, and whether it is appended to.
    Output(u8, Word, bool),
    /// `2>&1`
    ErrorToOutput,
    /// `>&2`
    OutputToError,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) assignments: Vec<(String, Word)>,
    pub(super) words: Vec<Word>,
    pub(super) redirects: Vec<Redirect>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
    /// Nobody waits for it.
    pub(super) background: bool,
    /// When it runs, by the code of what ran before.
    pub(super) when: When,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum When {
    #[default]
    Always,
    Success,
    Failure,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Lists(Vec<Pipeline>),
    /// A quotation is open, or something has to follow.
    Incomplete,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(Word),
    Operator(&'static str),
}

const OPERATORS: [&str; 15] = [
    "2>&1", ">&2", "1>&2", "2>>", "&&", "||", ">>", "2>", "|", "&", ";", "\n", ">", "<", "!",
];

/// Words that begin what this shell does not have.
const MISSING: [&str; 9] = [
    "if", "for", "while", "until", "case", "function", "{", "(", "select",
];

pub(super) fn parse(text: &[u8]) -> Result<Parsed, String> {
    let Some(tokens) = tokens(text)? else {
        return Ok(Parsed::Incomplete);
    };
    let mut list = Vec::new();
    let mut pipeline = Pipeline::default();
    let mut command = Command::default();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) => take_word(word, &mut command)?,
            Token::Operator(operator @ ("<" | ">" | ">>" | "2>" | "2>>")) => {
                let Some(Token::Word(word)) = tokens.next() else {
                    return Err(format!("{operator} needs a file"));
                };
                command.redirects.push(match operator {
                    "<" => Redirect::Input(word),
                    ">" | ">>" => Redirect::Output(1, word, operator == ">>"),
                    _ => Redirect::Output(2, word, operator == "2>>"),
                });
            }
            Token::Operator("2>&1") => command.redirects.push(Redirect::ErrorToOutput),
            Token::Operator(">&2" | "1>&2") => command.redirects.push(Redirect::OutputToError),
            Token::Operator("!") => pipeline.negated = !pipeline.negated,
            Token::Operator(operator) => {
                let is_empty = command == Command::default();
                if is_empty && operator == "\n" && pipeline.commands.is_empty() {
                    continue;
                }
                if is_empty && operator == "\n" {
                    // The command may stand on the next line.
                    continue;
                }
                if is_empty {
                    return Err(format!("there is nothing before {operator}"));
                }
                pipeline.commands.push(std::mem::take(&mut command));
                if operator == "|" {
                    continue;
                }
                pipeline.background = operator == "&";
                list.push(std::mem::take(&mut pipeline));
                pipeline.when = match operator {
                    "&&" => When::Success,
                    "||" => When::Failure,
                    _ => When::Always,
                };
            }
        }
    }
    if command != Command::default() {
        pipeline.commands.push(command);
        list.push(pipeline);
    } else if !pipeline.commands.is_empty() || pipeline.when != When::Always {
        return Ok(Parsed::Incomplete);
    }
    Ok(Parsed::Lists(list))
}

fn take_word(word: Word, command: &mut Command) -> Result<(), String> {
    if command.words.is_empty() {
        if let Some((name, value)) = assignment(&word) {
            command.assignments.push((name, value));
            return Ok(());
        }
        if let [
            Piece::Text {
                bytes,
                quoted: false,
            },
        ] = word.as_slice()
            && let Some(missing) = MISSING.iter().find(|name| name.as_bytes() == bytes)
        {
            return Err(format!("this small shell has no `{missing}`"));
        }
    }
    command.words.push(word);
    Ok(())
}

fn assignment(word: &Word) -> Option<(String, Word)> {
    let [
        Piece::Text {
            bytes,
            quoted: false,
        },
        rest @ ..,
    ] = word.as_slice()
    else {
        return None;
    };
    let place = bytes.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (bytes.get(..place)?, bytes.get(place + 1..)?);
    if name.is_empty() || !name.iter().all(|byte| is_name(*byte)) || name.first()?.is_ascii_digit()
    {
        return None;
    }
    let first = Piece::Text {
        bytes: value.to_vec(),
        quoted: false,
    };
    let value = std::iter::once(first).chain(rest.iter().cloned()).collect();
    Some((String::from_utf8_lossy(name).into_owned(), value))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Nothing for a quotation that is open.
fn tokens(text: &[u8]) -> Result<Option<Vec<Token>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Ok(Some(tokens)),
            [b' ' | b'\t' | b'\r', others @ ..] => others,
            [b'\\', b'\n', others @ ..] => others,
            [b'#', ..] => {
                let end = rest.iter().position(|byte| *byte == b'\n');
                rest.get(end.unwrap_or(rest.len())..).unwrap_or_default()
            }
            _ => match operator(rest) {
                Some(operator) => {
                    tokens.push(Token::Operator(operator));
                    rest.get(operator.len()..).unwrap_or_default()
                }
                None => {
                    let Some((word, others)) = word(rest)? else {
                        return Ok(None);
                    };
                    tokens.push(Token::Word(word));
                    others
                }
            },
        };
    }
}

fn operator(rest: &[u8]) -> Option<&'static str> {
    let found = OPERATORS
        .iter()
        .find(|operator| rest.starts_with(operator.as_bytes()))?;
    // A word may begin like it.
    let alone = *found != "!" || matches!(rest.get(1), None | Some(b' ' | b'\t'));
    alone.then_some(found)
}

/// Reads one word, and returns what follows it.
fn word(text: &[u8]) -> Result<Option<(Word, &[u8])>, String> {
    let mut word = Word::new();
    let mut rest = text;
    loop {
        rest = match rest {
            []
            | [
                b' ' | b'\t' | b'\r' | b'\n' | b'|' | b'&' | b';' | b'<' | b'>',
                ..,
            ] => {
                return Ok(Some((word, rest)));
            }
            [b'\\', b'\n', others @ ..] => others,
            [b'\\', byte, others @ ..] => {
                add(&mut word, *byte, true);
                others
            }
            [b'\\'] => return Ok(None),
            [b'\'', others @ ..] => {
                let Some(end) = others.iter().position(|byte| *byte == b'\'') else {
                    return Ok(None);
                };
                let (inside, after) = others.split_at(end);
                word.push(Piece::Text {
                    bytes: inside.to_vec(),
                    quoted: true,
                });
                after.get(1..).unwrap_or_default()
            }
            [b'"', others @ ..] => match double_quoted(others, &mut word)? {
                Some(after) => after,
                None => return Ok(None),
            },
            [b'$', others @ ..] => variable(others, false, &mut word)?,
            [b'`', ..] => return Err("this small shell has no `command` in a word".to_owned()),
            [b'(' | b')', ..] => return Err("this small shell has no parentheses".to_owned()),
            [byte, others @ ..] => {
                add(&mut word, *byte, false);
                others
            }
        };
    }
}

fn double_quoted<'a>(text: &'a [u8], word: &mut Word) -> Result<Option<&'a [u8]>, String> {
    word.push(Piece::Text {
        bytes: Vec::new(),
        quoted: true,
    });
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Ok(None),
            [b'"', others @ ..] => return Ok(Some(others)),
            [b'\\', byte @ (b'"' | b'\\' | b'$' | b'`'), others @ ..] => {
                add(word, *byte, true);
                others
            }
            [b'$', others @ ..] => variable(others, true, word)?,
            [byte, others @ ..] => {
                add(word, *byte, true);
                others
            }
        };
    }
}

/// Reads what stands behind a dollar.
fn variable<'a>(text: &'a [u8], quoted: bool, word: &mut Word) -> Result<&'a [u8], String> {
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (name, rest) = match text {
        [b'(', ..] => return Err("this small shell has no $( )".to_owned()),
        [b'{', others @ ..] => {
            let end = others.iter().take_while(|byte| is_name(**byte)).count();
            match others.split_at(end) {
                (inside, [b'}', after @ ..]) if end > 0 => (name(inside), after),
                _ => return Err("this small shell has only ${NAME}".to_owned()),
            }
        }
        [
            byte @ (b'?' | b'$' | b'@' | b'*' | b'#' | b'0'..=b'9'),
            others @ ..,
        ] => (name(&[*byte]), others),
        _ => {
            let end = text.iter().take_while(|byte| is_name(**byte)).count();
            if end == 0 {
                add(word, b'$', quoted);
                return Ok(text);
            }
            let (inside, after) = text.split_at(end);
            (name(inside), after)
        }
    };
    word.push(Piece::Variable { name, quoted });
    Ok(rest)
}

fn add(word: &mut Word, byte: u8, is_quoted: bool) {
    match word.last_mut() {
        Some(Piece::Text { bytes, quoted }) if *quoted == is_quoted => bytes.push(byte),
        _ => word.push(Piece::Text {
            bytes: vec![byte],
            quoted: is_quoted,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<Pipeline> {
        match parse(text.as_bytes()).unwrap() {
            Parsed::Lists(list) => list,
            Parsed::Incomplete => panic!("{text:?} is not complete"),
        }
    }

    #[test]
    fn lists_are_pipelines_of_commands() {
        let list = list("A=1 a b | c > f 2>&1 && ! d || e & f; g # h\n");
        let shape: Vec<_> = list
            .iter()
            .map(|p| (p.commands.len(), p.when, p.background, p.negated))
            .collect();
        assert_eq!(
            shape,
            [
                (2, When::Always, false, false),
                (1, When::Success, false, true),
                (1, When::Failure, true, false),
                (1, When::Always, false, false),
                (1, When::Always, false, false),
            ]
        );
        assert_eq!(list[0].commands[0].assignments.len(), 1);
        assert_eq!(list[0].commands[1].redirects.len(), 2);
    }

    #[test]
    fn what_is_open_goes_on() {
        for text in ["echo 'a", "echo \"a", "a |", "a | \n", "a &&", "a \\"] {
            assert_eq!(
                parse(text.as_bytes()).unwrap(),
                Parsed::Incomplete,
                "{text:?}"
            );
        }
        assert_eq!(list("a |\n b\n")[0].commands.len(), 2);
        assert!(list("\n\n# nothing\n").is_empty());
    }

    #[test]
    fn what_is_missing_is_said() {
        for text in [
            "if true; then",
            "for a in b",
            "echo $(ls)",
            "echo `ls`",
            "(ls)",
            "${A:-b}",
            "| a",
            "a >",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?} was accepted");
        }
        assert!(parse(b"echo if").is_ok());
    }
}
