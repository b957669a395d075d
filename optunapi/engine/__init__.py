"""Studies and trials: what is asked for, sampled, held, reported and told. Knows no HTTP and no SQL."""
