"""Benchmarks in asv's form: `time_*` and `track_*` methods of classes with a `setup`."""
