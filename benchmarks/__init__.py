"""Time and memory of every fast part against a slow version or an alternative."""
