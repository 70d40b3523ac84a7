"""A configuration directory: ``callpoint.toml``, ``callpoint.d/*.toml``, ``policies/*.cedar``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from callpoint.config.document import MAX_BYTES, Document, parse_document, raise_all
from callpoint.config.reader import read_configuration
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import ConfigError, ConfigErrors

MAIN = "callpoint.toml"
PARTS = "callpoint.d"
POLICIES = "policies"


@dataclass(frozen=True, slots=True)
class Sources:
    """What a directory says.

    Attributes:
        configuration: The governed configuration.
        policies: File name to Cedar text.
        files: What was read, in order.
    """

    configuration: Configuration
    policies: dict[str, str]
    files: tuple[Path, ...]


def load_directory(path: Path, default_policies: Mapping[str, str] | None = None) -> Sources:
    """Read a configuration directory.

    Args:
        path: The directory.
        default_policies: What stands for a directory without ``policies``.

    Raises:
        ConfigErrors: All that is wrong in all files.
    """
    problems: list[ConfigError] = []
    toml = _toml_files(path)
    documents = [d for file in toml if (d := _document(file, path, problems)) is not None]
    cedar = sorted((path / POLICIES).glob("*.cedar")) if (path / POLICIES).is_dir() else []
    policies = _policies(cedar, path, problems, default_policies)
    configuration = None
    if len(documents) == len(toml):
        try:
            configuration = read_configuration(documents)
        except ConfigErrors as errors:
            problems.extend(errors.errors)
    raise_all(problems)
    if configuration is None:
        raise AssertionError("a file that cannot be read is a problem")
    return Sources(configuration, policies, (*toml, *cedar))


def _toml_files(path: Path) -> list[Path]:
    main = path / MAIN
    if not main.is_file():
        raise ConfigErrors(
            (
                ConfigError(
                    f"there is no {MAIN}",
                    file=str(path),
                    way_out="name the directory that holds it: --config DIR",
                ),
            )
        )
    return [main, *sorted((path / PARTS).glob("*.toml"))]


def _read(file: Path, root: Path, problems: list[ConfigError]) -> bytes | None:
    name = file.relative_to(root).as_posix()
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        problems.append(
            ConfigError(
                f"cannot be read: {error.strerror}", file=name, way_out="check owner and mode"
            )
        )
        return None
    return raw


def _document(file: Path, root: Path, problems: list[ConfigError]) -> Document | None:
    raw = _read(file, root, problems)
    if raw is None:
        return None
    try:
        return parse_document(raw, file.relative_to(root).as_posix())
    except ConfigErrors as errors:
        problems.extend(errors.errors)
    except ConfigError as error:
        problems.append(error)
    return None


def _policies(
    files: list[Path],
    root: Path,
    problems: list[ConfigError],
    default: Mapping[str, str] | None,
) -> dict[str, str]:
    """Cedar text by file name; whether it is sound Cedar is the policy set's business."""
    if not (root / POLICIES).exists() and default is not None:
        return dict(default)
    if not files:
        problems.append(
            ConfigError(
                "holds no policy, so everything would be denied",
                file=POLICIES,
                way_out="add a .cedar file, or remove the folder to use the default pack",
            )
        )
    found: dict[str, str] = {}
    for file in files:
        raw = _read(file, root, problems)
        if raw is None:
            continue
        try:
            found[file.name] = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append(
                ConfigError(
                    "not UTF-8 text",
                    file=file.relative_to(root).as_posix(),
                    line=raw.count(b"\n", 0, error.start) + 1,
                    way_out="save the file as UTF-8",
                )
            )
    return found
