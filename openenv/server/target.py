"""Targets: from what a user names to the object: an environment's folder, or `module:attribute`.

Owns how an environment's package is imported wherever its folder lies, and what is said when that
fails. Makes no apps: app.py does that with the Environment class that is found here.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType


def load_target(target: str) -> Any:
    """Return the ASGI app or the Environment class, factory or instance that `target` names.

    That is an environment's folder or `module:attribute`; modules are looked for in the working
    directory too. Raises ConfigurationError.
    """
    if Path(target).is_dir():
        found = _load_folder(Path(target), target)
    elif ":" in target and "/" not in target:
        found = load_object(target, is_servable)
    else:
        raise ConfigurationError(
            f"{target!r} is no folder here ({os.getcwd()}): give the folder of an environment, "
            "module:app or module:EnvironmentClass"
        )
    if not is_servable(found):
        raise ConfigurationError(
            f"{target} is {_described(found)}: neither an ASGI app nor an Environment"
        )
    return found


def load_app(target: str) -> Callable[..., Awaitable[None]]:
    """Return the ASGI app that `target` names. Raises ConfigurationError."""
    found: Callable[..., Awaitable[None]] = load_target(target)
    if is_environment(found):
        raise ConfigurationError(f"{target} is an environment, not an app: wrap it in create_app()")
    return found


def load_object(target: str, is_candidate: Callable[[Any], bool] = callable) -> Any:
    """Return what `module:attribute` names.

    `is_candidate` chooses what to propose when there is no such attribute. Raises
    ConfigurationError.
    """
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise ConfigurationError(f"{target!r} is not of the form module:attribute")
    if module.endswith(".py"):
        module = module.removesuffix(".py")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    return _attribute(_import(module, target), attribute, target, is_candidate)


def load_member(
    folder: Path, reference: str, is_candidate: Callable[[Any], bool] = callable
) -> Any:
    """Return what `module:attribute` names inside an environment's folder.

    Raises ConfigurationError.
    """
    module, _, attribute = reference.partition(":")
    package = _define_package(folder.resolve(), str(folder))
    target = f"{folder} ({reference})"
    return _attribute(_import(f"{package}.{module}", target), attribute, target, is_candidate)


def is_environment(found: object) -> bool:
    """Whether this is an Environment class or instance, or a function that makes one."""
    if hasattr(found, "reset") and hasattr(found, "step"):
        return True
    return (inspect.isfunction(found) or _is_partial(found)) and not _takes_arguments(found)


def is_servable(found: object) -> bool:
    """Whether this can be served: an environment, or something that is called as ASGI apps are."""
    if found is Environment or inspect.ismodule(found) or type(found).__module__ == "typing":
        return False
    return is_environment(found) or (callable(found) and not inspect.isclass(found))


# ---- folders


def _load_folder(folder: Path, target: str) -> object:
    module, _, attribute = read_manifest(folder).app.partition(":")
    package = _define_package(folder.resolve(), target)
    return _attribute(_import(f"{package}.{module}", target), attribute, target, is_servable)


def _define_package(folder: Path, target: str) -> str:
    """Make the folder importable as a package and return its dotted name.

    As the package of its own name, inside the packages that it lies in. Without touching the order
    of sys.path: its neighbours do not become modules.
    """
    top, names = folder, [re.sub(r"\W", "_", folder.name)]
    while (top / "__init__.py").is_file() and (top.parent / "__init__.py").is_file():
        top = top.parent
        names.insert(0, top.name)
    known = sys.modules.get(names[0])
    if known is None and names[0] not in sys.stdlib_module_names:
        import_package(names[0], top, target)
    elif str(top) not in getattr(known, "__path__", ()):
        raise ConfigurationError(
            f"{target} cannot be imported: there is another module named {names[0]}. "
            "Rename the folder"
        )
    if str(folder) not in sys.path:
        # Last: for environments that import `models` when they are not run as a package.
        sys.path.append(str(folder))
    return ".".join(names)


def import_package(name: str, folder: Path, target: str) -> None:
    """Import a folder as the package of this name. Raises ConfigurationError."""
    init = folder / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        name, init, submodule_search_locations=[str(folder)]
    )
    if not init.is_file():
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    if init.is_file() and spec.loader is not None:
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise import_failed(target, error) from error


# ---- modules


def _import(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            raise ConfigurationError(
                f"{target}: there is no module {missing} (the working directory is {os.getcwd()})"
            ) from error
        raise import_failed(target, error) from error


def import_failed(target: str, error: BaseException) -> ConfigurationError:
    """Return an error that shows the line of the user's own code at which the import failed."""
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        what, where = f"{type(error).__name__}: {error.msg}", (error.filename, error.lineno)
        line = (error.text or "").strip()
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if _is_own(frame.filename)] or frames
        where, line = (own[-1].filename, own[-1].lineno), own[-1].line or ""
    path, number = where
    place = os.path.relpath(path) if path and os.path.exists(path) else path
    return ConfigurationError(f"{target} cannot be imported: {what}\n  {place}:{number}: {line}")


def _is_own(path: str) -> bool:
    """Whether this is a file of the user's, neither of an installed package nor of openenv."""
    installed = {"site-packages", "dist-packages"}.intersection(Path(path).parts)
    foreign = (os.path.dirname(os.__file__), str(Path(__file__).parents[1]), "<")
    return not installed and not path.startswith(foreign)


def _attribute(
    module: ModuleType, path: str, target: str, is_candidate: Callable[[Any], bool]
) -> object:
    found: object = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            there = ", ".join(_candidates(module, is_candidate)) or "nothing that would do"
            raise ConfigurationError(
                f"{target}: {module.__name__} has no {path!r}; it has: {there}"
            ) from None
    return found


def _candidates(module: ModuleType, is_candidate: Callable[[Any], bool]) -> list[str]:
    """Return the names of what the module itself defines and would do, at most ten."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and is_candidate(value)
        and (not inspect.isroutine(value) or value.__module__ == module.__name__)
    ][:10]


def _is_partial(found: object) -> bool:
    return hasattr(found, "func") and hasattr(found, "keywords")


def _takes_arguments(function: Any) -> bool:
    empty = inspect.Parameter.empty
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(
        parameter.kind in positional and parameter.default is empty
        for parameter in inspect.signature(function).parameters.values()
    )


def _described(found: object) -> str:
    kind = "the class" if inspect.isclass(found) else "a value of type"
    return f"{kind} {found.__name__ if inspect.isclass(found) else type(found).__name__}"
