"""Run by notebook kernels at their start (PYTHONSTARTUP, see conf.py): what prints to a page prints without colours."""

import os

for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
    os.environ.pop(name, None)
del os, name
