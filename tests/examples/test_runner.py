"""What the runners share: batches, cuts, metrics, the last line, and a sentence when something is missing."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest


def test_a_batch_stays_below_its_limits_and_keeps_the_order(runner: ModuleType) -> None:
    events = [{"n": number, "text": "x" * 30_000} for number in range(40)]
    batches = list(runner.batches(events))
    assert all(sum(map(len, batch)) <= runner.BATCH_BYTES for batch in batches)
    assert [json.loads(raw)["n"] for batch in batches for raw in batch] == list(range(40))


def test_no_events_are_no_batch(runner: ModuleType) -> None:
    assert list(runner.batches([])) == []


@pytest.mark.parametrize("text", ["1636994605", "1636994605000", "2021-11-15T16:43:25", "2021-11-15T17:43:25+01:00"])
def test_a_cut_is_given_in_seconds_milliseconds_or_iso(text: str, runner: ModuleType) -> None:
    assert runner.time_ms(text) == 1_636_994_605_000


def test_a_log_is_cut_behind_its_share(runner: ModuleType) -> None:
    assert runner.cut_at_share(list(range(10)), 0.8) == 8
    assert runner.cut_at_share([5], 0.8) == 5


def test_labels_are_named_in_one_order_however_they_are_sent(runner: ModuleType) -> None:
    one, other = 'took{stage="a",quantile="0.5"} 2', 'took{quantile="0.5",stage="a"} 2.0'
    assert runner.parse_metrics(one) == runner.parse_metrics(other) == {'took{quantile="0.5",stage="a"}': 2.0}


def test_a_missing_data_set_is_said_in_a_sentence(runner: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(runner.RunnerError, match="--data DIR"):
        runner.data_folder("ranklens", tmp_path / "nothing")


def test_an_incomplete_data_set_is_said_in_a_sentence(ranklens: ModuleType, runner: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(runner.RunnerError, match=r"items\.jsonl\.gz"):
        ranklens.read_log(tmp_path)


def test_a_configuration_that_is_refused_ends_the_run_with_its_reason(runner: ModuleType, tmp_path: Path) -> None:
    config = tmp_path / "instanter.toml"
    config.write_text("[decide]\nexplore = 1\n")
    with pytest.raises(runner.RunnerError, match='no setting "explore"'), runner.Server(config):
        pass


def test_the_last_line_is_the_result(
    runner: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(folder: Path, cut_ms: int | None, quiet: bool) -> dict[str, object]:
        assert (folder, cut_ms, quiet) == (tmp_path, 1_569_888_000_000, True)
        return {"cut": "c", "n": 1, "metrics": {"m": 1.0}, "baselines": {}}

    assert runner.main("toy", "A toy.", run, ["--data", str(tmp_path), "--cut", "1569888000", "--json"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(line) == ["set", "cut", "n", "metrics", "baselines", "seconds"]
    assert (line["set"], line["n"], line["metrics"]) == ("toy", 1, {"m": 1.0})


def test_a_failed_run_is_one_sentence_and_exit_code_1(
    runner: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(tmp_path / "nothing")]
    assert runner.main("toy", "A toy.", lambda folder, cut_ms, quiet: {}, arguments) == 1
    assert capsys.readouterr().err.startswith("toy: the data set is not here")
