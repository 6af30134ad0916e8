//! The checks of a container that runs, one after the other.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use carrier_spec::ContainerId;

use super::check::HealthCheck;
use super::probe::Running;
use super::state::{Health, Probe};
use crate::moment::Moment;

/// Makes checks when they are due. Its time goes on when the host's clock is changed.
#[derive(Debug)]
pub(crate) struct HealthMonitor {
    id: ContainerId,
    check: HealthCheck,
    health: Health,
    started: Instant,
    next: Option<Instant>,
    running: Option<Running>,
}

impl HealthMonitor {
    /// For a container that has just started; nothing where there is nothing to check.
    pub(crate) fn new(id: &ContainerId, check: &HealthCheck) -> Option<Self> {
        if !check.is_active() {
            return None;
        }
        let mut monitor = Self {
            id: id.clone(),
            check: check.clone(),
            health: Health::default(),
            started: Instant::now(),
            next: None,
            running: None,
        };
        monitor.resume();
        Some(monitor)
    }

    /// What is known.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// What happens to a container that is unhealthy.
    pub(crate) fn check(&self) -> &HealthCheck {
        &self.check
    }

    /// A container that is held in its tracks cannot answer.
    pub(crate) fn pause(&mut self) {
        self.running = None;
        self.next = None;
    }

    /// It can again: after one interval, as in Docker.
    pub(crate) fn resume(&mut self) {
        let now = Instant::now();
        let is_starting = self.health.status == super::HealthStatus::Starting;
        let age = now.duration_since(self.started);
        self.next = Some(now + self.check.interval(age, is_starting));
    }

    /// What may be ready before [`timeout`](Self::timeout) has passed.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.running.iter().flat_map(Running::fds)
    }

    /// When there is something to do, if nothing gets ready before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().map(Running::deadline).or(self.next)
    }

    /// Does what there is to do; true when an answer has come.
    pub(crate) fn turn(&mut self) -> bool {
        if let Some(mut running) = self.running.take() {
            if !running.turn() && Instant::now() < running.deadline() {
                self.running = Some(running);
                return false;
            }
            let age = running.began.duration_since(self.started);
            let probe = running.finish(&self.check);
            self.health.take(probe, age, &self.check);
            self.resume();
            return true;
        }
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        match Running::start(&self.id, &self.check, now) {
            Ok(running) => {
                self.running = Some(running);
                false
            }
            Err(error) => {
                self.fail(&error, now);
                true
            }
        }
    }

    /// A check that cannot be made is one that failed.
    fn fail(&mut self, error: &io::Error, now: Instant) {
        let at = Moment::now();
        let probe = Probe {
            start: at,
            end: at,
            exit_code: -1,
            output: error.to_string(),
        };
        self.health
            .take(probe, now.duration_since(self.started), &self.check);
        self.resume();
    }
}
