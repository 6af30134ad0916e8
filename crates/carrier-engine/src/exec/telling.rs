//! What those who follow events are told of a program.

use std::fmt::Write as _;

use crate::engine::{Engine, random};
use crate::events::Event;
use crate::record::ContainerRecord;

/// A program, to those who follow events.
pub(super) struct Telling<'a> {
    engine: &'a Engine,
    record: &'a ContainerRecord,
    command: String,
    id: String,
}

impl Engine {
    pub(super) fn telling<'a>(
        &'a self,
        record: &'a ContainerRecord,
        command: &[String],
    ) -> Telling<'a> {
        let mut id = String::new();
        // Without a random number two programs look like one: no reason not to run them.
        for byte in random::<32>().unwrap_or_default() {
            let _ = write!(id, "{byte:02x}");
        }
        Telling {
            engine: self,
            record,
            command: command.join(" "),
            id,
        }
    }
}

impl Telling<'_> {
    pub(super) fn created(&self) {
        self.tell(&format!("exec_create: {}", self.command), None);
    }

    pub(super) fn started(&self) {
        self.tell(&format!("exec_start: {}", self.command), None);
    }

    pub(super) fn detached(&self) {
        self.tell("exec_detach", None);
    }

    pub(super) fn ended(&self, code: u8) {
        self.tell("exec_die", Some(code));
    }

    fn tell(&self, action: &str, code: Option<u8>) {
        let mut event = Event::container(action, self.record).with("execID", self.id.as_str());
        if let Some(code) = code {
            event = event.with("exitCode", code.to_string());
        }
        self.engine.emit(&event);
    }
}
