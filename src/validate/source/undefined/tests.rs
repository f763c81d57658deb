//! The verdicts are those of pyflakes 3 and 4 on the same code; where it says more, we are silent.

use super::*;

/// The names without a value, with the line in which each is first looked up.
fn names(code: &str) -> Vec<String> {
    let line = |at: usize| code[..at].matches('\n').count() + 1;
    look(code, &["given".to_owned()]).names.into_iter().map(|one| format!("{} {}", one.name, line(one.at))).collect()
}

#[test]
fn names_that_nothing_gives_a_value_are_told_where_they_are_first_looked_up() {
    for (code, told) in [
        ("import pandas as pd\ndf = pd.DataFrame()\nprint(dff)\nprint(dff)\n", "dff 3"),
        ("print(df)\ndf = 1\n", "df 1"),
        ("x += 1\n", "x 1"),
        ("f()\ndef f(): pass\n", "f 1"),
        ("def f():\n    inner = 1\n    return inner\nprint(inner)\n", "inner 4"),
        ("def f(a, *b, c=d, **e) -> g:\n    return a, b, c, e, h\n", "d 1, g 1, h 2"),
        ("def f(x: Nope): pass\n", "Nope 1"),
        ("class A(B):\n    x = 1\n    def f(self): return x\n", "B 1, x 3"),
        ("[i for i in range(3)]\nprint(i)\n", "i 2"),
        ("[i for i in i]\n", "i 1"),
        ("{k: v for k, v in x.items() if y}\n", "x 1, y 1"),
        ("x = lambda a, b=c: a + b + d\n", "c 1, d 1"),
        ("f = f'{nope!r:>{width}} {{no}}'\n", "nope 1, width 1"),
        ("try:\n    nope\nexcept ImportError:\n    pass\n", "nope 2"),
        ("def f():\n    global g\n    g = 1\nprint(h, g)\n", "h 4"),
        ("x = y = z\n", "z 1"),
        ("x: int = z\nx[a], b.c = 1, 2\n", "z 1, a 2, b 2"),
        ("with open(p) as (a, b), c as d:\n    print(a, b, d)\n", "p 1, c 1"),
        ("@nope\ndef f(): pass\n", "nope 1"),
        ("f = print(c == d, a=b)\n", "c 1, d 1, b 1"),
        ("match q:\n    case {'a': b} if c: print(b)\n", "q 1, c 2"),
        ("if x: y = 1; print(z)\n", "x 1, z 1"),
        ("display(1)\nget_ipython()\n", "display 1, get_ipython 2"),
        ("x = [\n    1,\n    nope,\n]\n", "nope 3"),
        ("r'\\''\nnope\n", "nope 2"),
        ("print(y)\nx = y if (y := z) else 0\n", "y 1, z 2"),
        ("print(y); (y := 1)\n", "y 1"),
        ("print(f'{(v := w)} {v:=10}')\n", "w 1"),
        ("print(f'{v:=10}')\n", "v 1"),
        ("print(f'{v:(>10} {w:\">3}')\n", "v 1, w 1"),
        ("print(f\"{d[\"it's (\"]} {nope}\")\nprint(no)\n", "d 1, nope 1, no 2"),
        ("print(\u{fb01}t)\n", "fit 1"),
        ("x = 1\ndel x\nprint(x)\n", "x 3"),
        ("x = y = 1\ndel x, y\nprint(y)\nx = 1\nprint(x)\n", "y 3"),
        ("del x\n", "x 1"),
        ("x = 1\ndel x\nif given:\n    print([x for i in given])\n", "x 4"),
        ("try:\n    pass\nexcept Exception as e:\n    e = print(e)\nprint(e)\n", "e 5"),
        ("for i in given:\n    try:\n        i()\n    except OSError as e: print(e)\nprint(e)\n", "e 5"),
    ] {
        assert_eq!(names(code).join(", "), told, "{code}");
    }
}

