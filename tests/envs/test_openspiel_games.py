"""Every game of OpenSpiel is played, or cannot be for a reason that is known."""

import random
from typing import Any

import pyspiel
import pytest

from envs.openspiel_env import OpenSpielAction, OpenSpielObservation
from envs.openspiel_env.server.environment import OpenSpielEnvironment
from envs.openspiel_env.server.games import game_names
from openenv.errors import ConfigurationError

MOVES = 40

# Games that need parameters, and one that takes seconds with its own.
NAMED = {
    "add_noise": "add_noise(epsilon=1.0,seed=1,game=kuhn_poker())",
    "bridge_uncontested_bidding": "bridge_uncontested_bidding(num_redeals=1)",
    "cached_tree": "cached_tree(game=kuhn_poker())",
    "misere": "misere(game=tic_tac_toe())",
    "normal_form_extensive_game": "normal_form_extensive_game(game=kuhn_poker())",
    "repeated_game": "repeated_game(stage_game=matrix_pd(),num_repetitions=3)",
    "repeated_poker": "repeated_poker(max_num_hands=2,reset_stacks=True,"
    "universal_poker_game_string=universal_poker())",
    "restricted_nash_response": "restricted_nash_response(game=kuhn_poker())",
    "start_at": "start_at(game=tic_tac_toe(),history=0;1)",
    "turn_based_simultaneous_game": "turn_based_simultaneous_game(game=matrix_pd())",
    "zerosum": "zerosum(game=matrix_pd())",
}
NOT_PLAYABLE = {
    "crossword": "its moves have no numbers",
    "efg_game": "reads a file",
    "nfg_game": "reads a file",
    "mfg_crowd_modelling": "mean field",
    "mfg_crowd_modelling_2d": "mean field",
    "mfg_dynamic_routing": "mean field",
    "mfg_garnet": "mean field",
}
# OpenSpiel cannot read what it has written.
NO_SNAPSHOT = {"bridge_uncontested_bidding", "negotiation"}
PLAYABLE = sorted(set(game_names()) - set(NOT_PLAYABLE))


def play(
    environment: OpenSpielEnvironment, observation: OpenSpielObservation, seed: int = 0
) -> list[OpenSpielObservation]:
    rng, seen = random.Random(seed), [observation]
    while not seen[-1].done and len(seen) <= MOVES:
        action = OpenSpielAction(action_id=rng.choice(seen[-1].legal_actions))
        seen.append(environment.step(action))
    return seen


@pytest.mark.parametrize("name", PLAYABLE)
def test_a_game_is_played_as_its_seed_says(name: str) -> None:
    environment = OpenSpielEnvironment(NAMED.get(name, name))
    seen = play(environment, environment.reset(seed=5))
    for one in seen:
        assert len(one.legal_action_names) == len(one.legal_actions)
        assert bool(one.legal_actions) is not one.done
        assert one.info_state or one.text or one.information_state or one.done
    assert seen[-1].done or len(seen) == MOVES + 1
    facts = environment.state
    assert seen[-1].game_phase == ("terminal" if seen[-1].done else "playing")
    assert not seen[-1].done or len(seen[-1].returns) == facts.num_players
    earned = sum(float(one.reward or 0) for one in seen)
    assert not seen[-1].done or earned == pytest.approx(seen[-1].returns[0])

    again = OpenSpielEnvironment(NAMED.get(name, name))
    assert play(again, again.reset(seed=5)) == seen


@pytest.mark.parametrize("name", NOT_PLAYABLE)
def test_a_game_that_cannot_be_played_says_so(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"mean field|no numbers|cannot load"):
        OpenSpielEnvironment(name).reset()


@pytest.mark.parametrize("name", [one for one in PLAYABLE if one not in NO_SNAPSHOT])
def test_a_snapshot_goes_on_as_the_game_did(name: str) -> None:
    environment = OpenSpielEnvironment(NAMED.get(name, name))
    observation = environment.reset(seed=6)
    if not observation.done:
        observation = environment.step(OpenSpielAction(action_id=observation.legal_actions[0]))
    snapshot = environment.snapshot()
    assert environment._match is not None
    kind = environment._match.game.get_type()
    other = OpenSpielEnvironment()
    restored = other.restore(snapshot)
    observation.reward = None
    assert restored == observation
    if kind.chance_mode != pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        # Of the others OpenSpiel does not save the random numbers.
        assert play(other, restored) == play(environment, observation)


HIDDEN = [
    "kuhn_poker",
    "leduc_poker",
    "liars_dice",
    "phantom_ttt",
    "dark_hex",
    "goofspiel(imp_info=True,num_cards=4,points_order=descending)",
    "battleship(board_width=2,board_height=2,ship_sizes=[1],ship_values=[1],num_shots=2)",
]


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_sent_depends_on_nothing_that_is_hidden(name: str) -> None:
    """Games that look alike to the player, whatever the others hold, send the very same bytes."""
    sent: dict[str, Any] = {}
    hidden: dict[str, set[str]] = {}
    for seed in range(150):
        environment = OpenSpielEnvironment(name)
        for one in play(environment, environment.reset(seed=seed), seed=seed % 5):
            if one.done:
                break
            match = environment._match
            assert match is not None
            known = one.information_state
            assert known
            assert sent.setdefault(known, one) == one
            hidden.setdefault(known, set()).add(str(match._state))
            assert one.opponent_last_action is None
    # Otherwise it would not have been looked at.
    assert max(map(len, hidden.values())) > 1


def test_nothing_tells_the_hidden_card_of_the_dealer_in_blackjack() -> None:
    environment = OpenSpielEnvironment("blackjack")
    sent = []
    for hidden in range(10, 52):
        environment.reset(seed=1)
        match = environment._match
        assert match is not None
        match._state = match.game.new_initial_state()
        for card in (0, 1, hidden, 3):
            match._state.apply_action(card)
        sent.append(environment._observe())
    assert all(one == sent[0] for one in sent)
    assert "Dealer: Cards: ?? C4" in sent[0].text
