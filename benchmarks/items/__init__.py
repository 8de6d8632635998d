"""What ``run.py`` measures, one target a module; each has ``rows(options)``."""
