"""Maps as text: geometry, merging of walls, and what is refused."""

import numpy as np
import pytest

from envs.mazes import maze_map

each_map = pytest.mark.parametrize("name", maze_map.LAYOUTS)
ROOM = ("#####", "#G.S#", "#.o.#", "#G.G#", "#####")


def covered(maze: maze_map.Maze) -> np.ndarray:
    """Count the boxes over the middle of each cell, and check that they end on cells' edges."""
    rows, columns = len(maze.cells), len(maze.cells[0])
    count = np.zeros((rows, columns), int)
    for x0, y0, x1, y1 in maze.walls / (2 * maze.half):
        edges = np.array([rows / 2 - y1, rows / 2 - y0, columns / 2 + x0, columns / 2 + x1])
        top, bottom, left, right = edges.round().astype(int)
        np.testing.assert_allclose(edges, [top, bottom, left, right], atol=1e-9)
        count[top:bottom, left:right] += 1
    return count


@each_map
@pytest.mark.parametrize("obstacles", [False, True])
@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("cell_size", [1.0, 4.0])
def test_boxes_cover_each_wall_cell_once_and_nothing_else(name, obstacles, merge, cell_size):
    maze = maze_map.build(maze_map.LAYOUTS[name], cell_size, obstacles, merge)
    solid = "#o" if obstacles else "#"
    walls = np.array([[int(cell in solid) for cell in row] for row in maze.cells])
    np.testing.assert_array_equal(covered(maze), walls)


@pytest.mark.parametrize(("name", "most"), [("simple", 4), ("medium", 10), ("hard", 36)])
def test_merging_leaves_few_boxes(name, most):
    assert len(maze_map.build(maze_map.LAYOUTS[name]).walls) <= most


def test_goals_are_numbered_row_by_row_and_y_is_up():
    maze = maze_map.build(ROOM)
    np.testing.assert_array_equal(maze.goals, [[-1, 1], [-1, -1], [1, -1]])
    np.testing.assert_array_equal(maze.start, [1, 1])


def test_the_cell_size_scales_the_world():
    small, large = maze_map.build(ROOM), maze_map.build(ROOM, cell_size=4.0)
    np.testing.assert_array_equal(large.walls, 4 * small.walls)
    np.testing.assert_array_equal(large.goals, 4 * small.goals)
    assert large.half == 2.0


def test_the_scene_is_the_maze():
    maze = maze_map.build(ROOM, cell_size=2.0)
    scene = maze.scene()
    assert scene.bounds == (-5.0, 5.0, -5.0, 5.0)
    assert (scene.start, scene.goal_radius, scene.goal_shape) == ((2.0, 2.0), 1.0, "square")
    assert scene.walls is maze.walls and scene.goals is maze.goals


def test_a_map_without_walls_has_no_boxes():
    assert maze_map.build(["S.G"]).walls.shape == (0, 4)


def test_text_and_rows_are_the_same_map():
    assert maze_map.build("\n###  \n#SG##\n").cells == ("###  ", "#SG##")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["#S#", "#GG#"], "line 2 has 4 cells and line 1 has 3"),
        (["#S#", "#x#"], "line 2, column 2: 'x'"),
        (["#G#"], "0 'S'; use exactly one"),
        (["SSG"], "2 'S'; use exactly one"),
        (["#S#"], "0 'G'; use at least one"),
        ([], "0 'S'"),
    ],
)
def test_what_is_not_a_map_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        maze_map.build(rows)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="'meduim' is unknown; nearest: medium"):
        maze_map.choose("meduim")


def test_time_limits_are_the_maps_own_unless_given():
    assert maze_map.choose("hard")[2] == 600
    assert maze_map.choose("hard", 500)[2] == 500
    assert maze_map.choose(ROOM, 20) == ("custom", ROOM, 20)
    assert maze_map.choose(ROOM) == ("custom", ROOM, 500)
    with pytest.raises(ValueError, match="max_steps=0 must be at least 1"):
        maze_map.choose(ROOM, 0)


def test_obstacles_end_episodes_in_the_authors_dynamics_only():
    authors, farama = (
        maze_map.build(ROOM, obstacles=True, dynamics=name) for name in ("authors", "farama")
    )
    np.testing.assert_array_equal(authors.walls[authors.fatal], [[-0.5, -0.5, 0.5, 0.5]])
    assert not farama.fatal.any()
    assert not maze_map.build(ROOM).fatal.any()
    with pytest.raises(ValueError, match="dynamics='author' is unknown; use 'authors'"):
        maze_map.build(ROOM, dynamics="author")


def test_a_disc_touches_the_walls_that_it_overlaps():
    walls = np.array([[0.0, 0.0, 1.0, 1.0], [2.0, 0.0, 3.0, 1.0]])
    for place, expected in [
        ((1.05, 0.5), [True, False]),
        ((1.2, 0.5), [False, False]),
        ((1.08, 1.08), [False, False]),  # 0.11 from the corner
        ((2.5, 0.5), [False, True]),  # inside
    ]:
        touched = maze_map.touches(np.float32(walls), np.float32(place), 0.1)
        np.testing.assert_array_equal(touched, expected)
