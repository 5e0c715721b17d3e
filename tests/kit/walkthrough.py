"""A document that is followed to the letter: its files are written, its commands run, in an empty folder."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_FENCED = re.compile(r"^```(\w+)(?: (file|append)=(\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One block of the document: a file to write or to append to, or commands of a shell."""

    verb: str
    path: str
    text: str


def steps(document: Path) -> list[Step]:
    """Return what the document tells its reader to do, in order; other blocks are only to be read."""
    found = []
    for language, verb, path, text in _FENCED.findall(document.read_text()):
        if verb:
            found.append(Step(verb, path, text))
        elif language == "sh":
            found += [Step("run", "", line) for line in text.splitlines() if line.strip()]
    return found


class Reader:
    """Somebody who follows the document in a folder."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.env = dict(env)
        self.printed = ""

    def follow(self, step: Step, unless: Callable[[str], bool]) -> None:
        """Do what the step says; a command for which ``unless`` says that it was seen to is not run."""
        if step.verb == "run":
            if step.text.startswith("cd "):
                self.folder /= step.text.removeprefix("cd ")
            elif not unless(step.text):
                self.run(step.text)
            return
        path = self.folder / step.path
        if step.verb == "append":
            assert path.exists(), f"{step.path} is to be appended to, and is not there"
            path.write_text(path.read_text() + "\n" + step.text)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text)

    def run(self, command: str, timeout: float = 200) -> str:
        """Run a command as the reader's shell does, to its end; it must succeed."""
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        self.printed += done.stdout + done.stderr
        return done.stdout + done.stderr


def new_environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the variables of a shell in which nothing of ours is set, with a new Python environment."""
    keep = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_", "LANG"))}
    return keep | {
        "HOME": str(folder),
        "PATH": f"{folder / 'venv' / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONUNBUFFERED": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COMPILE": "1",  # most of what is installed is never imported
        **more,
    }
