"""What is asked of one accelerator: parts in processes of their own, measured in turn."""
