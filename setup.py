"Everything comes from settings.ini; each NAME_requirements there becomes the extra NAME."
import shlex, shutil
from configparser import ConfigParser
from pathlib import Path

import setuptools

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]
requirements = lambda key: shlex.split(cfg[key])
extras = {key.removesuffix("_requirements"): requirements(key) for key in cfg if key.endswith("_requirements")}

shutil.rmtree("build/lib/audiomnist_nb/recipes", ignore_errors=True)   # of an earlier build

setuptools.setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    license=cfg["license"].upper(),
    url=cfg["git_url"],
    keywords=cfg["keywords"],
    classifiers=["Development Status :: 3 - Alpha", "Intended Audience :: Science/Research",
                 "Natural Language :: English", "Programming Language :: Python :: 3"],
    packages=["audiomnist_nb", "audiomnist_nb.recipes"],
    package_dir={"audiomnist_nb.recipes": "config"},   # an installed package has no config/ above it
    package_data={"audiomnist_nb": ["default_model/*", "web/*"], "audiomnist_nb.recipes": ["*/*", "*/*/*"]},
    python_requires=f">={cfg['min_python']}",
    install_requires=requirements("requirements"),
    extras_require=extras,
    entry_points={"console_scripts": shlex.split(cfg["console_scripts"]),
                  "nbdev": [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"]},
)
