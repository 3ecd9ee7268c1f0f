"""Benchmarks: tools that print figures. Nothing of the product imports them, and no test asserts what they measure."""
