"""The parts of the page, one a file: from the subject to what is shown and what is missing."""
