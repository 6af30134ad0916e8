//! A certificate authority of a test's own, made with openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Cx;

/// An authority; its files are in the test's directory.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
}

/// How long a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// For a month from now on.
    Now,
    /// It was good once.
    Expired,
}

/// A certificate and its key, in PEM format.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The file with the certificate.
    pub certificate: PathBuf,
    /// The file with the key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority called `name`.
    #[must_use]
    pub fn new(cx: &Cx, name: &str) -> Self {
        let directory = cx.home().parent().unwrap().join(name);
        fs::create_dir(&directory).unwrap();
        let authority = Self { directory };
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "30",
            "-subj",
            &format!("/CN={name}"),
        ]);
        authority
    }

    /// The certificate of the authority itself.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// A certificate for names and addresses of servers, or of a client.
    #[must_use]
    pub fn issue(&self, label: &str, names: &[&str], validity: Validity) -> Certified {
        let alternatives: Vec<String> = names
            .iter()
            .map(|name| match name.parse::<std::net::IpAddr>() {
                Ok(address) => format!("IP:{address}"),
                Err(_) => format!("DNS:{name}"),
            })
            .collect();
        let extensions = format!(
            "subjectAltName={}\nextendedKeyUsage=serverAuth,clientAuth\n",
            alternatives.join(",")
        );
        fs::write(self.directory.join(format!("{label}.ext")), extensions).unwrap();
        let file = |kind: &str| format!("{label}.{kind}");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            &file("key"),
            "-out",
            &file("csr"),
            "-subj",
            &format!("/CN={label}"),
        ]);
        let days = match validity {
            Validity::Now => "30",
            Validity::Expired => "-1",
        };
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &file("csr"),
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            days,
            "-extfile",
            &file("ext"),
            "-out",
            &file("pem"),
        ]);
        Certified {
            certificate: self.directory.join(file("pem")),
            key: self.directory.join(file("key")),
        }
    }

    fn openssl(&self, arguments: &[&str]) {
        openssl(&self.directory, arguments);
    }
}

pub(crate) fn openssl(directory: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
}
