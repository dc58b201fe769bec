"""A process that imports a framework once and then runs code for tests, each piece in a namespace of its own."""

import json
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds for one piece of code

# Reads a folder and code from each line, runs the code in that folder, and answers with what it printed and its error.
# Its answers go where stdout was; what a framework itself writes to stdout goes to stderr.
SERVE = """
import contextlib, io, json, os, sys, traceback
import {framework}_impl  # sets what the framework must find when it is imported
import {framework}
import numpy as np
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    folder, code = json.loads(line)
    os.chdir(folder)
    printed, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, {{"{framework}": {framework}, "np": np}})
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps([printed.getvalue(), error]), file=answers, flush=True)
"""


class FrameworkProcess:
    """A running process with a framework; `run` has it run code."""

    def __init__(self, framework: str, environment: dict[str, str]):
        command = [sys.executable, "-c", SERVE.format(framework=framework)]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, **streams)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def run(self, code: str, folder: Path) -> str:
        """Runs code in a folder and returns what it prints; its error is an assertion's."""
        ending = threading.Timer(PATIENCE, self._process.kill)
        ending.start()
        print(json.dumps([str(folder), code]), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        ending.cancel()
        assert answer, f"the process ended with code {self._process.wait()}"
        printed, error = json.loads(answer)
        assert not error, error[-3000:]
        return printed

    def close(self) -> None:
        self._process.communicate()
