//! What is said of a storage where nothing is.

use crate::{Place, code, stderr, stdout};

#[test]
fn pruning_a_project_that_is_not_there_says_so() {
    let place = Place::new();
    fs_err::create_dir(place.path().join("artifacts")).unwrap();
    let refused = place.run(&["prune", "--project", "nope", "--keep-last", "3", "--storage", "local:artifacts"]);
    assert_eq!(code(&refused), 7, "{}", stdout(&refused));
    assert!(stderr(&refused).contains("there is no project `nope`"), "{}", stderr(&refused));
}

#[test]
fn a_storage_whose_folder_is_not_there_is_told_from_a_project_that_is_not() {
    let place = Place::new();
    for words in [
        &["verify", "latest"][..],
        &["download", "latest"],
        &["diff", "latest", "latest"],
        &["prune", "--keep-last", "3", "--dry-run"],
    ] {
        let refused = place.run(&[words, &["--project", "demo", "--storage", "local:./nowhere"]].concat());
        let said = stderr(&refused);
        assert_eq!(code(&refused), 7, "{said}");
        let folder = fs_err::canonicalize(place.path()).unwrap().join("nowhere");
        assert!(said.contains(&format!("there is no folder {}", folder.display())), "{said}");
        assert!(said.contains("soopervisor show RUN"), "{said}");
        assert!(!folder.exists(), "nothing is made by looking");
    }
}

#[test]
fn a_storage_without_the_project_ends_with_seven() {
    let place = Place::new();
    for verb in ["verify", "download"] {
        let output = place.run(&[verb, "abcd", "--storage", "local:nothing", "--project", "penguins"]);
        assert_eq!(code(&output), 7, "{verb}: {}", stderr(&output));
    }
}
