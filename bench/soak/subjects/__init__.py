"""Who is tried out. `bench.soak.trials` pairs each with what happens to it."""
