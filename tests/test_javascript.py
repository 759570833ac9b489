"""The coloured text's JavaScript: its types, its tests under Node, and how its modules are joined.

Node and TypeScript (Debian's nodejs and node-typescript) are required where a browser is.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dashboard.coloured_text.javascript import join_modules

ROOT = Path(__file__).parents[1]
ENTRY = ROOT / "dashboard" / "coloured_text" / "coloured_text.mjs"
MODULES = sorted(ENTRY.parent.glob("*.mjs"))
NODE_TESTS = sorted((ROOT / "tests" / "javascript").glob("*.test.mjs"))


def run(command: str, *arguments) -> None:
    """Run a program that may be missing; all that it says is shown where it fails."""
    program = shutil.which(command)
    if program is None:
        (pytest.fail if os.environ.get("BROWSER_REQUIRED") else pytest.skip)(f"no {command} here")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_types():
    run("tsc", "-p", "tests/javascript")


def test_units():
    assert NODE_TESTS
    run("node", "--test", *NODE_TESTS)


def test_the_joined_modules_load_as_one(tmp_path):
    """Node finds no syntax error, no import is left, and what Streamlit calls is there."""
    joined = tmp_path / "joined.mjs"
    joined.write_text(join_modules(ENTRY), encoding="utf-8")
    script = (
        "const { default: draw } = await import(process.argv[1]); process.exit(draw.length - 1)"
    )
    run("node", "--input-type=module", "--eval", script, joined.as_uri())


def test_every_module_is_in_what_the_browser_gets_once():
    joined = join_modules(ENTRY)
    assert len(MODULES) > 5
    for path in MODULES:
        first_line = path.read_text(encoding="utf-8").splitlines()[0]
        assert joined.count(first_line) == 1, path.name
    assert joined.count("export ") == joined.count("export default function") == 1


def modules(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.mjs").write_text(text, encoding="utf-8")
    return folder / "a.mjs"


def test_a_module_stands_before_those_that_import_it(tmp_path):
    entry = modules(
        tmp_path,
        a='import { one } from "./b.mjs";\nimport {\n  two,\n} from "./c.mjs";\n'
        "export default function main() {}\n",
        b='import { two } from "./c.mjs";\nexport const one = two;\n',
        c="export class two {}\n",
    )
    joined = join_modules(entry).split("\n")
    lines = ["class two {}", "const one = two;", "export default function main() {}"]
    assert [line for line in joined if line] == lines


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"a": 'import b from "./b.mjs";\n'}, "a.mjs cannot be joined: import b"),
        ({"a": 'import { b as c } from "./b.mjs";\n'}, "cannot be joined"),
        ({"a": 'import "./b.mjs";\n'}, "cannot be joined"),
        ({"a": 'export * from "./b.mjs";\n'}, "cannot be joined: export"),
        ({"a": "const one = 1;\nexport { one };\n"}, "cannot be joined: export"),
        (
            {
                "a": 'import { b } from "./b.mjs";\nlet c;\n',
                "b": "export let b;\nfunction c() {}\n",
            },
            "c is declared in b.mjs and in a.mjs",
        ),
        (
            {"a": 'import { b } from "./b.mjs";\n', "b": "let b;\n"},
            "b, which b.mjs does not export",
        ),
        (
            {
                "a": 'import { b } from "./b.mjs";\nexport let a;\n',
                "b": 'import { a } from "./a.mjs";\nexport let b;\n',
            },
            "a.mjs imports itself by way of b.mjs",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(tmp_path, texts, message):
    with pytest.raises(ValueError, match=message):
        join_modules(modules(tmp_path, **texts))
