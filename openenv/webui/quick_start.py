"""The quick start that the page shows: how to play this environment from a program."""

from __future__ import annotations

from typing import Any

from openenv.errors import ConfigurationError
from openenv.rollout.sampler import ActionSampler

LONGEST = 400
"An example of an action that takes more characters is left out."

_TEXT = """\
In Python, with `openenv` installed:

```python
from openenv import GenericEnvClient

with GenericEnvClient("{url}").sync() as env:
    result = env.reset()
    result = env.step({action})
    print(result.observation, result.reward, result.done)
```

Many episodes at once, with random actions, recorded:

```bash
openenv collect {url} --episodes 100 --out episodes.jsonl
```

Drop the recording onto this page, or `openenv replay episodes.jsonl`, to look at it.
"""


def example_action(schema: dict[str, Any]) -> str:
    """Return an action that fits the schema, as Python writes it, without what need not be said."""
    try:
        action = ActionSampler(schema, 0)()
    except ConfigurationError:
        # Nothing can be drawn from this schema: the reader knows better.
        return "action"
    if isinstance(action, dict):
        needed = schema.get("required") or [name for name, value in action.items() if value]
        action = {name: value for name, value in action.items() if name in needed}
    shown = repr(_rounded(action))
    return shown if len(shown) <= LONGEST else "action"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 2) if isinstance(value, float) else value


def quick_start(url: str, action: str) -> str:
    """Return the text as Markdown."""
    return _TEXT.format(url=url, action=action)
