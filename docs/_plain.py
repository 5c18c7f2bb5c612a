"""Run by notebook kernels at their start (PYTHONSTARTUP, see conf.py): commands print to a page, not to a terminal."""

import os
import subprocess

from IPython import get_ipython


def system(command: str) -> None:
    """What `!command` does: its whole output at once, without colours and progress."""
    plain = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "CLICOLOR_FORCE")}
    done = subprocess.run(["bash", "-c", command], env=plain, capture_output=True, text=True)
    print(done.stdout + done.stderr, end="")


get_ipython().system = system
