"""The Python environments of peers: made once, below `.peers/`, each with the versions that are named here."""

import subprocess
import sys
from pathlib import Path


ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".peers"
PACKAGES = {
    "kserve": ("kserve==0.21.0", "tensorflow-cpu==2.21.0"),
    "mlserver": ("mlserver==1.7.1", "tensorflow-cpu==2.21.0"),
    "estimator": ("tensorflow-cpu==2.15.1",),
    "torch": ("torch==2.13.0", "numpy==2.4.6"),
    "lightgbm": ("lightgbm==4.7.0", "pandas==2.3.3"),
}


def python(peer: str) -> str:
    """The interpreter that has a peer's packages."""
    interpreter = FOLDER / peer / "bin" / "python"
    if not interpreter.exists():
        print(f"making the environment of {peer} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", FOLDER / peer], check=True)
        pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES[peer]], check=True)
    return str(interpreter)
