//! The user's own place in what Ploomber 0.23.3 printed about real failures.

use super::*;

fn printed(name: &str) -> Vec<String> {
    let path = format!("{}/tests/fixtures/ploomber-output/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = fs_err::read_to_string(path).unwrap();
    // As the log's lines are: progress bars in their last state.
    text.lines().map(|line| line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned()).collect()
}

fn of(name: &str) -> Trace {
    trace(&printed(name)).unwrap()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_users_own_line_is_found_in_what_ploomber_printed() {
    for (name, task, place) in [
        ("exception", "load", "tasks.py:4 in load: ValueError: column \"price\" is empty"),
        ("parallel-exception", "load", "tasks.py:4 in load: ValueError: column \"price\" is empty"),
        (
            "missing-file",
            "load",
            "tasks.py:4 in load: FileNotFoundError: [Errno 2] No such file or directory: 'data/raw.csv'",
        ),
        (
            "network",
            "load",
            "tasks.py:4 in load: urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>",
        ),
        ("function-library", "load", "tasks.py:6 in clean: KeyError: 'age'"),
        ("notebook", "nb", "nb.py, cell [4], line 1: ZeroDivisionError: division by zero"),
        ("import-notebook", "nb", "nb.py, cell [3], line 1: ModuleNotFoundError: No module named 'pandaz'"),
        ("notebook-library", "nb", "nb.py, cell [4], line 2: KeyError: 'age'"),
        ("notebook-helper", "nb2", "helper.py:3 in clean: KeyError: 'age'"),
        ("notebook-syntax", "nb3", "nb3.py: SyntaxError: An error happened when checking the source code."),
        ("kernel-killed", "nb", "nb.py: nbclient.exceptions.DeadKernelError: Kernel died"),
        ("script-runner", "script", "helper.py:3 in clean: KeyError: 'age'"),
        ("sql", "monthly", "sql/monthly.sql: sqlite3.OperationalError: no such column: dya"),
        ("shell", "pack", "pack.sh:4: nocmd: command not found"),
        (
            "missing-product",
            "load",
            "tasks.py:3: the task ran successfully but the product File('out/data.csv') is missing. Ensure your code is generating it.",
        ),
    ] {
        let found = of(name);
        assert_eq!((found.task.as_deref(), found.place.as_deref()), (Some(task), Some(place)), "{name}");
    }
}

#[test]
fn the_way_to_it_is_the_users_own_calls_and_nothing_of_ploomber_or_jupyter() {
    let expected = [
        "tasks.py:11 in load",
        "    clean(df).to_csv(str(product))",
        "    ^^^^^^^^^",
        "tasks.py:6 in clean",
        "    return df[df[\"age\"] > 0]",
        "              ~~^^^^^^^",
        "(2 calls inside pandas left out)",
    ];
    assert_eq!(of("function-library").lines, expected);
    // Where there is one call only, the place names it.
    let expected =
        ["    df[\"age\"]", "(2 calls inside pandas left out)", "the notebook as far as it got: out/nb.ipynb"];
    assert_eq!(of("notebook-library").lines, expected);
    let expected = [
        "nb2.py, cell [4], line 1",
        "    clean({})",
        "nb2.py, cell [3], line 3 in clean",
        "    return helper.clean(d)",
        "helper.py:3 in clean",
        "    return d[\"age\"]",
        "the notebook as far as it got: out/nb2.ipynb",
    ];
    assert_eq!(of("notebook-helper").lines, expected);
    // The lines of a script are not those of the file that Ploomber ran.
    let expected = ["script.py", "    helper.clean({})", "helper.py:3 in clean", "    return d[\"age\"]"];
    assert_eq!(of("script-runner").lines[..4], expected);
    for name in ["function-library", "notebook", "notebook-helper", "script-runner", "shell", "sql", "several"] {
        let text = of(name).lines.join("\n");
        assert!(!text.contains("site-packages") && !text.contains("ploomber") && !text.contains("===="), "{text}");
    }
}

#[test]
fn a_shell_script_has_its_own_name_and_what_it_printed() {
    let found = of("shell");
    assert_eq!(found.lines, ["hello out", "pack.sh: line 4: nocmd: command not found"]);
    assert!(found.said.iter().all(|line| !line.contains("/tmp/tmp")), "{:?}", found.said);
    // What the shell said before another program's last words is not what the script ended with.
    let text = printed("shell").join("\n").replace("not found\n", "not found\nno such table in /tmp/tmpabcdefgh\n");
    let found = trace(&lines(&text.replace("exit status 127", "exit status 3"))).unwrap();
    assert_eq!(found.place.as_deref(), Some("pack.sh: the task's shell script ended with code 3"));
    assert_eq!(found.lines.last().unwrap(), "no such table in /tmp/tmpabcdefgh");
}

#[test]
fn what_a_database_says_more_than_its_first_line_is_kept() {
    let more =
        "psycopg2.errors.UndefinedColumn: column \"dya\" does not exist\nLINE 6: SELECT substr(dya, 1, 7)\n          ^";
    let text = printed("sql").join("\n").replace("sqlite3.OperationalError: no such column: dya", more);
    let found = trace(&lines(&text)).unwrap();
    let place = "sql/monthly.sql: psycopg2.errors.UndefinedColumn: column \"dya\" does not exist";
    assert_eq!(found.place.as_deref(), Some(place));
    assert_eq!(found.lines, ["LINE 6: SELECT substr(dya, 1, 7)", "          ^"]);
}

#[test]
fn of_several_tasks_the_first_is_shown_and_the_others_are_named() {
    let found = of("several");
    assert_eq!(found.place.as_deref(), Some("tasks.py:6 in clean: KeyError: 'age'"));
    assert_eq!(found.lines.last().unwrap(), "also failed: nb, nb2, nb3, script, pack");
    assert!(!found.said.iter().any(|line| line.contains("Exception encountered")), "only what is about the task");
}

#[test]
fn notebooks_of_earlier_versions_of_ipython_are_read_too() {
    let report = |frames: &str| {
        let head = "==== DAG build failed ====\n- NotebookRunner: nb -> File('out/nb.ipynb') -\n--- /workspace/nb.ipynb ---\n\n---\nException encountered at \"In [3]\":\n---\n";
        let heading = "KeyError                                  Traceback (most recent call last)";
        let tail = "\nKeyError: 'age'\n\nploomber.exceptions.TaskBuildError: Error building task \"nb\"\n==== Summary (1 task) ====";
        trace(&lines(&format!("{head}{heading}\n{frames}\n{tail}"))).unwrap().place.unwrap()
    };
    let arrow = "      1 x = 1\n----> 2 df[\"age\"]\n";
    let cell = format!("Input In [3], in clean(df)\n{arrow}");
    assert_eq!(report(&cell), "nb.ipynb, cell [3], line 2 in clean: KeyError: 'age'");
    let cell = format!("<ipython-input-3-9e1622b385b6> in <module>\n{arrow}");
    assert_eq!(report(&cell), "nb.ipynb, cell [3], line 2: KeyError: 'age'");
    let library =
        "\n/opt/env/lib/python3.8/site-packages/pandas/core/frame.py in __getitem__(self, key)\n-> 3455   indexer\n";
    assert_eq!(report(&(cell.clone() + library)), "nb.ipynb, cell [3], line 2: KeyError: 'age'");
    let helper = "\n/workspace/lib/helper.py in clean(d)\n      2     if True:\n----> 3         return d[\"age\"]\n";
    assert_eq!(report(&(cell + helper)), "lib/helper.py:3 in clean: KeyError: 'age'");
}

#[test]
fn a_cell_that_cannot_be_parsed_is_named_with_its_line() {
    let text = "==== DAG build failed ====\n- NotebookRunner: nb -> File('out/nb.ipynb') -\n--- /workspace/nb.ipynb ---\n\n---\nException encountered at \"In [3]\":\n  Cell In[3], line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n\n\nploomber.exceptions.TaskBuildError: Error building task \"nb\"\n==== Summary (1 task) ====";
    let found = trace(&lines(text)).unwrap();
    assert_eq!(found.place.as_deref(), Some("nb.ipynb, cell [3], line 1: SyntaxError: invalid syntax"));
    assert_eq!(found.lines, ["    x = = 1", "        ^"]);
}

#[test]
fn a_program_that_ends_with_a_traceback_is_read_and_one_that_went_on_is_not() {
    let raised = "Traceback (most recent call last):\n  File \"/workspace/clients.py\", line 3, in get\n    return connect()\n  File \"/opt/env/lib/python3.11/site-packages/db/core.py\", line 9, in connect\n    raise Refused()\ndb.core.Refused: no\n";
    let found = trace(&lines(&format!("Loading pipeline...\n{raised}"))).unwrap();
    assert_eq!(found.place.as_deref(), Some("clients.py:3 in get: db.core.Refused: no"));
    assert_eq!((found.task, found.said.len()), (None, 0));
    let later = format!("{raised}\n{}", "going on\n".repeat(BEHIND + 1));
    assert_eq!(trace(&lines(&later)), None);
    let foreign = raised.replace("/workspace/", "/opt/env/lib/python3.11/site-packages/x/");
    assert_eq!(trace(&lines(&foreign)), None, "nothing of it is the user's");
    for name in ["success", "up-to-date", "import-source", "missing-source"] {
        assert_eq!(trace(&printed(name)), None, "{name}");
    }
}

#[test]
fn what_is_not_understood_is_shown_without_ploombers_trailer() {
    let text = "==== DAG render failed ====\n---- PythonCallable: load -> File('x') ----\n---- /workspace/tasks.py:3 ----\n\nnothing that we know\n==== Summary (1 task) ====\nPythonCallable: load -> File('x')\n==== DAG render failed ====\n\nNeed help? https://ploomber.io/community";
    let found = trace(&lines(text)).unwrap();
    assert_eq!((found.place, found.lines), (None, vec!["nothing that we know".to_owned()]));
}

#[test]
fn nothing_that_a_pipeline_prints_makes_the_card_long_or_breaks_it() {
    // Every prefix, suffix and line by itself of every report, and tracebacks without end.
    for name in ["several", "network", "shell", "sql", "notebook-helper"] {
        let all = printed(name);
        for cut in 0..all.len() {
            for part in [&all[..cut], &all[cut..], &all[cut..=cut]] {
                let Some(found) = trace(part) else { continue };
                assert!(found.lines.len() <= SHOWN + 2, "{name} {cut}: {:?}", found.lines);
            }
        }
    }
    let frame = "  File \"/workspace/é.py\", line 99999999999, in f\n    é\n".repeat(5000);
    let words = "Error: é".repeat(500);
    let text = format!("Traceback (most recent call last):\n{frame}{words}\n");
    assert_eq!(trace(&lines(&text)), None, "its beginning is not among the lines that are looked at");
    let frame = "  File \"/workspace/é.py\", line 99999999999, in f\n    é\n".repeat(400);
    let found = trace(&lines(&format!("Traceback (most recent call last):\n{frame}{words}\n"))).unwrap();
    assert_eq!(found.lines.len(), SHOWN);
    assert_eq!(found.lines[0], "(earlier calls are left out)");
    assert!(found.place.unwrap().chars().count() <= LONGEST + 1);
    for odd in ["", "\"", "  File \"", "Cell In[é], line ", "/tmp/tmp", "/tmp/tmpé", "stderr:", "- : -> -"] {
        let text = format!(
            "==== DAG build failed ====\n- ShellScript: s -> x -\n- /workspace/é.sh -\nException encountered at \"In [\nTraceback (most recent call last):\n{odd}\nRuntimeError: Error executing code.\n{odd}\nexit status \n==== Summary ("
        );
        assert!(trace(&lines(&text)).is_none_or(|found| found.lines.len() < 10), "{odd}");
        assert!(trace(&lines(&format!("{text}1) ===="))).is_some(), "{odd}");
    }
}
