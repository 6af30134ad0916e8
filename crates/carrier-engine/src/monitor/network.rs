//! A container's place on networks while it runs.

use std::time::{Duration, Instant};

use carrier_sys::process::SingleThreaded;

use super::{Monitor, Program};
use crate::error::Error;
use crate::net::{ConnectionPlan, Endpoint};
use crate::record::ContainerRecord;

/// A container that could not come back to its networks tries again so often.
const REJOIN: Duration = Duration::from_secs(5);

impl Monitor<'_> {
    /// The keeper of the networks is gone, and with it the container's devices: it gets them again, with
    /// the addresses that it had. That this fails is told, and no reason to end the program.
    pub(super) fn rejoin(&mut self, program: &mut Program) {
        program.member = None;
        let pid = program.started.pid();
        let before = &self.life.network.endpoints;
        let joined = self.engine.rejoin_networks(&self.record, before, pid);
        program.rejoins = joined
            .is_err()
            .then(|| Instant::now().checked_add(REJOIN))
            .flatten();
        let connected = joined.and_then(|(member, endpoints)| {
            program.member = Some(member);
            let record = self.record.clone();
            self.connect(program, &record, endpoints)
        });
        self.tell_network(program, connected);
    }

    /// The container may be on other networks than before, and have another name; `before` is the record
    /// of that time.
    pub(super) fn reload_network(&mut self, program: &mut Program, before: &ContainerRecord) {
        let Some(member) = &program.member else {
            return;
        };
        let renamed = match before.name == self.record.name {
            true => Ok(()),
            false => member.rename(&self.record.id, self.record.name.as_str()),
        };
        let endpoints = renamed.and_then(|()| member.endpoints_of(&self.record.id));
        let connected = endpoints.and_then(|endpoints| {
            if endpoints == self.life.network.endpoints {
                return Ok(());
            }
            self.connect(program, before, endpoints)
        });
        self.tell_network(program, connected);
        // A full disk is told by whatever is written next.
        let _ = self.write();
    }

    fn connect(
        &mut self,
        program: &mut Program,
        before: &ContainerRecord,
        endpoints: Vec<Endpoint>,
    ) -> Result<(), Error> {
        let mut updated = Ok(());
        if endpoints != self.life.network.endpoints {
            // Of networks that are gone nothing can be known any more.
            let was = self
                .engine
                .network_plan(before, &self.life.network.endpoints);
            let plan = self.engine.network_plan(&self.record, &endpoints)?;
            updated = self.update_files(program, (&was.unwrap_or_default(), &plan));
        }
        let published = self.publish_late();
        let failed = carrier_runtime::Error::Prepare;
        let proof = SingleThreaded::check().map_err(failed)?;
        let pid = program.started.pid();
        let connection = &mut program.connection;
        connection.attach(endpoints, &self.publication, pid, &proof)?;
        connection.wait_ready()?;
        updated.and(published)
    }

    fn update_files(
        &self,
        program: &mut Program,
        plans: (&ConnectionPlan, &ConnectionPlan),
    ) -> Result<(), Error> {
        let follows = program.connection.lead_to(&plans.1.resolvers);
        self.engine.update_etc_files(&self.record, plans, !follows)
    }

    /// Ports of a container that nobody outside reached before are published as soon as somebody may.
    fn publish_late(&mut self) -> Result<(), Error> {
        if self.publication.listeners.is_empty() {
            self.publication = self.engine.publish(&self.record)?;
        }
        Ok(())
    }

    fn tell_network(&mut self, program: &Program, connected: Result<(), Error>) {
        self.life.network = program.connection.state(&self.publication);
        if let Err(error) = connected {
            self.life.network.failed = Some(error.line());
        }
    }
}
