"""Levels drawn by rules, and levels read from a user's folder."""

import json

import numpy as np
import pytest

from envs.mario.decoder_training import corpus, level_rules
from envs.mario.tiles import ALPHABET
from tests.support.reference import DATA

STATISTICS = DATA / "mario" / "level_statistics.json"
EMPTY_ROW = "-" * 20
LEVEL = [EMPTY_ROW] * 14 + ["X" * 20] * 2


@pytest.fixture(scope="module")
def levels() -> list[np.ndarray]:
    return corpus.generate_levels(0, 300)


def human() -> dict:
    return json.loads(STATISTICS.read_text())["text_levels"]


def test_levels_have_the_statistics_of_levels_made_by_people(levels):
    """Within 25 %, as tiles in 16 columns; a tile rarer than one in 20 segments within half."""
    theirs, ours = human(), corpus.statistics(levels)
    frequency = theirs["tile_frequency_total"]
    per_16, rows = theirs["per_16_columns"], np.array(theirs["tile_frequency_per_row"])
    expected = {tile: 256 * frequency[tile] for tile in ALPHABET}
    expected |= {name: per_16[name] for name in ("gaps", "gap_columns", "pipes", "enemies")}
    expected |= {"coins": per_16["coins_free"], "ground": 16 * rows[-2:, 0].sum()}
    ratio = {name: ours[name] / value for name, value in expected.items()}
    wrong = {
        name: round(value, 2)
        for name, value in ratio.items()
        if abs(value - 1) > (0.25 if expected[name] > 0.05 else 0.5)
    }
    assert not wrong


def test_the_share_of_playable_windows_is_near_that_of_levels_made_by_people(levels):
    ours = corpus.statistics(list(corpus.windows(levels, 16)))["playable"]
    theirs = human()["segments_16x16 (non-overlapping)"]["playable_alone_fraction"]
    assert abs(ours - theirs) < 0.08


def test_the_same_seed_draws_the_same_levels_and_another_seed_others(levels):
    again, other = (corpus.generate_levels(seed, 2) for seed in (0, 1))
    np.testing.assert_array_equal(again, levels[:2])
    assert not np.array_equal(other[0], again[0])


@pytest.mark.parametrize("style", level_rules.STYLES)
def test_levels_of_every_style_begin_and_end_on_ground_under_a_free_sky(style):
    level = level_rules.generate_level(np.random.default_rng(3), 120, style)
    assert level.shape == (16, 120) and level.dtype == np.uint8
    assert (level[-2:, [0, 1, -2, -1]] == ALPHABET.index("X")).all()
    assert (level[:3] == ALPHABET.index("-")).all()


def test_a_level_is_refused_for_an_unknown_style_and_for_no_room():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="style='water' is unknown; use one of ground, cave"):
        level_rules.generate_level(rng, 100, "water")
    with pytest.raises(ValueError, match="width=20 leaves no room"):
        level_rules.generate_level(rng, 20)


def test_windows_are_every_sixteen_columns_of_a_level():
    level = np.arange(16 * 20).reshape(16, 20) % 21
    cut = corpus.windows([level, level[:, :16]])
    assert cut.shape == (6, 16, 16)
    np.testing.assert_array_equal(cut[3], level[:, 3:19])
    np.testing.assert_array_equal(cut[5], level[:, :16])


def test_statistics_count_what_is_drawn():
    lines = [list(row) for row in LEVEL]
    for row, column, tile in ((12, 4, "T"), (12, 5, "T"), (13, 4, "T"), (13, 5, "T"), (13, 8, "g")):
        lines[row][column] = tile
    for column in range(10, 17):
        lines[14][column] = lines[15][column] = "-"
    level = corpus.parse_level("\n".join("".join(row) for row in lines), "level")
    counted = corpus.statistics([level])
    expected = {"ground": 26, "gaps": 1, "gap_columns": 7, "pipes": 1, "pipe_tiles": 4}
    for name, count in {**expected, "enemies": 1, "coins": 0, "T": 4}.items():
        assert counted[name] == pytest.approx(count * 16 / 20), name
    assert counted["playable"] == 0.0


def test_a_folder_of_text_levels_is_read_in_the_order_of_names(tmp_path):
    for name, tile in (("b.txt", "o"), ("a.txt", "Q")):
        text = "\n".join([tile + LEVEL[0][1:], *LEVEL[1:]])
        (tmp_path / name).write_text(text + "\n")
    first, second = corpus.read_levels(tmp_path)
    assert (ALPHABET[first[0, 0]], ALPHABET[second[0, 0]]) == ("Q", "o")
    assert first.shape == (16, 20)


BAD = {
    "unknown": ([*LEVEL[:3], EMPTY_ROW[:6] + "?" + EMPTY_ROW[7:], *LEVEL[4:]], r"line 4, column 7"),
    "too few lines": (LEVEL[1:], "line 15, column 1: the level has 15 lines; make it 16"),
    "too many lines": ([*LEVEL, "X" * 20], "line 17, column 1: the level has 17 lines"),
    "narrow": (["-" * 12] * 16, "line 1, column 13: .* has 12 columns; make it at least 16"),
    "ragged": ([*LEVEL[:5], EMPTY_ROW[:-1], *LEVEL[6:]], "line 6, column 20: .* make it 20"),
    "empty": ([], "line 1, column 1: the level has 0 lines"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_level_is_refused_with_file_line_and_column(case, tmp_path):
    lines, message = BAD[case]
    (tmp_path / "level-1.txt").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="level-1.txt, " + message) as refused:
        corpus.read_levels(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("folder", [".", "missing"])
def test_a_folder_without_levels_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="has no level; put text files"):
        corpus.read_levels(tmp_path / folder)
