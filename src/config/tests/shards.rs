//! `[gateway] shards`.

use super::{DAEMON, printed};

#[test]
fn there_are_as_many_shards_as_are_wanted_up_to_32() {
    let with = |shards: &str| DAEMON.replace("[gateway]", &format!("[gateway]\nshards = {shards}"));
    for shards in [0, 1, 2, 32] {
        assert_eq!(printed(&with(&shards.to_string()), ""), "", "{shards}");
    }
    for wrong in ["33", "-1", "\"2\"", "1.5"] {
        assert!(printed(&with(wrong), "").contains("shards"), "{wrong}");
    }
}