#[test]
fn what_has_a_value_somehow_is_silent() {
    for code in [
        "print(given, __name__, __file__, WindowsError)\n",
        "import os.path as p, sys, a.b\nfrom math import (pi,\n  sin as s)\nprint(p, sys, a, pi, s)\n",
        "def f():\n    return later\nlater = 1\nf()\n",
        "class A:\n    x: int = 1\n    y = x\n    z = [i for i in x]\n    def m(self): return __class__, self\n",
        "[i for i in range(3) if (z := i)]\nprint(z)\n",
        "try:\n    q\nexcept NameError:\n    q = 1\n",
        "try:\n    q\nexcept:\n    pass\n",
        "for i, (j, *k) in []:\n    print(i, j, k, m)\n    m = 1\n",
        "while a_() if 0 else 0:\n    print(x)\n    x = 1\n\ndef a_(): pass\n",
        "lambda u, *v, w=1, **x: (u, v, w, x)\n",
        "match 1:\n    case {'a': a, **rest}: print(a, rest)\n    case [b, *c] | str(x=b): print(b, c)\n    case _: pass\n",
        "match = case = type = 1\nmatch.x = case[0] = type\n",
        "try:\n    pass\nexcept Exception as e:\n    print(e)\n",
        "x = 1\nif given:\n    del x\nprint(x)\n",
        "x = 1\nif given: del x\nprint(x)\n",
        "x = 1\ndel x\nx = 2\nprint(x)\n",
        "x = 1\ndef f():\n    return x\ndel x\nx = f\nprint(x)\n",
        "x = y = [1]\ndel x[0], y.a, print, given\nprint(x, y, print, given)\n",
        "x = 1\nfor i in given:\n    print(x)\n    del x\nprint(x)\n",
        "e = 1\ntry:\n    pass\nexcept Exception as e:\n    pass\nprint(e)\n",
        "try:\n    e = 1\nexcept Exception as e:\n    pass\nprint(e)\n",
        "try:\n    pass\nexcept KeyError as e:\n    print(e)\nexcept OSError as e: print(e)\ne = 1\nprint(e)\n",
        "def f():\n    try:\n        pass\n    except Exception as e:\n        pass\n    return e\n",
        "class A[T]:\n    x: T\n",
        "if given:\n    x = 1\nelse:\n    print(x)\n",
        "def f():\n    x = 1\n    def g():\n        nonlocal y\n        return x, y\n    y = 2\n",
        "with (open('a') as a, open('b') as b):\n    print(a, b)\n",
        "async def f():\n    async with given as a:\n        return [x async for x in a]\n",
        "x = 1\nx += 1\nx: int\nx = y = x\n",
        "f'{given=} {given!r:>{given}} {{nope}} {given:%Y}'\n",
        "f'\\N{LATIN SMALL LETTER A}'\n",
        "def f(a: 'Nope') -> 'Nope': pass\n",
        "print(given.nope, given.nope.x, 1.5, 1e5, ...)\n",
        "a = b = lambda: c\nc = 1\n",
        "print(*[1], **{'a': 1}, sep='')\n",
        "def f(a, /, *, b=1): return a, b\n",
        "def f():\n\treturn 1\n\x0cx = f()\nprint(x)\n",
        "def f():\n\tif given:\n        \tx = 1\n\treturn x\n",
        "x = 1 if given else 2\ny = x if x else (yield)\n",
        "y = m.group() if (m := given) else None\nprint(m)\n",
        "assert w if (w := 1) else 1\n",
        "print(a if (a := 1) > 0 else -a)\n",
        "x = {'k': v['x'] if (v := {}) else None}\n",
        "[m.x() if (m := q) else 0 for q in given]\n",
        "if y and f'{y}' if (y := 1) else 0: print(y)\n",
        "if f'{(v := 3)}': print(v)\n",
        "print(f'{(v:=3)!r} {v}')\n",
        "print(f'{len(y := given)}', y)\n",
        "\u{fb01}t = 1\nprint(fit)\n",
        "fit = 1\nprint(\u{fb01}t)\n",
        "\u{ff50}rint(1)\n",
        "x = 1\r\nprint(x)\r\n",
        "print(v if f'{(v := 3)}' else 0)\n",
        "class A:\n    f = lambda: f'{(y := 1)} {y}'\n",
    ] {
        assert_eq!(names(code), [""; 0], "{code}");
    }
}

