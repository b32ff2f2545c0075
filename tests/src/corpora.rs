//! The inputs that the fuzzers found worth keeping, once more and without a fuzzer (`docs/fuzzing.md`).

#[path = "../../fuzz/src/bodies/mod.rs"]
mod bodies;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[test]
fn inputs_that_are_kept_stay_harmless() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (target, run) in bodies::ALL {
        let mut count = 0;
        for file in fs::read_dir(corpora.join(target)).unwrap_or_else(|error| panic!("{target}: {error}")) {
            let path = file.unwrap().path();
            let input = fs::read(&path).unwrap();
            assert!(catch_unwind(|| run(&input)).is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count > 0, "{target} has no inputs");
    }
}
