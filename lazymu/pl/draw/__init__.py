"""Drawing of arrays with matplotlib: no containers, no computing on ``X``."""
