//! Programs about bytes and lines.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::options::Options;
use crate::{Complaint, Out, Outcome, complain_of};

/// Opens each operand, or standard input for none and for `-`; complains about those that cannot be.
fn each(
    name: &str,
    operands: &[OsString],
    mut act: impl FnMut(&Path, Box<dyn Read>) -> Result<(), Complaint>,
) -> Outcome {
    let mut code = 0;
    let standard = [OsString::from("-")];
    let operands = if operands.is_empty() {
        &standard
    } else {
        operands
    };
    for operand in operands {
        let path = Path::new(operand);
        if operand == "-" {
            act(path, Box::new(io::stdin()))?;
            continue;
        }
        match File::open(path) {
            Ok(file) => act(path, Box::new(file))?,
            Err(error) => {
                complain_of(name, path, &error);
                code = 1;
            }
        }
    }
    Ok(code)
}

pub(crate) fn cat(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "", "")?;
    each("cat", &options.operands, |_, mut input| {
        io::copy(&mut input, out)?;
        Ok(())
    })
}

pub(crate) fn echo(arguments: &[OsString], out: &mut Out) -> Outcome {
    let silent = arguments.first().is_some_and(|word| word == "-n");
    let words = arguments.get(usize::from(silent)..).unwrap_or_default();
    for (place, word) in words.iter().enumerate() {
        if place > 0 {
            out.write_all(b" ")?;
        }
        out.write_all(word.as_bytes())?;
    }
    if !silent {
        out.write_all(b"\n")?;
    }
    Ok(0)
}

pub(crate) fn head(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "", "nc")?;
    let bytes = options.number::<u64>(b'c')?;
    let lines = options.number::<usize>(b'n')?.unwrap_or(10);
    each("head", &options.operands, |_, input| {
        if let Some(bytes) = bytes {
            io::copy(&mut input.take(bytes), out)?;
            return Ok(());
        }
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        for _ in 0..lines {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            out.write_all(&line)?;
        }
        Ok(())
    })
}

pub(crate) fn tail(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "f", "n")?;
    let count = options.number::<usize>(b'n')?.unwrap_or(10);
    let code = each("tail", &options.operands, |_, input| {
        let mut last = std::collections::VecDeque::new();
        let mut input = BufReader::new(input);
        loop {
            let mut line = Vec::new();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            last.push_back(line);
            if last.len() > count {
                last.pop_front();
            }
        }
        for line in last {
            out.write_all(&line)?;
        }
        Ok(())
    })?;
    match options.operands.as_slice() {
        [file] if options.has(b'f') => follow(Path::new(file), out),
        _ => Ok(code),
    }
}

/// Shows what is appended, until somebody ends it.
fn follow(path: &Path, out: &mut Out) -> Outcome {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(0))?;
    loop {
        io::copy(&mut file, out)?;
        out.flush()?;
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

pub(crate) fn grep(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "ivncqlFEHhr", "e")?;
    let mut operands = options.operands.clone();
    let pattern = match options.value(b'e') {
        Some(pattern) => pattern.clone(),
        None if operands.is_empty() => return Err("name a pattern".into()),
        None => operands.remove(0),
    };
    let pattern = pattern.to_string_lossy();
    let pattern = if options.has(b'F') {
        regex::escape(&pattern)
    } else {
        pattern.into_owned()
    };
    let pattern = regex::bytes::RegexBuilder::new(&pattern)
        .case_insensitive(options.has(b'i'))
        .build()
        .map_err(|error| Complaint::Words(error.to_string()))?;
    if options.has(b'r') {
        operands = crate::tree::files_below(&operands);
    }
    let names =
        (operands.len() > 1 || options.has(b'r') || options.has(b'H')) && !options.has(b'h');
    let mut found = false;
    let code = each("grep", &operands, |path, input| {
        let mut input = BufReader::new(input);
        let (mut line, mut number, mut count) = (Vec::new(), 0_u64, 0_u64);
        loop {
            line.clear();
            match input.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => break,
                other => other?,
            };
            number += 1;
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            if pattern.is_match(text) == options.has(b'v') {
                continue;
            }
            (found, count) = (true, count + 1);
            if options.has(b'q') || options.has(b'l') {
                break;
            }
            if options.has(b'c') {
                continue;
            }
            if names {
                write!(out, "{}:", path.display())?;
            }
            if options.has(b'n') {
                write!(out, "{number}:")?;
            }
            out.write_all(text)?;
            out.write_all(b"\n")?;
        }
        if options.has(b'l') && count > 0 {
            writeln!(out, "{}", path.display())?;
        } else if options.has(b'c') && !options.has(b'q') {
            let name = if names {
                format!("{}:", path.display())
            } else {
                String::new()
            };
            writeln!(out, "{name}{count}")?;
        }
        Ok(())
    })?;
    Ok(match (code, found) {
        (0, true) => 0,
        (0, false) => 1,
        _ => 2,
    })
}

