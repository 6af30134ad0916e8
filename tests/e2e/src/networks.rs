//! Containers that reach each other over networks of the user.

use std::time::{Duration, Instant};

use crate::context::Cx;

/// Waits for what takes its time on a busy machine.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Containers of busybox on networks.
#[derive(Debug)]
pub struct World {
    /// The user.
    pub cx: Cx,
    /// busybox
    pub image: String,
}

impl World {
    /// Makes networks, of the words of `network create` each.
    #[must_use]
    pub fn with(networks: &[&[&str]]) -> Self {
        let cx = Cx::with_registry();
        let image = cx.pulled("busybox");
        for words in networks {
            let create = ["network", "create"].into_iter();
            cx.carrier(create.chain(words.iter().copied())).succeeds();
        }
        Self { cx, image }
    }

    /// A container in the background that serves its name on port 80.
    pub fn serve(&self, name: &str, options: &[&str]) {
        let program = format!("echo from-{name} > /tmp/index.html; exec httpd -f -p 80 -h /tmp");
        let words = ["run", "-d", "--name", name].into_iter();
        let words = words.chain(options.iter().copied());
        let words = words.chain([self.image.as_str(), "sh", "-c", &program]);
        self.cx.carrier(words).succeeds();
    }

    /// The words that start a container which only waits.
    #[must_use]
    pub fn sleeper_on<'a>(&'a self, network: &'a str) -> [&'a str; 7] {
        let image = &self.image;
        ["run", "-d", "--network", network, image, "sleep", "999"]
    }

    /// What a container gets from this address; nothing where it is refused.
    #[must_use]
    pub fn fetched(&self, container: &str, address: &str) -> String {
        let url = format!("http://{address}/index.html");
        let words = [
            "exec", container, "timeout", "3", "wget", "-q", "-O", "-", &url,
        ];
        self.cx.carrier(words).text().to_owned()
    }

    /// Waits until a container gets this from an address.
    #[track_caller]
    pub fn reaches(&self, container: &str, address: &str, expected: &str) {
        until(&format!("an answer of {address} to {container}"), || {
            self.fetched(container, address) == expected
        });
    }

    /// Whether a container gets nothing from an address.
    #[track_caller]
    pub fn is_refused(&self, container: &str, address: &str) {
        assert_eq!(
            self.fetched(container, address),
            "",
            "{container} reaches {address}"
        );
    }

    /// What `inspect -f` says.
    #[must_use]
    pub fn inspected(&self, container: &str, template: &str) -> String {
        let words = ["inspect", "-f", template, container];
        self.cx.carrier(words).succeeds().text().to_owned()
    }

    /// The addresses of a container.
    #[must_use]
    pub fn ip(&self, container: &str) -> String {
        let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        self.inspected(container, template)
    }

    /// The gateway of a network.
    #[must_use]
    pub fn gateway(&self, network: &str) -> String {
        let template = "{{(index .IPAM.Config 0).Gateway}}";
        let words = ["network", "inspect", "-f", template, network];
        self.cx.carrier(words).succeeds().text().to_owned()
    }

    /// What a name means in a container.
    #[must_use]
    pub fn looked_up(&self, container: &str, name: &str) -> String {
        let words = ["exec", container, "timeout", "5", "nslookup", name];
        self.cx.carrier(words).text().to_owned()
    }

    /// The keeper of the networks.
    #[must_use]
    pub fn keepers(&self) -> Vec<String> {
        let find = "for d in /proc/[0-9]*; do [ \"$(cat $d/comm 2>/dev/null)\" = carrier-network ] \
                    && tr '\\0' '\\n' < $d/environ 2>/dev/null | grep -qx \"CARRIER_E2E=$CARRIER_E2E\" \
                    && echo ${d#/proc/}; done; true";
        let found = self.cx.plain_command(&["sh", "-c", find]).output().unwrap();
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        found.lines().map(ToOwned::to_owned).collect()
    }

    /// Removes all containers.
    pub fn end(&self) {
        self.cx.carrier(["rm", "-c", "--force"]).succeeds();
    }
}
