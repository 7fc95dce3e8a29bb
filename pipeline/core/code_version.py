"""The code version of a stage: a hash of the syntax trees it is made of, docstrings stripped.

A stage reruns when its own code, or code it imports from ``pipeline``, changes in a way that can
change numbers. Comments, docstrings and formatting do not count, and nobody bumps a number by hand. Nor do words and
downloads count (`WITHOUT_NUMBERS`).
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.core.errors import BadConfiguration
from pipeline.core.module_files import find_module
from pipeline.core.source_memo import own_memo

PACKAGE = "pipeline"
ROOT = Path(__file__).resolve().parents[2]
WITHOUT_NUMBERS = ("pipeline.core.errors", "pipeline.core.progress", "pipeline.fetch")
"""Modules and rooms that change no number, so that no key holds their code, nor what only they import.

The first two are words. What `pipeline.fetch` brings counts by its bytes instead: a receipt holds the digest of every
file, and all that is made of the files holds the receipt's. What reads numbers in them (pickles, safetensors) lies in
`pipeline.formats`, and counts.
"""


@functools.cache
def _file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    if (path / "__init__.py").is_file():
        return path / "__init__.py"
    return None


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """A tree and all statements in it. Expressions, most of a tree, hold neither imports nor docstrings."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for inside in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, inside, ())


def _strip_docstrings(tree: ast.AST) -> None:
    for node in _statements(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]


@functools.cache
def _parsed(path: Path) -> tuple[str, tuple[str, ...]]:
    """SHA-256 (hex) of a module's tree without docstrings, and the pipeline modules that it imports."""
    name, source, memo = str(path.relative_to(ROOT)), path.read_bytes(), own_memo()
    noted = memo.get(name, source) if memo is not None else None
    if noted is None:
        tree = ast.parse(source)
        imported = sorted(name for name in _imported(tree) if name.split(".")[0] == PACKAGE)
        _strip_docstrings(tree)
        noted = hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported
        if memo is not None:
            memo.add(name, source, noted)
    digest, imported = noted
    return digest, tuple(name for name in imported if _file_of(name))


def modules_behind(modules: Iterable[str]) -> list[str]:
    """The given pipeline modules and what they import from ``pipeline``, directly or not, that may change numbers."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        path = _file_of(module)
        if module in found or path is None:
            continue
        found.add(module)
        waiting.extend(name for name in _parsed(path)[1] if not _is_without_numbers(name))
    return sorted(found)


def _is_without_numbers(module: str) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in WITHOUT_NUMBERS)


@functools.cache
def code_version(*modules: str) -> str:
    """SHA-256 (hex) over the code behind the named modules, e.g. ``pipeline.encoding.stage``.

    Modules outside this package (a user's plug-in) are found without importing anything, and hashed whole.
    """
    digest = hashlib.sha256()
    for module in modules_behind(modules):
        path = _file_of(module)
        assert path is not None
        digest.update(module.encode() + b"\0" + _parsed(path)[0].encode() + b"\0")
    for module in sorted(set(modules)):
        if module.split(".")[0] != PACKAGE:
            digest.update(module.encode() + b"\0" + _foreign_source(module))
    return digest.hexdigest()


def _foreign_source(module: str) -> bytes:
    """The code behind a module of another package, what it imports from that package, and the package's version."""
    package = module.split(".")[0]
    digest = hashlib.sha256(_version_of(package).encode())
    waiting, found = [module], set[str]()
    while waiting:
        name = waiting.pop()
        module_file = find_module(name)  # None: `from package import function` names no module
        if name in found or module_file is None or module_file.path is None:
            continue
        found.add(name)
        tree = _tree_of(module_file.path)
        inside = name if module_file.folders else name.rpartition(".")[0]
        waiting += sorted(one for one in _imported(tree, inside) if one.split(".")[0] == package)
        digest.update(name.encode() + b"\0" + _dumped(tree))
    return digest.hexdigest().encode()


def _version_of(package: str) -> str:
    """The version of the distribution that a package belongs to; empty where it is not installed as one."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def code_of_file(path: Path) -> str:
    """The syntax trees, without docstrings, of a Python file and of what lies beside it that it imports, hashed (hex).

    Raises
    ------
    BadConfiguration
        A file is not Python; the message names the line.
    """
    digest = hashlib.sha256()
    waiting: list[tuple[Path, str]] = [(path, "")]
    found: set[Path] = set()
    while waiting:
        file, inside = waiting.pop()
        if file in found:
            continue
        found.add(file)
        tree = _tree_of(file)
        waiting += [beside for name in sorted(_imported(tree, inside)) for beside in _beside(path.parent, name)]
        # the file itself may have any name; others are known by theirs
        known_by = "" if file == path else str(file.relative_to(path.parent))
        digest.update(known_by.encode() + b"\0" + _dumped(tree))
    return digest.hexdigest()


def _beside(folder: Path, module: str) -> list[tuple[Path, str]]:
    """The files of a module within a folder, its packages' ``__init__.py`` included, each with its package."""
    parts = module.split(".")
    files: list[tuple[Path, str]] = []
    for depth in range(1, len(parts) + 1):
        place, package = folder.joinpath(*parts[:depth]), ".".join(parts[:depth])
        files += [(place / "__init__.py", package), (place.with_suffix(".py"), package.rpartition(".")[0])]
    return [(file, package) for file, package in files if file.is_file()]


def _tree_of(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # what is nested too deeply is the last two
        raise BadConfiguration(f"{path} is not valid Python ({error or type(error).__name__})") from error


def _dumped(tree: ast.Module) -> bytes:
    _strip_docstrings(tree)
    return ast.dump(tree).encode() + b"\0"


def _imported(tree: ast.AST, inside: str = "") -> set[str]:
    """Modules that a tree imports, also those of which only parts are named.

    Parameters
    ----------
    inside : the package that the tree's relative imports start from
    """
    names: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = inside.split(".")[: len(inside.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*package, *([node.module] if node.module else [])])
            if module:
                names.add(module)
                names.update(f"{module}.{alias.name}" for alias in node.names)
    return names
