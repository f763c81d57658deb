//! The examples as their readers run them: whole and as a sample, and what is published is what the manifest says.

use crate::support::User;

#[track_caller]
fn runs_whole_and_as_a_sample(example: &str, product: &str) {
    let user = User::with_example(example);
    user.run(&["--project", "demo"]).exits(0);
    user.run(&["--project", "demo", "--sample"]).exits(0);
    let folders = user.published_folders();
    assert_eq!(folders.len(), 2, "{folders:?}");
    for folder in folders {
        let size = std::fs::metadata(folder.join(product)).map_or(0, |file| file.len());
        assert!(size > 0, "{product} is not in {}", folder.display());
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let verify = ["verify", &name, "--project", "demo", "--storage", "local:artifacts"];
        user.say(&verify).exits(0).says("as the manifest says");
        // One letter less, and it is told.
        std::fs::OpenOptions::new().write(true).open(folder.join(product)).unwrap().set_len(size - 1).unwrap();
        user.say(&verify).exits(7).says(product);
    }
}

#[test]
fn scripts_as_notebooks_run_whole_and_as_a_sample() {
    runs_whole_and_as_a_sample("penguins", "output/bill-by-species.png");
}

#[test]
fn functions_with_a_package_run_whole_and_as_a_sample() {
    runs_whole_and_as_a_sample("churn-package", "products/report.json");
}

#[test]
fn sql_and_a_shell_task_run_whole_and_as_a_sample() {
    runs_whole_and_as_a_sample("sales-sql", "output/report.txt");
}
