//! A project that is a package: installed from a wheel that was kept, which is what an install in the run comes to.

use crate::support::User;

const PROJECT: &str = "[build-system]\nrequires = [\"setuptools>=61\"]\nbuild-backend = \"setuptools.build_meta\"\n\n[project]\nname = \"shop\"\n\
                       version = \"0.1.0\"\n\n[tool.setuptools.packages.find]\nwhere = [\"src\"]\n";
const PIPELINE: &str = "tasks:\n  - source: shop.tasks.files\n    product: output/files.txt\n";
/// Every file of the installed package with its digest, but for those that say where it was installed from.
const TASKS: &str = "from importlib.metadata import distribution\nfrom pathlib import Path\n\ndef files(product):\n    \
                     found = distribution('shop')\n    lines = [f'{file} {file.hash and file.hash.value}' for file in found.files\n             \
                     if file.name not in ('direct_url.json', 'RECORD') and file.suffix != '.pyc']\n    \
                     lines.append('in the user base: ' + str('.soopervisor/user' in str(found.locate_file('shop'))))\n    \
                     Path(product).write_text('\\n'.join(sorted(lines)) + '\\n')\n";

fn environment(line: &str) -> String {
    let pip = format!("ploomber\n      - jsonschema<4.25\n      - sqlalchemy\n      - pandas\n      - \"{line}\"\n");
    crate::support::ENVIRONMENT.replace("ploomber\n      - jsonschema<4.25\n      - sqlalchemy\n      - pandas\n", &pip)
}

#[test]
fn a_kept_wheel_installs_what_the_files_would_and_follows_them() {
    // Wheels are kept by their files: these are of this test alone, also when it runs a second time.
    let own = format!("# {:?}\n", std::time::SystemTime::now());
    let user = User::with(&[
        ("environment.yml", &environment(".")),
        ("pyproject.toml", PROJECT),
        ("pipeline.yaml", PIPELINE),
        ("src/shop/__init__.py", &own),
        ("src/shop/tasks.py", TASKS),
    ]);
    let published = |sha: &str| {
        let folder = user.published_folders().into_iter().find(|folder| folder.ends_with(sha)).unwrap();
        std::fs::read_to_string(folder.join("output/files.txt")).unwrap()
    };
    let first = user.git(&["rev-parse", "HEAD"]);
    user.run(&["-v", "--on-conflict", "new-run"]).exits(0).says("building a wheel").hides("installed inside the run");
    let from_wheel = published(&first);
    assert!(from_wheel.contains("shop/tasks.py sha256") || from_wheel.contains("shop/tasks.py "), "{from_wheel}");
    assert!(from_wheel.contains("in the user base: True"), "{from_wheel}");
    user.run(&["-v"]).exits(0).hides("building a wheel");

    // With an extra that is none, the same files are installed as they are written: inside the run.
    user.write("environment.yml", &environment(".[none]"));
    let second = user.commit("as written");
    user.run(&["-v"]).exits(0).hides("building a wheel");
    assert_eq!(published(&second), from_wheel);

    user.write("environment.yml", &environment("."));
    user.write("src/shop/more.py", "x = 1\n");
    let third = user.commit("more");
    user.run(&["-v"]).exits(0).says("building a wheel");
    assert!(published(&third).contains("shop/more.py"));
}

#[test]
fn a_setup_py_that_only_declares_is_kept_as_a_wheel_and_one_that_runs_code_is_not() {
    let own = format!("# {:?}\n", std::time::SystemTime::now());
    let declares = "from setuptools import setup, find_packages\n\nsetup(name='shop', version='0.1.0', \
                    packages=find_packages('src'), package_dir={'': 'src'})\n";
    let user = User::with(&[
        ("environment.yml", &environment(".")),
        ("setup.py", declares),
        ("pipeline.yaml", PIPELINE),
        ("src/shop/__init__.py", &own),
        ("src/shop/tasks.py", TASKS),
    ]);
    let published = |sha: &str| {
        let folder = user.published_folders().into_iter().find(|folder| folder.ends_with(sha)).unwrap();
        std::fs::read_to_string(folder.join("output/files.txt")).unwrap()
    };
    let first = user.git(&["rev-parse", "HEAD"]);
    user.run(&["-v"]).exits(0).says("building a wheel").hides("installed inside the run");
    assert!(published(&first).contains("shop/tasks.py"), "{}", published(&first));

    user.write("setup.py", &format!("import os\n{declares}"));
    let second = user.commit("a program");
    user.run(&["-v"]).exits(0).hides("building a wheel");
    assert_eq!(published(&second), published(&first));
}

/// A package in the repository's own folder, which names no packages: setuptools looks for them.
const FLAT: &str = "[build-system]\nrequires = [\"setuptools>=61\"]\nbuild-backend = \"setuptools.build_meta\"\n\n[project]\nname = \"shop\"\n\
                    version = \"0.1.0\"\n";

#[test]
fn products_of_an_earlier_commit_do_not_lie_beside_a_package_while_it_is_installed() {
    let own = format!("# {:?}\n", std::time::SystemTime::now());
    let user = User::with(&[
        ("environment.yml", &environment(".")),
        ("pyproject.toml", FLAT),
        ("pipeline.yaml", PIPELINE),
        ("shop/__init__.py", &own),
        ("shop/tasks.py", TASKS),
    ]);
    user.run(&["-v"]).exits(0).says("building a wheel").hides("installed inside the run");
    user.write("README.md", "words\n");
    user.commit("words");
    let said = user.run(&["-v"]).exits(0).says("building a wheel").hides("installed inside the run");
    said.says("1 of 1 task taken over");

    // Without a wheel, nothing is laid there that setuptools would take for a package.
    user.write("environment.yml", &environment(".[none]"));
    user.commit("as written");
    user.run(&["-v"]).exits(0).says("differs in its script");
    user.write("README.md", "more words\n");
    user.commit("more words");
    user.run(&["-v"]).exits(0).says("every task is executed").says("would take `output/`, where products lie");
}

#[test]
fn a_product_inside_a_package_gets_into_no_wheel() {
    let own = format!("# {:?}\n", std::time::SystemTime::now());
    let project = format!(
        "{FLAT}\n[tool.setuptools]\npackages = [\"shop\"]\n\n[tool.setuptools.package-data]\nshop = [\"*.txt\"]\n"
    );
    let user = User::with(&[
        ("environment.yml", &environment(".")),
        ("pyproject.toml", &project),
        ("pipeline.yaml", &PIPELINE.replace("output/", "shop/")),
        ("shop/__init__.py", &own),
        ("shop/tasks.py", TASKS),
    ]);
    user.run(&[]).exits(0);
    user.write("README.md", "words\n");
    user.commit("words");
    user.run(&["-v"]).exits(0).says("building a wheel").says("1 of 1 task taken over");
    // The task lists the files of the installed package: with the product in it, there would be one more.
    user.run(&["--no-reuse"]).exits(0).says("identical content was there");
}
