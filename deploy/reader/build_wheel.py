"""Build the penchant-reader wheel from the files of profiles/: python deploy/reader/build_wheel.py OUT_DIR."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PROFILES = HERE.parent.parent / "profiles"
MODULES = ("decay.py", "keys.py", "model.py", "reader.py", "py.typed")
INIT = '''"""Reads Penchant's interest profiles from Redis."""

from .model import Evidence, RankedInterest, Stance
from .reader import AsyncInterestReader, InterestReader, UnknownHorizonError

__all__ = ["AsyncInterestReader", "Evidence", "InterestReader", "RankedInterest", "Stance", "UnknownHorizonError"]
'''


def build(out: Path) -> Path:
    """Build the wheel into ``out`` and return its path."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        package = source / "penchant_reader"
        package.mkdir()
        for name in MODULES:
            shutil.copy(PROFILES / name, package)
        (package / "__init__.py").write_text(INIT, encoding="utf-8")
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(HERE / name, source)
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(out), str(source)]
        subprocess.run(command, check=True)  # noqa: S603 - our own interpreter, our own folder
    (wheel,) = out.glob("penchant_reader-*.whl")
    return wheel


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))  # noqa: T201 - the answer
