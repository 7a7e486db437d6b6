"Sphinx settings; the pages are nbs/*.ipynb as docs/build.py prepares them."
from configparser import ConfigParser
from pathlib import Path

config = ConfigParser(delimiters=["="])
config.read(Path(__file__).parent.parent/"settings.ini", encoding="utf-8")
config = config["DEFAULT"]
project, author, copyright, version = (config[key] for key in ("title", "author", "copyright", "version"))

extensions = ["myst_nb", "sphinx_copybutton"]
nb_execution_mode = "off"      # pages show the outputs saved in the notebooks
nb_ipywidgets_js = {}          # the default loads a script from elsewhere
myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"{project} {version}"
html_show_sourcelink = False
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
html_static_path, html_css_files = ["static"], ["site.css"]
