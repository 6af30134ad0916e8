//! Waiting for a line in a log.

use std::io;
use std::ops::ControlFlow;

use super::driver::LogDriver;
use super::reader::{Begin, LogReader};
use super::search::LogFilter;
use crate::engine::Engine;
use crate::error::Error;
use crate::record::ContainerRecord;

/// Looks at each record of a log once.
#[derive(Debug)]
pub(crate) struct LogWatch {
    reader: LogReader,
    filter: LogFilter,
}

impl LogWatch {
    /// Whether the text is in a record that was not looked at yet.
    pub(crate) fn has_found(&mut self) -> io::Result<bool> {
        let filter = &self.filter;
        let read = self.reader.read(&mut |record| {
            Ok(if filter.matches(record.text) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        });
        Ok(read?.is_break())
    }
}

impl Engine {
    /// Watches what a container writes for a text.
    pub(crate) fn watch_log(
        &self,
        record: &ContainerRecord,
        text: &str,
    ) -> Result<LogWatch, Error> {
        let driver = record.log.driver;
        if !matches!(driver, LogDriver::JsonFile(_)) {
            return Err(Error::LogNotReadable {
                driver: driver.name(),
                container: record.name.clone(),
            });
        }
        let failed = |source| Error::ReadLog {
            container: record.name.clone(),
            source,
        };
        let filter = LogFilter::exact(text).map_err(|error| failed(io::Error::other(error)))?;
        let directory = self.store.container(&record.id).path().to_owned();
        let reader = LogReader::open(&directory, Begin::Beginning, true, &|_| true);
        Ok(LogWatch {
            reader: reader.map_err(failed)?,
            filter,
        })
    }
}
