//! Certificates for single hosts, containers-certs.d(5): authorities in `*.crt`, and what proves who we
//! are in `*.cert` with its `*.key`.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity};

use crate::error::Error;

/// The directory of a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Certificates(PathBuf);

impl Certificates {
    /// Finds the first directory for one of the names of a host.
    pub(crate) fn find(names: &[String]) -> Option<Self> {
        let users = super::home().map(|home| home.join("containers"));
        let dockers = super::directory("HOME").map(|home| home.join(".docker"));
        let system = ["/etc/containers", "/etc/docker"].map(PathBuf::from);
        let places = [users, dockers].into_iter().flatten().chain(system);
        let places = places.flat_map(|place| {
            let of = move |name: &String| place.join("certs.d").join(name);
            names.iter().map(of)
        });
        places.map(Self).find(|place| place.0.is_dir())
    }

    /// The authorities that are trusted beside those of the system.
    pub(crate) fn authorities(&self) -> Result<Vec<Certificate>, Error> {
        let mut all = Vec::new();
        for path in self.files("crt")? {
            let found = Certificate::from_pem_bundle(&self.read(&path)?);
            let found = found.ok().filter(|found| !found.is_empty());
            all.extend(found.ok_or_else(|| wrong(&path, "it has no certificate in PEM format"))?);
        }
        Ok(all)
    }

    /// What proves who we are.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, Error> {
        let certificates = self.files("cert")?;
        for key in self.files("key")? {
            if !certificates.contains(&key.with_extension("cert")) {
                return Err(wrong(
                    &key,
                    "the certificate of the same name, .cert, is missing",
                ));
            }
        }
        let certificate = match certificates.as_slice() {
            [] => return Ok(None),
            [one] => one,
            [_, second, ..] => {
                let reason = "there is another client certificate beside it: keep one";
                return Err(wrong(second, reason));
            }
        };
        let key = certificate.with_extension("key");
        let mut pem = self.read(&key)?;
        pem.push(b'\n');
        pem.extend(self.read(certificate)?);
        let identity = Identity::from_pem(&pem);
        let identity =
            identity.map_err(|_| wrong(certificate, "it and its key are not in PEM format"))?;
        Ok(Some(identity))
    }

    fn files(&self, extension: &str) -> Result<Vec<PathBuf>, Error> {
        let entries = fs::read_dir(&self.0).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|error| wrong(&self.0, &error.to_string()))?;
        let paths = entries.into_iter().map(|entry| entry.path());
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|it| it == extension))
            .collect();
        paths.sort();
        Ok(paths)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        fs::read(path).map_err(|error| wrong(path, &error.to_string()))
    }
}

fn wrong(path: &Path, reason: &str) -> Error {
    Error::Config {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
