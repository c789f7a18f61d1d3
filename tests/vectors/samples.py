"""One frame with its defaults and one with every field set, of each kind: for tests and vectors."""

from openenv.protocol import frames as f

CLIENT_HELLOS: dict[str, f.Frame] = {
    "hello: begin a link": f.ClientHello(),
    "hello: resume a link": f.ClientHello(token="k3", received=7, max_message_bytes=1_048_576),
    "hello: from a client that can share memory": f.ClientHello(capabilities=["shared_memory"]),
}

SERVER_HELLOS: dict[str, f.Frame] = {
    "hello: a new link": f.ServerHello(token="k3", environment="EchoEnvironment", keepalive_s=20.0),
    "hello: a link goes on": f.ServerHello(
        token="k3",
        resumed=True,
        received=9,
        max_message_bytes=1_048_576,
        grace_s=30.5,
        environment="EchoEnvironment",
        capabilities=["steps", "watch"],
    ),
    "hello: a grace without end": f.ServerHello(token="k3", grace_s=float("inf")),
}

CLIENT_FRAMES: dict[str, f.Frame] = {
    "open": f.Open(1, 1),
    "open: queue for a slot": f.Open(2, 2, wait_s=30.0, label="train/7"),
    "open: a living session by its token": f.Open(3, 3, token="s9"),
    "reset": f.Reset(4, 1),
    "reset: with everything": f.Reset(
        5, 1, seed=42, episode_id="episode-1", options={"difficulty": "hard", "size": [3, 4]}
    ),
    "step": f.Step(6, 1, {"message": "Hello, World!"}),
    "step: streaming, with a deadline": f.Step(
        7, 1, {"message": "päivää"}, timeout_s=2.5, stream=True
    ),
    "step: an action that is no object": f.Step(8, 1, [1, -2.5, None, "three"]),
    "step: non-finite numbers": f.Step(9, 1, {"x": [float("nan"), float("-inf")]}),
    "step: no deadline at all": f.Step(9, 1, {}, timeout_s=float("inf")),
    "steps": f.Steps([20, 21], [1, 2], [{"message": "Hello"}, {"message": "World"}]),
    "steps: with a deadline": f.Steps([22], [1], [{}], timeout_s=2.5),
    "state": f.GetState(10, 1),
    "close": f.Close(11, 1),
    "cancel": f.Cancel(6, 1),
    "largest id": f.Close(f.MAX_ID, f.MAX_ID),
    "watch": f.Watch(16),
    "watch: with everything": f.Watch(
        16, "train/7", ["5d41402abc4b"], observations=False, frames_per_s=2.5
    ),
    "unwatch": f.Unwatch(17, 16),
    "segment: it is mapped": f.SegmentAnswer(is_mapped=True),
    "segment: it cannot be mapped": f.SegmentAnswer(is_mapped=False),
}

SERVER_FRAMES: dict[str, f.Frame] = {
    "opened": f.Opened(1, "s1"),
    "result": f.Result(4, {"echoed_message": "Echo environment ready!", "message_length": 0}),
    "result: with everything": f.Result(
        6, {"board": [0, 1]}, reward=1.5, done=True, truncated=True, metadata={"lives": 3}
    ),
    "result: integer reward": f.Result(6, {}, reward=1),
    "result: boolean reward": f.Result(6, {}, reward=True),
    "result: reward NaN": f.Result(6, {}, reward=float("nan")),
    "result: reward Infinity": f.Result(6, {}, reward=float("inf")),
    "result: reward -Infinity": f.Result(6, {}, reward=float("-inf")),
    "results": f.Results([20, 21], [{"n": 1}, {"n": 2}], [0.5, None], [False, True], [False] * 2),
    "results: with metadata": f.Results([22], [[]], [1], [False], [True], [{"lives": 3}]),
    "partial": f.Partial(7, {"text": "Hel"}, reward=0.0, metadata={"token": 1}),
    "state": f.StateReply(10, {"episode_id": "episode-1", "step_count": 2}),
    "closed: the reply to close": f.Closed(11, 1, "closed"),
    "closed: by the server": f.Closed(0, 1, "idle for too long"),
    "error": f.Error(6, "NOT_RESET", "call reset first"),
    "error: with details": f.Error(
        2,
        "CAPACITY_REACHED",
        "all slots are taken (4 of 4): close one, or try later",
        retryable=True,
        details={"active_sessions": 4, "max_sessions": 4, "retry_after_s": 1.0},
    ),
    "event": f.Event(16),
    "event: a session and an end": f.Event(
        16, [f.Summary(session="5d41402abc4b", environment="EchoEnvironment")], ["7d793037a076"]
    ),
    "event: with everything": f.Event(
        16,
        [
            f.Summary(
                session="5d41402abc4b",
                environment="EchoEnvironment",
                label="train/7",
                episode_id="episode-1",
                episode=2,
                step=3,
                reward=0.5,
                total_reward=1.5,
                done=True,
                truncated=True,
                age_s=12.5,
                steps_per_s=250.0,
                action={"message": "Hello"},
                observation={"echoed_message": "Hello", "message_length": 5},
                metadata={"lives": 3},
            )
        ],
    ),
    "segment": f.SegmentOffer(4711, 12, 67_108_864, bytes(range(16))),
}
