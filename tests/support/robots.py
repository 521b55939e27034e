"""A robot of one's own: a planar arm of two links."""

from pathlib import Path

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
