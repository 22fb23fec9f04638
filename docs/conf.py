"""The documentation site: `python -m sphinx -W -b html docs build/docs`."""

import importlib.metadata
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "_extensions"))

project = "jaxrobust"
author = "the jaxrobust authors"
copyright = author
version = release = importlib.metadata.version("jaxrobust")

extensions = [
  "myst_parser",
  "sphinx.ext.autodoc",
  "sphinx.ext.napoleon",
  "plain_docstrings",
  "repository_links",
  "generated_reference",
]
exclude_patterns = ["_extensions"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

# Every documented name is imported from its package: that is its name.
autodoc_default_options = {"members": True, "imported-members": True}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 70
add_module_names = False
smartquotes = False  # Quotes in docstrings are code.
# Fields of dataclasses are listed with their class, each once.
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"jaxrobust {version}"
html_show_copyright = html_show_sphinx = False
