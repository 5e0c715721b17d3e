"""The measurements run, and show what they are to show, in miniature; ``make bench`` is the real thing."""

import pytest

from bench import fanout


@pytest.mark.requirement("P2")
def test_fan_out_is_cheaper_than_the_tutorials_way() -> None:
    """Nothing is missing on either way, and a delivery costs us less than half, with margin for noise."""
    options = fanout.Options(
        clients=150, rate=20, seconds=1, rounds=1, ways=("websocket", "tutorial"), database="sqlite"
    )
    results = fanout.run(options)
    (ours,), (tutorial,) = results["websocket"], results["tutorial"]
    assert (ours.missing, tutorial.missing) == (0, 0)
    assert ours.deliveries == tutorial.deliveries == 150 * 20
    assert ours.cpu_us < tutorial.cpu_us / 2
