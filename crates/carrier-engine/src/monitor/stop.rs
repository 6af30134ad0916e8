//! Ending a program: a signal first, a kill when that has not helped in time.

use std::time::{Duration, Instant};

/// How far the end of the program has been asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stop {
    asked: bool,
    deadline: Option<Instant>,
}

impl Stop {
    /// The user wants the container down, and its program killed after `patience`, if there is an
    /// end to it. Who is less patient wins.
    pub(super) fn ask(&mut self, patience: Option<Duration>) {
        self.asked = true;
        self.within(patience);
    }

    /// The program shall end, and may be started again.
    pub(super) fn within(&mut self, patience: Option<Duration>) {
        self.at(patience.and_then(|patience| Instant::now().checked_add(patience)));
    }

    /// The user wants the container to stay down when its program has ended.
    pub(super) fn stay_down(&mut self) {
        self.asked = true;
    }

    /// The program may run until then.
    pub(super) fn at(&mut self, deadline: Option<Instant>) {
        self.deadline = match (self.deadline, deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    pub(super) fn was_asked_for(self) -> bool {
        self.asked
    }

    /// Whether the time to kill has come; says so once.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now());
        if due {
            self.deadline = None;
        }
        due
    }

    pub(super) fn deadline(self) -> Option<Instant> {
        self.deadline
    }

    /// The program has ended.
    pub(super) fn forget_deadline(&mut self) {
        self.deadline = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_patient_wins_and_the_kill_comes_once() {
        let mut stop = Stop::default();
        stop.ask(Some(Duration::from_secs(60)));
        assert!(stop.was_asked_for() && !stop.is_due());
        stop.ask(Some(Duration::ZERO));
        assert!(stop.is_due() && !stop.is_due());
        stop.ask(None);
        assert!(!stop.is_due());
    }
}
