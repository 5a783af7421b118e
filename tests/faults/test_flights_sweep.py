"""Five kills of the flights pipeline; `make kill-sweep` does two hundred."""

from pathlib import Path

from faults.flights import FlightsTrials
from faults.sweep import kill_often

KILLS = 5


def test_flights_killed_five_times_gives_the_same_model(tmp_path: Path) -> None:
    kills, seed = 0, 0
    with FlightsTrials(tmp_path / "flights") as flights:
        while kills < KILLS:
            trial = flights.trial(seed)
            kill_often(trial, seed, min(7, KILLS - kills), flights.points)
            assert flights.failure(trial) == ""
            kills += len(trial.kills)
            seed += 1
        assert flights.server_failure() == ""
