//! A container's place on networks while it runs.

use carrier_sys::process::SingleThreaded;

use super::{Monitor, Program};
use crate::error::Error;
use crate::net::Endpoint;

impl Monitor<'_> {
    /// The keeper of the networks is gone, and with it the container's devices: it gets them again, with
    /// the addresses that it had. That this fails is told, and no reason to end the program.
    pub(super) fn rejoin(&mut self, program: &mut Program) {
        program.member = None;
        let pid = program.started.pid();
        let before = &self.life.network.endpoints;
        let joined = self.engine.rejoin_networks(&self.record, before, pid);
        let connected = joined.and_then(|(member, endpoints)| {
            program.member = Some(member);
            self.connect(program, endpoints)
        });
        self.tell_network(program, connected);
    }

    /// The container may be on other networks than before.
    pub(super) fn reload_network(&mut self, program: &mut Program) {
        let Some(member) = &program.member else {
            return;
        };
        let endpoints = member.endpoints_of(&self.record.id);
        let connected = endpoints.and_then(|endpoints| {
            if endpoints == self.life.network.endpoints {
                return Ok(());
            }
            self.connect(program, endpoints)
        });
        self.tell_network(program, connected);
        // A full disk is told by whatever is written next.
        let _ = self.write();
    }

    fn connect(&self, program: &mut Program, endpoints: Vec<Endpoint>) -> Result<(), Error> {
        self.engine.write_network_files(&self.record, &endpoints)?;
        let failed = carrier_runtime::Error::Prepare;
        let proof = SingleThreaded::check().map_err(failed)?;
        let pid = program.started.pid();
        let connection = &mut program.connection;
        connection.attach(endpoints, &self.publication, pid, &proof)?;
        Ok(connection.wait_ready()?)
    }

    fn tell_network(&mut self, program: &Program, connected: Result<(), Error>) {
        self.life.network = program.connection.state(&self.publication);
        if let Err(error) = connected {
            self.life.network.failed = Some(error.line());
        }
    }
}
