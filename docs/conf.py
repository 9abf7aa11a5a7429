"""The settings of the site: `make docs`, or `sphinx-build -W -b html docs docs/_build/html`."""

import os
import sys
from pathlib import Path


ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["COLUMNS"] = "92"  # of the usage lines

import trainer  # noqa: E402  # after the path to it
from trainer.settings import command  # noqa: E402


with command.quiet_tensorflow():  # autodoc imports what does
    import tensorflow  # noqa: F401


project = "trainer"
author = "the authors of trainer"
version = release = trainer.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "docs.builder.extension"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True

smartquotes = False  # quotes and -- are those of code

html_theme = "furo"
html_title = "trainer"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
pygments_style = "default"
pygments_dark_style = "github-dark"
