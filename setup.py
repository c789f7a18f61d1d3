"""The list of packages: what pyproject.toml cannot say.

`openenv_core`, the import name of the first releases, is mapped from inside `openenv`; `envs`
is importable from an editable install of the checkout and never part of a wheel.
"""

import sys

from setuptools import find_namespace_packages, find_packages, setup

mapped = {"openenv_core": "openenv/core/_openenv_core"}
packages = find_packages(include=["openenv", "openenv.*"], exclude=["openenv.core._openenv_core"])
packages += mapped
if "editable_wheel" in sys.argv:
    packages += find_namespace_packages(include=["envs", "envs.*"])

setup(packages=packages, package_dir=mapped)
