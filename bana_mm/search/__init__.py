"""Searches for what fits masks best: parameters of the CRF, and label recipes."""
