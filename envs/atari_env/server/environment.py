"""AtariEnvironment: reset chooses a game and how it is played; step holds the joystick.

Owns what a step is made of: frames, sticky actions, pictures. The emulator is console.py's affair.
"""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.models import EnvironmentInfo

from ..models import AtariAction, AtariObservation, AtariState
from .console import VERSION, Console
from .pictures import Stack, scaler
from .settings import Settings, settings_of

if TYPE_CHECKING:
    from .pictures import Picture


class InvalidAction(ValueError):
    """The joystick has no such position in this game; nothing has happened."""


class AtariEnvironment(Environment[AtariAction, AtariObservation, AtariState]):
    """A game of the Atari 2600. The options say what is played where reset does not."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    # Frames are computed, and the emulator does not let other threads run meanwhile.
    execution = "process"
    web_options = Settings

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = options
        self._settings = settings_of(options)
        self._console: Console | None = None
        self._cartridge: tuple[Any, ...] = ()
        self._actions: list[Any] = []
        self._names: list[str] = []
        self._held: Any = None
        "What the joystick did in the last frame."
        self._random = random.Random()
        self._stack = Stack(1)
        self._has_ended = False

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **options: Any
    ) -> AtariObservation:
        """Begin a game; the options are the fields of Settings.

        Raises ConfigurationError: there is no such option, game or mode.
        """
        settings = settings_of({**self._options, **options})
        self._prepare(settings)
        self._random = random.Random(secrets.randbits(64) if seed is None else seed)
        self._start()
        self._stack.fill(self._scaled(self._picture()))
        return self._observe(reward=None, lives_before=self._playing().lives)

    def step(self, action: AtariAction) -> AtariObservation:
        """Hold the joystick for as many frames as the settings say. Raises InvalidAction."""
        console = self._playing()
        self._check_game(action)
        if not 0 <= action.action_id < len(self._actions):
            raise InvalidAction(
                f"{action.action_id} is no action here: 0 to {len(self._actions) - 1} are "
                f"({', '.join(self._names)})"
            )
        if self._has_ended:
            raise InvalidAction("the episode is over: begin another with reset")
        lives = console.lives
        reward, before_last = self._hold(self._actions[action.action_id])
        picture = self._picture()
        if before_last is not None:
            picture = np.maximum(picture, before_last)
        self._stack.push(self._scaled(picture))
        return self._observe(reward=reward, lives_before=lives)

    @property
    def state(self) -> AtariState:
        """What is played, and how."""
        base, settings, console = super().state, self._settings, self._console
        return AtariState(
            episode_id=base.episode_id,
            step_count=base.step_count,
            game_name=settings.game_name,
            obs_type=settings.obs_type,
            full_action_space=settings.full_action_space,
            mode=console.mode if console else 0,
            difficulty=console.difficulty if console else 0,
            repeat_action_probability=settings.repeat_action_probability,
            frameskip=settings.frameskip,
            available_modes=console.modes if console else [],
            available_difficulties=console.difficulties if console else [],
        )

    def render(self) -> Picture:
        """Return the screen in colours, whatever is observed: uint8, height x width x 3."""
        return self._playing().rgb()

    def snapshot(self) -> bytes:
        """Return the game as it stands, for `restore`."""
        console = self._playing()
        version, words, extra = self._random.getstate()
        saved = {
            "settings": msgspec.to_builtins(self._settings),
            "console": console.snapshot(),
            "random": [version, list(words), extra],
            "held": self._held.value,
            "pictures": [(one.shape, one.tobytes()) for one in self._stack.pictures()],
        }
        return msgspec.msgpack.encode(saved)

    def restore(self, snapshot: bytes) -> AtariObservation:
        """Go on from a snapshot, whoever has made it; return what is observed there."""
        saved = msgspec.msgpack.decode(snapshot)
        self._prepare(settings_of(saved["settings"]))
        console = self._playing()
        console.restore(saved["console"])
        version, words, extra = saved["random"]
        self._random.setstate((version, tuple(words), extra))
        self._held = type(self._actions[0])(saved["held"])
        self._stack.restore(
            [np.frombuffer(raw, np.uint8).reshape(shape) for shape, raw in saved["pictures"]]
        )
        return self._observe(reward=None, lives_before=console.lives)

    def get_metadata(self) -> EnvironmentInfo:
        """Describe it."""
        return EnvironmentInfo(
            name="atari_env",
            description=f"Atari 2600 games ({self._settings.game_name} if reset chooses none), "
            f"emulated by the Arcade Learning Environment {VERSION}",
        )

    # ---- a game

    def _prepare(self, settings: Settings) -> None:
        """Have the game loaded, and everything else as the settings say."""
        cartridge = (settings.game_name, settings.mode, settings.difficulty)
        if self._console is None or cartridge != self._cartridge:
            self._console = Console(*cartridge)
            self._cartridge = cartridge
        self._settings = settings
        self._actions = self._console.actions(full=settings.full_action_space)
        self._names = [action.name for action in self._actions]
        self._stack = Stack(settings.frame_stack)

    def _start(self) -> None:
        """Start the game and let up to `noop_max` frames pass."""
        console = self._playing()
        nothing = console.actions(full=True)[0]
        self._held = nothing
        console.begin()
        for _ in range(self._random.randint(0, self._settings.noop_max)):
            console.act(nothing)
            if console.is_over:
                console.begin()

    def _hold(self, action: Any) -> tuple[float, Picture | None]:
        """Play the frames of a step; return what they scored, and the last but one to pool."""
        console, settings = self._playing(), self._settings
        reward, before_last = 0.0, None
        for left in range(settings.frameskip - 1, -1, -1):
            if self._random.random() >= settings.repeat_action_probability:
                self._held = action
            reward += console.act(self._held)
            if console.is_over:
                break
            if left == 1 and settings.max_pool:
                before_last = self._picture()
        return reward, before_last

    def _playing(self) -> Console:
        if self._console is None:
            raise ConfigurationError("no game has begun: call reset")
        return self._console

    # ---- what is observed

    def _picture(self) -> Picture:
        console = self._playing()
        match self._settings.obs_type:
            case "rgb":
                return console.rgb()
            case "grayscale":
                return console.grayscale()
        return console.ram()

    def _scaled(self, picture: Picture) -> Picture:
        size = self._settings.screen_size
        return picture if size is None else scaler(*picture.shape, *size)(picture)

    def _observe(self, reward: float | None, lives_before: int) -> AtariObservation:
        console, settings = self._playing(), self._settings
        screen = self._stack.array()
        life_lost = console.lives < lives_before
        done = console.is_over or (life_lost and settings.terminal_on_life_loss)
        truncated = not done and console.episode_frame_number >= settings.max_frames
        self._has_ended = done or truncated
        return AtariObservation(
            screen=screen,
            screen_shape=list(screen.shape),
            legal_actions=list(range(len(self._actions))),
            action_names=self._names,
            lives=console.lives,
            life_lost=life_lost,
            episode_frame_number=console.episode_frame_number,
            frame_number=console.frame_number,
            reward=reward,
            done=done,
            truncated=truncated,
        )

    def _check_game(self, action: AtariAction) -> None:
        """Refuse an action that was meant for another game."""
        for name in ("game_name", "obs_type", "full_action_space"):
            meant, played = getattr(action, name), getattr(self._settings, name)
            if meant is not None and meant != played:
                raise ConfigurationError(
                    f"the action is for {name}={meant!r:.80}, but {played!r} is played: it is "
                    f"chosen by reset({name}=...)"
                )
