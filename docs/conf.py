"""How Sphinx builds the documentation: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for docs._sphinx

from django_jobqueue import __version__  # noqa: E402

project = "django-jobqueue"
author = "django-jobqueue contributors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "docs._sphinx.directive"]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"django-jobqueue {release}"
html_static_path = ["_static"]
html_css_files = ["jobqueue.css"]
html_copy_source = False
html_show_sphinx = False

pygments_style = "friendly"
pygments_dark_style = "github-dark"
highlight_language = "python"
