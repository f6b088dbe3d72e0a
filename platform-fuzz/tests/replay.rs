//! Every input that was written by hand or found, once more.

use std::{fs, path::Path};

use platform_fuzz::PLACES;

#[test]
fn what_was_found_stays_fixed() {
    for (name, place) in PLACES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let inputs: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("an entry of a folder").path())
            .collect();
        assert!(inputs.len() >= 5, "{name} has {} inputs", inputs.len());
        for input in inputs {
            let bytes = fs::read(&input).expect("a file");
            assert!(bytes.len() <= LONGEST, "{} is not small", input.display());
            // Whose it was shows in the panic's own output: it is printed before the place is asked.
            println!("{}", input.display());
            place(&bytes);
        }
    }
}

#[test]
fn every_place_has_its_program() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("engine/targets");
    let mut programs: Vec<String> = fs::read_dir(targets)
        .expect("the programs")
        .map(|entry| entry.expect("an entry of a folder").path())
        .map(|path| path.file_stem().expect("a file").to_string_lossy().into_owned())
        .collect();
    programs.sort();
    assert_eq!(programs, PLACES.map(|(name, _)| name));
}

/// Bytes of an input that is kept.
const LONGEST: usize = 16 * 1024;