#[test]
fn code_that_cannot_be_followed_is_silent() {
    for code in [
        "x = “nope”\n",
        "from os import *\nprint(nope)\n",
        "nope?\n",
        "x = !ls\nnope\n",
        "print(nope\n",
        "x = 1\rprint(nope)\n",
        "def (nope)\n",
        "for nope:\n",
    ] {
        assert_eq!(names(code), [""; 0], "{code}");
    }
    let deep = format!("{}nope{}\n", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(names(&deep), [""; 0]);
    let long = format!("nope\n{}", "x = 1\n".repeat(LONGEST / 6));
    assert_eq!(names(&long), [""; 0]);
}

#[test]
fn a_name_in_a_text_is_told_where_it_stands_there() {
    assert_eq!(look("x = f'{1} {nope}'\n", &[]).names[0].at, 11);
}

#[test]
fn a_name_that_is_written_much_like_another_is_taken_for_it() {
    assert_eq!(look("frame = 1\nprint(frme)\n", &[]).names[0].near.as_deref(), Some("frame"));
    assert_eq!(look("print(zzz)\n", &[]).names[0].near, None);
}

#[test]
fn magics_and_commands_are_comments_and_every_byte_keeps_its_place() {
    let text = "%matplotlib inline\n!ls\n  %%time\nx = '''\n%s''' % 1\nx != 1\n";
    let code = script(text).unwrap();
    assert_eq!(code, "#matplotlib inline\n#ls\n  #%time\nx = '''\n#s''' % 1\nx != 1\n");
    assert_eq!(code.len(), text.len());
    for text in [
        "%%bash\necho\n",
        "# + active=\"ipynb\"\n# x = 1\n",
        "# + language=\"bash\"\n# echo\n",
        "# %% %%bash\n# echo\n",
        "# %%time\nx = 1\n",
    ] {
        assert_eq!(script(text), None, "{text}");
    }
    // What nbconvert writes begins a cell, too.
    let text = "# %% [markdown]\nSome words\n# In[2]:\nx = 1\n";
    assert_eq!(script(text).as_deref(), Some("# %% [markdown]\n#ome words\n# In[2]:\nx = 1\n"));
    for text in
        ["# + tags=[\"parameters\"]\nx = 1\n# -\n", "# %% [markdown]\n# x\n# %% tags=[\"a\"]\nx = 1\n", "# +\nx\n"]
    {
        assert_eq!(script(text).as_deref(), Some(text));
    }
}

#[test]
fn cells_of_a_notebook_are_read_in_order_and_found_again_in_its_file() {
    let file = r#"{"cells": [
 {"cell_type": "markdown", "source": "nope"},
 {"cell_type": "code", "source": ["%%bash\n", "nope\n"]},
 {"cell_type": "code", "source": ["x = \"1\"\n", "print(\"a\", y)"]}
], "metadata": {"kernelspec": {"name": "python3"}}}"#;
    let code = ipynb(file).unwrap();
    let found = look(&code, &[]).names;
    assert_eq!(found.len(), 1);
    let at = place(file, &code, found[0].at);
    assert!(file[at..].starts_with("y)\"]}"), "{at}");
    assert_eq!(place("{}", &code, found[0].at), 0);
    let file = r#"{"cells": [{"cell_type": "code", "outputs": [{"data": {}}], "source": "x = \"1\"\nprint(\"a\", y)\ndata"}],
 "metadata": {"kernelspec": {"name": "python3"}}}"#;
    let code = ipynb(file).unwrap();
    let found = look(&code, &[]).names;
    let rest: Vec<&str> = found.iter().map(|one| &file[place(file, &code, one.at)..]).collect();
    assert_eq!(rest.len(), 2);
    assert!(rest[0].starts_with("y)\\ndata") && rest[1].starts_with("data\"}]"), "{rest:?}");
    assert_eq!(ipynb(&file.replace("python3", "ir")), None);
    assert_eq!(ipynb("[]"), None);
}

#[test]
fn cells_that_ploomber_writes_anew_are_not_read_and_their_names_are_silent() {
    let text = "# + tags=[\"injected-parameters\"]\nx = (nope\n  y = 1\n\n# -\nprint(x, y, z)\n";
    let code = script(text).unwrap();
    assert_eq!(code, "# + tags=[\"injected-parameters\"]\n# = (nope\n  # = 1\n\n# -\nprint(x, y, z)\n");
    assert_eq!(injected(text), ["x", "y"]);
    let file = r#"{"cells": [
 {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": ["x = (nope\n", "y = 1"]},
 {"cell_type": "code", "source": ["print(x, y, z)"]}
], "metadata": {"kernelspec": {"name": "python3"}}}"#;
    assert_eq!(ipynb(file).as_deref(), Some("print(x, y, z)\n"));
    assert_eq!(injected(file), ["x", "y"]);
    for code in [code, ipynb(file).unwrap()] {
        let Wrong { names, slip } = look(&code, &injected(file));
        assert_eq!((names.len(), names[0].name.as_str(), slip), (1, "z", None));
    }
    let parameters = text.replace("injected-", "");
    assert_eq!((script(&parameters).as_deref(), injected(&parameters)), (Some(parameters.as_str()), Vec::new()));
}

