"""Packaging: everything that can be said in one place is said in `settings.ini`."""
import configparser
import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
ini = configparser.ConfigParser(delimiters=["="])
ini.read(here / "settings.ini")
cfg = ini["DEFAULT"]
readme = here / "README.md"
text = readme.read_text(encoding="utf-8") if readme.exists() else ""
# links of the README leave from the repository, and PyPI shows it elsewhere
text = re.sub(r'(\]\(|src="|srcset="|href=")(?!https?:|mailto:|#)', rf'\1{cfg["git_url"]}/raw/{cfg["branch"]}/', text)
text = re.sub(r'/raw/(\S+?\.(?:md|ipynb)|\w+/LICENSE)\b', r'/blob/\1', text)
first, last = (int(cfg[f"{end}_python"].removeprefix("3.")) for end in ("min", "max"))  # those that are tested
pythons = [f"Programming Language :: Python :: 3.{minor}" for minor in range(first, last + 1)]

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=text,
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    license="Apache-2.0",
    license_files=["LICENSE", "LICENSES.md"],
    keywords=cfg["keywords"],
    classifiers=["Development Status :: 3 - Alpha", f"Intended Audience :: {cfg['audience']}", "Programming Language :: Python :: 3", *pythons],
    packages=find_packages(include=["taidpt", "taidpt.*"]),
    package_data={"taidpt": ["py.typed", "data/**/*"]},
    zip_safe=False,
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={name: cfg[f"{name}_requirements"].split() for name in ("app", "dev", "docs", "onnx", "openvino", "heif", "http", "ray")},
    entry_points={"console_scripts": cfg["console_scripts"].split(), "nbdev": ["taidpt=taidpt._modidx:d"]},
)
