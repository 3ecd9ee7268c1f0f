"""Tools of this repository's upkeep; not installed."""
