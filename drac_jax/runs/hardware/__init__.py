"""The machine: processor, devices, hosts."""
