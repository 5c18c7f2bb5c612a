"""The documentation site: `pip install '.[docs]' && sphinx-build -W -c docs . site`, then open site/index.html.

The source folder is the project itself, so that a page's links hold in a checkout, on a code host and on the site.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "reference"))
from make import make

from nsim.errors import version_of

make()
os.environ |= {"COLUMNS": "80", "PYTHONSTARTUP": str(Path(__file__).parent / "_plain.py")}  # as wide as the page

project, author, copyright = "nsim", "the nsim maintainers", "the nsim maintainers, Apache-2.0"
version = release = version_of("nsim")
root_doc = "docs/index"
include_patterns = ["docs/**", "chips/README.md", "benchmarks/**/*.md", "benchmarks/*.md", "*.md"]
exclude_patterns = ["docs/_*", "docs/conf.py", "site", "build", ".*"]
extensions = ["myst_nb", "sphinx_copybutton"]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
suppress_warnings = ["myst.header"]  # some pages begin below the first level, as they read on a code host
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_in_temp = True  # whatever a tutorial writes is gone afterwards
nb_merge_streams = True
nitpicky = True

html_theme = "furo"
html_title = f"nsim {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_root"]  # index.html, which leads to docs/index.html
html_copy_source = False
copybutton_prompt_text = "$ "
