"""The client without classes of its own: dicts in, dicts out."""

import msgspec

from openenv.client.blocking.sync import SyncEnvClient
from openenv.client.generic import GenericAction, GenericEnvClient
from tests.client.test_session import Link
from tests.environments import Add


def test_an_action_is_a_dict_that_shows_how_it_was_written() -> None:
    action = GenericAction(message="hello", count=2)
    assert action == {"message": "hello", "count": 2}
    assert eval(repr(action), {"GenericAction": GenericAction}) == action


async def test_actions_may_be_dicts_or_models_and_states_are_dicts() -> None:
    link = Link()
    env = GenericEnvClient("http://127.0.0.1:9", link=link)
    usual = link.answer

    def answer(frame: object) -> object:
        reply = usual(frame)
        for name in {"observation", "state"} & set(reply.__struct_fields__):
            setattr(reply, name, msgspec.Raw(msgspec.msgpack.encode({"total": 1})))
        return reply

    link.answer = answer
    assert (await env.reset()).observation == {"total": 1}
    await env.step(GenericAction(amount=1))
    await env.step(Add(2))  # type: ignore[arg-type]
    assert [frame.action for frame, _ in link.asked[2:]] == [{"amount": 1}, Add(2)]
    assert await env.state() == {"total": 1}


def test_the_blocking_form_makes_generic_clients_by_itself() -> None:
    env = SyncEnvClient.from_url("http://127.0.0.1:9", wait_s=2)
    assert type(env.async_client) is GenericEnvClient
    assert env.base_url == "http://127.0.0.1:9"
