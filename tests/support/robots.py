"""Models for tests: a planar arm of two links, and Hopper beside a can."""

from pathlib import Path

import mujoco

from envs.engines.mjx_engine import gymnasium_spec

ARM = """
<mujoco>
  <option timestep="0.01"/>
  <default>
    <joint axis="0 0 1" damping="0.1" armature="0.01"/>
    <geom type="capsule" size="0.02" contype="0" conaffinity="0"/>
  </default>
  <worldbody>
    <body name="upper">
      <joint name="shoulder"/>
      <geom fromto="0 0 0 0.2 0 0"/>
      <body name="lower" pos="0.2 0 0">
        <joint name="elbow"/>
        <geom name="forearm" fromto="0 0 0 0.2 0 0"/>
        <site name="tip" pos="0.2 0 0"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder" ctrlrange="-0.5 0.5"/>
    <motor joint="elbow" ctrlrange="-0.5 0.5"/>
  </actuator>
</mujoco>
"""


def write_robot(folder: Path, model: str, rules: str) -> Path:
    """Write arm.xml and arm.py. -> the model's file."""
    (folder / "arm.py").write_text(rules)
    file = folder / "arm.xml"
    file.write_text(model)
    return file


def write_hopper_with_can(folder: Path, *at: float) -> Path:
    """Write the model of Hopper with a cylinder, which MJX cannot collide. -> its file."""
    spec = gymnasium_spec("hopper.xml")
    can = mujoco.mjtGeom.mjGEOM_CYLINDER
    spec.worldbody.add_geom(name="can", type=can, size=[0.1, 0.2, 0.0], pos=list(at))
    spec.compile()
    path = folder / "hopper.xml"
    path.write_text(spec.to_xml())
    return path
