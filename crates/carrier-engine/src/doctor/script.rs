//! One script for root.

use super::finding::Finding;
use super::remedy::Remedy;

/// What root has to do for all of these; nothing where root has nothing to do. A command that fails does
/// not keep the others from being tried.
#[must_use]
pub fn root_script(findings: &[Finding]) -> Option<String> {
    let wrong = findings.iter().filter(|finding| finding.is_wrong());
    let mut commands: Vec<&str> = Vec::new();
    let mut script = String::from(
        "#!/bin/sh\n# Made by `carrier doctor --fix`: what only root can set right. Read it, then run it as root.\n\
         failed=0\n",
    );
    for finding in wrong {
        let Some(Remedy::Root(command)) = &finding.remedy else {
            continue;
        };
        if commands.contains(&command.as_str()) {
            continue;
        }
        commands.push(command);
        // Names of users and paths are in it: no comment may end before it is meant to.
        let about = format!("{}: {}", finding.check, finding.found).replace(char::is_control, " ");
        script.push_str(&format!(
            "\n# {about}\n{{ {command}; }} || {{ echo 'failed: {}' >&2; failed=1; }}\n",
            finding.check
        ));
    }
    script.push_str("\nexit $failed\n");
    (!commands.is_empty()).then_some(script)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Check;
    use super::*;

    #[test]
    fn root_gets_each_command_once_and_nothing_of_the_users() {
        let root = |check, command: &str| {
            let remedy = Remedy::Root(command.to_owned());
            Finding::failed(check, "it\nis off", "nothing works", remedy)
        };
        let findings = [
            Finding::ok(Check::Kernel, "Linux 6.1"),
            root(Check::Tun, "modprobe tun"),
            root(Check::Uplink, "modprobe tun"),
            root(Check::Ping, "false"),
            Finding::warning(Check::Disk, "", "", Remedy::Advice("think".to_owned())),
        ];
        let script = root_script(&findings).unwrap();
        assert_eq!(script.matches("modprobe tun").count(), 1);
        assert!(!script.contains("think") && script.contains("# tun: it is off\n"));
        let ended = std::process::Command::new("sh")
            .args(["-c", &script.replace("modprobe tun", "echo done")])
            .output()
            .unwrap();
        assert_eq!(ended.stdout, b"done\n");
        assert_eq!(ended.stderr, b"failed: ping\n");
        assert_eq!(ended.status.code(), Some(1));
        assert_eq!(root_script(&findings[..1]), None);
    }
}
