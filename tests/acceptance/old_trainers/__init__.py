"""The loop of OptunAPI 0.1 as programs in several languages."""
