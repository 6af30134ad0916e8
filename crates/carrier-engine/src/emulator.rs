//! Running images of another architecture: an emulator, registered for one container only.
//!
//! Since Linux 6.7 each user namespace may have its own `binfmt_misc`. The registration asks the
//! kernel to open the emulator at once (flag F), so that the container need not contain it.

use std::fs;
use std::path::Path;

use carrier_spec::Platform;

use crate::error::Error;

/// How the kernel knows programs of an architecture, and what runs them.
struct Emulated {
    architecture: &'static str,
    qemu: &'static str,
    /// Class and byte order, `EI_CLASS` and `EI_DATA`.
    ident: [u8; 2],
    /// `e_machine`, elf(5).
    machine: u16,
}

const EMULATED: [Emulated; 7] = [
    Emulated {
        architecture: "amd64",
        qemu: "x86_64",
        ident: [2, 1],
        machine: 62,
    },
    Emulated {
        architecture: "arm64",
        qemu: "aarch64",
        ident: [2, 1],
        machine: 183,
    },
    Emulated {
        architecture: "arm",
        qemu: "arm",
        ident: [1, 1],
        machine: 40,
    },
    Emulated {
        architecture: "386",
        qemu: "i386",
        ident: [1, 1],
        machine: 3,
    },
    Emulated {
        architecture: "ppc64le",
        qemu: "ppc64le",
        ident: [2, 1],
        machine: 21,
    },
    Emulated {
        architecture: "riscv64",
        qemu: "riscv64",
        ident: [2, 1],
        machine: 243,
    },
    Emulated {
        architecture: "s390x",
        qemu: "s390x",
        ident: [2, 2],
        machine: 22,
    },
];

const DIRECTORIES: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

/// The line to write to `binfmt_misc/register` for an image of `platform`; nothing where the host
/// runs its programs already.
pub(crate) fn registration(platform: &Platform) -> Result<Option<Vec<u8>>, Error> {
    let host = Platform::host();
    let runs_natively = platform.architecture == host.architecture
        || (host.architecture == "amd64" && platform.architecture == "386");
    if runs_natively {
        return Ok(None);
    }
    let unknown = || Error::NoEmulator {
        platform: platform.clone(),
        program: None,
    };
    let emulated = EMULATED
        .iter()
        .find(|emulated| emulated.architecture == platform.architecture)
        .ok_or_else(unknown)?;
    if host_has_handler(emulated.qemu) {
        return Ok(None);
    }
    let names = [
        format!("qemu-{}-static", emulated.qemu),
        format!("qemu-{}", emulated.qemu),
    ];
    let places = names
        .iter()
        .flat_map(|name| DIRECTORIES.map(|dir| Path::new(dir).join(name)));
    let Some(program) = places.into_iter().find(|path| path.exists()) else {
        let program = names.into_iter().next();
        return Err(Error::NoEmulator {
            platform: platform.clone(),
            program,
        });
    };
    Ok(Some(line(emulated, &program)))
}

/// Whether the administrator has registered an emulator for everybody.
fn host_has_handler(qemu: &str) -> bool {
    let entry = fs::read_to_string(format!("/proc/sys/fs/binfmt_misc/qemu-{qemu}"));
    entry.is_ok_and(|entry| is_for_everybody(&entry))
}

/// Whether an entry of `binfmt_misc` holds in containers, too: the kernel has opened the emulator.
pub(crate) fn is_for_everybody(entry: &str) -> bool {
    let flags = entry.lines().find_map(|line| line.strip_prefix("flags: "));
    entry.starts_with("enabled") && flags.is_some_and(|flags| flags.contains('F'))
}

/// The emulators below `root` that containers can register, by their names for QEMU.
pub(crate) fn installed(root: &Path) -> Vec<String> {
    let is_there = |qemu: &str| {
        let mut names = [format!("qemu-{qemu}-static"), format!("qemu-{qemu}")].into_iter();
        names.any(|name| {
            let mut places = DIRECTORIES
                .iter()
                .map(|place| place.trim_start_matches('/'));
            places.any(|place| root.join(place).join(&name).exists())
        })
    };
    let names = EMULATED.iter().map(|emulated| emulated.qemu);
    names
        .filter(|qemu| is_there(qemu))
        .map(str::to_owned)
        .collect()
}

/// `:name:M:offset:magic:mask:interpreter:flags`, Documentation/admin-guide/binfmt-misc.rst.
fn line(emulated: &Emulated, program: &Path) -> Vec<u8> {
    let [class, data] = emulated.ident;
    let order = |number: u16| {
        if data == 1 {
            number.to_le_bytes()
        } else {
            number.to_be_bytes()
        }
    };
    let mut magic = vec![0x7f, b'E', b'L', b'F', class, data, 1, 0];
    magic.extend([0; 8]);
    magic.extend(order(2));
    magic.extend(order(emulated.machine));
    let mut mask = vec![0xff; 7];
    // Any ABI; executables (2) and position-independent ones (3).
    mask.extend([0; 9]);
    mask.extend(order(0xfffe));
    mask.extend([0xff, 0xff]);
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("\\x{byte:02x}"))
            .collect::<String>()
    };
    format!(
        ":qemu-{}:M::{}:{}:{}:FC",
        emulated.qemu,
        hex(&magic),
        hex(&mask),
        program.display()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_programs_need_no_emulator() {
        assert_eq!(registration(&Platform::host()).unwrap(), None);
    }

    #[test]
    fn an_unknown_architecture_is_an_error() {
        let platform = "linux/mips64le".parse().unwrap();
        assert!(matches!(
            registration(&platform),
            Err(Error::NoEmulator { program: None, .. })
        ));
    }

    #[test]
    fn the_line_is_what_the_kernel_parses() {
        let line = String::from_utf8(line(&EMULATED[1], Path::new("/q"))).unwrap();
        let fields: Vec<&str> = line.split(':').collect();
        assert_eq!(fields.len(), 8);
        assert_eq!(fields[1], "qemu-aarch64");
        assert_eq!(fields[4].matches("\\x").count(), 20);
        assert_eq!(fields[5].matches("\\x").count(), 20);
        assert!(fields[4].ends_with("\\xb7\\x00"));
        assert!(line.len() < 1920, "the kernel refuses longer lines");
    }
}
