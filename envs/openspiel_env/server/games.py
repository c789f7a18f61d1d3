"""Which games there are, which cannot be played here and why, and how one is loaded.

Knows nothing of episodes or opponents.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError

from .trial import described, why_not

if TYPE_CHECKING:
    from collections.abc import Mapping

try:
    import pyspiel
except ModuleNotFoundError as error:
    raise ConfigurationError(
        "openspiel_env needs OpenSpiel: pip install 'openenv[openspiel]'"
    ) from error

_SEED_PARAMETER = "rng_seed"
"With this a game draws its chance itself."


def game_names() -> list[str]:
    """Return the names of all games that OpenSpiel has."""
    return list(_types())


def load_game(name: str, params: Mapping[str, Any], seed: int) -> Any:
    """Return a game by its name, or by OpenSpiel's notation, as in "misere(game=tic_tac_toe())".

    `seed` is for games that draw their chance themselves. Raises ConfigurationError.
    """
    try:
        given = {**pyspiel.game_parameters_from_string(name), **params}
    except (pyspiel.SpielError, TypeError) as error:
        raise ConfigurationError(f"{name!r:.200} is no game: {error}") from error
    short_name = given.pop("name", name)
    if short_name not in _types():
        raise ConfigurationError(
            f"OpenSpiel has no game {short_name!r:.80}; it has {', '.join(game_names())}"
        )
    _refuse_files(given)
    if given:
        _try(short_name, given)
    if _SEED_PARAMETER in _types()[short_name].parameter_specification:
        given.setdefault(_SEED_PARAMETER, seed % 2**31)
    try:
        game = pyspiel.load_game(short_name, given)
    except (pyspiel.SpielError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ConfigurationError(
            f"OpenSpiel cannot load {name!r:.200} with {given!r:.200}: {error}"
        ) from error
    reason = why_not_playable(game)
    if reason is not None:
        raise ConfigurationError(f"{short_name} cannot be played here: {reason}")
    return game


def why_not_playable(game: Any) -> str | None:
    """Return the reason why an agent cannot play a game by choosing actions; None if it can."""
    kind = game.get_type()
    if kind.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        return "a mean field game asks how a whole population is distributed, not for moves"
    if kind.action_structs_only:
        return "its moves have no numbers"
    return None


def hides_nothing(game: Any) -> bool:
    """Whether every player sees every move, when it has been made."""
    kinds = pyspiel.GameType.Information
    return game.get_type().information in (kinds.PERFECT_INFORMATION, kinds.ONE_SHOT)


def _try(name: str, params: dict[str, Any]) -> None:
    """Refuse parameters that do not work. Raises ConfigurationError."""
    try:
        game = described(name, params)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"game_params of {name} are no plain data: {error}") from error
    reason = why_not(game)
    if reason is not None:
        raise ConfigurationError(f"{name} cannot be played with {params!r:.200}: {reason}")


@functools.cache
def _types() -> dict[str, Any]:
    return {kind.short_name: kind for kind in pyspiel.registered_games()}


def _refuse_files(params: Mapping[str, Any]) -> None:
    """Refuse parameters that name files, also of inner games: errors would quote what is in them.

    Raises ConfigurationError.
    """
    for key, value in params.items():
        if isinstance(value, dict):
            _refuse_files(value)
        elif "file" in key and value:
            raise ConfigurationError(
                f"{key} names a file of the server: games that read files "
                "cannot be chosen from outside"
            )
