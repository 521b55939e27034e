"""What a training config may put around any algorithm: functions of an Algorithm to another."""
