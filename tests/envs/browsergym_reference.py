"""An episode as BrowserGym's own environment plays it, as JSON; run by its installation's Python.

browsergym_reference.py TASK ACTION...
"""

import importlib
import json
import sys
from pathlib import Path

import gymnasium
from browsergym.core.action.highlevel import HighLevelActionSet
from browsergym.utils.obs import flatten_axtree_to_str, flatten_dom_to_str, prune_html

importlib.import_module("browsergym.miniwob")
spec = importlib.util.find_spec("miniwob")
pages = Path(spec.submodule_search_locations[0]) / "html" / "miniwob"


def seen(observation, reward=None, done=False):
    properties = observation["extra_element_properties"]
    html = flatten_dom_to_str(observation["dom_object"], properties)
    return {
        "goal": observation["goal"],
        "axtree_txt": flatten_axtree_to_str(observation["axtree_object"], properties),
        "pruned_html": prune_html(html),
        "error": bool(observation["last_action_error"]),
        "reward": reward,
        "done": done,
    }


task, *actions = sys.argv[1:]
env = gymnasium.make(
    f"browsergym/miniwob.{task}",
    task_kwargs={"base_url": f"{pages.as_uri()}/"},
    slow_mo=0,
    action_mapping=HighLevelActionSet(["bid"]).to_python_code,
    disable_env_checker=True,
)
observation, _ = env.reset(seed=5)
results = [seen(observation)]
for action in actions:
    observation, reward, done, _, _ = env.step(action)
    results.append(seen(observation, float(reward), bool(done)))
sys.stdout.write(json.dumps(results))
env.close()
