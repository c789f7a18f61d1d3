"""Console: the emulator with one game in it, frame by frame.

Owns what the emulator's library must never be asked. What frames are made of a step is
environment.py's affair.
"""

from __future__ import annotations

import difflib
import functools
from typing import TYPE_CHECKING

from openenv.errors import ConfigurationError

try:
    import ale_py
    from ale_py import Action, ALEInterface, ALEState, LoggerMode, roms
except ModuleNotFoundError as error:
    raise ConfigurationError(
        "atari_env needs the Arcade Learning Environment: pip install 'openenv[atari]'"
    ) from error

if TYPE_CHECKING:
    from pathlib import Path

    from .pictures import Picture

# It greets everybody on stderr, and says there what exceptions say too.
ALEInterface.setLoggerMode(LoggerMode.Error)

_WARM_UP_FRAMES = 4
"Only then does a restored state show the same frames as the game that it was taken of."

VERSION: str = ale_py.__version__


@functools.cache
def game_files() -> dict[str, Path]:
    """Return the games that come with the library and that one player can play."""
    # Asking the library to load another ends the process.
    files = ((name, roms.get_rom_path(name)) for name in sorted(roms.get_all_rom_ids()))
    return {name: file for name, file in files if file and ALEInterface.isSupportedROM(file)}


class Console:
    """One game in one mode; `begin` starts it anew, always from the same state."""

    def __init__(self, game_name: str, mode: int | None, difficulty: int | None) -> None:
        """Load it. Raises ConfigurationError: there is no such game, mode or difficulty."""
        files = game_files()
        if game_name not in files:
            near = difflib.get_close_matches(game_name.lower(), files, 3) or files
            raise ConfigurationError(
                f"there is no game {game_name!r:.80} for one player; there is {', '.join(near)}"
            )
        ale = self._ale = ALEInterface()
        # Sticky actions are environment.py's: drawn from the episode's seed, which needs no new
        # loading of the game for each episode.
        ale.setFloat("repeat_action_probability", 0.0)
        ale.setInt("random_seed", 0)
        ale.loadROM(files[game_name])
        self.modes: list[int] = list(ale.getAvailableModes())
        self.difficulties: list[int] = list(ale.getAvailableDifficulties())
        if mode is not None:
            ale.setMode(_one_of(self.modes, mode, "mode", game_name))
        if difficulty is not None:
            ale.setDifficulty(_one_of(self.difficulties, difficulty, "difficulty", game_name))
        ale.reset_game()
        for _ in range(_WARM_UP_FRAMES):
            ale.act(Action.NOOP)
        self._beginning = ale.cloneState(include_rng=True)
        self.mode = int(self._beginning.getCurrentMode())
        self.difficulty = int(self._beginning.getDifficulty())
        self._frame_at_beginning = ale.getEpisodeFrameNumber()

    def begin(self) -> None:
        """Start the game anew."""
        self._ale.restoreState(self._beginning)
        # Restoring leaves the old picture on the screen.
        self._ale.act(Action.NOOP)

    def actions(self, *, full: bool) -> list[Action]:
        """Return what the joystick can do, or what of it does something in this game."""
        return list(self._ale.getLegalActionSet() if full else self._ale.getMinimalActionSet())

    def act(self, action: Action) -> float:
        """Play a frame; return what it scored."""
        return float(self._ale.act(action))

    @property
    def is_over(self) -> bool:
        """Whether the game has ended."""
        return bool(self._ale.game_over(with_truncation=False))

    @property
    def lives(self) -> int:
        """How many are left; 0 in games without."""
        return int(self._ale.lives())

    @property
    def episode_frame_number(self) -> int:
        """How many frames were played since `begin`."""
        return int(self._ale.getEpisodeFrameNumber()) - self._frame_at_beginning - 1

    @property
    def frame_number(self) -> int:
        """How many frames were played since the game was loaded, as the state has it."""
        return int(self._ale.getFrameNumber())

    def rgb(self) -> Picture:
        """Return the screen in colours."""
        return self._ale.getScreenRGB()

    def grayscale(self) -> Picture:
        """Return the screen in grey."""
        return self._ale.getScreenGrayscale()

    def ram(self) -> Picture:
        """Return the memory."""
        return self._ale.getRAM()

    def snapshot(self) -> bytes:
        """Return the whole state."""
        return bytes(self._ale.cloneState(include_rng=True).serialize())

    def restore(self, snapshot: bytes) -> None:
        """Go on from a state of the same game; its picture comes with the next frame."""
        self._ale.restoreState(ALEState(snapshot))


def _one_of(there_are: list[int], asked: int, what: str, game_name: str) -> int:
    if asked not in there_are:
        raise ConfigurationError(f"{game_name} has no {what} {asked}: {there_are}")
    return asked