#[test]
fn cells_of_words_are_no_code_whatever_stands_in_them() {
    for text in [
        "# %% [markdown]\nWhat? It's (fine\n# %%\nprint(nope)\n",
        "# + [md]\nWhat? It's (fine\n# -\nprint(nope)\n",
        "# %% [markdown]\nIt's\n# -\nWhat? is\n# + so\nWhat?\n# %%\nprint(nope)\n",
        "# %%\n# + [markdown]\nx = 1\nprint(x, nope)\n",
        "# %% [markdown]\n\"\"\"\n# %% nothing\nIt's\n\"\"\"\n\n# %%\nprint(nope)\n",
    ] {
        let code = script(text).unwrap();
        assert_eq!(code.len(), text.len());
        let Wrong { names, slip } = look(&code, &[]);
        assert_eq!((names.len(), names[0].name.as_str(), slip), (1, "nope", None), "{text}");
    }
}

fn slip(code: &str) -> Option<(usize, Slip)> {
    look(code, &[]).slip
}

#[test]
fn a_bracket_without_a_partner_is_told_where_all_is_python() {
    assert_eq!(slip("x = (1\n"), Some((4, Slip::Bracket)));
    assert_eq!(slip("x = 1)\n"), Some((5, Slip::Bracket)));
    assert_eq!((slip("x = (1)\n"), slip("x = r'\\'('\n")), (None, None));
}

#[test]
fn what_no_python_reads_is_told_where_it_begins() {
    for (code, told) in [
        ("x = !ls (\n", (4, Slip::Sign('!'))),
        ("print?\n", (5, Slip::Sign('?'))),
        ("x = 1\n% matplotlib\n", (6, Slip::Sign('%'))),
        ("x = f'{1}' + $HOME\n", (13, Slip::Sign('$'))),
        ("print('it's')\n", (11, Slip::Quote)),
        ("x = 'abc\ny = 1\n", (4, Slip::Quote)),
        ("x = rb\"abc\\\"\n", (4, Slip::Quote)),
        ("x = '''abc\n'\n", (4, Slip::Quote)),
    ] {
        assert_eq!(slip(code), Some(told), "{code}");
    }
    for code in [
        "x = '' + \"it's\" + '\\'' + r'\\'' + '''it's\n'''\n",
        "x = 'a\\\nb'\n",
        "x = 'a\\\r\nb'\r\n",
        "x = f\"{d[\"it's a?\"]}\"\n",
        "x = f'{\n1}'\n",
        "x = 1 != 2\nx = (3\n% 2)\nx = 3 \\\n% 2\n",
        "x = '\u{2028}'\n",
        "# it's?\n",
    ] {
        assert_eq!(slip(code), None, "{code}");
    }
}

#[test]
fn what_belongs_in_a_function_is_told_where_it_stands_in_none() {
    for (code, told) in [
        ("return 1\n", Some((0, "return"))),
        ("class A:\n    return 1\n", Some((13, "return"))),
        ("if True: return\n", Some((9, "return"))),
        ("yield 1\n", Some((0, "yield"))),
        ("x = await f()\ndef f(): pass\n", Some((4, "await"))),
        ("for i in []:\n    print(await i)\n", Some((23, "await"))),
        ("def f(): return 1\n", None),
        ("async def f():\n    x = await f()\n    if x:\n        return x\n    yield x\n", None),
        ("class A:\n    def f(self):\n        return 1\n", None),
        ("x = lambda: (yield)\nx = [(yield i) for i in []]\n", None),
        ("async with x as y: pass\n", None),
    ] {
        assert_eq!(slip(code), told.map(|(at, word)| (at, Slip::Outside(word))), "{code}");
    }
}