pub(crate) fn sort(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "rnu", "")?;
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let code = each("sort", &options.operands, |_, input| {
        let split = BufReader::new(input).split(b'\n');
        lines.extend(split.collect::<io::Result<Vec<_>>>()?);
        Ok(())
    })?;
    let number = |line: &Vec<u8>| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '-')
            .unwrap_or(text.len());
        text.get(..end)
            .and_then(|text| text.parse::<i64>().ok())
            .unwrap_or(0)
    };
    lines.sort_by(|one, other| {
        let numbers = number(one).cmp(&number(other));
        if options.has(b'n') {
            numbers.then_with(|| one.cmp(other))
        } else {
            one.cmp(other)
        }
    });
    if options.has(b'r') {
        lines.reverse();
    }
    if options.has(b'u') {
        lines.dedup();
    }
    for line in lines {
        out.write_all(&line)?;
        out.write_all(b"\n")?;
    }
    Ok(code)
}

pub(crate) fn wc(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "lwc", "")?;
    let all = !(options.has(b'l') || options.has(b'w') || options.has(b'c'));
    each("wc", &options.operands, |path, mut input| {
        let mut content = Vec::new();
        input.read_to_end(&mut content)?;
        let lines = content.iter().filter(|byte| **byte == b'\n').count();
        let words = content
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let counts = [(b'l', lines), (b'w', words.count()), (b'c', content.len())];
        let shown = counts
            .iter()
            .filter(|(letter, _)| all || options.has(*letter));
        let mut shown: Vec<String> = shown.map(|(_, count)| count.to_string()).collect();
        if path != Path::new("-") {
            shown.push(path.display().to_string());
        }
        writeln!(out, "{}", shown.join(" "))?;
        Ok(())
    })
}

pub(crate) fn tee(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "a", "")?;
    let mut files = Vec::new();
    for path in options.operands.iter().map(PathBuf::from) {
        let mut how = File::options();
        how.create(true).append(options.has(b'a'));
        if !options.has(b'a') {
            how.write(true).truncate(true);
        }
        let file = how.open(&path);
        files.push(file.map_err(|error| crate::sentence(&path, &error))?);
    }
    let mut buffer = [0; 8192];
    loop {
        let count = io::stdin().read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(0);
        };
        for file in &mut files {
            file.write_all(bytes)?;
        }
        out.write_all(bytes)?;
        out.flush()?;
    }
}

pub(crate) fn basename(arguments: &[OsString], out: &mut Out) -> Outcome {
    let path = arguments.first().ok_or("name a path")?;
    let name = Path::new(path).file_name().unwrap_or(path);
    let name = name.to_string_lossy();
    let suffix = arguments.get(1).map(|suffix| suffix.to_string_lossy());
    let name = suffix
        .as_deref()
        .and_then(|suffix| name.strip_suffix(suffix))
        .unwrap_or(&name);
    writeln!(out, "{name}")?;
    Ok(0)
}

pub(crate) fn dirname(arguments: &[OsString], out: &mut Out) -> Outcome {
    let path = Path::new(arguments.first().ok_or("name a path")?);
    let parent = match path.parent() {
        Some(parent) if parent == Path::new("") => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    writeln!(out, "{}", parent.display())?;
    Ok(0)
}
