"""The coloured text's JavaScript modules, joined into the one that Streamlit takes.

Streamlit gives a browser either one inline module, which has no address that an import could be
relative to, or the files of an `asset_dir`, which only an installed package can declare and a
checkout is none. So the modules are joined here, where all of them lie, without a build step.
"""

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{(\s*\w+(?:,\s*\w+)*,?\s*)\} from "\./([\w.]+)";\n', re.MULTILINE)
_DECLARATION = r"(?:function|class|const|let) "
_EXPORT = re.compile(rf"^export (?={_DECLARATION})", re.MULTILINE)
_DECLARED = re.compile(rf"^(?:export (?:default )?)?{_DECLARATION}(\w+)", re.MULTILINE)
# What else belongs to modules; the entry's default export is for Streamlit and stays.
_LEFT = re.compile(r"^(?:import\b|export (?!default function )).*", re.MULTILINE)


def join_modules(entry: Path) -> str:
    """The module at `entry` with all that it imports, each once, before those that import it.

    They come to share one scope, so each name on the top level is declared in one module only.
    Imports are of names, from files beside: `import { a, b } from "./c.mjs";`. Raises ValueError
    for any other import or export, a name declared twice or not exported, and imports in a circle.
    """
    texts: dict[Path, str] = {}
    _collect(entry, texts, ())
    owners: dict[str, str] = {}
    for path, text in texts.items():
        for name in _DECLARED.findall(text):
            if name in owners:
                raise ValueError(f"{name} is declared in {owners[name]} and in {path.name}")
            owners[name] = path.name
    return "\n".join(_without_module_syntax(path, text) for path, text in texts.items())


def _collect(path: Path, texts: dict[Path, str], importing: tuple[Path, ...]) -> None:
    """Put what `path` imports, then itself, into `texts`."""
    if path in importing:
        raise ValueError(f"{path.name} imports itself by way of {importing[-1].name}")
    if path in texts:
        return
    text = path.read_text(encoding="utf-8")
    for names, file in _IMPORT.findall(text):
        other = path.parent / file
        _collect(other, texts, (*importing, path))
        for name in filter(None, (part.strip() for part in names.split(","))):
            if not re.search(rf"^export {_DECLARATION}{name}\b", texts[other], re.MULTILINE):
                raise ValueError(f"{path.name} imports {name}, which {file} does not export")
    texts[path] = text


def _without_module_syntax(path: Path, text: str) -> str:
    plain = _EXPORT.sub("", _IMPORT.sub("", text))
    if left := _LEFT.search(plain):
        raise ValueError(f"{path.name} cannot be joined: {left[0]}")
    return plain