#[test]
fn what_belongs_in_a_loop_is_told_where_it_stands_in_none() {
    for (code, told) in [
        ("break\n", Some((0, "break"))),
        ("if True: continue\n", Some((9, "continue"))),
        ("for i in []:\n    def f():\n        break\n", Some((34, "break"))),
        ("while 1:\n    class A:\n        break\n", Some((30, "break"))),
        ("for i in []:\n    pass\nelse:\n    break\n", Some((32, "break"))),
        ("try:\n    pass\nexcept OSError:\n    continue\n", Some((34, "continue"))),
        ("match 1:\n    case 1: break\n", Some((21, "break"))),
        ("for i in []: pass; break\nbreak\n", Some((25, "break"))),
        ("for i in []: break\n", None),
        ("for i in []:\n    for j in []:\n        pass\n    else:\n        break\n", None),
        ("while 1:\n    try:\n        if 1: continue\n    finally:\n        with f as g: break\ndef f(): pass\n", None),
        ("async def f():\n    async for i in []:\n        match i:\n            case 1: break\n", None),
        ("while 1:\n    x = lambda: 1\n    x = [i for i in []]\n    break\n", None),
    ] {
        assert_eq!(slip(code), told.map(|(at, word)| (at, Slip::Unlooped(word))), "{code}");
    }
}

#[test]
fn a_parameter_that_is_there_twice_is_told_where_it_is_again() {
    for (code, told) in [
        ("def f(a, a): pass\n", Some(9)),
        ("x = lambda a, b, *a: 1\n", Some(18)),
        ("def f(a: int, *, b=1, **a): pass\n", Some(24)),
        ("def f(_, _): pass\n", Some(9)),
        ("def f(a, b=lambda a: 1, *, c): pass\n", None),
        ("def f(a):\n    def g(a): pass\n    return lambda a: a\n", None),
        ("def f(a, /, b, *, c=1, **d): pass\n", None),
    ] {
        assert_eq!(slip(code), told.map(|at| (at, Slip::Twice(1))), "{code}");
    }
    assert_eq!(slip("def f(\u{fb01}, fi): pass\n"), Some((11, Slip::Twice(2))));
}

#[test]
fn a_name_that_a_function_gives_a_value_only_below_is_told() {
    for (code, told) in [
        ("def f():\n    print(q)\n    q = 1\n", "q 2"),
        ("x = 1\ndef f():\n    print(x)\n    x = 2\n", "x 3"),
        ("x = 1\ndef f():\n    x += 1\n", "x 3"),
        ("x = 1\ndef f():\n    if x: pass\n    else: x = 1\n", "x 3"),
        ("def f():\n    os.x()\n    import os\n", "os 2"),
        ("def f():\n    x = 1\n    def g():\n        print(f'{x}')\n        x = 2\n", "x 4"),
        ("x = 1\ndef f():\n    for x in x: pass\n", "x 3"),
        ("x = 1\nclass A:\n    def f(self):\n        with x as x: pass\n", "x 4"),
        ("def f():\n    print(given)\n    given: int = 1\n", "given 2"),
    ] {
        assert_eq!(names(code).join(", "), told, "{code}");
        assert!(look(code, &["given".to_owned()]).names[0].is_below, "{code}");
    }
    for code in [
        "import os\ndef f():\n    os.x()\n    import os\n",
        "x = 1\ndef f():\n    print(x)\n    print([x for i in []])\n    x = 2\n",
        "x = 1\ndef f():\n    global x\n    x += 1\n",
        "x = 1\ndef f():\n    def g(): return x\n    x = 2\n",
        "x = 1\ndef f():\n    lambda: x\n    x = 2\n",
        "x = 1\ndef f():\n    print(x)\n    def x(): pass\n    x = 1\n",
        "x = 1\ndef f():\n    y = x if (x := 1) else 0\n    return y\n",
        "def f():\n    for i in []:\n        print(x)\n        x = 1\n",
        "def f(x):\n    print(x)\n    x = 2\n",
        "def f():\n    x = 1\n    print(x)\n    x = 2\n",
        "class A:\n    def f(self): return self.x\n    x = 1\n",
        "def f():\n    list(given)\n    list = 1\n",
        "def f():\n    x, y = 1, 2\n    x, y = y, x\n    return [x for y in x]\n",
    ] {
        assert_eq!(names(code), [""; 0], "{code}");
    }
}
