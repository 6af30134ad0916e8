//! Whether the program is well, and what is done when it is not.

use rustix::process::Signal;

use super::{Monitor, Program};
use crate::events::Event;
use crate::health::{HealthAction, HealthMonitor, HealthStatus};
use crate::signals::signal_number;

impl Monitor<'_> {
    /// The program has just started.
    pub(super) fn begin_checks(&mut self) {
        let check = self.record.health.as_ref();
        self.health = check.and_then(|check| HealthMonitor::new(&self.record.id, check));
        self.life.health = self.health.as_ref().map(|health| health.health().clone());
    }

    /// The program has ended, and with it a check that may still be made.
    pub(super) fn end_checks(&mut self) {
        self.health = None;
        if let Some(health) = &mut self.life.health {
            // As in Docker: what does not run is not well.
            health.status = HealthStatus::Unhealthy;
        }
    }

    /// Makes a check when it is due, and takes its answer in.
    pub(super) fn check_health(&mut self, program: &Program) {
        let Some(monitor) = &mut self.health else {
            return;
        };
        if !monitor.turn() {
            return;
        }
        let before = self.life.health.as_ref().map(|health| health.status);
        let (now, action) = (monitor.health().clone(), monitor.check().on_failure);
        let status = now.status;
        self.life.health = Some(now);
        // A full disk is no reason to stop asking.
        let _ = self.write();
        if before == Some(status) {
            return;
        }
        self.tell_health(status);
        if status == HealthStatus::Unhealthy {
            self.act_on_failure(program, action);
        }
    }

    fn act_on_failure(&mut self, program: &Program, action: HealthAction) {
        match action {
            HealthAction::None => {}
            HealthAction::Kill => self.signal(program, Signal::KILL.as_raw()),
            HealthAction::Stop => {
                self.stop.ask(self.record.patience(None));
                self.ask_to_end(program);
            }
            HealthAction::Restart => {
                self.unwell = true;
                self.stop.within(self.record.patience(None));
                self.ask_to_end(program);
            }
        }
    }

    fn ask_to_end(&mut self, program: &Program) {
        let signal = signal_number(&self.record.stop_signal);
        self.signal(program, signal.unwrap_or(Signal::TERM.as_raw()));
    }

    fn tell_health(&self, status: HealthStatus) {
        let action = format!("health_status: {}", status.as_str());
        self.engine.emit(&Event::container(&action, &self.record));
    }
}
