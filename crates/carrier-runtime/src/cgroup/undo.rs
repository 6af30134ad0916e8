//! What limits were before they are changed, in the form in which they are written back.

use super::Cgroup;
use super::limits::Limit;

/// What a line of a file for disks is when there is none for the disk: cgroup-v2.rst, "IO".
const NO_RATE: &str = "rbps=max wbps=max riops=max wiops=max";

impl Cgroup {
    /// The values that the files of `limits` have now, the last one first.
    pub(super) fn values_before(&self, limits: &[Limit]) -> Vec<Limit> {
        let mut before = Vec::new();
        for limit in limits.iter().rev() {
            let other = limit.without_bfq();
            for limit in [Some(limit), other.as_ref()].into_iter().flatten() {
                if let Some(content) = self.read(&limit.file) {
                    let mut value = value_before(limit, content.trim_end());
                    if value.is_empty() {
                        // A list of all processors: the kernel hears of nothing but a line.
                        value.push('\n');
                    }
                    before.push(Limit {
                        value,
                        ..limit.clone()
                    });
                    break;
                }
            }
        }
        before
    }
}

/// What `content` of a file says of the disk that the limit is for, or of all.
fn value_before(limit: &Limit, content: &str) -> String {
    let Some(key) = key_of(&limit.value) else {
        return content.to_owned();
    };
    let is_same = |line: &&str| key_of(line) == Some(key);
    let line = content.lines().find(is_same).map(str::to_owned);
    line.unwrap_or_else(|| match limit.file.as_str() {
        "io.max" => format!("{key} {NO_RATE}"),
        _ => format!("{key} default"),
    })
}

/// The disk of a line, or the word for all others.
fn key_of(value: &str) -> Option<&str> {
    let (key, _) = value.split_once(' ')?;
    (key == "default" || key.contains(':')).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(file: &str, value: &str, content: &str) -> String {
        let limit = Limit {
            field: String::new(),
            file: file.to_owned(),
            value: value.to_owned(),
        };
        value_before(&limit, content)
    }

    #[test]
    fn a_disk_gets_back_what_it_had() {
        let rates =
            "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=2 wbps=max riops=max wiops=max";
        assert_eq!(
            before("io.max", "8:16 rbps=9", rates),
            "8:16 rbps=2 wbps=max riops=max wiops=max"
        );
        assert_eq!(
            before("io.max", "8:32 rbps=9", rates),
            "8:32 rbps=max wbps=max riops=max wiops=max"
        );
        let weights = "default 100\n8:0 200";
        assert_eq!(before("io.weight", "default 5", weights), "default 100");
        assert_eq!(before("io.weight", "8:0 5", weights), "8:0 200");
        assert_eq!(before("io.weight", "8:16 5", weights), "8:16 default");
        assert_eq!(before("cpu.max", "5 100000", "max 100000"), "max 100000");
    }

    #[test]
    fn limits_are_changed_all_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        std::fs::write(file("memory.max"), "max\n").unwrap();
        std::fs::write(file("cpu.max"), "max 100000\n").unwrap();
        let cgroup = Cgroup {
            path: directory.path().to_owned(),
            scope: None,
            within: None,
        };
        let limits = r#"{"memory": {"limit": 4096}, "cpu": {"quota": 5000}, "pids": {"limit": 5}}"#;
        let limits = serde_json::from_str(limits).unwrap();
        // There is no pids.max.
        cgroup.update(&limits).unwrap_err();
        let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
        assert_eq!(read("memory.max"), "max");
        assert_eq!(read("cpu.max"), "max 100000");
        std::fs::write(file("pids.max"), "max\n").unwrap();
        cgroup.update(&limits).unwrap();
        assert_eq!(read("memory.max"), "4096");
        assert_eq!(read("pids.max"), "5");
    }
}
