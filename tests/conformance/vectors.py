"""Where the published vectors are: beside the repository, not in it."""

import os
from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"


def vectors_or_skip(name: str) -> Path:
    """The folder of these vectors; where it is absent the test skips, but under CI it fails."""
    folder = _SHARED / name
    if folder.is_dir():
        return folder
    reason = f"the vectors ../shared/vectors/{name} are not beside this repository"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must have them")
    pytest.skip(reason)
