"""HTTP in and out: reads requests, calls the engine, writes replies. Decides nothing."""
