"""Models of C MuJoCo with factors: what follows from masses is MuJoCo's own mj_setConst."""

import copy
from functools import lru_cache
from threading import Lock

import mujoco
import numpy as np

from envs.engines.randomise import Plan, model_field, scaled

# What mj_setConst makes of masses, and steps read.
FOLLOWING = (
    "body_subtreemass",
    "body_invweight0",
    "dof_invweight0",
    "dof_M0",
    "tendon_invweight0",
    "actuator_acc0",
)
KEPT = 2**14  # models, of some kilobytes: mj_setConst is run once an episode, if these are enough


class ScaledModel:
    """The numbers of a model that depend on factors. Threads may share it; each has its own copy
    of the model, into which `write` writes."""

    def __init__(self, plan: Plan, model: mujoco.MjModel) -> None:
        self._plan, self._model = plan, copy.copy(model)
        self._data, self._lock = mujoco.MjData(model), Lock()
        self.ones = np.ones(len(plan.draws))
        self.names = list(plan.fields)
        if plan.changes_masses:
            self.names += [name for name in FOLLOWING if name not in plan.fields]
        self._values = lru_cache(KEPT)(self._compute)

    def write(self, model: mujoco.MjModel, views: list[np.ndarray], factors: np.ndarray) -> None:
        """Give a model the numbers of `factors` [F]. views: of the model's arrays `names`."""
        inertia, values = self._values(factors.tobytes())
        for view, value in zip(views, values, strict=True):
            view[:] = value
        model.stat.meaninertia = inertia

    def views(self, model: mujoco.MjModel) -> list[np.ndarray]:
        """Get the arrays of a model that `write` changes."""
        return [model_field(model, name) for name in self.names]

    def _compute(self, factors: bytes) -> tuple[float, list[np.ndarray]]:
        fields = scaled(self._plan, np.frombuffer(factors))
        with self._lock:
            model = self._model
            for name, value in fields.items():
                model_field(model, name)[:] = value
            if self._plan.changes_masses:
                mujoco.mj_setConst(model, self._data)
                # It leaves this as it was, unlike the compiler; the solver's tolerance is scaled.
                model.stat.meaninertia = model.dof_M0.mean()
            return model.stat.meaninertia, [view.copy() for view in self.views(model)]
