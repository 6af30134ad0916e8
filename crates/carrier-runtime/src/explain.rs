//! From the number of a step to an error with names in it.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::plan::{InitPlan, PlannedStep, Step};

/// What each step of a plan would fail with: it outlives the plan, also in the file of a container
/// that somebody else starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Explanations {
    /// The number of the first step.
    first: usize,
    steps: Vec<Explanation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Explanation {
    /// The step executes a program.
    Program(String),
    /// The step enters the program's working directory.
    Directory(String),
    Step {
        action: String,
        origin: String,
    },
}

impl Explanations {
    pub(crate) fn of(plan: &InitPlan) -> Self {
        Self {
            first: 0,
            steps: plan.steps.iter().map(Explanation::of).collect(),
        }
    }

    /// Those of the steps that can fail at the start of the program. The first of them is the label,
    /// which is prepared before power is given up.
    pub(crate) fn of_the_start(&self) -> Self {
        const LAST_STEPS: usize = 12;
        let skipped = self.steps.len().saturating_sub(LAST_STEPS);
        Self {
            first: self.first + skipped,
            steps: self.steps.iter().skip(skipped).cloned().collect(),
        }
    }

    pub(crate) fn error(&self, step: usize, source: Errno) -> Error {
        let place = step.checked_sub(self.first);
        match place.and_then(|place| self.steps.get(place)) {
            None => Error::ChildDied,
            Some(Explanation::Program(program)) => {
                let program = program.clone();
                match source {
                    Errno::NOENT | Errno::NOTDIR => Error::ProgramNotFound { program },
                    _ => Error::ProgramNotExecutable { program, source },
                }
            }
            Some(Explanation::Directory(path)) => Error::WorkingDirectory {
                path: path.clone(),
                source,
            },
            Some(Explanation::Step { action, origin }) => Error::Step {
                action: action.clone(),
                origin: origin.clone(),
                source,
            },
        }
    }
}

impl Explanation {
    fn of(planned: &PlannedStep) -> Self {
        match &planned.step {
            Step::Execute(execution) => Self::Program(execution.name.clone()),
            Step::FindProgram { name, .. } => Self::Program(name.clone()),
            Step::ChangeDirectory(path) => Self::Directory(format!("/{}", path.to_string_lossy())),
            step => Self::Step {
                action: step.to_string(),
                origin: planned.origin.to_string(),
            },
        }
    }
}
