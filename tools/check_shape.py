"""Checks of shape that no linter makes; part of `make check`, exits 1 when something is found.

    python tools/check_shape.py [ROOT]

1. A file has at most 400 lines, a function at most 60.
2. No module is called utils, helpers, common, misc, manager, base, core or impl.
3. `domain`, `policy`, `ports` and the classification of SQL import only what is on their list,
   and the verifier only what an outsider needs to read along with it.
4. Each test says in its docstring what it expects, and none patches.
5. Each module that an import contract names exists, so that no contract is empty by a rename.
6. Each path in backticks in a document exists.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
FORBIDDEN_NAMES = frozenset(
    {"utils", "helpers", "common", "misc", "manager", "base", "core", "impl"}
)

# Values in, values out. What is not listed needs a reason to be added here, in a change of its own.
PURE_STANDARD = frozenset({
    "base64", "binascii", "collections", "contextlib", "dataclasses", "datetime", "decimal", "enum",
    "fractions", "functools", "hashlib", "hmac", "itertools", "json", "math", "operator", "re",
    "string", "struct", "textwrap", "types", "typing", "unicodedata", "urllib.parse",
    "ipaddress", "bisect", "heapq", "abc", "copy", "difflib", "fnmatch", "__future__",
})  # fmt: skip
ALLOWED_IMPORTS = {
    "domain": PURE_STANDARD | {"msgspec", "callpoint.domain"},
    "ports": PURE_STANDARD | {"msgspec", "callpoint.domain", "callpoint.ports"},
    "policy": PURE_STANDARD
    # z3 is a solver: terms in, a model out. Only `policy/prove` imports it.
    | {"msgspec", "cedarpy", "z3", "callpoint.domain", "callpoint.ports", "callpoint.policy"},
    # What a statement does is computed; the wire that carries it is beside, and not pure.
    "gateways/postgres/sql": PURE_STANDARD
    | {"postgast", "callpoint.domain", "callpoint.gateways.postgres.sql"},
    # An auditor reads these beside the specification, without the rest of Callpoint. It is also a
    # program of its own, so it may read the files that it is given; a network it never needs.
    "audit/verify": PURE_STANDARD
    # Time stamps are checked by a library that is loaded only for who asks for it.
    | {"msgspec", "cryptography", "rfc3161_client", "argparse", "pathlib", "sys"}
    | {
        f"callpoint.audit.{name}"
        for name in ("merkle", "note", "checkpoint", "entry", "cosignature", "proof_file", "verify")
    }
    # An auditor may have kept the server's own checkpoint file as the earlier checkpoint.
    | {"callpoint.audit.kept_file"},
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong, where, and what was expected."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, however deep."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def check_sizes(path: str, source: str, tree: ast.Module) -> Iterator[Finding]:
    """A reader holds one file and one function in mind at a time."""
    lines = source.count("\n") + (not source.endswith("\n") and source != "")
    if lines > MAX_FILE_LINES:
        yield Finding(
            path, lines, f"{lines} lines; at most {MAX_FILE_LINES}: split by noun or step"
        )
    for node in functions(tree):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > MAX_FUNCTION_LINES:
            words = f"{node.name} has {length} lines; at most {MAX_FUNCTION_LINES}"
            yield Finding(path, node.lineno, words)


def check_name(path: str) -> Iterator[Finding]:
    """A name says what is inside; these say that nobody decided."""
    for part in Path(path).with_suffix("").parts:
        if part in FORBIDDEN_NAMES:
            yield Finding(path, 1, f"nothing may be called {part!r}: name the noun or the step")


def imported_modules(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every absolute module that the tree imports, with its line; for `from`, each name too."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((name.name, node.lineno) for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((f"{module}.{name.name}", node.lineno) for name in names)
            case _:
                pass


def check_imports(
    path: str, tree: ast.Module, allowed: frozenset[str] | set[str]
) -> Iterator[Finding]:
    """An import is allowed when it, or a package above it, is on the list."""
    for module, line in imported_modules(tree):
        parts = module.split(".")
        above = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        if not above & allowed:
            yield Finding(
                path, line, f"{module} is not on the list of pure imports (see {__file__})"
            )


def check_tests(path: str, tree: ast.Module) -> Iterator[Finding]:
    """A failing test is read by its docstring first; a patched test shows little."""
    for node in functions(tree):
        if node.name.startswith("test_") and not ast.get_docstring(node):
            words = f"{node.name} needs a sentence of expected behaviour as its docstring"
            yield Finding(path, node.lineno, words)
    for module, line in imported_modules(tree):
        if module.startswith("unittest.mock"):
            yield Finding(path, line, "pass a fake that implements the port instead of patching")


def check_contracts(root: Path) -> Iterator[Finding]:
    """A contract over a module that does not exist can never be broken."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    for contract in settings["contracts"]:
        if contract["type"] not in {"forbidden", "protected"}:
            continue
        for key in (
            "source_modules",
            "forbidden_modules",
            "protected_modules",
            "allowed_importers",
        ):
            for module in contract.get(key, ()):
                if module.startswith("*.") and not _module_exists(root, module.removeprefix("*.")):
                    words = f"contract {contract['id']!r} names {module}, which does not exist"
                    yield Finding("pyproject.toml", 1, words)


def _module_exists(root: Path, dotted: str) -> bool:
    place = root / "src" / "callpoint" / dotted.replace(".", "/")
    return place.is_dir() or place.with_suffix(".py").is_file()


def check_documents(root: Path, path: Path) -> Iterator[Finding]:
    """A path that a document names can be opened; `*` and `{a,b}` may stand in it."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        for named in re.findall(r"`((?:src|docs|tests|tools)/[^`\s]*)`", line):
            for one in _spell_out(named.split("#")[0].split("::")[0]):
                if not any(root.glob(one.rstrip("/"))):
                    name = path.relative_to(root).as_posix()
                    yield Finding(name, number, f"`{one}` does not exist")


def _spell_out(named: str) -> Iterator[str]:
    braces = re.search(r"\{([^}]*)\}", named)
    if braces is None:
        yield named
        return
    for choice in braces[1].split(","):
        yield from _spell_out(named[: braces.start()] + choice.strip() + named[braces.end() :])


def check_source(root: Path, file: Path) -> Iterator[Finding]:
    """All checks of one Python file."""
    path = file.relative_to(root).as_posix()
    source = file.read_text()
    tree = ast.parse(source, filename=path)
    yield from check_sizes(path, source, tree)
    yield from check_name(path)
    if path.startswith("tests/"):
        yield from check_tests(path, tree)
    for place, allowed in ALLOWED_IMPORTS.items():
        inside = f"src/callpoint/{place}"
        if path == f"{inside}.py" or path.startswith(f"{inside}/"):
            yield from check_imports(path, tree, allowed)


def find_all(root: Path) -> list[Finding]:
    """Every finding below the root, sorted."""
    found: list[Finding] = list(check_contracts(root))
    for folder in ("src", "tests", "tools"):
        for file in (root / folder).rglob("*.py"):
            found.extend(check_source(root, file))
    for document in (*root.glob("*.md"), *(root / "docs").rglob("*.md")):
        found.extend(check_documents(root, document))
    return sorted(found)


def main(arguments: list[str]) -> int:
    root = Path(arguments[0] if arguments else __file__).resolve()
    root = root if arguments else root.parent.parent
    found = find_all(root)
    for finding in found:
        print(finding)
    print(f"shape: {len(found)} findings" if found else "shape: ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
