"""Bytes and typed elements: sources of rows, arrays on disk, layout, safe replacement."""
