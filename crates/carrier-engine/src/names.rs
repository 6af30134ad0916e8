//! Names for containers that nobody named.

use carrier_spec::ContainerName;

const ADJECTIVES: [&str; 48] = [
    "able", "agile", "amber", "apt", "bold", "brave", "bright", "brisk", "calm", "clear", "clever",
    "crisp", "deft", "eager", "early", "fair", "fast", "fine", "firm", "fond", "free", "fresh",
    "gentle", "glad", "golden", "grand", "happy", "honest", "jolly", "keen", "kind", "light",
    "lively", "lucid", "lucky", "merry", "neat", "noble", "proud", "quick", "quiet", "ready",
    "sharp", "steady", "sunny", "swift", "warm", "wise",
];

const NOUNS: [&str; 48] = [
    "anchor", "bay", "beacon", "boat", "breeze", "buoy", "canoe", "captain", "cargo", "coast",
    "compass", "coral", "crane", "crew", "current", "deck", "dock", "dolphin", "ferry", "fleet",
    "frigate", "galley", "gull", "harbour", "heron", "hull", "island", "jetty", "keel", "lagoon",
    "lantern", "mast", "mooring", "oar", "pilot", "port", "raft", "reef", "rudder", "sail",
    "schooner", "seal", "shore", "sloop", "tide", "tug", "voyage", "wave",
];

/// Makes a name of random bytes; with `again`, one that is less likely to be taken.
pub(crate) fn random(bytes: [u8; 4], again: bool) -> Option<ContainerName> {
    let [first, second, third, fourth] = bytes.map(usize::from);
    let adjective = ADJECTIVES.get(first % ADJECTIVES.len())?;
    let noun = NOUNS.get(second % NOUNS.len())?;
    let name = if again {
        format!("{adjective}_{noun}{}", third << 8 | fourth)
    } else {
        format!("{adjective}_{noun}")
    };
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_valid() {
        for byte in 0..=u8::MAX {
            assert!(random([byte, byte, byte, byte], byte % 2 == 0).is_some());
        }
    }
}
