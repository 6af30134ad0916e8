//! `carrier top`

mod columns;

use carrier_engine::{ContainerProcess, Engine};

use super::super::print;
use crate::cli::observe::TopArgs;
use crate::report::{Failure, printable};
use columns::{Column, View};

/// Docker's columns are at least so wide, with the space between them.
const CELL_WIDTH: usize = 20;
const GAP: usize = 3;

pub(crate) fn top(args: &TopArgs) -> Result<u8, Failure> {
    let columns = columns::chosen(&args.options)?;
    let view = View::of(Engine::open()?.processes(&args.container)?);
    let header: Vec<String> = columns
        .iter()
        .map(|column| column.header.to_owned())
        .collect();
    let row = |process: &ContainerProcess| -> Vec<String> {
        let cell = |column: &&Column| printable(&(column.show)(&view, process));
        columns.iter().map(cell).collect()
    };
    let mut lines = vec![header];
    lines.extend(view.processes.list.iter().map(row));
    print(&lay_out(&lines))?;
    Ok(0)
}

fn lay_out(lines: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        widths.resize(widths.len().max(line.len()), CELL_WIDTH);
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count() + GAP);
        }
    }
    let mut text = String::new();
    for line in lines {
        let last = line.len().saturating_sub(1);
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            text.push_str(cell);
            if at < last {
                let padding = width - cell.chars().count();
                text.extend(std::iter::repeat_n(' ', padding));
            }
        }
        text.push('\n');
    }
    text
}
