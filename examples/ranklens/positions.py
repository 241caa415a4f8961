"""RankLens, before the cut: three ways to deal with where a movie was shown, and what calibration does to scores.

Feeds the lists and clicks before the cut to a server of its own, and trains there with each option in turn. A model is
learned from the earlier four fifths of these lists, and measured on the newest fifth; the lists from the cut on, on
which run.py compares, are not looked at.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from run import CUT_SHARE, HERE, PLACEMENT, TRAINING, Log, events_of, moments, read_log
from runner import Client, JsonObject, Server, cut_at_share, iso, main

TREES, LOGISTIC = TRAINING, ("--kind", "logistic")
TRIED: dict[str, tuple[str, ...]] = {
    "trees, input": (*TREES, "--position", "input"),
    "trees, fixed": (*TREES, "--position", "fixed"),
    "trees, debiased": (*TREES, "--position", "debiased"),
    "logistic, input": (*LOGISTIC, "--position", "input"),
    "logistic, fixed": (*LOGISTIC, "--position", "fixed"),
    "trees, calibrated by isotonic": (*TREES, "--set", "calibration=isotonic"),
    "trees, calibrated by platt": (*TREES, "--set", "calibration=platt"),
    "logistic, calibrated by isotonic": (*LOGISTIC, "--set", "calibration=isotonic"),
    "logistic, calibrated by platt": (*LOGISTIC, "--set", "calibration=platt"),
}
"""By what the page calls it."""
SHOWN = ("ndcg_10", "ndcg_10_as_shown", "mrr", "calibration_error", "lists_measured", "trees")


def train_all(log: Log, cut_ms: int) -> dict[str, JsonObject]:
    """What `instanter train` says for each option."""
    with Server(HERE / "instanter.toml") as server:
        client = Client(server.port)
        try:
            client.put_items(log.items)
            for moment in moments(log.lists, log.clicks):
                if moment.at_ms < cut_ms:
                    client.feed(events_of(moment))
        finally:
            client.close()
        return {name: server.train(PLACEMENT, *options, place=False) for name, options in TRIED.items()}


def run(folder: Path, cut_ms: int | None, quiet: bool, *, lists_max: int | None = None) -> dict[str, Any]:
    """The whole run; the result for the last line."""
    log = read_log(folder, lists_max)
    if cut_ms is None:
        cut_ms = cut_at_share([shown.at_ms for shown in log.lists], CUT_SHARE)
    told = train_all(log, cut_ms)
    metrics = {
        f"{name}.{figure}": round(said["metrics"][figure], 4)
        for name, said in told.items() for figure in SHOWN if figure in said["metrics"]
    }
    if not quiet:
        for name, said in told.items():
            figures = (f"{figure} {said['metrics'][figure]:.4g}" for figure in SHOWN if figure in said["metrics"])
            print(f"{name:<34} {', '.join(figures)}; {said['seconds']:g} s")
    lists = next(iter(told.values()))["lists"]
    return {"cut": iso(cut_ms), "n": lists, "metrics": metrics, "baselines": {}}


if __name__ == "__main__":
    sys.exit(main("ranklens", "Compare what is done about positions, on RankLens before the cut.", run))
