"""What tasks look at after a step, whatever engine took it."""

from typing import Any, NamedTuple


class Observables(NamedTuple):
    """Arrays of JAX or of NumPy, the same leading axes before each; None where nothing reads it.

    qpos: [..., Q]; qvel, qfrc_actuator: [..., V]; of each of the B bodies, xpos and xipos, where
    its frame and its centre of mass are: [..., B, 3]; cinert: [..., B, 10]; cvel, cfrc_ext:
    [..., B, 6]; xquat: [..., B, 4]; geom_xpos, site_xpos: [..., n, 3]. All but qpos and qvel are
    those of the last forward dynamics, as in MuJoCo. probed: what else was asked for, a number.
    """

    qpos: Any
    qvel: Any
    xpos: Any = None
    xipos: Any = None
    cinert: Any = None
    cvel: Any = None
    qfrc_actuator: Any = None
    cfrc_ext: Any = None
    xquat: Any = None
    geom_xpos: Any = None
    site_xpos: Any = None
    probed: Any = None
