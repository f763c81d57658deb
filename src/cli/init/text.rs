//! The files that `init` writes, as text with comments for the person who goes on from there.

use super::found::Found;
use crate::repo::project_of;

/// Where the first task goes when there is none.
pub(super) const STARTER_PATH: &str = "scripts/first.py";

/// A first task.
pub(super) const STARTER: &str = r#"# %% [markdown]
# A first task. Ploomber runs it as a notebook and fills in the cell below.

# %% tags=["parameters"]
upstream = None
product = None

# %%
from pathlib import Path

Path(product["data"]).write_text("x,y\n1,2\n")
"#;

/// environment.yml.
pub(super) fn environment(found: &Found) -> String {
    let name = found.name.to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    let mut text =
        String::from("# The packages that the pipeline needs. A change makes a new environment at the next run.\n");
    text += &format!("name: {}\n", quoted(if name.is_empty() { "pipeline" } else { name }));
    text += "channels:\n  - conda-forge\ndependencies:\n";
    text += &format!("  - {}\n", quoted(found.python.as_deref().unwrap_or("python=3.11")));
    if !found.requirements {
        for package in &found.packages {
            text += &format!("  - {package}\n");
        }
    }
    text += "  - pip\n  - pip:\n      - ploomber==0.23.3\n      - ipykernel\n";
    if found.requirements {
        text += "      - -r requirements.txt\n";
    }
    text
}

/// pipeline.yaml.
pub(super) fn pipeline(found: &Found) -> String {
    let mut text = String::from("# Tasks and what they produce: https://docs.ploomber.io\n");
    text += "# A script names the tasks it needs in its `parameters` cell: upstream = [\"load\"]\ntasks:\n";
    if found.tasks.is_empty() {
        text += &format!("  - source: {STARTER_PATH}\n    name: first\n    product:\n");
        text += "      nb: output/first.ipynb\n      data: output/first.csv\n";
    }
    for (name, path) in &found.tasks {
        text += &format!("  - source: {}\n    name: {}\n    product:\n", quoted(path), quoted(name));
        text += &format!("      nb: {}\n", quoted(&format!("output/{name}.ipynb")));
    }
    if !found.queries.is_empty() {
        text += "\n  # SQL needs a client (a function that connects): https://docs.ploomber.io\n";
    }
    for path in &found.queries {
        text += &format!("  # - source: {}\n  #   client: clients.connect\n", quoted(path).replace('\n', " "));
        text += "  #   product: [name_of_the_table, table]\n";
    }
    text
}

/// soopervisor.yaml: everything is optional, so everything is a comment.
pub(super) fn settings(found: &Found) -> String {
    let name = project_of(&found.name);
    include_str!("soopervisor.yaml").replace("# project: penguins", &format!("# project: {}", quoted(name.as_str())))
}

/// A YAML scalar that means this text and nothing else.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-=".contains(c);
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain);
    let keyword = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&&*text.to_lowercase());
    // JSON strings are YAML strings.
    if word && !keyword { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_stay_text() {
        assert_eq!(quoted("scripts/load.py"), "scripts/load.py");
        for (text, yaml) in
            [("no", "\"no\""), ("a b", "\"a b\""), ("1e3", "\"1e3\""), ("a: b", "\"a: b\""), ("-x", "\"-x\"")]
        {
            assert_eq!(quoted(text), yaml);
        }
    }
}
