"""`instanter try`: from files of a shop that nobody described to a page that adapts, and to figures of its own past."""
