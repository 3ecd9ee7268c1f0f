"""Faults of a first day, found before they hurt: each check looks at one thing and names its remedy."""
